/* SPDX-License-Identifier: Apache-2.0 */
/* From options to a view: find the queues, read them, cluster, judge, select. */
#ifndef QSURGEON_CLI_SESSION_H
#define QSURGEON_CLI_SESSION_H

#include "cli.h"
#include "maps.h"

struct qs_session {
    struct qs_view view;
    uint8_t *selected;              /* NULL: everything */
    const struct qs_site *site;
};

/* Shows what is there so far; view.partial is true. */
typedef enum qs_status (*qs_picture)(struct qs_call *call, void *data, const struct qs_session *session,
                                     struct qs_error *err);

/* Everything that a command needs before it prints, under call->memory. With `picture`, the scan is
 * interrupted once, when it takes long. `detail` as in qs_scan_options. */
enum qs_status qs_session_open(struct qs_call *call, bool detail, qs_picture picture, void *data,
                               struct qs_session **out, struct qs_error *err) QS_MUST_CHECK;

/* What the mail servers in view and the site file say of this host, without reading a queue; and into *maps who exists, as far
 * as that can be read: what cannot is said. */
enum qs_status qs_session_site(struct qs_call *call, struct qs_site *site, struct qs_maps *maps, struct qs_error *err) QS_MUST_CHECK;
/* Asks DNS about these domains, served here or not, within the time that a run has for that. */
enum qs_status qs_session_dns(struct qs_call *call, const struct qs_site *site, char *const *domain, size_t count,
                              struct qs_dns **dns, struct qs_error *err) QS_MUST_CHECK;

/* Of a clock that never goes back. */
int64_t qs_milliseconds(void);

/* Is all that the options ask for an operation on messages that are named by their IDs, whatever they are? */
bool qs_session_lists(const struct qs_options *options);
/* Then only those are looked at, or read where `action` needs it, and nothing is clustered or judged: view.clusters and
 * view.judgement are NULL, and the view is good for qs_plan_make alone. */
enum qs_status qs_session_open_list(struct qs_call *call, enum qs_action action, struct qs_session **out,
                                    struct qs_error *err) QS_MUST_CHECK;
/* The same for an unpacked archive: the queue directory of that mail server, without its configuration; nothing is selected
 * yet. */
enum qs_status qs_session_of(struct qs_call *call, const char *mta, const char *queue_dir, struct qs_session **out,
                             struct qs_error *err) QS_MUST_CHECK;

/* The group of this name, or UINT32_MAX. */
uint32_t qs_session_group(const struct qs_session *session, const char *name);

#endif
