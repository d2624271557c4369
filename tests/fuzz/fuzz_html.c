/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the bytes: the visible text is no longer than the HTML, keeps whole UTF-8 characters whole, and
 * gives normalised words in UTF-8. */
#include <stdlib.h>
#include <string.h>

#include "qsurgeon/fingerprint.h"
#include "qsurgeon/mail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static bool is_utf8(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + len;
    while (p < end) {
        uint32_t c;
        unsigned n = qs_utf8_decode(p, end, &c);
        if (n == 0) {
            return false;
        }
        p += n;
    }
    return true;
}

static void count_link(void *data, struct qs_span url)
{
    size_t *bytes = data;
    for (size_t i = 0; i < url.len; i++) {
        *bytes += url.ptr[i] != '\0';       /* reads every byte, for the sanitizer */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qs_buffer text, words;
    char *html = malloc(size > 0 ? size : 1);
    if (html == NULL) {
        abort();
    }
    memcpy(html, data, size);
    qs_buffer_init(&text, NULL);
    qs_buffer_init(&words, NULL);
    size_t linked = 0;
    uint32_t hidden = 0;
    must(qs_html_text(&text, (struct qs_span){ html, size }, &hidden, count_link, &linked));
    must(text.len <= size && text.len <= QS_CAP_TEXT && hidden <= size);
    must(!is_utf8(html, size) || is_utf8(text.data, text.len));
    must(qs_normalise(&words, (struct qs_span){ text.data, text.len }));
    must(words.len <= 2 * text.len);
    must(is_utf8(words.data, words.len));
    free(html);
    talloc_free(text.data);
    talloc_free(words.data);
    return 0;
}
