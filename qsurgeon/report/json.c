/* SPDX-License-Identifier: Apache-2.0 */
/* JSON by jansson: see json.h. */
#include "json.h"
#include "qsurgeon/dns.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct qs_json qs_json_new(void)
{
    struct qs_json json = {json_object(), false};
    json.failed = json.object == NULL;
    return json;
}

static void set(struct qs_json *json, const char *key, json_t *value)
{
    if (json_object_set_new_nocheck(json->object, key, value) != 0)
        json->failed = true;
}

/* Bytes that are no UTF-8 become U+FFFD. */
static json_t *repaired(struct qs_span text)
{
    const unsigned char *p = (const unsigned char *)text.ptr, *end = p + text.len;
    char *valid = talloc_size(NULL, text.len * 3 + 1);
    size_t n = 0;
    while (valid && p < end) {
        uint32_t c = 0;
        unsigned len = qs_utf8_decode(p, end, &c);
        n += qs_utf8_encode(len ? c : 0xFFFD, valid + n);
        p += len ? len : 1;
    }
    json_t *value = valid ? json_stringn_nocheck(valid, n) : NULL;
    talloc_free(valid);
    return value;
}

static json_t *text_value(struct qs_span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] >= 0x80)
            return repaired(text);
    return json_stringn_nocheck(text.len ? text.ptr : "", text.len);
}

void qs_json_text(struct qs_json *json, const char *key, struct qs_span text)
{
    set(json, key, text_value(text));
}

void qs_json_text_or_null(struct qs_json *json, const char *key, struct qs_span text)
{
    set(json, key, text.len ? text_value(text) : json_null());
}

void qs_json_int(struct qs_json *json, const char *key, int64_t n)
{
    set(json, key, json_integer(n));
}

void qs_json_count(struct qs_json *json, const char *key, uint64_t n)
{
    set(json, key, json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n));
}

void qs_json_real(struct qs_json *json, const char *key, double x)
{
    set(json, key, json_real(round(x * 1000.0) / 1000.0));
}

void qs_json_bool(struct qs_json *json, const char *key, bool yes)
{
    set(json, key, json_boolean(yes));
}

void qs_json_null(struct qs_json *json, const char *key)
{
    set(json, key, json_null());
}

void qs_json_object(struct qs_json *json, const char *key, struct qs_json member)
{
    json->failed |= member.failed;
    set(json, key, member.object);
}

void qs_json_value(struct qs_json *json, const char *key, json_t *array)
{
    set(json, key, array);
}

void qs_json_append(struct qs_json *owner, json_t *array, struct qs_json item)
{
    if (json_array_append_new(array, item.object) != 0 || item.failed)
        owner->failed = true;
}

void qs_json_append_text(struct qs_json *owner, json_t *array, struct qs_span text)
{
    if (json_array_append_new(array, text_value(text)) != 0)
        owner->failed = true;
}

/* jansson leaves DEL as it is. */
static int write_bytes(const char *bytes, size_t len, void *data)
{
    FILE *out = data;
    for (const char *del; (del = memchr(bytes, 0x7F, len)) != NULL;) {
        size_t n = (size_t)(del - bytes);
        fwrite(bytes, 1, n, out);
        fputs("\\u007f", out);
        bytes += n + 1;
        len -= n + 1;
    }
    return fwrite(bytes, 1, len, out) == len ? 0 : -1;
}

enum qs_status qs_json_line(FILE *out, struct qs_json *json, struct qs_error *err)
{
    enum { FLAGS = JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12) };
    bool complete = !json->failed;
    if (complete) {
        char line[8192];            /* most objects fit: one write instead of one for each word */
        size_t len = json_dumpb(json->object, line, sizeof line, FLAGS);
        if (len <= sizeof line)
            write_bytes(line, len, out);
        else
            json_dump_callback(json->object, write_bytes, out, FLAGS);
        fputc('\n', out);
    }
    json_decref(json->object);
    json->object = NULL;
    return complete ? qs_written(out, err) : qs_fail(err, QS_NOMEM, "out of memory");
}

static void add_recipients(struct qs_json *json, const struct qs_view *view, const struct qs_message *m)
{
    const struct qs_scan *scan = view->scan;
    const struct qs_dns *dns = view->judgement->site->dns;
    json_t *array = json_array();
    for (uint32_t r = 0; r < m->recipient_count; r++) {
        struct qs_json item = qs_json_new();
        qs_json_text(&item, "address", qs_sym_span(scan->strings, m->recipients[r].address));
        if (m->recipients[r].reason)
            qs_json_text(&item, "delay_reason", qs_sym_span(scan->strings, m->recipients[r].reason));
        qs_json_text(&item, "state",
                     qs_span_of(qs_state_name((enum qs_recipient_state)m->recipients[r].state)));
        if (dns)
            qs_json_text(&item, "mx",
                         qs_span_of(qs_mx_name(qs_dns_of(dns, qs_sym_span(scan->strings, m->recipients[r].address)))));
        qs_json_append(json, array, item);
    }
    qs_json_value(json, "recipients", array);
}

void qs_json_message(struct qs_json *json, const struct qs_view *view, uint32_t message)
{
    const struct qs_scan *scan = view->scan;
    const struct qs_message *m = &scan->messages[message];
    const struct qs_finding *finding = &view->judgement->of[message];
    uint32_t group = view->judgement->group_of[message];
    const struct { const char *key; qs_sym text;
    } texts[] = {
        {"client_address", m->client_address},
        {"client_name", m->client_name},
        {"helo", m->helo},
        {"protocol", m->protocol},
        {"sasl_username", m->sasl_username},
        {"from", m->from},
        {"subject", m->subject},
        {"message_id", m->message_id_text},
    };
    char hash[20];

    qs_json_text(json, "instance", qs_span_of(scan->queues[m->instance].name));
    qs_json_text(json, "queue_name", qs_sym_span(scan->strings, m->queue_name));
    qs_json_text(json, "queue_id", qs_span_of(m->id));
    qs_json_int(json, "arrival_time", m->arrival);
    qs_json_count(json, "message_size", m->size);
    qs_json_bool(json, "forced_expire", (m->flags & QS_ENV_FORCED_EXPIRE) != 0);
    qs_json_text(json, "sender",
                 m->sender ? qs_sym_span(scan->strings, m->sender) : QS_SPAN("MAILER-DAEMON"));
    add_recipients(json, view, m);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        qs_json_text_or_null(json, texts[i].key, qs_sym_span(scan->strings, texts[i].text));
    if (m->local_uid >= 0)
        qs_json_int(json, "local_uid", m->local_uid);
    else
        qs_json_null(json, "local_uid");
    qs_json_text_or_null(json, "hold_reason", qs_sym_span(scan->strings, m->hold_reason));
    if (group == QS_NO_CLUSTER)
        qs_json_null(json, "cluster");
    else
        qs_json_text(json, "cluster", qs_span_of(view->judgement->group[group].name));
    qs_json_text(json, "verdict", qs_span_of(qs_verdict_name((enum qs_verdict)finding->verdict)));
    qs_json_text(json, "cause", qs_span_of(qs_cause_name((enum qs_cause)finding->cause)));
    qs_json_real(json, "score", (double)finding->score);
    snprintf(hash, sizeof hash, "%016" PRIx64, m->print.body_hash);
    qs_json_text_or_null(json, "body_hash",
                         m->print.body_hash ? qs_span_of(hash) : (struct qs_span){NULL, 0});
    unsigned marks = qs_marks_of(view->judgement, message);
    json_t *list = json_array();
    for (unsigned mark = 0; mark < QS_MARKS; mark++)
        if (marks >> mark & 1)
            qs_json_append_text(json, list, qs_span_of(qs_mark_name((enum qs_mark)mark)));
    qs_json_value(json, "marks", list);
}
