/* SPDX-License-Identifier: Apache-2.0 */
/* A view made by hand, for tests of what stands above judging: messages from a table, their content
 * through the real scanner, clusters and verdicts by the real code. */
#ifndef QS_TESTS_VIEW_H
#define QS_TESTS_VIEW_H

#include "unit.h"

#include "qsurgeon/select.h"

enum { VIEW_NOW = 1700000000 };

/* What is NULL or 0 is not there. */
struct made {
    const char *id, *queue, *sender;
    const char *to[4], *reason;                 /* of the first recipient */
    const char *client, *name, *helo, *sasl;
    const char *content;                        /* RFC 5322 */
    int64_t age;
    uint64_t size;
    unsigned flags;
    bool done;                                  /* the last recipient is */
};

static qs_sym view_symbol(struct qs_scan *scan, const char *text)
{
    return qs_intern(scan->strings, qs_span_of(text));
}

static void view_add(struct qs_scan *scan, struct qs_scan_lens *lens, uint16_t queue, const struct made *made)
{
    struct qs_message *m = qs_scan_append(scan, 1);
    assert_non_null(m);
    m->instance = queue;
    m->id = qs_scan_strdup(scan, qs_span_of(made->id));
    m->queue_name = view_symbol(scan, made->queue != NULL ? made->queue : "deferred");
    m->sender = view_symbol(scan, made->sender);
    m->client_address = view_symbol(scan, made->client);
    m->client_name = view_symbol(scan, made->name);
    m->helo = view_symbol(scan, made->helo);
    m->protocol = view_symbol(scan, made->client != NULL ? "ESMTP" : NULL);
    m->sasl_username = view_symbol(scan, made->sasl);
    m->arrival = VIEW_NOW - made->age;
    m->size = made->size;
    m->flags = made->flags;
    m->local_uid = made->client != NULL ? -1 : 33;
    uint32_t count = 0;
    while (count < 4 && made->to[count] != NULL)
        count++;
    struct qs_recipient *to = qs_scan_recipients(scan, count > 0 ? count : 1);
    assert_non_null(to);
    for (uint32_t i = 0; i < count; i++)
        to[i] = (struct qs_recipient){.address = view_symbol(scan, made->to[i]),
                                      .reason = i == 0 ? view_symbol(scan, made->reason) : 0};
    if (made->done && count > 0)
        to[count - 1].state = QS_RCPT_DONE;
    m->recipients = to;
    m->recipient_count = count;
    scan->totals.listed++;
    scan->totals.bytes += made->size;
    if (made->content != NULL)
        assert_int_equal(
            qs_scan_content(lens, qs_span_of(made->content), false, made->sender == NULL, m, NULL), QS_OK);
}

/* Clusters and judges what is in view->scan. */
static void view_judge(struct qs_view *view, const struct qs_site *site)
{
    struct qs_error err = {""};
    assert_int_equal(qs_cluster(view, view->scan, &view->clusters, &err), QS_OK);
    assert_int_equal(qs_judge(view, view->scan, view->clusters, site, view->now, &view->judgement, &err),
                     QS_OK);
}

/* An empty view with one queue of a saved scan. */
static struct qs_view *view_empty(void)
{
    static const struct qs_scan_options options = {.threads = 1, .detail = true};
    struct qs_view *view = talloc_zero(root, struct qs_view);
    uint16_t queue;
    assert_non_null(view);
    view->now = VIEW_NOW;
    view->scan = qs_scan_new(view, &options);
    assert_non_null(view->scan);
    assert_int_equal(qs_scan_add_saved(view->scan, "mx1", &queue, NULL), QS_OK);
    return view;
}

static struct qs_view *view_new(const struct made *list, size_t count)
{
    struct qs_view *view = view_empty();
    struct qs_scan_lens *lens = qs_scan_lens_new(view, view->scan);
    struct qs_site *site = qs_site_new(view);
    assert_non_null(lens);
    assert_non_null(site);
    for (size_t i = 0; i < count; i++)
        view_add(view->scan, lens, 0, &list[i]);
    view_judge(view, site);
    return view;
}

#endif
