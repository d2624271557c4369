/* SPDX-License-Identifier: Apache-2.0 */
/* What this host is and serves: read from the MTA by a driver, from a file, or learnt from the queue itself. */
#ifndef QSURGEON_SITE_H
#define QSURGEON_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/network.h"
#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

struct qs_dns;

/* Lists are talloc arrays of strings, children of the site; names in lower case without a final dot.
 * Everything may be empty: then the verdicts stand on the queue alone. */
struct qs_site {
    const char *hostname;
    char **local_domains;       /* delivered here (mydestination, virtual domains, class w) */
    size_t local_count;
    char **relay_domains;       /* relayed for others (relay_domains, class R) */
    size_t relay_count;
    char **networks;            /* trusted clients, CIDR (mynetworks) */
    size_t network_count;
    bool takes_any_relayed;     /* the MTA takes recipients of relay domains, or of local ones, whether they exist or not; */
    bool takes_any_local;       /* false also where that cannot be read */
    int64_t lifetime;           /* seconds for which the MTA keeps mail before it gives up (maximal_queue_lifetime, queuereturn); 0: unknown */
    bool asks_recipients;       /* the MTA asks the next host whether a recipient exists before it takes mail */
    /* from the site file alone */
    char **trusted_relays;      /* CIDR: the filters and primaries that mail for us must come through */
    size_t trusted_relay_count;
    char **honeypots;           /* addresses that nobody may write to */
    size_t honeypot_count;
    char **good_senders;        /* addresses, or domains that begin with "@": never storm */
    size_t good_sender_count;
    /* Is this an address in a domain of ours that nobody has? Asked once for each address. NULL: not known. */
    bool (*nobody)(void *data, struct qs_span address);
    void *nobody_data;
    /* not of the site, but what the judge may know of the world: NULL where DNS was not asked */
    const struct qs_dns *dns;
};

/* An empty site under `parent`; NULL when memory is out. */
struct qs_site *qs_site_new(TALLOC_CTX *parent);

/* Takes what a setting of the MTA says as the lifetime; a number without a unit is days. What is no time, or less than is known of
 * another queue, is passed over. */
void qs_site_learn_lifetime(struct qs_site *site, struct qs_span text);

/* The border between this site and the world: its networks and trusted relays, read once and asked often. */
struct qs_border;
/* Of a site, NULL: of one that nothing is known of. A child of parent; NULL when memory is out. */
struct qs_border *qs_border_new(TALLOC_CTX *parent, const struct qs_site *site);
/* Is the address this host, or in the site's networks? Where these are not known, private addresses are. */
bool qs_border_inside(const struct qs_border *border, const struct qs_network *address);
/* Is it a trusted relay, inside or not? */
bool qs_border_trusts(const struct qs_border *border, const struct qs_network *address);
/* Does the site name any trusted relay? */
bool qs_border_guarded(const struct qs_border *border);

/* Adds what the INI file `path` says in its section [site] to *site: hostname, which replaces the one that is known, and
 * the lists above by their names here, as words between commas and blanks, on indented lines as well, each list as often as
 * one likes. Names and addresses are kept in lower case. A comment begins with ';', or with '#' at the begin of a line.
 * QS_GONE: no such file. QS_CONFIG: unknown section or setting, or a value that is none; the text begins with file and
 * line. QS_NOPERM, QS_IO, QS_NOMEM. After an error *site may have a part of it. Form: inih's README. */
enum qs_status qs_site_read(struct qs_site *site, const char *path, struct qs_error *err) QS_MUST_CHECK;

#endif
