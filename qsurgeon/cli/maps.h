/* SPDX-License-Identifier: Apache-2.0 */
/* --maps: who exists here, asked of the mail server's own tables, and of the list that was imported. */
#ifndef QSURGEON_CLI_MAPS_H
#define QSURGEON_CLI_MAPS_H

#include "cli.h"
#include "qsurgeon/format.h"

/* Sets site->nobody to what the tables of these mail servers, and the imported list if there is one, say together. Where nothing
 * is known site is as before. QS_CONFIG: a configuration cannot be read. QS_DATA: the imported list is damaged. QS_NOMEM. */
enum qs_status qs_maps_read(struct qs_call *call, struct qs_instance *const *list, size_t count, struct qs_site *site,
                            struct qs_error *err) QS_MUST_CHECK;

/* Who exists: lists that are children of call->memory, or NULL. */
struct qs_maps {
    const struct qs_list *own;      /* of the mail servers here; NULL: they list nobody */
    const struct qs_list *imported;
};
enum qs_status qs_maps_collect(struct qs_call *call, struct qs_instance *const *list, size_t count, const struct qs_site *site,
                               struct qs_maps *out, struct qs_error *err) QS_MUST_CHECK;

#endif
