/* SPDX-License-Identifier: Apache-2.0 */
/* sendmail.cf and submit.cf: the queues that they name, and what they say of the host. The file is read as
 * it stands: no sendmail is started, and what only a running one knows (host names from DNS, options of
 * the command line) is not known.
 *
 * Facts: sendmail/readcf.c readcf(), setoption(), fileclass(); queue.c makequeue(); cf/README for the
 * access map. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sendmail.h"

enum { TEXT_MAX = 4 * 1024 * 1024 };

/* --- files and lines ---------------------------------------------------------------------------------- */

enum qs_status sm_text_file(TALLOC_CTX *parent, const char *path, struct qs_span *out, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    struct stat st;
    char *bytes = NULL;
    size_t len = 0, size;
    int fd;
    do {
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return qs_fail_errno(err, errno, "%s", path);
    if (fstat(fd, &st) != 0) {
        status = qs_fail_errno(err, errno, "%s", path);
        goto done;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > TEXT_MAX) {
        status = qs_fail(err, QS_CONFIG, "%s: not a file, or larger than %d bytes", path, TEXT_MAX);
        goto done;
    }
    size = (size_t)st.st_size;
    bytes = talloc_size(parent, size + 1);
    if (bytes == NULL) {
        status = qs_fail(err, QS_NOMEM, "out of memory");
        goto done;
    }
    while (len < size) {
        ssize_t n = read(fd, bytes + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = qs_fail_errno(err, errno, "%s", path);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
done:
    (void)close(fd);
    if (status != QS_OK)
        talloc_free(bytes);
    else {
        bytes[len] = '\0';
        *out = (struct qs_span){bytes, len};
    }
    return status;
}

static struct qs_span from_to(const char *begin, const char *end)
{
    return (struct qs_span){begin, (size_t)(end - begin)};
}

/* Takes the next line of the text, without its comment; false at the end. With `folded` a line that begins
 * with a blank goes on with the one before it. */
static bool next_line(struct qs_span *text, bool folded, struct qs_span *line)
{
    const char *begin = text->ptr, *end = begin + text->len, *stop = begin;
    if (text->len == 0)
        return false;
    for (;;) {
        const char *newline = memchr(stop, '\n', (size_t)(end - stop));
        stop = newline != NULL ? newline : end;
        if (!folded || end - stop < 2 || (stop[1] != ' ' && stop[1] != '\t'))
            break;
        stop++;
    }
    *text = from_to(stop < end ? stop + 1 : stop, end);
    /* "$#" and "\#" are no comments */
    for (const char *at = begin; (at = memchr(at, '#', (size_t)(stop - at))) != NULL; at++) {
        if (at == begin || (at[-1] != '$' && at[-1] != '\\')) {
            stop = at;
            break;
        }
    }
    while (stop > begin && isspace((unsigned char)stop[-1]))
        stop--;
    *line = from_to(begin, stop);
    return true;
}

/* Takes the next word, up to one of the separators. */
static bool next_word(struct qs_span *rest, const char *separators, struct qs_span *word)
{
    size_t begin = 0, end;
    while (begin < rest->len && strchr(separators, rest->ptr[begin]) != NULL)
        begin++;
    for (end = begin; end < rest->len && strchr(separators, rest->ptr[end]) == NULL; end++)
        ;
    *word = (struct qs_span){rest->ptr + begin, end - begin};
    *rest = (struct qs_span){rest->ptr + end, rest->len - end};
    return word->len > 0;
}

static const char white[] = " \t\r\n";

/* The value of an option line, "O Name=value" or with the short name "OQvalue". */
static bool option(struct qs_span line, const char *name, char letter, struct qs_span *value)
{
    if (line.len < 2 || *line.ptr != 'O')
        return false;
    struct qs_span rest = {line.ptr + 1, line.len - 1};
    if (*rest.ptr != ' ') {
        if (letter == '\0' || *rest.ptr != letter)
            return false;
        *value = qs_span_trim((struct qs_span){rest.ptr + 1, rest.len - 1});
        return true;
    }
    rest = qs_span_trim(rest);
    const char *equals = rest.len > 0 ? memchr(rest.ptr, '=', rest.len) : NULL;
    if (equals == NULL || !qs_span_is_nocase(qs_span_trim(from_to(rest.ptr, equals)), name))
        return false;
    *value = qs_span_trim(from_to(equals + 1, rest.ptr + rest.len));
    return true;
}

/* --- queues ------------------------------------------------------------------------------------------- */

bool sm_split_wildcard(TALLOC_CTX *parent, const char *path, const char **base, const char **relative)
{
    size_t len = strlen(path);
    const char *slash = len > 0 && path[len - 1] == '*' ? strrchr(path, '/') : NULL;
    if (slash == NULL) {
        while (len > 1 && path[len - 1] == '/')
            len--;
        *base = talloc_strndup(parent, path, len);
        *relative = ".";
    } else {
        *base = talloc_strndup(parent, path, slash > path ? (size_t)(slash - path) : 1);
        *relative = talloc_strdup(parent, slash + 1);
    }
    return *base != NULL && *relative != NULL;
}

bool sm_same_directory(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The path below the base directory; NULL: it is not below it, and sendmail refuses it. */
static const char *below_base(TALLOC_CTX *parent, const char *base, struct qs_span path)
{
    size_t len = strlen(base);
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    if (path.len < len || memcmp(path.ptr, base, len) != 0)
        return NULL;
    if (path.len > len && len > 1 && path.ptr[len] != '/')
        return NULL;
    while (len < path.len && path.ptr[len] == '/')
        len++;
    return path.len == len ? "." : talloc_strndup(parent, path.ptr + len, path.len - len);
}

/* "name, P=path, F=f, ...": of the fields only the first letter counts. No path: that of the default
 * group. */
static enum qs_status add_group(TALLOC_CTX *parent, struct sm_queues *queues, struct qs_span line,
                                struct qs_error *err)
{
    struct qs_span name = {NULL, 0}, field, path = qs_span_of(queues->directory);
    const char *below;
    (void)next_word(&line, ", \t\r\n", &name);
    while (next_word(&line, ",", &field)) {
        field = qs_span_trim(field);
        const char *equals = field.len > 0 ? memchr(field.ptr, '=', field.len) : NULL;
        if (equals != NULL && *field.ptr == 'P')
            path = qs_span_trim(from_to(equals + 1, field.ptr + field.len));
    }
    below = below_base(parent, queues->base, path);
    if (name.len == 0 || below == NULL)
        return QS_OK;
    struct sm_group group = {talloc_strndup(parent, name.ptr, name.len), below};
    struct sm_group *grown = talloc_realloc(parent, queues->groups, struct sm_group,
                                            (unsigned)queues->group_count + 1);
    if (group.name == NULL || grown == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    queues->groups = grown;
    for (size_t i = 0; i < queues->group_count; i++) {
        if (strcasecmp(grown[i].name, group.name) == 0) {   /* defined again: the last one counts */
            grown[i] = group;
            return QS_OK;
        }
    }
    grown[queues->group_count++] = group;
    return QS_OK;
}

enum qs_status sm_config_queues(TALLOC_CTX *parent, const char *path, struct sm_queues *queues,
                                struct qs_error *err)
{
    struct qs_span text = {NULL, 0}, line, value, directory = {NULL, 0};
    struct sm_queues found = {0};
    const char *relative;
    enum qs_status status = sm_text_file(parent, path, &text, err);
    if (status != QS_OK)
        return status == QS_NOMEM ? status : QS_CONFIG;
    if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL)
        return qs_fail(err, QS_CONFIG, "%s: a zero byte in it: not a sendmail configuration", path);
    for (struct qs_span rest = text; next_line(&rest, true, &line);) {
        if (option(line, "QueueDirectory", 'Q', &value))
            directory = value;
        else if (option(line, "UseMSP", '\0', &value))
            found.submission = value.len > 0 && strchr("tTyY", *value.ptr) != NULL;
    }
    if (directory.len == 0 || *directory.ptr != '/')
        return qs_fail(err, QS_CONFIG, "%s: not a sendmail configuration, for it has no QueueDirectory",
                       path);
    found.directory = talloc_strndup(parent, directory.ptr, directory.len);
    if (found.directory == NULL || !sm_split_wildcard(parent, found.directory, &found.base, &relative))
        return qs_fail(err, QS_NOMEM, "out of memory");
    status = add_group(parent, &found, QS_SPAN("mqueue"), err);
    for (struct qs_span rest = text; status == QS_OK && next_line(&rest, true, &line);) {
        if (line.len > 1 && *line.ptr == 'Q')
            status = add_group(parent, &found, (struct qs_span){line.ptr + 1, line.len - 1}, err);
    }
    if (status == QS_OK)
        *queues = found;
    return status;
}

/* --- instances ---------------------------------------------------------------------------------------- */

struct finds {
    TALLOC_CTX *parent;
    struct qs_instance **list;
    size_t count;
};

static enum qs_status add_instance(struct finds *finds, struct qs_instance instance, struct qs_error *err)
{
    struct qs_instance **grown = talloc_realloc(finds->parent, finds->list, struct qs_instance *,
                                                (unsigned)finds->count + 1);
    struct qs_instance *added = grown != NULL ? talloc_zero(grown, struct qs_instance) : NULL;
    if (grown != NULL)
        finds->list = grown;
    if (added == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    *added = (struct qs_instance){
        .format = &qs_format_sendmail,
        .name = talloc_strdup(added, instance.name),
        .queue_dir = talloc_strdup(added, instance.queue_dir),
        .config = instance.config != NULL ? talloc_strdup(added, instance.config) : NULL,
        .evidence = talloc_strdup(added, instance.evidence),
    };
    if (added->name == NULL || added->queue_dir == NULL || added->evidence == NULL ||
        (instance.config != NULL && added->config == NULL))
        return qs_fail(err, QS_NOMEM, "out of memory");
    grown[finds->count++] = added;
    return QS_OK;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* The instance of a configuration file that the user named, or that of its queue which he named as well. */
static enum qs_status add_configured(struct finds *finds, const char *config, const char *queue_dir,
                                     struct qs_error *err)
{
    struct sm_queues queues = {0};
    TALLOC_CTX *scratch = talloc_new(NULL);
    if (scratch == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = sm_config_queues(scratch, config, &queues, err);
    if (status == QS_OK) {
        const char *evidence = talloc_asprintf(scratch, "QueueDirectory in %s", config);
        struct qs_instance instance = {
            .name = queues.submission ? "mqueue-client" : "mqueue",
            .queue_dir = queue_dir != NULL ? queue_dir : queues.base,
            .config = config,
            .evidence = evidence != NULL ? evidence : config,
        };
        status = add_instance(finds, instance, err);
    }
    talloc_free(scratch);
    return status;
}

/* What a configuration has to do with a queue directory. */
enum fit { FIT_NONE, FIT_NAME, FIT_SAME };

static enum fit fit_of(TALLOC_CTX *scratch, const char *config, const char *queue_dir)
{
    struct sm_queues queues = {0};
    const char *base, *relative;
    if (sm_config_queues(scratch, config, &queues, NULL) != QS_OK ||
        !sm_split_wildcard(scratch, queue_dir, &base, &relative))
        return FIT_NONE;
    if (sm_same_directory(queues.base, base))
        return FIT_SAME;
    return strcmp(last_part(queues.base), last_part(base)) == 0 ? FIT_NAME : FIT_NONE;
}

/* Of the configuration files the one that fits the queue directory best, at least as well as `least`; or
 * NULL. */
static const char *best_fit(const char *const configs[], size_t count, const char *queue_dir, enum fit least)
{
    enum fit best = FIT_NONE;
    const char *chosen = NULL;
    TALLOC_CTX *scratch = talloc_new(NULL);
    for (size_t i = 0; i < count && scratch != NULL; i++) {
        enum fit fit = fit_of(scratch, configs[i], queue_dir);
        if (fit >= least && fit > best) {
            best = fit;
            chosen = configs[i];
        }
    }
    talloc_free(scratch);
    return chosen;
}

/* A queue directory that no configuration is known for. */
static enum qs_status add_bare(struct finds *finds, const char *queue_dir, struct qs_error *err)
{
    const char *evidence = NULL;
    TALLOC_CTX *scratch = talloc_new(NULL);
    if (scratch == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = sm_examine(scratch, queue_dir, &evidence, err);
    if (status == QS_NOQUEUE) {
        status = QS_OK;
    } else if (status == QS_OK) {
        bool client = strstr(last_part(queue_dir), "client") != NULL;
        struct qs_instance instance = {
            .name = client ? "mqueue-client" : "mqueue",
            .queue_dir = queue_dir,
            .evidence = evidence,
        };
        status = add_instance(finds, instance, err);
    }
    talloc_free(scratch);
    return status;
}

static const char *const usual_configs[] = {
    "/etc/mail/sendmail.cf", "/etc/mail/submit.cf", "/etc/sendmail.cf", "/usr/local/etc/mail/sendmail.cf",
};
static const char *const usual_queues[] = {
    "/var/spool/mqueue", "/var/spool/mqueue-client", "/var/spool/clientmqueue",
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool is_there(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 || errno == EACCES;
}

/* The user named a file, or a directory like /etc/mail with one or both. */
static enum qs_status discover_named(struct finds *finds, const struct qs_place *place, struct qs_error *err)
{
    static const char *const names[] = {"sendmail.cf", "submit.cf"};
    enum qs_status status = QS_OK;
    struct stat st;
    const char *configs[COUNT(names)] = {NULL, NULL};
    size_t count = 0;
    if (stat(place->config, &st) != 0)
        return qs_fail(err, QS_CONFIG, "%s: %s", place->config, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return add_configured(finds, place->config, place->queue_dir, err);
    TALLOC_CTX *scratch = talloc_new(NULL);
    for (size_t i = 0; i < COUNT(names) && scratch != NULL; i++) {
        const char *path = talloc_asprintf(scratch, "%s/%s", place->config, names[i]);
        if (path != NULL && is_there(path))
            configs[count++] = path;
    }
    if (place->queue_dir != NULL && count > 0) {
        const char *fitting = best_fit(configs, count, place->queue_dir, FIT_NAME);
        status = add_configured(finds, fitting != NULL ? fitting : configs[0], place->queue_dir, err);
    }
    for (size_t i = 0; i < count && place->queue_dir == NULL && status == QS_OK; i++)
        status = add_configured(finds, configs[i], NULL, err);
    talloc_free(scratch);
    return status;
}

/* The queues at the usual places of this machine. */
static enum qs_status discover_usual(struct finds *finds, struct qs_error *err)
{
    enum qs_status status = QS_OK, denied = QS_OK;
    for (size_t i = 0; i < COUNT(usual_configs) && status == QS_OK; i++) {
        size_t before = finds->count;
        if (!is_there(usual_configs[i]))
            continue;
        status = add_configured(finds, usual_configs[i], NULL, err);
        if (status == QS_CONFIG)        /* nobody asked for this one */
            status = QS_OK;
        bool useless = finds->count > before && !is_there(finds->list[before]->queue_dir);
        for (size_t k = 0; k < before && finds->count > before && !useless; k++)
            useless = sm_same_directory(finds->list[k]->queue_dir, finds->list[before]->queue_dir);
        if (useless)
            talloc_free(finds->list[--finds->count]);
    }
    for (size_t i = 0; i < COUNT(usual_queues) && status == QS_OK; i++) {
        bool known = false;
        for (size_t k = 0; k < finds->count && !known; k++)
            known = sm_same_directory(finds->list[k]->queue_dir, usual_queues[i]);
        if (!known && is_there(usual_queues[i]))
            status = add_bare(finds, usual_queues[i], err);
        if (status != QS_OK && status != QS_NOMEM) {
            denied = status;
            status = QS_OK;
        }
    }
    return status == QS_OK && finds->count == 0 ? denied : status;
}

enum qs_status sm_discover(TALLOC_CTX *parent, const struct qs_place *place, struct qs_instance ***list,
                           size_t *count, struct qs_error *err)
{
    struct finds finds = {talloc_new(NULL), NULL, 0};
    enum qs_status status = QS_OK;
    if (finds.parent == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (place->config != NULL) {
        status = discover_named(&finds, place, err);
    } else if (place->queue_dir != NULL) {
        const char *config = best_fit(usual_configs, COUNT(usual_configs), place->queue_dir, FIT_SAME);
        status = config != NULL ? add_configured(&finds, config, place->queue_dir, err)
                                : add_bare(&finds, place->queue_dir, err);
    } else {
        status = discover_usual(&finds, err);
    }
    if (status == QS_OK) {
        *list = talloc_steal(parent, finds.list);
        *count = finds.count;
    }
    talloc_free(finds.parent);
    return status;
}

/* --- what the host is and serves ---------------------------------------------------------------------- */

struct learning {
    struct qs_site *site;
    TALLOC_CTX *scratch;
    const char *config;
    bool own;                   /* the configuration is that of this machine: its paths mean what they say */
    bool no_memory;
};

static bool list_add(struct learning *learning, char ***list, size_t *count, struct qs_span name)
{
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > 255 || memchr(name.ptr, '\0', name.len) != NULL ||
        memchr(name.ptr, '$', name.len) != NULL)
        return true;            /* a name made of macros is known to sendmail alone */
    if (*count >= talloc_array_length(*list)) {
        char **grown = talloc_realloc(learning->site, *list, char *, (unsigned)*count + 64);
        if (grown == NULL)
            return false;
        *list = grown;
    }
    char *copy = talloc_strndup(*list, name.ptr, name.len);
    for (char *at = copy; at != NULL && *at != '\0'; at++)
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    (*list)[*count] = copy;
    *count += copy != NULL;
    return copy != NULL;
}

static void add_local(struct learning *learning, struct qs_span name)
{
    if (name.len > 0 && *name.ptr != '[' &&
        !list_add(learning, &learning->site->local_domains, &learning->site->local_count, name))
        learning->no_memory = true;
}

static void add_relay(struct learning *learning, struct qs_span name)
{
    if (name.len > 0 && *name.ptr != '[' &&
        !list_add(learning, &learning->site->relay_domains, &learning->site->relay_count, name))
        learning->no_memory = true;
}

/* An address or its beginning, "192.168.1", "10", "IPv6:2001:db8", as a network. */
static void add_network(struct learning *learning, struct qs_span key)
{
    char *text;
    if (qs_span_starts_nocase(key, "IPv6:")) {
        int groups = 1;
        key = (struct qs_span){key.ptr + 5, key.len - 5};
        for (size_t i = 0; i < key.len; i++)
            groups += key.ptr[i] == ':';
        bool whole = groups == 8 || memmem(key.ptr, key.len, "::", 2) != NULL;
        text = groups > 8 ? NULL : talloc_asprintf(learning->scratch, "%.*s%s/%d", (int)key.len, key.ptr,
                                                   whole ? "" : "::", whole ? 128 : 16 * groups);
    } else {
        int parts = 1;
        for (size_t i = 0; i < key.len; i++)
            parts += key.ptr[i] == '.';
        text = parts > 4 ? NULL : talloc_asprintf(learning->scratch, "%.*s%s/%d", (int)key.len, key.ptr,
                                                  &".0.0.0"[2 * (parts - 1)], 8 * parts);
    }
    if (text != NULL && !list_add(learning, &learning->site->networks, &learning->site->network_count,
                                  qs_span_of(text)))
        learning->no_memory = true;
}

/* A file that the configuration names. In a copy it is looked for beside the configuration, as its path
 * means another machine's file. */
static bool side_file(struct learning *learning, struct qs_span path, struct qs_span *text)
{
    const char *own = talloc_strndup(learning->scratch, path.ptr, path.len);
    const char *slash = strrchr(learning->config, '/');
    const char *beside = own == NULL ? NULL :
        talloc_asprintf(learning->scratch, "%.*s%s", slash != NULL ? (int)(slash - learning->config + 1) : 0,
                        learning->config, last_part(own));
    enum qs_status status = QS_GONE;
    if (own != NULL && learning->own)
        status = sm_text_file(learning->scratch, own, text, NULL);
    if (beside != NULL && status == QS_GONE)
        status = sm_text_file(learning->scratch, beside, text, NULL);
    learning->no_memory = learning->no_memory || own == NULL || beside == NULL || status == QS_NOMEM;
    return status == QS_OK;
}

typedef void adder(struct learning *learning, struct qs_span name);

/* The class that a C or F line adds to: its words and the rest of the line. NULL: one that says nothing of
 * the site. */
static adder *class_of(struct qs_span *line)
{
    static const struct { const char *name; adder *add; } classes[] = {
        {"w", add_local}, {"{w}", add_local}, {"{VirtHost}", add_local}, {"R", add_relay}, {"{R}", add_relay},
    };
    struct qs_span rest = {line->ptr + 1, line->len - 1};
    for (size_t i = 0; i < COUNT(classes); i++) {
        if (qs_span_starts(rest, classes[i].name)) {
            size_t len = strlen(classes[i].name);
            *line = (struct qs_span){rest.ptr + len, rest.len - len};
            return classes[i].add;
        }
    }
    return NULL;
}

/* "Fw-o /etc/mail/local-host-names": a name a line. Programs and maps are not asked. */
static void learn_file(struct learning *learning, struct qs_span rest, adder *add)
{
    struct qs_span path, text, line, word;
    if (!next_word(&rest, white, &path) || (qs_span_is(path, "-o") && !next_word(&rest, white, &path)) ||
        *path.ptr != '/' || !side_file(learning, path, &text))
        return;
    while (next_line(&text, false, &line)) {
        if (next_word(&line, white, &word))
            add(learning, word);
    }
}

/* The access map's text: whom the host relays for. "Connect:10.1 RELAY", "example.com RELAY". */
static void learn_access(struct learning *learning, struct qs_span rest)
{
    struct qs_span word, path = {NULL, 0}, text, line, key, value;
    while (next_word(&rest, white, &word))
        path = word;
    if (path.len == 0 || *path.ptr != '/' || !side_file(learning, path, &text))
        return;
    while (next_line(&text, false, &line)) {
        if (!next_word(&line, white, &key) || !next_word(&line, white, &value) ||
            !qs_span_is_nocase(value, "RELAY"))
            continue;
        bool client = qs_span_starts_nocase(key, "Connect:"), to = qs_span_starts_nocase(key, "To:");
        if (client || to)
            key = (struct qs_span){key.ptr + (client ? 8 : 3), key.len - (client ? 8 : 3)};
        bool digits = key.len > 0 && strspn(key.ptr, "0123456789.") >= key.len;
        if (digits || qs_span_starts_nocase(key, "IPv6:"))
            add_network(learning, key);
        else if (key.len > 0 && memchr(key.ptr, ':', key.len) == NULL && memchr(key.ptr, '@', key.len) == NULL)
            add_relay(learning, key);
    }
}

static void learn_line(struct learning *learning, struct qs_span line, const char **hostname)
{
    struct qs_span word;
    adder *add;
    if (line.len < 3)
        return;
    if (option(line, "Timeout.queuereturn", '\0', &word) || option(line, "Timeout.queuereturn.normal", '\0', &word))
        qs_site_learn_lifetime(learning->site, word);
    if (qs_span_starts(line, "Dj") && memchr(line.ptr, '$', line.len) == NULL) {
        *hostname = talloc_strndup(learning->scratch, line.ptr + 2, line.len - 2);
    } else if (qs_span_starts(line, "Kaccess ")) {
        learn_access(learning, (struct qs_span){line.ptr + 8, line.len - 8});
    } else if (*line.ptr == 'C' && (add = class_of(&line)) != NULL) {
        while (next_word(&line, white, &word))
            add(learning, word);
    } else if (*line.ptr == 'F' && (add = class_of(&line)) != NULL) {
        learn_file(learning, line, add);
    }
}

enum qs_status sm_site(const struct qs_instance *instance, struct qs_site *site, struct qs_error *err)
{
    struct sm_queues queues = {0};
    struct qs_span text = {NULL, 0}, line;
    const char *hostname = NULL, *base, *relative;
    char own_name[256] = "";
    enum qs_status status = QS_OK;
    if (instance->config == NULL)
        return QS_OK;
    struct learning learning = {.site = site, .scratch = talloc_new(NULL), .config = instance->config};
    if (learning.scratch == NULL ||
        !sm_split_wildcard(learning.scratch, instance->queue_dir, &base, &relative)) {
        status = QS_NOMEM;
        goto done;
    }
    status = sm_config_queues(learning.scratch, instance->config, &queues, NULL);
    if (status == QS_OK)
        status = sm_text_file(learning.scratch, instance->config, &text, NULL);
    if (status != QS_OK)
        goto done;
    learning.own = sm_same_directory(queues.base, base);
    while (next_line(&text, true, &line))
        learn_line(&learning, line, &hostname);
    if (hostname == NULL && learning.own && gethostname(own_name, sizeof own_name - 1) == 0)
        hostname = own_name;
    if (hostname != NULL) {
        add_local(&learning, qs_span_of(hostname));
        if (site->hostname == NULL)
            site->hostname = talloc_strdup(site, hostname);
        learning.no_memory = learning.no_memory || site->hostname == NULL;
    }
done:
    talloc_free(learning.scratch);
    if (status == QS_NOMEM || learning.no_memory)
        return qs_fail(err, QS_NOMEM, "out of memory");
    return QS_OK;
}

const struct qs_format qs_format_sendmail = {
    .name = "sendmail",
    .summary = "sendmail 8: qf, df and xf files, the MTA's queue and the submission queue",
    .probe = sm_probe,
    .discover = sm_discover,
    .open = sm_open,
    .next = sm_next,
    .read = sm_read,
    .content = sm_content,
    .actions = SM_ACTIONS,
    .path = sm_file_path,
    .lock_rule = sm_lock_rule,
    .steps = sm_steps,
    .new_id = sm_new_id,
    .place = sm_new_place,
    .wake = sm_wake,
    .root = sm_root,
    .inspect = sm_inspect,
    .owner = sm_owner,
    .site = sm_site,
};
