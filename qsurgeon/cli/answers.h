/* SPDX-License-Identifier: Apache-2.0 */
/* Where answers of DNS are kept from one run to the next. That it cannot be read or written is no error: then DNS is asked. */
#ifndef QSURGEON_CLI_ANSWERS_H
#define QSURGEON_CLI_ANSWERS_H

#include "cli.h"

/* The answers of the run before, or nothing: a child of call->memory. */
struct qs_span qs_answers_read(const struct qs_call *call);
/* Keeps those of this run, unless they are empty. */
void qs_answers_keep(const struct qs_call *call, struct qs_span answers);

#endif
