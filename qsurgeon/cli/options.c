/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: see options.h. */
#include "options.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "qsurgeon/dns.h"
#include "qsurgeon/network.h"

enum option_group { WHERE, SELECTION, OWN };

struct option {
    const char *name;
    char letter;                    /* 0: none */
    const char *argument;           /* NULL: takes none */
    enum option_group group;
    const char *help;
};

static const struct option table[QS_OPTIONS] = {
    [QS_OPT_MTA] = {"mta", 0, "NAME", WHERE, "postfix or sendmail; found by itself otherwise"},
    [QS_OPT_QUEUE_DIR] = {"queue", 0, "DIR", WHERE,
                          "this queue directory, also an offline copy; before the command"},
    [QS_OPT_CONFIG] = {"config", 0, "PATH", WHERE, "configuration directory (Postfix) or file (sendmail)"},
    [QS_OPT_FROM] = {"from", 0, "FILE", WHERE, "a saved scan instead of a queue; several make one view"},
    [QS_OPT_THREADS] = {"threads", 0, "N", WHERE, "threads that read; one for each processor otherwise"},
    [QS_OPT_DNS] = {"dns", 0, "[SERVER]", WHERE, "ask DNS about recipients' domains; of this ADDRESS[:PORT]"},
    [QS_OPT_NO_DNS] = {"no-dns", 0, NULL, WHERE, "never ask DNS"},
    [QS_OPT_HELP] = {"help", 'h', NULL, WHERE, "say how to use the program or the command"},
    [QS_OPT_VERSION] = {"version", 'V', NULL, WHERE, "say which version this is"},

    [QS_OPT_ID] = {"id", 0, "ID", SELECTION, "queue ID; - reads them from standard input"},
    [QS_OPT_VERDICT] = {"verdict", 0, "V,...", SELECTION, "storm, backscatter, legit, unsure"},
    [QS_OPT_CLUSTER] = {"cluster", 0, "C-NAME", SELECTION, "messages of this cluster"},
    [QS_OPT_CAUSE] = {"cause", 0, "CAUSE,...", SELECTION, "such as botnet-campaign, mail-loop, bulk-list"},
    [QS_OPT_SENDER] = {"sender", 0, "RE", SELECTION, "envelope sender; ^$ is the null sender"},
    [QS_OPT_RECIPIENT] = {"recipient", 0, "RE", SELECTION, "any recipient"},
    [QS_OPT_CLIENT] = {"client", 0, "CIDR|RE", SELECTION,
                       "client address or network; or its name, address or HELO"},
    [QS_OPT_SUBJECT] = {"subject", 0, "RE", SELECTION, "decoded subject"},
    [QS_OPT_QUEUE] = {"queue", 0, "NAME", SELECTION, "deferred, hold, active, ...; after the command"},
    [QS_OPT_OLDER] = {"older", 0, "TIME", SELECTION, "arrived before that time: 90s, 15m, 6h, 2d, 1h30m"},
    [QS_OPT_YOUNGER] = {"younger", 0, "TIME", SELECTION, "arrived since"},
    [QS_OPT_LARGER] = {"larger", 0, "SIZE", SELECTION, "at least this many bytes: 500, 10k, 2M"},
    [QS_OPT_SMALLER] = {"smaller", 0, "SIZE", SELECTION, "fewer than this many bytes"},
    [QS_OPT_LIKE] = {"like", 0, "FILE|ID", SELECTION, "whatever resembles this message: a raw one, or one in the queue"},
    [QS_OPT_MX] = {"mx", 0, "KIND,...", SELECTION, "mail goes to: loopback, self, private, none; asks DNS"},
    [QS_OPT_WHERE] = {"where", 0, "SQL", SELECTION, "an SQL expression; columns: sql --schema"},

    [QS_OPT_JSON] = {"json", 0, NULL, OWN, "JSON, one object a line"},
    [QS_OPT_CSV] = {"csv", 0, NULL, OWN, "comma-separated values (RFC 4180)"},
    [QS_OPT_IDS] = {"ids", 0, NULL, OWN, "bare queue IDs, one a line"},
    [QS_OPT_EXPLAIN] = {"explain", 0, NULL, OWN, "with the evidence"},
    [QS_OPT_PROBLEMS] = {"problems", 0, NULL, OWN, "a line for each file that could not be read"},
    [QS_OPT_TOP] = {"top", 0, "N", OWN, "so many rows of each table of the text"},
    [QS_OPT_PARTIAL] = {"partial", 0, NULL, OWN,
                        "a first picture after 1.5 s also when it goes to a program"},
    [QS_OPT_RAW] = {"raw", 0, NULL, OWN, "header and body byte for byte; made safe on a terminal"},
    [QS_OPT_SENDERS] = {"senders", 0, NULL, OWN, "domains of senders instead of recipients"},
    [QS_OPT_SCHEMA] = {"schema", 0, NULL, OWN, "the tables and columns instead of a query"},
    [QS_OPT_KEY] = {"key", 0, "FILE", OWN, "the secret key that signs"},
    [QS_OPT_PUBLIC_KEY] = {"public-key", 0, "FILE", OWN, "the key that a list must be signed with"},
    [QS_OPT_HASHED] = {"hashed", 0, NULL, OWN, "addresses as hashes that cannot be read off"},
    [QS_OPT_MAX_SHRINK] = {"max-shrink", 0, "PCT", OWN, "refuse a list that has lost more; 10 otherwise"},
    [QS_OPT_LIST] = {"list", 0, "FILE", OWN, "this list instead of the one imported last"},
    [QS_OPT_UNKNOWN] = {"unknown", 0, NULL, OWN, "recipients that the list says do not exist"},
    [QS_OPT_LOG] = {"log", 0, "FILE", OWN, "also this mail log, plain or compressed; - is standard input"},
    [QS_OPT_MMDB] = {"mmdb", 0, "FILE", OWN, "a MaxMind database of autonomous systems"},
    [QS_OPT_OVER] = {"over", 0, "N", OWN, "sources with at least N bad messages and attempts; 20 otherwise"},
    [QS_OPT_FORMAT] = {"format", 0, "NAME", OWN, "the form of what is written"},
    [QS_OPT_PRUNE] = {"prune", 0, "FILE", OWN, "take what has expired out of this file instead"},
    [QS_OPT_REPLACE] = {"replace", 0, NULL, OWN, "over an existing file"},
    [QS_OPT_ALL] = {"all", 0, NULL, OWN, "the whole queue, as a selection"},
    [QS_OPT_COMMIT] = {"commit", 0, NULL, OWN, "do it; otherwise only the plan is shown"},
    [QS_OPT_PLAN] = {"plan", 0, "FILE", OWN, "write the plan to a new file, for `commit FILE`"},
    [QS_OPT_MAX] = {"max", 0, "N", OWN, "refuse when more than N messages are meant"},
    [QS_OPT_MAX_SHARE] = {"max-share", 0, "PCT", OWN, "refuse when more than this share of the queue is meant"},
    [QS_OPT_INCLUDE_LEGIT] = {"include-legit", 0, NULL, OWN, "also messages that are judged legit"},
    [QS_OPT_FOR] = {"for", 0, "TIME", OWN, "for this time: 30m, 4h, 2d"},
    [QS_OPT_REASON] = {"reason", 0, "TEXT", OWN, "sendmail: what mailq shows beside a held message"},
    [QS_OPT_KEEP] = {"keep", 0, NULL, OWN, "stop after the quarantine"},
    [QS_OPT_NO_ARCHIVE] = {"no-archive", 0, NULL, OWN, "remove without an archive: there is no way back"},
    [QS_OPT_OUTPUT] = {"output", 0, "FILE", OWN, "the file to write; archives are in the run's directory otherwise"},
    [QS_OPT_EDITED] = {"edited", 0, NULL, OWN, "perform a plan that was changed by hand"},
    [QS_OPT_WITH_MESSAGES] = {"with-messages", 0, NULL, OWN, "also what may be the only copy of a message"},
    [QS_OPT_CHECK_QUEUE] = {"queue", 0, NULL, OWN, "check the files of the queue directory"},
    [QS_OPT_DUE] = {"due", 0, NULL, OWN, "sendmail: what `defer` held back and whose time has come"},
    [QS_OPT_DRIP] = {"drip", 0, "N/min", OWN, "so many a minute; stops when the server defers them again"},
    [QS_OPT_STICKY] = {"sticky", 0, "TIME", OWN, "for so long, do the same to new arrivals like them"},
    [QS_OPT_AGAIN] = {"again", 0, NULL, OWN, "also what is in the queue or was brought back before"},
    [QS_OPT_DAMAGED] = {"damaged", 0, NULL, OWN, "what is whole of a damaged archive"},
    [QS_OPT_EXPORT] = {"export", 0, "FORMAT", OWN, "readable copies for people instead: mbox or eml"},
    [QS_OPT_RESUBMIT] = {"resubmit", 0, NULL, OWN, "hand them to the mail server as new mail, also of another kind"},
    [QS_OPT_PROGRAM] = {"program", 0, "PATH", OWN, "what --resubmit runs, or ADDRESS:PORT; /usr/sbin/sendmail otherwise"},
    [QS_OPT_STATE] = {"state", 0, "DIR", WHERE, "where runs are kept; /var/lib/qsurgeon/MTA otherwise"},
    [QS_OPT_SITE] = {"site", 0, "FILE", WHERE, "what this host serves and trusts; /etc/qsurgeon.conf otherwise"},
    [QS_OPT_LIKE_GOOD] = {"like-good", 0, "DIR", WHERE, "raw messages, a file each: what resembles them is real"},
    [QS_OPT_LIKE_BAD] = {"like-bad", 0, "DIR", WHERE, "the same: what resembles them is storm, even alone"},
    [QS_OPT_MAPS] = {"maps", 0, NULL, WHERE, "ask the mail server's tables, and the imported list, who exists"},
    [QS_OPT_TRAIN] = {"train", 0, "PCT", OWN, "make rules of this share of a storm, by arrival; 30 otherwise"},
    [QS_OPT_GOOD] = {"good", 0, "DIR", OWN, "real messages, beside those of the queue; several widen"},
    [QS_OPT_ACTION] = {"action", 0, "WORD", OWN, "REJECT, HOLD or DISCARD"},
};

/* --- did you mean -------------------------------------------------------------------- */

enum { WORD_MAX = 40 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment).
 */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[3][WORD_MAX + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= m; j++)
        row[0][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *now = row[i % 3], *above = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            now[j] = least(above[j - 1] + (a[i - 1] != b[j - 1]), least(above[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
    }
    return row[n % 3][m];
}

/* The nearest of the names and how far it is. */
struct nearest {
    const char *word, *name;
    unsigned distance;
};

static void offer(struct nearest *best, const char *name)
{
    unsigned d = distance(best->word, name);
    bool prefix = strlen(best->word) >= 2 && strncmp(best->word, name, strlen(best->word)) == 0;
    d = prefix ? 0 : d;
    if (d <= 1 + strlen(best->word) / 4 && (!best->name || d < best->distance)) {
        best->name = name;
        best->distance = d;
    }
}

static enum qs_status unknown(const char *what, const struct nearest *best, const char *known, struct qs_error *err)
{
    return best->name ? qs_fail(err, QS_USAGE, "unknown %s %.60s; did you mean %s?", what, best->word, best->name)
                      : qs_fail(err, QS_USAGE, "unknown %s %.60s; %s", what, best->word, known);
}

static enum qs_status unknown_option(const char *word, struct qs_error *err)
{
    char name[WORD_MAX + 1];
    size_t len = strcspn(word + 2, "=");
    snprintf(name, sizeof name, "%.*s", len > WORD_MAX ? WORD_MAX : (int)len, word + 2);
    struct nearest best = {.word = name};
    for (unsigned o = 0; o < QS_OPTIONS; o++)
        offer(&best, table[o].name);
    return best.name ? qs_fail(err, QS_USAGE, "unknown option --%s; did you mean --%s?", name, best.name)
                     : qs_fail(err, QS_USAGE, "unknown option --%s", name);
}

static enum qs_status unknown_command(const char *word, struct qs_error *err)
{
    struct nearest best = {.word = word};
    for (size_t c = 0; c < qs_command_count; c++)
        offer(&best, qs_commands[c]->name);
    return unknown("command", &best, "`help` names them", err);
}

/* --- values -------------------------------------------------------------------------- */

struct parser {
    struct qs_options *options;
    qs_option_set used;             /* bit set of options given */
    struct qs_error *err;
};

static enum qs_status append(TALLOC_CTX *parent, char ***list, size_t *count, const char *text, size_t len)
{
    char **grown = talloc_realloc(parent, *list, char *, (unsigned)*count + 1);
    char *copy = grown ? talloc_strndup(grown, text, len) : NULL;
    if (grown)
        *list = grown;
    if (!copy)
        return QS_NOMEM;
    grown[(*count)++] = copy;
    return QS_OK;
}

/* Queue IDs from standard input: the first word of each line, without the mark that mailq(1) puts behind it.
 */
static enum qs_status read_ids(struct parser *p)
{
    struct qs_selection *s = p->options->selection;
    enum qs_status status = QS_OK;
    char *line = NULL;
    size_t size = 0;
    while (status == QS_OK && getline(&line, &size, stdin) >= 0) {
        const char *id = line + strspn(line, " \t");
        size_t len = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
        /* mailq has recipients, too */
        if (len > 0 && !strchr("@.", id[len] ? id[len] : ' '))
            status = append(s, &s->ids, &s->id_count, id, len);
    }
    free(line);
    if (status == QS_OK && ferror(stdin))
        return qs_fail(p->err, QS_IO, "standard input cannot be read");
    return status;
}

static enum qs_status add_verdict(struct parser *p, struct qs_span word)
{
    enum qs_verdict verdict;
    if (qs_verdict_parse(word, &verdict)) {
        p->options->selection->verdicts |= 1u << verdict;
        return QS_OK;
    }
    char text[WORD_MAX + 1];
    snprintf(text, sizeof text, "%.*s", word.len > WORD_MAX ? WORD_MAX : (int)word.len, word.ptr);
    struct nearest best = {.word = text};
    for (int v = 0; v < QS_VERDICTS; v++)
        offer(&best, qs_verdict_name((enum qs_verdict)v));
    return unknown("verdict", &best, "there are storm, backscatter, legit, unsure", p->err);
}

static enum qs_status add_cause(struct parser *p, struct qs_span word)
{
    enum qs_cause cause;
    if (qs_cause_parse(word, &cause)) {
        p->options->selection->causes |= UINT32_C(1) << cause;
        return QS_OK;
    }
    char text[WORD_MAX + 1];
    snprintf(text, sizeof text, "%.*s", word.len > WORD_MAX ? WORD_MAX : (int)word.len, word.ptr);
    struct nearest best = {.word = text};
    char known[QS_ERROR_TEXT / 2] = "there are";
    for (int c = 0; c < QS_CAUSES; c++) {
        const char *name = qs_cause_name((enum qs_cause)c);
        size_t len = strlen(known);
        offer(&best, name);
        snprintf(known + len, sizeof known - len, "%s %s", c ? "," : "", name);
    }
    return unknown("cause", &best, known, p->err);
}

static enum qs_status add_mx(struct parser *p, struct qs_span word)
{
    enum qs_mx mx;
    if (!qs_mx_parse(word, &mx) || mx == QS_MX_UNKNOWN || mx == QS_MX_OK)
        return qs_fail(p->err, QS_USAGE, "--mx %.*s is none of loopback, self, private, none",
                       word.len > WORD_MAX ? WORD_MAX : (int)word.len, word.ptr);
    p->options->selection->mx |= 1u << mx;
    return QS_OK;
}

/* Words between commas. */
static enum qs_status each_word(struct parser *p, const char *list,
                                enum qs_status (*add)(struct parser *p, struct qs_span word))
{
    enum qs_status status = QS_OK;
    while (status == QS_OK) {
        size_t len = strcspn(list, ",");
        status = add(p, (struct qs_span){list, len});
        if (list[len] == '\0')
            break;
        list += len + 1;
    }
    return status;
}

static enum qs_status set_time(struct parser *p, const char *name, const char *value, int64_t *out)
{
    return qs_parse_duration(qs_span_of(value), out)
        ? QS_OK : qs_fail(p->err, QS_USAGE, "--%s %.60s is no time: take 90s, 15m, 6h, 2d", name, value);
}

static enum qs_status set_size(struct parser *p, const char *name, const char *value, int64_t *out)
{
    uint64_t bytes = 0;
    if (!qs_parse_size(qs_span_of(value), &bytes) || bytes > INT64_MAX)
        return qs_fail(p->err, QS_USAGE, "--%s %.60s is no size: take 500, 10k, 2M", name, value);
    *out = (int64_t)bytes;
    return QS_OK;
}

static enum qs_status set_number(struct parser *p, const char *name, const char *value, unsigned most,
                                 unsigned *out)
{
    uint64_t n = 0;
    if (!qs_parse_u64(qs_span_of(value), &n) || n < 1 || n > most)
        return qs_fail(p->err, QS_USAGE, "--%s %.60s is no number from 1 to %u", name, value, most);
    *out = (unsigned)n;
    return QS_OK;
}

static enum qs_status set_pace(struct parser *p, const char *value, unsigned *out)
{
    enum { MOST = 1000000 };
    uint64_t n = 0;
    if (!qs_parse_u64((struct qs_span){value, strcspn(value, "/")}, &n) || n < 1 || n > MOST ||
        strcmp(value + strcspn(value, "/"), "/min") != 0)
        return qs_fail(p->err, QS_USAGE, "--drip %.60s is no pace: take 60/min", value);
    *out = (unsigned)n;
    return QS_OK;
}

static enum qs_status set_once(struct parser *p, const char *name, const char *value, const char **out)
{
    if (*out)
        return qs_fail(p->err, QS_USAGE, "--%s was given twice", name);
    *out = value;
    return QS_OK;
}

static enum qs_status apply(struct parser *p, enum qs_option_id id, const char *value)
{
    struct qs_options *o = p->options;
    struct qs_selection *s = o->selection;
    const char *name = table[id].name;
    size_t len = value ? strlen(value) : 0;
    switch (id) {
    case QS_OPT_MTA:
        return set_once(p, name, value, &o->mta);
    case QS_OPT_QUEUE_DIR:
        return set_once(p, name, value, &o->queue_dir);
    case QS_OPT_CONFIG:
        return set_once(p, name, value, &o->config);
    case QS_OPT_FROM:
        return append(o, &o->from, &o->from_count, value, len);
    case QS_OPT_THREADS:
        return set_number(p, name, value, 1024, &o->threads);
    case QS_OPT_DNS:
        o->dns = true;
        return value ? set_once(p, name, value, &o->dns_server) : QS_OK;
    case QS_OPT_NO_DNS:
        o->no_dns = true;
        return QS_OK;
    case QS_OPT_HELP:
        o->help = true;
        return QS_OK;
    case QS_OPT_VERSION:
        o->version = true;
        return QS_OK;
    case QS_OPT_ID:
        s->ids_given = true;
        return strcmp(value, "-") == 0 ? read_ids(p) : append(s, &s->ids, &s->id_count, value, len);
    case QS_OPT_VERDICT:
        return each_word(p, value, add_verdict);
    case QS_OPT_CLUSTER:
        return append(s, &s->clusters, &s->cluster_count, value, len);
    case QS_OPT_CAUSE:
        return each_word(p, value, add_cause);
    case QS_OPT_SENDER:
        return append(s, &s->senders, &s->sender_count, value, len);
    case QS_OPT_RECIPIENT:
        return append(s, &s->recipients, &s->recipient_count, value, len);
    case QS_OPT_CLIENT:
        return append(s, &s->clients, &s->client_count, value, len);
    case QS_OPT_SUBJECT:
        return append(s, &s->subjects, &s->subject_count, value, len);
    case QS_OPT_QUEUE:
        return append(s, &s->queues, &s->queue_count, value, len);
    case QS_OPT_OLDER:
        return set_time(p, name, value, &s->older);
    case QS_OPT_YOUNGER:
        return set_time(p, name, value, &s->younger);
    case QS_OPT_LARGER:
        return set_size(p, name, value, &s->larger);
    case QS_OPT_SMALLER:
        return set_size(p, name, value, &s->smaller);
    case QS_OPT_LIKE:
        return append(s, &s->like, &s->like_count, value, len);
    case QS_OPT_MX:
        return each_word(p, value, add_mx);
    case QS_OPT_WHERE:
        return append(s, &s->where, &s->where_count, value, len);
    case QS_OPT_JSON:
        o->json = true;
        return QS_OK;
    case QS_OPT_CSV:
        o->csv = true;
        return QS_OK;
    case QS_OPT_IDS:
        o->ids = true;
        return QS_OK;
    case QS_OPT_EXPLAIN:
        o->explain = true;
        return QS_OK;
    case QS_OPT_PROBLEMS:
        o->problems = true;
        return QS_OK;
    case QS_OPT_TOP:
        return set_number(p, name, value, 1000000000, &o->top);
    case QS_OPT_PARTIAL:
        o->partial = true;
        return QS_OK;
    case QS_OPT_RAW:
        o->raw = true;
        return QS_OK;
    case QS_OPT_SENDERS:
        o->senders = true;
        return QS_OK;
    case QS_OPT_SCHEMA:
        o->schema = true;
        return QS_OK;
    case QS_OPT_KEY:
        return set_once(p, name, value, &o->key);
    case QS_OPT_PUBLIC_KEY:
        return set_once(p, name, value, &o->public_key);
    case QS_OPT_HASHED:
        o->hashed = true;
        return QS_OK;
    case QS_OPT_MAX_SHRINK:
        if (!qs_parse_double(qs_span_of(value), &o->max_shrink) || o->max_shrink < 0 || o->max_shrink > 100)
            return qs_fail(p->err, QS_USAGE, "--max-shrink %.60s is no share from 0 to 100", value);
        return QS_OK;
    case QS_OPT_LIST:
        return set_once(p, name, value, &o->list);
    case QS_OPT_UNKNOWN:
        o->unknown = true;
        return QS_OK;
    case QS_OPT_LOG:
        return append(o, &o->logs, &o->log_count, value, len);
    case QS_OPT_MMDB:
        return set_once(p, name, value, &o->mmdb);
    case QS_OPT_OVER:
        return set_number(p, name, value, 1000000000, &o->over);
    case QS_OPT_FORMAT:
        return set_once(p, name, value, &o->format);
    case QS_OPT_PRUNE:
        return set_once(p, name, value, &o->prune);
    case QS_OPT_REPLACE:
        o->replace = true;
        return QS_OK;
    case QS_OPT_ALL:
        o->all = true;
        return QS_OK;
    case QS_OPT_COMMIT:
        o->commit = true;
        return QS_OK;
    case QS_OPT_PLAN:
        return set_once(p, name, value, &o->plan);
    case QS_OPT_MAX:
        return set_number(p, name, value, 1000000000, &o->max);
    case QS_OPT_MAX_SHARE:
        if (!qs_parse_double(qs_span_of(value), &o->max_share) || o->max_share <= 0 || o->max_share > 100)
            return qs_fail(p->err, QS_USAGE, "--max-share %.60s is no share from 0 to 100", value);
        return QS_OK;
    case QS_OPT_INCLUDE_LEGIT:
        o->include_legit = true;
        return QS_OK;
    case QS_OPT_FOR:
        return set_time(p, name, value, &o->defer_for);
    case QS_OPT_REASON:
        return set_once(p, name, value, &o->reason);
    case QS_OPT_KEEP:
        o->keep = true;
        return QS_OK;
    case QS_OPT_NO_ARCHIVE:
        o->no_archive = true;
        return QS_OK;
    case QS_OPT_OUTPUT:
        return set_once(p, name, value, &o->output);
    case QS_OPT_EDITED:
        o->edited = true;
        return QS_OK;
    case QS_OPT_WITH_MESSAGES:
        o->with_messages = true;
        return QS_OK;
    case QS_OPT_CHECK_QUEUE:
        o->check_queue = true;
        return QS_OK;
    case QS_OPT_DUE:
        o->due = true;
        return QS_OK;
    case QS_OPT_DRIP:
        return set_pace(p, value, &o->drip);
    case QS_OPT_STICKY:
        return set_time(p, name, value, &o->sticky);
    case QS_OPT_AGAIN:
        o->again = true;
        return QS_OK;
    case QS_OPT_DAMAGED:
        o->damaged = true;
        return QS_OK;
    case QS_OPT_EXPORT:
        if (strcmp(value, "mbox") != 0 && strcmp(value, "eml") != 0)
            return qs_fail(p->err, QS_USAGE, "--export %.60s: mbox or eml", value);
        return set_once(p, name, value, &o->export);
    case QS_OPT_RESUBMIT:
        o->resubmit = true;
        return QS_OK;
    case QS_OPT_PROGRAM:
        return set_once(p, name, value, &o->submit_program);
    case QS_OPT_STATE:
        return set_once(p, name, value, &o->state);
    case QS_OPT_SITE:
        return set_once(p, name, value, &o->site);
    case QS_OPT_LIKE_GOOD:
        return append(o, &o->like_good, &o->like_good_count, value, len);
    case QS_OPT_MAPS:
        o->maps = true;
        return QS_OK;
    case QS_OPT_LIKE_BAD:
        return append(o, &o->like_bad, &o->like_bad_count, value, len);
    case QS_OPT_TRAIN:
        return qs_parse_double(qs_span_of(value), &o->train) && o->train > 0 && o->train <= 100
            ? QS_OK : qs_fail(p->err, QS_USAGE, "--train %.60s is no share from 0 to 100", value);
    case QS_OPT_GOOD:
        return append(o, &o->good, &o->good_count, value, len);
    case QS_OPT_ACTION:
        return qs_mine_action_parse(qs_span_of(value), &o->action)
            ? QS_OK : qs_fail(p->err, QS_USAGE, "--action %.60s: take REJECT, HOLD or DISCARD", value);
    }
    return QS_OK;
}

/* Keeps the option for commands that the report advises to type. --threads and --verdict are not part of
 * them. */
static enum qs_status remember(struct parser *p, enum qs_option_id id, const char *value)
{
    struct qs_options *o = p->options;
    char **words = table[id].group == SELECTION ? &o->selection_words : &o->program;
    if ((id == QS_OPT_DNS || id == QS_OPT_MAPS) && !value) {
        *words = talloc_asprintf_append_buffer(*words, " --%s", table[id].name);
        return *words ? QS_OK : QS_NOMEM;
    }
    if (table[id].group == OWN || !value || id == QS_OPT_VERDICT || id == QS_OPT_THREADS)
        return QS_OK;
    char *quoted = qs_shell_word(o, value);
    if (quoted)
        *words = talloc_asprintf_append_buffer(*words, " --%s %s", table[id].name, quoted);
    talloc_free(quoted);
    return quoted && *words ? QS_OK : QS_NOMEM;
}

/* --- words --------------------------------------------------------------------------- */

static bool find_option(const char *word, enum qs_option_id *out)
{
    size_t len = strcspn(word + 2, "=");
    for (unsigned o = 0; o < QS_OPTIONS; o++)
        if (word[1] == '-' ? strlen(table[o].name) == len && strncmp(word + 2, table[o].name, len) == 0
                           : table[o].letter == word[1] && word[2] == '\0') {
            *out = (enum qs_option_id)o;
            return true;
        }
    return false;
}

/* Behind a command that has a flag of the name, it is that flag: `doctor --queue`. */
static enum qs_option_id flag_of_command(const struct qs_options *options, enum qs_option_id id)
{
    if (options->command)
        for (unsigned o = 0; o < QS_OPTIONS; o++)
            if ((options->command->options & QS_OPTION(o)) && !table[o].argument && strcmp(table[o].name, table[id].name) == 0)
                return (enum qs_option_id)o;
    return id;
}

/* --queue is a directory before the command; behind it a queue's name, unless it has a slash. */
static enum qs_option_id which_queue(const struct qs_options *options, const char *value)
{
    return options->command && !strchr(value, '/') ? QS_OPT_QUEUE : QS_OPT_QUEUE_DIR;
}

/* A plan, a journal and the commands that are advised must mean the same from every directory. */
static bool is_place(enum qs_option_id id)
{
    return id == QS_OPT_QUEUE_DIR || id == QS_OPT_CONFIG || id == QS_OPT_STATE;
}

/* The word behind --dns is its value when it is an address, with a port or without. */
static bool is_server(const char *word)
{
    struct qs_network address;
    struct qs_span host = qs_span_of(word);
    const char *colon = strrchr(word, ':');
    if (colon && (word[0] == '[' ? colon[-1] == ']' : strchr(word, ':') == colon))
        host.len = (size_t)(colon - word);
    return host.len && !memchr(word, '/', host.len) && qs_network_parse(host, &address, NULL) == QS_OK;
}

/* Takes argv[*at] and, when it needs one, the value behind it. */
static enum qs_status take_option(struct parser *p, int argc, char **argv, int *at)
{
    const char *word = argv[*at], *equals = word[1] == '-' ? strchr(word, '=') : NULL, *value = NULL;
    enum qs_option_id id;
    if (word[1] != '-' && (word[1] == '\0' || word[2] != '\0' || !find_option(word, &id)))
        return qs_fail(p->err, QS_USAGE, "unknown option %.60s", word);
    if (!find_option(word, &id))
        return unknown_option(word, p->err);
    id = flag_of_command(p->options, id);
    if (!table[id].argument && equals)
        return qs_fail(p->err, QS_USAGE, "--%s takes no value", table[id].name);
    if (table[id].argument) {
        if (equals)
            value = equals + 1;
        else if (id == QS_OPT_DNS && (*at + 1 >= argc || !is_server(argv[*at + 1])))
            ;                       /* the system's */
        else if (*at + 1 < argc)
            value = argv[++*at];
        else
            return qs_fail(p->err, QS_USAGE, "--%s needs a value: %s", table[id].name, table[id].argument);
        if (id == QS_OPT_QUEUE_DIR)
            id = which_queue(p->options, value);
        if (is_place(id) && value[0] && !(value = qs_absolute_path(p->options, value)))
            return QS_NOMEM;
    }
    p->used |= QS_OPTION(id);
    enum qs_status status = apply(p, id, value);
    return status == QS_OK ? remember(p, id, value) : status;
}

static enum qs_status take_word(struct parser *p, const char *word)
{
    struct qs_options *o = p->options;
    if (o->command)
        return append(o, &o->arguments, &o->argument_count, word, strlen(word));
    for (size_t c = 0; c < qs_command_count; c++)
        if (strcmp(word, qs_commands[c]->name) == 0)
            o->command = qs_commands[c];
    return o->command ? QS_OK : unknown_command(word, p->err);
}

static qs_option_set allowed(const struct qs_command *command)
{
    qs_option_set set = command->options;
    for (unsigned o = 0; o < QS_OPTIONS; o++)
        if (table[o].group == WHERE || (table[o].group == SELECTION && command->selects))
            set |= QS_OPTION(o);
    return set;
}

static enum qs_status check(const struct parser *p)
{
    const struct qs_options *o = p->options;
    const struct qs_command *command = o->command;
    qs_option_set wrong = p->used & ~allowed(command);
    for (unsigned id = 0; id < QS_OPTIONS; id++)
        if (wrong & QS_OPTION(id))
            return qs_fail(p->err, QS_USAGE, "--%s is no option of %s", table[id].name, command->name);
    if (o->argument_count < command->least)
        return qs_fail(p->err, QS_USAGE, "%s needs %s", command->name, command->arguments);
    if (o->argument_count > command->most)
        return qs_fail(p->err, QS_USAGE, "%s: one word too many: %.60s", command->name,
                       o->arguments[command->most]);
    if (o->json + o->csv + o->ids + o->raw > 1)
        return qs_fail(p->err, QS_USAGE, "only one of --json, --csv, --ids and --raw");
    if (o->no_dns && (o->dns || o->selection->mx))
        return qs_fail(p->err, QS_USAGE, "--no-dns, and --%s asks DNS", o->dns ? "dns" : "mx");
    if (o->from_count && (o->queue_dir || o->mta || o->config || o->maps))
        return qs_fail(p->err, QS_USAGE, "--from reads no queue: leave --queue, --config, --maps and --mta away");
    if (o->from_count && command->never_saved)
        return qs_fail(p->err, QS_USAGE, "%s does not work on a saved scan: leave --from away", command->name);
    return QS_OK;
}

static enum qs_status parse(struct parser *p, int argc, char **argv)
{
    enum qs_status status = QS_OK;
    bool words_only = false;
    for (int at = 1; status == QS_OK && at < argc; at++) {
        const char *word = argv[at];
        if (!words_only && strcmp(word, "--") == 0)
            words_only = true;
        else if (!words_only && word[0] == '-' && word[1] != '\0')
            status = take_option(p, argc, argv, &at);
        else
            status = take_word(p, word);
    }
    if (status != QS_OK || p->options->help || p->options->version)
        return status;
    if (!p->options->command)
        p->options->command = &qs_cmd_triage;
    return check(p);
}

/* The whole command line as it could be typed again. */
static char *command_line(TALLOC_CTX *parent, int argc, char **argv)
{
    char *line = talloc_strdup(parent, "");
    for (int i = 0; line && i < argc; i++) {
        char *word = qs_shell_word(parent, argv[i]);
        line = word ? talloc_asprintf_append_buffer(line, "%s%s", i ? " " : "", word) : NULL;
        talloc_free(word);
    }
    return line;
}

char *qs_absolute_path(TALLOC_CTX *parent, const char *path)
{
    char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
    char *absolute = path[0] == '/' ? talloc_strdup(parent, path)
                                    : here ? talloc_asprintf(parent, "%s/%s", here, path) : NULL;
    free(here);
    return absolute;
}

enum qs_status qs_options_parse(TALLOC_CTX *parent, int argc, char **argv, struct qs_options **out,
                                struct qs_error *err)
{
    struct qs_options *o = talloc_zero(parent, struct qs_options);
    if (o) {
        o->max_shrink = -1;
        o->selection = qs_selection_new(o);
        o->program = qs_shell_word(o, argc > 0 ? argv[0] : "qsurgeon");
        o->selection_words = talloc_strdup(o, "");
        o->line = command_line(o, argc, argv);
    }
    if (!o || !o->selection || !o->program || !o->selection_words || !o->line)
        return qs_fail(err, QS_NOMEM, "out of memory");
    struct parser p = {.options = o, .err = err};
    enum qs_status status = parse(&p, argc, argv);
    if (status == QS_NOMEM)
        qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        *out = o;
    return status;
}

/* --- help ---------------------------------------------------------------------------- */

/* Fits 80 columns: from column `at` on, further lines from `indent` on. A line end in the text is a blank. */
static void put_words(FILE *out, const char *text, size_t at, int indent)
{
    enum { WIDE = 80 };
    for (bool first = true;; first = false) {
        text += strspn(text, " \n");
        size_t n = strcspn(text, " \n");
        if (!n)
            break;
        if (!first && at + 1 + n > WIDE)
            at = (size_t)fprintf(out, "\n%*s", indent, "") - 1;
        else if (!first)
            at += fputc(' ', out) != EOF;
        fwrite(text, 1, n, out);
        at += n;
        text += n;
    }
    fputc('\n', out);
}

static void put_row(FILE *out, const char *words, const char *text)
{
    int at = fprintf(out, "  %-22s ", words);
    put_words(out, text, at > 0 ? (size_t)at : 0, 25);
}

static void help_option(FILE *out, const struct option *o)
{
    char words[60];
    snprintf(words, sizeof words, "%s%c%s--%s%s%s", o->letter ? "-" : "", o->letter ? o->letter : ' ',
             o->letter ? ", " : "   ", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
    put_row(out, words, o->help);
}

static void help_options(FILE *out, const char *title, enum option_group group, qs_option_set set)
{
    bool titled = false;
    for (unsigned o = 0; o < QS_OPTIONS; o++) {
        if (table[o].group != group || !(set & QS_OPTION(o)))
            continue;
        if (!titled)
            fprintf(out, "\n%s\n", title);
        titled = true;
        help_option(out, &table[o]);
    }
}

void qs_help(FILE *out)
{
    fputs("usage: qsurgeon [WHERE] COMMAND [SELECTION] [OPTIONS]\n\n", out);
    put_words(out, "Reads the queue of Postfix or sendmail and says what is storm, what is backscatter and "
                   "what is real mail; moves the storm aside, reversibly. Nothing is changed without --commit. "
                   "Without a command: triage.", 0, 0);
    fputs("\nCommands\n", out);
    for (size_t c = 0; c < qs_command_count; c++) {
        char words[60];
        snprintf(words, sizeof words, "%s %s", qs_commands[c]->name, qs_commands[c]->arguments);
        put_row(out, words, qs_commands[c]->summary);
    }
    help_options(out, "Where to look", WHERE, QS_EVERY_OPTION);
    help_options(out, "Selection; options of one kind widen it, several kinds narrow it", SELECTION,
                 QS_EVERY_OPTION);
    fputs("\nRE is a PCRE2 pattern, caseless, found anywhere in the text.\n"
          "`qsurgeon help COMMAND` has the options of a command.\n", out);
}

void qs_help_command(FILE *out, const struct qs_command *command)
{
    fprintf(out, "usage: qsurgeon [WHERE] %s%s%s%s%s\n\n%s.\n", command->name,
            command->arguments[0] ? " " : "", command->arguments, command->selects ? " [SELECTION]" : "",
            command->options ? " [OPTIONS]" : "", command->summary);
    if (command->description[0])
        put_words(out, command->description, 0, 0);
    help_options(out, "Options", OWN, command->options);
    help_options(out, "Selection", SELECTION, command->selects ? QS_EVERY_OPTION : command->options);
    help_options(out, "Where to look", WHERE, QS_EVERY_OPTION);
    fputc('\n', out);
    put_words(out, "Exit codes: 0 done; 2 done but for some messages; 64 usage; 65 a named file is damaged; 69 no "
                   "queue; 71 out of memory; 74 input or output; 75 try again; 77 no permission; 78 configuration.", 0, 0);
}
