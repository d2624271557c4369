/* SPDX-License-Identifier: Apache-2.0 */
/* Archives: what is written is read again; whatever is cut off, damaged or hostile is refused behind the last whole message. */
#include "place.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qsurgeon/archive.h"
#include "qsurgeon/restore.h"

static struct qs_error err;

static char *get(const char *path, size_t *size)
{
    FILE *file = fopen(path, "re");
    struct stat st;
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &st), 0);
    char *data = talloc_size(root, (size_t)st.st_size + 1);
    *size = fread(data, 1, (size_t)st.st_size, file);
    fclose(file);
    return data;
}

/* --- three messages, one of them larger than any buffer ----------------------------------------------------------------- */

enum { MESSAGES = 3, LARGE = 700001 };

static struct qs_plan_item items[MESSAGES] = {
    {.id = "3F702E66109", .queue_name = "deferred", .path = "deferred/3/3F702E66109", .reason = "storm bulk-list C-1",
     .size = 300, .arrival = 1700000000},
    {.id = "3E58CE66108", .queue_name = "hold", .path = "hold/3E58CE66108", .reason = "legit personal", .size = LARGE},
    {.id = "3A58CE66107", .queue_name = "deferred", .path = "deferred/3/3A58CE66107", .reason = "storm bulk-list C-1", .size = 5},
};
static const char *const logs[MESSAGES] = {"defer/3/3F702E66109", "defer/3/3E58CE66108", "defer/3/3A58CE66107"};
static char *content[MESSAGES];
static const size_t sizes[MESSAGES] = {7, LARGE, 0};

static void write_archive(const char *path)
{
    struct qs_plan plan = {.host = "h\"ost", .mta = "postfix", .items = items, .count = MESSAGES};
    struct qs_archive_writer *writer = NULL;
    const struct timespec times[2] = {{1600000000, 5}, {1500000000, 123456789}};
    uint32_t random = 1;
    put(in_place("log"), "log", 3);
    assert_int_equal(qs_archive_create(root, path, &plan, &writer, &err), QS_OK);
    for (unsigned i = 0; i < MESSAGES; i++) {
        content[i] = talloc_size(root, sizes[i] + 1);
        for (size_t k = 0; k < sizes[i]; k++)           /* does not compress to nothing */
            content[i][k] = (char)((random = random * 1664525 + 1013904223) >> 28);
        put(in_place("message"), content[i], sizes[i]);
        assert_int_equal(chmod(in_place("message"), 0700), 0);
        struct qs_archive_source files[] = {{items[i].path, open(in_place("message"), O_RDWR)}, {logs[i], open(in_place("log"), O_RDONLY)}};
        assert_int_equal(futimens(files[0].fd, times), 0);
        assert_int_equal(qs_archive_add(writer, &items[i], files, 2, &err), QS_OK);
        close(files[0].fd);
        close(files[1].fd);
    }
    assert_int_equal(qs_archive_finish(writer, &err), QS_OK);
    talloc_free(writer);
}

struct seen {
    unsigned message;
    size_t at, files;
    bool wrong;
};

static enum qs_status compare(void *data, const struct qs_archived *m, size_t file, struct qs_span part, bool last,
                              struct qs_error *why)
{
    struct seen *s = data;
    const char *expected = file == 0 ? content[s->message] : "log";
    size_t size = file == 0 ? sizes[s->message] : 3;
    if (m->count != 2 || part.len > size - s->at)
        return qs_fail(why, QS_DATA, "not what was written");
    s->wrong |= part.len && memcmp(part.ptr, expected + s->at, part.len) != 0;
    s->at += part.len;
    if (last) {
        s->wrong |= s->at != size;
        s->at = 0;
        s->files++;
    }
    return QS_OK;
}

/* Reads as far as it goes. Whatever is called whole is right. */
static unsigned read_all(const char *path, enum qs_status *last)
{
    struct qs_archive_reader *reader = NULL;
    struct qs_archived *m = NULL;
    unsigned count = 0;
    const struct qs_archive_limits limits = {1 << 20, 1 << 21};
    *last = qs_archive_open(root, path, &limits, &reader, &err);
    while (*last == QS_OK && (*last = qs_archive_next(reader, &m, &err)) == QS_OK) {
        struct seen seen = {.message = count};
        assert_true(count < MESSAGES);
        *last = qs_archive_read(reader, compare, &seen, &err);
        if (*last != QS_OK) {
            assert_int_equal(*last, QS_DATA);
            assert_int_equal(qs_archive_next(reader, &m, &err), QS_DATA);       /* nothing follows */
            break;
        }
        assert_true(seen.files == 2 && !seen.wrong);
        assert_int_equal(qs_archive_whole(reader), ++count);
    }
    talloc_free(reader);
    return count;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct qs_archive_reader *reader = NULL;
    struct qs_archive_writer *writer = NULL;
    struct qs_archived *m = NULL;
    struct qs_plan plan = {.host = "h", .mta = "postfix"};
    enum qs_status last;
    uint64_t messages = 0, bytes = 0;
    write_archive(in_place("x.tar.zst"));
    assert_int_equal(qs_archive_create(root, in_place("x.tar.zst"), &plan, &writer, &err), QS_USAGE);
    assert_int_equal(read_all(in_place("x.tar.zst"), &last), MESSAGES);
    assert_int_equal(last, QS_END);
    assert_int_equal(qs_archive_verify(in_place("x.tar.zst"), &messages, &bytes, &err), QS_OK);
    assert_true(messages == MESSAGES && bytes == 7 + LARGE + 9);
    assert_int_equal(qs_archive_open(root, in_place("x.tar.zst"), &qs_archive_unlimited, &reader, &err), QS_OK);
    assert_int_equal(qs_archive_next(reader, &m, &err), QS_OK);
    assert_string_equal(m->host, "h\"ost");
    assert_string_equal(m->mta, "postfix");
    assert_string_equal(m->reason, items[0].reason);
    const struct qs_archived_file *f = &m->files[0];
    assert_true(f->has_owner && f->uid == geteuid() && f->gid == getegid() && f->mode == 0700 && f->size == 7);
    assert_true(f->mtime.tv_sec == 1500000000 && f->mtime.tv_nsec == 123456789);
    assert_true(f->atime.tv_sec == 1600000000 && f->atime.tv_nsec == 5);
    assert_int_equal(qs_archive_next(reader, &m, &err), QS_OK);         /* unread files are passed over, and checked */
    assert_string_equal(m->id, items[1].id);
    assert_int_equal(qs_archive_read(reader, NULL, NULL, &err), QS_OK);
    assert_int_equal(qs_archive_read(reader, NULL, NULL, &err), QS_USAGE);      /* once only */
    talloc_free(reader);
    /* given up: no temporary file stays */
    assert_int_equal(qs_archive_create(root, in_place("z.tar.zst"), &plan, &writer, &err), QS_OK);
    talloc_free(writer);
    assert_int_equal(access(in_place("z.tar.zst"), F_OK), -1);
    assert_int_equal(access(in_place(".z.tar.zst.new"), F_OK), -1);
    talloc_free_children(root);
}

static void test_limits(void **state)
{
    (void)state;
    struct qs_archive_reader *reader = NULL;
    struct qs_archived *m = NULL;
    static const struct qs_archive_limits limits[] = {{LARGE, UINT64_MAX / 4}, {UINT64_MAX / 4, LARGE}};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(qs_archive_open(root, in_place("x.tar.zst"), &limits[i], &reader, &err), QS_OK);
        assert_int_equal(qs_archive_next(reader, &m, &err), QS_OK);
        assert_int_equal(qs_archive_next(reader, &m, &err), QS_DATA);
        assert_non_null(strstr(err.text, "larger than allowed"));
        assert_int_equal(qs_archive_whole(reader), 1);
        talloc_free(reader);
    }
}

/* Cut off at any byte it still yields every complete message: never fewer by one byte more, and all of them in the end. */
static void test_cut(void **state)
{
    (void)state;
    enum qs_status last;
    size_t size = 0, ends = 0, step;
    unsigned before = 0;
    uint64_t messages = 0, bytes = 0;
    write_archive(in_place("c.tar.zst"));
    char *data = get(in_place("c.tar.zst"), &size);
    for (size_t cut = 0; cut < size; cut += step) {
        put(in_place("y.tar.zst"), data, cut);
        unsigned count = read_all(in_place("y.tar.zst"), &last);
        assert_int_not_equal(last, QS_OK);
        assert_true(count >= before && count <= MESSAGES);
        ends += last == QS_END;
        before = count;
        if (cut % 20 == 0) {
            assert_int_equal(qs_archive_verify(in_place("y.tar.zst"), &messages, &bytes, &err), QS_DATA);
            assert_int_equal(messages, count);
        }
        step = cut < 400 || cut + 100 > size ? 1 : 1009;
    }
    assert_int_equal(ends, 0);              /* none is taken for a whole one */
    assert_true(before > 0);                /* what lies in the last block of the compressor is lost with it */
    talloc_free_children(root);
}

static void test_changed(void **state)
{
    (void)state;
    enum qs_status last;
    size_t size = 0;
    write_archive(in_place("d.tar.zst"));
    char *data = get(in_place("d.tar.zst"), &size);
    for (size_t at = 0; at < size; at += at < 600 ? 1 : 1511) {
        char old = data[at];
        data[at] = (char)(old ^ 0x10);
        put(in_place("y.tar.zst"), data, size);
        (void)read_all(in_place("y.tar.zst"), &last);       /* damaged, or the change was of no account; never wrong */
        data[at] = old;
    }
    talloc_free_children(root);
}

/* --- archives that others made ------------------------------------------------------------------------------------------ */

static char *metadata(const char *name, const char *more)
{
    return talloc_asprintf(root, "{\"qsurgeon_archive\":1,\"mta\":\"postfix\",\"id\":\"3F702E66109\",\"queue\":\"hold\",\"reason\":\"x\","
                           "\"arrival\":1,\"size\":1,\"files\":[{\"name\":\"%s\",\"size\":1,\"mode\":448,\"xxh3_128\":\"%s\"}]%s}", name,
                           "0000000000000000" "0000000000000000", more);
}

static void add_member(struct archive *a, const char *name, unsigned kind, const char *link, const char *data, size_t told)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, kind);
    archive_entry_set_perm(entry, 0600);
    archive_entry_set_size(entry, (la_int64_t)told);
    if (link && kind == AE_IFLNK)
        archive_entry_set_symlink(entry, link);
    else if (link)
        archive_entry_set_hardlink(entry, link);
    assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
    if (data)
        (void)archive_write_data(a, data, strlen(data));
    archive_entry_free(entry);
}

static struct archive *begin_hostile(const char *path)
{
    struct archive *a = archive_write_new();
    assert_int_equal(archive_write_set_format_pax(a), ARCHIVE_OK);
    assert_int_equal(archive_write_add_filter_zstd(a), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    return a;
}

static void expect_refused(const char *path, const char *words)
{
    uint64_t messages = 0, bytes = 0;
    struct qs_unpacked *unpacked = NULL;
    assert_int_equal(qs_archive_verify(path, &messages, &bytes, &err), QS_DATA);
    if (!strstr(err.text, words))
        fail_msg("%s: %s", words, err.text);
    assert_null(strchr(err.text, '\n'));
    assert_int_equal(qs_unpack(root, path, -1, place, true, NULL, &unpacked, &err), QS_DATA);
    assert_null(unpacked);
}

static void test_hostile(void **state)
{
    (void)state;
    static const char *const names[] = {"../../etc/x", "/etc/x", "hold/../../x", "hold//x", "hold/./x", "a\\nb", "hold/\\u00e9", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct archive *a = begin_hostile(in_place("h.tar.zst"));
        char *text = metadata(names[i], "");
        add_member(a, "00000001.json", AE_IFREG, NULL, text, strlen(text));
        add_member(a, "00000001/x", AE_IFREG, NULL, "X", 1);
        archive_write_free(a);
        expect_refused(in_place("h.tar.zst"), "metadata that makes no sense");
    }
    static const struct {
        unsigned kind;
        const char *link;
    } kinds[] = {{AE_IFLNK, "/etc/passwd"}, {AE_IFREG, "00000001.json"}, {AE_IFCHR, NULL}, {AE_IFIFO, NULL}, {AE_IFDIR, NULL}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct archive *a = begin_hostile(in_place("h.tar.zst"));
        char *text = metadata("hold/3F702E66109", "");
        add_member(a, "00000001.json", AE_IFREG, NULL, text, strlen(text));
        add_member(a, "00000001/hold/3F702E66109", kinds[i].kind, kinds[i].link, NULL, kinds[i].kind == AE_IFREG);
        archive_write_free(a);
        expect_refused(in_place("h.tar.zst"), "");
    }
    static const struct {
        const char *member, *data, *more, *words;
    } others[] = {
        {"00000001/hold/3F702E66109", "X", "", "wrong digest"},
        {"00000002/hold/3F702E66109", "X", "", "not what qsurgeon writes"},
        {"../x", "X", "", "not what qsurgeon writes"},
        {"00000001/hold/3F702E66109", "XY", "", "larger than allowed"},
        {"00000001/hold/3F702E66109", "", "", "cut off or damaged"},
        {"00000001/hold/3F702E66109", "X", ",\"mta\":\"x\"", "metadata"},       /* a key twice */
        {"00000001/hold/3F702E66109", "X", "]", "metadata"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct archive *a = begin_hostile(in_place("h.tar.zst"));
        char *text = metadata("hold/3F702E66109", others[i].more);
        add_member(a, "00000001.json", AE_IFREG, NULL, text, strlen(text));
        add_member(a, others[i].member, AE_IFREG, NULL, others[i].data, strlen(others[i].data));
        archive_write_free(a);
        expect_refused(in_place("h.tar.zst"), others[i].words);
    }
    put(in_place("empty"), "", 0);
    expect_refused(in_place("empty"), "");
    assert_int_equal(mkfifo(in_place("fifo"), 0600), 0);
    expect_refused(in_place("fifo"), "not a regular file");             /* and nobody waits for a writer */
    talloc_free_children(root);
}

/* The same file in two messages: the second is refused, the first stays good. */
static void test_twice(void **state)
{
    (void)state;
    struct qs_plan plan = {.host = "h", .mta = "postfix"};
    struct qs_archive_writer *writer = NULL;
    struct qs_unpacked *unpacked = NULL;
    uint64_t messages = 0, bytes = 0;
    put(in_place("m"), "X", 1);
    assert_int_equal(qs_archive_create(root, in_place("t.tar.zst"), &plan, &writer, &err), QS_OK);
    for (unsigned i = 0; i < 2; i++) {
        struct qs_archive_source file = {items[0].path, open(in_place("m"), O_RDONLY)};
        assert_int_equal(qs_archive_add(writer, &items[0], &file, 1, &err), QS_OK);
        close(file.fd);
    }
    assert_int_equal(qs_archive_finish(writer, &err), QS_OK);
    assert_int_equal(qs_archive_verify(in_place("t.tar.zst"), &messages, &bytes, &err), QS_DATA);
    assert_non_null(strstr(err.text, "the same file a second time"));
    assert_int_equal(messages, 1);
    assert_int_equal(qs_unpack(root, in_place("t.tar.zst"), -1, place, false, NULL, &unpacked, &err), QS_DATA);
    assert_int_equal(qs_unpack(root, in_place("t.tar.zst"), -1, place, true, NULL, &unpacked, &err), QS_OK);
    assert_true(unpacked->count == 1 && unpacked->damage[0] != '\0');
    talloc_free_children(root);
}

/* Laid out as the queue it was, and gone when it is freed. */
static void test_unpack(void **state)
{
    (void)state;
    struct qs_unpacked *unpacked = NULL;
    struct stat st;
    char path[300], dir[200];
    size_t size = 0;
    write_archive(in_place("u.tar.zst"));
    int fd = open(in_place("u.tar.zst"), O_RDONLY);
    assert_int_equal(qs_unpack(root, "of a descriptor", fd, place, false, NULL, &unpacked, &err), QS_OK);
    close(fd);
    assert_true(unpacked->count == MESSAGES && unpacked->damage[0] == '\0');
    for (unsigned i = 0; i < MESSAGES; i++) {
        assert_string_equal(unpacked->messages[i].id, items[i].id);
        snprintf(path, sizeof path, "%s/%s", unpacked->dir, items[i].path);
        char *data = get(path, &size);
        assert_int_equal(size, sizes[i]);
        assert_memory_equal(data, content[i], size);
        assert_int_equal(stat(path, &st), 0);
        assert_true((st.st_mode & 0777) == 0700 && st.st_mtim.tv_nsec == 123456789);
    }
    snprintf(dir, sizeof dir, "%s", unpacked->dir);
    talloc_free(unpacked);
    assert_int_equal(access(dir, F_OK), -1);
    *strstr(dir, "/.qsurgeon") = '\0';
    assert_int_equal(access(dir, F_OK), -1);
    assert_int_equal(qs_unpack(root, in_place("u.tar.zst"), -1, in_place("nowhere"), false, NULL, &unpacked, &err), QS_GONE);
    talloc_free_children(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_limits), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_changed), cmocka_unit_test(test_hostile), cmocka_unit_test(test_twice),
        cmocka_unit_test(test_unpack),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
