/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner of scan/mail.c against GMime: both read the same messages, and the normalised words of what
 * a reader sees must be the same, as must those of the subject. Runs over the bundled samples and, where
 * it is present, over a collection of real mail that is not part of this project. Each disagreement is
 * printed. */
#include "unit.h"

#include <dirent.h>
#include <stdlib.h>

#include "qsurgeon/decode.h"
#include "qsurgeon/fingerprint.h"
#include "qsurgeon/mail.h"
#include "qsurgeon/reader.h"

#define SAMPLES QS_FIXTURES "/../tests/lab/data/samples"

enum { NAMES = 8192, HTML_ENOUGH = 20 };

struct bench {
    struct qs_mail_scanner *scanner;
    struct qs_mail mail;
    struct qs_buffer content, text, ours, theirs;
};

struct tally {
    unsigned messages, cut, opaque, unreadable;
    /* differ; damaged: texts of messages that the scanner calls malformed; padded: subjects that GMime
     * cuts */
    unsigned text, damaged, subject, padded;
};

static void no_link(void *data, struct qs_span url)
{
    (void)data;
    (void)url;
}

static bool read_whole(struct qs_buffer *to, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    to->len = 0;
    size_t n;
    do {
        assert_true(qs_buffer_reserve(to, 65536));
        n = fread(to->data + to->len, 1, 65536, file);
        to->len += n;
    } while (n > 0);
    fclose(file);
    return true;
}

/* Charsets that the scanner turns into opaque letters instead of converting them. */
static bool is_opaque(const char *charset)
{
    static const char *const names[] = { "iso-2022", "big5",  "chinesebig5", "gb",    "euc",      "ks_c",
                                         "ks-c",     "shift", "windows-31j", "cp932", "_iso-2022" };
    for (size_t i = 0; charset != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncasecmp(charset, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_opaque_word(struct qs_span raw)
{
    for (size_t i = 0; raw.len > 4 && i < raw.len - 4; i++) {
        if (raw.ptr[i] == '=' && raw.ptr[i + 1] == '?') {
            char name[24];
            size_t n = raw.len - i - 2 < sizeof(name) - 1 ? raw.len - i - 2 : sizeof(name) - 1;
            memcpy(name, raw.ptr + i + 2, n);
            name[n] = '\0';
            if (is_opaque(name)) {
                return true;
            }
        }
    }
    return false;
}

/* GMime 3.2 ends a subject where a base64 word with padding is followed by another word. */
static bool has_padded_word(struct qs_span raw)
{
    for (size_t i = 0; raw.len > 4 && i < raw.len - 4; i++) {
        if (memcmp(raw.ptr + i, "=?=", 3) == 0) {
            struct qs_span rest = qs_span_trim((struct qs_span){ raw.ptr + i + 3, raw.len - i - 3 });
            if (qs_span_starts(rest, "=?")) {
                return true;
            }
        }
    }
    return false;
}

static bool is_type(const struct qs_decoded_part *part, const char *type)
{
    return strcasecmp(part->type, type) == 0;
}

static bool is_html(const struct qs_decoded_part *part)
{
    return is_type(part, "text/html") || is_type(part, "text/enriched") || is_type(part, "text/richtext");
}

static bool is_shown(const struct qs_decoded_part *part)
{
    return part->text != NULL && !part->attached && !part->returned
           && (is_html(part) || is_type(part, "text/plain"));
}

/* Appends the words of one part; returns the bytes of visible text. */
static size_t add_words(struct bench *b, const struct qs_decoded_part *part)
{
    struct qs_span text = qs_span_of(part->text);
    b->text.len = 0;
    if (is_html(part)) {
        uint32_t hidden;
        assert_true(qs_html_text(&b->text, text, &hidden, no_link, NULL));
        text = (struct qs_span){ b->text.data, b->text.len };
    }
    if (b->theirs.len > 0) {
        assert_true(qs_buffer_add_char(&b->theirs, ' '));
    }
    size_t before = b->theirs.len;
    assert_true(qs_normalise(&b->theirs, text));
    if (b->theirs.len == before && before > 0) {
        b->theirs.len--;
    }
    return text.len;
}

/* The words of what a reader of GMime's parts would see; of alternatives HTML when it says anything, else
 * the first plain one. */
static void gmime_words(struct bench *b, const struct qs_decoded *d)
{
    b->theirs.len = 0;
    unsigned done = 0;          /* the last alternative that was read; they come one after the other */
    for (size_t i = 0; i < d->part_count; i++) {
        const struct qs_decoded_part *part = &d->part[i];
        if (!is_shown(part)) {
            continue;
        }
        if (part->alternative == 0) {
            add_words(b, part);
            continue;
        }
        if (part->alternative <= done) {
            continue;
        }
        done = part->alternative;
        bool enough = false;
        const struct qs_decoded_part *plain = NULL;
        for (size_t j = i; j < d->part_count; j++) {
            const struct qs_decoded_part *choice = &d->part[j];
            if (choice->alternative != part->alternative || !is_shown(choice)) {
                continue;
            }
            if (is_html(choice)) {
                enough = enough || add_words(b, choice) >= HTML_ENOUGH;
            } else if (plain == NULL && !enough) {
                plain = choice;
            }
        }
        if (!enough && plain != NULL) {
            add_words(b, plain);
        }
    }
}

/* Prints where two lines of words part. */
static void report(const char *what, const char *path, struct qs_span ours, struct qs_span theirs)
{
    size_t i = 0;
    while (i < ours.len && i < theirs.len && ours.ptr[i] == theirs.ptr[i]) {
        i++;
    }
    size_t from = i > 20 ? i - 20 : 0;
    char a[300], c[300];
    size_t n = ours.len - from < 70 ? ours.len - from : 70,
           m = theirs.len - from < 70 ? theirs.len - from : 70;
    qs_text_safe(a, sizeof(a), (struct qs_span){ ours.ptr + from, n });
    qs_text_safe(c, sizeof(c), (struct qs_span){ theirs.ptr + from, m });
    printf("%s differs in %s at byte %zu of %zu and %zu\n    ours:  %s\n    gmime: %s\n", what, path, i,
           ours.len, theirs.len, a, c);
}

static bool same(struct qs_span a, struct qs_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static void compare(struct bench *b, const char *path, struct tally *tally)
{
    if (!read_whole(&b->content, path)) {
        return;
    }
    struct qs_span content = { b->content.data, b->content.len };
    struct qs_decoded *decoded = NULL;
    struct qs_error err;
    tally->messages++;
    if (qs_decode(root, content, &decoded, &err) != QS_OK) {
        tally->unreadable++;
        return;
    }
    qs_mail_scan(b->scanner, content, false, false, &b->mail);
    bool opaque = false;
    for (size_t i = 0; i < decoded->part_count; i++) {
        opaque = opaque || (is_shown(&decoded->part[i]) && is_opaque(decoded->part[i].charset));
    }
    if (opaque) {
        tally->opaque++;
    } else if ((b->mail.traits & QS_T_CUT) != 0 || b->mail.text_total > QS_CAP_TEXT) {
        tally->cut++;
    } else {
        b->ours.len = 0;
        assert_true(qs_normalise(&b->ours, b->mail.text));
        gmime_words(b, decoded);
        struct qs_span ours = { b->ours.data, b->ours.len }, theirs = { b->theirs.data, b->theirs.len };
        /* the scanner takes a returned message in plain text out of the text */
        struct qs_span head = { theirs.ptr, ours.len < theirs.len ? ours.len : theirs.len };
        if (!same(ours, theirs) && !((b->mail.traits & QS_T_RETURNED) != 0 && same(ours, head))) {
            bool damaged = (b->mail.traits & QS_T_MALFORMED) != 0;
            tally->damaged += damaged;
            tally->text += !damaged;
            report(damaged ? "text of a malformed message" : "text", path, ours, theirs);
        }
    }
    if (!has_opaque_word(b->mail.subject) && (b->mail.traits & QS_T_CUT) == 0) {
        b->ours.len = b->theirs.len = 0;
        assert_true(qs_normalise(&b->ours, b->mail.subject_text));
        assert_true(qs_normalise(&b->theirs, qs_span_of(decoded->subject)));
        struct qs_span ours = { b->ours.data, b->ours.len }, theirs = { b->theirs.data, b->theirs.len };
        if (!same(ours, theirs)) {
            bool padded = has_padded_word(b->mail.subject);
            tally->padded += padded;
            tally->subject += !padded;
            report(padded ? "subject of padded words" : "subject", path, ours, theirs);
        }
    }
    talloc_free(decoded);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Compares every message of a folder; the share of those that disagree must not be above permille, that of
 * malformed ones 2 % higher. */
static void compare_folder(const char *folder, unsigned permille)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    struct bench *b = talloc_zero(root, struct bench);
    b->scanner = qs_mail_scanner_new(b);
    qs_buffer_init(&b->content, b);
    qs_buffer_init(&b->text, b);
    qs_buffer_init(&b->ours, b);
    qs_buffer_init(&b->theirs, b);
    char **name = talloc_array(b, char *, NAMES);
    size_t names = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL && names < NAMES; entry = readdir(dir)) {
        if (entry->d_name[0] != '.') {
            name[names++] = talloc_asprintf(b, "%s/%s", folder, entry->d_name);
        }
    }
    closedir(dir);
    qsort(name, names, sizeof(name[0]), by_name);
    struct tally tally = { 0 };
    for (size_t i = 0; i < names; i++) {
        compare(b, name[i], &tally);
    }
    unsigned compared = tally.messages - tally.cut - tally.opaque - tally.unreadable;
    printf("%s: %u messages, %u compared, %u cut, %u in charsets kept opaque, %u refused by GMime; "
           "%u texts differ, and %u of malformed messages; %u subjects differ, and %u that GMime cuts\n",
           folder, tally.messages, compared, tally.cut, tally.opaque, tally.unreadable, tally.text,
           tally.damaged, tally.subject, tally.padded);
    assert_true(compared > 0);
    assert_true(tally.text * 1000 <= compared * permille);
    assert_true(tally.subject * 1000 <= compared * permille);
    assert_true(tally.damaged * 1000 <= compared * (permille > 0 ? permille + 20 : 0));
    talloc_free(b);
}

static void test_samples(void **state)
{
    (void)state;
    static const char *const folders[] = { "ham", "spam", "bounce", "autoreply" };
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", SAMPLES, folders[i]);
        compare_folder(path, 0);
    }
}

static void compare_collection(const char *kind, unsigned permille)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", QS_CORPORA, kind);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        printf("SKIPPED: %s is absent\n", path);
        skip();
    }
    closedir(dir);
    compare_folder(path, permille);
}

static void test_ham(void **state)
{
    (void)state;
    compare_collection("ham", 10);
}

static void test_spam(void **state)
{
    (void)state;
    compare_collection("spam", 10);
}

static void test_bounce(void **state)
{
    (void)state;
    compare_collection("bounce", 10);
}

/* Damaged on purpose: there is no right reading. */
static void test_malformed(void **state)
{
    (void)state;
    compare_collection("malformed", 30);
}

int main(void)
{
    qs_decode_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples), cmocka_unit_test(test_ham), cmocka_unit_test(test_spam),
        cmocka_unit_test(test_bounce), cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
