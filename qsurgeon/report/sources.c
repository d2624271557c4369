/* SPDX-License-Identifier: Apache-2.0 */
/* Who sends, as tables and as JSON. The counting is done in prevent/. */
#include "qsurgeon/sources.h"

#include <string.h>

#include "json.h"
#include "table.h"

enum { TOP_TERMINAL = 8 };

static const char *const kind_name[QS_SOURCE_KINDS] = {
    [QS_SOURCE_ADDRESS] = "address", [QS_SOURCE_NETWORK] = "network", [QS_SOURCE_ISP] = "isp", [QS_SOURCE_ASN] = "asn",
    [QS_SOURCE_USER] = "user", [QS_SOURCE_LOCAL] = "uid",
};
static const char *const kind_title[QS_SOURCE_KINDS] = {
    [QS_SOURCE_ADDRESS] = "CLIENT", [QS_SOURCE_NETWORK] = "NETWORK", [QS_SOURCE_ISP] = "PROVIDER", [QS_SOURCE_ASN] = "AS",
    [QS_SOURCE_USER] = "USER", [QS_SOURCE_LOCAL] = "LOCAL UID",
};

/* The columns between the source and its name. From UNKNOWN on they are left away where they are all zero. */
enum column { MESSAGES, CLUSTERS, RECIPIENTS, STORM, BACKSCATTER, LEGIT, UNSURE, UNKNOWN, RELAY, REFUSED, COLUMNS };

static const char *const column_title[COLUMNS] = {
    [MESSAGES] = "MSGS", [CLUSTERS] = "CLUST", [RECIPIENTS] = "RCPTS", [STORM] = "STORM", [BACKSCATTER] = "BACKSC",
    [LEGIT] = "LEGIT", [UNSURE] = "UNSURE", [UNKNOWN] = "NOUSER", [RELAY] = "RELAY", [REFUSED] = "REFUSED",
};

static uint64_t refused(const struct qs_source *s)
{
    return s->tried_unknown + s->tried_relay + s->tried_other;
}

static uint64_t value(const struct qs_source *s, enum column column)
{
    switch (column) {
    case MESSAGES:
        return s->messages;
    case CLUSTERS:
        return s->clusters;
    case RECIPIENTS:
        return s->recipients;
    case STORM:
        return s->verdict[QS_STORM];
    case BACKSCATTER:
        return s->verdict[QS_BACKSCATTER];
    case LEGIT:
        return s->verdict[QS_LEGIT];
    case UNSURE:
        return s->verdict[QS_UNSURE];
    case UNKNOWN:
        return s->unknown;
    case RELAY:
        return s->relay + s->tried_relay;
    case REFUSED:
        return refused(s);
    case COLUMNS:
        break;
    }
    return 0;
}

static bool is_blank_when_zero(enum column column)
{
    return column >= STORM;
}

static enum qs_ink ink_of(enum column column)
{
    return column == STORM ? qs_ink_of(QS_STORM) : column == BACKSCATTER ? qs_ink_of(QS_BACKSCATTER)
         : column == LEGIT ? qs_ink_of(QS_LEGIT) : column == UNSURE ? qs_ink_of(QS_UNSURE) : QS_INK_PLAIN;
}

struct source_rows {
    const struct qs_source *source;
    const struct qs_style *style;
    enum column column[COLUMNS];
    unsigned columns;
};

static void fill_source(void *data, size_t row, struct qs_cells *cells)
{
    const struct source_rows *rows = data;
    const struct qs_source *s = &rows->source[row];
    char number[32];
    qs_safe(cells->text[0], QS_CELL, qs_span_of(s->name), rows->style);
    for (unsigned c = 0; c < rows->columns; c++) {
        uint64_t n = value(s, rows->column[c]);
        if (!n && is_blank_when_zero(rows->column[c]))
            continue;
        snprintf(cells->text[1 + c], QS_CELL, "%s", qs_number(number, n));
        cells->ink[1 + c] = ink_of(rows->column[c]);
    }
    qs_safe(cells->text[1 + rows->columns], QS_CELL, qs_span_of(s->label), rows->style);
}

/* How many of them were seen at all; they stand first. */
static uint32_t seen(const struct qs_sources *sources, enum qs_source_kind kind)
{
    uint32_t n = 0;
    while (n < sources->count[kind] && qs_source_seen(&sources->of[kind][n]))
        n++;
    return n;
}

static void print_kind(FILE *out, const struct qs_sources *sources, enum qs_source_kind kind,
                       const struct qs_style *style, bool first)
{
    struct source_rows rows = {.source = sources->of[kind], .style = style};
    struct qs_heading headings[COLUMNS + 2] = {{kind_title[kind], false, kind == QS_SOURCE_USER}};
    uint32_t all = seen(sources, kind), top = style->top ? style->top : style->rows ? TOP_TERMINAL : UINT32_MAX;
    bool named = false;
    top = top < all ? top : all;
    for (uint32_t i = 0; i < top && !named; i++)
        named = rows.source[i].label != NULL;
    for (enum column c = 0; c < COLUMNS; c++) {
        bool wanted = c < UNKNOWN;
        for (uint32_t i = 0; i < top && !wanted; i++)
            wanted = value(&rows.source[i], c) > 0;
        if (!wanted)
            continue;
        rows.column[rows.columns++] = c;
        headings[rows.columns] = (struct qs_heading){column_title[c], true, false};
    }
    headings[rows.columns + 1] = (struct qs_heading){named ? "NAME" : "", false, true};
    if (!all)
        return;
    if (!first)
        fputc('\n', out);
    qs_table_print(out, style, headings, rows.columns + 2, top, fill_source, &rows);
    if (top < all)
        fprintf(out, "and %u more: --top %u shows all\n", all - top, all);
}

static void note(FILE *out, uint64_t n, const char *one, const char *many, const char *rest)
{
    char text[64];
    if (n)
        fprintf(out, "%s %s\n", qs_plural(text, n, one, many), rest);
}

enum qs_status qs_report_sources_text(FILE *out, const struct qs_sources *sources, const struct qs_style *style,
                                      struct qs_error *err)
{
    bool any = false;
    for (unsigned k = 0; k < QS_SOURCE_KINDS; k++) {
        print_kind(out, sources, (enum qs_source_kind)k, style, !any);
        any = any || seen(sources, (enum qs_source_kind)k) > 0;
    }
    if (sources->old || sources->uncounted || sources->unclear || sources->recipients_limited || sources->log_cut)
        fputc('\n', out);
    note(out, sources->old, "attempt", "attempts", "in the log came before that time: not counted");
    note(out, sources->uncounted, "attempt", "attempts", "came from more sources than are kept apart: not counted");
    note(out, sources->unclear, "line of the log", "lines of the log",
         "quote addresses that look like log lines: left out");
    if (sources->recipients_limited)
        fputs("too many recipients to tell all apart: RCPTS and NOUSER are too low\n", out);
    if (sources->log_cut)
        fputs("a log is too large: only its beginning was read\n", out);
    return qs_written(out, err);
}

static struct qs_json json_of(const struct qs_source *s, enum qs_source_kind kind, bool logs)
{
    static const enum qs_verdict shown[QS_VERDICTS] = {QS_STORM, QS_BACKSCATTER, QS_LEGIT, QS_UNSURE};
    struct qs_json json = qs_json_new(), verdicts = qs_json_new(), log = qs_json_new();
    qs_json_text(&json, "kind", qs_span_of(kind_name[kind]));
    qs_json_text(&json, "source", qs_span_of(s->name));
    qs_json_text_or_null(&json, "name", qs_span_of(s->label));
    qs_json_count(&json, "messages", s->messages);
    qs_json_count(&json, "bytes", s->bytes);
    qs_json_count(&json, "clusters", s->clusters);
    qs_json_count(&json, "recipients", s->recipients);
    qs_json_count(&json, "unknown_recipients", s->unknown);
    qs_json_count(&json, "relay_attempts", s->relay + s->tried_relay);
    qs_json_count(&json, "bad", qs_source_bad(s));
    for (unsigned v = 0; v < QS_VERDICTS; v++)
        qs_json_count(&verdicts, qs_verdict_name(shown[v]), s->verdict[shown[v]]);
    qs_json_object(&json, "verdicts", verdicts);
    qs_json_count(&log, "unknown", s->tried_unknown);
    qs_json_count(&log, "relay", s->tried_relay);
    qs_json_count(&log, "other", s->tried_other);
    qs_json_count(&log, "delivered", s->delivered);
    qs_json_count(&log, "logins", s->logins);
    if (logs) {
        qs_json_object(&json, "log", log);
    } else {
        json_decref(log.object);
        qs_json_null(&json, "log");
    }
    return json;
}

enum qs_status qs_report_sources_json(FILE *out, const struct qs_sources *sources, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (unsigned k = 0; status == QS_OK && k < QS_SOURCE_KINDS; k++)
        for (uint32_t i = 0, n = seen(sources, (enum qs_source_kind)k); status == QS_OK && i < n; i++) {
            struct qs_json json = json_of(&sources->of[k][i], (enum qs_source_kind)k, sources->logs);
            status = qs_json_line(out, &json, err);
        }
    return status;
}
