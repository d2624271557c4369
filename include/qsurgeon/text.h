/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to safe text, text to checked numbers. The only place where either is done. */
#ifndef QSURGEON_TEXT_H
#define QSURGEON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of somebody else's bytes: not owned, not terminated, may hold any byte. {NULL, 0} is empty. */
struct qs_span {
    const char *ptr;
    size_t len;
};

#define QS_SPAN(literal) ((struct qs_span){(literal), sizeof(literal) - 1})
struct qs_span qs_span_of(const char *string);      /* NULL gives the empty span */
bool qs_span_is(struct qs_span span, const char *string);
bool qs_span_is_nocase(struct qs_span span, const char *string);            /* ASCII only */
bool qs_span_starts(struct qs_span span, const char *prefix);
bool qs_span_starts_nocase(struct qs_span span, const char *prefix);
struct qs_span qs_span_trim(struct qs_span span);   /* blanks, tabs, CR and LF at both ends */

/* Takes what stands before the first byte `end`, and that byte, from *rest; false, and nothing is taken: there is none. */
bool qs_span_cut(struct qs_span *rest, char end, struct qs_span *part);
/* Takes the next line without its newline, which the last one need not have; false: nothing is left. */
bool qs_span_line(struct qs_span *rest, struct qs_span *line);
/* Takes the next item of a list separated by commas and white space; {...} stays together. False: nothing is left. */
bool qs_span_item(struct qs_span *rest, struct qs_span *item);

/* Number parsers: the whole span must be one number in range, else false and *out is untouched. */
bool qs_parse_u64(struct qs_span span, uint64_t *out);                      /* decimal digits only */
bool qs_parse_i64(struct qs_span span, int64_t *out);                       /* optional '-' */
bool qs_parse_u64_base(struct qs_span span, unsigned base, uint64_t *out);  /* 2..36, either case */
bool qs_parse_double(struct qs_span span, double *out);                     /* digits[.digits], optional '-' */
bool qs_parse_duration(struct qs_span span, int64_t *seconds);              /* 90, 90s, 15m, 6h, 2d, 1w, 1h30m */
bool qs_parse_size(struct qs_span span, uint64_t *bytes);                   /* 500, 10k, 2M, 1G: powers of 1024 */

/* Decodes one UTF-8 character of [p, end) into *out and returns its length in bytes, 1 to 4.
 * Overlong forms, surrogates, values above 10FFFF and cut-off sequences give 0 (the caller takes one byte). */
unsigned qs_utf8_decode(const unsigned char *p, const unsigned char *end, uint32_t *out);
/* Writes c (at most 10FFFF) as UTF-8 into to[4] and returns 1 to 4. */
unsigned qs_utf8_encode(uint32_t c, char to[4]);

/* True for characters that change how a terminal shows its neighbours or that cannot be seen: C0, DEL, C1, bidi
 * controls, zero-width and tag characters, separators U+2028/2029, interlinear annotation, private use, noncharacters. */
bool qs_char_unsafe(uint32_t c);

/* Copies `in` for human eyes into to[size], always NUL-terminated: valid UTF-8 only, unsafe characters and invalid
 * bytes as "\xNN" or "\u{NNNN}", the backslash itself doubled only where `in` needed an escape. Stops before `size`
 * is exceeded, at a character's edge. Returns the bytes written without the NUL. */
size_t qs_text_safe(char *to, size_t size, struct qs_span in);

/* Columns that the already safe UTF-8 text takes on a terminal (wide East Asian 2, combining 0). */
size_t qs_text_columns(struct qs_span safe);
/* The longest prefix of the safe text that takes at most `columns`; returns its bytes. */
size_t qs_text_fit(struct qs_span safe, size_t columns);

/* "1.2k", "345", "12M" style with at most 5 characters; ages "45s", "12m", "3h", "2d". Return `to`. */
char *qs_text_count(char to[8], uint64_t n);
char *qs_text_bytes(char to[8], uint64_t n);
char *qs_text_age(char to[8], int64_t seconds);

#endif
