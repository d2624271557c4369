/* SPDX-License-Identifier: Apache-2.0 */
/* What the admin told: addresses that nobody may write to, senders that are good, samples of good and of bad mail; and who
 * exists here, by the mail server. Marks the messages that it applies to; what that weighs stands in evidence.c. */
#include "judge.h"

enum { RECIPIENTS_LOOKED_AT = 1000 };

static bool to_honeypot(const struct qs_scan *scan, const struct qs_known *known, const struct qs_message *m)
{
    for (uint32_t r = 0; r < m->recipient_count && r < RECIPIENTS_LOOKED_AT; r++)
        if (qs_table_get(known->honeypots, qs_name_digest(qs_sym_span(scan->strings, m->recipients[r].address)), 0))
            return true;
    return false;
}

/* Whoever forges a sender comes from anywhere: a good one comes from inside, from his own server, or from a host that
 * somebody named on purpose. */
static bool is_good(const struct qs_scan *scan, const struct qs_known *known, const struct qs_message *m,
                    const struct qs_fact *f)
{
    struct qs_span sender = qs_sym_span(scan->strings, m->sender), domain = qs_domain_of(sender);
    if (!sender.len || (!(f->bits & (QS_F_INSIDE | QS_F_VOUCHED)) &&
                        f->bits & (QS_F_NO_NAME | QS_F_GENERIC | QS_F_BAD_HELO | QS_F_OWN_SENDER)))
        return false;
    if (qs_table_get(known->good, qs_name_digest(sender), 0))
        return true;
    return domain.len && qs_table_get(known->good, qs_name_digest((struct qs_span){domain.ptr - 1, domain.len + 1}), 0);
}

struct directory {
    bool (*nobody)(void *data, struct qs_span address);
    void *data;
    struct qs_table *answer;        /* of each address asked about, by symbol: 1 nobody's, 2 somebody's */
};

/* Are there addresses of ours among the recipients, and none that somebody has? False: out of memory. */
static bool ask(struct directory *d, const struct qs_scan *scan, const struct qs_known *known, const struct qs_message *m,
                bool *to_nobody)
{
    bool some = false, all = true;
    for (uint32_t r = 0; all && r < m->recipient_count && r < RECIPIENTS_LOOKED_AT; r++) {
        qs_sym address = m->recipients[r].address;
        struct qs_span text = qs_sym_span(scan->strings, address), domain = qs_domain_of(text);
        if (!domain.len || !qs_is_own_domain(known, domain))
            continue;
        uint32_t *answer = qs_table_at(d->answer, address, 0);
        if (!answer)
            return false;
        if (!*answer)
            *answer = d->nobody(d->data, text) ? 1 : 2;
        all = *answer == 1;
        some = true;
    }
    *to_nobody = some && all;
    return true;
}

static bool mark_nobody(const struct qs_scan *scan, const struct qs_known *known, struct qs_fact *fact)
{
    struct directory d = {.nobody = known->site->nobody, .data = known->site->nobody_data};
    if (!d.nobody)
        return true;
    bool ok = (d.answer = qs_table_new(NULL, 1024)) != NULL;
    for (uint32_t i = 0; ok && i < scan->count; i++) {
        bool to_nobody = false;
        ok = ask(&d, scan, known, &scan->messages[i], &to_nobody);
        if (to_nobody)
            fact[i].bits |= QS_F_TO_NOBODY;
    }
    talloc_free(d.answer);
    return ok;
}

bool qs_mark_given(const struct qs_scan *scan, const struct qs_known *known, struct qs_fact *fact)
{
    bool honeypots = qs_table_count(known->honeypots), good = qs_table_count(known->good);
    for (uint32_t i = 0; (honeypots || good || scan->sample_count) && i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        if (honeypots && to_honeypot(scan, known, m))
            fact[i].bits |= QS_F_HONEYPOT;
        if (good && is_good(scan, known, m, &fact[i]))
            fact[i].bits |= QS_F_GOOD;
        const struct qs_fingerprint *text = qs_campaign_text(scan, fact, i);
        for (size_t s = 0; s < scan->sample_count; s++)
            if (qs_same_text(&scan->samples[s].print, text))
                fact[i].bits |= scan->samples[s].good ? QS_F_LIKE_GOOD : QS_F_LIKE_BAD;
    }
    return mark_nobody(scan, known, fact);
}
