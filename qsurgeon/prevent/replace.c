/* SPDX-License-Identifier: Apache-2.0 */
/* Small files: see replace.h. */
#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum qs_status qs_file_read(TALLOC_CTX *parent, const char *path, size_t most, struct qs_span *out, struct qs_error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return qs_fail_errno(err, errno, "%.250s", path);
    enum qs_status status = QS_OK;
    char *text = NULL;
    size_t used = 0;
    if (fstat(fd, &st) != 0)
        status = qs_fail_errno(err, errno, "%.250s", path);
    else if (!S_ISREG(st.st_mode))
        status = qs_fail(err, QS_DATA, "%.250s: not a regular file", path);
    else if (st.st_size < 0 || (uint64_t)st.st_size > most)
        status = qs_fail(err, QS_DATA, "%.250s: larger than %zu bytes", path, most);
    else if (!(text = talloc_size(parent, (size_t)st.st_size + 1)))
        status = qs_fail(err, QS_NOMEM, "out of memory");
    while (status == QS_OK && used < (size_t)st.st_size) {
        ssize_t n = TEMP_FAILURE_RETRY(read(fd, text + used, (size_t)st.st_size - used));
        if (n < 0)
            status = qs_fail_errno(err, errno, "%.250s", path);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    close(fd);
    if (status != QS_OK) {
        talloc_free(text);
        return status;
    }
    text[used] = '\0';
    *out = (struct qs_span){text, used};
    return QS_OK;
}

static bool write_all(int fd, struct qs_span text)
{
    while (text.len) {
        ssize_t n = TEMP_FAILURE_RETRY(write(fd, text.ptr, text.len));
        if (n <= 0)
            return false;
        text.ptr += n;
        text.len -= (size_t)n;
    }
    return true;
}

static bool sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

enum qs_status qs_file_replace(const char *path, struct qs_span text, unsigned mode, struct qs_error *err)
{
    struct stat st;
    bool there = lstat(path, &st) == 0;
    if (!there && errno != ENOENT)
        return qs_fail_errno(err, errno, "%.250s", path);
    if (there && !S_ISREG(st.st_mode))
        return qs_fail(err, QS_USAGE, "%.250s: not a regular file", path);
    char *temporary = talloc_asprintf(NULL, "%s.XXXXXX", path), *copy = talloc_strdup(temporary, path);
    if (!copy) {
        talloc_free(temporary);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    enum qs_status status = QS_OK;
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        status = qs_fail_errno(err, errno, "%.250s", path);
    } else {
        bool ok = write_all(fd, text) && (!there || fchown(fd, st.st_uid, st.st_gid) == 0 || geteuid() != 0) &&
                  fchmod(fd, there ? st.st_mode & 07777 : mode) == 0 && fsync(fd) == 0;
        int number = errno;
        ok = close(fd) == 0 && ok;
        if (!ok || rename(temporary, path) != 0) {
            status = qs_fail_errno(err, ok ? errno : number, "%.250s", path);
            unlink(temporary);
        } else if (!sync_directory(dirname(copy))) {
            status = qs_fail_errno(err, errno, "%.250s", path);
        }
    }
    talloc_free(temporary);
    return status;
}
