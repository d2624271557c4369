/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of mail logs: see maillog.h. Counts nothing. */
#include "qsurgeon/maillog.h"

#include <archive.h>
#include <errno.h>
#include <string.h>
#include <talloc.h>

enum { LINE_MAX_BYTES = 16384, BLOCK = 65536 };

/* --- pieces -------------------------------------------------------------------------------------------- */

/* Takes everything before `end` off the front of *rest; false, and nothing taken, when it does not occur. */
static bool take_until(struct qs_span *rest, const char *end, struct qs_span *out)
{
    const char *at = rest->len ? memmem(rest->ptr, rest->len, end, strlen(end)) : NULL;
    if (!at)
        return false;
    *out = (struct qs_span){rest->ptr, (size_t)(at - rest->ptr)};
    rest->len -= out->len + strlen(end);
    rest->ptr = at + strlen(end);
    return true;
}

static bool take_word(struct qs_span *rest, const char *word)
{
    if (!qs_span_starts(*rest, word))
        return false;
    rest->ptr += strlen(word);
    rest->len -= strlen(word);
    return true;
}

static bool has(struct qs_span text, const char *words)
{
    return text.len && memmem(text.ptr, text.len, words, strlen(words));
}

static bool ends(struct qs_span text, const char *words)
{
    size_t len = strlen(words);
    return text.len >= len && memcmp(text.ptr + text.len - len, words, len) == 0;
}

/* How often `words` occur; 2 stands for more. */
static unsigned times(struct qs_span text, const char *words)
{
    struct qs_span before;
    return take_until(&text, words, &before) ? 1 + has(text, words) : 0;
}

static bool is_id(struct qs_span id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')))
            return false;
    }
    return id.len >= 6 && id.len <= 64;
}

/* "name[address]" at the front, as Postfix writes clients. */
static bool take_client(struct qs_span *rest, struct qs_log_event *e)
{
    struct qs_span name, address;
    if (!take_until(rest, "[", &name) || !take_until(rest, "]", &address) || has(name, " "))
        return false;
    e->address = address;
    if (!qs_span_is(name, "unknown"))
        e->name = name;
    return true;
}

/* --- Postfix ------------------------------------------------------------------------------------------- */

/* "550 5.1.1 <user@here.example>: Recipient address rejected: ..." behind the client. */
static enum qs_status postfix_refusal(struct qs_span rest, struct qs_log_event *e)
{
    struct qs_span code, status, skipped;
    if (!take_client(&rest, e) || !take_until(&rest, ": ", &skipped) || !take_until(&rest, " ", &code) ||
        code.len != 3 || (*code.ptr != '4' && *code.ptr != '5'))
        return QS_SKIP;
    bool enhanced = rest.len > 5 && (rest.ptr[0] == '4' || rest.ptr[0] == '5') && rest.ptr[1] == '.';
    status = (struct qs_span){NULL, 0};
    if (enhanced && !take_until(&rest, " ", &status))
        return QS_SKIP;
    e->kind = QS_LOG_REFUSED;
    if (!take_word(&rest, "<") || !take_until(&rest, ">: ", &e->recipient))
        return QS_OK;
    bool recipient = take_word(&rest, "Recipient address rejected: ");
    if (qs_span_is(status, "5.1.1") ||
        (recipient && (qs_span_starts(rest, "User unknown") || qs_span_starts(rest, "undeliverable address"))))
        e->kind = QS_LOG_UNKNOWN;
    else if (!recipient && qs_span_starts(rest, "Relay access denied"))
        e->kind = QS_LOG_RELAY;
    return QS_OK;
}

/* "to=<user@there.example>, relay=..., dsn=2.0.0, status=sent (...)". */
static enum qs_status postfix_delivery(struct qs_span rest, struct qs_log_event *e)
{
    struct qs_span before;
    if (times(rest, ", status=") != 1 || times(rest, ", dsn=") != 1 || times(rest, ", relay=") != 1)
        return QS_DATA;
    if (!take_word(&rest, "to=<") || !take_until(&rest, ">, ", &e->recipient) ||
        !take_until(&rest, "relay=", &before))
        return QS_SKIP;
    bool filter = qs_span_starts(rest, "127.") || qs_span_starts(rest, "localhost[") || qs_span_starts(rest, "[::1]");
    if (!take_until(&rest, ", dsn=", &before))
        return QS_DATA;
    bool nobody = qs_span_starts(rest, "5.1.1,");
    if (!take_until(&rest, ", status=", &before))
        return QS_DATA;
    if (qs_span_starts(rest, "bounced") && nobody) {
        e->kind = QS_LOG_NO_SUCH_USER;
        return QS_OK;
    }
    if (!qs_span_starts(rest, "sent"))
        return QS_SKIP;
    e->kind = filter ? QS_LOG_HANDED_ON : QS_LOG_DELIVERED;
    if (filter) {
        if (!take_until(&rest, "queued as ", &before))
            return QS_SKIP;
        return take_until(&rest, ")", &e->other) && is_id(e->other) ? QS_OK : QS_SKIP;
    }
    return QS_OK;
}

static enum qs_status postfix_line(struct qs_span service, struct qs_span rest, struct qs_log_event *e)
{
    if (!take_until(&rest, ": ", &e->id))
        return QS_SKIP;
    bool queued = !qs_span_is(e->id, "NOQUEUE");
    if (queued && !is_id(e->id))
        return QS_SKIP;
    if (!queued)
        e->id.len = 0;
    if (qs_span_is(service, "smtpd") || qs_span_is(service, "postscreen")) {
        if (take_word(&rest, "reject: RCPT from "))
            return postfix_refusal(rest, e);
        if (!queued || !take_word(&rest, "client=") || !take_client(&rest, e))
            return QS_SKIP;
        e->kind = QS_LOG_CAME;
        e->login = qs_span_starts(rest, ", sasl_method=") && has(rest, ", sasl_username=");
        return QS_OK;
    }
    return queued && qs_span_starts(rest, "to=<") ? postfix_delivery(rest, e) : QS_SKIP;
}

/* --- sendmail ------------------------------------------------------------------------------------------ */

/* The client behind the only "relay=" of the line: "[ident@]name [address] (may be forged)". */
static enum qs_status sendmail_client(struct qs_span rest, struct qs_span *behind, struct qs_log_event *e)
{
    struct qs_span before, name, address;
    if (times(rest, "relay=") > 1)
        return QS_DATA;
    if (!take_until(&rest, "relay=", &before) || !take_until(&rest, "[", &name) || !take_until(&rest, "]", &address))
        return QS_SKIP;
    name = qs_span_trim(name);
    if (has(name, ","))             /* a name without an address: this host itself */
        return QS_SKIP;
    const char *ident = name.len ? memrchr(name.ptr, '@', name.len) : NULL;
    if (ident) {
        name.len -= (size_t)(ident + 1 - name.ptr);
        name.ptr = ident + 1;
    }
    e->address = address;
    if (!take_word(&rest, " (may be forged)"))
        e->name = name;
    if (behind)
        *behind = rest;
    return QS_OK;
}

static enum qs_status sendmail_refusal(struct qs_span rest, struct qs_log_event *e)
{
    struct qs_span why = {NULL, 0};
    enum qs_status status = sendmail_client(rest, &why, e);
    if (status != QS_OK)
        return status;
    if (!take_word(&why, ", reject="))
        return QS_SKIP;
    e->kind = has(why, "... Relaying denied") ? QS_LOG_RELAY
            : qs_span_starts(why, "550 5.1.1 ") ? QS_LOG_UNKNOWN : QS_LOG_REFUSED;
    if (take_word(&rest, "arg1=<"))
        return take_until(&rest, ">, relay=", &e->recipient) ? QS_OK : QS_SKIP;
    return QS_OK;
}

static enum qs_status sendmail_delivery(struct qs_span rest, struct qs_log_event *e)
{
    struct qs_span before;
    if (times(rest, ", stat=") != 1 || times(rest, ", dsn=") > 1)
        return QS_DATA;
    bool nobody = has(rest, ", dsn=5.1.1, stat=");
    if (!take_until(&rest, ", stat=", &before))
        return QS_SKIP;
    if (nobody)
        e->kind = QS_LOG_NO_SUCH_USER;
    else if (qs_span_starts(rest, "Sent"))
        e->kind = QS_LOG_DELIVERED;
    else
        return QS_SKIP;
    return QS_OK;
}

static enum qs_status sendmail_line(struct qs_span rest, struct qs_log_event *e)
{
    if (!take_until(&rest, ": ", &e->id) || !is_id(e->id))
        return QS_SKIP;
    if (qs_span_starts(rest, "<") && ends(rest, ">... User unknown")) {
        e->kind = QS_LOG_UNKNOWN;
        e->recipient = (struct qs_span){rest.ptr + 1, rest.len - 1 - strlen(">... User unknown")};
        return QS_OK;
    }
    if (take_word(&rest, "ruleset=check_rcpt, "))
        return sendmail_refusal(rest, e);
    if (take_word(&rest, "from="))  {
        enum qs_status status = sendmail_client(rest, NULL, e);
        e->kind = QS_LOG_CAME;
        e->empty = times(rest, ", nrcpts=") != 1 || has(rest, ", nrcpts=0,");
        return status;
    }
    return qs_span_starts(rest, "to=") ? sendmail_delivery(rest, e) : QS_SKIP;
}

/* --- lines --------------------------------------------------------------------------------------------- */

/* The program's name without its process number: the first word that ends with a colon. Whatever somebody else could
 * have written stands behind it. */
static bool take_tag(struct qs_span *rest, struct qs_span *tag)
{
    for (unsigned words = 0; words < 8 && rest->len; words++) {
        struct qs_span word;
        while (rest->len && *rest->ptr == ' ') {
            rest->ptr++;
            rest->len--;
        }
        if (!take_until(rest, " ", &word))
            return false;
        if (word.len < 2 || word.ptr[word.len - 1] != ':')
            continue;
        const char *number = memchr(word.ptr, '[', word.len);
        *tag = (struct qs_span){word.ptr, number ? (size_t)(number - word.ptr) : word.len - 1};
        return true;
    }
    return false;
}

/* --- times --------------------------------------------------------------------------------------------- */

static bool take_number(struct qs_span *rest, unsigned digits, uint64_t most, unsigned *out)
{
    uint64_t n = 0;
    if (rest->len < digits || !qs_parse_u64((struct qs_span){rest->ptr, digits}, &n) || n > most)
        return false;
    *out = (unsigned)n;
    rest->ptr += digits;
    rest->len -= digits;
    return true;
}

/* Seconds since 1970 of a date in the Gregorian calendar, by the days since 1 March of year 0. */
static int64_t seconds_of(unsigned year, unsigned month, unsigned day, unsigned second)
{
    const int64_t y = (int64_t)year - (month < 3), m = (month + 9) % 12;
    return ((y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1) - 719468) * 86400 + second;
}

static bool take_clock(struct qs_span *rest, unsigned *second)
{
    unsigned h, m, s;
    if (!take_number(rest, 2, 23, &h) || !take_word(rest, ":") || !take_number(rest, 2, 59, &m) || !take_word(rest, ":") ||
        !take_number(rest, 2, 60, &s))
        return false;
    *second = h * 3600 + m * 60 + s;
    return true;
}

static bool take_zone(struct qs_span *rest, int32_t *offset)
{
    unsigned h, m = 0;
    if (take_word(rest, "Z")) {
        *offset = 0;
        return true;
    }
    const bool west = qs_span_starts(*rest, "-");
    if (!take_word(rest, west ? "-" : "+"))
        return true;                /* local */
    if (!take_number(rest, 2, 23, &h))
        return false;
    const bool colon = take_word(rest, ":");
    if (!take_number(rest, 2, 59, &m) && colon)
        return false;
    *offset = (int32_t)(h * 3600 + m * 60) * (west ? -1 : 1);
    return true;
}

static bool time_of_syslog(struct qs_span line, const struct qs_log_clock *clock, int64_t *out)
{
    static const char months[] = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec ";
    const char *name = line.len > 4 ? memmem(months, sizeof months - 1, line.ptr, 4) : NULL;
    unsigned day, second;
    if (!name || (name - months) % 4 != 0)
        return false;
    line = (struct qs_span){line.ptr + 4, line.len - 4};
    if (!(take_word(&line, " ") ? take_number(&line, 1, 9, &day) : take_number(&line, 2, 31, &day)) || day == 0 ||
        !take_word(&line, " ") || !take_clock(&line, &second) || !take_word(&line, " "))
        return false;
    const unsigned month = (unsigned)(name - months) / 4 + 1;
    unsigned year = (unsigned)((clock->now + 86400) / 31556952) + 1972;         /* surely too late by one or two */
    do
        *out = seconds_of(--year, month, day, second) - clock->offset;
    while (*out > clock->now + 86400);
    return true;
}

bool qs_log_time(struct qs_span line, const struct qs_log_clock *clock, int64_t *out)
{
    unsigned year, month, day, second;
    int32_t offset = clock->offset;
    struct qs_span rest = line;
    if (!take_number(&rest, 4, 9999, &year) || year < 1970)
        return clock->now > 0 && time_of_syslog(line, clock, out);
    if (!take_word(&rest, "-") || !take_number(&rest, 2, 12, &month) || month == 0 || !take_word(&rest, "-") ||
        !take_number(&rest, 2, 31, &day) || day == 0 || (!take_word(&rest, "T") && !take_word(&rest, " ")) ||
        !take_clock(&rest, &second))
        return false;
    if (take_word(&rest, ".") || take_word(&rest, ","))
        while (rest.len && *rest.ptr >= '0' && *rest.ptr <= '9')
            rest = (struct qs_span){rest.ptr + 1, rest.len - 1};
    if (!take_zone(&rest, &offset) || !take_word(&rest, " "))
        return false;
    *out = seconds_of(year, month, day, second) - offset;
    return true;
}

/* --- lines of a mail server ----------------------------------------------------------------------------- */

enum qs_status qs_log_line(struct qs_span line, struct qs_log_event *out)
{
    struct qs_log_event e = {.kind = QS_LOG_REFUSED};
    struct qs_span tag;
    enum qs_status status = QS_SKIP;
    if (!take_tag(&line, &tag))
        return QS_SKIP;
    const char *slash = memrchr(tag.ptr, '/', tag.len);
    if (qs_span_starts(tag, "postfix") && slash) {
        struct qs_span service = {slash + 1, tag.len - (size_t)(slash + 1 - tag.ptr)};
        status = postfix_line(service, line, &e);
    } else if (qs_span_is(tag, "sendmail") || qs_span_starts(tag, "sm-")) {
        status = sendmail_line(line, &e);
    }
    if (status == QS_OK)
        *out = e;
    return status;
}

/* --- files --------------------------------------------------------------------------------------------- */

struct lines {
    char text[LINE_MAX_BYTES];
    size_t used;
    qs_log_sink sink;
    void *data;
};

static bool end_line(struct lines *l)
{
    struct qs_span line = {l->text, l->used};
    if (line.len && line.ptr[line.len - 1] == '\r')
        line.len--;
    l->used = 0;
    return !line.len || l->sink(l->data, line);
}

static bool add_bytes(struct lines *l, const char *p, size_t len)
{
    while (len) {
        const char *newline = memchr(p, '\n', len);
        size_t piece = newline ? (size_t)(newline - p) : len, room = sizeof l->text - l->used;
        memcpy(l->text + l->used, p, piece < room ? piece : room);
        l->used += piece < room ? piece : room;
        if (!newline)
            return true;
        if (!end_line(l))
            return false;
        p = newline + 1;
        len -= piece + 1;
    }
    return true;
}

static enum qs_status failed(struct archive *a, const char *path, struct qs_error *err)
{
    int number = archive_errno(a);
    const char *words = archive_error_string(a);
    if (number == ENOENT || number == EACCES || number == EPERM || number == EISDIR || number == EIO)
        return qs_fail_errno(err, number, "%.200s", path);
    return qs_fail(err, QS_DATA, "%.200s: %.150s", path, words ? words : "damaged");
}

static int close_archive(struct archive **a)
{
    return archive_read_free(*a);
}

static enum qs_status read_all(struct archive *a, const char *path, uint64_t most, struct lines *l, bool *cut,
                               struct qs_error *err)
{
    const void *block;
    size_t size = 0;
    int64_t offset;
    uint64_t total = 0;
    int code;
    while ((code = archive_read_data_block(a, &block, &size, &offset)) == ARCHIVE_OK) {
        size_t take = size < most - total ? size : (size_t)(most - total);
        if (!add_bytes(l, block, take))
            return qs_fail(err, QS_NOMEM, "out of memory");
        total += take;
        if (take < size) {
            *cut = true;
            return QS_OK;
        }
    }
    if (code != ARCHIVE_EOF)
        return failed(a, path, err);
    return end_line(l) ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
}

enum qs_status qs_log_read(const char *path, uint64_t most, qs_log_sink sink, void *data, bool *cut,
                           struct qs_error *err)
{
    struct lines *l = talloc_zero(NULL, struct lines);
    struct archive **holder = l ? talloc_zero(l, struct archive *) : NULL;
    struct archive *a = holder ? archive_read_new() : NULL;
    struct archive_entry *entry;
    if (!a) {
        talloc_free(l);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    *holder = a;
    talloc_set_destructor(holder, close_archive);
    l->sink = sink;
    l->data = data;
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_bzip2(a);
    archive_read_support_filter_xz(a);
    archive_read_support_filter_zstd(a);
    archive_read_support_filter_lz4(a);
    archive_read_support_format_raw(a);
    archive_read_support_format_empty(a);
    bool input = strcmp(path, "-") == 0;
    int code = input ? archive_read_open_fd(a, 0, BLOCK) : archive_read_open_filename(a, path, BLOCK);
    if (code == ARCHIVE_OK)
        code = archive_read_next_header(a, &entry);
    enum qs_status status = code == ARCHIVE_OK ? read_all(a, path, most, l, cut, err)
                          : code == ARCHIVE_EOF ? QS_OK : failed(a, path, err);
    talloc_free(l);
    return status;
}
