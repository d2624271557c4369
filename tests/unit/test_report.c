/* SPDX-License-Identifier: Apache-2.0 */
/* What reports say of views whose verdicts the test gives: sentences, advice, widths, order, escapes, failed
 * output. The forms that programs read are compared with each other in tests/cli. */
#include "view.h"

#include <jansson.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../qsurgeon/report/table.h"
#include "qsurgeon/report.h"
#include "qsurgeon/sources.h"

#define LETTER(subject)                                                                                      \
    "From: Ann <ann@example.org>\nSubject: " subject "\n\nThe paintings came back from the restorer "        \
    "yesterday and look wonderful. Would you like to come over on friday to see them?\n"

static const struct qs_style plain = {
    .columns = 80, .utf8 = true, .program = "qsurgeon", .selection = "",
};

/* Text that a report writes; freed with the test's root. */
struct capture {
    FILE *out;
    char *text;
    size_t size;
};

static void begin(struct capture *c)
{
    c->out = open_memstream(&c->text, &c->size);
    assert_non_null(c->out);
}

static char *end(struct capture *c)
{
    assert_int_equal(fclose(c->out), 0);
    char *text = talloc_strndup(root, c->text, c->size);
    free(c->text);
    assert_non_null(text);
    return text;
}

typedef enum qs_status (*reporter)(FILE *out, const struct qs_view *view, const uint8_t *selected,
                                   const struct qs_style *style, struct qs_error *err);

static char *report(reporter function, const struct qs_view *view, const uint8_t *selected,
                    const struct qs_style *style)
{
    struct capture c;
    begin(&c);
    struct qs_error err = {""};
    assert_int_equal(function(c.out, view, selected, style, &err), QS_OK);
    return end(&c);
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in:\n%s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("\"%s\" in:\n%s", part, text);
}

/* `count` messages of one text each with the given verdicts, an hour old and older. */
static struct qs_view *judged(const enum qs_verdict *verdict, size_t count)
{
    struct made *list = talloc_zero_array(root, struct made, (unsigned)count);
    for (size_t i = 0; i < count; i++)
        list[i] = (struct made){.id = talloc_asprintf(list, "ID%02zu", i),
                                .sender = "ann@example.org",
                                .to = {"bob@example.net"},
                                .client = "192.0.2.1",
                                .content = LETTER("hello"),
                                .age = 3600 * (int64_t)(i + 1),
                                .size = 1000};
    struct qs_view *view = view_new(list, count);
    for (size_t i = 0; i < count; i++)
        view->judgement->of[i].verdict = (uint8_t)verdict[i];
    return view;
}

#define JUDGED(...)                                                                                          \
    judged((const enum qs_verdict[]){__VA_ARGS__},                                                           \
           sizeof((const enum qs_verdict[]){__VA_ARGS__}) / sizeof(enum qs_verdict))

/* A live queue of this MTA in place of the saved one. */
static void pretend(struct qs_view *view, size_t queue, const char *mta, const char *dir, const char *config)
{
    struct qs_format *format = talloc_zero(view, struct qs_format);
    struct qs_instance *instance = talloc_zero(view, struct qs_instance);
    format->name = mta;
    *instance = (struct qs_instance){.format = format, .name = mta, .queue_dir = dir, .config = config};
    view->scan->queues[queue].instance = instance;
    view->scan->queues[queue].name = mta;
}

/* --- triage -------------------------------------------------------------------------- */

static void headline_says_what_there_is(void **state)
{
    (void)state;
    assert_has(report(qs_report_triage_text, view_new(NULL, 0), NULL, &plain), "\nThe queue is empty.\n");

    /* what cannot be read is not nothing */
    struct qs_view *view = view_new(NULL, 0);
    view->scan->totals.skipped = 300;
    char *text = report(qs_report_triage_text, view, NULL, &plain);
    assert_has(text, "\nNo message could be read.\n");
    assert_has(text, "\n300 files have the mode of messages still being written: a copy of a queue must\n"
                     "keep modes (cp -a, tar -p).\n");
    view->scan->totals = (struct qs_scan_totals){.unreadable = 1};
    text = report(qs_report_triage_text, view, NULL, &plain);
    assert_has(text, "\nNo message could be read.\n");
    assert_lacks(text, "keep modes");

    view = JUDGED(QS_LEGIT, QS_LEGIT);
    text = report(qs_report_triage_text, view, NULL, &plain);
    assert_has(text, "\nNo storm: nothing among 2 messages looks like storm or backscatter. 2 real\n"
                     "messages wait, the oldest for 2h.\n");
    assert_lacks(text, "--commit");
    const uint8_t none[] = {0, 0};
    assert_has(report(qs_report_triage_text, view, none, &plain), "No message matches.");

    assert_has(
        report(qs_report_triage_text, JUDGED(QS_STORM, QS_STORM, QS_BACKSCATTER, QS_LEGIT), NULL, &plain),
        "\n2 of 4 messages are storm, 1 backscatter; 1 real message waits behind them, the\noldest for "
        "4h.\n");
    assert_has(report(qs_report_triage_text, JUDGED(QS_BACKSCATTER, QS_UNSURE), NULL, &plain),
               "\n1 of 2 messages is backscatter. 1 is unsure.\n");
}

static void totals_add_up(void **state)
{
    (void)state;
    struct qs_view *view = JUDGED(QS_STORM, QS_STORM, QS_STORM, QS_LEGIT);
    view->scan->messages[0].size = 1234567;
    char *text = report(qs_report_triage_text, view, NULL, &plain);
    assert_has(text, "storm                  3   75%   1.2M");
    assert_has(text, "backscatter            0    0%      0\n");
    assert_has(text, "legit                  1   25%");
    assert_lacks(text, "held");
    view->scan->messages[1].flags = QS_ENV_HELD;
    assert_has(report(qs_report_triage_text, view, NULL, &plain), "33% held");
    const uint8_t some[] = {0, 1, 0, 1};
    text = report(qs_report_triage_text, view, some, &plain);
    assert_has(text, "storm                  1   50%");
    assert_has(text, "100% held");
}

static void advice_can_be_typed(void **state)
{
    (void)state;
    struct qs_view *view = JUDGED(QS_STORM, QS_BACKSCATTER, QS_LEGIT, QS_UNSURE);
    char *text = report(qs_report_triage_text, view, NULL, &plain);
    assert_lacks(text, "--commit");                 /* a saved scan */
    pretend(view, 0, "postfix", "/var/spool/postfix", NULL);
    assert_lacks(report(qs_report_triage_text, view, NULL, &plain), "--commit");       /* an offline copy */
    pretend(view, 0, "postfix", "/var/spool/postfix", "/etc/postfix");
    text = report(qs_report_triage_text, view, NULL, &plain);
    assert_has(text, "\n  qsurgeon express --commit  # park it, real mail first\n");
    assert_lacks(text, "unsure --commit");
    assert_has(text, "1 message is unsure: look first; the commands below leave it alone.");
    view = JUDGED(QS_STORM, QS_BACKSCATTER, QS_UNSURE);         /* no real mail waits */
    pretend(view, 0, "sendmail", "/var/spool/mqueue", "/etc/mail/sendmail.cf");
    assert_has(report(qs_report_triage_text, view, NULL, &plain),
               "\n  qsurgeon hold --verdict storm,backscatter --commit  # hold it\n");
}

static void advice_follows_the_call(void **state)
{
    (void)state;
    struct qs_view *view = JUDGED(QS_STORM, QS_LEGIT, QS_LEGIT);
    pretend(view, 0, "postfix", "/q1", "/etc/postfix");
    struct qs_style style = plain;
    style.program = "qsurgeon --config /etc/postfix";
    style.selection = " --sender 'a b'";
    assert_has(report(qs_report_triage_text, view, NULL, &style),
               "\n  qsurgeon --config /etc/postfix express --sender 'a b' --commit\n");
    const uint8_t real[] = {0, 1, 1}, storm[] = {1, 0, 0};
    assert_lacks(report(qs_report_triage_text, view, real, &style), "--commit");
    assert_has(report(qs_report_triage_text, view, storm, &style),
               "\n  qsurgeon --config /etc/postfix hold --verdict storm --sender 'a b' --commit\n");

    uint16_t second;
    assert_int_equal(qs_scan_add_saved(view->scan, "x", &second, NULL), QS_OK);
    pretend(view, second, "postfix", "/q 2", "/etc/postfix-out");
    style.program = "qsurgeon";
    style.selection = "";
    char *text = report(qs_report_triage_text, view, NULL, &style);
    assert_has(text, "\n  qsurgeon --queue /q1 express --commit  # park it, real mail first\n");
    assert_lacks(text, "--queue '/q 2'");           /* nothing to be parked there */
    view->scan->messages[0].instance = second;
    text = report(qs_report_triage_text, view, NULL, &style);
    assert_has(text, "\n  qsurgeon --queue '/q 2' hold --verdict storm --commit  # hold it\n");
    assert_lacks(text, "--queue /q1");
}

static void what_is_held_can_be_let_go(void **state)
{
    (void)state;
    struct qs_view *view = JUDGED(QS_STORM, QS_LEGIT);
    pretend(view, 0, "postfix", "/q", "/etc/postfix");
    view->scan->messages[0].flags = QS_ENV_HELD;
    char *text = report(qs_report_triage_text, view, NULL, &plain);
    assert_has(text, "All storm and backscatter is on hold already.");
    assert_has(text, "100% held  ");            /* and then the bar */
    assert_has(text, "\n  qsurgeon release --verdict storm --commit  # let it go again\n");
}

static void warns_before_it_advises(void **state)
{
    (void)state;
    struct qs_view *view = JUDGED(QS_STORM, QS_LEGIT);
    pretend(view, 0, "postfix", "/q", "/etc/postfix");
    view->partial = true;
    view->scan->totals.listed = 12345;
    char *text = report(qs_report_triage_text, view, NULL, &plain);
    assert_has(text, "PARTIAL: 2 of 12,345 messages are read so far.");
    assert_lacks(text, "--commit");                /* nothing is to be moved by half a picture */
    view->partial = false;
    view->scan->totals.unreadable = 2;
    view->scan->totals.skipped = 1;
    view->scan->totals.gone = 1234;
    text = report(qs_report_triage_text, view, NULL, &plain);
    assert_has(text, "Left out: 2 unreadable, 1 still being written, 1,234 left the queue meanwhile\n");
    assert_has(text, "2 files or directories could not be read and are not counted above: see\n--problems.");
}

static void problems_are_sorted_and_safe(void **state)
{
    (void)state;
    struct qs_view *view = JUDGED(QS_LEGIT);
    struct qs_style style = plain;
    view->scan->problems[0] = (struct qs_problem){"postfix/B", "bad\033[2J", QS_DATA};
    view->scan->problems[1] = (struct qs_problem){"postfix/A\n", "zeros", QS_DATA};
    view->scan->problem_count = 2;
    assert_lacks(report(qs_report_triage_text, view, NULL, &style), "zeros");
    style.problems = true;
    assert_has(report(qs_report_triage_text, view, NULL, &style),
               "\n2 problems:\n  postfix/A\\x0a: zeros\n  postfix/B: bad\\x1b[2J\n");
}

static void evidence_comes_with_its_sum(void **state)
{
    (void)state;
    struct qs_view *view = JUDGED(QS_LEGIT, QS_LEGIT, QS_LEGIT);
    struct qs_style style = plain;
    assert_true(view->judgement->group_count > 0);
    assert_lacks(report(qs_report_triage_text, view, NULL, &style), "sum; storm or backscatter from");
    style.explain = true;
    assert_has(report(qs_report_triage_text, view, NULL, &style), "sum; storm or backscatter from");
}

static void fits_the_terminal(void **state)
{
    (void)state;
    enum { MANY = 40 };
    struct made list[MANY * 2];
    TALLOC_CTX *words = talloc_new(root);
    for (unsigned i = 0; i < MANY * 2; i++)
        list[i] = (struct made){.id = talloc_asprintf(words, "ID%u", i),
                                .sender = "ann@example.org",
                                .to = {"bob@example.net"},
                                .content = talloc_asprintf(
                                    words,
                                    "Subject: a subject that is long enough to need to be cut, and more\n\n"
                                    "word%u other%u third%u fourth%u fifth%u sixth%u seventh%u and so on\n",
                                    i / 2, i / 2, i / 2, i / 2, i / 2, i / 2, i / 2)};
    /* digits are all alike to the fingerprint: make words of them */
    for (unsigned i = 0; i < MANY * 2; i++)
        for (char *p = strstr((char *)(uintptr_t)list[i].content, "\n\n"); *p; p++)
            if (*p >= '0' && *p <= '9')
                *p = (char)(*p - '0' + 'a');
    struct qs_view *view = view_new(list, MANY * 2);
    assert_true(view->judgement->group_count > 20);
    for (unsigned rows = 24; rows <= 60; rows += 12) {
        struct qs_style style = plain;
        style.rows = rows;
        char *text = report(qs_report_triage_text, view, NULL, &style);
        unsigned lines = 0;
        for (char *line = text, *next; *line; line = next) {
            next = strchr(line, '\n') + 1;
            if (qs_text_columns((struct qs_span){line, (size_t)(next - line) - 1}) > style.columns)
                fail_msg("too wide: %.*s", (int)(next - line), line);
            lines++;
        }
        assert_true(lines < rows);
        assert_true(lines + 5 > rows);
        assert_has(text, "smaller clusters of");
    }
    struct qs_style style = plain;
    style.top = 2;
    assert_has(report(qs_report_triage_text, view, NULL, &style),
               "and 38 smaller clusters of 76 messages: --top 40");
}

static void colour_is_sparing(void **state)
{
    (void)state;
    struct qs_view *view = JUDGED(QS_STORM, QS_LEGIT);
    struct qs_style style = plain;
    assert_lacks(report(qs_report_triage_text, view, NULL, &style), "\033");
    style.colour = true;
    assert_has(report(qs_report_triage_text, view, NULL, &style), "\033[31mstorm");
    assert_lacks(report(qs_report_triage_json, view, NULL, &style), "\033");
}

/* --- list ---------------------------------------------------------------------------- */

static const struct made evil[] = {
    {.id = "E2",
     .sender = "=1+1\"\033[31m\xe2\x80\xae\xff\x7f\n@x",
     .to = {"-a,b", "@c"},
     .reason = "+later\r",
     .client = "192.0.2.1",
     .name = "@sum",
     .helo = "\tx",
     .content = "Subject: =?utf-8?q?=3Dcmd=0A?= gr\xc3\xbc\xc3\x9f\n\nx\n",
     .age = 60,
     .size = 5},
    {.id = "E1", .to = {"a@b"}, .age = 60},
    {.id = "E0", .to = {"a@b"}, .age = 30, .client = "192.0.2.1"},
};

static void lists_in_one_order(void **state)
{
    (void)state;
    struct made turned[] = {evil[2], evil[0], evil[1]};
    assert_string_equal(report(qs_report_list_ids, view_new(evil, 3), NULL, &plain), "E1\nE2\nE0\n");
    assert_string_equal(report(qs_report_list_ids, view_new(turned, 3), NULL, &plain), "E1\nE2\nE0\n");
    const uint8_t one[] = {0, 0, 1};
    assert_string_equal(report(qs_report_list_ids, view_new(turned, 3), one, &plain), "E1\n");
}

static void csv_does_not_run(void **state)
{
    (void)state;
    char *text = report(qs_report_list_csv, view_new(evil, 1), NULL, &plain);
    assert_has(text, "\"'=1+1\"\"\\x1b[31m\\u{202e}\\xff\\x7f\\x0a@x\",2,\"'-a,b\",\"'+later\\x0d\","
                     "\"192.0.2.1\",\"'@sum\",\"'\\x09x\",");
    assert_has(text, "\"'=cmd");
    assert_has(text, "\r\n");
    for (const char *p = text; *p; p++)
        assert_true((unsigned char)*p >= 0x20 || *p == '\r' || *p == '\n');
}

static void json_is_ascii_and_whole(void **state)
{
    (void)state;
    char *text = report(qs_report_list_json, view_new(evil, 2), NULL, &plain);
    for (const char *p = text; *p; p++)
        assert_true((*p >= 0x20 && *p < 0x7F) || *p == '\n');
    char *second = strchr(text, '\n') + 1;
    json_t *object = json_loads(second, JSON_DISABLE_EOF_CHECK, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "sender")),
                        "=1+1\"\033[31m\xe2\x80\xae\xef\xbf\xbd\x7f\n@x");
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(json_object_get(object, "recipients"), 0), "delay_reason")),
                        "+later\r");
    assert_int_equal(json_integer_value(json_object_get(object, "arrival_time")), VIEW_NOW - 60);
    assert_true(json_is_null(json_object_get(object, "sasl_username")));
    json_decref(object);
    object = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
    assert_string_equal(json_string_value(json_object_get(object, "sender")), "MAILER-DAEMON");
    json_decref(object);
}

static void text_is_ascii_where_the_terminal_is(void **state)
{
    (void)state;
    struct qs_style style = plain;
    struct qs_view *view = view_new(evil, 1);
    style.columns = 200;
    assert_has(report(qs_report_list_text, view, NULL, &style), "gr\xc3\xbc\xc3\x9f");
    style.utf8 = false;
    char *text = report(qs_report_list_text, view, NULL, &style);
    assert_has(text, "gr\\u{00fc}\\u{00df}");
    for (const char *p = text; *p; p++)
        assert_true((*p >= 0x20 && *p < 0x7F) || *p == '\n');
}

/* --- show ---------------------------------------------------------------------------- */

static void raw_text_keeps_lines_only(void **state)
{
    (void)state;
    struct capture c;
    begin(&c);
    assert_int_equal(
        qs_report_raw_text(c.out, QS_SPAN("Subject: a\tb\r\n\n\033]0;x\007end\0\xc3\xbc\xff"), &plain, NULL),
        QS_OK);
    assert_string_equal(end(&c), "Subject: a b\n\n\\x1b]0;x\\x07end\\x00\xc3\xbc\\xff\n");
}

static void long_text_is_escaped_across_pieces(void **state)
{
    (void)state;
    char *wide = talloc_strdup(root, "");
    for (int i = 0; i < 500; i++)
        wide = talloc_asprintf_append(wide, i % 7 ? "\xe2\x82\xac" : "x");
    struct capture c;
    begin(&c);
    assert_int_equal(qs_report_raw_text(c.out, qs_span_of(wide), &plain, NULL), QS_OK);
    char *text = end(&c);
    assert_int_equal(strlen(text), strlen(wide) + 1);
    assert_memory_equal(text, wide, strlen(wide));
}

static void shows_all_of_a_message(void **state)
{
    (void)state;
    struct qs_view *view = view_new(evil, 1);
    struct capture c;
    begin(&c);
    assert_int_equal(qs_report_show_text(c.out, view, 0, NULL, NULL, &plain, NULL), QS_OK);
    char *text = end(&c);
    assert_has(text, "Queue ID      E2 in deferred of mx1\n");
    assert_has(text, "2 recipients\n  todo      -a,b\n            +later\\x0d\n  todo      @c\n");
    assert_has(text, "sum; storm or backscatter from");
    assert_lacks(text, "\033");
    assert_lacks(text, "\nText\n");
}

static void a_cluster_says_what_to_type(void **state)
{
    (void)state;
    struct qs_view *view = JUDGED(QS_STORM, QS_STORM);
    assert_int_equal(view->judgement->group_count, 1);
    view->judgement->group[0].verdict = QS_STORM;
    const char *name = view->judgement->group[0].name;
    struct capture c;
    begin(&c);
    assert_int_equal(qs_report_cluster_text(c.out, view, 0, &plain, NULL), QS_OK);
    char *text = end(&c);
    assert_has(text, talloc_asprintf(root, "\nNext\n  qsurgeon list --cluster %s\n", name));
    assert_lacks(text, "hold");                 /* of a saved scan nothing is moved */
    pretend(view, 0, "postfix", "/q", "/etc/postfix");
    begin(&c);
    assert_int_equal(qs_report_cluster_text(c.out, view, 0, &plain, NULL), QS_OK);
    assert_has(end(&c), talloc_asprintf(root, "\n  qsurgeon hold --cluster %s --verdict storm  # what it would do\n", name));
}

static void reasons_speak_for_the_verdict(void **state)
{
    (void)state;
    struct qs_view *view = JUDGED(QS_LEGIT, QS_LEGIT);
    struct qs_style wide = plain;
    wide.columns = 300;
    view->judgement->group[0].verdict = QS_LEGIT;
    assert_has(report(qs_report_triage_text, view, NULL, &wide), "most-mail-is-wanted");
    view->judgement->group[0].verdict = QS_STORM;
    assert_lacks(report(qs_report_triage_text, view, NULL, &wide), "most-mail-is-wanted");
}

static void long_fields_fit(void **state)
{
    (void)state;
    struct qs_view *view = JUDGED(QS_LEGIT);
    struct qs_message *m = &view->scan->messages[0];
    struct qs_style narrow = plain;
    narrow.columns = 40;
    m->list_id = view_symbol(view->scan, "\"Alsa-devel, the list for those who\n\t http://www.alsa.example\" <alsa.example>");
    struct capture c;
    begin(&c);
    assert_int_equal(qs_report_show_text(c.out, view, 0, NULL, NULL, &narrow, NULL), QS_OK);
    assert_has(end(&c), "\n  List-Id     \"Alsa-devel, the list for\n"
                        "              those who\n"
                        "              http://www.alsa.example\"\n"
                        "              <alsa.example>\n");
    m->list_id = view_symbol(view->scan, "no\nfold");
    begin(&c);
    assert_int_equal(qs_report_show_text(c.out, view, 0, NULL, NULL, &narrow, NULL), QS_OK);
    assert_has(end(&c), "\n  List-Id     no\\x0afold\n");
}

static void an_empty_list_says_so(void **state)
{
    const uint8_t none[] = {0};
    (void)state;
    assert_string_equal(report(qs_report_list_text, JUDGED(QS_LEGIT), none, &plain), "No message matches.\n");
    assert_string_equal(report(qs_report_list_text, view_new(NULL, 0), NULL, &plain), "No messages.\n");
    assert_string_equal(report(qs_report_list_ids, view_new(NULL, 0), NULL, &plain), "");
}

/* --- shape and sources --------------------------------------------------------------- */

static void ages_fall_into_their_buckets(void **state)
{
    (void)state;
    const int64_t ages[] = {-5, 0, 299, 300, 599, 600, 1199, 1200, 76799, 76800, 1000000000};
    const struct { const char *name; int count; } buckets[] = {
        {"5", 3}, {"10", 2}, {"20", 2}, {"40", 1}, {"1280", 1}, {"1280+", 2},
    };
    struct made list[sizeof ages / sizeof ages[0]];
    for (size_t i = 0; i < sizeof ages / sizeof ages[0]; i++)
        list[i] = (struct made){.id = "X",
                                .sender = i ? "a@S.example" : NULL,
                                .to = {"b@EXAMPLE.org", "c@example.org"},
                                .age = ages[i],
                                .done = true};
    struct qs_view *view = view_new(list, sizeof ages / sizeof ages[0]);
    struct capture c;
    begin(&c);
    assert_int_equal(qs_report_shape_json(c.out, view, NULL, false, NULL), QS_OK);
    json_t *row = json_loads(end(&c), 0, NULL);         /* one domain only */
    assert_string_equal(json_string_value(json_object_get(row, "domain")), "example.org");
    assert_int_equal(json_integer_value(json_object_get(row, "recipients")), 11); /* the others are done */
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++)
        assert_int_equal(
            json_integer_value(json_object_get(json_object_get(row, "minutes"), buckets[i].name)),
            buckets[i].count);
    json_decref(row);
    begin(&c);
    assert_int_equal(qs_report_shape_text(c.out, view, NULL, true, &plain, NULL), QS_OK);
    char *text = end(&c);
    assert_has(text, "TOTAL               11  3");
    assert_has(text, "s.example           10  2");
    assert_has(text, "MAILER-DAEMON        1  1");
}

static void sources_know_networks(void **state)
{
    (void)state;
    const struct made list[] = {
        {.id = "1", .to = {"a@x", "b@x"}, .client = "192.0.2.1", .name = "mx.test"},
        {.id = "2", .to = {"a@x"}, .client = "192.0.2.77", .sasl = "ann"},
        {.id = "3", .to = {"a@x"}, .client = "2001:db8:1:2:3::4"},
        {.id = "4", .to = {"a@x"}, .client = "2001:db8:1:2:ffff::"},
        {.id = "5", .to = {"a@x"}, .client = "no address"},
        {.id = "6", .to = {"a@x"}},
    };
    static const struct qs_sources_wish wish = {0};
    struct qs_sources *sources = NULL;
    struct capture c;
    assert_int_equal(qs_sources_count(root, view_new(list, 6), NULL, &wish, &sources, NULL), QS_OK);
    begin(&c);
    assert_int_equal(qs_report_sources_text(c.out, sources, &plain, NULL), QS_OK);
    char *text = end(&c);
    assert_has(text, "\n192.0.2.0/24          2      0      2");
    assert_has(text, "\n2001:db8:1:2::/64     2      0      1");
    assert_has(text, "mx.test\n");
    assert_has(text, "\nann      1 ");
    assert_has(text, "\n33            1 ");       /* the local uid of what has no client */
    assert_lacks(text, "no address/");
}

/* --- rows of a query ----------------------------------------------------------------- */

static char *rows_of(enum qs_rows_form form, const struct qs_style *style, const struct qs_row *row,
                     size_t count)
{
    struct capture c;
    begin(&c);
    struct qs_rows *rows = qs_rows_new(root, c.out, form, style);
    for (size_t i = 0; i < count; i++)
        assert_true(qs_report_row(rows, row));
    assert_int_equal(qs_rows_end(rows, NULL), QS_OK);
    talloc_free(rows);
    return end(&c);
}

static void rows_have_types(void **state)
{
    (void)state;
    const char *const names[] = {"n", "x", "t", "nothing"}, *const values[] = {"42", "1.5e+20",
                                                                               "=\xe2\x82\xac\n", NULL};
    const size_t lengths[] = {2, 7, 5, 0};
    const int types[] = {SQLITE_INTEGER, SQLITE_FLOAT, SQLITE_TEXT, SQLITE_NULL};
    const struct qs_row row = {4, names, values, lengths, types};
    assert_string_equal(rows_of(QS_ROWS_JSON, &plain, &row, 1),
                        "{\"n\":42,\"x\":1.5e20,\"t\":\"=\\u20AC\\n\",\"nothing\":null}\n");
    assert_string_equal(rows_of(QS_ROWS_CSV, &plain, &row, 1),
                        "\"n\",\"x\",\"t\",\"nothing\"\r\n42,1.5e+20,\"'=\xe2\x82\xac\\x0a\",\"\"\r\n");
    assert_string_equal(rows_of(QS_ROWS_TEXT, &plain, &row, 1),
                        " n        x  t       nothing\n42  1.5e+20  =\xe2\x82\xac\\x0a\n");
    assert_string_equal(rows_of(QS_ROWS_TEXT, &plain, &row, 0), "");
}

static void rows_go_on_beyond_the_measured(void **state)
{
    (void)state;
    const char *const names[] = {"t"}, *const values[] = {"value"};
    const size_t lengths[] = {5};
    const int types[] = {SQLITE_TEXT};
    const struct qs_row row = {1, names, values, lengths, types};
    char *text = rows_of(QS_ROWS_TEXT, &plain, &row, 2500);
    assert_int_equal(strlen(text), 2 + 2500 * 6);       /* one line of headings */
}

static void rows_are_cut_on_a_terminal_only(void **state)
{
    (void)state;
    char *wide = talloc_zero_size(root, 201);
    memset(wide, 'w', 200);
    const char *const names[] = {"t"}, *const values[] = {wide};
    const size_t lengths[] = {200};
    const int types[] = {SQLITE_TEXT};
    const struct qs_row row = {1, names, values, lengths, types};
    struct qs_style style = plain;
    assert_int_equal(strlen(rows_of(QS_ROWS_TEXT, &style, &row, 1)), 2 + 201);
    style.rows = 24;
    assert_int_equal(strlen(rows_of(QS_ROWS_TEXT, &style, &row, 1)), 2 + 79 + 3 + 1);
}

/* --- columns ------------------------------------------------------------------------- */

static void fill_words(void *data, size_t row, struct qs_cells *cells)
{
    const char *const *words = data;
    for (unsigned c = 0; c < 3; c++)
        snprintf(cells->text[c], QS_CELL, "%s", words[row * 3 + c]);
    snprintf(cells->note, QS_CELL, "%s", row ? "a note that is longer than the line" : "");
}

static void elastic_columns_share_what_is_left(void **state)
{
    (void)state;
    static const struct qs_heading headings[] = {{"N", true, false}, {"A", false, true}, {"B", false, true}};
    static const char *const words[] = {
        "1", "short", "quite a long text here", "22", "\xe4\xbd\xa0\xe5\xa5\xbd", "b"};
    struct qs_style style = plain;
    struct capture c;
    begin(&c);
    style.columns = 24;
    qs_table_print(c.out, &style, headings, 3, 2, fill_words, (void *)(uintptr_t)words);
    assert_string_equal(end(&c), " N  A      B\n"
                                 " 1  short  quite a long\xe2\x80\xa6\n"
                                 "22  \xe4\xbd\xa0\xe5\xa5\xbd   b\n"
                                 "    a note that is long\xe2\x80\xa6\n");
}

/* --- output that fails --------------------------------------------------------------- */

static void failed_output_is_an_error(void **state)
{
    (void)state;
    static const reporter reporters[] = {
        qs_report_triage_text, qs_report_triage_json, qs_report_list_text,
        qs_report_list_json, qs_report_list_csv, qs_report_list_ids,
    };
    struct qs_view *view = view_new(evil, 3);
    for (size_t i = 0; i < sizeof reporters / sizeof reporters[0]; i++) {
        struct qs_error err = {""};
        FILE *full = fopen("/dev/full", "w");
        assert_non_null(full);
        setvbuf(full, NULL, _IONBF, 0);
        assert_int_equal(reporters[i](full, view, NULL, &plain, &err), QS_IO);
        assert_true(err.text[0]);
        fclose(full);
    }
}

static void shell_words_are_one_word(void **state)
{
    (void)state;
    assert_string_equal(qs_shell_word(root, "/etc/postfix-out_2,x@y"), "/etc/postfix-out_2,x@y");
    assert_string_equal(qs_shell_word(root, ""), "''");
    assert_string_equal(qs_shell_word(root, "a b$(x)`y`"), "'a b$(x)`y`'");
    assert_string_equal(qs_shell_word(root, "it's"), "'it'\\''s'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(headline_says_what_there_is, free_all),
        cmocka_unit_test_teardown(totals_add_up, free_all),
        cmocka_unit_test_teardown(advice_can_be_typed, free_all),
        cmocka_unit_test_teardown(advice_follows_the_call, free_all),
        cmocka_unit_test_teardown(what_is_held_can_be_let_go, free_all),
        cmocka_unit_test_teardown(warns_before_it_advises, free_all),
        cmocka_unit_test_teardown(problems_are_sorted_and_safe, free_all),
        cmocka_unit_test_teardown(evidence_comes_with_its_sum, free_all),
        cmocka_unit_test_teardown(fits_the_terminal, free_all),
        cmocka_unit_test_teardown(colour_is_sparing, free_all),
        cmocka_unit_test_teardown(lists_in_one_order, free_all),
        cmocka_unit_test_teardown(csv_does_not_run, free_all),
        cmocka_unit_test_teardown(json_is_ascii_and_whole, free_all),
        cmocka_unit_test_teardown(text_is_ascii_where_the_terminal_is, free_all),
        cmocka_unit_test_teardown(raw_text_keeps_lines_only, free_all),
        cmocka_unit_test_teardown(long_text_is_escaped_across_pieces, free_all),
        cmocka_unit_test_teardown(shows_all_of_a_message, free_all),
        cmocka_unit_test_teardown(reasons_speak_for_the_verdict, free_all),
        cmocka_unit_test_teardown(long_fields_fit, free_all),
        cmocka_unit_test_teardown(a_cluster_says_what_to_type, free_all),
        cmocka_unit_test_teardown(an_empty_list_says_so, free_all),
        cmocka_unit_test_teardown(ages_fall_into_their_buckets, free_all),
        cmocka_unit_test_teardown(sources_know_networks, free_all),
        cmocka_unit_test_teardown(rows_have_types, free_all),
        cmocka_unit_test_teardown(rows_go_on_beyond_the_measured, free_all),
        cmocka_unit_test_teardown(rows_are_cut_on_a_terminal_only, free_all),
        cmocka_unit_test_teardown(elastic_columns_share_what_is_left, free_all),
        cmocka_unit_test_teardown(failed_output_is_an_error, free_all),
        cmocka_unit_test_teardown(shell_words_are_one_word, free_all),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
