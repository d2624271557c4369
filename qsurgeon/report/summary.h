/* SPDX-License-Identifier: Apache-2.0 */
/* The selected messages added up, and what to do next. No printing. Private to report/. */
#ifndef QSURGEON_REPORT_SUMMARY_H
#define QSURGEON_REPORT_SUMMARY_H

#include "qsurgeon/report.h"
#include "tally.h"

struct qs_sum {
    uint64_t messages, bytes;
    uint64_t held;                  /* of those: on hold or quarantined */
    int64_t oldest;                 /* arrival; INT64_MAX: no message */
};

/* The selected members of one group. */
struct qs_group_sum {
    uint32_t group;                 /* index in the judgement */
    uint32_t messages;
    uint32_t senders, clients, recipients;      /* distinct */
    uint64_t bytes;
    int64_t oldest, newest;
};

struct qs_summary {
    struct qs_sum all, of[QS_VERDICTS];
    struct qs_group_sum *group;     /* with one selected message or more; largest first, then by name */
    uint32_t group_count;
    struct qs_tally
        *waiting; /* recipients' domains of legit mail that waits: count[0] recipients, most first */
};

/* True when the message is meant. */
static inline bool qs_is_selected(const uint8_t *selected, uint32_t message)
{
    return !selected || selected[message];
}

/* The result is a child of parent. QS_NOMEM. */
enum qs_status qs_summarise(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                            struct qs_summary **out, struct qs_error *err) QS_MUST_CHECK;

/* One thing to type next. command is for a POSIX shell. */
struct qs_advice {
    const char *why, *command;
};
/* *list is a talloc array under parent; never advises to touch legit or unsure, nor anything of a
 * partial view. QS_NOMEM. */
enum qs_status qs_advise(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                         const struct qs_summary *summary, const struct qs_style *style, struct qs_advice **list,
                         size_t *count, struct qs_error *err) QS_MUST_CHECK;
/* Sentences that must be read before the advice is followed: partial (the first one, then), unreadable,
 * unsure. */
enum qs_status qs_warn(TALLOC_CTX *parent, const struct qs_view *view, const struct qs_summary *summary,
                       char ***list, size_t *count, struct qs_error *err) QS_MUST_CHECK;

/* Indexes of the selected messages ordered by instance, arrival, queue ID: a talloc array under parent.
 * QS_NOMEM. */
enum qs_status qs_ordered(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                          uint32_t **list, uint32_t *count, struct qs_error *err) QS_MUST_CHECK;

/* What stands behind the last '@' in lower case, in to[]; "local" without one, "MAILER-DAEMON" for the null
 * sender. */
struct qs_span qs_report_domain(char *to, size_t size, struct qs_span address);

#endif
