/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the sendmail driver share with each other. Private to formats/sendmail and its tests.
 *
 *   layout.c    which directories a queue has, where a message's files lie in them, which messages there are
 *   qf.c        the bytes of a control file (qf.h)
 *   envelope.c  control file, data file and transcript to envelope and content
 *   config.c    sendmail.cf and submit.cf: queues and groups, what the host is and serves */
#ifndef QSURGEON_SENDMAIL_H
#define QSURGEON_SENDMAIL_H

#include "qsurgeon/format.h"

/* Queue IDs are opaque letters and digits (8.10 and later: 8 for the time, then the process ID); with its
 * prefix, "qf", a name must stay below sendmail's MAXQFNAME (sendmail/conf.h). */
enum {
    SM_ID_MAX = 18,
    SM_DIR_MAX = 512,           /* the name of a queue directory, relative to the base directory */
    SM_PATH_MAX = SM_DIR_MAX + SM_ID_MAX + 8,
    SM_DIRS_MAX = 4096,
};

/* qs_entry.kind: the first letter of the control file's name. */
enum { SM_NORMAL = 'q', SM_QUARANTINED = 'h', SM_LOST = 'Q' };

/* The first letters of a message's other files. */
enum { SM_DATA = 'd', SM_TRANSCRIPT = 'x' };

/* One queue directory. It may be split: control files, data files, transcripts then lie in qf, df, xf
 * below it. */
struct sm_dir {
    const char *name;           /* relative to the base directory, as d lines have it; "." is the base */
    const char *group;          /* queue group; "mqueue" is the one that always exists */
    bool qf, df, xf;
};

bool sm_id_valid(struct qs_span id);

/* The layout of an open queue. Paths are relative to the descriptor of its base directory. */
int sm_base(const struct qs_queue *queue);
const struct sm_dir *sm_dir_at(const struct qs_queue *queue, uint32_t dir);     /* NULL: no such number */
/* The directory of that name; false: the queue has none. */
bool sm_dir_named(const struct qs_queue *queue, struct qs_span name, uint32_t *dir);
/* Writes the path of a message's file: queuename() in sendmail/queue.c. */
void sm_path(const struct sm_dir *dir, char letter, const char *id, char to[SM_PATH_MAX]);

/* Writes the path of the directory where files of that letter lie. */
void sm_place(const struct sm_dir *dir, char letter, char to[SM_PATH_MAX]);

/* Opens the message's control file where the entry says; when it is not there, where it may have gone
 * meanwhile: under another letter (sendmail quarantines or loses it) or into another directory (qtool.pl),
 * and e follows. Sets e->inode. */
enum qs_status sm_open_message(const struct qs_queue *queue, struct qs_entry *e, struct qs_file *file,
                               struct qs_error *err) QS_MUST_CHECK;
/* Whether the control file, which was opened and turned out incomplete, is not as it was or is locked for
 * writing, as by a sendmail that is about to complete it. Takes no lock itself. */
bool sm_changing(const struct qs_queue *queue, const struct qs_entry *e, const struct stat *then);
/* Whether the control file is still at its place. */
bool sm_present(const struct qs_queue *queue, const struct qs_entry *e);

/* The number of a user of this host by name; -1: not known, or the queue is not this host's. */
int64_t sm_user_id(const struct qs_queue *queue, struct qs_span name);

/* Whether the directory, which no configuration names, is a queue: QS_NOQUEUE, QS_NOPERM, QS_IO, QS_NOMEM. On
 * QS_OK, *evidence is as in struct qs_format. */
enum qs_status sm_examine(TALLOC_CTX *parent, const char *queue_dir, const char **evidence,
                          struct qs_error *err) QS_MUST_CHECK;
bool sm_probe(TALLOC_CTX *parent, const char *queue_dir, const char **evidence);
enum qs_status sm_open(TALLOC_CTX *parent, const struct qs_instance *instance, struct qs_queue **out,
                       struct qs_error *err) QS_MUST_CHECK;
enum qs_status sm_next(struct qs_queue *queue, struct qs_entry *e, struct qs_error *err) QS_MUST_CHECK;

enum qs_status sm_read(const struct qs_queue *queue, struct qs_entry *e, struct qs_reader *reader,
                       struct qs_envelope *out, struct qs_error *err) QS_MUST_CHECK;
enum qs_status sm_content(const struct qs_queue *queue, const struct qs_entry *e, struct qs_reader *reader,
                          size_t cap, struct qs_span *out, bool *whole, struct qs_error *err) QS_MUST_CHECK;

/* What operations do to a message's files: struct qs_format has the contracts. */
enum { SM_ACTIONS = 1 << QS_ACT_HOLD | 1 << QS_ACT_RELEASE | 1 << QS_ACT_PURGE | 1 << QS_ACT_EXPEDITE | 1 << QS_ACT_DROP };
const char *sm_root(const struct qs_queue *queue);
bool sm_file_path(const struct qs_queue *queue, const struct qs_entry *e, char *to, size_t size);
bool sm_new_id(const struct qs_queue *queue, const char *old, uint64_t inode, unsigned attempt, char *to, size_t size);
bool sm_new_place(const struct qs_queue *queue, const char *own, const char *name, const char *old, const char *id, char *to,
              size_t size);
bool sm_takes_runs(const struct qs_queue *queue);   /* sendmail would take .qsurgeon for a queue directory */
enum qs_lock_rule sm_lock_rule(const struct qs_queue *queue, const struct qs_entry *e);
enum qs_status sm_owner(const struct qs_queue *queue, uid_t *uid, gid_t *gid,
                        struct qs_error *err) QS_MUST_CHECK;
enum qs_status sm_wake(TALLOC_CTX *parent, const struct qs_queue *queue, enum qs_action action,
                       struct qs_wake **wake, size_t *count, struct qs_error *err) QS_MUST_CHECK;
enum qs_status sm_steps(TALLOC_CTX *parent, const struct qs_queue *queue, const struct qs_entry *e,
                        struct qs_reader *reader, const struct qs_envelope *envelope, const struct qs_surgery *what,
                        struct qs_step **list, size_t *count, struct qs_error *err) QS_MUST_CHECK;

enum qs_status sm_inspect(TALLOC_CTX *parent, const struct qs_queue *queue, int64_t now, struct qs_flaw **list,
                          size_t *count, struct qs_error *err) QS_MUST_CHECK;

/* The whole of a text file, at most 4 MiB, as a child of parent. Follows links. QS_GONE, QS_NOPERM, QS_IO,
 * QS_NOMEM; QS_CONFIG: not a regular file, or too long. */
enum qs_status sm_text_file(TALLOC_CTX *parent, const char *path, struct qs_span *out, struct qs_error *err)
    QS_MUST_CHECK;

/* The queues in a configuration file. */
struct sm_group {
    const char *name;
    const char *path;           /* relative to the base directory, may end in '*' */
};
struct sm_queues {
    const char *base;           /* the base directory */
    const char *directory;      /* option QueueDirectory */
    bool submission;            /* of the submission program (submit.cf) */
    struct sm_group *groups;    /* the default group, "mqueue", first */
    size_t group_count;
};
/* Reads them; strings are children of parent. QS_CONFIG: the file names no queue directory, or cannot be
 * read. */
enum qs_status sm_config_queues(TALLOC_CTX *parent, const char *path, struct sm_queues *queues,
                                struct qs_error *err)
    QS_MUST_CHECK;
/* "/var/spool/mqueue/q*" to "/var/spool/mqueue" and "q*"; without '*' at the end: the path itself and ".".
 * False: out of memory. */
bool sm_split_wildcard(TALLOC_CTX *parent, const char *path, const char **base,
                       const char **relative) QS_MUST_CHECK;
/* Whether both paths lead to the same directory. */
bool sm_same_directory(const char *a, const char *b);

enum qs_status sm_discover(TALLOC_CTX *parent, const struct qs_place *place, struct qs_instance ***list,
                           size_t *count, struct qs_error *err) QS_MUST_CHECK;
enum qs_status sm_site(const struct qs_instance *instance, struct qs_site *site,
                       struct qs_error *err) QS_MUST_CHECK;

extern const struct qs_format qs_format_sendmail;

#endif
