/* SPDX-License-Identifier: Apache-2.0 */
/* What became of runs: listing, resuming, reversing them. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qsurgeon/archive.h"
#include "qsurgeon/restore.h"
#include "run.h"

/* --- listing ---------------------------------------------------------------------------------------------------------- */

static bool is_run_name(const char *name)
{
    size_t length = strspn(name, "0123456789abcdefghijklmnopqrstuvwxyz-");
    return length > 15 && length < 64 && name[length] == '\0';
}

static enum qs_status load(TALLOC_CTX *parent, const char *state_dir, const char *run, struct qs_plan **plan,
                           struct qs_past **past, struct qs_error *err)
{
    if (!is_run_name(run))
        return qs_fail(err, QS_USAGE, "%s: not the name of a run; `qsurgeon log` lists them", run);
    char *dir = talloc_asprintf(parent, "%s/%s", state_dir, run), *path = talloc_asprintf(parent, "%s/plan.jsonl", dir);
    if (!dir || !path)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = qs_plan_read(parent, path, false, plan, err);
    if (status == QS_GONE)
        return qs_fail(err, QS_USAGE, "%s: no such run; `qsurgeon log` lists them", run);
    return status == QS_OK ? qs_journal_read(parent, dir, (*plan)->count, past, err) : status;
}

static int by_run_name(const void *a, const void *b)
{
    return strcmp(((const struct qs_run *)a)->name, ((const struct qs_run *)b)->name);
}

static enum qs_status describe(TALLOC_CTX *list, const char *state_dir, const char *name, struct qs_run *out,
                               struct qs_error *err)
{
    struct qs_plan *plan = NULL;
    struct qs_past *past = NULL;
    TALLOC_CTX *scratch = talloc_new(NULL);
    enum qs_status status = load(scratch, state_dir, name, &plan, &past, err);
    if (status == QS_OK) {
        *out = (struct qs_run){
            .name = talloc_strdup(list, name), .mta = talloc_strdup(list, plan->mta),
            .queue_dir = talloc_strdup(list, plan->queue_dir), .config = talloc_strdup(list, plan->config),
            .host = talloc_strdup(list, plan->host), .words = talloc_strdup(list, plan->words), .action = plan->action,
            .made = plan->made, .count = plan->count, .finished = past->end, .undone = past->undone,
            .archived = past->archived,
        };
        for (uint32_t n = 0; n < past->count; n++)
            out->done += past->of[n].has_outcome && past->of[n].outcome == QS_DONE;
        if (!out->name || !out->mta || !out->queue_dir || !out->host || !out->words)
            status = qs_fail(err, QS_NOMEM, "out of memory");
    }
    talloc_free(scratch);
    return status;
}

enum qs_status qs_runs(TALLOC_CTX *parent, const char *state_dir, struct qs_run **list, size_t *count, struct qs_error *err)
{
    struct qs_run *runs = talloc_array(parent, struct qs_run, 0);
    size_t found = 0;
    DIR *dir = opendir(state_dir);
    enum qs_status status = runs ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
    if (!dir && errno != ENOENT)
        status = qs_fail_errno(err, errno, "%s", state_dir);
    for (struct dirent *e; status == QS_OK && dir && (e = readdir(dir)) != NULL;) {
        if (!is_run_name(e->d_name))
            continue;
        struct qs_run *grown = talloc_realloc(parent, runs, struct qs_run, (unsigned)found + 1);
        if (!grown) {
            status = qs_fail(err, QS_NOMEM, "out of memory");
            break;
        }
        runs = grown;
        enum qs_status one = describe(runs, state_dir, e->d_name, &runs[found], err);
        found += one == QS_OK;
        if (one == QS_NOMEM)
            status = one;
    }
    if (dir)
        closedir(dir);
    if (status != QS_OK) {
        talloc_free(runs);
        return status;
    }
    if (found)
        qsort(runs, found, sizeof *runs, by_run_name);
    *list = runs;
    *count = found;
    return QS_OK;
}

/* --- resuming --------------------------------------------------------------------------------------------------------- */

/* Messages that were being moved when the process died: put back, to be looked at afresh. */
static enum qs_status settle(struct run *run, struct qs_error *err)
{
    enum qs_lock_rule rule = run->format->lock_rule(run->queue, NULL);
    enum qs_status status = QS_OK;
    for (uint32_t n = 0; status == QS_OK && n < run->past->count; n++) {
        const struct qs_record *r = &run->past->of[n];
        if (!r->moves || (r->has_outcome && r->outcome != QS_FAILED))
            continue;
        status = qs_moves_reverse(run->fs, r->moves, r->count, rule, err);
        if (status == QS_GONE)
            status = qs_run_note(run, n, QS_LEFT_GONE, err->text, err);
    }
    return status;
}

enum qs_status qs_resume(TALLOC_CTX *parent, const char *name, const struct qs_instance *instance, struct qs_queue *queue,
                         const struct qs_operate *how, struct qs_run_result **result, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_plan *plan = NULL;
    struct qs_past *past = NULL;
    enum qs_status status = load(scratch, how->state_dir, name, &plan, &past, err);
    if (status == QS_OK && (past->end || past->undone))
        status = qs_fail(err, QS_USAGE, "%s: this run is %s", name, past->undone ? "undone" : "finished");
    struct run *run = status == QS_OK ? qs_run_new(scratch, plan, instance, queue, how) : NULL;
    if (status == QS_OK && !run)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK) {
        snprintf(run->result->run, sizeof run->result->run, "%s", name);
        run->past = talloc_steal(run, past);
        status = qs_run_open(run, err);
        if (status == QS_OK)
            status = qs_journal_open(run, run->dir, &run->journal, err);
        if (status == QS_OK)
            status = settle(run, err);
        if (status == QS_OK)
            status = qs_journal_sync(run->journal, err);
        if (status == QS_OK)
            status = qs_run_go_on(run, err);
        status = qs_run_hand_over(parent, run, status, result);
    }
    talloc_free(scratch);
    return status;
}

/* --- reversing -------------------------------------------------------------------------------------------------------- */

/* The newest message first: where a message was moved twice, the ends fit. */
static enum qs_status reverse_all(struct run *run, struct qs_error *err)
{
    enum qs_lock_rule rule = run->format->lock_rule(run->queue, NULL);
    enum qs_status status = QS_OK;
    for (uint32_t n = run->past->count; status == QS_OK && n-- > 0;) {
        const struct qs_record *r = &run->past->of[n];
        struct qs_error why = {""};
        if (!r->moves || (r->has_outcome && r->outcome != QS_DONE && r->outcome != QS_FAILED))
            continue;
        if (run->result->stopped) {
            status = qs_run_note(run, n, QS_NOT_REACHED, "", err);
            continue;
        }
        enum qs_status reversed = qs_moves_reverse(run->fs, r->moves, r->count, rule, &why);
        status = qs_run_note(run, n, qs_run_outcome(reversed), why.text, err);
        if (status == QS_OK && (reversed == QS_IO || reversed == QS_NOPERM || reversed == QS_NOMEM))
            status = qs_fail(err, reversed, "%s", why.text);
        if (run->how->keep_going && !run->how->keep_going(run->how->data, run->result->count[QS_DONE], run->plan->count))
            run->result->stopped = true;
    }
    enum qs_status synced = qs_fs_sync(run->fs, status == QS_OK ? err : NULL);
    return status == QS_OK ? synced : status;
}

/* A purge that has been unlinked: its messages come back from the archive, as far as they are not in quarantine still. */
static enum qs_status reverse_from_archive(struct run *run, struct qs_error *err)
{
    char *path = talloc_asprintf(run, "%s/archive.tar.zst", run->dir);
    if (!path)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (run->plan->after == QS_AFTER_UNLINK)
        return qs_fail(err, QS_USAGE, "%s was purged without an archive: there is no way back", run->result->run);
    struct qs_restored done = {0};
    enum qs_status status = qs_restore(run, run->how->archive_path ? run->how->archive_path : path, NULL, 0, run->format,
                                       run->queue, run->fs, QS_RESTORE_WHERE_IT_WAS, run->how->now, &done, err);
    run->result->count[QS_DONE] = done.messages;
    run->result->bytes_done = done.bytes;
    run->result->left = talloc_steal(run->result, done.left);
    run->result->left_count = done.left_count;
    return status;
}

enum qs_status qs_undo(TALLOC_CTX *parent, const char *name, const struct qs_instance *instance, struct qs_queue *queue,
                       const struct qs_operate *how, struct qs_run_result **result, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_plan *plan = NULL;
    struct qs_past *past = NULL;
    enum qs_status status = load(scratch, how->state_dir, name, &plan, &past, err);
    if (status == QS_OK && past->undone)
        status = qs_fail(err, QS_USAGE, "%s: this run is undone already", name);
    struct run *run = status == QS_OK ? qs_run_new(scratch, plan, instance, queue, how) : NULL;
    if (status == QS_OK && !run)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK) {
        snprintf(run->result->run, sizeof run->result->run, "%s", name);
        run->past = talloc_steal(run, past);
        status = qs_run_open(run, err);
        if (status == QS_OK)
            status = qs_journal_open(run, run->dir, &run->journal, err);
        if (status == QS_OK)
            status = past->unlinked ? reverse_from_archive(run, err) : reverse_all(run, err);
        if (status == QS_OK && !run->result->stopped)
            status = qs_journal_mark(run->journal, "undone", err);
        if (run->journal)
            qs_run_wake(run);
        status = qs_run_hand_over(parent, run, status, result);
    }
    talloc_free(scratch);
    return status;
}
