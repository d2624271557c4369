/* SPDX-License-Identifier: Apache-2.0 */
/* The list of drivers, and which of them means what the user said. Knows nothing of any MTA. */
#include "qsurgeon/format.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

extern const struct qs_format qs_format_postfix, qs_format_sendmail;

const struct qs_format *const qs_formats[] = {
    &qs_format_postfix,
    &qs_format_sendmail,
};
const size_t qs_format_count = sizeof qs_formats / sizeof *qs_formats;

const struct qs_format *qs_format_by_name(const char *name)
{
    for (size_t i = 0; i < qs_format_count; i++) {
        if (strcmp(qs_formats[i]->name, name) == 0)
            return qs_formats[i];
    }
    return NULL;
}

/* "postfix or sendmail" */
static const char *names_of(TALLOC_CTX *parent, const struct qs_format *only)
{
    if (only != NULL)
        return only->name;
    char *names = NULL;
    for (size_t i = 0; i < qs_format_count; i++) {
        names = i == 0 ? talloc_strdup(parent, qs_formats[i]->name)
                       : talloc_asprintf_append(names, " or %s", qs_formats[i]->name);
    }
    return names != NULL ? names : "a known MTA";
}

struct claims {
    struct qs_instance **list;
    size_t count;
    const struct qs_format *first, *second;     /* drivers that found something */
};

static enum qs_status ask_driver(TALLOC_CTX *scratch, const struct qs_format *format,
                                 const struct qs_place *place, struct claims *claims, struct qs_error *err)
{
    struct qs_instance **list = NULL;
    size_t count = 0;
    enum qs_status status = format->discover(scratch, place, &list, &count, err);
    if (status != QS_OK || count == 0)
        return status;
    struct qs_instance **grown = talloc_realloc(scratch, claims->list, struct qs_instance *,
                                                (unsigned)(claims->count + count));
    if (grown == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        grown[claims->count++] = talloc_steal(grown, list[i]);
    claims->list = grown;
    if (claims->first == NULL)
        claims->first = format;
    else
        claims->second = format;
    return QS_OK;
}

enum qs_status qs_format_discover(TALLOC_CTX *parent, const char *mta, const struct qs_place *place,
                                  struct qs_instance ***list, size_t *count, struct qs_error *err)
{
    enum qs_status status = QS_OK, failed = QS_OK;
    struct claims claims = {0};
    struct qs_error why = {""}, first_why = {""};
    const struct qs_format *only = mta != NULL ? qs_format_by_name(mta) : NULL;
    TALLOC_CTX *scratch = talloc_new(NULL);
    if (scratch == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (mta != NULL && only == NULL) {
        status = qs_fail(err, QS_USAGE, "--mta %.40s: unknown, say %s", mta, names_of(scratch, NULL));
        goto done;
    }
    for (size_t i = 0; i < qs_format_count && status == QS_OK; i++) {
        if (only != NULL && qs_formats[i] != only)
            continue;
        enum qs_status one = ask_driver(scratch, qs_formats[i], place, &claims, &why);
        if (one == QS_NOMEM)
            status = qs_fail(err, one, "%s", why.text);
        if (one != QS_OK && failed == QS_OK) {
            failed = one;
            first_why = why;
        }
    }
    if (status != QS_OK)
        goto done;
    const char *named = place->queue_dir != NULL ? place->queue_dir : place->config;
    if (named != NULL && claims.second != NULL) {
        status = qs_fail(err, QS_USAGE, "%s: both %s and %s know it as theirs (%s; %s): say which with --mta",
                         named, claims.first->name, claims.second->name, claims.list[0]->evidence,
                         claims.list[claims.count - 1]->evidence);
    } else if (claims.count == 0 && failed != QS_OK) {
        /* a driver that could not look is a better answer than none having found anything */
        status = qs_fail(err, failed, "%s", first_why.text);
    } else if (claims.count == 0 && named != NULL && faccessat(AT_FDCWD, named, R_OK, AT_EACCESS) != 0) {
        bool missing = errno == ENOENT || errno == ENOTDIR;
        status = qs_fail_errno(err, errno, "%s", named);
        if (missing)
            status = QS_NOQUEUE;
    } else if (claims.count == 0 && named != NULL) {
        status = qs_fail(err, QS_NOQUEUE, "%s: not a queue of %s", named, names_of(scratch, only));
    } else if (claims.count == 0) {
        status = qs_fail(err, QS_NOQUEUE, "no queue of %s on this machine, by their configuration or at the "
                         "usual place: name one with --queue", names_of(scratch, only));
    } else {
        *list = talloc_steal(parent, claims.list);
        *count = claims.count;
    }
done:
    talloc_free(scratch);
    return status;
}
