/* SPDX-License-Identifier: Apache-2.0 */
/* triage: what is in the queue, why, and what to type next. */
#include <stdlib.h>
#include <string.h>

#include "operating.h"
#include "session.h"
#include "terminal.h"

static enum qs_status report(struct qs_call *call, FILE *out, const struct qs_session *session,
                             struct qs_error *err)
{
    return (call->options->json ? qs_report_triage_json : qs_report_triage_text)(
        out, &session->view, session->selected, &call->style, err);
}

/* The first picture of a scan that takes long. On a terminal *data counts its lines, for the final one takes
 * its place. */
static enum qs_status show_partial(struct qs_call *call, void *data, const struct qs_session *session,
                                   struct qs_error *err)
{
    unsigned *lines = data;
    char *text = NULL;
    size_t size = 0;
    FILE *buffer = open_memstream(&text, &size);
    if (!buffer)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = report(call, buffer, session, err);
    if (fclose(buffer) != 0 && status == QS_OK)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK) {
        for (size_t i = 0; i < size; i++)
            *lines += text[i] == '\n';
        fwrite(text, 1, size, call->out);
        fflush(call->out);
    }
    free(text);
    return status;
}

static enum qs_status explain_named(struct qs_call *call, const struct qs_session *session,
                                    struct qs_error *err)
{
    const struct qs_options *options = call->options;
    enum qs_status status = QS_OK;
    for (size_t i = 0; status == QS_OK && i < options->argument_count; i++) {
        uint32_t group = qs_session_group(session, options->arguments[i]);
        if (group == UINT32_MAX)
            return qs_fail(err, QS_USAGE, "no cluster is called %.60s", options->arguments[i]);
        if (i > 0 && !options->json)
            fputc('\n', call->out);
        status = options->json ? qs_report_cluster_json(call->out, &session->view, group, err)
                               : qs_report_cluster_text(call->out, &session->view, group, &call->style, err);
    }
    return status;
}

static enum qs_status run(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *options = call->options;
    struct qs_session *session = NULL;
    bool terminal = qs_is_terminal(call->out) && !options->json;
    bool partial = !options->argument_count && (terminal || options->partial);
    unsigned lines = 0;
    enum qs_status status =
        qs_session_open(call, false, partial ? show_partial : NULL, &lines, &session, err);
    if (status != QS_OK)
        return status;
    if (options->argument_count)
        return explain_named(call, session, err);
    if (qs_is_rewritable(call->out) && terminal && lines > 0 && lines < call->style.rows)
        fprintf(call->out, "\033[%uA\033[J", lines);
    status = report(call, call->out, session, err);
    if (status == QS_OK)
        qs_operating_tell_unfinished(call, session->view.scan);
    return status;
}

const struct qs_command qs_cmd_triage = {
    .name = "triage",
    .summary = "what is in the queue, why, and what to type next",
    .arguments = "[C-NAME...]",
    .most = SIZE_MAX,
    .selects = true,
    .options = QS_OPTION(QS_OPT_JSON) | QS_OPTION(QS_OPT_EXPLAIN) | QS_OPTION(QS_OPT_PROBLEMS) |
               QS_OPTION(QS_OPT_TOP) | QS_OPTION(QS_OPT_PARTIAL),
    .description = "With the name of a cluster: that cluster alone, with all its evidence.\n",
    .run = run,
};
