/* SPDX-License-Identifier: Apache-2.0 */
/* shape: age by domain. */
#include "session.h"

static enum qs_status run(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct qs_session *session = NULL;
    enum qs_status status = qs_session_open(call, false, NULL, NULL, &session, err);
    if (status != QS_OK)
        return status;
    return o->json ? qs_report_shape_json(call->out, &session->view, session->selected, o->senders, err)
                   : qs_report_shape_text(call->out, &session->view, session->selected, o->senders,
                                          &call->style, err);
}

const struct qs_command qs_cmd_shape = {
    .name = "shape",
    .summary = "age by domain, as qshape shows it",
    .arguments = "",
    .selects = true,
    .options = QS_OPTION(QS_OPT_JSON) | QS_OPTION(QS_OPT_SENDERS) | QS_OPTION(QS_OPT_TOP),
    .description = "Counts recipients that wait, in all queues; with --senders, messages.\n",
    .run = run,
};
