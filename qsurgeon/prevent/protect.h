/* SPDX-License-Identifier: Apache-2.0 */
/* Networks that are ours or trusted: never strangers, never blocked. Private to prevent/. */
#ifndef QSURGEON_PREVENT_PROTECT_H
#define QSURGEON_PREVENT_PROTECT_H

#include "qsurgeon/network.h"
#include "qsurgeon/site.h"

struct qs_protected {
    struct qs_network *network;
    const char **why;               /* of each: "mynetworks", "a trusted relay", ... */
    size_t count;
};

/* What the site trusts, and every range that is not public (RFC 6890: loopback, private, link-local, and so on), and the
 * addresses in more[0..more_count). A child of parent; NULL: out of memory. */
struct qs_protected *qs_protected_new(TALLOC_CTX *parent, const struct qs_site *site, char *const *more,
                                      size_t more_count);
/* Why no address in this range may be blocked: NULL when all may. */
const char *qs_protected_why(const struct qs_protected *guarded, const struct qs_network *range);

/* Do the ranges have an address in common? */
bool qs_networks_meet(const struct qs_network *a, const struct qs_network *b);
/* The first `bits` of an address, as a range. */
struct qs_network qs_network_around(const struct qs_network *address, unsigned bits);

enum { QS_RANGE_TEXT = 64 };
/* "192.0.2.1", "2001:db8::/64": without the prefix length where it is one address. Returns `to`. */
char *qs_network_text(char to[QS_RANGE_TEXT], const struct qs_network *range);

#endif
