/* SPDX-License-Identifier: Apache-2.0 */
/* Base64, quoted-printable, charsets to UTF-8, RFC 2047 words. Lenient as mail readers are; linear; no
 * allocation. */
#include "coding.h"

#include <string.h>

#include "bytes.h"
#include "charset_tables.h"
#include "qsurgeon/mail.h"

/* --- base64 --- */

/* Four tables, one for each place in a group, made by the preprocessor: a letter's six bits where the
 * group's three bytes have them in memory order, or BASE64_BAD. */
#define BASE64_BAD UINT32_C(0x80000000)
#define SIX(c) ((c) >= 'A' && (c) <= 'Z' ? (c) - 'A' : (c) >= 'a' && (c) <= 'z' ? (c) - 'a' + 26 \
    : (c) >= '0' && (c) <= '9' ? (c) - '0' + 52 : (c) == '+' ? 62 : (c) == '/' ? 63 : 64)
/* 24 bits to three bytes, the first one lowest */
#define BYTES(v) (((v) >> 16 & 0xff) | ((v) & 0xff00) | ((v) & 0xff) << 16)
#define PLACED(c, shift) (SIX(c) == 64 ? BASE64_BAD : BYTES((uint32_t)SIX(c) << (shift)))
#define GROUP(c) { PLACED(c, 18), PLACED(c, 12), PLACED(c, 6), PLACED(c, 0) }
#define TIMES4(c) GROUP(c), GROUP(c + 1), GROUP(c + 2), GROUP(c + 3)
#define TIMES16(c) TIMES4(c), TIMES4(c + 4), TIMES4(c + 8), TIMES4(c + 12)
#define TIMES64(c) TIMES16(c), TIMES16(c + 16), TIMES16(c + 32), TIMES16(c + 48)
static const uint32_t base64_place[256][4] = { TIMES64(0), TIMES64(64), TIMES64(128), TIMES64(192) };

/* The six bits of a letter, or BASE64_BAD. */
static uint32_t base64_value(unsigned char c)
{
    uint32_t placed = base64_place[c][3];       /* the low six bits stand in the third byte */
    return placed == BASE64_BAD ? BASE64_BAD : placed >> 16;
}

size_t base64_decode(char *to, size_t size, struct qs_span in, bool *odd)
{
    const unsigned char *p = (const unsigned char *)in.ptr;
    const unsigned char *end = p == NULL ? p : p + in.len;
    char *start = to, *limit = to + size;
    uint32_t bits = 0;
    unsigned have = 0;
    while (p < end && to < limit) {
        if (have == 0) {
            while (end - p >= 8 && limit - to >= 8) {       /* six bytes are meant, eight are written */
                uint32_t v = base64_place[p[0]][0] | base64_place[p[1]][1] | base64_place[p[2]][2]
                    | base64_place[p[3]][3];
                uint32_t w = base64_place[p[4]][0] | base64_place[p[5]][1] | base64_place[p[6]][2]
                    | base64_place[p[7]][3];
                if (((v | w) & BASE64_BAD) != 0) {
                    break;
                }
                byte_store64(to, v | (uint64_t)w << 24);
                to += 6;
                p += 8;
            }
            while (p < end && (*p == '\n' || *p == '\r')) {
                p++;
            }
            if (p == end) {
                break;
            }
        }
        unsigned char c = *p++;
        uint32_t v = base64_value(c);
        if (v != BASE64_BAD) {
            bits = bits << 6 | v;
            if (++have == 4) {
                for (int shift = 16; shift >= 0 && to < limit; shift -= 8) {
                    *to++ = (char)(bits >> shift);
                }
                have = 0;
            }
        } else if (c == '=') {      /* the group ends; pieces may follow each other */
            if (have >= 2 && to < limit) {
                *to++ = (char)(bits >> (have == 2 ? 4 : 10));
                if (have == 3 && to < limit) {
                    *to++ = (char)(bits >> 2);
                }
            }
            have = 0;
        } else if (c != '\n' && c != '\r' && c != ' ' && c != '\t') {
            *odd = true;
        }
    }
    if (have >= 2 && to < limit) {
        *to++ = (char)(bits >> (have == 2 ? 4 : 10));
        if (have == 3 && to < limit) {
            *to++ = (char)(bits >> 2);
        }
    }
    return (size_t)(to - start);
}

/* --- quoted-printable --- */

size_t quoted_printable_decode(char *to, size_t size, struct qs_span in, bool *odd)
{
    const char *p = in.ptr, *end = p == NULL ? p : p + (in.len < size ? in.len : size);
    char *start = to;
    while (p < end) {
#ifdef __SSE2__
        if (end - p >= 16) {    /* the output is never ahead of the input, so there is room for 16 bytes */
            __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
            _mm_storeu_si128((__m128i *)(void *)to, v);
            unsigned hit = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('=')));
            unsigned n = hit == 0 ? 16 : (unsigned)__builtin_ctz(hit);
            p += n;
            to += n;
            if (hit == 0) {
                continue;
            }
        }
#endif
        if (*p != '=') {
            *to++ = *p++;
            continue;
        }
        if (end - p >= 3) {
            unsigned high = byte_hex(p[1]), low = byte_hex(p[2]);
            if (high < 16 && low < 16) {
                *to++ = (char)(high << 4 | low);
                p += 3;
                continue;
            }
        }
        const char *q = p + 1;      /* a soft line break, with blanks that a relay may have added */
        while (q < end && (*q == ' ' || *q == '\t' || *q == '\r')) {
            q++;
        }
        if (q == end || *q == '\n') {
            p = q == end ? q : q + 1;
        } else {
            *odd = true;
            *to++ = *p++;
        }
    }
    return (size_t)(to - start);
}

/* --- charsets --- */

enum {
    TABLE_1252,
    TABLE_2,
    TABLE_5,
    TABLE_7,
    TABLE_9,
    TABLE_15,
    TABLE_1250,
    TABLE_1251,
    TABLE_1253,
    TABLE_KOI8_R,
    TABLE_KOI8_U
};

static const struct {
    char name[18];
    struct charset charset;
} charset_names[] = {
    { "iso-8859-1", { CHARSET_TABLE, TABLE_1252 } },    /* as browsers have it: C1 bytes are windows-1252 */
    { "windows-1252", { CHARSET_TABLE, TABLE_1252 } },
    { "latin1", { CHARSET_TABLE, TABLE_1252 } },
    { "cp1252", { CHARSET_TABLE, TABLE_1252 } },
    { "iso-8859-2", { CHARSET_TABLE, TABLE_2 } },
    { "iso-8859-5", { CHARSET_TABLE, TABLE_5 } },
    { "iso-8859-7", { CHARSET_TABLE, TABLE_7 } },
    { "iso-8859-9", { CHARSET_TABLE, TABLE_9 } },
    { "windows-1254", { CHARSET_TABLE, TABLE_9 } },
    { "iso-8859-15", { CHARSET_TABLE, TABLE_15 } },
    { "windows-1250", { CHARSET_TABLE, TABLE_1250 } },
    { "windows-1251", { CHARSET_TABLE, TABLE_1251 } },
    { "cp1251", { CHARSET_TABLE, TABLE_1251 } },
    { "windows-1253", { CHARSET_TABLE, TABLE_1253 } },
    { "koi8-r", { CHARSET_TABLE, TABLE_KOI8_R } },
    { "koi8-u", { CHARSET_TABLE, TABLE_KOI8_U } },
    { "utf-16", { CHARSET_UTF16, UTF16_MARKED } },
    { "utf-16be", { CHARSET_UTF16, UTF16_BIG } },
    { "utf-16le", { CHARSET_UTF16, UTF16_LITTLE } },
    { "utf-7", { CHARSET_UTF7, 0 } },
    { "unicode-1-1-utf-7", { CHARSET_UTF7, 0 } },
    { "big5", { CHARSET_PAIRS, 0 } },
    { "big5-hkscs", { CHARSET_PAIRS, 0 } },
    { "chinesebig5", { CHARSET_PAIRS, 0 } },
    { "gb2312", { CHARSET_PAIRS, 0 } },
    { "gbk", { CHARSET_PAIRS, 0 } },
    { "gb18030", { CHARSET_PAIRS, 0 } },
    { "euc-jp", { CHARSET_PAIRS, 0 } },
    { "euc-kr", { CHARSET_PAIRS, 0 } },
    { "euc-tw", { CHARSET_PAIRS, 0 } },
    { "ks-c-5601-1987", { CHARSET_PAIRS, 0 } },
    { "shift-jis", { CHARSET_PAIRS, 1 } },
    { "windows-31j", { CHARSET_PAIRS, 1 } },
    { "cp932", { CHARSET_PAIRS, 1 } },
    { "iso-2022-jp", { CHARSET_ISO2022, 0 } },
    { "iso-2022-kr", { CHARSET_ISO2022, 0 } },
    { "iso-2022-cn", { CHARSET_ISO2022, 0 } },
};

struct charset charset_find(struct qs_span name)
{
    char low[18] = { 0 };
    if (name.len < sizeof(low)) {
        for (size_t i = 0; i < name.len; i++) {
            low[i] = name.ptr[i] == '_' ? '-' : byte_lower(name.ptr[i]);
        }
    }
    if (low[0] != 'u' || (low[1] != 's' && low[4] != '8')) {    /* us-ascii, utf-8 */
        for (size_t i = 0; i < sizeof(charset_names) / sizeof(charset_names[0]); i++) {
            if (memcmp(low, charset_names[i].name, sizeof(low)) == 0) {
                return charset_names[i].charset;
            }
        }
    }
    return (struct charset){ CHARSET_UTF8, 0 };
}

/* Where decoded characters go; whole characters only. */
struct utf8_out {
    char *to, *limit;
};

static bool put(struct utf8_out *out, uint32_t c)
{
    if (out->limit - out->to < 4) {
        char small[4];
        unsigned n = qs_utf8_encode(c, small);
        if ((size_t)(out->limit - out->to) < n) {
            out->limit = out->to;
            return false;
        }
        memcpy(out->to, small, n);
        out->to += n;
        return true;
    }
    out->to += qs_utf8_encode(c, out->to);
    return true;
}

/* Copies the ASCII bytes at *p; false when the output is full. */
static bool put_ascii_run(struct utf8_out *out, const char **p, const char *end)
{
    const char *stop = byte_find_high(*p, end);
    size_t n = (size_t)(stop - *p), room = (size_t)(out->limit - out->to);
    n = n < room ? n : room;
    memcpy(out->to, *p, n);
    out->to += n;
    *p += n;
    return *p == stop;
}

/* The end of the valid UTF-8 that begins at p. */
static const char *utf8_end(const char *p, const char *end)
{
    for (;;) {
        p = byte_find_high(p, end);
        while (p < end && (unsigned char)*p >= 0x80) {
            const unsigned char *u = (const unsigned char *)p;
            uint32_t c;
            unsigned n;
            if (u[0] >= 0xc2 && u[0] < 0xe0) {
                n = end - p >= 2 && (u[1] & 0xc0) == 0x80 ? 2 : 0;
            } else {
                n = qs_utf8_decode(u, (const unsigned char *)end, &c);
            }
            if (n == 0) {
                return p;
            }
            p += n;
        }
        if (p == end) {
            return p;
        }
    }
}

static void from_utf8(struct utf8_out *out, const char *p, const char *end)
{
    for (;;) {
        const char *stop = utf8_end(p, end);
        size_t n = (size_t)(stop - p), room = (size_t)(out->limit - out->to);
        if (n > room) {
            for (n = room; n > 0 && ((unsigned char)p[n] & 0xc0) == 0x80; n--) {
            }
            stop = end;         /* full */
        }
        memcpy(out->to, p, n);
        out->to += n;
        if (stop == end || !put(out, charset_table[TABLE_1252][(unsigned char)*stop & 0x7f])) {
            return;
        }
        p = stop + 1;
    }
}

static void from_table(struct utf8_out *out, const char *p, const char *end, const uint16_t *table)
{
    while (put_ascii_run(out, &p, end) && p < end) {
        if (!put(out, table[(unsigned char)*p & 0x7f])) {
            return;
        }
        p++;
    }
}

/* UTF-16 code units, which may come singly (UTF-7). */
static bool put_unit(struct utf8_out *out, uint32_t unit, uint32_t *high)
{
    if (unit >= 0xd800 && unit < 0xdc00) {
        *high = unit;
        return true;
    }
    if (unit >= 0xdc00 && unit < 0xe000) {
        uint32_t c = *high == 0 ? 0xfffd : 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00);
        *high = 0;
        return put(out, c);
    }
    *high = 0;
    return put(out, unit);
}

static void from_utf16(struct utf8_out *out, const char *p, const char *end, unsigned order)
{
    bool little = order == UTF16_LITTLE;
    const unsigned char *u = (const unsigned char *)p, *stop = (const unsigned char *)end;
    if (stop - u >= 2) {
        if (u[0] == 0xff && u[1] == 0xfe) {
            little = true;
            u += 2;
        } else if (u[0] == 0xfe && u[1] == 0xff) {
            little = false;
            u += 2;
        } else if (order == UTF16_MARKED && u[0] != 0 && u[1] == 0) {   /* Latin text without a mark */
            little = true;
        }
    }
    uint32_t high = 0;
    for (; stop - u >= 2; u += 2) {
        uint32_t unit = little ? (uint32_t)(u[1] << 8 | u[0]) : (uint32_t)(u[0] << 8 | u[1]);
        if (!put_unit(out, unit, &high)) {
            return;
        }
    }
}

/* RFC 2152: base64 of UTF-16 between '+' and the first byte that is none. */
static void from_utf7(struct utf8_out *out, const char *p, const char *end)
{
    while (p < end) {
        if (*p != '+' || end - p < 2 || (base64_value((unsigned char)p[1]) == BASE64_BAD && p[1] != '-')) {
            unsigned char c = (unsigned char)*p;
            if (!put(out, c < 0x80 ? c : charset_table[TABLE_1252][c & 0x7f])) {
                return;
            }
            p++;
            continue;
        }
        p++;
        if (*p == '-') {
            if (!put(out, '+')) {
                return;
            }
            p++;
            continue;
        }
        uint32_t bits = 0, high = 0;
        unsigned have = 0;
        for (; p < end && base64_value((unsigned char)*p) != BASE64_BAD; p++) {
            bits = bits << 6 | base64_value((unsigned char)*p);
            have += 6;
            if (have >= 16) {
                have -= 16;
                if (!put_unit(out, bits >> have & 0xffff, &high)) {
                    return;
                }
            }
        }
        if (p < end && *p == '-') {
            p++;
        }
    }
}

static void from_pairs(struct utf8_out *out, const char *p, const char *end, bool shift_jis)
{
    while (put_ascii_run(out, &p, end) && p < end) {
        unsigned lead = (unsigned char)*p++;
        unsigned trail = p < end ? (unsigned char)*p : 0;
        bool single = lead == 0x80 || lead == 0xff || trail < 0x40
                      || (shift_jis && lead >= 0xa0 && lead < 0xe0);
        if (!single) {
            p++;
        }
        if (!put(out, CHARSET_OPAQUE + (single ? lead : lead << 8 | trail))) {
            return;
        }
    }
}

static void from_iso2022(struct utf8_out *out, const char *p, const char *end)
{
    bool pairs = false;
    while (p < end) {
        unsigned c = (unsigned char)*p++;
        if (c == 0x1b && end - p >= 2) {        /* ESC $ B, ESC $ ) C; ESC ( B */
            pairs = *p == '$' && p[1] != ')' && p[1] != '*';
            size_t n = *p == '$' && end - p >= 3 && p[1] >= '(' && p[1] <= '/' ? 3 : 2;
            p += n;
            continue;
        }
        if (c == 0x0e || c == 0x0f) {
            pairs = c == 0x0e;
            continue;
        }
        if (c == '\n') {
            pairs = false;
        }
        if (pairs && c > 0x20 && p < end && (unsigned char)*p > 0x20) {
            c = CHARSET_OPAQUE + ((c | 0x80) << 8 | (unsigned char)*p | 0x80);
            p++;
        } else if (c >= 0x80) {
            c = charset_table[TABLE_1252][c & 0x7f];
        }
        if (!put(out, c)) {
            return;
        }
    }
}

size_t charset_decode(char *to, size_t size, struct qs_span in, struct charset charset)
{
    if (in.len == 0) {
        return 0;
    }
    struct utf8_out out = { to, to + size };
    const char *p = in.ptr, *end = p + in.len;
    switch (charset.kind) {
    case CHARSET_UTF8:
        from_utf8(&out, p, end);
        break;
    case CHARSET_TABLE:
        from_table(&out, p, end, charset_table[charset.table]);
        break;
    case CHARSET_UTF16:
        from_utf16(&out, p, end, charset.table);
        break;
    case CHARSET_UTF7:
        from_utf7(&out, p, end);
        break;
    case CHARSET_PAIRS:
        from_pairs(&out, p, end, charset.table == 1);
        break;
    case CHARSET_ISO2022:
        from_iso2022(&out, p, end);
        break;
    }
    return (size_t)(out.to - to);
}

/* --- RFC 2047 --- */

/* Raw bytes of encoded words that belong together: a character may be split between two words. */
struct words {
    char raw[2048];
    size_t len;
    struct qs_span charset;
};

static bool same_name(struct qs_span a, struct qs_span b)
{
    size_t i = 0;
    while (i < a.len && i < b.len && byte_lower(a.ptr[i]) == byte_lower(b.ptr[i])) {
        i++;
    }
    return i == a.len && i == b.len;
}

static char *flush_words(struct words *w, char *to, char *limit)
{
    to += charset_decode(to, (size_t)(limit - to), (struct qs_span){ w->raw, w->len },
                         charset_find(w->charset));
    w->len = 0;
    return to;
}

static size_t q_decode(char *to, size_t size, struct qs_span in)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len && n < size; i++) {
        char c = in.ptr[i];
        if (c == '_') {
            c = ' ';
        } else if (c == '=' && in.len - i >= 3 && byte_hex(in.ptr[i + 1]) < 16
                   && byte_hex(in.ptr[i + 2]) < 16) {
            c = (char)(byte_hex(in.ptr[i + 1]) << 4 | byte_hex(in.ptr[i + 2]));
            i += 2;
        }
        to[n++] = c;
    }
    return n;
}

/* The encoded word at p ("=?"): its charset, whether base64, its text; returns what follows it, or NULL.
 * Before *clear there is no "?=" that a word could end in, which keeps a flood of openings linear. */
static const char *encoded_word(const char *p, const char *end, const char **clear, struct qs_span *charset,
                                bool *base64, struct qs_span *text)
{
    const char *name = p + 2, *q = name;
    while (q < end && q - name < 64 && *q != '?' && *q != '*' && !byte_is_blank(*q)) {
        q++;
    }
    *charset = (struct qs_span){ name, (size_t)(q - name) };
    while (q < end && q - name < 64 && *q != '?' && !byte_is_blank(*q)) {   /* RFC 2231 language */
        q++;
    }
    if (end - q < 5 || *q != '?' || q[2] != '?' || q == name) {
        return NULL;
    }
    char kind = byte_lower(q[1]);
    if (kind != 'b' && kind != 'q') {
        return NULL;
    }
    *base64 = kind == 'b';
    q += 3;
    const char *stop = byte_find_pair(q > *clear ? q : *clear, end, '?', '=');
    if (stop == end) {
        *clear = end;
        return NULL;
    }
    *clear = stop;
    *text = (struct qs_span){ q, (size_t)(stop - q) };
    return stop + 2;
}

size_t header_decode(char *to, size_t size, struct qs_span raw)
{
    raw = qs_span_trim(raw);
    char *start = to, *limit = to + size;
    const char *p = raw.ptr, *end = p == NULL ? p : p + raw.len, *clear = p;
    struct words words;
    words.len = 0;
    words.charset = (struct qs_span){ NULL, 0 };
    while (p < end && to < limit) {
        if (*p == '=' && end - p >= 2 && p[1] == '?') {
            struct qs_span charset, text;
            bool base64, odd = false;
            const char *next = encoded_word(p, end, &clear, &charset, &base64, &text);
            if (next != NULL) {
                if (words.len > 0
                    && (sizeof(words.raw) - words.len < text.len || !same_name(charset, words.charset))) {
                    to = flush_words(&words, to, limit);
                }
                words.charset = charset;
                char *at = words.raw + words.len;
                size_t room = sizeof(words.raw) - words.len;
                words.len += base64 ? base64_decode(at, room, text, &odd) : q_decode(at, room, text);
                p = next;
                const char *q = p;
                while (q < end && byte_is_blank(*q)) {
                    q++;
                }
                if (end - q < 2 || q[0] != '=' || q[1] != '?') { /* blanks between two words do not count */
                    to = flush_words(&words, to, limit);
                } else {
                    p = q;
                }
                continue;
            }
        }
        if (words.len > 0) {
            to = flush_words(&words, to, limit);
            if (to == limit) {
                break;
            }
        }
        if (byte_is_blank(*p)) {    /* folding becomes one blank, as do other runs */
            while (p < end && byte_is_blank(*p)) {
                p++;
            }
            *to++ = ' ';
            continue;
        }
        const char *q = p + 1;
        while (q < end && !byte_is_blank(*q) && *q != '=') {
            q++;
        }
        to += charset_decode(to, (size_t)(limit - to), (struct qs_span){ p, (size_t)(q - p) },
                             (struct charset){ CHARSET_UTF8, 0 });
        p = q;
    }
    if (words.len > 0 && to < limit) {
        to = flush_words(&words, to, limit);
    }
    return (size_t)(to - start);
}

bool qs_mail_decode_header(struct qs_buffer *out, struct qs_span raw)
{
    raw.len = raw.len < QS_CAP_HEADER ? raw.len : QS_CAP_HEADER;
    if (!qs_buffer_reserve(out, raw.len * CHARSET_GROWTH + 1)) {
        return false;
    }
    out->len += header_decode(out->data + out->len, raw.len * CHARSET_GROWTH, raw);
    return true;
}
