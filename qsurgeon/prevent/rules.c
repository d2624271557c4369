/* SPDX-License-Identifier: Apache-2.0 */
/* Text for other programs' configuration. Facts from postconf(5) check_sender_mx_access, access(5), cidr_table(5);
 * sendmail's cf/README on FEATURE(`badmx'), access map and mailertable; nft(8). That these programs understand it, and do
 * what is promised, is tested with them: tests/live/door.sh, tests/live/victim.sh. */
#include "qsurgeon/rules.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "qsurgeon/dns.h"
#include "qsurgeon/network.h"
#include "qsurgeon/table.h"

enum { DOMAINS_WRITTEN = 200, DOMAINS_NAMED = 3, RULES = 8 };

struct bad_domain {
    const char *name;
    enum qs_mx mx;
    uint32_t messages;
};

struct work {
    TALLOC_CTX *memory;             /* of the result */
    const struct qs_view *view;
    const struct qs_site *site;
    const struct qs_rules_wish *wish;
    const char *directory;          /* where the MTA's tables are */
    const char *postconf;           /* "postconf", with -c DIR where that is needed */
    struct bad_domain *bad;
    size_t bad_count;
    uint64_t bad_messages, bypass;
    bool private_found;
    struct qs_rule *rule;
    size_t count;
    bool failed;                    /* out of memory */
};

/* --- what is there ---------------------------------------------------------------------------------------------------- */

static int by_messages(const void *a, const void *b)
{
    const struct bad_domain *x = a, *y = b;
    if (x->messages != y->messages)
        return x->messages > y->messages ? -1 : 1;
    return strcmp(x->name, y->name);
}

static bool is_bad(enum qs_mx mx)
{
    return mx == QS_MX_LOOPBACK || mx == QS_MX_SELF || mx == QS_MX_PRIVATE;
}

/* Domains from which mail came, or to which it waits, that lead nowhere but here. */
static void find_domains(struct work *w, const uint8_t *selected)
{
    const struct qs_dns *dns = w->site->dns;
    const struct qs_scan *scan = w->view->scan;
    if (!dns)
        return;
    uint32_t *count = talloc_zero_array(w->memory, uint32_t, (unsigned)dns->count + 1);
    w->bad = talloc_array(w->memory, struct bad_domain, (unsigned)dns->count + 1);
    w->failed |= !count || !w->bad;
    for (uint32_t i = 0; !w->failed && i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        bool counts = false;
        for (uint32_t r = 0; r < m->recipient_count && (!selected || selected[i]); r++) {
            struct qs_span address = qs_sym_span(scan->strings, m->recipients[r].address);
            const char *at = address.len ? memrchr(address.ptr, '@', address.len) : NULL;
            struct qs_span domain = {at ? at + 1 : "", at ? address.len - (size_t)(at + 1 - address.ptr) : 0};
            const struct qs_route *route = m->recipients[r].state == QS_RCPT_TODO ? qs_dns_find(dns, domain) : NULL;
            if (!route || !is_bad(route->mx))
                continue;
            counts = true;
            count[route - dns->route]++;
            w->private_found |= route->mx == QS_MX_PRIVATE;
        }
        w->bad_messages += counts;
    }
    for (size_t d = 0; !w->failed && d < dns->count; d++)
        if (count[d])
            w->bad[w->bad_count++] = (struct bad_domain){dns->route[d].domain, dns->route[d].mx, count[d]};
    if (!w->failed && w->bad_count)
        qsort(w->bad, w->bad_count, sizeof *w->bad, by_messages);
    talloc_free(count);
}

/* --- text -------------------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4)))
static void add(struct work *w, char **text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *grown = *text ? talloc_vasprintf_append_buffer(*text, format, args) : talloc_vasprintf(w->memory, format, args);
    va_end(args);
    w->failed |= !grown;
    if (grown)
        *text = grown;
}

static struct qs_rule *new_rule(struct work *w, const char *name, const char *program)
{
    struct qs_rule *rule = &w->rule[w->count++];
    *rule = (struct qs_rule){.name = name, .program = program};
    return rule;
}

__attribute__((format(printf, 3, 4)))
static void command(struct work *w, struct qs_rule *rule, const char *format, ...)
{
    va_list args;
    char **grown = talloc_realloc(w->memory, rule->command, char *, (unsigned)rule->command_count + 1);
    w->failed |= !grown;
    if (!grown)
        return;
    rule->command = grown;
    va_start(args, format);
    grown[rule->command_count] = talloc_vasprintf(grown, format, args);
    va_end(args);
    w->failed |= !grown[rule->command_count++];
}

static const char *in_directory(struct work *w, const char *name)
{
    char *path = NULL;
    add(w, &path, "%s/%s", w->directory, name);
    return path;
}

/* The sentence that says what the rule is for. */
static char *why_mx(struct work *w, const char *what)
{
    char *why = NULL;
    add(w, &why, "Refuses %s whose MX is a loopback address", what);
    if (w->private_found || w->wish->about == QS_RULES_MX)
        add(w, &why, " or a private one");
    add(w, &why, ": answers to it come back to this host for ever.");
    if (w->bad_count)
        add(w, &why, " Here: %llu message%s to", (unsigned long long)w->bad_messages, w->bad_messages == 1 ? "" : "s");
    for (size_t d = 0; d < w->bad_count && d < DOMAINS_NAMED; d++)
        add(w, &why, "%s %s (%s)", d ? "," : "", w->bad[d].name, qs_mx_name(w->bad[d].mx));
    if (w->bad_count > DOMAINS_NAMED)
        add(w, &why, " and %zu more domains", w->bad_count - DOMAINS_NAMED);
    if (w->bad_count)
        add(w, &why, ".");
    return why;
}

/* The network as text with its bits behind the prefix cleared, for programs that insist on that. */
static const char *write_network(const struct qs_network *n, char to[64])
{
    struct qs_network clear = *n;
    char address[INET6_ADDRSTRLEN];
    for (unsigned bit = n->bits; bit < (n->v6 ? 128u : 32u); bit++)
        clear.address[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
    inet_ntop(n->v6 ? AF_INET6 : AF_INET, clear.address, address, sizeof address);
    snprintf(to, 64, "%s/%u", address, n->bits);
    return to;
}

/* --- mail that comes back ----------------------------------------------------------------------------------------------- */

static const char *const loopback[] = {"127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128", "::ffff:0:0/96"};
static const char *const private[] = {"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12",
                                      "192.168.0.0/16", "224.0.0.0/3", "fc00::/7", "fe80::/10", "ff00::/8"};

static void postfix_table(struct work *w, char **text, bool with_private)
{
    char net[64];
    add(w, text, "# Addresses that no domain on the Internet can have as its mail server. The first line that fits counts.\n");
    for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++)
        add(w, text, "%-20s REJECT Mail for that domain would go to a loopback address\n", loopback[i]);
    if (!with_private)
        return;
    for (size_t i = 0; i < w->site->network_count; i++) {
        struct qs_network n;
        if (qs_network_parse(qs_span_of(w->site->networks[i]), &n, NULL) == QS_OK && n.bits &&
            qs_mx_of_address(&n) == QS_MX_PRIVATE)
            add(w, text, "%-20s DUNNO\n", write_network(&n, net));
    }
    for (size_t i = 0; i < sizeof private / sizeof *private; i++)
        add(w, text, "%-20s REJECT Mail for that domain would go to an address that is not on the Internet\n", private[i]);
}

static void prepend(struct work *w, struct qs_rule *rule, const char *parameter, const char *what)
{
    command(w, rule, "%s -e \"%s = %s, $(%s -h %s)\"", w->postconf, parameter, what, w->postconf, parameter);
}

static const char *config_option(const struct work *w)
{
    return w->postconf + strlen("postconf");
}

static void mx_postfix(struct work *w)
{
    bool with_private = w->private_found || w->wish->about == QS_RULES_MX;
    char *text = NULL, *what = NULL;
    struct qs_rule *sender = new_rule(w, "sender-mx", "postfix");
    postfix_table(w, &text, with_private);
    sender->why = why_mx(w, "senders");
    sender->file = in_directory(w, "qsurgeon-mx.cidr");
    sender->text = text;
    sender->whole = true;
    add(w, &what, "check_sender_mx_access cidr:%s", sender->file);
    command(w, sender, "postmap%s -q 127.0.0.1 cidr:%s", config_option(w), sender->file);
    prepend(w, sender, "smtpd_sender_restrictions", what ? what : "");
    command(w, sender, "postfix%s reload", config_option(w));

    struct qs_rule *recipient = new_rule(w, "recipient-mx", "postfix");
    char *guard = NULL, *check = NULL;
    recipient->why = why_mx(w, "mail that clients submit to recipients");
    recipient->file = in_directory(w, "qsurgeon-mx-recipient.cidr");
    recipient->text = text;
    recipient->whole = true;
    /* a class of restrictions behind a pattern, so that mail for ourselves is never looked up */
    add(w, &check, "check_recipient_mx_access cidr:%s", recipient->file);
    add(w, &guard, "check_recipient_access regexp:{{!/@(localhost|.*\\.localdomain)$$/ qsurgeon_mx}}");
    command(w, recipient, "%s -e \"smtpd_restriction_classes = qsurgeon_mx, $(%s -h smtpd_restriction_classes)\" \"qsurgeon_mx = %s\"",
            w->postconf, w->postconf, check ? check : "");
    command(w, recipient, "%s -e 'smtpd_recipient_restrictions = %s, '\"$(%s -h smtpd_recipient_restrictions)\"", w->postconf,
            guard ? guard : "", w->postconf);
    command(w, recipient, "postfix%s reload", config_option(w));
}

static void mx_sendmail(struct work *w)
{
    bool with_private = w->private_found || w->wish->about == QS_RULES_MX;
    struct qs_rule *sender = new_rule(w, "sender-mx", "sendmail");
    char *text = NULL;
    sender->why = why_mx(w, "senders");
    sender->file = in_directory(w, "sendmail.mc");
    add(w, &text, "dnl before the MAILER lines\nFEATURE(`badmx', `^(127\\.|0\\.0\\.0\\.0%s)')dnl\n",
        with_private ? "|10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.|169\\.254\\.|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\." : "");
    sender->text = text;
    command(w, sender, "make -C %s", w->directory);
    command(w, sender, "kill -HUP $(head -n 1 /run/sendmail/mta/sendmail.pid)");
    if (!w->bad_count)
        return;
    struct qs_rule *domains = new_rule(w, "domains", "sendmail");
    char *lines = NULL;
    domains->why = "Refuses the domains that were found, by name, wherever their MX points tomorrow; "
                   "mail to them where sendmail.mc has FEATURE(`blacklist_recipients').";
    domains->file = in_directory(w, "access");
    for (size_t d = 0; d < w->bad_count && d < DOMAINS_WRITTEN; d++)
        add(w, &lines, "From:%s\tERROR:5.1.8:550 5.1.8 Mail for that domain comes back to us\n"
                       "To:%s\tERROR:5.4.6:550 5.4.6 Mail for that domain comes back to us\n", w->bad[d].name, w->bad[d].name);
    domains->text = lines;
    command(w, domains, "makemap hash %s/access < %s/access", w->directory, w->directory);
    struct qs_rule *mailer = new_rule(w, "mailertable", "sendmail");
    char *table = NULL;
    mailer->why = "Ends what this host itself still makes for them, such as bounces: they fail at once.";
    mailer->file = in_directory(w, "mailertable");
    for (size_t d = 0; d < w->bad_count && d < DOMAINS_WRITTEN; d++)
        add(w, &table, "%s\terror:5.4.6:550 Mail for that domain comes back to us\n", w->bad[d].name);
    mailer->text = table;
    command(w, mailer, "makemap hash %s/mailertable < %s/mailertable", w->directory, w->directory);
}

/* --- the back door ------------------------------------------------------------------------------------------------------ */

/* Calls for each range that may come in: the trusted relays and our own networks. */
static void each_admitted(struct work *w, bool v6, char **text, const char *before, const char *behind)
{
    char *const *lists[] = {w->site->trusted_relays, w->site->networks};
    const size_t counts[] = {w->site->trusted_relay_count, w->site->network_count};
    char net[64];
    for (unsigned l = 0; l < 2; l++)
        for (size_t i = 0; i < counts[l]; i++) {
            struct qs_network n;
            if (qs_network_parse(qs_span_of(lists[l][i]), &n, NULL) == QS_OK && n.v6 == v6)
                add(w, text, "%s%s%s", before, write_network(&n, net), behind);
        }
}

static void door_why(struct work *w, struct qs_rule *rule, const char *how)
{
    char *why = NULL;
    add(w, &why, "Admits the trusted relays and our own networks only%s", how);
    if (w->bypass)
        add(w, &why, ": %llu message%s in this queue came around them", (unsigned long long)w->bypass, w->bypass == 1 ? "" : "s");
    add(w, &why, ".");
    rule->why = why;
}

static void door_postfix(struct work *w)
{
    struct qs_rule *rule = new_rule(w, "door-postfix", "postfix");
    char *text = NULL, *what = NULL;
    door_why(w, rule, ", by Postfix: others are told to try again, which real servers do at the domain's first MX");
    rule->file = in_directory(w, "qsurgeon-door.cidr");
    rule->whole = true;
    each_admitted(w, false, &text, "", "\tDUNNO\n");
    each_admitted(w, true, &text, "", "\tDUNNO\n");
    add(w, &text, "0.0.0.0/0\t450 4.7.1 This host takes mail from its filter only; use the first MX of the domain\n"
                  "::/0\t450 4.7.1 This host takes mail from its filter only; use the first MX of the domain\n");
    rule->text = text;
    add(w, &what, "permit_mynetworks, permit_sasl_authenticated, check_client_access cidr:%s", rule->file);
    command(w, rule, "postmap%s -q 192.0.2.1 cidr:%s", config_option(w), rule->file);
    prepend(w, rule, "smtpd_client_restrictions", what ? what : "");
    command(w, rule, "postfix%s reload", config_option(w));
}

static void door_nft(struct work *w)
{
    struct qs_rule *rule = new_rule(w, "door-nft", "nftables");
    char *v4 = NULL, *v6 = NULL, *text = NULL;
    door_why(w, rule, ", by the packet filter: port 25 is closed to others, as if no server were there");
    rule->file = "/etc/qsurgeon-door.nft";
    rule->whole = true;
    each_admitted(w, false, &v4, "            ", ",\n");
    each_admitted(w, true, &v6, "            ", ",\n");
    add(w, &text, "table inet qsurgeon_door\ndelete table inet qsurgeon_door\ntable inet qsurgeon_door {\n");
    if (v4)
        add(w, &text, "    set admitted4 {\n        type ipv4_addr\n        flags interval\n        auto-merge\n        elements = {\n%s        }\n    }\n", v4);
    if (v6)
        add(w, &text, "    set admitted6 {\n        type ipv6_addr\n        flags interval\n        auto-merge\n        elements = {\n%s        }\n    }\n", v6);
    add(w, &text, "    chain input {\n        type filter hook input priority -10; policy accept;\n        iif \"lo\" accept\n%s%s"
                  "        tcp dport 25 reject with tcp reset\n    }\n}\n",
        v4 ? "        tcp dport 25 ip saddr @admitted4 accept\n" : "",
        v6 ? "        tcp dport 25 ip6 saddr @admitted6 accept\n" : "");
    rule->text = text;
    command(w, rule, "nft -c -f %s", rule->file);
    command(w, rule, "nft -f %s", rule->file);
    command(w, rule, "grep -qs %s /etc/nftables.conf || echo 'include \"%s\"' >> /etc/nftables.conf", rule->file, rule->file);
}

/* --- all ----------------------------------------------------------------------------------------------------------------- */

static bool is_plain(const char *path)
{
    return *path == '/' && strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == strlen(path);
}

static enum qs_status find_directory(struct work *w, struct qs_error *err)
{
    const char *config = w->wish->config;
    bool postfix = strcmp(w->wish->mta, "postfix") == 0;
    const char *usual = postfix ? "/etc/postfix" : "/etc/mail";
    char *directory = talloc_strdup(w->memory, config ? config : usual), *postconf = NULL;
    char *slash = directory && !postfix && config ? strrchr(directory, '/') : NULL;
    if (slash && slash > directory)
        *slash = '\0';              /* of sendmail.cf */
    if (!directory)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (!is_plain(directory))
        return qs_fail(err, QS_USAGE, "%.100s: rules cannot name such a directory", directory);
    w->directory = directory;
    if (strcmp(directory, usual) == 0)
        add(w, &postconf, "postconf");
    else
        add(w, &postconf, "postconf -c %s", directory);
    w->postconf = postconf;
    return postconf ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
}

enum qs_status qs_rules_make(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                             const struct qs_rules_wish *wish, struct qs_rule **list, size_t *count, struct qs_error *err)
{
    struct qs_rule *rules = talloc_zero_array(NULL, struct qs_rule, RULES);
    struct work w = {.memory = rules, .view = view, .site = view->judgement->site, .wish = wish, .rule = rules};
    enum qs_status status = rules ? find_directory(&w, err) : qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK && wish->about == QS_RULES_DOOR && !w.site->trusted_relay_count)
        status = qs_fail(err, QS_USAGE, "the site has no trusted_relays; name them in the site file (--site FILE)");
    if (status == QS_OK) {
        bool postfix = strcmp(wish->mta, "postfix") == 0;
        find_domains(&w, selected);
        for (uint32_t i = 0; i < view->scan->count; i++)
            if (!selected || selected[i])
                w.bypass += qs_marks_of(view->judgement, i) >> QS_MARK_BYPASS & 1;
        if (wish->about == QS_RULES_MX || (wish->about == QS_RULES_FOUND && w.bad_count))
            (postfix ? mx_postfix : mx_sendmail)(&w);
        if (wish->about == QS_RULES_DOOR || (wish->about == QS_RULES_FOUND && w.bypass)) {
            if (postfix)
                door_postfix(&w);
            door_nft(&w);
        }
    }
    if (status == QS_OK && w.failed)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK) {
        *list = talloc_steal(parent, rules);
        *count = w.count;
    } else {
        talloc_free(rules);
    }
    return status;
}
