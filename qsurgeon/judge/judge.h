/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share: the site as the judge knows it, the facts about each message, campaigns, and the
 * sum of evidence. Not for other folders; verdict.h is. How it all goes together stands at the head of verdict.c. */
#ifndef QSURGEON_JUDGE_H
#define QSURGEON_JUDGE_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/network.h"
#include "qsurgeon/scan.h"
#include "qsurgeon/site.h"
#include "qsurgeon/table.h"
#include "qsurgeon/verdict.h"

#define QS_NONE UINT32_MAX

enum { QS_TEXT_ENOUGH = 12 };      /* shingles; the likeness of shorter texts says less */

/* --- site.c: what this host is --------------------------------------------------------------------------------------- */

struct qs_known {
    struct qs_site *site;           /* what was given and what was learnt */
    struct qs_table *hosts;         /* digest of a name by which this host signs Received fields */
    struct qs_table *domains;       /* digest of a domain that is ours, local or relayed */
    struct qs_table *orgs;          /* qs_host_hash of the local domains and of the hosts */
    struct qs_table *outside;       /* addresses (symbols) under which other hosts see us, from returned messages */
    struct qs_table *honeypots;     /* digests of addresses */
    struct qs_table *good;          /* digests of addresses, and of "@" and a domain */
    struct qs_border *border;       /* what is inside */
    bool names_missing;             /* this host looks up no client names: their absence says nothing */
};

/* From the given site, and where that says nothing, from the queue. A child of parent, NULL: out of memory. */
struct qs_known *qs_know_site(TALLOC_CTX *parent, const struct qs_scan *scan, const struct qs_site *given);

/* A 64-bit digest of a name in lower case, without a final dot; 0: empty. */
uint64_t qs_name_digest(struct qs_span name);
bool qs_is_own_domain(const struct qs_known *known, struct qs_span domain);     /* or beneath one */
bool qs_is_own_host(const struct qs_known *known, struct qs_span name);
bool qs_is_own_address(const struct qs_known *known, const struct qs_network *address);   /* this host or its networks */
bool qs_is_own_name(const struct qs_known *known, struct qs_span name);                    /* of a local domain */
bool qs_read_address(const char *text, struct qs_network *out);                            /* false: none */
/* A digest of the network of an address (IPv4 /24, IPv6 /48). */
uint32_t qs_net_digest(const struct qs_network *address);
/* A name that an access provider gives to all of its customers: made of the address, or of words like dsl and a number.
 * address may be NULL. */
bool qs_name_is_generic(struct qs_span name, const struct qs_network *address);

/* --- facts.c: what each message shows by itself ---------------------------------------------------------------------- */

enum qs_fact_bit {
    QS_F_NOTICE = 1u << 0,          /* a bounce, auto-reply, challenge or virus notice */
    QS_F_SHARED = 1u << 1,          /* came from a server that many unrelated people use: servers.c */
    QS_F_OWN_CLIENT = 1u << 2,      /* came from this host or its networks */
    QS_F_LOCAL = 1u << 3,           /* submitted by a local program */
    QS_F_AUTH = 1u << 4,            /* authenticated */
    QS_F_MATCH = 1u << 5,           /* the client's name belongs to the sender's organisation */
    QS_F_SAME_SOURCE = 1u << 6,     /* the sender's organisation also sends from this network under its own name */
    QS_F_THREAD = 1u << 7,          /* the other half of the conversation is in the queue */
    QS_F_NO_NAME = 1u << 8,         /* no name for the client's address */
    QS_F_GENERIC = 1u << 9,         /* a name as access networks have them */
    QS_F_BAD_HELO = 1u << 10,       /* says our own name, localhost, an address, or no full name */
    QS_F_OWN_SENDER = 1u << 11,     /* envelope sender in a domain of ours */
    QS_F_TO_OWN = 1u << 12,         /* has a recipient of ours */
    QS_F_TO_OTHERS = 1u << 13,      /* has a recipient that is not ours */
    QS_F_TO_HOST = 1u << 14,        /* has a recipient at this host's own name */
    QS_F_MADE_HERE = 1u << 15,      /* a notice that this host made */
    QS_F_RETURNS = 1u << 16,        /* a notice with a returned message that shows where it passed */
    QS_F_PASSED = 1u << 17,         /* the returned message passed this host ... */
    QS_F_FROM_US = 1u << 18,        /* ... and came from a client or user of ours */
    QS_F_FALSE_TRACE = 1u << 19,    /* the returned message has a Received field in our name that is forged */
    QS_F_BYPASS = 1u << 28,         /* from outside, and not through one of the trusted relays */
    QS_F_TO_LOOPBACK = 1u << 29,    /* DNS was asked: all recipients' domains have their mail delivered to this host */
    QS_F_STEADY = 1u << 24,         /* the sender's organisation has several messages here, all from one source */
    QS_F_RETURNS_STORM = 1u << 23,  /* the returned message is of a convicted campaign, or of a client that sent such */
    QS_F_OTHER_MESSAGE = 1u << 22,  /* a notice that returns nothing and whose subject is unlike those of its flood */
    QS_F_RETURNS_DUBIOUS = 1u << 21,    /* the returned message came from a client without a name, or of an access network */
    QS_F_HONEYPOT = 1u << 25,       /* has a recipient to whom nobody may write */
    QS_F_GOOD = 1u << 26,           /* of a sender whom the admin trusts, and its client does not contradict */
    QS_F_LIKE_GOOD = 1u << 27,      /* resembles a sample of good mail */
    QS_F_LIKE_BAD = 1u << 30,       /* resembles a sample of bad mail, or returns such */
    QS_F_TO_NOBODY = 1u << 31,      /* has recipients of ours, and none of them exists */
    QS_F_GENUINE = 1u << 20,        /* we got the returned message from the own server of whom the notice goes to */
};
/* What ties a message of a stranger to its sender and is hard to forge at scale. */
enum { QS_F_VOUCHED = QS_F_MATCH | QS_F_SAME_SOURCE | QS_F_THREAD };
enum { QS_F_INSIDE = QS_F_OWN_CLIENT | QS_F_LOCAL | QS_F_AUTH };

struct qs_fact {
    uint32_t sender_org;            /* digest of the organisation of the envelope sender; 0: null sender */
    uint32_t source;                /* digest of who sent it: of the client name's organisation, else of its network */
    uint32_t net;                   /* digest of the client's network */
    uint32_t origin;                /* digest of the user, the uid and script, or the inside client; 0: from outside.
                                       Of a notice: the client of what it returns, a symbol; 0: unknown or ours */
    uint32_t bits;                  /* enum qs_fact_bit */
};

struct qs_fact *qs_make_facts(TALLOC_CTX *parent, const struct qs_scan *scan, struct qs_known *known);
/* The first recipient: the victim of a notice. */
qs_sym qs_first_recipient(const struct qs_message *m);
/* Who sent the message, or for a notice the message that it returns: a client's symbol or a digest; 0: unknown. */
uint32_t qs_sender_of(const struct qs_scan *scan, const struct qs_fact *fact, uint32_t message);
struct qs_span qs_domain_of(struct qs_span address);    /* what stands behind the last '@' */
/* The words of letters in a subject that stand outside brackets, and are no reply prefix: calls `each` for every one. */
void qs_subject_words(struct qs_span subject, void (*each)(void *data, struct qs_span word), void *data);
/* A digest of those words in order; 0: too few to tell anything. */
uint32_t qs_subject_digest(struct qs_span subject);

/* Of a message, or for a notice of what it returns: from inside; from where ordinary mail does not come from. */
static inline bool qs_is_inside(uint32_t bits)
{
    return bits & QS_F_NOTICE ? bits & QS_F_FROM_US : bits & QS_F_INSIDE;
}

static inline bool qs_is_dubious(uint32_t bits)
{
    return bits & QS_F_NOTICE ? bits & QS_F_RETURNS_DUBIOUS : bits & (QS_F_NO_NAME | QS_F_GENERIC);
}

/* --- given.c: what the admin told --------------------------------------------------------------------------------------- */

/* Sets QS_F_HONEYPOT, QS_F_GOOD, QS_F_LIKE_GOOD, QS_F_LIKE_BAD and QS_F_TO_NOBODY. False: out of memory. */
bool qs_mark_given(const struct qs_scan *scan, const struct qs_known *known, struct qs_fact *fact);

/* --- linkage.c: average linkage of a few points ---------------------------------------------------------------------- */

struct qs_linkage {
    uint32_t most, n;               /* points that have room; points */
    float *like;                    /* most x most */
    float *inner;                   /* mean likeness within the group that stands at this place */
    uint32_t *size;                 /* of it; 0: joined to another, or final */
    uint32_t *group;                /* place of each point's group: the result */
    uint32_t *chain;
};
struct qs_linkage *qs_linkage_new(TALLOC_CTX *parent, uint32_t most);
void qs_linkage_start(struct qs_linkage *l, uint32_t n);
void qs_linkage_set(struct qs_linkage *l, uint32_t a, uint32_t b, float likeness);      /* for all pairs */
/* Joins while two groups are alike by `least` and by `of_inner` of the likeness within a grown group. */
void qs_linkage_run(struct qs_linkage *l, float least, float of_inner);

/* --- campaigns.c, profile.c: messages of one wording ------------------------------------------------------------------ */

/* The campaign to which each message's text belongs, or for a notice the text it returns: a first guess that is wider than
 * a text cluster. Whoever is vouched for has none. Campaigns that the same clients sent are of one wave. */
struct qs_campaigns {
    uint32_t *of;                   /* campaign of each message, or QS_NONE */
    uint32_t *wave;                 /* of each campaign */
    uint32_t count, waves;
    struct qs_profile *profile;     /* private */
    uint32_t *profile_of;           /* of each campaign, or QS_NONE */
};
struct qs_campaigns *qs_find_campaigns(TALLOC_CTX *parent, const struct qs_scan *scan, const struct qs_clusters *clusters,
                                       const struct qs_fact *fact);
/* What counts as the message's text there, and whether it takes part. */
const struct qs_fingerprint *qs_campaign_text(const struct qs_scan *scan, const struct qs_fact *fact, uint32_t message);
bool qs_in_campaigns(const struct qs_scan *scan, const struct qs_fact *fact, uint32_t message);
/* Learns what is usual in large campaigns, and takes those out that show little of it. False: out of memory. */
bool qs_make_profiles(struct qs_campaigns *campaigns, const struct qs_scan *scan, const struct qs_fact *fact);
/* Gives messages without a campaign that show enough of what is usual in a bad one to that one. bad: of each campaign. */
void qs_adopt_stragglers(struct qs_campaigns *campaigns, const struct qs_scan *scan, const struct qs_fact *fact,
                         const uint8_t *bad);
/* The items 0 .. n-1 by their class, QS_NONE being none: those of class c are (*item)[(*start)[c] .. (*start)[c + 1]). */
bool qs_sort_by(TALLOC_CTX *parent, const uint32_t *class, uint32_t n, uint32_t classes, uint32_t **start, uint32_t **item);

/* --- notices.c: which notices belong together ------------------------------------------------------------------------ */

struct qs_victim {                  /* a recipient of notices */
    qs_sym address;
    uint32_t notices;
    uint32_t strange;               /* of those, with a returned message that never passed this host */
    uint32_t made_here;
};

struct qs_notices {
    struct qs_victim *victim;
    uint32_t victims;
    struct qs_table *index;         /* recipient symbol to index of victim */
    uint32_t *wave;                 /* of each message: number of the flood it belongs to, or QS_NONE */
    uint32_t waves;
};
/* Joins notices by campaign, by the clients that sent what they return, and by victim. */
/* bad: of each campaign. Sets QS_F_OTHER_MESSAGE and QS_F_RETURNS_STORM. */
struct qs_notices *qs_join_notices(TALLOC_CTX *parent, const struct qs_scan *scan, struct qs_fact *fact,
                                   const struct qs_campaigns *campaigns, const uint8_t *bad);

/* --- servers.c: servers that many people use ------------------------------------------------------------------------ */

/* Sets QS_F_SHARED. False: out of memory. */
bool qs_find_shared(const struct qs_scan *scan, const struct qs_campaigns *campaigns, struct qs_fact *fact);

/* --- crowd.c: what some messages show together ----------------------------------------------------------------------- */

struct qs_crowd {
    uint32_t count;
    uint32_t senders, sender_orgs, sources, clients, recipients;   /* distinct */
    uint64_t same_org;              /* pairs of messages that have the sender's organisation in common */
    uint32_t routes;                /* distinct pairs of sender organisation and source */
    uint32_t outside;               /* messages from strangers: not inside; the next ones count among them */
    uint32_t vouched, steady, no_name, generic, bad_helo, forged, relayed, to_host, bypass;
    uint32_t links_home;            /* from inside, with a link to the From address's organisation or to ours */
    uint32_t inside, authenticated, local, own_clients, own_sender, nulls, to_others;
    uint32_t html, images, attachments;
    uint32_t honeypots, to_nobody, good, like_good, like_bad;      /* messages with what the admin told of */
    uint32_t bounced, bounced_clients;      /* of a campaign: our bounces that return it, and who had sent those */
    uint32_t hidden, disguised, listed, lists_one, scripts, replies;
    uint32_t shared;                /* from servers that many people use; among those from outside */
    uint32_t brief;                 /* with hardly a text */
    uint32_t top_link, top_origin, origin_nets;
    uint32_t origin;                /* when it has more than half */
    uint32_t returning, strange, passed, from_us, false_traces, made_here, looping, victims, returned_clients;
    uint32_t to_loopback;           /* messages whose recipients have their MX here, as DNS says */
    uint32_t storm_returns;         /* messages that return one that is convicted here */
    uint32_t top_campaign;          /* messages of the most frequent campaign of returned messages */
    uint32_t top_answered;          /* notices that answer the same message and return nothing */
    uint32_t vouched_orgs;          /* organisations from whose own servers the same texts came, for each text */
    double likeness;                /* mean agreement of some pairs of texts, 0 to 1 */
    int64_t oldest, newest;
    uint64_t bytes;
};

struct qs_bounced {                 /* our bounces that return a campaign */
    uint32_t count;
    uint32_t clients;               /* distinct ones that had sent it */
};

struct qs_work {                    /* everything known when judging */
    const struct qs_scan *scan;
    const struct qs_clusters *clusters;
    struct qs_known *known;
    struct qs_fact *fact;
    struct qs_campaigns *campaigns;
    struct qs_notices *notices;
    uint8_t *bad;                   /* of each campaign: convicted */
    struct qs_bounced *bounced;     /* of each campaign */
    struct qs_census **census;      /* of each thread: counters that are used again and again */
    uint32_t usual_volume;          /* messages of a usual user or script of ours */
    uint32_t *account;              /* of each message: the convicted account that sent it, or QS_NONE */
    uint32_t *vouched_orgs;         /* of each text cluster: sender organisations that are vouched for */
    double usual_dubious;           /* share of strangers' letters of no campaign that come from where storms come from */
};

struct qs_census;
struct qs_census *qs_census_new(TALLOC_CTX *parent);
/* False: out of memory. */
bool qs_measure(const struct qs_work *work, struct qs_census *census, const uint32_t *member, uint32_t count,
                struct qs_crowd *out);

/* --- cause.c: words for a verdict ------------------------------------------------------------------------------------ */

enum qs_cause qs_cause_of(const struct qs_work *work, const struct qs_crowd *crowd, uint32_t message, enum qs_verdict verdict);
/* Who sent a group's messages, when it is one: a child of parent. False: out of memory. */
bool qs_culprit_of(TALLOC_CTX *parent, const struct qs_work *work, const struct qs_crowd *crowd, const uint32_t *member,
                   uint32_t count, const char **out);

/* --- evidence.c: the weights ----------------------------------------------------------------------------------------- */

struct qs_sum {
    double score;
    double family[QS_FAMILIES];     /* the positive part of each */
    TALLOC_CTX *parent;             /* not NULL: keep the list, with words */
    struct qs_evidence *list;
    size_t count;
    bool failed;                    /* out of memory */
};
/* What a group shows together (a single message is a group of one), and what a message shows that its group does not. */
void qs_weigh_crowd(const struct qs_work *work, const struct qs_crowd *crowd, struct qs_sum *sum);
void qs_weigh_notices(const struct qs_work *work, const struct qs_crowd *crowd, struct qs_sum *sum);
void qs_weigh_message(const struct qs_work *work, const struct qs_crowd *crowd, uint32_t message, struct qs_sum *sum);
void qs_weigh_notice(const struct qs_work *work, const struct qs_crowd *crowd, uint32_t message, struct qs_sum *sum);
#endif
