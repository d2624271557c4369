/* SPDX-License-Identifier: Apache-2.0 */
#include "flaws.h"

#include <string.h>

enum { STEPS_MOST = 5 };        /* to the run directory, three logs, and back */

struct qs_flaw *qs_flaws_add(struct qs_flaws *flaws, enum qs_flaw_kind kind, const char *what, const char *id,
                             const char *path, const struct stat *st)
{
    if (flaws->count == flaws->size) {
        size_t size = flaws->size ? 2 * flaws->size : 64;
        struct qs_flaw *grown = talloc_realloc(flaws->parent, flaws->list, struct qs_flaw, (unsigned)size);
        if (!grown)
            return NULL;
        flaws->list = grown;
        flaws->size = size;
    }
    struct qs_flaw *flaw = &flaws->list[flaws->count];
    *flaw = (struct qs_flaw){
        .kind = kind, .what = what, .id = talloc_strdup(flaws->list, id), .path = talloc_strdup(flaws->list, path),
        .inode = (uint64_t)st->st_ino, .size = (uint64_t)st->st_size, .modified = (int64_t)st->st_mtime,
    };
    if (!flaw->id || !flaw->path)
        return NULL;
    flaws->count++;
    return flaw;
}

struct qs_step *qs_flaw_move(struct qs_flaws *flaws, struct qs_flaw *flaw, const char *from, const char *to)
{
    if (!flaw->steps)
        flaw->steps = talloc_array(flaws->list, struct qs_step, STEPS_MOST);
    if (!flaw->steps || flaw->step_count == STEPS_MOST)
        return NULL;
    struct qs_step *step = &flaw->steps[flaw->step_count];
    *step = (struct qs_step){.kind = QS_STEP_MOVE, .from = talloc_strdup(flaw->steps, from),
                             .to = talloc_strdup(flaw->steps, to)};
    if (!step->from || !step->to)
        return NULL;
    flaw->step_count++;
    return step;
}

bool qs_flaw_park(struct qs_flaws *flaws, struct qs_flaw *flaw)
{
    char *to = talloc_asprintf(NULL, "@/%s", flaw->path);
    bool ok = to && qs_flaw_move(flaws, flaw, flaw->path, to);
    talloc_free(to);
    return ok;
}

bool qs_suspects_add(struct qs_suspects *suspects, const struct qs_suspect *suspect)
{
    if (suspects->count == suspects->size) {
        size_t size = suspects->size ? 2 * suspects->size : 256;
        struct qs_suspect *grown = talloc_realloc(suspects->parent, suspects->list, struct qs_suspect, (unsigned)size);
        if (!grown)
            return false;
        suspects->list = grown;
        suspects->size = size;
    }
    struct qs_suspect *s = &suspects->list[suspects->count];
    *s = *suspect;
    s->path = talloc_strdup(suspects->parent, suspect->path);
    suspects->count += s->path != NULL;
    return s->path != NULL;
}

void qs_suspects_keep(struct qs_suspects *suspects, bool (*still)(const void *data, const struct qs_suspect *suspect),
                      const void *data)
{
    size_t kept = 0;
    for (size_t i = 0; i < suspects->count; i++)
        if (still(data, &suspects->list[i]))
            suspects->list[kept++] = suspects->list[i];
    suspects->count = kept;
}
