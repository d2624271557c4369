/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FLUSH_AT = 256 * 1024, MOVES_MOST = 1000000 };

static const char *const outcome_words[QS_OUTCOMES] = {
    [QS_DONE] = "done", [QS_LEFT_GONE] = "gone", [QS_LEFT_CHANGED] = "changed", [QS_LEFT_BUSY] = "busy",
    [QS_LEFT_REFUSED] = "refused", [QS_FAILED] = "failed", [QS_NOT_REACHED] = "not-reached",
};

static const char *const kind_words[] = {
    [QS_STEP_MOVE] = "move", [QS_STEP_TIMES] = "times", [QS_STEP_BYTE] = "byte", [QS_STEP_CREATE] = "create",
};

const char *qs_outcome_name(enum qs_outcome outcome)
{
    return outcome_words[outcome];
}

struct qs_journal {
    int fd;
    bool torn;                  /* a write failed half-way: the next one begins a new line */
    struct qs_buffer lines;
};

static int close_journal(struct qs_journal *journal)
{
    if (journal->fd >= 0)
        close(journal->fd);
    return 0;
}

static char *path_of(TALLOC_CTX *parent, const char *dir)
{
    return talloc_asprintf(parent, "%s/journal.jsonl", dir);
}

/* --- writing ---------------------------------------------------------------------------------------------------------- */

enum qs_status qs_journal_open(TALLOC_CTX *parent, const char *dir, struct qs_journal **out, struct qs_error *err)
{
    struct qs_journal *journal = talloc_zero(parent, struct qs_journal);
    if (!journal)
        return qs_fail(err, QS_NOMEM, "out of memory");
    journal->fd = -1;
    talloc_set_destructor(journal, close_journal);
    qs_buffer_init(&journal->lines, journal);
    char *path = path_of(journal, dir);
    enum qs_status status = path ? qs_fs_append(path, &journal->fd, err) : qs_fail(err, QS_NOMEM, "out of memory");
    /* a line that a crash cut off must not swallow the next one */
    if (status == QS_OK && !qs_buffer_add_char(&journal->lines, '\n'))
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        *out = journal;
    else
        talloc_free(journal);
    return status;
}

static enum qs_status flush(struct qs_journal *journal, bool sync, struct qs_error *err)
{
    enum qs_status status = journal->torn ? qs_fs_put(journal->fd, QS_SPAN("\n"), false, err) : QS_OK;
    if (status == QS_OK)
        status = qs_fs_put(journal->fd, (struct qs_span){journal->lines.data, journal->lines.len}, sync, err);
    journal->torn = status != QS_OK;
    if (status == QS_OK)
        journal->lines.len = 0;
    return status;
}

enum qs_status qs_journal_sync(struct qs_journal *journal, struct qs_error *err)
{
    return flush(journal, true, err);
}

/* Our own paths and words: nothing in them needs escaping (plan.c and the drivers let no other name pass). */
static bool add(struct qs_buffer *to, const char *text)
{
    return qs_buffer_add(to, qs_span_of(text));
}

static bool add_count(struct qs_buffer *to, const char *key, uint64_t number)
{
    return add(to, key) && qs_buffer_add_number(to, number);
}

static bool add_move(struct qs_buffer *to, const struct qs_move *m, bool first)
{
    char numbers[200];
    if (!add(to, first ? "{\"k\":\"" : ",{\"k\":\"") || !add(to, kind_words[m->kind]))
        return false;
    if (m->from && (!add(to, "\",\"f\":\"") || !add(to, m->from)))
        return false;
    if (m->to && (!add(to, "\",\"t\":\"") || !add(to, m->to)))
        return false;
    if (m->back && (!add(to, "\",\"bk\":\"") || !add(to, m->back)))
        return false;
    if (!add_count(to, "\",\"i\":", m->inode) || (m->optional && !add(to, ",\"o\":1")) || (m->log && !add(to, ",\"l\":1")))
        return false;
    numbers[0] = '\0';
    if (m->kind == QS_STEP_TIMES)
        snprintf(numbers, sizeof numbers, ",\"b\":[%lld,%ld,%lld,%ld],\"s\":%" PRId64, (long long)m->before[0].tv_sec,
                 m->before[0].tv_nsec, (long long)m->before[1].tv_sec, m->before[1].tv_nsec, m->time);
    else if (m->kind == QS_STEP_BYTE)
        snprintf(numbers, sizeof numbers, ",\"at\":%" PRIu64 ",\"x\":%u,\"y\":%u", m->offset, m->expect, m->byte);
    return add(to, numbers) && add(to, "}");
}

static enum qs_status finish_lines(struct qs_journal *journal, bool ok, struct qs_error *err)
{
    if (!ok)
        return qs_fail(err, QS_NOMEM, "out of memory");
    return journal->lines.len > FLUSH_AT ? flush(journal, false, err) : QS_OK;
}

bool qs_journal_line(struct qs_buffer *to, uint32_t n, const struct qs_move *moves, size_t count)
{
    const size_t before = to->len;
    bool ok = add_count(to, "{\"n\":", n) && add(to, ",\"moves\":[");
    for (size_t i = 0; ok && i < count; i++)
        ok = add_move(to, &moves[i], i == 0);
    if (ok && add(to, "]}\n"))
        return true;
    to->len = before;
    return false;
}

enum qs_status qs_journal_lines(struct qs_journal *journal, struct qs_span lines, struct qs_error *err)
{
    return finish_lines(journal, qs_buffer_add(&journal->lines, lines), err);
}

enum qs_status qs_journal_moves(struct qs_journal *journal, uint32_t n, const struct qs_move *moves, size_t count,
                                struct qs_error *err)
{
    return finish_lines(journal, qs_journal_line(&journal->lines, n, moves, count), err);
}

enum qs_status qs_journal_outcome(struct qs_journal *journal, uint32_t n, bool undone, enum qs_outcome outcome, const char *why,
                                  struct qs_error *err)
{
    struct qs_buffer *to = &journal->lines;
    bool ok = add_count(to, "{\"n\":", n) && add(to, undone ? ",\"back\":\"" : ",\"outcome\":\"") &&
              add(to, outcome_words[outcome]) && add(to, "\"");
    if (ok && why && why[0]) {
        json_t *text = json_string(why);            /* NULL where it is no UTF-8: the outcome says enough then */
        char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
        ok = !quoted || (add(to, ",\"why\":") && add(to, quoted));
        free(quoted);
        json_decref(text);
    }
    return finish_lines(journal, ok && add(to, "}\n"), err);
}

enum qs_status qs_journal_mark(struct qs_journal *journal, const char *mark, struct qs_error *err)
{
    struct qs_buffer *to = &journal->lines;
    enum qs_status status = finish_lines(journal, add(to, "{\"") && add(to, mark) && add(to, "\":true}\n"), err);
    return status == QS_OK ? flush(journal, true, err) : status;
}

enum qs_status qs_journal_archive(struct qs_journal *journal, const char *path, struct qs_error *err)
{
    json_t *object = json_pack("{s:s}", "archive", path);
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(object);
    if (!text)
        return qs_fail(err, QS_DATA, "the path of the archive is not UTF-8");
    enum qs_status status = finish_lines(journal, add(&journal->lines, text) && add(&journal->lines, "\n"), err);
    free(text);
    return status == QS_OK ? flush(journal, true, err) : status;
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

static bool good_path(const char *path)
{
    if (!path || !path[0] || path[0] == '/' || strlen(path) > 600 || strstr(path, ".."))
        return false;
    for (const char *p = path; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == '"' || *p == '\\' || (unsigned char)*p >= 127)
            return false;
    return true;
}

static uint64_t number(const json_t *object, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(object, key));
    return n < 0 ? 0 : (uint64_t)n;
}

static bool take_move(TALLOC_CTX *parent, const json_t *object, struct qs_move *m)
{
    const char *word = json_string_value(json_object_get(object, "k"));
    const char *from = json_string_value(json_object_get(object, "f")), *to = json_string_value(json_object_get(object, "t"));
    const char *back = json_string_value(json_object_get(object, "bk"));
    bool known = false;
    for (unsigned k = 0; word && k < sizeof kind_words / sizeof *kind_words; k++)
        if (strcmp(word, kind_words[k]) == 0) {
            m->kind = (enum qs_step_kind)k;
            known = true;
        }
    bool needs_to = m->kind == QS_STEP_MOVE || m->kind == QS_STEP_CREATE;
    if (!known || !good_path(from) || (needs_to && !good_path(to)) || (back && !good_path(back)))
        return false;
    m->back = back ? talloc_strdup(parent, back) : NULL;
    m->from = talloc_strdup(parent, from);
    m->to = to ? talloc_strdup(parent, to) : NULL;
    m->inode = number(object, "i");
    m->optional = number(object, "o") != 0;
    m->log = number(object, "l") != 0;
    m->offset = number(object, "at");
    m->expect = (uint8_t)number(object, "x");
    m->byte = (uint8_t)number(object, "y");
    m->time = json_integer_value(json_object_get(object, "s"));
    const json_t *before = json_object_get(object, "b");
    for (size_t i = 0; i < 2; i++) {
        m->before[i].tv_sec = (time_t)json_integer_value(json_array_get(before, 2 * i));
        json_int_t ns = json_integer_value(json_array_get(before, 2 * i + 1));
        m->before[i].tv_nsec = ns < 0 || ns > 999999999 ? 0 : (long)ns;
    }
    return m->from && (!needs_to || m->to);
}

static bool take_line(struct qs_past *past, const json_t *line)
{
    const json_t *n = json_object_get(line, "n");
    if (!n) {
        past->archived |= json_is_true(json_object_get(line, "archived"));
        past->unlinked |= json_is_true(json_object_get(line, "unlinked"));
        past->waits |= json_is_true(json_object_get(line, "waits"));
        past->undone |= json_is_true(json_object_get(line, "undone"));
        if (json_is_true(json_object_get(line, "undoing"))) {       /* also of what had waited */
            past->undoing = true;
            past->waits = past->undone = false;
        }
        const char *archive = json_string_value(json_object_get(line, "archive"));
        if (archive) {
            talloc_free(past->archive);
            past->archive = talloc_strdup(past, archive);
        }
        past->end |= json_is_true(json_object_get(line, "end"));
        return true;
    }
    if (!json_is_integer(n) || json_integer_value(n) < 0 || json_integer_value(n) >= past->count)
        return false;
    struct qs_record *r = &past->of[json_integer_value(n)];
    const json_t *moves = json_object_get(line, "moves");
    if (moves) {
        size_t count = json_array_size(moves);
        if (count == 0 || count > MOVES_MOST)
            return false;
        talloc_free(r->moves);
        r->has_outcome = false;
        r->count = count;
        r->moves = talloc_zero_array(past, struct qs_move, (unsigned)count);
        for (size_t i = 0; i < count; i++)
            if (!r->moves || !take_move(r->moves, json_array_get(moves, i), &r->moves[i]))
                return false;
    }
    const char *outcome = json_string_value(json_object_get(line, "outcome"));
    const char *back = json_string_value(json_object_get(line, "back"));
    for (unsigned o = 0; o < QS_OUTCOMES; o++) {
        if (outcome && strcmp(outcome, outcome_words[o]) == 0) {
            r->has_outcome = true;
            r->outcome = (enum qs_outcome)o;
        }
        if (back && strcmp(back, outcome_words[o]) == 0) {
            r->reversed = o == QS_DONE;
            r->settled = o == QS_DONE || o == QS_LEFT_GONE;
        }
    }
    return true;
}

/* Opens the journal for reading: *file is NULL where there is none. */
static enum qs_status open_past(TALLOC_CTX *parent, const char *dir, struct qs_past **past, char **path, FILE **file,
                                struct qs_error *err)
{
    *file = NULL;
    *past = talloc_zero(parent, struct qs_past);
    *path = *past ? path_of(*past, dir) : NULL;
    if (!*path)
        return qs_fail(err, QS_NOMEM, "out of memory");
    *file = fopen(*path, "re");
    return *file || errno == ENOENT ? QS_OK : qs_fail_errno(err, errno, "%s", *path);
}

enum { SKIM_NOT_DONE, SKIM_DONE, SKIM_IN_DOUBT };

static bool tells_outcome(struct qs_span text, enum qs_outcome outcome)
{
    const size_t length = strlen(outcome_words[outcome]);
    return qs_span_starts(text, outcome_words[outcome]) && text.len > length && text.ptr[length] == '"';
}

/* What one line says about a message, as this program writes it; state has a byte for each message. */
static void skim_line(struct qs_span line, uint8_t *state, uint32_t count)
{
    static const char outcome[] = ",\"outcome\":\"", back[] = ",\"back\":\"";
    size_t at = strlen("{\"n\":"), end = at;
    uint64_t n = 0;
    while (end < line.len && line.ptr[end] >= '0' && line.ptr[end] <= '9')
        end++;
    struct qs_span rest = {line.ptr + end, line.len - end};
    if (!qs_parse_u64((struct qs_span){line.ptr + at, end - at}, &n) || n >= count || line.ptr[line.len - 1] != '}')
        return;                                         /* cut off by a crash */
    if (qs_span_starts(rest, ",\"moves\":[") && line.ptr[line.len - 2] == ']')
        state[n] = SKIM_IN_DOUBT;
    else if (qs_span_starts(rest, outcome))
        state[n] = tells_outcome((struct qs_span){rest.ptr + sizeof outcome - 1, rest.len - (sizeof outcome - 1)}, QS_DONE)
            ? SKIM_DONE : SKIM_NOT_DONE;
    else if (state[n] == SKIM_IN_DOUBT && qs_span_starts(rest, back)) {
        struct qs_span word = {rest.ptr + sizeof back - 1, rest.len - (sizeof back - 1)};
        if (tells_outcome(word, QS_DONE) || tells_outcome(word, QS_LEFT_GONE))
            state[n] = SKIM_NOT_DONE;                   /* undo has settled it */
    }
}

enum qs_status qs_journal_skim(TALLOC_CTX *parent, const char *dir, uint32_t count, struct qs_past **out, struct qs_error *err)
{
    struct qs_past *past;
    char *path, *line = NULL;
    FILE *file;
    size_t size = 0;
    ssize_t length;
    enum qs_status status = open_past(parent, dir, &past, &path, &file, err);
    uint8_t *state = status == QS_OK ? talloc_zero_array(past, uint8_t, count ? count : 1) : NULL;
    if (status == QS_OK && !state)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    while (file && status == QS_OK && (length = getline(&line, &size, file)) > 0) {
        struct qs_span text = {line, (size_t)length - (line[length - 1] == '\n')};
        if (qs_span_starts(text, "{\"n\":")) {
            skim_line(text, state, count);
        } else if (text.len) {
            json_t *object = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
            if (json_is_object(object))
                (void)take_line(past, object);          /* past->count is 0: marks alone */
            json_decref(object);
        }
    }
    free(line);
    if (file)
        fclose(file);
    if (status != QS_OK) {
        talloc_free(past);
        return status;
    }
    for (uint32_t n = 0; n < count; n++) {
        past->done += state[n] == SKIM_DONE;
        past->in_doubt += state[n] == SKIM_IN_DOUBT;
    }
    talloc_free(state);
    *out = past;
    return QS_OK;
}

enum qs_status qs_journal_read(TALLOC_CTX *parent, const char *dir, uint32_t count, struct qs_past **out, struct qs_error *err)
{
    struct qs_past *past;
    char *path;
    FILE *file;
    enum qs_status status = open_past(parent, dir, &past, &path, &file, err);
    if (status == QS_OK && !(past->of = talloc_zero_array(past, struct qs_record, count ? count : 1)))
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (past)
        past->count = count;
    char *line = NULL;
    size_t size = 0, damaged = 0;
    ssize_t length;
    for (size_t at = 1; file && status == QS_OK && (length = getline(&line, &size, file)) > 0; at++) {
        if (length == 1)
            continue;
        json_t *object = json_loadb(line, (size_t)length, JSON_REJECT_DUPLICATES, NULL);
        /* what is no JSON was cut off by a crash; what is, but says nothing sensible, is damage */
        if (json_is_object(object) && !take_line(past, object))
            damaged = at;
        json_decref(object);
    }
    if (status == QS_OK && damaged)
        status = qs_fail(err, QS_DATA, "%s: line %zu is damaged", path, damaged);
    free(line);
    if (file)
        fclose(file);
    if (status == QS_OK)
        *out = past;
    else
        talloc_free(past);
    return status;
}
