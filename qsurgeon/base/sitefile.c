/* SPDX-License-Identifier: Apache-2.0 */
/* The site file, in the INI form that inih reads: one section, [site]. Strict: what it does not know it refuses, with file
 * and line. Says nothing about what the settings are good for. */
#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "qsurgeon/network.h"
#include "qsurgeon/site.h"
#include "qsurgeon/text.h"

enum { NAME_MAX_LENGTH = 255, ADDRESS_MAX = 320, SHOWN = 80, ENTRIES_MAX = 100000 };

enum kind { HOST, DOMAIN, NETWORK, ADDRESS, SENDER };

struct setting {
    const char *name;
    enum kind kind;
    size_t list, count;             /* offsets in struct qs_site; of HOST: list is the string */
};

#define LIST(field, counter) offsetof(struct qs_site, field), offsetof(struct qs_site, counter)

static const struct setting settings[] = {
    {"hostname", HOST, offsetof(struct qs_site, hostname), 0},
    {"local_domains", DOMAIN, LIST(local_domains, local_count)},
    {"relay_domains", DOMAIN, LIST(relay_domains, relay_count)},
    {"networks", NETWORK, LIST(networks, network_count)},
    {"trusted_relays", NETWORK, LIST(trusted_relays, trusted_relay_count)},
    {"honeypots", ADDRESS, LIST(honeypots, honeypot_count)},
    {"good_senders", SENDER, LIST(good_senders, good_sender_count)},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

struct parser {
    FILE *file;
    const char *path;
    struct qs_site *site;
    unsigned line;                  /* of the file, as read so far */
    bool host_given, failed;        /* failed: *err and status say how */
    enum qs_status status;
    struct qs_error *err;
};

__attribute__((format(printf, 2, 3)))
static void complain(struct parser *p, const char *format, ...)
{
    char text[QS_ERROR_TEXT / 2];
    va_list args;
    if (p->failed)
        return;                     /* the first one counts */
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->failed = true;
    p->status = qs_fail(p->err, QS_CONFIG, "%.150s:%u: %s", p->path, p->line, text);
}

static void no_memory(struct parser *p)
{
    if (!p->failed)
        p->status = qs_fail(p->err, QS_NOMEM, "out of memory");
    p->failed = true;
}

/* --- values -------------------------------------------------------------------------------------------------------------- */

static bool is_name(struct qs_span name)
{
    size_t label = 0;
    if (name.len == 0 || name.len > NAME_MAX_LENGTH)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (c == '.' ? label == 0 : !letter)
            return false;
        label = c == '.' ? 0 : label + 1;
    }
    return label > 0;
}

static bool is_address(struct qs_span text)
{
    const char *at = memrchr(text.ptr, '@', text.len);
    if (!at || at == text.ptr || text.len > ADDRESS_MAX)
        return false;
    for (const char *c = text.ptr; c < at; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    return is_name((struct qs_span){at + 1, (size_t)(text.ptr + text.len - at) - 1});
}

static bool is_good(struct parser *p, const struct setting *setting, struct qs_span word)
{
    char shown[SHOWN];
    struct qs_network network;
    struct qs_error why = {""};
    qs_text_safe(shown, sizeof shown, word);
    switch (setting->kind) {
    case HOST:
    case DOMAIN:
        if (!is_name(word))
            complain(p, "%s: %s is no name", setting->name, shown);
        break;
    case NETWORK:
        if (qs_network_parse(word, &network, &why) != QS_OK)
            complain(p, "%s: %s is no address or network, such as 192.0.2.0/24", setting->name, shown);
        break;
    case ADDRESS:
        if (!is_address(word))
            complain(p, "%s: %s is no address, such as trap@example.org", setting->name, shown);
        break;
    case SENDER:
        if (*word.ptr == '@' ? !is_name((struct qs_span){word.ptr + 1, word.len - 1}) : !is_address(word))
            complain(p, "%s: %s is neither an address nor a domain that begins with @", setting->name, shown);
        break;
    }
    return !p->failed;
}

static void add_word(struct parser *p, const struct setting *setting, const char *word)
{
    char *base = (char *)p->site;
    if (setting->kind == HOST) {
        if (p->host_given)
            complain(p, "hostname was given already");
        else
            memcpy(base + setting->list, &word, sizeof word);
        p->host_given = true;
        return;
    }
    char ***list = (char ***)(void *)(base + setting->list);
    size_t *count = (size_t *)(void *)(base + setting->count);
    if (*count >= ENTRIES_MAX) {
        complain(p, "%s: more than %d entries", setting->name, ENTRIES_MAX);
        return;
    }
    char **grown = talloc_realloc(p->site, *list, char *, (unsigned)*count + 1);
    if (!grown) {
        no_memory(p);
        return;
    }
    *list = grown;
    grown[(*count)++] = talloc_strdup(p->site, word);
    if (!grown[*count - 1]) {
        (*count)--;
        no_memory(p);
    }
}

/* Words between commas and blanks, in lower case, names without a final dot. */
static void add_words(struct parser *p, const struct setting *setting, const char *value)
{
    static const char between[] = ", \t";
    for (value += strspn(value, between); *value && !p->failed; value += strspn(value, between)) {
        size_t len = strcspn(value, between);
        char *word = talloc_strndup(p->site, value, len);
        value += len;
        if (!word) {
            no_memory(p);
            return;
        }
        for (char *c = word; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c + ('a' - 'A'));
        if (setting->kind != NETWORK && len > 1 && word[len - 1] == '.')
            word[len - 1] = '\0';
        if (is_good(p, setting, qs_span_of(word)))
            add_word(p, setting, word);
        if (p->failed || setting->kind != HOST)
            talloc_free(word);
    }
}

/* --- the file ------------------------------------------------------------------------------------------------------------ */

/* For inih: the next line. Longer ones than it takes would come apart without a word. */
static char *next_line(char *to, int size, void *data)
{
    struct parser *p = data;
    if (p->failed || !fgets(to, size, p->file))
        return NULL;
    p->line++;
    size_t len = strlen(to);
    if ((len == 0 || to[len - 1] != '\n') && !feof(p->file)) {
        complain(p, len + 1 < (size_t)size ? "a zero byte" : "too long a line: go on with an indented one");
        return NULL;
    }
    return to;
}

static int take(void *data, const char *section, const char *name, const char *value)
{
    struct parser *p = data;
    char shown[SHOWN];
    if (strcmp(section, "site") != 0) {
        qs_text_safe(shown, sizeof shown, qs_span_of(section));
        if (*section)
            complain(p, "unknown section [%s]: there is only [site]", shown);
        else
            complain(p, "a setting in front of [site]");
        return 0;
    }
    for (size_t s = 0; s < SETTINGS; s++) {
        if (strcmp(name, settings[s].name) != 0)
            continue;
        add_words(p, &settings[s], value);
        return !p->failed;
    }
    qs_text_safe(shown, sizeof shown, qs_span_of(name));
    complain(p, "unknown setting %s", shown);
    return 0;
}

enum qs_status qs_site_read(struct qs_site *site, const char *path, struct qs_error *err)
{
    struct parser p = {.path = path, .site = site, .err = err};
    p.file = fopen(path, "re");
    if (!p.file)
        return qs_fail_errno(err, errno, "%.200s", path);
    int wrong = ini_parse_stream(next_line, &p, take, &p);
    if (!p.failed && ferror(p.file)) {
        p.failed = true;
        p.status = qs_fail_errno(err, errno, "%.200s", path);
    }
    if (wrong < 0)
        no_memory(&p);
    if (wrong > 0 && (!p.failed || (p.status == QS_CONFIG && (unsigned)wrong < p.line))) {
        p.failed = false;           /* what inih does not understand it tells only here */
        p.line = (unsigned)wrong;
        complain(&p, "neither a section, a setting (name = value) nor a comment");
    }
    (void)fclose(p.file);
    return p.failed ? p.status : QS_OK;
}
