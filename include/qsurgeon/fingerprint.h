/* SPDX-License-Identifier: Apache-2.0 */
/* Small digests of a message's text that stay equal, or nearly so, when a spammer changes noise.
 *
 * Normalising: visible text as UTF-8 is cut into words of letters and digits; letters are lowered, look-alikes of other
 * scripts and accents folded to Latin (Unicode TR 39 idea), invisible characters dropped, each run of digits becomes one
 * '0', links become the word of their host's owner (as in qs_host_hash), addresses become one word, "@". In scripts written
 * without blanks each character is a word. Words longer than 30 letters are taken for random tokens and dropped.
 *
 * Sketch: the set of 3-word shingles goes into a one-permutation MinHash with 64 bins (Li, Owen, Zhang 2012), empty bins
 * filled by optimal densification (Shrivastava 2017), each bin kept as 8 bits (b-bit minwise hashing, Li and Koenig 2010).
 * XXH3 without a seed: the same text gives the same sketch on every host and version; a golden-vector test guards it. */
#ifndef QSURGEON_FINGERPRINT_H
#define QSURGEON_FINGERPRINT_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/mail.h"
#include "qsurgeon/text.h"

enum { QS_SKETCH_BINS = 64 };

struct qs_sketch {
    uint8_t bin[QS_SKETCH_BINS];
};

struct qs_fingerprint {
    struct qs_sketch sketch;    /* all zero when shingles is 0 */
    uint64_t body_hash;         /* of all normalised words in order; 0: no text */
    uint16_t shingles;          /* distinct-ish shingles seen, saturating; few shingles make similarity weak */
    uint16_t words;             /* normalised words, saturating */
};

struct qs_fingerprinter;        /* the buffers of one thread */
struct qs_fingerprinter *qs_fingerprinter_new(TALLOC_CTX *parent);

/* The fingerprint of visible text (struct qs_mail.text). A text of one or two words gives one shingle of what is there. */
void qs_fingerprint_text(struct qs_fingerprinter *f, struct qs_span text, struct qs_fingerprint *out);

/* Normalised words of `text`, blank-separated, for tests, --explain and rule mining; appended to out. */
bool qs_normalise(struct qs_buffer *out, struct qs_span text);

/* Estimated Jaccard similarity of the shingle sets, 0 to 1, corrected for chance agreement of 8-bit bins. */
double qs_sketch_similarity(const struct qs_sketch *a, const struct qs_sketch *b);
/* Bins that agree, 0 to 64: the same without floating point, for the hot path. */
unsigned qs_sketch_matches(const struct qs_sketch *a, const struct qs_sketch *b);

/* A digest of a host's organisation: its last two labels, three where the second is as short as in co.uk. */
uint32_t qs_host_hash(struct qs_span host);

#endif
