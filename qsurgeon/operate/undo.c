/* SPDX-License-Identifier: Apache-2.0 */
/* What became of runs: listing, resuming, reversing them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qsurgeon/archive.h"
#include "qsurgeon/restore.h"
#include "run.h"

/* --- listing ---------------------------------------------------------------------------------------------------------- */

static bool is_run_name(const char *name)
{
    size_t length = strspn(name, "0123456789abcdefghijklmnopqrstuvwxyz-");
    return length > 15 && length < 64 && name[length] == '\0';
}

/* Reads the plan of a run, all of it or its head; *dir is the directory of the run. */
static enum qs_status load_plan(TALLOC_CTX *parent, const char *state_dir, const char *run, bool whole, char **dir,
                                struct qs_plan **plan, struct qs_error *err)
{
    if (!is_run_name(run))
        return qs_fail(err, QS_USAGE, "%s: not the name of a run; `qsurgeon log` lists them", run);
    *dir = talloc_asprintf(parent, "%s/%s", state_dir, run);
    char *path = *dir ? talloc_asprintf(parent, "%s/plan.jsonl", *dir) : NULL;
    if (!path)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = whole ? qs_plan_read(parent, path, false, plan, err) : qs_plan_read_head(parent, path, plan, err);
    return status == QS_GONE ? qs_fail(err, QS_USAGE, "%s: no such run; `qsurgeon log` lists them", run) : status;
}

static enum qs_status load(TALLOC_CTX *parent, const char *state_dir, const char *run, struct qs_plan **plan,
                           struct qs_past **past, struct qs_error *err)
{
    char *dir = NULL;
    enum qs_status status = load_plan(parent, state_dir, run, true, &dir, plan, err);
    return status == QS_OK ? qs_journal_read(parent, dir, (*plan)->count, past, err) : status;
}

static enum qs_status skim(TALLOC_CTX *parent, const char *state_dir, const char *run, struct qs_plan **plan,
                           struct qs_past **past, struct qs_error *err)
{
    char *dir = NULL;
    enum qs_status status = load_plan(parent, state_dir, run, false, &dir, plan, err);
    return status == QS_OK ? qs_journal_skim(parent, dir, (*plan)->count, past, err) : status;
}

enum qs_status qs_run_describe(TALLOC_CTX *parent, const char *state_dir, const char *name, struct qs_run *out,
                               struct qs_error *err)
{
    struct qs_plan *plan = NULL;
    struct qs_past *past = NULL;
    TALLOC_CTX *scratch = talloc_new(NULL);
    enum qs_status status = skim(scratch, state_dir, name, &plan, &past, err);
    if (status == QS_OK) {
        struct qs_run run = {
            .name = talloc_strdup(parent, name), .mta = talloc_strdup(parent, plan->mta),
            .queue_dir = talloc_strdup(parent, plan->queue_dir), .config = talloc_strdup(parent, plan->config),
            .host = talloc_strdup(parent, plan->host), .words = talloc_strdup(parent, plan->words), .action = plan->action,
            .made = plan->made, .count = plan->count, .done = past->done,
            .in_doubt = past->end ? 0 : past->in_doubt,         /* what a run was stopped before has no outcome either */
            /* an undo that was begun and not ended waits to be finished, too */
            .finished = past->end && (!past->undoing || past->undone), .undoing = past->undoing && !past->undone,
            .undone = past->undone, .waits = past->undone && past->waits,
            .archived = past->archived,
            .archive = past->archived && past->archive ? talloc_strdup(parent, past->archive) : NULL,
        };
        if (run.name && run.mta && run.queue_dir && run.host && run.words)
            *out = run;
        else
            status = qs_fail(err, QS_NOMEM, "out of memory");
    }
    talloc_free(scratch);
    return status;
}

/* Is that the end of the run's journal? */
static bool ends_with(const char *state_dir, const char *name, struct qs_span end)
{
    char last[40], *path = talloc_asprintf(NULL, "%s/%s/journal.jsonl", state_dir, name);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    bool found = size >= (off_t)end.len && end.len <= sizeof last &&
                 pread(fd, last, end.len, size - (off_t)end.len) == (ssize_t)end.len && memcmp(last, end.ptr, end.len) == 0;
    if (fd >= 0)
        close(fd);
    talloc_free(path);
    return found;
}

static bool is_undone(const char *state_dir, const char *name)
{
    return ends_with(state_dir, name, QS_SPAN("\n{\"undone\":true}\n"));
}

static bool waits(const char *state_dir, const char *name)
{
    return ends_with(state_dir, name, QS_SPAN("\n{\"waits\":true}\n{\"undone\":true}\n"));
}

bool qs_run_at_end(const char *state_dir, const char *name)
{
    return ends_with(state_dir, name, QS_SPAN("\n{\"end\":true}\n")) || is_undone(state_dir, name);
}

static int is_run_entry(const struct dirent *entry)
{
    return is_run_name(entry->d_name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

enum qs_status qs_run_names(TALLOC_CTX *parent, const char *state_dir, char ***names, size_t *count, struct qs_error *err)
{
    struct dirent **list = NULL;
    int found = scandir(state_dir, &list, is_run_entry, by_name);
    if (found < 0 && errno != ENOENT)
        return qs_fail_errno(err, errno, "%s", state_dir);
    found = found < 0 ? 0 : found;
    char **all = talloc_array(parent, char *, (unsigned)found + 1);
    bool ok = all != NULL;
    for (int i = 0; i < found; i++) {
        ok = ok && (all[i] = talloc_strdup(all, list[i]->d_name)) != NULL;
        free(list[i]);
    }
    free(list);
    if (!ok) {
        talloc_free(all);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    *names = all;
    *count = (size_t)found;
    return QS_OK;
}

/* --- resuming --------------------------------------------------------------------------------------------------------- */

/* Messages that were being moved when the process died: put back, to be looked at afresh. What the MTA works on is left as it
 * is, and so is what cannot be put back: it stays in the run directory, and the run unfinished. */
static enum qs_status settle(struct run *run, struct qs_error *err)
{
    enum qs_lock_rule rule = run->format->lock_rule(run->queue, NULL);
    enum qs_status status = QS_OK;
    for (uint32_t n = 0; status == QS_OK && n < run->past->count; n++) {
        struct qs_record *r = &run->past->of[n];
        bool changed;
        if (!r->moves || (r->has_outcome && r->outcome != QS_FAILED))
            continue;
        status = qs_moves_reverse(run->fs, r->moves, r->count, rule, &changed, err);
        if (status == QS_OK && run->plan->action == QS_ACT_RESTORE)
            status = qs_journal_outcome(run->journal, n, false, QS_NOT_REACHED, "", err);
        if (status != QS_GONE && status != QS_BUSY)
            continue;
        r->has_outcome = true;
        r->outcome = qs_run_outcome(status);
        status = qs_run_note(run, n, r->outcome, err->text, err);
    }
    /* what a restore has staged is staged anew: that it is back there must last, and be known, before it is wiped */
    if (status == QS_OK && run->plan->action == QS_ACT_RESTORE)
        status = qs_fs_sync(run->fs, err);
    return status == QS_OK ? qs_fs_wipe(run->fs, "@/new/", err) : status;
}

enum qs_status qs_resume(TALLOC_CTX *parent, const char *name, const struct qs_instance *instance, struct qs_queue *queue,
                         const struct qs_operate *how, struct qs_run_result **result, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_plan *plan = NULL;
    struct qs_past *past = NULL;
    enum qs_status status = load(scratch, how->state_dir, name, &plan, &past, err);
    if (status == QS_OK && past->undoing && !past->undone) {
        talloc_free(scratch);
        return qs_undo(parent, name, instance, queue, how, result, err);
    }
    if (status == QS_OK && (past->end || past->undone))
        status = qs_fail(err, QS_USAGE, "%s: this run is %s", name, past->undone ? "undone" : "finished");
    if (status == QS_OK && plan->resubmit)
        status = qs_fail(err, QS_USAGE, "%s: `restore --resubmit` goes on with what was not handed over; `log` has the rest", name);
    struct run *run = NULL;
    if (status == QS_OK)
        status = qs_run_reopen(scratch, name, plan, instance, queue, how, &run, err);
    if (run) {
        if (status == QS_OK && (run->past->end || run->past->undoing))
            status = qs_fail(err, QS_BUSY, "%s: another qsurgeon has just settled it", name);
        if (status == QS_OK)
            status = qs_fs_run(run->fs, name, err);
        if (status == QS_OK)
            status = qs_journal_open(run, run->dir, &run->journal, err);
        if (status == QS_OK)
            status = settle(run, err);
        if (status == QS_OK)
            status = qs_journal_sync(run->journal, err);
        if (status == QS_OK)
            status = qs_run_go_on(run, err);
        if (!run->journal)
            run->result->run[0] = '\0';     /* nothing was begun */
        status = qs_run_hand_over(parent, run, status, result);
    }
    talloc_free(scratch);
    return status;
}

/* --- what has come back ----------------------------------------------------------------------------------------------- */

bool qs_run_does(const char *run, enum qs_action action)
{
    char part[40];
    snprintf(part, sizeof part, "-%s-", qs_action_name(action));
    return strstr(run, part) != NULL;
}

/* The newest run that took a message out, or brought it, decides. */
static enum qs_status learn_run(struct qs_table *table, const char *state_dir, const char *name, uint32_t index, struct qs_error *err)
{
    struct qs_plan *plan = NULL;
    struct qs_past *past = NULL;
    TALLOC_CTX *scratch = talloc_new(NULL);
    enum qs_status status = load(scratch, state_dir, name, &plan, &past, err);
    for (uint32_t n = 0; status == QS_OK && n < past->count; n++) {
        const struct qs_record *r = &past->of[n];
        const struct qs_plan_item *item = &plan->items[n];
        bool doubt = plan->resubmit && r->outcome == QS_FAILED;
        if (!r->has_outcome || (r->outcome != QS_DONE && !doubt))
            continue;
        uint32_t *at = qs_table_at(table, qs_came_back_key(item->id, item->arrival, item->size), 0);
        if (at)
            *at = doubt ? QS_CAME_BACK_DOUBT : (plan->action == QS_ACT_RESTORE) == r->reversed ? 0
                : plan->action != QS_ACT_RESTORE || plan->resubmit || r->settled ? QS_CAME_BACK_FOR_GOOD : QS_CAME_BACK_BY + index;
        else
            status = qs_fail(err, QS_NOMEM, "out of memory");
    }
    talloc_free(scratch);
    return status == QS_NOMEM ? status : QS_OK;     /* a damaged run says nothing */
}

/* By its marks: far cheaper than reading what it did. */
static bool was_undone(TALLOC_CTX *parent, const char *state_dir, const char *name)
{
    TALLOC_CTX *scratch = talloc_new(parent);
    struct qs_past *past = NULL;
    char *dir = talloc_asprintf(scratch, "%s/%s", state_dir, name);
    bool undone = dir && qs_journal_skim(scratch, dir, 0, &past, NULL) == QS_OK && past->undoing;
    talloc_free(scratch);
    return undone;
}

enum qs_status qs_came_back(TALLOC_CTX *parent, const char *state_dir, struct qs_table **out, char ***runs, struct qs_error *err)
{
    char **names = NULL;
    size_t count = 0;
    struct qs_table *table = qs_table_new(parent, 1024);
    enum qs_status status = table ? qs_run_names(table, state_dir, &names, &count, err)
                                  : qs_fail(err, QS_NOMEM, "out of memory");
    if (status != QS_NOMEM)
        status = QS_OK;                             /* what cannot be listed says nothing */
    for (size_t i = 0, brought = 0; status == QS_OK && i < count; i++) {
        /* a purge takes away what runs before it have brought back; or it was undone itself */
        bool restores = qs_run_does(names[i], QS_ACT_RESTORE), purges = qs_run_does(names[i], QS_ACT_PURGE);
        if (restores || (purges && (brought || was_undone(table, state_dir, names[i])))) {
            status = learn_run(table, state_dir, names[i], (uint32_t)i, err);
            brought++;
        }
    }
    if (status == QS_OK) {
        *out = table;
        if (runs)
            *runs = names;
    } else {
        talloc_free(table);
    }
    return status;
}

/* --- runs that came later --------------------------------------------------------------------------------------------- */

/* What the runs after one have done: from the digests of a message to the index of the newest of those that have acted on it and are
 * not undone; and of those that had it in their archive, and are undone, so that it is back as a new file. */
struct later {
    char **names;
    struct qs_table *acted, *brought;
    struct qs_table *back;              /* of a purge with an archive: qs_came_back(); else NULL */
    char **restorers;
};

static uint64_t inode_key(uint64_t inode, int64_t since)
{
    return qs_mix64(inode ^ qs_mix64((uint64_t)since));
}

/* What tells it from an earlier one of the same name: the birth of its file, or its arrival where a plan has no births, as that of a
 * restore, whose files are not made yet. */
static int64_t since(const struct qs_plan_item *item)
{
    return item->born ? item->born : item->arrival;
}

/* A message keeps its inode in Postfix, where its queue ID may change, and its queue ID in sendmail, where its inode does. */
static bool add_keys(struct qs_table *table, const struct qs_plan_item *item, uint32_t value)
{
    const int64_t times[] = {since(item), item->arrival};       /* one of them, by which an earlier run knows it */
    bool ok = true;
    for (size_t i = 0; ok && i < (item->unread ? 1 : sizeof times / sizeof *times); i++) {
        uint32_t *by_id = qs_table_at(table, qs_came_back_key(item->id, times[i], 0), value);
        if (by_id)
            *by_id = value;
        uint32_t *by_inode = by_id ? qs_table_at(table, inode_key(item->inode, times[i]), value) : NULL;
        if (by_inode)
            *by_inode = value;
        ok = by_inode;
    }
    return ok;
}

/* The largest value that the table has for the message, under any name that a run has given it; UINT32_MAX: none. */
static uint32_t find_keys(const struct qs_table *table, const struct qs_plan_item *item, const struct qs_record *r)
{
    uint32_t found = qs_table_get(table, qs_came_back_key(item->id, since(item), 0), UINT32_MAX);
    if (found == UINT32_MAX)        /* a restore knows it by what its archive says */
        found = qs_table_get(table, qs_came_back_key(item->id, item->arrival, 0), UINT32_MAX);
    for (size_t i = 0; i < r->count; i++) {
        const struct qs_move *m = &r->moves[i];
        uint32_t value = m->kind == QS_STEP_MOVE && m->inode && !m->log
            ? qs_table_get(table, inode_key(m->inode, since(item)), UINT32_MAX) : UINT32_MAX;
        if (value != UINT32_MAX && (found == UINT32_MAX || value > found))
            found = value;
    }
    return found;
}

/* Has the run moved it, for all that the journal knows? One that was stopped, and has ended, says nothing of the rest. */
static bool acted_on(const struct qs_past *past, const struct qs_record *r)
{
    return r->moves && (r->has_outcome ? r->outcome == QS_DONE || r->outcome == QS_FAILED : !past->end);
}

static bool on_same_queue(const struct qs_plan *plan, const struct qs_plan *other)
{
    return strcmp(plan->mta, other->mta) == 0 && strcmp(plan->queue_dir, other->queue_dir) == 0;
}

static enum qs_status learn_later(struct later *l, uint32_t index, const char *state_dir, const struct qs_plan *than,
                                  struct qs_error *err)
{
    struct qs_plan *plan = NULL;
    struct qs_past *past = NULL;
    TALLOC_CTX *scratch = talloc_new(NULL);
    char *dir = NULL;
    enum qs_status status = load_plan(scratch, state_dir, l->names[index], false, &dir, &plan, err);
    /* a run that restores has brought what was not there: qs_came_back() knows of that */
    if (status == QS_OK && on_same_queue(than, plan) && plan->action != QS_ACT_RESTORE && plan->action != QS_ACT_REPAIR)
        status = load(scratch, state_dir, l->names[index], &plan, &past, err);
    for (uint32_t n = 0; status == QS_OK && past && n < past->count; n++) {
        const struct qs_record *r = &past->of[n];
        struct qs_table *table = !acted_on(past, r) ? NULL : !r->settled ? l->acted : r->reversed && past->unlinked ? l->brought : NULL;
        if (table && !add_keys(table, &plan->items[n], index))
            status = qs_fail(err, QS_NOMEM, "out of memory");
    }
    talloc_free(scratch);
    return status == QS_NOMEM ? status : QS_OK;     /* a damaged run says nothing */
}

static enum qs_status learn_all_later(TALLOC_CTX *parent, const char *state_dir, const char *name, const struct qs_plan *plan,
                                      struct later *l, struct qs_error *err)
{
    size_t count = 0;
    *l = (struct later){.acted = qs_table_new(parent, 64), .brought = qs_table_new(parent, 64)};
    if (!l->acted || !l->brought)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = qs_run_names(parent, state_dir, &l->names, &count, err);
    for (uint32_t i = 0; status == QS_OK && i < count; i++) {
        bool past_it = is_undone(state_dir, l->names[i]) && !waits(state_dir, l->names[i]) &&
                       !qs_run_does(l->names[i], QS_ACT_PURGE);
        if (strcmp(l->names[i], name) > 0 && !past_it)
            status = learn_later(l, i, state_dir, plan, err);
    }
    return status;
}

/* Of the messages that a run has left to wait: can one that `by` has put back be put back by it now? */
static enum qs_status can_go_on(TALLOC_CTX *scratch, const char *state_dir, const char *name, const struct qs_plan *of_by,
                                const struct qs_table *by, bool *can, struct qs_error *err)
{
    struct qs_plan *plan = NULL;
    struct qs_past *past = NULL;
    struct later later;
    enum qs_status status = load(scratch, state_dir, name, &plan, &past, err);
    if (status != QS_OK || !on_same_queue(of_by, plan))
        return status == QS_NOMEM ? status : QS_OK;
    status = learn_all_later(scratch, state_dir, name, plan, &later, err);
    for (uint32_t n = 0; status == QS_OK && n < past->count && !*can; n++) {
        const struct qs_record *r = &past->of[n];
        const struct qs_plan_item *item = &plan->items[n];
        *can = acted_on(past, r) && !r->settled && find_keys(by, item, r) != UINT32_MAX &&
               find_keys(later.acted, item, r) == UINT32_MAX;
    }
    return status;
}

enum qs_status qs_undo_next(TALLOC_CTX *parent, const char *state_dir, const char *name, const char **next, struct qs_error *err)
{
    char **names = NULL;
    size_t count = 0;
    struct qs_plan *plan = NULL;
    struct qs_past *past = NULL;
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_table *by = NULL;
    enum qs_status status = qs_run_names(scratch, state_dir, &names, &count, err);
    *next = NULL;
    for (size_t i = is_undone(state_dir, name) ? count : 0; status == QS_OK && i-- > 0 && !*next;) {
        bool can = false;
        if (strcmp(names[i], name) >= 0 || !waits(state_dir, names[i]))
            continue;
        if (!plan) {
            by = qs_table_new(scratch, 64);
            status = by ? load(scratch, state_dir, name, &plan, &past, err) : qs_fail(err, QS_NOMEM, "out of memory");
            for (uint32_t n = 0; status == QS_OK && n < past->count; n++)
                if (past->of[n].settled && !add_keys(by, &plan->items[n], 1))
                    status = qs_fail(err, QS_NOMEM, "out of memory");
        }
        if (status == QS_OK)
            status = can_go_on(scratch, state_dir, names[i], plan, by, &can, err);
        if (status == QS_OK && can && !(*next = talloc_strdup(parent, names[i])))
            status = qs_fail(err, QS_NOMEM, "out of memory");
    }
    talloc_free(scratch);
    return status;
}

/* --- reversing -------------------------------------------------------------------------------------------------------- */

/* A message that a later run has acted on stays as that has put it. */
static enum qs_status leave_to_wait(struct run *run, uint32_t n, const char *later, struct qs_error *err)
{
    struct qs_run_result *r = run->result;
    struct qs_error why;
    (void)qs_fail(&why, QS_USAGE, "run %s has acted on it since", later);
    r->waiting++;
    if (!r->waits_for || strcmp(later, r->waits_for) > 0)
        r->waits_for = talloc_strdup(r, later);
    return r->waits_for ? qs_run_note(run, n, QS_LEFT_REFUSED, why.text, err) : qs_fail(err, QS_NOMEM, "out of memory");
}

/* Which messages of a purge are no longer in quarantine, and so come from the archive. */
struct missing {
    uint32_t *n;
    const char **ids;
    uint32_t count;
};

/* Was it unlinked after it had been purged? */
static bool is_unlinked(struct run *run, const struct qs_record *r)
{
    struct stat st;
    const struct qs_move *moves[QS_RUN_FILES_MOST];
    return run->plan->action == QS_ACT_PURGE && r->has_outcome && r->outcome == QS_DONE &&
           qs_run_quarantined(r, moves) > 0 && qs_fs_stat(run->fs, moves[0]->to, &st, NULL) == QS_GONE &&
           (qs_fs_stat(run->fs, r->moves[0].from, &st, NULL) != QS_OK || st.st_ino != r->moves[0].inode) &&
           (!r->moves[0].back || qs_fs_stat(run->fs, r->moves[0].back, &st, NULL) != QS_OK || st.st_ino != r->moves[0].inode);
}

/* The files of the run directory that a settled message leaves behind: logs and old images for which the MTA has newer ones. */
static enum qs_status drop_rest(struct run *run, const struct qs_record *r, struct qs_error *err)
{
    const struct qs_move *moves[QS_RUN_FILES_MOST];
    size_t count = qs_run_quarantined(r, moves);
    enum qs_status status = QS_OK;
    for (size_t i = 0; status == QS_OK && i < count; i++)
        status = qs_fs_unlink(run->fs, moves[i]->to, err);
    return status;
}

static enum qs_status reverse_one(struct run *run, uint32_t n, bool *changed, struct qs_error *why)
{
    const struct qs_record *r = &run->past->of[n];
    enum qs_status status = qs_moves_reverse(run->fs, r->moves, r->count, run->format->lock_rule(run->queue, NULL), changed, why);
    if (status != QS_OK && status != QS_GONE)
        return status;
    enum qs_status dropped = drop_rest(run, r, status == QS_OK ? why : NULL);
    return dropped != QS_OK ? dropped : status;
}

/* Has a message of a purge been brought back meanwhile? As of qs_came_back(); 0: no. */
static uint32_t how_back(const struct later *later, const struct qs_plan_item *item)
{
    return later->back ? qs_table_get(later->back, qs_came_back_key(item->id, item->arrival, item->size), 0) : 0;
}

/* Which of the runs that restored has brought it, and could take it out again; NULL: none. It may even have the inode that it had
 * before, and with that its old name. */
static const char *restorer(const struct later *later, const struct qs_plan_item *item)
{
    uint32_t how = how_back(later, item);
    return how >= QS_CAME_BACK_BY ? later->restorers[how - QS_CAME_BACK_BY] : NULL;
}

/* The newest message first: where a message was moved twice, the ends fit. */
static enum qs_status reverse_all(struct run *run, const struct later *later, struct missing *missing, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (uint32_t n = run->past->count; status == QS_OK && n-- > 0;) {
        const struct qs_record *r = &run->past->of[n];
        struct qs_error why = {""};
        if (!r->moves || r->settled || (r->has_outcome && r->outcome != QS_DONE && r->outcome != QS_FAILED))
            continue;
        if (run->result->stopped) {
            status = qs_run_note(run, n, QS_NOT_REACHED, "", err);
            continue;
        }
        uint32_t acted = find_keys(later->acted, &run->plan->items[n], r);
        const char *by = acted != UINT32_MAX ? later->names[acted] : restorer(later, &run->plan->items[n]);
        if (by) {
            status = leave_to_wait(run, n, by, err);
            continue;
        }
        if (is_unlinked(run, r)) {
            status = drop_rest(run, r, err);
            if (status == QS_OK && run->plan->after == QS_AFTER_UNLINK)
                status = qs_run_note(run, n, QS_LEFT_GONE, "removed without an archive: there is no way back", err);
            else if (status == QS_OK) {
                missing->n[missing->count] = n;
                missing->ids[missing->count++] = run->plan->items[n].id;
            }
            continue;
        }
        bool changed = false;
        enum qs_status reversed = reverse_one(run, n, &changed, &why);
        uint32_t brought = reversed == QS_GONE ? find_keys(later->brought, &run->plan->items[n], r) : UINT32_MAX;
        if (brought != UINT32_MAX)
            (void)qs_fail(&why, QS_GONE, "it came back from the archive of run %s as a new file, to where that had found it%s",
                          later->names[brought], run->plan->action == QS_ACT_HOLD ? ": if that was hold, `release` lets it go" : "");
        if (reversed == QS_OK && !changed) {        /* it was killed before it moved it, or an undo after it had put it back */
            run->result->in_place++;
            status = qs_journal_outcome(run->journal, n, true, QS_DONE, "", err);
        } else {
            status = qs_run_note(run, n, qs_run_outcome(reversed), why.text, err);
        }
        if (status == QS_OK && (reversed == QS_IO || reversed == QS_NOPERM || reversed == QS_NOMEM))
            status = qs_fail(err, reversed, "%s", why.text);
        (void)qs_run_stopped(run, run->result->count[QS_DONE]);
    }
    enum qs_status synced = qs_fs_sync(run->fs, status == QS_OK ? err : NULL);
    return status == QS_OK ? synced : status;
}

static const char *left_why(const struct qs_restored *done, const char *id)
{
    for (uint32_t i = 0; i < done->left_count; i++)
        if (strcmp(done->left[i].id, id) == 0)
            return done->left[i].why;
    return NULL;
}

/* Those that were brought back meanwhile and cannot be taken out again do not come a second time. */
static enum qs_status without_restored(struct run *run, const struct later *later, struct missing *missing, struct qs_error *err)
{
    uint32_t count = missing->count;
    enum qs_status status = QS_OK;
    missing->count = 0;
    for (uint32_t i = 0; status == QS_OK && i < count; i++) {
        uint32_t n = missing->n[i];
        uint32_t how = how_back(later, &run->plan->items[n]);
        if (how) {
            status = qs_run_note(run, n, QS_LEFT_GONE, how == QS_CAME_BACK_DOUBT
                                 ? "may have been handed to the mail server from the archive" : "was brought back before", err);
            continue;
        }
        missing->n[missing->count] = n;
        missing->ids[missing->count++] = run->plan->items[n].id;
    }
    return status;
}

static enum qs_status from_archive(struct run *run, const struct missing *missing, struct qs_error *err)
{
    struct qs_restored done = {0};
    struct qs_error damage = {""};
    if (missing->count == 0 || run->result->stopped)
        return QS_OK;
    if (!run->past->archive)
        return qs_fail(err, QS_DATA, "%u messages are neither in quarantine nor in an archive", missing->count);
    enum qs_status status = qs_restore(run, run->past->archive, missing->ids, missing->count, run->format, run->queue, run->fs,
                                       run->how, &done, &damage);
    if (status != QS_OK)
        status = qs_fail(err, status, "%s%s", damage.text,
                         status == QS_DATA ? "; `restore --damaged` brings back what can be read of it" : "");
    run->result->stopped |= done.stopped;
    for (uint32_t i = 0; status == QS_OK && i < missing->count; i++) {
        const char *why = done.left_count ? left_why(&done, missing->ids[i]) : NULL;
        enum qs_outcome outcome = why ? QS_LEFT_REFUSED : done.stopped ? QS_NOT_REACHED : QS_DONE;
        run->result->new_files += outcome == QS_DONE;
        status = qs_run_note(run, missing->n[i], outcome, why, err);
    }
    return status;
}

/* Files that a crash may have left: none of them is needed by a run that is undone. */
static enum qs_status forget_leftovers(struct run *run, struct qs_error *err)
{
    enum qs_status status = qs_fs_wipe(run->fs, "@/new/", err);
    uint64_t messages = 0, bytes = 0;
    struct qs_error unread;
    /* what a restore had brought stays in the quarantine when its archive is not there to bring it again */
    if (status == QS_OK && run->plan->action == QS_ACT_RESTORE) {
        if (qs_archive_verify(run->plan->archive, &messages, &bytes, &unread) == QS_OK)
            return qs_fs_wipe(run->fs, "@/staged/", err);
        run->result->in_quarantine = run->result->count[QS_DONE] + run->result->in_place;
    }
    return status == QS_OK && run->past->archive ? qs_fs_new_forget(run->past->archive, err) : status;
}

static enum qs_status undo(struct run *run, struct qs_error *err)
{
    const struct qs_run_result *r = run->result;
    struct missing missing = {
        talloc_array(run, uint32_t, run->plan->count + 1), talloc_array(run, const char *, run->plan->count + 1), 0};
    if (!missing.n || !missing.ids)
        return qs_fail(err, QS_NOMEM, "out of memory");
    struct later later;
    enum qs_status status = learn_all_later(run, run->how->state_dir, r->run, run->plan, &later, err);
    if (status == QS_OK && run->plan->action == QS_ACT_PURGE && run->past->archived)
        status = qs_came_back(run, run->how->state_dir, &later.back, &later.restorers, err);
    run->undoing = true;
    if (status == QS_OK && (!run->past->undoing || run->past->undone))
        status = qs_journal_mark(run->journal, "undoing", err);
    if (status == QS_OK)
        status = reverse_all(run, &later, &missing, err);
    if (status == QS_OK)
        status = without_restored(run, &later, &missing, err);
    if (status == QS_OK)
        status = from_archive(run, &missing, err);
    bool settled = !r->stopped && r->left_count == r->count[QS_LEFT_GONE] + r->waiting;
    enum qs_status told = qs_journal_sync(run->journal, status == QS_OK ? err : NULL);
    status = status == QS_OK ? told : status;
    if (status == QS_OK && settled)         /* the journal knows what has come back, and what was taken back: @/staged may go */
        status = forget_leftovers(run, err);
    if (status == QS_OK && settled)
        status = qs_fs_prune_run(run->fs, err);
    if (status == QS_OK && settled && r->waiting)
        status = qs_journal_mark(run->journal, "waits", err);
    if (status == QS_OK && settled)
        status = qs_journal_mark(run->journal, "undone", err);
    qs_run_wake(run);
    return status;
}

enum qs_status qs_undo(TALLOC_CTX *parent, const char *name, const struct qs_instance *instance, struct qs_queue *queue,
                       const struct qs_operate *how, struct qs_run_result **result, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_plan *plan = NULL;
    struct qs_past *past = NULL;
    enum qs_status status = load(scratch, how->state_dir, name, &plan, &past, err);
    struct run *run = NULL;
    if (status == QS_OK)
        status = qs_run_reopen(scratch, name, plan, instance, queue, how, &run, err);
    if (run) {
        if (status == QS_OK && run->past->undone && !run->past->waits)
            status = qs_fail(err, QS_USAGE, "%s: this run is undone already", name);
        if (status == QS_OK && plan->resubmit)
            status = qs_fail(err, QS_USAGE, "%s handed its messages to the mail server: there is no way back", name);
        if (status == QS_OK && run->past->unlinked && plan->after == QS_AFTER_UNLINK)
            status = qs_fail(err, QS_USAGE, "%s was purged without an archive: there is no way back", name);
        if (status == QS_OK)
            status = qs_fs_run(run->fs, name, err);
        if (status == QS_OK)
            status = qs_journal_open(run, run->dir, &run->journal, err);
        if (status == QS_OK)
            status = undo(run, err);
        if (!run->journal)
            run->result->run[0] = '\0';     /* nothing was begun */
        status = qs_run_hand_over(parent, run, status, result);
    }
    talloc_free(scratch);
    return status;
}
