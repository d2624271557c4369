/* SPDX-License-Identifier: Apache-2.0 */
/* The registrable domain of a host name. */
#include "provider.h"

#include <libpsl.h>
#include <string.h>

bool qs_provider_of(struct qs_span name, char to[QS_PROVIDER_TEXT])
{
    char lower[QS_PROVIDER_TEXT];
    const psl_ctx_t *suffixes = psl_builtin();
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    if (!name.len || qs_span_is(name, "unknown") || *name.ptr == '[' || name.len >= sizeof lower || !suffixes)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char ch = name.ptr[i];
        lower[i] = ch >= 'A' && ch <= 'Z' ? (char)(ch + 32) : ch;
        if (!((lower[i] >= 'a' && lower[i] <= 'z') || (lower[i] >= '0' && lower[i] <= '9') ||
              (lower[i] && strchr("-._", lower[i]))))
            return false;
    }
    lower[name.len] = '\0';
    if (lower[name.len - 1] >= '0' && lower[name.len - 1] <= '9')       /* an address is no name */
        return false;
    const char *domain = psl_registrable_domain(suffixes, lower);
    if (!domain)
        return false;
    memcpy(to, domain, strlen(domain) + 1);
    return true;
}
