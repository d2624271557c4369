/* SPDX-License-Identifier: Apache-2.0 */
/* Where the mail came in: by client address, network, authenticated user, local user. A message counts once
 * in each kind that it has. */
#include <arpa/inet.h>
#include <string.h>

#include "json.h"
#include "qsurgeon/table.h"
#include "summary.h"
#include "table.h"

enum source_kind { ADDRESS, NETWORK, USER, LOCAL };
enum { KINDS = LOCAL + 1, TOP_TERMINAL = 8 };

/* What a row of the tally counts; the four verdicts stand from FIRST_VERDICT on. */
enum { MESSAGES, CLUSTERS, RECIPIENTS, BYTES, FIRST_VERDICT };

static const char *const kind_name[KINDS] = {
    [ADDRESS] = "address", [NETWORK] = "network", [USER] = "user", [LOCAL] = "uid",
};
static const char *const kind_title[KINDS] = {
    [ADDRESS] = "CLIENT", [NETWORK] = "NETWORK", [USER] = "USER", [LOCAL] = "LOCAL UID",
};
static const enum qs_verdict shown[QS_VERDICTS] = {QS_STORM, QS_BACKSCATTER, QS_LEGIT, QS_UNSURE};

struct sources {
    const struct qs_view *view;
    struct qs_tally *of[KINDS];
    struct qs_table *seen;          /* pairs of a source and a cluster or recipient */
};

/* The /24 or /64 of an address, in to[]; empty when it is no address. */
static struct qs_span network_of(char to[64], struct qs_span address)
{
    char text[64];
    unsigned char bytes[16];
    if (!address.len || address.len >= sizeof text)
        return (struct qs_span){NULL, 0};
    memcpy(text, address.ptr, address.len);
    text[address.len] = '\0';
    if (inet_pton(AF_INET, text, bytes) == 1) {
        snprintf(to, 64, "%u.%u.%u.0/24", bytes[0], bytes[1], bytes[2]);
        return qs_span_of(to);
    }
    if (inet_pton(AF_INET6, text, bytes) != 1)
        return (struct qs_span){NULL, 0};
    memset(bytes + 8, 0, 8);
    if (!inet_ntop(AF_INET6, bytes, text, sizeof text))
        return (struct qs_span){NULL, 0};
    snprintf(to, 64, "%.60s/64", text);
    return qs_span_of(to);
}

/* True when the pair was not seen before; *ok turns false without memory. What: 0 cluster, 1 recipient. */
static bool first_time(struct sources *s, enum source_kind kind, uint32_t row, unsigned what, uint32_t value,
                       bool *ok)
{
    uint64_t source = qs_mix64(((uint64_t)row << 8) | (uint64_t)kind << 1 | what);
    uint32_t before = qs_table_count(s->seen);
    if (!qs_table_at(s->seen, qs_mix64(source ^ value), 1))
        *ok = false;
    return qs_table_count(s->seen) != before;
}

static bool count_source(struct sources *s, enum source_kind kind, struct qs_span name, uint32_t message)
{
    const struct qs_message *m = &s->view->scan->messages[message];
    uint32_t group = s->view->judgement->group_of[message];
    struct qs_tally *tally = s->of[kind];
    struct qs_tally_row *row = qs_tally_at(tally, name);
    bool ok = row != NULL;
    if (!ok)
        return false;
    uint32_t number = (uint32_t)(row - tally->row);
    if (row->count[MESSAGES]++ == 0 || strcmp(m->id, s->view->scan->messages[row->message].id) < 0)
        row->message = message;
    row->count[BYTES] += m->size;
    row->count[FIRST_VERDICT + s->view->judgement->of[message].verdict]++;
    row->count[CLUSTERS] += group != QS_NO_CLUSTER && first_time(s, kind, number, 0, group, &ok);
    for (uint32_t r = 0; r < m->recipient_count; r++)
        row->count[RECIPIENTS] += first_time(s, kind, number, 1, m->recipients[r].address, &ok);
    return ok;
}

static bool count_message(struct sources *s, uint32_t message)
{
    const struct qs_message *m = &s->view->scan->messages[message];
    struct qs_span address = qs_sym_span(s->view->scan->strings, m->client_address);
    char network[64], uid[16];
    struct qs_span prefix = network_of(network, address);
    bool ok = true;
    if (address.len)
        ok = count_source(s, ADDRESS, address, message);
    if (ok && prefix.len)
        ok = count_source(s, NETWORK, prefix, message);
    if (ok && m->sasl_username)
        ok = count_source(s, USER, qs_sym_span(s->view->scan->strings, m->sasl_username), message);
    snprintf(uid, sizeof uid, "%d", (int)m->local_uid);
    if (ok && m->local_uid >= 0)
        ok = count_source(s, LOCAL, qs_span_of(uid), message);
    return ok;
}

/* The tallies are children of parent. */
static enum qs_status count_all(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                                struct sources *s, struct qs_error *err)
{
    bool ok = true;
    s->view = view;
    for (unsigned k = 0; ok && k < KINDS; k++)
        ok = (s->of[k] = qs_tally_new(parent)) != NULL;
    ok = ok && (s->seen = qs_table_new(parent, view->scan->count)) != NULL;
    for (uint32_t i = 0; ok && i < view->scan->count; i++)
        if (qs_is_selected(selected, i))
            ok = count_message(s, i);
    if (!ok)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (unsigned k = 0; k < KINDS; k++)
        qs_tally_sort(s->of[k]);
    return QS_OK;
}

/* The name of a client, where all that is asked for is one client. */
static struct qs_span client_name(const struct sources *s, enum source_kind kind,
                                  const struct qs_tally_row *row)
{
    return kind == ADDRESS
               ? qs_sym_span(s->view->scan->strings, s->view->scan->messages[row->message].client_name)
               : (struct qs_span){NULL, 0};
}

struct source_rows {
    const struct sources *sources;
    const struct qs_style *style;
    enum source_kind kind;
};

static void fill_source(void *data, size_t row, struct qs_cells *cells)
{
    const struct source_rows *rows = data;
    const struct qs_tally_row *counts = &rows->sources->of[rows->kind]->row[row];
    char number[32];
    qs_safe(cells->text[0], QS_CELL, qs_span_of(counts->name), rows->style);
    for (unsigned c = MESSAGES; c <= RECIPIENTS; c++)
        snprintf(cells->text[1 + c], QS_CELL, "%s", qs_number(number, counts->count[c]));
    for (unsigned v = 0; v < QS_VERDICTS; v++)
        if (counts->count[FIRST_VERDICT + shown[v]]) {
            snprintf(cells->text[4 + v], QS_CELL, "%s",
                     qs_number(number, counts->count[FIRST_VERDICT + shown[v]]));
            cells->ink[4 + v] = qs_ink_of(shown[v]);
        }
    qs_safe(cells->text[8], QS_CELL, client_name(rows->sources, rows->kind, counts), rows->style);
}

enum qs_status qs_report_sources_text(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                      const struct qs_style *style, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct sources s = {0};
    enum qs_status status = count_all(scratch, view, selected, &s, err);
    bool any = false;
    for (unsigned k = 0; status == QS_OK && k < KINDS; k++) {
        const struct qs_heading headings[] = {
            {kind_title[k], false, k == USER},
            {"MSGS", true, false},
            {"CLUST", true, false},
            {"RCPTS", true, false},
            {"STORM", true, false},
            {"BACKSC", true, false},
            {"LEGIT", true, false},
            {"UNSURE", true, false},
            {k == ADDRESS ? "NAME" : "", false, true},
        };
        struct source_rows rows = {&s, style, (enum source_kind)k};
        uint32_t all = s.of[k]->rows, top = style->top ? style->top : style->rows ? TOP_TERMINAL : UINT32_MAX;
        top = top < all ? top : all;
        if (!all)
            continue;
        if (any)
            fputc('\n', out);
        any = true;
        qs_table_print(out, style, headings, sizeof headings / sizeof headings[0], top, fill_source, &rows);
        if (top < all)
            fprintf(out, "and %u more: --top %u shows all\n", all - top, all);
    }
    talloc_free(scratch);
    return status == QS_OK ? qs_written(out, err) : status;
}

enum qs_status qs_report_sources_json(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                      struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct sources s = {0};
    enum qs_status status = count_all(scratch, view, selected, &s, err);
    for (unsigned k = 0; status == QS_OK && k < KINDS; k++)
        for (uint32_t i = 0; status == QS_OK && i < s.of[k]->rows; i++) {
            const struct qs_tally_row *row = &s.of[k]->row[i];
            struct qs_json json = qs_json_new(), verdicts = qs_json_new();
            qs_json_text(&json, "kind", qs_span_of(kind_name[k]));
            qs_json_text(&json, "source", qs_span_of(row->name));
            qs_json_text_or_null(&json, "name", client_name(&s, (enum source_kind)k, row));
            qs_json_count(&json, "messages", row->count[MESSAGES]);
            qs_json_count(&json, "bytes", row->count[BYTES]);
            qs_json_count(&json, "clusters", row->count[CLUSTERS]);
            qs_json_count(&json, "recipients", row->count[RECIPIENTS]);
            for (unsigned v = 0; v < QS_VERDICTS; v++)
                qs_json_count(&verdicts, qs_verdict_name(shown[v]), row->count[FIRST_VERDICT + shown[v]]);
            qs_json_object(&json, "verdicts", verdicts);
            status = qs_json_line(out, &json, err);
        }
    talloc_free(scratch);
    return status;
}
