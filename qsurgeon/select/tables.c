/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual tables over a view. No copy of the scan is made: a cursor is a row number. Who may ask what
 * is decided in sql.c.
 *
 * Joins are not quadratic, because each table offers the ways in that a join needs: by the message's row
 * number, by queue ID, by cluster name. SQLite checks each row again, so a way in may give too many rows
 * and never too few. */
#include <stdio.h>
#include <string.h>

#include "schema.h"

/* Ways into a table: idxNum of SQLite's virtual table interface. */
enum way { WAY_ALL, WAY_ROW, WAY_ID, WAY_CLUSTER };
enum { NAME_MAX_BYTES = 256, PART_BITS = 20 };
_Static_assert((int)QS_RECIPIENTS_MAX < 1 << PART_BITS, "a recipient's number must fit beside the message's");

struct table {
    sqlite3_vtab base;              /* first: SQLite casts */
    struct qs_tables *tables;
    enum qs_table_id id;
};

struct cursor {
    sqlite3_vtab_cursor base;       /* first: SQLite casts */
    enum way way;
    bool end;
    uint32_t row;                   /* message, group or problem */
    uint32_t group, member;         /* WAY_CLUSTER: group and place among its members */
    uint32_t part, part_count;      /* recipient or evidence in the message */
    struct qs_evidence *evidence;   /* of the message; a child of the cursor */
    char name[NAME_MAX_BYTES];      /* WAY_ID, WAY_CLUSTER */
    size_t name_len;
    struct qs_value value;
};

static bool of_messages(enum qs_table_id id)
{
    return id == QS_TABLE_MESSAGES || id == QS_TABLE_RECIPIENTS || id == QS_TABLE_EVIDENCE;
}

static bool has_parts(enum qs_table_id id)
{
    return id == QS_TABLE_RECIPIENTS || id == QS_TABLE_EVIDENCE;
}

/* The way in that an equality on this column gives. */
static enum way way_of(enum qs_table_id id, int column)
{
    size_t count;
    if (column < 0)
        return has_parts(id) ? WAY_ALL : WAY_ROW;
    const char *name = qs_columns(&count)[qs_table_first(id) + column].name;
    if (of_messages(id) && strcmp(name, "message") == 0)
        return WAY_ROW;
    if (of_messages(id) && strcmp(name, "queue_id") == 0)
        return WAY_ID;
    if ((id == QS_TABLE_MESSAGES && strcmp(name, "cluster") == 0) ||
        (id == QS_TABLE_CLUSTERS && strcmp(name, "name") == 0))
        return WAY_CLUSTER;
    return WAY_ALL;
}

static int table_connect(sqlite3 *db, void *data, int argc, const char *const *argv, sqlite3_vtab **out,
                         char **error)
{
    (void)argc;                     /* argv[0] is the module's name, which is the table's */
    char text[4096];
    size_t len = 0;
    struct table *table = sqlite3_malloc64(sizeof *table);
    if (table == NULL)
        return SQLITE_NOMEM;
    memset(table, 0, sizeof *table);
    table->tables = data;
    while (strcmp(argv[0], qs_table_name(table->id)) != 0)
        table->id++;
    size_t count;
    const struct qs_column *column = qs_columns(&count) + qs_table_first(table->id);
    for (int c = 0; c < qs_table_width(table->id) && len < sizeof text; c++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s %s", c == 0 ? "CREATE TABLE x(" : ", ",
                                column[c].name, column[c].type);
    if (len < sizeof text)
        len += (size_t)snprintf(text + len, sizeof text - len, ")");
    int result = len < sizeof text ? sqlite3_declare_vtab(db, text) : SQLITE_ERROR;
    if (result == SQLITE_OK) {
        *out = &table->base;
        return SQLITE_OK;
    }
    *error = sqlite3_mprintf("%s", sqlite3_errmsg(db));
    sqlite3_free(table);
    return result;
}

static int table_disconnect(sqlite3_vtab *base)
{
    sqlite3_free(base);
    return SQLITE_OK;
}

static double cost_of(enum way way, double rows)
{
    switch (way) {
    case WAY_ALL:
        return rows;
    case WAY_ROW:
        return 1;
    case WAY_ID:
        return 2;
    case WAY_CLUSTER:
        return rows / 16 + 2;
    }
    return rows;
}

static int table_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
    const struct table *table = (const struct table *)(const void *)base;
    double rows = (double)qs_table_rows(table->tables->view, table->id) + 1;
    double weight = table->id == QS_TABLE_EVIDENCE ? 100 : 1; /* evidence is computed for each message */
    enum way best = WAY_ALL;
    int chosen = -1;
    for (int i = 0; i < info->nConstraint; i++) {
        if (!info->aConstraint[i].usable || info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
            continue;
        enum way way = way_of(table->id, info->aConstraint[i].iColumn);
        bool by_name = way == WAY_ID || way == WAY_CLUSTER;
        if (by_name && strcmp(sqlite3_vtab_collation(info, i), "BINARY") != 0)
            continue;
        if (way != WAY_ALL && (chosen < 0 || cost_of(way, rows) < cost_of(best, rows))) {
            best = way;
            chosen = i;
        }
    }
    if (chosen >= 0)
        info->aConstraintUsage[chosen].argvIndex = 1;
    info->idxNum = (int)best;
    info->estimatedCost = cost_of(best, rows) * weight;
    info->estimatedRows = (sqlite3_int64)cost_of(best, rows);
    return SQLITE_OK;
}

static int cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
    (void)base;
    struct cursor *cursor = talloc_zero(NULL, struct cursor);
    if (cursor == NULL)
        return SQLITE_NOMEM;
    *out = &cursor->base;
    return SQLITE_OK;
}

static int cursor_close(sqlite3_vtab_cursor *base)
{
    talloc_free(base);
    return SQLITE_OK;
}

static const struct table *table_of(const struct cursor *cursor)
{
    return (const struct table *)(const void *)cursor->base.pVtab;
}

/* Is the row one that is shown? */
static bool shown(const struct table *table, uint32_t row)
{
    return !of_messages(table->id) || table->tables->selected == NULL || table->tables->selected[row] != 0;
}

/* The next member of the groups with the cursor's name; QS_NO_ROW: no more. */
static uint32_t next_member(struct cursor *cursor, const struct qs_tables *tables)
{
    const struct qs_judgement *judged = tables->view->judgement;
    struct qs_span name = {cursor->name, cursor->name_len};
    while (cursor->group != QS_NO_ROW && cursor->member == judged->group[cursor->group].count) {
        cursor->group = qs_names_next(tables->groups, name, cursor->group);
        cursor->member = 0;
    }
    if (cursor->group == QS_NO_ROW)
        return QS_NO_ROW;
    return judged->member[judged->group[cursor->group].first + cursor->member++];
}

/* The next row on the way, shown or not; QS_NO_ROW: no more. `row` is QS_NO_ROW for the first. */
static uint32_t next_row(struct cursor *cursor, const struct table *table, uint32_t row)
{
    const struct qs_tables *tables = table->tables;
    uint32_t rows = qs_table_rows(tables->view, table->id);
    struct qs_span name = {cursor->name, cursor->name_len};
    switch (cursor->way) {
    case WAY_ALL:
        row = row == QS_NO_ROW ? 0 : row + 1;
        return row < rows ? row : QS_NO_ROW;
    case WAY_ROW:
        return QS_NO_ROW;                   /* there is one, and cursor_filter() takes it */
    case WAY_ID:
        return qs_names_next(tables->ids, name, row);
    case WAY_CLUSTER:
        if (table->id == QS_TABLE_CLUSTERS)
            return qs_names_next(tables->groups, name, row);
        return next_member(cursor, tables);
    }
    return QS_NO_ROW;
}

static int load_parts(struct cursor *cursor, const struct table *table)
{
    const struct qs_view *view = table->tables->view;
    cursor->part = 0;
    cursor->part_count = 1;
    if (table->id == QS_TABLE_RECIPIENTS)
        cursor->part_count = view->scan->messages[cursor->row].recipient_count;
    if (table->id != QS_TABLE_EVIDENCE)
        return SQLITE_OK;
    size_t count = 0;
    talloc_free(cursor->evidence);
    cursor->evidence = NULL;
    if (view->judgement != NULL &&
        qs_explain_message(cursor, view->judgement, cursor->row, &cursor->evidence, &count, NULL) != QS_OK)
        return SQLITE_NOMEM;
    cursor->part_count = count < 1u << PART_BITS ? (uint32_t)count : 1u << PART_BITS;
    return SQLITE_OK;
}

/* Goes on from the row given to the first that is shown and has parts. */
static int settle(struct cursor *cursor, uint32_t row)
{
    const struct table *table = table_of(cursor);
    for (; row != QS_NO_ROW; row = next_row(cursor, table, row)) {
        if (!shown(table, row))
            continue;
        cursor->row = row;
        int result = load_parts(cursor, table);
        if (result != SQLITE_OK)
            return result;
        if (cursor->part_count > 0)
            return SQLITE_OK;
    }
    cursor->end = true;
    return SQLITE_OK;
}

static int cursor_next(sqlite3_vtab_cursor *base)
{
    struct cursor *cursor = (struct cursor *)(void *)base;
    if (++cursor->part < cursor->part_count)
        return SQLITE_OK;
    return settle(cursor, next_row(cursor, table_of(cursor), cursor->row));
}

static bool index_names(struct qs_tables *tables)
{
    if (tables->ids == NULL)
        tables->ids = qs_names_new(tables, tables->view, qs_table_rows(tables->view, QS_TABLE_MESSAGES),
                                   qs_message_name);
    if (tables->groups == NULL)
        tables->groups =
            qs_names_new(tables, tables->view, qs_table_rows(tables->view, QS_TABLE_CLUSTERS), qs_group_name);
    return tables->ids != NULL && tables->groups != NULL;
}

/* A row number out of any value; QS_NO_ROW for what cannot be one. */
static uint32_t row_from(sqlite3_value *value, uint32_t rows)
{
    if (sqlite3_value_numeric_type(value) != SQLITE_INTEGER && sqlite3_value_type(value) != SQLITE_FLOAT)
        return QS_NO_ROW;
    sqlite3_int64 row = sqlite3_value_int64(value);
    return row >= 0 && row < rows ? (uint32_t)row : QS_NO_ROW;
}

static int cursor_filter(sqlite3_vtab_cursor *base, int way, const char *words, int argc,
                         sqlite3_value **argv)
{
    (void)words;
    struct cursor *cursor = (struct cursor *)(void *)base;
    const struct table *table = table_of(cursor);
    const struct qs_view *view = table->tables->view;
    cursor->way = argc > 0 ? (enum way)way : WAY_ALL;
    cursor->end = false;
    if (cursor->way == WAY_ROW)
        return settle(cursor, row_from(argv[0], qs_table_rows(view, table->id)));
    if (cursor->way == WAY_ID || cursor->way == WAY_CLUSTER) {
        const unsigned char *text = sqlite3_value_text(argv[0]);
        int len = sqlite3_value_bytes(argv[0]);
        if (text == NULL || (size_t)len > sizeof cursor->name)      /* NULL, or longer than any name */
            return settle(cursor, QS_NO_ROW);
        memcpy(cursor->name, text, (size_t)len);
        cursor->name_len = (size_t)len;
        if (!index_names(table->tables))
            return SQLITE_NOMEM;
    }
    if (cursor->way == WAY_CLUSTER && table->id == QS_TABLE_MESSAGES) {
        if (cursor->name_len == 0)
            cursor->way = WAY_ALL;          /* those in no cluster */
        cursor->group = qs_names_next(table->tables->groups, (struct qs_span){cursor->name, cursor->name_len},
                                      QS_NO_ROW);
        cursor->member = 0;
    }
    return settle(cursor, next_row(cursor, table, QS_NO_ROW));
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
    return ((const struct cursor *)(const void *)base)->end;
}

static int cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
    const struct cursor *cursor = (const struct cursor *)(const void *)base;
    *out = cursor->row;
    if (has_parts(table_of(cursor)->id))
        *out = (sqlite3_int64)cursor->row << PART_BITS | cursor->part;
    return SQLITE_OK;
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
    struct cursor *cursor = (struct cursor *)(void *)base;
    const struct table *table = table_of(cursor);
    struct qs_value *value = &cursor->value;
    bool computed = table->id == QS_TABLE_EVIDENCE;     /* then texts go with the next message */
    if (computed)
        qs_evidence_cell(table->tables->view, column, cursor->row, &cursor->evidence[cursor->part], value);
    else
        qs_cell(table->tables->view, table->id, column, cursor->row, cursor->part, value);
    switch (value->type) {
    case SQLITE_INTEGER:
        sqlite3_result_int64(context, value->integer);
        break;
    case SQLITE_FLOAT:
        sqlite3_result_double(context, value->real);
        break;
    case SQLITE_TEXT:
        sqlite3_result_text64(context, value->text.ptr != NULL ? value->text.ptr : "", value->text.len,
                              computed || value->text.ptr == value->own ? SQLITE_TRANSIENT : SQLITE_STATIC,
                              SQLITE_UTF8);
        break;
    case SQLITE_NULL:
        sqlite3_result_null(context);
        break;
    }
    return SQLITE_OK;
}

/* No xCreate and no xUpdate: the tables are there without being made, and cannot be written. */
static const sqlite3_module module = {
    .xConnect = table_connect,
    .xBestIndex = table_best_index,
    .xDisconnect = table_disconnect,
    .xOpen = cursor_open,
    .xClose = cursor_close,
    .xFilter = cursor_filter,
    .xNext = cursor_next,
    .xEof = cursor_eof,
    .xColumn = cursor_column,
    .xRowid = cursor_rowid,
};

/* SQLite makes a table at its first use, by a CREATE TABLE that an authorizer would have to allow: use each
 * of them now. */
static bool use_table(sqlite3 *db, const char *name)
{
    sqlite3_stmt *statement = NULL;
    char text[64];
    (void)snprintf(text, sizeof text, "SELECT 1 FROM %s", name);
    bool ok = sqlite3_prepare_v2(db, text, -1, &statement, NULL) == SQLITE_OK;
    sqlite3_finalize(statement);
    return ok;
}

enum qs_status qs_tables_register(struct qs_tables *tables, sqlite3 *db, struct qs_error *err)
{
    for (unsigned t = 0; t < QS_TABLES; t++) {
        const char *name = qs_table_name((enum qs_table_id)t);
        if (sqlite3_create_module_v2(db, name, &module, tables, NULL) != SQLITE_OK || !use_table(db, name))
            return qs_fail(err, QS_NOMEM, "%s", sqlite3_errmsg(db));
    }
    return QS_OK;
}
