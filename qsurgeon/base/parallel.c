/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that take pieces of a loop until none is left. They live as long as the loop: some are started for each. */
#include "qsurgeon/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

struct loop {
    qs_part part;
    void *data;
    uint32_t count, grain;
    atomic_uint_fast64_t taken;
};

struct hand {
    struct loop *loop;
    unsigned number;
    pthread_t thread;
};

unsigned qs_thread_count(unsigned wanted)
{
    long online = wanted ? 0 : sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = wanted ? wanted : online < 1 ? 1 : (unsigned)online;
    return threads < QS_THREADS_MAX ? threads : QS_THREADS_MAX;
}

static void *work(void *data)
{
    const struct hand *hand = data;
    struct loop *loop = hand->loop;
    for (;;) {
        uint64_t begin = atomic_fetch_add_explicit(&loop->taken, loop->grain, memory_order_relaxed);
        if (begin >= loop->count)
            return NULL;
        uint32_t end = loop->count - begin < loop->grain ? loop->count : (uint32_t)begin + loop->grain;
        loop->part(loop->data, hand->number, (uint32_t)begin, end);
    }
}

void qs_parallel(unsigned wanted, uint32_t count, uint32_t grain, qs_part part, void *data)
{
    struct loop loop = {.part = part, .data = data, .count = count, .grain = grain};
    struct hand hand[QS_THREADS_MAX];
    unsigned threads = qs_thread_count(wanted), running = 1;
    hand[0] = (struct hand){.loop = &loop};
    while (running < threads && (uint64_t)running * grain < count) {
        hand[running] = (struct hand){.loop = &loop, .number = running};
        if (pthread_create(&hand[running].thread, NULL, work, &hand[running]) != 0)
            break;
        running++;
    }
    (void)work(&hand[0]);
    while (--running > 0)
        pthread_join(hand[running].thread, NULL);
}
