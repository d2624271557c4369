/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns: what they mean, what is refused, and that no pattern and no text can stall them. */
#include "unit.h"

#include <stdlib.h>

#include "../../qsurgeon/select/pattern.h"

static bool finds(const char *text, struct qs_span in)
{
    struct qs_pattern *pattern = NULL;
    struct qs_error err = {""};
    bool found = false;
    assert_int_equal(qs_pattern_new(root, text, &pattern, &err), QS_OK);
    assert_int_equal(qs_pattern_find(pattern, in, &found, &err), QS_OK);
    talloc_free(pattern);
    return found;
}

static void test_meaning(void **state)
{
    (void)state;
    assert_true(finds("spam", QS_SPAN("cheap SPAM here")));             /* caseless, unanchored */
    assert_false(finds("^spam", QS_SPAN("cheap spam")));
    assert_true(finds("@example\\.org$", QS_SPAN("bob@EXAMPLE.ORG")));
    assert_false(finds("@example\\.org$", QS_SPAN("bob@example.org.invalid")));
    assert_true(finds("^$", QS_SPAN("")));
    assert_true(finds("^$", (struct qs_span){NULL, 0}));
    assert_true(finds("m\u00dcller", QS_SPAN("Herr M\u00fcller")));     /* Unicode case */
    assert_true(finds("^.{3}$", QS_SPAN("\u20ac\u20ac\u20ac")));        /* characters, not bytes */
    assert_true(finds("\\w{6}", QS_SPAN("\u043f\u0440\u0438\u0432\u0435\u0442")));
    assert_true(finds("(?-i)ABC", QS_SPAN("ABC")));
    assert_false(finds("(?-i)ABC", QS_SPAN("abc")));
    assert_true(finds("a/b", QS_SPAN("a/b")));
}

/* Bytes that are no UTF-8 are neither an error nor a hit; what stands around them is found. */
static void test_broken_text(void **state)
{
    (void)state;
    assert_true(finds("viagra", QS_SPAN("\xff\xfe viagra \xc3")));
    assert_true(finds("^\\x{fc}", QS_SPAN("\xc3\xbc\xff")));
    assert_false(finds("\\x{fc}", QS_SPAN("\xfc")));
    assert_true(finds("b$", QS_SPAN("\x80\x80\x80\x80" "b")));
}

static void test_refused(void **state)
{
    static const char *const wrong[] = {
        "(",   "[a",          "a{2,1}", "*",       "(?<n>a)(?<n>b)", "\\",           "(?P<",
        "\\C", "\\x{110000}", "\xff",   "a(?{1})", "\\p{Nonsense}",  "(*NOSUCHVERB)"};
    struct qs_pattern *pattern = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct qs_error err = {""};
        if (qs_pattern_new(root, wrong[i], &pattern, &err) != QS_USAGE)
            fail_msg("'%s' was not refused", wrong[i]);
        assert_non_null(strstr(err.text, "pattern '"));
        assert_null(pattern);
    }
    struct qs_error err = {""};
    assert_int_equal(qs_pattern_new(root, "", &pattern, &err), QS_USAGE);
    assert_non_null(strstr(err.text, "empty"));
    char *longest = malloc(20001);
    assert_non_null(longest);
    memset(longest, 'a', 20000);
    longest[20000] = '\0';
    assert_int_equal(qs_pattern_new(root, longest, &pattern, &err), QS_USAGE);
    memset(longest, '(', 20000);
    longest[9000] = '\0';
    assert_int_equal(qs_pattern_new(root, longest, &pattern, &err), QS_USAGE);
    free(longest);
    assert_int_equal(qs_pattern_new(root, "((((a{1000}){1000}){1000}){1000})", &pattern, &err), QS_USAGE);
}

/* Patterns that backtrack for ever give up, with a clear text, and never as "not found". */
static void test_bounded(void **state)
{
    static const char *const slow[] = {
        "^(a+)+$", "^(a|aa)+$", "(a*)*[bc]", "(x+x+)+[yz]", "^(([a-z])+.)+[A-Z]([a-z])+$", "(*NO_JIT)^(a+)+$",
        "(*LIMIT_MATCH=4000000000)^(a+)+$",
        "(*NO_JIT)(*LIMIT_MATCH=4000000000)(*LIMIT_DEPTH=4000000000)^(a|aa)+$",
    };
    char text[1000];
    (void)state;
    memset(text, 'a', sizeof text);
    memset(text, 'x', sizeof text / 4);
    for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++) {
        struct qs_pattern *pattern = NULL;
        struct qs_error err = {""};
        bool found = false;
        /* two texts: all the same letter, and two runs, each ending in what does not match */
        char one[1000];
        memset(one, 'a', sizeof one);
        one[sizeof one - 1] = '!';
        text[sizeof text - 1] = '!';
        assert_int_equal(qs_pattern_new(root, slow[i], &pattern, &err), QS_OK);
        enum qs_status first = qs_pattern_find(pattern, (struct qs_span){one, sizeof one}, &found, &err);
        enum qs_status second = qs_pattern_find(pattern, (struct qs_span){text, sizeof text}, &found, &err);
        if (first != QS_USAGE && second != QS_USAGE)
            fail_msg("'%s' came to an end", slow[i]);
        assert_non_null(strstr(err.text, "too many steps"));
        assert_false(found);
        /* and it still works on what is easy */
        assert_int_equal(qs_pattern_find(pattern, QS_SPAN("!"), &found, &err), QS_OK);
        talloc_free(pattern);
    }
}

/* Deep recursion and a text that needs much of the JIT's stack come back. */
static void test_deep(void **state)
{
    struct qs_pattern *pattern = NULL;
    struct qs_error err = {""};
    bool found = false;
    size_t size = 200000;
    char *text = malloc(size);
    (void)state;
    assert_non_null(text);
    memset(text, '(', size);
    assert_int_equal(qs_pattern_new(root, "(\\((?1)*\\))z", &pattern, &err), QS_OK);
    enum qs_status status = qs_pattern_find(pattern, (struct qs_span){text, size}, &found, &err);
    assert_true(status == QS_USAGE || (status == QS_OK && !found));
    talloc_free(pattern);
    memset(text, 'a', size);
    assert_int_equal(qs_pattern_new(root, "^(?:.|\\n)+b", &pattern, &err), QS_OK);
    status = qs_pattern_find(pattern, (struct qs_span){text, size}, &found, &err);
    assert_true(status == QS_USAGE || (status == QS_OK && !found));
    talloc_free(pattern);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meaning),  cmocka_unit_test(test_broken_text), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounded),  cmocka_unit_test(test_deep),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
