/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of flaws, for the drivers' inspect(). */
#ifndef QSURGEON_FLAWS_H
#define QSURGEON_FLAWS_H

#include <sys/stat.h>

#include "qsurgeon/format.h"
#include "qsurgeon/intern.h"

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

/* A file that may have a flaw: told when all is known. */
struct qs_suspect {
    unsigned where;             /* the driver's: which directory, or which kind of file */
    enum qs_flaw_kind kind;
    qs_sym id;
    const char *path;
    struct stat st;
};
struct qs_suspects {
    struct qs_suspect *list;    /* talloc array */
    size_t count, size;
    TALLOC_CTX *parent;         /* of the paths as well */
};
/* The path is copied. False: out of memory. */
bool qs_suspects_add(struct qs_suspects *suspects, const struct qs_suspect *suspect) QS_MUST_CHECK;
/* Forgets those of which `still` says false. */
void qs_suspects_keep(struct qs_suspects *suspects, bool (*still)(const void *data, const struct qs_suspect *suspect),
                      const void *data);

#endif
