/* SPDX-License-Identifier: Apache-2.0 */
/* Queue files of every kind and size, files that change while they are read, a system that reads little or
 * fails, and the growing buffer. Linked so that pread can be made to misbehave. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "qsurgeon/reader.h"

static char directory[] = "/tmp/qsurgeon-reader-XXXXXX";
static int dir = -1;

/* What the next calls of pread do. */
static size_t most_bytes = SIZE_MAX;    /* give no more at a time */
static unsigned interrupts;             /* that many fail with EINTR first */
static int failure;                     /* errno, or 0 */
static unsigned calls;

ssize_t __real_pread64(int fd, void *to, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *to, size_t size, off_t offset);

ssize_t __wrap_pread64(int fd, void *to, size_t size, off_t offset)
{
    calls++;
    if (interrupts > 0) {
        interrupts--;
        errno = EINTR;
        return -1;
    }
    if (failure != 0) {
        errno = failure;
        return -1;
    }
    return __real_pread64(fd, to, size < most_bytes ? size : most_bytes, offset);
}

static char byte_at(uint64_t offset)
{
    return (char)(offset * 31 + offset / 251);
}

/* A file of `size` bytes as byte_at() says. */
static void make_file(const char *name, size_t size)
{
    char *bytes = malloc(size + 1);
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_non_null(bytes);
    assert_true(fd >= 0);
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(i);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    assert_int_equal(close(fd), 0);
    free(bytes);
}

static bool right_bytes(struct qs_span span, uint64_t offset)
{
    for (size_t i = 0; i < span.len; i++)
        if (span.ptr[i] != byte_at(offset + i))
            return false;
    return true;
}

static int setup(void **state)
{
    if (mkdtemp(directory) == NULL)
        return -1;
    dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -1 : root_setup(state);
}

static int teardown(void **state)
{
    static const char *const names[] = {"file", "link", "fifo", "socket"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unlinkat(dir, names[i], 0);
    (void)unlinkat(dir, "sub", AT_REMOVEDIR);
    (void)close(dir);
    return rmdir(directory) != 0 ? -1 : root_teardown(state);
}

static void calm(void)
{
    most_bytes = SIZE_MAX;
    interrupts = 0;
    failure = 0;
    calls = 0;
}

/* Every size around a window, read in steps of many sizes, forward and backward. */
static void sizes_and_steps(void **state)
{
    static const size_t sizes[] = {0, 1, 4096, QS_FILE_WINDOW - 1, QS_FILE_WINDOW, QS_FILE_WINDOW + 1,
                                   3 * QS_FILE_WINDOW + 17};
    static const size_t wants[] = {0, 1, 1000, 70000, QS_FILE_WINDOW, 2 * QS_FILE_WINDOW};
    struct qs_file *file = qs_file_new(root);
    struct qs_error err;
    struct qs_span span;
    (void)state;
    assert_non_null(file);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t size = sizes[s];
        make_file("file", size);
        for (size_t w = 0; w < sizeof wants / sizeof *wants; w++) {
            size_t want = wants[w] < QS_FILE_WINDOW ? wants[w] : QS_FILE_WINDOW;
            size_t step = want > 3 ? want - 3 : 4001;
            assert_int_equal(qs_file_open(file, dir, "file", &err), QS_OK);
            assert_int_equal(qs_file_size(file), size);
            assert_int_equal(qs_file_stat(file)->st_size, size);
            for (size_t pass = 0; pass < 2; pass++) {
                for (size_t k = 0; k * step < size; k++) {
                    size_t offset = pass == 0 ? k * step : size - 1 - k * step, rest = size - offset;
                    assert_int_equal(qs_file_at(file, offset, wants[w], &span, &err), QS_OK);
                    assert_true(span.len >= 1 && span.len <= rest);
                    assert_true(span.len >= (want < rest ? want : rest));
                    assert_true(right_bytes(span, offset));
                }
            }
            span = QS_SPAN("untouched");
            assert_int_equal(qs_file_at(file, size, 1, &span, &err), QS_END);
            assert_int_equal(qs_file_at(file, UINT64_MAX, SIZE_MAX, &span, &err), QS_END);
            assert_true(qs_span_is(span, "untouched"));
        }
    }
    talloc_free(file);
}

/* One read for a small file; and no read at all for an empty one. */
static void few_calls(void **state)
{
    struct qs_file *file = qs_file_new(root);
    struct qs_span span;
    (void)state;
    calm();
    make_file("file", QS_FILE_WINDOW);
    assert_int_equal(qs_file_open(file, dir, "file", NULL), QS_OK);
    assert_int_equal(qs_file_at(file, 0, 1, &span, NULL), QS_OK);
    assert_int_equal(span.len, QS_FILE_WINDOW);
    assert_int_equal(qs_file_at(file, QS_FILE_WINDOW - 1, QS_FILE_WINDOW, &span, NULL), QS_OK);
    assert_int_equal(span.len, 1);
    assert_int_equal(calls, 1);
    make_file("file", 0);
    assert_int_equal(qs_file_open(file, dir, "file", NULL), QS_OK);
    assert_int_equal(calls, 1);
    make_file("file", 2 * QS_FILE_WINDOW);      /* the beginning stays while another place is read */
    assert_int_equal(qs_file_open(file, dir, "file", NULL), QS_OK);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(qs_file_at(file, QS_FILE_WINDOW + i, 100, &span, NULL), QS_OK);
        assert_true(right_bytes(span, QS_FILE_WINDOW + i));
        assert_int_equal(qs_file_at(file, i, 100, &span, NULL), QS_OK);
        assert_true(right_bytes(span, i));
    }
    assert_int_equal(calls, 3);
    talloc_free(file);
}

static void not_files(void **state)
{
    struct qs_file *file = qs_file_new(root);
    struct qs_error err = {""};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)state;
    make_file("file", 10);
    assert_int_equal(symlinkat("file", dir, "link"), 0);
    assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
    assert_int_equal(mkdirat(dir, "sub", 0700), 0);
    assert_true(server >= 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
    assert_int_equal(bind(server, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(qs_file_open(file, dir, "link", &err), QS_SKIP);
    assert_non_null(strstr(err.text, "link"));
    assert_int_equal(qs_file_open(file, dir, "fifo", &err), QS_SKIP);
    assert_int_equal(qs_file_open(file, dir, "sub", &err), QS_SKIP);
    assert_int_equal(qs_file_open(file, dir, "socket", &err), QS_SKIP);
    assert_int_equal(qs_file_open(file, AT_FDCWD, "/dev/null", &err), QS_SKIP);
    assert_int_equal(qs_file_open(file, dir, "none", &err), QS_GONE);
    assert_int_equal(qs_file_open(file, dir, "sub/none", &err), QS_GONE);
    assert_int_equal(qs_file_open(file, dir, "file/none", &err), QS_IO);
    assert_int_equal(qs_file_size(file), 0);
    close(server);
    talloc_free(file);
}

/* After a failure the object is closed and empty, and can be used again. */
static void closed_after_failure(void **state)
{
    struct qs_file *file = qs_file_new(root);
    struct qs_error err;
    struct qs_span span;
    (void)state;
    make_file("file", 10);
    assert_int_equal(qs_file_at(file, 0, 1, &span, &err), QS_END);
    assert_int_equal(qs_file_open(file, dir, "file", &err), QS_OK);
    assert_int_equal(qs_file_open(file, dir, "none", &err), QS_GONE);
    assert_int_equal(qs_file_at(file, 0, 1, &span, &err), QS_END);
    assert_int_equal(qs_file_stat(file)->st_size, 0);
    assert_int_equal(qs_file_open(file, dir, "file", &err), QS_OK);
    assert_int_equal(qs_file_at(file, 0, 1, &span, &err), QS_OK);
    assert_int_equal(span.len, 10);
    qs_file_close(file);
    qs_file_close(file);
    assert_int_equal(qs_file_at(file, 0, 1, &span, &err), QS_END);
    talloc_free(file);
}

static void no_permission(void **state)
{
    struct qs_file *file = qs_file_new(root);
    struct qs_error err;
    uid_t self = geteuid();
    (void)state;
    make_file("file", 10);
    assert_int_equal(fchmodat(dir, "file", 0, 0), 0);
    if (self == 0)
        assert_int_equal(seteuid(65534), 0);
    enum qs_status status = qs_file_open(file, dir, "file", &err);
    assert_int_equal(seteuid(self), 0);
    assert_int_equal(fchmodat(dir, "file", 0600, 0), 0);
    assert_int_equal(status, QS_NOPERM);
    talloc_free(file);
}

/* Bytes appended after the open are not seen; bytes taken away are missing, not made up. */
static void changing_files(void **state)
{
    struct qs_file *file = qs_file_new(root);
    struct qs_error err;
    struct qs_span span;
    char path[100];
    (void)state;
    (void)snprintf(path, sizeof path, "%s/file", directory);
    make_file("file", 100);
    assert_int_equal(qs_file_open(file, dir, "file", &err), QS_OK);
    make_file("file", 2000);
    assert_int_equal(qs_file_size(file), 100);
    assert_int_equal(qs_file_at(file, 0, 2000, &span, &err), QS_OK);
    assert_int_equal(span.len, 100);
    assert_int_equal(qs_file_at(file, 100, 1, &span, &err), QS_END);

    make_file("file", 3 * QS_FILE_WINDOW);
    assert_int_equal(qs_file_open(file, dir, "file", &err), QS_OK);
    assert_int_equal(truncate(path, 2 * QS_FILE_WINDOW + 5), 0);
    assert_int_equal(qs_file_at(file, 2 * QS_FILE_WINDOW, 100, &span, &err), QS_OK);
    assert_int_equal(span.len, 5);
    assert_true(right_bytes(span, 2 * QS_FILE_WINDOW));
    assert_int_equal(qs_file_size(file), 2 * QS_FILE_WINDOW + 5);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(qs_file_at(file, QS_FILE_WINDOW, 1, &span, &err), QS_END);
    assert_int_equal(qs_file_size(file), QS_FILE_WINDOW);
    assert_int_equal(qs_file_at(file, QS_FILE_WINDOW - 1, 1, &span, &err), QS_OK);
    assert_int_equal(span.len, 1);
    talloc_free(file);
}

/* Two gigabytes of nothing cost two windows. */
static void huge_file(void **state)
{
    struct qs_file *file = qs_file_new(root);
    struct qs_error err;
    struct qs_span span;
    uint64_t size = (UINT64_C(1) << 31) + 10;
    char path[100];
    (void)state;
    (void)snprintf(path, sizeof path, "%s/file", directory);
    make_file("file", 0);
    assert_int_equal(truncate(path, (off_t)size), 0);
    calm();
    assert_int_equal(qs_file_open(file, dir, "file", &err), QS_OK);
    assert_int_equal(qs_file_size(file), size);
    assert_int_equal(qs_file_at(file, size - 10, QS_FILE_WINDOW, &span, &err), QS_OK);
    assert_int_equal(span.len, 10);
    assert_int_equal(calls, 2);
    talloc_free(file);
}

static void bad_system(void **state)
{
    struct qs_file *file = qs_file_new(root);
    struct qs_error err;
    struct qs_span span;
    (void)state;
    calm();
    make_file("file", QS_FILE_WINDOW + 1000);
    most_bytes = 7777;
    interrupts = 3;
    assert_int_equal(qs_file_open(file, dir, "file", &err), QS_OK);
    interrupts = 1;
    assert_int_equal(qs_file_at(file, 5, QS_FILE_WINDOW, &span, &err), QS_OK);
    assert_int_equal(span.len, QS_FILE_WINDOW);
    assert_true(right_bytes(span, 5));
    failure = EIO;
    assert_int_equal(qs_file_at(file, QS_FILE_WINDOW + 4, 1, &span, &err), QS_OK);   /* in memory already */
    assert_int_equal(qs_file_open(file, dir, "file", &err), QS_IO);
    assert_int_equal(qs_file_size(file), 0);
    failure = 0;
    assert_int_equal(qs_file_open(file, dir, "file", &err), QS_OK);
    failure = EIO;
    span = QS_SPAN("untouched");
    assert_int_equal(qs_file_at(file, QS_FILE_WINDOW, 1, &span, &err), QS_IO);
    assert_true(qs_span_is(span, "untouched"));
    failure = 0;
    assert_int_equal(qs_file_at(file, QS_FILE_WINDOW, 1, &span, &err), QS_OK);
    assert_true(right_bytes(span, QS_FILE_WINDOW));
    calm();
    talloc_free(file);
}

static void looks(void **state)
{
    static const struct timespec old[2] = {{1000, 1}, {2000, 2}};
    struct stat st, other;
    int64_t born = 0, again = 0;
    (void)state;
    make_file("file", 10);
    assert_int_equal(fstatat(dir, "file", &other, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(qs_file_look(dir, "file", &st, &born, NULL), QS_OK);
    assert_true(st.st_dev == other.st_dev && st.st_ino == other.st_ino && st.st_mode == other.st_mode &&
                st.st_nlink == other.st_nlink && st.st_uid == other.st_uid && st.st_gid == other.st_gid &&
                st.st_size == other.st_size && memcmp(&st.st_mtim, &other.st_mtim, sizeof st.st_mtim) == 0 &&
                memcmp(&st.st_ctim, &other.st_ctim, sizeof st.st_ctim) == 0);
    /* the same file by another name, with another time, by its descriptor */
    assert_int_equal(renameat(dir, "file", dir, "renamed"), 0);
    assert_int_equal(utimensat(dir, "renamed", old, 0), 0);
    assert_int_equal(qs_file_look(dir, "renamed", &st, &again, NULL), QS_OK);
    assert_true(again == born && st.st_mtim.tv_sec == 2000 && st.st_atim.tv_nsec == 1);
    int fd = openat(dir, "renamed", O_RDONLY);
    assert_int_equal(qs_file_look(fd, "", &st, &again, NULL), QS_OK);
    assert_true(again == born && st.st_ino == other.st_ino);
    close(fd);
    /* a file that takes its name is another, and one that is made later was made later, whatever its inode */
    assert_int_equal(unlinkat(dir, "renamed", 0), 0);
    for (unsigned i = 0; i < 100 && again == born && born; i++) {
        const struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
        make_file("renamed", 10);
        assert_int_equal(qs_file_look(dir, "renamed", &st, &again, NULL), QS_OK);
        assert_int_equal(unlinkat(dir, "renamed", 0), 0);
    }
    assert_true(born == 0 || again > born);
    /* a link is looked at itself */
    assert_int_equal(symlinkat("nowhere", dir, "leads"), 0);
    assert_int_equal(qs_file_look(dir, "leads", &st, NULL, NULL), QS_OK);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(unlinkat(dir, "leads", 0), 0);
    st.st_size = 77;
    assert_int_equal(qs_file_look(dir, "leads", &st, &again, NULL), QS_GONE);
    assert_int_equal(st.st_size, 77);
}

static void buffers(void **state)
{
    struct qs_buffer buffer;
    const char *data;
    (void)state;
    qs_buffer_init(&buffer, root);
    assert_true(qs_buffer_add(&buffer, (struct qs_span){NULL, 0}));
    for (unsigned i = 0; i < 100000; i++)
        assert_true(qs_buffer_add_char(&buffer, byte_at(i)));
    assert_int_equal(buffer.len, 100000);
    assert_true(right_bytes((struct qs_span){buffer.data, buffer.len}, 0));
    assert_true(qs_buffer_add(&buffer, QS_SPAN("tail")));
    assert_memory_equal(buffer.data + 100000, "tail", 4);
    data = buffer.data;
    buffer.len = 0;
    assert_true(qs_buffer_reserve(&buffer, 100000));
    assert_ptr_equal(buffer.data, data);
    assert_true(qs_buffer_add_char(&buffer, 'x'));
    size_t size = buffer.size;
    assert_false(qs_buffer_reserve(&buffer, SIZE_MAX));
    assert_false(qs_buffer_reserve(&buffer, SIZE_MAX / 2));
    assert_true(buffer.len == 1 && buffer.size == size && buffer.data[0] == 'x');
    talloc_free(buffer.data);
}

static void readers(void **state)
{
    struct qs_reader *reader = qs_reader_new(root);
    (void)state;
    assert_non_null(reader);
    make_file("file", 10);
    assert_int_equal(qs_file_open(reader->message, dir, "file", NULL), QS_OK);
    assert_int_equal(qs_file_open(reader->side, dir, "file", NULL), QS_OK);
    assert_true(qs_buffer_add(&reader->content, QS_SPAN("x")));
    talloc_free(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_steps),
        cmocka_unit_test(few_calls),
        cmocka_unit_test(not_files),
        cmocka_unit_test(closed_after_failure),
        cmocka_unit_test(no_permission),
        cmocka_unit_test(changing_files),
        cmocka_unit_test(huge_file),
        cmocka_unit_test(bad_system),
        cmocka_unit_test(looks),
        cmocka_unit_test(buffers),
        cmocka_unit_test(readers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
