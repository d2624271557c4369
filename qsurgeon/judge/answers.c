/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of DNS from one run to the next, as text: a head with the servers that were asked, then
 *     d UNTIL ANSWER IMPLICIT DOMAIN [PREFERENCE EXCHANGER]...
 *     h UNTIL A-ANSWER AAAA-ANSWER HOST [ADDRESS]...
 * Whatever stands there is read as if a stranger had written it. What the answers mean is worked out afresh by every run, for
 * the site may have changed. Reads no file. */
#include "asking.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "judge.h"
#include "qsurgeon/reader.h"

enum { LINE_LONGEST = 8192, SERVERS_LONGEST = 512 };

/* --- lines ------------------------------------------------------------------------------------------------------------- */

static bool next_word(struct qs_span *line, struct qs_span *word)
{
    const char *blank = line->len ? memchr(line->ptr, ' ', line->len) : NULL;
    *word = (struct qs_span){line->ptr, blank ? (size_t)(blank - line->ptr) : line->len};
    line->ptr += word->len + (blank != NULL);
    line->len -= word->len + (blank != NULL);
    return word->len > 0;
}

static bool next_number(struct qs_span *line, uint64_t most, uint64_t *out)
{
    struct qs_span word;
    return next_word(line, &word) && qs_parse_u64(word, out) && *out <= most;
}

struct entry {
    bool host;
    int64_t until;
    enum answer answer[2];          /* of a domain the first alone; the second is whether it is implicit */
    struct qs_span name, rest;
};

/* What still holds; nothing can hold for longer than it is ever kept. */
static bool read_entry(struct qs_span line, int64_t now, struct entry *e)
{
    struct qs_span kind;
    uint64_t until, answer[2];
    if (line.len > LINE_LONGEST || !next_word(&line, &kind) || kind.len != 1 || (*kind.ptr != 'd' && *kind.ptr != 'h') ||
        !next_number(&line, INT64_MAX, &until) || (int64_t)until <= now || (int64_t)until > now + QS_DNS_REMEMBERED ||
        !next_number(&line, FAILED, &answer[0]) || !next_number(&line, FAILED, &answer[1]) || answer[0] == WAITING ||
        !next_word(&line, &e->name) || !qs_dns_askable(e->name))
        return false;
    e->host = *kind.ptr == 'h';
    e->until = (int64_t)until;
    e->answer[0] = (enum answer)answer[0];
    e->answer[1] = (enum answer)answer[1];
    e->rest = line;
    return e->host ? e->answer[1] != WAITING : answer[1] <= 1;
}

/* --- what is known ------------------------------------------------------------------------------------------------------ */

static uint32_t place(const struct qs_table *table, struct qs_span name)
{
    return qs_table_get(table, qs_name_digest(name), UINT32_MAX);
}

static struct asked *asked_of(struct work *w, struct qs_span name)
{
    uint32_t at = place(w->dns->index->table, name);
    return at < w->dns->count && qs_span_is(name, w->dns->route[at].domain) ? &w->asked[at] : NULL;
}

static struct host *host_of(struct work *w, struct qs_span name)
{
    uint32_t at = place(w->host_index, name);
    return at < w->host_count && qs_span_is(name, w->host[at].name) ? &w->host[at] : NULL;
}

static void take_domain(struct work *w, struct entry *e)
{
    struct asked *asked = asked_of(w, e->name);
    struct qs_span word;
    uint64_t preference;
    char name[LINE_LONGEST + 1];
    if (!asked || asked->answer != WAITING || asked->served || asked->skipped)
        return;
    asked->answer = e->answer[0];
    asked->until = e->until;
    w->dns->route[asked - w->asked].implicit = e->answer[1] != WAITING;
    bool whole = asked->answer != FOUND || e->rest.len;
    while (whole && asked->answer == FOUND && e->rest.len) {
        whole = asked->count < QS_DNS_EXCHANGERS && next_number(&e->rest, UINT16_MAX, &preference) && next_word(&e->rest, &word);
        if (!whole)
            break;
        memcpy(name, word.ptr, word.len);
        name[word.len] = '\0';
        qs_dns_add_exchanger(w, asked, name, (unsigned)preference);
    }
    if (!whole) {           /* no answer has that: ask */
        asked->answer = WAITING;
        asked->count = 0;
    }
}

static void take_host(struct work *w, struct entry *e)
{
    struct host *h = host_of(w, e->name);
    struct qs_span word;
    if (!h || h->answer[0] != WAITING)
        return;
    bool whole = true;
    while (whole && e->rest.len) {
        whole = h->count < 2 * QS_DNS_ADDRESSES && next_word(&e->rest, &word) && !memchr(word.ptr, '/', word.len) &&
                qs_network_parse(word, &h->address[h->count], NULL) == QS_OK;
        h->count += whole;
    }
    if (!whole || (h->count > 0) != (e->answer[0] == FOUND || e->answer[1] == FOUND)) {
        h->count = 0;
        return;
    }
    memcpy(h->answer, e->answer, sizeof h->answer);
    h->until = e->until;
}

/* "qsurgeon-dns 1 192.0.2.53:53 [2001:db8::53]:53": who is asked in this run. */
static bool write_head(const struct work *w, char to[SERVERS_LONGEST])
{
    struct ares_addr_port_node *servers = NULL;
    size_t used = (size_t)snprintf(to, SERVERS_LONGEST, "qsurgeon-dns 1");
    if (ares_get_servers_ports(w->channel, &servers) != ARES_SUCCESS)
        return false;
    for (const struct ares_addr_port_node *s = servers; s && used < SERVERS_LONGEST; s = s->next) {
        char address[INET6_ADDRSTRLEN] = "?";
        inet_ntop(s->family, &s->addr, address, sizeof address);
        used += (size_t)snprintf(to + used, SERVERS_LONGEST - used, " [%s]:%d", address, s->udp_port ? s->udp_port : 53);
    }
    ares_free_data(servers);
    return used < SERVERS_LONGEST;
}

/* Of the same servers, and who they are fits into a line. */
static bool is_theirs(const struct work *w, struct qs_span *text)
{
    char head[SERVERS_LONGEST];
    struct qs_span line;
    return write_head(w, head) && qs_span_cut(text, '\n', &line) && qs_span_is(line, head);
}

void qs_dns_recall(struct work *w, struct qs_span earlier)
{
    struct qs_span line, text = earlier;        /* a line that is cut off is none */
    struct entry e;
    if (!is_theirs(w, &text))
        return;
    struct qs_span hosts = text;    /* those that are wanted are known when all domains are */
    while (!w->failed && qs_span_cut(&text, '\n', &line))
        if (read_entry(line, w->now, &e) && !e.host)
            take_domain(w, &e);
    while (!w->failed && qs_span_cut(&hosts, '\n', &line))
        if (read_entry(line, w->now, &e) && e.host)
            take_host(w, &e);
}

/* --- for the next run --------------------------------------------------------------------------------------------------- */

/* Adds the line, unless there is too much already. */
static bool add_line(struct qs_buffer *out, char *line)
{
    size_t len = line ? strlen(line) : 0;
    bool ok = line && (out->len + len > QS_DNS_TEXT_MOST || len > LINE_LONGEST || qs_buffer_add(out, (struct qs_span){line, len}));
    talloc_free(line);
    return ok;
}

/* A name that breaks no line. */
static bool is_plain(const char *name)
{
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.:")] == '\0';
}

static bool add_domain(const struct work *w, size_t at, struct qs_buffer *out)
{
    const struct asked *asked = &w->asked[at];
    const struct qs_route *route = &w->dns->route[at];
    bool plain = true;
    for (unsigned i = 0; i < asked->count; i++)
        plain = plain && is_plain(w->host[asked->host[i]].name);
    if (asked->answer == WAITING || asked->until <= w->now || !plain)
        return true;
    char *line = talloc_asprintf(NULL, "d %" PRId64 " %d %d %s", asked->until, (int)asked->answer, (int)route->implicit, route->domain);
    for (unsigned i = 0; line && i < asked->count; i++)
        line = talloc_asprintf_append_buffer(line, " %u %s", asked->preference[i], w->host[asked->host[i]].name);
    return add_line(out, line ? talloc_asprintf_append_buffer(line, "\n") : NULL);
}

static bool add_host(const struct work *w, const struct host *h, struct qs_buffer *out)
{
    if (h->answer[0] == WAITING || h->answer[1] == WAITING || h->until <= w->now || !is_plain(h->name))
        return true;
    char *line = talloc_asprintf(NULL, "h %" PRId64 " %d %d %s", h->until, (int)h->answer[0], (int)h->answer[1], h->name);
    for (unsigned i = 0; line && i < h->count; i++) {
        char address[INET6_ADDRSTRLEN] = "?";
        inet_ntop(h->address[i].v6 ? AF_INET6 : AF_INET, h->address[i].address, address, sizeof address);
        line = talloc_asprintf_append_buffer(line, " %s", address);
    }
    return add_line(out, line ? talloc_asprintf_append_buffer(line, "\n") : NULL);
}

bool qs_dns_remember(struct work *w, struct qs_span earlier)
{
    struct qs_buffer out;
    struct qs_span line;
    struct entry e;
    char head[SERVERS_LONGEST];
    qs_buffer_init(&out, w->dns);
    if (!write_head(w, head))
        return true;
    bool ok = qs_buffer_add(&out, qs_span_of(head)) && qs_buffer_add_char(&out, '\n');
    for (size_t d = 0; ok && d < w->dns->count; d++)
        ok = add_domain(w, d, &out);
    for (uint32_t h = 0; ok && h < w->host_count; h++)
        ok = add_host(w, &w->host[h], &out);
    bool same = is_theirs(w, &earlier);
    while (ok && same && qs_span_cut(&earlier, '\n', &line))
        if (read_entry(line, w->now, &e) && !(e.host ? host_of(w, e.name) != NULL : asked_of(w, e.name) != NULL) &&
            out.len + line.len < QS_DNS_TEXT_MOST)
            ok = qs_buffer_add(&out, line) && qs_buffer_add_char(&out, '\n');
    w->dns->answers = (struct qs_span){out.data, out.len};
    return ok;
}
