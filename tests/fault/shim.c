/* SPDX-License-Identifier: Apache-2.0 */
/* For LD_PRELOAD: counts the system calls that change files, and lets the N-th fail or kills the process there.
 *   QS_FAULT_AT=N      the N-th one, from 1; 0: none
 *   QS_FAULT_KIND=K    EIO, ENOSPC, EINTR: it is not done and fails with that; LATE: it is done and fails with EIO all the
 *                      same; KILL: the process dies before it; KILLED: it dies after it;
 *                      TERM: it gets SIGTERM, and the call is made
 *   QS_FAULT_LOG=FILE  gets the names of the calls, one a line, in order
 *   QS_FAULT_ARRIVE=A:B:...  A is renamed to B, and so on, when the process rests for the first time; not counted
 * A rest, which is a poll(2) of nothing, takes no time: the monotonic clock is put forward instead.
 * Where several threads change files the order is another one each time. Knows only calls that go through libc,
 * and counts write(2) and fsync(2) on regular files and directories only, so that reports to a pipe do not count. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long count, at = -1;
static int number;
static bool late, kill_before, kill_after, terminate;
static int log_fd = -1;
static long rested;             /* milliseconds */

static void begin(void)
{
    static const struct { const char *name; int number; } kinds[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EINTR", EINTR}};
    const char *n = getenv("QS_FAULT_AT"), *kind = getenv("QS_FAULT_KIND"), *log = getenv("QS_FAULT_LOG");
    at = n ? strtol(n, NULL, 10) : 0;
    for (size_t i = 0; kind && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kind, kinds[i].name) == 0)
            number = kinds[i].number;
    late = kind && strcmp(kind, "LATE") == 0;
    kill_before = kind && strcmp(kind, "KILL") == 0;
    kill_after = kind && strcmp(kind, "KILLED") == 0;
    terminate = kind && strcmp(kind, "TERM") == 0;
    if (log)
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

/* Is this the one? Then, unless it shall be done first, it fails here. */
static bool hit(const char *name)
{
    if (at < 0)
        begin();
    long mine = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (log_fd >= 0) {
        char line[64];
        int length = snprintf(line, sizeof line, "%s\n", name);
        syscall(SYS_write, log_fd, line, (size_t)length);
    }
    if (mine == at && kill_before)
        syscall(SYS_kill, getpid(), SIGKILL);
    if (mine == at && terminate)
        syscall(SYS_kill, getpid(), SIGTERM);
    return mine == at && !terminate;
}

static long after(long result)
{
    if (kill_after)
        syscall(SYS_kill, getpid(), SIGKILL);
    if (!late)
        return result;
    errno = EIO;
    return -1;
}

static bool counts(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

#define CALL(condition, name, call) do { \
        if (!(condition) || !hit(name)) \
            return call; \
        if (late || kill_after) \
            return (__typeof__(call))after((long)(call)); \
        errno = number; \
        return -1; \
    } while (0)

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    CALL(true, "renameat2", (int)syscall(SYS_renameat2, from, old, to, new, flags));
}
int rename(const char *old, const char *new) { CALL(true, "rename", (int)syscall(SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, 0)); }
int mkdirat(int dir, const char *name, mode_t mode) { CALL(true, "mkdirat", (int)syscall(SYS_mkdirat, dir, name, mode)); }
int mkdir(const char *name, mode_t mode) { CALL(true, "mkdir", (int)syscall(SYS_mkdirat, AT_FDCWD, name, mode)); }
int unlinkat(int dir, const char *name, int flags) { CALL(true, "unlinkat", (int)syscall(SYS_unlinkat, dir, name, flags)); }
int unlink(const char *name) { CALL(true, "unlink", (int)syscall(SYS_unlinkat, AT_FDCWD, name, 0)); }
int rmdir(const char *name) { CALL(true, "rmdir", (int)syscall(SYS_unlinkat, AT_FDCWD, name, AT_REMOVEDIR)); }
int linkat(int a, const char *old, int b, const char *new, int flags)
{
    CALL(true, "linkat", (int)syscall(SYS_linkat, a, old, b, new, flags));
}
ssize_t write(int fd, const void *p, size_t n) { CALL(counts(fd), "write", syscall(SYS_write, fd, p, n)); }
ssize_t pwrite(int fd, const void *p, size_t n, off_t o) { CALL(true, "pwrite", syscall(SYS_pwrite64, fd, p, n, o)); }
ssize_t pwrite64(int fd, const void *p, size_t n, off_t o) { CALL(true, "pwrite", syscall(SYS_pwrite64, fd, p, n, o)); }
int fsync(int fd) { CALL(counts(fd), "fsync", (int)syscall(SYS_fsync, fd)); }
int syncfs(int fd) { CALL(true, "syncfs", (int)syscall(SYS_syncfs, fd)); }
int fdatasync(int fd) { CALL(counts(fd), "fdatasync", (int)syscall(SYS_fdatasync, fd)); }
int utimensat(int dir, const char *name, const struct timespec t[2], int flags)
{
    CALL(true, "utimensat", (int)syscall(SYS_utimensat, dir, name, t, flags));
}
int futimens(int fd, const struct timespec t[2]) { CALL(true, "futimens", (int)syscall(SYS_utimensat, fd, NULL, t, 0)); }
int fchmod(int fd, mode_t mode) { CALL(true, "fchmod", (int)syscall(SYS_fchmod, fd, mode)); }
int fchown(int fd, uid_t u, gid_t g) { CALL(true, "fchown", (int)syscall(SYS_fchown, fd, u, g)); }
int fchownat(int d, const char *n, uid_t u, gid_t g, int f) { CALL(true, "fchownat", (int)syscall(SYS_fchownat, d, n, u, g, f)); }
int chown(const char *n, uid_t u, gid_t g) { CALL(true, "chown", (int)syscall(SYS_fchownat, AT_FDCWD, n, u, g, 0)); }
int ftruncate(int fd, off_t n) { CALL(true, "ftruncate", (int)syscall(SYS_ftruncate, fd, n)); }
int ftruncate64(int fd, off_t n) { CALL(true, "ftruncate", (int)syscall(SYS_ftruncate, fd, n)); }

static int open_counted(int dir, const char *name, int flags, mode_t mode)
{
    CALL(flags & O_CREAT, "open", (int)syscall(SYS_openat, dir, name, flags, mode));
}
#define MODE(flags) mode_t mode = 0; if ((flags) & O_CREAT) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); }
int openat(int dir, const char *name, int flags, ...) { MODE(flags) return open_counted(dir, name, flags, mode); }
int openat64(int dir, const char *name, int flags, ...) { MODE(flags) return open_counted(dir, name, flags | O_LARGEFILE, mode); }
int open(const char *name, int flags, ...) { MODE(flags) return open_counted(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return open_counted(AT_FDCWD, name, flags | O_LARGEFILE, mode); }

/* What comes to the queue meanwhile. */
static void arrive(const char *list)
{
    char from[4096], to[4096];
    for (int length = 0; sscanf(list, "%4095[^:]:%4095[^:]%n", from, to, &length) == 2; list += length + (list[length] == ':'))
        syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int poll(struct pollfd *list, nfds_t count, int timeout)
{
    const char *arrivals = getenv("QS_FAULT_ARRIVE");
    if (count > 0)
        return (int)syscall(SYS_poll, list, count, timeout);
    if (rested == 0 && arrivals)
        arrive(arrivals);
    rested += timeout > 0 ? timeout : 1;
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int result = (int)syscall(SYS_clock_gettime, clock, t);
    if (result == 0 && clock == CLOCK_MONOTONIC) {
        long sum = t->tv_nsec + rested % 1000 * 1000000;
        t->tv_sec += rested / 1000 + sum / 1000000000;
        t->tv_nsec = sum % 1000000000;
    }
    return result;
}
