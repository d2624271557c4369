/* SPDX-License-Identifier: Apache-2.0 */
/* Which recipients exist: what delivery results say, collecting them from a mail server, installing a list as a table,
 * and marking those in the queue that do not exist. The list itself: reciplist.h. */
#ifndef QSURGEON_RECIPIENTS_H
#define QSURGEON_RECIPIENTS_H

#include "qsurgeon/reciplist.h"
#include "qsurgeon/select.h"

/* Does this delivery result say that the recipient does not exist? Enhanced status 5.1.1 (RFC 3463), or the words that
 * mail servers use for it. */
bool qs_reason_no_such_user(struct qs_span reason);

/* Adds to the list all that this host's mail server takes: its domains, aliases, users of the system, virtual and relayed
 * recipients. Reads its configuration by its own programs (postconf, postmap; sendmail's configuration file and makemap).
 * Where recipients cannot be listed (patterns, LDAP, SQL, a domain that takes everything) the whole domain is added as
 * "@domain", for a list must never refuse mail that the primary would take; each such case is a line in *notes, a talloc
 * array under list. config: the configuration directory (Postfix) or file (sendmail); NULL: the usual one.
 * QS_CONFIG: the configuration cannot be read. QS_NOMEM. */
enum qs_status qs_collect_postfix(struct qs_list *list, const char *config, char ***notes, size_t *count,
                                  struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_collect_sendmail(struct qs_list *list, const char *config, const struct qs_site *site, char ***notes,
                                   size_t *count, struct qs_error *err) QS_MUST_CHECK;

/* Compiles the list, behind the lines that `path` has already and that are of no list, under a temporary name beside it, asks
 * the result for one of its recipients, and renames source and table into place, with owner and mode as they were. Whatever fails before that leaves the table in use as it is. type: of the table ("hash", "lmdb", ...);
 * NULL: Postfix's default_database_type, or hash. QS_USAGE: a hashed list, which cannot be a table. QS_CONFIG: postmap or makemap
 * failed. QS_IO, QS_NOPERM, QS_GONE, QS_NOMEM. */
enum qs_status qs_list_install(const struct qs_list *list, const char *path, const char *type, const char *config,
                               bool sendmail, struct qs_error *err) QS_MUST_CHECK;

/* May `list` take the place of an older one with that serial number and count of addresses? QS_OK: yes. QS_SKIP: it is the same
 * one. QS_DATA: it is older, or smaller by more than max_shrink per cent. */
enum qs_status qs_list_follows(const struct qs_list *list, uint32_t serial, uint64_t addresses, double max_shrink,
                               struct qs_error *err) QS_MUST_CHECK;

/* Of the recipients that selected messages (NULL: all) still wait for. */
struct qs_recipient_marks {
    uint8_t *message;               /* 1: waits for a recipient that does not exist; one for each message of the scan */
    uint32_t messages;              /* of those */
    char **unknown;                 /* distinct addresses that do not exist, in order */
    size_t unknown_count;
    uint64_t waiting, nobody, not_covered;      /* recipients of messages: all; unknown; of other domains */
};
enum qs_status qs_recipients_mark(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                                  const struct qs_list *list, struct qs_recipient_marks *out,
                                  struct qs_error *err) QS_MUST_CHECK;

#endif
