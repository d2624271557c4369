/* SPDX-License-Identifier: Apache-2.0 */
/* Transfer encodings and charsets of mail: bytes to bytes, bytes to UTF-8. Nothing here allocates. Private
 * to scan/. */
#ifndef QSURGEON_SCAN_CODING_H
#define QSURGEON_SCAN_CODING_H

#include <stdbool.h>
#include <stdint.h>

#include "qsurgeon/text.h"

enum charset_kind {
    CHARSET_UTF8, /* also US-ASCII, none and unknown names; bytes that are no UTF-8 count as windows-1252 */
    CHARSET_TABLE, /* single bytes by a table */
    CHARSET_UTF16,
    CHARSET_UTF7,
    CHARSET_PAIRS, /* EUC, Big5, GBK, Shift_JIS: each pair becomes one opaque letter */
    CHARSET_ISO2022, /* ISO-2022-JP, -KR, -CN: the same, between escapes; equal to EUC of the same text */
};
enum { UTF16_MARKED, UTF16_LITTLE, UTF16_BIG };
struct charset {
    enum charset_kind kind;
    unsigned table;     /* of CHARSET_TABLE; UTF16_...; 1 with CHARSET_PAIRS: Shift_JIS */
};

/* Opaque letters stand at CHARSET_OPAQUE + the pair's value: private use, plane 15. */
enum { CHARSET_OPAQUE = 0xf0000 };

/* Bytes of UTF-8 that one byte of any charset can become. */
enum { CHARSET_GROWTH = 4 };

struct charset charset_find(struct qs_span name);
/* Writes valid UTF-8, at most size bytes, cut at a character's edge; returns the bytes written. */
size_t charset_decode(char *to, size_t size, struct qs_span in, struct charset charset);

/* Both write at most size bytes (never more than in.len) and return their number. *odd is set, never
 * cleared, when the input holds what no encoder makes. */
size_t base64_decode(char *to, size_t size, struct qs_span in, bool *odd);
size_t quoted_printable_decode(char *to, size_t size, struct qs_span in, bool *odd);

/* A header's value, unfolded and with its RFC 2047 words decoded, as UTF-8; at most size bytes, which it
 * returns. */
size_t header_decode(char *to, size_t size, struct qs_span raw);

#endif
