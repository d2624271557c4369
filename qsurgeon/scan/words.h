/* SPDX-License-Identifier: Apache-2.0 */
/* The normalised words of a text as digests, for the fingerprint. Private to scan/. */
#ifndef QSURGEON_SCAN_WORDS_H
#define QSURGEON_SCAN_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "qsurgeon/text.h"

enum { QS_WORD_LETTERS = 30 };      /* longer words are dropped */

/* The XXH3 digests of the words of `text` in order; at most text.len of them are written, and `start`
 * takes as many working numbers. Returns how many. text.len fits 32 bits. */
size_t words_hash(struct qs_span text, uint64_t *hash, uint32_t *start);

/* The normalised words of a short text, each followed by a blank; returns the bytes written. Text behind
 * WORDS_LINE bytes is not looked at. */
enum { WORDS_LINE = 256 };
size_t words_line(char to[2 * WORDS_LINE], struct qs_span text);

/* What a reader does not see in non-ASCII text: enum qs_trait bits QS_T_ZERO_WIDTH and QS_T_HOMOGLYPH. */
uint32_t words_tricks(struct qs_span text);

/* The part of a host name that its owner registers: its last two labels, three where the second is as
 * short as in co.uk; a host that is an address in brackets or digits stays whole. */
struct qs_span words_host_owner(struct qs_span host);

#endif
