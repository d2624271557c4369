/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: made from a view, written, read and checked. */
#include "qsurgeon/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "fsops.h"
#include "qsurgeon/arena.h"

enum { PLAN_VERSION = 1, PATH_LONGEST = 600, FILE_LARGEST = 1 << 30, LINE_LONGEST = 1 << 20 };

static const char *const action_words[QS_ACTIONS] = {
    [QS_ACT_HOLD] = "hold", [QS_ACT_RELEASE] = "release", [QS_ACT_PURGE] = "purge", [QS_ACT_DEFER] = "defer",
    [QS_ACT_EXPEDITE] = "expedite", [QS_ACT_REQUEUE] = "requeue", [QS_ACT_DROP] = "drop-recipients",
    [QS_ACT_REPAIR] = "repair",
    [QS_ACT_RESTORE] = "restore",
};

static const char *const after_words[] = {
    [QS_AFTER_ARCHIVE] = "archive", [QS_AFTER_KEEP] = "keep", [QS_AFTER_UNLINK] = "unlink",
};

const char *qs_action_name(enum qs_action action)
{
    return action_words[action];
}

bool qs_action_parse(struct qs_span word, enum qs_action *out)
{
    for (unsigned a = 0; a < QS_ACTIONS; a++)
        if (qs_span_is(word, action_words[a])) {
            *out = (enum qs_action)a;
            return true;
        }
    return false;
}

/* --- making ----------------------------------------------------------------------------------------------------------- */

/* Has the action a meaning for a message where it is? What needs a closer look is refused later, message by message. */
static bool fits(const struct qs_message *m, enum qs_action action)
{
    bool held = m->flags & QS_ENV_HELD, lost = m->flags & QS_ENV_LOST;
    switch (action) {
    case QS_ACT_PURGE: return true;
    case QS_ACT_RELEASE: return held;
    case QS_ACT_HOLD: return !held && !lost;
    case QS_ACT_DEFER: return !held && !lost;
    case QS_ACT_EXPEDITE: return !lost;
    case QS_ACT_REQUEUE: return !lost;
    case QS_ACT_DROP: return !lost;
    case QS_ACT_REPAIR: return false;
    case QS_ACT_RESTORE: return false;
    }
    return false;
}

static bool guarded(const struct qs_view *view, uint32_t i, const struct qs_guard *guard, struct qs_plan *plan)
{
    if (!view->judgement)               /* named by ID, all of them wanted: see qs_session_open_list() */
        return false;
    uint8_t verdict = view->judgement->of[i].verdict;
    if (verdict == QS_LEGIT && !guard->include_legit) {
        plan->left_legit++;
        return true;
    }
    if (verdict == QS_UNSURE && !guard->unsure_named) {
        plan->left_unsure++;
        return true;
    }
    return false;
}

static const char *reason_of(struct qs_plan *plan, const struct qs_view *view, uint32_t i)
{
    const struct qs_finding *f = &view->judgement->of[i];
    uint32_t group = view->judgement->group_of[i];
    return talloc_asprintf(plan->items, "%s %s%s%s", qs_verdict_name((enum qs_verdict)f->verdict),
                           qs_cause_name((enum qs_cause)f->cause), group == QS_NO_CLUSTER ? "" : " ",
                           group == QS_NO_CLUSTER ? "" : view->judgement->group[group].name);
}

/* Messages of one cluster mostly share their reason: the string is made once for each run of equal ones. */
struct last_reason {
    uint32_t group;
    uint8_t verdict, cause;
    const char *text;
};

static bool add_item(struct qs_plan *plan, const struct qs_view *view, uint32_t i, struct qs_arena *paths,
                     struct last_reason *last)
{
    const struct qs_scan *scan = view->scan;
    const struct qs_message *m = &scan->messages[i];
    const struct qs_scan_queue *q = &scan->queues[m->instance];
    struct qs_entry entry = {m->id, m->dir, m->kind, m->inode};
    char path[PATH_LONGEST];
    if (!q->instance->format->path(q->queue, &entry, path, sizeof path))
        return false;
    static const struct qs_finding none = {0};
    const struct qs_finding *f = view->judgement ? &view->judgement->of[i] : &none;
    uint32_t group = view->judgement ? view->judgement->group_of[i] : QS_NO_CLUSTER;
    if (!view->judgement)
        last->text = "named by its ID";
    else if (!last->text || last->group != group || last->verdict != f->verdict || last->cause != f->cause)
        *last = (struct last_reason){group, f->verdict, f->cause, reason_of(plan, view, i)};
    struct qs_plan_item *item = &plan->items[plan->count];
    *item = (struct qs_plan_item){
        .id = m->id, .queue_name = qs_sym_str(scan->strings, m->queue_name), .path = qs_arena_strdup(paths, qs_span_of(path)),
        .reason = last->text, .inode = m->inode, .size = m->size, .digest = m->digest, .arrival = m->arrival,
        .born = m->born, .unread = m->flags & QS_ENV_UNREAD, .dir = m->dir, .kind = m->kind, .placed = true,
    };
    if (!item->path || !item->reason)
        return false;
    plan->count++;
    plan->bytes += m->size;
    return true;
}

static enum qs_status check_guards(const struct qs_plan *plan, const struct qs_view *view, const struct qs_guard *guard,
                                   struct qs_error *err)
{
    if (plan->count == 0 && plan->left_legit)
        return qs_fail(err, QS_USAGE, "nothing to do: all %u selected messages are legit%s; --include-legit takes them",
                       plan->left_legit + plan->left_unsure, plan->left_unsure ? " or unsure" : "");
    if (plan->count == 0 && plan->left_unsure)
        return qs_fail(err, QS_USAGE, "nothing to do: all %u selected messages are unsure; name them with --verdict unsure, "
                       "--cluster or --id", plan->left_unsure);
    if (plan->count == 0 && plan->left_unfit)
        return qs_fail(err, QS_USAGE, "nothing to do: for none of the %u selected messages %s has a meaning", plan->left_unfit,
                       qs_action_name(plan->action));
    if (plan->count == 0)
        return qs_fail(err, QS_USAGE, "nothing to do: no message in the queue fits the selection");
    if (guard->max && plan->count > guard->max)
        return qs_fail(err, QS_USAGE, "%u messages are more than --max %u allows", plan->count, guard->max);
    double share = 100.0 * plan->count / view->scan->count;
    if (guard->max_share > 0 && share > guard->max_share)
        return qs_fail(err, QS_USAGE, "%u messages are %.1f %% of the queue, more than --max-share %.1f allows", plan->count, share,
                       guard->max_share);
    return QS_OK;
}

enum qs_status qs_plan_make(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                            const struct qs_plan_wish *wish, const struct qs_guard *guard, struct qs_plan **out,
                            struct qs_error *err)
{
    const struct qs_scan *scan = view->scan;
    if (scan->queue_count != 1)
        return qs_fail(err, QS_USAGE, "%zu queues are in view; name the one to operate on with --queue", scan->queue_count);
    const struct qs_scan_queue *q = &scan->queues[0];
    if (!q->queue)
        return qs_fail(err, QS_USAGE, "this is a saved scan; operate on the queue itself");
    if (!(q->instance->format->actions & 1u << wish->action))
        return qs_fail(err, QS_USAGE, "%s has no way to %s a message", q->instance->format->name, qs_action_name(wish->action));
    struct stat st;
    if (stat(q->instance->queue_dir, &st) != 0)
        return qs_fail_errno(err, errno, "%s", q->instance->queue_dir);

    struct qs_plan *plan = talloc_zero(parent, struct qs_plan);
    struct qs_arena *paths = plan ? qs_arena_new(plan) : NULL;
    if (paths)
        plan->items = talloc_array(plan, struct qs_plan_item, scan->count ? scan->count : 1);
    if (!paths || !plan->items) {
        talloc_free(plan);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    plan->host = wish->host;
    plan->mta = q->instance->format->name;
    plan->instance = q->instance->name;
    plan->queue_dir = q->instance->queue_dir;
    plan->config = q->instance->config;
    plan->tool = QS_VERSION;
    plan->words = wish->words;
    plan->note = wish->note;
    plan->made = view->now;
    plan->device = st.st_dev;
    plan->action = wish->action;
    plan->after = wish->after;
    plan->output = wish->output;
    plan->until = wish->until;
    plan->pace = wish->pace;
    plan->drop = wish->drop;
    plan->drop_count = wish->drop_count;
    struct last_reason last = {0};
    enum qs_status status = QS_OK;
    for (uint32_t i = 0; status == QS_OK && i < scan->count; i++) {
        if (!selected[i])
            continue;
        if (!fits(&scan->messages[i], wish->action))
            plan->left_unfit++;
        else if (!guarded(view, i, guard, plan) && !add_item(plan, view, i, paths, &last))
            status = qs_fail(err, QS_NOMEM, "out of memory");
    }
    if (status == QS_OK)
        status = check_guards(plan, view, guard, err);
    if (status == QS_OK)
        *out = plan;
    else
        talloc_free(plan);
    return status;
}

/* --- writing ---------------------------------------------------------------------------------------------------------- */

/* What stands in an item line needs no escaping: checked here and when read. */
static bool plain(const char *text, const char *more)
{
    for (; *text; text++) {
        char c = *text;
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && !strchr(more, c))
            return false;
    }
    return true;
}

static bool plain_item(const struct qs_plan_item *item)
{
    return item->id[0] && plain(item->id, "_") && plain(item->queue_name, "-_.") && plain(item->path, "-_./+=") &&
           item->path[0] != '/' && !strstr(item->path, "..") && plain(item->reason, " -");
}

static bool add_json(struct qs_buffer *to, json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    bool ok = text && qs_buffer_add(to, qs_span_of(text)) && qs_buffer_add_char(to, '\n');
    free(text);
    json_decref(object);
    return ok;
}

static json_t *text_or_null(const char *text)
{
    return text ? json_stringn_nocheck(text, strlen(text)) : json_null();
}

static json_t *header_of(const struct qs_plan *p)
{
    json_t *drop = json_array();
    for (size_t i = 0; i < p->drop_count; i++)
        json_array_append_new(drop, text_or_null(p->drop[i]));
    json_t *object = json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:s, s:s, s:I, s:I, s:o, s:I, s:I}",
                     "qsurgeon_plan", PLAN_VERSION, "host", text_or_null(p->host), "mta", text_or_null(p->mta),
                     "instance", text_or_null(p->instance), "queue_dir", text_or_null(p->queue_dir),
                     "config", text_or_null(p->config), "tool", text_or_null(p->tool), "selection", text_or_null(p->words),
                     "note", text_or_null(p->note), "made", (json_int_t)p->made, "device", (json_int_t)p->device,
                     "action", qs_action_name(p->action), "after", after_words[p->after], "until", (json_int_t)p->until,
                     "pace", (json_int_t)p->pace,
                     "drop", drop, "messages", (json_int_t)p->count, "bytes", (json_int_t)p->bytes);
    bool ok = object && (!p->archive || (json_object_set_new(object, "archive", text_or_null(p->archive)) == 0 &&
                                         json_object_set_new(object, "again", json_boolean(p->again)) == 0 &&
                                         json_object_set_new(object, "resubmit", json_boolean(p->resubmit)) == 0)) &&
              (!p->output || json_object_set_new(object, "output", text_or_null(p->output)) == 0);
    if (ok)
        return object;
    json_decref(object);
    return NULL;
}

static bool add_text(struct qs_buffer *to, const char *key, const char *text)
{
    return qs_buffer_add(to, qs_span_of(key)) && qs_buffer_add(to, qs_span_of(text));
}

static bool add_time(struct qs_buffer *to, const char *key, int64_t time)
{
    return add_text(to, key, time < 0 ? "-" : "") && qs_buffer_add_number(to, time < 0 ? -(uint64_t)time : (uint64_t)time);
}

static bool add_item_line(struct qs_buffer *to, const struct qs_plan_item *item)
{
    char digest[17];
    bool ok = add_text(to, "{\"id\":\"", item->id) && add_text(to, "\",\"queue\":\"", item->queue_name) &&
              add_text(to, "\",\"path\":\"", item->path) && add_text(to, "\",\"inode\":", "") &&
              qs_buffer_add_number(to, item->inode) && add_text(to, ",\"size\":", "") && qs_buffer_add_number(to, item->size) &&
              add_time(to, ",\"arrival\":", item->arrival);
    if (ok && item->born)
        ok = add_time(to, ",\"born\":", item->born);
    if (ok && !item->unread) {
        snprintf(digest, sizeof digest, "%016" PRIx64, item->digest);
        ok = add_text(to, ",\"digest\":\"", digest) && add_text(to, "\"", "");
    }
    return ok && add_text(to, ",\"reason\":\"", item->reason) && add_text(to, "\"}\n", "");
}

static void hex_digest(struct qs_span bytes, char hex[33])
{
    XXH128_hash_t h = XXH3_128bits(bytes.ptr, bytes.len);
    snprintf(hex, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64, (uint64_t)h.low64);
}

enum qs_status qs_plan_write(const struct qs_plan *plan, const char *path, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_buffer text;
    char hex[33];
    qs_buffer_init(&text, scratch);
    json_t *output = plan->output ? json_string(plan->output) : json_null();
    enum qs_status status = output ? QS_OK : qs_fail(err, QS_DATA, "the path of the archive is not UTF-8");
    json_decref(output);
    bool ok = status == QS_OK && add_json(&text, header_of(plan));
    for (uint32_t i = 0; ok && status == QS_OK && i < plan->count; i++) {
        if (!plain_item(&plan->items[i]))
            status = qs_fail(err, QS_DATA, "%s: a name that no plan may hold", plan->items[i].id);
        else
            ok = add_item_line(&text, &plan->items[i]);
    }
    hex_digest((struct qs_span){text.data, text.len}, hex);
    ok = ok && add_json(&text, json_pack("{s:b, s:I, s:s}", "end", 1, "messages", (json_int_t)plan->count, "xxh3_128", hex));
    if (status == QS_OK && !ok)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        status = qs_fs_write_new(path, (struct qs_span){text.data, text.len}, err);
    talloc_free(scratch);
    return status;
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

/* The file's first `most` bytes. */
static enum qs_status read_file(TALLOC_CTX *parent, const char *path, off_t most, struct qs_buffer *out, struct qs_error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return qs_fail_errno(err, errno, "%s", path);
    qs_buffer_init(out, parent);
    enum qs_status status = QS_OK;
    size_t wanted = 0;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_LARGEST)
        status = qs_fail(err, QS_DATA, "%s: not a plan", path);
    else if (!qs_buffer_reserve(out, (wanted = (size_t)(st.st_size < most ? st.st_size : most)) + 1))
        status = qs_fail(err, QS_NOMEM, "out of memory");
    while (status == QS_OK && out->len < wanted) {
        ssize_t n = read(fd, out->data + out->len, wanted - out->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = qs_fail_errno(err, errno, "%s", path);
        if (n <= 0)
            break;
        out->len += (size_t)n;
    }
    close(fd);
    return status;
}

static bool take_text(struct qs_plan *plan, const json_t *object, const char *key, bool required, const char **out)
{
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value))
        return !required;
    const char *text = json_string_value(value);
    if (!text || strlen(text) != json_string_length(value))
        return false;
    *out = talloc_strdup(plan, text);
    return *out != NULL;
}

static bool take_number(const json_t *object, const char *key, int64_t low, int64_t *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < low)
        return false;
    *out = json_integer_value(value);
    return true;
}

static bool take_word(const json_t *object, const char *key, struct qs_span *out)
{
    *out = qs_span_of(json_string_value(json_object_get(object, key)));
    return out->len > 0;
}

static bool take_drop(struct qs_plan *plan, const json_t *object)
{
    const json_t *list = json_object_get(object, "drop");
    plan->drop_count = json_array_size(list);
    plan->drop = talloc_array(plan, char *, (unsigned)(plan->drop_count + 1));
    for (size_t i = 0; plan->drop && i < plan->drop_count; i++) {
        const char *address = json_string_value(json_array_get(list, i));
        plan->drop[i] = address ? talloc_strdup(plan->drop, address) : NULL;
        if (!plan->drop[i])
            return false;
    }
    return plan->drop != NULL;
}

static bool take_header(struct qs_plan *p, const json_t *object)
{
    int64_t version = 0, device = 0, count = 0, bytes = 0, pace = 0;
    struct qs_span action, after;
    if (!take_number(object, "qsurgeon_plan", PLAN_VERSION, &version) || version != PLAN_VERSION ||
        !take_text(p, object, "host", true, &p->host) || !take_text(p, object, "mta", true, &p->mta) ||
        !take_text(p, object, "instance", true, &p->instance) || !take_text(p, object, "queue_dir", true, &p->queue_dir) ||
        !take_text(p, object, "config", false, &p->config) || !take_text(p, object, "tool", true, &p->tool) ||
        !take_text(p, object, "selection", true, &p->words) || !take_text(p, object, "note", false, &p->note) ||
        !take_text(p, object, "archive", false, &p->archive) || !take_text(p, object, "output", false, &p->output) ||
        !take_number(object, "made", 0, &p->made) || !take_number(object, "device", 0, &device) ||
        !take_number(object, "until", 0, &p->until) || !take_number(object, "messages", 0, &count) ||
        !take_number(object, "bytes", 0, &bytes) || count > UINT32_MAX || !take_word(object, "action", &action) ||
        (json_object_get(object, "pace") && !take_number(object, "pace", 0, &pace)) || pace > UINT32_MAX ||
        !qs_action_parse(action, &p->action) || !take_word(object, "after", &after) || !take_drop(p, object))
        return false;
    p->device = (uint64_t)device;
    p->again = json_is_true(json_object_get(object, "again"));
    p->resubmit = json_is_true(json_object_get(object, "resubmit"));
    if ((p->action == QS_ACT_RESTORE) != (p->archive != NULL))
        return false;
    p->count = (uint32_t)count;
    p->pace = (uint32_t)pace;
    p->bytes = (uint64_t)bytes;
    if (p->output && (p->action != QS_ACT_PURGE || p->output[0] != '/'))
        return false;
    for (unsigned a = 0; a < sizeof after_words / sizeof *after_words; a++)
        if (qs_span_is(after, after_words[a])) {
            p->after = (enum qs_plan_after)a;
            return true;
        }
    return false;
}

static bool take_item(struct qs_plan *plan, const json_t *object, struct qs_plan_item *item)
{
    int64_t inode = 0, size = 0;
    struct qs_span digest;
    item->unread = json_object_get(object, "digest") == NULL;
    if (!take_text(plan, object, "id", true, &item->id) || !take_text(plan, object, "queue", true, &item->queue_name) ||
        !take_text(plan, object, "path", true, &item->path) || !take_text(plan, object, "reason", true, &item->reason) ||
        !item->id || !item->queue_name || !item->path || !item->reason || !take_number(object, "inode", 0, &inode) ||
        !take_number(object, "size", 0, &size) || !take_number(object, "arrival", INT64_MIN, &item->arrival) ||
        ((item->unread || json_object_get(object, "born")) && !take_number(object, "born", 1, &item->born)) ||
        (!item->unread && (!take_word(object, "digest", &digest) || !qs_parse_u64_base(digest, 16, &item->digest))))
        return false;
    item->inode = (uint64_t)inode;
    item->size = (uint64_t)size;
    return strlen(item->id) < 256 && strlen(item->path) < PATH_LONGEST && plain_item(item);
}

/* The next line of text from *at, parsed; NULL at the end and for what is no JSON object. */
static json_t *next_line(struct qs_span text, size_t *at, size_t *begin)
{
    *begin = *at;
    const char *end = *at < text.len ? memchr(text.ptr + *at, '\n', text.len - *at) : NULL;
    if (!end || (size_t)(end - text.ptr) - *at > LINE_LONGEST)
        return NULL;
    json_t *object = json_loadb(text.ptr + *at, (size_t)(end - text.ptr) - *at, JSON_REJECT_DUPLICATES, NULL);
    *at = (size_t)(end - text.ptr) + 1;
    if (json_is_object(object))
        return object;
    json_decref(object);
    return NULL;
}

static enum qs_status parse_head(struct qs_plan *plan, struct qs_span text, size_t *at, const char *path, struct qs_error *err)
{
    size_t begin = 0;
    json_t *line = next_line(text, at, &begin);
    bool ok = line && take_header(plan, line);
    json_decref(line);
    return ok ? QS_OK : qs_fail(err, QS_DATA, "%s: not a plan of this version of qsurgeon", path);
}

static enum qs_status parse(struct qs_plan *plan, struct qs_span text, bool edited, const char *path, struct qs_error *err)
{
    size_t at = 0, begin = 0, number = 1;
    json_t *line = NULL;
    bool ok = true;
    enum qs_status status = parse_head(plan, text, &at, path, err);
    if (status != QS_OK)
        return status;
    uint32_t announced = plan->count, size = 0;
    for (plan->count = 0;;) {
        line = next_line(text, &at, &begin);
        number++;
        if (!line)
            return qs_fail(err, QS_DATA, "%s: line %zu is cut off or damaged; the plan is refused", path, number);
        if (json_object_get(line, "end"))
            break;
        if (plan->count == size) {
            size = size ? size * 2 : 256;
            struct qs_plan_item *grown = talloc_realloc(plan, plan->items, struct qs_plan_item, size);
            if (!grown) {
                json_decref(line);
                return qs_fail(err, QS_NOMEM, "out of memory");
            }
            plan->items = grown;
        }
        memset(&plan->items[plan->count], 0, sizeof *plan->items);
        ok = take_item(plan, line, &plan->items[plan->count]);
        json_decref(line);
        if (!ok)
            return qs_fail(err, QS_DATA, "%s: line %zu is not an item of a plan", path, number);
        plan->count++;
    }
    char hex[33];
    struct qs_span told;
    int64_t count = 0;
    hex_digest((struct qs_span){text.ptr, begin}, hex);
    bool complete = take_word(line, "xxh3_128", &told) && take_number(line, "messages", 0, &count) && at == text.len;
    bool same = complete && qs_span_is(told, hex) && count == plan->count && announced == plan->count;
    json_decref(line);
    if (!complete)
        return qs_fail(err, QS_DATA, "%s: the last line is damaged; the plan is refused", path);
    if (!same && !edited)
        return qs_fail(err, QS_DATA, "%s was changed since it was made; --edited performs it nevertheless", path);
    return QS_OK;
}

static enum qs_status read_plan(TALLOC_CTX *parent, const char *path, bool whole, bool edited, struct qs_plan **out,
                                struct qs_error *err)
{
    struct qs_plan *plan = talloc_zero(parent, struct qs_plan);
    struct qs_buffer text = {0};
    size_t at = 0;
    if (!plan)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = read_file(plan, path, whole ? FILE_LARGEST : LINE_LONGEST, &text, err);
    const struct qs_span all = {text.data, text.len};
    if (status == QS_OK)
        status = whole ? parse(plan, all, edited, path, err) : parse_head(plan, all, &at, path, err);
    talloc_free(text.data);
    if (status == QS_OK)
        *out = plan;
    else
        talloc_free(plan);
    return status;
}

enum qs_status qs_plan_read(TALLOC_CTX *parent, const char *path, bool edited, struct qs_plan **out, struct qs_error *err)
{
    return read_plan(parent, path, true, edited, out, err);
}

enum qs_status qs_plan_read_head(TALLOC_CTX *parent, const char *path, struct qs_plan **out, struct qs_error *err)
{
    return read_plan(parent, path, false, false, out, err);
}
