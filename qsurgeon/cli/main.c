/* SPDX-License-Identifier: Apache-2.0 */
/* The program: the table of commands, the one place where statuses become exit codes, and where standard
 * output is flushed and checked before success is reported. */
#include <poll.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "exit.h"
#include "qsurgeon/decode.h"
#include "terminal.h"

enum qs_exit qs_exit_of(enum qs_status status)
{
    switch (status) {
    case QS_OK:
    case QS_END:
        return QS_EXIT_OK;
    case QS_SKIP:
        return QS_EXIT_LEFT_OUT;
    case QS_DATA:
        return QS_EXIT_DATA;
    case QS_USAGE:
        return QS_EXIT_USAGE;
    case QS_NOQUEUE:
        return QS_EXIT_NOQUEUE;
    case QS_GONE:               /* a file that was named */
    case QS_IO:
        return QS_EXIT_IO;
    case QS_BUSY:
        return QS_EXIT_BUSY;
    case QS_NOPERM:
        return QS_EXIT_NOPERM;
    case QS_CONFIG:
        return QS_EXIT_CONFIG;
    case QS_NOMEM:
        return QS_EXIT_MEMORY;
    }
    return QS_EXIT_IO;
}

void qs_complain(const char *format, ...)
{
    char line[QS_ERROR_TEXT * 2], safe[QS_ERROR_TEXT * 4];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    qs_text_safe(safe, sizeof safe, qs_span_of(line));
    fprintf(stderr, "qsurgeon: %s\n", safe);
}

static enum qs_status run_help(struct qs_call *call, struct qs_error *err)
{
    if (!call->options->argument_count) {
        qs_help(call->out);
        return QS_OK;
    }
    for (size_t c = 0; c < qs_command_count; c++)
        if (strcmp(qs_commands[c]->name, call->options->arguments[0]) == 0) {
            qs_help_command(call->out, qs_commands[c]);
            return QS_OK;
        }
    return qs_fail(err, QS_USAGE, "unknown command %.60s; `help` names them", call->options->arguments[0]);
}

static enum qs_status run_version(struct qs_call *call, struct qs_error *err)
{
    (void)err;
    fputs("qsurgeon " QS_VERSION "\n", call->out);
    return QS_OK;
}

static const struct qs_command cmd_help = {
    .name = "help", .summary = "say how to use the program or a command", .arguments = "[COMMAND]", .most = 1,
    .description = "", .run = run_help,
};
static const struct qs_command cmd_version = {
    .name = "version",
    .summary = "say which version this is",
    .arguments = "",
    .description = "",
    .run = run_version,
};

const struct qs_command *const qs_commands[] = {
    &qs_cmd_triage, &qs_cmd_list, &qs_cmd_show, &qs_cmd_shape, &qs_cmd_sources, &qs_cmd_block, &qs_cmd_recipients, &qs_cmd_sql, &qs_cmd_save,
    &qs_cmd_hold, &qs_cmd_release, &qs_cmd_purge, &qs_cmd_archive, &qs_cmd_defer, &qs_cmd_expedite, &qs_cmd_express,
    &qs_cmd_requeue,
    &qs_cmd_drop_recipients, &qs_cmd_commit, &qs_cmd_undo, &qs_cmd_resume, &qs_cmd_log, &qs_cmd_forget, &qs_cmd_verify,
    &qs_cmd_doctor,
    &qs_cmd_rules,
    &qs_cmd_archives, &qs_cmd_restore,
    &cmd_help, &cmd_version,
};
const size_t qs_command_count = sizeof qs_commands / sizeof qs_commands[0];

/* Nobody reads standard output any more: `qsurgeon list | head`. */
static bool reader_is_gone(void)
{
    struct pollfd fd = {STDOUT_FILENO, POLLOUT, 0};
    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLERR);
}

static enum qs_exit finish_output(enum qs_exit code)
{
    bool failed = fflush(stdout) != 0;
    failed |= ferror(stdout) != 0;
    if (!failed)
        return code;
    if (reader_is_gone()) {         /* end as other programs in a pipe do: quietly, by the signal */
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    qs_complain("standard output cannot be written");
    return QS_EXIT_IO;
}

static enum qs_exit run(TALLOC_CTX *memory, const struct qs_options *options)
{
    struct qs_call call = {
        .memory = memory, .options = options, .style = qs_terminal_style(stdout), .out = stdout};
    struct qs_error err = {""};
    call.style.explain = options->explain;
    call.style.problems = options->problems;
    call.style.top = options->top;
    call.style.program = options->program;
    call.style.selection = options->selection_words;
    enum qs_status status = options->command->run(&call, &err);
    if (status != QS_OK && !ferror(stdout))
        qs_complain("%s", err.text);
    if (status != QS_OK)
        return qs_exit_of(status);
    if (call.no_permission)
        return QS_EXIT_NOPERM;
    return call.left_out ? QS_EXIT_LEFT_OUT : QS_EXIT_OK;
}

int main(int argc, char **argv)
{
    TALLOC_CTX *memory = talloc_named_const(NULL, 0, "qsurgeon");
    struct qs_options *options = NULL;
    struct qs_error err = {""};
    enum qs_exit code = QS_EXIT_OK;
    signal(SIGPIPE, SIG_IGN);
#ifdef __GLIBC__
    /* large blocks go back to the system at once; by itself the library comes to keep ever larger ones */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
    enum qs_status status = qs_options_parse(memory, argc, argv, &options, &err);
    if (status != QS_OK) {
        qs_complain("%s", err.text);
        code = qs_exit_of(status);
    } else if (options->help && options->command) {
        qs_help_command(stdout, options->command);
    } else if (options->help) {
        qs_help(stdout);
    } else if (options->version) {
        fputs("qsurgeon " QS_VERSION "\n", stdout);
    } else {
        code = run(memory, options);
    }
    code = finish_output(code);
    talloc_free(memory);
    return (int)code;
}
