/* SPDX-License-Identifier: Apache-2.0 */
/* What a saved scan looks like: shared by save.c, which writes one, and load.c, which trusts none. Private
 * to select/.
 *
 * Plain SQLite tables. Those of schema.h are for people with a sqlite3 shell; the others are what
 * clustering and judging need beside them:
 *
 *     meta           what the file is, when and where it was made, totals of the scan
 *     site           what the host serves
 *     instances      queues by number
 *     messages, recipients, clusters, problems       as in qs_columns()
 *     fingerprints   digests and bits of each message; sketches are 64 bytes, link hosts four 32-bit numbers,
 *                    least significant byte first; 64-bit digests are stored as signed numbers
 *     returned       the same for the message that a notice carries back */
#ifndef QSURGEON_SELECT_SAVED_H
#define QSURGEON_SELECT_SAVED_H

#include "schema.h"

enum {
    QS_SAVED_APPLICATION = 0x71737267, /* "qsrg", where file(1) looks */
    QS_SAVED_FORMAT = 2, /* raise it when a table, a column or the meaning of a stored bit changes */
    QS_SAVED_TABLES = 9,
    QS_SAVED_URLS = 4 * QS_URLS_KEPT, /* bytes of a blob of link hosts */
    QS_SITE_KINDS = 7,
};

/* Kinds of entries in `site`: the settings of a site in the order of qsurgeon/site.h. */
extern const char *const qs_site_kinds[QS_SITE_KINDS];

const char *qs_saved_table(unsigned table);
/* The text that makes the table, which SQLite also keeps as it is; a child of parent. NULL: out of memory. */
char *qs_saved_schema(TALLOC_CTX *parent, unsigned table);

/* The totals that `meta` has: the name of number i and its place, or NULL behind the last. */
const char *qs_saved_total(struct qs_scan_totals *totals, unsigned i, uint64_t **place);

/* An open file, closed with its talloc object. */
struct qs_saved {
    sqlite3 *db;
    const char *path;               /* for texts */
    struct qs_error *err;
};
/* Not open yet. NULL: out of memory. */
struct qs_saved *qs_saved_new(TALLOC_CTX *parent, const char *path, struct qs_error *err);
/* Opens exactly the file called `name`, whatever characters are in it, with SQLITE_OPEN_... flags and URI
 * options such as "immutable=1" or "". The result is SQLite's. */
int qs_saved_open(struct qs_saved *file, const char *name, int flags, const char *options);

#endif
