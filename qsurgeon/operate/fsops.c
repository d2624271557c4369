/* SPDX-License-Identifier: Apache-2.0 */
#include "fsops.h"

#include "qsurgeon/apply.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

#include "qsurgeon/parallel.h"
#include "qsurgeon/reader.h"
#include "qsurgeon/table.h"

enum { PATH_LONGEST = 1024, DEEPEST = 8, OPEN_MOST = 400, DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK };
enum { RUN_LONGEST = 200, TWINS_OPEN_MOST = 384 };

/* A directory that is kept open. */
struct dir {
    uint64_t key;               /* digest of its path */
    int fd;
    uint32_t users;             /* a call works in it, and opens others meanwhile */
    bool changed;               /* since the last sync */
    int failure;                /* errno of that, or 0 */
};

struct qs_fs {
    int root, lock;             /* a twin has the root of the first, and no lock */
    dev_t device;
    char *run;                  /* ".qsurgeon/<run>"; empty: none; one for all twins */
    struct qs_table *known;     /* digest of a directory's path → index of dirs */
    struct dir *dirs[OPEN_MOST];
    uint32_t dir_count, dirs_most;
    bool is_twin;
    struct qs_fs *twin[QS_THREADS_MAX];     /* those of the other threads, from 1; a twin has none */
};

static int free_fs(struct qs_fs *fs)
{
    for (unsigned i = 1; i < QS_THREADS_MAX && fs->twin[i]; i++) {
        free_fs(fs->twin[i]);
        talloc_free(fs->twin[i]);
    }
    for (uint32_t i = 0; i < fs->dir_count; i++)
        close(fs->dirs[i]->fd);
    if (fs->is_twin)
        return 0;
    if (fs->lock >= 0)
        close(fs->lock);        /* ends the flock */
    if (fs->root >= 0)
        close(fs->root);
    return 0;
}

/* --- paths ------------------------------------------------------------------------------------------------------------ */

static bool component_ok(struct qs_span part)
{
    return part.len > 0 && !qs_span_is(part, ".") && !qs_span_is(part, "..");
}

/* Writes the path below the queue directory into full[], "@/" replaced, every component checked. */
static enum qs_status resolve(const struct qs_fs *fs, const char *path, char full[PATH_LONGEST], struct qs_error *err)
{
    const bool of_run = qs_fs_is_of_run(path);
    const size_t before = of_run ? strlen(fs->run) : 0, length = strlen(path) - (of_run ? 1 : 0);
    if (length == 0 || length >= PATH_LONGEST - before || (of_run && before == 0))
        return qs_fail(err, QS_DATA, "%s: not a usable path", path);
    memcpy(full, fs->run, before);
    memcpy(full + before, path + (of_run ? 1 : 0), length + 1);     /* "/" and the rest; the end too */
    for (const char *at = full;;) {
        size_t span = strcspn(at, "/");
        if (!component_ok((struct qs_span){at, span}))
            return qs_fail(err, QS_DATA, "%s: not a usable path", path);
        if (!at[span])
            return QS_OK;
        at += span + 1;
    }
}

static void sync_part(void *data, unsigned thread, uint32_t begin, uint32_t end)
{
    struct dir *const *list = data;
    (void)thread;
    for (uint32_t i = begin; i < end; i++)
        list[i]->failure = TEMP_FAILURE_RETRY(fsync(list[i]->fd)) != 0 && errno != EINVAL ? errno : 0;
}

/* Syncs the changed directories of this one, not of its twins. Each sync waits for the disk by itself: of many, several wait at a
 * time, and one answer of the disk does for them. */
static enum qs_status sync_own(const struct qs_fs *fs, struct qs_error *err)
{
    enum { AT_A_TIME = 8, GRAIN = 16 };
    struct dir *list[OPEN_MOST];
    uint32_t count = 0;
    enum qs_status status = QS_OK;
    for (uint32_t i = 0; i < fs->dir_count; i++)
        if (fs->dirs[i]->changed)
            list[count++] = fs->dirs[i];
    qs_parallel(AT_A_TIME, count, GRAIN, sync_part, list);
    for (uint32_t i = 0; i < count; i++) {
        list[i]->changed = list[i]->failure != 0;
        if (list[i]->failure && status == QS_OK)
            status = qs_fail_errno(err, list[i]->failure, "cannot sync a directory of the queue");
    }
    return status;
}

/* Closes the directories that nobody works in, synced. */
static enum qs_status close_unused(struct qs_fs *fs, struct qs_error *err)
{
    uint32_t kept = 0;
    struct qs_table *known = qs_table_new(fs, 64);
    if (!known)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = sync_own(fs, err);
    for (uint32_t i = 0; i < fs->dir_count; i++) {
        struct dir *dir = fs->dirs[i];
        if (status == QS_OK && dir->users == 0) {
            close(dir->fd);
            talloc_free(dir);
            continue;
        }
        if (!qs_table_at(known, dir->key, kept) && status == QS_OK)
            status = qs_fail(err, QS_NOMEM, "out of memory");
        fs->dirs[kept++] = dir;
    }
    fs->dir_count = kept;
    talloc_free(fs->known);
    fs->known = known;
    return status;
}

static enum qs_status remember(struct qs_fs *fs, uint64_t key, int fd, struct dir **out, struct qs_error *err)
{
    enum qs_status status = fs->dir_count < fs->dirs_most ? QS_OK : close_unused(fs, err);
    if (status != QS_OK)
        return status;
    struct dir *dir = fs->dir_count < fs->dirs_most ? talloc(fs, struct dir) : NULL;
    if (!dir || !qs_table_at(fs->known, key, fs->dir_count)) {
        talloc_free(dir);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    *dir = (struct dir){.key = key, .fd = fd, .users = 1};
    fs->dirs[fs->dir_count++] = *out = dir;
    return QS_OK;
}

/* The open directory full[0 .. length), for use: ended by leave(). Missing ones are made when `make`. No component may be a
 * link. */
static enum qs_status enter(struct qs_fs *fs, const char *full, size_t length, bool make, struct dir **out,
                               struct qs_error *err)
{
    uint64_t key = XXH3_64bits(full, length);
    uint32_t known = qs_table_get(fs->known, key, UINT32_MAX);
    if (known != UINT32_MAX) {
        *out = fs->dirs[known];
        (*out)->users++;
        return QS_OK;
    }
    int fd = length ? -1 : openat(fs->root, ".", DIR_FLAGS), failure = errno;
    bool made = true;
    if (length) {
        const char *slash = memrchr(full, '/', length);
        size_t parent_length = slash ? (size_t)(slash - full) : 0;
        struct dir *parent = NULL;
        enum qs_status status = enter(fs, full, parent_length, make, &parent, err);
        if (status != QS_OK)
            return status;
        char name[PATH_LONGEST];
        size_t skip = slash ? parent_length + 1 : 0;
        memcpy(name, full + skip, length - skip);
        name[length - skip] = '\0';
        fd = openat(parent->fd, name, DIR_FLAGS);
        failure = errno;
        if (fd < 0 && failure == ENOENT && make) {
            made = TEMP_FAILURE_RETRY(mkdirat(parent->fd, name, 0700)) == 0 || errno == EEXIST;
            failure = errno;
            parent->changed |= made;
            fd = made ? openat(parent->fd, name, DIR_FLAGS) : -1;
            failure = made ? errno : failure;
        }
        parent->users--;
    }
    if (fd < 0)
        return qs_fail_errno(err, failure, made ? "%.*s" : "%.*s: cannot make the directory", (int)length, full);
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_dev != fs->device) {
        close(fd);
        return qs_fail(err, QS_USAGE, "%.*s is on another file system than the queue: nothing can be renamed to there; "
                       "unmount it, or let it be a plain directory of the queue", (int)length, full);
    }
    enum qs_status status = remember(fs, key, fd, out, err);
    if (status != QS_OK)
        close(fd);
    return status;
}

static void leave(struct dir *dir, bool changed)
{
    dir->users--;
    dir->changed |= changed;
}

/* The open directory of `path`, for use, and the last component. */
static enum qs_status locate(struct qs_fs *fs, const char *path, bool make, char full[PATH_LONGEST], struct dir **dir,
                             const char **name, struct qs_error *err)
{
    enum qs_status status = resolve(fs, path, full, err);
    if (status != QS_OK)
        return status;
    const char *slash = strrchr(full, '/');
    status = enter(fs, full, slash ? (size_t)(slash - full) : 0, make, dir, err);
    if (status == QS_OK)
        *name = slash ? slash + 1 : full;
    return status;
}

/* --- opening ---------------------------------------------------------------------------------------------------------- */

enum qs_status qs_prepare_queue(const char *queue_dir, uid_t uid, gid_t gid, struct qs_error *err)
{
    int root = open(queue_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return qs_fail_errno(err, errno, "%s", queue_dir);
    enum qs_status status = QS_OK;
    struct stat st;
    bool made = TEMP_FAILURE_RETRY(mkdirat(root, QS_RUN_BASE, 0700)) == 0;
    if (!made && errno != EEXIST)
        status = qs_fail_errno(err, errno, "%s: cannot make " QS_RUN_BASE, queue_dir);
    else if (fstatat(root, QS_RUN_BASE, &st, AT_SYMLINK_NOFOLLOW) != 0)
        status = qs_fail_errno(err, errno, "%s/" QS_RUN_BASE, queue_dir);
    else if (!S_ISDIR(st.st_mode))
        status = qs_fail(err, QS_USAGE, "%s/" QS_RUN_BASE " is not a directory", queue_dir);
    /* root's: a crash came between the two */
    else if (geteuid() != uid && st.st_uid == geteuid() &&
             TEMP_FAILURE_RETRY(fchownat(root, QS_RUN_BASE, uid, gid, AT_SYMLINK_NOFOLLOW)) != 0)
        status = qs_fail_errno(err, errno, "%s/" QS_RUN_BASE, queue_dir);
    close(root);
    return status;
}

enum qs_status qs_fs_open(TALLOC_CTX *parent, const char *queue_dir, struct qs_fs **out, struct qs_error *err)
{
    struct stat st;
    struct qs_fs *fs = talloc_zero(parent, struct qs_fs);
    if (!fs)
        return qs_fail(err, QS_NOMEM, "out of memory");
    fs->root = fs->lock = -1;
    fs->dirs_most = OPEN_MOST;
    talloc_set_destructor(fs, free_fs);
    fs->run = talloc_zero_array(fs, char, RUN_LONGEST);
    fs->known = qs_table_new(fs, 64);
    enum qs_status status = fs->known && fs->run ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK) {
        fs->root = open(queue_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fs->root < 0 || fstat(fs->root, &st) != 0)
            status = qs_fail_errno(err, errno, "%s", queue_dir);
        else
            fs->device = st.st_dev;
    }
    struct dir *base = NULL;
    if (status == QS_OK)
        status = enter(fs, QS_RUN_BASE, sizeof QS_RUN_BASE - 1, true, &base, err);
    if (status == QS_OK) {
        fs->lock = (int)TEMP_FAILURE_RETRY(openat(base->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600));
        if (fs->lock < 0)
            status = qs_fail_errno(err, errno, "%s/" QS_RUN_BASE "/lock", queue_dir);
        else if (flock(fs->lock, LOCK_EX | LOCK_NB) != 0)
            status = qs_fail(err, QS_BUSY, "%s: another qsurgeon is operating on this queue; try again when it has ended",
                             queue_dir);
        leave(base, false);
    }
    if (status == QS_OK)
        *out = fs;
    else
        talloc_free(fs);
    return status;
}

enum qs_status qs_fs_twins(struct qs_fs *fs, unsigned threads, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (unsigned i = 1; status == QS_OK && i < QS_THREADS_MAX && (i < threads || fs->twin[i]); i++) {
        struct qs_fs *twin = fs->twin[i];
        if (!twin) {
            twin = fs->twin[i] = talloc_zero(NULL, struct qs_fs);       /* of another thread: talloc is not shared with it */
            if (!twin)
                return qs_fail(err, QS_NOMEM, "out of memory");
            *twin = (struct qs_fs){.root = fs->root, .lock = -1, .device = fs->device, .run = fs->run, .is_twin = true,
                                   .known = qs_table_new(twin, 64)};
        }
        if (!twin->known)
            return qs_fail(err, QS_NOMEM, "out of memory");
        twin->dirs_most = i < threads ? TWINS_OPEN_MOST / (threads - 1) : 0;
        if (twin->dir_count > twin->dirs_most)
            status = close_unused(twin, err);
    }
    return status;
}

struct qs_fs *qs_fs_of(struct qs_fs *fs, unsigned thread)
{
    return thread ? fs->twin[thread] : fs;
}

enum qs_status qs_fs_run(struct qs_fs *fs, const char *run, struct qs_error *err)
{
    struct qs_span name = qs_span_of(run);
    struct dir *dir = NULL;
    if (!component_ok(name) || name.len > 100 || memchr(name.ptr, '/', name.len) || qs_span_is(name, "lock"))
        return qs_fail(err, QS_DATA, "%s: not the name of a run", run);
    snprintf(fs->run, RUN_LONGEST, "%s/%s", QS_RUN_BASE, run);
    enum qs_status status = enter(fs, fs->run, strlen(fs->run), true, &dir, err);
    if (status == QS_OK)
        leave(dir, false);
    return status;
}

/* --- the verbs -------------------------------------------------------------------------------------------------------- */

enum qs_status qs_fs_look(struct qs_fs *fs, const char *path, struct stat *out, int64_t *born, struct qs_error *err)
{
    char full[PATH_LONGEST];
    const char *name = NULL;
    struct dir *dir = NULL;
    enum qs_status status = locate(fs, path, false, full, &dir, &name, err);
    if (status != QS_OK)
        return status;
    status = qs_file_look(dir->fd, name, out, born, NULL);
    const int failure = errno;
    leave(dir, false);
    return status == QS_OK ? QS_OK : qs_fail_errno(err, failure, "%s", full);
}

enum qs_status qs_fs_stat(struct qs_fs *fs, const char *path, struct stat *out, struct qs_error *err)
{
    return qs_fs_look(fs, path, out, NULL, err);
}

enum qs_status qs_fs_file(struct qs_fs *fs, const char *path, int flags, int *fd, struct stat *out, int64_t *born,
                          struct qs_error *err)
{
    char full[PATH_LONGEST];
    const char *name = NULL;
    struct dir *dir = NULL;
    struct stat st;
    enum qs_status status = locate(fs, path, false, full, &dir, &name, err);
    if (status != QS_OK)
        return status;
    int opened = openat(dir->fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), failure = errno;
    leave(dir, false);
    if (opened < 0)
        return qs_fail_errno(err, failure, "%s", full);
    if (qs_file_look(opened, "", &st, born, NULL) != QS_OK || !S_ISREG(st.st_mode)) {
        close(opened);
        return qs_fail(err, QS_DATA, "%s: not a regular file", full);
    }
    *fd = opened;
    if (out)
        *out = st;
    return QS_OK;
}

/* Both directories of a move, for use. */
struct way {
    char source[PATH_LONGEST], target[PATH_LONGEST];
    const char *from, *to;
    struct dir *source_dir, *target_dir;
};

static enum qs_status find_way(struct qs_fs *fs, const char *from, const char *to, struct way *w, struct qs_error *err)
{
    enum qs_status status = locate(fs, from, false, w->source, &w->source_dir, &w->from, err);
    if (status != QS_OK)
        return status;
    status = locate(fs, to, true, w->target, &w->target_dir, &w->to, err);
    if (status != QS_OK)
        leave(w->source_dir, false);
    return status;
}

static enum qs_status end_way(const struct way *w, int failure, struct qs_error *err)
{
    leave(w->source_dir, !failure);
    leave(w->target_dir, !failure);
    return !failure ? QS_OK : failure == EEXIST ? qs_fail(err, QS_DATA, "%s: the name is taken", w->target)
                            : qs_fail_errno(err, failure, "%s to %s", w->source, w->target);
}

enum qs_status qs_fs_move(struct qs_fs *fs, const char *from, const char *to, struct qs_error *err)
{
    struct way w;
    enum qs_status status = find_way(fs, from, to, &w, err);
    if (status != QS_OK)
        return status;
    bool moved = TEMP_FAILURE_RETRY(renameat2(w.source_dir->fd, w.from, w.target_dir->fd, w.to, RENAME_NOREPLACE)) == 0;
    return end_way(&w, moved ? 0 : errno, err);
}

enum qs_status qs_fs_bring(struct qs_fs *fs, const char *from, const char *to, struct qs_error *err)
{
    struct way w;
    if (!qs_fs_is_of_run(to))
        return qs_fail(err, QS_DATA, "%s: files are brought into the run directory only", to);
    enum qs_status status = find_way(fs, from, to, &w, err);
    if (status != QS_OK)
        return status;
    bool linked = TEMP_FAILURE_RETRY(linkat(w.source_dir->fd, w.from, w.target_dir->fd, w.to, 0)) == 0;
    bool brought = linked && TEMP_FAILURE_RETRY(unlinkat(w.source_dir->fd, w.from, 0)) == 0;
    int failure = brought ? 0 : errno;
    status = end_way(&w, failure, err);
    /* a file system without hard links */
    return !linked && (failure == EPERM || failure == EMLINK || failure == EOPNOTSUPP) ? qs_fs_move(fs, from, to, err) : status;
}

enum qs_status qs_fs_times(struct qs_fs *fs, const char *path, const struct timespec times[2], struct qs_error *err)
{
    char full[PATH_LONGEST];
    const char *name = NULL;
    struct dir *dir = NULL;
    enum qs_status status = locate(fs, path, false, full, &dir, &name, err);
    if (status != QS_OK)
        return status;
    if (TEMP_FAILURE_RETRY(utimensat(dir->fd, name, times, AT_SYMLINK_NOFOLLOW)) != 0)
        status = qs_fail_errno(err, errno, "%s: cannot set its time", full);
    leave(dir, false);
    return status;
}

enum qs_status qs_fs_byte(struct qs_fs *fs, const char *path, uint64_t offset, uint8_t expect, uint8_t byte,
                          struct qs_error *err)
{
    int fd = -1;
    enum qs_status status = qs_fs_file(fs, path, O_RDWR, &fd, NULL, NULL, err);
    if (status != QS_OK)
        return status;
    uint8_t there = 0;
    if (pread(fd, &there, 1, (off_t)offset) != 1 || there != expect)
        status = qs_fail(err, QS_DATA, "%s: not the expected byte at offset %llu", path, (unsigned long long)offset);
    else if (TEMP_FAILURE_RETRY(pwrite(fd, &byte, 1, (off_t)offset)) != 1 || TEMP_FAILURE_RETRY(fdatasync(fd)) != 0)
        status = qs_fail_errno(err, errno, "%s", path);
    close(fd);
    return status;
}

static bool write_all(int fd, struct qs_span data)
{
    while (data.len > 0) {
        ssize_t n = write(fd, data.ptr, data.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data.ptr += n;
        data.len -= (size_t)n;
    }
    return true;
}

static void end_made(struct qs_fs_made *file)
{
    close(file->dir);
    file->fd = file->dir = -1;
}

enum qs_status qs_fs_make_begin(struct qs_fs *fs, const char *path, struct qs_fs_made *file, struct qs_error *err)
{
    char full[PATH_LONGEST];
    const char *name = NULL;
    struct dir *dir = NULL;
    *file = (struct qs_fs_made){.fd = -1, .dir = -1};
    if (!qs_fs_is_of_run(path))
        return qs_fail(err, QS_DATA, "%s: files are made in the run directory only", path);
    enum qs_status status = locate(fs, path, true, full, &dir, &name, err);
    if (status != QS_OK)
        return status;
    int length = snprintf(file->temporary, sizeof file->temporary, ".new-%s", name);
    if (length < 0 || length >= (int)sizeof file->temporary)
        status = qs_fail(err, QS_DATA, "%s: not a usable path", path);
    else if ((file->dir = fcntl(dir->fd, F_DUPFD_CLOEXEC, 0)) < 0 ||
             (TEMP_FAILURE_RETRY(unlinkat(file->dir, file->temporary, 0)) != 0 && errno != ENOENT) ||   /* what a crashed run left */
             (file->fd = (int)TEMP_FAILURE_RETRY(openat(file->dir, file->temporary,
                                                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600))) < 0)
        status = qs_fail_errno(err, errno, "%s", full);
    leave(dir, true);
    if (status != QS_OK && file->dir >= 0)
        end_made(file);
    return status;
}

enum qs_status qs_fs_make_add(const struct qs_fs_made *file, struct qs_span data, struct qs_error *err)
{
    return write_all(file->fd, data) ? QS_OK : qs_fail_errno(err, errno, "%s", file->temporary + sizeof ".new-" - 1);
}

void qs_fs_make_abandon(struct qs_fs_made *file)
{
    if (file->fd < 0)
        return;
    close(file->fd);
    (void)TEMP_FAILURE_RETRY(unlinkat(file->dir, file->temporary, 0));      /* ours: made by qs_fs_make_begin */
    end_made(file);
}

enum qs_status qs_fs_make_end(struct qs_fs_made *file, const struct stat *like, bool keep_times, bool sync, struct stat *made,
                              struct qs_error *err)
{
    const char *name = file->temporary + sizeof ".new-" - 1;
    struct timespec times[2] = {like->st_atim, like->st_mtim};
    bool same_owner = like->st_uid == geteuid() && like->st_gid == getegid();
    enum qs_status status = QS_OK;
    if ((!same_owner && TEMP_FAILURE_RETRY(fchown(file->fd, like->st_uid, like->st_gid)) != 0) ||
        TEMP_FAILURE_RETRY(fchmod(file->fd, like->st_mode & 07777)) != 0 ||
        (keep_times && TEMP_FAILURE_RETRY(futimens(file->fd, times)) != 0) ||
        (sync && TEMP_FAILURE_RETRY(fsync(file->fd)) != 0) || (made && fstat(file->fd, made) != 0))
        status = qs_fail_errno(err, errno, "%s", name);
    if (status == QS_OK && TEMP_FAILURE_RETRY(renameat2(file->dir, file->temporary, file->dir, name, RENAME_NOREPLACE)) != 0)
        status = errno == EEXIST ? qs_fail(err, QS_DATA, "%s: the name is taken", name) : qs_fail_errno(err, errno, "%s", name);
    if (status != QS_OK) {
        qs_fs_make_abandon(file);
        return status;
    }
    int fd = file->fd;
    end_made(file);
    return close(fd) == 0 ? QS_OK : qs_fail_errno(err, errno, "%s", name);
}

enum qs_status qs_fs_create(struct qs_fs *fs, const char *path, struct qs_span data, const struct stat *like, bool keep_times,
                            struct qs_error *err)
{
    struct qs_fs_made file;
    enum qs_status status = qs_fs_make_begin(fs, path, &file, err);
    if (status == QS_OK && (status = qs_fs_make_add(&file, data, err)) != QS_OK)
        qs_fs_make_abandon(&file);
    return status == QS_OK ? qs_fs_make_end(&file, like, keep_times, true, NULL, err) : status;
}

static enum qs_status remove_of_run(struct qs_fs *fs, const char *path, int flags, struct qs_error *err)
{
    char full[PATH_LONGEST];
    const char *name = NULL;
    struct dir *dir = NULL;
    if (!qs_fs_is_of_run(path))
        return qs_fail(err, QS_DATA, "%s: nothing is removed outside the run directory", path);
    enum qs_status status = locate(fs, path, false, full, &dir, &name, err);
    if (status != QS_OK)
        return status == QS_GONE ? QS_OK : status;
    if (TEMP_FAILURE_RETRY(unlinkat(dir->fd, name, flags)) != 0 && errno != ENOENT)
        status = qs_fail_errno(err, errno, "%s", full);
    leave(dir, status == QS_OK);
    return status;
}

enum qs_status qs_fs_unlink(struct qs_fs *fs, const char *path, struct qs_error *err)
{
    struct stat st;
    enum qs_status status = qs_fs_stat(fs, path, &st, err);
    if (status == QS_OK && !S_ISREG(st.st_mode))
        return qs_fail(err, QS_DATA, "%s: not a regular file", path);
    return status == QS_OK ? remove_of_run(fs, path, 0, err) : status == QS_GONE ? QS_OK : status;
}

enum qs_status qs_fs_rmdir(struct qs_fs *fs, const char *path, struct qs_error *err)
{
    return remove_of_run(fs, path, AT_REMOVEDIR, err);
}

enum qs_status qs_fs_sync(struct qs_fs *fs, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (unsigned t = 0; status == QS_OK && t < QS_THREADS_MAX; t++)
        if (qs_fs_of(fs, t))
            status = sync_own(qs_fs_of(fs, t), err);
    return status;
}

enum qs_status qs_fs_sync_all(struct qs_fs *fs, struct qs_error *err)
{
    if (TEMP_FAILURE_RETRY(syncfs(fs->root)) != 0)
        return qs_fail_errno(err, errno, "cannot sync the file system of the queue");
    for (unsigned t = 0; t < QS_THREADS_MAX; t++) {
        const struct qs_fs *one = qs_fs_of(fs, t);
        for (uint32_t i = 0; one && i < one->dir_count; i++)
            one->dirs[i]->changed = false;
    }
    return QS_OK;
}

enum qs_status qs_fs_room(struct qs_fs *fs, uint64_t *bytes, struct qs_error *err)
{
    struct statvfs room;
    if (fstatvfs(fs->root, &room) != 0)
        return qs_fail_errno(err, errno, "the file system of the queue");
    *bytes = (uint64_t)room.f_bavail * room.f_frsize;
    return QS_OK;
}

/* --- what is there ---------------------------------------------------------------------------------------------------- */

static DIR *open_stream(const struct dir *dir)
{
    int copy = openat(dir->fd, ".", DIR_FLAGS);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (!stream && copy >= 0)
        close(copy);
    return stream;
}

static enum qs_status walk(struct qs_fs *fs, const char *path, unsigned depth, qs_fs_visit visit, void *data,
                           struct qs_error *err)
{
    char full[PATH_LONGEST], child[PATH_LONGEST];
    struct dir *dir = NULL;
    enum qs_status status = QS_OK;
    if (qs_span_is(qs_span_of(path), "@"))
        snprintf(full, sizeof full, "%s", fs->run);
    else
        status = resolve(fs, path, full, err);
    if (status == QS_OK)
        status = enter(fs, full, strlen(full), false, &dir, err);
    if (status != QS_OK)
        return status;
    DIR *stream = open_stream(dir);
    if (!stream)
        status = qs_fail_errno(err, errno, "%s", full);
    leave(dir, false);
    if (!stream)
        return status;
    struct dirent *entry;
    while (status == QS_OK && (errno = 0, entry = readdir(stream)) != NULL) {
        struct stat st;
        if (!component_ok(qs_span_of(entry->d_name)))
            continue;
        int length = snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (length < 0 || length >= (int)sizeof child || fstatat(dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(st.st_mode) && depth > 0)
            status = walk(fs, child, depth - 1, visit, data, err);
        else if (S_ISREG(st.st_mode))
            status = visit(data, child, &st);
    }
    if (status == QS_OK && errno != 0)
        status = qs_fail_errno(err, errno, "%s", full);
    closedir(stream);
    return status;
}

enum qs_status qs_fs_walk_run(struct qs_fs *fs, qs_fs_visit visit, void *data, struct qs_error *err)
{
    enum qs_status status = walk(fs, "@", DEEPEST, visit, data, err);
    return status == QS_END ? QS_OK : status;
}

struct wipe {
    struct qs_fs *fs;
    struct qs_error *err;
    const char *prefix;
};

static enum qs_status wipe_one(void *data, const char *path, const struct stat *st)
{
    const struct wipe *w = data;
    (void)st;
    return strncmp(path, w->prefix, strlen(w->prefix)) == 0 ? qs_fs_unlink(w->fs, path, w->err) : QS_OK;
}

enum qs_status qs_fs_wipe(struct qs_fs *fs, const char *prefix, struct qs_error *err)
{
    struct wipe w = {fs, err, prefix};
    if (!qs_fs_is_of_run(prefix))
        return qs_fail(err, QS_DATA, "%s: nothing is removed outside the run directory", prefix);
    return qs_fs_walk_run(fs, wipe_one, &w, err);
}

/* Removes what is empty below dir/name, and that. False: the system failed. */
static bool prune(int dir, const char *name, unsigned depth)
{
    bool ok = true;
    int fd = openat(dir, name, DIR_FLAGS);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !stream)
        close(fd);
    for (struct dirent *entry; stream && depth > 0 && (entry = readdir(stream)) != NULL;) {
        struct stat st;
        bool directory = entry->d_type == DT_DIR ||
            (entry->d_type == DT_UNKNOWN && fstatat(dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
             S_ISDIR(st.st_mode));
        if (directory && component_ok(qs_span_of(entry->d_name)))
            ok &= prune(dirfd(stream), entry->d_name, depth - 1);
    }
    if (stream)
        closedir(stream);
    return ok && (TEMP_FAILURE_RETRY(unlinkat(dir, name, AT_REMOVEDIR)) == 0 || errno == ENOTEMPTY || errno == EEXIST ||
                  errno == ENOENT);
}

enum qs_status qs_fs_prune_run(struct qs_fs *fs, struct qs_error *err)
{
    struct dir *base = NULL;
    enum qs_status status = enter(fs, QS_RUN_BASE, sizeof QS_RUN_BASE - 1, false, &base, err);
    if (status != QS_OK)
        return status;
    if (fs->run[0] && !prune(base->fd, fs->run + sizeof QS_RUN_BASE, DEEPEST))
        status = qs_fail_errno(err, errno, "%s: cannot remove empty directories", fs->run);
    if (status == QS_OK)
        fs->run[0] = '\0';
    leave(base, false);
    return status;
}

/* --- outside the queue ------------------------------------------------------------------------------------------------ */

enum qs_status qs_fs_put(int fd, struct qs_span data, bool sync, struct qs_error *err)
{
    if (!write_all(fd, data) || (sync && TEMP_FAILURE_RETRY(fdatasync(fd)) != 0))
        return qs_fail_errno(err, errno, "cannot write");
    return QS_OK;
}

/* Opens the directory of `path`; *name is the last component. */
static int open_parent(const char *path, const char **name)
{
    char parent[PATH_LONGEST];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    *name = slash ? slash + 1 : path;
    if (length >= sizeof parent) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(parent, path, length);
    parent[length] = '\0';
    return open(slash == path ? "/" : slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void qs_fs_new_abandon(struct qs_fs_new *file)
{
    if (file->fd >= 0) {
        close(file->fd);
        (void)TEMP_FAILURE_RETRY(unlinkat(file->dir, file->temporary, 0));      /* ours: made by qs_fs_new_begin */
    }
    if (file->dir >= 0)
        close(file->dir);
    file->fd = file->dir = -1;
}

/* Whoever writes a temporary file holds its lock: one without a lock was left by a crash, and is removed. */
static bool drop_stale(int dir, const char *temporary)
{
    int fd = openat(dir, temporary, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT;
    bool dropped = flock(fd, LOCK_EX | LOCK_NB) == 0 && TEMP_FAILURE_RETRY(unlinkat(dir, temporary, 0)) == 0;
    if (!dropped)
        errno = EWOULDBLOCK;
    close(fd);
    return dropped;
}

enum qs_status qs_fs_new_forget(const char *path, struct qs_error *err)
{
    const char *name = NULL;
    char temporary[264];
    int dir = open_parent(path, &name);
    if (dir < 0)                /* out of reach, by its mode or a disk that is away: nobody has to wait for that */
        return QS_OK;
    int length = snprintf(temporary, sizeof temporary, ".%s.new", name);
    /* under a longer name there was none */
    enum qs_status status = length > NAME_MAX || drop_stale(dir, temporary)
        ? QS_OK : qs_fail(err, QS_BUSY, "%s: an unfinished file of this name cannot be removed", path);
    close(dir);
    return status;
}

static int open_temporary(const struct qs_fs_new *file)
{
    enum { FLAGS = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };
    int fd = (int)TEMP_FAILURE_RETRY(openat(file->dir, file->temporary, FLAGS, 0600));
    if (fd < 0 && errno == EEXIST && drop_stale(file->dir, file->temporary))
        fd = (int)TEMP_FAILURE_RETRY(openat(file->dir, file->temporary, FLAGS, 0600));
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        errno = EWOULDBLOCK;
        return -1;
    }
    return fd;
}

enum qs_status qs_fs_new_begin(const char *path, struct qs_fs_new *file, struct qs_error *err)
{
    const char *name = NULL;
    *file = (struct qs_fs_new){.fd = -1, .dir = open_parent(path, &name)};
    if (file->dir < 0 && (errno == ENOENT || errno == ENOTDIR))
        return qs_fail(err, QS_IO, "%s: there is no such directory", path);
    if (file->dir < 0)
        return qs_fail_errno(err, errno, "%s", path);
    enum qs_status status = QS_OK;
    int length = snprintf(file->name, sizeof file->name, "%s", name);
    if (length <= 0 || length >= (int)sizeof file->name || !component_ok(qs_span_of(name)))
        status = qs_fail(err, QS_USAGE, "%s: not a usable file name", path);
    else if (faccessat(file->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        status = qs_fail(err, QS_USAGE, "%s exists already", path);
    if (status == QS_OK) {
        snprintf(file->temporary, sizeof file->temporary, ".%s.new", file->name);
        file->fd = open_temporary(file);
        if (file->fd < 0)
            status = errno == EWOULDBLOCK ? qs_fail(err, QS_BUSY, "%s: another qsurgeon is writing it", path)
                                          : qs_fail_errno(err, errno, "%s", path);
    }
    if (status != QS_OK)
        qs_fs_new_abandon(file);
    return status;
}

enum qs_status qs_fs_new_finish(struct qs_fs_new *file, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    if (TEMP_FAILURE_RETRY(fsync(file->fd)) != 0)
        status = qs_fail_errno(err, errno, "%s", file->name);
    else if (TEMP_FAILURE_RETRY(renameat2(file->dir, file->temporary, file->dir, file->name, RENAME_NOREPLACE)) != 0)
        status = errno == EEXIST ? qs_fail(err, QS_USAGE, "%s exists already", file->name)
                                 : qs_fail_errno(err, errno, "%s", file->name);
    if (status != QS_OK) {
        qs_fs_new_abandon(file);
        return status;
    }
    if (TEMP_FAILURE_RETRY(fsync(file->dir)) != 0)
        status = qs_fail_errno(err, errno, "%s", file->name);
    if (close(file->fd) != 0 && status == QS_OK)
        status = qs_fail_errno(err, errno, "%s", file->name);
    if (status != QS_OK)                /* what may not last is not there at all */
        (void)TEMP_FAILURE_RETRY(unlinkat(file->dir, file->name, 0));
    close(file->dir);
    file->fd = file->dir = -1;
    return status;
}

enum qs_status qs_fs_write_new(const char *path, struct qs_span data, struct qs_error *err)
{
    struct qs_fs_new file;
    enum qs_status status = qs_fs_new_begin(path, &file, err);
    if (status != QS_OK)
        return status;
    if (write_all(file.fd, data))
        return qs_fs_new_finish(&file, err);
    status = qs_fail_errno(err, errno, "%s", path);
    qs_fs_new_abandon(&file);
    return status;
}

enum qs_status qs_fs_make_dirs(const char *path, struct qs_error *err)
{
    char part[PATH_LONGEST];
    size_t length = strnlen(path, sizeof part);
    if (length == 0 || length >= sizeof part)
        return qs_fail(err, QS_USAGE, "%s: not a usable path", path);
    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        part[i] = '\0';
        if (TEMP_FAILURE_RETRY(mkdir(part, 0700)) != 0 && errno != EEXIST)
            return qs_fail_errno(err, errno, "%s: cannot make the directory", part);
        part[i] = path[i];
    }
    return QS_OK;
}

/* Unlinks the regular files of the directory, and removes it. */
static bool empty_and_remove(int parent, const char *name)
{
    int fd = openat(parent, name, DIR_FLAGS);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    bool ok = stream || (fd < 0 && errno == ENOENT);
    if (fd >= 0 && !stream)
        close(fd);
    for (struct dirent *entry; stream && ok && (entry = readdir(stream)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = TEMP_FAILURE_RETRY(unlinkat(fd, entry->d_name, 0)) == 0 || errno == ENOENT;
    if (stream)
        closedir(stream);
    return ok && (TEMP_FAILURE_RETRY(unlinkat(parent, name, AT_REMOVEDIR)) == 0 || errno == ENOENT);
}

enum qs_status qs_fs_forget_dir(const char *path, struct qs_error *err)
{
    enum { SUFFIX = sizeof QS_FORGOTTEN - 1 };
    const char *name = NULL;
    char forgotten[256];
    int parent = open_parent(path, &name);
    if (parent < 0)
        return qs_fail_errno(err, errno, "%s", path);
    size_t length = strlen(name);
    bool already = length > SUFFIX && strcmp(name + length - SUFFIX, QS_FORGOTTEN) == 0;
    int written = snprintf(forgotten, sizeof forgotten, "%s%s", name, already ? "" : QS_FORGOTTEN);
    bool ok = written > 0 && written < (int)sizeof forgotten && component_ok(qs_span_of(name));
    if (ok && !already)
        ok = (TEMP_FAILURE_RETRY(renameat2(parent, name, parent, forgotten, RENAME_NOREPLACE)) == 0 || errno == ENOENT) &&
             TEMP_FAILURE_RETRY(fsync(parent)) == 0;
    ok = ok && empty_and_remove(parent, forgotten) && TEMP_FAILURE_RETRY(fsync(parent)) == 0;
    enum qs_status status = ok ? QS_OK : qs_fail_errno(err, errno, "%s: cannot be removed", path);
    close(parent);
    return status;
}

enum qs_status qs_fs_append(const char *path, int *fd, struct qs_error *err)
{
    int opened = (int)TEMP_FAILURE_RETRY(open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (opened < 0)
        return qs_fail_errno(err, errno, "%s", path);
    *fd = opened;
    return QS_OK;
}
