/* SPDX-License-Identifier: Apache-2.0 */
/* What doctor found in a queue directory. */
#include <inttypes.h>
#include <string.h>

#include "json.h"
#include "print.h"
#include "qsurgeon/repair.h"

enum { SHOWN = 5, WHATS_MOST = 64 };

static const char *repair_of(const struct qs_flaw *flaw)
{
    return !flaw->steps ? NULL : flaw->step_count == 1 && strncmp(flaw->steps[0].to, "@/", 2) == 0 ? "quarantine" : "rename";
}

/* --- text ------------------------------------------------------------------------------------------------------------- */

/* The flaws of one sort, with the first of them. */
static void print_sort(FILE *out, const struct qs_flaw *flaws, size_t count, size_t first, const struct qs_style *style)
{
    char number[32];
    unsigned most = style->top ? style->top : SHOWN, shown = 0;
    uint64_t all = 0;
    for (size_t i = first; i < count; i++)
        all += flaws[i].what == flaws[first].what;
    fprintf(out, "  %-10s %8s  %s\n", qs_flaw_name(flaws[first].kind), qs_number(number, all), flaws[first].what);
    for (size_t i = first; i < count && shown < most; i++) {
        if (flaws[i].what != flaws[first].what)
            continue;
        fputs("    ", out);
        qs_print_safe(out, qs_span_of(flaws[i].path), style);
        if (flaws[i].steps && strcmp(repair_of(&flaws[i]), "rename") == 0) {
            fputs(" belongs at ", out);
            qs_print_safe(out, qs_span_of(flaws[i].steps[flaws[i].step_count - 1].to), style);
        }
        if (!flaws[i].steps && flaws[i].advice)
            fprintf(out, ": %s", flaws[i].advice);
        fputs("\n", out);
        shown++;
    }
    if (all > shown)
        fprintf(out, "    and %s more; --top N shows them, --json all\n", qs_number(number, all - shown));
}

static void print_leftovers(FILE *out, const struct qs_leftover *left, size_t count, const struct qs_style *style)
{
    for (size_t i = 0; i < count; i++) {
        fputs(left[i].known ? "Unfinished run: " : "Quarantine without a record: .qsurgeon/", out);
        qs_print_safe(out, qs_span_of(left[i].run), style);
        if (left[i].known)
            fprintf(out, "; `%s resume %s` or `undo %s` settles it\n", style->program, left[i].run, left[i].run);
        else
            fputs(" was made with another --state, or its record was removed\n", out);
    }
}

enum qs_status qs_report_doctor_text(FILE *out, const struct qs_instance *instance, const struct qs_flaw *flaws, size_t count,
                                     const struct qs_leftover *left, size_t left_count, const struct qs_style *style,
                                     const char *commit, struct qs_error *err)
{
    const char *told[WHATS_MOST];
    size_t whats = 0, repairable = 0;
    char number[64];
    qs_print_safe(out, qs_span_of(instance->queue_dir), style);
    if (count == 0)
        fprintf(out, " (%s): the files are as %s leaves them\n", instance->name, instance->format->name);
    else
        fprintf(out, " (%s): %s\n", instance->name, qs_plural(number, count, "flaw", "flaws"));
    for (size_t i = 0; i < count; i++) {
        bool new = true;
        repairable += flaws[i].steps != NULL;
        for (size_t w = 0; w < whats && new; w++)
            new = told[w] != flaws[i].what;
        if (!new || whats == WHATS_MOST)
            continue;
        told[whats++] = flaws[i].what;
        print_sort(out, flaws, count, i, style);
    }
    print_leftovers(out, left, left_count, style);
    if (commit && repairable)
        fprintf(out, "Would repair %s. Nothing was changed. To do it:\n  %s\n",
                qs_plural(number, repairable, "flaw", "flaws"), commit);
    return qs_written(out, err);
}

/* --- JSON ------------------------------------------------------------------------------------------------------------- */

enum qs_status qs_report_doctor_json(FILE *out, const struct qs_instance *instance, const struct qs_flaw *flaws, size_t count,
                                     const struct qs_leftover *left, size_t left_count, struct qs_error *err)
{
    struct qs_json o = qs_json_new();
    json_t *list = json_array(), *runs = json_array();
    qs_json_text(&o, "check", QS_SPAN("queue"));
    qs_json_text(&o, "mta", qs_span_of(instance->format->name));
    qs_json_text(&o, "instance", qs_span_of(instance->name));
    qs_json_text(&o, "queue_dir", qs_span_of(instance->queue_dir));
    for (size_t i = 0; i < count; i++) {
        const struct qs_flaw *f = &flaws[i];
        struct qs_json item = qs_json_new();
        qs_json_text(&item, "kind", qs_span_of(qs_flaw_name(f->kind)));
        qs_json_text(&item, "what", qs_span_of(f->what));
        qs_json_text_or_null(&item, "queue_id", qs_span_of(f->id));
        qs_json_text(&item, "path", qs_span_of(f->path));
        qs_json_count(&item, "size", f->size);
        qs_json_int(&item, "modified", f->modified);
        qs_json_text_or_null(&item, "repair", qs_span_of(repair_of(f)));
        qs_json_text_or_null(&item, "becomes",
                             qs_span_of(f->steps && f->step_count ? f->steps[f->step_count - 1].to : NULL));
        qs_json_text_or_null(&item, "advice", qs_span_of(f->steps ? NULL : f->advice));
        qs_json_append(&o, list, item);
    }
    qs_json_value(&o, "flaws", list);
    for (size_t i = 0; i < left_count; i++) {
        struct qs_json item = qs_json_new();
        qs_json_text(&item, "run", qs_span_of(left[i].run));
        qs_json_bool(&item, "recorded", left[i].known);
        qs_json_bool(&item, "unfinished", left[i].unfinished);
        qs_json_append(&o, runs, item);
    }
    qs_json_value(&o, "runs", runs);
    return qs_json_line(out, &o, err);
}
