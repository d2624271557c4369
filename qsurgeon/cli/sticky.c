/* SPDX-License-Identifier: Apache-2.0 */
#include "sticky.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <time.h>

static const double round_least = 5.0, rest_share = 4.0;        /* seconds; of a round's own time */

/* What is known of a message of the scan. */
enum { SETTLED = 1, ALIKE = 2, TAKEN = 4 };

struct qs_sticky {
    struct qs_call *call;
    struct qs_session *session;
    const struct qs_plan *first;
    struct qs_operating with;
    struct qs_message *models;      /* what new arrivals are compared with */
    uint32_t model_count;
    uint8_t *state;                 /* one for each message of the scan */
    uint32_t known;                 /* of them */
    bool certain;                   /* nothing unsure */
    bool busy;                      /* some were left out because the MTA worked on them */
    const char *words;
    uint32_t runs, taken, at_first;
    double end;
};

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The leaders of the plan's clusters, and its messages that have none. Items are in the order of the scan's messages. */
static enum qs_status keep_models(struct qs_sticky *s, struct qs_error *err)
{
    const struct qs_view *view = &s->session->view;
    TALLOC_CTX *scratch = talloc_new(NULL);
    uint8_t *known = talloc_zero_array(scratch, uint8_t, view->clusters->count + 1);
    s->models = talloc_array(s, struct qs_message, s->first->count + 1);
    if (!known || !s->models) {
        talloc_free(scratch);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    for (uint32_t i = 0, n = 0; i < view->scan->count && n < s->first->count; i++) {
        uint32_t cluster = view->clusters->of[i];
        if (s->first->items[n].id != view->scan->messages[i].id)
            continue;
        n++;
        if (cluster != QS_NO_CLUSTER && known[cluster])
            continue;
        if (cluster != QS_NO_CLUSTER)
            known[cluster] = 1;
        s->models[s->model_count++] =
            view->scan->messages[cluster == QS_NO_CLUSTER ? i : view->clusters->item[cluster].leader];
    }
    talloc_free(scratch);
    return QS_OK;
}

static bool resembles(const struct qs_sticky *s, const struct qs_message *m)
{
    for (uint32_t i = 0; i < s->model_count; i++)
        if (qs_alike(&s->models[i], m))
            return true;
    return false;
}

/* Reads what has come. */
static enum qs_status look(struct qs_sticky *s, bool *news, struct qs_error *err)
{
    struct qs_scan *scan = s->session->view.scan;
    struct qs_scan_queue *q = &scan->queues[0];
    struct qs_queue *before = q->queue, *fresh = NULL;
    enum qs_status status = q->instance->format->open(s->call->memory, q->instance, &fresh, err);
    if (status != QS_OK)
        return status;
    status = qs_scan_again(scan, 0, fresh, err);
    talloc_free(before);
    if (status == QS_OK)
        status = qs_scan_run(scan, NULL, NULL, err);
    if (status != QS_OK)
        return status;
    uint8_t *grown = talloc_realloc(s, s->state, uint8_t, scan->count + 1);
    if (!grown)
        return qs_fail(err, QS_NOMEM, "out of memory");
    s->state = grown;
    *news = s->known < scan->count;
    for (; s->known < scan->count; s->known++)
        s->state[s->known] = resembles(s, &scan->messages[s->known]) ? ALIKE : 0;
    return QS_OK;
}

/* Verdicts with all that is known by now, what has left the queue included, and the marks of what is meant. */
static enum qs_status judge(struct qs_sticky *s, TALLOC_CTX *round, struct qs_view *view, uint8_t **marks, uint32_t *marked,
                            struct qs_error *err)
{
    const struct qs_options *o = s->call->options;
    struct qs_selection narrow = *o->selection;
    uint32_t count = 0;
    narrow.id_count = narrow.cluster_count = 0;
    narrow.ids_given = false;
    narrow.verdicts = 0;
    narrow.causes = 0;
    view->now = time(NULL);
    enum qs_status status = qs_cluster(round, view->scan, &view->clusters, err);
    if (status == QS_OK)
        status = qs_judge(round, view->scan, view->clusters, s->session->site, view->now, &view->judgement, err);
    if (status == QS_OK)
        status = qs_select(round, view, &narrow, marks, &count, err);
    uint8_t *caught = status == QS_OK ? talloc_zero_array(round, uint8_t, view->judgement->group_count + 1) : NULL;
    if (status == QS_OK && !caught)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status != QS_OK)
        return status;
    const uint32_t *group_of = view->judgement->group_of;
    for (uint32_t i = 0; i < view->scan->count; i++)
        if (s->state[i] & TAKEN && group_of[i] != QS_NO_CLUSTER)
            caught[group_of[i]] = 1;
    *marked = 0;
    for (uint32_t i = 0; i < view->scan->count; i++) {
        bool same = s->state[i] & ALIKE || (group_of[i] != QS_NO_CLUSTER && caught[group_of[i]]);
        enum qs_verdict verdict = (enum qs_verdict)view->judgement->of[i].verdict;
        bool against = (verdict == QS_LEGIT && !o->include_legit) || (verdict == QS_UNSURE && s->certain) ||
                       (verdict != QS_UNSURE && o->selection->verdicts && !(o->selection->verdicts & 1u << verdict)) ||
                       (s->first->action == QS_ACT_HOLD && view->scan->messages[i].flags & (QS_ENV_HELD | QS_ENV_LOST));
        (*marks)[i] = (*marks)[i] && same && !(s->state[i] & SETTLED) && !against;
        *marked += (*marks)[i];
    }
    return QS_OK;
}

/* What the MTA worked on is looked at again, all else that was planned is settled. */
static void settle(struct qs_sticky *s, const struct qs_plan *plan, const struct qs_run_result *result)
{
    const struct qs_scan *scan = s->session->view.scan;
    for (uint32_t i = 0, n = 0; i < scan->count && n < plan->count; i++)
        if (plan->items[n].id == scan->messages[i].id) {
            s->state[i] |= SETTLED | TAKEN;
            n++;
        }
    s->busy = false;
    /* both lists are in the scan's order but for what lies near: one is walked on from where the other was found */
    for (uint32_t k = 0, i = 0; k < result->left_count; k++) {
        bool busy = result->left[k].outcome == QS_LEFT_BUSY;
        s->busy |= busy;
        for (uint32_t tried = 0; busy && tried < scan->count; tried++, i = (i + 1) % scan->count)
            if (strcmp(result->left[k].id, scan->messages[i].id) == 0) {
                s->state[i] &= (uint8_t)~SETTLED;
                break;
            }
    }
    s->runs++;
    s->taken += result->count[QS_DONE];
}

static enum qs_status perform(struct qs_sticky *s, const struct qs_plan *plan, struct qs_error *err)
{
    struct qs_run_result *result = NULL;
    enum qs_status status = qs_operating_perform(s->call, plan, &s->with, &result, err);
    bool begun = result && result->run[0];
    if (begun)
        settle(s, plan, result);
    if (begun && !s->words)
        s->words = talloc_asprintf(s, "new arrivals like those of %s", result->run);
    fflush(s->call->out);
    talloc_free(result);
    /* another run goes on: the next round may find it ended */
    s->busy |= status == QS_BUSY;
    return status == QS_BUSY && !begun && s->runs ? QS_OK : status;
}

enum qs_status qs_sticky_again(struct qs_sticky *s, struct qs_error *err)
{
    const struct qs_options *o = s->call->options;
    struct qs_guard guard = {.max = o->max ? o->max - s->taken : 0, .include_legit = o->include_legit, .unsure_named = true};
    uint8_t *marks = NULL;
    uint32_t marked = 0;
    bool news = false;
    struct qs_plan *plan = NULL;
    enum qs_status status = look(s, &news, err);
    if (status != QS_OK || !(news || s->busy))
        return status;
    TALLOC_CTX *round = talloc_new(NULL);
    struct qs_session now = *s->session;
    status = judge(s, round, &now.view, &marks, &marked, err);
    if (status == QS_OK && marked && o->max && s->taken >= o->max)
        status = qs_fail(err, QS_USAGE, "%" PRIu32 " messages are taken: --max %u allows no more", s->taken, o->max);
    if (status == QS_OK && marked)
        status = qs_operating_plan(s->call, &now, s->first->action, marks, &guard, &plan, err);
    if (status == QS_OK && plan) {
        plan->words = s->words;
        status = perform(s, plan, err);
    }
    talloc_free(plan);
    talloc_free(round);
    return status;
}

enum qs_status qs_sticky_begin(struct qs_call *call, struct qs_session *session, const struct qs_plan *plan, bool certain,
                               struct qs_sticky **out, struct qs_error *err)
{
    struct qs_sticky *s = talloc_zero(call->memory, struct qs_sticky);
    uint32_t count = session->view.scan->count;
    if (!s || !(s->state = talloc_array(s, uint8_t, count + 1)))
        return qs_fail(err, QS_NOMEM, "out of memory");
    s->end = seconds_now() + (double)call->options->sticky;
    s->call = call;
    s->session = session;
    s->first = plan;
    s->certain = certain;
    memset(s->state, SETTLED, count);
    s->known = count;
    enum qs_status status = keep_models(s, err);
    if (status == QS_OK)
        status = qs_operating_start(call, plan, &s->with, err);
    if (status == QS_OK)
        status = perform(s, plan, err);
    s->at_first = s->taken;
    if (status == QS_OK)
        *out = s;
    return status;
}

struct qs_operating *qs_sticky_operating(struct qs_sticky *s)
{
    return &s->with;
}

enum qs_status qs_sticky_go_on(struct qs_sticky *s, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    double cost = 0;
    while (status == QS_OK && !qs_operating_stopped()) {
        double begin = seconds_now(), rest = cost * rest_share > round_least ? cost * rest_share : round_least;
        bool last = begin + rest >= s->end;
        for (double until = last ? s->end : begin + rest; !qs_operating_stopped() && seconds_now() < until;)
            (void)poll(NULL, 0, until - seconds_now() < 0.5 ? (int)((until - seconds_now()) * 1e3) + 1 : 500);
        if (qs_operating_stopped())
            break;
        begin = seconds_now();
        status = qs_sticky_again(s, err);
        cost = seconds_now() - begin;
        if (last)
            break;
    }
    if (!s->call->options->json && s->runs)
        fprintf(s->call->out, "%s: %" PRIu32 " more taken in %" PRIu32 " %s\n",
                qs_operating_stopped() ? "Ended by a signal" : "Ended", s->taken - s->at_first, s->runs - 1,
                s->runs == 2 ? "run" : "runs");
    return status;
}

enum qs_status qs_sticky(struct qs_call *call, struct qs_session *session, const struct qs_plan *plan, bool certain,
                         struct qs_error *err)
{
    struct qs_sticky *s = NULL;
    enum qs_status status = qs_sticky_begin(call, session, plan, certain, &s, err);
    return status == QS_OK ? qs_sticky_go_on(s, err) : status;
}
