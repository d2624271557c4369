/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns in header and body lines that the messages of a storm share and real mail lacks, found in the raw lines as
 * an MTA's header and body checks see them, and measured on mail that they were not made from.
 *
 * For each group: the first part of its messages by arrival is read; runs of tokens that many of them share are
 * candidates, places that vary become bounded character classes. A candidate that stands in any real message is dropped,
 * as is one that says too little (estimated bits, by how many real messages have each of its words), one with a date, a
 * domain that we serve or the address of a recipient. A greedy cover picks few that catch most, most messages by more than
 * one. Each is then run by PCRE2 over every line of all real mail, and over the group's later messages. A small group gets
 * more, and its texts both plain and in base64; a text in an encoding that the later messages never have is dropped.
 *
 * Others' notices to a forged sender (backscatter-in) need not bring back anything of the storm. For them the addresses that
 * the training part's notices go to are found as well: whoever has the empty sender and one of them as its only recipient
 * may be refused. An address to which a notice goes that is not known for backscatter, in the queue or in `good`, is none.
 *
 * Read-only. Memory and time are bounded by the caps below, whatever the size of the queue. */
#ifndef QSURGEON_MINE_H
#define QSURGEON_MINE_H

#include "qsurgeon/reader.h"
#include "qsurgeon/select.h"

enum qs_mine_caps {
    QS_MINE_SAMPLE = 600,           /* messages of a group that candidates come from, spread over the training part */
    QS_MINE_CONTENT = 48 * 1024,    /* bytes of each of them */
    QS_MINE_MEASURED = 20000,       /* messages of a group that are measured, spread over both parts */
    QS_MINE_GOOD = 50000,           /* real messages of the queue, spread over it, and as many from directories */
    QS_MINE_GOOD_CONTENT = 4 * 1024 * 1024, /* bytes of each message that is measured */
    QS_MINE_RULES = 20,             /* rules of a group, unless said otherwise */
    QS_MINE_LEAST = 3,              /* messages that a group must have for training, and notices that a victim must have */
    QS_MINE_VICTIMS = 200,          /* addresses that notices go to */
};

struct qs_mine_how {
    double train;                   /* per cent of each group, by arrival; more than 0, at most 100 */
    unsigned rules;                 /* of a group, at most; 0: QS_MINE_RULES */
    char **good; size_t good_count; /* directories of real messages (Maildir or plain files), read to a depth of three */
    const uint8_t *selected;        /* storm messages meant, one byte a message; NULL: all */
    const uint32_t *groups; size_t group_count;     /* indexes of groups; none: all that are storm or backscatter */
};

struct qs_mined_rule {
    char name[24];                  /* "C-7f3a9b2c-1": best first within its group */
    uint32_t group;                 /* index into qs_mined.group */
    const char *field;              /* header field, or NULL: a line of the body */
    const char *pattern;            /* ASCII; for PCRE and POSIX alike, caseless, anywhere in the value or line */
    double bits;                    /* what it says, as estimated */
    uint32_t train, later;          /* messages caught, of those measured */
    uint32_t top_train, top_later;  /* of those, by a field of the message's own header; 0 for the body */
};

struct qs_mined_group {
    uint32_t group;                 /* index into the judgement's groups */
    uint32_t messages;              /* that are meant */
    uint32_t train, later;          /* measured of the first part, and of the rest */
    uint32_t train_caught, later_caught;            /* by any of its rules */
    uint32_t train_either, later_either;            /* by any of its rules, or to one of the victims */
    uint32_t first_rule, rules;
    uint32_t first_victim, victims;
};

struct qs_mined_victim {
    uint32_t group;                 /* index into qs_mined.group */
    const char *address;            /* letters, digits, "._+=-" and one "@" */
    uint32_t train, later;          /* messages with the empty sender and this one recipient: of the first part, and of the rest */
};

struct qs_mined {
    struct qs_mined_rule *rule; size_t rule_count;
    struct qs_mined_group *group; size_t group_count;
    struct qs_mined_victim *victim; size_t victim_count;
    uint32_t good_queue, good_files;    /* real messages that no rule matches */
    uint32_t good_unread;               /* real messages that could not be read */
    uint32_t dropped;                   /* candidates that the last test against real mail dropped */
};

/* The result is a child of parent. QS_NOQUEUE: the view is of a saved scan, which has no content. QS_GONE, QS_NOPERM,
 * QS_IO: a directory of `good` cannot be read. QS_USAGE: a directory of `good` has no message. QS_NOMEM. Messages that left the
 * queue meanwhile are passed over. */
enum qs_status qs_mine(TALLOC_CTX *parent, const struct qs_view *view, const struct qs_mine_how *how,
                       struct qs_mined **out, struct qs_error *err) QS_MUST_CHECK;

enum qs_mine_format {
    QS_MINE_POSTFIX_PCRE,           /* "postfix-pcre": header_checks and body_checks, pcre_table(5) */
    QS_MINE_POSTFIX_REGEXP,         /* "postfix-regexp": the same, regexp_table(5) */
    QS_MINE_SENDMAIL,               /* "sendmail": lines for sendmail.mc; header fields only */
    QS_MINE_SPAMASSASSIN,           /* "spamassassin" */
    QS_MINE_RSPAMD,                 /* "rspamd": lua for the regexp module */
    QS_MINE_SIEVE,                  /* "sieve": RFC 5228 with the regex and body extensions */
};
enum { QS_MINE_FORMATS = QS_MINE_SIEVE + 1 };
bool qs_mine_format_parse(struct qs_span word, enum qs_mine_format *out);

enum qs_mine_action { QS_MINE_REJECT, QS_MINE_HOLD, QS_MINE_DISCARD };
bool qs_mine_action_parse(struct qs_span word, enum qs_mine_action *out);       /* either case */

enum qs_mine_part { QS_MINE_ALL, QS_MINE_HEADER, QS_MINE_BODY, QS_MINE_NOTICES };    /* which rules to write */

/* Writes the rules with their measured hits and misses as comments, ASCII, appended to `to`. dir: where Postfix will find the
 * tables; NULL: /etc/postfix. QS_NOMEM. */
enum qs_status qs_mine_write(struct qs_buffer *to, const struct qs_view *view, const struct qs_mined *mined,
                             enum qs_mine_format format, enum qs_mine_part part, enum qs_mine_action action,
                             const char *dir, struct qs_error *err) QS_MUST_CHECK;

#endif
