/* SPDX-License-Identifier: Apache-2.0 */
/* Address ranges. Reads what people and mail servers write; resolves no names. */
#include "qsurgeon/network.h"

#include <arpa/inet.h>
#include <string.h>

enum { LONGEST = 100 };         /* bytes of an address with brackets, "IPv6:" and zone */
static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* The address alone; as a range of one. */
static bool parse_address(struct qs_span text, struct qs_network *out)
{
    char copy[INET6_ADDRSTRLEN];
    struct qs_network n = {{0}, 0, false};
    if (text.len > LONGEST)
        return false;
    if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        text = (struct qs_span){text.ptr + 1, text.len - 2};
    if (text.len > 5 && qs_span_starts_nocase(text, "IPv6:"))
        text = (struct qs_span){text.ptr + 5, text.len - 5};
    const char *zone = text.len > 0 ? memchr(text.ptr, '%', text.len) : NULL;
    if (zone != NULL)
        text.len = (size_t)(zone - text.ptr);
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, n.address) == 1) {
        n.bits = 32;
    } else if (inet_pton(AF_INET6, copy, n.address) == 1) {
        n.bits = 128;
        n.v6 = true;
    } else {
        return false;
    }
    *out = n;
    return true;
}

/* IPv4 inside IPv6 becomes IPv4, when the range is inside that part. */
static void unmap(struct qs_network *n)
{
    if (!n->v6 || n->bits < 96 || memcmp(n->address, mapped, sizeof mapped) != 0)
        return;
    memmove(n->address, n->address + 12, 4);
    memset(n->address + 4, 0, 12);
    n->bits -= 96;
    n->v6 = false;
}

enum qs_status qs_network_parse(struct qs_span text, struct qs_network *out, struct qs_error *err)
{
    struct qs_network n;
    uint64_t bits;
    text = qs_span_trim(text);
    const char *slash = text.len > 0 ? memchr(text.ptr, '/', text.len) : NULL;
    struct qs_span address = {text.ptr, slash != NULL ? (size_t)(slash - text.ptr) : text.len};
    if (!parse_address(address, &n))
        return QS_SKIP;
    if (slash != NULL) {
        struct qs_span length = {slash + 1, text.len - address.len - 1};
        if (!qs_parse_u64(length, &bits) || bits > n.bits)
            return qs_fail(err, QS_USAGE, "%.*s: the prefix length must be 0 to %u", (int)text.len, text.ptr,
                           n.bits);
        n.bits = (unsigned)bits;
    }
    unmap(&n);
    *out = n;
    return QS_OK;
}

bool qs_network_covers(const struct qs_network *network, const struct qs_network *address)
{
    unsigned bytes = network->bits / 8, rest = network->bits % 8;
    return address->v6 == network->v6 && address->bits >= network->bits &&
           memcmp(address->address, network->address, bytes) == 0 &&
           (rest == 0 || (address->address[bytes] ^ network->address[bytes]) >> (8 - rest) == 0);
}

bool qs_network_has(const struct qs_network *network, struct qs_span address)
{
    struct qs_network one;
    if (!parse_address(address, &one))
        return false;
    unmap(&one);
    return qs_network_covers(network, &one);
}
