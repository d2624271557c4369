/* SPDX-License-Identifier: Apache-2.0 */
/* Age by domain: where the queue stands, in the form that Postfix admins know from qshape(1). A bucket named
 * N counts what arrived less than N minutes ago and fell in no smaller one. */
#include <string.h>

#include "json.h"
#include "summary.h"
#include "table.h"

enum { BUCKETS = 10, FIRST_MINUTES = 5, TOP_TERMINAL = 20 };

/* The bucket of an age; the last one has no limit. */
static unsigned bucket_of(int64_t seconds)
{
    unsigned bucket = 0;
    for (int64_t limit = FIRST_MINUTES * 60; bucket < BUCKETS - 1 && seconds >= limit; limit *= 2)
        bucket++;
    return bucket;
}

static bool count_address(struct qs_tally *tally, struct qs_span address, unsigned bucket,
                          struct qs_tally_row *total)
{
    char domain[QS_INTERN_MAX];
    struct qs_tally_row *row = qs_tally_at(tally, qs_report_domain(domain, sizeof domain, address));
    if (!row)
        return false;
    row->count[0]++;
    row->count[1 + bucket]++;
    total->count[0]++;
    total->count[1 + bucket]++;
    return true;
}

/* count[0] is the sum, count[1 + n] that of bucket n. The tally is a child of parent. */
static enum qs_status count_all(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                                bool by_sender, struct qs_tally **out, struct qs_tally_row *total,
                                struct qs_error *err)
{
    const struct qs_scan *scan = view->scan;
    struct qs_tally *tally = qs_tally_new(parent);
    bool ok = tally != NULL;
    for (uint32_t i = 0; ok && i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        unsigned bucket = bucket_of(view->now - m->arrival);
        if (!qs_is_selected(selected, i))
            continue;
        if (by_sender)
            ok = count_address(tally, qs_sym_span(scan->strings, m->sender), bucket, total);
        for (uint32_t r = 0; ok && !by_sender && r < m->recipient_count; r++)
            if (m->recipients[r].state == QS_RCPT_TODO)
                ok =
                    count_address(tally, qs_sym_span(scan->strings, m->recipients[r].address), bucket, total);
    }
    if (!ok)
        return qs_fail(err, QS_NOMEM, "out of memory");
    qs_tally_sort(tally);
    *out = tally;
    return QS_OK;
}

struct shape_rows {
    const struct qs_tally *tally;
    const struct qs_tally_row *total;
    const struct qs_style *style;
};

static void fill_domain(void *data, size_t row, struct qs_cells *cells)
{
    const struct shape_rows *rows = data;
    const struct qs_tally_row *counts = row ? &rows->tally->row[row - 1] : rows->total;
    qs_safe(cells->text[0], QS_CELL, qs_span_of(counts->name), rows->style);
    for (unsigned c = 0; c <= BUCKETS; c++)
        snprintf(cells->text[1 + c], QS_CELL, "%llu", (unsigned long long)counts->count[c]);
}

enum qs_status qs_report_shape_text(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                    bool by_sender, const struct qs_style *style, struct qs_error *err)
{
    const struct qs_heading headings[2 + BUCKETS] = {
        {by_sender ? "SENDERS BY MINUTES" : "RECIPIENTS BY MINUTES", false, true},
        {"T", true, false},
        {"5", true, false},
        {"10", true, false},
        {"20", true, false},
        {"40", true, false},
        {"80", true, false},
        {"160", true, false},
        {"320", true, false},
        {"640", true, false},
        {"1280", true, false},
        {"1280+", true, false},
    };
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_tally_row total = {.name = "TOTAL"};
    struct shape_rows rows = {.total = &total, .style = style};
    struct qs_tally *tally = NULL;
    enum qs_status status = count_all(scratch, view, selected, by_sender, &tally, &total, err);
    if (status == QS_OK) {
        uint32_t top = style->top ? style->top : style->rows ? TOP_TERMINAL : UINT32_MAX;
        rows.tally = tally;
        top = top < tally->rows ? top : tally->rows;
        qs_table_print(out, style, headings, 2 + BUCKETS, 1 + (size_t)top, fill_domain, &rows);
        if (top < tally->rows)
            fprintf(out, "and %u more: --top %u shows all\n", tally->rows - top, tally->rows);
        status = qs_written(out, err);
    }
    talloc_free(scratch);
    return status;
}

enum qs_status qs_report_shape_json(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                    bool by_sender, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_tally_row total = {.name = NULL};
    struct qs_tally *tally = NULL;
    enum qs_status status = count_all(scratch, view, selected, by_sender, &tally, &total, err);
    for (uint32_t i = 0; status == QS_OK && i < tally->rows; i++) {
        struct qs_json json = qs_json_new(), ages = qs_json_new();
        qs_json_text(&json, "domain", qs_span_of(tally->row[i].name));
        qs_json_count(&json, by_sender ? "senders" : "recipients", tally->row[i].count[0]);
        for (unsigned b = 0; b < BUCKETS; b++) {
            char name[16];
            snprintf(name, sizeof name, b < BUCKETS - 1 ? "%u" : "%u+",
                     FIRST_MINUTES << (b < BUCKETS - 1 ? b : BUCKETS - 2));
            qs_json_count(&ages, name, tally->row[i].count[1 + b]);
        }
        qs_json_object(&json, "minutes", ages);
        status = qs_json_line(out, &json, err);
    }
    talloc_free(scratch);
    return status;
}
