/* SPDX-License-Identifier: Apache-2.0 */
/* A view as tables: one list of columns that the virtual tables, saved files and the help text share.
 * Private to select/; the list itself is public as qs_columns(). */
#ifndef QSURGEON_SELECT_SCHEMA_H
#define QSURGEON_SELECT_SCHEMA_H

#include <sqlite3.h>

#include "qsurgeon/reader.h"
#include "qsurgeon/select.h"

enum qs_table_id {
    QS_TABLE_MESSAGES,
    QS_TABLE_RECIPIENTS,
    QS_TABLE_CLUSTERS,
    QS_TABLE_EVIDENCE,
    QS_TABLE_PROBLEMS,
};
enum { QS_TABLES = QS_TABLE_PROBLEMS + 1 };

/* One cell. `text` is of the scan, constant, or in `own`. */
struct qs_value {
    int type;                       /* SQLITE_INTEGER, SQLITE_FLOAT, SQLITE_TEXT, SQLITE_NULL */
    int64_t integer;
    double real;
    struct qs_span text;
    char own[QS_INTERN_MAX + 24];
};

/* The columns of one table: index of the first in qs_columns(), and how many. */
int qs_table_first(enum qs_table_id table);
int qs_table_width(enum qs_table_id table);
const char *qs_table_name(enum qs_table_id table);

/* Column `column` of row `row`, for all tables but evidence. `part` is the recipient's number in the
 * message. */
void qs_cell(const struct qs_view *view, enum qs_table_id table, int column, uint32_t row, uint32_t part,
             struct qs_value *out);
/* Column `column` of an item of evidence for message `row`. */
void qs_evidence_cell(const struct qs_view *view, int column, uint32_t row, const struct qs_evidence *e,
                      struct qs_value *out);
/* What follows the last '@' of the address, in lower case; an empty text without one. */
void qs_domain_value(struct qs_value *out, struct qs_span address);
/* Rows of clusters or problems, or messages for the others. */
uint32_t qs_table_rows(const struct qs_view *view, enum qs_table_id table);

/* "todo", "done", "cancelled". */
const char *qs_recipient_state_name(enum qs_recipient_state state);

/* Strings by value: which rows have this name? */
struct qs_names;
typedef const char *(*qs_name_of)(const struct qs_view *view, uint32_t row);
const char *qs_message_name(const struct qs_view *view, uint32_t row);     /* queue ID */
const char *qs_group_name(const struct qs_view *view, uint32_t row);       /* cluster name */
/* NULL: out of memory. */
struct qs_names *qs_names_new(TALLOC_CTX *parent, const struct qs_view *view, uint32_t count,
                              qs_name_of name_of);
/* The rows called `name`, in descending order: start with QS_NO_ROW, ends with QS_NO_ROW. */
#define QS_NO_ROW UINT32_MAX
uint32_t qs_names_next(const struct qs_names *names, struct qs_span name, uint32_t row);

/* What the tables of one connection show. Lives at least as long as the connection. */
struct qs_tables {
    const struct qs_view *view;
    const uint8_t *selected;        /* NULL: all */
    struct qs_names *ids, *groups;  /* made when first asked for, children of this object */
};

/* Makes the tables known to the connection, which has no authorizer yet. QS_NOMEM. */
enum qs_status qs_tables_register(struct qs_tables *tables, sqlite3 *db, struct qs_error *err) QS_MUST_CHECK;

#endif
