/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a Postfix queue file, one after the other in reading order. Knows how a record is encoded
 * and where a pointer leads; not what the types mean.
 *
 * A record is a type byte, a length in groups of 7 bits, least significant first, and that many bytes
 * (Postfix src/global/record.c). A record of type p holds a decimal file offset where reading goes on; 0
 * means nothing. Postfix writes those when a milter edits a message: new text stands behind the end of the
 * message. */
#ifndef QSURGEON_POSTFIX_RECORD_H
#define QSURGEON_POSTFIX_RECORD_H

#include <stdint.h>

#include "qsurgeon/reader.h"

enum {
    /* Postfix cuts text into records of line_length_limit (2,048) bytes and headers at header_size_limit
     * (102,400). */
    PF_RECORD_MAX = 200 * 1024,
    /* In the envelope of one message, or in its content when that is walked without copying it. */
    PF_RECORDS_MAX = 4 * 1000 * 1000,
};

struct pf_record {
    uint64_t offset;            /* of the type byte */
    unsigned char type;
    /* lives until the next record; in a file of up to QS_FILE_WINDOW until that is closed */
    struct qs_span data;
};

struct pf_cursor {
    struct qs_file *file;
    uint64_t offset;            /* of the next record */
    uint64_t consumed;          /* bytes of all records read: no byte of a sound file is read twice */
    uint64_t pointers;          /* followed so far */
    uint64_t window_offset;     /* of window in the file */
    struct qs_span window;      /* what is in memory */
};

struct pf_cursor pf_cursor_at(struct qs_file *file, uint64_t offset);

/* The next record; pointers are followed, never returned. QS_END: the file ends here. QS_DATA: cut off,
 * too long, a pointer that leads nowhere, or more bytes read than the file has (a loop). QS_IO. After a
 * failure the cursor stays where it was. */
enum qs_status pf_record_next(struct pf_cursor *cursor, struct pf_record *out,
                              struct qs_error *err) QS_MUST_CHECK;

#endif
