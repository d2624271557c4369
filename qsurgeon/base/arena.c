/* SPDX-License-Identifier: Apache-2.0 */
/* The bump allocator: a talloc child a chunk, no header a record, no way to free one. */
#include "qsurgeon/arena.h"

#include <stdint.h>
#include <string.h>

enum { CHUNK = 128 * 1024, OWN_CHUNK = CHUNK / 8 };

struct qs_arena {
    char *at;           /* free bytes of the current chunk: [at, at + left) */
    size_t left;
    size_t total;
};

struct qs_arena *qs_arena_new(TALLOC_CTX *parent)
{
    return talloc_zero(parent, struct qs_arena);
}

/* Bytes that are not zeroed. Only the current chunk is bumped; a large request leaves it as it is. */
static char *take(struct qs_arena *arena, size_t size, size_t align)
{
    size_t pad = (0 - (uintptr_t)arena->at) & (align - 1);
    if (arena->left < pad || arena->left - pad < size) {
        size_t chunk = size > OWN_CHUNK ? size : CHUNK;
        char *fresh = talloc_size(arena, chunk);
        if (fresh == NULL)
            return NULL;
        arena->total += chunk;
        if (size > OWN_CHUNK)
            return fresh;
        arena->at = fresh;
        arena->left = chunk;
        pad = 0;
    }
    char *taken = arena->at + pad;
    arena->at = taken + size;
    arena->left -= pad + size;
    return taken;
}

static void *take_zeroed(struct qs_arena *arena, size_t size, size_t align)
{
    char *taken = take(arena, size > 0 ? size : 1, align);
    if (taken != NULL)
        memset(taken, 0, size);
    return taken;
}

void *qs_arena_alloc(struct qs_arena *arena, size_t size)
{
    return take_zeroed(arena, size, 8);
}

void *qs_arena_alloc_words(struct qs_arena *arena, size_t size)
{
    return take_zeroed(arena, size, 4);
}

char *qs_arena_strdup(struct qs_arena *arena, struct qs_span text)
{
    char *taken = text.len < SIZE_MAX ? take(arena, text.len + 1, 1) : NULL;
    if (taken == NULL)
        return NULL;
    if (text.len > 0)
        memcpy(taken, text.ptr, text.len);
    taken[text.len] = '\0';
    return taken;
}

size_t qs_arena_size(const struct qs_arena *arena)
{
    return arena->total;
}
