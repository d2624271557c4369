/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a scan into a file: under a temporary name beside it, synced, then renamed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "saved.h"

static enum qs_status no_memory(struct qs_error *err)
{
    return qs_fail(err, QS_NOMEM, "out of memory");
}

static enum qs_status write_failed(const struct qs_saved *file)
{
    if (sqlite3_errcode(file->db) == SQLITE_NOMEM)
        return no_memory(file->err);
    int number = sqlite3_system_errno(file->db);
    if (number != 0)
        return qs_fail_errno(file->err, number, "%s", file->path);
    return qs_fail(file->err, QS_IO, "%s: %s", file->path, sqlite3_errmsg(file->db));
}

static enum qs_status execute(const struct qs_saved *file, const char *text)
{
    return sqlite3_exec(file->db, text, NULL, NULL, NULL) == SQLITE_OK ? QS_OK : write_failed(file);
}

/* An INSERT into the table with all its columns; *out is finalized by the caller, also after a failure. */
static enum qs_status prepare_insert(const struct qs_saved *file, const char *table, int columns,
                                     sqlite3_stmt **out)
{
    char *text = talloc_asprintf(NULL, "INSERT INTO %s VALUES(?", table);
    for (int c = 1; text != NULL && c < columns; c++)
        text = talloc_strdup_append_buffer(text, ",?");
    if (text != NULL)
        text = talloc_strdup_append_buffer(text, ")");
    if (text == NULL)
        return no_memory(file->err);
    int result = sqlite3_prepare_v2(file->db, text, -1, out, NULL);
    talloc_free(text);
    return result == SQLITE_OK ? QS_OK : write_failed(file);
}

/* Runs the INSERT with what is bound. Texts need not be kept until then by SQLite, so all are bound
 * SQLITE_STATIC. */
static enum qs_status insert(const struct qs_saved *file, sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE)
        return write_failed(file);
    return sqlite3_reset(statement) == SQLITE_OK ? QS_OK : write_failed(file);
}

static void bind_span(sqlite3_stmt *statement, int at, struct qs_span text)
{
    (void)sqlite3_bind_text64(statement, at, text.ptr != NULL ? text.ptr : "", text.len, SQLITE_STATIC,
                              SQLITE_UTF8);
}

static void bind_bits(sqlite3_stmt *statement, int at, uint64_t bits)
{
    (void)sqlite3_bind_int64(statement, at, (sqlite3_int64)bits);
}

static void bind_value(sqlite3_stmt *statement, int at, const struct qs_value *value)
{
    switch (value->type) {
    case SQLITE_INTEGER:
        (void)sqlite3_bind_int64(statement, at, value->integer);
        return;
    case SQLITE_FLOAT:
        (void)sqlite3_bind_double(statement, at, value->real);
        return;
    case SQLITE_TEXT:
        (void)sqlite3_bind_text64(
            statement, at, value->text.ptr != NULL ? value->text.ptr : "", value->text.len,
            value->text.ptr == value->own ? SQLITE_TRANSIENT : SQLITE_STATIC, SQLITE_UTF8);
        return;
    }
    (void)sqlite3_bind_null(statement, at);
}

/* The rows of a table of schema.c. */
static enum qs_status save_table(const struct qs_saved *file, const struct qs_view *view,
                                 enum qs_table_id table)
{
    sqlite3_stmt *statement = NULL;
    struct qs_value value;
    int columns = qs_table_width(table);
    uint32_t rows = qs_table_rows(view, table);
    enum qs_status status = prepare_insert(file, qs_table_name(table), columns, &statement);
    for (uint32_t row = 0; status == QS_OK && row < rows; row++) {
        uint32_t parts = table == QS_TABLE_RECIPIENTS ? view->scan->messages[row].recipient_count : 1;
        for (uint32_t part = 0; status == QS_OK && part < parts; part++) {
            for (int c = 0; c < columns; c++) {
                qs_cell(view, table, c, row, part, &value);
                bind_value(statement, c + 1, &value);
            }
            status = insert(file, statement);
        }
    }
    sqlite3_finalize(statement);
    return status;
}

static void put_urls(unsigned char to[QS_SAVED_URLS], const uint32_t url[QS_URLS_KEPT])
{
    for (unsigned i = 0; i < QS_SAVED_URLS; i++)
        to[i] = (unsigned char)(url[i / 4] >> i % 4 * 8);
}

/* Five columns from `at` on; `urls` must live until the row is inserted. */
static void bind_print(sqlite3_stmt *statement, int at, const struct qs_fingerprint *print,
                       const uint32_t url[QS_URLS_KEPT], unsigned char urls[QS_SAVED_URLS])
{
    put_urls(urls, url);
    (void)sqlite3_bind_blob(statement, at, print->sketch.bin, QS_SKETCH_BINS, SQLITE_STATIC);
    bind_bits(statement, at + 1, print->body_hash);
    bind_bits(statement, at + 2, print->shingles);
    bind_bits(statement, at + 3, print->words);
    (void)sqlite3_bind_blob(statement, at + 4, urls, QS_SAVED_URLS, SQLITE_STATIC);
}

static enum qs_status save_fingerprints(const struct qs_saved *file, const struct qs_view *view)
{
    sqlite3_stmt *statement = NULL;
    unsigned char urls[QS_SAVED_URLS];
    enum qs_status status = prepare_insert(file, "fingerprints", 14, &statement);
    for (uint32_t i = 0; status == QS_OK && i < view->scan->count; i++) {
        const struct qs_message *m = &view->scan->messages[i];
        const uint64_t bits[] = {i, m->instance, m->flags, m->traits, m->structure, m->attachment, m->digest,
                                 m->message_id, m->in_reply_to};
        for (int c = 0; c < 9; c++)
            bind_bits(statement, c + 1, bits[c]);
        bind_print(statement, 10, &m->print, m->url, urls);
        status = insert(file, statement);
    }
    sqlite3_finalize(statement);
    return status;
}

static enum qs_status save_returned(const struct qs_saved *file, const struct qs_view *view)
{
    sqlite3_stmt *statement = NULL;
    unsigned char urls[QS_SAVED_URLS];
    const struct qs_intern *strings = view->scan->strings;
    enum qs_status status = prepare_insert(file, "returned", 11 + 3 * QS_BY_KEPT, &statement);
    for (uint32_t i = 0; status == QS_OK && i < view->scan->count; i++) {
        const struct qs_returned *r = view->scan->messages[i].returned;
        if (r == NULL)
            continue;
        bind_bits(statement, 1, i);
        bind_bits(statement, 2, r->traits);
        bind_bits(statement, 3, r->structure);
        bind_bits(statement, 4, r->message_id);
        bind_print(statement, 5, &r->print, r->url, urls);
        bind_span(statement, 10, qs_sym_span(strings, r->from));
        bind_span(statement, 11, qs_sym_span(strings, r->subject));
        for (uint32_t k = 0; k < QS_BY_KEPT; k++) {
            struct qs_hop hop = k < r->hops ? r->hop[k] : (struct qs_hop){0, 0, 0};
            bind_span(statement, 12 + (int)k, qs_sym_span(strings, hop.by));
            bind_span(statement, 12 + QS_BY_KEPT + (int)k, qs_sym_span(strings, hop.client));
            bind_span(statement, 12 + 2 * QS_BY_KEPT + (int)k, qs_sym_span(strings, hop.name));
        }
        status = insert(file, statement);
    }
    sqlite3_finalize(statement);
    return status;
}

/* The name of the host: as given, else as its MTA calls it; or NULL. */
static const char *host_of(const struct qs_view *view)
{
    const struct qs_site *site = view->judgement != NULL ? view->judgement->site : NULL;
    return view->host != NULL ? view->host : site != NULL ? site->hostname : NULL;
}

/* A queue of this host is named after it; one that came out of a saved scan keeps its name. */
static enum qs_status save_instances(const struct qs_saved *file, const struct qs_view *view)
{
    sqlite3_stmt *statement = NULL;
    const char *host = host_of(view);
    size_t live = 0;
    enum qs_status status = prepare_insert(file, "instances", 2, &statement);
    for (size_t q = 0; q < view->scan->queue_count; q++)
        live += view->scan->queues[q].instance != NULL;
    for (size_t q = 0; status == QS_OK && q < view->scan->queue_count; q++) {
        const struct qs_scan_queue *queue = &view->scan->queues[q];
        bool named = queue->instance != NULL && host != NULL;
        char *name = named && live > 1 ? talloc_asprintf(NULL, "%s/%s", host, queue->name)
                                       : talloc_strdup(NULL, named ? host : queue->name);
        if (name == NULL) {
            status = no_memory(file->err);
            break;
        }
        bind_bits(statement, 1, q);
        bind_span(statement, 2, qs_span_of(name));
        status = insert(file, statement);
        talloc_free(name);
    }
    sqlite3_finalize(statement);
    return status;
}

static enum qs_status save_meta_text(const struct qs_saved *file, sqlite3_stmt *statement, const char *key,
                                     const char *value)
{
    bind_span(statement, 1, qs_span_of(key));
    bind_span(statement, 2, qs_span_of(value));
    return insert(file, statement);
}

static enum qs_status save_meta(const struct qs_saved *file, const struct qs_view *view)
{
    sqlite3_stmt *statement = NULL;
    char number[32];
    const char *key, *host = host_of(view);
    uint64_t *total;
    enum qs_status status = prepare_insert(file, "meta", 2, &statement);
    if (status == QS_OK)
        status = save_meta_text(file, statement, "tool", "qsurgeon");
    if (status == QS_OK)
        status = save_meta_text(file, statement, "version", QS_VERSION);
    if (status == QS_OK)
        status = save_meta_text(file, statement, "host", host != NULL ? host : "");
    (void)snprintf(number, sizeof number, "%d", (int)QS_SAVED_FORMAT);
    if (status == QS_OK)
        status = save_meta_text(file, statement, "format", number);
    (void)snprintf(number, sizeof number, "%lld", (long long)view->now);
    if (status == QS_OK)
        status = save_meta_text(file, statement, "taken", number);
    if (status == QS_OK)
        status = save_meta_text(file, statement, "partial", view->partial ? "1" : "0");
    for (unsigned i = 0; status == QS_OK && (key = qs_saved_total(&view->scan->totals, i, &total)) != NULL;
         i++) {
        (void)snprintf(number, sizeof number, "%llu", (unsigned long long)*total);
        status = save_meta_text(file, statement, key, number);
    }
    sqlite3_finalize(statement);
    return status;
}

static enum qs_status save_site(const struct qs_saved *file, const struct qs_site *site)
{
    sqlite3_stmt *statement = NULL;
    if (site == NULL)
        return QS_OK;
    char *hostname = talloc_strdup(NULL, site->hostname != NULL ? site->hostname : "");
    char *const *lists[QS_SITE_KINDS] = {&hostname, site->local_domains, site->relay_domains, site->networks,
                                         site->trusted_relays, site->honeypots, site->good_senders};
    size_t counts[QS_SITE_KINDS] = {site->hostname != NULL, site->local_count, site->relay_count,
                                    site->network_count, site->trusted_relay_count, site->honeypot_count,
                                    site->good_sender_count};
    sqlite3_int64 entry = 0;
    enum qs_status status =
        hostname != NULL ? prepare_insert(file, "site", 3, &statement) : no_memory(file->err);
    for (size_t kind = 0; status == QS_OK && kind < QS_SITE_KINDS; kind++) {
        for (size_t i = 0; status == QS_OK && i < counts[kind]; i++) {
            (void)sqlite3_bind_int64(statement, 1, entry++);
            bind_span(statement, 2, qs_span_of(qs_site_kinds[kind]));
            bind_span(statement, 3, qs_span_of(lists[kind][i]));
            status = insert(file, statement);
        }
    }
    sqlite3_finalize(statement);
    talloc_free(hostname);
    return status;
}

static enum qs_status save_all(const struct qs_saved *file, const struct qs_view *view)
{
    char *text = talloc_asprintf(NULL, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; "
                                 "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY; "
                                 "PRAGMA application_id = %d; PRAGMA user_version = %d; BEGIN",
                                 (int)QS_SAVED_APPLICATION, (int)QS_SAVED_FORMAT);
    enum qs_status status = text != NULL ? execute(file, text) : no_memory(file->err);
    talloc_free(text);
    for (unsigned table = 0; status == QS_OK && table < QS_SAVED_TABLES; table++) {
        text = qs_saved_schema(NULL, table);
        status = text != NULL ? execute(file, text) : no_memory(file->err);
        talloc_free(text);
    }
    if (status == QS_OK)
        status = save_meta(file, view);
    if (status == QS_OK)
        status = save_site(file, view->judgement != NULL ? view->judgement->site : NULL);
    if (status == QS_OK)
        status = save_instances(file, view);
    if (status == QS_OK)
        status = save_table(file, view, QS_TABLE_MESSAGES);
    if (status == QS_OK)
        status = save_table(file, view, QS_TABLE_RECIPIENTS);
    if (status == QS_OK)
        status = save_table(file, view, QS_TABLE_CLUSTERS);
    if (status == QS_OK)
        status = save_table(file, view, QS_TABLE_PROBLEMS);
    if (status == QS_OK)
        status = save_fingerprints(file, view);
    if (status == QS_OK)
        status = save_returned(file, view);
    return status == QS_OK ? execute(file, "COMMIT") : status;
}

/* QS_USAGE when the file must not be there, or is none that may be replaced. */
static enum qs_status check_target(const char *path, bool replace, struct qs_error *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? QS_OK : qs_fail_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return qs_fail(err, QS_USAGE, "%s: there is something that is not a regular file", path);
    if (!replace)
        return qs_fail(err, QS_USAGE, "%s: the file exists; --replace writes over it", path);
    return QS_OK;
}

/* Gives the file its name, in one step; without `replace` never to the loss of another. *moved: `from` is
 * gone. */
static enum qs_status put_in_place(const char *from, const char *path, bool replace, bool *moved,
                                   struct qs_error *err)
{
    if (replace) {
        *moved = rename(from, path) == 0;
        return *moved ? QS_OK : qs_fail_errno(err, errno, "%s", path);
    }
#ifdef RENAME_NOREPLACE
    if (renameat2(AT_FDCWD, from, AT_FDCWD, path, RENAME_NOREPLACE) == 0) {
        *moved = true;
        return QS_OK;
    }
    if (errno == EEXIST)
        return qs_fail(err, QS_USAGE, "%s: the file exists", path);
#endif
    if (link(from, path) == 0)          /* file systems without the call above */
        return QS_OK;
    if (errno == EEXIST)
        return qs_fail(err, QS_USAGE, "%s: the file exists", path);
    return qs_fail_errno(err, errno, "%s", path);
}

/* Makes the new name last. */
static enum qs_status sync_directory(const char *path, struct qs_error *err)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash == NULL ? talloc_strdup(NULL, ".")
                                    : talloc_strndup(NULL, path, slash == path ? 1 : (size_t)(slash - path));
    if (directory == NULL)
        return no_memory(err);
    enum qs_status status = QS_OK;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))      /* some file systems cannot sync a directory */
        status = qs_fail_errno(err, errno, "%s", directory);
    if (fd >= 0)
        close(fd);
    talloc_free(directory);
    return status;
}

enum qs_status qs_save(const struct qs_view *view, const char *path, bool replace, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    char *temporary = talloc_asprintf(scratch, "%s.XXXXXX", path);
    struct qs_saved *file = qs_saved_new(scratch, path, err);
    bool moved = false;
    int fd = -1;
    enum qs_status status =
        temporary != NULL && file != NULL ? check_target(path, replace, err) : no_memory(err);
    if (status != QS_OK)
        goto done;
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        status = qs_fail_errno(err, errno, "%s", path);
        goto done;
    }
    if (qs_saved_open(file, temporary, SQLITE_OPEN_READWRITE, "") != SQLITE_OK)
        status = write_failed(file);
    if (status == QS_OK)
        status = save_all(file, view);
    talloc_free(file);                  /* closes: everything is in the file */
    if (status == QS_OK && fsync(fd) != 0)
        status = qs_fail_errno(err, errno, "%s", path);
    if (status == QS_OK)
        status = put_in_place(temporary, path, replace, &moved, err);
    if (!moved)
        (void)unlink(temporary);        /* our own, by its random name */
    if (status == QS_OK)
        status = sync_directory(path, err);
    close(fd);
done:
    talloc_free(scratch);
    return status;
}

