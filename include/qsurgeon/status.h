/* SPDX-License-Identifier: Apache-2.0 */
/* How every fallible function of qsurgeon reports: a status to branch on, a text to show. */
#ifndef QSURGEON_STATUS_H
#define QSURGEON_STATUS_H

#include <stdarg.h>

/* The closed list. The command line maps each to an exit code of sysexits(3) in one place. */
enum qs_status {
    QS_OK = 0,
    QS_END,         /* an iteration is over; not an error */
    QS_GONE,        /* the message left the queue while we looked: normal on a live queue */
    QS_SKIP,        /* the message is still being written, or not a message: normal, counted */
    QS_DATA,        /* damaged or hostile input; the text says what and where */
    QS_USAGE,       /* the caller's words are wrong (command line, pattern, query) */
    QS_NOQUEUE,     /* no queue there */
    QS_IO,          /* the system failed to read or write */
    QS_BUSY,        /* somebody else holds it; try again */
    QS_NOPERM,      /* a privilege is missing; the text says which */
    QS_CONFIG,      /* a configuration file is wrong */
    QS_NOMEM,       /* out of memory */
};

enum { QS_ERROR_TEXT = 400 };

/* One line, without a newline, safe to print after qs_text_safe(). Lives on the caller's stack. */
struct qs_error {
    char text[QS_ERROR_TEXT];
};

#define QS_MUST_CHECK __attribute__((warn_unused_result))

/* Writes the formatted line into *err (which may be NULL) and returns status, so that a failing function
 * ends in `return qs_fail(err, QS_DATA, "...")`. Lower text is kept by not calling it again. */
enum qs_status qs_fail(struct qs_error *err, enum qs_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same from errno: QS_NOPERM for EACCES and EPERM, QS_GONE for ENOENT, QS_NOMEM for ENOMEM, else QS_IO.
 * The text is the formatted line, then ": " and the system's words for `number`. */
enum qs_status qs_fail_errno(struct qs_error *err, int number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A constant word for a status, for tests and JSON. */
const char *qs_status_name(enum qs_status status);

#endif
