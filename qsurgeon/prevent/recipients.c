/* SPDX-License-Identifier: Apache-2.0 */
/* What a list of recipients is for: a table of the mail server, and marks in the queue. See recipients.h. */
#include "qsurgeon/recipients.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qsurgeon/spawn.h"
#include "qsurgeon/table.h"
#include "replace.h"

/* --- the queue ----------------------------------------------------------------------------------------- */

static bool keep(TALLOC_CTX *parent, struct qs_recipient_marks *m, struct qs_span address)
{
    if ((m->unknown_count & (m->unknown_count - 1)) == 0) {     /* room for twice as many */
        char **grown = talloc_realloc(parent, m->unknown, char *, m->unknown_count ? (unsigned)(2 * m->unknown_count) : 1);
        if (!grown)
            return false;
        m->unknown = grown;
    }
    char *copy = talloc_strndup(m->unknown, address.ptr, address.len);
    if (copy)
        m->unknown[m->unknown_count++] = copy;
    return copy != NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Each address is asked for once: the answer stands in `asked`, by the address's symbol. */
static bool mark_message(TALLOC_CTX *parent, const struct qs_scan *scan, uint32_t i, const struct qs_list *list,
                         struct qs_table *asked, struct qs_recipient_marks *m)
{
    const struct qs_message *message = &scan->messages[i];
    enum { NOT_ASKED = 99 };
    for (uint32_t r = 0; r < message->recipient_count; r++) {
        if (message->recipients[r].state != QS_RCPT_TODO)
            continue;
        struct qs_span address = qs_sym_span(scan->strings, message->recipients[r].address);
        uint32_t *answer = qs_table_at(asked, message->recipients[r].address, NOT_ASKED);
        if (!answer)
            return false;
        if (*answer == NOT_ASKED) {
            *answer = qs_list_has(list, address);
            if (*answer == QS_LIST_UNKNOWN && !keep(parent, m, address))
                return false;
        }
        m->waiting++;
        m->not_covered += *answer == QS_LIST_NOT_COVERED;
        if (*answer != QS_LIST_UNKNOWN)
            continue;
        m->nobody++;
        m->messages += !m->message[i];
        m->message[i] = 1;
    }
    return true;
}

enum qs_status qs_recipients_mark(TALLOC_CTX *parent, const struct qs_view *view, const uint8_t *selected,
                                  const struct qs_list *list, struct qs_recipient_marks *out, struct qs_error *err)
{
    const struct qs_scan *scan = view->scan;
    struct qs_table *asked = qs_table_new(NULL, 1024);
    struct qs_recipient_marks m = {.message = talloc_zero_array(parent, uint8_t, scan->count + 1)};
    bool ok = asked && m.message;
    for (uint32_t i = 0; ok && i < scan->count; i++)
        if (!selected || selected[i])
            ok = mark_message(parent, scan, i, list, asked, &m);
    talloc_free(asked);
    if (!ok)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (m.unknown_count > 1)
        qsort(m.unknown, m.unknown_count, sizeof *m.unknown, compare);
    *out = m;
    return QS_OK;
}

/* --- taking over --------------------------------------------------------------------------------------- */

enum qs_status qs_list_follows(const struct qs_list *list, uint32_t serial, uint64_t addresses, double max_shrink,
                               struct qs_error *err)
{
    if (list->serial == serial)
        return QS_SKIP;
    if (!qs_serial_newer(list->serial, serial))
        return qs_fail(err, QS_DATA, "the list is older (serial %" PRIu32 ") than the one in use (%" PRIu32 ")", list->serial,
                       serial);
    double lost = addresses > list->addresses ? 100.0 * (double)(addresses - list->addresses) / (double)addresses : 0;
    if (lost > max_shrink)
        return qs_fail(err, QS_DATA, "the list has lost %.1f %% of its recipients, %zu of %" PRIu64 " are left; --max-shrink "
                       "PCT allows more than %.0f %%", lost, list->addresses, addresses, max_shrink);
    return QS_OK;
}

enum { FILE_MOST = 256 << 20 };

/* What the library of that table type adds to the name. */
static const char *suffix(const char *type)
{
    return strcmp(type, "lmdb") == 0 ? ".lmdb" : strcmp(type, "cdb") == 0 ? ".cdb" : ".db";
}

static bool is_word(const char *text)
{
    return *text && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(text);
}

static enum qs_status sync_file(const char *path, struct qs_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int number = errno;
    if (fd >= 0)
        close(fd);
    return ok ? QS_OK : qs_fail_errno(err, number, "%.200s", path);
}

/* Builds `made` from `source` and asks it for the list's first recipient. */
static enum qs_status compile(TALLOC_CTX *scratch, const struct qs_list *list, const char *source, const char *made,
                              const char *type, const char *config, bool sendmail, struct qs_error *err)
{
    const char *table = talloc_asprintf(scratch, "%s:%s", type, source);
    const char *const postmap[] = {"postmap", config ? "-c" : table, config, table, NULL};
    const char *const makemap[] = {"makemap", "-C", config ? config : "/etc/mail/sendmail.cf", type, made, NULL};
    const char *const ask[] = {"postmap", "-q", list->address[0], config ? "-c" : table, config, table, NULL};
    const char *const dump[] = {"makemap", "-C", config ? config : "/etc/mail/sendmail.cf", "-u", type, made, NULL};
    struct qs_span out;
    if (!table)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = qs_spawn(scratch, &(struct qs_program){.argv = sendmail ? makemap : postmap, .input = sendmail ? source : NULL}, &out, err);
    if (status != QS_OK)
        return status;
    status = qs_spawn(scratch, &(struct qs_program){.argv = sendmail ? dump : ask}, &out, err);
    const char *first = talloc_asprintf(scratch, "to:%s\tRELAY\n", list->address[0] + (*list->address[0] == '@'));
    if (!first)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK && !(sendmail ? out.len && memmem(out.ptr, out.len, first, strlen(first)) != NULL
                                      : qs_span_is(qs_span_trim(out), "OK")))
        status = qs_fail(err, QS_CONFIG, "%.200s: the table does not have what was put into it", made);
    return status == QS_OK ? sync_file(made, err) : status;
}

/* default_database_type of this Postfix. */
static const char *default_type(TALLOC_CTX *scratch, const char *config)
{
    const char *const with[] = {"postconf", "-c", config, "-h", "default_database_type", NULL};
    const char *const without[] = {"postconf", "-h", "default_database_type", NULL};
    struct qs_span out;
    if (qs_spawn(scratch, &(struct qs_program){.argv = config ? with : without}, &out, NULL) != QS_OK)
        return "hash";
    out = qs_span_trim(out);
    const char *type = talloc_strndup(scratch, out.ptr, out.len);
    return type && is_word(type) ? type : "hash";
}

/* The lines of the file that are not of a list, and behind them those of this one. */
static enum qs_status with_others(TALLOC_CTX *scratch, const struct qs_list *list, const char *path, bool sendmail, char **out,
                                  struct qs_error *err)
{
    static const char begin[] = "# recipients by qsurgeon: what is between here and the end is replaced by each import\n";
    static const char end[] = "# end of the recipients by qsurgeon\n";
    struct qs_span text = {NULL, 0};
    char *table = qs_list_table(scratch, list, sendmail);
    enum qs_status status = qs_file_read(scratch, path, FILE_MOST, &text, err);
    if (status == QS_GONE)
        status = QS_OK;
    if (status != QS_OK)
        return status;
    const char *from = text.len ? memmem(text.ptr, text.len, begin, sizeof begin - 1) : NULL;
    struct qs_span before = {text.ptr, from ? (size_t)(from - text.ptr) : text.len}, behind = {"", 0};
    const char *to = from ? memmem(from, text.len - before.len, end, sizeof end - 1) : NULL;
    if (from && !to)
        return qs_fail(err, QS_DATA, "%.200s: the line that ends the recipients is missing", path);
    if (to)
        behind = (struct qs_span){to + sizeof end - 1, text.len - (size_t)(to + sizeof end - 1 - text.ptr)};
    bool open = before.len && before.ptr[before.len - 1] != '\n';
    if (before.len > INT32_MAX / 2 || behind.len > INT32_MAX / 2)
        return qs_fail(err, QS_DATA, "%.200s: too large", path);
    *out = table ? talloc_asprintf(scratch, "%.*s%s%s%s%s%.*s", (int)before.len, before.len ? before.ptr : "", open ? "\n" : "", begin,
                                   table, end, (int)behind.len, behind.ptr) : NULL;
    return *out ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
}

/* What takes the place of a file has its owner and mode. */
static bool stay_owned(const char *older, const char *newer)
{
    struct stat st;
    if (stat(older, &st) != 0)
        return errno == ENOENT;
    return (geteuid() != 0 || chown(newer, st.st_uid, st.st_gid) == 0) && chmod(newer, st.st_mode & 07777) == 0;
}

enum qs_status qs_list_install(const struct qs_list *list, const char *path, const char *type, const char *config,
                               bool sendmail, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    enum qs_status status = QS_OK;
    if (list->hashed)
        status = qs_fail(err, QS_USAGE, "a hashed list cannot become a table: only `recipients check` can use it");
    if (status == QS_OK && !type)
        type = sendmail ? "hash" : default_type(scratch, config);
    if (status == QS_OK && (!is_word(type) || !(strcmp(type, "hash") == 0 || strcmp(type, "btree") == 0 ||
                                                strcmp(type, "lmdb") == 0 || strcmp(type, "cdb") == 0)))
        status = qs_fail(err, QS_USAGE, "%.60s is no type of table that can be made here: hash, btree, lmdb, cdb", type);
    if (status != QS_OK) {
        talloc_free(scratch);
        return status;
    }
    const char *end = suffix(type), *source = talloc_asprintf(scratch, "%s.qsurgeon", path);
    const char *made = talloc_asprintf(scratch, "%s.qsurgeon%s", path, end), *in_use = talloc_asprintf(scratch, "%s%s", path, end);
    char *text = NULL;
    if (!source || !made || !in_use)
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        status = with_others(scratch, list, path, sendmail, &text, err);
    if (status == QS_OK && unlink(made) != 0 && errno != ENOENT)        /* of an import that was interrupted */
        status = qs_fail_errno(err, errno, "%.200s", made);
    if (status == QS_OK)
        status = qs_file_replace(source, qs_span_of(text), 0644, err);
    if (status == QS_OK) {
        status = compile(scratch, list, source, made, type, config, sendmail, err);
        if (status == QS_OK && !(stay_owned(in_use, made) && stay_owned(path, source)))
            status = qs_fail_errno(err, errno, "%.200s", in_use);
        if (status == QS_OK && (rename(made, in_use) != 0 || rename(source, path) != 0))
            status = qs_fail_errno(err, errno, "%.200s", in_use);
        if (status != QS_OK) {
            unlink(made);
            unlink(source);
        }
    }
    talloc_free(scratch);
    return status;
}
