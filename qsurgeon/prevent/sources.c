/* SPDX-License-Identifier: Apache-2.0 */
/* Who sends: see sources.h. Counts only; what to do about it is block.c's. */
#include "qsurgeon/sources.h"

#include <stdlib.h>
#include <string.h>

#if QS_HAVE_MMDB
#include <arpa/inet.h>
#include <maxminddb.h>
#include <netinet/in.h>
#endif

#include "protect.h"
#include "provider.h"
#include "qsurgeon/maillog.h"
#include "qsurgeon/recipients.h"
#include "qsurgeon/table.h"

enum { NONE = UINT32_MAX, GONE_BY = UINT32_MAX - 1 };
enum { MOST_SOURCES = 250000, MOST_PAIRS = 4000000, IDS_KEPT = 500000 };
#define LOG_BYTES (UINT64_C(64) << 30)

/* Queue IDs of a log and a number for each. When there are too many, the older ones are forgotten. */
struct ids {
    struct qs_table *now, *before;
};

struct counting {
    const struct qs_view *view;
    const struct qs_sources_wish *wish;
    struct qs_sources *out;
    struct qs_intern *names;
    struct qs_table *index[QS_SOURCE_KINDS];
    uint32_t size[QS_SOURCE_KINDS], most;
    struct qs_table *seen;          /* pairs of a source and a cluster or recipient */
    struct qs_table *served;        /* domains */
    struct qs_protected *ours;
    struct qs_table *queued;        /* IDs of the queue */
    struct ids came;                /* ID: row of the client; GONE_BY: counted */
    struct ids refused;             /* ID of sendmail: unknown recipients whose client is not known yet */
#if QS_HAVE_MMDB
    MMDB_s *mmdb;
#endif
    bool failed;                    /* no memory */
};

/* The rows that a message or an attempt counts in. */
struct rows {
    uint32_t at[QS_SOURCE_KINDS];
};

static uint64_t digest_from(struct qs_span text, unsigned char lowered)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);       /* FNV-1a */
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        hash = (hash ^ (c >= 'A' && c <= 'Z' ? c | lowered : c)) * UINT64_C(0x100000001b3);
    }
    return qs_mix64(hash);
}

static uint64_t digest(struct qs_span text)
{
    return digest_from(text, 0);
}

static uint64_t digest_nocase(struct qs_span text)
{
    return digest_from(text, 0x20);
}

/* --- rows ---------------------------------------------------------------------------------------------- */

/* The row of that name, or NONE: there are too many, or no memory. */
static uint32_t row_at(struct counting *c, enum qs_source_kind kind, struct qs_span name)
{
    struct qs_sources *out = c->out;
    uint32_t row = qs_table_get(c->index[kind], digest(name), NONE);
    if (row != NONE)                /* a name that was made up to have another's digest does not count */
        return qs_span_is(name, out->of[kind][row].name) ? row : NONE;
    if (out->count[kind] >= c->most)
        return NONE;
    qs_sym sym = qs_intern(c->names, name);
    if (out->count[kind] == c->size[kind]) {
        uint32_t size = c->size[kind] ? c->size[kind] * 2 : 64;
        struct qs_source *grown = talloc_realloc(out, out->of[kind], struct qs_source, size);
        c->failed |= !grown;
        if (!grown)
            return NONE;
        out->of[kind] = grown;
        c->size[kind] = size;
    }
    uint32_t *at = qs_table_at(c->index[kind], digest(name), out->count[kind]);
    c->failed |= !at || qs_intern_failed(c->names);
    if (c->failed)
        return NONE;
    out->of[kind][out->count[kind]] = (struct qs_source){.name = qs_sym_str(c->names, sym)};
    return out->count[kind]++;
}

/* True when the pair was not seen before. What: 0 cluster, 1 recipient, 2 unknown recipient. */
static bool first_time(struct counting *c, enum qs_source_kind kind, uint32_t row, unsigned what, uint64_t value)
{
    uint64_t key = qs_mix64(qs_mix64(((uint64_t)row << 8) | (uint64_t)kind << 2 | what) ^ value);
    uint32_t before = qs_table_count(c->seen);
    if (before >= MOST_PAIRS) {
        c->out->recipients_limited = true;
        return false;
    }
    c->failed |= !qs_table_at(c->seen, key, 1);
    return qs_table_count(c->seen) != before;
}

/* --- who a client is ----------------------------------------------------------------------------------- */

static bool is_verified(struct qs_span name)
{
    return name.len && !qs_span_is(name, "unknown") && *name.ptr != '[';
}

/* The registrable domain of a verified name; NONE without one. */
static uint32_t isp_row(struct counting *c, struct qs_span name)
{
    char domain[QS_PROVIDER_TEXT];
    return qs_provider_of(name, domain) ? row_at(c, QS_SOURCE_ISP, qs_span_of(domain)) : NONE;
}

#if QS_HAVE_MMDB
static int close_database(MMDB_s *mmdb)
{
    MMDB_close(mmdb);
    return 0;
}

static enum qs_status open_database(struct counting *c, TALLOC_CTX *parent, const char *path, struct qs_error *err)
{
    MMDB_s *mmdb = talloc_zero(parent, MMDB_s);
    if (!mmdb)
        return qs_fail(err, QS_NOMEM, "out of memory");
    int code = MMDB_open(path, MMDB_MODE_MMAP, mmdb);
    if (code != MMDB_SUCCESS) {
        talloc_free(mmdb);
        return qs_fail(err, code == MMDB_FILE_OPEN_ERROR || code == MMDB_IO_ERROR ? QS_IO : QS_DATA, "%.200s: %s", path,
                       MMDB_strerror(code));
    }
    talloc_set_destructor(mmdb, close_database);
    c->mmdb = mmdb;
    c->out->asn = true;
    return QS_OK;
}

static uint32_t asn_row(struct counting *c, const struct qs_network *n)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    MMDB_entry_data_s number = {0}, name = {0};
    int code;
    if (!c->mmdb)
        return NONE;
    memcpy(&v4.sin_addr, n->address, 4);
    memcpy(&v6.sin6_addr, n->address, 16);
    MMDB_lookup_result_s found = n->v6 ? MMDB_lookup_sockaddr(c->mmdb, (const struct sockaddr *)&v6, &code)
                                       : MMDB_lookup_sockaddr(c->mmdb, (const struct sockaddr *)&v4, &code);
    if (code != MMDB_SUCCESS || !found.found_entry ||
        MMDB_get_value(&found.entry, &number, "autonomous_system_number", NULL) != MMDB_SUCCESS || !number.has_data ||
        number.type != MMDB_DATA_TYPE_UINT32)
        return NONE;
    char text[16];
    snprintf(text, sizeof text, "AS%u", number.uint32);
    uint32_t row = row_at(c, QS_SOURCE_ASN, qs_span_of(text));
    if (row == NONE || c->out->of[QS_SOURCE_ASN][row].label ||
        MMDB_get_value(&found.entry, &name, "autonomous_system_organization", NULL) != MMDB_SUCCESS || !name.has_data ||
        name.type != MMDB_DATA_TYPE_UTF8_STRING || !name.data_size)
        return row;
    qs_sym sym = qs_intern(c->names, (struct qs_span){name.utf8_string, name.data_size});
    c->failed |= qs_intern_failed(c->names);
    if (!c->failed)
        c->out->of[QS_SOURCE_ASN][row].label = qs_sym_str(c->names, sym);
    return row;
}
#else
static enum qs_status open_database(struct counting *c, TALLOC_CTX *parent, const char *path, struct qs_error *err)
{
    (void)c;
    (void)parent;
    return qs_fail(err, QS_USAGE, "%.200s: this program was built without libmaxminddb", path);
}

static uint32_t asn_row(struct counting *c, const struct qs_network *n)
{
    (void)c;
    (void)n;
    return NONE;
}
#endif

/* Of an address that has several names the first in the alphabet is shown. */
static void label(struct counting *c, uint32_t row, struct qs_span name)
{
    struct qs_source *s = &c->out->of[QS_SOURCE_ADDRESS][row];
    if (!is_verified(name))
        return;
    qs_sym sym = qs_intern(c->names, name);
    c->failed |= qs_intern_failed(c->names);
    if (!c->failed && (!s->label || strcmp(qs_sym_str(c->names, sym), s->label) < 0))
        s->label = qs_sym_str(c->names, sym);
}

/* The rows of a client; those of networks and so on where it is an address. */
static struct rows client_rows(struct counting *c, struct qs_span address, struct qs_span name)
{
    struct rows rows;
    struct qs_network n;
    char text[QS_RANGE_TEXT];
    memset(&rows, 0xff, sizeof rows);
    if (!address.len)
        return rows;
    if (qs_network_parse(address, &n, NULL) != QS_OK || n.bits != (n.v6 ? 128 : 32)) {
        rows.at[QS_SOURCE_ADDRESS] = row_at(c, QS_SOURCE_ADDRESS, address);
        return rows;
    }
    uint32_t row = rows.at[QS_SOURCE_ADDRESS] = row_at(c, QS_SOURCE_ADDRESS, qs_span_of(qs_network_text(text, &n)));
    if (row != NONE) {
        c->out->of[QS_SOURCE_ADDRESS][row].network = n;
        label(c, row, name);
        if (!is_verified(name) && c->out->logs)     /* a later line need not have it */
            name = qs_span_of(c->out->of[QS_SOURCE_ADDRESS][row].label);
    }
    struct qs_network around = qs_network_around(&n, n.v6 ? 64 : 24);
    row = rows.at[QS_SOURCE_NETWORK] = row_at(c, QS_SOURCE_NETWORK, qs_span_of(qs_network_text(text, &around)));
    if (row != NONE)
        c->out->of[QS_SOURCE_NETWORK][row].network = around;
    rows.at[QS_SOURCE_ISP] = isp_row(c, name);
    rows.at[QS_SOURCE_ASN] = asn_row(c, &n);
    return rows;
}

/* --- the queue ----------------------------------------------------------------------------------------- */

static bool is_served(const struct counting *c, struct qs_span address)
{
    const char *at = address.len ? memrchr(address.ptr, '@', address.len) : NULL;
    if (!at)
        return true;
    struct qs_span domain = {at + 1, address.len - (size_t)(at + 1 - address.ptr)};
    for (unsigned labels = 0; labels < 8 && domain.len; labels++) {
        if (qs_table_get(c->served, digest_nocase(domain), 0))
            return true;
        const char *dot = memchr(domain.ptr, '.', domain.len);
        if (!dot)
            return false;
        domain.len -= (size_t)(dot + 1 - domain.ptr);
        domain.ptr = dot + 1;
    }
    return false;
}

static bool is_relaying(const struct counting *c, const struct qs_message *m)
{
    struct qs_network n;
    struct qs_span client = qs_sym_span(c->view->scan->strings, m->client_address);
    bool relaying = false;
    if (m->sasl_username || m->local_uid >= 0 || !c->view->judgement->site->local_count || !client.len ||
        qs_network_parse(client, &n, NULL) != QS_OK || qs_protected_why(c->ours, &n))
        return false;
    for (uint32_t r = 0; !relaying && r < m->recipient_count; r++)
        relaying = !is_served(c, qs_sym_span(c->view->scan->strings, m->recipients[r].address));
    return relaying;
}

static void count_row(struct counting *c, enum qs_source_kind kind, uint32_t row, uint32_t message, bool relaying)
{
    const struct qs_message *m = &c->view->scan->messages[message];
    enum qs_verdict verdict = (enum qs_verdict)c->view->judgement->of[message].verdict;
    uint32_t group = c->view->judgement->group_of[message];
    struct qs_source *s = &c->out->of[kind][row];
    bool nobody = false;
    s->messages++;
    s->bytes += m->size;
    s->verdict[verdict]++;
    s->relay += relaying;
    s->clusters += group != QS_NO_CLUSTER && first_time(c, kind, row, 0, group);
    for (uint32_t r = 0; r < m->recipient_count; r++) {
        uint64_t value = digest_nocase(qs_sym_span(c->view->scan->strings, m->recipients[r].address));
        s->recipients += first_time(c, kind, row, 1, value);
        if (m->recipients[r].reason && qs_reason_no_such_user(qs_sym_span(c->view->scan->strings, m->recipients[r].reason))) {
            s->unknown += first_time(c, kind, row, 2, value);
            nobody = true;
        }
    }
    s->bad += verdict == QS_STORM || (verdict == QS_UNSURE && nobody);
}

static void count_message(struct counting *c, uint32_t message, bool selected)
{
    const struct qs_message *m = &c->view->scan->messages[message];
    const struct qs_intern *strings = c->view->scan->strings;
    bool legit = c->view->judgement->of[message].verdict == QS_LEGIT, relaying = selected && is_relaying(c, m);
    char uid[16];
    struct rows rows = client_rows(c, qs_sym_span(strings, m->client_address), qs_sym_span(strings, m->client_name));
    if (m->sasl_username)
        rows.at[QS_SOURCE_USER] = row_at(c, QS_SOURCE_USER, qs_sym_span(strings, m->sasl_username));
    snprintf(uid, sizeof uid, "%d", (int)m->local_uid);
    if (m->local_uid >= 0)
        rows.at[QS_SOURCE_LOCAL] = row_at(c, QS_SOURCE_LOCAL, qs_span_of(uid));
    for (unsigned k = 0; k < QS_SOURCE_KINDS; k++) {
        if (rows.at[k] == NONE)
            continue;
        if (selected)
            count_row(c, (enum qs_source_kind)k, rows.at[k], message, relaying);
        c->out->of[k][rows.at[k]].legit += legit;
    }
    c->out->uncounted += selected && m->client_address && rows.at[QS_SOURCE_ADDRESS] == NONE;
}

/* --- logs ---------------------------------------------------------------------------------------------- */

static uint32_t id_get(const struct ids *ids, uint64_t key, uint32_t missing)
{
    uint32_t value = qs_table_get(ids->now, key, missing);
    return value == missing && ids->before ? qs_table_get(ids->before, key, missing) : value;
}

static void id_set(struct counting *c, struct ids *ids, uint64_t key, uint32_t value)
{
    if (qs_table_count(ids->now) >= IDS_KEPT) {
        talloc_free(ids->before);
        ids->before = ids->now;
        ids->now = qs_table_new(c->index[0], 1024);
    }
    uint32_t *at = ids->now ? qs_table_at(ids->now, key, value) : NULL;
    c->failed |= !at;
    if (at)
        *at = value;
}

static void count_attempt(struct counting *c, const struct rows *rows, enum qs_log_kind kind, struct qs_span recipient,
                          uint32_t times)
{
    for (unsigned k = 0; k < QS_SOURCE_KINDS; k++) {
        if (rows->at[k] == NONE)
            continue;
        struct qs_source *s = &c->out->of[k][rows->at[k]];
        uint64_t value = recipient.len ? digest_nocase(recipient) : 0;
        bool nobody = kind == QS_LOG_UNKNOWN || kind == QS_LOG_NO_SUCH_USER;
        s->tried_unknown += nobody ? times : 0;
        s->tried_relay += kind == QS_LOG_RELAY ? times : 0;
        s->tried_other += kind == QS_LOG_REFUSED ? times : 0;
        s->delivered += kind == QS_LOG_DELIVERED ? times : 0;
        s->logins += kind == QS_LOG_CAME ? times : 0;
        if (recipient.len && kind != QS_LOG_DELIVERED && kind != QS_LOG_REFUSED) {
            s->recipients += first_time(c, (enum qs_source_kind)k, rows->at[k], 1, value);
            if (nobody)
                s->unknown += first_time(c, (enum qs_source_kind)k, rows->at[k], 2, value);
        }
    }
    if (kind != QS_LOG_DELIVERED && kind != QS_LOG_CAME && rows->at[QS_SOURCE_ADDRESS] == NONE)
        c->out->uncounted += times;
}

/* The client of a message that came in, again. */
static struct rows rows_again(struct counting *c, uint32_t row)
{
    const struct qs_source *s = &c->out->of[QS_SOURCE_ADDRESS][row];
    return client_rows(c, qs_span_of(s->name), qs_span_of(s->label));
}

static void count_event(struct counting *c, const struct qs_log_event *e)
{
    const struct qs_span nobody = {NULL, 0};
    uint64_t key = digest(e->id);
    struct rows rows;
    uint32_t row, waiting;
    switch (e->kind) {
    case QS_LOG_UNKNOWN:
        if (!e->address.len) {
            id_set(c, &c->refused, key, id_get(&c->refused, key, 0) + 1);
            break;
        }
        __attribute__((fallthrough));
    case QS_LOG_RELAY:
    case QS_LOG_REFUSED:
        rows = client_rows(c, e->address, e->name);
        count_attempt(c, &rows, e->kind, e->recipient, 1);
        break;
    case QS_LOG_CAME:
        rows = client_rows(c, e->address, e->name);
        waiting = id_get(&c->refused, key, 0);
        if (waiting) {
            count_attempt(c, &rows, QS_LOG_UNKNOWN, nobody, waiting);
            id_set(c, &c->refused, key, 0);
        }
        if (e->login)
            count_attempt(c, &rows, QS_LOG_CAME, nobody, 1);
        if (!e->empty && rows.at[QS_SOURCE_ADDRESS] != NONE && id_get(&c->came, key, NONE) == NONE &&
            !qs_table_get(c->queued, key, 0))
            id_set(c, &c->came, key, rows.at[QS_SOURCE_ADDRESS]);
        break;
    case QS_LOG_HANDED_ON:
        row = id_get(&c->came, key, NONE);
        if (row != NONE && row != GONE_BY && !qs_table_get(c->queued, digest(e->other), 0))
            id_set(c, &c->came, digest(e->other), row);
        break;
    case QS_LOG_DELIVERED:
    case QS_LOG_NO_SUCH_USER:
        row = id_get(&c->came, key, NONE);
        if (row == NONE || row == GONE_BY)
            break;
        rows = rows_again(c, row);
        count_attempt(c, &rows, e->kind, e->recipient, 1);
        if (e->kind == QS_LOG_DELIVERED)
            id_set(c, &c->came, key, GONE_BY);
        break;
    }
}

static bool is_attempt(enum qs_log_kind kind)
{
    return kind == QS_LOG_UNKNOWN || kind == QS_LOG_RELAY || kind == QS_LOG_REFUSED || kind == QS_LOG_NO_SUCH_USER;
}

static bool is_old(const struct qs_sources_wish *wish, struct qs_span line)
{
    int64_t when;
    return wish->since > 0 && qs_log_time(line, &wish->clock, &when) && when < wish->since;
}

static bool count_line(void *data, struct qs_span line)
{
    struct counting *c = data;
    struct qs_log_event e;
    enum qs_status status = qs_log_line(line, &e);
    c->out->lines++;
    c->out->unclear += status == QS_DATA;
    if (status == QS_OK && is_attempt(e.kind) && is_old(c->wish, line))
        c->out->old++;
    else if (status == QS_OK)
        count_event(c, &e);
    return !c->failed;
}

static enum qs_status count_logs(struct counting *c, TALLOC_CTX *scratch, const struct qs_sources_wish *wish,
                                 struct qs_error *err)
{
    const struct qs_scan *scan = c->view->scan;
    enum qs_status status = QS_OK;
    c->came.now = qs_table_new(c->index[0], 1024);
    c->refused.now = qs_table_new(c->index[0], 64);
    c->queued = qs_table_new(scratch, scan->count);
    c->failed |= !c->came.now || !c->refused.now || !c->queued;
    for (uint32_t i = 0; !c->failed && i < scan->count; i++)
        c->failed |= !qs_table_at(c->queued, digest(qs_span_of(scan->messages[i].id)), 1);
    c->out->logs = true;
    for (size_t i = 0; status == QS_OK && !c->failed && i < wish->log_count; i++)
        status = qs_log_read(wish->logs[i], LOG_BYTES, count_line, c, &c->out->log_cut, err);
    return status;
}

/* --- all ----------------------------------------------------------------------------------------------- */

uint64_t qs_source_bad(const struct qs_source *source)
{
    return source->bad + source->tried_unknown + source->tried_relay;
}

uint64_t qs_source_seen(const struct qs_source *source)
{
    return source->messages + source->tried_unknown + source->tried_relay + source->tried_other;
}

static int compare(const void *a, const void *b)
{
    const struct qs_source *x = a, *y = b;
    uint64_t of_x = qs_source_seen(x), of_y = qs_source_seen(y);
    if (of_x != of_y)
        return of_x > of_y ? -1 : 1;
    return strcmp(x->name, y->name);
}

static bool serve(struct counting *c, char *const *list, size_t count)
{
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = qs_table_at(c->served, digest_nocase(qs_span_of(list[i])), 1) != NULL;
    return ok;
}

static bool begin(struct counting *c, TALLOC_CTX *scratch)
{
    const struct qs_site *site = c->view->judgement->site;
    bool ok = (c->names = qs_intern_new(c->out)) != NULL;
    for (unsigned k = 0; ok && k < QS_SOURCE_KINDS; k++)
        ok = (c->index[k] = qs_table_new(scratch, 64)) != NULL;
    ok = ok && (c->seen = qs_table_new(scratch, c->view->scan->count)) != NULL;
    ok = ok && (c->served = qs_table_new(scratch, 64)) != NULL;
    ok = ok && (c->ours = qs_protected_new(scratch, site, NULL, 0)) != NULL;
    ok = ok && serve(c, site->local_domains, site->local_count) && serve(c, site->relay_domains, site->relay_count);
    return ok;
}

enum qs_status qs_sources_count(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                                const struct qs_sources_wish *wish, struct qs_sources **out, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct counting c = {.view = view, .wish = wish, .most = wish->most ? wish->most : MOST_SOURCES};
    enum qs_status status = QS_OK;
    c.out = talloc_zero(parent, struct qs_sources);
    c.failed = !c.out || !begin(&c, scratch);
    if (!c.failed && wish->mmdb)
        status = open_database(&c, scratch, wish->mmdb, err);
    for (uint32_t i = 0; status == QS_OK && !c.failed && i < view->scan->count; i++)
        count_message(&c, i, !selected || selected[i]);
    if (status == QS_OK && !c.failed && wish->log_count)
        status = count_logs(&c, scratch, wish, err);
    if (c.failed)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    talloc_free(scratch);
    for (unsigned k = 0; status == QS_OK && k < QS_SOURCE_KINDS; k++)
        if (c.out->count[k] > 1)
            qsort(c.out->of[k], c.out->count[k], sizeof *c.out->of[k], compare);
    if (status == QS_OK)
        *out = c.out;
    else
        talloc_free(c.out);
    return status;
}
