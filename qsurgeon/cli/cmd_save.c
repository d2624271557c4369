/* SPDX-License-Identifier: Apache-2.0 */
/* save: the scan as an SQLite file, for --from and for any SQLite. */
#include "session.h"

static enum qs_status run(struct qs_call *call, struct qs_error *err)
{
    struct qs_session *session = NULL;
    enum qs_status status = qs_session_open(call, true, NULL, NULL, &session, err);
    return status == QS_OK ? qs_save(&session->view, call->options->arguments[0], call->options->replace, err)
                           : status;
}

const struct qs_command qs_cmd_save = {
    .name = "save",
    .summary = "write the scan into an SQLite file, for --from",
    .arguments = "FILE",
    .least = 1,
    .most = 1,
    .options = QS_OPTION(QS_OPT_REPLACE),
    .description = "The file has mode 0600 and holds envelopes, subjects and sketches, no message text.\n",
    .run = run,
};
