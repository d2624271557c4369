/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of the mail server: see spawn.h. */
#include "qsurgeon/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qsurgeon/reader.h"

enum { COMPLAINTS = 4096, PIECE = 64 * 1024, MOST = 1 << 30 };

enum ending { WHOLE, TOO_MUCH, SILENT, NO_MEMORY };

struct printed {
    struct qs_buffer out, error;    /* error: the end of it */
};

static bool take(const struct qs_program *p, struct printed *to, bool error, struct qs_span bytes, enum ending *ending)
{
    const size_t most = p->most ? p->most : MOST;
    if (error) {
        if (to->error.len + bytes.len > PIECE && to->error.len > COMPLAINTS) {
            memmove(to->error.data, to->error.data + to->error.len - COMPLAINTS, COMPLAINTS);
            to->error.len = COMPLAINTS;
        }
    } else if (bytes.len > most || to->out.len > most - bytes.len) {
        *ending = TOO_MUCH;
        return false;
    }
    if (!qs_buffer_add(error ? &to->error : &to->out, bytes))
        *ending = NO_MEMORY;
    return *ending == WHOLE;
}

/* Collects both streams until they are closed. */
static enum ending collect(const struct qs_program *p, int out, int error, struct printed *to, char *bytes)
{
    struct pollfd fds[2] = {{.fd = out, .events = POLLIN}, {.fd = error, .events = POLLIN}};
    enum ending ending = WHOLE;
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        const int ready = poll(fds, 2, p->silence ? p->silence : -1);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return SILENT;
        for (int i = 0; i < 2; i++) {
            if (fds[i].fd < 0 || fds[i].revents == 0)
                continue;
            const ssize_t n = TEMP_FAILURE_RETRY(read(fds[i].fd, bytes, PIECE));
            if (n <= 0)
                fds[i].fd = -1;
            else if (!take(p, to, i == 1, (struct qs_span){bytes, (size_t)n}, &ending))
                return ending;
        }
    }
    return ending;
}

/* Without our signal mask and with the usual fate of a writer whose reader is gone. */
static int start(const struct qs_program *p, int in, int out, int error, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, pipe_signal;
    (void)sigemptyset(&none);
    (void)sigemptyset(&pipe_signal);
    (void)sigaddset(&pipe_signal, SIGPIPE);
    int result = posix_spawn_file_actions_init(&actions);
    if (result != 0)
        return result;
    result = posix_spawnattr_init(&attributes);
    if (result != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return result;
    }
    result = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    result = result ? result : posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    result = result ? result : posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO);
    result = result ? result : posix_spawnattr_setsigmask(&attributes, &none);
    result = result ? result : posix_spawnattr_setsigdefault(&attributes, &pipe_signal);
    result = result ? result : posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (result == 0) {
        /* posix_spawnp takes arrays of char * for history's sake and does not write to them */
        union { const char *const *in; char *const *out; } args = {p->argv}, env = {p->environment};
        result = posix_spawnp(pid, p->argv[0], &actions, &attributes, args.out, p->environment ? env.out : environ);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return result;
}

/* The last line that it complained in. */
static enum qs_status complain(const struct qs_program *p, const struct printed *printed, struct qs_error *err)
{
    struct qs_span words = qs_span_trim((struct qs_span){printed->error.data, printed->error.len});
    const char *newline = words.len > 0 ? memrchr(words.ptr, '\n', words.len) : NULL;
    char safe[QS_ERROR_TEXT / 2];
    if (words.len == 0)
        return qs_fail(err, QS_CONFIG, "%s failed", p->argv[0]);
    if (newline)
        words = (struct qs_span){newline + 1, words.len - (size_t)(newline + 1 - words.ptr)};
    qs_text_safe(safe, sizeof safe, words);
    return qs_fail(err, QS_CONFIG, "%s", safe);
}

static enum qs_status outcome(const struct qs_program *p, enum ending ending, int how, struct printed *printed,
                              struct qs_error *err)
{
    switch (ending) {
    case TOO_MUCH:
        return qs_fail(err, QS_CONFIG, "%s: prints without end", p->argv[0]);
    case SILENT:
        return qs_fail(err, QS_CONFIG, "%s: does not end", p->argv[0]);
    case NO_MEMORY:
        return qs_fail(err, QS_NOMEM, "%s: out of memory", p->argv[0]);
    case WHOLE:
        break;
    }
    if (!WIFEXITED(how) || WEXITSTATUS(how) != 0)
        return complain(p, printed, err);
    return qs_buffer_add_char(&printed->out, '\0') ? QS_OK : qs_fail(err, QS_NOMEM, "%s: out of memory", p->argv[0]);
}

static enum qs_status spawn_to(const struct qs_program *p, int in, int to[2], int error[2], struct printed *printed,
                               struct qs_error *err)
{
    pid_t pid = -1;
    int how = 0;
    char *bytes = talloc_array(printed->error.parent, char, PIECE);
    if (!bytes)
        return qs_fail(err, QS_NOMEM, "out of memory");
    const int result = start(p, in, to[1], error[1], &pid);
    close(to[1]);
    close(error[1]);
    to[1] = error[1] = -1;
    if (result != 0)
        return qs_fail(err, QS_CONFIG, "%s cannot be run: %s", p->argv[0], strerror(result));
    const enum ending ending = collect(p, to[0], error[0], printed, bytes);
    if (ending != WHOLE)
        kill(pid, SIGKILL);
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
        ;
    return outcome(p, ending, how, printed, err);
}

enum qs_status qs_spawn(TALLOC_CTX *parent, const struct qs_program *program, struct qs_span *out, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct printed printed;
    int fd[5] = {-1, -1, -1, -1, -1};
    enum qs_status status = QS_OK;
    qs_buffer_init(&printed.out, parent);
    qs_buffer_init(&printed.error, scratch);
    fd[4] = open(program->input ? program->input : "/dev/null", O_RDONLY | O_CLOEXEC);
    if (!scratch)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    else if (fd[4] < 0)
        status = qs_fail_errno(err, errno, "%.200s", program->input ? program->input : "/dev/null");
    else if (pipe2(fd, O_CLOEXEC) != 0 || pipe2(fd + 2, O_CLOEXEC) != 0)
        status = qs_fail_errno(err, errno, "pipe");
    else
        status = spawn_to(program, fd[4], fd, fd + 2, &printed, err);
    for (int i = 0; i < 5; i++)
        if (fd[i] >= 0)
            close(fd[i]);
    if (status == QS_OK)
        *out = (struct qs_span){printed.out.data, printed.out.len - 1};
    else
        talloc_free(printed.out.data);
    talloc_free(scratch);
    return status;
}
