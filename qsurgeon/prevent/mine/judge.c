/* SPDX-License-Identifier: Apache-2.0 */
/* Mining: rules against messages, line by line with PCRE2, as a filter would run them: against real mail, which kills a
 * rule, and against the storm, for the figures. */
#include "miner.h"

#include <string.h>

enum { GRAM = 4, ALL_GROUPS = -1 };            /* GRAM: bytes by which a line is first looked at */

static uint64_t gram_at(const char *p)
{
    uint32_t gram;
    memcpy(&gram, p, GRAM);
    return gram;
}

static bool enter(struct qs_table *table, uint64_t key, struct miner *m, uint32_t index)
{
    uint32_t *head = qs_table_at(table, key, MISSING);
    if (!head)
        return false;
    m->rule[index]->next = *head;
    *head = index;
    return true;
}

/* The rules that are alive, so that a line finds those that may match it. */
enum qs_status qs_miner_index_rules(struct miner *m, struct qs_error *err)
{
    bool good = true;
    talloc_free(m->by_field);
    talloc_free(m->by_gram);
    m->by_field = qs_table_new(m->scratch, 256);
    m->by_gram = qs_table_new(m->scratch, 1024);
    m->always = MISSING;
    good = m->by_field && m->by_gram;
    for (uint32_t i = 0; good && i < m->rule_count; i++) {
        struct choice *c = m->rule[i];
        c->seen = c->seen_top = 0;
        if (c->dead)
            continue;
        if (c->field) {
            good = enter(m->by_field, name_hash(qs_span_of(c->field)), m, i);
        } else if (c->literal.len >= GRAM) {
            good = enter(m->by_gram, gram_at(c->literal.ptr), m, i);
        } else {
            c->next = m->always;
            m->always = i;
        }
    }
    return good ? QS_OK : out_of_memory(err);
}

struct testing {
    const struct qs_line *line;
    uint32_t stamp;
    int64_t group;                  /* rules of this one alone; ALL_GROUPS: of all */
};

/* A pattern that takes too many steps does not stay. */
static void test_rule(struct choice *c, const struct testing *t)
{
    struct qs_error why;
    bool found = false;
    if (c->dead || (t->group != ALL_GROUPS && t->group != (int64_t)c->group) ||
        (c->seen == t->stamp && (c->seen_top == t->stamp || t->line->kind != QS_LINE_HEADER)))
        return;
    if (qs_pattern_find(c->pattern, t->line->text, &found, &why) != QS_OK) {
        c->dead = true;
    } else if (found) {
        c->seen = t->stamp;
        if (t->line->kind == QS_LINE_HEADER)
            c->seen_top = t->stamp;
    }
}

static void test_header_rules(struct miner *m, struct qs_span name, const struct testing *t)
{
    for (uint32_t i = qs_table_get(m->by_field, name_hash(name), MISSING); i != MISSING; i = m->rule[i]->next)
        test_rule(m->rule[i], t);
}

static bool test_body_rules(struct miner *m, const struct testing *t)
{
    const struct qs_span text = t->line->text;
    m->lowered.len = 0;
    if (!qs_buffer_reserve(&m->lowered, text.len + 1))
        return false;
    for (size_t i = 0; i < text.len; i++)
        m->lowered.data[i] = lower(text.ptr[i]);
    for (size_t i = 0; i + GRAM <= text.len; i++) {
        uint32_t r = qs_table_get(m->by_gram, gram_at(m->lowered.data + i), MISSING);
        for (; r != MISSING; r = m->rule[r]->next) {
            const struct qs_span literal = m->rule[r]->literal;
            if (literal.len <= text.len - i && memcmp(literal.ptr, m->lowered.data + i, literal.len) == 0)
                test_rule(m->rule[r], t);
        }
    }
    const bool may = m->always != MISSING && qs_may_hold_phrase(text);
    for (uint32_t r = m->always; r != MISSING; r = m->rule[r]->next)
        if (may || !m->rule[r]->phrase)
            test_rule(m->rule[r], t);
    return true;
}

/* All lines of a message against the rules. strict: also the header's rules against lines of the body that look like fields,
 * and the body's against the header. */
enum qs_status qs_miner_test(struct miner *m, struct qs_span content, uint32_t stamp, int64_t group, bool strict,
                             struct qs_error *err)
{
    struct qs_lines lines = {.rest = content};
    struct qs_line line;
    bool good = true;
    while (good && qs_lines_next(&lines, &line)) {
        const struct testing t = {&line, stamp, group};
        const bool body = line.kind == QS_LINE_BODY;
        if (line.beyond && !strict)
            continue;
        if (!body) {
            test_header_rules(m, line.name, &t);
        } else if (strict) {
            const char *colon = memchr(line.text.ptr, ':', line.text.len);
            if (colon)
                test_header_rules(m, (struct qs_span){line.text.ptr, (size_t)(colon - line.text.ptr)}, &t);
        }
        if (body || strict)
            good = test_body_rules(m, &t);
    }
    return good ? QS_OK : out_of_memory(err);
}

enum qs_status qs_miner_test_good(struct miner *m, struct qs_span content, uint32_t number, struct qs_error *err)
{
    enum qs_status status = qs_miner_test(m, content, number, ALL_GROUPS, true, err);
    for (uint32_t i = 0; i < m->rule_count; i++)
        if (m->rule[i]->seen == number)
            m->rule[i]->dead = true;
    return status;
}

/* Runs the group's rules over the messages [from, to) of its members. */
enum qs_status qs_miner_measure(struct miner *m, struct work *w, uint32_t from, uint32_t to, bool later,
                                struct qs_error *err)
{
    const uint32_t all = to - from, kept = at_most(all, QS_MINE_MEASURED / 2);
    enum qs_status status = QS_OK;
    for (uint32_t i = 0; status == QS_OK && i < kept; i++) {
        const uint32_t member = from + spread(i, all, kept), message = w->member[member], stamp = message + 1;
        struct qs_span content;
        bool got = false, caught = false;
        status = qs_miner_read_message(m, message, QS_MINE_GOOD_CONTENT, &content, &got, err);
        if (status != QS_OK || !got)
            continue;
        status = qs_miner_test(m, content, stamp, w - m->work, false, err);
        for (uint32_t r = 0; r < w->out->rules; r++) {
            struct qs_mined_rule *rule = &m->out->rule[w->out->first_rule + r];
            const struct choice *c = m->rule[w->out->first_rule + r];
            caught |= c->seen == stamp;
            *(later ? &rule->later : &rule->train) += c->seen == stamp;
            *(later ? &rule->top_later : &rule->top_train) += c->field && c->seen_top == stamp;
        }
        *(later ? &w->out->later : &w->out->train) += 1;
        *(later ? &w->out->later_caught : &w->out->train_caught) += caught;
        *(later ? &w->out->later_either : &w->out->train_either) += caught || qs_miner_to_victim(m, w, member);
    }
    return status;
}
