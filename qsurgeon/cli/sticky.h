/* SPDX-License-Identifier: Apache-2.0 */
/* An operation that goes on for a while, on new arrivals of what it has taken. */
#ifndef QSURGEON_CLI_STICKY_H
#define QSURGEON_CLI_STICKY_H

#include "operating.h"

/* Performs the plan (HOLD or PURGE) of the session; then, until options->sticky seconds have passed or SIGINT or SIGTERM comes,
 * lists the queue again every few seconds, reads what is new, and does the same, in a run each time, to what
 *   - resembles (qs_alike) the leader of a text cluster that the plan has messages of, or a message of it without a cluster;
 *     or is, by the judgement of what is known by then, in one group with what was taken;
 *   - passes the selection: all of it but --id, --cluster, --cause, for which the resemblance stands, and
 *   - has no verdict of its own, at that moment, that is against it: legit without --include-legit; unsure, when only what is
 *     `certain` is meant; guilty, but not by a --verdict named.
 * --max is for all runs together. What the MTA works on is tried again. */
enum qs_status qs_sticky(struct qs_call *call, struct qs_session *session, const struct qs_plan *plan, bool certain,
                         struct qs_error *err) QS_MUST_CHECK;

/* The same in its parts: the plan; one look at what has come since; and looking again until the time is over. */
struct qs_sticky;
enum qs_status qs_sticky_begin(struct qs_call *call, struct qs_session *session, const struct qs_plan *plan, bool certain,
                               struct qs_sticky **out, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_sticky_again(struct qs_sticky *s, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_sticky_go_on(struct qs_sticky *s, struct qs_error *err) QS_MUST_CHECK;
/* For another plan on the same queue. */
struct qs_operating *qs_sticky_operating(struct qs_sticky *s);

#endif
