/* SPDX-License-Identifier: Apache-2.0 */
/* The first picture of a queue: what it is made of, what belongs together, what to type next. */
#include "evidence.h"
#include "qsurgeon/hopeless.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>

enum {
    TOP_PIPE = 10, /* clusters shown where nothing has to fit */
    TOP_LEAST = 1,
    TOP_ENOUGH = 3,   /* with fewer, other things are said in fewer words */
    FIXED_LINES = 15, /* lines of the report without clusters, warnings and advice, and the prompt */
    WORDS = 3,        /* pieces of evidence on a cluster's line */
};

/* The order in which people want to see them. */
static const enum qs_verdict shown[QS_VERDICTS] = {QS_STORM, QS_BACKSCATTER, QS_LEGIT, QS_UNSURE};

/* Where it was read. A child of parent; NULL: out of memory. */
static char *queue_words(TALLOC_CTX *parent, const struct qs_view *view, const struct qs_style *style)
{
    const struct qs_scan *scan = view->scan;
    char *words = talloc_strdup(parent, "");
    char bytes[8];
    for (size_t q = 0; words && q < scan->queue_count; q++) {
        const struct qs_instance *instance = scan->queues[q].instance;
        char name[QS_CELL], directory[QS_CELL] = "saved scan";
        qs_safe(name, sizeof name, qs_span_of(scan->queues[q].name), style);
        if (instance)
            qs_safe(directory, sizeof directory, qs_span_of(instance->queue_dir), style);
        const char *mta = instance && strcmp(name, instance->format->name) != 0 ? instance->format->name : "";
        words = talloc_asprintf_append_buffer(words, "%s%s%s%s (%s)", q ? ", " : "", mta, mta[0] ? " " : "",
                                              name, directory);
    }
    return words ? talloc_asprintf_append_buffer(words, ": %s bytes of mail",
                                                 qs_text_bytes(bytes, scan->totals.bytes)) : NULL;
}

static const char *are(uint64_t n)
{
    return n == 1 ? "is" : "are";
}

/* The sentence that must be enough. */
static char *headline(TALLOC_CTX *parent, const struct qs_view *view, const struct qs_summary *s)
{
    const struct qs_sum *storm = &s->of[QS_STORM], *backscatter = &s->of[QS_BACKSCATTER],
                        *legit = &s->of[QS_LEGIT];
    uint64_t found = storm->messages + backscatter->messages;
    char n[32], all[64], age[8];
    char *text;

    const struct qs_scan_totals *totals = &view->scan->totals;
    if (!s->all.messages)
        return talloc_strdup(parent, view->scan->count                     ? "No message matches."
                                     : totals->unreadable + totals->skipped ? "No message could be read."
                                                                           : "The queue is empty.");
    qs_plural(all, s->all.messages, "message", "messages");
    if (!found)
        text = talloc_asprintf(parent, "No storm: nothing among %s looks like storm or backscatter.", all);
    else if (storm->messages)
        text = talloc_asprintf(parent, "%s of %s %s storm", qs_number(n, storm->messages), all,
                               are(storm->messages));
    else
        text = talloc_asprintf(parent, "%s of %s %s backscatter", qs_number(n, backscatter->messages), all,
                               are(backscatter->messages));
    if (text && storm->messages && backscatter->messages)
        text = talloc_asprintf_append_buffer(text, ", %s backscatter", qs_number(n, backscatter->messages));
    if (text && legit->messages)
        text = talloc_asprintf_append_buffer(text, "%s %s %s%s, the oldest for %s.", found ? ";" : "",
                                             qs_plural(all, legit->messages, "real message", "real messages"),
                                             legit->messages == 1 ? "waits" : "wait",
                                             found ? " behind them" : "",
                                             qs_text_age(age, view->now - legit->oldest));
    else if (text && found)
        text = talloc_strdup_append_buffer(text, ".");
    if (text && s->of[QS_UNSURE].messages)
        text = talloc_asprintf_append_buffer(text, " %s %s unsure.", qs_number(n, s->of[QS_UNSURE].messages),
                                             are(s->of[QS_UNSURE].messages));
    return text;
}

static void print_bar(FILE *out, uint64_t part, uint64_t whole, unsigned width, const struct qs_style *style)
{
    uint64_t steps = whole ? (part * width + whole - 1) / whole : 0;
    for (uint64_t i = 0; i < steps; i++)
        fputs(style->utf8 ? "█" : "#", out);
}

static void print_totals(FILE *out, const struct qs_summary *s, const struct qs_style *style)
{
    enum { BEFORE_BAR = 41, HELD = 11, BAR_LEAST = 8, BAR_MOST = 60 };
    unsigned taken = s->all.held ? BEFORE_BAR + HELD : BEFORE_BAR;
    unsigned width = style->columns > taken + BAR_LEAST ? style->columns - taken : BAR_LEAST;
    width = width < BAR_MOST ? width : BAR_MOST;
    for (unsigned i = 0; i < QS_VERDICTS; i++) {
        const struct qs_sum *sum = &s->of[shown[i]];
        enum qs_ink ink = sum->messages ? qs_ink_of(shown[i]) : QS_INK_DIM;
        char count[32], share[8], bytes[8], held[40] = "";
        if (sum->held)
            snprintf(held, sizeof held, "%s held", qs_share(share, sum->held, sum->messages));
        fputs("  ", out);
        qs_ink_on(out, style, ink);
        fprintf(out, "%-11s %12s %5s %6s", qs_verdict_name(shown[i]), qs_number(count, sum->messages),
                qs_share(share, sum->messages, s->all.messages), qs_text_bytes(bytes, sum->bytes));
        if (sum->messages)
            fprintf(out, s->all.held ? "  %-11s" : "  %s", held);
        print_bar(out, sum->messages, s->all.messages, width, style);
        qs_ink_off(out, style, ink);
        fputc('\n', out);
    }
}

struct cluster_rows {
    const struct qs_view *view;
    const struct qs_summary *summary;
    const struct qs_style *style;
    char (*words)[QS_CELL];         /* evidence of each row */
};

/* ", 12 marked bypass" */
static void mark_words(char to[40], uint32_t n, enum qs_mark mark)
{
    char number[32];
    snprintf(to, 40, ", %.12s marked %.12s", qs_number(number, n), qs_mark_name(mark));
}

static void fill_cluster(void *data, size_t row, struct qs_cells *cells)
{
    const struct cluster_rows *rows = data;
    const struct qs_group_sum *sum = &rows->summary->group[row];
    const struct qs_group *group = &rows->view->judgement->group[sum->group];
    enum qs_verdict verdict = (enum qs_verdict)group->verdict;
    const char *cause = qs_cause_name((enum qs_cause)group->cause), *judged = qs_verdict_name(verdict);
    char number[32], counts[100], marks[QS_MARKS][40] = {""};
    snprintf(cells->text[0], QS_CELL, "%s", group->name);
    snprintf(cells->text[1], QS_CELL, "%s", qs_number(number, sum->messages));
    qs_share(cells->text[2], sum->messages, rows->summary->all.messages);
    qs_text_age(cells->text[3], rows->view->now - sum->oldest);
    /* "backscatter-out" says it all, "mail-loop" does not */
    if (group->cause == QS_CAUSE_NONE)
        snprintf(cells->text[4], QS_CELL, "%s", judged);
    else if (strncmp(cause, judged, strlen(judged)) == 0)
        snprintf(cells->text[4], QS_CELL, "%s", cause);
    else
        snprintf(cells->text[4], QS_CELL, "%s/%s", judged, cause);
    cells->ink[4] = qs_ink_of(verdict);
    qs_group_about(cells->text[5], QS_CELL, rows->view, sum->group, rows->style);
    qs_group_words(counts, sizeof counts, sum);
    for (unsigned mark = 0; mark < QS_MARKS; mark++)
        if (group->marked[mark])
            mark_words(marks[mark], group->marked[mark], (enum qs_mark)mark);
    snprintf(cells->note, QS_CELL, "%s%s%s%s%.*s", counts, marks[QS_MARK_BYPASS], marks[QS_MARK_HOST_NAME],
             rows->words[row][0] ? "; " : "", QS_CELL - 200,
             rows->words[row]);
}

static uint32_t clusters_shown(const struct qs_summary *s, const struct qs_style *style, size_t other_lines)
{
    size_t top = style->top ? style->top : TOP_PIPE;
    if (!style->top && style->rows) {
        size_t taken = FIXED_LINES + other_lines;
        top = style->rows > taken ? (style->rows - taken) / 2 : 0;
        top = top < TOP_LEAST ? TOP_LEAST : top;
    }
    return top < s->group_count ? (uint32_t)top : s->group_count;
}

static enum qs_status print_clusters(FILE *out, const struct qs_view *view, const struct qs_summary *s,
                                     uint32_t count, const struct qs_style *style, struct qs_error *err)
{
    static const struct qs_heading headings[] = {
        {"CLUSTER", false, false}, {"MESSAGES", true, false}, {"SHARE", true, false}, {"AGE", true, false},
        {"VERDICT", false, false}, {"WHAT", false, true},
    };
    char (*words)[QS_CELL] = talloc_zero_size(NULL, (count + 1) * sizeof *words);
    struct cluster_rows rows = {view, s, style, words};
    enum qs_status status = words ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
    for (uint32_t i = 0; status == QS_OK && i < count; i++) {
        struct qs_evidence *list = NULL;
        size_t pieces = 0;
        status = qs_explain_group(words, view->judgement, s->group[i].group, &list, &pieces, err);
        if (status == QS_OK)
            qs_evidence_words(words[i], QS_CELL, (enum qs_verdict)view->judgement->group[s->group[i].group].verdict, list, pieces,
                              WORDS);
    }
    if (status == QS_OK && count)
        qs_table_print(out, style, headings, sizeof headings / sizeof headings[0], count, fill_cluster,
                       &rows);
    if (status == QS_OK && count < s->group_count) {
        uint64_t messages = 0;
        char clusters[64], more[64];
        for (uint32_t i = count; i < s->group_count; i++)
            messages += s->group[i].messages;
        fprintf(out, "and %s of %s: --top %u shows all\n",
                qs_plural(clusters, s->group_count - count, "smaller cluster", "smaller clusters"),
                qs_plural(more, messages, "message", "messages"), s->group_count);
    }
    talloc_free(words);
    return status;
}

static enum qs_status print_all_evidence(FILE *out, const struct qs_view *view, const struct qs_summary *s,
                                         uint32_t count, const struct qs_style *style, struct qs_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        struct qs_evidence *list = NULL;
        size_t pieces = 0;
        enum qs_status status =
            qs_explain_group(NULL, view->judgement, s->group[i].group, &list, &pieces, err);
        if (status != QS_OK)
            return status;
        const struct qs_group *group = &view->judgement->group[s->group[i].group];
        fprintf(out, "\n%s is %s (%s):\n", group->name, qs_verdict_name((enum qs_verdict)group->verdict),
                qs_cause_name((enum qs_cause)group->cause));
        qs_print_evidence(out, list, pieces, style);
        talloc_free(list);
    }
    return QS_OK;
}

static void print_waiting(FILE *out, const struct qs_summary *s, const struct qs_style *style)
{
    size_t left = style->columns ? style->columns : SIZE_MAX;
    for (uint32_t i = 0; i < s->waiting->rows && i < 8; i++) {
        const struct qs_tally_row *row = &s->waiting->row[i];
        char domain[QS_CELL], number[32], piece[QS_CELL + 64];
        qs_safe(domain, sizeof domain, qs_span_of(row->name), style);
        snprintf(piece, sizeof piece, "%s%s %s", i ? ", " : "Real mail waits for ", domain,
                 qs_number(number, row->count[0]));
        size_t wide = qs_text_columns(qs_span_of(piece));
        if (wide >= left && i)
            break;
        fputs(piece, out);
        left -= wide < left ? wide : left;
    }
    if (s->waiting->rows)
        fputc('\n', out);
}

static int compare_problems(const void *a, const void *b)
{
    const struct qs_problem *const *x = a, *const *y = b;
    int order = strcmp((*x)->where, (*y)->where);
    return order ? order : strcmp((*x)->text, (*y)->text);
}

/* Threads find them in any order. A talloc array under parent. */
static const struct qs_problem **sorted_problems(TALLOC_CTX *parent, const struct qs_scan *scan)
{
    const struct qs_problem **list =
        talloc_array(parent, const struct qs_problem *, (unsigned)scan->problem_count + 1);
    for (size_t i = 0; list && i < scan->problem_count; i++)
        list[i] = &scan->problems[i];
    if (list && scan->problem_count > 1)
        qsort(list, scan->problem_count, sizeof *list, compare_problems);
    return list;
}

static enum qs_status print_problems(FILE *out, TALLOC_CTX *parent, const struct qs_scan *scan,
                                     const struct qs_style *style, struct qs_error *err)
{
    const struct qs_problem **list = sorted_problems(parent, scan);
    char words[64];
    if (!list)
        return qs_fail(err, QS_NOMEM, "out of memory");
    fprintf(out, "\n%s:\n", qs_plural(words, scan->problem_count, "problem", "problems"));
    for (size_t i = 0; i < scan->problem_count && !ferror(out); i++) {
        fputs("  ", out);
        qs_print_safe(out, qs_span_of(list[i]->where), style);
        fputs(": ", out);
        qs_print_safe(out, qs_span_of(list[i]->text), style);
        fputc('\n', out);
    }
    if (scan->problem_count == QS_PROBLEMS_KEPT)
        fputs("  further ones are counted only\n", out);
    return QS_OK;
}

static bool left_out(const struct qs_scan_totals *totals)
{
    return totals->unreadable || totals->skipped || totals->gone;
}

/* What the directories showed and the totals above do not have. */
static void print_left_out(FILE *out, const struct qs_scan_totals *totals)
{
    const struct { uint64_t n; const char *what; } parts[] = {
        {totals->unreadable, "unreadable"}, {totals->skipped, "still being written"},
        {totals->gone, "left the queue meanwhile"},
    };
    bool any = false;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char number[32];
        if (parts[i].n)
            fprintf(out, "%s%s %s", any ? ", " : "Left out: ", qs_number(number, parts[i].n), parts[i].what);
        any |= parts[i].n > 0;
    }
    if (any)
        fputc('\n', out);
}

static void print_advice(FILE *out, const struct qs_advice *list, size_t count, const struct qs_style *style)
{
    if (count)
        fputs("Next:\n", out);
    for (size_t i = 0; i < count; i++) {
        fputs("  ", out);
        qs_print_safe(out, qs_span_of(list[i].command), style);
        if (strlen(list[i].command) + strlen(list[i].why) + 6 <= style->columns) {
            qs_ink_on(out, style, QS_INK_DIM);
            fprintf(out, "  # %s", list[i].why);
            qs_ink_off(out, style, QS_INK_DIM);
        }
        fputc('\n', out);
    }
}

/* A command is never cut: it may take several lines of the terminal. */
static size_t advice_lines(const struct qs_advice *list, size_t count, const struct qs_style *style)
{
    size_t lines = 0;
    for (size_t i = 0; i < count; i++)
        lines += style->columns ? (strlen(list[i].command) + 1) / style->columns + 1 : 1;
    return lines;
}

/* How many lines qs_print_wrapped makes of it, or one more. */
static size_t lines_of(const char *words, const struct qs_style *style)
{
    enum { LOST = 8 };              /* columns at the end of a line, as a rule */
    size_t wide = style->columns > 2 * LOST ? style->columns - LOST : SIZE_MAX;
    return words[0] ? strlen(words) / wide + 1 : 0;
}

/* What can never be delivered and, unless `brief`, who sent it. A child of parent; NULL: out of memory. */
static char *hopeless_words(TALLOC_CTX *parent, const struct qs_hopeless *h, bool brief, const struct qs_style *style)
{
    enum { SHOWN = 4 };
    const struct { uint64_t n; const char *one, *many; } parts[] = {
        {h->forged, "notice to a forged sender", "notices to forged senders"},
        {h->unknown, "to a recipient that does not exist", "to recipients that do not exist"},
        {h->dead, "to a domain that leads nowhere or back here", "to domains that lead nowhere or back here"},
    };
    uint64_t n = h->forged + h->unknown + h->dead;
    char words[100], number[32], share[8], *text = talloc_strdup(parent, "");
    const char *join = ": ";
    if (!n || !text)
        return text;
    text = talloc_asprintf_append_buffer(text, "%s (%s) can never be delivered", qs_plural(words, n, "message", "messages"),
                                         qs_share(share, n, h->all));
    for (size_t i = 0; text && i < sizeof parts / sizeof parts[0]; i++) {
        if (!parts[i].n)
            continue;
        text = talloc_asprintf_append_buffer(text, "%s%s", join, qs_plural(words, parts[i].n, parts[i].one, parts[i].many));
        join = ", ";
    }
    if (text && brief)
        return talloc_strdup_append_buffer(text, ".");
    if (text && !h->asked)
        text = talloc_strdup_append_buffer(text, " (of dead domains --dns knows more)");
    for (size_t i = 0; text && i < h->origin_count && i < SHOWN; i++) {
        char name[QS_CELL];
        qs_safe(name, sizeof name, qs_span_of(h->origin[i].provider), style);
        text = talloc_asprintf_append_buffer(text, "%s%s %s", i ? ", " : ". They came from ",
                                             h->origin[i].provider[0] ? name : "clients without a verified name",
                                             qs_number(number, h->origin[i].messages));
    }
    if (text && h->origin_count > SHOWN)
        text = talloc_asprintf_append_buffer(text, " and %zu more", h->origin_count - SHOWN);
    return text ? talloc_strdup_append_buffer(text, ".") : NULL;
}

/* Everything that the report needs to know before it prints a word. */
struct picture {
    struct qs_summary *summary;
    struct qs_advice *advice;
    char **warnings;
    size_t advice_count, warning_count;
    struct qs_hopeless *hopeless;
    char *paragraph;                /* on the hopeless; "": there is nothing to say */
    uint32_t clusters;              /* shown */
};

static enum qs_status make_picture(TALLOC_CTX *scratch, const struct qs_view *view, const uint8_t *selected,
                                   const struct qs_style *style, struct picture *p, struct qs_error *err)
{
    enum qs_status status = qs_summarise(scratch, view, selected, &p->summary, err);
    if (status == QS_OK)
        status = qs_advise(scratch, view, selected, p->summary, style, &p->advice, &p->advice_count, err);
    if (status == QS_OK)
        status = qs_warn(scratch, view, p->summary, &p->warnings, &p->warning_count, err);
    if (status == QS_OK)
        status = qs_hopeless_count(scratch, view, selected, &p->hopeless, err);
    if (status != QS_OK)
        return status;
    size_t lines = p->warning_count + advice_lines(p->advice, p->advice_count, style) + left_out(&view->scan->totals);
    p->paragraph = hopeless_words(scratch, p->hopeless, false, style);
    p->clusters = p->paragraph ? clusters_shown(p->summary, style, lines + lines_of(p->paragraph, style)) : 0;
    if (p->paragraph && p->clusters < TOP_ENOUGH && p->clusters < p->summary->group_count) {
        p->paragraph = hopeless_words(scratch, p->hopeless, true, style);
        p->clusters = p->paragraph ? clusters_shown(p->summary, style, lines + lines_of(p->paragraph, style)) : 0;
    }
    return p->paragraph ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
}

static void print_bold(FILE *out, const char *words, const struct qs_style *style)
{
    qs_ink_on(out, style, QS_INK_BOLD);
    qs_print_wrapped(out, words, 0, 0, style);
    qs_ink_off(out, style, QS_INK_BOLD);
}

static enum qs_status print_picture(FILE *out, TALLOC_CTX *scratch, const struct qs_view *view,
                                    const struct picture *p, const struct qs_style *style,
                                    struct qs_error *err)
{
    const struct qs_summary *s = p->summary;
    char *sentence = headline(scratch, view, s), *queues = queue_words(scratch, view, style);
    uint32_t count = p->clusters;
    enum qs_status status = sentence && queues ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
    if (status != QS_OK)
        return status;

    if (view->partial)              /* qs_warn's first */
        print_bold(out, p->warnings[0], style);
    qs_print_wrapped(out, queues, 0, 2, style);
    print_bold(out, sentence, style);
    if (s->all.messages) {
        fputc('\n', out);
        print_totals(out, s, style);
    }
    if (count) {
        fputc('\n', out);
        status = print_clusters(out, view, s, count, style, err);
    }
    if (status == QS_OK && style->explain)
        status = print_all_evidence(out, view, s, count, style, err);
    if (status != QS_OK)
        return status;
    fputc('\n', out);
    print_waiting(out, s, style);
    if (p->paragraph[0])
        qs_print_wrapped(out, p->paragraph, 0, 0, style);
    print_left_out(out, &view->scan->totals);
    if (style->problems)
        status = print_problems(out, scratch, view->scan, style, err);
    for (size_t i = view->partial; i < p->warning_count; i++)
        print_bold(out, p->warnings[i], style);
    print_advice(out, p->advice, p->advice_count, style);
    return status;
}

enum qs_status qs_report_triage_text(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                     const struct qs_style *style, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct picture p = {0};
    enum qs_status status = make_picture(scratch, view, selected, style, &p, err);
    if (status == QS_OK)
        status = print_picture(out, scratch, view, &p, style, err);
    talloc_free(scratch);
    return status == QS_OK ? qs_written(out, err) : status;
}

/* --- the same for programs ----------------------------------------------------------- */

static void add_instances(struct qs_json *json, const struct qs_scan *scan)
{
    json_t *array = json_array();
    for (size_t q = 0; q < scan->queue_count; q++) {
        const struct qs_instance *instance = scan->queues[q].instance;
        struct qs_json item = qs_json_new();
        qs_json_text(&item, "name", qs_span_of(scan->queues[q].name));
        qs_json_text_or_null(&item, "mta", qs_span_of(instance ? instance->format->name : NULL));
        qs_json_text_or_null(&item, "queue_dir", qs_span_of(instance ? instance->queue_dir : NULL));
        qs_json_text_or_null(&item, "config", qs_span_of(instance ? instance->config : NULL));
        qs_json_append(json, array, item);
    }
    qs_json_value(json, "instance", array);
}

static struct qs_json sum_object(const struct qs_sum *sum)
{
    struct qs_json json = qs_json_new();
    qs_json_count(&json, "messages", sum->messages);
    qs_json_count(&json, "bytes", sum->bytes);
    qs_json_count(&json, "held", sum->held);
    if (sum->messages)
        qs_json_int(&json, "oldest", sum->oldest);
    else
        qs_json_null(&json, "oldest");
    return json;
}

static void add_totals(struct qs_json *json, const struct qs_summary *s)
{
    struct qs_json totals = qs_json_new();
    for (unsigned i = 0; i < QS_VERDICTS; i++)
        qs_json_object(&totals, qs_verdict_name(shown[i]), sum_object(&s->of[shown[i]]));
    qs_json_object(json, "totals", totals);
}

static void add_waiting(struct qs_json *json, const struct qs_summary *s)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < s->waiting->rows; i++) {
        struct qs_json item = qs_json_new();
        qs_json_text(&item, "domain", qs_span_of(s->waiting->row[i].name));
        qs_json_count(&item, "recipients", s->waiting->row[i].count[0]);
        qs_json_append(json, array, item);
    }
    qs_json_value(json, "waiting", array);
}

static void add_problems(struct qs_json *json, TALLOC_CTX *scratch, const struct qs_scan *scan)
{
    const struct qs_problem **list = sorted_problems(scratch, scan);
    json_t *array = json_array();
    for (size_t i = 0; list && i < scan->problem_count; i++) {
        struct qs_json item = qs_json_new();
        qs_json_text(&item, "where", qs_span_of(list[i]->where));
        qs_json_text(&item, "text", qs_span_of(list[i]->text));
        qs_json_append(json, array, item);
    }
    json->failed |= list == NULL;
    qs_json_value(json, "problems", array);
}

static void add_scan(struct qs_json *json, const struct qs_scan_totals *totals)
{
    struct qs_json item = qs_json_new();
    qs_json_count(&item, "listed", totals->listed);
    qs_json_count(&item, "unreadable", totals->unreadable);
    qs_json_count(&item, "no_permission", totals->no_permission);
    qs_json_count(&item, "skipped", totals->skipped);
    qs_json_count(&item, "gone", totals->gone);
    qs_json_count(&item, "moved", totals->moved);
    qs_json_object(json, "scan", item);
}

static void add_hopeless(struct qs_json *json, const struct qs_hopeless *h)
{
    struct qs_json item = qs_json_new();
    json_t *origins = json_array();
    qs_json_count(&item, "messages", h->forged + h->dead + h->unknown);
    qs_json_count(&item, "forged", h->forged);
    qs_json_count(&item, "unknown", h->unknown);
    qs_json_count(&item, "dead", h->dead);
    qs_json_bool(&item, "dns", h->asked);
    for (size_t i = 0; i < h->origin_count; i++) {
        struct qs_json origin = qs_json_new();
        qs_json_text_or_null(&origin, "provider", qs_span_of(h->origin[i].provider));
        qs_json_count(&origin, "messages", h->origin[i].messages);
        qs_json_append(&item, origins, origin);
    }
    qs_json_value(&item, "origins", origins);
    qs_json_object(json, "hopeless", item);
}

enum qs_status qs_report_triage_json(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                     const struct qs_style *style, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct picture p = {0};
    enum qs_status status = make_picture(scratch, view, selected, style, &p, err);
    if (status == QS_OK) {
        const struct qs_summary *s = p.summary;
        struct qs_json json = qs_json_new();
        add_instances(&json, view->scan);
        qs_json_int(&json, "time", view->now);
        qs_json_bool(&json, "partial", view->partial);
        qs_json_count(&json, "scanned", view->scan->count);
        qs_json_object(&json, "selected", sum_object(&s->all));
        add_totals(&json, s);
        json_t *clusters = json_array();
        for (uint32_t i = 0; i < s->group_count; i++) {
            struct qs_json item = qs_json_new();
            qs_json_group(&item, view, &s->group[i], style->explain);
            qs_json_append(&json, clusters, item);
        }
        qs_json_value(&json, "clusters", clusters);
        add_waiting(&json, s);
        add_hopeless(&json, p.hopeless);
        add_scan(&json, &view->scan->totals);
        add_problems(&json, scratch, view->scan);
        json_t *warnings = json_array(), *advice = json_array();
        for (size_t i = 0; i < p.warning_count; i++)
            qs_json_append_text(&json, warnings, qs_span_of(p.warnings[i]));
        for (size_t i = 0; i < p.advice_count; i++) {
            struct qs_json item = qs_json_new();
            qs_json_text(&item, "why", qs_span_of(p.advice[i].why));
            qs_json_text(&item, "command", qs_span_of(p.advice[i].command));
            qs_json_append(&json, advice, item);
        }
        qs_json_value(&json, "warnings", warnings);
        qs_json_value(&json, "advice", advice);
        status = qs_json_line(out, &json, err);
    }
    talloc_free(scratch);
    return status;
}
