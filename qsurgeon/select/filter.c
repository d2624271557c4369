/* SPDX-License-Identifier: Apache-2.0 */
/* From options to marks on messages. Each kind of option is one pass that clears the marks of what it does
 * not want. Options on text ask their question once for each distinct string, not for each message; a
 * million messages share few strings. */
#include <errno.h>
#include <string.h>

#include "pattern.h"
#include "qsurgeon/dns.h"
#include "qsurgeon/network.h"
#include "schema.h"
#include "sql.h"

struct qs_selection *qs_selection_new(TALLOC_CTX *parent)
{
    struct qs_selection *s = talloc_zero(parent, struct qs_selection);
    if (s != NULL)
        s->older = s->younger = s->larger = s->smaller = -1;
    return s;
}

bool qs_selection_all(const struct qs_selection *s)
{
    return s->id_count == 0 && !s->ids_given && s->verdicts == 0 && s->causes == 0 && s->cluster_count == 0 &&
           s->sender_count == 0 && s->recipient_count == 0 && s->client_count == 0 && s->subject_count == 0 &&
           s->queue_count == 0 && s->older < 0 && s->younger < 0 && s->larger < 0 && s->smaller < 0 &&
           s->like_count == 0 && s->mx == 0 && s->where_count == 0;
}

/* --- in words ------------------------------------------------------------------------------------------- */

/* One part of the words: ", " before all but the first. */
static char *add_part(char *words, const char *text)
{
    return talloc_asprintf_append_buffer(words, "%s%s", words[0] != '\0' ? ", " : "", text);
}

static char *add_list(char *words, const char *before, char *const *list, size_t count)
{
    enum { SHOWN = 5 };
    for (size_t i = 0; words != NULL && i < count && i < SHOWN; i++) {
        if (i == 0)
            words = add_part(words, before);
        if (words != NULL)
            words = talloc_asprintf_append_buffer(words, "%s%s", i == 0 ? " " : " or ", list[i]);
    }
    if (words != NULL && count > SHOWN)
        words = talloc_asprintf_append_buffer(words, " or %zu more", count - SHOWN);
    return words;
}

/* Exact, unlike qs_text_age(): 5400 is "1h30m". */
static char *add_duration(char *words, const char *before, int64_t seconds)
{
    static const struct {
        int64_t seconds;
        char unit;
    } units[] = {{7 * 86400, 'w'}, {86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    if (seconds < 0)
        return words;
    words = add_part(words, before);
    for (size_t i = 0; words != NULL && i < sizeof units / sizeof units[0]; i++) {
        int64_t n = seconds / units[i].seconds;
        if (n > 0 || (units[i].seconds == 1 && words[strlen(words) - 1] == ' '))
            words = talloc_asprintf_append_buffer(words, "%lld%c", (long long)n, units[i].unit);
        seconds %= units[i].seconds;
    }
    return words;
}

static char *add_size(char *words, const char *before, int64_t bytes)
{
    if (bytes < 0)
        return words;
    words = add_part(words, before);
    return words != NULL ? talloc_asprintf_append_buffer(words, "%lld bytes", (long long)bytes) : NULL;
}

static char *add_names(char *words, const char *before, uint32_t bits, uint32_t count,
                       const char *(*name)(uint32_t))
{
    const char *join = " ";
    if (bits == 0)
        return words;
    words = add_part(words, before);
    for (uint32_t i = 0; words != NULL && i < count; i++) {
        if ((bits >> i & 1) == 0)
            continue;
        words = talloc_asprintf_append_buffer(words, "%s%s", join, name(i));
        join = " or ";
    }
    return words;
}

static const char *verdict_word(uint32_t verdict)
{
    return qs_verdict_name((enum qs_verdict)verdict);
}

static const char *cause_word(uint32_t cause)
{
    return qs_cause_name((enum qs_cause)cause);
}

static const char *mx_word(uint32_t mx)
{
    return qs_mx_name((enum qs_mx)mx);
}

char *qs_selection_words(TALLOC_CTX *parent, const struct qs_selection *s)
{
    char *words = talloc_strdup(parent, qs_selection_all(s) ? "all messages" : "");
    words = words != NULL ? add_names(words, "verdict", s->verdicts, QS_VERDICTS, verdict_word) : NULL;
    words = words != NULL ? add_names(words, "cause", s->causes, QS_CAUSES, cause_word) : NULL;
    words = words != NULL ? add_list(words, "cluster", s->clusters, s->cluster_count) : NULL;
    if (words != NULL && s->ids_given && s->id_count == 0)
        words = add_part(words, "an empty list of queue IDs");
    words = words != NULL ? add_list(words, "queue ID", s->ids, s->id_count) : NULL;
    words = words != NULL ? add_list(words, "queue", s->queues, s->queue_count) : NULL;
    words = words != NULL ? add_list(words, "sender", s->senders, s->sender_count) : NULL;
    words = words != NULL ? add_list(words, "recipient", s->recipients, s->recipient_count) : NULL;
    words = words != NULL ? add_list(words, "client", s->clients, s->client_count) : NULL;
    words = words != NULL ? add_list(words, "subject", s->subjects, s->subject_count) : NULL;
    words = words != NULL ? add_list(words, "like", s->like, s->like_count) : NULL;
    words = words != NULL ? add_duration(words, "older than ", s->older) : NULL;
    words = words != NULL ? add_duration(words, "younger than ", s->younger) : NULL;
    words = words != NULL ? add_size(words, "at least ", s->larger) : NULL;
    words = words != NULL ? add_size(words, "smaller than ", s->smaller) : NULL;
    words = words != NULL ? add_names(words, "MX", s->mx, QS_MX_KINDS, mx_word) : NULL;
    return words != NULL ? add_list(words, "where", s->where, s->where_count) : NULL;
}

/* --- the work ------------------------------------------------------------------------------------------- */

struct work {
    const struct qs_view *view;
    const struct qs_selection *s;
    uint8_t *marks;                 /* of each message */
    struct qs_error *err;
};

static enum qs_status no_memory(struct qs_error *err)
{
    return qs_fail(err, QS_NOMEM, "out of memory");
}

static void keep_marked(struct work *w, const uint8_t *wanted)
{
    for (uint32_t i = 0; i < w->view->scan->count; i++)
        w->marks[i] &= wanted[i];
}

static uint8_t *new_marks(TALLOC_CTX *parent, const struct qs_view *view)
{
    return talloc_zero_array(parent, uint8_t, view->scan->count);
}

static enum qs_status by_id(struct work *w)
{
    const struct qs_selection *s = w->s;
    if (!s->ids_given && s->id_count == 0)
        return QS_OK;
    uint8_t *wanted = new_marks(NULL, w->view);
    struct qs_names *ids = wanted != NULL
        ? qs_names_new(wanted, w->view, w->view->scan->count, qs_message_name) : NULL;
    if (ids == NULL) {
        talloc_free(wanted);
        return no_memory(w->err);
    }
    for (size_t i = 0; i < s->id_count; i++) {
        struct qs_span id = qs_span_of(s->ids[i]);
        for (uint32_t row = qs_names_next(ids, id, QS_NO_ROW); row != QS_NO_ROW;
             row = qs_names_next(ids, id, row))
            wanted[row] = 1;
    }
    keep_marked(w, wanted);
    talloc_free(wanted);
    return QS_OK;
}

static enum qs_status by_verdict(struct work *w)
{
    const struct qs_selection *s = w->s;
    const struct qs_judgement *judged = w->view->judgement;
    if (s->verdicts == 0 && s->causes == 0)
        return QS_OK;
    for (uint32_t i = 0; i < w->view->scan->count; i++) {
        const struct qs_finding *finding = &judged->of[i];
        bool wanted = (s->verdicts == 0 || (s->verdicts >> finding->verdict & 1) != 0) &&
                      (s->causes == 0 || (s->causes >> finding->cause & 1) != 0);
        w->marks[i] &= wanted;
    }
    return QS_OK;
}

static enum qs_status by_cluster(struct work *w)
{
    const struct qs_judgement *judged = w->view->judgement;
    if (w->s->cluster_count == 0)
        return QS_OK;
    uint8_t *wanted = new_marks(NULL, w->view);
    if (wanted == NULL)
        return no_memory(w->err);
    for (size_t i = 0; i < w->s->cluster_count; i++) {
        bool known = false;
        struct qs_span name = qs_span_of(w->s->clusters[i]);
        for (uint32_t g = 0; g < judged->group_count; g++) {
            const struct qs_group *group = &judged->group[g];
            if (!qs_span_is_nocase(name, group->name))
                continue;
            known = true;
            for (uint32_t k = 0; k < group->count; k++)
                wanted[judged->member[group->first + k]] = 1;
        }
        if (!known) {
            talloc_free(wanted);
            return qs_fail(w->err, QS_USAGE, "there is no cluster %.60s in this queue", w->s->clusters[i]);
        }
    }
    keep_marked(w, wanted);
    talloc_free(wanted);
    return QS_OK;
}

static enum qs_status by_number(struct work *w)
{
    const struct qs_selection *s = w->s;
    if (s->older < 0 && s->younger < 0 && s->larger < 0 && s->smaller < 0)
        return QS_OK;
    for (uint32_t i = 0; i < w->view->scan->count; i++) {
        const struct qs_message *m = &w->view->scan->messages[i];
        int64_t age;
        if (__builtin_sub_overflow(w->view->now, m->arrival, &age))
            age = m->arrival < 0 ? INT64_MAX : INT64_MIN;
        bool wanted = (s->older < 0 || age >= s->older) && (s->younger < 0 || age < s->younger) &&
                      (s->larger < 0 || m->size >= (uint64_t)s->larger) &&
                      (s->smaller < 0 || m->size < (uint64_t)s->smaller);
        w->marks[i] &= wanted;
    }
    return QS_OK;
}

/* --- text ----------------------------------------------------------------------------------------------- */

/* The values of one option, with the answer for each string once it is known. */
struct sieve {
    struct qs_pattern **pattern;
    size_t pattern_count;
    struct qs_network *network;
    size_t network_count;
    bool empty;                     /* "<>" was given: the empty string is wanted */
    uint8_t *known, *known_address; /* by symbol: 0 not asked, 1 no, 2 yes */
};

static enum qs_status sieve_new(const struct work *w, const char *option, char *const *list, size_t count,
                                bool addresses, struct sieve **out)
{
    struct sieve *sieve = talloc_zero(NULL, struct sieve);
    uint32_t slots = qs_intern_slots(w->view->scan->strings);
    enum qs_status status = QS_OK;
    struct qs_error why = {""};
    if (sieve == NULL)
        return no_memory(w->err);
    sieve->pattern = talloc_zero_array(sieve, struct qs_pattern *, (unsigned)count);
    sieve->network = talloc_zero_array(sieve, struct qs_network, (unsigned)count);
    sieve->known = talloc_zero_array(sieve, uint8_t, slots);
    sieve->known_address = talloc_zero_array(sieve, uint8_t, addresses ? slots : 1);
    if (sieve->pattern == NULL || sieve->network == NULL || sieve->known == NULL ||
        sieve->known_address == NULL)
        status = no_memory(&why);
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        status = QS_SKIP;
        if (addresses)
            status = qs_network_parse(qs_span_of(list[i]), &sieve->network[sieve->network_count], &why);
        /* no name has a slash: this pattern would match nothing */
        if (status == QS_SKIP && addresses && strchr(list[i], '/') != NULL &&
            list[i][strspn(list[i], "0123456789abcdefABCDEF:./[]")] == '\0')
            status = qs_fail(&why, QS_USAGE, "%.60s is no network", list[i]);
        if (status == QS_OK) {
            sieve->network_count++;
        } else if (status == QS_SKIP && !addresses && strcmp(list[i], "<>") == 0) {
            sieve->empty = true;
            status = QS_OK;
        } else if (status == QS_SKIP) {
            status = qs_pattern_new(sieve, list[i], &sieve->pattern[sieve->pattern_count], &why);
            sieve->pattern_count += status == QS_OK;
        }
    }
    if (status == QS_OK) {
        *out = sieve;
        return QS_OK;
    }
    talloc_free(sieve);
    return qs_fail(w->err, status, "--%s: %s", option, why.text);
}

static enum qs_status text_passes(const struct work *w, const struct sieve *sieve, qs_sym symbol,
                                  bool *passes)
{
    uint8_t *known = &sieve->known[symbol];
    if (*known == 0) {
        bool found = symbol == 0 && sieve->empty;
        for (size_t i = 0; !found && i < sieve->pattern_count; i++) {
            enum qs_status status = qs_pattern_find(
                sieve->pattern[i], qs_sym_span(w->view->scan->strings, symbol), &found, w->err);
            if (status != QS_OK)
                return status;
        }
        *known = found ? 2 : 1;
    }
    *passes = *known == 2;
    return QS_OK;
}

static bool address_passes(const struct work *w, const struct sieve *sieve, qs_sym symbol)
{
    uint8_t *known = &sieve->known_address[symbol];
    if (*known == 0) {
        *known = 1;
        for (size_t i = 0; *known == 1 && i < sieve->network_count; i++)
            if (qs_network_has(&sieve->network[i], qs_sym_span(w->view->scan->strings, symbol)))
                *known = 2;
    }
    return *known == 2;
}

/* Does a message pass the sieve of its kind? */
typedef enum qs_status (*message_test)(const struct work *w, const struct sieve *sieve,
                                       const struct qs_message *m, bool *passes);

static enum qs_status sender_passes(const struct work *w, const struct sieve *sieve,
                                    const struct qs_message *m, bool *passes)
{
    return text_passes(w, sieve, m->sender, passes);
}

static enum qs_status subject_passes(const struct work *w, const struct sieve *sieve,
                                     const struct qs_message *m, bool *passes)
{
    return text_passes(w, sieve, m->subject, passes);
}

static enum qs_status recipient_passes(const struct work *w, const struct sieve *sieve,
                                       const struct qs_message *m, bool *passes)
{
    enum qs_status status = QS_OK;
    *passes = false;
    for (uint32_t i = 0; status == QS_OK && !*passes && i < m->recipient_count; i++)
        if (m->recipients[i].state == QS_RCPT_TODO)
            status = text_passes(w, sieve, m->recipients[i].address, passes);
    return status;
}

static enum qs_status client_passes(const struct work *w, const struct sieve *sieve,
                                    const struct qs_message *m, bool *passes)
{
    const qs_sym text[] = {m->client_address, m->client_name, m->helo};
    enum qs_status status = QS_OK;
    *passes = address_passes(w, sieve, m->client_address);
    for (size_t i = 0; status == QS_OK && !*passes && i < sizeof text / sizeof text[0]; i++)
        if (text[i] != 0)               /* mail without a client comes from none, whatever the pattern */
            status = text_passes(w, sieve, text[i], passes);
    return status;
}

static enum qs_status by_text(struct work *w, const char *option, char *const *list, size_t count,
                              bool addresses, message_test test)
{
    struct sieve *sieve = NULL;
    const struct qs_scan *scan = w->view->scan;
    if (count == 0)
        return QS_OK;
    enum qs_status status = sieve_new(w, option, list, count, addresses, &sieve);
    for (uint32_t i = 0; status == QS_OK && i < scan->count; i++) {
        bool passes = false;
        if (w->marks[i] == 0)
            continue;
        status = test(w, sieve, &scan->messages[i], &passes);
        w->marks[i] = passes;
    }
    talloc_free(sieve);
    return status;
}

static void by_mx(struct work *w)
{
    const struct qs_scan *scan = w->view->scan;
    if (w->s->mx == 0)
        return;
    const struct qs_dns *dns = w->view->judgement->site->dns;
    for (uint32_t i = 0; i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        bool waiting = false, all = true;
        for (uint32_t r = 0; w->marks[i] != 0 && all && r < m->recipient_count; r++) {
            if (m->recipients[r].state != QS_RCPT_TODO)
                continue;
            waiting = true;
            all = (w->s->mx >> qs_dns_of(dns, qs_sym_span(scan->strings, m->recipients[r].address)) & 1) != 0;
        }
        w->marks[i] &= waiting && all;
    }
}

static enum qs_status by_queue(struct work *w)
{
    const struct qs_scan *scan = w->view->scan;
    if (w->s->queue_count == 0)
        return QS_OK;
    for (uint32_t i = 0; i < scan->count; i++) {
        bool wanted = false;
        struct qs_span name = qs_sym_span(scan->strings, scan->messages[i].queue_name);
        for (size_t q = 0; !wanted && q < w->s->queue_count; q++)
            wanted = qs_span_is_nocase(name, w->s->queues[q]);
        w->marks[i] &= wanted;
    }
    return QS_OK;
}

/* --- like a message ------------------------------------------------------------------------------------- */

bool qs_alike(const struct qs_message *a, const struct qs_message *b)
{
    if (a->print.shingles == 0 && b->print.shingles == 0)
        return a->attachment != 0 && a->attachment == b->attachment;
    return qs_same_text(&a->print, &b->print) ||
           (a->returned != NULL && b->returned != NULL && qs_same_text(&a->returned->print, &b->returned->print));
}

/* The message that is called `path`: by its queue ID, or as the path of its queue file; sendmail's have two letters before
 * the ID. NULL: it is something else. */
static const struct qs_message *message_called(const struct qs_view *view, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    const char *bare = name[0] != '\0' && name[1] == 'f' ? name + 2 : name;
    for (uint32_t i = 0; i < view->scan->count; i++)
        if (strcmp(view->scan->messages[i].id, name) == 0 || strcmp(view->scan->messages[i].id, bare) == 0)
            return &view->scan->messages[i];
    return NULL;
}

static enum qs_status mark_like(const struct work *w, const char *path, struct qs_scan_lens *lens,
                                uint8_t *wanted)
{
    const struct qs_scan *scan = w->view->scan;
    const struct qs_message *queued = message_called(w->view, path);
    struct qs_message file = queued != NULL ? *queued : (struct qs_message){0};
    struct qs_error why = {""};
    enum qs_status status = queued != NULL ? QS_OK : qs_scan_file(lens, path, &file, &why);
    if (status != QS_OK)
        return qs_fail(w->err, status, "--like %s", why.text);
    const struct qs_fingerprint *print = &file.print;
    if (file.returned != NULL && file.returned->print.shingles > 0)
        print = &file.returned->print;
    if (print->shingles == 0 && file.attachment == 0)
        return qs_fail(w->err, QS_USAGE, "--like %s: no text to compare; a raw message or the ID of one in the queue is wanted", path);
    for (uint32_t i = 0; i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        if (print->shingles == 0)
            wanted[i] |= m->attachment == file.attachment && m->print.shingles == 0;
        else
            wanted[i] |=
                qs_same_text(print, &m->print) || (m->returned != NULL && qs_same_text(print, &m->returned->print));
    }
    return QS_OK;
}

static enum qs_status by_like(struct work *w)
{
    if (w->s->like_count == 0)
        return QS_OK;
    uint8_t *wanted = new_marks(NULL, w->view);
    struct qs_scan_lens *lens = wanted != NULL ? qs_scan_lens_new(wanted, w->view->scan) : NULL;
    enum qs_status status = lens != NULL ? QS_OK : no_memory(w->err);
    for (size_t i = 0; status == QS_OK && i < w->s->like_count; i++)
        status = mark_like(w, w->s->like[i], lens, wanted);
    if (status == QS_OK)
        keep_marked(w, wanted);
    talloc_free(wanted);
    return status;
}

static enum qs_status by_where(struct work *w)
{
    if (w->s->where_count == 0)
        return QS_OK;
    uint8_t *wanted = new_marks(NULL, w->view);
    enum qs_status status = wanted != NULL ? QS_OK : no_memory(w->err);
    for (size_t i = 0; status == QS_OK && i < w->s->where_count; i++)
        status = qs_where(w->view, w->s->where[i], wanted, w->err);
    if (status == QS_OK)
        keep_marked(w, wanted);
    talloc_free(wanted);
    return status;
}

/* Every kind is checked, also when no message is left, so that a wrong pattern is always told. */
enum qs_status qs_select(TALLOC_CTX *parent, const struct qs_view *view, const struct qs_selection *s,
                         uint8_t **out, uint32_t *count, struct qs_error *err)
{
    struct work w = {view, s, new_marks(NULL, view), err};
    enum qs_status status = w.marks != NULL ? QS_OK : no_memory(err);
    if (status == QS_OK) {
        memset(w.marks, 1, view->scan->count);
        status = by_like(&w);           /* first: it adds strings, for which the sieves must have room */
    }
    if (status == QS_OK)
        status = by_id(&w);
    if (status == QS_OK)
        status = by_verdict(&w);
    if (status == QS_OK)
        status = by_cluster(&w);
    if (status == QS_OK)
        status = by_number(&w);
    if (status == QS_OK)
        by_mx(&w);
    if (status == QS_OK)
        status = by_queue(&w);
    if (status == QS_OK)
        status = by_text(&w, "sender", s->senders, s->sender_count, false, sender_passes);
    if (status == QS_OK)
        status = by_text(&w, "recipient", s->recipients, s->recipient_count, false, recipient_passes);
    if (status == QS_OK)
        status = by_text(&w, "client", s->clients, s->client_count, true, client_passes);
    if (status == QS_OK)
        status = by_text(&w, "subject", s->subjects, s->subject_count, false, subject_passes);
    if (status == QS_OK)
        status = by_where(&w);
    if (status != QS_OK) {
        talloc_free(w.marks);
        return status;
    }
    uint32_t marked = 0;
    for (uint32_t i = 0; i < view->scan->count; i++)
        marked += w.marks[i];
    *out = talloc_steal(parent, w.marks);
    *count = marked;
    return QS_OK;
}
