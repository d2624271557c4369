/* SPDX-License-Identifier: Apache-2.0 */
/* What mining reads: real mail of the queue and of directories, and the samples of the storms. Judges nothing. */
#include "miner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { DEPTH_MAX = 3 };                         /* of directories */

enum qs_status qs_miner_read_envelope(struct miner *m, uint32_t message, size_t cap, struct qs_envelope *envelope,
                                      struct qs_span *content, bool *got, struct qs_error *err)
{
    struct qs_error why = {""};
    bool whole = false;
    enum qs_status status = qs_scan_reread(m->view->scan, &m->view->scan->messages[message], m->reader, cap, envelope,
                                           content, &whole, &why);
    *got = status == QS_OK;
    if (status == QS_NOMEM || status == QS_NOQUEUE)
        return qs_fail(err, status, "%s", why.text);
    return QS_OK;
}

enum qs_status qs_miner_read_message(struct miner *m, uint32_t message, size_t cap, struct qs_span *content, bool *got,
                                     struct qs_error *err)
{
    struct qs_envelope envelope = {0};
    return qs_miner_read_envelope(m, message, cap, &envelope, content, got, err);
}

static enum qs_status read_file(struct miner *m, const char *path, struct qs_span *content, bool *got, struct qs_error *err)
{
    struct qs_span some = {NULL, 0};
    struct qs_error why = {""};
    m->content.len = 0;
    enum qs_status status = qs_file_open(m->file, AT_FDCWD, path, &why);
    while (status == QS_OK && m->content.len < QS_MINE_GOOD_CONTENT) {
        status = qs_file_at(m->file, m->content.len, 1, &some, &why);
        if (status == QS_OK && !qs_buffer_add(&m->content, some))
            status = QS_NOMEM;
    }
    qs_file_close(m->file);
    if (status == QS_NOMEM)
        return out_of_memory(err);
    *got = status == QS_OK || status == QS_END;
    *content = (struct qs_span){m->content.data, m->content.len};
    return QS_OK;
}

/* An mbox-like first line is none of the message. */
static struct qs_span without_from_line(struct qs_span content)
{
    const char *end = qs_span_starts(content, "From ") ? memchr(content.ptr, '\n', content.len) : NULL;
    if (end)
        content = (struct qs_span){end + 1, content.len - (size_t)(end + 1 - content.ptr)};
    return content;
}

/* Real mail from the `from`-th on. */
static enum qs_status each_good(struct miner *m, uint32_t from, on_good fn, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    struct qs_span content;
    m->good_read = m->out->good_unread = m->out->good_queue = m->out->good_files = 0;
    for (uint32_t i = from; status == QS_OK && i < m->good_count + m->good_file_count; i++) {
        bool got = false;
        const bool queued = i < m->good_count;
        status = queued ? qs_miner_read_message(m, m->good[i], QS_MINE_GOOD_CONTENT, &content, &got, err)
                        : read_file(m, m->good_file[i - m->good_count], &content, &got, err);
        if (status != QS_OK || !got) {
            m->out->good_unread++;
            continue;
        }
        m->out->good_queue += queued;
        m->out->good_files += !queued;
        status = fn(m, without_from_line(content), ++m->good_read, err);
    }
    return status;
}

/* All real mail once. Numbers begin with 1. */
enum qs_status qs_miner_each_good(struct miner *m, on_good fn, struct qs_error *err)
{
    return each_good(m, 0, fn, err);
}

enum qs_status qs_miner_each_file(struct miner *m, on_good fn, struct qs_error *err)
{
    return each_good(m, m->good_count, fn, err);
}

static enum qs_status list_directory(struct miner *m, const char *path, unsigned depth, struct qs_error *err)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    enum qs_status status = QS_OK;
    if (!dir)
        return depth > 0 && errno == ENOTDIR ? QS_OK : qs_fail_errno(err, errno, "%s", path);
    while (status == QS_OK && m->good_file_count < QS_MINE_GOOD && (e = readdir(dir))) {
        if (e->d_name[0] == '.')
            continue;
        char *full = talloc_asprintf(m->good_file, "%s/%s", path, e->d_name);
        if (!full) {
            status = out_of_memory(err);
        } else if (e->d_type == DT_DIR) {
            if (depth < DEPTH_MAX)
                status = list_directory(m, full, depth + 1, err);
            talloc_free(full);
        } else if (e->d_type == DT_REG || e->d_type == DT_UNKNOWN) {
            m->good_file[m->good_file_count++] = full;
        } else {
            talloc_free(full);
        }
    }
    closedir(dir);
    return status;
}

/* A notice that is judged legit is real mail even when what it returns resembles a storm: storms are padded with real
 * texts, and the judge itself doubts a notice that returns a message of one. */
enum qs_status qs_miner_list_good(struct miner *m, struct qs_error *err)
{
    const struct qs_judgement *judgement = m->view->judgement;
    const uint32_t all = m->view->scan->count;
    enum qs_status status = QS_OK;
    uint32_t *list = talloc_array(m->scratch, uint32_t, all + 1u), count = 0;
    m->good_file = talloc_array(m->scratch, char *, QS_MINE_GOOD);
    if (!list || !m->good_file)
        return out_of_memory(err);
    for (uint32_t i = 0; i < all; i++)
        if (judgement->of[i].verdict == QS_LEGIT)
            list[count++] = i;
    m->good_count = at_most(count, QS_MINE_GOOD);
    for (uint32_t i = 0; i < m->good_count; i++)
        list[i] = list[spread(i, count, m->good_count)];
    m->good = list;
    for (size_t d = 0; status == QS_OK && d < m->how->good_count; d++) {
        const size_t before = m->good_file_count;
        status = list_directory(m, m->how->good[d], 0, err);
        if (status == QS_OK && m->good_file_count == before && before < QS_MINE_GOOD)
            status = qs_fail(err, QS_USAGE, "%.300s: no messages there", m->how->good[d]);
    }
    return status;
}

enum qs_status qs_miner_keep_sample(struct work *w, uint32_t message, struct qs_span content, struct qs_error *err)
{
    const size_t len = content.len < QS_MINE_CONTENT ? content.len : QS_MINE_CONTENT;
    char *copy = talloc_memdup(w->sample, content.ptr, len);
    if (!copy)
        return out_of_memory(err);
    w->sample[w->sample_count++] = (struct sample){{copy, len}, message};
    return QS_OK;
}

/* The messages that candidates come from, kept in memory. */
enum qs_status qs_miner_read_samples(struct miner *m, struct work *w, struct qs_error *err)
{
    const uint32_t kept = at_most(w->train, QS_MINE_SAMPLE);
    enum qs_status status = QS_OK;
    w->sample = talloc_zero_array(m, struct sample, QS_MINE_SAMPLE);
    if (!w->sample)
        return out_of_memory(err);
    for (uint32_t i = 0; status == QS_OK && i < kept; i++) {
        const uint32_t message = w->member[spread(i, w->train, kept)];
        struct qs_span content;
        bool got = false;
        status = qs_miner_read_message(m, message, QS_MINE_CONTENT, &content, &got, err);
        if (status == QS_OK && got && content.len > 0)
            status = qs_miner_keep_sample(w, message, content, err);
    }
    return status;
}
