/* SPDX-License-Identifier: Apache-2.0 */
#include "perform.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* --- preparing -------------------------------------------------------------------------------------------------------- */

static enum qs_status create(struct qs_fs *fs, const struct qs_step *step, struct qs_move *move, struct qs_error *err)
{
    struct stat like, made;
    enum qs_status status = qs_fs_stat(fs, step->from, &like, err);
    if (status == QS_OK)
        status = qs_fs_create(fs, step->to, step->data, &like, true, err);
    if (status == QS_OK)
        status = qs_fs_stat(fs, step->to, &made, err);
    if (status == QS_OK)
        move->inode = made.st_ino;
    return status;
}

enum qs_status qs_moves_prepare(TALLOC_CTX *parent, struct qs_fs *fs, const struct qs_step *steps, size_t count,
                                const struct stat *message, struct qs_move **moves, struct qs_error *err)
{
    struct qs_move *list = talloc_zero_array(parent, struct qs_move, (unsigned)(count ? count : 1));
    if (!list)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = QS_OK;
    bool claimed = false;
    size_t made = 0;
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        const struct qs_step *s = &steps[i];
        struct qs_move *m = &list[i];
        *m = (struct qs_move){.kind = s->kind, .optional = s->optional, .time = s->time, .offset = s->offset,
                              .expect = s->expect, .byte = s->byte};
        m->from = s->from ? talloc_strdup(list, s->from) : NULL;
        m->to = s->to ? talloc_strdup(list, s->to) : NULL;
        m->before[0] = message->st_atim;
        m->before[1] = message->st_mtim;
        if ((s->from && !m->from) || (s->to && !m->to))
            status = qs_fail(err, QS_NOMEM, "out of memory");
        else if (s->kind == QS_STEP_CREATE)
            status = create(fs, s, m, err);
        else if (s->kind == QS_STEP_MOVE && !claimed) {
            m->inode = message->st_ino;
            claimed = true;
        } else if (s->kind == QS_STEP_MOVE) {
            /* the same file again under its new name: a created one, or the message on its way back */
            for (size_t k = 0; k < i; k++)
                if (list[k].to && strcmp(list[k].to, m->from) == 0)
                    m->inode = list[k].inode;
        }
        made = i + 1;
    }
    if (status == QS_OK) {
        *moves = list;
        return QS_OK;
    }
    for (size_t i = 0; i < made; i++)
        if (list[i].kind == QS_STEP_CREATE && list[i].inode && qs_fs_unlink(fs, list[i].to, NULL) != QS_OK)
            break;      /* stays in the run directory, where nobody looks but undo */
    talloc_free(list);
    return status;
}

/* --- the MTA's lock --------------------------------------------------------------------------------------------------- */

/* Takes the lock of `path` without waiting: flock, which Postfix on Linux and Debian's sendmail use, and for sendmail
 * fcntl as well, because older builds use that (queue-formats, B4). *fd keeps it. */
static enum qs_status take_lock(struct qs_fs *fs, const char *path, bool both, uint64_t inode, int *fd, struct qs_error *err)
{
    struct stat st;
    int opened = -1;
    enum qs_status status = qs_fs_file(fs, path, O_RDWR, &opened, err);
    if (status != QS_OK)
        return status;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (flock(opened, LOCK_EX | LOCK_NB) != 0 || (both && fcntl(opened, F_SETLK, &whole) != 0))
        status = qs_fail(err, QS_BUSY, "%s: locked by the mail server", path);
    else if (fstat(opened, &st) != 0 || st.st_ino != inode)
        status = qs_fail(err, QS_DATA, "%s: another file has this name now", path);
    if (status == QS_OK)
        *fd = opened;
    else
        close(opened);
    return status;
}

/* --- performing ------------------------------------------------------------------------------------------------------- */

static enum qs_status set_times(struct qs_fs *fs, const struct qs_move *m, struct qs_error *err)
{
    struct timespec times[2] = {m->before[0], m->before[1]};
    if (m->time != QS_TIME_AS_BEFORE)
        times[1] = (struct timespec){.tv_sec = (time_t)m->time};
    return qs_fs_times(fs, m->from, times, err);
}

static enum qs_status move(struct qs_fs *fs, const struct qs_move *m, struct qs_error *err)
{
    struct stat st;
    enum qs_status status = qs_fs_move(fs, m->from, m->to, err);
    if (status == QS_GONE && m->optional)
        return QS_OK;
    if (status != QS_OK || !m->inode)
        return status;
    status = qs_fs_stat(fs, m->to, &st, err);
    if (status == QS_OK && st.st_ino == m->inode)
        return QS_OK;
    /* the name belonged to another message: give it back */
    if (status == QS_OK && qs_fs_move(fs, m->to, m->from, err) != QS_OK)
        return QS_IO;
    return qs_fail(err, QS_DATA, "%s: another message has this queue ID now", m->from);
}

static enum qs_status perform_one(struct qs_fs *fs, const struct qs_move *m, struct qs_error *err)
{
    switch (m->kind) {
    case QS_STEP_MOVE: return move(fs, m, err);
    case QS_STEP_TIMES: return set_times(fs, m, err);
    case QS_STEP_BYTE: return qs_fs_byte(fs, m->from, m->offset, m->expect, m->byte, err);
    case QS_STEP_CREATE: return QS_OK;      /* was made when it was prepared */
    }
    return QS_OK;
}

static const struct qs_move *claim_of(const struct qs_move *moves, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (moves[i].kind == QS_STEP_MOVE)
            return &moves[i];
    return NULL;
}

/* A hold of a Postfix message is a rename and nothing else: no lock is of use for it. */
static bool lock_is_of_use(size_t count, const struct qs_move *claim)
{
    return count > 1 || strncmp(claim->to, "@/", 2) == 0;
}

enum qs_status qs_moves_perform(struct qs_fs *fs, const struct qs_move *moves, size_t count, enum qs_lock_rule rule,
                                bool *intact, struct qs_error *err)
{
    const struct qs_move *claim = claim_of(moves, count);
    enum qs_status status = QS_OK;
    int lock = -1;
    size_t done = 0;
    *intact = true;
    if (!claim)
        return qs_fail(err, QS_DATA, "no claim among the steps");
    if (rule == QS_LOCK_BEFORE_CLAIM)
        status = take_lock(fs, claim->from, true, claim->inode, &lock, err);
    while (status == QS_OK && done < count) {
        status = perform_one(fs, &moves[done], err);
        if (status != QS_OK)
            break;
        if (&moves[done++] == claim && rule == QS_LOCK_AFTER_CLAIM && lock_is_of_use(count, claim))
            status = take_lock(fs, claim->to, false, claim->inode, &lock, err);
    }
    if (status != QS_OK)
        *intact = qs_moves_reverse(fs, moves, done, QS_LOCK_NONE, NULL) == QS_OK;
    if (lock >= 0)
        close(lock);
    return status;
}

/* --- reversing -------------------------------------------------------------------------------------------------------- */

static enum qs_status reverse_move(struct qs_fs *fs, const struct qs_move *m, struct qs_error *err)
{
    struct stat here, there;
    enum qs_status from = qs_fs_stat(fs, m->from, &here, err), to = qs_fs_stat(fs, m->to, &there, err);
    if ((from != QS_OK && from != QS_GONE) || (to != QS_OK && to != QS_GONE))
        return from != QS_OK && from != QS_GONE ? from : to;
    if (to == QS_GONE && from == QS_OK)
        return !m->inode || here.st_ino == m->inode ? QS_OK     /* never moved, or moved back before */
                                                    : qs_fail(err, QS_DATA, "%s: another message has this name now", m->from);
    if (to == QS_GONE)
        return m->optional ? QS_OK : qs_fail(err, QS_GONE, "%s: no longer there, the mail server has acted on it", m->to);
    if (m->inode && there.st_ino != m->inode)
        return from == QS_OK && here.st_ino == m->inode
            ? QS_OK : qs_fail(err, QS_GONE, "%s: the mail server has rewritten it since", m->to);
    if (from == QS_OK)
        return qs_fail(err, QS_DATA, "%s: the name is taken by another message", m->from);
    return qs_fs_move(fs, m->to, m->from, err);
}

static enum qs_status reverse_byte(struct qs_fs *fs, const struct qs_move *m, struct qs_error *err)
{
    struct stat st;
    if (qs_fs_stat(fs, m->from, &st, NULL) == QS_GONE)
        return QS_OK;               /* the claim was not made, or is reversed: nothing was edited under this name */
    if (qs_fs_byte(fs, m->from, m->offset, m->byte, m->expect, NULL) == QS_OK)
        return QS_OK;
    return qs_fs_byte(fs, m->from, m->offset, m->expect, m->expect, err);      /* is as before already? */
}

static enum qs_status reverse_times(struct qs_fs *fs, const struct qs_move *m, struct qs_error *err)
{
    struct stat st;
    enum qs_status status = qs_fs_stat(fs, m->from, &st, err);
    return status == QS_GONE ? QS_OK : status == QS_OK ? qs_fs_times(fs, m->from, m->before, err) : status;
}

/* The live file that reversing starts from: what the last MOVE of a message or a created file led to. */
static const struct qs_move *last_live(const struct qs_move *moves, size_t count)
{
    for (size_t i = count; i-- > 0;)
        if (moves[i].kind == QS_STEP_MOVE && moves[i].inode && strncmp(moves[i].to, "@/", 2) != 0)
            return &moves[i];
    return NULL;
}

enum qs_status qs_moves_reverse(struct qs_fs *fs, const struct qs_move *moves, size_t count, enum qs_lock_rule rule,
                                struct qs_error *err)
{
    const struct qs_move *live = rule == QS_LOCK_BEFORE_CLAIM ? last_live(moves, count) : NULL;
    enum qs_status status = QS_OK;
    struct stat st;
    int lock = -1;
    if (live && qs_fs_stat(fs, live->to, &st, NULL) == QS_OK && st.st_ino == live->inode)
        status = take_lock(fs, live->to, true, live->inode, &lock, err);
    for (size_t i = count; status == QS_OK && i-- > 0;) {
        const struct qs_move *m = &moves[i];
        switch (m->kind) {
        case QS_STEP_MOVE: status = reverse_move(fs, m, err); break;
        case QS_STEP_TIMES: status = reverse_times(fs, m, err); break;
        case QS_STEP_BYTE: status = reverse_byte(fs, m, err); break;
        case QS_STEP_CREATE: status = qs_fs_unlink(fs, m->to, err); break;
        }
    }
    if (lock >= 0)
        close(lock);
    return status;
}
