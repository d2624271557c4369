/* SPDX-License-Identifier: Apache-2.0 */
/* What a verdict is due to, and who is to blame: words for the admin, taken from what a group shows. Changes no verdict. */
#include <string.h>

#include "judge.h"

static bool most(uint32_t part, uint32_t of)
{
    return part * 2 > of;
}

static enum qs_cause storm_cause(const struct qs_crowd *c)
{
    if (most(c->authenticated, c->count))
        return QS_CAUSE_COMPROMISED_ACCOUNT;
    if (most(c->local, c->count))
        return QS_CAUSE_COMPROMISED_SCRIPT;
    if (most(c->relayed, c->count))
        return QS_CAUSE_RELAY_ABUSE;
    return c->to_host * 5 > c->count ? QS_CAUSE_DICTIONARY_ATTACK : QS_CAUSE_BOTNET_CAMPAIGN;
}

static enum qs_cause backscatter_cause(const struct qs_crowd *c)
{
    if (most(c->looping, c->count))
        return QS_CAUSE_MAIL_LOOP;
    return most(c->made_here, c->count) ? QS_CAUSE_BACKSCATTER_OUT : QS_CAUSE_BACKSCATTER_IN;
}

static enum qs_cause legit_cause(const struct qs_work *work, const struct qs_crowd *c, uint32_t message)
{
    enum { REPEATED = 3 };
    const struct qs_fact *f = &work->fact[message];
    const uint32_t bulk = QS_T_LIST_ID | QS_T_LIST_UNSUBSCRIBE | QS_T_LIST_POST | QS_T_PRECEDENCE_LIST | QS_T_PRECEDENCE_BULK;
    if (f->bits & QS_F_NOTICE)
        return QS_CAUSE_OWN_BOUNCE;
    if (f->bits & QS_F_THREAD)
        return QS_CAUSE_CONVERSATION;
    if (f->bits & (QS_F_OWN_CLIENT | QS_F_LOCAL) && f->bits & QS_F_TO_OWN && !(f->bits & QS_F_TO_OTHERS) &&
        (c->count >= REPEATED || work->scan->messages[message].traits & QS_T_AUTO_SUBMITTED))
        return QS_CAUSE_ALERT_FLOOD;
    if (work->scan->messages[message].traits & bulk)
        return QS_CAUSE_BULK_LIST;
    if (c->count >= REPEATED && c->routes < c->count / 2)
        return QS_CAUSE_TRANSACTIONAL;
    return QS_CAUSE_PERSONAL;
}

enum qs_cause qs_cause_of(const struct qs_work *work, const struct qs_crowd *crowd, uint32_t message, enum qs_verdict verdict)
{
    switch (verdict) {
    case QS_STORM:
        return storm_cause(crowd);
    case QS_BACKSCATTER:
        return backscatter_cause(crowd);
    case QS_LEGIT:
        return legit_cause(work, crowd, message);
    case QS_UNSURE:
        break;
    }
    return QS_CAUSE_NONE;
}

/* "user alice", "uid 33 (mailer.php)", "client 192.0.2.1", or NULL where there is no single one. */
bool qs_culprit_of(TALLOC_CTX *parent, const struct qs_work *work, const struct qs_crowd *c, const uint32_t *member,
                   uint32_t count, const char **out)
{
    const struct qs_message *m = NULL;
    const struct qs_intern *strings = work->scan->strings;
    *out = NULL;
    for (uint32_t k = 0; k < count && !m; k++)
        if (c->clients == 1 || (c->origin && work->fact[member[k]].origin == c->origin))
            m = &work->scan->messages[member[k]];
    if (!m || work->fact[member[0]].bits & QS_F_NOTICE)
        return true;
    const char *script = qs_sym_str(strings, m->script), *name = script + strspn(script, "0123456789");
    if (*name == ':')               /* PHP writes "uid:file" */
        script = name + 1;
    if (m->sasl_username)
        *out = talloc_asprintf(parent, "user %s", qs_sym_str(strings, m->sasl_username));
    else if (m->local_uid >= 0)
        *out = talloc_asprintf(parent, *script ? "uid %d (%s)" : "uid %d", (int)m->local_uid, script);
    else if (*script)
        *out = talloc_asprintf(parent, "script %s", script);
    else if (m->client_address)
        *out = talloc_asprintf(parent, "client %s", qs_sym_str(strings, m->client_address));
    else
        return true;
    return *out != NULL;
}
