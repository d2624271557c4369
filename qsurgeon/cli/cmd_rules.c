/* SPDX-License-Identifier: Apache-2.0 */
/* rules: what stops it for good. A subcommand a kind of rules. */
#include "qsurgeon/rules.h"

#include <string.h>

#include "qsurgeon/format.h"
#include "session.h"

static enum qs_status make(struct qs_call *call, enum qs_rules_about about, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct qs_rules_wish wish = {.about = about, .mta = o->mta, .config = o->config};
    struct qs_session *session = NULL;
    struct qs_rule *rules = NULL;
    size_t count = 0;
    enum qs_status status = qs_session_open(call, false, NULL, NULL, &session, err);
    if (status != QS_OK)
        return status;
    const struct qs_scan *scan = session->view.scan;
    for (size_t q = 0; q < scan->queue_count && !wish.mta; q++) {
        const struct qs_instance *instance = scan->queues[q].instance;
        wish.mta = instance ? instance->format->name : NULL;
        wish.config = instance ? instance->config : NULL;
    }
    if (!wish.mta)
        wish.mta = "postfix";
    status = qs_rules_make(call->memory, &session->view, session->selected, &wish, &rules, &count, err);
    if (status != QS_OK)
        return status;
    return o->json ? qs_report_rules_json(call->out, rules, count, err)
                   : qs_report_rules_text(call->out, rules, count, &call->style, err);
}

static enum qs_status run(struct qs_call *call, struct qs_error *err)
{
    static const struct {
        const char *word;
        enum qs_rules_about about;
    } kinds[] = {{"mx", QS_RULES_MX}, {"door", QS_RULES_DOOR}};
    const struct qs_options *o = call->options;
    if (!o->argument_count)
        return make(call, QS_RULES_FOUND, err);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (strcmp(o->arguments[0], kinds[k].word) == 0)
            return o->argument_count == 1 ? make(call, kinds[k].about, err)
                                          : qs_fail(err, QS_USAGE, "rules %s: one word too many: %.60s", kinds[k].word,
                                                    o->arguments[1]);
    if (strcmp(o->arguments[0], "mine") == 0)
        return qs_rules_mine(call, err);
    return qs_fail(err, QS_USAGE, "rules %.60s: there are rules mx, rules door and rules mine", o->arguments[0]);
}

const struct qs_command qs_cmd_rules = {
    .name = "rules",
    .summary = "what stops it for good: lines for the mail server and the packet filter",
    .arguments = "[mx|door|mine]",
    .most = SIZE_MAX,
    .selects = true,
    .asks_dns = true,
    .options = QS_OPTION(QS_OPT_JSON) | QS_OPTION(QS_OPT_TOP) | QS_OPTION(QS_OPT_FORMAT) | QS_OPTION(QS_OPT_TRAIN) |
               QS_OPTION(QS_OPT_GOOD) | QS_OPTION(QS_OPT_ACTION) | QS_OPTION(QS_OPT_OUTPUT) | QS_OPTION(QS_OPT_REPLACE),
    .description = "Without a word: what this queue calls for. mx: against domains whose mail comes back to this host;\n"
                   "door: to admit the site's trusted relays only. mine [C-NAME...]: filter rules made of the storm's\n"
                   "own messages; the options below, but --json, are for it. Nothing is installed. All but mine ask DNS, unless --no-dns.\n",
    .run = run,
};
