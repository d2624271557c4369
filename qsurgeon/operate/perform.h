/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of one message: performed, and reversed. Nothing here decides which messages. */
#ifndef QSURGEON_PERFORM_H
#define QSURGEON_PERFORM_H

#include "fsops.h"
#include "qsurgeon/surgery.h"

/* A step as it stands in the journal: with what is needed to reverse it. */
struct qs_move {
    enum qs_step_kind kind;
    bool optional, log;
    const char *from, *to;          /* TIMES, BYTE: from; CREATE: to */
    const char *back;               /* MOVE: where undo puts it; NULL: to `from` */
    uint64_t inode;                 /* MOVE, CREATE: of the file, so that no other is taken for it; 0: any */
    int64_t born;                   /* the claim: its birth, where it is to be compared, too; else 0. Not in the journal */
    struct timespec before[2];      /* TIMES: access and modification time before the claim */
    int64_t time;
    uint64_t offset;
    uint8_t expect, byte;
};

/* Performs the CREATE steps of the list and turns the whole list into moves under parent, whose paths are those of the steps;
 * `message` and `born` (0: not known) describe the message's own file, which the first MOVE claims. On failure nothing that was
 * created stays. */
enum qs_status qs_moves_prepare(TALLOC_CTX *parent, struct qs_fs *fs, const struct qs_step *steps, size_t count,
                                const struct stat *message, int64_t born, struct qs_move **moves, struct qs_error *err) QS_MUST_CHECK;

/* Removes what was created for moves of which none was performed. */
enum qs_status qs_moves_discard(struct qs_fs *fs, const struct qs_move *moves, size_t count, struct qs_error *err) QS_MUST_CHECK;

/* How far a message has come between being claimed and being done with. */
struct qs_moving {
    enum qs_status status;
    struct qs_error why;
    int lock;                       /* the MTA's, held; or -1 */
    size_t tried;
    bool claimed, intact;
};

/* Performs them in order, in two parts, each of which may be done by a thread of its own, the second after the first: the claim,
 * before which the MTA's lock is taken where `rule` wants it; and, whatever became of that, the rest: is it the message that was
 * meant, the lock, and the other moves. On failure what was done is reversed again, and at->intact says whether that succeeded.
 * at->status is QS_GONE: the message left before the claim. QS_BUSY: locked by the MTA. QS_DATA: not the same message any
 * more. */
void qs_moves_claim(struct qs_fs *fs, const struct qs_move *moves, size_t count, enum qs_lock_rule rule, struct qs_moving *at);
void qs_moves_follow(struct qs_fs *fs, const struct qs_move *moves, size_t count, enum qs_lock_rule rule, struct qs_moving *at);

/* Both, one after the other. */
enum qs_status qs_moves_perform(struct qs_fs *fs, const struct qs_move *moves, size_t count, enum qs_lock_rule rule,
                                bool *intact, struct qs_error *err) QS_MUST_CHECK;

/* Reverses them in reverse order; each is looked at on the disk, so that it may have been performed or not, or reversed
 * before. Takes the MTA's lock first where `rule` wants it before a claim, and before bytes are edited. QS_GONE: the MTA has
 * acted on the message since, nothing to reverse. QS_BUSY: the MTA works on it. QS_DATA: something else stands in the way, and
 * the message lies in the run directory still. *changed, where it is QS_OK: something was put back, and not all as it was
 * already. */
enum qs_status qs_moves_reverse(struct qs_fs *fs, const struct qs_move *moves, size_t count, enum qs_lock_rule rule,
                                bool *changed, struct qs_error *err) QS_MUST_CHECK;

#endif
