/* SPDX-License-Identifier: Apache-2.0 */
/* A plan performed slowly, with an eye on what the MTA makes of it. */
#ifndef QSURGEON_CLI_DRIP_H
#define QSURGEON_CLI_DRIP_H

#include "operating.h"

/* Performs the RELEASE plan of the session at plan->pace messages a minute. Between the stretches the released messages are
 * read again: one that has left the queue was delivered, or returned; one whose time or number of attempts is another was
 * deferred again. It stops
 *   - when of the last DRIP_WINDOW messages that the MTA has tried, DRIP_LEAST at least, more than half were deferred again;
 *   - on SIGINT and SIGTERM.
 * It waits while more than a minute's messages (DRIP_AHEAD at least) are due and have not been tried yet. */
enum { DRIP_WINDOW = 20, DRIP_LEAST = 10, DRIP_AHEAD = 40 };
enum qs_status qs_drip(struct qs_call *call, const struct qs_session *session, const struct qs_plan *plan,
                       struct qs_error *err) QS_MUST_CHECK;

#endif
