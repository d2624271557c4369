/* SPDX-License-Identifier: Apache-2.0 */
/* commit, undo, resume, log, forget, verify: plans and runs as files. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "operating.h"
#include "qsurgeon/archive.h"
#include "qsurgeon/format.h"

static enum qs_status run_commit(struct qs_call *call, struct qs_error *err)
{
    struct qs_plan *plan = NULL;
    enum qs_status status = qs_plan_read(call->memory, call->options->arguments[0], call->options->edited, &plan, err);
    const char *output = call->options->output;
    if (status == QS_OK && output && (plan->action != QS_ACT_PURGE || plan->after != QS_AFTER_ARCHIVE))
        status = qs_fail(err, QS_USAGE, "this plan writes no archive: leave --output away");
    else if (status == QS_OK && output && !(plan->output = qs_absolute_path(call->memory, output)))
        status = qs_fail(err, QS_NOMEM, "out of memory");
    return status == QS_OK ? qs_operating_commit(call, plan, err) : status;
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

static enum qs_status named_run(struct qs_call *call, const char *name, const struct qs_kept *list, size_t count,
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
    struct qs_kept *list = NULL;
    struct qs_instance **queues = NULL;
    size_t count = 0, queue_count = 0;
    bool elsewhere = false;
    enum qs_status status = qs_operating_kept(call, &list, &count, err);
    if (status == QS_OK && o->argument_count)
        return named_run(call, o->arguments[0], list, count, out, err);
    if (status == QS_OK && count)
        status = qs_format_discover(call->memory, o->mta, &place, &queues, &queue_count, err);
    for (size_t i = count; status == QS_OK && i-- > 0;) {       /* the newest first */
        struct qs_run run;
        struct qs_error why = {""};
        enum qs_status one = qs_run_describe(call->memory, list[i].state, list[i].name, &run, &why);
        if (one == QS_USAGE)        /* it died before it had a plan */
            continue;
        if (one != QS_OK)           /* it may be the one that is meant */
            return qs_fail(err, one, "%s; name the run that is meant, see `log`", why.text);
        /* what did nothing has nothing to take back */
        bool open = (!run.undone && (!run.finished || (!unfinished && run.done > 0))) || (!unfinished && run.waits);
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

/* Puts back what an earlier undo has left because the run that is undone now had acted on it. */
static enum qs_status undo_waiting(struct qs_call *call, const char *name, const struct qs_instance *instance,
                                   const struct qs_operate *how, struct qs_error *err)
{
    const char *next = NULL;
    enum qs_status status = qs_undo_next(call->memory, how->state_dir, name, &next, err);
    while (status == QS_OK && next && !qs_operating_stopped()) {
        struct qs_queue *queue = NULL;
        struct qs_run_result *result = NULL;
        status = instance->format->open(call->memory, instance, &queue, err);
        if (status == QS_OK)
            status = qs_undo(call->memory, next, instance, queue, how, &result, err);
        if (result && result->run[0]) {
            const char *verb = qs_run_does(next, QS_ACT_RESTORE) ? "Taken out again as well" : "Put back as well";
            enum qs_status told = qs_operating_report(call, result, verb, status == QS_OK ? err : NULL);
            status = status == QS_OK ? told : status;
        }
        talloc_free(queue);
        if (status == QS_OK)
            status = qs_undo_next(call->memory, how->state_dir, next, &next, err);
    }
    return status;
}

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
    if (result && result->run[0])
        status = qs_operating_report(call, result, !unfinished && run.action == QS_ACT_RESTORE ? "Taken out again" : verb,
                                     done == QS_OK ? err : NULL);
    if (result && result->new_files && strcmp(run.mta, "postfix") == 0 && !call->options->json)
        fprintf(call->out, "Out of the archive, with new queue IDs: %" PRIu32 "\n", result->new_files);
    if (result && result->stopped && done == QS_OK && !call->options->json)
        fprintf(call->out, "To finish it: %s resume %s\n", call->options->program, run.name);
    if (status == QS_OK && done == QS_OK)
        status = undo_waiting(call, run.name, instance, &how, err);
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

/* --- forget ----------------------------------------------------------------------------------------------------------- */

static bool is_named(const struct qs_options *o, const char *name)
{
    for (size_t i = 0; i < o->argument_count; i++)
        if (strcmp(o->arguments[i], name) == 0)
            return true;
    return false;
}

/* How long nothing has been done on it, in seconds. */
static int64_t idle(struct qs_call *call, const struct qs_kept *kept)
{
    struct stat st;
    char *path = talloc_asprintf(call->memory, "%s/%s/journal.jsonl", kept->state, kept->name);
    bool known = path && stat(path, &st) == 0;
    talloc_free(path);
    return known ? time(NULL) - st.st_mtime : 0;
}

/* The runs that are meant, all of one queue, oldest first. */
static enum qs_status choose(struct qs_call *call, struct qs_run **list, size_t *count, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    const struct qs_place place = {o->queue_dir, o->config};
    struct qs_kept *kept = NULL;
    struct qs_instance **queues = NULL;
    size_t kept_count = 0, queue_count = 0, named = 0;
    enum qs_status status = qs_operating_kept(call, &kept, &kept_count, err);
    if (status == QS_OK && o->queue_dir && kept_count)
        status = qs_format_discover(call->memory, o->mta, &place, &queues, &queue_count, err);
    struct qs_run *runs = status == QS_OK ? talloc_array(call->memory, struct qs_run, (unsigned)kept_count + 1) : NULL;
    if (status == QS_OK && !runs)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    *list = runs;
    *count = 0;
    for (size_t i = 0; status == QS_OK && i < kept_count; i++) {
        struct qs_run *run = &runs[*count];
        struct qs_error why = {""};
        bool meant = o->argument_count ? is_named(o, kept[i].name) : idle(call, &kept[i]) >= o->selection->older;
        enum qs_status one = meant ? qs_run_describe(call->memory, kept[i].state, kept[i].name, run, &why) : QS_USAGE;
        if (one != QS_OK && one != QS_USAGE) {      /* QS_USAGE: it died before it had a plan */
            qs_complain("%s", why.text);
            call->left_out = true;
        }
        named += meant && one == QS_OK;
        if (one != QS_OK || (o->queue_dir && !is_on(run, queues, queue_count)))
            continue;
        if (*count && (strcmp(run->queue_dir, runs[0].queue_dir) != 0 || strcmp(run->mta, runs[0].mta) != 0))
            status = qs_fail(err, QS_USAGE, "the runs are on several queues; name one of these with --queue DIR before the command");
        ++*count;
    }
    if (status == QS_OK && o->argument_count && (*count < o->argument_count || named < o->argument_count))
        status = qs_fail(err, QS_USAGE, "no such run%s; `log` lists them", o->queue_dir ? " on this queue" : "");
    return status;
}

static enum qs_status tell_forgotten(struct qs_call *call, const char *run, const struct qs_forgotten *f, struct qs_error *err)
{
    char size[8];
    const struct qs_options *o = call->options;
    if (o->json)
        return qs_report_forgotten_json(call->out, run, f, o->commit, err);
    if (f->kept)
        fprintf(call->out, "Kept: %s; %s\n", run, f->why);
    else
        fprintf(call->out, "%s: %s, %s\n", o->commit ? "Forgotten" : "Would forget", run, qs_text_bytes(size, f->bytes));
    return QS_OK;
}

static enum qs_status run_forget(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct qs_run *runs = NULL;
    struct qs_instance *instance = NULL;
    struct qs_queue *queue = NULL;
    struct qs_operate how;
    size_t count = 0, kept = 0;
    if ((o->argument_count > 0) == (o->selection->older >= 0))
        return qs_fail(err, QS_USAGE, "forget needs either the names of runs or --older TIME");
    for (size_t f = 0; o->commit && f < (o->state ? 1 : qs_format_count); f++) {
        enum qs_status status = qs_forget_rest(qs_operating_state(call, qs_formats[f]->name), err);
        if (status != QS_OK)
            return status;
    }
    enum qs_status status = choose(call, &runs, &count, err);
    if (status == QS_OK && count == 0) {
        fputs(o->json ? "" : "Nothing to forget.\n", call->out);
        return QS_OK;
    }
    if (status == QS_OK)
        status = qs_operating_open(call, runs[0].host, runs[0].mta, runs[0].queue_dir, runs[0].config, &instance, &queue, err);
    if (status == QS_OK)
        status = qs_operating_begin(call, instance, queue, &how, err);
    for (size_t i = 0; status == QS_OK && i < count && !qs_operating_stopped(); i++) {
        struct qs_forgotten found;
        status = qs_forget(runs[i].name, instance, queue, &how, o->with_messages, o->commit, &found, err);
        if (status == QS_OK)
            status = tell_forgotten(call, runs[i].name, &found, err);
        kept += status == QS_OK && found.kept;
    }
    /* what is only old may be kept, and that is no failure */
    call->left_out |= (kept && o->argument_count) || qs_operating_stopped();
    if (status == QS_OK && !o->commit && !o->json && kept < count)
        fprintf(call->out, "To do it: %s --commit\n", o->line);
    return status;
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
const struct qs_command qs_cmd_forget = {
    .name = "forget", .summary = "remove what runs have left: plans, journals, old files", .arguments = "[RUN...]", .most = SIZE_MAX,
    .options = QS_OPTION(QS_OPT_OLDER) | QS_OPTION(QS_OPT_WITH_MESSAGES) | QS_OPTION(QS_OPT_COMMIT) | QS_OPTION(QS_OPT_JSON),
    .description = "Of the runs that are named, or of those on which nothing was done for --older TIME. They cannot be undone then.\n"
                   "Kept are those that are unfinished or may have the only copy of a message.\n",
    .never_saved = true, .run = run_forget,
};
const struct qs_command qs_cmd_verify = {
    .name = "verify", .summary = "read an archive back and check every digest", .arguments = "ARCHIVE", .least = 1, .most = 1,
    .description = "",
    .never_saved = true, .run = run_verify,
};
