/* SPDX-License-Identifier: Apache-2.0 */
/* Archives, written and read by libarchive; nothing of libarchive elsewhere. */
#include "qsurgeon/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "fsops.h"

enum {
    ARCHIVE_VERSION = 1, BLOCK = 64 * 1024, NAME_LONGEST = 700, FILES_MOST = 64,
    METADATA_LARGEST = 256 * 1024, HEX = 33,
};

static void hex_of(XXH128_hash_t h, char hex[HEX])
{
    snprintf(hex, HEX, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64, (uint64_t)h.low64);
}

/* --- writing ---------------------------------------------------------------------------------------------------------- */

struct qs_archive_writer {
    struct archive *archive;
    struct archive_entry *entry;
    struct qs_fs_new file;
    const char *mta;
    uint32_t count;
    char block[BLOCK];
};

static int free_writer(struct qs_archive_writer *w)
{
    if (w->entry)
        archive_entry_free(w->entry);
    if (w->archive)
        archive_write_free(w->archive);
    qs_fs_new_abandon(&w->file);
    return 0;
}

static enum qs_status failed(struct qs_archive_writer *w, struct qs_error *err)
{
    const char *text = archive_error_string(w->archive);
    return qs_fail(err, QS_IO, "%s: %s", w->file.name, text ? text : "cannot write the archive");
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
        w->mta = talloc_strdup(w, plan->mta);
        if (!w->archive || !w->entry || !w->mta)
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

/* Calls take for each block of the open file, from its beginning. */
static bool each_block(struct qs_archive_writer *w, int fd, uint64_t size, bool (*take)(void *data, const void *p, size_t n),
                       void *data)
{
    for (uint64_t at = 0; at < size;) {
        size_t want = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
        ssize_t n = pread(fd, w->block, want, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || !take(data, w->block, (size_t)n))
            return false;
        at += (uint64_t)n;
    }
    return true;
}

static bool take_digest(void *data, const void *p, size_t n)
{
    return XXH3_128bits_update(data, p, n) == XXH_OK;
}

static bool take_write(void *data, const void *p, size_t n)
{
    return archive_write_data(data, p, n) == (la_ssize_t)n;
}

static json_t *describe_file(struct qs_archive_writer *w, const struct qs_archive_source *source, const struct stat *st)
{
    char hex[HEX];
    XXH3_state_t *state = XXH3_createState();
    bool ok = state && XXH3_128bits_reset(state) == XXH_OK &&
              each_block(w, source->fd, (uint64_t)st->st_size, take_digest, state);
    if (ok)
        hex_of(XXH3_128bits_digest(state), hex);
    XXH3_freeState(state);
    return ok ? json_pack("{s:s, s:I, s:I, s:I, s:I, s:s}", "name", source->name, "size", (json_int_t)st->st_size,
                          "mode", (json_int_t)(st->st_mode & 07777), "mtime", (json_int_t)st->st_mtim.tv_sec,
                          "mtime_ns", (json_int_t)st->st_mtim.tv_nsec, "xxh3_128", hex)
              : NULL;
}

enum qs_status qs_archive_add(struct qs_archive_writer *w, const struct qs_plan_item *item,
                              const struct qs_archive_source *files, size_t count, struct qs_error *err)
{
    struct stat st[FILES_MOST];
    char name[NAME_LONGEST];
    if (count == 0 || count > FILES_MOST)
        return qs_fail(err, QS_DATA, "%s: no files to archive", item->id);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *one = fstat(files[i].fd, &st[i]) == 0 ? describe_file(w, &files[i], &st[i]) : NULL;
        if (json_array_append_new(list, one) != 0) {
            json_decref(list);
            return qs_fail(err, QS_IO, "%s: cannot be read", files[i].name);
        }
    }
    json_t *object = json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "qsurgeon_archive", ARCHIVE_VERSION, "mta", w->mta,
                               "id", item->id, "queue", item->queue_name, "reason", item->reason,
                               "arrival", (json_int_t)item->arrival, "size", (json_int_t)item->size, "files", list);
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(object);
    if (!text)
        return qs_fail(err, QS_NOMEM, "out of memory");
    size_t length = strlen(text);
    uint32_t n = ++w->count;
    snprintf(name, sizeof name, "%08u.json", n);
    bool ok = put_member(w, name, length, 0600, (time_t)item->arrival) &&
              archive_write_data(w->archive, text, length) == (la_ssize_t)length;
    free(text);
    for (size_t i = 0; ok && i < count; i++) {
        int printed = snprintf(name, sizeof name, "%08u/%s", n, files[i].name);
        ok = printed > 0 && printed < (int)sizeof name &&
             put_member(w, name, (uint64_t)st[i].st_size, st[i].st_mode, st[i].st_mtim.tv_sec) &&
             each_block(w, files[i].fd, (uint64_t)st[i].st_size, take_write, w->archive);
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
    const char *path;
    uint64_t largest;
    uint32_t count;             /* messages given */
    struct qs_archived *last;
};

static int free_reader(struct qs_archive_reader *r)
{
    if (r->archive)
        archive_read_free(r->archive);
    return 0;
}

enum qs_status qs_archive_open(TALLOC_CTX *parent, const char *path, uint64_t largest, struct qs_archive_reader **out,
                               struct qs_error *err)
{
    struct qs_archive_reader *r = talloc_zero(parent, struct qs_archive_reader);
    if (!r)
        return qs_fail(err, QS_NOMEM, "out of memory");
    talloc_set_destructor(r, free_reader);
    r->archive = archive_read_new();
    r->path = talloc_strdup(r, path);
    r->largest = largest;
    enum qs_status status = QS_OK;
    if (!r->archive || !r->path)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    else if (access(path, R_OK) != 0)
        status = qs_fail_errno(err, errno, "%s", path);
    else if (archive_read_support_filter_zstd(r->archive) != ARCHIVE_OK ||
             archive_read_support_format_tar(r->archive) != ARCHIVE_OK ||
             archive_read_open_filename(r->archive, path, BLOCK) != ARCHIVE_OK)
        status = qs_fail(err, QS_DATA, "%s: not an archive of qsurgeon", path);
    if (status == QS_OK)
        *out = r;
    else
        talloc_free(r);
    return status;
}

static enum qs_status damaged(const struct qs_archive_reader *r, const char *what, struct qs_error *err)
{
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

static enum qs_status read_data(struct qs_archive_reader *r, TALLOC_CTX *parent, uint64_t size, struct qs_span *out,
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

static const char *text_of(TALLOC_CTX *parent, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? talloc_strdup(parent, text) : NULL;
}

static enum qs_status read_files(struct qs_archive_reader *r, struct qs_archived *m, const json_t *list, struct qs_error *err)
{
    uint64_t left = r->largest;
    m->count = json_array_size(list);
    if (m->count == 0 || m->count > FILES_MOST)
        return damaged(r, "metadata that makes no sense", err);
    m->files = talloc_zero_array(m, struct qs_archived_file, (unsigned)m->count);
    if (!m->files)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (size_t i = 0; i < m->count; i++) {
        const json_t *told = json_array_get(list, i);
        struct qs_archived_file *f = &m->files[i];
        const char *digest = json_string_value(json_object_get(told, "xxh3_128"));
        json_int_t size_told = json_integer_value(json_object_get(told, "size"));
        char name[NAME_LONGEST], hex[HEX];
        uint64_t size = 0;
        f->name = text_of(m->files, told, "name");
        if (!f->name || !digest || !good_name(f->name))
            return damaged(r, "metadata that makes no sense", err);
        snprintf(name, sizeof name, "%08u/%s", r->count + 1, f->name);
        enum qs_status status = next_member(r, name, left, &size, err);
        if (status == QS_END || (status == QS_OK && (json_int_t)size != size_told))
            return damaged(r, "cut off or damaged", err);
        if (status == QS_OK)
            status = read_data(r, m->files, size, &f->data, err);
        if (status != QS_OK)
            return status;
        left -= size;
        hex_of(XXH3_128bits(f->data.ptr, f->data.len), hex);
        f->intact = strcmp(hex, digest) == 0;
        f->mode = (mode_t)(json_integer_value(json_object_get(told, "mode")) & 0777);
        f->mtime.tv_sec = (time_t)json_integer_value(json_object_get(told, "mtime"));
        json_int_t ns = json_integer_value(json_object_get(told, "mtime_ns"));
        f->mtime.tv_nsec = ns < 0 || ns > 999999999 ? 0 : (long)ns;
        if (!f->intact)
            return damaged(r, "a file with a wrong digest", err);
    }
    return QS_OK;
}

enum qs_status qs_archive_next(struct qs_archive_reader *r, struct qs_archived **out, struct qs_error *err)
{
    char name[40];
    uint64_t size = 0;
    struct qs_span text;
    talloc_free(r->last);
    r->last = NULL;
    struct qs_archived *m = talloc_zero(r, struct qs_archived);
    if (!m)
        return qs_fail(err, QS_NOMEM, "out of memory");
    snprintf(name, sizeof name, "%08u.json", r->count + 1);
    enum qs_status status = next_member(r, name, METADATA_LARGEST, &size, err);
    if (status == QS_OK)
        status = read_data(r, m, size, &text, err);
    if (status == QS_OK) {
        json_t *object = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
        m->mta = text_of(m, object, "mta");
        m->id = text_of(m, object, "id");
        m->queue_name = text_of(m, object, "queue");
        m->reason = text_of(m, object, "reason");
        m->arrival = json_integer_value(json_object_get(object, "arrival"));
        m->size = (uint64_t)json_integer_value(json_object_get(object, "size"));
        if (json_integer_value(json_object_get(object, "qsurgeon_archive")) != ARCHIVE_VERSION || !m->mta || !m->id ||
            !m->queue_name || !m->reason || !good_name(m->id) || strchr(m->id, '/'))
            status = damaged(r, "metadata that makes no sense", err);
        else
            status = read_files(r, m, json_object_get(object, "files"), err);
        json_decref(object);
    }
    if (status == QS_OK) {
        r->count++;
        r->last = m;
        *out = m;
    } else {
        talloc_free(m);
    }
    return status;
}

enum qs_status qs_archive_verify(const char *path, uint64_t *messages, uint64_t *bytes, struct qs_error *err)
{
    struct qs_archive_reader *r = NULL;
    struct qs_archived *m = NULL;
    enum qs_status status = qs_archive_open(NULL, path, UINT64_MAX / 2, &r, err);
    if (status != QS_OK)
        return status;
    *messages = *bytes = 0;
    while ((status = qs_archive_next(r, &m, err)) == QS_OK) {
        (*messages)++;
        for (size_t i = 0; i < m->count; i++)
            *bytes += m->files[i].data.len;
    }
    if (status == QS_END && *messages == 0)
        status = qs_fail(err, QS_DATA, "%s: not an archive of qsurgeon: there is no message in it", path);
    talloc_free(r);
    return status == QS_END ? QS_OK : status;
}
