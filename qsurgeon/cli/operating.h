/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands that change a queue share: becoming the queue's owner, signals, performing, reporting. */
#ifndef QSURGEON_CLI_OPERATING_H
#define QSURGEON_CLI_OPERATING_H

#include "cli.h"
#include "qsurgeon/apply.h"
#include "qsurgeon/plan.h"
#include "session.h"

/* The queue that a plan or a run is of, opened afresh. QS_USAGE: it is of another host. */
enum qs_status qs_operating_open(struct qs_call *call, const char *host, const char *mta, const char *queue_dir,
                                 const char *config, struct qs_instance **instance, struct qs_queue **queue,
                                 struct qs_error *err) QS_MUST_CHECK;

/* May this process change the queue at all? Neither root nor the queue's owner: QS_NOPERM, before anything is done. */
enum qs_status qs_operating_allowed(const struct qs_instance *instance, const struct qs_queue *queue,
                                    struct qs_error *err) QS_MUST_CHECK;

/* Where runs are kept: --state, or a directory of the MTA's own below /var/lib/qsurgeon. */
const char *qs_operating_state(const struct qs_call *call, const char *mta);

/* Makes the directory, for its owner alone, and those above it, which everybody may pass. It is the user's when root makes it. */
enum qs_status qs_operating_directory(const char *path, uid_t uid, gid_t gid, struct qs_error *err) QS_MUST_CHECK;

/* Becomes the owner of the queue's files for good, having made the state directory for it. From then on SIGINT and SIGTERM end
 * the run after the current message. */
enum qs_status qs_operating_begin(struct qs_call *call, const struct qs_instance *instance, const struct qs_queue *queue,
                                  struct qs_operate *how, struct qs_error *err) QS_MUST_CHECK;

/* Prints the result; call->left_out when some messages were left out. */
enum qs_status qs_operating_report(struct qs_call *call, const struct qs_run_result *result, const char *verb,
                                   struct qs_error *err) QS_MUST_CHECK;

/* What is needed for performing plans, one or several, on one queue. */
struct qs_operating {
    struct qs_instance *instance;
    struct qs_queue *queue;             /* not listed yet; NULL: opened when it is needed */
    struct qs_operate how;
    void (*told)(void *data, struct qs_run_result *result);     /* NULL, or adds to a result before it is reported; data: how.data */
};

/* The queue of the plan, and qs_operating_begin. */
enum qs_status qs_operating_start(struct qs_call *call, const struct qs_plan *plan, struct qs_operating *out,
                                  struct qs_error *err) QS_MUST_CHECK;

/* Performs one plan and reports; *result may be NULL, and is where nothing was begun. `result` may be NULL. */
enum qs_status qs_operating_perform(struct qs_call *call, const struct qs_plan *plan, struct qs_operating *with,
                                    struct qs_run_result **result, struct qs_error *err) QS_MUST_CHECK;

/* Names the unfinished runs on the queues in view, for people. Where runs are kept out of reach, there are none. */
void qs_operating_tell_unfinished(struct qs_call *call, const struct qs_scan *scan);

/* Has SIGINT or SIGTERM come since qs_operating_begin, or since that was called? */
void qs_operating_heed_signals(void);
bool qs_operating_stopped(void);

/* Both in one: performs the plan and reports. */
enum qs_status qs_operating_commit(struct qs_call *call, const struct qs_plan *plan, struct qs_error *err) QS_MUST_CHECK;

/* The plan for the marked messages of the session, as the options ask for it; what HOLD has for a reason and a due time, `drop`
 * and so on are taken from there. */
enum qs_status qs_operating_plan(struct qs_call *call, const struct qs_session *session, enum qs_action action,
                                 const uint8_t *selected, const struct qs_guard *guard, struct qs_plan **out,
                                 struct qs_error *err) QS_MUST_CHECK;

/* The guards of the options. */
struct qs_guard qs_operating_guard(const struct qs_options *options);

/* The marks of the session, or all of them: an array under call->memory, NULL: out of memory. */
uint8_t *qs_operating_marks(struct qs_call *call, const struct qs_session *session);

/* The same for a restore: of the archive that is open as `archive`, which the queue's owner may not be allowed to open. */
enum qs_status qs_operating_restore(struct qs_call *call, const struct qs_plan *plan, int archive,
                                    struct qs_error *err) QS_MUST_CHECK;

/* For a run that is no change of queue files: the process stays who it is, the state directory is the queue's owner's, and SIGINT
 * and SIGTERM end the run after the current message. */
enum qs_status qs_operating_aside(struct qs_call *call, const struct qs_instance *instance, const struct qs_queue *queue,
                                  struct qs_operate *how, struct qs_error *err) QS_MUST_CHECK;

/* The runs of all state directories that are meant, --state, or those of every MTA: their names, and what is in them. Oldest first,
 * talloc arrays under call->memory. Of the second, those that cannot be read are complained of and left out. */
struct qs_kept {
    const char *state, *name;
};
enum qs_status qs_operating_kept(struct qs_call *call, struct qs_kept **list, size_t *count, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_operating_runs(struct qs_call *call, struct qs_run **list, size_t *count, struct qs_error *err) QS_MUST_CHECK;

/* This host's name, a child of parent. */
char *qs_operating_host(TALLOC_CTX *parent);

#endif
