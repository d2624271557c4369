/* SPDX-License-Identifier: Apache-2.0 */
/* Rows as aligned columns that fit the terminal: see table.h. */
#include "table.h"

#include <string.h>

enum { GAP = 2 };

static void make_row(struct qs_cells *cells, unsigned count, size_t row, qs_fill_row fill, void *data)
{
    for (unsigned c = 0; c < count; c++) {
        cells->text[c][0] = '\0';
        cells->ink[c] = QS_INK_PLAIN;
    }
    cells->note[0] = '\0';
    cells->whole = false;
    fill(data, row, cells);
}

static size_t columns_of(const char *text)
{
    return qs_text_columns(qs_span_of(text));
}

/* What the fixed columns leave is shared by the elastic ones: nobody gets more than it needs. */
static void share_width(const struct qs_heading *headings, unsigned count, size_t total, size_t *width)
{
    size_t rest = total, open = 0;
    bool settled[QS_COLUMNS_MAX] = {false};
    for (unsigned c = 0; c < count; c++) {
        size_t taken = (headings[c].elastic ? 0 : width[c]) + (c > 0 ? GAP : 0);
        rest -= taken < rest ? taken : rest;
        settled[c] = !headings[c].elastic;
        open += headings[c].elastic;
    }
    for (bool changed = true; changed && open > 0;) {
        size_t fair = rest / open;
        changed = false;
        for (unsigned c = 0; c < count; c++)
            if (!settled[c] && width[c] <= fair) {
                settled[c] = changed = true;
                rest -= width[c];
                open--;
            }
    }
    for (unsigned c = 0; c < count && open > 0; c++)
        if (!settled[c]) {
            size_t least = columns_of(headings[c].title), fair = rest / open;
            width[c] = fair > least ? fair : least;
            rest -= fair;
            open--;
        }
}

static void print_cell(FILE *out, const struct qs_style *style, const char *text, enum qs_ink ink,
                       size_t width, bool right, bool last)
{
    size_t have = columns_of(text), pad = have < width ? width - have : 0;
    if (right)
        fprintf(out, "%*s", (int)pad, "");
    qs_ink_on(out, style, ink);
    fputs(text, out);
    qs_ink_off(out, style, ink);
    if (!last)
        fprintf(out, "%*s", (int)((right ? 0 : pad) + GAP), "");
}

static void print_row(FILE *out, const struct qs_style *style, const struct qs_heading *headings,
                      unsigned count, const size_t *width, struct qs_cells *cells)
{
    unsigned last = count;
    while (last > 1 && !cells->text[last - 1][0])
        last--;
    for (unsigned c = 0; c < last; c++) {
        if (headings[c].elastic && style->columns)
            qs_cut(cells->text[c], width[c], style);
        print_cell(out, style, cells->text[c], cells->ink[c], width[c], headings[c].right, c + 1 == last);
    }
    fputc('\n', out);
    if (cells->note[0]) {
        if (style->columns > 4 && !cells->whole)
            qs_cut(cells->note, style->columns - 4, style);
        fputs("    ", out);
        qs_ink_on(out, style, QS_INK_DIM);
        if (cells->whole)
            qs_print_wrapped(out, cells->note, 4, 4, style);
        else
            fprintf(out, "%s\n", cells->note);
        qs_ink_off(out, style, QS_INK_DIM);
    }
}

void qs_table_measure(struct qs_layout *layout, const struct qs_style *style,
                      const struct qs_heading *headings, unsigned count, size_t rows, qs_fill_row fill,
                      void *data)
{
    struct qs_cells cells;
    for (unsigned c = 0; c < count; c++)
        layout->width[c] = columns_of(headings[c].title);
    for (size_t r = 0; r < rows; r++) {
        make_row(&cells, count, r, fill, data);
        for (unsigned c = 0; c < count; c++) {
            size_t wide = columns_of(cells.text[c]);
            layout->width[c] = wide > layout->width[c] ? wide : layout->width[c];
        }
    }
    if (style->columns)
        share_width(headings, count, style->columns, layout->width);
}

void qs_table_rows_print(FILE *out, const struct qs_layout *layout, const struct qs_style *style,
                         const struct qs_heading *headings, unsigned count, bool titled, size_t rows,
                         qs_fill_row fill, void *data)
{
    struct qs_cells cells;
    for (unsigned c = 0; titled && c < count; c++) {
        snprintf(cells.text[c], QS_CELL, "%s", headings[c].title);
        cells.ink[c] = QS_INK_DIM;
    }
    cells.note[0] = '\0';
    if (titled)
        print_row(out, style, headings, count, layout->width, &cells);
    for (size_t r = 0; r < rows && !ferror(out); r++) {
        make_row(&cells, count, r, fill, data);
        print_row(out, style, headings, count, layout->width, &cells);
    }
}

void qs_table_print(FILE *out, const struct qs_style *style, const struct qs_heading *headings,
                    unsigned count, size_t rows, qs_fill_row fill, void *data)
{
    struct qs_layout layout;
    qs_table_measure(&layout, style, headings, count, rows, fill, data);
    qs_table_rows_print(out, &layout, style, headings, count, true, rows, fill, data);
}
