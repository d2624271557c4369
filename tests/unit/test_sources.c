/* SPDX-License-Identifier: Apache-2.0 */
/* Who sends, by queue and log; who is blocked and who is spared; the files that say so. */
#include "view.h"

#include <stdlib.h>
#include <unistd.h>

#include "qsurgeon/block.h"
#include "qsurgeon/maillog.h"
#include "qsurgeon/recipients.h"

#define PF "Nov 22 07:13:42 mx postfix/smtpd[99]: "
#define REJECT(address, user) PF "NOQUEUE: reject: RCPT from unknown[" address "]: 550 5.1.1 <" user \
    "@here.example>: Recipient address rejected: User unknown in local recipient table; from=<a@b> proto=ESMTP helo=<h>"

/* --- lines --------------------------------------------------------------------------------------------- */

static const struct {
    const char *line;
    enum qs_status status;
    enum qs_log_kind kind;
    const char *address, *name, *id, *recipient;
} lines[] = {
    {REJECT("192.0.2.1", "x"), QS_OK, QS_LOG_UNKNOWN, "192.0.2.1", "", "", "x@here.example"},
    {"2026-11-22T07:13:42.5+00:00 mx postfix-in/mx/smtpd[9]: 4XyzABC1z2: reject: RCPT from m.example[2001:db8::1]: 454 4.7.1 "
     "<u@there.example>: Relay access denied; from=<a@b> to=<u@there.example> proto=SMTP helo=<h>",
     QS_OK, QS_LOG_RELAY, "2001:db8::1", "m.example", "4XyzABC1z2", "u@there.example"},
    {PF "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 450 4.7.1 <x@y>: Recipient address rejected: Greylisted; from=<a@b>",
     QS_OK, QS_LOG_REFUSED, "192.0.2.1", "", "", "x@y"},
    {PF "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 450 4.1.1 <x@y>: Recipient address rejected: unverified address: "
     "Address verification in progress; from=<a@b>", QS_OK, QS_LOG_REFUSED, "192.0.2.1", "", "", "x@y"},
    {PF "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 450 4.1.1 <x@y>: Recipient address rejected: undeliverable address: "
     "no; from=<a@b>", QS_OK, QS_LOG_UNKNOWN, "192.0.2.1", "", "", "x@y"},
    {"Nov 22 07:13:42 mx postfix/postscreen[1]: NOQUEUE: reject: RCPT from [192.0.2.1]:4242: 550 5.7.1 Service unavailable; "
     "client [192.0.2.1] blocked using bl.example", QS_OK, QS_LOG_REFUSED, "192.0.2.1", "", "", ""},
    {PF "ABCDEF1234: client=m.example[192.0.2.1], sasl_method=PLAIN, sasl_username=joe",
     QS_OK, QS_LOG_CAME, "192.0.2.1", "m.example", "ABCDEF1234", ""},
    {"Nov 22 07:13:42 mx postfix/local[9]: ABCDEF1234: to=<j@h>, relay=local, delay=1, delays=1/0/0/0, dsn=2.0.0, "
     "status=sent (delivered to mailbox)", QS_OK, QS_LOG_DELIVERED, "", "", "ABCDEF1234", "j@h"},
    {"Nov 22 07:13:42 mx postfix/smtp[9]: ABCDEF1234: to=<j@h>, relay=mx[192.0.2.9]:25, delay=1, delays=1/0/0/0, dsn=5.1.1, "
     "status=bounced (host mx[192.0.2.9] said: 550 5.1.1 no)", QS_OK, QS_LOG_NO_SUCH_USER, "", "", "ABCDEF1234", "j@h"},
    {"Nov 22 07:13:42 mx postfix/smtp[9]: ABCDEF1234: to=<j@h>, relay=127.0.0.1[127.0.0.1]:10024, delay=1, delays=1/0/0/0, "
     "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 99DEF12345)", QS_OK, QS_LOG_HANDED_ON, "", "", "ABCDEF1234", "j@h"},
    {"Nov 22 07:13:42 mx postfix/smtp[9]: ABCDEF1234: to=<j@h>, relay=none, delay=1, dsn=4.4.1, status=deferred (x)",
     QS_SKIP, QS_LOG_DELIVERED, "", "", "", ""},
    {"Nov 22 07:13:42 mx sm-mta[9]: 5AMCnT01: <joe@here.example>... User unknown",
     QS_OK, QS_LOG_UNKNOWN, "", "", "5AMCnT01", "joe@here.example"},
    {"Nov 22 07:13:42 mx sm-mta[9]: 5AMCnT01: from=<a@b>, size=0, class=0, nrcpts=0, proto=SMTP, daemon=MTA, "
     "relay=joe@mail.google.com [192.0.2.1] (may be forged)", QS_OK, QS_LOG_CAME, "192.0.2.1", "", "5AMCnT01", ""},
    {"Nov 22 07:13:42 mx sendmail[9]: 5AMCnT01: from=<a@b>, size=9, class=0, nrcpts=1, proto=SMTP, daemon=MTA, "
     "relay=m.example [IPv6:2001:db8::1]", QS_OK, QS_LOG_CAME, "IPv6:2001:db8::1", "m.example", "5AMCnT01", ""},
    {"Nov 22 07:13:42 mx sm-mta[9]: 5AMCnT01: ruleset=check_rcpt, arg1=<u@there.example>, relay=[192.0.2.1], reject=550 5.7.1 "
     "<u@there.example>... Relaying denied", QS_OK, QS_LOG_RELAY, "192.0.2.1", "", "5AMCnT01", "u@there.example"},
    {"Nov 22 07:13:42 mx sm-mta[9]: 5AMCnT01: to=<u@h>, delay=00:00:01, mailer=local, pri=1, dsn=2.0.0, stat=Sent",
     QS_OK, QS_LOG_DELIVERED, "", "", "5AMCnT01", ""},
    /* somebody else's words */
    {"Nov 22 07:13:42 mx sshd[9]: Invalid user postfix/smtpd[1]: NOQUEUE: reject: RCPT from x[198.51.100.7]: 550 5.1.1 <a@b>: "
     "Recipient address rejected: User unknown", QS_SKIP, QS_LOG_UNKNOWN, "", "", "", ""},
    {PF "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 554 5.7.1 <\"a>: Recipient address rejected: User unknown; client "
     "x[198.51.100.7]: 550 5.1.1\"@b>: Relay access denied; from=<a@b>", QS_OK, QS_LOG_UNKNOWN, "192.0.2.1", "", "", "\"a"},
    {"Nov 22 07:13:42 mx sm-mta[9]: 5AMCnT01: ruleset=check_rcpt, arg1=<\"a>, relay=x [198.51.100.7], reject=550 5.7.1 \"@b>, "
     "relay=[192.0.2.1], reject=550 5.7.1 <a>... Relaying denied", QS_DATA, QS_LOG_RELAY, "", "", "", ""},
    {"Nov 22 07:13:42 mx postfix/smtp[9]: ABCDEF1234: to=<\"a, status=sent (\"@h>, relay=x, dsn=5.1.1, status=bounced (no)",
     QS_DATA, QS_LOG_DELIVERED, "", "", "", ""},
    {PF "NOQUEUE: reject: RCPT from unknown[192.0.2.1", QS_SKIP, QS_LOG_UNKNOWN, "", "", "", ""},
    {PF "NOQUEUE: reject: RCPT from unknown[192.0.2.1]:", QS_SKIP, QS_LOG_UNKNOWN, "", "", "", ""},
    {PF, QS_SKIP, QS_LOG_UNKNOWN, "", "", "", ""},
    {"postfix/smtpd[99]: ", QS_SKIP, QS_LOG_UNKNOWN, "", "", "", ""},
    {":", QS_SKIP, QS_LOG_UNKNOWN, "", "", "", ""},
};

static void lines_are_read_by_position(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct qs_log_event e = {.kind = QS_LOG_CAME};
        enum qs_status status = qs_log_line(qs_span_of(lines[i].line), &e);
        if (status != lines[i].status)
            fail_msg("line %zu: %s", i, qs_status_name(status));
        if (status != QS_OK)
            continue;
        if (e.kind != lines[i].kind || !qs_span_is(e.address, lines[i].address) || !qs_span_is(e.name, lines[i].name) ||
            !qs_span_is(e.id, lines[i].id) || !qs_span_is(e.recipient, lines[i].recipient))
            fail_msg("line %zu: kind %d address %.*s name %.*s id %.*s recipient %.*s", i, e.kind, (int)e.address.len,
                     e.address.ptr, (int)e.name.len, e.name.ptr, (int)e.id.len, e.id.ptr, (int)e.recipient.len,
                     e.recipient.ptr);
    }
}

/* Each line cut off at each byte, in a block of exactly that size. */
static void cut_lines_are_harmless(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        for (size_t len = 0; len <= strlen(lines[i].line); len++) {
            struct qs_log_event e;
            char *copy = talloc_memdup(root, lines[i].line, len ? len : 1);
            assert_non_null(copy);
            enum qs_status status = qs_log_line((struct qs_span){copy, len}, &e);
            assert_true(status == QS_OK || status == QS_SKIP || status == QS_DATA);
            talloc_free(copy);
        }
}

static void times_are_read(void **state)
{
    enum { NOV_22 = 1795331622 };           /* 2026-11-22 07:13:42 UTC */
    static const struct {
        const char *line;
        int64_t now;
        int32_t offset;
        int64_t want;                       /* -1: no time */
    } times[] = {
        {"Nov 22 07:13:42 mx postfix", NOV_22 + 60, 0, NOV_22},
        {"Nov 22 08:13:42 mx postfix", NOV_22 + 60, 3600, NOV_22},
        {"Nov 23 07:13:42 mx postfix", NOV_22, 0, NOV_22 + 86400},          /* a clock that is ahead */
        {"Nov 23 07:13:43 mx postfix", NOV_22, 0, NOV_22 + 86401 - 365 * 86400},
        {"Dec 31 23:59:59 mx postfix", 1798761600, 0, 1798761599},          /* read on 1 January 2027 at 0:00:00 */
        {"Jan  1 00:00:00 mx postfix", 1798761600, 0, 1798761600},
        {"Jan  1 00:00:00 mx postfix", 1798761599, 0, 1798761600},
        {"Feb 29 12:00:00 mx postfix", 1709208000 + 5, 0, 1709208000},      /* 2024 */
        {"Mar  1 00:00:00 mx postfix", 1709251200, 0, 1709251200},
        {"2026-11-22T07:13:42.5+00:00 mx postfix", 0, 0, NOV_22},
        {"2026-11-22T08:13:42,123456+01:00 mx postfix", 1, -3600, NOV_22},
        {"2026-11-21T22:43:42-0830 mx postfix", 1, 0, NOV_22},
        {"2026-11-22T06:13:42-01 mx", 1, 0, NOV_22},
        {"2026-11-22T07:13:42Z mx", 1, 7200, NOV_22},
        {"2026-11-22 09:13:42 mx", 1, 7200, NOV_22},
        {"2000-02-29T00:00:00Z x", 1, 0, 951782400},
        {"1970-01-01T00:00:00Z x", 1, 0, 0},
        {"9999-12-31T23:59:60Z x", 1, 0, INT64_C(253402300800)},
        {"Nov 22 07:13:42", NOV_22, 0, -1}, {"Nov 22 07:13:4 mx", NOV_22, 0, -1}, {"Nov  0 07:13:42 mx", NOV_22, 0, -1},
        {"Nov 32 07:13:42 mx", NOV_22, 0, -1}, {"nov 22 07:13:42 mx", NOV_22, 0, -1}, {"ov D22 07:13:42 mx", NOV_22, 0, -1},
        {"Nov 22 24:13:42 mx", NOV_22, 0, -1}, {"Nov 22 07:13:42 mx", 0, 0, -1}, {"2026-13-22T07:13:42Z mx", 1, 0, -1},
        {"2026-11-22T07:13:42+1x mx", 1, 0, -1}, {"2026-11-22T07:13:42+01: mx", 1, 0, -1}, {"2026-11-22X07:13:42Z mx", 1, 0, -1},
        {"1969-12-31T23:59:59Z x", NOV_22, 0, -1}, {"", NOV_22, 0, -1}, {"postfix/smtpd[1]: ", NOV_22, 0, -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        const struct qs_log_clock clock = {.now = times[i].now, .offset = times[i].offset};
        int64_t got = -1;
        const bool there = qs_log_time(qs_span_of(times[i].line), &clock, &got);
        if (there != (times[i].want >= 0) || got != times[i].want)
            fail_msg("%s: %lld, not %lld", times[i].line, (long long)got, (long long)times[i].want);
        for (size_t len = 0; len < strlen(times[i].line); len++) {          /* cut anywhere, in a block of that size */
            char *copy = talloc_memdup(root, times[i].line, len ? len : 1);
            (void)!qs_log_time((struct qs_span){copy, len}, &clock, &got);
            talloc_free(copy);
        }
    }
}

/* --- counting ------------------------------------------------------------------------------------------ */

static char log_path[] = "/tmp/qsurgeon-test-log.XXXXXX";

/* A new log of these lines; qs_sources_wish of it. */
static struct qs_sources_wish log_of(char **paths, const char *const *list, size_t count)
{
    memcpy(strrchr(log_path, '.'), ".XXXXXX", 8);
    int fd = mkstemp(log_path);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    for (size_t i = 0; i < count; i++)
        fprintf(f, "%s\n", list[i]);
    assert_int_equal(fclose(f), 0);
    paths[0] = log_path;
    return (struct qs_sources_wish){.logs = paths, .log_count = 1};
}

static const struct qs_source *find(const struct qs_sources *sources, enum qs_source_kind kind, const char *name)
{
    for (uint32_t i = 0; i < sources->count[kind]; i++)
        if (strcmp(sources->of[kind][i].name, name) == 0)
            return &sources->of[kind][i];
    return NULL;
}

static void logs_are_counted(void **state)
{
    (void)state;
    static const char *const list[] = {
        REJECT("192.0.2.1", "a"), REJECT("192.0.2.1", "b"), REJECT("192.0.2.1", "A"),
        PF "NOQUEUE: reject: RCPT from dsl-1.isp.co.uk[192.0.2.77]: 554 5.7.1 <u@there.example>: Relay access denied; from=<>",
        "Nov 22 07:13:42 mx sm-mta[9]: 5AMCnT01: <joe@here.example>... User unknown",
        "Nov 22 07:13:42 mx sm-mta[9]: 5AMCnT01: <jim@here.example>... User unknown",
        "Nov 22 07:13:42 mx sm-mta[9]: 5AMCnT01: from=<a@b>, size=0, class=0, nrcpts=0, proto=SMTP, daemon=MTA, "
        "relay=mail.google.com [203.0.113.4] (may be forged)",
        PF "AAAAAA1: client=good.example[203.0.113.9]",
        "Nov 22 07:13:42 mx postfix/smtp[9]: AAAAAA1: to=<j@h>, relay=127.0.0.1[127.0.0.1]:10024, delay=1, dsn=2.0.0, "
        "status=sent (250 2.0.0 Ok: queued as BBBBBB1)",
        "Nov 22 07:13:42 mx postfix/local[9]: BBBBBB1: to=<j@h>, relay=local, delay=1, dsn=2.0.0, status=sent (ok)",
        "Nov 22 07:13:42 mx postfix/local[9]: BBBBBB1: to=<k@h>, relay=local, delay=1, dsn=2.0.0, status=sent (ok)",
        PF "CCCCCC1: client=unknown[2001:db8:1:2::9]",
        "Nov 22 07:13:42 mx postfix/smtp[9]: CCCCCC1: to=<j@h>, relay=mx, delay=1, dsn=5.1.1, status=bounced (no)",
    };
    char *paths[1];
    struct qs_sources *s = NULL;
    struct qs_sources_wish wish = log_of(paths, list, sizeof list / sizeof *list);
    assert_int_equal(qs_sources_count(root, view_new(NULL, 0), NULL, &wish, &s, NULL), QS_OK);
    const struct qs_source *a = find(s, QS_SOURCE_ADDRESS, "192.0.2.1");
    assert_int_equal(a->tried_unknown, 3);
    assert_int_equal(a->unknown, 2);            /* a and A are one */
    assert_null(a->label);
    assert_int_equal(find(s, QS_SOURCE_NETWORK, "192.0.2.0/24")->tried_relay, 1);
    assert_int_equal(qs_source_bad(find(s, QS_SOURCE_NETWORK, "192.0.2.0/24")), 4);
    assert_int_equal(find(s, QS_SOURCE_ISP, "isp.co.uk")->tried_relay, 1);
    assert_null(find(s, QS_SOURCE_ISP, "google.com"));      /* may be forged */
    assert_int_equal(find(s, QS_SOURCE_ADDRESS, "203.0.113.4")->tried_unknown, 2);
    assert_int_equal(find(s, QS_SOURCE_ADDRESS, "203.0.113.9")->delivered, 1);      /* a message, through a filter */
    assert_int_equal(find(s, QS_SOURCE_NETWORK, "2001:db8:1:2::/64")->tried_unknown, 1);
    assert_int_equal(s->lines, sizeof list / sizeof *list);
    unlink(log_path);
}

/* Attempts count since a time; what speaks for a source always does. */
static void old_attempts_are_left_out(void **state)
{
    static const char *const list[] = {
        REJECT("192.0.2.1", "a"),
        "2026-11-22T07:13:41Z mx postfix/smtpd[9]: NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 454 4.7.1 <u@there.example>: "
        "Relay access denied; from=<>",
        "2026-11-22T07:13:42Z mx postfix/smtpd[9]: NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 454 4.7.1 <u@there.example>: "
        "Relay access denied; from=<>",
        "mx postfix/smtpd[9]: NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 454 4.7.1 <u@there.example>: Relay access denied; from=<>",
        "2020-11-22T07:13:42Z mx postfix/smtpd[9]: CCCCCC1: client=unknown[192.0.2.2]",
        "2020-11-22T07:13:42Z mx postfix/smtp[9]: CCCCCC1: to=<j@h>, relay=mx, delay=1, dsn=2.0.0, status=sent (ok)",
        "2020-11-22T07:13:42Z mx postfix/smtpd[9]: CCCCCC2: client=unknown[192.0.2.2]",
        "2020-11-22T07:13:42Z mx postfix/smtp[9]: CCCCCC2: to=<j@h>, relay=mx, delay=1, dsn=5.1.1, status=bounced (no)",
        "2020-11-22T07:13:42Z mx sm-mta[9]: 5AMCnT01: <joe@here.example>... User unknown",
        "2026-11-22T07:13:42Z mx sm-mta[9]: 5AMCnT01: from=<a@b>, size=0, class=0, nrcpts=0, proto=SMTP, relay=[192.0.2.2]",
    };
    char *paths[1];
    struct qs_sources *s = NULL;
    struct qs_sources_wish wish = log_of(paths, list, sizeof list / sizeof *list);
    (void)state;
    wish.since = 1795331622;
    wish.clock = (struct qs_log_clock){.now = wish.since + 3600};
    assert_int_equal(qs_sources_count(root, view_new(NULL, 0), NULL, &wish, &s, NULL), QS_OK);
    const struct qs_source *a = find(s, QS_SOURCE_ADDRESS, "192.0.2.1"), *b = find(s, QS_SOURCE_ADDRESS, "192.0.2.2");
    assert_int_equal(a->tried_unknown, 1);
    assert_int_equal(a->tried_relay, 2);
    assert_int_equal(b->tried_unknown, 0);
    assert_int_equal(b->delivered, 1);
    assert_int_equal(s->old, 3);
    unlink(log_path);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    static const char *const list[] = {REJECT("192.0.2.1", "a"), REJECT("192.0.2.2", "a"), REJECT("192.0.2.3", "a"),
                                       REJECT("192.0.2.3", "a"), REJECT("192.0.2.1", "a")};
    char *paths[1];
    struct qs_sources *s = NULL;
    struct qs_sources_wish wish = log_of(paths, list, 5);
    wish.most = 2;
    assert_int_equal(qs_sources_count(root, view_new(NULL, 0), NULL, &wish, &s, NULL), QS_OK);
    assert_int_equal(s->count[QS_SOURCE_ADDRESS], 2);
    assert_int_equal(s->uncounted, 2);
    assert_int_equal(find(s, QS_SOURCE_ADDRESS, "192.0.2.1")->tried_unknown, 2);
    unlink(log_path);
}

static void words_for_no_such_user(void **state)
{
    (void)state;
    assert_true(qs_reason_no_such_user(QS_SPAN("host mx[192.0.2.1] said: 550 5.1.1 <x@y>: no")));
    assert_true(qs_reason_no_such_user(QS_SPAN("450 4.1.1 <x@y>: Recipient address rejected: USER UNKNOWN in table")));
    assert_false(qs_reason_no_such_user(QS_SPAN("450 4.1.1 unverified address: Address verification in progress")));
    assert_false(qs_reason_no_such_user(QS_SPAN("")));
}

/* --- blocking ------------------------------------------------------------------------------------------ */

enum { NOW = 1700000000, HOUR = 3600 };

static struct qs_source *source_at(struct qs_source *list, uint32_t *count, const char *name, uint64_t bad)
{
    struct qs_source *s = &list[(*count)++];
    *s = (struct qs_source){.name = name, .bad = bad};
    if (qs_network_parse(qs_span_of(name), &s->network, NULL) != QS_OK)
        s->network.bits = 0;
    return s;
}

static bool is_blocked(const struct qs_block *block, const char *range)
{
    struct qs_network n;
    bool found = false;
    assert_int_equal(qs_network_parse(qs_span_of(range), &n, NULL), QS_OK);
    for (uint32_t i = 0; i < block->count; i++)
        found = found || (block->entry[i].range.v6 == n.v6 && block->entry[i].range.bits == n.bits &&
                          memcmp(block->entry[i].range.address, n.address, 16) == 0);
    return found;
}

static struct qs_block *chosen(struct qs_sources *sources)
{
    static struct qs_source address[32], network[32];
    static char *relays[] = {"198.51.100.5", NULL}, *networks[] = {"198.51.100.64/26", "2001:db8:5::/64"}, *own[] = {"203.0.113.250"};
    struct qs_site site = {.trusted_relays = relays, .trusted_relay_count = 1, .networks = networks, .network_count = 2};
    struct qs_block_wish wish = {.format = QS_BLOCK_PLAIN, .over = 20, .now = NOW, .until = NOW + HOUR, .own = own, .own_count = 1};
    struct qs_block *block = NULL;
    uint32_t a = 0, n = 0;
    source_at(address, &a, "192.0.2.1", 20);
    source_at(address, &a, "192.0.2.2", 19);
    source_at(address, &a, "192.0.2.3", 500)->legit = 1;
    source_at(address, &a, "192.0.2.4", 500)->logins = 1;
    source_at(address, &a, "192.0.2.5", 500)->delivered = 25;
    source_at(address, &a, "192.0.2.6", 500)->delivered = 24;
    source_at(address, &a, "198.51.100.5", 500);
    source_at(address, &a, "198.51.100.66", 500);
    source_at(address, &a, "203.0.113.250", 500);
    source_at(address, &a, "127.0.0.1", 500);
    source_at(address, &a, "10.9.9.9", 500);
    source_at(address, &a, "not an address", 500);
    source_at(address, &a, "2001:db8:1::1", 500);
    for (unsigned i = 0; i < 3; i++)
        source_at(address, &a, ((const char *[]){"203.0.113.1", "203.0.113.2", "203.0.113.3"})[i], 30);
    for (unsigned i = 0; i < 2; i++)
        source_at(address, &a, ((const char *[]){"192.0.9.1", "192.0.9.2"})[i], 30);
    for (unsigned i = 0; i < 3; i++)
        source_at(address, &a, ((const char *[]){"198.18.7.1", "198.18.7.2", "198.18.7.3"})[i], 30);
    source_at(network, &n, "192.0.2.0/24", 2000)->legit = 1;
    source_at(network, &n, "203.0.113.0/24", 90);               /* this host is in it */
    source_at(network, &n, "198.18.7.0/24", 90);
    source_at(network, &n, "192.0.9.0/24", 60);                 /* two are not several */
    source_at(network, &n, "2001:db8:1::/64", 500);
    source_at(network, &n, "2001:db8:2::/64", 500)->legit = 1;
    source_at(network, &n, "2001:db8:5::/64", 500);
    sources->of[QS_SOURCE_ADDRESS] = address;
    sources->of[QS_SOURCE_NETWORK] = network;
    sources->count[QS_SOURCE_ADDRESS] = a;
    sources->count[QS_SOURCE_NETWORK] = n;
    assert_int_equal(qs_block_choose(root, sources, &site, &wish, &block, NULL), QS_OK);
    return block;
}

static void only_bad_strangers_are_blocked(void **state)
{
    (void)state;
    struct qs_sources sources = {.logs = true};
    struct qs_block *block = chosen(&sources);
    static const char *const blocked[] = {"192.0.2.1", "192.0.2.6", "203.0.113.1", "203.0.113.2", "203.0.113.3", "192.0.9.1",
                                          "192.0.9.2", "198.18.7.0/24", "2001:db8:1::/64"};
    for (size_t i = 0; i < sizeof blocked / sizeof *blocked; i++)
        if (!is_blocked(block, blocked[i]))
            fail_msg("%s", blocked[i]);
    assert_int_equal(block->count, sizeof blocked / sizeof *blocked);
    assert_int_equal(block->spared_all, 10);
    assert_int_equal(block->spared_count, 10);
}

static void files_are_read_back(void **state)
{
    (void)state;
    struct qs_sources sources = {.logs = true};
    struct qs_block *block = chosen(&sources), *again = NULL;
    for (unsigned f = 0; f < QS_BLOCK_FORMATS; f++) {
        enum qs_block_format format;
        assert_true(qs_block_format_parse(qs_span_of(qs_block_format_name((enum qs_block_format)f)), &format));
        block->format = format;
        block->entry[0].until = NOW + 2 * HOUR;
        char *text = qs_block_text(root, block);
        size_t len = strlen(text);
        assert_int_equal(qs_block_read(root, qs_span_of(text), &again, NULL), QS_OK);
        assert_int_equal(again->count, block->count);
        assert_int_equal(qs_block_prune(again, NOW + HOUR), block->count - 1);
        assert_int_equal(again->count, 1);
        char *pruned = qs_block_text(root, again);
        assert_int_equal(qs_block_read(root, qs_span_of(pruned), &again, NULL), QS_OK);
        for (size_t cut = 0; cut < len; cut++) {
            char *copy = talloc_memdup(root, text, cut ? cut : 1);
            assert_int_equal(qs_block_read(root, (struct qs_span){copy, cut}, &again, NULL), QS_DATA);
            talloc_free(copy);
        }
        text[len - 2] ^= 1;
        assert_int_equal(qs_block_read(root, qs_span_of(text), &again, NULL), QS_DATA);
    }
}

static void old_entries_stay_unless_good(void **state)
{
    (void)state;
    struct qs_sources sources = {.logs = true};
    struct qs_block *block = chosen(&sources), *older = talloc_zero(root, struct qs_block);
    struct qs_block_entry entry[] = {{{{192, 0, 2, 1}, 32, false}, NOW + 2 * HOUR, 7}, {{{192, 0, 2, 3}, 32, false}, NOW + HOUR, 7},
                                     {{{192, 0, 2, 0}, 24, false}, NOW + HOUR, 7},     {{{9, 9, 9, 9}, 32, false}, NOW + HOUR, 7},
                                     {{{8, 8, 8, 8}, 32, false}, NOW, 7},              {{{10, 0, 0, 1}, 32, false}, NOW + HOUR, 7}};
    struct qs_site site = {0};
    struct qs_block_wish wish = {.now = NOW, .until = NOW + HOUR};
    uint32_t before = block->count;
    older->entry = entry;
    older->count = 6;
    assert_int_equal(qs_block_merge(block, older, &sources, &site, &wish, NULL), QS_OK);
    assert_int_equal(block->count, before + 1);
    assert_true(is_blocked(block, "9.9.9.9"));
    for (uint32_t i = 0; i < block->count; i++)
        if (block->entry[i].range.address[3] == 1 && block->entry[i].range.address[2] == 2)
            assert_int_equal(block->entry[i].until, NOW + 2 * HOUR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(lines_are_read_by_position, free_all),
        cmocka_unit_test_teardown(cut_lines_are_harmless, free_all),
        cmocka_unit_test_teardown(logs_are_counted, free_all),
        cmocka_unit_test_teardown(times_are_read, free_all),
        cmocka_unit_test_teardown(old_attempts_are_left_out, free_all),
        cmocka_unit_test_teardown(memory_is_bounded, free_all),
        cmocka_unit_test_teardown(words_for_no_such_user, free_all),
        cmocka_unit_test_teardown(only_bad_strangers_are_blocked, free_all),
        cmocka_unit_test_teardown(files_are_read_back, free_all),
        cmocka_unit_test_teardown(old_entries_stay_unless_good, free_all),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
