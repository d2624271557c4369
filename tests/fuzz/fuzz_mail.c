/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the bytes: a message's scan keeps its caps, its text is valid UTF-8, and the same message gives
 * the same result from a scanner that has read another one before. */
#include <stdlib.h>
#include <string.h>

#include "qsurgeon/fingerprint.h"
#include "qsurgeon/mail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void must_be_utf8(struct qs_span text)
{
    const unsigned char *p = (const unsigned char *)text.ptr, *end = text.len == 0 ? p : p + text.len;
    while (p < end) {
        uint32_t c;
        unsigned n = qs_utf8_decode(p, end, &c);
        must(n > 0);
        p += n;
    }
}

/* Inside the message, or not at all in it. */
static void must_lie_in(struct qs_span span, const char *content, size_t size)
{
    must(span.len == 0 || (span.ptr >= content && span.len <= size
                           && (size_t)(span.ptr - content) <= size - span.len));
}

static void check(const struct qs_mail *m, const char *content, size_t size)
{
    const struct qs_span fields[] = {
        m->header, m->body, m->from, m->sender, m->reply_to, m->to, m->cc, m->subject, m->date, m->message_id,
        m->in_reply_to, m->references, m->list_id, m->mailer, m->content_type, m->return_path, m->script,
        m->originating_ip, m->feedback_id, m->from_address,
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        must_lie_in(fields[i], content, size);
    }
    must(m->received_count <= QS_CAP_RECEIVED && m->received_count <= m->received_total);
    for (unsigned i = 0; i < m->received_count; i++) {
        must_lie_in(m->received[i].from, content, size);
        must_lie_in(m->received[i].by, content, size);
        must_lie_in(m->received[i].with, content, size);
        must_lie_in(m->received[i].id, content, size);
        must_lie_in(m->received[i].address, content, size);
    }
    must(m->text.len <= QS_CAP_TEXT && m->part_count <= QS_CAP_PARTS && m->url_host_count <= QS_CAP_URLS);
    must(m->url_host_count <= m->url_total);
    must((m->text.len == 0) == ((m->traits & QS_T_NO_TEXT) != 0));
    must((m->returned.len > 0) == ((m->traits & QS_T_RETURNED) != 0));
    must(m->returned.len <= QS_CAP_CONTENT);
    must_be_utf8(m->text);
    must_be_utf8(m->subject_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char other[] = "From: x@y.example\nSubject: =?utf-8?q?other?=\nContent-Type: text/html\n\n"
        "<a href=http://z.example>text</a>";
    struct qs_mail_scanner *scanner = qs_mail_scanner_new(NULL);
    struct qs_fingerprinter *printer = qs_fingerprinter_new(NULL);
    struct qs_mail *mail = talloc(NULL, struct qs_mail);
    char *content = malloc(size > 0 ? size : 1);
    if (scanner == NULL || printer == NULL || mail == NULL || content == NULL) {
        abort();
    }
    memcpy(content, data, size);
    for (unsigned notice = 0; notice < 2; notice++) {
        struct qs_fingerprint first, second;
        struct qs_span whole = { content, size };
        qs_mail_scan(scanner, whole, false, notice == 1, mail);
        check(mail, content, size);
        qs_fingerprint_text(printer, mail->text, &first);
        uint64_t structure = mail->structure;
        uint32_t traits = mail->traits;
        qs_mail_scan(scanner, QS_SPAN(other), false, false, mail);
        qs_mail_scan(scanner, whole, false, notice == 1, mail);
        qs_fingerprint_text(printer, mail->text, &second);
        must(memcmp(&first, &second, sizeof(first)) == 0);
        must(structure == mail->structure && traits == mail->traits);
    }
    free(content);
    talloc_free(mail);
    talloc_free(printer);
    talloc_free(scanner);
    return 0;
}
