/* SPDX-License-Identifier: Apache-2.0 */
/* Queue files and the buffers that are used again for each of them. Knows nothing of what stands in the
 * files. */
#include "qsurgeon/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* What of the file is in memory: len bytes from offset. */
struct window {
    char *data;
    uint64_t offset;
    size_t len;
};

struct qs_file {
    int fd;                     /* -1: closed */
    bool dated;                 /* opening sets the access time: another user's files, who may not be spared it */
    struct stat st;
    int64_t born;
    uint64_t size;
    struct window first;        /* the beginning of the file, for as long as it is open */
    struct window other;        /* a place further on */
};

void qs_file_close(struct qs_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    file->fd = -1;
    file->size = 0;
    file->first.len = 0;
    file->other.len = 0;
    memset(&file->st, 0, sizeof file->st);
}

static int file_destroy(struct qs_file *file)
{
    qs_file_close(file);
    return 0;
}

struct qs_file *qs_file_new(TALLOC_CTX *parent)
{
    struct qs_file *file = talloc_zero(parent, struct qs_file);
    if (file == NULL)
        return NULL;
    file->fd = -1;
    file->first.data = talloc_size(file, QS_FILE_WINDOW);
    file->other.data = talloc_size(file, QS_FILE_WINDOW);
    if (file->first.data == NULL || file->other.data == NULL) {
        talloc_free(file);
        return NULL;
    }
    talloc_set_destructor(file, file_destroy);
    return file;
}

/* Fills the window from `offset`, which is before the file's end. A file that turns out shorter gets that
 * size. */
static enum qs_status fill(struct qs_file *file, struct window *window, uint64_t offset, struct qs_error *err)
{
    uint64_t rest = file->size - offset;
    size_t want = rest < QS_FILE_WINDOW ? (size_t)rest : QS_FILE_WINDOW;
    window->offset = offset;
    window->len = 0;
    while (window->len < want) {
        ssize_t n = pread(file->fd, window->data + window->len, want - window->len,
                          (off_t)(offset + window->len));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            window->len = 0;
            return qs_fail_errno(err, errno, "read at byte %llu", (unsigned long long)offset);
        }
        if (n == 0) {
            file->size = offset + window->len;
            break;
        }
        window->len += (size_t)n;
    }
    return QS_OK;
}

int qs_open_quietly(int dirfd, const char *name, bool *dated)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    int fd = *dated ? -1 : openat(dirfd, name, flags | O_NOATIME);
    if (!*dated && (fd >= 0 || errno != EPERM))
        return fd;
    *dated = true;
    return openat(dirfd, name, flags);
}

static struct timespec time_of(struct statx_timestamp t)
{
    return (struct timespec){.tv_sec = t.tv_sec, .tv_nsec = t.tv_nsec};
}

enum qs_status qs_file_look(int dirfd, const char *name, struct stat *st, int64_t *born, struct qs_error *err)
{
    struct statx x;
    if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH, STATX_BASIC_STATS | (born ? STATX_BTIME : 0), &x) != 0)
        return qs_fail_errno(err, errno, "%s", name);
    *st = (struct stat){.st_dev = makedev(x.stx_dev_major, x.stx_dev_minor), .st_ino = x.stx_ino, .st_mode = x.stx_mode,
                        .st_nlink = x.stx_nlink, .st_uid = x.stx_uid, .st_gid = x.stx_gid, .st_size = (off_t)x.stx_size,
                        .st_blocks = (blkcnt_t)x.stx_blocks, .st_blksize = (blksize_t)x.stx_blksize,
                        .st_atim = time_of(x.stx_atime), .st_mtim = time_of(x.stx_mtime), .st_ctim = time_of(x.stx_ctime)};
    if (born)
        *born = x.stx_mask & STATX_BTIME ? x.stx_btime.tv_sec * INT64_C(1000000000) + x.stx_btime.tv_nsec : 0;
    return QS_OK;
}

enum qs_status qs_file_open(struct qs_file *file, int dirfd, const char *name, struct qs_error *err)
{
    enum qs_status status;
    int fd;
    qs_file_close(file);
    do {
        fd = qs_open_quietly(dirfd, name, &file->dated);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        /* ELOOP (FreeBSD: EMLINK): a link. ENXIO, EOPNOTSUPP: a socket, or a device with nothing behind
         * it. */
        if (errno == ELOOP || errno == EMLINK || errno == ENXIO || errno == EOPNOTSUPP)
            return qs_fail(err, QS_SKIP, "%s: not a regular file", name);
        return qs_fail_errno(err, errno, "%s", name);
    }
    file->fd = fd;
    if (qs_file_look(fd, "", &file->st, &file->born, NULL) != QS_OK) {
        status = qs_fail_errno(err, errno, "%s", name);
    } else if (!S_ISREG(file->st.st_mode)) {
        status = qs_fail(err, QS_SKIP, "%s: not a regular file", name);
    } else {
        file->size = file->st.st_size > 0 ? (uint64_t)file->st.st_size : 0;
        status = file->size > 0 ? fill(file, &file->first, 0, err) : QS_OK;
    }
    if (status != QS_OK)
        qs_file_close(file);
    return status;
}

const struct stat *qs_file_stat(const struct qs_file *file)
{
    return &file->st;
}

int64_t qs_file_born(const struct qs_file *file)
{
    return file->born;
}

uint64_t qs_file_size(const struct qs_file *file)
{
    return file->size;
}

/* Whether the window has `want` bytes at `offset`, or all there are up to the end of the file. */
static bool covers(const struct qs_file *file, const struct window *window, uint64_t offset, size_t want)
{
    if (offset < window->offset || offset - window->offset >= window->len)
        return false;
    return window->len - (offset - window->offset) >= want || window->offset + window->len >= file->size;
}

enum qs_status qs_file_at(struct qs_file *file, uint64_t offset, size_t want, struct qs_span *out,
                          struct qs_error *err)
{
    const struct window *window = &file->first;
    if (offset >= file->size)
        return QS_END;
    if (want > QS_FILE_WINDOW)
        want = QS_FILE_WINDOW;
    if (!covers(file, window, offset, want)) {
        window = &file->other;
        if (!covers(file, window, offset, want)) {
            enum qs_status status = fill(file, &file->other, offset, err);
            if (status != QS_OK)
                return status;
            if (window->len == 0)
                return QS_END;
        }
    }
    size_t skip = (size_t)(offset - window->offset);
    *out = (struct qs_span){window->data + skip, window->len - skip};
    return QS_OK;
}

void qs_buffer_init(struct qs_buffer *buffer, TALLOC_CTX *parent)
{
    *buffer = (struct qs_buffer){.parent = parent};
}

bool qs_buffer_reserve(struct qs_buffer *buffer, size_t more)
{
    size_t size = buffer->size < 1024 ? 1024 : buffer->size;
    if (more <= buffer->size - buffer->len)
        return true;
    while (size - buffer->len < more) {
        if (size > SIZE_MAX / 2)
            return false;
        size *= 2;
    }
    char *data = talloc_realloc_size(buffer->parent, buffer->data, size);
    if (data == NULL)
        return false;
    buffer->data = data;
    buffer->size = size;
    return true;
}

bool qs_buffer_add(struct qs_buffer *buffer, struct qs_span bytes)
{
    if (!qs_buffer_reserve(buffer, bytes.len))
        return false;
    if (bytes.len > 0)
        memcpy(buffer->data + buffer->len, bytes.ptr, bytes.len);
    buffer->len += bytes.len;
    return true;
}

bool qs_buffer_add_char(struct qs_buffer *buffer, char c)
{
    if (buffer->len == buffer->size && !qs_buffer_reserve(buffer, 1))
        return false;
    buffer->data[buffer->len++] = c;
    return true;
}

bool qs_buffer_add_number(struct qs_buffer *buffer, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return qs_buffer_add(buffer, (struct qs_span){digits + at, sizeof digits - at});
}

struct qs_reader *qs_reader_new(TALLOC_CTX *parent)
{
    struct qs_reader *reader = talloc_zero(parent, struct qs_reader);
    if (reader == NULL)
        return NULL;
    reader->message = qs_file_new(reader);
    reader->side = qs_file_new(reader);
    if (reader->message == NULL || reader->side == NULL) {
        talloc_free(reader);
        return NULL;
    }
    qs_buffer_init(&reader->scratch, reader);
    qs_buffer_init(&reader->content, reader);
    return reader;
}
