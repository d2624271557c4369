/* SPDX-License-Identifier: Apache-2.0 */
/* Scans a queue and prints a verdict line for each message, as `stormlab score` reads them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "qsurgeon/cluster.h"
#include "qsurgeon/format.h"
#include "qsurgeon/scan.h"
#include "qsurgeon/verdict.h"

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    struct qs_error err = {""};
    struct qs_instance **list;
    size_t count;
    bool details = argc > 3 && strcmp(argv[3], "-v") == 0;
    if (argc < 2)
        return 64;
    TALLOC_CTX *top = talloc_new(NULL);
    struct qs_place place = {argv[1], argc > 2 && *argv[2] ? argv[2] : NULL};
    struct qs_site *site = qs_site_new(top);
    struct qs_scan_options options = {.threads = 0};
    struct qs_scan *scan = qs_scan_new(top, &options);
    if (qs_format_discover(top, NULL, &place, &list, &count, &err) != QS_OK)
        goto fail;
    for (size_t i = 0; i < count; i++) {
        struct qs_queue *queue;
        if (list[i]->format->open(scan, list[i], &queue, &err) != QS_OK || qs_scan_add(scan, list[i], queue, &err) != QS_OK)
            goto fail;
        if (place.config && list[i]->format->site(list[i], site, &err) != QS_OK)
            goto fail;
    }
    double t0 = seconds();
    if (qs_scan_run(scan, NULL, NULL, &err) != QS_OK)
        goto fail;
    struct qs_clusters *clusters;
    struct qs_judgement *j;
    double t1 = seconds();
    if (qs_cluster(top, scan, &clusters, &err) != QS_OK)
        goto fail;
    double t2 = seconds();
    if (qs_judge(top, scan, clusters, site, time(NULL), &j, &err) != QS_OK)
        goto fail;
    double t3 = seconds();
    fprintf(stderr, "%u messages: scan %.0f ms, cluster %.0f ms, judge %.0f ms\n", scan->count, 1e3 * (t1 - t0), 1e3 * (t2 - t1),
            1e3 * (t3 - t2));
    for (uint32_t i = 0; i < scan->count; i++) {
        uint32_t g = j->group_of[i];
        printf("{\"queue_id\":\"%s\",\"verdict\":\"%s\",\"cluster\":", scan->messages[i].id,
               qs_verdict_name((enum qs_verdict)j->of[i].verdict));
        if (g == QS_NO_CLUSTER)
            printf("null");
        else
            printf("\"%s\"", j->group[g].name);
        printf(",\"cause\":\"%s\",\"score\":%.2f", qs_cause_name((enum qs_cause)j->of[i].cause), (double)j->of[i].score);
        struct qs_evidence *e;
        size_t n;
        if (details && qs_explain_message(top, j, i, &e, &n, &err) == QS_OK) {
            printf(",\"evidence\":\"");
            for (size_t k = 0; k < n; k++)
                printf("%s%s %.2f (%s)", k ? "; " : "", e[k].name, e[k].weight, e[k].detail);
            printf("\"");
            talloc_free(e);
        }
        printf("}\n");
    }
    talloc_free(top);
    return 0;
fail:
    fprintf(stderr, "quality: %s\n", err.text);
    talloc_free(top);
    return 1;
}
