/* SPDX-License-Identifier: Apache-2.0 */
/* What people and programs read. Text is for people and may change; JSON is the contract.
 * Every function writes to `out` and gives QS_IO when that failed; nothing raw leaves: control characters, bidi overrides
 * and invalid UTF-8 are escaped in every form of output. */
#ifndef QSURGEON_REPORT_H
#define QSURGEON_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "qsurgeon/select.h"

struct qs_style {
    unsigned columns;               /* width of the terminal; 80 for a pipe */
    bool colour;
    bool utf8;                      /* may use characters beyond ASCII for drawing */
    bool explain;                   /* evidence for each cluster shown */
    bool problems;                  /* list every problem */
    unsigned clusters;              /* rows shown; 0: as many as fit sensibly */
};

/* `selected` marks the messages meant, NULL: all. */
enum qs_status qs_report_triage_text(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                     const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_triage_json(FILE *out, const struct qs_view *view, const uint8_t *selected, bool explain,
                                     struct qs_error *err) QS_MUST_CHECK;

enum qs_status qs_report_list_text(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                   const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_list_json(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                   struct qs_error *err) QS_MUST_CHECK;     /* one object a line */
enum qs_status qs_report_list_csv(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                  struct qs_error *err) QS_MUST_CHECK;      /* RFC 4180; cells that a spreadsheet would
                                                                               run get a leading apostrophe */
enum qs_status qs_report_list_ids(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                  struct qs_error *err) QS_MUST_CHECK;      /* bare queue IDs, one a line */

struct qs_envelope;
struct qs_decoded;
/* One message: envelope, recipients with their last results, header, decoded text, evidence with its sum. envelope and
 * decoded are NULL for a saved scan. */
enum qs_status qs_report_show_text(FILE *out, const struct qs_view *view, uint32_t message, const struct qs_envelope *envelope,
                                   const struct qs_decoded *decoded, const struct qs_style *style,
                                   struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_show_json(FILE *out, const struct qs_view *view, uint32_t message,
                                   const struct qs_envelope *envelope, const struct qs_decoded *decoded,
                                   struct qs_error *err) QS_MUST_CHECK;
/* One cluster with its evidence, samples, senders, clients and recipients. */
enum qs_status qs_report_cluster_text(FILE *out, const struct qs_view *view, uint32_t group, const struct qs_style *style,
                                      struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_cluster_json(FILE *out, const struct qs_view *view, uint32_t group,
                                      struct qs_error *err) QS_MUST_CHECK;

/* Age by domain, what qshape(1) shows: of recipients, or of senders. */
enum qs_status qs_report_shape_text(FILE *out, const struct qs_view *view, const uint8_t *selected, bool by_sender,
                                    const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_shape_json(FILE *out, const struct qs_view *view, const uint8_t *selected, bool by_sender,
                                    struct qs_error *err) QS_MUST_CHECK;

/* Where the mail came in: clients by address, network, user, local uid. */
enum qs_status qs_report_sources_text(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                      const struct qs_style *style, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_report_sources_json(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                      struct qs_error *err) QS_MUST_CHECK;

#endif
