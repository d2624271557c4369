/* SPDX-License-Identifier: Apache-2.0 */
/* From an archive back into the queue. The files of a message are made in the run directory, then moved into the live queue in
 * the reverse of the order in which they were taken: logs and data first, the message's own file last, so that the MTA meets
 * it whole or not at all. */
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

/* Makes all files in the run directory, the message's own first; its inode number gives the ID. */
static enum qs_status make_files(struct back *b, const struct qs_archived *m, char parked[FILES_MOST][PATH_LONGEST],
                                 size_t *made, uint64_t *inode, struct qs_error *err)
{
    for (*made = 0; *made < m->count;) {
        const struct qs_archived_file *f = &m->files[*made];
        struct stat like = {.st_uid = geteuid(), .st_gid = getegid(), .st_mode = S_IFREG | f->mode,
                            .st_atim = f->mtime, .st_mtim = f->mtime};
        snprintf(parked[*made], PATH_LONGEST, "@/back/%s", f->name);
        enum qs_status status = qs_fs_create(b->fs, parked[*made], f->data, &like, true, err);
        if (status != QS_OK)
            return status;
        struct stat st;
        if ((*made)++ == 0) {
            status = qs_fs_stat(b->fs, parked[0], &st, err);
            if (status != QS_OK)
                return status;
            *inode = st.st_ino;
        }
    }
    return QS_OK;
}

static enum qs_status bring_back(struct back *b, const struct qs_archived *m, struct qs_error *err)
{
    char (*parked)[PATH_LONGEST] = talloc_size(NULL, (size_t)FILES_MOST * PATH_LONGEST);
    char (*live)[PATH_LONGEST] = talloc_size(NULL, (size_t)FILES_MOST * PATH_LONGEST);
    char id[ID_LONGEST];
    size_t made = 0, moved = 0;
    uint64_t inode = 0;
    enum qs_status status = !parked || !live ? qs_fail(err, QS_NOMEM, "out of memory")
        : m->count > FILES_MOST ? qs_fail(err, QS_DATA, "too many files") : QS_OK;
    if (status == QS_OK)
        status = make_files(b, m, parked, &made, &inode, err);
    if (status == QS_OK && !b->format->new_id(b->queue, m->id, inode, id, sizeof id))
        status = qs_fail(err, QS_USAGE, "its queue ID is none of %s", b->format->name);
    if (status == QS_OK && qs_table_get(b->taken, id_key(id), 0))
        status = qs_fail(err, QS_USAGE, "a message with its queue ID %s is in the queue", id);
    for (size_t i = 0; status == QS_OK && i < m->count; i++)
        if (!live_path(b, m, m->files[i].name, id, i == 0, live[i]))
            status = qs_fail(err, QS_USAGE, "%s is not a file of this message", m->files[i].name);
    while (status == QS_OK && moved < m->count) {
        size_t i = m->count - 1 - moved;
        status = qs_fs_move(b->fs, parked[i], live[i], err);
        moved += status == QS_OK;
    }
    if (status != QS_OK && parked && live) {
        for (size_t k = moved; k-- > 0;) {
            size_t i = m->count - 1 - k;
            if (qs_fs_move(b->fs, live[i], parked[i], NULL) != QS_OK)
                break;
        }
        for (size_t i = 0; i < made; i++)
            if (qs_fs_unlink(b->fs, parked[i], NULL) != QS_OK)
                break;
    }
    if (status == QS_OK) {
        b->done->messages++;
        b->done->bytes += m->size;
    }
    talloc_free(parked);
    talloc_free(live);
    return status;
}

static bool wanted(const char *id, const char *const *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(ids[i], id) == 0)
            return true;
    return count == 0;
}

enum qs_status qs_restore(TALLOC_CTX *parent, const char *archive, const char *const *ids, size_t count,
                          const struct qs_format *format, struct qs_queue *queue, struct qs_fs *fs, enum qs_restore_to to,
                          int64_t now, struct qs_restored *done, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_archive_reader *reader = NULL;
    struct qs_archived *m = NULL;
    struct back b = {parent, format, queue, fs, to, now, qs_table_new(scratch, 1024), done};
    enum qs_status status = b.taken ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        status = list_ids(&b, err);
    if (status == QS_OK)
        status = qs_archive_open(scratch, archive, message_largest, &reader, err);
    while (status == QS_OK && (status = qs_archive_next(reader, &m, err)) == QS_OK) {
        struct qs_error why = {""};
        if (!wanted(m->id, ids, count))
            continue;
        if (strcmp(m->mta, format->name) != 0)
            status = qs_fail(err, QS_USAGE, "%s: of %s, this queue is of %s", archive, m->mta, format->name);
        else {
            status = bring_back(&b, m, &why);
            if (status == QS_USAGE || status == QS_DATA)
                status = leave_out(&b, m->id, why.text, err);
            else if (status != QS_OK)
                qs_fail(err, status, "%s: %s", m->id, why.text);
        }
    }
    enum qs_status synced = qs_fs_sync(fs, status == QS_END ? err : NULL);
    talloc_free(scratch);
    return status == QS_END ? synced : status;
}
