/* SPDX-License-Identifier: Apache-2.0 */
/* Reading queues: list every entry once, then read, walk and fingerprint the messages on several threads. When listing takes
 * long, somebody may want to see what the first of them are before the rest is listed.
 *
 * Listing puts one record with the queue ID into scan->messages for each entry, behind the records that are complete.
 * Threads take blocks of pending records in order and fill them in place; a record that turns out to be no message loses
 * its ID. When the threads have stopped, the filled records are moved together. So at any pause
 *     messages[0 .. count) are complete and messages[work->next .. work->listed) are pending. */
#include "qsurgeon/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "qsurgeon/arena.h"
#include "qsurgeon/parallel.h"
#include "qsurgeon/table.h"

enum { BLOCK = 32, PROGRESS_MS = 50, PROGRESS_LISTED = 256 };

/* Text that is mostly the same as in the message before: looked up in the table of strings only when it is not. */
enum remembered { LAST_QUEUE, LAST_PROTOCOL, LAST_REASON, LAST_BY, LAST_HOP, LAST_MAILER, REMEMBERED };

struct last {
    char text[60];
    size_t len;
    qs_sym sym;
};

/* What one thread owns: nothing in it is touched by two threads at once. */
struct qs_scan_lens {
    struct qs_scan *scan;
    struct qs_reader *reader;
    struct qs_mail_scanner *outer, *inner;      /* inner: the message that a notice returns */
    struct qs_fingerprinter *fingerprinter;
    struct qs_mail *mail, *returned;
    struct qs_arena *arena;                     /* recipients and returned messages; lives as long as the scan */
    struct qs_border *border;
    struct last last[REMEMBERED];
    struct qs_scan_totals totals;
    bool no_memory;
};

struct qs_scan_work {
    struct qs_arena *names;                     /* queue IDs, problem texts of the listing */
    struct qs_table *ids;                       /* digests of the IDs listed: nothing is listed twice */
    uint32_t capacity, listed, next;
    size_t listing;                             /* queues before this one are listed */
    struct qs_scan_lens **lens;                 /* one for each thread, made when a run begins, kept while it pauses */
    unsigned lens_count;
    atomic_uint_fast32_t taken;                 /* the next pending record to be taken */
    atomic_bool stop;
    pthread_mutex_t problems;
    struct qs_arena *problem_texts;             /* under the mutex */
    int ended[2];                               /* a pipe: a thread writes a byte when it ends */
};

/* The records are one block from malloc: talloc refuses blocks of 256 MB, which a million messages need. */
static int free_scan(struct qs_scan *scan)
{
    free(scan->messages);
    return 0;
}

static int free_work(struct qs_scan_work *work)
{
    pthread_mutex_destroy(&work->problems);
    return 0;
}

struct qs_scan *qs_scan_new(TALLOC_CTX *parent, const struct qs_scan_options *options)
{
    struct qs_scan *scan = talloc_zero(parent, struct qs_scan);
    if (!scan)
        return NULL;
    talloc_set_destructor(scan, free_scan);
    scan->options = *options;
    scan->strings = qs_intern_new(scan);
    scan->work = talloc_zero(scan, struct qs_scan_work);
    scan->problems = talloc_array(scan, struct qs_problem, QS_PROBLEMS_KEPT);
    if (scan->work && pthread_mutex_init(&scan->work->problems, NULL) == 0) {
        talloc_set_destructor(scan->work, free_work);
        scan->work->names = qs_arena_new(scan->work);
        scan->work->problem_texts = qs_arena_new(scan->work);
        if (scan->strings && scan->problems && scan->work->names && scan->work->problem_texts)
            return scan;
    }
    talloc_free(scan);
    return NULL;
}

static struct qs_span joined(char *to, size_t size, const char *queue, const char *name)
{
    size_t a = strnlen(queue, size / 2), b = strnlen(name, size - a - 1);
    memcpy(to, queue, a);
    to[a] = '/';
    memcpy(to + a + 1, name, b);
    return (struct qs_span){to, a + 1 + b};
}

/* Any thread may report. */
static void add_problem(struct qs_scan *scan, const struct qs_scan_queue *queue, const char *name,
                        enum qs_status status, const struct qs_error *err)
{
    struct qs_scan_work *work = scan->work;
    pthread_mutex_lock(&work->problems);
    if (scan->problem_count < QS_PROBLEMS_KEPT) {
        char buffer[600];
        struct qs_problem *p = &scan->problems[scan->problem_count];
        p->where = qs_arena_strdup(work->problem_texts, joined(buffer, sizeof buffer, queue->name, name));
        p->text = qs_arena_strdup(work->problem_texts, qs_span_of(err->text));
        p->status = status;
        if (p->where && p->text)
            scan->problem_count++;
    }
    pthread_mutex_unlock(&work->problems);
}

static void count_failure(struct qs_scan_totals *totals, enum qs_status status)
{
    if (status == QS_GONE)
        totals->gone++;
    else if (status == QS_SKIP)
        totals->skipped++;
    else {
        totals->unreadable++;
        totals->no_permission += status == QS_NOPERM;
    }
}

static bool make_room(struct qs_scan *scan, uint32_t more)
{
    struct qs_scan_work *work = scan->work;
    if (more <= work->capacity - work->listed)
        return true;
    uint64_t wanted = (uint64_t)work->listed + more;
    if (wanted < work->capacity + (uint64_t)work->capacity / 2)
        wanted = work->capacity + (uint64_t)work->capacity / 2;
    if (wanted < 1024)
        wanted = 1024;
    if (wanted > UINT32_MAX - 1)
        return false;
    struct qs_message *grown = realloc(scan->messages, (size_t)wanted * sizeof *grown);
    if (!grown)
        return false;
    scan->messages = grown;
    work->capacity = (uint32_t)wanted;
    return true;
}

static uint64_t only_key(const char *id)
{
    return XXH3_64bits(id, strlen(id));
}

bool qs_scan_only(struct qs_table *only, const char *id)
{
    return qs_table_at(only, only_key(id), 1) != NULL;
}

static struct qs_scan_queue *add_queue(struct qs_scan *scan)
{
    struct qs_scan_queue *grown = talloc_realloc(scan, scan->queues, struct qs_scan_queue, (unsigned)scan->queue_count + 1);
    if (!grown || scan->queue_count >= UINT16_MAX)
        return NULL;
    scan->queues = grown;
    memset(&grown[scan->queue_count], 0, sizeof *grown);
    return &grown[scan->queue_count++];
}

enum qs_status qs_scan_add_saved(struct qs_scan *scan, const char *name, uint16_t *index, struct qs_error *err)
{
    struct qs_scan_queue *added = add_queue(scan);
    const char *kept = added ? qs_scan_strdup(scan, qs_span_of(name)) : NULL;
    if (!kept)
        return qs_fail(err, QS_NOMEM, "out of memory");
    added->name = kept;
    *index = (uint16_t)(scan->queue_count - 1);
    return QS_OK;
}

static uint64_t id_key(const char *id, size_t index)
{
    return XXH3_64bits_withSeed(id, strlen(id), index + 1);
}

/* Puts a record for each entry of the queue that work->ids does not have. QS_BUSY: `progress` wants to see some of them read
 * before the rest is listed. */
static enum qs_status list_queue(struct qs_scan *scan, size_t index, qs_scan_progress progress, void *data, struct qs_error *err)
{
    struct qs_scan_work *work = scan->work;
    struct qs_scan_queue *added = &scan->queues[index];
    for (uint32_t n = 1;; n++) {
        if (progress && n % PROGRESS_LISTED == 0 && !progress(data, work->next, work->listed, true))
            return QS_BUSY;
        struct qs_entry entry = {0};
        struct qs_error why = {""};
        enum qs_status status = added->instance->format->next(added->queue, &entry, &why);
        if (status == QS_END)
            return QS_OK;
        if (status == QS_NOMEM)
            return qs_fail(err, QS_NOMEM, "out of memory");
        if (status != QS_OK) {
            if (why.text[0])
                add_problem(scan, added, entry.id ? entry.id : "", status, &why);
            /* what is no message and should not be there is more than passed over */
            count_failure(&scan->totals, status == QS_SKIP && why.text[0] ? QS_DATA : status);
            continue;
        }
        if (scan->options.only && !qs_table_get(scan->options.only, only_key(entry.id), 0))
            continue;
        uint32_t *seen = qs_table_at(work->ids, id_key(entry.id, index), work->listed);
        if (seen && *seen != work->listed) {
            scan->totals.moved++;       /* it moved between two directories; reading it follows */
            continue;
        }
        const char *id = qs_arena_strdup(work->names, qs_span_of(entry.id));
        if (!seen || !id || !make_room(scan, 1))
            return qs_fail(err, QS_NOMEM, "out of memory");
        struct qs_message *m = &scan->messages[work->listed++];
        memset(m, 0, sizeof *m);
        m->id = id;
        m->dir = (uint16_t)entry.dir;
        m->kind = (uint16_t)entry.kind;
        m->inode = entry.inode;
        m->instance = (uint16_t)index;
        scan->totals.listed++;
    }
}

enum qs_status qs_scan_add(struct qs_scan *scan, const struct qs_instance *instance, struct qs_queue *queue,
                           struct qs_error *err)
{
    struct qs_scan_work *work = scan->work;
    struct qs_scan_queue *added = add_queue(scan);
    if (!added)
        return qs_fail(err, QS_NOMEM, "out of memory");
    *added = (struct qs_scan_queue){instance, queue, instance->name};
    if (!work->ids && !(work->ids = qs_table_new(work, 1024)))
        return qs_fail(err, QS_NOMEM, "out of memory");
    return QS_OK;
}

enum qs_status qs_scan_again(struct qs_scan *scan, size_t index, struct qs_queue *queue, struct qs_error *err)
{
    struct qs_scan_work *work = scan->work;
    scan->queues[index].queue = queue;
    work->next = work->listed = scan->count;
    talloc_free(work->ids);
    work->ids = qs_table_new(work, scan->count);
    bool known = work->ids != NULL;
    for (uint32_t i = 0; known && i < scan->count; i++)
        known = scan->messages[i].instance != index || qs_table_at(work->ids, id_key(scan->messages[i].id, index), i);
    return known ? list_queue(scan, index, NULL, NULL, err) : qs_fail(err, QS_NOMEM, "out of memory");
}

struct qs_scan_lens *qs_scan_lens_new(TALLOC_CTX *parent, struct qs_scan *scan)
{
    struct qs_scan_lens *lens = talloc_zero(parent, struct qs_scan_lens);
    if (!lens)
        return NULL;
    lens->scan = scan;
    lens->reader = qs_reader_new(lens);
    lens->outer = qs_mail_scanner_new(lens);
    lens->inner = qs_mail_scanner_new(lens);
    lens->fingerprinter = qs_fingerprinter_new(lens);
    lens->mail = talloc_zero(lens, struct qs_mail);
    lens->returned = talloc_zero(lens, struct qs_mail);
    lens->arena = qs_arena_new(lens);
    lens->border = qs_border_new(lens, scan->options.site);
    if (lens->border && lens->reader && lens->outer && lens->inner && lens->fingerprinter && lens->mail && lens->returned && lens->arena)
        return lens;
    talloc_free(lens);
    return NULL;
}

/* --- from mail to record --------------------------------------------------------------------------------------------- */

/* The first Message-ID in the text, or the last one; 0: none. */
static uint64_t message_id_hash(struct qs_span text, bool last)
{
    const char *end = text.len ? text.ptr + text.len : text.ptr;
    const char *open = NULL;
    if (text.len)
        open = last ? memrchr(text.ptr, '<', text.len) : memchr(text.ptr, '<', text.len);
    struct qs_span id = qs_span_trim(text);
    if (open) {
        const char *close = memchr(open, '>', (size_t)(end - open));
        id = (struct qs_span){open + 1, (size_t)((close ? close : end) - open - 1)};
    }
    if (!id.len)
        return 0;
    uint64_t hash = XXH3_64bits(id.ptr, id.len);
    return hash ? hash : 1;
}

/* The four smallest digests of the link hosts, ascending: the same set gives the same record. */
static void keep_urls(const struct qs_mail *mail, uint32_t url[QS_URLS_KEPT])
{
    unsigned kept = 0;
    for (unsigned i = 0; i < mail->url_host_count; i++) {
        uint32_t hash = qs_host_hash(mail->url_hosts[i]);
        unsigned at = 0;
        while (at < kept && url[at] < hash)
            at++;
        if (at >= QS_URLS_KEPT || (at < kept && url[at] == hash))
            continue;
        if (kept < QS_URLS_KEPT)
            kept++;
        memmove(&url[at + 1], &url[at], (kept - 1 - at) * sizeof *url);
        url[at] = hash;
    }
}

static uint8_t u8(size_t n)
{
    return n > UINT8_MAX ? UINT8_MAX : (uint8_t)n;
}

static qs_sym keep(struct qs_scan *scan, struct qs_span text)
{
    return qs_intern(scan->strings, qs_span_trim(text));
}

/* qs_intern, or qs_intern_lower, of text that hardly changes. */
static qs_sym keep_again(struct qs_scan_lens *lens, enum remembered which, struct qs_span text, bool lower)
{
    struct last *last = &lens->last[which];
    if (!text.len)
        return 0;
    if (text.len == last->len && memcmp(text.ptr, last->text, text.len) == 0)
        return last->sym;
    qs_sym sym = lower ? qs_intern_lower(lens->scan->strings, text) : qs_intern(lens->scan->strings, text);
    if (text.len <= sizeof last->text) {
        memcpy(last->text, text.ptr, text.len);
        last->len = text.len;
        last->sym = sym;
    }
    return sym;
}

static uint32_t fold(uint64_t hash)
{
    return (uint32_t)(hash ^ hash >> 32);
}

/* RFC 3848 and RFC 6531, but not HTTP, IMAP, POP3. */
static bool is_mail_protocol(struct qs_span with)
{
    return qs_span_starts_nocase(with, "SMTP") || qs_span_starts_nocase(with, "ESMTP") ||
           qs_span_starts_nocase(with, "LMTP") || qs_span_starts_nocase(with, "UTF8");
}

/* Through the fields that hosts of ours wrote, newest first, to the one that took the message over from the world: as long as
 * clients are inside, the next field is one of ours, too. What was fetched from a mailbox came in by no door. */
static void keep_last_client(struct qs_scan_lens *lens, const struct qs_mail *mail, struct qs_message *m)
{
    for (unsigned i = 0; i < mail->received_count; i++) {
        const struct qs_received *r = &mail->received[i];
        const struct qs_span address = r->bare.len ? r->bare : r->address;
        struct qs_network client;
        bool known = address.len && qs_network_parse(address, &client, NULL) == QS_OK;
        if (!known || (qs_border_inside(lens->border, &client) && !qs_border_trusts(lens->border, &client)))
            continue;
        if (!r->login && is_mail_protocol(r->with))
            m->last_client = keep(lens->scan, address);
        return;
    }
}

static void keep_hops(struct qs_scan_lens *lens, const struct qs_mail *mail, struct qs_message *m)
{
    m->received = u8(mail->received_total);
    struct qs_span own = mail->received_count ? mail->received[0].by : (struct qs_span){NULL, 0};
    size_t hops = 0;
    for (unsigned i = 0; i < mail->received_count && own.len; i++) {
        struct qs_span by = mail->received[i].by;
        hops += by.len == own.len && strncasecmp(by.ptr, own.ptr, own.len) == 0;
    }
    m->own_hops = u8(hops);
    m->first_by = keep_again(lens, LAST_BY, own, true);
    keep_last_client(lens, mail, m);
}

static struct qs_returned *new_returned(struct qs_arena *arena, unsigned hops)
{
    struct qs_returned *r = qs_arena_alloc(arena, sizeof *r + hops * sizeof *r->hop);
    if (r)
        r->hops = hops;
    return r;
}

/* The message that a notice carries back. */
static enum qs_status keep_returned(struct qs_scan_lens *lens, struct qs_span bytes, struct qs_message *m)
{
    struct qs_scan *scan = lens->scan;
    struct qs_mail *mail = lens->returned;
    struct qs_hop hop[QS_BY_KEPT];
    unsigned hops = 0;
    qs_mail_scan(lens->inner, bytes, false, false, mail);
    for (unsigned i = 0; i < mail->received_count; i++) {
        if (!mail->received[i].by.len)
            continue;
        if (hops == QS_BY_KEPT) {       /* the middle gives way: whoever sent it stands at the end */
            hops--;
            memmove(&hop[QS_BY_NEWEST], &hop[QS_BY_NEWEST + 1], (hops - QS_BY_NEWEST) * sizeof *hop);
        }
        hop[hops++] = (struct qs_hop){
            .by = keep_again(lens, LAST_HOP, mail->received[i].by, true),
            .client = keep(scan, mail->received[i].address),
            .name = qs_intern_lower(scan->strings, mail->received[i].name),
        };
    }
    struct qs_returned *r = new_returned(lens->arena, hops);
    if (!r)
        return QS_NOMEM;
    memcpy(r->hop, hop, hops * sizeof *hop);
    qs_fingerprint_text(lens->fingerprinter, mail->text, &r->print);
    keep_urls(mail, r->url);
    r->message_id = message_id_hash(mail->message_id, false);
    r->from = qs_intern_lower(scan->strings, mail->from_address);
    r->subject = keep(scan, mail->subject_text);
    r->traits = mail->traits;
    r->structure = fold(mail->structure);
    m->returned = r;
    return QS_OK;
}

enum qs_status qs_scan_content(struct qs_scan_lens *lens, struct qs_span content, bool cut, bool null_sender,
                               struct qs_message *m, struct qs_error *err)
{
    struct qs_scan *scan = lens->scan;
    struct qs_mail *mail = lens->mail;
    qs_mail_scan(lens->outer, content, cut, null_sender, mail);
    m->digest = XXH3_64bits(content.ptr, content.len);
    qs_fingerprint_text(lens->fingerprinter, mail->text, &m->print);
    keep_urls(mail, m->url);
    keep_hops(lens, mail, m);
    m->message_id = message_id_hash(mail->message_id, false);
    m->in_reply_to = mail->in_reply_to.len ? message_id_hash(mail->in_reply_to, false)
                                           : message_id_hash(mail->references, true);
    m->structure = fold(mail->structure);
    m->attachment = fold(mail->attachment);
    m->traits = mail->traits;
    m->text_size = mail->text_total;
    m->hidden_size = mail->hidden_total;
    m->from = qs_intern_lower(scan->strings, mail->from_address);
    m->subject = keep(scan, mail->subject_text);
    m->mailer = keep_again(lens, LAST_MAILER, qs_span_trim(mail->mailer), false);
    m->list_id = keep(scan, mail->list_id);
    m->script = keep(scan, mail->script);
    m->url_host = mail->url_host_count ? keep(scan, mail->url_hosts[0]) : 0;
    m->url_hosts = u8(mail->url_host_count);
    m->parts = u8(mail->part_count);
    if (scan->options.detail)
        m->message_id_text = keep(scan, mail->message_id);
    if (mail->returned.len && keep_returned(lens, mail->returned, m) != QS_OK)
        return qs_fail(err, QS_NOMEM, "out of memory");
    return QS_OK;
}

static enum qs_status keep_recipients(struct qs_scan_lens *lens, const struct qs_envelope *envelope, struct qs_message *m)
{
    struct qs_scan *scan = lens->scan;
    if (!envelope->recipient_count)
        return QS_OK;
    struct qs_recipient *to = qs_arena_alloc_words(lens->arena, envelope->recipient_count * sizeof *to);
    if (!to)
        return QS_NOMEM;
    for (size_t i = 0; i < envelope->recipient_count; i++) {
        const struct qs_recipient_text *from = &envelope->recipients[i];
        to[i].address = qs_intern(scan->strings, from->address);
        to[i].reason = keep_again(lens, LAST_REASON, from->reason, false);
        to[i].state = (uint8_t)from->state;
        to[i].notify = (uint8_t)from->notify;
    }
    m->recipients = to;
    m->recipient_count = (uint32_t)envelope->recipient_count;
    return QS_OK;
}

static enum qs_status keep_envelope(struct qs_scan_lens *lens, const struct qs_envelope *e, struct qs_message *m)
{
    struct qs_scan *scan = lens->scan;
    m->size = e->size;
    m->arrival = e->arrival;
    m->next_try = e->next_try;
    m->attempts = e->attempts > UINT16_MAX ? UINT16_MAX : (uint16_t)e->attempts;
    m->flags = e->flags;
    m->local_uid = e->local_uid >= 0 && e->local_uid < INT32_MAX ? (int32_t)e->local_uid : -1;
    m->queue_name = keep_again(lens, LAST_QUEUE, qs_span_of(e->queue_name), false);
    m->sender = qs_intern(scan->strings, e->sender);
    m->client_address = qs_intern(scan->strings, e->client_address);
    m->client_name = qs_intern_lower(scan->strings, e->client_name);
    m->helo = qs_intern(scan->strings, e->helo);
    m->protocol = keep_again(lens, LAST_PROTOCOL, e->protocol, false);
    m->sasl_username = qs_intern(scan->strings, e->sasl_username);
    m->hold_reason = qs_intern(scan->strings, e->hold_reason);
    return keep_recipients(lens, e, m);
}

enum qs_status qs_scan_reread(const struct qs_scan *scan, const struct qs_message *m, struct qs_reader *reader, size_t cap,
                              struct qs_envelope *envelope, struct qs_span *content, bool *whole, struct qs_error *err)
{
    const struct qs_scan_queue *q = &scan->queues[m->instance];
    if (!q->queue)
        return qs_fail(err, QS_NOQUEUE, "%s: of a saved scan, its queue is not here", m->id);
    struct qs_entry entry = {m->id, m->dir, m->kind, m->inode};
    const struct qs_format *format = q->instance->format;
    enum qs_status status = format->read(q->queue, &entry, reader, envelope, err);
    return status == QS_OK ? format->content(q->queue, &entry, reader, cap, content, whole, err) : status;
}

/* Fills the record from the attributes of the message's file. QS_END: they are not enough, it has to be read. */
static enum qs_status look_at_message(struct qs_scan_lens *lens, struct qs_message *m, struct qs_error *err)
{
    const struct qs_scan_queue *q = &lens->scan->queues[m->instance];
    const struct qs_format *format = q->instance->format;
    const struct qs_entry entry = {m->id, m->dir, m->kind, m->inode};
    struct qs_envelope envelope;
    struct stat st;
    if (!lens->scan->options.identity || !format->look || !(format->moves_only & 1u << lens->scan->options.action))
        return QS_END;
    enum qs_status status = format->look(q->queue, &entry, &envelope, &st, &m->born, err);
    if (status != QS_OK || m->born <= 0) {
        m->born = 0;
        return status == QS_OK || status == QS_GONE ? QS_END : status;
    }
    m->inode = st.st_ino;
    return keep_envelope(lens, &envelope, m);
}

/* Fills the record; on anything but QS_OK it is no message. */
static enum qs_status read_message(struct qs_scan_lens *lens, struct qs_message *m, struct qs_error *err)
{
    const struct qs_scan_queue *q = &lens->scan->queues[m->instance];
    const struct qs_format *format = q->instance->format;
    struct qs_entry entry = {m->id, m->dir, m->kind, m->inode};
    struct qs_envelope envelope = {0};
    struct qs_span content = {NULL, 0};
    bool whole = true;
    enum qs_status status = format->read(q->queue, &entry, lens->reader, &envelope, err);
    if (status == QS_OK)
        status = format->content(q->queue, &entry, lens->reader, QS_CAP_CONTENT, &content, &whole, err);
    if (status != QS_OK)
        return status;
    m->dir = (uint16_t)entry.dir;
    m->kind = (uint16_t)entry.kind;
    m->inode = entry.inode;
    m->born = format->look ? qs_file_born(lens->reader->message) : 0;
    status = keep_envelope(lens, &envelope, m);
    if (status == QS_OK && lens->scan->options.identity)
        m->digest = XXH3_64bits(content.ptr, content.len);
    else if (status == QS_OK)
        status = qs_scan_content(lens, content, !whole, envelope.sender.len == 0, m, err);
    if (envelope.finding[0]) {
        struct qs_error finding;
        qs_fail(&finding, QS_DATA, "%s", envelope.finding);
        add_problem(lens->scan, q, m->id, QS_OK, &finding);
    }
    return status;
}

static void *worker(void *data)
{
    struct qs_scan_lens *lens = data;
    struct qs_scan *scan = lens->scan;
    struct qs_scan_work *work = scan->work;
    while (!atomic_load_explicit(&work->stop, memory_order_relaxed)) {
        uint32_t begin = (uint32_t)atomic_fetch_add_explicit(&work->taken, BLOCK, memory_order_relaxed);
        if (begin >= work->listed)
            break;
        uint32_t end = work->listed - begin < BLOCK ? work->listed : begin + BLOCK;
        for (uint32_t i = begin; i < end; i++) {
            struct qs_message *m = &scan->messages[i];
            struct qs_error err = {""};
            enum qs_status status = look_at_message(lens, m, &err);
            if (status == QS_END)
                status = read_message(lens, m, &err);
            if (status == QS_OK) {
                lens->totals.bytes += m->size;
                continue;
            }
            if (status == QS_NOMEM)
                lens->no_memory = true;
            if (status != QS_GONE && status != QS_SKIP)
                add_problem(scan, &scan->queues[m->instance], m->id, status, &err);
            count_failure(&lens->totals, status);
            m->id = NULL;
        }
    }
    ssize_t told;
    do
        told = write(work->ended[1], "", 1);
    while (told < 0 && errno == EINTR);
    return NULL;
}

/* --- the run ---------------------------------------------------------------------------------------------------------- */

static enum qs_status make_lenses(struct qs_scan *scan)
{
    struct qs_scan_work *work = scan->work;
    unsigned threads = qs_thread_count(scan->options.threads);
    work->lens = talloc_zero_array(work, struct qs_scan_lens *, threads);
    if (!work->lens)
        return QS_NOMEM;
    for (work->lens_count = 0; work->lens_count < threads; work->lens_count++) {
        work->lens[work->lens_count] = qs_scan_lens_new(work, scan);
        if (!work->lens[work->lens_count])
            return QS_NOMEM;
        work->lens[work->lens_count]->reader->brief = scan->options.identity;
    }
    return QS_OK;
}

/* The buffers of the threads are of no more use; what they kept is. */
static void drop_lenses(struct qs_scan_work *work)
{
    for (unsigned i = 0; i < work->lens_count; i++) {
        talloc_steal(work, work->lens[i]->arena);
        talloc_free(work->lens[i]);
    }
    talloc_free(work->lens);
    work->lens = NULL;
    work->lens_count = 0;
}

/* Waits until `running` threads have said that they end; asks `progress` in between. */
static bool wait_for_threads(struct qs_scan *scan, unsigned running, qs_scan_progress progress, void *data)
{
    struct qs_scan_work *work = scan->work;
    bool paused = false;
    while (running > 0) {
        struct pollfd fd = {work->ended[0], POLLIN, 0};
        int ready = poll(&fd, 1, PROGRESS_MS);
        char bytes[QS_THREADS_MAX];
        ssize_t got = ready > 0 ? read(work->ended[0], bytes, sizeof bytes) : 0;
        if (got > 0)
            running -= got > (ssize_t)running ? running : (unsigned)got;
        uint64_t done = atomic_load_explicit(&work->taken, memory_order_relaxed);
        if (done > work->listed)
            done = work->listed;
        if (running > 0 && progress && !paused && !progress(data, done, work->listed, false)) {
            paused = true;
            atomic_store_explicit(&work->stop, true, memory_order_relaxed);
        }
    }
    return paused;
}

static void add_totals(struct qs_scan_totals *to, struct qs_scan_totals *from)
{
    to->bytes += from->bytes;
    to->gone += from->gone;
    to->skipped += from->skipped;
    to->unreadable += from->unreadable;
    to->no_permission += from->no_permission;
    memset(from, 0, sizeof *from);
}

/* Joins the records filled since the last time, [work->next, filled), to the complete ones. */
static void gather(struct qs_scan *scan, uint32_t filled)
{
    struct qs_scan_work *work = scan->work;
    for (uint32_t i = work->next; i < filled; i++)
        if (scan->messages[i].id) {
            if (i != scan->count)
                scan->messages[scan->count] = scan->messages[i];
            scan->count++;
        }
    work->next = filled;
}

/* Lists what is not listed yet; scan->listing when `progress` has stopped that. */
static enum qs_status list_all(struct qs_scan *scan, qs_scan_progress progress, void *data, struct qs_error *err)
{
    struct qs_scan_work *work = scan->work;
    enum qs_status status = QS_OK;
    for (; status == QS_OK && work->listing < scan->queue_count; work->listing += status == QS_OK)
        if (scan->queues[work->listing].instance)
            status = list_queue(scan, work->listing, progress, data, err);
    scan->listing = status == QS_BUSY;
    if (status == QS_OK)
        TALLOC_FREE(work->ids);
    return status == QS_BUSY ? QS_OK : status;
}

/* Reads what is listed. QS_BUSY: paused by `progress`. */
static enum qs_status read_listed(struct qs_scan *scan, qs_scan_progress progress, void *data, struct qs_error *err)
{
    struct qs_scan_work *work = scan->work;
    pthread_t thread[QS_THREADS_MAX];
    unsigned running = 0;
    if (work->next >= work->listed)
        return QS_OK;
    if (!work->lens && make_lenses(scan) != QS_OK)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (pipe2(work->ended, O_CLOEXEC) != 0)
        return qs_fail_errno(err, errno, "pipe");
    atomic_store(&work->taken, work->next);
    atomic_store(&work->stop, false);
    for (unsigned i = 0; i < work->lens_count; i++)
        if (pthread_create(&thread[running], NULL, worker, work->lens[i]) == 0)
            running++;
    bool paused = running > 0 && wait_for_threads(scan, running, progress, data);
    for (unsigned i = 0; i < running; i++)
        pthread_join(thread[i], NULL);
    close(work->ended[0]);
    close(work->ended[1]);
    if (running == 0)
        return qs_fail(err, QS_NOMEM, "no thread can be started");

    bool no_memory = qs_intern_failed(scan->strings);
    for (unsigned i = 0; i < work->lens_count; i++) {
        no_memory |= work->lens[i]->no_memory;
        add_totals(&scan->totals, &work->lens[i]->totals);
    }
    uint64_t taken = atomic_load(&work->taken);
    gather(scan, taken < work->listed ? (uint32_t)taken : work->listed);
    if (no_memory)
        return qs_fail(err, QS_NOMEM, "out of memory");
    return paused ? QS_BUSY : QS_OK;
}

enum qs_status qs_scan_run(struct qs_scan *scan, qs_scan_progress progress, void *data, struct qs_error *err)
{
    enum qs_status status;
    do {
        status = list_all(scan, progress, data, err);
        if (status == QS_OK)
            status = read_listed(scan, progress, data, err);
    } while (status == QS_OK && scan->listing);
    if (status == QS_BUSY && !scan->listing && scan->work->next >= scan->work->listed)
        status = QS_OK;             /* the last one was read meanwhile */
    if (status == QS_OK)
        drop_lenses(scan->work);
    return status;
}

/* --- saved scans ------------------------------------------------------------------------------------------------------ */

struct qs_message *qs_scan_append(struct qs_scan *scan, uint32_t more)
{
    struct qs_scan_work *work = scan->work;
    if (work->next != work->listed || !make_room(scan, more))
        return NULL;
    struct qs_message *first = &scan->messages[scan->count];
    memset(first, 0, more * sizeof *first);
    scan->count += more;
    work->next = work->listed = scan->count;
    return first;
}

struct qs_recipient *qs_scan_recipients(struct qs_scan *scan, size_t count)
{
    return count > SIZE_MAX / sizeof(struct qs_recipient)
        ? NULL : qs_arena_alloc_words(scan->work->names, count * sizeof(struct qs_recipient));
}

struct qs_returned *qs_scan_returned(struct qs_scan *scan, unsigned hops)
{
    return new_returned(scan->work->names, hops);
}

const char *qs_scan_strdup(struct qs_scan *scan, struct qs_span text)
{
    return qs_arena_strdup(scan->work->names, text);
}
