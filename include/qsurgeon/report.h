/* SPDX-License-Identifier: Apache-2.0 */
/* What people and programs read. Text is for people and may change; JSON is the contract.
 *
 * Every function writes to `out` and gives QS_IO when that failed. Nothing raw leaves: control characters,
 * bidi overrides, invisible characters and invalid UTF-8 are escaped in every form of output. JSON is pure
 * ASCII, one object a line; bytes that are no UTF-8 stand in it as U+FFFD. What is shown does not depend on
 * the order of the messages in the scan. `selected` marks the messages meant (qs_select); NULL: all. */
#ifndef QSURGEON_REPORT_H
#define QSURGEON_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "qsurgeon/role.h"
#include "qsurgeon/rules.h"
#include "qsurgeon/select.h"

struct qs_style {
    unsigned columns;               /* width of the terminal; 80 for a pipe */
    unsigned rows;                  /* height of the terminal; 0: not a terminal, nothing has to fit */
    bool colour;
    bool utf8;                      /* false: text output is pure ASCII, other characters are escaped */
    bool explain;                   /* with evidence */
    bool problems;                  /* list every problem */
    unsigned top;                   /* rows of clusters, domains, sources; 0: as many as fit sensibly */
    const char *program;            /* how to call this program again on the same queue, quoted for a shell */
    const char *selection; /* the options that select, but --verdict: "" or each with a blank before it */
};

/* `text` as one word for a POSIX shell: a child of parent. NULL: out of memory. */
char *qs_shell_word(TALLOC_CTX *parent, const char *text);

/* The product's face. Evidence of the clusters shown, with style->explain. JSON has all clusters. */
enum qs_status qs_report_triage_text(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                     const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_triage_json(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                     const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;

/* A line a message, ordered by instance, arrival, queue ID. JSON has the evidence with style->explain. CSV is
 * RFC 4180 with CRLF; text cells that a spreadsheet would run get a leading apostrophe. */
enum qs_status qs_report_list_text(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                   const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_list_json(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                   const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_list_csv(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                  const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_list_ids(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                  const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;

struct qs_envelope;
struct qs_decoded;
/* One message: envelope, recipients with their last results, header, decoded text, evidence with its sum.
 * envelope and decoded are NULL for a saved scan, and when the message left the queue meanwhile. */
enum qs_status qs_report_show_text(FILE *out, const struct qs_view *view, uint32_t message,
                                   const struct qs_envelope *envelope, const struct qs_decoded *decoded,
                                   const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_show_json(FILE *out, const struct qs_view *view, uint32_t message,
                                   const struct qs_envelope *envelope, const struct qs_decoded *decoded,
                                   struct qs_error *err) QS_MUST_CHECK;
/* One cluster with its evidence, samples, senders, clients and recipients. */
enum qs_status qs_report_cluster_text(FILE *out, const struct qs_view *view, uint32_t group,
                                      const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_cluster_json(FILE *out, const struct qs_view *view, uint32_t group,
                                      struct qs_error *err) QS_MUST_CHECK;
/* The message's bytes for a terminal: lines stay lines, all else that is not plain text is escaped. */
enum qs_status qs_report_raw_text(FILE *out, struct qs_span content, const struct qs_style *style,
                                  struct qs_error *err) QS_MUST_CHECK;

/* Age by domain in minutes since arrival, what qshape(1) shows: of recipients that wait, or of senders. */
enum qs_status qs_report_shape_text(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                    bool by_sender, const struct qs_style *style,
                                    struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_shape_json(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                    bool by_sender, struct qs_error *err) QS_MUST_CHECK;

/* Who sends: a table for each kind of source. JSON: a line a source. */
struct qs_sources;
enum qs_status qs_report_sources_text(FILE *out, const struct qs_sources *sources, const struct qs_style *style,
                                      struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_sources_json(FILE *out, const struct qs_sources *sources, struct qs_error *err) QS_MUST_CHECK;

enum qs_status qs_report_roles_text(FILE *out, const struct qs_served *list, size_t count, const struct qs_style *style,
                                    struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_roles_json(FILE *out, const struct qs_served *list, size_t count, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_rules_text(FILE *out, const struct qs_rule *rules, size_t count, const struct qs_style *style,
                                    struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_rules_json(FILE *out, const struct qs_rule *rules, size_t count, struct qs_error *err) QS_MUST_CHECK;

/* Recipients that wait and do not exist. JSON: a line for each recipient that waits. */
struct qs_list;
struct qs_recipient_marks;
enum qs_status qs_report_recipients_text(FILE *out, const struct qs_view *view, const struct qs_list *list,
                                         const struct qs_recipient_marks *marks, const struct qs_style *style,
                                         struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_recipients_json(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                         const struct qs_list *list, struct qs_error *err) QS_MUST_CHECK;

/* The rows of a query as they come from qs_sql: give qs_report_row as the sink and the object as its data,
 * then end it. `out` and `style` must outlive it. NULL: out of memory. */
enum qs_rows_form { QS_ROWS_TEXT, QS_ROWS_JSON, QS_ROWS_CSV };
struct qs_rows;
struct qs_rows *qs_rows_new(TALLOC_CTX *parent, FILE *out, enum qs_rows_form form,
                            const struct qs_style *style);
bool qs_report_row(void *rows, const struct qs_row *row);
enum qs_status qs_rows_end(struct qs_rows *rows, struct qs_error *err) QS_MUST_CHECK;

/* Plans, results, runs. `commit` is the command that would perform the plan, NULL: none. `verb`: "purged", "undone". */
struct qs_plan;
struct qs_run;
struct qs_run_result;
enum qs_status qs_report_plan_text(FILE *out, const struct qs_view *view, const struct qs_plan *plan,
                                   const struct qs_style *style, const char *commit, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_plan_json(FILE *out, const struct qs_view *view, const struct qs_plan *plan,
                                   struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_result_text(FILE *out, const struct qs_run_result *result, const char *verb,
                                     const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_result_json(FILE *out, const struct qs_run_result *result, const char *verb,
                                     struct qs_error *err) QS_MUST_CHECK;
/* Of a deferral: how many messages get no more than one try after it; nothing where there are none. */
void qs_report_last_tries(FILE *out, const struct qs_plan *plan);
/* One unfinished run, and how to settle it. */
void qs_report_unfinished(FILE *out, const struct qs_run *run, const struct qs_style *style);
enum qs_status qs_report_log_text(FILE *out, const struct qs_run *runs, size_t count, const struct qs_style *style,
                                  struct qs_error *err) QS_MUST_CHECK;
/* Archives: a row each. */
struct qs_archive_row {
    const char *run;            /* NULL: of none of the runs here */
    const char *path;
    int64_t time;               /* when it was written */
    const struct qs_archive_summary *summary;
};
enum qs_status qs_report_archives_text(FILE *out, const struct qs_archive_row *rows, size_t count,
                                       const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_archives_json(FILE *out, const struct qs_archive_row *rows, size_t count,
                                       struct qs_error *err) QS_MUST_CHECK;
struct qs_forgotten;
enum qs_status qs_report_forgotten_json(FILE *out, const char *run, const struct qs_forgotten *found, bool committed,
                                        struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_log_json(FILE *out, const struct qs_run *runs, size_t count, struct qs_error *err) QS_MUST_CHECK;

/* What doctor found in a queue directory. `commit` is the command that would repair it, NULL: none. */
struct qs_instance;
struct qs_flaw;
struct qs_leftover;
enum qs_status qs_report_doctor_text(FILE *out, const struct qs_instance *instance, const struct qs_flaw *flaws, size_t count,
                                     const struct qs_leftover *left, size_t left_count, const struct qs_style *style,
                                     const char *commit, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_doctor_json(FILE *out, const struct qs_instance *instance, const struct qs_flaw *flaws, size_t count,
                                     const struct qs_leftover *left, size_t left_count, struct qs_error *err) QS_MUST_CHECK;

/* Mined rules, an object a cluster. */
struct qs_mined;
enum qs_status qs_report_mine_json(FILE *out, const struct qs_view *view, const struct qs_mined *mined,
                                   struct qs_error *err) QS_MUST_CHECK;

#endif
