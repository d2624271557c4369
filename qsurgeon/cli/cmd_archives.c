/* SPDX-License-Identifier: Apache-2.0 */
/* archives, restore: what was archived, and back from there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export.h"
#include "operating.h"
#include "qsurgeon/format.h"
#include "qsurgeon/restore.h"
#include "qsurgeon/resubmit.h"

/* --- archives --------------------------------------------------------------------------------------------------------- */

struct list {
    struct qs_call *call;
    struct qs_archive_row *rows;
    size_t count;
};

static enum qs_status add(struct list *list, const char *run, const char *path, struct qs_error *err)
{
    struct stat st;
    struct qs_archive_summary *summary = NULL;
    struct qs_archive_row *grown = talloc_realloc(list->call->memory, list->rows, struct qs_archive_row,
                                                  (unsigned)list->count + 1);
    if (!grown)
        return qs_fail(err, QS_NOMEM, "out of memory");
    list->rows = grown;
    if (stat(path, &st) != 0)
        return qs_fail_errno(err, errno, "%s", path);
    enum qs_status status = qs_archive_look(list->call->memory, path, &summary, err);
    if (status == QS_OK)
        list->rows[list->count++] = (struct qs_archive_row){run, path, st.st_mtim.tv_sec, summary};
    return status;
}

static int is_archive(const struct dirent *entry)
{
    static const char end[] = ".tar.zst";
    size_t length = strlen(entry->d_name);
    return length > sizeof end - 1 && strcmp(entry->d_name + length - (sizeof end - 1), end) == 0;
}

/* An archive, or the archives of a directory. */
static enum qs_status add_place(struct list *list, const char *path, struct qs_error *err)
{
    struct stat st;
    struct dirent **found = NULL;
    if (stat(path, &st) != 0)
        return qs_fail_errno(err, errno, "%s", path);
    if (!S_ISDIR(st.st_mode))
        return add(list, NULL, path, err);
    int count = scandir(path, &found, is_archive, alphasort);
    if (count < 0)
        return qs_fail_errno(err, errno, "%s", path);
    enum qs_status status = QS_OK;
    for (int i = 0; i < count; i++) {
        const char *name = talloc_asprintf(list->call->memory, "%s/%s", path, found[i]->d_name);
        if (status == QS_OK)
            status = name ? add(list, NULL, name, err) : qs_fail(err, QS_NOMEM, "out of memory");
        free(found[i]);
    }
    free(found);
    return status;
}

static enum qs_status run_archives(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct list list = {.call = call};
    struct qs_run *runs = NULL;
    size_t count = 0;
    enum qs_status status = o->argument_count ? QS_OK : qs_operating_runs(call, &runs, &count, err);
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        struct qs_error why = {""};
        enum qs_status one = runs[i].archive ? add(&list, runs[i].name, runs[i].archive, &why) : QS_OK;
        if (one == QS_NOMEM)
            status = qs_fail(err, one, "%s", why.text);
        else if (one != QS_OK) {            /* moved away, or on a disk that is not there */
            qs_complain("archive of %s: %s", runs[i].name, why.text);
            call->left_out = true;
        }
    }
    for (size_t i = 0; status == QS_OK && i < o->argument_count; i++)
        status = add_place(&list, o->arguments[i], err);
    if (status != QS_OK)
        return status;
    for (size_t i = 0; i < list.count; i++)
        call->left_out |= list.rows[i].summary->damage[0] != '\0';
    return o->json ? qs_report_archives_json(call->out, list.rows, list.count, err)
                   : qs_report_archives_text(call->out, list.rows, list.count, &call->style, err);
}

/* --- restore ---------------------------------------------------------------------------------------------------------- */

/* Everything that a restore needs between reading the archive and acting. */
struct restoring {
    struct qs_call *call;
    const char *archive;
    int fd;
    struct qs_unpacked *unpacked;
    struct qs_session *session;
    struct qs_instance *target;
    struct qs_queue *queue;
    struct qs_plan *plan;
};

static bool keep_going(void)
{
    return !qs_operating_stopped();
}

static enum qs_status open_archive(struct restoring *r, struct qs_error *err)
{
    const struct qs_options *o = r->call->options;
    const char *temporary = getenv("TMPDIR");
    r->archive = qs_absolute_path(r->call->memory, o->arguments[0]);
    if (!r->archive)
        return qs_fail(err, QS_NOMEM, "out of memory");
    r->fd = open(r->archive, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (r->fd < 0)
        return qs_fail_errno(err, errno, "%s", o->arguments[0]);
    enum qs_status status = qs_unpack(r->call->memory, o->arguments[0], r->fd,
                                      temporary && temporary[0] == '/' ? temporary : "/var/tmp", o->damaged, keep_going,
                                      &r->unpacked, err);
    if (status == QS_OK && r->unpacked->damage[0]) {
        qs_complain("%s; only those are taken", r->unpacked->damage);
        r->call->left_out = true;
    }
    if (status == QS_OK)
        status = qs_session_of(r->call, r->unpacked->mta, r->unpacked->dir, &r->session, err);
    if (status == QS_OK && r->session->view.scan->count < r->unpacked->count) {
        qs_complain("%u messages of the archive cannot be read as those of a queue", r->unpacked->count -
                    r->session->view.scan->count);
        r->call->left_out = true;
    }
    if (status == QS_OK)
        status = qs_unpacked_recall(r->unpacked, &r->session->view, err);
    if (status == QS_OK && !qs_selection_all(o->selection)) {
        uint32_t count = 0;
        status = qs_select(r->call->memory, &r->session->view, o->selection, &r->session->selected, &count, err);
    }
    return status;
}

/* The one queue that is meant, of the archive's mail server unless another is named. */
static enum qs_status find_target(struct restoring *r, struct qs_error *err)
{
    const struct qs_options *o = r->call->options;
    const struct qs_place place = {o->queue_dir, o->config};
    struct qs_instance **list = NULL;
    size_t count = 0;
    const char *mta = o->mta || o->resubmit ? o->mta : r->unpacked->mta;
    enum qs_status status = qs_format_discover(r->call->memory, mta, &place, &list, &count, err);
    if (status == QS_OK && count != 1)
        status = qs_fail(err, QS_USAGE, "%zu queues are here; name the one to restore into with --queue", count);
    if (status == QS_OK)
        status = list[0]->format->open(r->call->memory, list[0], &r->queue, err);
    if (status == QS_OK)
        r->target = list[0];
    return status;
}

static enum qs_status make_plan(struct restoring *r, struct qs_error *err)
{
    const struct qs_options *o = r->call->options;
    struct qs_restore_wish wish = {
        .archive = r->archive, .host = qs_operating_host(r->call->memory), .again = o->again,
        .resubmit = o->resubmit,
        .words = qs_selection_all(o->selection) ? "everything in the archive" : qs_selection_words(r->call->memory, o->selection),
        .state_dir = qs_operating_state(r->call, r->target->format->name),
    };
    if (!wish.host || !wish.words || !wish.state_dir)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = qs_restore_plan(r->call->memory, r->unpacked, &r->session->view, r->session->selected, &wish,
                                            r->target, o->resubmit ? NULL : r->queue, &r->plan, err);
    if (status == QS_OK && o->max && r->plan->count > o->max)
        status = qs_fail(err, QS_USAGE, "%u messages are more than --max %u allows", r->plan->count, o->max);
    return status == QS_OK && o->plan ? qs_plan_write(r->plan, o->plan, err) : status;
}

/* Hands the messages to the target's submission program. The process stays who it is: that program has its own ways. */
static enum qs_status resubmit(struct restoring *r, struct qs_error *err)
{
    struct qs_call *call = r->call;
    const char *program = call->options->submit_program ? call->options->submit_program : "/usr/sbin/sendmail";
    const char *const argv[] = {program, "-bs", r->target->config ? "-C" : NULL, r->target->config, NULL};
    struct qs_operate how;
    struct qs_run_result *result = NULL;
    enum qs_status status = qs_operating_aside(call, r->target, r->queue, &how, err);
    if (status != QS_OK)
        return status;
    enum qs_status done = qs_resubmit(call->memory, r->plan, &r->session->view, &how, argv, &result, err);
    if (result && result->run[0])
        status = qs_operating_report(call, result, "Handed over", done == QS_OK ? err : NULL);
    return done != QS_OK ? done : status;
}

static enum qs_status act(struct restoring *r, struct qs_error *err)
{
    struct qs_call *call = r->call;
    const struct qs_options *o = call->options;
    enum qs_status status = find_target(r, err);
    if (status == QS_OK)
        status = make_plan(r, err);
    if (status != QS_OK)
        return status;
    if (r->plan->doubtful)
        qs_complain("left out, as they may have been handed over by a run that was broken off: %s; look for them, --again sends "
                    "them", r->plan->doubtful);
    if (!keep_going())
        return qs_fail(err, QS_BUSY, "stopped by a signal: nothing was done");
    if (o->commit && o->resubmit)
        return resubmit(r, err);
    if (o->commit) {
        qs_unpacked_close(r->unpacked);     /* the queue's owner could not remove it */
        return qs_operating_restore(call, r->plan, r->fd, err);
    }
    const char *line = o->plan ? talloc_asprintf(call->memory, "%s commit %s", o->program, qs_shell_word(call->memory, o->plan))
                               : talloc_asprintf(call->memory, "%s --commit", o->line);
    return o->json ? qs_report_plan_json(call->out, &r->session->view, r->plan, err)
                   : qs_report_plan_text(call->out, &r->session->view, r->plan, &call->style, line, err);
}

static enum qs_status run_restore(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct restoring r = {.call = call, .fd = -1};
    if (o->export && (o->commit || o->plan || o->json))
        return qs_fail(err, QS_USAGE, "--export changes no queue: leave --commit, --plan and --json away");
    if (o->resubmit && (o->plan || o->export))
        return qs_fail(err, QS_USAGE, "--resubmit goes with neither --plan nor --export");
    if (o->submit_program && !o->resubmit)
        return qs_fail(err, QS_USAGE, "--program is what --resubmit runs");
    if (!o->export && o->output)
        return qs_fail(err, QS_USAGE, "--output is where --export writes to");
    qs_operating_heed_signals();        /* what is unpacked must not stay */
    enum qs_status status = open_archive(&r, err);
    if (status == QS_OK)
        status = o->export ? qs_export(call, r.session, err) : act(&r, err);
    if (r.unpacked)
        qs_unpacked_close(r.unpacked);
    if (r.fd >= 0)
        close(r.fd);
    return status;
}

const struct qs_command qs_cmd_archives = {
    .name = "archives", .summary = "the archives of all runs, or those named, read back",
    .arguments = "[FILE|DIR...]", .most = SIZE_MAX, .options = QS_OPTION(QS_OPT_JSON), .description = "",
    .never_saved = true, .run = run_archives,
};
const struct qs_command qs_cmd_restore = {
    .name = "restore", .summary = "messages of an archive back into the queue", .arguments = "ARCHIVE", .least = 1, .most = 1,
    .selects = true,
    .options = QS_OPTION(QS_OPT_COMMIT) | QS_OPTION(QS_OPT_PLAN) | QS_OPTION(QS_OPT_MAX) | QS_OPTION(QS_OPT_AGAIN) |
               QS_OPTION(QS_OPT_DAMAGED) | QS_OPTION(QS_OPT_EXPORT) | QS_OPTION(QS_OPT_OUTPUT) |
               QS_OPTION(QS_OPT_RESUBMIT) | QS_OPTION(QS_OPT_PROGRAM) | QS_OPTION(QS_OPT_JSON),
    .description = "They come to where they were, under queue IDs that are valid there; verdicts and clusters are those of\n"
                   "when they were archived.\n",
    .never_saved = true, .run = run_restore,
};
