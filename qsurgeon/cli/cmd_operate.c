/* SPDX-License-Identifier: Apache-2.0 */
/* hold, release, purge, archive, defer, expedite, requeue, drop-recipients: one way for all. A selection becomes a plan; the plan is
 * shown, or saved, or performed. */
#include <stdio.h>
#include <time.h>

#include "operating.h"
#include "session.h"

static enum qs_status make_wish(struct qs_call *call, const struct qs_session *session, enum qs_action action,
                                struct qs_plan_wish *wish, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    *wish = (struct qs_plan_wish){
        .action = action, .note = o->reason ? o->reason : "held by qsurgeon", .host = qs_operating_host(call->memory),
        .words = o->all && qs_selection_all(o->selection) ? "everything" : qs_selection_words(call->memory, o->selection),
        .after = o->keep ? QS_AFTER_KEEP : o->no_archive ? QS_AFTER_UNLINK : QS_AFTER_ARCHIVE,
    };
    if (!wish->host || !wish->words)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (action == QS_ACT_DEFER) {
        if (o->defer_for <= 0)
            return qs_fail(err, QS_USAGE, "defer needs --for TIME");
        wish->until = session->view.now + o->defer_for;
    }
    return QS_OK;
}

static enum qs_status find_recipients(struct qs_call *call, const struct qs_session *session, struct qs_plan_wish *wish,
                                      struct qs_error *err)
{
    if (call->options->selection->recipient_count == 0)
        return qs_fail(err, QS_USAGE, "drop-recipients needs --recipient: those that match are taken off");
    enum qs_status status = qs_select_recipients(call->memory, &session->view, call->options->selection, session->selected,
                                                 &wish->drop, &wish->drop_count, err);
    return status == QS_OK && wish->drop_count == 0
        ? qs_fail(err, QS_USAGE, "nothing to do: no recipient that still waits matches") : status;
}

/* What was only unsure is taken when it was named. */
static struct qs_guard guard_of(const struct qs_options *o)
{
    const struct qs_selection *s = o->selection;
    return (struct qs_guard){
        .max = o->max, .max_share = o->max_share, .include_legit = o->include_legit,
        .unsure_named = s->ids_given || s->cluster_count > 0 || (s->verdicts & 1u << QS_UNSURE) != 0,
    };
}

static uint8_t *everything(struct qs_call *call, const struct qs_session *session)
{
    uint32_t count = session->view.scan->count;
    uint8_t *marks = talloc_array(call->memory, uint8_t, count ? count : 1);
    for (uint32_t i = 0; marks && i < count; i++)
        marks[i] = 1;
    return marks;
}

static enum qs_status operate(struct qs_call *call, enum qs_action action, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct qs_session *session = NULL;
    struct qs_plan_wish wish;
    struct qs_plan *plan = NULL;
    if (qs_selection_all(o->selection) && !o->all)
        return qs_fail(err, QS_USAGE, "%s needs a selection, such as --verdict storm,backscatter or --cluster C-...; --all is one",
                       o->command->name);
    if (o->keep && (o->no_archive || o->output))
        return qs_fail(err, QS_USAGE, "--keep writes no archive: leave --no-archive and --output away");
    enum qs_status status = qs_session_open(call, true, NULL, NULL, &session, err);
    if (status == QS_OK && !session->selected && !(session->selected = everything(call, session)))
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        status = make_wish(call, session, action, &wish, err);
    if (status == QS_OK && action == QS_ACT_DROP)
        status = find_recipients(call, session, &wish, err);
    struct qs_guard guard = guard_of(o);
    if (status == QS_OK)
        status = qs_plan_make(call->memory, &session->view, session->selected, &wish, &guard, &plan, err);
    if (status == QS_OK && o->plan)
        status = qs_plan_write(plan, o->plan, err);
    if (status != QS_OK)
        return status;
    if (o->commit)
        return qs_operating_commit(call, plan, err);
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
    if (call->options->commit && !call->options->output)
        return qs_fail(err, QS_USAGE, "archive needs --output FILE");
    return operate(call, QS_ACT_PURGE, err);
}

#define COMMON (QS_OPTION(QS_OPT_ALL) | QS_OPTION(QS_OPT_COMMIT) | QS_OPTION(QS_OPT_PLAN) | QS_OPTION(QS_OPT_MAX) | \
                QS_OPTION(QS_OPT_MAX_SHARE) | QS_OPTION(QS_OPT_INCLUDE_LEGIT) | QS_OPTION(QS_OPT_JSON))

const struct qs_command qs_cmd_hold = {
    .name = "hold", .summary = "park messages: the hold queue of Postfix, the quarantine of sendmail", .arguments = "",
    .selects = true, .options = COMMON | QS_OPTION(QS_OPT_REASON), .description = "", .run = run_hold,
};
const struct qs_command qs_cmd_release = {
    .name = "release", .summary = "let held messages go on", .arguments = "", .selects = true, .options = COMMON,
    .description = "", .run = run_release,
};
const struct qs_command qs_cmd_purge = {
    .name = "purge", .summary = "take messages out of the queue at once, then archive them", .arguments = "", .selects = true,
    .options = COMMON | QS_OPTION(QS_OPT_KEEP) | QS_OPTION(QS_OPT_NO_ARCHIVE) | QS_OPTION(QS_OPT_OUTPUT),
    .description = "They are renamed into a quarantine first, which takes seconds; the archive is written, synced and\n"
                   "read back after that, and only then the files are removed.\n",
    .run = run_purge,
};
const struct qs_command qs_cmd_archive = {
    .name = "archive", .summary = "purge into an archive of your choice", .arguments = "", .selects = true,
    .options = COMMON | QS_OPTION(QS_OPT_OUTPUT), .description = "", .run = run_archive,
};
const struct qs_command qs_cmd_defer = {
    .name = "defer", .summary = "not before some time has passed (Postfix)", .arguments = "", .selects = true,
    .options = COMMON | QS_OPTION(QS_OPT_FOR), .description = "", .run = run_defer,
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
    .selects = true, .options = COMMON, .description = "The other recipients stay. No bounce is sent.\n", .run = run_drop,
};
