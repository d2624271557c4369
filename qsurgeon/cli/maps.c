/* SPDX-License-Identifier: Apache-2.0 */
/* --maps: see maps.h. */
#include "maps.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "known.h"
#include "qsurgeon/recipients.h"

static bool nobody(void *data, struct qs_span address)
{
    const struct qs_maps *maps = data;
    return (maps->own && qs_list_has(maps->own, address) == QS_LIST_UNKNOWN) ||
           (maps->imported && qs_list_has(maps->imported, address) == QS_LIST_UNKNOWN);
}

static enum qs_status collect(struct qs_call *call, struct qs_instance *const *list, size_t count,
                              const struct qs_site *site, const struct qs_list **out, struct qs_error *err)
{
    struct qs_list *own = qs_list_new(call->memory, site->hostname ? site->hostname : "", time(NULL));
    enum qs_status status = own ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        char **notes = NULL;        /* what is taken as a whole domain: nothing is said against its addresses */
        size_t note_count = 0;
        if (!list[i]->config)
            continue;
        status = strcmp(list[i]->format->name, "postfix") == 0
            ? qs_collect_postfix(own, list[i]->config, &notes, &note_count, err)
            : qs_collect_sendmail(own, list[i]->config, site, &notes, &note_count, err);
    }
    if (status != QS_OK)
        return status;
    status = qs_list_finish(own, NULL, NULL);
    if (status == QS_NOMEM)
        return qs_fail(err, QS_NOMEM, "out of memory");
    *out = status == QS_OK ? own : NULL;
    return QS_OK;
}

enum qs_status qs_maps_collect(struct qs_call *call, struct qs_instance *const *list, size_t count, const struct qs_site *site,
                               struct qs_maps *out, struct qs_error *err)
{
    struct qs_list *imported = NULL;
    const char *path = qs_known_path(call, "list");
    if (!path)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = collect(call, list, count, site, &out->own, err);
    if (status == QS_OK && access(path, F_OK) == 0)
        status = qs_known_list(call, false, &imported, err);
    if (status == QS_OK)
        out->imported = imported;
    return status;
}

enum qs_status qs_maps_read(struct qs_call *call, struct qs_instance *const *list, size_t count, struct qs_site *site,
                            struct qs_error *err)
{
    struct qs_maps *maps = talloc_zero(call->memory, struct qs_maps);
    enum qs_status status = maps ? qs_maps_collect(call, list, count, site, maps, err) : qs_fail(err, QS_NOMEM, "out of memory");
    if (status != QS_OK)
        return status;
    if (maps->own || maps->imported) {
        site->nobody = nobody;
        site->nobody_data = maps;
    }
    return QS_OK;
}
