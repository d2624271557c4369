/* SPDX-License-Identifier: Apache-2.0 */
/* Statuses and their texts. Decides nothing and prints nothing. */
#include "qsurgeon/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Formats through a buffer of its own, so that an argument may be the text that is replaced. */
__attribute__((format(printf, 3, 0)))
static void fail_text(struct qs_error *err, int number, const char *format, va_list args)
{
    struct qs_error text = {""};
    (void)vsnprintf(text.text, sizeof text.text, format, args);
    if (number != 0) {
        char words[128];
        size_t len = strlen(text.text);
        (void)snprintf(text.text + len, sizeof text.text - len, ": %s",
                       strerror_r(number, words, sizeof words));
    }
    *err = text;
}

enum qs_status qs_fail(struct qs_error *err, enum qs_status status, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        fail_text(err, 0, format, args);
        va_end(args);
    }
    return status;
}

enum qs_status qs_fail_errno(struct qs_error *err, int number, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        fail_text(err, number, format, args);
        va_end(args);
    }
    switch (number) {
    case EACCES:
    case EPERM:
        return QS_NOPERM;
    case ENOENT:
        return QS_GONE;
    case ENOMEM:
        return QS_NOMEM;
    }
    return QS_IO;
}

const char *qs_status_name(enum qs_status status)
{
    switch (status) {
    case QS_OK:
        return "ok";
    case QS_END:
        return "end";
    case QS_GONE:
        return "gone";
    case QS_SKIP:
        return "skip";
    case QS_DATA:
        return "data";
    case QS_USAGE:
        return "usage";
    case QS_NOQUEUE:
        return "no-queue";
    case QS_IO:
        return "io";
    case QS_BUSY:
        return "busy";
    case QS_NOPERM:
        return "no-permission";
    case QS_CONFIG:
        return "config";
    case QS_NOMEM:
        return "no-memory";
    }
    return "unknown";
}
