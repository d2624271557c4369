/* SPDX-License-Identifier: Apache-2.0 */
/* The hash table. Linked so that its malloc can be made to fail. */
#include "unit.h"

#include <stdlib.h>

#include "qsurgeon/table.h"

static bool memory_is_out;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    return memory_is_out ? NULL : __real_malloc(size);
}

static void keys(void **state)
{
    static const uint64_t odd[] = {0, 1, UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 32, UINT64_C(1) << 63};
    struct qs_table *table = qs_table_new(root, 0);
    (void)state;
    assert_non_null(table);
    assert_int_equal(qs_table_count(table), 0);
    assert_int_equal(qs_table_get(table, 0, 77), 77);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(*qs_table_at(table, odd[i], i), i);
        assert_int_equal(*qs_table_at(table, odd[i], 99), i);
    }
    assert_int_equal(qs_table_count(table), 6);
    *qs_table_at(table, UINT64_MAX, 0) = UINT32_MAX;
    assert_int_equal(qs_table_get(table, UINT64_MAX, 0), UINT32_MAX);
    assert_int_equal(qs_table_get(table, 2, 5), 5);
    assert_int_equal(qs_table_count(table), 6);
    talloc_free(table);
}

/* Keys that differ only in the high, or only in the low bits; through many doublings; each is met once in
 * a walk. */
static void growth(void **state)
{
    enum { KEYS = 200000 };
    (void)state;
    for (unsigned shift = 0; shift <= 40; shift += 20) {
        struct qs_table *table = qs_table_new(root, 0);
        char *seen = talloc_zero_array(root, char, KEYS);
        uint32_t at = 0, value, walked = 0;
        uint64_t key;
        assert_non_null(table);
        assert_non_null(seen);
        for (uint32_t i = 0; i < KEYS; i++)
            assert_int_equal(*qs_table_at(table, (uint64_t)i << shift, i), i);
        assert_int_equal(qs_table_count(table), KEYS);
        for (uint32_t i = 0; i < KEYS; i++)
            assert_int_equal(qs_table_get(table, (uint64_t)i << shift, UINT32_MAX), i);
        while (qs_table_next(table, &at, &key, &value)) {
            assert_true(value < KEYS);
            assert_int_equal(key, (uint64_t)value << shift);
            assert_int_equal(seen[value]++, 0);
            walked++;
        }
        assert_int_equal(walked, KEYS);
        assert_false(qs_table_next(table, &at, &key, &value));
        talloc_free(seen);
        talloc_free(table);
    }
}

/* As many keys as were expected fit without growing: then no memory is needed for them. */
static void no_memory(void **state)
{
    (void)state;
    for (uint32_t expected = 1; expected < 100000; expected = expected * 3 + 1) {
        struct qs_table *table = qs_table_new(root, expected);
        uint32_t i;
        assert_non_null(table);
        memory_is_out = true;
        for (i = 0; i < expected; i++)
            if (qs_table_at(table, i, i) == NULL)
                break;
        uint32_t fitted = i;
        while (qs_table_at(table, i, i) != NULL)
            i++;
        memory_is_out = false;
        assert_int_equal(fitted, expected);
        assert_int_equal(qs_table_count(table), i);
        assert_int_equal(qs_table_get(table, i, 4711), 4711);
        assert_int_equal(*qs_table_at(table, i, 5), 5);
        assert_int_equal(qs_table_get(table, 0, 4711), 0);
        talloc_free(table);
    }
    memory_is_out = true;
    struct qs_table *table = qs_table_new(root, 1);
    memory_is_out = false;
    assert_null(table);
}

/* The values of the published generator: state 1234567 advanced by its constant. */
static void mixing(void **state)
{
    uint64_t x = 1234567;
    static const uint64_t want[] = {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
                                    UINT64_C(9817491932198370423)};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        x += UINT64_C(0x9E3779B97F4A7C15);
        assert_int_equal(qs_mix64(x), want[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),
        cmocka_unit_test(growth),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(mixing),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
