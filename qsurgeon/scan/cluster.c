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

#include "qsurgeon/table.h"

enum {
    BANDS = 16, BAND_STEP = QS_SKETCH_BINS / BANDS, BAND_KEYS = 1 << 16, CHAIN = 48,
    /* Agreeing bins of 64 that make two texts alike. Unrelated texts agree in 64/256 bins by chance, with 40 chosen words
     * of noise around 100 of text about 25 remain; fewer shingles say less and must agree in more bins. */
    ALIKE = 12, ALIKE_SHORT = 22, ALIKE_TINY = 42, SURE = 58,
    SHORT_SHINGLES = 24, TINY_SHINGLES = 8,
    CONSENSUS_MIN = 3,              /* messages that can have a consensus */
    AHEAD = 8,                      /* points whose sketches are fetched ahead: they lie all over the scan */
};

struct point {
    const struct qs_sketch *sketch; /* of a message, or a consensus */
    uint64_t hash;                  /* of the sketch, or of what stands for it in a message without text */
    uint32_t weight;                /* messages */
    uint32_t group;                 /* index of a leader */
    uint16_t shingles;
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
    l->sketch[at] = *p->sketch;
    l->need[at] = (uint8_t)need_for(p->shingles);
    l->seen[at] = UINT32_MAX;
    p->group = at;
    if (!p->shingles)               /* no text: nothing resembles it */
        return true;
    for (unsigned band = 0; band < BANDS; band++) {
        uint32_t *head = &l->head[band * BAND_KEYS + band_key(p->sketch, band)];
        l->next[at * BANDS + band] = *head;
        *head = at + 1;
    }
    return true;
}

/* The leader that p resembles most, or UINT32_MAX. On a tie the older leader: it stands for more messages. */
static uint32_t find_leader(struct leaders *l, const struct point *p, uint32_t stamp)
{
    unsigned best = 0, own = need_for(p->shingles);
    uint32_t found = UINT32_MAX;
    if (!p->shingles)
        return UINT32_MAX;
    for (unsigned band = 0; band < BANDS && best < SURE; band++) {
        uint32_t at = l->head[band * BAND_KEYS + band_key(p->sketch, band)];
        for (unsigned steps = 0; at && steps < CHAIN; at = l->next[(at - 1) * BANDS + band], steps++) {
            uint32_t leader = at - 1;
            if (l->seen[leader] == stamp)
                continue;
            l->seen[leader] = stamp;
            unsigned alike = qs_sketch_matches(p->sketch, &l->sketch[leader]);
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
            __builtin_prefetch(points[i + AHEAD].sketch);
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

static int by_group(const void *a, const void *b)
{
    const struct point *x = *(const struct point *const *)a, *y = *(const struct point *const *)b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* The most frequent value of each bin over the members of one group, the smaller one of two as frequent; support[] tells how
 * many messages have it. All counts are zero between two uses. */
struct tally {
    uint32_t count[QS_SKETCH_BINS][256];
    uint32_t support[QS_SKETCH_BINS];
};

static void consensus(struct tally *tally, struct point *const *member, uint32_t count, struct point *out,
                      struct qs_sketch *mode)
{
    uint64_t shingles = 0;
    memset(out, 0, sizeof *out);
    memset(mode, 0, sizeof *mode);
    memset(tally->support, 0, sizeof tally->support);
    for (uint32_t i = 0; i < count; i++) {
        out->weight += member[i]->weight;
        shingles += (uint64_t)member[i]->shingles * member[i]->weight;
        for (unsigned b = 0; b < QS_SKETCH_BINS; b++) {
            uint8_t value = member[i]->sketch->bin[b];
            uint32_t n = tally->count[b][value] += member[i]->weight;
            if (n > tally->support[b] || (n == tally->support[b] && value < mode->bin[b])) {
                tally->support[b] = n;
                mode->bin[b] = value;
            }
        }
    }
    for (uint32_t i = 0; i < count; i++)
        for (unsigned b = 0; b < QS_SKETCH_BINS; b++)
            tally->count[b][member[i]->sketch->bin[b]] = 0;
    out->shingles = (uint16_t)(out->weight ? shingles / out->weight : 0);
    out->hash = XXH3_64bits(mode, sizeof *mode);
    out->sketch = mode;
}

/* The consensus of every group of `count` points with enough messages, in the order that assign() wants. */
static struct point *all_consensus(TALLOC_CTX *parent, struct tally *tally, struct point *points, uint32_t count,
                                   uint32_t *out_count)
{
    struct point **order = talloc_array(NULL, struct point *, count ? count : 1);
    struct point *out = NULL;
    struct qs_sketch *modes = NULL;
    uint32_t groups = 0;
    *out_count = 0;
    for (uint32_t i = 0; order && i < count; i++)
        order[i] = &points[i];
    if (order) {
        qsort(order, count, sizeof *order, by_group);
        for (uint32_t i = 0; i < count; i++)
            groups += i == 0 || order[i]->group != order[i - 1]->group;
        out = talloc_array(parent, struct point, groups + 1);
        modes = out ? talloc_array(out, struct qs_sketch, groups + 1) : NULL;
    }
    if (modes) {
        for (uint32_t i = 0, end; i < count; i = end) {
            uint32_t weight = 0;
            for (end = i; end < count && order[end]->group == order[i]->group; end++)
                weight += order[end]->weight;
            if (weight >= CONSENSUS_MIN && order[i]->shingles)
                {
                consensus(tally, &order[i], end - i, &out[*out_count], &modes[*out_count]);
                ++*out_count;
            }
        }
        qsort(out, *out_count, sizeof *out, by_weight);
    } else {
        talloc_free(out);
        out = NULL;
    }
    talloc_free(order);
    return out;
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

struct profiles {
    uint32_t head[QS_SKETCH_BINS][256];     /* first node, counting from 1 */
    struct node *node;
    uint32_t node_count, node_size;
    uint32_t weight[PROFILES], group[PROFILES];     /* messages; the group that founded it */
    float score[PROFILES];      /* of what is looked at now; zero between two uses */
    uint32_t touched[PROFILES], touched_count;
    uint32_t count;
};

/* Adds what each profile shares with a group that has this feature in `share` of its messages. */
static void score(struct profiles *p, unsigned bin, unsigned value, float share)
{
    for (uint32_t at = p->head[bin][value]; at; at = p->node[at - 1].next) {
        const struct node *n = &p->node[at - 1];
        float theirs = (float)n->count / (float)p->weight[n->profile];
        if (p->score[n->profile] == 0)
            p->touched[p->touched_count++] = n->profile;
        p->score[n->profile] += theirs < share ? theirs : share;
    }
}

/* The profile with the highest score, when that reaches `per_cent` of all bins, else UINT32_MAX. Clears the scores. */
static uint32_t best_profile(struct profiles *p, unsigned per_cent)
{
    uint32_t best = UINT32_MAX;
    float most = (float)(per_cent * QS_SKETCH_BINS) / 100;
    for (uint32_t i = 0; i < p->touched_count; i++) {
        uint32_t at = p->touched[i];
        if (p->score[at] > most || (p->score[at] == most && at < best)) {
            most = p->score[at];
            best = at;
        }
        p->score[at] = 0;
    }
    p->touched_count = 0;
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
static uint32_t features_of(struct tally *tally, struct point *const *member, uint32_t count, uint32_t weight,
                            struct feature *out)
{
    uint32_t found = 0, kept = 0;
    for (uint32_t i = 0; i < count; i++)
        for (unsigned b = 0; b < QS_SKETCH_BINS; b++) {
            uint8_t value = member[i]->sketch->bin[b];
            if (!tally->count[b][value])
                out[found++] = (struct feature){0, (uint8_t)b, value};
            tally->count[b][value] += member[i]->weight;
        }
    for (uint32_t i = 0; i < found; i++) {
        struct feature f = out[i];
        f.count = tally->count[f.bin][f.value];
        tally->count[f.bin][f.value] = 0;
        if ((uint64_t)f.count * RARE >= weight)
            out[kept++] = f;
    }
    return kept;
}

/* Lets the group of these points join a profile or found one; join[] tells whose messages its messages are. */
static bool profile_group(struct profiles *p, const struct feature *f, uint32_t features, uint32_t group, uint32_t weight,
                          uint32_t *join)
{
    for (uint32_t i = 0; i < features; i++)
        score(p, f[i].bin, f[i].value, (float)f[i].count / (float)weight);
    uint32_t at = best_profile(p, OVERLAP);
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

struct span_of_group {          /* points order[first .. end) */
    uint32_t first, end, weight;
    uint64_t hash;
};

static int by_span_weight(const void *a, const void *b)
{
    const struct span_of_group *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Joins groups of one stock, then messages that stand alone. Changes points[].group. */
static enum qs_status join_profiles(struct tally *tally, struct point *points, uint32_t count, uint32_t groups)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct point **order = talloc_array(scratch, struct point *, count ? count : 1);
    struct span_of_group *span = talloc_array(scratch, struct span_of_group, groups ? groups : 1);
    uint32_t *join = talloc_array(scratch, uint32_t, groups ? groups : 1), spans = 0;
    struct feature *features = talloc_array(scratch, struct feature, QS_SKETCH_BINS * 256);
    struct profiles *p = talloc_zero(scratch, struct profiles);
    bool ok = order && span && join && features && p;
    for (uint32_t i = 0; ok && i < count; i++)
        order[i] = &points[i];
    if (ok)
        qsort(order, count, sizeof *order, by_group);
    for (uint32_t i = 0, end; ok && i < count; i = end) {
        struct span_of_group s = {i, i, 0, order[i]->hash};
        join[order[i]->group] = order[i]->group;
        for (end = i; end < count && order[end]->group == order[i]->group; end++)
            s.weight += order[end]->weight;
        s.end = end;
        if (s.weight >= PROFILE_MIN && order[i]->shingles)
            span[spans++] = s;
    }
    if (ok)
        qsort(span, spans, sizeof *span, by_span_weight);
    for (uint32_t k = 0; ok && k < spans && k < PROFILES; k++) {
        struct point **member = &order[span[k].first];
        uint32_t found = features_of(tally, member, span[k].end - span[k].first, span[k].weight, features);
        ok = profile_group(p, features, found, member[0]->group, span[k].weight, join);
        for (uint32_t i = span[k].first; i < span[k].end; i++)
            order[i] = NULL;        /* has its place */
    }
    for (uint32_t i = 0; ok && i < count; i++) {
        if (!order[i] || !order[i]->shingles)
            continue;
        for (unsigned b = 0; b < QS_SKETCH_BINS; b++)
            score(p, b, order[i]->sketch->bin[b], 1);
        uint32_t at = best_profile(p, EXPLAINED);
        if (at != UINT32_MAX)
            order[i]->group = p->group[at];
    }
    for (uint32_t i = 0; ok && i < count; i++)
        points[i].group = join[points[i].group];
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

/* One point for each distinct sketch; point_of tells each message's, QS_NO_CLUSTER for a message that shows nothing. */
static enum qs_status make_points(TALLOC_CTX *parent, const struct qs_scan *scan, struct point **out, uint32_t *count,
                                  uint32_t *point_of)
{
    struct qs_table *known = qs_table_new(NULL, scan->count);    /* at once: growing needs half as much again */
    uint32_t used = 0, size = 1024;
    struct point *points = talloc_array(parent, struct point, size);
    bool ok = known && points;
    for (uint32_t i = 0; ok && i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        uint64_t hash = m->print.shingles ? XXH3_64bits(&m->print.sketch, sizeof m->print.sketch)
                                          : textless_key(scan, m);
        point_of[i] = QS_NO_CLUSTER;
        if (!hash)
            continue;
        if (used == size) {
            size += size / 2;
            struct point *grown = talloc_realloc(parent, points, struct point, size);
            ok = grown != NULL;
            points = grown ? grown : points;
        }
        uint32_t *at = ok ? qs_table_at(known, hash, used) : NULL;
        ok = at != NULL;
        if (!ok)
            break;
        if (*at == used)
            points[used++] = (struct point){&m->print.sketch, hash, 0, 0, m->print.shingles};
        points[*at].weight++;
        point_of[i] = *at;
    }
    talloc_free(known);
    *out = points;
    *count = used;
    return ok ? QS_OK : QS_NOMEM;
}

/* The name of a group: three (bin, value) features that nearly all messages share, those with the smallest digests. */
static void name_group(struct qs_cluster *c, const struct tally *tally, const struct point *centre)
{
    uint64_t least[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    unsigned found = 0;
    for (unsigned b = 0; b < QS_SKETCH_BINS; b++) {
        if ((uint64_t)tally->support[b] * 10 < (uint64_t)centre->weight * 8)
            continue;
        uint64_t digest = qs_mix64((uint64_t)(b + 1) << 8 | centre->sketch->bin[b]);
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
    if (found >= 3 && centre->shingles)
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

/* Sorts the messages into clusters by their points' groups and describes each cluster. */
static enum qs_status describe(struct qs_clusters *out, const struct qs_scan *scan, struct tally *tally, struct point *points,
                               uint32_t point_count, uint32_t groups, const uint32_t *point_of)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    uint32_t *start = talloc_zero_array(scratch, uint32_t, groups + 2);
    struct point **order = talloc_array(scratch, struct point *, point_count ? point_count : 1);
    out->member = talloc_array(out, uint32_t, scan->count ? scan->count : 1);
    if (!start || !order || !out->member) {
        talloc_free(scratch);
        return QS_NOMEM;
    }
    for (uint32_t i = 0; i < scan->count; i++)
        if (point_of[i] != QS_NO_CLUSTER)
            start[points[point_of[i]].group + 2]++;
    uint32_t kept = 0;
    for (uint32_t g = 0; g < groups; g++) {
        kept += start[g + 2] >= 2;
        start[g + 2] += start[g + 1];
    }
    for (uint32_t i = 0; i < scan->count; i++)
        if (point_of[i] != QS_NO_CLUSTER)
            out->member[start[points[point_of[i]].group + 1]++] = i;
    for (uint32_t i = 0; i < point_count; i++)
        order[i] = &points[i];
    qsort(order, point_count, sizeof *order, by_group);
    out->item = talloc_zero_array(out, struct qs_cluster, kept ? kept : 1);
    if (!out->item) {
        talloc_free(scratch);
        return QS_NOMEM;
    }
    for (uint32_t g = 0, p = 0; g < groups; g++) {
        uint32_t first_point = p;
        while (p < point_count && order[p]->group == g)
            p++;
        struct qs_cluster c = {.first = start[g], .count = start[g + 1] - start[g]};
        if (c.count < 2)
            continue;
        struct point centre;
        struct qs_sketch mode;
        consensus(tally, &order[first_point], p - first_point, &centre, &mode);
        if (!order[first_point]->shingles)
            centre.hash = order[first_point]->hash;
        name_group(&c, tally, &centre);
        uint64_t alike = 0;
        for (uint32_t k = first_point; k < p; k++)
            alike += (uint64_t)qs_sketch_matches(order[k]->sketch, centre.sketch) * order[k]->weight;
        c.cohesion = (float)alike / (float)(QS_SKETCH_BINS * (uint64_t)centre.weight);
        c.leader = out->member[c.first];
        for (uint32_t k = 1; k < c.count; k++)
            if (before(scan, out->member[c.first + k], c.leader))
                c.leader = out->member[c.first + k];
        out->item[out->count++] = c;
    }
    talloc_free(scratch);
    return QS_OK;
}

/* Largest first; equal names (rare: 32 bits) are told apart by their leaders' queue IDs. */
static void finish(struct qs_clusters *out, const struct qs_scan *scan)
{
    qsort(out->item, out->count, sizeof *out->item, by_size);
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
    struct tally *tally = talloc_zero(scratch, struct tally);
    uint32_t *point_of = talloc_array(scratch, uint32_t, scan->count ? scan->count : 1);
    uint32_t *rank = NULL, count = 0, centres = 0, merged = 0;
    struct point *points = NULL, *centre = NULL, *joined = NULL;
    struct leaders *leaders = leaders_new(scratch);
    if (!result || !tally || !point_of || !leaders)
        goto done;
    result->of = talloc_array(result, uint32_t, scan->count ? scan->count : 1);
    if (!result->of || make_points(scratch, scan, &points, &count, point_of) != QS_OK)
        goto done;
    memset(result->of, 0xff, scan->count * sizeof *result->of);

    /* points in their order; point_of follows them */
    rank = talloc_array(scratch, uint32_t, count ? count : 1);
    if (!rank)
        goto done;
    for (uint32_t i = 0; i < count; i++)
        points[i].group = i;
    qsort(points, count, sizeof *points, by_weight);
    for (uint32_t i = 0; i < count; i++)
        rank[points[i].group] = i;
    for (uint32_t i = 0; i < scan->count; i++)
        if (point_of[i] != QS_NO_CLUSTER)
            point_of[i] = rank[point_of[i]];

    if (!assign(leaders, points, count) || !(centre = all_consensus(scratch, tally, points, count, &centres)) ||
        !(leaders = leaders_anew(scratch, leaders)) || !assign(leaders, centre, centres) ||
        !(joined = all_consensus(scratch, tally, centre, centres, &merged)) || !(leaders = leaders_anew(scratch, leaders)))
        goto done;
    for (uint32_t i = 0; i < merged; i++)
        if (!lead(leaders, &joined[i]))
            goto done;
    if (!assign(leaders, points, count))
        goto done;
    uint32_t groups = leaders->count;
    talloc_free(leaders);
    if (join_profiles(tally, points, count, groups) != QS_OK ||
        describe(result, scan, tally, points, count, groups, point_of) != QS_OK)
        goto done;
    finish(result, scan);
    *out = talloc_steal(parent, result);
    status = QS_OK;
done:
    talloc_free(scratch);
    return status == QS_OK ? QS_OK : qs_fail(err, status, "out of memory");
}
