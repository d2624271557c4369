/* SPDX-License-Identifier: Apache-2.0 */
/* The bump allocator. */
#include "unit.h"

#include "qsurgeon/arena.h"

static bool is_zero(const char *p, size_t len)
{
    while (len > 0 && *p == 0) {
        p++;
        len--;
    }
    return len == 0;
}

/* Blocks of all sizes: aligned, zeroed, apart from each other, unmoved. */
static void blocks(void **state)
{
    enum { BLOCKS = 20000 };
    struct qs_arena *arena = qs_arena_new(root);
    char **made = talloc_array(root, char *, BLOCKS);
    (void)state;
    assert_non_null(arena);
    assert_non_null(made);
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = i * 37 % 300;
        made[i] = qs_arena_alloc(arena, size);
        assert_non_null(made[i]);
        assert_int_equal((uintptr_t)made[i] % 8, 0);
        assert_true(is_zero(made[i], size));
        memset(made[i], (int)(i % 255 + 1), size);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        for (size_t k = 0; k < i * 37 % 300; k++)
            if ((unsigned char)made[i][k] != i % 255 + 1)
                fail_msg("block %zu was written over", i);
    talloc_free(made);
    talloc_free(arena);
}

static void strings(void **state)
{
    struct qs_arena *arena = qs_arena_new(root);
    (void)state;
    assert_string_equal(qs_arena_strdup(arena, QS_SPAN("one")), "one");
    assert_string_equal(qs_arena_strdup(arena, (struct qs_span){NULL, 0}), "");
    char *odd = qs_arena_strdup(arena, QS_SPAN("a\0b"));
    assert_memory_equal(odd, "a\0b", 4);
    assert_int_equal((uintptr_t)qs_arena_alloc(arena, 8) % 8, 0);
    char *words = qs_arena_alloc_words(arena, 12);
    assert_ptr_equal(qs_arena_alloc_words(arena, 4), words + 12);
    assert_int_equal((uintptr_t)words % 4, 0);
    assert_int_equal((uintptr_t)qs_arena_alloc(arena, 8) % 8, 0);
    assert_null(qs_arena_strdup(arena, (struct qs_span){"x", SIZE_MAX}));
    talloc_free(arena);
}

/* No overhead for a record; a large block neither wastes the current chunk nor is refused. */
static void sizes(void **state)
{
    struct qs_arena *arena = qs_arena_new(root);
    size_t before;
    char *small, *large, *next;
    (void)state;
    assert_int_equal(qs_arena_size(arena), 0);
    small = qs_arena_alloc(arena, 16);
    before = qs_arena_size(arena);
    large = qs_arena_alloc(arena, 3 << 20);
    assert_non_null(large);
    assert_true(is_zero(large, 3 << 20));
    assert_int_equal(qs_arena_size(arena), before + (3 << 20));
    next = qs_arena_alloc(arena, 16);
    assert_ptr_equal(next, small + 16);
    assert_null(qs_arena_alloc(arena, SIZE_MAX));
    assert_null(qs_arena_alloc(arena, SIZE_MAX - 64));
    talloc_free(arena);

    arena = qs_arena_new(root);
    for (size_t i = 0; i < 100000; i++)
        assert_non_null(qs_arena_alloc(arena, 64));
    assert_in_range(qs_arena_size(arena), 6400000, 6400000 + 256 * 1024);
    talloc_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks),
        cmocka_unit_test(strings),
        cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
