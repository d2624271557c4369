/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts on queues made by hand: what is convicted, what is not, and what a spammer cannot buy with forged fields. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "qsurgeon/cluster.h"
#include "qsurgeon/table.h"
#include "qsurgeon/verdict.h"
#include "unit.h"

enum { NONE = -1 };

struct bench {
    struct qs_scan *scan;
    struct qs_scan_lens *lens;
    struct qs_site *site;
    struct qs_judgement *j;
    unsigned next;
};

static int setup(void **state)
{
    struct bench *b = talloc_zero(root, struct bench);
    struct qs_scan_options options = {0};
    b->scan = qs_scan_new(b, &options);
    b->lens = b->scan ? qs_scan_lens_new(b, b->scan) : NULL;
    b->site = qs_site_new(b);
    *state = b;
    return b->lens && b->site ? 0 : -1;
}

static int teardown(void **state)
{
    talloc_free(*state);
    return 0;
}

static void know_site(struct bench *b)
{
    b->site->hostname = "mx.ours.org";
    b->site->local_domains = talloc_array(b->site, char *, 1);
    b->site->local_domains[0] = talloc_strdup(b->site, "ours.org");
    b->site->local_count = 1;
    b->site->networks = talloc_array(b->site, char *, 1);
    b->site->networks[0] = talloc_strdup(b->site, "10.0.0.0/24");
    b->site->network_count = 1;
}

/* What a message is made of; what is NULL gets something harmless. */
struct letter {
    const char *sender, *to, *address, *name, *helo, *user, *script;
    const char *subject, *fields, *body;
    bool null_sender;
    int uid;
};

static uint32_t add(struct bench *b, const struct letter *l)
{
    struct qs_message *m = qs_scan_append(b->scan, 1);
    struct qs_error err;
    struct qs_recipient *to = qs_scan_recipients(b->scan, 1);
    assert_true(m && to);
    uint32_t at = (uint32_t)(m - b->scan->messages);
    const char *sender = l->null_sender ? "" : l->sender ? l->sender : "someone@elsewhere.net";
    const char *address = l->address ? l->address : l->uid ? "" : "198.51.100.20", *name = l->name ? l->name : "unknown";
    char id[32];
    snprintf(id, sizeof id, "ID%05u", b->next++);
    char *raw = talloc_asprintf(b, "Received: from %s (%s [%s])\n\tby mx.ours.org (Postfix) with ESMTP id %s\n"
                                   "From: <%s>\nTo: <%s>\nSubject: %s\nDate: Fri, 20 Nov 2026 10:00:00 +0000\n%s%s%s%s\n%s\n",
                                l->helo ? l->helo : name, name, address, id, *sender ? sender : "mailer-daemon@elsewhere.net",
                                l->to ? l->to : "reader@ours.org", l->subject ? l->subject : "a few words of subject",
                                l->script ? "X-PHP-Originating-Script: 33:" : "", l->script ? l->script : "",
                                l->script ? "\n" : "", l->fields ? l->fields : "", l->body ? l->body : "");
    m->id = qs_scan_strdup(b->scan, qs_span_of(id));
    m->arrival = 1795000000 + b->next;
    m->size = strlen(raw);
    m->sender = qs_intern(b->scan->strings, qs_span_of(sender));
    m->client_address = qs_intern(b->scan->strings, qs_span_of(address));
    m->client_name = qs_intern(b->scan->strings, qs_span_of(*address ? name : ""));
    m->helo = qs_intern(b->scan->strings, qs_span_of(l->helo ? l->helo : name));
    m->sasl_username = qs_intern(b->scan->strings, qs_span_of(l->user));
    m->local_uid = l->uid ? l->uid : NONE;
    *to = (struct qs_recipient){.address = qs_intern(b->scan->strings, qs_span_of(l->to ? l->to : "reader@ours.org"))};
    m->recipients = to;
    m->recipient_count = 1;
    assert_int_equal(qs_scan_content(b->lens, qs_span_of(raw), false, l->null_sender, m, &err), QS_OK);
    talloc_free(raw);
    return at;
}

static void judge(struct bench *b)
{
    struct qs_clusters *clusters = NULL;
    struct qs_error err = {""};
    assert_int_equal(qs_cluster(b, b->scan, &clusters, &err), QS_OK);
    assert_int_equal(qs_judge(b, b->scan, clusters, b->site, 1795001000, &b->j, &err), QS_OK);
}

/* How many of the messages from `first` to before `end` got this verdict. */
static uint32_t got(const struct bench *b, uint32_t first, uint32_t end, enum qs_verdict verdict)
{
    uint32_t n = 0;
    for (uint32_t i = first; i < end; i++)
        n += b->j->of[i].verdict == verdict;
    return n;
}

static uint64_t dice(uint64_t seed)
{
    return qs_mix64(seed * 2654435761u + 12345);
}

/* `count` words that depend on `seed` alone, behind what is in `to`. */
static char *words(char *to, size_t size, uint64_t seed, unsigned count)
{
    size_t len = strlen(to);
    for (unsigned i = 0; i < count && len + 12 < size; i++) {
        uint64_t r = dice(seed * 1000 + i);
        for (unsigned k = 0; k < 4 + r % 5; k++)
            to[len++] = (char)('a' + (r >> (8 + 5 * k)) % 26);
        to[len++] = i % 10 == 9 ? '\n' : ' ';
        to[len] = '\0';
    }
    return to;
}

static const char *print(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static const char *print(struct bench *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = talloc_vasprintf(b, format, args);
    va_end(args);
    assert_non_null(text);
    return text;
}

static void octets_of(uint64_t n, unsigned o[4])
{
    uint64_t r = dice(n);
    o[0] = 20 + (unsigned)(r % 70);
    o[1] = (unsigned)(r >> 8) % 250;
    o[2] = (unsigned)(r >> 16) % 250;
    o[3] = 1 + (unsigned)(r >> 24) % 250;
}

static const char *address_of(struct bench *b, uint64_t n)
{
    unsigned o[4];
    octets_of(n, o);
    return print(b, "%u.%u.%u.%u", o[0], o[1], o[2], o[3]);
}

/* A bot's message: forged sender, an access network's name or none, the campaign's text with noise and a link. */
static struct letter bot_letter(struct bench *b, uint64_t campaign, uint64_t n)
{
    char text[4000] = "";
    const char *address = address_of(b, campaign * 100000 + n / 2);
    unsigned o[4];
    octets_of(campaign * 100000 + n / 2, o);
    words(text, sizeof text, campaign, 70);
    words(text, sizeof text, 500000 + campaign * 1000 + n, (unsigned)(n % 40));
    return (struct letter){
        .sender = print(b, "u%llu@d%llu.net", (unsigned long long)dice(n) % 1000, (unsigned long long)dice(n + 7) % 100000),
        .to = print(b, "guess%llu@ours.org", (unsigned long long)dice(n + 3) % 5000),
        .address = address, .helo = print(b, "[%s]", address),
        .name = n % 3 ? print(b, "host-%u-%u-%u-%u.dsl.provider.net", o[0], o[1], o[2], o[3]) : NULL,
        .body = print(b, "%s\nhttp://www.shop%llu.biz/x%llu\n", text, (unsigned long long)campaign, (unsigned long long)n),
    };
}

static uint32_t add_campaign(struct bench *b, uint64_t campaign, unsigned count, const char *fields)
{
    uint32_t first = b->scan->count;
    for (unsigned n = 0; n < count; n++) {
        struct letter l = bot_letter(b, campaign, n);
        l.fields = fields;
        add(b, &l);
    }
    return first;
}

/* Letters of people: every one with a text of its own, from its sender's own server. */
static uint32_t add_people(struct bench *b, unsigned count)
{
    uint32_t first = b->scan->count;
    for (unsigned n = 0; n < count; n++) {
        char text[3000] = "";
        struct letter l = {
            .sender = print(b, "anna%u@firm%u.com", n, n), .name = print(b, "mail.firm%u.com", n),
            .address = address_of(b, 900000 + n), .body = words(text, sizeof text, 900000 + n, 80),
            .to = print(b, "reader%u@ours.org", n % 7),
        };
        add(b, &l);
    }
    return first;
}

/* One text to many from one source, each with the reader's number. */
static uint32_t add_newsletter(struct bench *b, unsigned count, const char *name)
{
    uint32_t first = b->scan->count;
    char text[3000] = "";
    words(text, sizeof text, 777, 150);
    for (unsigned n = 0; n < count; n++) {
        struct letter l = {
            .sender = print(b, "bounce-%u@news.museum.org", n), .name = name, .address = "203.0.113.9",
            .to = print(b, "member%u@ours.org", n), .subject = "News of the harbour museum",
            .fields = "List-Unsubscribe: <https://news.museum.org/u>\nPrecedence: bulk\n",
            .body = print(b, "Dear member %u,\n%s\nhttps://news.museum.org/read\n", n, text),
        };
        add(b, &l);
    }
    return first;
}

static void test_words(void **state)
{
    (void)state;
    for (unsigned v = 0; v < QS_VERDICTS; v++) {
        enum qs_verdict out = (enum qs_verdict)((v + 1) % QS_VERDICTS);
        assert_true(qs_verdict_parse(qs_span_of(qs_verdict_name((enum qs_verdict)v)), &out));
        assert_int_equal(out, v);
    }
    for (unsigned c = 0; c < QS_CAUSES; c++) {
        enum qs_cause out = (enum qs_cause)((c + 1) % QS_CAUSES);
        assert_true(qs_cause_parse(qs_span_of(qs_cause_name((enum qs_cause)c)), &out));
        assert_int_equal(out, c);
    }
    enum qs_verdict untouched = QS_LEGIT;
    assert_false(qs_verdict_parse(qs_span_of("Storm"), &untouched));
    assert_false(qs_verdict_parse(qs_span_of(""), &untouched));
    assert_int_equal(untouched, QS_LEGIT);
    for (unsigned f = 0; f < QS_FAMILIES; f++)
        assert_string_not_equal(qs_family_name((enum qs_family)f), "?");
}

static void test_empty(void **state)
{
    struct bench *b = *state;
    judge(b);
    assert_int_equal(b->j->group_count, 0);
    for (unsigned v = 0; v < QS_VERDICTS; v++)
        assert_int_equal(b->j->total[v], 0);
}

static void test_storm_among_people(void **state)
{
    struct bench *b = *state;
    know_site(b);
    uint32_t people = add_people(b, 60), storm = add_campaign(b, 1, 200, NULL), end = b->scan->count;
    judge(b);
    assert_int_equal(got(b, storm, end, QS_STORM), 200);
    assert_int_equal(got(b, people, storm, QS_LEGIT), 60);
    assert_int_equal(b->j->total[QS_STORM], 200);
    assert_int_equal(b->j->group[0].count, 200);
    assert_int_equal(b->j->group[0].cause, QS_CAUSE_BOTNET_CAMPAIGN);
    assert_int_equal(b->j->group[0].clients, 100);
    for (uint32_t i = storm; i < end; i++)
        assert_int_equal(b->j->group_of[i], 0);
}

static void test_storm_without_site(void **state)
{
    struct bench *b = *state;
    uint32_t people = add_people(b, 60), storm = add_campaign(b, 1, 200, NULL), end = b->scan->count;
    judge(b);
    assert_string_equal(b->j->site->hostname, "mx.ours.org");
    assert_int_equal(b->j->site->local_count, 1);
    assert_string_equal(b->j->site->local_domains[0], "ours.org");
    assert_int_equal(got(b, storm, end, QS_STORM), 200);
    assert_int_equal(got(b, people, storm, QS_LEGIT), 60);
}

static void test_likeness_alone_convicts_nobody(void **state)
{
    struct bench *b = *state;
    know_site(b);
    uint32_t news = add_newsletter(b, 150, "out1.news.museum.org"), end = b->scan->count;
    judge(b);
    assert_int_equal(got(b, news, end, QS_LEGIT), 150);
    assert_int_equal(b->j->group[0].count, 150);
    assert_int_equal(b->j->group[0].cause, QS_CAUSE_BULK_LIST);
}

/* The same without a proper name, without headers: one sender from one source is enough not to be convicted. */
static void test_one_source_without_name(void **state)
{
    struct bench *b = *state;
    know_site(b);
    uint32_t news = add_newsletter(b, 150, NULL), end = b->scan->count;
    judge(b);
    assert_int_equal(got(b, news, end, QS_STORM), 0);
    assert_int_equal(got(b, news, end, QS_LEGIT), 150);
}

static void test_singleton_is_never_storm(void **state)
{
    struct bench *b = *state;
    know_site(b);
    struct letter l = bot_letter(b, 5, 1);
    l.to = "somebody@mx.ours.org";
    l.sender = "chief@ours.org";
    uint32_t at = add(b, &l);
    add_people(b, 20);
    judge(b);
    assert_int_not_equal(b->j->of[at].verdict, QS_STORM);
}

/* A straggler whose text is half of something else goes with its campaign. */
static void test_straggler_follows_campaign(void **state)
{
    struct bench *b = *state;
    char text[6000] = "";
    know_site(b);
    add_campaign(b, 3, 150, NULL);
    add_people(b, 30);
    struct letter l = bot_letter(b, 3, 900);
    words(text, sizeof text, 123456, 150);
    l.body = print(b, "%s\n%s", text, l.body);
    uint32_t at = add(b, &l);
    judge(b);
    assert_int_equal(b->j->of[at].verdict, QS_STORM);
    assert_int_equal(b->j->group_of[at], 0);
}

static void test_forged_list_headers(void **state)
{
    struct bench *b = *state;
    know_site(b);
    add_people(b, 40);
    uint32_t storm = add_campaign(b, 8, 120, "List-Id: <members.harbour.org>\nList-Unsubscribe: <https://harbour.org/u>\n"
                                             "List-Post: <mailto:members@harbour.org>\nPrecedence: list\n"
                                             "Auto-Submitted: auto-generated\n");
    uint32_t end = b->scan->count;
    judge(b);
    assert_int_equal(got(b, storm, end, QS_STORM), 120);
}

static void test_forged_replies(void **state)
{
    struct bench *b = *state;
    know_site(b);
    add_people(b, 40);
    /* to no known message */
    uint32_t storm = add_campaign(b, 9, 100, "In-Reply-To: <20261119.1234@ours.org>\nReferences: <20261119.1234@ours.org>\n");
    /* and strangers who answer each other's messages */
    for (unsigned n = 0; n < 100; n++) {
        struct letter l = bot_letter(b, 9, 1000 + n);
        l.fields = print(b, "Message-ID: <m%u@x.biz>\nIn-Reply-To: <m%u@x.biz>\n", n, n ^ 1);
        l.sender = print(b, "pair%u@pairs%u.net", n, n);
        l.to = print(b, "pair%u@pairs%u.net", n ^ 1, n ^ 1);
        add(b, &l);
    }
    uint32_t end = b->scan->count;
    judge(b);
    assert_int_equal(got(b, storm, end, QS_STORM), 200);
}

/* Padded with the text of a newsletter that is in the queue, too. */
static void test_padding_with_newsletter(void **state)
{
    struct bench *b = *state;
    char text[3000] = "";
    know_site(b);
    uint32_t news = add_newsletter(b, 80, "out1.news.museum.org"), storm = b->scan->count;
    words(text, sizeof text, 777, 150);
    for (unsigned n = 0; n < 150; n++) {
        struct letter l = bot_letter(b, 11, n);
        l.body = print(b, "%s\n%s", l.body, text);
        l.subject = "News of the harbour museum";
        l.fields = "List-Unsubscribe: <https://news.museum.org/u>\nPrecedence: bulk\n";
        add(b, &l);
    }
    uint32_t end = b->scan->count;
    judge(b);
    assert_int_equal(got(b, news, storm, QS_LEGIT), 80);
    assert_int_equal(got(b, storm, end, QS_STORM), 150);
}

/* --- notices --------------------------------------------------------------------------------------------------------- */

/* A delivery report that returns `original`, header and body. */
static const char *report(struct bench *b, const char *original)
{
    return print(b, "This is a MIME message.\n\n--bb\nContent-Type: text/plain\n\nYour message could not be delivered.\n\n"
                    "--bb\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; there\n\nAction: failed\n"
                    "Status: 5.1.1\n\n--bb\nContent-Type: message/rfc822\n\n%s\n--bb--\n", original);
}

static const char report_fields[] = "Auto-Submitted: auto-replied\nMIME-Version: 1.0\nContent-Type: multipart/report; "
                                    "report-type=delivery-status; boundary=\"bb\"\n";

/* A message of campaign 21 that forges victim@ours.org, as the server `by` got it from a bot; `trace` stands below. */
static const char *forged(struct bench *b, unsigned n, const char *by, const char *trace)
{
    struct letter l = bot_letter(b, 21, n);
    return print(b, "Received: from x (x [%s])\n\tby %s with SMTP id 1\n%sFrom: <victim@ours.org>\nTo: <a%u@%s>\n"
                    "Subject: watches for everyone\nMessage-ID: <m%u@bot>\n\n%s", l.address, by, trace, n, by, n, l.body);
}

static uint32_t add_joe_job(struct bench *b, unsigned count, const char *trace)
{
    uint32_t first = b->scan->count;
    for (unsigned n = 0; n < count; n++) {
        const char *host = print(b, "mx.far%u.com", n);
        struct letter l = {
            .null_sender = true, .to = "victim@ours.org", .name = host, .address = address_of(b, 700000 + n),
            .subject = "Undelivered Mail Returned to Sender", .fields = report_fields,
            .body = report(b, forged(b, n, host, trace)),
        };
        add(b, &l);
    }
    return first;
}

/* A report about a letter that a user of ours sent through this host, whose address others see as 192.0.2.25. */
static uint32_t add_own_bounce(struct bench *b, unsigned n, const char *to)
{
    char text[3000] = "";
    const char *host = print(b, "mail.partner%u.com", n);
    words(text, sizeof text, 600000 + n, 80);
    struct letter l = {
        .null_sender = true, .to = to, .name = host, .address = address_of(b, 600000 + n),
        .subject = "Mail delivery failed", .fields = report_fields,
        .body = report(b, print(b, "Received: from mx.ours.org (mx.ours.org [192.0.2.25])\n\tby %s with ESMTP id 2\n"
                                   "Received: from pc (pc.ours.org [10.0.0.7])\n\tby mx.ours.org (Postfix) with ESMTP id 1\n"
                                   "From: <%s>\nTo: <x@partner%u.com>\nSubject: our meeting %u\n\n%s", host, to, n, n, text)),
    };
    return add(b, &l);
}

static void test_joe_job_and_own_bounces(void **state)
{
    struct bench *b = *state;
    know_site(b);
    add_people(b, 30);
    uint32_t flood = add_joe_job(b, 120, ""), own = b->scan->count;
    for (unsigned n = 0; n < 10; n++)
        add_own_bounce(b, n, n < 5 ? "victim@ours.org" : print(b, "reader%u@ours.org", n));
    uint32_t end = b->scan->count;
    judge(b);
    assert_int_equal(got(b, flood, own, QS_BACKSCATTER), 120);
    assert_int_equal(got(b, own, end, QS_LEGIT), 10);
    assert_int_equal(b->j->of[flood].cause, QS_CAUSE_BACKSCATTER_IN);
    assert_int_equal(b->j->of[own].cause, QS_CAUSE_OWN_BOUNCE);
    assert_int_equal(b->j->group[0].count, 120);
}

/* The spammer wrote Received fields in our name into what comes back. */
static void test_forged_trace(void **state)
{
    struct bench *b = *state;
    know_site(b);
    add_people(b, 30);
    uint32_t flood = add_joe_job(b, 120, "Received: from pc (pc.ours.org [10.0.0.9])\n\tby mx.ours.org (Postfix) with ESMTP id 7\n");
    uint32_t own = b->scan->count;
    for (unsigned n = 0; n < 10; n++)
        add_own_bounce(b, n, print(b, "reader%u@ours.org", n));
    uint32_t end = b->scan->count;
    judge(b);
    assert_int_equal(got(b, flood, own, QS_BACKSCATTER), 120);
    assert_int_equal(got(b, own, end, QS_LEGIT), 10);
}

/* Our bounces of a storm to those whom it forged; one of a letter from a true sender; loops. */
static void test_bounces_made_here(void **state)
{
    struct bench *b = *state;
    char text[3000] = "";
    know_site(b);
    add_people(b, 30);
    add_campaign(b, 21, 60, NULL);
    uint32_t out = b->scan->count;
    for (unsigned n = 0; n < 80; n++) {
        struct letter bot = bot_letter(b, 21, n);
        struct letter l = {
            .null_sender = true, .to = bot.sender, .address = "127.0.0.1", .name = "localhost", .helo = "mx.ours.org",
            .subject = "Undelivered Mail Returned to Sender", .fields = report_fields,
            .body = report(b, print(b, "Received: from x (%s [%s])\n\tby mx.ours.org (Postfix) with SMTP id 9\nFrom: <%s>\n"
                                       "Subject: watches\n\n%s", bot.name ? bot.name : "unknown", bot.address, bot.sender,
                                    bot.body)),
        };
        add(b, &l);
    }
    words(text, sizeof text, 424242, 90);
    struct letter typo = {
        .null_sender = true, .to = "carol@firm900.com", .address = "127.0.0.1", .name = "localhost", .helo = "mx.ours.org",
        .subject = "Undelivered Mail Returned to Sender", .fields = report_fields,
        .body = report(b, print(b, "Received: from mail.firm900.com (mail.firm900.com [203.0.113.77])\n\tby mx.ours.org "
                                   "(Postfix) with SMTP id 9\nFrom: <carol@firm900.com>\nSubject: lunch\n\n%s", text)),
    };
    uint32_t wanted = add(b, &typo), end = b->scan->count;
    judge(b);
    assert_int_equal(got(b, out, wanted, QS_BACKSCATTER), 80);
    assert_int_equal(b->j->of[out].cause, QS_CAUSE_BACKSCATTER_OUT);
    assert_int_equal(got(b, wanted, end, QS_LEGIT), 1);
    for (uint32_t i = out + 1; i < wanted; i++)
        assert_int_equal(b->j->group_of[i], b->j->group_of[out]);
    assert_int_not_equal(b->j->group_of[wanted], b->j->group_of[out]);
}

/* Where unknown users are bounced, one message of a storm may be left in the queue, beside many bounces of it. */
static void test_last_of_a_bounced_storm(void **state)
{
    struct bench *b = *state;
    know_site(b);
    add_people(b, 30);
    for (unsigned n = 0; n < 80; n++) {
        struct letter bot = bot_letter(b, 22, n);
        struct letter l = {
            .null_sender = true, .to = bot.sender, .address = "127.0.0.1", .name = "localhost", .helo = "mx.ours.org",
            .subject = "Undelivered Mail Returned to Sender", .fields = report_fields,
            .body = report(b, print(b, "Received: from x (%s [%s])\n\tby mx.ours.org (Postfix) with SMTP id 9\nFrom: <%s>\n"
                                       "Subject: watches\n\n%s", bot.name ? bot.name : "unknown", bot.address, bot.sender,
                                    bot.body)),
        };
        add(b, &l);
    }
    struct letter left = bot_letter(b, 22, 500), other = bot_letter(b, 23, 500);
    uint32_t at = add(b, &left), alone = add(b, &other);
    judge(b);
    assert_int_equal(b->j->of[at].verdict, QS_STORM);
    assert_int_not_equal(b->j->of[alone].verdict, QS_STORM);
}

/* Mail in the form of delivery reports, from a botnet to many of our users: nothing of it is taken for wanted. */
static void test_forged_reports(void **state)
{
    struct bench *b = *state;
    know_site(b);
    uint32_t people = add_people(b, 40), storm = b->scan->count;
    for (unsigned n = 0; n < 150; n++) {
        struct letter l = bot_letter(b, 31, n);
        l.null_sender = true;
        l.fields = report_fields;
        l.body = report(b, print(b, "Received: from x (x [%s])\n\tby relay%u.far.com with SMTP id 1\nFrom: <%s>\nSubject: hello\n\n%s",
                                 l.address, n, l.to, l.body));
        add(b, &l);
    }
    uint32_t end = b->scan->count;
    judge(b);
    assert_int_equal(got(b, storm, end, QS_BACKSCATTER) + got(b, storm, end, QS_STORM), 150);
    assert_int_equal(got(b, people, storm, QS_LEGIT), 40);
}

/* --- what the admin told ---------------------------------------------------------------------------------------------- */

static void list_one(struct bench *b, char ***list, size_t *count, const char *text)
{
    *list = talloc_array(b->site, char *, 1);
    (*list)[0] = talloc_strdup(b->site, text);
    *count = 1;
}

/* One message to a honeypot, from where no mail server lives, is storm although it stands alone; and never for what the
 * sender's own server sends there. */
static void test_honeypot(void **state)
{
    struct bench *b = *state;
    char text[3000] = "";
    know_site(b);
    list_one(b, &b->site->honeypots, &b->site->honeypot_count, "trap@ours.org");
    add_people(b, 40);
    struct letter l = bot_letter(b, 51, 1), other = bot_letter(b, 52, 1);
    l.to = "Trap@ours.ORG";
    struct letter wanted = {.sender = "anna@firm901.com", .name = "mail.firm901.com", .to = "trap@ours.org",
                            .body = words(text, sizeof text, 901901, 80)};
    uint32_t trapped = add(b, &l), free_one = add(b, &other), mistake = add(b, &wanted);
    judge(b);
    assert_int_equal(b->j->of[trapped].verdict, QS_STORM);
    assert_int_not_equal(b->j->of[free_one].verdict, QS_STORM);
    assert_int_equal(b->j->of[mistake].verdict, QS_LEGIT);
}

/* A text from many hosts with one sender: wanted when the sender is a good one and the hosts are his provider's, and no
 * less a storm when bots forge that sender. */
static uint32_t add_partner(struct bench *b, unsigned count, bool forged)
{
    uint32_t first = b->scan->count;
    for (unsigned n = 0; n < count; n++) {
        struct letter l = bot_letter(b, 61, n);
        l.sender = "orders@partner.example";
        if (!forged) {
            l.name = print(b, "out%u.provider.net", n % 9);
            l.helo = l.name;
        }
        add(b, &l);
    }
    return first;
}

static void test_good_sender(void **state)
{
    struct bench *b = *state;
    know_site(b);
    list_one(b, &b->site->good_senders, &b->site->good_sender_count, "@partner.example");
    add_people(b, 40);
    uint32_t partner = add_partner(b, 80, false), end = b->scan->count;
    judge(b);
    assert_int_equal(got(b, partner, end, QS_LEGIT), 80);
    assert_int_equal(b->j->of[partner].score < -8, 1);
}

static void test_forged_good_sender(void **state)
{
    struct bench *b = *state;
    know_site(b);
    add_people(b, 40);
    uint32_t partner = add_partner(b, 120, true), end = b->scan->count;
    judge(b);
    uint32_t before = got(b, partner, end, QS_STORM);
    float score = b->j->of[partner].score;
    list_one(b, &b->site->good_senders, &b->site->good_sender_count, "orders@partner.example");
    judge(b);
    assert_int_equal(got(b, partner, end, QS_STORM), before);
    assert_true(fabsf(b->j->of[partner].score - score) < 0.001f);
}

static void show_sample(struct bench *b, const char *body, bool good)
{
    char dir[] = "/tmp/qsurgeon-test-samples.XXXXXX";
    struct qs_error err = {""};
    assert_non_null(mkdtemp(dir));
    const char *path = print(b, "%s/one", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fprintf(file, "From: <x@y.example>\nSubject: a sample\n\n%s\n", body) > 0);
    assert_int_equal(fclose(file), 0);
    size_t before = b->scan->sample_count;
    assert_int_equal(qs_scan_add_samples(b->scan, dir, good, &err), QS_OK);
    assert_int_equal(b->scan->sample_count, before + 1);
    assert_int_equal(remove(path) + rmdir(dir), 0);
}

/* A single message like a bad sample is storm, when its client is dubious as well; not when its sender is vouched for. */
static void test_bad_sample(void **state)
{
    struct bench *b = *state;
    know_site(b);
    add_people(b, 40);
    struct letter l = bot_letter(b, 71, 3), shown = bot_letter(b, 71, 9);
    struct letter friend = {.sender = "anna@firm902.com", .name = "mail.firm902.com", .body = shown.body};
    uint32_t bad = add(b, &l), forwarded = add(b, &friend);
    judge(b);
    assert_int_not_equal(b->j->of[bad].verdict, QS_STORM);
    show_sample(b, shown.body, false);
    judge(b);
    assert_int_equal(b->j->of[bad].verdict, QS_STORM);
    assert_int_not_equal(b->j->of[forwarded].verdict, QS_STORM);
}

/* Samples of good mail help it, and do not save a storm that took a good text for cover. */
static void test_good_sample(void **state)
{
    struct bench *b = *state;
    know_site(b);
    add_people(b, 40);
    uint32_t storm = add_campaign(b, 81, 150, NULL), end = b->scan->count;
    judge(b);
    float score = b->j->of[storm].score;
    struct letter shown = bot_letter(b, 81, 0);
    show_sample(b, shown.body, true);
    judge(b);
    assert_int_equal(got(b, storm, end, QS_STORM), 150);
    assert_true(b->j->of[storm].score < score);
}

struct asked {
    unsigned questions;
};

static bool nobody_but_readers(void *data, struct qs_span address)
{
    struct asked *asked = data;
    asked->questions++;
    return !qs_span_starts(address, "reader");
}

/* A guess at addresses from a provider's hosts, too weak a case without the mail server's own tables. */
static void test_unknown_recipients(void **state)
{
    struct bench *b = *state;
    struct asked asked = {0};
    know_site(b);
    uint32_t people = add_people(b, 40), guesses = b->scan->count;
    for (unsigned n = 0; n < 12; n++) {
        struct letter l = bot_letter(b, 91, n * 2);
        l.name = print(b, "srv%u.provider.net", n % 2);
        l.helo = l.name;
        add(b, &l);
    }
    uint32_t end = b->scan->count;
    judge(b);
    float before = b->j->of[guesses].score;
    b->site->nobody = nobody_but_readers;
    b->site->nobody_data = &asked;
    judge(b);
    assert_true(b->j->of[guesses].score > before + 2.4f);
    assert_int_equal(got(b, people, guesses, QS_LEGIT), 40);
    assert_int_equal(asked.questions, 7 + (end - guesses));     /* each address once */
}

static void test_no_samples(void **state)
{
    struct bench *b = *state;
    struct qs_error err = {""};
    assert_int_equal(qs_scan_add_samples(b->scan, "/nonexistent", true, &err), QS_GONE);
    assert_int_equal(b->scan->sample_count, 0);
}

/* --- our own users ---------------------------------------------------------------------------------------------------- */

static void add_users(struct bench *b)
{
    for (unsigned n = 0; n < 30; n++) {
        char text[3000] = "";
        struct letter l = {
            .sender = print(b, "reader%u@ours.org", n % 10), .user = print(b, "reader%u@ours.org", n % 10),
            .address = "10.0.0.8", .name = "pc8.ours.org", .to = print(b, "friend%u@firm%u.com", n, n),
            .body = words(text, sizeof text, 800000 + n, 70),
        };
        add(b, &l);
    }
}

/* What the owner of the stolen account writes meanwhile. */
static uint32_t add_her_letter(struct bench *b)
{
    char text[3000] = "";
    struct letter hers = {
        .sender = "eve@ours.org", .user = "eve@ours.org", .address = "10.0.0.8", .name = "pc8.ours.org",
        .to = "friend3@firm3.com", .body = words(text, sizeof text, 8123456, 70),
    };
    return add(b, &hers);
}

static void test_compromised_account(void **state)
{
    struct bench *b = *state;
    know_site(b);
    add_users(b);
    uint32_t storm = b->scan->count;
    for (unsigned n = 0; n < 200; n++) {
        struct letter l = bot_letter(b, 41, n % 12);
        struct letter other = bot_letter(b, 41, n);
        l.body = other.body;
        l.sender = l.user = "eve@ours.org";
        l.to = print(b, "stranger%u@d%u.com", n, n);
        add(b, &l);
    }
    uint32_t letter = add_her_letter(b);
    judge(b);
    assert_int_equal(got(b, storm, letter, QS_STORM), 200);
    assert_int_equal(got(b, 0, storm, QS_LEGIT), 30);
    assert_int_equal(b->j->of[letter].verdict, QS_LEGIT);
    assert_int_equal(b->j->of[storm].cause, QS_CAUSE_COMPROMISED_ACCOUNT);
    assert_string_equal(b->j->group[0].culprit, "user eve@ours.org");
}

/* Every message has words of its own; only who sends how many from how many networks tells. */
static void test_varied_account(void **state)
{
    struct bench *b = *state;
    know_site(b);
    add_users(b);
    uint32_t storm = b->scan->count, end = storm + 120;
    for (unsigned n = 0; n < 180; n++) {
        char text[3000] = "";
        bool eve = n < 120;             /* the others are of somebody who travels */
        struct letter l = {
            .sender = eve ? "eve@ours.org" : "traveller@ours.org", .user = eve ? "eve@ours.org" : "traveller@ours.org",
            .address = address_of(b, eve ? n % 15 : 500 + n % 3), .name = "unknown",
            .to = print(b, "stranger%u@d%u.com", n, n), .body = words(text, sizeof text, 910000 + n, 70),
        };
        add(b, &l);
    }
    uint32_t letter = add_her_letter(b);
    judge(b);
    assert_int_equal(got(b, storm, end, QS_STORM), 120);
    assert_int_equal(got(b, 0, storm, QS_LEGIT), 30);
    assert_int_equal(got(b, end, letter + 1, QS_LEGIT), 61);
    assert_int_equal(b->j->of[storm].cause, QS_CAUSE_COMPROMISED_ACCOUNT);
    assert_string_equal(b->j->group[0].culprit, "user eve@ours.org");
}

static void test_compromised_script(void **state)
{
    struct bench *b = *state;
    know_site(b);
    add_users(b);
    uint32_t storm = b->scan->count;
    for (unsigned n = 0; n < 200; n++) {
        struct letter l = bot_letter(b, 42, n);
        l.sender = "www-data@mx.ours.org";
        l.uid = 33;
        l.script = "contact.php";
        l.address = l.name = NULL;
        l.helo = "localhost";
        l.to = print(b, "stranger%u@d%u.com", n, n);
        add(b, &l);
    }
    uint32_t end = b->scan->count;
    judge(b);
    assert_int_equal(got(b, storm, end, QS_STORM), 200);
    assert_int_equal(got(b, 0, storm, QS_LEGIT), 30);
    assert_int_equal(b->j->of[storm].cause, QS_CAUSE_COMPROMISED_SCRIPT);
    assert_non_null(strstr(b->j->group[0].culprit, "uid 33"));
}

/* --- what must not matter --------------------------------------------------------------------------------------------- */

static void add_everything(struct bench *b)
{
    know_site(b);
    add_people(b, 50);
    add_campaign(b, 1, 90, NULL);
    add_campaign(b, 2, 70, NULL);
    add_newsletter(b, 40, "out1.news.museum.org");
    add_joe_job(b, 60, "");
    for (unsigned n = 0; n < 5; n++)
        add_own_bounce(b, n, "reader1@ours.org");
    add_users(b);
}

static int by_id(const void *a, const void *b)
{
    const struct qs_message *x = *(const struct qs_message *const *)a, *y = *(const struct qs_message *const *)b;
    return strcmp(x->id, y->id);
}

static void test_order_does_not_matter(void **state)
{
    struct bench *b = *state;
    add_everything(b);
    judge(b);
    uint32_t n = b->scan->count;
    struct qs_message *copy = talloc_array(b, struct qs_message, n);
    const struct qs_message **before = talloc_array(b, const struct qs_message *, n);
    const struct qs_message **after = talloc_array(b, const struct qs_message *, n);
    const struct qs_judgement *first = b->j;
    memcpy(copy, b->scan->messages, n * sizeof *copy);
    for (uint32_t i = n; i > 1; i--) {
        uint32_t k = (uint32_t)(dice(i) % i);
        struct qs_message swapped = b->scan->messages[i - 1];
        b->scan->messages[i - 1] = b->scan->messages[k];
        b->scan->messages[k] = swapped;
    }
    judge(b);
    for (uint32_t i = 0; i < n; i++) {
        before[i] = &copy[i];
        after[i] = &b->scan->messages[i];
    }
    qsort(before, n, sizeof *before, by_id);
    qsort(after, n, sizeof *after, by_id);
    assert_int_equal(first->group_count, b->j->group_count);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t x = (uint32_t)(before[i] - copy), y = (uint32_t)(after[i] - b->scan->messages);
        assert_string_equal(copy[x].id, b->scan->messages[y].id);
        assert_int_equal(first->of[x].verdict, b->j->of[y].verdict);
        assert_int_equal(first->of[x].cause, b->j->of[y].cause);
        assert_true(fabsf(first->of[x].score - b->j->of[y].score) < 0.001f);
        uint32_t g = first->group_of[x], h = b->j->group_of[y];
        assert_int_equal(g == QS_NO_CLUSTER, h == QS_NO_CLUSTER);
        if (g != QS_NO_CLUSTER)
            assert_string_equal(first->group[g].name, b->j->group[h].name);
    }
}

static void test_evidence_adds_up(void **state)
{
    struct bench *b = *state;
    struct qs_error err;
    struct qs_evidence *list;
    size_t count;
    add_everything(b);
    judge(b);
    for (uint32_t i = 0; i < b->scan->count; i++) {
        double sum = 0;
        assert_int_equal(qs_explain_message(b, b->j, i, &list, &count, &err), QS_OK);
        assert_true(count > 0);
        for (size_t k = 0; k < count; k++) {
            sum += list[k].weight;
            assert_true(list[k].name && list[k].detail[0]);
            assert_true(k == 0 || fabs(list[k].weight) <= fabs(list[k - 1].weight));
        }
        assert_true(fabs(sum - (double)b->j->of[i].score) < 0.001);
        if (b->j->of[i].verdict == QS_STORM || b->j->of[i].verdict == QS_BACKSCATTER) {
            unsigned families = 0;
            for (size_t k = 0; k < count; k++)
                families |= list[k].weight > 0 ? 1u << list[k].family : 0;
            assert_true(sum >= qs_threshold_guilty());
            assert_true(__builtin_popcount(families) >= 2);
        }
        if (b->j->of[i].verdict == QS_LEGIT)
            assert_true(sum <= qs_threshold_legit());
        talloc_free(list);
    }
    for (uint32_t g = 0; g < b->j->group_count; g++) {
        double sum = 0;
        assert_int_equal(qs_explain_group(b, b->j, g, &list, &count, &err), QS_OK);
        for (size_t k = 0; k < count; k++)
            sum += list[k].weight;
        assert_true(fabs(sum - (double)b->j->group[g].score) < 0.001);
        assert_true(g == 0 || b->j->group[g].count <= b->j->group[g - 1].count);
        for (uint32_t h = 0; h < g; h++)
            assert_string_not_equal(b->j->group[g].name, b->j->group[h].name);
        talloc_free(list);
    }
}

/* Messages of a saved scan, or made by nobody: no client, no recipient, no text, nothing. */
static void test_bare_messages(void **state)
{
    struct bench *b = *state;
    struct qs_message *m = qs_scan_append(b->scan, 5);
    assert_non_null(m);
    for (unsigned i = 0; i < 5; i++) {
        m[i].id = qs_scan_strdup(b->scan, qs_span_of(print(b, "BARE%u", i)));
        m[i].local_uid = NONE;
    }
    judge(b);
    assert_int_equal(got(b, 0, 5, QS_STORM) + got(b, 0, 5, QS_BACKSCATTER), 0);
}

/* Around the filter, and to the host's own name; a trusted relay, our networks and our users are not marked. */
static void test_marks(void **state)
{
    struct bench *b = *state;
    static const struct {
        const struct letter letter;
        unsigned marks;
    } table[] = {
        {{.address = "203.0.113.5"}, 1u << QS_MARK_BYPASS},
        {{.address = "203.0.113.5", .to = "x@mx.ours.org"}, 1u << QS_MARK_BYPASS | 1u << QS_MARK_HOST_NAME},
        {{.address = "2001:db8::5"}, 1u << QS_MARK_BYPASS},
        {{.address = "192.0.2.7"}, 0},
        {{.address = "192.0.2.8"}, 1u << QS_MARK_BYPASS},
        {{.address = "2001:db8:1::9"}, 0},
        {{.address = "10.0.0.9"}, 0},
        {{.address = "203.0.113.5", .user = "alice"}, 0},
        {{.uid = 33, .to = "root@mx.ours.org"}, 1u << QS_MARK_HOST_NAME},
    };
    enum { N = sizeof table / sizeof *table };
    know_site(b);
    for (unsigned pass = 0; pass < 2; pass++) {
        uint32_t first = b->scan->count;
        for (unsigned i = 0; i < N; i++)
            add(b, &table[i].letter);
        judge(b);
        for (unsigned i = 0; i < N; i++)
            assert_int_equal(qs_marks_of(b->j, first + i), table[i].marks & (pass ? ~0u : ~(1u << QS_MARK_BYPASS)));
        b->site->trusted_relays = talloc_array(b->site, char *, 2);
        b->site->trusted_relays[0] = talloc_strdup(b->site, "192.0.2.7");
        b->site->trusted_relays[1] = talloc_strdup(b->site, "2001:db8:1::/48");
        b->site->trusted_relay_count = 2;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_storm_among_people, setup, teardown),
        cmocka_unit_test_setup_teardown(test_storm_without_site, setup, teardown),
        cmocka_unit_test_setup_teardown(test_likeness_alone_convicts_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_source_without_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_singleton_is_never_storm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_straggler_follows_campaign, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forged_list_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forged_replies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_padding_with_newsletter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_joe_job_and_own_bounces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forged_trace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounces_made_here, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forged_reports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_of_a_bounced_storm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_honeypot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_good_sender, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forged_good_sender, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_sample, setup, teardown),
        cmocka_unit_test_setup_teardown(test_good_sample, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_recipients, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_samples, setup, teardown),
        cmocka_unit_test_setup_teardown(test_compromised_account, setup, teardown),
        cmocka_unit_test_setup_teardown(test_varied_account, setup, teardown),
        cmocka_unit_test_setup_teardown(test_compromised_script, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_does_not_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_evidence_adds_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bare_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_marks, setup, teardown),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
