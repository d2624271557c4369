/* SPDX-License-Identifier: Apache-2.0 */
/* Lines in tokens: see tokens.h. */
#include "tokens.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "qsurgeon/table.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }
static bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
static bool is_high(char c) { return (unsigned char)c >= 0x80; }
static bool is_hex(char c) { return is_digit(c) || (c >= 'A' && c <= 'F'); }

static uint64_t hash_of(enum qs_token_kind kind, const char *p, size_t len)
{
    uint64_t h = (uint64_t)kind + 1;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)lower(p[i])) * UINT64_C(0x100000001b3);
    return qs_mix64(h);
}

static size_t run(const char *p, size_t left, bool (*is)(char c))
{
    size_t n = 0;
    while (n < left && is(p[n]))
        n++;
    return n;
}

static bool is_alphanumeric(char c) { return is_letter(c) || is_digit(c); }
static bool is_base64(char c) { return is_alphanumeric(c) || c == '+' || c == '/' || c == '='; }

/* A line of an encoded part: nothing but its alphabet, with capitals, small letters, and of a length that prose in one
 * word never has. */
static bool looks_base64(struct qs_span text)
{
    bool small = false, capital = false;
    if (text.len < 24 || text.len % 4 != 0 || text.len > 998 || run(text.ptr, text.len, is_base64) != text.len)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        small |= text.ptr[i] >= 'a' && text.ptr[i] <= 'z';
        capital |= text.ptr[i] >= 'A' && text.ptr[i] <= 'Z';
    }
    return small && capital;
}

static unsigned base64_value(char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned)(c - 'A') : c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 26
           : is_digit(c) ? (unsigned)(c - '0') + 52 : c == '+' ? 62 : 63;
}

bool qs_decode_line(const struct qs_line *line, char to[QS_DECODED], struct qs_line *decoded)
{
    size_t len = 0;
    uint32_t bits = 0;
    if (line->kind != QS_LINE_BODY || line->decoded || !looks_base64(line->text))
        return false;
    for (size_t i = 0; i < line->text.len && line->text.ptr[i] != '='; i++) {
        bits = bits << 6 | base64_value(line->text.ptr[i]);
        if (i % 4 > 0)
            to[len++] = (char)(bits >> (6 - 2 * (i % 4)) & 0xff);
    }
    *decoded = *line;
    decoded->text = (struct qs_span){to, len};
    decoded->decoded = true;
    decoded->quoted_printable = false;
    return true;
}

/* What is text when decoded says more as words. */
static bool encodes_text(struct qs_span text)
{
    const struct qs_line line = {.text = text, .kind = QS_LINE_BODY};
    char plain[QS_DECODED];
    struct qs_line decoded;
    if (!qs_decode_line(&line, plain, &decoded))
        return false;
    for (size_t i = 0; i < decoded.text.len; i++)
        if (!is_space(plain[i]) && (plain[i] < ' ' || plain[i] > '~'))
            return false;
    return true;
}

static unsigned base64_tokens(struct qs_span text, struct qs_token *to)
{
    unsigned n = 0;
    if (encodes_text(text))
        return 0;
    for (size_t at = 0; at + 4 <= text.len && n < QS_TOKENS; at += 4)
        to[n++] = (struct qs_token){.hash = hash_of(QS_TOKEN_BASE64, text.ptr + at, 4), .at = (uint32_t)at, .len = 4,
                                    .kind = QS_TOKEN_BASE64};
    return n;
}

static bool coded(const char *p, size_t left)
{
    return left >= 3 && *p == '=' && is_hex(p[1]) && is_hex(p[2]);
}

/* One token at p, at least one byte. */
static struct qs_token token_at(const char *p, size_t left, bool quoted_printable)
{
    struct qs_token t = {.kind = QS_TOKEN_MARK};
    size_t len = 1;
    if (is_alphanumeric(*p)) {
        len = run(p, left, is_alphanumeric);
        const size_t digits = run(p, len, is_digit);
        t.kind = digits == len ? QS_TOKEN_NUMBER : run(p, len, is_letter) == len ? QS_TOKEN_WORD : QS_TOKEN_MIXED;
        if (len > QS_RUN_MAX)
            t.kind = QS_TOKEN_BREAK;
    } else if (is_space(*p)) {
        len = run(p, left, is_space);
        t.kind = len > QS_SPACE_MAX ? QS_TOKEN_BREAK : QS_TOKEN_SPACE;
    } else if (is_high(*p)) {
        len = run(p, left, is_high);
        t.kind = len > QS_RUN_MAX ? QS_TOKEN_BREAK : QS_TOKEN_HIGH;
    } else if (quoted_printable && coded(p, left)) {
        for (len = 3; len < QS_RUN_MAX && p[1] >= '8' && coded(p + len, left - len) && p[len + 1] >= '8';)
            len += 3;
        t.kind = p[1] >= '8' ? QS_TOKEN_CODED : QS_TOKEN_MARK;
    } else if (*p < ' ' || *p == 127) {
        t.kind = QS_TOKEN_BREAK;
    }
    t.len = (uint16_t)(len > UINT16_MAX ? UINT16_MAX : len);
    t.hash = t.kind == QS_TOKEN_SPACE || t.kind == QS_TOKEN_HIGH ? hash_of(t.kind, "", 0) : hash_of(t.kind, p, t.len);
    return t;
}

static bool day_or_month(const char *p, size_t len)
{
    static const char names[] = "mon tue wed thu fri sat sun jan feb mar apr may jun jul aug sep oct nov dec";
    if (len != 3)
        return false;
    for (size_t i = 0; i + 3 <= sizeof names - 1; i += 4)
        if (strncasecmp(names + i, p, 3) == 0)
            return true;
    return false;
}

/* A rule with a date or a time of day in it would stop all mail of that day: no pattern goes across one. */
static void break_dates(const char *line, struct qs_token *t, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const bool before = i >= 2 && t[i - 2].kind == QS_TOKEN_NUMBER;
        const bool after = i + 2 < count && t[i + 2].kind == QS_TOKEN_NUMBER;
        if (t[i].kind == QS_TOKEN_WORD && day_or_month(line + t[i].at, t[i].len) &&
            (before || after || (i + 1 < count && line[t[i + 1].at] == ',')))
            t[i].kind = QS_TOKEN_BREAK;
        else if (t[i].kind == QS_TOKEN_MARK && line[t[i].at] == ':' && i > 0 && i + 1 < count &&
                 t[i - 1].kind == QS_TOKEN_NUMBER && t[i - 1].len <= 2 && t[i + 1].kind == QS_TOKEN_NUMBER &&
                 t[i + 1].len == 2)
            t[i].kind = QS_TOKEN_BREAK;
    }
}

unsigned qs_tokens(const struct qs_line *line, struct qs_token to[QS_TOKENS])
{
    struct qs_span text = line->text;
    size_t at = 0;
    unsigned n = 0;
    if (line->kind == QS_LINE_BODY && !line->decoded && looks_base64(text))
        return base64_tokens(text, to);
    if (line->kind != QS_LINE_BODY) {
        at = line->name.len;
        while (at < text.len && text.ptr[at] != ':')
            at++;
        at++;
        while (at < text.len && is_space(text.ptr[at]))
            at++;
    }
    while (at < text.len && n < QS_TOKENS) {
        to[n] = token_at(text.ptr + at, text.len - at, line->quoted_printable);
        to[n].at = (uint32_t)at;
        at += to[n++].len;
    }
    break_dates(text.ptr, to, n);
    return n;
}

bool qs_token_fixable(const struct qs_token *token)
{
    return token->kind != QS_TOKEN_NUMBER || (token->len != 4 && token->len < 8);
}

bool qs_token_disguises(const struct qs_token *token, struct qs_span line)
{
    static const char *const first[] = {"=E2=80=8", "=E2=81=A", "=C2=AD", "=EF=BB=BF",      /* U+200B.., U+2060.., AD, FEFF */
                                        "=CD", "=CE", "=CF", "=D0", "=D1", "=D2", "=D3"};   /* U+0370 to 04FF */
    const struct qs_span text = {line.ptr + token->at, token->len};
    for (size_t i = 0; token->kind == QS_TOKEN_CODED && i < sizeof first / sizeof *first; i++)
        if (qs_span_starts(text, first[i]))
            return true;
    return false;
}

bool qs_token_counts(const struct qs_token *token)
{
    return token->kind == QS_TOKEN_WORD || token->kind == QS_TOKEN_NUMBER || token->kind == QS_TOKEN_MIXED ||
           token->kind == QS_TOKEN_CODED || token->kind == QS_TOKEN_BASE64;
}

void qs_range_add(struct qs_range *range, struct qs_span text)
{
    if (range->most == 0 || text.len < range->least)
        range->least = (uint16_t)text.len;
    if (text.len > range->most)
        range->most = (uint16_t)text.len;
    for (size_t i = 0; i < text.len; i++) {
        const char c = lower(text.ptr[i]);
        range->digits |= is_digit(c);
        range->letters |= c >= 'a' && c <= 'f';
        range->high_letters |= c >= 'g' && c <= 'z';
    }
}

static bool add(struct qs_buffer *out, const char *text)
{
    return qs_buffer_add(out, qs_span_of(text));
}

bool qs_quote(struct qs_buffer *out, struct qs_span literal)
{
    bool good = true;
    for (size_t i = 0; good && i < literal.len; i++) {
        const char c = literal.ptr[i];
        if (c == '\n' || c == '\r' || c == '\t')
            good = add(out, "[[:space:]]");
        else if (is_high(c))
            good = add(out, "[^ -~]");
        else if (c < ' ' || c == 127)
            good = add(out, "[[:cntrl:]]");
        else
            good = (!strchr(".[](){}*+?|^$\\/", c) || qs_buffer_add_char(out, '\\')) && qs_buffer_add_char(out, c);
    }
    return good;
}

/* As met, and some more: half and double. */
static bool bounds(struct qs_buffer *out, const struct qs_range *range, unsigned most)
{
    char text[32];
    const unsigned low = range->least > 1 ? range->least / 2u : 1;
    const unsigned high = range->most * 2u > most ? most : range->most * 2u;
    snprintf(text, sizeof text, "{%u,%u}", low, high < low ? low : high);
    return add(out, text);
}

bool qs_quote_range(struct qs_buffer *out, const struct qs_range *range)
{
    const char *class = "[0-9a-z]";
    if (!range->letters && !range->high_letters)
        class = "[0-9]";
    else if (!range->digits)
        class = "[a-z]";
    else if (!range->high_letters)
        class = "[0-9a-f]";
    return add(out, class) && bounds(out, range, QS_RUN_MAX);
}

/* With `before` bytes in front of it that are not known: the characters that are certain. */
static bool quote_shifted(struct qs_buffer *out, struct qs_span phrase, unsigned before)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    unsigned held = 0, at = 0;
    const unsigned skipped = (before * 8 + 5) / 6;
    bool good = true;
    for (size_t i = 0; good && i < before + phrase.len; i++) {
        bits = bits << 8 | (i < before ? 0 : (unsigned char)phrase.ptr[i - before]);
        for (held += 8; good && held >= 6; at++) {
            held -= 6;
            const char c = alphabet[bits >> held & 63];
            good = at < skipped || qs_quote(out, (struct qs_span){&c, 1});
        }
    }
    return good;
}

bool qs_quote_phrase(struct qs_buffer *out, struct qs_span phrase)
{
    return qs_buffer_add_char(out, '(') && quote_shifted(out, phrase, 0) && qs_buffer_add_char(out, '|') &&
           quote_shifted(out, phrase, 1) && qs_buffer_add_char(out, '|') && quote_shifted(out, phrase, 2) &&
           qs_buffer_add_char(out, ')');
}

bool qs_may_hold_phrase(struct qs_span line)
{
    for (size_t at = 0; line.len - at >= QS_PHRASE_LEAST; at++) {
        const size_t n = run(line.ptr + at, QS_PHRASE_LEAST, is_base64);
        if (n == QS_PHRASE_LEAST)
            return true;
        at += n;
    }
    return false;
}

bool qs_quote_space(struct qs_buffer *out)
{
    return add(out, "[[:space:]]{1,8}");
}

bool qs_quote_high(struct qs_buffer *out, const struct qs_range *range)
{
    return add(out, "[^ -~]") && bounds(out, range, QS_RUN_MAX * 2);
}
