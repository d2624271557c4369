/* SPDX-License-Identifier: Apache-2.0 */
/* Queries: every column has the value it should, joins find what a full search finds, and only reading
 * happens. */
#include "view.h"

#include <sqlite3.h>
#include <stdlib.h>

static const struct made mails[] = {
    {.id = "B1",
     .sender = "Ann@Example.ORG",
     .to = {"bob@Elsewhere.example", "eve@there.example"},
     .reason = "try later",
     .client = "192.0.2.7",
     .name = "host.example",
     .helo = "helo.example",
     .sasl = "ann",
     .age = 60,
     .size = 1234,
     .done = true,
     .content =
         "Received: from a (a [198.51.100.9]) by mx1.example with ESMTP; Tue, 14 Nov 2023 22:13:20 +0000\n"
         "From: Ann <ann@From.example>\nSubject: one\nMessage-ID: <m1@example.org>\nX-Mailer: Pen 1.0\n"
         "List-Id: <list.example.org>\nDate: Tue, 14 Nov 2023 22:13:20 +0000\n\n"
         "See http://www.shop.example/x for the details of this offer, which is open until the end of the "
         "week.\n"},
    {.id = "B2",
     .to = {"ann@example.org"},
     .age = 120,
     .size = 99,
     .queue = "hold",
     .flags = QS_ENV_HELD | QS_ENV_FORCED_EXPIRE,
     .content = "From: MAILER-DAEMON@x.example\nSubject: failed\nMIME-Version: 1.0\n"
                "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\ncould not "
                "be sent\n"
                "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x.example\n\n"
                "--b\nContent-Type: message/rfc822\n\nFrom: ann@example.org\nSubject: the first "
                "one\n\nhello\n--b--\n"},
    {.id = "B3",
     .sender = "x@y.example",
     .to = {"a@b.example", "c@d.example", "e@f.example"},
     .age = 180,
     .size = 5,
     .content = "From: x@y.example\nSubject: \033]0;owned\007\n\nsame words in both of these two messages, "
                "so that they are alike\n"},
    {.id = "B3",
     .sender = "z@y.example",
     .to = {"a@b.example"},
     .age = 240,
     .size = 6,
     .content = "From: z@y.example\nSubject: two\n\nsame words in both of these two messages, so that they "
                "are alike\n"},
    {.id = "B5", .sender = "root@y.example", .age = 300, .size = 7},
};
enum { MAILS = 5 };

static struct qs_view *view;

static int setup(void **state)
{
    (void)state;
    view = view_new(mails, MAILS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    talloc_free(view);
    return 0;
}

/* Rows as text: cells with '|' between, '\n' behind each row, NULL as "NULL". */
struct table {
    char *text;
    int columns;
    unsigned rows, most;
};

static bool collect(void *data, const struct qs_row *row)
{
    struct table *t = data;
    for (int c = 0; c < row->columns; c++) {
        assert_non_null(row->names[c]);
        if (row->values[c] == NULL)
            assert_int_equal(row->types[c], SQLITE_NULL);
        else
            assert_int_equal(strlen(row->values[c]), row->lengths[c]);
        t->text = talloc_asprintf_append_buffer(t->text, "%s%s", c > 0 ? "|" : "",
                                                row->values[c] != NULL ? row->values[c] : "NULL");
    }
    t->text = talloc_strdup_append_buffer(t->text, "\n");
    assert_non_null(t->text);
    t->columns = row->columns;
    return ++t->rows < t->most;
}

static char *ask(const uint8_t *selected, const char *query)
{
    struct table t = {talloc_strdup(view, ""), 0, 0, UINT32_MAX};
    struct qs_error err = {""};
    enum qs_status status = qs_sql(view, selected, query, collect, &t, &err);
    if (status != QS_OK)
        fail_msg("%s: %s: %s", query, qs_status_name(status), err.text);
    return t.text;
}

static void gives_at(const char *query, const char *wanted, int line)
{
    char *text = ask(NULL, query);
    if (strcmp(text, wanted) != 0)
        fail_msg("line %d: %s\ngives\n%snot\n%s", line, query, text, wanted);
    talloc_free(text);
}
#define gives(query, wanted) gives_at(query, wanted, __LINE__)

static bool collect_names(void *data, const struct qs_row *row)
{
    char **names = data;
    for (int c = 0; c < row->columns; c++)
        *names = talloc_asprintf_append_buffer(*names, "%s ", row->names[c]);
    return false;
}

/* The list of columns is what the tables have, in the same order. */
static void test_columns(void **state)
{
    size_t count, at = 0;
    const struct qs_column *column = qs_columns(&count);
    unsigned tables = 0;
    (void)state;
    while (at < count) {
        const char *name = column[at].table;
        char *wanted = talloc_strdup(view, ""), *names = talloc_strdup(view, "");
        for (; at < count && strcmp(column[at].table, name) == 0; at++) {
            assert_true(column[at].help[0] != '\0');
            assert_true(strcmp(column[at].type, "TEXT") == 0 || strcmp(column[at].type, "INTEGER") == 0 ||
                        strcmp(column[at].type, "REAL") == 0);
            wanted = talloc_asprintf_append_buffer(wanted, "%s ", column[at].name);
        }
        /* a row also when the table is empty */
        char *query = talloc_asprintf(view, "SELECT t.* FROM (SELECT 1) LEFT JOIN %s t ON 1", name);
        assert_int_equal(qs_sql(view, NULL, query, collect_names, &names, NULL), QS_OK);
        assert_string_equal(names, wanted);
        tables++;
    }
    assert_int_equal(tables, 5);
}

static void test_message(void **state)
{
    char *text;
    (void)state;
    gives("SELECT message, queue_name, queue_id, instance, arrival_time, age, message_size FROM messages "
          "WHERE message = 0",
          "0|deferred|B1|mx1|1699999940|60|1234\n");
    gives("SELECT sender, sender_domain, client_address, client_name, helo, protocol, sasl_username, "
          "local_uid FROM messages "
          "WHERE message = 0",
          "Ann@Example.ORG|example.org|192.0.2.7|host.example|helo.example|ESMTP|ann|NULL\n");
    gives("SELECT from_address, subject, message_id, mailer, list_id, script, recipient_count FROM messages "
          "WHERE message = 0",
          "ann@from.example|one|<m1@example.org>|Pen 1.0|<list.example.org>||2\n");
    gives("SELECT received, own_hops, first_by, last_client, url_host, url_hosts, hidden_size, bounce FROM "
          "messages "
          "WHERE message = 0",
          "1|1|mx1.example|198.51.100.9|www.shop.example|1|0|0\n");
    gives("SELECT attempts, next_try, forced_expire, held, hold_reason, sender, local_uid FROM messages "
          "WHERE message = 1",
          "0|NULL|1|1|||33\n");
    gives("SELECT bounce, returned_from, returned_subject FROM messages WHERE message = 1",
          "1|ann@example.org|the first one\n");
    gives("SELECT typeof(age), typeof(score), typeof(subject), typeof(local_uid), typeof(next_try) FROM "
          "messages WHERE message = 0",
          "integer|real|text|null|null\n");
    gives("SELECT length(body_hash), body_hash = lower(body_hash), length(hex(subject)) FROM messages WHERE "
          "message = 2",
          "16|1|20\n");
    gives("SELECT subject = char(27) || ']0;owned' || char(7) FROM messages WHERE message = 2", "1\n");
    gives("SELECT body_hash, cluster FROM messages WHERE queue_id = 'B5'", "|\n");
    gives("SELECT count(*) FROM messages WHERE cluster = '' AND queue_id = 'B5'", "1\n");
    gives("SELECT count(*) = (SELECT count(*) FROM messages WHERE +cluster = '') FROM messages WHERE cluster "
          "= ''",
          "1\n");
    gives("SELECT sender_domain, length(body_hash), length(traits) > 3 FROM messages WHERE message = 0",
          "example.org|16|1\n");       /* cells do not share their bytes */
    text = ask(NULL, "SELECT ' ' || traits || ' ' FROM messages WHERE message = 0");
    assert_non_null(strstr(text, " list-id "));
    talloc_free(text);
    text = ask(NULL, "SELECT ' ' || traits || ' ' FROM messages WHERE message = 1");
    assert_non_null(strstr(text, " delivery-report "));
    assert_non_null(strstr(text, " returned "));
    assert_non_null(strstr(text, " from-daemon "));
    talloc_free(text);
    view->scan->messages[4].traits = UINT32_MAX;
    gives("SELECT length(traits) - length(replace(traits, ' ', '')) FROM messages WHERE queue_id = 'B5'",
          "31\n");
    view->scan->messages[4].size = UINT64_MAX;
    gives("SELECT message_size FROM messages WHERE queue_id = 'B5'", "9223372036854775807\n");
}

static void test_verdict_columns(void **state)
{
    char wanted[256];
    const struct qs_judgement *judged = view->judgement;
    (void)state;
    const struct qs_group *group = &judged->group[judged->group_of[2]];
    assert_int_equal(judged->group_of[2], judged->group_of[3]);
    (void)snprintf(wanted, sizeof wanted, "%s|%s|%s|1\n", group->name, qs_verdict_name(judged->of[2].verdict),
                   qs_cause_name(judged->of[2].cause));
    char query[256];
    (void)snprintf(
        query, sizeof query,
        "SELECT cluster, verdict, cause, abs(score - %.9g) < 0.00001 FROM messages WHERE message = 2",
        (double)judged->of[2].score);
    gives(query, wanted);
    (void)snprintf(wanted, sizeof wanted, "%s|%s|%s|%u|%llu|%u|%u|%u|%lld|%lld|%u\n", group->name,
                   qs_verdict_name(group->verdict), qs_cause_name(group->cause), group->count,
                   (unsigned long long)group->bytes, group->senders, group->clients, group->recipients,
                   (long long)group->oldest, (long long)group->newest, group->sample);
    (void)snprintf(query, sizeof query,
                   "SELECT name, verdict, cause, messages, bytes, senders, clients, recipients, oldest, "
                   "newest, sample FROM clusters WHERE name = '%s'",
                   group->name);
    gives(query, wanted);
    gives("SELECT count(*) = (SELECT count(*) FROM clusters) FROM clusters WHERE name IN (SELECT cluster "
          "FROM messages)",
          "1\n");
}

static void test_recipients(void **state)
{
    (void)state;
    gives("SELECT * FROM recipients WHERE message = 0",
          "0|0|B1|bob@Elsewhere.example|elsewhere.example|todo|try later|0|\n"
          "0|1|B1|eve@there.example|there.example|done||0|\n");
    gives("SELECT message, position FROM recipients ORDER BY 1, 2", "0|0\n0|1\n1|0\n2|0\n2|1\n2|2\n3|0\n");
    gives("SELECT count(DISTINCT rowid), count(*) FROM recipients", "7|7\n");
    gives("SELECT position, state FROM recipients WHERE queue_id = 'B3' AND domain = 'd.example'",
          "1|todo\n");
    gives("SELECT domain('a@B@C.Example'), domain('none'), domain('x@'), domain(NULL), domain(5)",
          "c.example|||NULL|\n");
}

static void test_evidence(void **state)
{
    char *rows, *direct;
    (void)state;
    struct qs_evidence *list = NULL;
    size_t count = 0, total = 0;
    for (uint32_t i = 0; i < MAILS; i++) {
        assert_int_equal(qs_explain_message(view, view->judgement, i, &list, &count, NULL), QS_OK);
        char wanted[16], query[100];
        (void)snprintf(query, sizeof query, "SELECT count(*) FROM evidence WHERE message = %u", i);
        (void)snprintf(wanted, sizeof wanted, "%zu\n", count);
        gives(query, wanted);
        total += count;
        if (count > 0) {
            direct = talloc_asprintf(view, "%s|%s|%s\n", qs_family_name(list[0].family), list[0].name,
                                     list[0].detail);
            (void)snprintf(query, sizeof query,
                           "SELECT family, name, detail FROM evidence WHERE message = %u LIMIT 1", i);
            gives(query, direct);
            talloc_free(direct);
        }
        talloc_free(list);
    }
    assert_true(total > 0);
    char wanted[32];
    (void)snprintf(wanted, sizeof wanted, "%zu|%zu\n", total, total);
    gives("SELECT count(*), count(DISTINCT rowid) FROM evidence", wanted);
    /* the sum of the evidence is the score */
    gives("SELECT count(*) FROM messages m WHERE abs(score - (SELECT total(weight) FROM evidence e "
          "WHERE e.message = m.message)) > 0.01", "0\n");
    rows = ask(NULL, "SELECT m.queue_id, e.name FROM messages m JOIN evidence e ON e.queue_id = m.queue_id "
                     "WHERE m.queue_id = 'B1' ORDER BY 2");
    direct = ask(NULL, "SELECT queue_id, name FROM evidence WHERE +queue_id = 'B1' ORDER BY 2");
    assert_string_equal(rows, direct);
    talloc_free(rows);
    talloc_free(direct);
}

/* An equality that a table can follow gives what looking at every row gives. +x = ... keeps SQLite from
 * using it. */
static void test_ways_in(void **state)
{
    static const char *const conditions[] = {
        "message = 0",
        "message = 4",
        "message = 5",
        "message = -1",
        "message = 4294967295",
        "message = 4294967296",
        "message = 2.0",
        "message = 2.5",
        "message = '2'",
        "message = ' 2 '",
        "message = '2x'",
        "message = '20e-1'",
        "message = NULL",
        "message = x'32'",
        "message = 1e300",
        "message = -1e300",
        "message IN (1, 3, '0', NULL)",
        "queue_id = 'B3'",
        "queue_id = 'b3'",
        "queue_id = 'B3 '",
        "queue_id = 'B3' COLLATE NOCASE",
        "queue_id = 'b3' COLLATE NOCASE",
        "queue_id = 'B3 ' COLLATE RTRIM",
        "queue_id = ''",
        "queue_id = NULL",
        "queue_id = 3",
        "queue_id = x'4233'",
        "queue_id IN ('B5', 'B1', 'x')",
        "queue_id IS 'B1'",
        "rowid = 1",
        "message = 1 AND queue_id = 'B2'",
        "message = 1 AND queue_id = 'B1'",
        "message = 1 OR queue_id = 'B3'",
        "queue_id > 'B2'",
    };
    static const char *const tables[] = {"messages", "recipients", "evidence"};
    (void)state;
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        for (size_t t = 0; t < 3; t++) {
            char direct[256], whole[256], *a, *b;
            (void)snprintf(direct, sizeof direct, "SELECT * FROM %s WHERE %s ORDER BY rowid", tables[t],
                           conditions[i]);
            (void)snprintf(
                whole, sizeof whole,
                "SELECT * FROM (SELECT *, rowid AS r FROM %s LIMIT -1 OFFSET 0) WHERE %s ORDER BY r",
                tables[t], conditions[i]);
            if (strstr(conditions[i], "rowid") != NULL)
                continue;
            a = ask(NULL, direct);
            b = ask(NULL, whole);
            /* the second has one more column, the last */
            char *to = b, *from = b;
            while (*from != '\0') {
                char *end = strchr(from, '\n'), *bar = end;
                while (*bar != '|')
                    bar--;
                memmove(to, from, (size_t)(bar - from));
                to += bar - from;
                *to++ = '\n';
                from = end + 1;
            }
            *to = '\0';
            if (strcmp(a, b) != 0)
                fail_msg("%s\ngives\n%sand not\n%s", direct, a, b);
            talloc_free(a);
            talloc_free(b);
        }
    }
    gives("SELECT queue_id FROM messages WHERE rowid = 1", "B2\n");
    gives("SELECT queue_id, position FROM recipients WHERE rowid = (SELECT max(rowid) FROM recipients)",
          "B3|0\n");
    gives("SELECT m.message, m.queue_id FROM messages m WHERE m.cluster IN (SELECT name FROM clusters) AND "
          "m.subject = 'two'",
          "3|B3\n");
    gives("SELECT count(*) FROM clusters c JOIN messages m ON m.cluster = c.name WHERE m.message > 1", "2\n");
    gives("SELECT count(*) FROM clusters WHERE name = 'x' OR name IS NULL OR name = 5", "0\n");
    gives("SELECT count(*) FROM messages WHERE cluster = 'C-none'", "0\n");
    gives("SELECT count(*) FROM messages m LEFT JOIN clusters c ON c.name = m.cluster", "5\n");
    gives("SELECT count(*) FROM messages m LEFT JOIN recipients r ON r.message = m.message", "8\n");
    gives("SELECT count(*) FROM messages a JOIN messages b ON a.queue_id = b.queue_id", "7\n");
}

static bool count_only(void *data, const struct qs_row *row)
{
    (void)row;
    ++*(unsigned *)data;
    return true;
}

/* A join by row number, queue ID or cluster costs what its rows cost: a nested search through 10,000 messages
 * would look at 100 million rows, which is more steps than a query on so few messages may take. */
static void test_joins_are_not_quadratic(void **state)
{
    enum { MANY = 10000 };
    static const char *const queries[] = {
        "SELECT count(*) FROM messages a, messages b, recipients c, messages d WHERE b.message = a.message "
        "AND c.message = b.message AND d.queue_id = c.queue_id",
        "SELECT count(*) FROM clusters c, messages m, recipients r WHERE m.cluster = c.name AND r.queue_id = "
        "m.queue_id",
        "SELECT count(*) FROM messages m, clusters c, recipients r WHERE c.name = m.cluster AND r.message = "
        "m.message",
    };
    (void)state;
    struct qs_view *kept = view;
    view = view_empty();
    struct qs_site *site = qs_site_new(view);
    for (unsigned i = 0; i < MANY; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "M%05u", i);
        const struct made made = {.id = id, .sender = "a@b.example", .to = {"c@d.example"}};
        view_add(view->scan, NULL, 0, &made);
        struct qs_fingerprint *print = &view->scan->messages[i].print;
        memset(print->sketch.bin, 1, sizeof print->sketch.bin);
        print->shingles = 100;
        print->body_hash = 5;
    }
    view_judge(view, site);
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        char *text = ask(NULL, queries[i]);
        assert_string_equal(text, "10000\n");
    }
    talloc_free(view);
    view = kept;
}

static void test_selected(void **state)
{
    const uint8_t marks[MAILS] = {1, 0, 0, 1, 0};
    char *text;
    (void)state;
    text = ask(marks, "SELECT message FROM messages");
    assert_string_equal(text, "0\n3\n");
    talloc_free(text);
    text = ask(marks, "SELECT message FROM messages WHERE message IN (1, 3)");
    assert_string_equal(text, "3\n");
    talloc_free(text);
    text = ask(marks, "SELECT message FROM messages WHERE queue_id = 'B3'");
    assert_string_equal(text, "3\n");
    talloc_free(text);
    text = ask(marks, "SELECT message, position FROM recipients");
    assert_string_equal(text, "0|0\n0|1\n3|0\n");
    talloc_free(text);
    text = ask(marks, "SELECT message FROM recipients WHERE message = 2");
    assert_string_equal(text, "");
    talloc_free(text);
    text = ask(marks, "SELECT group_concat(DISTINCT message) FROM evidence");
    assert_null(strchr(text, '1'));
    assert_null(strchr(text, '2'));
    talloc_free(text);
    text = ask(
        marks,
        "SELECT message FROM messages m WHERE EXISTS (SELECT 1 FROM clusters c WHERE c.name = m.cluster)");
    assert_string_equal(text, "3\n");
    talloc_free(text);
}

static void test_problems(void **state)
{
    struct qs_scan *scan = view->scan;
    (void)state;
    gives("SELECT count(*) FROM problems", "0\n");
    scan->problems[scan->problem_count++] = (struct qs_problem){"mx1/ABC", "damaged: no end record", QS_DATA};
    scan->problems[scan->problem_count++] = (struct qs_problem){"mx1/defer", "not readable", QS_NOPERM};
    char *wanted = talloc_asprintf(view, "mx1/ABC|%s|damaged: no end record\nmx1/defer|%s|not readable\n",
                                   qs_status_name(QS_DATA), qs_status_name(QS_NOPERM));
    gives("SELECT * FROM problems", wanted);
    talloc_free(wanted);
}

static void test_rows(void **state)
{
    unsigned rows = 0;
    struct table t = {talloc_strdup(view, ""), 0, 0, 2};
    struct qs_error err = {""};
    (void)state;
    assert_int_equal(
        qs_sql(view, NULL, "SELECT message AS m, NULL, 1.5, x'6162', 'a' FROM messages", collect, &t, &err),
        QS_OK);
    assert_string_equal(t.text, "0|NULL|1.5|ab|a\n1|NULL|1.5|ab|a\n");     /* the sink had enough */
    assert_int_equal(t.columns, 5);
    assert_int_equal(qs_sql(view, NULL, "SELECT 1 WHERE 0", count_only, &rows, &err), QS_OK);
    assert_int_equal(rows, 0);
    assert_int_equal(qs_sql(view, NULL, " SELECT 1 ; \n ;", count_only, &rows, &err), QS_OK);
    assert_int_equal(rows, 1);
    gives("WITH big AS (SELECT * FROM messages WHERE message_size > 50) SELECT count(*), max(queue_id) FROM "
          "big",
          "2|B2\n");
    gives("SELECT queue_name, count(*), sum(message_size) FROM messages GROUP BY 1 ORDER BY 2 DESC",
          "deferred|4|1252\nhold|1|99\n");
    gives("SELECT queue_id, rank() OVER (ORDER BY message_size) FROM messages LIMIT 1", "B3|1\n");
    gives("SELECT in_network('192.0.2.1', '192.0.2.0/24'), in_network('', '0.0.0.0/0'), in_network(NULL, "
          "'::/0'), "
          "in_network('10.0.0.1', '10.0.0.2')",
          "1|0|NULL|0\n");
    gives("SELECT 'Abc' REGEXP '^aB', 'abc' REGEXP 'x', NULL REGEXP 'x', 'x' REGEXP NULL, 55 REGEXP '5{2}'",
          "1|0|NULL|NULL|1\n");
    gives("SELECT queue_id FROM messages WHERE sender REGEXP substr(queue_id, 1, 0) || 'ann'", "B1\n");
    gives(
        "SELECT count(*) FROM (SELECT subject REGEXP subject FROM messages WHERE subject IN ('one', 'two'))",
        "2\n");
}

static void test_refused(void **state)
{
    static const struct {
        const char *query, *words;
    } cases[] = {
        {"", "no query"},
        {"  ", "no query"},
        {"-- nothing", "no query"},
        {"SELECT", "incomplete input"},
        {"SELEC 1", "syntax error"},
        {"SELECT nosuch FROM messages", "no such column"},
        {"SELECT * FROM nosuch", "no such table"},
        {"SELECT 1; SELECT 2", "only one statement"},
        {"SELECT 1; DROP TABLE messages", "only one statement"},
        {"INSERT INTO messages (message) VALUES (1)", ""},
        {"UPDATE messages SET sender = ''", ""},
        {"DELETE FROM messages", ""},
        {"CREATE TABLE x (y)", "may be read"},
        {"CREATE TEMP TABLE x AS SELECT 1", "may be read"},
        {"CREATE VIEW v AS SELECT 1", "may be read"},
        {"CREATE TEMP VIEW v AS SELECT 1", "may be read"},
        {"CREATE VIRTUAL TABLE f USING fts5(x)", "may be read"},
        {"CREATE TRIGGER t AFTER INSERT ON messages BEGIN SELECT 1; END", ""},
        {"DROP TABLE messages", ""},
        {"ATTACH '/tmp/qsurgeon-never' AS x", ""},
        {"ATTACH ':memory:' AS x", ""},
        {"DETACH main", "may be read"},
        {"PRAGMA user_version", "may be read"},
        {"PRAGMA database_list", "may be read"},
        {"PRAGMA temp_store_directory = '/tmp'", "may be read"},
        {"VACUUM", ""},
        {"VACUUM INTO '/tmp/qsurgeon-never'", ""},
        {"BEGIN", "may be read"},
        {"SAVEPOINT x", "may be read"},
        {"COMMIT", ""},
        {"ANALYZE", "may be read"},
        {"SELECT * FROM sqlite_master", "prohibited"},
        {"SELECT * FROM sqlite_temp_master", "prohibited"},
        {"SELECT * FROM pragma_table_info('messages')", ""},
        {"SELECT load_extension('x')", "not authorized"},
        {"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c", "may be read"},
        {"SELECT * FROM fts3tokenize", ""},
        {"SELECT \"nosuch\"", "no such column"},
        {"SELECT ?", "too many SQL variables"},
        {"EXPLAIN DELETE FROM messages", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned rows = 0;
        struct qs_error err = {""};
        enum qs_status status = qs_sql(view, NULL, cases[i].query, count_only, &rows, &err);
        if (status != QS_USAGE || err.text[0] == '\0' || strstr(err.text, cases[i].words) == NULL || rows > 0)
            fail_msg("'%s': %s, %u rows: %s", cases[i].query, qs_status_name(status), rows, err.text);
    }
    gives("SELECT count(*) FROM messages", "5\n");
}

static void test_bounded(void **state)
{
    struct qs_error err = {""};
    unsigned rows = 0;
    (void)state;
    assert_int_equal(
        qs_sql(
            view, NULL,
            "SELECT count(*) FROM messages a, messages b, messages c, messages d, messages e, messages f, "
            "messages g, messages h, messages i, messages j, messages k, messages l, messages m, messages n",
            count_only, &rows, &err),
        QS_USAGE);
    assert_string_equal(err.text, "takes too many steps: narrow it");
    assert_int_equal(rows, 0);
    assert_int_equal(qs_sql(view, NULL, "SELECT replace(printf('%1000000d', 1), ' ', printf('%1000000d', 1))",
                            count_only, &rows, &err),
                     QS_USAGE);
    assert_non_null(strstr(err.text, "too big"));
}

/* Without verdicts, while a scan goes on, the tables are there all the same. */
static void test_without_judgement(void **state)
{
    (void)state;
    struct qs_judgement *kept = view->judgement;
    view->judgement = NULL;
    gives("SELECT count(*) FROM clusters", "0\n");
    gives("SELECT count(*) FROM evidence", "0\n");
    gives("SELECT queue_id, cluster, verdict, cause, score FROM messages WHERE message = 0", "B1||||NULL\n");
    gives("SELECT count(*) FROM messages WHERE cluster = 'x'", "0\n");
    view->judgement = kept;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_columns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_message, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verdict_columns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_recipients, setup, teardown),
        cmocka_unit_test_setup_teardown(test_evidence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ways_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_joins_are_not_quadratic, setup, teardown),
        cmocka_unit_test_setup_teardown(test_selected, setup, teardown),
        cmocka_unit_test_setup_teardown(test_problems, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_judgement, setup, teardown),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
