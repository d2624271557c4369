/* SPDX-License-Identifier: Apache-2.0 */
/* The weights: every reason to convict or to acquit, in one table, and the code that says how far each applies.
 *
 * A weight is in log-odds (natural logarithm) and counts in full where the reason applies in full; each use scales it by a
 * grade from 0 to 1. The sum is compared with two thresholds. Reasons of one family are not independent of each other, so
 * a verdict also needs two families (see verdict.c). How the weights were checked: tests/quality. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "judge.h"

enum { GOOD_SOURCES = 3 };          /* from which a good sender may well send; more speak for forgery */
enum { SENDERS_BELIEVED = 8 };      /* sender domains up to which each may well have its own source */

enum sign {
    PRIOR, SIMILAR, WORDINGS, HIDDEN, DISGUISED, LINKED, BOUNCED_TEXT, LIKE_BAD,
    SENDER_DOMAINS, FORGED_LOCAL,
    SOURCES, NO_NAMES, HELO, BOUNCED_SOURCES,
    RELAYING, TO_HOST, HONEYPOT, TO_NOBODY, FOREIGN_RECIPIENTS, VICTIM_FLOOD, FORGED_VICTIMS,
    ACCOUNT_SOURCES, ACCOUNT_VOLUME, SCRIPT,
    NOT_OURS, FALSE_TRACE, BOUNCING_STRANGERS, RETURNED_CAMPAIGN, RETURNED_STORM, RETURNED_SOURCES, REPORTERS,
    LOOPING, LOOPBACK_MX, BYPASS,
    ONE_SOURCE, VOUCHED_TEXT, ONE_ANSWERED, LINKS_HOME, SAME_WORDS, LOGIN_INSIDE, GOOD_SENDER, LIKE_GOOD, FEW_RECIPIENTS,
    LISTED, VOUCHED, INSIDE, ODD_ONE_OUT, ODD_BUILD, THREAD, FROM_US, GENUINE, OTHER_SUBJECT, OTHER_RETURN,
    SIGNS,
};

static const struct {
    enum qs_family family;
    const char *name;
    double weight;
} table[SIGNS] = {
    [PRIOR] = {QS_FAM_LEGITIMACY, "most-mail-is-wanted", -1.5},
    /* the text */
    [SIMILAR] = {QS_FAM_CONTENT, "similar-texts", 1.0},
    [WORDINGS] = {QS_FAM_CONTENT, "one-text-in-many-wordings", 1.5},
    [HIDDEN] = {QS_FAM_CONTENT, "hidden-text", 1.5},
    [DISGUISED] = {QS_FAM_CONTENT, "disguised-letters", 2.0},
    [LINKED] = {QS_FAM_CONTENT, "same-link-from-unrelated-senders", 1.0},
    [BOUNCED_TEXT] = {QS_FAM_CONTENT, "our-bounces-return-this-text", 2.5},
    [LIKE_BAD] = {QS_FAM_CONTENT, "like-a-bad-sample", 4.5},
    /* who it says it is from */
    [SENDER_DOMAINS] = {QS_FAM_SENDERS, "many-sender-domains", 3.0},
    [FORGED_LOCAL] = {QS_FAM_SENDERS, "our-domain-forged-as-sender", 3.0},
    /* where it came from */
    [SOURCES] = {QS_FAM_CLIENTS, "many-unrelated-clients", 3.0},
    [NO_NAMES] = {QS_FAM_CLIENTS, "clients-without-proper-names", 2.0},
    [HELO] = {QS_FAM_CLIENTS, "implausible-helo", 1.0},
    [BOUNCED_SOURCES] = {QS_FAM_CLIENTS, "many-clients-sent-what-we-bounced", 2.5},
    [REPORTERS] = {QS_FAM_CLIENTS, "notices-from-many-hosts", 1.5},
    [RETURNED_SOURCES] = {QS_FAM_CLIENTS, "returned-mail-from-many-clients", 2.0},
    /* where it goes */
    [RELAYING] = {QS_FAM_RECIPIENTS, "strangers-to-strangers", 3.0},
    [TO_HOST] = {QS_FAM_RECIPIENTS, "addresses-at-our-host-name", 1.5},
    [HONEYPOT] = {QS_FAM_RECIPIENTS, "to-a-honeypot", 4.0},
    [TO_NOBODY] = {QS_FAM_RECIPIENTS, "to-addresses-that-nobody-has", 2.5},
    [FOREIGN_RECIPIENTS] = {QS_FAM_RECIPIENTS, "many-foreign-recipients", 1.5},
    [VICTIM_FLOOD] = {QS_FAM_RECIPIENTS, "flood-of-notices-to-one-address", 3.0},
    [FORGED_VICTIMS] = {QS_FAM_RECIPIENTS, "notices-to-many-strangers", 1.5},
    /* who of ours */
    [ACCOUNT_SOURCES] = {QS_FAM_ORIGIN, "account-used-from-many-networks", 2.5},
    [ACCOUNT_VOLUME] = {QS_FAM_ORIGIN, "far-more-than-others", 2.0},
    [SCRIPT] = {QS_FAM_ORIGIN, "sent-by-web-script", 0.5},
    /* notices */
    [NOT_OURS] = {QS_FAM_BOUNCE, "returned-mail-never-passed-here", 3.0},
    [FALSE_TRACE] = {QS_FAM_BOUNCE, "forged-received-in-our-name", 1.0},
    [BOUNCING_STRANGERS] = {QS_FAM_BOUNCE, "our-bounce-of-a-stranger's-mail", 1.5},
    [RETURNED_CAMPAIGN] = {QS_FAM_CONTENT, "returned-mail-is-one-campaign", 3.0},
    [RETURNED_STORM] = {QS_FAM_CONTENT, "returned-mail-is-storm-in-this-queue", 4.0},
    [LOOPING] = {QS_FAM_LOOP, "passed-this-host-again-and-again", 2.0},
    [LOOPBACK_MX] = {QS_FAM_DELIVERY, "recipients'-domain-delivers-to-us", 3.0},
    [BYPASS] = {QS_FAM_CLIENTS, "came-around-the-filter", 1.5},
    /* for */
    [ONE_SOURCE] = {QS_FAM_LEGITIMACY, "each-sender-from-its-own-source", -6.0},
    [VOUCHED_TEXT] = {QS_FAM_LEGITIMACY, "others-write-the-same-words", -4.0},
    [ONE_ANSWERED] = {QS_FAM_LEGITIMACY, "all-answer-one-message", -3.5},
    [LINKS_HOME] = {QS_FAM_LEGITIMACY, "links-to-the-sender's-own-site", -2.5},
    [SAME_WORDS] = {QS_FAM_LEGITIMACY, "same-words-from-one-place", -1.5},
    [LOGIN_INSIDE] = {QS_FAM_LEGITIMACY, "login-from-our-network", -3.0},
    [GOOD_SENDER] = {QS_FAM_LEGITIMACY, "good-sender-of-the-site-file", -8.0},
    [LIKE_GOOD] = {QS_FAM_LEGITIMACY, "like-a-good-sample", -5.0},
    [FEW_RECIPIENTS] = {QS_FAM_LEGITIMACY, "few-recipients", -6.0},
    [LISTED] = {QS_FAM_LEGITIMACY, "headers-of-one-list", -1.0},
    [VOUCHED] = {QS_FAM_LEGITIMACY, "sender's-own-mail-server", -6.0},
    [INSIDE] = {QS_FAM_LEGITIMACY, "our-own-host-in-its-own-name", -3.0},
    [ODD_ONE_OUT] = {QS_FAM_LEGITIMACY, "not-sent-like-the-rest", -8.0},
    [ODD_BUILD] = {QS_FAM_LEGITIMACY, "not-built-like-the-rest", -6.0},
    [THREAD] = {QS_FAM_LEGITIMACY, "part-of-a-conversation", -5.0},
    [GENUINE] = {QS_FAM_LEGITIMACY, "report-to-the-true-sender", -8.0},
    [OTHER_SUBJECT] = {QS_FAM_LEGITIMACY, "tells-of-another-message", -8.0},
    [OTHER_RETURN] = {QS_FAM_LEGITIMACY, "returns-something-else", -6.0},
    [FROM_US] = {QS_FAM_LEGITIMACY, "report-about-our-own-mail", -8.0},
};

__attribute__((format(printf, 4, 5)))
static void add(struct qs_sum *sum, enum sign sign, double grade, const char *format, ...)
{
    grade = grade < 0 ? 0 : grade > 1 ? 1 : grade;
    double weight = table[sign].weight * grade;
    if (fabs(weight) < 0.05)
        return;
    sum->score += weight;
    if (weight > 0)
        sum->family[table[sign].family] += weight;
    if (!sum->parent)
        return;
    struct qs_evidence *grown = talloc_realloc(sum->parent, sum->list, struct qs_evidence, (unsigned)sum->count + 1);
    if (!grown) {
        sum->failed = true;
        return;
    }
    sum->list = grown;
    struct qs_evidence *e = &grown[sum->count++];
    *e = (struct qs_evidence){.family = table[sign].family, .name = table[sign].name, .weight = weight};
    va_list args;
    va_start(args, format);
    vsnprintf(e->detail, sizeof e->detail, format, args);
    va_end(args);
}

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* 0 for one, 1 for 2^doublings and more. */
static double many(uint32_t n, double doublings)
{
    return n > 1 ? log2(n) / doublings : 0;
}

static double share(uint32_t part, uint32_t of)
{
    return of ? (double)part / of : 0;
}

static int percent(uint32_t part, uint32_t of)
{
    return (int)(100 * share(part, of) + 0.5);
}

/* One user, script or host of ours sent nearly all of it. */
static bool one_account(const struct qs_crowd *c)
{
    return (c->authenticated + c->local) * 2 > c->count && share(c->top_origin, c->count) >= 0.8;
}

/* How far more of its clients have no proper name than is usual of letters here. */
static double nameless(const struct qs_work *work, const struct qs_crowd *c)
{
    double part = share(c->no_name + c->generic, c->count);
    return fmax(0, (part - work->usual_dubious) / (1 - work->usual_dubious));
}

/* How far its strangers come from where ordinary mail does not come from, or misuse our names or our relay. */
static double strange(const struct qs_work *work, const struct qs_crowd *c)
{
    return fmax(nameless(work, c), share(most(c->forged, c->relayed), c->count));
}

/* The same of any crowd: what makes a loose likeness suspicious. */
static double dubious(const struct qs_work *work, const struct qs_crowd *c)
{
    return one_account(c) ? 1 : strange(work, c);
}

/* How far the number of senders and servers says anything: many people write through one provider, and many have the same few
 * words in their mail. */
static double unrelated(const struct qs_work *work, const struct qs_crowd *c)
{
    double known = share(c->shared, c->count), brief = share(c->brief, c->count);
    return fmax(dubious(work, c), 1 - fmax(known, brief));
}

/* How surely it is one text: list mail has a footer in common, too. Very many sources have no footer in common. */
static double one_text(const struct qs_crowd *c)
{
    double sure = (c->likeness - 0.03) / 0.2, large = (log2(c->sources + 1) - 3) / 5;
    return fmin(1, fmax(0.2, fmax(sure, large)));
}

/* One text with one link from many organisations' own servers: names are cheap for who buys them by the dozen. They are used
 * evenly: two messages have the organisation in common as seldom as if there were so many of one size. */
static bool snowshoe(const struct qs_crowd *c)
{
    enum { MESSAGES = 20, EVEN_ORGS = 8 };
    uint64_t pairs = (uint64_t)c->count * (c->count - 1) / 2;
    return c->count >= MESSAGES && c->likeness >= 0.5 && c->sender_orgs >= EVEN_ORGS && c->sources >= EVEN_ORGS &&
           c->recipients >= EVEN_ORGS && c->same_org * EVEN_ORGS <= pairs && share(c->top_link, c->count) >= 0.25;
}

/* Many organisations send one text to many people, and each of them again and again: that each has a server of its own says
 * little then, for servers and domains can be bought. Companies with one footer have more to say; sites on one engine write
 * to somebody once or twice. */
static bool broadcast(const struct qs_crowd *c)
{
    enum { ORGS = 20, EACH = 5 };
    return c->sender_orgs >= ORGS && c->sources >= ORGS && c->recipients >= ORGS * EACH &&
           c->count / EACH >= c->sender_orgs && one_text(c) >= 0.5;
}

static void weigh_text(const struct qs_work *work, const struct qs_crowd *c, struct qs_sum *sum)
{
    add(sum, LIKE_BAD, share(c->like_bad, c->count), "%d %% resemble a sample", percent(c->like_bad, c->count));
    if (c->bounced >= 3)
        add(sum, BOUNCED_TEXT, fmin(1, many(c->bounced, 6)), "%u bounces of this host", c->bounced);
    if (c->count < 3)
        return;
    add(sum, SIMILAR, one_text(c) * many(c->count, 5), "%u messages of one text", c->count);
    if (c->count >= 6)
        add(sum, WORDINGS, one_text(c) * dubious(work, c) * (0.4 - c->likeness) / 0.2, "two of them share %d %% of their phrases",
            (int)(100 * c->likeness));
    add(sum, HIDDEN, 2 * share(c->hidden, c->count), "%d %% hide text from the reader", percent(c->hidden, c->count));
    add(sum, DISGUISED, 2 * share(c->disguised, c->count), "%d %% disguise letters", percent(c->disguised, c->count));
    if (c->sender_orgs >= 4)
        add(sum, LINKED, (snowshoe(c) ? 1 : dubious(work, c)) * 4 * share(c->top_link, c->count), "%d %% link to one host",
            percent(c->top_link, c->count));
}

static void weigh_loopback(const struct qs_crowd *c, struct qs_sum *sum)
{
    add(sum, LOOPBACK_MX, share(c->to_loopback, c->count), "MX of the recipient's domain is loopback or this host: %u of them",
        c->to_loopback);
}

static void weigh_strangers(const struct qs_work *work, const struct qs_crowd *c, struct qs_sum *sum)
{
    double outside = share(c->outside, c->count);
    double weak = fmin(1, 0.4 + 0.6 * many(c->count, 3));       /* many a small host has no proper name */
    if (c->sender_orgs >= 3)
        add(sum, SENDER_DOMAINS, one_text(c) * unrelated(work, c) * fmin(1, many(c->sender_orgs, 5)) *
            fmin(1, fmax(dubious(work, c), many(c->sources, 3))), "%u sender domains", c->sender_orgs);
    if (c->sources >= 3)
        add(sum, SOURCES, outside * one_text(c) * unrelated(work, c) * fmin(1, many(c->sources, 5)), "%u clients in %u networks or organisations",
            c->clients, c->sources);
    if (c->forged >= 2)
        add(sum, FORGED_LOCAL, share(c->forged, c->count), "%d %% come from outside with a sender of ours",
            percent(c->forged, c->count));
    add(sum, NO_NAMES, weak * nameless(work, c),
        "%d %% from addresses without a name, %d %% from access networks", percent(c->no_name, c->count),
        percent(c->generic, c->count));
    add(sum, HELO, weak * share(c->bad_helo, c->count), "%d %%", percent(c->bad_helo, c->count));
    if (qs_table_count(work->known->domains))
        add(sum, RELAYING, share(c->relayed, c->count), "%d %% go from strangers to strangers", percent(c->relayed, c->count));
    if (c->bounced_clients >= 3)
        add(sum, BOUNCED_SOURCES, fmin(1, many(c->bounced_clients, 5)), "%u clients", c->bounced_clients);
    if (c->outside)                 /* a list of ours may name some who left */
        add(sum, TO_NOBODY, weak * (share(c->to_nobody, c->count) - 0.3) / 0.4, "%d %% of them", percent(c->to_nobody, c->count));
    add(sum, HONEYPOT, 20 * share(c->honeypots, c->count), "%u messages", c->honeypots);
    add(sum, TO_HOST, 4 * share(c->to_host, c->count), "%d %% of them", percent(c->to_host, c->count));
    add(sum, BYPASS, share(c->bypass, c->count), "%d %% came through no trusted relay", percent(c->bypass, c->count));
    weigh_loopback(c, sum);
}

static void weigh_origin(const struct qs_work *work, const struct qs_crowd *c, struct qs_sum *sum)
{
    if (!one_account(c))
        return;
    if (c->authenticated * 2 > c->count && c->origin_nets >= 3)
        add(sum, ACCOUNT_SOURCES, many(c->origin_nets, 3), "from %u networks", c->origin_nets);
    if (c->top_origin >= 5)
        add(sum, ACCOUNT_VOLUME, (log2(c->top_origin) - log2(work->usual_volume)) / 4,
            "%u messages, where others have %u", c->top_origin, work->usual_volume);
    add(sum, SCRIPT, share(c->scripts, c->count), "%u messages", c->scripts);
    add(sum, FOREIGN_RECIPIENTS, share(c->to_others, c->count) * many(c->recipients, 4), "%u recipients", c->recipients);
    add(sum, LINKS_HOME, 2 * share(c->links_home, c->count), "%d %% link to the sender's own organisation or to ours",
        percent(c->links_home, c->count));
    if (c->authenticated == c->count && c->count >= 5 && c->origin_nets == 1)   /* a storm is hidden in noise */
        add(sum, SAME_WORDS, (c->likeness - 0.5) / 0.3, "one network, two messages share %d %% of their phrases",
            (int)(100 * c->likeness));
    if (c->authenticated)
        add(sum, LOGIN_INSIDE, share(c->own_clients, c->count) * (c->origin_nets <= 2), "login from our own network");
}

static void weigh_for(const struct qs_work *work, const struct qs_crowd *c, struct qs_sum *sum)
{
    bool account = one_account(c);
    double believed = snowshoe(c) ? 0.2 : broadcast(c) ? 0.35 : 1;
    add(sum, VOUCHED, believed * share(c->vouched, c->count), "%d %% come from their sender's own mail server",
        percent(c->vouched, c->count));
    add(sum, GOOD_SENDER, share(c->good, c->count) * fmin(1, share(GOOD_SOURCES, c->sources)), "%d %% from %u sources",
        percent(c->good, c->count), c->sources);
    add(sum, LIKE_GOOD, share(c->like_good, c->count), "%d %% resemble a sample", percent(c->like_good, c->count));
    if (c->vouched_orgs >= 3 && share(c->vouched, c->count) < 0.2)
        add(sum, VOUCHED_TEXT, share(c->outside, c->count) *
            2 * share(c->vouched_orgs, c->vouched_orgs + most(c->sender_orgs, c->count / 2)),
            "%u organisations, from their own servers", c->vouched_orgs);
    if (c->count >= 4 && c->recipients <= 2)
        add(sum, FEW_RECIPIENTS, fmin(1, many(c->count, 4)) * (1 - strange(work, c) / 2), "all to %u recipient%s",
            c->recipients, c->recipients == 1 ? "" : "s");
    if (c->lists_one == 1 && c->sender_orgs)
        add(sum, LISTED, share(c->listed, c->count), "%u messages name one list", c->listed);
    if (!account && c->sender_orgs) {
        double each = share(c->count, c->sender_orgs), routes = share(c->routes, c->sender_orgs);
        if (c->sender_orgs > SENDERS_BELIEVED)
            believed /= 1 + log2((double)c->sender_orgs / SENDERS_BELIEVED);
        add(sum, ONE_SOURCE, believed * fmin(1, (each - 1) / 2) * (1.25 - routes / 4),
            "%u sender domain%s, each from its own source", c->sender_orgs, c->sender_orgs == 1 ? "" : "s");
        add(sum, INSIDE, c->sender_orgs == 1 ? share(c->inside, c->count) : 0, "%d %% from inside", percent(c->inside, c->count));
    }
    add(sum, THREAD, share(c->replies, c->count), "%u replies whose other half is here", c->replies);
}

void qs_weigh_crowd(const struct qs_work *work, const struct qs_crowd *crowd, struct qs_sum *sum)
{
    add(sum, PRIOR, 1, "before anything is known");
    weigh_text(work, crowd, sum);
    weigh_strangers(work, crowd, sum);
    weigh_origin(work, crowd, sum);
    weigh_for(work, crowd, sum);
}

/* Nearly all of a large group have this part, or nearly none, and this message is one of the few others. */
static bool deviates(const struct qs_crowd *c, uint32_t with, bool has)
{
    enum { LARGE = 50, ONE_IN = 100 };
    return c->count >= LARGE && (has ? with : c->count - with) * ONE_IN <= c->count;
}

void qs_weigh_message(const struct qs_work *work, const struct qs_crowd *crowd, uint32_t message, struct qs_sum *sum)
{
    const struct qs_fact *f = &work->fact[message];
    if (crowd->count < 2)
        return;
    if ((f->bits & QS_F_VOUCHED) && share(crowd->vouched, crowd->count) < 0.2)
        add(sum, ODD_ONE_OUT, 1, "it comes from its sender's own mail server, the others do not");
    else if ((f->bits & QS_F_STEADY) && share(crowd->steady, crowd->count) < 0.2)
        add(sum, ODD_ONE_OUT, 1, "its sender's mail all comes from one source, the others' does not");
    else if ((f->bits & QS_F_INSIDE) && share(crowd->inside, crowd->count) < 0.2)
        add(sum, ODD_ONE_OUT, 1, "it comes from inside, the others do not");
    else if (crowd->origin && f->origin != crowd->origin)
        add(sum, ODD_ONE_OUT, 1, "another user sent it");
    if ((f->bits & QS_F_GOOD) && share(crowd->good, crowd->count) < 0.2)
        add(sum, GOOD_SENDER, 1, "its sender is one, those of the others are not");
    uint32_t t = work->scan->messages[message].traits;
    if (deviates(crowd, crowd->html, t & QS_T_HTML))
        add(sum, ODD_BUILD, 1, t & QS_T_HTML ? "it is HTML, the others are not" : "it is plain text, the others are HTML");
    else if (deviates(crowd, crowd->images, t & QS_T_IMAGE) || deviates(crowd, crowd->attachments, t & QS_T_ATTACHMENT))
        add(sum, ODD_BUILD, 1, "it and the others do not have the same kinds of attachments");
    else if (!(t & QS_T_HIDDEN_TEXT) && deviates(crowd, crowd->hidden, false))
        add(sum, ODD_BUILD, 1, "the others hide text, it does not");
}

/* --- notices --------------------------------------------------------------------------------------------------------- */

void qs_weigh_notices(const struct qs_work *work, const struct qs_crowd *c, struct qs_sum *sum)
{
    (void)work;
    uint32_t foreign = c->count - c->made_here;
    uint32_t victims = c->victims ? c->victims : 1;
    add(sum, PRIOR, 1, "before anything is known");
    if (c->strange)
        add(sum, NOT_OURS, share(c->strange, c->returning) * share(foreign, c->count) * (0.6 + many(c->strange, 3)),
            "%u of %u returned messages", c->strange, c->returning);
    if (c->made_here > c->from_us)
        add(sum, BOUNCING_STRANGERS, share(c->made_here - c->from_us, c->count), "%u of them", c->made_here - c->from_us);
    add(sum, RETURNED_STORM, share(c->storm_returns, c->count) * 2, "%u of them", c->storm_returns);
    if (share(c->storm_returns, c->count) < 0.5 && c->top_campaign >= 3)
        add(sum, RETURNED_CAMPAIGN, many(c->top_campaign, 6), "%u return the same text", c->top_campaign);
    if (c->returned_clients >= 3)
        add(sum, RETURNED_SOURCES, many(c->returned_clients, 6), "sent by %u clients", c->returned_clients);
    if (foreign >= 3)
        add(sum, REPORTERS, share(foreign, c->count) * many(c->sources, 5), "from %u hosts", c->sources);
    add(sum, LIKE_BAD, share(c->like_bad, c->count), "%d %% return what resembles a sample", percent(c->like_bad, c->count));
    add(sum, VICTIM_FLOOD, many(c->count / victims, 4), "%u notices to %u address%s", c->count, victims, victims == 1 ? "" : "es");
    if (c->made_here >= 3)
        add(sum, FORGED_VICTIMS, share(c->made_here, c->count) * many(victims, 6), "to %u addresses", victims);
    if (c->top_answered >= 5)
        add(sum, ONE_ANSWERED, share(c->top_answered, c->count), "%u of them", c->top_answered);
    add(sum, LOOPING, 2 * share(c->looping, c->count), "%d %% passed three times or more", percent(c->looping, c->count));
    weigh_loopback(c, sum);
}

void qs_weigh_notice(const struct qs_work *work, const struct qs_crowd *crowd, uint32_t message, struct qs_sum *sum)
{
    const struct qs_fact *f = &work->fact[message];
    if (f->bits & QS_F_FALSE_TRACE)
        add(sum, FALSE_TRACE, 1, "a field of the returned message names this host, but the next host did not get it from us");
    if (f->bits & QS_F_OTHER_MESSAGE)
        add(sum, OTHER_SUBJECT, 1, "its subject has words that no other notice of the flood has");
    if ((f->bits & QS_F_MADE_HERE) && !(f->bits & QS_F_RETURNS_STORM) && share(crowd->storm_returns, crowd->count) > 0.5)
        add(sum, OTHER_RETURN, 1, "the others return a storm, this one does not");
    if (f->bits & QS_F_GENUINE)
        add(sum, GENUINE, 1, "the returned message came from its sender's own mail server");
    if ((f->bits & QS_F_FROM_US) && !(f->bits & QS_F_RETURNS_STORM))
        add(sum, FROM_US, 1, "the returned message came from a client of ours and passed here");
}
