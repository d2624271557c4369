/* SPDX-License-Identifier: Apache-2.0 */
/* A line of raw mail as tokens: what patterns are made of, and how tokens become the text of a pattern. Caseless.
 * Knows nothing of queues. Private to prevent/. */
#ifndef QSURGEON_PREVENT_TOKENS_H
#define QSURGEON_PREVENT_TOKENS_H

#include <stdint.h>

#include "lines.h"
#include "qsurgeon/reader.h"

enum qs_token_kind {
    QS_TOKEN_WORD,                  /* letters */
    QS_TOKEN_NUMBER,
    QS_TOKEN_MIXED,                 /* letters and digits */
    QS_TOKEN_SPACE,                 /* blanks, tabs and folding, at most QS_SPACE_MAX */
    QS_TOKEN_MARK,                  /* one other ASCII character, or =XX in quoted-printable */
    QS_TOKEN_CODED,                 /* quoted-printable: =XX of bytes from 80 on */
    QS_TOKEN_HIGH,                  /* bytes from 80 on */
    QS_TOKEN_BASE64,                /* four characters of a base64 line: three bytes of what it encodes */
    QS_TOKEN_BREAK,                 /* no pattern goes across it: control characters, very long runs, parts of dates */
};

enum { QS_TOKENS = 700, QS_SPACE_MAX = 8, QS_RUN_MAX = 60 };

struct qs_token {
    uint64_t hash;                  /* of the kind and the lowered text */
    uint32_t at;                    /* offset in the line */
    uint16_t len;
    uint8_t kind;                   /* enum qs_token_kind */
    bool fixed;                     /* the text itself belongs to patterns; otherwise its kind at most. Set by the caller;
                                       false for what changes with the day: years, times, long numbers */
};

/* Tokens of at most QS_TOKENS; a longer line gives its beginning. Header fields without name and colon. */
unsigned qs_tokens(const struct qs_line *line, struct qs_token to[QS_TOKENS]);

/* What a body line of base64 encodes, in `to`; false: it is none. */
enum { QS_DECODED = 750 };
bool qs_decode_line(const struct qs_line *line, char to[QS_DECODED], struct qs_line *decoded);

/* A run of letters and digits: may its text be part of a pattern, as a rule? */
bool qs_token_fixable(const struct qs_token *token);
/* CODED that never stands inside a word of Latin letters but to deceive: invisible characters, Greek and Cyrillic. */
bool qs_token_disguises(const struct qs_token *token, struct qs_span line);
/* WORD, NUMBER, MIXED, CODED or BASE64. */
bool qs_token_counts(const struct qs_token *token);

/* Lengths and characters met at a place that varies. */
struct qs_range {
    uint16_t least, most;
    bool letters, high_letters, digits; /* a to f; g to z */
};
void qs_range_add(struct qs_range *range, struct qs_span text);

/* The text of a pattern that means the same to PCRE and as a POSIX extended regular expression, without regard to case:
 * ASCII, no quantifier but a bounded one behind one character class. False: memory is out. */
bool qs_quote(struct qs_buffer *out, struct qs_span literal);
bool qs_quote_range(struct qs_buffer *out, const struct qs_range *range);
bool qs_quote_space(struct qs_buffer *out);
/* Any of the three texts of base64 that the phrase may stand in, whatever is before and behind it. */
enum { QS_PHRASE_LEAST = 16 };      /* bytes; as a run of base64 at least as many characters */
bool qs_quote_phrase(struct qs_buffer *out, struct qs_span phrase);
bool qs_may_hold_phrase(struct qs_span line);
bool qs_quote_high(struct qs_buffer *out, const struct qs_range *range);

#endif
