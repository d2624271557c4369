/* SPDX-License-Identifier: Apache-2.0 */
/* What an operation does to one message on disk, described as steps. Drivers describe, operate/apply.c performs.
 *
 * Paths are relative to the queue directory. A path that begins with "@/" lies in the directory of the run,
 * .qsurgeon/<run>/ below the queue directory: on the same file system, out of the MTA's sight, mode 0700. */
#ifndef QSURGEON_SURGERY_H
#define QSURGEON_SURGERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qsurgeon/text.h"

enum qs_action {
    QS_ACT_HOLD,            /* Postfix hold queue; sendmail quarantine (hf) */
    QS_ACT_RELEASE,         /* the way back, due at the next queue run */
    QS_ACT_PURGE,           /* with logs or df and xf into the run directory; archiving and unlinking come later */
    QS_ACT_DEFER,           /* not before a time (Postfix) */
    QS_ACT_EXPEDITE,        /* first in the next queue run */
    QS_ACT_REQUEUE,         /* once more through cleanup and the content filters (Postfix) */
    QS_ACT_DROP,            /* take recipients off; a message with none left goes into the run directory */
    QS_ACT_REPAIR,          /* what inspect() found: orphans and stale files into the run directory, misnamed ones renamed */
    QS_ACT_RESTORE,         /* back from an archive; no driver describes it: format.h has new_id and place */
};
enum { QS_ACTIONS = QS_ACT_RESTORE + 1 };

enum qs_step_kind {
    QS_STEP_MOVE,           /* rename from → to, never replacing; a missing directory of `to` is made like `from`'s */
    QS_STEP_TIMES,          /* mtime of `from` becomes `time`, atime stays; QS_TIME_AS_BEFORE: both as before the claim */
    QS_STEP_BYTE,           /* the byte at `offset` of `from`, which must be `expect`, becomes `byte` */
    QS_STEP_CREATE,         /* a new file `to` (always "@/...") with `data`; owner, mode and times as those of `from`; synced.
                               Performed before the claim, as nobody sees it */
};

#define QS_TIME_AS_BEFORE INT64_MIN

/* The list is performed in order and undone, each step inverted, in reverse order. Stopping after any step leaves a queue
 * that the MTA accepts and every message either in the queue or in the run directory. The first MOVE is the claim. */
struct qs_step {
    enum qs_step_kind kind;
    bool optional;          /* MOVE: the source may be missing (logs, df, xf) */
    bool log;               /* MOVE of a log: when the MTA has made or removed it since, undo goes on without it */
    const char *from, *to;
    const char *back;       /* MOVE: where undo puts it instead of `from`; NULL: to `from`. Postfix never looks again at
                               what comes back to active */
    int64_t time;           /* seconds since 1970 */
    uint64_t offset;
    uint8_t expect, byte;
    struct qs_span data;
};

/* How much of a lock the MTA allows on a message where it is now. */
enum qs_lock_rule {
    QS_LOCK_NONE,           /* never lock, edit or touch it: Postfix active. Only MOVE is harmless */
    QS_LOCK_AFTER_CLAIM,    /* Postfix: lock the claimed file, EX without waiting; busy: put it back */
    QS_LOCK_BEFORE_CLAIM,   /* sendmail: lock the qf, then compare path and descriptor, then claim */
};

/* What the user asked for beside the messages. */
struct qs_surgery {
    enum qs_action action;
    int64_t now, until;             /* DEFER: not before `until` */
    const char *reason;             /* HOLD on sendmail: the q line's text */
    const struct qs_span *drop;     /* DROP: addresses, as in the queue file */
    size_t drop_count;
    uint32_t shelf;                 /* changes every some score of messages: a part of paths in the run directory by which its
                                     * directories stay small, as most of the time that a rename takes is looking through them */
};

/* What wakes the MTA after a batch: a request for a socket below the queue directory, ended there by a NUL, or for a FIFO,
 * where it has none. */
struct qs_wake {
    const char *path, *request;
};

#endif
