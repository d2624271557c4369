/* SPDX-License-Identifier: Apache-2.0 */
/* The table of messages, for `list` and for a cluster's samples. Private to report/. */
#ifndef QSURGEON_REPORT_LIST_H
#define QSURGEON_REPORT_LIST_H

#include "print.h"

void qs_print_messages(FILE *out, const struct qs_view *view, const uint32_t *message, uint32_t count,
                       const struct qs_style *style);

#endif
