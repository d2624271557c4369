/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a file holds: reading it as an archive ends, gives only messages whose names stay below the queue directory, and
 * hands on no more bytes than allowed; unpacking it leaves nothing outside its own directory, and nothing at all in the end.
 * Seeds are plain tar, which is read as well: in a compressed one nearly every change is refused by the compressor. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "qsurgeon/restore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE = 1 << 20, TOTAL = 1 << 22 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

static enum qs_status count(void *data, const struct qs_archived *m, size_t file, struct qs_span part, bool last,
                            struct qs_error *err)
{
    uint64_t *bytes = data;
    (void)err;
    must(file < m->count && (!last || part.len == 0));
    *bytes += part.len;
    must(*bytes <= TOTAL);
    return QS_OK;
}

static void read_archive(int fd)
{
    static const struct qs_archive_limits limits = {MESSAGE, TOTAL};
    struct qs_archive_reader *reader = NULL;
    struct qs_archived *m = NULL;
    struct qs_unpacked *unpacked = NULL;
    struct qs_error err = {""};
    uint64_t bytes = 0;
    TALLOC_CTX *top = talloc_new(NULL);
    enum qs_status status = qs_archive_open_fd(top, fd, "fuzz", &limits, &reader, &err);
    uint32_t messages = 0;
    while (status == QS_OK && (status = qs_archive_next(reader, &m, &err)) == QS_OK) {
        must(m->mta && m->id[0] && !strchr(m->id, '/') && m->count > 0);
        for (size_t i = 0; i < m->count; i++) {
            const char *name = m->files[i].name;
            must(name[0] && name[0] != '/' && strncmp(name, "../", 3) != 0 && !strstr(name, "/../") && m->files[i].size <= MESSAGE);
        }
        status = qs_archive_read(reader, count, &bytes, &err);
        messages += status == QS_OK;
    }
    must(status == QS_END || (status == QS_DATA && err.text[0]));
    if (qs_unpack(top, "fuzz", fd, "/tmp", true, NULL, &unpacked, &err) == QS_OK) {
        must(unpacked->count > 0 && unpacked->count <= messages && access(unpacked->dir, F_OK) == 0);
        qs_unpacked_close(unpacked);
        must(access(unpacked->dir, F_OK) != 0);
    }
    talloc_free(top);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("archive", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    read_archive(fd);
    close(fd);
    return 0;
}
