/* SPDX-License-Identifier: Apache-2.0 */
/* Which networks are never blocked: see protect.h. */
#include "protect.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

bool qs_networks_meet(const struct qs_network *a, const struct qs_network *b)
{
    unsigned bits = a->bits < b->bits ? a->bits : b->bits;
    return a->v6 == b->v6 && memcmp(a->address, b->address, bits / 8) == 0 &&
           (bits % 8 == 0 || (a->address[bits / 8] ^ b->address[bits / 8]) >> (8 - bits % 8) == 0);
}

struct qs_network qs_network_around(const struct qs_network *address, unsigned bits)
{
    struct qs_network out = {.bits = bits, .v6 = address->v6};
    memcpy(out.address, address->address, bits / 8);
    if (bits % 8)
        out.address[bits / 8] = (unsigned char)(address->address[bits / 8] & 0xff << (8 - bits % 8));
    return out;
}

char *qs_network_text(char to[QS_RANGE_TEXT], const struct qs_network *range)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (!inet_ntop(range->v6 ? AF_INET6 : AF_INET, range->address, text, sizeof text))
        text[0] = '\0';
    if (range->bits == (range->v6 ? 128 : 32))
        snprintf(to, QS_RANGE_TEXT, "%s", text);
    else
        snprintf(to, QS_RANGE_TEXT, "%s/%u", text, range->bits);
    return to;
}

static bool add(struct qs_protected *p, const char *text, const char *why)
{
    struct qs_network n;
    if (qs_network_parse(qs_span_of(text), &n, NULL) != QS_OK)
        return true;
    struct qs_network *grown = talloc_realloc(p, p->network, struct qs_network, (unsigned)p->count + 1);
    const char **words = grown ? talloc_realloc(p, p->why, const char *, (unsigned)p->count + 1) : NULL;
    p->network = grown ? grown : p->network;
    if (!words)
        return false;
    p->why = words;
    p->network[p->count] = n;
    p->why[p->count++] = why;
    return true;
}

static bool add_all(struct qs_protected *p, char *const *list, size_t count, const char *why)
{
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = add(p, list[i], why);
    return ok;
}

struct qs_protected *qs_protected_new(TALLOC_CTX *parent, const struct qs_site *site, char *const *more,
                                      size_t more_count)
{
    static const char *const not_public[] = {
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.168.0.0/16", "224.0.0.0/3", "::/8", "fc00::/7", "fe80::/10", "ff00::/8",
    };
    struct qs_protected *p = talloc_zero(parent, struct qs_protected);
    bool ok = p != NULL;
    ok = ok && add_all(p, site->trusted_relays, site->trusted_relay_count, "a trusted relay");
    ok = ok && add_all(p, site->networks, site->network_count, "in the networks that this host trusts");
    ok = ok && add_all(p, more, more_count, "an address of this host");
    for (size_t i = 0; ok && i < sizeof not_public / sizeof *not_public; i++)
        ok = add(p, not_public[i], "not a public address");
    if (!ok)
        TALLOC_FREE(p);
    return p;
}

const char *qs_protected_why(const struct qs_protected *guarded, const struct qs_network *range)
{
    for (size_t i = 0; i < guarded->count; i++)
        if (qs_networks_meet(&guarded->network[i], range))
            return guarded->why[i];
    return NULL;
}
