/* SPDX-License-Identifier: Apache-2.0 */
/* What an operation does to a sendmail message on disk, as steps. Describes only.
 *
 * Facts: queue-formats B2 (lines), B4 (locks), B5 (priority), B6 (quarantine), B8 (recipients). A control
 * file is never edited in place: its new image is made in the run directory, the old file goes there,
 * under sendmail's own lock, and the image takes a place in the queue by a rename. sendmail has no delay
 * of its own and no way back through its filters: defer and requeue are not offered. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "qf.h"
#include "sendmail.h"

enum { STEPS_MOST = 6, CONTROL_LARGEST = 16 * 1024 * 1024, REASON_LONGEST = 200 };

bool sm_file_path(const struct qs_queue *queue, const struct qs_entry *e, char *to, size_t size)
{
    char path[SM_PATH_MAX];
    const struct sm_dir *dir = sm_dir_at(queue, e->dir);
    if (dir == NULL || !sm_id_valid(qs_span_of(e->id)))
        return false;
    sm_path(dir, (char)e->kind, e->id, path);
    int length = snprintf(to, size, "%s", path);
    return length > 0 && (size_t)length < size;
}

enum qs_lock_rule sm_lock_rule(const struct qs_queue *queue, const struct qs_entry *e)
{
    (void)queue;
    (void)e;
    return QS_LOCK_BEFORE_CLAIM;
}

/* sendmail's daemon works as root on files of several owners (root, smmta, smmsp): so do operations, where
 * the base directory is root's; else as the owner of the base directory. */
enum qs_status sm_owner(const struct qs_queue *queue, uid_t *uid, gid_t *gid, struct qs_error *err)
{
    struct stat st;
    if (sm_takes_runs(queue))
        return qs_fail(err, QS_CONFIG, "QueueDirectory %.200s/*: sendmail would take the quarantine, %.200s/.qsurgeon, for one of "
                       "its queues; let it be %.200s/q* first", sm_root(queue), sm_root(queue), sm_root(queue));
    if (fstat(sm_base(queue), &st) != 0)
        return qs_fail_errno(err, errno, "the queue directory");
    bool root = st.st_uid == 0 || strcmp(sm_dir_at(queue, 0)->group, "mqueue") == 0;
    *uid = root ? 0 : st.st_uid;
    *gid = root ? 0 : st.st_gid;
    return QS_OK;
}

/* Queue IDs do not hang on inode numbers here: another one has another process ID in its last digits, which no sendmail makes for
 * a time that has passed. */
bool sm_new_id(const struct qs_queue *queue, const char *old, uint64_t inode, unsigned attempt, char *to, size_t size)
{
    enum { TIME = 8, MODULUS = 100000 };
    uint64_t process = 0;
    struct qs_span id = qs_span_of(old);
    (void)queue;
    (void)inode;
    if (!sm_id_valid(id))
        return false;
    int length = snprintf(to, size, "%s", old);
    if (attempt > 0 && (id.len <= TIME || !qs_parse_u64((struct qs_span){old + TIME, id.len - TIME}, &process)))
        return false;
    if (attempt > 0)
        length = snprintf(to, size, "%.*s%0*llu", TIME, old, (int)(id.len - TIME),
                          (unsigned long long)((process + attempt) % MODULUS));
    return length > 0 && (size_t)length < size && sm_id_valid(qs_span_of(to));
}

/* The directory part of a path: "q1" of "q1/df/dfID", "." of "dfID". */
static struct qs_span dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct qs_span dir = {path, slash != NULL ? (size_t)(slash - path) : 0};
    static const char *const subs[] = {"qf", "df", "xf"};
    for (size_t i = 0; i < sizeof subs / sizeof *subs; i++) {
        if (qs_span_is(dir, subs[i]))
            dir.len = 0;
        else if (dir.len > 3 && dir.ptr[dir.len - 3] == '/' && memcmp(dir.ptr + dir.len - 2, subs[i], 2) == 0)
            dir.len -= 3;
    }
    return dir.len > 0 ? dir : QS_SPAN(".");
}

bool sm_new_place(const struct qs_queue *queue, const char *own, const char *name, const char *old, const char *id, char *to,
              size_t size)
{
    char path[SM_PATH_MAX];
    uint32_t dir = 0;
    const char *slash = strrchr(name, '/'), *base = slash != NULL ? slash + 1 : name;
    struct qs_span here = dir_of(name), there = dir_of(own);
    bool control = base[0] == SM_NORMAL || base[0] == SM_QUARANTINED || base[0] == SM_LOST;
    if (!sm_id_valid(qs_span_of(id)) || base[0] == '\0' || base[1] != 'f' || strcmp(base + 2, old) != 0 ||
        control != (strcmp(name, own) == 0) || (!control && base[0] != SM_DATA && base[0] != SM_TRANSCRIPT))
        return false;
    /* A queue of another machine: the first directory takes what has none of its own here. Where the data file lay apart from
     * the control file, a d line names its directory: without that one here, sendmail would lose the message. */
    if (!sm_dir_named(queue, here, &dir) && (here.len != there.len || memcmp(here.ptr, there.ptr, here.len) != 0))
        return false;
    sm_path(sm_dir_at(queue, dir), base[0], id, path);
    int length = snprintf(to, size, "%s", path);
    return length > 0 && (size_t)length < size;
}

/* The daemon looks at its queue by its own clock; nothing wakes it. */
enum qs_status sm_wake(TALLOC_CTX *parent, const struct qs_queue *queue, enum qs_action action,
                       struct qs_wake **wake, size_t *count, struct qs_error *err)
{
    (void)parent;
    (void)queue;
    (void)action;
    (void)err;
    *wake = NULL;
    *count = 0;
    return QS_OK;
}

/* --- the new image
 * ---------------------------------------------------------------------------------------------------- */

struct image {
    const struct qs_surgery *what;
    struct qs_buffer bytes;
    char *unquoted;             /* room for an address */
    unsigned version;
    size_t kept, dropped;
    bool reason_done;
    size_t block;               /* where the M, Q and r lines before the next R begin in bytes; SIZE_MAX: none */
};

static bool is_dropped(struct image *im, struct qs_span text)
{
    struct qs_span address = sm_address(sm_recipient_of(text, im->version).address);
    if (sm_quoted(address)) {
        address.len = sm_unquote(im->unquoted, address);
        address.ptr = im->unquoted;
    }
    for (size_t i = 0; i < im->what->drop_count; i++)
        if (im->what->drop[i].len == address.len && memcmp(im->what->drop[i].ptr, address.ptr,
                                                           address.len) == 0)
            return true;
    return false;
}

static bool add_reason(struct image *im)
{
    if (im->what->action != QS_ACT_HOLD || im->reason_done)
        return true;
    im->reason_done = true;
    const char *reason = im->what->reason != NULL && im->what->reason[0] ? im->what->reason : "held by qsurgeon";
    if (!qs_buffer_add_char(&im->bytes, 'q'))
        return false;
    for (size_t i = 0; reason[i] && i < REASON_LONGEST; i++)
        if (!qs_buffer_add_char(&im->bytes, (unsigned char)reason[i] < ' ' || reason[i] == 127 ?
                                ' ' : reason[i]))
            return false;
    return qs_buffer_add_char(&im->bytes, '\n');
}

/* One logical line, `raw` as it stands in the file. */
static bool add_line(struct image *im, const struct sm_line *line, struct qs_span raw)
{
    enum qs_action action = im->what->action;
    bool expedite = action == QS_ACT_EXPEDITE;
    if (line->code == 'V') {
        uint64_t version = 0;
        if (qs_parse_u64(line->text, &version) && version <= SM_QF_VERSION)
            im->version = (unsigned)version;
    }
    if (line->code == 'q' && action != QS_ACT_DROP)
        return true;                        /* written anew by hold, gone with release */
    if (expedite && line->code == 'K')
        raw = QS_SPAN("K0\n");
    else if (expedite && line->code == 'N')
        raw = QS_SPAN("N0\n");
    else if (expedite && line->code == 'P')
        raw = QS_SPAN("P1\n");
    if (line->code == 'S' && !add_reason(im))
        return false;
    bool before_recipient = line->code == 'M' || line->code == 'Q' || line->code == 'r';
    if (before_recipient && im->block == SIZE_MAX)
        im->block = im->bytes.len;
    if (line->code == 'R' && action == QS_ACT_DROP && is_dropped(im, line->text)) {
        if (im->block != SIZE_MAX)
            im->bytes.len = im->block;      /* its M, Q and r lines go with it; C lines govern others and stay */
        im->block = SIZE_MAX;
        im->dropped++;
        return true;
    }
    im->kept += line->code == 'R';
    if (!before_recipient && line->code != 'C')
        im->block = SIZE_MAX;
    return qs_buffer_add(&im->bytes, raw);
}

static enum qs_status read_control(TALLOC_CTX *parent, struct qs_file *file, struct qs_buffer *out,
                                   struct qs_error *err)
{
    uint64_t size = qs_file_size(file);
    qs_buffer_init(out, parent);
    if (size > CONTROL_LARGEST)
        return qs_fail(err, QS_USAGE, "its control file is too large to be rewritten");
    while (out->len < size) {
        struct qs_span part;
        enum qs_status status = qs_file_at(file, out->len, 1, &part, err);
        if (status == QS_END)
            break;
        if (status != QS_OK)
            return status;
        if (!qs_buffer_add(out, part))
            return qs_fail(err, QS_NOMEM, "out of memory");
    }
    return QS_OK;
}

static enum qs_status make_image(TALLOC_CTX *parent, struct qs_reader *reader, const struct qs_surgery *what,
                                 struct qs_span *out, struct qs_error *err)
{
    struct qs_buffer old;
    struct image im = {.what = what, .block = SIZE_MAX};
    enum qs_status status = read_control(parent, reader->message, &old, err);
    if (status != QS_OK)
        return status;
    qs_buffer_init(&im.bytes, parent);
    im.unquoted = talloc_size(parent, old.len + 1);
    bool ok = im.unquoted != NULL, ended = false;
    struct sm_lines lines = sm_lines_of((struct qs_span){old.data, old.len});
    struct sm_line line;
    for (const char *begin = lines.at; ok && !ended && sm_line_next(&lines, &line); begin = lines.at) {
        ended = line.code == '.';
        if (ended)
            ok = add_reason(&im);           /* a message without a sender line */
        ok = ok && add_line(&im, &line, (struct qs_span){begin, (size_t)(lines.at - begin)});
    }
    if (!ok)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (!ended)
        return qs_fail(err, QS_USAGE, "its control file has no end line");
    if (what->action == QS_ACT_DROP && im.dropped == 0)
        return qs_fail(err, QS_USAGE, "none of the recipients to be taken off waits in it");
    if (what->action == QS_ACT_DROP && im.kept == 0)
        return QS_END;              /* no recipient would be left */
    *out = (struct qs_span){im.bytes.data, im.bytes.len};
    return QS_OK;
}

/* --- each action
 * ------------------------------------------------------------------------------------------------------ */

struct plan {
    struct qs_step *list;
    size_t count;
    bool no_memory;
};

static struct qs_step *step(struct plan *p, enum qs_step_kind kind, const char *from, const char *to)
{
    struct qs_step *s = &p->list[p->count++];
    *s = (struct qs_step){.kind = kind, .from = talloc_strdup(p->list, from), .to = talloc_strdup(p->list,
                                                                                                  to)};
    p->no_memory |= s->from == NULL || s->to == NULL;
    return s;
}

static void park(struct plan *p, const char *path, bool optional)
{
    char to[SM_PATH_MAX + 4];
    snprintf(to, sizeof to, "@/%s", path);
    step(p, QS_STEP_MOVE, path, to)->optional = optional;
}

/* The directory that a d line names, else the control file's own. */
static const struct sm_dir *data_dir(const struct qs_queue *queue, const struct qs_entry *e,
                                     struct qs_span bytes)
{
    struct sm_lines lines = sm_lines_of(bytes);
    struct sm_line line;
    uint32_t dir = e->dir;
    while (sm_line_next(&lines, &line) && line.code != '.')
        if (line.code == 'd' && !sm_dir_named(queue, line.text, &dir))
            return NULL;
    return sm_dir_at(queue, dir);
}

static enum qs_status plan_purge(struct plan *p, TALLOC_CTX *parent, const struct qs_queue *queue,
                                 const struct qs_entry *e, struct qs_reader *reader, const char *here,
                                 struct qs_error *err)
{
    char path[SM_PATH_MAX];
    struct qs_buffer bytes;
    enum qs_status status = read_control(parent, reader->message, &bytes, err);
    if (status != QS_OK)
        return status;
    park(p, here, false);
    const struct sm_dir *data = data_dir(queue, e, (struct qs_span){bytes.data, bytes.len});
    if (data == NULL)
        return qs_fail(err, QS_USAGE, "its data file is in a queue directory that is not known here");
    sm_path(data, SM_DATA, e->id, path);
    park(p, path, true);
    sm_path(sm_dir_at(queue, e->dir), SM_TRANSCRIPT, e->id, path);
    park(p, path, true);
    return QS_OK;
}

static enum qs_status plan_rewrite(struct plan *p, TALLOC_CTX *parent, const struct qs_queue *queue,
                                   const struct qs_entry *e, struct qs_reader *reader,
                                   const struct qs_surgery *what, const char *here, char letter,
                                   struct qs_error *err)
{
    char there[SM_PATH_MAX], fresh[SM_PATH_MAX + 8];
    struct qs_span image;
    enum qs_status status = make_image(parent, reader, what, &image, err);
    if (status != QS_OK)
        return status;
    sm_path(sm_dir_at(queue, e->dir), letter, e->id, there);
    snprintf(fresh, sizeof fresh, "@/new/%s", there);
    step(p, QS_STEP_CREATE, here, fresh)->data = image;
    park(p, here, false);
    (void)step(p, QS_STEP_MOVE, fresh, there);
    return QS_OK;
}

enum qs_status sm_steps(TALLOC_CTX *parent, const struct qs_queue *queue, const struct qs_entry *e,
                        struct qs_reader *reader, const struct qs_envelope *envelope,
                        const struct qs_surgery *what, struct qs_step **list, size_t *count,
                        struct qs_error *err)
{
    char here[SM_PATH_MAX];
    bool held = e->kind == SM_QUARANTINED, lost = e->kind == SM_LOST;
    struct plan p = {.list = talloc_array(parent, struct qs_step, STEPS_MOST)};
    (void)envelope;
    if (p.list == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = sm_file_path(queue, e, here, sizeof here) ? QS_OK
                                                                      : qs_fail(err, QS_GONE, "left the queue");
    if (status == QS_OK)
        switch (what->action) {
        case QS_ACT_PURGE:
            status = plan_purge(&p, parent, queue, e, reader, here, err);
            break;
        case QS_ACT_HOLD:
            status = held || lost ? qs_fail(err, QS_USAGE, held ?
                                            "in quarantine already" : "a lost message, never run anyway")
                                  : plan_rewrite(&p, parent, queue, e, reader, what, here, SM_QUARANTINED,
                                                 err);
            break;
        case QS_ACT_RELEASE:
            status = held ? plan_rewrite(&p, parent, queue, e, reader, what, here, SM_NORMAL, err)
                          : qs_fail(err, QS_USAGE, "not in quarantine");
            break;
        case QS_ACT_EXPEDITE:
            status = lost ? qs_fail(err, QS_USAGE, "a lost message")
                          : plan_rewrite(&p, parent, queue, e, reader, what, here, SM_NORMAL, err);
            break;
        case QS_ACT_DROP:
            status = lost ? qs_fail(err, QS_USAGE, "a lost message")
                          : plan_rewrite(&p, parent, queue, e, reader, what, here, (char)e->kind, err);
            if (status == QS_END)       /* the whole message is for nobody: into the run directory, until an undo */
                status = plan_purge(&p, parent, queue, e, reader, here, err);
            break;
        case QS_ACT_RESTORE:
        case QS_ACT_DEFER:
        case QS_ACT_REQUEUE:
        case QS_ACT_REPAIR:
            status = qs_fail(err, QS_USAGE, "sendmail has no way to do this");
            break;
        }
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
