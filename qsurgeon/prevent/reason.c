/* SPDX-License-Identifier: Apache-2.0 */
/* What a delivery result says of its recipient. */
#include <string.h>

#include "qsurgeon/recipients.h"

static bool has_nocase(struct qs_span text, const char *words)
{
    size_t len = strlen(words);
    for (size_t i = 0; i < text.len && text.len - i >= len; i++)
        if (qs_span_starts_nocase((struct qs_span){text.ptr + i, text.len - i}, words))
            return true;
    return false;
}

bool qs_reason_no_such_user(struct qs_span reason)
{
    static const char *const words[] = {"5.1.1", "user unknown", "unknown user", "no such user"};
    bool found = false;
    for (size_t i = 0; !found && i < sizeof words / sizeof *words; i++)
        found = has_nocase(reason, words[i]);
    return found;
}
