/* SPDX-License-Identifier: Apache-2.0 */
/* Messages handed to a mail server as new mail, in SMTP over a pipe to its submission program, `sendmail -bs`, or to its
 * address: to another kind of mail server, or another version. Nobody's address comes near a command line. RFC 5321, 1870, 3461 (DSN), 6152, 6531. */
#ifndef QSURGEON_RESUBMIT_H
#define QSURGEON_RESUBMIT_H

#include "qsurgeon/apply.h"
#include "qsurgeon/format.h"
#include "qsurgeon/select.h"

/* A session with a submission program. */
struct qs_submission;
/* Starts argv[0] with pipes at its standard input and output, or connects to it when it is ADDRESS:PORT in numbers, and greets it.
 * QS_IO: it cannot be run, or does not answer. */
enum qs_status qs_submission_open(TALLOC_CTX *parent, const char *const argv[], struct qs_submission **out,
                                  struct qs_error *err) QS_MUST_CHECK;
/* Hands over one message for the recipients that still wait; content has LF line ends. Null sender, 8-bit content, SMTPUTF8,
 * NOTIFY, ORCPT, RET and ENVID are said where the program knows them. QS_USAGE: it was refused, or cannot be said in SMTP, or there
 * is nobody to send it to: nothing was handed over. QS_IO: the session broke; whether it was handed over is not known when
 * *doubt is true. */
enum qs_status qs_submission_send(struct qs_submission *submission, const struct qs_envelope *envelope, struct qs_span content,
                                  bool *doubt, struct qs_error *err) QS_MUST_CHECK;

/* Performs a plan of QS_ACT_RESTORE that resubmits, as a run with a journal. Its messages are read from `view`, in which they
 * have the queue IDs of the plan. There is no way back: undo refuses. Each message's outcome is on disk before and after it is
 * handed over: what a crash leaves in doubt is FAILED with a text that says so. *result as of qs_apply(). */
enum qs_status qs_resubmit(TALLOC_CTX *parent, const struct qs_plan *plan, const struct qs_view *view,
                           const struct qs_operate *how, const char *const argv[], struct qs_run_result **result,
                           struct qs_error *err) QS_MUST_CHECK;

#endif
