/* SPDX-License-Identifier: Apache-2.0 */
/* What the records of a message and the lines of its logs mean. Does not know where the files are.
 *
 * Facts: Postfix src/global/rec_type.h (types), src/qmgr/qmgr_message.c (which record wins, how the
 * content is skipped), src/showq/showq.c (what postqueue shows), src/global/bounce_log.c (logs),
 * src/pickup/pickup.c (Received header). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "postfix.h"
#include "record.h"

enum {                          /* file mode bits that carry a meaning (src/global/mail_queue.h) */
    MODE_OWNER = 0700,
    MODE_READY = 0700,
    MODE_CORRUPT = 0400,
    MODE_EXPIRE = 0010,
    MODE_SUBMITTED = 0004,      /* maildrop: put there by postdrop, not by postsuper -r */
};

enum {
    TEXT_MAX = 64 * 1024 * 1024,    /* copied out of one message and its logs */
    LOG_MAX = 64 * 1024 * 1024,     /* read of one log */
    SAME_HASH_MAX = 64,             /* addresses compared for one line of a log */
    ADDRESS_MAX = 1024,             /* of a quoted address in a log */
};

/* Attributes that the envelope wants, in the order of `attributes`. */
enum attribute {
    LOG_CLIENT_ADDRESS,
    LOG_CLIENT_NAME,
    LOG_HELO,
    LOG_PROTOCOL,
    CLIENT_ADDRESS,
    CLIENT_NAME,
    HELO,
    PROTOCOL,
    SASL_USERNAME,
    LOG_IDENT,
    ORIGIN,
    ENVELOPE_ID,
    RET_FLAGS,
    CREATE_TIME,
    NOTIFY,
    ATTRIBUTES,
};

static const struct {
    const char *name;
    size_t len;
    bool last_wins;
} attributes[ATTRIBUTES] = {
#define ATTRIBUTE(name, last_wins) {name, sizeof(name) - 1, last_wins}
    [LOG_CLIENT_ADDRESS] = ATTRIBUTE("log_client_address", true),
    [LOG_CLIENT_NAME] = ATTRIBUTE("log_client_name", true),
    [LOG_HELO] = ATTRIBUTE("log_helo_name", true),
    [LOG_PROTOCOL] = ATTRIBUTE("log_protocol_name", true),
    [CLIENT_ADDRESS] = ATTRIBUTE("client_address", false),
    [CLIENT_NAME] = ATTRIBUTE("client_name", false),
    [HELO] = ATTRIBUTE("helo_name", false),
    [PROTOCOL] = ATTRIBUTE("protocol_name", false),
    [SASL_USERNAME] = ATTRIBUTE("sasl_username", false),
    [LOG_IDENT] = ATTRIBUTE("log_ident", false),
    [ORIGIN] = ATTRIBUTE("log_message_origin", true),
    [ENVELOPE_ID] = ATTRIBUTE("envelope_id", true),
    [RET_FLAGS] = ATTRIBUTE("ret_flags", true),
    [CREATE_TIME] = ATTRIBUTE("create_time", false),
    [NOTIFY] = ATTRIBUTE("notify_flags", true),
#undef ATTRIBUTE
};

/* Record C. */
struct size_record {
    uint64_t fields;            /* 0: none seen; 1: Postfix before 1.0, no offset */
    uint64_t size, offset, length, utf8;
};

/* Finds recipients by the offset of their record, or by the hash of their address: sorted keys in
 * reader->scratch. */
struct index {
    bool made;
    size_t at;                  /* in scratch */
    size_t count;
    size_t hint;                /* the key behind the last one found */
};

struct key {
    uint64_t key;
    size_t recipient;
};

/* One message while it is read.
 *
 * Text stays in the file's buffer where it stands when the whole file is in memory. Else it is copied to
 * reader->scratch, which may move as it grows: until settle() such a span has its place in scratch in
 * .ptr. */
struct reading {
    struct qs_reader *reader;
    struct qs_envelope env;
    struct qs_span attribute[ATTRIBUTES];
    struct size_record size;
    uint64_t records;
    bool sender_seen, time_seen;
    bool copy_message, copy_log;
    struct qs_span redirect;    /* sent there instead, by an access table or a header check */
    size_t target;              /* of redirect among the recipients, plus 1 */
    struct qs_span original;    /* for the next recipient */
    unsigned notify;            /* the same */

    /* matching log entries to recipients */
    struct index by_offset, by_address;
    struct qs_span last_reason; /* as kept */
};

__attribute__((format(printf, 2, 3)))
static void finding(struct reading *r, const char *format, ...)
{
    if (r->env.finding[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(r->env.finding, sizeof r->env.finding, format, args);
    va_end(args);
}

static enum qs_status at_offset(struct qs_error *err, uint64_t offset, const char *what)
{
    return qs_fail(err, QS_DATA, "offset %" PRIu64 ": %s", offset, what);
}

static enum qs_status no_memory(struct qs_error *err)
{
    return qs_fail(err, QS_NOMEM, "out of memory");
}

/* --- text that has to outlive the file's window --------------------------------------------------------- */

static const char *place(size_t at)
{
    return (const char *)(uintptr_t)at;
}

/* Makes the span outlive the window it is in. A hostile file may want too much of that: then the text is
 * left out. */
static bool keep(struct reading *r, bool copy, struct qs_span *span)
{
    struct qs_buffer *scratch = &r->reader->scratch;
    size_t at = scratch->len;
    if (!copy)
        return true;
    if (at > TEXT_MAX) {
        finding(r, "more text in the envelope or the logs than is kept");
        *span = (struct qs_span){NULL, 0};
        return true;
    }
    if (!qs_buffer_add(scratch, *span))
        return false;
    span->ptr = place(at);
    return true;
}

static void settle_span(const struct reading *r, struct qs_span *span)
{
    if (span->len > 0)
        span->ptr = r->reader->scratch.data + (uintptr_t)span->ptr;
}

/* Turns places into pointers, when scratch will not move again. */
static void settle(struct reading *r)
{
    if (r->copy_message) {
        settle_span(r, &r->env.sender);
        settle_span(r, &r->env.full_name);
        settle_span(r, &r->redirect);
        for (unsigned i = 0; i < ATTRIBUTES; i++)
            settle_span(r, &r->attribute[i]);
    }
    for (size_t i = 0; i < r->env.recipient_count && (r->copy_message || r->copy_log); i++) {
        struct qs_recipient_text *recipient = &r->reader->recipients[i];
        if (r->copy_message) {
            settle_span(r, &recipient->address);
            settle_span(r, &recipient->original);
        }
        if (r->copy_log)
            settle_span(r, &recipient->reason);
    }
}

static bool same(struct qs_span a, struct qs_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* The bytes of a kept span before settle(). */
static struct qs_span kept(const struct reading *r, bool copied, struct qs_span span)
{
    if (copied)
        settle_span(r, &span);
    return span;
}

/* --- the envelope --------------------------------------------------------------------------------------- */

/* The next word of blank-separated text. */
static struct qs_span next_word(struct qs_span *text)
{
    size_t from = 0;
    while (from < text->len && text->ptr[from] == ' ')
        from++;
    size_t to = from;
    while (to < text->len && text->ptr[to] != ' ')
        to++;
    struct qs_span word = {text->ptr + from, to - from};
    *text = (struct qs_span){text->ptr + to, text->len - to};
    return word;
}

/* Six numbers: size of the content, its offset, recipients, flags, length as shown, SMTPUTF8. Older
 * Postfix wrote fewer. */
static bool parse_size(struct qs_span text, struct size_record *out)
{
    enum { FIELDS = 6 };
    struct size_record size = {0};
    uint64_t field[FIELDS] = {0};
    for (; size.fields < FIELDS; size.fields++) {
        struct qs_span word = next_word(&text);
        if (word.len == 0)
            break;
        if (!qs_parse_u64(word, &field[size.fields]))
            return false;
    }
    size.size = field[0];
    size.offset = field[1];
    size.length = field[4];
    size.utf8 = field[5];
    if (size.fields != 1 && (size.fields < 3 || size.size == 0 || size.offset == 0))
        return false;
    *out = size;
    return true;
}

static void take_time(struct reading *r, struct qs_span text)
{
    uint64_t seconds;
    if (!r->time_seen && qs_parse_u64(next_word(&text), &seconds) && seconds > 0 && seconds <= INT64_MAX) {
        r->env.arrival = (int64_t)seconds;
        r->time_seen = true;
    }
}

static void take_notify(struct reading *r, struct qs_span value)
{
    uint64_t bits;
    if (qs_parse_u64(value, &bits) && bits < 16)
        r->notify = (unsigned)bits;
}

static bool take_attribute(struct reading *r, enum attribute which, struct qs_span value)
{
    struct qs_span *to = &r->attribute[which];
    if (to->len > 0 && !attributes[which].last_wins)
        return true;
    if (!keep(r, r->copy_message, &value))
        return false;
    *to = value;
    return true;
}

static enum qs_status read_attribute(struct reading *r, const struct pf_record *record, struct qs_error *err)
{
    struct qs_span data = record->data;
    const char *equals = data.len > 0 ? memchr(data.ptr, '=', data.len) : NULL;
    struct qs_span name = {data.ptr, equals != NULL ? (size_t)(equals - data.ptr) : 0};
    name = qs_span_trim(name);
    if (name.len == 0)
        return at_offset(err, record->offset, "an attribute record without name=value");
    for (enum attribute i = 0; i < ATTRIBUTES; i++) {
        if (attributes[i].len != name.len || memcmp(attributes[i].name, name.ptr, name.len) != 0)
            continue;
        struct qs_span value = {equals + 1, data.len - (size_t)(equals + 1 - data.ptr)};
        value = qs_span_trim(value);
        if (i == NOTIFY)
            take_notify(r, value);
        else if (!take_attribute(r, i, value))
            return no_memory(err);
        break;
    }
    return QS_OK;
}

/* Adds a recipient whose text is kept already. */
static enum qs_status append_recipient(struct reading *r, const struct qs_recipient_text *recipient,
                                       struct qs_error *err)
{
    struct qs_reader *reader = r->reader;
    if (r->env.recipient_count == reader->recipients_size) {
        size_t size = reader->recipients_size == 0 ? 64 : 2 * reader->recipients_size;
        struct qs_recipient_text *grown = talloc_realloc(reader, reader->recipients, struct qs_recipient_text,
                                                         (unsigned)size);
        if (grown == NULL)
            return no_memory(err);
        reader->recipients = grown;
        reader->recipients_size = size;
    }
    reader->recipients[r->env.recipient_count++] = *recipient;
    return QS_OK;
}

static enum qs_status add_recipient(struct reading *r, const struct pf_record *record,
                                    enum qs_recipient_state state, struct qs_error *err)
{
    struct qs_recipient_text recipient = {.address = record->data, .original = r->original, .state = state,
                                          .notify = r->notify};
    r->original = (struct qs_span){NULL, 0};
    r->notify = 0;
    if (r->env.recipient_count == QS_RECIPIENTS_MAX || r->reader->scratch.len > TEXT_MAX) {
        r->env.recipients_left_out++;
        return QS_OK;
    }
    if (same(kept(r, r->copy_message, recipient.original), recipient.address))
        recipient.original = (struct qs_span){NULL, 0};
    recipient.asked = recipient.original.len > 0;
    if (!keep(r, r->copy_message, &recipient.address))
        return no_memory(err);
    recipient.reason.len = (size_t)record->offset;  /* until match_logs() */
    return append_recipient(r, &recipient, err);
}

/* After M: over the content to the record behind X. By record C in one step, as qmgr does; in a maildrop
 * file, which has none, record by record. */
static enum qs_status skip_content(struct reading *r, struct pf_cursor *cursor, const struct pf_record *start,
                                   struct qs_error *err)
{
    struct pf_record record;
    enum qs_status status;
    if (r->size.fields > 1) {
        if (cursor->offset != r->size.offset)
            return qs_fail(err, QS_DATA, "offset %" PRIu64 ": the content starts here, not at %" PRIu64
                           " as the size record says", start->offset, r->size.offset);
        uint64_t file_size = qs_file_size(cursor->file);
        if (r->size.offset > file_size || r->size.size >= file_size - r->size.offset)
            return qs_fail(err, QS_DATA,
                           "offset %" PRIu64 ": the file ends before the end of the content at %" PRIu64
                           " + %" PRIu64,
                           file_size, r->size.offset, r->size.size);
        cursor->offset += r->size.size;
        uint64_t expected = cursor->offset;
        status = pf_record_next(cursor, &record, err);
        if (status == QS_OK && (record.type != 'X' || record.offset != expected))
            status = at_offset(err, expected,
                               "the end of the content (X) is not here, where the size record says");
        return status;
    }
    do {
        status = pf_record_next(cursor, &record, err);
        if (status == QS_OK && strchr("XLNw", record.type) == NULL)
            return qs_fail(err, QS_DATA, "offset %" PRIu64 ": a record of type 0x%02x in the content",
                           record.offset, record.type);
        if (++r->records > PF_RECORDS_MAX)
            return at_offset(err, record.offset, "too many records");
    } while (status == QS_OK && record.type != 'X');
    return status;
}

static enum qs_status read_record(struct reading *r, struct pf_cursor *cursor, const struct pf_record *record,
                                  struct qs_error *err)
{
    struct qs_span text = record->data;
    switch (record->type) {
    case 'C':
        if (r->size.fields == 0 && !parse_size(text, &r->size))
            return at_offset(err, record->offset, "the size record is malformed");
        return QS_OK;
    case 'T':
        take_time(r, text);
        return QS_OK;
    case 'c':
        return take_attribute(r, CREATE_TIME, qs_span_trim(text)) ? QS_OK : no_memory(err);
    case 'i':
        return take_attribute(r, ENVELOPE_ID, text) ? QS_OK : no_memory(err);
    case 'n':
        take_notify(r, text);
        return QS_OK;
    case 'A':
        return read_attribute(r, record, err);
    case 'S':
        if (r->sender_seen)
            return at_offset(err, record->offset, "a second sender");
        r->sender_seen = true;
        r->env.sender = text;
        return keep(r, r->copy_message, &r->env.sender) ? QS_OK : no_memory(err);
    case 'F':
        if (r->env.full_name.len > 0)
            return QS_OK;
        r->env.full_name = text;
        return keep(r, r->copy_message, &r->env.full_name) ? QS_OK : no_memory(err);
    case 'O':
        r->original = text;
        return keep(r, r->copy_message, &r->original) ? QS_OK : no_memory(err);
    case 'R':
        return add_recipient(r, record, QS_RCPT_TODO, err);
    case 'D':
        return add_recipient(r, record, QS_RCPT_DONE, err);
    case '/':
        return add_recipient(r, record, QS_RCPT_CANCELLED, err);
    case 'M':
        return skip_content(r, cursor, record, err);
    case '>':
        r->redirect = text;
        return keep(r, r->copy_message, &r->redirect) ? QS_OK : no_memory(err);
    case 'E': case 'I': case 'L': case 'W': case 'V': case 'K': case '<': case 'o': case 'r': case 'e':
    case 'P':
        return QS_OK;
    }
    return qs_fail(err, QS_DATA, "offset %" PRIu64 ": a record of type 0x%02x in the envelope",
                   record->offset, record->type);
}

static enum qs_status read_envelope(struct reading *r, bool maildrop, struct qs_error *err)
{
    struct qs_file *file = r->reader->message;
    struct pf_cursor cursor = pf_cursor_at(file, 0);
    struct pf_record record;
    bool first = true, content_seen = false;
    do {
        enum qs_status status = pf_record_next(&cursor, &record, err);
        if (status == QS_END)
            return at_offset(err, cursor.offset, "the file ends without an end record (E)");
        if (status != QS_OK)
            return status;
        if (first && record.type != 'C' && !maildrop)
            return at_offset(err, 0, "not a Postfix queue file: it does not begin with a size record (C)");
        first = false;
        /* a submission may bring a preliminary size record along */
        if (record.type == 'C' && maildrop)
            continue;
        if (record.type == 'M' && content_seen)
            return at_offset(err, record.offset, "a second start of the content (M)");
        content_seen |= record.type == 'M';
        if (++r->records > PF_RECORDS_MAX)
            return at_offset(err, record.offset, "too many records");
        status = read_record(r, &cursor, &record, err);
        if (status == QS_END)
            return at_offset(err, cursor.offset, "the file ends inside the content");
        if (status != QS_OK)
            return status;
    } while (record.type != 'E');
    if (!r->sender_seen)
        return at_offset(err, cursor.offset, "the message has no sender record (S)");
    if (!content_seen)
        return at_offset(err, cursor.offset, "the message has no content (M)");
    /* The content is not looked into: a header that was just taken out, or changed at its place, does not
     * show. */
    if (cursor.pointers > 0 || cursor.offset < qs_file_size(file) ||
        (r->size.length > 0 && r->size.length != r->size.size))
        r->env.flags |= QS_ENV_EDITED;
    return QS_OK;
}

/* --- logs ----------------------------------------------------------------------------------------------- */

static uint64_t hash_address(struct qs_span text)
{
    uint64_t hash = 0xcbf29ce484222325u;    /* FNV-1a, Fowler, Noll and Vo */
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.ptr[i]) * 0x100000001b3u;
    return hash;
}

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->recipient < y->recipient ? -1 : x->recipient > y->recipient;
}

static struct key *index_keys(const struct reading *r, const struct index *index)
{
    return (struct key *)(void *)(r->reader->scratch.data + index->at);
}

/* The index by offset comes first and takes the offsets out of the recipients. */
static bool make_index(struct reading *r, struct index *index)
{
    struct qs_buffer *scratch = &r->reader->scratch;
    size_t count = r->env.recipient_count;
    bool sorted = true;
    while (scratch->len % _Alignof(struct key) != 0) {
        if (!qs_buffer_add_char(scratch, '\0'))
            return false;
    }
    if (!qs_buffer_reserve(scratch, count * sizeof(struct key)))
        return false;
    *index = (struct index){.made = true, .at = scratch->len, .count = count};
    scratch->len += count * sizeof(struct key);
    struct key *keys = index_keys(r, index);
    for (size_t i = 0; i < count; i++) {
        struct qs_recipient_text *recipient = &r->reader->recipients[i];
        uint64_t key;
        if (index == &r->by_offset) {
            key = recipient->reason.len;
            recipient->reason = (struct qs_span){NULL, 0};
        } else {
            key = hash_address(kept(r, r->copy_message, recipient->address));
        }
        keys[i] = (struct key){key, i};
        sorted = sorted && (i == 0 || keys[i - 1].key <= key);
    }
    if (!sorted)
        qsort(keys, count, sizeof *keys, compare_keys);
    return true;
}

/* Place of the first key that is not less. Logs are mostly in the order of the recipients. */
static size_t find_key(const struct reading *r, struct index *index, uint64_t key)
{
    const struct key *keys = index_keys(r, index);
    size_t low = 0, high = index->count, hint = index->hint;
    if (hint < high && keys[hint].key == key && (hint == 0 || keys[hint - 1].key != key))
        low = high = hint;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (keys[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    index->hint = low + 1;
    return low;
}

/* One entry of a log; spans into the log. */
struct log_entry {
    struct qs_span recipient;   /* quoted as RFC 5322 wants it */
    struct qs_span reason;
    uint64_t offset;            /* 0: not given */
    bool any;
};

/* The address with the quotes of its local part taken off, in `room` if that changes it. */
static struct qs_span unquoted(struct qs_span address, char room[ADDRESS_MAX])
{
    size_t from = 1, to = 0;
    if (qs_span_is(address, "<>"))
        return (struct qs_span){NULL, 0};
    if (address.len < 2 || address.len > ADDRESS_MAX || address.ptr[0] != '"')
        return address;
    for (; from < address.len && address.ptr[from] != '"'; from++) {
        if (address.ptr[from] == '\\' && from + 1 < address.len)
            from++;
        room[to++] = address.ptr[from];
    }
    for (from++; from < address.len; from++)
        room[to++] = address.ptr[from];
    return (struct qs_span){room, to};
}

static enum qs_status keep_reason(struct reading *r, struct qs_recipient_text *recipient,
                                  struct qs_span reason, struct qs_error *err)
{
    /* every recipient of a message often fails with the same words */
    struct qs_span last = kept(r, r->copy_log, r->last_reason);
    if (r->copy_log && reason.len > 0 && same(last, reason)) {
        recipient->reason = r->last_reason;
        return QS_OK;
    }
    recipient->reason = reason;
    if (!keep(r, r->copy_log, &recipient->reason))
        return no_memory(err);
    r->last_reason = recipient->reason;
    return QS_OK;
}

/* A redirected message goes to one address instead of its recipients. When that was tried, postqueue lists it
 * beside them, and so do we. */
static enum qs_status match_redirect(struct reading *r, struct qs_span reason, bool fill,
                                     struct qs_error *err)
{
    struct qs_span address = kept(r, r->copy_message, r->redirect);
    for (size_t i = 0; i < r->env.recipient_count && r->target == 0; i++) {
        if (same(kept(r, r->copy_message, r->reader->recipients[i].address), address))
            r->target = i + 1;
    }
    if (r->target == 0) {
        const struct qs_recipient_text target = {.address = r->redirect, .state = QS_RCPT_TODO};
        enum qs_status status = append_recipient(r, &target, err);
        if (status != QS_OK)
            return status;
        r->target = r->env.recipient_count;
    }
    struct qs_recipient_text *recipient = &r->reader->recipients[r->target - 1];
    return fill && recipient->reason.len > 0 ? QS_OK : keep_reason(r, recipient, reason, err);
}

/* Gives the entry's reason to its recipient. An entry that names an offset where no recipient is, or none
 * at all, goes to all recipients of that address. `fill`: only where there is no reason yet. */
static enum qs_status match_entry(struct reading *r, const struct log_entry *entry, bool fill,
                                  struct qs_error *err)
{
    char room[ADDRESS_MAX];
    struct qs_span address = unquoted(entry->recipient, room);
    struct qs_recipient_text *recipients = r->reader->recipients;
    struct index *by_offset = &r->by_offset, *by_address = &r->by_address;
    if (r->redirect.len > 0 && same(kept(r, r->copy_message, r->redirect), address))
        return match_redirect(r, entry->reason, fill, err);
    if (entry->offset != 0) {
        size_t at = find_key(r, by_offset, entry->offset);
        if (at < by_offset->count && index_keys(r, by_offset)[at].key == entry->offset) {
            struct qs_recipient_text *recipient = &recipients[index_keys(r, by_offset)[at].recipient];
            return fill && recipient->reason.len > 0 ? QS_OK : keep_reason(r, recipient, entry->reason, err);
        }
    }
    if (!by_address->made && !make_index(r, by_address))
        return no_memory(err);
    uint64_t key = hash_address(address);
    size_t first = find_key(r, by_address, key);
    for (size_t i = first; i < by_address->count && i - first < SAME_HASH_MAX; i++) {
        struct key found = index_keys(r, by_address)[i];
        struct qs_recipient_text *recipient = &recipients[found.recipient];
        if (found.key != key)
            break;
        if (!same(kept(r, r->copy_message, recipient->address), address) ||
            (fill && recipient->reason.len > 0))
            continue;
        enum qs_status status = keep_reason(r, recipient, entry->reason, err);
        if (status != QS_OK)
            return status;
    }
    return QS_OK;
}

/* A line of a log: "name=value", or in the old style "<address>: reason". Newer Postfix writes both, the
 * old one first. */
static void read_log_line(struct log_entry *entry, struct qs_span line)
{
    entry->any = true;
    if (line.ptr[0] == '<') {
        const char *end = memmem(line.ptr, line.len, ">: ", 3);
        if (end == NULL)
            return;
        entry->recipient = (struct qs_span){line.ptr + 1, (size_t)(end - line.ptr) - 1};
        entry->reason = qs_span_trim((struct qs_span){end + 3, line.len - (size_t)(end + 3 - line.ptr)});
        return;
    }
    const char *equals = memchr(line.ptr, '=', line.len);
    if (equals == NULL)
        return;
    struct qs_span name = qs_span_trim((struct qs_span){line.ptr, (size_t)(equals - line.ptr)});
    struct qs_span value =
        qs_span_trim((struct qs_span){equals + 1, line.len - (size_t)(equals + 1 - line.ptr)});
    if (qs_span_is(name, "reason"))
        entry->reason = value;
    else if (qs_span_is(name, "recipient"))
        entry->recipient = value;
    else if (qs_span_is(name, "offset"))
        (void)qs_parse_u64(value, &entry->offset);
}

/* The complete entries of `text`, each ended by an empty line; *done is how far they go. */
static enum qs_status read_log_text(struct reading *r, struct qs_span text, bool fill, size_t *done,
                                    struct qs_error *err)
{
    struct log_entry entry = {0};
    size_t at = 0, settled = 0;
    while (at < text.len) {
        const char *newline = memchr(text.ptr + at, '\n', text.len - at);
        if (newline == NULL)
            break;
        struct qs_span line = {text.ptr + at, (size_t)(newline - text.ptr) - at};
        at += line.len + 1;
        if (line.len > 0) {
            read_log_line(&entry, line);
            continue;
        }
        settled = at;
        if (!entry.any)
            continue;
        enum qs_status status = match_entry(r, &entry, fill, err);
        if (status != QS_OK)
            return status;
        entry = (struct log_entry){0};
    }
    *done = settled;
    return QS_OK;
}

/* Reads the log that is open in reader->side. */
static enum qs_status read_log(struct reading *r, bool fill, struct qs_error *err)
{
    struct qs_file *file = r->reader->side;
    uint64_t offset = 0;
    while (offset < LOG_MAX) {
        struct qs_span text;
        size_t done;
        enum qs_status status = qs_file_at(file, offset, QS_FILE_WINDOW, &text, err);
        if (status == QS_END)
            return QS_OK;
        if (status == QS_OK)
            status = read_log_text(r, text, fill, &done, err);
        if (status != QS_OK)
            return status;
        if (offset + text.len >= qs_file_size(file))
            return QS_OK;       /* what follows the last empty line is still being written */
        if (done == 0) {
            finding(r, "its log has an entry that does not end");
            return QS_OK;
        }
        offset += done;
    }
    finding(r, "its log is too large to read whole");
    return QS_OK;
}

/* Reasons from the defer log, then for recipients without one from the logs of bounces and deliveries not
 * yet reported. A log that cannot be read is a finding: the message itself is sound. */
static enum qs_status match_logs(struct reading *r, const struct qs_queue *queue, const struct qs_entry *e,
                                 bool may_be_deferred, struct qs_error *err)
{
    static const enum pf_dir logs[] = {PF_DEFER, PF_BOUNCE, PF_TRACE};
    bool bounce = pf_has_log(queue, e->id, PF_BOUNCE), trace = pf_has_log(queue, e->id, PF_TRACE);
    if (!make_index(r, &r->by_offset))
        return no_memory(err);
    for (size_t i = 0; i < sizeof logs / sizeof *logs; i++) {
        struct qs_error why = {""};
        if (!(logs[i] == PF_DEFER ? may_be_deferred : logs[i] == PF_BOUNCE ? bounce : trace))
            continue;
        enum qs_status status = pf_open_log(queue, e, logs[i], r->reader->side, &why);
        if (status == QS_GONE)
            continue;
        if (status == QS_OK) {
            /* one buffer for all logs, so text of one must be copied before the next */
            if (logs[i] == PF_DEFER)
                r->copy_log = bounce || trace || qs_file_size(r->reader->side) > QS_FILE_WINDOW;
            else
                r->copy_log = true;
            if (logs[i] == PF_BOUNCE && qs_file_size(r->reader->side) > 0)
                r->env.flags |= QS_ENV_BOUNCE_PENDING;
            status = read_log(r, i > 0, &why);
        }
        if (status == QS_NOMEM)
            return no_memory(err);
        if (status != QS_OK) {
            char safe[sizeof r->env.finding / 2];
            (void)qs_text_safe(safe, sizeof safe, qs_span_of(why.text));
            finding(r, "its %s log cannot be read: %s", pf_dir_name(logs[i]), safe);
        }
    }
    return QS_OK;
}

/* What stands in the place of the reasons until match_logs() goes. */
static void without_reasons(struct qs_reader *reader, size_t count)
{
    for (size_t i = 0; i < count; i++)
        reader->recipients[i].reason = (struct qs_span){NULL, 0};
}

/* --- read ----------------------------------------------------------------------------------------------- */

int64_t pf_received_uid(struct qs_span head)
{
    static const char mark[] = ", from userid ";
    uint64_t uid;
    if (!qs_span_starts(head, "Received: by "))
        return -1;
    const char *end = memchr(head.ptr, '\n', head.len);
    struct qs_span line = {head.ptr, end != NULL ? (size_t)(end - head.ptr) : head.len};
    const char *at = memmem(line.ptr, line.len, mark, sizeof mark - 1);
    if (at == NULL || line.ptr[line.len - 1] != ')')
        return -1;
    at += sizeof mark - 1;
    size_t digits = (size_t)(line.ptr + line.len - 1 - at);
    return qs_parse_u64((struct qs_span){at, digits}, &uid) && uid <= UINT32_MAX ? (int64_t)uid : -1;
}

/* The submitting user by the newest Received header, which pickup puts first; only a milter's can stand
 * before it. */
static int64_t submitter(const struct reading *r)
{
    enum { LINES = 16 };
    struct pf_cursor cursor = pf_cursor_at(r->reader->message, r->size.offset);
    struct pf_record record;
    for (unsigned i = 0; i < LINES && r->size.fields > 1; i++) {
        if (pf_record_next(&cursor, &record, NULL) != QS_OK || record.type == 'X' || record.data.len == 0)
            break;
        if (record.type == 'N' && qs_span_starts_nocase(record.data, "Received:"))
            return pf_received_uid(record.data);
    }
    return -1;
}

static struct qs_span either(struct qs_span first, struct qs_span second)
{
    return first.len > 0 ? first : second;
}

/* What follows from the attributes, once they are at their place. */
static void finish(struct reading *r, const struct qs_entry *e)
{
    struct qs_envelope *env = &r->env;
    const struct qs_span *a = r->attribute;
    uint64_t created;
    env->client_address = either(a[LOG_CLIENT_ADDRESS], a[CLIENT_ADDRESS]);
    env->client_name = either(a[LOG_CLIENT_NAME], a[CLIENT_NAME]);
    env->helo = either(a[LOG_HELO], a[HELO]);
    env->protocol = either(a[LOG_PROTOCOL], a[PROTOCOL]);
    env->sasl_username = a[SASL_USERNAME];
    env->envelope_id = a[ENVELOPE_ID];
    env->ret = qs_span_is(a[RET_FLAGS], "1") ? 'F' : qs_span_is(a[RET_FLAGS], "2") ? 'H' : 0;
    /* smtpd gives a message that comes from no filter its own ID */
    if (!qs_span_is(a[LOG_IDENT], e->id))
        env->origin_id = a[LOG_IDENT];
    if (qs_parse_u64(a[CREATE_TIME], &created) && created <= INT64_MAX)
        env->created = (int64_t)created;
    if (r->size.utf8 & 7)
        env->flags |= QS_ENV_UTF8;
    if (env->client_address.len == 0 && env->client_name.len == 0 && env->protocol.len == 0)
        env->flags |= QS_ENV_LOCAL;
    /* Postfix's own daemons say so; pickup does not. Of those with a null sender the bounce daemon is the
     * one. */
    if ((env->flags & QS_ENV_LOCAL) && env->sender.len == 0 && qs_span_is(a[ORIGIN], "local"))
        env->flags |= QS_ENV_RESPONSE;
    env->recipients = env->recipient_count > 0 ? r->reader->recipients : NULL;
}

/* What directory and attributes of its file say of a message. QS_SKIP: it is being written. */
static enum qs_status outside(enum pf_dir dir, const struct stat *st, struct qs_envelope *env, struct qs_error *err)
{
    const mode_t mode = st->st_mode & MODE_OWNER;
    if (mode != MODE_READY && mode != MODE_CORRUPT)
        return qs_fail(err, QS_SKIP, "still being written (mode %04o)", (unsigned)(st->st_mode & 07777));
    env->queue_name = pf_dir_name(dir);
    env->next_try = (int64_t)st->st_mtime;
    if (mode == MODE_CORRUPT || dir == PF_CORRUPT)
        env->flags |= QS_ENV_LOST;
    if (st->st_mode & MODE_EXPIRE)
        env->flags |= QS_ENV_FORCED_EXPIRE;
    if (dir == PF_HOLD)
        env->flags |= QS_ENV_HELD;
    return QS_OK;
}

enum qs_status pf_look(const struct qs_queue *queue, const struct qs_entry *e, struct qs_envelope *out, struct stat *st,
                       int64_t *born, struct qs_error *err)
{
    struct qs_envelope env = {.local_uid = -1};
    enum qs_status status = pf_look_at_message(queue, e, st, born, err);
    if (status == QS_OK)
        status = outside(pf_entry_dir(e), st, &env, err);
    if (status != QS_OK)
        return status;
    env.flags |= QS_ENV_UNREAD;
    env.size = (uint64_t)st->st_size;
    env.arrival = *born / 1000000000;
    *out = env;
    return QS_OK;
}

enum qs_status pf_read(const struct qs_queue *queue, struct qs_entry *e, struct qs_reader *reader,
                       struct qs_envelope *out, struct qs_error *err)
{
    struct reading r = {.reader = reader, .env.local_uid = -1};
    reader->scratch.len = 0;
    reader->content.len = 0;
    enum qs_status status = pf_open_message(queue, e, reader->message, err);
    if (status != QS_OK)
        return status;
    enum pf_dir dir = pf_entry_dir(e);
    const struct stat *st = qs_file_stat(reader->message);
    r.copy_message = qs_file_size(reader->message) > QS_FILE_WINDOW;
    status = outside(dir, st, &r.env, err);
    if (status != QS_OK)
        return status;
    if ((st->st_mode & MODE_OWNER) == MODE_CORRUPT)
        finding(&r, "a delivery agent has marked it as corrupt");
    if (st->st_nlink > 1)
        finding(&r, "its file has %llu links: Postfix refuses such files", (unsigned long long)st->st_nlink);

    status = read_envelope(&r, dir == PF_MAILDROP, err);
    if (status != QS_OK)
        return status;
    if (!r.time_seen) {
        r.env.arrival = r.env.next_try;
        if (dir != PF_MAILDROP)
            finding(&r, "it has no arrival time: the queue manager will call it corrupt");
    }
    r.env.size = r.size.fields > 0 ? r.size.size : (uint64_t)st->st_size;
    bool may_be_deferred = dir == PF_INCOMING || dir == PF_ACTIVE || dir == PF_DEFERRED || dir == PF_HOLD;
    if (reader->brief)
        without_reasons(reader, r.env.recipient_count);
    else
        status = match_logs(&r, queue, e, may_be_deferred, err);
    if (status != QS_OK)
        return status;
    settle(&r);
    finish(&r, e);
    if (dir == PF_MAILDROP && ((st->st_mode & MODE_SUBMITTED) || st->st_uid != pf_queue_owner(queue)))
        r.env.local_uid = (int64_t)st->st_uid;
    else if (r.env.flags & QS_ENV_LOCAL)
        r.env.local_uid = submitter(&r);
    *out = r.env;
    return QS_OK;
}

/* --- content -------------------------------------------------------------------------------------------- */

/* Puts the cursor behind M. */
static enum qs_status find_content(struct pf_cursor *cursor, bool maildrop, struct qs_error *err)
{
    struct pf_record record;
    struct size_record size = {0};
    enum qs_status status;
    do {
        status = pf_record_next(cursor, &record, err);
        if (status == QS_OK && record.type == 'C' && !maildrop && size.fields == 0) {
            if (!parse_size(record.data, &size))
                return at_offset(err, record.offset, "the size record is malformed");
            if (size.fields > 1) {
                cursor->offset = size.offset;
                return QS_OK;
            }
        }
    } while (status == QS_OK && record.type != 'M');
    return status == QS_END ? at_offset(err, cursor->offset, "the file ends before the content") : status;
}

enum qs_status pf_content(const struct qs_queue *queue, const struct qs_entry *e, struct qs_reader *reader,
                          size_t cap, struct qs_span *out, bool *whole, struct qs_error *err)
{
    struct qs_buffer *to = &reader->content;
    struct pf_cursor cursor = pf_cursor_at(reader->message, 0);
    (void)queue;
    to->len = 0;
    enum qs_status status = find_content(&cursor, pf_entry_dir(e) == PF_MAILDROP, err);
    if (status != QS_OK)
        return status;
    bool line_open = false, full = false;
    uint64_t records = 0;
    while (!full) {
        struct pf_record record;
        status = pf_record_next(&cursor, &record, err);
        if (status == QS_END)
            return at_offset(err, cursor.offset, "the file ends inside the content");
        if (status != QS_OK)
            return status;
        if (record.type == 'X')
            break;
        if (record.type == 'w') {
            if (++records > PF_RECORDS_MAX)
                return at_offset(err, record.offset, "too many records");
            continue;
        }
        if (record.type != 'N' && record.type != 'L')
            return qs_fail(err, QS_DATA, "offset %" PRIu64 ": a record of type 0x%02x in the content",
                           record.offset, record.type);
        if (record.type == 'L' && record.data.len == 0 && ++records > PF_RECORDS_MAX)
            return at_offset(err, record.offset, "too many records");
        size_t len = record.data.len, room = cap - to->len;
        if (!qs_buffer_reserve(to, len + 1))
            return no_memory(err);
        full = len > room;
        if (full)
            len = room;
        if (len > 0)
            memcpy(to->data + to->len, record.data.ptr, len);
        to->len += len;
        line_open = record.type == 'L';
        if (!line_open && !full) {
            full = to->len == cap;
            if (!full)
                to->data[to->len++] = '\n';
        }
    }
    if (line_open && !full) {
        full = to->len == cap;
        if (!full && !qs_buffer_add_char(to, '\n'))
            return no_memory(err);
    }
    *out = (struct qs_span){to->data, to->len};
    *whole = !full;
    return QS_OK;
}
