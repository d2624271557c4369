/* SPDX-License-Identifier: Apache-2.0 */
/* The one door through which files change. On the live queue the verb is a rename that never replaces; time and single
 * bytes are changed on claimed files only; whatever is created or unlinked lies in the directory of the run.
 *
 * Paths are those of surgery.h: relative to the queue directory, "@/" for the run directory. They are walked without
 * following links, "..", absolute and empty components are refused. Every function acts relative to directory
 * descriptors that stay open. An object is used by one thread at a time: other threads have twins of it, for the functions on
 * single paths, qs_fs_stat to qs_fs_rmdir. */
#ifndef QSURGEON_FSOPS_H
#define QSURGEON_FSOPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <talloc.h>

#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

#define QS_RUN_BASE ".qsurgeon"     /* below the queue directory; no MTA scans this name, no sendmail wildcard matches */

struct qs_fs;

/* Does the path lead into the run directory? */
static inline bool qs_fs_is_of_run(const char *path)
{
    return path[0] == '@' && path[1] == '/';
}

/* Opens the queue directory for changes and takes the lock that only one operating qsurgeon may hold
 * (.qsurgeon/lock, exclusive flock). Creates .qsurgeon, mode 0700, where it is missing. Everything runs as the effective
 * user that the caller has taken on (the queue's owner). QS_BUSY: another one operates. QS_NOPERM, QS_NOQUEUE, QS_IO.
 * QS_USAGE: .qsurgeon is on another file system than the queue; the text has a hint. */
enum qs_status qs_fs_open(TALLOC_CTX *parent, const char *queue_dir, struct qs_fs **out, struct qs_error *err) QS_MUST_CHECK;

/* Makes twins, so that there is an object for each of that many threads, and no more until the next call: qs_fs_of(fs, thread), where
 * 0 is fs itself. They share what may be open, and are fs's: freed, synced and led to the run with it. No other thread is at work. The
 * second is safe beside running threads; it gives NULL where there is none. */
enum qs_status qs_fs_twins(struct qs_fs *fs, unsigned threads, struct qs_error *err) QS_MUST_CHECK;
struct qs_fs *qs_fs_of(struct qs_fs *fs, unsigned thread);

/* The run whose directory "@/" means from now on; made when it is missing. */
enum qs_status qs_fs_run(struct qs_fs *fs, const char *run, struct qs_error *err) QS_MUST_CHECK;

/* lstat. QS_GONE: nothing there. */
enum qs_status qs_fs_stat(struct qs_fs *fs, const char *path, struct stat *out, struct qs_error *err) QS_MUST_CHECK;
/* The same and the file's birth, as of qs_file_look(). */
enum qs_status qs_fs_look(struct qs_fs *fs, const char *path, struct stat *out, int64_t *born, struct qs_error *err) QS_MUST_CHECK;
/* Opens a regular file, O_RDONLY or O_RDWR, no link followed, close-on-exec. The caller closes *fd. *st and *born, unless NULL,
 * are the file's. */
enum qs_status qs_fs_file(struct qs_fs *fs, const char *path, int flags, int *fd, struct stat *st, int64_t *born,
                          struct qs_error *err) QS_MUST_CHECK;

/* Renames; never replaces, never leaves the file system. QS_GONE: no source. QS_DATA: the target exists. Missing
 * directories of the target are made, mode 0700. */
enum qs_status qs_fs_move(struct qs_fs *fs, const char *from, const char *to, struct qs_error *err) QS_MUST_CHECK;
/* The same for a file that nobody else may be renaming, removing or making, into the run directory: by a link, and by removing
 * the old name. On Linux all renames between directories of a file system wait for each other; this waits for none. Stopped
 * half-way, the file has both names. */
enum qs_status qs_fs_bring(struct qs_fs *fs, const char *from, const char *to, struct qs_error *err) QS_MUST_CHECK;
/* Sets access and modification time. */
enum qs_status qs_fs_times(struct qs_fs *fs, const char *path, const struct timespec times[2],
                           struct qs_error *err) QS_MUST_CHECK;
/* Changes one byte from `expect` to `byte` and syncs. QS_DATA: another byte is there. */
enum qs_status qs_fs_byte(struct qs_fs *fs, const char *path, uint64_t offset, uint8_t expect, uint8_t byte,
                          struct qs_error *err) QS_MUST_CHECK;
/* Makes a new file in the run directory with owner, group and mode of `like` and, where keep_times, its times; synced
 * before it gets its name. QS_DATA: the name is taken. */
enum qs_status qs_fs_create(struct qs_fs *fs, const char *path, struct qs_span data, const struct stat *like, bool keep_times,
                            struct qs_error *err) QS_MUST_CHECK;
/* The same in pieces, for what does not fit into memory: begun, ended by exactly one of the last two. The caller syncs it,
 * by `sync` or by qs_fs_sync_all() for many of them. *made, where it is not NULL, is the file as it is then. */
struct qs_fs_made {
    int fd, dir;
    char temporary[264];
};
enum qs_status qs_fs_make_begin(struct qs_fs *fs, const char *path, struct qs_fs_made *file, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_fs_make_add(const struct qs_fs_made *file, struct qs_span data, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_fs_make_end(struct qs_fs_made *file, const struct stat *like, bool keep_times, bool sync, struct stat *made,
                              struct qs_error *err) QS_MUST_CHECK;
void qs_fs_make_abandon(struct qs_fs_made *file);
/* Unlinks a regular file, removes an empty directory, of the run directory only. QS_GONE is no error here. */
enum qs_status qs_fs_unlink(struct qs_fs *fs, const char *path, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_fs_rmdir(struct qs_fs *fs, const char *path, struct qs_error *err) QS_MUST_CHECK;

/* Syncs every directory that was changed since the last call, by whichever thread. No other thread is at work. */
enum qs_status qs_fs_sync(struct qs_fs *fs, struct qs_error *err) QS_MUST_CHECK;

/* Syncs everything on the file system of the queue: one wait for any number of new files. */
enum qs_status qs_fs_sync_all(struct qs_fs *fs, struct qs_error *err) QS_MUST_CHECK;
/* Bytes that are free on it for the process. */
enum qs_status qs_fs_room(struct qs_fs *fs, uint64_t *bytes, struct qs_error *err) QS_MUST_CHECK;

/* Calls visit for each regular file below "@/", in no order; path is "@/...". QS_END of visit stops the walk. */
typedef enum qs_status (*qs_fs_visit)(void *data, const char *path, const struct stat *st);
enum qs_status qs_fs_walk_run(struct qs_fs *fs, qs_fs_visit visit, void *data, struct qs_error *err) QS_MUST_CHECK;

/* Unlinks the regular files of the run directory whose path begins with `prefix`, "@/...". */
enum qs_status qs_fs_wipe(struct qs_fs *fs, const char *prefix, struct qs_error *err) QS_MUST_CHECK;
/* Removes the empty directories of the run directory, and itself when it is empty. "@/" means nothing from then on. */
enum qs_status qs_fs_prune_run(struct qs_fs *fs, struct qs_error *err) QS_MUST_CHECK;

/* Outside the queue, for plans, journals and archives: */

/* A new file, mode 0600, under a temporary name in the directory where it shall be; QS_USAGE: the name is taken already. The
 * temporary file is locked: one that a crash has left is replaced, one that is being written is QS_BUSY. Ended by exactly one
 * of the two below. */
struct qs_fs_new {
    int fd, dir;
    char name[256], temporary[264];
};
enum qs_status qs_fs_new_begin(const char *path, struct qs_fs_new *file, struct qs_error *err) QS_MUST_CHECK;
/* Syncs it, renames it without replacing, syncs the directory. On failure it is removed. */
enum qs_status qs_fs_new_finish(struct qs_fs_new *file, struct qs_error *err) QS_MUST_CHECK;
void qs_fs_new_abandon(struct qs_fs_new *file);
/* Removes the temporary file that a crash has left beside `path`, if any, and if its directory can be reached. */
enum qs_status qs_fs_new_forget(const char *path, struct qs_error *err) QS_MUST_CHECK;

/* All of that with `data`. QS_USAGE: the name is taken. */
enum qs_status qs_fs_write_new(const char *path, struct qs_span data, struct qs_error *err) QS_MUST_CHECK;
/* Makes the directory with its missing parents, mode 0700. */
enum qs_status qs_fs_make_dirs(const char *path, struct qs_error *err) QS_MUST_CHECK;
/* Removes the directory of a run, of the state directory: all at once, for it is renamed to <path>.forgotten before its files are
 * unlinked. That name is what a crash leaves, and is taken as `path`, too. QS_GONE is no error here. */
#define QS_FORGOTTEN ".forgotten"
enum qs_status qs_fs_forget_dir(const char *path, struct qs_error *err) QS_MUST_CHECK;
/* Opens a file for appending, made when missing, mode 0600; no link followed. The caller closes it. */
enum qs_status qs_fs_append(const char *path, int *fd, struct qs_error *err) QS_MUST_CHECK;
/* Writes all of data, and with `sync` waits until it is on disk. */
enum qs_status qs_fs_put(int fd, struct qs_span data, bool sync, struct qs_error *err) QS_MUST_CHECK;

#endif
