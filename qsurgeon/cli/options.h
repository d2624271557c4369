/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one table of options feeds parsing, help and the test that compares the README with the
 * program. */
#ifndef QSURGEON_CLI_OPTIONS_H
#define QSURGEON_CLI_OPTIONS_H

#include <stdio.h>

#include "qsurgeon/mine.h"
#include "qsurgeon/select.h"

enum qs_option_id {
    /* where to look: for every command */
    QS_OPT_MTA,
    QS_OPT_QUEUE_DIR,
    QS_OPT_CONFIG,
    QS_OPT_FROM,
    QS_OPT_THREADS,
    QS_OPT_DNS,
    QS_OPT_NO_DNS,
    QS_OPT_HELP,
    QS_OPT_VERSION,
    /* selection */
    QS_OPT_ID,
    QS_OPT_VERDICT,
    QS_OPT_CLUSTER,
    QS_OPT_CAUSE,
    QS_OPT_SENDER,
    QS_OPT_RECIPIENT,
    QS_OPT_CLIENT,
    QS_OPT_SUBJECT,
    QS_OPT_QUEUE,
    QS_OPT_OLDER,
    QS_OPT_YOUNGER,
    QS_OPT_LARGER,
    QS_OPT_SMALLER,
    QS_OPT_LIKE,
    QS_OPT_MX,
    QS_OPT_WHERE,
    /* of single commands */
    QS_OPT_JSON,
    QS_OPT_CSV,
    QS_OPT_IDS,
    QS_OPT_EXPLAIN,
    QS_OPT_PROBLEMS,
    QS_OPT_TOP,
    QS_OPT_PARTIAL,
    QS_OPT_RAW,
    QS_OPT_SENDERS,
    QS_OPT_SCHEMA,
    QS_OPT_KEY,
    QS_OPT_PUBLIC_KEY,
    QS_OPT_HASHED,
    QS_OPT_MAX_SHRINK,
    QS_OPT_LIST,
    QS_OPT_UNKNOWN,
    QS_OPT_LOG,
    QS_OPT_MMDB,
    QS_OPT_OVER,
    QS_OPT_FORMAT,
    QS_OPT_PRUNE,
    QS_OPT_REPLACE,
    QS_OPT_ALL,
    QS_OPT_COMMIT,
    QS_OPT_PLAN,
    QS_OPT_MAX,
    QS_OPT_MAX_SHARE,
    QS_OPT_INCLUDE_LEGIT,
    QS_OPT_FOR,
    QS_OPT_REASON,
    QS_OPT_KEEP,
    QS_OPT_NO_ARCHIVE,
    QS_OPT_OUTPUT,
    QS_OPT_EDITED,
    QS_OPT_WITH_MESSAGES,
    QS_OPT_CHECK_QUEUE,
    QS_OPT_DUE,
    QS_OPT_DRIP,
    QS_OPT_STICKY,
    QS_OPT_AGAIN,
    QS_OPT_DAMAGED,
    QS_OPT_EXPORT,
    QS_OPT_RESUBMIT,
    QS_OPT_PROGRAM,
    QS_OPT_STATE,
    QS_OPT_SITE,
    QS_OPT_LIKE_GOOD,
    QS_OPT_LIKE_BAD,
    QS_OPT_MAPS,
    QS_OPT_TRAIN,
    QS_OPT_GOOD,
    QS_OPT_ACTION,
};
enum { QS_OPTIONS = QS_OPT_ACTION + 1 };
/* A set of options: more than 64 of them. */
typedef unsigned __int128 qs_option_set;
#define QS_OPTION(id) ((qs_option_set)1 << (id))
#define QS_EVERY_OPTION (~(qs_option_set)0)

struct qs_command;

struct qs_options {
    const struct qs_command *command;
    bool help, version;
    const char *mta, *site;
    const char *queue_dir, *config, *state;     /* from the root */
    char **from; size_t from_count;
    char **like_good; size_t like_good_count;
    char **like_bad; size_t like_bad_count;
    bool maps;
    unsigned threads, top;
    struct qs_selection *selection;
    bool check_queue;               /* doctor */
    bool all, commit, include_legit, keep, no_archive, edited, with_messages;
    bool again, damaged, resubmit;
    const char *export, *submit_program;
    const char *plan, *reason, *output;
    unsigned max;
    double max_share;
    bool dns, no_dns;               /* asked for; forbidden */
    const char *dns_server;         /* NULL: those of the system */
    int64_t defer_for, sticky;      /* seconds; 0: not given */
    unsigned drip;                  /* messages a minute; 0: not given */
    bool due;
    char **logs; size_t log_count;
    const char *mmdb, *format, *prune, *key, *public_key, *list;
    bool hashed, unknown;
    double max_shrink;              /* per cent; negative: not given */
    unsigned over;
    bool json, csv, ids, explain, problems, partial, raw, senders, schema, replace;
    enum qs_mine_action action;
    double train;                   /* per cent; 0: not given */
    char **good; size_t good_count;
    char **arguments; size_t argument_count;
    char *line;                     /* the whole command line, quoted for a shell */
    char *program;                  /* this program and where it looks, quoted for a shell */
    char *selection_words; /* the selection, but --verdict, quoted: "" or with a blank before each word */
};

/* Parses the command line. Reads standard input for `--id -`. QS_USAGE: one line that says what is wrong.
 * QS_NOMEM. */
enum qs_status qs_options_parse(TALLOC_CTX *parent, int argc, char **argv, struct qs_options **out,
                                struct qs_error *err) QS_MUST_CHECK;

/* `path` from the root: in a journal it must mean the same everywhere. A child of parent. NULL: out of memory. */
char *qs_absolute_path(TALLOC_CTX *parent, const char *path);

/* The commands in the order of the help text; of main.c. */
extern const struct qs_command *const qs_commands[];
extern const size_t qs_command_count;

/* What the program says of itself: all, or one command. */
void qs_help(FILE *out);
void qs_help_command(FILE *out, const struct qs_command *command);

#endif
