/* SPDX-License-Identifier: Apache-2.0 */
/* The Postfix driver on queues made here byte by byte, sound and hostile, and on captured ones: layout,
 * records, envelope, logs, content, discovery. Real servers are asked in tests/live. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "../../formats/postfix/postfix.h"

static char spool[] = "/tmp/qsurgeon-postfix-XXXXXX";
static int top = -1;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)ftw;
    if (ftw->level > 0)
        (void)(kind == FTW_DP ? rmdir(path) : unlink(path));
    return 0;
}

static void empty_spool(void)
{
    (void)nftw(spool, remove_one, 8, FTW_DEPTH | FTW_PHYS);
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
    empty_spool();
    (void)close(top);
    return rmdir(spool) != 0 ? -1 : root_teardown(state);
}

/* Makes the directories of `path` and the file in it, or gives that file these bytes. (To empty it first
 * would be slow on ext4, which then writes it out.) */
static void put(const char *path, struct qs_span bytes, mode_t mode)
{
    char part[PATH_MAX];
    for (const char *slash = path; (slash = strchr(slash, '/')) != NULL; slash++) {
        memcpy(part, path, (size_t)(slash - path));
        part[slash - path] = '\0';
        if (mkdirat(top, part, 0700) != 0)
            assert_int_equal(errno, EEXIST);
    }
    int fd = openat(top, path, O_WRONLY | O_CREAT, 0700);
    assert_true(fd >= 0);
    for (size_t done = 0; done < bytes.len;) {
        ssize_t n = write(fd, bytes.ptr + done, bytes.len - done);
        assert_true(n > 0);
        done += (size_t)n;
    }
    assert_int_equal(ftruncate(fd, (off_t)bytes.len), 0);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void make_dirs(const char *const *names, size_t count)
{
    empty_spool();
    for (size_t i = 0; i < count; i++)
        assert_int_equal(mkdirat(top, names[i], 0700), 0);
}

static void usual_dirs(void)
{
    static const char *const names[] = {"maildrop", "incoming", "active", "deferred",
                                        "hold",     "defer",    "bounce"};
    make_dirs(names, sizeof names / sizeof *names);
}

static struct qs_queue *open_queue(void)
{
    struct qs_instance instance = {.format = &qs_format_postfix, .name = "test", .queue_dir = spool};
    struct qs_queue *queue = NULL;
    struct qs_error err = {""};
    enum qs_status status = pf_open(root, &instance, &queue, &err);
    if (status != QS_OK)
        fail_msg("open: %s: %s", qs_status_name(status), err.text);
    return queue;
}

/* --- writing queue files -------------------------------------------------------------------------------- */

struct image {
    char bytes[1024 * 1024];
    size_t len;
};

static struct image image;

static void add(const void *bytes, size_t len)
{
    assert_true(len <= sizeof image.bytes - image.len);
    memcpy(image.bytes + image.len, bytes, len);
    image.len += len;
}

/* Adds a record and returns its offset. */
static size_t rec_bytes(char type, const char *data, size_t len)
{
    size_t at = image.len, rest = len;
    add(&type, 1);
    do {
        unsigned char group = rest & 0x7f;
        rest >>= 7;
        if (rest > 0)
            group |= 0x80;
        add(&group, 1);
    } while (rest > 0);
    add(data, len);
    return at;
}

static size_t rec(char type, const char *text)
{
    return rec_bytes(type, text, strlen(text));
}

/* 95 bytes, filled in by size_record(). */
#define BLANK15 "               "
#define EMPTY_SIZE BLANK15 " " BLANK15 " " BLANK15 " " BLANK15 " " BLANK15 " " BLANK15

/* Writes over what stands at `at`. */
static void patch(size_t at, const char *text)
{
    assert_true(strlen(text) <= image.len - at);
    memcpy(image.bytes + at, text, strlen(text));
}

static void size_record(size_t at, size_t size, size_t offset)
{
    char text[100];
    (void)snprintf(text, sizeof text, "%15zu %15zu %15d %15d %15zu %15d", size, offset, 1, 0, size, 0);
    patch(at + 2, text);
}

static struct qs_span bytes_of_image(void)
{
    return (struct qs_span){image.bytes, image.len};
}

/* Where things are in the message that sound() makes. */
static struct {
    size_t content, x, end, first_recipient, done, cancelled, late;
} at;

#define SENDER "author@example.org"

/* A message with every kind of record, as smtpd and cleanup write it. */
static void sound(void)
{
    image.len = 0;
    rec('C', EMPTY_SIZE);
    rec('T', "1700000001 123456");
    rec('A', "create_time=1700000002");
    rec('L', "smtp:[filter.example]:10025");
    rec('A', "log_ident=ABCDE12345");
    rec('A', "rewrite_context=remote");
    rec('A', "sasl_method=LOGIN");
    rec('A', " sasl_username = bob ");
    rec('A', "envelope_id=envid-1");
    rec('F', "Bob B.");
    rec('S', SENDER);
    rec('p', "    0");
    rec('A', "log_client_name=mail.example.net");
    rec('A', "log_client_address=192.0.2.1");
    rec('A', "log_helo_name=helo.example.net");
    rec('A', "log_protocol_name=ESMTP");
    rec('A', "client_name=filter.example");
    rec('A', "client_address=127.0.0.1");
    rec('A', "helo_name=filter");
    rec('A', "protocol_name=SMTP");
    rec('W', "     1700010000");
    rec('A', "notify_flags=12");
    rec('A', "dsn_orig_rcpt=rfc822;One@example.com");
    rec('O', "One@example.com");
    at.first_recipient = rec('R', "one@example.com");
    at.done = rec('D', "two@example.com");
    rec('O', "three@example.com");
    at.cancelled = rec('/', "three@example.com");
    rec('K', "trace_flags=1024");
    rec('M', "");
    at.content = image.len;
    rec('N', "Subject: test");
    rec('p', "              0");
    rec('N', "");
    rec('L', "a long ");
    rec('L', "line ");
    rec('N', "cut up");
    rec_bytes('N', "nul \0 byte", 10);
    rec('w', "0000");
    at.x = rec('X', "");
    rec('A', "encoding=8bit");
    at.late = rec('R', "\"late one\"@example.com");
    rec('E', "");
    at.end = image.len;
    size_record(0, at.x - at.content, at.content);
}

static const char sound_content[] = "Subject: test\n\na long line cut up\nnul \0 byte\n";
enum { SOUND_CONTENT = sizeof sound_content - 1 };

/* --- reading them --------------------------------------------------------------------------------------- */

#define ID "7A1B2C3D4E5"
#define PLACE "deferred/7/" ID

/* What came out of reading one message. */
struct result {
    enum qs_status status;
    struct qs_error err;
    struct qs_envelope env;
    enum qs_status content_status;
    struct qs_span content;
    bool whole;
};

static struct qs_reader *reader;

/* The first message that the walk finds. */
static struct result read_first(struct qs_queue *queue, struct qs_entry *e)
{
    struct result r = {.content_status = QS_END};
    memset(&r.env, 0x55, sizeof r.env);
    struct qs_envelope untouched = r.env;
    struct qs_entry entry = {0};
    assert_int_equal(pf_next(queue, &entry, &r.err), QS_OK);
    r.status = pf_read(queue, &entry, reader, &r.env, &r.err);
    if (r.status == QS_OK)
        r.content_status = pf_content(queue, &entry, reader, SIZE_MAX, &r.content, &r.whole, &r.err);
    else
        assert_memory_equal(&r.env, &untouched, sizeof untouched);
    if (e != NULL)
        *e = entry;
    return r;
}

static struct result read_bytes(struct qs_span bytes)
{
    put(PLACE, bytes, 0700);
    struct qs_queue *queue = open_queue();
    struct result r = read_first(queue, NULL);
    talloc_free(queue);
    return r;
}

static bool is(struct qs_span span, const char *text)
{
    return qs_span_is(span, text);
}

/* The image is refused as damaged, at that offset and with these words. */
static void refused(const char *words)
{
    struct result r = read_bytes(bytes_of_image());
    enum qs_status status = r.status == QS_OK ? r.content_status : r.status;
    if (status != QS_DATA || strstr(r.err.text, words) == NULL || strchr(r.err.text, '\n') != NULL)
        fail_msg("%s \"%s\" instead of \"%s\"", qs_status_name(status), r.err.text, words);
}

static void begin(void)
{
    usual_dirs();
    reader = qs_reader_new(root);
    assert_non_null(reader);
}

static void finish(void)
{
    talloc_free(reader);
    reader = NULL;
}

/* --- queue IDs ------------------------------------------------------------------------------------------ */

/* Some were made by Postfix 3.7.11 and compared with their inode and directory; the others by an
 * independent program. */
static void queue_ids(void **state)
{
    static const struct {
        const char *id;
        bool long_form;
        uint64_t seconds;
        uint32_t microseconds;
        uint64_t inode;
        const char *path;       /* hashed three levels deep */
    } vectors[] = {
        {"0000000000z1", true, 0, 0, 1, "0/0/0/0000000000z1"},
        {"000001", false, 0, 0, 1, "0/0/0/000001"},
        {"4SVLCh0000zyN3", true, 1700000000, 0, 131073, "0/0/0/4SVLCh0000zyN3"},
        {"0000020001", false, 0, 0, 131073, "0/0/0/0000020001"},
        {"4SVLCh75plz1bYC8", true, 1700000000, 999999, 10953380, "F/4/2/4SVLCh75plz1bYC8"},
        {"F423FA722A4", false, 0, 999999, 10953380, "F/4/2/F423FA722A4"},
        {"4jXC1G4ZfLz1VSRhVblFLsT", true, 1795312754, 645338, INT64_MAX, "9/D/8/4jXC1G4ZfLz1VSRhVblFLsT"},
        {"9D8DA7FFFFFFFFFFFFFFF", false, 0, 645338, INT64_MAX, "9/D/8/9D8DA7FFFFFFFFFFFFFFF"},
        {"4jXC4p3vSLz1bXxk", true, 1795312938, 550178, 10952747, "8/6/5/4jXC4p3vSLz1bXxk"},
        {"4jXC4p3d8Dz1bXxj", true, 1795312938, 511484, 10952746, "7/C/D/4jXC4p3d8Dz1bXxj"},
        {"9F8B8A722A4", false, 0, 653496, 10953380, "9/F/8/9F8B8A722A4"},
        {"3Pt2mN2VXxznjll", true, 1300631508, 353025, 5536956, "5/6/3/3Pt2mN2VXxznjll"},
        {"0000000000z", true, 0, 0, 0, "0/0/0/0000000000z"},
        {"000000AAAAz1", true, 0, 0, 1, "0/0/0/000000AAAAz1"},              /* no digits: counts as 0 */
        {"000000zzzzz1", true, 0, 7311615, 1, "6/F/9/000000zzzzz1"},         /* more than a second */
        {"4SVLCh0000zzzzzzzzzzzzzzzz1", true, 0, 0, 1, "z/z/z/4SVLCh0000zzzzzzzzzzzzzzzz1"},
        {"FFFFFFFFFFFFFFFFFFFFFFFFF", false, 0, 1048575, 0, "F/F/F/FFFFFFFFFFFFFFFFFFFFFFFFF"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct pf_id id = pf_id_decode(vectors[i].id);
        char path[PF_PATH_MAX];
        assert_true(pf_id_valid(qs_span_of(vectors[i].id)));
        assert_int_equal(id.long_form, vectors[i].long_form);
        if (i == 15) {      /* the last z is the separator; what stands before it is not checked further */
            assert_int_equal(id.inode, 1);
            continue;
        }
        assert_int_equal(id.seconds, vectors[i].seconds);
        assert_int_equal(id.microseconds, vectors[i].microseconds);
        assert_int_equal(id.inode, vectors[i].inode);
        pf_id_path(vectors[i].id, 3, path);
        assert_string_equal(path, vectors[i].path);
        pf_id_path(vectors[i].id, 0, path);
        assert_string_equal(path, vectors[i].id);
    }
    static const char *const invalid[] = {
        "",          "A",          "12345",      "12345.678",   "../../etc/passwd",
        "ABCDEF/12", "ABCDE F123", "ABCDEF#FIX", "ABCDEF\n123", "ABCDEF\xc3\xa9"};
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
        assert_false(pf_id_valid(qs_span_of(invalid[i])));
    char longest[PF_ID_MAX + 2];
    memset(longest, 'A', sizeof longest);
    assert_true(pf_id_valid((struct qs_span){longest, PF_ID_MAX}));
    assert_false(pf_id_valid((struct qs_span){longest, PF_ID_MAX + 1}));
    assert_false(pf_id_valid((struct qs_span){"ABCDEF\0GH", 9}));
}

/* --- a sound message ------------------------------------------------------------------------------------ */

static void envelope(void **state)
{
    (void)state;
    begin();
    sound();
    put("hold/" ID, bytes_of_image(), 0710);
    struct timeval times[2] = {{1800000000, 0}, {1800000000, 0}};
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/hold/%s", spool, ID);
    assert_int_equal(utimes(path, times), 0);
    struct qs_queue *queue = open_queue();
    struct result r = read_first(queue, NULL);
    assert_int_equal(r.status, QS_OK);
    const struct qs_envelope *e = &r.env;
    assert_string_equal(e->queue_name, "hold");
    assert_int_equal(e->size, at.x - at.content);
    assert_int_equal(e->arrival, 1700000001);
    assert_int_equal(e->created, 1700000002);
    assert_int_equal(e->next_try, 1800000000);
    assert_int_equal(e->attempts, 0);
    assert_int_equal(e->flags, QS_ENV_HELD | QS_ENV_FORCED_EXPIRE);
    assert_true(is(e->sender, SENDER));
    assert_true(is(e->client_address, "192.0.2.1"));
    assert_true(is(e->client_name, "mail.example.net"));
    assert_true(is(e->helo, "helo.example.net"));
    assert_true(is(e->protocol, "ESMTP"));
    assert_true(is(e->sasl_username, "bob"));
    assert_true(is(e->origin_id, "ABCDE12345"));
    assert_true(is(e->envelope_id, "envid-1"));
    assert_true(is(e->full_name, "Bob B."));
    assert_int_equal(e->hold_reason.len + e->status.len, 0);
    assert_int_equal(e->local_uid, -1);
    assert_string_equal(e->finding, "");
    assert_int_equal(e->recipients_left_out, 0);
    assert_int_equal(e->recipient_count, 4);
    const struct qs_recipient_text *to = e->recipients;
    assert_true(is(to[0].address, "one@example.com") && is(to[0].original, "One@example.com"));
    assert_true(to[0].state == QS_RCPT_TODO && to[0].notify == 12);
    assert_true(is(to[1].address, "two@example.com") && to[1].original.len == 0);
    assert_true(to[1].state == QS_RCPT_DONE && to[1].notify == 0);
    assert_true(is(to[2].address, "three@example.com") && to[2].original.len == 0);
    assert_true(to[2].state == QS_RCPT_CANCELLED && to[2].notify == 0);
    assert_true(is(to[3].address, "\"late one\"@example.com") && to[3].state == QS_RCPT_TODO);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(to[i].reason.len, 0);
    assert_int_equal(r.content_status, QS_OK);
    assert_true(r.whole);
    assert_int_equal(r.content.len, SOUND_CONTENT);
    assert_memory_equal(r.content.ptr, sound_content, SOUND_CONTENT);
    assert_true(is(e->sender, SENDER));
    assert_int_equal(pf_next(queue, &(struct qs_entry){0}, &r.err), QS_END);
    talloc_free(queue);
    finish();
}

/* The content cut at every length is a prefix, and says so. */
static void content_caps(void **state)
{
    (void)state;
    begin();
    for (int open_end = 0; open_end < 2; open_end++) {
        sound();
        if (open_end) {         /* a last line without its end */
            image.len = at.x;
            rec('L', "open");
            at.x = rec('X', "");
            rec('E', "");
            size_record(0, at.x - at.content, at.content);
        }
        size_t len = SOUND_CONTENT + (open_end ? strlen("open\n") : 0);
        put(PLACE, bytes_of_image(), 0700);
        struct qs_queue *queue = open_queue();
        struct qs_entry e;
        struct result r = read_first(queue, &e);
        assert_int_equal(r.content_status, QS_OK);
        assert_int_equal(r.content.len, len);
        assert_true(r.whole && r.content.ptr[len - 1] == '\n');
        char *all = talloc_memdup(root, r.content.ptr, len);
        for (size_t cap = 0; cap < len + 3; cap++) {
            assert_int_equal(pf_content(queue, &e, reader, cap, &r.content, &r.whole, &r.err), QS_OK);
            assert_int_equal(r.content.len, cap < len ? cap : len);
            assert_memory_equal(r.content.ptr, all, r.content.len);
            assert_int_equal(r.whole, cap >= len);
        }
        talloc_free(all);
        talloc_free(queue);
    }
    finish();
}

/* The client of before an after-queue filter wins; without it the one that connected. */
static void origin(void **state)
{
    (void)state;
    begin();
    sound();
    image.len = 0;
    rec('C', EMPTY_SIZE);
    rec('T', "1700000001");
    rec('A', "log_ident=" ID);
    rec('S', "");
    rec('A', "client_name=a.example");
    rec('A', "client_address=2001:db8::1");
    rec('A', "helo_name=h");
    rec('A', "protocol_name=ESMTPSA");
    rec('M', "");
    at.content = image.len;
    rec('N', "");
    at.x = rec('X', "");
    rec('R', "x@example.com");
    rec('E', "");
    size_record(0, at.x - at.content, at.content);
    image.bytes[2 + 94] = '1';          /* SMTPUTF8 */
    struct result r = read_bytes(bytes_of_image());
    assert_int_equal(r.status, QS_OK);
    assert_true(is(r.env.client_name, "a.example") && is(r.env.client_address, "2001:db8::1"));
    assert_true(is(r.env.helo, "h") && is(r.env.protocol, "ESMTPSA"));
    assert_int_equal(r.env.origin_id.len, 0);       /* its own */
    assert_int_equal(r.env.sender.len, 0);
    assert_int_equal(r.env.flags, QS_ENV_UTF8);
    assert_int_equal(r.env.created, 0);
    finish();
}

static void local_submission(const char *received, const char *extra)
{
    image.len = 0;
    rec('C', EMPTY_SIZE);
    rec('T', "1700000001 1");
    if (extra != NULL)
        rec('A', extra);
    rec('S', extra != NULL ? "" : "user@example.org");
    rec('R', "x@example.com");
    rec('M', "");
    at.content = image.len;
    rec('N', received);
    rec('N', "\tid ABC; Mon, 1 Jan 2024 00:00:00 +0000 (UTC)");
    at.x = rec('X', "");
    rec('E', "");
    size_record(0, at.x - at.content, at.content);
}

static void submitters(void **state)
{
    static const struct {
        const char *line;
        int64_t uid;
    } lines[] = {
        {"Received: by mx.example.org (Postfix, from userid 1001)", 1001},
        {"Received: by mx.example.org (My mail, from userid 0)", 0},
        {"Received: by mx.example.org (Postfix)", -1},
        {"Received: by mx.example.org (Postfix, from userid )", -1},
        {"Received: by mx.example.org (Postfix, from userid 12x)", -1},
        {"Received: by mx.example.org (Postfix, from userid 99999999999999999999)", -1},
        {"Received: from a (Postfix, from userid 5)", -1},
        {"X: Received: by mx.example.org (Postfix, from userid 5)", -1},
        {"", -1},
    };
    (void)state;
    begin();
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(pf_received_uid(qs_span_of(lines[i].line)), lines[i].uid);
        local_submission(lines[i].line, NULL);
        struct result r = read_bytes(bytes_of_image());
        assert_int_equal(r.status, QS_OK);
        assert_int_equal(r.env.flags, QS_ENV_LOCAL);
        assert_int_equal(r.env.local_uid, lines[i].uid);
    }
    assert_int_equal(pf_received_uid(QS_SPAN("Received: by a (b, from userid 7)\n\tid x\n")), 7);
    local_submission("X-Milter: first", NULL);
    image.len = at.x;
    rec('N', "Received: by mx.example.org (Postfix, from userid 1003)");
    rec('N', "Received: by mx.example.org (Postfix, from userid 0)");
    at.x = rec('X', "");
    rec('E', "");
    size_record(0, at.x - at.content, at.content);
    assert_int_equal(read_bytes(bytes_of_image()).env.local_uid, 1003);
    local_submission("Received: by mx.example.org (Postfix)", "log_message_origin=local");
    assert_int_equal(read_bytes(bytes_of_image()).env.flags, QS_ENV_LOCAL | QS_ENV_RESPONSE);
    finish();
}

/* As postdrop leaves it: no size record, none of cleanup's attributes. */
static void maildrop(void **state)
{
    (void)state;
    begin();
    image.len = 0;
    rec('T', "1700000003 5");
    rec('A', "rewrite_context=local");
    rec('F', "Some User");
    rec('S', "user");
    rec('A', "notify_flags=1");
    rec('R', "friend@example.com");
    rec('M', "");
    rec('L', "Subject: ");
    rec('N', "hi");
    rec('N', "");
    rec('N', " body");
    rec('X', "");
    rec('E', "");
    put("maildrop/" ID, bytes_of_image(), 0744);
    struct qs_queue *queue = open_queue();
    struct result r = read_first(queue, NULL);
    assert_int_equal(r.status, QS_OK);
    assert_string_equal(r.env.queue_name, "maildrop");
    assert_int_equal(r.env.size, image.len);
    assert_int_equal(r.env.arrival, 1700000003);
    assert_int_equal(r.env.local_uid, getuid());
    assert_int_equal(r.env.flags, QS_ENV_LOCAL);
    assert_int_equal(r.env.recipient_count, 1);
    assert_int_equal(r.env.recipients[0].notify, 1);
    assert_true(is(r.env.full_name, "Some User"));
    assert_true(is(r.content, "Subject: hi\n\n body\n"));
    talloc_free(queue);
    /* requeued by postsuper: not from a user */
    assert_int_equal(fchmodat(top, "maildrop/" ID, 0700, 0), 0);
    queue = open_queue();
    assert_int_equal(read_first(queue, NULL).env.local_uid, -1);
    talloc_free(queue);
    /* a size record brought along counts for nothing */
    image.len = 0;
    rec('C', "              1               1               1");
    rec('T', "1700000003 5");
    rec('S', "user");
    rec('R', "friend@example.com");
    rec('M', "");
    rec('N', "x");
    rec('X', "");
    rec('E', "");
    put("maildrop/" ID, bytes_of_image(), 0744);
    queue = open_queue();
    r = read_first(queue, NULL);
    assert_int_equal(r.status, QS_OK);
    assert_int_equal(r.env.size, image.len);
    assert_true(is(r.content, "x\n"));
    talloc_free(queue);
    finish();
}

/* Before Postfix 1.0 the size record had one number; until 2.3 there were four or five. */
static void old_size_records(void **state)
{
    (void)state;
    begin();
    for (int fields = 1; fields < 6; fields++) {
        sound();
        memset(image.bytes + 2 + (size_t)fields * 16 - 1, ' ', (size_t)(6 - fields) * 16);
        if (fields == 2) {
            refused("offset 0: the size record is malformed");
            continue;
        }
        struct result r = read_bytes(bytes_of_image());
        assert_int_equal(r.status, QS_OK);
        assert_int_equal(r.env.size, at.x - at.content);
        assert_int_equal(r.env.recipient_count, 4);
        assert_int_equal(r.content.len, SOUND_CONTENT);
    }
    finish();
}

/* --- edited by a milter --------------------------------------------------------------------------------- */

/* A forward pointer over what stands at `from`, as Postfix does it: at least 17 bytes wide there. */
static void point(size_t from, size_t to)
{
    char text[20];
    (void)snprintf(text, sizeof text, "p%c%15zu", 15, to);
    patch(from, text);
}

static size_t pointer_back(size_t to)
{
    char text[20];
    (void)snprintf(text, sizeof text, "%zu", to);
    return rec('p', text);
}

static void edited(void **state)
{
    (void)state;
    begin();
    image.len = 0;
    rec('C', EMPTY_SIZE);
    rec('T', "1700000001 1");
    rec('S', SENDER);
    size_t one = rec('R', "one-who-stays@example.com");
    size_t slot = rec('p', "              0");
    size_t m = rec('M', "");
    at.content = image.len;
    size_t subject = rec('N', "Subject: before the change");
    size_t body = rec('N', "");
    size_t text = rec('N', "the body as it was before");
    at.x = rec('X', "");
    rec('E', "");
    size_record(0, at.x - at.content, at.content);
    size_t added = image.len;
    rec('O', "original-added@example.com");
    size_t added_recipient = rec('R', "added@example.com");
    pointer_back(m);
    point(slot, added);
    size_t new_subject = image.len;
    rec('N', "Subject: after");
    pointer_back(body);
    point(subject, new_subject);
    size_t new_text = image.len;
    rec('N', "new body");
    rec('L', "not ended");
    pointer_back(at.x);
    point(text, new_text);
    char log[500];
    (void)snprintf(log, sizeof log, "\nrecipient=added@example.com\noffset=%zu\nreason=late\n\n"
                   "\nrecipient=rewritten@example.net\noffset=%zu\nreason=early\n\n", added_recipient, one);
    put("defer/7/" ID, qs_span_of(log), 0600);
    struct result r = read_bytes(bytes_of_image());
    assert_int_equal(r.status, QS_OK);
    assert_int_equal(r.env.flags, QS_ENV_EDITED | QS_ENV_LOCAL);
    assert_int_equal(r.env.recipient_count, 2);
    assert_true(is(r.env.recipients[0].address, "one-who-stays@example.com") &&
                is(r.env.recipients[0].reason, "early"));
    assert_true(is(r.env.recipients[1].address, "added@example.com") &&
                is(r.env.recipients[1].reason, "late"));
    assert_true(is(r.env.recipients[1].original, "original-added@example.com"));
    assert_int_equal(r.content_status, QS_OK);
    assert_true(is(r.content, "Subject: after\n\nnew body\nnot ended\n"));

    /* the same with loops, leaving nothing but one line of complaint */
    static const char loop[] = "pointer records lead round in a loop";
    struct image good = image;
    point(slot, one);
    refused(loop);
    image = good;
    point(slot, slot);
    refused(loop);
    image = good;
    point(subject, at.content);
    refused(loop);
    image = good;
    point(text, subject);
    refused(loop);
    image = good;
    point(slot, image.len);
    refused("outside the file");
    image = good;
    point(slot, 999999999999999);
    refused("outside the file");
    image = good;
    patch(slot + 2, "99999999999999x");
    refused("a pointer record without a number");
    image = good;
    patch(slot + 2, "             -1");
    refused("a pointer record without a number");
    finish();
}

/* --- hostile files -------------------------------------------------------------------------------------- */

static void damaged(void **state)
{
    struct qs_span nothing = {NULL, 0};
    struct image good;
    (void)state;
    begin();
    sound();
    good = image;

    image.len = 0;
    refused("offset 0: the file ends without an end record (E)");
    assert_int_equal(read_bytes(nothing).status, QS_DATA);
    memset(image.bytes, 0, 100000);
    image.len = 100000;
    refused("offset 0: not a Postfix queue file");
    memset(image.bytes, 0xff, 100000);
    refused("offset 0: the length of the record has too many bytes");
    image.len = 0;
    add("C\xff\xff\xff\xff\x7f", 6);
    refused("offset 0: the file ends inside a record");
    image.len = 0;
    add("C\x80\x80\x80\x80\x80", 6);
    refused("offset 0: the length of the record has too many bytes");
    image.len = 0;
    rec_bytes('C', good.bytes, 0);
    refused("offset 0: the size record is malformed");

    image = good;
    patch(2, "             -1");
    refused("offset 0: the size record is malformed");
    image = good;
    patch(2, "              0");
    refused("offset 0: the size record is malformed");
    image = good;
    patch(2, "999999999999999");
    refused("the file ends before the end of the content");
    image = good;
    size_record(0, at.x - at.content, at.content + 1);
    refused("the content starts here");
    image = good;
    size_record(0, at.x - at.content + 2, at.content);
    refused("the end of the content (X) is not here");
    image = good;
    size_record(0, at.end - at.content, at.content);
    refused("the file ends before the end of the content");
    image = good;
    image.bytes[at.first_recipient] = 'w';
    refused("a record of type 0x77 in the envelope");
    image = good;
    image.bytes[at.late] = 'N';
    refused("a record of type 0x4e in the envelope");
    image = good;
    image.bytes[at.content] = 'R';
    refused("a record of type 0x52 in the content");
    image = good;
    image.bytes[at.content] = 'E';
    refused("a record of type 0x45 in the content");
    image = good;
    image.bytes[at.first_recipient] = 'S';
    refused("a second sender");
    image = good;
    image.bytes[at.late] = 'M';
    refused("a second start of the content (M)");
    image = good;
    image.bytes[at.end - 2] = 'M';
    refused("a second start of the content (M)");
    image = good;
    image.bytes[at.content - 2] = 'E';
    refused("the message has no content (M)");
    image = good;
    image.bytes[at.first_recipient] = 'A';
    refused("an attribute record without name=value");
    image = good;
    for (size_t i = 97; i < at.content; i++) {      /* no sender */
        if (memcmp(image.bytes + i, "S\x12" SENDER, 20) == 0)
            image.bytes[i] = 'K';
    }
    refused("the message has no sender record (S)");
    image = good;
    image.bytes[0] = 'T';
    refused("it does not begin with a size record");
    image = good;
    image.len = at.end - 2;
    rec_bytes('K', image.bytes + sizeof image.bytes / 2, 210 * 1024);
    rec('E', "");
    refused("longer than Postfix writes any");

    /* odd, yet readable */
    image = good;
    image.bytes[97] = 'K';
    struct result r = read_bytes(bytes_of_image());
    assert_int_equal(r.status, QS_OK);
    assert_int_equal(r.env.arrival, r.env.next_try);
    assert_non_null(strstr(r.env.finding, "no arrival time"));
    image = good;
    image.len = at.content;
    add("rest", 4);
    image = good;
    add("garbage behind the end", 22);
    r = read_bytes(bytes_of_image());
    assert_int_equal(r.status, QS_OK);
    assert_int_equal(r.env.flags, QS_ENV_EDITED);
    finish();
}

/* Reads the same bytes with buffers full of other things, so that whatever is read behind the end shows. */
static struct result read_both_ways(struct qs_span bytes, const struct image *other)
{
    struct image fill = *other;
    memset(fill.bytes, 0xff, fill.len);
    (void)read_bytes((struct qs_span){fill.bytes, fill.len});
    struct result a = read_bytes(bytes);
    (void)read_bytes((struct qs_span){other->bytes, other->len});
    struct result b = read_bytes(bytes);
    assert_int_equal(a.status, b.status);
    assert_int_equal(a.content_status, b.content_status);
    if (a.status != QS_OK || a.content_status != QS_OK)
        assert_string_equal(a.err.text, b.err.text);
    return b;
}

/* Cut off at every byte: damaged, at an offset inside what is left. */
static void truncated(void **state)
{
    (void)state;
    begin();
    sound();
    struct image good = image;
    for (size_t len = 0; len < at.end; len++) {
        struct result r = read_both_ways((struct qs_span){good.bytes, len}, &good);
        if (r.status != QS_DATA || strncmp(r.err.text, "offset ", 7) != 0)
            fail_msg("cut to %zu bytes: %s \"%s\"", len, qs_status_name(r.status), r.err.text);
    }
    assert_int_equal(read_both_ways((struct qs_span){good.bytes, at.end}, &good).content_status, QS_OK);

    /* a submission, whose content is walked */
    image.len = 0;
    rec('S', "u");
    rec('R', "r");
    rec('M', "");
    rec('N', "text");
    rec('X', "");
    rec('E', "");
    size_t whole = image.len;
    empty_spool();
    for (size_t len = 0; len <= whole; len++) {
        put("maildrop/" ID, (struct qs_span){image.bytes, len}, 0744);
        struct qs_queue *queue = open_queue();
        assert_int_equal(read_first(queue, NULL).status, len < whole ? QS_DATA : QS_OK);
        talloc_free(queue);
    }
    finish();
}

/* Every byte changed to some others: any answer will do, as long as it is one and the same. */
static void changed(void **state)
{
    static const unsigned char others[] = {0x00, 0x7f, 0x80, 0xff, 'p', 'E'};
    (void)state;
    begin();
    sound();
    struct image good = image, bad = image;
    size_t sound_ones = 0, damaged_ones = 0;
    for (size_t i = 0; i < at.end; i++) {
        for (size_t j = 0; j < sizeof others; j++) {
            bad.bytes[i] = (char)others[j];
            struct result r = read_bytes((struct qs_span){bad.bytes, at.end});
            assert_true(r.status == QS_OK || r.status == QS_DATA);
            assert_true(r.status != QS_OK || r.content_status == QS_OK || r.content_status == QS_DATA);
            (*(r.status == QS_OK ? &sound_ones : &damaged_ones))++;
        }
        bad.bytes[i] = good.bytes[i];
    }
    assert_true(sound_ones > 100 && damaged_ones > 100);
    finish();
}

/* Two gigabytes, mostly a hole: read as fast as a small file, from its size record. */
static void huge(void **state)
{
    const uint64_t end = UINT64_C(2) << 30;
    (void)state;
    begin();
    sound();
    size_record(0, (size_t)end - at.content, at.content);
    put(PLACE, (struct qs_span){image.bytes, at.content}, 0700);
    int fd = openat(top, PLACE, O_WRONLY);
    assert_int_equal(pwrite(fd, "X\0R\5x@x.xE\0", 11, (off_t)end), 11);
    struct qs_queue *queue = open_queue();
    struct qs_entry e;
    struct result r = read_first(queue, &e);
    assert_int_equal(r.status, QS_OK);
    assert_int_equal(r.env.size, end - at.content);
    assert_int_equal(r.env.recipient_count, 4);
    assert_true(is(r.env.sender, SENDER) && is(r.env.client_address, "192.0.2.1"));
    assert_true(is(r.env.recipients[0].address, "one@example.com") &&
                is(r.env.recipients[0].original, "One@example.com"));
    assert_true(is(r.env.recipients[3].address, "x@x.x"));
    assert_int_equal(r.content_status, QS_DATA);
    assert_non_null(strstr(r.err.text, "a record of type 0x00 in the content"));
    /* text in it, up to what is wanted */
    assert_int_equal(pwrite(fd, "N\4text", 6, (off_t)at.content), 6);
    talloc_free(queue);
    queue = open_queue();
    r = read_first(queue, &e);
    assert_int_equal(pf_content(queue, &e, reader, 4, &r.content, &r.whole, &r.err), QS_OK);
    assert_true(is(r.content, "text") && !r.whole && is(r.env.sender, SENDER));
    assert_true(is(r.env.recipients[3].address, "x@x.x"));
    talloc_free(queue);
    assert_int_equal(close(fd), 0);
    finish();
}

/* A message far larger than the window: all the text is as it was. */
static void large(void **state)
{
    enum { LINES = 9000 };
    char line[64];
    (void)state;
    begin();
    sound();
    image.len = at.content;
    for (int i = 0; i < LINES; i++) {
        (void)snprintf(line, sizeof line, "line %06d of a rather long message, all of it text", i);
        rec('N', line);
    }
    at.x = rec('X', "");
    for (int i = 0; i < LINES; i++) {
        (void)snprintf(line, sizeof line, "rcpt%06d@example.com", i);
        rec('R', line);
    }
    rec('E', "");
    size_record(0, at.x - at.content, at.content);
    assert_true(image.len > 2 * QS_FILE_WINDOW);
    struct result r = read_bytes(bytes_of_image());
    assert_int_equal(r.status, QS_OK);
    assert_int_equal(r.env.recipient_count, 3 + LINES);
    assert_true(is(r.env.sender, SENDER) && is(r.env.sasl_username, "bob") && is(r.env.full_name, "Bob B."));
    assert_true(is(r.env.recipients[0].original, "One@example.com"));
    for (int i = 0; i < LINES; i++) {
        (void)snprintf(line, sizeof line, "rcpt%06d@example.com", i);
        assert_true(is(r.env.recipients[3 + i].address, line));
    }
    assert_int_equal(r.content_status, QS_OK);
    assert_int_equal(r.content.len, LINES * strlen("line 000000 of a rather long message, all of it text\n"));
    assert_memory_equal(r.content.ptr + r.content.len - 53,
                        "line 008999 of a rather long message, all of it text\n", 53);
    finish();
}

static struct qs_span many_recipients(TALLOC_CTX *parent, size_t count)
{
    size_t size = 0, room = 400 + count * 24;
    char *bytes = talloc_array(parent, char, (unsigned)room);
    image.len = 0;
    rec('C', EMPTY_SIZE);
    rec('T', "1700000001 1");
    rec('S', SENDER);
    memcpy(bytes, image.bytes, image.len);
    size = image.len;
    for (size_t i = 0; i < count; i++)
        size += (size_t)snprintf(bytes + size, room - size, "R\x13%07zu@example.com", i);
    size_t content = size + 2;
    memcpy(bytes + size, "M\0N\1xX\0E\0", 9);
    size_record(0, 3, content);
    memcpy(bytes, image.bytes, 97);
    return (struct qs_span){bytes, size + 9};
}

/* 100,000 recipients, each with its own reason, in a log that stands in the opposite order; then more than
 * are kept. */
static void crowds(void **state)
{
    enum { COUNT = 100000, TOO_MANY = QS_RECIPIENTS_MAX + 5000 };
    char reason[64];
    TALLOC_CTX *scratch = talloc_new(root);
    (void)state;
    begin();
    for (int by_address = 0; by_address < 2; by_address++) {
        struct qs_span message = many_recipients(scratch, COUNT);
        size_t room = (size_t)COUNT * 150, len = 0;
        char *log = talloc_array(scratch, char, (unsigned)room);
        for (size_t i = COUNT; i-- > 0;) {
            len += (size_t)snprintf(log + len, room - len, "\n<%07zu@example.com>: old words\n", i);
            if (!by_address)
                len += (size_t)snprintf(log + len, room - len,
                                        "recipient=%07zu@example.com\noffset=%zu\nreason=no %zu\n", i,
                                        (size_t)(97 + 14 + 20 + 21 * i), i);
            len += (size_t)snprintf(log + len, room - len, "\n");
        }
        put("defer/7/" ID, (struct qs_span){log, len}, 0600);
        struct result r = read_bytes(message);
        assert_int_equal(r.status, QS_OK);
        assert_int_equal(r.env.recipient_count, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            char address[32];
            (void)snprintf(address, sizeof address, "%07zu@example.com", i);
            (void)snprintf(reason, sizeof reason, "no %zu", i);
            assert_true(is(r.env.recipients[i].address, address));
            assert_true(is(r.env.recipients[i].reason, by_address ? "old words" : reason));
        }
        assert_true(is(r.content, "x\n"));
    }
    struct result r = read_bytes(many_recipients(scratch, TOO_MANY));
    assert_int_equal(r.status, QS_OK);
    assert_int_equal(r.env.recipient_count, QS_RECIPIENTS_MAX);
    assert_int_equal(r.env.recipients_left_out, TOO_MANY - QS_RECIPIENTS_MAX);
    talloc_free(scratch);
    finish();
}

/* --- logs ----------------------------------------------------------------------------------------------- */

static struct result with_log(const char *log)
{
    put("defer/7/" ID, qs_span_of(log), 0600);
    return read_bytes(bytes_of_image());
}

static void defer_logs(void **state)
{
    char log[1000];
    struct result r;
    (void)state;
    begin();
    sound();
    (void)snprintf(log, sizeof log,
                   "\n<one@example.com>: old words\nrecipient=one@example.com\noffset=%zu\n"
                   "status=4.4.1\naction=delayed\n"
                   "reason=connect to a.example: timed out\n\n"
                   "\n<\"late one\"@example.com>: old words only\n\n"
                   "\n<nobody@example.com>: not in the message\n\n"
                   "\n<two@example.com>: still being writ",
                   at.first_recipient);
    r = with_log(log);
    assert_int_equal(r.status, QS_OK);
    assert_true(is(r.env.recipients[0].reason, "connect to a.example: timed out"));
    assert_int_equal(r.env.recipients[1].reason.len, 0);
    assert_int_equal(r.env.recipients[2].reason.len, 0);
    assert_int_equal(r.env.recipients[3].reason.len, 0);    /* its quotes are part of the address */
    assert_string_equal(r.env.finding, "");

    /* in the queue file addresses are bare, in the log quoted */
    image.len = at.late;
    rec('R', "late \"one@example.com");
    rec('R', "");
    rec('E', "");
    r = with_log("\n<\"late \\\"one\"@example.com>: quoted\n\n\n<>: null\n\n");
    assert_true(is(r.env.recipients[3].reason, "quoted"));
    assert_true(is(r.env.recipients[4].reason, "null"));
    r = with_log("\nrecipient=<>\noffset=1\nreason=null again\n\n");
    assert_true(is(r.env.recipients[4].reason, "null again"));

    /* the last word counts; an offset of nobody falls back to the address */
    sound();
    (void)snprintf(log, sizeof log,
                   "\nrecipient=one@example.com\noffset=%zu\nreason=first\n\n"
                   "\nrecipient=one@example.com\noffset=%zu\nreason=second\n\n"
                   "\nrecipient=two@example.com\noffset=7\nreason=two\n\n",
                   at.first_recipient, at.first_recipient);
    r = with_log(log);
    assert_true(is(r.env.recipients[0].reason, "second") && is(r.env.recipients[1].reason, "two"));

    /* rubbish harms nobody */
    static const char *const rubbish[] = {
        "", "\n", "\n\n\n\n", "x", "\n\nx\n\n", "\n<\n\n", "\n<a>:\n\n", "\n=\n\n", "\nreason=\n\n",
        "\noffset=-1\nreason=x\n\n", "\noffset=99999999999999999999999\n\n", "\nrecipient=\"\nreason=x\n\n",
        "\nrecipient=\"\\\nreason=x\n\n"};
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++) {
        r = with_log(rubbish[i]);
        assert_int_equal(r.status, QS_OK);
        for (size_t j = 0; j < 4; j++)
            assert_int_equal(r.env.recipients[j].reason.len, 0);
    }

    /* an entry without an end, longer than fits */
    char *endless = talloc_array(root, char, 3 * QS_FILE_WINDOW);
    memset(endless, 'x', 3 * QS_FILE_WINDOW - 1);
    endless[3 * QS_FILE_WINDOW - 1] = '\0';
    r = with_log(endless);
    assert_int_equal(r.status, QS_OK);
    assert_non_null(strstr(r.env.finding, "an entry that does not end"));
    talloc_free(endless);

    /* not a file */
    assert_int_equal(unlinkat(top, "defer/7/" ID, 0), 0);
    assert_int_equal(mkdirat(top, "defer/7/" ID, 0700), 0);
    r = read_bytes(bytes_of_image());
    assert_int_equal(r.status, QS_OK);
    assert_non_null(strstr(r.env.finding, "its defer log cannot be read"));
    finish();
}

/* Sent to one address instead: listed once it was tried, as postqueue does. */
static void redirected(void **state)
{
    char log[300];
    (void)state;
    begin();
    sound();
    image.len = at.end - 2;
    rec('>', "target@example.net");
    rec('E', "");
    struct result r = read_bytes(bytes_of_image());
    assert_int_equal(r.status, QS_OK);
    assert_int_equal(r.env.recipient_count, 4);
    (void)snprintf(log, sizeof log, "\nrecipient=target@example.net\noriginal_recipient=one@example.com\n"
                   "offset=%zu\nreason=down\n\n\n<target@example.net>: still down\n\n", at.first_recipient);
    r = with_log(log);
    assert_int_equal(r.env.recipient_count, 5);
    assert_int_equal(r.env.recipients[0].reason.len, 0);
    assert_true(is(r.env.recipients[4].address, "target@example.net") &&
                is(r.env.recipients[4].reason, "still down"));
    image.len -= 2;                 /* one of the recipients */
    rec('>', "one@example.com");
    rec('E', "");
    r = with_log("\n<one@example.com>: words\n\n");
    assert_int_equal(r.env.recipient_count, 4);
    assert_true(is(r.env.recipients[0].reason, "words"));
    finish();
}

/* Failures not yet reported stand in bounce, results of a trace in trace; they fill what the defer log
 * leaves. */
static void other_logs(void **state)
{
    char log[300];
    (void)state;
    begin();
    sound();
    (void)snprintf(log, sizeof log,
                   "\nrecipient=two@example.com\noffset=%zu\nreason=user unknown\n\n"
                   "\nrecipient=one@example.com\noffset=%zu\nreason=not this\n\n",
                   at.done, at.first_recipient);
    put("bounce/" ID, qs_span_of(log), 0600);
    put("bounce/AAAAAAAAA", qs_span_of(log), 0600);
    put("trace/" ID, QS_SPAN("\n<three@example.com>: would deliver\n\n"), 0600);
    (void)snprintf(log, sizeof log, "\nrecipient=one@example.com\noffset=%zu\nreason=try later\n\n",
                   at.first_recipient);
    struct result r = with_log(log);
    assert_int_equal(r.status, QS_OK);
    assert_int_equal(r.env.flags, QS_ENV_BOUNCE_PENDING);
    assert_true(is(r.env.recipients[0].reason, "try later"));
    assert_true(is(r.env.recipients[1].reason, "user unknown"));
    assert_true(is(r.env.recipients[2].reason, "would deliver"));
    assert_int_equal(r.env.recipients[3].reason.len, 0);
    finish();
}

/* A log where the queue is hashed otherwise than it is itself, as while hash_queue_depth is being changed. */
static void log_depths(void **state)
{
    static const char *const places[] = {"defer/" ID, "defer/7/" ID, "defer/7/A/" ID, "defer/7/A/1/" ID};
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        begin();
        sound();
        put(places[i], QS_SPAN("\n<one@example.com>: found\n\n"), 0600);
        assert_true(is(read_bytes(bytes_of_image()).env.recipients[0].reason, "found"));
        if (i < 3) {            /* deeper directories that are empty by now */
            put("defer/7/A/1/0000000", QS_SPAN(""), 0600);
            assert_true(is(read_bytes(bytes_of_image()).env.recipients[0].reason, "found"));
        }
        finish();
    }
}

/* --- the walk ------------------------------------------------------------------------------------------- */

/* Every message of the queue as "queue/ID ", sorted, and what was passed over with a text. */
struct listing {
    char found[20][64], skipped[20][QS_ERROR_TEXT];
    size_t found_count, skipped_count, denied, unfinished;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static struct listing list_all(void)
{
    struct listing list = {0};
    struct qs_queue *queue = open_queue();
    struct qs_reader *own = qs_reader_new(root);
    for (;;) {
        struct qs_entry e = {0};
        struct qs_error err = {""};
        enum qs_status status = pf_next(queue, &e, &err);
        if (status == QS_END)
            break;
        if (status != QS_OK) {
            assert_true(status == QS_SKIP || status == QS_NOPERM);
            assert_null(e.id);
            list.denied += status == QS_NOPERM;
            list.unfinished += status == QS_SKIP && !err.text[0];
            if (!err.text[0])
                continue;
            assert_true(list.skipped_count < 20);
            memcpy(list.skipped[list.skipped_count++], err.text, sizeof err.text);
            continue;
        }
        struct qs_envelope env;
        assert_true(list.found_count < 20);
        assert_true(e.dir < 65536 && e.kind < 65536);
        status = pf_read(queue, &e, own, &env, &err);
        (void)snprintf(list.found[list.found_count++], sizeof list.found[0], "%s/%s",
                       status == QS_OK ? env.queue_name : qs_status_name(status), e.id);
    }
    qsort(list.found, list.found_count, sizeof list.found[0], by_text);
    qsort(list.skipped, list.skipped_count, sizeof list.skipped[0], by_text);
    talloc_free(own);
    talloc_free(queue);
    return list;
}

static void walk(void **state)
{
    static const char *const places[] = {"active/AAAAA1",     "corrupt/CCCCC1",
                                         "deferred/D/DDDDD1", "deferred/DDDDD2",
                                         "deferred/F/DDDDD3", "deferred/D/D/D/D/D/DDDDD4",
                                         "hold/HHHHH1",       "incoming/I/IIIII1",
                                         "maildrop/MMMMM1",   "saved/4jXC4p3vSLz1bXxk"};
    (void)state;
    begin();
    sound();
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        put(places[i], bytes_of_image(), 0700);
    put("incoming/123456.789", bytes_of_image(), 0600);         /* being created */
    put("incoming/AAAAAAA", bytes_of_image(), 0600);            /* being written */
    put("deferred/AAAAAA#FIX", bytes_of_image(), 0700);         /* being renamed by postsuper */
    put("deferred/abc", bytes_of_image(), 0700);
    put("deferred/D/x\033[31m", bytes_of_image(), 0700);
    put("deferred/D/D/D/D/D/D/DDDDD5", bytes_of_image(), 0700);
    put("deferred/d/DDDDD6", bytes_of_image(), 0700);
    put("deferred/E", bytes_of_image(), 0700);
    put("maildrop/M/MMMMM2", bytes_of_image(), 0700);
    assert_int_equal(symlinkat("AAAAA1", top, "active/AAAAA2"), 0);
    assert_int_equal(symlinkat("../deferred", top, "active/A"), 0);
    assert_int_equal(mkfifoat(top, "active/AAAAA3", 0700), 0);
    assert_int_equal(mkdirat(top, "active/AAAAA4", 0700), 0);
    struct listing list = list_all();
    /* active and incoming are walked once more at the end */
    static const char *const found[] = {
        "active/AAAAA1",   "active/AAAAA1",          "corrupt/CCCCC1",  "deferred/DDDDD1", "deferred/DDDDD2",
        "deferred/DDDDD3", "deferred/DDDDD4",        "hold/HHHHH1",     "incoming/IIIII1", "incoming/IIIII1",
        "maildrop/MMMMM1", "saved/4jXC4p3vSLz1bXxk", "skip/AAAAAAA",    "skip/AAAAAAA"};
    assert_int_equal(list.found_count, sizeof found / sizeof *found);
    for (size_t i = 0; i < list.found_count; i++)
        assert_string_equal(list.found[i], found[i]);
    static const char *const skipped[] = {"active/A: not a directory, Postfix expects one here",
                                          "active/AAAAA2: not a regular file",
                                          "active/AAAAA3: not a regular file",
                                          "active/AAAAA4: not a regular file",
                                          "deferred/AAAAAA#FIX: not a queue ID",
                                          "deferred/D/D/D/D/D/D: not a directory that Postfix makes",
                                          "deferred/D/x\\x1b[31m: not a queue ID",
                                          "deferred/E: not a directory, Postfix expects one here",
                                          "deferred/abc: not a queue ID",
                                          "deferred/d: not a directory that Postfix makes",
                                          "maildrop/M: Postfix has no directories here"};
    assert_int_equal(list.skipped_count, sizeof skipped / sizeof *skipped);
    for (size_t i = 0; i < list.skipped_count; i++)
        assert_string_equal(list.skipped[i], skipped[i]);
    assert_int_equal(list.denied, 0);
    assert_int_equal(list.unfinished, 1);
    finish();
}

static void permissions(void **state)
{
    struct qs_instance instance = {.format = &qs_format_postfix, .name = "test", .queue_dir = spool};
    struct qs_queue *queue;
    struct qs_error err;
    (void)state;
    begin();
    sound();
    put("active/AAAAA1", bytes_of_image(), 0700);
    put("deferred/D/DDDDD1", bytes_of_image(), 0700);
    put("deferred/E/EEEEE1", bytes_of_image(), 0700);
    bool was_root = geteuid() == 0;
    static const char *const open_dirs[] = {"deferred", "deferred/D", "incoming", "maildrop", "hold"};
    if (was_root) {
        for (size_t i = 0; i < sizeof open_dirs / sizeof *open_dirs; i++)
            assert_int_equal(fchmodat(top, open_dirs[i], 0755, 0), 0);
        assert_int_equal(seteuid(65534), 0);
    } else {
        assert_int_equal(fchmodat(top, "active", 0, 0), 0);
        assert_int_equal(fchmodat(top, "deferred/D/DDDDD1", 0, 0), 0);
        assert_int_equal(fchmodat(top, "deferred/E", 0, 0), 0);
    }
    struct listing list = list_all();
    if (was_root) {
        assert_int_equal(seteuid(0), 0);
        for (size_t i = 0; i < sizeof open_dirs / sizeof *open_dirs; i++)
            assert_int_equal(fchmodat(top, open_dirs[i], 0700, 0), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    assert_int_equal(list.denied, 2);
    assert_string_equal(list.skipped[0], "active: only root and the mail owner may read this directory");
    assert_string_equal(list.skipped[1], "deferred/E: only root and the mail owner may read this directory");
    assert_int_equal(list.found_count, 1);
    assert_string_equal(list.found[0], "no-permission/DDDDD1");
    enum qs_status status = was_root ? pf_open(root, &instance, &queue, &err) : QS_NOPERM;
    if (was_root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(status, QS_NOPERM);
    assert_int_equal(fchmodat(top, "active", 0700, 0), 0);
    assert_int_equal(fchmodat(top, "deferred/E", 0700, 0), 0);
    finish();
}

static void modes(void **state)
{
    static const struct {
        const char *path;
        mode_t mode;
        enum qs_status status;
        unsigned flags;
    } cases[] = {
        {"deferred/" ID, 0700, QS_OK, 0},
        {"deferred/" ID, 0744, QS_OK, 0},
        {"deferred/" ID, 0740, QS_OK, 0},
        {"deferred/" ID, 0710, QS_OK, QS_ENV_FORCED_EXPIRE},
        {"deferred/" ID, 0600, QS_SKIP, 0},
        {"hold/" ID, 0600, QS_SKIP, 0},
        {"incoming/" ID, 0644, QS_SKIP, 0},
        {"active/" ID, 0400, QS_OK, QS_ENV_LOST},
        {"corrupt/" ID, 0700, QS_OK, QS_ENV_LOST},
        {"hold/" ID, 0700, QS_OK, QS_ENV_HELD},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin();
        sound();
        put(cases[i].path, bytes_of_image(), cases[i].mode);
        struct qs_queue *queue = open_queue();
        struct result r = read_first(queue, NULL);
        assert_int_equal(r.status, cases[i].status);
        if (r.status == QS_OK)
            assert_int_equal(r.env.flags, cases[i].flags);
        talloc_free(queue);
        finish();
    }
    begin();
    sound();
    put("deferred/" ID, bytes_of_image(), 0700);
    assert_int_equal(linkat(top, "deferred/" ID, top, "elsewhere", 0), 0);
    struct qs_queue *queue = open_queue();
    assert_non_null(strstr(read_first(queue, NULL).env.finding, "2 links"));
    talloc_free(queue);
    finish();
}

/* A live queue: the message is elsewhere by the time that it is read, or gone, or another one has its
 * name. */
static void moving(void **state)
{
    static const char *const places[] = {"active/" ID,     "incoming/" ID, "hold/" ID,
                                         "deferred/7/" ID, "deferred/" ID, "corrupt/" ID};
    static const char *const names[] = {"active", "incoming", "hold", "deferred", "deferred", "corrupt"};
    struct qs_envelope env;
    struct qs_error err;
    struct qs_entry e;
    struct qs_span content;
    bool whole;
    (void)state;
    begin();
    assert_int_equal(mkdirat(top, "corrupt", 0700), 0);
    sound();
    for (size_t from = 0; from < sizeof places / sizeof *places; from++) {
        for (size_t to = 0; to < sizeof places / sizeof *places; to++) {
            put("deferred/8/8888888", bytes_of_image(), 0700);      /* keeps deferred hashed */
            assert_int_equal(unlinkat(top, "deferred/8/8888888", 0), 0);
            (void)mkdirat(top, "deferred/7", 0700);
            put(places[from], bytes_of_image(), 0700);
            struct qs_queue *queue = open_queue();
            assert_int_equal(pf_next(queue, &e, &err), QS_OK);
            if (from != to)
                assert_int_equal(renameat(top, places[from], top, places[to]), 0);
            struct qs_entry listed = e;
            struct stat st;
            int64_t born;
            assert_int_equal(pf_look(queue, &listed, &env, &st, &born, &err), from == to ? QS_OK : QS_GONE);
            assert_int_equal(pf_read(queue, &e, reader, &env, &err), QS_OK);
            assert_string_equal(env.queue_name, names[to]);
            const struct qs_envelope whole_envelope = env;      /* what the attributes say is what read() says */
            assert_int_equal(pf_look(queue, &e, &env, &st, &born, &err), QS_OK);
            assert_string_equal(env.queue_name, names[to]);
            assert_int_equal(env.flags & ~(unsigned)QS_ENV_UNREAD, whole_envelope.flags & (QS_ENV_HELD | QS_ENV_LOST | QS_ENV_FORCED_EXPIRE));
            assert_true(env.next_try == whole_envelope.next_try && st.st_ino == e.inode && env.size == (uint64_t)st.st_size);
            assert_true(env.flags & QS_ENV_UNREAD && env.arrival == born / 1000000000);
            assert_int_equal(fchmodat(top, places[to], 0600, 0), 0);
            assert_int_equal(pf_look(queue, &e, &env, &st, &born, &err), QS_SKIP);      /* being written */
            assert_int_equal(fchmodat(top, places[to], 0700, 0), 0);
            assert_int_equal(e.inode, listed.inode);
            assert_int_equal(pf_content(queue, &e, reader, 10, &content, &whole, &err), QS_OK);
            assert_int_equal(pf_read(queue, &e, reader, &env, &err), QS_OK);    /* where the entry says now */
            assert_int_equal(unlinkat(top, places[to], 0), 0);
            assert_int_equal(pf_read(queue, &e, reader, &env, &err), QS_GONE);
            talloc_free(queue);
        }
    }
    /* the same name again, another file: read as what it is; but not looked for elsewhere */
    put("active/" ID, bytes_of_image(), 0700);
    struct qs_queue *queue = open_queue();
    assert_int_equal(pf_next(queue, &e, &err), QS_OK);
    uint64_t old = e.inode;
    put("incoming/" ID, bytes_of_image(), 0700);
    assert_int_equal(renameat(top, "incoming/" ID, top, "active/" ID), 0);
    assert_int_equal(pf_read(queue, &e, reader, &env, &err), QS_OK);
    assert_int_not_equal(e.inode, old);
    e.inode = old;
    assert_int_equal(renameat(top, "active/" ID, top, "hold/" ID), 0);
    assert_int_equal(pf_read(queue, &e, reader, &env, &err), QS_GONE);
    /* entries that nobody listed */
    static const struct qs_entry strange[] = {
        {"../x/y", 0, 0, 1}, {ID, 7, 0, 1}, {ID, 65535, 65535, 1}, {ID, 2, 65535, 1}, {"", 0, 0, 1}};
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        e = strange[i];
        assert_int_equal(pf_read(queue, &e, reader, &env, &err), QS_GONE);
    }
    talloc_free(queue);
    finish();
}

static const char *id_in(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : "";
}

/* The queue manager keeps a job for what is in active, and finds it by queue ID: a message that leaves must come back under
 * another, and its logs with it. */
static void out_of_active(void **state)
{
    static const enum qs_action actions[] = {QS_ACT_HOLD, QS_ACT_PURGE};
    struct qs_envelope env;
    struct qs_error err;
    struct qs_entry e;
    (void)state;
    begin();
    sound();
    put("active/" ID, bytes_of_image(), 0700);
    struct qs_queue *queue = open_queue();
    assert_int_equal(pf_next(queue, &e, &err), QS_OK);
    assert_int_equal(pf_read(queue, &e, reader, &env, &err), QS_OK);
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        const struct qs_surgery what = {.action = actions[i], .now = 1700000000};
        struct qs_step *steps = NULL;
        size_t count = 0;
        assert_int_equal(pf_steps(root, queue, &e, reader, &env, &what, &steps, &count, &err), QS_OK);
        assert_int_equal(count, 4);
        const char *fresh = id_in(steps[0].back);
        assert_memory_equal(steps[0].back, "deferred/", strlen("deferred/"));
        assert_string_not_equal(fresh, ID);
        assert_true(pf_id_valid(qs_span_of(fresh)));
        assert_int_equal(pf_id_decode(fresh).inode, e.inode);
        assert_string_equal(id_in(steps[0].to), actions[i] == QS_ACT_HOLD ? fresh : ID);
        for (size_t k = 1; k < count; k++) {
            assert_true(steps[k].log && steps[k].optional);
            assert_string_equal(id_in(steps[k].from), ID);
            assert_string_equal(id_in(steps[k].back), fresh);
        }
        talloc_free(steps);
    }
    talloc_free(queue);
    finish();
}

static void not_a_queue(void **state)
{
    struct qs_instance instance = {.format = &qs_format_postfix, .name = "test", .queue_dir = spool};
    struct qs_queue *queue = NULL;
    struct qs_error err;
    (void)state;
    empty_spool();
    assert_int_equal(pf_open(root, &instance, &queue, &err), QS_NOQUEUE);
    instance.queue_dir = "/nonexistent";
    assert_int_equal(pf_open(root, &instance, &queue, &err), QS_NOQUEUE);
    instance.queue_dir = "/dev/null";
    assert_int_equal(pf_open(root, &instance, &queue, &err), QS_NOQUEUE);
    assert_null(queue);
}

/* --- discovery ------------------------------------------------------------------------------------------ */

static void discovery(void **state)
{
    const struct qs_place place = {.queue_dir = spool};
    struct qs_instance **list = NULL;
    const char *evidence = NULL;
    struct qs_error err = {""};
    size_t count = 99;
    (void)state;
    assert_ptr_equal(qs_format_by_name("postfix"), &qs_format_postfix);
    assert_null(qs_format_by_name("exim"));

    empty_spool();
    assert_false(pf_probe(root, spool, &evidence));
    assert_int_equal(qs_format_discover(root, NULL, &place, &list, &count, &err), QS_NOQUEUE);
    assert_int_equal(count, 99);
    assert_int_equal(qs_format_discover(root, "exim", &place, &list, &count, &err), QS_USAGE);
    assert_non_null(strstr(err.text, "postfix or sendmail"));

    const struct qs_place nowhere = {.queue_dir = "/nonexistent/queue"};
    assert_int_equal(qs_format_discover(root, NULL, &nowhere, &list, &count, &err), QS_NOQUEUE);
    assert_non_null(strstr(err.text, "No such file or directory"));
    if (geteuid() == 0) {
        assert_int_equal(fchmod(top, 0700), 0);
        assert_int_equal(seteuid(65534), 0);
        enum qs_status status = qs_format_discover(root, NULL, &place, &list, &count, &err);
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(fchmod(top, 0755), 0);
        assert_int_equal(status, QS_NOPERM);
    }

    usual_dirs();
    assert_true(pf_probe(root, spool, &evidence));
    assert_non_null(strstr(evidence, "7 directories"));
    talloc_free((void *)(uintptr_t)evidence);
    assert_int_equal(qs_format_discover(root, NULL, &place, &list, &count, &err), QS_OK);
    assert_int_equal(count, 1);
    assert_ptr_equal(list[0]->format, &qs_format_postfix);
    assert_string_equal(list[0]->name, "postfix");
    assert_string_equal(list[0]->queue_dir, spool);
    assert_null(list[0]->config);
    struct qs_site *site = qs_site_new(root);
    assert_int_equal(pf_site(list[0], site, &err), QS_OK);
    assert_null(site->hostname);
    talloc_free(site);
    talloc_free(list);

    /* both drivers know it: the user has to say */
    put("qf6AM290NF007566", QS_SPAN("V8\nT1795313340\nSa@a.test\nRPFD:r1@x.test\nH??Subject: one\n.\n"),
        0600);
    put("df6AM290NF007566", QS_SPAN("body\n"), 0600);
    assert_int_equal(qs_format_discover(root, NULL, &place, &list, &count, &err), QS_USAGE);
    assert_non_null(strstr(err.text, "--mta"));
    assert_int_equal(qs_format_discover(root, "sendmail", &place, &list, &count, &err), QS_OK);
    assert_int_equal(count, 1);
    talloc_free(list);
    assert_int_equal(qs_format_discover(root, "postfix", &place, &list, &count, &err), QS_OK);
    assert_int_equal(count, 1);
    assert_ptr_equal(list[0]->format, &qs_format_postfix);
    talloc_free(list);

    /* part of a queue: its files tell */
    static const char *const few[] = {"deferred", "new", "cur"};
    make_dirs(few, sizeof few / sizeof *few);
    assert_false(pf_probe(root, spool, &evidence));
    put("deferred/A/hello", QS_SPAN("hello\n"), 0700);
    put("deferred/A/hello2", QS_SPAN("hello\n"), 0700);
    assert_false(pf_probe(root, spool, &evidence));
    sound();
    put("deferred/A/" ID, bytes_of_image(), 0700);
    assert_true(pf_probe(root, spool, &evidence));
    talloc_free((void *)(uintptr_t)evidence);
    assert_false(pf_probe(root, "/nonexistent", &evidence));
}

static bool has(char **list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], name) == 0)
            return true;
    }
    return false;
}

/* What postconf(1) and postmap(1) say of a configuration of ours. */
static void configuration(void **state)
{
    char etc[PATH_MAX];
    struct qs_instance **list = NULL;
    struct qs_error err = {""};
    size_t count = 0;
    (void)state;
    if (access("/usr/sbin/postconf", X_OK) != 0) {
        print_message("SKIPPED: no postconf here, nothing learnt of configurations\n");
        skip();
    }
    usual_dirs();
    put("etc/domains",
        QS_SPAN("# comment\nfile.example, second.example\n!not.example third.example # more\n"), 0644);
    put("etc/texthash",
        QS_SPAN("# comment\nVirtual.Example. anything\nuser@virtual.example somebody\nbare somebody\n"),
        0644);
    put("etc/networks", QS_SPAN("203.0.113.0/24 permit\n"), 0644);
    (void)snprintf(etc, sizeof etc, "%s/etc", spool);
    char *text = talloc_asprintf(
        root,
        "compatibility_level = 3.7\nqueue_directory = %s\nmulti_instance_name = postfix-test\n"
        "myhostname = mx.test.example\n"
        "mydestination = $myhostname, LOCALHOST, %s/domains, regexp:%s/none\n"
        "virtual_alias_domains = $virtual_alias_maps\nvirtual_alias_maps = texthash:%s/texthash\n"
        "virtual_mailbox_domains = inline:{mail.example=x, other.example=y}\n"
        "relay_domains = .relay.example, !bad.example\n"
        "maximal_queue_lifetime = 3\n"
        "mynetworks = 127.0.0.0/8 [::1]/128 cidr:%s/networks !10.0.0.0/8 hash:/none\n",
        spool, etc, etc, etc, etc);
    put("etc/main.cf", qs_span_of(text), 0644);
    talloc_free(text);
    put("etc/master.cf", QS_SPAN("smtp unix - - n - - smtp\n"), 0644);

    struct qs_place place = {.config = etc};
    enum qs_status status = qs_format_discover(root, "postfix", &place, &list, &count, &err);
    if (status != QS_OK)
        fail_msg("%s: %s", qs_status_name(status), err.text);
    assert_int_equal(count, 1);
    assert_string_equal(list[0]->name, "postfix-test");
    assert_string_equal(list[0]->queue_dir, spool);
    assert_string_equal(list[0]->config, etc);
    assert_non_null(strstr(list[0]->evidence, etc));

    struct qs_site *site = qs_site_new(root);
    assert_int_equal(pf_site(list[0], site, &err), QS_OK);
    assert_string_equal(site->hostname, "mx.test.example");
    assert_int_equal(site->lifetime, 3 * 86400);
    static const char *const local[] = {"mx.test.example", "localhost",     "file.example",
                                        "second.example",  "third.example", "virtual.example",
                                        "mail.example",    "other.example"};
    assert_int_equal(site->local_count, sizeof local / sizeof *local);
    for (size_t i = 0; i < site->local_count; i++)
        assert_true(has(site->local_domains, site->local_count, local[i]));
    assert_int_equal(site->relay_count, 1);
    assert_string_equal(site->relay_domains[0], "relay.example");
    assert_int_equal(site->network_count, 3);
    assert_true(has(site->networks, 3, "127.0.0.0/8") && has(site->networks, 3, "::1/128") &&
                has(site->networks, 3, "203.0.113.0/24"));
    talloc_free(site);
    talloc_free(list);

    /* a queue elsewhere with that configuration */
    place.queue_dir = "/elsewhere";
    assert_int_equal(qs_format_discover(root, "postfix", &place, &list, &count, &err), QS_OK);
    assert_string_equal(list[0]->queue_dir, "/elsewhere");
    assert_string_equal(list[0]->config, etc);
    talloc_free(list);

    place = (struct qs_place){.config = spool};
    assert_int_equal(qs_format_discover(root, "postfix", &place, &list, &count, &err), QS_CONFIG);
    assert_non_null(strstr(err.text, "main.cf"));
}

/* --- captured files ------------------------------------------------------------------------------------- */

/* A file's bytes; *len is 0 and the result NULL when there is none. */
static char *slurp(TALLOC_CTX *parent, const char *path, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    *len = 0;
    if (fd < 0)
        return NULL;
    assert_int_equal(fstat(fd, &st), 0);
    char *bytes = talloc_zero_array(parent, char, (unsigned)st.st_size + 1);
    assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
    assert_int_equal(close(fd), 0);
    *len = (size_t)st.st_size;
    return bytes;
}

/* Adds `text` as postqueue -j writes it. */
static char *add_json(char *to, struct qs_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        to = c == '"' || c == '\\' ? talloc_asprintf_append(to, "\\%c", c)
                                   : talloc_asprintf_append(to, "%c", c);
    }
    return to;
}

/* An address as it is written in a message: the local part quoted when it needs that. */
static char *add_address(char *to, struct qs_span address)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~.";
    const char *domain = address.len > 0 ? memrchr(address.ptr, '@', address.len) : NULL;
    size_t local = domain != NULL ? (size_t)(domain - address.ptr) : address.len;
    bool quote = false;
    for (size_t i = 0; i < local; i++)
        quote = quote || ((unsigned char)address.ptr[i] < 0x80 && strchr(plain, address.ptr[i]) == NULL);
    struct qs_span rest = {address.ptr + local, address.len - local};
    char *quoted = talloc_strdup(NULL, quote ? "\"" : "");
    quoted = talloc_strndup_append(quoted, address.ptr, local);
    quoted = talloc_asprintf_append(quoted, "%s%.*s", quote ? "\"" : "", (int)rest.len, rest.ptr);
    to = add_json(to, qs_span_of(quoted));
    talloc_free(quoted);
    return to;
}

/* The line of postqueue.jsonl that has this ID, as a copy. */
static char *line_of(TALLOC_CTX *parent, const char *lines, const char *id)
{
    const char *found = strstr(lines, id);
    assert_non_null(found);
    while (found > lines && found[-1] != '\n')
        found--;
    return talloc_strndup(parent, found, strcspn(found, "\n"));
}

static void same_as_postqueue(const char *line, const char *id, const struct qs_envelope *env)
{
    char *text = talloc_asprintf(
        NULL,
        "{\"queue_name\": \"%s\", \"queue_id\": \"%s\", \"arrival_time\": %lld, \"message_size\": %llu, "
        "\"forced_expire\": %s, \"sender\": \"",
        env->queue_name, id, (long long)env->arrival, (unsigned long long)env->size,
        env->flags & QS_ENV_FORCED_EXPIRE ? "true" : "false");
    text = env->sender.len > 0 ? add_address(text, env->sender) : talloc_strdup_append(text, "MAILER-DAEMON");
    text = talloc_strdup_append(text, "\", \"recipients\": [");
    if (strncmp(line, text, strlen(text)) != 0)
        fail_msg("read:      %s\npostqueue: %s", text, line);
    size_t shown = 0, todo = 0;
    for (const char *p = line; (p = strstr(p, "{\"address\": ")) != NULL; p++)
        shown++;
    for (size_t i = 0; i < env->recipient_count; i++) {
        const struct qs_recipient_text *to = &env->recipients[i];
        if (to->state != QS_RCPT_TODO)
            continue;
        todo++;
        talloc_free(text);
        text = add_address(talloc_strdup(NULL, "{\"address\": \""), to->address);
        text = talloc_strdup_append(text, "\"");
        if (to->reason.len > 0)
            text = talloc_strdup_append(
                add_json(talloc_strdup_append(text, ", \"delay_reason\": \""), to->reason), "\"");
        text = talloc_strdup_append(text, "}");
        if (strstr(line, text) == NULL)
            fail_msg("read:      %s\npostqueue: %s", text, line);
    }
    assert_int_equal(todo, shown);
    talloc_free(text);
}

/* Captured files with their modes as far as they matter, and what postcat and postqueue said of them. */
static void fixtures(void **state)
{
    static const char base[] = QS_FIXTURES "/postfix/short";
    TALLOC_CTX *scratch = talloc_new(root);
    size_t len, files = 0;
    char *cases = slurp(scratch, QS_FIXTURES "/postfix/short/cases.tsv", &len);
    char *lines = slurp(scratch, QS_FIXTURES "/postfix/short/postqueue.jsonl", &len);
    (void)state;
    assert_true(cases != NULL && lines != NULL);
    for (char *name = strtok(cases, "\t\n"); name != NULL; name = strtok(NULL, "\t\n")) {
        const char *id = strtok(NULL, "\t\n");
        static const char *const logs[] = {"defer", "bounce", "trace"};
        char *line = line_of(scratch, lines, id);
        char queue_name[16] = "", path[PATH_MAX];
        begin();
        assert_int_equal(strncmp(line, "{\"queue_name\": \"", 16), 0);
        (void)snprintf(queue_name, sizeof queue_name, "%.*s", (int)strcspn(line + 16, "\""), line + 16);
        (void)snprintf(path, sizeof path, "%s/queue/%s", base, name);
        char *bytes = slurp(scratch, path, &len);
        assert_non_null(bytes);
        (void)snprintf(path, sizeof path, "%s/%s", queue_name, id);
        put(path, (struct qs_span){bytes, len},
            strstr(line, "\"forced_expire\": true") != NULL ? 0710 : 0700);
        for (size_t i = 0; i < 3; i++) {
            (void)snprintf(path, sizeof path, "%s/queue/%s.%s", base, name, logs[i]);
            bytes = slurp(scratch, path, &len);
            (void)snprintf(path, sizeof path, "%s/%s", logs[i], id);
            if (bytes != NULL)
                put(path, (struct qs_span){bytes, len}, 0600);
        }
        struct qs_queue *queue = open_queue();
        struct result r = read_first(queue, NULL);
        if (r.status != QS_OK || r.content_status != QS_OK)
            fail_msg("%s: %s", name, r.err.text);
        same_as_postqueue(line, id, &r.env);
        /* a header that was only taken out leaves no trace outside of the content; the quarantine is a
         * hold */
        bool by_milter = strncmp(name, "milter-", 7) == 0 && strcmp(name, "milter-noheader") != 0 &&
                         strcmp(name, "milter-quarantine") != 0;
        if (((r.env.flags & QS_ENV_EDITED) != 0) != by_milter)
            fail_msg("%s: edited by a milter?", name);
        (void)snprintf(path, sizeof path, "%s/content/%s", base, name);
        bytes = slurp(scratch, path, &len);
        assert_non_null(bytes);
        assert_int_equal(r.content.len, len);
        assert_memory_equal(r.content.ptr, bytes, len);
        talloc_free(queue);
        finish();
        files++;
    }
    assert_true(files >= 25);
    talloc_free(scratch);
}

/* Queue files from Postfix's own tests, edited in every way that it can. */
static int read_corpus_file(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    size_t len;
    (void)st;
    const char *name = path + ftw->base;
    if (kind != FTW_F || strncmp(name, "test-queue-file", 15) != 0 || strstr(name, ".ref") != NULL)
        return 0;
    char *bytes = slurp(root, path, &len);
    struct result r = read_bytes((struct qs_span){bytes, len});
    if (r.status != QS_OK || r.content_status != QS_OK || r.env.recipient_count == 0 ||
        r.env.arrival < 1000000000 || r.content.len < 100)
        fail_msg("%s: %s %s", path, qs_status_name(r.status), r.err.text);
    talloc_free(bytes);
    return 0;
}

static void corpus(void **state)
{
    static const char base[] = QS_CORPORA "/postfix-queue-files";
    TALLOC_CTX *scratch = talloc_new(root);
    size_t len;
    (void)state;
    if (access(base, R_OK) != 0) {
        print_message("SKIPPED: %s is not here\n", base);
        talloc_free(scratch);
        skip();
    }
    begin();
    assert_int_equal(nftw(base, read_corpus_file, 8, FTW_PHYS), 0);
    char *bytes = slurp(scratch, QS_CORPORA "/postfix-queue-files/postcat/test-queue-file", &len);
    assert_non_null(bytes);
    struct result r = read_bytes((struct qs_span){bytes, len});
    char *expected = slurp(scratch, QS_CORPORA "/postfix-queue-files/postcat/bh_test.ref", &len);
    assert_non_null(expected);
    assert_int_equal(r.content.len, len);
    assert_memory_equal(r.content.ptr, expected, len);
    talloc_free(scratch);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queue_ids),
        cmocka_unit_test(envelope),
        cmocka_unit_test(content_caps),
        cmocka_unit_test(origin),
        cmocka_unit_test(submitters),
        cmocka_unit_test(maildrop),
        cmocka_unit_test(old_size_records),
        cmocka_unit_test(edited),
        cmocka_unit_test(damaged),
        cmocka_unit_test(truncated),
        cmocka_unit_test(changed),
        cmocka_unit_test(huge),
        cmocka_unit_test(large),
        cmocka_unit_test(crowds),
        cmocka_unit_test(defer_logs),
        cmocka_unit_test(redirected),
        cmocka_unit_test(other_logs),
        cmocka_unit_test(log_depths),
        cmocka_unit_test(walk),
        cmocka_unit_test(permissions),
        cmocka_unit_test(modes),
        cmocka_unit_test(out_of_active),
        cmocka_unit_test(moving),
        cmocka_unit_test(not_a_queue),
        cmocka_unit_test(discovery),
        cmocka_unit_test(configuration),
        cmocka_unit_test(fixtures),
        cmocka_unit_test(corpus),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
