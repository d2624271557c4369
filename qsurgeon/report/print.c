/* SPDX-License-Identifier: Apache-2.0 */
/* Safe text, numbers, colour, CSV cells: see print.h. */
#include "print.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

static const char *const ink_code[] = {
    [QS_INK_PLAIN] = "", [QS_INK_BOLD] = "1", [QS_INK_DIM] = "2", [QS_INK_RED] = "31",
    [QS_INK_YELLOW] = "33", [QS_INK_GREEN] = "32", [QS_INK_CYAN] = "36",
};

void qs_ink_on(FILE *out, const struct qs_style *style, enum qs_ink ink)
{
    if (style->colour && ink != QS_INK_PLAIN)
        fprintf(out, "\033[%sm", ink_code[ink]);
}

void qs_ink_off(FILE *out, const struct qs_style *style, enum qs_ink ink)
{
    if (style->colour && ink != QS_INK_PLAIN)
        fputs("\033[0m", out);
}

enum qs_ink qs_ink_of(enum qs_verdict verdict)
{
    switch (verdict) {
    case QS_STORM:
        return QS_INK_RED;
    case QS_BACKSCATTER:
        return QS_INK_YELLOW;
    case QS_LEGIT:
        return QS_INK_GREEN;
    case QS_UNSURE:
        return QS_INK_CYAN;
    }
    return QS_INK_PLAIN;
}

/* Valid UTF-8 to ASCII, the rest as \u{...}. */
static size_t to_ascii(char *to, size_t size, const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + len;
    size_t n = 0;
    while (p < end) {
        uint32_t c = 0;
        char piece[16];
        unsigned taken = qs_utf8_decode(p, end, &c);
        int wide = snprintf(piece, sizeof piece, c < 0x80 ? "%c" : "\\u{%04x}", (unsigned)c);
        if (!taken || wide < 0 || (size_t)wide >= size - n)
            break;
        memcpy(to + n, piece, (size_t)wide);
        n += (size_t)wide;
        p += taken;
    }
    to[n] = '\0';
    return n;
}

size_t qs_safe(char *to, size_t size, struct qs_span text, const struct qs_style *style)
{
    if (style->utf8)
        return qs_text_safe(to, size, text);
    char utf8[QS_CELL];
    size_t len = qs_text_safe(utf8, sizeof utf8, text);
    return to_ascii(to, size, utf8, len);
}

enum { PIECE = (QS_CELL - 1) / 4 };  /* bytes that surely fit in QS_CELL when all are escaped */

void qs_print_safe(FILE *out, struct qs_span text, const struct qs_style *style)
{
    while (text.len > 0) {
        char safe[QS_CELL];
        size_t n = text.len < PIECE ? text.len : PIECE;
        /* not through the middle of a character */
        for (size_t back = 0; n < text.len && back < 3 && ((unsigned char)text.ptr[n] & 0xC0) == 0x80; back++)
            n--;
        fwrite(safe, 1, qs_safe(safe, sizeof safe, (struct qs_span){text.ptr, n}, style), out);
        text = (struct qs_span){text.ptr + n, text.len - n};
    }
}

/* A tab is a blank here: it moves the cursor and nothing else, but does not have to. */
static void print_line(FILE *out, struct qs_span line, const struct qs_style *style)
{
    while (line.len > 0) {
        const char *tab = memchr(line.ptr, '\t', line.len);
        size_t n = tab ? (size_t)(tab - line.ptr) : line.len;
        qs_print_safe(out, (struct qs_span){line.ptr, n}, style);
        if (tab) {
            fputc(' ', out);
            n++;
        }
        line = (struct qs_span){line.ptr + n, line.len - n};
    }
}

void qs_print_lines(FILE *out, struct qs_span text, unsigned indent, size_t limit,
                    const struct qs_style *style)
{
    for (size_t lines = 0; text.len > 0 && lines < limit && !ferror(out); lines++) {
        const char *newline = memchr(text.ptr, '\n', text.len);
        size_t n = newline ? (size_t)(newline - text.ptr) : text.len;
        struct qs_span line = {text.ptr, n > 0 && text.ptr[n - 1] == '\r' ? n - 1 : n};
        if (line.len > 0)
            fprintf(out, "%*s", (int)indent, "");
        print_line(out, line, style);
        fputc('\n', out);
        n += newline != NULL;
        text = (struct qs_span){text.ptr + n, text.len - n};
    }
}

void qs_print_wrapped(FILE *out, const char *words, unsigned at, unsigned indent,
                      const struct qs_style *style)
{
    size_t column = at;
    while (*words) {
        size_t blanks = strspn(words, " "), n = strcspn(words + blanks, " ");
        size_t wide = qs_text_columns((struct qs_span){words + blanks, n});
        if (blanks && column > indent && style->columns && column + blanks + wide > style->columns) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
            words += blanks;
            blanks = 0;
        }
        fwrite(words, 1, blanks + n, out);
        column += blanks + wide;
        words += blanks + n;
    }
    fputc('\n', out);
}

void qs_cut(char to[QS_CELL], size_t columns, const struct qs_style *style)
{
    struct qs_span all = qs_span_of(to);
    if (qs_text_columns(all) <= columns)
        return;
    const char *mark = style->utf8 ? "…" : "..";
    size_t wide = style->utf8 ? 1 : 2;
    size_t keep = qs_text_fit(all, columns > wide ? columns - wide : 0);
    if (strlen(mark) < QS_CELL - keep)
        memcpy(to + keep, mark, strlen(mark) + 1);
    else
        to[keep] = '\0';
}

char *qs_number(char to[32], uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    char *p = to;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *p++ = ',';
        *p++ = digits[i];
    }
    *p = '\0';
    return to;
}

char *qs_plural(char to[64], uint64_t n, const char *one, const char *many)
{
    char number[32];
    snprintf(to, 64, "%s %s", qs_number(number, n), n == 1 ? one : many);
    return to;
}

char *qs_share(char to[8], uint64_t part, uint64_t whole)
{
    double percent = whole ? 100.0 * (double)part / (double)whole : 0.0;
    if (part > 0 && percent < 1.0)
        snprintf(to, 8, "<1%%");
    else if (part < whole && percent > 99.0)
        snprintf(to, 8, ">99%%");
    else
        snprintf(to, 8, "%.0f%%", percent);
    return to;
}

char *qs_time(char to[32], int64_t when)
{
    struct tm parts;
    time_t t = (time_t)when;
    if (when <= 0 || !gmtime_r(&t, &parts) || strftime(to, 32, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0)
        snprintf(to, 32, "-");
    return to;
}

const char *qs_state_name(enum qs_recipient_state state)
{
    switch (state) {
    case QS_RCPT_TODO:
        return "todo";
    case QS_RCPT_DONE:
        return "done";
    case QS_RCPT_CANCELLED:
        return "cancelled";
    }
    return "todo";
}

struct qs_span qs_address(struct qs_span address)
{
    return address.len ? address : QS_SPAN("<>");
}

void qs_csv_cell(FILE *out, struct qs_span text, bool first)
{
    static const struct qs_style plain = {.utf8 = true};
    if (!first)
        fputc(',', out);
    fputc('"', out);
    if (text.len && strchr("=+-@\t\r", text.ptr[0]) && text.ptr[0])
        fputc('\'', out);
    while (text.len > 0) {
        const char *quote = memchr(text.ptr, '"', text.len);
        size_t n = quote ? (size_t)(quote - text.ptr) : text.len;
        qs_print_safe(out, (struct qs_span){text.ptr, n}, &plain);
        if (quote) {
            fputs("\"\"", out);
            n++;
        }
        text = (struct qs_span){text.ptr + n, text.len - n};
    }
    fputc('"', out);
}

enum qs_status qs_written(FILE *out, struct qs_error *err)
{
    return ferror(out) ? qs_fail(err, QS_IO, "the output cannot be written") : QS_OK;
}
