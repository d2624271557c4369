/* SPDX-License-Identifier: Apache-2.0 */
/* The empty site, which drivers, a site file and the scan fill; and its border. */
#include "qsurgeon/site.h"

#include <string.h>

struct qs_site *qs_site_new(TALLOC_CTX *parent)
{
    return talloc_zero(parent, struct qs_site);
}

void qs_site_learn_lifetime(struct qs_site *site, struct qs_span text)
{
    uint64_t days = 0;
    int64_t seconds = 0;
    if (qs_parse_u64(text, &days) && days < 100000)
        seconds = (int64_t)days * 86400;
    else if (!qs_parse_duration(text, &seconds))
        return;
    if (seconds > site->lifetime)
        site->lifetime = seconds;
}

struct ranges {
    struct qs_network *network;
    size_t count;
};

struct qs_border {
    struct ranges ours, trusted;
};

static bool read_ranges(struct qs_border *border, struct ranges *to, char *const *list, size_t count)
{
    to->network = talloc_array(border, struct qs_network, (unsigned)count + 1);
    for (size_t i = 0; to->network && i < count; i++)
        to->count += qs_network_parse(qs_span_of(list[i]), &to->network[to->count], NULL) == QS_OK;
    return to->network != NULL;
}

struct qs_border *qs_border_new(TALLOC_CTX *parent, const struct qs_site *site)
{
    struct qs_border *border = talloc_zero(parent, struct qs_border);
    bool ok = border && read_ranges(border, &border->ours, site ? site->networks : NULL, site ? site->network_count : 0) &&
              read_ranges(border, &border->trusted, site ? site->trusted_relays : NULL, site ? site->trusted_relay_count : 0);
    if (!ok)
        TALLOC_FREE(border);
    return border;
}

static bool covers(const struct ranges *ranges, const struct qs_network *address)
{
    for (size_t i = 0; i < ranges->count; i++)
        if (qs_network_covers(&ranges->network[i], address))
            return true;
    return false;
}

static bool is_private(const struct qs_network *n)
{
    const unsigned char *a = n->address;
    if (n->v6)
        return (a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
    return a[0] == 10 || (a[0] == 172 && (a[1] & 0xf0) == 16) || (a[0] == 192 && a[1] == 168);
}

/* This host itself: the rest of 127/8 may stand for clients behind a proxy. */
static bool is_loopback(const struct qs_network *n)
{
    static const unsigned char v6[16] = {[15] = 1}, v4[4] = {127, 0, 0, 1};
    return n->v6 ? memcmp(n->address, v6, 16) == 0 : memcmp(n->address, v4, 4) == 0;
}

bool qs_border_inside(const struct qs_border *border, const struct qs_network *address)
{
    return is_loopback(address) || (!border->ours.count && is_private(address)) ||
           ((address->v6 || address->address[0] != 127) && covers(&border->ours, address));
}

bool qs_border_trusts(const struct qs_border *border, const struct qs_network *address)
{
    return covers(&border->trusted, address);
}

bool qs_border_guarded(const struct qs_border *border)
{
    return border->trusted.count > 0;
}
