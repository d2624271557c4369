/* SPDX-License-Identifier: Apache-2.0 */
/* Archives of purged messages: a pax tar in zstd, by libarchive. For each message a small metadata member `<n>.json`, then
 * its raw queue files `<n>/<path below the queue directory>`. The metadata names the files that follow, with size, mode, times
 * and XXH3-128 digest, so that any complete prefix of the archive yields every message that is complete in it. The digests
 * stand there and not in pax keywords, which would add a kilobyte of header to each file of a few kilobytes. */
#ifndef QSURGEON_ARCHIVE_H
#define QSURGEON_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <talloc.h>

#include "qsurgeon/plan.h"
#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

struct qs_archive_writer;

/* A new archive at `path` under a temporary name, mode 0600. QS_USAGE: it exists. QS_IO. */
enum qs_status qs_archive_create(TALLOC_CTX *parent, const char *path, const struct qs_plan *plan,
                                 struct qs_archive_writer **out, struct qs_error *err) QS_MUST_CHECK;

/* A file of a message, open for reading: closed by the caller. */
struct qs_archive_source {
    const char *name;           /* path below the queue directory */
    int fd;
};
/* Adds one message with its files. QS_IO. */
enum qs_status qs_archive_add(struct qs_archive_writer *writer, const struct qs_plan_item *item,
                              const struct qs_archive_source *files, size_t count, struct qs_error *err) QS_MUST_CHECK;

/* Ends the archive, syncs it, gives it its name, syncs the directory. After an error, or when it is freed before this, the
 * temporary file is removed. */
enum qs_status qs_archive_finish(struct qs_archive_writer *writer, struct qs_error *err) QS_MUST_CHECK;

/* A message read from an archive; children of one talloc object that the next call replaces. */
struct qs_archived_file {
    const char *name;           /* path below the queue directory: relative, without "..", checked */
    uint64_t size;
    mode_t mode;
    bool has_owner;             /* older archives do not tell uid, gid and atime */
    uid_t uid;
    gid_t gid;
    struct timespec atime, mtime;
};
struct qs_archived {
    const char *mta, *id, *queue_name, *reason;
    const char *host;           /* where it was archived; NULL in older archives */
    int64_t arrival;
    uint64_t size;
    struct qs_archived_file *files;     /* the message's own file first */
    size_t count;
};

/* What an archive may ask for; hostile ones ask for more. */
struct qs_archive_limits {
    uint64_t message;           /* bytes of one message's files */
    uint64_t total;             /* of all files */
};
enum { QS_ARCHIVED_MOST = 20000000 };           /* messages in one archive */
extern const struct qs_archive_limits qs_archive_unlimited;

struct qs_archive_reader;
/* Hostile input: links, devices, absolute names, "..", the same file twice and what is beyond the limits are refused. Memory
 * is bounded, whatever the archive says: file contents are handed on in pieces. QS_GONE, QS_NOPERM, QS_IO: cannot be
 * opened. QS_DATA: not a regular file. */
enum qs_status qs_archive_open(TALLOC_CTX *parent, const char *path, const struct qs_archive_limits *limits,
                               struct qs_archive_reader **out, struct qs_error *err) QS_MUST_CHECK;
/* The same of a file that is open: it is read from its beginning, and stays the caller's to close. */
enum qs_status qs_archive_open_fd(TALLOC_CTX *parent, int fd, const char *path, const struct qs_archive_limits *limits,
                                  struct qs_archive_reader **out, struct qs_error *err) QS_MUST_CHECK;

/* The next message's metadata, when the one before is whole (its files are read for that where nobody has). QS_END: the
 * archive's end was reached and it is whole. QS_DATA: cut off or damaged here; the messages before it are good. */
enum qs_status qs_archive_next(struct qs_archive_reader *reader, struct qs_archived **out, struct qs_error *err) QS_MUST_CHECK;

/* Takes a piece of the file m->files[file]; `last` is true once for each file, behind all of its bytes and when its digest has
 * been found right (part is empty then). */
typedef enum qs_status (*qs_archive_take)(void *data, const struct qs_archived *m, size_t file, struct qs_span part, bool last,
                                          struct qs_error *err);
/* Reads the files of the message that qs_archive_next() has given. QS_OK: all are there and every digest is right. QS_DATA:
 * not so; what was handed on is worth nothing. Else what `take` (may be NULL) gave. */
enum qs_status qs_archive_read(struct qs_archive_reader *reader, qs_archive_take take, void *data,
                               struct qs_error *err) QS_MUST_CHECK;
/* Messages read in whole so far. */
uint32_t qs_archive_whole(const struct qs_archive_reader *reader);

/* What an archive holds, all of it read back. */
struct qs_archive_summary {
    uint64_t messages, bytes;   /* whole ones; bytes of their files */
    const char *mta, *host;     /* of the first message; NULL: there is none, or it does not tell */
    char damage[QS_ERROR_TEXT]; /* what is wrong with it; "": whole */
};
/* QS_OK also when it is damaged. QS_GONE, QS_NOPERM, QS_IO: cannot be opened. The summary is a child of parent. */
enum qs_status qs_archive_look(TALLOC_CTX *parent, const char *path, struct qs_archive_summary **out,
                               struct qs_error *err) QS_MUST_CHECK;

/* Reads all of it back: *messages complete ones, *bytes of their files, also when it fails. QS_OK only when it is whole and
 * every digest is right. */
enum qs_status qs_archive_verify(const char *path, uint64_t *messages, uint64_t *bytes, struct qs_error *err) QS_MUST_CHECK;

#endif
