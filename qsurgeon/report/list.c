/* SPDX-License-Identifier: Apache-2.0 */
/* A line a message: as a table, JSON, CSV, bare IDs. */
#include "list.h"

#include <inttypes.h>
#include <string.h>

#include "evidence.h"
#include "table.h"

static struct qs_span text_of(const struct qs_view *view, qs_sym sym)
{
    return qs_sym_span(view->scan->strings, sym);
}

static struct qs_span group_name(const struct qs_view *view, uint32_t message)
{
    uint32_t group = view->judgement->group_of[message];
    return qs_span_of(group == QS_NO_CLUSTER ? NULL : view->judgement->group[group].name);
}

/* --- text ---------------------------------------------------------------------------- */

enum list_column { QUEUE_ID, INSTANCE, QUEUE, AGE, SIZE, VERDICT, CLUSTER, SENDER, RECIPIENT, SUBJECT };
enum { LIST_COLUMNS = SUBJECT + 1, WIDE = 110 };

static const struct qs_heading list_headings[LIST_COLUMNS] = {
    [QUEUE_ID] = {"QUEUE ID", false, false}, [INSTANCE] = {"INSTANCE", false, false},
    [QUEUE] = {"QUEUE", false, false},       [AGE] = {"AGE", true, false},
    [SIZE] = {"SIZE", true, false},          [VERDICT] = {"VERDICT", false, false},
    [CLUSTER] = {"CLUSTER", false, false},   [SENDER] = {"SENDER", false, true},
    [RECIPIENT] = {"RECIPIENT", false, true}, [SUBJECT] = {"SUBJECT", false, true},
};

struct list_rows {
    const struct qs_view *view;
    const uint32_t *message;
    const struct qs_style *style;
    enum list_column column[LIST_COLUMNS];
    unsigned columns;
};

static void fill_cell(const struct list_rows *rows, uint32_t index, enum list_column column, char *to)
{
    const struct qs_view *view = rows->view;
    const struct qs_message *m = &view->scan->messages[index];
    struct qs_span text = {NULL, 0};
    switch (column) {
    case QUEUE_ID:
        text = qs_span_of(m->id);
        break;
    case INSTANCE:
        text = qs_span_of(view->scan->queues[m->instance].name);
        break;
    case QUEUE:
        text = text_of(view, m->queue_name);
        break;
    case AGE:
        qs_text_age(to, view->now - m->arrival);
        return;
    case SIZE:
        qs_text_bytes(to, m->size);
        return;
    case VERDICT:
        text = qs_span_of(qs_verdict_name((enum qs_verdict)view->judgement->of[index].verdict));
        break;
    case CLUSTER:
        text = group_name(view, index);
        break;
    case SENDER:
        text = qs_address(text_of(view, m->sender));
        break;
    case RECIPIENT:
        if (m->recipient_count)
            text = qs_address(text_of(view, m->recipients[0].address));
        break;
    case SUBJECT:
        text = text_of(view, m->subject);
        break;
    }
    size_t len = qs_safe(to, QS_CELL - 24, text, rows->style);
    if (column == RECIPIENT && m->recipient_count > 1)
        snprintf(to + len, 24, " +%u", m->recipient_count - 1);
}

static void fill_message(void *data, size_t row, struct qs_cells *cells)
{
    const struct list_rows *rows = data;
    for (unsigned c = 0; c < rows->columns; c++) {
        fill_cell(rows, rows->message[row], rows->column[c], cells->text[c]);
        if (rows->column[c] == VERDICT)
            cells->ink[c] = qs_ink_of((enum qs_verdict)rows->view->judgement->of[rows->message[row]].verdict);
    }
}

void qs_print_messages(FILE *out, const struct qs_view *view, const uint32_t *message, uint32_t count,
                       const struct qs_style *style)
{
    struct list_rows rows = {.view = view, .message = message, .style = style};
    struct qs_heading headings[LIST_COLUMNS];
    for (unsigned c = 0; c < LIST_COLUMNS; c++) {
        bool wanted = true;
        if (c == INSTANCE)
            wanted = view->scan->queue_count > 1;
        if (c == QUEUE || c == RECIPIENT)
            wanted = style->columns >= WIDE;
        if (!wanted)
            continue;
        headings[rows.columns] = list_headings[c];
        rows.column[rows.columns++] = (enum list_column)c;
    }
    qs_table_print(out, style, headings, rows.columns, count, fill_message, &rows);
}

enum qs_status qs_report_list_text(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                   const struct qs_style *style, struct qs_error *err)
{
    uint32_t *order = NULL, count = 0;
    enum qs_status status = qs_ordered(NULL, view, selected, &order, &count, err);
    if (status != QS_OK)
        return status;
    if (count)
        qs_print_messages(out, view, order, count, style);
    else
        fputs(view->scan->count ? "No message matches.\n" : "No messages.\n", out);
    talloc_free(order);
    return qs_written(out, err);
}

/* --- for programs -------------------------------------------------------------------- */

typedef enum qs_status (*line_writer)(FILE *out, const struct qs_view *view, uint32_t message,
                                      const struct qs_style *style, struct qs_error *err);

static enum qs_status each_line(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                const struct qs_style *style, line_writer write_line, struct qs_error *err)
{
    uint32_t *order = NULL, count = 0;
    enum qs_status status = qs_ordered(NULL, view, selected, &order, &count, err);
    for (uint32_t i = 0; status == QS_OK && i < count; i++)
        status = write_line(out, view, order[i], style, err);
    talloc_free(order);
    return status;
}

static enum qs_status json_line(FILE *out, const struct qs_view *view, uint32_t message,
                                const struct qs_style *style, struct qs_error *err)
{
    struct qs_json json = qs_json_new();
    qs_json_message(&json, view, message);
    if (style->explain) {
        struct qs_evidence *list = NULL;
        size_t count = 0;
        if (qs_explain_message(NULL, view->judgement, message, &list, &count, NULL) == QS_OK)
            qs_json_evidence(&json, list, count);
        else
            json.failed = true;
        talloc_free(list);
    }
    return qs_json_line(out, &json, err);
}

enum qs_status qs_report_list_json(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                   const struct qs_style *style, struct qs_error *err)
{
    return each_line(out, view, selected, style, json_line, err);
}

static enum qs_status id_line(FILE *out, const struct qs_view *view, uint32_t message,
                              const struct qs_style *style, struct qs_error *err)
{
    qs_print_safe(out, qs_span_of(view->scan->messages[message].id), style);
    fputc('\n', out);
    return qs_written(out, err);
}

enum qs_status qs_report_list_ids(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                  const struct qs_style *style, struct qs_error *err)
{
    return each_line(out, view, selected, style, id_line, err);
}

static const char csv_header[] = "instance,queue_name,queue_id,arrival_time,message_size,forced_expire,"
                                 "sender,recipient_count,first_recipient,"
                                 "delay_reason,client_address,client_name,helo,sasl_username,local_uid,from,"
                                 "subject,message_id,cluster,verdict,"
                                 "cause,score,body_hash\r\n";

static enum qs_status csv_line(FILE *out, const struct qs_view *view, uint32_t message,
                               const struct qs_style *style, struct qs_error *err)
{
    const struct qs_message *m = &view->scan->messages[message];
    const struct qs_finding *finding = &view->judgement->of[message];
    const struct qs_recipient *first = m->recipient_count ? &m->recipients[0] : NULL;
    const qs_sym network[] = {m->client_address, m->client_name, m->helo, m->sasl_username};
    (void)style;
    qs_csv_cell(out, qs_span_of(view->scan->queues[m->instance].name), true);
    qs_csv_cell(out, text_of(view, m->queue_name), false);
    qs_csv_cell(out, qs_span_of(m->id), false);
    fprintf(out, ",%" PRId64 ",%" PRIu64 ",%s", m->arrival, m->size,
            m->flags & QS_ENV_FORCED_EXPIRE ? "true" : "false");
    qs_csv_cell(out, m->sender ? text_of(view, m->sender) : QS_SPAN("MAILER-DAEMON"), false);
    fprintf(out, ",%" PRIu32, m->recipient_count);
    qs_csv_cell(out, text_of(view, first ? first->address : 0), false);
    qs_csv_cell(out, text_of(view, first ? first->reason : 0), false);
    for (size_t i = 0; i < sizeof network / sizeof network[0]; i++)
        qs_csv_cell(out, text_of(view, network[i]), false);
    if (m->local_uid >= 0)
        fprintf(out, ",%" PRId32, m->local_uid);
    else
        fputc(',', out);
    qs_csv_cell(out, text_of(view, m->from), false);
    qs_csv_cell(out, text_of(view, m->subject), false);
    qs_csv_cell(out, text_of(view, m->message_id_text), false);
    qs_csv_cell(out, group_name(view, message), false);
    fprintf(out, ",%s,%s,%.3f", qs_verdict_name((enum qs_verdict)finding->verdict),
            qs_cause_name((enum qs_cause)finding->cause), (double)finding->score);
    if (m->print.body_hash)
        fprintf(out, ",%016" PRIx64 "\r\n", m->print.body_hash);
    else
        fputs(",\r\n", out);
    return qs_written(out, err);
}

enum qs_status qs_report_list_csv(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                  const struct qs_style *style, struct qs_error *err)
{
    fputs(csv_header, out);
    return each_line(out, view, selected, style, csv_line, err);
}
