/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that belong together by their text.
 *
 * Equal sketches are one point; points are taken in an order that depends on content alone (most messages first, then the
 * sketch bytes). A point joins the leader it resembles most among those that share an LSH band with it, when the estimated
 * Jaccard similarity to that leader reaches the bound; else it becomes a leader. Nobody joins by way of another member, so
 * weak links do not chain (leader clustering, Hartigan 1975; LSH banding, Broder 1997, Leskovec et al., ch. 3).
 * The order of input has no influence. */
#ifndef QSURGEON_CLUSTER_H
#define QSURGEON_CLUSTER_H

#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/scan.h"

#define QS_NO_CLUSTER UINT32_MAX

enum { QS_CLUSTER_NAME = 12 };

struct qs_cluster {
    char name[QS_CLUSTER_NAME];     /* "C-7f3a9b2c": from the features that most members share, so that it stays while
                                       the queue moves, and is the same on every host */
    uint32_t leader;                /* index of a message */
    uint32_t first, count;          /* its messages are qs_clusters.member[first .. first + count) */
    float cohesion;                 /* mean estimated similarity of the members to the leader */
};

struct qs_clusters {
    struct qs_cluster *item;        /* largest first, then by name; each has two members or more */
    uint32_t count;
    uint32_t *member;               /* indexes of messages */
    uint32_t *of;                   /* cluster of each message, or QS_NO_CLUSTER */
};

/* Groups the messages of `scan`. The result is a child of parent. QS_NOMEM. */
enum qs_status qs_cluster(TALLOC_CTX *parent, const struct qs_scan *scan, struct qs_clusters **out,
                          struct qs_error *err) QS_MUST_CHECK;

/* Do two texts resemble each other as much as a member and its leader must? The same bound as in qs_cluster: short texts
 * need more. Never for a text without shingles. */
bool qs_cluster_alike(const struct qs_fingerprint *a, const struct qs_fingerprint *b);

#endif
