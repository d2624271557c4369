/* SPDX-License-Identifier: Apache-2.0 */
/* The mail log of Postfix and sendmail, as syslog writes it: who was refused, what came in, what was delivered.
 *
 * Reading is by position: what stands before a line's client address was written by the mail server alone, so no
 * address, name or greeting that a stranger made up can put a refusal on another's account. Where sendmail writes the
 * client behind such text and the line can be read in two ways, it is not read at all.
 *
 * Sources: Postfix 3.7 smtpd_check.c (log_whatsup), smtpd.c (mail_open_stream), log_adhoc.c; sendmail 8.17 envelope.c
 * (logsender), deliver.c (logdelivery), srvrsmtp.c, err.c, srvrsmtp.c (AUTH). */
#ifndef QSURGEON_MAILLOG_H
#define QSURGEON_MAILLOG_H

#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

enum qs_log_kind {
    QS_LOG_UNKNOWN,         /* a recipient was refused: no such user. sendmail: only the ID tells whose */
    QS_LOG_RELAY,           /* a recipient was refused: relaying denied */
    QS_LOG_REFUSED,         /* a recipient was refused for another reason */
    QS_LOG_CAME,            /* a message came in (or, with recipients 0, a transaction of sendmail ended) */
    QS_LOG_DELIVERED,       /* a message with that ID was delivered to a recipient */
    QS_LOG_HANDED_ON,       /* it was given to a filter on this host, which queued it as `other` */
    QS_LOG_NO_SUCH_USER,    /* it could not be delivered to a recipient: no such user */
};

/* One line. What is not there is empty. Spans point into the line. */
struct qs_log_event {
    enum qs_log_kind kind;
    struct qs_span id;              /* queue ID; empty for Postfix's NOQUEUE */
    struct qs_span other;
    struct qs_span address, name;   /* of the client; name only when verified */
    struct qs_span recipient;
    bool login;                     /* with authentication */
    bool empty;                     /* QS_LOG_CAME without recipients */
};

/* QS_OK: *out is filled. QS_SKIP: nothing of interest. QS_DATA: it can be read in two ways. */
enum qs_status qs_log_line(struct qs_span line, struct qs_log_event *out) QS_MUST_CHECK;

/* What times without a year or a zone are read by. */
struct qs_log_clock {
    int64_t now;                    /* seconds since 1970 */
    int32_t offset;                 /* of local time, seconds east of UTC */
};

/* When a line was written, in seconds since 1970: "Nov 22 07:13:42 " of syslog (RFC 3164), in the last year that puts it no
 * later than a day from now; "2026-11-22T07:13:42.5+01:00 " (RFC 3339), also with a blank for the T, with a zone as "+0100",
 * "+01", "Z", or without one. False: the line does not begin so. */
bool qs_log_time(struct qs_span line, const struct qs_log_clock *clock, int64_t *out);

/* Gives the lines of a log to sink, without their ends; a line of more than 16 kB is cut there. Reads plain files and
 * what libarchive can uncompress (gzip, zstd, xz, bzip2, lz4). Stops after `most` uncompressed bytes with *cut set.
 * path "-": standard input. QS_IO, QS_GONE, QS_NOPERM; QS_DATA: damaged; QS_NOMEM: also when sink gives false. */
typedef bool (*qs_log_sink)(void *data, struct qs_span line);
enum qs_status qs_log_read(const char *path, uint64_t most, qs_log_sink sink, void *data, bool *cut,
                           struct qs_error *err) QS_MUST_CHECK;

#endif
