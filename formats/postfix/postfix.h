/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Postfix driver share with each other. Private to formats/postfix and its tests. */
#ifndef QSURGEON_POSTFIX_H
#define QSURGEON_POSTFIX_H

#include "qsurgeon/format.h"

/* The directories below queue_directory that matter here. The messages' come first, in the order in which
 * mail moves through them, so that a walk rather meets a moving message twice than not at all. */
enum pf_dir {
    PF_MAILDROP,
    PF_INCOMING,
    PF_ACTIVE,
    PF_DEFERRED,
    PF_HOLD,
    PF_CORRUPT,
    PF_SAVED,
    PF_DEFER,                   /* logs from here on: last reason of each deferred recipient */
    PF_BOUNCE,                  /* failures not yet reported to the sender */
    PF_TRACE,                   /* results to report on request */
    PF_DIRS,
    PF_QUEUES = PF_DEFER,       /* how many hold messages */
};

const char *pf_dir_name(enum pf_dir dir);

/* Queue IDs (Postfix src/global/mail_queue.h). Short: 5 hexadecimal digits of microseconds, then the inode
 * number in hexadecimal. Long: seconds (6 or more digits) and microseconds (4) in base 52, 'z', the inode
 * number in base 51. */
enum {
    PF_ID_MIN = 6,
    PF_ID_MAX = 255,
    PF_DEPTH_MAX = 5,           /* hash directories: a level for each digit of the microseconds */
    PF_PATH_MAX = 2 * PF_DEPTH_MAX + PF_ID_MAX + 1,
};

struct pf_id {
    bool long_form;
    uint64_t seconds;           /* since 1970; 0 in the short form */
    uint32_t microseconds;
    uint64_t inode;             /* 0: the digits are not a number */
};

/* Only letters, digits and '_', and of a length that an ID can have. */
bool pf_id_valid(struct qs_span id);
/* Takes a valid ID apart. */
struct pf_id pf_id_decode(const char *id);
/* The long form of such an ID; length as of snprintf. */
int pf_id_encode(const struct pf_id *id, char *to, size_t size);
/* Writes the path of a valid ID below its directory when that is hashed `depth` levels deep: "A/7/A7...". */
void pf_id_path(const char *id, unsigned depth, char to[PF_PATH_MAX]);

/* The message directory that the entry is in. */
enum pf_dir pf_entry_dir(const struct qs_entry *e);
/* Where the message's own file is, relative to queue_directory. False: not an entry of a queue. */
bool pf_entry_path(const struct qs_entry *e, char *to, size_t size);
/* Where a file of this ID belongs in a directory, hashed as that directory is: "defer/7/7A...". */
bool pf_place_path(const struct qs_queue *queue, enum pf_dir dir, const char *id, char *to, size_t size);
const char *pf_queue_root(const struct qs_queue *queue);
/* Opens the message's file where the entry says; when it is not there, wherever else in the queue its
 * inode is now, and e follows. Sets e->inode. */
enum qs_status pf_open_message(const struct qs_queue *queue, struct qs_entry *e, struct qs_file *file,
                               struct qs_error *err) QS_MUST_CHECK;
/* What its file is where the entry says: as struct qs_format.look. */
enum qs_status pf_look_at_message(const struct qs_queue *queue, const struct qs_entry *e, struct stat *st, int64_t *born,
                                  struct qs_error *err) QS_MUST_CHECK;
/* Opens the message's log (PF_DEFER, PF_BOUNCE or PF_TRACE). QS_GONE: it has none. */
enum qs_status pf_open_log(const struct qs_queue *queue, const struct qs_entry *e, enum pf_dir log,
                           struct qs_file *file, struct qs_error *err) QS_MUST_CHECK;
/* Whether bounce or trace had a log of that name when the queue was opened. */
bool pf_has_log(const struct qs_queue *queue, const char *id, enum pf_dir log);
/* The descriptor of a directory, -1 where there is none; and how many levels of hash directories it has. */
int pf_dir_fd(const struct qs_queue *queue, enum pf_dir dir);
/* The user who owns the queue directories (mail_owner). */
uid_t pf_queue_owner(const struct qs_queue *queue);

/* Whether the directory is laid out as a Postfix queue; evidence as in struct qs_format. */
bool pf_probe(TALLOC_CTX *parent, const char *queue_dir, const char **evidence);
enum qs_status pf_open(TALLOC_CTX *parent, const struct qs_instance *instance, struct qs_queue **out,
                       struct qs_error *err) QS_MUST_CHECK;
enum qs_status pf_next(struct qs_queue *queue, struct qs_entry *e, struct qs_error *err) QS_MUST_CHECK;

/* The envelope and the content of a message; look: what can be said of it without opening it. */
enum qs_status pf_look(const struct qs_queue *queue, const struct qs_entry *e, struct qs_envelope *out, struct stat *st,
                       int64_t *born, struct qs_error *err) QS_MUST_CHECK;
enum qs_status pf_read(const struct qs_queue *queue, struct qs_entry *e, struct qs_reader *reader,
                       struct qs_envelope *out, struct qs_error *err) QS_MUST_CHECK;
enum qs_status pf_content(const struct qs_queue *queue, const struct qs_entry *e, struct qs_reader *reader,
                          size_t cap, struct qs_span *out, bool *whole, struct qs_error *err) QS_MUST_CHECK;

/* The user number in the Received header that pickup(8) gives a local submission, "Received: by HOST
 * (NAME, from userid N)"; -1 when `head`, which begins with a header, has another. A user can forge such a
 * header, but only below pickup's: the newest one of a message that came without client attributes is
 * true, unless a milter took pickup's away. */
int64_t pf_received_uid(struct qs_span head);

/* What operations do to a message's files: struct qs_format has the contracts. */
enum {
    PF_ACTIONS = 1 << QS_ACT_HOLD | 1 << QS_ACT_RELEASE | 1 << QS_ACT_PURGE | 1 << QS_ACT_DEFER |
                 1 << QS_ACT_EXPEDITE | 1 << QS_ACT_REQUEUE | 1 << QS_ACT_DROP,
    PF_MOVES_ONLY = 1 << QS_ACT_HOLD | 1 << QS_ACT_RELEASE | 1 << QS_ACT_PURGE | 1 << QS_ACT_DEFER | 1 << QS_ACT_EXPEDITE
};
bool pf_path(const struct qs_queue *queue, const struct qs_entry *e, char *to, size_t size);
bool pf_new_id(const struct qs_queue *queue, const char *old, uint64_t inode, unsigned attempt, char *to, size_t size);
bool pf_new_place(const struct qs_queue *queue, const char *own, const char *name, const char *old, const char *id, char *to,
              size_t size);
enum qs_lock_rule pf_lock_rule(const struct qs_queue *queue, const struct qs_entry *e);
enum qs_status pf_steps(TALLOC_CTX *parent, const struct qs_queue *queue, const struct qs_entry *e,
                        struct qs_reader *reader, const struct qs_envelope *envelope,
                        const struct qs_surgery *what, struct qs_step **list, size_t *count,
                        struct qs_error *err) QS_MUST_CHECK;
enum qs_status pf_wake(TALLOC_CTX *parent, const struct qs_queue *queue, enum qs_action action,
                       struct qs_wake **wake, size_t *count, struct qs_error *err) QS_MUST_CHECK;
enum qs_status pf_owner(const struct qs_queue *queue, uid_t *uid, gid_t *gid,
                        struct qs_error *err) QS_MUST_CHECK;

enum qs_status pf_inspect(TALLOC_CTX *parent, const struct qs_queue *queue, int64_t now, struct qs_flaw **list,
                          size_t *count, struct qs_error *err) QS_MUST_CHECK;
/* How many levels deep this configuration has the directory hashed; UINT_MAX: it cannot be asked. */
unsigned pf_hash_depth(const char *config, const char *dir);

/* The installed Postfix. */
enum qs_status pf_discover(TALLOC_CTX *parent, const struct qs_place *place, struct qs_instance ***list,
                           size_t *count, struct qs_error *err) QS_MUST_CHECK;
enum qs_status pf_site(const struct qs_instance *instance, struct qs_site *site,
                       struct qs_error *err) QS_MUST_CHECK;

extern const struct qs_format qs_format_postfix;

#endif
