/* SPDX-License-Identifier: Apache-2.0 */
/* Looking for a byte of a small set, 16 at a time where the processor has SSE2, with the same result
 * elsewhere. Private to scan/. */
#ifndef QSURGEON_SCAN_BYTES_H
#define QSURGEON_SCAN_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline bool byte_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline bool byte_is_alpha(char c)
{
    return (unsigned char)((unsigned char)(c | 0x20) - 'a') < 26;
}

static inline bool byte_is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

static inline char byte_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* The value of a hexadecimal digit, or 255. */
static inline unsigned byte_hex(char c)
{
    if (byte_is_digit(c)) {
        return (unsigned)(c - '0');
    }
    char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? (unsigned)(low - 'a') + 10 : 255;
}

/* The first a or b (which may be the same) of [p, end), or end. */
static inline const char *byte_find2(const char *p, const char *end, char a, char b)
{
#ifdef __SSE2__
    const __m128i va = _mm_set1_epi8(a), vb = _mm_set1_epi8(b);
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        int hit = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, va), _mm_cmpeq_epi8(v, vb)));
        if (hit != 0) {
            return p + __builtin_ctz((unsigned)hit);
        }
    }
#endif
    while (p < end && *p != a && *p != b) {
        p++;
    }
    return p;
}

/* The first place of [p, end) where bytes a, b stand next to each other, or end. */
static inline const char *byte_find_pair(const char *p, const char *end, char a, char b)
{
#ifdef __SSE2__
    const __m128i va = _mm_set1_epi8(a), vb = _mm_set1_epi8(b);
    for (; end - p >= 17; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i w = _mm_loadu_si128((const __m128i *)(const void *)(p + 1));
        int hit = _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(v, va), _mm_cmpeq_epi8(w, vb)));
        if (hit != 0) {
            return p + __builtin_ctz((unsigned)hit);
        }
    }
#endif
    while (end - p >= 2 && (p[0] != a || p[1] != b)) {
        p++;
    }
    return end - p >= 2 ? p : end;
}

/* The first byte above 127 of [p, end), or end. */
static inline const char *byte_find_high(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        int hit = _mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)p));
        if (hit != 0) {
            return p + __builtin_ctz((unsigned)hit);
        }
    }
#endif
    while (p < end && (unsigned char)*p < 0x80) {
        p++;
    }
    return p;
}

/* The first colon, blank or control byte of [p, end), or end. */
static inline const char *byte_find_name_end(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i colon = _mm_set1_epi8(':'), blank = _mm_set1_epi8(' ');
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, blank), v);
        int hit = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(v, colon)));
        if (hit != 0) {
            return p + __builtin_ctz((unsigned)hit);
        }
    }
#endif
    while (p < end && (unsigned char)*p > ' ' && *p != ':') {
        p++;
    }
    return p;
}

/* Writes the low bytes of v, the lowest first. */
static inline void byte_store64(char *to, uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(to, &v, sizeof(v));
}

#endif
