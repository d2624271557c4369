/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence and groups in text and JSON: see evidence.h. */
#include "evidence.h"

#include <string.h>

void qs_print_evidence(FILE *out, const struct qs_evidence *list, size_t count, const struct qs_style *style)
{
    enum { INDENT = 23 };
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        char line[QS_CELL], detail[QS_CELL];
        qs_safe(detail, sizeof detail, qs_span_of(list[i].detail), style);
        snprintf(line, sizeof line, "%-11s  %s: %.300s", qs_family_name(list[i].family), list[i].name,
                 detail);
        fprintf(out, "  %+6.2f  ", list[i].weight);
        qs_print_wrapped(out, line, 10, INDENT, style);
        sum += list[i].weight;
    }
    if (!count)
        fputs("  nothing speaks for or against it\n", out);
    fprintf(out, "  %+6.2f  sum; storm or backscatter from %+.2f, legit to %+.2f, unsure between\n", sum,
            qs_threshold_guilty(), qs_threshold_legit());
}

/* What speaks against a verdict is no reason for it. */
static bool speaks_for(enum qs_verdict verdict, double weight)
{
    switch (verdict) {
    case QS_STORM:
    case QS_BACKSCATTER:
        return weight > 0;
    case QS_LEGIT:
        return weight < 0;
    case QS_UNSURE:
        return true;
    }
    return true;
}

void qs_evidence_words(char *to, size_t size, enum qs_verdict verdict, const struct qs_evidence *list, size_t count, size_t most)
{
    size_t len = 0, shown = 0;
    to[0] = '\0';
    for (size_t i = 0; i < count && shown < most && len < size; i++) {
        if (!speaks_for(verdict, list[i].weight))
            continue;
        int n = snprintf(to + len, size - len, "%s%s", shown++ ? ", " : "", list[i].name);
        len += n < 0 ? size : (size_t)n;
    }
}

void qs_json_evidence(struct qs_json *json, const struct qs_evidence *list, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        struct qs_json item = qs_json_new();
        qs_json_text(&item, "family", qs_span_of(qs_family_name(list[i].family)));
        qs_json_text(&item, "name", qs_span_of(list[i].name));
        qs_json_real(&item, "weight", list[i].weight);
        qs_json_text(&item, "detail", qs_span_of(list[i].detail));
        qs_json_append(json, array, item);
    }
    qs_json_value(json, "evidence", array);
}

void qs_group_words(char *to, size_t size, const struct qs_group_sum *sum)
{
    char senders[8], clients[8], recipients[8];
    snprintf(to, size, "%s sender%s, %s client%s, %s recipient%s", qs_text_count(senders, sum->senders),
             sum->senders == 1 ? "" : "s", qs_text_count(clients, sum->clients), sum->clients == 1 ? "" : "s",
             qs_text_count(recipients, sum->recipients), sum->recipients == 1 ? "" : "s");
}

void qs_group_about(char *to, size_t size, const struct qs_view *view, uint32_t group,
                    const struct qs_style *style)
{
    const struct qs_group *g = &view->judgement->group[group];
    struct qs_span subject = qs_sym_span(view->scan->strings, view->scan->messages[g->sample].subject);
    size_t len = 0;
    if (g->culprit) {
        len = qs_safe(to, size - 2, qs_span_of(g->culprit), style);
        memcpy(to + len, ": ", 3);
        len += 2;
    }
    qs_safe(to + len, size - len, subject.len ? subject : QS_SPAN("(no subject)"), style);
}

void qs_json_group(struct qs_json *json, const struct qs_view *view, const struct qs_group_sum *sum,
                   bool explain)
{
    const struct qs_group *g = &view->judgement->group[sum->group];
    const struct qs_message *sample = &view->scan->messages[g->sample];
    qs_json_text(json, "name", qs_span_of(g->name));
    qs_json_text(json, "verdict", qs_span_of(qs_verdict_name((enum qs_verdict)g->verdict)));
    qs_json_text(json, "cause", qs_span_of(qs_cause_name((enum qs_cause)g->cause)));
    qs_json_real(json, "score", (double)g->score);
    qs_json_text_or_null(json, "culprit", qs_span_of(g->culprit));
    qs_json_count(json, "messages", sum->messages);
    qs_json_count(json, "bytes", sum->bytes);
    qs_json_count(json, "senders", sum->senders);
    qs_json_count(json, "clients", sum->clients);
    qs_json_count(json, "recipients", sum->recipients);
    qs_json_int(json, "oldest", sum->oldest);
    qs_json_int(json, "newest", sum->newest);
    qs_json_text(json, "sample", qs_span_of(sample->id));
    qs_json_text_or_null(json, "subject", qs_sym_span(view->scan->strings, sample->subject));
    if (!explain)
        return;
    struct qs_evidence *list = NULL;
    size_t count = 0;
    if (qs_explain_group(NULL, view->judgement, sum->group, &list, &count, NULL) == QS_OK)
        qs_json_evidence(json, list, count);
    else
        json->failed = true;
    talloc_free(list);
}
