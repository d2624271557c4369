/* SPDX-License-Identifier: Apache-2.0 */
/* Counting the hopeless. What is asked of a string is asked once, not for each message. */
#include "qsurgeon/hopeless.h"

#include <stdlib.h>
#include <string.h>

#include "provider.h"
#include "qsurgeon/dns.h"
#include "qsurgeon/recipients.h"
#include "qsurgeon/table.h"

enum end { HOPE, FORGED, DEAD, UNKNOWN };

struct count {
    const struct qs_view *view;
    const struct qs_dns *dns;
    uint8_t *no_such_user;          /* of each symbol that is a delivery result: 0 not asked, 1 no, 2 yes */
    uint8_t *nowhere;               /* of each symbol that is an address */
    uint32_t *origin_of;            /* of each symbol that is a client's name: row of origin plus 1; 0 not asked */
    struct qs_intern *names;
    struct qs_table *row;
    const struct qs_border *border;
    struct qs_hopeless *out;
};

static bool is_no_such_user(struct count *c, qs_sym reason)
{
    uint8_t *known = &c->no_such_user[reason];
    if (!*known)
        *known = qs_reason_no_such_user(qs_sym_span(c->view->scan->strings, reason)) ? 2 : 1;
    return *known == 2;
}

static bool leads_nowhere(struct count *c, qs_sym address)
{
    uint8_t *known = &c->nowhere[address];
    if (!*known) {
        enum qs_mx mx = qs_dns_of(c->dns, qs_sym_span(c->view->scan->strings, address));
        *known = mx == QS_MX_NONE || mx == QS_MX_LOOPBACK || mx == QS_MX_SELF ? 2 : 1;
    }
    return *known == 2;
}

static enum end end_of(struct count *c, uint32_t message)
{
    const struct qs_message *m = &c->view->scan->messages[message];
    const struct qs_finding *f = &c->view->judgement->of[message];
    uint32_t waiting = 0, dead = 0, gone = 0;
    if (f->verdict == QS_BACKSCATTER && (f->cause == QS_CAUSE_BACKSCATTER_OUT || f->cause == QS_CAUSE_MAIL_LOOP))
        return FORGED;
    for (uint32_t r = 0; r < m->recipient_count; r++) {
        if (m->recipients[r].state != QS_RCPT_TODO)
            continue;
        waiting++;
        if (c->dns && leads_nowhere(c, m->recipients[r].address))
            dead++;
        else if (is_no_such_user(c, m->recipients[r].reason))
            gone++;
        else
            return HOPE;
    }
    return !waiting ? HOPE : gone ? UNKNOWN : dead ? DEAD : HOPE;
}

/* The name under which the message, or what it returns, came in from outside. */
static qs_sym client_name(const struct count *c, const struct qs_message *m, const struct qs_finding *f)
{
    struct qs_network client;
    if (m->returned && f->verdict == QS_BACKSCATTER)
        for (unsigned k = 0; k < m->returned->hops; k++) {
            qs_sym address = m->returned->hop[k].client;
            if (address && !(qs_network_parse(qs_sym_span(c->view->scan->strings, address), &client, NULL) == QS_OK &&
                             qs_border_inside(c->border, &client)))
                return m->returned->hop[k].name;
        }
    return m->client_name;
}

static bool add_origin(struct count *c, qs_sym name)
{
    struct qs_hopeless *out = c->out;
    uint32_t *known = &c->origin_of[name];
    if (!*known) {
        char provider[QS_PROVIDER_TEXT] = "";
        if (!qs_provider_of(qs_sym_span(c->view->scan->strings, name), provider))
            provider[0] = '\0';
        qs_sym symbol = qs_intern(c->names, qs_span_of(provider));
        uint32_t *row = qs_table_at(c->row, (uint64_t)symbol + 1, (uint32_t)out->origin_count);
        if (!row || qs_intern_failed(c->names))
            return false;
        if (*row == out->origin_count) {
            if ((*row & (*row - 1)) == 0) {
                struct qs_hopeless_origin *grown = talloc_realloc(out, out->origin, struct qs_hopeless_origin, *row ? 2 * *row : 1);
                if (!grown)
                    return false;
                out->origin = grown;
            }
            out->origin[out->origin_count++] = (struct qs_hopeless_origin){qs_sym_str(c->names, symbol), 0};
        }
        *known = *row + 1;
    }
    out->origin[*known - 1].messages++;
    return true;
}

static int by_messages(const void *a, const void *b)
{
    const struct qs_hopeless_origin *x = a, *y = b;
    if (x->messages != y->messages)
        return x->messages > y->messages ? -1 : 1;
    return strcmp(x->provider, y->provider);
}

enum qs_status qs_hopeless_count(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                                 struct qs_hopeless **out, struct qs_error *err)
{
    struct qs_hopeless *h = talloc_zero(NULL, struct qs_hopeless);
    TALLOC_CTX *scratch = talloc_new(NULL);
    uint32_t slots = qs_intern_slots(view->scan->strings);
    struct count c = {
        .view = view, .border = qs_border_new(scratch, view->judgement->site), .dns = view->judgement->site->dns, .out = h,
        .no_such_user = talloc_zero_array(scratch, uint8_t, slots), .nowhere = talloc_zero_array(scratch, uint8_t, slots),
        .origin_of = talloc_zero_array(scratch, uint32_t, slots), .row = qs_table_new(scratch, 64),
        .names = h ? qs_intern_new(h) : NULL,
    };
    bool ok = h && scratch && c.border && c.no_such_user && c.nowhere && c.origin_of && c.row && c.names;
    for (uint32_t i = 0; ok && i < view->scan->count; i++) {
        if (selected && !selected[i])
            continue;
        enum end end = end_of(&c, i);
        h->all++;
        h->forged += end == FORGED;
        h->dead += end == DEAD;
        h->unknown += end == UNKNOWN;
        ok = end == HOPE || add_origin(&c, client_name(&c, &view->scan->messages[i], &view->judgement->of[i]));
    }
    talloc_free(scratch);
    if (!ok) {
        talloc_free(h);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    h->asked = c.dns != NULL;
    if (h->origin_count)
        qsort(h->origin, h->origin_count, sizeof *h->origin, by_messages);
    *out = talloc_steal(parent, h);
    return QS_OK;
}
