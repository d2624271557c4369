/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for other programs, as text to read and paste, and as JSON. */
#include "qsurgeon/rules.h"

#include "json.h"
#include "print.h"

enum qs_status qs_report_rules_text(FILE *out, const struct qs_rule *rules, size_t count, const struct qs_style *style,
                                    struct qs_error *err)
{
    if (!count)
        fputs("Nothing in this queue calls for a rule.\n", out);
    for (size_t i = 0; i < count; i++) {
        const struct qs_rule *r = &rules[i];
        fputs(i ? "\n# " : "# ", out);
        qs_print_safe(out, qs_span_of(r->why), style);
        fprintf(out, "\n# %s %s:\n\n%s\n# then:\n\n", r->whole ? "The file" : "Add to", r->file, r->text);
        for (size_t k = 0; k < r->command_count; k++)
            fprintf(out, "%s\n", r->command[k]);
    }
    return qs_written(out, err);
}

enum qs_status qs_report_rules_json(FILE *out, const struct qs_rule *rules, size_t count, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        const struct qs_rule *r = &rules[i];
        struct qs_json json = qs_json_new();
        json_t *commands = json_array();
        qs_json_text(&json, "rule", qs_span_of(r->name));
        qs_json_text(&json, "program", qs_span_of(r->program));
        qs_json_text(&json, "why", qs_span_of(r->why));
        qs_json_text(&json, "file", qs_span_of(r->file));
        qs_json_bool(&json, "whole", r->whole);
        qs_json_text(&json, "content", qs_span_of(r->text));
        for (size_t k = 0; k < r->command_count; k++)
            qs_json_append_text(&json, commands, qs_span_of(r->command[k]));
        qs_json_value(&json, "commands", commands);
        status = qs_json_line(out, &json, err);
    }
    return status;
}
