/* SPDX-License-Identifier: Apache-2.0 */
/* Files of others: lines of mail logs, signed lists of recipients, block files. Whatever is taken lies within the input; a block
 * file that is taken is written again as it was. */
#include <stdlib.h>
#include <string.h>

#include "qsurgeon/block.h"
#include "qsurgeon/maillog.h"
#include "qsurgeon/reciplist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool inside(struct qs_span part, struct qs_span whole)
{
    return !part.len || (part.ptr >= whole.ptr && part.len <= whole.len && (size_t)(part.ptr - whole.ptr) <= whole.len - part.len);
}

static void one_line(struct qs_span line)
{
    static const struct qs_log_clock clock = {.now = 1795331622, .offset = -3600};
    struct qs_log_event e;
    int64_t when = 0;
    if (qs_log_time(line, &clock, &when))
        must(when >= -86400 && when <= INT64_C(253402387200));
    if (qs_log_line(line, &e) == QS_OK)
        must(inside(e.id, line) && inside(e.other, line) && inside(e.address, line) && inside(e.name, line) &&
             inside(e.recipient, line));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    TALLOC_CTX *root = talloc_new(NULL);
    struct qs_span text = {(const char *)data, size}, rest = text;
    struct qs_list *list = NULL;
    struct qs_block *block = NULL;
    while (rest.len) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        struct qs_span line = {rest.ptr, end ? (size_t)(end - rest.ptr) : rest.len};
        one_line(line);
        rest.ptr += line.len + (end != NULL);
        rest.len -= line.len + (end != NULL);
    }
    if (qs_list_read(root, text, NULL, &list, NULL) == QS_OK)
        must(qs_list_has(list, list->hashed ? QS_SPAN("a@b") : qs_span_of(list->address[0])) != QS_LIST_UNKNOWN || list->hashed);
    if (qs_block_read(root, text, &block, NULL) == QS_OK) {
        char *again = qs_block_text(root, block);
        must(again && qs_span_is(text, again));
    }
    talloc_free(root);
    return 0;
}
