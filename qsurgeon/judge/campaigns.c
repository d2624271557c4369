/* SPDX-License-Identifier: Apache-2.0 */
/* Campaigns: messages of one wording, however much it was varied.
 *
 * A spammer who spins every phrase leaves a tenth of the three-word shingles to any two messages, and random words around
 * them leave less. But unrelated texts share none, so a twentieth in the mean over many pairs is no accident. Hence average
 * linkage (UPGMA by chains of nearest neighbours, Murtagh 1983) over a sample of what no one vouches for: the likeness of
 * two groups is the mean over all their pairs, so no chain of single likenesses grows one. Some members stand for each
 * part that was found; the other messages are compared with those, and what is left is sampled again. At last parts join
 * that came from the same clients and whose texts are at least related.
 * All choices go by digests of content: the order of messages has no influence. Time is linear in messages. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"

enum {
    SAMPLE = 1024, ROUNDS = 8,
    PROTOTYPES = 16,                /* members that stand for a part */
    PARTS_MAX = 4096,
    GROWN = 8,                      /* members after which the likeness within a group is a fact about it */
    TEXT_ENOUGH = 12,               /* shingles; fewer say less */
    CLIENT_CAMPAIGNS = 16,          /* campaigns counted for one client */
    SHARED_LEAST = 3, SHARED_PART = 50,     /* clients that two campaigns of one wave share: so many, and 1 in so many */
};

/* Agreeing bins of 64, in the mean over pairs. Unrelated texts agree in 64/256. */
static const float alike = 3.0f;            /* make one part */
static const float related = 1.2f;          /* make one campaign when the same clients sent both */
static const float same_host = 4.0f;        /* what a link host counts that both name and no trusted mail does */
static const float same_doubt = 1.0f;       /* what counts that both come from where ordinary mail does not */
static const float one_counts = 8.0f;       /* that a single prototype counts at most: it may hold a piece of good mail */
static const float of_inner = 0.15f;        /* of the likeness within a part that others must reach, too */
static const float surely = 0.6f;           /* of it that makes further search needless */

struct point {
    uint64_t key;                   /* digest of content: the order */
    uint32_t message;
    uint32_t part;
    bool tried;                     /* was in a sample */
    bool inside;                    /* of our own users and hosts; these and strangers make no campaign together */
    bool dubious;                   /* from where ordinary mail does not come from */
};

struct part {
    struct qs_sketch sketch[PROTOTYPES];
    uint32_t url[PROTOTYPES][QS_URLS_KEPT];
    uint16_t shingles[PROTOTYPES];
    uint32_t message[PROTOTYPES];
    unsigned count;
    float inner;                    /* mean likeness of two of them */
    float dubious;                  /* share of them */
    bool inside;
};

struct qs_parts {
    struct part *part;
    uint32_t count;
    uint32_t *campaign;             /* of each part */
    struct qs_table *trusted;       /* link hosts in mail that is vouched for */
    struct profile *profile;
    uint32_t *profile_of;           /* of each campaign, or QS_NONE */
};

struct finder {
    const struct qs_scan *scan;
    const struct qs_clusters *clusters;
    const struct qs_fact *fact;
    struct point *point;
    uint32_t count;
    struct qs_parts *parts;
    uint32_t *hint;                 /* of each text cluster: a part of a member, or QS_NONE */
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

/* --- points ---------------------------------------------------------------------------------------------------------- */

static const struct qs_fingerprint *text_of(const struct qs_scan *scan, const struct qs_fact *fact, uint32_t message)
{
    const struct qs_message *m = &scan->messages[message];
    return fact[message].bits & QS_F_NOTICE && m->returned ? &m->returned->print : &m->print;
}

static const uint32_t *urls_of(const struct qs_scan *scan, const struct qs_fact *fact, uint32_t message)
{
    const struct qs_message *m = &scan->messages[message];
    return fact[message].bits & QS_F_NOTICE && m->returned ? m->returned->url : m->url;
}

static bool is_inside(uint32_t bits)
{
    return bits & QS_F_NOTICE ? bits & QS_F_FROM_US : bits & QS_F_INSIDE;
}

static bool is_dubious(uint32_t bits)
{
    return bits & QS_F_NOTICE ? bits & QS_F_RETURNS_DUBIOUS : bits & (QS_F_NO_NAME | QS_F_GENERIC);
}

static bool takes_part(const struct qs_scan *scan, const struct qs_fact *fact, uint32_t message)
{
    const struct qs_message *m = &scan->messages[message];
    uint32_t bits = fact[message].bits;
    if (bits & QS_F_NOTICE)
        return m->returned && m->returned->print.shingles && !(bits & QS_F_GENUINE);
    return m->print.shingles && !(bits & QS_F_VOUCHED);
}

static uint64_t content_key(const struct qs_fingerprint *print)
{
    uint64_t word[QS_SKETCH_BINS / 8], key = print->body_hash;
    memcpy(word, &print->sketch, sizeof word);
    for (unsigned i = 0; i < QS_SKETCH_BINS / 8; i++)
        key = qs_mix64(key ^ word[i]);
    return key;
}

static bool make_points(struct finder *f, TALLOC_CTX *scratch)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->scan->count; i++)
        n += takes_part(f->scan, f->fact, i);
    f->point = talloc_array(scratch, struct point, n + 1);
    f->hint = talloc_array(scratch, uint32_t, f->clusters->count + 1);
    if (!f->point || !f->hint)
        return false;
    for (uint32_t i = 0; i < f->scan->count; i++)
        if (takes_part(f->scan, f->fact, i))
            f->point[f->count++] = (struct point){content_key(text_of(f->scan, f->fact, i)), i, QS_NONE, false,
                                                  is_inside(f->fact[i].bits), is_dubious(f->fact[i].bits)};
    memset(f->hint, 0xff, (f->clusters->count + 1) * sizeof *f->hint);
    return true;
}

static bool learn_trusted(struct qs_parts *parts, const struct qs_scan *scan, const struct qs_fact *fact)
{
    parts->trusted = qs_table_new(parts, 1024);
    for (uint32_t i = 0; parts->trusted && i < scan->count; i++)
        for (unsigned u = 0; fact[i].bits & QS_F_VOUCHED && u < QS_URLS_KEPT && scan->messages[i].url[u]; u++)
            if (!qs_table_at(parts->trusted, scan->messages[i].url[u], 1))
                return false;
    return parts->trusted != NULL;
}

/* A host that both name and no trusted mail does. Both lists are ascending and end with 0. */
static bool share_host(const struct qs_parts *parts, const uint32_t *a, const uint32_t *b)
{
    for (unsigned i = 0, k = 0; i < QS_URLS_KEPT && k < QS_URLS_KEPT && a[i] && b[k];) {
        if (a[i] == b[k] && !qs_table_get(parts->trusted, a[i], 0))
            return true;
        if (a[i] <= b[k])
            i++;
        else
            k++;
    }
    return false;
}

static float agreement(const struct qs_sketch *a, unsigned a_shingles, const struct qs_sketch *b, unsigned b_shingles)
{
    unsigned fewer = a_shingles < b_shingles ? a_shingles : b_shingles;
    float n = (float)matches(a, b);
    return fewer < TEXT_ENOUGH ? n * (float)fewer / TEXT_ENOUGH : n;
}

/* --- linkage --------------------------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct point *x = *(struct point *const *)a, *y = *(struct point *const *)b;
    return x->key < y->key ? -1 : x->key > y->key;
}

/* The points without a part whose keys are smallest, at most SAMPLE. */
static uint32_t take_sample(const struct finder *f, struct point **out, uint32_t room, uint32_t *left)
{
    uint32_t used = 0;
    *left = 0;
    for (uint32_t i = 0; i < f->count; i++)
        *left += f->point[i].part == QS_NONE && !f->point[i].tried;
    uint64_t bound = UINT64_MAX;
    if (*left > SAMPLE)             /* keys are spread evenly: a tenth more than wanted, then the smallest of those */
        bound = UINT64_MAX / *left * (SAMPLE + SAMPLE / 10);
    for (uint32_t i = 0; i < f->count && used < room; i++)
        if (f->point[i].part == QS_NONE && !f->point[i].tried && f->point[i].key <= bound)
            out[used++] = &f->point[i];
    qsort(out, used, sizeof *out, by_key);
    used = used < SAMPLE ? used : SAMPLE;
    for (uint32_t i = 0; i < used; i++)
        out[i]->tried = true;
    return used;
}

struct linkage {
    float *like;                    /* n x n: mean likeness of two groups */
    float *inner;                   /* mean likeness within the group that stands at this place */
    uint32_t *size;                 /* of it; 0: joined to another, or final */
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
    l->inner[to] = (l->inner[to] * a * (a - 1) + l->inner[gone] * b * (b - 1) + *like(l, to, gone) * 2 * a * b) /
                   ((a + b) * (a + b - 1));
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

static bool too_unlike(struct linkage *l, uint32_t a, uint32_t b)
{
    float inner_a = l->size[a] >= GROWN ? l->inner[a] : 0, inner_b = l->size[b] >= GROWN ? l->inner[b] : 0;
    return *like(l, a, b) < fmaxf(alike, of_inner * fmaxf(inner_a, inner_b));
}

/* Average linkage by chains of nearest neighbours. A group that is too unlike its nearest is final. */
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
        if (next == QS_NONE || too_unlike(l, top, next)) {
            l->size[top] = 0;       /* l->group still names it */
            depth--;
        } else if (next == before) {
            depth -= 2;
            join(l, top < before ? top : before, top < before ? before : top);
        } else {
            l->chain[depth++] = next;
        }
    }
}

static void add_prototype(const struct finder *f, struct part *p, const struct point *from)
{
    if (p->count == PROTOTYPES)
        return;
    const struct qs_fingerprint *text = text_of(f->scan, f->fact, from->message);
    p->sketch[p->count] = text->sketch;
    p->shingles[p->count] = text->shingles;
    p->message[p->count] = from->message;
    memcpy(p->url[p->count], urls_of(f->scan, f->fact, from->message), sizeof *p->url);
    p->inside = from->inside;
    p->dubious = (p->dubious * (float)p->count + from->dubious) / (float)(p->count + 1);
    p->count++;
}

/* The mean agreement of two texts that stand for the part. */
static float inner_of(const struct part *p)
{
    float sum = 0;
    for (unsigned i = 0; i < p->count; i++)
        for (unsigned k = 0; k < i; k++)
            sum += agreement(&p->sketch[i], p->shingles[i], &p->sketch[k], p->shingles[k]);
    return p->count > 1 ? sum * 2 / (float)(p->count * (p->count - 1)) : 0;
}

/* New parts from a linked sample; a part needs `least` texts in it. */
static bool found_parts(struct finder *f, struct linkage *l, struct point *const *sample, uint32_t least)
{
    struct qs_parts *parts = f->parts;
    uint32_t before = parts->count, *made = l->chain, *members = l->size;       /* no longer needed as such */
    memset(members, 0, l->n * sizeof *members);
    for (uint32_t i = 0; i < l->n; i++) {
        members[l->group[i]]++;
        made[i] = QS_NONE;
    }
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t g = l->group[i], message = sample[i]->message;
        if (members[g] < least || (made[g] == QS_NONE && parts->count == PARTS_MAX))
            continue;
        if (made[g] == QS_NONE) {
            made[g] = parts->count++;
            parts->part[made[g]] = (struct part){.inner = 0};
        }
        sample[i]->part = made[g];
        add_prototype(f, &parts->part[made[g]], sample[i]);
        uint32_t cluster = f->fact[message].bits & QS_F_NOTICE ? QS_NO_CLUSTER : f->clusters->of[message];
        if (cluster != QS_NO_CLUSTER && f->hint[cluster] == QS_NONE)
            f->hint[cluster] = made[g];
    }
    for (uint32_t k = before; k < parts->count; k++)
        parts->part[k].inner = inner_of(&parts->part[k]);
    return parts->count > before;
}

/* --- the other messages ---------------------------------------------------------------------------------------------- */

struct reach {
    float text, hosts;              /* mean agreement; share of prototypes that name a common host */
};

static struct reach reach_of(const struct qs_parts *parts, const struct part *part, uint32_t message,
                             const struct qs_fingerprint *text, const uint32_t *url)
{
    struct reach r = {0, 0};
    float most = fmaxf(one_counts, part->inner / 2), others = 0;
    for (unsigned k = 0; k < part->count; k++) {
        if (part->message[k] == message)
            continue;
        others++;
        r.text += fminf(most, agreement(&text->sketch, text->shingles, &part->sketch[k], part->shingles[k]));
        r.hosts += url[0] && share_host(parts, url, part->url[k]);
    }
    if (others > 0) {
        r.text /= others;
        r.hosts /= others;
    }
    return r;
}

/* Parts that the same clients sent belong together when their texts have a little in common. Texts that vary little agree
 * by accident, too: of those more is asked. */
static float need_related(const struct part *part)
{
    return of_inner * part->inner > related ? of_inner * part->inner : related;
}

static float need_of(const struct part *part)
{
    return of_inner * part->inner > alike ? of_inner * part->inner : alike;
}

static void take_in(const struct finder *f, struct point *p, uint32_t first)
{
    const struct qs_fingerprint *text = text_of(f->scan, f->fact, p->message);
    const uint32_t *url = urls_of(f->scan, f->fact, p->message);
    uint32_t cluster = f->fact[p->message].bits & QS_F_NOTICE ? QS_NO_CLUSTER : f->clusters->of[p->message];
    uint32_t hint = cluster == QS_NO_CLUSTER ? QS_NONE : f->hint[cluster];
    float best = 0;
    for (uint32_t k = hint == QS_NONE || hint < first ? first : first - 1; k < f->parts->count || k == first - 1; k++) {
        uint32_t at = k == first - 1 ? hint : k;        /* the hint comes first */
        const struct part *part = &f->parts->part[at];
        if (part->inside != p->inside)
            continue;
        struct reach r = reach_of(f->parts, part, p->message, text, url);
        float likeness = r.text + same_host * r.hosts + (p->dubious ? same_doubt * part->dubious : 0);
        if (likeness >= need_of(part) && (likeness > best || (likeness == best && at < p->part))) {
            best = likeness;
            p->part = at;
            if (at == hint && likeness >= surely * part->inner)
                return;
        }
    }
}

static bool link_sample(struct finder *f, struct linkage *l, struct point **sample, uint32_t n, uint32_t least)
{
    l->n = n;
    for (uint32_t i = 0; i < n; i++) {
        const struct qs_fingerprint *a = text_of(f->scan, f->fact, sample[i]->message);
        const uint32_t *url = urls_of(f->scan, f->fact, sample[i]->message);
        l->size[i] = 1;
        l->group[i] = i;
        l->inner[i] = 0;
        for (uint32_t k = 0; k < i; k++) {
            float n_alike = 0;
            if (sample[i]->inside == sample[k]->inside) {
                const struct qs_fingerprint *b = text_of(f->scan, f->fact, sample[k]->message);
                n_alike = agreement(&a->sketch, a->shingles, &b->sketch, b->shingles);
                if (url[0] && share_host(f->parts, url, urls_of(f->scan, f->fact, sample[k]->message)))
                    n_alike += same_host;
                n_alike += sample[i]->dubious && sample[k]->dubious ? same_doubt : 0;
            }
            *like(l, i, k) = n_alike;
            *like(l, k, i) = n_alike;
        }
    }
    link_up(l);
    return found_parts(f, l, sample, least);
}

static bool run_rounds(struct finder *f, TALLOC_CTX *scratch)
{
    enum { ROOM = SAMPLE + SAMPLE / 2 };
    uint32_t most = f->count < SAMPLE ? f->count : SAMPLE;
    struct point **sample = talloc_array(scratch, struct point *, ROOM);
    struct linkage l = {
        .like = talloc_array(scratch, float, most * most + 1),
        .inner = talloc_array(scratch, float, most + 1),
        .size = talloc_array(scratch, uint32_t, most + 1),
        .group = talloc_array(scratch, uint32_t, most + 1),
        .chain = talloc_array(scratch, uint32_t, most + 1),
    };
    f->parts->part = talloc_array(f->parts, struct part, PARTS_MAX);
    if (!sample || !l.like || !l.inner || !l.size || !l.group || !l.chain || !f->parts->part)
        return false;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t left, first = f->parts->count, n = take_sample(f, sample, ROOM, &left);
        if (n < 2)
            return true;
        if (!link_sample(f, &l, sample, n, n == left ? 2 : 3))
            return true;
        for (uint32_t i = 0; i < f->count; i++)
            if (f->point[i].part == QS_NONE)
                take_in(f, &f->point[i], first);
    }
    return true;
}

/* --- the same clients ------------------------------------------------------------------------------------------------ */

static uint32_t root(uint32_t *parent, uint32_t at)
{
    while (parent[at] != at) {
        parent[at] = parent[parent[at]];
        at = parent[at];
    }
    return at;
}

static void unite(uint32_t *parent, uint32_t a, uint32_t b)
{
    a = root(parent, a);
    b = root(parent, b);
    parent[a > b ? a : b] = a > b ? b : a;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

struct sharing {
    uint64_t *use;                  /* client and part of each message, sorted */
    uint32_t uses;
    uint32_t *clients;              /* distinct clients of each part */
    struct qs_table *both;          /* two parts: clients of both */
};

/* Who sent the messages of each part, and how many of them sent two. */
static bool count_clients(struct sharing *s)
{
    qsort(s->use, s->uses, sizeof *s->use, by_value);
    for (uint32_t i = 0, end; i < s->uses; i = end) {
        uint32_t own[CLIENT_CAMPAIGNS], n = 0, client = (uint32_t)(s->use[i] >> 32);
        for (end = i; end < s->uses && (uint32_t)(s->use[end] >> 32) == client; end++)
            if (n < CLIENT_CAMPAIGNS && (end == i || s->use[end] != s->use[end - 1]))
                own[n++] = (uint32_t)s->use[end];
        for (uint32_t a = 0; a < n; a++) {
            s->clients[own[a]]++;
            for (uint32_t b = 0; b < a; b++) {
                uint32_t *both = qs_table_at(s->both, (uint64_t)own[a] << 32 | own[b], 0);
                if (!both)
                    return false;
                (*both)++;
            }
        }
    }
    return true;
}

static float relation(const struct part *a, const struct part *b)
{
    float sum = 0;
    for (unsigned i = 0; i < a->count; i++)
        for (unsigned k = 0; k < b->count; k++)
            sum += agreement(&a->sketch[i], a->shingles[i], &b->sketch[k], b->shingles[k]);
    return sum / (float)(a->count * b->count);
}

/* Parts of one wave, and of those the ones with related texts. */
static bool join_parts(struct finder *f, const struct qs_known *known, TALLOC_CTX *scratch, uint32_t *wave, uint32_t *campaign)
{
    struct sharing s = {
        .use = talloc_array(scratch, uint64_t, f->count + 1),
        .clients = talloc_zero_array(scratch, uint32_t, f->parts->count + 1),
        .both = qs_table_new(scratch, 256),
    };
    if (!s.use || !s.clients || !s.both)
        return false;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct point *p = &f->point[i];
        uint32_t who = p->part == QS_NONE ? 0 : qs_sender_of(known, f->scan, f->fact, p->message);
        if (who)
            s.use[s.uses++] = (uint64_t)who << 32 | p->part;
    }
    if (!count_clients(&s))
        return false;
    uint32_t at = 0, both;
    uint64_t key;
    while (qs_table_next(s.both, &at, &key, &both)) {
        uint32_t a = (uint32_t)(key >> 32), b = (uint32_t)key;
        uint32_t fewer = s.clients[a] < s.clients[b] ? s.clients[a] : s.clients[b];
        bool inside = f->parts->part[a].inside;     /* one account is enough */
        if (!inside && (both < SHARED_LEAST || (uint64_t)both * SHARED_PART < fewer))
            continue;
        unite(wave, a, b);
        float need = fmaxf(need_related(&f->parts->part[a]), need_related(&f->parts->part[b]));
        if (relation(&f->parts->part[a], &f->parts->part[b]) >= need)
            unite(campaign, a, b);
    }
    return true;
}

/* Numbers the roots in content order and returns how many there are. */
static uint32_t number_roots(uint32_t *parent, uint32_t count, uint32_t *number)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++)
        number[i] = root(parent, i) == i ? used++ : number[root(parent, i)];    /* a root is the smallest of its set */
    return used;
}

/* --- profiles -------------------------------------------------------------------------------------------------------- */

/* Which values are usual in each bin of a campaign. A message of the campaign shows many of them however it was spun; a good
 * message that came near by a phrase or two does not, nor by a piece of it that the spammer used as noise: that is in few. */
struct profile {
    uint64_t usual[QS_SKETCH_BINS][4];      /* a bit for each value */
    float chance;                   /* bins in which an unrelated text shows a usual value */
};

enum { PROFILE_LEAST = 24, USUAL_LEAST = 3, USUAL_PART = 40 };
/* Bins with usual values beyond three times the chance: less makes a member an intruder; more makes a stranger of the same kind of
 * source a member, and still more any stranger. */
static const float intruder = 4.0f, straggler = 6.0f, relative = 10.0f;

static float usual_bins(const struct profile *p, const struct qs_sketch *s)
{
    unsigned n = 0;
    for (unsigned b = 0; b < QS_SKETCH_BINS; b++)
        n += p->usual[b][s->bin[b] / 64] >> s->bin[b] % 64 & 1;
    return (float)n - 3 * p->chance;
}

/* From the members, which are points order[0 .. count). tally is all zero between two uses. */
static void make_profile(const struct finder *f, const uint32_t *order, uint32_t count, uint32_t (*tally)[256],
                         struct profile *out)
{
    uint32_t need = count / USUAL_PART > USUAL_LEAST ? count / USUAL_PART : USUAL_LEAST, values = 0;
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < count; i++) {
        const struct qs_sketch *s = &text_of(f->scan, f->fact, f->point[order[i]].message)->sketch;
        for (unsigned b = 0; b < QS_SKETCH_BINS; b++)
            if (++tally[b][s->bin[b]] == need) {
                out->usual[b][s->bin[b] / 64] |= UINT64_C(1) << s->bin[b] % 64;
                values++;
            }
    }
    memset(tally, 0, QS_SKETCH_BINS * sizeof *tally);
    out->chance = (float)values / 256;
}

/* Points sorted by campaign: those of campaign c are order[start[c] .. start[c + 1]). */
static bool sort_points(const struct finder *f, const struct qs_campaigns *out, TALLOC_CTX *scratch, uint32_t **order,
                        uint32_t **start)
{
    *order = talloc_array(scratch, uint32_t, f->count + 1);
    *start = talloc_zero_array(scratch, uint32_t, out->count + 3);
    if (!*order || !*start)
        return false;
    for (uint32_t i = 0; i < f->count; i++)
        if (out->of[f->point[i].message] != QS_NONE)
            (*start)[out->of[f->point[i].message] + 2]++;
    for (uint32_t c = 0; c < out->count; c++)
        (*start)[c + 2] += (*start)[c + 1];
    for (uint32_t i = 0; i < f->count; i++)
        if (out->of[f->point[i].message] != QS_NONE)
            (*order)[(*start)[out->of[f->point[i].message] + 1]++] = i;
    return true;
}

/* Makes the profiles of the campaigns that are large enough, and puts out their intruders. */
static bool make_profiles(struct finder *f, struct qs_campaigns *out, TALLOC_CTX *scratch)
{
    uint32_t *order, *start, (*tally)[256] = talloc_zero_size(scratch, QS_SKETCH_BINS * sizeof *tally);
    f->parts->profile_of = talloc_array(f->parts, uint32_t, out->count + 1);
    if (!tally || !f->parts->profile_of || !sort_points(f, out, scratch, &order, &start))
        return false;
    uint32_t large = 0;
    for (uint32_t c = 0; c < out->count; c++)
        f->parts->profile_of[c] = start[c + 1] - start[c] >= PROFILE_LEAST ? large++ : QS_NONE;
    f->parts->profile = talloc_array(f->parts, struct profile, large + 1);
    if (!f->parts->profile)
        return false;
    for (uint32_t c = 0; c < out->count; c++) {
        if (f->parts->profile_of[c] == QS_NONE)
            continue;
        struct profile *p = &f->parts->profile[f->parts->profile_of[c]];
        make_profile(f, order + start[c], start[c + 1] - start[c], tally, p);
        for (uint32_t i = start[c]; i < start[c + 1]; i++) {
            uint32_t message = f->point[order[i]].message;
            if (usual_bins(p, &text_of(f->scan, f->fact, message)->sketch) < intruder)
                out->of[message] = QS_NONE;
        }
    }
    return true;
}

static bool finish(struct finder *f, const struct qs_known *known, struct qs_campaigns *out, TALLOC_CTX *scratch)
{
    uint32_t n = f->parts->count;
    uint32_t *wave = talloc_array(scratch, uint32_t, n + 1), *campaign = talloc_array(scratch, uint32_t, n + 1);
    uint32_t *wave_number = talloc_array(scratch, uint32_t, n + 1);
    f->parts->campaign = talloc_array(f->parts, uint32_t, n + 1);
    out->wave = talloc_array(out, uint32_t, n + 1);
    if (!wave || !campaign || !wave_number || !f->parts->campaign || !out->wave)
        return false;
    for (uint32_t i = 0; i < n; i++)
        wave[i] = campaign[i] = i;
    if (!join_parts(f, known, scratch, wave, campaign))
        return false;
    out->count = number_roots(campaign, n, f->parts->campaign);
    out->waves = number_roots(wave, n, wave_number);
    for (uint32_t i = 0; i < n; i++)
        out->wave[f->parts->campaign[i]] = wave_number[i];
    for (uint32_t i = 0; i < f->scan->count; i++)
        out->of[i] = QS_NONE;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->point[i].part != QS_NONE)
            out->of[f->point[i].message] = f->parts->campaign[f->point[i].part];
    return make_profiles(f, out, scratch);
}

struct qs_campaigns *qs_find_campaigns(TALLOC_CTX *parent, const struct qs_scan *scan, const struct qs_clusters *clusters,
                                       const struct qs_known *known, const struct qs_fact *fact)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct finder f = {.scan = scan, .clusters = clusters, .fact = fact};
    struct qs_campaigns *out = talloc_zero(scratch, struct qs_campaigns), *result = NULL;
    f.parts = out ? out->parts = talloc_zero(out, struct qs_parts) : NULL;
    if (f.parts && (out->of = talloc_array(out, uint32_t, scan->count ? scan->count : 1)) &&
        learn_trusted(f.parts, scan, fact) && make_points(&f, scratch) && run_rounds(&f, scratch) &&
        finish(&f, known, out, scratch))
        result = talloc_steal(parent, out);
    talloc_free(scratch);
    return result;
}

/* --- stragglers ------------------------------------------------------------------------------------------------------ */

void qs_adopt_stragglers(struct qs_campaigns *campaigns, const struct qs_scan *scan, const struct qs_fact *fact,
                         const uint8_t *bad)
{
    const struct qs_parts *parts = campaigns->parts;
    for (uint32_t i = 0; i < scan->count; i++) {
        if (campaigns->of[i] != QS_NONE || !takes_part(scan, fact, i) || is_inside(fact[i].bits))
            continue;
        float best = is_dubious(fact[i].bits) ? straggler : relative;
        for (uint32_t c = 0; c < campaigns->count; c++) {
            if (!bad[c] || parts->profile_of[c] == QS_NONE)
                continue;
            float bins = usual_bins(&parts->profile[parts->profile_of[c]], &text_of(scan, fact, i)->sketch);
            if (bins >= best && (bins > best || campaigns->of[i] == QS_NONE)) {
                best = bins;
                campaigns->of[i] = c;
            }
        }
    }
}
