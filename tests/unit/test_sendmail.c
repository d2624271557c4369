/* SPDX-License-Identifier: Apache-2.0 */
/* The sendmail driver on queues made here, sound and hostile, and on captured files: lines, envelope,
 * content, layouts, transcripts, configuration. Real servers are asked in tests/live. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../formats/sendmail/qf.h"
#include "../../formats/sendmail/sendmail.h"

static char spool[] = "/tmp/qsurgeon-sendmail-XXXXXX";
static int top = -1;
static struct qs_reader *reader;
static struct qs_queue *plain;          /* the spool directory alone; opened when a test first reads from it */

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    if (ftw->level > 0)
        (void)(kind == FTW_DP ? rmdir(path) : unlink(path));
    return 0;
}

static int setup(void **state)
{
    if (mkdtemp(spool) == NULL || chmod(spool, 0755) != 0)
        return -1;
    top = open(spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return top < 0 ? -1 : root_setup(state);
}

static int teardown(void **state)
{
    (void)nftw(spool, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    (void)close(top);
    return rmdir(spool) != 0 ? -1 : root_teardown(state);
}

/* Each test begins in an empty directory. */
static void begin(void)
{
    (void)nftw(spool, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    reader = qs_reader_new(root);
    assert_non_null(reader);
}

static void finish(void)
{
    talloc_free(reader);
    talloc_free(plain);
    reader = NULL;
    plain = NULL;
}

static void make_dir(const char *name)
{
    assert_int_equal(mkdirat(top, name, 0755), 0);
}

/* Makes the directories of `path` and the file in it. */
static void put_bytes(const char *path, struct qs_span bytes)
{
    char part[PATH_MAX];
    for (const char *slash = path; (slash = strchr(slash, '/')) != NULL; slash++) {
        memcpy(part, path, (size_t)(slash - path));
        part[slash - path] = '\0';
        if (mkdirat(top, part, 0755) != 0)
            assert_int_equal(errno, EEXIST);
    }
    int fd = openat(top, path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    for (size_t done = 0; done < bytes.len;) {
        ssize_t n = write(fd, bytes.ptr + done, bytes.len - done);
        assert_true(n > 0);
        done += (size_t)n;
    }
    assert_int_equal(ftruncate(fd, (off_t)bytes.len), 0);
    assert_int_equal(close(fd), 0);
}

static void put(const char *path, const char *text)
{
    put_bytes(path, qs_span_of(text));
}

static bool is(struct qs_span span, const char *text)
{
    return qs_span_is(span, text);
}

static void same_text(struct qs_span span, const char *text)
{
    if (!is(span, text))
        fail_msg("\"%.*s\" instead of \"%s\"", (int)span.len, span.ptr, text);
}

/* --- lines and their parts ---------------------------------------------------------------------------- */

static void lines(void **state)
{
    static const char text[] = "V8\r\nHa: b\n\tc\r\n d\nX\n\n $x\n.";
    static const struct { char code; const char *text; unsigned long number; } expected[] = {
        {'V', "8", 1}, {'H', "a: b\n\tc\r\n d", 2}, {'X', "", 5}, {'\0', "", 0}, {'.', "", 8},
    };
    struct sm_lines at = sm_lines_of(QS_SPAN(text));
    struct sm_line line;
    (void)state;
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_true(sm_line_next(&at, &line));
        if (i == 3) {       /* an empty line goes on as any other does */
            assert_int_equal(line.code, '\n');
            continue;
        }
        assert_int_equal(line.code, expected[i].code);
        same_text(line.text, expected[i].text);
        assert_int_equal(line.number, expected[i].number);
    }
    assert_false(sm_line_next(&at, &line));
    at = sm_lines_of((struct qs_span){NULL, 0});
    assert_false(sm_line_next(&at, &line));
    at = sm_lines_of(QS_SPAN("\n"));
    assert_true(sm_line_next(&at, &line));
    assert_int_equal(line.code, '\0');
    assert_int_equal(line.text.len, 0);
    assert_false(sm_line_next(&at, &line));
    for (int c = 0; c < 256; c++) {
        bool always = c != 0 && strchr("ABCDEFHIKLMNPQRSTVZdqr!$.", c) != NULL;
        assert_int_equal(sm_code_known((char)c, 8), always);
        assert_int_equal(sm_code_known((char)c, 7), always || c == 'G' || c == 'Y');
    }
}

static void addresses(void **state)
{
    static const struct { const char *text, *address, *internal; } vectors[] = {
        {"<a@b.example>", "a@b.example", "a@b.example"},
        {"a@b.example", "a@b.example", "a@b.example"},
        {"root", "root", "root"},
        {"<>", "", ""},
        {"", "", ""},
        {" <a@b> ", "a@b", "a@b"},
        {"Fred B <fred@d.example>", "fred@d.example", "fred@d.example"},
        {"\"Fred <x@y> B\" <fred@d.example>", "fred@d.example", "fred@d.example"},
        {"joe@e.example (Joe <x>)", "joe@e.example", "joe@e.example"},
        {"(Joe (J.)) joe@e.example", "joe@e.example", "joe@e.example"},
        {"(open joe@e.example", "(open joe@e.example", "(open joe@e.example"},
        {"<\"john doe\"@x.example>", "\"john doe\"@x.example", "john doe@x.example"},
        {"<\"a\\\"b@c\"@x.example>", "\"a\\\"b@c\"@x.example", "a\"b@c@x.example"},
        {"<@hop.example,@other.example:d@e.example>", "d@e.example", "d@e.example"},
        {"<@hop.example", "<@hop.example", "<@hop.example"},
        {"a\xff\x81z@b", "a\xff\x81z@b", "a\x81z@b"},
        {"|/bin/prog arg", "|/bin/prog arg", "|/bin/prog arg"},
        {"x\\", "x\\", "x\\"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        char to[100];
        struct qs_span address = sm_address(qs_span_of(vectors[i].text));
        same_text(address, vectors[i].address);
        struct qs_span internal = {to, sm_unquote(to, address)};
        same_text(internal, vectors[i].internal);
        if (!sm_quoted(address))
            assert_true(is(internal, vectors[i].address));
    }
    same_text(sm_controlling_address(qs_span_of(":root")), "root");
    same_text(sm_controlling_address(qs_span_of("")), "");
    same_text(sm_controlling_address(qs_span_of("joe:1000:100:\"|prog a:b\"")), "\"|prog a:b\"");
    same_text(sm_controlling_address(qs_span_of("joe:1000")), "");
    same_text(sm_controlling_address(qs_span_of("joe")), "joe");
}

static void recipients(void **state)
{
    static const struct { const char *text; unsigned version, notify; const char *address; } vectors[] = {
        {"PFD:<a@b>", 8, 0, "<a@b>"}, {"PN:<a@b>", 8, 1, "<a@b>"}, {"PNS:<a@b>", 4, 2, "<a@b>"},
        {"PNSFD:a:b", 8, 14, "a:b"}, {"PNFDAXYBz:a", 8, 12, "a"}, {":a", 8, 0, "a"}, {"PFD", 8, 0, ""},
        {"PFD:a@b", 0, 0, "PFD:a@b"}, {"a@b", 0, 0, "a@b"}, {"", 8, 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct sm_recipient to = sm_recipient_of(qs_span_of(vectors[i].text), vectors[i].version);
        same_text(to.address, vectors[i].address);
        assert_int_equal(to.notify, vectors[i].notify);
    }
}

static void xtext(void **state)
{
    static const struct { const char *text; bool valid; const char *decoded; } vectors[] = {
        {"a+2Bb+3Dc", true, "a+b=c"}, {"<>", true, "<>"}, {"", true, ""}, {"a=b", false, "a=b"},
        {"a b", false, "a b"}, {"a+2", false, "a+2"}, {"+", false, "+"}, {"+GG", false, "+GG"},
        {"a\x80", false, "a\x80"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        char to[20];
        struct qs_span decoded = {to, sm_xtext_decode(to, qs_span_of(vectors[i].text))};
        assert_int_equal(sm_xtext_valid(qs_span_of(vectors[i].text)), vectors[i].valid);
        same_text(decoded, vectors[i].decoded);
    }
}

static void headers(void **state)
{
    static const struct { const char *text, *condition, *name, *sent; bool unfinished; } vectors[] = {
        {"??Subject: x\r\n\ty", "", "Subject", "Subject: x\n\ty", false},
        {"?P?Return-Path: <\x81g>", "P", "Return-Path", NULL, true},
        {"?P?Return-Path: <\xff\x81g>", "P", "Return-Path", "Return-Path: <\x81g>", false},
        /* 8.13 and older quote nothing */
        {"??Subject: \xd1\x81\xd0", "", "Subject", "Subject: \xd1\x81\xd0", false},
        {"??Subject: \xd1\xff\x81\xff\xff\xff", "", "Subject", "Subject: \xd1\x81\xff\xff", false},
        {"??X: \xff", "", "X", "X: \xff", false},
        {"??X: \xff y\xe4", "", "X", "X: \xff y\xe4", false},
        {"?${auth_type}?X-A : 1", "${auth_type}", "X-A", "X-A : 1", false},
        {"Old: 0", "", "Old", "Old: 0", false},
        {"??X:", "", "X", "X:", false},
        {"??X: a\rb", "", "X", "X: a\rb", false},
    };
    static const char *const bad[] = {
        "", "?", "??", "?P", "?P?", "??: x", "??no colon", "??two words: x", "??\x81: x", "??a\n\tb: c",
    };
    char long_name[210] = "??";
    struct sm_header header;
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        char to[100];
        assert_true(sm_header_of(qs_span_of(vectors[i].text), &header));
        same_text(header.condition, vectors[i].condition);
        same_text(header.name, vectors[i].name);
        assert_int_equal(sm_header_unfinished(&header), vectors[i].unfinished);
        if (vectors[i].sent != NULL)
            same_text((struct qs_span){to, sm_field_copy(to, header.field)}, vectors[i].sent);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(sm_header_of(qs_span_of(bad[i]), &header));
    memset(long_name + 2, 'x', 101);
    long_name[102] = ':';
    assert_true(sm_header_of(qs_span_of(long_name), &header));
    long_name[102] = 'x';
    long_name[103] = ':';
    assert_false(sm_header_of(qs_span_of(long_name), &header));
}

static void clients(void **state)
{
    static const struct { const char *text, *user, *name, *address; } vectors[] = {
        {"mail.example [192.0.2.1]", "", "mail.example", "192.0.2.1"},
        {"IDENT:joe@mail.example [192.0.2.1]", "", "mail.example", "192.0.2.1"},
        {"mail.example [IPv6:2001:db8::1]", "", "mail.example", "2001:db8::1"},
        {"[192.0.2.1]", "", "", "192.0.2.1"},
        {"[192.0.2.1] [192.0.2.1]", "", "", "192.0.2.1"},
        {"mail.example [192.0.2.1] (may be forged)", "", "", "192.0.2.1"},
        {"root@localhost", "root", "", ""},
        {"localhost", "", "", ""},
        {"a@b", "", "", ""},
        {"", "", "", ""},
        {"x [", "", "", ""},
        {"x [1", "", "", ""},
        {"]", "", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct sm_client client = sm_client_of(qs_span_of(vectors[i].text));
        same_text(client.user, vectors[i].user);
        same_text(client.name, vectors[i].name);
        same_text(client.address, vectors[i].address);
    }
    same_text(sm_received_user(qs_span_of(" (from joe@localhost)\n\tby x")), "joe");
    same_text(sm_received_user(qs_span_of(" (from joe@elsewhere) by x")), "");
    same_text(sm_received_user(qs_span_of(" from joe@localhost")), "");
    same_text(sm_received_user(qs_span_of(" (from joe@localhost")), "");
    same_text(sm_received_user(qs_span_of("")), "");
}

/* --- reading one message ------------------------------------------------------------------------------ */

#define ID "6AM290NF007566"

static struct qs_queue *open_with(const char *dir, const char *config)
{
    struct qs_instance instance = {
        .format = &qs_format_sendmail, .name = "test", .queue_dir = dir, .config = config};
    struct qs_queue *queue = NULL;
    struct qs_error err = {""};
    enum qs_status status = sm_open(root, &instance, &queue, &err);
    if (status != QS_OK)
        fail_msg("open: %s: %s", qs_status_name(status), err.text);
    return queue;
}

static struct qs_queue *open_queue(void)
{
    return open_with(spool, NULL);
}

/* What came out of reading one message. */
struct result {
    enum qs_status status;
    struct qs_error err;
    struct qs_envelope env;
    struct qs_entry entry;
    enum qs_status content_status;
    struct qs_span content;
    bool whole;
};

static struct result read_entry(struct qs_queue *queue, struct qs_entry entry, size_t cap)
{
    struct result r = {.content_status = QS_END, .entry = entry};
    memset(&r.env, 0x55, sizeof r.env);
    struct qs_envelope untouched = r.env;
    r.status = sm_read(queue, &r.entry, reader, &r.env, &r.err);
    if (r.status == QS_OK)
        r.content_status = sm_content(queue, &r.entry, reader, cap, &r.content, &r.whole, &r.err);
    else
        assert_memory_equal(&r.env, &untouched, sizeof untouched);
    return r;
}

/* Reads the control file of that name in a queue that is the spool directory alone. */
static struct result read_control(char letter, struct qs_span bytes)
{
    char name[] = "?f" ID;
    name[0] = letter;
    put_bytes(name, bytes);
    if (plain == NULL)
        plain = open_with(spool, NULL);
    struct qs_entry entry = {ID, 0, (uint32_t)letter, 0};
    struct result r = read_entry(plain, entry, SIZE_MAX);
    assert_int_equal(unlinkat(top, name, 0), 0);
    return r;
}

static struct result read_text(const char *text)
{
    return read_control('q', qs_span_of(text));
}

#define BODY "line one\n.\nlast line without end"

#define FIELDS \
    "Received: from helo.example (mail.example [192.0.2.1])\n" \
    "\tby mx.example (8.17.1.9/8.17.1.9) with ESMTP\n" \
    "Date: Sun, 22 Nov 2026 02:09:00 GMT\n" \
    "Subject: folded\n and on\n" \
    "X-Raw: \x80\x81\xff\n"

/* Every line that sendmail writes, in its order. */
static const char sound[] =
    "V8\nT1795313340\nK1795313460\nN3\nP150051\nI254/0/11395073\nB8BITMIME\nqheld for now\n"
    "MDeferred: first\nFw8bdnse\n$_mail.example [192.0.2.1]\n$rESMTPSA\n$shelo.example\n${daemon_flags}\n"
    "${if_addr}192.0.2.9\n${other}x\nS<author@example.org>\nZenvid+2B1\nAbob+2Bx\n!R 1795400000\n"
    "MDeferred: one\nCjoe:1000:100:list\nQrfc822;One+2BO@example.com\nrRFC822; one@example.com\n"
    "RPNSD:<one@example.com>\nC\nrRFC822; two@example.com\nRPFDA:<\"t w o\"@example.com>\nRPN:three\n"
    "H?P?Return-Path: <\x81g>\n"
    "H??Received: from helo.example (mail.example [192.0.2.1])\n"
    "\tby mx.example (8.17.1.9/8.17.1.9) with ESMTP\n"
    "H?D?Date: Sun, 22 Nov 2026 02:09:00 GMT\n"
    "H??Subject: folded\n and on\n"
    "H??X-Raw: \xff\x80\xff\x81\xff\xff\n.\n";

static void envelope(void **state)
{
    (void)state;
    begin();
    put("df" ID, BODY);
    struct result r = read_control('h', QS_SPAN(sound));
    assert_int_equal(r.status, QS_OK);
    assert_string_equal(r.env.queue_name, "quarantine");
    assert_int_equal(r.env.size, strlen(BODY));
    assert_int_equal(r.env.arrival, 1795313340);
    assert_int_equal(r.env.created, 0);
    assert_int_equal(r.env.next_try, 1795313460);
    assert_int_equal(r.env.attempts, 3);
    assert_int_equal(r.env.flags, QS_ENV_HELD | QS_ENV_UTF8);
    same_text(r.env.sender, "author@example.org");
    same_text(r.env.client_address, "192.0.2.1");
    same_text(r.env.client_name, "mail.example");
    same_text(r.env.helo, "helo.example");
    same_text(r.env.protocol, "ESMTPSA");
    same_text(r.env.sasl_username, "bob+x");
    same_text(r.env.envelope_id, "envid+2B1");
    same_text(r.env.hold_reason, "held for now");
    same_text(r.env.status, "Deferred: first");
    assert_int_equal(r.env.local_uid, -1);
    assert_int_equal(r.env.local_user.len, 0);
    assert_int_equal(r.env.recipient_count, 3);
    assert_int_equal(r.env.recipients_left_out, 0);
    assert_string_equal(r.env.finding, "");
    const struct qs_recipient_text *to = r.env.recipients;
    same_text(to[0].address, "one@example.com");
    same_text(to[0].original, "One+O@example.com");
    same_text(to[0].reason, "Deferred: one");
    assert_int_equal(to[0].notify, 2 | 8);
    same_text(to[1].address, "t w o@example.com");
    same_text(to[1].original, "two@example.com");
    same_text(to[1].reason, "");
    assert_int_equal(to[1].notify, 0);
    same_text(to[2].address, "three");
    same_text(to[2].original, "");
    assert_int_equal(to[2].notify, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(to[i].state, QS_RCPT_TODO);
    assert_int_equal(r.content_status, QS_OK);
    assert_true(r.whole);
    same_text(r.content, FIELDS "\n" BODY);
    finish();
}

static void content_caps(void **state)
{
    static const char all[] = FIELDS "\n" BODY;
    (void)state;
    begin();
    put("df" ID, BODY);
    put("qf" ID, sound);
    struct qs_queue *queue = open_queue();
    for (size_t cap = 0; cap < sizeof all + 1; cap++) {
        struct result r = read_entry(queue, (struct qs_entry){ID, 0, 'q', 0}, cap);
        assert_int_equal(r.content_status, QS_OK);
        assert_int_equal(r.content.len, cap < sizeof all - 1 ? cap : sizeof all - 1);
        assert_memory_equal(r.content.ptr, all, r.content.len);
        assert_int_equal(r.whole, cap >= sizeof all - 1);
        same_text(r.env.sender, "author@example.org");
        same_text(r.env.recipients[0].original, "One+O@example.com");
    }
    talloc_free(queue);
    finish();
}

/* A body of more than a window of the reader, and one that has no header before it. */
static void large_bodies(void **state)
{
    (void)state;
    begin();
    size_t len = 3 * QS_FILE_WINDOW + 17;
    char *body = talloc_array(root, char, (unsigned)len);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)(i * 7919 >> 5);
    put_bytes("df" ID, (struct qs_span){body, len});
    struct result r = read_text("V8\nT1\nS<a@b>\nR:c\n.\n");
    assert_int_equal(r.content_status, QS_OK);
    assert_int_equal(r.env.size, len);
    assert_int_equal(r.content.len, len + 1);
    assert_true(r.whole);
    assert_memory_equal(r.content.ptr + 1, body, len);
    talloc_free(body);
    finish();
}

/* Where a message came from: the lines before S, the fields, and what must be made of them. */
static void origins(void **state)
{
    static const struct {
        const char *macros, *fields, *address, *name, *sasl, *user;
        int64_t uid;
    } vectors[] = {
        {"$_root@localhost\n", "H??Received: (from root@localhost)\n", "", "", "", "root", 0},
        {"$_joe@localhost\n", "", "", "", "", "joe", -1},
        {"$_localhost [127.0.0.1]\n", "H??Received: by us\nH??Received: (from joe@localhost)\n\tby us\n",
         "127.0.0.1", "localhost", "", "joe", -1},
        {"$_localhost [IPv6:::1]\n", "H??received: by us\nH??RECEIVED: (from root@localhost)\n",
         "::1", "localhost", "", "root", 0},
        {"$_h [192.0.2.9]\n${if_addr}192.0.2.9\n", "H??Received: x\nH??Received: (from joe@localhost)\n",
         "192.0.2.9", "h", "", "joe", -1},
        {"$_h [192.0.2.1]\n", "H??Received: x\nH??Received: (from joe@localhost)\n",
         "192.0.2.1", "h", "", "", -1},
        {"$_localhost [127.0.0.1]\n", "H??Received: x\nH??Received: y\nH??Received: (from joe@localhost)\n",
         "127.0.0.1", "localhost", "", "", -1},
        {"$_[192.0.2.1]\n", "", "192.0.2.1", "unknown", "", "", -1},
        {"$_h [192.0.2.1] (may be forged)\n", "", "192.0.2.1", "unknown", "", "", -1},
        {"$_h [192.0.2.1]\n${client_addr}192.0.2.2\n${client_name}other\n", "",
         "192.0.2.2", "other", "", "", -1},
        {"${client_addr}IPv6:2001:db8::1\n${client_name}[IPv6:2001:db8::1]\n", "",
         "2001:db8::1", "unknown", "", "", -1},
        {"$_h [192.0.2.1]\n$rESMTPA\nAbob\n", "", "192.0.2.1", "h", "bob", "", -1},
        {"$_h [192.0.2.1]\n$rESMTPSA\nA<>\n", "", "192.0.2.1", "h", "", "", -1},
        {"$_h [192.0.2.1]\n$rESMTP\nAbob\n", "", "192.0.2.1", "h", "", "", -1},
        {"$_h [192.0.2.1]\n$rESMTP\n${auth_authen}eve\nAbob\n", "", "192.0.2.1", "h", "eve", "", -1},
        {"$_h [192.0.2.1]\n${auth_authen}\n$\n${\n${}\n${x\n", "", "192.0.2.1", "h", "", "", -1},
        {"", "", "", "", "", "", -1},
    };
    (void)state;
    begin();
    put("df" ID, "");
    for (size_t i = 0; i < COUNT(vectors); i++) {
        char text[1000];
        (void)snprintf(text, sizeof text, "V8\nT1\n%sS<a@b>\nRPFD:<c@d>\n%s.\n",
                       vectors[i].macros, vectors[i].fields);
        struct result r = read_text(text);
        assert_int_equal(r.status, QS_OK);
        same_text(r.env.client_address, vectors[i].address);
        same_text(r.env.client_name, vectors[i].name);
        same_text(r.env.sasl_username, vectors[i].sasl);
        same_text(r.env.local_user, vectors[i].user);
        assert_int_equal(r.env.local_uid, vectors[i].uid);
        assert_int_equal((r.env.flags & QS_ENV_LOCAL) != 0, vectors[i].user[0] != '\0');
    }
    finish();
}

static void senders(void **state)
{
    static const struct { const char *lines, *sender; unsigned flags; const char *finding; } vectors[] = {
        {"S<a@b>", "a@b", 0, ""}, {"S<>", "", 0, ""}, {"S", "", 0, ""}, {"Sroot", "root", 0, ""},
        {"S\"A <x> B\" <a@b>", "a@b", 0, ""}, {"S<\"a b\"@c>", "a b@c", 0, ""},
        {"Frs\nSMAILER-DAEMON", "", QS_ENV_RESPONSE, ""}, {"SMAILER-DAEMON", "MAILER-DAEMON", 0, ""},
        {"Sone\nStwo", "two", 0, "line 4: a second sender"},
    };
    (void)state;
    begin();
    put("df" ID, "");
    for (size_t i = 0; i < COUNT(vectors); i++) {
        char text[200];
        (void)snprintf(text, sizeof text, "V8\nT1\n%s\nR:c\n.\n", vectors[i].lines);
        struct result r = read_text(text);
        assert_int_equal(r.status, QS_OK);
        same_text(r.env.sender, vectors[i].sender);
        assert_int_equal(r.env.flags, vectors[i].flags);
        assert_string_equal(r.env.finding, vectors[i].finding);
    }
    finish();
}

static void versions(void **state)
{
    (void)state;
    begin();
    put("df" ID, "");
    struct result r = read_text("P100\nT1\nSa\nRPN:b@c\nRd\nHOld: 1\n.\n");
    assert_int_equal(r.status, QS_OK);      /* none: neither flags nor conditions */
    same_text(r.env.recipients[0].address, "PN:b@c");
    same_text(r.env.recipients[1].address, "d");
    same_text(r.content, "Old: 1\n\n");
    for (unsigned version = 0; version < 10; version++) {
        char text[200];
        (void)snprintf(text, sizeof text, "V%u\nT1\nSa\nY3\nG4\nRPN:b@c\nD x\nE y\nL 3\nIz\n.\n", version);
        r = read_text(text);
        assert_int_equal(r.status, version < 8 ? QS_OK : QS_DATA);
        if (version < 8)
            same_text(r.env.recipients[0].address, version < 1 ? "PN:b@c" : "b@c");
        else
            assert_string_equal(r.err.text, version == 8 ? "line 4: unknown code letter"
                                                         : "line 1: format newer than 8, the newest known");
    }
    finish();
}

static void damaged(void **state)
{
    static const struct { const char *text, *words; } vectors[] = {
        {"V8\nT1\nSa\nR:b\n", "no final dot: cut off at byte 13, line 4"},
        {"V8\nT1\nSa\nR:b\n.\nR:c\n", "line 6: text after the final dot"},
        {"V8\nT1\nSa\nR:b\n.\n\n", "line 6: text after the final dot"},
        {"V8\nT1\nSa\nX\nR:b\n.\n", "line 4: unknown code letter"},
        {"V8\nT1\nSa\n\nR:b\n.\n", "line 4: empty line"},
        {" V8\nT1\nSa\n.\n", "line 1: unknown code letter"},
        {"\xff\xfe\n.\n", "line 1: unknown code letter"},
        {"Vx\nSa\n.\n", "line 1: V is not a number"},
        {"V-1\nSa\n.\n", "line 1: V is not a number"},
        {"V99999999999999999999999\nSa\n.\n", "line 1: V is not a number"},
        {"V4294967297\nSa\n.\n", "line 1: format newer than 8, the newest known"},
        {"V8\nFrom root Sun\nSa\n.\n", "line 2: a From line"},
        {"V8\nBx\nSa\n.\n", "line 2: unknown body type"},
        {"V8\nAa=b\nSa\n.\n", "line 2: A is not xtext"},
        {"V8\nT1\nR:b\n.\n", "no sender"},
        {"some text\n", "line 1: unknown code letter"},
    };
    (void)state;
    begin();
    put("df" ID, "");
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct result r = read_text(vectors[i].text);
        assert_int_equal(r.status, QS_DATA);
        assert_string_equal(r.err.text, vectors[i].words);
    }
    struct result r = read_control('q', QS_SPAN("V8\nT1\nS\0a\n.\n"));
    assert_int_equal(r.status, QS_DATA);
    assert_string_equal(r.err.text, "byte 7 is zero: damaged");
    r = read_text("");
    assert_int_equal(r.status, QS_SKIP);
    finish();
}

/* What is odd, but what sendmail itself takes. */
static void findings(void **state)
{
    static const struct { char letter; const char *text, *finding; } vectors[] = {
        {'q', "V8\nT1\nSa\nR:b\n.", ""},
        {'q', "V8\r\nT1\r\nSa\r\nR:b\r\n.\r\n", ""},
        {'q', "V8\nT1\nSa\n.\n", ""},
        {'q', "V8\nT1\nSa\n. and more\n", "line 4: text on the line of the final dot"},
        {'q', "V8\nSa\n.\n", "no arrival time: that of the file is shown"},
        {'q', "V8\nTx\nSa\n.\n", "line 2: T is not a number"},
        {'q', "V8\nT0\nSa\n.\n", "no arrival time: that of the file is shown"},
        {'q', "V8\nT-1\nSa\n.\n", "line 2: T is not a number"},
        {'q', "V8\nT1\nKx\nSa\n.\n", "line 3: K is not a number"},
        {'q', "V8\nT1\nN1 2\nSa\n.\n", "line 3: N is not a number"},
        {'q', "V8\nT1\nN-5\nSa\n.\n", "line 3: N is not a number"},
        {'q', "V8\nT1\nK9223372036854775807\nSa\n.\n", "line 3: K is not a number"},
        {'q', "V8\nT1\nSa\nRPFD:<>\nRPFD\n.\n", "line 4: no address"},
        {'q', "V8\nT1\nqr\nSa\n.\n", "has a quarantine reason, but not the name of a quarantined file"},
        {'h', "V8\nT1\nqr\nSa\n.\n", ""},
        {'h', "V8\nT1\nSa\n.\n", "quarantined by name only, without a q line: sendmail -Q cannot release it"},
        {'Q', "V8\nT1\nSa\n.\n", ""},
        {'Q', "V8\nT1\nXx\nSa\n.\n", "line 3: unknown code letter"},
        {'Q', "V9\nT1\nSa\n.\n", "line 1: format newer than 8, the newest known"},
        {'Q', "V8\nT1\nSa\n.\nmore\nX\n", "line 5: text after the final dot"},
        {'q', "V8\nT1\nSa\nddir/of/another\n.\n",
         "its data file is in queue directory dir/of/another, which is not known here"},
    };
    (void)state;
    begin();
    put("df" ID, "");
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct result r = read_control(vectors[i].letter, qs_span_of(vectors[i].text));
        assert_int_equal(r.status, QS_OK);
        assert_string_equal(r.env.finding, vectors[i].finding);
        assert_true(r.env.arrival > 0 && r.env.next_try >= 0);
        assert_int_equal((r.env.flags & QS_ENV_HELD) != 0, vectors[i].letter == 'h');
        assert_int_equal((r.env.flags & QS_ENV_LOST) != 0, vectors[i].letter == 'Q');
        assert_string_equal(r.env.queue_name, vectors[i].letter == 'q' ? "mqueue" :
                                              vectors[i].letter == 'h' ? "quarantine" : "lost");
    }
    put("qf" ID, "V8\nT1\nSa\n.\n");
    assert_int_equal(fchmodat(top, "qf" ID, 0606, 0), 0);
    struct qs_queue *queue = open_queue();
    struct result r = read_entry(queue, (struct qs_entry){ID, 0, 'q', 0}, 0);
    assert_string_equal(r.env.finding, "everybody may write the file: sendmail will set it aside as lost");
    talloc_free(queue);
    finish();
}

/* A file that ends anywhere but behind the final dot is never taken for a message. */
static void truncated_at_every_byte(struct qs_span bytes)
{
    for (size_t len = 0; len <= bytes.len; len++) {
        struct result r = read_control('q', (struct qs_span){bytes.ptr, len});
        enum qs_status expected = len == 0 ? QS_SKIP : len + 1 < bytes.len ? QS_DATA : QS_OK;
        if (r.status != expected)
            fail_msg("%zu of %zu bytes: %s", len, bytes.len, qs_status_name(r.status));
        if (r.status == QS_DATA && (strchr(r.err.text, '\n') != NULL || r.err.text[0] == '\0'))
            fail_msg("%zu of %zu bytes: \"%s\"", len, bytes.len, r.err.text);
    }
}

static void truncated(void **state)
{
    (void)state;
    begin();
    put("df" ID, BODY);
    truncated_at_every_byte(QS_SPAN(sound));
    finish();
}

/* --- data files and transcripts ----------------------------------------------------------------------- */

static void no_data_file(void **state)
{
    (void)state;
    begin();
    struct result r = read_text("V8\nT1\nSa\nR:b\nH??X: 1\n.\n");
    assert_int_equal(r.status, QS_OK);
    assert_int_equal(r.env.flags, QS_ENV_NO_BODY);
    assert_int_equal(r.env.size, 0);
    assert_string_equal(r.env.finding, "no data file df" ID ": sendmail would deliver it without its body");
    assert_int_equal(r.content_status, QS_OK);
    assert_true(r.whole);
    same_text(r.content, "X: 1\n\n");
    assert_int_equal(symlinkat("/etc/passwd", top, "df" ID), 0);
    r = read_text("V8\nT1\nSa\nR:b\n.\n");
    assert_int_equal(r.env.flags, QS_ENV_NO_BODY);
    same_text(r.content, "\n");
    assert_int_equal(unlinkat(top, "df" ID, 0), 0);
    assert_int_equal(mkfifoat(top, "df" ID, 0600), 0);
    r = read_text("V8\nT1\nSa\nR:b\n.\n");
    assert_int_equal(r.env.flags, QS_ENV_NO_BODY);
    same_text(r.content, "\n");
    /* both files leave the queue between read and content, or the data file alone does */
    assert_int_equal(unlinkat(top, "df" ID, 0), 0);
    put("df" ID, BODY);
    put("qf" ID, sound);
    struct qs_queue *queue = open_queue();
    struct qs_entry entry = {ID, 0, 'q', 0};
    assert_int_equal(sm_read(queue, &entry, reader, &r.env, &r.err), QS_OK);
    assert_int_equal(unlinkat(top, "df" ID, 0), 0);
    assert_int_equal(sm_content(queue, &entry, reader, 9999, &r.content, &r.whole, &r.err), QS_OK);
    same_text(r.content, FIELDS "\n");
    assert_int_equal(unlinkat(top, "qf" ID, 0), 0);
    assert_int_equal(sm_content(queue, &entry, reader, 9999, &r.content, &r.whole, &r.err), QS_GONE);
    talloc_free(queue);
    finish();
}

static void transcripts(void **state)
{
    static const char control[] = "V8\nT1\nN0\nS<a@b>\nR:<one@x>\nMDeferred: own\nR:<two@x>\n"
                                  "R:three@x\nR:<four@x>\n.\n";
    static const char text[] = "\0.. while talking to [192.0.2.1]:\n>>> RCPT To:<one@x>\n"
                               "<<< 451 one@x... no\n<one@x>... Deferred: old\n<one@x>... Deferred: new\r\n"
                               "550 5.1.1 <three@x>... User unknown\n<two@x>... Deferred: other\n"
                               "... nobody\n<five@x>... Sent\n<four@x>...\n<four@x>... ";
    (void)state;
    begin();
    put("df" ID, "");
    put_bytes("xf" ID, (struct qs_span){text, sizeof text - 1});
    struct result r = read_text(control);
    assert_int_equal(r.status, QS_OK);
    same_text(r.env.recipients[0].reason, "Deferred: new");
    same_text(r.env.recipients[1].reason, "Deferred: own");
    same_text(r.env.recipients[2].reason, "User unknown");
    same_text(r.env.recipients[3].reason, "");
    assert_int_equal(unlinkat(top, "xf" ID, 0), 0);
    /* the message's own M line counts for all when no recipient has one */
    r = read_text("V8\nT1\nN1\nMall\nSa\nR:b\nR:c\n.\n");
    same_text(r.env.status, "all");
    same_text(r.env.recipients[0].reason, "all");
    same_text(r.env.recipients[1].reason, "all");
    r = read_text("V8\nT1\nN1\nMall\nSa\nMb\nR:b\nR:c\n.\n");
    same_text(r.env.recipients[0].reason, "b");
    same_text(r.env.recipients[1].reason, "");
    /* thousands of lines about nobody cost a bounded time */
    struct qs_buffer many, crowd;
    qs_buffer_init(&many, root);
    qs_buffer_init(&crowd, root);
    assert_true(qs_buffer_add(&crowd, QS_SPAN("V8\nT1\nSa\n")));
    for (int i = 0; i < 20000; i++) {
        assert_true(qs_buffer_add(&many, QS_SPAN("<x@y>... z\n")));
        assert_true(qs_buffer_add(&crowd, QS_SPAN("R:<n@y>\n")));
    }
    assert_true(qs_buffer_add(&crowd, QS_SPAN(".\n")));
    put_bytes("xf" ID, (struct qs_span){many.data, many.len});
    r = read_control('q', (struct qs_span){crowd.data, crowd.len});
    assert_int_equal(r.status, QS_OK);
    assert_int_equal(r.env.recipient_count, 20000);
    talloc_free(many.data);
    talloc_free(crowd.data);
    finish();
}

/* --- large and strange files -------------------------------------------------------------------------- */

static struct result read_crowd(int count, bool with_reason)
{
    struct qs_buffer text;
    qs_buffer_init(&text, root);
    assert_true(qs_buffer_add(&text, QS_SPAN("V8\nT1\nK2\nN1\n$_h [192.0.2.1]\nS<\"a b\"@c>\n")));
    for (int i = 0; i < count; i++) {
        char line[120];
        int len = snprintf(line, sizeof line, "%srRFC822; u%d@d.example\nRPFD:<\"u\"%d@d.example>\n",
                           with_reason ? "MDeferred: busy\n" : "", i, i);
        assert_true(qs_buffer_add(&text, (struct qs_span){line, (size_t)len}));
    }
    assert_true(qs_buffer_add(&text, QS_SPAN("H??Subject: crowd\n.\n")));
    struct result r = read_control('q', (struct qs_span){text.data, text.len});
    talloc_free(text.data);
    return r;
}

static void crowds(void **state)
{
    (void)state;
    begin();
    put("df" ID, BODY);
    struct result r = read_crowd(100000, true);
    assert_int_equal(r.status, QS_OK);
    assert_int_equal(r.env.recipient_count, 100000);
    assert_int_equal(r.env.recipients_left_out, 0);
    same_text(r.env.sender, "a b@c");
    same_text(r.env.client_name, "h");
    same_text(r.env.recipients[0].address, "u0@d.example");
    same_text(r.env.recipients[0].reason, "Deferred: busy");
    same_text(r.env.recipients[99999].address, "u99999@d.example");
    assert_int_equal(r.content_status, QS_OK);
    same_text(r.content, "Subject: crowd\n\n" BODY);
    r = read_crowd(QS_RECIPIENTS_MAX + 3, false);
    assert_int_equal(r.status, QS_OK);
    assert_int_equal(r.env.recipient_count, QS_RECIPIENTS_MAX);
    assert_int_equal(r.env.recipients_left_out, 3);
    same_text(r.env.recipients[QS_RECIPIENTS_MAX - 1].address, "u199999@d.example");
    finish();
}

static void strange_files(void **state)
{
    (void)state;
    begin();
    put("df" ID, "");
    /* a line of a megabyte and more; zeros; two gigabytes */
    size_t len = 1536 * 1024;
    char *text = talloc_zero_array(root, char, (unsigned)len);
    memset(text, 'x', len);
    memcpy(text, "V8\nT1\nSa\nH??X: ", 15);
    memcpy(text + len - 3, "\n.\n", 3);
    struct result r = read_control('q', (struct qs_span){text, len});
    assert_int_equal(r.status, QS_DATA);
    assert_string_equal(r.err.text, "line 4: 1572852 bytes long");
    memset(text, 0, len);
    r = read_control('q', (struct qs_span){text, len});
    assert_int_equal(r.status, QS_DATA);
    assert_string_equal(r.err.text, "byte 0 is zero: damaged");
    talloc_free(text);
    put("qf" ID, "V8\n");
    assert_int_equal(truncate(talloc_asprintf(reader, "%s/qf" ID, spool), (off_t)1 << 31), 0);
    struct qs_queue *queue = open_queue();
    struct qs_entry entry = {ID, 0, 'q', 0};
    r = read_entry(queue, entry, 9999);
    assert_int_equal(r.status, QS_DATA);
    assert_string_equal(r.err.text, "control file of 2147483648 bytes: at most 33554432 are read");
    assert_int_equal(unlinkat(top, "qf" ID, 0), 0);
    /* not a file at all */
    assert_int_equal(mkfifoat(top, "qf" ID, 0600), 0);
    r = read_entry(queue, entry, 9999);
    assert_int_equal(r.status, QS_DATA);
    assert_string_equal(r.err.text, "not a regular file");
    assert_int_equal(unlinkat(top, "qf" ID, 0), 0);
    assert_int_equal(symlinkat("/etc/passwd", top, "qf" ID), 0);
    assert_int_equal(read_entry(queue, entry, 9999).status, QS_DATA);
    assert_int_equal(unlinkat(top, "qf" ID, 0), 0);
    make_dir("qf" ID);
    assert_int_equal(read_entry(queue, entry, 9999).status, QS_DATA);
    assert_int_equal(unlinkat(top, "qf" ID, AT_REMOVEDIR), 0);
    assert_int_equal(read_entry(queue, entry, 9999).status, QS_GONE);
    talloc_free(queue);
    finish();
}

/* sendmail holds a lock on what it writes; one that nobody writes is damaged. */
static void being_written(void **state)
{
    (void)state;
    begin();
    put("df" ID, "");
    put("qf" ID, "V8\nT1\nSa\n");
    struct qs_queue *queue = open_queue();
    struct qs_entry entry = {ID, 0, 'q', 0};
    assert_int_equal(read_entry(queue, entry, 0).status, QS_DATA);
    int fd = openat(top, "qf" ID, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    if (access("/proc/locks", R_OK) == 0) {
        struct result r = read_entry(queue, entry, 0);
        assert_int_equal(r.status, QS_SKIP);
        assert_string_equal(r.err.text, "being written");
    }
    assert_int_equal(flock(fd, LOCK_SH), 0);            /* mailq */
    assert_int_equal(read_entry(queue, entry, 0).status, QS_DATA);
    assert_int_equal(close(fd), 0);
    talloc_free(queue);
    finish();
}

/* --- layouts ------------------------------------------------------------------------------------------ */

struct listing {
    char found[64][80];         /* "group/dir/ID", sorted */
    char said[16][160];
    size_t count, said_count;
};

static int compare_found(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Walks the queue and reads each message. */
static struct listing list_queue(struct qs_queue *queue)
{
    struct listing list = {.count = 0};
    for (;;) {
        struct qs_entry entry = {0};
        struct qs_error err = {""};
        enum qs_status status = sm_next(queue, &entry, &err);
        if (status == QS_END)
            break;
        char *to = status == QS_OK ? list.found[list.count] : list.said[list.said_count];
        size_t size = status == QS_OK ? sizeof list.found[0] : sizeof list.said[0];
        if (status != QS_OK) {
            assert_true(++list.said_count <= COUNT(list.said));
            (void)snprintf(to, size, "%s: %.140s", qs_status_name(status), err.text);
            continue;
        }
        assert_true(++list.count <= COUNT(list.found));
        assert_true(entry.inode > 0);
        struct result r = read_entry(queue, entry, 9999);
        int len = snprintf(to, size, "%.20s", entry.id);
        if (r.status == QS_OK)
            len = snprintf(to, size, "%s/%s/%.20s", r.env.queue_name, sm_dir_at(queue, entry.dir)->name,
                           entry.id);
        if (r.status != QS_OK || r.content_status != QS_OK)
            (void)snprintf(to + len, size - (size_t)len, ": %s",
                           qs_status_name(r.status != QS_OK ? r.status : r.content_status));
        else
            (void)snprintf(to + len, size - (size_t)len, "%s%s", is(r.content, "\n") ? " no body" : "",
                           r.env.finding[0] != '\0' ? " finding" : "");
    }
    struct qs_entry entry;
    struct qs_error err;
    assert_int_equal(sm_next(queue, &entry, &err), QS_END);
    qsort(list.found, list.count, sizeof list.found[0], compare_found);
    qsort(list.said, list.said_count, sizeof list.said[0], compare_found);
    return list;
}

static void same_listing(struct qs_queue *queue, const char *const *expected, size_t count)
{
    struct listing list = list_queue(queue);
    for (size_t i = 0; i < count && i < list.count; i++)
        assert_string_equal(list.found[i], expected[i]);
    assert_int_equal(list.count, count);
    assert_int_equal(list.said_count, 0);
    talloc_free(queue);
}
#define SAME_LISTING(queue, ...) do { \
        static const char *const expected_[] = {__VA_ARGS__}; \
        same_listing(queue, expected_, COUNT(expected_)); \
    } while (0)

#define CONTROL "V8\nT1\nS<a@b>\nR:<c@d>\n.\n"

/* Puts a message: its control file below dir/sub of the queue, its data file likewise. */
static void put_message(const char *dir, const char *qf, const char *df, const char *id)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s%sqf%s", dir, qf, id);
    put(path, CONTROL);
    (void)snprintf(path, sizeof path, "%s%sdf%s", dir, df, id);
    put(path, "body\n");
}

static const char *path_of(const char *name)
{
    return talloc_asprintf(reader, "%s/%s", spool, name);
}

/* Writes a configuration in which %s stands for the spool directory, up to six times. */
static const char *put_config(const char *name, const char *text)
{
    char config[4000];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(config, sizeof config, text, spool, spool, spool, spool, spool, spool);
#pragma GCC diagnostic pop
    put(name, config);
    return path_of(name);
}

static void ids(void **state)
{
    static const char *const good[] = {ID, "a", "AA12345", "6AM290NF0075661234"};
    static const char *const bad[] = {
        "", "6AM290NF00756612345", "a.b", "a/b", "..", "a b", "a_b", "\xc3\xa4", "a\n", "x~",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(sm_id_valid(qs_span_of(good[i])));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(sm_id_valid(qs_span_of(bad[i])));
    static const struct { struct sm_dir dir; char letter; const char *path; } paths[] = {
        {{".", "g", false, false, false}, 'q', "qfA1"},
        {{".", "g", true, true, true}, 'h', "qf/hfA1"},
        {{"q1", "g", false, false, false}, 'Q', "q1/QfA1"},
        {{"a/b", "g", true, true, true}, 'd', "a/b/df/dfA1"},
        {{"q1", "g", true, false, false}, 'd', "q1/dfA1"},
        {{"q1", "g", false, true, true}, 'x', "q1/xf/xfA1"},
        {{"q1", "g", false, true, false}, 't', "q1/tfA1"},
        {{"q1", "g", true, false, false}, 't', "q1/qf/tfA1"},
    };
    for (size_t i = 0; i < COUNT(paths); i++) {
        char to[SM_PATH_MAX];
        sm_path(&paths[i].dir, paths[i].letter, "A1", to);
        assert_string_equal(to, paths[i].path);
    }
    /* the longest */
    char name[SM_DIR_MAX + 1], to[SM_PATH_MAX];
    memset(name, 'x', SM_DIR_MAX);
    name[SM_DIR_MAX] = '\0';
    struct sm_dir longest = {name, "g", true, true, true};
    sm_path(&longest, 'q', "6AM290NF0075661234", to);
    assert_int_equal(strlen(to), SM_DIR_MAX + 1 + 3 + 2 + 18);
}

static void single(void **state)
{
    (void)state;
    begin();
    put_message("", "", "", "A1");
    put("hfA2", "V8\nT1\nqx\nS<a@b>\n.\n");
    put("dfA2", "x");
    put("QfA3", "V8\nT1\nS<a@b>\n.\n");
    put("dfA3", "x");
    /* what is no message */
    static const char *const others[] = {
        "dfA4", "tfA5", "TfA6", "xfA7", "nfA8", "lfA9", "DfB1", "qf", "qg1", "core",
    };
    for (size_t i = 0; i < COUNT(others); i++)
        put(others[i], CONTROL);
    make_dir(".hidden");
    put(".hidden/qfB2", CONTROL);
    SAME_LISTING(open_queue(), "lost/./A3", "mqueue/./A1", "quarantine/./A2");
    /* what sendmail takes for a message, and we do not */
    put("qfB.3", CONTROL);
    put("qf" ID "12345", CONTROL);
    make_dir("hfB4");
    assert_int_equal(symlinkat("qfA1", top, "qfB5"), 0);
    assert_int_equal(mkfifoat(top, "QfB6", 0600), 0);
    struct qs_queue *queue = open_queue();
    struct listing list = list_queue(queue);
    assert_int_equal(list.count, 3);
    assert_int_equal(list.said_count, 5);
    assert_string_equal(list.said[0], "skip: QfB6: not a regular file");
    assert_string_equal(list.said[1], "skip: hfB4: not a regular file");
    assert_string_equal(list.said[2], "skip: qf" ID "12345: the name holds no queue ID");
    assert_string_equal(list.said[3], "skip: qfB.3: the name holds no queue ID");
    assert_string_equal(list.said[4], "skip: qfB5: not a regular file");
    talloc_free(queue);
    finish();
}

static void wildcards(void **state)
{
    (void)state;
    begin();
    const char *pattern = path_of("q*");
    put_message("q1/", "", "", "A1");
    put_message("q2/", "qf/", "df/", "A2");
    put_message("q3/", "qf/", "", "A3");
    put_message("other/", "", "", "A4");
    put("q1/df/x", "");                 /* split for data files since, but not A1 */
    make_dir("elsewhere");
    put_message("elsewhere/", "", "", "A5");
    assert_int_equal(symlinkat("elsewhere", top, "q5"), 0);
    put("q6", "not a directory");
    SAME_LISTING(open_with(pattern, NULL), "mqueue/q1/A1 no body finding", "mqueue/q2/A2", "mqueue/q3/A3",
                 "mqueue/q5/A5");
    /* without the pattern, whatever looks like a queue; no directory twice */
    SAME_LISTING(open_queue(), "mqueue/elsewhere/A5", "mqueue/other/A4", "mqueue/q1/A1 no body finding",
                 "mqueue/q2/A2", "mqueue/q3/A3");
    /* one of them by name */
    SAME_LISTING(open_with(path_of("q2"), NULL), "mqueue/./A2");
    SAME_LISTING(open_with(path_of("q2/"), NULL), "mqueue/./A2");
    /* nested, as queue groups have it */
    put_message("slow/s1/", "", "", "A6");
    struct listing list = list_queue(open_queue());
    assert_int_equal(list.count, 6);
    assert_string_equal(list.found[5], "mqueue/slow/s1/A6");
    finish();
    talloc_free_children(root);
}

static void groups(void **state)
{
    (void)state;
    begin();
    const char *config = put_config("sendmail.cf",
        "V10/Debian\nO QueueDirectory=%s/mq/q*   # with a comment\n"
        "Qfast, P=%s/mq/fast, F=f, I=1m\n"
        "Qslow,\n\tP=%s/mq/slow/s*,\n\tI=1h\n"
        "Qsame, P=%s/mq/q1\n"
        "Qaway, P=/nowhere/else\n"
        "Qempty, P=%s/mq/nothing*, R=0\n"
        "QFAST, P=%s/mq/faster\n");
    put_message("mq/q1/", "", "", "A1");
    put_message("mq/q2/", "qf/", "df/", "A2");
    put_message("mq/fast/", "", "", "A3");
    put_message("mq/faster/", "qf/", "df/", "A4");
    put_message("mq/slow/s1/", "", "", "A5");
    put_message("mq/", "", "", "A6");
    /* data files in other groups */
    put("mq/q1/qfA7", "V8\nT1\ndslow/s1\nS<a@b>\n.\n");
    put("mq/slow/s1/dfA7", "body\n");
    put("mq/q1/qfA8", "V8\nT1\ndfaster\nS<a@b>\n.\n");
    put("mq/faster/df/dfA8", "body\n");
    put("mq/q1/qfA9", "V8\nT1\nd../mq/q1\nS<a@b>\n.\n");
    put("mq/q1/dfA9", "body\n");
    put("mq/q1/qfB1", "V8\nT1\nd.\nS<a@b>\n.\n");
    put("mq/dfB1", "body\n");
    static const char *const expected[] = {
        "FAST/faster/A4", "empty/./A6", "mqueue/q1/A1", "mqueue/q1/A7", "mqueue/q1/A8",
        "mqueue/q1/A9 no body finding", "mqueue/q1/B1", "mqueue/q2/A2", "slow/slow/s1/A5",
    };
    same_listing(open_with(path_of("mq"), config), expected, COUNT(expected));
    /* a copy of that queue elsewhere, with its configuration */
    assert_int_equal(renameat(top, "mq", top, "copy"), 0);
    same_listing(open_with(path_of("copy"), config), expected, COUNT(expected));
    finish();
}

/* Where a wildcard matches .qsurgeon, nothing may be operated on. */
static void wildcards_and_runs(void **state)
{
    static const struct { const char *pattern; bool may; } cases[] = {
        {"q*", true}, {"*", false}, {".q*", false}, {".*", false}, {".qx*", true}, {"q1", true},
    };
    (void)state;
    begin();
    put_message("mq/q1/", "", "", "A1");
    for (size_t i = 0; i < COUNT(cases); i++) {
        uid_t uid = 0;
        gid_t gid = 0;
        struct qs_error err;
        char text[100];
        (void)snprintf(text, sizeof text, "V10\nO QueueDirectory=%%s/mq/%s\n", cases[i].pattern);
        struct qs_queue *queue = open_with(path_of("mq"), put_config("sendmail.cf", text));
        assert_int_equal(sm_owner(queue, &uid, &gid, &err), cases[i].may ? QS_OK : QS_CONFIG);
        talloc_free(queue);
    }
    finish();
    talloc_free_children(root);
}

static void moving(void **state)
{
    struct qs_entry e;
    struct qs_error err;
    struct qs_envelope env;
    static const struct { const char *to, *name; uint32_t kind; } places[] = {
        {"q1/hf" ID, "quarantine", 'h'}, {"q1/Qf" ID, "lost", 'Q'}, {"q2/qf/qf" ID, "mqueue", 'q'},
        {"q3/qf" ID, "mqueue", 'q'},
    };
    (void)state;
    begin();
    put_message("q2/", "qf/", "df/", "A2");
    put_message("q3/", "", "", "A3");
    put_message("q1/", "", "", ID);
    for (size_t i = 0; i < COUNT(places); i++) {
        struct qs_queue *queue = open_with(path_of("q*"), NULL);
        assert_int_equal(sm_next(queue, &e, &err), QS_OK);
        assert_int_equal(renameat(top, "q1/qf" ID, top, places[i].to), 0);
        assert_int_equal(sm_read(queue, &e, reader, &env, &err), QS_OK);
        assert_string_equal(env.queue_name, places[i].name);
        assert_int_equal(e.kind, places[i].kind);
        assert_int_equal(sm_read(queue, &e, reader, &env, &err), QS_OK);    /* where the entry says now */
        assert_int_equal(renameat(top, places[i].to, top, "q1/qf" ID), 0);
        talloc_free(queue);
    }
    struct qs_queue *queue = open_with(path_of("q*"), NULL);
    assert_int_equal(sm_next(queue, &e, &err), QS_OK);
    /* the data file goes first, then the control file */
    assert_int_equal(unlinkat(top, "q1/qf" ID, 0), 0);
    assert_int_equal(sm_read(queue, &e, reader, &env, &err), QS_GONE);
    static const struct qs_entry strange[] = {
        {"../x", 0, 'q', 1}, {ID, 7, 'q', 1}, {"", 0, 'q', 1}, {ID, UINT32_MAX, 0, 1}, {ID, 0, 0, 1},
    };
    for (size_t i = 0; i < COUNT(strange); i++) {
        e = strange[i];
        assert_int_equal(sm_read(queue, &e, reader, &env, &err), QS_GONE);
    }
    talloc_free(queue);
    finish();
}

static void permissions(void **state)
{
    struct qs_instance instance = {.format = &qs_format_sendmail, .name = "test", .queue_dir = spool};
    struct qs_queue *queue = NULL;
    struct qs_error err = {""};
    (void)state;
    begin();
    put_message("q1/", "", "", "A1");
    put_message("q2/", "", "", "A2");
    put_message("q3/", "", "", "A3");
    const char *pattern = path_of("q*");
    assert_int_equal(fchmodat(top, "q2", 0, 0), 0);
    assert_int_equal(fchmodat(top, "q3/qfA3", 0, 0), 0);
    assert_int_equal(fchmodat(top, "q1/qfA1", 0644, 0), 0);
    bool was_root = geteuid() == 0;
    if (was_root)
        assert_int_equal(seteuid(65534), 0);
    queue = open_with(pattern, NULL);
    struct listing list = list_queue(queue);
    talloc_free(queue);
    queue = open_queue();       /* without the pattern, too, what cannot be read is told */
    struct listing again = list_queue(queue);
    talloc_free(queue);
    if (was_root) {             /* the data file of A1 is not for us either */
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(fchmodat(top, ".", 0700, 0), 0);
        assert_int_equal(seteuid(65534), 0);
    } else {
        assert_int_equal(fchmodat(top, ".", 0, 0), 0);
    }
    enum qs_status status = sm_open(root, &instance, &queue, &err);
    const char *evidence = NULL;
    enum qs_status examined = sm_examine(root, spool, &evidence, NULL);
    enum qs_status third = was_root ? sm_examine(root, path_of("q3"), &evidence, NULL) : QS_NOPERM;
    if (was_root)
        assert_int_equal(seteuid(0), 0);
    assert_null(evidence);
    assert_int_equal(chmod(spool, 0755), 0);
    assert_int_equal(fchmodat(top, "q2", 0755, 0), 0);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.found[0], "A3: no-permission");
    assert_string_equal(list.found[1], was_root ? "mqueue/q1/A1: no-permission" : "mqueue/q1/A1");
    assert_int_equal(list.said_count, 1);
    assert_true(strncmp(list.said[0], "no-permission: queue directory q2: only root", 44) == 0);
    assert_int_equal(again.count, list.count);
    assert_int_equal(again.said_count, 1);
    assert_string_equal(again.said[0], list.said[0]);
    assert_int_equal(status, QS_NOPERM);
    assert_non_null(strstr(err.text, "may read it"));
    assert_int_equal(examined, QS_NOPERM);
    assert_int_equal(third, QS_NOPERM);
    instance.queue_dir = path_of("missing");
    assert_int_equal(sm_open(root, &instance, &queue, &err), QS_NOQUEUE);
    finish();
}

/* --- discovery ---------------------------------------------------------------------------------------- */

static struct qs_instance **discover(const char *queue_dir, const char *config, size_t *count)
{
    struct qs_place place = {queue_dir, config};
    struct qs_instance **list = NULL;
    struct qs_error err = {""};
    enum qs_status status = sm_discover(reader, &place, &list, count, &err);
    if (status != QS_OK)
        fail_msg("discover: %s: %s", qs_status_name(status), err.text);
    return list;
}

static void discovery(void **state)
{
    size_t count;
    struct qs_place place = {NULL, NULL};
    struct qs_instance **list = NULL;
    struct qs_error err = {""};
    const char *evidence = NULL;
    (void)state;
    begin();
    /* both queues of a host, below one directory of configurations */
    put_config("mail/sendmail.cf", "V10\nO QueueDirectory=%s/spool/mqueue/q*\n");
    put_config("mail/submit.cf", "V10\nO UseMSP=True\nO QueueDirectory=%s/spool/client\n");
    put_message("spool/mqueue/q1/", "", "", "A1");
    make_dir("spool/client");
    list = discover(NULL, path_of("mail"), &count);
    assert_int_equal(count, 2);
    assert_string_equal(list[0]->name, "mqueue");
    assert_string_equal(list[0]->queue_dir, path_of("spool/mqueue"));
    assert_string_equal(list[0]->config, path_of("mail/sendmail.cf"));
    assert_string_equal(list[1]->name, "mqueue-client");
    assert_string_equal(list[1]->queue_dir, path_of("spool/client"));
    list = discover(NULL, path_of("mail/submit.cf"), &count);
    assert_int_equal(count, 1);
    assert_string_equal(list[0]->name, "mqueue-client");
    /* the queue decides which of two configurations is meant: the same directory, or a copy of that name */
    list = discover(path_of("spool/client"), path_of("mail"), &count);
    assert_int_equal(count, 1);
    assert_string_equal(list[0]->name, "mqueue-client");
    put_message("copy/mqueue/", "", "", "A1");
    list = discover(path_of("copy/mqueue"), path_of("mail"), &count);
    assert_int_equal(count, 1);
    assert_string_equal(list[0]->name, "mqueue");
    assert_string_equal(list[0]->queue_dir, path_of("copy/mqueue"));
    /* no configuration: what the directory shows */
    list = discover(path_of("copy/mqueue"), NULL, &count);
    assert_int_equal(count, 1);
    assert_null(list[0]->config);
    assert_string_equal(list[0]->evidence, "sendmail control files in it");
    (void)discover(path_of("mail"), NULL, &count);
    assert_int_equal(count, 0);
    (void)discover(path_of("missing"), NULL, &count);
    assert_int_equal(count, 0);
    assert_false(sm_probe(reader, path_of("spool/client"), &evidence));
    assert_null(evidence);
    assert_true(sm_probe(reader, path_of("spool/mqueue/q*"), &evidence));
    assert_true(sm_probe(reader, path_of("spool"), &evidence));
    make_dir("empty");
    make_dir("empty/qf");
    assert_false(sm_probe(reader, path_of("empty"), &evidence));
    make_dir("empty/df");
    assert_true(sm_probe(reader, path_of("empty"), &evidence));
    put("text/qform", "Quite another thing");
    put("text/hfile", "V");
    assert_false(sm_probe(reader, path_of("text"), &evidence));
    /* a configuration that is none, or not there */
    (void)discover(NULL, path_of("copy"), &count);
    assert_int_equal(count, 0);
    put("main.cf", "queue_directory = /var/spool/postfix\n");
    place.config = path_of("main.cf");
    assert_int_equal(sm_discover(reader, &place, &list, &count, &err), QS_CONFIG);
    assert_non_null(strstr(err.text, "not a sendmail configuration"));
    place.config = path_of("missing.cf");
    assert_int_equal(sm_discover(reader, &place, &list, &count, &err), QS_CONFIG);
    /* whatever this machine has */
    place.config = NULL;
    assert_int_equal(sm_discover(reader, &place, &list, &count, &err), QS_OK);
    finish();
}

static void option_forms(void **state)
{
    static const struct { const char *text, *base, *first; bool submission; } vectors[] = {
        {"O QueueDirectory=/a/b\n", "/a/b", ".", false},
        {"O  queuedirectory = /a/b/ \n", "/a/b", ".", false},
        {"OQ/a/q*\n", "/a", "q*", false},
        {"O QueueDirectory=/a/b/*\nO UseMSP=true", "/a/b", "*", true},
        {"O QueueDirectory=/q*\n", "/", "q*", false},
        {"#O QueueDirectory=/x\nO QueueDirectory=/a/b # x\nO UseMSP=no\n", "/a/b", ".", false},
        {"O QueueDirectory=/a/b\nQmqueue, P=/a/b/c/\n", "/a/b", "c", false},
        {"O QueueDirectory=/a/b\r\n", "/a/b", ".", false},
    };
    static const char *const bad[] = {
        "", "O QueueDirectory=\n", "O Queue=/x\n", "O\n", "O QueueDirectory=mqueue\n",
        " O QueueDirectory=/x\n",
    };
    (void)state;
    begin();
    struct sm_queues queues;
    struct qs_error err;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        put("x.cf", vectors[i].text);
        assert_int_equal(sm_config_queues(reader, path_of("x.cf"), &queues, &err), QS_OK);
        assert_string_equal(queues.base, vectors[i].base);
        assert_int_equal(queues.submission, vectors[i].submission);
        assert_int_equal(queues.group_count, 1);
        assert_string_equal(queues.groups[0].name, "mqueue");
        assert_string_equal(queues.groups[0].path, vectors[i].first);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        put("x.cf", bad[i]);
        assert_int_equal(sm_config_queues(reader, path_of("x.cf"), &queues, &err), QS_CONFIG);
    }
    finish();
}

static void same_list(char **list, size_t count, const char *expected)
{
    char all[1000] = "";
    for (size_t i = 0; i < count; i++)
        (void)snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i > 0 ? " " : "", list[i]);
    assert_string_equal(all, expected);
}

static void site(void **state)
{
    struct qs_error err;
    (void)state;
    begin();
    put_config("etc/mail/sendmail.cf",
        "O QueueDirectory=%s/mq\nDjMX.Example\nCwlocalhost Example.org. $w [192.0.2.1]\nC{w}second.example\n"
        "Fw-o %s/etc/mail/local-host-names %%[^\\#]\nF{VirtHost}%s/etc/mail/virt\nFw|/bin/program\nFw@ldap\n"
        "CRrelay.example\nFR-o /elsewhere/mail/relay-domains\nFR\nCPx\nFw-o /etc/mail/missing\n"
        "Kaccess hash -T<TMPF> -o %s/etc/mail/access\nO Timeout.queuereturn=36h\nO Timeout.queuereturn.normal=2d\n"
        "O Timeout.queuereturn.urgent=9d\nO Timeout.queuewarn=8d\n");
    put("etc/mail/local-host-names", "# names\nthird.example # and a comment\n\n  fourth.example\n");
    put("etc/mail/virt", "virtual.example");
    put("etc/mail/relay-domains", "other.example\n");
    put("etc/mail/access",
        "Connect:10.1\tRELAY\n192.0.2.7 RELAY\nConnect:127 OK\nIPv6:2001:db8 relay\nConnect:IPv6:::1 RELAY\n"
        "To:client.example RELAY\nspam@x REJECT\nFrom:x.example RELAY\n10.1.2.3.4 RELAY\nConnect: RELAY\n");
    make_dir("mq");
    struct qs_instance instance = {
        .format = &qs_format_sendmail,
        .name = "mqueue",
        .queue_dir = path_of("mq"),
        .config = path_of("etc/mail/sendmail.cf"),
    };
    struct qs_site *found = talloc_zero(reader, struct qs_site);
    assert_int_equal(sm_site(&instance, found, &err), QS_OK);
    assert_string_equal(found->hostname, "MX.Example");
    assert_int_equal(found->lifetime, 2 * 86400);
    same_list(found->local_domains, found->local_count,
              "localhost example.org second.example third.example fourth.example virtual.example mx.example");
    same_list(found->relay_domains, found->relay_count, "relay.example other.example client.example");
    same_list(found->networks, found->network_count, "10.1.0.0/16 192.0.2.7/32 2001:db8::/32 ::1/128");
    /* in a copy, files are looked for beside the configuration; the host that reads is not asked */
    instance.queue_dir = path_of("elsewhere");
    instance.config = put_config("copy/sendmail.cf",
        "O QueueDirectory=%s/mq\nFw/etc/passwd\nFw/x/local-host-names\n");
    put("copy/local-host-names", "beside.example\n");
    found = talloc_zero(reader, struct qs_site);
    assert_int_equal(sm_site(&instance, found, &err), QS_OK);
    assert_null(found->hostname);
    assert_int_equal(found->lifetime, 0);
    same_list(found->local_domains, found->local_count, "beside.example");
    instance.config = NULL;
    assert_int_equal(sm_site(&instance, found, &err), QS_OK);
    instance.config = path_of("missing");
    assert_int_equal(sm_site(&instance, found, &err), QS_OK);
    assert_int_equal(found->local_count, 1);
    finish();
}

/* The numbers of local submitters are asked of this host only for its own queue. */
static void users(void **state)
{
    (void)state;
    begin();
    const char *config = put_config("own.cf", "O QueueDirectory=%s/mq\n");
    const char *other = put_config("other.cf", "O QueueDirectory=%s/other\n");
    make_dir("mq");
    make_dir("other");
    struct qs_queue *queue = open_with(path_of("mq"), config);
    assert_int_equal(sm_user_id(queue, qs_span_of("root")), 0);
    assert_int_equal(sm_user_id(queue, qs_span_of("daemon")), 1);
    assert_int_equal(sm_user_id(queue, qs_span_of("nobody")), 65534);
    assert_int_equal(sm_user_id(queue, qs_span_of("no such user")), -1);
    assert_int_equal(sm_user_id(queue, qs_span_of("")), -1);
    talloc_free(queue);
    queue = open_with(path_of("mq"), other);
    assert_int_equal(sm_user_id(queue, qs_span_of("daemon")), -1);
    talloc_free(queue);
    finish();
}

/* --- real files --------------------------------------------------------------------------------------- */

static char *slurp(TALLOC_CTX *parent, const char *path, size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    assert_int_equal(fstat(fd, &st), 0);
    char *bytes = talloc_zero_array(parent, char, (unsigned)st.st_size + 1);
    assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
    assert_int_equal(close(fd), 0);
    *len = (size_t)st.st_size;
    return bytes;
}

/* Captured from sendmail 8.17.1.9; fixtures/cases.py has what was submitted. */
static void fixtures(void **state)
{
    static const struct {
        const char *name;
        char letter;
        size_t recipients;      /* 0: some */
        bool tried;
    } cases[] = {
        {"plain", 'q', 0, true},        {"multi", 'q', 0, true}, {"many-rcpts", 'q', 0, true},
        {"null-sender", 'q', 1, true},  {"8bit", 'q', 0, true},  {"dsn", 'q', 2, true},
        {"folded", 'q', 0, true},       {"auth", 'q', 2, true},  {"long-lines", 'q', 0, true},
        {"empty-body", 'q', 0, true},   {"lost", 'Q', 0, false}, {"controls", 'q', 2, true},
        {"quarantined", 'h', 2, false}, {"running", 'q', 2, false}, {"untried", 'q', 0, false},
    };
    TALLOC_CTX *scratch = talloc_new(root);
    (void)state;
    begin();
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t len, body_len, xf_len;
        const char *base = QS_FIXTURES "/sendmail/single/queue";
        const char *name = talloc_asprintf(scratch, "%s/%s.%cf", base, cases[i].name, cases[i].letter);
        char *control = slurp(scratch, name, &len);
        char *body = slurp(scratch, talloc_asprintf(scratch, "%s/%s.df", base, cases[i].name), &body_len);
        char *xf = slurp(scratch, talloc_asprintf(scratch, "%s/%s.xf", base, cases[i].name), &xf_len);
        assert_non_null(control);
        assert_non_null(body);
        put_bytes("df" ID, (struct qs_span){body, body_len});
        if (xf != NULL)
            put_bytes("xf" ID, (struct qs_span){xf, xf_len});
        struct result r = read_control(cases[i].letter, (struct qs_span){control, len});
        assert_int_equal(r.status, QS_OK);
        assert_string_equal(r.env.finding, "");
        same_text(r.env.sender, strcmp(cases[i].name, "null-sender") == 0 ? "" : "author@seed.example");
        same_text(r.env.client_address, "127.0.0.1");
        same_text(r.env.client_name, "localhost");
        same_text(r.env.helo, "client.example");
        assert_int_equal(r.env.size, body_len);
        assert_true(r.env.arrival > 1795000000);
        assert_true(r.env.recipient_count > 0);
        if (cases[i].recipients > 0)
            assert_int_equal(r.env.recipient_count, cases[i].recipients);
        assert_int_equal(qs_span_starts(r.env.recipients[0].reason, "Deferred: 451 "), cases[i].tried);
        assert_int_equal(r.content_status, QS_OK);
        assert_true(r.whole);
        assert_true(qs_span_starts(r.content, "Received: from client.example "));
        assert_memory_equal(r.content.ptr + r.content.len - body_len, body, body_len);
        if (strcmp(cases[i].name, "auth") == 0)
            same_text(r.env.sasl_username, "ada");
        if (strcmp(cases[i].name, "dsn") == 0) {
            same_text(r.env.recipients[1].original, "first@origin.example");
            assert_int_equal(r.env.recipients[1].notify, 2 | 8);
        }
        if (xf != NULL) {
            same_text(r.env.recipients[0].reason, "");
            assert_true(qs_span_starts(r.env.recipients[1].reason, "Deferred: 451 4.7.1 <later@far"));
            assert_int_equal(unlinkat(top, "xf" ID, 0), 0);
        }
        if (i < 3)
            truncated_at_every_byte((struct qs_span){control, len});
    }
    talloc_free(scratch);
    finish();
}

static int read_corpus_file(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    const char *name = path + ftw->base;
    if (kind != FTW_F || (strncmp(name, "qf", 2) != 0 && strstr(name, ".qf") == NULL))
        return 0;
    size_t len;
    char *bytes = slurp(root, path, &len);
    struct result r = read_control('q', (struct qs_span){bytes, len});
    if (r.status != QS_OK)
        fail_msg("%s: %s", path, r.err.text);
    assert_true(r.env.sender.len > 0);
    assert_true(r.env.recipient_count == 1);
    assert_true(r.env.recipients[0].address.len > 0);
    assert_int_equal(r.env.flags & (unsigned)~QS_ENV_LOCAL, 0);
    assert_string_equal(r.env.finding, "");
    talloc_free(bytes);
    return 0;
}

static void corpus(void **state)
{
    static const char base[] = QS_CORPORA "/sendmail-qf";
    (void)state;
    if (access(base, R_OK) != 0) {
        print_message("SKIPPED: %s is not here\n", base);
        skip();
    }
    begin();
    put("df" ID, "");
    assert_int_equal(nftw(base, read_corpus_file, 8, FTW_PHYS), 0);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(addresses),
        cmocka_unit_test(recipients),
        cmocka_unit_test(xtext),
        cmocka_unit_test(headers),
        cmocka_unit_test(clients),
        cmocka_unit_test(envelope),
        cmocka_unit_test(content_caps),
        cmocka_unit_test(large_bodies),
        cmocka_unit_test(origins),
        cmocka_unit_test(senders),
        cmocka_unit_test(versions),
        cmocka_unit_test(damaged),
        cmocka_unit_test(findings),
        cmocka_unit_test(truncated),
        cmocka_unit_test(no_data_file),
        cmocka_unit_test(transcripts),
        cmocka_unit_test(crowds),
        cmocka_unit_test(strange_files),
        cmocka_unit_test(being_written),
        cmocka_unit_test(ids),
        cmocka_unit_test(single),
        cmocka_unit_test(wildcards),
        cmocka_unit_test(groups), cmocka_unit_test(wildcards_and_runs),
        cmocka_unit_test(moving),
        cmocka_unit_test(permissions),
        cmocka_unit_test(discovery),
        cmocka_unit_test(option_forms),
        cmocka_unit_test(site),
        cmocka_unit_test(users),
        cmocka_unit_test(fixtures),
        cmocka_unit_test(corpus),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
