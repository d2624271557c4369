/* SPDX-License-Identifier: Apache-2.0 */
/* An archive laid out as a queue again, in a directory of its own, so that the MTA's driver reads it as it reads any copy of a
 * queue: envelope, content, selection, verdicts. Nothing here changes a queue. */
#include "qsurgeon/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "fsops.h"
#include "qsurgeon/table.h"

struct unpacking {
    struct qs_unpacked *out;
    struct qs_fs *fs;
    struct qs_fs_made file;
    bool begun;
    uint64_t room;
    uint32_t size;              /* of out->messages */
};

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

struct top {                    /* the directory that mkdtemp made */
    char path[1];
};

static int remove_top(struct top *top)
{
    (void)nftw(top->path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    return 0;
}

static enum qs_status take(void *data, const struct qs_archived *m, size_t file, struct qs_span part, bool last,
                           struct qs_error *err)
{
    struct unpacking *u = data;
    const struct qs_archived_file *f = &m->files[file];
    enum qs_status status = QS_OK;
    if (!u->begun) {
        char path[1024];
        snprintf(path, sizeof path, "@/%s", f->name);
        uint64_t blocks = f->size + 4096;
        if (blocks > u->room)
            return qs_fail(err, QS_IO, "not room enough to unpack the archive in %s: half of what is free would not do; TMPDIR "
                           "names another place", u->out->dir);
        u->room -= blocks;
        status = qs_fs_make_begin(u->fs, path, &u->file, err);
        u->begun = status == QS_OK;
    }
    if (status == QS_OK)
        status = qs_fs_make_add(&u->file, part, err);
    if (status == QS_OK && last) {
        struct stat like = {.st_uid = geteuid(), .st_gid = getegid(), .st_mode = S_IFREG | f->mode | S_IRUSR,
                            .st_atim = f->atime, .st_mtim = f->mtime};
        u->begun = false;
        status = qs_fs_make_end(&u->file, &like, true, false, NULL, err);
    }
    return status;
}

static void drop(struct unpacking *u, const struct qs_archived *m)
{
    char path[1024];
    if (u->begun)
        qs_fs_make_abandon(&u->file);
    u->begun = false;
    for (size_t i = 0; i < m->count; i++) {
        snprintf(path, sizeof path, "@/%s", m->files[i].name);
        if (qs_fs_unlink(u->fs, path, NULL) != QS_OK)
            return;             /* goes with the directory */
    }
}

static enum qs_status keep(struct unpacking *u, const struct qs_archived *m, struct qs_error *err)
{
    struct qs_unpacked *out = u->out;
    if (out->count == u->size) {
        u->size = u->size ? u->size * 2 : 256;
        struct qs_unpacked_message *grown = talloc_realloc(out, out->messages, struct qs_unpacked_message, u->size);
        if (!grown)
            return qs_fail(err, QS_NOMEM, "out of memory");
        out->messages = grown;
    }
    struct qs_unpacked_message *to = &out->messages[out->count];
    /* one after the other: messages of a storm share their reason */
    const struct qs_unpacked_message *before = out->count ? to - 1 : NULL;
    *to = (struct qs_unpacked_message){
        .id = talloc_strdup(out->messages, m->id), .path = talloc_strdup(out->messages, m->files[0].name),
        .queue_name = before && strcmp(before->queue_name, m->queue_name) == 0 ? before->queue_name
                                                                               : talloc_strdup(out->messages, m->queue_name),
        .reason = before && strcmp(before->reason, m->reason) == 0 ? before->reason : talloc_strdup(out->messages, m->reason),
        .arrival = m->arrival, .size = m->size,
    };
    uint32_t known = qs_table_count(out->index);
    if (!to->id || !to->path || !to->queue_name || !to->reason ||
        !qs_table_at(out->index, XXH3_64bits(m->id, strlen(m->id)), out->count))
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (qs_table_count(out->index) == known)
        return qs_fail(err, QS_DATA, "damaged: two messages with the queue ID %.80s", m->id);
    out->count++;
    return QS_OK;
}

static enum qs_status unpack_one(struct unpacking *u, struct qs_archive_reader *reader, const struct qs_archived *m,
                                 struct qs_error *err)
{
    struct qs_unpacked *out = u->out;
    if (!out->mta) {
        out->mta = talloc_strdup(out, m->mta);
        out->host = m->host ? talloc_strdup(out, m->host) : NULL;
        if (!out->mta || (m->host && !out->host))
            return qs_fail(err, QS_NOMEM, "out of memory");
    }
    if (strcmp(out->mta, m->mta) != 0)
        return qs_fail(err, QS_DATA, "damaged: a message of the mail server \"%.40s\"", m->mta);
    enum qs_status status = qs_archive_read(reader, take, u, err);
    if (status == QS_OK)
        status = keep(u, m, err);
    if (status != QS_OK)
        drop(u, m);
    return status;
}

static enum qs_status make_place(struct unpacking *u, const char *place, struct qs_error *err)
{
    size_t size = strlen(place) + sizeof "/qsurgeon-XXXXXX";
    struct top *top = talloc_size(u->out, sizeof *top + size);
    if (!top)
        return qs_fail(err, QS_NOMEM, "out of memory");
    talloc_set_name_const(top, "struct top");
    snprintf(top->path, size, "%s/qsurgeon-XXXXXX", place);
    if (!mkdtemp(top->path))
        return qs_fail_errno(err, errno, "%s: cannot make a directory for the archive; TMPDIR names another place", place);
    talloc_set_destructor(top, remove_top);
    u->out->place = top;
    u->out->dir = talloc_asprintf(u->out, "%s/" QS_RUN_BASE "/queue", top->path);
    if (!u->out->dir)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = qs_fs_open(u->out, top->path, &u->fs, err);
    if (status == QS_OK)
        status = qs_fs_run(u->fs, "queue", err);
    if (status == QS_OK)
        status = qs_fs_room(u->fs, &u->room, err);
    u->room /= 2;
    return status;
}

enum qs_status qs_unpack(TALLOC_CTX *parent, const char *archive, int fd, const char *place, bool damaged,
                         bool (*keep_going)(void), struct qs_unpacked **out, struct qs_error *err)
{
    struct unpacking u = {.out = talloc_zero(parent, struct qs_unpacked)};
    struct qs_archive_reader *reader = NULL;
    struct qs_archived *m = NULL;
    if (!u.out || !(u.out->index = qs_table_new(u.out, 1024))) {
        talloc_free(u.out);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    enum qs_status status = fd >= 0 ? qs_archive_open_fd(u.out, fd, archive, &qs_archive_unlimited, &reader, err)
                                    : qs_archive_open(u.out, archive, &qs_archive_unlimited, &reader, err);
    if (status == QS_OK)
        status = make_place(&u, place, err);
    while (status == QS_OK && (status = qs_archive_next(reader, &m, err)) == QS_OK)
        status = keep_going && !keep_going() ? qs_fail(err, QS_BUSY, "stopped by a signal: nothing was done")
                                             : unpack_one(&u, reader, m, err);
    talloc_free(reader);
    talloc_free(u.fs);
    if (status == QS_END && u.out->count == 0)
        status = qs_fail(err, QS_DATA, "%s: not an archive of qsurgeon: there is no message in it", archive);
    if (status == QS_DATA && damaged && u.out->count > 0) {
        memcpy(u.out->damage, err->text, sizeof u.out->damage);
        status = QS_END;
    }
    if (status != QS_END) {
        talloc_free(u.out);
        return status;
    }
    *out = u.out;
    return QS_OK;
}

void qs_unpacked_close(struct qs_unpacked *unpacked)
{
    talloc_free(unpacked->place);
    unpacked->place = NULL;
}

/* --- the verdicts of then --------------------------------------------------------------------------------------------- */

/* "storm botnet-campaign C-2be01dac": what plan.c wrote. False: something else. */
static bool parse_reason(const char *reason, uint8_t *verdict, uint8_t *cause, struct qs_span *cluster)
{
    struct qs_span word[3] = {{NULL, 0}};
    enum qs_verdict v;
    enum qs_cause c;
    for (unsigned i = 0; i < 3 && *reason; i++) {
        size_t length = strcspn(reason, " ");
        word[i] = (struct qs_span){reason, length};
        reason += length + (reason[length] == ' ');
    }
    if (!qs_verdict_parse(word[0], &v) || !qs_cause_parse(word[1], &c))
        return false;
    *verdict = (uint8_t)v;
    *cause = (uint8_t)c;
    *cluster = word[2].len > 0 && word[2].len < QS_CLUSTER_NAME ? word[2] : (struct qs_span){NULL, 0};
    return true;
}

static void add_to_group(struct qs_group *group, const struct qs_message *m)
{
    if (group->count == 0 || m->arrival < group->oldest)
        group->oldest = m->arrival;
    if (group->count == 0 || m->arrival > group->newest)
        group->newest = m->arrival;
    group->count++;
    group->bytes += m->size;
}

enum qs_status qs_unpacked_recall(const struct qs_unpacked *unpacked, struct qs_view *view, struct qs_error *err)
{
    struct qs_judgement *j = view->judgement;
    const struct qs_scan *scan = view->scan;
    struct qs_table *known = qs_table_new(j, 256);
    struct qs_group *groups = talloc_array(j, struct qs_group, scan->count + 1);
    uint32_t *group_of = talloc_array(j, uint32_t, scan->count + 1), *member = talloc_array(j, uint32_t, scan->count + 1);
    uint32_t count = 0;
    if (!known || !groups || !group_of || !member)
        return qs_fail(err, QS_NOMEM, "out of memory");
    memset(j->total, 0, sizeof j->total);
    memset(j->bytes, 0, sizeof j->bytes);
    for (uint32_t i = 0; i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        uint32_t at = qs_table_get(unpacked->index, XXH3_64bits(m->id, strlen(m->id)), UINT32_MAX);
        struct qs_span cluster = {NULL, 0};
        group_of[i] = QS_NO_CLUSTER;
        if (at != UINT32_MAX && parse_reason(unpacked->messages[at].reason, &j->of[i].verdict, &j->of[i].cause, &cluster) &&
            cluster.len > 0) {
            uint32_t *g = qs_table_at(known, XXH3_64bits(cluster.ptr, cluster.len), count);
            if (!g)
                return qs_fail(err, QS_NOMEM, "out of memory");
            if (*g == count) {
                groups[count] = (struct qs_group){.verdict = j->of[i].verdict, .cause = j->of[i].cause, .sample = i};
                memcpy(groups[count++].name, cluster.ptr, cluster.len);
            }
            group_of[i] = *g;
            add_to_group(&groups[*g], m);
        }
        j->total[j->of[i].verdict]++;
        j->bytes[j->of[i].verdict] += m->size;
    }
    uint32_t first = 0;
    for (uint32_t g = 0; g < count; g++) {
        groups[g].first = first;
        first += groups[g].count;
        groups[g].count = 0;
    }
    for (uint32_t i = 0; i < scan->count; i++)
        if (group_of[i] != QS_NO_CLUSTER)
            member[groups[group_of[i]].first + groups[group_of[i]].count++] = i;
    talloc_free(known);
    j->group = groups;
    j->group_count = count;
    j->group_of = group_of;
    j->member = member;
    return QS_OK;
}
