/* SPDX-License-Identifier: Apache-2.0 */
#include "drip.h"

#include <poll.h>
#include <string.h>
#include <time.h>

enum { READ_MOST = 2000, POLL_MS = 500 };

enum fate { UNTRIED, LEFT_QUEUE, DEFERRED, NOT_OURS };

struct drop {
    struct qs_entry entry;
    int64_t next_try;               /* before the release */
    uint64_t attempts;
    enum fate fate;
    bool missed;                    /* was not found; once more, and it has left the queue */
};

struct drip {
    const struct qs_format *format;
    const struct qs_queue *queue;
    const struct qs_plan *plan;
    struct qs_reader *reader;
    struct drop *drops;             /* one for each message of the plan */
    uint32_t reached, left_seen, oldest;    /* of the plan; of the result's left; before it all are settled */
    uint32_t tried, left_queue, deferred;
    bool window[DRIP_WINDOW];       /* deferred again? of the last ones tried */
    double begin;
    bool climbed, told;             /* told: that it waits for the server */
};

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void settle(struct drip *d, struct drop *drop, enum fate fate)
{
    drop->fate = fate;
    if (fate == NOT_OURS)
        return;
    d->window[d->tried++ % DRIP_WINDOW] = fate == DEFERRED;
    d->left_queue += fate == LEFT_QUEUE;
    d->deferred += fate == DEFERRED;
}

/* Looks where one message is now; true: it is due and has not been tried. */
static bool look(struct drip *d, struct drop *drop, int64_t now)
{
    struct qs_envelope e = {0};
    enum qs_status status = d->format->read(d->queue, &drop->entry, d->reader, &e, NULL);
    if (status == QS_GONE && drop->missed)      /* it may have been between two directories */
        settle(d, drop, LEFT_QUEUE);
    drop->missed = status == QS_GONE;
    if (status != QS_OK)
        return false;
    if (e.flags & QS_ENV_HELD)
        settle(d, drop, NOT_OURS);              /* somebody has put it on hold again */
    else if (d->format->lock_rule(d->queue, &drop->entry) != QS_LOCK_NONE &&
             (e.next_try != drop->next_try || e.attempts != drop->attempts))
        settle(d, drop, DEFERRED);
    return drop->fate == UNTRIED && e.next_try <= now;
}

/* Looks at what was released and is not settled; how many of them are due and untried. */
static uint32_t measure(struct drip *d)
{
    uint32_t waiting = 0, read = 0;
    int64_t now = time(NULL);
    while (d->oldest < d->reached && d->drops[d->oldest].fate != UNTRIED)
        d->oldest++;
    for (uint32_t i = d->oldest; i < d->reached && read < READ_MOST; i++)
        if (d->drops[i].fate == UNTRIED) {
            waiting += look(d, &d->drops[i], now);
            read++;
        }
    return waiting;
}

static bool climbs(const struct drip *d)
{
    uint32_t looked = d->tried < DRIP_WINDOW ? d->tried : DRIP_WINDOW, again = 0;
    for (uint32_t i = 0; i < looked; i++)
        again += d->window[i];
    return d->tried >= DRIP_LEAST && again * 2 > looked;
}

/* Those that were left out were not released. */
static void leave_out(struct drip *d, const struct qs_run_result *so_far, uint32_t reached)
{
    for (; d->left_seen < so_far->left_count; d->left_seen++)
        for (uint32_t i = d->reached; i < reached; i++)
            if (strcmp(d->plan->items[i].id, so_far->left[d->left_seen].id) == 0)
                d->drops[i].fate = NOT_OURS;
    d->reached = reached;
}

static bool on_rest(void *data, const struct qs_run_result *so_far, uint32_t reached)
{
    struct drip *d = data;
    uint32_t ahead = d->plan->pace > DRIP_AHEAD ? d->plan->pace : DRIP_AHEAD;
    leave_out(d, so_far, reached);
    for (;;) {
        uint32_t waiting = measure(d);
        d->climbed = climbs(d);
        double left = d->begin + 60.0 * reached / d->plan->pace - seconds_now();
        if (d->climbed || qs_operating_stopped())
            return false;
        if (left <= 0 && waiting <= ahead)
            return true;
        if (left <= 0 && !d->told)
            qs_complain("waiting until the mail server has tried what was released: %u messages are due", (unsigned)waiting);
        d->told |= left <= 0;
        (void)poll(NULL, 0, left > 0 && left < POLL_MS / 1e3 ? (int)(left * 1e3) + 1 : POLL_MS);
    }
}

static void on_told(void *data, struct qs_run_result *result)
{
    struct drip *d = data;
    leave_out(d, result, result->stopped ? d->reached : d->plan->count);
    (void)measure(d);
    result->paced = true;
    result->tried = d->tried;
    result->left_queue = d->left_queue;
    result->deferred_again = d->deferred;
    result->stopped_why = d->climbed ? "more than half of those last tried were deferred again" : NULL;
}

/* How the messages of the plan are before they are released. Items are in the order of the session's messages. */
static enum qs_status remember(struct drip *d, const struct qs_scan *scan, struct qs_error *err)
{
    d->drops = talloc_zero_array(d, struct drop, d->plan->count + 1);
    if (!d->drops)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (uint32_t i = 0, n = 0; i < scan->count && n < d->plan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        if (d->plan->items[n].id == m->id)
            d->drops[n++] = (struct drop){.entry = {m->id, m->dir, m->kind, m->inode}, .next_try = m->next_try,
                                          .attempts = m->attempts};
    }
    return QS_OK;
}

enum qs_status qs_drip(struct qs_call *call, const struct qs_session *session, const struct qs_plan *plan,
                       struct qs_error *err)
{
    enum { STRETCHES = 12, STRETCH_MOST = 20 };         /* a minute */
    struct qs_operating with;
    struct drip *d = talloc_zero(call->memory, struct drip);
    if (!d || !(d->reader = qs_reader_new(d)))
        return qs_fail(err, QS_NOMEM, "out of memory");
    d->plan = plan;
    enum qs_status status = remember(d, session->view.scan, err);
    if (status == QS_OK)
        status = qs_operating_start(call, plan, &with, err);
    if (status != QS_OK)
        return status;
    d->format = with.instance->format;
    d->queue = session->view.scan->queues[0].queue;
    d->begin = seconds_now();
    uint32_t stretch = plan->pace / STRETCHES;
    with.how.stretch = stretch < 1 ? 1 : stretch > STRETCH_MOST ? STRETCH_MOST : stretch;
    with.how.rest = on_rest;
    with.how.data = d;
    with.told = on_told;
    return qs_operating_perform(call, plan, &with, NULL, err);
}
