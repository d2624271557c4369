/* SPDX-License-Identifier: Apache-2.0 */
/* Which notices belong to one flood. Their own words do not tell: one mailer uses the same words for all. What tells:
 *   - notices that this host made: the campaign that they return, campaigns that came from the same clients being one
 *     wave; and a victim who gets a good part of a wave has a flood of his own.
 *   - notices of other hosts: the victims, joined where they get the same campaign back.
 * A link needs a share of what it joins, not one common message, so that floods do not run together. */
#include <stdlib.h>
#include <string.h>

#include "judge.h"

enum { FLOOD_LEAST = 50, WORD_LEAST = 4, USUAL_PART = 20, MANY_ODD = 5, STRANGE_ENOUGH = 2, OUTWEIGHS = 4, HEAVY = 3, SHARE = 10 };

struct joiner {
    TALLOC_CTX *scratch;
    const struct qs_scan *scan;
    struct qs_fact *fact;
    const struct qs_campaigns *campaigns;
    struct qs_notices *out;
    const uint8_t *bad;             /* of each campaign */
    struct qs_table *client;        /* client symbol to a campaign, a bad one if any */
    struct qs_table *by_subject;    /* subject digest to campaign */
};

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

static bool is_foreign(const struct qs_fact *f)
{
    return f->bits & QS_F_NOTICE && !(f->bits & (QS_F_MADE_HERE | QS_F_FROM_US));
}

static bool count_victims(struct joiner *j)
{
    struct qs_notices *out = j->out;
    for (uint32_t i = 0; i < j->scan->count; i++) {
        uint32_t bits = j->fact[i].bits;
        qs_sym address = qs_first_recipient(&j->scan->messages[i]);
        if (!(bits & QS_F_NOTICE) || !address)
            continue;
        uint32_t *at = qs_table_at(out->index, address, out->victims);
        if (!at)
            return false;
        if (*at == out->victims) {
            if ((out->victims & (out->victims - 1)) == 0) {
                struct qs_victim *grown = talloc_realloc(out, out->victim, struct qs_victim,
                                                         out->victims ? out->victims * 2 : 1);
                if (!grown)
                    return false;
                out->victim = grown;
            }
            out->victim[out->victims++] = (struct qs_victim){.address = address};
        }
        struct qs_victim *v = &out->victim[*at];
        v->notices += !(bits & QS_F_FROM_US);
        v->strange += (bits & QS_F_RETURNS) && !(bits & QS_F_PASSED);
        v->made_here += (bits & QS_F_MADE_HERE) != 0;
    }
    return true;
}

static uint32_t victim_of(const struct joiner *j, uint32_t message)
{
    return qs_table_get(j->out->index, qs_first_recipient(&j->scan->messages[message]), QS_NONE);
}

/* The campaign that a notice tells of when it returns no text: by the subject or the client of what it returns. */
static uint32_t campaign_of(const struct joiner *j, uint32_t message)
{
    const struct qs_message *m = &j->scan->messages[message];
    uint32_t campaign = j->campaigns->of[message];
    if (campaign != QS_NONE || !m->returned)
        return campaign;
    uint32_t subject = qs_subject_digest(qs_sym_span(j->scan->strings, m->returned->subject));
    if (subject)
        campaign = qs_table_get(j->by_subject, subject, QS_NONE);
    uint32_t client = campaign == QS_NONE ? j->fact[message].origin : 0;
    return client ? qs_table_get(j->client, client, QS_NONE) : campaign;
}

static bool learn_clients(struct joiner *j)
{
    for (uint32_t i = 0; i < j->scan->count; i++) {
        uint32_t campaign = j->campaigns->of[i];
        uint32_t client = campaign == QS_NONE ? 0 : qs_sender_of(j->scan, j->fact, i);
        uint32_t *at = client ? qs_table_at(j->client, client, campaign) : NULL;
        if (client && !at)
            return false;
        if (at && (j->bad[campaign] > j->bad[*at] || (j->bad[campaign] == j->bad[*at] && campaign < *at)))
            *at = campaign;
    }
    return true;
}

/* Marks the notices that return a convicted campaign, or what a client of one sent. */
static void mark_storm(struct joiner *j)
{
    for (uint32_t i = 0; i < j->scan->count; i++) {
        const struct qs_message *m = &j->scan->messages[i];
        if (!(j->fact[i].bits & QS_F_NOTICE) || !m->returned)
            continue;
        uint32_t campaign = j->campaigns->of[i];
        if (campaign == QS_NONE || !j->bad[campaign])
            campaign = qs_table_get(j->client, qs_sender_of(j->scan, j->fact, i), QS_NONE);
        if (campaign != QS_NONE && j->bad[campaign])
            j->fact[i].bits |= QS_F_RETURNS_STORM;
    }
}

static bool learn_subjects(struct joiner *j)
{
    bool needed = false;
    for (uint32_t i = 0; i < j->scan->count && !needed; i++)
        needed = j->fact[i].bits & QS_F_NOTICE && j->scan->messages[i].returned && j->campaigns->of[i] == QS_NONE;
    if (!needed)
        return true;
    for (uint32_t i = 0; i < j->scan->count; i++) {
        const struct qs_message *m = &j->scan->messages[i];
        uint32_t campaign = j->campaigns->of[i];
        if (campaign == QS_NONE)
            continue;
        bool notice = j->fact[i].bits & QS_F_NOTICE;
        qs_sym text = notice ? m->returned->subject : m->subject;
        uint32_t subject = qs_subject_digest(qs_sym_span(j->scan->strings, text));
        uint32_t *at = subject ? qs_table_at(j->by_subject, subject, campaign) : NULL;
        if (subject && !at)
            return false;
        if (at && *at != QS_NONE && j->campaigns->wave[*at] != j->campaigns->wave[campaign])
            *at = QS_NONE;          /* of several waves: says nothing */
        else if (at && campaign < *at && *at != QS_NONE)
            *at = campaign;
    }
    return true;
}

/* --- floods ---------------------------------------------------------------------------------------------------------- */

/* Of a notice made here: the wave, apart by whether the mail system itself made it or a program on this host handed it in.
 * False: belongs to no flood. */
static bool own_wave(const struct joiner *j, uint32_t message, uint32_t *wave, bool *campaign_known)
{
    uint32_t bits = j->fact[message].bits;
    if (!(bits & QS_F_MADE_HERE) || bits & QS_F_GENUINE)
        return false;
    uint32_t campaign = campaign_of(j, message);
    *campaign_known = campaign != QS_NONE;
    *wave = (campaign == QS_NONE ? j->campaigns->waves : j->campaigns->wave[campaign]) * 2 + !(bits & QS_F_OWN_CLIENT);
    return true;
}

/* Notices made here: a wave is a flood, and the part of a wave that goes to one victim, when it is a good part. */
static bool number_own(struct joiner *j)
{
    uint32_t *size = talloc_zero_array(j->scratch, uint32_t, (j->campaigns->waves + 1) * 2), wave;
    struct qs_table *heavy = qs_table_new(j->scratch, 256), *number = qs_table_new(j->scratch, 256);
    bool known;
    if (!size || !heavy || !number)
        return false;
    for (uint32_t i = 0; i < j->scan->count; i++) {
        if (!own_wave(j, i, &wave, &known))
            continue;
        uint32_t *count = qs_table_at(heavy, (uint64_t)wave << 32 | victim_of(j, i), 0);
        if (!count)
            return false;
        (*count)++;
        size[wave]++;
    }
    for (uint32_t i = 0; i < j->scan->count; i++) {
        if (!own_wave(j, i, &wave, &known))
            continue;
        uint32_t victim = victim_of(j, i), count = qs_table_get(heavy, (uint64_t)wave << 32 | victim, 0);
        bool to_one = count >= HEAVY && (!known || (uint64_t)count * SHARE >= size[wave]);
        if (!known && !to_one)
            continue;
        uint32_t *at = qs_table_at(number, (uint64_t)wave << 32 | (to_one ? victim : QS_NONE), j->out->waves);
        if (!at)
            return false;
        j->out->waves += *at == j->out->waves;
        j->out->wave[i] = *at;
    }
    return true;
}

/* Notices of others: victims who get a campaign back as a tenth of their notices or more, and the campaign, are one. */
static bool number_foreign(struct joiner *j)
{
    uint32_t victims = j->out->victims, nodes = victims + j->campaigns->count;
    uint32_t *parent = talloc_array(j->scratch, uint32_t, nodes + 1), *number = talloc_array(j->scratch, uint32_t, nodes + 1);
    struct qs_table *count = qs_table_new(j->scratch, 256);
    bool ok = parent && number && count;
    for (uint32_t i = 0; ok && i < nodes; i++) {
        parent[i] = i;
        number[i] = QS_NONE;
    }
    for (uint32_t i = 0; ok && i < j->scan->count; i++) {
        uint32_t campaign = is_foreign(&j->fact[i]) ? campaign_of(j, i) : QS_NONE, victim = victim_of(j, i);
        if (campaign == QS_NONE || victim == QS_NONE)
            continue;
        uint32_t *n = qs_table_at(count, (uint64_t)victim << 32 | campaign, 0);
        ok = n != NULL;
        if (ok)
            (*n)++;
    }
    uint32_t at = 0, n;
    uint64_t key;
    while (ok && qs_table_next(count, &at, &key, &n)) {
        uint32_t victim = (uint32_t)(key >> 32), campaign = (uint32_t)key;
        if ((uint64_t)n * SHARE >= j->out->victim[victim].strange)
            unite(parent, victim, victims + campaign);
    }
    for (uint32_t i = 0; ok && i < j->scan->count; i++) {
        const struct qs_message *m = &j->scan->messages[i];
        bool receipt = m->traits & QS_T_FEEDBACK_REPORT && !m->returned;        /* was asked for: of no flood */
        uint32_t victim = is_foreign(&j->fact[i]) && !receipt ? victim_of(j, i) : QS_NONE;
        if (victim == QS_NONE)
            continue;
        uint32_t r = root(parent, victim);
        if (number[r] == QS_NONE)
            number[r] = j->out->waves++;
        j->out->wave[i] = number[r];
    }
    return ok;
}

/* --- odd ones -------------------------------------------------------------------------------------------------------- */

struct words {
    struct qs_table *all;           /* of each word, and of each pair of words, in each flood: how often */
    struct qs_table *returned;      /* of each word in the subjects of returned messages */
    uint32_t flood;
    uint64_t last;                  /* the word before */
    enum { OF_NOTICE, OF_RETURNED, LOOK } mode;
    uint32_t strange;               /* how much of the subject no other has; a word counts as two pairs */
    uint32_t usual;                 /* a word in more returned subjects than this is one of the campaign */
    uint32_t of_campaign;           /* such words in it */
    bool failed;
};

static void count_word(struct words *w, struct qs_table *table, uint64_t key)
{
    uint32_t *n = qs_table_at(table, key, 0);
    if (n)
        ++*n;
    else
        w->failed = true;
}

static void see(struct words *w, uint64_t what, uint32_t worth)
{
    uint64_t key = qs_mix64(what ^ qs_mix64(w->flood));
    if (w->mode != LOOK)
        count_word(w, w->all, key);
    else if (qs_table_get(w->all, key, 0) <= 1)
        w->strange += worth;
    if (w->mode == OF_RETURNED && worth > 1)
        count_word(w, w->returned, key);
    else if (w->mode == LOOK && qs_table_get(w->returned, key, 0) > w->usual)
        w->of_campaign++;
}

static void see_word(void *data, struct qs_span word)
{
    struct words *w = data;
    uint64_t digest = qs_name_digest(word);
    if (word.len >= WORD_LEAST)
        see(w, digest, 2);
    if (w->last)
        see(w, qs_mix64(w->last) ^ digest, 1);
    w->last = digest;
}

static void see_subject(const struct joiner *j, struct words *w, qs_sym subject)
{
    w->last = 0;
    qs_subject_words(qs_sym_span(j->scan->strings, subject), see_word, w);
}

static bool tells_nothing(const struct joiner *j, uint32_t message)
{
    return !(j->fact[message].bits & QS_F_RETURNS) && j->campaigns->of[message] == QS_NONE;
}

/* A notice in a flood that does not tell what it is about may be about a message that the user did send. Where the flood's subjects tell
 * of its campaign, such a one stands out by words that no other has, and has few of the campaign's. Where many stand out, that means
 * nothing. */
static bool find_odd(struct joiner *j)
{
    struct words w = {.all = qs_table_new(j->scratch, 1024), .returned = qs_table_new(j->scratch, 1024)};
    uint32_t *size = talloc_zero_array(j->scratch, uint32_t, j->out->waves + 1);
    uint32_t *silent = talloc_zero_array(j->scratch, uint32_t, j->out->waves + 1);
    uint32_t *odd = talloc_zero_array(j->scratch, uint32_t, j->out->waves + 1);
    if (!w.all || !w.returned || !size || !silent || !odd)
        return false;
    for (uint32_t i = 0; i < j->scan->count && !w.failed; i++) {
        const struct qs_message *m = &j->scan->messages[i];
        w.flood = j->out->wave[i];
        if (w.flood == QS_NONE)
            continue;
        size[w.flood]++;
        w.mode = OF_NOTICE;
        see_subject(j, &w, m->subject);
        w.mode = OF_RETURNED;
        if (m->returned && !tells_nothing(j, i))
            see_subject(j, &w, m->returned->subject);
    }
    for (uint32_t i = 0; i < j->scan->count; i++)
        if (j->out->wave[i] != QS_NONE)
            silent[j->out->wave[i]] += tells_nothing(j, i);
    w.mode = LOOK;
    for (uint32_t i = 0; i < j->scan->count; i++) {
        w.flood = j->out->wave[i];
        if (w.flood == QS_NONE || !tells_nothing(j, i))
            continue;
        w.usual = 1 + (size[w.flood] - silent[w.flood]) / USUAL_PART;
        w.strange = 0;
        w.of_campaign = 0;
        see_subject(j, &w, j->scan->messages[i].subject);
        if (w.strange < STRANGE_ENOUGH || w.strange <= OUTWEIGHS * w.of_campaign || size[w.flood] < FLOOD_LEAST)
            continue;
        j->fact[i].bits |= QS_F_OTHER_MESSAGE;
        odd[w.flood]++;
    }
    for (uint32_t i = 0; i < j->scan->count; i++) {
        uint32_t flood = j->out->wave[i];
        if (flood != QS_NONE && (uint64_t)odd[flood] * MANY_ODD > silent[flood])
            j->fact[i].bits &= ~(uint32_t)QS_F_OTHER_MESSAGE;
    }
    return !w.failed;
}

struct qs_notices *qs_join_notices(TALLOC_CTX *parent, const struct qs_scan *scan, struct qs_fact *fact,
                                    const struct qs_campaigns *campaigns, const uint8_t *bad)
{
    struct qs_notices *out = talloc_zero(NULL, struct qs_notices), *result = NULL;
    struct joiner j = {.scratch = talloc_new(NULL), 
                       .scan = scan, .fact = fact, .campaigns = campaigns, .bad = bad,
                       .out = out};
    if (!out || !j.scratch)
        goto done;
    out->index = qs_table_new(out, 256);
    out->wave = talloc_array(out, uint32_t, scan->count ? scan->count : 1);
    j.client = qs_table_new(j.scratch, 1024);
    j.by_subject = qs_table_new(j.scratch, 1024);
    if (!out->index || !out->wave || !j.client || !j.by_subject)
        goto done;
    for (uint32_t i = 0; i < scan->count; i++)
        out->wave[i] = QS_NONE;
    if (!count_victims(&j) || !learn_clients(&j) || !learn_subjects(&j) || !number_own(&j) || !number_foreign(&j) ||
        !find_odd(&j))
        goto done;
    mark_storm(&j);
    result = talloc_steal(parent, out);
done:
    talloc_free(j.scratch);
    if (!result)
        talloc_free(out);
    return result;
}
