/* SPDX-License-Identifier: Apache-2.0 */
/* The walk behind qs_html_text(), into plain memory. Private to scan/. */
#ifndef QSURGEON_SCAN_HTML_H
#define QSURGEON_SCAN_HTML_H

#include "qsurgeon/text.h"

struct html_counts {
    uint32_t shown;     /* bytes of visible text, also of that which did not fit */
    uint32_t hidden;    /* bytes of hidden text, blanks not counted */
};

/* Writes at most size bytes (never more than html.len) of visible text and returns their number. */
size_t html_text(char *to, size_t size, struct qs_span html, struct html_counts *counts,
                 void (*link)(void *data, struct qs_span url), void *data);

#endif
