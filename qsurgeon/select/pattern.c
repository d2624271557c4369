/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns by PCRE2 with every limit set. Knows nothing of messages.
 *
 * The text comes from the attacker, the pattern from the administrator, who must not be able to stall the
 * program by a careless one: PCRE2 counts the steps of each starting place and gives up at MATCH_LIMIT.
 * Texts are at most QS_INTERN_MAX bytes, so that one text costs at most a thousand times that. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "pattern.h"

#include <pcre2.h>

enum {
    MATCH_LIMIT = 20000,            /* steps from one starting place */
    DEPTH_LIMIT = 5000,             /* nested backtracking */
    HEAP_LIMIT = 4096,              /* KiB */
    PATTERN_MAX = 10000,            /* bytes */
    JIT_STACK_MIN = 32 * 1024, JIT_STACK_MAX = 512 * 1024,
};

struct qs_pattern {
    const char *text;
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack;
};

static int free_pattern(struct qs_pattern *pattern)
{
    pcre2_match_context_free(pattern->limits);      /* all four take NULL */
    pcre2_jit_stack_free(pattern->stack);
    pcre2_match_data_free(pattern->data);
    pcre2_code_free(pattern->code);
    return 0;
}

enum { FOR_TEXT = PCRE2_CASELESS | PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C };
enum { FOR_BYTES = PCRE2_CASELESS | PCRE2_DOTALL | PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C };

static pcre2_code *compile(const char *text, uint32_t options, int *number, PCRE2_SIZE *place)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL)
        return NULL;
    (void)pcre2_set_max_pattern_length(context, PATTERN_MAX);
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, number, place, context);
    pcre2_compile_context_free(context);
    return code;
}

static enum qs_status make(TALLOC_CTX *parent, const char *text, uint32_t options, struct qs_pattern **out,
                           struct qs_error *err)
{
    int number = PCRE2_ERROR_NOMEMORY;
    PCRE2_SIZE place = 0;
    if (text[0] == '\0')
        return qs_fail(err, QS_USAGE, "an empty pattern would match everything");
    struct qs_pattern *pattern = talloc_zero(parent, struct qs_pattern);
    if (pattern == NULL)
        return qs_fail(err, QS_NOMEM, "out of memory");
    talloc_set_destructor(pattern, free_pattern);
    pattern->text = talloc_strdup(pattern, text);
    pattern->code = compile(text, options, &number, &place);
    if (pattern->code == NULL && number != PCRE2_ERROR_NOMEMORY) {
        PCRE2_UCHAR words[160] = {0};
        (void)pcre2_get_error_message(number, words, sizeof words);
        talloc_free(pattern);
        return qs_fail(err, QS_USAGE, "pattern '%.200s': %s (at character %zu)", text, (const char *)words,
                       place + 1);
    }
    pattern->limits = pcre2_match_context_create(NULL);
    pattern->data = pcre2_match_data_create(1, NULL);
    if (pattern->text == NULL || pattern->code == NULL || pattern->limits == NULL || pattern->data == NULL) {
        talloc_free(pattern);
        return qs_fail(err, QS_NOMEM, "out of memory");
    }
    (void)pcre2_set_match_limit(pattern->limits, MATCH_LIMIT);
    (void)pcre2_set_depth_limit(pattern->limits, DEPTH_LIMIT);
    (void)pcre2_set_heap_limit(pattern->limits, HEAP_LIMIT);
    if (pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE) == 0) {    /* else the interpreter does it */
        pattern->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
        if (pattern->stack != NULL)
            pcre2_jit_stack_assign(pattern->limits, NULL, pattern->stack);
    }
    *out = pattern;
    return QS_OK;
}

enum qs_status qs_pattern_new(TALLOC_CTX *parent, const char *text, struct qs_pattern **out,
                              struct qs_error *err)
{
    return make(parent, text, FOR_TEXT, out, err);
}

enum qs_status qs_pattern_new_raw(TALLOC_CTX *parent, const char *text, struct qs_pattern **out,
                                  struct qs_error *err)
{
    return make(parent, text, FOR_BYTES, out, err);
}

enum qs_status qs_pattern_find(const struct qs_pattern *pattern, struct qs_span text, bool *found,
                               struct qs_error *err)
{
    PCRE2_SPTR subject = (PCRE2_SPTR)(text.len > 0 ? text.ptr : "");
    int result = pcre2_match(pattern->code, subject, text.len, 0, 0, pattern->data, pattern->limits);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT)
        result =
            pcre2_match(pattern->code, subject, text.len, 0, PCRE2_NO_JIT, pattern->data, pattern->limits);
    if (result >= 0 || result == PCRE2_ERROR_NOMATCH) {
        *found = result >= 0;
        return QS_OK;
    }
    if (result == PCRE2_ERROR_NOMEMORY)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (result == PCRE2_ERROR_MATCHLIMIT || result == PCRE2_ERROR_DEPTHLIMIT ||
        result == PCRE2_ERROR_HEAPLIMIT)
        return qs_fail(err, QS_USAGE,
                       "pattern '%.200s' takes too many steps on a text of %zu bytes: make it simpler",
                       pattern->text, text.len);
    PCRE2_UCHAR words[160] = {0};
    (void)pcre2_get_error_message(result, words, sizeof words);
    return qs_fail(err, QS_USAGE, "pattern '%.200s': %s", pattern->text, (const char *)words);
}
