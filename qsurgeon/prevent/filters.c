/* SPDX-License-Identifier: Apache-2.0 */
/* Mined rules in the words of mail filters: see mine.h. All that comes from mail is in the pattern, which is ASCII and
 * quoted already, and in the name of a field, which is printable ASCII without a colon.
 *
 * header_checks(5), pcre_table(5), regexp_table(5); sendmail's cf/README (regex maps, header checks); Mail::SpamAssassin::Conf;
 * Rspamd's regexp module; RFC 5228, 5173, 5429 (reject, for ereject is not widely known) and draft-ietf-sieve-regex. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "qsurgeon/mine.h"

static const char *const format_names[QS_MINE_FORMATS] = {
    [QS_MINE_POSTFIX_PCRE] = "postfix-pcre", [QS_MINE_POSTFIX_REGEXP] = "postfix-regexp",
    [QS_MINE_SENDMAIL] = "sendmail", [QS_MINE_SPAMASSASSIN] = "spamassassin",
    [QS_MINE_RSPAMD] = "rspamd", [QS_MINE_SIEVE] = "sieve",
};
static const char *const action_names[] = {
    [QS_MINE_REJECT] = "REJECT", [QS_MINE_HOLD] = "HOLD", [QS_MINE_DISCARD] = "DISCARD",
};

bool qs_mine_format_parse(struct qs_span word, enum qs_mine_format *out)
{
    for (unsigned i = 0; i < QS_MINE_FORMATS; i++)
        if (qs_span_is(word, format_names[i])) {
            *out = (enum qs_mine_format)i;
            return true;
        }
    return false;
}

bool qs_mine_action_parse(struct qs_span word, enum qs_mine_action *out)
{
    for (unsigned i = 0; i < sizeof action_names / sizeof *action_names; i++)
        if (qs_span_is_nocase(word, action_names[i])) {
            *out = (enum qs_mine_action)i;
            return true;
        }
    return false;
}

struct writer {
    struct qs_buffer *to;
    const struct qs_view *view;
    const struct qs_mined *mined;
    enum qs_mine_action action;
    const char *dir;                /* where Postfix finds the tables */
    bool lost;                      /* out of memory */
};

static void say(struct writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct writer *w, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    const int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (len < 0 || !qs_buffer_reserve(w->to, (size_t)len + 1)) {
        w->lost = true;
    } else {
        vsnprintf(w->to->data + w->to->len, (size_t)len + 1, format, again);
        w->to->len += (size_t)len;
    }
    va_end(again);
}

/* A text with `before` put in front of each of `these`. */
static void say_escaped(struct writer *w, const char *text, const char *these, const char *before)
{
    for (; *text; text++)
        say(w, "%s%c", strchr(these, *text) ? before : "", *text);
}

/* A rule's name in letters, digits and underscores: "QS_7F3A9B2C_1". */
static void say_name(struct writer *w, const char *name)
{
    say(w, "QS_");
    for (name += strncmp(name, "C-", 2) == 0 ? 2 : 0; *name; name++)
        say(w, "%c", *name == '-' ? '_' : *name >= 'a' && *name <= 'z' ? *name - 32 : *name);
}

static const struct qs_group *group_of(const struct writer *w, const struct qs_mined_group *g)
{
    return &w->view->judgement->group[g->group];
}

static const struct qs_mined_group *of_rule(const struct writer *w, const struct qs_mined_rule *rule)
{
    return &w->mined->group[rule->group];
}

static void say_head(struct writer *w, const char *mark, const char *what)
{
    const struct qs_mined *m = w->mined;
    say(w, "%s %s, by qsurgeon rules mine.\n", mark, what);
    say(w, "%s Tested on %u real messages of the queue and %u of directories: no rule matches any of them.\n", mark,
        m->good_queue, m->good_files);
    if (m->good_queue + m->good_files < 50)
        say(w, "%s That is little to tell real mail by: give a directory of real messages with --good.\n", mark);
}

static void say_group(struct writer *w, const char *mark, const struct qs_mined_group *g)
{
    const struct qs_group *group = group_of(w, g);
    say(w, "\n%s %s: %s, %s. Its rules catch %u of the %u messages they were made from", mark, group->name,
        qs_verdict_name((enum qs_verdict)group->verdict), qs_cause_name((enum qs_cause)group->cause), g->train_caught,
        g->train);
    if (g->later > 0)
        say(w, ", and %u of %u that came later (%.1f%%)", g->later_caught, g->later, 100.0 * g->later_caught / g->later);
    say(w, ".\n");
    if (group->cause == QS_CAUSE_BACKSCATTER_OUT)
        say(w, "%s These are bounces that this host makes: Postfix checks them only with\n%s "
               "internal_mail_filter_classes = bounce. Better refuse what they are about.\n", mark, mark);
}

static void say_hits(struct writer *w, const char *mark, const struct qs_mined_rule *rule, bool top)
{
    const struct qs_mined_group *g = of_rule(w, rule);
    const uint32_t train = top && rule->field ? rule->top_train : rule->train;
    const uint32_t later = top && rule->field ? rule->top_later : rule->later;
    say(w, "%s %s: hits %u, misses %u of those it was made from; ", mark, rule->name, train, g->train - train);
    if (g->later > 0)
        say(w, "hits %u, misses %u later; ", later, g->later - later);
    say(w, "0 real\n");
}

/* Does the rule fit a filter that sees only the message's own header? */
static bool in_top(const struct qs_mined_rule *rule)
{
    return !rule->field || rule->top_train + rule->top_later > 0;
}

/* --- Postfix ----------------------------------------------------------------------------------------- */

static void say_postfix_action(struct writer *w, const char *why, const char *name)
{
    switch (w->action) {
    case QS_MINE_REJECT:
        say(w, "REJECT 5.7.1 Message refused, %s%s", why, name);
        return;
    case QS_MINE_HOLD:
        say(w, "HOLD %s%s", why, name);
        return;
    case QS_MINE_DISCARD:
        say(w, "DISCARD %s%s", why, name);
        return;
    }
}

static void say_postfix_part(struct writer *w, bool header, const char *kind)
{
    const struct qs_mined *m = w->mined;
    say(w, "# %s_checks = %s:%s/%s_checks.%s\n", header ? "header" : "body", kind, w->dir, header ? "header" : "body", kind);
    say_head(w, "#", header ? "Header rules" : "Body rules");
    for (size_t i = 0; i < m->group_count; i++) {
        const struct qs_mined_group *g = &m->group[i];
        say_group(w, "#", g);
        for (uint32_t r = 0; r < g->rules; r++) {
            const struct qs_mined_rule *rule = &m->rule[g->first_rule + r];
            if ((rule->field != NULL) != header)
                continue;
            say_hits(w, "#", rule, false);
            say(w, "/");
            if (header) {
                say(w, "^");
                say_escaped(w, rule->field, ".[](){}*+?|^$\\/", "\\");
                say(w, ":.*");
            }
            say(w, "%s/ ", rule->pattern);
            say_postfix_action(w, "pattern ", rule->name);
            say(w, "\n");
        }
    }
}

static const char notice[] = "notice to a forged sender";

static void say_notices_head(struct writer *w, const char *mark)
{
    const struct qs_mined *m = w->mined;
    say(w, "%s Users to whom notices about mail come that others sent in their name. This stops all notices to them, also\n"
           "%s those about mail of their own: only while the storm lasts. Anybody can send notices to a user to get him in\n"
           "%s here: look at the names. ", mark, mark, mark);
    say(w, "No notice to them in the queue may be real%s.\n", m->good_files ? ", none in the directories is" : "");
}

/* What the group's victims catch, and for each of them a line of the table. */
static void say_victims(struct writer *w, const char *mark, const struct qs_mined_group *g,
                        void (*say_victim)(struct writer *w, uint32_t victim))
{
    for (uint32_t v = g->first_victim; v < g->first_victim + g->victims; v++) {
        say(w, "%s %s: hits %u of those it was made from; ", mark, group_of(w, g)->name, w->mined->victim[v].train);
        if (g->later > 0)
            say(w, "hits %u later; ", w->mined->victim[v].later);
        say(w, "0 real\n");
        say_victim(w, v);
    }
}

static void say_postfix_victim(struct writer *w, uint32_t victim)
{
    say(w, "/^");
    say_escaped(w, w->mined->victim[victim].address, ".+", "\\");
    say(w, "$/ qsurgeon_notices\n");
}

/* Behind DATA, where servers that only ask whether a sender exists have hung up, and with one recipient only. */
static void say_postfix_notices(struct writer *w, const char *kind)
{
    const struct qs_mined *m = w->mined;
    if (m->victim_count == 0) {
        say(w, "# Forged senders, by qsurgeon rules mine: nobody here, or they get notices that may be real.\n");
        return;
    }
    say(w, "# smtpd_restriction_classes = qsurgeon_notices\n"
           "# qsurgeon_notices = check_sender_access inline:{{<> = ");
    say_postfix_action(w, notice, "");
    say(w, "}}\n"
           "# smtpd_data_restrictions = check_recipient_access %s:%s/notices.%s\n"
           "# Forged senders, by qsurgeon rules mine. What main.cf has there already is to be kept: put these behind it.\n",
        kind, w->dir, kind);
    say_notices_head(w, "#");
    for (size_t i = 0; i < m->group_count; i++) {
        const struct qs_mined_group *g = &m->group[i];
        if (g->victims == 0)
            continue;
        say(w, "\n# %s: %s, %s. With the header and body rules, this catches %u of the %u messages it was made from",
            group_of(w, g)->name, qs_verdict_name((enum qs_verdict)group_of(w, g)->verdict),
            qs_cause_name((enum qs_cause)group_of(w, g)->cause), g->train_either, g->train);
        if (g->later > 0)
            say(w, ",\n# and %u of %u that came later (%.1f%%)", g->later_either, g->later, 100.0 * g->later_either / g->later);
        say(w, ".\n");
        say_victims(w, "#", g, say_postfix_victim);
    }
}

static void say_postfix(struct writer *w, enum qs_mine_part part, const char *kind)
{
    if (part == QS_MINE_ALL || part == QS_MINE_HEADER)
        say_postfix_part(w, true, kind);
    if (part == QS_MINE_ALL)
        say(w, "\n");
    if (part == QS_MINE_ALL || part == QS_MINE_BODY)
        say_postfix_part(w, false, kind);
    if (part == QS_MINE_ALL)
        say(w, "\n");
    if (part == QS_MINE_ALL || part == QS_MINE_NOTICES)
        say_postfix_notices(w, kind);
}

/* --- sendmail ---------------------------------------------------------------------------------------- */

/* Characters that m4 or the configuration file would take for their own. */
static bool fits_sendmail(const struct qs_mined_rule *rule)
{
    return rule->field && in_top(rule) && !strpbrk(rule->pattern, "`'#$ ") && !strpbrk(rule->field, "`'#$,()\\");
}

static void say_ruleset(struct writer *w, const char *field)
{
    say(w, "QsCheck_");
    for (; *field; field++)
        say(w, "%c", (*field >= '0' && *field <= '9') || (*field >= 'a' && *field <= 'z') ||
                     (*field >= 'A' && *field <= 'Z') ? *field : '_');
}

/* The first rule that is written of its field? */
static bool first_of_field(const struct qs_mined *m, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (fits_sendmail(&m->rule[i]) && qs_span_is_nocase(qs_span_of(m->rule[i].field), m->rule[at].field))
            return false;
    return true;
}

static void say_sendmail_action(struct writer *w, const char *why, const char *name)
{
    switch (w->action) {
    case QS_MINE_REJECT:
        say(w, "$#error $@ 5.7.1 $: \"550 5.7.1 Message refused, %s%s\"\n", why, name);
        return;
    case QS_MINE_HOLD:
        say(w, "$#error $@ quarantine $: %s%s\n", why, name);
        return;
    case QS_MINE_DISCARD:
        say(w, "$#discard $: discard\n");
        return;
    }
}

static void say_sendmail_field(struct writer *w, const char *field)
{
    const struct qs_mined *m = w->mined;
    say(w, "H%s: $>+", field);
    say_ruleset(w, field);
    say(w, "\nS");
    say_ruleset(w, field);
    say(w, "\n");
    for (size_t i = 0; i < m->rule_count; i++) {
        if (!fits_sendmail(&m->rule[i]) || !qs_span_is_nocase(qs_span_of(m->rule[i].field), field))
            continue;
        say(w, "R$*\t\t\t$: $(");
        say_name(w, m->rule[i].name);
        say(w, " $&{currHeader} $: OK $)\nR@MATCH\t\t\t");
        say_sendmail_action(w, "pattern ", m->rule[i].name);
    }
}

static void say_sendmail_victim(struct writer *w, uint32_t victim)
{
    say(w, "dnl `KQS_NOTICE_%u regex -a@MATCH ^<?", victim + 1);
    say_escaped(w, w->mined->victim[victim].address, ".+", "\\");
    say(w, ">?$'\n");
}

/* As Postfix has it: behind DATA, with one recipient, whose address is kept for that; $f is empty for the empty sender. */
static void say_sendmail_notices(struct writer *w)
{
    const struct qs_mined *m = w->mined;
    say(w, "\n");
    say_notices_head(w, "dnl #");
    say(w, "dnl # To use this, take \"dnl \" with its blank off the lines that follow. Rulesets of these names that are there already\n"
           "dnl # must be joined with them by hand.\ndnl LOCAL_CONFIG\ndnl `KQS_STORE macro'\n");
    for (size_t i = 0; i < m->group_count; i++)
        say_victims(w, "dnl #", &m->group[i], say_sendmail_victim);
    say(w, "dnl LOCAL_RULESETS\ndnl SLocal_check_rcpt\n"
           "dnl R$*\t\t\t$: $(QS_STORE {QsRecipient} $@ $1 $) $1\n"
           "dnl Scheck_data\ndnl R1\t\t\t$: 1 $| $&f\n");
    for (uint32_t v = 0; v < m->victim_count; v++)
        say(w, "dnl R1 $|\t\t\t$: $(QS_NOTICE_%u $&{QsRecipient} $: 1 $) $|\n", v + 1);
    say(w, "dnl R@MATCH $|\t\t");
    say_sendmail_action(w, notice, "");
}

static void say_sendmail(struct writer *w)
{
    const struct qs_mined *m = w->mined;
    uint32_t left_out = 0;
    say_head(w, "dnl #", "Lines for the end of sendmail.mc");
    for (size_t i = 0; i < m->rule_count; i++)
        left_out += !fits_sendmail(&m->rule[i]);
    if (left_out > 0)
        say(w, "dnl # Left out: %u rules of %zu, which look at the body, at MIME parts, or have characters that\n"
               "dnl # sendmail.mc cannot hold; sendmail itself looks at header fields alone.\n", left_out, m->rule_count);
    say(w, "LOCAL_CONFIG\n");
    for (size_t i = 0; i < m->group_count; i++) {
        const struct qs_mined_group *g = &m->group[i];
        say_group(w, "dnl #", g);
        for (uint32_t r = 0; r < g->rules; r++) {
            const struct qs_mined_rule *rule = &m->rule[g->first_rule + r];
            if (!fits_sendmail(rule))
                continue;
            say_hits(w, "dnl #", rule, true);
            say(w, "`K");
            say_name(w, rule->name);
            say(w, " regex -a@MATCH %s'\n", rule->pattern);
        }
    }
    say(w, "\nLOCAL_RULESETS\n");
    for (size_t i = 0; i < m->rule_count; i++)
        if (fits_sendmail(&m->rule[i]) && first_of_field(m, i))
            say_sendmail_field(w, m->rule[i].field);
    if (m->victim_count > 0)
        say_sendmail_notices(w);
}

/* --- content filters --------------------------------------------------------------------------------- */

typedef void (*say_rule)(struct writer *w, const struct qs_mined_rule *rule);

static void say_rules(struct writer *w, const char *mark, say_rule fn)
{
    const struct qs_mined *m = w->mined;
    uint32_t left_out = 0;
    for (size_t i = 0; i < m->rule_count; i++)
        left_out += !in_top(&m->rule[i]);
    if (left_out > 0)
        say(w, "%s Left out: %u rules for fields of MIME parts.\n", mark, left_out);
    for (size_t i = 0; i < m->group_count; i++) {
        const struct qs_mined_group *g = &m->group[i];
        say_group(w, mark, g);
        for (uint32_t r = 0; r < g->rules; r++) {
            if (!in_top(&m->rule[g->first_rule + r]))
                continue;
            say_hits(w, mark, &m->rule[g->first_rule + r], true);
            fn(w, &m->rule[g->first_rule + r]);
        }
    }
}

static void say_spamassassin_rule(struct writer *w, const struct qs_mined_rule *rule)
{
    if (rule->field) {
        say(w, "header ");
        say_name(w, rule->name);
        say(w, " %s:raw =~ /", rule->field);
    } else {
        say(w, "full ");
        say_name(w, rule->name);
        say(w, " /");
    }
    say_escaped(w, rule->pattern, "#", "\\");
    say(w, "/i\ndescribe ");
    say_name(w, rule->name);
    say(w, " Mined from storm %s\nscore ", rule->name);
    say_name(w, rule->name);
    say(w, " %s\n", w->action == QS_MINE_HOLD ? "4.0" : "10.0");
}

static void say_rspamd_rule(struct writer *w, const struct qs_mined_rule *rule)
{
    say(w, "config['regexp']['");
    say_name(w, rule->name);
    say(w, "'] = {\n  re = [==[%s%s/%s/i%s]==],\n  score = %s,\n  group = 'qsurgeon',\n"
           "  description = 'mined from storm %s',\n}\n",
        rule->field ? rule->field : "", rule->field ? "=" : "", rule->pattern, rule->field ? "{raw_header}" : "{body}",
        w->action == QS_MINE_HOLD ? "4.0" : "15.0", rule->name);
}

static void say_sieve_action(struct writer *w, const char *name)
{
    switch (w->action) {
    case QS_MINE_REJECT:
        say(w, "reject \"Message refused, pattern %s\"", name);
        return;
    case QS_MINE_HOLD:
        say(w, "fileinto \"Quarantine\"");
        return;
    case QS_MINE_DISCARD:
        say(w, "discard");
        return;
    }
}

static void say_sieve_rule(struct writer *w, const struct qs_mined_rule *rule)
{
    if (rule->field)
        say(w, "if header :regex \"%s\" \"", rule->field);
    else
        say(w, "if body :raw :regex \"");
    say_escaped(w, rule->pattern, "\\\"", "\\");
    say(w, "\" { ");
    say_sieve_action(w, rule->name);
    say(w, "; stop; }\n");
}

static const char *sieve_extension(enum qs_mine_action action)
{
    switch (action) {
    case QS_MINE_REJECT:
        return ", \"reject\"";
    case QS_MINE_HOLD:
        return ", \"fileinto\"";
    case QS_MINE_DISCARD:
        return "";
    }
    return "";
}

enum qs_status qs_mine_write(struct qs_buffer *to, const struct qs_view *view, const struct qs_mined *mined,
                             enum qs_mine_format format, enum qs_mine_part part, enum qs_mine_action action,
                             const char *dir, struct qs_error *err)
{
    struct writer w = {.to = to, .view = view, .mined = mined, .action = action, .dir = dir ? dir : "/etc/postfix"};
    const size_t before = to->len;
    switch (format) {
    case QS_MINE_POSTFIX_PCRE:
        say_postfix(&w, part, "pcre");
        break;
    case QS_MINE_POSTFIX_REGEXP:
        say_postfix(&w, part, "regexp");
        break;
    case QS_MINE_SENDMAIL:
        say_sendmail(&w);
        break;
    case QS_MINE_SPAMASSASSIN:
        say_head(&w, "#", "Rules for SpamAssassin");
        say_rules(&w, "#", say_spamassassin_rule);
        break;
    case QS_MINE_RSPAMD:
        say_head(&w, "--", "Rules for Rspamd, for rspamd.local.lua");
        say_rules(&w, "--", say_rspamd_rule);
        break;
    case QS_MINE_SIEVE:
        say_head(&w, "#", "A Sieve script");
        if (action == QS_MINE_REJECT)
            say(&w, "# reject may write to the sender, whom storms forge: better --action DISCARD or HOLD.\n");
        say(&w, "require [\"body\", \"regex\"%s];\n", sieve_extension(action));
        say_rules(&w, "#", say_sieve_rule);
        break;
    }
    if (w.lost)
        to->len = before;
    return w.lost ? qs_fail(err, QS_NOMEM, "out of memory") : QS_OK;
}
