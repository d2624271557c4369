/* SPDX-License-Identifier: Apache-2.0 */
/* The course of a scan over two queues that exist in memory only: a pause while they are listed and another while they are
 * read show part of it, and in the end each message is there once. */
#include "unit.h"

#include "qsurgeon/scan.h"
#include "qsurgeon/text.h"

enum { QUEUES = 2, EACH = 3000 };

struct qs_queue {
    unsigned number, next;
    char id[16];
};

/* Every hundredth comes twice, as a message that moves does. */
static enum qs_status next(struct qs_queue *queue, struct qs_entry *e, struct qs_error *err)
{
    if (queue->next == EACH + EACH / 100)
        return QS_END;
    if (queue->next == 7) {
        queue->next++;
        return qs_fail(err, QS_SKIP, "deferred/x: not a queue ID");
    }
    (void)snprintf(queue->id, sizeof queue->id, "%X%04u", queue->number + 10,
                   queue->next < EACH ? queue->next : (queue->next - EACH) * 100);
    queue->next++;
    *e = (struct qs_entry){.id = queue->id, .inode = queue->next};
    return QS_OK;
}

static enum qs_status read_envelope(const struct qs_queue *queue, struct qs_entry *e, struct qs_reader *reader,
                                    struct qs_envelope *out, struct qs_error *err)
{
    (void)queue;
    (void)e;
    (void)reader;
    (void)err;
    *out = (struct qs_envelope){.queue_name = "deferred", .size = 10, .sender = qs_span_of("ann@example.org"), .local_uid = -1};
    return QS_OK;
}

static enum qs_status content(const struct qs_queue *queue, const struct qs_entry *e, struct qs_reader *reader, size_t cap,
                              struct qs_span *out, bool *whole, struct qs_error *err)
{
    (void)queue;
    (void)e;
    (void)reader;
    (void)cap;
    (void)err;
    *out = qs_span_of("Subject: x\n\nA few words are enough.\n");
    *whole = true;
    return QS_OK;
}

static const struct qs_format memory = {.name = "memory", .next = next, .read = read_envelope, .content = content};
static const struct qs_instance instance[QUEUES] = {{.format = &memory, .name = "one"}, {.format = &memory, .name = "two"}};

static struct qs_scan *scan_new(void)
{
    static const struct qs_scan_options options = {.threads = 2};
    struct qs_scan *scan = qs_scan_new(root, &options);
    assert_non_null(scan);
    for (unsigned q = 0; q < QUEUES; q++) {
        struct qs_queue *queue = talloc_zero(scan, struct qs_queue);
        assert_non_null(queue);
        queue->number = q;
        assert_int_equal(qs_scan_add(scan, &instance[q], queue, NULL), QS_OK);
    }
    return scan;
}

static void assert_complete(const struct qs_scan *scan)
{
    static bool seen[QUEUES][EACH];
    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < scan->count; i++) {
        const struct qs_message *m = &scan->messages[i];
        uint64_t n = 0;
        assert_true(qs_parse_u64(qs_span_of(m->id + 1), &n) && n < EACH);
        assert_int_equal(m->id[0], "AB"[m->instance]);
        assert_false(seen[m->instance][n]);
        seen[m->instance][n] = true;
        assert_int_equal(m->size, 10);
    }
    assert_int_equal(scan->count, QUEUES * EACH - QUEUES);             /* number 7 is none */
    assert_int_equal(scan->totals.listed, scan->count);
    assert_int_equal(scan->totals.moved, QUEUES * (EACH / 100));
    assert_int_equal(scan->totals.unreadable, QUEUES);
    assert_int_equal(scan->totals.skipped, 0);
    assert_int_equal(scan->totals.bytes, 10 * scan->count);
    assert_int_equal(scan->problem_count, QUEUES);
    assert_string_equal(scan->problems[0].text, "deferred/x: not a queue ID");
    assert_false(scan->listing);
}

static void at_once(void **state)
{
    (void)state;
    struct qs_scan *scan = scan_new();
    assert_int_equal(qs_scan_run(scan, NULL, NULL, NULL), QS_OK);
    assert_complete(scan);
}

/* Stops the listing at `stop_listing` entries and every reading until it is told to go on. */
struct wish {
    uint64_t stop_listing;
    unsigned asked_listing, pauses;
    bool pause;
};

static bool progress(void *data, uint64_t done, uint64_t listed, bool listing)
{
    struct wish *wish = data;
    assert_true(done <= listed && listed <= QUEUES * EACH);
    if (listing) {
        wish->asked_listing++;
        if (!wish->stop_listing || listed < wish->stop_listing)
            return true;
        wish->stop_listing = 0;
        return false;
    }
    if (!wish->pause)
        return true;
    wish->pauses++;
    return false;
}

static void listing_gives_way(void **state)
{
    static const uint64_t stops[] = {1, 1000, EACH + 500};
    (void)state;
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++)
        for (int pause = 0; pause < 2; pause++) {
            struct qs_scan *scan = scan_new();
            struct wish wish = {.stop_listing = stops[i], .pause = pause};
            enum qs_status status;
            while ((status = qs_scan_run(scan, progress, &wish, NULL)) == QS_BUSY) {
                assert_true(wish.pauses > 0);
                if (scan->listing)
                    assert_true(scan->totals.listed >= stops[i] && scan->totals.listed < QUEUES * EACH - QUEUES);
                assert_true(scan->count <= scan->totals.listed);
                wish.pause = false;
            }
            assert_int_equal(status, QS_OK);
            assert_int_equal(wish.stop_listing, 0);
            assert_true(wish.asked_listing > EACH / 256);
            assert_complete(scan);
            talloc_free(scan);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(at_once, free_all),
        cmocka_unit_test_teardown(listing_gives_way, free_all),
    };
    return cmocka_run_group_tests_name("scan", tests, root_setup, root_teardown);
}
