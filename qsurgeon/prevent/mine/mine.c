/* SPDX-License-Identifier: Apache-2.0 */
/* From a storm's raw lines to rules: see mine.h. The caller writes them (filters.c).
 *
 * In order: mail.c reads, victims.c looks at envelopes, words.c and windows.c find what a storm repeats and real mail lacks, choose.c takes the
 * few that catch most, patterns.c words them, judge.c runs them over mail. This file says what is meant and goes the
 * rounds. */
#include "miner.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    ROUNDS = 3,                                 /* what no rule catches is looked at again by itself */
    MORE = 3,                                   /* times as many rules for a group that shows little */
};

static int by_arrival(const void *a, const void *b, void *data)
{
    const struct qs_scan *scan = data;
    const struct qs_message *x = &scan->messages[*(const uint32_t *)a], *y = &scan->messages[*(const uint32_t *)b];
    if (x->arrival != y->arrival)
        return x->arrival < y->arrival ? -1 : 1;
    return strcmp(x->id, y->id);
}

static enum qs_status gather(struct miner *m, uint32_t g, struct work *w, struct qs_error *err)
{
    const struct qs_judgement *judgement = m->view->judgement;
    const struct qs_group *group = &judgement->group[g];
    w->member = talloc_array(m->scratch, uint32_t, group->count + 1u);
    if (!w->member)
        return out_of_memory(err);
    for (uint32_t i = 0; i < group->count; i++) {
        const uint32_t message = judgement->member[group->first + i];
        if (judgement->of[message].verdict != QS_LEGIT && (!m->how->selected || m->how->selected[message]))
            w->member[w->count++] = message;
    }
    qsort_r(w->member, w->count, sizeof *w->member, by_arrival, m->view->scan);
    w->train = (uint32_t)ceil((double)w->count * m->how->train / 100.0);
    if (w->train > w->count)
        w->train = w->count;
    *w->out = (struct qs_mined_group){.group = g, .messages = w->count};
    return QS_OK;
}

static bool is_meant(const struct miner *m, uint32_t g)
{
    const uint8_t verdict = m->view->judgement->group[g].verdict;
    if (m->how->group_count == 0)
        return verdict == QS_STORM || verdict == QS_BACKSCATTER;
    for (size_t i = 0; i < m->how->group_count; i++)
        if (m->how->groups[i] == g)
            return true;
    return false;
}

static enum qs_status gather_all(struct miner *m, struct qs_error *err)
{
    const uint32_t count = m->view->judgement->group_count;
    enum qs_status status = QS_OK;
    m->work = talloc_zero_array(m->scratch, struct work, count + 1u);
    m->out->group = talloc_zero_array(m->out, struct qs_mined_group, count + 1u);
    if (!m->work || !m->out->group)
        return out_of_memory(err);
    for (uint32_t g = 0; status == QS_OK && g < count; g++) {
        struct work *w = &m->work[m->work_count];
        if (!is_meant(m, g))
            continue;
        *w = (struct work){.out = &m->out->group[m->out->group_count]};
        status = gather(m, g, w, err);
        if (status != QS_OK || w->count == 0)
            continue;
        m->work_count++;
        m->out->group_count++;
    }
    return status;
}

static uint32_t rules_for(const struct miner *m, const struct work *w, uint32_t most)
{
    return is_few(m, w) ? most * MORE : most;
}

/* What is tested: this round's choices, or the rules that were kept. */
static enum qs_status gather_rules(struct miner *m, bool kept, struct qs_error *err)
{
    uint32_t total = 0;
    for (size_t i = 0; i < m->work_count; i++)
        total += kept ? m->work[i].kept_count : m->work[i].choice_count;
    m->rule = talloc_array(m->scratch, struct choice *, total + 1u);
    m->rule_count = 0;
    if (!m->rule)
        return out_of_memory(err);
    for (size_t i = 0; i < m->work_count; i++) {
        const struct work *w = &m->work[i];
        for (uint32_t c = 0; c < (kept ? w->kept_count : w->choice_count); c++)
            m->rule[m->rule_count++] = kept ? w->kept[c] : &w->choice[c];
    }
    return qs_miner_index_rules(m, err);
}

static enum qs_status make_rules(struct miner *m, uint32_t most, struct qs_error *err)
{
    enum qs_status status = qs_miner_learn_words(m, err);
    if (status == QS_OK)
        status = qs_miner_learn_windows(m, err);
    for (size_t i = 0; status == QS_OK && i < m->work_count; i++) {
        struct work *w = &m->work[i];
        w->choice_count = 0;
        if (w->train >= QS_MINE_LEAST && w->sample_count >= (m->round > 0 ? 2 : QS_MINE_LEAST))
            status = qs_miner_choose_windows(m, w, rules_for(m, w, most) * 2, err);
    }
    if (status == QS_OK)
        status = gather_rules(m, false, err);
    if (status == QS_OK)
        status = qs_miner_each_good(m, qs_miner_test_good, err);
    for (size_t i = 0; status == QS_OK && i < m->work_count; i++)
        if (m->work[i].choice_count > 0)
            status = qs_miner_keep_rules(m, &m->work[i], rules_for(m, &m->work[i], most), err);
    return status == QS_OK ? gather_rules(m, true, err) : status;
}

/* The messages of the training part that no rule catches are the group's next sample. */
static enum qs_status find_missed(struct miner *m, struct work *w, struct qs_error *err)
{
    const uint32_t kept = at_most(w->train, QS_MINE_MEASURED / 2);
    enum qs_status status = QS_OK;
    talloc_free(w->sample);
    w->sample_count = 0;
    w->sample = talloc_zero_array(m, struct sample, QS_MINE_SAMPLE);
    if (!w->sample)
        return out_of_memory(err);
    for (uint32_t i = 0; status == QS_OK && i < kept && w->sample_count < QS_MINE_SAMPLE; i++) {
        const uint32_t message = w->member[spread(i, w->train, kept)], stamp = message + 1;
        struct qs_span content;
        bool got = false, caught = false;
        status = qs_miner_read_message(m, message, QS_MINE_GOOD_CONTENT, &content, &got, err);
        if (status != QS_OK || !got || content.len == 0)
            continue;
        status = qs_miner_test(m, content, stamp, w - m->work, false, err);
        for (uint32_t r = 0; r < w->kept_count; r++)
            caught |= w->kept[r]->seen == stamp;
        if (status == QS_OK && !caught)
            status = qs_miner_keep_sample(w, message, content, err);
    }
    return status;
}

static enum qs_status add_rules(struct miner *m, struct work *w, struct qs_error *err)
{
    w->out->first_rule = (uint32_t)m->out->rule_count;
    for (uint32_t i = 0; i < w->kept_count; i++) {
        const struct choice *c = w->kept[i];
        struct qs_mined_rule *rule = &m->out->rule[m->out->rule_count];
        *rule = (struct qs_mined_rule){.group = c->group, .bits = c->bits};
        snprintf(rule->name, sizeof rule->name, "%s-%u", m->view->judgement->group[w->out->group].name, i + 1);
        rule->field = c->field ? talloc_strdup(m->out, c->field) : NULL;
        rule->pattern = talloc_strdup(m->out, c->text);
        if (!rule->pattern || (c->field && !rule->field))
            return out_of_memory(err);
        m->out->rule_count++;
        w->out->rules++;
    }
    return QS_OK;
}

/* What was tried on the chance that the storm has it elsewhere, too, and the storm has not. */
static void drop_vain_twins(struct miner *m)
{
    struct qs_mined *out = m->out;
    uint32_t left = 0;
    for (size_t i = 0; i < m->work_count; i++) {
        struct qs_mined_group *g = m->work[i].out;
        const uint32_t from = g->first_rule, end = from + g->rules;
        g->first_rule = left;
        for (uint32_t r = from; r < end; r++)
            if (!m->rule[r]->is_twin || g->later == 0 || out->rule[r].train + out->rule[r].later > 0)
                out->rule[left++] = out->rule[r];
        g->rules = left - g->first_rule;
    }
    out->rule_count = left;
}

static enum qs_status make_all_rules(struct miner *m, struct qs_error *err)
{
    const uint32_t most = m->how->rules ? m->how->rules : QS_MINE_RULES;
    enum qs_status status = QS_OK;
    bool missed = true;
    for (m->round = 0; status == QS_OK && m->round < ROUNDS && missed; m->round++) {
        m->scratch = talloc_new(m);
        m->by_field = m->by_gram = NULL;
        status = m->scratch ? make_rules(m, most, err) : out_of_memory(err);
        missed = false;
        for (size_t i = 0; status == QS_OK && i < m->work_count; i++) {
            status = find_missed(m, &m->work[i], err);
            missed |= m->work[i].sample_count >= 2;
        }
        if (status == QS_OK && missed && m->round + 1 < ROUNDS)
            TALLOC_FREE(m->scratch);
    }
    m->out->rule = talloc_zero_array(m->out, struct qs_mined_rule, m->rule_count + 1u);
    if (status == QS_OK && !m->out->rule)
        return out_of_memory(err);
    for (size_t i = 0; status == QS_OK && i < m->work_count; i++)
        status = add_rules(m, &m->work[i], err);
    for (size_t i = 0; status == QS_OK && i < m->work_count; i++) {
        struct work *w = &m->work[i];
        status = qs_miner_measure(m, w, 0, w->train, false, err);
        if (status == QS_OK)
            status = qs_miner_measure(m, w, w->train, w->count, true, err);
    }
    drop_vain_twins(m);
    return status;
}

enum qs_status qs_mine(TALLOC_CTX *parent, const struct qs_view *view, const struct qs_mine_how *how,
                       struct qs_mined **out, struct qs_error *err)
{
    struct miner *m = talloc_zero(NULL, struct miner);
    enum qs_status status = QS_OK;
    if (!m)
        return out_of_memory(err);
    m->scratch = m;
    m->view = view;
    m->how = how;
    m->out = talloc_zero(m, struct qs_mined);
    m->reader = qs_reader_new(m);
    m->file = qs_file_new(m);
    qs_buffer_init(&m->content, m);
    qs_buffer_init(&m->lowered, m);
    if (!m->out || !m->reader || !m->file)
        status = out_of_memory(err);
    for (size_t q = 0; status == QS_OK && q < view->scan->queue_count; q++)
        if (!view->scan->queues[q].queue)
            status = qs_fail(err, QS_NOQUEUE, "%s: a saved scan has no content to look for patterns in",
                             view->scan->queues[q].name);
    if (status == QS_OK)
        status = gather_all(m, err);
    if (status == QS_OK)
        status = qs_miner_list_good(m, err);
    if (status == QS_OK)
        status = qs_miner_learn_taboo(m, err);
    if (status == QS_OK)
        status = qs_miner_find_victims(m, err);
    for (size_t i = 0; status == QS_OK && i < m->work_count; i++)
        status = qs_miner_read_samples(m, &m->work[i], err);
    if (status == QS_OK)
        status = make_all_rules(m, err);
    if (status == QS_OK)
        status = qs_miner_add_victims(m, err);
    if (status == QS_OK)
        *out = talloc_steal(parent, m->out);
    talloc_free(m);
    return status;
}
