/* SPDX-License-Identifier: Apache-2.0 */
/* From options to a view: see session.h. */
#include "session.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "qsurgeon/dns.h"
#include "qsurgeon/format.h"
#include "answers.h"
#include "maps.h"
#include "terminal.h"

static const char default_site[] = "/etc/qsurgeon.conf";
/* Milliseconds for all lookups of a run, and until somebody must have answered. */
enum { DNS_TIME = 10 * 1000, DNS_SILENCE = 3 * 1000 };
static const double progress_after = 1.0, progress_every = 0.25, picture_after = 1.5;
static const double sample_after = 0.9;             /* listed so long: some are read for the picture first */
static const double progress_every_line = 5.0;     /* on a terminal that only grows */

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int64_t qs_milliseconds(void)
{
    return (int64_t)(seconds_now() * 1000);
}

struct progress {
    double begin, shown;
    bool terminal;                  /* standard error is one */
    bool rewritable;                /* and lines can be written over */
    bool line;                      /* a progress line stands there */
    bool want_picture, sampled;
};

static void clear_line(struct progress *p)
{
    if (p->line)
        fputs("\r\033[K", stderr);
    p->line = false;
}

static void show_progress(const struct progress *p, uint64_t done, uint64_t listed, bool listing)
{
    fputs(p->rewritable ? "\r" : "", stderr);
    if (listing)
        fprintf(stderr, "listing: %" PRIu64 " messages so far", listed);
    else
        fprintf(stderr, "reading: %" PRIu64 " of %" PRIu64 " messages (%.0f%%)", done, listed,
                listed ? 100.0 * (double)done / (double)listed : 100.0);
    fputs(p->rewritable ? "\033[K" : "\n", stderr);
    fflush(stderr);
}

/* Who saw that all is read waits for what comes then, and is told. */
static void show_grouping(struct progress *p, uint32_t messages)
{
    if (p->shown <= 0 || !p->rewritable)
        return;
    fprintf(stderr, "\rgrouping: %" PRIu32 " messages\033[K", messages);
    fflush(stderr);
    p->line = true;
}

/* For qs_scan_run: false pauses the scan. */
static bool on_progress(void *data, uint64_t done, uint64_t listed, bool listing)
{
    struct progress *p = data;
    double now = seconds_now(), elapsed = now - p->begin;
    if (p->want_picture && listing && !p->sampled && elapsed >= sample_after) {
        p->sampled = true;
        return false;
    }
    /* not when the scan is nearly over anyway */
    if (p->want_picture && !listing && elapsed >= picture_after && done > 0 && (p->sampled || done < listed / 10 * 8)) {
        p->want_picture = false;
        return false;
    }
    double every = p->rewritable ? progress_every : progress_every_line;
    /* a sample is no progress */
    if (p->terminal && elapsed >= progress_after && now - p->shown >= every && (listing || !p->sampled || !p->want_picture)) {
        show_progress(p, done, listed, listing);
        p->line = p->rewritable;
        p->shown = now;
    }
    return true;
}

/* Clusters, verdicts and selection of what is read: children of parent. */
static enum qs_status judge(TALLOC_CTX *parent, const struct qs_options *options, const struct qs_site *site,
                            struct qs_session *session, struct qs_error *err)
{
    struct qs_view *view = &session->view;
    uint32_t count = 0;
    enum qs_status status = qs_cluster(parent, view->scan, &view->clusters, err);
    if (status == QS_OK)
        status = qs_judge(parent, view->scan, view->clusters, site, view->now, &view->judgement, err);
    session->selected = NULL;
    if (status == QS_OK && !qs_selection_all(options->selection))
        status = qs_select(parent, view, options->selection, &session->selected, &count, err);
    return status;
}

static enum qs_status partial_picture(struct qs_call *call, struct qs_session *session,
                                      const struct qs_site *site, qs_picture picture, void *data,
                                      struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_session so_far = *session;
    so_far.view.partial = true;
    enum qs_status status = judge(scratch, call->options, site, &so_far, err);
    if (status == QS_USAGE)         /* a cluster that is not there yet */
        status = QS_OK;
    else if (status == QS_OK)
        status = picture(call, data, &so_far, err);
    talloc_free(scratch);
    return status;
}

/* Two scans of one host are no merged view of several. The loader calls the second "host (file)". */
static void tell_twice(const struct qs_scan *scan, size_t before, const char *path)
{
    for (size_t q = before; q < scan->queue_count; q++)
        for (size_t k = 0; k < before; k++) {
            const char *name = scan->queues[k].name;
            if (qs_span_starts(qs_span_of(scan->queues[q].name), name) &&
                strncmp(scan->queues[q].name + strlen(name), " (", 2) == 0) {
                qs_complain("%s: %s is in a file before it, too: messages that are in both count twice", path, name);
                return;
            }
        }
}

static enum qs_status load_saved(struct qs_call *call, struct qs_session *session, struct qs_site *site,
                                 struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (size_t i = 0; status == QS_OK && i < call->options->from_count; i++) {
        int64_t taken = 0;
        size_t before = session->view.scan->queue_count;
        status = qs_load(session->view.scan, site, call->options->from[i], &taken, err);
        if (status == QS_OK)
            tell_twice(session->view.scan, before, call->options->from[i]);
        if (status == QS_OK && (i == 0 || taken > session->view.now))
            session->view.now = taken;
    }
    return status;
}

static enum qs_status open_queues(struct qs_call *call, struct qs_session *session, struct qs_site *site,
                                  struct qs_error *err)
{
    const struct qs_options *options = call->options;
    const struct qs_place place = {options->queue_dir, options->config};
    struct qs_instance **list = NULL;
    size_t count = 0;
    enum qs_status status = qs_format_discover(call->memory, options->mta, &place, &list, &count, err);
    struct qs_error why = {""};
    size_t missing = 0;
    call->instance = status == QS_OK && count == 1 ? list[0] : NULL;
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        struct qs_queue *queue = NULL;
        status = list[i]->format->open(call->memory, list[i], &queue, &why);
        if (status == QS_NOQUEUE && ++missing < count) {        /* one that was set up and never used, or taken down */
            qs_complain("%s: left out", why.text);
            status = QS_OK;
            continue;
        }
        if (status != QS_OK)
            return qs_fail(err, status, "%s", why.text);
        status = list[i]->format->site(list[i], site, err);
        if (status == QS_OK)
            status = qs_scan_add(session->view.scan, list[i], queue, err);
    }
    return status == QS_OK && options->maps ? qs_maps_read(call, list, count, site, err) : status;
}

/* The site file adds to what the MTA says and goes before it. */
static enum qs_status read_site_file(const struct qs_options *options, struct qs_site *site,
                                     struct qs_error *err)
{
    enum qs_status status = qs_site_read(site, options->site ? options->site : default_site, err);
    if (status == QS_GONE)
        return options->site ? QS_CONFIG : QS_OK;
    return status;
}

enum qs_status qs_session_site(struct qs_call *call, struct qs_site *site, struct qs_maps *maps, struct qs_error *err)
{
    const struct qs_options *options = call->options;
    const struct qs_place place = {options->queue_dir, options->config};
    struct qs_instance **list = NULL;
    size_t count = 0;
    enum qs_status status = qs_format_discover(call->memory, options->mta, &place, &list, &count, err);
    for (size_t i = 0; status == QS_OK && i < count; i++)
        status = list[i]->format->site(list[i], site, err);
    if (status == QS_OK)
        status = read_site_file(options, site, err);
    if (status != QS_OK)
        return status;
    struct qs_error why = {""};
    status = qs_maps_collect(call, list, count, site, maps, &why);
    if (status == QS_NOMEM)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (status != QS_OK)
        qs_complain("%s", why.text);
    return QS_OK;
}

static struct qs_dns_options dns_options(const struct qs_call *call, const struct qs_site *site)
{
    return (struct qs_dns_options){.server = call->options->dns_server, .clock = qs_milliseconds, .limit = DNS_TIME,
                                   .silence = DNS_SILENCE, .site = site, .now = time(NULL), .earlier = qs_answers_read(call)};
}

/* What is not answered is unknown, and said. */
static void answered(const struct qs_call *call, const struct qs_dns *dns)
{
    qs_answers_keep(call, dns->answers);
    if (dns->silent)
        qs_complain("DNS: nobody answers: what the %zu domains are is not known; --no-dns does not ask", dns->count);
    else if (dns->late || dns->failed)
        qs_complain("DNS: of %zu domains %zu were not answered in %d seconds, %zu by an error: what they are is not known",
                    dns->count, dns->late, DNS_TIME / 1000, dns->failed);
}

enum qs_status qs_session_dns(struct qs_call *call, const struct qs_site *site, char *const *domain, size_t count,
                              struct qs_dns **dns, struct qs_error *err)
{
    struct qs_dns_options how = dns_options(call, site);
    how.served_too = true;
    enum qs_status status = qs_dns_ask(call->memory, &how, domain, count, dns, err);
    if (status == QS_OK)
        answered(call, *dns);
    return status;
}

/* Where the mail would go, when somebody wants to know. */
static enum qs_status ask_dns(struct qs_call *call, const struct qs_session *session, struct qs_site *site,
                              struct qs_error *err)
{
    struct qs_dns *dns = NULL;
    bool unasked = call->options->command->asks_dns && !call->options->no_dns;
    if (!unasked && !call->options->dns && !call->options->selection->mx)
        return QS_OK;
    const struct qs_dns_options how = dns_options(call, site);
    enum qs_status status = qs_dns_ask_scan(call->memory, &how, session->view.scan, &dns, err);
    if (status != QS_OK)
        return status;
    site->dns = dns;
    answered(call, dns);
    return QS_OK;
}

static enum qs_status read_samples(struct qs_scan *scan, char *const *dirs, size_t count, bool good,
                                   struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        struct qs_error why = {""};
        status = qs_scan_add_samples(scan, dirs[i], good, &why);
        if (status != QS_OK)
            status = qs_fail(err, status == QS_GONE ? QS_USAGE : status, "--like-%s %s", good ? "good" : "bad",
                             why.text);
    }
    return status;
}

/* What could not be read for want of a privilege: said once, whatever the report shows of it. */
static enum qs_status check_permission(struct qs_call *call, const struct qs_scan *scan, struct qs_error *err)
{
    const struct qs_problem *first = NULL;
    if (!scan->totals.no_permission)
        return QS_OK;
    for (size_t i = 0; i < scan->problem_count && !first; i++)
        if (scan->problems[i].status == QS_NOPERM)
            first = &scan->problems[i];
    if (!scan->count)
        return qs_fail(err, QS_NOPERM, "%s: %s", first ? first->where : "queue",
                       first ? first->text : "a privilege is missing");
    call->no_permission = true;
    qs_complain("%" PRIu64 " %s cannot be read%s: %s: %s", scan->totals.no_permission,
                scan->totals.no_permission == 1 ? "file or directory" : "files or directories",
                scan->totals.no_permission == 1 ? "" : ", one of them", first ? first->where : "", first ? first->text : "");
    return QS_OK;
}

static enum qs_status read_all(struct qs_call *call, struct qs_session *session, const struct qs_site *site,
                               struct progress *progress, qs_picture picture, void *data,
                               struct qs_error *err)
{
    enum qs_status status;
    while ((status = qs_scan_run(session->view.scan, on_progress, progress, err)) == QS_BUSY) {
        clear_line(progress);
        status = partial_picture(call, session, site, picture, data, err);
        if (status != QS_OK)
            break;
    }
    clear_line(progress);
    return status;
}

/* --- a finished list -------------------------------------------------------------------------------------------------- */

bool qs_session_lists(const struct qs_options *o)
{
    struct qs_selection others = *o->selection;
    others.ids_given = false;
    others.ids = NULL;
    others.id_count = 0;
    return o->commit && o->include_legit && o->selection->ids_given && qs_selection_all(&others) && !o->from_count &&
           o->max_share <= 0 && !o->sticky && !o->drip && !o->due;
}

enum qs_status qs_session_open_list(struct qs_call *call, enum qs_action action, struct qs_session **out, struct qs_error *err)
{
    const struct qs_selection *s = call->options->selection;
    const struct qs_place place = {call->options->queue_dir, call->options->config};
    struct qs_session *session = talloc_zero(call->memory, struct qs_session);
    struct qs_table *only = qs_table_new(call->memory, (uint32_t)s->id_count + 1);
    const struct qs_scan_options how = {.threads = call->options->threads, .only = only, .identity = true,
                                        .action = action};
    struct progress progress = {.begin = seconds_now(), .terminal = isatty(STDERR_FILENO)};
    struct qs_instance **list = NULL;
    size_t count = 0;
    uint32_t selected = 0;
    bool ok = session && only && (session->view.scan = qs_scan_new(call->memory, &how));
    for (size_t i = 0; ok && i < s->id_count; i++)
        ok = qs_scan_only(only, s->ids[i]);
    if (!ok)
        return qs_fail(err, QS_NOMEM, "out of memory");
    session->view.now = time(NULL);
    enum qs_status status = qs_format_discover(call->memory, call->options->mta, &place, &list, &count, err);
    call->instance = status == QS_OK && count == 1 ? list[0] : NULL;
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        struct qs_queue *queue = NULL;
        status = list[i]->format->open(call->memory, list[i], &queue, err);
        if (status == QS_OK)
            status = qs_scan_add(session->view.scan, list[i], queue, err);
    }
    if (status == QS_OK)
        status = read_all(call, session, NULL, &progress, NULL, NULL, err);
    if (status == QS_OK)
        status = check_permission(call, session->view.scan, err);
    if (status == QS_OK)
        status = qs_select(call->memory, &session->view, s, &session->selected, &selected, err);
    if (status == QS_OK)
        *out = session;
    return status;
}

/* --- everything ------------------------------------------------------------------------------------------------------- */

enum qs_status qs_session_open(struct qs_call *call, bool detail, qs_picture picture, void *data,
                               struct qs_session **out, struct qs_error *err)
{
    struct qs_session *session = talloc_zero(call->memory, struct qs_session);
    struct qs_site *site = qs_site_new(call->memory);
    const struct qs_scan_options how = {.threads = call->options->threads, .detail = detail, .site = site};
    struct progress progress = {
        .begin = seconds_now(), .terminal = qs_is_terminal(stderr), .rewritable = qs_is_rewritable(stderr),
        .want_picture = picture};
    enum qs_status status;
    if (!session || !site || !(session->view.scan = qs_scan_new(call->memory, &how)))
        return qs_fail(err, QS_NOMEM, "out of memory");
    session->view.now = time(NULL);
    status = read_samples(session->view.scan, call->options->like_good, call->options->like_good_count, true, err);
    if (status == QS_OK)
        status = read_samples(session->view.scan, call->options->like_bad, call->options->like_bad_count, false,
                              err);
    if (status != QS_OK)
        return status;
    session->site = site;
    if (call->options->from_count) {
        status = load_saved(call, session, site, err);
        if (status == QS_OK)
            status = read_site_file(call->options, site, err);
    } else {
        status = open_queues(call, session, site, err);
        if (status == QS_OK)
            status = read_site_file(call->options, site, err);
        if (status == QS_OK)
            status = read_all(call, session, site, &progress, picture, data, err);
        if (status == QS_OK)
            status = check_permission(call, session->view.scan, err);
    }
    if (status == QS_OK)
        status = ask_dns(call, session, site, err);
    if (status == QS_OK) {
        show_grouping(&progress, session->view.scan->count);
        status = judge(call->memory, call->options, site, session, err);
        clear_line(&progress);
    }
    if (status == QS_OK)
        *out = session;
    return status;
}

enum qs_status qs_session_of(struct qs_call *call, const char *mta, const char *queue_dir, struct qs_session **out,
                             struct qs_error *err)
{
    const struct qs_scan_options how = {.threads = call->options->threads, .detail = true};
    struct qs_session *session = talloc_zero(call->memory, struct qs_session);
    struct qs_site *site = qs_site_new(call->memory);
    const struct qs_format *format = qs_format_by_name(mta);
    struct qs_instance *instance = talloc_zero(call->memory, struct qs_instance);
    struct qs_queue *queue = NULL;
    if (!session || !site || !instance || !(session->view.scan = qs_scan_new(call->memory, &how)))
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (!format)
        return qs_fail(err, QS_DATA, "an archive of \"%.40s\", which is no mail server that is known", mta);
    *instance = (struct qs_instance){.format = format, .name = "archive", .queue_dir = queue_dir, .evidence = "unpacked"};
    session->view.now = time(NULL);
    enum qs_status status = format->open(call->memory, instance, &queue, err);
    if (status == QS_OK)
        status = qs_scan_add(session->view.scan, instance, queue, err);
    if (status == QS_OK)
        status = qs_scan_run(session->view.scan, NULL, NULL, err);
    if (status == QS_OK)
        status = qs_cluster(call->memory, session->view.scan, &session->view.clusters, err);
    if (status == QS_OK)
        status = qs_judge(call->memory, session->view.scan, session->view.clusters, site, session->view.now,
                          &session->view.judgement, err);
    if (status == QS_OK)
        *out = session;
    return status;
}

uint32_t qs_session_group(const struct qs_session *session, const char *name)
{
    const struct qs_judgement *judgement = session->view.judgement;
    for (uint32_t g = 0; g < judgement->group_count; g++)
        if (strcmp(judgement->group[g].name, name) == 0)
            return g;
    return UINT32_MAX;
}
