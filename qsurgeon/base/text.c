/* SPDX-License-Identifier: Apache-2.0 */
/* Spans, number parsers, UTF-8, escaping and short number formats. How wide a character is, and which ones
 * are unsafe to show, stands in width.c. Knows no locale. */
#include "qsurgeon/text.h"

#include <stdio.h>
#include <string.h>

struct qs_span qs_span_of(const char *string)
{
    return string == NULL ? (struct qs_span){NULL, 0} : (struct qs_span){string, strlen(string)};
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool qs_span_starts(struct qs_span span, const char *prefix)
{
    size_t len = strlen(prefix);
    return span.len >= len && (len == 0 || memcmp(span.ptr, prefix, len) == 0);
}

bool qs_span_starts_nocase(struct qs_span span, const char *prefix)
{
    size_t len = strlen(prefix);
    if (span.len < len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (lower(span.ptr[i]) != lower(prefix[i]))
            return false;
    return true;
}

bool qs_span_is(struct qs_span span, const char *string)
{
    return span.len == strlen(string) && qs_span_starts(span, string);
}

bool qs_span_cut(struct qs_span *rest, char end, struct qs_span *part)
{
    const char *at = rest->len ? memchr(rest->ptr, end, rest->len) : NULL;
    if (!at)
        return false;
    *part = (struct qs_span){rest->ptr, (size_t)(at - rest->ptr)};
    *rest = (struct qs_span){at + 1, rest->len - part->len - 1};
    return true;
}

bool qs_span_line(struct qs_span *rest, struct qs_span *line)
{
    if (!rest->len)
        return false;
    if (qs_span_cut(rest, '\n', line))
        return true;
    *line = *rest;
    *rest = (struct qs_span){rest->ptr + rest->len, 0};
    return true;
}

bool qs_span_is_nocase(struct qs_span span, const char *string)
{
    return span.len == strlen(string) && qs_span_starts_nocase(span, string);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool qs_span_item(struct qs_span *rest, struct qs_span *item)
{
    size_t from = 0, depth = 0;
    while (from < rest->len && (is_blank(rest->ptr[from]) || rest->ptr[from] == ','))
        from++;
    size_t to = from;
    for (; to < rest->len && (depth > 0 || (!is_blank(rest->ptr[to]) && rest->ptr[to] != ',')); to++) {
        depth += rest->ptr[to] == '{';
        depth -= rest->ptr[to] == '}' && depth > 0;
    }
    *item = (struct qs_span){rest->ptr + from, to - from};
    *rest = (struct qs_span){rest->ptr + to, rest->len - to};
    return item->len > 0;
}

struct qs_span qs_span_trim(struct qs_span span)
{
    while (span.len > 0 && is_blank(span.ptr[span.len - 1]))
        span.len--;
    while (span.len > 0 && is_blank(*span.ptr)) {
        span.ptr++;
        span.len--;
    }
    return span;
}

/* The value of a digit in any base, or 99. */
static unsigned digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    unsigned char small = lower(c);
    if (small >= 'a' && small <= 'z')
        return (unsigned)(small - 'a') + 10;
    return 99;
}

bool qs_parse_u64_base(struct qs_span span, unsigned base, uint64_t *out)
{
    uint64_t n = 0;
    if (span.len == 0 || base < 2 || base > 36)
        return false;
    for (size_t i = 0; i < span.len; i++) {
        unsigned digit = digit_value(span.ptr[i]);
        if (digit >= base || n > (UINT64_MAX - digit) / base)
            return false;
        n = n * base + digit;
    }
    *out = n;
    return true;
}

bool qs_parse_u64(struct qs_span span, uint64_t *out)
{
    return qs_parse_u64_base(span, 10, out);
}

bool qs_parse_i64(struct qs_span span, int64_t *out)
{
    uint64_t n;
    bool negative = qs_span_starts(span, "-");
    if (negative) {
        span.ptr++;
        span.len--;
    }
    if (!qs_parse_u64(span, &n) || n > (uint64_t)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}

/* Digits of the fraction beyond what 64 bits hold change nothing that a double can show and are only
 * checked. */
bool qs_parse_double(struct qs_span span, double *out)
{
    bool negative = qs_span_starts(span, "-"), point = false;
    size_t i = negative, before = 0, after = 0;
    uint64_t digits = 0;
    double scale = 1;
    for (; i < span.len; i++) {
        if (span.ptr[i] == '.' && !point && before > 0) {
            point = true;
            continue;
        }
        unsigned digit = digit_value(span.ptr[i]);
        if (digit > 9)
            return false;
        bool fits = digits <= (UINT64_MAX - digit) / 10;
        if (!point && !fits)
            return false;
        *(point ? &after : &before) += 1;
        if (fits && after <= 19) {
            digits = digits * 10 + digit;
            if (point)
                scale *= 10;
        }
    }
    if (before == 0 || (point && after == 0))
        return false;
    *out = (negative ? -1 : 1) * ((double)digits / scale);
    return true;
}

/* Units in descending order, each at most once; a bare number stands alone and means seconds. */
bool qs_parse_duration(struct qs_span span, int64_t *seconds)
{
    static const struct {
        char letter;
        int64_t seconds;
    } units[] = {{'w', 604800}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    enum { UNITS = sizeof units / sizeof *units };
    int64_t total = 0;
    size_t at = 0, unit = 0;

    if (qs_parse_i64(span, &total)) {
        if (total < 0)
            return false;
        *seconds = total;
        return true;
    }
    while (at < span.len) {
        size_t start = at;
        uint64_t n;
        while (at < span.len && digit_value(span.ptr[at]) <= 9)
            at++;
        if (at == span.len || !qs_parse_u64((struct qs_span){span.ptr + start, at - start}, &n))
            return false;
        while (unit < UNITS && units[unit].letter != span.ptr[at])
            unit++;
        if (unit == UNITS || n > (uint64_t)((INT64_MAX - total) / units[unit].seconds))
            return false;
        total += (int64_t)n * units[unit].seconds;
        unit++;
        at++;
    }
    if (at == 0)
        return false;
    *seconds = total;
    return true;
}

bool qs_parse_size(struct qs_span span, uint64_t *bytes)
{
    uint64_t n;
    unsigned shift = 0;
    if (span.len > 0) {
        switch (lower(span.ptr[span.len - 1])) {
        case 'k':
            shift = 10;
            break;
        case 'm':
            shift = 20;
            break;
        case 'g':
            shift = 30;
            break;
        }
    }
    if (shift != 0)
        span.len--;
    if (!qs_parse_u64(span, &n) || n > UINT64_MAX >> shift)
        return false;
    *bytes = n << shift;
    return true;
}

unsigned qs_utf8_decode(const unsigned char *p, const unsigned char *end, uint32_t *out)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned len;
    uint32_t c;
    if (p >= end)
        return 0;
    if (*p < 0x80) {
        *out = *p;
        return 1;
    }
    if (*p >= 0xC2 && *p <= 0xDF)
        len = 2;
    else if (*p >= 0xE0 && *p <= 0xEF)
        len = 3;
    else if (*p >= 0xF0 && *p <= 0xF4)
        len = 4;
    else
        return 0;
    if ((size_t)(end - p) < len)
        return 0;
    c = *p & (0x7Fu >> len);
    for (unsigned i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3F);
    }
    if (c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return 0;
    *out = c;
    return len;
}

unsigned qs_utf8_encode(uint32_t c, char to[4])
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    unsigned len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (unsigned i = len - 1; i > 0; i--) {
        to[i] = (char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    to[0] = (char)((0xF00u >> len & 0xFF) | c);
    return len;
}

/* The next character of [p, end): its bytes, and whether it may be shown as it is. */
static unsigned next_char(const unsigned char *p, const unsigned char *end, uint32_t *c, bool *valid,
                          bool *shown)
{
    unsigned len = qs_utf8_decode(p, end, c);
    *valid = len > 0;
    *shown = *valid && !qs_char_unsafe(*c);
    return *valid ? len : 1;
}

size_t qs_text_safe(char *to, size_t size, struct qs_span in)
{
    const unsigned char *p = (const unsigned char *)(in.len > 0 ? in.ptr : ""), *end = p + in.len;
    bool escape = false, valid, shown;
    uint32_t c = 0;
    size_t len = 0;

    if (size == 0)
        return 0;
    for (const unsigned char *q = p; q < end && !escape;) {
        q += next_char(q, end, &c, &valid, &shown);
        escape = !shown;
    }
    while (p < end) {
        char piece[16];
        unsigned taken = next_char(p, end, &c, &valid, &shown);
        size_t n = taken;
        if (!valid || (!shown && c < 0x80))
            n = (size_t)snprintf(piece, sizeof piece, "\\x%02x", *p);
        else if (!shown)
            n = (size_t)snprintf(piece, sizeof piece, "\\u{%04x}", (unsigned)c);
        else if (escape && c == '\\')
            n = (size_t)snprintf(piece, sizeof piece, "\\\\");
        else
            memcpy(piece, p, n);
        if (n >= size - len)
            break;
        memcpy(to + len, piece, n);
        len += n;
        p += taken;
    }
    to[len] = '\0';
    return len;
}

/* n in units of `step`, rounded to the nearest: one decimal below ten, none above. */
static char *format_units(char to[8], uint64_t n, unsigned step)
{
    static const char names[] = "kMGTPE";
    size_t unit = 0;
    double value = (double)n;
    if (n < 1000 || n < step) {
        (void)snprintf(to, 8, "%u", (unsigned)n);
        return to;
    }
    value /= step;
    while (value >= 999.5 && names[unit + 1] != '\0') {
        value /= step;
        unit++;
    }
    if (value < 9.95)
        (void)snprintf(to, 8, "%.1f%c", value, names[unit]);
    else
        (void)snprintf(to, 8, "%.0f%c", value, names[unit]);
    return to;
}

char *qs_text_count(char to[8], uint64_t n)
{
    return format_units(to, n, 1000);
}

char *qs_text_bytes(char to[8], uint64_t n)
{
    return format_units(to, n, 1024);
}

/* Full units only; a negative age (a clock that was wrong) keeps its sign. */
char *qs_text_age(char to[8], int64_t seconds)
{
    static const struct {
        uint64_t seconds, below;
        char letter;
    } units[] = {{1, 60, 's'}, {60, 3600, 'm'}, {3600, 86400, 'h'}, {86400, 86400 * 1000, 'd'},
                 {31557600, UINT64_MAX, 'y'}};
    uint64_t age = seconds < 0 ? 0 - (uint64_t)seconds : (uint64_t)seconds;
    size_t unit = 0;
    while (age >= units[unit].below)
        unit++;
    uint64_t n = age / units[unit].seconds;
    (void)snprintf(to, 8, "%s%u%c", seconds < 0 ? "-" : "", (unsigned)(n < 999 ? n : 999),
                   units[unit].letter);
    return to;
}
