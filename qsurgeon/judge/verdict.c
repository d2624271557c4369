/* SPDX-License-Identifier: Apache-2.0 */
/* From a scan to verdicts: the order of the work, and what the evidence makes of each message.
 *
 *   site.c       what this host is: host names, domains, networks; from configuration or learnt from the queue
 *   facts.c      what each message shows by itself: who handed it over, is its sender vouched for by something that is hard
 *                to forge, is it a notice and did what it returns pass this host
 *   given.c      what the admin told: honeypots, good senders, samples
 *   campaigns.c  messages of one wording (linkage.c, profile.c); a notice counts with the text that it returns
 *   here         campaigns are judged; whoever resembles a convicted one enough is added to it
 *   notices.c    notices join to floods: by the campaign they return, by the clients it came from, by victim
 *   here         groups: convicted campaigns; floods; else text clusters, whoever is vouched for apart from who is not
 *   crowd.c      what a group shows together
 *   evidence.c   the weights; a group's sum plus a message's own sum is the message's score
 *
 * A verdict of storm or backscatter needs a score of `guilty` and two families of evidence; likeness of texts is one family
 * and convicts nobody alone. A message that stands alone is never convicted, unless it or what it returns is of a convicted
 * campaign, or the admin gave a rule that it breaks: a honeypot, a bad sample. At `legit` and below a message is taken for wanted; between the two it is left to the admin.
 *
 * What can be forged at no cost (list headers, In-Reply-To, the form of a notice, Received fields in our name) acquits
 * nobody: a vouched sender needs a client whose name, looked up by the MTA, belongs to the sender's organisation, or the
 * network from which that organisation sends under its own name, or a conversation whose other half is in the queue. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "qsurgeon/parallel.h"

static const double guilty = 3.5, legit = 0;
static const double family_counts = 0.7;        /* weight from which a family is one of the two */
enum { FAMILIES_NEEDED = 2, CAMPAIGN_SAMPLE = 1000, NAMED_FROM = 500 };

double qs_threshold_guilty(void)
{
    return guilty;
}

double qs_threshold_legit(void)
{
    return legit;
}

/* What makes a group. */
enum group_kind { OF_CAMPAIGN, OF_ACCOUNT, OF_FLOOD, OF_CLUSTER, OF_VOUCHED, GROUP_KINDS };

struct group_work {
    struct qs_crowd crowd;
    struct qs_sum sum;
    uint32_t label;
};

struct qs_judge {
    struct qs_work work;
    struct group_work *group;
};

static bool convicts(const struct qs_sum *sum)
{
    unsigned families = 0;
    for (unsigned f = 0; f < QS_FAMILIES; f++)
        families += sum->family[f] >= family_counts;
    return sum->score >= guilty && families >= FAMILIES_NEEDED;
}

static bool is_notice(const struct qs_work *w, uint32_t message)
{
    return w->fact[message].bits & QS_F_NOTICE;
}

/* Sorting by counting: the start of each class in *item, and one more. */
bool qs_sort_by(TALLOC_CTX *parent, const uint32_t *class, uint32_t n, uint32_t classes, uint32_t **start, uint32_t **item)
{
    uint32_t *first = talloc_zero_array(parent, uint32_t, classes + 2), *out = talloc_array(parent, uint32_t, n + 1);
    if (!first || !out)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (class[i] != QS_NONE)
            first[class[i] + 2]++;
    for (uint32_t c = 0; c < classes; c++)
        first[c + 2] += first[c + 1];       /* now first[c + 1] is where class c begins */
    for (uint32_t i = 0; i < n; i++)
        if (class[i] != QS_NONE)
            out[first[class[i] + 1]++] = i;
    *start = first;
    *item = out;
    return true;
}

/* --- campaigns ------------------------------------------------------------------------------------------------------- */

/* Of a large campaign those members count whose digests fall into a part of the range. */
static uint32_t choose_members(const struct qs_work *w, const uint32_t *member, uint32_t count, uint32_t *out)
{
    uint64_t one_in = count / CAMPAIGN_SAMPLE + 1;
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!is_notice(w, member[i]) && (one_in == 1 || qs_mix64(w->scan->messages[member[i]].digest) % one_in == 0))
            out[used++] = member[i];
    return used;
}

/* Our own bounces of mail from strangers, by the campaign that they return: where unknown users are bounced, most of a storm
 * is in the queue only in this form. */
static bool count_bounced(struct qs_work *w)
{
    struct qs_table *seen = qs_table_new(NULL, 256);
    bool ok = seen != NULL;
    for (uint32_t i = 0; ok && i < w->scan->count; i++) {
        const struct qs_fact *f = &w->fact[i];
        uint32_t campaign = w->campaigns->of[i];
        if (!(f->bits & QS_F_MADE_HERE) || f->bits & (QS_F_FROM_US | QS_F_GENUINE) || campaign == QS_NONE)
            continue;
        w->bounced[campaign].count++;
        uint32_t *times = f->origin ? qs_table_at(seen, (uint64_t)campaign << 32 | f->origin, 0) : NULL;
        ok = times || !f->origin;
        if (times)
            w->bounced[campaign].clients += ++*times == 1;
    }
    talloc_free(seen);
    return ok;
}

static void add_bounced(const struct qs_work *w, uint32_t campaign, struct qs_crowd *crowd)
{
    crowd->bounced = w->bounced[campaign].count;
    crowd->bounced_clients = w->bounced[campaign].clients;
}

static bool in_bad_campaign(const struct qs_work *w, uint32_t message)
{
    uint32_t campaign = w->campaigns->of[message];
    return campaign != QS_NONE && w->bad[campaign] && !is_notice(w, message);
}

static bool judge_campaigns(struct qs_work *w)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    uint32_t *start, *member, *chosen = talloc_array(scratch, uint32_t, w->scan->count + 1);
    bool ok = chosen && qs_sort_by(scratch, w->campaigns->of, w->scan->count, w->campaigns->count, &start, &member);
    for (uint32_t c = 0; ok && c < w->campaigns->count; c++) {
        struct qs_crowd crowd;
        struct qs_sum sum = {0};
        uint32_t count = choose_members(w, member + start[c], start[c + 1] - start[c], chosen);
        if (count < 2 && (!count || !w->bounced[c].count))
            continue;
        ok = qs_measure(w, w->census[0], chosen, count, &crowd);
        if (ok) {
            add_bounced(w, c, &crowd);
            qs_weigh_crowd(w, &crowd, &sum);
            w->bad[c] = convicts(&sum);
        }
    }
    talloc_free(scratch);
    return ok;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* How many messages a usual user or script of ours has in the queue: the lower median. */
static bool learn_usual_volume(struct qs_work *w)
{
    struct qs_table *seen = qs_table_new(NULL, 64);
    bool ok = seen != NULL;
    for (uint32_t i = 0; ok && i < w->scan->count; i++) {
        const struct qs_fact *f = &w->fact[i];
        if (!f->origin || f->bits & QS_F_NOTICE || !(f->bits & (QS_F_AUTH | QS_F_LOCAL)))
            continue;
        uint32_t *n = qs_table_at(seen, f->origin, 0);
        ok = n != NULL;
        if (ok)
            ++*n;
    }
    uint32_t users = ok ? qs_table_count(seen) : 0, at = 0, used = 0;
    uint32_t *count = talloc_array(seen, uint32_t, users + 1);
    uint64_t key;
    ok = ok && count;
    while (ok && qs_table_next(seen, &at, &key, &count[used]))
        used++;
    w->usual_volume = 1;
    if (ok && users > 1) {
        qsort(count, users, sizeof *count, by_number);
        w->usual_volume = count[(users - 1) / 2];
    }
    talloc_free(seen);
    return ok;
}

/* Accounts that send from so many networks that no one person does, whatever the texts are. What is of a convicted
 * campaign or came from our own network is left out. */
static bool judge_accounts(struct qs_work *w)
{
    enum { MESSAGES = 40, NETWORKS = 8 };
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_table *index = qs_table_new(scratch, 64);
    uint32_t n = w->scan->count, accounts = 0, *start, *member;
    bool ok = index && (w->account = talloc_array(w->known, uint32_t, n + 1));
    for (uint32_t i = 0; ok && i < n; i++) {
        const struct qs_fact *f = &w->fact[i];
        w->account[i] = QS_NONE;
        if (!f->origin || !(f->bits & QS_F_AUTH) || f->bits & (QS_F_NOTICE | QS_F_OWN_CLIENT) || in_bad_campaign(w, i))
            continue;
        const uint32_t *at = qs_table_at(index, f->origin, accounts);
        ok = at != NULL;
        if (ok) {
            w->account[i] = *at;
            accounts += *at == accounts;
        }
    }
    ok = ok && qs_sort_by(scratch, w->account, n, accounts, &start, &member);
    for (uint32_t a = 0; ok && a < accounts; a++) {
        uint32_t count = start[a + 1] - start[a];
        struct qs_crowd crowd = {0};
        struct qs_sum sum = {0};
        ok = count < MESSAGES || qs_measure(w, w->census[0], member + start[a], count, &crowd);
        if (ok && crowd.origin_nets >= NETWORKS)
            qs_weigh_crowd(w, &crowd, &sum);
        for (uint32_t k = start[a]; ok && !convicts(&sum) && k < start[a + 1]; k++)
            w->account[member[k]] = QS_NONE;
    }
    talloc_free(scratch);
    return ok;
}

/* For each text, how many organisations send it from their own servers: words that all use convict nobody. */
static bool count_vouched(struct qs_work *w)
{
    struct qs_table *seen = qs_table_new(NULL, 1024);
    bool ok = seen != NULL;
    for (uint32_t i = 0; ok && i < w->scan->count; i++) {
        uint32_t cluster = w->clusters->of[i];
        if (cluster == QS_NO_CLUSTER || !(w->fact[i].bits & (QS_F_MATCH | QS_F_SAME_SOURCE)))
            continue;
        uint32_t *n = qs_table_at(seen, (uint64_t)cluster << 32 | w->fact[i].sender_org, 0);
        ok = n != NULL;
        if (ok)
            w->vouched_orgs[cluster] += ++*n == 1;
    }
    talloc_free(seen);
    return ok;
}

/* What is usual of the letters: honest servers without a proper name are there in every queue. */
static void learn_usual_dubious(struct qs_work *w)
{
    enum { FEW = 20 };
    const double most = 0.4;
    uint32_t letters = 0, dubious = 0;
    for (uint32_t i = 0; i < w->scan->count; i++) {
        uint32_t bits = w->fact[i].bits;
        if (bits & (QS_F_NOTICE | QS_F_INSIDE | QS_F_VOUCHED) || w->campaigns->of[i] != QS_NONE)
            continue;
        letters++;
        dubious += qs_is_dubious(bits);
    }
    double usual = letters >= FEW ? (double)dubious / letters : 0;
    w->usual_dubious = usual < most ? usual : most;
}

/* --- groups ---------------------------------------------------------------------------------------------------------- */

static uint32_t label_of(const struct qs_work *w, uint32_t i)
{
    uint32_t campaign = w->campaigns->of[i], cluster = w->clusters->of[i];
    if (is_notice(w, i))
        return w->notices->wave[i] == QS_NONE ? QS_NONE : w->notices->wave[i] * GROUP_KINDS + OF_FLOOD;
    if (campaign != QS_NONE && w->bad[campaign])
        return campaign * GROUP_KINDS + OF_CAMPAIGN;
    if (w->account[i] != QS_NONE)
        return w->account[i] * GROUP_KINDS + OF_ACCOUNT;
    if (cluster == QS_NO_CLUSTER)
        return QS_NONE;
    return cluster * GROUP_KINDS + (w->fact[i].bits & QS_F_VOUCHED ? OF_VOUCHED : OF_CLUSTER);
}

/* Fills group_of with numbers of groups of two or more, in no order yet, and group[].label. */
static bool number_groups(struct qs_judgement *j)
{
    struct qs_judge *p = j->work;
    TALLOC_CTX *scratch = talloc_new(NULL);
    uint32_t n = p->work.scan->count, labels = 0, *count = NULL, *number = NULL;
    struct qs_table *index = qs_table_new(scratch, 1024);
    bool ok = index != NULL;
    for (uint32_t i = 0; ok && i < n; i++) {
        uint32_t label = label_of(&p->work, i), *at = NULL;
        if (label != QS_NONE) {
            at = qs_table_at(index, label, labels);
            ok = at != NULL;
            labels += at && *at == labels;
        }
        j->group_of[i] = at ? *at : QS_NO_CLUSTER;
    }
    ok = ok && (count = talloc_zero_array(scratch, uint32_t, labels + 1)) &&
         (number = talloc_array(scratch, uint32_t, labels + 1));
    for (uint32_t i = 0; ok && i < n; i++)
        if (j->group_of[i] != QS_NO_CLUSTER)
            count[j->group_of[i]]++;
    for (uint32_t l = 0; ok && l < labels; l++)
        number[l] = count[l] > 1 ? j->group_count++ : QS_NO_CLUSTER;
    ok = ok && (p->group = talloc_zero_array(p, struct group_work, j->group_count + 1)) &&
         (j->group = talloc_zero_array(j, struct qs_group, j->group_count + 1));
    for (uint32_t i = 0; ok && i < n; i++) {
        if (j->group_of[i] == QS_NO_CLUSTER)
            continue;
        j->group_of[i] = number[j->group_of[i]];
        if (j->group_of[i] != QS_NO_CLUSTER)
            p->group[j->group_of[i]].label = label_of(&p->work, i);
    }
    talloc_free(scratch);
    return ok;
}

/* Of two messages the one that a person would take for the first: the older, then by queue ID. */
static bool is_before(const struct qs_scan *scan, uint32_t a, uint32_t b)
{
    const struct qs_message *x = &scan->messages[a], *y = &scan->messages[b];
    if (x->arrival != y->arrival)
        return x->arrival < y->arrival;
    return strcmp(x->id, y->id) < 0;
}

/* A name from the three (bin, value) features that most members share, so that it stays while the queue moves. */
static uint64_t feature_digest(const struct qs_work *w, const uint32_t *member, uint32_t count)
{
    enum { VALUES = QS_SKETCH_BINS * 256, FEATURES = 3 };
    uint32_t *tally = talloc_zero_array(NULL, uint32_t, VALUES), best[FEATURES] = {0};
    uint64_t one_in = count / NAMED_FROM + 1, least[FEATURES] = {0}, digest = 0;
    for (uint32_t i = 0; tally && i < count; i++) {
        if (one_in > 1 && qs_mix64(w->scan->messages[member[i]].digest) % one_in)
            continue;
        const struct qs_fingerprint *text = qs_campaign_text(w->scan, w->fact, member[i]);
        for (unsigned b = 0; text->shingles && b < QS_SKETCH_BINS; b++)
            tally[b * 256 + text->sketch.bin[b]]++;
    }
    for (uint32_t v = 0; tally && v < VALUES; v++) {
        uint64_t key = qs_mix64(v + 1);
        unsigned at = FEATURES;
        while (at > 0 && tally[v] && (tally[v] > best[at - 1] || (tally[v] == best[at - 1] && key < least[at - 1])))
            at--;
        for (unsigned k = FEATURES - 1; at < FEATURES && k > at; k--) {
            best[k] = best[k - 1];
            least[k] = least[k - 1];
        }
        if (at < FEATURES) {
            best[at] = tally[v];
            least[at] = key;
        }
    }
    for (unsigned k = 0; k < FEATURES; k++)
        digest ^= best[k] ? least[k] : 0;
    talloc_free(tally);
    return digest;
}

/* What the group's name is made of. A flood at one address is named by that, another by the campaign that it returns; an
 * account by itself. */
static uint64_t name_digest(const struct qs_judgement *j, uint32_t g)
{
    const struct qs_work *w = &j->work->work;
    const struct qs_group *group = &j->group[g];
    const uint32_t *member = j->member + group->first;
    uint32_t kind = j->work->group[g].label % GROUP_KINDS;
    uint64_t digest = 0;
    if (kind == OF_FLOOD && j->work->group[g].crowd.victims == 1)
        digest = qs_name_digest(qs_sym_span(w->scan->strings, qs_first_recipient(&w->scan->messages[member[0]])));
    if (kind == OF_ACCOUNT)
        digest = qs_name_digest(qs_sym_span(w->scan->strings, w->scan->messages[member[0]].sasl_username));
    if (!digest && (kind == OF_FLOOD || kind == OF_CAMPAIGN))
        digest = feature_digest(w, member, group->count);
    if (!digest)
        digest = w->scan->messages[group->sample].digest;
    return qs_mix64(digest + kind);
}

static void name_group(struct qs_judgement *j, uint32_t g)
{
    const struct qs_work *w = &j->work->work;
    struct qs_group *group = &j->group[g];
    uint32_t label = j->work->group[g].label, kind = label % GROUP_KINDS;
    if (kind == OF_CLUSTER || kind == OF_VOUCHED) {
        const struct qs_cluster *cluster = &w->clusters->item[label / GROUP_KINDS];
        bool first = kind == OF_VOUCHED ? group->count * 2 > cluster->count : group->count * 2 >= cluster->count;
        if (first) {
            memcpy(group->name, cluster->name, sizeof group->name);
            return;
        }
    }
    snprintf(group->name, sizeof group->name, "C-%08x", (unsigned)(name_digest(j, g) >> 32));
}

/* Equal names (rare: 32 bits) are told apart by their samples' queue IDs. */
static bool part_names(struct qs_judgement *j)
{
    struct qs_table *names = qs_table_new(NULL, j->group_count);
    bool ok = names != NULL;
    for (uint32_t g = 0; ok && g < j->group_count; g++) {
        struct qs_group *group = &j->group[g];
        uint32_t *at = qs_table_at(names, qs_name_digest(qs_span_of(group->name)), g);
        ok = at != NULL;
        if (ok && *at != g) {
            uint64_t digest = qs_name_digest(qs_span_of(j->work->work.scan->messages[group->sample].id));
            snprintf(group->name, sizeof group->name, "C-%08x", (unsigned)(qs_mix64(digest) >> 32));
        }
    }
    talloc_free(names);
    return ok;
}

struct rank {
    uint32_t count, old;
    const char *name;
    const char *sample;
};

static int by_size(const void *a, const void *b)
{
    const struct rank *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    int names = strcmp(x->name, y->name);
    return names ? names : strcmp(x->sample, y->sample);
}

/* Largest first, then by name. */
static bool sort_groups(struct qs_judgement *j)
{
    struct qs_judge *p = j->work;
    TALLOC_CTX *scratch = talloc_new(NULL);
    uint32_t n = j->group_count;
    struct rank *rank = talloc_array(scratch, struct rank, n + 1);
    uint32_t *place = talloc_array(scratch, uint32_t, n + 1);
    struct qs_group *group = talloc_array(j, struct qs_group, n + 1);
    struct group_work *work = talloc_array(p, struct group_work, n + 1);
    bool ok = rank && place && group && work;
    for (uint32_t g = 0; ok && g < n; g++)
        rank[g] = (struct rank){j->group[g].count, g, j->group[g].name, p->work.scan->messages[j->group[g].sample].id};
    if (ok)
        qsort(rank, n, sizeof *rank, by_size);
    for (uint32_t g = 0; ok && g < n; g++) {
        group[g] = j->group[rank[g].old];
        work[g] = p->group[rank[g].old];
        place[rank[g].old] = g;
    }
    for (uint32_t i = 0; ok && i < p->work.scan->count; i++)
        if (j->group_of[i] != QS_NO_CLUSTER)
            j->group_of[i] = place[j->group_of[i]];
    if (ok) {
        talloc_free(j->group);
        talloc_free(p->group);
        j->group = group;
        p->group = work;
    }
    talloc_free(scratch);
    return ok;
}

static void weigh_group(const struct qs_work *w, const struct qs_crowd *crowd, bool notices, struct qs_sum *sum)
{
    if (notices)
        qs_weigh_notices(w, crowd, sum);
    else
        qs_weigh_crowd(w, crowd, sum);
}

static enum qs_verdict verdict_of(const struct qs_sum *sum, bool notice, bool alone)
{
    if (convicts(sum) && !alone)
        return notice ? QS_BACKSCATTER : QS_STORM;
    return sum->score <= legit ? QS_LEGIT : QS_UNSURE;
}

unsigned qs_marks_of(const struct qs_judgement *j, uint32_t message)
{
    uint32_t bits = j->work->work.fact[message].bits;
    return (bits & QS_F_BYPASS ? 1u << QS_MARK_BYPASS : 0) | (bits & QS_F_TO_HOST ? 1u << QS_MARK_HOST_NAME : 0);
}

/* What hangs on its members alone: may be done for several groups at once. */
static bool measure_group(const struct qs_judgement *j, struct qs_census *census, uint32_t g)
{
    const struct qs_judge *p = j->work;
    struct qs_group *group = &j->group[g];
    const uint32_t *member = j->member + group->first;
    if (!qs_measure(&p->work, census, member, group->count, &p->group[g].crowd))
        return false;
    group->sample = member[0];
    for (uint32_t k = 1; k < group->count; k++)
        if (is_before(p->work.scan, member[k], group->sample))
            group->sample = member[k];
    for (uint32_t k = 0; k < group->count; k++)
        for (unsigned mark = 0; mark < QS_MARKS; mark++)
            group->marked[mark] += qs_marks_of(j, member[k]) >> mark & 1;
    return true;
}

struct measuring {
    const struct qs_judgement *judgement;
    atomic_bool failed;
};

static void measure_some(void *data, unsigned thread, uint32_t begin, uint32_t end)
{
    struct measuring *m = data;
    for (uint32_t g = begin; g < end; g++)
        if (!measure_group(m->judgement, m->judgement->work->work.census[thread], g))
            atomic_store(&m->failed, true);
}

static bool describe_group(struct qs_judgement *j, uint32_t g)
{
    struct qs_judge *p = j->work;
    struct qs_group *group = &j->group[g];
    struct qs_crowd *c = &p->group[g].crowd;
    const uint32_t *member = j->member + group->first;
    bool notices = is_notice(&p->work, member[0]);
    if (p->group[g].label % GROUP_KINDS == OF_CAMPAIGN)
        add_bounced(&p->work, p->group[g].label / GROUP_KINDS, c);
    group->senders = c->senders;
    group->clients = c->clients;
    group->recipients = c->recipients;
    group->oldest = c->oldest;
    group->newest = c->newest;
    group->bytes = c->bytes;
    weigh_group(&p->work, c, notices, &p->group[g].sum);
    group->score = (float)p->group[g].sum.score;
    group->verdict = (uint8_t)verdict_of(&p->group[g].sum, notices, false);
    group->cause = (uint8_t)qs_cause_of(&p->work, c, group->sample, (enum qs_verdict)group->verdict);
    name_group(j, g);
    return qs_culprit_of(j, &p->work, c, member, group->count, &group->culprit);
}

static bool make_groups(struct qs_judgement *j)
{
    uint32_t *start, n = j->work->work.scan->count;
    if (!number_groups(j))
        return false;
    TALLOC_FREE(j->work->work.account);         /* the groups have taken them up; that is 8 bytes a message */
    TALLOC_FREE(j->work->work.notices->wave);
    if (!qs_sort_by(j, j->group_of, n, j->group_count, &start, &j->member))
        return false;
    for (uint32_t g = 0; g < j->group_count; g++) {
        j->group[g].first = start[g];
        j->group[g].count = start[g + 1] - start[g];
    }
    talloc_free(start);
    struct measuring measuring = {.judgement = j};
    qs_parallel(j->work->work.scan->options.threads, j->group_count, 1, measure_some, &measuring);
    if (atomic_load(&measuring.failed))
        return false;
    for (uint32_t g = 0; g < j->group_count; g++)
        if (!describe_group(j, g))
            return false;
    return part_names(j) && sort_groups(j);
}

/* --- messages -------------------------------------------------------------------------------------------------------- */

/* The message's sum; with sum->parent set, in words. *crowd is its group's, or its own when it stands alone. */
static bool weigh_one(const struct qs_judgement *j, struct qs_census *census, uint32_t i, struct qs_sum *sum,
                      struct qs_crowd *crowd)
{
    const struct qs_judge *p = j->work;
    uint32_t g = j->group_of[i];
    bool notice = is_notice(&p->work, i);
    if (g == QS_NO_CLUSTER && !qs_measure(&p->work, census, &i, 1, crowd))
        return false;
    if (g == QS_NO_CLUSTER && in_bad_campaign(&p->work, i))
        add_bounced(&p->work, p->work.campaigns->of[i], crowd);
    if (g != QS_NO_CLUSTER)
        *crowd = p->group[g].crowd;
    if (g != QS_NO_CLUSTER && !sum->parent)
        *sum = p->group[g].sum;
    else
        weigh_group(&p->work, crowd, notice, sum);
    if (notice)
        qs_weigh_notice(&p->work, crowd, i, sum);
    else
        qs_weigh_message(&p->work, crowd, i, sum);
    return true;
}

static void judge_some(void *data, unsigned thread, uint32_t begin, uint32_t end)
{
    struct measuring *m = data;
    const struct qs_judgement *j = m->judgement;
    const struct qs_work *w = &j->work->work;
    struct qs_crowd crowd;
    for (uint32_t i = begin; i < end; i++) {
        struct qs_sum sum = {0};
        if (!weigh_one(j, w->census[thread], i, &sum, &crowd)) {
            atomic_store(&m->failed, true);
            return;
        }
        bool alone = j->group_of[i] == QS_NO_CLUSTER && !in_bad_campaign(w, i) &&
                     !(w->fact[i].bits & (QS_F_RETURNS_STORM | QS_F_HONEYPOT | QS_F_LIKE_BAD));
        enum qs_verdict v = verdict_of(&sum, is_notice(w, i), alone);
        j->of[i] = (struct qs_finding){(uint8_t)v, (uint8_t)qs_cause_of(w, &crowd, i, v), (float)sum.score};
    }
}

static bool judge_messages(struct qs_judgement *j)
{
    enum { GRAIN = 1024 };
    const struct qs_scan *scan = j->work->work.scan;
    struct measuring measuring = {.judgement = j};
    qs_parallel(scan->options.threads, scan->count, GRAIN, judge_some, &measuring);
    for (uint32_t i = 0; i < scan->count; i++) {
        j->total[j->of[i].verdict]++;
        j->bytes[j->of[i].verdict] += scan->messages[i].size;
    }
    return !atomic_load(&measuring.failed);
}

/* Counters for each thread, small: those of before may have grown with the largest group. */
static bool renew_census(struct qs_judge *p)
{
    struct qs_work *w = &p->work;
    unsigned threads = qs_thread_count(w->scan->options.threads);
    talloc_free(w->census);
    w->census = talloc_array(p, struct qs_census *, threads);
    for (unsigned t = 0; w->census && t < threads; t++)
        if (!(w->census[t] = qs_census_new(w->census)))
            return false;
    return w->census != NULL;
}

static bool judge_all(struct qs_judgement *j, const struct qs_site *site)
{
    struct qs_judge *p = j->work;
    struct qs_work *w = &p->work;
    uint32_t n = w->scan->count ? w->scan->count : 1;
    if (!renew_census(p) || !(w->known = qs_know_site(p, w->scan, site)))
        return false;
    j->site = w->known->site;
    if (!(w->fact = qs_make_facts(p, w->scan, w->known)) ||
        !(w->campaigns = qs_find_campaigns(p, w->scan, w->clusters, w->fact)) ||
        !(w->bad = talloc_zero_array(p, uint8_t, w->campaigns->count + 1)) ||
        !(w->bounced = talloc_zero_array(p, struct qs_bounced, w->campaigns->count + 1)) || !count_bounced(w) ||
        !(w->vouched_orgs = talloc_zero_array(p, uint32_t, w->clusters->count + 1)) || !count_vouched(w) ||
        !qs_find_shared(w->scan, w->campaigns, w->fact) || !learn_usual_volume(w))
        return false;
    learn_usual_dubious(w);
    if (!judge_campaigns(w))
        return false;
    qs_adopt_stragglers(w->campaigns, w->scan, w->fact, w->bad);
    return judge_accounts(w) && (w->notices = qs_join_notices(p, w->scan, w->fact, w->campaigns, w->bad)) &&
           (j->group_of = talloc_array(j, uint32_t, n)) && make_groups(j) && renew_census(p) &&
           (j->of = talloc_zero_array(j, struct qs_finding, n)) && judge_messages(j);
}

enum qs_status qs_judge(TALLOC_CTX *parent, const struct qs_scan *scan, const struct qs_clusters *clusters,
                        const struct qs_site *site, int64_t now, struct qs_judgement **out, struct qs_error *err)
{
    (void)now;
    struct qs_judgement *j = talloc_zero(NULL, struct qs_judgement);
    struct qs_judge *p = j ? talloc_zero(j, struct qs_judge) : NULL;
    if (p) {
        j->work = p;
        p->work.scan = scan;
        p->work.clusters = clusters;
        if (judge_all(j, site)) {
            *out = talloc_steal(parent, j);
            return QS_OK;
        }
    }
    talloc_free(j);
    return qs_fail(err, QS_NOMEM, "out of memory");
}

/* --- why ------------------------------------------------------------------------------------------------------------- */

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
    struct qs_crowd crowd;
    struct qs_sum sum = {.parent = talloc_new(NULL)};
    bool ok = sum.parent && weigh_one(j, j->work->work.census[0], message, &sum, &crowd);
    return hand_over(parent, &sum, ok, list, count, err);
}

enum qs_status qs_explain_group(TALLOC_CTX *parent, const struct qs_judgement *j, uint32_t group,
                                struct qs_evidence **list, size_t *count, struct qs_error *err)
{
    const struct qs_work *w = &j->work->work;
    struct qs_sum sum = {.parent = talloc_new(NULL)};
    if (sum.parent)
        weigh_group(w, &j->work->group[group].crowd, is_notice(w, j->member[j->group[group].first]), &sum);
    return hand_over(parent, &sum, sum.parent != NULL, list, count, err);
}
