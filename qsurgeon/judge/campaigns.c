/* SPDX-License-Identifier: Apache-2.0 */
/* Campaigns: messages of one wording, however much it was varied.
 *
 * A spammer who spins every phrase leaves a tenth of the three-word shingles to any two messages, and random words around
 * them leave less. But unrelated texts share none, so a twentieth in the mean over many pairs is no accident. Hence average
 * linkage over a sample of what no one vouches for; some members then stand for each part that was found, the other messages
 * are compared with those, and what is left is sampled again. At last parts join that came from the same clients and whose
 * texts are at least related, and profiles (profile.c) put out who came in by a phrase or two.
 * All choices go by digests of content: the order of messages has no influence. Time is linear in messages. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "qsurgeon/parallel.h"

enum {
    SAMPLE = 1024, ROUNDS = 8, GRAIN = 512,
    PROTOTYPES = 16,                /* members that stand for a part */
    SCREEN = 4,                     /* of those that are compared first */
    HOSTS = 8,                      /* link hosts kept of a part */
    PARTS_MAX = 4096, NO_PART = UINT16_MAX,
    CLIENT_PARTS = 16,              /* parts counted for one client */
    SHARED_LEAST = 3, SHARED_PART = 50,     /* clients that two parts of one wave share: so many, and 1 in so many */
};

/* Agreeing bins of 64, in the mean over pairs. Unrelated texts agree in 64/256. */
static const float alike = 3.0f;            /* make one part */
static const float related = 1.2f;          /* make one campaign when the same clients sent both */
static const float same_host = 4.0f;        /* what a link host counts that both name and no trusted mail does */
static const float same_doubt = 1.0f;       /* what counts that both come from where ordinary mail does not */
static const float one_counts = 8.0f;       /* that a single prototype counts at most: it may hold a piece of good mail */
static const float screened = 3.0f;         /* of all the screening prototypes; less is chance */
static const float of_inner = 0.15f;        /* of the likeness within a part that others must reach, too */
static const float surely = 0.6f;           /* of it that makes further search needless */

struct point {                      /* small: there is one for nearly every message */
    uint64_t key;                   /* digest of content: the order */
    uint32_t message;
    uint16_t part;                  /* or NO_PART */
    bool tried : 1;                 /* was in a sample */
    bool inside : 1;                /* of our own users and hosts; these and strangers make no campaign together */
    bool dubious : 1;               /* from where ordinary mail does not come from */
};

struct member {                     /* what is compared of a message, close together */
    struct qs_sketch sketch;
    uint32_t url[QS_URLS_KEPT];     /* link hosts that no trusted mail names; 0 at the end */
    uint32_t shingles;
    bool inside, dubious;
};

struct part {
    struct member prototype[PROTOTYPES];
    unsigned count;
    uint32_t host[HOSTS], named[HOSTS];     /* link hosts, and how many prototypes name each */
    float inner;                    /* mean agreement of two prototypes */
    float dubious;                  /* share of them */
    bool inside;
};

struct finder {
    const struct qs_scan *scan;
    const struct qs_clusters *clusters;
    const struct qs_fact *fact;
    struct point *point;
    uint32_t count;
    struct part *part;
    uint32_t parts, parts_size;
    struct qs_table *trusted;       /* link hosts in mail that is vouched for */
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

static float agreement(const struct member *a, const struct member *b)
{
    uint32_t fewer = a->shingles < b->shingles ? a->shingles : b->shingles;
    float n = (float)matches(&a->sketch, &b->sketch);
    return fewer < QS_TEXT_ENOUGH ? n * (float)fewer / QS_TEXT_ENOUGH : n;
}

/* Both lists are ascending and end with 0. */
static bool share_host(const struct member *a, const struct member *b)
{
    for (unsigned i = 0, k = 0; i < QS_URLS_KEPT && k < QS_URLS_KEPT && a->url[i] && b->url[k];) {
        if (a->url[i] == b->url[k])
            return true;
        if (a->url[i] < b->url[k])
            i++;
        else
            k++;
    }
    return false;
}

/* --- points ---------------------------------------------------------------------------------------------------------- */

static bool make_points(struct finder *f, TALLOC_CTX *scratch)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->scan->count; i++)
        n += qs_in_campaigns(f->scan, f->fact, i);
    f->point = talloc_array(scratch, struct point, n + 1);
    f->hint = talloc_array(scratch, uint32_t, f->clusters->count + 1);
    if (!f->point || !f->hint)
        return false;
    for (uint32_t i = 0; i < f->scan->count; i++) {
        if (!qs_in_campaigns(f->scan, f->fact, i))
            continue;
        f->point[f->count++] = (struct point){      /* not a digest of the text: of equal ones a share is to be sampled */
            .key = qs_mix64(f->scan->messages[i].digest), .message = i, .part = NO_PART,
            .inside = qs_is_inside(f->fact[i].bits), .dubious = qs_is_dubious(f->fact[i].bits),
        };
    }
    memset(f->hint, 0xff, (f->clusters->count + 1) * sizeof *f->hint);
    return true;
}

static bool learn_trusted(struct finder *f, TALLOC_CTX *scratch)
{
    f->trusted = qs_table_new(scratch, 1024);
    for (uint32_t i = 0; f->trusted && i < f->scan->count; i++)
        for (unsigned u = 0; f->fact[i].bits & (QS_F_VOUCHED | QS_F_STEADY) && u < QS_URLS_KEPT && f->scan->messages[i].url[u]; u++)
            if (!qs_table_at(f->trusted, f->scan->messages[i].url[u], 1))
                return false;
    return f->trusted != NULL;
}

static void look_at(const struct finder *f, const struct point *p, struct member *out)
{
    const struct qs_message *m = &f->scan->messages[p->message];
    const struct qs_fingerprint *text = qs_campaign_text(f->scan, f->fact, p->message);
    const uint32_t *url = text == &m->print ? m->url : m->returned->url;
    *out = (struct member){.sketch = text->sketch, .shingles = text->shingles, .inside = p->inside, .dubious = p->dubious};
    for (unsigned u = 0, kept = 0; u < QS_URLS_KEPT && url[u]; u++)
        if (!qs_table_get(f->trusted, url[u], 0))
            out->url[kept++] = url[u];
}

static uint32_t cluster_of(const struct finder *f, const struct point *p)
{
    return f->fact[p->message].bits & QS_F_NOTICE ? QS_NO_CLUSTER : f->clusters->of[p->message];
}

/* --- parts ----------------------------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct point *x = *(struct point *const *)a, *y = *(struct point *const *)b;
    return x->key < y->key ? -1 : x->key > y->key;
}

/* The points without a part that were in no sample yet and whose keys are smallest, at most SAMPLE. */
static uint32_t take_sample(const struct finder *f, struct point **out, uint32_t room, uint32_t *left)
{
    uint32_t used = 0;
    *left = 0;
    for (uint32_t i = 0; i < f->count; i++)
        *left += f->point[i].part == NO_PART && !f->point[i].tried;
    uint64_t bound = UINT64_MAX;
    if (*left > SAMPLE + SAMPLE / 10)   /* keys are spread evenly: a tenth more than wanted, then the smallest of those */
        bound = UINT64_MAX / *left * (SAMPLE + SAMPLE / 10);
    for (uint32_t i = 0; i < f->count && used < room; i++)
        if (f->point[i].part == NO_PART && !f->point[i].tried && f->point[i].key <= bound)
            out[used++] = &f->point[i];
    qsort(out, used, sizeof *out, by_key);
    used = used < SAMPLE ? used : SAMPLE;
    for (uint32_t i = 0; i < used; i++)
        out[i]->tried = true;
    return used;
}

static struct part *new_part(struct finder *f, TALLOC_CTX *scratch)
{
    if (f->parts == f->parts_size) {
        uint32_t size = f->parts_size ? f->parts_size * 2 : 64;
        struct part *grown = talloc_realloc(scratch, f->part, struct part, size);
        if (!grown)
            return NULL;
        f->part = grown;
        f->parts_size = size;
    }
    struct part *p = &f->part[f->parts++];
    memset(p, 0, sizeof *p);
    return p;
}

static void add_prototype(struct part *p, const struct member *m)
{
    if (p->count == PROTOTYPES)
        return;
    p->prototype[p->count++] = *m;
    p->inside = m->inside;
    for (unsigned u = 0; u < QS_URLS_KEPT && m->url[u]; u++) {
        unsigned at = 0;
        while (at < HOSTS && p->host[at] && p->host[at] != m->url[u])
            at++;
        if (at < HOSTS) {
            p->host[at] = m->url[u];
            p->named[at]++;
        }
    }
}

static void complete_part(struct part *p)
{
    float sum = 0, pairs = 0, dubious = 0;
    for (unsigned i = 0; i < p->count; i++) {
        dubious += p->prototype[i].dubious;
        for (unsigned k = 0; k < i; k++, pairs++)
            sum += agreement(&p->prototype[i], &p->prototype[k]);
    }
    p->inner = pairs > 0 ? sum / pairs : 0;
    p->dubious = dubious / (float)p->count;
}

/* New parts from the groups of a linked sample that have `least` texts. False: out of memory. */
static bool found_parts(struct finder *f, TALLOC_CTX *scratch, struct qs_linkage *l, struct point *const *sample,
                        const struct member *text, uint32_t least)
{
    uint32_t before = f->parts, *made = l->chain, *members = l->size;   /* no longer needed as such */
    for (uint32_t i = 0; i < l->n; i++) {
        members[i] = 0;
        made[i] = QS_NONE;
    }
    for (uint32_t i = 0; i < l->n; i++)
        members[l->group[i]]++;
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t g = l->group[i], cluster = cluster_of(f, sample[i]);
        if (members[g] < least || (made[g] == QS_NONE && f->parts == PARTS_MAX))
            continue;
        if (made[g] == QS_NONE) {
            made[g] = f->parts;
            if (!new_part(f, scratch))
                return false;
        }
        sample[i]->part = (uint16_t)made[g];
        add_prototype(&f->part[made[g]], &text[i]);
        if (cluster != QS_NO_CLUSTER && f->hint[cluster] == QS_NONE)
            f->hint[cluster] = made[g];
    }
    for (uint32_t k = before; k < f->parts; k++)
        complete_part(&f->part[k]);
    return true;
}

static void link_sample(struct qs_linkage *l, const struct member *text, uint32_t n)
{
    qs_linkage_start(l, n);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < i; k++) {
            float likeness = 0;
            if (text[i].inside == text[k].inside) {
                likeness = agreement(&text[i], &text[k]) + (text[i].dubious && text[k].dubious ? same_doubt : 0);
                likeness += text[i].url[0] && share_host(&text[i], &text[k]) ? same_host : 0;
            }
            qs_linkage_set(l, i, k, likeness);
        }
    }
    qs_linkage_run(l, alike, of_inner);
}

/* The mean likeness of a message to those that stand for a part; 0 when a first look shows none. */
static float likeness_to(const struct part *part, const struct member *m)
{
    float most = fmaxf(one_counts, part->inner / 2), sum = 0, hosts = 0;
    if (part->inside != m->inside)
        return 0;
    for (unsigned u = 0; u < QS_URLS_KEPT && m->url[u]; u++)
        for (unsigned h = 0; h < HOSTS && part->host[h]; h++)
            if (part->host[h] == m->url[u])
                hosts = fmaxf(hosts, (float)part->named[h]);
    for (unsigned k = 0; k < part->count; k++) {
        sum += fminf(most, agreement(m, &part->prototype[k]));
        if (k == SCREEN - 1 && sum < screened && hosts == 0)
            return 0;
    }
    return (sum + same_host * hosts) / (float)part->count + (m->dubious ? same_doubt * part->dubious : 0);
}

/* Gives the point the part among those from `first` on that it resembles most, if it does. */
static void take_in(const struct finder *f, struct point *p, uint32_t first)
{
    struct member m;
    uint32_t cluster = cluster_of(f, p), hint = cluster == QS_NO_CLUSTER ? QS_NONE : f->hint[cluster];
    float best = 0;
    look_at(f, p, &m);
    if (hint != QS_NONE && hint >= first) {
        float likeness = likeness_to(&f->part[hint], &m);
        if (likeness >= fmaxf(alike, surely * f->part[hint].inner)) {
            p->part = (uint16_t)hint;
            return;
        }
    }
    for (uint32_t k = first; k < f->parts; k++) {
        float likeness = likeness_to(&f->part[k], &m);
        if (likeness > best && likeness >= fmaxf(alike, of_inner * f->part[k].inner)) {
            best = likeness;
            p->part = (uint16_t)k;
        }
    }
}

struct newcomers {
    const struct finder *finder;
    struct point *point;
    uint32_t first;                 /* of the parts to look at */
};

static void take_some_in(void *data, unsigned thread, uint32_t begin, uint32_t end)
{
    const struct newcomers *n = data;
    (void)thread;
    for (uint32_t i = begin; i < end; i++)
        if (n->point[i].part == NO_PART)
            take_in(n->finder, &n->point[i], n->first);
}

static bool run_rounds(struct finder *f, TALLOC_CTX *scratch)
{
    enum { ROOM = SAMPLE + SAMPLE / 2 };
    struct qs_linkage *l = qs_linkage_new(scratch, f->count < SAMPLE ? f->count : SAMPLE);
    struct point **sample = talloc_array(scratch, struct point *, ROOM);
    struct member *text = talloc_array(scratch, struct member, SAMPLE);
    if (!l || !sample || !text)
        return false;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t left, first = f->parts, n = take_sample(f, sample, ROOM, &left);
        if (n < 2)
            return true;
        for (uint32_t i = 0; i < n; i++)
            look_at(f, sample[i], &text[i]);
        link_sample(l, text, n);
        if (!found_parts(f, scratch, l, sample, text, n == left ? 2 : 3))
            return false;
        if (f->parts == first)
            return true;
        struct newcomers newcomers = {f, f->point, first};
        qs_parallel(f->scan->options.threads, f->count, GRAIN, take_some_in, &newcomers);
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
    uint64_t *use;                  /* client and part, each pair once */
    uint32_t uses;
    struct qs_table *known;         /* the pairs */
    uint32_t *clients;              /* distinct clients of each part */
    struct qs_table *both;          /* two parts: clients of both */
};

/* Who sent the messages of each part, and how many of them sent two. */
static bool count_clients(struct sharing *s)
{
    if (s->uses)            /* else there is no array */
        qsort(s->use, s->uses, sizeof *s->use, by_value);
    for (uint32_t i = 0, end; i < s->uses; i = end) {
        uint32_t own[CLIENT_PARTS], n = 0, client = (uint32_t)(s->use[i] >> 32);
        for (end = i; end < s->uses && (uint32_t)(s->use[end] >> 32) == client; end++)
            if (n < CLIENT_PARTS)
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

static bool list_uses(const struct finder *f, TALLOC_CTX *scratch, struct sharing *s)
{
    uint32_t size = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct point *p = &f->point[i];
        uint32_t who = p->part == NO_PART ? 0 : qs_sender_of(f->scan, f->fact, p->message);
        uint64_t use = (uint64_t)who << 32 | p->part;
        uint32_t *seen = who ? qs_table_at(s->known, use, 0) : NULL;
        if (who && !seen)
            return false;
        if (!who || (*seen)++)
            continue;
        if (s->uses == size) {
            size = size ? size * 2 : 1024;
            uint64_t *grown = talloc_realloc(scratch, s->use, uint64_t, size);
            if (!grown)
                return false;
            s->use = grown;
        }
        s->use[s->uses++] = use;
    }
    return true;
}

/* Mean agreement of two parts' texts, and whether that is more than accident: texts that vary little may agree in one bin
 * or two everywhere. */
static bool are_related(const struct part *a, const struct part *b)
{
    float sum = 0;
    for (unsigned i = 0; i < a->count; i++)
        for (unsigned k = 0; k < b->count; k++)
            sum += agreement(&a->prototype[i], &b->prototype[k]);
    return sum / (float)(a->count * b->count) >= fmaxf(related, of_inner * fmaxf(a->inner, b->inner));
}

/* Parts that the same clients sent are of one wave, and of one campaign when their texts are related. */
static bool join_parts(struct finder *f, TALLOC_CTX *scratch, uint32_t *wave, uint32_t *campaign)
{
    struct sharing s = {
        .known = qs_table_new(scratch, 1024),
        .clients = talloc_zero_array(scratch, uint32_t, f->parts + 1),
        .both = qs_table_new(scratch, 256),
    };
    if (!s.known || !s.clients || !s.both || !list_uses(f, scratch, &s) || !count_clients(&s))
        return false;
    uint32_t at = 0, both;
    uint64_t key;
    while (qs_table_next(s.both, &at, &key, &both)) {
        uint32_t a = (uint32_t)(key >> 32), b = (uint32_t)key;
        uint32_t fewer = s.clients[a] < s.clients[b] ? s.clients[a] : s.clients[b];
        bool inside = f->part[a].inside;        /* one account is enough */
        if (!inside && (both < SHARED_LEAST || (uint64_t)both * SHARED_PART < fewer))
            continue;
        unite(wave, a, b);
        if (are_related(&f->part[a], &f->part[b]))
            unite(campaign, a, b);
    }
    return true;
}

/* Numbers the roots in their order and returns how many there are. */
static uint32_t number_roots(uint32_t *parent, uint32_t count, uint32_t *number)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++)
        number[i] = root(parent, i) == i ? used++ : number[root(parent, i)];    /* a root is the smallest of its set */
    return used;
}

static bool finish(struct finder *f, struct qs_campaigns *out, TALLOC_CTX *scratch)
{
    uint32_t n = f->parts;
    uint32_t *wave = talloc_array(scratch, uint32_t, n + 1), *campaign = talloc_array(scratch, uint32_t, n + 1);
    uint32_t *wave_number = talloc_array(scratch, uint32_t, n + 1), *number = talloc_array(scratch, uint32_t, n + 1);
    out->wave = talloc_array(out, uint32_t, n + 1);
    if (!wave || !campaign || !wave_number || !number || !out->wave)
        return false;
    for (uint32_t i = 0; i < n; i++)
        wave[i] = campaign[i] = i;
    if (!join_parts(f, scratch, wave, campaign))
        return false;
    out->count = number_roots(campaign, n, number);
    out->waves = number_roots(wave, n, wave_number);
    for (uint32_t i = 0; i < n; i++)
        out->wave[number[i]] = wave_number[i];
    for (uint32_t i = 0; i < f->scan->count; i++)
        out->of[i] = QS_NONE;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->point[i].part != NO_PART)
            out->of[f->point[i].message] = number[f->point[i].part];
    return true;
}

struct qs_campaigns *qs_find_campaigns(TALLOC_CTX *parent, const struct qs_scan *scan, const struct qs_clusters *clusters,
                                       const struct qs_fact *fact)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct finder f = {.scan = scan, .clusters = clusters, .fact = fact};
    struct qs_campaigns *out = talloc_zero(scratch, struct qs_campaigns), *result = NULL;
    if (out && (out->of = talloc_array(out, uint32_t, scan->count ? scan->count : 1)) && learn_trusted(&f, scratch) &&
        make_points(&f, scratch) && run_rounds(&f, scratch) && finish(&f, out, scratch) &&
        qs_make_profiles(out, scan, fact))
        result = talloc_steal(parent, out);
    talloc_free(scratch);
    return result;
}
