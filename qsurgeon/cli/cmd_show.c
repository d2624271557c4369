/* SPDX-License-Identifier: Apache-2.0 */
/* show: all about a message or a cluster. */
#include <string.h>

#include "qsurgeon/decode.h"
#include "session.h"
#include "terminal.h"

enum { RAW_MAX = 1 << 30 };         /* bytes of a message that are kept in memory */

/* One message read again from its queue. */
struct reading {
    struct qs_reader *reader;
    struct qs_envelope envelope;
    struct qs_span content;
    bool whole;
};

/* *r is NULL when the message is of a saved scan or has left the queue. */
static enum qs_status read_again(TALLOC_CTX *scratch, const struct qs_session *session, uint32_t message,
                                 struct reading **r, struct qs_error *err)
{
    struct reading *fresh = talloc_zero(scratch, struct reading);
    if (!fresh || !(fresh->reader = qs_reader_new(fresh)))
        return qs_fail(err, QS_NOMEM, "out of memory");
    const struct qs_message *m = &session->view.scan->messages[message];
    enum qs_status status = qs_scan_reread(session->view.scan, m, fresh->reader, RAW_MAX, &fresh->envelope,
                                           &fresh->content, &fresh->whole, err);
    *r = status == QS_OK ? fresh : NULL;
    return status;
}

static enum qs_status show_raw(struct qs_call *call, TALLOC_CTX *scratch, const struct qs_session *session,
                               uint32_t message, struct qs_error *err)
{
    struct reading *r = NULL;
    enum qs_status status = read_again(scratch, session, message, &r, err);
    if (status != QS_OK)
        return status;
    if (!r->whole)
        return qs_fail(err, QS_DATA, "%s: larger than %d bytes", session->view.scan->messages[message].id,
                       RAW_MAX);
    if (qs_is_terminal(call->out))
        return qs_report_raw_text(call->out, r->content, &call->style, err);
    fwrite(r->content.ptr, 1, r->content.len, call->out);
    return ferror(call->out) ? qs_fail(err, QS_IO, "the output cannot be written") : QS_OK;
}

static enum qs_status show_message(struct qs_call *call, TALLOC_CTX *scratch,
                                   const struct qs_session *session, uint32_t message, struct qs_error *err)
{
    struct reading *r = NULL;
    struct qs_decoded *decoded = NULL;
    struct qs_error why = {""};
    if (call->options->raw)
        return show_raw(call, scratch, session, message, err);
    enum qs_status status = read_again(scratch, session, message, &r, &why);
    if (status == QS_OK)
        status = qs_decode(scratch, r->content, &decoded, &why);
    if (status == QS_NOMEM)
        return qs_fail(err, status, "out of memory");
    if (status != QS_OK && status != QS_NOQUEUE) {
        qs_complain("%s: %s", session->view.scan->messages[message].id, why.text);
        call->left_out = true;
    }
    const struct qs_envelope *envelope = r ? &r->envelope : NULL;
    return call->options->json
        ? qs_report_show_json(call->out, &session->view, message, envelope, decoded, err)
        : qs_report_show_text(call->out, &session->view, message, envelope, decoded, &call->style, err);
}

static enum qs_status show_messages(struct qs_call *call, const struct qs_session *session, const char *id,
                                    bool *found, struct qs_error *err)
{
    const struct qs_scan *scan = session->view.scan;
    enum qs_status status = QS_OK;
    for (uint32_t i = 0; status == QS_OK && i < scan->count; i++) {
        if (strcmp(scan->messages[i].id, id) != 0 || (session->selected && !session->selected[i]))
            continue;
        TALLOC_CTX *scratch = talloc_new(NULL);
        *found = true;
        status = show_message(call, scratch, session, i, err);
        talloc_free(scratch);
    }
    return status;
}

static enum qs_status show_named(struct qs_call *call, const struct qs_session *session, const char *name,
                                 struct qs_error *err)
{
    bool found = false;
    uint32_t group = qs_session_group(session, name);
    if (group != UINT32_MAX && call->options->raw)
        return qs_fail(err, QS_USAGE, "--raw shows messages, not clusters: %s", name);
    if (group != UINT32_MAX)
        return call->options->json
                   ? qs_report_cluster_json(call->out, &session->view, group, err)
                   : qs_report_cluster_text(call->out, &session->view, group, &call->style, err);
    enum qs_status status = show_messages(call, session, name, &found, err);
    if (status == QS_OK && !found) {
        qs_complain("%.100s: no such message in the queue, and no such cluster", name);
        call->left_out = true;
    }
    return status;
}

static enum qs_status run(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *options = call->options;
    struct qs_session *session = NULL;
    qs_decode_init();
    enum qs_status status = qs_session_open(call, true, NULL, NULL, &session, err);
    for (size_t i = 0; status == QS_OK && i < options->argument_count; i++) {
        if (i > 0 && !options->json && !options->raw)
            fputc('\n', call->out);
        status = show_named(call, session, options->arguments[i], err);
    }
    return status;
}

const struct qs_command qs_cmd_show = {
    .name = "show",
    .summary = "all about a message or a cluster",
    .arguments = "ID|C-NAME...",
    .least = 1,
    .most = SIZE_MAX,
    .selects = true,
    .options = QS_OPTION(QS_OPT_JSON) | QS_OPTION(QS_OPT_RAW),
    .description = "Envelope, recipients with their last results, header, decoded text and evidence.\n",
    .run = run,
};
