/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a file holds: loading it as a saved scan ends, and either changes nothing or gives a scan that
 * can be clustered, and that is the same after saving and loading it again. The file's length and page
 * count are made to agree first, or nearly all inputs would be refused before SQLite sees them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qsurgeon/select.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void write_file(int fd, const uint8_t *data, size_t size)
{
    static const uint8_t zeros[65536];
    size_t page = size > 17 ? (size_t)data[16] << 8 | data[17] : 0,
           pages = page >= 512 ? (size + page - 1) / page : 0;
    const uint8_t count[] = {(uint8_t)(pages >> 24), (uint8_t)(pages >> 16), (uint8_t)(pages >> 8),
                             (uint8_t)pages};
    must(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    if (pages > 0 && size >= 100) {
        must(pwrite(fd, zeros, pages * page - size, (off_t)size) == (ssize_t)(pages * page - size));
        must(pwrite(fd, count, sizeof count, 28) == sizeof count);
    }
}

/* What a loader must have checked: every index in range, every string there. */
static void check_scan(const struct qs_scan *scan)
{
    for (uint32_t i = 0; i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        must(m->instance < scan->queue_count && m->id != NULL && m->id[0] != '\0' && strlen(m->id) <= 64);
        must(m->recipient_count <= QS_RECIPIENTS_MAX && (m->recipient_count == 0 || m->recipients != NULL));
        for (uint32_t k = 0; k < m->recipient_count; k++)
            must(m->recipients[k].state <= QS_RCPT_CANCELLED);
        for (const char *p = m->id; *p != '\0'; p++)
            must((*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') ||
                 *p == '_');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct qs_scan_options options = {.threads = 1, .detail = true};
    char path[] = "/tmp/qsurgeon-fuzz-XXXXXX";
    int fd = mkstemp(path);
    TALLOC_CTX *top = talloc_new(NULL);
    struct qs_scan *scan = qs_scan_new(top, &options), *again = qs_scan_new(top, &options);
    struct qs_site *site = qs_site_new(top);
    struct qs_error err = {""};
    int64_t taken = 0;
    must(fd >= 0 && scan != NULL && again != NULL && site != NULL);
    write_file(fd, data, size);
    enum qs_status status = qs_load(scan, site, path, &taken, &err);
    check_scan(scan);
    if (status == QS_OK) {
        struct qs_view view = {.scan = scan, .now = taken};
        must(qs_cluster(top, scan, &view.clusters, &err) == QS_OK);
        must(qs_save(&view, path, true, &err) == QS_OK);
        must(qs_load(again, NULL, path, &taken, &err) == QS_OK);
        must(again->count == scan->count && taken == view.now && again->queue_count == scan->queue_count);
    } else {
        must(err.text[0] != '\0' && scan->count == 0 && scan->queue_count == 0 && site->local_count == 0 &&
             taken == 0);
    }
    talloc_free(top);
    must(close(fd) == 0 && unlink(path) == 0);
    return 0;
}
