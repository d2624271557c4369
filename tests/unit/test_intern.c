/* SPDX-License-Identifier: Apache-2.0 */
/* The string table, alone, with many threads and without memory. Linked so that its malloc can be made to
 * fail. */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>

#include "qsurgeon/intern.h"

/* How many more allocations succeed; SIZE_MAX: all. */
static size_t allocations_left = SIZE_MAX;

static bool may_allocate(void)
{
    if (allocations_left == SIZE_MAX)
        return true;
    if (allocations_left == 0)
        return false;
    allocations_left--;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);

void *__wrap_malloc(size_t size)
{
    return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return may_allocate() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *block, size_t size)
{
    return may_allocate() ? __real_realloc(block, size) : NULL;
}

static struct qs_span make(char *buffer, size_t size, unsigned i)
{
    int len = snprintf(buffer, size, "user%u@host%u.example.org", i * 7919, i % 1000);
    return (struct qs_span){buffer, (size_t)len};
}

static void once(void **state)
{
    struct qs_intern *in = qs_intern_new(root);
    qs_sym a, b;
    (void)state;
    assert_non_null(in);
    assert_int_equal(qs_intern(in, QS_SPAN("")), 0);
    assert_int_equal(qs_intern(in, (struct qs_span){NULL, 0}), 0);
    assert_string_equal(qs_sym_str(in, 0), "");
    a = qs_intern(in, QS_SPAN("alice@example.org"));
    b = qs_intern(in, QS_SPAN("alice@example.org2"));
    assert_int_not_equal(a, 0);
    assert_int_not_equal(b, 0);
    assert_int_not_equal(a, b);
    assert_int_equal(qs_intern(in, QS_SPAN("alice@example.org")), a);
    assert_string_equal(qs_sym_str(in, a), "alice@example.org");
    assert_true(qs_span_is(qs_sym_span(in, b), "alice@example.org2"));
    assert_int_not_equal(qs_intern(in, QS_SPAN("Alice@example.org")), a);
    assert_int_equal(qs_intern_lower(in, QS_SPAN("ALICE@Example.ORG")), a);
    assert_int_equal(qs_intern_lower(in, QS_SPAN("")), 0);
    assert_string_equal(qs_sym_str(in, qs_intern(in, QS_SPAN("a\0b"))), "a?b");
    assert_string_equal(qs_sym_str(in, qs_intern_lower(in, QS_SPAN("\0\xc3\x84X"))), "?\xc3\x84x");
    assert_string_equal(qs_sym_str(in, qs_intern(in, QS_SPAN("\x1b\xff\n"))), "\x1b\xff\n");
    assert_false(qs_intern_failed(in));
    talloc_free(in);
}

static void cut(void **state)
{
    struct qs_intern *in = qs_intern_new(root);
    char text[QS_INTERN_MAX + 10];
    (void)state;
    memset(text, 'X', sizeof text);
    qs_sym a = qs_intern(in, (struct qs_span){text, QS_INTERN_MAX});
    assert_int_equal(qs_intern(in, (struct qs_span){text, QS_INTERN_MAX + 10}), a);
    assert_int_equal(qs_sym_span(in, a).len, QS_INTERN_MAX);
    assert_int_not_equal(qs_intern(in, (struct qs_span){text, QS_INTERN_MAX - 1}), a);
    a = qs_intern_lower(in, (struct qs_span){text, sizeof text});
    assert_int_equal(qs_sym_span(in, a).len, QS_INTERN_MAX);
    text[QS_INTERN_MAX - 1] = '\0';
    a = qs_intern(in, (struct qs_span){text, sizeof text});
    assert_int_equal(qs_sym_str(in, a)[QS_INTERN_MAX - 1], '?');
    talloc_free(in);
}

/* Many strings: each keeps its symbol and its place; the numbers fit a side table; the memory is what we
 * promise. */
static void many(void **state)
{
    enum { STRINGS = 300000 };
    struct qs_intern *in = qs_intern_new(root);
    qs_sym *syms = talloc_array(root, qs_sym, STRINGS);
    const char *first;
    size_t bytes = 0;
    char text[100];
    (void)state;
    assert_non_null(syms);
    syms[0] = qs_intern(in, make(text, sizeof text, 0));
    first = qs_sym_str(in, syms[0]);
    for (unsigned i = 0; i < STRINGS; i++) {
        struct qs_span span = make(text, sizeof text, i);
        syms[i] = qs_intern(in, span);
        bytes += span.len;
    }
    char *seen = talloc_zero_array(root, char, qs_intern_slots(in));
    assert_non_null(seen);
    for (unsigned i = 0; i < STRINGS; i++) {
        struct qs_span span = make(text, sizeof text, i);
        assert_in_range(syms[i], 1, qs_intern_slots(in) - 1);
        assert_int_equal(seen[syms[i]]++, 0);
        assert_string_equal(qs_sym_str(in, syms[i]), text);
        assert_int_equal(qs_intern(in, span), syms[i]);
    }
    assert_ptr_equal(first, qs_sym_str(in, syms[0]));
    assert_in_range(qs_intern_slots(in), STRINGS, STRINGS + STRINGS / 8);
    assert_in_range(qs_intern_size(in), bytes + STRINGS * 9, bytes + STRINGS * 14 + 64 * 16384);
    talloc_free(seen);
    talloc_free(syms);
    talloc_free(in);
}

enum { THREADS = 8, SHARED = 20000 };

struct job {
    struct qs_intern *in;
    unsigned start;
    qs_sym syms[SHARED];
};

static void *intern_all(void *argument)
{
    struct job *job = argument;
    for (unsigned i = 0; i < SHARED; i++) {
        char text[100];
        unsigned at = (i + job->start) % SHARED;
        job->syms[at] = qs_intern(job->in, make(text, sizeof text, at));
    }
    return NULL;
}

static void threads(void **state)
{
    struct qs_intern *in = qs_intern_new(root);
    struct job *jobs = talloc_array(root, struct job, THREADS);
    pthread_t thread[THREADS];
    (void)state;
    assert_non_null(jobs);
    for (unsigned t = 0; t < THREADS; t++) {
        jobs[t].in = in;
        jobs[t].start = t * 1234;
        assert_int_equal(pthread_create(&thread[t], NULL, intern_all, &jobs[t]), 0);
    }
    for (unsigned t = 0; t < THREADS; t++)
        assert_int_equal(pthread_join(thread[t], NULL), 0);
    for (unsigned i = 0; i < SHARED; i++) {
        char text[100];
        make(text, sizeof text, i);
        assert_string_equal(qs_sym_str(in, jobs[0].syms[i]), text);
        for (unsigned t = 1; t < THREADS; t++)
            assert_int_equal(jobs[t].syms[i], jobs[0].syms[i]);
    }
    talloc_free(jobs);
    talloc_free(in);
}

/* Each allocation fails once: that string is the empty one, the table says so, and what was there stays. */
static void no_memory(void **state)
{
    size_t failures = 0;
    bool failed = true;
    (void)state;
    for (size_t left = 0; failed; left++) {
        struct qs_intern *in = qs_intern_new(root);
        char text[100];
        unsigned missing = 0;
        assert_non_null(in);
        allocations_left = left;
        for (unsigned i = 0; i < 3000; i++) {
            qs_sym sym = qs_intern(in, make(text, sizeof text, i));
            if (sym == 0) {
                missing++;
                allocations_left = SIZE_MAX;
                sym = qs_intern(in, make(text, sizeof text, i));
            }
            assert_string_equal(qs_sym_str(in, sym), text);
        }
        allocations_left = SIZE_MAX;
        failed = missing > 0;
        assert_int_equal(missing, failed ? 1 : 0);
        assert_int_equal(qs_intern_failed(in), failed);
        failures += missing;
        talloc_free(in);
    }
    assert_true(failures > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(once),
        cmocka_unit_test(cut),
        cmocka_unit_test(many),
        cmocka_unit_test(threads),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
