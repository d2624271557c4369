/* SPDX-License-Identifier: Apache-2.0 */
/* From a storm's raw lines to rules: see mine.h. The caller writes them (filters.c).
 *
 * A window is a run of tokens of one line that begins and ends with a fixed one; its key says the field, or the body, and
 * the tokens, with one value for all texts of a place that varies. Which texts are fixed is one set for all groups: those
 * that stand in enough messages of any group; so that a window of real mail has the same key as the same window of a
 * storm, and one walk over real mail is a test of all candidates. */
#include "qsurgeon/mine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "../select/pattern.h"
#include "qsurgeon/table.h"
#include "tokens.h"

enum {
    WINDOW_TOKENS = 24, WINDOW_WORDS = 8,       /* of one window */
    WINDOW_RANGES = 2,                          /* places that vary in it */
    BASE64_LEAST = 6,                           /* groups of a base64 window: 18 bytes of what is encoded */
    PREFIX_BITS = 25,                           /* binary logarithm of the bits that remember beginnings of windows */
    WINDOWS_MAX = 6000000,                      /* different windows of a group that are counted */
    PAIRS_MAX = 20000000,                       /* places of a group's candidates */
    COVER = 4, COVER_FEW = 10,                  /* a message shall be caught by so many rules */
    COVERED = 3,                                /* and by so many where rules beyond those asked for are needed */
    FEW = 100, MORE = 3,                        /* a group of fewer gets more rules: it shows less of what is to come */
    BEYOND = 5,                                 /* times as many rules as asked for, where some messages need their own */
    ROUNDS = 3,                                 /* what no rule catches is looked at again by itself */
    MASK_SHARED = 2,                            /* half of a window's words in a chosen one: says the same */
    TABOO_MAX = 4000,                           /* domains of ours that are heeded */
    RECIPIENTS_HEEDED = 10,                     /* of a message */
    LIKENESSES = 64,                            /* messages of a storm that a returned one is compared with */
    DEPTH_MAX = 3,
    GRAM = 4,                                   /* bytes by which a line is first looked at */
    NONE = -1,
};
#define MISSING UINT32_MAX
static const double enough_bits = 16, common_bits = 11;      /* common: where many messages of the storm have it */
static const double enough_bits_blind = 30, base64_bits = 5, mark_bits = 0.5;
static const double price_bits = 2;             /* of an amount of money */
static const double disguise_bits = 5;          /* a letter directly beside what never stands inside a word */
static const double software_bits = 14;         /* asked for beyond that of the name of a mail program */
/* Of one more rule for a message that has so many. */
static const double weight[COVER + 1] = {1, 0.4, 0.2, 0.1, 0};
static const double weight_few[COVER_FEW + 1] = {1, 0.4, 0.2, 0.15, 0.12, 0.1, 0.09, 0.08, 0.07, 0.06, 0};
static const uint32_t blind = 50;               /* fewer real messages than this teach little of what is rare */

/* A place of a window as a pattern will have it. */
struct piece {
    uint8_t kind;                   /* enum qs_token_kind */
    bool varies, wide;              /* wide: other space than one blank was met */
    struct qs_span text;            /* in the sample's content */
    struct qs_range range;
};

struct sample {
    struct qs_span content;
    uint32_t message;
};

/* A window that was chosen, later a rule. */
struct choice {
    uint64_t key;
    double bits;
    uint64_t mask, place;
    const char *field;              /* NULL: body */
    struct piece piece[WINDOW_TOKENS];
    unsigned pieces;
    const char *phrase;             /* of base64, decoded, instead of pieces; else NULL */
    const char *text;               /* the pattern */
    const char *whole;              /* the same for the line with the field's name */
    uint32_t twin;                  /* the choice that looks for it in the body; MISSING: none */
    bool is_twin;
    struct qs_pattern *pattern;     /* of the whole line */
    struct qs_span literal;         /* lowered; stands in every line that matches; may be empty */
    uint32_t group, next;           /* next: with the same field or the same first bytes */
    uint32_t *caught, caught_count; /* samples */
    uint32_t seen, seen_top;        /* the last message caught, by number */
    bool dead;
    struct qs_mined_rule *rule;
};

struct work {                       /* of one group */
    struct qs_mined_group *out;
    uint32_t *member;               /* messages that are meant, by arrival */
    uint32_t count, train;
    struct sample *sample;
    uint32_t sample_count;
    struct choice *choice;          /* of the round in hand */
    uint32_t choice_count;
    struct choice **kept;           /* of all rounds: the rules */
    uint32_t kept_count;
};

struct miner {
    TALLOC_CTX *scratch;            /* of the round in hand */
    unsigned round;
    const struct qs_view *view;
    const struct qs_mine_how *how;
    struct qs_mined *out;
    struct qs_reader *reader;
    struct qs_file *file;
    struct qs_buffer content, lowered;
    struct work *work;
    size_t work_count;
    /* real mail */
    uint32_t *good;
    uint32_t good_count;
    char **good_file;
    size_t good_file_count;
    uint32_t good_read;             /* by the last walk */
    /* words */
    struct qs_table *words;         /* hash of a fixed token to its index */
    uint32_t *word_good, *word_seen;
    float *word_bits;
    uint32_t word_count;
    double enough;
    struct qs_span *taboo;
    uint32_t taboo_count;
    struct qs_table *taboo_at;      /* hash of the first token to the first of them, sorted */
    /* windows */
    struct qs_table *windows;       /* key to index */
    uint8_t *window_dead;
    uint32_t window_count;
    uint64_t *prefix;
    /* rules under test */
    struct choice **rule;
    uint32_t rule_count;
    struct qs_table *by_field;      /* hash of the lowered name to the first rule */
    struct qs_table *by_gram;       /* GRAM lowered bytes to the first rule */
    uint32_t always;                /* first of the body rules without a literal */
    char decoded[QS_DECODED];       /* of the line in hand */
    struct qs_token token[QS_TOKENS + 1];           /* one more, a BREAK, behind a line's last */
};

static enum qs_status out_of_memory(struct qs_error *err)
{
    return qs_fail(err, QS_NOMEM, "out of memory");
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

static uint64_t name_hash(struct qs_span name)
{
    uint64_t h = 1;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)lower(name.ptr[i])) * UINT64_C(0x100000001b3);
    return qs_mix64(h);
}

/* --- tokens of a line, as far as patterns may have them ------------------------------------------ */

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
static enum qs_status learn_taboo(struct miner *m, struct qs_error *err)
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

static bool disguises(const struct miner *m, const struct qs_line *line, const struct qs_token *t)
{
    return t >= m->token && t->fixed && qs_token_disguises(t, line->text);
}

/* "$" and a number behind it: what it is sold for. */
static bool is_price(const struct qs_line *line, const struct qs_token *t)
{
    return t->kind == QS_TOKEN_NUMBER && t->at > 0 && line->text.ptr[t->at - 1] == '$';
}

/* The tokens of a line in m->token, with `fixed` set once the words are known. message: UINT32_MAX for real mail. */
static unsigned tokens_of(struct miner *m, const struct qs_line *line, uint32_t message)
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
        m->token[i].fixed = qs_token_counts(&m->token[i]) && qs_token_fixable(&m->token[i]) && !is_price(line, &m->token[i]) &&
                            (!m->words || qs_table_get(m->words, m->token[i].hash, MISSING) != MISSING);
    for (unsigned i = 0; i < n; i++)        /* what stands around a disguise is chance */
        if (m->token[i].kind == QS_TOKEN_WORD &&
            (disguises(m, line, &m->token[i] - 1) || disguises(m, line, &m->token[i] + 1)))
            m->token[i].fixed = false;
    return n;
}

/* What notices of all mail systems say (RFC 3464, RFC 3463, and the usual sentences), and the vocabulary of HTML, CSS and MIME:
 * there may be few real messages with them in the queue, and still these words say next to nothing. */
static const char usual_words[] =
    "0 000000 1 1252 2 250 3 4 421 450 451 452 5 550 551 552 553 554 571 7 7bit 8 8859 8bit a able about "
    "accepted account action address addresses administrator afraid after align all alt alternative amp "
    "an and answer antivirus any arial arrival arrived as ascii assistance at attached attachment auto "
    "automatic automatically autoreply away back background base64 be because been below bgcolor block "
    "blockquote body bold border bottom bounce bounced boundary box br but by calibri can cannot case "
    "cellpadding cellspacing center centered charset class code collapse color cols colspan com comments "
    "contact copy could created css daemon date days decoration deferred delay delayed delete deliver "
    "delivered delivering delivery destination details device diagnostic did didn disabled display "
    "disposition div dns do doctype does domain down dtd due em email en encoding enhanced envelope equiv "
    "error errors esmtp ever exceeded exchange exim exist exists expired expn face fail failed failure "
    "family fatal fff ffffff field filename final first fixed float following follows font for format "
    "found from full further generated generating geneva georgia gif give given gone groups gt had has "
    "have head header headers height help helvetica her here hi hidden him his holiday host hours hr href "
    "html http https i id if image img important in inbox included including inform information initial "
    "inline intended intervention invalid is iso it its jpeg jpg last later left lengths li limit local "
    "log longer lookup lost lt m made mail mailbox mailer mails mailto manager margin matched max me "
    "media message messages meta microsoft middle mime mimeole min mixed more mta multipart mx my name "
    "nbsp net network nextpart no non none normal not notice notification now nowrap of office ol on one "
    "or org original other our out over overflow p padding part pdf permanent permanently person plain "
    "please png policy position possible postfix postmaster printable problem processed program pt public "
    "px qmail queue queued quot quota quoted rcpt reach reached read reason receive received recipient "
    "recipients refers refused reject rejected rel related relay relaying remote replied reply report "
    "reporting requested required response retried retry retrying return returned returning returns "
    "rfc822 roman rowspan s said sans saying scale screen script see send sender sending sent serif "
    "server service session several signature size smtp so solid some soon sorry space spam span "
    "specified src ssl start status still storage strict strong style stylesheet sub subject submitted "
    "subsystem such support system t table tahoma target tbody td technical temporarily temporary text th "
    "than that the their them there these this those time timed timeout times title tls to too top tr "
    "transaction transcript transient transitional transparent tried try trying type ul unable "
    "unavailable undeliverable undelivered underline unfortunately unknown unreachable until urgent us "
    "used user users utf vacation valign ve verdana version vertical via viewport virus viruses w3 w3c "
    "warning was wasn way we webkit week weight were when which while white who width will windows with "
    "within without work wrap wrong www x xhtml xml xmlns yet you your zoom";
enum { USUAL_BITS = 2 };

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
        if (bits[index] > USUAL_BITS && qs_table_get(usual, key, 0))
            bits[index] = USUAL_BITS;
    talloc_free(usual);
    return good ? QS_OK : out_of_memory(err);
}

static double token_bits(const struct miner *m, const struct qs_token *t)
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

/* The lines of a message and, behind each line of base64, what it encodes. */
struct walk {
    struct qs_lines lines;
    struct qs_line last;            /* whose text may have to be decoded */
    bool decode;
};

static bool next_line(struct miner *m, struct walk *walk, struct qs_line *line)
{
    if (walk->decode && qs_decode_line(&walk->last, m->decoded, line)) {
        walk->decode = false;
        return true;
    }
    walk->decode = qs_lines_next(&walk->lines, &walk->last);
    *line = walk->last;
    return walk->decode;
}

/* --- windows --------------------------------------------------------------------------------------- */

struct window {
    const struct qs_line *line;     /* of m->token */
    uint64_t key, mask, place;
    unsigned from, end;             /* tokens [from, end) */
    unsigned words;
    double bits;
    bool whole;                     /* ends with a fixed token; not only the beginning of one */
};

/* False: go on at the next beginning. */
typedef bool (*visit)(struct miner *m, const struct window *w, void *data);

/* A word that varies, with a disguise in front of it or behind it, as in "mail=E2=80=8Bbox". */
static bool disguised(const struct miner *m, const struct qs_line *line, const struct qs_token *t)
{
    return t->kind == QS_TOKEN_WORD && !t->fixed && (disguises(m, line, t - 1) || disguises(m, line, t + 1));
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
    w->bits += token_bits(m, t);
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
            w->whole = w->words > 0 && disguises(m, w->line, t - 1);
        } else if (is_price(w->line, t)) {
            w->bits += price_bits;
            w->whole = w->words > 0;
        }
    } else if (qs_token_counts(t)) {
        w->words++;
        w->mask |= UINT64_C(1) << (hash & 63);
        w->whole = t->kind != QS_TOKEN_BASE64 || w->words >= BASE64_LEAST;
    }
    w->bits += token_bits(m, t);
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
        if (!m->token[i].fixed && !(i + 1 < n && disguised(m, line, &m->token[i]) && disguises(m, line, &m->token[i + 1])))
            continue;
        for (unsigned j = i; j < n && j - i < WINDOW_TOKENS && w.words < WINDOW_WORDS; j++) {
            w.end = j + 1;
            if (!extend(m, &w, &ranges, &m->token[j]) || !fn(m, &w, data))
                break;
        }
    }
}

static void windows_of(struct miner *m, struct qs_span content, uint32_t message, visit fn, void *data)
{
    struct walk walk = {.lines = {.rest = content}};
    struct qs_line line;
    while (next_line(m, &walk, &line))
        windows(m, &line, tokens_of(m, &line, message), fn, data);
}

/* --- reading --------------------------------------------------------------------------------------- */

/* A message again; *got is false when it is no longer there. */
static enum qs_status read_message(struct miner *m, uint32_t message, size_t cap, struct qs_span *content, bool *got,
                                   struct qs_error *err)
{
    struct qs_envelope envelope = {0};
    struct qs_error why = {""};
    bool whole = false;
    enum qs_status status = qs_scan_reread(m->view->scan, &m->view->scan->messages[message], m->reader, cap, &envelope,
                                           content, &whole, &why);
    *got = status == QS_OK;
    if (status == QS_NOMEM || status == QS_NOQUEUE)
        return qs_fail(err, status, "%s", why.text);
    return QS_OK;
}

static enum qs_status read_file(struct miner *m, const char *path, struct qs_span *content, bool *got, struct qs_error *err)
{
    struct qs_span some = {NULL, 0};
    struct qs_error why = {""};
    m->content.len = 0;
    enum qs_status status = qs_file_open(m->file, AT_FDCWD, path, &why);
    while (status == QS_OK && m->content.len < QS_MINE_GOOD_CONTENT) {
        status = qs_file_at(m->file, m->content.len, 1, &some, &why);
        if (status == QS_OK && !qs_buffer_add(&m->content, some))
            status = QS_NOMEM;
    }
    qs_file_close(m->file);
    if (status == QS_NOMEM)
        return out_of_memory(err);
    *got = status == QS_OK || status == QS_END;
    *content = (struct qs_span){m->content.data, m->content.len};
    return QS_OK;
}

/* An mbox-like first line is none of the message. */
static struct qs_span without_from_line(struct qs_span content)
{
    const char *end = qs_span_starts(content, "From ") ? memchr(content.ptr, '\n', content.len) : NULL;
    if (end)
        content = (struct qs_span){end + 1, content.len - (size_t)(end + 1 - content.ptr)};
    return content;
}

typedef enum qs_status (*on_good)(struct miner *m, struct qs_span content, uint32_t number, struct qs_error *err);

/* All real mail once. Numbers begin with 1. */
static enum qs_status each_good(struct miner *m, on_good fn, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    struct qs_span content;
    m->good_read = m->out->good_unread = m->out->good_queue = m->out->good_files = 0;
    for (uint32_t i = 0; status == QS_OK && i < m->good_count + m->good_file_count; i++) {
        bool got = false;
        const bool queued = i < m->good_count;
        status = queued ? read_message(m, m->good[i], QS_MINE_GOOD_CONTENT, &content, &got, err)
                        : read_file(m, m->good_file[i - m->good_count], &content, &got, err);
        if (status != QS_OK || !got) {
            m->out->good_unread++;
            continue;
        }
        m->out->good_queue += queued;
        m->out->good_files += !queued;
        status = fn(m, without_from_line(content), ++m->good_read, err);
    }
    return status;
}

static enum qs_status list_directory(struct miner *m, const char *path, unsigned depth, struct qs_error *err)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    enum qs_status status = QS_OK;
    if (!dir)
        return depth > 0 && errno == ENOTDIR ? QS_OK : qs_fail_errno(err, errno, "%s", path);
    while (status == QS_OK && m->good_file_count < QS_MINE_GOOD && (e = readdir(dir))) {
        if (e->d_name[0] == '.')
            continue;
        char *full = talloc_asprintf(m->good_file, "%s/%s", path, e->d_name);
        if (!full) {
            status = out_of_memory(err);
        } else if (e->d_type == DT_DIR) {
            if (depth < DEPTH_MAX)
                status = list_directory(m, full, depth + 1, err);
            talloc_free(full);
        } else if (e->d_type == DT_REG || e->d_type == DT_UNKNOWN) {
            m->good_file[m->good_file_count++] = full;
        } else {
            talloc_free(full);
        }
    }
    closedir(dir);
    return status;
}

/* Every how-manieth of `count` so that at most `cap` are left: the index of the i-th. */
static uint32_t spread(uint32_t i, uint32_t count, uint32_t kept)
{
    return (uint32_t)((uint64_t)i * count / kept);
}

static uint32_t at_most(uint32_t count, uint32_t cap)
{
    return count < cap ? count : cap;
}

/* A notice that brings a message of the storm back: real or not, its text is the storm's. */
static bool returns_storm(const struct miner *m, uint32_t message)
{
    const struct qs_message *list = m->view->scan->messages;
    const struct qs_returned *returned = list[message].returned;
    if (!returned || returned->print.shingles == 0)
        return false;
    for (size_t g = 0; g < m->work_count; g++) {
        const struct work *w = &m->work[g];
        const uint32_t kept = at_most(w->count, LIKENESSES);
        for (uint32_t i = 0; i < kept; i++) {
            const struct qs_message *storm = &list[w->member[spread(i, w->count, kept)]];
            const struct qs_fingerprint *print = storm->returned ? &storm->returned->print : &storm->print;
            if (qs_cluster_alike(&returned->print, print))
                return true;
        }
    }
    return false;
}

static enum qs_status list_good(struct miner *m, struct qs_error *err)
{
    const struct qs_judgement *judgement = m->view->judgement;
    const uint32_t all = m->view->scan->count;
    enum qs_status status = QS_OK;
    uint32_t *list = talloc_array(m->scratch, uint32_t, all + 1u), count = 0;
    m->good_file = talloc_array(m->scratch, char *, QS_MINE_GOOD);
    if (!list || !m->good_file)
        return out_of_memory(err);
    for (uint32_t i = 0; i < all; i++) {
        if (judgement->of[i].verdict != QS_LEGIT)
            continue;
        if (returns_storm(m, i))
            m->out->storm_returned++;
        else
            list[count++] = i;
    }
    m->good_count = at_most(count, QS_MINE_GOOD);
    for (uint32_t i = 0; i < m->good_count; i++)
        list[i] = list[spread(i, count, m->good_count)];
    m->good = list;
    for (size_t d = 0; status == QS_OK && d < m->how->good_count; d++) {
        const size_t before = m->good_file_count;
        status = list_directory(m, m->how->good[d], 0, err);
        if (status == QS_OK && m->good_file_count == before && before < QS_MINE_GOOD)
            status = qs_fail(err, QS_USAGE, "%.300s: no messages there", m->how->good[d]);
    }
    return status;
}

/* --- what is meant ----------------------------------------------------------------------------------- */

static int by_arrival(const void *a, const void *b, void *data)
{
    const struct qs_scan *scan = data;
    const struct qs_message *x = &scan->messages[*(const uint32_t *)a], *y = &scan->messages[*(const uint32_t *)b];
    if (x->arrival != y->arrival)
        return x->arrival < y->arrival ? -1 : 1;
    return strcmp(x->id, y->id);
}

static enum qs_status gather(struct miner *m, uint32_t g, struct work *w, struct qs_error *err)
{
    const struct qs_judgement *judgement = m->view->judgement;
    const struct qs_group *group = &judgement->group[g];
    w->member = talloc_array(m->scratch, uint32_t, group->count + 1u);
    if (!w->member)
        return out_of_memory(err);
    for (uint32_t i = 0; i < group->count; i++) {
        const uint32_t message = judgement->member[group->first + i];
        if (judgement->of[message].verdict != QS_LEGIT && (!m->how->selected || m->how->selected[message]))
            w->member[w->count++] = message;
    }
    qsort_r(w->member, w->count, sizeof *w->member, by_arrival, m->view->scan);
    w->train = (uint32_t)ceil((double)w->count * m->how->train / 100.0);
    if (w->train > w->count)
        w->train = w->count;
    *w->out = (struct qs_mined_group){.group = g, .messages = w->count};
    return QS_OK;
}

static bool is_meant(const struct miner *m, uint32_t g)
{
    const uint8_t verdict = m->view->judgement->group[g].verdict;
    if (m->how->group_count == 0)
        return verdict == QS_STORM || verdict == QS_BACKSCATTER;
    for (size_t i = 0; i < m->how->group_count; i++)
        if (m->how->groups[i] == g)
            return true;
    return false;
}

static enum qs_status gather_all(struct miner *m, struct qs_error *err)
{
    const uint32_t count = m->view->judgement->group_count;
    enum qs_status status = QS_OK;
    m->work = talloc_zero_array(m->scratch, struct work, count + 1u);
    m->out->group = talloc_zero_array(m->out, struct qs_mined_group, count + 1u);
    if (!m->work || !m->out->group)
        return out_of_memory(err);
    for (uint32_t g = 0; status == QS_OK && g < count; g++) {
        struct work *w = &m->work[m->work_count];
        if (!is_meant(m, g))
            continue;
        *w = (struct work){.out = &m->out->group[m->out->group_count]};
        status = gather(m, g, w, err);
        if (status != QS_OK || w->count == 0)
            continue;
        m->work_count++;
        m->out->group_count++;
    }
    return status;
}

static enum qs_status keep_sample(struct work *w, uint32_t message, struct qs_span content, struct qs_error *err)
{
    const size_t len = content.len < QS_MINE_CONTENT ? content.len : QS_MINE_CONTENT;
    char *copy = talloc_memdup(w->sample, content.ptr, len);
    if (!copy)
        return out_of_memory(err);
    w->sample[w->sample_count++] = (struct sample){{copy, len}, message};
    return QS_OK;
}

/* The messages that candidates come from, kept in memory. */
static enum qs_status read_samples(struct miner *m, struct work *w, struct qs_error *err)
{
    const uint32_t kept = at_most(w->train, QS_MINE_SAMPLE);
    enum qs_status status = QS_OK;
    w->sample = talloc_zero_array(m, struct sample, QS_MINE_SAMPLE);
    if (!w->sample)
        return out_of_memory(err);
    for (uint32_t i = 0; status == QS_OK && i < kept; i++) {
        const uint32_t message = w->member[spread(i, w->train, kept)];
        struct qs_span content;
        bool got = false;
        status = read_message(m, message, QS_MINE_CONTENT, &content, &got, err);
        if (status == QS_OK && got && content.len > 0)
            status = keep_sample(w, message, content, err);
    }
    return status;
}

/* In so many messages of a group something must stand to be more than chance. */
static uint32_t enough_messages(const struct miner *m, const struct work *w)
{
    const uint32_t share = w->sample_count / 100;
    return m->round > 0 || w->sample_count < FEW ? 2 : share < 3 ? 3 : share;
}

static bool is_few(const struct miner *m, const struct work *w)
{
    return m->round == 0 && w->sample_count < FEW;
}

static uint32_t rules_for(const struct miner *m, const struct work *w, uint32_t most)
{
    return is_few(m, w) ? most * MORE : most;
}

static uint32_t common_messages(const struct miner *m, const struct work *w)
{
    const uint32_t share = w->sample_count / 50, least = enough_messages(m, w);
    if (m->round > 0)
        return least;
    if (w->sample_count < FEW)
        return least > w->sample_count / 10 ? least : w->sample_count / 10;
    return share < 8 ? 8 : share;
}

/* --- words --------------------------------------------------------------------------------------------- */

/* Counts in how many messages something stands: a key's index, its count and the last message that had it. */
struct tally {
    struct qs_table *at;
    uint32_t *count, *seen;
    uint32_t used, size;
};

static bool tally_new(TALLOC_CTX *parent, struct tally *t)
{
    t->at = qs_table_new(parent, 4096);
    t->size = 4096;
    t->used = 0;
    t->count = talloc_array(t->at, uint32_t, t->size);
    t->seen = t->at ? talloc_array(t->at, uint32_t, t->size) : NULL;
    return t->at && t->count && t->seen;
}

/* stamp: number of the message, not 0. */
static bool tally_add(struct tally *t, uint64_t key, uint32_t stamp)
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
    struct tally tally;
    uint64_t key;
    uint32_t at = 0, index;
    bool good = tally_new(m->scratch, &tally);
    for (uint32_t s = 0; good && s < w->sample_count; s++) {
        struct walk walk = {.lines = {.rest = w->sample[s].content}};
        struct qs_line line;
        while (good && next_line(m, &walk, &line)) {
            const unsigned n = tokens_of(m, &line, w->sample[s].message);
            for (unsigned i = 0; good && i < n; i++)
                if (m->token[i].fixed)
                    good = tally_add(&tally, m->token[i].hash, s + 1);
        }
    }
    while (good && qs_table_next(tally.at, &at, &key, &index)) {
        if (tally.count[index] < enough_messages(m, w))
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
    while (next_line(m, &walk, &line)) {
        const unsigned n = tokens_of(m, &line, MISSING);
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

static enum qs_status learn_all_words(struct miner *m, struct qs_error *err)
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
    status = each_good(m, count_good_words, err);
    for (uint32_t i = 0; i < m->word_count; i++)
        bits[i] = (float)log2((m->good_read + 64.0) / (m->word_good[i] + 1.0));
    if (status == QS_OK)
        status = lower_usual_words(m, bits, err);
    m->word_bits = bits;
    m->enough = m->good_read < blind ? enough_bits_blind : enough_bits;
    return status;
}

/* --- candidates ------------------------------------------------------------------------------------------ */

/* A window that says less is taken when it is common in the storm: then many real messages without it say the rest. */
static bool may_say_enough(const struct miner *m, const struct window *w)
{
    return w->whole && (w->bits >= m->enough || (m->enough <= enough_bits && w->words > 1 && w->bits >= common_bits));
}

struct counting {
    struct tally tally;
    uint32_t stamp, least, common;  /* messages that must have it; that must have it when it says less */
    uint64_t prefix[WINDOW_TOKENS]; /* keys of the beginnings of the window in hand */
    unsigned marked;                /* of them that are remembered already */
    bool failed;
};

static bool count_window(struct miner *m, const struct window *w, void *data)
{
    struct counting *c = data;
    if (may_say_enough(m, w) && !tally_add(&c->tally, w->key, c->stamp))
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
    if (!may_say_enough(m, w))
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
    struct counting c = {.least = enough_messages(m, w), .common = common_messages(m, w)};
    c.failed = !tally_new(m->scratch, &c.tally);
    for (uint32_t s = 0; !c.failed && s < w->sample_count; s++) {
        c.stamp = s + 1;
        windows_of(m, w->sample[s].content, w->sample[s].message, count_window, &c);
    }
    for (uint32_t s = 0; !c.failed && s < w->sample_count; s++)
        windows_of(m, w->sample[s].content, w->sample[s].message, keep_window, &c);
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
    windows_of(m, content, MISSING, kill_window, NULL);
    return QS_OK;
}

static enum qs_status learn_all_windows(struct miner *m, struct qs_error *err)
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
    return status == QS_OK ? each_good(m, kill_windows, err) : status;
}

/* --- the few that catch most ------------------------------------------------------------------------------ */

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
    struct tally tally;             /* of the candidates that are alive */
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
    if (!may_say_enough(m, w))
        return true;
    const uint32_t index = qs_table_get(m->windows, w->key, MISSING);
    if (index == MISSING || m->window_dead[index] || p->pairs >= PAIRS_MAX)
        return true;
    const uint32_t before = p->tally.used;
    p->failed = !tally_add(&p->tally, w->key, p->stamp);
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
    *c = (struct cover){.key = p->key, .mask = p->mask, .place = p->place, .bits = p->bits, .count = p->tally.used, .samples = samples};
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

/* --- patterns ------------------------------------------------------------------------------------------- */

struct shaping {
    struct work *work;
    struct qs_table *at;            /* key to choice */
    bool failed;
};

static bool shape_window(struct miner *m, const struct window *w, void *data)
{
    struct shaping *s = data;
    const uint32_t index = w->whole ? qs_table_get(s->at, w->key, MISSING) : MISSING;
    if (index == MISSING)
        return true;
    struct choice *c = &s->work->choice[index];
    const bool first = c->pieces == 0;
    if (w->line->decoded) {
        const struct qs_token *from = &m->token[w->from], *last = &m->token[w->end - 1];
        if (!c->phrase)
            c->phrase = talloc_strndup(s->work->choice, w->line->text.ptr + from->at, last->at + last->len - from->at);
        s->failed = !c->phrase;
        return !s->failed;
    }
    if (first) {
        c->pieces = w->end - w->from;
        if (w->line->kind != QS_LINE_BODY)
            c->field = talloc_strndup(s->work->choice, w->line->name.ptr, w->line->name.len);
        s->failed = w->line->kind != QS_LINE_BODY && !c->field;
    }
    for (unsigned i = 0; i < c->pieces && i < w->end - w->from; i++) {
        const struct qs_token *t = &m->token[w->from + i];
        const struct qs_span text = {w->line->text.ptr + t->at, t->len};
        struct piece *piece = &c->piece[i];
        if (first)
            *piece = (struct piece){.kind = t->kind, .text = text,
                                    .varies = t->kind == QS_TOKEN_HIGH || (qs_token_counts(t) && !t->fixed)};
        piece->wide |= t->kind == QS_TOKEN_SPACE && (!qs_span_is(text, " ") || c->field);
        if (piece->varies)
            qs_range_add(&piece->range, text);
    }
    return !s->failed;
}

static bool quote_piece(struct qs_buffer *to, const struct piece *p)
{
    if (p->kind == QS_TOKEN_HIGH)
        return qs_quote_high(to, &p->range);
    if (p->varies)
        return qs_quote_range(to, &p->range);
    return p->kind == QS_TOKEN_SPACE && p->wide ? qs_quote_space(to) : qs_quote(to, p->text);
}

/* The longest run of the window's bytes that every match has, lowered. */
static bool find_literal(TALLOC_CTX *parent, struct choice *c)
{
    struct qs_buffer run, best;
    bool good = true;
    qs_buffer_init(&run, parent);
    qs_buffer_init(&best, parent);
    for (unsigned i = 0; good && i <= c->pieces; i++) {
        const struct piece *p = i < c->pieces ? &c->piece[i] : NULL;
        if (p && !p->varies && !p->wide) {
            for (size_t k = 0; good && k < p->text.len; k++)
                good = qs_buffer_add_char(&run, lower(p->text.ptr[k]));
            continue;
        }
        if (run.len > best.len) {
            best.len = 0;
            good = good && qs_buffer_add(&best, (struct qs_span){run.data, run.len});
        }
        run.len = 0;
    }
    c->literal = (struct qs_span){best.data, best.len};
    return good;
}

static enum qs_status make_pattern(struct work *w, struct choice *c, struct qs_error *err)
{
    struct qs_buffer text, whole;
    qs_buffer_init(&text, w->choice);
    qs_buffer_init(&whole, w->choice);
    bool good = find_literal(w->choice, c);
    for (unsigned i = 0; good && i < c->pieces; i++)
        good = quote_piece(&text, &c->piece[i]);
    if (good && c->phrase)
        good = qs_quote_phrase(&text, qs_span_of(c->phrase));
    good = good && qs_buffer_add_char(&text, '\0');
    if (good && c->field)
        good = qs_buffer_add_char(&whole, '^') && qs_quote(&whole, qs_span_of(c->field)) &&
               qs_buffer_add(&whole, QS_SPAN(":.*"));
    good = good && qs_buffer_add(&whole, (struct qs_span){text.data, text.len});
    if (!good)
        return out_of_memory(err);
    c->text = text.data;
    c->whole = whole.data;
    return qs_pattern_new_raw(w->choice, whole.data, &c->pattern, err);
}

static struct choice *twin_of(struct work *w, uint32_t of)
{
    struct choice *c = &w->choice[of], *twin = &w->choice[w->choice_count];
    *twin = *c;
    twin->field = NULL;
    twin->key ^= 1;
    twin->is_twin = true;
    c->twin = w->choice_count++;
    return twin;
}

/* The text of a pattern in which nothing varies; empty: there is none. */
static bool fixed_text(struct qs_buffer *out, const struct choice *c)
{
    if (c->phrase)
        return qs_buffer_add(out, qs_span_of(c->phrase));
    for (unsigned i = 0; i < c->pieces; i++) {
        const struct piece *p = &c->piece[i];
        if (p->varies || p->wide || p->kind == QS_TOKEN_BASE64 || p->kind == QS_TOKEN_CODED ||
            (p->kind == QS_TOKEN_MARK && p->text.len > 1)) {
            out->len = 0;
            return true;
        }
        if (!qs_buffer_add(out, p->text))
            return false;
    }
    return true;
}

/* Notices return a storm's Subject in a header that filters see as one, or as text in the body. A small storm shows
 * its text in some of its encodings: what stood there as it is may come in base64, and the other way about. A pattern
 * for the one is tried for the other. */
static enum qs_status add_twin(const struct miner *m, struct work *w, uint32_t of, struct qs_error *err)
{
    struct choice *c = &w->choice[of];
    if (c->field) {
        if (m->view->judgement->group[w->out->group].verdict == QS_BACKSCATTER && strcasecmp(c->field, "Subject") == 0) {
            struct choice *twin = twin_of(w, of);
            twin->text = c->whole;
        }
        return QS_OK;
    }
    struct qs_buffer text;
    qs_buffer_init(&text, w->choice);
    if (w->train >= FEW)
        return QS_OK;
    if (!fixed_text(&text, c))
        return out_of_memory(err);
    if (text.len < QS_PHRASE_LEAST)
        return QS_OK;
    if (!qs_buffer_add_char(&text, '\0'))
        return out_of_memory(err);
    struct choice *twin = twin_of(w, of);
    twin->phrase = c->phrase ? NULL : text.data;
    twin->pieces = 0;
    if (c->phrase) {
        twin->pieces = 1;
        twin->piece[0] = (struct piece){.kind = QS_TOKEN_WORD, .text = {text.data, text.len - 1}};
    }
    return make_pattern(w, twin, err);
}

/* Chooses twice as many windows as there may be rules, for the last test may drop some, and makes patterns of them. */
static enum qs_status choose_windows(struct miner *m, struct work *w, uint32_t soft, struct qs_error *err)
{
    const uint32_t most = soft * BEYOND;
    struct placing p = {.failed = false};
    struct cover c = {.count = 0};
    struct shaping s = {.work = w};
    p.failed = !tally_new(m->scratch, &p.tally);
    for (uint32_t i = 0; !p.failed && i < w->sample_count; i++) {
        p.stamp = i + 1;
        windows_of(m, w->sample[i].content, w->sample[i].message, place_window, &p);
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
        *choice = (struct choice){.key = c.key[taken[i]], .bits = c.bits[taken[i]], .mask = c.mask[taken[i]], .place = c.place[taken[i]],
                                  .group = (uint32_t)(w - m->work), .caught_count = n, .twin = MISSING};
        choice->caught = talloc_memdup(w->choice, c.in + c.first[taken[i]], n * sizeof *c.in);
        s.failed = !choice->caught || !qs_table_at(s.at, choice->key, i);
    }
    for (uint32_t i = 0; !s.failed && i < w->sample_count; i++)
        windows_of(m, w->sample[i].content, w->sample[i].message, shape_window, &s);
    talloc_free(p.tally.at);
    talloc_free(s.at);
    if (s.failed)
        return out_of_memory(err);
    enum qs_status status = QS_OK;
    const uint32_t count = w->choice_count;
    for (uint32_t i = 0; status == QS_OK && i < count; i++) {
        status = make_pattern(w, &w->choice[i], err);
        if (status == QS_OK)
            status = add_twin(m, w, i, err);
    }
    return status;
}

/* --- the test ---------------------------------------------------------------------------------------------- */

static uint64_t gram_at(const char *p)
{
    uint32_t gram;
    memcpy(&gram, p, GRAM);
    return gram;
}

static bool enter(struct qs_table *table, uint64_t key, struct miner *m, uint32_t index)
{
    uint32_t *head = qs_table_at(table, key, MISSING);
    if (!head)
        return false;
    m->rule[index]->next = *head;
    *head = index;
    return true;
}

/* The rules that are alive, so that a line finds those that may match it. */
static enum qs_status index_rules(struct miner *m, struct qs_error *err)
{
    bool good = true;
    talloc_free(m->by_field);
    talloc_free(m->by_gram);
    m->by_field = qs_table_new(m->scratch, 256);
    m->by_gram = qs_table_new(m->scratch, 1024);
    m->always = MISSING;
    good = m->by_field && m->by_gram;
    for (uint32_t i = 0; good && i < m->rule_count; i++) {
        struct choice *c = m->rule[i];
        c->seen = c->seen_top = 0;
        if (c->dead)
            continue;
        if (c->field) {
            good = enter(m->by_field, name_hash(qs_span_of(c->field)), m, i);
        } else if (c->literal.len >= GRAM) {
            good = enter(m->by_gram, gram_at(c->literal.ptr), m, i);
        } else {
            c->next = m->always;
            m->always = i;
        }
    }
    return good ? QS_OK : out_of_memory(err);
}

struct testing {
    const struct qs_line *line;
    uint32_t stamp;
    int64_t group;                  /* rules of this one alone; NONE: of all */
};

/* A pattern that takes too many steps does not stay. */
static void test_rule(struct choice *c, const struct testing *t)
{
    struct qs_error why;
    bool found = false;
    if (c->dead || (t->group != NONE && t->group != (int64_t)c->group) ||
        (c->seen == t->stamp && (c->seen_top == t->stamp || t->line->kind != QS_LINE_HEADER)))
        return;
    if (qs_pattern_find(c->pattern, t->line->text, &found, &why) != QS_OK) {
        c->dead = true;
    } else if (found) {
        c->seen = t->stamp;
        if (t->line->kind == QS_LINE_HEADER)
            c->seen_top = t->stamp;
    }
}

static void test_header_rules(struct miner *m, struct qs_span name, const struct testing *t)
{
    for (uint32_t i = qs_table_get(m->by_field, name_hash(name), MISSING); i != MISSING; i = m->rule[i]->next)
        test_rule(m->rule[i], t);
}

static bool test_body_rules(struct miner *m, const struct testing *t)
{
    const struct qs_span text = t->line->text;
    m->lowered.len = 0;
    if (!qs_buffer_reserve(&m->lowered, text.len + 1))
        return false;
    for (size_t i = 0; i < text.len; i++)
        m->lowered.data[i] = lower(text.ptr[i]);
    for (size_t i = 0; i + GRAM <= text.len; i++) {
        uint32_t r = qs_table_get(m->by_gram, gram_at(m->lowered.data + i), MISSING);
        for (; r != MISSING; r = m->rule[r]->next) {
            const struct qs_span literal = m->rule[r]->literal;
            if (literal.len <= text.len - i && memcmp(literal.ptr, m->lowered.data + i, literal.len) == 0)
                test_rule(m->rule[r], t);
        }
    }
    const bool may = m->always != MISSING && qs_may_hold_phrase(text);
    for (uint32_t r = m->always; r != MISSING; r = m->rule[r]->next)
        if (may || !m->rule[r]->phrase)
            test_rule(m->rule[r], t);
    return true;
}

/* All lines of a message against the rules. strict: also the header's rules against lines of the body that look like fields,
 * and the body's against the header. */
static enum qs_status test_message(struct miner *m, struct qs_span content, uint32_t stamp, int64_t group, bool strict,
                                   struct qs_error *err)
{
    struct qs_lines lines = {.rest = content};
    struct qs_line line;
    bool good = true;
    while (good && qs_lines_next(&lines, &line)) {
        const struct testing t = {&line, stamp, group};
        const bool body = line.kind == QS_LINE_BODY;
        if (line.beyond && !strict)
            continue;
        if (!body) {
            test_header_rules(m, line.name, &t);
        } else if (strict) {
            const char *colon = memchr(line.text.ptr, ':', line.text.len);
            if (colon)
                test_header_rules(m, (struct qs_span){line.text.ptr, (size_t)(colon - line.text.ptr)}, &t);
        }
        if (body || strict)
            good = test_body_rules(m, &t);
    }
    return good ? QS_OK : out_of_memory(err);
}

static enum qs_status test_good(struct miner *m, struct qs_span content, uint32_t number, struct qs_error *err)
{
    enum qs_status status = test_message(m, content, number, NONE, true, err);
    for (uint32_t i = 0; i < m->rule_count; i++)
        if (m->rule[i]->seen == number)
            m->rule[i]->dead = true;
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

/* Runs the group's rules over the messages [from, to) of its members. */
static enum qs_status measure(struct miner *m, struct work *w, uint32_t from, uint32_t to, bool later, struct qs_error *err)
{
    const uint32_t all = to - from, kept = at_most(all, QS_MINE_MEASURED / 2);
    enum qs_status status = QS_OK;
    for (uint32_t i = 0; status == QS_OK && i < kept; i++) {
        const uint32_t message = w->member[from + spread(i, all, kept)], stamp = message + 1;
        struct qs_span content;
        bool got = false, caught = false;
        status = read_message(m, message, QS_MINE_GOOD_CONTENT, &content, &got, err);
        if (status != QS_OK || !got)
            continue;
        status = test_message(m, content, stamp, w - m->work, false, err);
        for (uint32_t r = 0; r < w->out->rules; r++) {
            struct qs_mined_rule *rule = &m->out->rule[w->out->first_rule + r];
            const struct choice *c = m->rule[w->out->first_rule + r];
            caught |= c->seen == stamp;
            *(later ? &rule->later : &rule->train) += c->seen == stamp;
            *(later ? &rule->top_later : &rule->top_train) += c->field && c->seen_top == stamp;
        }
        *(later ? &w->out->later : &w->out->train) += 1;
        *(later ? &w->out->later_caught : &w->out->train_caught) += caught;
    }
    return status;
}

/* The rules that this round found. */
static enum qs_status keep_rules(struct miner *m, struct work *w, uint32_t soft, struct qs_error *err)
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

/* What is tested: this round's choices, or the rules that were kept. */
static enum qs_status gather_rules(struct miner *m, bool kept, struct qs_error *err)
{
    uint32_t total = 0;
    for (size_t i = 0; i < m->work_count; i++)
        total += kept ? m->work[i].kept_count : m->work[i].choice_count;
    m->rule = talloc_array(m->scratch, struct choice *, total + 1u);
    m->rule_count = 0;
    if (!m->rule)
        return out_of_memory(err);
    for (size_t i = 0; i < m->work_count; i++) {
        const struct work *w = &m->work[i];
        for (uint32_t c = 0; c < (kept ? w->kept_count : w->choice_count); c++)
            m->rule[m->rule_count++] = kept ? w->kept[c] : &w->choice[c];
    }
    return index_rules(m, err);
}

static enum qs_status make_rules(struct miner *m, uint32_t most, struct qs_error *err)
{
    enum qs_status status = learn_all_words(m, err);
    if (status == QS_OK)
        status = learn_all_windows(m, err);
    for (size_t i = 0; status == QS_OK && i < m->work_count; i++) {
        struct work *w = &m->work[i];
        w->choice_count = 0;
        if (w->train >= QS_MINE_LEAST && w->sample_count >= (m->round > 0 ? 2 : QS_MINE_LEAST))
            status = choose_windows(m, w, rules_for(m, w, most) * 2, err);
    }
    if (status == QS_OK)
        status = gather_rules(m, false, err);
    if (status == QS_OK)
        status = each_good(m, test_good, err);
    for (size_t i = 0; status == QS_OK && i < m->work_count; i++)
        if (m->work[i].choice_count > 0)
            status = keep_rules(m, &m->work[i], rules_for(m, &m->work[i], most), err);
    return status == QS_OK ? gather_rules(m, true, err) : status;
}

/* The messages of the training part that no rule catches are the group's next sample. */
static enum qs_status find_missed(struct miner *m, struct work *w, struct qs_error *err)
{
    const uint32_t kept = at_most(w->train, QS_MINE_MEASURED / 2);
    enum qs_status status = QS_OK;
    talloc_free(w->sample);
    w->sample_count = 0;
    w->sample = talloc_zero_array(m, struct sample, QS_MINE_SAMPLE);
    if (!w->sample)
        return out_of_memory(err);
    for (uint32_t i = 0; status == QS_OK && i < kept && w->sample_count < QS_MINE_SAMPLE; i++) {
        const uint32_t message = w->member[spread(i, w->train, kept)], stamp = message + 1;
        struct qs_span content;
        bool got = false, caught = false;
        status = read_message(m, message, QS_MINE_GOOD_CONTENT, &content, &got, err);
        if (status != QS_OK || !got || content.len == 0)
            continue;
        status = test_message(m, content, stamp, w - m->work, false, err);
        for (uint32_t r = 0; r < w->kept_count; r++)
            caught |= w->kept[r]->seen == stamp;
        if (status == QS_OK && !caught)
            status = keep_sample(w, message, content, err);
    }
    return status;
}

static enum qs_status add_rules(struct miner *m, struct work *w, struct qs_error *err)
{
    w->out->first_rule = (uint32_t)m->out->rule_count;
    for (uint32_t i = 0; i < w->kept_count; i++) {
        const struct choice *c = w->kept[i];
        struct qs_mined_rule *rule = &m->out->rule[m->out->rule_count];
        *rule = (struct qs_mined_rule){.group = c->group, .bits = c->bits};
        snprintf(rule->name, sizeof rule->name, "%s-%u", m->view->judgement->group[w->out->group].name, i + 1);
        rule->field = c->field ? talloc_strdup(m->out, c->field) : NULL;
        rule->pattern = talloc_strdup(m->out, c->text);
        if (!rule->pattern || (c->field && !rule->field))
            return out_of_memory(err);
        m->out->rule_count++;
        w->out->rules++;
    }
    return QS_OK;
}

static enum qs_status make_all_rules(struct miner *m, struct qs_error *err)
{
    const uint32_t most = m->how->rules ? m->how->rules : QS_MINE_RULES;
    enum qs_status status = QS_OK;
    bool missed = true;
    for (m->round = 0; status == QS_OK && m->round < ROUNDS && missed; m->round++) {
        m->scratch = talloc_new(m);
        m->by_field = m->by_gram = NULL;
        status = m->scratch ? make_rules(m, most, err) : out_of_memory(err);
        missed = false;
        for (size_t i = 0; status == QS_OK && i < m->work_count; i++) {
            status = find_missed(m, &m->work[i], err);
            missed |= m->work[i].sample_count >= 2;
        }
        if (status == QS_OK && missed && m->round + 1 < ROUNDS)
            TALLOC_FREE(m->scratch);
    }
    m->out->rule = talloc_zero_array(m->out, struct qs_mined_rule, m->rule_count + 1u);
    if (status == QS_OK && !m->out->rule)
        return out_of_memory(err);
    for (size_t i = 0; status == QS_OK && i < m->work_count; i++)
        status = add_rules(m, &m->work[i], err);
    for (size_t i = 0; status == QS_OK && i < m->work_count; i++) {
        struct work *w = &m->work[i];
        status = measure(m, w, 0, w->train, false, err);
        if (status == QS_OK)
            status = measure(m, w, w->train, w->count, true, err);
    }
    return status;
}

enum qs_status qs_mine(TALLOC_CTX *parent, const struct qs_view *view, const struct qs_mine_how *how,
                       struct qs_mined **out, struct qs_error *err)
{
    struct miner *m = talloc_zero(NULL, struct miner);
    enum qs_status status = QS_OK;
    if (!m)
        return out_of_memory(err);
    m->scratch = m;
    m->view = view;
    m->how = how;
    m->out = talloc_zero(m, struct qs_mined);
    m->reader = qs_reader_new(m);
    m->file = qs_file_new(m);
    qs_buffer_init(&m->content, m);
    qs_buffer_init(&m->lowered, m);
    if (!m->out || !m->reader || !m->file)
        status = out_of_memory(err);
    for (size_t q = 0; status == QS_OK && q < view->scan->queue_count; q++)
        if (!view->scan->queues[q].queue)
            status = qs_fail(err, QS_NOQUEUE, "%s: a saved scan has no content to look for patterns in",
                             view->scan->queues[q].name);
    if (status == QS_OK)
        status = gather_all(m, err);
    if (status == QS_OK)
        status = list_good(m, err);
    if (status == QS_OK)
        status = learn_taboo(m, err);
    for (size_t i = 0; status == QS_OK && i < m->work_count; i++)
        status = read_samples(m, &m->work[i], err);
    if (status == QS_OK)
        status = make_all_rules(m, err);
    if (status == QS_OK)
        *out = talloc_steal(parent, m->out);
    talloc_free(m);
    return status;
}
