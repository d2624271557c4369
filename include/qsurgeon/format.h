/* SPDX-License-Identifier: Apache-2.0 */
/* A driver reads one MTA's queue and describes it. It never changes anything.
 *
 * To add an MTA: a folder formats/<name>/ (layout, records, envelope, config), one line in formats/format.c, real
 * captured queue files in fixtures/<name>/, a unit test tests/unit/test_<name>.c, a fuzz target tests/fuzz/.
 *
 * Threads: discover, open, next and close are called by one thread. read and content may be called by any number of
 * threads at once on the same open queue, each with a qs_reader of its own. */
#ifndef QSURGEON_FORMAT_H
#define QSURGEON_FORMAT_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/reader.h"
#include "qsurgeon/site.h"
#include "qsurgeon/status.h"
#include "qsurgeon/surgery.h"
#include "qsurgeon/text.h"

struct qs_format;

/* One queue on this machine, or an offline copy of one. Strings are talloc children of the instance. */
struct qs_instance {
    const struct qs_format *format;
    const char *name;           /* "postfix", the multi_instance_name, "mqueue", "mqueue-client" */
    const char *queue_dir;      /* absolute or as the user gave it */
    const char *config;         /* configuration directory (Postfix) or file (sendmail); NULL: none known */
    const char *evidence;       /* why we believe that this is such a queue, in words */
};

/* What the user said about where to look; NULL where nothing was said. */
struct qs_place {
    const char *queue_dir;
    const char *config;
};

/* A message's file as the directory shows it. */
struct qs_entry {
    const char *id;             /* queue ID, validated: alphanumerics (and '_'), bounded length */
    uint32_t dir;               /* number of the directory, private to the driver */
    uint32_t kind;              /* private to the driver (sendmail: q, h, Q) */
    uint64_t inode;
};

enum qs_recipient_state {
    QS_RCPT_TODO,               /* waits for delivery */
    QS_RCPT_DONE,               /* delivered, or bounced and logged */
    QS_RCPT_CANCELLED,          /* taken off the message */
};

/* A recipient as the queue file has it; spans point into the reader. */
struct qs_recipient_text {
    struct qs_span address;     /* internal (unquoted) form */
    struct qs_span original;    /* as the client gave it, where that differs; or empty */
    struct qs_span reason;      /* last delivery result in words, or empty */
    enum qs_recipient_state state;
    bool asked;                 /* there is `original`, as the client's RCPT said it, not only its ORCPT */
    unsigned notify;            /* DSN NOTIFY bits as Postfix numbers them: 1 never, 2 success, 4 failure, 8 delay */
};

enum {                          /* qs_envelope.flags */
    QS_ENV_HELD = 1 << 0,           /* hold queue, or quarantined */
    QS_ENV_LOST = 1 << 1,           /* corrupt (Postfix) or lost Qf (sendmail) */
    QS_ENV_FORCED_EXPIRE = 1 << 2,
    QS_ENV_EDITED = 1 << 3,         /* edited in place by a milter, as far as the envelope shows it */
    QS_ENV_UTF8 = 1 << 4,           /* SMTPUTF8 */
    QS_ENV_LOCAL = 1 << 5,          /* submitted by a local program, not over the network */
    QS_ENV_BOUNCE_PENDING = 1 << 6, /* a bounce log waits to be reported */
    QS_ENV_NO_BODY = 1 << 7,        /* sendmail: the df is missing */
    QS_ENV_RESPONSE = 1 << 8,       /* the MTA's own bounce */
    QS_ENV_UNREAD = 1 << 9,         /* look() has filled it: size and arrival are those of the file */
};

/* Everything that the envelope says. Spans point into the reader and live until its next use. Empty span: not there. */
struct qs_envelope {
    const char *queue_name;     /* constant or owned by the open queue: "deferred", "hold", ...; sendmail: the queue
                                   group, "quarantine" for hf, "lost" for Qf */
    uint64_t size;              /* message size in bytes, as postqueue and mailq show it */
    int64_t arrival;            /* seconds since 1970 */
    int64_t created;            /* base of expiry; 0: as arrival */
    int64_t next_try;           /* Postfix: mtime of the file; sendmail: last attempt (K), 0 never */
    uint64_t attempts;          /* sendmail N; Postfix does not count: 0 */
    unsigned flags;
    struct qs_span sender;      /* empty: null sender */
    struct qs_span client_address, client_name, helo, protocol;
    struct qs_span sasl_username;
    struct qs_span origin_id;   /* queue ID before an after-queue filter (Postfix log_ident) */
    struct qs_span envelope_id; /* DSN ENVID */
    char ret;                   /* DSN RET: 'F' full, 'H' headers; 0: not said */
    struct qs_span hold_reason; /* sendmail q line */
    struct qs_span status;      /* sendmail M line of the message */
    struct qs_span full_name;   /* Postfix F record */
    int64_t local_uid;          /* submitting user where known, else -1 */
    struct qs_span local_user;  /* login name of that user, where the format has it (sendmail) */
    const struct qs_recipient_text *recipients;
    size_t recipient_count;     /* all states */
    size_t recipients_left_out; /* beyond the cap on recipients */
    char finding[160];          /* first thing found odd but survivable, or "" */
};

enum { QS_RECIPIENTS_MAX = 200000 };    /* kept of one message; the rest is counted */

/* Something in a queue directory that is not as the MTA leaves it. */
enum qs_flaw_kind {
    QS_FLAW_ORPHAN,             /* belongs to a message that is not there: a log, df, xf; or a qf without its df */
    QS_FLAW_STALE,              /* a temporary file that nobody finishes */
    QS_FLAW_MISNAMED,           /* the name does not match the file */
    QS_FLAW_MISPLACED,          /* not in the hash directory where the MTA looks for it */
    QS_FLAW_ACCESS,             /* an owner or a mode with which the MTA cannot work */
    QS_FLAW_LOST,               /* set aside by the MTA, which will not look at it again */
};
enum { QS_FLAWS = QS_FLAW_LOST + 1 };

struct qs_flaw {
    enum qs_flaw_kind kind;
    const char *what;           /* in words, letters and blanks only: "defer log without a message" */
    const char *advice;         /* what to do where `steps` is NULL; else NULL */
    const char *id;             /* the queue ID that it is named after; "" where the name has none */
    const char *path;           /* relative to root(); may hold any byte where `steps` is NULL */
    uint64_t inode, size;
    int64_t modified;           /* seconds since 1970 */
    struct qs_step *steps;      /* that repair it, the first MOVE of the file itself; NULL: nothing that is safe */
    size_t step_count;
    enum qs_lock_rule lock;
};

/* Younger files may belong to a message that is being written, delivered or moved at this moment. */
enum { QS_ORPHAN_AGE = 3600, QS_STALE_AGE = 86400 };

struct qs_queue;                /* an open queue, private to its driver; a talloc object */

struct qs_format {
    const char *name;           /* "postfix" */
    const char *summary;

    /* Is queue_dir laid out as this MTA's queue? Reads directory entries and at most a few files. On true, *evidence is
     * a sentence for people, a child of parent. */
    bool (*probe)(TALLOC_CTX *parent, const char *queue_dir, const char **evidence);

    /* The instances on this machine by the MTA's own configuration, or the one that `place` names. An offline copy
     * needs no MTA installed. *list is a talloc array under parent. None found: QS_OK and count 0. QS_CONFIG: the
     * configuration that the user named cannot be read. */
    enum qs_status (*discover)(TALLOC_CTX *parent, const struct qs_place *place, struct qs_instance ***list,
                               size_t *count, struct qs_error *err);

    /* Opens directory descriptors; learns hashing and ID style. QS_NOPERM names the missing privilege. QS_NOQUEUE. */
    enum qs_status (*open)(TALLOC_CTX *parent, const struct qs_instance *instance, struct qs_queue **out,
                           struct qs_error *err);

    /* The next message of the queue, in directory order; e->id lives until the next call. A message that moves meanwhile, or
     * whose directory is walked twice for the sake of those, comes twice: the caller knows the IDs. What is not a message (wrong
     * name, directory, link, FIFO) gives QS_SKIP with a text when it is worth a line in the report, and is passed over
     * otherwise; a message that is being made and has no ID yet: QS_SKIP without a text. A sub-directory that cannot be read: QS_NOPERM with a text, and the walk goes on at the next call.
     * QS_END. */
    enum qs_status (*next)(struct qs_queue *queue, struct qs_entry *e, struct qs_error *err);

    /* Reads the envelope. A message that moved to another directory is looked for there once, and e->dir follows it.
     * QS_GONE: left the queue. QS_SKIP: still being written. QS_DATA: damaged, the text says where. QS_NOPERM. QS_IO. */
    enum qs_status (*read)(const struct qs_queue *queue, struct qs_entry *e, struct qs_reader *reader,
                           struct qs_envelope *out, struct qs_error *err);

    /* What the attributes of the message's file say without its being opened: queue_name, next_try and flags as read() gives them,
     * with QS_ENV_UNREAD; size is that of the file, arrival when it was made. *st and *born as of qs_file_look(). For plans that
     * name messages by ID. NULL: this MTA gives a message another file whenever it rewrites it, so that one must be read to be known
     * again. QS_GONE: not where e->dir says. QS_SKIP, QS_NOPERM, QS_IO as of read(). */
    enum qs_status (*look)(const struct qs_queue *queue, const struct qs_entry *e, struct qs_envelope *out, struct stat *st,
                           int64_t *born, struct qs_error *err);

    /* After read() with the same reader: header and body as RFC 5322 bytes with LF line ends, at most `cap` of them, in
     * reader->content. *whole is false when there is more. Envelope spans stay valid. */
    enum qs_status (*content)(const struct qs_queue *queue, const struct qs_entry *e, struct qs_reader *reader,
                              size_t cap, struct qs_span *out, bool *whole, struct qs_error *err);

    /* Which of the actions (bits 1 << enum qs_action) this MTA knows. */
    unsigned actions;

    /* Those of them whose steps() needs no read() before it: they only move whole files and set times. */
    unsigned moves_only;

    /* The path of the message's own file (Postfix queue file; sendmail qf, hf, Qf), relative to root(). False: the entry
     * is not one of this queue's. */
    bool (*path)(const struct qs_queue *queue, const struct qs_entry *e, char *to, size_t size);

    /* How a message may be locked where e->dir says it is; e NULL: in this queue as a rule. */
    enum qs_lock_rule (*lock_rule)(const struct qs_queue *queue, const struct qs_entry *e);

    /* After read() with the same reader: the steps that perform `what` on this message, allocated under parent. QS_USAGE:
     * the action makes no sense here (release of what is not held, requeue of a file that pickup would delete, a message
     * in maildrop): the text says why, and the message is left out. QS_DATA, QS_NOMEM. Paths of steps: surgery.h. */
    enum qs_status (*steps)(TALLOC_CTX *parent, const struct qs_queue *queue, const struct qs_entry *e,
                            struct qs_reader *reader, const struct qs_envelope *envelope, const struct qs_surgery *what,
                            struct qs_step **list, size_t *count, struct qs_error *err);

    /* The queue ID under which a message that had `old` may come back as a file with this inode number: `attempt` 0 is the
     * same, or one that fits the inode where the MTA's names hang on it; 1, 2, ... are others, for when that one is taken.
     * False: `old` is no ID of this MTA, or it does not fit. */
    bool (*new_id)(const struct qs_queue *queue, const char *old, uint64_t inode, unsigned attempt, char *to, size_t size);

    /* Where the file `name` of a message belongs in this queue when the message comes back as `id`: `name` is its path in the
     * queue where it had the ID `old`, maybe of another machine and hashed otherwise, and `own` that of the message's own file.
     * What was in delivery becomes new mail. False: no file of such a message, or this queue has no place for it. */
    bool (*place)(const struct qs_queue *queue, const char *own, const char *name, const char *old, const char *id, char *to,
                  size_t size);

    /* What to poke once after a batch of `action`; *wake is a talloc array under parent, count may be 0. */
    enum qs_status (*wake)(TALLOC_CTX *parent, const struct qs_queue *queue, enum qs_action action,
                           struct qs_wake **wake, size_t *count, struct qs_error *err);

    /* Looks for flaws in the whole queue directory. Reads directories, file attributes, and of sendmail a few control files;
     * takes no lock. What belongs together is looked for twice before one of the two is called an orphan, as a running MTA
     * moves files meanwhile. *list is a talloc array under parent with all that it points to. QS_NOPERM, QS_IO, QS_NOMEM. */
    enum qs_status (*inspect)(TALLOC_CTX *parent, const struct qs_queue *queue, int64_t now, struct qs_flaw **list,
                              size_t *count, struct qs_error *err);

    /* The queue directory's path for opening it, and the user and group to whom its files belong. */
    const char *(*root)(const struct qs_queue *queue);
    enum qs_status (*owner)(const struct qs_queue *queue, uid_t *uid, gid_t *gid, struct qs_error *err);

    /* Adds what the MTA's configuration says of this host to *site (strings under site). Missing tools or
     * configuration add nothing: QS_OK. */
    enum qs_status (*site)(const struct qs_instance *instance, struct qs_site *site, struct qs_error *err);
};

/* All drivers: a counted table. */
extern const struct qs_format *const qs_formats[];
extern const size_t qs_format_count;

const struct qs_format *qs_format_by_name(const char *name);    /* NULL: unknown */

/* The instances that the words of the user mean: mta (NULL: any) and place. Two drivers claiming the same directory:
 * QS_USAGE, the text asks for --mta. Nothing found: QS_NOQUEUE with a text that says where was looked. */
enum qs_status qs_format_discover(TALLOC_CTX *parent, const char *mta, const struct qs_place *place,
                                  struct qs_instance ***list, size_t *count, struct qs_error *err) QS_MUST_CHECK;

#endif
