/* SPDX-License-Identifier: Apache-2.0 */
/* Which recipients exist. */
#ifndef QSURGEON_RECIPIENTS_H
#define QSURGEON_RECIPIENTS_H

#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

/* Does this delivery result say that the recipient does not exist? Enhanced status 5.1.1 (RFC 3463), or the words that
 * mail servers use for it. */
bool qs_reason_no_such_user(struct qs_span reason);

#endif
