/* SPDX-License-Identifier: Apache-2.0 */
#include "qsurgeon/repair.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "qsurgeon/mail.h"
#include "run.h"

static const char *const flaw_words[QS_FLAWS] = {
    [QS_FLAW_ORPHAN] = "orphan", [QS_FLAW_STALE] = "stale", [QS_FLAW_MISNAMED] = "misnamed",
    [QS_FLAW_MISPLACED] = "misplaced", [QS_FLAW_ACCESS] = "access", [QS_FLAW_LOST] = "lost",
};

const char *qs_flaw_name(enum qs_flaw_kind kind)
{
    return flaw_words[kind];
}

/* --- identity --------------------------------------------------------------------------------------------------------- */

/* Reads at most QS_CAP_CONTENT bytes, and gives their digest. */
static enum qs_status digest_of(int fd, const char *path, uint64_t *out, struct qs_error *err)
{
    char part[16384];
    XXH3_state_t *state = XXH3_createState();
    if (!state || XXH3_64bits_reset(state) == XXH_ERROR) {
        (void)XXH3_freeState(state);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    enum qs_status status = QS_OK;
    for (size_t at = 0; at < QS_CAP_CONTENT;) {
        ssize_t n = TEMP_FAILURE_RETRY(pread(fd, part, sizeof part, (off_t)at));
        if (n < 0)
            status = qs_fail_errno(err, errno, "%s", path);
        if (n <= 0)
            break;
        (void)XXH3_64bits_update(state, part, (size_t)n);
        at += (size_t)n;
    }
    if (status == QS_OK)
        *out = XXH3_64bits_digest(state);
    (void)XXH3_freeState(state);
    return status;
}

static const char *item_id(const struct qs_flaw *flaw)
{
    return flaw->id[0] ? flaw->id : "unfinished";
}

/* --- the plan --------------------------------------------------------------------------------------------------------- */

static enum qs_status add_items(struct qs_plan *plan, int root, const struct qs_flaw *flaws, size_t count, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    bool dated = false;
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        const struct qs_flaw *f = &flaws[i];
        int fd = f->steps ? qs_open_quietly(root, f->path, &dated) : -1;
        if (f->steps && fd < 0 && errno != ENOENT && errno != ELOOP)
            status = qs_fail_errno(err, errno, "%s", f->path);
        if (fd < 0)
            continue;
        struct qs_plan_item *item = &plan->items[plan->count];
        *item = (struct qs_plan_item){.id = item_id(f), .queue_name = qs_flaw_name(f->kind), .path = f->path,
                                      .reason = f->what, .inode = f->inode, .size = f->size, .arrival = f->modified};
        status = digest_of(fd, f->path, &item->digest, err);
        plan->count += status == QS_OK;
        plan->bytes += f->size;
        close(fd);
    }
    return status;
}

enum qs_status qs_repair_plan(TALLOC_CTX *parent, const struct qs_instance *instance, const struct qs_queue *queue,
                              const struct qs_flaw *flaws, size_t count, const char *host, int64_t now,
                              struct qs_plan **out, struct qs_error *err)
{
    struct stat st;
    struct qs_plan *plan = talloc_zero(parent, struct qs_plan);
    if (plan)
        plan->items = talloc_zero_array(plan, struct qs_plan_item, (unsigned)(count ? count : 1));
    if (!plan || !plan->items) {
        talloc_free(plan);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    plan->host = host;
    plan->mta = instance->format->name;
    plan->instance = instance->name;
    plan->queue_dir = instance->queue_dir;
    plan->config = instance->config;
    plan->tool = QS_VERSION;
    plan->words = "what doctor found";
    plan->made = now;
    plan->action = QS_ACT_REPAIR;
    plan->after = QS_AFTER_KEEP;
    enum qs_status status = QS_OK;
    int root = open(instance->format->root(queue), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || fstat(root, &st) != 0)
        status = qs_fail_errno(err, errno, "%s", instance->queue_dir);
    else
        plan->device = st.st_dev;
    if (status == QS_OK)
        status = add_items(plan, root, flaws, count, err);
    if (root >= 0)
        close(root);
    if (status == QS_OK && plan->count == 0)
        status = qs_fail(err, QS_USAGE, "nothing to do: doctor found nothing that it can repair");
    if (status == QS_OK)
        *out = plan;
    else
        talloc_free(plan);
    return status;
}

/* --- performing it ---------------------------------------------------------------------------------------------------- */

static uint64_t path_key(const char *path)
{
    return XXH3_64bits(path, strlen(path));
}

enum qs_status qs_repair_look(struct run *run, struct qs_error *err)
{
    size_t count = 0;
    enum qs_status status = run->format->inspect(run, run->queue, run->how->now, &run->flaws, &count, err);
    run->flaw_of = qs_table_new(run, (uint32_t)count);
    if (status == QS_OK && !run->flaw_of)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    for (size_t i = 0; status == QS_OK && i < count; i++)
        if (!qs_table_at(run->flaw_of, path_key(run->flaws[i].path), (uint32_t)i))
            status = qs_fail(err, QS_NOMEM, "out of memory");
    return status;
}

/* The flaw that is there now, against the one that was planned. */
static enum qs_status compare(struct run *run, const struct qs_plan_item *item, const struct qs_flaw *flaw, struct stat *st,
                              struct qs_error *err)
{
    int fd = -1;
    uint64_t digest = 0;
    if (!flaw || strcmp(flaw->path, item->path) != 0 || !flaw->steps)
        return qs_fail(err, QS_GONE, "%s: nothing is wrong with it any more", item->path);
    enum qs_status status = qs_fs_file(run->fs, item->path, O_RDONLY | O_NOATIME, &fd, NULL, NULL, err);
    if (status == QS_NOPERM)            /* another user's file: looking sets its access time */
        status = qs_fs_file(run->fs, item->path, O_RDONLY, &fd, NULL, NULL, err);
    if (status != QS_OK)
        return status;
    if (fstat(fd, st) != 0)
        status = qs_fail_errno(err, errno, "%s", item->path);
    else if (st->st_ino != item->inode || (uint64_t)st->st_size != item->size || st->st_mtime != item->arrival ||
             strcmp(flaw->what, item->reason) != 0)
        status = qs_fail(err, QS_DATA, "%s: not as planned any more", item->path);
    if (status == QS_OK)
        status = digest_of(fd, item->path, &digest, err);
    close(fd);
    return status != QS_OK || digest == item->digest ? status
        : qs_fail(err, QS_DATA, "%s: the content is another than planned", item->path);
}

enum qs_status qs_repair_describe(TALLOC_CTX *parent, struct run *run, const struct qs_plan_item *item, struct qs_move **moves,
                                  size_t *count, enum qs_lock_rule *rule, struct qs_error *err)
{
    struct stat st;
    uint32_t at = qs_table_get(run->flaw_of, path_key(item->path), UINT32_MAX);
    const struct qs_flaw *flaw = at == UINT32_MAX ? NULL : &run->flaws[at];
    enum qs_status status = compare(run, item, flaw, &st, err);
    if (status == QS_OK)
        status = qs_moves_prepare(parent, run->fs, flaw->steps, flaw->step_count, &st, 0, moves, err);
    if (status == QS_OK) {
        *count = flaw->step_count;
        *rule = flaw->lock;
    }
    return status;
}

/* --- what runs left --------------------------------------------------------------------------------------------------- */

static enum qs_status add_leftover(TALLOC_CTX *parent, struct qs_leftover **list, size_t *count, const char *run, bool known,
                                   bool unfinished, struct qs_error *err)
{
    struct qs_leftover *grown = talloc_realloc(parent, *list, struct qs_leftover, (unsigned)*count + 1);
    if (!grown)
        return qs_fail(err, QS_NOMEM, "out of memory");
    *list = grown;
    grown[*count] = (struct qs_leftover){talloc_strdup(grown, run), known, unfinished};
    return grown[(*count)++].run ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
}

enum qs_status qs_leftovers(TALLOC_CTX *parent, const char *queue_dir, const char *state_dir, struct qs_leftover **list,
                            size_t *count, struct qs_error *err)
{
    char **names = NULL;
    size_t run_count = 0, found = 0;
    struct qs_leftover *left = NULL;
    TALLOC_CTX *scratch = talloc_new(NULL);
    enum qs_status status = qs_run_names(scratch, state_dir, &names, &run_count, err);
    for (size_t i = 0; status == QS_OK && i < run_count; i++) {
        struct qs_run run;
        struct qs_error why = {""};
        enum qs_status one = qs_run_describe(scratch, state_dir, names[i], &run, &why);
        if (one == QS_NOMEM)
            status = qs_fail(err, one, "%s", why.text);
        else if (one != QS_OK)
            names[i] = NULL;
        else if (!run.finished && !run.undone && strcmp(run.queue_dir, queue_dir) == 0)
            status = add_leftover(parent, &left, &found, names[i], true, true, err);
    }
    const char *path = talloc_asprintf(scratch, "%s/" QS_RUN_BASE, queue_dir);
    if (status == QS_OK && !path)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    DIR *dir = status == QS_OK ? opendir(path) : NULL;
    if (status == QS_OK && !dir && errno != ENOENT)
        status = qs_fail_errno(err, errno, "%s", path);
    for (const struct dirent *e; status == QS_OK && dir && (e = readdir(dir)) != NULL;) {
        bool known = e->d_name[0] == '.' || strcmp(e->d_name, "lock") == 0;
        for (size_t i = 0; i < run_count && !known; i++)
            known = names[i] && strcmp(names[i], e->d_name) == 0;
        if (!known)
            status = add_leftover(parent, &left, &found, e->d_name, false, false, err);
    }
    if (dir)
        closedir(dir);
    talloc_free(scratch);
    if (status == QS_OK) {
        *list = left;
        *count = found;
    } else {
        talloc_free(left);
    }
    return status;
}
