/* SPDX-License-Identifier: Apache-2.0 */
/* Rows as aligned columns that fit the terminal. The rows are made twice by the caller, once to be measured
 * and once to be printed, so that a list of a million messages needs no memory. Not for JSON or CSV. Private
 * to report/. */
#ifndef QSURGEON_REPORT_TABLE_H
#define QSURGEON_REPORT_TABLE_H

#include "print.h"

enum { QS_COLUMNS_MAX = 64 };

struct qs_heading {
    const char *title;
    bool right;                     /* numbers */
    bool elastic;                   /* gives way when the line gets too long; others are never cut */
};

/* One row: safe text of each column. */
struct qs_cells {
    char text[QS_COLUMNS_MAX][QS_CELL];
    enum qs_ink ink[QS_COLUMNS_MAX];
    char note[QS_CELL];             /* "" or a second line */
    bool whole;                     /* the note goes on in more lines instead of being cut */
};

/* Fills row `row`; all cells are "" and plain before. */
typedef void (*qs_fill_row)(void *data, size_t row, struct qs_cells *cells);

struct qs_layout {
    size_t width[QS_COLUMNS_MAX];
};

/* The widths for these rows; style->columns 0: nothing is cut. */
void qs_table_measure(struct qs_layout *layout, const struct qs_style *style,
                      const struct qs_heading *headings, unsigned count, size_t rows, qs_fill_row fill,
                      void *data);
/* Prints rows; the line of headings when `titled`. Stops early when `out` has failed. */
void qs_table_rows_print(FILE *out, const struct qs_layout *layout, const struct qs_style *style,
                         const struct qs_heading *headings, unsigned count, bool titled, size_t rows,
                         qs_fill_row fill, void *data);
/* Both, with headings. */
void qs_table_print(FILE *out, const struct qs_style *style, const struct qs_heading *headings,
                    unsigned count, size_t rows, qs_fill_row fill, void *data);

#endif
