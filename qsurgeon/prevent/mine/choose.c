/* SPDX-License-Identifier: Apache-2.0 */
/* Mining: of all candidates of a storm, the few that catch most. */
#include "miner.h"

#include <math.h>
#include <string.h>

enum {
    PAIRS_MAX = 20000000,                       /* places of a group's candidates */
    COVER = 4, COVER_FEW = 10,                  /* a message shall be caught by so many rules */
    COVERED = 3,                                /* and by so many where rules beyond those asked for are needed */
    MASK_SHARED = 2,                            /* half of a window's words in a chosen one: says the same */
};
/* Of one more rule for a message that has so many. */
static const double weight[COVER + 1] = {1, 0.4, 0.2, 0.1, 0};
static const double weight_few[COVER_FEW + 1] = {1, 0.4, 0.2, 0.15, 0.12, 0.1, 0.09, 0.08, 0.07, 0.06, 0};

/* Candidates of a group and the samples that have them: [first[c], first[c + 1]) of `in`. */
struct cover {
    uint64_t *key, *mask, *place;   /* place: the field, or the body */
    double *bits;
    uint32_t *first, *in;
    double *gain;
    uint8_t *out;                   /* taken, or not allowed */
    uint8_t *same;                  /* says much the same as one that was taken */
    uint32_t count, samples;
    bool few;
};

static double gain_of(const struct cover *c, uint32_t i, const uint8_t *had)
{
    const double *worth = c->few ? weight_few : weight, worth_again = c->few ? 0.5 : 0;
    double gain = 0;
    for (uint32_t p = c->first[i]; p < c->first[i + 1]; p++)
        gain += worth[had[c->in[p]]] * (c->same[i] && had[c->in[p]] > 0 ? worth_again : 1);
    const double bits = c->bits[i] < 40 ? c->bits[i] : 40;
    return gain * (1 + bits / 400);
}

/* Greedy cover with several layers (Nemhauser et al. 1978); a gain never grows, so that an old one bounds the new one.
 * Returns how many of at most `most` were taken; those behind `soft` serve messages that few others catch. */
static uint32_t choose(struct cover *c, uint8_t *had, uint32_t soft, uint32_t most, uint32_t *taken)
{
    const uint8_t layers = c->few ? COVER_FEW : COVER;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->count; i++)
        c->gain[i] = HUGE_VAL;
    while (n < most) {
        uint32_t best = MISSING;
        if (n == soft) {
            for (uint32_t s = 0; s < c->samples; s++)
                had[s] = had[s] >= COVERED ? layers : had[s];
            for (uint32_t i = 0; i < c->count; i++)
                c->gain[i] = HUGE_VAL;
        }
        for (uint32_t i = 0; i < c->count; i++) {
            if (c->out[i] || (best != MISSING && c->gain[i] < c->gain[best]))
                continue;
            c->gain[i] = gain_of(c, i, had);
            if (best == MISSING || c->gain[i] > c->gain[best] ||
                (c->gain[i] >= c->gain[best] && c->key[i] < c->key[best]))
                best = i;
        }
        if (best == MISSING || c->gain[best] < 0.05 || (n >= soft && c->gain[best] < 1))
            break;
        taken[n++] = best;
        c->out[best] = 1;
        for (uint32_t p = c->first[best]; p < c->first[best + 1]; p++)
            if (had[c->in[p]] < layers)
                had[c->in[p]]++;
        for (uint32_t i = 0; i < c->count; i++)
            if (c->place[i] == c->place[best] &&
                __builtin_popcountll(c->mask[i] & c->mask[best]) * MASK_SHARED >= __builtin_popcountll(c->mask[i]))
                c->same[i] = 1;
    }
    return n;
}

struct pair {
    uint32_t candidate, sample;
};

struct placing {
    struct counts tally;             /* of the candidates that are alive */
    uint64_t *key, *mask, *place;
    double *bits;
    uint32_t size;
    struct pair *pair;
    uint32_t pairs, pairs_size;
    uint32_t stamp;
    bool failed;
};

static bool grow(TALLOC_CTX *parent, void **array, size_t item, uint32_t size)
{
    void *grown = talloc_realloc_size(parent, *array, item * size);
    if (grown)
        *array = grown;
    return grown;
}

static bool place_window(struct miner *m, const struct window *w, void *data)
{
    struct placing *p = data;
    if (!qs_miner_may_say_enough(m, w))
        return true;
    const uint32_t index = qs_table_get(m->windows, w->key, MISSING);
    if (index == MISSING || m->window_dead[index] || p->pairs >= PAIRS_MAX)
        return true;
    const uint32_t before = p->tally.used;
    p->failed = !qs_counts_add(&p->tally, w->key, p->stamp);
    if (!p->failed && p->tally.used > before && p->tally.used > p->size) {
        const uint32_t size = p->size * 2 + 1024;
        p->failed = !grow(p->tally.at, (void **)&p->key, sizeof *p->key, size) ||
                    !grow(p->tally.at, (void **)&p->mask, sizeof *p->mask, size) ||
                    !grow(p->tally.at, (void **)&p->place, sizeof *p->place, size) ||
                    !grow(p->tally.at, (void **)&p->bits, sizeof *p->bits, size);
        p->size = size;
    }
    if (!p->failed && p->pairs == p->pairs_size) {
        p->pairs_size = p->pairs_size * 2 + 65536;
        p->failed = !grow(p->tally.at, (void **)&p->pair, sizeof *p->pair, p->pairs_size);
    }
    if (p->failed)
        return false;
    const uint32_t c = qs_table_get(p->tally.at, w->key, 0);
    if (p->tally.used > before) {
        p->key[c] = w->key;
        p->mask[c] = w->mask;
        p->place[c] = w->place;
        p->bits[c] = w->bits;
    }
    p->pair[p->pairs++] = (struct pair){c, p->stamp - 1};
    return true;
}

/* Pairs by candidate, each once. Pairs of one candidate and sample need not be neighbours; stamps tell. */
static bool cover_of(struct placing *p, uint32_t samples, struct cover *c)
{
    TALLOC_CTX *parent = p->tally.at;
    *c = (struct cover){.key = p->key, .mask = p->mask, .place = p->place, .bits = p->bits, .count = p->tally.used,
                        .samples = samples};
    c->first = talloc_zero_array(parent, uint32_t, c->count + 2u);
    c->in = talloc_array(parent, uint32_t, p->pairs + 1u);
    c->gain = talloc_array(parent, double, c->count + 1u);
    c->out = talloc_zero_array(parent, uint8_t, c->count + 1u);
    c->same = talloc_zero_array(parent, uint8_t, c->count + 1u);
    uint32_t *last = talloc_zero_array(parent, uint32_t, c->count + 1u);
    if (!c->first || !c->in || !c->gain || !c->out || !c->same || !last)
        return false;
    for (uint32_t i = 0; i < p->pairs; i++) {       /* samples come in order: a repeated pair repeats the last sample */
        struct pair *pair = &p->pair[i];
        if (last[pair->candidate] == pair->sample + 1)
            pair->sample = MISSING;
        else
            last[pair->candidate] = pair->sample + 1;
        c->first[pair->candidate + 2] += pair->sample != MISSING;
    }
    for (uint32_t i = 2; i < c->count + 2; i++)
        c->first[i] += c->first[i - 1];
    for (uint32_t i = 0; i < p->pairs; i++)
        if (p->pair[i].sample != MISSING)
            c->in[c->first[p->pair[i].candidate + 1]++] = p->pair[i].sample;
    return true;
}

/* Chooses twice as many windows as there may be rules, for the last test may drop some, and makes patterns of them. */
enum qs_status qs_miner_choose_windows(struct miner *m, struct work *w, uint32_t soft, struct qs_error *err)
{
    const uint32_t most = soft * BEYOND;
    struct placing p = {.failed = false};
    struct cover c = {.count = 0};
    struct shaping s = {.work = w};
    p.failed = !qs_counts_new(m->scratch, &p.tally);
    for (uint32_t i = 0; !p.failed && i < w->sample_count; i++) {
        p.stamp = i + 1;
        qs_miner_windows(m, w->sample[i].content, w->sample[i].message, place_window, &p);
    }
    uint32_t *taken = p.failed ? NULL : talloc_array(p.tally.at, uint32_t, most + 1);
    uint8_t *had = p.failed ? NULL : talloc_zero_array(p.tally.at, uint8_t, w->sample_count + 1u);
    w->choice = talloc_zero_array(m, struct choice, 2 * most + 1);
    s.at = qs_table_new(m->scratch, most);
    s.failed = !taken || !had || !w->choice || !s.at || !cover_of(&p, w->sample_count, &c);
    c.few = is_few(m, w);
    if (!s.failed)
        w->choice_count = choose(&c, had, soft, most, taken);
    for (uint32_t i = 0; !s.failed && i < w->choice_count; i++) {
        struct choice *choice = &w->choice[i];
        const uint32_t n = c.first[taken[i] + 1] - c.first[taken[i]];
        *choice = (struct choice){.key = c.key[taken[i]], .bits = c.bits[taken[i]], .mask = c.mask[taken[i]],
                                  .place = c.place[taken[i]], .group = (uint32_t)(w - m->work), .caught_count = n, .twin = MISSING};
        choice->caught = talloc_memdup(w->choice, c.in + c.first[taken[i]], n * sizeof *c.in);
        s.failed = !choice->caught || !qs_table_at(s.at, choice->key, i);
    }
    for (uint32_t i = 0; !s.failed && i < w->sample_count; i++)
        qs_miner_windows(m, w->sample[i].content, w->sample[i].message, qs_miner_shape_window, &s);
    talloc_free(p.tally.at);
    talloc_free(s.at);
    if (s.failed)
        return out_of_memory(err);
    enum qs_status status = QS_OK;
    const uint32_t count = w->choice_count;
    for (uint32_t i = 0; status == QS_OK && i < count; i++) {
        status = qs_miner_make_pattern(w, &w->choice[i], err);
        if (status == QS_OK)
            status = qs_miner_add_twin(m, w, i, err);
    }
    return status;
}

/* Of a group's windows that passed, those that become rules. */
static enum qs_status choose_rules(struct miner *m, struct work *w, uint32_t soft, uint32_t *taken, uint32_t *count,
                                   struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    const uint32_t n = w->choice_count;
    uint32_t places = 0;
    struct cover c = {.count = n, .samples = w->sample_count, .few = is_few(m, w)};
    for (uint32_t i = 0; i < n; i++)
        places += w->choice[i].caught_count;
    c.key = talloc_array(scratch, uint64_t, n + 1);
    c.mask = talloc_array(scratch, uint64_t, n + 1);
    c.place = talloc_array(scratch, uint64_t, n + 1);
    c.bits = talloc_array(scratch, double, n + 1);
    c.first = talloc_zero_array(scratch, uint32_t, n + 2);
    c.in = talloc_array(scratch, uint32_t, places + 1);
    c.gain = talloc_array(scratch, double, n + 1);
    c.out = talloc_zero_array(scratch, uint8_t, n + 1);
    c.same = talloc_zero_array(scratch, uint8_t, n + 1);
    uint8_t *had = talloc_zero_array(scratch, uint8_t, w->sample_count + 1u);
    const bool good = c.key && c.mask && c.place && c.bits && c.first && c.in && c.gain && c.out && c.same && had;
    for (uint32_t i = 0; good && i < n; i++) {
        const struct choice *choice = &w->choice[i];
        c.key[i] = choice->key;
        c.mask[i] = choice->mask;
        c.place[i] = choice->place;
        c.bits[i] = choice->bits;
        c.out[i] = choice->dead || choice->is_twin;
        c.first[i + 1] = c.first[i] + choice->caught_count;
        memcpy(c.in + c.first[i], choice->caught, choice->caught_count * sizeof *c.in);
        m->out->dropped += choice->dead;
    }
    if (good)
        *count = choose(&c, had, soft, soft * BEYOND, taken);
    for (uint32_t i = 0, chosen = *count; good && i < chosen; i++) {
        const uint32_t twin = w->choice[taken[i]].twin;
        if (twin != MISSING && !w->choice[twin].dead)
            taken[(*count)++] = twin;
    }
    talloc_free(scratch);
    return good ? QS_OK : out_of_memory(err);
}

/* The rules that this round found. */
enum qs_status qs_miner_keep_rules(struct miner *m, struct work *w, uint32_t soft, struct qs_error *err)
{
    const uint32_t most = 2 * soft * BEYOND;
    uint32_t *taken = talloc_array(m->scratch, uint32_t, most + 1), count = 0;
    struct choice **kept = talloc_realloc(m, w->kept, struct choice *, w->kept_count + most + 1u);
    if (kept)
        w->kept = kept;
    if (!taken || !kept)
        return out_of_memory(err);
    enum qs_status status = choose_rules(m, w, soft, taken, &count, err);
    for (uint32_t i = 0; status == QS_OK && i < count; i++)
        w->kept[w->kept_count++] = &w->choice[taken[i]];
    return status;
}
