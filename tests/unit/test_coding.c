/* SPDX-License-Identifier: Apache-2.0 */
/* Transfer encodings and charsets. */
#include "unit.h"

#include <stdlib.h>

#include "../../qsurgeon/scan/coding.h"

typedef size_t decoder(char *to, size_t size, struct qs_span in, bool *odd);

/* Decodes from and into blocks of their own sizes. */
static void assert_decodes(decoder *decode, const char *text, const char *expected, size_t len, bool is_odd)
{
    size_t n = strlen(text);
    char *in = malloc(n > 0 ? n : 1), *to = malloc(n > 0 ? n : 1);
    assert_non_null(in);
    assert_non_null(to);
    memcpy(in, text, n);
    for (size_t size = 0; size <= n; size++) {
        bool odd = false;
        size_t got = decode(to, size, (struct qs_span){ in, n }, &odd);
        assert_true(got <= size && got <= len);
        assert_memory_equal(to, expected, got);
        if (size == n) {
            assert_int_equal(got, len);
            assert_int_equal(odd, is_odd);
        }
    }
    free(in);
    free(to);
}

static void base64(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
        bool odd;
    } cases[] = {
        { "", "", false }, { "YQ==", "a", false }, { "YWI=", "ab", false }, { "YWJj", "abc", false },
        { "YWJjZGVmZ2hpamts", "abcdefghijkl", false }, { "YWJj\nZGVm\r\nZ2hp\n", "abcdefghi", false },
        { "Y W\tJ\nj", "abc", false }, { "YQ==YWI=", "aab", false },        /* pieces in a row */
        { "YWJjZA", "abcd", false }, { "YWJjZGU", "abcde", false },         /* no padding */
        { "YW*Jj", "abc", true }, { "Y", "", false }, { "=", "", false }, { "====", "", false },
        { "--YWJj", "abc", true },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_decodes(base64_decode, cases[i].text, cases[i].expected, strlen(cases[i].expected),
                       cases[i].odd);
    }
    /* every byte value, every length */
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t n = 0; n < 300; n++) {
        unsigned char raw[302] = { 0 };
        char text[500];
        size_t t = 0;
        for (size_t i = 0; i < n; i++) {
            raw[i] = (unsigned char)(i * 7 + n);
        }
        for (size_t i = 0; i < n; i += 3) {
            uint32_t v = (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | raw[i + 2];
            for (int shift = 18; shift >= 0; shift -= 6) {
                text[t++] = letters[v >> shift & 63];
            }
            if (i % 57 == 54) {
                text[t++] = '\n';
            }
        }
        if (n % 3 != 0) {
            size_t end = t - (text[t - 1] == '\n');
            memset(text + end - (3 - n % 3), '=', 3 - n % 3);
        }
        text[t] = '\0';
        assert_decodes(base64_decode, text, (char *)raw, n, false);
    }
}

static void quoted_printable(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
        bool odd;
    } cases[] = {
        { "", "", false },
        { "plain", "plain", false },
        { "a=3Db", "a=b", false },
        { "=e4=E4", "\xe4\xe4", false },
        { "a=\nb", "ab", false },
        { "a=\r\nb", "ab", false },
        { "a= \t\r\nb", "ab", false },
        { "a=", "a", false },
        { "a= ", "a", false },
        { "=zz=1", "=zz=1", true },
        { "a=\n\nb", "a\nb", false },
        { "a==\nb", "a=b", true },
        { "0123456789abcdef=300123456789abcdefghijklmnopqrstuvwxyz=\n!",
          "0123456789abcdef00123456789abcdefghijklm"
          "nopqrstuvwxyz!",
          false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t n = strlen(cases[i].text);
        char *in = malloc(n > 0 ? n : 1), *to = malloc(n > 0 ? n : 1);
        assert_non_null(in);
        assert_non_null(to);
        memcpy(in, cases[i].text, n);
        bool odd = false;
        size_t got = quoted_printable_decode(to, n, (struct qs_span){ in, n }, &odd);
        assert_int_equal(got, strlen(cases[i].expected));
        assert_memory_equal(to, cases[i].expected, got);
        assert_int_equal(odd, cases[i].odd);
        for (size_t size = 0; size < n; size++) {       /* a short output takes a beginning of the input */
            assert_true(quoted_printable_decode(to, size, (struct qs_span){ in, n }, &odd) <= size);
        }
        free(in);
        free(to);
    }
}

static void assert_charset(const char *charset, const char *bytes, size_t len, const char *expected)
{
    char to[300];
    struct charset found = charset_find(qs_span_of(charset));
    size_t n = charset_decode(to, sizeof(to), (struct qs_span){ bytes, len }, found),
           whole = strlen(expected);
    if (n != whole || memcmp(to, expected, n) != 0) {
        fail_msg("%s: \"%.*s\" is not \"%s\"", charset, (int)n, to, expected);
    }
    for (size_t size = 0; size < n; size++) {           /* cut at a character's edge */
        char *exact = malloc(size > 0 ? size : 1);
        assert_non_null(exact);
        size_t got = charset_decode(exact, size, (struct qs_span){ bytes, len }, found);
        assert_true(got <= size && size - got < 4);
        assert_memory_equal(exact, expected, got);
        assert_true((expected[got] & 0xc0) != 0x80);
        free(exact);
    }
}

static void charsets(void **state)
{
    (void)state;
    static const struct {
        const char *charset, *bytes, *expected;
    } cases[] = {
        { "us-ascii", "abc", "abc" },
        { "", "caf\xc3\xa9", "caf\xc3\xa9" },
        { "UTF-8", "\xc3\xa9\xff\x93", "\xc3\xa9\xc3\xbf\xe2\x80\x9c" },
        { "iso-8859-1", "\xe9\x80", "\xc3\xa9\xe2\x82\xac" },
        { "ISO_8859-15", "\xa4", "\xe2\x82\xac" },
        { "windows-1252", "\x93x\x94", "\xe2\x80\x9cx\xe2\x80\x9d" },
        { "iso-8859-2", "\xb1\xb3", "\xc4\x85\xc5\x82" },
        { "windows-1250", "\xb9\xb3", "\xc4\x85\xc5\x82" },
        { "windows-1251", "\xcf\xf0", "\xd0\x9f\xd1\x80" },
        { "koi8-r", "\xf0\xd2", "\xd0\x9f\xd1\x80" },
        { "koi8-u", "\xa4", "\xd1\x94" },
        { "iso-8859-5", "\xbf\xe0", "\xd0\x9f\xd1\x80" },
        { "iso-8859-7", "\xe1", "\xce\xb1" },
        { "windows-1253", "\xe1", "\xce\xb1" },
        { "iso-8859-9", "\xfd", "\xc4\xb1" },
        { "windows-1254", "\xfe", "\xc5\x9f" },
        { "x-unknown", "\xe9", "\xc3\xa9" },
        { "utf-7", "a+AOQ-b +- +AOQA9g x+",
          "a\xc3\xa4"
          "b + \xc3\xa4\xc3\xb6 x+" },
        { "unicode-1-1-utf-7", "+2D3eAA-", "\xf0\x9f\x98\x80" },
        { "shift_jis",
          "\x83\x65\xb1"
          "a",
          "\xf3\xb8\x8d\xa5\xf3\xb0\x82\xb1"
          "a" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_charset(cases[i].charset, cases[i].bytes, strlen(cases[i].bytes), cases[i].expected);
    }
    assert_charset("utf-16", "\xfe\xff\0a\0\xe4", 6, "a\xc3\xa4");
    assert_charset("utf-16", "\xff\xfe" "a\0\xe4\0", 6, "a\xc3\xa4");
    assert_charset("utf-16", "\0a\0\xe4", 4, "a\xc3\xa4");
    assert_charset("utf-16", "a\0b\0", 4, "ab");
    assert_charset("utf-16le", "\x3d\xd8\0\xde" "a", 5, "\xf0\x9f\x98\x80");
    assert_charset("utf-16be", "\xde\0\0a", 4, "\xef\xbf\xbd" "a");
    /* ISO-2022-JP and EUC-JP of one text give the same opaque letters; lines end the shift */
    char a[64], b[64];
    size_t n = charset_decode(a, sizeof(a), QS_SPAN("\x1b$B$\"$$\x1b(B x\n"),
                              charset_find(QS_SPAN("iso-2022-jp")));
    size_t m = charset_decode(b, sizeof(b), QS_SPAN("\xa4\xa2\xa4\xa4 x\n"), charset_find(QS_SPAN("euc-jp")));
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    assert_charset("iso-2022-kr", "\x1b$)C\x0e" "!!\x0f" "a", 9, "\xf3\xba\x86\xa1" "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64), cmocka_unit_test(quoted_printable), cmocka_unit_test(charsets),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
