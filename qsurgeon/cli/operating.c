/* SPDX-License-Identifier: Apache-2.0 */
#include "operating.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "due.h"
#include "qsurgeon/dns.h"
#include "qsurgeon/format.h"

char *qs_operating_host(TALLOC_CTX *parent)
{
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) != 0 || !name[0])
        return talloc_strdup(parent, "localhost");
    return talloc_strdup(parent, name);
}

/* Asking the MTA where its queue is takes longer than opening it. */
static bool is_in_view(const struct qs_call *call, const char *mta, const struct qs_place *place)
{
    const struct qs_instance *i = call->instance;
    return i && strcmp(i->format->name, mta) == 0 && strcmp(i->queue_dir, place->queue_dir) == 0 &&
           (i->config == place->config || (i->config && place->config && strcmp(i->config, place->config) == 0));
}

enum qs_status qs_operating_open(struct qs_call *call, const char *host, const char *mta, const char *queue_dir,
                                 const char *config, struct qs_instance **instance, struct qs_queue **queue,
                                 struct qs_error *err)
{
    char *here = qs_operating_host(call->memory);
    const struct qs_place place = {queue_dir, config};
    struct qs_instance **list = NULL;
    size_t count = 0;
    if (!here)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (strcmp(here, host) != 0)
        return qs_fail(err, QS_USAGE, "made on %s, this is %s: a plan is performed where it was made", host, here);
    struct qs_instance *found = is_in_view(call, mta, &place) ? call->instance : NULL;
    enum qs_status status = found ? QS_OK : qs_format_discover(call->memory, mta, &place, &list, &count, err);
    if (status == QS_OK && !found && count != 1)
        status = qs_fail(err, QS_NOQUEUE, "%s: not one queue of %s", queue_dir, mta);
    if (status == QS_OK && !found)
        found = list[0];
    if (status == QS_OK)
        status = found->format->open(call->memory, found, queue, err);
    if (status == QS_OK)
        *instance = found;
    return status;
}

enum qs_status qs_operating_allowed(const struct qs_instance *instance, const struct qs_queue *queue, struct qs_error *err)
{
    uid_t uid = 0;
    gid_t gid = 0;
    enum qs_status status = instance->format->owner(queue, &uid, &gid, err);
    if (status == QS_OK && geteuid() != 0 && geteuid() != uid)
        return qs_fail(err, QS_NOPERM, "%s: only root and the owner of the queue (user %u) may change it", instance->queue_dir,
                       (unsigned)uid);
    return status;
}

const char *qs_operating_state(const struct qs_call *call, const char *mta)
{
    return call->options->state ? call->options->state : talloc_asprintf(call->memory, "/var/lib/qsurgeon/%s", mta);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct qs_kept *)a)->name, ((const struct qs_kept *)b)->name);
}

enum qs_status qs_operating_kept(struct qs_call *call, struct qs_kept **list, size_t *count, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    *list = NULL;
    *count = 0;
    for (size_t f = 0; status == QS_OK && f < (call->options->state ? 1 : qs_format_count); f++) {
        char **names = NULL;
        size_t more = 0;
        const char *state = qs_operating_state(call, qs_formats[f]->name);
        status = state ? qs_run_names(call->memory, state, &names, &more, err) : qs_fail(err, QS_NOMEM, "out of memory");
        struct qs_kept *grown = status == QS_OK ? talloc_realloc(call->memory, *list, struct qs_kept, (unsigned)(*count + more) + 1)
                                                : NULL;
        if (status == QS_OK && !grown)
            return qs_fail(err, QS_NOMEM, "out of memory");
        for (size_t i = 0; status == QS_OK && i < more; i++)
            grown[(*count)++] = (struct qs_kept){state, names[i]};
        *list = status == QS_OK ? grown : *list;
    }
    if (status == QS_OK)
        qsort(*list, *count, sizeof **list, by_name);
    return status;
}

enum qs_status qs_operating_runs(struct qs_call *call, struct qs_run **list, size_t *count, struct qs_error *err)
{
    struct qs_kept *kept = NULL;
    size_t kept_count = 0, found = 0;
    enum qs_status status = qs_operating_kept(call, &kept, &kept_count, err);
    struct qs_run *runs = status == QS_OK ? talloc_array(call->memory, struct qs_run, (unsigned)kept_count + 1) : NULL;
    if (status == QS_OK && !runs)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    for (size_t i = 0; status == QS_OK && i < kept_count; i++) {
        struct qs_error why = {""};
        enum qs_status one = qs_run_describe(call->memory, kept[i].state, kept[i].name, &runs[found], &why);
        found += one == QS_OK;
        if (one == QS_NOMEM)
            status = qs_fail(err, one, "%s", why.text);
        else if (one != QS_OK && one != QS_USAGE) {     /* QS_USAGE: it died before it had a plan, and so did nothing */
            qs_complain("%s", why.text);
            call->left_out = true;
        }
    }
    if (status == QS_OK) {
        *list = runs;
        *count = found;
    }
    return status;
}

static volatile sig_atomic_t asked_to_stop;

static void on_signal(int number)
{
    (void)number;
    asked_to_stop = 1;
}

static bool keep_going(void *data, uint32_t done, uint32_t count)
{
    (void)data;
    (void)done;
    (void)count;
    return !asked_to_stop;
}

/* An empty directory of root alone is what is left when root dies before it was the owner's: it is made again. */
static void remove_unowned(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == 0 && (st.st_mode & 07777) == 0700)
        (void)rmdir(path);      /* fails unless it is empty */
}

static enum qs_status make_directories(const char *path, uid_t uid, gid_t gid, struct qs_error *err)
{
    char part[1024];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        return qs_fail(err, QS_USAGE, "%s: not a usable directory", path);
    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        part[i] = '\0';
        bool last = i == length;
        if (last && geteuid() == 0 && uid != 0)
            remove_unowned(part);
        if (TEMP_FAILURE_RETRY(mkdir(part, last ? 0700 : 0755)) == 0) {
            if (last && geteuid() == 0 && uid != 0 && TEMP_FAILURE_RETRY(chown(part, uid, gid)) != 0)
                return qs_fail_errno(err, errno, "%s", part);
        } else if (errno != EEXIST) {
            return qs_fail_errno(err, errno, "%s: cannot make the directory; --state names another", part);
        }
        part[i] = path[i];
    }
    return QS_OK;
}

enum qs_status qs_operating_directory(const char *path, uid_t uid, gid_t gid, struct qs_error *err)
{
    mode_t mask = umask(022);   /* its owner passes through what root makes above it, whatever root's umask is */
    enum qs_status status = make_directories(path, uid, gid, err);
    umask(mask);
    return status;
}

static enum qs_status become(uid_t uid, gid_t gid, struct qs_error *err)
{
    if (geteuid() != 0 || uid == 0)
        return QS_OK;
    if (setgroups(1, &gid) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return qs_fail_errno(err, errno, "cannot become the owner of the queue, user %u", (unsigned)uid);
    return QS_OK;
}

void qs_operating_heed_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* What every run begins with: may it be, whose is the queue, and a state directory of the owner. */
static enum qs_status prepare(struct qs_call *call, const struct qs_instance *instance, const struct qs_queue *queue,
                              struct qs_operate *how, uid_t *uid, gid_t *gid, struct qs_error *err)
{
    *how = (struct qs_operate){.state_dir = qs_operating_state(call, instance->format->name), .archive_fd = -1,
                               .now = time(NULL), .nonce = (unsigned)getpid(), .keep_going = keep_going};
    if (!how->state_dir)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = qs_operating_allowed(instance, queue, err);
    if (status == QS_OK)
        status = instance->format->owner(queue, uid, gid, err);
    if (status == QS_OK)
        status = qs_operating_directory(how->state_dir, *uid, *gid, err);
    umask(077);
    return status;
}

enum qs_status qs_operating_aside(struct qs_call *call, const struct qs_instance *instance, const struct qs_queue *queue,
                                  struct qs_operate *how, struct qs_error *err)
{
    uid_t uid = 0;
    gid_t gid = 0;
    struct qs_operate start;
    enum qs_status status = prepare(call, instance, queue, &start, &uid, &gid, err);
    if (status != QS_OK)
        return status;
    qs_operating_heed_signals();
    *how = start;
    return QS_OK;
}

/* Can the owner write a new archive there? Asked before a message is moved; the answer may change until it is written. */
static enum qs_status archive_fits(const char *path, struct qs_error *err)
{
    if (access(path, F_OK) == 0)
        return qs_fail(err, QS_USAGE, "%s exists already; --output names a new file", path);
    char *dir = talloc_strndup(NULL, path, strrchr(path, '/') == path ? 1 : (size_t)(strrchr(path, '/') - path));
    enum qs_status status = !dir ? qs_fail(err, QS_NOMEM, "out of memory")
        : access(dir, W_OK | X_OK) == 0 ? QS_OK
        : qs_fail_errno(err, errno, "%s: the owner of the queue (user %u) cannot write there; --output names another place", dir,
                        (unsigned)geteuid());
    talloc_free(dir);
    return status;
}

enum qs_status qs_operating_begin(struct qs_call *call, const struct qs_instance *instance, const struct qs_queue *queue,
                                  struct qs_operate *how, struct qs_error *err)
{
    uid_t uid = 0;
    gid_t gid = 0;
    struct qs_operate start;
    enum qs_status status = prepare(call, instance, queue, &start, &uid, &gid, err);
    if (status == QS_OK)
        status = qs_prepare_queue(instance->queue_dir, uid, gid, err);
    if (status == QS_OK)
        status = become(uid, gid, err);
    if (status == QS_OK && access(start.state_dir, W_OK | X_OK) != 0)
        status = qs_fail_errno(err, errno, "%s: the owner of the queue (user %u) cannot get there, by its mode or that of a "
                               "directory above; --state names another", start.state_dir, (unsigned)geteuid());
    if (status != QS_OK)
        return status;
    qs_operating_heed_signals();
    *how = start;
    return QS_OK;
}

enum qs_status qs_operating_report(struct qs_call *call, const struct qs_run_result *result, const char *verb,
                                   struct qs_error *err)
{
    call->left_out |= result->left_count > 0 || result->stopped;
    return call->options->json ? qs_report_result_json(call->out, result, verb, err)
                               : qs_report_result_text(call->out, result, verb, &call->style, err);
}

enum qs_status qs_operating_start(struct qs_call *call, const struct qs_plan *plan, struct qs_operating *out,
                                  struct qs_error *err)
{
    struct qs_operating start = {0};
    enum qs_status status = qs_operating_open(call, plan->host, plan->mta, plan->queue_dir, plan->config, &start.instance,
                                              &start.queue, err);
    if (status == QS_OK)
        status = qs_operating_begin(call, start.instance, start.queue, &start.how, err);
    if (status == QS_OK && plan->output)
        status = archive_fits(plan->output, err);
    if (status == QS_OK)
        *out = start;
    return status;
}

void qs_operating_tell_unfinished(struct qs_call *call, const struct qs_scan *scan)
{
    struct qs_kept *list = NULL;
    size_t count = 0;
    struct qs_error why = {""};
    if (call->options->json || call->options->from_count || qs_operating_kept(call, &list, &count, &why) != QS_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        struct qs_run run;
        if (qs_run_at_end(list[i].state, list[i].name) ||
            qs_run_describe(call->memory, list[i].state, list[i].name, &run, &why) != QS_OK || run.finished || run.undone)
            continue;
        for (size_t q = 0; q < scan->queue_count; q++)
            if (scan->queues[q].instance && strcmp(scan->queues[q].instance->queue_dir, run.queue_dir) == 0)
                qs_report_unfinished(call->out, &run, &call->style);
    }
}

bool qs_operating_stopped(void)
{
    return asked_to_stop;
}

/* What the MTA does next, where that is not at once: messages that it had in its hands keep their places there; a queue run has
 * to begin. */
static void tell_of_server(struct qs_call *call, const struct qs_plan *plan)
{
    uint32_t active = 0;
    qs_report_last_tries(call->out, plan);
    for (uint32_t i = 0; i < plan->count; i++)
        active += strcmp(plan->items[i].queue_name, "active") == 0;
    if (active && strcmp(plan->mta, "postfix") == 0 && (plan->action == QS_ACT_HOLD || plan->action == QS_ACT_PURGE))
        fprintf(call->out, "%" PRIu32 " of them were in Postfix's active queue: %s new queue IDs, and it frees their places as it "
                "comes to them, or all at once by `postfix reload`\n", active,
                plan->action == QS_ACT_HOLD ? "they have" : "undo gives them");
    if (strcmp(plan->mta, "sendmail") == 0 && plan->action == QS_ACT_HOLD && plan->until)
        fputs("sendmail does not let them go by itself: cron or a timer must call `release --due --commit`\n", call->out);
    if (strcmp(plan->mta, "sendmail") == 0 && plan->action == QS_ACT_EXPEDITE)
        fputs("They are first in sendmail's next queue run; `sendmail -q` begins one\n", call->out);
}

enum qs_status qs_operating_perform(struct qs_call *call, const struct qs_plan *plan, struct qs_operating *with,
                                    struct qs_run_result **out, struct qs_error *err)
{
    static const char *const verbs[QS_ACTIONS] = {
        [QS_ACT_HOLD] = "Put on hold", [QS_ACT_RELEASE] = "Released", [QS_ACT_PURGE] = "Purged", [QS_ACT_DEFER] = "Deferred",
        [QS_ACT_EXPEDITE] = "Expedited", [QS_ACT_REQUEUE] = "Requeued", [QS_ACT_DROP] = "Freed of recipients",
        [QS_ACT_REPAIR] = "Repaired",
        [QS_ACT_RESTORE] = "Restored",
    };
    struct qs_run_result *result = NULL;
    enum qs_status status = QS_OK;
    if (!with->queue)
        status = with->instance->format->open(call->memory, with->instance, &with->queue, err);
    if (status != QS_OK)
        return status;
    with->how.now = time(NULL);
    enum qs_status applied = qs_apply(call->memory, plan, with->instance, with->queue, &with->how, &result, err);
    talloc_free(with->queue);       /* it is listed once */
    with->queue = NULL;
    if (result && with->told)
        with->told(with->how.data, result);
    if (result && result->run[0]) {
        status = qs_operating_report(call, result, verbs[plan->action], applied == QS_OK ? err : NULL);
        if (!call->options->json && applied == QS_OK && result->stopped && !plan->pace)
            fprintf(call->out, "To finish it: %s resume %s\n", call->options->program, result->run);
        if (!call->options->json && applied != QS_OK && result->count[QS_DONE])
            fprintf(call->out, "To finish it, when that is mended: %s resume %s\nTo take it back: %s undo %s\n",
                    call->options->program, result->run, call->options->program, result->run);
        if (!call->options->json && applied == QS_OK && result->count[QS_DONE])
            tell_of_server(call, plan);
        if (!call->options->json && applied == QS_OK && result->count[QS_DONE] && plan->after != QS_AFTER_UNLINK)
            fprintf(call->out, "To undo it: %s undo %s\n", call->options->program, result->run);
    }
    if (out)
        *out = result;
    return applied != QS_OK ? applied : status;
}

enum qs_status qs_operating_commit(struct qs_call *call, const struct qs_plan *plan, struct qs_error *err)
{
    return qs_operating_restore(call, plan, -1, err);
}

enum qs_status qs_operating_restore(struct qs_call *call, const struct qs_plan *plan, int archive, struct qs_error *err)
{
    struct qs_operating with;
    enum qs_status status = qs_operating_start(call, plan, &with, err);
    with.how.archive_fd = archive;
    return status == QS_OK ? qs_operating_perform(call, plan, &with, NULL, err) : status;
}

/* --- plans ------------------------------------------------------------------------------------------------------------ */

static bool can(const struct qs_session *session, enum qs_action action)
{
    const struct qs_scan *scan = session->view.scan;
    return scan->queue_count == 1 && scan->queues[0].instance && (scan->queues[0].instance->format->actions & 1u << action);
}

/* Postfix and sendmail keep mail for so long unless they are told another time. */
enum { KEPT = 5 * 86400 };

static int64_t lifetime(const struct qs_session *session)
{
    return session->site && session->site->lifetime > 0 ? session->site->lifetime : KEPT;
}

/* A server that gives up sooner still tries once when the time has come, which may be what is wanted; behind both there is no sense. */
static int64_t deferral_most(const struct qs_session *session)
{
    return lifetime(session) > KEPT ? lifetime(session) : KEPT;
}

static void count_last_tries(struct qs_plan *plan, int64_t kept)
{
    plan->lifetime = kept;
    for (uint32_t i = 0; i < plan->count; i++)
        plan->last_try += plan->items[i].arrival < plan->until - kept;
}

static enum qs_status make_wish(struct qs_call *call, const struct qs_session *session, enum qs_action action,
                                struct qs_plan_wish *wish, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    char age[8], most[8];
    *wish = (struct qs_plan_wish){
        .action = action, .note = o->reason ? o->reason : "held by qsurgeon", .host = qs_operating_host(call->memory),
        .words = o->all && qs_selection_all(o->selection) ? "everything" : qs_selection_words(call->memory, o->selection),
        .after = o->keep ? QS_AFTER_KEEP : o->no_archive ? QS_AFTER_UNLINK : QS_AFTER_ARCHIVE,
    };
    if (o->due && wish->words)
        wish->words = qs_selection_all(o->selection) ? "what is due"
                                                     : talloc_asprintf(call->memory, "what is due, %s", wish->words);
    if (!wish->host || !wish->words)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (action == QS_ACT_DEFER) {
        if (o->defer_for <= 0)
            return qs_fail(err, QS_USAGE, "defer needs --for TIME, more than 0");
        if (o->defer_for > deferral_most(session))
            return qs_fail(err, QS_USAGE, "--for %s is longer than mail is kept, %s: each message would be returned when it fails next; "
                           "`hold` parks it for any time", qs_text_age(age, o->defer_for), qs_text_age(most, deferral_most(session)));
        wish->until = session->view.now + o->defer_for;
        if (!can(session, QS_ACT_DEFER) && can(session, QS_ACT_HOLD)) {     /* no delay of its own: a hold with a due time */
            wish->action = QS_ACT_HOLD;
            wish->note = qs_due_words(call->memory, wish->until, o->reason);
        }
    }
    wish->pace = action == QS_ACT_RELEASE ? o->drip : 0;
    wish->output = o->output ? qs_absolute_path(call->memory, o->output) : NULL;
    if (!wish->note || (o->output && !wish->output))
        return qs_fail(err, QS_NOMEM, "out of memory");
    return QS_OK;
}

static enum qs_status find_recipients(struct qs_call *call, const struct qs_session *session, const uint8_t *selected,
                                      struct qs_plan_wish *wish, struct qs_error *err)
{
    if (call->drop_count > 0) {
        wish->drop = call->drop;
        wish->drop_count = call->drop_count;
        return QS_OK;
    }
    if (call->options->selection->recipient_count == 0)
        return qs_fail(err, QS_USAGE, "drop-recipients needs --recipient: those that match are taken off; or --unknown");
    enum qs_status status = qs_select_recipients(call->memory, &session->view, call->options->selection, selected,
                                                 &wish->drop, &wish->drop_count, err);
    return status == QS_OK && wish->drop_count == 0
        ? qs_fail(err, QS_USAGE, "nothing to do: no recipient that still waits matches") : status;
}

/* What was only unsure is taken when it was named, also as mail that DNS says can never arrive. */
struct qs_guard qs_operating_guard(const struct qs_options *o)
{
    const unsigned hopeless = 1u << QS_MX_LOOPBACK | 1u << QS_MX_SELF | 1u << QS_MX_NONE;
    const struct qs_selection *s = o->selection;
    return (struct qs_guard){
        .max = o->max, .max_share = o->max_share, .include_legit = o->include_legit,
        .unsure_named = s->ids_given || s->cluster_count > 0 || (s->mx && !(s->mx & ~hopeless)) || (s->verdicts & 1u << QS_UNSURE) != 0,
    };
}

uint8_t *qs_operating_marks(struct qs_call *call, const struct qs_session *session)
{
    uint32_t count = session->view.scan->count;
    uint8_t *marks = talloc_array(call->memory, uint8_t, count ? count : 1);
    if (!marks)
        return NULL;
    if (session->selected)
        memcpy(marks, session->selected, count);
    else
        memset(marks, 1, count);
    return marks;
}

enum qs_status qs_operating_plan(struct qs_call *call, const struct qs_session *session, enum qs_action action,
                                 const uint8_t *selected, const struct qs_guard *guard, struct qs_plan **out,
                                 struct qs_error *err)
{
    struct qs_plan_wish wish;
    enum qs_status status = make_wish(call, session, action, &wish, err);
    if (status == QS_OK && action == QS_ACT_DROP)
        status = find_recipients(call, session, selected, &wish, err);
    if (status == QS_OK)
        status = qs_plan_make(call->memory, &session->view, selected, &wish, guard, out, err);
    if (status == QS_OK && action == QS_ACT_DEFER)
        count_last_tries(*out, lifetime(session));
    return status;
}
