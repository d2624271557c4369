/* SPDX-License-Identifier: Apache-2.0 */
/* From an archive back into the queue. First the files of all messages are made in @/staging; when they are complete and
 * synced, that becomes @/staged by one rename. Then they are moved into the live queue, in the reverse of the order in which
 * they were taken: logs and data first, the message's own file last, so that the MTA meets it whole or not at all. After a
 * crash the directory tells how far it came: without @/staged nothing was moved; with it, what is not there any more was. So
 * no message comes back twice. */
#include "qsurgeon/restore.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "fsops.h"
#include "qsurgeon/archive.h"
#include "qsurgeon/table.h"

enum { PATH_LONGEST = 700, FILES_MOST = 64, ID_LONGEST = 256 };

/* A message of more than this is not one that went through a mail queue. */
static const uint64_t message_largest = UINT64_C(4) << 30;

struct back {
    TALLOC_CTX *parent;
    const struct qs_format *format;
    struct qs_queue *queue;
    struct qs_fs *fs;
    enum qs_restore_to to;
    int64_t now;
    struct qs_table *taken;         /* digests of the queue IDs that are in the queue */
    struct qs_table *wanted;        /* of those that shall come back; NULL: all */
    struct qs_restored *done;
};

static uint64_t id_key(const char *id)
{
    return XXH3_64bits(id, strlen(id));
}

static enum qs_status list_ids(struct back *b, struct qs_error *err)
{
    for (;;) {
        struct qs_entry e = {0};
        enum qs_status status = b->format->next(b->queue, &e, NULL);
        if (status == QS_END)
            return QS_OK;
        if (status == QS_NOMEM || (status == QS_OK && !qs_table_at(b->taken, id_key(e.id), 1)))
            return qs_fail(err, QS_NOMEM, "out of memory");
    }
}

static enum qs_status leave_out(struct back *b, const char *id, const char *why, struct qs_error *err)
{
    struct qs_restored *d = b->done;
    struct qs_left_out *grown = talloc_realloc(b->parent, d->left, struct qs_left_out, d->left_count + 1);
    if (!grown)
        return qs_fail(err, QS_NOMEM, "out of memory");
    d->left = grown;
    d->left[d->left_count++] = (struct qs_left_out){talloc_strdup(grown, id), QS_LEFT_REFUSED, talloc_strdup(grown, why)};
    return QS_OK;
}

/* The path for a file of the message under its new ID; a message that was being delivered waits in deferred. */
static bool live_path(const struct back *b, const struct qs_archived *m, const char *name, const char *id, bool own,
                      char to[PATH_LONGEST])
{
    size_t length = strlen(name), old = strlen(m->id);
    if (length < old || strcmp(name + length - old, m->id) != 0)
        return false;
    size_t keep = length - old;
    int printed;
    if (own && b->to == QS_RESTORE_HELD)
        printed = snprintf(to, PATH_LONGEST, "hold/%s", id);
    else if (own && (strncmp(name, "active/", 7) == 0 || strncmp(name, "incoming/", 9) == 0))
        printed = snprintf(to, PATH_LONGEST, "incoming/%s", id);
    else
        printed = snprintf(to, PATH_LONGEST, "%.*s%s", (int)keep, name, id);
    return printed > 0 && printed < PATH_LONGEST;
}

static void staged_path(char to[PATH_LONGEST], const char *dir, uint32_t n, size_t file)
{
    snprintf(to, PATH_LONGEST, "@/%s/%u/%zu", dir, n, file);
}

static enum qs_status stage(struct back *b, const struct qs_archived *m, uint32_t n, struct qs_error *err)
{
    enum qs_status status = m->count > FILES_MOST ? qs_fail(err, QS_DATA, "%s: too many files", m->id) : QS_OK;
    for (size_t i = 0; status == QS_OK && i < m->count; i++) {
        const struct qs_archived_file *f = &m->files[i];
        struct stat like = {.st_uid = geteuid(), .st_gid = getegid(), .st_mode = S_IFREG | f->mode,
                            .st_atim = f->mtime, .st_mtim = f->mtime};
        char path[PATH_LONGEST];
        staged_path(path, "staging", n, i);
        status = qs_fs_create(b->fs, path, f->data, &like, true, err);
    }
    return status;
}

/* Moves a staged message into the queue. QS_GONE: that was done before. */
static enum qs_status bring_back(struct back *b, const struct qs_archived *m, uint32_t n, struct qs_error *err)
{
    char parked[PATH_LONGEST], live[PATH_LONGEST], id[ID_LONGEST];
    struct stat st;
    staged_path(parked, "staged", n, 0);
    enum qs_status status = qs_fs_stat(b->fs, parked, &st, err);
    if (status == QS_OK && !b->format->new_id(b->queue, m->id, st.st_ino, id, sizeof id))
        status = qs_fail(err, QS_USAGE, "its queue ID is none of %s", b->format->name);
    if (status == QS_OK && qs_table_get(b->taken, id_key(id), 0))
        status = qs_fail(err, QS_USAGE, "a message with its queue ID %s is in the queue", id);
    for (size_t i = 0; status == QS_OK && i < m->count; i++)
        if (!live_path(b, m, m->files[i].name, id, i == 0, live))
            status = qs_fail(err, QS_USAGE, "%s is not a file of this message", m->files[i].name);
    size_t left = m->count;
    while (status == QS_OK && left > 0) {
        (void)live_path(b, m, m->files[left - 1].name, id, left == 1, live);
        staged_path(parked, "staged", n, left - 1);
        status = qs_fs_move(b->fs, parked, live, err);
        struct stat now;
        if (status == QS_GONE && left > 1)
            status = QS_OK;             /* moved before a crash */
        else if (status == QS_IO && qs_fs_stat(b->fs, parked, &now, NULL) == QS_GONE &&
                 qs_fs_stat(b->fs, live, &now, NULL) == QS_OK)
            status = QS_OK;             /* moved, whatever the system said */
        left -= status == QS_OK;
    }
    /* without the message no file of it stays in the queue */
    for (size_t i = left; status != QS_OK && status != QS_GONE && i > 0 && i < m->count; i++) {
        (void)live_path(b, m, m->files[i].name, id, false, live);
        staged_path(parked, "staged", n, i);
        if (qs_fs_move(b->fs, live, parked, NULL) != QS_OK)
            break;
    }
    return status;
}

static enum qs_status check_mta(const struct back *b, const struct qs_archived *m, const char *archive, struct qs_error *err)
{
    return strcmp(m->mta, b->format->name) == 0
        ? QS_OK : qs_fail(err, QS_USAGE, "%s: of %s, this queue is of %s", archive, m->mta, b->format->name);
}

static bool is_wanted(const struct back *b, const char *id)
{
    return !b->wanted || qs_table_get(b->wanted, id_key(id), 0);
}

static enum qs_status stage_all(struct back *b, const char *archive, struct qs_error *err)
{
    struct qs_archive_reader *reader = NULL;
    struct qs_archived *m = NULL;
    struct stat st;
    uint32_t staged = 0;
    enum qs_status status = qs_fs_stat(b->fs, "@/staged", &st, err);
    if (status != QS_GONE)
        return status;                  /* complete already */
    status = qs_fs_stat(b->fs, "@/staging", &st, err);
    if (status == QS_OK)
        status = qs_fs_wipe(b->fs, "@/staging/", err);
    if (status == QS_OK || status == QS_GONE)
        status = qs_archive_open(NULL, archive, message_largest, &reader, err);
    for (uint32_t n = 0; status == QS_OK && (status = qs_archive_next(reader, &m, err)) == QS_OK; n++) {
        if (!is_wanted(b, m->id))
            continue;
        status = check_mta(b, m, archive, err);
        if (status == QS_OK)
            status = stage(b, m, n, err);
        staged += status == QS_OK;
    }
    talloc_free(reader);
    if (status == QS_END)
        status = qs_fs_sync(b->fs, err);
    if (status != QS_OK || staged == 0)
        return status;
    status = qs_fs_move(b->fs, "@/staging", "@/staged", err);
    return status == QS_OK ? qs_fs_sync(b->fs, err) : status;
}

static enum qs_status move_all(struct back *b, const char *archive, struct qs_error *err)
{
    struct qs_archive_reader *reader = NULL;
    struct qs_archived *m = NULL;
    enum qs_status status = qs_archive_open(NULL, archive, message_largest, &reader, err);
    for (uint32_t n = 0; status == QS_OK && (status = qs_archive_next(reader, &m, err)) == QS_OK; n++) {
        struct qs_error why = {""};
        if (!is_wanted(b, m->id))
            continue;
        status = bring_back(b, m, n, &why);
        if (status == QS_USAGE || status == QS_DATA) {
            status = leave_out(b, m->id, why.text, err);
            continue;
        }
        if (status != QS_OK && status != QS_GONE)
            (void)qs_fail(err, status, "%s: %s", m->id, why.text);
        else {
            status = QS_OK;
            b->done->messages++;
            b->done->bytes += m->size;
        }
    }
    talloc_free(reader);
    return status == QS_END ? qs_fs_sync(b->fs, err) : status;
}

static enum qs_status list_wanted(struct back *b, TALLOC_CTX *scratch, const char *const *ids, size_t count,
                                  struct qs_error *err)
{
    b->wanted = count ? qs_table_new(scratch, (uint32_t)count) : NULL;
    for (size_t i = 0; i < count; i++)
        if (!b->wanted || !qs_table_at(b->wanted, id_key(ids[i]), 1))
            return qs_fail(err, QS_NOMEM, "out of memory");
    return QS_OK;
}

enum qs_status qs_restore(TALLOC_CTX *parent, const char *archive, const char *const *ids, size_t count,
                          const struct qs_format *format, struct qs_queue *queue, struct qs_fs *fs, enum qs_restore_to to,
                          int64_t now, struct qs_restored *done, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct back b = {parent, format, queue, fs, to, now, qs_table_new(scratch, 1024), NULL, done};
    enum qs_status status = b.taken ? list_wanted(&b, scratch, ids, count, err) : qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        status = list_ids(&b, err);
    if (status == QS_OK)
        status = stage_all(&b, archive, err);
    if (status == QS_OK)
        status = move_all(&b, archive, err);
    talloc_free(scratch);
    return status;
}
