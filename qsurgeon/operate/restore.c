/* SPDX-License-Identifier: Apache-2.0 */
/* From an archive back into the queue. Files are made in the run directory first; when those of all messages are there and
 * synced, they are moved into the live queue, in the reverse of the order in which they were taken: logs and data first, the
 * message's own file last, so that the MTA meets it whole or not at all.
 *
 * For the undo of a purge, @/staging becomes @/staged by one rename when it is complete: after a crash the directory tells how
 * far it came, and no message comes back twice. A restore that is a run of its own has a journal for that. */
#include "qsurgeon/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "qsurgeon/table.h"
#include "run.h"

enum { PATH_LONGEST = 700, ID_LONGEST = 256, ATTEMPTS = 64 };

static uint64_t id_key(const char *id)
{
    return XXH3_64bits(id, strlen(id));
}

/* --- files ------------------------------------------------------------------------------------------------------------ */

/* The files of one message as they are made in the run directory: @/<dir>/<a thousand of n>/<n>.<number of the file>. */
struct staging {
    struct qs_fs *fs;
    const char *dir, *host;             /* this host; NULL: the owner is not kept */
    uint32_t n;
    struct qs_fs_made file;
    bool begun;
    uint64_t inode[QS_RUN_FILES_MOST];
};

static void staged_path(char to[PATH_LONGEST], const char *dir, uint32_t n, size_t file)
{
    snprintf(to, PATH_LONGEST, "@/%s/%u/%u.%zu", dir, n / 1000, n, file);
}

static struct stat like_of(const struct qs_archived_file *f, const struct staging *s, const struct qs_archived *m)
{
    struct stat like = {.st_uid = geteuid(), .st_gid = getegid(), .st_mode = S_IFREG | f->mode, .st_atim = f->atime,
                        .st_mtim = f->mtime};
    /* user numbers mean something on their own host only, and only root may give files away */
    if (f->has_owner && s->host && m->host && strcmp(s->host, m->host) == 0 && geteuid() == 0) {
        like.st_uid = f->uid;
        like.st_gid = f->gid;
    }
    return like;
}

static enum qs_status take_staged(void *data, const struct qs_archived *m, size_t file, struct qs_span part, bool last,
                                  struct qs_error *err)
{
    struct staging *s = data;
    enum qs_status status = QS_OK;
    if (!s->begun) {
        char path[PATH_LONGEST];
        staged_path(path, s->dir, s->n, file);
        status = qs_fs_make_begin(s->fs, path, &s->file, err);
        s->begun = status == QS_OK;
    }
    if (status == QS_OK)
        status = qs_fs_make_add(&s->file, part, err);
    if (status == QS_OK && last) {
        struct stat like = like_of(&m->files[file], s, m), made;
        s->begun = false;
        status = qs_fs_make_end(&s->file, &like, true, false, &made, err);
        if (status == QS_OK)
            s->inode[file] = made.st_ino;
    }
    return status;
}

static enum qs_status stage(struct staging *s, struct qs_archive_reader *reader, const struct qs_archived *m, uint32_t n,
                            struct qs_error *err)
{
    if (m->count > QS_RUN_FILES_MOST)
        return qs_fail(err, QS_DATA, "%s: too many files", m->id);
    s->n = n;
    s->begun = false;
    enum qs_status status = qs_archive_read(reader, take_staged, s, err);
    if (s->begun)
        qs_fs_make_abandon(&s->file);
    return status;
}

static enum qs_status list_ids(const struct qs_format *format, struct qs_queue *queue, struct qs_table *taken,
                               struct qs_error *err)
{
    for (;;) {
        struct qs_entry e = {0};
        enum qs_status status = format->next(queue, &e, NULL);
        if (status == QS_END)
            return QS_OK;
        if (status == QS_NOMEM || (status == QS_OK && !qs_table_at(taken, id_key(e.id), 1)))
            return qs_fail(err, QS_NOMEM, "out of memory");
    }
}

/* --- for undo --------------------------------------------------------------------------------------------------------- */

struct back {
    TALLOC_CTX *parent;
    const struct qs_format *format;
    struct qs_queue *queue;
    struct qs_fs *fs;
    struct qs_table *taken;         /* digests of the queue IDs that are in the queue */
    struct qs_table *wanted;        /* of those that shall come back */
    const struct qs_operate *how;
    struct qs_restored *done;
};

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

/* Moves a staged message into the queue. QS_GONE: that was done before. */
static enum qs_status bring_back(struct back *b, const struct qs_archived *m, uint32_t n, struct qs_error *err)
{
    char parked[PATH_LONGEST], live[PATH_LONGEST], id[ID_LONGEST];
    const char *own = m->files[0].name;
    struct stat st;
    staged_path(parked, "staged", n, 0);
    enum qs_status status = qs_fs_stat(b->fs, parked, &st, err);
    if (status == QS_OK && !b->format->new_id(b->queue, m->id, st.st_ino, 0, id, sizeof id))
        status = qs_fail(err, QS_USAGE, "its queue ID is none of %s", b->format->name);
    if (status == QS_OK && qs_table_get(b->taken, id_key(id), 0))
        status = qs_fail(err, QS_USAGE, "a message with its queue ID %s is in the queue", id);
    for (size_t i = 0; status == QS_OK && i < m->count; i++)
        if (!b->format->place(b->queue, own, m->files[i].name, m->id, id, live, sizeof live))
            status = qs_fail(err, QS_USAGE, "%s is not a file of this message", m->files[i].name);
    size_t left = m->count;
    while (status == QS_OK && left > 0) {
        (void)b->format->place(b->queue, own, m->files[left - 1].name, m->id, id, live, sizeof live);
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
        (void)b->format->place(b->queue, own, m->files[i].name, m->id, id, live, sizeof live);
        staged_path(parked, "staged", n, i);
        if (qs_fs_move(b->fs, live, parked, NULL) != QS_OK)
            break;
    }
    return status;
}

static enum qs_status check_mta(const struct qs_format *format, const struct qs_archived *m, const char *archive,
                                struct qs_error *err)
{
    return strcmp(m->mta, format->name) == 0
        ? QS_OK : qs_fail(err, QS_USAGE, "%s: of %s, this queue is of %s", archive, m->mta, format->name);
}

static enum qs_status stage_all(struct back *b, const char *archive, struct qs_error *err)
{
    struct qs_archive_reader *reader = NULL;
    struct qs_archived *m = NULL;
    struct stat st;
    char host[256] = "";
    struct staging s = {.fs = b->fs, .dir = "staging", .host = gethostname(host, sizeof host - 1) == 0 ? host : NULL};
    uint32_t staged = 0;
    enum qs_status status = qs_fs_stat(b->fs, "@/staged", &st, err);
    if (status != QS_GONE)
        return status;                  /* complete already */
    status = qs_fs_stat(b->fs, "@/staging", &st, err);
    if (status == QS_OK)
        status = qs_fs_wipe(b->fs, "@/staging/", err);
    if (status == QS_OK || status == QS_GONE)
        status = qs_archive_open(NULL, archive, &qs_archive_unlimited, &reader, err);
    for (uint32_t n = 0; status == QS_OK && (status = qs_archive_next(reader, &m, err)) == QS_OK; n++) {
        if (!qs_table_get(b->wanted, id_key(m->id), 0))
            continue;
        b->done->stopped = b->how->keep_going && !b->how->keep_going(b->how->data, 0, qs_table_count(b->wanted));
        if (b->done->stopped)
            break;
        status = check_mta(b->format, m, archive, err);
        if (status == QS_OK)
            status = stage(&s, reader, m, n, err);
        staged += status == QS_OK;
    }
    talloc_free(reader);
    if (status == QS_END)
        status = qs_fs_sync_all(b->fs, err);
    if (status != QS_OK || staged == 0 || b->done->stopped)
        return status;
    status = qs_fs_move(b->fs, "@/staging", "@/staged", err);
    return status == QS_OK ? qs_fs_sync(b->fs, err) : status;
}

static enum qs_status move_all(struct back *b, const char *archive, struct qs_error *err)
{
    struct qs_archive_reader *reader = NULL;
    struct qs_archived *m = NULL;
    enum qs_status status = qs_archive_open(NULL, archive, &qs_archive_unlimited, &reader, err);
    for (uint32_t n = 0; status == QS_OK && (status = qs_archive_next(reader, &m, err)) == QS_OK; n++) {
        struct qs_error why = {""};
        if (!qs_table_get(b->wanted, id_key(m->id), 0))
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

enum qs_status qs_restore(TALLOC_CTX *parent, const char *archive, const char *const *ids, size_t count,
                          const struct qs_format *format, struct qs_queue *queue, struct qs_fs *fs,
                          const struct qs_operate *how, struct qs_restored *done, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct back b = {parent, format, queue, fs, qs_table_new(scratch, 1024), qs_table_new(scratch, (uint32_t)count), how, done};
    enum qs_status status = b.taken && b.wanted ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
    for (size_t i = 0; status == QS_OK && i < count; i++)
        if (!qs_table_at(b.wanted, id_key(ids[i]), 1))
            status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        status = list_ids(format, queue, b.taken, err);
    if (status == QS_OK)
        status = stage_all(&b, archive, err);
    if (status == QS_OK && !done->stopped)
        status = move_all(&b, archive, err);
    talloc_free(scratch);
    return status;
}

/* --- a run of its own ------------------------------------------------------------------------------------------------- */

struct restoring {
    struct run *run;
    TALLOC_CTX *memory;
    struct qs_archive_reader *reader;
    struct qs_table *taken;             /* queue IDs that are in the queue, or given by this run */
    struct qs_table *item_of;           /* queue ID → index of the plan's items that have to be done */
    struct qs_table *came_back;
    struct staging staging;
    uint64_t room;                      /* bytes that may be taken on the file system of the queue */
    struct qs_move **moves;             /* of each item; NULL: not staged */
    size_t *move_count;
    uint32_t left;                      /* items still to be found in the archive */
};

static enum qs_status begin(struct restoring *r, struct qs_error *err)
{
    struct run *run = r->run;
    const struct qs_plan *plan = run->plan;
    r->taken = qs_table_new(r->memory, 1024);
    r->item_of = qs_table_new(r->memory, plan->count);
    r->moves = talloc_zero_array(r->memory, struct qs_move *, plan->count + 1);
    r->move_count = talloc_zero_array(r->memory, size_t, plan->count + 1);
    if (!r->taken || !r->item_of || !r->moves || !r->move_count)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (uint32_t n = 0; n < plan->count; n++)
        if (qs_run_needs_work(run, n) && !qs_table_at(r->item_of, id_key(plan->items[n].id), n))
            return qs_fail(err, QS_NOMEM, "out of memory");
    r->left = qs_table_count(r->item_of);
    r->staging = (struct staging){.fs = run->fs, .dir = "staged", .host = plan->host};
    enum qs_status status = list_ids(run->format, run->queue, r->taken, err);
    if (status == QS_OK)
        status = qs_came_back(r->memory, run->how->state_dir, &r->came_back, NULL, err);
    if (status == QS_OK)
        status = qs_fs_wipe(run->fs, "@/staged/", err);     /* of a process that was stopped: nothing of it was moved */
    if (status == QS_OK)
        status = qs_fs_room(run->fs, &r->room, err);
    r->room /= 2;
    if (status == QS_OK)
        status = run->how->archive_fd >= 0
            ? qs_archive_open_fd(r->memory, run->how->archive_fd, plan->archive, &qs_archive_unlimited, &r->reader, err)
            : qs_archive_open(r->memory, plan->archive, &qs_archive_unlimited, &r->reader, err);
    return status;
}

/* Is it the message that was planned, and may it come back? QS_USAGE: it is left out, for the reason in *why. */
static enum qs_status examine(struct restoring *r, const struct qs_archived *m, uint32_t n, struct qs_error *why)
{
    const struct qs_plan *plan = r->run->plan;
    const struct qs_plan_item *item = &plan->items[n];
    if (strcmp(item->path, m->files[0].name) != 0 || item->arrival != m->arrival || item->size != m->size)
        return qs_fail(why, QS_USAGE, "the archive has another message of this queue ID than was planned");
    if (plan->again)
        return QS_OK;
    if (qs_table_get(r->taken, id_key(m->id), 0))
        return qs_fail(why, QS_USAGE, "a message with its queue ID is in the queue; --again brings it nevertheless");
    if (qs_table_get(r->came_back, qs_came_back_key(m->id, m->arrival, m->size), 0))
        return qs_fail(why, QS_USAGE, "was brought back before; --again brings it once more");
    return QS_OK;
}

static enum qs_status take_room(struct restoring *r, const struct qs_archived *m, struct qs_error *err)
{
    for (size_t i = 0; i < m->count; i++) {
        uint64_t blocks = m->files[i].size + 4096;
        if (blocks > r->room)
            return qs_fail(err, QS_IO, "not room enough in the queue's file system: half of what is free would not do");
        r->room -= blocks;
    }
    return QS_OK;
}

/* The staged files' way into the queue. QS_USAGE: it has none. */
static enum qs_status describe(struct restoring *r, const struct qs_archived *m, uint32_t n, struct qs_error *why)
{
    const struct run *run = r->run;
    char id[ID_LONGEST], path[PATH_LONGEST];
    unsigned attempt = 0;
    bool fits;
    do
        fits = run->format->new_id(run->queue, m->id, r->staging.inode[0], attempt++, id, sizeof id);
    while (fits && attempt < ATTEMPTS && qs_table_get(r->taken, id_key(id), 0));
    if (!fits || attempt == ATTEMPTS)
        return qs_fail(why, QS_USAGE, "its queue ID is none of %s, or there is no free one", run->format->name);
    struct qs_move *moves = talloc_zero_array(r->moves, struct qs_move, (unsigned)m->count);
    if (!moves)
        return qs_fail(why, QS_NOMEM, "out of memory");
    for (size_t i = 0; i < m->count; i++) {
        size_t file = m->count - 1 - i;         /* its own file last */
        struct qs_move *move = &moves[i];
        if (!run->format->place(run->queue, m->files[0].name, m->files[file].name, m->id, id, path, sizeof path)) {
            talloc_free(moves);
            return qs_fail(why, QS_USAGE, "%s has no place in this queue", m->files[file].name);
        }
        *move = (struct qs_move){.kind = QS_STEP_MOVE, .log = file > 0, .inode = r->staging.inode[file],
                                 .to = talloc_strdup(moves, path)};
        staged_path(path, "staged", n, file);
        move->from = talloc_strdup(moves, path);
        if (!move->from || !move->to)
            return qs_fail(why, QS_NOMEM, "out of memory");
    }
    if (!qs_table_at(r->taken, id_key(id), 1))
        return qs_fail(why, QS_NOMEM, "out of memory");
    r->moves[n] = moves;
    r->move_count[n] = m->count;
    return QS_OK;
}

static enum qs_status stage_one(struct restoring *r, const struct qs_archived *m, uint32_t n, struct qs_error *err)
{
    struct run *run = r->run;
    struct qs_error why = {""};
    char prefix[PATH_LONGEST];
    enum qs_status status = check_mta(run->format, m, run->plan->archive, err);
    if (status != QS_OK)
        return status;
    status = examine(r, m, n, &why);
    if (status == QS_USAGE)
        return qs_run_note(run, n, QS_LEFT_REFUSED, why.text, err);
    status = take_room(r, m, err);
    if (status == QS_OK)
        status = stage(&r->staging, r->reader, m, n, err);
    if (status != QS_OK)
        return status;
    status = describe(r, m, n, &why);
    if (status == QS_OK)
        return qs_journal_moves(run->journal, n, r->moves[n], r->move_count[n], err);
    if (status != QS_USAGE)
        return qs_fail(err, status, "%s", why.text);
    snprintf(prefix, sizeof prefix, "@/staged/%u/", n);
    status = qs_fs_wipe(run->fs, prefix, err);
    return status == QS_OK ? qs_run_note(run, n, QS_LEFT_REFUSED, why.text, err) : status;
}

/* Nothing was moved yet: what was staged is taken away, and the journal told that it waits. */
static void give_up(struct restoring *r)
{
    struct run *run = r->run;
    enum qs_status status = QS_OK;
    for (uint32_t n = 0; status == QS_OK && n < run->plan->count; n++) {
        run->result->count[QS_NOT_REACHED] += r->moves[n] != NULL;
        if (r->moves[n])
            status = qs_journal_outcome(run->journal, n, false, QS_NOT_REACHED, "", NULL);
    }
    run->result->count[QS_NOT_REACHED] += r->left;
    if (status != QS_OK || qs_journal_sync(run->journal, NULL) != QS_OK || qs_fs_wipe(run->fs, "@/staged/", NULL) != QS_OK)
        return;                 /* resume or undo does it */
}

static enum qs_status stage_wanted(struct restoring *r, struct qs_error *err)
{
    struct run *run = r->run;
    struct qs_archived *m = NULL;
    enum qs_status status = QS_OK;
    while (status == QS_OK && r->left > 0 && !run->result->stopped && (status = qs_archive_next(r->reader, &m, err)) == QS_OK) {
        uint32_t *at = NULL;
        if (qs_table_get(r->item_of, id_key(m->id), UINT32_MAX) != UINT32_MAX)
            at = qs_table_at(r->item_of, id_key(m->id), UINT32_MAX);
        if (!at || *at == UINT32_MAX || strcmp(run->plan->items[*at].id, m->id) != 0)
            continue;
        uint32_t n = *at;
        *at = UINT32_MAX;
        status = stage_one(r, m, n, err);
        r->left -= status == QS_OK;
        (void)qs_run_stopped(run, 0);
    }
    for (uint32_t n = 0; status == QS_END && n < run->plan->count; n++)
        if (qs_table_get(r->item_of, id_key(run->plan->items[n].id), UINT32_MAX) == n) {
            enum qs_status noted = qs_run_note(run, n, QS_LEFT_GONE, "the archive has no such message", err);
            status = noted == QS_OK ? status : noted;
            r->left--;
        }
    return status == QS_END ? QS_OK : status;
}

static enum qs_status move_wanted(struct restoring *r, struct qs_error *err)
{
    struct run *run = r->run;
    enum qs_status status = QS_OK;
    for (uint32_t n = 0; status == QS_OK && n < run->plan->count; n++) {
        struct qs_error why = {""};
        bool intact = true;
        if (!r->moves[n])
            continue;
        if (run->result->stopped) {
            status = qs_run_note(run, n, QS_NOT_REACHED, "", err);
            continue;
        }
        enum qs_status moved = qs_moves_perform(run->fs, r->moves[n], r->move_count[n], QS_LOCK_NONE, &intact, &why);
        enum qs_outcome outcome = !intact ? QS_FAILED : moved == QS_DATA ? QS_LEFT_REFUSED : qs_run_outcome(moved);
        status = qs_run_note(run, n, outcome, why.text, err);
        if (status == QS_OK && (!intact || outcome == QS_FAILED))
            status = qs_fail(err, QS_IO, "%s: %s; `resume %s` goes on, `undo %s` takes back", run->plan->items[n].id, why.text,
                             run->result->run, run->result->run);
        (void)qs_run_stopped(run, run->result->count[QS_DONE]);
    }
    enum qs_status synced = qs_fs_sync(run->fs, status == QS_OK ? err : NULL);
    enum qs_status told = qs_journal_sync(run->journal, status == QS_OK && synced == QS_OK ? err : NULL);
    return status != QS_OK ? status : synced != QS_OK ? synced : told;
}

enum qs_status qs_run_restore(struct run *run, struct qs_error *err)
{
    struct restoring r = {.run = run, .memory = talloc_new(NULL)};
    enum qs_status status = begin(&r, err);
    if (status == QS_OK)
        status = stage_wanted(&r, err);
    if (status == QS_OK)
        status = qs_fs_sync_all(run->fs, err);
    if (status == QS_OK)
        status = qs_journal_sync(run->journal, err);
    if (status != QS_OK)
        give_up(&r);
    else
        status = move_wanted(&r, err);
    if (status == QS_OK && !run->result->stopped)
        status = qs_fs_wipe(run->fs, "@/staged/", err);     /* what was refused */
    talloc_free(r.memory);
    return status;
}

/* --- the plan --------------------------------------------------------------------------------------------------------- */

uint64_t qs_came_back_key(const char *id, int64_t arrival, uint64_t size)
{
    return qs_mix64(id_key(id) ^ qs_mix64((uint64_t)arrival ^ qs_mix64(size)));
}

static bool is_there(const struct qs_restore_wish *wish, const struct qs_table *taken, const struct qs_table *back,
                     const struct qs_unpacked_message *m)
{
    return !wish->again && (qs_table_get(taken, id_key(m->id), 0) ||
                            qs_table_get(back, qs_came_back_key(m->id, m->arrival, m->size), 0));
}

static enum qs_status doubt(struct qs_plan *plan, const char *id, struct qs_error *err)
{
    plan->doubtful = talloc_asprintf(plan, "%s%s%s", plan->doubtful ? plan->doubtful : "", plan->doubtful ? ", " : "", id);
    return plan->doubtful ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
}

enum qs_status qs_restore_plan(TALLOC_CTX *parent, const struct qs_unpacked *unpacked, const struct qs_view *view,
                               const uint8_t *selected, const struct qs_restore_wish *wish, const struct qs_instance *instance,
                               struct qs_queue *queue, struct qs_plan **out, struct qs_error *err)
{
    const struct qs_scan *scan = view->scan;
    struct stat st;
    if (!wish->resubmit && strcmp(instance->format->name, unpacked->mta) != 0)
        return qs_fail(err, QS_USAGE, "this is an archive of %s, and the queue is of %s: --resubmit hands its messages over",
                       unpacked->mta, instance->format->name);
    if (stat(instance->queue_dir, &st) != 0)
        return qs_fail_errno(err, errno, "%s", instance->queue_dir);
    struct qs_plan *plan = talloc_zero(parent, struct qs_plan);
    if (plan)
        plan->items = talloc_array(plan, struct qs_plan_item, scan->count + 1);
    struct qs_table *taken = qs_table_new(plan, 1024), *back = NULL;
    if (!plan || !plan->items || !taken) {
        talloc_free(plan);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    *plan = (struct qs_plan){
        .host = wish->host, .mta = instance->format->name, .instance = instance->name, .queue_dir = instance->queue_dir,
        .config = instance->config, .tool = QS_VERSION, .words = wish->words, .made = view->now, .device = st.st_dev,
        .action = QS_ACT_RESTORE, .archive = wish->archive, .again = wish->again, .resubmit = wish->resubmit,
        .items = plan->items,
    };
    enum qs_status status = queue ? list_ids(instance->format, queue, taken, err) : QS_OK;
    if (status == QS_OK)
        status = qs_came_back(plan, wish->state_dir, &back, NULL, err);
    for (uint32_t i = 0; status == QS_OK && i < scan->count; i++) {
        const char *id = scan->messages[i].id;
        uint32_t at = qs_table_get(unpacked->index, id_key(id), UINT32_MAX);
        if ((selected && !selected[i]) || at == UINT32_MAX)
            continue;
        const struct qs_unpacked_message *m = &unpacked->messages[at];
        if (is_there(wish, taken, back, m)) {
            plan->left_there++;
            if (qs_table_get(back, qs_came_back_key(m->id, m->arrival, m->size), 0) == QS_CAME_BACK_DOUBT)
                status = doubt(plan, id, err);
            continue;
        }
        plan->items[plan->count++] = (struct qs_plan_item){
            .id = id, .queue_name = m->queue_name, .path = m->path, .reason = m->reason, .size = m->size, .arrival = m->arrival,
            .digest = scan->messages[i].digest,
        };
        plan->bytes += m->size;
    }
    if (status == QS_OK && plan->count == 0)
        status = plan->left_there
            ? qs_fail(err, QS_USAGE, "nothing to do: all %u selected messages are in the queue or were brought back before; --again "
                      "brings them once more%s%s", plan->left_there, plan->doubtful ? "; may have been handed over: " : "",
                      plan->doubtful ? plan->doubtful : "")
            : qs_fail(err, QS_USAGE, "nothing to do: no message of the archive is selected");
    if (status == QS_OK)
        *out = plan;
    else
        talloc_free(plan);
    return status;
}
