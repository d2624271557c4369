/* SPDX-License-Identifier: Apache-2.0 */
/* recipients: a primary tells its backups which recipients exist. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../prevent/replace.h"
#include "known.h"
#include "operating.h"
#include "qsurgeon/format.h"

static const double shrink = 10;

/* --- keys ---------------------------------------------------------------------------------------------- */

static enum qs_status read_key(struct qs_call *call, const char *path, unsigned char *key, size_t size, struct qs_error *err)
{
    struct qs_span text;
    struct qs_error why = {""};
    enum qs_status status = qs_file_read(call->memory, path, 4096, &text, err);
    if (status == QS_OK && qs_key_read(text, key, size, &why) != QS_OK)
        status = qs_fail(err, QS_DATA, "%.200s: %s", path, why.text);
    return status;
}

/* A new file that must not be there yet. */
static enum qs_status write_new(const char *path, const char *text, unsigned mode, struct qs_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return errno == EEXIST ? qs_fail(err, QS_USAGE, "%.200s: there is such a file", path)
                               : qs_fail_errno(err, errno, "%.200s", path);
    bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
    int number = errno;
    ok = close(fd) == 0 && ok;
    if (ok)
        return QS_OK;
    unlink(path);
    return qs_fail_errno(err, number, "%.200s", path);
}

static enum qs_status run_keygen(struct qs_call *call, const char *path, struct qs_error *err)
{
    unsigned char public_key[QS_PUBLIC_KEY], secret[QS_SECRET_KEY];
    const char *beside = path ? talloc_asprintf(call->memory, "%s.pub", path) : NULL;
    if (!path)
        return qs_fail(err, QS_USAGE, "recipients keygen needs FILE; the public key goes to FILE.pub");
    enum qs_status status = qs_keys_new(public_key, secret, err);
    char *open_text = qs_key_text(call->memory, public_key, sizeof public_key);
    char *secret_text = qs_key_text(call->memory, secret, sizeof secret);
    if (status == QS_OK && (!beside || !open_text || !secret_text))
        status = qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        status = write_new(path, secret_text, 0600, err);
    if (status == QS_OK) {
        status = write_new(beside, open_text, 0644, err);
        if (status != QS_OK)
            unlink(path);
    }
    if (status == QS_OK)
        fprintf(call->out, "%s signs; give %s to the hosts that import\n", path, beside);
    return status;
}

/* --- export -------------------------------------------------------------------------------------------- */

/* Fills the list from the one mail server that is found here. */
static enum qs_status collect(struct qs_call *call, struct qs_list *list, char ***notes, size_t *count, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    const struct qs_place place = {o->queue_dir, o->config};
    struct qs_instance **found = NULL;
    struct qs_site *site = qs_site_new(call->memory);
    size_t instances = 0;
    enum qs_status status = site ? qs_format_discover(call->memory, o->mta, &place, &found, &instances, err)
                                 : qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK && instances != 1)
        status = qs_fail(err, QS_USAGE, "several mail servers are found here: choose one with --mta, --config and --queue");
    if (status == QS_OK)
        status = found[0]->format->site(found[0], site, err);
    if (status != QS_OK)
        return status;
    if (site->hostname && !(list->host = talloc_strdup(list, site->hostname)))
        return qs_fail(err, QS_NOMEM, "out of memory");
    return strcmp(found[0]->format->name, "postfix") == 0
        ? qs_collect_postfix(list, found[0]->config, notes, count, err)
        : qs_collect_sendmail(list, found[0]->config, site, notes, count, err);
}

/* A serial number after the one of the list that is replaced. */
static enum qs_status next_serial(struct qs_call *call, const char *path, struct qs_list *list, struct qs_error *err)
{
    struct qs_span text;
    struct qs_list *older = NULL;
    if (!path || access(path, F_OK) != 0)
        return QS_OK;
    enum qs_status status = qs_file_read(call->memory, path, QS_LIST_FILE_MOST, &text, err);
    if (status == QS_OK && qs_list_read(call->memory, text, NULL, &older, NULL) != QS_OK)
        status = qs_fail(err, QS_USAGE, "%.200s: there is such a file, and it is no list of recipients", path);
    if (status == QS_OK && !qs_serial_newer(list->serial, older->serial))
        list->serial = older->serial + 1;
    return status;
}

static enum qs_status run_export(struct qs_call *call, const char *argument, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    unsigned char secret[QS_SECRET_KEY], salt[QS_LIST_SALT];
    char **notes = NULL, *host = qs_operating_host(call->memory);
    size_t count = 0;
    struct qs_list *list = host ? qs_list_new(call->memory, host, time(NULL)) : NULL;
    if (argument || !o->key)
        return qs_fail(err, QS_USAGE, "recipients export needs --key FILE, and writes to standard output or --output FILE");
    enum qs_status status = list ? read_key(call, o->key, secret, sizeof secret, err) : qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK)
        status = next_serial(call, o->output, list, err);
    if (status == QS_OK)
        status = collect(call, list, &notes, &count, err);
    if (status == QS_OK && o->hashed)
        status = qs_salt_new(salt, err);
    if (status == QS_OK)
        status = qs_list_finish(list, o->hashed ? salt : NULL, err);
    if (status != QS_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        qs_complain("%s", notes[i]);
    char *text = qs_list_text(call->memory, list, secret);
    if (!text)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (!o->output) {
        fputs(text, call->out);
        return QS_OK;
    }
    status = qs_file_replace(o->output, qs_span_of(text), 0600, err);
    if (status == QS_OK)
        fprintf(call->out, "%zu recipients of %zu domains, serial %" PRIu32 "\n", list->addresses, list->domains, list->serial);
    return status;
}

/* --- import -------------------------------------------------------------------------------------------- */

/* Lets `list` follow the one in use, if there is one: QS_SKIP when it is the same. */
static enum qs_status follows(struct qs_call *call, const char *kept, const struct qs_list *list, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    struct qs_span text;
    struct qs_list *in_use = NULL;
    struct qs_error why = {""};
    if (access(kept, F_OK) != 0)
        return QS_OK;
    enum qs_status status = qs_file_read(call->memory, kept, QS_LIST_FILE_MOST, &text, err);
    if (status != QS_OK)
        return status;
    if (qs_list_read(call->memory, text, NULL, &in_use, &why) != QS_OK)
        return qs_fail(err, QS_DATA, "%.200s, the list in use: %s; remove it to begin anew", kept, why.text);
    return qs_list_follows(list, in_use->serial, in_use->addresses, o->max_shrink < 0 ? shrink : o->max_shrink, err);
}

static bool is_sendmail(const struct qs_options *o)
{
    return o->mta && strcmp(o->mta, "sendmail") == 0;
}

static enum qs_status run_import(struct qs_call *call, const char *path, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    unsigned char key[QS_PUBLIC_KEY];
    struct qs_list *list = NULL;
    struct qs_span text = {NULL, 0};
    struct qs_error why = {""};
    char *directory = qs_known_path(call, ""), *kept = qs_known_path(call, "list");
    if (!path || !o->public_key)
        return qs_fail(err, QS_USAGE, "recipients import needs LIST and --public-key FILE");
    if (!directory || !kept)
        return qs_fail(err, QS_NOMEM, "out of memory");
    directory[strlen(directory) - 1] = '\0';
    enum qs_status status = read_key(call, o->public_key, key, sizeof key, err);
    if (status == QS_OK)
        status = qs_file_read(call->memory, path, QS_LIST_FILE_MOST, &text, err);
    if (status != QS_OK)
        return status;
    status = qs_list_read(call->memory, text, key, &list, &why);
    if (status != QS_OK)
        return qs_fail(err, status, "%.200s: %s; nothing was changed", path, why.text);
    status = follows(call, kept, list, &why);
    if (status == QS_SKIP) {
        fprintf(call->out, "serial %" PRIu32 " is in use already\n", list->serial);
        return QS_OK;
    }
    if (status != QS_OK)
        return qs_fail(err, status, "%.200s: %s; nothing was changed", path, why.text);
    if (!o->output && !list->hashed)
        return qs_fail(err, QS_USAGE, "recipients import needs --output TABLE, such as /etc/postfix/relay_recipients");
    if (list->hashed && o->output)
        return qs_fail(err, QS_USAGE, "a hashed list cannot become a table: leave --output away, and only `recipients check` and "
                       "`drop-recipients --unknown` use it");
    status = qs_operating_directory(directory, geteuid(), getegid(), err);
    if (status == QS_OK && o->output)
        status = qs_list_install(list, o->output, o->format, o->config, is_sendmail(o), err);
    if (status == QS_OK)
        status = qs_file_replace(kept, text, 0600, err);
    if (status == QS_OK)
        fprintf(call->out, "%zu recipients of %zu domains, serial %" PRIu32 " of %s\n", list->addresses, list->domains,
                list->serial, list->host);
    return status;
}

/* --- check --------------------------------------------------------------------------------------------- */

static enum qs_status run_check(struct qs_call *call, const char *argument, struct qs_error *err)
{
    struct qs_session *session = NULL;
    struct qs_list *list = NULL;
    struct qs_recipient_marks marks;
    if (argument)
        return qs_fail(err, QS_USAGE, "recipients check takes the list by --list");
    enum qs_status status = qs_known_list(call, false, &list, err);
    if (status == QS_OK)
        status = qs_session_open(call, false, NULL, NULL, &session, err);
    if (status == QS_OK)
        status = qs_recipients_mark(call->memory, &session->view, session->selected, list, &marks, err);
    if (status != QS_OK)
        return status;
    return call->options->json ? qs_report_recipients_json(call->out, &session->view, session->selected, list, err)
                               : qs_report_recipients_text(call->out, &session->view, list, &marks, &call->style, err);
}

static enum qs_status run(struct qs_call *call, struct qs_error *err)
{
    static const struct {
        const char *word;
        enum qs_status (*run)(struct qs_call *call, const char *argument, struct qs_error *err);
    } words[] = {{"export", run_export}, {"import", run_import}, {"check", run_check}, {"keygen", run_keygen}};
    const struct qs_options *o = call->options;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(o->arguments[0], words[i].word) == 0)
            return words[i].run(call, o->argument_count > 1 ? o->arguments[1] : NULL, err);
    return qs_fail(err, QS_USAGE, "recipients %.60s: export, import, check or keygen", o->arguments[0]);
}

const struct qs_command qs_cmd_recipients = {
    .name = "recipients",
    .summary = "tell a backup which recipients exist, and find those that do not",
    .arguments = "WORD [FILE]",
    .least = 1,
    .most = 2,
    .selects = true,
    .options = QS_OPTION(QS_OPT_KEY) | QS_OPTION(QS_OPT_PUBLIC_KEY) | QS_OPTION(QS_OPT_HASHED) | QS_OPTION(QS_OPT_MAX_SHRINK) |
               QS_OPTION(QS_OPT_LIST) | QS_OPTION(QS_OPT_OUTPUT) | QS_OPTION(QS_OPT_FORMAT) | QS_OPTION(QS_OPT_JSON) |
               QS_OPTION(QS_OPT_TOP),
    .description = "keygen FILE makes a pair of keys, FILE and FILE.pub. export writes the recipients of this mail server as a\n"
                   "signed list; import LIST checks one and makes a table of it at once; check compares the queue with it.\n",
    .run = run,
};
