/* SPDX-License-Identifier: Apache-2.0 */
/* What stops a situation for good: lines for the mail server's own configuration and the packet filter, to be read and
 * pasted by the administrator. Nothing is installed. */
#ifndef QSURGEON_RULES_H
#define QSURGEON_RULES_H

#include <stdbool.h>
#include <talloc.h>

#include "qsurgeon/select.h"

enum qs_rules_about {
    QS_RULES_FOUND,                 /* what the queue calls for */
    QS_RULES_MX,                    /* domains whose mail comes back to this host, whether some are found or not */
    QS_RULES_DOOR,                  /* mail around the filter: needs site.trusted_relays */
};

struct qs_rules_wish {
    enum qs_rules_about about;
    const char *mta;                /* "postfix" or "sendmail" */
    const char *config;             /* the MTA's configuration directory (Postfix) or file (sendmail); NULL: the usual */
};

/* One thing to install: a file, then commands for a shell. */
struct qs_rule {
    const char *name;               /* constant: "sender-mx", "recipient-mx", "domains", "mailertable", "door-postfix", "door-nft" */
    const char *program;            /* who reads it: "postfix", "sendmail", "nftables" */
    const char *why;                /* one sentence or more */
    const char *file, *text;        /* path and content, or, for lines that go into an existing file, those lines */
    bool whole;                     /* text is the whole file */
    char **command;                 /* what to type when the text is there; a talloc array */
    size_t command_count;
};

/* The rules for what the selected messages show (selected NULL: all). No word of them comes from mail but domains, which are
 * made of letters, digits, '-', '_' and '.'. A child of parent. Of a view whose site carries no DNS answers, only what
 * needs none. QS_USAGE: the door, and no trusted relay is known; or config is a name that rules cannot contain. QS_NOMEM. */
enum qs_status qs_rules_make(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                             const struct qs_rules_wish *wish, struct qs_rule **list, size_t *count,
                             struct qs_error *err) QS_MUST_CHECK;

#endif
