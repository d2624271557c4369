/* SPDX-License-Identifier: Apache-2.0 */
/* Mining: windows, which candidates are before they have a pattern; those that enough messages of a storm have, and of
 * them those that no real message has. */
#include "miner.h"

#include <string.h>

enum {
    WINDOW_WORDS = 8,                           /* of one window */
    WINDOW_RANGES = 2,                          /* places that vary in it */
    BASE64_LEAST = 6,                           /* groups of a base64 window: 18 bytes of what is encoded */
    PREFIX_BITS = 25,                           /* binary logarithm of the bits that remember beginnings of windows */
};
static const double common_bits = 11;           /* where many messages of the storm have it */
static const double price_bits = 2;             /* of an amount of money */
static const double disguise_bits = 5;          /* a letter directly beside what never stands inside a word */
static const double software_bits = 14;         /* asked for beyond that of the name of a mail program */

/* A word that varies, with a disguise in front of it or behind it, as in "mail=E2=80=8Bbox". */
static bool disguised(const struct miner *m, const struct qs_line *line, const struct qs_token *t)
{
    return t->kind == QS_TOKEN_WORD && !t->fixed &&
           (qs_miner_disguises(m, line, t - 1) || qs_miner_disguises(m, line, t + 1));
}

static void add_bits(const struct miner *m, struct window *w, const struct qs_token *t)
{
    const double bits = qs_miner_token_bits(m, t);
    w->bits += bits;
    w->telling |= bits > 1;
}

/* One more token of what base64 encodes: nothing may vary there, not even the case of letters. */
static bool extend_phrase(struct miner *m, struct window *w, const struct qs_token *t)
{
    const struct qs_span text = {w->line->text.ptr + t->at, t->len};
    w->whole = false;
    if (t->kind == QS_TOKEN_BREAK || t->kind == QS_TOKEN_HIGH || (qs_token_counts(t) && !t->fixed) ||
        (t->kind == QS_TOKEN_SPACE && !qs_span_is(text, " ")))
        return false;
    if (qs_token_counts(t)) {
        w->words++;
        w->mask |= UINT64_C(1) << (t->hash & 63);
        w->whole = t->at + t->len - m->token[w->from].at >= QS_PHRASE_LEAST;
    }
    add_bits(m, w, t);
    for (size_t i = 0; i < text.len; i++)
        w->key = qs_mix64(w->key ^ (unsigned char)text.ptr[i]);
    return true;
}

/* One more token; false when no window goes across it. */
static bool extend(struct miner *m, struct window *w, unsigned *ranges, const struct qs_token *t)
{
    uint64_t hash = t->hash;
    if (w->line->decoded)
        return extend_phrase(m, w, t);
    w->whole = false;
    if (t->kind == QS_TOKEN_BREAK)
        return false;
    if (t->kind == QS_TOKEN_HIGH || (qs_token_counts(t) && !t->fixed)) {
        if (++*ranges > WINDOW_RANGES || t->kind == QS_TOKEN_BASE64 || t->kind == QS_TOKEN_CODED)
            return false;
        hash = t->kind == QS_TOKEN_HIGH ? QS_TOKEN_HIGH : QS_TOKEN_MIXED;
        if (disguised(m, w->line, t)) {
            hash = QS_TOKEN_CODED;
            w->bits += disguise_bits;
            w->whole = w->words > 0 && qs_miner_disguises(m, w->line, t - 1);
        } else if (qs_miner_is_price(w->line, t)) {
            w->bits += price_bits;
            w->whole = w->words > 0;
        }
    } else if (qs_token_counts(t)) {
        w->words++;
        w->mask |= UINT64_C(1) << (hash & 63);
        w->whole = t->kind != QS_TOKEN_BASE64 || w->words >= BASE64_LEAST;
    }
    add_bits(m, w, t);
    w->key = qs_mix64(w->key ^ hash);
    return true;
}

/* Programs that write mail have honest users, too; boundaries of parts have the form that a program gives them. */
static bool shows_software(const struct qs_line *line)
{
    if (line->kind == QS_LINE_BODY)
        return qs_span_starts(line->text, "--");
    return qs_span_is_nocase(line->name, "X-Mailer") || qs_span_is_nocase(line->name, "User-Agent") ||
           qs_span_is_nocase(line->name, "Content-Type");
}

static void windows(struct miner *m, const struct qs_line *line, unsigned n, visit fn, void *data)
{
    const double before = shows_software(line) ? -software_bits : 0;
    const uint64_t seed = line->decoded ? 11 : line->kind == QS_LINE_BODY ? 7 : name_hash(line->name);
    for (unsigned i = 0; i < n; i++) {
        struct window w = {.line = line, .key = seed, .place = seed, .from = i, .bits = before};
        unsigned ranges = 0;
        if (!m->token[i].fixed &&
            !(i + 1 < n && disguised(m, line, &m->token[i]) && qs_miner_disguises(m, line, &m->token[i + 1])))
            continue;
        for (unsigned j = i; j < n && j - i < WINDOW_TOKENS && w.words < WINDOW_WORDS; j++) {
            w.end = j + 1;
            if (!extend(m, &w, &ranges, &m->token[j]) || !fn(m, &w, data))
                break;
        }
    }
}

void qs_miner_windows(struct miner *m, struct qs_span content, uint32_t message, visit fn, void *data)
{
    struct walk walk = {.lines = {.rest = content}};
    struct qs_line line;
    while (qs_miner_next_line(m, &walk, &line))
        windows(m, &line, qs_miner_tokens(m, &line, message), fn, data);
}

static uint32_t common_messages(const struct miner *m, const struct work *w)
{
    const uint32_t share = w->sample_count / 50, least = qs_miner_enough_messages(m, w);
    if (m->round > 0)
        return least;
    if (w->sample_count < FEW)
        return least > w->sample_count / 10 ? least : w->sample_count / 10;
    return share < 8 ? 8 : share;
}

/* A window that says less is taken when it is common in the storm: then many real messages without it say the rest. */
bool qs_miner_may_say_enough(const struct miner *m, const struct window *w)
{
    const bool common = w->telling && w->words > 1 && w->bits >= common_bits;
    return w->whole && (w->bits >= m->enough || (m->enough <= ENOUGH_BITS && common));
}

struct counting {
    struct counts tally;
    uint32_t stamp, least, common;  /* messages that must have it; that must have it when it says less */
    uint64_t prefix[WINDOW_TOKENS]; /* keys of the beginnings of the window in hand */
    unsigned marked;                /* of them that are remembered already */
    bool failed;
};

static bool count_window(struct miner *m, const struct window *w, void *data)
{
    struct counting *c = data;
    if (qs_miner_may_say_enough(m, w) && !qs_counts_add(&c->tally, w->key, c->stamp))
        c->failed = true;
    return !c->failed;
}

static bool keep_window(struct miner *m, const struct window *w, void *data)
{
    struct counting *c = data;
    const unsigned len = w->end - w->from;
    if (len == 1)
        c->marked = 0;
    c->prefix[len - 1] = w->key;
    if (!qs_miner_may_say_enough(m, w))
        return true;
    const uint32_t known = qs_table_get(c->tally.at, w->key, MISSING);
    if (known == MISSING || c->tally.count[known] < (w->bits >= m->enough ? c->least : c->common))
        return true;
    for (; c->marked < len; c->marked++) {
        const uint64_t bit = c->prefix[c->marked] >> (64 - PREFIX_BITS);
        m->prefix[bit / 64] |= UINT64_C(1) << (bit % 64);
    }
    uint32_t *index = qs_table_at(m->windows, w->key, MISSING);
    c->failed = index == NULL;
    if (index && *index == MISSING)
        *index = m->window_count++;
    return !c->failed;
}

static enum qs_status learn_windows(struct miner *m, const struct work *w, struct qs_error *err)
{
    struct counting c = {.least = qs_miner_enough_messages(m, w), .common = common_messages(m, w)};
    c.failed = !qs_counts_new(m->scratch, &c.tally);
    for (uint32_t s = 0; !c.failed && s < w->sample_count; s++) {
        c.stamp = s + 1;
        qs_miner_windows(m, w->sample[s].content, w->sample[s].message, count_window, &c);
    }
    for (uint32_t s = 0; !c.failed && s < w->sample_count; s++)
        qs_miner_windows(m, w->sample[s].content, w->sample[s].message, keep_window, &c);
    talloc_free(c.tally.at);
    return c.failed ? out_of_memory(err) : QS_OK;
}

static bool kill_window(struct miner *m, const struct window *w, void *data)
{
    const uint64_t bit = w->key >> (64 - PREFIX_BITS);
    (void)data;
    if (!(m->prefix[bit / 64] >> (bit % 64) & 1))
        return false;
    if (w->whole) {
        const uint32_t index = qs_table_get(m->windows, w->key, MISSING);
        if (index != MISSING)
            m->window_dead[index] = 1;
    }
    return true;
}

static enum qs_status kill_windows(struct miner *m, struct qs_span content, uint32_t number, struct qs_error *err)
{
    (void)number;
    (void)err;
    qs_miner_windows(m, content, MISSING, kill_window, NULL);
    return QS_OK;
}

enum qs_status qs_miner_learn_windows(struct miner *m, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    m->window_count = 0;
    m->windows = qs_table_new(m->scratch, 65536);
    m->prefix = talloc_zero_array(m->scratch, uint64_t, (1u << PREFIX_BITS) / 64);
    if (!m->windows || !m->prefix)
        return out_of_memory(err);
    for (size_t i = 0; status == QS_OK && i < m->work_count; i++)
        status = learn_windows(m, &m->work[i], err);
    m->window_dead = talloc_zero_array(m->scratch, uint8_t, m->window_count + 1u);
    if (status == QS_OK && !m->window_dead)
        status = out_of_memory(err);
    return status == QS_OK ? qs_miner_each_good(m, kill_windows, err) : status;
}
