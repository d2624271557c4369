/* SPDX-License-Identifier: Apache-2.0 */
/* Who sends: the queue and the mail log counted by client address, network, provider, autonomous system, login and
 * local user.
 *
 * A name counts only where the mail server has verified it (the name's addresses include the client's): Postfix then
 * writes it instead of "unknown", sendmail writes it without "(may be forged)". Providers are registrable domains of
 * such names by the Public Suffix List (libpsl); autonomous systems come from a MaxMind database of the GeoLite2-ASN
 * kind (libmaxminddb). Names are for reading only: nothing is ever blocked because of one. */
#ifndef QSURGEON_SOURCES_H
#define QSURGEON_SOURCES_H

#include "qsurgeon/maillog.h"
#include "qsurgeon/network.h"
#include "qsurgeon/select.h"

enum qs_source_kind {
    QS_SOURCE_ADDRESS,          /* "192.0.2.1"; what is no address stands here as it is in the queue */
    QS_SOURCE_NETWORK,          /* the /24 or /64 around it */
    QS_SOURCE_ISP,              /* "provider.example" */
    QS_SOURCE_ASN,              /* "AS64500"; only with a database */
    QS_SOURCE_USER,             /* authenticated user */
    QS_SOURCE_LOCAL,            /* local user, by number */
};
enum { QS_SOURCE_KINDS = QS_SOURCE_LOCAL + 1 };

struct qs_source {
    const char *name;           /* raw text */
    const char *label;          /* address: its verified name; ASN: the organisation; NULL: none; raw text */
    /* of the selected messages of the queue */
    uint64_t messages, bytes, clusters;
    uint64_t verdict[QS_VERDICTS];
    uint64_t relay;             /* messages from outside, without a login, to domains that are not served here */
    uint64_t bad;               /* storm, or unsure to recipients that do not exist */
    /* of the whole queue, whatever is selected */
    uint64_t legit;
    /* of the logs */
    uint64_t tried_unknown;     /* recipients refused, or returned later, because they do not exist */
    uint64_t tried_relay;       /* refused: relaying denied */
    uint64_t tried_other;       /* refused for another reason */
    uint64_t delivered;         /* messages of it that are not in the queue any more and were delivered */
    uint64_t logins;            /* messages sent with a login */
    /* of both; they stop growing at a limit, see qs_sources.uncounted */
    uint64_t recipients;        /* distinct */
    uint64_t unknown;           /* distinct, and said not to exist by a mail server */
    struct qs_network network;  /* address and network; bits 0: not an address */
};

struct qs_sources {
    struct qs_source *of[QS_SOURCE_KINDS];      /* most messages and attempts first, then by name */
    uint32_t count[QS_SOURCE_KINDS];
    bool logs, asn;                 /* logs were read; a database was there */
    uint64_t lines;                 /* of the logs */
    uint64_t unclear;               /* lines that can be read in two ways, since they quote a hostile address: left out */
    uint64_t old;                   /* attempts before qs_sources_wish.since: not counted */
    uint64_t uncounted;             /* attempts of sources beyond the limit: not counted */
    bool recipients_limited;        /* distinct recipients stopped growing */
    bool log_cut;                   /* a log was larger than is read of one */
};

struct qs_sources_wish {
    char *const *logs;              /* files, also compressed; "-" is standard input */
    size_t log_count;
    int64_t since;                  /* attempts that the logs tell of count from this time on, and where a line has no time;
                                       0: all. What was delivered, and logins, always do: they speak for a source */
    struct qs_log_clock clock;      /* with since */
    const char *mmdb;               /* NULL: none */
    uint32_t most;                  /* distinct sources of a kind; 0: 250,000 */
};

/* Counts. `selected` as in the reports. The result is a child of parent; view must outlive it. Logs are read as a
 * stream; memory is bounded by `most`. QS_IO, QS_GONE, QS_NOPERM: a log or the database cannot be read. QS_DATA: it is
 * damaged. QS_USAGE: this build knows no MaxMind databases. QS_NOMEM. */
enum qs_status qs_sources_count(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                                const struct qs_sources_wish *wish, struct qs_sources **out,
                                struct qs_error *err) QS_MUST_CHECK;

/* Messages and refused attempts together; rows with none stand last. */
uint64_t qs_source_seen(const struct qs_source *source);
/* Bad messages and attempts: what speaks for blocking. */
uint64_t qs_source_bad(const struct qs_source *source);

#endif
