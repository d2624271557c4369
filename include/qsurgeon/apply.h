/* SPDX-License-Identifier: Apache-2.0 */
/* Performing a plan, keeping a journal of it, undoing it. Everything that changes a queue passes here.
 *
 * A run is a directory <state>/<run>/ with plan.jsonl (synced before anything is touched), journal.jsonl and, for a purge,
 * archive.tar.zst; and .qsurgeon/<run>/ in the queue directory with what was taken out of it. The journal has for each
 * message its steps, synced in batches before they are performed, and its outcome. After a crash the steps tell what may
 * have happened, and the disk tells what did. */
#ifndef QSURGEON_APPLY_H
#define QSURGEON_APPLY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <talloc.h>

#include "qsurgeon/format.h"
#include "qsurgeon/plan.h"
#include "qsurgeon/status.h"

enum qs_outcome {
    QS_DONE,
    QS_LEFT_GONE,               /* delivered or removed meanwhile */
    QS_LEFT_CHANGED,            /* another message has the ID now, or its content changed */
    QS_LEFT_BUSY,               /* being delivered, locked, or still being written */
    QS_LEFT_REFUSED,            /* the action makes no sense or would harm: the text says why */
    QS_FAILED,                  /* the system failed; the message is where it was, or in the run directory */
    QS_NOT_REACHED,             /* the run was stopped before it */
};
enum { QS_OUTCOMES = QS_NOT_REACHED + 1 };

const char *qs_outcome_name(enum qs_outcome outcome);

struct qs_left_out {            /* a message that was not done */
    const char *id;
    enum qs_outcome outcome;
    const char *why;
};

struct qs_run_result {
    char run[64];               /* its name; empty: nothing was begun */
    uint32_t count[QS_OUTCOMES];
    uint64_t bytes_done;
    struct qs_left_out *left;   /* talloc array */
    uint32_t left_count;
    uint32_t archived, unlinked, in_quarantine;     /* messages, after a purge */
    uint32_t waiting;           /* of an undo: messages that it left because a later run has acted on them; also in count and left */
    const char *waits_for;      /* the newest of these runs, to be undone first; NULL: none */
    uint32_t new_files;         /* of an undo: messages that it brought from the archive, where the MTA's names hang on files under new IDs */
    uint32_t in_place;          /* of an undo: messages that it found where it would have put them; in none of the counts */
    const char *archive;        /* path or NULL */
    bool stopped;               /* by `keep_going` or `rest` */
    /* of a run that rests, filled by its caller: what the MTA has made of those released */
    bool paced;
    uint32_t tried, left_queue, deferred_again;
    const char *stopped_why;    /* NULL: by a signal, or not at all */
};

struct qs_operate {
    const char *state_dir;      /* where runs are kept */
    int archive_fd;             /* RESTORE: the archive, opened before the process became the queue's owner; -1: by its path */
    int64_t now;
    unsigned nonce;             /* makes the run's name unique: the process ID does */
    bool (*keep_going)(void *data, uint32_t done, uint32_t count);  /* asked after each message; false: stop */
    /* NULL: no rests. Else the plan is performed `stretch` messages at a time (1 to 512), each stretch synced and the MTA woken, and
     * between two of them this is called, with the messages of the plan that were dealt with; false: stop. */
    bool (*rest)(void *data, const struct qs_run_result *so_far, uint32_t reached);
    uint32_t stretch;
    void *data;
};

/* Makes .qsurgeon in the queue directory, mode 0700, for the owner of the queue: the one thing that the owner cannot do where
 * root owns the queue directory. Call it before becoming the owner. QS_NOPERM, QS_IO. */
enum qs_status qs_prepare_queue(const char *queue_dir, uid_t uid, gid_t gid, struct qs_error *err) QS_MUST_CHECK;

/* Performs `plan` on the open queue (of plan->mta at plan->queue_dir, on plan->host: checked by the caller). The calling process
 * must already act as the queue's owner. QS_OK even when messages were left out: see *result, a child of parent. QS_BUSY:
 * another qsurgeon operates. QS_NOPERM. QS_IO: stopped by a failing disk; *result is set nevertheless and tells what
 * holds. */
enum qs_status qs_apply(TALLOC_CTX *parent, const struct qs_plan *plan, const struct qs_instance *instance,
                        struct qs_queue *queue, const struct qs_operate *how, struct qs_run_result **result,
                        struct qs_error *err) QS_MUST_CHECK;

/* A run as the state directory shows it. */
struct qs_run {
    const char *name;
    const char *mta, *queue_dir, *config, *host, *words;
    enum qs_action action;
    int64_t made;
    uint32_t count;             /* messages planned */
    uint32_t done;
    uint32_t in_doubt;          /* it ended before it could say what became of these: moved or not, or put back by an undo or not */
    bool finished;              /* its journal has an end */
    bool undoing;               /* an undo of it was begun and has not ended */
    bool undone;
    bool waits;                 /* undone but for messages that a later run has acted on, and that wait for its undo */
    bool archived;              /* its archive is complete */
    const char *archive;        /* the path of that one; NULL: none */
};

/* The names of the runs of a state directory, oldest first. */
enum qs_status qs_run_names(TALLOC_CTX *parent, const char *state_dir, char ***names, size_t *count,
                            struct qs_error *err) QS_MUST_CHECK;
/* One of them: the head of its plan, and its journal but for the moves. What *out points to is parent's. QS_USAGE: no such run.
 * QS_DATA: damaged. */
enum qs_status qs_run_describe(TALLOC_CTX *parent, const char *state_dir, const char *name, struct qs_run *out,
                               struct qs_error *err) QS_MUST_CHECK;
/* By its name: is that what the run does? */
bool qs_run_does(const char *run, enum qs_action action);
/* Is the last line of its journal an end? One short look; where it is false, qs_run_describe knows. */
bool qs_run_at_end(const char *state_dir, const char *name);
/* Reverses the run by the inverse of each message's steps, as far as the MTA has not acted since; what could not be reversed
 * is in *result->left with the reason. Messages that were archived and unlinked come back from the archive. Works on finished
 * and unfinished runs. A message on which a later run has acted, and that is not undone, is left as that has put it, so that
 * undoing both leads to where it was before both: it waits, and is put back when this is called again after the later run's
 * undo. QS_USAGE: no such run, or undone already. */
enum qs_status qs_undo(TALLOC_CTX *parent, const char *run, const struct qs_instance *instance, struct qs_queue *queue,
                       const struct qs_operate *how, struct qs_run_result **result, struct qs_error *err) QS_MUST_CHECK;

/* The newest run before `name`, on the same queue, that left messages for the undo of `name` to come first and can put them back now;
 * *next is NULL where there is none, or `name` is not undone. */
enum qs_status qs_undo_next(TALLOC_CTX *parent, const char *state_dir, const char *name, const char **next,
                            struct qs_error *err) QS_MUST_CHECK;

/* Continues an unfinished run. One with a pace is not continued but ended, for nobody would keep the pace: what it has not
 * reached stays as it is. */
enum qs_status qs_resume(TALLOC_CTX *parent, const char *run, const struct qs_instance *instance, struct qs_queue *queue,
                         const struct qs_operate *how, struct qs_run_result **result, struct qs_error *err) QS_MUST_CHECK;

/* What there is to remove of a run. */
struct qs_forgotten {
    uint64_t bytes;             /* of what runs leave: plan, journal, archive, and files in the queue's run directory */
    uint32_t files;             /* of the latter, those that may be the only copy of something */
    bool archive;               /* its archive is there, and may be the only copy of what was purged */
    bool kept;                  /* it was not forgotten, or would not be; why says why */
    char why[QS_ERROR_TEXT];
};

/* Removes all that the run has left in the state directory and the queue's .qsurgeon; without `commit` it only looks. Kept are runs
 * that are unfinished, those that know what a restore must not bring a second time, as long as that archive is there, and, unless
 * `only_copies`, those with files that may be the only copy of something. Broken off, it may be called again; what a crash has left
 * when the run was no longer listed, qs_forget_rest removes. QS_USAGE: no such run. QS_BUSY, QS_IO. */
enum qs_status qs_forget(const char *run, const struct qs_instance *instance, struct qs_queue *queue, const struct qs_operate *how,
                         bool only_copies, bool commit, struct qs_forgotten *out, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_forget_rest(const char *state_dir, struct qs_error *err) QS_MUST_CHECK;

#endif
