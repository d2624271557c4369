/* SPDX-License-Identifier: Apache-2.0 */
/* A run from beginning to end. The order in which things reach the disk is what makes it safe:
 *   1. the plan, synced: the intent;
 *   2. for a batch of messages: read, compare with the plan, describe the moves, journal them, synced;
 *   3. the moves of that batch: each message is in the queue or in the run directory at any time;
 *   4. outcomes; the changed directories are synced; the MTA is woken;
 *   5. of a purge: the archive, synced, read back; only then the files of the run directory are unlinked. */
#include "qsurgeon/apply.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "qsurgeon/archive.h"
#include "qsurgeon/mail.h"
#include "qsurgeon/parallel.h"
#include "run.h"

/* A batch costs a sync of the journal: where nothing has to be created for a message, it may be large. */
enum { BATCH = 512, BATCH_OF_MOVES = 32768, HANDED_OVER = 256, SHELF = 160, CHASES = 8, STAMP = sizeof "20261122-041530" };

/* One message of the batch between being described and being moved. */
struct prepared {
    uint32_t n;
    enum qs_lock_rule rule;
    struct qs_move *moves;          /* NULL: not described */
    size_t count;
};

/* Is nothing created or edited for a message? */
static bool moves_only(const struct run *run)
{
    return run->format->moves_only & 1u << run->plan->action;
}

static uint64_t id_key(const char *id)
{
    return XXH3_64bits(id, strlen(id));
}

/* --- outcomes --------------------------------------------------------------------------------------------------------- */

enum qs_outcome qs_run_outcome(enum qs_status status)
{
    switch (status) {
    case QS_OK: return QS_DONE;
    case QS_GONE: return QS_LEFT_GONE;
    case QS_SKIP:
    case QS_BUSY: return QS_LEFT_BUSY;
    case QS_USAGE: return QS_LEFT_REFUSED;
    case QS_DATA: return QS_LEFT_CHANGED;
    case QS_END:
    case QS_NOQUEUE:
    case QS_IO:
    case QS_NOPERM:
    case QS_CONFIG:
    case QS_NOMEM: return QS_FAILED;
    }
    return QS_FAILED;
}

bool qs_run_stopped(struct run *run, uint32_t done)
{
    if (run->how->keep_going && !run->how->keep_going(run->how->data, done, run->plan->count))
        run->result->stopped = true;
    return run->result->stopped;
}

enum qs_status qs_run_note(struct run *run, uint32_t n, enum qs_outcome outcome, const char *why, struct qs_error *err)
{
    struct qs_run_result *r = run->result;
    r->count[outcome]++;
    if (outcome == QS_DONE)
        r->bytes_done += run->plan->items[n].size;
    else {
        struct qs_left_out *grown = talloc_realloc(r, r->left, struct qs_left_out, r->left_count + 1);
        if (!grown)
            return qs_fail(err, QS_NOMEM, "out of memory");
        r->left = grown;
        r->left[r->left_count++] = (struct qs_left_out){
            talloc_strdup(r, run->plan->items[n].id), outcome, talloc_strdup(r, why && why[0] ? why : "")};
    }
    return outcome == QS_NOT_REACHED ? QS_OK : qs_journal_outcome(run->journal, n, run->undoing, outcome, why, err);
}

/* --- describing ------------------------------------------------------------------------------------------------------- */

/* A queue is listed once by the object that was opened for it: for another listing it is opened anew. */
static enum qs_status list_entries(struct run *run, struct qs_error *err)
{
    uint32_t size = run->entry_count;
    if (run->listed) {
        struct qs_queue *fresh = NULL;
        enum qs_status status = run->format->open(run, run->instance, &fresh, err);
        if (status != QS_OK)
            return status;
        talloc_free(run->fresh);
        run->queue = run->fresh = fresh;
    }
    run->listed = true;
    run->entry_count = 0;
    run->entry_of = qs_table_new(run, run->plan->count);
    struct qs_table *wanted = qs_table_new(run, run->plan->count);
    if (!run->entry_of || !wanted)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (uint32_t i = 0; i < run->plan->count; i++)
        if (!qs_table_at(wanted, id_key(run->plan->items[i].id), i))
            return qs_fail(err, QS_NOMEM, "out of memory");
    for (;;) {
        struct qs_entry e = {0};
        enum qs_status status = run->format->next(run->queue, &e, NULL);
        if (status == QS_END)
            break;
        if (status == QS_NOMEM)
            return qs_fail(err, QS_NOMEM, "out of memory");
        uint32_t n = status == QS_OK ? qs_table_get(wanted, id_key(e.id), UINT32_MAX) : UINT32_MAX;
        if (n == UINT32_MAX || strcmp(run->plan->items[n].id, e.id) != 0)
            continue;
        if (run->entry_count == size) {
            size = size ? size * 2 : 1024;
            struct qs_entry *grown = talloc_realloc(run, run->entries, struct qs_entry, size);
            if (!grown)
                return qs_fail(err, QS_NOMEM, "out of memory");
            run->entries = grown;
        }
        uint32_t *at = qs_table_at(run->entry_of, id_key(e.id), run->entry_count);
        if (!at)
            return qs_fail(err, QS_NOMEM, "out of memory");
        e.id = run->plan->items[n].id;
        if (*at == run->entry_count)
            run->entry_count++;
        run->entries[*at] = e;
    }
    talloc_free(wanted);
    return QS_OK;
}

/* The message that is there now, against the one that was planned. */
static enum qs_status compare(const struct run *run, const struct qs_plan_item *item, const struct qs_entry *e,
                              const struct qs_envelope *envelope, struct qs_span content, struct qs_error *err)
{
    bool rewritten = run->format->lock_rule(run->queue, e) == QS_LOCK_BEFORE_CLAIM;    /* sendmail: a new qf each time */
    if (!rewritten && e->inode != item->inode)
        return qs_fail(err, QS_DATA, "another message has this queue ID now");
    if (envelope->arrival != item->arrival || envelope->size != item->size)
        return qs_fail(err, QS_DATA, "arrival or size is another than planned");
    if (XXH3_64bits(content.ptr, content.len) != item->digest)
        return qs_fail(err, QS_DATA, "the content is another than planned");
    return QS_OK;
}

/* A message of which the plan knows the file: is it that, wherever it is now? *st is the file's. */
static enum qs_status look_and_compare(const struct run *run, struct qs_fs *fs, const struct qs_plan_item *item,
                                       const struct qs_entry *e, struct stat *st, struct qs_error *err)
{
    char path[600];
    int64_t born = 0;
    if (!run->format->path(run->queue, e, path, sizeof path))
        return qs_fail(err, QS_GONE, "not in the queue any more");
    enum qs_status status = qs_fs_look(fs, path, st, &born, err);
    if (status == QS_OK && (st->st_ino != item->inode || born != item->born))
        return qs_fail(err, QS_DATA, "another message has this queue ID now");
    return status;
}

/* Does the action set times, so that those before it must be known? */
static bool sets_times(enum qs_action action)
{
    return action == QS_ACT_DEFER || action == QS_ACT_EXPEDITE;
}

/* Is the message told by its file, so that it need not be read? */
static bool by_file(const struct run *run, const struct qs_plan_item *item)
{
    return item->born && run->same_device && moves_only(run);
}

/* The file of a message where the plan saw it last, as far as the action needs it: it is compared when it has been claimed. */
static bool is_placed(const struct run *run, struct qs_fs *fs, const struct qs_plan_item *item, const struct qs_entry *e,
                      struct stat *st)
{
    *st = (struct stat){.st_ino = item->inode};
    return item->placed && by_file(run, item) &&
           (!sets_times(run->plan->action) || look_and_compare(run, fs, item, e, st, NULL) == QS_OK);
}

/* What the operation does to a message that is there as planned: its moves, owned by `parent`. */
static enum qs_status describe_moves(const struct run *run, struct qs_fs *fs, TALLOC_CTX *parent, uint32_t n, const struct qs_entry *e,
                                     const struct qs_envelope *envelope, const struct stat *message, struct prepared *out,
                                     struct qs_error *err)
{
    const struct qs_plan *plan = run->plan;
    struct qs_span *drop = plan->drop_count ? talloc_array(parent, struct qs_span, (unsigned)plan->drop_count) : NULL;
    if (plan->drop_count && !drop)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (size_t i = 0; i < plan->drop_count; i++)
        drop[i] = qs_span_of(plan->drop[i]);
    struct qs_surgery what = {plan->action, run->how->now, plan->until, plan->note, drop, plan->drop_count, n / SHELF};
    struct qs_step *steps = NULL;
    size_t count = 0;
    enum qs_status status = run->format->steps(parent, run->queue, e, run->reader, envelope, &what, &steps, &count, err);
    struct prepared p = {.n = n, .count = count, .rule = run->format->lock_rule(run->queue, e)};
    if (status == QS_OK)
        status = qs_moves_prepare(parent, fs, steps, count, message, by_file(run, &plan->items[n]) ? plan->items[n].born : 0,
                                  &p.moves, err);
    if (status == QS_OK)
        *out = p;
    return status;
}

/* The messages of a batch, described ahead by several threads as far as they are told by their files. */
struct ahead {
    struct run *run;
    const uint32_t *numbers;
    struct prepared *of;
    struct {                    /* each thread's, as long as the batch */
        TALLOC_CTX *memory;
        struct qs_buffer lines;         /* of the journal */
    } by[QS_THREADS_MAX];
};

static void describe_part(void *data, unsigned thread, uint32_t begin, uint32_t end)
{
    struct ahead *a = data;
    const struct qs_envelope unread = {0};
    struct qs_fs *fs = qs_fs_of(a->run->fs, thread);
    struct stat st;
    for (uint32_t i = begin; i < end; i++) {
        const uint32_t n = a->numbers[i];
        const struct qs_plan_item *item = &a->run->plan->items[n];
        const struct qs_entry e = {item->id, item->dir, item->kind, item->inode};
        if (!qs_run_needs_work(a->run, n) || !is_placed(a->run, fs, item, &e, &st) ||
            describe_moves(a->run, fs, a->by[thread].memory, n, &e, &unread, &st, &a->of[i], NULL) != QS_OK ||
            !qs_journal_line(&a->by[thread].lines, n, a->of[i].moves, a->of[i].count))
            a->of[i].moves = NULL;          /* describe() says why */
    }
}

/* Also writes their lines into the journal. *of stays NULL where memory is out, or each message has to be read anyway. */
static enum qs_status describe_ahead(struct run *run, TALLOC_CTX *batch, const uint32_t *numbers, uint32_t count,
                                     const struct prepared **of, struct qs_error *err)
{
    enum { GRAIN = 256, MEMORY = 1536 };        /* the bytes that a message may need; where it is more, it is had otherwise */
    struct ahead *a = moves_only(run) ? talloc_zero(batch, struct ahead) : NULL;
    const unsigned threads = qs_thread_count(0);
    if (!a || !(a->of = talloc_array(batch, struct prepared, count)) || qs_fs_twins(run->fs, threads, NULL) != QS_OK)
        return QS_OK;
    a->run = run;
    a->numbers = numbers;
    for (unsigned t = 0; t < threads; t++) {
        TALLOC_CTX *lines = talloc_new(batch);
        a->by[t].memory = talloc_pool(batch, (size_t)MEMORY * (count / threads + GRAIN));
        if (!lines || !a->by[t].memory)
            return QS_OK;
        qs_buffer_init(&a->by[t].lines, lines);
    }
    qs_parallel(threads, count, GRAIN, describe_part, a);
    enum qs_status status = QS_OK;
    for (unsigned t = 0; status == QS_OK && t < threads; t++) {
        status = qs_journal_lines(run->journal, (struct qs_span){a->by[t].lines.data, a->by[t].lines.len}, err);
        talloc_free(a->by[t].lines.parent);
    }
    if (status == QS_OK)
        *of = a->of;
    return status;
}

static enum qs_status find_entry(struct run *run, const struct qs_plan_item *item, struct qs_entry *e, struct qs_error *err)
{
    enum qs_status status = run->entry_of ? QS_OK : list_entries(run, err);
    if (status != QS_OK)
        return status == QS_NOMEM ? QS_NOMEM : QS_IO;
    uint32_t at = qs_table_get(run->entry_of, id_key(item->id), UINT32_MAX);
    if (at == UINT32_MAX)
        return qs_fail(err, QS_GONE, "not in the queue any more");
    *e = run->entries[at];
    return QS_OK;
}

/* Reads the message where it is now, and compares it with the plan. */
static enum qs_status read_and_compare(struct run *run, const struct qs_plan_item *item, struct qs_entry *e,
                                       struct qs_envelope *envelope, struct stat *st, struct qs_error *err)
{
    struct qs_span content = {NULL, 0};
    bool whole = true;
    enum qs_status status = find_entry(run, item, e, err);
    if (status == QS_OK)
        status = run->format->read(run->queue, e, run->reader, envelope, err);
    if (status == QS_OK)
        status = run->format->content(run->queue, e, run->reader, QS_CAP_CONTENT, &content, &whole, err);
    if (status == QS_OK)
        status = compare(run, item, e, envelope, content, err);
    if (status == QS_OK)
        *st = *qs_file_stat(run->reader->message);
    return status;
}

static enum qs_status describe(struct run *run, TALLOC_CTX *batch, uint32_t n, struct prepared *out, struct qs_error *err)
{
    const struct qs_plan_item *item = &run->plan->items[n];
    if (run->plan->action == QS_ACT_REPAIR) {
        out->n = n;
        return qs_repair_describe(batch, run, item, &out->moves, &out->count, &out->rule, err);
    }
    struct qs_entry e = {item->id, item->dir, item->kind, item->inode};
    struct qs_envelope envelope = {0};
    struct stat message;
    enum qs_status status = QS_OK;
    if (!by_file(run, item))
        status = read_and_compare(run, item, &e, &envelope, &message, err);
    else if ((status = find_entry(run, item, &e, err)) == QS_OK)
        status = look_and_compare(run, run->fs, item, &e, &message, err);
    return status == QS_OK ? describe_moves(run, run->fs, batch, n, &e, &envelope, &message, out, err) : status;
}

/* --- moving ----------------------------------------------------------------------------------------------------------- */

/* A message that is not where it was: a running queue manager takes mail from directory to directory, so that it is looked for
 * once more, with the others that were missed, before it is said to be gone. */
static enum qs_status miss(struct run *run, uint32_t n, const char *why, struct qs_error *err)
{
    if (run->chases == 0)
        return qs_run_note(run, n, QS_LEFT_GONE, why, err);
    if ((run->missed_count & (run->missed_count - 1)) == 0) {       /* full at powers of two */
        uint32_t *grown = talloc_realloc(run, run->missed, uint32_t, run->missed_count ? run->missed_count * 2 : 1);
        if (!grown)
            return qs_fail(err, QS_NOMEM, "out of memory");
        run->missed = grown;
    }
    run->missed[run->missed_count++] = n;
    return QS_OK;
}

/* A batch that is moved by two threads: one claims, the other follows some claims behind, and where it falls back the first
 * helps. The renames of claims wait for each other in the kernel; what follows, among it the logs, does not. */
struct pair {
    struct qs_fs *fs;
    const struct prepared *list;
    struct qs_moving *at;               /* of each of the list */
    pthread_mutex_t mutex;
    pthread_cond_t news;
    uint32_t claimed, taken;            /* how many of the list; taken: followed, or being so */
    bool ended;                         /* no more claims will come */
    bool failed;                        /* something went wrong that ends the run */
};

static bool ends_run(const struct qs_moving *at)
{
    return !at->intact || at->status == QS_IO || at->status == QS_NOPERM || at->status == QS_NOMEM;
}

/* Follows the next claims, at most HANDED_OVER; the mutex is held, but not meanwhile. */
static void follow_some(struct pair *p, struct qs_fs *fs)
{
    const uint32_t from = p->taken, waiting = p->claimed - from, to = from + (waiting < HANDED_OVER ? waiting : HANDED_OVER);
    bool failed = false;
    p->taken = to;
    pthread_mutex_unlock(&p->mutex);
    for (uint32_t i = from; i < to; i++) {
        qs_moves_follow(fs, p->list[i].moves, p->list[i].count, p->list[i].rule, &p->at[i]);
        failed |= ends_run(&p->at[i]);
    }
    pthread_mutex_lock(&p->mutex);
    p->failed |= failed;
}

static void *follower(void *data)
{
    struct pair *p = data;
    struct qs_fs *fs = qs_fs_of(p->fs, 1);
    pthread_mutex_lock(&p->mutex);
    while (p->taken < p->claimed || !p->ended) {
        if (p->taken < p->claimed)
            follow_some(p, fs);
        else
            pthread_cond_wait(&p->news, &p->mutex);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* Hands over what is claimed, up to `claimed`, and does itself what is more than `behind`; false: no more is to be claimed. */
static bool hand_over(struct pair *p, uint32_t claimed, uint32_t behind)
{
    pthread_mutex_lock(&p->mutex);
    p->claimed = claimed;
    pthread_cond_signal(&p->news);
    while (claimed - p->taken > behind)
        follow_some(p, p->fs);
    bool go_on = !p->failed;
    pthread_mutex_unlock(&p->mutex);
    return go_on;
}

/* Claims one after the other and has them followed, by a thread as well where `threaded`; how many were tried. */
static uint32_t claim_and_follow(struct run *run, const struct prepared *list, struct qs_moving *of, uint32_t count, bool threaded)
{
    struct pair p = {.fs = run->fs, .list = list, .at = of, .mutex = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};
    pthread_t thread;
    uint32_t at = 0, done = run->result->count[QS_DONE];
    threaded = threaded && count > HANDED_OVER && qs_fs_twins(run->fs, 2, NULL) == QS_OK &&
               pthread_create(&thread, NULL, follower, &p) == 0;
    for (bool go_on = true; go_on && at < count && !run->result->stopped;) {
        uint32_t from = at;
        do {
            qs_moves_claim(run->fs, list[at].moves, list[at].count, list[at].rule, &of[at]);
            go_on = !ends_run(&of[at++]);
        } while (!qs_run_stopped(run, done + at) && threaded && go_on && at < count && at - from < HANDED_OVER);
        go_on &= hand_over(&p, at, threaded ? 2 * HANDED_OVER : 0);
    }
    (void)hand_over(&p, at, 0);
    if (threaded) {
        pthread_mutex_lock(&p.mutex);
        p.ended = true;
        pthread_cond_signal(&p.news);
        pthread_mutex_unlock(&p.mutex);
        pthread_join(thread, NULL);
    }
    pthread_mutex_destroy(&p.mutex);
    pthread_cond_destroy(&p.news);
    return at;
}

/* Moves them; *moved is the first that was not tried. */
static enum qs_status move_batch(struct run *run, TALLOC_CTX *batch, const struct prepared *list, uint32_t count, uint32_t *moved,
                                 struct qs_error *err)
{
    enum qs_status status = QS_OK;
    struct qs_moving *of = talloc_array(batch, struct qs_moving, count + 1);
    if (!of)
        return qs_fail(err, QS_NOMEM, "out of memory");
    *moved = claim_and_follow(run, list, of, count, moves_only(run));
    for (uint32_t i = 0; i < *moved; i++) {
        const struct qs_moving *at = &of[i];
        struct qs_error *first = status == QS_OK ? err : NULL;
        enum qs_status one = !at->intact ? qs_run_note(run, list[i].n, QS_FAILED, at->why.text, first)
                           : at->status == QS_GONE ? miss(run, list[i].n, at->why.text, first)
                           : qs_run_note(run, list[i].n, qs_run_outcome(at->status), at->why.text, first);
        if (one == QS_OK && !at->intact)
            one = qs_fail(first, QS_IO, "%s: %s; it could not be put back: `qsurgeon undo %s` or `resume` settles it",
                          run->plan->items[list[i].n].id, at->why.text, run->result->run);
        else if (one == QS_OK && ends_run(at))
            one = qs_fail(first, at->status, "%s", at->why.text);
        status = status == QS_OK ? one : status;
    }
    return status;
}

/* Takes away what was created for those that are not moved. */
static enum qs_status leave_rest(struct run *run, const struct prepared *list, uint32_t from, uint32_t count,
                                 struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (uint32_t i = from; i < count; i++) {
        enum qs_status one = qs_moves_discard(run->fs, list[i].moves, list[i].count, status == QS_OK ? err : NULL);
        status = status == QS_OK ? one : status;
        one = qs_run_note(run, list[i].n, QS_NOT_REACHED, "", NULL);
        status = status == QS_OK ? one : status;
    }
    return status;
}

bool qs_run_needs_work(const struct run *run, uint32_t n)
{
    const struct qs_record *r = &run->past->of[n];
    return !r->has_outcome || r->outcome == QS_NOT_REACHED || r->outcome == QS_FAILED;
}

/* What was done is made to last and the MTA told, then the caller may wait. */
static enum qs_status rest(struct run *run, uint32_t reached, struct qs_error *err)
{
    enum qs_status status = qs_fs_sync(run->fs, err);
    if (status == QS_OK)
        status = qs_journal_sync(run->journal, err);
    if (status != QS_OK)
        return status;
    qs_run_wake(run);
    if (!run->how->rest(run->how->data, run->result, reached))
        run->result->stopped = true;
    return QS_OK;
}

/* Performs the messages of that list. */
static enum qs_status perform_list(struct run *run, const uint32_t *numbers, uint32_t total, bool chasing,
                                   struct qs_error *err)
{
    const uint32_t batch_size = moves_only(run) ? BATCH_OF_MOVES : BATCH;
    const uint32_t stretch = run->how->rest && run->how->stretch && run->how->stretch < batch_size ? run->how->stretch : batch_size;
    enum qs_status status = QS_OK;
    for (uint32_t i = 0; status == QS_OK && i < total;) {
        TALLOC_CTX *batch = talloc_new(NULL);
        const uint32_t first = i, seen = total - i < stretch ? total - i : stretch;
        struct prepared *list = talloc_array(batch, struct prepared, seen);
        const struct prepared *ahead = NULL;
        uint32_t count = 0, moved = 0;
        if (!list)
            status = qs_fail(err, QS_NOMEM, "out of memory");
        if (status == QS_OK && !chasing && !run->result->stopped)     /* what is chased is not where the plan saw it */
            status = describe_ahead(run, batch, numbers + i, seen, &ahead, err);
        for (; status == QS_OK && i < total && i - first < seen; i++) {
            uint32_t n = numbers[i];
            struct qs_error why = {""};
            if (!qs_run_needs_work(run, n))
                continue;
            if (run->result->stopped) {
                status = qs_run_note(run, n, QS_NOT_REACHED, "", err);
                continue;
            }
            if (ahead && ahead[i - first].moves) {
                list[count++] = ahead[i - first];
                continue;
            }
            enum qs_status described = describe(run, batch, n, &list[count], &why);
            if (described == QS_OK) {
                status = qs_journal_moves(run->journal, n, list[count].moves, list[count].count, err);
                count++;
            } else if (described == QS_IO || described == QS_NOMEM)
                status = qs_fail(err, described, "%s: %s", run->plan->items[n].id, why.text);
            else if (described == QS_GONE && !chasing && run->plan->action != QS_ACT_REPAIR)
                status = miss(run, n, why.text, err);
            else
                status = qs_run_note(run, n, qs_run_outcome(described), why.text, err);
        }
        if (status == QS_OK && count)
            status = qs_journal_sync(run->journal, err);
        if (status == QS_OK)
            status = move_batch(run, batch, list, count, &moved, err);
        enum qs_status left = list ? leave_rest(run, list, moved, count, status == QS_OK ? err : NULL) : QS_OK;
        status = status == QS_OK ? left : status;
        talloc_free(batch);
        if (status == QS_OK && run->how->rest && count && i < total && !run->result->stopped)
            status = rest(run, i, err);
    }
    return status;
}

/* The messages that were missed, looked for by a fresh listing of the queue, and again those that moved on even so. */
static enum qs_status chase(struct run *run, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    while (status == QS_OK && run->missed_count) {
        uint32_t *numbers = run->missed, count = run->missed_count;
        run->missed = NULL;
        run->missed_count = 0;
        run->chases--;
        talloc_free(run->entry_of);
        run->entry_of = NULL;
        status = perform_list(run, numbers, count, true, err);
        talloc_free(numbers);
    }
    return status;
}

static bool in_hands(const struct run *run, const struct qs_plan_item *item)
{
    const struct qs_entry e = {item->id, item->dir, item->kind, item->inode};
    return item->placed && run->format->lock_rule(run->queue, &e) == QS_LOCK_NONE;
}

/* All of the plan, those last that the MTA has in its hands: for each of them that is taken away it takes in one that waits. */
static enum qs_status perform_all(struct run *run, struct qs_error *err)
{
    const struct qs_plan *plan = run->plan;
    uint32_t *numbers = talloc_array(NULL, uint32_t, plan->count + 1), first = 0, last = plan->count;
    if (!numbers)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (uint32_t n = 0; n < plan->count; n++)
        if (!in_hands(run, &plan->items[n]))
            numbers[first++] = n;
    for (uint32_t n = plan->count; n-- > 0;)
        if (in_hands(run, &plan->items[n]))
            numbers[--last] = n;
    enum qs_status status = perform_list(run, numbers, plan->count, false, err);
    talloc_free(numbers);
    return status;
}

static enum qs_status perform_plan(struct run *run, struct qs_error *err)
{
    enum qs_status status = run->plan->action == QS_ACT_REPAIR ? qs_repair_look(run, err) : QS_OK;
    run->chases = CHASES;
    if (status == QS_OK)
        status = perform_all(run, err);
    if (status == QS_OK)
        status = chase(run, err);
    uint32_t told_of = 0;
    for (unsigned o = 0; o < QS_OUTCOMES; o++)
        told_of += run->result->count[o];
    for (uint32_t n = 0; n < run->plan->count; n++)
        told_of += !qs_run_needs_work(run, n);
    if (status != QS_OK && told_of < run->plan->count)
        run->result->count[QS_NOT_REACHED] += run->plan->count - told_of;
    /* what was done is made to last, also when the rest failed */
    enum qs_status synced = qs_fs_sync(run->fs, status == QS_OK ? err : NULL);
    enum qs_status told = qs_journal_sync(run->journal, status == QS_OK && synced == QS_OK ? err : NULL);
    return status != QS_OK ? status : synced != QS_OK ? synced : told;
}

/* --- waking the MTA --------------------------------------------------------------------------------------------------- */

/* A request to a Postfix service: connect, write, wait for the other side to close (at most a second); or a FIFO. That the
 * service is not there means that the MTA does not run: nothing to wake. */
static void poke(const char *root, const struct qs_wake *w)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", root, w->path);
    if (length < 0 || length >= (int)sizeof address.sun_path)
        return;
    struct stat st;
    if (lstat(address.sun_path, &st) != 0)
        return;
    int fd = S_ISFIFO(st.st_mode) ? open(address.sun_path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
                                  : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    struct timeval second = {1, 0};
    char byte;
    bool fifo = S_ISFIFO(st.st_mode);
    bool connected = fifo || (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second) == 0 &&
                              setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second) == 0 &&
                              connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    ssize_t sent = connected ? write(fd, w->request, strlen(w->request) + (fifo ? 0 : 1)) : -1;
    if (sent > 0 && !fifo)
        sent = read(fd, &byte, 1);      /* closing before the service has read could lose the request */
    close(fd);
}

void qs_run_wake(struct run *run)
{
    struct qs_wake *list = NULL;
    size_t count = 0;
    if (run->result->count[QS_DONE] && run->format->wake &&
        run->format->wake(run, run->queue, run->plan->action, &list, &count, NULL) == QS_OK)
        for (size_t i = 0; i < count; i++)
            poke(run->format->root(run->queue), &list[i]);
}

/* --- after a purge ---------------------------------------------------------------------------------------------------- */

size_t qs_run_quarantined(const struct qs_record *r, const struct qs_move *moves[QS_RUN_FILES_MOST])
{
    size_t count = 0;
    for (size_t i = 0; i < r->count && count < QS_RUN_FILES_MOST; i++)
        if (r->moves[i].kind == QS_STEP_MOVE && qs_fs_is_of_run(r->moves[i].to))
            moves[count++] = &r->moves[i];
    return count;
}

static enum qs_status archive_one(struct run *run, struct qs_archive_writer *writer, uint32_t n, struct qs_error *err)
{
    const struct qs_move *moves[QS_RUN_FILES_MOST];
    struct qs_archive_source files[QS_RUN_FILES_MOST];
    size_t count = qs_run_quarantined(&run->past->of[n], moves), opened = 0;
    enum qs_status status = QS_OK;
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        files[opened].name = moves[i]->from;        /* its name in a queue, by which it is restored */
        status = qs_fs_file(run->fs, moves[i]->to, O_RDONLY, &files[opened].fd, NULL, NULL, err);
        if (status == QS_OK)
            opened++;
        else if (status == QS_GONE && i > 0)
            status = QS_OK;         /* a log that there never was */
    }
    if (status == QS_OK)
        status = qs_archive_add(writer, &run->plan->items[n], files, opened, err);
    for (size_t i = 0; i < opened; i++)
        close(files[i].fd);
    return status;
}

static bool purged(const struct run *run, uint32_t n)
{
    return run->past->of[n].has_outcome && run->past->of[n].outcome == QS_DONE;
}

/* What was taken out of Postfix's active queue may be in delivery still, by an agent that had opened it before. Waits until
 * nobody holds its lock any more, so that what is archived says which recipients have got it. */
static enum qs_status await_agents(struct run *run, struct qs_error *err)
{
    enum { TRIES = 300 };
    static const struct timespec pause = {0, 100000000};
    const struct qs_move *moves[QS_RUN_FILES_MOST];
    unsigned tries = 0;
    for (uint32_t n = 0; n < run->plan->count; n++) {
        const struct qs_record *r = &run->past->of[n];
        int fd = -1;
        if (!purged(run, n) || !r->moves[0].back || qs_run_quarantined(r, moves) == 0)
            continue;
        enum qs_status status = qs_fs_file(run->fs, moves[0]->to, O_RDWR, &fd, NULL, NULL, err);
        if (status != QS_OK)
            return status;
        bool free_now = flock(fd, LOCK_EX | LOCK_NB) == 0;
        while (!free_now && tries++ < TRIES && run->how->keep_going &&
               run->how->keep_going(run->how->data, run->result->count[QS_DONE], run->plan->count)) {
            (void)nanosleep(&pause, NULL);
            free_now = flock(fd, LOCK_EX | LOCK_NB) == 0;
        }
        close(fd);
        if (!free_now)
            return qs_fail(err, QS_BUSY, "%s is still being delivered: it lies in quarantine, not yet archived; `resume %s` goes on",
                           run->plan->items[n].id, run->result->run);
    }
    return QS_OK;
}

/* Reads it back: it must be whole, every digest right, and the messages those in quarantine, in their order. */
static enum qs_status read_back(struct run *run, const char *path, struct qs_error *err)
{
    const struct qs_move *moves[QS_RUN_FILES_MOST];
    struct qs_archive_reader *reader = NULL;
    struct qs_archived *m = NULL;
    enum qs_status status = qs_archive_open(run, path, &qs_archive_unlimited, &reader, err);
    for (uint32_t n = 0; status == QS_OK && n < run->plan->count; n++) {
        if (!purged(run, n))
            continue;
        status = qs_archive_next(reader, &m, err);
        if (status == QS_OK && (strcmp(m->id, run->plan->items[n].id) != 0 ||
                                qs_run_quarantined(&run->past->of[n], moves) == 0 ||
                                strcmp(m->files[0].name, moves[0]->from) != 0))
            status = QS_END;
    }
    if (status == QS_OK) {
        status = qs_archive_next(reader, &m, err);
        status = status == QS_END ? QS_OK : status == QS_OK ? QS_END : status;
    }
    talloc_free(reader);
    return status == QS_END ? qs_fail(err, QS_DATA, "%s: read back, it holds other messages than were purged", path) : status;
}

static enum qs_status write_archive(struct run *run, const char *path, struct qs_error *err)
{
    struct qs_archive_writer *writer = NULL;
    enum qs_status status = await_agents(run, err);
    if (status == QS_OK)
        status = qs_archive_create(run, path, run->plan, &writer, err);
    /* asked to stop: what lies in quarantine stays there until `resume` or `undo` */
    for (uint32_t n = 0; status == QS_OK && n < run->plan->count && !qs_run_stopped(run, run->result->count[QS_DONE]); n++)
        if (purged(run, n))
            status = archive_one(run, writer, n, err);
    if (status == QS_OK && !run->result->stopped)
        status = qs_archive_finish(writer, err);
    talloc_free(writer);        /* unfinished, it is gone */
    return status == QS_OK && !run->result->stopped ? read_back(run, path, err) : status;
}

/* The path is in the journal before the file is there: an archive that a crash has left is known for what it is. */
static enum qs_status archive_all(struct run *run, struct qs_error *err)
{
    const char *own = talloc_asprintf(run, "%s/archive.tar.zst", run->dir);
    const char *path = run->past->archive ? run->past->archive : run->plan->output ? run->plan->output : own;
    if (!own)
        return qs_fail(err, QS_NOMEM, "out of memory");
    bool exists = access(path, F_OK) == 0;
    enum qs_status status = QS_OK;
    if (exists && !run->past->archive)
        return qs_fail(err, QS_USAGE, "%s exists already; the messages are in quarantine: `resume %s` when it is away", path,
                       run->result->run);
    if (!run->past->archive)
        status = qs_journal_archive(run->journal, path, err);
    if (status == QS_OK && exists && read_back(run, path, err) != QS_OK) {
        if (strcmp(path, own) != 0)
            return qs_fail(err, QS_USAGE, "%s exists already and is not the archive of this run; the messages are in quarantine: "
                           "`resume %s` when it is away", path, run->result->run);
        status = unlink(path) == 0 ? QS_OK : qs_fail_errno(err, errno, "%s", path);
        exists = false;
    }
    if (status == QS_OK && !exists)
        status = write_archive(run, path, err);
    if (status != QS_OK || run->result->stopped)
        return status;
    run->result->archived = run->result->in_quarantine;
    run->result->archive = talloc_strdup(run->result, path);
    return qs_journal_mark(run->journal, "archived", err);
}

/* What one thread has unlinked. */
struct unlinked {
    enum qs_status status;
    struct qs_error why;
    uint32_t count;
    bool stopped;
};

struct unlinking {
    struct run *run;
    struct unlinked by[QS_THREADS_MAX];
};

static void unlink_part(void *data, unsigned thread, uint32_t begin, uint32_t end)
{
    struct unlinking *u = data;
    struct unlinked *mine = &u->by[thread];
    const struct qs_move *moves[QS_RUN_FILES_MOST];
    struct qs_fs *fs = qs_fs_of(u->run->fs, thread);
    const struct qs_operate *how = u->run->how;
    for (uint32_t n = begin; mine->status == QS_OK && !mine->stopped && n < end; n++) {
        if (!purged(u->run, n))
            continue;
        mine->stopped = how->keep_going && !how->keep_going(how->data, n, u->run->plan->count);
        if (mine->stopped)
            break;
        size_t count = qs_run_quarantined(&u->run->past->of[n], moves);
        for (size_t i = 0; mine->status == QS_OK && i < count; i++)  /* the message first: with it, all of its files are there */
            mine->status = qs_fs_unlink(fs, moves[i]->to, &mine->why);
        mine->count += mine->status == QS_OK;
    }
}

static enum qs_status unlink_all(struct run *run, struct qs_error *err)
{
    /* unlinking waits for the disk, most of all where freed blocks are discarded: more threads than processors wait together */
    enum { GRAIN = 512, AT_A_TIME = 8 };
    struct unlinking *u = talloc_zero(run, struct unlinking);
    if (!u)
        return qs_fail(err, QS_NOMEM, "out of memory");
    u->run = run;
    enum qs_status status = qs_fs_twins(run->fs, AT_A_TIME, err);
    if (status == QS_OK)
        qs_parallel(AT_A_TIME, run->plan->count, GRAIN, unlink_part, u);
    for (unsigned t = 0; t < QS_THREADS_MAX; t++) {
        run->result->unlinked += u->by[t].count;
        run->result->in_quarantine -= u->by[t].count;
        run->result->stopped |= u->by[t].stopped;
        if (status == QS_OK && u->by[t].status != QS_OK)
            status = qs_fail(err, u->by[t].status, "%s", u->by[t].why.text);
    }
    talloc_free(u);
    if (status == QS_OK)
        status = qs_fs_sync(run->fs, err);
    return status == QS_OK && !run->result->stopped ? qs_journal_mark(run->journal, "unlinked", err) : status;
}

/* What this process has moved, and one that crashed before. */
static void tell_quarantine(struct run *run)
{
    run->result->in_quarantine = run->result->count[QS_DONE];
    for (uint32_t n = 0; n < run->plan->count; n++)
        run->result->in_quarantine += purged(run, n);
}

static enum qs_status after_purge(struct run *run, struct qs_error *err)
{
    if (run->plan->after == QS_AFTER_KEEP) {
        tell_quarantine(run);
        return QS_OK;
    }
    /* the journal is the one list of what lies in quarantine */
    talloc_free(run->past);
    run->past = NULL;
    enum qs_status status = qs_journal_read(run, run->dir, run->plan->count, &run->past, err);
    for (uint32_t n = 0; status == QS_OK && n < run->plan->count; n++)
        run->result->in_quarantine += purged(run, n);
    if (status != QS_OK || run->result->in_quarantine == 0)
        return status;
    if (run->plan->after == QS_AFTER_ARCHIVE && !run->past->archived)
        status = archive_all(run, err);
    if (status == QS_OK && !run->past->unlinked && !run->result->stopped)
        status = unlink_all(run, err);
    return status;
}

/* --- a run ------------------------------------------------------------------------------------------------------------ */

/* The newest run's time, as its name begins. */
static void last_stamp(const char *state_dir, char last[STAMP])
{
    DIR *dir = opendir(state_dir);
    last[0] = '\0';
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        size_t digits = strspn(e->d_name, "0123456789-");
        if (digits == STAMP && strncmp(e->d_name, last, STAMP - 1) > 0) {       /* and the "-" before the action */
            memcpy(last, e->d_name, STAMP - 1);
            last[STAMP - 1] = '\0';
        }
    }
    if (dir)
        closedir(dir);
}

/* Names sort in the order of the runs: of several in one second, the later ones are named after the next seconds. */
void qs_run_name(struct qs_run_result *result, const struct qs_plan *plan, const struct qs_operate *how)
{
    enum { AHEAD_MOST = 3600 };
    char stamp[STAMP], last[STAMP];
    last_stamp(how->state_dir, last);
    for (time_t at = (time_t)how->now; at < (time_t)how->now + AHEAD_MOST; at++) {
        struct tm tm = {0};
        if (!gmtime_r(&at, &tm) || strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm) != STAMP - 1 || strcmp(stamp, last) > 0)
            break;
    }
    snprintf(result->run, sizeof result->run, "%s-%s-%04x", stamp, qs_action_name(plan->action), how->nonce & 0xffffu);
}

enum qs_status qs_run_open(struct run *run, struct qs_error *err)
{
    run->dir = talloc_asprintf(run, "%s/%s", run->how->state_dir, run->result->run);
    run->reader = qs_reader_new(run);
    if (!run->dir || !run->reader)
        return qs_fail(err, QS_NOMEM, "out of memory");
    run->reader->brief = true;
    struct stat st;
    run->same_device = stat(run->format->root(run->queue), &st) == 0 && (uint64_t)st.st_dev == run->plan->device;
    enum qs_status status = qs_fs_open(run, run->format->root(run->queue), &run->fs, err);
    /* read under the lock: nobody else writes it now */
    return status == QS_OK ? qs_journal_read(run, run->dir, run->plan->count, &run->past, err) : status;
}

struct run *qs_run_new(TALLOC_CTX *parent, const struct qs_plan *plan, const struct qs_instance *instance,
                           struct qs_queue *queue, const struct qs_operate *how)
{
    struct run *run = talloc_zero(parent, struct run);
    if (run)
        run->result = talloc_zero(run, struct qs_run_result);
    if (!run || !run->result) {
        talloc_free(run);
        return NULL;
    }
    run->plan = plan;
    run->instance = instance;
    run->format = instance->format;
    run->queue = queue;
    run->how = how;
    return run;
}

enum qs_status qs_run_reopen(TALLOC_CTX *parent, const char *name, const struct qs_plan *plan, const struct qs_instance *instance,
                             struct qs_queue *queue, const struct qs_operate *how, struct run **run, struct qs_error *err)
{
    *run = qs_run_new(parent, plan, instance, queue, how);
    if (!*run)
        return qs_fail(err, QS_NOMEM, "out of memory");
    snprintf((*run)->result->run, sizeof (*run)->result->run, "%s", name);
    return qs_run_open(*run, err);
}

enum qs_status qs_run_go_on(struct run *run, struct qs_error *err)
{
    enum qs_status status = run->journal ? QS_OK : qs_journal_open(run, run->dir, &run->journal, err);
    bool abandoned = run->plan->pace && !run->how->rest;
    if (status == QS_OK && !abandoned)
        status = run->plan->action == QS_ACT_RESTORE ? qs_run_restore(run, err) : perform_plan(run, err);
    if (run->journal)
        qs_run_wake(run);
    if (run->plan->action == QS_ACT_PURGE && (status != QS_OK || run->result->stopped))
        tell_quarantine(run);
    else if (run->plan->action == QS_ACT_PURGE)
        status = after_purge(run, err);
    if (status != QS_OK || (run->result->stopped && !run->plan->pace))
        return status;
    /* what stays in quarantine is not looked through for empty directories */
    if (run->plan->action != QS_ACT_PURGE || run->plan->after != QS_AFTER_KEEP || run->result->in_quarantine == 0)
        status = qs_fs_prune_run(run->fs, err);
    return status == QS_OK ? qs_journal_mark(run->journal, "end", err) : status;
}

enum qs_status qs_run_hand_over(TALLOC_CTX *parent, struct run *run, enum qs_status status, struct qs_run_result **result)
{
    *result = talloc_steal(parent, run->result);
    talloc_free(run);
    return status;
}

enum qs_status qs_apply(TALLOC_CTX *parent, const struct qs_plan *plan, const struct qs_instance *instance,
                        struct qs_queue *queue, const struct qs_operate *how, struct qs_run_result **result,
                        struct qs_error *err)
{
    if (plan->resubmit)
        return qs_fail(err, QS_USAGE, "a plan to resubmit is performed by `restore --resubmit` alone");
    struct run *run = qs_run_new(NULL, plan, instance, queue, how);
    if (!run)
        return qs_fail(err, QS_NOMEM, "out of memory");
    qs_run_name(run->result, plan, how);
    enum qs_status status = qs_run_open(run, err);
    char *path = talloc_asprintf(run, "%s/plan.jsonl", run->dir ? run->dir : "");
    if (status == QS_OK)
        status = qs_fs_make_dirs(run->dir, err);
    if (status == QS_OK)
        status = path ? qs_plan_write(plan, path, err) : qs_fail(err, QS_NOMEM, "out of memory");
    if (status != QS_OK)
        run->result->run[0] = '\0';     /* nothing was begun */
    else if ((status = qs_fs_run(run->fs, run->result->run, err)) == QS_OK)
        status = qs_run_go_on(run, err);
    return qs_run_hand_over(parent, run, status, result);
}
