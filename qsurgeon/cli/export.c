/* SPDX-License-Identifier: Apache-2.0 */
/* --export: see export.h. The mbox is of the kind mboxrd: every line that begins with any number of ">" and "From " gets one
 * more ">", so that nothing is lost (the "mboxrd" of qmail's mbox(5) and RFC 4155's neighbours). */
#include "export.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "operating.h"

enum { CONTENT_LARGEST = 255 << 20 };       /* what a reader's buffer can hold */

struct exporting {
    struct qs_call *call;
    const struct qs_session *session;
    struct qs_reader *reader;
    FILE *mbox;
    int dir;
    uint32_t done, left;
};

/* Somebody's address on a line of its own: no control characters. */
static void put_address(FILE *to, const char *field, struct qs_span address)
{
    fprintf(to, "%s: <", field);
    for (size_t i = 0; i < address.len; i++)
        fputc((unsigned char)address.ptr[i] < ' ' || address.ptr[i] == 127 ? '?' : address.ptr[i], to);
    fputs(">\n", to);
}

static void put_envelope(FILE *to, const struct qs_envelope *envelope)
{
    put_address(to, "Return-Path", envelope->sender);
    for (size_t i = 0; i < envelope->recipient_count; i++)
        put_address(to, "X-Envelope-To", envelope->recipients[i].address);
}

/* "From sender Sun Nov 22 07:13:43 2026", in UTC. */
static void put_from(FILE *to, const struct qs_envelope *envelope)
{
    char when[40] = "";
    time_t at = (time_t)envelope->arrival;
    struct tm tm = {0};
    if (!gmtime_r(&at, &tm) || strftime(when, sizeof when, "%a %b %e %H:%M:%S %Y", &tm) == 0)
        snprintf(when, sizeof when, "Thu Jan  1 00:00:00 1970");
    fputs("From ", to);
    for (size_t i = 0; i < envelope->sender.len; i++) {
        char c = envelope->sender.ptr[i];
        fputc((unsigned char)c <= ' ' || c == 127 ? '_' : c, to);
    }
    fprintf(to, "%s %s\n", envelope->sender.len ? "" : "MAILER-DAEMON", when);
}

static bool is_from(struct qs_span line)
{
    while (line.len > 0 && *line.ptr == '>')
        line.ptr++, line.len--;
    return qs_span_starts(line, "From ");
}

static void put_quoted(FILE *to, struct qs_span content)
{
    while (content.len > 0) {
        const char *newline = memchr(content.ptr, '\n', content.len);
        size_t length = newline ? (size_t)(newline - content.ptr) + 1 : content.len;
        if (is_from((struct qs_span){content.ptr, length}))
            fputc('>', to);
        fwrite(content.ptr, 1, length, to);
        if (!newline)
            fputc('\n', to);
        content.ptr += length;
        content.len -= length;
    }
    fputc('\n', to);
}

static FILE *open_file(int dir, const char *name)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (fd >= 0 && !file)
        close(fd);
    return file;
}

static bool close_file(FILE *file)
{
    bool failed = ferror(file) != 0;
    failed |= fflush(file) != 0 || fsync(fileno(file)) != 0;
    return fclose(file) == 0 && !failed;
}

/* Queue IDs are letters, digits and "_": they make safe file names. */
static enum qs_status put_eml(struct exporting *e, const struct qs_message *m, const struct qs_envelope *envelope,
                              struct qs_span content, struct qs_error *err)
{
    char name[300];
    const char *output = e->call->options->output;
    snprintf(name, sizeof name, "%s%s%.250s.eml", e->session->view.scan->queue_count > 1
             ? e->session->view.scan->queues[m->instance].name : "", e->session->view.scan->queue_count > 1 ? "-" : "", m->id);
    if (strchr(name, '/'))
        return qs_fail(err, QS_DATA, "%s: not a usable file name", name);
    FILE *file = open_file(e->dir, name);
    if (!file)
        return qs_fail_errno(err, errno, "%s/%s", output, name);
    put_envelope(file, envelope);
    fwrite(content.ptr, 1, content.len, file);
    return close_file(file) ? QS_OK : qs_fail(err, QS_IO, "%s/%s: cannot be written", output, name);
}

static enum qs_status put_message(struct exporting *e, uint32_t i, struct qs_error *err)
{
    const struct qs_scan *scan = e->session->view.scan;
    const struct qs_message *m = &scan->messages[i];
    struct qs_envelope envelope = {0};
    struct qs_span content = {NULL, 0};
    struct qs_error why = {""};
    bool whole = false;
    enum qs_status status = qs_scan_reread(scan, m, e->reader, CONTENT_LARGEST, &envelope, &content, &whole, &why);
    if (status == QS_OK && !whole)
        status = qs_fail(&why, QS_DATA, "too large for a readable copy");
    if (status != QS_OK) {
        qs_complain("%s: left out: %s", m->id, why.text);
        e->call->left_out = true;
        e->left++;
        return status == QS_NOMEM ? qs_fail(err, status, "%s", why.text) : QS_OK;
    }
    e->done++;
    if (e->dir >= 0)
        return put_eml(e, m, &envelope, content, err);
    put_from(e->mbox, &envelope);
    put_envelope(e->mbox, &envelope);
    put_quoted(e->mbox, content);
    return ferror(e->mbox) ? qs_fail(err, QS_IO, "%s: cannot be written", e->call->options->output) : QS_OK;
}

static enum qs_status open_output(struct exporting *e, bool mbox, const char *output, struct qs_error *err)
{
    if (mbox)
        e->mbox = open_file(AT_FDCWD, output);
    else if (mkdir(output, 0700) == 0)
        e->dir = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (e->mbox || e->dir >= 0)
        return QS_OK;
    return errno == EEXIST ? qs_fail(err, QS_USAGE, "%s exists already", output) : qs_fail_errno(err, errno, "%s", output);
}

enum qs_status qs_export(struct qs_call *call, const struct qs_session *session, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct exporting e = {.call = call, .session = session, .dir = -1};
    if (!o->output)
        return qs_fail(err, QS_USAGE, "--export %s needs --output %s", o->export,
                       strcmp(o->export, "mbox") == 0 ? "FILE" : "DIR, a new directory");
    e.reader = qs_reader_new(call->memory);
    enum qs_status status = e.reader ? open_output(&e, strcmp(o->export, "mbox") == 0, o->output, err)
                                     : qs_fail(err, QS_NOMEM, "out of memory");
    for (uint32_t i = 0; status == QS_OK && i < session->view.scan->count; i++)
        if (qs_operating_stopped())
            status = qs_fail(err, QS_BUSY, "stopped by a signal: %s is not complete", o->output);
        else if (!session->selected || session->selected[i])
            status = put_message(&e, i, err);
    if (e.mbox && !close_file(e.mbox) && status == QS_OK)
        status = qs_fail(err, QS_IO, "%s: cannot be written", o->output);
    if (e.dir >= 0)
        close(e.dir);
    if (status == QS_OK)
        fprintf(call->out, "Exported: %u message%s to %s\n", e.done, e.done == 1 ? "" : "s",
                qs_shell_word(call->memory, o->output));
    return status;
}
