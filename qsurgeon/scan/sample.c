/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in files of their own: one to compare with, or a directory of samples. They go through the same code as the
 * messages of a queue. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "qsurgeon/cluster.h"
#include "qsurgeon/scan.h"

enum { SAMPLES_MAX = 10000 };

/* As much of the file as the scan reads of a message. */
static enum qs_status read_file(int dir, const char *name, const char *path, char **data, size_t *len, bool *cut,
                                struct qs_error *err)
{
    enum { SIZE = QS_CAP_CONTENT + 1 };
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return qs_fail_errno(err, errno, "%.200s", path);
    char *to = talloc_array(NULL, char, SIZE);
    enum qs_status status = to ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
    size_t have = 0;
    while (status == QS_OK && have < SIZE) {
        ssize_t got = read(fd, to + have, SIZE - have);
        if (got == 0)
            break;
        if (got > 0)
            have += (size_t)got;
        else if (errno != EINTR)
            status = qs_fail_errno(err, errno, "%.200s", path);
    }
    close(fd);
    if (status != QS_OK) {
        talloc_free(to);
        return status;
    }
    *cut = have > QS_CAP_CONTENT;
    *len = *cut ? QS_CAP_CONTENT : have;
    *data = to;
    return QS_OK;
}

static enum qs_status scan_file(struct qs_scan_lens *lens, int dir, const char *name, const char *path,
                                struct qs_message *m, struct qs_error *err)
{
    char *data = NULL;
    size_t len = 0;
    bool cut = false;
    enum qs_status status = read_file(dir, name, path, &data, &len, &cut, err);
    if (status != QS_OK)
        return status;
    *m = (struct qs_message){.local_uid = -1};
    status = qs_scan_content(lens, (struct qs_span){data, len}, cut, false, m, err);
    if (status == QS_OK && m->traits & QS_T_FROM_DAEMON && !m->returned)
        status = qs_scan_content(lens, (struct qs_span){data, len}, cut, true, m, err);     /* an old MTA's notice */
    talloc_free(data);
    return status;
}

enum qs_status qs_scan_file(struct qs_scan_lens *lens, const char *path, struct qs_message *m, struct qs_error *err)
{
    return scan_file(lens, AT_FDCWD, path, path, m, err);
}

bool qs_same_text(const struct qs_fingerprint *a, const struct qs_fingerprint *b)
{
    return (a->body_hash && a->body_hash == b->body_hash) || qs_cluster_alike(a, b);
}

/* --- samples ------------------------------------------------------------------------------------------------------------- */

static enum qs_status add_sample(struct qs_scan *scan, struct qs_scan_lens *lens, int dir, const char *path,
                                 const char *name, bool good, struct qs_error *err)
{
    struct qs_message m;
    enum qs_status status = scan_file(lens, dir, name, path, &m, err);
    if (status != QS_OK)
        return status;
    const struct qs_fingerprint *print = m.returned && m.returned->print.shingles ? &m.returned->print : &m.print;
    if (!print->shingles)
        return QS_SKIP;
    struct qs_sample *grown = talloc_realloc(scan, scan->samples, struct qs_sample, (unsigned)scan->sample_count + 1);
    if (!grown)
        return qs_fail(err, QS_NOMEM, "out of memory");
    scan->samples = grown;
    grown[scan->sample_count++] = (struct qs_sample){.print = *print, .good = good};
    return QS_OK;
}

enum qs_status qs_scan_add_samples(struct qs_scan *scan, const char *path, bool good, struct qs_error *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return qs_fail_errno(err, errno, "%.200s", path);
    struct qs_scan_lens *lens = qs_scan_lens_new(NULL, scan);
    enum qs_status status = lens ? QS_OK : qs_fail(err, QS_NOMEM, "out of memory");
    size_t used = 0, before = scan->sample_count;
    const struct dirent *entry;
    while (status == QS_OK && (errno = 0, entry = readdir(dir)) != NULL) {
        struct stat st;
        if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode))
            continue;
        char *full = talloc_asprintf(lens, "%s/%s", path, entry->d_name);
        if (used++ == SAMPLES_MAX)
            status = qs_fail(err, QS_USAGE, "%.200s: more than %d samples", path, SAMPLES_MAX);
        else if (full)
            status = add_sample(scan, lens, dirfd(dir), full, entry->d_name, good, err);
        else
            status = qs_fail(err, QS_NOMEM, "out of memory");
        talloc_free(full);
        if (status == QS_SKIP || status == QS_GONE)
            status = QS_OK;
    }
    if (status == QS_OK && errno)
        status = qs_fail_errno(err, errno, "%.200s", path);
    if (status == QS_OK && scan->sample_count == before)
        status = qs_fail(err, QS_USAGE, "%.200s: there is no message with text in it to compare", path);
    closedir(dir);
    talloc_free(lens);
    return status;
}
