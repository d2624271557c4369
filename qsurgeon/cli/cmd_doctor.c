/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: checks that look for what is wrong rather than for who is to blame. Each check is a function and an option that
 * names it; without such an option, all checks that need no network are made. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "operating.h"
#include "qsurgeon/repair.h"

/* --- the queue -------------------------------------------------------------------------------------------------------- */

struct examined {
    struct qs_instance *instance;
    struct qs_queue *queue;
    struct qs_flaw *flaws;
    size_t count;
    struct qs_leftover *left;
    size_t left_count;
};

static enum qs_status examine(struct qs_call *call, struct examined *e, int64_t now, struct qs_error *err)
{
    const struct qs_format *format = e->instance->format;
    const char *state = qs_operating_state(call, format->name);
    enum qs_status status = state ? format->open(call->memory, e->instance, &e->queue, err)
                                  : qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        status = format->inspect(call->memory, e->queue, now, &e->flaws, &e->count, err);
    if (status == QS_OK)
        status = qs_leftovers(call->memory, e->instance->queue_dir, state, &e->left, &e->left_count, err);
    return status;
}

static enum qs_status show(struct qs_call *call, const struct examined *e, const char *commit, struct qs_error *err)
{
    return call->options->json
        ? qs_report_doctor_json(call->out, e->instance, e->flaws, e->count, e->left, e->left_count, err)
        : qs_report_doctor_text(call->out, e->instance, e->flaws, e->count, e->left, e->left_count, &call->style, commit, err);
}

/* The plan that repairs what can be repaired: saved, or performed. */
static enum qs_status repair(struct qs_call *call, const struct examined *e, int64_t now, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct qs_plan *plan = NULL;
    const char *host = qs_operating_host(call->memory);
    if (!host)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = qs_repair_plan(call->memory, e->instance, e->queue, e->flaws, e->count, host, now, &plan, err);
    if (status == QS_OK && o->max && plan->count > o->max)
        status = qs_fail(err, QS_USAGE, "%u files are more than --max %u allows", plan->count, o->max);
    if (status == QS_OK && o->plan)
        status = qs_plan_write(plan, o->plan, err);
    return status == QS_OK && o->commit ? qs_operating_commit(call, plan, err) : status;
}

static enum qs_status check_queue(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    const struct qs_place place = {o->queue_dir, o->config};
    struct qs_instance **list = NULL;
    size_t count = 0;
    int64_t now = time(NULL);
    const char *file = o->plan ? qs_shell_word(call->memory, o->plan) : NULL;
    const char *line = file ? talloc_asprintf(call->memory, "%s commit %s", o->program, file)
                            : talloc_asprintf(call->memory, "%s doctor --queue --commit", o->program);
    enum qs_status status = line ? qs_format_discover(call->memory, o->mta, &place, &list, &count, err)
                                 : qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK && count != 1 && (o->commit || o->plan))
        status = qs_fail(err, QS_USAGE, "%zu queues are in view; name the one to repair with --queue DIR before the command", count);
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        struct examined e = {.instance = list[i]};
        status = examine(call, &e, now, err);
        if (status == QS_OK && !(o->commit && o->json))     /* then the result says it all */
            status = show(call, &e, o->commit ? NULL : line, err);
        if (status == QS_OK && (o->commit || o->plan))
            status = repair(call, &e, now, err);
    }
    return status;
}

/* --- the command ------------------------------------------------------------------------------------------------------ */

static enum qs_status run_doctor(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    bool named = o->check_queue || o->dns;  /* or another check's option */
    enum qs_status status = o->check_queue || !named ? check_queue(call, err) : QS_OK;
    return status == QS_OK && o->dns ? qs_doctor_dns(call, err) : status;
}

const struct qs_command qs_cmd_doctor = {
    .name = "doctor", .summary = "look for what is wrong with the queue's own files, or with this host in DNS", .arguments = "",
    .options = QS_OPTION(QS_OPT_CHECK_QUEUE) | QS_OPTION(QS_OPT_COMMIT) | QS_OPTION(QS_OPT_PLAN) | QS_OPTION(QS_OPT_MAX) |
               QS_OPTION(QS_OPT_TOP) | QS_OPTION(QS_OPT_JSON),
    .description = "--queue: orphaned logs, data files and transcripts, stale temporary files, names that do not match\n"
                   "their inode, wrong hash directories, owners and modes, lost messages, unfinished runs. With --commit\n"
                   "orphans and stale files go into the quarantine and misnamed ones get their right name; `undo` reverses it.\n"
                   "--dns: which role this host has in the MX set of each domain that it serves, and what is wrong with it.\n"
                   "Without an option: every check that needs no network.\n",
    .never_saved = true, .run = run_doctor,
};
