/* SPDX-License-Identifier: Apache-2.0 */
/* Control files: bytes to lines to parts. Judges nothing and allocates nothing. */
#include "qf.h"

#include <string.h>

enum {
    MACRO = 0x81,               /* stands before a macro's name */
    META = 0xFF,                /* quotes the next byte */
    NAME_MAX_LENGTH = 100,      /* of a header field; a longer one is none */
};

static struct qs_span span_from(const char *begin, const char *end)
{
    return (struct qs_span){begin, (size_t)(end - begin)};
}

static struct qs_span without(struct qs_span span, size_t bytes)
{
    return (struct qs_span){span.ptr + bytes, span.len - bytes};
}

static const char *find(struct qs_span span, char c)
{
    return span.len > 0 ? memchr(span.ptr, c, span.len) : NULL;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* --- lines -------------------------------------------------------------------------------------------- */

struct sm_lines sm_lines_of(struct qs_span file)
{
    return (struct sm_lines){file.ptr, file.len > 0 ? file.ptr + file.len : file.ptr, 1};
}

bool sm_line_next(struct sm_lines *lines, struct sm_line *line)
{
    const char *begin = lines->at, *end = begin;
    if (begin == lines->end)
        return false;
    line->number = lines->number;
    for (;;) {
        const char *newline = memchr(end, '\n', (size_t)(lines->end - end));
        lines->number++;
        if (newline == NULL) {
            end = lines->at = lines->end;
            break;
        }
        lines->at = newline + 1;
        if (lines->at == lines->end || !blank(*lines->at)) {
            end = newline > begin && newline[-1] == '\r' ? newline - 1 : newline;
            break;
        }
        end = lines->at;
    }
    line->code = end > begin ? *begin : '\0';
    line->text = end > begin ? span_from(begin + 1, end) : (struct qs_span){begin, 0};
    return true;
}

bool sm_code_known(char code, unsigned version)
{
    if (code == '\0')
        return false;
    if (code == 'G' || code == 'Y')      /* built with queue delay, which shows in an odd version */
        return version < SM_QF_VERSION;
    return strchr("ABCDEFHIKLMNPQRSTVZdqr!$.", code) != NULL;
}

/* --- recipients --------------------------------------------------------------------------------------- */

struct sm_recipient sm_recipient_of(struct qs_span text, unsigned version)
{
    struct sm_recipient to = {.address = text};
    bool given = false;
    if (version < 1)
        return to;
    const char *colon = find(text, ':');
    size_t flags = colon != NULL ? (size_t)(colon - text.ptr) : text.len;
    for (size_t i = 0; i < flags; i++) {
        switch (text.ptr[i]) {
        case 'N': given = true; break;
        case 'S': to.notify |= 2; break;
        case 'F': to.notify |= 4; break;
        case 'D': to.notify |= 8; break;
        }
    }
    if (!given)                             /* without N the others are what sendmail assumes */
        to.notify = 0;
    else if (to.notify == 0)
        to.notify = 1;
    to.address = colon != NULL ? without(text, flags + 1) : (struct qs_span){text.ptr, 0};
    return to;
}

struct qs_span sm_controlling_address(struct qs_span text)
{
    int colons = qs_span_starts(text, ":") ? 1 : 3;
    for (int i = 0; i < colons; i++) {
        const char *colon = find(text, ':');
        if (colon == NULL)
            return i == 0 ? text : (struct qs_span){text.ptr, 0};
        text = span_from(colon + 1, text.ptr + text.len);
    }
    return text;
}

struct qs_span sm_address(struct qs_span text)
{
    size_t open = 0, close = 0, comment = SIZE_MAX, after = 0;
    unsigned depth = 0;
    bool quoted = false;
    text = qs_span_trim(text);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\\')
            i++;
        else if (c == '"' && depth == 0)
            quoted = !quoted;
        else if (quoted)
            continue;
        else if (c == '(') {
            if (depth++ == 0 && comment == SIZE_MAX)
                comment = i;
        } else if (c == ')' && depth > 0) {
            if (--depth == 0 && after == 0)
                after = i + 1;
        } else if (depth == 0 && c == '<') {
            open = i + 1;
            close = 0;
        } else if (depth == 0 && c == '>' && open > 0)
            close = i;
    }
    if (close > 0)
        text = (struct qs_span){text.ptr + open, close - open};
    else if (comment > 0 && comment != SIZE_MAX)
        text.len = comment;
    else if (comment == 0)
        text = without(text, after);
    text = qs_span_trim(text);
    if (text.len > 0 && *text.ptr == '@') {             /* @relay,@relay:user@host */
        const char *colon = find(text, ':');
        if (colon != NULL)
            text = span_from(colon + 1, text.ptr + text.len);
    }
    return text;
}

/* Whether c is quoted by META inside sendmail: its own control bytes, and META. */
static bool needs_meta(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte == META || (byte & 0xE0) == 0x80;
}

bool sm_quoted(struct qs_span text)
{
    return find(text, '"') != NULL || find(text, '\\') != NULL || find(text, (char)META) != NULL;
}

size_t sm_unquote(char *to, struct qs_span from)
{
    size_t len = 0;
    for (size_t i = 0; i < from.len; i++) {
        char c = from.ptr[i];
        if (c == '"')
            continue;
        if (i + 1 < from.len && (c == '\\' || ((unsigned char)c == META && needs_meta(from.ptr[i + 1]))))
            c = from.ptr[++i];
        to[len++] = c;
    }
    return len;
}

/* --- xtext -------------------------------------------------------------------------------------------- */

/* The byte written as "+HH" at i. */
static bool hex_byte(struct qs_span text, size_t i, char *out)
{
    uint64_t value = 0;
    if (text.len - i < 3 || !qs_parse_u64_base((struct qs_span){text.ptr + i + 1, 2}, 16, &value))
        return false;
    *out = (char)(unsigned char)value;
    return true;
}

bool sm_xtext_valid(struct qs_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i], byte;
        if (c < '!' || c > '~' || c == '=')
            return false;
        if (c == '+') {
            if (!hex_byte(text, i, &byte))
                return false;
            i += 2;
        }
    }
    return true;
}

size_t sm_xtext_decode(char *to, struct qs_span from)
{
    size_t len = 0;
    for (size_t i = 0; i < from.len; i++) {
        char c = from.ptr[i];
        if (c == '+' && hex_byte(from, i, &c))
            i += 2;
        to[len++] = c;
    }
    return len;
}

/* --- header fields ------------------------------------------------------------------------------------ */

bool sm_header_of(struct qs_span text, struct sm_header *header)
{
    struct qs_span condition = {text.ptr, 0};
    if (text.len > 0 && *text.ptr == '?') {
        text = without(text, 1);
        const char *mark = find(text, '?');
        if (mark == NULL)
            return false;
        condition = span_from(text.ptr, mark);
        text = without(text, condition.len + 1);
    }
    size_t name = 0, colon;
    while (name < text.len && text.ptr[name] > ' ' && text.ptr[name] < 0x7F && text.ptr[name] != ':')
        name++;
    for (colon = name; colon < text.len && blank(text.ptr[colon]); colon++)
        ;
    if (name == 0 || name > NAME_MAX_LENGTH || colon == text.len || text.ptr[colon] != ':')
        return false;
    *header = (struct sm_header){condition, {text.ptr, name}, text};
    return true;
}

bool sm_header_unfinished(const struct sm_header *header)
{
    const char *begin = header->field.ptr, *macro;
    if (header->condition.len == 0)
        return false;
    struct qs_span rest = header->field;
    while ((macro = find(rest, (char)MACRO)) != NULL) {
        if (macro == begin || (unsigned char)macro[-1] != META)
            return true;
        rest = without(rest, (size_t)(macro - rest.ptr) + 1);
    }
    return false;
}

size_t sm_field_copy(char *to, struct qs_span field)
{
    if (find(field, (char)META) == NULL && find(field, '\r') == NULL) {
        if (field.len > 0)
            memcpy(to, field.ptr, field.len);
        return field.len;
    }
    size_t len = 0;
    for (size_t i = 0; i < field.len; i++) {
        char c = field.ptr[i];
        if (i + 1 < field.len) {
            if ((unsigned char)c == META && needs_meta(field.ptr[i + 1]))
                c = field.ptr[++i];
            else if (c == '\r' && field.ptr[i + 1] == '\n')
                continue;
        }
        to[len++] = c;
    }
    return len;
}

/* --- where a message came from ------------------------------------------------------------------------ */

struct qs_span sm_bare_address(struct qs_span address)
{
    return qs_span_starts_nocase(address, "IPv6:") ? without(address, 5) : address;
}

struct sm_client sm_client_of(struct qs_span text)
{
    struct sm_client client = {0};
    text = qs_span_trim(text);
    const char *open = text.len > 0 ? memrchr(text.ptr, '[', text.len) : NULL;
    if (open == NULL) {
        const char *at = text.len > 0 ? memrchr(text.ptr, '@', text.len) : NULL;
        if (at != NULL && qs_span_is_nocase(span_from(at + 1, text.ptr + text.len), "localhost"))
            client.user = span_from(text.ptr, at);
        return client;
    }
    struct qs_span name = qs_span_trim(span_from(text.ptr, open));
    struct qs_span rest = span_from(open + 1, text.ptr + text.len);
    const char *close = find(rest, ']');
    if (close == NULL)
        return client;
    client.address = sm_bare_address(span_from(rest.ptr, close));
    rest = qs_span_trim(span_from(close + 1, rest.ptr + rest.len));
    const char *ident = name.len > 0 ? memrchr(name.ptr, '@', name.len) : NULL;
    if (ident != NULL)
        name = span_from(ident + 1, name.ptr + name.len);
    if (!qs_span_starts_nocase(rest, "(may be forged") && !qs_span_starts(name, "["))
        client.name = name;
    return client;
}

struct qs_span sm_received_user(struct qs_span value)
{
    value = qs_span_trim(value);
    const char *end = find(value, ')');
    if (!qs_span_starts(value, "(from ") || end == NULL)
        return (struct qs_span){NULL, 0};
    return sm_client_of(span_from(value.ptr + 6, end)).user;
}
