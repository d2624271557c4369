/* SPDX-License-Identifier: Apache-2.0 */
/* What each message and cluster is, and why. */
#ifndef QSURGEON_VERDICT_H
#define QSURGEON_VERDICT_H

#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/cluster.h"
#include "qsurgeon/scan.h"
#include "qsurgeon/site.h"

enum qs_verdict {
    QS_UNSURE,
    QS_STORM,
    QS_BACKSCATTER,
    QS_LEGIT,
};
enum { QS_VERDICTS = 4 };

enum qs_cause {
    QS_CAUSE_NONE,                  /* "none" */
    QS_CAUSE_BOTNET_CAMPAIGN,       /* "botnet-campaign" */
    QS_CAUSE_DICTIONARY_ATTACK,     /* "dictionary-attack" */
    QS_CAUSE_COMPROMISED_ACCOUNT,   /* "compromised-account" */
    QS_CAUSE_COMPROMISED_SCRIPT,    /* "compromised-script" */
    QS_CAUSE_RELAY_ABUSE,           /* "relay-abuse" */
    QS_CAUSE_BACKSCATTER_OUT,       /* "backscatter-out": our bounces to forged senders */
    QS_CAUSE_BACKSCATTER_IN,        /* "backscatter-in": others' notices for mail forged in our name */
    QS_CAUSE_MAIL_LOOP,             /* "mail-loop" */
    QS_CAUSE_BULK_LIST,             /* "bulk-list": mailing list or newsletter */
    QS_CAUSE_ALERT_FLOOD,           /* "alert-flood" */
    QS_CAUSE_TRANSACTIONAL,         /* "transactional" */
    QS_CAUSE_OWN_BOUNCE,            /* "own-bounce": a report about mail that our user did send */
    QS_CAUSE_CONVERSATION,          /* "conversation" */
    QS_CAUSE_PERSONAL,              /* "personal": nothing speaks against it */
};
enum { QS_CAUSES = QS_CAUSE_PERSONAL + 1 };

enum qs_family {                    /* independent kinds of evidence */
    QS_FAM_CONTENT, QS_FAM_SENDERS, QS_FAM_CLIENTS, QS_FAM_RECIPIENTS, QS_FAM_TIME, QS_FAM_ORIGIN, QS_FAM_BOUNCE,
    QS_FAM_LOOP, QS_FAM_DELIVERY, QS_FAM_LEGITIMACY,
};
enum { QS_FAMILIES = QS_FAM_LEGITIMACY + 1 };

/* The words above; never NULL. The parsers give false for an unknown word. */
const char *qs_verdict_name(enum qs_verdict verdict);
const char *qs_cause_name(enum qs_cause cause);
const char *qs_family_name(enum qs_family family);
bool qs_verdict_parse(struct qs_span word, enum qs_verdict *out);
bool qs_cause_parse(struct qs_span word, enum qs_cause *out);

/* One reason. weight is in log-odds (natural logarithm): positive speaks for storm or backscatter, negative for legit. */
struct qs_evidence {
    enum qs_family family;
    const char *name;               /* constant, e.g. "many-senders" */
    double weight;
    char detail[120];               /* in words, with the numbers; raw text of mail inside: escape before printing */
};

struct qs_finding {                 /* of one message */
    uint8_t verdict, cause;
    float score;                    /* sum of weights */
};

struct qs_group {                   /* of one group of messages that are judged together */
    char name[QS_CLUSTER_NAME];
    uint8_t verdict, cause;
    float score;
    const char *culprit;            /* "user alice", "client 192.0.2.1", "uid 33 (mailer.php)", or NULL; raw text */
    uint32_t first, count;          /* messages are member[first .. first + count) */
    uint32_t sample;                /* a typical message */
    uint64_t bytes;
    uint32_t senders, clients, recipients;      /* distinct */
    int64_t oldest, newest;
    uint32_t marked[2];             /* messages with each enum qs_mark */
};

struct qs_judgement {
    struct qs_finding *of;          /* one for each message of the scan */
    struct qs_group *group;         /* largest first: text clusters, and notices joined by the campaign or victim they
                                       belong to; each has two members or more */
    uint32_t group_count;
    uint32_t *member;
    uint32_t *group_of;             /* group of each message or QS_NO_CLUSTER */
    uint64_t total[QS_VERDICTS], bytes[QS_VERDICTS];
    const struct qs_site *site;     /* what was given plus what was learnt from the queue */
    struct qs_judge *work;          /* private: facts kept for explaining */
};

/* Judges every message. `site` may be empty. now: the time of the scan. The result is a child of parent; scan, clusters
 * and site must outlive it. The order of messages has no influence. QS_NOMEM. */
enum qs_status qs_judge(TALLOC_CTX *parent, const struct qs_scan *scan, const struct qs_clusters *clusters,
                        const struct qs_site *site, int64_t now, struct qs_judgement **out,
                        struct qs_error *err) QS_MUST_CHECK;

/* The evidence for one message, or for a group as a whole: the same code that judged, with the words written out. *list is
 * a talloc array under parent, heaviest first. QS_NOMEM. */
enum qs_status qs_explain_message(TALLOC_CTX *parent, const struct qs_judgement *judgement, uint32_t message,
                                  struct qs_evidence **list, size_t *count, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_explain_group(TALLOC_CTX *parent, const struct qs_judgement *judgement, uint32_t group,
                                struct qs_evidence **list, size_t *count, struct qs_error *err) QS_MUST_CHECK;

/* What is worth saying of a message beside its verdict: a bit set of 1 << enum qs_mark. */
enum qs_mark {
    QS_MARK_BYPASS,                 /* "bypass": from outside, and not through one of the site's trusted relays */
    QS_MARK_HOST_NAME,              /* "host-name": to an address at this host's own name */
};
enum { QS_MARKS = QS_MARK_HOST_NAME + 1 };
unsigned qs_marks_of(const struct qs_judgement *judgement, uint32_t message);
const char *qs_mark_name(enum qs_mark mark);

/* The scores from which a verdict follows; printed by --explain. */
double qs_threshold_guilty(void);
double qs_threshold_legit(void);

#endif
