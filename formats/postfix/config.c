/* SPDX-License-Identifier: Apache-2.0 */
/* What the installed Postfix says of itself, asked of its own postconf(1) and postmap(1), which are
 * started directly, with no shell, an environment of ours and a limit on what they may print. main.cf is
 * never parsed here. Without those programs there is nothing to know, which is no error: a queue directory
 * can be read all the same. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postfix.h"
#include "qsurgeon/spawn.h"

enum {
    OUTPUT_MAX = 16 * 1024 * 1024,  /* of a program, and of a list in a file */
    SILENCE_MAX = 20 * 1000,        /* milliseconds that a program may take without a word */
};

static const char default_queue[] = "/var/spool/postfix";

/* --- programs ------------------------------------------------------------------------------------------- */

/* The full name of a Postfix program, or NULL. */
static const char *find_program(TALLOC_CTX *parent, const char *name)
{
    static const char *const places[] = {"/usr/sbin", "/usr/local/sbin", "/usr/pkg/sbin", "/opt/local/sbin"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *path = talloc_asprintf(parent, "%s/%s", places[i], name);
        if (path != NULL && access(path, X_OK) == 0)
            return path;
        talloc_free(path);
    }
    return NULL;
}

/* Runs argv[0] and gives what it printed. */
static enum qs_status run(TALLOC_CTX *parent, const char *const argv[], struct qs_span *out,
                          struct qs_error *err)
{
    static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
    const struct qs_program program = {.argv = argv, .environment = environment, .most = OUTPUT_MAX,
                                       .silence = SILENCE_MAX};
    return qs_spawn(parent, &program, out, err);
}

/* --- words ---------------------------------------------------------------------------------------------- */

/* The value of a parameter in what postconf prints, "name = value"; empty: not there. */
static struct qs_span parameter(struct qs_span printed, const char *name)
{
    struct qs_span line;
    while (qs_span_line(&printed, &line)) {
        const char *equals = line.len > 0 ? memchr(line.ptr, '=', line.len) : NULL;
        if (equals != NULL &&
            qs_span_is(qs_span_trim((struct qs_span){line.ptr, (size_t)(equals - line.ptr)}), name))
            return qs_span_trim((struct qs_span){equals + 1, line.len - (size_t)(equals + 1 - line.ptr)});
    }
    return (struct qs_span){NULL, 0};
}

/* --- instances ------------------------------------------------------------------------------------------ */

struct found {
    TALLOC_CTX *parent;
    struct qs_instance **list;
    size_t count;
};

static enum qs_status add_instance(struct found *found, struct qs_span name, struct qs_span queue_dir,
                                   struct qs_span config, const char *evidence, struct qs_error *err)
{
    struct qs_instance **grown = talloc_realloc(found->parent, found->list, struct qs_instance *,
                                                (unsigned)found->count + 1);
    if (grown == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    found->list = grown;
    struct qs_instance *instance = talloc_zero(grown, struct qs_instance);
    if (instance != NULL) {
        instance->format = &qs_format_postfix;
        instance->name = talloc_strndup(instance, name.ptr, name.len);
        instance->queue_dir = talloc_strndup(instance, queue_dir.ptr, queue_dir.len);
        if (config.len > 0)
            instance->config = talloc_strndup(instance, config.ptr, config.len);
        instance->evidence = talloc_strdup(instance, evidence);
    }
    if (instance == NULL || instance->name == NULL || instance->queue_dir == NULL ||
        instance->evidence == NULL || (config.len > 0 && instance->config == NULL)) {
        talloc_free(instance);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    grown[found->count++] = instance;
    return QS_OK;
}

/* What postconf says of one configuration directory (NULL: the one it was built for). */
static enum qs_status ask(TALLOC_CTX *scratch, const char *postconf, const char *config,
                          struct qs_span *printed, struct qs_error *err)
{
    const char *argv[10];
    size_t n = 0;
    argv[n++] = postconf;
    if (config != NULL) {
        argv[n++] = "-c";
        argv[n++] = config;
    }
    argv[n++] = "-x";
    argv[n++] = "config_directory";
    argv[n++] = "queue_directory";
    argv[n++] = "multi_instance_name";
    argv[n++] = "multi_instance_directories";
    argv[n] = NULL;
    return run(scratch, argv, printed, err);
}

unsigned pf_hash_depth(const char *config, const char *dir)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    const char *argv[] = {find_program(scratch, "postconf"), "-c", config, "-x", "hash_queue_depth", "hash_queue_names", NULL};
    struct qs_span printed = {NULL, 0}, item;
    uint64_t depth = 0;
    unsigned out = UINT_MAX;
    if (argv[0] != NULL && run(scratch, argv, &printed, NULL) == QS_OK &&
        qs_parse_u64(parameter(printed, "hash_queue_depth"), &depth)) {
        struct qs_span names = parameter(printed, "hash_queue_names");
        out = 0;
        while (qs_span_item(&names, &item))
            if (qs_span_is_nocase(item, dir))
                out = depth < PF_DEPTH_MAX ? (unsigned)depth : PF_DEPTH_MAX;
    }
    talloc_free(scratch);
    return out;
}

static struct qs_span last_component(struct qs_span path)
{
    const char *slash = path.len > 0 ? memrchr(path.ptr, '/', path.len) : NULL;
    return slash != NULL ? (struct qs_span){slash + 1, path.len - (size_t)(slash + 1 - path.ptr)} : path;
}

static enum qs_status add_asked(TALLOC_CTX *scratch, struct found *found, struct qs_span printed,
                                bool primary, struct qs_error *err)
{
    struct qs_span config = parameter(printed, "config_directory"),
                   queue = parameter(printed, "queue_directory");
    struct qs_span name = parameter(printed, "multi_instance_name");
    if (queue.len == 0)
        return QS_OK;
    if (name.len == 0)
        name = primary || config.len == 0 ? QS_SPAN("postfix") : last_component(config);
    const char *evidence =
        talloc_asprintf(scratch, "queue_directory of %.*s/main.cf", (int)config.len, config.ptr);
    if (evidence == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    return add_instance(found, name, queue, config, evidence, err);
}

/* The machine's instances: the default one and those that it names in multi_instance_directories. One that
 * postconf cannot read is passed over. */
static enum qs_status ask_all(TALLOC_CTX *scratch, struct found *found, const char *postconf,
                              struct qs_error *err)
{
    struct qs_span printed, other, item;
    /* installed, and never configured: postconf would complain, after it has slept for a second */
    if (access("/etc/postfix", F_OK) == 0 && access("/etc/postfix/main.cf", F_OK) != 0 && errno == ENOENT)
        return QS_OK;
    enum qs_status status = ask(scratch, postconf, NULL, &printed, err);
    if (status != QS_OK)
        return status == QS_NOMEM ? status : QS_OK;
    status = add_asked(scratch, found, printed, true, err);
    struct qs_span more = parameter(printed, "multi_instance_directories");
    while (status == QS_OK && qs_span_item(&more, &item)) {
        const char *config = talloc_strndup(scratch, item.ptr, item.len);
        if (config == NULL)
            return qs_fail(err, QS_NOMEM, "out of memory");
        status = ask(scratch, postconf, config, &other, NULL);
        if (status == QS_OK)
            status = add_asked(scratch, found, other, false, err);
        else if (status != QS_NOMEM)
            status = QS_OK;
    }
    return status;
}

static bool same_directory(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* An offline copy, or the queue of an instance of this machine: that one brings its configuration along. */
static enum qs_status discover_queue(TALLOC_CTX *scratch, struct found *found, const char *queue_dir,
                                     const char *postconf, struct qs_error *err)
{
    const char *evidence;
    struct found known = {.parent = scratch};
    if (!pf_probe(scratch, queue_dir, &evidence))
        return QS_OK;
    enum qs_status status = postconf != NULL ? ask_all(scratch, &known, postconf, err) : QS_OK;
    if (status != QS_OK)
        return status;
    for (size_t i = 0; i < known.count; i++) {
        if (same_directory(queue_dir, known.list[i]->queue_dir))
            return add_instance(found, qs_span_of(known.list[i]->name), qs_span_of(queue_dir),
                                qs_span_of(known.list[i]->config), evidence, err);
    }
    return add_instance(found, QS_SPAN("postfix"), qs_span_of(queue_dir), (struct qs_span){NULL, 0}, evidence,
                        err);
}

static enum qs_status discover_config(TALLOC_CTX *scratch, struct found *found, const struct qs_place *place,
                                      const char *postconf, struct qs_error *err)
{
    struct qs_span printed;
    if (postconf == NULL)
        return qs_fail(err, QS_CONFIG, "%s: cannot be read, there is no postconf program here",
                       place->config);
    enum qs_status status = ask(scratch, postconf, place->config, &printed, err);
    if (status != QS_OK || place->queue_dir == NULL)
        return status != QS_OK ? status : add_asked(scratch, found, printed, true, err);
    struct qs_span name = parameter(printed, "multi_instance_name");
    return add_instance(found, name.len > 0 ? name : QS_SPAN("postfix"), qs_span_of(place->queue_dir),
                        qs_span_of(place->config), "named with its configuration", err);
}

enum qs_status pf_discover(TALLOC_CTX *parent, const struct qs_place *place, struct qs_instance ***list,
                           size_t *count, struct qs_error *err)
{
    enum qs_status status;
    TALLOC_CTX *scratch = talloc_new(NULL);
    if (scratch == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    struct found found = {.parent = scratch};
    const char *postconf = find_program(scratch, "postconf");
    if (place->config != NULL) {
        status = discover_config(scratch, &found, place, postconf, err);
    } else if (place->queue_dir != NULL) {
        status = discover_queue(scratch, &found, place->queue_dir, postconf, err);
    } else {
        status = postconf != NULL ? ask_all(scratch, &found, postconf, err) : QS_OK;
        if (status == QS_OK && found.count == 0)
            status = discover_queue(scratch, &found, default_queue, NULL, err);
    }
    if (status == QS_OK) {
        *list = talloc_steal(parent, found.list);
        *count = found.count;
    }
    talloc_free(scratch);
    return status;
}

/* --- site ----------------------------------------------------------------------------------------------- */

enum list_kind { DOMAINS, NETWORKS };

struct name_list {
    struct qs_site *site;
    enum list_kind kind;
    char ***list;
    size_t *count;
};

static bool is_domain(struct qs_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (!isalnum(c) && c < 0x80 && c != '-' && c != '.' && c != '_')
            return false;
    }
    return name.len > 0 && name.len < 256;
}

static bool is_network(struct qs_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!isxdigit((unsigned char)name.ptr[i]) && memchr(".:/", name.ptr[i], 3) == NULL)
            return false;
    }
    return name.len > 0 && name.len < 64;
}

/* Adds one plain name; what is none (a pattern, an address, a variable) is left out. */
static enum qs_status add_name(struct name_list *to, struct qs_span name, struct qs_error *err)
{
    if (to->kind == DOMAINS) {
        if (name.len > 0 && name.ptr[0] == '.')
            name = (struct qs_span){name.ptr + 1, name.len - 1};
        if (name.len > 0 && name.ptr[name.len - 1] == '.')
            name.len--;
    }
    char network[64];
    size_t len = 0;
    if (to->kind == NETWORKS) {         /* [::1]/128 in Postfix is ::1/128 elsewhere */
        for (size_t i = 0; i < name.len && len < sizeof network; i++) {
            if (name.ptr[i] != '[' && name.ptr[i] != ']')
                network[len++] = name.ptr[i];
        }
        name = (struct qs_span){network, len};
    }
    if (!(to->kind == DOMAINS ? is_domain(name) : is_network(name)))
        return QS_OK;
    if ((*to->count & (*to->count - 1)) == 0) {     /* doubles at 0, 1, 2, 4, ... */
        char **grown =
            talloc_realloc(to->site, *to->list, char *, *to->count == 0 ? 1 : 2 * (unsigned)*to->count);
        if (grown == NULL)
            return qs_fail(err, QS_NOMEM, "out of memory");
        *to->list = grown;
    }
    char *copy = talloc_strndup(*to->list, name.ptr, name.len);
    if (copy == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (char *c = copy; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    (*to->list)[(*to->count)++] = copy;
    return QS_OK;
}

/* A regular file's text; false when there is none, or too much. */
static bool read_text(TALLOC_CTX *parent, struct qs_span name, struct qs_span *out)
{
    struct qs_buffer text;
    struct stat st;
    bool ok = false;
    char *path = talloc_strndup(parent, name.ptr, name.len);
    int fd = path != NULL ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY) : -1;
    if (fd < 0)
        return false;
    qs_buffer_init(&text, parent);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= OUTPUT_MAX &&
        qs_buffer_reserve(&text, (size_t)st.st_size)) {
        ssize_t n = 1;
        while (text.len < (size_t)st.st_size && n > 0) {
            n = read(fd, text.data + text.len, (size_t)st.st_size - text.len);
            if (n > 0)
                text.len += (size_t)n;
        }
        ok = text.len > 0;
    }
    (void)close(fd);
    if (ok)
        *out = (struct qs_span){text.data, text.len};
    return ok;
}

/* Keys of a table: the first word of each line. In tables of domains, addresses and bare user names may
 * stand as well. */
static enum qs_status add_keys(struct name_list *to, struct qs_span text, struct qs_error *err)
{
    struct qs_span line, key;
    enum qs_status status = QS_OK;
    while (status == QS_OK && qs_span_line(&text, &line)) {
        if (line.len == 0 || line.ptr[0] == '#' || line.ptr[0] == ' ' || line.ptr[0] == '\t' ||
            !qs_span_item(&line, &key))
            continue;
        if (to->kind == NETWORKS || memchr(key.ptr, '.', key.len) != NULL)
            status = add_name(to, key, err);
    }
    return status;
}

/* A list of plain names in a file, which itself may have comments. */
static enum qs_status add_file(struct name_list *to, struct qs_span text, struct qs_error *err)
{
    struct qs_span line, item;
    enum qs_status status = QS_OK;
    while (qs_span_line(&text, &line)) {
        const char *comment = line.len > 0 ? memchr(line.ptr, '#', line.len) : NULL;
        if (comment != NULL)
            line.len = (size_t)(comment - line.ptr);
        while (status == QS_OK && qs_span_item(&line, &item)) {
            if (item.ptr[0] != '!')
                status = add_name(to, item, err);
        }
    }
    return status;
}

/* Table types that postmap -s can list, and whose listing asks no other server. */
static bool can_list(struct qs_span table)
{
    static const char *const types[] = {"hash:", "btree:", "lmdb:", "dbm:", "sdbm:", "inline:"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (qs_span_starts(table, types[i]))
            return true;
    }
    return false;
}

static struct qs_span without(struct qs_span text, const char *prefix)
{
    size_t len = strlen(prefix);
    return qs_span_starts(text, prefix) ? (struct qs_span){text.ptr + len, text.len - len} : text;
}

/* One item of a domain or network list (postconf(5)): a name, a file of names, or a table. */
static enum qs_status add_item(TALLOC_CTX *scratch, struct name_list *to, const char *postmap,
                               const char *config, struct qs_span item, struct qs_error *err)
{
    struct qs_span text, table = without(item, "proxy:");
    if (item.ptr[0] == '!')
        return QS_OK;
    if (item.ptr[0] == '/')
        return read_text(scratch, item, &text) ? add_file(to, text, err) : QS_OK;
    if (qs_span_starts(table, "texthash:"))
        return read_text(scratch, without(table, "texthash:"), &text) ? add_keys(to, text, err) : QS_OK;
    if (to->kind == NETWORKS && qs_span_starts(table, "cidr:"))
        return read_text(scratch, without(table, "cidr:"), &text) ? add_keys(to, text, err) : QS_OK;
    if (to->kind == DOMAINS && can_list(table)) {
        const char *name = talloc_strndup(scratch, table.ptr, table.len);
        const char *argv[] = {postmap, "-c", config, "-s", name, NULL};
        if (name == NULL)
            return qs_fail(err, QS_NOMEM, "out of memory");
        enum qs_status status = postmap != NULL ? run(scratch, argv, &text, NULL) : QS_CONFIG;
        return status == QS_OK ? add_keys(to, text, err) : status == QS_NOMEM ? status : QS_OK;
    }
    return add_name(to, item, err);
}

/* An empty table of recipients takes them all (postconf(5)), unless the next host is asked first. */
static void learn_recipients(struct qs_span printed, struct qs_site *site)
{
    struct qs_span checks = parameter(printed, "smtpd_recipient_restrictions"), item;
    bool asks = false;
    bool listed = !qs_span_is(parameter(printed, "smtpd_reject_unlisted_recipient"), "no");
    while (qs_span_item(&checks, &item)) {
        asks |= qs_span_is(item, "reject_unverified_recipient");
        listed |= qs_span_is(item, "reject_unlisted_recipient");
    }
    site->asks_recipients |= asks;
    site->takes_any_relayed |= !asks && (!listed || !parameter(printed, "relay_recipient_maps").len);
    site->takes_any_local |= !asks && (!listed || !parameter(printed, "local_recipient_maps").len);
}

enum qs_status pf_site(const struct qs_instance *instance, struct qs_site *site, struct qs_error *err)
{
    const struct {
        const char *parameter;
        struct name_list to;
    } lists[] = {
        {"mydestination", {site, DOMAINS, &site->local_domains, &site->local_count}},
        {"virtual_alias_domains", {site, DOMAINS, &site->local_domains, &site->local_count}},
        {"virtual_mailbox_domains", {site, DOMAINS, &site->local_domains, &site->local_count}},
        {"relay_domains", {site, DOMAINS, &site->relay_domains, &site->relay_count}},
        {"mynetworks", {site, NETWORKS, &site->networks, &site->network_count}},
    };
    if (instance->config == NULL)
        return QS_OK;
    TALLOC_CTX *scratch = talloc_new(NULL);
    if (scratch == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    struct qs_span printed, item;
    const char *postconf = find_program(scratch, "postconf"), *postmap = find_program(scratch, "postmap");
    const char *argv[] = {postconf, "-c", instance->config, "-x", "myhostname", "mydestination",
                          "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains", "mynetworks",
                          "relay_recipient_maps", "local_recipient_maps", "smtpd_reject_unlisted_recipient",
                          "smtpd_recipient_restrictions", "maximal_queue_lifetime", NULL};
    enum qs_status status = postconf != NULL ? run(scratch, argv, &printed, err) : QS_CONFIG;
    if (status != QS_OK) {
        status = status == QS_NOMEM ? status : QS_OK;
        goto done;
    }
    struct qs_span hostname = parameter(printed, "myhostname");
    if (site->hostname == NULL && is_domain(hostname)) {
        site->hostname = talloc_strndup(site, hostname.ptr, hostname.len);
        if (site->hostname == NULL)
            status = qs_fail(err, QS_NOMEM, "out of memory");
    }
    learn_recipients(printed, site);
    qs_site_learn_lifetime(site, parameter(printed, "maximal_queue_lifetime"));
    for (size_t i = 0; i < sizeof lists / sizeof *lists && status == QS_OK; i++) {
        struct name_list to = lists[i].to;
        struct qs_span value = parameter(printed, lists[i].parameter);
        while (status == QS_OK && qs_span_item(&value, &item))
            status = add_item(scratch, &to, postmap, instance->config, item, err);
    }
done:
    talloc_free(scratch);
    return status;
}

const struct qs_format qs_format_postfix = {
    .name = "postfix",
    .summary = "Postfix 1.0 to 3.11, queue files of any layout",
    .probe = pf_probe,
    .discover = pf_discover,
    .open = pf_open,
    .next = pf_next,
    .read = pf_read,
    .look = pf_look,
    .content = pf_content,
    .actions = PF_ACTIONS,
    .path = pf_path,
    .lock_rule = pf_lock_rule,
    .steps = pf_steps,
    .new_id = pf_new_id,
    .place = pf_new_place,
    .wake = pf_wake,
    .root = pf_queue_root,
    .moves_only = PF_MOVES_ONLY,
    .inspect = pf_inspect,
    .owner = pf_owner,
    .site = pf_site,
};
