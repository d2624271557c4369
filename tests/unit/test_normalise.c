/* SPDX-License-Identifier: Apache-2.0 */
/* Visible text to words. */
#include "unit.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../../qsurgeon/scan/words.h"
#include "qsurgeon/fingerprint.h"

static char *words_of(struct qs_span text)
{
    struct qs_buffer out;
    qs_buffer_init(&out, root);
    assert_true(qs_normalise(&out, text));
    char *words = talloc_strndup(root, out.data == NULL ? "" : out.data, out.len);
    talloc_free(out.data);
    return words;
}

static void assert_words(const char *text, const char *expected)
{
    char *words = words_of(qs_span_of(text));
    assert_string_equal(words, expected);
    talloc_free(words);
}

static void letters(void **state)
{
    (void)state;
    assert_words("", "");
    assert_words(" \t\r\n.,;:!?()[]{}<>\"'", "");
    assert_words("Hello, World!", "hello world");
    assert_words("one\ntwo\r\nthree--four_five", "one two three four five");
    assert_words("don't DON\xe2\x80\x99T", "don t don t");
    assert_words("caf\xc3\xa9 CAF\xc3\x89 stra\xc3\x9f""e", "cafe cafe strase");
    assert_words("e\xcc\x81te\xcc\x81", "ete");                         /* combining accents */
    assert_words("\xc5\x81\xc3\xb3\xc5\xba \xc4\xb0stanbul", "loz istanbul");
    assert_words("\xef\xbc\xa6\xef\xbc\xb2\xef\xbc\xa5\xef\xbc\xa5", "free");       /* full width */
    assert_words("\xf0\x9d\x90\x85\xf0\x9d\x90\xab\xf0\x9d\x90\x9e\xf0\x9d\x90\x9e",
                 "free"); /* mathematical bold */
    assert_words("\xe2\x92\xbb\xe2\x93\xa1\xe2\x93\x94\xe2\x93\x94", "free");       /* circled */
    assert_words("caf\xe9 x", "caf x");                                 /* no UTF-8 */
    assert_words("\xf0\x9f\x98\x80 smile \xf0\x9f\x98\x80", "smile");
}

static void numbers(void **state)
{
    (void)state;
    assert_words("Pay 1,500.00 now", "pay 0 0 0 now");
    assert_words("a1b22c333", "a0b0c0");
    assert_words("2024-11-22", "0 0 0");
    assert_words("x\xc2\xb2 \xef\xbc\x91\xef\xbc\x92", "x0 0");
}

static void tricks(void **state)
{
    (void)state;
    /* Cyrillic a, c, e, o, p among Latin letters */
    assert_words("P\xd0\xb0y\xd1\x80\xd0\xb0l \xd0\xb0\xd1\x81\xd1\x81\xd0\xbeunt", "paypal account");
    assert_words("Via\xe2\x80\x8bgra soft\xc2\xadhyphen b\xef\xbb\xbfom", "viagra softhyphen bom");
    assert_int_equal(words_tricks(QS_SPAN("plain words only")), 0);
    assert_int_equal(words_tricks(QS_SPAN("Via\xe2\x80\x8bgra ci\xe2\x80\x8b""alis")), QS_T_ZERO_WIDTH);
    assert_int_equal(words_tricks(QS_SPAN("p\xd0\xb0y b\xd0\xb0nk")), QS_T_HOMOGLYPH);
    /* honest Russian, honest Greek, a no-break hyphen, a preheader's padding */
    assert_int_equal(
        words_tricks(QS_SPAN("\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 \xd0\xbc\xd0\xb8\xd1\x80 ok")),
        0);
    assert_int_equal(
        words_tricks(QS_SPAN("\xce\xba\xce\xb1\xce\xbb\xce\xb7 \xce\xbc\xce\xad\xcf\x81\xce\xb1")), 0);
    assert_int_equal(words_tricks(QS_SPAN("e\xe2\x80\x91mail \xe2\x80\x8c \xe2\x80\x8c \xe2\x80\x8c")), 0);
}

static void links(void **state)
{
    (void)state;
    assert_words("see http://www.Example.com/path?q=1 now", "see example.com now");
    assert_words("HTTPS://user:pw@a.b.example.co.uk:8080/x", "example.co.uk");
    assert_words("ftp://files.example.org.", "example.org");
    assert_words("(www.shop24.example) www.", "shop0.example www");
    assert_words("<http://one.example/a>,<http://two.example/b>", "one.example two.example");
    assert_words("http:// nothing", "http nothing");
    assert_words("visit\xe4\xbd\xa0http://a.example/\xe5\xa5\xbd",
                 "visit \xe4\xbd\xa0 a.example \xe5\xa5\xbd");
    assert_words("http://192.0.2.7/x", "0.0.0.0");
}

static void addresses(void **state)
{
    (void)state;
    assert_words("write to john.doe+x@mail.example.com, thanks", "write to @ thanks");
    assert_words("<a@b>", "@");
    assert_words("@home a@ b", "home a b");
    assert_words("one@a.example;two@b.example", "@ @");
    assert_words("\xe8\x81\x94\xe7\xb3\xbb""abc@x.example", "\xe8\x81\x94 \xe7\xb3\xbb @");
}

static void no_blanks(void **state)
{
    (void)state;
    assert_words("\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c",
                 "\xe4\xbd\xa0 \xe5\xa5\xbd \xe4\xb8\x96 \xe7\x95\x8c");
    assert_words("iPhone\xe6\x89\x8b\xe6\x9c\xba" "15", "iphone \xe6\x89\x8b \xe6\x9c\xba 0");
}

static void long_words(void **state)
{
    (void)state;
    char text[400];
    for (unsigned n = 1; n < 200; n++) {
        char *to = text;
        to = mempcpy(to, "ab ", 3);
        memset(to, 'x', n);
        to += n;
        memcpy(to, " cd", 4);
        char *words = words_of(qs_span_of(text));
        if (n <= QS_WORD_LETTERS) {
            assert_string_equal(words, text);
        } else {
            assert_string_equal(words, "ab cd");
        }
        talloc_free(words);
    }
    /* thirty letters of two bytes each */
    size_t n = 0;
    for (unsigned i = 0; i < QS_WORD_LETTERS; i++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "\xd0\xb6");
    }
    assert_words(text, text);
}

/* The rules for ASCII without links and addresses, written down plainly. */
static size_t naive(char *to, const char *p, size_t n)
{
    size_t len = 0, word = 0, count = 0;
    bool digits = false;
    for (size_t i = 0; i <= n; i++) {
        char c = i < n ? p[i] : ' ';
        char low = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        if (low >= 'a' && low <= 'z') {
            to[len++] = low;
            word++;
            digits = false;
        } else if (c >= '0' && c <= '9') {
            if (!digits) {
                to[len++] = '0';
                word++;
            }
            digits = true;
        } else {
            if (word > QS_WORD_LETTERS) {
                len -= word;
            } else if (word > 0) {
                to[len++] = ' ';
                count++;
            }
            word = 0;
            digits = false;
        }
    }
    return len > 0 ? len - 1 : 0;
}

static void blocks(void **state)
{
    (void)state;
    static const char alphabet[] = "abcdefXYZ019  ,.-\n";
    uint32_t random = 1;
    for (unsigned round = 0; round < 20000; round++) {
        random = random * 1664525 + 1013904223;
        size_t n = random >> 23;
        char *text = malloc(n + 1), plain[1200];     /* its own block: reading past the end is found */
        unsigned dense = random >> 8 & 3;
        for (size_t i = 0; i < n; i++) {
            random = random * 1664525 + 1013904223;
            text[i] = alphabet[(random >> 16) % (dense == 0 ? 6 : sizeof(alphabet) - 1)];
        }
        char *exact = realloc(text, n > 0 ? n : 1);
        assert_non_null(exact);
        struct qs_buffer out;
        qs_buffer_init(&out, root);
        assert_true(qs_normalise(&out, (struct qs_span){ exact, n }));
        size_t expected = naive(plain, exact, n);
        assert_int_equal(out.len, expected);
        assert_memory_equal(out.data, plain, expected);
        talloc_free(out.data);
        free(exact);
    }
}

/* The digests of the hot path are the XXH3 digests of the words that people see. */
static void digests(void **state)
{
    (void)state;
    static const char text[] =
        "Dear Ms. M\xc3\xbcller, pay 1500 to http://www.bank.example/x or write to a@b.example; "
        "supercalifragilisticexpiali \xe4\xbd\xa0\xe5\xa5\xbd V1agra internationalisation a I x";
    uint64_t hash[sizeof(text)];
    uint32_t start[sizeof(text)];
    for (size_t n = 0; n < sizeof(text); n++) {
        char *exact = malloc(n > 0 ? n : 1);
        assert_non_null(exact);
        memcpy(exact, text, n);
        size_t count = words_hash((struct qs_span){ exact, n }, hash, start), i = 0;
        char *words = words_of((struct qs_span){ exact, n });
        for (char *save, *word = strtok_r(words, " ", &save); word != NULL;
             word = strtok_r(NULL, " ", &save)) {
            assert_true(i < count);
            assert_true(hash[i] == XXH3_64bits(word, strlen(word)));
            assert_true(i == 0 || start[i] >= start[i - 1]);
            i++;
        }
        assert_int_equal(i, count);
        talloc_free(words);
        free(exact);
    }
}

static void owners(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "www.example.com", "example.com" }, { "example.com", "example.com" }, { "com", "com" }, { "", "" },
        { "a.b.c.example.co.uk", "example.co.uk" }, { "co.uk", "co.uk" }, { "x.bit.ly", "x.bit.ly" },
        { "www.example.com.", "example.com" }, { "192.0.2.7", "192.0.2.7" }, { "...", "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct qs_span owner = words_host_owner(qs_span_of(cases[i][0]));
        assert_true(qs_span_is(owner, cases[i][1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters),    cmocka_unit_test(numbers),   cmocka_unit_test(tricks),
        cmocka_unit_test(links),      cmocka_unit_test(addresses), cmocka_unit_test(no_blanks),
        cmocka_unit_test(long_words), cmocka_unit_test(blocks),    cmocka_unit_test(digests),
        cmocka_unit_test(owners),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
