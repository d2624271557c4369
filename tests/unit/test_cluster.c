/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters on scans made by hand: what joins, what does not, and what must not matter. */
#include "qsurgeon/cluster.h"
#include "qsurgeon/table.h"
#include "unit.h"

struct bench {
    struct qs_scan *scan;
    struct qs_fingerprinter *f;
};

static int setup(void **state)
{
    struct bench *b = talloc_zero(root, struct bench);
    struct qs_scan_options options = {0};
    b->scan = qs_scan_new(b, &options);
    b->f = qs_fingerprinter_new(b);
    *state = b;
    return b->scan && b->f ? 0 : -1;
}

static int teardown(void **state)
{
    talloc_free(*state);
    return 0;
}

static void add(struct bench *b, const char *text, int n)
{
    struct qs_message *m = qs_scan_append(b->scan, 1);
    assert_non_null(m);
    char id[32];
    snprintf(id, sizeof id, "ID%05d", n);
    m->id = qs_scan_strdup(b->scan, qs_span_of(id));
    m->arrival = 1000 + n;
    qs_fingerprint_text(b->f, qs_span_of(text), &m->print);
}

/* `count` words that depend on `seed` alone. */
static void words(char *to, size_t size, uint64_t seed, unsigned count)
{
    size_t len = strlen(to);
    for (unsigned i = 0; i < count && len + 12 < size; i++) {
        uint64_t r = qs_mix64(seed * 1000 + i);
        to[len++] = ' ';
        for (unsigned k = 0; k < 4 + r % 5; k++)
            to[len++] = (char)('a' + (r >> (8 + 5 * k)) % 26);
        to[len] = '\0';
    }
}

/* A campaign's message: 100 words of its own, `noise` random words behind them. */
static void add_variant(struct bench *b, unsigned campaign, unsigned noise, int n)
{
    char text[4096] = "";
    words(text, sizeof text, campaign, 100);
    words(text, sizeof text, 77000 + (uint64_t)n, noise);
    add(b, text, n);
}

static struct qs_clusters *run(struct bench *b)
{
    struct qs_clusters *c = NULL;
    struct qs_error err = {""};
    assert_int_equal(qs_cluster(b, b->scan, &c, &err), QS_OK);
    return c;
}

static void test_empty(void **state)
{
    struct qs_clusters *c = run(*state);
    assert_int_equal(c->count, 0);
}

static void test_campaigns_apart(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 300; i++)
        add_variant(b, 1 + (unsigned)i % 3, (unsigned)(i * 7 % 50), i);
    for (int i = 300; i < 340; i++)
        add_variant(b, 1000 + (unsigned)i, 0, i);           /* nobody's */
    struct qs_clusters *c = run(b);
    assert_int_equal(c->count, 3);
    for (uint32_t i = 0; i < 300; i++)
        assert_int_equal(c->of[i], c->of[i % 3]);
    for (uint32_t i = 300; i < 340; i++)
        assert_int_equal(c->of[i], QS_NO_CLUSTER);
    for (uint32_t k = 0; k < 3; k++) {
        assert_int_equal(c->item[k].count, 100);
        assert_true(c->item[k].cohesion > 0.5f);
    }
}

/* Neighbours share five sixths of their words, the ends share nothing. A group reaches a few links to both sides of its
 * consensus, a profile a few more: but no cluster may span the chain. */
static void test_no_chain(void **state)
{
    struct bench *b = *state;
    enum { LINKS = 60 };
    for (int i = 0; i < LINKS; i++) {
        char text[4096] = "";
        for (int k = 0; k < 6; k++)
            words(text, sizeof text, 5000 + (uint64_t)(i + k), 20);
        add(b, text, i);
    }
    struct qs_clusters *c = run(b);
    for (uint32_t k = 0; k < c->count; k++) {
        uint32_t low = LINKS, high = 0;
        for (uint32_t j = 0; j < c->item[k].count; j++) {
            uint32_t at = c->member[c->item[k].first + j];
            low = at < low ? at : low;
            high = at > high ? at : high;
        }
        assert_in_range(high - low, 0, LINKS / 2);
    }
}

static uint64_t partition(const struct bench *b, const struct qs_clusters *c)
{
    uint64_t sum = 0;               /* over (queue ID, name of its cluster): no order in it */
    for (uint32_t i = 0; i < b->scan->count; i++) {
        uint64_t h = 0;
        for (const char *p = b->scan->messages[i].id; *p; p++)
            h = qs_mix64(h + (unsigned char)*p);
        for (const char *p = c->of[i] == QS_NO_CLUSTER ? "-" : c->item[c->of[i]].name; *p; p++)
            h = qs_mix64(h + (unsigned char)*p);
        sum += h;
    }
    return sum;
}

static void test_order_is_nothing(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 400; i++)
        add_variant(b, 1 + (unsigned)i % 7, (unsigned)(i * 13 % 90), i);
    uint64_t before = partition(b, run(b));
    for (uint32_t i = b->scan->count - 1; i > 0; i--) {
        uint32_t k = (uint32_t)(qs_mix64(i) % (i + 1));
        struct qs_message t = b->scan->messages[i];
        b->scan->messages[i] = b->scan->messages[k];
        b->scan->messages[k] = t;
    }
    assert_true(partition(b, run(b)) == before);
}

/* A queue that moved by a few percent keeps the names that the admin has on the screen. */
static void test_names_stay(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 300; i++)
        add_variant(b, 1 + (unsigned)i % 3, (unsigned)(i * 7 % 40), i);
    struct qs_clusters *c = run(b);
    char name[3][QS_CLUSTER_NAME];
    for (unsigned k = 0; k < 3; k++)
        memcpy(name[k], c->item[c->of[k]].name, QS_CLUSTER_NAME);
    for (int i = 300; i < 330; i++)
        add_variant(b, 1 + (unsigned)i % 3, 5, i);
    c = run(b);
    for (unsigned k = 0; k < 3; k++)
        assert_string_equal(c->item[c->of[k]].name, name[k]);
}

static void test_without_text(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 6; i++) {
        add(b, "", i);
        b->scan->messages[i].attachment = i < 3 ? 17 : 0;       /* three pictures, three messages with nothing at all */
    }
    struct qs_clusters *c = run(b);
    assert_int_equal(c->count, 1);
    assert_int_equal(c->item[0].count, 3);
    assert_int_equal(c->of[3], QS_NO_CLUSTER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_campaigns_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_is_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_text, setup, teardown),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
