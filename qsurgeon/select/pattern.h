/* SPDX-License-Identifier: Apache-2.0 */
/* The only door to PCRE2. Private to select/ and prevent/. */
#ifndef QSURGEON_SELECT_PATTERN_H
#define QSURGEON_SELECT_PATTERN_H

#include <stdbool.h>
#include <talloc.h>

#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

/* A compiled pattern: PCRE2, caseless, Unicode, unanchored; invalid UTF-8 in the text matches nothing and
 * harms nothing. For one thread. */
struct qs_pattern;

/* QS_USAGE: wrong, with the place, or empty (that would match everything). QS_NOMEM. */
enum qs_status qs_pattern_new(TALLOC_CTX *parent, const char *text, struct qs_pattern **out,
                              struct qs_error *err) QS_MUST_CHECK;

/* The same for bytes as an MTA's tables match them: caseless in ASCII, no Unicode, a dot matches a line end, too. */
enum qs_status qs_pattern_new_raw(TALLOC_CTX *parent, const char *text, struct qs_pattern **out,
                                  struct qs_error *err) QS_MUST_CHECK;

/* QS_USAGE: the pattern needs too many steps on this text; a selection that left such texts out in silence
 * would be a wrong selection. QS_NOMEM. */
enum qs_status qs_pattern_find(const struct qs_pattern *pattern, struct qs_span text, bool *found,
                               struct qs_error *err) QS_MUST_CHECK;

#endif
