/* SPDX-License-Identifier: Apache-2.0 */
/* What in a Postfix queue directory is not as Postfix leaves it. Reads directories and attributes, opens no message.
 *
 * Facts: queue-formats A1 (owners, modes), A2 (names, hashing, what `postsuper -s` renames), A5 (logs), A11, A14 (what makes
 * qmgr(8) stop). The logs are listed before the messages, for a log lives shorter than its message; the queues are walked in
 * the order in which mail moves, and all of it twice before a log is called an orphan. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../flaws.h"
#include "postfix.h"
#include "qsurgeon/intern.h"
#include "qsurgeon/table.h"

enum { PLACE = PF_PATH_MAX + 300, MESSAGE = 1, LOG = 2 };

struct inspection {
    const struct qs_queue *queue;
    int64_t now;
    struct qs_flaws flaws;
    struct qs_intern *names;
    struct qs_table *there;     /* symbol of an ID → MESSAGE, LOG: files of that name */
    struct qs_suspects suspects;
    bool again;                 /* the second walk: only names */
    struct qs_error *err;
};

static enum qs_status no_memory(const struct inspection *in)
{
    return qs_fail(in->err, QS_NOMEM, "out of memory");
}

static struct qs_flaw *tell(struct inspection *in, enum qs_flaw_kind kind, const char *what, const char *id,
                            const char *path, const struct stat *st, const char *advice)
{
    struct qs_flaw *flaw = qs_flaws_add(&in->flaws, kind, what, id, path, st);
    if (flaw)
        flaw->advice = advice;
    return flaw;
}

static enum qs_status suspect(struct inspection *in, enum pf_dir dir, enum qs_flaw_kind kind, qs_sym id, const char *path,
                              const struct stat *st)
{
    const struct qs_suspect s = {dir, kind, id, path, *st};
    return qs_suspects_add(&in->suspects, &s) ? QS_OK : no_memory(in);
}

static uint32_t there(const struct inspection *in, qs_sym id)
{
    return qs_table_get(in->there, qs_mix64(id), 0);
}

/* --- one file --------------------------------------------------------------------------------------------------------- */

/* While a file is being created its name is microseconds, a dot and a process number. */
static bool is_embryo(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    return digits > 0 && name[digits] == '.' && name[digits + 1] != '\0' &&
           name[digits + 1 + strspn(name + digits + 1, "0123456789")] == '\0';
}

static bool is_misplaced(const struct inspection *in, enum pf_dir dir, const char *id, const char *path)
{
    char place[PLACE];
    return pf_place_path(in->queue, dir, id, place, sizeof place) && strcmp(place, path) != 0;
}

static enum qs_status look_at_message(struct inspection *in, enum pf_dir dir, qs_sym id, const char *path,
                                      const struct stat *st)
{
    const char *name = qs_sym_str(in->names, id);
    struct pf_id decoded = pf_id_decode(name);
    uid_t owner = pf_queue_owner(in->queue);
    struct qs_flaw *flaw = NULL;
    if (dir == PF_CORRUPT)
        flaw = tell(in, QS_FLAW_LOST, "message that Postfix found damaged", name, path, st,
                    "look at it with postcat; Postfix will not touch it again");
    else if (dir == PF_MAILDROP)
        return QS_OK;                   /* a submission has its user's owner and any name; pickup judges it */
    else if (st->st_uid != owner)
        flaw = tell(in, QS_FLAW_ACCESS, "message that is not the mail owner's", name, path, st,
                    "qmgr stops at it: give it to the mail owner with chown");
    else if ((st->st_mode & S_IRWXU) == (S_IRUSR | S_IWUSR)) {
        if (in->now - st->st_mtime < QS_STALE_AGE || st->st_nlink != 1)
            return QS_OK;               /* being written */
        flaw = tell(in, QS_FLAW_STALE, "message that was never finished", name, path, st, NULL);
        if (flaw && !qs_flaw_park(&in->flaws, flaw))
            flaw = NULL;
        if (flaw)
            flaw->lock = QS_LOCK_AFTER_CLAIM;
    } else if ((st->st_mode & S_IRWXU) != S_IRWXU)
        flaw = tell(in, QS_FLAW_ACCESS, "message with a mode that Postfix does not use", name, path, st,
                    "Postfix passes it over: chmod 0700 if it is whole");
    else if (st->st_nlink != 1)
        flaw = tell(in, QS_FLAW_ACCESS, "message with several hard links", name, path, st,
                    "Postfix refuses to requeue it: remove the other names");
    else if (!decoded.long_form && decoded.inode != (uint64_t)st->st_ino)
        return suspect(in, dir, QS_FLAW_MISNAMED, id, path, st);
    else if (is_misplaced(in, dir, name, path))
        return suspect(in, dir, QS_FLAW_MISPLACED, id, path, st);
    else
        return QS_OK;
    return flaw ? QS_OK : no_memory(in);
}

static enum qs_status look_at_odd_name(struct inspection *in, enum pf_dir dir, const char *name, const char *path,
                                       const struct stat *st)
{
    if (in->again)
        return QS_OK;
    if (!is_embryo(name))
        return tell(in, QS_FLAW_MISNAMED, "file whose name is no queue ID", "", path, st,
                    "Postfix passes it over: move it away, or run postsuper -s") ? QS_OK : no_memory(in);
    if (in->now - st->st_mtime < QS_STALE_AGE || dir == PF_MAILDROP || st->st_uid != pf_queue_owner(in->queue))
        return QS_OK;
    struct qs_flaw *flaw = tell(in, QS_FLAW_STALE, "message that was never finished", "", path, st, NULL);
    if (!flaw || !qs_flaw_park(&in->flaws, flaw))
        return no_memory(in);
    flaw->lock = QS_LOCK_AFTER_CLAIM;
    return QS_OK;
}

static enum qs_status look_at(struct inspection *in, enum pf_dir dir, int at, const char *name, const char *path)
{
    struct stat st;
    bool log = dir >= PF_QUEUES, valid = pf_id_valid(qs_span_of(name));
    if (log && in->again)
        return QS_OK;
    if (!(in->again && valid) && fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return QS_OK;                   /* has gone meanwhile */
    if (!in->again && !S_ISREG(st.st_mode))
        return QS_OK;                   /* the scan tells of it */
    if (!valid)
        return look_at_odd_name(in, dir, name, path, &st);
    qs_sym id = qs_intern(in->names, qs_span_of(name));
    uint32_t *marks = qs_intern_failed(in->names) ? NULL : qs_table_at(in->there, qs_mix64(id), 0);
    if (!marks)
        return no_memory(in);
    *marks |= log ? LOG : MESSAGE;
    if (in->again)
        return QS_OK;
    return log ? suspect(in, dir, QS_FLAW_ORPHAN, id, path, &st) : look_at_message(in, dir, id, path, &st);
}

/* --- the walk --------------------------------------------------------------------------------------------------------- */

static bool is_hash_directory(const char *name)
{
    return name[0] != '.' && name[0] != '\0' && name[1] == '\0';
}

/* A directory in which the mail owner can do everything, and nobody else anything. */
static enum qs_status look_at_directory(struct inspection *in, enum pf_dir dir, int fd, const char *path)
{
    struct stat st;
    if (in->again || fstat(fd, &st) != 0)
        return QS_OK;
    const char *what = st.st_uid != pf_queue_owner(in->queue) ? "directory that is not the mail owner's"
        : (st.st_mode & S_IRWXU) != S_IRWXU || (dir != PF_MAILDROP && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        ? "directory with a mode that Postfix does not use" : NULL;
    return !what || tell(in, QS_FLAW_ACCESS, what, "", path, &st, "run postfix set-permissions, or chown and chmod it")
        ? QS_OK : no_memory(in);
}

/* At most PF_DEPTH_MAX levels of directories named by one character. */
static enum qs_status walk(struct inspection *in, enum pf_dir dir, int parent, const char *name, const char *path,
                           unsigned level)
{
    char below[PLACE];
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream) {
        int error = errno;
        if (fd >= 0)
            (void)close(fd);
        return error == ENOENT || error == ENOTDIR || error == ELOOP ? QS_OK : qs_fail_errno(in->err, error, "%s", path);
    }
    enum qs_status status = look_at_directory(in, dir, fd, path);
    const struct dirent *entry;
    while (status == QS_OK && (entry = readdir(stream)) != NULL) {
        const char *file = entry->d_name;
        if (strcmp(file, ".") == 0 || strcmp(file, "..") == 0)
            continue;
        int length = snprintf(below, sizeof below, "%s/%s", path, file);
        if (length < 0 || (size_t)length >= sizeof below)
            continue;
        if (is_hash_directory(file)) {
            if (level < PF_DEPTH_MAX && dir != PF_MAILDROP)
                status = walk(in, dir, fd, file, below, level + 1);
        } else {
            status = look_at(in, dir, fd, file, below);
        }
    }
    (void)closedir(stream);
    return status;
}

static enum qs_status walk_all(struct inspection *in, const enum pf_dir *dirs, size_t count)
{
    enum qs_status status = QS_OK;
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        int fd = pf_dir_fd(in->queue, dirs[i]);
        if (fd >= 0)
            status = walk(in, dirs[i], fd, ".", pf_dir_name(dirs[i]), 0);
    }
    return status;
}

/* --- what is to be done ----------------------------------------------------------------------------------------------- */

/* Into the run directory, the logs to the new name, and back into the queue under it: out there nobody acts on the message
 * while its logs move, and stopping after any step leaves it where it can be put back from. */
static bool rename_message(struct inspection *in, struct qs_flaw *flaw, enum pf_dir dir, const char *id, const char *fresh)
{
    static const enum pf_dir logs[] = {PF_DEFER, PF_BOUNCE, PF_TRACE};
    char parked[PLACE + 2], from[PLACE], to[PLACE];
    snprintf(parked, sizeof parked, "@/%s", flaw->path);
    if (!qs_flaw_move(&in->flaws, flaw, flaw->path, parked))
        return false;
    for (size_t i = 0; i < sizeof logs / sizeof *logs && strcmp(id, fresh) != 0; i++) {
        if (!pf_place_path(in->queue, logs[i], id, from, sizeof from) ||
            !pf_place_path(in->queue, logs[i], fresh, to, sizeof to))
            return false;
        struct qs_step *step = qs_flaw_move(&in->flaws, flaw, from, to);
        if (!step)
            return false;
        step->optional = step->log = true;
    }
    flaw->lock = QS_LOCK_AFTER_CLAIM;
    return pf_place_path(in->queue, dir, fresh, to, sizeof to) && qs_flaw_move(&in->flaws, flaw, parked, to);
}

static enum qs_status misnamed(struct inspection *in, const struct qs_suspect *s, const char *what)
{
    const char *id = qs_sym_str(in->names, s->id);
    char fresh[PF_ID_MAX + 1];
    enum pf_dir dir = (enum pf_dir)s->where;
    bool waits = dir == PF_INCOMING || dir == PF_DEFERRED || dir == PF_HOLD, taken = false;
    snprintf(fresh, sizeof fresh, "%s", id);
    if (s->kind == QS_FLAW_MISNAMED) {
        waits = waits && pf_new_id(in->queue, id, (uint64_t)s->st.st_ino, 0, fresh, sizeof fresh);
        taken = there(in, qs_intern(in->names, qs_span_of(fresh))) != 0;
    }
    struct qs_flaw *flaw = tell(in, s->kind, what, id, s->path, &s->st, NULL);
    if (flaw && waits && !taken)
        return rename_message(in, flaw, dir, id, fresh) ? QS_OK : no_memory(in);
    if (!flaw)
        return no_memory(in);
    flaw->advice = taken ? "its right name is taken: requeue it" : "wait until it has left this queue, or reload Postfix";
    return QS_OK;
}

static enum qs_status settle(struct inspection *in, const struct qs_suspect *s)
{
    static const char *const orphans[] = {"defer log without a message", "bounce log without a message",
                                          "trace log without a message"};
    static const char *const places[] = {"defer log in a wrong directory", "bounce log in a wrong directory",
                                         "trace log in a wrong directory"};
    char place[PLACE];
    enum pf_dir dir = (enum pf_dir)s->where;
    const char *id = qs_sym_str(in->names, s->id);
    if (s->kind == QS_FLAW_MISNAMED)
        return misnamed(in, s, "message whose name does not match its inode");
    if (s->kind == QS_FLAW_MISPLACED)
        return misnamed(in, s, "message in a wrong directory");
    struct qs_flaw *flaw = NULL;
    bool ok = true;
    if (!(there(in, s->id) & MESSAGE)) {
        if (in->now - s->st.st_mtime < QS_ORPHAN_AGE)
            return QS_OK;
        flaw = tell(in, QS_FLAW_ORPHAN, orphans[dir - PF_DEFER], id, s->path, &s->st, NULL);
        ok = flaw && qs_flaw_park(&in->flaws, flaw);
    } else if (is_misplaced(in, dir, id, s->path)) {
        flaw = tell(in, QS_FLAW_MISPLACED, places[dir - PF_DEFER], id, s->path, &s->st, NULL);
        ok = flaw && pf_place_path(in->queue, dir, id, place, sizeof place) &&
             qs_flaw_move(&in->flaws, flaw, s->path, place);
    } else
        return QS_OK;
    if (!ok)
        return no_memory(in);
    flaw->lock = QS_LOCK_BEFORE_CLAIM;      /* bounce(8) writes to it under a lock that it waits for */
    return QS_OK;
}

/* Of logs there are as many as of messages: most are no suspects any more once the messages are known. */
static bool still_suspect(const void *data, const struct qs_suspect *s)
{
    const struct inspection *in = data;
    return s->kind != QS_FLAW_ORPHAN || !(there(in, s->id) & MESSAGE) ||
           is_misplaced(in, (enum pf_dir)s->where, qs_sym_str(in->names, s->id), s->path);
}

enum qs_status pf_inspect(TALLOC_CTX *parent, const struct qs_queue *queue, int64_t now, struct qs_flaw **list,
                          size_t *count, struct qs_error *err)
{
    static const enum pf_dir logs[] = {PF_DEFER, PF_BOUNCE, PF_TRACE};
    static const enum pf_dir queues[] = {PF_MAILDROP, PF_INCOMING, PF_ACTIVE, PF_DEFERRED, PF_HOLD, PF_CORRUPT, PF_SAVED};
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct inspection in = {.queue = queue, .now = now, .names = qs_intern_new(scratch), .err = err,
                            .there = qs_table_new(scratch, 1024), .flaws = {.parent = parent}, .suspects = {.parent = scratch}};
    enum qs_status status = in.names && in.there ? QS_OK : no_memory(&in);
    if (status == QS_OK)
        status = walk_all(&in, logs, sizeof logs / sizeof *logs);
    if (status == QS_OK)
        status = walk_all(&in, queues, sizeof queues / sizeof *queues);
    qs_suspects_keep(&in.suspects, still_suspect, &in);
    in.again = true;
    if (status == QS_OK && in.suspects.count)
        status = walk_all(&in, queues, sizeof queues / sizeof *queues);
    for (size_t i = 0; status == QS_OK && i < in.suspects.count; i++)
        status = settle(&in, &in.suspects.list[i]);
    talloc_free(scratch);
    if (status == QS_OK) {
        *list = in.flaws.list;
        *count = in.flaws.count;
    } else {
        talloc_free(in.flaws.list);
    }
    return status;
}
