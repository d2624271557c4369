/* SPDX-License-Identifier: Apache-2.0 */
/* Which part this host plays for each domain that it serves, as DNS tells the world. */
#ifndef QSURGEON_ROLE_H
#define QSURGEON_ROLE_H

#include "qsurgeon/dns.h"
#include "qsurgeon/reciplist.h"
#include "qsurgeon/site.h"

enum qs_role {
    QS_ROLE_UNKNOWN,                /* "unknown": DNS did not say */
    QS_ROLE_PRIMARY,                /* "primary": this host is among the most preferred exchangers */
    QS_ROLE_SECONDARY,              /* "secondary": it is an exchanger, and others are preferred */
    QS_ROLE_BEHIND,                 /* "behind": not listed, but a trusted relay of the site is: mail comes through that */
    QS_ROLE_UNLISTED,               /* "not listed" */
};
const char *qs_role_name(enum qs_role role);

struct qs_served {
    const struct qs_route *route;
    const char *domain;
    bool relay;                     /* relayed for others; else delivered here */
    enum qs_role role;
    bool takes_any;                 /* the MTA takes every recipient in it, as far as can be known */
    uint32_t unknown, missing;      /* recipients that it takes and the imported list does not have; the other way round */
    const char *sample;             /* one of the unknown, else of the missing; or NULL */
    const char *warning;            /* sentences, or NULL */
};

/* Every domain of the site once, local ones first. This host is known by the site's host name and by the addresses of its
 * interfaces: behind address translation it must be listed by name. own: the recipients that the MTA here takes, as
 * qs_collect_...() collected them; imported: those that the primary knows, as its list says; either may be NULL. dns: asked with
 * served_too. A child of parent. QS_NOMEM. */
enum qs_status qs_roles(TALLOC_CTX *parent, const struct qs_site *site, const struct qs_list *own, const struct qs_list *imported,
                        const struct qs_dns *dns, struct qs_served **list, size_t *count, struct qs_error *err) QS_MUST_CHECK;

/* The names to ask for: a talloc array under parent. */
enum qs_status qs_served_domains(TALLOC_CTX *parent, const struct qs_site *site, char ***list, size_t *count,
                                 struct qs_error *err) QS_MUST_CHECK;

#endif
