/* SPDX-License-Identifier: Apache-2.0 */
/* What the output may look like: width, height, colour, characters. */
#ifndef QSURGEON_CLI_TERMINAL_H
#define QSURGEON_CLI_TERMINAL_H

#include "cli.h"

/* Of `out` and the environment (COLUMNS, NO_COLOR, TERM, LC_ALL, LC_CTYPE, LANG). */
struct qs_style qs_terminal_style(FILE *out);
bool qs_is_terminal(FILE *out);
/* A terminal on which lines can be written over. */
bool qs_is_rewritable(FILE *out);

#endif
