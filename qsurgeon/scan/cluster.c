/* SPDX-License-Identifier: Apache-2.0 */
/* Grouping by text. The same small step, assign(), runs three times, and profiles gather what it leaves apart:
 *
 *   1. points (distinct sketches) among themselves: each joins the leader it resembles most, or leads;
 *   2. the consensus sketches of the groups among themselves: parts of one campaign that met different leaders join;
 *   3. points again, to the consensus sketches first: noise that a spammer adds differs in each message, so the most
 *      frequent value of each bin is the campaign without its noise, and the border of a group no longer hangs on which
 *      member happened to lead;
 *   4. groups and single messages that draw from the same stock of alternatives join (see profiles).
 *
 * Every membership is checked against a leader, a consensus or a profile, never against another member: no chains. All orders come
 * from weights and digests of content, so the order of messages has no influence. Leaders are found by LSH: 16 bands of two
 * bins, direct-indexed by their 16 bits; at most CHAIN candidates a band, so crafted sketches cannot make it quadratic. */
#include "qsurgeon/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "qsurgeon/parallel.h"
#include "qsurgeon/table.h"

enum {
    BANDS = 16, BAND_STEP = QS_SKETCH_BINS / BANDS, BAND_KEYS = 1 << 16, CHAIN = 48,
    /* Agreeing bins of 64 that make two texts alike. Unrelated texts agree in 64/256 bins by chance, with 40 chosen words
     * of noise around 100 of text about 25 remain; fewer shingles say less and must agree in more bins. */
    ALIKE = 12, ALIKE_SHORT = 22, ALIKE_TINY = 42, SURE = 58,
    SHORT_SHINGLES = 24, TINY_SHINGLES = 8,
    CONSENSUS_MIN = 3,              /* messages that can have a consensus */
    AHEAD = 16,                     /* points whose texts are fetched ahead: they lie all over the scan */
    GRAIN = 8,                      /* groups that a thread takes at once */
};

struct point {
    const struct qs_fingerprint *print;     /* of a message, or a consensus */
    uint64_t hash;                  /* of the sketch, or of what stands for it in a message without text */
    uint32_t weight;                /* messages */
    uint32_t group;                 /* index of a leader */
};

/* The points of each group g, in the order of the array: points[order[start[g]]] to points[order[start[g + 1] - 1]]. */
struct grouping {
    uint32_t *start, *order;
    uint32_t *weight;               /* messages of each group */
};

struct leaders {
    struct qs_sketch *sketch;
    uint8_t *need;                  /* agreeing bins that a newcomer must have */
    uint32_t *seen;                 /* the last newcomer that was compared with it: once is enough */
    uint32_t *next;                 /* BANDS chains for each leader, ends with 0; leaders count from 1 in chains */
    uint32_t *head;                 /* BANDS x BAND_KEYS */
    uint32_t count, size;
};

static unsigned need_for(unsigned shingles)
{
    return shingles < TINY_SHINGLES ? ALIKE_TINY : shingles < SHORT_SHINGLES ? ALIKE_SHORT : ALIKE;
}

bool qs_cluster_alike(const struct qs_fingerprint *a, const struct qs_fingerprint *b)
{
    unsigned need = need_for(a->shingles < b->shingles ? a->shingles : b->shingles);
    return a->shingles && b->shingles && qs_sketch_matches(&a->sketch, &b->sketch) >= need;
}

static void fetch(const struct point *p)
{
    const char *print = (const char *)p->print;
    __builtin_prefetch(print);
    __builtin_prefetch(print + sizeof *p->print - 1);
}

static unsigned band_key(const struct qs_sketch *s, unsigned band)
{
    return (unsigned)s->bin[band * BAND_STEP] << 8 | s->bin[band * BAND_STEP + 1];
}

static struct leaders *leaders_new(TALLOC_CTX *parent)
{
    struct leaders *l = talloc_zero(parent, struct leaders);
    if (l)
        l->head = talloc_zero_array(l, uint32_t, BANDS * BAND_KEYS);
    return l && l->head ? l : NULL;
}

static struct leaders *leaders_anew(TALLOC_CTX *parent, struct leaders *old)
{
    talloc_free(old);
    return leaders_new(parent);
}

static bool leaders_grow(struct leaders *l)
{
    if (l->count < l->size)
        return true;
    uint32_t size = l->size ? l->size + l->size / 2 : 256;
    struct qs_sketch *sketch = talloc_realloc(l, l->sketch, struct qs_sketch, size);
    l->sketch = sketch ? sketch : l->sketch;
    uint8_t *need = talloc_realloc(l, l->need, uint8_t, size);
    l->need = need ? need : l->need;
    uint32_t *seen = talloc_realloc(l, l->seen, uint32_t, size);
    l->seen = seen ? seen : l->seen;
    uint32_t *next = talloc_realloc(l, l->next, uint32_t, size * BANDS);
    l->next = next ? next : l->next;
    if (!sketch || !need || !seen || !next)
        return false;
    l->size = size;
    return true;
}

/* Makes p a leader and sets p->group. */
static bool lead(struct leaders *l, struct point *p)
{
    if (!leaders_grow(l))
        return false;
    uint32_t at = l->count++;
    l->sketch[at] = p->print->sketch;
    l->need[at] = (uint8_t)need_for(p->print->shingles);
    l->seen[at] = UINT32_MAX;
    p->group = at;
    if (!p->print->shingles)        /* no text: nothing resembles it */
        return true;
    for (unsigned band = 0; band < BANDS; band++) {
        uint32_t *head = &l->head[band * BAND_KEYS + band_key(&p->print->sketch, band)];
        l->next[at * BANDS + band] = *head;
        *head = at + 1;
    }
    return true;
}

static void fetch_leader(const struct leaders *l, uint32_t leader)
{
    __builtin_prefetch(&l->next[leader * BANDS]);
    __builtin_prefetch(&l->sketch[leader]);
}

/* The leader that p resembles most, or UINT32_MAX. On a tie the older leader: it stands for more messages. */
static uint32_t find_leader(struct leaders *l, const struct point *p, uint32_t stamp)
{
    unsigned best = 0, own = need_for(p->print->shingles);
    uint32_t found = UINT32_MAX, first[BANDS];
    if (!p->print->shingles)
        return UINT32_MAX;
    for (unsigned band = 0; band < BANDS; band++) {     /* what is met first, fetched at once */
        first[band] = l->head[band * BAND_KEYS + band_key(&p->print->sketch, band)];
        if (first[band])
            fetch_leader(l, first[band] - 1);
    }
    for (unsigned band = 0; band < BANDS && best < SURE; band++) {
        uint32_t following;
        for (uint32_t at = first[band], steps = 0; at && steps < CHAIN; at = following, steps++) {
            uint32_t leader = at - 1;
            following = l->next[leader * BANDS + band];
            if (following)
                fetch_leader(l, following - 1);
            if (l->seen[leader] == stamp)
                continue;
            l->seen[leader] = stamp;
            unsigned alike = qs_sketch_matches(&p->print->sketch, &l->sketch[leader]);
            unsigned need = own > l->need[leader] ? own : l->need[leader];
            if (alike >= need && (alike > best || (alike == best && leader < found))) {
                best = alike;
                found = leader;
            }
        }
    }
    return found;
}

/* Gives each point, in the order of the array, a leader among those in l and those that points become. */
static bool assign(struct leaders *l, struct point *points, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            fetch(&points[i + AHEAD]);
        points[i].group = find_leader(l, &points[i], i);
        if (points[i].group == UINT32_MAX && !lead(l, &points[i]))
            return false;
    }
    for (uint32_t i = 0; i < l->count; i++)
        l->seen[i] = UINT32_MAX;
    return true;
}

static int by_weight(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* False: out of memory. */
static bool group_points(TALLOC_CTX *parent, const struct point *points, uint32_t count, uint32_t groups, struct grouping *out)
{
    uint32_t *start = talloc_zero_array(parent, uint32_t, groups + 2);
    uint32_t *order = talloc_array(parent, uint32_t, count + 1), *weight = talloc_zero_array(parent, uint32_t, groups + 1);
    if (!start || !order || !weight)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        start[points[i].group + 2]++;
        weight[points[i].group] += points[i].weight;
    }
    for (uint32_t g = 0; g < groups; g++)
        start[g + 2] += start[g + 1];       /* now start[g + 1] is where group g begins */
    for (uint32_t i = 0; i < count; i++)
        order[start[points[i].group + 1]++] = i;
    *out = (struct grouping){start, order, weight};
    return true;
}

/* Of `count` members the texts of those some steps ahead of `at`, and the points further ahead. */
static void fetch_member(const struct point *points, const uint32_t *member, uint32_t at, uint32_t count)
{
    if (count - at > 2 * AHEAD)
        __builtin_prefetch(&points[member[at + 2 * AHEAD]]);
    if (count - at > AHEAD)
        fetch(&points[member[at + AHEAD]]);
}

/* What the messages of one group have: how many each value in each bin, and the most frequent value of it; all messages, and
 * the sum of their shingles. */
struct tally {
    uint32_t count[QS_SKETCH_BINS][256];
    uint32_t support[QS_SKETCH_BINS];
    uint64_t weight, shingles;
};

static void count_values(struct tally *tally, const struct point *points, const uint32_t *member, uint32_t count)
{
    memset(tally, 0, sizeof *tally);
    for (uint32_t i = 0; i < count; i++) {
        const struct point *p = &points[member[i]];
        uint32_t weight = p->weight;
        fetch_member(points, member, i, count);
        for (unsigned b = 0; b < QS_SKETCH_BINS; b++)
            tally->count[b][p->print->sketch.bin[b]] += weight;
        tally->weight += weight;
        tally->shingles += (uint64_t)p->print->shingles * weight;
    }
}

/* Counts a group's members. The consensus, in *mode and *out, has the most frequent value of each bin, the smallest one of
 * several as frequent. */
static void consensus(struct tally *tally, const struct point *points, const uint32_t *member, uint32_t count,
                      struct point *out, struct qs_fingerprint *mode)
{
    count_values(tally, points, member, count);
    memset(mode, 0, sizeof *mode);
    for (unsigned b = 0; b < QS_SKETCH_BINS; b++) {
        uint32_t most = 0, value = 0;
        for (unsigned v = 0; v < 256; v++)
            most = tally->count[b][v] > most ? tally->count[b][v] : most;
        while (tally->count[b][value] != most)
            value++;
        tally->support[b] = most;
        mode->sketch.bin[b] = (uint8_t)value;
    }
    mode->shingles = (uint16_t)(tally->weight ? tally->shingles / tally->weight : 0);
    *out = (struct point){.print = mode, .hash = XXH3_64bits(&mode->sketch, sizeof mode->sketch),
                          .weight = (uint32_t)tally->weight};
}

struct centres {
    const struct point *points;
    const struct grouping *by;
    struct tally *tally;            /* of each thread */
    const uint32_t *group;          /* of each consensus */
    struct point *out;
    struct qs_fingerprint *mode;
};

static void some_consensus(void *data, unsigned thread, uint32_t begin, uint32_t end)
{
    const struct centres *c = data;
    for (uint32_t i = begin; i < end; i++) {
        uint32_t first = c->by->start[c->group[i]], last = c->by->start[c->group[i] + 1];
        consensus(&c->tally[thread], c->points, &c->by->order[first], last - first, &c->out[i], &c->mode[i]);
    }
}

/* The consensus of every group of `count` points with enough messages, in the order that assign() wants. */
static struct point *all_consensus(TALLOC_CTX *parent, unsigned threads, struct tally *tally, const struct point *points,
                                   uint32_t count, uint32_t groups, uint32_t *out_count)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct grouping by;
    uint32_t *group = talloc_array(scratch, uint32_t, groups + 1), used = 0;
    struct centres c = {.points = points, .by = &by, .tally = tally, .group = group};
    bool ok = group && group_points(scratch, points, count, groups, &by);
    for (uint32_t g = 0; ok && g < groups; g++)
        if (by.weight[g] >= CONSENSUS_MIN && points[by.order[by.start[g]]].print->shingles)
            group[used++] = g;
    c.out = ok ? talloc_array(parent, struct point, used + 1) : NULL;
    c.mode = c.out ? talloc_array(c.out, struct qs_fingerprint, used + 1) : NULL;
    if (c.mode) {
        qs_parallel(threads, used, GRAIN, some_consensus, &c);
        qsort(c.out, used, sizeof *c.out, by_weight);
    }
    talloc_free(scratch);
    *out_count = used;
    return c.mode ? c.out : NULL;
}

/* --- profiles: texts with many alternatives ------------------------------------------------------------------------------ */

/* A text spun from many alternatives ("{Buy|Order} {now|today}") falls into several groups, each around some combination; but
 * all draw from one stock. A profile is how often each value stands in each bin over all messages of a group. Two groups of one
 * stock overlap in it (histogram intersection, Swain and Ballard 1991) although their typical members differ, and noise is
 * spread too thin to count. Groups join the profile that they overlap with most, largest first; then single messages that a
 * profile explains. */
enum {
    PROFILE_MIN = 4,            /* messages that make a profile */
    PROFILES = 2048,            /* the largest groups; more would cost time for little */
    RARE = 20,                  /* a value in less than 1/RARE of a group's messages is noise */
    OVERLAP = 12, EXPLAINED = 9,    /* per cent of the bins that make a group, a message join */
};

struct feature {
    uint32_t count;             /* messages that have this value in this bin */
    uint8_t bin, value;
};

struct node {                   /* a feature of a profile, chained by (bin, value) */
    uint32_t profile, count, next;
};

struct share {                  /* the same, when the profiles are complete: the part of its messages that have the feature */
    uint32_t profile;
    float part;
};

struct scores {                 /* of what is looked at now, by profile; zero between two uses */
    float score[PROFILES];
    uint32_t touched[PROFILES], count;
};

struct profiles {
    uint32_t head[QS_SKETCH_BINS][256];     /* first node, counting from 1 */
    struct node *node;
    uint32_t node_count, node_size;
    uint32_t weight[PROFILES], group[PROFILES];     /* messages; the group that founded it */
    uint32_t count;
    uint32_t first[QS_SKETCH_BINS * 256 + 1];       /* of each feature's shares */
    struct share *share;
    struct scores *scores;                  /* of each thread */
};

/* Adds what a profile, `theirs` of whose messages have a feature, shares with a group with it in `share` of its messages. */
static void score(struct scores *s, uint32_t profile, float theirs, float share)
{
    if (s->score[profile] == 0)
        s->touched[s->count++] = profile;
    s->score[profile] += theirs < share ? theirs : share;
}

/* The profile with the highest score, when that reaches `per_cent` of all bins, else UINT32_MAX. Clears the scores. */
static uint32_t best_profile(struct scores *s, unsigned per_cent)
{
    uint32_t best = UINT32_MAX;
    float most = (float)(per_cent * QS_SKETCH_BINS) / 100;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t at = s->touched[i];
        if (s->score[at] > most || (s->score[at] == most && at < best)) {
            most = s->score[at];
            best = at;
        }
        s->score[at] = 0;
    }
    s->count = 0;
    return best;
}

static bool add_to_profile(struct profiles *p, uint32_t profile, const struct feature *f)
{
    uint32_t *head = &p->head[f->bin][f->value];
    for (uint32_t at = *head; at; at = p->node[at - 1].next)
        if (p->node[at - 1].profile == profile) {
            p->node[at - 1].count += f->count;
            return true;
        }
    if (p->node_count == p->node_size) {
        uint32_t size = p->node_size ? p->node_size * 2 : 16384;
        struct node *grown = talloc_realloc(p, p->node, struct node, size);
        if (!grown)
            return false;
        p->node = grown;
        p->node_size = size;
    }
    p->node[p->node_count] = (struct node){profile, f->count, *head};
    *head = ++p->node_count;
    return true;
}

/* The features of a group that are not rare in it; returns how many. `out` has room for all that can be. */
static uint32_t features_of(struct tally *tally, const struct point *points, const uint32_t *member, uint32_t count,
                            struct feature *out)
{
    uint32_t kept = 0;
    count_values(tally, points, member, count);
    for (unsigned b = 0; b < QS_SKETCH_BINS; b++)
        for (unsigned value = 0; value < 256; value++)
            if (tally->count[b][value] && (uint64_t)tally->count[b][value] * RARE >= tally->weight)
                out[kept++] = (struct feature){tally->count[b][value], (uint8_t)b, (uint8_t)value};
    return kept;
}

/* Lets the group of these points join a profile or found one; join[] tells whose messages its messages are. */
static bool profile_group(struct profiles *p, const struct feature *f, uint32_t features, uint32_t group, uint32_t weight,
                          uint32_t *join)
{
    for (uint32_t i = 0; i < features; i++)
        for (uint32_t at = p->head[f[i].bin][f[i].value]; at; at = p->node[at - 1].next) {
            const struct node *n = &p->node[at - 1];
            score(&p->scores[0], n->profile, (float)n->count / (float)p->weight[n->profile],
                  (float)f[i].count / (float)weight);
        }
    uint32_t at = best_profile(&p->scores[0], OVERLAP);
    if (at == UINT32_MAX) {
        at = p->count++;
        p->group[at] = group;
    }
    join[group] = p->group[at];
    p->weight[at] += weight;
    for (uint32_t i = 0; i < features; i++)
        if (!add_to_profile(p, at, &f[i]))
            return false;
    return true;
}

/* Lays the shares of each feature side by side, for the many single messages that are looked up in them. */
static bool complete_profiles(struct profiles *p)
{
    uint32_t used = 0;
    p->share = talloc_array(p, struct share, p->node_count + 1);
    for (unsigned f = 0; p->share && f < QS_SKETCH_BINS * 256; f++) {
        p->first[f] = used;
        for (uint32_t at = p->head[f / 256][f % 256]; at; at = p->node[at - 1].next) {
            const struct node *n = &p->node[at - 1];
            p->share[used++] = (struct share){n->profile, (float)n->count / (float)p->weight[n->profile]};
        }
    }
    p->first[QS_SKETCH_BINS * 256] = used;
    return p->share != NULL;
}

struct loners {
    struct profiles *profiles;
    struct point *points;
    const uint32_t *join;           /* what stands for a group that has its place, else UINT32_MAX */
};

/* Single messages, and those of groups without a place: which profile explains them? */
static void explain_some(void *data, unsigned thread, uint32_t begin, uint32_t end)
{
    const struct loners *l = data;
    const struct profiles *p = l->profiles;
    struct scores *s = &p->scores[thread];
    for (uint32_t i = begin; i < end; i++) {
        struct point *point = &l->points[i];
        if (i + AHEAD < end && l->join[l->points[i + AHEAD].group] == UINT32_MAX)
            fetch(&l->points[i + AHEAD]);
        if (l->join[point->group] != UINT32_MAX) {
            point->group = l->join[point->group];
            continue;
        }
        for (unsigned b = 0; point->print->shingles && b < QS_SKETCH_BINS; b++) {
            unsigned feature = b * 256 + point->print->sketch.bin[b];
            for (uint32_t k = p->first[feature]; k < p->first[feature + 1]; k++)
                score(s, p->share[k].profile, p->share[k].part, 1);
        }
        uint32_t at = best_profile(s, EXPLAINED);
        if (at != UINT32_MAX)
            point->group = p->group[at];
    }
}

struct heavy {                  /* a group that may have a profile */
    uint32_t group, weight;
    uint64_t hash;
};

static int by_heavy_weight(const void *a, const void *b)
{
    const struct heavy *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Joins groups of one stock, then messages that stand alone. Changes points[].group. */
static enum qs_status join_profiles(unsigned threads, struct tally *tally, struct point *points, uint32_t count,
                                    uint32_t groups)
{
    enum { POINTS_AT_ONCE = 1024 };
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct grouping by;
    struct heavy *heavy = talloc_array(scratch, struct heavy, groups + 1);
    uint32_t *join = talloc_array(scratch, uint32_t, groups + 1), used = 0;
    struct feature *features = talloc_array(scratch, struct feature, QS_SKETCH_BINS * 256);
    struct profiles *p = talloc_zero(scratch, struct profiles);
    bool ok = heavy && join && features && p && group_points(scratch, points, count, groups, &by) &&
              (p->scores = talloc_zero_array(p, struct scores, qs_thread_count(threads)));
    for (uint32_t g = 0; ok && g < groups; g++) {
        struct heavy h = {g, by.weight[g], UINT64_MAX};
        join[g] = UINT32_MAX;
        if (h.weight < PROFILE_MIN || !points[by.order[by.start[g]]].print->shingles)
            continue;
        for (uint32_t k = by.start[g]; k < by.start[g + 1]; k++)
            h.hash = points[by.order[k]].hash < h.hash ? points[by.order[k]].hash : h.hash;
        heavy[used++] = h;
    }
    if (ok)
        qsort(heavy, used, sizeof *heavy, by_heavy_weight);
    for (uint32_t k = 0; ok && k < used && k < PROFILES; k++) {
        uint32_t first = by.start[heavy[k].group], last = by.start[heavy[k].group + 1];
        uint32_t found = features_of(tally, points, &by.order[first], last - first, features);
        ok = profile_group(p, features, found, heavy[k].group, heavy[k].weight, join);
    }
    if (ok && (ok = complete_profiles(p))) {
        struct loners loners = {p, points, join};
        qs_parallel(threads, count, POINTS_AT_ONCE, explain_some, &loners);
    }
    talloc_free(scratch);
    return ok ? QS_OK : QS_NOMEM;
}

/* What stands for a message that shows no text: its attachment or links, else its exact subject in its exact shape. */
static uint64_t textless_key(const struct qs_scan *scan, const struct qs_message *m)
{
    uint64_t key = qs_mix64((uint64_t)m->attachment << 32 | m->url[0]);
    if (!m->attachment && !m->url[0]) {
        if (!m->subject)
            return 0;
        struct qs_span subject = qs_sym_span(scan->strings, m->subject);
        key = XXH3_64bits_withSeed(subject.ptr, subject.len, m->structure);
    }
    return key ? key : 1;
}

/* Where each hash stands in the array of points: open addressing, half of the slots free at least. */
struct places {
    uint32_t *slot;                 /* 0: free; else the number of a point, counting from 1 */
    uint32_t mask;
};

static struct places places_for(TALLOC_CTX *parent, uint32_t most)
{
    uint32_t size = 64;
    while (size / 2 < most && size < UINT32_C(1) << 31)
        size *= 2;
    return (struct places){talloc_zero_array(parent, uint32_t, size), size - 1};
}

/* Who makes up texts must not know which of them share a slot: the address differs from run to run. */
static uint32_t *first_place(const struct places *places, uint64_t hash)
{
    return &places->slot[qs_mix64(hash ^ (uintptr_t)places->slot) & places->mask];
}

static uint32_t *find_place(const struct places *places, const struct point *points, uint64_t hash)
{
    uint32_t at = (uint32_t)(first_place(places, hash) - places->slot);
    while (places->slot[at] && points[places->slot[at] - 1].hash != hash)
        at = (at + 1) & places->mask;
    return &places->slot[at];
}

/* One point for each distinct sketch; point_of tells each message's, QS_NO_CLUSTER for a message that shows nothing. */
static enum qs_status make_points(TALLOC_CTX *parent, const struct qs_scan *scan, struct point **out, uint32_t *count,
                                  uint32_t *point_of)
{
    enum { BLOCK = 64 };            /* messages whose places are fetched before they are looked at */
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct places places = places_for(scratch, scan->count);
    uint32_t used = 0, size = 1024;
    struct point *points = talloc_array(parent, struct point, size);
    uint64_t hash[BLOCK] = {0};
    bool ok = places.slot && points;
    for (uint32_t i = 0; ok && i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        for (uint32_t k = i; i % BLOCK == 0 && k < scan->count && k < i + BLOCK; k++) {
            const struct qs_message *next = &scan->messages[k];
            hash[k % BLOCK] = next->print.shingles ? XXH3_64bits(&next->print.sketch, sizeof next->print.sketch)
                                                   : textless_key(scan, next);
            __builtin_prefetch(first_place(&places, hash[k % BLOCK]));
        }
        point_of[i] = QS_NO_CLUSTER;
        if (!hash[i % BLOCK])
            continue;
        if (used == size) {
            size += size / 2;
            struct point *grown = talloc_realloc(parent, points, struct point, size);
            ok = grown != NULL;
            points = grown ? grown : points;
        }
        uint32_t *place = ok ? find_place(&places, points, hash[i % BLOCK]) : NULL;
        if (!place)
            break;
        if (!*place) {
            points[used++] = (struct point){.print = &m->print, .hash = hash[i % BLOCK]};
            *place = used;
        }
        point_of[i] = *place - 1;
        points[*place - 1].weight++;
    }
    talloc_free(scratch);
    *out = points;
    *count = used;
    return ok ? QS_OK : QS_NOMEM;
}

/* Moves the points of several messages to the front; returns how many they are. */
static uint32_t heavy_first(struct point *points, uint32_t count)
{
    uint32_t front = 0;
    for (uint32_t i = 0; i < count; i++)
        if (points[i].weight > 1) {
            struct point heavy = points[i];
            points[i] = points[front];
            points[front++] = heavy;
        }
    return front;
}

enum { PILES = 256 };               /* of points, by the first bits of their hashes */

static unsigned pile_of(const struct point *p)
{
    return (unsigned)(p->hash >> 56);
}

struct piles {
    struct point *points;
    uint32_t start[PILES + 1];
};

static void sort_some(void *data, unsigned thread, uint32_t begin, uint32_t end)
{
    const struct piles *p = data;
    (void)thread;
    for (uint32_t i = begin; i < end; i++)
        qsort(&p->points[p->start[i]], p->start[i + 1] - p->start[i], sizeof *p->points, by_weight);
}

/* As qsort() with by_weight(), with hardly any more memory and on all threads: most points are of one message, and those are
 * sorted by their hashes, which are spread evenly, into piles first (a radix exchange, McIlroy et al. 1993). */
static void sort_points(unsigned threads, struct point *points, uint32_t count)
{
    uint32_t heavy = heavy_first(points, count), next[PILES];
    struct piles piles = {.points = points + heavy};
    qsort(points, heavy, sizeof *points, by_weight);
    for (uint32_t i = heavy; i < count; i++)
        piles.start[pile_of(&points[i]) + 1]++;
    for (unsigned k = 0; k < PILES; k++) {
        piles.start[k + 1] += piles.start[k];
        next[k] = piles.start[k];
    }
    for (unsigned k = 0; k < PILES; k++)
        while (next[k] < piles.start[k + 1]) {
            struct point *p = &piles.points[next[k]];
            unsigned pile = pile_of(p);
            if (pile == k) {
                next[k]++;
                continue;
            }
            struct point other = piles.points[next[pile]];
            piles.points[next[pile]++] = *p;
            *p = other;
        }
    qs_parallel(threads, PILES, GRAIN, sort_some, &piles);
}

/* The name of a group: three (bin, value) features that nearly all messages share, those with the smallest digests. */
static void name_group(struct qs_cluster *c, const struct tally *tally, const struct point *centre)
{
    uint64_t least[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    unsigned found = 0;
    for (unsigned b = 0; b < QS_SKETCH_BINS; b++) {
        if ((uint64_t)tally->support[b] * 10 < (uint64_t)centre->weight * 8)
            continue;
        uint64_t digest = qs_mix64((uint64_t)(b + 1) << 8 | centre->print->sketch.bin[b]);
        unsigned at = 0;
        while (at < 3 && least[at] <= digest)
            at++;
        for (unsigned k = 2; k > at; k--)
            least[k] = least[k - 1];
        if (at < 3) {
            least[at] = digest;
            found++;
        }
    }
    uint64_t hash = centre->hash;
    if (found >= 3 && centre->print->shingles)
        hash = qs_mix64(least[0] ^ qs_mix64(least[1] ^ qs_mix64(least[2])));
    snprintf(c->name, sizeof c->name, "C-%08x", (unsigned)(hash >> 32));
}

static int by_size(const void *a, const void *b)
{
    const struct qs_cluster *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    int names = strcmp(x->name, y->name);
    return names ? names : x->leader < y->leader ? -1 : x->leader > y->leader;
}

/* Of two messages the one that a person would take for the first: the older, then by queue ID. */
static bool before(const struct qs_scan *scan, uint32_t a, uint32_t b)
{
    const struct qs_message *x = &scan->messages[a], *y = &scan->messages[b];
    if (x->arrival != y->arrival)
        return x->arrival < y->arrival;
    return strcmp(x->id, y->id) < 0;
}

struct descriptions {
    struct qs_clusters *out;
    const struct qs_scan *scan;
    const struct point *points;
    const struct grouping *by;
    struct tally *tally;            /* of each thread */
    const uint32_t *group;          /* of each cluster */
};

static void describe_some(void *data, unsigned thread, uint32_t begin, uint32_t end)
{
    const struct descriptions *d = data;
    for (uint32_t i = begin; i < end; i++) {
        struct qs_cluster *c = &d->out->item[i];
        const uint32_t *member = &d->by->order[d->by->start[d->group[i]]], *message = &d->out->member[c->first];
        uint32_t count = d->by->start[d->group[i] + 1] - d->by->start[d->group[i]];
        struct point centre;
        struct qs_fingerprint mode;
        consensus(&d->tally[thread], d->points, member, count, &centre, &mode);
        if (!d->points[member[0]].print->shingles)
            centre.hash = d->points[member[0]].hash;
        name_group(c, &d->tally[thread], &centre);
        uint64_t alike = 0;
        for (uint32_t k = 0; k < count; k++) {
            const struct point *p = &d->points[member[k]];
            fetch_member(d->points, member, k, count);
            alike += (uint64_t)qs_sketch_matches(&p->print->sketch, &mode.sketch) * p->weight;
        }
        c->cohesion = (float)alike / (float)(QS_SKETCH_BINS * (uint64_t)centre.weight);
        c->leader = message[0];
        for (uint32_t k = 1; k < c->count; k++)
            if (before(d->scan, message[k], c->leader))
                c->leader = message[k];
    }
}

/* Sorts the messages into clusters by their points' groups and describes each cluster. Uses point_of up. */
static enum qs_status describe(struct qs_clusters *out, const struct qs_scan *scan, struct tally *tally,
                               const struct point *points, uint32_t point_count, uint32_t groups, uint32_t *point_of)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    uint32_t *start = talloc_zero_array(scratch, uint32_t, groups + 2), *group = talloc_array(scratch, uint32_t, groups + 1);
    struct grouping by;
    struct descriptions d = {out, scan, points, &by, tally, group};
    uint32_t *group_of = point_of;
    out->member = talloc_array(out, uint32_t, scan->count ? scan->count : 1);
    bool ok = start && group && out->member && group_points(scratch, points, point_count, groups, &by);
    for (uint32_t i = 0; ok && i < scan->count; i++) {
        if (point_of[i] == QS_NO_CLUSTER)
            continue;
        group_of[i] = points[point_of[i]].group;
        start[group_of[i] + 2]++;
    }
    for (uint32_t g = 0; ok && g < groups; g++) {
        if (start[g + 2] >= 2)
            group[out->count++] = g;
        start[g + 2] += start[g + 1];
    }
    for (uint32_t i = 0; ok && i < scan->count; i++)
        if (group_of[i] != QS_NO_CLUSTER)
            out->member[start[group_of[i] + 1]++] = i;
    ok = ok && (out->item = talloc_zero_array(out, struct qs_cluster, out->count + 1));
    for (uint32_t i = 0; ok && i < out->count; i++) {
        out->item[i].first = start[group[i]];
        out->item[i].count = start[group[i] + 1] - start[group[i]];
    }
    if (ok)
        qs_parallel(scan->options.threads, out->count, GRAIN, describe_some, &d);
    talloc_free(scratch);
    return ok ? QS_OK : QS_NOMEM;
}

/* Largest first; equal names (rare: 32 bits) are told apart by their leaders' queue IDs. */
static void finish(struct qs_clusters *out, const struct qs_scan *scan)
{
    qsort(out->item, out->count, sizeof *out->item, by_size);
    memset(out->of, 0xff, scan->count * sizeof *out->of);
    for (uint32_t c = 0; c < out->count; c++)
        for (uint32_t k = 0; k < out->item[c].count; k++)
            out->of[out->member[out->item[c].first + k]] = c;
    struct qs_table *names = qs_table_new(NULL, out->count);
    for (uint32_t c = 0; names && c < out->count; c++) {
        struct qs_cluster *cluster = &out->item[c];
        uint64_t key = XXH3_64bits(cluster->name, strlen(cluster->name));
        uint32_t *at = qs_table_at(names, key, c);
        if (at && *at != c) {
            const char *id = scan->messages[cluster->leader].id;
            snprintf(cluster->name, sizeof cluster->name, "C-%08x", (unsigned)(XXH3_64bits(id, strlen(id)) >> 32));
        }
    }
    talloc_free(names);
}

enum qs_status qs_cluster(TALLOC_CTX *parent, const struct qs_scan *scan, struct qs_clusters **out, struct qs_error *err)
{
    enum qs_status status = QS_NOMEM;
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_clusters *result = talloc_zero(scratch, struct qs_clusters);
    unsigned threads = scan->options.threads;
    struct tally *tally = talloc_array(scratch, struct tally, qs_thread_count(threads));
    uint32_t *rank = NULL, *point_of = NULL, count = 0, centres = 0, merged = 0;
    struct point *points = NULL, *centre = NULL, *joined = NULL;
    struct leaders *leaders = leaders_new(scratch);
    if (!result || !tally || !leaders)
        goto done;
    result->of = point_of = talloc_array(result, uint32_t, scan->count ? scan->count : 1);   /* of clusters at the end */
    if (!point_of || make_points(scratch, scan, &points, &count, point_of) != QS_OK)
        goto done;

    /* points in their order; point_of follows them */
    rank = talloc_array(scratch, uint32_t, count ? count : 1);
    if (!rank)
        goto done;
    for (uint32_t i = 0; i < count; i++)
        points[i].group = i;
    sort_points(threads, points, count);
    for (uint32_t i = 0; i < count; i++)
        rank[points[i].group] = i;
    for (uint32_t i = 0; i < scan->count; i++)
        if (point_of[i] != QS_NO_CLUSTER)
            point_of[i] = rank[point_of[i]];
    talloc_free(rank);

    if (!assign(leaders, points, count) ||
        !(centre = all_consensus(scratch, threads, tally, points, count, leaders->count, &centres)) ||
        !(leaders = leaders_anew(scratch, leaders)) || !assign(leaders, centre, centres) ||
        !(joined = all_consensus(scratch, threads, tally, centre, centres, leaders->count, &merged)) ||
        !(leaders = leaders_anew(scratch, leaders)))
        goto done;
    for (uint32_t i = 0; i < merged; i++)
        if (!lead(leaders, &joined[i]))
            goto done;
    if (!assign(leaders, points, count))
        goto done;
    uint32_t groups = leaders->count;
    talloc_free(leaders);
    if (join_profiles(threads, tally, points, count, groups) != QS_OK ||
        describe(result, scan, tally, points, count, groups, point_of) != QS_OK)
        goto done;
    finish(result, scan);
    *out = talloc_steal(parent, result);
    status = QS_OK;
done:
    talloc_free(scratch);
    return status == QS_OK ? QS_OK : qs_fail(err, status, "out of memory");
}
