/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a query: aligned text, JSON, CSV. The widths of the text columns come from the first rows. */
#include <sqlite3.h>                /* the type numbers of struct qs_row only */
#include <string.h>

#include "json.h"
#include "table.h"

enum { MEASURED = 1000 };

struct qs_rows {
    FILE *out;
    const struct qs_style *style;
    enum qs_rows_form form;
    unsigned columns;
    struct qs_heading heading[QS_COLUMNS_MAX];
    struct qs_layout layout;
    char **cell;                    /* safe text of the rows that wait */
    size_t waiting;                 /* rows */
    bool started;
    enum qs_status status;
    struct qs_error error;
};

struct qs_rows *qs_rows_new(TALLOC_CTX *parent, FILE *out, enum qs_rows_form form,
                            const struct qs_style *style)
{
    struct qs_rows *rows = talloc_zero(parent, struct qs_rows);
    if (!rows)
        return NULL;
    rows->out = out;
    rows->form = form;
    rows->style = style;
    return rows;
}

static struct qs_span value_of(const struct qs_row *row, int column)
{
    return row->values[column] ? (struct qs_span){row->values[column], row->lengths[column]}
                               : (struct qs_span){NULL, 0};
}

static void fill_waiting(void *data, size_t row, struct qs_cells *cells)
{
    const struct qs_rows *rows = data;
    for (unsigned c = 0; c < rows->columns; c++)
        snprintf(cells->text[c], QS_CELL, "%s", rows->cell[row * rows->columns + c]);
}

static void print_waiting(struct qs_rows *rows)
{
    struct qs_style style = *rows->style;
    if (!style.rows)
        style.columns = 0;          /* a program may read it: nothing is cut */
    if (!rows->started)
        qs_table_measure(&rows->layout, &style, rows->heading, rows->columns, rows->waiting, fill_waiting,
                         rows);
    if (rows->columns)
        qs_table_rows_print(rows->out, &rows->layout, &style, rows->heading, rows->columns, !rows->started,
                            rows->waiting, fill_waiting, rows);
    rows->started = true;
    rows->waiting = 0;
    TALLOC_FREE(rows->cell);
}

static enum qs_status first_text_row(struct qs_rows *rows, const struct qs_row *row)
{
    if (row->columns > QS_COLUMNS_MAX)
        return qs_fail(&rows->error, QS_USAGE,
                       "a table for people has at most %d columns, not %d: take --json or --csv",
                       QS_COLUMNS_MAX, row->columns);
    rows->columns = (unsigned)row->columns;
    for (unsigned c = 0; c < rows->columns; c++) {
        char title[QS_CELL];
        qs_safe(title, sizeof title, qs_span_of(row->names[c]), rows->style);
        rows->heading[c] = (struct qs_heading){
            .title = talloc_strdup(rows, title),
            .right = row->types[c] == SQLITE_INTEGER || row->types[c] == SQLITE_FLOAT,
            .elastic = row->types[c] != SQLITE_INTEGER && row->types[c] != SQLITE_FLOAT,
        };
        if (!rows->heading[c].title)
            return QS_NOMEM;
    }
    return QS_OK;
}

static enum qs_status text_row(struct qs_rows *rows, const struct qs_row *row)
{
    if (!rows->columns && first_text_row(rows, row) != QS_OK)
        return rows->error.text[0] ? QS_USAGE : QS_NOMEM;
    if (!rows->cell)
        rows->cell = talloc_array(rows, char *, MEASURED * rows->columns);
    if (!rows->cell)
        return QS_NOMEM;
    for (unsigned c = 0; c < rows->columns; c++) {
        char safe[QS_CELL];
        qs_safe(safe, sizeof safe, value_of(row, (int)c), rows->style);
        char *kept = talloc_strdup(rows->cell, safe);
        if (!kept)
            return QS_NOMEM;
        rows->cell[rows->waiting * rows->columns + c] = kept;
    }
    if (++rows->waiting == MEASURED)
        print_waiting(rows);
    return QS_OK;
}

static enum qs_status json_row(struct qs_rows *rows, const struct qs_row *row)
{
    struct qs_json json = qs_json_new();
    for (int c = 0; c < row->columns; c++) {
        struct qs_span value = value_of(row, c);
        char key[QS_CELL];
        qs_text_safe(key, sizeof key, qs_span_of(row->names[c]));
        json_t *number = row->types[c] == SQLITE_INTEGER || row->types[c] == SQLITE_FLOAT
            ? json_loadb(value.ptr, value.len, JSON_DECODE_ANY, NULL) : NULL;
        if (number)
            qs_json_value(&json, key, number);
        else if (!value.ptr)
            qs_json_null(&json, key);
        else
            qs_json_text(&json, key, value);
    }
    return qs_json_line(rows->out, &json, &rows->error);
}

static enum qs_status csv_row(struct qs_rows *rows, const struct qs_row *row)
{
    for (int c = 0; c < row->columns && !rows->started; c++)
        qs_csv_cell(rows->out, qs_span_of(row->names[c]), c == 0);
    if (!rows->started)
        fputs("\r\n", rows->out);
    rows->started = true;
    for (int c = 0; c < row->columns; c++) {
        struct qs_span value = value_of(row, c);
        if (row->types[c] == SQLITE_INTEGER || row->types[c] == SQLITE_FLOAT)
            fprintf(rows->out, "%s%.*s", c ? "," : "", (int)value.len, value.ptr);
        else
            qs_csv_cell(rows->out, value, c == 0);
    }
    fputs("\r\n", rows->out);
    return qs_written(rows->out, &rows->error);
}

bool qs_report_row(void *data, const struct qs_row *row)
{
    struct qs_rows *rows = data;
    switch (rows->form) {
    case QS_ROWS_TEXT:
        rows->status = text_row(rows, row);
        break;
    case QS_ROWS_JSON:
        rows->status = json_row(rows, row);
        break;
    case QS_ROWS_CSV:
        rows->status = csv_row(rows, row);
        break;
    }
    return rows->status == QS_OK && !ferror(rows->out);
}

enum qs_status qs_rows_end(struct qs_rows *rows, struct qs_error *err)
{
    if (rows->status == QS_OK && rows->waiting)
        print_waiting(rows);
    if (rows->status == QS_OK)
        return qs_written(rows->out, err);
    return qs_fail(err, rows->status, "%s", rows->error.text[0] ? rows->error.text : "out of memory");
}
