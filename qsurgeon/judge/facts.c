/* SPDX-License-Identifier: Apache-2.0 */
/* What each message shows by itself, seen with the knowledge of the site: who handed it over, whether its sender is
 * vouched for by something hard to forge, and, for a notice, whether the message it returns ever passed this host.
 * No judgement. */
#include <string.h>

#include "judge.h"
#include "qsurgeon/dns.h"
#include "qsurgeon/fingerprint.h"
#include "qsurgeon/parallel.h"

enum { RECIPIENTS_LOOKED_AT = 64, SUBJECT_LOOKED_AT = 300 };

struct qs_span qs_domain_of(struct qs_span address)
{
    const char *at = address.len ? memrchr(address.ptr, '@', address.len) : NULL;
    if (!at)
        return (struct qs_span){NULL, 0};
    return (struct qs_span){at + 1, address.len - (size_t)(at + 1 - address.ptr)};
}

qs_sym qs_first_recipient(const struct qs_message *m)
{
    return m->recipient_count ? m->recipients[0].address : 0;
}

static uint32_t fold32(uint64_t x)
{
    uint32_t digest = (uint32_t)(x ^ x >> 32);
    return digest ? digest : 1;
}

static uint32_t digest_of(struct qs_span text, unsigned kind)
{
    return fold32(qs_mix64(qs_name_digest(text) + kind));
}

/* --- subjects -------------------------------------------------------------------------------------------------------- */

static bool is_letter(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

static bool is_reply_word(const char *word, size_t len)
{
    static const char *const words[] = {"re", "fw", "fwd", "aw", "wg", "sv", "vs", "tr", "rv"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == len && strncasecmp(words[i], word, len) == 0)
            return true;
    return false;
}

void qs_subject_words(struct qs_span s, void (*each)(void *data, struct qs_span word), void *data)
{
    unsigned depth = 0, words = 0;
    size_t end = s.len < SUBJECT_LOOKED_AT ? s.len : SUBJECT_LOOKED_AT;
    for (size_t i = 0; i < end;) {
        char c = s.ptr[i];
        if (c == '[' || c == '(' || c == ']' || c == ')') {
            depth = c == '[' || c == '(';
            i++;
            continue;
        }
        size_t start = i, stop = i;
        bool pure = true;
        while (stop < end && s.ptr[stop] != ' ' && s.ptr[stop] != '@')
            stop++;
        if (stop < end && s.ptr[stop] == '@') {         /* an address: no words */
            while (stop < end && s.ptr[stop] != ' ')
                stop++;
            i = stop;
            continue;
        }
        while (i < end && (is_letter((unsigned char)s.ptr[i]) || (s.ptr[i] >= '0' && s.ptr[i] <= '9')))
            pure = is_letter((unsigned char)s.ptr[i++]) && pure;
        if (i == start) {
            i++;
            continue;
        }
        if (depth || !pure || (i < end && s.ptr[i] == ':' && words == 0 && is_reply_word(s.ptr + start, i - start)))
            continue;
        each(data, (struct qs_span){s.ptr + start, i - start});
        words++;
    }
}

struct subject {
    uint64_t hash;
    size_t words, letters;
};

static void add_word(void *data, struct qs_span word)
{
    struct subject *s = data;
    s->hash = qs_mix64(s->hash ^ qs_name_digest(word));
    s->words++;
    s->letters += word.len;
}

uint32_t qs_subject_digest(struct qs_span subject)
{
    struct subject s = {0, 0, 0};
    qs_subject_words(subject, add_word, &s);
    return s.words >= 2 && s.letters >= 8 ? fold32(s.hash) : 0;
}

/* --- notices --------------------------------------------------------------------------------------------------------- */

/* Mail with a null sender is a notice when it returns a message or comes from a proper host. From elsewhere the form alone
 * proves nothing: see resolve_doubtful(). */
static bool is_doubtful(const struct qs_message *m, const struct qs_fact *f)
{
    return !m->sender && !m->returned && f->bits & (QS_F_GENERIC | QS_F_NO_NAME);
}

static bool is_notice(const struct qs_message *m, const struct qs_fact *f)
{
    uint32_t t = m->traits;
    if (!m->sender)
        return !is_doubtful(m, f);
    bool daemon = (t & (QS_T_FROM_DAEMON | QS_T_BOUNCE_SUBJECT)) != 0;
    return (t & QS_T_AUTO_REPLIED) || ((t & QS_T_DELIVERY_REPORT) && daemon) ||
           ((t & QS_T_RETURNED) && (t & QS_T_FROM_DAEMON) && (t & QS_T_BOUNCE_SUBJECT)) ||
           ((t & QS_T_CHALLENGE) && (t & QS_T_AUTO_SUBMITTED)) || ((t & QS_T_VIRUS_NOTICE) && (t & QS_T_FROM_DAEMON));
}

static bool is_own_client(const struct qs_known *known, const struct qs_scan *scan, qs_sym client)
{
    struct qs_network address;
    return qs_read_address(qs_sym_str(scan->strings, client), &address) && qs_is_own_address(known, &address);
}

/* The newest of its hops that was ours, or QS_BY_KEPT. */
static unsigned own_hop(const struct qs_known *known, const struct qs_scan *scan, const struct qs_returned *r)
{
    for (unsigned k = 0; k < r->hops; k++)
        if (qs_is_own_host(known, qs_sym_span(scan->strings, r->hop[k].by)))
            return k;
    return QS_BY_KEPT;
}

/* The newest hop that tells a client's address, or QS_BY_KEPT. */
static unsigned first_hop(const struct qs_known *known, const struct qs_scan *scan, const struct qs_returned *r)
{
    for (unsigned k = 0; k < r->hops; k++)
        if (r->hop[k].client && !is_own_client(known, scan, r->hop[k].client))
            return k;
    return QS_BY_KEPT;
}

uint32_t qs_sender_of(const struct qs_scan *scan, const struct qs_fact *fact, uint32_t message)
{
    uint32_t bits = fact[message].bits;
    return bits & (QS_F_NOTICE | QS_F_INSIDE) ? fact[message].origin : scan->messages[message].client_address;
}

/* How other hosts see us. When a message of ours was bounced elsewhere, the hop after ours tells our address; a sender who
 * forges a field in our name cannot make the next host write our address, but writes his own: many different ones. So the
 * addresses that come far more often than the others are ours; while there are few, all are taken. */
static bool learn_outside(struct qs_known *known, const struct qs_scan *scan)
{
    enum { FEW = 3, OFTEN = 3 };
    struct qs_table *seen = qs_table_new(NULL, 64);
    uint64_t all = 0;
    bool ok = seen != NULL;
    for (uint32_t i = 0; ok && i < scan->count; i++) {
        const struct qs_returned *r = scan->messages[i].returned;
        unsigned own = r ? own_hop(known, scan, r) : QS_BY_KEPT;
        if (own == QS_BY_KEPT || own == 0 || !r->hop[own - 1].client)
            continue;
        uint32_t *count = qs_table_at(seen, r->hop[own - 1].client, 0);
        ok = count != NULL;
        if (ok) {
            (*count)++;
            all++;
        }
    }
    uint32_t at = 0, count, kinds = ok ? qs_table_count(seen) : 0;
    uint64_t address;
    while (ok && qs_table_next(seen, &at, &address, &count))
        if (kinds <= FEW || (uint64_t)count * kinds >= OFTEN * all)
            ok = qs_table_at(known->outside, address, 1) != NULL;
    talloc_free(seen);
    return ok;
}

static bool is_beneath(struct qs_span name, struct qs_span domain)
{
    return domain.len >= 4 && memchr(domain.ptr, '.', domain.len) && name.len >= domain.len &&
           strncasecmp(name.ptr + name.len - domain.len, domain.ptr, domain.len) == 0 &&
           (name.len == domain.len || name.ptr[name.len - domain.len - 1] == '.');
}

static bool same_organisation(struct qs_span name, struct qs_span domain)
{
    return domain.len && (is_beneath(name, domain) || qs_host_hash(name) == qs_host_hash(domain));
}

/* A name that somebody chose for this host. */
static bool is_proper_name(struct qs_span name, const char *address)
{
    struct qs_network a;
    return name.len && memchr(name.ptr, '.', name.len) && *name.ptr != '[' &&
           !qs_name_is_generic(name, qs_read_address(address, &a) ? &a : NULL);
}

/* What the Received fields of the returned message tell. */
static void trace(const struct qs_known *known, const struct qs_scan *scan, const struct qs_message *m, struct qs_fact *f)
{
    const struct qs_returned *r = m->returned;
    f->origin = 0;
    if (!r->hops)
        return;
    f->bits |= QS_F_RETURNS;
    unsigned own = own_hop(known, scan, r), hop = own < QS_BY_KEPT ? own : first_hop(known, scan, r);
    qs_sym next = own > 0 && own < QS_BY_KEPT ? r->hop[own - 1].client : 0;
    bool forged = next && !qs_table_get(known->outside, next, 0) && !is_own_client(known, scan, next);
    bool inside = own < QS_BY_KEPT && !forged && (!r->hop[own].client || is_own_client(known, scan, r->hop[own].client));
    struct qs_span name = hop < QS_BY_KEPT ? qs_sym_span(scan->strings, r->hop[hop].name) : (struct qs_span){NULL, 0};
    bool proper = hop < QS_BY_KEPT && is_proper_name(name, qs_sym_str(scan->strings, r->hop[hop].client));
    if (forged)
        f->bits |= QS_F_FALSE_TRACE;
    else if (own < QS_BY_KEPT)
        f->bits |= QS_F_PASSED;
    if (inside) {
        f->bits |= QS_F_FROM_US;
        return;
    }
    f->origin = hop < QS_BY_KEPT ? r->hop[hop].client : 0;
    if (hop < QS_BY_KEPT && !proper && !known->names_missing)
        f->bits |= QS_F_RETURNS_DUBIOUS;
    if (f->bits & QS_F_PASSED && proper &&
        same_organisation(name, qs_domain_of(qs_sym_span(scan->strings, qs_first_recipient(m)))))
        f->bits |= QS_F_GENUINE;
}

/* --- all messages ---------------------------------------------------------------------------------------------------- */

static bool bad_helo(const struct qs_known *known, struct qs_span helo)
{
    if (!helo.len)
        return false;
    if (*helo.ptr == '[' || !memchr(helo.ptr, '.', helo.len) || qs_is_own_host(known, helo) ||
        qs_is_own_domain(known, helo))
        return true;
    for (size_t i = 0; i < helo.len; i++)
        if (!(helo.ptr[i] == '.' || (helo.ptr[i] >= '0' && helo.ptr[i] <= '9')))
            return qs_span_is_nocase(helo, "localhost.localdomain");
    return true;
}

static uint32_t recipient_bits(const struct qs_known *known, const struct qs_scan *scan, const struct qs_message *m)
{
    uint32_t bits = 0;
    for (uint32_t r = 0; r < m->recipient_count && r < RECIPIENTS_LOOKED_AT; r++) {
        struct qs_span domain = qs_domain_of(qs_sym_span(scan->strings, m->recipients[r].address));
        if (!domain.len || qs_is_own_domain(known, domain))
            bits |= QS_F_TO_OWN | (qs_is_own_host(known, domain) ? QS_F_TO_HOST : 0);
        else
            bits |= QS_F_TO_OTHERS;
    }
    return bits;
}

/* Their mail comes back to this host, and nobody else would take it. */
static bool is_to_loopback(const struct qs_known *known, const struct qs_scan *scan, const struct qs_message *m)
{
    uint32_t waiting = 0;
    for (uint32_t r = 0; known->site->dns && r < m->recipient_count && r < RECIPIENTS_LOOKED_AT; r++) {
        if (m->recipients[r].state != QS_RCPT_TODO)
            continue;
        enum qs_mx mx = qs_dns_of(known->site->dns, qs_sym_span(scan->strings, m->recipients[r].address));
        if (mx != QS_MX_LOOPBACK && mx != QS_MX_SELF)
            return false;
        waiting++;
    }
    return waiting > 0;
}

/* Did the mail come in from a stranger, to this host or to one of ours that handed it on, where only the filter should? */
static bool is_bypass(const struct qs_known *known, const struct qs_scan *scan, const struct qs_message *m,
                      const struct qs_network *client)
{
    struct qs_network first;
    if (!qs_border_guarded(known->border) || qs_border_trusts(known->border, client))
        return false;
    if (!qs_is_own_address(known, client))
        return true;
    return qs_read_address(qs_sym_str(scan->strings, m->last_client), &first) && !qs_is_own_address(known, &first) &&
           !qs_border_trusts(known->border, &first);
}

static void client_facts(const struct qs_known *known, const struct qs_scan *scan, const struct qs_message *m,
                         struct qs_fact *f)
{
    struct qs_span text = qs_sym_span(scan->strings, m->client_address), name = qs_sym_span(scan->strings, m->client_name);
    struct qs_network address;
    bool valid = text.len && qs_read_address(text.ptr, &address), proper = false;
    if (m->sasl_username)
        f->bits |= QS_F_AUTH;
    if (m->local_uid >= 0 || (m->flags & QS_ENV_LOCAL) || !text.len)
        f->bits |= QS_F_LOCAL;
    if (!name.len || qs_span_is(name, "unknown") || *name.ptr == '[')
        name.len = 0;
    else if (qs_name_is_generic(name, valid ? &address : NULL))
        f->bits |= QS_F_GENERIC;
    else
        proper = true;
    if (text.len && ((valid && qs_is_own_address(known, &address)) || (proper && qs_is_own_name(known, name))))
        f->bits |= QS_F_OWN_CLIENT;
    else if (text.len && !name.len && !known->names_missing)
        f->bits |= QS_F_NO_NAME;
    f->net = valid ? qs_net_digest(&address) : digest_of(text, 5);
    f->source = proper ? qs_host_hash(name) : f->net;
    if (valid && !(f->bits & (QS_F_AUTH | QS_F_LOCAL)) && is_bypass(known, scan, m, &address))
        f->bits |= QS_F_BYPASS;
    if (f->bits & QS_F_INSIDE)
        return;
    if (proper && (same_organisation(name, qs_domain_of(qs_sym_span(scan->strings, m->sender))) ||
                   same_organisation(name, qs_domain_of(qs_sym_span(scan->strings, m->from)))))
        f->bits |= QS_F_MATCH;
    if (bad_helo(known, qs_sym_span(scan->strings, m->helo)))
        f->bits |= QS_F_BAD_HELO;
}

static uint32_t origin_of(const struct qs_scan *scan, const struct qs_message *m, const struct qs_fact *f)
{
    if (m->sasl_username)
        return digest_of(qs_sym_span(scan->strings, m->sasl_username), 1);
    if (m->script || m->local_uid >= 0)
        return fold32(qs_mix64((uint64_t)(uint32_t)m->local_uid << 32 | digest_of(qs_sym_span(scan->strings, m->script), 2)));
    if (f->bits & QS_F_INSIDE)
        return digest_of(qs_sym_span(scan->strings, m->client_address), 3);
    return 0;
}

static void set_notice(struct qs_fact *f)
{
    f->origin = 0;
    f->bits |= QS_F_NOTICE;
    if (f->bits & QS_F_INSIDE && !(f->bits & QS_F_AUTH))
        f->bits |= QS_F_MADE_HERE;
}

static void fill(const struct qs_known *known, const struct qs_scan *scan, const struct qs_message *m, struct qs_fact *f)
{
    struct qs_span sender = qs_sym_span(scan->strings, m->sender), domain = qs_domain_of(sender);
    *f = (struct qs_fact){0};
    if (sender.len)
        f->sender_org = domain.len ? qs_host_hash(domain) : digest_of(sender, 4);
    if (domain.len && qs_is_own_domain(known, domain))
        f->bits |= QS_F_OWN_SENDER;
    client_facts(known, scan, m, f);
    f->bits |= recipient_bits(known, scan, m);
    if (is_to_loopback(known, scan, m))
        f->bits |= QS_F_TO_LOOPBACK;
    f->origin = origin_of(scan, m, f);
    if (is_notice(m, f))
        set_notice(f);
}

/* What looks like a notice, from a client without a proper name, is one when its recipient gets others. */
static bool resolve_doubtful(const struct qs_scan *scan, struct qs_fact *fact)
{
    enum { OTHERS = 5 };
    struct qs_table *notices = qs_table_new(NULL, 256);
    bool ok = notices != NULL;
    for (uint32_t i = 0; ok && i < scan->count; i++) {
        qs_sym to = fact[i].bits & QS_F_NOTICE ? qs_first_recipient(&scan->messages[i]) : 0;
        uint32_t *n = to ? qs_table_at(notices, to, 0) : NULL;
        ok = n || !to;
        if (n)
            ++*n;
    }
    for (uint32_t i = 0; ok && i < scan->count; i++)
        if (is_doubtful(&scan->messages[i], &fact[i]) && !(fact[i].bits & QS_F_INSIDE) &&
            qs_table_get(notices, qs_first_recipient(&scan->messages[i]), 0) >= OTHERS)
            set_notice(&fact[i]);
    talloc_free(notices);
    return ok;
}

/* An organisation that sends under its own name from a network vouches for its other mail from there. */
static bool vouch_sources(const struct qs_scan *scan, struct qs_fact *fact)
{
    struct qs_table *known = qs_table_new(NULL, 1024);
    bool ok = known != NULL;
    for (uint32_t i = 0; ok && i < scan->count; i++)
        if ((fact[i].bits & QS_F_MATCH) && fact[i].sender_org)
            ok = qs_table_at(known, (uint64_t)fact[i].sender_org << 32 | fact[i].net, 1) != NULL;
    for (uint32_t i = 0; ok && i < scan->count; i++)
        if (!(fact[i].bits & (QS_F_MATCH | QS_F_INSIDE | QS_F_GENERIC)) && fact[i].sender_org &&
            qs_table_get(known, (uint64_t)fact[i].sender_org << 32 | fact[i].net, 0))
            fact[i].bits |= QS_F_SAME_SOURCE;
    talloc_free(known);
    return ok;
}

/* Organisations that send several messages, and all from one source, as botnets do not: they forge whom they like. */
static bool find_steady(const struct qs_scan *scan, struct qs_fact *fact)
{
    enum { SEVERAL = 3 };
    const uint32_t no = QS_F_INSIDE | QS_F_OWN_SENDER;
    struct qs_table *source = qs_table_new(NULL, 1024), *count = qs_table_new(NULL, 1024);
    bool ok = source && count;
    for (uint32_t i = 0; ok && i < scan->count; i++) {
        if (fact[i].bits & no || !scan->messages[i].sender)
            continue;
        uint32_t *from = qs_table_at(source, fact[i].sender_org, fact[i].source);
        uint32_t *n = qs_table_at(count, fact[i].sender_org, 0);
        ok = from && n;
        if (ok && *from != fact[i].source)
            *from = 0;              /* several sources */
        if (ok)
            ++*n;
    }
    for (uint32_t i = 0; ok && i < scan->count; i++)
        if (!(fact[i].bits & no) && scan->messages[i].sender && qs_table_get(count, fact[i].sender_org, 0) >= SEVERAL &&
            qs_table_get(source, fact[i].sender_org, 0) == fact[i].source)
            fact[i].bits |= QS_F_STEADY;
    talloc_free(source);
    talloc_free(count);
    return ok;
}

static bool has_recipient(const struct qs_message *m, qs_sym address)
{
    for (uint32_t r = 0; r < m->recipient_count && r < RECIPIENTS_LOOKED_AT; r++)
        if (m->recipients[r].address == address)
            return true;
    return false;
}

/* A reply whose other half is in the queue, between the same two people. One of the halves must come from inside or be
 * vouched for, or two messages of a stranger would vouch for each other. */
static bool vouch_threads(const struct qs_scan *scan, struct qs_fact *fact)
{
    enum { WANTED = QS_NONE - 1 };
    struct qs_table *ids = qs_table_new(NULL, 1024);        /* those that are replied to: few, so that it stays in the cache */
    const uint32_t sound = QS_F_INSIDE | QS_F_MATCH | QS_F_SAME_SOURCE;
    bool ok = ids != NULL;
    for (uint32_t i = 0; ok && i < scan->count; i++)
        ok = !scan->messages[i].in_reply_to || qs_table_at(ids, scan->messages[i].in_reply_to, WANTED);
    for (uint32_t i = 0; ok && i < scan->count; i++) {
        uint64_t id = scan->messages[i].message_id;
        uint32_t at = id ? qs_table_get(ids, id, QS_NONE) : QS_NONE;
        if (at != QS_NONE)      /* twice in the queue: neither is anybody's half */
            *qs_table_at(ids, id, WANTED) = at == WANTED ? i : QS_NONE;
    }
    for (uint32_t i = 0; ok && i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        uint32_t at = m->in_reply_to ? qs_table_get(ids, m->in_reply_to, QS_NONE) : QS_NONE;
        if (at == QS_NONE || at == WANTED || at == i || !m->sender)
            continue;
        const struct qs_message *o = &scan->messages[at];
        if (!o->sender || o->sender == m->sender || !has_recipient(m, o->sender) || !has_recipient(o, m->sender))
            continue;
        if ((fact[i].bits | fact[at].bits) & sound) {
            fact[i].bits |= QS_F_THREAD;
            fact[at].bits |= QS_F_THREAD;
        }
    }
    talloc_free(ids);
    return ok;
}

struct all {
    const struct qs_known *known;
    const struct qs_scan *scan;
    struct qs_fact *fact;
};

static void fill_some(void *data, unsigned thread, uint32_t begin, uint32_t end)
{
    const struct all *a = data;
    (void)thread;
    for (uint32_t i = begin; i < end; i++)
        fill(a->known, a->scan, &a->scan->messages[i], &a->fact[i]);
}

static void trace_some(void *data, unsigned thread, uint32_t begin, uint32_t end)
{
    const struct all *a = data;
    (void)thread;
    for (uint32_t i = begin; i < end; i++)
        if ((a->fact[i].bits & QS_F_NOTICE) && a->scan->messages[i].returned)
            trace(a->known, a->scan, &a->scan->messages[i], &a->fact[i]);
}

struct qs_fact *qs_make_facts(TALLOC_CTX *parent, const struct qs_scan *scan, struct qs_known *known)
{
    enum { GRAIN = 1024 };
    struct qs_fact *fact = talloc_array(parent, struct qs_fact, scan->count ? scan->count : 1);
    struct all all = {known, scan, fact};
    if (!fact)
        return NULL;
    qs_parallel(scan->options.threads, scan->count, GRAIN, fill_some, &all);
    bool ok = resolve_doubtful(scan, fact) && vouch_sources(scan, fact) && find_steady(scan, fact) &&
              vouch_threads(scan, fact) && learn_outside(known, scan);
    ok = ok && qs_mark_given(scan, known, fact);
    if (ok) {
        qs_parallel(scan->options.threads, scan->count, GRAIN, trace_some, &all);
        return fact;
    }
    talloc_free(fact);
    return NULL;
}
