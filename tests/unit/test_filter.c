/* SPDX-License-Identifier: Apache-2.0 */
/* Which messages each option takes, how options combine, and what is refused. */
#include "view.h"

#include <stdlib.h>
#include <unistd.h>

#define STORM(noise)                                                                                         \
    "From: Shop <deals@shop.invalid>\nSubject: Cheap watches " noise "\n"                                    \
    "Message-ID: <" noise "@shop.invalid>\nDate: Tue, 14 Nov 2023 22:13:20 +0000\n\n"                        \
    "Dear friend, we sell the finest watches of the whole world at a price that nobody else can offer you "  \
    "today. "                                                                                                \
    "Order now and receive a second watch for free, together with a leather box and a lifetime of "          \
    "warranty. "                                                                                             \
    "Our stock is small and this offer ends on sunday at noon, so do not wait until all of them are "        \
    "gone. " noise "\n"

#define NOTICE                                                                                               \
    "From: MAILER-DAEMON@there.invalid\nSubject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n"   \
    "Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\n\n"                        \
    "--b\nContent-Type: text/plain\n\nI am sorry to have to tell you that your message could not be "        \
    "delivered to "                                                                                          \
    "one or more of its recipients. It is attached below, for what it is worth.\n"                           \
    "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; there.invalid\n\n"                    \
    "Final-Recipient: rfc822; x@there.invalid\nAction: failed\nStatus: 5.1.1\n\n"                            \
    "--b\nContent-Type: message/rfc822\n\n" STORM("zzzz") "\n--b--\n"

#define LETTER                                                                                               \
    "From: Ann <ann@example.org>\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from the museum\n\n"                  \
    "Hello Bob, the paintings came back from the restorer yesterday and look wonderful. Would you like to "  \
    "come over "                                                                                             \
    "on friday to see them before the public does? Bring the children, there will be cake in the garden.\n"

static const struct made mails[] = {
    {.id = "A1",
     .sender = "win1@shop.invalid",
     .to = {"bob@example.org"},
     .client = "192.0.2.7",
     .name = "dsl-7.isp.invalid",
     .helo = "friend",
     .content = STORM("alpha"),
     .age = 100,
     .size = 1000},
    {.id = "A2",
     .sender = "win2@shop.invalid",
     .to = {"eve@example.net", "joe@example.net"},
     .client = "192.0.2.200",
     .name = "unknown",
     .helo = "[10.1.1.1]",
     .content = STORM("beta"),
     .age = 200,
     .size = 2000,
     .done = true},
    {.id = "A3",
     .sender = "win3@shop.invalid",
     .to = {"kim@example.net"},
     .client = "2001:db8::9",
     .name = "unknown",
     .helo = "gamma",
     .content = STORM("gamma"),
     .age = 300,
     .size = 3000,
     .queue = "hold",
     .flags = QS_ENV_HELD},
    {.id = "N1",
     .to = {"deals@shop.invalid"},
     .client = "198.51.100.3",
     .name = "mx.there.invalid",
     .helo = "mx.there.invalid",
     .content = NOTICE,
     .age = 400,
     .size = 4000},
    {.id = "L1",
     .sender = "ann@example.org",
     .to = {"bob@elsewhere.example"},
     .client = "10.0.0.5",
     .name = "ann.example.org",
     .helo = "ann",
     .sasl = "ann",
     .content = LETTER,
     .age = 500,
     .size = 5000},
    {.id = "U1",
     .sender = "root@example.org",
     .to = {"admin@example.org"},
     .age = 600,
     .size = 6000,
     .queue = "active"},
};
enum { A1, A2, A3, N1, L1, U1, MAILS };

static struct qs_view *view;
static struct qs_selection *sel;

static int setup(void **state)
{
    (void)state;
    view = view_new(mails, MAILS);
    sel = qs_selection_new(view);
    return sel == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    talloc_free(view);
    return 0;
}

static void give(char ***list, size_t *count, const char *value)
{
    *list = talloc_realloc(sel, *list, char *, (unsigned)*count + 1);
    assert_non_null(*list);
    (*list)[(*count)++] = talloc_strdup(*list, value);
}

/* Selects, and compares with the IDs listed with blanks between. */
static void expect_at(const char *ids, int line)
{
    uint8_t *marks = NULL;
    uint32_t count = 99, seen = 0;
    struct qs_error err = {""};
    char found[256] = "";
    enum qs_status status = qs_select(view, view, sel, &marks, &count, &err);
    if (status != QS_OK)
        fail_msg("line %d: %s: %s", line, qs_status_name(status), err.text);
    for (uint32_t i = 0; i < view->scan->count; i++) {
        assert_true(marks[i] <= 1);
        if (marks[i] == 0)
            continue;
        size_t len = strlen(found);
        (void)snprintf(found + len, sizeof found - len, "%s%s", len > 0 ? " " : "",
                       view->scan->messages[i].id);
        seen++;
    }
    if (strcmp(found, ids) != 0)
        fail_msg("line %d: selected '%s', not '%s'", line, found, ids);
    assert_int_equal(seen, count);
    assert_int_equal(talloc_get_size(marks), view->scan->count);
    assert_ptr_equal(talloc_parent(marks), view);
    talloc_free(marks);
    talloc_free(sel);
    sel = qs_selection_new(view);
}
#define expect(ids) expect_at(ids, __LINE__)

static void refuse_at(enum qs_status wanted, const char *words, int line)
{
    uint8_t *marks = NULL;
    uint32_t count = 99;
    struct qs_error err = {""};
    enum qs_status status = qs_select(view, view, sel, &marks, &count, &err);
    if (status != wanted || strstr(err.text, words) == NULL)
        fail_msg("line %d: %s: %s", line, qs_status_name(status), err.text);
    assert_null(marks);
    assert_int_equal(count, 99);
    talloc_free(sel);
    sel = qs_selection_new(view);
}
#define refuse(words) refuse_at(QS_USAGE, words, __LINE__)

static void sender(const char *value)
{
    give(&sel->senders, &sel->sender_count, value);
}

static void recipient(const char *value)
{
    give(&sel->recipients, &sel->recipient_count, value);
}

static void client(const char *value)
{
    give(&sel->clients, &sel->client_count, value);
}

static void subject(const char *value)
{
    give(&sel->subjects, &sel->subject_count, value);
}

static void id(const char *value)
{
    sel->ids_given = true;
    give(&sel->ids, &sel->id_count, value);
}

static void where(const char *value)
{
    give(&sel->where, &sel->where_count, value);
}

static void test_all(void **state)
{
    (void)state;
    assert_true(qs_selection_all(sel));
    expect("A1 A2 A3 N1 L1 U1");
}

static void test_ids(void **state)
{
    (void)state;
    sel->ids_given = true;
    assert_false(qs_selection_all(sel));
    expect("");                             /* an empty list from standard input is no wish for everything */
    id("A2");
    expect("A2");
    id("A2"), id("U1"), id("A2");
    expect("A2 U1");
    id("NOSUCHID");
    expect("");
    id("a2");                               /* queue IDs differ in case */
    expect("");
    id("A2 "), id("A"), id("A22"), id("");
    expect("");
}

static void test_text(void **state)
{
    (void)state;
    sender("^win[12]@");
    expect("A1 A2");
    sender("SHOP\\.INVALID$");
    expect("A1 A2 A3");
    sender("<>");
    expect("N1");
    sender("^$");
    expect("N1");
    sender("<>"), sender("^ann@");
    expect("N1 L1");
    recipient("@example\\.net$");
    expect("A2 A3");
    recipient("^joe@");                     /* has it already */
    expect("");
    recipient("^eve@");
    expect("A2");
    subject("gr\xc3\xbc\xc3\x9f" "e");
    expect("L1");
    subject("watches");
    expect("A1 A2 A3");
    subject("watches (alpha|gamma)");
    expect("A1 A3");
    sender("win"), recipient("example\\.net"), subject("beta");
    expect("A2");
    sender("(");
    refuse("--sender: pattern '(':");
    subject("");
    refuse("--subject: an empty pattern");
    sender("nobody"), subject("[");         /* told although nothing is left to look at */
    refuse("--subject: pattern '['");
}

static void test_clients(void **state)
{
    (void)state;
    client("192.0.2.0/24");
    expect("A1 A2");
    client("192.0.2.0/25");
    expect("A1");
    client("192.0.2.7");
    expect("A1");
    client("192.0.2.20");                   /* an address, no prefix of 192.0.2.200 */
    expect("");
    client("[192.0.2.7]");                  /* nor a set of characters */
    expect("A1");
    client("2001:db8::/32");
    expect("A3");
    client("10.0.0.0/8");                   /* the address that it came from, not what it says in HELO */
    expect("L1");
    client("192.0.2.300/24");
    refuse("--client: 192.0.2.300/24 is no network");
    client("10\\.");                        /* a pattern: address, name and HELO */
    expect("A2 L1");
    client("^unknown$");
    expect("A2 A3");
    client("^friend$"), client("2001:db8::9");
    expect("A1 A3");
    client("^");                            /* U1 came from no client */
    expect("A1 A2 A3 N1 L1");
    client("192.0.2.0/33");
    refuse("--client: 192.0.2.0/33: the prefix length must be 0 to 32");
    client("192.0.2.(");
    refuse("--client: pattern");
}

static void test_numbers(void **state)
{
    (void)state;
    sel->older = 300;
    expect("A3 N1 L1 U1");
    sel->younger = 300;                     /* the other half */
    expect("A1 A2");
    sel->older = 200, sel->younger = 500;
    expect("A2 A3 N1");
    sel->older = 0;
    expect("A1 A2 A3 N1 L1 U1");
    sel->larger = 4000;
    expect("N1 L1 U1");
    sel->smaller = 4000;
    expect("A1 A2 A3");
    sel->smaller = 0;
    expect("");
    view->scan->messages[A1].arrival = INT64_MIN;       /* no overflow */
    view->scan->messages[A2].arrival = INT64_MAX;
    view->scan->messages[A3].size = UINT64_MAX;
    sel->older = 1000;
    expect("A1");
    sel->younger = 0;
    expect("A2");
    sel->larger = INT64_MAX;
    expect("A3");
}

static void test_queues(void **state)
{
    (void)state;
    give(&sel->queues, &sel->queue_count, "hold");
    expect("A3");
    give(&sel->queues, &sel->queue_count, "HOLD");
    give(&sel->queues, &sel->queue_count, "active");
    expect("A3 U1");
    give(&sel->queues, &sel->queue_count, "hol");
    expect("");
}

static void test_verdicts(void **state)
{
    static const uint8_t verdicts[MAILS] = {QS_STORM,       QS_STORM, QS_UNSURE,
                                            QS_BACKSCATTER, QS_LEGIT, QS_LEGIT};
    static const uint8_t causes[MAILS] = {QS_CAUSE_BOTNET_CAMPAIGN, QS_CAUSE_RELAY_ABUSE, QS_CAUSE_NONE,
                                          QS_CAUSE_BACKSCATTER_IN, QS_CAUSE_PERSONAL, QS_CAUSE_TRANSACTIONAL};
    (void)state;
    for (size_t i = 0; i < MAILS; i++) {
        view->judgement->of[i].verdict = verdicts[i];
        view->judgement->of[i].cause = causes[i];
    }
    sel->verdicts = 1u << QS_STORM;
    expect("A1 A2");
    sel->verdicts = 1u << QS_UNSURE;
    expect("A3");
    sel->verdicts = 1u << QS_STORM | 1u << QS_LEGIT;
    expect("A1 A2 L1 U1");
    sel->causes = 1u << QS_CAUSE_PERSONAL | 1u << QS_CAUSE_RELAY_ABUSE;
    expect("A2 L1");
    sel->verdicts = 1u << QS_STORM, sel->causes = 1u << QS_CAUSE_PERSONAL;
    expect("");
    sel->verdicts = 1u << QS_LEGIT;
    sender("^root@");
    expect("U1");
}

/* The group that the three alike messages are in. */
static const struct qs_group *storm_group(void)
{
    uint32_t group = view->judgement->group_of[A1];
    assert_int_not_equal(group, QS_NO_CLUSTER);
    assert_int_equal(view->judgement->group_of[A2], group);
    return &view->judgement->group[group];
}

static void test_clusters(void **state)
{
    char name[32], *p;
    (void)state;
    (void)snprintf(name, sizeof name, "%s", storm_group()->name);
    uint32_t members = storm_group()->count;
    assert_true(members >= 3 && members < MAILS);
    give(&sel->clusters, &sel->cluster_count, name);
    sender("win");
    expect("A1 A2 A3");
    for (p = name; *p != '\0'; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
    give(&sel->clusters, &sel->cluster_count, name);
    sender("win");
    expect("A1 A2 A3");
    give(&sel->clusters, &sel->cluster_count, "C-nosuch");
    refuse("there is no cluster C-nosuch in this queue");
    give(&sel->clusters, &sel->cluster_count, name);
    give(&sel->clusters, &sel->cluster_count, "");
    refuse("there is no cluster");
}

/* Writes `content` into a file of its own and gives its name to --like. */
static void like(char path[32], const char *content)
{
    memcpy(path, "/tmp/qsurgeon-like-XXXXXX", sizeof "/tmp/qsurgeon-like-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    (void)close(fd);
    give(&sel->like, &sel->like_count, path);
}

static void test_like(void **state)
{
    char path[32], other[32];
    (void)state;
    like(path, STORM("omega"));
    expect("A1 A2 A3 N1");                  /* and the notice that returns such a message */
    (void)unlink(path);
    like(path, LETTER);
    expect("L1");
    (void)unlink(path);
    like(path, NOTICE); /* what the notice is about, and no other notice with such words */
    expect("A1 A2 A3 N1");
    (void)unlink(path);
    like(path, STORM("omega"));
    like(other, LETTER);
    sender("@");
    expect("A1 A2 A3 L1");
    (void)unlink(path);
    (void)unlink(other);
    like(path,
         "From: x@y.invalid\nSubject: other\n\nThe quarterly figures of the northern branch are due by the "
         "end of "
         "next week, please send them to accounting together with all receipts that are still missing.\n");
    expect("");
    (void)unlink(path);
    /* one that is in the queue: by its ID, or its file there; sendmail's has two letters before it */
    give(&sel->like, &sel->like_count, "A2");
    expect("A1 A2 A3 N1");
    give(&sel->like, &sel->like_count, "/var/spool/mqueue/qfA2");
    expect("A1 A2 A3 N1");
    give(&sel->like, &sel->like_count, "deferred/L/L1");
    expect("L1");
    give(&sel->like, &sel->like_count, "N1");
    expect("A1 A2 A3 N1");
    like(path, "");
    refuse("no text to compare; a raw message or the ID of one in the queue is wanted");
    (void)unlink(path);
    give(&sel->like, &sel->like_count, path);
    refuse_at(QS_GONE, "--like /tmp/qsurgeon-like-", __LINE__);
    give(&sel->like, &sel->like_count, "/");
    refuse_at(QS_IO, "--like /", __LINE__);
}

/* More strings come in by --like than there were when the scan ended. */
static void test_like_with_text(void **state)
{
    char path[32];
    (void)state;
    for (int i = 0; i < 50; i++) {
        char content[2000];
        (void)snprintf(content, sizeof content,
                       "From: new%d@new%d.invalid\nSubject: new %d\nX-Mailer: new %d\n\n%s", i, i, i, i,
                       strstr(STORM("nu"), "\n\n") + 2);
        like(path, content);
        subject("watches"), sender("win"), client("invalid");
        expect("A1");
        (void)unlink(path);
    }
}

static void test_where(void **state)
{
    (void)state;
    where("age >= 300 AND sender != ''");
    expect("A3 L1 U1");
    where("queue_name = 'hold'"), where("sasl_username = 'ann'");
    expect("A3 L1");
    where("subject REGEXP 'WATCHES (alpha|beta)'");
    expect("A1 A2");
    where("domain(sender) = 'shop.invalid' AND in_network(client_address, '192.0.2.0/25')");
    expect("A1");
    where("sasl_username != 'ann'");        /* also what has no login */
    expect("A1 A2 A3 N1 U1");
    where("local_uid IS NOT NULL");
    expect("U1");
    where("queue_id IN ('A1', 'U1', 'nosuch')");
    expect("A1 U1");
    where("EXISTS (SELECT 1 FROM recipients r WHERE r.message = messages.message AND r.domain = "
          "'example.net')");
    expect("A2 A3");
    where("sender_domain IN (SELECT sender_domain FROM messages GROUP BY 1 HAVING count(*) > 2)");
    expect("A1 A2 A3");
    where("(SELECT count(*) FROM messages m WHERE m.sender_domain = messages.sender_domain) > 2");
    sender("win1"); /* the expression sees the whole queue, not what other options left */
    expect("A1");
    where("bounce"), sel->larger = 4000;
    expect("N1");
    where("1 -- a comment");
    expect("A1 A2 A3 N1 L1 U1");
    where("NULL");
    expect("");
    where("(1)");
    sel->smaller = 2000;
    expect("A1");
}

/* An expression is one expression: it does not leave its parentheses, and does nothing but read our
 * tables. */
static void test_where_is_caged(void **state)
{
    static const char *const tricks[] = {
        "1) OR (1",
        "0) UNION SELECT message FROM messages WHERE (1",
        "1); DROP TABLE messages; --",
        "1; SELECT 1",
        "1;",
        "1) --",
        "1) /*",
        "1 /*",
        "1 --\n) OR (1",
        "0 UNION SELECT message FROM messages",
        "1 ORDER BY 1",
        "1 LIMIT 1",
        "1 GROUP BY sender",
        "",
        " ",
        "--",
        ";",
        ")",
        "(",
        "'",
        "\"",
        "[",
        "`",
        "1, 1",
        "count(*) > 0",
        "row_number() OVER () = 1",
        "message = ?",
        "message = :x",
        "message = @x",
        "(SELECT count(*) FROM sqlite_master) >= 0 AND (SELECT name FROM sqlite_master) IS NULL",
        "(SELECT sql FROM sqlite_schema) IS NULL",
        "(SELECT name FROM pragma_database_list) = 'main'",
        "(SELECT file FROM pragma_database_list) IS NOT NULL",
        "load_extension('x')",
        "load_extension('x', 'y') OR 1",
        "fts3_tokenizer('simple') IS NOT NULL",
        "randomblob(10) IS NOT NULL",
        "zeroblob(1000000000) IS NOT NULL",
        "random() > 0",
        "sqlite_version() > ''",
        "sqlite_compileoption_used('x')",
        "last_insert_rowid()",
        "changes()",
        "readfile('/etc/passwd') IS NOT NULL",
        "writefile('x', 'y')",
        "edit('x')",
        "(SELECT atom FROM json_each('[1]')) = 1",
        "(WITH RECURSIVE c(x) AS (SELECT 1 UNION SELECT x + 1 FROM c) SELECT max(x) FROM c)",
        "(SELECT value FROM generate_series(1, 5))",
        "(SELECT ncell FROM dbstat) > 0",
        "(SELECT sql FROM sqlite_stmt) > ''",
        "EXISTS (SELECT 1; DELETE FROM messages)",
        "(INSERT INTO messages VALUES (1))",
        "(PRAGMA user_version)",
        "(ATTACH 'x' AS y)",
        "nosuchcolumn = 1",
        "verdct != 'legit'",
        "\"nosuchcolumn\" != 'legit'",
        "subject = \"watches\"",
        "main.messages.nosuch",
        "temp.x = 1",
        "RAISE(ABORT, 'x')",
        "sender REGEXP '('",
        "sender REGEXP ''",
        "in_network(client_address, 'example.org')",
        "in_network(client_address, '10.0.0.0/99')",
        "nosuchfunction(1)",
        "domain()",
        "domain(1, 2)",
    };
    (void)state;
    for (size_t i = 0; i < sizeof tricks / sizeof tricks[0]; i++) {
        uint8_t *marks = NULL;
        uint32_t count = 99;
        struct qs_error err = {""};
        where(tricks[i]);
        enum qs_status status = qs_select(view, view, sel, &marks, &count, &err);
        if (status != QS_USAGE || marks != NULL || count != 99 || strncmp(err.text, "--where ", 8) != 0)
            fail_msg("'%s': %s: %s", tricks[i], qs_status_name(status), err.text);
        talloc_free(sel);
        sel = qs_selection_new(view);
    }
    where("1");
    expect("A1 A2 A3 N1 L1 U1");
}

/* What takes for ever ends, by steps and not by the clock. */
static void test_bounded(void **state)
{
    (void)state;
    where("(SELECT count(*) FROM messages a, messages b, messages c, messages d, messages e, messages f, "
          "messages g, messages h, "
          "messages i, messages j, messages k, messages l, messages m, messages n, messages o) > 0");
    refuse("takes too many steps");
    where("replace(hex(printf('%1000000d', 1)), '0', printf('%1000000d', 1)) != ''");
    refuse("string or blob too big");
    qs_sym hostile;
    char text[QS_INTERN_MAX];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '!';
    hostile = qs_intern(view->scan->strings, (struct qs_span){text, sizeof text});
    view->scan->messages[L1].subject = hostile;
    subject("^(a+)+$");
    refuse("too many steps");
    where("subject REGEXP '^(a+)+$'");
    refuse("too many steps");
    subject("^a+!$");                       /* an honest one goes through */
    expect("L1");
}

static void test_empty_scan(void **state)
{
    struct qs_view *kept = view;
    char path[32];
    (void)state;
    view = view_new(mails, 0);
    sender("x"), subject("y"), client("192.0.2.1"), recipient("z"), where("age > 1"), id("A1");
    expect("");
    like(path, LETTER);
    expect("");
    (void)unlink(path);
    sender("(");
    refuse("--sender");
    talloc_free(view);
    view = kept;
    sel = qs_selection_new(view);
}

static void words_are(const char *wanted)
{
    char *words = qs_selection_words(view, sel);
    assert_string_equal(words, wanted);
    assert_ptr_equal(talloc_parent(words), view);
    talloc_free(words);
    talloc_free(sel);
    sel = qs_selection_new(view);
}

static void test_words(void **state)
{
    (void)state;
    words_are("all messages");
    sel->ids_given = true;
    words_are("an empty list of queue IDs");
    sel->verdicts = 1u << QS_STORM | 1u << QS_BACKSCATTER;
    sel->causes = 1u << QS_CAUSE_MAIL_LOOP;
    sender("a"), sender("b"), subject("c d");
    sel->older = 5400, sel->larger = 10240;
    words_are("verdict storm or backscatter, cause mail-loop, sender a or b, subject c d, older than 1h30m, "
              "at least 10240 bytes");
    for (int i = 0; i < 7; i++)
        id("X");
    sel->younger = 0;
    words_are("queue ID X or X or X or X or X or 2 more, younger than 0s");
    where("a = 1"), client("10.0.0.0/8"), recipient("r");
    give(&sel->queues, &sel->queue_count, "hold");
    give(&sel->clusters, &sel->cluster_count, "C-1");
    give(&sel->like, &sel->like_count, "f");
    sel->older = 8 * 86400 + 1, sel->smaller = 1;
    words_are("cluster C-1, queue hold, recipient r, client 10.0.0.0/8, like f, older than 1w1d1s, smaller "
              "than 1 bytes, "
              "where a = 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clients, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queues, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verdicts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clusters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_like, setup, teardown),
        cmocka_unit_test_setup_teardown(test_like_with_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_where, setup, teardown),
        cmocka_unit_test_setup_teardown(test_where_is_caged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_scan, setup, teardown),
        cmocka_unit_test_setup_teardown(test_words, setup, teardown),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
