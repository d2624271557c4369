/* SPDX-License-Identifier: Apache-2.0 */
/* A run while a process works on it: shared by apply.c, which performs, and undo.c, which reverses and resumes. */
#ifndef QSURGEON_RUN_H
#define QSURGEON_RUN_H

#include "fsops.h"
#include "journal.h"
#include "perform.h"
#include "qsurgeon/apply.h"
#include "qsurgeon/table.h"

struct run {
    const struct qs_plan *plan;
    const struct qs_instance *instance;
    const struct qs_format *format;
    struct qs_queue *queue;
    const struct qs_operate *how;
    struct qs_fs *fs;
    struct qs_journal *journal;
    bool same_device;                   /* the queue lies where it lay when the plan was made */
    struct qs_past *past;               /* what the journal said before this process began */
    struct qs_reader *reader;
    struct qs_run_result *result;
    bool undoing;                       /* outcomes are those of the undo */
    char *dir;                          /* <state>/<run> */
    struct qs_queue *fresh;             /* queue, when it was opened for another listing; else NULL */
    bool listed;                        /* queue has been walked */
    struct qs_table *entry_of;          /* digest of a queue ID → index of entries */
    struct qs_entry *entries;
    uint32_t entry_count;
    uint32_t *missed;                   /* messages that had moved on before they were claimed: to be looked for again */
    uint32_t missed_count;
    unsigned chases;                    /* how often that may still be done */
    struct qs_table *flaw_of;           /* REPAIR: digest of a path → index of flaws */
    struct qs_flaw *flaws;
};

/* Everything a run needs but the plan's performance; result is empty. NULL: out of memory. */
struct run *qs_run_new(TALLOC_CTX *parent, const struct qs_plan *plan, const struct qs_instance *instance,
                       struct qs_queue *queue, const struct qs_operate *how);
/* Gives the run a name that sorts behind those before it. */
void qs_run_name(struct qs_run_result *result, const struct qs_plan *plan, const struct qs_operate *how);
/* Takes the lock, sets dir, reads the journal into past; result->run is set by the caller. */
enum qs_status qs_run_open(struct run *run, struct qs_error *err) QS_MUST_CHECK;
/* A run that there has been, opened again by its name. *run is NULL when memory is out; otherwise it is the caller's also when
 * opening it fails. */
enum qs_status qs_run_reopen(TALLOC_CTX *parent, const char *name, const struct qs_plan *plan, const struct qs_instance *instance,
                             struct qs_queue *queue, const struct qs_operate *how, struct run **run,
                             struct qs_error *err) QS_MUST_CHECK;
/* Performs what the journal does not have as done, to the end of the run. */
enum qs_status qs_run_go_on(struct run *run, struct qs_error *err) QS_MUST_CHECK;
/* The moves that led the files of one message into the run directory, that of its own file first: how many. */
enum { QS_RUN_FILES_MOST = 64 };
size_t qs_run_quarantined(const struct qs_record *record, const struct qs_move *moves[QS_RUN_FILES_MOST]);
/* By the journal: is message n still to be done? */
bool qs_run_needs_work(const struct run *run, uint32_t n);
/* Performs a plan of QS_ACT_RESTORE (restore.c): stages what is not done yet, journals its moves, moves it into the queue. When
 * staging fails (archive damaged, disk full), nothing was moved and nothing stays. */
enum qs_status qs_run_restore(struct run *run, struct qs_error *err) QS_MUST_CHECK;
/* Has somebody asked to stop, when `done` messages of the plan were done? Sets result->stopped. */
bool qs_run_stopped(struct run *run, uint32_t done);
/* Counts and journals the outcome of message n. */
enum qs_status qs_run_note(struct run *run, uint32_t n, enum qs_outcome outcome, const char *why,
                           struct qs_error *err) QS_MUST_CHECK;
enum qs_outcome qs_run_outcome(enum qs_status status);
void qs_run_wake(struct run *run);
/* REPAIR: what is wrong now, before the plan is performed; and the moves of one item, when it still is what was planned.
 * QS_GONE: nothing is wrong there any more. */
enum qs_status qs_repair_look(struct run *run, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_repair_describe(TALLOC_CTX *parent, struct run *run, const struct qs_plan_item *item, struct qs_move **moves,
                                  size_t *count, enum qs_lock_rule *rule, struct qs_error *err) QS_MUST_CHECK;
/* Gives the result to the caller, frees the run, returns status. */
enum qs_status qs_run_hand_over(TALLOC_CTX *parent, struct run *run, enum qs_status status,
                                struct qs_run_result **result) QS_MUST_CHECK;

#endif
