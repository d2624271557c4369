/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses a --recipient pattern means, among the recipients that selected messages wait for. */
#include <string.h>

#include "pattern.h"
#include "qsurgeon/select.h"
#include "qsurgeon/table.h"

static enum qs_status any_matches(struct qs_pattern *const *patterns, size_t count, struct qs_span text, bool *found,
                                  struct qs_error *err)
{
    enum qs_status status = QS_OK;
    *found = false;
    for (size_t i = 0; status == QS_OK && !*found && i < count; i++)
        status = qs_pattern_find(patterns[i], text, found, err);
    return status;
}

enum qs_status qs_select_recipients(TALLOC_CTX *parent, const struct qs_view *view, const struct qs_selection *selection,
                                    const uint8_t *selected, char ***out, size_t *count, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    const struct qs_scan *scan = view->scan;
    size_t n = selection->recipient_count, found = 0;
    struct qs_pattern **patterns = talloc_zero_array(scratch, struct qs_pattern *, (unsigned)(n + 1));
    struct qs_table *asked = qs_table_new(scratch, 1024);
    char **list = talloc_array(parent, char *, 0);
    enum qs_status status = patterns && asked && list ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
    for (size_t i = 0; status == QS_OK && i < n; i++)
        status = qs_pattern_new(scratch, selection->recipients[i], &patterns[i], err);
    for (uint32_t i = 0; status == QS_OK && i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        for (uint32_t r = 0; status == QS_OK && selected[i] && r < m->recipient_count; r++) {
            bool match = false;
            uint32_t *seen = qs_table_at(asked, m->recipients[r].address, 0);
            if (!seen)
                status = qs_fail(err, QS_NOMEM, "out of memory");
            if (!seen || *seen || m->recipients[r].state != QS_RCPT_TODO)
                continue;
            *seen = 1;
            struct qs_span address = qs_sym_span(scan->strings, m->recipients[r].address);
            status = any_matches(patterns, n, address, &match, err);
            if (!match)
                continue;
            char **grown = talloc_realloc(parent, list, char *, (unsigned)found + 1);
            char *copy = grown ? talloc_strndup(grown, address.ptr, address.len) : NULL;
            list = grown ? grown : list;
            if (!copy)
                status = qs_fail(err, QS_NOMEM, "out of memory");
            else
                list[found++] = copy;
        }
    }
    talloc_free(scratch);
    if (status == QS_OK) {
        *out = list;
        *count = found;
    } else {
        talloc_free(list);
    }
    return status;
}
