/* SPDX-License-Identifier: Apache-2.0 */
/* A small SMTP client on a pipe or a connection, and the run that uses it. Lock-step: a command, its reply; so neither side waits for the other
 * with a full pipe. */
#include "qsurgeon/resubmit.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "qsurgeon/table.h"
#include "run.h"

enum { REPLY_LONGEST = 4096, WAIT_MS = 300 * 1000, ADDRESS_LONGEST = 900, ENVID_LONGEST = 100, CONTENT_LARGEST = 255 << 20 };

struct qs_submission {
    int to, from;
    pid_t pid;
    bool dsn, eight_bit, utf8;          /* what it knows */
    struct qs_buffer out;
    char in[8192];
    size_t in_at, in_length;
    char reply[REPLY_LONGEST];          /* the last line of the last reply */
};

static int end_submission(struct qs_submission *s)
{
    if (s->to >= 0)
        close(s->to);                   /* the program ends at the end of its input */
    if (s->from >= 0)
        close(s->from);
    if (s->pid > 0)
        (void)TEMP_FAILURE_RETRY(waitpid(s->pid, NULL, 0));
    return 0;
}

/* --- lines ------------------------------------------------------------------------------------------------------------ */

static enum qs_status broken(struct qs_error *err)
{
    return qs_fail(err, QS_IO, "the submission program has ended or does not answer");
}

static bool wait_for(int fd, short events)
{
    struct pollfd p = {fd, events, 0};
    return TEMP_FAILURE_RETRY(poll(&p, 1, WAIT_MS)) == 1;
}

static enum qs_status put(struct qs_submission *s, struct qs_span data, struct qs_error *err)
{
    while (data.len > 0) {
        ssize_t n = wait_for(s->to, POLLOUT) ? write(s->to, data.ptr, data.len < 4096 ? data.len : 4096) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return broken(err);
        data.ptr += n;
        data.len -= (size_t)n;
    }
    return QS_OK;
}

static enum qs_status get_char(struct qs_submission *s, char *c, struct qs_error *err)
{
    while (s->in_at == s->in_length) {
        ssize_t n = wait_for(s->from, POLLIN) ? read(s->from, s->in, sizeof s->in) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return broken(err);
        s->in_at = 0;
        s->in_length = (size_t)n;
    }
    *c = s->in[s->in_at++];
    return QS_OK;
}

static void learn(struct qs_submission *s, const char *words)
{
    struct qs_span word = {words, strcspn(words, " ")};
    s->dsn |= qs_span_is_nocase(word, "DSN");
    s->eight_bit |= qs_span_is_nocase(word, "8BITMIME");
    s->utf8 |= qs_span_is_nocase(word, "SMTPUTF8");
}

/* Reads a reply; its last line stays in s->reply. QS_USAGE: it is none of `class`. A reply has at most 1000 lines. */
static enum qs_status expect(struct qs_submission *s, char class, bool greeting, struct qs_error *err)
{
    for (unsigned line = 0; line < 1000; line++) {
        size_t length = 0;
        for (char c = 0; c != '\n';) {
            enum qs_status status = get_char(s, &c, err);
            if (status != QS_OK)
                return status;
            if (c != '\n' && c != '\r' && length + 1 < sizeof s->reply)
                s->reply[length++] = c;
        }
        s->reply[length] = '\0';
        if (length < 3)
            return broken(err);
        if (greeting && length > 4)
            learn(s, s->reply + 4);
        if (s->reply[3] != '-')
            return s->reply[0] == class ? QS_OK : qs_fail(err, s->reply[0] == '4' && memcmp(s->reply, "421", 3) == 0 ? QS_IO
                                                          : QS_USAGE, "the mail server says: %.200s", s->reply);
    }
    return broken(err);
}

static enum qs_status say(struct qs_submission *s, const char *command, char class, struct qs_error *err)
{
    enum qs_status status = put(s, qs_span_of(command), err);
    return status == QS_OK ? expect(s, class, false, err) : status;
}

/* Starts the program, with pipes. */
static enum qs_status start(struct qs_submission *s, const char *const argv[], struct qs_error *err)
{
    char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", zone[] = "TZ=UTC", *const environment[] = {path, zone, NULL};
    int to[2] = {-1, -1}, from[2] = {-1, -1};
    char *copy[16];
    size_t n = 0;
    for (; argv[n] && n < 15; n++)
        copy[n] = talloc_strdup(s, argv[n]);
    copy[n] = NULL;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    enum qs_status status = QS_OK;
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        status = qs_fail_errno(err, errno, "cannot make a pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    /* a group of its own: a Ctrl-C that ends the run after the current message must not end the server's side of it */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    int failed = status == QS_OK ? posix_spawn(&s->pid, argv[0], &actions, &attributes, copy, environment) : 0;
    if (failed) {
        s->pid = 0;
        status = qs_fail(err, QS_IO, "%s: cannot be run: %s", argv[0], strerror(failed));
    }
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (to[0] >= 0)
        close(to[0]);
    if (from[1] >= 0)
        close(from[1]);
    s->to = to[1];
    s->from = from[0];
    return status;
}

/* Connects to a server, when that is what `name` is: ADDRESS:PORT, numbers only. QS_END: it is none. */
static enum qs_status connect_to(struct qs_submission *s, const char *name, struct qs_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *address = NULL;
    const char *colon = strrchr(name, ':');
    bool bracket = name[0] == '[' && colon && colon[-1] == ']';
    char *host = colon ? talloc_strndup(s, name + bracket, (size_t)(colon - name) - 2 * bracket) : NULL;
    if (!host || strchr(name, '/') || getaddrinfo(host, colon + 1, &hints, &address) != 0)
        return QS_END;
    s->to = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = s->to >= 0 && TEMP_FAILURE_RETRY(connect(s->to, address->ai_addr, address->ai_addrlen)) == 0 &&
              (s->from = fcntl(s->to, F_DUPFD_CLOEXEC, 0)) >= 0;
    freeaddrinfo(address);
    return ok ? QS_OK : qs_fail_errno(err, errno, "%s", name);
}

enum qs_status qs_submission_open(TALLOC_CTX *parent, const char *const argv[], struct qs_submission **out, struct qs_error *err)
{
    struct qs_submission *s = talloc_zero(parent, struct qs_submission);
    if (!s)
        return qs_fail(err, QS_NOMEM, "out of memory");
    s->to = s->from = -1;
    talloc_set_destructor(s, end_submission);
    qs_buffer_init(&s->out, s);
    enum qs_status status = connect_to(s, argv[0], err);
    if (status == QS_END)
        status = start(s, argv, err);
    if (status == QS_OK)
        status = expect(s, '2', false, err);
    if (status == QS_OK)
        status = put(s, QS_SPAN("EHLO localhost\r\n"), err);
    if (status == QS_OK)
        status = expect(s, '2', true, err);
    if (status == QS_OK) {
        *out = s;
        return QS_OK;
    }
    talloc_free(s);
    return status == QS_USAGE ? QS_IO : status;
}

/* --- a message -------------------------------------------------------------------------------------------------------- */

static bool is_atom(struct qs_span local)
{
    bool dot = true;                    /* none at the ends, no two together */
    for (size_t i = 0; i < local.len; i++) {
        unsigned char c = (unsigned char)local.ptr[i];
        if (c == '.' && dot)
            return false;
        dot = c == '.';
        if (c <= ' ' || c == 127 || strchr("()<>[]:;@\\,\"", c))
            return false;
    }
    return !dot;
}

/* The address as it stands between "<" and ">". False: SMTP has no way to say it. */
static bool add_address(struct qs_submission *s, struct qs_span address, bool *utf8)
{
    const char *at = address.len ? memrchr(address.ptr, '@', address.len) : NULL;
    struct qs_span local = {address.ptr, at ? (size_t)(at - address.ptr) : address.len};
    struct qs_span domain = at ? (struct qs_span){at, address.len - local.len} : (struct qs_span){NULL, 0};
    bool quote = !is_atom(local), ok = address.len <= ADDRESS_LONGEST && (!at || domain.len > 1);
    for (size_t i = 0; ok && i < address.len; i++) {
        unsigned char c = (unsigned char)address.ptr[i];
        *utf8 |= c >= 128;
        ok = c >= ' ' && c != 127;
    }
    for (size_t i = 1; ok && i < domain.len; i++)
        ok = !strchr(" <>()\"\\,;@", domain.ptr[i]);
    if (quote)
        ok = ok && qs_buffer_add_char(&s->out, '"');
    for (size_t i = 0; ok && i < local.len; i++)
        ok = (!quote || !strchr("\"\\", local.ptr[i]) || qs_buffer_add_char(&s->out, '\\')) &&
             qs_buffer_add_char(&s->out, local.ptr[i]);
    if (quote)
        ok = ok && qs_buffer_add_char(&s->out, '"');
    return ok && qs_buffer_add(&s->out, domain);
}

/* RFC 3461, 4: xtext. */
static bool add_xtext(struct qs_submission *s, struct qs_span text)
{
    static const char hex[] = "0123456789ABCDEF";
    bool ok = true;
    for (size_t i = 0; ok && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c > ' ' && c < 127 && c != '+' && c != '=')
            ok = qs_buffer_add_char(&s->out, (char)c);
        else
            ok = qs_buffer_add_char(&s->out, '+') && qs_buffer_add_char(&s->out, hex[c >> 4]) &&
                 qs_buffer_add_char(&s->out, hex[c & 15]);
    }
    return ok;
}

/* sendmail keeps the envelope ID as the xtext that it was, the Postfix driver gives what that means. */
static bool is_xtext(struct qs_span text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 127 || text.ptr[i] == '=')
            return false;
        if (text.ptr[i] == '+' && (text.len - i < 3 || !memchr(hex, text.ptr[i + 1], 16) || !memchr(hex, text.ptr[i + 2], 16)))
            return false;
    }
    return true;
}

static bool add(struct qs_submission *s, const char *text)
{
    return qs_buffer_add(&s->out, qs_span_of(text));
}

static bool add_notify(struct qs_submission *s, unsigned notify)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {{2, "SUCCESS"}, {4, "FAILURE"}, {8, "DELAY"}};
    const char *comma = " NOTIFY=";
    bool ok = true;
    if (notify & 1)
        return add(s, " NOTIFY=NEVER");
    for (size_t i = 0; i < 3; i++)
        if (notify & words[i].bit) {
            ok = ok && add(s, comma) && add(s, words[i].word);
            comma = ",";
        }
    return ok;
}

static enum qs_status flush_command(struct qs_submission *s, bool ok, struct qs_error *err)
{
    if (!ok || !qs_buffer_add(&s->out, QS_SPAN("\r\n")) || !qs_buffer_add_char(&s->out, '\0'))
        return qs_fail(err, QS_USAGE, "an address that cannot be said in SMTP");
    enum qs_status status = put(s, (struct qs_span){s->out.data, s->out.len - 1}, err);
    s->out.len = 0;
    return status == QS_OK ? expect(s, '2', false, err) : status;
}

static bool has_eight_bit(struct qs_span content)
{
    for (size_t i = 0; i < content.len; i++)
        if ((unsigned char)content.ptr[i] >= 128)
            return true;
    return false;
}

/* LF becomes CR LF, a dot at the beginning of a line two. */
static enum qs_status put_content(struct qs_submission *s, struct qs_span content, struct qs_error *err)
{
    enum { PIECE = 65536 };
    enum qs_status status = QS_OK;
    s->out.len = 0;
    while (status == QS_OK && content.len > 0) {
        const char *newline = memchr(content.ptr, '\n', content.len);
        size_t line = newline ? (size_t)(newline - content.ptr) : content.len;
        size_t length = line && newline && content.ptr[line - 1] == '\r' ? line - 1 : line;
        if ((content.ptr[0] == '.' && length > 0 && !qs_buffer_add_char(&s->out, '.')) ||
            !qs_buffer_add(&s->out, (struct qs_span){content.ptr, length}) || !qs_buffer_add(&s->out, QS_SPAN("\r\n")))
            return qs_fail(err, QS_NOMEM, "out of memory");
        content.ptr += newline ? line + 1 : line;
        content.len -= newline ? line + 1 : line;
        if (s->out.len > PIECE) {
            status = put(s, (struct qs_span){s->out.data, s->out.len}, err);
            s->out.len = 0;
        }
    }
    if (status == QS_OK && !qs_buffer_add(&s->out, QS_SPAN(".\r\n")))
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        status = put(s, (struct qs_span){s->out.data, s->out.len}, err);
    s->out.len = 0;
    return status;
}

static enum qs_status say_envelope(struct qs_submission *s, const struct qs_envelope *e, struct qs_span content,
                                   struct qs_error *err)
{
    bool utf8 = (e->flags & QS_ENV_UTF8) != 0, ok = true;
    uint32_t recipients = 0;
    s->out.len = 0;
    for (size_t i = 0; i < e->recipient_count; i++) {       /* does any address need SMTPUTF8? */
        const struct qs_recipient_text *r = &e->recipients[i];
        recipients += r->state == QS_RCPT_TODO;
        ok = ok && (r->state != QS_RCPT_TODO || add_address(s, r->address, &utf8));
    }
    s->out.len = 0;
    if (!ok)
        return qs_fail(err, QS_USAGE, "an address that cannot be said in SMTP");
    if (recipients == 0)
        return qs_fail(err, QS_USAGE, "no recipient waits for it any more");
    ok = add(s, "MAIL FROM:<") && (e->sender.len == 0 || add_address(s, e->sender, &utf8)) && add(s, ">");
    if (s->eight_bit && has_eight_bit(content))
        ok = ok && add(s, " BODY=8BITMIME");
    if (s->utf8 && utf8)
        ok = ok && add(s, " SMTPUTF8");
    if (s->dsn && e->ret)
        ok = ok && add(s, e->ret == 'H' ? " RET=HDRS" : " RET=FULL");
    if (s->dsn && e->envelope_id.len > 0 && e->envelope_id.len <= ENVID_LONGEST)
        ok = ok && add(s, " ENVID=") &&
             (is_xtext(e->envelope_id) ? qs_buffer_add(&s->out, e->envelope_id) : add_xtext(s, e->envelope_id));
    enum qs_status status = flush_command(s, ok, err);
    for (size_t i = 0; status == QS_OK && i < e->recipient_count; i++) {
        const struct qs_recipient_text *r = &e->recipients[i];
        if (r->state != QS_RCPT_TODO)
            continue;
        ok = add(s, "RCPT TO:<") && add_address(s, r->address, &utf8) && add(s, ">");
        if (s->dsn)
            ok = ok && add_notify(s, r->notify);
        if (s->dsn && r->original.len > 0 && r->original.len < 500)
            ok = ok && add(s, " ORCPT=rfc822;") && add_xtext(s, r->original);
        status = flush_command(s, ok, err);
    }
    return status;
}

enum qs_status qs_submission_send(struct qs_submission *s, const struct qs_envelope *e, struct qs_span content, bool *doubt,
                                  struct qs_error *err)
{
    struct qs_error ignored;
    *doubt = false;
    enum qs_status status = say_envelope(s, e, content, err);
    if (status == QS_OK)
        status = say(s, "DATA\r\n", '3', err);
    if (status == QS_OK) {
        status = put_content(s, content, err);
        *doubt = status == QS_OK;
        if (status == QS_OK)
            status = expect(s, '2', false, err);
        *doubt = *doubt && status == QS_IO;
        return status;
    }
    s->out.len = 0;
    if (status == QS_USAGE && say(s, "RSET\r\n", '2', &ignored) == QS_IO)
        return QS_USAGE;            /* the next message finds the session broken, and begins another */
    return status;
}

/* --- the run ---------------------------------------------------------------------------------------------------------- */

struct resubmitting {
    const struct qs_plan *plan;
    const struct qs_view *view;
    const struct qs_operate *how;
    const char *const *argv;
    struct qs_run_result *result;
    struct qs_journal *journal;
    struct qs_submission *submission;
    struct qs_reader *reader;
    struct qs_table *message_of;        /* queue ID → index in the view */
};

static enum qs_status note(struct resubmitting *r, uint32_t n, enum qs_outcome outcome, const char *why, struct qs_error *err)
{
    struct qs_run_result *result = r->result;
    result->count[outcome]++;
    if (outcome == QS_DONE)
        result->bytes_done += r->plan->items[n].size;
    else {
        struct qs_left_out *grown = talloc_realloc(result, result->left, struct qs_left_out, result->left_count + 1);
        if (!grown)
            return qs_fail(err, QS_NOMEM, "out of memory");
        result->left = grown;
        grown[result->left_count++] = (struct qs_left_out){talloc_strdup(result, r->plan->items[n].id), outcome,
                                                           talloc_strdup(result, why)};
    }
    enum qs_status status = qs_journal_outcome(r->journal, n, false, outcome, why, err);
    return status == QS_OK ? qs_journal_sync(r->journal, err) : status;
}

static enum qs_status hand_over(struct resubmitting *r, uint32_t n, struct qs_error *err)
{
    const struct qs_plan_item *item = &r->plan->items[n];
    const struct qs_scan *scan = r->view->scan;
    struct qs_envelope envelope = {0};
    struct qs_span content = {NULL, 0};
    struct qs_error why = {""};
    bool whole = false, doubt = false;
    uint32_t at = qs_table_get(r->message_of, XXH3_64bits(item->id, strlen(item->id)), UINT32_MAX);
    enum qs_status status = at != UINT32_MAX
        ? qs_scan_reread(scan, &scan->messages[at], r->reader, CONTENT_LARGEST, &envelope, &content, &whole, &why)
        : qs_fail(&why, QS_GONE, "the archive has no such message");
    if (status == QS_OK && (!whole || envelope.recipients_left_out))
        status = qs_fail(&why, QS_USAGE, "too large to be handed over");
    if (status == QS_OK && (envelope.flags & QS_ENV_NO_BODY))
        status = qs_fail(&why, QS_USAGE, "its body is missing");
    if (status == QS_OK && !r->submission)
        status = qs_submission_open(r->journal, r->argv, &r->submission, &why);
    if (status == QS_OK) {
        status = qs_journal_outcome(r->journal, n, false, QS_FAILED,
                                    "was being handed over when the run ended: look for it before it is sent again", err);
        if (status == QS_OK)
            status = qs_journal_sync(r->journal, err);
        if (status != QS_OK)
            return status;
        status = qs_submission_send(r->submission, &envelope, content, &doubt, &why);
    }
    if (status == QS_IO && doubt)
        (void)qs_fail(&why, QS_IO, "the mail server ended before it had said whether it took the message: look for it");
    bool stop = doubt || status == QS_IO || status == QS_NOMEM;
    /* QS_FAILED stands for doubt: whoever goes on must not hand it over again unasked */
    enum qs_outcome outcome = doubt ? QS_FAILED : stop ? QS_NOT_REACHED : status == QS_OK ? QS_DONE
        : status == QS_GONE ? QS_LEFT_GONE : QS_LEFT_REFUSED;
    if (status == QS_IO || status == QS_USAGE) {            /* servers punish errors: each begins a new session */
        talloc_free(r->submission);
        r->submission = NULL;
    }
    enum qs_status noted = note(r, n, outcome, why.text, err);
    return noted != QS_OK ? noted : stop ? qs_fail(err, QS_IO, "%s: %s", item->id, why.text) : QS_OK;
}

static enum qs_status run_all(struct resubmitting *r, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (uint32_t n = 0; n < r->plan->count; n++) {
        if (status != QS_OK || r->result->stopped) {
            r->result->count[QS_NOT_REACHED]++;
            continue;
        }
        status = hand_over(r, n, err);
        if (r->how->keep_going && !r->how->keep_going(r->how->data, r->result->count[QS_DONE], r->plan->count))
            r->result->stopped = true;
    }
    if (r->submission) {
        struct qs_error ignored;
        if (say(r->submission, "QUIT\r\n", '2', &ignored) != QS_OK)
            r->submission = NULL;       /* it has what it took; ended with the journal's memory */
    }
    return status;
}

/* The run's directory with its plan and an empty journal. They are the state directory's owner's, as those of all runs, whatever
 * happens next; the process itself stays who it is. */
static enum qs_status begin(struct resubmitting *r, TALLOC_CTX *scratch, struct qs_error *err)
{
    struct stat st;
    char *dir = talloc_asprintf(scratch, "%s/%s", r->how->state_dir, r->result->run);
    char *path = dir ? talloc_asprintf(scratch, "%s/plan.jsonl", dir) : NULL;
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (!path)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (stat(r->how->state_dir, &st) != 0)
        return qs_fail_errno(err, errno, "%s", r->how->state_dir);
    bool other = uid == 0 && st.st_uid != 0;
    if (other && (setegid(st.st_gid) != 0 || seteuid(st.st_uid) != 0))
        return qs_fail_errno(err, errno, "cannot become the owner of %s", r->how->state_dir);
    enum qs_status status = qs_fs_make_dirs(dir, err);
    if (status == QS_OK)
        status = qs_plan_write(r->plan, path, err);
    if (status == QS_OK)
        status = qs_journal_open(scratch, dir, &r->journal, err);
    if (other && (seteuid(uid) != 0 || setegid(gid) != 0) && status == QS_OK)
        status = qs_fail_errno(err, errno, "cannot become root again");
    return status;
}

enum qs_status qs_resubmit(TALLOC_CTX *parent, const struct qs_plan *plan, const struct qs_view *view,
                           const struct qs_operate *how, const char *const argv[], struct qs_run_result **result,
                           struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    const struct qs_scan *scan = view->scan;
    struct resubmitting r = {plan, view, how, argv, talloc_zero(parent, struct qs_run_result), NULL, NULL,
                             qs_reader_new(scratch), qs_table_new(scratch, scan->count)};
    enum qs_status status = r.result && r.reader && r.message_of ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
    for (uint32_t i = 0; status == QS_OK && i < scan->count; i++)
        if (!qs_table_at(r.message_of, XXH3_64bits(scan->messages[i].id, strlen(scan->messages[i].id)), i))
            status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status != QS_OK) {
        talloc_free(r.result);
        talloc_free(scratch);
        return status;
    }
    qs_run_name(r.result, plan, how);
    status = begin(&r, scratch, err);
    if (status != QS_OK)
        r.result->run[0] = '\0';        /* nothing was begun */
    else
        status = run_all(&r, err);
    /* what was not done is the archive's still: the run has an end in any case, and restore --resubmit goes on */
    if (r.journal && qs_journal_mark(r.journal, "end", status == QS_OK ? err : NULL) != QS_OK && status == QS_OK)
        status = QS_IO;
    *result = r.result;
    talloc_free(scratch);
    return status;
}
