/* SPDX-License-Identifier: Apache-2.0 */
/* Which sources to keep out for a while, as files for the programs that do it.
 *
 * Blocked are IPv4 addresses and IPv6 networks (/64) with enough bad messages and attempts. Never blocked, and said so, is
 * whatever is not public, is this host, is trusted by the site (its networks, its trusted relays), or sent real mail too:
 * a message in the queue judged legit, a message with a login, or, by the log, one delivered message for every
 * QS_BLOCK_SHARE bad ones. An IPv4 network (/24) is blocked instead of its addresses where QS_BLOCK_SEVERAL of them are
 * to be blocked and none sent real mail. Only addresses decide, never names.
 *
 * A file says in comments what each entry is and when it expires; qs_block_read takes no file that was changed by hand,
 * since rewriting it would lose the change. */
#ifndef QSURGEON_BLOCK_H
#define QSURGEON_BLOCK_H

#include "qsurgeon/sources.h"

enum { QS_BLOCK_SHARE = 20, QS_BLOCK_SEVERAL = 3, QS_BLOCK_SPARED_KEPT = 1000 };

enum qs_block_format {
    QS_BLOCK_NFT,               /* "nft": a script for nft -f, with a table of its own and timeouts in the sets */
    QS_BLOCK_POSTFIX_CIDR,      /* "postfix-cidr": cidr_table(5) for check_client_access */
    QS_BLOCK_POSTSCREEN,        /* "postscreen": cidr_table(5) for postscreen_access_list */
    QS_BLOCK_SENDMAIL,          /* "sendmail-access": source of an access map, for makemap */
    QS_BLOCK_FAIL2BAN,          /* "fail2ban": fail2ban-client commands for a jail named qsurgeon */
    QS_BLOCK_RSPAMD,            /* "rspamd": an IP map, for multimap */
    QS_BLOCK_PLAIN,             /* "plain": an address or network a line */
};
enum { QS_BLOCK_FORMATS = QS_BLOCK_PLAIN + 1 };

const char *qs_block_format_name(enum qs_block_format format);
bool qs_block_format_parse(struct qs_span word, enum qs_block_format *out);

struct qs_block_entry {
    struct qs_network range;
    int64_t until;              /* seconds since 1970 */
    uint64_t bad;
};

struct qs_block {
    enum qs_block_format format;
    int64_t made;
    struct qs_block_entry *entry;       /* IPv4 first, then by address; none inside another */
    uint32_t count;
    char **spared;              /* a line each: which source, and why; the first QS_BLOCK_SPARED_KEPT */
    uint32_t spared_count;
    uint64_t spared_all;
};

struct qs_block_wish {
    enum qs_block_format format;
    uint64_t over;              /* block from this many bad messages and attempts on */
    int64_t now, until;
    char *const *own;           /* addresses of this host */
    size_t own_count;
};

/* Chooses. The result is a child of parent. QS_NOMEM. */
enum qs_status qs_block_choose(TALLOC_CTX *parent, const struct qs_sources *sources, const struct qs_site *site,
                               const struct qs_block_wish *wish, struct qs_block **out, struct qs_error *err) QS_MUST_CHECK;

/* Adds the entries of an older block that have not expired, but for those that may no longer be blocked; where both have a
 * range the later time counts. QS_NOMEM. */
enum qs_status qs_block_merge(struct qs_block *block, const struct qs_block *older, const struct qs_sources *sources,
                              const struct qs_site *site, const struct qs_block_wish *wish,
                              struct qs_error *err) QS_MUST_CHECK;

/* Drops what has expired at `now`, which becomes the time the block was made. Returns how many. */
uint32_t qs_block_prune(struct qs_block *block, int64_t now);

/* The file: a talloc string under parent, or NULL: out of memory. */
char *qs_block_text(TALLOC_CTX *parent, const struct qs_block *block);
/* Reads it back. QS_DATA: not such a file, cut off, or changed by hand. QS_NOMEM. */
enum qs_status qs_block_read(TALLOC_CTX *parent, struct qs_span text, struct qs_block **out,
                             struct qs_error *err) QS_MUST_CHECK;

#endif
