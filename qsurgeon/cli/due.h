/* SPDX-License-Identifier: Apache-2.0 */
/* The time until which a message is held, in the words that stand beside it in the queue: for MTAs that have no delay of their
 * own. The queue itself says what is due, whatever became of the run that wrote it; who puts a message on hold for another
 * reason writes other words, and it is due no more. */
#ifndef QSURGEON_CLI_DUE_H
#define QSURGEON_CLI_DUE_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/text.h"

/* "qsurgeon: deferred until 2026-11-22 09:00:00 UTC (1795338000)", then ": " and `why` unless it is NULL. NULL: out of memory. */
char *qs_due_words(TALLOC_CTX *parent, int64_t until, const char *why);

/* The time in such words, seconds since 1970. False: these are others. */
bool qs_due_read(struct qs_span words, int64_t *until);

#endif
