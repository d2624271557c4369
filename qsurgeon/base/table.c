/* SPDX-License-Identifier: Apache-2.0 */
/* The hash table. Its two arrays come from malloc with a talloc destructor, for talloc gives no block of
 * 256 MiB. */
#include "qsurgeon/table.h"

#include <stdlib.h>
#include <string.h>

/* A slot is free while its mark is clear: any key and any value may be stored. */
struct qs_table {
    uint64_t *keys;
    uint32_t *values;
    uint64_t *marks;            /* a bit a slot */
    uint64_t seed;
    uint32_t mask;              /* slots - 1 */
    uint32_t count;
};

enum { LEAST_SLOTS = 64 };      /* whole words of marks */

uint64_t qs_mix64(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

static bool is_taken(const struct qs_table *table, uint32_t slot)
{
    return table->marks[slot / 64] >> slot % 64 & 1;
}

/* The slot that holds the key, or the free one where it belongs. */
static uint32_t find(const struct qs_table *table, uint64_t key)
{
    uint32_t slot = (uint32_t)qs_mix64(key ^ table->seed) & table->mask;
    while (is_taken(table, slot) && table->keys[slot] != key)
        slot = (slot + 1) & table->mask;
    return slot;
}

static void put(struct qs_table *table, uint32_t slot, uint64_t key, uint32_t value)
{
    table->marks[slot / 64] |= UINT64_C(1) << slot % 64;
    table->keys[slot] = key;
    table->values[slot] = value;
    table->count++;
}

static int table_destroy(struct qs_table *table)
{
    free(table->keys);
    free(table->values);
    free(table->marks);
    return 0;
}

static bool allocate(struct qs_table *table, size_t slots)
{
    table->keys = malloc(slots * sizeof *table->keys);
    table->values = malloc(slots * sizeof *table->values);
    table->marks = calloc(slots / 64, sizeof *table->marks);
    table->mask = (uint32_t)(slots - 1);
    table->count = 0;
    if (table->keys != NULL && table->values != NULL && table->marks != NULL)
        return true;
    table_destroy(table);
    return false;
}

/* At most three quarters of the slots are taken. */
static bool is_full(const struct qs_table *table)
{
    return table->count >= table->mask - table->mask / 4;
}

struct qs_table *qs_table_new(TALLOC_CTX *parent, uint32_t expected)
{
    size_t slots = LEAST_SLOTS;
    struct qs_table *table = talloc_zero(parent, struct qs_table);
    if (table == NULL)
        return NULL;
    while (slots / 4 * 3 <= expected && slots <= UINT32_MAX / 2)
        slots *= 2;
    /* Who makes up the keys must not know which of them share a slot: the address differs from run to run. */
    table->seed = qs_mix64((uintptr_t)table);
    if (!allocate(table, slots)) {
        talloc_free(table);
        return NULL;
    }
    talloc_set_destructor(table, table_destroy);
    return table;
}

static bool grow(struct qs_table *table)
{
    struct qs_table larger = *table;
    if (table->mask >= UINT32_MAX / 2 || !allocate(&larger, ((size_t)table->mask + 1) * 2))
        return false;
    for (uint32_t slot = 0; slot <= table->mask; slot++)
        if (is_taken(table, slot))
            put(&larger, find(&larger, table->keys[slot]), table->keys[slot], table->values[slot]);
    table_destroy(table);
    *table = larger;
    return true;
}

uint32_t *qs_table_at(struct qs_table *table, uint64_t key, uint32_t fresh)
{
    uint32_t slot = find(table, key);
    if (!is_taken(table, slot)) {
        if (is_full(table)) {
            if (!grow(table))
                return NULL;
            slot = find(table, key);
        }
        put(table, slot, key, fresh);
    }
    return &table->values[slot];
}

uint32_t qs_table_get(const struct qs_table *table, uint64_t key, uint32_t missing)
{
    uint32_t slot = find(table, key);
    return is_taken(table, slot) ? table->values[slot] : missing;
}

uint32_t qs_table_count(const struct qs_table *table)
{
    return table->count;
}

bool qs_table_next(const struct qs_table *table, uint32_t *at, uint64_t *key, uint32_t *value)
{
    for (uint32_t slot = *at; slot <= table->mask; slot++) {
        if (is_taken(table, slot)) {
            *key = table->keys[slot];
            *value = table->values[slot];
            *at = slot + 1;
            return true;
        }
    }
    *at = table->mask + 1;
    return false;
}
