/* SPDX-License-Identifier: Apache-2.0 */
/* The recipients that a mail server takes, as its own configuration says: see recipients.h. When in doubt a whole domain is
 * taken. */
#include <ctype.h>
#include <pwd.h>
#include <string.h>
#include <xxhash.h>

#include "qsurgeon/recipients.h"
#include "qsurgeon/spawn.h"
#include "qsurgeon/table.h"
#include "replace.h"

enum { FILE_MOST = 256 << 20 };

struct collecting {
    TALLOC_CTX *scratch;
    struct qs_list *list;
    const char *config;
    char **notes;
    size_t note_count;
    struct qs_span *local;          /* domains of system users */
    size_t local_count;
    struct qs_error why;            /* why the last table could not be listed */
    bool no_memory;
};

static void note(struct collecting *c, const char *what, struct qs_span which)
{
    char **grown = talloc_realloc(c->list, c->notes, char *, (unsigned)c->note_count + 1);
    char *text = grown ? talloc_asprintf(grown, "%.*s: %s%s%s%s", (int)(which.len < 200 ? which.len : 200), which.ptr, what,
                                         c->why.text[0] ? " (" : "", c->why.text, c->why.text[0] ? ")" : "") : NULL;
    c->why.text[0] = '\0';
    c->notes = grown ? grown : c->notes;
    c->no_memory |= !text;
    if (text)
        c->notes[c->note_count++] = text;
}

static void add(struct collecting *c, struct qs_span address)
{
    c->no_memory |= qs_list_add(c->list, address) == QS_NOMEM;
}

/* user@domain; with an empty user the whole domain. */
static void add_at(struct collecting *c, struct qs_span user, struct qs_span domain)
{
    char text[512];
    if (user.len + domain.len + 2 > sizeof text)
        return;
    int len = snprintf(text, sizeof text, "%.*s@%.*s", (int)user.len, user.len ? user.ptr : "", (int)domain.len, domain.ptr);
    add(c, (struct qs_span){text, (size_t)len});
}

static void add_whole(struct collecting *c, const struct qs_span *domain, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add_at(c, (struct qs_span){NULL, 0}, domain[i]);
}

/* A key of a table: an address, "@domain", or a bare name, which counts in each local domain. */
static void add_key(struct collecting *c, struct qs_span key)
{
    if (qs_span_is(key, "@") || qs_span_starts(key, "YP_"))         /* what the makers of tables put there for themselves */
        return;
    if (key.len && memchr(key.ptr, '@', key.len)) {
        add(c, key);
        return;
    }
    for (size_t i = 0; key.len && i < c->local_count; i++)
        add_at(c, key, c->local[i]);
}

static void add_system_users(struct collecting *c)
{
    const struct passwd *user;
    setpwent();
    while ((user = getpwent()))
        add_key(c, qs_span_of(user->pw_name));
    endpwent();
}

/* --- words and lines ----------------------------------------------------------------------------------- */

static bool next_pair(struct qs_span *text, struct qs_span *key, struct qs_span *value)
{
    struct qs_span line;
    if (!qs_span_line(text, &line))
        return false;
    const char *tab = line.len ? memchr(line.ptr, '\t', line.len) : NULL;
    *key = (struct qs_span){line.ptr, tab ? (size_t)(tab - line.ptr) : line.len};
    *value = tab ? qs_span_trim((struct qs_span){tab, line.len - key->len}) : (struct qs_span){NULL, 0};
    return true;
}

static bool is_table(struct qs_span word)
{
    return memchr(word.ptr, ':', word.len) && *word.ptr != '[';
}

static const char *text_of(struct collecting *c, struct qs_span word)
{
    const char *text = talloc_strndup(c->scratch, word.ptr, word.len);
    c->no_memory |= !text;
    return text ? text : "";
}

/* The keys of a table of Postfix, one a line, behind each a tab and the value. False: it cannot be listed. */
static bool list_table(struct collecting *c, struct qs_span word, struct qs_span *keys)
{
    if (qs_span_starts(word, "proxy:"))
        word = (struct qs_span){word.ptr + 6, word.len - 6};
    const char *table = text_of(c, word);
    const char *const with[] = {"postmap", "-c", c->config, "-s", table, NULL}, *const without[] = {"postmap", "-s", table, NULL};
    return qs_spawn(c->scratch, &(struct qs_program){.argv = c->config ? with : without}, keys, &c->why) == QS_OK;
}

/* --- Postfix ------------------------------------------------------------------------------------------- */

enum parameter {
    MYDESTINATION, ALIAS_DOMAINS, MAILBOX_DOMAINS, RELAY_DOMAINS, LOCAL_MAPS, ALIAS_MAPS, MAILBOX_MAPS, RELAY_MAPS,
    DELIMITER, LUSER, PARAMETERS
};
static const char *const parameter_name[PARAMETERS] = {
    [MYDESTINATION] = "mydestination", [ALIAS_DOMAINS] = "virtual_alias_domains",
    [MAILBOX_DOMAINS] = "virtual_mailbox_domains", [RELAY_DOMAINS] = "relay_domains",
    [LOCAL_MAPS] = "local_recipient_maps", [ALIAS_MAPS] = "virtual_alias_maps", [MAILBOX_MAPS] = "virtual_mailbox_maps",
    [RELAY_MAPS] = "relay_recipient_maps", [DELIMITER] = "recipient_delimiter", [LUSER] = "luser_relay",
};

struct domains {
    struct qs_span *name;
    size_t count;
};

static void add_domain(struct collecting *c, struct domains *d, struct qs_span name)
{
    if (!name.len || *name.ptr == '!' || *name.ptr == '#' || *name.ptr == '.' || !memchr(name.ptr, '.', name.len) ||
        memchr(name.ptr, '@', name.len))
        return;
    struct qs_span *grown = talloc_realloc(c->scratch, d->name, struct qs_span, (unsigned)d->count + 1);
    c->no_memory |= !grown;
    if (!grown)
        return;
    d->name = grown;
    enum qs_status status = qs_list_add_domain(c->list, name);
    c->no_memory |= status == QS_NOMEM;
    if (status == QS_OK)
        d->name[d->count++] = name;
}

static void domains_of(struct collecting *c, struct qs_span value, struct domains *d)
{
    struct qs_span word, text, line, key;
    while (qs_span_item(&value, &word)) {
        if (is_table(word)) {
            if (!list_table(c, word, &text)) {
                note(c, "cannot be listed; domains in it are not in the list", word);
                continue;
            }
        } else if (*word.ptr == '/') {
            if (qs_file_read(c->scratch, text_of(c, word), FILE_MOST, &text, &c->why) != QS_OK) {
                note(c, "cannot be read; domains in it are not in the list", word);
                continue;
            }
        } else {
            add_domain(c, d, word);
            continue;
        }
        while (qs_span_line(&text, &line))
            if (qs_span_item(&line, &key))
                add_domain(c, d, key);
    }
}

/* The domain may have recipients that it refuses. */
static void add_vague(struct collecting *c, struct qs_span domain)
{
    char **grown = talloc_realloc(c->list, c->list->vague, char *, (unsigned)c->list->vague_count + 1);
    char *copy = grown ? talloc_strndup(grown, domain.ptr, domain.len) : NULL;
    c->list->vague = grown ? grown : c->list->vague;
    c->no_memory |= !copy;
    if (copy)
        c->list->vague[c->list->vague_count++] = copy;
}

static void add_whole_vaguely(struct collecting *c, const struct domains *d)
{
    add_whole(c, d->name, d->count);
    for (size_t i = 0; i < d->count; i++)
        add_vague(c, d->name[i]);
}

/* A table that answers for everything, such as static:, or only for what it knows, such as ldap:? It is asked for a user that
 * nobody has. */
static void add_unlisted(struct collecting *c, struct qs_span word, const struct domains *d)
{
    static const char nobody[] = "no-such-user-29f1c6d0";
    const char *table = text_of(c, word);
    add_whole(c, d->name, d->count);
    for (size_t i = 0; i < d->count; i++) {
        struct qs_span out = {NULL, 0};
        const char *address = talloc_asprintf(c->scratch, "%s@%.*s", nobody, (int)d->name[i].len, d->name[i].ptr);
        const char *const argv[] = {"postmap", "-q", address, c->config ? "-c" : table, c->config ? c->config : NULL, table, NULL};
        c->no_memory |= !address;
        if (!address || qs_spawn(c->scratch, &(struct qs_program){.argv = argv}, &out, NULL) != QS_OK || !out.len)
            add_vague(c, d->name[i]);
    }
}

/* The recipients that the tables name; whole domains where there is no table, or one that cannot be listed. */
static void recipients_of(struct collecting *c, struct qs_span maps, const struct domains *d, const char *parameter)
{
    struct qs_span word, text, key, value;
    bool any = false;
    while (qs_span_item(&maps, &word)) {
        any = true;
        if (qs_span_is(word, "unix:passwd.byname") || qs_span_is(word, "proxy:unix:passwd.byname")) {
            add_system_users(c);
        } else if (is_table(word) && list_table(c, word, &text)) {
            while (next_pair(&text, &key, &value))
                add_key(c, key);
        } else if (d->count) {
            note(c, "cannot be listed; every address of its domains is in the list", word);
            add_unlisted(c, word, d);
        }
    }
    if (!any && parameter && d->count) {
        note(c, "is empty; every address of its domains is in the list", qs_span_of(parameter));
        add_whole(c, d->name, d->count);
    }
}

static enum qs_status read_parameters(struct collecting *c, struct qs_span value[PARAMETERS], struct qs_error *err)
{
    const char *argv[PARAMETERS + 5] = {"postconf", "-x"};
    struct qs_span text, line;
    size_t n = 2;
    if (c->config) {
        argv[n++] = "-c";
        argv[n++] = c->config;
    }
    for (unsigned p = 0; p < PARAMETERS; p++) {
        argv[n++] = parameter_name[p];
        value[p] = (struct qs_span){"", 0};
    }
    enum qs_status status = qs_spawn(c->scratch, &(struct qs_program){.argv = argv}, &text, err);
    while (status == QS_OK && qs_span_line(&text, &line))
        for (unsigned p = 0; p < PARAMETERS; p++) {
            size_t len = strlen(parameter_name[p]);
            if (qs_span_starts(line, parameter_name[p]) && line.len > len + 2 && memcmp(line.ptr + len, " =", 2) == 0)
                value[p] = qs_span_trim((struct qs_span){line.ptr + len + 2, line.len - len - 2});
        }
    return status;
}

static enum qs_status finish(struct collecting *c, enum qs_status status, char ***notes, size_t *count, struct qs_error *err)
{
    talloc_free(c->scratch);
    if (status == QS_OK && c->no_memory)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK) {
        *notes = c->notes;
        *count = c->note_count;
    }
    return status;
}

enum qs_status qs_collect_postfix(struct qs_list *list, const char *config, char ***notes, size_t *count, struct qs_error *err)
{
    struct collecting c = {.scratch = talloc_new(NULL), .list = list, .config = config};
    struct qs_span value[PARAMETERS];
    struct domains local = {0}, alias = {0}, mailbox = {0}, relay = {0}, all = {0};
    enum qs_status status = read_parameters(&c, value, err);
    if (status != QS_OK)
        return finish(&c, status, notes, count, err);
    domains_of(&c, value[MYDESTINATION], &local);
    domains_of(&c, value[ALIAS_DOMAINS], &alias);
    domains_of(&c, value[MAILBOX_DOMAINS], &mailbox);
    domains_of(&c, value[RELAY_DOMAINS], &relay);
    const struct domains *const kinds[] = {&local, &alias, &mailbox, &relay};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t i = 0; i < kinds[k]->count; i++)
            add_domain(&c, &all, kinds[k]->name[i]);
    c.local = local.name;
    c.local_count = local.count;
    list->delimiter = value[DELIMITER].len ? *value[DELIMITER].ptr : '\0';
    if (value[LUSER].len) {
        note(&c, "is set; every address of the local domains is in the list", QS_SPAN("luser_relay"));
        add_whole(&c, local.name, local.count);
    }
    recipients_of(&c, value[LOCAL_MAPS], &local, "local_recipient_maps");
    recipients_of(&c, value[ALIAS_MAPS], &all, NULL);
    recipients_of(&c, value[MAILBOX_MAPS], &mailbox, "virtual_mailbox_maps");
    recipients_of(&c, value[RELAY_MAPS], &relay, "relay_recipient_maps");
    return finish(&c, status, notes, count, err);
}

/* --- sendmail ------------------------------------------------------------------------------------------ */

/* Names before the colon of an aliases file. */
static void aliases_of(struct collecting *c, struct qs_span word)
{
    struct qs_span text, line;
    const char *colon = memchr(word.ptr, ':', word.len);
    if (colon && *word.ptr != '/')              /* "hash:/etc/mail/aliases" */
        word = (struct qs_span){colon + 1, word.len - (size_t)(colon + 1 - word.ptr)};
    const char *blank = memrchr(word.ptr, ' ', word.len);
    if (blank)                                  /* "hash: -o /etc/mail/aliases" */
        word = (struct qs_span){blank + 1, word.len - (size_t)(blank + 1 - word.ptr)};
    if (qs_file_read(c->scratch, text_of(c, word), FILE_MOST, &text, &c->why) != QS_OK) {
        note(c, "cannot be read; every address of the local domains is in the list", word);
        add_whole_vaguely(c, &(struct domains){c->local, c->local_count});
        return;
    }
    while (qs_span_line(&text, &line)) {
        const char *end = line.len ? memchr(line.ptr, ':', line.len) : NULL;
        if (end && !isspace((unsigned char)*line.ptr) && *line.ptr != '#')
            add_key(c, qs_span_trim((struct qs_span){line.ptr, (size_t)(end - line.ptr)}));
    }
}

/* The keys and values of "hash -o /etc/mail/virtusertable", the rest of a K line. False: it cannot be listed; *last is its file. */
static bool list_map(struct collecting *c, struct qs_span value, struct qs_span *last, struct qs_span *text)
{
    struct qs_span type, word;
    *last = (struct qs_span){NULL, 0};
    if (!qs_span_item(&value, &type))
        return false;
    while (qs_span_item(&value, &word))
        *last = word;
    const char *const argv[] = {"makemap", "-C", c->config, "-u", text_of(c, type), text_of(c, *last), NULL};
    return last->len && qs_spawn(c->scratch, &(struct qs_program){.argv = argv}, text, &c->why) == QS_OK;
}

/* Of the domains that are relayed: those that the access map refuses as a whole, but for the addresses that it takes, where
 * recipients are looked up in it; all addresses of the others. */
static void relayed_of(struct collecting *c, struct qs_span map, bool looked_up, struct domains *relay)
{
    struct qs_span text = {NULL, 0}, last, key, value;
    struct qs_table *refused = qs_table_new(c->scratch, 64);
    bool listed = looked_up && map.len && list_map(c, map, &last, &text);
    c->no_memory |= !refused;
    for (struct qs_span rest = text; refused && listed && next_pair(&rest, &key, &value);) {
        if (!qs_span_starts(key, "to:"))
            continue;
        key = (struct qs_span){key.ptr + 3, key.len - 3};
        if (memchr(key.ptr, '@', key.len) && (qs_span_is_nocase(value, "RELAY") || qs_span_is_nocase(value, "OK")))
            add(c, key);
        else if (qs_span_starts_nocase(value, "ERROR:5") || qs_span_is_nocase(value, "REJECT") || qs_span_starts(value, "5"))
            c->no_memory |= !qs_table_at(refused, XXH3_64bits(key.ptr, key.len), 1);
    }
    if (looked_up && map.len && !listed)
        note(c, "cannot be listed; every address of the relayed domains is in the list", last);
    for (size_t i = 0; refused && i < relay->count; i++) {
        if (qs_table_get(refused, XXH3_64bits(relay->name[i].ptr, relay->name[i].len), 0))
            continue;
        add_whole(c, &relay->name[i], 1);
        if (looked_up && map.len && !listed)
            add_vague(c, relay->name[i]);
    }
}

static void virtual_users_of(struct collecting *c, struct qs_span map)
{
    struct qs_span last, text = {NULL, 0}, key, value;
    if (!list_map(c, map, &last, &text)) {
        note(c, "cannot be listed; every address of the local domains is in the list", last);
        add_whole_vaguely(c, &(struct domains){c->local, c->local_count});
        return;
    }
    while (next_pair(&text, &key, &value)) {
        const char *at = key.len ? memrchr(key.ptr, '@', key.len) : NULL;
        if (at)
            c->no_memory |= qs_list_add_domain(c->list, (struct qs_span){at + 1, key.len - (size_t)(at + 1 - key.ptr)}) == QS_NOMEM;
        add_key(c, key);
    }
}

enum qs_status qs_collect_sendmail(struct qs_list *list, const char *config, const struct qs_site *site, char ***notes,
                                   size_t *count, struct qs_error *err)
{
    struct collecting c = {.scratch = talloc_new(NULL), .list = list, .config = config ? config : "/etc/mail/sendmail.cf"};
    struct domains local = {0}, relay = {0};
    struct qs_span text, line, word, access = {NULL, 0};
    bool looked_up = false;
    enum qs_status status = qs_file_read(c.scratch, c.config, FILE_MOST, &text, err);
    if (status != QS_OK)
        return finish(&c, status == QS_NOMEM ? status : QS_CONFIG, notes, count, err);
    for (size_t i = 0; i < site->local_count; i++)
        add_domain(&c, &local, qs_span_of(site->local_domains[i]));
    c.local = local.name;
    c.local_count = local.count;
    list->delimiter = '+';
    add_system_users(&c);
    while (qs_span_line(&text, &line)) {
        if (qs_span_starts(line, "O AliasFile=")) {
            struct qs_span value = {line.ptr + 12, line.len - 12};
            while (value.len) {
                const char *comma = memchr(value.ptr, ',', value.len);
                word = (struct qs_span){value.ptr, comma ? (size_t)(comma - value.ptr) : value.len};
                value.ptr += word.len + (comma != NULL);
                value.len -= word.len + (comma != NULL);
                word = qs_span_trim(word);
                if (word.len)
                    aliases_of(&c, word);
            }
        } else if (qs_span_starts(line, "Kvirtuser ")) {
            virtual_users_of(&c, (struct qs_span){line.ptr + 10, line.len - 10});
        } else if (qs_span_starts(line, "Kaccess ")) {
            access = (struct qs_span){line.ptr + 8, line.len - 8};
        } else if (line.len && memmem(line.ptr, line.len, "$>SearchList <+ To>", 19)) {     /* FEATURE(`blacklist_recipients') */
            looked_up = true;
        }
    }
    for (size_t i = 0; i < site->relay_count; i++)
        add_domain(&c, &relay, qs_span_of(site->relay_domains[i]));
    relayed_of(&c, access, looked_up, &relay);
    return finish(&c, status, notes, count, err);
}
