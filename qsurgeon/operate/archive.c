/* SPDX-License-Identifier: Apache-2.0 */
/* Archives, written and read by libarchive; nothing of libarchive elsewhere. */
#include "qsurgeon/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "fsops.h"
#include "qsurgeon/table.h"

enum {
    ARCHIVE_VERSION = 1, BLOCK = 256 * 1024, NAME_LONGEST = 700, FILES_MOST = 64,
    METADATA_LARGEST = 256 * 1024, HEX = 33,
};

const struct qs_archive_limits qs_archive_unlimited = {UINT64_MAX / 4, UINT64_MAX / 4};

static void hex_of(XXH128_hash_t h, char hex[HEX])
{
    snprintf(hex, HEX, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64, (uint64_t)h.low64);
}

/* --- writing ---------------------------------------------------------------------------------------------------------- */

struct qs_archive_writer {
    struct archive *archive;
    struct archive_entry *entry;
    struct qs_fs_new file;
    XXH3_state_t *digest;
    const char *path, *mta, *host;
    uint32_t count;
    size_t kept;                /* bytes in block[] */
    char block[BLOCK];          /* the files of one message, where they fit: read once, for digest and archive */
};

/* A file of the message that is being added. */
struct adding {
    struct stat st;
    size_t at;                  /* in block[]; SIZE_MAX: does not fit, it is read a second time */
    char hex[HEX];
};

static int free_writer(struct qs_archive_writer *w)
{
    if (w->entry)
        archive_entry_free(w->entry);
    if (w->archive)
        archive_write_free(w->archive);
    XXH3_freeState(w->digest);
    qs_fs_new_abandon(&w->file);
    return 0;
}

static enum qs_status failed(struct qs_archive_writer *w, struct qs_error *err)
{
    const char *text = archive_error_string(w->archive);
    int number = archive_errno(w->archive);     /* of the system, or below 0 */
    text = text ? text : "cannot write the archive";
    return number > 0 ? qs_fail_errno(err, number, "%s: %s", w->path, text) : qs_fail(err, QS_IO, "%s: %s", w->path, text);
}

static bool put_member(struct qs_archive_writer *w, const char *name, uint64_t size, mode_t mode, time_t mtime)
{
    archive_entry_clear(w->entry);
    archive_entry_set_pathname(w->entry, name);
    archive_entry_set_filetype(w->entry, AE_IFREG);
    archive_entry_set_perm(w->entry, mode & 07777);
    archive_entry_set_size(w->entry, (la_int64_t)size);
    archive_entry_set_mtime(w->entry, mtime, 0);
    return archive_write_header(w->archive, w->entry) == ARCHIVE_OK;
}

enum qs_status qs_archive_create(TALLOC_CTX *parent, const char *path, const struct qs_plan *plan,
                                 struct qs_archive_writer **out, struct qs_error *err)
{
    struct qs_archive_writer *w = talloc_zero(parent, struct qs_archive_writer);
    if (!w)
        return qs_fail(err, QS_NOMEM, "out of memory");
    w->file.fd = w->file.dir = -1;
    talloc_set_destructor(w, free_writer);
    enum qs_status status = qs_fs_new_begin(path, &w->file, err);
    if (status == QS_OK) {
        w->archive = archive_write_new();
        w->entry = archive_entry_new();
        w->digest = XXH3_createState();
        w->path = talloc_strdup(w, path);
        w->mta = talloc_strdup(w, plan->mta);
        w->host = talloc_strdup(w, plan->host);
        if (!w->archive || !w->entry || !w->digest || !w->path || !w->mta || !w->host)
            status = qs_fail(err, QS_NOMEM, "out of memory");
        else if (archive_write_set_format_pax_restricted(w->archive) != ARCHIVE_OK ||
                 archive_write_add_filter_zstd(w->archive) != ARCHIVE_OK ||
                 archive_write_set_filter_option(w->archive, "zstd", "compression-level", "1") != ARCHIVE_OK)
            status = failed(w, err);
    }
    if (status == QS_OK) {
        /* all processors, where this libarchive can: the archive is the same to read */
        (void)archive_write_set_filter_option(w->archive, "zstd", "threads", "0");
        if (archive_write_open_fd(w->archive, w->file.fd) != ARCHIVE_OK)
            status = failed(w, err);
    }
    if (status == QS_OK)
        *out = w;
    else
        talloc_free(w);
    return status;
}

static bool read_at(int fd, char *to, size_t size, uint64_t at)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, to + done, size - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* Reads a file for its digest; its bytes stay in block[] where they fit. */
static bool look_at(struct qs_archive_writer *w, int fd, struct adding *a)
{
    if (fstat(fd, &a->st) != 0 || a->st.st_size < 0)
        return false;
    uint64_t size = (uint64_t)a->st.st_size;
    if (size <= BLOCK - w->kept) {
        a->at = w->kept;
        if (!read_at(fd, w->block + a->at, size, 0))
            return false;
        w->kept += size;
        hex_of(XXH3_128bits(w->block + a->at, size), a->hex);
        return true;
    }
    a->at = SIZE_MAX;
    if (XXH3_128bits_reset(w->digest) != XXH_OK)
        return false;
    for (uint64_t at = 0; at < size; at += BLOCK) {
        size_t part = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
        if (!read_at(fd, w->block, part, at) || XXH3_128bits_update(w->digest, w->block, part) != XXH_OK)
            return false;
    }
    hex_of(XXH3_128bits_digest(w->digest), a->hex);
    return true;
}

static bool put_file(struct qs_archive_writer *w, int fd, const struct adding *a)
{
    uint64_t size = (uint64_t)a->st.st_size;
    if (a->at != SIZE_MAX)
        return archive_write_data(w->archive, w->block + a->at, size) == (la_ssize_t)size;
    for (uint64_t at = 0; at < size; at += BLOCK) {
        size_t part = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
        if (!read_at(fd, w->block, part, at) || archive_write_data(w->archive, w->block, part) != (la_ssize_t)part)
            return false;
    }
    return true;
}

static json_t *describe_file(const char *name, const struct adding *a)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "name", name, "size", (json_int_t)a->st.st_size,
                     "mode", (json_int_t)(a->st.st_mode & 07777), "uid", (json_int_t)a->st.st_uid,
                     "gid", (json_int_t)a->st.st_gid, "mtime", (json_int_t)a->st.st_mtim.tv_sec,
                     "mtime_ns", (json_int_t)a->st.st_mtim.tv_nsec, "atime", (json_int_t)a->st.st_atim.tv_sec,
                     "atime_ns", (json_int_t)a->st.st_atim.tv_nsec, "xxh3_128", a->hex);
}

static char *describe(const struct qs_archive_writer *w, const struct qs_plan_item *item, const struct qs_archive_source *files,
                      const struct adding *adding, size_t count)
{
    json_t *list = json_array();
    bool ok = list != NULL;
    for (size_t i = 0; i < count; i++)
        ok = json_array_append_new(list, describe_file(files[i].name, &adding[i])) == 0 && ok;
    json_t *object = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "qsurgeon_archive", ARCHIVE_VERSION,
                               "mta", w->mta, "host", w->host, "id", item->id, "queue", item->queue_name,
                               "reason", item->reason, "arrival", (json_int_t)item->arrival, "size", (json_int_t)item->size,
                               "files", list);
    char *text = object && ok ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(object);
    return text;
}

enum qs_status qs_archive_add(struct qs_archive_writer *w, const struct qs_plan_item *item,
                              const struct qs_archive_source *files, size_t count, struct qs_error *err)
{
    struct adding adding[FILES_MOST];
    char name[NAME_LONGEST];
    if (count == 0 || count > FILES_MOST)
        return qs_fail(err, QS_DATA, "%s: no files to archive", item->id);
    bool large = false;         /* a large file is read into block[] a second time: nothing else can be kept there */
    w->kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!look_at(w, files[i].fd, &adding[i]))
            return qs_fail(err, QS_IO, "%s: cannot be read", files[i].name);
        large |= adding[i].at == SIZE_MAX;
    }
    for (size_t i = 0; large && i < count; i++)
        adding[i].at = SIZE_MAX;
    char *text = describe(w, item, files, adding, count);
    if (!text)
        return qs_fail(err, QS_NOMEM, "out of memory");
    size_t length = strlen(text);
    uint32_t n = ++w->count;
    snprintf(name, sizeof name, "%08u.json", n);
    bool ok = put_member(w, name, length, 0600, (time_t)item->arrival) &&
              archive_write_data(w->archive, text, length) == (la_ssize_t)length;
    free(text);
    for (size_t i = 0; ok && i < count; i++) {
        const struct stat *st = &adding[i].st;
        int printed = snprintf(name, sizeof name, "%08u/%s", n, files[i].name);
        ok = printed > 0 && printed < (int)sizeof name &&
             put_member(w, name, (uint64_t)st->st_size, st->st_mode, st->st_mtim.tv_sec) &&
             put_file(w, files[i].fd, &adding[i]);
    }
    return ok ? QS_OK : failed(w, err);
}

enum qs_status qs_archive_finish(struct qs_archive_writer *w, struct qs_error *err)
{
    if (archive_write_close(w->archive) != ARCHIVE_OK)
        return failed(w, err);
    return qs_fs_new_finish(&w->file, err);
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

struct qs_archive_reader {
    struct archive *archive;
    int fd;                     /* ours to close, or -1 */
    const char *path;
    struct qs_archive_limits left;
    uint32_t count;             /* messages that were whole */
    bool open;                  /* the files of `last` were not read yet */
    bool dead;                  /* an error was given: nothing follows */
    struct qs_archived *last;
    char (*digest)[HEX];        /* of the files of `last` */
    struct qs_table *seen;      /* digests of file names: each comes once */
    XXH3_state_t *state;
};

static int free_reader(struct qs_archive_reader *r)
{
    if (r->archive)
        archive_read_free(r->archive);
    if (r->fd >= 0)
        close(r->fd);
    XXH3_freeState(r->state);
    return 0;
}

enum qs_status qs_archive_open_fd(TALLOC_CTX *parent, int fd, const char *path, const struct qs_archive_limits *limits,
                                  struct qs_archive_reader **out, struct qs_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return qs_fail_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return qs_fail(err, QS_DATA, "%s: not a regular file", path);
    if (lseek(fd, 0, SEEK_SET) != 0)
        return qs_fail_errno(err, errno, "%s", path);
    struct qs_archive_reader *r = talloc_zero(parent, struct qs_archive_reader);
    if (!r)
        return qs_fail(err, QS_NOMEM, "out of memory");
    r->fd = -1;
    talloc_set_destructor(r, free_reader);
    r->archive = archive_read_new();
    r->path = talloc_strdup(r, path);
    r->seen = qs_table_new(r, 1024);
    r->state = XXH3_createState();
    r->left = *limits;
    enum qs_status status = QS_OK;
    if (!r->archive || !r->path || !r->seen || !r->state)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    else if (archive_read_support_filter_zstd(r->archive) != ARCHIVE_OK ||
             archive_read_support_format_tar(r->archive) != ARCHIVE_OK ||
             archive_read_open_fd(r->archive, fd, BLOCK) != ARCHIVE_OK)
        status = qs_fail(err, QS_DATA, "%s: not an archive of qsurgeon", path);
    if (status == QS_OK)
        *out = r;
    else
        talloc_free(r);
    return status;
}

enum qs_status qs_archive_open(TALLOC_CTX *parent, const char *path, const struct qs_archive_limits *limits,
                               struct qs_archive_reader **out, struct qs_error *err)
{
    struct qs_archive_reader *r = NULL;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return qs_fail_errno(err, errno, "%s", path);
    enum qs_status status = qs_archive_open_fd(parent, fd, path, limits, &r, err);
    if (status != QS_OK) {
        close(fd);
        return status;
    }
    r->fd = fd;
    *out = r;
    return QS_OK;
}

uint32_t qs_archive_whole(const struct qs_archive_reader *r)
{
    return r->count;
}

static enum qs_status damaged(const struct qs_archive_reader *r, const char *what, struct qs_error *err)
{
    if (r->count == 0)
        return qs_fail(err, QS_DATA, "%s: %s at the first message: no archive of qsurgeon, or nothing is left of it", r->path,
                       what);
    return qs_fail(err, QS_DATA, "%s: %s at message %u; the %u before it are whole", r->path, what, r->count + 1, r->count);
}

/* Relative, plain, without "..". */
static bool good_name(const char *name)
{
    if (!name || !name[0] || name[0] == '/' || strlen(name) > 600)
        return false;
    for (const char *at = name;;) {
        size_t span = strcspn(at, "/");
        struct qs_span part = {at, span};
        if (span == 0 || qs_span_is(part, ".") || qs_span_is(part, ".."))
            return false;
        for (size_t i = 0; i < span; i++)
            if ((unsigned char)at[i] <= ' ' || (unsigned char)at[i] >= 127)
                return false;
        if (!at[span])
            return true;
        at += span + 1;
    }
}

/* The next member must be a plain file of this name; *size is what its header says, at most `largest`. */
static enum qs_status next_member(struct qs_archive_reader *r, const char *name, uint64_t largest, uint64_t *size,
                                  struct qs_error *err)
{
    struct archive_entry *entry = NULL;
    int result = archive_read_next_header(r->archive, &entry);
    if (result == ARCHIVE_EOF)
        return QS_END;
    if (result != ARCHIVE_OK)
        return damaged(r, "cut off or damaged", err);
    const char *path = archive_entry_pathname(entry);
    if (!path || strcmp(path, name) != 0 || archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) ||
        archive_entry_symlink(entry))
        return damaged(r, "not what qsurgeon writes", err);
    la_int64_t told = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : -1;
    if (told < 0 || (uint64_t)told > largest)
        return damaged(r, "a file larger than allowed", err);
    *size = (uint64_t)told;
    return QS_OK;
}

static enum qs_status read_text(struct qs_archive_reader *r, TALLOC_CTX *parent, uint64_t size, struct qs_span *out,
                                struct qs_error *err)
{
    char *data = talloc_size(parent, size + 1);
    if (!data)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (uint64_t at = 0; at < size;) {
        la_ssize_t n = archive_read_data(r->archive, data + at, size - at);
        if (n <= 0)
            return damaged(r, "cut off or damaged", err);
        at += (uint64_t)n;
    }
    data[size] = '\0';
    *out = (struct qs_span){data, size};
    return QS_OK;
}

static enum qs_status read_file(struct qs_archive_reader *r, size_t file, qs_archive_take take, void *data,
                                struct qs_error *err)
{
    const struct qs_archived_file *f = &r->last->files[file];
    char name[NAME_LONGEST], hex[HEX];
    uint64_t size = 0, seen = 0;
    snprintf(name, sizeof name, "%08u/%s", r->count + 1, f->name);
    enum qs_status status = next_member(r, name, f->size, &size, err);
    if (status == QS_END || (status == QS_OK && size != f->size))
        return damaged(r, "cut off or damaged", err);
    if (status != QS_OK)
        return status;
    if (XXH3_128bits_reset(r->state) != XXH_OK)
        return qs_fail(err, QS_NOMEM, "out of memory");
    while (status == QS_OK) {
        const void *block = NULL;
        size_t length = 0;
        la_int64_t offset = 0;
        int result = archive_read_data_block(r->archive, &block, &length, &offset);
        if (result == ARCHIVE_EOF)
            break;
        /* a sparse file has holes, and no archive of ours has one */
        if (result != ARCHIVE_OK || offset < 0 || (uint64_t)offset != seen || length > size - seen ||
            XXH3_128bits_update(r->state, block, length) != XXH_OK)
            return damaged(r, "cut off or damaged", err);
        seen += length;
        if (take && length > 0)
            status = take(data, r->last, file, (struct qs_span){block, length}, false, err);
    }
    if (status != QS_OK)
        return status;
    hex_of(XXH3_128bits_digest(r->state), hex);
    if (seen != size || strcmp(hex, r->digest[file]) != 0)
        return damaged(r, seen != size ? "cut off or damaged" : "a file with a wrong digest", err);
    return take ? take(data, r->last, file, (struct qs_span){NULL, 0}, true, err) : QS_OK;
}

enum qs_status qs_archive_read(struct qs_archive_reader *r, qs_archive_take take, void *data, struct qs_error *err)
{
    enum qs_status status = r->open ? QS_OK : qs_fail(err, QS_USAGE, "%s: no message to read", r->path);
    r->open = false;
    for (size_t i = 0; status == QS_OK && i < r->last->count; i++)
        status = read_file(r, i, take, data, err);
    r->count += status == QS_OK;
    r->dead |= status != QS_OK;
    return status;
}

static const char *text_of(TALLOC_CTX *parent, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? talloc_strdup(parent, text) : NULL;
}

static bool number_of(const json_t *object, const char *key, json_int_t most, json_int_t *out)
{
    const json_t *value = json_object_get(object, key);
    *out = json_integer_value(value);
    return json_is_integer(value) && *out >= 0 && *out <= most;
}

/* Times are what they are: only nanoseconds have a range. */
static struct timespec time_of(const json_t *object, const char *seconds, const char *nanoseconds)
{
    json_int_t ns = 0;
    if (!number_of(object, nanoseconds, 999999999, &ns))
        ns = 0;
    return (struct timespec){.tv_sec = (time_t)json_integer_value(json_object_get(object, seconds)), .tv_nsec = (long)ns};
}

static bool take_file(struct qs_archive_reader *r, const json_t *told, size_t i, struct qs_archived_file *f)
{
    const char *digest = json_string_value(json_object_get(told, "xxh3_128"));
    json_int_t size = 0, mode = 0, uid = 0, gid = 0;
    f->name = text_of(r->last->files, told, "name");
    if (!f->name || !good_name(f->name) || !digest || strlen(digest) != HEX - 1 ||
        !number_of(told, "size", INT64_MAX, &size) || !number_of(told, "mode", 07777, &mode))
        return false;
    memcpy(r->digest[i], digest, HEX);
    f->size = (uint64_t)size;
    f->mode = (mode_t)(mode & 0777);
    f->mtime = time_of(told, "mtime", "mtime_ns");
    f->has_owner = number_of(told, "uid", UINT32_MAX - 1, &uid) && number_of(told, "gid", UINT32_MAX - 1, &gid);
    f->uid = (uid_t)uid;
    f->gid = (gid_t)gid;
    f->atime = f->has_owner ? time_of(told, "atime", "atime_ns") : f->mtime;
    return true;
}

static enum qs_status take_files(struct qs_archive_reader *r, const json_t *list, struct qs_error *err)
{
    struct qs_archived *m = r->last;
    uint64_t left = r->left.message < r->left.total ? r->left.message : r->left.total;
    m->count = json_array_size(list);
    if (m->count == 0 || m->count > FILES_MOST)
        return damaged(r, "metadata that makes no sense", err);
    m->files = talloc_zero_array(m, struct qs_archived_file, (unsigned)m->count);
    r->digest = talloc_size(m, m->count * sizeof *r->digest);
    if (!m->files || !r->digest)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (size_t i = 0; i < m->count; i++) {
        struct qs_archived_file *f = &m->files[i];
        if (!take_file(r, json_array_get(list, i), i, f))
            return damaged(r, "metadata that makes no sense", err);
        if (f->size > left)
            return damaged(r, "a file larger than allowed", err);
        left -= f->size;
        r->left.total -= f->size;
        uint32_t known = qs_table_count(r->seen);
        if (!qs_table_at(r->seen, XXH3_64bits(f->name, strlen(f->name)), 1))
            return qs_fail(err, QS_NOMEM, "out of memory");
        if (qs_table_count(r->seen) == known)
            return damaged(r, "the same file a second time", err);
    }
    return QS_OK;
}

static enum qs_status take_metadata(struct qs_archive_reader *r, const json_t *object, struct qs_error *err)
{
    struct qs_archived *m = r->last;
    json_int_t size = 0;
    m->mta = text_of(m, object, "mta");
    m->id = text_of(m, object, "id");
    m->queue_name = text_of(m, object, "queue");
    m->reason = text_of(m, object, "reason");
    m->host = text_of(m, object, "host");
    m->arrival = json_integer_value(json_object_get(object, "arrival"));
    if (json_integer_value(json_object_get(object, "qsurgeon_archive")) != ARCHIVE_VERSION || !m->mta || !m->id ||
        !m->queue_name || !m->reason || !good_name(m->id) || strchr(m->id, '/') || strlen(m->id) > 255 ||
        !number_of(object, "size", INT64_MAX, &size))
        return damaged(r, "metadata that makes no sense", err);
    m->size = (uint64_t)size;
    return take_files(r, json_object_get(object, "files"), err);
}

enum qs_status qs_archive_next(struct qs_archive_reader *r, struct qs_archived **out, struct qs_error *err)
{
    char name[40];
    uint64_t size = 0;
    struct qs_span text = {NULL, 0};
    enum qs_status status = r->dead ? damaged(r, "damaged", err) : QS_OK;
    if (status == QS_OK && r->open)
        status = qs_archive_read(r, NULL, NULL, err);
    talloc_free(r->last);
    r->last = NULL;
    if (status == QS_OK && r->count == QS_ARCHIVED_MOST)
        status = damaged(r, "more messages than allowed", err);
    if (status == QS_OK && !(r->last = talloc_zero(r, struct qs_archived)))
        status = qs_fail(err, QS_NOMEM, "out of memory");
    snprintf(name, sizeof name, "%08u.json", r->count + 1);
    if (status == QS_OK)
        status = next_member(r, name, METADATA_LARGEST, &size, err);
    if (status == QS_OK)
        status = read_text(r, r->last, size, &text, err);
    if (status == QS_OK) {
        json_t *object = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
        status = take_metadata(r, object, err);
        json_decref(object);
    }
    r->open = status == QS_OK;
    r->dead = !r->open && status != QS_END;
    if (status == QS_OK)
        *out = r->last;
    return status;
}

static enum qs_status look(struct qs_archive_reader *r, struct qs_archive_summary *s, struct qs_error *err)
{
    struct qs_archived *m = NULL;
    enum qs_status status;
    while ((status = qs_archive_next(r, &m, err)) == QS_OK) {
        uint64_t sum = 0;
        for (size_t i = 0; i < m->count; i++)
            sum += m->files[i].size;
        if (!s->mta) {
            s->mta = talloc_strdup(s, m->mta);
            s->host = m->host ? talloc_strdup(s, m->host) : NULL;
            if (!s->mta || (m->host && !s->host))
                return qs_fail(err, QS_NOMEM, "out of memory");
        }
        status = qs_archive_read(r, NULL, NULL, err);
        if (status != QS_OK)
            return status;
        s->messages++;
        s->bytes += sum;
    }
    if (status == QS_END && s->messages == 0)
        return qs_fail(err, QS_DATA, "%s: not an archive of qsurgeon: there is no message in it", r->path);
    return status == QS_END ? QS_OK : status;
}

enum qs_status qs_archive_look(TALLOC_CTX *parent, const char *path, struct qs_archive_summary **out, struct qs_error *err)
{
    struct qs_archive_reader *r = NULL;
    struct qs_error why = {""};
    struct qs_archive_summary *s = talloc_zero(parent, struct qs_archive_summary);
    enum qs_status status = s ? qs_archive_open(s, path, &qs_archive_unlimited, &r, &why)
                              : qs_fail(&why, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        status = look(r, s, &why);
    talloc_free(r);
    if (status == QS_DATA)
        memcpy(s->damage, why.text, sizeof s->damage);
    if (status == QS_OK || status == QS_DATA) {
        *out = s;
        return QS_OK;
    }
    talloc_free(s);
    return qs_fail(err, status, "%s", why.text);
}

enum qs_status qs_archive_verify(const char *path, uint64_t *messages, uint64_t *bytes, struct qs_error *err)
{
    struct qs_archive_summary *s = NULL;
    *messages = *bytes = 0;
    enum qs_status status = qs_archive_look(NULL, path, &s, err);
    if (status != QS_OK)
        return status;
    *messages = s->messages;
    *bytes = s->bytes;
    if (s->damage[0])
        status = qs_fail(err, QS_DATA, "%s", s->damage);
    talloc_free(s);
    return status;
}
