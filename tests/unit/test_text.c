/* SPDX-License-Identifier: Apache-2.0 */
/* Spans, numbers, UTF-8, escaping, columns, short formats and statuses. */
#include "unit.h"

#include <errno.h>

#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

static void spans(void **state)
{
    struct qs_span empty = qs_span_of(NULL);
    (void)state;
    assert_true(empty.ptr == NULL && empty.len == 0);
    assert_int_equal(qs_span_of("abc").len, 3);
    assert_true(qs_span_is(empty, ""));
    assert_false(qs_span_is(empty, "a"));
    assert_true(qs_span_is(QS_SPAN("abc"), "abc"));
    assert_false(qs_span_is(QS_SPAN("abc"), "ab"));
    assert_false(qs_span_is(QS_SPAN("ab"), "abc"));
    assert_false(qs_span_is(QS_SPAN("a\0b"), "a"));
    assert_false(qs_span_is(QS_SPAN("aBc"), "abc"));
    assert_true(qs_span_is_nocase(QS_SPAN("aBZ@["), "AbZ@["));
    assert_false(qs_span_is_nocase(QS_SPAN("@"), "`"));
    assert_false(qs_span_is_nocase(QS_SPAN("abc"), "ab"));
    assert_true(qs_span_starts(empty, ""));
    assert_true(qs_span_starts(QS_SPAN("abc"), "ab"));
    assert_false(qs_span_starts(QS_SPAN("a"), "ab"));
    assert_true(qs_span_starts_nocase(QS_SPAN("FROM: x"), "From:"));
    assert_false(qs_span_starts_nocase(QS_SPAN("FRO"), "From:"));
    assert_true(qs_span_is(qs_span_trim(QS_SPAN(" \t\r\na b\r\n")), "a b"));
    assert_int_equal(qs_span_trim(QS_SPAN(" \n ")).len, 0);
    assert_int_equal(qs_span_trim(empty).len, 0);

    struct qs_span rest = QS_SPAN("a b\n\nlast"), part = empty;
    assert_true(qs_span_cut(&rest, ' ', &part));
    assert_true(qs_span_is(part, "a") && qs_span_is(rest, "b\n\nlast"));
    assert_false(qs_span_cut(&rest, ' ', &part));
    assert_true(qs_span_is(part, "a") && qs_span_is(rest, "b\n\nlast"));
    assert_true(qs_span_line(&rest, &part) && qs_span_is(part, "b"));
    assert_true(qs_span_line(&rest, &part) && part.len == 0);
    assert_false(qs_span_cut(&rest, '\n', &part));
    assert_true(qs_span_line(&rest, &part) && qs_span_is(part, "last"));
    assert_false(qs_span_line(&rest, &part));

    rest = QS_SPAN(", a,b {c, {d} e}f\t}g {h");
    static const char *const items[] = {"a", "b", "{c, {d} e}f", "}g", "{h"};
    for (size_t i = 0; i < COUNT(items); i++)
        assert_true(qs_span_item(&rest, &part) && qs_span_is(part, items[i]));
    assert_false(qs_span_item(&rest, &part));
}

static void unsigned_numbers(void **state)
{
    static const struct {
        const char *text;
        unsigned base;
        bool good;
        uint64_t value;
    } cases[] = {
        {"0", 10, true, 0}, {"007", 10, true, 7}, {"18446744073709551615", 10, true, UINT64_MAX},
        {"18446744073709551616", 10, false, 0}, {"99999999999999999999", 10, false, 0}, {"", 10, false, 0},
        {"-1", 10, false, 0}, {"+1", 10, false, 0}, {" 1", 10, false, 0}, {"1 ", 10, false, 0},
        {"1a", 10, false, 0}, {"0x10", 16, false, 0}, {"fF", 16, true, 255},
        {"FFFFFFFFFFFFFFFF", 16, true, UINT64_MAX}, {"10000000000000000", 16, false, 0},
        {"zZ", 36, true, 1295},
        {"2", 2, false, 0}, {"101", 2, true, 5}, {"1", 1, false, 0}, {"1", 37, false, 0}, {"8", 8, false, 0},
        {"\xb1", 10, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t n = 4711;
        bool good = qs_parse_u64_base(qs_span_of(cases[i].text), cases[i].base, &n);
        if (good != cases[i].good || n != (good ? cases[i].value : 4711))
            fail_msg("case %zu: \"%s\" gave %d and %llu", i, cases[i].text, good, (unsigned long long)n);
    }
    uint64_t n = 5;
    assert_false(qs_parse_u64(QS_SPAN("1\0"), &n));
    assert_false(qs_parse_u64((struct qs_span){NULL, 0}, &n));
    assert_int_equal(n, 5);
}

static void signed_numbers(void **state)
{
    int64_t n = 4711;
    (void)state;
    assert_true(qs_parse_i64(QS_SPAN("-9223372036854775808"), &n) && n == INT64_MIN);
    assert_true(qs_parse_i64(QS_SPAN("9223372036854775807"), &n) && n == INT64_MAX);
    assert_true(qs_parse_i64(QS_SPAN("-0"), &n) && n == 0);
    n = 4711;
    assert_false(qs_parse_i64(QS_SPAN("-9223372036854775809"), &n));
    assert_false(qs_parse_i64(QS_SPAN("9223372036854775808"), &n));
    assert_false(qs_parse_i64(QS_SPAN("-"), &n));
    assert_false(qs_parse_i64(QS_SPAN("--1"), &n));
    assert_false(qs_parse_i64(QS_SPAN(""), &n));
    assert_int_equal(n, 4711);
}

static void doubles(void **state)
{
    static const struct {
        const char *text;
        bool good;
        double value;
    } cases[] = {
        {"0", true, 0}, {"1.5", true, 1.5}, {"-0.25", true, -0.25}, {"0.1", true, 0.1}, {"100.0", true, 100},
        {"3.14159", true, 3.14159}, {"0.30000000000000000000000000000000000001", true, 0.3},
        {"18446744073709551615", true, 18446744073709551615.0}, {"18446744073709551616", false, 0},
        {"", false, 0}, {".5", false, 0}, {"5.", false, 0}, {"-", false, 0}, {"1.2.3", false, 0},
        {"1e5", false, 0}, {"nan", false, 0}, {"inf", false, 0}, {"1,5", false, 0}, {"-.5", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        double d = -7;
        bool good = qs_parse_double(qs_span_of(cases[i].text), &d);
        double off = d - (good ? cases[i].value : -7);
        if (good != cases[i].good || off > 1e-15 || off < -1e-15)
            fail_msg("case %zu: \"%s\" gave %d and %.17g", i, cases[i].text, good, d);
    }
}

static void durations_and_sizes(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } durations[] = {
        {"90", true, 90}, {"90s", true, 90}, {"15m", true, 900}, {"6h", true, 21600}, {"2d", true, 172800},
        {"1w", true, 604800}, {"1h30m", true, 5400}, {"1w1d1h1m1s", true, 694861}, {"0s", true, 0},
        {"9223372036854775807", true, INT64_MAX}, {"15250284452471w", true, 9223372036854460800},
        {"15250284452472w", false, 0}, {"15250284452471w4d", false, 0}, {"", false, 0}, {"-1", false, 0},
        {"-1h", false, 0}, {"1h30", false, 0}, {"30m1h", false, 0}, {"1h1h", false, 0}, {"h", false, 0},
        {"1 h", false, 0}, {"1H", false, 0}, {"1y", false, 0}, {"18446744073709551616s", false, 0},
    };
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
    } sizes[] = {
        {"500", true, 500}, {"10k", true, 10240}, {"10K", true, 10240}, {"2M", true, 2097152},
        {"1G", true, 1073741824}, {"17179869183G", true, UINT64_C(17179869183) << 30},
        {"17179869184G", false, 0}, {"k", false, 0}, {"", false, 0}, {"1kk", false, 0}, {"1.5k", false, 0},
        {"-1k", false, 0}, {"1T", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(durations); i++) {
        int64_t n = 4711;
        bool good = qs_parse_duration(qs_span_of(durations[i].text), &n);
        if (good != durations[i].good || n != (good ? durations[i].value : 4711))
            fail_msg("case %zu: \"%s\" gave %d and %lld", i, durations[i].text, good, (long long)n);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        uint64_t n = 4711;
        bool good = qs_parse_size(qs_span_of(sizes[i].text), &n);
        if (good != sizes[i].good || n != (good ? sizes[i].value : 4711))
            fail_msg("case %zu: \"%s\" gave %d and %llu", i, sizes[i].text, good, (unsigned long long)n);
    }
}

static unsigned decode(const char *text, uint32_t *c)
{
    const unsigned char *p = (const unsigned char *)text;
    return qs_utf8_decode(p, p + strlen(text), c);
}

static void utf8_round_trip(void **state)
{
    (void)state;
    for (uint32_t c = 1; c <= 0x10FFFF; c++) {
        char bytes[5] = {0};
        uint32_t back = 0;
        unsigned len = qs_utf8_encode(c, bytes);
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        if (decode(bytes, &back) != (surrogate ? 0 : len) || (!surrogate && back != c))
            fail_msg("U+%04X", (unsigned)c);
        for (unsigned cut = 1; cut < len; cut++) {
            bytes[len - cut] = '\0';
            if (decode(bytes, &back) != 0)
                fail_msg("U+%04X cut off was taken", (unsigned)c);
        }
    }
    char zero[4];
    assert_int_equal(qs_utf8_encode(0, zero), 1);
    assert_int_equal(zero[0], 0);
}

static void utf8_refused(void **state)
{
    static const char *const bad[] = {
        "\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x80\x80\x80",
        "\xF0\x8F\xBF\xBF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF",
        "\xC3(", "\xE2\x82(", "\xF0\x9F\x98(", "",
    };
    uint32_t c = 4711;
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        if (decode(bad[i], &c) != 0)
            fail_msg("case %zu was taken", i);
    assert_int_equal(c, 4711);
}

static void unsafe_characters(void **state)
{
    static const uint32_t unsafe[] = {
        0, 7, 0x1B, '\n', '\t', 0x7F, 0x80, 0x85, 0x9B, 0x9F, 0xAD, 0x61C, 0x200B, 0x200D, 0x200E, 0x200F,
        0x2028, 0x2029, 0x202A, 0x202E, 0x2060, 0x2066, 0x2069, 0xFEFF, 0xFFF9, 0xFFFB, 0xE000, 0xF8FF,
        0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0xE0001, 0xE007F, 0xF0000, 0x10FFFF, 0xD800, 0x110000,
        0xFE0F, 0xE0100, 0x3164,
    };
    static const uint32_t safe[] = {' ', '~', '\\', 0xA0, 0xAC, 0xAE, 0xE9, 0x300, 0x5D0, 0x627, 0x200A,
                                    0x2010, 0x2027, 0x202F, 0x20AC, 0x4E2D, 0xFFFC, 0xFFFD, 0x1F600,
                                    0x2FFFD, 0xFDF0};
    (void)state;
    for (size_t i = 0; i < COUNT(unsafe); i++)
        if (!qs_char_unsafe(unsafe[i]))
            fail_msg("U+%04X passes", (unsigned)unsafe[i]);
    for (size_t i = 0; i < COUNT(safe); i++)
        if (qs_char_unsafe(safe[i]))
            fail_msg("U+%04X is refused", (unsigned)safe[i]);
}

static void check_safe(struct qs_span in, const char *want)
{
    char to[200];
    size_t len = qs_text_safe(to, sizeof to, in);
    assert_string_equal(to, want);
    assert_int_equal(len, strlen(want));
}

static void safe_text(void **state)
{
    (void)state;
    check_safe((struct qs_span){NULL, 0}, "");
    check_safe(QS_SPAN("plain text"), "plain text");
    check_safe(QS_SPAN("a\\b"), "a\\b");
    check_safe(QS_SPAN("a\\b\x1b[31m"), "a\\\\b\\x1b[31m");
    check_safe(QS_SPAN("\n\\"), "\\x0a\\\\");
    check_safe(QS_SPAN("a\0b"), "a\\x00b");
    check_safe(QS_SPAN("\x7f"), "\\x7f");
    check_safe(QS_SPAN("caf\xc3\xa9 \xe4\xb8\xad"), "caf\xc3\xa9 \xe4\xb8\xad");
    check_safe(QS_SPAN("caf\xe9!"), "caf\\xe9!");
    check_safe(QS_SPAN("\xc2\x9b"), "\\u{009b}");
    check_safe(QS_SPAN("\x9b"), "\\x9b");
    check_safe(QS_SPAN("\xe2\x80\xaegnp.exe"), "\\u{202e}gnp.exe");
    check_safe(QS_SPAN("\xf3\xa0\x80\x81"), "\\u{e0001}");
    check_safe(QS_SPAN("\xed\xa0\x80"), "\\xed\\xa0\\x80");
    check_safe(QS_SPAN("\xe4\xb8"), "\\xe4\\xb8");
}

/* Whatever the size, the result is terminated, ends at a character's or escape's edge and is as long as
 * can be. */
static void safe_text_cut(void **state)
{
    static const char text[] = "a\xc3\xa9\x1b\xe4\xb8\xad\xff\xe2\x80\xae\\z";
    static const char *const pieces[] = {"a",      "\xc3\xa9", "\\x1b", "\xe4\xb8\xad",
                                         "\\xff", "\\u{202e}", "\\\\", "z"};
    (void)state;
    for (size_t size = 0; size < 40; size++) {
        char want[64] = "", *to = talloc_size(root, size);      /* a heap block: ASan watches its end */
        size_t len = 0, got;
        for (size_t i = 0; i < COUNT(pieces) && len + strlen(pieces[i]) < size; i++) {
            memcpy(want + len, pieces[i], strlen(pieces[i]) + 1);
            len += strlen(pieces[i]);
        }
        assert_non_null(to);
        got = qs_text_safe(to, size, QS_SPAN(text));
        assert_int_equal(got, len);
        if (size > 0)
            assert_string_equal(to, want);
        talloc_free(to);
    }
}

/* Every pair of bytes: what comes out is valid UTF-8 without anything unsafe. */
static void safe_text_is_safe(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        char in[2] = {(char)(pair >> 8), (char)pair}, to[32];
        size_t len = qs_text_safe(to, sizeof to, (struct qs_span){in, 2});
        const unsigned char *p = (const unsigned char *)to, *end = p + len;
        while (p < end) {
            uint32_t c = 0;
            unsigned n = qs_utf8_decode(p, end, &c);
            if (n == 0 || qs_char_unsafe(c))
                fail_msg("pair %04x gave unsafe text", pair);
            p += n;
        }
    }
}

static void columns(void **state)
{
    static const struct {
        const char *text;
        size_t columns;
    } cases[] = {
        {"", 0}, {"abc", 3}, {"caf\xc3\xa9", 4}, {"e\xcc\x81", 1}, {"\xe4\xb8\xad\xe6\x96\x87", 4},
        {"\xf0\x9f\x98\x80", 2}, {"\xef\xbd\xb1", 1}, {"\xef\xbc\xa1", 2}, {"\xea\xb0\x80", 2}, {"\xff", 1},
        {"\xe2\x82\xac", 1}, {"\xf0\xa0\x80\x80", 2}, {"\xd7\xa9\xd6\xb8", 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (qs_text_columns(qs_span_of(cases[i].text)) != cases[i].columns)
            fail_msg("case %zu: %zu columns", i, qs_text_columns(qs_span_of(cases[i].text)));
    assert_int_equal(qs_text_columns((struct qs_span){NULL, 0}), 0);
    /* 1, 2, 1, 0, 1 columns in 1, 3, 1, 2, 1 bytes */
    struct qs_span mixed = QS_SPAN("a\xe4\xb8\xad" "e\xcc\x81z");
    static const size_t fit[] = {0, 1, 1, 4, 7, 8, 8};
    for (size_t i = 0; i < COUNT(fit); i++)
        assert_int_equal(qs_text_fit(mixed, i), fit[i]);
    assert_int_equal(qs_text_fit((struct qs_span){NULL, 0}, 5), 0);
}

static void short_formats(void **state)
{
    static const struct {
        uint64_t n;
        const char *count, *bytes;
    } cases[] = {
        {0, "0", "0"}, {999, "999", "999"}, {1000, "1.0k", "1000"}, {1023, "1.0k", "1023"},
        {1234, "1.2k", "1.2k"},
        {9949, "9.9k", "9.7k"}, {9950, "10k", "9.7k"}, {12345, "12k", "12k"}, {999499, "999k", "976k"},
        {999500, "1.0M", "976k"}, {1048576, "1.0M", "1.0M"}, {12000000, "12M", "11M"},
        {UINT64_MAX, "18E", "16E"},
    };
    static const struct {
        int64_t seconds;
        const char *age;
    } ages[] = {
        {0, "0s"}, {45, "45s"}, {59, "59s"}, {60, "1m"}, {3599, "59m"}, {3600, "1h"}, {86399, "23h"},
        {86400, "1d"},
        {172800, "2d"}, {86399999, "999d"}, {86400000, "2y"}, {-5, "-5s"}, {-7200, "-2h"},
        {INT64_MAX, "999y"},
        {INT64_MIN, "-999y"},
    };
    char to[8];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(qs_text_count(to, cases[i].n), cases[i].count);
        assert_string_equal(qs_text_bytes(to, cases[i].n), cases[i].bytes);
    }
    for (size_t i = 0; i < COUNT(ages); i++)
        assert_string_equal(qs_text_age(to, ages[i].seconds), ages[i].age);
    for (unsigned shift = 0; shift < 64; shift++) {
        assert_true(strlen(qs_text_count(to, UINT64_MAX >> shift)) <= 5);
        assert_true(strlen(qs_text_bytes(to, UINT64_MAX >> shift)) <= 5);
        assert_true(strlen(qs_text_age(to, (int64_t)(UINT64_MAX >> shift))) <= 5);
    }
}

static void statuses(void **state)
{
    struct qs_error err = {"before"};
    char long_text[1000];
    (void)state;
    assert_int_equal(qs_fail(&err, QS_DATA, "record %d", 5), QS_DATA);
    assert_string_equal(err.text, "record 5");
    assert_int_equal(qs_fail(&err, QS_DATA, "message X: %s", err.text), QS_DATA);
    assert_string_equal(err.text, "message X: record 5");
    assert_int_equal(qs_fail_errno(&err, ENOENT, "%s", "q/x"), QS_GONE);
    assert_string_equal(err.text, "q/x: No such file or directory");
    assert_int_equal(qs_fail_errno(NULL, EACCES, "x"), QS_NOPERM);
    assert_int_equal(qs_fail_errno(NULL, EPERM, "x"), QS_NOPERM);
    assert_int_equal(qs_fail_errno(NULL, ENOMEM, "x"), QS_NOMEM);
    assert_int_equal(qs_fail_errno(NULL, EIO, "x"), QS_IO);
    assert_int_equal(qs_fail(NULL, QS_BUSY, "x"), QS_BUSY);
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(qs_fail_errno(&err, EIO, "%s", long_text), QS_IO);
    assert_int_equal(strlen(err.text), QS_ERROR_TEXT - 1);
    for (unsigned a = QS_OK; a <= QS_NOMEM; a++)
        for (unsigned b = QS_OK; b < a; b++)
            assert_string_not_equal(qs_status_name((enum qs_status)a), qs_status_name((enum qs_status)b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans),
        cmocka_unit_test(unsigned_numbers),
        cmocka_unit_test(signed_numbers),
        cmocka_unit_test(doubles),
        cmocka_unit_test(durations_and_sizes),
        cmocka_unit_test(utf8_round_trip),
        cmocka_unit_test(utf8_refused),
        cmocka_unit_test(unsafe_characters),
        cmocka_unit_test(safe_text),
        cmocka_unit_test(safe_text_cut),
        cmocka_unit_test(safe_text_is_safe),
        cmocka_unit_test(columns),
        cmocka_unit_test(short_formats),
        cmocka_unit_test(statuses),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
