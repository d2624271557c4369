/* SPDX-License-Identifier: Apache-2.0 */
/* What the unit tests share: cmocka with the headers it wants, and a talloc root that must be empty at the
 * end. Not for helpers of a single test. */
#ifndef QS_TESTS_UNIT_H
#define QS_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <talloc.h>

/* The parent of whatever a test makes. */
static TALLOC_CTX *root;

/* For cmocka_run_group_tests(): nothing may be left under the root, nor under NULL, where scratch lives. */
static int root_setup(void **state)
{
    (void)state;
    talloc_enable_null_tracking();
    root = talloc_named_const(NULL, 0, "root");
    return root == NULL ? -1 : 0;
}

static int root_teardown(void **state)
{
    size_t left;
    (void)state;
    left = talloc_total_blocks(NULL) - 2;       /* NULL's own block and the root */
    if (left > 0)
        talloc_report_full(NULL, stderr);
    talloc_free(root);
    talloc_disable_null_tracking();
    return left == 0 ? 0 : -1;
}

/* For cmocka_unit_test_teardown(): frees whatever a test made under the root; what the code under test forgot elsewhere
 * stays, and is counted at the end. */
static inline int free_all(void **state)
{
    (void)state;
    talloc_free_children(root);
    return 0;
}

#endif
