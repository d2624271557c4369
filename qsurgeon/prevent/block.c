/* SPDX-License-Identifier: Apache-2.0 */
/* Which sources to keep out: see block.h. Writes no file. */
#include "qsurgeon/block.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protect.h"

static const char *const format_name[QS_BLOCK_FORMATS] = {
    [QS_BLOCK_NFT] = "nft", [QS_BLOCK_POSTFIX_CIDR] = "postfix-cidr", [QS_BLOCK_POSTSCREEN] = "postscreen",
    [QS_BLOCK_SENDMAIL] = "sendmail-access", [QS_BLOCK_FAIL2BAN] = "fail2ban", [QS_BLOCK_RSPAMD] = "rspamd",
    [QS_BLOCK_PLAIN] = "plain",
};

static const char *const format_use[QS_BLOCK_FORMATS] = {
    [QS_BLOCK_NFT] = "nft -f FILE; loading a newer one replaces it, `nft delete table inet qsurgeon_block` ends it",
    [QS_BLOCK_POSTFIX_CIDR] = "smtpd_client_restrictions = check_client_access cidr:FILE; then postfix reload",
    [QS_BLOCK_POSTSCREEN] = "postscreen_access_list = permit_mynetworks, cidr:FILE; then postfix reload",
    [QS_BLOCK_SENDMAIL] = "cat access FILE | makemap hash access.db",
    [QS_BLOCK_FAIL2BAN] = "sh FILE; it needs a jail named qsurgeon",
    [QS_BLOCK_RSPAMD] = "a map of type ip for multimap",
    [QS_BLOCK_PLAIN] = "an address or network a line",
};

const char *qs_block_format_name(enum qs_block_format format)
{
    return format_name[format];
}

bool qs_block_format_parse(struct qs_span word, enum qs_block_format *out)
{
    for (unsigned f = 0; f < QS_BLOCK_FORMATS; f++)
        if (qs_span_is(word, format_name[f])) {
            *out = (enum qs_block_format)f;
            return true;
        }
    return false;
}

/* --- the list ------------------------------------------------------------------------------------------ */

static bool add_entry(struct qs_block *block, const struct qs_network *range, int64_t until, uint64_t bad)
{
    if ((block->count & (block->count - 1)) == 0) {     /* room for twice as many */
        struct qs_block_entry *grown = talloc_realloc(block, block->entry, struct qs_block_entry,
                                                      block->count ? block->count * 2 : 1);
        if (!grown)
            return false;
        block->entry = grown;
    }
    block->entry[block->count++] = (struct qs_block_entry){*range, until, bad};
    return true;
}

static bool add_spared(struct qs_block *block, const char *line)
{
    block->spared_all++;
    if (block->spared_count >= QS_BLOCK_SPARED_KEPT)
        return true;
    char **grown = talloc_realloc(block, block->spared, char *, block->spared_count + 1);
    char *copy = grown ? talloc_strdup(block, line) : NULL;
    block->spared = grown ? grown : block->spared;
    if (copy)
        grown[block->spared_count++] = copy;
    return copy != NULL;
}

static int compare(const void *a, const void *b)
{
    const struct qs_network *x = &((const struct qs_block_entry *)a)->range, *y = &((const struct qs_block_entry *)b)->range;
    if (x->v6 != y->v6)
        return x->v6 ? 1 : -1;
    int order = memcmp(x->address, y->address, sizeof x->address);
    return order ? order : (x->bits > y->bits) - (x->bits < y->bits);
}

/* In order, and each address in one entry only. */
static void tidy(struct qs_block *block)
{
    uint32_t kept = 0;
    if (block->count > 1)
        qsort(block->entry, block->count, sizeof *block->entry, compare);
    for (uint32_t i = 0; i < block->count; i++) {
        struct qs_block_entry *last = kept ? &block->entry[kept - 1] : NULL;
        if (last && qs_networks_meet(&last->range, &block->entry[i].range)) {
            last->until = last->until > block->entry[i].until ? last->until : block->entry[i].until;
            last->bad = last->bad > block->entry[i].bad ? last->bad : block->entry[i].bad;
        } else {
            block->entry[kept++] = block->entry[i];
        }
    }
    block->count = kept;
}

/* --- choosing ------------------------------------------------------------------------------------------ */

/* Why a source is no stranger's: "" when it may be blocked. */
static void why_not(char *to, size_t size, const struct qs_source *s, const struct qs_protected *guarded)
{
    const char *trusted = qs_protected_why(guarded, &s->network);
    uint64_t bad = qs_source_bad(s);
    to[0] = '\0';
    if (trusted)
        snprintf(to, size, "%s", trusted);
    else if (s->legit)
        snprintf(to, size, "sent real mail, too: %" PRIu64 " in the queue", s->legit);
    else if (s->logins)
        snprintf(to, size, "sent with a login: %" PRIu64, s->logins);
    else if (s->delivered && s->delivered >= bad / QS_BLOCK_SHARE)
        snprintf(to, size, "sent mail that was delivered: %" PRIu64, s->delivered);
}

static bool consider(struct qs_block *block, const struct qs_source *s, const struct qs_protected *guarded,
                     const struct qs_block_wish *wish)
{
    char why[120], line[240];
    uint64_t bad = qs_source_bad(s);
    if (!s->network.bits || bad < wish->over)
        return true;
    why_not(why, sizeof why, s, guarded);
    if (!why[0])
        return add_entry(block, &s->network, wish->until, bad);
    snprintf(line, sizeof line, "%s: %s; bad: %" PRIu64, s->name, why, bad);
    return add_spared(block, line);
}

/* The IPv4 network in which several addresses are blocked, and nobody is good. */
static bool consider_network(struct qs_block *block, const struct qs_source *s, const struct qs_protected *guarded,
                             const struct qs_block_wish *wish, uint32_t blocked)
{
    if (blocked < QS_BLOCK_SEVERAL || s->legit || s->logins || s->delivered || qs_protected_why(guarded, &s->network))
        return true;
    return add_entry(block, &s->network, wish->until, qs_source_bad(s));
}

/* How many of the first `count` entries, which are in order, lie in the network. */
static uint32_t blocked_in(const struct qs_block *block, uint32_t count, const struct qs_network *network)
{
    uint32_t low = 0, high = count, n = 0;
    struct qs_block_entry key = {.range = *network};
    key.range.bits = 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(&block->entry[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    while (low + n < count && qs_networks_meet(&block->entry[low + n].range, network))
        n++;
    return n;
}

enum qs_status qs_block_choose(TALLOC_CTX *parent, const struct qs_sources *sources, const struct qs_site *site,
                               const struct qs_block_wish *wish, struct qs_block **out, struct qs_error *err)
{
    struct qs_block *block = talloc_zero(parent, struct qs_block);
    struct qs_protected *guarded = block ? qs_protected_new(block, site, wish->own, wish->own_count) : NULL;
    bool ok = guarded != NULL;
    if (block) {
        block->format = wish->format;
        block->made = wish->now;
    }
    for (uint32_t i = 0; ok && i < sources->count[QS_SOURCE_ADDRESS]; i++)
        if (!sources->of[QS_SOURCE_ADDRESS][i].network.v6)
            ok = consider(block, &sources->of[QS_SOURCE_ADDRESS][i], guarded, wish);
    if (ok)
        tidy(block);
    uint32_t addresses = ok ? block->count : 0;
    for (uint32_t i = 0; ok && i < sources->count[QS_SOURCE_NETWORK]; i++) {
        const struct qs_source *s = &sources->of[QS_SOURCE_NETWORK][i];
        uint32_t n = s->network.v6 ? 0 : blocked_in(block, addresses, &s->network);
        ok = s->network.v6 ? consider(block, s, guarded, wish) : consider_network(block, s, guarded, wish, n);
    }
    if (!ok) {
        talloc_free(block);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    tidy(block);
    *out = block;
    return QS_OK;
}

/* The addresses that sent real mail, as a list in order, under parent. NULL: out of memory. */
static struct qs_block *good_addresses(TALLOC_CTX *parent, const struct qs_sources *sources,
                                       const struct qs_protected *guarded)
{
    struct qs_block *good = talloc_zero(parent, struct qs_block);
    bool ok = good != NULL;
    for (uint32_t i = 0; ok && i < sources->count[QS_SOURCE_ADDRESS]; i++) {
        const struct qs_source *s = &sources->of[QS_SOURCE_ADDRESS][i];
        char why[120] = "";
        if (s->network.bits && (s->legit || s->logins || s->delivered))
            why_not(why, sizeof why, s, guarded);
        if (why[0])
            ok = add_entry(good, &s->network, 0, 0);
    }
    if (ok)
        tidy(good);
    return ok ? good : NULL;
}

enum qs_status qs_block_merge(struct qs_block *block, const struct qs_block *older, const struct qs_sources *sources,
                              const struct qs_site *site, const struct qs_block_wish *wish, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_protected *guarded = qs_protected_new(scratch, site, wish->own, wish->own_count);
    struct qs_block *good = guarded ? good_addresses(scratch, sources, guarded) : NULL;
    bool ok = good != NULL;
    for (uint32_t i = 0; ok && i < older->count; i++) {
        const struct qs_block_entry *e = &older->entry[i];
        if (e->until > wish->now && !qs_protected_why(guarded, &e->range) && !blocked_in(good, good->count, &e->range))
            ok = add_entry(block, &e->range, e->until, e->bad);
    }
    talloc_free(scratch);
    if (!ok)
        return qs_fail(err, QS_NOMEM, "out of memory");
    tidy(block);
    return QS_OK;
}

uint32_t qs_block_prune(struct qs_block *block, int64_t now)
{
    uint32_t kept = 0, dropped;
    for (uint32_t i = 0; i < block->count; i++)
        if (block->entry[i].until > now)
            block->entry[kept++] = block->entry[i];
    dropped = block->count - kept;
    block->count = kept;
    block->made = now;
    return dropped;
}

/* --- writing ------------------------------------------------------------------------------------------- */

static char *time_text(char to[32], int64_t when)
{
    struct tm tm;
    time_t t = (time_t)when;
    if (!gmtime_r(&t, &tm) || !strftime(to, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(to, 32, "?");
    return to;
}

/* As sendmail's access map has it: "192.0.2.1", "192.0.2", "IPv6:2001:db8:0:1". */
static void access_key(char *to, size_t size, const struct qs_network *n)
{
    size_t used = (size_t)snprintf(to, size, "%s", n->v6 ? "IPv6:" : "");
    unsigned parts = n->bits / (n->v6 ? 16 : 8);
    for (unsigned i = 0; i < parts && used < size; i++)
        used += n->v6 ? (size_t)snprintf(to + used, size - used, "%s%x", i ? ":" : "",
                                         (unsigned)n->address[2 * i] << 8 | n->address[2 * i + 1])
                      : (size_t)snprintf(to + used, size - used, "%s%u", i ? "." : "", n->address[i]);
}

static const char nft_head[] =
    "add table inet qsurgeon_block\n"
    "add set inet qsurgeon_block bad4 { type ipv4_addr; flags interval, timeout; }\n"
    "add set inet qsurgeon_block bad6 { type ipv6_addr; flags interval, timeout; }\n"
    "add chain inet qsurgeon_block input { type filter hook input priority 0; policy accept; }\n"
    "flush chain inet qsurgeon_block input\n"
    "flush set inet qsurgeon_block bad4\n"
    "flush set inet qsurgeon_block bad6\n"
    "add rule inet qsurgeon_block input tcp dport 25 ip saddr @bad4 counter drop\n"
    "add rule inet qsurgeon_block input tcp dport 25 ip6 saddr @bad6 counter drop\n";

/* One entry behind its comment. */
static char *add_line(char *text, const struct qs_block *block, const struct qs_block_entry *e)
{
    char range[QS_RANGE_TEXT], key[QS_RANGE_TEXT];
    int64_t rest = e->until - block->made;
    qs_network_text(range, &e->range);
    switch (block->format) {
    case QS_BLOCK_NFT:
        return talloc_asprintf_append_buffer(text, "add element inet qsurgeon_block bad%s { %s timeout %" PRId64 "s }\n",
                                             e->range.v6 ? "6" : "4", range, rest);
    case QS_BLOCK_POSTFIX_CIDR:
        return talloc_asprintf_append_buffer(text, "%s REJECT too many bad recipients from here; try again later\n", range);
    case QS_BLOCK_POSTSCREEN:
        return talloc_asprintf_append_buffer(text, "%s reject\n", range);
    case QS_BLOCK_SENDMAIL:
        access_key(key, sizeof key, &e->range);
        return talloc_asprintf_append_buffer(text, "Connect:%s\tREJECT\n", key);
    case QS_BLOCK_FAIL2BAN:
        return talloc_asprintf_append_buffer(text, "fail2ban-client set qsurgeon banip %s\n", range);
    case QS_BLOCK_RSPAMD:
    case QS_BLOCK_PLAIN:
        return talloc_asprintf_append_buffer(text, "%s\n", range);
    }
    return NULL;
}

static int64_t longest(const struct qs_block *block)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < block->count; i++)
        most = block->entry[i].until - block->made > most ? block->entry[i].until - block->made : most;
    return most;
}

char *qs_block_text(TALLOC_CTX *parent, const struct qs_block *block)
{
    char when[32], range[QS_RANGE_TEXT];
    char *text = talloc_asprintf(parent, "# qsurgeon block 1 %s made=%" PRId64 " entries=%u spared=%u\n# %s\n",
                                 format_name[block->format], block->made, block->count, block->spared_count,
                                 format_use[block->format]);
    if (text && block->format == QS_BLOCK_NFT)
        text = talloc_strdup_append_buffer(text, nft_head);
    /* a jail has one time for all of its bans: that of the newest. Who was banned by an older file stays so from that time on */
    if (text && block->format == QS_BLOCK_FAIL2BAN && block->count)
        text = talloc_asprintf_append_buffer(text, "fail2ban-client set qsurgeon bantime %" PRId64 "\n", longest(block));
    for (uint32_t i = 0; text && i < block->spared_count; i++)
        text = talloc_asprintf_append_buffer(text, "# spared %s\n", block->spared[i]);
    for (uint32_t i = 0; text && i < block->count; i++) {
        const struct qs_block_entry *e = &block->entry[i];
        text = talloc_asprintf_append_buffer(text, "# entry %s until=%" PRId64 " bad=%" PRIu64 " (%s)\n",
                                             qs_network_text(range, &e->range), e->until, e->bad, time_text(when, e->until));
        text = text ? add_line(text, block, e) : NULL;
    }
    return text;
}

/* --- reading ------------------------------------------------------------------------------------------- */

/* "until=123": the number behind the name. */
static bool number(struct qs_span word, const char *name, uint64_t *out)
{
    size_t len = strlen(name);
    return qs_span_starts(word, name) && qs_parse_u64((struct qs_span){word.ptr + len, word.len - len}, out) &&
           *out <= INT64_MAX / 2;
}

static bool read_head(struct qs_span line, struct qs_block *block)
{
    static const char head[] = "# qsurgeon block 1 ";
    struct qs_span word;
    uint64_t made;
    if (!qs_span_starts(line, head))
        return false;
    line.ptr += sizeof head - 1;
    line.len -= sizeof head - 1;
    if (!qs_span_cut(&line, ' ', &word) || !qs_block_format_parse(word, &block->format) || !qs_span_cut(&line, ' ', &word) ||
        !number(word, "made=", &made))
        return false;
    block->made = (int64_t)made;
    return true;
}

static bool read_entry(struct qs_span rest, struct qs_block *block, bool *ok)
{
    struct qs_span range, until, bad;
    struct qs_network n;
    uint64_t when, count;
    if (!qs_span_cut(&rest, ' ', &range) || !qs_span_cut(&rest, ' ', &until) || !qs_span_cut(&rest, ' ', &bad) ||
        qs_network_parse(range, &n, NULL) != QS_OK || !number(until, "until=", &when) || !number(bad, "bad=", &count))
        return false;
    struct qs_network masked = qs_network_around(&n, n.bits);
    *ok = add_entry(block, &masked, (int64_t)when, count);
    return true;
}

enum qs_status qs_block_read(TALLOC_CTX *parent, struct qs_span text, struct qs_block **out, struct qs_error *err)
{
    static const char spared[] = "# spared ", entry[] = "# entry ";
    struct qs_block *block = talloc_zero(parent, struct qs_block);
    struct qs_span rest = text, line;
    bool ok = block != NULL, good = ok && qs_span_cut(&rest, '\n', &line) && read_head(line, block);
    while (ok && good && qs_span_cut(&rest, '\n', &line)) {
        if (qs_span_starts(line, spared)) {
            char *words = talloc_strndup(block, line.ptr + sizeof spared - 1, line.len - (sizeof spared - 1));
            ok = words && add_spared(block, words);
            talloc_free(words);
        } else if (qs_span_starts(line, entry)) {
            good = read_entry((struct qs_span){line.ptr + sizeof entry - 1, line.len - (sizeof entry - 1)}, block, &ok);
        }
    }
    char *again = ok && good ? qs_block_text(block, block) : NULL;
    ok = ok && (!good || again);
    good = good && again && qs_span_is(text, again);
    if (ok && good) {
        talloc_free(again);
        *out = block;
        return QS_OK;
    }
    talloc_free(block);
    return ok ? qs_fail(err, QS_DATA, "not written by qsurgeon block, or cut off, or changed by hand since")
              : qs_fail(err, QS_NOMEM, "out of memory");
}
