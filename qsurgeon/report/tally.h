/* SPDX-License-Identifier: Apache-2.0 */
/* Counters by name: domains, sources, senders. Private to report/. */
#ifndef QSURGEON_REPORT_TALLY_H
#define QSURGEON_REPORT_TALLY_H

#include "qsurgeon/intern.h"

enum { QS_TALLY_COUNTS = 11 };

struct qs_tally_row {
    const char *name;               /* raw text */
    uint64_t count[QS_TALLY_COUNTS];
    uint32_t message;               /* for the caller: a message of this name */
};

struct qs_tally {
    struct qs_intern *names;
    struct qs_table *index;
    struct qs_tally_row *row;
    uint32_t rows, size;
};

/* NULL: out of memory. */
struct qs_tally *qs_tally_new(TALLOC_CTX *parent);
/* The row of `name`, made with zeros where it was missing; valid until the next call. NULL: out of memory. */
struct qs_tally_row *qs_tally_at(struct qs_tally *tally, struct qs_span name);
/* Most of count[0] first, then by name. Afterwards no row may be added. */
void qs_tally_sort(struct qs_tally *tally);

#endif
