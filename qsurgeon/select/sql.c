/* SPDX-License-Identifier: Apache-2.0 */
/* Queries over a view, in an empty in-memory database that has nothing but the virtual tables of schema.c.
 *
 * What a query may do is a list of what is allowed, enforced by SQLite's authorizer while it compiles:
 * select, read our columns, call the functions named here. So no PRAGMA, ATTACH, writing, temporary
 * tables, other virtual tables, recursion (which could fill memory), extensions. Running is bounded by
 * steps of SQLite's machine, not by time: the same query on the same scan always ends the same way. */
#include "sql.h"

#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "qsurgeon/network.h"
#include "schema.h"

enum {
    STEPS_AT_ONCE = 1000,               /* between two looks at what is left */
    STEPS_BASE = 100 * 1000 * 1000,     /* about a second */
    STEPS_PER_MESSAGE = 10 * 1000,
    CELL_MAX = 64 * 1024 * 1024,        /* bytes of one value: a list of all queue IDs fits */
    QUERY_MAX = 1024 * 1024,
};

struct query {
    struct qs_tables *tables;
    sqlite3 *db;
    sqlite3_stmt *statement;
    uint64_t looks;                     /* left of the steps, in STEPS_AT_ONCE */
    bool ended;                         /* by running out of them */
};

/* --- what is allowed ------------------------------------------------------------------------------------ */

/* Pure functions and the clock, sorted for bsearch. */
static const char *const functions[] = {
    "abs",         "acos",         "asin",         "atan",         "atan2",        "avg",
    "ceil",        "ceiling",      "char",         "coalesce",     "concat",       "concat_ws",
    "cos",         "count",        "cume_dist",    "current_date", "current_time", "current_timestamp",
    "date",        "datetime",     "degrees",      "dense_rank",   "domain",       "exp",
    "first_value", "floor",        "format",       "glob",         "group_concat", "hex",
    "if",          "ifnull",       "iif",          "in_network",   "instr",        "julianday",
    "lag",         "last_value",   "lead",         "length",       "like",         "likelihood",
    "likely",      "ln",           "log",          "log10",        "log2",         "lower",
    "ltrim",       "max",          "min",          "mod",          "nth_value",    "ntile",
    "nullif",      "octet_length", "percent_rank", "pow",          "power",        "printf",
    "quote",       "radians",      "rank",         "regexp",       "replace",      "round",
    "row_number",  "rtrim",        "sign",         "sin",          "sqrt",         "strftime",
    "string_agg",  "substr",       "substring",    "sum",          "tan",          "time",
    "timediff",    "total",        "trim",         "trunc",        "typeof",       "unicode",
    "unixepoch",   "unlikely",     "upper",
};

static int compare_names(const void *key, const void *entry)
{
    return sqlite3_stricmp(key, *(const char *const *)entry);
}

static bool is_ours(const char *table)
{
    for (unsigned t = 0; t < QS_TABLES; t++)
        if (sqlite3_stricmp(table, qs_table_name((enum qs_table_id)t)) == 0)
            return true;
    return false;
}

static int authorize(void *data, int action, const char *one, const char *two, const char *database,
                     const char *trigger)
{
    (void)data;
    (void)database;
    (void)trigger;
    switch (action) {
    case SQLITE_SELECT:
        return SQLITE_OK;
    case SQLITE_READ:           /* an empty column: the table is named, nothing of it is read */
        return two[0] == '\0' || is_ours(one) ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_FUNCTION:
        return bsearch(two, functions, sizeof functions / sizeof functions[0], sizeof functions[0],
                       compare_names)
                   ? SQLITE_OK
                   : SQLITE_DENY;
    }
    return SQLITE_DENY;
}

static int look(void *data)
{
    struct query *query = data;
    if (query->looks > 0) {
        query->looks--;
        return 0;
    }
    query->ended = true;
    return 1;
}

/* --- functions ------------------------------------------------------------------------------------------ */

static struct qs_span value_span(sqlite3_value *value)
{
    const char *text = (const char *)sqlite3_value_text(value);
    return (struct qs_span){text, text != NULL ? (size_t)sqlite3_value_bytes(value) : 0};
}

static void fail_function(sqlite3_context *context, enum qs_status status, const struct qs_error *err)
{
    if (status == QS_NOMEM)
        sqlite3_result_error_nomem(context);
    else
        sqlite3_result_error(context, err->text, -1);
}

static void free_talloc(void *object)
{
    talloc_free(object);
}

/* pattern REGEXP: SQLite calls regexp(pattern, text). The compiled pattern stays with the statement. */
static void regexp_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc;
    struct qs_error err = {""};
    enum qs_status status = QS_OK;
    bool found = false;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL || sqlite3_value_type(argv[1]) == SQLITE_NULL)
        return;
    struct qs_pattern *kept = sqlite3_get_auxdata(context, 0), *pattern = kept;
    const char *text = (const char *)sqlite3_value_text(argv[0]);
    if (text == NULL)
        status = QS_NOMEM;
    else if (pattern == NULL)
        status = qs_pattern_new(NULL, text, &pattern, &err);
    if (status == QS_OK)
        status = qs_pattern_find(pattern, value_span(argv[1]), &found, &err);
    if (status == QS_OK)
        sqlite3_result_int(context, found);
    else
        fail_function(context, status, &err);
    if (kept == NULL && pattern != NULL)
        sqlite3_set_auxdata(context, 0, pattern, free_talloc);
}

/* domain(address): what follows the last '@', in lower case; '' without one. */
static void domain_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL)
        return;
    struct qs_value value;
    qs_domain_value(&value, value_span(argv[0]));
    sqlite3_result_text64(context, value.own, value.text.len, SQLITE_TRANSIENT, SQLITE_UTF8);
}

/* in_network(address, cidr) */
static void in_network_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc;
    struct qs_error err = {""};
    struct qs_network network;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL || sqlite3_value_type(argv[1]) == SQLITE_NULL)
        return;
    enum qs_status status = qs_network_parse(value_span(argv[1]), &network, &err);
    if (status == QS_SKIP)
        status = qs_fail(&err, QS_USAGE, "in_network: the second value is no address or CIDR");
    if (status == QS_OK)
        sqlite3_result_int(context, qs_network_has(&network, value_span(argv[0])));
    else
        fail_function(context, status, &err);
}

static bool add_functions(sqlite3 *db)
{
    int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    return sqlite3_create_function_v2(db, "regexp", 2, flags, NULL, regexp_function, NULL, NULL, NULL) ==
               SQLITE_OK &&
           sqlite3_create_function_v2(db, "domain", 1, flags, NULL, domain_function, NULL, NULL, NULL) ==
               SQLITE_OK &&
           sqlite3_create_function_v2(db, "in_network", 2, flags, NULL, in_network_function, NULL, NULL,
                                      NULL) == SQLITE_OK;
}

/* --- a query -------------------------------------------------------------------------------------------- */

static int free_query(struct query *query)
{
    sqlite3_finalize(query->statement);     /* both take NULL */
    sqlite3_close(query->db);
    return 0;
}

/* The status for SQLite's last result, and its words. */
static enum qs_status failed(const struct query *query, const char *prefix, struct qs_error *err)
{
    int code = sqlite3_errcode(query->db);
    if (query->ended)
        return qs_fail(err, QS_USAGE, "%stakes too many steps: narrow it", prefix);
    if (code == SQLITE_NOMEM)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (code == SQLITE_AUTH)
        return qs_fail(err, QS_USAGE,
                       "%s%s: only the tables messages, recipients, clusters, evidence and problems may "
                       "be read, and nothing be changed",
                       prefix, sqlite3_errmsg(query->db));
    const char *text = sqlite3_errmsg(query->db);
    bool unknown = strncmp(text, "no such ", 8) == 0;
    return qs_fail(err, QS_USAGE, "%s%s%s", prefix, text, unknown ? "; `sql --schema` names tables and columns" : "");
}

static void set_limits(sqlite3 *db)
{
    static const struct {
        int limit, value;
    } limits[] = {
        {SQLITE_LIMIT_LENGTH, CELL_MAX},    {SQLITE_LIMIT_SQL_LENGTH, QUERY_MAX},
        {SQLITE_LIMIT_COLUMN, 500},         {SQLITE_LIMIT_EXPR_DEPTH, 500},
        {SQLITE_LIMIT_COMPOUND_SELECT, 50}, {SQLITE_LIMIT_FUNCTION_ARG, 100},
        {SQLITE_LIMIT_ATTACHED, 0},         {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000},
        {SQLITE_LIMIT_VARIABLE_NUMBER, 0},  {SQLITE_LIMIT_TRIGGER_DEPTH, 0},
        {SQLITE_LIMIT_WORKER_THREADS, 0},   {SQLITE_LIMIT_VDBE_OP, 10000000},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        (void)sqlite3_limit(db, limits[i].limit, limits[i].value);
}

static enum qs_status open_query(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                                 struct query **out, struct qs_error *err)
{
    struct query *query = talloc_zero(parent, struct query);
    if (query == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    talloc_set_destructor(query, free_query);
    query->looks = ((uint64_t)STEPS_BASE + (uint64_t)view->scan->count * STEPS_PER_MESSAGE) / STEPS_AT_ONCE;
    query->tables = talloc_zero(query, struct qs_tables);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    bool ok = query->tables != NULL && sqlite3_open_v2(":memory:", &query->db, flags, NULL) == SQLITE_OK &&
              sqlite3_exec(query->db, "PRAGMA temp_store = MEMORY", NULL, NULL, NULL) == SQLITE_OK &&
              add_functions(query->db);
    if (!ok) {
        talloc_free(query);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    query->tables->view = view;
    query->tables->selected = selected;
    enum qs_status status = qs_tables_register(query->tables, query->db, err);
    if (status != QS_OK) {
        talloc_free(query);
        return status;
    }
    set_limits(query->db);
    /* "text" is a column's name and never a string: a mistyped column must not select everything */
    (void)sqlite3_db_config(query->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    (void)sqlite3_db_config(query->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    (void)sqlite3_db_config(query->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(query->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_set_authorizer(query->db, authorize, NULL);
    sqlite3_progress_handler(query->db, STEPS_AT_ONCE, look, query);
    *out = query;
    return QS_OK;
}

/* Compiles exactly one reading statement. */
static enum qs_status prepare(struct query *query, const char *text, const char *prefix, struct qs_error *err)
{
    const char *rest = NULL;
    sqlite3_finalize(query->statement);
    query->statement = NULL;
    if (sqlite3_prepare_v2(query->db, text, -1, &query->statement, &rest) != SQLITE_OK)
        return failed(query, prefix, err);
    if (query->statement == NULL)
        return qs_fail(err, QS_USAGE, "%sthere is no query", prefix);
    if (rest[strspn(rest, " \t\r\n;")] != '\0')
        return qs_fail(err, QS_USAGE, "%sonly one statement is allowed", prefix);
    if (!sqlite3_stmt_readonly(query->statement))
        return qs_fail(err, QS_USAGE, "%sonly reading is allowed", prefix);
    return QS_OK;
}

enum qs_status qs_where(const struct qs_view *view, const char *expression, uint8_t *marks,
                        struct qs_error *err)
{
    struct query *query = NULL;
    enum qs_status status = open_query(NULL, view, NULL, &query, err);
    if (status != QS_OK)
        return status;
    char *prefix = talloc_asprintf(query, "--where %.150s: ", expression);
    char *bare = talloc_asprintf(query, "SELECT message FROM messages WHERE\n%s\n", expression);
    char *closed = talloc_asprintf(query, "SELECT message FROM messages WHERE (\n%s\n)", expression);
    if (prefix == NULL || bare == NULL || closed == NULL) {
        status = qs_fail(err, QS_NOMEM, "out of memory");
        goto done;
    }
    /* Within the parentheses only an expression compiles; one that closes them and opens others does not
     * compile without them. So what passes both is one expression and ends where it seems to end. */
    status = prepare(query, bare, prefix, err);
    if (status == QS_OK)
        status = prepare(query, closed, prefix, err);
    while (status == QS_OK) {
        int step = sqlite3_step(query->statement);
        if (step == SQLITE_DONE)
            break;
        if (step == SQLITE_ROW)
            marks[sqlite3_column_int64(query->statement, 0)] = 1;
        else
            status = failed(query, prefix, err);
    }
done:
    talloc_free(query);
    return status;
}

/* Hands the rows over until the sink has enough. */
static enum qs_status run(struct query *query, qs_row_sink sink, void *data, struct qs_error *err)
{
    int columns = sqlite3_column_count(query->statement);
    const char **names = talloc_array(query, const char *, (unsigned)columns + 1);
    const char **values = talloc_array(query, const char *, (unsigned)columns + 1);
    size_t *lengths = talloc_array(query, size_t, (unsigned)columns + 1);
    int *types = talloc_array(query, int, (unsigned)columns + 1);
    if (names == NULL || values == NULL || lengths == NULL || types == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (int c = 0; c < columns; c++) {
        names[c] = sqlite3_column_name(query->statement, c);
        if (names[c] == NULL)
            return qs_fail(err, QS_NOMEM, "out of memory");
    }
    for (;;) {
        int step = sqlite3_step(query->statement);
        if (step == SQLITE_DONE)
            return QS_OK;
        if (step != SQLITE_ROW)
            return failed(query, "", err);
        for (int c = 0; c < columns; c++) {
            types[c] = sqlite3_column_type(query->statement, c);
            values[c] = (const char *)sqlite3_column_text(query->statement, c);
            lengths[c] = values[c] != NULL ? (size_t)sqlite3_column_bytes(query->statement, c) : 0;
            if (values[c] == NULL && types[c] != SQLITE_NULL && sqlite3_errcode(query->db) == SQLITE_NOMEM)
                return qs_fail(err, QS_NOMEM, "out of memory");
        }
        struct qs_row row = {columns, names, values, lengths, types};
        if (!sink(data, &row))
            return QS_OK;
    }
}

enum qs_status qs_sql(const struct qs_view *view, const uint8_t *selected, const char *text, qs_row_sink sink,
                      void *data, struct qs_error *err)
{
    struct query *query = NULL;
    enum qs_status status = open_query(NULL, view, selected, &query, err);
    if (status != QS_OK)
        return status;
    status = prepare(query, text, "", err);
    if (status == QS_OK)
        status = run(query, sink, data, err);
    talloc_free(query);
    return status;
}
