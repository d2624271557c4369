/* SPDX-License-Identifier: Apache-2.0 */
/* The floor under any program that reads a queue: lists the directories below the given ones, then opens,
 * fstats, reads, hashes (XXH3) and closes every regular file in them once. Follows no link, understands
 * nothing.
 *
 * usage: floor [-j THREADS] DIRECTORY... prints: files, bytes, a sum of the hashes, seconds */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "qsurgeon/text.h"

enum { BUFFER = 256 * 1024, BATCH = 64, MOST_THREADS = 256 };

struct file {
    size_t name;                /* its place in `names` */
    size_t dir;
};

static int *dirs;               /* open descriptors */
static size_t dir_count, dir_size;
static struct file *files;
static size_t file_count, file_size;
static char *names;
static size_t names_len, names_size;
static atomic_size_t next_file;

static void die(const char *what)
{
    (void)fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Room for one more piece of `want` items in an array of `count` ones. */
static void *room(void *array, size_t count, size_t *size, size_t want, size_t item)
{
    if (*size - count >= want)
        return array;
    while (*size - count < want)
        *size = *size == 0 ? 4096 : *size * 2;
    array = realloc(array, *size * item);
    if (array == NULL)
        die("memory");
    return array;
}

static void add_dir(int at, const char *name)
{
    dirs = room(dirs, dir_count, &dir_size, 1, sizeof *dirs);
    dirs[dir_count] = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dirs[dir_count] < 0)
        die(name);
    dir_count++;
}

static void add_file(size_t dir, const char *name)
{
    size_t len = strlen(name) + 1;
    names = room(names, names_len, &names_size, len, 1);
    files = room(files, file_count, &file_size, 1, sizeof *files);
    memcpy(names + names_len, name, len);
    files[file_count++] = (struct file){names_len, dir};
    names_len += len;
}

/* Lists one directory; those in it are added behind the ones that wait. */
static void list(size_t dir)
{
    DIR *stream = fdopendir(dup(dirs[dir]));
    struct dirent *entry;
    if (stream == NULL)
        die("fdopendir");
    while ((errno = 0, entry = readdir(stream)) != NULL) {
        unsigned char type = entry->d_type;
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (type == DT_UNKNOWN && fstatat(dirs[dir], entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            type = S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_UNKNOWN;
        if (type == DT_DIR)
            add_dir(dirs[dir], entry->d_name);
        else if (type == DT_REG)
            add_file(dir, entry->d_name);
    }
    if (errno != 0)
        die("readdir");
    (void)closedir(stream);
}

struct sum {
    pthread_t thread;
    uint64_t files, bytes, hashes;
};

static void read_file(const struct file *file, char *buffer, XXH3_state_t *hash, struct sum *sum)
{
    struct stat st;
    ssize_t n;
    uint64_t bytes = 0;
    int fd = openat(dirs[file->dir], names + file->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        die(names + file->name);
    n = st.st_size > 0 ? read(fd, buffer, BUFFER) : 0;
    if (n == st.st_size) {
        sum->hashes += XXH3_64bits(buffer, (size_t)n);
        bytes = (uint64_t)n;
    } else {
        (void)XXH3_64bits_reset(hash);
        for (; n > 0; n = read(fd, buffer, BUFFER)) {
            (void)XXH3_64bits_update(hash, buffer, (size_t)n);
            bytes += (uint64_t)n;
        }
        sum->hashes += XXH3_64bits_digest(hash);
    }
    if (n < 0)
        die(names + file->name);
    (void)close(fd);
    sum->bytes += bytes;
    sum->files++;
}

static void *read_files(void *argument)
{
    struct sum *sum = argument;
    char *buffer = malloc(BUFFER);
    XXH3_state_t *hash = XXH3_createState();
    if (buffer == NULL || hash == NULL)
        die("memory");
    for (size_t first; (first = atomic_fetch_add(&next_file, BATCH)) < file_count;)
        for (size_t i = first; i < first + BATCH && i < file_count; i++)
            read_file(&files[i], buffer, hash, sum);
    (void)XXH3_freeState(hash);
    free(buffer);
    return NULL;
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    static struct sum sums[MOST_THREADS];
    uint64_t threads = 1;
    int first = 1;
    double start = now();
    struct rlimit limit;
    if (argc > 2 && strcmp(argv[1], "-j") == 0 && qs_parse_u64(qs_span_of(argv[2]), &threads))
        first = 3;
    if (first >= argc || argv[first][0] == '-' || threads < 1 || threads > MOST_THREADS) {
        (void)fprintf(stderr, "usage: floor [-j THREADS] DIRECTORY...\n");
        return 64;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    for (int i = first; i < argc; i++)
        add_dir(AT_FDCWD, argv[i]);
    for (size_t dir = 0; dir < dir_count; dir++)
        list(dir);
    for (uint64_t t = 1; t < threads; t++)
        if ((errno = pthread_create(&sums[t].thread, NULL, read_files, &sums[t])) != 0)
            die("thread");
    (void)read_files(&sums[0]);
    for (uint64_t t = 1; t < threads; t++) {
        if ((errno = pthread_join(sums[t].thread, NULL)) != 0)
            die("thread");
        sums[0].files += sums[t].files;
        sums[0].bytes += sums[t].bytes;
        sums[0].hashes += sums[t].hashes;
    }
    (void)printf("files %llu bytes %llu hashes %016llx seconds %.3f\n", (unsigned long long)sums[0].files,
                 (unsigned long long)sums[0].bytes, (unsigned long long)sums[0].hashes, now() - start);
    free(dirs);
    free(files);
    free(names);
    return fflush(stdout) == 0 ? 0 : 1;
}
