/* SPDX-License-Identifier: Apache-2.0 */
/* list: a line a message. */
#include "export.h"

static enum qs_status run(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct qs_session *session = NULL;
    if (!o->export != !o->output || (o->export && (o->json || o->csv || o->ids)))
        return qs_fail(err, QS_USAGE, "--export needs --output and no other form");
    enum qs_status status = qs_session_open(call, true, NULL, NULL, &session, err);
    if (status != QS_OK)
        return status;
    if (o->export)
        return qs_export(call, session, err);
    return (o->json ? qs_report_list_json : o->csv ? qs_report_list_csv : o->ids ? qs_report_list_ids
                                                                                 : qs_report_list_text)(
        call->out, &session->view, session->selected, &call->style, err);
}

const struct qs_command qs_cmd_list = {
    .name = "list",
    .summary = "a line a message",
    .arguments = "",
    .selects = true,
    .options =
        QS_OPTION(QS_OPT_JSON) | QS_OPTION(QS_OPT_CSV) | QS_OPTION(QS_OPT_IDS) | QS_OPTION(QS_OPT_EXPLAIN) |
        QS_OPTION(QS_OPT_EXPORT) | QS_OPTION(QS_OPT_OUTPUT),
    .description = "--explain adds the evidence of each message to --json.\n",
    .run = run,
};
