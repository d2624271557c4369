/* SPDX-License-Identifier: Apache-2.0 */
/* What an operation does to a Postfix message on disk, as steps. Describes only; the one thing read here is the file itself.
 *
 * Facts: queue-formats A5 (marks and logs), A8 (triggers), A10 (what pickup deletes), A11 (claims), A12 (safe edits).
 * A message is claimed by a rename: to hold, which the queue manager never scans, or out of its sight into the run
 * directory. Files in active are only ever renamed: a lock or an edit there stops deliveries. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "postfix.h"
#include "record.h"

enum {
    PLACE = PF_PATH_MAX + 16,
    RECORD_LONGEST = 2048,      /* line_length_limit: pickup deletes a file with a longer record */
    PARTS_MOST = 4,             /* steps, as a rule: of a message and its three logs */
    STEPS_MOST = 8,             /* when recipients are taken off, beside one for each of them */
    LOG_LARGEST = 16 * 1024 * 1024,
};

bool pf_path(const struct qs_queue *queue, const struct qs_entry *e, char *to, size_t size)
{
    (void)queue;
    return pf_entry_path(e, to, size);
}

enum qs_lock_rule pf_lock_rule(const struct qs_queue *queue, const struct qs_entry *e)
{
    (void)queue;
    return e != NULL && pf_entry_dir(e) == PF_ACTIVE ? QS_LOCK_NONE : QS_LOCK_AFTER_CLAIM;
}

enum qs_status pf_owner(const struct qs_queue *queue, uid_t *uid, gid_t *gid, struct qs_error *err)
{
    struct passwd entry, *found = NULL;
    char text[4096];
    *uid = pf_queue_owner(queue);
    if (getpwuid_r(*uid, &entry, text, sizeof text, &found) != 0 || found == NULL)
        return qs_fail(err, QS_CONFIG, "user %u, who owns the queue, is not known on this host", (unsigned)*uid);
    *gid = found->pw_gid;
    return QS_OK;
}

bool pf_new_id(const struct qs_queue *queue, const char *old, uint64_t inode, unsigned attempt, char *to, size_t size)
{
    (void)queue;
    enum { USEC = 5, SECOND = 1000000, STRIDE = 7919 };     /* the stride has no factor in common with a second */
    if (!pf_id_valid(qs_span_of(old)))
        return false;
    struct pf_id id = pf_id_decode(old);
    int length;
    if (!id.long_form && attempt == 0)      /* the first five digits stay, so that it hashes to the same directory */
        length = snprintf(to, size, "%.*s%llX", USEC, old, (unsigned long long)inode);
    else if (!id.long_form)
        length = snprintf(to, size, "%05X%llX", (unsigned)((id.microseconds + (uint64_t)attempt * STRIDE) % SECOND),
                          (unsigned long long)inode);
    else
        length = pf_id_encode(&(struct pf_id){true, id.seconds, (uint32_t)((id.microseconds + (uint64_t)attempt * STRIDE) % SECOND),
                                              inode}, to, size);
    return length > 0 && (size_t)length < size;
}

bool pf_new_place(const struct qs_queue *queue, const char *own, const char *name, const char *old, const char *id, char *to,
              size_t size)
{
    const char *slash = strchr(name, '/'), *base = strrchr(name, '/');
    if (slash == NULL || strcmp(base + 1, old) != 0 || !pf_id_valid(qs_span_of(id)))
        return false;
    for (enum pf_dir dir = PF_MAILDROP; dir < PF_DIRS; dir++) {
        if (!qs_span_is((struct qs_span){name, (size_t)(slash - name)}, pf_dir_name(dir)))
            continue;
        if ((dir < PF_QUEUES) != (strcmp(name, own) == 0))
            return false;           /* a message has one file of its own, and logs */
        return pf_place_path(queue, dir == PF_ACTIVE ? PF_INCOMING : dir, id, to, size);
    }
    return false;
}

enum qs_status pf_wake(TALLOC_CTX *parent, const struct qs_queue *queue, enum qs_action action, struct qs_wake **wake,
                       size_t *count, struct qs_error *err)
{
    (void)queue;
    struct qs_wake *one = talloc_zero_array(parent, struct qs_wake, 2);
    if (one == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    switch (action) {
    case QS_ACT_RELEASE: *one = (struct qs_wake){"public/qmgr", "D"}; break;
    case QS_ACT_EXPEDITE: *one = (struct qs_wake){"public/qmgr", "I"}; break;
    case QS_ACT_REQUEUE: *one = (struct qs_wake){"public/pickup", "W"}; break;
    case QS_ACT_RESTORE:
        one[0] = (struct qs_wake){"public/qmgr", "DI"};
        one[1] = (struct qs_wake){"public/pickup", "W"};
        break;
    case QS_ACT_HOLD:
    case QS_ACT_PURGE:
    case QS_ACT_DEFER:
    case QS_ACT_DROP:
    case QS_ACT_REPAIR: break;
    }
    *wake = one;
    *count = action == QS_ACT_RESTORE ? 2 : one->path != NULL;
    return QS_OK;
}

/* --- lists of steps --------------------------------------------------------------------------------------------------- */

struct plan {
    struct qs_step *list;
    size_t count;
    char here[PLACE], parked[PLACE + 2];        /* the message now, and in the run directory */
    uint32_t shelf;
    bool no_memory;
};

static struct qs_step *step(struct plan *p, enum qs_step_kind kind, const char *from, const char *to)
{
    struct qs_step *s = &p->list[p->count++];
    *s = (struct qs_step){.kind = kind, .from = talloc_strdup(p->list, from),
                          .to = to != NULL ? talloc_strdup(p->list, to) : NULL};
    p->no_memory |= s->from == NULL || (to != NULL && s->to == NULL);
    return s;
}

static void park(struct plan *p)
{
    (void)step(p, QS_STEP_MOVE, p->here, p->parked);
}

static const char *place(struct plan *p, const struct qs_queue *queue, enum pf_dir dir, const char *id)
{
    char to[PLACE];
    char *kept = pf_place_path(queue, dir, id, to, sizeof to) ? talloc_strdup(p->list, to) : NULL;
    p->no_memory |= kept == NULL;
    return kept;
}

/* The ID by which a message goes on. One that is in active has a job in the queue manager's memory, found by the ID, until its
 * turn comes: were it to enter again under that ID meanwhile, its recipients would be added to the old job, and the new copy be
 * removed as one that has none left (qmgr_job_obtain, qmgr_active_feed; seen: mail was lost). So it gets a new one of the
 * same inode. */
static const char *next_id(struct plan *p, const struct qs_queue *queue, const struct qs_entry *e, char *to, size_t size)
{
    if (pf_entry_dir(e) != PF_ACTIVE)
        return e->id;
    p->no_memory |= !pf_new_id(queue, e->id, e->inode, 1, to, size);
    return to;
}

/* What was taken out of active comes back to deferred. */
static void back_to_deferred(struct plan *p, const struct qs_queue *queue, const struct qs_entry *e)
{
    char id[PLACE];
    if (pf_entry_dir(e) == PF_ACTIVE)
        p->list[0].back = place(p, queue, PF_DEFERRED, next_id(p, queue, e, id, sizeof id));
}

/* Gives a log the message's new ID, for good: it is of the message, wherever that goes. */
static void rename_log(struct plan *p, const struct qs_queue *queue, const struct qs_entry *e, enum pf_dir log)
{
    char id[PLACE], from[PLACE];
    const char *to = place(p, queue, log, next_id(p, queue, e, id, sizeof id));
    if (to == NULL || !pf_place_path(queue, log, e->id, from, sizeof from))
        return;
    struct qs_step *s = step(p, QS_STEP_MOVE, from, to);
    s->optional = s->log = true;
    s->back = to;
}

/* Moves the ID's file of a directory, if there is one, into the run directory. */
static void park_log(struct plan *p, const struct qs_queue *queue, const struct qs_entry *e, enum pf_dir log)
{
    char id[PLACE], from[PLACE], to[PLACE + 2];
    if (!pf_place_path(queue, log, e->id, from, sizeof from))
        return;
    snprintf(to, sizeof to, "@/%s/%u/%s", pf_dir_name(log), p->shelf, e->id);
    struct qs_step *s = step(p, QS_STEP_MOVE, from, to);
    s->optional = s->log = true;
    if (pf_entry_dir(e) == PF_ACTIVE)
        s->back = place(p, queue, log, next_id(p, queue, e, id, sizeof id));
}

/* The whole message, with its logs. */
static void park_all(struct plan *p, const struct qs_queue *queue, const struct qs_entry *e)
{
    const enum pf_dir dir = pf_entry_dir(e);
    park(p);
    back_to_deferred(p, queue, e);
    if (dir != PF_MAILDROP)
        park_log(p, queue, e, PF_DEFER);
    if (dir == PF_ACTIVE || pf_has_log(queue, e->id, PF_BOUNCE))
        park_log(p, queue, e, PF_BOUNCE);
    if (dir == PF_ACTIVE || pf_has_log(queue, e->id, PF_TRACE))
        park_log(p, queue, e, PF_TRACE);
}

static void times(struct plan *p, int64_t when)
{
    step(p, QS_STEP_TIMES, p->parked, NULL)->time = when;
}

static void move_into(struct plan *p, const struct qs_queue *queue, enum pf_dir dir, const char *id, const char *from)
{
    char to[PLACE];
    if (pf_place_path(queue, dir, id, to, sizeof to))
        (void)step(p, QS_STEP_MOVE, from, to);
    else
        p->no_memory = true;
}

/* --- a walk over the envelope records --------------------------------------------------------------------------------- */

/* Calls visit for each record outside the content, in reading order; the content is passed over as the queue manager does,
 * from the end of the first segment by the distance in record C. */
typedef enum qs_status (*visit_record)(void *data, const struct pf_record *record, struct qs_error *err);

static bool parse_offsets(struct qs_span text, uint64_t *size, uint64_t *offset)
{
    uint64_t field[2] = {0, 0};
    for (unsigned i = 0; i < 2; i++) {
        while (text.len > 0 && *text.ptr == ' ')
            text.ptr++, text.len--;
        size_t digits = 0;
        while (digits < text.len && text.ptr[digits] != ' ')
            digits++;
        if (!qs_parse_u64((struct qs_span){text.ptr, digits}, &field[i]))
            return false;
        text.ptr += digits;
        text.len -= digits;
    }
    *size = field[0];
    *offset = field[1];
    return true;
}

static enum qs_status walk(struct qs_file *file, visit_record visit, void *data, struct qs_error *err)
{
    struct pf_cursor at = pf_cursor_at(file, 0);
    uint64_t size = 0, offset = 0;
    for (unsigned records = 0; records < PF_RECORDS_MAX; records++) {
        struct pf_record r;
        enum qs_status status = pf_record_next(&at, &r, err);
        if (status == QS_END)
            return qs_fail(err, QS_DATA, "the file has no end record");
        if (status != QS_OK)
            return status;
        if (r.type == 'C' && offset == 0 && !parse_offsets(r.data, &size, &offset))
            return qs_fail(err, QS_DATA, "the size record is not one");
        status = visit(data, &r, err);
        if (status != QS_OK || r.type == 'E')
            return status;
        if (r.type == 'M') {
            if (offset == 0 || size > qs_file_size(file) || offset > qs_file_size(file) - size)
                return qs_fail(err, QS_DATA, "the size record leads out of the file");
            at = pf_cursor_at(file, offset + size);
        }
    }
    return qs_fail(err, QS_DATA, "too many records");
}

/* --- drop-recipients -------------------------------------------------------------------------------------------------- */

struct drop {
    const struct qs_surgery *what;
    struct plan *plan;
    TALLOC_CTX *parent;
    uint64_t *offsets;
    size_t dropped, kept;
};

static bool is_dropped(const struct qs_surgery *what, struct qs_span address)
{
    for (size_t i = 0; i < what->drop_count; i++)
        if (address.len == what->drop[i].len && memcmp(address.ptr, what->drop[i].ptr, address.len) == 0)
            return true;
    return false;
}

static enum qs_status visit_drop(void *data, const struct pf_record *r, struct qs_error *err)
{
    struct drop *d = data;
    if (r->type != 'R')
        return QS_OK;
    if (!is_dropped(d->what, r->data)) {
        d->kept++;
        return QS_OK;
    }
    uint64_t *grown = talloc_realloc(d->parent, d->offsets, uint64_t, (unsigned)d->dropped + 1);
    if (grown == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    d->offsets = grown;
    d->offsets[d->dropped++] = r->offset;
    return QS_OK;
}

static bool is_dropped_offset(const struct drop *d, uint64_t offset)
{
    for (size_t i = 0; i < d->dropped; i++)
        if (d->offsets[i] == offset)
            return true;
    return false;
}

/* Does this entry of a defer log belong to a recipient that is taken off? By its offset, which is that of the record; an old
 * log has only the address. */
static bool entry_dropped(const struct drop *d, struct qs_span entry)
{
    while (entry.len > 0) {
        const char *newline = memchr(entry.ptr, '\n', entry.len);
        struct qs_span line = {entry.ptr, newline != NULL ? (size_t)(newline - entry.ptr) : entry.len};
        uint64_t offset = 0;
        if (qs_span_starts(line, "offset=") &&
            qs_parse_u64((struct qs_span){line.ptr + 7, line.len - 7}, &offset) && offset > 0)
            return is_dropped_offset(d, offset);
        if (qs_span_starts(line, "<")) {
            const char *close = memchr(line.ptr, '>', line.len);
            if (close != NULL && is_dropped(d->what, (struct qs_span){line.ptr + 1, (size_t)(close - line.ptr - 1)}) &&
                memmem(entry.ptr, entry.len, "\noffset=", 8) == NULL)
                return true;
        }
        size_t used = line.len + (newline != NULL);
        entry.ptr += used;
        entry.len -= used;
    }
    return false;
}

/* The log without the entries of dropped recipients; entries are separated by empty lines. */
static bool log_without(const struct drop *d, struct qs_buffer *out, struct qs_span log)
{
    while (log.len > 0) {
        const char *gap = memmem(log.ptr, log.len, "\n\n", 2);
        size_t length = gap != NULL ? (size_t)(gap - log.ptr) + 2 : log.len;
        if (!entry_dropped(d, (struct qs_span){log.ptr, length}) && !qs_buffer_add(out, (struct qs_span){log.ptr, length}))
            return false;
        log.ptr += length;
        log.len -= length;
    }
    return true;
}

static enum qs_status rewrite_log(struct drop *d, const struct qs_queue *queue, const struct qs_entry *e,
                                  struct qs_reader *reader, struct qs_error *err)
{
    char live[PLACE], fresh[PLACE + 8];
    enum qs_status status = pf_open_log(queue, e, PF_DEFER, reader->side, err);
    if (status == QS_GONE)
        return QS_OK;
    if (status != QS_OK)
        return status;
    uint64_t size = qs_file_size(reader->side);
    if (size > LOG_LARGEST || !pf_place_path(queue, PF_DEFER, e->id, live, sizeof live))
        return qs_fail(err, QS_USAGE, "its defer log is too large to be rewritten");
    struct qs_buffer old, new;
    qs_buffer_init(&old, d->parent);
    qs_buffer_init(&new, d->parent);
    while (old.len < size) {
        struct qs_span part;
        status = qs_file_at(reader->side, old.len, 1, &part, err);
        if (status == QS_END)
            break;
        if (status != QS_OK)
            return status;
        if (!qs_buffer_add(&old, part))
            return qs_fail(err, QS_NOMEM, "out of memory");
    }
    if (!log_without(d, &new, (struct qs_span){old.data, old.len}))
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (new.len == old.len)
        return QS_OK;
    snprintf(fresh, sizeof fresh, "@/new/%s", live);
    if (new.len > 0)
        step(d->plan, QS_STEP_CREATE, live, fresh)->data = (struct qs_span){new.data, new.len};
    park_log(d->plan, queue, e, PF_DEFER);
    if (new.len > 0)
        step(d->plan, QS_STEP_MOVE, fresh, live)->log = true;
    return QS_OK;
}

static enum qs_status plan_drop(struct plan *p, TALLOC_CTX *parent, const struct qs_queue *queue, const struct qs_entry *e,
                                struct qs_reader *reader, const struct qs_surgery *what, struct qs_error *err)
{
    struct drop d = {.what = what, .plan = p, .parent = parent};
    enum qs_status status = walk(reader->message, visit_drop, &d, err);
    if (status != QS_OK)
        return status;
    if (d.dropped == 0)
        return qs_fail(err, QS_USAGE, "none of the recipients to be taken off waits in it");
    if (d.kept == 0) {              /* the whole message is for nobody: into the run directory, until an undo */
        park_all(p, queue, e);
        return QS_OK;
    }
    struct qs_step *more = talloc_realloc(parent, p->list, struct qs_step, (unsigned)(STEPS_MOST + d.dropped));
    if (more == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    p->list = more;
    park(p);
    times(p, QS_TIME_AS_BEFORE);    /* for the way back: the last thing that undoing does to the file */
    for (size_t i = 0; i < d.dropped; i++) {
        struct qs_step *s = step(p, QS_STEP_BYTE, p->parked, NULL);
        s->offset = d.offsets[i];
        s->expect = 'R';
        s->byte = '/';
    }
    status = rewrite_log(&d, queue, e, reader, err);
    if (status != QS_OK)
        return status;
    times(p, QS_TIME_AS_BEFORE);
    (void)step(p, QS_STEP_MOVE, p->parked, p->here);
    return QS_OK;
}

/* --- requeue ---------------------------------------------------------------------------------------------------------- */

struct check {
    bool sender, end;
    size_t recipients;
};

static enum qs_status visit_check(void *data, const struct pf_record *r, struct qs_error *err)
{
    struct check *c = data;
    if (r->data.len > RECORD_LONGEST)
        return qs_fail(err, QS_USAGE, "a record of %zu bytes: pickup would delete the message", r->data.len);
    if (r->type == '\0' || strchr("MCTcFILSDRO/WVA>K<inXEreP", r->type) == NULL)
        return qs_fail(err, QS_USAGE, "a record of a type that pickup would not take");
    c->sender |= r->type == 'S';
    c->end |= r->type == 'E';
    c->recipients += r->type == 'R';
    return QS_OK;
}

/* pickup(8) deletes what it does not like: only a file that it will take may go to maildrop. */
static enum qs_status check_requeue(const struct qs_queue *queue, const struct qs_entry *e, struct qs_reader *reader,
                                    struct qs_error *err)
{
    struct check c = {0};
    const struct stat *st = qs_file_stat(reader->message);
    if (st->st_nlink != 1)
        return qs_fail(err, QS_USAGE, "it has %u hard links: pickup would delete it", (unsigned)st->st_nlink);
    if (st->st_uid != pf_queue_owner(queue) || (st->st_mode & S_IROTH) != 0)
        return qs_fail(err, QS_USAGE, "its owner or mode is not that of a queued message");
    static const enum pf_dir reports[] = {PF_BOUNCE, PF_TRACE};
    for (size_t i = 0; i < sizeof reports / sizeof *reports; i++) {
        enum qs_status status = pf_open_log(queue, e, reports[i], reader->side, err);
        if (status == QS_OK && qs_file_size(reader->side) > 0)
            return qs_fail(err, QS_USAGE, "a %s report waits to be sent for it and would be lost: let it be tried once first",
                           pf_dir_name(reports[i]));
        if (status != QS_OK && status != QS_GONE)
            return status;
    }
    enum qs_status status = walk(reader->message, visit_check, &c, err);
    if (status != QS_OK)
        return status;
    if (!c.sender || c.recipients == 0)
        return qs_fail(err, QS_USAGE, "it has %s: pickup would delete it", c.sender ? "no recipient left" : "no sender");
    return QS_OK;
}

/* --- each action ------------------------------------------------------------------------------------------------------ */

static enum qs_status refuse(enum pf_dir dir, const char *why, struct qs_error *err)
{
    return qs_fail(err, QS_USAGE, "it is in %s: %s", pf_dir_name(dir), why);
}

static enum qs_status plan_action(struct plan *p, TALLOC_CTX *parent, const struct qs_queue *queue, const struct qs_entry *e,
                                  struct qs_reader *reader, const struct qs_surgery *what, struct qs_error *err)
{
    static const enum pf_dir logs[] = {PF_DEFER, PF_BOUNCE, PF_TRACE};
    enum pf_dir dir = pf_entry_dir(e);
    bool waits = dir == PF_DEFERRED || dir == PF_INCOMING;
    enum qs_status status = QS_OK;
    char id[PLACE];
    switch (what->action) {
    case QS_ACT_HOLD:
        if (!waits && dir != PF_ACTIVE)
            return refuse(dir, "not one of the queues that hold takes from", err);
        move_into(p, queue, PF_HOLD, next_id(p, queue, e, id, sizeof id), p->here);
        back_to_deferred(p, queue, e);
        for (size_t i = 0; dir == PF_ACTIVE && i < sizeof logs / sizeof *logs; i++)
            rename_log(p, queue, e, logs[i]);
        return QS_OK;
    case QS_ACT_RELEASE:
        if (dir != PF_HOLD)
            return refuse(dir, "not on hold", err);
        park(p);                /* so that the lock tells whether an agent of before the hold still works on it */
        move_into(p, queue, PF_DEFERRED, e->id, p->parked);
        return QS_OK;
    case QS_ACT_PURGE:
        park_all(p, queue, e);
        return QS_OK;
    case QS_ACT_DEFER:
        if (!waits)
            return refuse(dir, "only waiting mail can be deferred", err);
        park(p);
        times(p, what->until);
        move_into(p, queue, PF_DEFERRED, e->id, p->parked);
        return QS_OK;
    case QS_ACT_EXPEDITE:
        if (dir == PF_ACTIVE)
            return qs_fail(err, QS_BUSY, "it is in active: being delivered already");
        if (!waits && dir != PF_HOLD)
            return refuse(dir, "nothing to expedite", err);
        park(p);
        times(p, what->now);
        move_into(p, queue, PF_INCOMING, e->id, p->parked);
        return QS_OK;
    case QS_ACT_REQUEUE:
        if (!waits && dir != PF_HOLD)
            return refuse(dir, "only waiting or held mail can be requeued", err);
        status = check_requeue(queue, e, reader, err);
        if (status != QS_OK)
            return status;
        park(p);
        park_log(p, queue, e, PF_DEFER);    /* its ID ends with the requeue */
        times(p, what->now);
        move_into(p, queue, PF_MAILDROP, e->id, p->parked);
        return QS_OK;
    case QS_ACT_DROP:
        if (!waits && dir != PF_HOLD)
            return refuse(dir, "recipients can be taken off waiting or held mail only", err);
        return plan_drop(p, parent, queue, e, reader, what, err);
    case QS_ACT_REPAIR:
        return qs_fail(err, QS_USAGE, "a message needs no repair: inspect() describes what does");
    case QS_ACT_RESTORE:
        return refuse(dir, "it is there", err);
    }
    return QS_OK;
}

enum qs_status pf_steps(TALLOC_CTX *parent, const struct qs_queue *queue, const struct qs_entry *e, struct qs_reader *reader,
                        const struct qs_envelope *envelope, const struct qs_surgery *what, struct qs_step **list, size_t *count,
                        struct qs_error *err)
{
    (void)envelope;
    struct plan p = {.list = talloc_array(parent, struct qs_step, PARTS_MOST)};
    if (p.list == NULL || !pf_entry_path(e, p.here, sizeof p.here))
        return qs_fail(err, p.list == NULL ? QS_NOMEM : QS_GONE, "%s", p.list == NULL ? "out of memory" : "left the queue");
    p.shelf = what->shelf;
    snprintf(p.parked, sizeof p.parked, "@/%s/%u/%s", pf_dir_name(pf_entry_dir(e)), p.shelf, e->id);
    enum qs_status status = plan_action(&p, parent, queue, e, reader, what, err);
    if (status == QS_OK && p.no_memory)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status != QS_OK) {
        talloc_free(p.list);
        return status;
    }
    *list = p.list;
    *count = p.count;
    return QS_OK;
}
