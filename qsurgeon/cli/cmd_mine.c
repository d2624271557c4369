/* SPDX-License-Identifier: Apache-2.0 */
/* rules mine: filter rules made of the storm's own messages. A subcommand of rules. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qsurgeon/mine.h"
#include "session.h"

/* Writes a file in one go: new, unless --replace. */
static enum qs_status write_file(const struct qs_call *call, const char *path, const struct qs_buffer *text,
                                 struct qs_error *err)
{
    const int how = call->options->replace ? O_TRUNC : O_EXCL;
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | how, 0644);
    if (fd < 0)
        return errno == EEXIST ? qs_fail(err, QS_USAGE, "%s exists: --replace writes over it", path)
                               : qs_fail_errno(err, errno, "%s", path);
    enum qs_status status = QS_OK;
    for (size_t at = 0; status == QS_OK && at < text->len;) {
        const ssize_t n = write(fd, text->data + at, text->len - at);
        if (n < 0 && errno != EINTR)
            status = qs_fail_errno(err, errno, "%s", path);
        at += n > 0 ? (size_t)n : 0;
    }
    if (close(fd) != 0 && status == QS_OK)
        status = qs_fail_errno(err, errno, "%s", path);
    return status;
}

/* One kind of rules into a file, or all into --output or standard output. */
static enum qs_status write_rules(struct qs_call *call, const struct qs_session *session, const struct qs_mined *mined,
                                  enum qs_mine_format format, enum qs_mine_part part, const char *dir, const char *path,
                                  struct qs_error *err)
{
    struct qs_buffer text;
    qs_buffer_init(&text, call->memory);
    enum qs_status status =
        qs_mine_write(&text, &session->view, mined, format, part, call->options->action, dir, err);
    if (status == QS_OK && path)
        return write_file(call, path, &text, err);
    if (status == QS_OK && fwrite(text.data, 1, text.len, call->out) != text.len)
        return qs_fail(err, QS_IO, "the output cannot be written");
    return status;
}

/* Postfix has a table for the header, one for the body and one for the envelope: --output is their directory. */
static enum qs_status write_tables(struct qs_call *call, const struct qs_session *session, const struct qs_mined *mined,
                                   enum qs_mine_format format, struct qs_error *err)
{
    const char *kind = format == QS_MINE_POSTFIX_PCRE ? "pcre" : "regexp";
    const char *dir = call->options->output;
    char full[PATH_MAX];
    char *header = talloc_asprintf(call->memory, "%s/header_checks.%s", dir, kind);
    char *body = talloc_asprintf(call->memory, "%s/body_checks.%s", dir, kind);
    char *notices = talloc_asprintf(call->memory, "%s/notices.%s", dir, kind);
    if (!header || !body || !notices)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (mkdir(dir, 0755) != 0 && errno != EEXIST)
        return qs_fail_errno(err, errno, "%s", dir);
    if (!realpath(dir, full))       /* for the lines of main.cf */
        return qs_fail_errno(err, errno, "%s", dir);
    enum qs_status status = write_rules(call, session, mined, format, QS_MINE_HEADER, full, header, err);
    if (status == QS_OK)
        status = write_rules(call, session, mined, format, QS_MINE_BODY, full, body, err);
    return status == QS_OK ? write_rules(call, session, mined, format, QS_MINE_NOTICES, full, notices, err) : status;
}

static enum qs_status write_all(struct qs_call *call, const struct qs_session *session, const struct qs_mined *mined,
                                enum qs_mine_format format, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    if (o->json)
        return qs_report_mine_json(call->out, &session->view, mined, err);
    if (o->output && (format == QS_MINE_POSTFIX_PCRE || format == QS_MINE_POSTFIX_REGEXP))
        return write_tables(call, session, mined, format, err);
    return write_rules(call, session, mined, format, QS_MINE_ALL, NULL, o->output, err);
}

enum qs_status qs_rules_mine(struct qs_call *call, struct qs_error *err)
{
    struct qs_options *o = talloc_memdup(call->memory, call->options, sizeof *o);
    struct qs_session *session = NULL;
    struct qs_mined *mined = NULL;
    enum qs_mine_format format = QS_MINE_POSTFIX_PCRE;
    if (!o)
        return qs_fail(err, QS_NOMEM, "out of memory");
    o->no_dns |= !o->dns;           /* the rules are made of text: DNS is asked only when wanted */
    call->options = o;
    if (o->format && !qs_mine_format_parse(qs_span_of(o->format), &format))
        return qs_fail(err, QS_USAGE, "--format %.60s: take postfix-pcre, postfix-regexp, sendmail, spamassassin, rspamd or "
                       "sieve", o->format);
    uint32_t *groups = talloc_array(call->memory, uint32_t, (unsigned)o->argument_count + 1);
    if (!groups)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = qs_session_open(call, false, NULL, NULL, &session, err);
    for (size_t i = 1; status == QS_OK && i < o->argument_count; i++) {
        groups[i - 1] = qs_session_group(session, o->arguments[i]);
        if (groups[i - 1] == UINT32_MAX)
            status = qs_fail(err, QS_USAGE, "no such cluster: %.60s", o->arguments[i]);
    }
    const struct qs_mine_how how = {
        .train = o->train > 0 ? o->train : 30, .rules = o->top, .good = o->good, .good_count = o->good_count,
        .selected = session ? session->selected : NULL, .groups = groups, .group_count = o->argument_count - 1};
    if (status == QS_OK)
        status = qs_mine(call->memory, &session->view, &how, &mined, err);
    if (status == QS_OK && mined->group_count == 0)
        qs_complain("there is no storm and no backscatter to make rules of");
    if (status == QS_OK && mined->good_unread > 0) {
        qs_complain("%u real messages could not be read, and the rules not be tested on them", mined->good_unread);
        call->left_out = true;
    }
    return status == QS_OK ? write_all(call, session, mined, format, err) : status;
}
