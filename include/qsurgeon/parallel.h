/* SPDX-License-Identifier: Apache-2.0 */
/* A loop whose rounds have nothing to do with each other, shared out to threads. */
#ifndef QSURGEON_PARALLEL_H
#define QSURGEON_PARALLEL_H

#include <stdint.h>

enum { QS_THREADS_MAX = 32 };

/* How many threads a wish stands for: 0 is one for each processor. At least 1, at most QS_THREADS_MAX. */
unsigned qs_thread_count(unsigned wanted);

/* Does the rounds [begin, end). `thread` counts from 0 and is below qs_thread_count(wanted): buffers may go by it. It
 * writes only what belongs to these rounds or this thread, and allocates from no talloc context that others use. */
typedef void (*qs_part)(void *data, unsigned thread, uint32_t begin, uint32_t end);

/* Calls `part` for pieces of [0, count), of `grain` rounds each, until all are done. Who does which, and in which order,
 * differs from run to run. Where no thread can be started the caller does it all. */
void qs_parallel(unsigned wanted, uint32_t count, uint32_t grain, qs_part part, void *data);

#endif
