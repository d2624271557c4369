/* SPDX-License-Identifier: Apache-2.0 */
/* Removing what runs have left. The order is what makes it safe: first the files in the queue's run directory, then the run's
 * directory with the archive, under another name at once. Until then the run is listed, and can be undone as far as its files are
 * there; it is never one that could be performed again. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "run.h"

struct examined {
    struct qs_table *superseded;        /* digests of paths of the run directory: an older state of what lives on elsewhere */
    struct qs_forgotten *found;
};

static uint64_t path_key(const char *path)
{
    return XXH3_64bits(path, strlen(path));
}

/* Does what was moved live on in the queue, by the journal? Or has undo settled it, so that what is left is older than that? */
static bool lives_on(const struct qs_record *r)
{
    bool live = r->settled;
    for (size_t i = 0; i < r->count && !live; i++)
        live = r->has_outcome && r->outcome == QS_DONE && r->moves[i].kind == QS_STEP_MOVE && r->moves[i].inode &&
               !r->moves[i].log && !qs_fs_is_of_run(r->moves[i].to);
    return live;
}

static enum qs_status note_superseded(const struct run *run, struct qs_table *table)
{
    const struct qs_move *moves[QS_RUN_FILES_MOST];
    for (uint32_t n = 0; n < run->past->count; n++) {
        const struct qs_record *r = &run->past->of[n];
        size_t count = lives_on(r) ? qs_run_quarantined(r, moves) : 0;
        for (size_t i = 0; i < count; i++)
            if (!qs_table_at(table, path_key(moves[i]->to), 1))
                return QS_NOMEM;
    }
    return QS_OK;
}

static enum qs_status examine_file(void *data, const char *path, const struct stat *st)
{
    struct examined *e = data;
    e->found->bytes += (uint64_t)st->st_size;
    e->found->files += qs_table_get(e->superseded, path_key(path), 0) == 0;
    return QS_OK;
}

/* Has undo put back all that the run has done? What others have brought from its archive they may take away again. */
static bool all_back(const struct run *run)
{
    bool all = run->past->undone && !run->past->waits;
    for (uint32_t n = 0; all && n < run->past->count; n++)
        all = !run->past->of[n].has_outcome || run->past->of[n].outcome != QS_DONE || run->past->of[n].reversed;
    return all;
}

/* The run's own directory; an archive in it is the only copy unless everything was put back. */
static void examine_directory(const struct run *run, struct qs_forgotten *found)
{
    DIR *dir = opendir(run->dir);
    struct stat st;
    for (const struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
            found->bytes += (uint64_t)st.st_size;
            found->archive |= strcmp(e->d_name, "archive.tar.zst") == 0 && !all_back(run);
        }
    if (dir)
        closedir(dir);
}

/* The archive from which the run has brought messages back, where it outlives the run; NULL: none. */
static const char *brought_from(const struct run *run)
{
    const char *archive = run->plan->action == QS_ACT_RESTORE ? run->plan->archive
                        : run->past->undone ? run->past->archive : NULL;
    bool own = archive && strncmp(archive, run->dir, strlen(run->dir)) == 0 && archive[strlen(run->dir)] == '/';
    return archive && !own && access(archive, F_OK) == 0 ? archive : NULL;
}

static void decide(const struct run *run, bool only_copies, struct qs_forgotten *found)
{
    const char *archive = brought_from(run);
    found->kept = true;
    if (!run->past->undone && (!run->past->end || run->past->undoing))
        snprintf(found->why, sizeof found->why, "it is unfinished: `resume` or `undo` settles it");
    else if (archive)
        snprintf(found->why, sizeof found->why, "it knows what must not be restored a second time from %.300s", archive);
    else if (!only_copies && found->archive)
        snprintf(found->why, sizeof found->why, "its archive may be the only copy of what was purged");
    else if (!only_copies && found->files)
        snprintf(found->why, sizeof found->why, "%u files in its quarantine may be the only copies", found->files);
    else
        found->kept = false;
}

static enum qs_status forget(struct run *run, bool only_copies, bool commit, struct qs_forgotten *found, struct qs_error *err)
{
    struct examined e = {qs_table_new(run, run->plan->count), found};
    if (!e.superseded || note_superseded(run, e.superseded) != QS_OK)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = qs_fs_run(run->fs, run->result->run, err);
    if (status == QS_OK)
        status = qs_fs_walk_run(run->fs, examine_file, &e, err);
    if (status != QS_OK)
        return status;
    examine_directory(run, found);
    decide(run, only_copies, found);
    bool remove = commit && !found->kept;
    if (remove)
        status = qs_fs_wipe(run->fs, "@/", err);
    if (status == QS_OK)
        status = qs_fs_prune_run(run->fs, err);     /* what qs_fs_run has made, too */
    if (status == QS_OK)
        status = qs_fs_sync(run->fs, err);
    return status == QS_OK && remove ? qs_fs_forget_dir(run->dir, err) : status;
}

enum qs_status qs_forget(const char *name, const struct qs_instance *instance, struct qs_queue *queue, const struct qs_operate *how,
                         bool only_copies, bool commit, struct qs_forgotten *out, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_plan *plan = NULL;
    struct qs_forgotten found = {0};
    char *path = talloc_asprintf(scratch, "%s/%s/plan.jsonl", how->state_dir, name);
    enum qs_status status = path ? qs_plan_read_head(scratch, path, &plan, err) : qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_GONE)
        status = qs_fail(err, QS_USAGE, "%s: no such run", name);
    struct run *run = NULL;
    if (status == QS_OK)
        status = qs_run_reopen(scratch, name, plan, instance, queue, how, &run, err);
    if (status == QS_OK)
        status = forget(run, only_copies, commit, &found, err);
    if (status == QS_OK)
        *out = found;
    talloc_free(scratch);
    return status;
}

enum qs_status qs_forget_rest(const char *state_dir, struct qs_error *err)
{
    enum { SUFFIX = sizeof QS_FORGOTTEN - 1 };
    enum qs_status status = QS_OK;
    DIR *dir = opendir(state_dir);
    char path[1024];
    for (const struct dirent *e; status == QS_OK && dir && (e = readdir(dir)) != NULL;) {
        size_t length = strlen(e->d_name);
        if (length <= SUFFIX || strcmp(e->d_name + length - SUFFIX, QS_FORGOTTEN) != 0)
            continue;
        int written = snprintf(path, sizeof path, "%s/%s", state_dir, e->d_name);
        status = written > 0 && written < (int)sizeof path ? qs_fs_forget_dir(path, err)
                                                           : qs_fail(err, QS_USAGE, "%s: not a usable path", state_dir);
    }
    if (dir)
        closedir(dir);
    return status;
}
