/* SPDX-License-Identifier: Apache-2.0 */
/* What of a queue can never be delivered, and where it came in. */
#ifndef QSURGEON_HOPELESS_H
#define QSURGEON_HOPELESS_H

#include "qsurgeon/select.h"

struct qs_hopeless_origin {
    const char *provider;           /* registrable domain of the client's verified name (of a notice made here: of the client
                                       whose mail it returns); "" where there is none */
    uint64_t messages;
};

/* A message counts when nothing is left that could be delivered: once, under the first that applies. */
struct qs_hopeless {
    uint64_t all;                   /* messages looked at */
    uint64_t forged;                /* notices to victims of forgery: backscatter of ours, and loops */
    uint64_t dead;                  /* every waiting recipient is at a domain that DNS leads nowhere, or back here */
    uint64_t unknown;               /* every waiting recipient does not exist, by another server's word, or is at such a domain */
    bool asked;                     /* DNS was */
    struct qs_hopeless_origin *origin;          /* most first, then by name */
    size_t origin_count;
};

/* Of the selected messages (NULL: all). A child of parent. QS_NOMEM. */
enum qs_status qs_hopeless_count(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                                 struct qs_hopeless **out, struct qs_error *err) QS_MUST_CHECK;

#endif
