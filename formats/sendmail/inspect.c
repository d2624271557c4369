/* SPDX-License-Identifier: Apache-2.0 */
/* What in a sendmail queue is not as sendmail leaves it. Reads directories, attributes, and the control files of messages
 * without a data file; takes no lock: whoever acts on a flaw takes that of the file before it touches it.
 *
 * Facts: queue-formats B1 (names), B2 (lost by mode), B3 (missing partners), B4 (locks). A data file is written before its
 * control file and removed after it in a purge, but before it by sendmail itself: hence the ages, and the second look. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../flaws.h"
#include "qf.h"
#include "qsurgeon/intern.h"
#include "qsurgeon/table.h"
#include "sendmail.h"

enum { CONTROL = 1, DATA = 2 };

struct inspection {
    const struct qs_queue *queue;
    int64_t now;
    struct qs_flaws flaws;
    struct qs_intern *names;
    struct qs_table *there;     /* symbol of an ID → CONTROL, DATA: files of that name in any directory */
    struct qs_suspects suspects;
    bool again;
    struct qs_error *err;
};

static enum qs_status no_memory(const struct inspection *in)
{
    return qs_fail(in->err, QS_NOMEM, "out of memory");
}

static uint32_t there(const struct inspection *in, qs_sym id)
{
    return qs_table_get(in->there, qs_mix64(id), 0);
}

static bool is_control(char letter)
{
    return letter == SM_NORMAL || letter == SM_QUARANTINED || letter == SM_LOST || letter == 't' || letter == 'T';
}

static enum qs_status suspect(struct inspection *in, char letter, qs_sym id, const char *path, const struct stat *st)
{
    const struct qs_suspect s = {(unsigned char)letter, QS_FLAW_ORPHAN, id, path, *st};
    return qs_suspects_add(&in->suspects, &s) ? QS_OK : no_memory(in);
}

/* --- one file --------------------------------------------------------------------------------------------------------- */

static enum qs_status tell(struct inspection *in, enum qs_flaw_kind kind, const char *what, const char *id, const char *path,
                           const struct stat *st, const char *advice)
{
    struct qs_flaw *flaw = qs_flaws_add(&in->flaws, kind, what, id, path, st);
    if (flaw == NULL || (advice == NULL && !qs_flaw_park(&in->flaws, flaw)))
        return no_memory(in);
    flaw->advice = advice;
    flaw->lock = QS_LOCK_BEFORE_CLAIM;
    return QS_OK;
}

static enum qs_status look_at(struct inspection *in, int at, const char *file, const char *path)
{
    struct stat st;
    char letter = file[0];
    if (letter == '\0' || file[1] != 'f' || !sm_id_valid(qs_span_of(file + 2)) ||
        (!is_control(letter) && letter != SM_DATA && letter != SM_TRANSCRIPT))
        return QS_OK;
    qs_sym id = qs_intern(in->names, qs_span_of(file + 2));
    uint32_t *marks = qs_intern_failed(in->names) ? NULL : qs_table_at(in->there, qs_mix64(id), 0);
    if (marks == NULL)
        return no_memory(in);
    *marks |= letter == SM_DATA ? DATA : is_control(letter) ? CONTROL : 0;
    if (in->again || fstatat(at, file, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return QS_OK;
    int64_t age = in->now - (int64_t)st.st_mtime;
    if (letter == SM_LOST)
        return tell(in, QS_FLAW_LOST, "message that sendmail set aside as lost", file + 2, path, &st,
                    "correct the line, owner or mode that sendmail complained of and rename it to qf");
    if ((letter == 't' || letter == 'T') && age >= QS_ORPHAN_AGE)
        return tell(in, QS_FLAW_STALE, "temporary control file", file + 2, path, &st, NULL);
    if ((letter == SM_NORMAL || letter == SM_QUARANTINED) &&
        ((st.st_mode & S_IWOTH) != 0 || ((st.st_mode & S_IWGRP) != 0 && st.st_uid == 0)))
        return tell(in, QS_FLAW_ACCESS, "control file that others may write to", file + 2, path, &st,
                    "sendmail will set it aside as lost: chmod go-w it");
    bool old = age >= (letter == SM_TRANSCRIPT ? QS_STALE_AGE : QS_ORPHAN_AGE);
    return old && letter != 't' && letter != 'T' ? suspect(in, letter, id, path, &st) : QS_OK;
}

/* --- the walk --------------------------------------------------------------------------------------------------------- */

static enum qs_status walk(struct inspection *in, const char *place)
{
    char path[SM_PATH_MAX + 300];
    int fd = openat(sm_base(in->queue), place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int error = errno;
        if (fd >= 0)
            (void)close(fd);
        return error == ENOENT || error == ENOTDIR ? QS_OK : qs_fail_errno(in->err, error, "%s", place);
    }
    enum qs_status status = QS_OK;
    const struct dirent *entry;
    while (status == QS_OK && (entry = readdir(dir)) != NULL) {
        bool top = strcmp(place, ".") == 0;
        int length = snprintf(path, sizeof path, "%s%s%s", top ? "" : place, top ? "" : "/", entry->d_name);
        if (length > 0 && (size_t)length < sizeof path)
            status = look_at(in, fd, entry->d_name, path);
    }
    (void)closedir(dir);
    return status;
}

static enum qs_status walk_all(struct inspection *in)
{
    static const char letters[] = {SM_TRANSCRIPT, SM_DATA, SM_NORMAL};
    char places[sizeof letters][SM_PATH_MAX];
    enum qs_status status = QS_OK;
    const struct sm_dir *dir;
    for (uint32_t d = 0; status == QS_OK && (dir = sm_dir_at(in->queue, d)) != NULL; d++)
        for (size_t i = 0; status == QS_OK && i < sizeof letters; i++) {
            bool known = false;
            sm_place(dir, letters[i], places[i]);
            for (size_t k = 0; k < i; k++)
                known |= strcmp(places[k], places[i]) == 0;
            if (!known)
                status = walk(in, places[i]);
        }
    return status;
}

/* --- what is to be done ----------------------------------------------------------------------------------------------- */

/* Whether the control file is whole and its data file should be in a directory that is known: then it is really missing. */
static bool wants_data(const struct inspection *in, struct qs_file *file, const char *path)
{
    struct qs_span bytes;
    struct sm_line line;
    if (qs_file_open(file, sm_base(in->queue), path, NULL) != QS_OK || qs_file_at(file, 0, 1, &bytes, NULL) != QS_OK ||
        bytes.len < qs_file_size(file))
        return false;
    bool known = true, ended = false;
    for (struct sm_lines lines = sm_lines_of(bytes); !ended && sm_line_next(&lines, &line);) {
        uint32_t dir = 0;
        ended = line.code == '.';
        known &= line.code != 'd' || sm_dir_named(in->queue, line.text, &dir);
    }
    return known && ended;
}

static enum qs_status settle(struct inspection *in, const struct qs_suspect *s, struct qs_file *file)
{
    const char *id = qs_sym_str(in->names, s->id);
    uint32_t marks = there(in, s->id);
    if (s->where == SM_DATA && !(marks & CONTROL))
        return tell(in, QS_FLAW_ORPHAN, "data file without a control file", id, s->path, &s->st, NULL);
    if (s->where == SM_TRANSCRIPT && !(marks & CONTROL))
        return tell(in, QS_FLAW_ORPHAN, "transcript without a control file", id, s->path, &s->st, NULL);
    if (is_control((char)s->where) && !(marks & DATA) && wants_data(in, file, s->path))
        return tell(in, QS_FLAW_ORPHAN, "control file without a data file", id, s->path, &s->st, NULL);
    return QS_OK;
}

static bool still_suspect(const void *data, const struct qs_suspect *s)
{
    const struct inspection *in = data;
    return !(there(in, s->id) & (is_control((char)s->where) ? DATA : CONTROL));
}

enum qs_status sm_inspect(TALLOC_CTX *parent, const struct qs_queue *queue, int64_t now, struct qs_flaw **list,
                          size_t *count, struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_file *file = qs_file_new(scratch);
    struct inspection in = {.queue = queue, .now = now, .names = qs_intern_new(scratch), .err = err,
                            .there = qs_table_new(scratch, 1024), .flaws = {.parent = parent}, .suspects = {.parent = scratch}};
    enum qs_status status = file && in.names && in.there ? walk_all(&in) : no_memory(&in);
    qs_suspects_keep(&in.suspects, still_suspect, &in);
    in.again = true;
    if (status == QS_OK && in.suspects.count > 0)
        status = walk_all(&in);
    for (size_t i = 0; status == QS_OK && i < in.suspects.count; i++)
        status = settle(&in, &in.suspects.list[i], file);
    talloc_free(scratch);
    if (status == QS_OK) {
        *list = in.flaws.list;
        *count = in.flaws.count;
    } else {
        talloc_free(in.flaws.list);
    }
    return status;
}
