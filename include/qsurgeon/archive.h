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
    struct qs_span data;
    mode_t mode;
    struct timespec mtime;
    bool intact;                /* the digest is right */
};
struct qs_archived {
    const char *mta, *id, *queue_name, *reason;
    int64_t arrival;
    uint64_t size;
    struct qs_archived_file *files;
    size_t count;
};

struct qs_archive_reader;
/* Hostile input: links, devices, absolute names, "..", sizes beyond `largest` bytes a message are refused. */
enum qs_status qs_archive_open(TALLOC_CTX *parent, const char *path, uint64_t largest, struct qs_archive_reader **out,
                               struct qs_error *err) QS_MUST_CHECK;
/* The next complete message. QS_END: the archive's end was reached and it is whole. QS_DATA: cut off or damaged here; the
 * messages given so far are good. */
enum qs_status qs_archive_next(struct qs_archive_reader *reader, struct qs_archived **out, struct qs_error *err) QS_MUST_CHECK;

/* Reads all of it back: *messages complete ones. QS_OK only when it is whole and every digest is right. */
enum qs_status qs_archive_verify(const char *path, uint64_t *messages, uint64_t *bytes, struct qs_error *err) QS_MUST_CHECK;

#endif
