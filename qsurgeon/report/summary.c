/* SPDX-License-Identifier: Apache-2.0 */
/* The selected messages added up: see summary.h. */
#include "summary.h"

#include <stdlib.h>
#include <string.h>


struct qs_span qs_report_domain(char *to, size_t size, struct qs_span address)
{
    if (!address.len)
        return QS_SPAN("MAILER-DAEMON");
    const char *at = memrchr(address.ptr, '@', address.len);
    if (!at)
        return QS_SPAN("local");
    size_t len = address.len - (size_t)(at + 1 - address.ptr);
    len = len < size ? len : size;
    for (size_t i = 0; i < len; i++)
        to[i] = at[1 + i] >= 'A' && at[1 + i] <= 'Z' ? (char)(at[1 + i] | 0x20) : at[1 + i];
    return (struct qs_span){to, len};
}

static void add(struct qs_sum *sum, const struct qs_message *m)
{
    sum->messages++;
    sum->bytes += m->size;
    sum->held += (m->flags & QS_ENV_HELD) != 0;
    if (m->arrival < sum->oldest)
        sum->oldest = m->arrival;
}

/* Distinct symbols: the stamp of each tells the last group that had it, and in which roles. */
enum role { SENDER = 1, CLIENT = 2, RECIPIENT = 4, ROLES = 8 };

static bool fresh(uint32_t *stamp, qs_sym sym, uint32_t group, enum role role)
{
    uint32_t was = stamp[sym] / ROLES == group ? stamp[sym] : group * ROLES;
    stamp[sym] = was | role;
    return !(was & role);
}

static void sum_group(const struct qs_view *view, const uint8_t *selected, uint32_t g,
                      uint32_t *stamp, struct qs_group_sum *out)
{
    const struct qs_group *group = &view->judgement->group[g];
    *out = (struct qs_group_sum){.group = g, .oldest = INT64_MAX, .newest = INT64_MIN};
    for (uint32_t i = 0; i < group->count; i++) {
        uint32_t index = view->judgement->member[group->first + i];
        const struct qs_message *m = &view->scan->messages[index];
        if (!qs_is_selected(selected, index))
            continue;
        out->messages++;
        out->bytes += m->size;
        out->oldest = m->arrival < out->oldest ? m->arrival : out->oldest;
        out->newest = m->arrival > out->newest ? m->arrival : out->newest;
        out->senders += fresh(stamp, m->sender, g + 1, SENDER);
        out->clients += m->client_address && fresh(stamp, m->client_address, g + 1, CLIENT);
        for (uint32_t r = 0; r < m->recipient_count; r++)
            out->recipients += fresh(stamp, m->recipients[r].address, g + 1, RECIPIENT);
    }
}

static int compare_groups(const void *a, const void *b)
{
    const struct qs_group_sum *x = a, *y = b;
    if (x->messages != y->messages)
        return x->messages > y->messages ? -1 : 1;
    return x->group < y->group ? -1 : x->group > y->group;
}

static bool sum_groups(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                       struct qs_summary *out)
{
    const struct qs_judgement *judgement = view->judgement;
    size_t slots = qs_intern_slots(view->scan->strings);
    uint32_t *stamp = talloc_zero_size(NULL, slots * sizeof *stamp);
    out->group = talloc_array(parent, struct qs_group_sum, judgement->group_count);
    bool ok = stamp && out->group;
    for (uint32_t g = 0; ok && g < judgement->group_count; g++) {
        sum_group(view, selected, g, stamp, &out->group[out->group_count]);
        out->group_count += out->group[out->group_count].messages > 0;
    }
    if (ok && out->group_count > 1)
        qsort(out->group, out->group_count, sizeof *out->group, compare_groups);
    talloc_free(stamp);
    return ok;
}

static bool count_waiting(struct qs_tally *tally, const struct qs_scan *scan, const struct qs_message *m)
{
    for (uint32_t r = 0; r < m->recipient_count; r++) {
        char domain[QS_INTERN_MAX];
        struct qs_span address = qs_sym_span(scan->strings, m->recipients[r].address);
        if (m->recipients[r].state != QS_RCPT_TODO)
            continue;
        struct qs_tally_row *row = qs_tally_at(tally, qs_report_domain(domain, sizeof domain, address));
        if (!row)
            return false;
        row->count[0]++;
    }
    return true;
}

enum qs_status qs_summarise(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                            struct qs_summary **out, struct qs_error *err)
{
    struct qs_summary *s = talloc_zero(parent, struct qs_summary);
    bool ok = s && (s->waiting = qs_tally_new(s)) != NULL;
    if (ok) {
        s->all.oldest = INT64_MAX;
        for (unsigned v = 0; v < QS_VERDICTS; v++)
            s->of[v].oldest = INT64_MAX;
    }
    for (uint32_t i = 0; ok && i < view->scan->count; i++) {
        const struct qs_message *m = &view->scan->messages[i];
        unsigned verdict = view->judgement->of[i].verdict;
        if (!qs_is_selected(selected, i))
            continue;
        add(&s->all, m);
        add(&s->of[verdict], m);
        if (verdict == QS_LEGIT)
            ok = count_waiting(s->waiting, view->scan, m);
    }
    if (!ok || !sum_groups(s, view, selected, s)) {
        talloc_free(s);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    qs_tally_sort(s->waiting);
    *out = s;
    return QS_OK;
}

struct order_key {
    const char *id;
    int64_t arrival;
    uint32_t instance, index;
};

static int compare_keys(const void *a, const void *b)
{
    const struct order_key *x = a, *y = b;
    if (x->instance != y->instance)
        return x->instance < y->instance ? -1 : 1;
    if (x->arrival != y->arrival)
        return x->arrival < y->arrival ? -1 : 1;
    return strcmp(x->id, y->id);
}

enum qs_status qs_ordered(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                          uint32_t **list, uint32_t *count, struct qs_error *err)
{
    const struct qs_scan *scan = view->scan;
    uint32_t n = 0;
    struct order_key *key = talloc_array(NULL, struct order_key, scan->count);
    uint32_t *order = talloc_array(parent, uint32_t, scan->count);
    if (!key || !order) {
        talloc_free(key);
        talloc_free(order);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        if (qs_is_selected(selected, i))
            key[n++] = (struct order_key){m->id, m->arrival, m->instance, i};
    }
    if (n > 1)
        qsort(key, n, sizeof *key, compare_keys);
    for (uint32_t i = 0; i < n; i++)
        order[i] = key[i].index;
    talloc_free(key);
    *list = order;
    *count = n;
    return QS_OK;
}
