/* SPDX-License-Identifier: Apache-2.0 */
/* Messages for people. What GMime makes of mail is compared with the scanner in test_mail_gmime.c. */
#include "unit.h"

#include "qsurgeon/decode.h"

static struct qs_decoded *decode(const char *text)
{
    struct qs_decoded *out = NULL;
    struct qs_error err;
    assert_int_equal(qs_decode(root, qs_span_of(text), &out, &err), QS_OK);
    return out;
}

static void header(void **state)
{
    (void)state;
    struct qs_decoded *d = decode(
        "From: =?utf-8?q?J=C3=B6rg?= <j@a.example>\nTo: b@b.example, c@c.example\n"
        "Subject: =?iso-8859-1?q?Gr=FC=DFe?=\nDate: Fri, 22 Nov 2024 10:00:00 +0100\n\nhello\n");
    assert_string_equal(d->from, "J\xc3\xb6rg <j@a.example>");
    assert_string_equal(d->to, "b@b.example, c@c.example");
    assert_string_equal(d->subject, "Gr\xc3\xbc\xc3\x9f""e");
    assert_string_equal(d->date, "2024-11-22 10:00:00 +0100");
    assert_int_equal(d->part_count, 1);
    assert_string_equal(d->part[0].type, "text/plain");
    assert_string_equal(d->part[0].text, "hello\n");
    talloc_free(d);
    d = decode("X: y\n\n");
    assert_null(d->from);
    assert_null(d->to);
    assert_null(d->subject);
    assert_null(d->date);
    talloc_free(d);
}

static void parts(void **state)
{
    (void)state;
    struct qs_decoded *d = decode(
        "Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: multipart/alternative; "
        "boundary=a\n\n"
        "--a\nContent-Type: text/plain; charset=windows-1251\n\n\xcf\n--a\nContent-Type: "
        "text/html\n\n<p>x\n--a--\n"
        "--m\nContent-Type: application/pdf; name=\"i.pdf\"\nContent-Disposition: attachment\n"
        "Content-Transfer-Encoding: base64\n\nJVBERg==\n--m\nContent-Type: message/rfc822\n\nFrom: "
        "x\n\nreturned\n--m--\n");
    assert_int_equal(d->part_count, 4);
    assert_string_equal(d->part[0].text, "\xd0\x9f");
    assert_string_equal(d->part[0].charset, "windows-1251");
    assert_string_equal(d->part[1].type, "text/html");
    assert_int_equal(d->part[0].alternative, 1);
    assert_int_equal(d->part[1].alternative, 1);
    assert_int_equal(d->part[2].alternative, 0);
    assert_null(d->part[2].text);
    assert_int_equal(d->part[2].size, 4);
    assert_string_equal(d->part[2].name, "i.pdf");
    assert_true(d->part[2].attached && !d->part[1].attached);
    assert_true(d->part[3].returned && !d->part[2].returned);
    assert_string_equal(d->part[3].text, "returned");
    talloc_free(d);
}

/* Bytes that are not what the charset says are shown as windows-1252, not lost. */
static void undeclared(void **state)
{
    (void)state;
    struct qs_decoded *d = decode("Subject: caf\xe9\n\ncaf\xe9 \xc3\xa9");
    assert_string_equal(d->subject, "caf\xc3\xa9");
    assert_string_equal(d->part[0].text, "caf\xc3\xa9 \xc3\xa9");
    talloc_free(d);
}

static void hostile(void **state)
{
    (void)state;
    struct qs_error err;
    struct qs_decoded *out = NULL;
    enum qs_status status = qs_decode(root, (struct qs_span){ NULL, 0 }, &out, &err);
    assert_true(status == QS_OK || status == QS_DATA);
    assert_true((status == QS_OK) == (out != NULL));
    talloc_free(out);
    /* 500 nested multiparts, 3000 parts */
    char *text = talloc_strdup(root, "");
    for (unsigned i = 0; i < 500; i++) {
        text = talloc_asprintf_append(text, "Content-Type: multipart/mixed; boundary=b%u\n\n--b%u\n", i, i);
    }
    talloc_free(decode(text));
    talloc_free(text);
    text = talloc_strdup(root, "Content-Type: multipart/mixed; boundary=b\n\n");
    for (unsigned i = 0; i < 3000; i++) {
        text = talloc_asprintf_append(text, "--b\n\nx\n");
    }
    struct qs_decoded *d = decode(text);
    assert_int_equal(d->part_count, 1000);
    talloc_free(d);
    talloc_free(text);
}

int main(void)
{
    qs_decode_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header),
        cmocka_unit_test(parts),
        cmocka_unit_test(undeclared),
        cmocka_unit_test(hostile),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
