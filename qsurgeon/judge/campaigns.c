/* SPDX-License-Identifier: Apache-2.0 */
/* Campaigns: messages of one wording, however much it was varied.
 *
 * A spammer who spins every phrase leaves a tenth of the three-word shingles to any two messages, too little for text
 * clusters, which demand a third. But unrelated texts share none, so a tenth in the mean over many pairs is no accident.
 * Hence average linkage (UPGMA by nearest-neighbour chains, Murtagh 1983) over a sample of what no one vouches for: a link
 * between two groups is the mean over all their pairs, so no chain of single likenesses can grow one. The rest is then
 * compared with some members of each campaign, and what is left is sampled again. A text cluster counts as one text.
 * All choices go by digests of content: the order of messages has no influence. Linear in messages. */
#include <stdlib.h>
#include <string.h>

#include "judge.h"

enum {
    SAMPLE = 1024, ROUNDS = 8,
    PROTOTYPES = 16,                /* members that stand for a campaign */
    SCREEN = 4,                     /* of which so many are compared first */
    CAMPAIGNS_MAX = 4096,
};

/* Agreeing bins of 64, in the mean over pairs, that make one campaign. Unrelated texts agree in 64/256. */
static const float alike = 4.5f;

struct point {
    uint64_t key;                   /* digest of content: the order */
    uint32_t message;
    uint32_t cluster;               /* the text cluster that it stands for, or QS_NO_CLUSTER */
    uint32_t campaign;
    bool tried;                     /* was in a sample */
};

struct prototype {
    struct qs_sketch sketch[PROTOTYPES];
    unsigned count;
};

struct finder {
    const struct qs_scan *scan;
    const struct qs_clusters *clusters;
    const struct qs_fact *fact;
    struct point *point;
    uint32_t count;
    struct prototype *prototype;
    uint32_t campaigns;
};

typedef uint8_t lanes __attribute__((vector_size(16)));

static unsigned matches(const struct qs_sketch *a, const struct qs_sketch *b)
{
    lanes sum = {0};
    for (unsigned i = 0; i < QS_SKETCH_BINS; i += sizeof(lanes)) {
        lanes x, y;
        memcpy(&x, a->bin + i, sizeof x);
        memcpy(&y, b->bin + i, sizeof y);
        sum -= (lanes)(x == y);
    }
    uint64_t half[2];
    memcpy(half, &sum, sizeof half);
    return (unsigned)((half[0] * UINT64_C(0x0101010101010101)) >> 56) +
           (unsigned)((half[1] * UINT64_C(0x0101010101010101)) >> 56);
}

static const struct qs_fingerprint *text_of(const struct finder *f, const struct point *p)
{
    const struct qs_message *m = &f->scan->messages[p->message];
    bool returned = p->cluster == QS_NO_CLUSTER && f->fact[p->message].bits & QS_F_NOTICE;
    return returned ? &m->returned->print : &m->print;
}

static bool takes_part(const struct finder *f, uint32_t message)
{
    const struct qs_message *m = &f->scan->messages[message];
    if (f->fact[message].bits & QS_F_NOTICE)
        return m->returned && m->returned->print.shingles && !(f->fact[message].bits & QS_F_FROM_US);
    return m->print.shingles && !(f->fact[message].bits & QS_F_VOUCHED);
}

static uint64_t content_key(const struct qs_fingerprint *print)
{
    uint64_t word[QS_SKETCH_BINS / 8], key = print->body_hash;
    memcpy(word, &print->sketch, sizeof word);
    for (unsigned i = 0; i < QS_SKETCH_BINS / 8; i++)
        key = qs_mix64(key ^ word[i]);
    return key;
}

static void add_point(struct finder *f, uint32_t message, uint32_t cluster)
{
    struct point *p = &f->point[f->count++];
    *p = (struct point){.message = message, .cluster = cluster, .campaign = QS_NONE};
    p->key = content_key(text_of(f, p));
}

/* One point for each text: a cluster's is its leader's. */
static bool make_points(struct finder *f, TALLOC_CTX *scratch)
{
    uint8_t *seen = talloc_zero_array(scratch, uint8_t, f->clusters->count + 1);
    f->point = talloc_array(scratch, struct point, f->scan->count ? f->scan->count : 1);
    if (!seen || !f->point)
        return false;
    for (uint32_t i = 0; i < f->scan->count; i++) {
        uint32_t cluster = f->fact[i].bits & QS_F_NOTICE ? QS_NO_CLUSTER : f->clusters->of[i];
        if (!takes_part(f, i) || (cluster != QS_NO_CLUSTER && seen[cluster]))
            continue;
        if (cluster != QS_NO_CLUSTER)
            seen[cluster] = 1;
        add_point(f, cluster == QS_NO_CLUSTER ? i : f->clusters->item[cluster].leader, cluster);
    }
    return true;
}

static const struct qs_sketch *sketch_of(const struct finder *f, const struct point *p)
{
    return &text_of(f, p)->sketch;
}

static int by_key(const void *a, const void *b)
{
    const struct point *x = *(struct point *const *)a, *y = *(struct point *const *)b;
    return x->key < y->key ? -1 : x->key > y->key;
}

/* The points without a campaign whose keys are smallest, at most SAMPLE. */
static uint32_t take_sample(const struct finder *f, struct point **out, uint32_t room, uint32_t *left)
{
    uint32_t used = 0;
    *left = 0;
    for (uint32_t i = 0; i < f->count; i++)
        *left += f->point[i].campaign == QS_NONE && !f->point[i].tried;
    uint64_t bound = UINT64_MAX;
    if (*left > SAMPLE)             /* keys are spread evenly: a tenth more than wanted, then the smallest of those */
        bound = UINT64_MAX / *left * (SAMPLE + SAMPLE / 10);
    for (uint32_t i = 0; i < f->count && used < room; i++)
        if (f->point[i].campaign == QS_NONE && !f->point[i].tried && f->point[i].key <= bound)
            out[used++] = &f->point[i];
    qsort(out, used, sizeof *out, by_key);
    used = used < SAMPLE ? used : SAMPLE;
    for (uint32_t i = 0; i < used; i++)
        out[i]->tried = true;
    return used;
}

struct linkage {
    float *like;                    /* n x n: mean agreement of two groups */
    uint32_t *size;                 /* of the group that stands at this place; 0: joined to another */
    uint32_t *group;                /* place of each point's group */
    uint32_t *chain;
    uint32_t n;
};

static float *like(struct linkage *l, uint32_t a, uint32_t b)
{
    return &l->like[(size_t)a * l->n + b];
}

static uint32_t nearest(struct linkage *l, uint32_t from, uint32_t before)
{
    uint32_t best = before;         /* on a tie the one we came from: the chain must end */
    for (uint32_t i = 0; i < l->n; i++)
        if (i != from && l->size[i] && (best == QS_NONE || *like(l, from, i) > *like(l, from, best)))
            best = i;
    return best;
}

static void join(struct linkage *l, uint32_t to, uint32_t gone)
{
    float a = (float)l->size[to], b = (float)l->size[gone];
    for (uint32_t i = 0; i < l->n; i++) {
        if (i == to || i == gone || !l->size[i])
            continue;
        float mean = (*like(l, to, i) * a + *like(l, gone, i) * b) / (a + b);
        *like(l, to, i) = mean;
        *like(l, i, to) = mean;
    }
    for (uint32_t i = 0; i < l->n; i++)
        if (l->group[i] == gone)
            l->group[i] = to;
    l->size[to] += l->size[gone];
    l->size[gone] = 0;
}

/* Average linkage by chains of nearest neighbours. A pair that is too unlike ends both: nothing else is nearer to them. */
static void link_up(struct linkage *l)
{
    uint32_t depth = 0, start = 0;
    for (;;) {
        if (!depth) {
            while (start < l->n && !l->size[start])
                start++;
            if (start == l->n)
                return;
            l->chain[depth++] = start;
        }
        uint32_t top = l->chain[depth - 1], before = depth > 1 ? l->chain[depth - 2] : QS_NONE;
        uint32_t next = nearest(l, top, before);
        if (next == QS_NONE || *like(l, top, next) < alike) {
            l->size[top] = 0;       /* final; l->group still names it */
            depth--;
        } else if (next == before) {
            depth -= 2;
            join(l, top < before ? top : before, top < before ? before : top);
        } else {
            l->chain[depth++] = next;
        }
    }
}

/* New campaigns from a sample; a campaign needs `least` texts in it. Returns how many were made. */
static uint32_t found_campaigns(struct finder *f, struct linkage *l, struct point *const *sample, uint32_t least)
{
    uint32_t before = f->campaigns, *made = l->chain;       /* no longer needed as a chain */
    uint32_t *members = l->size;
    memset(members, 0, l->n * sizeof *members);
    for (uint32_t i = 0; i < l->n; i++) {
        members[l->group[i]]++;
        made[i] = QS_NONE;
    }
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t g = l->group[i];
        if (members[g] < least)
            continue;
        if (made[g] == QS_NONE) {
            if (f->campaigns == CAMPAIGNS_MAX)
                continue;
            made[g] = f->campaigns;
            f->prototype[f->campaigns++].count = 0;
        }
        sample[i]->campaign = made[g];
        struct prototype *p = &f->prototype[made[g]];
        if (p->count < PROTOTYPES)
            p->sketch[p->count++] = *sketch_of(f, sample[i]);
    }
    return f->campaigns - before;
}

static void take_in(const struct finder *f, struct point *p, uint32_t first)
{
    const struct qs_sketch sketch = *sketch_of(f, p);
    float best = alike;
    for (uint32_t c = first; c < f->campaigns; c++) {
        const struct prototype *proto = &f->prototype[c];
        unsigned sum = 0, k = 0;
        for (; k < proto->count && k < SCREEN; k++)
            sum += matches(&sketch, &proto->sketch[k]);
        if ((float)sum < alike / 2 * (float)k)
            continue;
        for (; k < proto->count; k++)
            sum += matches(&sketch, &proto->sketch[k]);
        float mean = (float)sum / (float)proto->count;
        if (mean >= best) {         /* campaigns are in content order, too */
            best = mean;
            p->campaign = c;
        }
    }
}

static bool link_sample(struct finder *f, struct linkage *l, struct point **sample, uint32_t n, uint32_t least)
{
    l->n = n;
    for (uint32_t i = 0; i < n; i++) {
        l->size[i] = 1;
        l->group[i] = i;
        for (uint32_t k = 0; k < i; k++) {
            float agreement = (float)matches(sketch_of(f, sample[i]), sketch_of(f, sample[k]));
            *like(l, i, k) = agreement;
            *like(l, k, i) = agreement;
        }
    }
    link_up(l);
    return found_campaigns(f, l, sample, least) > 0;
}

static bool run_rounds(struct finder *f, TALLOC_CTX *scratch)
{
    enum { ROOM = SAMPLE + SAMPLE / 2 };
    uint32_t most = f->count < SAMPLE ? f->count : SAMPLE;
    struct point **sample = talloc_array(scratch, struct point *, ROOM);
    struct linkage l = {
        .like = talloc_array(scratch, float, most * most + 1),
        .size = talloc_array(scratch, uint32_t, most + 1),
        .group = talloc_array(scratch, uint32_t, most + 1),
        .chain = talloc_array(scratch, uint32_t, most + 1),
    };
    f->prototype = talloc_array(scratch, struct prototype, CAMPAIGNS_MAX);
    if (!sample || !l.like || !l.size || !l.group || !l.chain || !f->prototype)
        return false;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t left, first = f->campaigns, n = take_sample(f, sample, ROOM, &left);
        if (n < 2)
            return true;
        bool found = link_sample(f, &l, sample, n, n == left ? 2 : 3);
        if (n == left || !found)
            return true;
        for (uint32_t i = 0; i < f->count; i++)
            if (f->point[i].campaign == QS_NONE)
                take_in(f, &f->point[i], first);
    }
    return true;
}

struct qs_campaigns *qs_find_campaigns(TALLOC_CTX *parent, const struct qs_scan *scan, const struct qs_clusters *clusters,
                                       const struct qs_fact *fact)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct finder f = {.scan = scan, .clusters = clusters, .fact = fact};
    struct qs_campaigns *out = talloc_zero(scratch, struct qs_campaigns), *result = NULL;
    uint32_t *of_cluster = talloc_array(scratch, uint32_t, clusters->count + 1);
    if (!out || !of_cluster || !(out->of = talloc_array(out, uint32_t, scan->count ? scan->count : 1)) ||
        !make_points(&f, scratch) || !run_rounds(&f, scratch))
        goto done;
    for (uint32_t i = 0; i < scan->count; i++)
        out->of[i] = QS_NONE;
    memset(of_cluster, 0xff, (clusters->count + 1) * sizeof *of_cluster);
    for (uint32_t i = 0; i < f.count; i++) {
        if (f.point[i].cluster != QS_NO_CLUSTER)
            of_cluster[f.point[i].cluster] = f.point[i].campaign;
        else
            out->of[f.point[i].message] = f.point[i].campaign;
    }
    for (uint32_t i = 0; i < scan->count; i++)
        if (!(fact[i].bits & QS_F_NOTICE) && clusters->of[i] != QS_NO_CLUSTER && takes_part(&f, i))
            out->of[i] = of_cluster[clusters->of[i]];
    out->count = f.campaigns;
    result = talloc_steal(parent, out);
done:
    talloc_free(scratch);
    return result;
}
