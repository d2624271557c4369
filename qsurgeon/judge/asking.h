/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of DNS and what was answered, while a run lasts. Private to dns.c, which asks, and answers.c, which keeps
 * answers for the next run. */
#ifndef QSURGEON_JUDGE_ASKING_H
#define QSURGEON_JUDGE_ASKING_H

#include <ares.h>
#include <poll.h>

#include "qsurgeon/dns.h"
#include "qsurgeon/table.h"

enum { SOCKETS = 64, OWN = 64 };

enum answer { WAITING, FOUND, NOTHING, FAILED };

struct host {
    char *name;
    struct qs_network address[2 * QS_DNS_ADDRESSES];
    unsigned count;
    enum answer answer[2];          /* A, AAAA */
    int64_t until;                  /* as in struct asked */
};

struct asked {
    enum answer answer;
    int64_t until;                  /* seconds since 1970 to which the answers hold; 0: not known */
    bool served, skipped;           /* here; no name that could be asked */
    unsigned count;
    uint32_t host[QS_DNS_EXCHANGERS];
    unsigned preference[QS_DNS_EXCHANGERS];
};

struct qs_dns_index {
    struct qs_table *table;         /* digest of a domain to its route */
};

struct work {
    struct qs_dns *dns;
    const struct qs_site *site;
    int64_t now;                    /* 0: nothing is remembered */
    struct asked *asked;            /* of each route */
    struct host *host;
    uint32_t host_count, host_room, next_host;
    size_t next_domain;
    struct qs_table *host_index;
    struct qs_network own[OWN];
    size_t own_count;
    ares_channel channel;
    struct pollfd socket[SOCKETS];
    unsigned in_flight;
    bool asked_any, heard, failed;  /* heard: somebody answered, if by an error; failed: out of memory */
};

/* May DNS be asked for such a name? */
bool qs_dns_askable(struct qs_span name);
/* Adds an exchanger in its place; w->failed when memory is out. */
void qs_dns_add_exchanger(struct work *w, struct asked *asked, const char *name, unsigned preference);

/* Takes from the text of an earlier run what still holds and is asked for. w->failed when memory is out. */
void qs_dns_recall(struct work *w, struct qs_span earlier);
/* Makes the text for the next run, w->dns->answers: what this one was told, and of the earlier one what still holds. False:
 * out of memory. */
bool qs_dns_remember(struct work *w, struct qs_span earlier);

#endif
