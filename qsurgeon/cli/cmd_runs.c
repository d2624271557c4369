/* SPDX-License-Identifier: Apache-2.0 */
/* commit, undo, resume, log, verify: plans and runs as files. */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "operating.h"
#include "qsurgeon/archive.h"
#include "qsurgeon/format.h"

static enum qs_status run_commit(struct qs_call *call, struct qs_error *err)
{
    struct qs_plan *plan = NULL;
    enum qs_status status = qs_plan_read(call->memory, call->options->arguments[0], call->options->edited, &plan, err);
    return status == QS_OK ? qs_operating_commit(call, plan, err) : status;
}

/* Marks the runs on the queues that the command line names, or that are found on this host. */
static enum qs_status mark_here(struct qs_call *call, const struct qs_run *list, size_t count, bool *here, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    const struct qs_place place = {o->queue_dir, o->config};
    struct qs_instance **found = NULL;
    size_t found_count = 0;
    struct stat queue, of;
    enum qs_status status = qs_format_discover(call->memory, o->mta, &place, &found, &found_count, err);
    for (size_t i = 0; status == QS_OK && i < found_count; i++)
        for (size_t r = 0; stat(found[i]->queue_dir, &queue) == 0 && r < count; r++)
            here[r] |= strcmp(list[r].mta, found[i]->format->name) == 0 && stat(list[r].queue_dir, &of) == 0 &&
                       of.st_dev == queue.st_dev && of.st_ino == queue.st_ino;
    return status;
}

/* The run that was named; or the last one on the queues in view that has something to settle. One on another queue, which keeps
 * its runs in the same place, is never meant by accident. */
static enum qs_status find_run(struct qs_call *call, bool unfinished, const struct qs_run **out, struct qs_error *err)
{
    const char *name = call->options->argument_count ? call->options->arguments[0] : NULL;
    struct qs_run *list = NULL;
    size_t count = 0, elsewhere = 0;
    enum qs_status status = qs_operating_runs(call, &list, &count, err);
    bool *here = talloc_zero_array(call->memory, bool, (unsigned)count + 1);
    if (!here)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK && !name && count)
        status = mark_here(call, list, count, here, err);
    if (status != QS_OK)
        return status;
    const struct qs_run *found = NULL;
    for (size_t i = 0; i < count; i++) {
        /* what did nothing has nothing to take back */
        bool open = !list[i].finished || (!unfinished && list[i].done > 0);
        bool fits = name ? strcmp(list[i].name, name) == 0 : open && !list[i].undone;
        elsewhere += fits && !name && !here[i];
        if (fits && (name || here[i]) && (!found || strcmp(list[i].name, found->name) > 0))
            found = &list[i];
    }
    if (!found && name)
        return qs_fail(err, QS_USAGE, "%.80s: no such run; `log` lists them", name);
    if (!found)
        return qs_fail(err, QS_USAGE, "%s%s", unfinished ? "no run is unfinished" : "there is no run to undo",
                       elsewhere ? " on this queue; on others there is, see `log`: name the run" : "");
    *out = found;
    return QS_OK;
}

typedef enum qs_status (*settle)(TALLOC_CTX *parent, const char *run, const struct qs_instance *instance, struct qs_queue *queue,
                                 const struct qs_operate *how, struct qs_run_result **result, struct qs_error *err);

static enum qs_status settle_run(struct qs_call *call, settle how_to, bool unfinished, const char *verb, struct qs_error *err)
{
    const struct qs_run *run = NULL;
    struct qs_instance *instance = NULL;
    struct qs_queue *queue = NULL;
    struct qs_operate how;
    struct qs_run_result *result = NULL;
    enum qs_status status = find_run(call, unfinished, &run, err);
    if (status == QS_OK)
        status = qs_operating_open(call, run->host, run->mta, run->queue_dir, run->config, &instance, &queue, err);
    if (status == QS_OK)
        status = qs_operating_begin(call, instance, queue, &how, err);
    if (status != QS_OK)
        return status;
    enum qs_status done = how_to(call->memory, run->name, instance, queue, &how, &result, err);
    if (result)
        status = qs_operating_report(call, result, verb, done == QS_OK ? err : NULL);
    return done != QS_OK ? done : status;
}

static enum qs_status run_undo(struct qs_call *call, struct qs_error *err)
{
    return settle_run(call, qs_undo, false, "Put back", err);
}

static enum qs_status run_resume(struct qs_call *call, struct qs_error *err)
{
    return settle_run(call, qs_resume, true, "Resumed", err);
}

static enum qs_status run_log(struct qs_call *call, struct qs_error *err)
{
    struct qs_run *list = NULL;
    size_t count = 0;
    enum qs_status status = qs_operating_runs(call, &list, &count, err);
    if (status != QS_OK)
        return status;
    return call->options->json ? qs_report_log_json(call->out, list, count, err)
                               : qs_report_log_text(call->out, list, count, &call->style, err);
}

static enum qs_status run_verify(struct qs_call *call, struct qs_error *err)
{
    uint64_t messages = 0, bytes = 0;
    enum qs_status status = qs_archive_verify(call->options->arguments[0], &messages, &bytes, err);
    if (status == QS_OK)
        fprintf(call->out, "Whole: %" PRIu64 " messages, %" PRIu64 " bytes, every digest right\n", messages, bytes);
    return status;
}

const struct qs_command qs_cmd_commit = {
    .name = "commit", .summary = "perform a plan that --plan wrote", .arguments = "FILE", .least = 1, .most = 1,
    .options = QS_OPTION(QS_OPT_EDITED) | QS_OPTION(QS_OPT_JSON) | QS_OPTION(QS_OPT_OUTPUT),
    .description = "On the host and queue it was made for, and only for messages that are still the same.\n",
    .never_saved = true, .run = run_commit,
};
const struct qs_command qs_cmd_undo = {
    .name = "undo", .summary = "reverse a run, the last one unless named", .arguments = "[RUN]", .most = 1,
    .options = QS_OPTION(QS_OPT_JSON),
    .description = "As far as the mail server has not acted since; what could not be reversed is listed.\n"
                   "Unless named, it is the last one on the queue of --queue, or on those that are found here.\n",
    .never_saved = true, .run = run_undo,
};
const struct qs_command qs_cmd_resume = {
    .name = "resume", .summary = "finish a run that was stopped or has crashed", .arguments = "[RUN]", .most = 1,
    .options = QS_OPTION(QS_OPT_JSON), .description = "",
    .never_saved = true, .run = run_resume,
};
const struct qs_command qs_cmd_log = {
    .name = "log", .summary = "the runs so far", .arguments = "", .options = QS_OPTION(QS_OPT_JSON),
    .description = "",
    .never_saved = true, .run = run_log,
};
const struct qs_command qs_cmd_verify = {
    .name = "verify", .summary = "read an archive back and check every digest", .arguments = "ARCHIVE", .least = 1, .most = 1,
    .description = "",
    .never_saved = true, .run = run_verify,
};
