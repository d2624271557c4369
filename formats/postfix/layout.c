/* SPDX-License-Identifier: Apache-2.0 */
/* Where a message and its logs stand below queue_directory, and which messages there are. Reads
 * directories and opens files; does not look into them, but for the probe of a doubtful directory.
 *
 * Facts: Postfix src/global/mail_queue.[ch] (names, IDs), mail_scan_dir.c (one-letter directories),
 * dir_forest.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postfix.h"
#include "record.h"

static const char *const dir_names[PF_DIRS] = {
    [PF_MAILDROP] = "maildrop",
    [PF_INCOMING] = "incoming",
    [PF_ACTIVE] = "active",
    [PF_DEFERRED] = "deferred",
    [PF_HOLD] = "hold",
    [PF_CORRUPT] = "corrupt",
    [PF_SAVED] = "saved",
    [PF_DEFER] = "defer",
    [PF_BOUNCE] = "bounce",
    [PF_TRACE] = "trace",
};

const char *pf_dir_name(enum pf_dir dir)
{
    return dir_names[dir];
}

/* --- queue IDs ------------------------------------------------------------------------------------------ */

enum {
    USEC_DIGITS_SHORT = 5,
    USEC_DIGITS_LONG = 4,
    TIME_DIGITS_LONG = 10,
};

static bool id_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

bool pf_id_valid(struct qs_span id)
{
    if (id.len < PF_ID_MIN || id.len > PF_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        if (!id_char(id.ptr[i]))
            return false;
    }
    return true;
}

/* A number in Postfix's alphabet without vowels; base is 51 or 52. */
static const char safe_digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

static bool parse_safe(struct qs_span text, unsigned base, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *at = text.ptr[i] != '\0' ? strchr(safe_digits, text.ptr[i]) : NULL;
        unsigned digit = at != NULL ? (unsigned)(at - safe_digits) : base;
        if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *out = value;
    return text.len > 0;
}

struct pf_id pf_id_decode(const char *id)
{
    struct pf_id out = {0};
    uint64_t microseconds = 0;
    const char *end = id + strlen(id);
    const char *separator = strrchr(id, 'z');
    if (separator != NULL && separator - id >= TIME_DIGITS_LONG) {
        out.long_form = true;
        const char *usec = separator - USEC_DIGITS_LONG;
        (void)parse_safe((struct qs_span){id, (size_t)(usec - id)}, 52, &out.seconds);
        (void)parse_safe((struct qs_span){usec, USEC_DIGITS_LONG}, 52, &microseconds);
        (void)parse_safe((struct qs_span){separator + 1, (size_t)(end - separator - 1)}, 51, &out.inode);
    } else {
        (void)qs_parse_u64_base((struct qs_span){id, USEC_DIGITS_SHORT}, 16, &microseconds);
        (void)qs_parse_u64_base(
            (struct qs_span){id + USEC_DIGITS_SHORT, (size_t)(end - id - USEC_DIGITS_SHORT)}, 16, &out.inode);
    }
    out.microseconds = (uint32_t)microseconds;
    return out;
}

/* Writes the number with at least `width` digits and returns how many. */
static unsigned print_safe(uint64_t value, unsigned base, unsigned width, char to[16])
{
    char reversed[16];
    unsigned n = 0;
    for (; value > 0 || n < width; value /= base)
        reversed[n++] = safe_digits[value % base];
    for (unsigned i = 0; i < n; i++)
        to[i] = reversed[n - 1 - i];
    return n;
}

int pf_id_encode(const struct pf_id *id, char *to, size_t size)
{
    char seconds[16], usec[16], inode[16];
    int n = (int)print_safe(id->seconds, 52, TIME_DIGITS_LONG - USEC_DIGITS_LONG, seconds);
    int m = (int)print_safe(id->microseconds, 52, USEC_DIGITS_LONG, usec), k = (int)print_safe(id->inode, 51, 1, inode);
    return snprintf(to, size, "%.*s%.*sz%.*s", n, seconds, m, usec, k, inode);
}

void pf_id_path(const char *id, unsigned depth, char to[PF_PATH_MAX])
{
    /* Directories are named by the microseconds in hexadecimal; a short ID begins with those. Only a
     * foreign name can have more digits than five. */
    static const char hex[] = "0123456789ABCDEF";
    char usec[2 * sizeof(uint32_t)];
    const char *digits = id;
    size_t len = strnlen(id, PF_ID_MAX);
    if (depth > 0) {
        struct pf_id decoded = pf_id_decode(id);
        if (decoded.long_form) {
            size_t n = USEC_DIGITS_SHORT;
            while (n < sizeof usec && decoded.microseconds >> (4 * n) != 0)
                n++;
            for (size_t i = 0; i < n; i++)
                usec[i] = hex[decoded.microseconds >> (4 * (n - 1 - i)) & 15];
            digits = usec;
        }
    }
    for (unsigned i = 0; i < depth && i < PF_DEPTH_MAX; i++) {
        *to++ = digits[i];
        *to++ = '/';
    }
    memcpy(to, id, len);
    to[len] = '\0';
}

/* --- places: which directory an entry was seen in ------------------------------------------------------- */

/* A place is a queue and up to five one-letter directories, as one number: the queue in the lowest 3 bits,
 * then a digit of base 38 for each level, 0 at the end. e->dir has the lower 16 bits and e->kind the
 * others, so that both stay below 65536 and read() needs no table that next() would have to grow
 * meanwhile. */
enum { PLACE_BASE = 38 };

static unsigned letter_code(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0') + 1;
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A') + 11;
    return c == '_' ? 37 : 0;
}

static char letter_of(uint32_t code)
{
    return "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_"[code - 1];
}

static void place_set(struct qs_entry *e, enum pf_dir queue, const char *letters, unsigned depth)
{
    uint32_t code = 0;
    for (unsigned i = depth; i-- > 0;)
        code = code * PLACE_BASE + letter_code(letters[i]);
    code = code << 3 | (uint32_t)queue;
    e->dir = code & 0xffff;
    e->kind = code >> 16;
}

enum pf_dir pf_entry_dir(const struct qs_entry *e)
{
    return (enum pf_dir)(e->dir & 7);
}

/* The path below the queue; false when the entry's numbers are not those of a place. */
static bool place_path(const struct qs_entry *e, char to[PF_PATH_MAX])
{
    struct qs_span id = qs_span_of(e->id);
    uint32_t code = (e->kind << 16 | (e->dir & 0xffff)) >> 3;
    if (pf_entry_dir(e) >= PF_QUEUES || !pf_id_valid(id))
        return false;
    for (unsigned i = 0; code != 0; i++, code /= PLACE_BASE) {
        if (i == PF_DEPTH_MAX || code % PLACE_BASE == 0)
            return false;
        *to++ = letter_of(code % PLACE_BASE);
        *to++ = '/';
    }
    memcpy(to, id.ptr, id.len + 1);
    return true;
}

bool pf_entry_path(const struct qs_entry *e, char *to, size_t size)
{
    char below[PF_PATH_MAX];
    if (!place_path(e, below))
        return false;
    int length = snprintf(to, size, "%s/%s", dir_names[pf_entry_dir(e)], below);
    return length > 0 && (size_t)length < size;
}

/* --- the open queue ------------------------------------------------------------------------------------- */

struct qs_queue {
    int fd[PF_DIRS];            /* -1: not there, or not allowed */
    int error[PF_DIRS];         /* errno of that */
    unsigned depth[PF_DIRS];    /* levels of hash directories */
    uid_t owner;
    const char *root;           /* queue_directory as it was opened */
    char **pending[PF_DIRS];    /* of bounce and trace: IDs, sorted */
    size_t pending_count[PF_DIRS];

    /* the walk */
    unsigned walked;            /* index into walk_order of the queue being walked, or the next one when levels is 0 */
    unsigned at;                /* that queue */
    unsigned levels;            /* open directories: 1 + depth reached */
    DIR *stack[PF_DEPTH_MAX + 1];
    char letters[PF_DEPTH_MAX];
    char id[PF_ID_MAX + 1];
};

static int queue_destroy(struct qs_queue *queue)
{
    while (queue->levels > 0)
        (void)closedir(queue->stack[--queue->levels]);
    for (unsigned i = 0; i < PF_DIRS; i++) {
        if (queue->fd[i] >= 0)
            (void)close(queue->fd[i]);
    }
    return 0;
}

/* A directory itself, never a link to one. */
static int open_dir(int dirfd, const char *name)
{
    int fd;
    do {
        fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* How many levels of hash directories there are, by following the first one on each level. */
static unsigned learn_depth(int dirfd)
{
    static const char letters[] = "0123456789ABCDEF_";
    char path[2 * PF_DEPTH_MAX + 1];
    for (unsigned depth = 0; depth < PF_DEPTH_MAX; depth++) {
        const char *found = NULL;
        for (const char *c = letters; *c != '\0' && found == NULL; c++) {
            struct stat st;
            path[2 * depth] = *c;
            path[2 * depth + 1] = '\0';
            if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
                found = c;
        }
        if (found == NULL)
            return depth;
        path[2 * depth + 1] = '/';
    }
    return PF_DEPTH_MAX;
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static bool is_empty(int dirfd)
{
    bool empty = true;
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL && fd >= 0)
        (void)close(fd);
    for (const struct dirent *entry; dir != NULL && empty && (entry = readdir(dir)) != NULL;)
        empty = is_dots(entry->d_name);
    if (dir != NULL)
        (void)closedir(dir);
    return empty && dir != NULL;
}

static DIR *walk_dir(int dirfd, const char *name)
{
    int fd = open_dir(dirfd, name);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL && fd >= 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
    }
    return dir;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum { PENDING_MAX = 100000 };

/* The names in bounce or trace, which are empty on most servers: knowing them saves two opens a message. */
static bool learn_pending(struct qs_queue *queue, enum pf_dir log)
{
    unsigned levels = 1;
    DIR *stack[PF_DEPTH_MAX + 1] = {walk_dir(queue->fd[log], ".")};
    if (stack[0] == NULL)
        return true;
    bool ok = true;
    size_t room = 0;
    while (levels > 0 && ok && queue->pending_count[log] < PENDING_MAX) {
        const struct dirent *entry = readdir(stack[levels - 1]);
        if (entry == NULL) {
            (void)closedir(stack[--levels]);
            continue;
        }
        const char *name = entry->d_name;
        if (name[0] != '\0' && name[1] == '\0') {
            DIR *dir =
                name[0] != '.' && levels <= PF_DEPTH_MAX ? walk_dir(dirfd(stack[levels - 1]), name) : NULL;
            if (dir != NULL)
                stack[levels++] = dir;
            continue;
        }
        if (!pf_id_valid(qs_span_of(name)))
            continue;
        if (queue->pending_count[log] == room) {
            room = room == 0 ? 16 : 2 * room;
            char **grown = talloc_realloc(queue, queue->pending[log], char *, (unsigned)room);
            ok = grown != NULL;
            if (!ok)
                break;
            queue->pending[log] = grown;
        }
        char *copy = talloc_strdup(queue->pending[log], name);
        ok = copy != NULL;
        if (ok)
            queue->pending[log][queue->pending_count[log]++] = copy;
    }
    while (levels > 0)
        (void)closedir(stack[--levels]);
    if (queue->pending_count[log] > 1)
        qsort(queue->pending[log], queue->pending_count[log], sizeof *queue->pending[log], compare_names);
    return ok;
}

bool pf_has_log(const struct qs_queue *queue, const char *id, enum pf_dir log)
{
    return queue->pending_count[log] > 0 && bsearch(&id, queue->pending[log], queue->pending_count[log],
                                                    sizeof *queue->pending[log], compare_names) != NULL;
}

uid_t pf_queue_owner(const struct qs_queue *queue)
{
    return queue->owner;
}

int pf_dir_fd(const struct qs_queue *queue, enum pf_dir dir)
{
    return queue->fd[dir];
}

const char *pf_queue_root(const struct qs_queue *queue)
{
    return queue->root;
}

bool pf_place_path(const struct qs_queue *queue, enum pf_dir dir, const char *id, char *to, size_t size)
{
    char below[PF_PATH_MAX];
    pf_id_path(id, queue->depth[dir], below);
    int length = snprintf(to, size, "%s/%s", dir_names[dir], below);
    return length > 0 && (size_t)length < size;
}

enum qs_status pf_open(TALLOC_CTX *parent, const struct qs_instance *instance, struct qs_queue **out,
                       struct qs_error *err)
{
    enum qs_status status = QS_OK;
    const char *where = instance->queue_dir;
    struct qs_queue *queue = talloc_zero(parent, struct qs_queue);
    if (queue == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    for (unsigned i = 0; i < PF_DIRS; i++)
        queue->fd[i] = -1;
    talloc_set_destructor(queue, queue_destroy);
    queue->root = talloc_strdup(queue, where);
    if (queue->root == NULL) {
        talloc_free(queue);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }

    unsigned found = 0, denied = 0;
    int top = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0) {
        status = qs_fail_errno(err, errno, "%s", where);
        if (errno == ENOENT || errno == ENOTDIR)
            status = qs_fail(err, QS_NOQUEUE, "%s: no such directory", where);
        goto done;
    }
    for (unsigned i = 0; i < PF_DIRS; i++) {
        struct stat st;
        queue->fd[i] = open_dir(top, dir_names[i]);
        queue->error[i] = queue->fd[i] < 0 ? errno : 0;
        if (i < PF_QUEUES) {
            found += queue->fd[i] >= 0;
            denied += queue->error[i] == EACCES || queue->error[i] == EPERM;
        }
        if (queue->fd[i] < 0)
            continue;
        queue->depth[i] = learn_depth(queue->fd[i]);
        if (i < PF_QUEUES && fstat(queue->fd[i], &st) == 0)
            queue->owner = st.st_uid;
    }
    (void)close(top);
    for (unsigned i = 0; i < PF_DIRS; i++)
        if ((i == PF_DEFERRED || i == PF_DEFER) && queue->fd[i] >= 0 && queue->depth[i] == 0 && is_empty(queue->fd[i])) {
            /* A new queue: its hash directories are made as they are needed, and a file on another level is one that the
             * queue manager sees and never finds. Without a configuration to ask: Postfix's default. */
            unsigned depth = instance->config != NULL ? pf_hash_depth(instance->config, dir_names[i]) : UINT_MAX;
            queue->depth[i] = depth != UINT_MAX ? depth : 1;
        }
    if (found == 0 && denied > 0)
        status = qs_fail(err, QS_NOPERM,
                         "%s: only root and the mail owner (mail_owner, usually postfix) may read the queue",
                         where);
    else if (found == 0)
        status = qs_fail(err, QS_NOQUEUE, "%s: has no incoming, active, deferred or hold directory", where);
    else if (!learn_pending(queue, PF_BOUNCE) || !learn_pending(queue, PF_TRACE))
        status = qs_fail(err, QS_NOMEM, "out of memory");
done:
    if (status != QS_OK)
        talloc_free(queue);
    else
        *out = queue;
    return status;
}

/* --- the walk ------------------------------------------------------------------------------------------- */

/* "deferred/A/name" for people. */
static void shown_path(const struct qs_queue *queue, const char *name, char *to, size_t size)
{
    char raw[sizeof "maildrop/" + 2 * PF_DEPTH_MAX + PF_ID_MAX + 1];
    size_t len = strlen(dir_names[queue->at]);
    memcpy(raw, dir_names[queue->at], len);
    for (unsigned i = 0; i + 1 < queue->levels; i++) {
        raw[len++] = '/';
        raw[len++] = queue->letters[i];
    }
    if (name[0] != '\0') {
        size_t more = strnlen(name, PF_ID_MAX);
        raw[len++] = '/';
        memcpy(raw + len, name, more);
        len += more;
    }
    (void)qs_text_safe(to, size, (struct qs_span){raw, len});
}

static enum qs_status walk_failed(const struct qs_queue *queue, const char *name, int error,
                                  struct qs_error *err)
{
    char path[QS_ERROR_TEXT / 2];
    shown_path(queue, name, path, sizeof path);
    if (error == EACCES || error == EPERM)
        return qs_fail(err, QS_NOPERM, "%s: only root and the mail owner may read this directory", path);
    if (error == ENOTDIR || error == ELOOP || error == EMLINK)
        return qs_fail(err, QS_SKIP, "%s: not a directory, Postfix expects one here", path);
    if (error == ENOMEM)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = qs_fail_errno(err, error, "%s", path);
    return status == QS_GONE ? QS_SKIP : status;
}

/* Files that are being created have a name of microseconds, a dot and a process number. */
static bool is_unfinished(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    size_t more = name[digits] == '.' ? strspn(name + digits + 1, "0123456789") : 0;
    return digits > 0 && more > 0 && name[digits + 1 + more] == '\0';
}

static enum qs_status descend(struct qs_queue *queue, const char *name, struct qs_error *err)
{
    char path[QS_ERROR_TEXT / 2];
    shown_path(queue, name, path, sizeof path);
    if (queue->at == PF_MAILDROP)
        return qs_fail(err, QS_SKIP, "%s: Postfix has no directories here", path);
    if (letter_code(name[0]) == 0 || queue->levels > PF_DEPTH_MAX)
        return qs_fail(err, QS_SKIP, "%s: not a directory that Postfix makes", path);
    DIR *dir = walk_dir(dirfd(queue->stack[queue->levels - 1]), name);
    if (dir == NULL)
        return errno == ENOENT ? QS_OK : walk_failed(queue, name, errno, err);
    queue->letters[queue->levels - 1] = name[0];
    queue->stack[queue->levels++] = dir;
    return QS_OK;
}

/* The queues in the order in which mail moves through them; then once more the two that it comes back to from deferred, for
 * what moved there after they had been walked. What was seen before is passed over by the caller, who knows the IDs. */
static const enum pf_dir walk_order[] = {
    PF_MAILDROP, PF_INCOMING, PF_ACTIVE, PF_DEFERRED, PF_HOLD, PF_CORRUPT, PF_SAVED, PF_INCOMING, PF_ACTIVE,
};
enum { WALKS = sizeof walk_order / sizeof *walk_order, WALKS_FIRST = PF_QUEUES };

enum qs_status pf_next(struct qs_queue *queue, struct qs_entry *e, struct qs_error *err)
{
    for (;;) {
        bool again = queue->walked >= WALKS_FIRST;      /* odd things were told the first time */
        if (queue->levels == 0) {
            if (queue->walked == WALKS)
                return QS_END;
            queue->at = walk_order[queue->walked];
            if (queue->fd[queue->at] >= 0) {
                queue->stack[0] = walk_dir(queue->fd[queue->at], ".");
                if (queue->stack[0] != NULL) {
                    queue->levels = 1;
                    continue;
                }
                queue->error[queue->at] = errno;
            }
            enum qs_status status = QS_OK;
            if (!again && queue->error[queue->at] != 0 && queue->error[queue->at] != ENOENT)
                status = walk_failed(queue, "", queue->error[queue->at], err);
            queue->walked++;
            if (status != QS_OK)
                return status;
            continue;
        }

        errno = 0;
        const struct dirent *entry = readdir(queue->stack[queue->levels - 1]);
        if (entry == NULL) {
            int error = errno;
            enum qs_status status = error != 0 ? walk_failed(queue, "", error, err) : QS_OK;
            (void)closedir(queue->stack[--queue->levels]);
            queue->walked += queue->levels == 0;
            if (status != QS_OK)
                return status;
            continue;
        }
        const char *name = entry->d_name;
        if (is_dots(name))
            continue;
        if (name[1] == '\0') {
            enum qs_status status = descend(queue, name, err);
            if (status != QS_OK && !again)
                return status;
            continue;
        }
        struct qs_span id = qs_span_of(name);
        bool file = entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN;
        if (!file || !pf_id_valid(id)) {
            char path[QS_ERROR_TEXT / 2];
            if (again)
                continue;
            if (file && is_unfinished(name))
                return QS_SKIP;
            shown_path(queue, name, path, sizeof path);
            return qs_fail(err, QS_SKIP, file ? "%s: not a queue ID" : "%s: not a regular file", path);
        }
        memcpy(queue->id, name, id.len + 1);
        e->id = queue->id;
        e->inode = (uint64_t)entry->d_ino;
        place_set(e, (enum pf_dir)queue->at, queue->letters, queue->levels - 1);
        return QS_OK;
    }
}

/* --- files ---------------------------------------------------------------------------------------------- */

/* Opens the message in `queue_dir` hashed `depth` levels deep if it is the one with e's inode. */
static bool find_in(const struct qs_queue *queue, enum pf_dir queue_dir, unsigned depth, struct qs_entry *e,
                    struct qs_file *file)
{
    char path[PF_PATH_MAX], letters[PF_DEPTH_MAX];
    pf_id_path(e->id, depth, path);
    if (qs_file_open(file, queue->fd[queue_dir], path, NULL) != QS_OK ||
        (uint64_t)qs_file_stat(file)->st_ino != e->inode)
        return false;
    for (unsigned i = 0; i < depth; i++)
        letters[i] = path[2 * i];
    place_set(e, queue_dir, letters, depth);
    return true;
}

enum qs_status pf_open_message(const struct qs_queue *queue, struct qs_entry *e, struct qs_file *file,
                               struct qs_error *err)
{
    /* From deferred and incoming a message goes to active, and back; from anywhere to hold. */
    static const enum pf_dir elsewhere[] = {PF_ACTIVE, PF_DEFERRED, PF_INCOMING, PF_HOLD, PF_CORRUPT};
    char path[PF_PATH_MAX];
    if (!place_path(e, path))
        return qs_fail(err, QS_GONE, "not an entry of this queue");
    int dir = queue->fd[pf_entry_dir(e)];
    enum qs_status status = dir >= 0 ? qs_file_open(file, dir, path, err) : QS_GONE;
    if (status == QS_OK)
        e->inode = (uint64_t)qs_file_stat(file)->st_ino;
    if (status == QS_NOPERM)
        return qs_fail(err, QS_NOPERM, "%s/%s: only root and the mail owner may read this file",
                       dir_names[pf_entry_dir(e)], path);
    if (status == QS_SKIP)          /* on a file system whose directories do not tell */
        return qs_fail(err, QS_DATA, "not a regular file");
    if (status != QS_GONE)
        return status;
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        enum pf_dir other = elsewhere[i];
        if (queue->fd[other] < 0)
            continue;
        if (find_in(queue, other, queue->depth[other], e, file) ||
            (queue->depth[other] != 0 && find_in(queue, other, 0, e, file)))
            return QS_OK;
    }
    qs_file_close(file);
    return qs_fail(err, QS_GONE, "left the queue");
}

enum qs_status pf_look_at_message(const struct qs_queue *queue, const struct qs_entry *e, struct stat *st, int64_t *born,
                                  struct qs_error *err)
{
    char path[PF_PATH_MAX];
    if (!place_path(e, path) || queue->fd[pf_entry_dir(e)] < 0)
        return qs_fail(err, QS_GONE, "not an entry of this queue");
    enum qs_status status = qs_file_look(queue->fd[pf_entry_dir(e)], path, st, born, err);
    return status == QS_OK && !S_ISREG(st->st_mode) ? qs_fail(err, QS_DATA, "not a regular file") : status;
}

enum qs_status pf_open_log(const struct qs_queue *queue, const struct qs_entry *e, enum pf_dir log,
                           struct qs_file *file, struct qs_error *err)
{
    char path[PF_PATH_MAX];
    if (queue->fd[log] < 0) {
        int error = queue->error[log];
        return error == ENOENT ? QS_GONE : qs_fail_errno(err, error, "%s", dir_names[log]);
    }
    pf_id_path(e->id, queue->depth[log], path);
    enum qs_status status = qs_file_open(file, queue->fd[log], path, err);
    /* While hash_queue_depth is being changed, and in copies made then, some logs stand on another level.
     * A message in deferred has one nearly always, so that the search is rare. */
    if (status != QS_GONE || (log == PF_DEFER && pf_entry_dir(e) != PF_DEFERRED))
        return status;
    for (unsigned depth = 0; depth <= queue->depth[log] && status == QS_GONE; depth++) {
        pf_id_path(e->id, depth, path);
        status = qs_file_open(file, queue->fd[log], path, err);
    }
    return status;
}

/* --- the probe ------------------------------------------------------------------------------------------ */

/* Whether one of the first files in there begins as Postfix queue files do: a record of size or time. */
static bool has_queue_file(TALLOC_CTX *scratch, int top, const char *name)
{
    enum { LOOKS = 16 };
    bool found = false;
    struct qs_file *file = qs_file_new(scratch);
    unsigned levels = 1, looks = 0;
    DIR *stack[PF_DEPTH_MAX + 1] = {walk_dir(top, name)};
    if (stack[0] == NULL)
        levels = 0;
    while (levels > 0 && !found && file != NULL && looks < LOOKS) {
        const struct dirent *entry = readdir(stack[levels - 1]);
        if (entry == NULL) {
            (void)closedir(stack[--levels]);
            continue;
        }
        if (is_dots(entry->d_name))
            continue;
        if (entry->d_name[1] == '\0') {
            DIR *dir = levels <= PF_DEPTH_MAX ? walk_dir(dirfd(stack[levels - 1]), entry->d_name) : NULL;
            if (dir != NULL)
                stack[levels++] = dir;
            continue;
        }
        looks++;
        if (!pf_id_valid(qs_span_of(entry->d_name)) ||
            qs_file_open(file, dirfd(stack[levels - 1]), entry->d_name, NULL) != QS_OK)
            continue;
        struct pf_cursor cursor = pf_cursor_at(file, 0);
        struct pf_record record;
        found = pf_record_next(&cursor, &record, NULL) == QS_OK &&
                (record.type == 'C' || record.type == 'T') && record.data.len > 0;
        for (size_t i = 0; found && i < record.data.len; i++)
            found = memchr(" 0123456789", record.data.ptr[i], sizeof " 0123456789" - 1) != NULL;
    }
    while (levels > 0)
        (void)closedir(stack[--levels]);
    return found;
}

bool pf_probe(TALLOC_CTX *parent, const char *queue_dir, const char **evidence)
{
    enum { ENOUGH = 4 };
    unsigned queues = 0, all = 0;
    const char *words = NULL;
    int top = open(queue_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return false;
    for (unsigned i = 0; i < PF_DIRS; i++) {
        struct stat st;
        if (fstatat(top, dir_names[i], &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode))
            continue;
        all++;
        queues += i < PF_QUEUES;
    }
    if (queues > 0 && all >= ENOUGH) {
        words = talloc_asprintf(
            parent, "%u directories named as Postfix names them (maildrop, incoming, active, ...)", all);
    } else {
        TALLOC_CTX *scratch = talloc_new(NULL);
        for (unsigned i = 0; i < PF_QUEUES && words == NULL && all > 0; i++) {
            if (has_queue_file(scratch, top, dir_names[i]))
                words = talloc_asprintf(parent, "%s holds Postfix queue files", dir_names[i]);
        }
        talloc_free(scratch);
    }
    (void)close(top);
    if (words == NULL)
        return false;
    *evidence = words;
    return true;
}
