/* SPDX-License-Identifier: Apache-2.0 */
/* For unit tests that work on files: a directory of their own, and files in it. */
#ifndef QS_TESTS_PLACE_H
#define QS_TESTS_PLACE_H

#include "unit.h"

#include <stdlib.h>

static char place[64];

/* For cmocka_run_group_tests(): the talloc root and the directory. */
static int setup(void **state)
{
    snprintf(place, sizeof place, "/tmp/qsurgeon-unit.XXXXXX");
    return root_setup(state) != 0 || !mkdtemp(place) ? -1 : 0;
}

static int teardown(void **state)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", place);
    return (system(command) != 0) | root_teardown(state);
}

/* The name of a file there; good for the next seven calls. */
static const char *in_place(const char *name)
{
    static char paths[8][200];
    static unsigned next;
    char *to = paths[next++ % 8];
    snprintf(to, sizeof paths[0], "%s/%s", place, name);
    return to;
}

static void put(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

#endif
