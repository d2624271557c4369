/* SPDX-License-Identifier: Apache-2.0 */
/* Plans, what became of them, and the log of runs. */
#include <inttypes.h>
#include <string.h>

#include "json.h"
#include "print.h"
#include "qsurgeon/apply.h"
#include "qsurgeon/archive.h"
#include "table.h"

enum { LEFT_SHOWN = 20, CLUSTERS_SHOWN = 5 };

/* What a command does, as a verb of the past and of the plan. */
static const struct {
    const char *plan, *done;
} verbs[QS_ACTIONS] = {
    [QS_ACT_HOLD] = {"put on hold", "put on hold"}, [QS_ACT_RELEASE] = {"release", "released"},
    [QS_ACT_PURGE] = {"purge", "purged"}, [QS_ACT_DEFER] = {"defer", "deferred"},
    [QS_ACT_EXPEDITE] = {"expedite", "expedited"}, [QS_ACT_REQUEUE] = {"requeue", "requeued"},
    [QS_ACT_DROP] = {"take recipients off", "freed of recipients"}, [QS_ACT_REPAIR] = {"repair", "repaired"},
    [QS_ACT_RESTORE] = {"restore", "restored"},
};

/* --- the plan --------------------------------------------------------------------------------------------------------- */

struct counts {
    uint64_t verdict[QS_VERDICTS];
    uint32_t *of_group;             /* planned messages of each group */
};

static bool count_plan(TALLOC_CTX *scratch, const struct qs_view *view, const struct qs_plan *plan, struct counts *out)
{
    const struct qs_judgement *j = view->judgement;
    memset(out, 0, sizeof *out);
    out->of_group = talloc_zero_array(scratch, uint32_t, j->group_count + 1);
    if (!out->of_group)
        return false;
    /* items are in the order of the messages */
    for (uint32_t i = 0, n = 0; i < view->scan->count && n < plan->count; i++) {
        if (plan->items[n].id != view->scan->messages[i].id)
            continue;
        out->verdict[j->of[i].verdict]++;
        if (j->group_of[i] != QS_NO_CLUSTER)
            out->of_group[j->group_of[i]]++;
        n++;
    }
    return true;
}

static void print_verdicts(FILE *out, const struct counts *counts)
{
    static const enum qs_verdict order[] = {QS_STORM, QS_BACKSCATTER, QS_UNSURE, QS_LEGIT};
    const char *comma = "";
    char number[32];
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (counts->verdict[order[i]]) {
            fprintf(out, "%s%s %s", comma, qs_number(number, counts->verdict[order[i]]), qs_verdict_name(order[i]));
            comma = ", ";
        }
}

static void print_clusters(FILE *out, const struct qs_view *view, const struct counts *counts, const struct qs_style *style)
{
    char number[32], subject[QS_CELL];
    unsigned shown = 0;
    for (uint32_t g = 0; g < view->judgement->group_count && shown < CLUSTERS_SHOWN; g++) {
        const struct qs_group *group = &view->judgement->group[g];
        if (!counts->of_group[g])
            continue;
        qs_safe(subject, sizeof subject,
                qs_sym_span(view->scan->strings, view->scan->messages[group->sample].subject), style);
        qs_cut(subject, style->columns > 50 ? style->columns - 45 : 10, style);
        fprintf(out, "  %-11s %10s  %-18s %s\n", group->name, qs_number(number, counts->of_group[g]),
                qs_cause_name((enum qs_cause)group->cause), subject);
        shown++;
    }
}

void qs_report_last_tries(FILE *out, const struct qs_plan *plan)
{
    char number[32], kept[8];
    if (plan->last_try)
        fprintf(out, "%s of them will be older than mail is kept, %s: tried once then, and returned if that fails\n",
                qs_number(number, plan->last_try), qs_text_age(kept, plan->lifetime));
}

enum qs_status qs_report_plan_text(FILE *out, const struct qs_view *view, const struct qs_plan *plan,
                                   const struct qs_style *style, const char *commit, struct qs_error *err)
{
    char a[64], b[32], c[8], when[32];
    struct counts counts;
    TALLOC_CTX *scratch = talloc_new(NULL);
    if (!count_plan(scratch, view, plan, &counts)) {
        talloc_free(scratch);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    fprintf(out, "Would %s %s of %s, %s: ", verbs[plan->action].plan, qs_plural(a, plan->count, "message", "messages"),
            qs_number(b, view->scan->count), qs_text_bytes(c, plan->bytes));
    print_verdicts(out, &counts);
    fputs("\n", out);
    print_clusters(out, view, &counts, style);
    fputs("Selected: ", out);
    qs_print_safe(out, qs_span_of(plan->words), style);
    fputs("\n", out);
    if (plan->pace)
        fprintf(out, "Pace: %s a minute, which takes %s\n", qs_number(b, plan->pace),
                qs_text_age(c, (int64_t)(plan->count / plan->pace) * 60 + (int64_t)(plan->count % plan->pace) * 60 / plan->pace));
    if (plan->until)
        fprintf(out, "Until: %s\n", qs_time(when, plan->until));
    qs_report_last_tries(out, plan);
    for (size_t i = 0; i < plan->drop_count && i < LEFT_SHOWN; i++) {
        fputs(i ? "           " : "Recipients: ", out);
        qs_print_safe(out, qs_span_of(plan->drop[i]), style);
        fputs("\n", out);
    }
    if (plan->left_legit)
        fprintf(out, "Left alone: %s selected, but legit (--include-legit takes them)\n",
                qs_plural(a, plan->left_legit, "message", "messages"));
    if (plan->left_unsure)
        fprintf(out, "Left alone: %s selected, but unsure (named by --verdict unsure, --cluster or --id only)\n",
                qs_plural(a, plan->left_unsure, "message", "messages"));
    if (plan->left_unfit)
        fprintf(out, "Left alone: %s selected for which this has no meaning where they are\n",
                qs_plural(a, plan->left_unfit, "message", "messages"));
    if (plan->left_there)
        fprintf(out, "Left alone: %s in the queue or brought back before (--again takes them)\n",
                qs_plural(a, plan->left_there, "message", "messages"));
    if (plan->action == QS_ACT_PURGE)
        fputs(plan->after == QS_AFTER_KEEP ? "They will lie in the quarantine until they are undone.\n"
              : plan->after == QS_AFTER_UNLINK
              ? "They will be removed WITHOUT an archive: there will be no way back.\n"
              : "They will be archived, the archive read back, and can be brought back by `undo`.\n", out);
    if (plan->output) {
        fputs("Archive: ", out);
        qs_print_safe(out, qs_span_of(plan->output), style);
        fputs("\n", out);
    }
    if (commit)
        fprintf(out, "Nothing was changed. To do it:\n  %s\n", commit);
    talloc_free(scratch);
    return qs_written(out, err);
}

enum qs_status qs_report_plan_json(FILE *out, const struct qs_view *view, const struct qs_plan *plan, struct qs_error *err)
{
    struct counts counts;
    TALLOC_CTX *scratch = talloc_new(NULL);
    if (!count_plan(scratch, view, plan, &counts)) {
        talloc_free(scratch);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    struct qs_json o = qs_json_new(), verdicts = qs_json_new();
    qs_json_bool(&o, "committed", false);
    qs_json_text(&o, "action", qs_span_of(qs_action_name(plan->action)));
    qs_json_count(&o, "messages", plan->count);
    qs_json_count(&o, "bytes", plan->bytes);
    qs_json_count(&o, "of", view->scan->count);
    for (unsigned v = 0; v < QS_VERDICTS; v++)
        qs_json_count(&verdicts, qs_verdict_name((enum qs_verdict)v), counts.verdict[v]);
    qs_json_object(&o, "verdicts", verdicts);
    qs_json_text(&o, "selection", qs_span_of(plan->words));
    qs_json_count(&o, "left_legit", plan->left_legit);
    qs_json_count(&o, "left_unsure", plan->left_unsure);
    qs_json_count(&o, "left_unfit", plan->left_unfit);
    if (plan->archive) {
        qs_json_text(&o, "archive", qs_span_of(plan->archive));
        qs_json_count(&o, "left_there", plan->left_there);
    }
    if (plan->until)
        qs_json_count(&o, "last_try", plan->last_try);
    if (plan->output)
        qs_json_text(&o, "archive", qs_span_of(plan->output));
    talloc_free(scratch);
    return qs_json_line(out, &o, err);
}

/* --- the result ------------------------------------------------------------------------------------------------------- */

static uint32_t planned(const struct qs_run_result *r)
{
    uint32_t sum = r->in_place;
    for (unsigned o = 0; o < QS_OUTCOMES; o++)
        sum += r->count[o];
    return sum;
}

enum qs_status qs_report_result_text(FILE *out, const struct qs_run_result *r, const char *verb,
                                     const struct qs_style *style, struct qs_error *err)
{
    char a[64], b[32], c[8];
    fprintf(out, "%s: %s of %s, %s.%s Run %s\n", verb, qs_plural(a, r->count[QS_DONE], "message", "messages"),
            qs_number(b, planned(r)), qs_text_bytes(c, r->bytes_done), r->stopped ? " Stopped before the end." : "",
            r->run);
    if (r->paced) {
        fprintf(out, "The server has tried %s of them: ", qs_number(a, r->tried));
        fprintf(out, "%s left the queue, ", qs_number(a, r->left_queue));
        fprintf(out, "%s deferred again\n", qs_plural(a, r->deferred_again, "was", "were"));
    }
    if (r->stopped_why)
        fprintf(out, "Stopped because %s\n", r->stopped_why);
    if (r->archive) {
        fprintf(out, "Archived and read back: %s in ", qs_plural(a, r->archived, "message", "messages"));
        qs_print_safe(out, qs_span_of(r->archive), style);
        fputs("\n", out);
    }
    if (r->waiting)
        fprintf(out, "Left as a later run has put them: %s. What that has not archived goes back with\nits undo:\n  %s undo %s\n",
                qs_plural(a, r->waiting, "message", "messages"), style->program, r->waits_for);
    if (r->in_place)
        fprintf(out, "Already in their places: %s\n", qs_plural(a, r->in_place, "message", "messages"));
    if (r->in_quarantine)
        fprintf(out, "In quarantine: %s\n", qs_plural(a, r->in_quarantine, "message", "messages"));
    for (uint32_t i = 0; i < r->left_count && i < LEFT_SHOWN; i++) {
        fprintf(out, "  %s: %s", r->left[i].id, qs_outcome_name(r->left[i].outcome));
        if (r->left[i].why && r->left[i].why[0]) {
            fputs(": ", out);
            qs_print_safe(out, qs_span_of(r->left[i].why), style);
        }
        fputs("\n", out);
    }
    if (r->left_count > LEFT_SHOWN)
        fprintf(out, "  and %s more; --json lists them all\n", qs_number(b, r->left_count - LEFT_SHOWN));
    return qs_written(out, err);
}

enum qs_status qs_report_result_json(FILE *out, const struct qs_run_result *r, const char *verb, struct qs_error *err)
{
    struct qs_json o = qs_json_new(), outcomes = qs_json_new();
    json_t *left = json_array();
    qs_json_bool(&o, "committed", true);
    qs_json_text(&o, "action", qs_span_of(verb));
    qs_json_text(&o, "run", qs_span_of(r->run));
    for (unsigned i = 0; i < QS_OUTCOMES; i++)
        qs_json_count(&outcomes, qs_outcome_name((enum qs_outcome)i), r->count[i]);
    qs_json_object(&o, "outcomes", outcomes);
    qs_json_count(&o, "bytes", r->bytes_done);
    qs_json_bool(&o, "stopped", r->stopped);
    if (r->paced) {
        struct qs_json pace = qs_json_new();
        qs_json_count(&pace, "tried", r->tried);
        qs_json_count(&pace, "left_queue", r->left_queue);
        qs_json_count(&pace, "deferred_again", r->deferred_again);
        qs_json_text_or_null(&pace, "stopped_why", qs_span_of(r->stopped_why));
        qs_json_object(&o, "drip", pace);
    }
    qs_json_text_or_null(&o, "archive", qs_span_of(r->archive));
    qs_json_count(&o, "archived", r->archived);
    qs_json_count(&o, "in_quarantine", r->in_quarantine);
    qs_json_count(&o, "in_place", r->in_place);
    qs_json_count(&o, "new_files", r->new_files);
    qs_json_text_or_null(&o, "waits_for", qs_span_of(r->waits_for));
    for (uint32_t i = 0; i < r->left_count; i++) {
        struct qs_json item = qs_json_new();
        qs_json_text(&item, "queue_id", qs_span_of(r->left[i].id));
        qs_json_text(&item, "outcome", qs_span_of(qs_outcome_name(r->left[i].outcome)));
        qs_json_text_or_null(&item, "why", qs_span_of(r->left[i].why));
        qs_json_append(&o, left, item);
    }
    qs_json_value(&o, "left_out", left);
    return qs_json_line(out, &o, err);
}

/* --- the log ---------------------------------------------------------------------------------------------------------- */

static const char *state_of(const struct qs_run *run)
{
    return run->waits ? "undone in part" : run->undone ? "undone" : !run->finished ? "unfinished" : run->archived ? "archived" : "finished";
}

struct log_rows {
    const struct qs_run *runs;
    const struct qs_style *style;
};

static void fill_run(void *data, size_t row, struct qs_cells *cells)
{
    const struct log_rows *log = data;
    const struct qs_run *run = &log->runs[row];
    char number[32], most[32];
    snprintf(cells->text[0], QS_CELL, "%s", run->name);
    snprintf(cells->text[1], QS_CELL, "%s", state_of(run));
    cells->ink[1] = run->finished || run->undone ? QS_INK_PLAIN : QS_INK_YELLOW;
    if (!run->undone && run->in_doubt)
        snprintf(cells->text[2], QS_CELL, "%s to %s", qs_number(number, run->done), qs_number(most, run->done + run->in_doubt));
    else
        snprintf(cells->text[2], QS_CELL, "%s", qs_number(number, run->done));
    qs_safe(cells->text[3], QS_CELL, qs_span_of(run->words), log->style);
}

void qs_report_unfinished(FILE *out, const struct qs_run *run, const struct qs_style *style)
{
    char done[32], planned[64], doubt[32];
    fprintf(out, "%s is unfinished", run->name);
    if (run->undoing)
        fputs(": its undo was begun", out);
    else
        fprintf(out, ": %s of %s done", qs_number(done, run->done), qs_plural(planned, run->count, "message", "messages"));
    if (run->in_doubt && !run->undoing)
        fprintf(out, ", %s may be as well", qs_number(doubt, run->in_doubt));
    fprintf(out, "; unless it still runs, settle it:\n  %s resume %s\n  %s undo %s\n", style->program, run->name, style->program,
            run->name);
}

enum qs_status qs_report_log_text(FILE *out, const struct qs_run *runs, size_t count, const struct qs_style *style,
                                  struct qs_error *err)
{
    static const struct qs_heading headings[] = {{"RUN", false, false}, {"STATE", false, false}, {"MESSAGES", true, false},
                                                 {"SELECTED", false, true}};
    struct log_rows log = {runs, style};
    if (count == 0)
        fputs("No runs yet.\n", out);
    else
        qs_table_print(out, style, headings, sizeof headings / sizeof *headings, count, fill_run, &log);
    for (size_t i = 0; i < count; i++)
        if (!runs[i].finished && !runs[i].undone)
            qs_report_unfinished(out, &runs[i], style);
        else if (runs[i].waits)
            fprintf(out, "%s is undone but for what a later run has acted on; that follows when the later run is undone, or by:\n"
                    "  %s undo %s\n", runs[i].name, style->program, runs[i].name);
    return qs_written(out, err);
}

enum qs_status qs_report_log_json(FILE *out, const struct qs_run *runs, size_t count, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        struct qs_json o = qs_json_new();
        qs_json_text(&o, "run", qs_span_of(runs[i].name));
        qs_json_text(&o, "state", qs_span_of(state_of(&runs[i])));
        qs_json_text(&o, "action", qs_span_of(qs_action_name(runs[i].action)));
        qs_json_text(&o, "mta", qs_span_of(runs[i].mta));
        qs_json_text(&o, "queue_dir", qs_span_of(runs[i].queue_dir));
        qs_json_text(&o, "host", qs_span_of(runs[i].host));
        qs_json_text(&o, "selection", qs_span_of(runs[i].words));
        qs_json_int(&o, "made", runs[i].made);
        qs_json_count(&o, "planned", runs[i].count);
        qs_json_count(&o, "done", runs[i].done);
        qs_json_count(&o, "in_doubt", runs[i].in_doubt);
        status = qs_json_line(out, &o, err);
    }
    return status;
}

enum qs_status qs_report_forgotten_json(FILE *out, const char *run, const struct qs_forgotten *found, bool committed,
                                        struct qs_error *err)
{
    struct qs_json o = qs_json_new();
    qs_json_text(&o, "run", qs_span_of(run));
    qs_json_bool(&o, "forgotten", committed && !found->kept);
    qs_json_count(&o, "bytes", found->bytes);
    qs_json_text_or_null(&o, "kept_because", qs_span_of(found->why));
    return qs_json_line(out, &o, err);
}

/* --- archives --------------------------------------------------------------------------------------------------------- */

struct archive_rows {
    const struct qs_archive_row *rows;
    const struct qs_style *style;
};

static void fill_archive(void *data, size_t row, struct qs_cells *cells)
{
    const struct archive_rows *all = data;
    const struct qs_archive_row *a = &all->rows[row];
    const struct qs_archive_summary *s = a->summary;
    char number[32], size[8], when[32];
    snprintf(cells->text[0], QS_CELL, "%s", qs_time(when, a->time));
    snprintf(cells->text[1], QS_CELL, "%s", s->mta ? s->mta : "-");
    snprintf(cells->text[2], QS_CELL, "%s", qs_number(number, s->messages));
    snprintf(cells->text[3], QS_CELL, "%s", qs_text_bytes(size, s->bytes));
    snprintf(cells->text[4], QS_CELL, "%s", s->damage[0] ? "damaged" : "whole");
    cells->ink[4] = s->damage[0] ? QS_INK_RED : QS_INK_PLAIN;
    qs_safe(cells->text[5], QS_CELL, qs_span_of(a->run ? a->run : a->path), all->style);
    if (s->damage[0])
        qs_safe(cells->note, sizeof cells->note, qs_span_of(s->damage), all->style);
}

enum qs_status qs_report_archives_text(FILE *out, const struct qs_archive_row *rows, size_t count,
                                       const struct qs_style *style, struct qs_error *err)
{
    static const struct qs_heading headings[] = {{"WRITTEN", false, false}, {"MTA", false, false}, {"MESSAGES", true, false},
                                                 {"SIZE", true, false}, {"STATE", false, false}, {"RUN", false, true}};
    struct archive_rows all = {rows, style};
    if (count == 0)
        fputs("No archives.\n", out);
    else
        qs_table_print(out, style, headings, sizeof headings / sizeof *headings, count, fill_archive, &all);
    return qs_written(out, err);
}

enum qs_status qs_report_archives_json(FILE *out, const struct qs_archive_row *rows, size_t count, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        const struct qs_archive_summary *s = rows[i].summary;
        struct qs_json o = qs_json_new();
        qs_json_text(&o, "archive", qs_span_of(rows[i].path));
        qs_json_text_or_null(&o, "run", qs_span_of(rows[i].run));
        qs_json_int(&o, "time", rows[i].time);
        qs_json_text_or_null(&o, "mta", qs_span_of(s->mta));
        qs_json_text_or_null(&o, "host", qs_span_of(s->host));
        qs_json_count(&o, "messages", s->messages);
        qs_json_count(&o, "bytes", s->bytes);
        qs_json_bool(&o, "whole", !s->damage[0]);
        qs_json_text_or_null(&o, "damage", qs_span_of(s->damage));
        status = qs_json_line(out, &o, err);
    }
    return status;
}
