/* SPDX-License-Identifier: Apache-2.0 */
/* Word digests to sketch, and sketches compared. No text is read here: normalise.c does that. */
#include "qsurgeon/fingerprint.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bytes.h"
#include "words.h"

/* Constants of the sketch: odd numbers without a meaning (fractional digits of pi and e). Part of the
 * golden vectors. */
#define MIX_A UINT64_C(0x243f6a8885a308d3)
#define MIX_B UINT64_C(0xb7e151628aed2a6b)

static inline uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

/* The digest of three words in their order. */
static inline uint64_t shingle(uint64_t a, uint64_t b, uint64_t c)
{
    return XXH3_mul128_fold64(a + rotate(b, 24) + MIX_A, c ^ rotate(b, 40) ^ MIX_B);
}

struct qs_fingerprinter {
    uint8_t rank[QS_SKETCH_BINS][QS_SKETCH_BINS];   /* in which order an empty bin asks the others */
    uint64_t hash[QS_CAP_TEXT];
    uint32_t start[QS_CAP_TEXT];
};

/* Each row of rank[] is a permutation of its own, made by shuffling with a fixed generator (Knuth's MMIX). */
struct qs_fingerprinter *qs_fingerprinter_new(TALLOC_CTX *parent)
{
    struct qs_fingerprinter *f = talloc(parent, struct qs_fingerprinter);
    if (f == NULL) {
        return NULL;
    }
    uint64_t state = MIX_A;
    for (unsigned i = 0; i < QS_SKETCH_BINS; i++) {
        for (unsigned j = 0; j < QS_SKETCH_BINS; j++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            unsigned k = (unsigned)((state >> 32) * (j + 1) >> 32);
            f->rank[i][j] = f->rank[i][k];
            f->rank[i][k] = (uint8_t)j;
        }
    }
    return f;
}

/* The filled bin that comes first in an empty bin's order. */
static unsigned first_filled(const uint8_t rank[QS_SKETCH_BINS], const uint8_t empty[QS_SKETCH_BINS])
{
#ifdef __SSE2__
    __m128i asked[4], least;
    for (unsigned i = 0; i < 4; i++) {
        asked[i] = _mm_or_si128(_mm_loadu_si128((const __m128i *)(const void *)(rank + 16 * i)),
                                _mm_loadu_si128((const __m128i *)(const void *)(empty + 16 * i)));
    }
    least = _mm_min_epu8(_mm_min_epu8(asked[0], asked[1]), _mm_min_epu8(asked[2], asked[3]));
    least = _mm_min_epu8(least, _mm_srli_si128(least, 8));
    least = _mm_min_epu8(least, _mm_srli_si128(least, 4));
    least = _mm_min_epu8(least, _mm_srli_si128(least, 2));
    least = _mm_min_epu8(least, _mm_srli_si128(least, 1));
    least = _mm_set1_epi8((char)_mm_cvtsi128_si32(least));
    uint64_t hit = 0;
    for (unsigned i = 0; i < 4; i++) {
        hit |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(asked[i], least)) << (16 * i);
    }
    return (unsigned)__builtin_ctzll(hit);
#else
    unsigned best = 0;
    for (unsigned j = 1; j < QS_SKETCH_BINS; j++) {
        best = (rank[j] | empty[j]) < (rank[best] | empty[best]) ? j : best;
    }
    return best;
#endif
}

/* Fills empty bins from bins that hold something. Each bin asks the others in an order of its own (optimal
 * densification), the same in every sketch. */
static void densify(const struct qs_fingerprinter *f, uint64_t *least, uint64_t filled)
{
    uint8_t empty[QS_SKETCH_BINS];
    for (unsigned i = 0; i < QS_SKETCH_BINS; i++) {
        empty[i] = (filled >> i & 1) != 0 ? 0 : 0xff;
    }
    for (uint64_t left = ~filled; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        least[i] = least[first_filled(f->rank[i], empty)];
    }
}

/* Distinct values behind that many filled bins of 64 (linear counting, Whang 1990): -64 ln(1 - n / 64). */
static unsigned distinct(unsigned bins, unsigned most)
{
    static const uint16_t count[QS_SKETCH_BINS] = {
        0,  1,  2,  3,  4,  5,  6,  7,   9,   10,  11,  12,  13,  15,  16,  17,  18,  20,  21,  23,  24, 25,
        27, 29, 30, 32, 33, 35, 37, 39,  40,  42,  44,  46,  48,  51,  53,  55,  58,  60,  63,  66,  68, 71,
        74, 78, 81, 85, 89, 93, 97, 102, 107, 113, 119, 125, 133, 142, 152, 163, 177, 196, 222, 266,
    };
    unsigned n = bins == QS_SKETCH_BINS ? most : count[bins];
    return n < most ? n : most;
}

void qs_fingerprint_text(struct qs_fingerprinter *f, struct qs_span text, struct qs_fingerprint *out)
{
    text.len = text.len < QS_CAP_TEXT ? text.len : QS_CAP_TEXT;
    const uint64_t *hash = f->hash;
    size_t words = words_hash(text, f->hash, f->start);
    memset(out, 0, sizeof(*out));
    if (words == 0) {
        return;
    }
    uint64_t least[QS_SKETCH_BINS];
    memset(least, 0xff, sizeof(least));
    size_t shingles = words < 3 ? 1 : words - 2;
    if (words < 3) {
        uint64_t h = shingle(hash[0], words > 1 ? hash[1] : 0, 0);
        least[h >> 58] = h << 6;
    }
    for (size_t i = 0; i + 3 <= words; i++) {
        uint64_t h = shingle(hash[i], hash[i + 1], hash[i + 2]);
        uint64_t value = h << 6, *bin = &least[h >> 58];
        *bin = value < *bin ? value : *bin;
    }
    uint64_t filled = 0;
    for (unsigned i = 0; i < QS_SKETCH_BINS; i++) {
        filled |= (uint64_t)(least[i] != UINT64_MAX) << i;
    }
    unsigned bins = (unsigned)__builtin_popcountll(filled);
    if (bins < QS_SKETCH_BINS) {
        densify(f, least, filled);
    }
    for (unsigned i = 0; i < QS_SKETCH_BINS; i++) {
        out->sketch.bin[i] = (uint8_t)(least[i] >> 6);
    }
    unsigned most = shingles < UINT16_MAX ? (unsigned)shingles : UINT16_MAX;
    out->shingles = (uint16_t)distinct(bins, most);
    out->words = words < UINT16_MAX ? (uint16_t)words : UINT16_MAX;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (size_t i = 0; i < words; i++) {
        f->hash[i] = __builtin_bswap64(f->hash[i]);
    }
#endif
    uint64_t body = XXH3_64bits(hash, words * sizeof(hash[0]));
    out->body_hash = body == 0 ? 1 : body;
}

unsigned qs_sketch_matches(const struct qs_sketch *a, const struct qs_sketch *b)
{
#ifdef __SSE2__
    __m128i sum = _mm_setzero_si128();
    for (unsigned i = 0; i < QS_SKETCH_BINS; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(a->bin + i));
        __m128i y = _mm_loadu_si128((const __m128i *)(const void *)(b->bin + i));
        sum = _mm_sub_epi8(sum, _mm_cmpeq_epi8(x, y));  /* 0 to 4 a byte */
    }
    __m128i halves = _mm_sad_epu8(sum, _mm_setzero_si128());
    return (unsigned)(_mm_cvtsi128_si32(halves) + _mm_extract_epi16(halves, 4));
#else
    unsigned n = 0;
    for (unsigned i = 0; i < QS_SKETCH_BINS; i++) {
        n += a->bin[i] == b->bin[i];
    }
    return n;
#endif
}

double qs_sketch_similarity(const struct qs_sketch *a, const struct qs_sketch *b)
{
    double share = (double)qs_sketch_matches(a, b) / QS_SKETCH_BINS, chance = 1.0 / 256;
    double similarity = (share - chance) / (1 - chance);
    return similarity > 0 ? similarity : 0;
}

uint32_t qs_host_hash(struct qs_span host)
{
    struct qs_span owner = words_host_owner(host);
    char low[256];
    size_t n = owner.len < sizeof(low) ? owner.len : sizeof(low);
    for (size_t i = 0; i < n; i++) {
        low[i] = byte_lower(owner.ptr[i]);
    }
    return (uint32_t)XXH3_64bits(low, n);
}
