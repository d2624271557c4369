/* SPDX-License-Identifier: Apache-2.0 */
/* sql: a query over the scan. */
#include "session.h"

/* The columns as rows, so that they can be printed as those of a query are. */
static enum qs_status print_schema(struct qs_rows *rows, struct qs_error *err)
{
    static const char *const names[] = {"table", "column", "type", "meaning"};
    static const int types[] = {3, 3, 3, 3};        /* text */
    size_t count = 0;
    const struct qs_column *column = qs_columns(&count);
    bool more = true;
    for (size_t i = 0; more && i < count; i++) {
        const char *const values[] = {column[i].table, column[i].name, column[i].type, column[i].help};
        size_t lengths[4];
        for (int c = 0; c < 4; c++)
            lengths[c] = qs_span_of(values[c]).len;
        const struct qs_row row = {4, names, values, lengths, types};
        more = qs_report_row(rows, &row);
    }
    return qs_rows_end(rows, err);
}

static enum qs_status run(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    enum qs_rows_form form = o->json ? QS_ROWS_JSON : o->csv ? QS_ROWS_CSV : QS_ROWS_TEXT;
    struct qs_rows *rows = qs_rows_new(call->memory, call->out, form, &call->style);
    struct qs_session *session = NULL;
    if (!rows)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (o->schema)
        return print_schema(rows, err);
    if (!o->argument_count)
        return qs_fail(err, QS_USAGE, "sql needs a QUERY, or --schema");
    enum qs_status status = qs_session_open(call, true, NULL, NULL, &session, err);
    if (status == QS_OK)
        status = qs_sql(&session->view, session->selected, o->arguments[0], qs_report_row, rows, err);
    return status == QS_OK ? qs_rows_end(rows, err) : status;
}

const struct qs_command qs_cmd_sql = {
    .name = "sql",
    .summary = "a query in SQLite's language over messages, recipients, clusters",
    .arguments = "QUERY",
    .most = 1,
    .selects = true,
    .options = QS_OPTION(QS_OPT_JSON) | QS_OPTION(QS_OPT_CSV) | QS_OPTION(QS_OPT_SCHEMA),
    .description = "A selection narrows the tables. `sql --schema` lists the columns.\n",
    .run = run,
};
