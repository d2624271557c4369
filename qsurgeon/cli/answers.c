/* SPDX-License-Identifier: Apache-2.0 */
/* The file of answers: see answers.h. It has what nobody else may have written, for a purge may rest on it. */
#include "answers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../prevent/replace.h"
#include "operating.h"
#include "qsurgeon/dns.h"

static bool is_directory(const char *path)
{
    struct stat st;
    return path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* DIR-dns with --state DIR; of root below /var/lib; of a user in the cache directory (XDG Base Directory Specification), if
 * there is one: an owner of queues has none, and gets none. NULL: nowhere. */
static char *directory(const struct qs_call *call)
{
    const char *state = call->options->state, *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    size_t len = state ? strlen(state) : 0;
    while (len > 1 && state[len - 1] == '/')
        len--;
    if (state)
        return talloc_asprintf(call->memory, "%.*s-dns", (int)len, state);
    if (geteuid() == 0)
        return talloc_strdup(call->memory, "/var/lib/qsurgeon/dns");
    if (!cache || *cache != '/')
        cache = home && *home == '/' ? talloc_asprintf(call->memory, "%s/.cache", home) : NULL;
    return is_directory(cache) ? talloc_asprintf(call->memory, "%s/qsurgeon", cache) : NULL;
}

struct qs_span qs_answers_read(const struct qs_call *call)
{
    struct qs_span text = {NULL, 0};
    struct stat st;
    char *where = directory(call), *path = where ? talloc_asprintf(where, "%s/answers", where) : NULL;
    bool ours = path && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022);
    if (!ours || qs_file_read(call->memory, path, QS_DNS_TEXT_MOST, &text, NULL) != QS_OK)
        text.len = 0;
    return text;
}

void qs_answers_keep(const struct qs_call *call, struct qs_span answers)
{
    char *where = directory(call), *path = where ? talloc_asprintf(where, "%s/answers", where) : NULL;
    if (path && answers.len && qs_operating_directory(where, geteuid(), getegid(), NULL) == QS_OK)
        (void)!qs_file_replace(path, answers, 0600, NULL);
}
