/* SPDX-License-Identifier: Apache-2.0 */
/* Signed lists of recipients: every damage is noticed, serial numbers go round, hashed lists answer as plain ones do; and what
 * they mark in a queue. */
#include "view.h"

#include "qsurgeon/recipients.h"

static unsigned char public_key[QS_PUBLIC_KEY], secret[QS_SECRET_KEY];

static struct qs_list *made(bool hashed)
{
    static const char *const addresses[] = {"joe@here.example", "Ann@HERE.example", "joe@here.example", "@all.example", "x@other.example",
                                            "a b@here.example", "nonsense", "c\nd@here.example"};
    struct qs_list *list = qs_list_new(root, "mx.here.example", 1700000000);
    unsigned char salt[QS_LIST_SALT];
    assert_non_null(list);
    assert_int_equal(qs_list_add_domain(list, QS_SPAN("here.example.")), QS_OK);
    assert_int_equal(qs_list_add_domain(list, QS_SPAN("all.example")), QS_OK);
    assert_int_equal(qs_list_add_domain(list, QS_SPAN("a b")), QS_SKIP);
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
        assert_int_equal(qs_list_add(list, qs_span_of(addresses[i])), i < 5 ? QS_OK : QS_SKIP);
    list->delimiter = '+';
    assert_int_equal(qs_salt_new(salt, NULL), QS_OK);
    assert_int_equal(qs_list_finish(list, hashed ? salt : NULL, NULL), QS_OK);
    assert_int_equal(list->addresses, 3);
    return list;
}

static void lists_answer(void **state)
{
    (void)state;
    assert_int_equal(qs_keys_new(public_key, secret, NULL), QS_OK);
    for (int hashed = 0; hashed < 2; hashed++) {
        char *text = qs_list_text(root, made(hashed), secret);
        struct qs_list *list = NULL;
        assert_int_equal(qs_list_read(root, qs_span_of(text), public_key, &list, NULL), QS_OK);
        assert_int_equal(list->serial, 1700000000);
        assert_string_equal(list->host, "mx.here.example");
        assert_int_equal(hashed, strstr(text, "joe@") == NULL);
        assert_int_equal(qs_list_has(list, QS_SPAN("JOE@here.example")), QS_LIST_EXISTS);
        assert_int_equal(qs_list_has(list, QS_SPAN("joe+list@here.example")), QS_LIST_EXISTS);
        assert_int_equal(qs_list_has(list, QS_SPAN("anything@all.example")), QS_LIST_EXISTS);
        assert_int_equal(qs_list_has(list, QS_SPAN("jo@here.example")), QS_LIST_UNKNOWN);
        assert_int_equal(qs_list_has(list, QS_SPAN("+joe@here.example")), QS_LIST_UNKNOWN);
        assert_int_equal(qs_list_has(list, QS_SPAN("x@other.example")), QS_LIST_NOT_COVERED);
        assert_int_equal(qs_list_has(list, QS_SPAN("joe")), QS_LIST_NOT_COVERED);
        assert_int_equal(qs_list_has(list, QS_SPAN("")), QS_LIST_NOT_COVERED);
    }
}

/* Cut at each byte, and each byte changed: never taken, never a crash. */
static void damage_is_noticed(void **state)
{
    (void)state;
    assert_int_equal(qs_keys_new(public_key, secret, NULL), QS_OK);
    for (int hashed = 0; hashed < 2; hashed++) {
        char *text = qs_list_text(root, made(hashed), secret);
        size_t len = strlen(text);
        struct qs_list *list = NULL;
        for (size_t i = 0; i < len; i++) {
            char *copy = talloc_memdup(root, text, i ? i : 1);
            assert_int_equal(qs_list_read(root, (struct qs_span){copy, i}, public_key, &list, NULL), QS_DATA);
            talloc_free(copy);
            for (unsigned bit = 0; bit < 8; bit++) {
                copy = talloc_strdup(root, text);
                copy[i] = (char)(copy[i] ^ 1 << bit);
                enum qs_status status = qs_list_read(root, (struct qs_span){copy, len}, public_key, &list, NULL);
                if (status != QS_DATA && !(bit == 5 && i > len - 130))      /* the case of a hexadecimal digit of the signature */
                    fail_msg("byte %zu bit %u", i, bit);
                talloc_free(copy);
            }
        }
    }
}

static void empty_and_foreign_lists_are_refused(void **state)
{
    (void)state;
    unsigned char other[QS_PUBLIC_KEY], other_secret[QS_SECRET_KEY];
    struct qs_list *list = qs_list_new(root, "h", 1), *read = NULL;
    assert_int_equal(qs_keys_new(public_key, secret, NULL), QS_OK);
    assert_int_equal(qs_keys_new(other, other_secret, NULL), QS_OK);
    assert_int_equal(qs_list_add_domain(list, QS_SPAN("here.example")), QS_OK);
    assert_int_equal(qs_list_finish(list, NULL, NULL), QS_DATA);
    assert_int_equal(qs_list_read(root, qs_span_of(qs_list_text(root, list, secret)), public_key, &read, NULL), QS_DATA);
    assert_int_equal(qs_list_read(root, qs_span_of(qs_list_text(root, made(false), other_secret)), public_key, &read, NULL),
                     QS_DATA);
    assert_int_equal(qs_list_read(root, qs_span_of(qs_list_text(root, made(false), other_secret)), NULL, &read, NULL), QS_OK);
    assert_int_equal(qs_key_read(qs_span_of(qs_key_text(root, public_key, QS_PUBLIC_KEY)), other, QS_PUBLIC_KEY, NULL), QS_OK);
    assert_memory_equal(public_key, other, QS_PUBLIC_KEY);
    assert_int_equal(qs_key_read(qs_span_of(qs_key_text(root, secret, QS_SECRET_KEY)), other, QS_PUBLIC_KEY, NULL), QS_DATA);
    assert_int_equal(qs_key_read(QS_SPAN("qsurgeon-public-key 00"), other, QS_PUBLIC_KEY, NULL), QS_DATA);
}

static void serials_go_round(void **state)
{
    (void)state;
    static const struct {
        uint32_t a, b;
        bool newer;
    } cases[] = {{2, 1, true}, {1, 2, false}, {1, 1, false}, {0, UINT32_MAX, true}, {UINT32_MAX, 0, false},
                 {0x80000000, 1, true}, {0x80000001, 1, false}, {0x80000000, 0, false}};
    struct qs_list list = {.serial = 10, .addresses = 90};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(qs_serial_newer(cases[i].a, cases[i].b), cases[i].newer);
    assert_int_equal(qs_list_follows(&list, 9, 100, 10, NULL), QS_OK);
    assert_int_equal(qs_list_follows(&list, 9, 101, 10, NULL), QS_DATA);
    assert_int_equal(qs_list_follows(&list, 9, 900, 90, NULL), QS_OK);
    assert_int_equal(qs_list_follows(&list, 9, 1000, 90, NULL), QS_DATA);
    assert_int_equal(qs_list_follows(&list, 10, 100, 10, NULL), QS_SKIP);
    assert_int_equal(qs_list_follows(&list, 11, 90, 10, NULL), QS_DATA);
    assert_int_equal(qs_list_follows(&list, UINT32_MAX, 90, 10, NULL), QS_OK);
}

static void tables_are_quoted_by_their_alphabet(void **state)
{
    (void)state;
    struct qs_list *list = made(false);
    assert_string_equal(qs_list_table(root, list, false), "@all.example OK\nann@here.example OK\njoe@here.example OK\n");
    assert_string_equal(qs_list_table(root, list, true),
                        "To:all.example\tRELAY\nTo:ann@here.example\tRELAY\nTo:joe@here.example\tRELAY\n"
                        "To:here.example\tERROR:5.1.1:550 User unknown\n");
}

static void the_queue_is_marked(void **state)
{
    (void)state;
    const struct made list[] = {
        {.id = "1", .to = {"joe@here.example"}, .client = "192.0.2.1"},
        {.id = "2", .to = {"nobody@here.example", "joe@here.example"}, .client = "192.0.2.1"},
        {.id = "3", .to = {"joe@here.example", "done@here.example"}, .client = "192.0.2.1", .done = true},
        {.id = "4", .to = {"nobody@here.example", "x@there.example"}, .client = "192.0.2.1"},
    };
    struct qs_recipient_marks m;
    uint8_t selected[] = {1, 1, 1, 0};
    assert_int_equal(qs_recipients_mark(root, view_new(list, 4), NULL, made(false), &m, NULL), QS_OK);
    assert_int_equal(m.messages, 2);
    assert_int_equal(m.waiting, 6);
    assert_int_equal(m.nobody, 2);
    assert_int_equal(m.not_covered, 1);
    assert_int_equal(m.unknown_count, 1);
    assert_string_equal(m.unknown[0], "nobody@here.example");
    assert_int_equal(m.message[1] + m.message[3], 2);
    assert_int_equal(qs_recipients_mark(root, view_new(list, 4), selected, made(true), &m, NULL), QS_OK);
    assert_int_equal(m.messages, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(lists_answer, free_all),
        cmocka_unit_test_teardown(damage_is_noticed, free_all),
        cmocka_unit_test_teardown(empty_and_foreign_lists_are_refused, free_all),
        cmocka_unit_test_teardown(serials_go_round, free_all),
        cmocka_unit_test_teardown(tables_are_quoted_by_their_alphabet, free_all),
        cmocka_unit_test_teardown(the_queue_is_marked, free_all),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
