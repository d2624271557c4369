/* SPDX-License-Identifier: Apache-2.0 */
/* What can never be delivered, without DNS, and whose clients it came from. */
#include "view.h"

#include "qsurgeon/hopeless.h"

#define NO_USER "host mx.there.example said: 550 5.1.1 <x>: Recipient address rejected"

static const struct made mails[] = {
    {.id = "A1", .sender = "a@there.example", .to = {"x@d.example"}, .reason = NO_USER, .client = "192.0.2.1",
     .name = "dsl-1.pool.Provider.co.uk", .content = "Subject: one\n\nOne.\n"},
    {.id = "A2", .sender = "b@there.example", .to = {"y@d.example"}, .reason = "User unknown", .client = "192.0.2.2",
     .name = "mail.provider.co.uk.", .content = "Subject: two\n\nTwo.\n"},
    {.id = "A3", .sender = "c@there.example", .to = {"z@d.example"}, .reason = NO_USER, .client = "192.0.2.3",
     .name = "unknown", .content = "Subject: three\n\nThree.\n"},
    /* one that still may arrive */
    {.id = "B1", .sender = "d@there.example", .to = {"x@d.example", "y@d.example"}, .reason = NO_USER, .client = "192.0.2.4",
     .name = "a.other.example", .content = "Subject: four\n\nFour.\n"},
    /* the other one has arrived */
    {.id = "B2", .sender = "e@there.example", .to = {"x@d.example", "y@d.example"}, .reason = NO_USER, .done = true,
     .client = "192.0.2.5", .name = "a.other.example", .content = "Subject: five\n\nFive.\n"},
    {.id = "C1", .sender = "f@there.example", .to = {"x@d.example"}, .reason = "connect to mx: Connection timed out",
     .client = "192.0.2.6", .name = "a.other.example", .content = "Subject: six\n\nSix.\n"},
};
enum { MAILS = sizeof mails / sizeof *mails };

static void test_count(void **state)
{
    (void)state;
    struct qs_view *view = view_new(mails, MAILS);
    struct qs_hopeless *h = NULL;
    struct qs_error err;
    assert_int_equal(qs_hopeless_count(view, view, NULL, &h, &err), QS_OK);
    assert_int_equal(h->all, MAILS);
    assert_int_equal(h->unknown, 4);
    assert_int_equal(h->dead + h->forged, 0);
    assert_false(h->asked);
    assert_int_equal(h->origin_count, 3);
    assert_string_equal(h->origin[0].provider, "provider.co.uk");
    assert_int_equal(h->origin[0].messages, 2);
    assert_string_equal(h->origin[1].provider, "");
    assert_string_equal(h->origin[2].provider, "other.example");
    const uint8_t selected[MAILS] = {0, 0, 0, 1, 1, 0};
    assert_int_equal(qs_hopeless_count(view, view, selected, &h, &err), QS_OK);
    assert_int_equal(h->all, 2);
    assert_int_equal(h->unknown, 1);
    talloc_free(view);
}

/* A notice of ours came from whoever sent what it returns: not from the filter on this host that handed that on. */
static void test_notice(void **state)
{
    (void)state;
    static const struct made notice = {
        .id = "N1", .sender = "", .to = {"victim@d.example"}, .client = "127.0.0.1", .name = "localhost",
        .content = "Subject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n"
                   "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nNo such user.\n--b\n"
                   "Content-Type: message/rfc822\n\n"
                   "Received: from localhost (localhost [127.0.0.1]) by mx.here.example (Postfix) with ESMTP id 2\n"
                   "Received: from x (dsl-7.provider.co.uk [192.0.2.9]) by mx.here.example (Postfix) with ESMTP id 1\n"
                   "Subject: one\n\nOne.\n--b--\n"};
    struct qs_view *view = view_new(&notice, 1);
    struct qs_hopeless *h = NULL;
    struct qs_error err;
    view->judgement->of[0].verdict = QS_BACKSCATTER;
    view->judgement->of[0].cause = QS_CAUSE_BACKSCATTER_OUT;
    assert_int_equal(qs_hopeless_count(view, view, NULL, &h, &err), QS_OK);
    assert_int_equal(h->forged, 1);
    assert_int_equal(h->origin_count, 1);
    assert_string_equal(h->origin[0].provider, "provider.co.uk");
    talloc_free(view);
}

static void test_nothing(void **state)
{
    (void)state;
    struct qs_view *view = view_new(mails, 0);
    struct qs_hopeless *h = NULL;
    struct qs_error err;
    assert_int_equal(qs_hopeless_count(view, view, NULL, &h, &err), QS_OK);
    assert_int_equal(h->all + h->origin_count, 0);
    talloc_free(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_count), cmocka_unit_test(test_notice), cmocka_unit_test(test_nothing)};
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
