/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and ranges of addresses (CIDR, RFC 4632, RFC 4291). */
#ifndef QSURGEON_NETWORK_H
#define QSURGEON_NETWORK_H

#include <stdbool.h>

#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

/* A range of addresses of one family. */
struct qs_network {
    unsigned char address[16];      /* IPv4 in the first four bytes */
    unsigned bits;                  /* 0 to 32, or to 128 */
    bool v6;
};

/* Reads an address or range, with blanks around it or not: "192.0.2.1", "[192.0.2.1]", "10.0.0.0/8",
 * "[2001:db8::]/32". Bits behind the prefix may be set and do not count. IPv4 written as IPv6
 * (::ffff:192.0.2.1) is IPv4. QS_SKIP: not an address. QS_USAGE: an address with a prefix length that it
 * cannot have. */
enum qs_status qs_network_parse(struct qs_span text, struct qs_network *out,
                                struct qs_error *err) QS_MUST_CHECK;

/* Is `address`, as mail servers write it ("192.0.2.1", "[192.0.2.1]", "IPv6:2001:db8::1"), in the range?
 * False when it is no address. */
bool qs_network_has(const struct qs_network *network, struct qs_span address);
/* The same for an address (or a smaller range) that was read already. */
bool qs_network_covers(const struct qs_network *network, const struct qs_network *address);

#endif
