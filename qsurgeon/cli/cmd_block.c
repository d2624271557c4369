/* SPDX-License-Identifier: Apache-2.0 */
/* block: keep the worst sources out for a while. */
#include "qsurgeon/block.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../prevent/replace.h"
#include "session.h"

enum { OVER = 20, HOURS_4 = 4 * 3600, FILE_MOST = 64 << 20, SPARED_SHOWN = 20 };

/* The addresses of this host: a talloc array. */
static enum qs_status own_addresses(TALLOC_CTX *parent, char ***out, size_t *count, struct qs_error *err)
{
    struct ifaddrs *all = NULL;
    char **list = talloc_array(parent, char *, 0), text[INET6_ADDRSTRLEN];
    size_t n = 0;
    bool ok = list != NULL;
    if (getifaddrs(&all) != 0)
        all = NULL;
    for (const struct ifaddrs *a = all; ok && a; a = a->ifa_next) {
        int family = a->ifa_addr ? a->ifa_addr->sa_family : AF_UNSPEC;
        const void *address = family == AF_INET ? (const void *)&((const struct sockaddr_in *)(const void *)a->ifa_addr)->sin_addr
            : family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)(const void *)a->ifa_addr)->sin6_addr : NULL;
        if (!address || !inet_ntop(family, address, text, sizeof text))
            continue;
        char **grown = talloc_realloc(parent, list, char *, (unsigned)n + 1);
        ok = grown && (grown[n] = talloc_strdup(parent, text)) != NULL;
        list = grown ? grown : list;
        n += ok;
    }
    if (all)
        freeifaddrs(all);
    if (!ok)
        return qs_fail(err, QS_NOMEM, "out of memory");
    *out = list;
    *count = n;
    return QS_OK;
}

static enum qs_status read_block(struct qs_call *call, const char *path, struct qs_block **out, struct qs_error *err)
{
    struct qs_span text;
    struct qs_error why = {""};
    enum qs_status status = qs_file_read(call->memory, path, FILE_MOST, &text, err);
    if (status != QS_OK)
        return status;
    status = qs_block_read(call->memory, text, out, &why);
    return status == QS_OK ? QS_OK : qs_fail(err, status, "%.200s: %s", path, why.text);
}

static enum qs_status write_block(struct qs_call *call, const char *path, const struct qs_block *block, struct qs_error *err)
{
    char *text = qs_block_text(call->memory, block);
    if (!text)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (path)
        return qs_file_replace(path, qs_span_of(text), 0644, err);
    fputs(text, call->out);
    return QS_OK;
}

static enum qs_status prune(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct qs_block *block = NULL;
    if (o->over || o->defer_for || o->format || o->output || o->log_count || !qs_selection_all(o->selection))
        return qs_fail(err, QS_USAGE, "--prune FILE goes without the options that choose sources");
    enum qs_status status = read_block(call, o->prune, &block, err);
    if (status != QS_OK)
        return status;
    uint32_t dropped = qs_block_prune(block, time(NULL));
    if (dropped || block->format == QS_BLOCK_NFT || block->format == QS_BLOCK_FAIL2BAN)     /* these say what time is left */
        status = write_block(call, o->prune, block, err);
    if (status == QS_OK)
        fprintf(call->out, "%u expired, %u left\n", dropped, block->count);
    return status;
}

static void tell(struct qs_call *call, const struct qs_block *block)
{
    for (uint32_t i = 0; i < block->spared_count && i < SPARED_SHOWN; i++)
        qs_complain("spared %s", block->spared[i]);
    if (block->spared_all > SPARED_SHOWN)
        qs_complain("spared %" PRIu64 " more, see the comments in the file", block->spared_all - SPARED_SHOWN);
    if (call->options->output)
        fprintf(call->out, "%u blocked, %" PRIu64 " spared\n", block->count, block->spared_all);
}

static bool any_attempt(const struct qs_sources *sources)
{
    for (uint32_t i = 0; i < sources->count[QS_SOURCE_ADDRESS]; i++) {
        const struct qs_source *s = &sources->of[QS_SOURCE_ADDRESS][i];
        if (s->tried_unknown || s->tried_relay || s->tried_other)
            return true;
    }
    return false;
}

static enum qs_status run(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    const int64_t window = o->defer_for > 0 ? o->defer_for : HOURS_4;
    struct qs_sources_wish how = {.logs = o->logs, .log_count = o->log_count};
    struct qs_block_wish wish = {.format = QS_BLOCK_PLAIN, .over = o->over ? o->over : OVER};
    struct qs_session *session = NULL;
    struct qs_sources *sources = NULL;
    struct qs_block *block = NULL, *older = NULL;
    char **own = NULL;
    if (o->prune)
        return prune(call, err);
    if (o->format && !qs_block_format_parse(qs_span_of(o->format), &wish.format))
        return qs_fail(err, QS_USAGE, "--format %.60s is none of nft, postfix-cidr, postscreen, sendmail-access, fail2ban, "
                       "rspamd, plain", o->format);
    enum qs_status status = own_addresses(call->memory, &own, &wish.own_count, err);
    wish.own = own;
    if (status == QS_OK && o->output && access(o->output, F_OK) == 0)
        status = read_block(call, o->output, &older, err);
    if (older && !o->format)
        wish.format = older->format;
    qs_logs_since(&how, o->selection->younger >= 0 ? o->selection->younger : window);
    if (status == QS_OK)
        status = qs_session_open(call, false, NULL, NULL, &session, err);
    if (status == QS_OK)
        status = qs_sources_count(call->memory, &session->view, session->selected, &how, &sources, err);
    if (status != QS_OK)
        return status;
    const struct qs_site *site = session->view.judgement->site;
    wish.now = time(NULL);
    wish.until = wish.now + window;
    status = qs_block_choose(call->memory, sources, site, &wish, &block, err);
    if (status == QS_OK && older)
        status = qs_block_merge(block, older, sources, site, &wish, err);
    if (status == QS_OK)
        status = write_block(call, o->output, block, err);
    if (status == QS_OK)
        tell(call, block);
    if (status == QS_OK && sources->old > 0 && !any_attempt(sources))
        qs_complain("all %" PRIu64 " attempts in the log are older than the time to block for, or than --younger: not counted",
                    sources->old);
    return status;
}

const struct qs_command qs_cmd_block = {
    .name = "block",
    .summary = "keep the worst sources out for a while: files for nft, Postfix and others",
    .arguments = "",
    .selects = true,
    .options = QS_OPTION(QS_OPT_OVER) | QS_OPTION(QS_OPT_FOR) | QS_OPTION(QS_OPT_FORMAT) | QS_OPTION(QS_OPT_OUTPUT) |
               QS_OPTION(QS_OPT_LOG) | QS_OPTION(QS_OPT_PRUNE),
    .description = "Formats: nft, postfix-cidr, postscreen, sendmail-access, fail2ban, rspamd, plain. For 4 hours unless --for\n"
                   "says otherwise. Nothing is loaded; the file says how. Who is trusted or sent real mail, too, is spared.\n"
                   "What has not expired in an older FILE stays. Attempts in a log count when they are no older than that\n"
                   "time, or than --younger.\n",
    .run = run,
};
