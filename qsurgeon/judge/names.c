/* SPDX-License-Identifier: Apache-2.0 */
/* The words for verdicts, causes and families of evidence, as reports and options use them. */
#include "qsurgeon/verdict.h"

static const char *const verdicts[QS_VERDICTS] = {
    [QS_UNSURE] = "unsure",
    [QS_STORM] = "storm",
    [QS_BACKSCATTER] = "backscatter",
    [QS_LEGIT] = "legit",
};

static const char *const causes[QS_CAUSES] = {
    [QS_CAUSE_NONE] = "none",
    [QS_CAUSE_BOTNET_CAMPAIGN] = "botnet-campaign",
    [QS_CAUSE_DICTIONARY_ATTACK] = "dictionary-attack",
    [QS_CAUSE_COMPROMISED_ACCOUNT] = "compromised-account",
    [QS_CAUSE_COMPROMISED_SCRIPT] = "compromised-script",
    [QS_CAUSE_RELAY_ABUSE] = "relay-abuse",
    [QS_CAUSE_BACKSCATTER_OUT] = "backscatter-out",
    [QS_CAUSE_BACKSCATTER_IN] = "backscatter-in",
    [QS_CAUSE_MAIL_LOOP] = "mail-loop",
    [QS_CAUSE_BULK_LIST] = "bulk-list",
    [QS_CAUSE_ALERT_FLOOD] = "alert-flood",
    [QS_CAUSE_TRANSACTIONAL] = "transactional",
    [QS_CAUSE_OWN_BOUNCE] = "own-bounce",
    [QS_CAUSE_CONVERSATION] = "conversation",
    [QS_CAUSE_PERSONAL] = "personal",
};

static const char *const families[QS_FAMILIES] = {
    [QS_FAM_CONTENT] = "content",
    [QS_FAM_SENDERS] = "senders",
    [QS_FAM_CLIENTS] = "clients",
    [QS_FAM_RECIPIENTS] = "recipients",
    [QS_FAM_TIME] = "time",
    [QS_FAM_ORIGIN] = "origin",
    [QS_FAM_BOUNCE] = "bounce",
    [QS_FAM_LOOP] = "loop",
    [QS_FAM_DELIVERY] = "delivery",
    [QS_FAM_LEGITIMACY] = "legitimacy",
};

static const char *const marks[QS_MARKS] = {
    [QS_MARK_BYPASS] = "bypass",
    [QS_MARK_HOST_NAME] = "host-name",
};

static const char *name_at(const char *const *names, unsigned count, unsigned at)
{
    return at < count ? names[at] : "?";
}

const char *qs_verdict_name(enum qs_verdict verdict)
{
    return name_at(verdicts, QS_VERDICTS, (unsigned)verdict);
}

const char *qs_cause_name(enum qs_cause cause)
{
    return name_at(causes, QS_CAUSES, (unsigned)cause);
}

const char *qs_family_name(enum qs_family family)
{
    return name_at(families, QS_FAMILIES, (unsigned)family);
}

const char *qs_mark_name(enum qs_mark mark)
{
    return name_at(marks, QS_MARKS, (unsigned)mark);
}

static bool find_name(const char *const *names, unsigned count, struct qs_span word, unsigned *at)
{
    for (unsigned i = 0; i < count; i++) {
        if (qs_span_is(word, names[i])) {
            *at = i;
            return true;
        }
    }
    return false;
}

bool qs_verdict_parse(struct qs_span word, enum qs_verdict *out)
{
    unsigned at;
    if (!find_name(verdicts, QS_VERDICTS, word, &at))
        return false;
    *out = (enum qs_verdict)at;
    return true;
}

bool qs_cause_parse(struct qs_span word, enum qs_cause *out)
{
    unsigned at;
    if (!find_name(causes, QS_CAUSES, word, &at))
        return false;
    *out = (enum qs_cause)at;
    return true;
}
