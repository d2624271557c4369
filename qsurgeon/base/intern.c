/* SPDX-License-Identifier: Apache-2.0 */
/* The string table in 64 shards, each with a lock, so that scan threads seldom meet. Memory comes from
 * malloc, not from talloc, which must not be shared between threads; a talloc destructor gives it back.
 *
 * A string costs its bytes, a NUL, four bytes of place and five to eight bytes of slot. A slot holds the
 * string's number in its shard and six bits of its hash, which spare most comparisons with other strings. */
#include "qsurgeon/intern.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    SHARD_BITS = 6,
    SHARDS = 1 << SHARD_BITS,
    TAG_BITS = 6,
    CHUNK_BITS = 14,                /* a chunk holds 16 KiB of strings; no string crosses its end */
    CHUNK = 1 << CHUNK_BITS,
    FIRST_SLOTS = 64,
};
static const uint32_t most_strings = UINT32_MAX >> SHARD_BITS;     /* of a shard; the tag is as short */

_Static_assert((int)QS_INTERN_MAX < (int)CHUNK, "a string must fit into a chunk");
_Static_assert(TAG_BITS <= SHARD_BITS, "number and tag share a slot of 32 bits");

struct shard {
    pthread_mutex_t lock;
    uint32_t *slots;                /* 0: free; else number << TAG_BITS | tag */
    uint32_t *places;               /* [number]: chunk << CHUNK_BITS | offset; number 0 is not used */
    char **chunks;
    uint32_t slot_count, place_count, chunk_count;
    uint32_t count;                 /* numbers given, 0 included once there is one */
    uint32_t used;                  /* bytes of the last chunk */
    size_t bytes;                   /* from malloc */
} __attribute__((aligned(64)));     /* no cache line of two locks */

struct qs_intern {
    struct shard *shards;
    uint64_t seed;
    atomic_bool failed;
};

static int intern_destroy(struct qs_intern *in)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &in->shards[i];
        for (size_t c = 0; c < shard->chunk_count; c++)
            free(shard->chunks[c]);
        free(shard->chunks);
        free(shard->places);
        free(shard->slots);
        pthread_mutex_destroy(&shard->lock);
    }
    free(in->shards);
    return 0;
}

struct qs_intern *qs_intern_new(TALLOC_CTX *parent)
{
    struct qs_intern *in = talloc_zero(parent, struct qs_intern);
    if (in == NULL)
        return NULL;
    in->shards = aligned_alloc(_Alignof(struct shard), SHARDS * sizeof *in->shards);
    if (in->shards == NULL) {
        talloc_free(in);
        return NULL;
    }
    memset(in->shards, 0, SHARDS * sizeof *in->shards);
    /* Who sends the strings must not know which of them share a slot: the address differs from run to run. */
    in->seed = (uintptr_t)in->shards;
    atomic_init(&in->failed, false);
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_init(&in->shards[i].lock, NULL);      /* cannot fail for a default mutex */
    talloc_set_destructor(in, intern_destroy);
    return in;
}

static char *place_of(const struct shard *shard, uint32_t number)
{
    uint32_t place = shard->places[number];
    return shard->chunks[place >> CHUNK_BITS] + (place & (CHUNK - 1));
}

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32) & ((1u << TAG_BITS) - 1);
}

static uint32_t first_slot(const struct shard *shard, uint64_t hash)
{
    return (uint32_t)((hash & UINT32_MAX) * shard->slot_count >> 32);
}

static uint32_t next_slot(const struct shard *shard, uint32_t slot)
{
    return slot + 1 < shard->slot_count ? slot + 1 : 0;
}

static uint64_t hash_of(const struct qs_intern *in, const char *text, size_t len)
{
    return XXH3_64bits_withSeed(text, len, in->seed);
}

static bool grow_slots(const struct qs_intern *in, struct shard *shard)
{
    struct shard larger = *shard;
    larger.slot_count = shard->slot_count == 0 ? FIRST_SLOTS : shard->slot_count + shard->slot_count / 2;
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (larger.slots == NULL)
        return false;
    for (uint32_t number = 1; number < shard->count; number++) {
        const char *text = place_of(shard, number);
        uint64_t hash = hash_of(in, text, strlen(text));
        uint32_t slot = first_slot(&larger, hash);
        while (larger.slots[slot] != 0)
            slot = next_slot(&larger, slot);
        larger.slots[slot] = number << TAG_BITS | tag_of(hash);
    }
    free(shard->slots);
    shard->bytes += (larger.slot_count - shard->slot_count) * sizeof *larger.slots;
    shard->slots = larger.slots;
    shard->slot_count = larger.slot_count;
    return true;
}

static bool grow_places(struct shard *shard)
{
    uint32_t count = shard->place_count == 0 ? FIRST_SLOTS : shard->place_count + shard->place_count / 2;
    uint32_t *places = realloc(shard->places, count * sizeof *places);
    if (places == NULL)
        return false;
    shard->bytes += (count - shard->place_count) * sizeof *places;
    shard->places = places;
    shard->place_count = count;
    return true;
}

static bool grow_chunks(struct shard *shard)
{
    if (shard->chunk_count == UINT32_MAX >> CHUNK_BITS)
        return false;
    if ((shard->chunk_count & (shard->chunk_count - 1)) == 0) {     /* the list doubles at powers of two */
        size_t size = (shard->chunk_count == 0 ? 1 : 2 * (size_t)shard->chunk_count) * sizeof *shard->chunks;
        char **chunks = realloc(shard->chunks, size);
        if (chunks == NULL)
            return false;
        shard->bytes += size - shard->chunk_count * sizeof *shard->chunks;
        shard->chunks = chunks;
    }
    shard->chunks[shard->chunk_count] = malloc(CHUNK);
    if (shard->chunks[shard->chunk_count] == NULL)
        return false;
    shard->chunk_count++;
    shard->used = 0;
    shard->bytes += CHUNK;
    return true;
}

/* Room for one more string of `len` bytes. After this nothing can fail. */
static bool make_room(const struct qs_intern *in, struct shard *shard, size_t len)
{
    if (shard->count == 0)
        shard->count = 1;
    if (shard->count >= most_strings)
        return false;
    if (shard->count >= shard->slot_count / 5 * 4 && !grow_slots(in, shard))
        return false;
    if (shard->count >= shard->place_count && !grow_places(shard))
        return false;
    if ((shard->chunk_count == 0 || CHUNK - shard->used < len + 1) && !grow_chunks(shard))
        return false;
    return true;
}

/* The string's number, 0 when memory is out. `text` is not empty and holds no NUL. */
static uint32_t shard_find(const struct qs_intern *in, struct shard *shard, uint64_t hash, const char *text,
                           size_t len)
{
    uint32_t slot, tag = tag_of(hash);
    if (shard->slot_count == 0 && !grow_slots(in, shard))
        return 0;
    for (slot = first_slot(shard, hash); shard->slots[slot] != 0; slot = next_slot(shard, slot)) {
        uint32_t number = shard->slots[slot] >> TAG_BITS;
        if ((shard->slots[slot] & ((1u << TAG_BITS) - 1)) != tag)
            continue;
        const char *there = place_of(shard, number);
        if (strncmp(there, text, len) == 0 && there[len] == '\0')
            return number;
    }
    uint32_t slot_count = shard->slot_count;
    if (!make_room(in, shard, len))
        return 0;
    if (shard->slot_count != slot_count)
        for (slot = first_slot(shard, hash); shard->slots[slot] != 0;)
            slot = next_slot(shard, slot);
    uint32_t number = shard->count++;
    char *to = shard->chunks[shard->chunk_count - 1] + shard->used;
    memcpy(to, text, len);
    to[len] = '\0';
    shard->places[number] = (shard->chunk_count - 1) << CHUNK_BITS | shard->used;
    shard->used += (uint32_t)len + 1;
    shard->slots[slot] = number << TAG_BITS | tag;
    return number;
}

/* `text` is cut and clean. */
static qs_sym intern_clean(struct qs_intern *in, const char *text, size_t len)
{
    uint64_t hash = hash_of(in, text, len);
    uint32_t at = (uint32_t)(hash >> (64 - SHARD_BITS)), number;
    struct shard *shard = &in->shards[at];
    pthread_mutex_lock(&shard->lock);
    number = shard_find(in, shard, hash, text, len);
    pthread_mutex_unlock(&shard->lock);
    if (number == 0) {
        atomic_store(&in->failed, true);
        return 0;
    }
    return number << SHARD_BITS | at;
}

qs_sym qs_intern(struct qs_intern *in, struct qs_span text)
{
    char copy[QS_INTERN_MAX];
    size_t len = text.len < QS_INTERN_MAX ? text.len : QS_INTERN_MAX;
    if (len == 0)
        return 0;
    if (memchr(text.ptr, '\0', len) == NULL)
        return intern_clean(in, text.ptr, len);
    for (size_t i = 0; i < len; i++)
        copy[i] = text.ptr[i] == '\0' ? '?' : text.ptr[i];
    return intern_clean(in, copy, len);
}

qs_sym qs_intern_lower(struct qs_intern *in, struct qs_span text)
{
    char copy[QS_INTERN_MAX];
    size_t len = text.len < QS_INTERN_MAX ? text.len : QS_INTERN_MAX;
    if (len == 0)
        return 0;
    for (size_t i = 0; i < len; i++) {
        char c = text.ptr[i];
        copy[i] = c == '\0' ? '?' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return intern_clean(in, copy, len);
}

bool qs_intern_failed(const struct qs_intern *in)
{
    return atomic_load(&in->failed);
}

const char *qs_sym_str(const struct qs_intern *in, qs_sym sym)
{
    return sym == 0 ? "" : place_of(&in->shards[sym & (SHARDS - 1)], sym >> SHARD_BITS);
}

struct qs_span qs_sym_span(const struct qs_intern *in, qs_sym sym)
{
    return qs_span_of(qs_sym_str(in, sym));
}

uint32_t qs_intern_slots(const struct qs_intern *in)
{
    uint32_t most = 1;
    for (size_t i = 0; i < SHARDS; i++)
        if (in->shards[i].count > most)
            most = in->shards[i].count;
    return most << SHARD_BITS;
}

size_t qs_intern_size(const struct qs_intern *in)
{
    size_t total = sizeof *in + SHARDS * sizeof *in->shards;
    for (size_t i = 0; i < SHARDS; i++)
        total += in->shards[i].bytes;
    return total;
}
