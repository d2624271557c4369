/* SPDX-License-Identifier: Apache-2.0 */
/* express: parks storm and backscatter, lets legit mail go first, and parks what came of the storm meanwhile. A run each; nothing
 * unsure is touched. */
#include "sticky.h"

#include <inttypes.h>

struct lane {
    enum qs_action action;
    const char *words;
    uint8_t *marks;
    uint32_t count;
    struct qs_plan *plan;           /* NULL: nothing to do */
};

static bool guilty(uint8_t verdict)
{
    return verdict == QS_STORM || verdict == QS_BACKSCATTER;
}

/* What is on hold was put there by somebody, and what is being delivered needs no help. */
static void mark(const struct qs_session *session, const uint8_t *selected, struct lane *park, struct lane *first)
{
    const struct qs_view *view = &session->view;
    for (uint32_t i = 0; i < view->scan->count; i++) {
        const struct qs_message *m = &view->scan->messages[i];
        const struct qs_scan_queue *q = &view->scan->queues[m->instance];
        const struct qs_entry entry = {m->id, m->dir, m->kind, m->inode};
        uint8_t verdict = view->judgement->of[i].verdict;
        bool waits = selected[i] && !(m->flags & (QS_ENV_HELD | QS_ENV_LOST));
        park->marks[i] = waits && guilty(verdict);
        first->marks[i] = waits && verdict == QS_LEGIT &&
                          !(q->queue && q->instance->format->lock_rule(q->queue, &entry) == QS_LOCK_NONE);
        park->count += park->marks[i];
        first->count += first->marks[i];
    }
}

static enum qs_status make_plan(struct qs_call *call, const struct qs_session *session, struct lane *lane, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    bool parks = lane->action == QS_ACT_HOLD;
    /* the limits are on what is taken out of the way */
    const struct qs_guard guard = {.max = parks ? o->max : 0, .max_share = parks ? o->max_share : 0, .include_legit = true};
    if (lane->count == 0)
        return QS_OK;
    enum qs_status status = qs_operating_plan(call, session, lane->action, lane->marks, &guard, &lane->plan, err);
    if (status != QS_OK)
        return status;
    lane->plan->words = qs_selection_all(o->selection) ? lane->words
        : talloc_asprintf(lane->plan, "%s, %s", lane->words, lane->plan->words);
    return lane->plan->words ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
}

static enum qs_status show(struct qs_call *call, const struct qs_session *session, const struct lane *lane, const char *line,
                           struct qs_error *err)
{
    if (!lane->plan)
        return QS_OK;
    return call->options->json ? qs_report_plan_json(call->out, &session->view, lane->plan, err)
                               : qs_report_plan_text(call->out, &session->view, lane->plan, &call->style, line, err);
}

/* What the server has delivered by now, or has in delivery, needs no help: it is told apart from what could not be expedited. */
static void under_way(void *data, struct qs_run_result *result)
{
    uint32_t *count = data, kept = 0;
    for (uint32_t i = 0; i < result->left_count; i++)
        if (result->left[i].outcome != QS_LEFT_BUSY && result->left[i].outcome != QS_LEFT_GONE)
            result->left[kept++] = result->left[i];
    *count = result->left_count - kept;
    result->left_count = kept;
}

static enum qs_status expedite(struct qs_call *call, const struct lane *lane, struct qs_operating *with, struct qs_error *err)
{
    uint32_t delivering = 0;
    with->told = under_way;
    with->how.data = &delivering;
    enum qs_status status = qs_operating_perform(call, lane->plan, with, NULL, err);
    with->told = NULL;
    with->how.data = NULL;
    if (delivering && !call->options->json)
        fprintf(call->out, "%" PRIu32 " of them the server has delivered by itself, or has in delivery\n", delivering);
    fflush(call->out);
    return status;
}

/* Parking comes first: what is expedited before would wait behind the storm. What came of the storm meanwhile would go before real
 * mail as well. */
static enum qs_status perform(struct qs_call *call, struct qs_session *session, const struct lane *park,
                              const struct lane *first, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct qs_operating own;
    struct qs_sticky *sticky = NULL;
    enum qs_status status = QS_OK;
    if (park->plan)
        status = qs_sticky_begin(call, session, park->plan, true, &sticky, err);
    else if (first->plan)
        status = qs_operating_start(call, first->plan, &own, err);
    if (status == QS_OK && first->plan && !qs_operating_stopped())
        status = expedite(call, first, sticky ? qs_sticky_operating(sticky) : &own, err);
    bool again = sticky && (o->sticky || !o->max);      /* a limit on what is parked has been kept with the first */
    if (status == QS_OK && again && !qs_operating_stopped())
        status = qs_sticky_again(sticky, err);
    if (status == QS_OK && sticky && o->sticky && !qs_operating_stopped())
        status = qs_sticky_go_on(sticky, err);
    return status;
}

static enum qs_status run_express(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct qs_session *session = NULL;
    char age[8];
    struct lane lanes[] = {{.action = QS_ACT_HOLD, .words = "express: verdict storm or backscatter"},
                           {.action = QS_ACT_EXPEDITE, .words = "express: verdict legit"}};
    struct lane *park = &lanes[0], *first = &lanes[1];
    if (o->selection->verdicts)
        return qs_fail(err, QS_USAGE, "express goes by verdicts itself: leave --verdict away, or use hold and expedite");
    enum qs_status status = qs_session_open(call, true, NULL, NULL, &session, err);
    if (status != QS_OK)
        return status;
    qs_operating_tell_unfinished(call, session->view.scan);
    uint8_t *selected = qs_operating_marks(call, session);
    park->marks = qs_operating_marks(call, session);
    first->marks = qs_operating_marks(call, session);
    if (!selected || !park->marks || !first->marks)
        return qs_fail(err, QS_NOMEM, "out of memory");
    mark(session, selected, park, first);
    for (size_t i = 0; status == QS_OK && i < sizeof lanes / sizeof *lanes; i++)
        status = make_plan(call, session, &lanes[i], err);
    if (status != QS_OK)
        return status;
    if (!park->plan && !o->json)
        fputs("Nothing to park: no storm or backscatter waits.\n", call->out);
    if (!first->plan && !o->json)
        fputs("Nothing to expedite: no legit mail waits.\n", call->out);
    if (o->commit)
        return perform(call, session, park, first, err);
    if (park->plan && o->sticky && !o->json)
        fprintf(call->out, "For %s, new arrivals like those to be parked would be parked as well.\n", qs_text_age(age, o->sticky));
    const char *line = talloc_asprintf(call->memory, "%s --commit", o->line);
    status = show(call, session, park, first->plan ? NULL : line, err);
    if (status == QS_OK && park->plan && first->plan && !o->json)
        fputs("\n", call->out);
    return status == QS_OK ? show(call, session, first, line, err) : status;
}

const struct qs_command qs_cmd_express = {
    .name = "express", .summary = "hold storm and backscatter, expedite legit", .arguments = "", .selects = true,
    .options = QS_OPTION(QS_OPT_COMMIT) | QS_OPTION(QS_OPT_MAX) | QS_OPTION(QS_OPT_MAX_SHARE) | QS_OPTION(QS_OPT_REASON) |
               QS_OPTION(QS_OPT_STICKY) | QS_OPTION(QS_OPT_JSON),
    .description = "A run each: hold, expedite, and hold for what came of the storm meanwhile; `undo` reverses the last one.\n"
                   "What is unsure, and what is on hold already, stays as it is. A selection narrows all of it. --max and\n"
                   "--max-share bound what is parked at first; with --max no second look is taken. --sticky goes on for that\n"
                   "time with what arrives, resembles what was parked, and is judged so as well.\n",
    .run = run_express,
};
