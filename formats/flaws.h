/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of flaws, for the drivers' inspect(). */
#ifndef QSURGEON_FLAWS_H
#define QSURGEON_FLAWS_H

#include <sys/stat.h>

#include "qsurgeon/format.h"

struct qs_flaws {
    struct qs_flaw *list;       /* talloc array */
    size_t count, size;
    TALLOC_CTX *parent;
};

/* A new flaw without steps; id and path are copied. NULL: out of memory. Valid until the next one is added. */
struct qs_flaw *qs_flaws_add(struct qs_flaws *flaws, enum qs_flaw_kind kind, const char *what, const char *id,
                             const char *path, const struct stat *st);
/* One more step of the flaw: a move; its paths are copied. NULL: out of memory. */
struct qs_step *qs_flaw_move(struct qs_flaws *flaws, struct qs_flaw *flaw, const char *from, const char *to);
/* The flaw's file goes into the run directory. False: out of memory. */
bool qs_flaw_park(struct qs_flaws *flaws, struct qs_flaw *flaw) QS_MUST_CHECK;

#endif
