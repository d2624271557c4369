/* SPDX-License-Identifier: Apache-2.0 */
/* hold, release, purge, archive, defer, expedite, requeue, drop-recipients: one way for all. A selection becomes a plan; the plan is
 * shown, or saved, or performed. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "drip.h"
#include "due.h"
#include "known.h"
#include "operating.h"
#include "session.h"
#include "sticky.h"

/* Leaves the marks on what `defer` has put on hold and whose time has come; *next is the earliest time that has not, or
 * INT64_MAX. */
static uint32_t keep_due(const struct qs_session *session, uint8_t *marks, int64_t *next)
{
    const struct qs_scan *scan = session->view.scan;
    uint32_t due = 0;
    *next = INT64_MAX;
    for (uint32_t i = 0; i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        int64_t until = 0;
        bool waits = marks[i] && m->flags & QS_ENV_HELD && qs_due_read(qs_sym_span(scan->strings, m->hold_reason), &until);
        marks[i] = waits && until <= session->view.now;
        due += marks[i];
        if (waits && !marks[i] && until < *next)
            *next = until;
    }
    return due;
}

static enum qs_status nothing_due(struct qs_call *call, int64_t now, int64_t next)
{
    char age[8];
    if (call->options->json)
        return QS_OK;
    if (next == INT64_MAX)
        fputs("Nothing is due.\n", call->out);
    else
        fprintf(call->out, "Nothing is due; the next in %s.\n", qs_text_age(age, next - now));
    return QS_OK;
}

/* What of a finished list is not in the plan. */
static void tell_left_of_list(const struct qs_scan *scan, const struct qs_plan *plan)
{
    const uint32_t named = scan->options.only ? qs_table_count(scan->options.only) : 0;
    if (named > scan->count)
        qs_complain("%" PRIu32 " of the %" PRIu32 " IDs: no message in the queue that can be taken (gone, being written, or none ever)",
                    named - scan->count, named);
    if (named && plan->left_unfit)
        qs_complain("%" PRIu32 " of the %" PRIu32 " IDs: %s has no meaning where they are", plan->left_unfit, named,
                    qs_action_name(plan->action));
}

static enum qs_status operate(struct qs_call *call, enum qs_action action, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct qs_session *session = NULL;
    struct qs_plan *plan = NULL;
    char age[8];
    if (qs_selection_all(o->selection) && !o->all && !o->due && !o->unknown)
        return qs_fail(err, QS_USAGE, "%s needs a selection, such as --verdict storm,backscatter or --cluster C-...; --all is one",
                       o->command->name);
    if (o->keep && (o->no_archive || o->output))
        return qs_fail(err, QS_USAGE, "--keep writes no archive: leave --no-archive and --output away");
    if (o->no_archive && o->output)
        return qs_fail(err, QS_USAGE, "--no-archive writes none: leave it or --output away");
    if (o->sticky && (o->plan || o->output))
        return qs_fail(err, QS_USAGE, o->plan ? "a plan in a file is performed once: leave --plan or --sticky away"
                                              : "with --sticky each batch has its own archive: leave --output away");
    if (o->drip && o->plan)
        return qs_fail(err, QS_USAGE, "a plan in a file is performed at once: give --drip together with --commit");
    enum qs_status status = qs_session_lists(o) ? qs_session_open_list(call, action, &session, err)
                                                : qs_session_open(call, true, NULL, NULL, &session, err);
    if (status == QS_OK)
        qs_operating_tell_unfinished(call, session->view.scan);
    struct qs_guard guard = qs_operating_guard(o);
    uint8_t *marks = status == QS_OK ? qs_operating_marks(call, session) : NULL;
    if (status == QS_OK && !marks)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK && o->unknown) {
        guard.unsure_named = true;
        status = qs_known_narrow(call, session, marks, err);
    }
    if (status == QS_OK && o->due) {
        int64_t next;
        guard.include_legit = guard.unsure_named = true;        /* whoever deferred them has chosen them */
        if (keep_due(session, marks, &next) == 0)
            return nothing_due(call, session->view.now, next);
    }
    if (status == QS_OK)
        status = qs_operating_plan(call, session, action, marks, &guard, &plan, err);
    if (status == QS_OK)
        tell_left_of_list(session->view.scan, plan);
    if (status == QS_OK && o->plan)
        status = qs_plan_write(plan, o->plan, err);
    if (status != QS_OK)
        return status;
    if (o->commit && plan->pace)
        return qs_drip(call, session, plan, err);
    if (o->commit && o->sticky)
        return qs_sticky(call, session, plan, !guard.unsure_named, err);
    if (o->commit)
        return qs_operating_commit(call, plan, err);
    if (o->sticky && !o->json)
        fprintf(call->out, "For %s, new arrivals like these would be taken as well.\n", qs_text_age(age, o->sticky));
    const char *line = o->plan ? talloc_asprintf(call->memory, "%s commit %s", o->program, qs_shell_word(call->memory, o->plan))
                               : talloc_asprintf(call->memory, "%s --commit", o->line);
    return o->json ? qs_report_plan_json(call->out, &session->view, plan, err)
                   : qs_report_plan_text(call->out, &session->view, plan, &call->style, line, err);
}

static enum qs_status run_hold(struct qs_call *call, struct qs_error *err) { return operate(call, QS_ACT_HOLD, err); }
static enum qs_status run_release(struct qs_call *call, struct qs_error *err) { return operate(call, QS_ACT_RELEASE, err); }
static enum qs_status run_purge(struct qs_call *call, struct qs_error *err) { return operate(call, QS_ACT_PURGE, err); }
static enum qs_status run_defer(struct qs_call *call, struct qs_error *err) { return operate(call, QS_ACT_DEFER, err); }
static enum qs_status run_expedite(struct qs_call *call, struct qs_error *err) { return operate(call, QS_ACT_EXPEDITE, err); }
static enum qs_status run_requeue(struct qs_call *call, struct qs_error *err) { return operate(call, QS_ACT_REQUEUE, err); }
static enum qs_status run_drop(struct qs_call *call, struct qs_error *err) { return operate(call, QS_ACT_DROP, err); }

static enum qs_status run_archive(struct qs_call *call, struct qs_error *err)
{
    if (!call->options->output)
        return qs_fail(err, QS_USAGE, "archive needs --output FILE");
    return operate(call, QS_ACT_PURGE, err);
}

#define COMMON (QS_OPTION(QS_OPT_ALL) | QS_OPTION(QS_OPT_COMMIT) | QS_OPTION(QS_OPT_PLAN) | QS_OPTION(QS_OPT_MAX) | \
                QS_OPTION(QS_OPT_MAX_SHARE) | QS_OPTION(QS_OPT_INCLUDE_LEGIT) | QS_OPTION(QS_OPT_JSON))

const struct qs_command qs_cmd_hold = {
    .name = "hold", .summary = "park messages: the hold queue of Postfix, the quarantine of sendmail", .arguments = "",
    .selects = true, .options = COMMON | QS_OPTION(QS_OPT_REASON) | QS_OPTION(QS_OPT_STICKY),
    .description = "--sticky goes on for that time: what arrives, resembles what was taken, fits the selection, and is neither\n"
                   "legit nor, unless that was named, unsure, is taken as well, a run each few seconds. SIGINT ends it.\n",
    .run = run_hold,
};
const struct qs_command qs_cmd_release = {
    .name = "release", .summary = "let held messages go on", .arguments = "", .selects = true,
    .options = COMMON | QS_OPTION(QS_OPT_DUE) | QS_OPTION(QS_OPT_DRIP),
    .description = "--drip watches what becomes of them, and stops when of the last 20 that the server has tried more than half\n"
                   "were deferred again.\n"
                   "--due is for cron and timers: on sendmail it ends what `defer` began; Postfix does that by itself.\n",
    .run = run_release,
};
const struct qs_command qs_cmd_purge = {
    .name = "purge", .summary = "take messages out of the queue at once, then archive them", .arguments = "", .selects = true,
    .options = COMMON | QS_OPTION(QS_OPT_KEEP) | QS_OPTION(QS_OPT_NO_ARCHIVE) | QS_OPTION(QS_OPT_OUTPUT) |
               QS_OPTION(QS_OPT_STICKY),
    .description = "They are renamed into a quarantine first, which takes seconds; the archive is written, synced and\n"
                   "read back after that, and only then the files are removed. --sticky: as for hold.\n",
    .run = run_purge,
};
const struct qs_command qs_cmd_archive = {
    .name = "archive", .summary = "purge into an archive of your choice", .arguments = "", .selects = true,
    .options = COMMON | QS_OPTION(QS_OPT_OUTPUT), .description = "", .run = run_archive,
};
const struct qs_command qs_cmd_defer = {
    .name = "defer", .summary = "not before some time has passed", .arguments = "", .selects = true,
    .options = COMMON | QS_OPTION(QS_OPT_FOR) | QS_OPTION(QS_OPT_REASON),
    .description = "sendmail has no delay of its own: there it is a hold, which `release --due` ends when its time has come.\n",
    .run = run_defer,
};
const struct qs_command qs_cmd_expedite = {
    .name = "expedite", .summary = "deliver now, before the others", .arguments = "", .selects = true, .options = COMMON,
    .description = "", .run = run_expedite,
};
const struct qs_command qs_cmd_requeue = {
    .name = "requeue", .summary = "send once more through cleanup and the content filters (Postfix)", .arguments = "",
    .selects = true, .options = COMMON,
    .description = "The message gets a new queue ID; address rewriting and BCC maps are applied again.\n", .run = run_requeue,
};
const struct qs_command qs_cmd_drop_recipients = {
    .name = "drop-recipients", .summary = "take the recipients that match --recipient off their messages", .arguments = "",
    .selects = true,
    .options = COMMON | QS_OPTION(QS_OPT_UNKNOWN) | QS_OPTION(QS_OPT_LIST) | QS_OPTION(QS_OPT_PUBLIC_KEY),
    .description = "The other recipients stay. No bounce is sent.\n"
                   "--unknown takes those that do not exist, by the list imported last, or by --list and --public-key;\n"
                   "of domains that the list does not cover it takes none.\n", .run = run_drop,
};
