/* SPDX-License-Identifier: Apache-2.0 */
/* One message, or one cluster, with all that is known about it. */
#include <stdlib.h>
#include <string.h>

#include "evidence.h"
#include "list.h"
#include "qsurgeon/decode.h"

enum {
    RECIPIENTS_SHOWN = 20,
    TEXT_LINES = 25,                /* of all text parts together */
    FIELD_BYTES = 600,              /* of one header field */
    SAMPLES = 5, TOP_NAMES = 5,
    LABEL = 14, REASON = 12,
};

static void print_label(FILE *out, const char *label, const struct qs_style *style)
{
    qs_ink_on(out, style, QS_INK_DIM);
    fprintf(out, "%-*s", LABEL, label);
    qs_ink_off(out, style, QS_INK_DIM);
}

/* On as many lines as it takes, from column `indent` on; folded lines of a header are one. */
static void print_long(FILE *out, struct qs_span text, unsigned indent, const struct qs_style *style)
{
    char one[FIELD_BYTES], *words = NULL;
    size_t n = 0, size = 0;
    for (size_t i = 0; i < text.len && n < FIELD_BYTES; i++) {
        bool fold = text.ptr[i] == '\n' && i + 1 < text.len && (text.ptr[i + 1] == ' ' || text.ptr[i + 1] == '\t');
        if (text.ptr[i] == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n')
            continue;
        one[n++] = fold ? ' ' : text.ptr[i];
        while (fold && i + 1 < text.len && (text.ptr[i + 1] == ' ' || text.ptr[i + 1] == '\t'))
            i++;
    }
    FILE *safe = open_memstream(&words, &size);
    if (safe) {
        qs_print_safe(safe, (struct qs_span){one, n}, style);
        fputs(n == FIELD_BYTES ? " ..." : "", safe);
        fclose(safe);
    }
    qs_print_wrapped(out, words ? words : "", indent, indent, style);
    free(words);
}

/* "label  text" when there is text. */
static void print_field(FILE *out, const char *label, struct qs_span text, const struct qs_style *style)
{
    if (!text.len)
        return;
    print_label(out, label, style);
    print_long(out, text, LABEL, style);
}

static void print_title(FILE *out, const char *title, const struct qs_style *style)
{
    fputc('\n', out);
    qs_ink_on(out, style, QS_INK_BOLD);
    fprintf(out, "%s\n", title);
    qs_ink_off(out, style, QS_INK_BOLD);
}

/* --- a message ----------------------------------------------------------------------- */

static void print_verdict(FILE *out, const struct qs_view *view, uint32_t message,
                          const struct qs_style *style)
{
    const struct qs_finding *finding = &view->judgement->of[message];
    enum qs_verdict verdict = (enum qs_verdict)finding->verdict;
    uint32_t group = view->judgement->group_of[message];
    print_label(out, "Verdict", style);
    qs_ink_on(out, style, qs_ink_of(verdict));
    fputs(qs_verdict_name(verdict), out);
    qs_ink_off(out, style, qs_ink_of(verdict));
    fprintf(out, " (%s), score %+.2f", qs_cause_name((enum qs_cause)finding->cause), (double)finding->score);
    if (group != QS_NO_CLUSTER) {
        char number[32];
        fprintf(out, ", one of %s in %s", qs_number(number, view->judgement->group[group].count),
                view->judgement->group[group].name);
    }
    fputc('\n', out);
}

static void print_origin(FILE *out, const struct qs_scan *scan, const struct qs_message *m,
                         const struct qs_style *style)
{
    struct qs_span name = qs_sym_span(scan->strings, m->client_name);
    if (m->client_address || m->client_name) {
        print_label(out, "Client", style);
        qs_print_safe(out, name.len ? name : QS_SPAN("unknown"), style);
        fputs(" [", out);
        qs_print_safe(out, qs_sym_span(scan->strings, m->client_address), style);
        fputs("]", out);
        if (m->protocol) {
            fputs(" by ", out);
            qs_print_safe(out, qs_sym_span(scan->strings, m->protocol), style);
        }
        fputc('\n', out);
    }
    print_field(out, "HELO", qs_sym_span(scan->strings, m->helo), style);
    print_field(out, "User", qs_sym_span(scan->strings, m->sasl_username), style);
    if (m->local_uid >= 0) {
        print_label(out, "Local uid", style);
        fprintf(out, "%d\n", (int)m->local_uid);
    }
    print_field(out, "Script", qs_sym_span(scan->strings, m->script), style);
}

static void print_when(FILE *out, const struct qs_view *view, const struct qs_message *m,
                       const struct qs_style *style)
{
    char time[32], age[8];
    print_label(out, "Arrived", style);
    fprintf(out, "%s, %s ago", qs_time(time, m->arrival), qs_text_age(age, view->now - m->arrival));
    if (m->attempts)
        fprintf(out, ", tried %u times", m->attempts);
    fputc('\n', out);
}

static void print_flags(FILE *out, const struct qs_message *m, const struct qs_style *style)
{
    static const struct { uint32_t flag; const char *words; } names[] = {
        {QS_ENV_HELD, "on hold"}, {QS_ENV_LOST, "damaged or lost"}, {QS_ENV_FORCED_EXPIRE, "made to expire"},
        {QS_ENV_EDITED, "edited by a milter"}, {QS_ENV_UTF8, "SMTPUTF8"}, {QS_ENV_LOCAL, "submitted locally"},
        {QS_ENV_BOUNCE_PENDING, "a bounce is to be sent"}, {QS_ENV_NO_BODY, "the body is missing"},
        {QS_ENV_RESPONSE, "the MTA's own notice"},
    };
    bool any = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!(m->flags & names[i].flag))
            continue;
        if (!any)
            print_label(out, "Marks", style);
        fprintf(out, "%s%s", any ? ", " : "", names[i].words);
        any = true;
    }
    if (any)
        fputc('\n', out);
}

static void print_recipients(FILE *out, const struct qs_scan *scan, const struct qs_message *m,
                             const struct qs_style *style)
{
    char words[64];
    uint32_t waiting = 0;
    for (uint32_t r = 0; r < m->recipient_count; r++)
        waiting += m->recipients[r].state == QS_RCPT_TODO;
    print_title(out, qs_plural(words, m->recipient_count, "recipient", "recipients"), style);
    if (waiting < m->recipient_count)
        fprintf(out, "  %s\n", qs_plural(words, waiting, "still waits", "still wait"));
    for (uint32_t r = 0; r < m->recipient_count && r < RECIPIENTS_SHOWN; r++) {
        const struct qs_recipient *to = &m->recipients[r];
        fprintf(out, "  %-9s ", qs_state_name((enum qs_recipient_state)to->state));
        qs_print_safe(out, qs_address(qs_sym_span(scan->strings, to->address)), style);
        fputc('\n', out);
        if (to->reason) {
            fprintf(out, "%*s", REASON, "");
            print_long(out, qs_sym_span(scan->strings, to->reason), REASON, style);
        }
    }
    if (m->recipient_count > RECIPIENTS_SHOWN)
        fprintf(out, "  and %u more: --json has all\n", m->recipient_count - RECIPIENTS_SHOWN);
}

static void print_header(FILE *out, const struct qs_scan *scan, const struct qs_message *m,
                         const struct qs_decoded *decoded, const struct qs_style *style)
{
    print_title(out, "Header", style);
    print_field(out, "  From", decoded ? qs_span_of(decoded->from) : qs_sym_span(scan->strings, m->from),
                style);
    print_field(out, "  To", qs_span_of(decoded ? decoded->to : NULL), style);
    print_field(out, "  Subject", qs_sym_span(scan->strings, m->subject), style);     /* as all other commands show it */
    print_field(out, "  Date", qs_span_of(decoded ? decoded->date : NULL), style);
    print_field(out, "  Message-ID", qs_sym_span(scan->strings, m->message_id_text), style);
    print_field(out, "  Mailer", qs_sym_span(scan->strings, m->mailer), style);
    print_field(out, "  List-Id", qs_sym_span(scan->strings, m->list_id), style);
    print_label(out, "  Received", style);
    fprintf(out, "%u %s, %u here\n", m->received, m->received == 1 ? "hop" : "hops", m->own_hops);
    print_field(out, "  Links to", qs_sym_span(scan->strings, m->url_host), style);
    if (m->returned)
        print_field(out, "  Returns", m->returned->subject ? qs_sym_span(scan->strings, m->returned->subject)
                                                           : QS_SPAN("a message without subject"), style);
}

static void print_part_title(FILE *out, const struct qs_decoded_part *part, const struct qs_style *style)
{
    char bytes[8];
    fputs("  [", out);
    qs_print_safe(out, qs_span_of(part->type), style);
    if (part->name) {
        fputs(", ", out);
        qs_print_safe(out, qs_span_of(part->name), style);
    }
    fprintf(out, ", %s]\n", qs_text_bytes(bytes, part->size));
}

/* At most *lines of the text; *lines becomes what is left. */
static void print_part_text(FILE *out, struct qs_span text, size_t *lines, const struct qs_style *style)
{
    size_t have = 1;
    text = qs_span_trim(text);
    for (size_t i = 0; i < text.len; i++)
        have += text.ptr[i] == '\n';
    qs_print_lines(out, text, 2, *lines, style);
    if (have > *lines)
        fprintf(out, "  ... %zu more lines: --raw shows the message as it is\n", have - *lines);
    *lines -= have < *lines ? have : *lines;
}

static void ignore_link(void *data, struct qs_span url)
{
    (void)data;
    (void)url;
}

/* HTML stands for itself only where there is no plain text; then what a reader sees of it. */
static enum qs_status print_text(FILE *out, const struct qs_decoded *decoded, const struct qs_style *style,
                                 struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    size_t lines = TEXT_LINES;
    bool plain = false, ok = scratch != NULL;
    for (size_t i = 0; i < decoded->part_count; i++)
        plain |= decoded->part[i].text && strcasecmp(decoded->part[i].type, "text/html") != 0;
    print_title(out, "Text", style);
    for (size_t i = 0; ok && i < decoded->part_count && i < QS_CAP_PARTS; i++) {
        const struct qs_decoded_part *part = &decoded->part[i];
        bool html = strcasecmp(part->type, "text/html") == 0;
        struct qs_buffer seen;
        uint32_t hidden = 0;
        print_part_title(out, part, style);
        if (!part->text || !lines || (html && plain))
            continue;
        qs_buffer_init(&seen, scratch);
        if (html)
            ok = qs_html_text(&seen, qs_span_of(part->text), &hidden, ignore_link, NULL);
        print_part_text(out, html ? (struct qs_span){seen.data, seen.len} : qs_span_of(part->text), &lines,
                        style);
        if (hidden)
            fprintf(out, "  (%u bytes of text are hidden from the reader)\n", hidden);
    }
    if (decoded->part_count > QS_CAP_PARTS)
        fprintf(out, "  and %zu more parts\n", decoded->part_count - QS_CAP_PARTS);
    talloc_free(scratch);
    return ok ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
}

enum qs_status qs_report_show_text(FILE *out, const struct qs_view *view, uint32_t message,
                                   const struct qs_envelope *envelope, const struct qs_decoded *decoded,
                                   const struct qs_style *style, struct qs_error *err)
{
    const struct qs_scan *scan = view->scan;
    const struct qs_message *m = &scan->messages[message];
    char bytes[8], number[32];
    struct qs_evidence *list = NULL;
    size_t count = 0;
    enum qs_status status = qs_explain_message(NULL, view->judgement, message, &list, &count, err);
    if (status != QS_OK)
        return status;

    print_label(out, "Queue ID", style);
    qs_print_safe(out, qs_span_of(m->id), style);
    fputs(" in ", out);
    qs_print_safe(out, qs_sym_span(scan->strings, m->queue_name), style);
    fputs(" of ", out);
    qs_print_safe(out, qs_span_of(scan->queues[m->instance].name), style);
    fputc('\n', out);
    print_verdict(out, view, message, style);
    print_field(out, "Sender", qs_address(qs_sym_span(scan->strings, m->sender)), style);
    print_origin(out, scan, m, style);
    print_when(out, view, m, style);
    print_label(out, "Size", style);
    fprintf(out, "%s bytes (%s), %u %s\n", qs_number(number, m->size), qs_text_bytes(bytes, m->size),
            m->parts, m->parts == 1 ? "part" : "parts");
    print_flags(out, m, style);
    print_field(out, "Hold reason", qs_sym_span(scan->strings, m->hold_reason), style);
    if (envelope) {
        print_field(out, "Status", envelope->status, style);
        print_field(out, "Full name", envelope->full_name, style);
        print_field(out, "Earlier ID", envelope->origin_id, style);
        print_field(out, "Envelope ID", envelope->envelope_id, style);
        print_field(out, "Odd", qs_span_of(envelope->finding), style);
    }
    print_recipients(out, scan, m, style);
    print_header(out, scan, m, decoded, style);
    if (decoded)
        status = print_text(out, decoded, style, err);
    print_title(out, "Evidence", style);
    qs_print_evidence(out, list, count, style);
    talloc_free(list);
    return status == QS_OK ? qs_written(out, err) : status;
}

static void add_decoded(struct qs_json *json, const struct qs_decoded *decoded)
{
    struct qs_json header = qs_json_new();
    json_t *parts = json_array();
    qs_json_text_or_null(&header, "from", qs_span_of(decoded->from));
    qs_json_text_or_null(&header, "to", qs_span_of(decoded->to));
    qs_json_text_or_null(&header, "subject", qs_span_of(decoded->subject));
    qs_json_text_or_null(&header, "date", qs_span_of(decoded->date));
    for (size_t i = 0; i < decoded->part_count; i++) {
        const struct qs_decoded_part *part = &decoded->part[i];
        struct qs_json item = qs_json_new();
        qs_json_text(&item, "type", qs_span_of(part->type));
        qs_json_text_or_null(&item, "name", qs_span_of(part->name));
        qs_json_count(&item, "size", part->size);
        qs_json_text_or_null(&item, "text", qs_span_of(part->text));
        qs_json_append(json, parts, item);
    }
    qs_json_object(json, "header", header);
    qs_json_value(json, "parts", parts);
}

enum qs_status qs_report_show_json(FILE *out, const struct qs_view *view, uint32_t message,
                                   const struct qs_envelope *envelope, const struct qs_decoded *decoded,
                                   struct qs_error *err)
{
    struct qs_evidence *list = NULL;
    size_t count = 0;
    enum qs_status status = qs_explain_message(NULL, view->judgement, message, &list, &count, err);
    if (status != QS_OK)
        return status;
    struct qs_json json = qs_json_new();
    qs_json_message(&json, view, message);
    qs_json_evidence(&json, list, count);
    qs_json_real(&json, "threshold_guilty", qs_threshold_guilty());
    qs_json_real(&json, "threshold_legit", qs_threshold_legit());
    if (envelope) {
        qs_json_text_or_null(&json, "status", envelope->status);
        qs_json_text_or_null(&json, "full_name", envelope->full_name);
        qs_json_text_or_null(&json, "origin_id", envelope->origin_id);
        qs_json_text_or_null(&json, "envelope_id", envelope->envelope_id);
        qs_json_text_or_null(&json, "finding", qs_span_of(envelope->finding));
    }
    if (decoded)
        add_decoded(&json, decoded);
    talloc_free(list);
    return qs_json_line(out, &json, err);
}

enum qs_status qs_report_raw_text(FILE *out, struct qs_span content, const struct qs_style *style,
                                  struct qs_error *err)
{
    qs_print_lines(out, content, 0, SIZE_MAX, style);
    return qs_written(out, err);
}

/* --- a cluster ----------------------------------------------------------------------- */

enum name_kind { SENDERS, CLIENTS, RECIPIENTS, SUBJECTS };
enum { NAME_KINDS = SUBJECTS + 1 };

static const char *const name_title[NAME_KINDS] = {
    [SENDERS] = "senders", [CLIENTS] = "clients", [RECIPIENTS] = "recipients", [SUBJECTS] = "subjects",
};

static bool count_name(struct qs_tally *tally, const struct qs_scan *scan, qs_sym name, struct qs_span empty)
{
    struct qs_span text = qs_sym_span(scan->strings, name);
    struct qs_tally_row *row = qs_tally_at(tally, text.len ? text : empty);
    if (row)
        row->count[0]++;
    return row != NULL;
}

/* The names of one kind in a group, most frequent first; NULL: out of memory. */
static struct qs_tally *count_names(TALLOC_CTX *parent, const struct qs_view *view, uint32_t group,
                                    enum name_kind kind)
{
    const struct qs_group *g = &view->judgement->group[group];
    struct qs_tally *tally = qs_tally_new(parent);
    bool ok = tally != NULL;
    for (uint32_t i = 0; ok && i < g->count; i++) {
        const struct qs_message *m = &view->scan->messages[view->judgement->member[g->first + i]];
        switch (kind) {
        case SENDERS:
            ok = count_name(tally, view->scan, m->sender, QS_SPAN("<>"));
            break;
        case CLIENTS:
            ok = count_name(tally, view->scan, m->client_address, QS_SPAN("(none)"));
            break;
        case RECIPIENTS:
            for (uint32_t r = 0; ok && r < m->recipient_count; r++)
                ok = count_name(tally, view->scan, m->recipients[r].address, QS_SPAN("<>"));
            break;
        case SUBJECTS:
            ok = count_name(tally, view->scan, m->subject, QS_SPAN("(no subject)"));
            break;
        }
    }
    if (!ok)
        return NULL;
    qs_tally_sort(tally);
    return tally;
}

static void print_names(FILE *out, const struct qs_tally *tally, enum name_kind kind,
                        const struct qs_style *style)
{
    char words[64], number[32];
    snprintf(words, sizeof words, "%s %s", qs_number(number, tally->rows), name_title[kind]);
    if (tally->rows == 1)
        words[strlen(words) - 1] = '\0';
    print_title(out, words, style);
    for (uint32_t i = 0; i < tally->rows && i < TOP_NAMES; i++) {
        char name[QS_CELL];
        qs_safe(name, sizeof name, qs_span_of(tally->row[i].name), style);
        if (style->columns > 24)
            qs_cut(name, style->columns - 13, style);
        fprintf(out, "  %9s  %s\n", qs_number(number, tally->row[i].count[0]), name);
    }
    if (tally->rows > TOP_NAMES)
        fprintf(out, "  %9s  ...\n", "");
}

/* The earliest members. */
static enum qs_status print_samples(FILE *out, TALLOC_CTX *scratch, const struct qs_view *view,
                                    uint32_t group, const struct qs_style *style, struct qs_error *err)
{
    const struct qs_group *g = &view->judgement->group[group];
    uint8_t *members = talloc_zero_array(scratch, uint8_t, view->scan->count);
    uint32_t *order = NULL, count = 0;
    if (!members)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (uint32_t i = 0; i < g->count; i++)
        members[view->judgement->member[g->first + i]] = 1;
    enum qs_status status = qs_ordered(scratch, view, members, &order, &count, err);
    if (status != QS_OK)
        return status;
    print_title(out, "The oldest of them", style);
    qs_print_messages(out, view, order, count < SAMPLES ? count : SAMPLES, style);
    return QS_OK;
}

static enum qs_status sum_of(TALLOC_CTX *scratch, const struct qs_view *view, uint32_t group,
                             struct qs_group_sum *out, struct qs_error *err)
{
    struct qs_summary *summary = NULL;
    enum qs_status status = qs_summarise(scratch, view, NULL, &summary, err);
    for (uint32_t i = 0; status == QS_OK && i < summary->group_count; i++)
        if (summary->group[i].group == group)
            *out = summary->group[i];
    return status;
}

/* Of a saved scan or an offline copy nothing is to be moved. */
static bool on_this_machine(const struct qs_view *view, uint32_t group)
{
    const struct qs_group *g = &view->judgement->group[group];
    for (uint32_t i = 0; i < g->count; i++) {
        const struct qs_message *m = &view->scan->messages[view->judgement->member[g->first + i]];
        const struct qs_instance *instance = view->scan->queues[m->instance].instance;
        if (instance && instance->config && !(m->flags & QS_ENV_HELD))
            return true;
    }
    return false;
}

static enum qs_status print_cluster(FILE *out, TALLOC_CTX *scratch, const struct qs_view *view,
                                    uint32_t group, const struct qs_style *style, struct qs_error *err)
{
    const struct qs_group *g = &view->judgement->group[group];
    enum qs_verdict verdict = (enum qs_verdict)g->verdict;
    struct qs_group_sum sum = {0};
    struct qs_evidence *list = NULL;
    struct qs_tally *names[NAME_KINDS] = {NULL};
    char words[QS_CELL], bytes[8], oldest[8], newest[8];
    size_t count = 0;
    enum qs_status status = sum_of(scratch, view, group, &sum, err);
    if (status == QS_OK)
        status = qs_explain_group(scratch, view->judgement, group, &list, &count, err);
    for (unsigned k = 0; status == QS_OK && k < NAME_KINDS; k++)
        if (!(names[k] = count_names(scratch, view, group, (enum name_kind)k)))
            status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status != QS_OK)
        return status;

    print_field(out, "Cluster", qs_span_of(g->name), style);
    print_label(out, "Verdict", style);
    qs_ink_on(out, style, qs_ink_of(verdict));
    fputs(qs_verdict_name(verdict), out);
    qs_ink_off(out, style, qs_ink_of(verdict));
    fprintf(out, " (%s), score %+.2f\n", qs_cause_name((enum qs_cause)g->cause), (double)g->score);
    print_field(out, "Culprit", qs_span_of(g->culprit), style);
    print_label(out, "Messages", style);
    qs_plural(words, sum.messages, "message", "messages");
    fprintf(out, "%s, %s bytes, %s to %s old\n", words, qs_text_bytes(bytes, sum.bytes),
            qs_text_age(newest, view->now - sum.newest), qs_text_age(oldest, view->now - sum.oldest));
    print_title(out, "Evidence", style);
    qs_print_evidence(out, list, count, style);
    for (unsigned k = 0; k < NAME_KINDS; k++)
        print_names(out, names[k], (enum name_kind)k, style);
    status = print_samples(out, scratch, view, group, style, err);
    if (status != QS_OK)
        return status;
    print_title(out, "Next", style);
    fprintf(out, "  %s list --cluster %s\n", style->program, g->name);
    if ((verdict == QS_STORM || verdict == QS_BACKSCATTER) && on_this_machine(view, group))
        fprintf(out, "  %s hold --cluster %s%s  # what it would do\n", style->program, g->name,
                verdict == QS_STORM ? " --verdict storm" : " --verdict backscatter");
    return QS_OK;
}

enum qs_status qs_report_cluster_text(FILE *out, const struct qs_view *view, uint32_t group,
                                      const struct qs_style *style, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    enum qs_status status = print_cluster(out, scratch, view, group, style, err);
    talloc_free(scratch);
    return status == QS_OK ? qs_written(out, err) : status;
}

static void add_names(struct qs_json *json, const struct qs_tally *tally, const char *key)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < tally->rows; i++) {
        struct qs_json item = qs_json_new();
        qs_json_text(&item, "name", qs_span_of(tally->row[i].name));
        qs_json_count(&item, "messages", tally->row[i].count[0]);
        qs_json_append(json, array, item);
    }
    qs_json_value(json, key, array);
}

enum qs_status qs_report_cluster_json(FILE *out, const struct qs_view *view, uint32_t group,
                                      struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_group_sum sum = {0};
    enum qs_status status = sum_of(scratch, view, group, &sum, err);
    if (status == QS_OK) {
        const struct qs_group *g = &view->judgement->group[group];
        struct qs_json json = qs_json_new(), names = qs_json_new();
        json_t *ids = json_array();
        qs_json_group(&json, view, &sum, true);
        qs_json_real(&json, "threshold_guilty", qs_threshold_guilty());
        qs_json_real(&json, "threshold_legit", qs_threshold_legit());
        for (unsigned k = 0; k < NAME_KINDS; k++) {
            struct qs_tally *tally = count_names(scratch, view, group, (enum name_kind)k);
            if (tally)
                add_names(&names, tally, name_title[k]);
            else
                names.failed = true;
        }
        qs_json_object(&json, "names", names);
        for (uint32_t i = 0; i < g->count; i++)
            qs_json_append_text(&json, ids,
                                qs_span_of(view->scan->messages[view->judgement->member[g->first + i]].id));
        qs_json_value(&json, "queue_ids", ids);
        status = qs_json_line(out, &json, err);
    }
    talloc_free(scratch);
    return status;
}
