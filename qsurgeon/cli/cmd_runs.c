/* SPDX-License-Identifier: Apache-2.0 */
/* commit, undo, resume, log, verify: plans and runs as files. */
#include <inttypes.h>
#include <stdlib.h>
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

/* A run that is kept in one of the state directories. */
struct kept {
    const char *state, *name;
};

/* Newest first. */
static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct kept *)b)->name, ((const struct kept *)a)->name);
}

static enum qs_status list_kept(struct qs_call *call, struct kept **list, size_t *count, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    *list = NULL;
    *count = 0;
    for (size_t f = 0; status == QS_OK && f < (call->options->state ? 1 : qs_format_count); f++) {
        char **names = NULL;
        size_t more = 0;
        const char *state = qs_operating_state(call, qs_formats[f]->name);
        status = state ? qs_run_names(call->memory, state, &names, &more, err) : qs_fail(err, QS_NOMEM, "out of memory");
        struct kept *grown = status == QS_OK ? talloc_realloc(call->memory, *list, struct kept, (unsigned)(*count + more) + 1) : NULL;
        if (status == QS_OK && !grown)
            return qs_fail(err, QS_NOMEM, "out of memory");
        for (size_t i = 0; status == QS_OK && i < more; i++)
            grown[(*count)++] = (struct kept){state, names[i]};
        *list = grown;
    }
    if (status == QS_OK)
        qsort(*list, *count, sizeof **list, by_name);
    return status;
}

/* Is it on one of these queues? */
static bool is_on(const struct qs_run *run, struct qs_instance *const *queues, size_t count)
{
    struct stat queue, of;
    if (stat(run->queue_dir, &of) != 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(run->mta, queues[i]->format->name) == 0 && stat(queues[i]->queue_dir, &queue) == 0 &&
            of.st_dev == queue.st_dev && of.st_ino == queue.st_ino)
            return true;
    return false;
}

static enum qs_status named_run(struct qs_call *call, const char *name, const struct kept *list, size_t count,
                                struct qs_run *out, struct qs_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return qs_run_describe(call->memory, list[i].state, name, out, err);
    return qs_fail(err, QS_USAGE, "%.80s: no such run; `log` lists them", name);
}

/* The run that was named; or the last one on the queues in view that has something to settle. One on another queue, which keeps
 * its runs in the same place, is never meant by accident. */
static enum qs_status find_run(struct qs_call *call, bool unfinished, struct qs_run *out, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    const struct qs_place place = {o->queue_dir, o->config};
    struct kept *list = NULL;
    struct qs_instance **queues = NULL;
    size_t count = 0, queue_count = 0;
    bool elsewhere = false;
    enum qs_status status = list_kept(call, &list, &count, err);
    if (status == QS_OK && o->argument_count)
        return named_run(call, o->arguments[0], list, count, out, err);
    if (status == QS_OK && count)
        status = qs_format_discover(call->memory, o->mta, &place, &queues, &queue_count, err);
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        struct qs_run run;
        struct qs_error why = {""};
        enum qs_status one = qs_run_describe(call->memory, list[i].state, list[i].name, &run, &why);
        if (one == QS_USAGE)        /* it died before it had a plan */
            continue;
        if (one != QS_OK)           /* it may be the one that is meant */
            return qs_fail(err, one, "%s; name the run that is meant, see `log`", why.text);
        /* what did nothing has nothing to take back */
        bool open = !run.undone && (!run.finished || (!unfinished && run.done > 0));
        if (open && is_on(&run, queues, queue_count)) {
            *out = run;
            return QS_OK;
        }
        elsewhere |= open;
    }
    if (status != QS_OK)
        return status;
    return qs_fail(err, QS_USAGE, "%s%s", unfinished ? "no run is unfinished" : "there is no run to undo",
                   elsewhere ? " on this queue; on others there is, see `log`: name the run" : "");
}

typedef enum qs_status (*settle)(TALLOC_CTX *parent, const char *run, const struct qs_instance *instance, struct qs_queue *queue,
                                 const struct qs_operate *how, struct qs_run_result **result, struct qs_error *err);

static enum qs_status settle_run(struct qs_call *call, settle how_to, bool unfinished, const char *verb, struct qs_error *err)
{
    struct qs_run run = {0};
    struct qs_instance *instance = NULL;
    struct qs_queue *queue = NULL;
    struct qs_operate how;
    struct qs_run_result *result = NULL;
    enum qs_status status = find_run(call, unfinished, &run, err);
    if (status == QS_OK)
        status = qs_operating_open(call, run.host, run.mta, run.queue_dir, run.config, &instance, &queue, err);
    if (status == QS_OK)
        status = qs_operating_begin(call, instance, queue, &how, err);
    if (status != QS_OK)
        return status;
    enum qs_status done = how_to(call->memory, run.name, instance, queue, &how, &result, err);
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
