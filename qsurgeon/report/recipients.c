/* SPDX-License-Identifier: Apache-2.0 */
/* Recipients that wait in the queue and do not exist, by a list. */
#include "qsurgeon/recipients.h"

#include <string.h>

#include "json.h"
#include "summary.h"
#include "table.h"
#include "tally.h"

enum { TOP = 20 };

struct unknown_rows {
    const struct qs_tally *tally;
    const struct qs_style *style;
};

static void fill(void *data, size_t row, struct qs_cells *cells)
{
    const struct unknown_rows *rows = data;
    char number[32];
    qs_safe(cells->text[0], QS_CELL, qs_span_of(rows->tally->row[row].name), rows->style);
    snprintf(cells->text[1], QS_CELL, "%s", qs_number(number, rows->tally->row[row].count[0]));
}

enum qs_status qs_report_recipients_text(FILE *out, const struct qs_view *view, const struct qs_list *list,
                                         const struct qs_recipient_marks *marks, const struct qs_style *style,
                                         struct qs_error *err)
{
    static const struct qs_heading headings[] = {{"UNKNOWN IN", false, true}, {"ADDRESSES", true, false}};
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_tally *tally = qs_tally_new(scratch);
    bool ok = tally != NULL;
    char waiting[64], nobody[64], messages[64], when[32], all[64];
    for (size_t i = 0; ok && i < marks->unknown_count; i++) {
        char domain[256];
        struct qs_tally_row *row = qs_tally_at(tally, qs_report_domain(domain, sizeof domain, qs_span_of(marks->unknown[i])));
        ok = row != NULL;
        if (row)
            row->count[0]++;
    }
    if (!ok) {
        talloc_free(scratch);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    qs_tally_sort(tally);
    fprintf(out, "%s of %s that wait in %s %s not exist.\n", qs_plural(nobody, marks->nobody, "recipient", "recipients"),
            qs_plural(waiting, marks->waiting, "recipient", "recipients"),
            qs_plural(all, view->scan->count, "message", "messages"), marks->nobody == 1 ? "does" : "do");
    fprintf(out, "%s waiting for them; %llu are of domains that the list does not cover.\n",
            qs_plural(messages, marks->messages, "message is", "messages are"), (unsigned long long)marks->not_covered);
    fputs("List of ", out);
    qs_print_safe(out, qs_span_of(list->host), style);
    fprintf(out, ", %s, serial %u, %zu recipients of %zu domains\n", qs_time(when, list->made), list->serial, list->addresses,
            list->domains);
    if (tally->rows) {
        struct unknown_rows rows = {tally, style};
        uint32_t top = style->top ? style->top : TOP;
        top = top < tally->rows ? top : tally->rows;
        fputc('\n', out);
        qs_table_print(out, style, headings, 2, top, fill, &rows);
        if (top < tally->rows)
            fprintf(out, "and %u more: --top %u shows all\n", tally->rows - top, tally->rows);
    }
    talloc_free(scratch);
    return qs_written(out, err);
}

static const char *answer_word(enum qs_list_answer answer)
{
    switch (answer) {
    case QS_LIST_EXISTS:
        return "exists";
    case QS_LIST_UNKNOWN:
        return "unknown";
    case QS_LIST_NOT_COVERED:
        return "not-covered";
    }
    return "not-covered";
}

enum qs_status qs_report_recipients_json(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                         const struct qs_list *list, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    uint32_t *order = NULL, count = 0;
    enum qs_status status = qs_ordered(scratch, view, selected, &order, &count, err);
    for (uint32_t i = 0; status == QS_OK && i < count; i++) {
        const struct qs_message *m = &view->scan->messages[order[i]];
        for (uint32_t r = 0; status == QS_OK && r < m->recipient_count; r++) {
            if (m->recipients[r].state != QS_RCPT_TODO)
                continue;
            struct qs_span address = qs_sym_span(view->scan->strings, m->recipients[r].address);
            struct qs_json json = qs_json_new();
            qs_json_text(&json, "instance", qs_span_of(view->scan->queues[m->instance].name));
            qs_json_text(&json, "queue_id", qs_span_of(m->id));
            qs_json_text(&json, "recipient", address);
            qs_json_text(&json, "listed", qs_span_of(answer_word(qs_list_has(list, address))));
            qs_json_text(&json, "verdict",
                         qs_span_of(qs_verdict_name((enum qs_verdict)view->judgement->of[order[i]].verdict)));
            status = qs_json_line(out, &json, err);
        }
    }
    talloc_free(scratch);
    return status;
}
