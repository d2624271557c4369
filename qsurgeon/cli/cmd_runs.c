/* SPDX-License-Identifier: Apache-2.0 */
/* commit, undo, resume, log, verify: plans and runs as files. */
#include <inttypes.h>
#include <string.h>

#include "operating.h"
#include "qsurgeon/archive.h"

static enum qs_status run_commit(struct qs_call *call, struct qs_error *err)
{
    struct qs_plan *plan = NULL;
    enum qs_status status = qs_plan_read(call->memory, call->options->arguments[0], call->options->edited, &plan, err);
    return status == QS_OK ? qs_operating_commit(call, plan, err) : status;
}

/* The run that was named, or the last one that can be reversed. */
static enum qs_status find_run(struct qs_call *call, bool unfinished, const struct qs_run **out, struct qs_error *err)
{
    const char *name = call->options->argument_count ? call->options->arguments[0] : NULL;
    struct qs_run *list = NULL;
    size_t count = 0;
    enum qs_status status = qs_operating_runs(call, &list, &count, err);
    if (status != QS_OK)
        return status;
    const struct qs_run *found = NULL;
    for (size_t i = 0; i < count; i++) {
        bool fits = name ? strcmp(list[i].name, name) == 0 : !list[i].undone && (!unfinished || !list[i].finished);
        if (fits && (!found || strcmp(list[i].name, found->name) > 0))
            found = &list[i];
    }
    if (!found && name)
        return qs_fail(err, QS_USAGE, "%.80s: no such run; `log` lists them", name);
    if (!found)
        return qs_fail(err, QS_USAGE, unfinished ? "no run is unfinished" : "there is no run to undo");
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
    .description = "On the host and queue it was made for, and only for messages that are still the same.\n", .run = run_commit,
};
const struct qs_command qs_cmd_undo = {
    .name = "undo", .summary = "reverse a run, the last one unless named", .arguments = "[RUN]", .most = 1,
    .options = QS_OPTION(QS_OPT_JSON),
    .description = "As far as the mail server has not acted since; what could not be reversed is listed.\n", .run = run_undo,
};
const struct qs_command qs_cmd_resume = {
    .name = "resume", .summary = "finish a run that was stopped or has crashed", .arguments = "[RUN]", .most = 1,
    .options = QS_OPTION(QS_OPT_JSON), .description = "", .run = run_resume,
};
const struct qs_command qs_cmd_log = {
    .name = "log", .summary = "the runs so far", .arguments = "", .options = QS_OPTION(QS_OPT_JSON),
    .description = "", .run = run_log,
};
const struct qs_command qs_cmd_verify = {
    .name = "verify", .summary = "read an archive back and check every digest", .arguments = "ARCHIVE", .least = 1, .most = 1,
    .description = "", .run = run_verify,
};
