/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a queue, read with one open, one fstat and mostly one read each, into buffers that are used again. */
#ifndef QSURGEON_READER_H
#define QSURGEON_READER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <talloc.h>

#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

/* One open file. The first QS_FILE_WINDOW bytes are in memory after qs_file_open(); other places are read on demand.
 * A file of up to that size costs open, fstat, read, close. */
struct qs_file;

enum { QS_FILE_WINDOW = 256 * 1024 };

/* A file object with its buffers, closed; used for any number of files in turn. */
struct qs_file *qs_file_new(TALLOC_CTX *parent);

/* Opens dirfd/name read-only, following no link at the last component, never blocking. Closes the previous file.
 * QS_GONE: no such file. QS_SKIP: not a regular file. QS_NOPERM. QS_IO. QS_NOMEM. `name` may hold '/' where the
 * caller made it (hash directory). */
enum qs_status qs_file_open(struct qs_file *file, int dirfd, const char *name, struct qs_error *err) QS_MUST_CHECK;
void qs_file_close(struct qs_file *file);

/* As of qs_file_open(), and the file's birth as of qs_file_look(). */
const struct stat *qs_file_stat(const struct qs_file *file);
int64_t qs_file_born(const struct qs_file *file);
/* Bytes that can be read; at most st_size, fewer when the file shrank. */
uint64_t qs_file_size(const struct qs_file *file);

/* Makes [offset, offset + want) readable and gives what there is of it, at least one byte and up to everything that
 * is in memory behind it: out->len may be more than want, and less only at the end of the file. want is at most
 * QS_FILE_WINDOW. The span lives until the next call for this file that has to read. QS_END: offset is at or behind
 * the end. QS_IO. */
enum qs_status qs_file_at(struct qs_file *file, uint64_t offset, size_t want, struct qs_span *out,
                          struct qs_error *err) QS_MUST_CHECK;

/* openat() for reading, as qs_file_open() does it: the access time is left alone where that is allowed, for looking is no change. Sets
 * *dated where it is not (another user's file), so that it need not be tried in vain again. -1: errno says why. */
int qs_open_quietly(int dirfd, const char *name, bool *dated) QS_MUST_CHECK;

/* What dirfd/name is, a last link not followed; with an empty name dirfd itself. *born, where it is not NULL: when the file was
 * made, in nanoseconds since 1970, which with its inode number says which file it is, whatever its name was meanwhile; 0: this
 * file system does not tell. Reads no content. QS_GONE, QS_NOPERM, QS_IO, also when neither is told. */
enum qs_status qs_file_look(int dirfd, const char *name, struct stat *st, int64_t *born, struct qs_error *err) QS_MUST_CHECK;

/* A growing byte buffer, used again for each message: keeps its memory when emptied. */
struct qs_buffer {
    char *data;         /* child of the context given at qs_buffer_init */
    size_t len, size;
    TALLOC_CTX *parent;
};
void qs_buffer_init(struct qs_buffer *buffer, TALLOC_CTX *parent);
/* False when memory is out; then the buffer is as before. */
bool qs_buffer_reserve(struct qs_buffer *buffer, size_t more) QS_MUST_CHECK;
bool qs_buffer_add(struct qs_buffer *buffer, struct qs_span bytes) QS_MUST_CHECK;
bool qs_buffer_add_char(struct qs_buffer *buffer, char c) QS_MUST_CHECK;
/* In decimal digits. */
bool qs_buffer_add_number(struct qs_buffer *buffer, uint64_t number) QS_MUST_CHECK;

/* What one scan thread needs to read messages one after the other. */
struct qs_reader {
    struct qs_file *message;    /* Postfix queue file; sendmail qf */
    struct qs_file *side;       /* Postfix defer, bounce or trace log; sendmail df, xf */
    struct qs_buffer scratch;   /* text that the driver had to rewrite: envelope spans may point here */
    struct qs_buffer content;   /* RFC 5322 bytes made by content() */
    struct qs_recipient_text *recipients;   /* talloc array, grown by the driver; see format.h */
    size_t recipients_size;
    bool brief;                 /* the recipients' last results are not wanted: no log is opened for them */
};
/* NULL: out of memory. */
struct qs_reader *qs_reader_new(TALLOC_CTX *parent);

#endif
