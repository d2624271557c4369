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
    const char *host;               /* name of the host scanned, for saved scans; NULL: as its MTA calls it */
};

/* The options as the user gave them; lists are talloc arrays of strings. Several of one kind widen (any of
 * them), several kinds narrow (all of them). Patterns are PCRE2, caseless, Unicode, unanchored; an empty
 * one is refused, since it would match everything. */
struct qs_selection {
    char **ids; size_t id_count;
    bool ids_given;                             /* --id was used, even when the list came out empty */
    unsigned verdicts;                          /* bit set of 1 << enum qs_verdict; 0: any */
    uint32_t causes;                            /* bit set of 1 << enum qs_cause; 0: any */
    char **clusters; size_t cluster_count;      /* group names, either case */
    char **senders; size_t sender_count;        /* patterns on the envelope sender; "<>": the null sender */
    char **recipients; size_t recipient_count;  /* patterns on the recipients that still wait; any of a message's */
    char **clients; size_t client_count;        /* CIDR or address, else a pattern on address, name and HELO */
    char **subjects; size_t subject_count;      /* patterns on the decoded subject */
    char **queues; size_t queue_count;          /* queue names, either case */
    int64_t older, younger;                     /* seconds of age, at least and less than; -1: not given */
    int64_t larger, smaller;                    /* bytes, at least and less than; -1: not given */
    char **like; size_t like_count;             /* files with a message, RFC 5322; or queue IDs, queue files */
    unsigned mx;                                /* bit set of 1 << enum qs_mx; 0: any. Takes messages all of whose waiting
                                                   recipients are at such domains; none where DNS was not asked */
    char **where; size_t where_count;           /* SQL expressions over the columns of `messages` */
};

/* A selection that selects everything. NULL: out of memory. */
struct qs_selection *qs_selection_new(TALLOC_CTX *parent);
/* True when nothing narrows it. */
bool qs_selection_all(const struct qs_selection *selection);
/* The selection in words, for plans and reports: a child of parent, with the user's words in it as they
 * are. NULL: out of memory. */
char *qs_selection_words(TALLOC_CTX *parent, const struct qs_selection *selection);

/* Marks the selected messages: (*out)[i] is 1 or 0, a talloc array of view->scan->count bytes under
 * parent; *count of them are 1.
 *
 * --like takes what has the same normalised text as the file or resembles it as members of one cluster do
 * (qs_cluster_alike), and notices that return such a message. When the file is itself a notice, the
 * message that it returns is what is looked for. A file without text: messages with the same attachment.
 *
 * --where is one SQLite expression; it may read the tables of qs_sql and call pure functions, and nothing
 * else.
 *
 * QS_USAGE: a pattern, CIDR, expression or cluster name is wrong (the text says which and why; an unknown
 * cluster name is wrong, an unknown queue ID is not), or it takes too long: patterns have step limits,
 * expressions a number of steps in proportion to the messages. QS_IO, QS_NOPERM, QS_GONE: a --like file
 * cannot be read. QS_NOMEM. */
enum qs_status qs_select(TALLOC_CTX *parent, const struct qs_view *view, const struct qs_selection *selection,
                         uint8_t **out, uint32_t *count, struct qs_error *err) QS_MUST_CHECK;

/* Do two messages resemble each other as members of one cluster do: by their text, by the message that both return, or, without
 * text, by their attachment? */
bool qs_alike(const struct qs_message *a, const struct qs_message *b);

/* One column of the tables that SQL sees. */
struct qs_column {
    const char *table, *name;
    const char *type;               /* INTEGER, REAL, TEXT */
    const char *help;
};
/* All of them, table by table in the order in which `SELECT *` gives them. */
const struct qs_column *qs_columns(size_t *count);

/* Runs one read-only query over the tables `messages`, `recipients`, `clusters`, `evidence`, `problems`
 * (qs_columns). Beside SQLite's pure functions there are X REGEXP pattern (as in qs_selection),
 * domain(address) and in_network(address, cidr). row() gets each row's values as SQLite gives text, NULL
 * for null, and types as SQLITE_INTEGER and so on; all of it lives until it returns; return false to stop.
 * `selected` (may be NULL) narrows messages, recipients and evidence. QS_USAGE: the query is wrong, in
 * SQLite's words, asks for more than reading, or takes too many steps. QS_NOMEM. */
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

/* Writes the scan into a new SQLite file, mode 0600 (temporary name beside it, fsync, rename), readable by
 * any SQLite: the tables of qs_sql but evidence, and what qs_load needs to cluster and judge it again.
 * QS_USAGE: the file exists and `replace` is false, or it is not a regular file. QS_IO, QS_NOPERM, QS_GONE
 * (no such directory), QS_NOMEM. */
enum qs_status qs_save(const struct qs_view *view, const char *path, bool replace, struct qs_error *err) QS_MUST_CHECK;

/* Adds the messages of a saved scan to `scan`, one queue for each instance, named after its host; and what
 * that host serves to `site` (may be NULL), for the verdicts hang on it. The file is hostile input: opened
 * read-only, schema checked, values bounded; scan and site are as before unless QS_OK. *taken is set to
 * the time of that scan. QS_GONE, QS_NOPERM, QS_IO: cannot be read. QS_DATA: no saved scan, damaged, or of
 * another format version. QS_NOMEM. */
enum qs_status qs_load(struct qs_scan *scan, struct qs_site *site, const char *path, int64_t *taken,
                       struct qs_error *err) QS_MUST_CHECK;

/* The distinct addresses, among those that the selected messages still wait for, that the selection's --recipient patterns
 * match: a talloc array under parent. Errors as of qs_select. */
enum qs_status qs_select_recipients(TALLOC_CTX *parent, const struct qs_view *view,
                                    const struct qs_selection *selection, const uint8_t *selected, char ***out,
                                    size_t *count, struct qs_error *err) QS_MUST_CHECK;

#endif
