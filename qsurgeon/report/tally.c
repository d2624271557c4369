/* SPDX-License-Identifier: Apache-2.0 */
/* Counters by name: see tally.h. */
#include "tally.h"

#include <stdlib.h>
#include <string.h>

#include "qsurgeon/table.h"

struct qs_tally *qs_tally_new(TALLOC_CTX *parent)
{
    struct qs_tally *tally = talloc_zero(parent, struct qs_tally);
    if (!tally)
        return NULL;
    tally->names = qs_intern_new(tally);
    tally->index = qs_table_new(tally, 64);
    if (tally->names && tally->index)
        return tally;
    talloc_free(tally);
    return NULL;
}

struct qs_tally_row *qs_tally_at(struct qs_tally *tally, struct qs_span name)
{
    qs_sym sym = qs_intern(tally->names, name);
    uint32_t *at = qs_table_at(tally->index, sym, tally->rows);
    if (!at || qs_intern_failed(tally->names))
        return NULL;
    if (*at < tally->rows)
        return &tally->row[*at];
    if (tally->rows == tally->size) {
        uint32_t size = tally->size ? tally->size * 2 : 64;
        struct qs_tally_row *grown = talloc_realloc(tally, tally->row, struct qs_tally_row, size);
        if (!grown)
            return NULL;
        tally->row = grown;
        tally->size = size;
    }
    struct qs_tally_row *row = &tally->row[tally->rows++];
    *row = (struct qs_tally_row){.name = qs_sym_str(tally->names, sym)};
    return row;
}

static int compare(const void *a, const void *b)
{
    const struct qs_tally_row *x = a, *y = b;
    if (x->count[0] != y->count[0])
        return x->count[0] > y->count[0] ? -1 : 1;
    return strcmp(x->name, y->name);
}

void qs_tally_sort(struct qs_tally *tally)
{
    if (tally->rows > 1)
        qsort(tally->row, tally->rows, sizeof *tally->row, compare);
}
