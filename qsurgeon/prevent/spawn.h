/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a program of the mail server. Private to prevent/. */
#ifndef QSURGEON_PREVENT_SPAWN_H
#define QSURGEON_PREVENT_SPAWN_H

#include <talloc.h>

#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

/* Runs argv[0], found as a shell finds it, with the file `input` (NULL: nothing) as its standard input, and gives what it
 * printed, under parent, and a NUL behind it. QS_CONFIG: it cannot be run, failed (the text is its last complaint), or
 * prints more than 1 GB. QS_NOMEM. */
enum qs_status qs_spawn(TALLOC_CTX *parent, const char *const argv[], const char *input, struct qs_span *out,
                        struct qs_error *err) QS_MUST_CHECK;

#endif
