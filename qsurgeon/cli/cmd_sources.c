/* SPDX-License-Identifier: Apache-2.0 */
/* sources: who sends. */
#include "qsurgeon/sources.h"

#include <time.h>

#include "session.h"

void qs_logs_since(struct qs_sources_wish *wish, int64_t age)
{
    const time_t now = time(NULL);
    struct tm local;
    wish->clock = (struct qs_log_clock){.now = now, .offset = localtime_r(&now, &local) ? (int32_t)local.tm_gmtoff : 0};
    wish->since = now > age ? now - age : 1;
}

static enum qs_status run(struct qs_call *call, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct qs_sources_wish wish = {.logs = o->logs, .log_count = o->log_count, .mmdb = o->mmdb};
    struct qs_session *session = NULL;
    struct qs_sources *sources = NULL;
    if (o->selection->younger >= 0)
        qs_logs_since(&wish, o->selection->younger);
    enum qs_status status = qs_session_open(call, false, NULL, NULL, &session, err);
    if (status == QS_OK)
        status = qs_sources_count(call->memory, &session->view, session->selected, &wish, &sources, err);
    if (status != QS_OK)
        return status;
    return o->json ? qs_report_sources_json(call->out, sources, err)
                   : qs_report_sources_text(call->out, sources, &call->style, err);
}

const struct qs_command qs_cmd_sources = {
    .name = "sources",
    .summary = "where the mail came in: clients, networks, providers, users",
    .arguments = "",
    .selects = true,
    .options = QS_OPTION(QS_OPT_JSON) | QS_OPTION(QS_OPT_TOP) | QS_OPTION(QS_OPT_LOG) | QS_OPTION(QS_OPT_MMDB),
    .description = "Networks are /24 and /64. A message counts once for each kind of source that it has.\n"
                   "--log adds what the mail server refused, with --younger TIME since then; the selection narrows the queue.\n",
    .run = run,
};
