/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to records. Bounds are checked here and nowhere else; nothing is allocated. */
#include "record.h"

enum { HEADER_MAX = 6 };        /* the type and up to 5 bytes of length */

struct pf_cursor pf_cursor_at(struct qs_file *file, uint64_t offset)
{
    return (struct pf_cursor){.file = file, .offset = offset};
}

/* The bytes from `offset` that are in memory: at least `want`, or all up to the end of the file. */
static enum qs_status bytes_at(struct pf_cursor *cursor, uint64_t offset, size_t want, struct qs_span *out,
                               struct qs_error *err)
{
    uint64_t skip = offset - cursor->window_offset;
    if (offset < cursor->window_offset || skip > cursor->window.len || cursor->window.len - skip < want) {
        struct qs_span window;
        enum qs_status status = qs_file_at(cursor->file, offset, want, &window, err);
        if (status != QS_OK)
            return status;
        cursor->window = window;
        cursor->window_offset = offset;
        skip = 0;
    }
    *out = (struct qs_span){cursor->window.ptr + skip, cursor->window.len - (size_t)skip};
    return QS_OK;
}

static enum qs_status cut_off(const struct pf_record *record, struct qs_error *err)
{
    return qs_fail(err, QS_DATA, "offset %llu: the file ends inside a record",
                   (unsigned long long)record->offset);
}

/* One record as it stands there. *whole is its length with type and length bytes. */
static enum qs_status read_raw(struct pf_cursor *cursor, uint64_t offset, struct pf_record *out,
                               size_t *whole, struct qs_error *err)
{
    struct pf_record record = {.offset = offset};
    struct qs_span at;
    enum qs_status status = bytes_at(cursor, record.offset, HEADER_MAX, &at, err);
    if (status != QS_OK)
        return status;
    record.type = (unsigned char)at.ptr[0];

    uint64_t length = 0;
    size_t header = 1;
    for (;;) {
        if (header == HEADER_MAX)
            return qs_fail(err, QS_DATA, "offset %llu: the length of the record has too many bytes",
                           (unsigned long long)record.offset);
        if (header == at.len)
            return cut_off(&record, err);
        unsigned char c = (unsigned char)at.ptr[header];
        length |= (uint64_t)(c & 0x7f) << (7 * (header - 1));
        header++;
        if ((c & 0x80) == 0)
            break;
    }
    uint64_t size = qs_file_size(cursor->file);
    if (size < record.offset || size - record.offset < header || length > size - record.offset - header)
        return cut_off(&record, err);
    if (length > PF_RECORD_MAX)
        return qs_fail(err, QS_DATA, "offset %llu: a record of %llu bytes, longer than Postfix writes any",
                       (unsigned long long)record.offset, (unsigned long long)length);
    *whole = header + (size_t)length;
    if (at.len < *whole) {
        status = bytes_at(cursor, record.offset, *whole, &at, err);
        if (status != QS_OK && status != QS_END)
            return status;
        if (status == QS_END || at.len < *whole)
            return cut_off(&record, err);
    }
    record.data = (struct qs_span){at.ptr + header, (size_t)length};
    *out = record;
    return QS_OK;
}

enum qs_status pf_record_next(struct pf_cursor *cursor, struct pf_record *out, struct qs_error *err)
{
    uint64_t size = qs_file_size(cursor->file), offset = cursor->offset, consumed = cursor->consumed;
    uint64_t pointers = cursor->pointers;
    struct pf_record record;
    for (;;) {
        size_t whole = 0;
        enum qs_status status = read_raw(cursor, offset, &record, &whole, err);
        if (status != QS_OK)
            return status;
        if (consumed > size || whole > size - consumed)
            return qs_fail(err, QS_DATA, "offset %llu: pointer records lead round in a loop",
                           (unsigned long long)offset);
        consumed += whole;
        offset += whole;
        if (record.type != 'p')
            break;
        uint64_t target;
        if (!qs_parse_u64(qs_span_trim(record.data), &target))
            return qs_fail(err, QS_DATA, "offset %llu: a pointer record without a number",
                           (unsigned long long)record.offset);
        if (target >= size)
            return qs_fail(err, QS_DATA, "offset %llu: a pointer record leads to %llu, outside the file",
                           (unsigned long long)record.offset, (unsigned long long)target);
        if (target != 0) {
            offset = target;
            pointers++;
        }
    }
    cursor->offset = offset;
    cursor->consumed = consumed;
    cursor->pointers = pointers;
    *out = record;
    return QS_OK;
}
