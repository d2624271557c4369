/* SPDX-License-Identifier: Apache-2.0 */
/* The columns of the tables, what is in each cell, and names to rows. Runs no SQL. */
#include "schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "qsurgeon/dns.h"
#include "qsurgeon/table.h"

/* --- the columns ---------------------------------------------------------------------------------------- */

enum message_column {
    M_MESSAGE, M_QUEUE_NAME, M_QUEUE_ID, M_INSTANCE, M_ARRIVAL_TIME, M_AGE, M_MESSAGE_SIZE, M_SENDER,
    M_SENDER_DOMAIN, M_CLIENT_ADDRESS, M_CLIENT_NAME, M_HELO, M_PROTOCOL, M_SASL_USERNAME, M_LOCAL_UID,
    M_FROM_ADDRESS, M_SUBJECT, M_MESSAGE_ID, M_MAILER, M_LIST_ID, M_SCRIPT, M_RECIPIENT_COUNT, M_CLUSTER,
    M_VERDICT, M_CAUSE, M_SCORE, M_ATTEMPTS, M_NEXT_TRY, M_FORCED_EXPIRE, M_HELD, M_HOLD_REASON, M_RECEIVED,
    M_OWN_HOPS, M_FIRST_BY, M_LAST_CLIENT, M_BODY_HASH, M_URL_HOST, M_URL_HOSTS, M_TRAITS, M_PARTS,
    M_TEXT_SIZE, M_HIDDEN_SIZE, M_BOUNCE, M_RETURNED_FROM, M_RETURNED_SUBJECT, M_MARKS,
};
enum { MESSAGE_COLUMNS = M_MARKS + 1 };

enum recipient_column {
    R_MESSAGE, R_POSITION, R_QUEUE_ID, R_ADDRESS, R_DOMAIN, R_STATE, R_DELAY_REASON, R_NOTIFY, R_MX,
};
enum { RECIPIENT_COLUMNS = R_MX + 1 };

enum cluster_column {
    C_NAME, C_VERDICT, C_CAUSE, C_SCORE, C_CULPRIT, C_MESSAGES, C_BYTES, C_SENDERS, C_CLIENTS, C_RECIPIENTS,
    C_OLDEST, C_NEWEST, C_SAMPLE,
};
enum { CLUSTER_COLUMNS = C_SAMPLE + 1 };

enum evidence_column { E_MESSAGE, E_QUEUE_ID, E_FAMILY, E_NAME, E_WEIGHT, E_DETAIL };
enum { EVIDENCE_COLUMNS = E_DETAIL + 1 };

enum problem_column { P_PLACE, P_STATUS, P_TEXT };
enum { PROBLEM_COLUMNS = P_TEXT + 1 };

/* In the order of the enums above. A text that is not there is '', a number that is not known is NULL: then
 * `sasl_username != 'bob'` also finds what came in without a login. */
static const struct qs_column columns[] = {
    {"messages", "message", "INTEGER", "row number, for joins"},
    {"messages", "queue_name", "TEXT",
     "active, deferred, hold, ...; sendmail: queue group, quarantine, lost"},
    {"messages", "queue_id", "TEXT", "queue ID"},
    {"messages", "instance", "TEXT", "instance or host that the message is queued on"},
    {"messages", "arrival_time", "INTEGER", "seconds since 1970"},
    {"messages", "age", "INTEGER", "seconds between arrival and the scan"},
    {"messages", "message_size", "INTEGER", "bytes"},
    {"messages", "sender", "TEXT", "envelope sender; '' is the null sender"},
    {"messages", "sender_domain", "TEXT", "its domain, in lower case"},
    {"messages", "client_address", "TEXT", "IP address that it came in from"},
    {"messages", "client_name", "TEXT", "host name of that address"},
    {"messages", "helo", "TEXT", "HELO or EHLO word of the client"},
    {"messages", "protocol", "TEXT", "SMTP, ESMTP, ..."},
    {"messages", "sasl_username", "TEXT", "login that submitted it"},
    {"messages", "local_uid", "INTEGER", "local user that submitted it; NULL: not known"},
    {"messages", "from_address", "TEXT", "address in the From field"},
    {"messages", "subject", "TEXT", "decoded subject"},
    {"messages", "message_id", "TEXT", "Message-ID"},
    {"messages", "mailer", "TEXT", "X-Mailer or User-Agent"},
    {"messages", "list_id", "TEXT", "List-Id"},
    {"messages", "script", "TEXT", "web script that handed it over"},
    {"messages", "recipient_count", "INTEGER", "recipients in every state"},
    {"messages", "cluster", "TEXT", "cluster name; '': in none"},
    {"messages", "verdict", "TEXT", "storm, backscatter, legit, unsure"},
    {"messages", "cause", "TEXT", "cause of the verdict, or none"},
    {"messages", "score", "REAL", "sum of the evidence, log-odds"},
    {"messages", "attempts", "INTEGER", "delivery attempts (sendmail)"},
    {"messages", "next_try", "INTEGER",
     "Postfix: next attempt, sendmail: last attempt; seconds since 1970 or NULL"},
    {"messages", "forced_expire", "INTEGER", "1: made to expire by the administrator"},
    {"messages", "held", "INTEGER", "1: on hold or quarantined"},
    {"messages", "hold_reason", "TEXT", "why (sendmail)"},
    {"messages", "received", "INTEGER", "Received fields"},
    {"messages", "own_hops", "INTEGER", "how often this host stands in them"},
    {"messages", "first_by", "TEXT", "host that the newest Received field was written by"},
    {"messages", "last_client", "TEXT", "newest client address in the Received fields from outside the site, or a trusted relay's"},
    {"messages", "body_hash", "TEXT", "digest of the normalised text, 16 hex digits; '': no text"},
    {"messages", "url_host", "TEXT", "host of the first link"},
    {"messages", "url_hosts", "INTEGER", "distinct hosts of links"},
    {"messages", "traits", "TEXT", "what the message shows, words with blanks between"},
    {"messages", "parts", "INTEGER", "MIME parts"},
    {"messages", "text_size", "INTEGER", "bytes of visible text"},
    {"messages", "hidden_size", "INTEGER", "bytes of text that a reader cannot see"},
    {"messages", "bounce", "INTEGER", "1: carries back a returned message or its header"},
    {"messages", "returned_from", "TEXT", "From address of the returned message"},
    {"messages", "returned_subject", "TEXT", "its subject"},
    {"messages", "marks", "TEXT", "bypass, host-name, with a blank between; '': none"},

    {"recipients", "message", "INTEGER", "messages.message"},
    {"recipients", "position", "INTEGER", "place in the message, from 0"},
    {"recipients", "queue_id", "TEXT", "queue ID"},
    {"recipients", "address", "TEXT", "recipient"},
    {"recipients", "domain", "TEXT", "its domain, in lower case"},
    {"recipients", "state", "TEXT", "todo, done, cancelled"},
    {"recipients", "delay_reason", "TEXT", "last delivery result"},
    {"recipients", "notify", "INTEGER", "DSN NOTIFY bits: 1 never, 2 success, 4 failure, 8 delay"},
    {"recipients", "mx", "TEXT", "its domain in DNS: ok, loopback, self, private, none, unknown; '': not asked"},

    {"clusters", "name", "TEXT", "cluster name"},
    {"clusters", "verdict", "TEXT", "storm, backscatter, legit, unsure"},
    {"clusters", "cause", "TEXT", "cause of the verdict, or none"},
    {"clusters", "score", "REAL", "sum of the evidence, log-odds"},
    {"clusters", "culprit", "TEXT", "user, client, uid or script that it comes from, or ''"},
    {"clusters", "messages", "INTEGER", "messages in it"},
    {"clusters", "bytes", "INTEGER", "sum of their sizes"},
    {"clusters", "senders", "INTEGER", "distinct senders"},
    {"clusters", "clients", "INTEGER", "distinct clients"},
    {"clusters", "recipients", "INTEGER", "distinct recipients"},
    {"clusters", "oldest", "INTEGER", "first arrival, seconds since 1970"},
    {"clusters", "newest", "INTEGER", "last arrival"},
    {"clusters", "sample", "INTEGER", "messages.message of a typical message"},

    {"evidence", "message", "INTEGER", "messages.message"},
    {"evidence", "queue_id", "TEXT", "queue ID"},
    {"evidence", "family", "TEXT", "kind of evidence"},
    {"evidence", "name", "TEXT", "what was seen"},
    {"evidence", "weight", "REAL", "log-odds: positive against the message, negative for it"},
    {"evidence", "detail", "TEXT", "in words, with the numbers"},

    {"problems", "place", "TEXT", "instance and name of the file or directory"},
    {"problems", "status", "TEXT", "kind of problem"},
    {"problems", "text", "TEXT", "what is wrong there"},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };
_Static_assert((int)COLUMNS == (int)MESSAGE_COLUMNS + (int)RECIPIENT_COLUMNS + (int)CLUSTER_COLUMNS +
                                   (int)EVIDENCE_COLUMNS + (int)PROBLEM_COLUMNS,
               "a column without a description, or the other way round");

static const int widths[QS_TABLES] = {MESSAGE_COLUMNS, RECIPIENT_COLUMNS, CLUSTER_COLUMNS, EVIDENCE_COLUMNS,
                                      PROBLEM_COLUMNS};

const struct qs_column *qs_columns(size_t *count)
{
    *count = COLUMNS;
    return columns;
}

int qs_table_first(enum qs_table_id table)
{
    int first = 0;
    for (unsigned t = 0; t < (unsigned)table; t++)
        first += widths[t];
    return first;
}

int qs_table_width(enum qs_table_id table)
{
    return widths[table];
}

const char *qs_table_name(enum qs_table_id table)
{
    return columns[qs_table_first(table)].table;
}

uint32_t qs_table_rows(const struct qs_view *view, enum qs_table_id table)
{
    switch (table) {
    case QS_TABLE_MESSAGES:
    case QS_TABLE_RECIPIENTS:
    case QS_TABLE_EVIDENCE:
        return view->scan->count;
    case QS_TABLE_CLUSTERS:
        return view->judgement != NULL ? view->judgement->group_count : 0;
    case QS_TABLE_PROBLEMS:
        return (uint32_t)view->scan->problem_count;
    }
    return 0;
}

/* --- the cells ------------------------------------------------------------------------------------------ */

/* In the order of enum qs_trait's bits. */
static const char *const trait_names[32] = {
    "html", "hidden-text", "zero-width", "homoglyph", "delivery-report", "feedback-report", "returned",
    "returned-header-only", "auto-submitted", "auto-replied", "precedence-bulk", "precedence-list",
    "list-id", "list-unsubscribe", "list-post", "in-reply-to", "script", "from-daemon", "bounce-subject",
    "autoreply-subject", "challenge", "virus-notice", "no-date", "no-message-id", "no-from", "attachment",
    "image", "malformed", "cut", "no-text", "executable", "encoded-needlessly",
};

static void set_integer(struct qs_value *out, int64_t value)
{
    out->type = SQLITE_INTEGER;
    out->integer = value;
}

static void set_unsigned(struct qs_value *out, uint64_t value)
{
    set_integer(out, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

/* NULL where `value` stands for "not known". */
static void set_known(struct qs_value *out, int64_t value, int64_t unknown)
{
    set_integer(out, value);
    if (value == unknown)
        out->type = SQLITE_NULL;
}

static void set_real(struct qs_value *out, double value)
{
    out->type = SQLITE_FLOAT;
    out->real = value;
}

static void set_text(struct qs_value *out, const char *text)
{
    out->type = SQLITE_TEXT;
    out->text = qs_span_of(text != NULL ? text : "");
}

static void set_symbol(struct qs_value *out, const struct qs_scan *scan, qs_sym symbol)
{
    out->type = SQLITE_TEXT;
    out->text = qs_sym_span(scan->strings, symbol);
}

void qs_domain_value(struct qs_value *out, struct qs_span address)
{
    size_t len = 0;
    const char *at = address.len > 0 ? memrchr(address.ptr, '@', address.len) : NULL;
    if (at != NULL)
        for (const char *p = at + 1; p < address.ptr + address.len && len < sizeof out->own; p++)
            out->own[len++] = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    out->type = SQLITE_TEXT;
    out->text = (struct qs_span){out->own, len};
}

static void set_traits(struct qs_value *out, uint32_t traits)
{
    size_t len = 0;
    for (unsigned bit = 0; bit < 32; bit++) {
        if ((traits >> bit & 1) == 0)
            continue;
        size_t more = strlen(trait_names[bit]);
        if (more + 1 > sizeof out->own - len)
            break;
        if (len > 0)
            out->own[len++] = ' ';
        memcpy(out->own + len, trait_names[bit], more);
        len += more;
    }
    out->type = SQLITE_TEXT;
    out->text = (struct qs_span){out->own, len};
}

static void set_marks(struct qs_value *out, unsigned marks)
{
    size_t len = 0;
    for (unsigned mark = 0; mark < QS_MARKS; mark++)
        if ((marks >> mark & 1) != 0)
            len += (size_t)snprintf(out->own + len, sizeof out->own - len, "%s%s", len > 0 ? " " : "",
                                    qs_mark_name((enum qs_mark)mark));
    out->type = SQLITE_TEXT;
    out->text = (struct qs_span){out->own, len};
}

static void set_hash(struct qs_value *out, uint64_t hash)
{
    int len = hash != 0 ? snprintf(out->own, sizeof out->own, "%016" PRIx64, hash) : 0;
    out->type = SQLITE_TEXT;
    out->text = (struct qs_span){out->own, (size_t)len};
}

static void message_cell(const struct qs_view *view, uint32_t row, enum message_column column,
                         struct qs_value *out)
{
    const struct qs_scan *scan = view->scan;
    const struct qs_message *m = &scan->messages[row];
    const struct qs_judgement *judged = view->judgement;
    int64_t age;
    switch (column) {
    case M_MESSAGE:
        return set_integer(out, row);
    case M_QUEUE_NAME:
        return set_symbol(out, scan, m->queue_name);
    case M_QUEUE_ID:
        return set_text(out, m->id);
    case M_INSTANCE:
        return set_text(out, m->instance < scan->queue_count ? scan->queues[m->instance].name : "");
    case M_ARRIVAL_TIME:
        return set_integer(out, m->arrival);
    case M_AGE:
        if (__builtin_sub_overflow(view->now, m->arrival, &age))
            age = m->arrival < 0 ? INT64_MAX : INT64_MIN;
        return set_integer(out, age);
    case M_MESSAGE_SIZE:
        return set_unsigned(out, m->size);
    case M_SENDER:
        return set_symbol(out, scan, m->sender);
    case M_SENDER_DOMAIN:
        return qs_domain_value(out, qs_sym_span(scan->strings, m->sender));
    case M_CLIENT_ADDRESS:
        return set_symbol(out, scan, m->client_address);
    case M_CLIENT_NAME:
        return set_symbol(out, scan, m->client_name);
    case M_HELO:
        return set_symbol(out, scan, m->helo);
    case M_PROTOCOL:
        return set_symbol(out, scan, m->protocol);
    case M_SASL_USERNAME:
        return set_symbol(out, scan, m->sasl_username);
    case M_LOCAL_UID:
        return set_known(out, m->local_uid, -1);
    case M_FROM_ADDRESS:
        return set_symbol(out, scan, m->from);
    case M_SUBJECT:
        return set_symbol(out, scan, m->subject);
    case M_MESSAGE_ID:
        return set_symbol(out, scan, m->message_id_text);
    case M_MAILER:
        return set_symbol(out, scan, m->mailer);
    case M_LIST_ID:
        return set_symbol(out, scan, m->list_id);
    case M_SCRIPT:
        return set_symbol(out, scan, m->script);
    case M_RECIPIENT_COUNT:
        return set_integer(out, m->recipient_count);
    case M_CLUSTER:
        return set_text(out, judged != NULL && judged->group_of[row] != QS_NO_CLUSTER
                                 ? judged->group[judged->group_of[row]].name : "");
    case M_VERDICT:
        return set_text(out, judged != NULL ? qs_verdict_name(judged->of[row].verdict) : "");
    case M_CAUSE:
        return set_text(out, judged != NULL ? qs_cause_name(judged->of[row].cause) : "");
    case M_SCORE:
        return judged != NULL ? set_real(out, (double)judged->of[row].score) : set_known(out, 0, 0);
    case M_ATTEMPTS:
        return set_integer(out, m->attempts);
    case M_NEXT_TRY:
        return set_known(out, m->next_try, 0);
    case M_FORCED_EXPIRE:
        return set_integer(out, (m->flags & QS_ENV_FORCED_EXPIRE) != 0);
    case M_HELD:
        return set_integer(out, (m->flags & QS_ENV_HELD) != 0);
    case M_HOLD_REASON:
        return set_symbol(out, scan, m->hold_reason);
    case M_RECEIVED:
        return set_integer(out, m->received);
    case M_OWN_HOPS:
        return set_integer(out, m->own_hops);
    case M_FIRST_BY:
        return set_symbol(out, scan, m->first_by);
    case M_LAST_CLIENT:
        return set_symbol(out, scan, m->last_client);
    case M_BODY_HASH:
        return set_hash(out, m->print.body_hash);
    case M_URL_HOST:
        return set_symbol(out, scan, m->url_host);
    case M_URL_HOSTS:
        return set_integer(out, m->url_hosts);
    case M_TRAITS:
        return set_traits(out, m->traits);
    case M_PARTS:
        return set_integer(out, m->parts);
    case M_TEXT_SIZE:
        return set_integer(out, m->text_size);
    case M_HIDDEN_SIZE:
        return set_integer(out, m->hidden_size);
    case M_BOUNCE:
        return set_integer(out, m->returned != NULL);
    case M_RETURNED_FROM:
        return set_symbol(out, scan, m->returned != NULL ? m->returned->from : 0);
    case M_RETURNED_SUBJECT:
        return set_symbol(out, scan, m->returned != NULL ? m->returned->subject : 0);
    case M_MARKS:
        return set_marks(out, judged != NULL ? qs_marks_of(judged, row) : 0);
    }
}

const char *qs_recipient_state_name(enum qs_recipient_state state)
{
    switch (state) {
    case QS_RCPT_TODO:
        return "todo";
    case QS_RCPT_DONE:
        return "done";
    case QS_RCPT_CANCELLED:
        return "cancelled";
    }
    return "";
}

static void recipient_cell(const struct qs_view *view, uint32_t row, uint32_t part,
                           enum recipient_column column, struct qs_value *out)
{
    const struct qs_scan *scan = view->scan;
    const struct qs_recipient *to = &scan->messages[row].recipients[part];
    switch (column) {
    case R_MESSAGE:
        return set_integer(out, row);
    case R_POSITION:
        return set_integer(out, part);
    case R_QUEUE_ID:
        return set_text(out, scan->messages[row].id);
    case R_ADDRESS:
        return set_symbol(out, scan, to->address);
    case R_DOMAIN:
        return qs_domain_value(out, qs_sym_span(scan->strings, to->address));
    case R_STATE:
        return set_text(out, qs_recipient_state_name(to->state));
    case R_DELAY_REASON:
        return set_symbol(out, scan, to->reason);
    case R_NOTIFY:
        return set_integer(out, to->notify);
    case R_MX:
        return set_text(out, view->judgement != NULL && view->judgement->site->dns != NULL
                                 ? qs_mx_name(qs_dns_of(view->judgement->site->dns, qs_sym_span(scan->strings, to->address)))
                                 : "");
    }
}

static void cluster_cell(const struct qs_view *view, uint32_t row, enum cluster_column column,
                         struct qs_value *out)
{
    const struct qs_group *g = &view->judgement->group[row];
    switch (column) {
    case C_NAME:
        return set_text(out, g->name);
    case C_VERDICT:
        return set_text(out, qs_verdict_name(g->verdict));
    case C_CAUSE:
        return set_text(out, qs_cause_name(g->cause));
    case C_SCORE:
        return set_real(out, (double)g->score);
    case C_CULPRIT:
        return set_text(out, g->culprit);
    case C_MESSAGES:
        return set_integer(out, g->count);
    case C_BYTES:
        return set_unsigned(out, g->bytes);
    case C_SENDERS:
        return set_integer(out, g->senders);
    case C_CLIENTS:
        return set_integer(out, g->clients);
    case C_RECIPIENTS:
        return set_integer(out, g->recipients);
    case C_OLDEST:
        return set_integer(out, g->oldest);
    case C_NEWEST:
        return set_integer(out, g->newest);
    case C_SAMPLE:
        return set_integer(out, g->sample);
    }
}

static void problem_cell(const struct qs_view *view, uint32_t row, enum problem_column column,
                         struct qs_value *out)
{
    const struct qs_problem *p = &view->scan->problems[row];
    switch (column) {
    case P_PLACE:
        return set_text(out, p->where);
    case P_STATUS:
        return set_text(out, qs_status_name(p->status));
    case P_TEXT:
        return set_text(out, p->text);
    }
}

void qs_cell(const struct qs_view *view, enum qs_table_id table, int column, uint32_t row, uint32_t part,
             struct qs_value *out)
{
    out->type = SQLITE_NULL;
    switch (table) {
    case QS_TABLE_MESSAGES:
        return message_cell(view, row, (enum message_column)column, out);
    case QS_TABLE_RECIPIENTS:
        return recipient_cell(view, row, part, (enum recipient_column)column, out);
    case QS_TABLE_CLUSTERS:
        return cluster_cell(view, row, (enum cluster_column)column, out);
    case QS_TABLE_EVIDENCE:
        return;                             /* computed by the cursor */
    case QS_TABLE_PROBLEMS:
        return problem_cell(view, row, (enum problem_column)column, out);
    }
}

void qs_evidence_cell(const struct qs_view *view, int column, uint32_t row, const struct qs_evidence *e,
                      struct qs_value *out)
{
    switch ((enum evidence_column)column) {
    case E_MESSAGE:
        return set_integer(out, row);
    case E_QUEUE_ID:
        return set_text(out, view->scan->messages[row].id);
    case E_FAMILY:
        return set_text(out, qs_family_name(e->family));
    case E_NAME:
        return set_text(out, e->name);
    case E_WEIGHT:
        return set_real(out, e->weight);
    case E_DETAIL:
        return set_text(out, e->detail);
    }
}

/* --- names to rows -------------------------------------------------------------------------------------- */

struct qs_names {
    const struct qs_view *view;
    qs_name_of name_of;
    struct qs_table *last;          /* hash of a name to the last row that has it */
    uint32_t *before;               /* the row before it with the same hash */
};

const char *qs_message_name(const struct qs_view *view, uint32_t row)
{
    return view->scan->messages[row].id;
}

const char *qs_group_name(const struct qs_view *view, uint32_t row)
{
    return view->judgement->group[row].name;
}

/* FNV-1a. Names with the same hash are told apart by comparing them. */
static uint64_t name_hash(struct qs_span name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.ptr[i]) * UINT64_C(0x100000001b3);
    return hash;
}

struct qs_names *qs_names_new(TALLOC_CTX *parent, const struct qs_view *view, uint32_t count,
                              qs_name_of name_of)
{
    struct qs_names *names = talloc_zero(parent, struct qs_names);
    if (names == NULL)
        return NULL;
    names->view = view;
    names->name_of = name_of;
    names->last = qs_table_new(names, count);
    names->before = talloc_array(names, uint32_t, count > 0 ? count : 1);
    bool ok = names->last != NULL && names->before != NULL;
    for (uint32_t row = 0; ok && row < count; row++) {
        uint32_t *last = qs_table_at(names->last, name_hash(qs_span_of(name_of(view, row))), QS_NO_ROW);
        ok = last != NULL;
        if (ok) {
            names->before[row] = *last;
            *last = row;
        }
    }
    if (ok)
        return names;
    talloc_free(names);
    return NULL;
}

uint32_t qs_names_next(const struct qs_names *names, struct qs_span name, uint32_t row)
{
    row = row == QS_NO_ROW ? qs_table_get(names->last, name_hash(name), QS_NO_ROW) : names->before[row];
    while (row != QS_NO_ROW && !qs_span_is(name, names->name_of(names->view, row)))
        row = names->before[row];
    return row;
}
