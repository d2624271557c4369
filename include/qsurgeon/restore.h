/* SPDX-License-Identifier: Apache-2.0 */
/* Messages back from an archive into a queue: raw queue files under valid new queue IDs, so that done recipients, DSN options
 * and arrival times stay (queue-formats A13, C). And the archive as a queue to look at, without a mail server. */
#ifndef QSURGEON_RESTORE_H
#define QSURGEON_RESTORE_H

#include <stddef.h>
#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/apply.h"
#include "qsurgeon/archive.h"
#include "qsurgeon/format.h"
#include "qsurgeon/select.h"

struct qs_fs;
struct qs_table;

/* --- for undo --- */

struct qs_restored {
    uint32_t messages;
    uint64_t bytes;
    struct qs_left_out *left;   /* what could not come back, with the reason; talloc array */
    uint32_t left_count;
    bool stopped;               /* by how->keep_going, before any came back */
};

/* Brings back the messages of the archive whose queue IDs are in ids[] to where they were purged from. The archive's MTA must be
 * the queue's. Each message appears whole, in one rename, or not at all; every file's digest is checked first. Called again
 * after a crash with the same run directory, it goes on where it was. QS_OK with messages left out, which stay in the run
 * directory: see *done. QS_DATA: the archive is damaged, nothing came back. QS_IO, QS_USAGE. */
enum qs_status qs_restore(TALLOC_CTX *parent, const char *archive, const char *const *ids, size_t count,
                          const struct qs_format *format, struct qs_queue *queue, struct qs_fs *fs,
                          const struct qs_operate *how, struct qs_restored *done, struct qs_error *err) QS_MUST_CHECK;

/* --- restoring as a run of its own --- */

/* An archive laid out as the queue it was made of, in a new directory below `place` (an existing one), for a driver to open.
 * The files are gone when it is freed or closed. */
struct qs_unpacked {
    const char *dir;            /* the queue directory to open */
    const char *mta, *host;     /* as the archive says; host may be NULL */
    uint32_t count;             /* messages, all of them whole */
    struct qs_unpacked_message {
        const char *id, *queue_name, *reason;
        const char *path;       /* of its own file, below the queue directory */
        int64_t arrival;
        uint64_t size;
    } *messages;                /* in the order of the archive */
    char damage[QS_ERROR_TEXT]; /* why there are no more; "": the archive is whole */
    struct qs_table *index;     /* private */
    void *place;                /* private */
};
/* `keep_going`, where it is not NULL, is asked before each message. QS_BUSY: it said no, and nothing stays.
 * QS_DATA: damaged or hostile; with `damaged`, the whole messages before that place are there nevertheless, if any.
 * QS_IO: not room enough below `place` (half of what is free is taken at most). */
enum qs_status qs_unpack(TALLOC_CTX *parent, const char *archive, int fd, const char *place, bool damaged,
                         bool (*keep_going)(void), struct qs_unpacked **out, struct qs_error *err) QS_MUST_CHECK;
/* Removes the files; the list of messages stays. */
void qs_unpacked_close(struct qs_unpacked *unpacked);
/* Gives the messages of `view`, which was made of the unpacked queue, the verdicts, causes and clusters that they had when they
 * were archived. QS_NOMEM. */
enum qs_status qs_unpacked_recall(const struct qs_unpacked *unpacked, struct qs_view *view, struct qs_error *err) QS_MUST_CHECK;

/* Which messages the runs of a state directory have brought back since they were last taken out: qs_came_back_key() →
 * QS_CAME_BACK_BY + the index in *runs (may be NULL) of the restore that has, and could take them out again; FOR_GOOD where there is
 * no such way; DOUBT where it is not known, for a crash while they were handed over. A child of parent, and *runs one of *out. */
enum { QS_CAME_BACK_FOR_GOOD = 1, QS_CAME_BACK_DOUBT, QS_CAME_BACK_BY };
enum qs_status qs_came_back(TALLOC_CTX *parent, const char *state_dir, struct qs_table **out, char ***runs,
                            struct qs_error *err) QS_MUST_CHECK;
uint64_t qs_came_back_key(const char *id, int64_t arrival, uint64_t size);

struct qs_restore_wish {
    const char *archive;        /* absolute path */
    const char *host, *words, *state_dir;
    bool again, resubmit;
};
/* A plan to bring the selected messages (NULL: all) of the unpacked archive back into the open queue of `instance`, or, to
 * resubmit, to its MTA (queue is NULL then). Left out and counted in left_there: those whose ID is in the queue, and those
 * brought back before, or perhaps, unless `again`. QS_USAGE: another MTA's archive, or nothing is left. */
enum qs_status qs_restore_plan(TALLOC_CTX *parent, const struct qs_unpacked *unpacked, const struct qs_view *view,
                               const uint8_t *selected, const struct qs_restore_wish *wish, const struct qs_instance *instance,
                               struct qs_queue *queue, struct qs_plan **out, struct qs_error *err) QS_MUST_CHECK;

#endif
