/* SPDX-License-Identifier: Apache-2.0 */
/* What this host is and serves, as the judge needs it: asked for every message, so answered from hash tables. What the
 * MTA's configuration did not tell is learnt from the queue: our host name stands in the newest Received field of nearly
 * every message; our domains are those to which senders of many unrelated organisations write. */
#include <string.h>

#include "judge.h"
#include "qsurgeon/fingerprint.h"

enum { DOMAIN_SENDERS = 6, RECIPIENTS_LOOKED_AT = 8 };

static uint8_t lower(char c)
{
    return (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

uint64_t qs_name_digest(struct qs_span name)
{
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    if (!name.len)
        return 0;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);       /* FNV-1a */
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ lower(name.ptr[i])) * UINT64_C(0x100000001b3);
    return hash ? hash : 1;
}

static bool has(const struct qs_table *table, uint64_t key)
{
    return key && qs_table_get(table, key, 0) != 0;
}

bool qs_is_own_host(const struct qs_known *known, struct qs_span name)
{
    return has(known->hosts, qs_name_digest(name));
}

bool qs_is_own_domain(const struct qs_known *known, struct qs_span domain)
{
    for (unsigned labels = 0; labels < 8 && domain.len; labels++) {
        if (has(known->domains, qs_name_digest(domain)))
            return true;
        const char *dot = memchr(domain.ptr, '.', domain.len);
        if (!dot)
            return false;
        domain.len -= (size_t)(dot + 1 - domain.ptr);
        domain.ptr = dot + 1;
    }
    return false;
}

/* --- addresses ------------------------------------------------------------------------------------------------------- */

bool qs_read_address(const char *text, struct qs_network *out)
{
    return *text && qs_network_parse(qs_span_of(text), out, NULL) == QS_OK;
}

bool qs_is_own_address(const struct qs_known *known, const struct qs_network *n)
{
    return qs_border_inside(known->border, n);
}

bool qs_is_own_name(const struct qs_known *known, struct qs_span name)
{
    return name.len && has(known->orgs, qs_host_hash(name));
}

uint32_t qs_net_digest(const struct qs_network *n)
{
    uint64_t half[2];
    unsigned char a[16] = {0};
    memcpy(a, n->address, n->v6 ? 6 : 3);
    memcpy(half, a, sizeof half);
    uint32_t digest = (uint32_t)(qs_mix64(half[0] ^ qs_mix64(half[1] + n->v6)) >> 32);
    return digest ? digest : 1;
}

/* --- names of access networks ---------------------------------------------------------------------------------------- */

static bool is_access_word(const char *word, size_t len)
{
    static const char *const words[] = {
        "adsl", "broadband", "cable", "catv", "client", "clients", "cpe", "cust", "customer", "customers", "dhcp",
        "dial", "dialin", "dialup", "dip", "dsl", "dyn", "dynamic", "dynip", "fibre", "fiber", "ftth", "gprs", "home",
        "host", "hsd", "ip", "lte", "mobile", "modem", "nat", "pool", "pools", "ppp", "pppoe", "res", "residential",
        "rev", "sdsl", "static", "umts", "user", "users", "vdsl", "wifi", "wireless", "xdsl",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == len && memcmp(words[i], word, len) == 0)
            return true;
    return false;
}

/* Octets of the address that stand in the name as numbers, zero-padded or not; four when its hexadecimal form does. */
static unsigned octets_in_name(struct qs_span name, const unsigned char octet[4], unsigned *digits)
{
    char hex[9], padded[13];
    unsigned found = 0, seen = 0;
    static const char digit[] = "0123456789abcdef";
    for (unsigned i = 0; i < 4; i++) {
        hex[2 * i] = digit[octet[i] >> 4];
        hex[2 * i + 1] = digit[octet[i] & 15];
        padded[3 * i] = digit[octet[i] / 100];
        padded[3 * i + 1] = digit[octet[i] / 10 % 10];
        padded[3 * i + 2] = digit[octet[i] % 10];
    }
    if (memmem(name.ptr, name.len, hex, 8) || memmem(name.ptr, name.len, padded, 12))
        return 4;
    for (size_t i = 0; i < name.len;) {
        unsigned value = 0, len = 0;
        for (; i < name.len && name.ptr[i] >= '0' && name.ptr[i] <= '9'; i++, len++)
            value = value < 100000 ? value * 10 + (unsigned)(name.ptr[i] - '0') : value;
        *digits += len;
        if (!len) {
            i++;
            continue;
        }
        for (unsigned k = 0; k < 4; k++) {
            if (len <= 3 && value == octet[k] && !(seen & 1u << k)) {
                seen |= 1u << k;
                found++;
                break;
            }
        }
    }
    return found;
}

bool qs_name_is_generic(struct qs_span name, const struct qs_network *address)
{
    unsigned digits = 0, octets = 0;
    bool word = false;
    if (address && !address->v6)
        octets = octets_in_name(name, address->address, &digits);
    else
        for (size_t i = 0; i < name.len; i++)
            digits += name.ptr[i] >= '0' && name.ptr[i] <= '9';
    if (octets >= 3)
        return true;
    for (size_t i = 0, start = 0; i <= name.len; i++) {
        if (i < name.len && lower(name.ptr[i]) >= 'a' && lower(name.ptr[i]) <= 'z')
            continue;
        word = word || is_access_word(name.ptr + start, i - start);
        start = i + 1;
    }
    return word && (octets >= 1 || digits >= 4);
}

/* --- learning -------------------------------------------------------------------------------------------------------- */

static bool mark(struct qs_table *table, uint64_t key)
{
    return !key || qs_table_at(table, key, 1) != NULL;
}

static bool append(struct qs_site *site, char ***list, size_t *count, const char *text)
{
    char **grown = talloc_realloc(site, *list, char *, (unsigned)*count + 1);
    if (!grown)
        return false;
    *list = grown;
    grown[*count] = talloc_strdup(site, text);
    return grown[(*count)++] != NULL;
}

static bool copy_list(struct qs_site *site, char ***list, size_t *count, char *const *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!append(site, list, count, from[i]))
            return false;
    return true;
}

static bool add_host(struct qs_known *known, struct qs_span name, bool org)
{
    return mark(known->hosts, qs_name_digest(name)) && mark(known->domains, qs_name_digest(name)) &&
           (!org || !memchr(name.ptr, '.', name.len) || mark(known->orgs, qs_host_hash(name)));
}

struct seen_host {
    qs_sym name;
    uint32_t count;
};

/* Names that sign the newest Received field of at least a twentieth of the messages; the most frequent is our own. */
static bool learn_hosts(struct qs_known *known, const struct qs_scan *scan)
{
    enum { KEPT = 64 };
    struct seen_host seen[KEPT];
    unsigned used = 0;
    uint64_t all = 0;
    for (uint32_t i = 0; i < scan->count; i++) {
        qs_sym name = scan->messages[i].first_by;
        unsigned at = 0;
        if (!name)
            continue;
        all++;
        while (at < used && seen[at].name != name)
            at++;
        if (at == used && used < KEPT)
            seen[used++] = (struct seen_host){name, 0};
        if (at < used)
            seen[at].count++;
    }
    const char *best = NULL;
    uint32_t most = 0;
    for (unsigned i = 0; i < used; i++) {
        const char *name = qs_sym_str(scan->strings, seen[i].name);
        if ((uint64_t)seen[i].count * 20 < all)
            continue;
        if (!add_host(known, qs_span_of(name), false))
            return false;
        if (seen[i].count > most || (seen[i].count == most && strcmp(name, best) < 0)) {
            most = seen[i].count;
            best = name;
        }
    }
    if (known->site->hostname || !best || (uint64_t)most * 2 < all)
        return true;
    known->site->hostname = talloc_strdup(known->site, best);
    return known->site->hostname && add_host(known, qs_span_of(best), true);
}

struct seen_domain {
    struct qs_span name;
    uint32_t count;
    uint64_t senders;               /* a bit for each organisation, by its digest: enough to tell few from many */
};

static bool is_outside(const struct qs_known *known, const struct qs_scan *scan, const struct qs_message *m)
{
    struct qs_network address;
    return m->sender && !m->sasl_username && m->local_uid < 0 && m->client_address &&
           !(qs_read_address(qs_sym_str(scan->strings, m->client_address), &address) && qs_is_own_address(known, &address));
}

static bool count_domains(const struct qs_known *known, const struct qs_scan *scan, struct qs_table *index,
                          struct seen_domain **list, uint32_t *used, uint64_t *all)
{
    for (uint32_t i = 0; i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        if (!is_outside(known, scan, m))
            continue;
        uint32_t org = qs_host_hash(qs_domain_of(qs_sym_span(scan->strings, m->sender)));
        uint64_t bit = UINT64_C(1) << (qs_mix64(org) & 63);
        (*all)++;
        for (uint32_t r = 0; r < m->recipient_count && r < RECIPIENTS_LOOKED_AT; r++) {
            struct qs_span domain = qs_domain_of(qs_sym_span(scan->strings, m->recipients[r].address));
            uint64_t key = qs_name_digest(domain);
            if (!key)
                continue;
            uint32_t *at = qs_table_at(index, key, *used);
            if (!at)
                return false;
            if (*at == *used) {
                if ((*used & (*used - 1)) == 0) {       /* room for twice as many */
                    struct seen_domain *grown = talloc_realloc(index, *list, struct seen_domain, *used ? *used * 2 : 1);
                    if (!grown)
                        return false;
                    *list = grown;
                }
                (*list)[(*used)++] = (struct seen_domain){domain, 0, 0};
            }
            (*list)[*at].count++;
            (*list)[*at].senders |= bit;
        }
    }
    return true;
}

static bool learn_domains(struct qs_known *known, const struct qs_scan *scan)
{
    struct qs_table *index = qs_table_new(NULL, 256);
    struct seen_domain *list = NULL;
    uint32_t used = 0;
    uint64_t all = 0;
    bool ok = index && count_domains(known, scan, index, &list, &used, &all);
    for (uint32_t i = 0; ok && i < used; i++) {
        if (__builtin_popcountll(list[i].senders) < DOMAIN_SENDERS || (uint64_t)list[i].count * 100 < all)
            continue;
        char *name = talloc_strndup(NULL, list[i].name.ptr, list[i].name.len);
        for (char *p = name; p && *p; p++)
            *p = (char)lower(*p);
        ok = name && append(known->site, &known->site->local_domains, &known->site->local_count, name);
        talloc_free(name);
    }
    talloc_free(index);
    return ok;
}

/* No names at all from outside: the MTA does not look them up. */
static void learn_lookups(struct qs_known *known, const struct qs_scan *scan)
{
    uint64_t all = 0, missing = 0;
    for (uint32_t i = 0; i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        if (!m->client_address || m->local_uid >= 0)
            continue;
        struct qs_span name = qs_sym_span(scan->strings, m->client_name);
        all++;
        missing += !name.len || qs_span_is(name, "unknown") || *name.ptr == '[';
    }
    known->names_missing = missing * 50 >= all * 49;
}

static bool copy_site(struct qs_known *known, const struct qs_site *given)
{
    struct qs_site *site = known->site;
    if (!given)
        return true;
    site->nobody = given->nobody;
    site->nobody_data = given->nobody_data;
    if (given->hostname && !(site->hostname = talloc_strdup(site, given->hostname)))
        return false;
    site->dns = given->dns;
    return copy_list(site, &site->local_domains, &site->local_count, given->local_domains, given->local_count) &&
           copy_list(site, &site->relay_domains, &site->relay_count, given->relay_domains, given->relay_count) &&
           copy_list(site, &site->networks, &site->network_count, given->networks, given->network_count) &&
           copy_list(site, &site->trusted_relays, &site->trusted_relay_count, given->trusted_relays,
                     given->trusted_relay_count) &&
           copy_list(site, &site->honeypots, &site->honeypot_count, given->honeypots, given->honeypot_count) &&
           copy_list(site, &site->good_senders, &site->good_sender_count, given->good_senders, given->good_sender_count);
}

static bool fill_tables(struct qs_known *known)
{
    const struct qs_site *site = known->site;
    for (size_t i = 0; i < site->local_count; i++) {
        struct qs_span name = qs_span_of(site->local_domains[i]);
        if (qs_span_is_nocase(name, "localhost"))
            continue;
        if (!mark(known->domains, qs_name_digest(name)) || !mark(known->orgs, name.len ? qs_host_hash(name) : 0))
            return false;
    }
    for (size_t i = 0; i < site->relay_count; i++)
        if (!mark(known->domains, qs_name_digest(qs_span_of(site->relay_domains[i]))))
            return false;
    for (size_t i = 0; i < site->honeypot_count; i++)
        if (!mark(known->honeypots, qs_name_digest(qs_span_of(site->honeypots[i]))))
            return false;
    for (size_t i = 0; i < site->good_sender_count; i++)
        if (!mark(known->good, qs_name_digest(qs_span_of(site->good_senders[i]))))
            return false;
    return true;
}

struct qs_known *qs_know_site(TALLOC_CTX *parent, const struct qs_scan *scan, const struct qs_site *given)
{
    struct qs_known *known = talloc_zero(parent, struct qs_known);
    if (!known)
        return NULL;
    known->site = qs_site_new(known);
    known->border = qs_border_new(known, given);
    known->hosts = qs_table_new(known, 16);
    known->domains = qs_table_new(known, 64);
    known->orgs = qs_table_new(known, 64);
    known->outside = qs_table_new(known, 16);
    known->honeypots = qs_table_new(known, 16);
    known->good = qs_table_new(known, 16);
    bool ok = known->site && known->border && known->hosts && known->domains && known->orgs && known->outside && known->honeypots &&
              known->good && copy_site(known, given);
    if (ok && known->site->hostname)
        ok = add_host(known, qs_span_of(known->site->hostname), true);
    ok = ok && learn_hosts(known, scan);
    if (ok && !known->site->local_count && !known->site->relay_count)
        ok = learn_domains(known, scan);
    ok = ok && fill_tables(known);
    if (ok)
        learn_lookups(known, scan);
    if (ok)
        return known;
    talloc_free(known);
    return NULL;
}
