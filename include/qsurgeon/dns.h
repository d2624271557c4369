/* SPDX-License-Identifier: Apache-2.0 */
/* Where mail for a domain would go, as DNS says: MX (RFC 5321 section 5.1), the null MX (RFC 7505), addresses.
 *
 * A failure is never evidence: what is not answered, answered with an error, or not asked for want of time is
 * QS_MX_UNKNOWN. The only place where DNS is asked; it is asked only when a command says so. */
#ifndef QSURGEON_DNS_H
#define QSURGEON_DNS_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/network.h"
#include "qsurgeon/scan.h"
#include "qsurgeon/site.h"
#include "qsurgeon/status.h"

/* Of a domain. One exchanger with an address on the Internet is enough for QS_MX_OK, and one that is not known makes
 * the domain unknown; else it is what the most preferred exchanger is. */
enum qs_mx {
    QS_MX_UNKNOWN,                  /* "unknown" */
    QS_MX_OK,                       /* "ok"; also domains that this host serves, which are not asked */
    QS_MX_LOOPBACK,                 /* "loopback": 127.0.0.0/8, ::1, 0.0.0.0, ::, localhost */
    QS_MX_SELF,                     /* "self": this host, which does not serve the domain */
    QS_MX_PRIVATE,                  /* "private": RFC 1918, RFC 6598, link-local, fc00::/7, multicast, reserved; outside of
                                       the site's own networks */
    QS_MX_NONE,                     /* "none": null MX, no such domain, or no address at all */
};
enum { QS_MX_KINDS = QS_MX_NONE + 1 };

/* The words above; never NULL. The parser gives false for an unknown word. */
const char *qs_mx_name(enum qs_mx mx);
bool qs_mx_parse(struct qs_span word, enum qs_mx *out);
/* Of an address alone: QS_MX_LOOPBACK, QS_MX_PRIVATE or QS_MX_OK. */
enum qs_mx qs_mx_of_address(const struct qs_network *address);

enum {
    QS_DNS_EXCHANGERS = 16,         /* looked at of each domain, the most preferred; mail servers try fewer */
    QS_DNS_ADDRESSES = 8,           /* of each exchanger and family */
    QS_DNS_DOMAINS = 200000,        /* asked in one run */
    QS_DNS_REMEMBERED = 900,        /* seconds that an answer holds at most; shorter, where its TTL says so */
    QS_DNS_TEXT_MOST = 16 << 20,    /* bytes of qs_dns.answers */
};

struct qs_dns_options {
    const char *server;             /* ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT; NULL: those of the system */
    int64_t (*clock)(void);         /* milliseconds; never goes back */
    int64_t limit;                  /* milliseconds for everything */
    int64_t silence;                /* milliseconds until somebody must have answered something; 0: limit */
    const struct qs_site *site;     /* what is served here is not asked; may be NULL */
    bool served_too;                /* ask them all the same */
    int64_t now;                    /* seconds since 1970; 0: nothing is remembered from one run to the next */
    struct qs_span earlier;         /* qs_dns.answers of another run. Answers that still hold, and of the same servers, are
                                       not asked for again; whatever else stands there is passed over */
};

struct qs_exchanger {
    const char *name;               /* raw text of somebody else's */
    unsigned preference;
    const struct qs_network *address;
    size_t address_count;
    enum qs_mx mx;
};

struct qs_route {
    const char *domain;             /* lower case, no final dot */
    enum qs_mx mx;
    bool implicit;                  /* there is no MX; the domain's own address stands for it */
    struct qs_exchanger *exchanger; /* most preferred first */
    size_t exchanger_count;
};

struct qs_dns {
    struct qs_route *route;         /* in the order asked */
    size_t count;
    size_t late;                    /* of those, not answered or not asked when the time was over */
    size_t failed;                  /* of those, answered by an error */
    bool silent;                    /* nobody had answered anything when options->silence was over: nothing is known */
    struct qs_span answers;         /* text for the next run; empty: that of before is as good */
    struct qs_dns_index *index;     /* private */
};

/* Asks for each of the domains once, many at a time, in their order; returns at the latest when the time is over. The
 * answers are a child of parent. QS_USAGE: the server is no address. QS_IO: no socket. QS_NOMEM. */
enum qs_status qs_dns_ask(TALLOC_CTX *parent, const struct qs_dns_options *options, char *const *domain, size_t count,
                          struct qs_dns **out, struct qs_error *err) QS_MUST_CHECK;

/* The same for the domains of all recipients that wait in the scan, the most frequent first. */
enum qs_status qs_dns_ask_scan(TALLOC_CTX *parent, const struct qs_dns_options *options, const struct qs_scan *scan,
                               struct qs_dns **out, struct qs_error *err) QS_MUST_CHECK;

/* The answer for a domain in either case, or NULL: not asked. */
const struct qs_route *qs_dns_find(const struct qs_dns *dns, struct qs_span domain);
/* Of the domain of a mail address; of an address literal, user@[127.0.0.1], by itself. QS_MX_UNKNOWN: dns is NULL, or it
 * was not asked. */
enum qs_mx qs_dns_of(const struct qs_dns *dns, struct qs_span address);

#endif
