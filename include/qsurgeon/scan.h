/* SPDX-License-Identifier: Apache-2.0 */
/* A scan: every message of one or more queues, read once and kept in about 300 bytes each.
 *
 * Order of use: qs_scan_new, qs_scan_add for each open queue (or qs_load for a saved scan), qs_scan_run until it gives
 * QS_OK. Messages are then in the order in which the directories list them; nothing that is shown may depend on it.
 * Read-only: no file is changed. */
#ifndef QSURGEON_SCAN_H
#define QSURGEON_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/table.h"
#include "qsurgeon/fingerprint.h"
#include "qsurgeon/format.h"
#include "qsurgeon/intern.h"
#include "qsurgeon/mail.h"
#include "qsurgeon/site.h"
#include "qsurgeon/status.h"

enum { QS_URLS_KEPT = 4, QS_BY_KEPT = 8, QS_BY_NEWEST = 3 };

struct qs_recipient {
    qs_sym address;
    qs_sym reason;                  /* last delivery result, or 0 */
    uint8_t state;                  /* enum qs_recipient_state */
    uint8_t notify;                 /* DSN NOTIFY bits */
};

/* A Received field: who took the message over from whom. */
struct qs_hop {
    qs_sym by;                      /* the host that did */
    qs_sym client;                  /* client address, or 0 */
    qs_sym name;                    /* and its name as that host looked it up, or 0 */
};

/* What a notice carries back: the message that caused it, or its header. */
struct qs_returned {
    struct qs_fingerprint print;
    uint32_t url[QS_URLS_KEPT];     /* as in struct qs_message */
    uint64_t message_id;            /* hash; 0: none */
    qs_sym from, subject;           /* From address; decoded subject */
    uint32_t traits;
    uint32_t structure;
    uint32_t hops;
    struct qs_hop hop[];            /* newest first; of more than QS_BY_KEPT, the newest QS_BY_NEWEST and the oldest */
};

/* One message. Strings are symbols of the scan's table; 0 is the empty string. */
struct qs_message {
    const char *id;                             /* queue ID */
    const struct qs_recipient *recipients;      /* in queue file order */
    const struct qs_returned *returned;         /* NULL: none */
    uint64_t inode;
    uint64_t size;                              /* bytes, as the MTA shows it */
    int64_t arrival;                            /* seconds since 1970 */
    int64_t next_try;                           /* as in qs_envelope */
    uint64_t message_id, in_reply_to;           /* hashes of the Message-IDs without blanks; 0: none */
    int64_t born;                               /* when its own file was made, in nanoseconds; 0: not known, or says nothing as
                                                   the MTA gives a message another file whenever it rewrites it */
    uint64_t digest;                            /* of the content bytes looked at: XXH3-64; part of a message's identity */
    uint32_t structure, attachment;             /* digests as in qs_mail, folded to 32 bits */
    struct qs_fingerprint print;
    uint32_t url[QS_URLS_KEPT];                 /* qs_host_hash of distinct link hosts, ascending, 0 at the end */
    uint32_t traits;                            /* enum qs_trait */
    uint32_t text_size, hidden_size;            /* visible and hidden text, bytes, saturating */
    uint32_t recipient_count;
    qs_sym queue_name;
    qs_sym sender;                              /* envelope sender, as in the queue file; 0: null sender */
    qs_sym client_address, client_name, helo, protocol;
    qs_sym sasl_username;
    qs_sym from;                                /* address of the From field, lower case domain */
    qs_sym subject;                             /* decoded */
    qs_sym mailer;                              /* X-Mailer or User-Agent */
    qs_sym list_id;
    qs_sym script;                              /* X-PHP-Originating-Script or the like */
    qs_sym url_host;                            /* the first link's host */
    qs_sym message_id_text;                     /* only with qs_scan_options.detail */
    qs_sym hold_reason;
    qs_sym first_by;                            /* `by` host of the newest Received field: this host, usually */
    qs_sym last_client;                         /* client address of the newest Received field that tells of one outside
                                                   of the site, or of a trusted relay; 0: none, or it had a login */
    int32_t local_uid;                          /* submitting user, or -1 */
    uint32_t flags;                             /* QS_ENV_... */
    uint16_t instance;                          /* index into qs_scan.queues */
    uint16_t attempts;
    uint8_t received;                           /* Received fields, saturating */
    uint8_t own_hops;                           /* how often the newest `by` host stands in all of them, saturating */
    uint8_t url_hosts;                          /* distinct link hosts, saturating */
    uint8_t parts;
    uint16_t dir;                               /* directory number in its driver: where to find it again */
    uint16_t kind;
};

/* Something that could not be read as a message; a line in the report. */
struct qs_problem {
    const char *where;              /* instance and name of the file or directory */
    const char *text;
    enum qs_status status;
};

struct qs_scan_queue {
    const struct qs_instance *instance;     /* NULL for a saved scan */
    struct qs_queue *queue;                 /* NULL for a saved scan */
    const char *name;                       /* shown: instance or host name */
};

enum { QS_PROBLEMS_KEPT = 1000 };

struct qs_scan_totals {
    uint64_t listed;                /* entries that the directories showed */
    uint64_t bytes;                 /* sum of message sizes */
    uint64_t gone, skipped, moved;  /* left the queue; still being written; met again in another directory */
    uint64_t unreadable;            /* damaged or not readable: each a problem */
    uint64_t no_permission;         /* of those, for want of a privilege */
};

/* A message that the admin showed to say: such is good, or bad. */
struct qs_sample {
    struct qs_fingerprint print;    /* of a notice: of the text that it returns */
    bool good;
};

struct qs_scan_options {
    unsigned threads;               /* 0: one for each processor */
    bool detail;                    /* keep what only `list`, `save` and `sql` show */
    const struct qs_table *only;    /* filled by qs_scan_only(): other messages are passed over; NULL: all are read */
    const struct qs_site *site;     /* whose hosts hand mail on; may be filled until qs_scan_run; NULL: not known */
    bool identity;                  /* what says which message it is is enough, for `action`: envelope and digest; or, when the
                                       driver can say what it does to a message unread, only which file it is */
    enum qs_action action;
};

struct qs_scan {
    struct qs_scan_queue *queues;
    size_t queue_count;
    struct qs_message *messages;    /* count of them, none missing */
    uint32_t count;
    struct qs_intern *strings;
    struct qs_problem *problems;    /* the first QS_PROBLEMS_KEPT */
    size_t problem_count;
    struct qs_sample *samples;
    size_t sample_count;
    struct qs_scan_totals totals;
    bool listing;                   /* paused before all was listed */
    struct qs_scan_options options;
    struct qs_scan_work *work;      /* private */
};

/* Adds a queue ID to qs_scan_options.only. False: out of memory. */
bool qs_scan_only(struct qs_table *only, const char *id) QS_MUST_CHECK;

/* An empty scan under parent. NULL: out of memory. */
struct qs_scan *qs_scan_new(TALLOC_CTX *parent, const struct qs_scan_options *options);

/* Adds an open queue to be read. The queue and the instance must outlive the scan. QS_NOMEM. */
enum qs_status qs_scan_add(struct qs_scan *scan, const struct qs_instance *instance, struct qs_queue *queue,
                           struct qs_error *err) QS_MUST_CHECK;

/* When all is read: lists queue number `index` once more, with `queue`, opened afresh, which the scan has from now on instead of
 * the one before. What the scan knows by its ID is passed over, so that qs_scan_run then reads new messages only; they stand
 * behind the others. */
enum qs_status qs_scan_again(struct qs_scan *scan, size_t index, struct qs_queue *queue, struct qs_error *err) QS_MUST_CHECK;

/* Called by qs_scan_run on the calling thread with the messages done of those listed so far: every few hundred while the
 * directories are listed (`listing`), about every 50 ms while messages are read. Return false while listing to have what is
 * listed read before the rest; return false while reading to pause: qs_scan_run then gives QS_BUSY with scan->messages holding
 * what there is so far, and may be called again. */
typedef bool (*qs_scan_progress)(void *data, uint64_t done, uint64_t listed, bool listing);

/* Lists the queues that were added and reads their messages, on options.threads threads. QS_OK: done. QS_BUSY: paused by
 * `progress` (may be NULL). QS_NOMEM. A message that fails and a sub-directory that cannot be read are a problem or counted in
 * totals, never an error. */
enum qs_status qs_scan_run(struct qs_scan *scan, qs_scan_progress progress, void *data,
                           struct qs_error *err) QS_MUST_CHECK;

/* For a loader of saved scans: a queue that is known by name only; *index is its place in scan->queues. QS_NOMEM. */
enum qs_status qs_scan_add_saved(struct qs_scan *scan, const char *name, uint16_t *index,
                                 struct qs_error *err) QS_MUST_CHECK;

/* For a loader of saved scans: room for `more` messages at the end of scan->messages, zeroed, and recipients that live as
 * long as the scan. NULL: out of memory. */
struct qs_message *qs_scan_append(struct qs_scan *scan, uint32_t more);
struct qs_recipient *qs_scan_recipients(struct qs_scan *scan, size_t count);
struct qs_returned *qs_scan_returned(struct qs_scan *scan, unsigned hops);
const char *qs_scan_strdup(struct qs_scan *scan, struct qs_span text);

/* Re-opens message `m` and reads it with `reader`: the driver's read and content in one call, for show and --like.
 * Same errors as the driver's. QS_NOQUEUE: the message is of a saved scan. */
enum qs_status qs_scan_reread(const struct qs_scan *scan, const struct qs_message *m, struct qs_reader *reader, size_t cap,
                              struct qs_envelope *envelope, struct qs_span *content, bool *whole,
                              struct qs_error *err) QS_MUST_CHECK;

/* Fills the content fields of *m (all that comes from header and body) from RFC 5322 bytes; the same code that the scan
 * uses, for --like FILE and tests. `null_sender` as in qs_mail_scan. QS_NOMEM. */
struct qs_scan_lens;                /* the buffers of one thread */
struct qs_scan_lens *qs_scan_lens_new(TALLOC_CTX *parent, struct qs_scan *scan);
enum qs_status qs_scan_content(struct qs_scan_lens *lens, struct qs_span content, bool cut, bool null_sender,
                               struct qs_message *m, struct qs_error *err) QS_MUST_CHECK;

/* The content fields of the raw message in the file `path`, of which as much is read as of one in a queue. QS_GONE,
 * QS_NOPERM, QS_IO, QS_NOMEM. */
enum qs_status qs_scan_file(struct qs_scan_lens *lens, const char *path, struct qs_message *m,
                            struct qs_error *err) QS_MUST_CHECK;

/* Adds the raw messages in the files of a directory to scan->samples; those without text and names that begin with a dot
 * are passed over. QS_USAGE: none is left, or too many. QS_GONE, QS_NOPERM, QS_IO, QS_NOMEM. */
enum qs_status qs_scan_add_samples(struct qs_scan *scan, const char *path, bool good,
                                   struct qs_error *err) QS_MUST_CHECK;

/* The same text, or one as like as qs_cluster_alike() asks. */
bool qs_same_text(const struct qs_fingerprint *a, const struct qs_fingerprint *b);

#endif
