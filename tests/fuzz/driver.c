/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target without libFuzzer: on every file below the directories given, on that file cut off at
 * up to `tries` places, and on `tries` mutations of it, the same ones on each run. It does not look for
 * new paths through the code; libFuzzer does. Each input lies in a block of exactly its size, so that a
 * sanitizer sees a read behind it. An input that stops the program is left in ./crash-NAME.
 *
 * usage: fuzz_NAME [-n TRIES] FILE|DIRECTORY... */
#include <errno.h>
#include <fts.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qsurgeon/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

enum { TRIES = 400, LONGEST = 1 << 20 };

static const char *program = "fuzz";
static char now[512];                   /* what is being run, for the last words */
static const uint8_t *input;
static size_t input_size;
static unsigned long long runs;

static void last_words(void)
{
    char name[256];
    FILE *file;
    if (input == NULL)
        return;
    (void)snprintf(name, sizeof name, "crash-%s", program);
    (void)fprintf(stderr, "%s: stopped at %s; the input is in %s\n", program, now, name);
    file = fopen(name, "wb");
    if (file != NULL) {
        (void)fwrite(input, 1, input_size, file);
        (void)fclose(file);
    }
    input = NULL;
}

static void on_signal(int number)
{
    last_words();
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static uint8_t *block(size_t size)
{
    uint8_t *made = malloc(size);
    if (made == NULL && size > 0) {
        (void)fprintf(stderr, "%s: out of memory\n", program);
        exit(1);
    }
    return made;
}

static uint8_t *copy_of(const uint8_t *data, size_t size)
{
    uint8_t *copy = block(size);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* Takes `data`, a block of its own. */
static void run(uint8_t *data, size_t size)
{
    input = data;
    input_size = size;
    (void)LLVMFuzzerTestOneInput(data, size);
    input = NULL;
    runs++;
    free(data);
}

/* xorshift64, Marsaglia 2003. */
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* One to eight changes: a bit, a byte, a byte that parsers care about, a piece removed or repeated. */
static uint8_t *mutate(const uint8_t *data, size_t *size, uint64_t *state)
{
    static const uint8_t special[] = {0, 1, 0x7F, 0x80, 0xFF, '\n', '\r', ' ', '<', '>', '=', '&', '"', '\\', '-', '9'};
    uint8_t *to = copy_of(data, *size);
    size_t len = *size;
    for (uint64_t changes = random_next(state) % 8 + 1; changes > 0 && len > 0; changes--) {
        size_t at = random_next(state) % len, piece = random_next(state) % (len - at) % 64 + 1;
        switch (random_next(state) % 5) {
        case 0:
            to[at] ^= (uint8_t)(1u << random_next(state) % 8);
            break;
        case 1:
            to[at] = (uint8_t)random_next(state);
            break;
        case 2:
            to[at] = special[random_next(state) % sizeof special];
            break;
        case 3:
            memmove(to + at, to + at + piece, len - at - piece);
            len -= piece;
            break;
        case 4: {
            uint8_t *more = block(len + piece);
            memcpy(more, to, at + piece);
            memcpy(more + at + piece, to + at, len - at);
            free(to);
            to = more;
            len += piece;
            break;
        }
        }
    }
    *size = len;
    uint8_t *exact = copy_of(to, len);
    free(to);
    return exact;
}

static void run_all(const char *name, const uint8_t *data, size_t size, uint64_t tries)
{
    uint64_t state = 88172645463325252u, cuts = size < tries ? size : tries;
    (void)snprintf(now, sizeof now, "%s", name);
    run(copy_of(data, size), size);
    for (uint64_t i = 0; i < cuts; i++) {
        size_t cut = (size_t)((double)size * (double)i / (double)cuts);
        (void)snprintf(now, sizeof now, "%s cut to %zu bytes", name, cut);
        run(copy_of(data, cut), cut);
    }
    for (uint64_t i = 0; i < tries; i++) {
        size_t len = size;
        uint8_t *mutant = mutate(data, &len, &state);
        (void)snprintf(now, sizeof now, "%s mutation %llu", name, (unsigned long long)i);
        run(mutant, len);
    }
}

static int run_file(const char *name, uint64_t tries)
{
    uint8_t *data = block(LONGEST);
    FILE *file = fopen(name, "rb");
    size_t size = 0;
    int failed = file == NULL;
    if (file != NULL) {
        size = fread(data, 1, LONGEST, file);
        failed = ferror(file);
        (void)fclose(file);
    }
    if (failed)
        (void)fprintf(stderr, "%s: %s: %s\n", program, name, strerror(errno));
    else
        run_all(name, data, size, tries);
    free(data);
    return failed;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

int main(int argc, char **argv)
{
    uint64_t tries = TRIES;
    int first = 1, failed = 0;
    size_t files = 0;
    FTS *tree;
    const char *slash = strrchr(argv[0], '/');
    program = slash != NULL ? slash + 1 : argv[0];
    if (argc > 2 && strcmp(argv[1], "-n") == 0 && qs_parse_u64(qs_span_of(argv[2]), &tries))
        first = 3;
    if (first >= argc || argv[first][0] == '-') {
        (void)fprintf(stderr, "usage: %s [-n TRIES] FILE|DIRECTORY...\n", program);
        return 64;
    }
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(last_words);
    else
        (void)signal(SIGSEGV, on_signal);
    (void)signal(SIGABRT, on_signal);
    run(copy_of(NULL, 0), 0);
    tree = fts_open(argv + first, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    for (FTSENT *entry; tree != NULL && (entry = fts_read(tree)) != NULL;) {
        if (entry->fts_info == FTS_F) {
            failed |= run_file(entry->fts_path, tries);
            files++;
        } else if (entry->fts_info == FTS_NS || entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR) {
            (void)fprintf(stderr, "%s: %s: %s\n", program, entry->fts_path, strerror(entry->fts_errno));
            failed = 1;
        }
    }
    if (tree == NULL || fts_close(tree) != 0 || files == 0) {
        (void)fprintf(stderr, "%s: no seeds\n", program);
        failed = 1;
    }
    (void)printf("%s: %zu files, %llu inputs\n", program, files, runs);
    return failed;
}
