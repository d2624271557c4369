/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the bytes: escaped text is valid, safe and fits; numbers that are taken are the numbers that
 * stand there. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qsurgeon/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void escaping(struct qs_span in, size_t size)
{
    char *to = malloc(size), *again = malloc(size);
    if (to == NULL || again == NULL)
        abort();
    size_t len = qs_text_safe(to, size, in);
    struct qs_span safe = {to, len};
    const unsigned char *p = (const unsigned char *)to, *end = p + len;
    must(len < size && to[len] == '\0' && strlen(to) == len);
    while (p < end) {
        uint32_t c = 0;
        char back[4];
        unsigned n = qs_utf8_decode(p, end, &c);
        must(n > 0 && !qs_char_unsafe(c));
        must(qs_utf8_encode(c, back) == n && memcmp(back, p, n) == 0);
        p += n;
    }
    must(qs_text_safe(again, size, safe) == len && memcmp(to, again, len) == 0);    /* safe text stays as it is */
    size_t columns = qs_text_columns(safe);
    must(qs_text_fit(safe, columns) == len);
    for (size_t most = 0; most < columns && most < 100; most++) {
        size_t fit = qs_text_fit(safe, most);
        must(fit < len && qs_text_columns((struct qs_span){to, fit}) <= most);
    }
    free(to);
    free(again);
}

static void numbers(struct qs_span in)
{
    char text[32];
    uint64_t n;
    int64_t i;
    double d;
    struct qs_span digits = in;
    bool negative = qs_span_starts(digits, "-");
    if (negative)
        digits = (struct qs_span){in.ptr + 1, in.len - 1};
    while (digits.len > 1 && *digits.ptr == '0')
        digits = (struct qs_span){digits.ptr + 1, digits.len - 1};
    if (qs_parse_u64(in, &n)) {
        (void)snprintf(text, sizeof text, "%" PRIu64, n);
        must(!negative && qs_span_is(digits, text));
    }
    if (qs_parse_i64(in, &i)) {
        (void)snprintf(text, sizeof text, "%" PRIu64, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
        must(qs_span_is(digits, text) && (negative || i >= 0));
    }
    if (qs_parse_u64_base(in, 16, &n)) {
        (void)snprintf(text, sizeof text, "%" PRIx64, n);
        must(qs_span_is_nocase(digits, text));
    }
    if (qs_parse_double(in, &d))
        must(negative ? d <= 0 : d >= 0);
    if (qs_parse_duration(in, &i))
        must(i >= 0);
    if (qs_parse_size(in, &n) && in.len > 0)
        must(in.ptr[in.len - 1] <= '9' || (n & 1023) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qs_span in = {(const char *)data, size};
    struct qs_span trimmed = qs_span_trim(in);
    must(trimmed.len <= size && qs_span_trim(trimmed).len == trimmed.len);
    numbers(in);
    escaping(in, 1);
    escaping(in, 20);
    escaping(in, size / 2 + 1);
    escaping(in, size * 10 + 1);
    return 0;
}
