/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a message: fields, parts, text, traits, returned messages, caps, and any bytes at all. */
#include "unit.h"

#include <stdlib.h>

#include "qsurgeon/fingerprint.h"
#include "qsurgeon/mail.h"

static struct qs_mail_scanner *scanner;
static struct qs_mail mail;     /* large; each scan writes it anew */

static void scan(const char *text)
{
    qs_mail_scan(scanner, qs_span_of(text), false, false, &mail);
}

static void scan_notice(const char *text)
{
    qs_mail_scan(scanner, qs_span_of(text), false, true, &mail);
}

static void assert_span(struct qs_span span, const char *expected)
{
    char *text = talloc_strndup(root, span.ptr == NULL ? "" : span.ptr, span.len);
    assert_string_equal(text, expected);
    talloc_free(text);
}

static void assert_words(struct qs_span text, const char *expected)
{
    struct qs_buffer out;
    qs_buffer_init(&out, root);
    assert_true(qs_normalise(&out, text));
    assert_span((struct qs_span){ out.data, out.len }, expected);
    talloc_free(out.data);
}

static bool has(uint32_t trait)
{
    return (mail.traits & trait) == trait;
}

/* --- header --- */

static void fields(void **state)
{
    (void)state;
    scan("From: \"Doe, J.\" <j@a.example>\nTO : b@b.example,\n c@c.example\nCc:\nsubject:Hello\nDate: Mon, 1 "
         "Jan 2024"
         " 00:00:00 +0000\nMessage-ID: <1@a.example>\nReply-To: r@a.example\nSender: "
         "s@a.example\nIn-Reply-To: <0@x>\n"
         "References: <0@x>\nList-Id: <l.a.example>\nX-Mailer: m 1\nReturn-Path: <e@a.example>\n"
         "X-Originating-IP: [192.0.2.1]\nFeedback-ID: f:1\nSubject: second\n\nbody\n");
    assert_span(mail.from, "\"Doe, J.\" <j@a.example>");
    assert_span(mail.from_address, "j@a.example");
    assert_span(mail.to, "b@b.example,\n c@c.example");
    assert_span(mail.cc, "");
    assert_span(mail.subject, "Hello");
    assert_span(mail.subject_text, "Hello");
    assert_span(mail.date, "Mon, 1 Jan 2024 00:00:00 +0000");
    assert_span(mail.message_id, "<1@a.example>");
    assert_span(mail.reply_to, "r@a.example");
    assert_span(mail.sender, "s@a.example");
    assert_span(mail.list_id, "<l.a.example>");
    assert_span(mail.mailer, "m 1");
    assert_span(mail.return_path, "<e@a.example>");
    assert_span(mail.originating_ip, "[192.0.2.1]");
    assert_span(mail.feedback_id, "f:1");
    assert_span(mail.body, "body\n");
    assert_span(mail.text, "body\n");
    assert_int_equal(mail.traits, QS_T_IN_REPLY_TO | QS_T_LIST_ID);
    assert_int_equal(mail.part_count, 1);
}

static void header_ends(void **state)
{
    (void)state;
    static const struct {
        const char *message, *header, *body;
    } cases[] = {
        { "", "", "" },
        { "\n", "", "" },
        { "\nbody", "", "body" },
        { "A: b", "A: b", "" },
        { "A: b\n", "A: b\n", "" },
        { "A: b\n\nc", "A: b\n", "c" },
        { "A: b\r\n\r\nc", "A: b\r\n", "c" },
        { "A: b\r\n c\r\n\r\n\r\nd", "A: b\r\n c\r\n", "\r\nd" },
        { "From x Mon\nA: b\n\nc", "From x Mon\nA: b\n", "c" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        scan(cases[i].message);
        assert_span(mail.header, cases[i].header);
        assert_span(mail.body, cases[i].body);
        assert_false(has(QS_T_MALFORMED));
    }
    scan("From: a@b.example\nnonsense without a colon\nSubject: s\n\nx");
    assert_true(has(QS_T_MALFORMED));
    assert_span(mail.subject, "s");
    scan("\n");
    assert_true(has(QS_T_NO_DATE | QS_T_NO_MESSAGE_ID | QS_T_NO_FROM | QS_T_NO_TEXT));
}

static void from_addresses(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "a@b.example", "a@b.example" },
        { "<a@b.example>", "a@b.example" },
        { "A B <a@b.example>", "a@b.example" },
        { "\"x <y@z>\" <a@b.example>", "a@b.example" },
        { "a@b.example (A B)", "a@b.example" },
        { "(c@d) a@b.example", "a@b.example" },
        { "a@b.example, c@d.example", "a@b.example" },
        { "<>", "" },
        { "nobody", "" },
        { "\"unclosed <a@b.example>", "a@b.example" },
        { "A\n <a@b.example>", "a@b.example" },
        { "=?utf-8?q?A?= <a@b.example", "a@b.example" },
        { "\"a b\"@c.example", "\"a b\"@c.example" },
        { "", "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char message[200];
        snprintf(message, sizeof(message), "From: %s\n\n", cases[i][0]);
        scan(message);
        assert_span(mail.from_address, cases[i][1]);
    }
}

static void subjects(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "plain  text", "plain text" },
        { "folded\n\there", "folded here" },
        { "=?utf-8?B?R3LDvMOfZQ==?=", "Gr\xc3\xbc\xc3\x9f"
                                      "e" },
        { "=?iso-8859-1?q?Gr=FC=DFe_an?= all", "Gr\xc3\xbc\xc3\x9f"
                                               "e an all" },
        { "=?utf-8?q?a?= =?utf-8?q?b?=", "ab" },
        { "=?utf-8?q?a?=\n =?utf-8?q?b?= c", "ab c" },
        { "x =?utf-8?q?a?=", "x a" },
        { "x=?utf-8?q?a?=y", "xay" },
        { "=?utf-8?b?w?= =?utf-8?b?7w=?=", "" },
        { "=?utf-8?q?=C3?= =?UTF-8?q?=BC?=", "\xc3\xbc" }, /* split character */
        { "=?utf-8*en?q?lang?=", "lang" },
        { "=?windows-1251?B?z/Do4uXy?=", "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82" },
        { "=?koi8-r?Q?=F0=D2=C9=D7=C5=D4?=", "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82" },
        { "=?utf-8?x?a?=", "=?utf-8?x?a?=" },
        { "=?utf-8?q?open", "=?utf-8?q?open" },
        { "=? ?=", "=? ?=" },
        { "caf\xe9", "caf\xc3\xa9" },
        { "caf\xc3\xa9", "caf\xc3\xa9" },
        { "=?utf-8?q?"
          "?=",
          "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char message[200];
        snprintf(message, sizeof(message), "Subject: %s\n\n", cases[i][0]);
        scan(message);
        if (i == 8) {
            continue;           /* half characters: anything valid */
        }
        assert_span(mail.subject_text, cases[i][1]);
        struct qs_buffer out;
        qs_buffer_init(&out, root);
        assert_true(qs_mail_decode_header(&out, qs_span_of(cases[i][0])));
        assert_span((struct qs_span){ out.data, out.len }, cases[i][1]);
        talloc_free(out.data);
    }
}

static void received(void **state)
{
    (void)state;
    static const struct {
        const char *value, *from, *by, *with, *id, *address;
    } cases[] = {
        { "from mail.a.example (mail.a.example [192.0.2.1])\n\tby mx.b.example (Postfix) with ESMTPS id 4F1\n"
          "\tfor <c@b.example>; Mon, 1 Jan 2024 00:00:00 +0000 (UTC)",
          "mail.a.example", "mx.b.example", "ESMTPS", "4F1", "192.0.2.1" },
        { "from a.example (IDENT:x@[192.0.2.2]) by b.example (8.14.4/8.14.4) with SMTP id u1; Mon",
          "a.example", "b.example", "SMTP", "u1", "192.0.2.2" },
        { "from [192.0.2.3] (helo=a.example) by b.example with esmtpsa (TLS1.2) (Exim 4.96) id 1abc-000; Mon",
          "[192.0.2.3]", "b.example", "esmtpsa", "1abc-000", "192.0.2.3" },
        { "from a.example (a.example [192.0.2.3]) (authenticated bits=0) by b.example (8.17/8.17) with ESMTP id 5; Mon",
          "a.example", "b.example", "ESMTP", "5", "192.0.2.3" },
        { "from authenticated (authenticated [192.0.2.3]) by b.example with ESMTP id 5; Mon", "authenticated", "b.example",
          "ESMTP", "5", "192.0.2.3" },
        /* a client that calls itself an address, which need not be its own */
        { "from [127.0.0.1] (a.example [192.0.2.6]) by b.example (Postfix) with ESMTP id 3; Mon", "[127.0.0.1]",
          "b.example", "ESMTP", "3", "192.0.2.6" },
        { "from [10.0.0.1] (unknown [IPv6:2001:db8::6]) by b.example with SMTP id 4; Mon", "[10.0.0.1]", "b.example",
          "SMTP", "4", "2001:db8::6" },
        { "from unknown (HELO a.example) (192.0.2.4) by b.example with SMTP; 1 Jan 2024", "unknown",
          "b.example", "SMTP", "", "" },
        { "(qmail 123 invoked by uid 89); 1 Jan 2024", "", "", "", "", "" },
        { "by 2002:a05:6402:3508:b0:41b with SMTP id b8csp1; Mon, 1 Jan 2024", "",
          "2002:a05:6402:3508:b0:41b", "SMTP", "b8csp1", "" },
        { "from AM6.example ([fe80::1%5]) by AM5.example ([2001:db8::7%3]) with mapi id 15.20; Mon",
          "AM6.example", "AM5.example", "mapi", "15.20", "fe80::1%5" },
        { "from a.example (a.example [IPv6:2001:db8::9]) by b.example", "a.example", "b.example", "", "",
          "2001:db8::9" },
        { "by b.example (Postfix, from userid 33) id 77; Mon", "", "b.example", "", "77", "" },
        { "from 192.0.2.5 by b.example", "192.0.2.5", "b.example", "", "", "192.0.2.5" },
        { "", "", "", "", "", "" },
        { "from", "", "", "", "", "" },
        { "((((from [", "", "", "", "", "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char message[400];
        snprintf(message, sizeof(message), "Received: %s\n\n", cases[i].value);
        scan(message);
        assert_int_equal(mail.received_count, 1);
        assert_span(mail.received[0].from, cases[i].from);
        assert_span(mail.received[0].by, cases[i].by);
        assert_span(mail.received[0].with, cases[i].with);
        assert_span(mail.received[0].id, cases[i].id);
        assert_span(mail.received[0].address, cases[i].address);
        assert_int_equal(mail.received[0].login, strcmp(cases[i].with, "esmtpsa") == 0 || strstr(cases[i].value, "bits=0"));
    }
}

/* Addresses without brackets. */
static void received_bare(void **state)
{
    (void)state;
    static const struct {
        const char *value, *address, *bare;
    } cases[] = {
        { "from unknown (HELO a.example) (192.0.2.4) by b.example with SMTP; 1 Jan 2024", "", "192.0.2.4" },
        { "from unknown (HELO a)(198.51.100.1) (192.0.2.4)\n  by b.example with SMTP; 1 Jan 2024", "", "192.0.2.4" },  /* greets so */
        { "from a (192.0.2.7) by b.example (198.51.100.2) with Microsoft SMTP Server (TLS) id 15.0; Mon", "", "192.0.2.7" },
        { "from a.example (2001:db8::7) by b.example with ESMTP id 6", "", "2001:db8::7" },
        { "from 2001:db8::8 by b.example with SMTP", "", "2001:db8::8" },
        { "from 192.0.2.5 by b.example", "192.0.2.5", "" },
        { "from [10.0.0.1] (192.0.2.8) by b.example with SMTP", "10.0.0.1", "192.0.2.8" },
        { "from 10.0.0.1 (192.0.2.8) by b.example with SMTP", "10.0.0.1", "192.0.2.8" },
        /* brackets tell for sure */
        { "from x (198.51.100.1) (x [192.0.2.9]) by b.example with SMTP", "192.0.2.9", "" },
        { "from x (x [192.0.2.9]) (198.51.100.1) by b.example with SMTP", "192.0.2.9", "" },
        /* the greeting is the client's word */
        { "from [192.0.2.9] (helo=[198.51.100.1]) by b.example with esmtp (Exim 4.96)", "192.0.2.9", "" },
        { "from [192.0.2.9] (port=25 helo=[198.51.100.1] ident=[198.51.100.2]) by b.example with esmtp", "192.0.2.9", "" },
        { "from unknown (HELO [198.51.100.1]) (192.0.2.9) by b.example with SMTP", "", "192.0.2.9" },
        { "from unknown (EHLO [198.51.100.1]) ([192.0.2.9]) by b.example with SMTP", "192.0.2.9", "" },
        { "from x (HELO) ([192.0.2.9]) by b.example with SMTP", "192.0.2.9", "" },
        /* something else, or somebody else's word */
        { "from x ((198.51.100.1)) by b.example with SMTP", "", "" },
        { "from x (HELO 198.51.100.1) by b.example with SMTP", "", "" },
        { "from x (who@198.51.100.1) by b.example with SMTP", "", "" },
        { "from x (2024.12) (12:30) (8.17.1) () by b.example with SMTP", "", "" },
        { "(198.51.100.1) from x by b.example with SMTP", "", "" },
        { "from x by b.example (198.51.100.1) with SMTP", "", "" },
        { "from x (198.51.100.1", "", "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char message[400];
        snprintf(message, sizeof(message), "Received: %s\n\n", cases[i].value);
        scan(message);
        assert_span(mail.received[0].address, cases[i].address);
        assert_span(mail.received[0].bare, cases[i].bare);
    }
}

static void traits(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        uint32_t trait;
    } cases[] = {
        { "Auto-Submitted: auto-generated", QS_T_AUTO_SUBMITTED },
        { "Auto-Submitted: auto-replied (vacation)", QS_T_AUTO_SUBMITTED | QS_T_AUTO_REPLIED },
        { "Auto-Submitted: no", 0 },
        { "X-Autoreply: yes", QS_T_AUTO_SUBMITTED | QS_T_AUTO_REPLIED },
        { "X-Autorespond: x", QS_T_AUTO_SUBMITTED | QS_T_AUTO_REPLIED },
        { "X-Auto-Response-Suppress: All", QS_T_AUTO_SUBMITTED },
        { "X-Vacation: x", QS_T_AUTO_SUBMITTED | QS_T_AUTO_REPLIED },
        { "Precedence: auto_reply", QS_T_AUTO_SUBMITTED | QS_T_AUTO_REPLIED },
        { "Precedence: bulk", QS_T_PRECEDENCE_BULK },
        { "Precedence: Junk", QS_T_PRECEDENCE_BULK },
        { "Precedence: list", QS_T_PRECEDENCE_LIST },
        { "List-Unsubscribe: <mailto:x@y>", QS_T_LIST_UNSUBSCRIBE },
        { "List-Post: <mailto:x@y>", QS_T_LIST_POST },
        { "X-PHP-Originating-Script: 33:x.php", QS_T_SCRIPT },
        { "X-Source-Args: /usr/bin/php x.php", QS_T_SCRIPT },
        { "From: MAILER-DAEMON@a.example", QS_T_FROM_DAEMON },
        { "From: Mail Delivery System <x@a.example>", QS_T_FROM_DAEMON },
        { "From: <>", QS_T_FROM_DAEMON },
        { "From: postmaster <postmaster@a.example>", QS_T_FROM_DAEMON },
        { "From: Max Postmaster <m@a.example>", 0 },
        { "Subject: Undelivered Mail Returned to Sender", QS_T_BOUNCE_SUBJECT },
        { "Subject: Re: failure notice", QS_T_BOUNCE_SUBJECT },
        { "Subject: =?utf-8?q?Unzustellbar=3A_Angebot?=", QS_T_BOUNCE_SUBJECT },
        { "Subject: =?utf-8?q?=C3=89chec_de_remise?=", QS_T_BOUNCE_SUBJECT },
        { "Subject: Mancata consegna del messaggio", QS_T_BOUNCE_SUBJECT },
        { "Subject: Onbestelbaar: x", QS_T_BOUNCE_SUBJECT },
        { "Subject: =?utf-8?q?N=C3=A3o_entregue?=", QS_T_BOUNCE_SUBJECT },
        { "Subject: =?utf-8?q?Notificaci=C3=B3n_del_estado_de_entrega?=", QS_T_BOUNCE_SUBJECT },
        { "Subject: Zustellung fehlgeschlagen", QS_T_BOUNCE_SUBJECT },
        { "Subject: Out of Office: Re: x", QS_T_AUTOREPLY_SUBJECT },
        { "Subject: Abwesenheitsnotiz", QS_T_AUTOREPLY_SUBJECT },
        { "Subject: =?utf-8?q?R=C3=A9ponse_automatique_?=: x", QS_T_AUTOREPLY_SUBJECT },
        { "Subject: Risposta automatica: x", QS_T_AUTOREPLY_SUBJECT },
        { "Subject: Afwezig", QS_T_AUTOREPLY_SUBJECT },
        { "Subject: Please confirm your message", QS_T_CHALLENGE },
        { "Subject: VIRUS FOUND in your mail", QS_T_VIRUS_NOTICE },
        { "Subject: Lunch tomorrow? The delivery of the sofa", 0 },
        { "Subject: Your vacation photos", 0 },
    };
    const uint32_t always = QS_T_NO_DATE | QS_T_NO_MESSAGE_ID | QS_T_NO_FROM | QS_T_NO_TEXT;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char message[200];
        snprintf(message, sizeof(message), "%s\n\n", cases[i].header);
        scan(message);
        if ((mail.traits & ~always) != cases[i].trait) {
            fail_msg("%s: %x", cases[i].header, mail.traits & ~always);
        }
    }
}

/* --- parts --- */

static void plain(void **state)
{
    (void)state;
    scan("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "
         "quoted-printable\n\nGr=C3=BC=\n=C3=9Fe =\n\nx\n");
    assert_span(mail.text, "Gr\xc3\xbc\xc3\x9f""e \nx\n");
    scan(
        "Content-Type: text/plain; charset=\"iso-8859-15\"\nContent-Transfer-Encoding: base64\n\nMTAgpA==\n");
    assert_span(mail.text, "10 \xe2\x82\xac");
    assert_false(has(QS_T_ENCODED_NEEDLESSLY));
    scan("Content-Transfer-Encoding: BASE64\n\naGVs\r\nbG8=\n");
    assert_span(mail.text, "hello");
    assert_true(has(QS_T_ENCODED_NEEDLESSLY));
    scan("Content-Type: text/plain; charset=utf-16le\nContent-Transfer-Encoding: base64\n\nSADkAA==\n");
    assert_span(mail.text, "H\xc3\xa4");
    scan("Content-Type: text/html\n\n<p>one</p><b style='display:none'>two</b>");
    assert_span(mail.text, "one\n");
    assert_true(has(QS_T_HTML));
    assert_int_equal(mail.hidden_total, 3);
    scan("Content-Type: application/pdf; name=x.pdf\n\n%PDF");
    assert_true(has(QS_T_ATTACHMENT | QS_T_NO_TEXT));
}

#define MULTI(kind, rest) "Content-Type: multipart/" kind "; boundary=\"=b\"\n\npreamble\n" rest

static void multiparts(void **state)
{
    (void)state;
    scan(MULTI("mixed", "--=b\n\none\n--=b\nContent-Type: text/plain\n\ntwo\n--=b--\nepilogue\n"));
    assert_words(mail.text, "one two");
    assert_int_equal(mail.part_count, 3);
    assert_false(has(QS_T_MALFORMED));
    /* no closing delimiter, CRLF, blanks behind the boundary */
    scan("Content-Type: multipart/mixed;\r\n\tboundary==b\r\n\r\n--=b  \r\n\r\none\r\n--=b\r\n\r\ntwo\r\n");
    assert_words(mail.text, "one two");
    /* a boundary that begins another, and dashes that are none */
    scan("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; "
         "boundary=bb\n\n--bb\n\none\n--bbb\n"
         "--\n---b\n--bb--\nskipped\n--b\n\ntwo\n--b--\n");
    assert_words(mail.text, "one bbb b two");
    /* an inner multipart that is not closed */
    scan("Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; "
         "boundary=i\n\n--i\n\none\n--o\n\n"
         "two\n--o--\n--i\n\nnot\n");
    assert_words(mail.text, "one two");
    /* folded and blank-ended boundaries */
    scan("Content-Type: multipart/mixed; boundary=\"simple\n boundary \"\n\n--simple "
         "boundary\n\none\n--simple boundary--\n");
    assert_words(mail.text, "one");
    /* none at all */
    scan("Content-Type: multipart/mixed\n\none\n");
    assert_words(mail.text, "one");
    assert_true(has(QS_T_MALFORMED));
    scan("Content-Type: multipart/mixed; boundary=x\n\none\n");
    assert_words(mail.text, "one");
    assert_true(has(QS_T_MALFORMED));
}

#define PLAIN_PART "--=b\nContent-Type: text/plain\n\nplain words here\n"
#define HTML_PART "--=b\nContent-Type: text/html\n\n<p>marked up words over there</p>\n"

static void alternatives(void **state)
{
    (void)state;
    scan(MULTI("alternative", PLAIN_PART HTML_PART "--=b--\n"));
    assert_words(mail.text, "marked up words over there");
    scan(MULTI("alternative", HTML_PART PLAIN_PART "--=b--\n"));
    assert_words(mail.text, "marked up words over there");
    scan(MULTI("alternative", PLAIN_PART "--=b--\n"));
    assert_words(mail.text, "plain words here");
    scan(MULTI("alternative", PLAIN_PART));
    assert_words(mail.text, "plain words here");
    scan(MULTI("alternative",
               PLAIN_PART "--=b\nContent-Type: text/html\n\n<img src=http://x.example/y>\n--=b--\n"));
    assert_words(mail.text, "plain words here");
    assert_int_equal(mail.url_total, 1);
    /* HTML inside a related part of the alternative */
    scan(MULTI("alternative", PLAIN_PART
               "--=b\nContent-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html\n\n"
               "<b>the real marked up words</b>\n--r\nContent-Type: image/png\n\nPNG\n--r--\n--=b--\n"));
    assert_words(mail.text, "the real marked up words");
    assert_true(has(QS_T_IMAGE | QS_T_ATTACHMENT));
    /* mixed: both count */
    scan(MULTI("mixed", PLAIN_PART HTML_PART "--=b--\n"));
    assert_words(mail.text, "plain words here marked up words over there");
}

/* The same text in every dress gives the same words. */
static void dresses(void **state)
{
    (void)state;
    static const char text[] = "Prix : 20 \xe2\x82\xac & caf\xc3\xa9 <gratuit>, \xc3\xa0 bient\xc3\xb4t";
    static const char words[] = "prix 0 cafe gratuit a bientot";
    static const char *const messages[] = {
        "Content-Type: text/plain; charset=iso-8859-15\nContent-Transfer-Encoding: 8bit\n\n"
        "Prix : 20 \xa4 & caf\xe9 <gratuit>, \xe0 bient\xf4t",
        "Content-Type: text/plain; charset=windows-1252\nContent-Transfer-Encoding: quoted-printable\n\n"
        "Prix : 20 =80 & caf=E9 <gra=\ntuit>, =E0 bient=F4t",
        "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: base64\n\n"
        "UHJpeCA6IDIwIOKCrCAmIGNhZsOpIDxncmF0dWl0Piwgw6AgYmllbnTDtHQ=",
        "Content-Type: text/html; charset=us-ascii\n\n"
        "<p>Prix&nbsp;: 20 &euro; &amp; ca<b>f</b>&eacute; &lt;gratuit&gt;,<br>&agrave; bient&#244;t",
        "Content-Type: text/html; charset=utf-8\n\n<div>Prix : 20 \xe2\x82\xac &amp; caf\xc3\xa9</div><div "
        "style=\"color:#fff\">"
        "chose</div><TD>&lt;gratuit&gt;,</TD> \xc3\xa0 bient\xc3\xb4t",
        MULTI("alternative",
              "--=b\nContent-Type: text/plain; charset=iso-8859-1\n\nPrix : 20 EUR & caf\xe9\n--=b\n"
              "Content-Type: text/html; charset=iso-8859-1\n\nPrix : 20 &euro; & caf\xe9 &lt;gratuit>, \xe0 "
              "bient\xf4t\n--=b--\n"),
        "\nPrix : 20 \xe2\x82\xac & caf\xe9 <gratuit>, \xe0 bient\xf4t", /* undeclared and mixed up */
    };
    char message[sizeof(text) + 1] = "\n";
    memcpy(message + 1, text, sizeof(text));
    scan(message);
    assert_words(mail.text, words);
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        scan(messages[i]);
        assert_words(mail.text, words);
    }
}

static void attachments(void **state)
{
    (void)state;
    scan(MULTI("mixed", PLAIN_PART "--=b\nContent-Type: application/zip\nContent-Disposition: attachment;\n"
                                   " filename=\"invoice.pdf.EXE\"\nContent-Transfer-Encoding: "
                                   "base64\n\nUEsDBAoAAAAAAAAAIQAAAAAA\n--=b--\n"));
    assert_true(has(QS_T_ATTACHMENT | QS_T_EXECUTABLE));
    assert_int_equal(mail.attachment_size, 24);
    uint64_t zip = mail.attachment;
    assert_true(zip != 0);
    /* other encoding, rubbish behind a power of two of bytes */
    scan(MULTI("mixed",
               "--=b\nContent-Type: application/zip\nContent-Disposition: attachment; filename=x.pdf\n"
               "Content-Transfer-Encoding: "
               "quoted-printable\n\nPK=03=04=0A=00=00=00=00=00=00=00=21=00=00=00=00=00rubbish"
               "\n--=b--\n"));
    assert_true(mail.attachment == zip);
    assert_false(has(QS_T_EXECUTABLE));
    scan(MULTI(
        "mixed",
        "--=b\nContent-Type: image/gif\nContent-Transfer-Encoding: base64\n\nR0lGODlhAQABAIAA\n--=b--\n"));
    assert_true(has(QS_T_IMAGE));
    assert_true(mail.attachment != zip);
    /* text that is attached is not shown; a signature is no attachment */
    scan(MULTI("mixed", PLAIN_PART
               "--=b\nContent-Type: text/plain\nContent-Disposition: attachment\n\nsecret\n--=b--\n"));
    assert_words(mail.text, "plain words here");
    scan(MULTI("signed", PLAIN_PART "--=b\nContent-Type: application/pgp-signature\n\nxx\n--=b--\n"));
    assert_false(has(QS_T_ATTACHMENT));
}

static void hosts(void **state)
{
    (void)state;
    scan("\nSee http://WWW.One.example/a, https://user:pw@two.example:8080/ (www.three.example) "
         "http://www.one.example "
         "http://f%6Fur.example http:// x://y wwww.not ftp://five.example.\n");
    assert_int_equal(mail.url_host_count, 6);
    assert_span(mail.url_hosts[0], "www.one.example");
    assert_span(mail.url_hosts[1], "two.example");
    assert_span(mail.url_hosts[2], "four.example");
    assert_span(mail.url_hosts[3], "y");
    assert_span(mail.url_hosts[4], "five.example");
    assert_span(mail.url_hosts[5], "www.three.example");
    assert_int_equal(mail.url_total, 7);
    scan("Content-Type: text/html\n\n<a href='HTTP://one.example/?x'>http://one.example/</a><img "
         "src=//two.example/x>"
         "<a href='mailto:x@y'><a href='/relative'><a href=\"ht\ntp://three.example\">http://four.example");
    assert_span(mail.url_hosts[0], "one.example");
    assert_span(mail.url_hosts[1], "two.example");
    assert_span(mail.url_hosts[mail.url_host_count - 1], "four.example");
    /* the cap */
    char *text = talloc_strdup(root, "\n");
    for (unsigned i = 0; i < 100; i++) {
        text = talloc_asprintf_append(text, "http://h%u.example ", i);
    }
    scan(text);
    assert_int_equal(mail.url_host_count, QS_CAP_URLS);
    assert_int_equal(mail.url_total, 100);
    talloc_free(text);
}

static void structure(void **state)
{
    (void)state;
#define HEAD(subject, id) "From: a@b.example\nTo: c@d.example\nSubject: " subject "\nMessage-ID: " id "\n"
    scan(HEAD("one", "<1>") "\nx");
    uint64_t first = mail.structure;
    scan("Received: by x\nX-Added: by the way\n" "Received: by y\n" HEAD("another", "<22>") "\nlonger text");
    assert_true(mail.structure == first);       /* neither values nor what relays put on top */
    scan("To: c@d.example\nFrom: a@b.example\nSubject: one\nMessage-ID: <1>\n\nx");
    assert_true(mail.structure != first);       /* but the order */
    scan("From: a@b.example\nTo: c@d.example\nSubject: one\nMessage-Id: <1>\n\nx");
    assert_true(mail.structure != first);       /* and the case */
    scan(HEAD("one", "<1>") "Content-Type: text/html\n\nx");
    assert_true(mail.structure != first);
}

/* --- returned messages --- */

#define ORIGINAL                                                                                             \
    "Received: from a by b; Mon\nFrom: <spam@x.example>\nTo: y@y.example\nSubject: buy\n\nBuy now\n"

static void reports(void **state)
{
    (void)state;
    scan("From: MAILER-DAEMON@a.example\nContent-Type: multipart/report; report-type=delivery-status; "
         "boundary=r\n\n--r\n\n"
         "could not be delivered\n--r\nContent-Type: message/delivery-status\n\nStatus: 5.1.1\n--r\n"
         "Content-Type: message/rfc822\n\n" ORIGINAL "--r--\n");
    assert_true(has(QS_T_DELIVERY_REPORT | QS_T_RETURNED | QS_T_FROM_DAEMON));
    assert_false(has(QS_T_RETURNED_HEADER_ONLY));
    assert_words(mail.text, "could not be delivered");
    assert_span(
        mail.returned,
        "Received: from a by b; Mon\nFrom: <spam@x.example>\nTo: y@y.example\nSubject: buy\n\nBuy now");
    scan("Content-Type: multipart/report; report-type=disposition-notification; "
         "boundary=r\n\n--r\n\nread\n--r--\n");
    assert_true(has(QS_T_FEEDBACK_REPORT));
    assert_false(has(QS_T_RETURNED));
    static const char *const types[] = { "text/rfc822-headers", "message/rfc822-headers",
                                         "message/global-headers", "TEXT/RFC822-HEADERS; charset=us-ascii" };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        char message[300];
        snprintf(message, sizeof(message),
                 "Content-Type: multipart/report; boundary=r\n\n--r\n\nx\n--r\nContent-Type: %s\n\n"
                 "From: a@b\nSubject: buy\n\n--r--\n",
                 types[i]);
        scan(message);
        assert_true(has(QS_T_RETURNED | QS_T_RETURNED_HEADER_ONLY));
        assert_true(qs_span_starts(mail.returned, "From: a@b\nSubject: buy"));
    }
    /* encoded against the rules; the header in a text file; a part without a header of its own */
    scan(MULTI("mixed", "--=b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
               "RnJvbTogYUBiCgpCdXkK\n--=b--\n"));
    assert_span(mail.returned, "From: a@b\n\nBuy\n");
    scan(MULTI("mixed", PLAIN_PART
               "--=b\nContent-Type: text/plain; name=h.txt\nContent-Disposition: attachment\n\n" ORIGINAL
               "--=b--\n"));
    assert_true(qs_span_starts(mail.returned, "Received: from a by b"));
    scan(MULTI("mixed", PLAIN_PART "--=b\n" ORIGINAL "--=b--\n"));
    assert_true(qs_span_starts(mail.returned, "Received: from a by b"));
    assert_words(mail.text, "plain words here");
    scan("Content-Type: message/rfc822\n\n" ORIGINAL);
    assert_span(mail.returned, ORIGINAL);
}

static void text_bounces(void **state)
{
    (void)state;
    static const char *const leads[] = {
        "Hi. This is the qmail-send program.\n\n--- Below this line is a copy of the message.\n\n",
        "It failed.\n\n------ This is a copy of the message, including all the headers. ------\n\n",
        "   ----- Original message follows -----\n\n", "----- Original message -----\n\n",
        "Reporting-MTA: dns; x\nArrival-Date: Mon\n\nFinal-Recipient: rfc822; y\n\n",
    };
    for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++) {
        char message[600];
        snprintf(message, sizeof(message), "From: x@a.example\n\n%s%s", leads[i], ORIGINAL);
        scan_notice(message);
        assert_span(mail.returned, ORIGINAL);
        assert_int_equal(mail.text.len, strlen(leads[i]));
        assert_true(has(QS_T_RETURNED));
        scan(message);              /* not looked for in ordinary mail */
        assert_int_equal(mail.returned.len, 0);
    }
    scan_notice(
        "\nIt failed:\n\n> Received: from a\n> \tby b\n> From: x@x\n> Subject: buy\n>\n> Buy now\nend\n");
    assert_span(mail.returned, "Received: from a\n\tby b\nFrom: x@x\nSubject: buy\n\nBuy now\n");
    scan_notice("\nIt failed:\n\n    From: x@x\n    To: y@y\n    Subject: buy\n\n    Buy now\n");
    assert_span(mail.returned, "From: x@x\nTo: y@y\nSubject: buy\n\nBuy now\n");
    scan_notice(
        "Content-Transfer-Encoding: quoted-printable\n\nFailed=2E\n\nFrom: x@x\nTo: y=3D\nSubject: buy\n");
    assert_span(mail.returned, "From: x@x\nTo: y=\nSubject: buy\n");
    assert_true(has(QS_T_RETURNED_HEADER_ONLY));
    scan_notice("\nTo: you\nwe could not\nSubject: buy\nbut: well\n\nFrom: nobody\n");
    assert_int_equal(mail.returned.len, 0);
}

/* --- caps and hostile input --- */

static char *repeat(const char *head, const char *piece, unsigned times, const char *tail)
{
    size_t a = strlen(head), b = strlen(piece), c = strlen(tail);
    char *text = talloc_array(root, char, (unsigned)(a + b * times + c + 1)), *to = mempcpy(text, head, a);
    for (unsigned i = 0; i < times; i++) {
        to = mempcpy(to, piece, b);
    }
    memcpy(to, tail, c + 1);
    return text;
}

static void caps(void **state)
{
    (void)state;
    static const struct {
        const char *head, *piece;
        unsigned times;
        const char *tail;
    } cases[] = {
        { "Subject: ", "x", 1 << 20, "\n\nbody" },
        { "", "Subject: x\n", 100000, "\nbody" },
        { "X: ", "\n y", 100000, "\n\nbody" },
        { "\n", "a", 10 << 20, "" },
        { MULTI("mixed", ""), "--=b\n\nx\n", 50000, "--=b--\n" },
        { MULTI("mixed", ""), "--=b\nContent-Type: multipart/mixed; boundary==b\n\n", 1000, "--=b\n\nx" },
        { "", "Received: from a by b; x\n", 300, "\nbody" },
        { "Content-Type: text/html\n\n", "<p>&amp;", 200000, "" },
        { "Content-Transfer-Encoding: base64\n\n", "!", 300000, "" },
        { "Content-Type: text/plain; charset=windows-1251\n\n", "\xef", 300000, "" },
        { "Subject: ", "=?utf-8?q?", 20000, "\n\n" }, { "From: ", "\"", 60000, "\n\n" },
        { "Content-Type: text/plain; ", "a=\"", 20000, "\n\nbody" },
        { "Content-Type: message/rfc822\n\n", "Content-Type: message/rfc822\n\n", 1000, "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = repeat(cases[i].head, cases[i].piece, cases[i].times, cases[i].tail);
        scan_notice(text);
        assert_true(mail.text.len <= QS_CAP_TEXT);
        assert_true(mail.part_count <= QS_CAP_PARTS);
        assert_true(mail.received_count <= QS_CAP_RECEIVED && mail.received_count <= mail.received_total);
        assert_true(mail.header.len + mail.body.len <= QS_CAP_CONTENT);
        talloc_free(text);
    }
    char *text = repeat("", "Received: from a by b; x\n", 300, "\nbody");
    scan(text);
    assert_int_equal(mail.received_count, QS_CAP_RECEIVED);
    assert_int_equal(mail.received_total, 300);
    talloc_free(text);
    text = repeat("Subject: s\nX: ", "\n y", 50000, "\nTo: late\n\nbody");
    scan(text);
    assert_span(mail.subject, "s");
    assert_span(mail.text, "body");             /* the body of a giant header is still found */
    assert_true(has(QS_T_CUT));
    talloc_free(text);
    text = repeat("\n", "word ", 20000, "");
    scan(text);
    assert_int_equal(mail.text.len, QS_CAP_TEXT);
    assert_int_equal(mail.text_total, 100000);
    talloc_free(text);
    qs_mail_scan(scanner, QS_SPAN("\nx"), true, false, &mail);
    assert_true(has(QS_T_CUT));
}

static bool valid_utf8(struct qs_span text)
{
    for (size_t i = 0; i < text.len;) {
        uint32_t c;
        unsigned n = qs_utf8_decode((const unsigned char *)text.ptr + i,
                                    (const unsigned char *)text.ptr + text.len, &c);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}

/* Scans a copy in a block of its own size, so that a byte read too far is found. */
static void scan_exact(const char *text, size_t n, bool notice)
{
    char *exact = malloc(n > 0 ? n : 1);
    assert_non_null(exact);
    memcpy(exact, text, n);
    qs_mail_scan(scanner, (struct qs_span){ exact, n }, false, notice, &mail);
    assert_true(valid_utf8(mail.text) && valid_utf8(mail.subject_text));
    assert_true(mail.header.len + mail.body.len <= n);
    assert_true((mail.returned.len > 0) == has(QS_T_RETURNED));
    assert_true((mail.text.len == 0) == has(QS_T_NO_TEXT));
    for (unsigned i = 0; i < mail.url_host_count; i++) {
        assert_true(mail.url_hosts[i].len > 0 && mail.url_hosts[i].len < 256);
    }
    free(exact);
}

static void cut_anywhere(void **state)
{
    (void)state;
    static const char *const messages[] = {
        "Received: from a.example (b [192.0.2.1]) by c (Postfix) with ESMTP id 1; x\r\nFrom: \"A\" "
        "<a@b.example>\r\n"
        "Subject: =?utf-8?B?R3LDvMOfZQ==?= =?koi8-r?q?=F0?=\r\nContent-Type: multipart/mixed; boundary=\"b "
        "1\"\r\n\r\n"
        "--b 1\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\nContent-Type: text/plain; "
        "charset=utf-16\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n/v8AaAB0AHQAcAA6AC8ALwBh\r\n--i\r\nContent-Type: "
        "text/html; charset=utf-7\r\n\r\n"
        "<p style='font-size:0'>+AOQA9g-</p><a href=http://x.example/>x&eacute;\r\n--i--\r\n--b 1\r\n"
        "Content-Type: image/png; name*=utf-8''x.scr\r\nContent-Transfer-Encoding: "
        "base64\r\n\r\niVBORw0KGgo=\r\n"
        "--b 1\r\nContent-Type: message/rfc822\r\n\r\nFrom: x\r\n\r\ny\r\n--b 1--\r\n",
        "From: <>\nContent-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B$\"$$\x1b(B\n--- Below\n\n> From: "
        "a\n> To: b\n>  c\n"
        "> Subject: d\n>\n> e\nf\n",
        ("Content-Type: text/plain; charset=big5\nContent-Transfer-Encoding: "
         "quoted-printable\n\n=A4=A4\xa4\xe5 =3D=\n= \nwww.x.y\n"),
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        for (size_t n = 0; n <= strlen(messages[i]); n++) {
            scan_exact(messages[i], n, true);
        }
    }
}

/* Samples with a few bytes changed at random. */
static void shaken(void **state)
{
    (void)state;
    static const char base[] =
        "From: a@b.example\nSubject: =?utf-8?q?x=20y?=\nReceived: from a (b [1.2.3.4]) by c with d id e; f\n"
        "Content-Type: multipart/alternative; boundary=\"b\"\n\n--b\nContent-Type: text/plain; "
        "charset=iso-8859-2\n"
        "Content-Transfer-Encoding: quoted-printable\n\nq=B1w http://h.example/\n--b\nContent-Type: "
        "text/html; charset=utf-8\n"
        "Content-Transfer-Encoding: base64\n\nPHA+eDxiIHN0eWxlPSJkaXNwbGF5Om5vbmUiPnk8L2I+Jm5ic3A7\n--b--\n";
    static const char nasty[] = "\n\r\t \"=;:-<>&?@\\()[]/%\0\x1b\x80\xc3\xff" "b0";
    uint32_t random = 7;
    for (unsigned round = 0; round < 20000; round++) {
        char text[sizeof(base)];
        memcpy(text, base, sizeof(base));
        for (unsigned i = 0; i < 1 + round % 8; i++) {
            random = random * 1664525 + 1013904223;
            text[(random >> 8) % (sizeof(base) - 1)] = nasty[(random >> 24) % sizeof(nasty)];
        }
        scan_exact(text, sizeof(base) - 1, (round & 1) != 0);
    }
}

static int setup(void **state)
{
    int result = root_setup(state);
    scanner = qs_mail_scanner_new(root);
    return scanner == NULL ? -1 : result;
}

static int teardown(void **state)
{
    talloc_free(scanner);
    return root_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),    cmocka_unit_test(header_ends),  cmocka_unit_test(from_addresses),
        cmocka_unit_test(subjects),  cmocka_unit_test(received),
        cmocka_unit_test(received_bare),     cmocka_unit_test(traits),
        cmocka_unit_test(plain),     cmocka_unit_test(multiparts),   cmocka_unit_test(alternatives),
        cmocka_unit_test(dresses),   cmocka_unit_test(attachments),  cmocka_unit_test(hosts),
        cmocka_unit_test(structure), cmocka_unit_test(reports),      cmocka_unit_test(text_bounces),
        cmocka_unit_test(caps),      cmocka_unit_test(cut_anywhere), cmocka_unit_test(shaken),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
