/* SPDX-License-Identifier: Apache-2.0 */
/* Sketches: golden vectors, the estimate against the truth, and what must stay alike and what must not. */
#include "unit.h"

#include <stdlib.h>

#include "qsurgeon/fingerprint.h"

enum { TEXT = 16384 };

static struct qs_fingerprinter *printer;
static uint32_t seed;

static uint32_t next_random(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)seed * below >> 32);
}

static struct qs_fingerprint print_of(const char *text)
{
    struct qs_fingerprint f;
    qs_fingerprint_text(printer, qs_span_of(text), &f);
    return f;
}

static double alike(const char *a, const char *b)
{
    struct qs_fingerprint x = print_of(a), y = print_of(b);
    return qs_sketch_similarity(&x.sketch, &y.sketch);
}

/* A word of letters only for each number. */
static size_t put_word(char *to, uint32_t number)
{
    size_t n = 0;
    for (number += 26 * 26; number > 0; number /= 26) {
        to[n++] = (char)('a' + number % 26);
    }
    return n;
}

/* count words of a vocabulary, blank-separated. */
static void put_text(char *to, unsigned count, uint32_t vocabulary)
{
    size_t n = 0;
    for (unsigned i = 0; i < count; i++) {
        n += put_word(to + n, next_random(vocabulary));
        to[n++] = ' ';
    }
    to[n] = '\0';
}

static void golden(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bins;
        uint64_t body;
        unsigned words, shingles;
    } vectors[] = {
        { "",
          "0000000000000000000000000000000000000000000000000000000000000000"
          "0000000000000000000000000000000000000000000000000000000000000000",
          0, 0, 0 },
        { "Hello",
          "6464646464646464646464646464646464646464646464646464646464646464"
          "6464646464646464646464646464646464646464646464646464646464646464",
          UINT64_C(0xb475014e03674818), 1, 1 },
        { "The quick brown fox jumps over the lazy dog.",
          "0ccd74cdd50c3737d5ab37d5d537cdab0c0c0c0cd574d537abd5cd37d5d50cd5"
          "74d5cd74abd574d574cdab74cdd537cdab37d5cdab74740c74cdcdabd50c0cd5",
          UINT64_C(0x82845b8cf6b9c598), 9, 6 },
        { "Dear Ms. M\xc3\xbcller, your invoice 4711 of 1,299.00 EUR is due: "
          "https://pay.shop24.example/i?x=1 or write to "
          "billing@shop24.example. \xe4\xbd\xa0\xe5\xa5\xbd P\xd0\xb0ypal, Via\xe2\x80\x8bgra!",
          "3cfefee6709fc78b5eae625ebf62ebae3c62ae0c70ae5ebf0c624d1b1beb3c70"
          "c770626595ca65eb655ee6cafe709fe65e4debca1b0c5e3c650c5e950c0ccaeb",
          UINT64_C(0x3e4c834a35480b57), 22, 20 },
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct qs_fingerprint f = print_of(vectors[i].text);
        char hex[2 * QS_SKETCH_BINS + 1];
        for (unsigned b = 0; b < QS_SKETCH_BINS; b++) {
            snprintf(hex + 2 * b, 3, "%02x", f.sketch.bin[b]);
        }
        assert_string_equal(hex, vectors[i].bins);
        assert_int_equal(f.body_hash, vectors[i].body);
        assert_int_equal(f.words, vectors[i].words);
        assert_int_equal(f.shingles, vectors[i].shingles);
    }
}

static void short_texts(void **state)
{
    (void)state;
    struct qs_fingerprint none = print_of(" .,- "), one = print_of("hello"), two = print_of("hello world"),
        three = print_of("hello big world");
    assert_int_equal(none.shingles, 0);
    assert_int_equal(none.body_hash, 0);
    assert_int_equal(one.shingles, 1);
    assert_int_equal(two.shingles, 1);
    assert_int_equal(three.shingles, 1);
    assert_int_equal(one.words, 1);
    assert_int_equal(three.words, 3);
    assert_true(one.body_hash != two.body_hash && two.body_hash != three.body_hash);
    for (unsigned b = 1; b < QS_SKETCH_BINS; b++) {     /* every bin asks the only one that is filled */
        assert_int_equal(one.sketch.bin[b], one.sketch.bin[0]);
    }
    /* repetition adds words, not shingles */
    char text[TEXT];
    size_t n = 0;
    for (unsigned i = 0; i < 500; i++) {
        memcpy(text + n, "buy now ", 8);
        n += 8;
    }
    text[n] = '\0';
    struct qs_fingerprint repeated = print_of(text);
    assert_int_equal(repeated.words, 1000);
    assert_in_range(repeated.shingles, 1, 2);
}

static void order_counts(void **state)
{
    (void)state;
    struct qs_fingerprint a = print_of("one two three four"), b = print_of("four three two one"),
        c = print_of("ONE, two;  Three\nFOUR!");
    assert_true(a.body_hash != b.body_hash);
    assert_true(a.body_hash == c.body_hash);
    assert_memory_equal(&a.sketch, &c.sketch, sizeof(a.sketch));
}

/* Distinct shingles are counted well enough to tell a weak fingerprint from a strong one. */
static void counting(void **state)
{
    (void)state;
    char text[TEXT];
    for (unsigned words = 4; words < 1000; words += 1 + words / 7) {
        put_text(text, words, 1u << 20);
        struct qs_fingerprint f = print_of(text);
        assert_int_equal(f.words, words);
        assert_in_range(f.shingles, (words - 2) * 2 / 3, words - 2);
    }
}

/* Two texts that share a part: the share of common shingles is known. */
static void estimate(void **state)
{
    (void)state;
    double error = 0, bias = 0;
    unsigned pairs = 0;
    for (unsigned common = 0; common <= 300; common += 30) {
        for (unsigned round = 0; round < 20; round++, pairs++) {
            char a[TEXT], b[TEXT];
            unsigned own = 300 - common;
            put_text(a, common, 1u << 20);
            memcpy(b, a, sizeof(b));
            put_text(a + strlen(a), own, 1u << 20);
            put_text(b + strlen(b), own, 1u << 20);
            double shared = common > 2 ? common - 2 : 0, truth = shared / (2 * 298.0 - shared),
                   got = alike(a, b);
            error += (got - truth) * (got - truth);
            bias += got - truth;
        }
    }
    error /= pairs;
    bias /= pairs;
    assert_true(error < 0.06 * 0.06);
    assert_true(bias > -0.02 && bias < 0.02);
}

/* Texts that have nothing in common agree in one bin of 256. */
static void strangers(void **state)
{
    (void)state;
    unsigned matches = 0, worst = 0, pairs = 2000;
    for (unsigned i = 0; i < pairs; i++) {
        char a[TEXT], b[TEXT];
        put_text(a, 20 + i % 400, 1u << 20);
        put_text(b, 20 + i % 400, 1u << 20);
        struct qs_fingerprint x = print_of(a), y = print_of(b);
        unsigned n = qs_sketch_matches(&x.sketch, &y.sketch);
        matches += n;
        worst = n > worst ? n : worst;
    }
    assert_in_range(matches, pairs / 8, pairs / 2);
    assert_true(worst <= 8);
}

/* What hash-busting senders add. Text of 120 words. */
static void variants(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 50; round++) {
        char base[TEXT], other[TEXT], text[TEXT + 512];
        put_text(base, 120, 5000);
        put_text(other, 120, 5000);
        assert_true(alike(base, other) < 0.15);

        memcpy(mempcpy(text, "Dear J. Random, ", 16), base, strlen(base) + 1);     /* a name in front */
        assert_true(alike(base, text) > 0.85);

        put_text(other, 40, 1u << 20);                                     /* a third more words behind */
        memcpy(mempcpy(text, base, strlen(base)), other, strlen(other) + 1);
        assert_true(alike(base, text) > 0.5);

        size_t n = 0;                                                      /* every 20th word is another */
        unsigned count = 0;
        for (const char *p = base; *p != '\0';) {
            size_t len = strcspn(p, " ") + 1;
            if (++count % 20 == 0) {
                n += put_word(text + n, (1u << 21) + next_random(1u << 20));
                text[n++] = ' ';
            } else {
                memcpy(text + n, p, len);
                n += len;
            }
            p += len;
        }
        text[n] = '\0';
        assert_true(alike(base, text) > 0.5);

        n = 0; /* invisible and look-alike letters */
        for (const char *p = base; *p != '\0'; p++) {
            if (*p == 'o') {
                n += (size_t)snprintf(text + n, sizeof(text) - n, "\xd0\xbe");
            } else if (*p == 'a' && next_random(2) == 0) {
                n += (size_t)snprintf(text + n, sizeof(text) - n, "\xd0\xb0\xe2\x80\x8d");
            } else {
                text[n++] = (char)(*p >= 'a' && next_random(3) == 0 ? *p - 32 : *p);
            }
            if (n > TEXT) {
                break;
            }
        }
        text[n] = '\0';
        struct qs_fingerprint a = print_of(base), b = print_of(text);
        assert_true(a.body_hash == b.body_hash);
    }
}

static void matches(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 1000; round++) {
        struct qs_sketch a, b;
        unsigned expected = 0;
        for (unsigned i = 0; i < QS_SKETCH_BINS; i++) {
            a.bin[i] = (uint8_t)next_random(256);
            b.bin[i] = next_random(1000) < round ? a.bin[i] : (uint8_t)next_random(256);
            expected += a.bin[i] == b.bin[i];
        }
        assert_int_equal(qs_sketch_matches(&a, &b), expected);
    }
    struct qs_sketch same = { { 1, 2, 3 } };
    assert_int_equal(qs_sketch_matches(&same, &same), QS_SKETCH_BINS);
    assert_true(qs_sketch_similarity(&same, &same) == 1.0);
}

static void hosts(void **state)
{
    (void)state;
    uint32_t one = qs_host_hash(QS_SPAN("www.example.com"));
    assert_int_equal(one, qs_host_hash(QS_SPAN("MAIL.Example.COM")));
    assert_int_equal(one, qs_host_hash(QS_SPAN("example.com")));
    assert_int_not_equal(one, qs_host_hash(QS_SPAN("example.org")));
    assert_int_not_equal(qs_host_hash(QS_SPAN("a.co.uk")), qs_host_hash(QS_SPAN("b.co.uk")));
    assert_int_equal(qs_host_hash(QS_SPAN("a.b.co.uk")), qs_host_hash(QS_SPAN("b.co.uk")));
}

/* Any bytes, cut anywhere, in a block of their own size. */
static void hostile(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3000; round++) {
        size_t n = next_random(round % 100 == 0 ? 70000 : 400);
        char *text = malloc(n > 0 ? n : 1);
        assert_non_null(text);
        for (size_t i = 0; i < n; i++) {
            uint32_t any = next_random(256);
            text[i] = round % 3 == 0   ? (char)any
                      : round % 3 == 1 ? "a@:/.w0 \xd0\xb0"[any % 10]
                                       : (char)(any | 0x80);
        }
        struct qs_fingerprint f;
        qs_fingerprint_text(printer, (struct qs_span){ text, n }, &f);
        assert_true((f.words == 0) == (f.shingles == 0));
        assert_true((f.words == 0) == (f.body_hash == 0));
        free(text);
    }
}

static int setup(void **state)
{
    int result = root_setup(state);
    printer = qs_fingerprinter_new(root);
    return printer == NULL ? -1 : result;
}

static int teardown(void **state)
{
    talloc_free(printer);
    return root_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),   cmocka_unit_test(short_texts), cmocka_unit_test(order_counts),
        cmocka_unit_test(counting), cmocka_unit_test(estimate),    cmocka_unit_test(strangers),
        cmocka_unit_test(variants), cmocka_unit_test(matches),     cmocka_unit_test(hosts),
        cmocka_unit_test(hostile),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
