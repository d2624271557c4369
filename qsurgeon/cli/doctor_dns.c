/* SPDX-License-Identifier: Apache-2.0 */
/* doctor --dns: the domains that this host serves, looked up. Reads no queue. */
#include "qsurgeon/dns.h"
#include "qsurgeon/format.h"
#include "qsurgeon/role.h"
#include "session.h"

enum qs_status qs_doctor_dns(struct qs_call *call, struct qs_error *err)
{
    struct qs_site *site = qs_site_new(call->memory);
    struct qs_dns *dns = NULL;
    struct qs_served *list = NULL;
    struct qs_maps maps = {NULL, NULL};
    char **domain = NULL;
    size_t count = 0;
    enum qs_status status = site ? qs_session_site(call, site, &maps, err) : qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        status = qs_served_domains(call->memory, site, &domain, &count, err);
    if (status == QS_OK)
        status = qs_session_dns(call, site, domain, count, &dns, err);
    if (status == QS_OK)
        status = qs_roles(call->memory, site, maps.own, maps.imported, dns, &list, &count, err);
    if (status != QS_OK)
        return status;
    return call->options->json ? qs_report_roles_json(call->out, list, count, err)
                               : qs_report_roles_text(call->out, list, count, &call->style, err);
}
