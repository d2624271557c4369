/* SPDX-License-Identifier: Apache-2.0 */
/* sources: where the mail came in. */
#include "session.h"

static enum qs_status run(struct qs_call *call, struct qs_error *err)
{
    struct qs_session *session = NULL;
    enum qs_status status = qs_session_open(call, false, NULL, NULL, &session, err);
    if (status != QS_OK)
        return status;
    return call->options->json
        ? qs_report_sources_json(call->out, &session->view, session->selected, err)
        : qs_report_sources_text(call->out, &session->view, session->selected, &call->style, err);
}

const struct qs_command qs_cmd_sources = {
    .name = "sources",
    .summary = "where the mail came in: clients, networks, users",
    .arguments = "",
    .selects = true,
    .options = QS_OPTION(QS_OPT_JSON) | QS_OPTION(QS_OPT_TOP),
    .description = "Networks are /24 and /64. A message counts once for each kind of source that it has.\n",
    .run = run,
};
