/* SPDX-License-Identifier: Apache-2.0 */
/* The list of recipients that this host knows: see known.h. */
#include "known.h"

#include <string.h>
#include <unistd.h>

#include "../prevent/replace.h"

char *qs_known_path(const struct qs_call *call, const char *name)
{
    const char *state = call->options->state;
    size_t len = state ? strlen(state) : 0;
    while (len > 1 && state[len - 1] == '/')
        len--;
    return state ? talloc_asprintf(call->memory, "%.*s-recipients/%s", (int)len, state, name)
                 : talloc_asprintf(call->memory, "/var/lib/qsurgeon/recipients/%s", name);
}

enum qs_status qs_known_list(struct qs_call *call, bool strict, struct qs_list **out, struct qs_error *err)
{
    const struct qs_options *o = call->options;
    unsigned char key[QS_PUBLIC_KEY];
    const char *path = o->list ? o->list : qs_known_path(call, "list");
    struct qs_span text;
    struct qs_error why = {""};
    enum qs_status status = path ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
    if (status == QS_OK && !o->list && access(path, F_OK) != 0)
        return qs_fail(err, QS_USAGE, "no list was imported here (%.200s): import one, or name one with --list", path);
    if (o->list && strict && !o->public_key)
        return qs_fail(err, QS_USAGE, "--list needs --public-key: nothing is taken away on an unsigned word");
    if (status == QS_OK && o->public_key) {
        status = qs_file_read(call->memory, o->public_key, 4096, &text, err);
        if (status == QS_OK)
            status = qs_key_read(text, key, sizeof key, &why) == QS_OK
                ? QS_OK : qs_fail(err, QS_DATA, "%.200s: %s", o->public_key, why.text);
    }
    if (status == QS_OK)
        status = qs_file_read(call->memory, path, QS_LIST_FILE_MOST, &text, err);
    if (status != QS_OK)
        return status;
    if (o->list && !o->public_key)
        qs_complain("%s: the signature was not checked, for that takes --public-key", path);
    status = qs_list_read(call->memory, text, o->public_key ? key : NULL, out, &why);
    return status == QS_OK ? QS_OK : qs_fail(err, status, "%.200s: %s", path, why.text);
}

enum qs_status qs_known_narrow(struct qs_call *call, const struct qs_session *session, uint8_t *marks, struct qs_error *err)
{
    struct qs_list *list = NULL;
    struct qs_recipient_marks found;
    if (call->options->selection->recipient_count > 0)
        return qs_fail(err, QS_USAGE, "either --recipient or --unknown says which recipients are taken off");
    enum qs_status status = qs_known_list(call, true, &list, err);
    if (status == QS_OK)
        status = qs_recipients_mark(call->memory, &session->view, marks, list, &found, err);
    if (status != QS_OK)
        return status;
    if (!found.unknown_count)
        return qs_fail(err, QS_USAGE, "nothing to do: no recipient that still waits is unknown");
    memcpy(marks, found.message, session->view.scan->count);
    call->drop = found.unknown;
    call->drop_count = found.unknown_count;
    return QS_OK;
}
