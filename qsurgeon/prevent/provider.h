/* SPDX-License-Identifier: Apache-2.0 */
/* The provider behind a host name. Private to prevent/. */
#ifndef QSURGEON_PREVENT_PROVIDER_H
#define QSURGEON_PREVENT_PROVIDER_H

#include <stdbool.h>

#include "qsurgeon/text.h"

enum { QS_PROVIDER_TEXT = 256 };

/* Writes the registrable domain of a verified name in lower case into `to`, by the Public Suffix List that libpsl was built
 * with. False: the name is no name, "unknown", or a public suffix itself. */
bool qs_provider_of(struct qs_span name, char to[QS_PROVIDER_TEXT]);

#endif
