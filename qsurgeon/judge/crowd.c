/* SPDX-License-Identifier: Apache-2.0 */
/* What some messages show together: how many different senders, sources, recipients; how alike their texts are. Counting
 * only, no judgement. Distinct values are counted exactly, in a hash table that is used again for every group. */
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "qsurgeon/fingerprint.h"

enum { PAIRS_OF = 24, RECIPIENTS_COUNTED = 64 };

enum kind {
    SENDER, SENDER_ORG, ROUTE, SOURCE, CLIENT, RECIPIENT, LINK, ORIGIN, ORIGIN_NET, LIST, VICTIM, RETURNED_CLIENT, CAMPAIGN,
    TEXT, ANSWERED,
    KINDS,
};

struct entry {
    uint64_t key;
    uint32_t stamp;                 /* of the group that last used it */
    uint32_t count;
};

struct qs_census {
    struct entry *entry;
    uint32_t mask, used, stamp;
};

struct qs_census *qs_census_new(TALLOC_CTX *parent)
{
    struct qs_census *c = talloc_zero(parent, struct qs_census);
    if (!c)
        return NULL;
    c->mask = 1023;
    c->entry = talloc_zero_array(c, struct entry, c->mask + 1);
    if (c->entry)
        return c;
    talloc_free(c);
    return NULL;
}

static struct entry *find(struct qs_census *c, uint64_t key)
{
    uint32_t at = (uint32_t)qs_mix64(key) & c->mask;
    while (c->entry[at].stamp == c->stamp && c->entry[at].key != key)
        at = (at + 1) & c->mask;
    return &c->entry[at];
}

static bool grow(struct qs_census *c)
{
    struct entry *old = c->entry;
    uint32_t slots = c->mask + 1;
    if (slots > UINT32_MAX / 4)
        return false;
    c->entry = talloc_zero_array(c, struct entry, slots * 2);
    if (!c->entry) {
        c->entry = old;
        return false;
    }
    c->mask = slots * 2 - 1;
    for (uint32_t i = 0; i < slots; i++)
        if (old[i].stamp == c->stamp)
            *find(c, old[i].key) = old[i];
    talloc_free(old);
    return true;
}

/* How often `value` has now been seen in this group; 0: out of memory. */
static uint32_t count_one(struct qs_census *c, enum kind kind, uint64_t value)
{
    uint64_t key = qs_mix64(value) * KINDS + (uint64_t)kind;
    if (c->used >= c->mask / 4 * 3 && !grow(c))
        return 0;
    struct entry *e = find(c, key);
    if (e->stamp != c->stamp) {
        *e = (struct entry){key, c->stamp, 0};
        c->used++;
    }
    return ++e->count;
}

static bool count_distinct(struct qs_census *c, enum kind kind, uint64_t value, uint32_t *distinct)
{
    uint32_t n = count_one(c, kind, value);
    *distinct += n == 1;
    return n != 0;
}

static bool count_top(struct qs_census *c, enum kind kind, uint64_t value, uint32_t *top)
{
    uint32_t n = count_one(c, kind, value);
    *top = n > *top ? n : *top;
    return n != 0;
}

static void count_bits(const struct qs_message *m, const struct qs_fact *f, struct qs_crowd *out)
{
    uint32_t b = f->bits, t = m->traits;
    out->nulls += !m->sender;
    out->own_sender += (b & QS_F_OWN_SENDER) != 0;
    out->to_others += (b & QS_F_TO_OTHERS) != 0;
    out->brief += m->print.shingles < QS_TEXT_ENOUGH;
    out->html += (t & QS_T_HTML) != 0;
    out->images += (t & QS_T_IMAGE) != 0;
    out->attachments += (t & QS_T_ATTACHMENT) != 0;
    out->hidden += (t & QS_T_HIDDEN_TEXT) != 0;
    out->disguised += (t & (QS_T_ZERO_WIDTH | QS_T_HOMOGLYPH)) != 0;
    out->listed += (t & (QS_T_LIST_ID | QS_T_LIST_UNSUBSCRIBE | QS_T_PRECEDENCE_LIST | QS_T_PRECEDENCE_BULK)) != 0;
    out->scripts += (t & QS_T_SCRIPT) || m->script;
    out->replies += (b & QS_F_THREAD) != 0;
    out->made_here += (b & QS_F_MADE_HERE) != 0;
    out->looping += m->own_hops > 2;
    out->bypass += (f->bits & QS_F_BYPASS) != 0;
    out->to_loopback += (f->bits & QS_F_TO_LOOPBACK) != 0;
    out->honeypots += (b & QS_F_HONEYPOT) != 0;
    out->to_nobody += (b & QS_F_TO_NOBODY) != 0;
    out->good += (b & QS_F_GOOD) != 0;
    out->like_good += (b & QS_F_LIKE_GOOD) != 0;
    out->like_bad += (b & QS_F_LIKE_BAD) != 0;
    if (b & QS_F_INSIDE) {
        out->inside++;
        out->own_clients += (b & QS_F_OWN_CLIENT) != 0;
        out->authenticated += (b & QS_F_AUTH) != 0;
        out->local += (b & QS_F_LOCAL) != 0;
    } else {
        out->outside++;
        out->shared += (b & QS_F_SHARED) != 0;
        out->vouched += (b & QS_F_VOUCHED) != 0;
        out->steady += (b & QS_F_STEADY) != 0;
        out->no_name += (b & QS_F_NO_NAME) != 0;
        out->generic += (b & QS_F_GENERIC) != 0;
        out->bad_helo += (b & QS_F_BAD_HELO) != 0;
        out->forged += (b & QS_F_OWN_SENDER) && !(b & QS_F_VOUCHED);
        out->relayed += (b & QS_F_TO_OTHERS) && !(b & QS_F_VOUCHED);    /* domains that we relay for may not be known */
        out->to_host += (b & QS_F_TO_HOST) != 0;
    }
    out->returning += (b & QS_F_RETURNS) != 0;
    out->strange += (b & QS_F_RETURNS) && !(b & QS_F_PASSED);
    out->passed += (b & QS_F_PASSED) != 0;
    out->from_us += (b & QS_F_FROM_US) != 0;
    out->false_traces += (b & QS_F_FALSE_TRACE) != 0;
}

/* A link to the organisation of its From address, or to ours. */
static bool links_home(const struct qs_work *work, const struct qs_message *m)
{
    struct qs_span from = qs_domain_of(qs_sym_span(work->scan->strings, m->from));
    uint32_t org = from.len ? qs_host_hash(from) : 0;
    for (unsigned u = 0; u < QS_URLS_KEPT && m->url[u]; u++)
        if (m->url[u] == org || qs_table_get(work->known->orgs, m->url[u], 0))
            return true;
    return false;
}

static bool count_values(const struct qs_work *work, struct qs_census *c, uint32_t at, struct qs_crowd *out)
{
    const struct qs_message *m = &work->scan->messages[at];
    const struct qs_fact *f = &work->fact[at];
    bool ok = count_distinct(c, SENDER, m->sender, &out->senders) &&
              count_distinct(c, SOURCE, f->source, &out->sources) &&
              count_distinct(c, CLIENT, m->client_address, &out->clients);
    if (f->sender_org) {
        uint32_t times = ok ? count_one(c, SENDER_ORG, f->sender_org) : 0;
        out->sender_orgs += times == 1;
        out->same_org += times ? times - 1 : 0;
        ok = times && count_distinct(c, ROUTE, (uint64_t)f->sender_org << 32 | f->source, &out->routes);
    }
    uint32_t cluster = work->clusters->of[at], first = 0;
    if (ok && cluster != QS_NO_CLUSTER && !(f->bits & QS_F_NOTICE)) {
        ok = count_distinct(c, TEXT, cluster, &first);
        out->vouched_orgs += first ? work->vouched_orgs[cluster] : 0;
    }
    if (f->bits & QS_F_INSIDE && m->url[0])
        out->links_home += links_home(work, m);
    for (uint32_t r = 0; ok && r < m->recipient_count && r < RECIPIENTS_COUNTED; r++)
        ok = count_distinct(c, RECIPIENT, m->recipients[r].address, &out->recipients);
    for (unsigned u = 0; ok && u < QS_URLS_KEPT && m->url[u]; u++)
        ok = count_top(c, LINK, m->url[u], &out->top_link);
    if (ok && m->list_id)
        ok = count_distinct(c, LIST, m->list_id, &out->lists_one);
    if (ok && f->origin && !(f->bits & QS_F_NOTICE)) {
        uint32_t n = count_one(c, ORIGIN, f->origin);
        if (n > out->top_origin) {
            out->top_origin = n;
            out->origin = f->origin;
        }
        ok = n != 0;
    }
    if (ok && f->bits & QS_F_NOTICE) {
        ok = count_distinct(c, VICTIM, qs_first_recipient(m), &out->victims);
        if (ok && m->in_reply_to && !m->returned)
            ok = count_top(c, ANSWERED, m->in_reply_to, &out->top_answered);
        uint32_t campaign = work->campaigns->of[at];
        if (ok && campaign != QS_NONE)
            ok = count_top(c, CAMPAIGN, campaign, &out->top_campaign);
        out->storm_returns += (f->bits & QS_F_RETURNS_STORM) != 0;
        if (ok && f->origin)
            ok = count_distinct(c, RETURNED_CLIENT, f->origin, &out->returned_clients);
    }
    return ok;
}

/* The members with the smallest content digests: a sample that does not depend on order. */
static unsigned choose(const struct qs_work *work, const uint32_t *member, uint32_t count, uint32_t out[PAIRS_OF])
{
    uint64_t key[PAIRS_OF];
    unsigned used = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct qs_message *m = &work->scan->messages[member[i]];
        uint64_t k = qs_mix64(m->digest);
        if (!m->print.shingles || (used == PAIRS_OF && k >= key[used - 1]))
            continue;
        unsigned at = used < PAIRS_OF ? used++ : used - 1;
        for (; at > 0 && key[at - 1] > k; at--) {
            key[at] = key[at - 1];
            out[at] = out[at - 1];
        }
        key[at] = k;
        out[at] = member[i];
    }
    return used;
}

static double mean_likeness(const struct qs_work *work, const uint32_t *member, uint32_t count)
{
    uint32_t some[PAIRS_OF];
    unsigned n = choose(work, member, count, some);
    uint64_t sum = 0, pairs = 0;
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < i; k++, pairs++)
            sum += qs_sketch_matches(&work->scan->messages[some[i]].print.sketch,
                                     &work->scan->messages[some[k]].print.sketch);
    }
    return pairs ? (double)sum / (double)(pairs * QS_SKETCH_BINS) : 1;
}

bool qs_measure(const struct qs_work *work, struct qs_census *c, const uint32_t *member, uint32_t count,
                struct qs_crowd *out)
{
    *out = (struct qs_crowd){.count = count, .oldest = INT64_MAX, .newest = INT64_MIN};
    c->stamp++;
    c->used = 0;
    if (!c->stamp) {
        memset(c->entry, 0, ((size_t)c->mask + 1) * sizeof *c->entry);
        c->stamp = 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct qs_message *m = &work->scan->messages[member[i]];
        count_bits(m, &work->fact[member[i]], out);
        if (!count_values(work, c, member[i], out))
            return false;
        out->bytes += m->size;
        out->oldest = m->arrival < out->oldest ? m->arrival : out->oldest;
        out->newest = m->arrival > out->newest ? m->arrival : out->newest;
    }
    if (out->top_origin * 2 <= count)
        out->origin = 0;            /* which of several is the first depends on order; a majority does not */
    for (uint32_t i = 0; out->origin && i < count; i++)
        if (work->fact[member[i]].origin == out->origin &&
            !count_distinct(c, ORIGIN_NET, work->fact[member[i]].net, &out->origin_nets))
            return false;
    out->likeness = mean_likeness(work, member, count);
    return true;
}
