/* SPDX-License-Identifier: Apache-2.0 */
/* Servers that many unrelated people use: a mail provider, a host of web sites. Mail for others that comes from there says
 * little by the number of its senders and of its servers. They are told from bots, which have names of their own here and
 * there, by what else they send: most of it is of no campaign. No judgement. */
#include "judge.h"

enum { PEOPLE = 4, LETTERS = 5 };

struct server {
    uint32_t all, letters, people;
};

static bool has_server(const struct qs_message *m, const struct qs_fact *f)
{
    return !(f->bits & (QS_F_NOTICE | QS_F_INSIDE | QS_F_NO_NAME | QS_F_GENERIC)) && m->sender && m->client_name;
}

bool qs_find_shared(const struct qs_scan *scan, const struct qs_campaigns *campaigns, struct qs_fact *fact)
{
    struct qs_table *index = qs_table_new(NULL, 256), *pairs = qs_table_new(NULL, 1024);
    struct server *server = NULL;
    uint32_t used = 0, *at = NULL, *seen = NULL;
    bool ok = index && pairs;
    for (uint32_t i = 0; ok && i < scan->count; i++) {
        if (!has_server(&scan->messages[i], &fact[i]))
            continue;
        ok = (at = qs_table_at(index, fact[i].source, used)) != NULL;
        if (ok && *at == used) {
            if ((used & (used - 1)) == 0) {             /* room for twice as many */
                struct server *grown = talloc_realloc(index, server, struct server, used ? used * 2 : 1);
                ok = grown != NULL;
                server = ok ? grown : server;
            }
            if (ok)
                server[used++] = (struct server){0};
        }
        if (!ok)
            break;
        struct server *s = &server[*at];
        s->all++;
        if (campaigns->of[i] != QS_NONE)
            continue;
        s->letters++;
        ok = (seen = qs_table_at(pairs, (uint64_t)fact[i].source << 32 | fact[i].sender_org, 0)) != NULL;
        if (ok)
            s->people += ++*seen == 1;
    }
    for (uint32_t i = 0; ok && i < scan->count; i++) {
        if (!has_server(&scan->messages[i], &fact[i]))
            continue;
        const struct server *s = &server[qs_table_get(index, fact[i].source, 0)];
        if (s->people >= PEOPLE && s->letters >= LETTERS && s->letters * 2 >= s->all)
            fact[i].bits |= QS_F_SHARED;
    }
    talloc_free(index);
    talloc_free(pairs);
    return ok;
}
