/* SPDX-License-Identifier: Apache-2.0 */
/* Roles in MX sets, and what is dangerous about them. Asks nobody: dns.h did. */
#include "qsurgeon/role.h"

#include <string.h>
#include <xxhash.h>

#include "qsurgeon/network.h"
#include "qsurgeon/table.h"

static const char *const names[] = {
    [QS_ROLE_UNKNOWN] = "unknown", [QS_ROLE_PRIMARY] = "primary", [QS_ROLE_SECONDARY] = "secondary",
    [QS_ROLE_BEHIND] = "behind", [QS_ROLE_UNLISTED] = "not listed",
};

const char *qs_role_name(enum qs_role role)
{
    return (unsigned)role < sizeof names / sizeof *names ? names[role] : "?";
}

static bool is_asked(const char *domain)
{
    size_t len = strlen(domain);
    return strchr(domain, '.') && !(len > 12 && strcmp(domain + len - 12, ".localdomain") == 0);
}

enum qs_status qs_served_domains(TALLOC_CTX *parent, const struct qs_site *site, char ***list, size_t *count,
                                 struct qs_error *err)
{
    char **all = talloc_array(parent, char *, (unsigned)(site->local_count + site->relay_count) + 1);
    size_t n = 0;
    if (!all)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (size_t i = 0; i < site->local_count; i++)
        if (is_asked(site->local_domains[i]))
            all[n++] = site->local_domains[i];
    for (size_t i = 0; i < site->relay_count; i++)
        if (is_asked(site->relay_domains[i]))
            all[n++] = site->relay_domains[i];
    *list = all;
    *count = n;
    return QS_OK;
}

static bool is_trusted(const struct qs_site *site, const struct qs_exchanger *x)
{
    for (size_t i = 0; i < site->trusted_relay_count; i++) {
        struct qs_network n;
        if (qs_network_parse(qs_span_of(site->trusted_relays[i]), &n, NULL) != QS_OK)
            continue;
        for (size_t a = 0; a < x->address_count; a++)
            if (qs_network_covers(&n, &x->address[a]))
                return true;
    }
    return false;
}

static enum qs_role role_of(const struct qs_site *site, const struct qs_route *route)
{
    enum qs_role role = route->exchanger_count ? QS_ROLE_UNLISTED : QS_ROLE_UNKNOWN;
    bool unknown = false;
    for (size_t i = 0; i < route->exchanger_count; i++) {
        const struct qs_exchanger *x = &route->exchanger[i];
        unknown |= x->mx == QS_MX_UNKNOWN;
        if (x->mx == QS_MX_SELF)
            return x->preference == route->exchanger[0].preference ? QS_ROLE_PRIMARY : QS_ROLE_SECONDARY;
        if (is_trusted(site, x))
            role = QS_ROLE_BEHIND;
    }
    if (!route->exchanger_count && route->mx == QS_MX_NONE)
        return QS_ROLE_UNLISTED;
    return unknown && role == QS_ROLE_UNLISTED ? QS_ROLE_UNKNOWN : role;
}

static bool warn(struct qs_served *s, TALLOC_CTX *parent, const char *sentence)
{
    s->warning = s->warning ? talloc_asprintf(parent, "%s %s", s->warning, sentence) : sentence;
    return s->warning != NULL;
}

static bool takes_any(const struct qs_site *site, const struct qs_list *own, const struct qs_served *s)
{
    if (s->relay ? site->takes_any_relayed : site->takes_any_local)
        return true;
    if (!own || site->asks_recipients || !qs_list_takes_all(own, s->domain))
        return false;
    for (size_t i = 0; i < own->vague_count; i++)
        if (strcmp(own->vague[i], s->domain) == 0)
            return false;
    return true;
}

/* The served domain of an address, unless every recipient is taken in it; or NULL. */
static struct qs_served *domain_of(struct qs_served *list, const struct qs_table *index, const char *address)
{
    const char *at = strrchr(address, '@');
    uint32_t place = at ? qs_table_get(index, XXH3_64bits(at + 1, strlen(at + 1)), 0) : 0;
    struct qs_served *s = place ? &list[place - 1] : NULL;
    return s && s->relay && !s->takes_any && strcmp(s->domain, at + 1) == 0 && at > address ? s : NULL;
}

/* Who is taken here and unknown to the primary, and the other way round, in relayed domains. */
static bool compare_lists(struct qs_served *list, size_t count, const struct qs_list *own, const struct qs_list *imported)
{
    struct qs_table *index = qs_table_new(NULL, (uint32_t)count + 1);
    bool ok = index != NULL;
    for (size_t i = 0; ok && i < count; i++)
        ok = qs_table_at(index, XXH3_64bits(list[i].domain, strlen(list[i].domain)), (uint32_t)i + 1) != NULL;
    for (size_t i = 0; ok && i < own->addresses; i++) {
        struct qs_served *s = domain_of(list, index, own->address[i]);
        if (!s || qs_list_has(imported, qs_span_of(own->address[i])) != QS_LIST_UNKNOWN)
            continue;
        if (!s->unknown++)
            s->sample = own->address[i];
    }
    for (size_t i = 0; ok && !imported->hashed && i < imported->addresses; i++) {
        struct qs_served *s = domain_of(list, index, imported->address[i]);
        if (!s || qs_list_has(own, qs_span_of(imported->address[i])) != QS_LIST_UNKNOWN)
            continue;
        if (!s->missing++ && !s->unknown)
            s->sample = imported->address[i];
    }
    talloc_free(index);
    return ok;
}

static bool add_warnings(TALLOC_CTX *parent, struct qs_served *s)
{
    bool ok = true;
    if (s->relay && s->takes_any)
        ok = warn(s, parent, s->role == QS_ROLE_SECONDARY
                  ? "This secondary takes recipients that the primary does not know, and bounces them to forged senders: set "
                    "relay_recipient_maps, or sendmail's access map with FEATURE(`blacklist_recipients'); see `recipients`."
                  : "Every recipient is taken, also those that do not exist: set relay_recipient_maps, or sendmail's access map; see "
                    "`recipients`.");
    if (ok && !s->relay && s->takes_any)
        ok = warn(s, parent, "Every recipient is taken, also those that do not exist: set local_recipient_maps.");
    if (ok && s->unknown) {
        char *text = talloc_asprintf(parent, "It takes %u recipient%s that the imported list of the primary does not have, such as %s.",
                                     s->unknown, s->unknown == 1 ? "" : "s", s->sample);
        ok = text && warn(s, parent, text);
    }
    if (ok && s->missing) {
        char *text = talloc_asprintf(parent, "It refuses %u recipient%s that the imported list of the primary has%s%s.", s->missing,
                                     s->missing == 1 ? "" : "s", s->unknown ? "" : ", such as ", s->unknown ? "" : s->sample);
        ok = text && warn(s, parent, text);
    }
    if (ok && s->role == QS_ROLE_UNLISTED && s->route->mx != QS_MX_NONE)
        ok = warn(s, parent, "What comes from outside comes through the back door: see `rules door`.");
    if (ok && s->role == QS_ROLE_BEHIND)
        ok = warn(s, parent, "Its mail comes through a trusted relay; `rules door` closes the way around it.");
    if (ok && (s->route->mx == QS_MX_LOOPBACK || s->route->mx == QS_MX_NONE))
        ok = warn(s, parent, s->route->mx == QS_MX_NONE ? "The world can send it no mail: no exchanger has an address."
                                                          : "The world sends its mail to itself: the MX is a loopback address.");
    return ok;
}

enum qs_status qs_roles(TALLOC_CTX *parent, const struct qs_site *site, const struct qs_list *own, const struct qs_list *imported,
                        const struct qs_dns *dns, struct qs_served **list, size_t *count, struct qs_error *err)
{
    char **domain = NULL;
    size_t n = 0, found = 0, local = 0;
    enum qs_status status = qs_served_domains(parent, site, &domain, &n, err);
    struct qs_served *all = status == QS_OK ? talloc_zero_array(parent, struct qs_served, (unsigned)n + 1) : NULL;
    uint8_t *seen = all ? talloc_zero_array(all, uint8_t, (unsigned)dns->count + 1) : NULL;
    for (size_t i = 0; i < site->local_count; i++)
        local += is_asked(site->local_domains[i]);
    if (!seen)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const struct qs_route *route = qs_dns_find(dns, qs_span_of(domain[i]));
        if (!route || seen[route - dns->route])
            continue;
        seen[route - dns->route] = 1;
        bool relay = i >= local;
        all[found] = (struct qs_served){.route = route, .domain = route->domain, .relay = relay, .role = role_of(site, route)};
        all[found].takes_any = takes_any(site, own, &all[found]);
        found++;
    }
    bool ok = !own || !imported || compare_lists(all, found, own, imported);
    for (size_t i = 0; ok && i < found; i++)
        ok = add_warnings(all, &all[i]);
    if (!ok)
        return qs_fail(err, QS_NOMEM, "out of memory");
    *list = all;
    *count = found;
    return QS_OK;
}
