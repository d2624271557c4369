/* SPDX-License-Identifier: Apache-2.0 */
/* Strings kept once. A million messages share senders, clients, reasons; each such string is stored one time and
 * stands in the records as a 32-bit symbol. */
#ifndef QSURGEON_INTERN_H
#define QSURGEON_INTERN_H

#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/text.h"

typedef uint32_t qs_sym;        /* 0 is the empty string; other numbers differ from run to run: never sort by them */

struct qs_intern;

enum { QS_INTERN_MAX = 1000 };  /* longer strings are cut to this many bytes */

/* Belongs to `parent`; NULL when memory is out. */
struct qs_intern *qs_intern_new(TALLOC_CTX *parent);
/* The symbol of `text`. Any number of threads may call this at once. Bytes are kept as they are except NUL, which
 * becomes '?'. Returns 0 for the empty string and when memory is out (then qs_intern_failed() is true for good). */
qs_sym qs_intern(struct qs_intern *in, struct qs_span text);
/* The same for text lowered in ASCII: for host names and addresses' domains. */
qs_sym qs_intern_lower(struct qs_intern *in, struct qs_span text);
bool qs_intern_failed(const struct qs_intern *in);

/* Not to be called while another thread interns. The text is NUL-terminated and lives as long as the table. */
const char *qs_sym_str(const struct qs_intern *in, qs_sym sym);
struct qs_span qs_sym_span(const struct qs_intern *in, qs_sym sym);
/* A number in [0, qs_intern_slots()) for use as an array index; dense enough for side tables. */
uint32_t qs_intern_slots(const struct qs_intern *in);
/* Bytes taken from the system. */
size_t qs_intern_size(const struct qs_intern *in);

#endif
