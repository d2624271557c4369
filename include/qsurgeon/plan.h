/* SPDX-License-Identifier: Apache-2.0 */
/* A plan: the exact messages and what shall be done to them. What was reviewed is what runs.
 *
 * On disk it is JSON Lines: a header, a line a message, a trailer with the number of messages and the XXH3-128 digest of all
 * bytes before it. A plan that was cut off has no trailer and is refused; one edited by hand needs `edited`. */
#ifndef QSURGEON_PLAN_H
#define QSURGEON_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/select.h"
#include "qsurgeon/surgery.h"

enum qs_plan_after {            /* what follows a purge's quarantine */
    QS_AFTER_ARCHIVE,           /* archive, verify, unlink */
    QS_AFTER_KEEP,              /* stays in quarantine */
    QS_AFTER_UNLINK,            /* unlinked without an archive: no way back */
};

struct qs_plan_item {
    const char *id, *queue_name;
    const char *path;           /* of the message's file, relative to the queue directory */
    const char *reason;         /* verdict, cause and cluster, for people */
    uint64_t inode, size, digest;       /* identity: as in struct qs_message */
    int64_t arrival;
    int64_t born;               /* identity, with the inode, of a message that keeps its file: as in struct qs_message */
    bool unread;                /* it has no digest, its size is that of the file, its arrival when that was made */
    uint32_t dir, kind;         /* as in struct qs_entry; not on disk */
    bool placed;                /* dir and kind are known */
};

struct qs_plan {
    const char *host;           /* where it was made and may be performed */
    const char *mta, *instance, *queue_dir, *config;    /* config may be NULL */
    const char *tool;           /* version */
    const char *words;          /* the selection */
    const char *note;           /* HOLD on sendmail: the reason; may be NULL */
    int64_t made;
    uint64_t device;            /* of the queue directory */
    enum qs_action action;
    enum qs_plan_after after;   /* PURGE */
    const char *output;         /* PURGE with an archive: its absolute path; NULL: in the run's directory */
    int64_t until;              /* DEFER, and HOLD with a due time; else 0 */
    int64_t lifetime;           /* of `until`: how long the MTA keeps mail; not on disk */
    uint32_t last_try;          /* then older than that: tried once, and returned if that fails; not on disk */
    uint32_t pace;              /* RELEASE: messages a minute, kept by how->rest of apply.h; 0: all at once */
    char **drop;                /* DROP: addresses, as in the queue files */
    size_t drop_count;
    const char *archive;        /* RESTORE: an absolute path; else NULL */
    bool again;                 /* RESTORE: also what is there or has been brought back */
    bool resubmit;              /* RESTORE: hand them to the MTA's submission, not to the queue's directory */
    struct qs_plan_item *items;
    uint32_t count;
    uint64_t bytes;
    uint32_t left_legit, left_unsure;   /* selected, but guarded: not in the plan; not on disk */
    uint32_t left_there;                /* RESTORE: in the queue, or brought back before; not on disk */
    const char *doubtful;               /* of them: the IDs of those that may have been handed over; NULL: none. Not on disk */
    uint32_t left_unfit;                /* selected, but the action has no meaning where they are; not on disk */
};

/* Limits that a commit must not pass; 0: none. */
struct qs_guard {
    uint32_t max;               /* messages */
    double max_share;           /* per cent of the queue */
    bool include_legit;
    bool unsure_named;          /* --verdict unsure, --id or --cluster named them */
};

struct qs_plan_wish {
    enum qs_action action;
    enum qs_plan_after after;
    int64_t until;
    uint32_t pace;
    const char *note, *host, *words, *output;
    char **drop;
    size_t drop_count;
};

/* Makes a plan for the selected messages of the one queue in `view` (a view of several queues: QS_USAGE, ask for --queue).
 * Left out and counted: legit without include_legit, unsure unless named, and what the action has no meaning for (release of
 * what is not held). QS_USAGE: nothing is left, or max or max_share is passed; the text names the option that lifts it. The plan
 * is a child of parent and points into the view. */
enum qs_status qs_plan_make(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                            const struct qs_plan_wish *wish, const struct qs_guard *guard, struct qs_plan **out,
                            struct qs_error *err) QS_MUST_CHECK;

/* Writes it to a new file: temporary name in the same directory, synced, renamed without replacing. QS_IO, QS_USAGE: it
 * exists. */
enum qs_status qs_plan_write(const struct qs_plan *plan, const char *path, struct qs_error *err) QS_MUST_CHECK;

/* Reads what stands above the messages, `count` and `bytes` as they are announced there, and no message. QS_DATA: that is damaged. */
enum qs_status qs_plan_read_head(TALLOC_CTX *parent, const char *path, struct qs_plan **out, struct qs_error *err) QS_MUST_CHECK;

/* Reads and checks one. Hostile input: every name, number and count is checked. QS_DATA: damaged, cut off, edited without
 * `edited`, of another version. */
enum qs_status qs_plan_read(TALLOC_CTX *parent, const char *path, bool edited, struct qs_plan **out,
                            struct qs_error *err) QS_MUST_CHECK;

const char *qs_action_name(enum qs_action action);
bool qs_action_parse(struct qs_span word, enum qs_action *out);

#endif
