/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in lines: see lines.h. */
#include "lines.h"

#include <string.h>
#include <strings.h>

/* The next line with its end; not behind the end of the message. */
static size_t line_length(struct qs_span rest)
{
    const char *end = memchr(rest.ptr, '\n', rest.len);
    return end ? (size_t)(end - rest.ptr) + 1 : rest.len;
}

static struct qs_span without_end(const char *ptr, size_t len)
{
    if (len > 0 && ptr[len - 1] == '\n')
        len--;
    if (len > 0 && ptr[len - 1] == '\r')
        len--;
    return (struct qs_span){ptr, len};
}

static void skip(struct qs_lines *at, size_t len)
{
    at->rest.ptr += len;
    at->rest.len -= len;
}

/* Bytes of the field name when the line is a header field, else 0. */
static size_t field_name(struct qs_span line)
{
    size_t n = 0;
    while (n < line.len && line.ptr[n] > ' ' && line.ptr[n] < 127 && line.ptr[n] != ':')
        n++;
    size_t colon = n;
    while (colon < line.len && (line.ptr[colon] == ' ' || line.ptr[colon] == '\t'))
        colon++;
    return colon < line.len && line.ptr[colon] == ':' ? n : 0;
}

static struct qs_span boundary_of(struct qs_span value)
{
    const char *p = value.ptr, *end = p + value.len;
    for (; (size_t)(end - p) > 9; p++) {
        if ((*p != 'b' && *p != 'B') || strncasecmp(p, "boundary", 8) != 0)
            continue;
        const char *q = p + 8;
        while (q < end && (*q == ' ' || *q == '\t'))
            q++;
        if (q == end || *q != '=')
            continue;
        q++;
        while (q < end && (*q == ' ' || *q == '\t'))
            q++;
        const bool quoted = q < end && *q == '"';
        const char *from = quoted ? ++q : q;
        while (q < end && (quoted ? *q != '"' : *q > ' ' && *q != ';'))
            q++;
        return (struct qs_span){from, (size_t)(q - from)};
    }
    return (struct qs_span){NULL, 0};
}

/* What a field says of the part that follows it. */
static void note_field(struct qs_lines *at, const struct qs_line *line)
{
    struct qs_span value = {line->text.ptr + line->name.len, line->text.len - line->name.len};
    const char *colon = memchr(value.ptr, ':', value.len);
    value.len -= (size_t)(colon + 1 - value.ptr);
    value.ptr = colon + 1;
    value = qs_span_trim(value);
    if (qs_span_is_nocase(line->name, "Content-Transfer-Encoding")) {
        at->quoted_printable = qs_span_starts_nocase(value, "quoted-printable");
    } else if (qs_span_is_nocase(line->name, "Content-Type")) {
        at->multipart = at->attached = false;
        if (qs_span_starts_nocase(value, "message/rfc822") || qs_span_starts_nocase(value, "message/global")) {
            at->attached = true;
        } else if (qs_span_starts_nocase(value, "multipart/")) {
            struct qs_span boundary = boundary_of(value);
            at->multipart = boundary.len > 0 && at->depth < QS_BOUNDARIES;
            if (at->multipart)
                at->boundary[at->depth] = boundary;
        }
    }
}

static void begin_header(struct qs_lines *at)
{
    at->in_body = at->multipart = at->attached = at->quoted_printable = false;
    at->below = true;
}

/* The header block is over. */
static void begin_body(struct qs_lines *at)
{
    at->in_body = true;
    at->body_bytes = 0;
    if (at->multipart)
        at->depth++;
    at->multipart = false;
}

/* "--boundary" begins a part, "--boundary--" ends the last. */
static void note_boundary(struct qs_lines *at, struct qs_span line)
{
    for (unsigned d = at->depth; d > 0; d--) {
        struct qs_span b = at->boundary[d - 1];
        if (line.len < b.len + 2 || memcmp(line.ptr + 2, b.ptr, b.len) != 0)
            continue;
        const bool last = line.len >= b.len + 4 && memcmp(line.ptr + 2 + b.len, "--", 2) == 0;
        at->depth = last ? d - 1 : d;
        begin_header(at);
        if (last)
            begin_body(at);
        return;
    }
}

static bool next_header(struct qs_lines *at, struct qs_line *out)
{
    size_t len = line_length(at->rest);
    struct qs_span first = without_end(at->rest.ptr, len);
    const size_t name = field_name(first);
    if (name == 0)
        return false;
    while (len < at->rest.len && (at->rest.ptr[len] == ' ' || at->rest.ptr[len] == '\t'))
        len += line_length((struct qs_span){at->rest.ptr + len, at->rest.len - len});
    *out = (struct qs_line){.text = without_end(at->rest.ptr, len), .name = {at->rest.ptr, name},
                            .kind = at->below ? QS_LINE_PART_HEADER : QS_LINE_HEADER};
    skip(at, len);
    note_field(at, out);
    return true;
}

bool qs_lines_next(struct qs_lines *at, struct qs_line *out)
{
    while (at->rest.len > 0 && !at->in_body) {
        if (next_header(at, out))
            return true;
        const size_t len = line_length(at->rest);
        const bool empty = without_end(at->rest.ptr, len).len == 0, attached = at->attached;
        begin_body(at);
        if (empty)
            skip(at, len);
        if (empty && attached)
            begin_header(at);
    }
    if (at->rest.len == 0)
        return false;
    size_t len = line_length(at->rest);
    if (len > QS_LINE_MAX)
        len = QS_LINE_MAX;
    struct qs_span text = without_end(at->rest.ptr, len);
    *out = (struct qs_line){.text = text, .kind = QS_LINE_BODY, .quoted_printable = at->quoted_printable,
                            .beyond = at->body_bytes >= QS_BODY_CHECKED};
    at->body_bytes += len;
    skip(at, len);
    if (text.len > 2 && text.ptr[0] == '-' && text.ptr[1] == '-')
        note_boundary(at, text);
    return true;
}
