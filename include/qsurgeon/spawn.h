/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a program of the mail server and collects what it prints: with no shell, and with limits. */
#ifndef QSURGEON_SPAWN_H
#define QSURGEON_SPAWN_H

#include <talloc.h>

#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

struct qs_program {
    const char *const *argv;        /* ends with NULL; argv[0] is found as a shell finds it */
    const char *const *environment; /* ends with NULL; NULL itself: that of this process */
    const char *input;              /* file for its standard input; NULL: nothing */
    size_t most;                    /* bytes that it may print; 0: 1 GB */
    int silence;                    /* milliseconds that it may take without a word; 0: no limit */
};

/* Gives what it printed, under parent, and a NUL behind it. QS_CONFIG: it cannot be run, failed (the text is its last
 * complaint), prints too much, or is silent for too long: it is killed then. QS_GONE, QS_NOPERM, QS_IO: of the input, or of
 * pipes. QS_NOMEM. */
enum qs_status qs_spawn(TALLOC_CTX *parent, const struct qs_program *program, struct qs_span *out,
                        struct qs_error *err) QS_MUST_CHECK;

#endif
