/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a message: header fields, MIME parts, visible text, returned message. Transfer encodings
 * and charsets are coding.c's, HTML is html.c's, the vocabulary of notices is notice.c's. */
#include "qsurgeon/mail.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bytes.h"
#include "coding.h"
#include "html.h"
#include "notice.h"
#include "words.h"

enum {
    HOST_BYTES = 255,
    PASSWORD_BYTES = 64,
    HIDDEN_MUCH = 300,          /* bytes of hidden text that are more than a preheader */
    HTML_ENOUGH = 20,           /* bytes of visible HTML text that make the plain alternative needless */
    BOUNDARY_BYTES = 255,
};

enum encoding { ENCODING_NONE, ENCODING_BASE64, ENCODING_QUOTED_PRINTABLE, ENCODING_OTHER };

enum kind {
    KIND_PLAIN,
    KIND_HTML,
    KIND_MULTIPART,
    KIND_MESSAGE,
    KIND_HEADERS,
    KIND_REPORT,
    KIND_SIGNATURE,
    KIND_IMAGE,
    KIND_OTHER,
};

enum grouping { GROUP_MIXED, GROUP_ALTERNATIVE, GROUP_DIGEST, GROUP_REPORT };

/* A part's own header, as far as it matters. */
struct part {
    enum kind kind;
    enum grouping group;
    enum encoding encoding;
    bool attached, executable;
    struct charset charset;
    struct qs_span boundary, report;
    uint64_t type;              /* digest of type/subtype */
};

/* An open multipart. */
struct frame {
    struct qs_span boundary;
    enum grouping group;
    bool html_done, waiting;    /* of an alternative: HTML text was taken; a plain part waits to be needed */
    struct part plain;
    struct qs_span plain_body;
};

struct qs_mail_scanner {
    struct notice_index index;
    struct frame frame[QS_CAP_DEPTH];
    char boundary[QS_CAP_DEPTH][BOUNDARY_BYTES];
    char host[QS_CAP_URLS][HOST_BYTES + 1];
    char subject[4096];
    char text[QS_CAP_TEXT];
    char decoded[QS_CAP_CONTENT];       /* a part without its transfer encoding */
    char utf8[QS_CAP_CONTENT];          /* the same in UTF-8 */
    char returned[QS_CAP_CONTENT];
};

struct qs_mail_scanner *qs_mail_scanner_new(TALLOC_CTX *parent)
{
    struct qs_mail_scanner *scanner = talloc(parent, struct qs_mail_scanner);
    if (scanner != NULL) {
        notice_index_make(&scanner->index);
    }
    return scanner;
}

/* One call of qs_mail_scan(). */
struct walk {
    struct qs_mail_scanner *s;
    struct qs_mail *out;
    const char *end;            /* of the content looked at */
    unsigned depth;
    struct part root;
};

/* --- small tools --- */

static bool same_nocase(const char *p, const char *lower, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (byte_lower(p[i]) != lower[i]) {
            return false;
        }
    }
    return true;
}

/* For literals in lower case. */
#define IS(span, literal)                                                                                    \
    ((span).len == sizeof(literal) - 1 && same_nocase((span).ptr, literal, sizeof(literal) - 1))
#define STARTS(span, literal) \
    ((span).len >= sizeof(literal) - 1 && same_nocase((span).ptr, literal, sizeof(literal) - 1))

static struct qs_span span_between(const char *p, const char *end)
{
    return (struct qs_span){ p, (size_t)(end - p) };
}

static uint64_t digest_nocase(struct qs_span v)
{
    char low[64];
    size_t n = v.len < sizeof(low) ? v.len : sizeof(low);
    for (size_t i = 0; i < n; i++) {
        low[i] = byte_lower(v.ptr[i]);
    }
    return XXH3_64bits(low, n);
}

static void add_structure(struct walk *w, uint64_t what)
{
    uint64_t x = (w->out->structure ^ what) * UINT64_C(0x9e3779b97f4a7c15);
    w->out->structure = x ^ x >> 29;
}

static uint32_t saturate(uint64_t n)
{
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* --- header fields --- */

/* The next field of a header block in [*at, end): its name and its value with folding. Moves *at behind
 * it. False at the end of the block; *at is then the first byte of the body. Lines that are no field are
 * passed over. */
static bool next_field(const char **at, const char *end, struct qs_span *name, struct qs_span *value,
                       bool *malformed)
{
    const char *p = *at;
    for (;;) {
        if (p >= end) {
            *at = end;
            return false;
        }
        if (*p == '\n') {
            *at = p + 1;
            return false;
        }
        if (*p == '\r' && end - p >= 2 && p[1] == '\n') {
            *at = p + 2;
            return false;
        }
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop == NULL ? end : stop;
        const char *colon = byte_find_name_end(p, stop), *name_end = colon;
        while (colon < stop && (*colon == ' ' || *colon == '\t')) {
            colon++;
        }
        if (colon == stop || *colon != ':' || name_end == p) {
            if (!(p == *at && stop - p > 5 && (memcmp(p, "From ", 5) == 0 || memcmp(p, ">From", 5) == 0))) {
                *malformed = true;
            }
            p = stop < end ? stop + 1 : end;
            continue;
        }
        *name = span_between(p, name_end);
        while (end - stop >= 2 && (stop[1] == ' ' || stop[1] == '\t')) {
            const char *next = memchr(stop + 1, '\n', (size_t)(end - stop - 1));
            stop = next == NULL ? end : next;
        }
        colon++;
        while (colon < stop && byte_is_blank(*colon)) {
            colon++;
        }
        const char *value_end = stop;
        while (value_end > colon && byte_is_blank(value_end[-1])) {
            value_end--;
        }
        *value = span_between(colon, value_end);
        *at = stop < end ? stop + 1 : end;
        return true;
    }
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && byte_is_blank(*p)) {
        p++;
    }
    return p;
}

static bool name_is_executable(struct qs_span name)
{
    static const char endings[][4] = {
        "exe", "scr", "pif", "com", "bat", "cmd", "vbs", "vbe", "js",  "jse", "wsf",
        "wsh", "hta", "lnk", "ps1", "msi", "cpl", "jar", "dll", "reg", "iso", "img",
    };
    size_t end = name.len;
    while (end > 0 && (name.ptr[end - 1] == '=' || name.ptr[end - 1] == '?' || name.ptr[end - 1] == '"'
                       || name.ptr[end - 1] == '.' || byte_is_blank(name.ptr[end - 1]))) {
        end--;
    }
    size_t dot = end;
    while (dot > 0 && end - dot < 4 && name.ptr[dot - 1] != '.') {
        dot--;
    }
    if (dot == 0 || end - dot > 3) {
        return false;
    }
    char low[4] = { 0 };
    for (size_t i = dot; i < end; i++) {
        low[i - dot] = byte_lower(name.ptr[i]);
    }
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        if (memcmp(low, endings[i], sizeof(low)) == 0) {
            return true;
        }
    }
    return false;
}

/* Parameters of Content-Type or Content-Disposition behind the value's first ';'. Continued ones (RFC
 * 2231) count with their first piece. */
static void parameters(struct part *part, const char *p, const char *end)
{
    while (p < end) {
        while (p < end && (byte_is_blank(*p) || *p == ';')) {
            p++;
        }
        const char *start = p;
        while (p < end && *p != '=' && *p != ';' && *p != '*' && !byte_is_blank(*p)) {
            p++;
        }
        struct qs_span key = span_between(start, p);
        while (p < end && *p != '=' && *p != ';') {
            p++;
        }
        if (p == end || *p == ';') {
            continue;
        }
        p = skip_blanks(p + 1, end);
        struct qs_span value;
        if (p < end && *p == '"') {
            start = ++p;
            while (p < end && *p != '"') {
                p += *p == '\\' && end - p >= 2 ? 2 : 1;
            }
            value = span_between(start, p);
            while (p < end && *p != ';') {
                p++;
            }
        } else {
            start = p;
            while (p < end && *p != ';') {
                p++;
            }
            value = qs_span_trim(span_between(start, p));
        }
        if (IS(key, "charset")) {
            size_t n = 0;
            while (n < value.len && !byte_is_blank(value.ptr[n]) && value.ptr[n] != '('
                   && value.ptr[n] != '"') {
                n++;
            }
            part->charset = charset_find((struct qs_span){ value.ptr, n });
        } else if (IS(key, "boundary") && part->boundary.len == 0) {
            part->boundary = value;
        } else if (IS(key, "name") || IS(key, "filename")) {
            part->executable = part->executable || name_is_executable(value);
        } else if (IS(key, "report-type")) {
            part->report = value;
        }
    }
}

static void content_type(struct part *part, struct qs_span value)
{
    const char *p = value.ptr, *end = p + value.len, *stop = p;
    while (stop < end && *stop != ';' && !byte_is_blank(*stop)) {
        stop++;
    }
    struct qs_span type = span_between(p, stop);
    part->type = digest_nocase(type);
    part->kind = KIND_OTHER;
    switch (type.len == 0 ? 0 : byte_lower(type.ptr[0])) {
    case 't':
        if (IS(type, "text/html") || IS(type, "text/enriched") || IS(type, "text/richtext")) {
            part->kind = KIND_HTML;
        } else if (IS(type, "text/rfc822-headers") || IS(type, "text/rfc822-header")) {
            part->kind = KIND_HEADERS;
        } else if (IS(type, "text/plain") || IS(type, "text") || IS(type, "text/")) {
            part->kind = KIND_PLAIN;
        }
        break;
    case 'm':
        if (STARTS(type, "multipart/")) {
            struct qs_span sub = { type.ptr + 10, type.len - 10 };
            part->kind = KIND_MULTIPART;
            part->group = IS(sub, "alternative") ? GROUP_ALTERNATIVE : IS(sub, "digest") ? GROUP_DIGEST
                : IS(sub, "report") ? GROUP_REPORT : GROUP_MIXED;
        } else if (STARTS(type, "message/")) {
            struct qs_span sub = { type.ptr + 8, type.len - 8 };
            part->kind = IS(sub, "rfc822") || IS(sub, "global") || IS(sub, "news") || IS(sub, "partial")
                ? KIND_MESSAGE
                : IS(sub, "rfc822-headers") || IS(sub, "global-headers") ? KIND_HEADERS : KIND_REPORT;
        }
        break;
    case 'i':
        part->kind = STARTS(type, "image/") ? KIND_IMAGE : KIND_OTHER;
        break;
    case 'a':
        if (IS(type, "application/pgp-signature") || IS(type, "application/pkcs7-signature")
            || IS(type, "application/x-pkcs7-signature")) {
            part->kind = KIND_SIGNATURE;
        }
        break;
    case 0:
        part->kind = KIND_PLAIN;
        break;
    default:
        break;
    }
    if (stop < end) {
        stop = memchr(stop, ';', (size_t)(end - stop));
        if (stop != NULL) {
            parameters(part, stop, end);
        }
    }
}

/* A Content- field; name is without that prefix. */
static void content_field(struct part *part, struct qs_span name, struct qs_span value)
{
    if (IS(name, "type")) {
        content_type(part, value);
    } else if (IS(name, "transfer-encoding")) {
        part->encoding = STARTS(value, "base64") ? ENCODING_BASE64
            : STARTS(value, "quoted-printable") ? ENCODING_QUOTED_PRINTABLE
            : STARTS(value, "x-uu") || STARTS(value, "uu") ? ENCODING_OTHER : ENCODING_NONE;
    } else if (IS(name, "disposition")) {
        part->attached = STARTS(value, "attachment");
        const char *p = value.len == 0 ? NULL : memchr(value.ptr, ';', value.len);
        if (p != NULL) {
            struct charset charset = part->charset;
            parameters(part, p, value.ptr + value.len);
            part->charset = charset;
        }
    }
}

static const struct part plain_part = { .kind = KIND_PLAIN };
static const struct part message_part = { .kind = KIND_MESSAGE };

/* Could it be an address? Of letters, digits and marks that those are made of. */
static bool is_like_address(struct qs_span text)
{
    unsigned dots = 0, colons = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = byte_lower(text.ptr[i]);
        dots += c == '.';
        colons += c == ':';
        if (c != '.' && c != ':' && !byte_is_digit(c) && !(c >= 'a' && c <= 'f')) {
            return false;
        }
    }
    return text.len < 46 && (colons > 1 || (colons == 0 && dots == 3));
}

static void parse_received(struct qs_received *r, struct qs_span value)
{
    *r = (struct qs_received){ .from = { NULL, 0 } };
    const char *p = value.ptr, *end = p + value.len;
    struct qs_span *want = NULL;
    const char *comment = p;    /* the beginning of the last one */
    bool greets = false;        /* the word in front was HELO, in a comment */
    unsigned inside = 0;        /* parentheses */
    bool claimed = false;       /* the address is the word behind "from": what the client says, where comments tell another */
    while (p < end) {
        char c = *p;
        if (byte_is_blank(c)) {
            p++;
        } else if (c == '(') {
            p++;
            comment = inside++ == 0 ? p : comment;
        } else if (c == ')') {
            if (inside == 1 && r->from.ptr != NULL && r->by.ptr == NULL && is_like_address(span_between(comment, p))) {
                r->bare = span_between(comment, p);
            }
            inside -= inside > 0;
            greets = false;
            if (r->address.len == 0 || claimed) {
                r->name.len = 0;    /* was not in front of an address */
            }
            p++;
        } else if (c == ';' && inside == 0) {
            break;              /* the date */
        } else {
            const char *start = p;
            while (p < end && !byte_is_blank(*p) && *p != '(' && *p != ')' && *p != ';') {
                p++;
            }
            struct qs_span token = span_between(start, p);
            if (p == start) {
                p++;            /* ';' in a comment */
                continue;
            }
            /* what the client says itself: qmail's (HELO x), Exim's (helo=x ident=y) */
            const bool said = inside > 0 && (greets || STARTS(token, "helo=") || STARTS(token, "ident="));
            greets = inside > 0 && (IS(token, "helo") || IS(token, "ehlo"));
            const char *bracket = said || (r->address.len > 0 && !(claimed && inside > 0)) || r->by.ptr != NULL
                                      ? NULL : memchr(start, '[', token.len);
            if (bracket != NULL) {
                const char *close = memchr(bracket, ']', (size_t)(p - bracket));
                struct qs_span address = span_between(bracket + 1, close == NULL ? p : close);
                if (STARTS(address, "ipv6:")) {
                    address.ptr += 5;
                    address.len -= 5;
                }
                if (address.len > 1) {
                    r->address = address;
                    claimed = inside == 0;
                }
            }
            if (inside > 0) {
                r->login |= r->address.len > 0 && IS(token, "authenticated");
                if (bracket == NULL && (r->address.len == 0 || claimed) && r->by.ptr == NULL) {
                    r->name = token;
                }
                continue;
            }
            if (want != NULL) {
                *want = token;
                want = NULL;
                continue;
            }
            switch (token.len) {
            case 2:
                want = IS(token, "by") && r->by.ptr == NULL   ? &r->by
                       : IS(token, "id") && r->id.ptr == NULL ? &r->id
                                                              : NULL;
                break;
            case 4:
                want = IS(token, "from") && r->from.ptr == NULL ? &r->from
                    : IS(token, "with") && r->with.ptr == NULL ? &r->with : NULL;
                break;
            default:
                break;
            }
        }
    }
    if (r->with.len > 5 && (r->with.ptr[r->with.len - 1] | 0x20) == 'a') {
        r->login = true;        /* ESMTPA, LMTPSA, UTF8SMTPSA */
    }
    if (r->address.len == 0 && r->from.len > 0 && byte_is_digit(r->from.ptr[0])) {
        size_t n = 0;
        while (n < r->from.len && (byte_is_digit(r->from.ptr[n]) || r->from.ptr[n] == '.')) {
            n++;
        }
        if (n == r->from.len) {
            r->address = r->from;
            claimed = true;
        }
    }
    if (r->address.len > 0 && !claimed) {
        r->bare.len = 0;
    } else if (r->address.len == 0 && r->bare.len == 0 && is_like_address(r->from)) {
        r->bare = r->from;
    }
}

/* The first address of a From value. */
static struct qs_span first_address(struct qs_span value)
{
    if (value.len == 0) {
        return value;
    }
    const char *p = value.ptr, *end = p + value.len;
    const char *token = NULL;   /* of a bare address: the first one that holds '@' */
    struct qs_span bare = { NULL, 0 };
    bool at = false, unclosed = false;
    unsigned inside = 0;
    for (; p <= end; p++) {
        char c = p < end ? *p : ' ';
        if (inside == 0 && c == '"' && !unclosed) {
            const char *q = p + 1;
            while (q < end && *q != '"') {
                q += *q == '\\' && end - q >= 2 ? 2 : 1;
            }
            unclosed = q >= end;
            if (unclosed) {
                continue;
            }
            if (token == NULL) {
                token = p;
            }
            p = q;
        } else if (c == '(') {
            inside++;
        } else if (c == ')') {
            inside -= inside > 0;
        } else if (inside > 0) {
            continue;
        } else if (c == '<') {
            const char *q = memchr(p, '>', (size_t)(end - p));
            return qs_span_trim(span_between(p + 1, q == NULL ? end : q));
        } else if (byte_is_blank(c) || c == ',' || c == ';') {
            if (token != NULL && at && bare.len == 0) {
                bare = span_between(token, p < end ? p : end);
            }
            token = NULL;
            at = false;
            if (c == ',' && bare.len > 0) {
                break;
            }
        } else {
            token = token == NULL ? p : token;
            at = at || c == '@';
        }
    }
    return bare;
}

static void set_once(struct qs_span *field, struct qs_span value)
{
    if (field->ptr == NULL) {
        *field = value;
    }
}

static void x_field(struct walk *w, struct qs_span name, struct qs_span value)
{
    struct qs_mail *out = w->out;
    name.ptr += 2;
    name.len -= 2;
    switch (byte_lower(name.ptr[0])) {
    case 'a':
        if (STARTS(name, "auto-response-suppress") || STARTS(name, "autogenerated")) {
            out->traits |= QS_T_AUTO_SUBMITTED;
        } else if (STARTS(name, "autore") || STARTS(name, "auto-re")) {
            out->traits |= QS_T_AUTO_SUBMITTED | QS_T_AUTO_REPLIED;
        }
        break;
    case 'c':
        if (IS(name, "client-ip")) {
            set_once(&out->originating_ip, value);
        }
        break;
    case 'f':
        if (IS(name, "failed-recipients")) {
            out->traits |= QS_T_AUTO_SUBMITTED;
        }
        break;
    case 'm':
        if (IS(name, "mailer")) {
            set_once(&out->mailer, value);
        } else if (STARTS(name, "mail-autoreply")) {
            out->traits |= QS_T_AUTO_SUBMITTED | QS_T_AUTO_REPLIED;
        }
        break;
    case 'o':
        if (IS(name, "originating-ip")) {
            set_once(&out->originating_ip, value);
        } else if (IS(name, "originating-script")) {
            set_once(&out->script, value);
            out->traits |= QS_T_SCRIPT;
        }
        break;
    case 'p':
        if (STARTS(name, "php-")) {
            set_once(&out->script, value);
            out->traits |= QS_T_SCRIPT;
        } else if (IS(name, "precedence") && STARTS(value, "auto")) {
            out->traits |= QS_T_AUTO_SUBMITTED | QS_T_AUTO_REPLIED;
        }
        break;
    case 's':
        if (IS(name, "source-args") || IS(name, "script")) {
            set_once(&out->script, value);
            out->traits |= QS_T_SCRIPT;
        } else if (IS(name, "sender-ip") || IS(name, "senderip")) {
            set_once(&out->originating_ip, value);
        }
        break;
    case 'v':
        if (STARTS(name, "vacation")) {
            out->traits |= QS_T_AUTO_SUBMITTED | QS_T_AUTO_REPLIED;
        }
        break;
    default:
        break;
    }
}

static void list_field(struct qs_mail *out, struct qs_span name, struct qs_span value)
{
    if (IS(name, "list-id")) {
        set_once(&out->list_id, value);
        out->traits |= QS_T_LIST_ID;
    } else if (IS(name, "list-unsubscribe")) {
        out->traits |= QS_T_LIST_UNSUBSCRIBE;
    } else if (IS(name, "list-post")) {
        out->traits |= QS_T_LIST_POST;
    }
}

static void precedence(struct qs_mail *out, struct qs_span value)
{
    if (IS(value, "bulk") || IS(value, "junk")) {
        out->traits |= QS_T_PRECEDENCE_BULK;
    } else if (IS(value, "list")) {
        out->traits |= QS_T_PRECEDENCE_LIST;
    } else if (STARTS(value, "auto")) {
        out->traits |= QS_T_AUTO_SUBMITTED | QS_T_AUTO_REPLIED;
    }
}

static void message_field(struct walk *w, struct qs_span name, struct qs_span value)
{
    struct qs_mail *out = w->out;
    switch (byte_lower(name.ptr[0])) {
    case 'a':
        if (IS(name, "auto-submitted") && !STARTS(value, "no")) {
            out->traits |= QS_T_AUTO_SUBMITTED
                           | (STARTS(value, "auto-replied") ? (uint32_t)QS_T_AUTO_REPLIED : 0);
        }
        break;
    case 'c':
        if (IS(name, "cc")) {
            set_once(&out->cc, value);
        } else if (STARTS(name, "content-")) {
            if (IS(name, "content-type")) {
                set_once(&out->content_type, value);
            }
            content_field(&w->root, (struct qs_span){ name.ptr + 8, name.len - 8 }, value);
        }
        break;
    case 'd':
        if (IS(name, "date")) {
            set_once(&out->date, value);
        }
        break;
    case 'f':
        if (IS(name, "from")) {
            set_once(&out->from, value);
        } else if (IS(name, "feedback-id")) {
            set_once(&out->feedback_id, value);
        }
        break;
    case 'i':
        if (IS(name, "in-reply-to")) {
            set_once(&out->in_reply_to, value);
        }
        break;
    case 'l':
        list_field(out, name, value);
        break;
    case 'm':
        if (IS(name, "message-id")) {
            set_once(&out->message_id, value);
        }
        break;
    case 'p':
        if (IS(name, "precedence")) {
            precedence(out, value);
        }
        break;
    case 'r':
        if (IS(name, "received")) {
            if (out->received_count < QS_CAP_RECEIVED) {
                parse_received(&out->received[out->received_count++], value);
            }
            out->received_total++;
            out->structure = 0;     /* what stands above was put there by others than the author's program */
            return;
        }
        if (IS(name, "reply-to")) {
            set_once(&out->reply_to, value);
        } else if (IS(name, "references")) {
            set_once(&out->references, value);
        } else if (IS(name, "return-path")) {
            set_once(&out->return_path, value);
            return;
        }
        break;
    case 's':
        if (IS(name, "subject")) {
            set_once(&out->subject, value);
        } else if (IS(name, "sender")) {
            set_once(&out->sender, value);
        }
        break;
    case 't':
        if (IS(name, "to")) {
            set_once(&out->to, value);
        }
        break;
    case 'u':
        if (IS(name, "user-agent")) {
            set_once(&out->mailer, value);
        }
        break;
    case 'x':
        if (name.len > 2 && name.ptr[1] == '-') {
            x_field(w, name, value);
        }
        break;
    default:
        break;
    }
    add_structure(w, XXH3_64bits(name.ptr, name.len < 64 ? name.len : 64));
}

/* Reads the message's header block; returns where the body begins. */
static const char *message_header(struct walk *w, const char *p)
{
    const char *start = p, *limit = w->end - p > QS_CAP_HEADER ? p + QS_CAP_HEADER : w->end;
    struct qs_span name, value;
    bool malformed = false;
    unsigned fields = 0;
    for (;;) {
        if (fields == QS_CAP_FIELDS || (p == limit && limit < w->end)) {    /* the rest of a giant header */
            w->out->traits |= QS_T_CUT;
            while (p < w->end && !(*p == '\n' || (*p == '\r' && w->end - p >= 2 && p[1] == '\n'))) {
                const char *q = memchr(p, '\n', (size_t)(w->end - p));
                p = q == NULL ? w->end : q + 1;
            }
            w->out->header = span_between(start, p);
            p += p < w->end && *p == '\r';
            p += p < w->end;
            break;
        }
        const char *before = p;
        if (!next_field(&p, limit, &name, &value, &malformed)) {
            if (p == limit && limit < w->end && limit[-1] != '\n') {
                continue;
            }
            w->out->header = span_between(start, p);
            if (p > before) {   /* without the empty line */
                w->out->header.len -= p - before >= 2 && p[-2] == '\r'   ? 2
                                      : p[-1] == '\n' && p == before + 1 ? 1
                                                                         : 0;
            }
            break;
        }
        fields++;
        message_field(w, name, value);
    }
    if (malformed) {
        w->out->traits |= QS_T_MALFORMED;
    }
    return p;
}

/* Reads a part's header; returns where its body begins. A part that has the header of a message instead of
 * its own, as some systems return mail, becomes that message. */
static const char *part_header(struct walk *w, const char *p, struct part *part)
{
    const char *start = p, *limit = w->end - p > QS_CAP_HEADER ? p + QS_CAP_HEADER : w->end;
    struct qs_span name, value;
    bool malformed = false;
    unsigned usual = 0;
    for (unsigned fields = 0; fields < QS_CAP_FIELDS && next_field(&p, limit, &name, &value, &malformed);
         fields++) {
        if (STARTS(name, "content-")) {
            content_field(part, (struct qs_span){ name.ptr + 8, name.len - 8 }, value);
        } else {
            usual |= notice_usual_field(name);
        }
    }
    if (__builtin_popcount(usual) >= NOTICE_USUAL && (usual & NOTICE_TRACE) != 0) {
        *part = message_part;
        return start;
    }
    if (malformed) {
        w->out->traits |= QS_T_MALFORMED;
    }
    return p;
}

/* --- links --- */

/* The host of a link, lowered and without escapes, into to[HOST_BYTES + 1]; its length, 0: none. */
static size_t link_host(char *to, struct qs_span url)
{
    const char *p = url.ptr, *end = p + url.len;
    p = skip_blanks(p, end);
    if (end - p >= 2 && p[0] == '/' && p[1] == '/') {
        p += 2;
    } else {
        const char *q = p;
        while (q < end && q - p < 12 && byte_is_alpha(*q)) {
            q++;
        }
        if (q == p || end - q < 3 || *q != ':' || (q[1] != '/' && q[1] != '\\')
            || (q[2] != '/' && q[2] != '\\')) {
            return 0;
        }
        p = q + 3;
    }
    size_t n = 0;
    for (; p < end && n < HOST_BYTES; p++) {
        char c = *p;
        if (c == '%' && end - p >= 3 && byte_hex(p[1]) < 16 && byte_hex(p[2]) < 16) {
            c = (char)(byte_hex(p[1]) << 4 | byte_hex(p[2]));
            p += 2;
        }
        if (c == ':') {         /* a port, or user:password@ */
            const char *q = p + 1;
            while (q < end && q - p < PASSWORD_BYTES && *q > ' ' && *q != '/' && *q != '?' && *q != '#'
                   && *q != '@') {
                q++;
            }
            if (q == end || *q != '@') {
                break;
            }
            p = q;
            c = '@';
        }
        if (c == '@') {
            n = 0;              /* what stood before was a user name */
            continue;
        }
        if (c == '\n' || c == '\r' || c == '\t') {
            continue;           /* browsers take these out */
        }
        if (!byte_is_alpha(c) && !byte_is_digit(c) && c != '.' && c != '-' && c != '_'
            && (unsigned char)c < 0x80) {
            break;
        }
        to[n++] = byte_lower(c);
    }
    while (n > 0 && to[n - 1] == '.') {
        n--;
    }
    return n;
}

/* True when the host is new. */
static bool add_host(struct walk *w, const char *host, size_t n)
{
    struct qs_mail *out = w->out;
    for (unsigned i = 0; i < out->url_host_count; i++) {
        if (out->url_hosts[i].len == n && memcmp(out->url_hosts[i].ptr, host, n) == 0) {
            return false;
        }
    }
    if (out->url_host_count < QS_CAP_URLS) {
        char *to = w->s->host[out->url_host_count];
        memcpy(to, host, n);
        out->url_hosts[out->url_host_count++] = (struct qs_span){ to, n };
    }
    return true;
}

static void html_link(void *data, struct qs_span url)
{
    struct walk *w = data;
    char host[HOST_BYTES + 1];
    size_t n = link_host(host, url);
    if (n > 0) {
        add_host(w, host, n);
        w->out->url_total++;
    }
}

/* Links in text: "scheme://host" and "www.host". With `fresh`, only hosts that were not seen count. */
static void text_links(struct walk *w, struct qs_span text, bool fresh)
{
    const char *start = text.ptr, *end = start + text.len;
    char host[HOST_BYTES + 1];
    for (const char *p = byte_find_pair(start, end, ':', '/'); p < end;
         p = byte_find_pair(p + 1, end, ':', '/')) {
        const char *scheme = p;
        while (scheme > start && p - scheme < 8 && byte_is_alpha(scheme[-1])) {
            scheme--;
        }
        size_t n = scheme == p ? 0 : link_host(host, span_between(scheme, end - p > 300 ? p + 300 : end));
        if (n > 0 && (add_host(w, host, n) || !fresh)) {
            w->out->url_total++;
        }
    }
    for (const char *p = byte_find_pair(start, end, 'w', 'w'); p < end;
         p = byte_find_pair(p + 1, end, 'w', 'w')) {
        if (end - p > 4 && p[2] == 'w' && p[3] == '.' && (p == start || byte_is_blank(p[-1]) || p[-1] == '('
                                                          || p[-1] == '<' || p[-1] == '"')) {
            char url[HOST_BYTES + 3] = "//";
            size_t n = (size_t)(end - p) < HOST_BYTES ? (size_t)(end - p) : HOST_BYTES;
            memcpy(url + 2, p, n);
            n = link_host(host, (struct qs_span){ url, n + 2 });
            if (n > 4 && (add_host(w, host, n) || !fresh)) {
                w->out->url_total++;
            }
        }
    }
}

/* --- bodies --- */

/* The body without its transfer encoding: a span of the message or of a buffer. */
static struct qs_span transfer_decode(struct walk *w, const struct part *part, struct qs_span body,
                                      size_t most)
{
    bool odd = false;
    size_t n;
    switch (part->encoding) {
    case ENCODING_BASE64:
        n = base64_decode(w->s->decoded, most, body, &odd);
        break;
    case ENCODING_QUOTED_PRINTABLE:
        n = quoted_printable_decode(w->s->decoded, most, body, &odd);
        odd = false;            /* a stray '=' is common */
        break;
    case ENCODING_NONE:
    case ENCODING_OTHER:
    default:
        return body;
    }
    if (odd) {
        w->out->traits |= QS_T_MALFORMED;
    }
    return (struct qs_span){ w->s->decoded, n };
}

/* A text part in UTF-8. */
static struct qs_span text_decode(struct walk *w, const struct part *part, struct qs_span body)
{
    struct qs_span raw = transfer_decode(w, part, body, sizeof(w->s->decoded));
    bool ascii = raw.len == 0 || byte_find_high(raw.ptr, raw.ptr + raw.len) == raw.ptr + raw.len;
    if (ascii && part->encoding == ENCODING_BASE64 && raw.len > 0) {
        w->out->traits |= QS_T_ENCODED_NEEDLESSLY;
    }
    if (ascii && (part->charset.kind == CHARSET_UTF8 || part->charset.kind == CHARSET_TABLE
                  || part->charset.kind == CHARSET_PAIRS)) {
        return raw;
    }
    size_t n = charset_decode(w->s->utf8, sizeof(w->s->utf8), raw, part->charset);
    return (struct qs_span){ w->s->utf8, n };
}

/* Makes room in the text buffer: what is there so far is moved into it, with a line end behind. */
static char *text_room(struct walk *w, size_t *room)
{
    struct qs_mail *out = w->out;
    if (out->text.len > 0 && out->text.ptr != w->s->text) {
        memcpy(w->s->text, out->text.ptr, out->text.len);
    }
    out->text.ptr = w->s->text;
    if (out->text.len > 0 && out->text.len < sizeof(w->s->text)) {
        w->s->text[out->text.len++] = '\n';
    }
    *room = sizeof(w->s->text) - out->text.len;
    return w->s->text + out->text.len;
}

/* The longest prefix of at most `most` bytes that ends at a character's edge. */
static size_t cut_utf8(struct qs_span text, size_t most)
{
    if (text.len <= most) {
        return text.len;
    }
    while (most > 0 && ((unsigned char)text.ptr[most] & 0xc0) == 0x80) {
        most--;
    }
    return most;
}

static void take_plain(struct walk *w, const struct part *part, struct qs_span body)
{
    struct qs_mail *out = w->out;
    struct qs_span text = text_decode(w, part, body);
    if (text.len == 0) {
        return;
    }
    text_links(w, text, false);
    out->text_total = saturate((uint64_t)out->text_total + text.len);
    if (out->text.len == 0 && text.ptr == body.ptr) {       /* ASCII as it stands in the message */
        size_t n = cut_utf8(text, QS_CAP_TEXT);
        out->text = (struct qs_span){ text.ptr, n };
        return;
    }
    size_t room;
    char *to = text_room(w, &room);
    size_t n = cut_utf8(text, room);
    memcpy(to, text.ptr, n);
    out->text.len += n;
}

/* Returns the bytes of visible text. */
static uint32_t take_html(struct walk *w, const struct part *part, struct qs_span body)
{
    struct qs_mail *out = w->out;
    struct qs_span html = text_decode(w, part, body);
    struct html_counts counts = { 0, 0 };
    out->traits |= QS_T_HTML;
    size_t room;
    char *to = text_room(w, &room);
    size_t n = html_text(to, room, html, &counts, html_link, w);
    text_links(w, (struct qs_span){ to, n }, true);
    out->text.len += n;
    out->text_total = saturate((uint64_t)out->text_total + counts.shown);
    out->hidden_total = saturate((uint64_t)out->hidden_total + counts.hidden);
    return counts.shown;
}

/* The digest covers the kind and a power of two of decoded bytes, so that rubbish behind a file's end
 * rarely changes it. */
static void take_attachment(struct walk *w, const struct part *part, struct qs_span body)
{
    struct qs_mail *out = w->out;
    out->traits |= QS_T_ATTACHMENT | (part->kind == KIND_IMAGE ? (uint32_t)QS_T_IMAGE : 0)
        | (part->executable ? (uint32_t)QS_T_EXECUTABLE : 0);
    out->attachment_size = saturate((uint64_t)out->attachment_size + body.len);
    if (out->attachment != 0 || body.len == 0) {
        return;
    }
    struct qs_span most = { body.ptr, body.len < 3 * QS_CAP_ATTACHMENT ? body.len : 3 * QS_CAP_ATTACHMENT };
    uint32_t traits = out->traits;
    struct qs_span bytes = transfer_decode(w, part, most, QS_CAP_ATTACHMENT);
    out->traits = traits;       /* a cut is no damage */
    size_t n = bytes.len < QS_CAP_ATTACHMENT ? bytes.len : QS_CAP_ATTACHMENT;
    if (n > 0) {
        n = (size_t)1 << (63 - __builtin_clzll(n));
    }
    out->attachment = XXH3_64bits_withSeed(bytes.ptr, n, part->type) | 1;
}

static void take_returned(struct walk *w, const struct part *part, struct qs_span body)
{
    struct qs_mail *out = w->out;
    if (out->returned.len > 0 || body.len == 0) {
        return;
    }
    if (part->encoding == ENCODING_BASE64 || part->encoding == ENCODING_QUOTED_PRINTABLE) {
        struct qs_span raw = transfer_decode(w, part, body, sizeof(w->s->returned));
        memcpy(w->s->returned, raw.ptr, raw.len);
        body = (struct qs_span){ w->s->returned, raw.len };
    }
    out->returned = body;
    out->traits |= QS_T_RETURNED | (part->kind == KIND_HEADERS ? (uint32_t)QS_T_RETURNED_HEADER_ONLY : 0);
}

/* The innermost alternative that is open, or NULL. */
static struct frame *alternative(struct walk *w)
{
    for (unsigned i = w->depth; i > 0; i--) {
        if (w->s->frame[i - 1].group == GROUP_ALTERNATIVE) {
            return &w->s->frame[i - 1];
        }
    }
    return NULL;
}

static void take_leaf(struct walk *w, const struct part *part, struct qs_span body)
{
    struct qs_mail *out = w->out;
    bool text = (part->kind == KIND_PLAIN || part->kind == KIND_HTML) && !part->attached
        && part->encoding != ENCODING_OTHER;
    add_structure(w, part->type ^ (uint64_t)part->encoding << 1 ^ part->attached);
    if (text) {
        struct frame *choice = alternative(w);
        if (part->kind == KIND_HTML) {
            if (choice == NULL || !choice->html_done) {
                bool enough = take_html(w, part, body) >= HTML_ENOUGH;
                if (choice != NULL) {
                    choice->html_done = enough;
                }
            }
        } else if (choice == NULL) {
            take_plain(w, part, body);
        } else if (!choice->html_done && !choice->waiting) {
            choice->waiting = true;
            choice->plain = *part;
            choice->plain_body = body;
        }
        return;
    }
    switch (part->kind) {
    case KIND_MESSAGE:
    case KIND_HEADERS:
        take_returned(w, part, body);
        break;
    case KIND_REPORT:
        if (w->root.group == GROUP_REPORT && w->root.report.len == 0) {
            out->traits |= QS_T_DELIVERY_REPORT;
        }
        break;
    case KIND_SIGNATURE:
        break;
    case KIND_PLAIN:
        if (out->returned.len == 0 && notice_is_message(body)) {    /* a returned header as a text file */
            take_returned(w, part, body);
            break;
        }
        take_attachment(w, part, body);
        break;
    case KIND_HTML:
    case KIND_IMAGE:
    case KIND_OTHER:
    case KIND_MULTIPART:
        take_attachment(w, part, body);
        break;
    }
}

/* --- multiparts --- */

static void close_frames(struct walk *w, unsigned depth)
{
    while (w->depth > depth) {
        struct frame *f = &w->s->frame[w->depth - 1];
        if (f->waiting && !f->html_done) {
            take_plain(w, &f->plain, f->plain_body);
        }
        w->depth--;
        add_structure(w, 2);
    }
}

/* The boundary as it stands in the delimiter lines: without line ends of a folded header and blanks at its
 * end. */
static struct qs_span clean_boundary(char *to, struct qs_span raw)
{
    raw = qs_span_trim(raw);
    if (raw.len <= BOUNDARY_BYTES && memchr(raw.ptr, '\n', raw.len) == NULL) {
        return raw;
    }
    size_t n = 0;
    for (size_t i = 0; i < raw.len && n < BOUNDARY_BYTES; i++) {
        if (raw.ptr[i] != '\n' && raw.ptr[i] != '\r') {
            to[n++] = raw.ptr[i];
        }
    }
    return (struct qs_span){ to, n };
}

/* The next delimiter line of an open multipart at or behind p, which is the beginning of a line. *level is
 * the number of its frame and *after what follows the line; NULL: none. */
static const char *find_delimiter(const struct walk *w, const char *p, unsigned *level, bool *closing,
                                  const char **after)
{
    for (;;) {
        if (w->end - p >= 2 && p[0] == '-' && p[1] == '-') {
            for (unsigned i = w->depth; i > 0; i--) {
                struct qs_span b = w->s->frame[i - 1].boundary;
                if ((size_t)(w->end - p - 2) < b.len || memcmp(p + 2, b.ptr, b.len) != 0) {
                    continue;
                }
                const char *q = p + 2 + b.len;
                *closing = w->end - q >= 2 && q[0] == '-' && q[1] == '-';
                const char *stop = q < w->end ? memchr(q, '\n', (size_t)(w->end - q)) : NULL;
                stop = stop == NULL ? w->end : stop;
                if (!*closing) {
                    while (q < stop && byte_is_blank(*q)) {
                        q++;
                    }
                    if (q < stop) {
                        continue;       /* the boundary is only the beginning of this line's */
                    }
                }
                *level = i - 1;
                *after = stop < w->end ? stop + 1 : w->end;
                return p;
            }
        }
        const char *next = byte_find_pair(p, w->end, '\n', '-');
        if (next == w->end) {
            return NULL;
        }
        p = next + 1;
    }
}

/* Walks the parts of a body. No recursion: the open multiparts are frames. */
static void walk_parts(struct walk *w, const char *p)
{
    struct part part = w->root;
    const char *body = p;
    struct qs_mail *out = w->out;
    for (;;) {
        out->part_count++;
        bool open = part.kind == KIND_MULTIPART && part.boundary.len > 0 && w->depth < QS_CAP_DEPTH;
        if (part.kind == KIND_MULTIPART && !open) {
            if (part.boundary.len == 0) {
                out->traits |= QS_T_MALFORMED;
                part.kind = KIND_PLAIN;
            } else {
                out->traits |= QS_T_CUT;
                part.kind = KIND_SIGNATURE;     /* passed over */
            }
        }
        if (open) {
            struct frame *f = &w->s->frame[w->depth];
            f->boundary = clean_boundary(w->s->boundary[w->depth++], part.boundary);
            f->group = part.group;
            f->html_done = f->waiting = false;
            add_structure(w, part.type + 1);
        }
        unsigned level = 0;
        bool closing = false;
        const char *after = w->end, *stop = find_delimiter(w, body, &level, &closing, &after);
        if (!open) {
            const char *end = stop == NULL ? w->end : stop;
            if (stop != NULL && end > body) {
                end--;                          /* the line end belongs to the delimiter */
                end -= end > body && end[-1] == '\r';
            }
            take_leaf(w, &part, span_between(body, end));
        } else if (stop == NULL) {
            out->traits |= QS_T_MALFORMED;      /* no part at all */
            take_leaf(w, &plain_part, span_between(body, w->end));
        }
        while (stop != NULL) {                  /* to the next part's beginning */
            close_frames(w, closing ? level : level + 1);
            if (!closing) {
                break;
            }
            stop = w->depth == 0 ? NULL : find_delimiter(w, after, &level, &closing, &after);
        }
        if (stop == NULL || out->part_count == QS_CAP_PARTS) {
            if (stop != NULL) {
                out->traits |= QS_T_CUT;
            }
            close_frames(w, 0);
            return;
        }
        part = w->s->frame[w->depth - 1].group == GROUP_DIGEST ? message_part : plain_part;
        body = part_header(w, after, &part);
    }
}

/* --- the whole --- */

static void find_returned_in_text(struct walk *w, const char *content_end)
{
    struct qs_mail *out = w->out;
    struct notice_returned found;
    if (out->text.len == 0 || !notice_find_returned(out->text, &found)) {
        return;
    }
    if (found.quote.len > 0) {
        size_t n = notice_unquote(w->s->returned, sizeof(w->s->returned), out->text, &found);
        out->returned = (struct qs_span){ w->s->returned, n };
    } else {
        out->returned = (struct qs_span){ out->text.ptr + found.at, out->text.len - found.at };
        if (out->text.len == QS_CAP_TEXT && out->text.ptr != w->s->text) {
            out->returned.len = (size_t)(content_end - out->returned.ptr);
        }
    }
    out->text.len = found.at;
    out->traits |= QS_T_RETURNED;
}

/* Whether a header block is followed by anything. */
static bool has_body(struct qs_span message)
{
    const char *p = message.ptr, *end = p + message.len;
    struct qs_span name, value;
    bool malformed = false;
    while (next_field(&p, end, &name, &value, &malformed)) {
    }
    return skip_blanks(p, end) < end;
}

void qs_mail_scan(struct qs_mail_scanner *scanner, struct qs_span content, bool cut, bool notice_likely,
                  struct qs_mail *out)
{
    /* received[] is written as far as received_count says */
    struct qs_received *received = out->received;
    memset(out, 0, (size_t)((char *)received - (char *)out));
    memset(received + QS_CAP_RECEIVED, 0,
           sizeof(*out) - (size_t)((char *)(received + QS_CAP_RECEIVED) - (char *)out));
    struct walk w = { .s = scanner, .out = out, .root = plain_part };
    static const char nothing[1] = "";
    const char *p = content.len == 0 ? nothing : content.ptr;
    size_t len = content.len < QS_CAP_CONTENT ? content.len : QS_CAP_CONTENT;
    w.end = p + len;
    if (cut || len < content.len) {
        out->traits |= QS_T_CUT;
    }
    const char *body = message_header(&w, p);
    out->body = span_between(body, w.end);
    out->from_address = first_address(out->from);
    if (w.root.group == GROUP_REPORT && w.root.report.len > 0) {
        out->traits |= IS(w.root.report, "delivery-status") ? QS_T_DELIVERY_REPORT : QS_T_FEEDBACK_REPORT;
    }
    out->traits |= (out->date.len == 0 ? (uint32_t)QS_T_NO_DATE : 0)
        | (out->message_id.len == 0 ? (uint32_t)QS_T_NO_MESSAGE_ID : 0)
        | (out->from.len == 0 ? (uint32_t)QS_T_NO_FROM : 0)
        | (out->in_reply_to.len > 0 || out->references.len > 0 ? (uint32_t)QS_T_IN_REPLY_TO : 0)
        | (notice_is_daemon(out->from, out->from_address) ? (uint32_t)QS_T_FROM_DAEMON : 0);
    size_t subject = header_decode(scanner->subject, sizeof(scanner->subject), out->subject);
    out->subject_text = (struct qs_span){ scanner->subject, subject };
    out->traits |= notice_subject(&scanner->index, out->subject_text);
    walk_parts(&w, body);
    const uint32_t notice = QS_T_FROM_DAEMON | QS_T_BOUNCE_SUBJECT | QS_T_DELIVERY_REPORT | QS_T_AUTO_REPLIED;
    if (out->returned.len == 0 && (notice_likely || (out->traits & notice) != 0)) {
        find_returned_in_text(&w, w.end);
    }
    if (out->returned.len > 0 && (out->traits & QS_T_RETURNED_HEADER_ONLY) == 0 && !has_body(out->returned)) {
        out->traits |= QS_T_RETURNED_HEADER_ONLY;
    }
    if (out->hidden_total > HIDDEN_MUCH) {
        out->traits |= QS_T_HIDDEN_TEXT;
    }
    if (out->text.len == 0) {
        out->traits |= QS_T_NO_TEXT;
    } else {
        out->traits |= words_tricks(out->text);
    }
}
