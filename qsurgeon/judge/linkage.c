/* SPDX-License-Identifier: Apache-2.0 */
/* Average linkage (UPGMA) of a small number of points by chains of nearest neighbours (Murtagh 1983). The likeness of two
 * groups is the mean over all pairs of their points, so no chain of single likenesses can grow a group.
 * Time and memory grow with the square of the points. Knows nothing of mail. */
#include "judge.h"

enum { GROWN = 8 };                 /* points after which the likeness within a group is a fact about it */

struct qs_linkage *qs_linkage_new(TALLOC_CTX *parent, uint32_t most)
{
    struct qs_linkage *l = talloc_zero(parent, struct qs_linkage);
    if (!l)
        return NULL;
    l->most = most;
    l->like = talloc_array(l, float, most * most + 1);
    l->inner = talloc_array(l, float, most + 1);
    l->size = talloc_array(l, uint32_t, most + 1);
    l->group = talloc_array(l, uint32_t, most + 1);
    l->chain = talloc_array(l, uint32_t, most + 1);
    if (l->like && l->inner && l->size && l->group && l->chain)
        return l;
    talloc_free(l);
    return NULL;
}

void qs_linkage_start(struct qs_linkage *l, uint32_t n)
{
    l->n = n < l->most ? n : l->most;
    for (uint32_t i = 0; i < l->n; i++) {
        l->inner[i] = 0;
        l->size[i] = 1;
        l->group[i] = i;
        l->like[(size_t)i * l->most + i] = 0;
    }
}

static float *like(struct qs_linkage *l, uint32_t a, uint32_t b)
{
    return &l->like[(size_t)a * l->most + b];
}

void qs_linkage_set(struct qs_linkage *l, uint32_t a, uint32_t b, float likeness)
{
    *like(l, a, b) = likeness;
    *like(l, b, a) = likeness;
}

/* On a tie the one that the chain came from, or it would not end; else the first. */
static uint32_t nearest(struct qs_linkage *l, uint32_t from, uint32_t before)
{
    const float *row = like(l, from, 0);
    uint32_t best = before;
    for (uint32_t i = 0; i < l->n; i++)
        if (i != from && l->size[i] && (best == QS_NONE || row[i] > row[best]))
            best = i;
    return best;
}

static void join(struct qs_linkage *l, uint32_t to, uint32_t gone)
{
    float a = (float)l->size[to], b = (float)l->size[gone];
    l->inner[to] = (l->inner[to] * a * (a - 1) + l->inner[gone] * b * (b - 1) + *like(l, to, gone) * 2 * a * b) /
                   ((a + b) * (a + b - 1));
    for (uint32_t i = 0; i < l->n; i++) {
        if (i != to && i != gone && l->size[i])
            qs_linkage_set(l, to, i, (*like(l, to, i) * a + *like(l, gone, i) * b) / (a + b));
        if (l->group[i] == gone)
            l->group[i] = to;
    }
    l->size[to] += l->size[gone];
    l->size[gone] = 0;
}

static bool too_unlike(struct qs_linkage *l, uint32_t a, uint32_t b, float least, float of_inner)
{
    float inner = 0;
    if (l->size[a] >= GROWN)
        inner = l->inner[a];
    if (l->size[b] >= GROWN && l->inner[b] > inner)
        inner = l->inner[b];
    return *like(l, a, b) < least || *like(l, a, b) < of_inner * inner;
}

void qs_linkage_run(struct qs_linkage *l, float least, float of_inner)
{
    uint32_t depth = 0, start = 0;
    for (;;) {
        if (!depth) {
            while (start < l->n && !l->size[start])
                start++;
            if (start == l->n)
                return;
            l->chain[depth++] = start;
        }
        uint32_t top = l->chain[depth - 1], before = depth > 1 ? l->chain[depth - 2] : QS_NONE;
        uint32_t next = nearest(l, top, before);
        if (next == QS_NONE || too_unlike(l, top, next, least, of_inner)) {
            l->size[top] = 0;       /* final: nothing else is nearer to it; its points still name it */
            depth--;
        } else if (next == before) {
            depth -= 2;
            join(l, top < before ? top : before, top < before ? before : top);
        } else {
            l->chain[depth++] = next;
        }
    }
}
