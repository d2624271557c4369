/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence and groups in text and JSON, for triage, list and show. Private to report/. */
#ifndef QSURGEON_REPORT_EVIDENCE_H
#define QSURGEON_REPORT_EVIDENCE_H

#include "json.h"
#include "summary.h"

/* The reasons with their weights, the sum, and the scores from which a verdict follows. */
void qs_print_evidence(FILE *out, const struct qs_evidence *list, size_t count, const struct qs_style *style);
/* The names of the heaviest `most` of those that speak for the verdict, on one line. */
void qs_evidence_words(char *to, size_t size, enum qs_verdict verdict, const struct qs_evidence *list, size_t count, size_t most);
void qs_json_evidence(struct qs_json *json, const struct qs_evidence *list, size_t count);

/* "12k senders, 20 clients, 3 recipients". */
void qs_group_words(char *to, size_t size, const struct qs_group_sum *sum);
/* What a group is about: its culprit and the subject of a typical message. Safe text. */
void qs_group_about(char *to, size_t size, const struct qs_view *view, uint32_t group,
                    const struct qs_style *style);
/* All members of a group's object; with its evidence when `explain`. */
void qs_json_group(struct qs_json *json, const struct qs_view *view, const struct qs_group_sum *sum,
                   bool explain);

#endif
