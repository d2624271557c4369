/* SPDX-License-Identifier: Apache-2.0 */
/* Messages back from an archive into a queue: raw queue files under valid new queue IDs, so that done recipients, DSN options
 * and arrival times stay (queue-formats A13, C). */
#ifndef QSURGEON_RESTORE_H
#define QSURGEON_RESTORE_H

#include <stddef.h>
#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/apply.h"
#include "qsurgeon/format.h"

struct qs_fs;

enum qs_restore_to {
    QS_RESTORE_HELD,            /* hold queue, quarantine: for the admin to look at */
    QS_RESTORE_WHERE_IT_WAS,    /* the queue it was purged from; what was active comes to deferred */
};

struct qs_restored {
    uint32_t messages;
    uint64_t bytes;
    struct qs_left_out *left;   /* what could not come back, with the reason; talloc array */
    uint32_t left_count;
};

/* Brings back the messages of the archive whose queue IDs are in ids[] (count 0: all). The archive's MTA must be the queue's.
 * Each message appears whole, in one rename, or not at all; every file's digest is checked first. Called again after a crash
 * with the same run directory, it goes on where it was. QS_OK with messages left out, which stay in the run directory: see
 * *done. QS_DATA: the archive is damaged, nothing came back. QS_IO, QS_USAGE. */
enum qs_status qs_restore(TALLOC_CTX *parent, const char *archive, const char *const *ids, size_t count,
                          const struct qs_format *format, struct qs_queue *queue, struct qs_fs *fs, enum qs_restore_to to,
                          int64_t now, struct qs_restored *done, struct qs_error *err) QS_MUST_CHECK;

#endif
