/* SPDX-License-Identifier: Apache-2.0 */
/* Control file, data file and transcript to envelope and content. Changes nothing and takes no lock.
 *
 * What sendmail itself would refuse ("lose": rename qf to Qf and forget it) is QS_DATA here, except in a
 * Qf: there it is the reason why the file is lost, a finding. What sendmail takes, however odd, is taken.
 *
 * size is the length of the data file: mailq shows the body's size, without the header. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "qf.h"
#include "sendmail.h"

enum {
    QF_MAX = 32 * 1024 * 1024,      /* 100,000 recipients take about 15 MiB */
    LINE_MAX_LENGTH = 1024 * 1024,  /* sendmail's own limit for all headers is 32 KiB by default */
    XF_MAX = QS_FILE_WINDOW,
    XF_COMPARISONS = 1000000,
};

#define TIME_LIMIT ((int64_t)1 << 40)   /* so that callers may add and subtract */

/* The control file's bytes. Those of a large one are copied to the beginning of scratch, which has then
 * room for every text that is rewritten from it, each no longer than its source, and so does not move. */
static enum qs_status control_bytes(struct qs_reader *reader, struct qs_span *out, struct qs_error *err)
{
    uint64_t size = qs_file_size(reader->message);
    reader->scratch.len = 0;
    if (size > QF_MAX)
        return qs_fail(err, QS_DATA, "control file of %llu bytes: at most %d are read",
                       (unsigned long long)size, QF_MAX);
    bool copied = size > QS_FILE_WINDOW;
    if (!qs_buffer_reserve(&reader->scratch, (size_t)size * (copied ? 2 : 1) + XF_MAX))
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (!copied)
        return qs_file_at(reader->message, 0, 1, out, err);
    while (reader->scratch.len < size) {
        struct qs_span part;
        enum qs_status status = qs_file_at(reader->message, reader->scratch.len, 1, &part, err);
        if (status == QS_END)
            break;
        if (status != QS_OK)
            return status;
        if (!qs_buffer_add(&reader->scratch, part))
            return qs_fail(err, QS_NOMEM, "out of memory");
    }
    *out = (struct qs_span){reader->scratch.data, reader->scratch.len};
    return QS_OK;
}

/* --- the envelope ------------------------------------------------------------------------------------- */

struct parse {
    const struct qs_queue *queue;
    const struct qs_entry *entry;
    struct qs_reader *reader;
    struct qs_error *err;
    struct qs_envelope out;
    unsigned version;
    size_t recipients;              /* kept */
    size_t reasons;                 /* recipients with a reason of their own */
    bool sender, ended;
    unsigned received;              /* Received fields so far */
    struct qs_span reason, original, final, controlling;    /* for the next recipient */
    struct qs_span data_dir;        /* d line */
    struct qs_span auth;            /* A line */
    struct qs_span user;            /* local submitter by the Received field behind ours */
    struct sm_client client;
    struct qs_span own_address;     /* ${if_addr} */
};

__attribute__((format(printf, 2, 3)))
static void note(struct parse *p, const char *format, ...)
{
    va_list args;
    if (p->out.finding[0] != '\0')
        return;
    va_start(args, format);
    (void)vsnprintf(p->out.finding, sizeof p->out.finding, format, args);
    va_end(args);
}

/* For what makes sendmail lose the file. */
static enum qs_status refuse(struct parse *p, const struct sm_line *line, const char *what)
{
    if (p->entry->kind != SM_LOST)
        return qs_fail(p->err, QS_DATA, "line %lu: %s", line->number, what);
    note(p, "line %lu: %s", line->number, what);
    return QS_OK;
}

/* Writes what `make` makes of the text into scratch, where there is room for it. */
static struct qs_span rewritten(struct parse *p, size_t (*make)(char *to, struct qs_span from),
                                struct qs_span text)
{
    struct qs_buffer *scratch = &p->reader->scratch;
    if (text.len > scratch->size - scratch->len)
        return text;
    struct qs_span out = {scratch->data + scratch->len, make(scratch->data + scratch->len, text)};
    scratch->len += out.len;
    return out;
}

static struct qs_span internal_form(struct parse *p, struct qs_span text)
{
    text = sm_address(text);
    return sm_quoted(text) ? rewritten(p, sm_unquote, text) : text;
}

/* "rfc822;user@host" of Q and "RFC822; user@host" of r lines. */
static struct qs_span after_type(struct qs_span text)
{
    const char *semicolon = text.len > 0 ? memchr(text.ptr, ';', text.len) : NULL;
    if (semicolon == NULL)
        return text;
    size_t skip = (size_t)(semicolon - text.ptr) + 1;
    return qs_span_trim((struct qs_span){text.ptr + skip, text.len - skip});
}

static bool same(struct qs_span a, struct qs_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static enum qs_status add_recipient(struct parse *p, const struct sm_line *line)
{
    struct qs_reader *reader = p->reader;
    struct sm_recipient from = sm_recipient_of(line->text, p->version);
    struct qs_recipient_text to = {.state = QS_RCPT_TODO, .reason = p->reason, .notify = from.notify};
    to.address = internal_form(p, from.address);
    if (p->original.len > 0) {
        to.original = after_type(p->original);
        if (memchr(to.original.ptr, '+', to.original.len) != NULL)
            to.original = rewritten(p, sm_xtext_decode, to.original);
    } else if (p->final.len > 0) {
        to.original = after_type(p->final);         /* mostly the same: then there is nothing to take apart */
        if (!same(to.original, to.address))
            to.original = internal_form(p, to.original);
    } else {
        to.original = p->controlling;
    }
    if (same(to.original, to.address))
        to.original = (struct qs_span){NULL, 0};
    bool has_reason = p->reason.len > 0;
    p->reason = p->original = p->final = (struct qs_span){NULL, 0};
    if (to.address.len == 0) {          /* sendmail delivers to nobody, either */
        note(p, "line %lu: no address", line->number);
        return QS_OK;
    }
    if (p->recipients == QS_RECIPIENTS_MAX) {
        p->out.recipients_left_out++;
        return QS_OK;
    }
    if (p->recipients == reader->recipients_size) {
        size_t size = reader->recipients_size < 16 ? 16 : 2 * reader->recipients_size;
        struct qs_recipient_text *grown = talloc_realloc(reader, reader->recipients, struct qs_recipient_text,
                                                         (unsigned)size);
        if (grown == NULL)
            return qs_fail(p->err, QS_NOMEM, "out of memory");
        reader->recipients = grown;
        reader->recipients_size = size;
    }
    reader->recipients[p->recipients++] = to;
    p->reasons += has_reason;
    return QS_OK;
}

static void take_macro(struct parse *p, struct qs_span text)
{
    const char *close = text.len > 0 && *text.ptr == '{' ? memchr(text.ptr, '}', text.len) : NULL;
    size_t name_len = close != NULL ? (size_t)(close - text.ptr) + 1 : 1;
    if (text.len < name_len)
        return;
    struct qs_span name = {text.ptr, name_len};
    struct qs_span value = qs_span_trim((struct qs_span){text.ptr + name_len, text.len - name_len});
    if (value.len == 0)
        return;
    if (qs_span_is(name, "_"))
        p->client = sm_client_of(value);
    else if (qs_span_is(name, "s"))
        p->out.helo = value;
    else if (qs_span_is(name, "r"))
        p->out.protocol = value;
    else if (qs_span_is(name, "{auth_authen}"))
        p->out.sasl_username = value;
    else if (qs_span_is(name, "{client_addr}"))
        p->out.client_address = sm_bare_address(value);
    else if (qs_span_is(name, "{client_name}") && *value.ptr != '[')
        p->out.client_name = value;
    else if (qs_span_is(name, "{if_addr}"))
        p->own_address = value;
}

static int64_t number_in(struct parse *p, const struct sm_line *line)
{
    int64_t number = 0;
    if (qs_parse_i64(line->text, &number) && number >= 0 && number < TIME_LIMIT)
        return number;
    note(p, "line %lu: %c is not a number", line->number, line->code);
    return 0;
}

/* A mail that a user's program gave to the submission program comes to us from our own host, and has that
 * program's Received field right behind ours; a mail that the user's sendmail queued itself has it first. */
static void take_header(struct parse *p, struct qs_span text)
{
    struct sm_header header;
    if (p->received >= 2 || !sm_header_of(text, &header) || !qs_span_is_nocase(header.name, "Received"))
        return;
    p->received++;
    const char *colon = memchr(header.field.ptr, ':', header.field.len);
    struct qs_span value = header.field;
    if (colon != NULL)
        value = (struct qs_span){colon + 1, (size_t)(header.field.ptr + header.field.len - colon - 1)};
    if (p->user.len == 0)
        p->user = sm_received_user(value);
}

static enum qs_status take_version(struct parse *p, const struct sm_line *line)
{
    uint64_t version = 0;
    if (!qs_parse_u64(line->text, &version))
        return refuse(p, line, "V is not a number");
    p->version = version > SM_QF_VERSION ? SM_QF_VERSION : (unsigned)version;
    return version > SM_QF_VERSION ? refuse(p, line, "format newer than 8, the newest known") : QS_OK;
}

static enum qs_status take_line(struct parse *p, const struct sm_line *line)
{
    struct qs_span text = line->text;
    if (line->text.len > LINE_MAX_LENGTH)
        return qs_fail(p->err, QS_DATA, "line %lu: %zu bytes long", line->number, line->text.len + 1);
    switch (line->code) {
    case 'H':
        take_header(p, text);
        break;
    case 'R':
        return add_recipient(p, line);
    case 'M':
        if (p->sender)
            p->reason = text;
        else
            p->out.status = text;
        break;
    case 'Q':
        p->original = text;
        break;
    case 'r':
        p->final = text;
        break;
    case 'C':
        p->controlling = internal_form(p, sm_controlling_address(text));
        break;
    case '$':
        take_macro(p, text);
        break;
    case 'S':
        if (p->sender)
            note(p, "line %lu: a second sender", line->number);
        p->sender = true;
        p->out.sender = internal_form(p, text);
        break;
    case 'V':
        return take_version(p, line);
    case 'T':
        p->out.arrival = number_in(p, line);
        break;
    case 'K':
        p->out.next_try = number_in(p, line);
        break;
    case 'N':
        p->out.attempts = (uint64_t)number_in(p, line);
        break;
    case 'q':
        p->out.hold_reason = text;
        break;
    case 'd':
        p->data_dir = text;
        break;
    case 'Z':
        p->out.envelope_id = text;
        break;
    case 'A':
        p->auth = text;
        if (!sm_xtext_valid(text))
            return refuse(p, line, "A is not xtext");
        break;
    case 'B':
        if (!qs_span_is_nocase(text, "7BIT") && !qs_span_is_nocase(text, "8BITMIME"))
            return refuse(p, line, "unknown body type");
        break;
    case 'F':
        if (qs_span_starts(text, "rom "))
            return refuse(p, line, "a From line");
        if (text.len > 0 && memchr(text.ptr, 'r', text.len) != NULL)
            p->out.flags |= QS_ENV_RESPONSE;
        if (text.len > 0 && memchr(text.ptr, 'e', text.len) != NULL)
            p->out.flags |= QS_ENV_UTF8;
        if (text.len > 0 && memchr(text.ptr, 'd', text.len) != NULL)
            p->out.ret = memchr(text.ptr, 'n', text.len) != NULL ? 'H' : 'F';
        break;
    case '.':
        p->ended = true;
        if (text.len > 0)
            note(p, "line %lu: text on the line of the final dot", line->number);
        break;
    default:        /* what some version writes and nobody needs here, or what makes sendmail lose the file */
        if (!sm_code_known(line->code, p->version))
            return refuse(p, line, line->code != '\0' ? "unknown code letter" : "empty line");
    }
    return QS_OK;
}

static enum qs_status parse_control(struct parse *p, struct qs_span bytes)
{
    struct sm_lines lines = sm_lines_of(bytes);
    struct sm_line line;
    const char *nul = memchr(bytes.ptr, '\0', bytes.len);
    if (nul != NULL)
        return qs_fail(p->err, QS_DATA, "byte %zu is zero: damaged", (size_t)(nul - bytes.ptr));
    while (sm_line_next(&lines, &line)) {
        bool behind = p->ended;
        enum qs_status status = behind ? refuse(p, &line, "text after the final dot") : take_line(p, &line);
        if (status != QS_OK)
            return status;
        if (behind)
            break;
    }
    if (!p->ended) {
        if (sm_changing(p->queue, p->entry, qs_file_stat(p->reader->message)))
            return qs_fail(p->err, QS_SKIP, "being written");
        return qs_fail(p->err, QS_DATA, "no final dot: cut off at byte %zu, line %lu", bytes.len,
                       lines.number - 1);
    }
    if (!p->sender)
        return qs_fail(p->err, QS_DATA, "no sender");
    return QS_OK;
}

static bool is_loopback(struct qs_span address)
{
    return qs_span_starts(address, "127.") || qs_span_is(address, "::1") ||
           qs_span_is(address, "0:0:0:0:0:0:0:1");
}

/* Who gave the message to us, and for whom, from what the lines said. */
static void settle_client(struct parse *p)
{
    struct qs_envelope *out = &p->out;
    if ((out->flags & QS_ENV_RESPONSE) != 0)    /* S is MAILER-DAEMON, but what goes out is <> (usersmtp.c) */
        out->sender = (struct qs_span){NULL, 0};
    if (out->client_address.len == 0)
        out->client_address = p->client.address;
    if (out->client_name.len == 0)
        out->client_name = p->client.name;
    if (out->client_name.len == 0 && out->client_address.len > 0)
        out->client_name = QS_SPAN("unknown");      /* as Postfix has it */
    struct qs_span user = p->client.user;
    if (user.len == 0 && (is_loopback(out->client_address) ||
                          (out->client_address.len > 0 && same(out->client_address, p->own_address))))
        user = p->user;
    if (user.len > 0) {
        out->flags |= QS_ENV_LOCAL;
        out->local_user = user;
        out->local_uid = sm_user_id(p->queue, user);
    }
    /* AUTH= of a client that did not log in is its own claim; a protocol that ends in A says that it did
     * (RFC 3848) */
    if (out->sasl_username.len == 0 && p->auth.len > 0 && !qs_span_is(p->auth, "<>") &&
        out->protocol.len > 5 && out->protocol.ptr[out->protocol.len - 1] == 'A')
        out->sasl_username = rewritten(p, sm_xtext_decode, p->auth);
}

/* --- the transcript ----------------------------------------------------------------------------------- */

/* A line about one recipient: "[550 5.1.1 ]<user@host>... User unknown". */
static bool transcript_line(struct qs_span line, struct qs_span *address, struct qs_span *reason)
{
    const char *dots = line.len > 0 ? memmem(line.ptr, line.len, "... ", 4) : NULL;
    if (dots == NULL || dots == line.ptr || qs_span_starts(line, ">>>") || qs_span_starts(line, "<<<"))
        return false;
    const char *space = memrchr(line.ptr, ' ', (size_t)(dots - line.ptr));
    const char *begin = space != NULL ? space + 1 : line.ptr;
    *address = sm_address((struct qs_span){begin, (size_t)(dots - begin)});
    *reason = qs_span_trim((struct qs_span){dots + 4, (size_t)(line.ptr + line.len - dots - 4)});
    return address->len > 0 && reason->len > 0;
}

/* Gives recipients that have no reason of their own the last one in the transcript of a running attempt.
 * Few entries have a transcript, as it stays in sendmail's memory up to XscriptFileBufferSize. Lines and
 * recipients have much the same order, so the search goes on where it last found something. */
static enum qs_status read_transcript(struct parse *p)
{
    char path[SM_PATH_MAX];
    struct qs_reader *reader = p->reader;
    struct qs_span text;
    sm_path(sm_dir_at(p->queue, p->entry->dir), SM_TRANSCRIPT, p->entry->id, path);
    if (qs_file_open(reader->side, sm_base(p->queue), path, NULL) != QS_OK ||
        qs_file_at(reader->side, 0, XF_MAX, &text, NULL) != QS_OK)
        return QS_OK;                   /* none, or gone: nothing to add */
    if (text.len > XF_MAX)
        text.len = XF_MAX;
    if (!qs_buffer_add(&reader->scratch, text))
        return qs_fail(p->err, QS_NOMEM, "out of memory");
    const char *at = reader->scratch.data + reader->scratch.len - text.len, *end = at + text.len;
    const uintptr_t from = (uintptr_t)at, to_end = (uintptr_t)end;
    size_t next = 0, budget = XF_COMPARISONS;
    while (at < end) {
        struct qs_span address, reason;
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline != NULL ? newline : end;
        if (transcript_line((struct qs_span){at, (size_t)(stop - at)}, &address, &reason)) {
            for (size_t i = 0; i < p->recipients && budget > 0; i++, budget--) {
                struct qs_recipient_text *to = &reader->recipients[(next + i) % p->recipients];
                if (same(to->address, address)) {
                    uintptr_t old = (uintptr_t)to->reason.ptr;
                    if (to->reason.len == 0 || (old >= from && old < to_end))
                        to->reason = reason;
                    next = (next + i) % p->recipients;
                    break;
                }
            }
        }
        at = stop + (newline != NULL);
    }
    return QS_OK;
}

static enum qs_status settle_reasons(struct parse *p)
{
    if (p->reasons == p->recipients)
        return QS_OK;
    enum qs_status status = read_transcript(p);
    for (size_t i = 0; i < p->recipients && status == QS_OK && p->reasons == 0; i++) {
        if (p->reader->recipients[i].reason.len == 0)
            p->reader->recipients[i].reason = p->out.status;
    }
    return status;
}

/* --- the data file ------------------------------------------------------------------------------------ */

/* The directory of the data file: the control file's own, or the one that its d line names. */
static const struct sm_dir *data_dir(const struct qs_queue *queue, const struct qs_entry *e,
                                     struct qs_span named)
{
    uint32_t dir = e->dir;
    if (named.len > 0 && !sm_dir_named(queue, named, &dir))
        return NULL;
    return sm_dir_at(queue, dir);
}

static enum qs_status measure_data(struct parse *p)
{
    struct stat st;
    char path[SM_PATH_MAX];
    const struct sm_dir *dir = data_dir(p->queue, p->entry, p->data_dir);
    if (dir == NULL) {
        p->out.flags |= QS_ENV_NO_BODY;
        note(p, "its data file is in queue directory %.*s, which is not known here",
             (int)(p->data_dir.len < 60 ? p->data_dir.len : 60), p->data_dir.ptr);
        return QS_OK;
    }
    sm_path(dir, SM_DATA, p->entry->id, path);
    if (fstatat(sm_base(p->queue), path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
        p->out.size = (uint64_t)st.st_size;
        return QS_OK;
    }
    if (!sm_present(p->queue, p->entry))    /* sendmail removes the data file first */
        return qs_fail(p->err, QS_GONE, "left the queue");
    p->out.flags |= QS_ENV_NO_BODY;
    note(p, "no data file %.80s: sendmail would deliver it without its body", path);
    return QS_OK;
}

enum qs_status sm_read(const struct qs_queue *queue, struct qs_entry *e, struct qs_reader *reader,
                       struct qs_envelope *out, struct qs_error *err)
{
    struct qs_span bytes = {NULL, 0};
    enum qs_status status = sm_open_message(queue, e, reader->message, err);
    if (status == QS_SKIP)
        return qs_fail(err, QS_DATA, "not a regular file");
    if (status != QS_OK)
        return status;
    if (qs_file_size(reader->message) == 0)
        return qs_fail(err, QS_SKIP, "empty: being written");
    struct parse p = {.queue = queue, .entry = e, .reader = reader, .err = err, .out.local_uid = -1};
    status = control_bytes(reader, &bytes, err);
    if (status == QS_OK)
        status = parse_control(&p, bytes);
    if (status == QS_OK) {
        settle_client(&p);
        status = settle_reasons(&p);
    }
    if (status == QS_OK)
        status = measure_data(&p);
    if (status != QS_OK)
        return status == QS_END ? qs_fail(err, QS_SKIP, "empty: being written") : status;
    const struct stat *st = qs_file_stat(reader->message);
    if (p.out.arrival == 0) {
        note(&p, "no arrival time: that of the file is shown");
        p.out.arrival = st->st_mtim.tv_sec;
    }
    p.out.queue_name = sm_dir_at(queue, e->dir)->group;
    if (e->kind == SM_QUARANTINED) {
        p.out.queue_name = "quarantine";
        p.out.flags |= QS_ENV_HELD;
        if (p.out.hold_reason.len == 0)
            note(&p, "quarantined by name only, without a q line: sendmail -Q cannot release it");
    } else if (e->kind == SM_LOST) {
        p.out.queue_name = "lost";
        p.out.flags |= QS_ENV_LOST;
    } else if (p.out.hold_reason.len > 0) {
        note(&p, "has a quarantine reason, but not the name of a quarantined file");
    }
    if ((st->st_mode & S_IWOTH) != 0)
        note(&p, "everybody may write the file: sendmail will set it aside as lost");
    p.out.recipients = reader->recipients;
    p.out.recipient_count = p.recipients;
    *out = p.out;
    return QS_OK;
}

/* --- the content -------------------------------------------------------------------------------------- */

/* The H lines as RFC 5322 fields, and the d line's text. The rule: every field is given as sendmail would
 * send it, also those with a condition (?D?Date, ?M?Message-Id: any usual mailer fulfils it), but for
 * fields whose text is not there yet: those of sendmail's own making that still hold a macro's name, in
 * practice Return-Path. */
static bool add_headers(struct qs_buffer *content, struct qs_span bytes, struct qs_span *data_dir_name)
{
    struct sm_lines lines = sm_lines_of(bytes);
    struct sm_line line;
    if (!qs_buffer_reserve(content, bytes.len + 1))
        return false;
    while (sm_line_next(&lines, &line) && line.code != '.') {
        struct sm_header header;
        if (line.code == 'd')
            *data_dir_name = line.text;
        if (line.code != 'H' || !sm_header_of(line.text, &header) || sm_header_unfinished(&header))
            continue;
        content->len += sm_field_copy(content->data + content->len, header.field);
        content->data[content->len++] = '\n';
    }
    content->data[content->len++] = '\n';
    return true;
}

/* Up to `room` bytes of the data file. */
static enum qs_status add_body(struct qs_buffer *content, struct qs_file *data, size_t room,
                               struct qs_error *err)
{
    uint64_t size = qs_file_size(data), offset = 0;
    size_t want = size < room ? (size_t)size : room;
    if (!qs_buffer_reserve(content, want))
        return qs_fail(err, QS_NOMEM, "out of memory");
    while (offset < want) {
        struct qs_span part;
        enum qs_status status = qs_file_at(data, offset, 1, &part, err);
        if (status != QS_OK)
            return status == QS_END ? QS_OK : status;       /* it shrank */
        if (part.len > want - offset)
            part.len = want - (size_t)offset;
        memcpy(content->data + content->len, part.ptr, part.len);
        content->len += part.len;
        offset += part.len;
    }
    return QS_OK;
}

enum qs_status sm_content(const struct qs_queue *queue, const struct qs_entry *e, struct qs_reader *reader,
                          size_t cap, struct qs_span *out, bool *whole, struct qs_error *err)
{
    char path[SM_PATH_MAX];
    struct qs_span bytes = {NULL, 0}, data_dir_name = {NULL, 0};
    struct qs_buffer *content = &reader->content;
    enum qs_status status;
    bool complete = true;
    if (qs_file_size(reader->message) > QS_FILE_WINDOW)     /* sm_read() put it there */
        bytes = (struct qs_span){reader->scratch.data, (size_t)qs_file_size(reader->message)};
    else if ((status = qs_file_at(reader->message, 0, 1, &bytes, err)) != QS_OK)
        return status == QS_END ? qs_fail(err, QS_GONE, "emptied") : status;
    content->len = 0;
    if (!add_headers(content, bytes, &data_dir_name))
        return qs_fail(err, QS_NOMEM, "out of memory");
    const struct sm_dir *dir = data_dir(queue, e, data_dir_name);
    if (content->len > cap) {
        content->len = cap;
        complete = false;
    } else if (dir != NULL) {
        sm_path(dir, SM_DATA, e->id, path);
        size_t room = cap - content->len;
        status = qs_file_open(reader->side, sm_base(queue), path, err);
        if (status == QS_OK) {
            complete = qs_file_size(reader->side) <= room;
            status = add_body(content, reader->side, room, err);
        }
        if (status == QS_SKIP || (status == QS_GONE && sm_present(queue, e)))
            status = QS_OK;                                 /* the envelope says that there is no body */
        if (status != QS_OK)
            return status;
    }
    *out = (struct qs_span){content->data, content->len};
    *whole = complete;
    return QS_OK;
}
