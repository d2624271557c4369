/* SPDX-License-Identifier: Apache-2.0 */
/* What the printers share: safe text, numbers, colour, CSV cells. It knows nothing of messages. Private to
 * report/. */
#ifndef QSURGEON_REPORT_PRINT_H
#define QSURGEON_REPORT_PRINT_H

#include "qsurgeon/report.h"

enum qs_ink { QS_INK_PLAIN, QS_INK_BOLD, QS_INK_DIM, QS_INK_RED, QS_INK_YELLOW, QS_INK_GREEN, QS_INK_CYAN };

enum { QS_CELL = 480 };             /* bytes of one piece of text on a line */

/* Starts and ends a colour; nothing without style->colour. */
void qs_ink_on(FILE *out, const struct qs_style *style, enum qs_ink ink);
void qs_ink_off(FILE *out, const struct qs_style *style, enum qs_ink ink);
enum qs_ink qs_ink_of(enum qs_verdict verdict);

/* Somebody else's bytes for people into to[size]: qs_text_safe, and pure ASCII without style->utf8. Returns
 * the length. */
size_t qs_safe(char *to, size_t size, struct qs_span text, const struct qs_style *style);
/* The same straight to `out`, of any length. */
void qs_print_safe(FILE *out, struct qs_span text, const struct qs_style *style);
/* The same for text of several lines: they stay lines, each indented, at most `limit` of them; a tab becomes
 * a blank. */
void qs_print_lines(FILE *out, struct qs_span text, unsigned indent, size_t limit,
                    const struct qs_style *style);
/* Safe text wrapped at style->columns. The first line starts at column `at`, the others at `indent`. Runs of
 * blanks stay as they are within a line. */
void qs_print_wrapped(FILE *out, const char *words, unsigned at, unsigned indent,
                      const struct qs_style *style);
/* Cuts the safe text in to[] to `columns`, the last of them then a mark. */
void qs_cut(char to[QS_CELL], size_t columns, const struct qs_style *style);

/* 1234567 as "1,234,567". Returns `to`. */
char *qs_number(char to[32], uint64_t n);
/* "1 message", "2,000 messages". Returns `to`. */
char *qs_plural(char to[64], uint64_t n, const char *one, const char *many);
/* part of whole in per cent, rounded, but 0 and 100 only where they are true: "<1%", ">99%". Returns `to`. */
char *qs_share(char to[8], uint64_t part, uint64_t whole);
/* Seconds since 1970 as "2026-11-22 04:27:16 UTC"; "-" for what is no time. Returns `to`. */
char *qs_time(char to[32], int64_t when);
/* "todo", "done", "cancelled". */
const char *qs_state_name(enum qs_recipient_state state);
/* An envelope address for people: "<>" for the null sender. */
struct qs_span qs_address(struct qs_span address);

/* A CSV cell: quoted where needed, control characters escaped, never a formula. */
void qs_csv_cell(FILE *out, struct qs_span text, bool first);

/* QS_OK, or QS_IO when something could not be written to `out`. */
enum qs_status qs_written(FILE *out, struct qs_error *err) QS_MUST_CHECK;

#endif
