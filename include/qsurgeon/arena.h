/* SPDX-License-Identifier: Apache-2.0 */
/* A bump allocator for records that live as long as the scan: no per-record overhead, never moved, freed as a whole. */
#ifndef QSURGEON_ARENA_H
#define QSURGEON_ARENA_H

#include <stddef.h>
#include <talloc.h>

#include "qsurgeon/text.h"

struct qs_arena;

/* An arena belongs to `parent` and to one thread at a time. NULL: out of memory. */
struct qs_arena *qs_arena_new(TALLOC_CTX *parent);
/* size bytes, aligned to 8, zeroed; NULL when memory is out. Larger requests than a chunk get a chunk of their own. */
void *qs_arena_alloc(struct qs_arena *arena, size_t size);
/* The same, aligned to 4: for records of 32-bit numbers. */
void *qs_arena_alloc_words(struct qs_arena *arena, size_t size);
/* A NUL-terminated copy. */
char *qs_arena_strdup(struct qs_arena *arena, struct qs_span text);
/* Bytes taken from the system. */
size_t qs_arena_size(const struct qs_arena *arena);

#endif
