/* SPDX-License-Identifier: Apache-2.0 */
/* Mined rules for programs: an object a cluster. For people the rules are their own report. */
#include "json.h"
#include "qsurgeon/mine.h"

static struct qs_json rule_json(const struct qs_mined_rule *rule)
{
    struct qs_json json = qs_json_new();
    qs_json_text(&json, "name", qs_span_of(rule->name));
    qs_json_text_or_null(&json, "field", qs_span_of(rule->field));
    qs_json_text(&json, "pattern", qs_span_of(rule->pattern));
    qs_json_real(&json, "bits", rule->bits);
    qs_json_count(&json, "train_hits", rule->train);
    qs_json_count(&json, "later_hits", rule->later);
    qs_json_count(&json, "own_header_train_hits", rule->top_train);
    qs_json_count(&json, "own_header_later_hits", rule->top_later);
    return json;
}

static struct qs_json victim_json(const struct qs_mined_victim *victim)
{
    struct qs_json json = qs_json_new();
    qs_json_text(&json, "recipient", qs_span_of(victim->address));
    qs_json_count(&json, "train_hits", victim->train);
    qs_json_count(&json, "later_hits", victim->later);
    return json;
}

enum qs_status qs_report_mine_json(FILE *out, const struct qs_view *view, const struct qs_mined *mined, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (size_t i = 0; status == QS_OK && i < mined->group_count; i++) {
        const struct qs_mined_group *g = &mined->group[i];
        const struct qs_group *group = &view->judgement->group[g->group];
        struct qs_json json = qs_json_new();
        json_t *rules = json_array(), *victims = json_array();
        qs_json_text(&json, "cluster", qs_span_of(group->name));
        qs_json_text(&json, "verdict", qs_span_of(qs_verdict_name((enum qs_verdict)group->verdict)));
        qs_json_text(&json, "cause", qs_span_of(qs_cause_name((enum qs_cause)group->cause)));
        qs_json_count(&json, "messages", g->messages);
        qs_json_count(&json, "train", g->train);
        qs_json_count(&json, "train_caught", g->train_caught);
        qs_json_count(&json, "later", g->later);
        qs_json_count(&json, "later_caught", g->later_caught);
        qs_json_count(&json, "real_messages", mined->good_queue + mined->good_files);
        qs_json_count(&json, "real_unread", mined->good_unread);
        for (uint32_t r = 0; r < g->rules; r++)
            qs_json_append(&json, rules, rule_json(&mined->rule[g->first_rule + r]));
        qs_json_value(&json, "rules", rules);
        qs_json_count(&json, "train_caught_with_notices", g->train_either);
        qs_json_count(&json, "later_caught_with_notices", g->later_either);
        for (uint32_t v = 0; v < g->victims; v++)
            qs_json_append(&json, victims, victim_json(&mined->victim[g->first_victim + v]));
        qs_json_value(&json, "notices_to", victims);
        status = qs_json_line(out, &json, err);
    }
    return status;
}
