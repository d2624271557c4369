/* SPDX-License-Identifier: Apache-2.0 */
/* Saved scans: what goes in comes out, several files merge, any SQLite can read them; and no file, however
 * made, does more than to be refused. */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/qsurgeon-saved-XXXXXX";

#define WORDS                                                                                                \
    "Dear friend, we sell the finest watches of the whole world at a price that nobody else can offer you "  \
    "today. "                                                                                                \
    "Order now and receive a second watch for free, together with a leather box and a lifetime of "          \
    "warranty. "

static const struct made mails[] = {
    {.id = "A1",
     .sender = "win1@shop.invalid",
     .to = {"bob@example.org", "eve@example.org"},
     .reason = "connect to mx: timed out",
     .client = "192.0.2.7",
     .name = "dsl-7.isp.invalid",
     .helo = "friend",
     .age = 100,
     .size = 1000,
     .done = true,
     .content =
         "Received: from a (a [198.51.100.9]) by mx1.example with ESMTP; Tue, 14 Nov 2023 22:13:20 +0000\n"
         "From: w@shop.invalid\nSubject: Watches \xff\xc3\xbc ; DROP TABLE messages; -- '\"\nX-Mailer: Bulk "
         "1\n"
         "Message-ID: <1@shop.invalid>\n\n" WORDS "http://www.shop.invalid/1 one\n"},
    {.id = "A2",
     .sender = "win2@shop.invalid",
     .to = {"joe@example.org"},
     .client = "192.0.2.8",
     .age = 200,
     .size = 2000,
     .content = "From: w@shop.invalid\nSubject: Watches\nIn-Reply-To: <1@shop.invalid>\n\n" WORDS
                "http://www.shop.invalid/2 two\n"},
    {.id = "0Yx_Z",
     .to = {"win1@shop.invalid"},
     .age = 300,
     .size = 3000,
     .queue = "hold",
     .flags = QS_ENV_HELD | QS_ENV_FORCED_EXPIRE,
     .content =
         "From: MAILER-DAEMON@there.invalid\nSubject: Undelivered Mail\nMIME-Version: 1.0\n"
         "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\ncould not be "
         "delivered\n"
         "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x.invalid\n\n"
         "--b\nContent-Type: message/rfc822\n\nReceived: from r (r [203.0.113.4]) by s.invalid; Tue, 14 Nov "
         "2023 22:13:20 +0000\n"
         "From: w@shop.invalid\nSubject: Watches\nMessage-ID: <3@shop.invalid>\n\n" WORDS "three\n--b--\n"},
    {.id = "L1",
     .sender = "ann@example.org",
     .to = {"x@elsewhere.example"},
     .client = "10.0.0.5",
     .sasl = "ann",
     .age = 400,
     .size = 4000,
     .content =
         "From: ann@example.org\nSubject: hello\n\nHow are you? I have not heard of you for a long time.\n"},
    {.id = "U1", .sender = "root@example.org", .age = 500},
};
enum { MAILS = 5 };

static char *in_dir(const char *name)
{
    char *path = talloc_asprintf(root, "%s/%s", dir, name);
    assert_non_null(path);
    return path;
}

static struct qs_view *sample(void)
{
    struct qs_view *view = view_new(mails, MAILS);
    struct qs_scan *scan = view->scan;
    view->host = "mx1.example";
    scan->messages[0].attempts = 7;
    scan->messages[0].next_try = VIEW_NOW + 60;
    scan->messages[1].inode = 12345;
    scan->messages[3].arrival = VIEW_NOW - 86400 * 400;
    scan->messages[4].hold_reason = view_symbol(scan, "because");
    scan->totals.gone = 3;
    scan->totals.unreadable = 2;
    scan->totals.listed = 10;
    scan->problems[scan->problem_count++] = (struct qs_problem){"mx1/ABC", "damaged: \033[2Jno end", QS_DATA};
    scan->problems[scan->problem_count++] = (struct qs_problem){"mx1/DEF", "finding", QS_OK};
    return view;
}

static struct qs_view *loaded_from(const char *path, const char *second)
{
    static const struct qs_scan_options options = {.threads = 1, .detail = true};
    struct qs_view *view = talloc_zero(root, struct qs_view);
    struct qs_site *site = qs_site_new(view);
    struct qs_error err = {""};
    view->scan = qs_scan_new(view, &options);
    assert_non_null(view->scan);
    if (qs_load(view->scan, site, path, &view->now, &err) != QS_OK)
        fail_msg("%s", err.text);
    if (second != NULL && qs_load(view->scan, site, second, &view->now, &err) != QS_OK)
        fail_msg("%s", err.text);
    view_judge(view, site);
    return view;
}

static const char *text_of(const struct qs_view *view, qs_sym symbol)
{
    return qs_sym_str(view->scan->strings, symbol);
}

static void same_symbols(const struct qs_view *a, const qs_sym *x, const struct qs_view *b, const qs_sym *y,
                         size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_string_equal(text_of(a, x[i]), text_of(b, y[i]));
}

static void same_print(const struct qs_fingerprint *a, const struct qs_fingerprint *b)
{
    assert_memory_equal(&a->sketch, &b->sketch, sizeof a->sketch);
    assert_true(a->body_hash == b->body_hash && a->shingles == b->shingles && a->words == b->words);
}

static void same_message(const struct qs_view *a, const struct qs_message *x, const struct qs_view *b,
                         const struct qs_message *y)
{
    const qs_sym sx[] = {x->queue_name, x->sender,          x->client_address, x->client_name,
                         x->helo,       x->protocol,        x->sasl_username,  x->from,
                         x->subject,    x->mailer,          x->list_id,        x->script,
                         x->url_host,   x->message_id_text, x->hold_reason,    x->first_by,
                         x->last_client};
    const qs_sym sy[] = {y->queue_name, y->sender,          y->client_address, y->client_name,
                         y->helo,       y->protocol,        y->sasl_username,  y->from,
                         y->subject,    y->mailer,          y->list_id,        y->script,
                         y->url_host,   y->message_id_text, y->hold_reason,    y->first_by,
                         y->last_client};
    assert_string_equal(x->id, y->id);
    same_symbols(a, sx, b, sy, sizeof sx / sizeof sx[0]);
    assert_int_equal(x->size, y->size);
    assert_int_equal(x->arrival, y->arrival);
    assert_int_equal(x->next_try, y->next_try);
    assert_true(x->message_id == y->message_id && x->in_reply_to == y->in_reply_to && x->digest == y->digest);
    assert_true(x->structure == y->structure && x->attachment == y->attachment && x->traits == y->traits);
    same_print(&x->print, &y->print);
    assert_memory_equal(x->url, y->url, sizeof x->url);
    assert_int_equal(x->text_size, y->text_size);
    assert_int_equal(x->hidden_size, y->hidden_size);
    assert_int_equal(x->local_uid, y->local_uid);
    assert_int_equal(x->flags, y->flags);
    assert_int_equal(x->attempts, y->attempts);
    assert_true(x->received == y->received && x->own_hops == y->own_hops && x->url_hosts == y->url_hosts &&
                x->parts == y->parts);
    assert_int_equal(x->recipient_count, y->recipient_count);
    for (uint32_t i = 0; i < x->recipient_count; i++) {
        same_symbols(a, &x->recipients[i].address, b, &y->recipients[i].address, 1);
        same_symbols(a, &x->recipients[i].reason, b, &y->recipients[i].reason, 1);
        assert_int_equal(x->recipients[i].state, y->recipients[i].state);
        assert_int_equal(x->recipients[i].notify, y->recipients[i].notify);
    }
    assert_int_equal(x->returned != NULL, y->returned != NULL);
    if (x->returned != NULL) {
        const struct qs_returned *r = x->returned, *q = y->returned;
        same_print(&r->print, &q->print);
        assert_memory_equal(r->url, q->url, sizeof r->url);
        assert_true(r->message_id == q->message_id && r->traits == q->traits && r->structure == q->structure);
        same_symbols(a, &r->from, b, &q->from, 1);
        same_symbols(a, &r->subject, b, &q->subject, 1);
        assert_int_equal(r->hops, q->hops);
        for (uint32_t k = 0; k < r->hops; k++) {
            same_symbols(a, &r->hop[k].by, b, &q->hop[k].by, 1);
            same_symbols(a, &r->hop[k].client, b, &q->hop[k].client, 1);
            same_symbols(a, &r->hop[k].name, b, &q->hop[k].name, 1);
        }
    }
}

static const char *group_name(const struct qs_view *view, uint32_t message)
{
    uint32_t group = view->judgement->group_of[message];
    return group != QS_NO_CLUSTER ? view->judgement->group[group].name : "";
}

static void test_round_trip(void **state)
{
    struct qs_view *view = sample(), *again;
    struct qs_error err = {""};
    char *path = in_dir("scan.db"), *second = in_dir("second.db");
    struct stat st;
    (void)state;
    assert_int_equal(qs_save(view, path, false, &err), QS_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    again = loaded_from(path, NULL);
    assert_int_equal(again->now, VIEW_NOW);
    assert_int_equal(again->scan->count, MAILS);
    for (uint32_t i = 0; i < MAILS; i++) {
        same_message(view, &view->scan->messages[i], again, &again->scan->messages[i]);
        assert_string_equal(group_name(view, i), group_name(again, i));
        assert_int_equal(view->judgement->of[i].verdict, again->judgement->of[i].verdict);
        assert_int_equal(view->judgement->of[i].cause, again->judgement->of[i].cause);
        assert_true(view->judgement->of[i].score == again->judgement->of[i].score);
    }
    assert_string_not_equal(group_name(again, 0), "");
    assert_memory_equal(&view->scan->totals, &again->scan->totals, sizeof view->scan->totals);
    assert_int_equal(again->scan->problem_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(again->scan->problems[i].where, view->scan->problems[i].where);
        assert_string_equal(again->scan->problems[i].text, view->scan->problems[i].text);
        assert_int_equal(again->scan->problems[i].status, view->scan->problems[i].status);
    }
    /* a saved scan that is saved again is the same file */
    again->host = "mx1.example";
    assert_int_equal(qs_save(again, second, false, &err), QS_OK);
    struct qs_view *third = loaded_from(second, NULL);
    for (uint32_t i = 0; i < MAILS; i++)
        same_message(view, &view->scan->messages[i], third, &third->scan->messages[i]);
    talloc_free(third);
    talloc_free(again);
    talloc_free(view);
    (void)unlink(path);
    (void)unlink(second);
}

static void test_empty(void **state)
{
    struct qs_view *view = view_new(mails, 0), *again;
    char *path = in_dir("empty.db");
    (void)state;
    assert_int_equal(qs_save(view, path, false, NULL), QS_OK);
    again = loaded_from(path, NULL);
    assert_int_equal(again->scan->count, 0);
    talloc_free(again);
    talloc_free(view);
    (void)unlink(path);
}

/* Names of the queues, with ' ' between. */
static char *queues(const struct qs_view *view)
{
    char *text = talloc_strdup(view, "");
    for (size_t i = 0; i < view->scan->queue_count; i++)
        text = talloc_asprintf_append_buffer(text, "%s%s", i > 0 ? " " : "", view->scan->queues[i].name);
    return text;
}

static void test_merge(void **state)
{
    struct qs_view *one = sample(), *two = sample(), *both;
    struct qs_error err = {""};
    char *first = in_dir("one.db"), *second = in_dir("two.db"), *merged = in_dir("merged.db");
    static const struct qs_instance live[] = {{.name = "postfix"}, {.name = "postfix-out"}};
    uint16_t index;
    (void)state;
    /* one host with two instances, one with a single one, both calling themselves the same */
    one->scan->queues[0] = (struct qs_scan_queue){&live[0], NULL, "postfix"};
    assert_int_equal(qs_scan_add_saved(one->scan, "postfix-out", &index, &err), QS_OK);
    one->scan->queues[1].instance = &live[1];
    one->scan->messages[2].instance = 1;
    two->scan->queues[0] = (struct qs_scan_queue){&live[0], NULL, "postfix"};
    two->now = VIEW_NOW + 5;
    assert_int_equal(qs_save(one, first, false, &err), QS_OK);
    assert_int_equal(qs_save(two, second, false, &err), QS_OK);
    both = loaded_from(first, second);
    assert_string_equal(queues(both), "mx1.example/postfix mx1.example/postfix-out mx1.example");
    assert_int_equal(both->scan->count, 2 * MAILS);
    assert_int_equal(both->scan->messages[0].instance, 0);
    assert_int_equal(both->scan->messages[2].instance, 1);
    assert_int_equal(both->scan->messages[MAILS].instance, 2);
    for (uint32_t i = 0; i < MAILS; i++) {
        same_message(one, &one->scan->messages[i], both, &both->scan->messages[i]);
        same_message(two, &two->scan->messages[i], both, &both->scan->messages[MAILS + i]);
    }
    assert_int_equal(both->now, VIEW_NOW + 5);
    assert_int_equal(both->scan->totals.bytes, 2 * one->scan->totals.bytes);
    assert_int_equal(both->scan->totals.gone, 6);
    assert_int_equal(both->scan->problem_count, 4);
    talloc_free(both);
    both = loaded_from(second, second);         /* told apart by the file's name */
    assert_string_equal(queues(both), "mx1.example mx1.example (two.db)");
    /* a merged view can be saved: its queues keep their names */
    both->host = "elsewhere";
    assert_int_equal(qs_save(both, merged, false, &err), QS_OK);
    talloc_free(both);
    both = loaded_from(merged, NULL);
    assert_string_equal(queues(both), "mx1.example mx1.example (two.db)");
    assert_int_equal(both->scan->messages[MAILS].instance, 1);
    talloc_free(both);
    talloc_free(one);
    talloc_free(two);
    (void)unlink(first);
    (void)unlink(second);
    (void)unlink(merged);
}

/* Runs SQL on the file as a sqlite3 shell would. */
static void shell(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    char *why = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", text, why);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int first_cell(void *data, int columns, char **values, char **names)
{
    (void)columns;
    (void)names;
    (void)snprintf(data, 200, "%s", values[0] != NULL ? values[0] : "NULL");
    return 0;
}

static void shell_gives(const char *path, const char *query, const char *wanted)
{
    sqlite3 *db = NULL;
    char got[200] = "";
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, query, first_cell, got, NULL), SQLITE_OK);
    assert_string_equal(got, wanted);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_site(void **state)
{
    struct qs_view *view = sample();
    struct qs_site *given = qs_site_new(view), *site = qs_site_new(view);
    const struct qs_scan_options options = {0};
    struct qs_error err = {""};
    char *path = in_dir("site.db"), *local[] = {"example.org", "example.net"}, *relay[] = {"r.example"},
         *nets[] = {"10.0.0.0/8"}, *trusted[] = {"192.0.2.0/24"}, *pots[] = {"trap@example.org"},
         *good[] = {"@partner.example"};
    int64_t taken;
    (void)state;
    *given = (struct qs_site){.hostname = "mx1.example", .local_domains = local, .local_count = 2,
                              .relay_domains = relay, .relay_count = 1, .networks = nets, .network_count = 1,
                              .trusted_relays = trusted, .trusted_relay_count = 1, .honeypots = pots,
                              .honeypot_count = 1, .good_senders = good, .good_sender_count = 1};
    view->judgement->site = given;
    view->host = NULL;                      /* then the MTA's name for the host stands */
    assert_int_equal(qs_save(view, path, false, &err), QS_OK);
    struct qs_scan *scan = qs_scan_new(view, &options);
    assert_int_equal(qs_load(scan, site, path, &taken, &err), QS_OK);
    shell_gives(path, "SELECT value FROM meta WHERE key = 'host'", "mx1.example");
    assert_string_equal(site->hostname, "mx1.example");
    assert_int_equal(site->local_count, 2);
    assert_string_equal(site->local_domains[1], "example.net");
    assert_int_equal(site->relay_count, 1);
    assert_string_equal(site->relay_domains[0], "r.example");
    assert_string_equal(site->networks[0], "10.0.0.0/8");
    assert_int_equal(site->trusted_relay_count + site->honeypot_count + site->good_sender_count, 3);
    assert_string_equal(site->trusted_relays[0], "192.0.2.0/24");
    assert_string_equal(site->honeypots[0], "trap@example.org");
    assert_string_equal(site->good_senders[0], "@partner.example");
    site->hostname = talloc_strdup(site, "mx0.example");        /* the name of the second host is not lost */
    assert_int_equal(qs_load(scan, site, path, &taken, &err), QS_OK);
    assert_string_equal(site->hostname, "mx0.example");
    assert_int_equal(site->local_count, 5);
    assert_string_equal(site->local_domains[2], "mx1.example");
    assert_int_equal(qs_load(scan, NULL, path, &taken, &err), QS_OK);
    talloc_free(view);
    (void)unlink(path);
}

/* --- the file for others -------------------------------------------------------------------------------- */

static void test_readable_by_sqlite(void **state)
{
    struct qs_view *view = sample();
    char *path = in_dir("plain.db"), wanted[200];
    (void)state;
    assert_int_equal(qs_save(view, path, false, NULL), QS_OK);
    shell_gives(path, "PRAGMA integrity_check", "ok");
    shell_gives(path, "SELECT count(*) FROM messages", "5");
    shell_gives(path, "SELECT sender || age || held FROM messages WHERE queue_id = 'A1'",
                "win1@shop.invalid1000");
    shell_gives(path, "SELECT subject FROM messages WHERE queue_id = 'A1'",
                text_of(view, view->scan->messages[0].subject));
    shell_gives(path, "SELECT group_concat(address || state) FROM recipients WHERE queue_id = 'A1'",
                "bob@example.orgtodo,eve@example.orgdone");
    shell_gives(path, "SELECT count(*) FROM messages JOIN clusters ON name = cluster WHERE queue_id = 'A1'",
                "1");
    (void)snprintf(wanted, sizeof wanted, "%s", qs_verdict_name(view->judgement->of[0].verdict));
    shell_gives(path, "SELECT verdict FROM messages WHERE message = 0", wanted);
    shell_gives(path, "SELECT value FROM meta WHERE key = 'host'", "mx1.example");
    shell_gives(path, "SELECT value FROM meta WHERE key = 'version'", QS_VERSION);
    shell_gives(path, "SELECT value FROM meta WHERE key = 'taken'", "1700000000");
    shell_gives(path, "SELECT length(sketch) || typeof(sketch) FROM fingerprints WHERE message = 0",
                "64blob");
    shell_gives(path,
                "SELECT printf('%016x', body_hash) = (SELECT body_hash FROM messages WHERE message = 0) FROM "
                "fingerprints "
                "WHERE message = 0",
                "1");
    shell_gives(path, "SELECT count(*) FROM returned", "1");
    shell_gives(path, "SELECT count(*) FROM problems WHERE text LIKE 'damaged%'", "1");
    /* what an administrator may do to it: notes of his own, statistics, compaction */
    shell(path, "CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine'); CREATE VIEW mine AS SELECT * "
                "FROM notes; "
                "ANALYZE; VACUUM");
    struct qs_view *again = loaded_from(path, NULL);
    assert_int_equal(again->scan->count, MAILS);
    talloc_free(again);
    talloc_free(view);
    (void)unlink(path);
}

/* --- where it is written -------------------------------------------------------------------------------- */

static char *file_text(const char *path)
{
    static char text[16];
    int fd = open(path, O_RDONLY);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        (void)close(fd);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

static void put(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    (void)close(fd);
}

/* No temporary file is left in the directory. */
static void nothing_but(const char *command_output)
{
    char *command = talloc_asprintf(root, "cd %s && ls -A | tr '\n' ' '", dir), text[400] = "";
    FILE *list = popen(command, "r");
    assert_non_null(list);
    size_t got = fread(text, 1, sizeof text - 1, list);
    text[got] = '\0';
    (void)pclose(list);
    assert_string_equal(text, command_output);
    talloc_free(command);
}

static void test_target(void **state)
{
    struct qs_view *view = sample();
    struct qs_error err = {""};
    char *path = in_dir("target.db"), *odd = in_dir("file:%41 ?mode=memory#x&y'\".db"),
         *link_path = in_dir("link");
    struct stat st;
    (void)state;
    put(path, "precious", 8);
    assert_int_equal(qs_save(view, path, false, &err), QS_USAGE);
    assert_non_null(strstr(err.text, "the file exists"));
    assert_string_equal(file_text(path), "precious");
    nothing_but("target.db ");
    assert_int_equal(qs_save(view, path, true, &err), QS_OK);
    assert_memory_equal(file_text(path), "SQLite format 3", 15);
    (void)unlink(path);
    /* neither a directory, nor a link, nor a FIFO is replaced */
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(qs_save(view, path, true, &err), QS_USAGE);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(qs_save(view, path, true, &err), QS_USAGE);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    (void)unlink(path);
    assert_int_equal(symlink("/nowhere/at/all", link_path), 0);
    assert_int_equal(qs_save(view, link_path, true, &err), QS_USAGE);
    (void)unlink(link_path);
    assert_int_equal(qs_save(view, "/nowhere/at/all/x.db", true, &err), QS_GONE);
    assert_int_equal(qs_save(view, "/proc/x.db", true, &err) == QS_OK, false);
    nothing_but("");
    /* a name is a name, whatever is in it */
    assert_int_equal(qs_save(view, odd, false, &err), QS_OK);
    assert_int_equal(lstat(odd, &st), 0);
    struct qs_view *again = loaded_from(odd, NULL);
    assert_int_equal(again->scan->count, MAILS);
    talloc_free(again);
    (void)unlink(odd);
    char here[1000];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(qs_save(view, "file:rel.db?mode=memory", false, &err), QS_OK);
    assert_int_equal(lstat("file:rel.db?mode=memory", &st), 0);
    again = loaded_from("file:rel.db?mode=memory", NULL);
    talloc_free(again);
    (void)unlink("file:rel.db?mode=memory");
    assert_int_equal(chdir(here), 0);
    nothing_but("");
    talloc_free(view);
}

/* A full disk: an error, nothing left behind, and the old file as it was. */
static void test_no_room(void **state)
{
    struct qs_view *view = sample();
    struct qs_error err = {""};
    char *path = in_dir("full.db");
    struct rlimit kept, small;
    (void)state;
    put(path, "precious", 8);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    small = kept;
    small.rlim_cur = 8192;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum qs_status status = qs_save(view, path, true, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(status, QS_IO);
    assert_non_null(strstr(err.text, "full.db"));
    assert_string_equal(file_text(path), "precious");
    nothing_but("full.db ");
    (void)unlink(path);
    talloc_free(view);
}

/* --- hostile files -------------------------------------------------------------------------------------- */

/* Loads what must not load, and sees that nothing changed. */
static enum qs_status load_fails(const char *path, struct qs_error *err)
{
    const struct qs_scan_options options = {0};
    struct qs_scan *scan = qs_scan_new(root, &options);
    struct qs_site *site = qs_site_new(scan);
    struct qs_scan_totals before;
    int64_t taken = 77;
    uint16_t index;
    assert_int_equal(qs_scan_add_saved(scan, "before", &index, NULL), QS_OK);
    struct qs_message *m = qs_scan_append(scan, 1);
    m->id = "BEFORE";
    before = scan->totals;
    enum qs_status status = qs_load(scan, site, path, &taken, err);
    if (status != QS_OK) {
        assert_int_equal(scan->count, 1);
        assert_int_equal(scan->queue_count, 1);
        assert_int_equal(scan->problem_count, 0);
        assert_memory_equal(&scan->totals, &before, sizeof before);
        assert_string_equal(scan->messages[0].id, "BEFORE");
        assert_null(site->hostname);
        assert_int_equal(site->local_count + site->relay_count + site->network_count, 0);
        assert_int_equal(taken, 77);
        assert_true(err->text[0] != '\0' && strchr(err->text, '\n') == NULL);
        /* the scan can still be used */
        m = qs_scan_append(scan, 1);
        assert_ptr_equal(m, &scan->messages[1]);
    }
    talloc_free(scan);
    return status;
}

static void test_not_ours(void **state)
{
    struct qs_error err = {""};
    char *path = in_dir("x");
    (void)state;
    assert_int_equal(load_fails(path, &err), QS_GONE);
    put(path, "", 0);
    assert_int_equal(load_fails(path, &err), QS_DATA);
    put(path, "From: a@b.example\n\nhello\n", 25);
    assert_int_equal(load_fails(path, &err), QS_DATA);
    assert_non_null(strstr(err.text, "not a scan saved by qsurgeon"));
    (void)unlink(path);
    shell(path, "CREATE TABLE messages (x)");
    assert_int_equal(load_fails(path, &err), QS_DATA);
    assert_non_null(strstr(err.text, "not a scan saved by qsurgeon"));
    (void)unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(load_fails(path, &err), QS_DATA);
    (void)rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(load_fails(path, &err), QS_DATA);      /* and does not wait for a writer */
    (void)unlink(path);
    struct qs_view *view = sample();
    assert_int_equal(qs_save(view, path, false, &err), QS_OK);
    shell(path, "PRAGMA user_version = 3");
    assert_int_equal(load_fails(path, &err), QS_DATA);
    assert_non_null(strstr(err.text, "saved in format 3; this qsurgeon reads format 2"));
    shell(path, "PRAGMA user_version = 0");
    assert_int_equal(load_fails(path, &err), QS_DATA);
    assert_non_null(strstr(err.text, "format 0"));
    shell(path, "PRAGMA user_version = 2; PRAGMA journal_mode = WAL");
    assert_int_equal(load_fails(path, &err), QS_DATA);
    assert_non_null(strstr(err.text, "WAL"));
    talloc_free(view);
    (void)unlink(path);
}

/* Each is done to a sound file with a sqlite3 shell; the text must name the place. */
static void test_hostile_rows(void **state)
{
    static const struct {
        const char *sql, *words;
    } cases[] = {
        /* the schema */
        {"DROP TABLE returned", "table returned is missing"},
        {"DROP TABLE meta; CREATE TABLE meta (key TEXT, value TEXT)", "sqlite_master"},
        {"ALTER TABLE messages ADD COLUMN more TEXT", "sqlite_master"},
        {"ALTER TABLE messages RENAME COLUMN sender TO sander", "sqlite_master"},
        {"ALTER TABLE messages RENAME TO m; CREATE VIEW messages AS SELECT * FROM m", "sqlite_master"},
        {"CREATE INDEX i ON messages (sender)", "sqlite_master"},
        {"CREATE TRIGGER t AFTER INSERT ON messages BEGIN SELECT 1; END", "sqlite_master"},
        {"DROP TABLE site; CREATE VIRTUAL TABLE site USING fts5(entry, kind, value)", "sqlite_master"},
        {"PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'CREATE TABLE messages(message "
         "INTEGER, x AS (load_extension(1)))' "
         "WHERE name = 'messages'",
         "damaged"},
        {"PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM "
         "sqlite_master WHERE name = 'meta') "
         "WHERE name = 'recipients'",
         "damaged"},
        {"PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 2000000 WHERE name = 'messages'",
         "damaged"},
        {"PRAGMA writable_schema = ON; DELETE FROM sqlite_master", "is missing"},
        {"PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = NULL", "damaged"},
        {"PRAGMA writable_schema = ON; UPDATE sqlite_master SET name = x'00'", "damaged"},
        /* meta, site, instances, problems */
        {"DELETE FROM meta WHERE key = 'taken'", "when it was taken"},
        {"UPDATE meta SET value = 'soon' WHERE key = 'taken'", "meta"},
        {"UPDATE meta SET value = x'31' WHERE key = 'taken'", "meta"},
        {"UPDATE meta SET value = NULL WHERE key = 'gone'", "meta"},
        {"UPDATE meta SET value = '-1' WHERE key = 'gone'", "meta"},
        {"UPDATE meta SET value = '99999999999999999999' WHERE key = 'gone'", "meta"},
        {"INSERT INTO site VALUES (99, 'nonsense', 'x')", "site"},
        {"INSERT INTO site VALUES (99, 'local', NULL)", "site"},
        {"INSERT INTO site VALUES (-1, 'local', 'x')", "site"},
        {"DELETE FROM instances", "fingerprints"},
        {"UPDATE instances SET instance = 5", "instances"},
        {"UPDATE instances SET name = NULL", "instances"},
        {"UPDATE instances SET name = zeroblob(200000)", "damaged"},
        {"UPDATE problems SET status = 'no such status'", "problems"},
        {"UPDATE problems SET text = x'05'", "problems"},
        /* messages */
        {"DELETE FROM messages WHERE message = 1", "messages, row 2"},
        {"DELETE FROM messages WHERE message = 0", "messages, row 1"},
        {"DELETE FROM messages", "belong to no message"},
        {"UPDATE messages SET message = 4294967296 WHERE message = 4", "messages, row 5"},
        {"UPDATE messages SET message = -1 WHERE message = 0", "messages, row 1"},
        {"UPDATE messages SET queue_id = ''", "is no queue ID"},
        {"UPDATE messages SET queue_id = '../../etc/passwd'", "is no queue ID"},
        {"UPDATE messages SET queue_id = 'A B'", "is no queue ID"},
        {"UPDATE messages SET queue_id = 'A' || char(10) || 'ALL'", "is no queue ID"},
        {"UPDATE messages SET queue_id = '-d'", "is no queue ID"},
        {"UPDATE messages SET queue_id = 'A' || char(0)", "is no queue ID"},
        {"UPDATE messages SET queue_id = hex(zeroblob(40))", "is no queue ID"},
        {"UPDATE messages SET queue_id = NULL", "column queue_id is no text"},
        {"UPDATE messages SET queue_id = x'4142'", "column queue_id is no text"},
        {"UPDATE messages SET sender = 5.5, subject = x'00'", "column subject is no text"},
        {"UPDATE messages SET sender = NULL", "column sender is no text"},
        {"UPDATE messages SET subject = printf('%200000d', 1)", "damaged"},
        {"UPDATE messages SET arrival_time = 'yesterday'", "column arrival_time is no whole number"},
        {"UPDATE messages SET arrival_time = 1.5", "column arrival_time is no whole number"},
        {"UPDATE messages SET message_size = -1", "column message_size is out of range"},
        {"UPDATE messages SET local_uid = 2147483648", "column local_uid is out of range"},
        {"UPDATE messages SET local_uid = -1", "column local_uid is out of range"},
        {"UPDATE messages SET attempts = 65536", "column attempts is out of range"},
        {"UPDATE messages SET received = 256", "column received is out of range"},
        {"UPDATE messages SET text_size = 4294967296", "column text_size is out of range"},
        /* fingerprints */
        {"DELETE FROM fingerprints WHERE message = 2", "fingerprints, row 3, column message"},
        {"UPDATE fingerprints SET message = 9 WHERE message = 4", "fingerprints, row 5, column message"},
        {"INSERT INTO fingerprints SELECT 9, instance, flags, traits, structure, attachment, digest, "
         "message_id, in_reply_to, sketch, "
         "body_hash, shingles, words, urls FROM fingerprints LIMIT 1",
         "belong to no message"},
        {"UPDATE fingerprints SET instance = 1", "column instance is out of range"},
        {"UPDATE fingerprints SET instance = -1", "column instance is out of range"},
        {"UPDATE fingerprints SET flags = 1 << 20", "column flags is out of range"},
        {"UPDATE fingerprints SET traits = 1 << 32", "column traits is out of range"},
        {"UPDATE fingerprints SET sketch = zeroblob(63)", "column sketch has the wrong size"},
        {"UPDATE fingerprints SET sketch = zeroblob(65)", "column sketch has the wrong size"},
        {"UPDATE fingerprints SET sketch = 'text'", "column sketch has the wrong size"},
        {"UPDATE fingerprints SET sketch = NULL", "column sketch has the wrong size"},
        {"UPDATE fingerprints SET urls = zeroblob(0)", "column urls has the wrong size"},
        {"UPDATE fingerprints SET urls = x'02000000010000000000000000000000'", "column urls is not in order"},
        {"UPDATE fingerprints SET urls = x'00000000010000000100000000000000'", "column urls is not in order"},
        {"UPDATE fingerprints SET shingles = 65536", "column shingles is out of range"},
        {"UPDATE fingerprints SET body_hash = 1e30", "column body_hash is no whole number"},
        /* returned */
        {"UPDATE returned SET message = 99", "belong to no message"},
        {"UPDATE returned SET message = -1", "returned"},
        {"UPDATE returned SET by_8 = NULL", "column by_8 is no text"},
        {"UPDATE returned SET sketch = x'00'", "column sketch has the wrong size"},
        /* recipients */
        {"UPDATE recipients SET message = 99 WHERE message = 3", "belong to no message"},
        {"UPDATE recipients SET message = -1 WHERE message = 0", "recipients"},
        {"UPDATE recipients SET message = 'x' WHERE message = 0", "recipients"},
        {"UPDATE recipients SET position = 5 WHERE message = 1", "column position is out of order"},
        {"UPDATE recipients SET position = -1 WHERE message = 1", "column position is out of range"},
        {"UPDATE recipients SET position = 1e9 WHERE message = 1", "recipients"},
        {"UPDATE recipients SET state = 'gone'", "column state is no state"},
        {"UPDATE recipients SET notify = 256", "column notify is out of range"},
        {"UPDATE recipients SET address = NULL", "column address is no text"},
    };
    struct qs_view *view = sample();
    struct qs_error err = {""};
    char *sound = in_dir("sound.db"), *path = in_dir("bad.db");
    static char bytes[1 << 20];
    (void)state;
    assert_int_equal(qs_save(view, sound, false, &err), QS_OK);
    assert_int_equal(load_fails(sound, &err), QS_OK);       /* the sound file is sound */
    int fd = open(sound, O_RDONLY);
    ssize_t size = read(fd, bytes, sizeof bytes);
    (void)close(fd);
    assert_true(size > 0 && size < (ssize_t)sizeof bytes);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        err.text[0] = '\0';
        put(path, bytes, (size_t)size);
        shell(path, cases[i].sql);
        enum qs_status status = load_fails(path, &err);
        if (status != QS_DATA || strstr(err.text, cases[i].words) == NULL)
            fail_msg("%s\n%s: %s", cases[i].sql, qs_status_name(status), err.text);
    }
    talloc_free(view);
    (void)unlink(path);
    (void)unlink(sound);
}

/* Values that are odd but may be in a queue come in, within bounds. */
static void test_odd_rows(void **state)
{
    struct qs_view *view = sample();
    struct qs_error err = {""};
    const struct qs_scan_options options = {0};
    char *path = in_dir("odd.db");
    int64_t taken = 0;
    (void)state;
    assert_int_equal(qs_save(view, path, false, &err), QS_OK);
    shell(path,
          "UPDATE messages SET arrival_time = 9223372036854775807, message_size = 9223372036854775807, "
          "next_try = -9223372036854775808, subject = 'a' || char(0) || 'b', sender = printf('%5000d', 1)");
    shell(path, "UPDATE meta SET value = '-9223372036854775808' WHERE key = 'taken'; "
                "UPDATE meta SET value = '18446744073709551615' WHERE key = 'gone'; INSERT INTO meta VALUES "
                "('new', 'key')");
    struct qs_scan *scan = qs_scan_new(view, &options);
    assert_int_equal(qs_load(scan, NULL, path, &taken, &err), QS_OK);
    assert_int_equal(qs_load(scan, NULL, path, &taken, &err), QS_OK);
    const struct qs_message *m = &scan->messages[0];
    assert_true(m->arrival > VIEW_NOW && m->arrival < INT64_MAX / 1000);
    assert_true(m->next_try < 0 && m->next_try > INT64_MIN / 1000);
    assert_true(taken < 0 && taken > INT64_MIN / 1000);
    assert_true(scan->totals.gone == UINT64_MAX);           /* no wrapping round */
    assert_true(scan->totals.bytes == UINT64_MAX);
    assert_string_equal(qs_sym_str(scan->strings, m->subject), "a?b");
    assert_int_equal(qs_sym_span(scan->strings, m->sender).len, QS_INTERN_MAX);
    talloc_free(view);
    (void)unlink(path);
}

/* The file cut at many places, and with each of its bytes changed at one place after the other: whatever
 * loads is a sound scan, and whatever does not leaves things as they were. */
static void test_damage(void **state)
{
    struct qs_view *view = sample();
    struct qs_error err = {""};
    char *path = in_dir("damaged.db");
    static unsigned char bytes[1 << 20];
    unsigned loaded = 0, refused = 0;
    (void)state;
    assert_int_equal(qs_save(view, path, false, &err), QS_OK);
    shell(path, "PRAGMA page_size = 512; VACUUM");          /* more of it is structure */
    int fd = open(path, O_RDWR);
    ssize_t size = read(fd, bytes, sizeof bytes);
    assert_true(size > 5000 && size < (ssize_t)sizeof bytes);
    for (ssize_t at = 0; at < size; at++) {
        static const unsigned char changes[] = {0xff, 0x01, 0x80, 0x7f};
        unsigned char changed = bytes[at] ^ changes[at % 4];
        if (at >= 2048 && at % 11 != 0)
            continue;
        assert_int_equal(pwrite(fd, &changed, 1, at), 1);
        if (load_fails(path, &err) == QS_OK)
            loaded++;
        else
            refused++;
        assert_int_equal(pwrite(fd, &bytes[at], 1, at), 1);
    }
    assert_true(loaded > 100 && refused > 100);
    for (ssize_t cut = size - 1; cut >= 0; cut -= cut > 2000 ? 97 : 13) {
        assert_int_equal(ftruncate(fd, cut), 0);
        if (load_fails(path, &err) == QS_OK)
            fail_msg("a file cut to %zd of %zd bytes was taken", cut, size);
    }
    (void)close(fd);
    (void)unlink(path);
    talloc_free(view);
}

/* Pages that point at each other make a walk that never ends, were it not for the order of rows. */
static void test_loops(void **state)
{
    enum { PAGE = 512, MANY = 200 };
    struct qs_view *view = view_empty();
    struct qs_error err = {""};
    char *path = in_dir("loop.db"), root_page[32] = "";
    unsigned char page[PAGE];
    sqlite3 *db = NULL;
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "M%05u", i);
        const struct made made = {.id = id, .sender = "a@b.example", .to = {"c@d.example"}};
        view_add(view->scan, NULL, 0, &made);
    }
    assert_int_equal(qs_save(view, path, false, &err), QS_OK);
    shell(path, "PRAGMA page_size = 512; VACUUM");
    assert_int_equal(load_fails(path, &err), QS_OK);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT rootpage FROM sqlite_master WHERE name = 'fingerprints'",
                                  first_cell, root_page, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    long top = strtol(root_page, NULL, 10);
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, page, PAGE, (top - 1) * PAGE), PAGE);
    assert_int_equal(page[0], 5); /* an interior page of a table: cells point at children */
    unsigned cells = (unsigned)page[3] << 8 | page[4];
    assert_true(cells > 5);
    unsigned char first[4], interior[PAGE];
    memcpy(first, page + ((unsigned)page[12] << 8 | page[13]), 4);
    long child = (long)first[0] << 24 | first[1] << 16 | first[2] << 8 | first[3];
    assert_int_equal(pread(fd, interior, PAGE, (child - 1) * PAGE), PAGE);
    /* every child is the first one: twenty levels of that would be 10^20 rows */
    unsigned char same[PAGE];
    memcpy(same, page, PAGE);
    for (unsigned c = 0; c < cells; c++)
        memcpy(same + ((unsigned)page[12 + 2 * c] << 8 | page[13 + 2 * c]), first, 4);
    memcpy(same + 8, first, 4);
    assert_int_equal(pwrite(fd, same, PAGE, (top - 1) * PAGE), PAGE);
    assert_int_equal(load_fails(path, &err), QS_DATA);
    /* every child is the page itself */
    unsigned char self[4] = {(unsigned char)(top >> 24), (unsigned char)(top >> 16),
                             (unsigned char)(top >> 8), (unsigned char)top};
    for (unsigned c = 0; c < cells; c++)
        memcpy(same + ((unsigned)page[12 + 2 * c] << 8 | page[13 + 2 * c]), self, 4);
    memcpy(same + 8, self, 4);
    assert_int_equal(pwrite(fd, same, PAGE, (top - 1) * PAGE), PAGE);
    assert_int_equal(load_fails(path, &err), QS_DATA);
    assert_int_equal(pwrite(fd, page, PAGE, (top - 1) * PAGE), PAGE);
    assert_int_equal(load_fails(path, &err), QS_OK);
    (void)close(fd);
    (void)unlink(path);
    talloc_free(view);
}

static void put_cell_at(unsigned char *page, unsigned number, size_t header, size_t at)
{
    page[header + 2 * number] = (unsigned char)(at >> 8);
    page[header + 2 * number + 1] = (unsigned char)at;
}

/* The same in the schema itself, which SQLite reads on its own before anything can be looked at: pages of
 * pages of pages whose only row is the key of `meta`, once more each time. */
static void test_schema_loop(void **state)
{
    enum { PAGE = 512, LEVELS = 16, WAYS = 60 };
    static const unsigned char row[] = "\x06\x17\x3b\x15\x01\x00"
                                       "index"
                                       "sqlite_autoindex_meta_1"
                                       "meta"
                                       "\x00";
    struct qs_view *view = sample();
    struct qs_error err = {""};
    char *path = in_dir("schema.db"), root_page[32] = "", first_page[32] = "";
    unsigned char page[PAGE];
    sqlite3 *db = NULL;
    (void)state;
    assert_int_equal(qs_save(view, path, false, &err), QS_OK);
    shell(path,
          "CREATE TABLE mine (x); INSERT INTO mine VALUES (zeroblob(20000)); PRAGMA page_size = 512; VACUUM");
    assert_int_equal(load_fails(path, &err), QS_OK);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_meta_1'",
                                  first_cell, root_page, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT rootpage FROM sqlite_master WHERE name = 'mine'", first_cell,
                                  first_page, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    unsigned key_root = (unsigned)strtoul(root_page, NULL, 10),
             spare = (unsigned)strtoul(first_page, NULL, 10) + 1;
    assert_true(key_root < 128);
    int fd = open(path, O_RDWR);
    /* the leaf, on the first spare page */
    memset(page, 0, PAGE);
    size_t size = sizeof row - 1, at = PAGE - size - 2;
    page[0] = 13;
    page[4] = 1;
    page[5] = (unsigned char)(at >> 8), page[6] = (unsigned char)at;
    put_cell_at(page, 0, 8, at);
    page[at] = (unsigned char)size;
    page[at + 1] = 1;
    memcpy(page + at + 2, row, size);
    page[PAGE - 1] = (unsigned char)key_root;
    assert_int_equal(pwrite(fd, page, PAGE, (off_t)(spare - 1) * PAGE), PAGE);
    /* pages above it, each pointing WAYS times at the one below */
    for (unsigned level = 1; level <= LEVELS; level++) {
        unsigned below = spare + level - 1;
        memset(page, 0, PAGE);
        at = PAGE;
        page[0] = 5;
        page[4] = WAYS;
        for (unsigned c = 0; c < WAYS; c++) {
            at -= 5;
            put_cell_at(page, c, 12, at);
            page[at + 2] = (unsigned char)(below >> 8), page[at + 3] = (unsigned char)below, page[at + 4] = 1;
        }
        page[5] = (unsigned char)(at >> 8), page[6] = (unsigned char)at;
        page[10] = (unsigned char)(below >> 8), page[11] = (unsigned char)below;
        assert_int_equal(pwrite(fd, page, PAGE, (off_t)(below) * PAGE), PAGE);
    }
    /* and behind the rows of the schema */
    assert_int_equal(pread(fd, page, PAGE, 0), PAGE);
    assert_int_equal(page[100], 5);
    memset(page + 108, 0, 2);
    page[110] = (unsigned char)((spare + LEVELS) >> 8), page[111] = (unsigned char)(spare + LEVELS);
    assert_int_equal(pwrite(fd, page, PAGE, 0), PAGE);
    assert_int_equal(load_fails(path, &err), QS_DATA);
    assert_non_null(strstr(err.text, "comes to no end"));
    (void)close(fd);
    (void)unlink(path);
    talloc_free(view);
}

/* The fuzz target starts from a file of the present format, or it would not get far. It is sample(),
 * saved, then "PRAGMA page_size = 512; VACUUM", so that little of it is text. */
static void test_fuzz_seed(void **state)
{
    (void)state;
    struct qs_view *view = loaded_from(QS_FIXTURES "/../tests/fuzz/corpus/saved/sample.db", NULL);
    assert_int_equal(view->scan->count, MAILS);
    talloc_free(view);
}

static int setup(void **state)
{
    return mkdtemp(dir) == NULL ? -1 : root_setup(state);
}

static int teardown(void **state)
{
    talloc_free_children(root);         /* paths */
    return rmdir(dir) != 0 ? -1 : root_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_site),
        cmocka_unit_test(test_readable_by_sqlite),
        cmocka_unit_test(test_target),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_not_ours),
        cmocka_unit_test(test_hostile_rows),
        cmocka_unit_test(test_odd_rows),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_loops),
        cmocka_unit_test(test_schema_loop), cmocka_unit_test(test_fuzz_seed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
