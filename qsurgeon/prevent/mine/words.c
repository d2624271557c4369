/* SPDX-License-Identifier: Apache-2.0 */
/* Mining: the tokens of a line as far as patterns may have them, which of their texts the storms repeat, and how much
 * each says by how many real messages have it. */
#include "miner.h"

#include <math.h>
#include <string.h>
#include <strings.h>

enum {
    WINDOWS_MAX = 6000000,                      /* different windows of a group that are counted */
    TABOO_MAX = 4000,                           /* domains of ours that are heeded */
    RECIPIENTS_HEEDED = 10,                     /* of a message */
};
static const double base64_bits = 5, mark_bits = 0.5;
static const double enough_bits_blind = 30;     /* that a window must say where few real messages could be seen */
static const uint32_t blind = 50;               /* fewer than this teach little of what is rare */

/* In so many messages of a group something must stand to be more than chance. */
uint32_t qs_miner_enough_messages(const struct miner *m, const struct work *w)
{
    const uint32_t share = w->sample_count / 100;
    return m->round > 0 || w->sample_count < FEW ? 2 : share < 3 ? 3 : share;
}

static int by_text(const void *a, const void *b)
{
    const struct qs_span *x = a, *y = b;
    const int c = memcmp(x->ptr, y->ptr, x->len < y->len ? x->len : y->len);
    return c ? c : (x->len > y->len) - (x->len < y->len);
}

/* The first token of a text. */
static uint64_t first_token(struct miner *m, struct qs_span text)
{
    const struct qs_line line = {.text = text, .kind = QS_LINE_BODY};
    return qs_tokens(&line, m->token) > 0 ? m->token[0].hash : 0;
}

static enum qs_status add_taboo(struct miner *m, char **list, size_t count)
{
    for (size_t i = 0; i < count && m->taboo_count < TABOO_MAX; i++)
        if (strchr(list[i], '.'))
            m->taboo[m->taboo_count++] = qs_span_of(list[i]);
    return QS_OK;
}

/* What this host serves and is called: no pattern may name it. */
enum qs_status qs_miner_learn_taboo(struct miner *m, struct qs_error *err)
{
    const struct qs_site *site = m->view->judgement->site;
    m->taboo = talloc_array(m->scratch, struct qs_span, TABOO_MAX + 1);
    m->taboo_at = qs_table_new(m->scratch, 1024);
    if (!m->taboo || !m->taboo_at)
        return out_of_memory(err);
    if (site->hostname && site->hostname[0])
        m->taboo[m->taboo_count++] = qs_span_of(site->hostname);
    add_taboo(m, site->local_domains, site->local_count);
    add_taboo(m, site->relay_domains, site->relay_count);
    qsort(m->taboo, m->taboo_count, sizeof *m->taboo, by_text);
    for (uint32_t i = 0; i < m->taboo_count; i++)
        if (!qs_table_at(m->taboo_at, first_token(m, m->taboo[i]), i))
            return out_of_memory(err);
    return QS_OK;
}

static void break_text(struct qs_span line, unsigned i, unsigned n, struct qs_token *t, struct qs_span text)
{
    if (text.len == 0 || text.len > line.len - t[i].at || strncasecmp(line.ptr + t[i].at, text.ptr, text.len) != 0)
        return;
    const size_t end = t[i].at + text.len;
    for (; i < n && t[i].at < end; i++)
        t[i].kind = QS_TOKEN_BREAK;
}

/* The domains that begin with a token are neighbours in the sorted list but for their case of letters and digits: their
 * first token is theirs alone, or the list's next ones. */
static void break_taboo(const struct miner *m, struct qs_span line, struct qs_token *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!qs_token_counts(&t[i]) || t[i].kind == QS_TOKEN_BASE64)
            continue;
        uint32_t at = qs_table_get(m->taboo_at, t[i].hash, MISSING);
        for (uint32_t tries = 0; at < m->taboo_count && tries < 16 && t[i].kind != QS_TOKEN_BREAK; at++, tries++)
            break_text(line, i, n, t, m->taboo[at]);
    }
}

/* The parts of the recipients' addresses before the "@": a rule about them would stop their mail. */
static void break_recipients(const struct miner *m, uint32_t message, struct qs_span line, struct qs_token *t, unsigned n)
{
    const struct qs_scan *scan = m->view->scan;
    const struct qs_message *msg = &scan->messages[message];
    for (uint32_t r = 0; r < msg->recipient_count && r < RECIPIENTS_HEEDED; r++) {
        struct qs_span address = qs_sym_span(scan->strings, msg->recipients[r].address);
        const char *at = memrchr(address.ptr, '@', address.len);
        if (at)
            address.len = (size_t)(at - address.ptr);
        for (unsigned i = 0; address.len > 0 && i < n; i++)
            if (t[i].kind != QS_TOKEN_BASE64 && lower(line.ptr[t[i].at]) == lower(address.ptr[0]))
                break_text(line, i, n, t, address);
    }
}

/* Fields that are the receiver's own, or that every message has a new value for. */
static bool field_left_out(const struct qs_line *line)
{
    static const char *const names[] = {
        "To", "Cc", "Bcc", "Date", "Delivered-To", "X-Original-To", "Return-Path", "DKIM-Signature",
        "Authentication-Results", "Resent-To", "Resent-Date", "Envelope-To", "Received-SPF"};
    if (line->kind == QS_LINE_BODY)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (qs_span_is_nocase(line->name, names[i]))
            return true;
    return line->kind == QS_LINE_HEADER && qs_span_is_nocase(line->name, "Received");
}

bool qs_miner_disguises(const struct miner *m, const struct qs_line *line, const struct qs_token *t)
{
    return t >= m->token && t->fixed && qs_token_disguises(t, line->text);
}

/* "$" and a number behind it: what it is sold for. */
bool qs_miner_is_price(const struct qs_line *line, const struct qs_token *t)
{
    return t->kind == QS_TOKEN_NUMBER && t->at > 0 && line->text.ptr[t->at - 1] == '$';
}

/* The tokens of a line in m->token, with `fixed` set once the words are known. message: UINT32_MAX for real mail. */
unsigned qs_miner_tokens(struct miner *m, const struct qs_line *line, uint32_t message)
{
    if (line->beyond || line->name.len > 60 || field_left_out(line))
        return 0;
    const unsigned n = qs_tokens(line, m->token);
    m->token[n] = (struct qs_token){.kind = QS_TOKEN_BREAK};
    if (message != MISSING) {
        break_taboo(m, line->text, m->token, n);
        break_recipients(m, message, line->text, m->token, n);
    }
    for (unsigned i = 0; i < n; i++)
        m->token[i].fixed = qs_token_counts(&m->token[i]) && qs_token_fixable(&m->token[i]) &&
                            !qs_miner_is_price(line, &m->token[i]) &&
                            (!m->words || qs_table_get(m->words, m->token[i].hash, MISSING) != MISSING);
    for (unsigned i = 0; i < n; i++)        /* what stands around a disguise is chance */
        if (m->token[i].kind == QS_TOKEN_WORD &&
            (qs_miner_disguises(m, line, &m->token[i] - 1) || qs_miner_disguises(m, line, &m->token[i] + 1)))
            m->token[i].fixed = false;
    return n;
}

/* What notices of all mail systems say (RFC 3464, RFC 3463, and the usual sentences), and the vocabulary of HTML, CSS and
 * MIME: there may be few real messages with them in the queue, and still these words say next to nothing. */
static const char usual_words[] =
    "0 000000 0a 0px 1 10pt 10px 11pt 11px 1252 12pt 12px 13px 14px 15px 16px 18px 1em 1px 2 20 20px 24px 250 2d "
    "2em 2px 3 3d 3px 4 421 450 451 452 4px 5 550 551 552 553 554 571 5px 600px 6px 7 7bit 8 8859 8bit 8px a about "
    "accepted account action address addresses administrator afraid after align all alt alternative amp an and "
    "answer antivirus any arial arrival arrived as ascii assistance at attached attachment auto automatic "
    "automatically autoreply away back background base64 be because been below bgcolor block blockquote body bold "
    "border bottom bounce bounced boundary box br but by calibri can cannot case cellpadding cellspacing center "
    "centered charset class code collapse color cols colspan com comments copy could created css daemon date days "
    "decoration deferred delay delayed delete deliver delivered delivering delivery destination details device "
    "diagnostic did disabled display disposition div dns do doctype does domain down dtd due em email en encoding "
    "enhanced envelope equiv error errors esmtp exceeded exchange exim exist exists expired expn face fail failed "
    "failure family fatal fff ffffff field filename final float following follows font for format found from full "
    "further generated generating geneva georgia gif give given gone gt had has have head header headers height "
    "help helvetica her here hidden him his holiday host hours hr href html http https i id if image img important "
    "in inbox included including inform information initial inline intended intervention invalid is iso it its jpeg "
    "jpg last later left lengths li limit local log longer lookup lost lt made mail mailbox mailer mails mailto "
    "manager margin matched max me media message messages meta microsoft middle mime mimeole min mixed mta "
    "multipart mx my name nbsp net network nextpart no non none normal not notice notification now nowrap of office "
    "ol on one or org original other our out over overflow p padding part pdf permanent permanently person plain "
    "please png policy position possible postfix postmaster printable problem processed program pt px qmail queue "
    "queued quot quota quoted rcpt reached read reason receive received recipient recipients refers refused reject "
    "rejected rel related relay relaying remote replied reply report reporting requested response retried retry "
    "retrying return returned returning returns rfc822 roman rowspan said sans saying screen script see send sender "
    "sending sent serif server service session signature size smtp so solid some sorry space spam span specified "
    "src ssl status still storage strong style stylesheet subject submitted subsystem such support system table "
    "tahoma target tbody td technical temporarily temporary text th than that the their them there these this those "
    "time timed timeout title tls to too top tr transaction transcript transient transitional transparent tried try "
    "trying txt type ul unable unavailable undeliverable undelivered underline unfortunately unknown unreachable "
    "until urgent used user users utf vacation valign verdana version vertical via viewport virus viruses w3 w3c "
    "warning was way we webkit week weight were when which while white who width will windows with within without "
    "wrap wrong www x xhtml xml xmlns you your zoom";
static const float usual_bits = 2;

static enum qs_status lower_usual_words(struct miner *m, float *bits, struct qs_error *err)
{
    struct qs_table *usual = qs_table_new(m->scratch, 1024);
    uint64_t key;
    uint32_t at = 0, index;
    bool good = usual != NULL;
    for (struct qs_span rest = QS_SPAN(usual_words); good && rest.len > 0;) {
        const char *blank = memchr(rest.ptr, ' ', rest.len);
        const struct qs_span word = {rest.ptr, blank ? (size_t)(blank - rest.ptr) : rest.len};
        good = qs_table_at(usual, first_token(m, word), 1) != NULL;
        rest = (struct qs_span){rest.ptr + word.len + (blank != NULL), rest.len - word.len - (blank != NULL)};
    }
    while (good && qs_table_next(m->words, &at, &key, &index))
        if (bits[index] > usual_bits && qs_table_get(usual, key, 0))
            bits[index] = usual_bits;
    talloc_free(usual);
    return good ? QS_OK : out_of_memory(err);
}

double qs_miner_token_bits(const struct miner *m, const struct qs_token *t)
{
    if (t->kind == QS_TOKEN_BASE64)
        return base64_bits;
    if (t->kind == QS_TOKEN_MARK)
        return mark_bits;
    if (!t->fixed || !m->word_bits)
        return 0;
    const uint32_t word = qs_table_get(m->words, t->hash, 0);
    double bits = (double)m->word_bits[word];
    const double most = 2.0 * t->len;
    if (t->kind == QS_TOKEN_MIXED && t->len > 4 && m->word_good[word] == 0)     /* no word of any language */
        bits += t->len < 12 ? t->len - 4 : 8;
    return (bits < most ? bits : most) > 1 ? (bits < most ? bits : most) - 1 : 0;
}

bool qs_miner_next_line(struct miner *m, struct walk *walk, struct qs_line *line)
{
    if (walk->decode && qs_decode_line(&walk->last, m->decoded, line)) {
        walk->decode = false;
        return true;
    }
    walk->decode = qs_lines_next(&walk->lines, &walk->last);
    *line = walk->last;
    return walk->decode;
}

bool qs_counts_new(TALLOC_CTX *parent, struct counts *t)
{
    t->at = qs_table_new(parent, 4096);
    t->size = 4096;
    t->used = 0;
    t->count = talloc_array(t->at, uint32_t, t->size);
    t->seen = t->at ? talloc_array(t->at, uint32_t, t->size) : NULL;
    return t->at && t->count && t->seen;
}

/* stamp: number of the message, not 0. */
bool qs_counts_add(struct counts *t, uint64_t key, uint32_t stamp)
{
    if (t->used >= WINDOWS_MAX) {
        const uint32_t known = qs_table_get(t->at, key, MISSING);
        if (known != MISSING && t->seen[known] != stamp) {
            t->count[known]++;
            t->seen[known] = stamp;
        }
        return true;
    }
    uint32_t *index = qs_table_at(t->at, key, MISSING);
    if (!index)
        return false;
    if (*index == MISSING) {
        if (t->used == t->size) {
            uint32_t *count = talloc_realloc(t->at, t->count, uint32_t, t->size * 2);
            if (count)
                t->count = count;
            uint32_t *seen = talloc_realloc(t->at, t->seen, uint32_t, t->size * 2);
            if (seen)
                t->seen = seen;
            if (!count || !seen)
                return false;
            t->size *= 2;
        }
        t->count[t->used] = t->seen[t->used] = 0;
        *index = t->used++;
    }
    if (t->seen[*index] != stamp) {
        t->count[*index]++;
        t->seen[*index] = stamp;
    }
    return true;
}

/* The texts that stand in enough messages of the group join m->words. */
static enum qs_status learn_words(struct miner *m, const struct work *w, struct qs_table *words, struct qs_error *err)
{
    struct counts tally;
    uint64_t key;
    uint32_t at = 0, index;
    bool good = qs_counts_new(m->scratch, &tally);
    for (uint32_t s = 0; good && s < w->sample_count; s++) {
        struct walk walk = {.lines = {.rest = w->sample[s].content}};
        struct qs_line line;
        while (good && qs_miner_next_line(m, &walk, &line)) {
            const unsigned n = qs_miner_tokens(m, &line, w->sample[s].message);
            for (unsigned i = 0; good && i < n; i++)
                if (m->token[i].fixed)
                    good = qs_counts_add(&tally, m->token[i].hash, s + 1);
        }
    }
    while (good && qs_table_next(tally.at, &at, &key, &index)) {
        if (tally.count[index] < qs_miner_enough_messages(m, w))
            continue;
        uint32_t *word = qs_table_at(words, key, MISSING);
        good = word != NULL;
        if (good && *word == MISSING)
            *word = m->word_count++;
    }
    talloc_free(tally.at);
    return good ? QS_OK : out_of_memory(err);
}

static enum qs_status count_good_words(struct miner *m, struct qs_span content, uint32_t number, struct qs_error *err)
{
    struct walk walk = {.lines = {.rest = content}};
    struct qs_line line;
    (void)err;
    while (qs_miner_next_line(m, &walk, &line)) {
        const unsigned n = qs_miner_tokens(m, &line, MISSING);
        for (unsigned i = 0; i < n; i++) {
            if (!m->token[i].fixed)
                continue;
            const uint32_t word = qs_table_get(m->words, m->token[i].hash, 0);
            m->word_good[word] += m->word_seen[word] != number;
            m->word_seen[word] = number;
        }
    }
    return QS_OK;
}

enum qs_status qs_miner_learn_words(struct miner *m, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    struct qs_table *words = qs_table_new(m->scratch, 65536);
    if (!words)
        return out_of_memory(err);
    m->words = NULL;
    m->word_bits = NULL;
    m->word_count = 0;
    for (size_t i = 0; status == QS_OK && i < m->work_count; i++)
        status = learn_words(m, &m->work[i], words, err);
    if (status != QS_OK)
        return status;
    m->words = words;
    m->word_good = talloc_zero_array(m->scratch, uint32_t, m->word_count + 1u);
    m->word_seen = talloc_zero_array(m->scratch, uint32_t, m->word_count + 1u);
    float *bits = talloc_zero_array(m->scratch, float, m->word_count + 1u);
    if (!m->word_good || !m->word_seen || !bits)
        return out_of_memory(err);
    status = qs_miner_each_good(m, count_good_words, err);
    for (uint32_t i = 0; i < m->word_count; i++)
        bits[i] = (float)log2((m->good_read + 64.0) / (m->word_good[i] + 1.0));
    if (status == QS_OK)
        status = lower_usual_words(m, bits, err);
    m->word_bits = bits;
    m->enough = m->good_read < blind ? enough_bits_blind : ENOUGH_BITS;
    return status;
}
