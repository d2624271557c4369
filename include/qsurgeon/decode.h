/* SPDX-License-Identifier: Apache-2.0 */
/* A message's text for people, decoded by GMime: for `show` and samples. Not on the hot path. */
#ifndef QSURGEON_DECODE_H
#define QSURGEON_DECODE_H

#include <stdbool.h>
#include <talloc.h>

#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

/* One part as GMime sees it. */
struct qs_decoded_part {
    const char *type;           /* "text/plain" */
    const char *charset, *name; /* or NULL */
    const char *text;           /* UTF-8, NUL-terminated, for text parts; else NULL */
    size_t size;                /* decoded bytes */
    unsigned alternative;       /* number of the multipart/alternative it is a choice of, from 1; 0: of none */
    bool attached;              /* Content-Disposition: attachment */
    bool returned;              /* inside a message/rfc822 part */
};

struct qs_decoded {
    const char *from, *to, *subject, *date;     /* decoded, UTF-8, or NULL */
    struct qs_decoded_part *part;               /* leaf parts in order, talloc array */
    size_t part_count;
};

/* Call once in the program before the first decode. */
void qs_decode_init(void);
/* Decodes RFC 5322 bytes. The result is a child of parent. QS_DATA: no message at all. QS_NOMEM. */
enum qs_status qs_decode(TALLOC_CTX *parent, struct qs_span content, struct qs_decoded **out,
                         struct qs_error *err) QS_MUST_CHECK;

#endif
