/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of a message as Postfix hands them to header_checks and body_checks, one after the other; the facts are
 * those of header_checks(5) and of what `postmap -hm` and `-bm` print. It decodes nothing. Private to prevent/. */
#ifndef QSURGEON_PREVENT_LINES_H
#define QSURGEON_PREVENT_LINES_H

#include <stdbool.h>

#include "qsurgeon/text.h"

enum qs_line_kind {
    QS_LINE_HEADER,                 /* of the message itself: a logical line, folding left in */
    QS_LINE_PART_HEADER,            /* of a MIME part or of an attached message: header_checks see these, too */
    QS_LINE_BODY,
};

struct qs_line {
    struct qs_span text;            /* without the line end */
    struct qs_span name;            /* field name; empty in the body */
    enum qs_line_kind kind;
    bool quoted_printable;          /* of the part where it stands */
    bool beyond;                    /* behind body_checks_size_limit: Postfix does not look at it */
    bool decoded;                   /* what a line of base64 encodes; not of these functions: see tokens.h */
};

enum {
    QS_LINE_MAX = 2048,             /* line_length_limit: longer body lines come in pieces */
    QS_BODY_CHECKED = 51200,        /* body_checks_size_limit, of each part */
    QS_BOUNDARIES = 20,             /* nested multiparts that are followed */
};

/* Set rest to the message and the others to zero. Spans point into the message. */
struct qs_lines {
    struct qs_span rest;
    struct qs_span boundary[QS_BOUNDARIES];
    unsigned depth;
    bool in_body, below;            /* below: not in the first header block */
    bool multipart, attached, quoted_printable;     /* what the header block says of what follows */
    size_t body_bytes;
};

/* False at the end. Linear in what it consumes. */
bool qs_lines_next(struct qs_lines *at, struct qs_line *out);

#endif
