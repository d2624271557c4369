/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a saved scan, and opening one. Neither writes nor reads rows. */
#include "saved.h"

#include <string.h>

/* Tables that are not in qs_columns(). */
static const struct {
    const char *name, *columns;
} extras[] = {
    {"meta", "key TEXT PRIMARY KEY, value TEXT"},
    {"site", "entry INTEGER PRIMARY KEY, kind TEXT, value TEXT"},
    {"instances", "instance INTEGER PRIMARY KEY, name TEXT"},
    {"fingerprints",
     "message INTEGER PRIMARY KEY, instance INTEGER, flags INTEGER, traits INTEGER, structure INTEGER, "
     "attachment INTEGER, digest INTEGER, message_id INTEGER, in_reply_to INTEGER, sketch BLOB, body_hash "
     "INTEGER, "
     "shingles INTEGER, words INTEGER, urls BLOB"},
    {"returned",
     "message INTEGER PRIMARY KEY, traits INTEGER, structure INTEGER, message_id INTEGER, sketch BLOB, "
     "body_hash INTEGER, shingles INTEGER, words INTEGER, urls BLOB, from_address TEXT, subject TEXT, "
     "by_1 TEXT, by_2 TEXT, by_3 TEXT, by_4 TEXT, by_5 TEXT, by_6 TEXT, by_7 TEXT, by_8 TEXT, "
     "client_1 TEXT, client_2 TEXT, client_3 TEXT, client_4 TEXT, client_5 TEXT, client_6 TEXT, client_7 "
     "TEXT, client_8 TEXT, "
     "name_1 TEXT, name_2 TEXT, name_3 TEXT, name_4 TEXT, name_5 TEXT, name_6 TEXT, name_7 TEXT, name_8 TEXT"},
};
enum { EXTRAS = sizeof extras / sizeof extras[0] };
_Static_assert((int)QS_SAVED_TABLES == (int)EXTRAS + (int)QS_TABLES - 1, "all but evidence is saved");
_Static_assert((int)QS_BY_KEPT == 8, "the columns of `returned`");

const char *const qs_site_kinds[QS_SITE_KINDS] = {"hostname", "local", "relay", "network",
                                                  "trusted", "honeypot", "good"};

const char *qs_saved_table(unsigned table)
{
    if (table < EXTRAS)
        return extras[table].name;
    enum qs_table_id id = (enum qs_table_id)(table - EXTRAS);
    return qs_table_name(id < QS_TABLE_EVIDENCE ? id : QS_TABLE_PROBLEMS);
}

char *qs_saved_schema(TALLOC_CTX *parent, unsigned table)
{
    const char *name = qs_saved_table(table), *end = ")", *join = "";
    size_t count;
    const struct qs_column *column = qs_columns(&count);
    char *text = talloc_asprintf(parent, "CREATE TABLE %s(", name);
    if (text != NULL && table < EXTRAS)
        return talloc_asprintf_append_buffer(text, "%s)", extras[table].columns);
    for (size_t c = 0; text != NULL && c < count; c++) {
        if (strcmp(column[c].table, name) != 0)
            continue;
        text = talloc_asprintf_append_buffer(text, "%s%s %s", join, column[c].name, column[c].type);
        join = ", ";
    }
    if (strcmp(name, "messages") == 0)
        end = ", PRIMARY KEY(message))";
    if (strcmp(name, "recipients") == 0)
        end = ", PRIMARY KEY(message, position)) WITHOUT ROWID";
    return text != NULL ? talloc_strdup_append_buffer(text, end) : NULL;
}

const char *qs_saved_total(struct qs_scan_totals *totals, unsigned i, uint64_t **place)
{
    const struct {
        const char *name;
        uint64_t *place;
    } all[] = {
        {"listed", &totals->listed},         {"gone", &totals->gone},
        {"skipped", &totals->skipped},       {"moved", &totals->moved},
        {"unreadable", &totals->unreadable}, {"no_permission", &totals->no_permission},
    };
    if (i >= sizeof all / sizeof all[0])
        return NULL;
    *place = all[i].place;
    return all[i].name;
}

static int close_saved(struct qs_saved *file)
{
    sqlite3_close_v2(file->db);     /* its statements, children of the object, go after it */
    return 0;
}

struct qs_saved *qs_saved_new(TALLOC_CTX *parent, const char *path, struct qs_error *err)
{
    struct qs_saved *file = talloc_zero(parent, struct qs_saved);
    if (file == NULL)
        return NULL;
    talloc_set_destructor(file, close_saved);
    file->path = path;
    file->err = err;
    return file;
}

/* As a URI, for a plain name that begins with "file:" would be taken for one. */
int qs_saved_open(struct qs_saved *file, const char *name, int flags, const char *options)
{
    char *uri = talloc_strdup(file, name[0] == '/' ? "file://" : "file:");
    for (const char *p = name; uri != NULL && *p != '\0'; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                     strchr("/._-", *p) != NULL;
        if (plain)
            uri = talloc_strndup_append_buffer(uri, p, 1);
        else
            uri = talloc_asprintf_append_buffer(uri, "%%%02X", (unsigned)(unsigned char)*p);
    }
    if (uri != NULL)
        uri = talloc_asprintf_append_buffer(uri, "?%s", options);
    if (uri == NULL)
        return SQLITE_NOMEM;
    int result = sqlite3_open_v2(uri, &file->db, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
    talloc_free(uri);
    return result;
}
