/* SPDX-License-Identifier: Apache-2.0 */
/* Which messages are meant: the same options for every command, and SQL over the scan. */
#ifndef QSURGEON_SELECT_H
#define QSURGEON_SELECT_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/cluster.h"
#include "qsurgeon/scan.h"
#include "qsurgeon/verdict.h"

/* Everything that is known about a queue at one time: what select, report and cli work on. */
struct qs_view {
    struct qs_scan *scan;
    struct qs_clusters *clusters;
    struct qs_judgement *judgement;
    int64_t now;                    /* of the scan, seconds since 1970 */
    bool partial;                   /* the scan is still going on */
};

/* The options as the user gave them; lists are talloc arrays of strings. Several of one kind widen (any of them), several
 * kinds narrow (all of them). */
struct qs_selection {
    char **ids; size_t id_count;
    bool ids_given;                             /* --id was used, even when the list came out empty */
    unsigned verdicts;                          /* bit set of 1 << enum qs_verdict; 0: any */
    uint32_t causes;                            /* bit set of 1 << enum qs_cause; 0: any */
    char **clusters; size_t cluster_count;      /* group names */
    char **senders; size_t sender_count;        /* PCRE2, caseless, unanchored */
    char **recipients; size_t recipient_count;
    char **clients; size_t client_count;        /* CIDR or address, else PCRE2 on address, name and HELO */
    char **subjects; size_t subject_count;
    char **queues; size_t queue_count;          /* queue names */
    int64_t older, younger;                     /* seconds of age; -1: not given */
    int64_t larger, smaller;                    /* bytes; -1: not given */
    char **like; size_t like_count;             /* files with a message */
    char **where; size_t where_count;           /* SQL expressions over a message's columns */
};

/* A selection that selects everything. NULL: out of memory. */
struct qs_selection *qs_selection_new(TALLOC_CTX *parent);
/* True when nothing narrows it. */
bool qs_selection_all(const struct qs_selection *selection);
/* The selection in words, for plans and reports: a child of parent. */
char *qs_selection_words(TALLOC_CTX *parent, const struct qs_selection *selection);

/* Marks the selected messages: (*out)[i] is 1 or 0, a talloc array of view->scan->count bytes under parent. Reads the
 * --like files. QS_USAGE: a pattern, CIDR, expression or cluster name is wrong (the text says which and why; an unknown
 * cluster name is wrong, an unknown queue ID is not). QS_NOMEM. Time is bounded: PCRE2 match limits are set. */
enum qs_status qs_select(TALLOC_CTX *parent, const struct qs_view *view, const struct qs_selection *selection,
                         uint8_t **out, uint32_t *count, struct qs_error *err) QS_MUST_CHECK;

/* Runs a read-only query over the tables `messages`, `recipients`, `clusters`, `evidence`, `problems` (columns:
 * qsurgeon/select/schema.h). row() gets each row's values as SQLite gives text, NULL for null, and types as SQLITE_INTEGER
 * and so on; return false to stop. `selected` (may be NULL) narrows messages and recipients. QS_USAGE: SQLite's words. */
struct qs_row {
    int columns;
    const char *const *names;
    const char *const *values;
    const size_t *lengths;
    const int *types;
};
typedef bool (*qs_row_sink)(void *data, const struct qs_row *row);
enum qs_status qs_sql(const struct qs_view *view, const uint8_t *selected, const char *query, qs_row_sink sink, void *data,
                      struct qs_error *err) QS_MUST_CHECK;

/* Writes the scan into a new SQLite file (temporary name, fsync, rename; never over an existing file unless `replace`),
 * readable by any SQLite: the tables of qs_sql, and the sketches. QS_IO. */
enum qs_status qs_save(const struct qs_view *view, const char *path, bool replace, struct qs_error *err) QS_MUST_CHECK;

/* Adds the messages of a saved scan to `scan`, as a queue named after the host it was taken on. The file is hostile input:
 * opened read-only, schema checked, values bounded. *taken is set to the time of that scan. QS_DATA, QS_IO, QS_GONE. */
enum qs_status qs_load(struct qs_scan *scan, const char *path, int64_t *taken, struct qs_error *err) QS_MUST_CHECK;

#endif
