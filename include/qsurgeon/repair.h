/* SPDX-License-Identifier: Apache-2.0 */
/* Plans that repair what inspect() found, and what earlier runs left behind. A repair is a plan like any other: made here,
 * shown or saved, performed by qs_apply, reversed by qs_undo. Nothing is removed: orphans and stale files go into the
 * quarantine. */
#ifndef QSURGEON_REPAIR_H
#define QSURGEON_REPAIR_H

#include "qsurgeon/apply.h"

/* A plan of the flaws that have steps, as a child of parent; its items' identity is inode, size, time of change and digest of
 * the file. A file that has gone is left out. QS_USAGE: nothing that can be repaired. QS_NOPERM, QS_IO, QS_NOMEM. */
enum qs_status qs_repair_plan(TALLOC_CTX *parent, const struct qs_instance *instance, const struct qs_queue *queue,
                              const struct qs_flaw *flaws, size_t count, const char *host, int64_t now,
                              struct qs_plan **out, struct qs_error *err) QS_MUST_CHECK;

/* What lies in .qsurgeon of a queue directory: a run's quarantine. */
struct qs_leftover {
    const char *run;
    bool known;                 /* a run of the state directory; false: of another one, or its record was removed */
    bool unfinished;
};

/* The runs that are unfinished, and the quarantines that no run of `state_dir` knows; *list is a child of parent. */
enum qs_status qs_leftovers(TALLOC_CTX *parent, const char *queue_dir, const char *state_dir, struct qs_leftover **list,
                            size_t *count, struct qs_error *err) QS_MUST_CHECK;

const char *qs_flaw_name(enum qs_flaw_kind kind);

#endif
