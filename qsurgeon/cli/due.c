/* SPDX-License-Identifier: Apache-2.0 */
#include "due.h"

#include <string.h>
#include <time.h>

static const char begin[] = "qsurgeon: deferred until ";

char *qs_due_words(TALLOC_CTX *parent, int64_t until, const char *why)
{
    time_t at = (time_t)until;
    struct tm tm = {0};
    char when[40] = "";
    if (gmtime_r(&at, &tm))
        (void)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &tm);
    return talloc_asprintf(parent, "%s%s (%lld)%s%s", begin, when, (long long)until, why ? ": " : "", why ? why : "");
}

bool qs_due_read(struct qs_span words, int64_t *until)
{
    if (!qs_span_starts(words, begin))
        return false;
    const char *open = memchr(words.ptr, '(', words.len), *end = words.ptr + words.len;
    const char *close = open ? memchr(open, ')', (size_t)(end - open)) : NULL;
    return close && qs_parse_i64((struct qs_span){open + 1, (size_t)(close - open - 1)}, until);
}
