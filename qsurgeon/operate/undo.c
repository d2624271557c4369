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
            .made = plan->made, .count = plan->count, .done = past->done, .in_doubt = past->in_doubt,
            /* an undo that was begun and not ended waits to be finished, too */
            .finished = past->end && (!past->undoing || past->undone), .undoing = past->undoing && !past->undone,
            .undone = past->undone,
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

bool qs_run_at_end(const char *state_dir, const char *name)
{
    static const char *const ends[] = {"\n{\"end\":true}\n", "\n{\"undone\":true}\n"};
    char last[32], *path = talloc_asprintf(NULL, "%s/%s/journal.jsonl", state_dir, name);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    ssize_t got = size >= (off_t)sizeof last ? pread(fd, last, sizeof last, size - (off_t)sizeof last) : -1;
    bool found = false;
    for (size_t i = 0; got == (ssize_t)sizeof last && i < sizeof ends / sizeof *ends; i++)
        found |= memcmp(last + sizeof last - strlen(ends[i]), ends[i], strlen(ends[i])) == 0;
    if (fd >= 0)
        close(fd);
    talloc_free(path);
    return found;
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

static bool names_action(const char *run, enum qs_action action)
{
    char part[40];
    snprintf(part, sizeof part, "-%s-", qs_action_name(action));
    return strstr(run, part) != NULL;
}

/* The newest run that took a message out, or brought it, decides. */
static enum qs_status learn_run(struct qs_table *table, const char *state_dir, const char *name, struct qs_error *err)
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
            *at = doubt ? QS_CAME_BACK_DOUBT : (plan->action == QS_ACT_RESTORE) != r->reversed;
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

enum qs_status qs_came_back(TALLOC_CTX *parent, const char *state_dir, struct qs_table **out, struct qs_error *err)
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
        bool restores = names_action(names[i], QS_ACT_RESTORE), purges = names_action(names[i], QS_ACT_PURGE);
        if (restores || (purges && (brought || was_undone(table, state_dir, names[i])))) {
            status = learn_run(table, state_dir, names[i], err);
            brought++;
        }
    }
    if (status == QS_OK)
        *out = table;
    else
        talloc_free(table);
    return status;
}

/* --- reversing -------------------------------------------------------------------------------------------------------- */

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

/* The newest message first: where a message was moved twice, the ends fit. */
static enum qs_status reverse_all(struct run *run, struct missing *missing, struct qs_error *err)
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

/* Those that a restore has brought meanwhile do not come a second time. */
static enum qs_status without_restored(struct run *run, struct missing *missing, struct qs_error *err)
{
    struct qs_table *back = NULL;
    uint32_t count = missing->count;
    enum qs_status status = count ? qs_came_back(run, run->how->state_dir, &back, err) : QS_OK;
    missing->count = 0;
    for (uint32_t i = 0; status == QS_OK && i < count; i++) {
        uint32_t n = missing->n[i];
        const struct qs_plan_item *item = &run->plan->items[n];
        if (qs_table_get(back, qs_came_back_key(item->id, item->arrival, item->size), 0)) {
            status = qs_run_note(run, n, QS_LEFT_GONE, "was restored from the archive before", err);
            continue;
        }
        missing->n[missing->count] = n;
        missing->ids[missing->count++] = item->id;
    }
    return status;
}

static enum qs_status from_archive(struct run *run, const struct missing *missing, struct qs_error *err)
{
    struct qs_restored done = {0};
    if (missing->count == 0 || run->result->stopped)
        return QS_OK;
    if (!run->past->archive)
        return qs_fail(err, QS_DATA, "%u messages are neither in quarantine nor in an archive", missing->count);
    enum qs_status status = qs_restore(run, run->past->archive, missing->ids, missing->count, run->format, run->queue, run->fs,
                                       run->how, &done, err);
    run->result->stopped |= done.stopped;
    for (uint32_t i = 0; status == QS_OK && i < missing->count; i++) {
        const char *why = done.left_count ? left_why(&done, missing->ids[i]) : NULL;
        status = qs_run_note(run, missing->n[i], why ? QS_LEFT_REFUSED : done.stopped ? QS_NOT_REACHED : QS_DONE, why, err);
    }
    run->result->archive = status == QS_OK ? NULL : talloc_strdup(run->result, run->past->archive);
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
    run->undoing = true;
    enum qs_status status = run->past->undoing ? QS_OK : qs_journal_mark(run->journal, "undoing", err);
    if (status == QS_OK)
        status = reverse_all(run, &missing, err);
    if (status == QS_OK)
        status = without_restored(run, &missing, err);
    if (status == QS_OK)
        status = from_archive(run, &missing, err);
    bool settled = !r->stopped && r->left_count == r->count[QS_LEFT_GONE];
    enum qs_status told = qs_journal_sync(run->journal, status == QS_OK ? err : NULL);
    status = status == QS_OK ? told : status;
    if (status == QS_OK && settled)         /* the journal knows what has come back, and what was taken back: @/staged may go */
        status = forget_leftovers(run, err);
    if (status == QS_OK && settled)
        status = qs_fs_prune_run(run->fs, err);
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
        if (status == QS_OK && run->past->undone)
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
