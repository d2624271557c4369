/* SPDX-License-Identifier: Apache-2.0 */
/* What to type next, and what to know before: see summary.h. Words only; nothing here is ever run by this
 * program. */
#include "print.h"
#include "summary.h"

#include <string.h>

char *qs_shell_word(TALLOC_CTX *parent, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    if (text[0] && text[strspn(text, plain)] == '\0')
        return talloc_strdup(parent, text);
    char *word = talloc_strdup(parent, "'");
    while (word && *text) {
        size_t n = strcspn(text, "'");
        word = talloc_strndup_append_buffer(word, text, n);
        text += n;
        if (word && *text == '\'') {
            word = talloc_strdup_append_buffer(word, "'\\''");
            text++;
        }
    }
    return word ? talloc_strdup_append_buffer(word, "'") : NULL;
}

static bool guilty(enum qs_verdict verdict)
{
    return verdict == QS_STORM || verdict == QS_BACKSCATTER;
}

/* The largest group of the summary that is guilty, or else unsure; NULL: none. */
static const struct qs_group *worst(const struct qs_view *view, const struct qs_summary *summary)
{
    const struct qs_group *unsure = NULL;
    for (uint32_t i = 0; i < summary->group_count; i++) {
        const struct qs_group *group = &view->judgement->group[summary->group[i].group];
        if (guilty((enum qs_verdict)group->verdict))
            return group;
        if (group->verdict == QS_UNSURE && !unsure)
            unsure = group;
    }
    return unsure;
}

struct advisor {
    TALLOC_CTX *parent;
    const struct qs_style *style;
    struct qs_advice *list;
    size_t count;
    bool failed;
};

static void advise(struct advisor *a, const char *why, char *command)
{
    struct qs_advice *grown = talloc_realloc(a->parent, a->list, struct qs_advice, (unsigned)a->count + 1);
    if (!grown || !command) {
        a->failed = true;
        return;
    }
    a->list = grown;
    a->list[a->count++] = (struct qs_advice){why, command};
}

/* What there is to do in one queue. */
struct waiting {
    uint64_t guilty, held, legit;       /* legit: not held */
};

static void count_waiting(const struct qs_view *view, const uint8_t *selected, struct waiting *of)
{
    for (uint32_t i = 0; i < view->scan->count; i++) {
        const struct qs_message *m = &view->scan->messages[i];
        enum qs_verdict verdict = (enum qs_verdict)view->judgement->of[i].verdict;
        bool held = m->flags & QS_ENV_HELD;
        if (!qs_is_selected(selected, i))
            continue;
        of[m->instance].guilty += guilty(verdict) && !held;
        of[m->instance].held += guilty(verdict) && held;
        of[m->instance].legit += verdict == QS_LEGIT && !held;
    }
}

/* One line for each queue of this machine that holds what is to be moved. An offline copy, for which no configuration is
 * known, is not to be operated on. */
static void advise_move(struct advisor *a, const struct qs_view *view, const uint8_t *selected, const char *verdicts, bool hold)
{
    struct waiting *of = talloc_zero_array(a->parent, struct waiting, (unsigned)view->scan->queue_count + 1);
    if (!of) {
        a->failed = true;
        return;
    }
    count_waiting(view, selected, of);
    for (size_t q = 0; q < view->scan->queue_count; q++) {
        const struct qs_instance *instance = view->scan->queues[q].instance;
        char *queue = instance ? qs_shell_word(a->parent, instance->queue_dir) : NULL;
        bool several = view->scan->queue_count > 1, express = hold && of[q].legit;
        if (!queue || !instance->config || !(hold ? of[q].guilty : of[q].held))
            continue;
        char *command = express ? talloc_strdup(a->parent, "express")
                                : talloc_asprintf(a->parent, "%s --verdict %s", hold ? "hold" : "release", verdicts);
        advise(a, express ? "park it, real mail first" : hold ? "hold it" : "let it go again",
               command ? talloc_asprintf(a->parent, "%s%s%s %s%s --commit", a->style->program, several ? " --queue " : "",
                                         several ? queue : "", command, a->style->selection) : NULL);
    }
}

enum qs_status qs_advise(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                         const struct qs_summary *summary, const struct qs_style *style, struct qs_advice **list, size_t *count, struct qs_error *err)
{
    struct advisor a = {.parent = parent, .style = style};
    const struct qs_sum *storm = &summary->of[QS_STORM], *backscatter = &summary->of[QS_BACKSCATTER];
    uint64_t found = storm->messages + backscatter->messages, held = storm->held + backscatter->held;
    const char *verdicts = !backscatter->messages ? "storm"
                           : !storm->messages     ? "backscatter"
                                                  : "storm,backscatter";
    const struct qs_group *group = view->partial ? NULL : worst(view, summary);

    if (view->partial)              /* nobody is to act on half a picture */
        found = held = 0;
    if (group) {
        advise(&a, "why", talloc_asprintf(parent, "%s triage --explain %s%s", style->program, group->name,
                                          style->selection));
        /* an ID of a saved scan may be anything */
        char *id = qs_shell_word(parent, view->scan->messages[group->sample].id);
        advise(&a, "look at one", id ? talloc_asprintf(parent, "%s show %s", style->program, id) : NULL);
    } else if (found) {
        advise(&a, "look at it", talloc_asprintf(parent, "%s list --verdict %s%s", style->program, verdicts,
                                                 style->selection));
    }
    if (found > held)
        advise_move(&a, view, selected, verdicts, true);
    else if (found)
        advise_move(&a, view, selected, verdicts, false);
    if (a.failed)
        return qs_fail(err, QS_NOMEM, "out of memory");
    *list = a.list;
    *count = a.count;
    return QS_OK;
}

enum qs_status qs_warn(TALLOC_CTX *parent, const struct qs_view *view, const struct qs_summary *summary,
                       char ***list, size_t *count, struct qs_error *err)
{
    const struct qs_scan_totals *totals = &view->scan->totals;
    uint64_t found = summary->of[QS_STORM].messages + summary->of[QS_BACKSCATTER].messages;
    uint64_t held = summary->of[QS_STORM].held + summary->of[QS_BACKSCATTER].held;
    uint64_t unsure = summary->of[QS_UNSURE].messages;
    char **line = talloc_array(parent, char *, 5);
    char number[32], whole[32], words[64];
    size_t n = 0;
    bool ok = line != NULL;

    if (ok && view->partial)
        ok = (line[n++] = talloc_asprintf(parent, "PARTIAL: %s of %s%s messages are read so far.",
                                          qs_number(number, view->scan->count),
                                          view->scan->listing ? "more than " : "",
                                          qs_number(whole, totals->listed))) != NULL;
    if (ok && totals->unreadable)
        ok = (line[n++] = talloc_asprintf(
                  parent, "%s could not be read and %s not counted above: see --problems.",
                  qs_plural(words, totals->unreadable, "file or directory", "files or directories"),
                  totals->unreadable == 1 ? "is" : "are")) != NULL;
    if (ok && totals->skipped && !view->scan->count && !view->partial)
        ok = (line[n++] = talloc_asprintf(
                  parent, "%s the mode of messages still being written: a copy of a queue must keep modes (cp -a, tar -p).",
                  qs_plural(words, totals->skipped, "file has", "files have"))) != NULL;
    if (ok && found && unsure && !view->partial)
        ok = (line[n++] = talloc_asprintf(parent, "%s unsure: look first; the commands below leave %s alone.",
                                          qs_plural(words, unsure, "message is", "messages are"),
                                          unsure == 1 ? "it" : "them")) != NULL;
    if (ok && found && held == found && !view->partial)
        ok = (line[n++] = talloc_asprintf(parent, "All storm and backscatter is on hold already.")) != NULL;
    if (!ok)
        return qs_fail(err, QS_NOMEM, "out of memory");
    *list = line;
    *count = n;
    return QS_OK;
}
