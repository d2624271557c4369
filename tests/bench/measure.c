/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a command and says what it took: appends "STATUS SECONDS CPU-SECONDS PEAK-KIB" to a file. Wall
 * clock from before the command is started until it has ended; the peak is the largest resident set of one
 * process of it. Ends with the command's status, or 128 and the signal.
 *
 * usage: measure FILE COMMAND [ARGUMENT...] */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    pid_t child;
    int number, status;
    double start;
    FILE *out;
    if (argc < 3) {
        (void)fprintf(stderr, "usage: measure FILE COMMAND [ARGUMENT...]\n");
        return 64;
    }
    start = now();
    number = posix_spawnp(&child, argv[2], NULL, NULL, argv + 2, environ);
    if (number != 0) {
        (void)fprintf(stderr, "measure: %s: %s\n", argv[2], strerror(number));
        return 127;
    }
    while (wait4(child, &status, 0, &usage) < 0)
        if (errno != EINTR)
            return 1;
    double end = now();
    status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    out = fopen(argv[1], "a");
    if (out == NULL) {
        (void)fprintf(stderr, "measure: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    (void)fprintf(out, "%d %.4f %.4f %ld\n", status, end - start,
                  seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss);
    return fclose(out) == 0 ? status : 1;
}
