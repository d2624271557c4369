/* SPDX-License-Identifier: Apache-2.0 */
/* MX and address lookups by c-ares, many at a time. Domains are asked for MX; the exchangers found, each once however many
 * domains share it, for A and AAAA. What it all means is worked out when everything is answered, or the time is over. */
#include "qsurgeon/dns.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "asking.h"
#include "judge.h"

enum {
    IN_FLIGHT = 200,                /* queries */
    QUERY_TIME = 1500,              /* milliseconds until c-ares asks again */
    QUERY_TRIES = 2,
    HOSTS = 400000,
    NAME_LONGEST = 253,             /* RFC 1035, without the final dot */
    NOTHING_LONGEST = 300,          /* seconds that the word of nothing holds, and that of a failure */
    FAILED_LONGEST = 120,
};

static const char *const names[QS_MX_KINDS] = {
    [QS_MX_UNKNOWN] = "unknown", [QS_MX_OK] = "ok",           [QS_MX_LOOPBACK] = "loopback",
    [QS_MX_SELF] = "self",       [QS_MX_PRIVATE] = "private", [QS_MX_NONE] = "none",
};

const char *qs_mx_name(enum qs_mx mx)
{
    return (unsigned)mx < QS_MX_KINDS ? names[mx] : "?";
}

bool qs_mx_parse(struct qs_span word, enum qs_mx *out)
{
    for (unsigned i = 0; i < QS_MX_KINDS; i++) {
        if (qs_span_is(word, names[i])) {
            *out = (enum qs_mx)i;
            return true;
        }
    }
    return false;
}

enum qs_mx qs_mx_of_address(const struct qs_network *n)
{
    static const unsigned char zero[16] = {0}, one[16] = {[15] = 1};
    const unsigned char *a = n->address;
    if (n->v6) {
        if (memcmp(a, zero, 16) == 0 || memcmp(a, one, 16) == 0)
            return QS_MX_LOOPBACK;
        return (a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || a[0] == 0xff ? QS_MX_PRIVATE : QS_MX_OK;
    }
    if (a[0] == 127 || memcmp(a, zero, 4) == 0)
        return QS_MX_LOOPBACK;
    return a[0] == 0 || a[0] == 10 || (a[0] == 172 && (a[1] & 0xf0) == 16) || (a[0] == 192 && a[1] == 168) ||
                   (a[0] == 169 && a[1] == 254) || (a[0] == 100 && (a[1] & 0xc0) == 64) || a[0] >= 224
               ? QS_MX_PRIVATE : QS_MX_OK;
}

/* --- what is asked --------------------------------------------------------------------------------------------------- */

struct query {
    struct work *work;
    uint32_t at;                    /* domain or host */
    int type;
};

bool qs_dns_askable(struct qs_span name)
{
    bool dot = false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        dot = dot || c == '.';
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
              (c == '.' && i > 0 && name.ptr[i - 1] != '.')))
            return false;
    }
    return dot && name.len <= NAME_LONGEST;
}

static char *lowered(TALLOC_CTX *parent, struct qs_span name)
{
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    char *copy = talloc_strndup(parent, name.len ? name.ptr : "", name.len);
    for (char *p = copy; p && *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
    return copy;
}

static bool is_localhost(const char *name)
{
    size_t len = strlen(name);
    return strcmp(name, "localhost") == 0 || (len > 10 && strcmp(name + len - 10, ".localhost") == 0);
}

/* The number of the host of this name; UINT32_MAX: there is no room for it, or no memory. */
static uint32_t host_of(struct work *w, const char *text)
{
    char *name = lowered(w, qs_span_of(text));
    uint32_t *at = name ? qs_table_at(w->host_index, qs_name_digest(qs_span_of(name)), w->host_count) : NULL;
    struct qs_network literal;
    w->failed |= !at;
    if (!at || w->host_count >= HOSTS)
        return UINT32_MAX;
    if (*at < w->host_count)        /* equal digests of other names are somebody's joke */
        return strcmp(w->host[*at].name, name) == 0 ? *at : UINT32_MAX;
    if (w->host_count == w->host_room) {
        uint32_t room = w->host_room ? 2 * w->host_room : 64;
        struct host *grown = talloc_realloc(w, w->host, struct host, room);
        if (!grown) {
            w->failed = true;
            return UINT32_MAX;
        }
        w->host = grown;
        w->host_room = room;
    }
    struct host *h = &w->host[w->host_count];
    *h = (struct host){.name = name};
    if (qs_network_parse(qs_span_of(name), &literal, NULL) == QS_OK) {
        h->address[h->count++] = literal;           /* an address where a name belongs */
        h->answer[0] = h->answer[1] = FOUND;
    } else if (is_localhost(name)) {
        h->address[h->count++] = (struct qs_network){{127, 0, 0, 1}, 32, false};
        h->answer[0] = h->answer[1] = FOUND;
    } else if (!qs_dns_askable(qs_span_of(name))) {
        h->answer[0] = h->answer[1] = FAILED;
    }
    return w->host_count++;
}

void qs_dns_add_exchanger(struct work *w, struct asked *asked, const char *name, unsigned preference)
{
    unsigned at = asked->count;
    while (at > 0 && asked->preference[at - 1] > preference)
        at--;
    if (at == QS_DNS_EXCHANGERS)
        return;
    uint32_t host = host_of(w, name);
    if (host == UINT32_MAX) {
        asked->answer = FAILED;
        return;
    }
    unsigned last = asked->count < QS_DNS_EXCHANGERS ? asked->count++ : asked->count - 1;
    for (; last > at; last--) {
        asked->host[last] = asked->host[last - 1];
        asked->preference[last] = asked->preference[last - 1];
    }
    asked->host[at] = host;
    asked->preference[at] = preference;
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

/* An empty answer says nothing when it was cut off, or comes from somebody who neither resolves nor knows the zone (a lame
 * delegation). */
static bool knows(const unsigned char *reply, int len)
{
    return len >= NS_HFIXEDSZ && !(reply[2] & 0x02) && ((reply[2] & 0x04) || (reply[3] & 0x80));
}

static unsigned answers_in(const unsigned char *reply, int len)
{
    return len >= NS_HFIXEDSZ ? (unsigned)reply[6] << 8 | reply[7] : 0;
}

/* The name at p: what follows it, or NULL. */
static const unsigned char *behind_name(const unsigned char *p, const unsigned char *end)
{
    while (p < end && *p && *p < 0x40)
        p += *p + 1;
    ptrdiff_t last = p < end && *p ? 2 : 1;         /* a pointer, or the root */
    return end - p >= last ? p + last : NULL;
}

/* The least time to live in the reply, at most `most`: what holds for all of its answers, or of the zone that says that there
 * is none (RFC 2308). */
static int64_t least_ttl(const unsigned char *reply, int len, int64_t most)
{
    const unsigned char *p = reply + NS_HFIXEDSZ, *end = reply + len;
    if (len < NS_HFIXEDSZ)
        return 0;
    unsigned questions = (unsigned)reply[4] << 8 | reply[5];
    unsigned records = ((unsigned)reply[6] << 8 | reply[7]) + ((unsigned)reply[8] << 8 | reply[9]);
    for (; questions && p; questions--) {
        p = behind_name(p, end);
        p = p && end - p >= 4 ? p + 4 : NULL;
    }
    for (; records && p; records--) {
        p = behind_name(p, end);
        if (!p || end - p < 10)
            return 0;
        int64_t ttl = (int64_t)p[4] << 24 | p[5] << 16 | p[6] << 8 | p[7];
        ptrdiff_t size = p[8] << 8 | p[9];
        most = ttl < most ? ttl : most;
        p = end - p - 10 >= size ? p + 10 + size : NULL;
    }
    return p ? most : 0;
}

static int64_t holds_until(const struct work *w, enum answer answer, const unsigned char *reply, int len)
{
    int64_t ttl = answer == FAILED ? FAILED_LONGEST
                : least_ttl(reply, len, answer == NOTHING ? NOTHING_LONGEST : QS_DNS_REMEMBERED);
    return w->now ? w->now + ttl : 0;
}

static void take_mx(struct work *w, uint32_t at, int status, const unsigned char *reply, int len)
{
    struct asked *asked = &w->asked[at];
    struct ares_mx_reply *list = NULL;
    if (status == ARES_SUCCESS)
        status = ares_parse_mx_reply(reply, len, &list);
    if (status == ARES_ENOTFOUND) {
        asked->answer = NOTHING;
    } else if (status == ARES_ENODATA && knows(reply, len)) {       /* the address stands for it: RFC 5321 */
        asked->answer = FOUND;
        w->dns->route[at].implicit = true;
        qs_dns_add_exchanger(w, asked, w->dns->route[at].domain, 0);
    } else if (status == ARES_SUCCESS && list) {
        asked->answer = FOUND;
        bool null = !list->next && list->host && (!*list->host || strcmp(list->host, ".") == 0);    /* RFC 7505 */
        for (const struct ares_mx_reply *mx = list; mx && !null; mx = mx->next)
            if (mx->host && *mx->host)
                qs_dns_add_exchanger(w, asked, mx->host, mx->priority);
        if (!asked->count && asked->answer == FOUND)
            asked->answer = null ? NOTHING : FAILED;
    } else {
        asked->answer = FAILED;
    }
    if (list)
        ares_free_data(list);
    asked->until = holds_until(w, asked->answer, reply, len);
}

static void take_addresses(struct work *w, uint32_t at, bool v6, int status, const unsigned char *reply, int len)
{
    struct host *h = &w->host[at];
    struct ares_addrttl a[QS_DNS_ADDRESSES];
    struct ares_addr6ttl aaaa[QS_DNS_ADDRESSES];
    int count = QS_DNS_ADDRESSES;
    if (status == ARES_SUCCESS)
        status = v6 ? ares_parse_aaaa_reply(reply, len, NULL, aaaa, &count) : ares_parse_a_reply(reply, len, NULL, a, &count);
    if (status == ARES_SUCCESS && count > 0) {
        h->answer[v6] = FOUND;
        for (int i = 0; i < count && h->count < 2 * QS_DNS_ADDRESSES; i++) {
            struct qs_network *n = &h->address[h->count++];
            static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
            const unsigned char *bytes = v6 ? (const unsigned char *)&aaaa[i].ip6addr : (const unsigned char *)&a[i].ipaddr;
            bool is_mapped = v6 && memcmp(bytes, mapped, sizeof mapped) == 0;
            *n = (struct qs_network){{0}, v6 && !is_mapped ? 128 : 32, v6 && !is_mapped};
            memcpy(n->address, is_mapped ? bytes + 12 : bytes, n->bits / 8);
        }
    } else if (status == ARES_ENOTFOUND) {
        h->answer[v6] = NOTHING;
    } else if ((status == ARES_ENODATA || status == ARES_SUCCESS) && knows(reply, len)) {
        h->answer[v6] = answers_in(reply, len) ? FAILED : NOTHING;      /* aliases that lead nowhere prove nothing */
    } else {
        h->answer[v6] = FAILED;
    }
    int64_t until = holds_until(w, h->answer[v6], reply, len);
    h->until = h->until && h->until < until ? h->until : until;
}

static void on_answer(void *data, int status, int timeouts, unsigned char *reply, int len)
{
    struct query *q = data;
    struct work *w = q->work;
    (void)timeouts;
    w->in_flight--;
    bool cut = status == ARES_EDESTRUCTION || status == ARES_ECANCELLED;
    w->heard |= !cut && status != ARES_ETIMEOUT && status != ARES_ECONNREFUSED;
    /* c-ares reports a name without such data as an error, but hands the reply over */
    if (cut)
        ;
    else if (q->type == ns_t_mx)
        take_mx(w, q->at, status, reply, len);
    else
        take_addresses(w, q->at, q->type == ns_t_aaaa, status, reply, len);
    talloc_free(q);
}

static void send_query(struct work *w, const char *name, uint32_t at, int type)
{
    struct query *q = talloc(w, struct query);
    if (!q) {
        w->failed = true;
        return;
    }
    *q = (struct query){w, at, type};
    w->in_flight++;
    w->asked_any = true;
    ares_query(w->channel, name, ns_c_in, type, on_answer, q);
}

/* Sends what there is to send: exchangers first, for they end a domain. */
static void send_more(struct work *w)
{
    while (!w->failed && w->in_flight < IN_FLIGHT) {
        if (w->next_host < w->host_count) {
            uint32_t at = w->next_host++;
            char *name = w->host[at].name;
            if (w->host[at].answer[0] != WAITING)
                continue;
            send_query(w, name, at, ns_t_a);
            send_query(w, name, at, ns_t_aaaa);
        } else if (w->next_domain < w->dns->count) {
            uint32_t at = (uint32_t)w->next_domain++;
            if (!w->asked[at].served && !w->asked[at].skipped && w->asked[at].answer == WAITING)
                send_query(w, w->dns->route[at].domain, at, ns_t_mx);
        } else {
            return;
        }
    }
}

/* --- sockets --------------------------------------------------------------------------------------------------------- */

static void on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
    struct work *w = data;
    struct pollfd *free_one = NULL, *mine = NULL;
    for (unsigned i = 0; i < SOCKETS; i++) {
        if (w->socket[i].fd == fd)
            mine = &w->socket[i];
        else if (w->socket[i].fd < 0)
            free_one = &w->socket[i];
    }
    mine = mine ? mine : free_one;
    if (mine)           /* else it is not watched, and its queries time out */
        *mine = (struct pollfd){readable || writable ? fd : -1, (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0)), 0};
}

static void wait_and_read(struct work *w, int64_t left)
{
    struct timeval most = {(time_t)(left / 1000), (suseconds_t)(left % 1000 * 1000)}, tv;
    const struct timeval *wait = ares_timeout(w->channel, &most, &tv);
    struct pollfd ready[SOCKETS];
    memcpy(ready, w->socket, sizeof ready);
    int n = poll(ready, SOCKETS, (int)(wait->tv_sec * 1000 + (wait->tv_usec + 999) / 1000));
    for (unsigned i = 0; n > 0 && i < SOCKETS; i++)
        if (ready[i].fd >= 0 && ready[i].revents)
            ares_process_fd(w->channel, ready[i].revents & ~POLLOUT ? ready[i].fd : ARES_SOCKET_BAD,
                            ready[i].revents & POLLOUT ? ready[i].fd : ARES_SOCKET_BAD);
    ares_process_fd(w->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);      /* timeouts */
}

static enum qs_status open_channel(struct work *w, const char *server, struct qs_error *err)
{
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_STAYOPEN | ARES_FLAG_EDNS | ARES_FLAG_NOALIASES, .timeout = QUERY_TIME,
        .tries = QUERY_TRIES, .ednspsz = 1232, .sock_state_cb = on_socket, .sock_state_cb_data = w,
    };
    struct qs_network address;
    int result = ares_init_options(&w->channel, &options, ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                   ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB);
    if (result != ARES_SUCCESS)
        return qs_fail(err, result == ARES_ENOMEM ? QS_NOMEM : QS_IO, "DNS: %s", ares_strerror(result));
    if (!server)
        return QS_OK;
    struct qs_span host = qs_span_of(server);
    const char *colon = strrchr(server, ':');
    uint64_t port;
    if (colon && (server[0] == '[' ? colon[-1] == ']' : strchr(server, ':') == colon)) {
        host.len = (size_t)(colon - server);
        if (!qs_parse_u64(qs_span_of(colon + 1), &port) || port < 1 || port > 65535)
            host.len = 0;
    }
    if (!host.len || strcspn(server, "/%,") != strlen(server) || qs_network_parse(host, &address, NULL) != QS_OK ||
        ares_set_servers_ports_csv(w->channel, server) != ARES_SUCCESS)
        return qs_fail(err, QS_USAGE, "--dns %.80s is no ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT", server);
    return QS_OK;
}

/* --- what it means --------------------------------------------------------------------------------------------------- */

static void read_interfaces(struct work *w)
{
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) != 0)
        return;
    for (const struct ifaddrs *i = list; i && w->own_count < OWN; i = i->ifa_next) {
        struct qs_network *n = &w->own[w->own_count];
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET) {
            const struct sockaddr_in *a = (const struct sockaddr_in *)(const void *)i->ifa_addr;
            *n = (struct qs_network){{0}, 32, false};
            memcpy(n->address, &a->sin_addr, 4);
            w->own_count++;
        } else if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET6) {
            const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)(const void *)i->ifa_addr;
            *n = (struct qs_network){{0}, 128, true};
            memcpy(n->address, &a->sin6_addr, 16);
            w->own_count++;
        }
    }
    freeifaddrs(list);
}

static bool in_networks(const struct qs_site *site, const struct qs_network *n)
{
    for (size_t i = 0; site && i < site->network_count; i++) {
        struct qs_network net;
        if (qs_network_parse(qs_span_of(site->networks[i]), &net, NULL) == QS_OK && qs_network_covers(&net, n))
            return true;
    }
    return false;
}

static enum qs_mx address_class(const struct work *w, const struct qs_network *n)
{
    enum qs_mx mx = qs_mx_of_address(n);
    for (size_t i = 0; mx != QS_MX_LOOPBACK && i < w->own_count; i++)
        if (w->own[i].v6 == n->v6 && memcmp(w->own[i].address, n->address, n->v6 ? 16 : 4) == 0)
            return QS_MX_SELF;
    return mx == QS_MX_PRIVATE && in_networks(w->site, n) ? QS_MX_OK : mx;
}

static enum qs_mx host_class(const struct work *w, const struct host *h)
{
    if (w->site && w->site->hostname && strcasecmp(h->name, w->site->hostname) == 0)
        return QS_MX_SELF;
    enum qs_mx worst = QS_MX_NONE;
    for (unsigned i = 0; i < h->count; i++) {
        enum qs_mx mx = address_class(w, &h->address[i]);
        if (mx == QS_MX_OK)
            return QS_MX_OK;
        worst = i == 0 || mx < worst ? mx : worst;
    }
    for (unsigned i = 0; i < 2; i++)
        if (h->answer[i] == WAITING || h->answer[i] == FAILED)
            return QS_MX_UNKNOWN;
    return worst;
}

static bool finish(struct work *w, size_t at)
{
    struct qs_route *route = &w->dns->route[at];
    const struct asked *asked = &w->asked[at];
    if (asked->served) {
        route->mx = QS_MX_OK;
        return true;
    }
    route->exchanger = talloc_zero_array(w->dns->route, struct qs_exchanger, asked->count + 1);
    if (!route->exchanger)
        return false;
    bool unknown = asked->answer == WAITING || asked->answer == FAILED, good = false, late = asked->answer == WAITING;
    enum qs_mx first = QS_MX_NONE;
    for (unsigned i = 0; i < asked->count; i++) {
        const struct host *h = &w->host[asked->host[i]];
        struct qs_exchanger *x = &route->exchanger[route->exchanger_count++];
        *x = (struct qs_exchanger){.preference = asked->preference[i], .address_count = h->count, .mx = host_class(w, h)};
        x->name = talloc_strdup(w->dns->route, h->name);
        x->address = talloc_memdup(w->dns->route, h->address, h->count * sizeof *h->address);
        if (!x->name || (h->count && !x->address))
            return false;
        late |= h->answer[0] == WAITING || h->answer[1] == WAITING;
        good |= x->mx == QS_MX_OK;
        unknown |= x->mx == QS_MX_UNKNOWN;
        if (first == QS_MX_NONE)    /* an exchanger without an address is passed over, as mail servers do */
            first = x->mx;
    }
    route->mx = good ? QS_MX_OK : unknown ? QS_MX_UNKNOWN : first;
    bool is_late = late && !asked->skipped;
    w->dns->late += route->mx == QS_MX_UNKNOWN && is_late;
    w->dns->failed += route->mx == QS_MX_UNKNOWN && !is_late && !asked->skipped;
    return true;
}

static bool is_served(const struct qs_site *site, const char *domain)
{
    for (size_t i = 0; site && i < site->local_count; i++)
        if (strcasecmp(site->local_domains[i], domain) == 0)
            return true;
    for (size_t i = 0; site && i < site->relay_count; i++) {        /* Postfix relays what is beneath them, too */
        size_t d = strlen(domain), r = strlen(site->relay_domains[i]);
        if (r && d >= r && strcasecmp(domain + d - r, site->relay_domains[i]) == 0 && (d == r || domain[d - r - 1] == '.'))
            return true;
    }
    return false;
}

static enum qs_status start(struct work *w, const struct qs_dns_options *options, char *const *domain, size_t count,
                            struct qs_error *err)
{
    struct qs_dns *dns = w->dns;
    size_t most = count < QS_DNS_DOMAINS ? count : QS_DNS_DOMAINS;
    dns->route = talloc_zero_array(dns, struct qs_route, (unsigned)most + 1);
    dns->index = talloc_zero(dns, struct qs_dns_index);
    w->asked = talloc_zero_array(w, struct asked, (unsigned)most + 1);
    w->host_index = qs_table_new(w, 64);
    if (!dns->route || !dns->index || !w->asked || !w->host_index ||
        !(dns->index->table = qs_table_new(dns->index, (uint32_t)most + 1)))
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (size_t i = 0; i < most; i++) {
        char *name = lowered(dns->route, qs_span_of(domain[i]));
        uint32_t *at = name ? qs_table_at(dns->index->table, qs_name_digest(qs_span_of(name)), (uint32_t)dns->count) : NULL;
        if (!at)
            return qs_fail(err, QS_NOMEM, "out of memory");
        if (*at != dns->count || !*name)
            continue;               /* asked already */
        w->asked[dns->count].served = !options->served_too && is_served(options->site, name);
        w->asked[dns->count].skipped = !qs_dns_askable(qs_span_of(name));
        dns->route[dns->count++].domain = name;
    }
    for (unsigned i = 0; i < SOCKETS; i++)
        w->socket[i].fd = -1;
    read_interfaces(w);
    enum qs_status status = open_channel(w, options->server, err);
    if (status == QS_OK && w->now) {
        qs_dns_recall(w, options->earlier);
        status = w->failed ? qs_fail(err, QS_NOMEM, "out of memory") : QS_OK;
    }
    return status;
}

static void run(struct work *w, const struct qs_dns_options *options)
{
    const int64_t begin = options->clock(), first = options->silence ? options->silence : options->limit;
    int64_t left;
    send_more(w);
    while (w->in_flight > 0 && !w->failed && (left = begin + (w->heard ? options->limit : first) - options->clock()) > 0) {
        wait_and_read(w, left);
        send_more(w);
    }
    w->dns->silent = !w->heard && w->asked_any && !w->failed;
    ares_cancel(w->channel);
}

enum qs_status qs_dns_ask(TALLOC_CTX *parent, const struct qs_dns_options *options, char *const *domain, size_t count,
                          struct qs_dns **out, struct qs_error *err)
{
    struct work *w = talloc_zero(NULL, struct work);
    int library = ares_library_init(ARES_LIB_INIT_ALL);
    enum qs_status status = w && library == ARES_SUCCESS && (w->dns = talloc_zero(w, struct qs_dns))
                                ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK) {
        w->site = options->site;
        w->now = options->now;
        status = start(w, options, domain, count, err);
    }
    if (status == QS_OK)
        run(w, options);
    if (status == QS_OK && w->now && w->asked_any && !w->dns->silent && !qs_dns_remember(w, options->earlier))
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (w && w->channel)
        ares_destroy(w->channel);
    for (size_t i = 0; status == QS_OK && i < w->dns->count; i++)
        if (w->failed || !finish(w, i))
            status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        *out = talloc_steal(parent, w->dns);
    if (library == ARES_SUCCESS)
        ares_library_cleanup();
    talloc_free(w);
    return status;
}

/* --- the domains of a scan ------------------------------------------------------------------------------------------- */

struct seen {
    struct qs_span domain;
    uint32_t count;
};

static int by_count(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    size_t least = x->domain.len < y->domain.len ? x->domain.len : y->domain.len;
    int order = memcmp(x->domain.ptr, y->domain.ptr, least);
    return order ? order : x->domain.len < y->domain.len ? -1 : x->domain.len > y->domain.len;
}

static bool count_seen(TALLOC_CTX *scratch, const struct qs_scan *scan, struct seen **list, uint32_t *used)
{
    struct qs_table *index = qs_table_new(scratch, 1024);
    for (uint32_t i = 0; index && i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        for (uint32_t r = 0; r < m->recipient_count; r++) {
            struct qs_span domain = qs_domain_of(qs_sym_span(scan->strings, m->recipients[r].address));
            if (m->recipients[r].state != QS_RCPT_TODO || !qs_dns_askable(domain))
                continue;
            uint32_t *at = qs_table_at(index, qs_name_digest(domain), *used);
            if (!at)
                return false;
            if (*at == *used) {
                if ((*used & (*used - 1)) == 0) {
                    struct seen *grown = talloc_realloc(scratch, *list, struct seen, *used ? *used * 2 : 1);
                    if (!grown)
                        return false;
                    *list = grown;
                }
                (*list)[(*used)++] = (struct seen){domain, 0};
            }
            (*list)[*at].count++;
        }
    }
    return index != NULL;
}

enum qs_status qs_dns_ask_scan(TALLOC_CTX *parent, const struct qs_dns_options *options, const struct qs_scan *scan,
                               struct qs_dns **out, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct seen *list = NULL;
    uint32_t used = 0;
    char **domain = NULL;
    bool ok = scratch && count_seen(scratch, scan, &list, &used) && (domain = talloc_array(scratch, char *, used + 1));
    if (ok && used)
        qsort(list, used, sizeof *list, by_count);
    for (uint32_t i = 0; ok && i < used; i++)
        ok = (domain[i] = talloc_strndup(domain, list[i].domain.ptr, list[i].domain.len)) != NULL;
    enum qs_status status = ok ? qs_dns_ask(parent, options, domain, used, out, err) : qs_fail(err, QS_NOMEM, "out of memory");
    talloc_free(scratch);
    return status;
}

const struct qs_route *qs_dns_find(const struct qs_dns *dns, struct qs_span domain)
{
    if (domain.len && domain.ptr[domain.len - 1] == '.')
        domain.len--;
    uint32_t at = domain.len ? qs_table_get(dns->index->table, qs_name_digest(domain), UINT32_MAX) : UINT32_MAX;
    return at < dns->count && qs_span_is_nocase(domain, dns->route[at].domain) ? &dns->route[at] : NULL;
}

enum qs_mx qs_dns_of(const struct qs_dns *dns, struct qs_span address)
{
    struct qs_span domain = qs_domain_of(address);
    struct qs_network literal;
    if (!dns || !domain.len)
        return QS_MX_UNKNOWN;
    if (domain.ptr[0] == '[')
        return qs_network_parse(domain, &literal, NULL) == QS_OK ? qs_mx_of_address(&literal) : QS_MX_UNKNOWN;
    const struct qs_route *route = qs_dns_find(dns, domain);
    return route ? route->mx : QS_MX_UNKNOWN;
}
