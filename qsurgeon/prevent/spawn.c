/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of the mail server: see spawn.h. */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 1 << 30, PIECE = 65536 };

/* What comes through the pipe; false: no memory or too much. */
static bool collect(TALLOC_CTX *parent, int fd, struct qs_span *out)
{
    char *text = NULL;
    size_t used = 0, size = 0;
    for (;;) {
        if (size - used < PIECE + 1) {
            size = size ? size * 2 : 2 * PIECE + 2;
            char *grown = size <= MOST ? talloc_realloc(parent, text, char, (unsigned)size) : NULL;
            if (!grown) {
                talloc_free(text);
                return false;
            }
            text = grown;
        }
        ssize_t n = TEMP_FAILURE_RETRY(read(fd, text + used, PIECE));
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    text[used] = '\0';
    *out = (struct qs_span){text, used};
    return true;
}

/* The last line that it complained in. */
static enum qs_status complain(FILE *complaints, const char *program, struct qs_error *err)
{
    char line[QS_ERROR_TEXT / 2], last[QS_ERROR_TEXT / 2] = "", safe[QS_ERROR_TEXT / 2];
    rewind(complaints);
    while (fgets(line, sizeof line, complaints))
        if (qs_span_trim(qs_span_of(line)).len)
            snprintf(last, sizeof last, "%s", line);
    qs_text_safe(safe, sizeof safe, qs_span_trim(qs_span_of(last)));
    return safe[0] ? qs_fail(err, QS_CONFIG, "%s", safe) : qs_fail(err, QS_CONFIG, "%s failed", program);
}

static int start(const char *const argv[], int in, int out, int error, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    int result = posix_spawn_file_actions_init(&actions);
    if (result != 0)
        return result;
    result = posix_spawn_file_actions_adddup2(&actions, in, 0);
    result = result ? result : posix_spawn_file_actions_adddup2(&actions, out, 1);
    result = result ? result : posix_spawn_file_actions_adddup2(&actions, error, 2);
    result = result ? result : posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

enum qs_status qs_spawn(TALLOC_CTX *parent, const char *const argv[], const char *input, struct qs_span *out,
                        struct qs_error *err)
{
    int in = open(input ? input : "/dev/null", O_RDONLY | O_CLOEXEC), to[2] = {-1, -1}, how = 0;
    FILE *complaints = tmpfile();
    struct qs_span printed = {NULL, 0};
    pid_t pid = -1;
    enum qs_status status = QS_OK;
    if (in < 0 || !complaints || pipe2(to, O_CLOEXEC) != 0) {
        status = qs_fail_errno(err, errno, "%.200s", input ? input : argv[0]);
    } else {
        int result = start(argv, in, to[1], fileno(complaints), &pid);
        close(to[1]);
        to[1] = -1;
        if (result != 0) {
            status = qs_fail(err, QS_CONFIG, "%s cannot be run", argv[0]);
        } else {
            bool all = collect(parent, to[0], &printed);
            if (!all)
                kill(pid, SIGKILL);
            while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
                ;
            if (!all)
                status = qs_fail(err, QS_NOMEM, "%s: out of memory", argv[0]);
            else if (!WIFEXITED(how) || WEXITSTATUS(how) != 0)
                status = complain(complaints, argv[0], err);
        }
    }
    if (in >= 0)
        close(in);
    if (to[0] >= 0)
        close(to[0]);
    if (to[1] >= 0)
        close(to[1]);
    if (complaints)
        fclose(complaints);
    if (status == QS_OK)
        *out = printed;
    else
        talloc_free((void *)(uintptr_t)printed.ptr);
    return status;
}
