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

enum qs_status qs_moves_discard(struct qs_fs *fs, const struct qs_move *moves, size_t count, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (size_t i = 0; i < count; i++) {
        enum qs_status one = moves[i].kind == QS_STEP_CREATE ? qs_fs_unlink(fs, moves[i].to, err) : QS_OK;
        status = status == QS_OK ? one : status;
    }
    return status;
}

enum qs_status qs_moves_prepare(TALLOC_CTX *parent, struct qs_fs *fs, const struct qs_step *steps, size_t count,
                                const struct stat *message, int64_t born, struct qs_move **moves, struct qs_error *err)
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
                              .expect = s->expect, .byte = s->byte, .log = s->log, .from = s->from, .to = s->to, .back = s->back};
        m->before[0] = message->st_atim;
        m->before[1] = message->st_mtim;
        if (s->kind == QS_STEP_CREATE)
            status = create(fs, s, m, err);
        else if (s->kind == QS_STEP_MOVE && !claimed) {
            m->inode = message->st_ino;
            m->born = born;
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
            break;      /* stays in the run directory until the run is settled */
    talloc_free(list);
    return status;
}

/* --- the MTA's lock --------------------------------------------------------------------------------------------------- */

/* Takes the lock of `path` without waiting: flock, which Postfix on Linux and Debian's sendmail use, and for sendmail
 * fcntl as well, because older builds use that (queue-formats, B4). *fd keeps it. */
static enum qs_status take_lock(struct qs_fs *fs, const char *path, bool both, uint64_t inode, int64_t born, int *fd,
                                struct qs_error *err)
{
    struct stat st;
    int64_t is_born = 0;
    int opened = -1;
    enum qs_status status = qs_fs_file(fs, path, O_RDWR, &opened, &st, born ? &is_born : NULL, err);
    if (status != QS_OK)
        return status;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (st.st_ino != inode || is_born != born)
        status = qs_fail(err, QS_DATA, "%s: another file has this name now", path);
    else if (flock(opened, LOCK_EX | LOCK_NB) != 0 || (both && fcntl(opened, F_SETLK, &whole) != 0))
        status = qs_fail(err, QS_BUSY, "%s: locked by the mail server", path);
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

/* A log on its way into the run directory: of a message that is claimed, so that nobody else writes, removes or makes it. What
 * goes back to another place was in active, where that is not sure. */
static bool is_quiet_log(const struct qs_move *m)
{
    return m->log && !m->back && qs_fs_is_of_run(m->to);
}

static enum qs_status move(struct qs_fs *fs, const struct qs_move *m, struct qs_error *err)
{
    enum qs_status status = is_quiet_log(m) ? qs_fs_bring(fs, m->from, m->to, err) : qs_fs_move(fs, m->from, m->to, err);
    return status == QS_GONE && m->optional ? QS_OK : status;
}

/* Has the moved name led to the file that was meant? Otherwise it belonged to another message: it is given back. */
static enum qs_status verify(struct qs_fs *fs, const struct qs_move *m, struct qs_error *err)
{
    struct stat st;
    int64_t born = 0;
    enum qs_status status = m->inode ? qs_fs_look(fs, m->to, &st, m->born ? &born : NULL, err) : QS_GONE;
    if (status == QS_GONE && (!m->inode || m->optional))
        return QS_OK;
    if (status != QS_OK || (st.st_ino == m->inode && born == m->born))
        return status;
    status = qs_fs_move(fs, m->to, m->from, err);
    return status != QS_OK ? QS_IO : qs_fail(err, QS_DATA, "%s: another message has this queue ID now", m->from);
}

static enum qs_status perform_one(struct qs_fs *fs, const struct qs_move *m, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    switch (m->kind) {
    case QS_STEP_MOVE:
        status = move(fs, m, err);
        return status == QS_OK ? verify(fs, m, err) : status;
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
    return count > 1 || qs_fs_is_of_run(claim->to);
}

/* Locks what the claim has led to, which says as well whether it is the message that was meant; if not, it is given back. */
static enum qs_status lock_claimed(struct qs_fs *fs, const struct qs_move *claim, int *lock, struct qs_error *err)
{
    enum qs_status status = take_lock(fs, claim->to, false, claim->inode, claim->born, lock, err);
    if (status == QS_OK || status == QS_BUSY || status == QS_GONE)
        return status;
    enum qs_status found = verify(fs, claim, err);
    return found != QS_OK ? found : status == QS_DATA ? QS_IO : status;
}

static enum qs_status reverse_all(struct qs_fs *fs, const struct qs_move *moves, size_t count, bool at_once, bool lock,
                                  bool *changed, struct qs_error *err);

void qs_moves_claim(struct qs_fs *fs, const struct qs_move *moves, size_t count, enum qs_lock_rule rule,
                    struct qs_moving *at)
{
    const struct qs_move *claim = claim_of(moves, count);
    at->status = QS_OK;
    at->why.text[0] = '\0';
    at->lock = -1;
    at->tried = 0;
    at->claimed = false;
    at->intact = true;
    if (!claim)
        at->status = qs_fail(&at->why, QS_DATA, "no claim among the steps");
    else if (rule == QS_LOCK_BEFORE_CLAIM)
        at->status = take_lock(fs, claim->from, true, claim->inode, claim->born, &at->lock, &at->why);
    while (at->status == QS_OK && !at->claimed) {
        const struct qs_move *m = &moves[at->tried++];
        at->status = m == claim ? move(fs, m, &at->why) : perform_one(fs, m, &at->why);
        /* the name of nobody is no claim; after any other failure the rename may have happened */
        at->claimed = m == claim && at->status != QS_GONE;
    }
}

void qs_moves_follow(struct qs_fs *fs, const struct qs_move *moves, size_t count, enum qs_lock_rule rule, struct qs_moving *at)
{
    const struct qs_move *claim = claim_of(moves, count);
    if (at->status == QS_OK)
        at->status = rule == QS_LOCK_AFTER_CLAIM && lock_is_of_use(count, claim)
            ? lock_claimed(fs, claim, &at->lock, &at->why) : verify(fs, claim, &at->why);
    if (at->status == QS_DATA)
        at->claimed = false;            /* another message's, or its name was taken */
    while (at->status == QS_OK && at->tried < count)
        at->status = perform_one(fs, &moves[at->tried++], &at->why);
    /* where the MTA reads, it may have taken the message already: what was wanted is done */
    struct stat st;
    bool changed;
    if (at->status == QS_GONE && at->claimed && claim && !qs_fs_is_of_run(claim->to) &&
        qs_fs_stat(fs, claim->to, &st, NULL) == QS_GONE && qs_fs_stat(fs, claim->from, &st, NULL) == QS_GONE)
        at->status = QS_OK;
    /* also the step that failed: it may have been done in part */
    if (at->status != QS_OK)
        at->intact = (!at->claimed || reverse_all(fs, moves, at->tried, true, false, &changed, NULL) == QS_OK) &&
                     qs_moves_discard(fs, moves, count, NULL) == QS_OK;
    if (at->lock >= 0)
        close(at->lock);
    at->lock = -1;
}

enum qs_status qs_moves_perform(struct qs_fs *fs, const struct qs_move *moves, size_t count, enum qs_lock_rule rule,
                                bool *intact, struct qs_error *err)
{
    struct qs_moving at;
    qs_moves_claim(fs, moves, count, rule, &at);
    qs_moves_follow(fs, moves, count, rule, &at);
    *intact = at.intact;
    return at.status == QS_OK ? QS_OK : qs_fail(err, at.status, "%s", at.why.text);
}

/* --- reversing -------------------------------------------------------------------------------------------------------- */

/* With `at_once` a message goes back to where it was a moment ago, whatever `back` says. Here and below, *changed is set where
 * something was not as before yet. */
static enum qs_status reverse_move(struct qs_fs *fs, const struct qs_move *m, bool at_once, bool *changed, struct qs_error *err)
{
    struct stat here, there;
    const char *origin = !at_once && m->back ? m->back : m->from;
    enum qs_status from = qs_fs_stat(fs, origin, &here, err), to = qs_fs_stat(fs, m->to, &there, err);
    if (from == QS_GONE && m->back)
        from = qs_fs_stat(fs, at_once ? m->back : m->from, &here, err);     /* may be in either place already */
    if ((from != QS_OK && from != QS_GONE) || (to != QS_OK && to != QS_GONE))
        return from != QS_OK && from != QS_GONE ? from : to;
    if (to == QS_OK && (!m->inode || there.st_ino == m->inode || qs_fs_is_of_run(m->to))) {
        *changed = true;
        if (from == QS_GONE)
            return qs_fs_move(fs, m->to, origin, err);
        if (is_quiet_log(m) && here.st_ino == there.st_ino)
            return qs_fs_unlink(fs, m->to, err);        /* brought half-way: it has both names */
        return m->log ? QS_OK : qs_fail(err, QS_DATA, "%s: the name is taken by another message", m->from);
    }
    if (from == QS_OK && (!m->inode || here.st_ino == m->inode))
        return QS_OK;                       /* never moved, or moved back before */
    if (m->log || (m->optional && from == QS_GONE))
        return QS_OK;
    /* nothing of it lies in the run directory: where it was is another message, or sendmail has rewritten it there */
    return qs_fail(err, QS_GONE, from == QS_OK ? "%s: the mail server has acted on it since"
                   : to == QS_GONE ? "%s: no longer there, the mail server or another run has acted on it"
                                   : "%s: the mail server has rewritten it since", from == QS_OK ? m->from : m->to);
}

static enum qs_status reverse_byte(struct qs_fs *fs, const struct qs_move *m, bool *changed, struct qs_error *err)
{
    struct stat st;
    enum qs_status status = qs_fs_stat(fs, m->from, &st, err);
    if (status == QS_GONE)
        return QS_OK;               /* the claim was not made, or is reversed: nothing was edited under this name */
    status = status == QS_OK ? qs_fs_byte(fs, m->from, m->offset, m->byte, m->expect, err) : status;
    *changed |= status == QS_OK;
    return status == QS_DATA ? qs_fs_byte(fs, m->from, m->offset, m->expect, m->expect, err)    /* is as before already? */
                             : status;
}

static enum qs_status reverse_times(struct qs_fs *fs, const struct qs_move *m, bool *changed, struct qs_error *err)
{
    struct stat st;
    enum qs_status status = qs_fs_stat(fs, m->from, &st, err);
    /* the time that an edit of the file has spoilt is put right in any case */
    *changed |= status == QS_OK && m->time != QS_TIME_AS_BEFORE &&
                (st.st_mtim.tv_sec != m->before[1].tv_sec || st.st_mtim.tv_nsec != m->before[1].tv_nsec);
    return status == QS_GONE ? QS_OK : status == QS_OK ? qs_fs_times(fs, m->from, m->before, err) : status;
}

/* The live file that reversing starts from: what the last MOVE of a message or a created file led to. */
static const struct qs_move *last_live(const struct qs_move *moves, size_t count)
{
    for (size_t i = count; i-- > 0;)
        if (moves[i].kind == QS_STEP_MOVE && moves[i].inode && !moves[i].log && !qs_fs_is_of_run(moves[i].to))
            return &moves[i];
    return NULL;
}

static bool has_inode(struct qs_fs *fs, const char *path, uint64_t inode)
{
    struct stat st;
    return qs_fs_stat(fs, path, &st, NULL) == QS_OK && st.st_ino == inode;
}

static bool edits_bytes(const struct qs_move *moves, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (moves[i].kind == QS_STEP_BYTE)
            return true;
    return false;
}

static enum qs_status reverse_all(struct qs_fs *fs, const struct qs_move *moves, size_t count, bool at_once, bool may_lock,
                                  bool *changed, struct qs_error *err)
{
    const struct qs_move *claim = claim_of(moves, count), *live = last_live(moves, count);
    enum qs_status status = QS_OK;
    int lock = -1;
    /* The claim is the first move, and the last to be reversed: a message that is where it was has not been moved, or is back.
     * Where the moves lead to the same name again, its being there says nothing. */
    bool circle = claim && live && live->inode == claim->inode && strcmp(live->to, claim->from) == 0;
    if (claim && !circle && (has_inode(fs, claim->from, claim->inode) ||
                             (claim->back && has_inode(fs, claim->back, claim->inode))))
        return qs_moves_discard(fs, moves, count, err);
    /* where a new file has taken its place, the old one must be there before that is taken away */
    struct stat old;
    if (claim && live && live->inode != claim->inode && qs_fs_is_of_run(claim->to)) {
        status = qs_fs_stat(fs, claim->to, &old, err);
        if (status != QS_OK)
            return status == QS_GONE ? qs_fail(err, QS_GONE, "%s: as it was before it is kept no longer", claim->from) : status;
    }
    /* what lies where the moves of a circle begin and end has only to be moved in order to be looked at */
    bool around = circle && has_inode(fs, live->to, live->inode), moved = false;
    bool lock_bytes = may_lock && live && live != claim && edits_bytes(moves, count);
    for (size_t i = count; status == QS_OK && i-- > 0;) {
        const struct qs_move *m = &moves[i];
        switch (m->kind) {
        case QS_STEP_MOVE: status = reverse_move(fs, m, at_once, &moved, err); break;
        case QS_STEP_TIMES: status = reverse_times(fs, m, changed, err); break;
        case QS_STEP_BYTE:
            status = reverse_byte(fs, m, changed, err);
            if (status == QS_DATA && at_once)
                status = QS_OK;         /* it is neither: that is why it was not edited */
            break;
        case QS_STEP_CREATE: status = qs_fs_unlink(fs, m->to, err); break;
        }
        if (status != QS_OK || m != live || !lock_bytes || !has_inode(fs, live->from, live->inode))
            continue;
        status = take_lock(fs, live->from, false, live->inode, 0, &lock, err);
        if (status == QS_BUSY && qs_fs_move(fs, live->from, live->to, err) != QS_OK)
            status = QS_IO;
    }
    *changed |= moved && !around;
    if (lock >= 0)
        close(lock);
    return status;
}

enum qs_status qs_moves_reverse(struct qs_fs *fs, const struct qs_move *moves, size_t count, enum qs_lock_rule rule,
                                bool *changed, struct qs_error *err)
{
    const struct qs_move *claim = claim_of(moves, count), *live = last_live(moves, count);
    enum qs_status status = QS_OK;
    int lock = -1;
    *changed = false;
    if (rule == QS_LOCK_BEFORE_CLAIM && live && has_inode(fs, live->to, live->inode))
        status = take_lock(fs, live->to, true, live->inode, 0, &lock, err);
    else if (rule == QS_LOCK_AFTER_CLAIM && claim && claim->back && has_inode(fs, claim->to, claim->inode))
        status = take_lock(fs, claim->to, false, claim->inode, 0, &lock, err);     /* an agent may still deliver it */
    if (status == QS_OK)
        status = reverse_all(fs, moves, count, false, true, changed, err);
    if (lock >= 0)
        close(lock);
    return status;
}
