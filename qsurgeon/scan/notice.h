/* SPDX-License-Identifier: Apache-2.0 */
/* How mail systems talk: words of their subjects and senders, and returned messages inside plain text.
 * Hints only; what they are worth is decided elsewhere. Private to scan/. */
#ifndef QSURGEON_SCAN_NOTICE_H
#define QSURGEON_SCAN_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

#include "qsurgeon/text.h"

/* Where the phrases of a first letter begin in the table; made once a scanner. */
struct notice_index {
    uint8_t from[27];
};
void notice_index_make(struct notice_index *index);

/* Bits QS_T_BOUNCE_SUBJECT, QS_T_AUTOREPLY_SUBJECT, QS_T_CHALLENGE, QS_T_VIRUS_NOTICE for a decoded
 * subject. */
uint32_t notice_subject(const struct notice_index *index, struct qs_span subject);

/* Whether a From value is a mail system's. */
bool notice_is_daemon(struct qs_span from, struct qs_span address);

/* A bit for a field that every message has (Received, From, To, Subject, Date, Message-ID, Return-Path),
 * else 0. A header block with NOTICE_USUAL different ones is a message's. */
enum { NOTICE_USUAL = 3, NOTICE_TRACE = 1 << 0 | 1 << 6 };     /* of these, Received and Return-Path */
unsigned notice_usual_field(struct qs_span name);
/* Whether the text begins with such a block. */
bool notice_is_message(struct qs_span text);

/* A returned message in the text of a notice: lines that form such a header block, each behind the same
 * quote marks or indentation. */
struct notice_returned {
    size_t at;          /* where its first line begins */
    struct qs_span quote;       /* what stands in front of its lines, or empty */
};
bool notice_find_returned(struct qs_span text, struct notice_returned *out);
/* Copies the quoted message without its quote marks, at most size bytes; returns their number. */
size_t notice_unquote(char *to, size_t size, struct qs_span text, const struct notice_returned *found);

#endif
