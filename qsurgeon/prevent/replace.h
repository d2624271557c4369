/* SPDX-License-Identifier: Apache-2.0 */
/* Small files that are read whole and replaced at once. Private to prevent/ and cli/; never for queue files. */
#ifndef QSURGEON_PREVENT_REPLACE_H
#define QSURGEON_PREVENT_REPLACE_H

#include <talloc.h>

#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

/* A regular file of at most `most` bytes: under parent, and a NUL behind it. QS_GONE, QS_NOPERM, QS_IO; QS_DATA: too large,
 * or no regular file; QS_NOMEM. */
enum qs_status qs_file_read(TALLOC_CTX *parent, const char *path, size_t most, struct qs_span *out,
                            struct qs_error *err) QS_MUST_CHECK;

/* Makes `text` the content of the file: a new file beside it, synced, renamed over it. Whoever opens it has the old or the
 * new one, whole. Owner and mode stay as they were; a new file gets `mode`. A symbolic link, or what is no regular file, is
 * refused with QS_USAGE. QS_IO, QS_NOPERM, QS_GONE: no such directory; QS_NOMEM. */
enum qs_status qs_file_replace(const char *path, struct qs_span text, unsigned mode, struct qs_error *err) QS_MUST_CHECK;

#endif
