/* SPDX-License-Identifier: Apache-2.0 */
/* The list of recipients that this host knows: where it is kept, and what it says of the queue. */
#ifndef QSURGEON_CLI_KNOWN_H
#define QSURGEON_CLI_KNOWN_H

#include "qsurgeon/recipients.h"
#include "session.h"

enum { QS_LIST_FILE_MOST = 1 << 30 };

/* A file in the directory where imported lists are kept: /var/lib/qsurgeon/recipients, or DIR-recipients with --state DIR, for DIR
 * itself belongs to the owner of the queue. A child of call->memory; NULL: out of memory. */
char *qs_known_path(const struct qs_call *call, const char *name);

/* --list FILE, checked with --public-key; or the list imported last. With `strict`, --list needs --public-key. QS_USAGE: there is
 * none. Else as qs_list_read. */
enum qs_status qs_known_list(struct qs_call *call, bool strict, struct qs_list **out, struct qs_error *err) QS_MUST_CHECK;

/* For drop-recipients --unknown: leaves the marks on messages that wait for recipients that do not exist, and puts these
 * into call->drop. QS_USAGE: there are none. */
enum qs_status qs_known_narrow(struct qs_call *call, const struct qs_session *session, uint8_t *marks,
                               struct qs_error *err) QS_MUST_CHECK;

#endif
