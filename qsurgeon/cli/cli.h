/* SPDX-License-Identifier: Apache-2.0 */
/* A command of the program. To add one: a file cmd_<name>.c that ends with its entry, the entry in main.c,
 * its options in options.c, a section in README.md; tests/cli compares the last two with the program. */
#ifndef QSURGEON_CLI_CLI_H
#define QSURGEON_CLI_CLI_H

#include <stdio.h>

#include "options.h"
#include "qsurgeon/report.h"

/* One run of a command. */
struct qs_call {
    TALLOC_CTX *memory;
    const struct qs_options *options;
    struct qs_style style;
    FILE *out;
    struct qs_instance *instance;   /* the only one in view, once it was found; or NULL */
    char **drop;                    /* what drop-recipients takes off, when --recipient does not say it */
    size_t drop_count;
    bool left_out;                  /* some messages could not be had: exit code 2 */
    bool no_permission;             /* some files could not be read for want of a privilege: exit code 77 */
};

struct qs_command {
    const char *name;
    const char *summary;
    const char *arguments;          /* "" or as in "ID|C-NAME..." */
    size_t least, most;             /* number of arguments; SIZE_MAX: any */
    bool asks_dns;                  /* without being told, unless --no-dns */
    bool selects;                   /* takes the options of a selection */
    bool never_saved;               /* --from makes no sense */
    qs_option_set options;          /* its own */
    const char *description;        /* for `help COMMAND`: lines, or "" */
    enum qs_status (*run)(struct qs_call *call, struct qs_error *err);
};

extern const struct qs_command qs_cmd_triage, qs_cmd_list, qs_cmd_show, qs_cmd_shape, qs_cmd_sources, qs_cmd_block, qs_cmd_recipients,
    qs_cmd_sql, qs_cmd_save;
extern const struct qs_command qs_cmd_hold, qs_cmd_release, qs_cmd_purge, qs_cmd_archive, qs_cmd_defer, qs_cmd_expedite,
    qs_cmd_express, qs_cmd_requeue, qs_cmd_drop_recipients;
extern const struct qs_command qs_cmd_commit, qs_cmd_undo, qs_cmd_resume, qs_cmd_log, qs_cmd_forget, qs_cmd_verify,
    qs_cmd_doctor;
extern const struct qs_command qs_cmd_rules;
extern const struct qs_command qs_cmd_archives, qs_cmd_restore;

/* doctor --dns: which role this host has for each domain that it serves. */
enum qs_status qs_doctor_dns(struct qs_call *call, struct qs_error *err) QS_MUST_CHECK;

/* A line on standard error that does not end the run. */
void qs_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* `rules mine`. */
enum qs_status qs_rules_mine(struct qs_call *call, struct qs_error *err);
/* Attempts that logs tell of shall count when they are no older than `age` seconds. */
struct qs_sources_wish;
void qs_logs_since(struct qs_sources_wish *wish, int64_t age);

#endif
