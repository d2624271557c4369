/* SPDX-License-Identifier: Apache-2.0 */
/* Which directories a sendmail queue has, where a message's files lie in them, and which messages there
 * are. Reads directories and opens files; does not look into them, but for the probe of a directory that
 * nobody vouches for.
 *
 * Facts: sendmail/queue.c multiqueue_cache(), chkqdir(), setup_queues(), queuename(), gatherq(). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sendmail.h"

enum {
    PROBE_ENTRIES = 1000,       /* looked at before a directory is taken for something else */
    PROBE_FILES = 3,            /* opened */
    PROBE_DEPTH = 2,            /* below the base directory */
};

struct user {
    struct qs_span name;
    int64_t id;
};

struct qs_queue {
    int base;                   /* descriptor of the base directory */
    const char *path;           /* its name */
    struct sm_dir *dirs;
    struct stat *seen;          /* where their control files lie: no directory is listed twice */
    size_t dir_count;
    size_t inferred;            /* directories looked into for want of a configuration */
    bool denied;                /* a file there could not be opened */
    bool takes_runs;            /* a wildcard matches the directory in which operations keep what they have taken out */
    DIR *walk;                  /* of dirs[walked] */
    size_t walked;
    struct user *users;         /* by name; empty unless the queue is this host's own */
    size_t user_count;
};

static int close_queue(struct qs_queue *queue)
{
    if (queue->walk != NULL)
        (void)closedir(queue->walk);
    if (queue->base >= 0)
        (void)close(queue->base);
    return 0;
}

/* --- names and paths ---------------------------------------------------------------------------------- */

bool sm_id_valid(struct qs_span id)
{
    if (id.len == 0 || id.len > SM_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')))
            return false;
    }
    return true;
}

/* Whether sendmail would take the file for a control file. */
static bool has_control_name(const char *file)
{
    return (file[0] == SM_NORMAL || file[0] == SM_QUARANTINED || file[0] == SM_LOST) && file[1] == 'f' &&
           file[2] != '\0';
}

const char *sm_root(const struct qs_queue *queue)
{
    return queue->path;
}

int sm_base(const struct qs_queue *queue)
{
    return queue->base;
}

const struct sm_dir *sm_dir_at(const struct qs_queue *queue, uint32_t dir)
{
    return dir < queue->dir_count ? &queue->dirs[dir] : NULL;
}

bool sm_dir_named(const struct qs_queue *queue, struct qs_span name, uint32_t *dir)
{
    for (uint32_t i = 0; i < queue->dir_count; i++) {
        if (qs_span_is(name, queue->dirs[i].name)) {
            *dir = i;
            return true;
        }
    }
    return false;
}

/* The directory's own part of the path, or one that it is split into. */
static void sub_path(const char *name, const char *sub, char to[SM_PATH_MAX])
{
    if (strcmp(name, ".") == 0)
        (void)snprintf(to, SM_PATH_MAX, "%s", sub[0] != '\0' ? sub : ".");
    else
        (void)snprintf(to, SM_PATH_MAX, "%s%s%s", name, sub[0] != '\0' ? "/" : "", sub);
}

void sm_path(const struct sm_dir *dir, char letter, const char *id, char to[SM_PATH_MAX])
{
    static const char none[] = "";
    const char *sub = dir->qf ? "qf/" : none;
    size_t at = 0;
    if (letter == SM_DATA)
        sub = dir->df ? "df/" : none;
    else if (letter == SM_TRANSCRIPT)
        sub = dir->xf ? "xf/" : none;
    if (strcmp(dir->name, ".") != 0) {
        at = strnlen(dir->name, SM_DIR_MAX);
        memcpy(to, dir->name, at);
        to[at++] = '/';
    }
    memcpy(to + at, sub, strlen(sub));
    at += strlen(sub);
    to[at++] = letter;
    to[at++] = 'f';
    size_t id_len = strnlen(id, SM_ID_MAX);
    memcpy(to + at, id, id_len);
    to[at + id_len] = '\0';
}

void sm_place(const struct sm_dir *dir, char letter, char to[SM_PATH_MAX])
{
    const char *sub = dir->qf ? "qf" : "";
    if (letter == SM_DATA)
        sub = dir->df ? "df" : "";
    else if (letter == SM_TRANSCRIPT)
        sub = dir->xf ? "xf" : "";
    sub_path(dir->name, sub, to);
}

/* --- directories -------------------------------------------------------------------------------------- */

static bool is_directory(int base, const char *name)
{
    struct stat st;
    return fstatat(base, name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static DIR *open_directory(int base, const char *name)
{
    int fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL && fd >= 0) {
        int number = errno;
        (void)close(fd);
        errno = number;
    }
    return dir;
}

/* Why a directory cannot be opened: for want of a privilege, who has it. */
static enum qs_status fail_directory(struct qs_error *err, int number, int base, const char *name)
{
    struct stat st;
    char owner[40] = "", group[40] = "";
    if ((number != EACCES && number != EPERM) || fstatat(base, name, &st, 0) != 0)
        return qs_fail_errno(err, number, "queue directory %.200s", name);
    if (st.st_uid != 0)
        (void)snprintf(owner, sizeof owner, ", user %lu", (unsigned long)st.st_uid);
    if ((st.st_mode & S_IRGRP) != 0)
        (void)snprintf(group, sizeof group, ", group %lu", (unsigned long)st.st_gid);
    return qs_fail(err, QS_NOPERM, "queue directory %.200s: only root%s%s may read it", name, owner, group);
}

/* A directory that may be a queue directory: no link to itself or its parent, and nothing hidden, for that is
 * no MTA's. (A wildcard "*" alone would make sendmail take hidden ones, too.) */
static bool visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.' &&
           (entry->d_type == DT_DIR || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN);
}

/* Adds one directory, unless it is there already or is none. One that cannot be read is added: sm_next()
 * will say so. */
static enum qs_status add_dir(struct qs_queue *queue, const char *group, const char *name,
                              struct qs_error *err)
{
    struct stat st = {0};
    struct sm_dir dir = {.group = group};
    char path[SM_PATH_MAX];
    if (strlen(name) > SM_DIR_MAX)
        return QS_OK;
    if (fstatat(queue->base, name, &st, 0) == 0 ? !S_ISDIR(st.st_mode) : errno != EACCES)
        return QS_OK;
    sub_path(name, "qf", path);
    dir.qf = is_directory(queue->base, path);
    sub_path(name, "df", path);
    dir.df = is_directory(queue->base, path);
    sub_path(name, "xf", path);
    dir.xf = is_directory(queue->base, path);
    sub_path(name, dir.qf ? "qf" : "", path);
    (void)fstatat(queue->base, path, &st, 0);
    for (size_t i = 0; i < queue->dir_count && st.st_ino != 0; i++) {
        if (queue->seen[i].st_dev == st.st_dev && queue->seen[i].st_ino == st.st_ino)
            return QS_OK;
    }
    if (queue->dir_count == SM_DIRS_MAX)
        return qs_fail(err, QS_CONFIG, "%s: more than %d queue directories", queue->path, SM_DIRS_MAX);
    if (queue->dir_count % 32 == 0) {
        unsigned size = (unsigned)queue->dir_count + 32;
        struct sm_dir *dirs = talloc_realloc(queue, queue->dirs, struct sm_dir, size);
        if (dirs != NULL)
            queue->dirs = dirs;
        struct stat *seen = talloc_realloc(queue, queue->seen, struct stat, size);
        if (seen != NULL)
            queue->seen = seen;
        if (dirs == NULL || seen == NULL)
            return qs_fail(err, QS_NOMEM, "out of memory");
    }
    dir.name = talloc_strdup(queue, name);
    if (dir.name == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    queue->seen[queue->dir_count] = st;
    queue->dirs[queue->dir_count++] = dir;
    return QS_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in base/below that begin with prefix and are directories or may be, sorted, as a talloc array. */
static enum qs_status list_names(TALLOC_CTX *parent, int base, const char *below, const char *prefix,
                                 char ***out, size_t *count, struct qs_error *err)
{
    char **names = NULL;
    size_t found = 0, prefix_len = strlen(prefix);
    struct dirent *entry;
    DIR *dir = open_directory(base, below);
    if (dir == NULL)
        return fail_directory(err, errno, base, below);
    while (found < 2 * (size_t)SM_DIRS_MAX && (entry = readdir(dir)) != NULL) {
        if (!visible(entry) || strncmp(entry->d_name, prefix, prefix_len) != 0)
            continue;
        if (found % 64 == 0) {
            char **grown = talloc_realloc(parent, names, char *, (unsigned)found + 64);
            if (grown == NULL)
                goto no_memory;
            names = grown;
        }
        names[found] = talloc_strdup(names, entry->d_name);
        if (names[found++] == NULL)
            goto no_memory;
    }
    (void)closedir(dir);
    if (found > 0)
        qsort(names, found, sizeof *names, compare_names);
    *out = names;
    *count = found;
    return QS_OK;
no_memory:
    (void)closedir(dir);
    return qs_fail(err, QS_NOMEM, "out of memory");
}

/* Adds the directories of a group; `path` is relative to the base directory and may end in '*'. As
 * sendmail has it, a wildcard without a match means the base directory. */
static enum qs_status add_group(struct qs_queue *queue, const char *group, const char *path,
                                struct qs_error *err)
{
    enum qs_status status = QS_NOMEM;
    size_t len = strlen(path), count = 0, before = queue->dir_count;
    char **names = NULL;
    if (len == 0 || path[len - 1] != '*')
        return add_dir(queue, group, path, err);
    TALLOC_CTX *scratch = talloc_new(NULL);
    if (scratch == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    const char *slash = strrchr(path, '/');
    const char *below = slash != NULL ? talloc_strndup(scratch, path, (size_t)(slash - path)) : ".";
    const char *begin = slash != NULL ? slash + 1 : path;
    const char *prefix = talloc_strndup(scratch, begin, (size_t)(path + len - 1 - begin));
    queue->takes_runs |= slash == NULL && prefix != NULL && qs_span_starts(QS_SPAN(".qsurgeon"), prefix);
    if (below != NULL && prefix != NULL)
        status = list_names(scratch, queue->base, below, prefix, &names, &count, err);
    if (status == QS_GONE)
        status = QS_OK;
    for (size_t i = 0; i < count && status == QS_OK; i++) {
        const char *name = slash != NULL ? talloc_asprintf(scratch, "%s/%s", below, names[i]) : names[i];
        status = name != NULL ? add_dir(queue, group, name, err) : QS_NOMEM;
    }
    if (status == QS_OK && queue->dir_count == before)
        status = add_dir(queue, group, ".", err);
    talloc_free(scratch);
    return status == QS_NOMEM ? qs_fail(err, status, "out of memory") : status;
}

/* --- a queue without a configuration ------------------------------------------------------------------ */

/* Whether the file begins as control files do: with its version, or in old ones with a time. */
static bool begins_as_control(int dir, const char *name)
{
    char bytes[2] = "";
    bool dated = false;
    int fd = qs_open_quietly(dir, name, &dated);
    struct stat st;
    bool is = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pread(fd, bytes, 2, 0) == 2 &&
              (bytes[0] == 'V' || bytes[0] == 'T' || bytes[0] == 'P') && bytes[1] >= '0' && bytes[1] <= '9';
    if (fd >= 0)
        (void)close(fd);
    return is;
}

/* Whether the directory has control files in it; with `unreadable` those that cannot be opened count. */
static bool has_control_files(struct qs_queue *queue, const char *name, bool unreadable)
{
    bool found = false;
    int opened = 0;
    struct dirent *entry;
    DIR *dir = open_directory(queue->base, name);
    if (dir == NULL)
        return false;
    for (int i = 0; i < PROBE_ENTRIES && opened < PROBE_FILES && !found &&
         (entry = readdir(dir)) != NULL; i++) {
        const char *file = entry->d_name;
        if (!has_control_name(file) || !sm_id_valid(qs_span_of(file + 2)))
            continue;
        opened++;
        errno = 0;
        found = begins_as_control(dirfd(dir), file);
        if (!found && errno == EACCES) {
            queue->denied = true;
            found = unreadable;
        }
    }
    (void)closedir(dir);
    return found;
}

/* Whether the directory looks like one that sendmail queues mail in. */
static bool looks_like_queue(struct qs_queue *queue, const char *name, bool unreadable)
{
    char qf[SM_PATH_MAX], df[SM_PATH_MAX];
    if (strlen(name) > SM_DIR_MAX)
        return false;
    sub_path(name, "qf", qf);
    sub_path(name, "df", df);
    if (is_directory(queue->base, qf))
        return is_directory(queue->base, df) || has_control_files(queue, qf, unreadable);
    return has_control_files(queue, name, unreadable);
}

/* Adds the base directory and those below it that look like queue directories; with `unreadable` also those
 * that might, so that sm_next() says that they cannot be read. */
static enum qs_status infer(struct qs_queue *queue, const char *name, int depth, bool unreadable,
                            struct qs_error *err)
{
    enum qs_status status = QS_OK;
    char **names = NULL;
    size_t count = 0;
    if (queue->inferred++ >= SM_DIRS_MAX)
        return QS_OK;
    if (looks_like_queue(queue, name, unreadable))
        status = add_dir(queue, "mqueue", name, err);
    if (depth == PROBE_DEPTH || status != QS_OK)
        return status;
    TALLOC_CTX *scratch = talloc_new(NULL);
    if (scratch == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    status = list_names(scratch, queue->base, name, "", &names, &count, NULL);
    if (status == QS_NOPERM && unreadable && strcmp(name, "lost+found") != 0)
        status = add_dir(queue, "mqueue", name, err);
    else if (status != QS_NOMEM)        /* what cannot be listed has nothing to show */
        status = QS_OK;
    for (size_t i = 0; i < count && status == QS_OK; i++) {
        if (strcmp(names[i], "qf") == 0 || strcmp(names[i], "df") == 0 || strcmp(names[i], "xf") == 0)
            continue;
        const char *below = depth == 0 ? names[i] : talloc_asprintf(scratch, "%s/%s", name, names[i]);
        if (below == NULL)
            status = QS_NOMEM;
        else if (strlen(below) <= SM_DIR_MAX && is_directory(queue->base, below))
            status = infer(queue, below, depth + 1, unreadable, err);
    }
    talloc_free(scratch);
    return status;
}

/* Opens the base directory of `path`, which may end in a wildcard; *relative is that, or ".". */
static enum qs_status open_base(struct qs_queue *queue, const char *path, const char **relative,
                                struct qs_error *err)
{
    if (!sm_split_wildcard(queue, path, &queue->path, relative))
        return qs_fail(err, QS_NOMEM, "out of memory");
    do {
        queue->base = open(queue->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } while (queue->base < 0 && errno == EINTR);
    if (queue->base >= 0)
        return QS_OK;
    if (errno == ENOENT || errno == ENOTDIR)
        return qs_fail(err, QS_NOQUEUE, "%s: no such directory", queue->path);
    return fail_directory(err, errno, AT_FDCWD, queue->path);
}

static struct qs_queue *new_queue(TALLOC_CTX *parent)
{
    struct qs_queue *queue = talloc_zero(parent, struct qs_queue);
    if (queue == NULL)
        return NULL;
    queue->base = -1;
    talloc_set_destructor(queue, close_queue);
    return queue;
}

enum qs_status sm_examine(TALLOC_CTX *parent, const char *queue_dir, const char **evidence,
                          struct qs_error *err)
{
    const char *relative = NULL, *text = NULL;
    struct qs_queue *queue = new_queue(NULL);
    if (queue == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = open_base(queue, queue_dir, &relative, err);
    if (status == QS_OK)
        status = infer(queue, ".", 0, false, err);
    /* Where everything was purged, the directory that operations have left is the one sign of a queue; where it is one of
     * Postfix, there are others beside it. */
    if (status == QS_OK && queue->dir_count == 0 && is_directory(queue->base, ".qsurgeon") &&
        !is_directory(queue->base, "active"))
        status = add_dir(queue, "mqueue", ".", err);
    if (status == QS_OK && queue->dir_count == 0 && queue->denied) {
        status = qs_fail(err, QS_NOPERM, "%.200s: only root and the owner may read the control files",
                         queue_dir);
    } else if (status == QS_OK && queue->dir_count == 0) {
        status = qs_fail(err, QS_NOQUEUE, "%.200s: no sendmail control files", queue_dir);
    } else if (status == QS_OK) {
        const char *first = queue->dirs[0].name;
        text = queue->dir_count == 1
                   ? talloc_asprintf(parent, "sendmail control files in %s", strcmp(first, ".") != 0 ?
                                     first : "it")
                   : talloc_asprintf(parent, "%zu directories with sendmail control files, the first is %s",
                                     queue->dir_count, first);
        if (text == NULL)
            status = qs_fail(err, QS_NOMEM, "out of memory");
        else
            *evidence = text;
    }
    talloc_free(queue);
    return status;
}

bool sm_probe(TALLOC_CTX *parent, const char *queue_dir, const char **evidence)
{
    return sm_examine(parent, queue_dir, evidence, NULL) == QS_OK;
}

/* --- the users of this host --------------------------------------------------------------------------- */

static int compare_users(const void *a, const void *b)
{
    const struct user *x = a, *y = b;
    size_t len = x->name.len < y->name.len ? x->name.len : y->name.len;
    int order = memcmp(x->name.ptr, y->name.ptr, len);
    return order != 0 ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

/* The text up to the separator, which *rest then stands behind. */
static struct qs_span cut(struct qs_span *rest, char separator)
{
    const char *at = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
    struct qs_span part = {rest->ptr, at != NULL ? (size_t)(at - rest->ptr) : rest->len};
    size_t taken = at != NULL ? part.len + 1 : part.len;
    *rest = (struct qs_span){rest->ptr + taken, rest->len - taken};
    return part;
}

/* sendmail keeps a local submitter's name, not the number. Names in a directory service are not known
 * here. */
static enum qs_status learn_users(struct qs_queue *queue, struct qs_error *err)
{
    struct qs_span text;
    enum qs_status status = sm_text_file(queue, "/etc/passwd", &text, err);
    if (status != QS_OK)
        return status == QS_NOMEM ? status : QS_OK;
    while (text.len > 0) {
        struct qs_span line = cut(&text, '\n');
        struct user user = {cut(&line, ':'), -1};
        (void)cut(&line, ':');
        if (user.name.len == 0 || !qs_parse_i64(cut(&line, ':'), &user.id))
            continue;
        if (queue->user_count % 64 == 0) {
            struct user *grown = talloc_realloc(queue, queue->users, struct user,
                                                (unsigned)queue->user_count + 64);
            if (grown == NULL)
                return qs_fail(err, QS_NOMEM, "out of memory");
            queue->users = grown;
        }
        queue->users[queue->user_count++] = user;
    }
    if (queue->user_count > 0)
        qsort(queue->users, queue->user_count, sizeof *queue->users, compare_users);
    return QS_OK;
}

int64_t sm_user_id(const struct qs_queue *queue, struct qs_span name)
{
    struct user key = {name, 0};
    if (name.len == 0)
        return -1;
    if (qs_span_is(name, "root"))
        return 0;
    const struct user *found = queue->user_count > 0 ? bsearch(&key, queue->users, queue->user_count,
                                                              sizeof key, compare_users) : NULL;
    return found != NULL ? found->id : -1;
}

/* --- the queue ---------------------------------------------------------------------------------------- */

bool sm_takes_runs(const struct qs_queue *queue)
{
    return queue->takes_runs;
}

enum qs_status sm_open(TALLOC_CTX *parent, const struct qs_instance *instance, struct qs_queue **out,
                       struct qs_error *err)
{
    struct sm_queues queues = {0};
    const char *relative = NULL;
    enum qs_status status;
    struct qs_queue *queue = new_queue(NULL);
    if (queue == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    status = open_base(queue, instance->queue_dir, &relative, err);
    if (status == QS_OK && instance->config != NULL)
        status = sm_config_queues(queue, instance->config, &queues, err);
    for (size_t i = 0; i < queues.group_count && status == QS_OK; i++)
        status = add_group(queue, queues.groups[i].name, queues.groups[i].path, err);
    if (status == QS_OK && queues.base != NULL && sm_same_directory(queues.base, queue->path))
        status = learn_users(queue, err);
    if (status == QS_OK && instance->config == NULL && strcmp(relative, ".") != 0)
        status = add_group(queue, "mqueue", relative, err);
    else if (status == QS_OK && instance->config == NULL)
        status = infer(queue, ".", 0, true, err);
    if (status == QS_OK && queue->dir_count == 0)
        status = add_dir(queue, "mqueue", ".", err);
    if (status != QS_OK) {
        talloc_free(queue);
        return status;
    }
    *out = talloc_steal(parent, queue);
    return QS_OK;
}

static enum qs_status open_walk(struct qs_queue *queue, struct qs_error *err)
{
    char path[SM_PATH_MAX];
    const struct sm_dir *dir = &queue->dirs[queue->walked];
    sub_path(dir->name, dir->qf ? "qf" : "", path);
    queue->walk = open_directory(queue->base, path);
    if (queue->walk != NULL)
        return QS_OK;
    queue->walked++;
    return fail_directory(err, errno, queue->base, path);
}

enum qs_status sm_next(struct qs_queue *queue, struct qs_entry *e, struct qs_error *err)
{
    for (;;) {
        enum qs_status status;
        if (queue->walk == NULL) {
            if (queue->walked == queue->dir_count)
                return QS_END;
            status = open_walk(queue, err);
            if (status != QS_OK)
                return status;
        }
        errno = 0;
        const struct dirent *entry = readdir(queue->walk);
        if (entry == NULL) {
            int number = errno;
            const char *name = queue->dirs[queue->walked++].name;
            (void)closedir(queue->walk);
            queue->walk = NULL;
            if (number != 0)
                return qs_fail_errno(err, number, "queue directory %.200s", name);
            continue;
        }
        const char *file = entry->d_name;
        if (!has_control_name(file))
            continue;
        const char *dir = strcmp(queue->dirs[queue->walked].name,
                                 ".") != 0 ? queue->dirs[queue->walked].name : "";
        const char *slash = dir[0] != '\0' ? "/" : "";
        if (!sm_id_valid(qs_span_of(file + 2)))
            return qs_fail(err, QS_SKIP, "%s%s%.100s: the name holds no queue ID", dir, slash, file);
        if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN)
            return qs_fail(err, QS_SKIP, "%s%s%s: not a regular file", dir, slash, file);
        *e = (struct qs_entry){
            .id = file + 2,
            .dir = (uint32_t)queue->walked,
            .kind = (unsigned char)file[0],
            .inode = entry->d_ino,
        };
        return QS_OK;
    }
}

/* --- one message -------------------------------------------------------------------------------------- */

static enum qs_status open_control(const struct qs_queue *queue, const struct qs_entry *e, uint32_t dir,
                                   uint32_t kind, struct qs_file *file, struct qs_error *err)
{
    char path[SM_PATH_MAX];
    sm_path(&queue->dirs[dir], (char)kind, e->id, path);
    return qs_file_open(file, queue->base, path, err);
}

enum qs_status sm_open_message(const struct qs_queue *queue, struct qs_entry *e, struct qs_file *file,
                               struct qs_error *err)
{
    static const uint32_t kinds[] = {SM_NORMAL, SM_QUARANTINED, SM_LOST};
    uint32_t dir = e->dir, kind = e->kind;
    if (dir >= queue->dir_count || !sm_id_valid(qs_span_of(e->id)) ||
        (kind != SM_NORMAL && kind != SM_QUARANTINED && kind != SM_LOST))
        return qs_fail(err, QS_GONE, "no such message");
    enum qs_status status = open_control(queue, e, dir, kind, file, err);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && status == QS_GONE; i++) {
        if (kinds[i] != e->kind)
            status = open_control(queue, e, dir, kind = kinds[i], file, err);
    }
    for (uint32_t i = 0; i < queue->dir_count && status == QS_GONE; i++) {
        if (i != e->dir)
            status = open_control(queue, e, dir = i, kind = e->kind, file, err);
    }
    if (status == QS_OK) {
        e->dir = dir;
        e->kind = kind;
        e->inode = qs_file_stat(file)->st_ino;
    }
    return status;
}

bool sm_present(const struct qs_queue *queue, const struct qs_entry *e)
{
    struct stat st;
    char path[SM_PATH_MAX];
    sm_path(&queue->dirs[e->dir], (char)e->kind, e->id, path);
    return fstatat(queue->base, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Linux lists all locks in a file: "1: FLOCK  ADVISORY  WRITE 4711 fd:01:1234 0 EOF". Elsewhere nothing is
 * known. */
static bool locked_for_writing(ino_t inode)
{
    char line[200];
    bool locked = false;
    FILE *locks = fopen("/proc/locks", "re");
    while (locks != NULL && !locked && fgets(line, sizeof line, locks) != NULL) {
        const char *write = strstr(line, " WRITE "), *colon = NULL;
        uint64_t number = 0;
        for (const char *at = write; at != NULL && (at = strchr(at, ':')) != NULL; at++)
            colon = at;
        if (colon != NULL && qs_parse_u64((struct qs_span){colon + 1, strcspn(colon + 1, " \n")}, &number))
            locked = number == inode;
    }
    if (locks != NULL)
        (void)fclose(locks);
    return locked;
}

bool sm_changing(const struct qs_queue *queue, const struct qs_entry *e, const struct stat *then)
{
    struct stat now;
    char path[SM_PATH_MAX];
    sm_path(&queue->dirs[e->dir], (char)e->kind, e->id, path);
    if (fstatat(queue->base, path, &now, AT_SYMLINK_NOFOLLOW) != 0 || now.st_ino != then->st_ino ||
        now.st_size != then->st_size || now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != then->st_mtim.tv_nsec)
        return true;
    return locked_for_writing(then->st_ino);
}
