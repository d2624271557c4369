/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table from a 64-bit key to a 32-bit value: open addressing, grows by doubling, no removal. */
#ifndef QSURGEON_TABLE_H
#define QSURGEON_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

struct qs_table;

/* Belongs to `parent`; `expected` keys fit without growing. NULL when memory is out. */
struct qs_table *qs_table_new(TALLOC_CTX *parent, uint32_t expected);
/* The value's place for `key`, made with the value `fresh` where it was missing; NULL when memory is out.
 * Valid until the next qs_table_at(). */
uint32_t *qs_table_at(struct qs_table *table, uint64_t key, uint32_t fresh);
/* The value of `key`, or `missing`. */
uint32_t qs_table_get(const struct qs_table *table, uint64_t key, uint32_t missing);
uint32_t qs_table_count(const struct qs_table *table);
/* Walks all entries in no order: start with *at = 0; false at the end. */
bool qs_table_next(const struct qs_table *table, uint32_t *at, uint64_t *key, uint32_t *value);

/* The well-mixed 64-bit value of x, for combining hashes (the finaliser of SplitMix64, Steele et al. 2014). */
uint64_t qs_mix64(uint64_t x);

#endif
