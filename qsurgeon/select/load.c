/* SPDX-License-Identifier: Apache-2.0 */
/* Reads saved scans, and trusts nothing in them.
 *
 * The file's first bytes must say that it is ours and of this format; SQLite opens it read-only with a
 * schema that may run nothing; each table's text in the schema must be the very text that saving would
 * write (so no views, triggers, generated columns, odd collations); an authorizer lets only our own
 * reading happen; rows must come in ascending order, so that pages that point at each other give no row
 * twice; types, sizes and ranges of all values are checked. Steps are counted, and bounded by the file's
 * size. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "saved.h"

enum {
    ID_MAX = 64,                    /* bytes of a queue ID */
    TEXT_MAX = 1000,                /* bytes of names and of a problem's place and text */
    SITE_MAX = 100000,              /* entries of the site */
    INSTANCES_MAX = 1000,           /* of one file */
    CELL_MAX = 128 * 1024,          /* bytes of a row: more than all texts of a message together */
    STEPS_AT_ONCE = 1000,           /* of SQLite's machine, between two looks at what is left */
    STEPS_BASE = 10 * 1000 * 1000,
    STEPS_PER_BYTE = 4,             /* a sound file takes about a tenth of one */
};
static const int64_t most_seconds = INT64_C(1) << 52;   /* of a time: no sum of a few of them overflows */

static enum qs_status no_memory(struct qs_error *err)
{
    return qs_fail(err, QS_NOMEM, "out of memory");
}

struct loader {
    struct qs_saved *file;
    uint64_t looks;                 /* left of the steps, in STEPS_AT_ONCE */
    struct qs_scan *scan;
    uint32_t first;                 /* of our messages in the scan */
    size_t first_queue;             /* of our queues in the scan */
    uint32_t instance_count;
    struct qs_scan_totals totals;
    int64_t taken;
    struct qs_problem *problems;    /* talloc array */
    size_t problem_count;
    char **site[QS_SITE_KINDS];     /* talloc arrays */
    size_t site_count[QS_SITE_KINDS];
    struct qs_recipient *to;        /* talloc array of to_size: those of one message */
    uint32_t to_size;
};

/* One table being read. The first value that is wrong is told; then all further ones read as 0 or empty. */
struct rows {
    struct qs_saved *file;
    const char *table;
    sqlite3_stmt *statement;
    bool ended;
    enum qs_status status;
    int64_t row;                    /* counted from 1 */
    uint32_t key;                   /* of the row, by advance() */
};

static int close_rows(struct rows *rows)
{
    sqlite3_finalize(rows->statement);
    return 0;
}

static enum qs_status read_failed(const struct qs_saved *file)
{
    int code = sqlite3_errcode(file->db) & 0xff, number = sqlite3_system_errno(file->db);
    if (code == SQLITE_NOMEM)
        return no_memory(file->err);
    if (code == SQLITE_INTERRUPT)
        return qs_fail(file->err, QS_DATA, "%s: damaged: reading it comes to no end", file->path);
    if (code == SQLITE_IOERR && number != 0)
        return qs_fail_errno(file->err, number, "%s", file->path);
    return qs_fail(file->err, QS_DATA, "%s: damaged: %s", file->path, sqlite3_errmsg(file->db));
}

/* Child of file; NULL after a failure, which is told. */
static struct rows *open_rows(struct qs_saved *file, const char *table, const char *query,
                              enum qs_status *status)
{
    struct rows *rows = talloc_zero(file, struct rows);
    if (rows == NULL) {
        *status = no_memory(file->err);
        return NULL;
    }
    rows->file = file;
    rows->table = table;
    talloc_set_destructor(rows, close_rows);
    if (sqlite3_prepare_v2(file->db, query, -1, &rows->statement, NULL) == SQLITE_OK)
        return rows;
    *status = read_failed(file);
    talloc_free(rows);
    return NULL;
}

/* Steps to the next row; QS_END behind the last. */
static enum qs_status next(struct rows *rows)
{
    int step = rows->ended ? SQLITE_DONE : sqlite3_step(rows->statement);
    rows->row++;
    if (step == SQLITE_ROW)
        return QS_OK;
    rows->ended = true;
    return step == SQLITE_DONE ? QS_END : read_failed(rows->file);
}

static void wrong(struct rows *rows, int column, const char *what)
{
    if (rows->status != QS_OK)
        return;
    rows->status =
        qs_fail(rows->file->err, QS_DATA, "%s: damaged: table %s, row %lld, column %s %s", rows->file->path,
                rows->table, (long long)rows->row, sqlite3_column_name(rows->statement, column), what);
}

/* An INTEGER in [least, most]. */
static int64_t take_number(struct rows *rows, int column, int64_t least, int64_t most)
{
    if (sqlite3_column_type(rows->statement, column) != SQLITE_INTEGER) {
        wrong(rows, column, "is no whole number");
        return 0;
    }
    int64_t value = sqlite3_column_int64(rows->statement, column);
    if (value < least || value > most) {
        wrong(rows, column, "is out of range");
        return 0;
    }
    return value;
}

/* The same, and NULL stands for `unknown`. */
static int64_t take_known(struct rows *rows, int column, int64_t least, int64_t most, int64_t unknown)
{
    if (sqlite3_column_type(rows->statement, column) == SQLITE_NULL)
        return unknown;
    return take_number(rows, column, least, most);
}

/* Times may be anything in a queue file, and are brought into a range in which sums cannot overflow. */
static int64_t take_time(struct rows *rows, int column)
{
    int64_t value = take_known(rows, column, INT64_MIN, INT64_MAX, 0);
    return value > most_seconds ? most_seconds : value < -most_seconds ? -most_seconds : value;
}

static uint64_t take_bits(struct rows *rows, int column)
{
    return (uint64_t)take_number(rows, column, INT64_MIN, INT64_MAX);
}

/* Valid until the next row. */
static struct qs_span take_text(struct rows *rows, int column)
{
    if (sqlite3_column_type(rows->statement, column) != SQLITE_TEXT) {
        wrong(rows, column, "is no text");
        return (struct qs_span){NULL, 0};
    }
    const char *text = (const char *)sqlite3_column_text(rows->statement, column);
    if (text == NULL) {
        rows->status = no_memory(rows->file->err);
        return (struct qs_span){NULL, 0};
    }
    return (struct qs_span){text, (size_t)sqlite3_column_bytes(rows->statement, column)};
}

static qs_sym take_symbol(struct rows *rows, int column, struct qs_scan *scan)
{
    return qs_intern(scan->strings, take_text(rows, column));
}

/* A blob of exactly that size into `to`. */
static void take_blob(struct rows *rows, int column, void *to, int size)
{
    if (sqlite3_column_type(rows->statement, column) != SQLITE_BLOB ||
        sqlite3_column_bytes(rows->statement, column) != size)
        return wrong(rows, column, "has the wrong size");
    const void *blob = sqlite3_column_blob(rows->statement, column);
    if (blob != NULL)
        memcpy(to, blob, (size_t)size);
    else
        rows->status = no_memory(rows->file->err);
}

/* Five columns from `column` on, as bind_print() wrote them. */
static void take_print(struct rows *rows, int column, struct qs_fingerprint *print,
                       uint32_t url[QS_URLS_KEPT])
{
    unsigned char urls[QS_SAVED_URLS] = {0};
    take_blob(rows, column, print->sketch.bin, QS_SKETCH_BINS);
    print->body_hash = take_bits(rows, column + 1);
    print->shingles = (uint16_t)take_number(rows, column + 2, 0, UINT16_MAX);
    print->words = (uint16_t)take_number(rows, column + 3, 0, UINT16_MAX);
    take_blob(rows, column + 4, urls, QS_SAVED_URLS);
    for (unsigned i = 0; i < QS_SAVED_URLS; i++)
        url[i / 4] |= (uint32_t)urls[i] << i % 4 * 8;
    for (unsigned i = 1; i < QS_URLS_KEPT; i++)
        if (url[i] != 0 && url[i] <= url[i - 1])
            wrong(rows, column + 4, "is not in order");
}

/* --- the file as a whole -------------------------------------------------------------------------------- */

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Looks at the first bytes, before SQLite does (https://www.sqlite.org/fileformat.html, 1.3): is it ours,
 * in a format that we read, in UTF-8, without a write-ahead log, and all there? */
static enum qs_status check_header(const char *path, uint64_t *size, struct qs_error *err)
{
    unsigned char head[100];
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return qs_fail_errno(err, errno, "%s", path);
    enum qs_status status = QS_OK;
    ssize_t got = 0;
    if (fstat(fd, &st) != 0)
        status = qs_fail_errno(err, errno, "%s", path);
    else if (!S_ISREG(st.st_mode))
        status = qs_fail(err, QS_DATA, "%s: not a regular file", path);
    else if ((got = pread(fd, head, sizeof head, 0)) < 0)
        status = qs_fail_errno(err, errno, "%s", path);
    close(fd);
    if (status != QS_OK)
        return status;
    if (got < (ssize_t)sizeof head || memcmp(head, "SQLite format 3", 16) != 0 ||
        big_endian(head + 68) != QS_SAVED_APPLICATION)
        return qs_fail(err, QS_DATA, "%s: not a scan saved by qsurgeon", path);
    if (big_endian(head + 60) != QS_SAVED_FORMAT)
        return qs_fail(err, QS_DATA, "%s: saved in format %u; this qsurgeon reads format %d", path,
                       (unsigned)big_endian(head + 60), (int)QS_SAVED_FORMAT);
    if (big_endian(head + 56) != 1)
        return qs_fail(err, QS_DATA, "%s: damaged: its text is not UTF-8", path);
    if (head[18] != 1 || head[19] != 1)
        return qs_fail(err, QS_DATA, "%s: is in WAL mode; PRAGMA journal_mode = DELETE ends that", path);
    uint32_t page = (uint32_t)head[16] << 8 | head[17];
    uint64_t wanted = (uint64_t)big_endian(head + 28) * (page == 1 ? 65536 : page);
    if ((uint64_t)st.st_size != wanted)
        return qs_fail(err, QS_DATA, "%s: damaged: %lld bytes, not %llu", path, (long long)st.st_size,
                       (unsigned long long)wanted);
    *size = wanted;
    return QS_OK;
}

/* What loading itself needs, and nothing else: no function, no other table but the schema's. */
static int authorize(void *data, int action, const char *one, const char *two, const char *database,
                     const char *trigger)
{
    (void)data;
    (void)database;
    (void)two;
    if (trigger != NULL)                /* on behalf of a view */
        return SQLITE_DENY;
    if (action == SQLITE_SELECT)
        return SQLITE_OK;
    if (action != SQLITE_READ)
        return SQLITE_DENY;
    if (sqlite3_stricmp(one, "sqlite_master") == 0)
        return SQLITE_OK;
    for (unsigned table = 0; table < QS_SAVED_TABLES; table++)
        if (strcmp(one, qs_saved_table(table)) == 0)
            return SQLITE_OK;
    return SQLITE_DENY;
}

/* Ends what takes more steps than the size of the file can ask for. */
static int look(void *data)
{
    struct loader *loader = data;
    if (loader->looks == 0)
        return 1;
    loader->looks--;
    return 0;
}

static enum qs_status open_saved(struct loader *loader)
{
    struct qs_saved *file = loader->file;
    if (qs_saved_open(file, file->path, SQLITE_OPEN_READONLY, "immutable=1") != SQLITE_OK)
        return read_failed(file);
    sqlite3_progress_handler(file->db, STEPS_AT_ONCE, look, loader);
    (void)sqlite3_limit(file->db, SQLITE_LIMIT_LENGTH, CELL_MAX);
    (void)sqlite3_limit(file->db, SQLITE_LIMIT_ATTACHED, 0);
    (void)sqlite3_db_config(file->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(file->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(file->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    (void)sqlite3_db_config(file->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    if (sqlite3_exec(file->db,
                     "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY", NULL,
                     NULL, NULL) != SQLITE_OK)
        return read_failed(file);
    (void)sqlite3_set_authorizer(file->db, authorize, NULL);
    return QS_OK;
}

/* Every table must be there with the text that we would make it by; nothing else may hang on one of them.
 * Other tables are somebody's own and are not looked at. */
static enum qs_status check_schema(struct qs_saved *file)
{
    enum { ENTRIES_MAX = 1000 };
    bool found[QS_SAVED_TABLES] = {false};
    enum qs_status status = QS_OK;
    struct rows *rows =
        open_rows(file, "sqlite_master", "SELECT type, name, tbl_name, sql FROM sqlite_master", &status);
    while (rows != NULL && (status = next(rows)) == QS_OK && rows->row <= ENTRIES_MAX) {
        struct qs_span name = take_text(rows, 1), table = take_text(rows, 2);
        bool is_table = qs_span_is(take_text(rows, 0), "table");
        bool is_key = qs_span_is(name, "sqlite_autoindex_meta_1") &&
                      sqlite3_column_type(rows->statement, 3) == SQLITE_NULL;
        for (unsigned t = 0; rows->status == QS_OK && !is_key && t < QS_SAVED_TABLES; t++) {
            if (!qs_span_is_nocase(table, qs_saved_table(t)))
                continue;
            char *schema = qs_saved_schema(NULL, t);
            if (schema == NULL)
                rows->status = no_memory(file->err);
            else if (!is_table || !qs_span_is(name, qs_saved_table(t)) ||
                     !qs_span_is(take_text(rows, 3), schema) || found[t])
                wrong(rows, 3, "is not what qsurgeon writes");
            found[t] = true;
            talloc_free(schema);
        }
        if (rows->status != QS_OK)
            return rows->status;
    }
    talloc_free(rows);
    if (status == QS_OK)
        return qs_fail(file->err, QS_DATA, "%s: damaged: too many tables", file->path);
    if (status != QS_END)
        return status;
    for (unsigned t = 0; t < QS_SAVED_TABLES; t++)
        if (!found[t])
            return qs_fail(file->err, QS_DATA, "%s: damaged: table %s is missing", file->path,
                           qs_saved_table(t));
    return QS_OK;
}

/* Moves to the next row and takes its key from column 0, which must be larger than the last one; `equal`
 * lets it be the same. rows->key is UINT32_MAX behind the last row. */
static enum qs_status advance(struct rows *rows, bool equal)
{
    enum qs_status status = next(rows);
    if (status == QS_END) {
        rows->key = UINT32_MAX;
        return QS_OK;
    }
    if (status != QS_OK)
        return status;
    int64_t least = rows->row == 1 ? 0 : (int64_t)rows->key + !equal;
    rows->key = (uint32_t)take_number(rows, 0, least, UINT32_MAX - 1);
    return rows->status;
}

/* --- the small tables ----------------------------------------------------------------------------------- */

static enum qs_status load_meta(struct loader *loader)
{
    struct qs_saved *file = loader->file;
    enum qs_status status = QS_OK;
    bool taken = false;
    const char *name;
    uint64_t *total;
    struct rows *rows = open_rows(file, "meta", "SELECT rowid, key, value FROM meta ORDER BY rowid", &status);
    if (rows == NULL)
        return status;
    while ((status = advance(rows, false)) == QS_OK && !rows->ended) {
        struct qs_span key = take_text(rows, 1), value = take_text(rows, 2);
        bool right = true;
        if (qs_span_is(key, "taken"))
            right = taken = qs_parse_i64(value, &loader->taken);
        for (unsigned i = 0; (name = qs_saved_total(&loader->totals, i, &total)) != NULL; i++)
            if (qs_span_is(key, name))
                right = qs_parse_u64(value, total);
        if (!right)
            wrong(rows, 2, "is no such number");
        if (rows->status != QS_OK)
            return rows->status;
    }
    talloc_free(rows);
    if (status == QS_OK && !taken)
        return qs_fail(file->err, QS_DATA, "%s: damaged: table meta does not tell when it was taken",
                       file->path);
    loader->taken = loader->taken > most_seconds ? most_seconds
        : loader->taken < -most_seconds ? -most_seconds : loader->taken;
    return status;
}

/* A copy of at most `most` bytes, NUL-terminated; a child of parent. */
static char *copy_text(TALLOC_CTX *parent, struct qs_span text, size_t most)
{
    return talloc_strndup(parent, text.len > 0 ? text.ptr : "", text.len < most ? text.len : most);
}

static enum qs_status load_site(struct loader *loader)
{
    struct qs_saved *file = loader->file;
    enum qs_status status = QS_OK;
    struct rows *rows =
        open_rows(file, "site", "SELECT entry, kind, value FROM site ORDER BY entry", &status);
    if (rows == NULL)
        return status;
    while ((status = advance(rows, false)) == QS_OK && !rows->ended) {
        struct qs_span kind = take_text(rows, 1), value = take_text(rows, 2);
        size_t k = 0;
        while (k < QS_SITE_KINDS && !qs_span_is(kind, qs_site_kinds[k]))
            k++;
        if (k == QS_SITE_KINDS || rows->row > SITE_MAX)
            wrong(rows, 1, "has an entry that is not known, or too many");
        if (rows->status != QS_OK)
            return rows->status;
        size_t count = loader->site_count[k];
        char **list = talloc_realloc(loader, loader->site[k], char *, (unsigned)count + 1);
        if (list == NULL)
            return no_memory(file->err);
        loader->site[k] = list;
        list[count] = copy_text(list, value, TEXT_MAX);
        if (list[count] == NULL)
            return no_memory(file->err);
        loader->site_count[k]++;
    }
    talloc_free(rows);
    return status;
}

static bool is_known_queue(const struct qs_scan *scan, const char *name)
{
    for (size_t q = 0; q < scan->queue_count; q++)
        if (strcmp(scan->queues[q].name, name) == 0)
            return true;
    return false;
}

/* Makes the queues. Two files that name a host alike are told apart by the file's name. */
static enum qs_status load_instances(struct loader *loader)
{
    struct qs_saved *file = loader->file;
    enum qs_status status = QS_OK;
    struct rows *rows =
        open_rows(file, "instances", "SELECT instance, name FROM instances ORDER BY instance", &status);
    if (rows == NULL)
        return status;
    while ((status = advance(rows, false)) == QS_OK && !rows->ended) {
        uint16_t index = 0;
        char *name = copy_text(rows, take_text(rows, 1), TEXT_MAX);
        if (rows->status == QS_OK && (rows->key != loader->instance_count || rows->key >= INSTANCES_MAX))
            wrong(rows, 0, "is out of order, or too many");
        if (rows->status != QS_OK)
            return rows->status;
        if (name != NULL && is_known_queue(loader->scan, name)) {
            const char *slash = strrchr(file->path, '/');
            name = talloc_asprintf(rows, "%s (%s)", name, slash != NULL ? slash + 1 : file->path);
        }
        if (name == NULL)
            return no_memory(file->err);
        status = qs_scan_add_saved(loader->scan, name, &index, file->err);
        if (status != QS_OK)
            return status;
        loader->instance_count++;
    }
    talloc_free(rows);
    return status;
}

static bool status_from(struct qs_span name, enum qs_status *out)
{
    for (unsigned status = QS_OK; status <= QS_NOMEM; status++) {
        if (qs_span_is(name, qs_status_name((enum qs_status)status))) {
            *out = (enum qs_status)status;
            return true;
        }
    }
    return false;
}

/* The first of them, as a scan keeps them. */
static enum qs_status load_problems(struct loader *loader)
{
    struct qs_saved *file = loader->file;
    enum qs_status status = QS_OK;
    struct rows *rows = open_rows(file, "problems",
                                  "SELECT rowid, place, status, text FROM problems ORDER BY rowid", &status);
    loader->problems = talloc_zero_array(loader, struct qs_problem, QS_PROBLEMS_KEPT);
    if (rows == NULL)
        return status;
    if (loader->problems == NULL)
        return no_memory(file->err);
    while (loader->problem_count < QS_PROBLEMS_KEPT && (status = advance(rows, false)) == QS_OK &&
           !rows->ended) {
        struct qs_problem *p = &loader->problems[loader->problem_count++];
        if (!status_from(take_text(rows, 2), &p->status))
            wrong(rows, 2, "is no status");
        p->where = copy_text(loader->problems, take_text(rows, 1), TEXT_MAX);
        p->text = copy_text(loader->problems, take_text(rows, 3), TEXT_MAX);
        if (rows->status != QS_OK)
            return rows->status;
        if (p->where == NULL || p->text == NULL)
            return no_memory(file->err);
    }
    talloc_free(rows);
    return status;
}

/* --- messages ------------------------------------------------------------------------------------------- */

/* Sums stop at the largest number. */
static void add_up(uint64_t *sum, uint64_t more)
{
    if (__builtin_add_overflow(*sum, more, sum))
        *sum = UINT64_MAX;
}

/* Columns of messages by the statement in load_messages(). */
static void take_message(struct rows *rows, struct qs_scan *scan, struct qs_message *m)
{
    struct qs_span id = take_text(rows, 1);
    bool good = id.len > 0 && id.len <= ID_MAX;
    for (size_t i = 0; good && i < id.len; i++)
        good = (id.ptr[i] >= '0' && id.ptr[i] <= '9') || (id.ptr[i] >= 'A' && id.ptr[i] <= 'Z') ||
               (id.ptr[i] >= 'a' && id.ptr[i] <= 'z') || id.ptr[i] == '_';
    if (!good)
        return wrong(rows, 1, "is no queue ID");
    m->id = qs_scan_strdup(scan, id);
    m->arrival = take_time(rows, 2);
    m->size = (uint64_t)take_number(rows, 3, 0, INT64_MAX);
    m->local_uid = (int32_t)take_known(rows, 4, 0, INT32_MAX, -1);
    m->attempts = (uint16_t)take_number(rows, 5, 0, UINT16_MAX);
    m->next_try = take_time(rows, 6);
    m->received = (uint8_t)take_number(rows, 7, 0, UINT8_MAX);
    m->own_hops = (uint8_t)take_number(rows, 8, 0, UINT8_MAX);
    m->url_hosts = (uint8_t)take_number(rows, 9, 0, UINT8_MAX);
    m->parts = (uint8_t)take_number(rows, 10, 0, UINT8_MAX);
    m->text_size = (uint32_t)take_number(rows, 11, 0, UINT32_MAX);
    m->hidden_size = (uint32_t)take_number(rows, 12, 0, UINT32_MAX);
    qs_sym *symbols[] = {
        &m->queue_name,  &m->sender,        &m->client_address, &m->client_name, &m->helo,
        &m->protocol,    &m->sasl_username, &m->from,           &m->subject,     &m->message_id_text,
        &m->mailer,      &m->list_id,       &m->script,         &m->hold_reason, &m->first_by,
        &m->last_client, &m->url_host,
    };
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++)
        *symbols[i] = take_symbol(rows, 13 + (int)i, scan);
}

static const char message_query[] = "SELECT message, queue_id, arrival_time, message_size, local_uid, "
                                    "attempts, next_try, received, own_hops, "
                                    "url_hosts, parts, text_size, hidden_size, queue_name, sender, "
                                    "client_address, client_name, helo, protocol, "
                                    "sasl_username, from_address, subject, message_id, mailer, list_id, "
                                    "script, hold_reason, first_by, last_client, "
                                    "url_host FROM messages ORDER BY message";

static void take_fingerprint(struct rows *rows, const struct loader *loader, struct qs_message *m)
{
    enum {
        FLAGS = QS_ENV_HELD | QS_ENV_LOST | QS_ENV_FORCED_EXPIRE | QS_ENV_EDITED | QS_ENV_UTF8 |
                QS_ENV_LOCAL | QS_ENV_BOUNCE_PENDING | QS_ENV_NO_BODY | QS_ENV_RESPONSE
    };
    uint32_t instance = (uint32_t)take_number(rows, 1, 0, (int64_t)loader->instance_count - 1);
    m->instance = (uint16_t)(loader->first_queue + instance);
    m->flags = (uint32_t)take_number(rows, 2, 0, FLAGS);
    m->traits = (uint32_t)take_number(rows, 3, 0, UINT32_MAX);
    m->structure = (uint32_t)take_number(rows, 4, 0, UINT32_MAX);
    m->attachment = (uint32_t)take_number(rows, 5, 0, UINT32_MAX);
    m->digest = take_bits(rows, 6);
    m->message_id = take_bits(rows, 7);
    m->in_reply_to = take_bits(rows, 8);
    take_print(rows, 9, &m->print, m->url);
}

/* NULL: out of memory. */
static struct qs_returned *take_returned(struct rows *rows, struct qs_scan *scan)
{
    struct qs_hop hop[QS_BY_KEPT];
    unsigned hops = 0;
    for (int k = 0; k < QS_BY_KEPT; k++) {
        hop[k] = (struct qs_hop){take_symbol(rows, 11 + k, scan), take_symbol(rows, 11 + QS_BY_KEPT + k, scan),
                                 take_symbol(rows, 11 + 2 * QS_BY_KEPT + k, scan)};
        hops += hops == (unsigned)k && hop[k].by;
    }
    struct qs_returned *r = qs_scan_returned(scan, hops);
    if (!r)
        return NULL;
    memcpy(r->hop, hop, hops * sizeof *hop);
    r->traits = (uint32_t)take_number(rows, 1, 0, UINT32_MAX);
    r->structure = (uint32_t)take_number(rows, 2, 0, UINT32_MAX);
    r->message_id = take_bits(rows, 3);
    take_print(rows, 4, &r->print, r->url);
    r->from = take_symbol(rows, 9, scan);
    r->subject = take_symbol(rows, 10, scan);
    return r;
}

/* The recipients of message `row`, if rows stands on one of them. */
static enum qs_status load_recipients(struct loader *loader, struct rows *rows, uint32_t row,
                                      struct qs_message *m)
{
    uint32_t count = 0;
    enum qs_status status = QS_OK;
    while (status == QS_OK && rows->key == row) {
        enum qs_recipient_state state = QS_RCPT_TODO;
        if (take_number(rows, 1, 0, QS_RECIPIENTS_MAX - 1) != count)
            wrong(rows, 1, "is out of order");
        struct qs_span word = take_text(rows, 3);
        while (state <= QS_RCPT_CANCELLED && !qs_span_is(word, qs_recipient_state_name(state)))
            state++;
        if (state > QS_RCPT_CANCELLED)
            wrong(rows, 3, "is no state");
        struct qs_recipient to = {
            .address = take_symbol(rows, 2, loader->scan),
            .reason = take_symbol(rows, 4, loader->scan),
            .state = (uint8_t)state,
            .notify = (uint8_t)take_number(rows, 5, 0, UINT8_MAX),
        };
        if (rows->status != QS_OK)
            return rows->status;
        if (count == loader->to_size) {
            struct qs_recipient *more =
                talloc_realloc(loader, loader->to, struct qs_recipient, count * 2 + 64);
            if (more == NULL)
                return no_memory(loader->file->err);
            loader->to = more;
            loader->to_size = count * 2 + 64;
        }
        loader->to[count++] = to;
        status = advance(rows, true);
    }
    if (status != QS_OK || count == 0)
        return status;
    struct qs_recipient *kept = qs_scan_recipients(loader->scan, count);
    if (kept == NULL)
        return no_memory(loader->file->err);
    memcpy(kept, loader->to, count * sizeof *kept);
    m->recipients = kept;
    m->recipient_count = count;
    return QS_OK;
}

/* One message out of four tables that are read side by side. */
static enum qs_status load_message(struct loader *loader, struct rows *messages, struct rows *prints,
                                   struct rows *recipients, struct rows *returned)
{
    struct qs_scan *scan = loader->scan;
    uint32_t row = scan->count - loader->first;
    if (messages->key != row)
        wrong(messages, 0, "is out of order");
    if (prints->key != row)
        wrong(prints, 0, "is not that of a message");
    struct qs_message *m = qs_scan_append(scan, 1);
    if (m == NULL)
        return no_memory(loader->file->err);
    if (messages->status == QS_OK && prints->status == QS_OK) {
        take_message(messages, scan, m);
        take_fingerprint(prints, loader, m);
    }
    if (messages->status != QS_OK)
        return messages->status;
    if (prints->status != QS_OK)
        return prints->status;
    if (m->id == NULL)
        return no_memory(loader->file->err);
    add_up(&loader->totals.bytes, m->size);
    if (returned->key == row) {
        m->returned = take_returned(returned, scan);
        if (m->returned == NULL)
            return no_memory(loader->file->err);
        enum qs_status status = returned->status == QS_OK ? advance(returned, false) : returned->status;
        if (status != QS_OK)
            return status;
    }
    return load_recipients(loader, recipients, row, m);
}

static enum qs_status load_messages(struct loader *loader)
{
    struct qs_saved *file = loader->file;
    enum qs_status status = QS_OK;
    struct rows *messages = open_rows(file, "messages", message_query, &status);
    struct rows *prints =
        open_rows(file, "fingerprints", "SELECT * FROM fingerprints ORDER BY message", &status);
    struct rows *returned = open_rows(file, "returned", "SELECT * FROM returned ORDER BY message", &status);
    struct rows *recipients = open_rows(file, "recipients",
                                        "SELECT message, position, address, state, delay_reason, "
                                        "notify FROM recipients ORDER BY message, position",
                                        &status);
    if (messages == NULL || prints == NULL || returned == NULL || recipients == NULL)
        return status;
    status = advance(returned, false);
    if (status == QS_OK)
        status = advance(recipients, false);
    if (status == QS_OK)
        status = advance(messages, false);
    if (status == QS_OK)
        status = advance(prints, false);
    while (status == QS_OK && !messages->ended) {
        status = load_message(loader, messages, prints, recipients, returned);
        if (status == QS_OK)
            status = advance(messages, false);
        if (status == QS_OK)
            status = advance(prints, false);
    }
    if (status == QS_OK && (!prints->ended || !returned->ended || !recipients->ended))
        return qs_fail(file->err, QS_DATA, "%s: damaged: rows that belong to no message", file->path);
    if (status == QS_OK && qs_intern_failed(loader->scan->strings))
        return no_memory(file->err);
    return status;
}

/* --- all of it ------------------------------------------------------------------------------------------ */

/* Makes room first, then adds, so that `site` is as before when memory is out. A second host's name is one
 * more local domain. */
static enum qs_status add_site(struct loader *loader, struct qs_site *site)
{
    char ***list[QS_SITE_KINDS] = {&site->local_domains, &site->local_domains, &site->relay_domains,
                                   &site->networks, &site->trusted_relays, &site->honeypots,
                                   &site->good_senders};
    size_t *count[QS_SITE_KINDS] = {&site->local_count, &site->local_count, &site->relay_count,
                                    &site->network_count, &site->trusted_relay_count, &site->honeypot_count,
                                    &site->good_sender_count};
    for (size_t k = 0; k < QS_SITE_KINDS; k++) {
        size_t room = *count[k] + loader->site_count[k] + (k == 1 ? loader->site_count[0] : 0);
        char **grown = talloc_realloc(site, *list[k], char *, (unsigned)room + 1);
        if (grown == NULL)
            return no_memory(loader->file->err);
        *list[k] = grown;
    }
    for (size_t k = 0; k < QS_SITE_KINDS; k++) {
        for (size_t i = 0; i < loader->site_count[k]; i++) {
            char *name = talloc_steal(site, loader->site[k][i]);
            if (k == 0 && site->hostname == NULL)
                site->hostname = name;
            else
                (*list[k])[(*count[k])++] = name;
        }
    }
    return QS_OK;
}

/* What is left once everything is read. */
static enum qs_status keep_loaded(struct loader *loader, struct qs_site *site)
{
    struct qs_scan *scan = loader->scan;
    uint64_t *sum, *more;
    size_t room = QS_PROBLEMS_KEPT - scan->problem_count;
    size_t problems = loader->problem_count < room ? loader->problem_count : room;
    for (size_t i = 0; i < problems; i++) {
        struct qs_problem *p = &loader->problems[i];
        p->where = qs_scan_strdup(scan, qs_span_of(p->where));
        p->text = qs_scan_strdup(scan, qs_span_of(p->text));
        if (p->where == NULL || p->text == NULL)
            return no_memory(loader->file->err);
    }
    enum qs_status status = site != NULL ? add_site(loader, site) : QS_OK;
    if (status != QS_OK)
        return status;
    for (size_t i = 0; i < problems; i++)
        scan->problems[scan->problem_count++] = loader->problems[i];
    for (unsigned i = 0; qs_saved_total(&scan->totals, i, &sum) != NULL; i++) {
        (void)qs_saved_total(&loader->totals, i, &more);
        add_up(sum, *more);
    }
    add_up(&scan->totals.bytes, loader->totals.bytes);
    return QS_OK;
}

static enum qs_status load_all(struct loader *loader)
{
    enum qs_status status = open_saved(loader);
    if (status == QS_OK)
        status = check_schema(loader->file);
    if (status == QS_OK)
        status = load_meta(loader);
    if (status == QS_OK)
        status = load_site(loader);
    if (status == QS_OK)
        status = load_problems(loader);
    if (status == QS_OK)
        status = load_instances(loader);
    return status == QS_OK ? load_messages(loader) : status;
}

enum qs_status qs_load(struct qs_scan *scan, struct qs_site *site, const char *path, int64_t *taken,
                       struct qs_error *err)
{
    uint64_t size = 0;
    enum qs_status status = check_header(path, &size, err);
    if (status != QS_OK)
        return status;
    uint32_t count = scan->count;
    size_t queue_count = scan->queue_count;
    struct loader *loader = talloc_zero(NULL, struct loader);
    struct qs_saved *file = loader != NULL ? qs_saved_new(loader, path, err) : NULL;
    if (file == NULL) {
        talloc_free(loader);
        return no_memory(err);
    }
    loader->file = file;
    loader->looks = (STEPS_BASE + size * STEPS_PER_BYTE) / STEPS_AT_ONCE;
    loader->scan = scan;
    loader->first = count;
    loader->first_queue = queue_count;
    status = load_all(loader);
    if (status == QS_OK)
        status = keep_loaded(loader, site);
    if (status == QS_OK) {
        *taken = loader->taken;
    } else {
        scan->count = count;
        scan->queue_count = queue_count;
    }
    talloc_free(loader);
    return status;
}
