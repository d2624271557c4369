/* SPDX-License-Identifier: Apache-2.0 */
/* From facts to verdicts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"

static const double guilty = 3.5, legit = 0;
enum { FAMILIES_NEEDED = 2 };
static const double family_counts = 0.7;

double qs_threshold_guilty(void)
{
    return guilty;
}

double qs_threshold_legit(void)
{
    return legit;
}

enum label_kind { NO_LABEL, CAMPAIGN, CLUSTER, CLUSTER_VOUCHED, FLOOD, KINDS };

struct qs_judge {
    struct qs_work work;
    struct qs_crowd *crowd;         /* of each group */
};

/* --- labels ---------------------------------------------------------------------------------------------------------- */

static uint32_t label(enum label_kind kind, uint32_t number)
{
    return number * KINDS + (uint32_t)kind;
}

static uint32_t label_of(const struct qs_work *w, uint32_t i)
{
    uint32_t bits = w->fact[i].bits;
    if (bits & QS_F_NOTICE)
        return w->notices->wave[i] == QS_NONE ? QS_NONE : label(FLOOD, w->notices->wave[i]);
    if (w->campaigns->of[i] != QS_NONE && w->bad[w->campaigns->of[i]])
        return label(CAMPAIGN, w->campaigns->of[i]);
    if (w->clusters->of[i] != QS_NO_CLUSTER)
        return label(bits & QS_F_VOUCHED ? CLUSTER_VOUCHED : CLUSTER, w->clusters->of[i]);
    return QS_NONE;
}

static bool convicts(const struct qs_sum *sum)
{
    unsigned families = 0;
    for (unsigned f = 0; f < QS_FAMILIES; f++)
        families += sum->family[f] >= family_counts;
    return sum->score >= guilty && families >= FAMILIES_NEEDED;
}

/* --- campaigns ------------------------------------------------------------------------------------------------------- */

static bool judge_campaigns(struct qs_work *w, TALLOC_CTX *scratch)
{
    uint32_t n = w->campaigns->count;
    uint32_t *start = talloc_zero_array(scratch, uint32_t, n + 2);
    uint32_t *member = talloc_array(scratch, uint32_t, w->scan->count + 1);
    if (!start || !member)
        return false;
    for (uint32_t i = 0; i < w->scan->count; i++)
        if (w->campaigns->of[i] != QS_NONE && !(w->fact[i].bits & QS_F_NOTICE))
            start[w->campaigns->of[i] + 2]++;
    for (uint32_t c = 0; c < n; c++)
        start[c + 2] += start[c + 1];
    for (uint32_t i = 0; i < w->scan->count; i++)
        if (w->campaigns->of[i] != QS_NONE && !(w->fact[i].bits & QS_F_NOTICE))
            member[start[w->campaigns->of[i] + 1]++] = i;
    for (uint32_t c = 0; c < n; c++) {
        struct qs_crowd crowd;
        struct qs_sum sum = {0};
        uint32_t count = start[c + 1] - start[c];
        if (count < 2)
            continue;
        if (!qs_measure(w, member + start[c], count, &crowd))
            return false;
        qs_weigh_crowd(w, &crowd, &sum);
        w->bad[c] = convicts(&sum);
    }
    return true;
}

/* --- groups ---------------------------------------------------------------------------------------------------------- */

static bool make_groups(struct qs_judgement *j, const struct qs_work *w)
{
    uint32_t n = w->scan->count, groups = 0;
    struct qs_table *index = qs_table_new(NULL, 1024);
    uint32_t *count = NULL, *number = NULL;
    bool ok = index != NULL;
    for (uint32_t i = 0; ok && i < n; i++) {
        uint32_t l = label_of(w, i);
        uint32_t *at = l == QS_NONE ? NULL : qs_table_at(index, l, qs_table_count(index));
        ok = at || l == QS_NONE;
        j->group_of[i] = at ? *at : QS_NO_CLUSTER;
    }
    uint32_t labels = ok ? qs_table_count(index) : 0;
    talloc_free(index);
    count = talloc_zero_array(NULL, uint32_t, labels + 2);
    number = talloc_array(NULL, uint32_t, labels + 1);
    ok = ok && count && number;
    for (uint32_t i = 0; ok && i < n; i++)
        if (j->group_of[i] != QS_NO_CLUSTER)
            count[j->group_of[i]]++;
    for (uint32_t l = 0; ok && l < labels; l++)
        number[l] = count[l] >= 2 ? groups++ : QS_NO_CLUSTER;
    j->group = ok ? talloc_zero_array(j, struct qs_group, groups + 1) : NULL;
    ok = ok && j->group;
    for (uint32_t i = 0; ok && i < n; i++) {
        j->group_of[i] = j->group_of[i] == QS_NO_CLUSTER ? QS_NO_CLUSTER : number[j->group_of[i]];
        if (j->group_of[i] != QS_NO_CLUSTER)
            j->group[j->group_of[i]].count++;
    }
    for (uint32_t g = 1; ok && g < groups; g++)
        j->group[g].first = j->group[g - 1].first + j->group[g - 1].count;
    for (uint32_t g = 0; ok && g < groups; g++)
        j->group[g].count = 0;
    for (uint32_t i = 0; ok && i < n; i++) {
        if (j->group_of[i] == QS_NO_CLUSTER)
            continue;
        struct qs_group *g = &j->group[j->group_of[i]];
        j->member[g->first + g->count++] = i;
    }
    j->group_count = groups;
    talloc_free(count);
    talloc_free(number);
    return ok;
}

static void weigh_group(const struct qs_judgement *j, uint32_t g, struct qs_sum *sum)
{
    const struct qs_judge *p = j->work;
    if (p->work.fact[j->member[j->group[g].first]].bits & QS_F_NOTICE)
        qs_weigh_notices(&p->work, &p->crowd[g], sum);
    else
        qs_weigh_crowd(&p->work, &p->crowd[g], sum);
}

static enum qs_verdict verdict_of(const struct qs_sum *sum, bool notice, bool alone)
{
    if (convicts(sum) && !alone)
        return notice ? QS_BACKSCATTER : QS_STORM;
    return sum->score <= legit ? QS_LEGIT : QS_UNSURE;
}

static bool measure_groups(struct qs_judgement *j)
{
    struct qs_judge *p = j->work;
    p->crowd = talloc_array(p, struct qs_crowd, j->group_count + 1);
    if (!p->crowd)
        return false;
    for (uint32_t g = 0; g < j->group_count; g++) {
        struct qs_group *group = &j->group[g];
        const uint32_t *member = j->member + group->first;
        struct qs_sum sum = {0};
        struct qs_crowd *c = &p->crowd[g];
        if (!qs_measure(&p->work, member, group->count, c))
            return false;
        bool notice = p->work.fact[member[0]].bits & QS_F_NOTICE;
        snprintf(group->name, sizeof group->name, "C-%08x", g);
        group->senders = c->senders;
        group->clients = c->clients;
        group->recipients = c->recipients;
        group->oldest = c->oldest;
        group->newest = c->newest;
        group->bytes = c->bytes;
        group->sample = member[0];
        weigh_group(j, g, &sum);
        group->score = (float)sum.score;
        group->verdict = (uint8_t)verdict_of(&sum, notice, false);
    }
    return true;
}

static bool weigh_one(const struct qs_judgement *j, uint32_t i, struct qs_sum *sum)
{
    const struct qs_judge *p = j->work;
    const struct qs_work *w = &p->work;
    struct qs_crowd one;
    uint32_t g = j->group_of[i];
    const struct qs_crowd *crowd = &one;
    bool notice = w->fact[i].bits & QS_F_NOTICE;
    if (g == QS_NO_CLUSTER) {
        if (!qs_measure(w, &i, 1, &one))
            return false;
        if (notice)
            qs_weigh_notices(w, &one, sum);
        else
            qs_weigh_crowd(w, &one, sum);
    } else {
        crowd = &p->crowd[g];
        weigh_group(j, g, sum);
    }
    if (notice)
        qs_weigh_notice(w, crowd, i, sum);
    else
        qs_weigh_message(w, crowd, i, sum);
    return true;
}

static bool judge_messages(struct qs_judgement *j)
{
    const struct qs_work *w = &j->work->work;
    for (uint32_t i = 0; i < w->scan->count; i++) {
        struct qs_sum sum = {0};
        if (!weigh_one(j, i, &sum))
            return false;
        bool notice = w->fact[i].bits & QS_F_NOTICE;
        bool alone = j->group_of[i] == QS_NO_CLUSTER && !(notice && w->campaigns->of[i] != QS_NONE && w->bad[w->campaigns->of[i]]);
        enum qs_verdict v = verdict_of(&sum, notice, alone);
        j->of[i] = (struct qs_finding){(uint8_t)v, 0, (float)sum.score};
        j->total[v]++;
        j->bytes[v] += w->scan->messages[i].size;
    }
    return true;
}

static int by_weight(const void *a, const void *b)
{
    const struct qs_evidence *x = a, *y = b;
    double p = fabs(x->weight), q = fabs(y->weight);
    if (p != q)
        return p > q ? -1 : 1;
    return strcmp(x->name, y->name);
}

static enum qs_status hand_over(TALLOC_CTX *parent, struct qs_sum *sum, bool ok, struct qs_evidence **list, size_t *count,
                                struct qs_error *err)
{
    if (!ok || sum->failed) {
        talloc_free(sum->parent);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    if (sum->count)
        qsort(sum->list, sum->count, sizeof *sum->list, by_weight);
    *list = talloc_steal(parent, sum->list);
    *count = sum->count;
    talloc_free(sum->parent);
    return QS_OK;
}

enum qs_status qs_explain_message(TALLOC_CTX *parent, const struct qs_judgement *j, uint32_t message,
                                  struct qs_evidence **list, size_t *count, struct qs_error *err)
{
    struct qs_sum sum = {.parent = talloc_new(NULL)};
    bool ok = sum.parent && weigh_one(j, message, &sum);
    return hand_over(parent, &sum, ok, list, count, err);
}

enum qs_status qs_explain_group(TALLOC_CTX *parent, const struct qs_judgement *j, uint32_t group,
                                struct qs_evidence **list, size_t *count, struct qs_error *err)
{
    struct qs_sum sum = {.parent = talloc_new(NULL)};
    if (sum.parent)
        weigh_group(j, group, &sum);
    return hand_over(parent, &sum, sum.parent != NULL, list, count, err);
}

enum qs_status qs_judge(TALLOC_CTX *parent, const struct qs_scan *scan, const struct qs_clusters *clusters,
                        const struct qs_site *site, int64_t now, struct qs_judgement **out, struct qs_error *err)
{
    (void)now;
    struct qs_judgement *j = talloc_zero(NULL, struct qs_judgement);
    TALLOC_CTX *scratch = talloc_new(j);
    struct qs_judge *p = scratch ? talloc_zero(j, struct qs_judge) : NULL;
    if (!p)
        goto fail;
    uint32_t n = scan->count ? scan->count : 1;
    struct qs_work *w = &p->work;
    j->work = p;
    w->scan = scan;
    w->clusters = clusters;
    w->others_median = 1;
    j->of = talloc_zero_array(j, struct qs_finding, n);
    j->member = talloc_array(j, uint32_t, n);
    j->group_of = talloc_array(j, uint32_t, n);
    w->census = qs_census_new(p);
    if (!j->of || !j->member || !j->group_of || !w->census || !(w->known = qs_know_site(p, scan, site)))
        goto fail;
    j->site = w->known->site;
    if (!(w->fact = qs_make_facts(p, scan, w->known)) ||
        !(w->campaigns = qs_find_campaigns(p, scan, clusters, w->known, w->fact)) ||
        !(w->bad = talloc_zero_array(p, uint8_t, w->campaigns->count + 1)) || !judge_campaigns(w, scratch))
        goto fail;
    qs_adopt_stragglers(w->campaigns, scan, w->fact, w->bad);
    if (!(w->notices = qs_join_notices(p, scan, w->known, w->fact, w->campaigns, w->bad)) || !make_groups(j, w) || !measure_groups(j) || !judge_messages(j))
        goto fail;
    talloc_free(scratch);
    *out = talloc_steal(parent, j);
    return QS_OK;
fail:
    talloc_free(j);
    return qs_fail(err, QS_NOMEM, "out of memory");
}
