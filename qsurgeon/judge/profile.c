/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles: which values are usual in each bin of a campaign's sketches. A message of the campaign shows many of them,
 * however it was spun and padded. A good message that came near by a phrase or two does not, nor by a piece of it that the
 * spammer took for noise: each piece is in few messages. */
#include <string.h>

#include "judge.h"
#include "qsurgeon/parallel.h"

enum {
    LEAST = 24,                     /* messages of a campaign that has a profile */
    USUAL_LEAST = 3, USUAL_PART = 40,       /* a value is usual that so many show, and 1 in so many */
};

/* Bins with usual values, beyond three times those that an unrelated text shows by chance: with less a member is an
 * intruder; with more a stranger from the same kind of source is a straggler of the campaign, and with still more any. */
static const float intruder = 4.0f, straggler = 6.0f, relative = 10.0f;
/* Of the mean over the members of how frequent their values are: good messages may be alike among themselves and so make
 * their own values usual, but those are still rare beside the campaign's. More is asked of who comes from a proper host. */
static const float frequent_enough = 0.2f, frequent_if_proper = 0.35f;

struct qs_profile {
    uint64_t usual[QS_SKETCH_BINS][4];      /* a bit for each value */
    float chance;                   /* bins in which an unrelated text shows a usual value */
};

static float usual_bins(const struct qs_profile *p, const struct qs_sketch *s)
{
    unsigned n = 0;
    for (unsigned b = 0; b < QS_SKETCH_BINS; b++)
        n += p->usual[b][s->bin[b] / 64] >> s->bin[b] % 64 & 1;
    return (float)n - 3 * p->chance;
}

const struct qs_fingerprint *qs_campaign_text(const struct qs_scan *scan, const struct qs_fact *fact, uint32_t message)
{
    const struct qs_message *m = &scan->messages[message];
    return fact[message].bits & QS_F_NOTICE && m->returned ? &m->returned->print : &m->print;
}

bool qs_in_campaigns(const struct qs_scan *scan, const struct qs_fact *fact, uint32_t message)
{
    const struct qs_message *m = &scan->messages[message];
    uint32_t bits = fact[message].bits;
    if (bits & QS_F_NOTICE)
        return m->returned && m->returned->print.shingles && !(bits & QS_F_GENUINE);
    return m->print.shingles && !(bits & (QS_F_VOUCHED | QS_F_STEADY | QS_F_GOOD));
}

struct tally {
    uint32_t count[QS_SKETCH_BINS][256];    /* members of a campaign that show this value in this bin */
};

static const struct qs_sketch *sketch_of(const struct qs_scan *scan, const struct qs_fact *fact, uint32_t message)
{
    return &qs_campaign_text(scan, fact, message)->sketch;
}

static void make_profile(const struct tally *tally, uint32_t count, struct qs_profile *out)
{
    uint32_t need = count / USUAL_PART > USUAL_LEAST ? count / USUAL_PART : USUAL_LEAST, values = 0;
    memset(out, 0, sizeof *out);
    for (unsigned b = 0; b < QS_SKETCH_BINS; b++)
        for (unsigned v = 0; v < 256; v++)
            if (tally->count[b][v] >= need) {
                out->usual[b][v / 64] |= UINT64_C(1) << v % 64;
                values++;
            }
    out->chance = (float)values / 256;
}

/* How frequent the message's values are in the campaign, summed over the bins, times its members. */
static uint64_t frequency(const struct tally *tally, const struct qs_sketch *s)
{
    uint64_t sum = 0;
    for (unsigned b = 0; b < QS_SKETCH_BINS; b++)
        sum += tally->count[b][s->bin[b]];
    return sum;
}

/* The profile of a campaign, and its intruders put out. */
static void profile_one(struct qs_campaigns *campaigns, const struct qs_scan *scan, const struct qs_fact *fact,
                        const uint32_t *member, uint32_t count, struct tally *tally, struct qs_profile *out)
{
    uint64_t all = 0;
    memset(tally, 0, sizeof *tally);
    for (uint32_t i = 0; i < count; i++) {
        const struct qs_sketch *s = sketch_of(scan, fact, member[i]);
        for (unsigned b = 0; b < QS_SKETCH_BINS; b++)
            tally->count[b][s->bin[b]]++;
    }
    make_profile(tally, count, out);
    for (unsigned b = 0; b < QS_SKETCH_BINS; b++)
        for (unsigned v = 0; v < 256; v++)
            all += (uint64_t)tally->count[b][v] * tally->count[b][v];
    float mean = (float)all / (float)count;
    for (uint32_t i = 0; i < count; i++) {
        const struct qs_sketch *s = sketch_of(scan, fact, member[i]);
        float enough = qs_is_dubious(fact[member[i]].bits) || qs_is_inside(fact[member[i]].bits) ? frequent_enough : frequent_if_proper;
        if (usual_bins(out, s) < intruder || (float)frequency(tally, s) < enough * mean)
            campaigns->of[member[i]] = QS_NONE;
    }
}

struct large {                      /* campaigns that are to have a profile */
    struct qs_campaigns *campaigns;
    const struct qs_scan *scan;
    const struct qs_fact *fact;
    const uint32_t *start, *member;
    struct tally *tally;            /* of each thread */
};

static void profile_some(void *data, unsigned thread, uint32_t begin, uint32_t end)
{
    const struct large *l = data;
    for (uint32_t c = begin; c < end; c++)
        if (l->campaigns->profile_of[c] != QS_NONE)
            profile_one(l->campaigns, l->scan, l->fact, l->member + l->start[c], l->start[c + 1] - l->start[c],
                        &l->tally[thread], &l->campaigns->profile[l->campaigns->profile_of[c]]);
}

bool qs_make_profiles(struct qs_campaigns *campaigns, const struct qs_scan *scan, const struct qs_fact *fact)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct tally *tally = talloc_array(scratch, struct tally, qs_thread_count(scan->options.threads));
    uint32_t *start, *member, large = 0;
    bool ok = tally && (campaigns->profile_of = talloc_array(campaigns, uint32_t, campaigns->count + 1)) &&
              qs_sort_by(scratch, campaigns->of, scan->count, campaigns->count, &start, &member);
    for (uint32_t c = 0; ok && c < campaigns->count; c++)
        campaigns->profile_of[c] = start[c + 1] - start[c] >= LEAST ? large++ : QS_NONE;
    ok = ok && (campaigns->profile = talloc_array(campaigns, struct qs_profile, large + 1));
    if (ok)
        qs_parallel(scan->options.threads, campaigns->count, 1, profile_some,
                    &(struct large){campaigns, scan, fact, start, member, tally});
    talloc_free(scratch);
    return ok;
}

void qs_adopt_stragglers(struct qs_campaigns *campaigns, const struct qs_scan *scan, const struct qs_fact *fact,
                         const uint8_t *bad)
{
    for (uint32_t i = 0; i < scan->count; i++) {
        if (campaigns->of[i] != QS_NONE || !qs_in_campaigns(scan, fact, i) || qs_is_inside(fact[i].bits))
            continue;
        float best = qs_is_dubious(fact[i].bits) ? straggler : relative;
        for (uint32_t c = 0; c < campaigns->count; c++) {
            if (!bad[c] || campaigns->profile_of[c] == QS_NONE)
                continue;
            const struct qs_profile *p = &campaigns->profile[campaigns->profile_of[c]];
            float bins = usual_bins(p, &qs_campaign_text(scan, fact, i)->sketch);
            if (bins >= best && (bins > best || campaigns->of[i] == QS_NONE)) {
                best = bins;
                campaigns->of[i] = c;
            }
        }
    }
}
