/* SPDX-License-Identifier: Apache-2.0 */
/* Readable copies of messages for people who have no mail server: an mbox file, or a directory with a file a message. */
#ifndef QSURGEON_CLI_EXPORT_H
#define QSURGEON_CLI_EXPORT_H

#include "session.h"

/* Writes the selected messages as --export and --output say, never over a file. Above the header of each stand Return-Path and
 * X-Envelope-To with the envelope; the rest is as in the queue. call->left_out when some could not be read. QS_USAGE: the
 * output is missing or exists. QS_IO. */
enum qs_status qs_export(struct qs_call *call, const struct qs_session *session, struct qs_error *err) QS_MUST_CHECK;

#endif
