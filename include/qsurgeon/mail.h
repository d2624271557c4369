/* SPDX-License-Identifier: Apache-2.0 */
/* One walk over a message's bytes: the header fields that matter, the MIME parts, the text that a reader would see.
 * Written for speed on hostile input: no allocation per message, bounded depth, linear time. It is no full MIME library
 * (decode.h has GMime for people); tests/unit/test_mail_gmime.c compares the two.
 * RFC 5322, 2045-2047, 2231, 3462, 3464, 3834, 2369, 2919. */
#ifndef QSURGEON_MAIL_H
#define QSURGEON_MAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/reader.h"
#include "qsurgeon/text.h"

/* Caps: attackers choose the input. What lies beyond is counted, not read. One table, used by mail.c and scan.c. */
enum qs_caps {
    QS_CAP_CONTENT = 192 * 1024,    /* bytes of a message that are looked at */
    QS_CAP_HEADER = 64 * 1024,      /* bytes of a header block */
    QS_CAP_FIELDS = 400,            /* header fields of one block */
    QS_CAP_TEXT = 32 * 1024,        /* bytes of visible text that are fingerprinted */
    QS_CAP_DEPTH = 8,               /* nested multiparts */
    QS_CAP_PARTS = 64,              /* parts walked */
    QS_CAP_URLS = 16,               /* distinct link hosts kept of a message */
    QS_CAP_RECEIVED = 40,           /* Received fields looked at */
    QS_CAP_ATTACHMENT = 8 * 1024,   /* decoded bytes of an attachment that go into its digest */
};

/* What a message shows; each bit is one observation and no judgement. */
enum qs_trait {
    QS_T_HTML = 1u << 0,                /* has an HTML part */
    QS_T_HIDDEN_TEXT = 1u << 1,         /* HTML text that a reader cannot see, more than a preheader's worth */
    QS_T_ZERO_WIDTH = 1u << 2,          /* invisible characters inside words */
    QS_T_HOMOGLYPH = 1u << 3,           /* words that mix scripts */
    QS_T_DELIVERY_REPORT = 1u << 4,     /* multipart/report; report-type=delivery-status (RFC 3464) */
    QS_T_FEEDBACK_REPORT = 1u << 5,     /* other multipart/report: disposition-notification, feedback-report */
    QS_T_RETURNED = 1u << 6,            /* carries another message or its header: struct qs_mail.returned */
    QS_T_RETURNED_HEADER_ONLY = 1u << 7,
    QS_T_AUTO_SUBMITTED = 1u << 8,      /* Auto-Submitted other than "no" (RFC 3834), X-Autoreply, X-Autorespond... */
    QS_T_AUTO_REPLIED = 1u << 9,        /* the value is auto-replied, or a vacation program's own field */
    QS_T_PRECEDENCE_BULK = 1u << 10,    /* Precedence: bulk or junk */
    QS_T_PRECEDENCE_LIST = 1u << 11,
    QS_T_LIST_ID = 1u << 12,            /* RFC 2919 */
    QS_T_LIST_UNSUBSCRIBE = 1u << 13,   /* RFC 2369 */
    QS_T_LIST_POST = 1u << 14,
    QS_T_IN_REPLY_TO = 1u << 15,        /* In-Reply-To or References */
    QS_T_SCRIPT = 1u << 16,             /* X-PHP-Originating-Script and the like: handed over by a web script */
    QS_T_FROM_DAEMON = 1u << 17,        /* From: mailer-daemon, postmaster, a null address, "Mail Delivery System" */
    QS_T_BOUNCE_SUBJECT = 1u << 18,     /* the subject words of delivery failures */
    QS_T_AUTOREPLY_SUBJECT = 1u << 19,  /* the subject words of absence notices and automatic replies */
    QS_T_CHALLENGE = 1u << 20,          /* asks the sender to confirm (challenge-response) */
    QS_T_VIRUS_NOTICE = 1u << 21,       /* a scanner tells about a virus or banned file */
    QS_T_NO_DATE = 1u << 22,
    QS_T_NO_MESSAGE_ID = 1u << 23,
    QS_T_NO_FROM = 1u << 24,
    QS_T_ATTACHMENT = 1u << 25,
    QS_T_IMAGE = 1u << 26,
    QS_T_MALFORMED = 1u << 27,          /* MIME or header syntax that no ordinary mailer makes */
    QS_T_CUT = 1u << 28,                /* longer than a cap: the rest was not looked at */
    QS_T_NO_TEXT = 1u << 29,            /* no visible text at all */
    QS_T_EXECUTABLE = 1u << 30,         /* an attachment named as a program or script */
    QS_T_ENCODED_NEEDLESSLY = 1u << 31, /* base64 text of plain ASCII */
};

struct qs_received {
    struct qs_span from, by, with, id;  /* tokens behind these words, or empty */
    struct qs_span address;             /* the client address in brackets, without them */
    struct qs_span bare;                /* without brackets: the last comment in front of "by" that holds nothing else, as qmail and
                                           others write it, or the word behind "from", where neither that nor `address` is there;
                                           it may be none all the same */
    struct qs_span name;                /* in the same comment in front of the address: what the host looked up; or empty */
    bool login;                         /* the client had logged in: "with ESMTPSA" and the like (RFC 3848), or a comment
                                           behind the address says so, as those of Postfix and sendmail do */
};

/* The result of a walk. Spans point into the message or into the scanner's buffers and live until the scanner's next
 * use; those into the message live as long as the message.
 * Field spans are the raw unfolded-in-place values: may hold folding (CR, LF, blanks) and encoded words. */
struct qs_mail {
    struct qs_span header;              /* the whole header block */
    struct qs_span body;                /* what follows the empty line */
    struct qs_span from, sender, reply_to, to, cc, subject, date, message_id, in_reply_to, references;
    struct qs_span list_id, mailer, content_type, return_path, script, originating_ip, feedback_id;
    struct qs_span from_address;        /* the first address in From, without brackets */
    struct qs_received received[QS_CAP_RECEIVED];   /* newest first */
    unsigned received_count;            /* of those in received[] */
    unsigned received_total;
    uint32_t traits;                    /* enum qs_trait */
    struct qs_span subject_text;        /* decoded, UTF-8 (RFC 2047) */
    struct qs_span text;                /* visible text, UTF-8, lines ended as in the message, at most QS_CAP_TEXT;
                                           of alternatives the HTML one where it says anything, else the plain one;
                                           without a returned message that stood in it */
    uint32_t text_total;                /* bytes of visible text before the cap, saturating */
    uint32_t hidden_total;              /* bytes of hidden text */
    struct qs_span url_hosts[QS_CAP_URLS];  /* distinct, lower case, in order of appearance */
    unsigned url_host_count;
    unsigned url_total;
    unsigned part_count;
    uint64_t structure;                 /* digest of MIME shape and of the field names as written below the oldest
                                           Received, in order; not of any value */
    uint64_t attachment;                /* digest of the first attachment: kind and as many decoded bytes as the
                                           largest power of two in its size, at most QS_CAP_ATTACHMENT; 0: none */
    uint32_t attachment_size;           /* encoded bytes of all attachments, saturating */
    struct qs_span returned;            /* the first embedded message or header, as bytes; empty: none */
};

struct qs_mail_scanner;                 /* the buffers of one thread */
struct qs_mail_scanner *qs_mail_scanner_new(TALLOC_CTX *parent);

/* Walks `content` (header and body, LF or CRLF), which is the whole message unless `cut`. notice_likely says that the
 * envelope sender was null, so that returned messages are also looked for in plain text (qmail, exim, old MTAs).
 * Never fails: what cannot be understood is passed over and shows in traits. Time is linear in content.len. */
void qs_mail_scan(struct qs_mail_scanner *scanner, struct qs_span content, bool cut, bool notice_likely,
                  struct qs_mail *out);

/* Decodes the RFC 2047 words of a header value into UTF-8, unfolding it; appends to `out`. False: out of memory. */
bool qs_mail_decode_header(struct qs_buffer *out, struct qs_span raw);

/* The text/html bytes as the text that a browser would show, appended to `out` (bounded by QS_CAP_TEXT); what CSS or
 * attributes hide (display:none, tiny or background-coloured text, zero size) is left out and counted in *hidden. Link
 * hosts are handed to `link`. One pass, no tree, entity expansion bounded by the input's length. */
bool qs_html_text(struct qs_buffer *out, struct qs_span html, uint32_t *hidden,
                  void (*link)(void *data, struct qs_span url), void *data);

#endif
