/* SPDX-License-Identifier: Apache-2.0 */
/* Guarded SQLite connections: what a user's or a stranger's SQL may do. Private to select/. */
#ifndef QSURGEON_SELECT_SQL_H
#define QSURGEON_SELECT_SQL_H

#include <sqlite3.h>

#include "qsurgeon/select.h"

/* Sets marks[row] = 1 for the messages for which the expression is true. QS_USAGE, QS_NOMEM. */
enum qs_status qs_where(const struct qs_view *view, const char *expression, uint8_t *marks,
                        struct qs_error *err) QS_MUST_CHECK;

#endif
