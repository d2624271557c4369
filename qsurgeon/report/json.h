/* SPDX-License-Identifier: Apache-2.0 */
/* JSON objects on one line of pure ASCII, by jansson. An object that could not be made (no memory) is noticed
 * once, when it is written. Private to report/. */
#ifndef QSURGEON_REPORT_JSON_H
#define QSURGEON_REPORT_JSON_H

#include <jansson.h>

#include "print.h"

struct qs_json {
    json_t *object;
    bool failed;
};

struct qs_json qs_json_new(void);
/* Each adds one member. Text: bytes that are no UTF-8 become U+FFFD; _or_null: the empty text is null. */
void qs_json_text(struct qs_json *json, const char *key, struct qs_span text);
void qs_json_text_or_null(struct qs_json *json, const char *key, struct qs_span text);
void qs_json_int(struct qs_json *json, const char *key, int64_t n);
void qs_json_count(struct qs_json *json, const char *key, uint64_t n);
void qs_json_real(struct qs_json *json, const char *key, double x);      /* to three decimals */
void qs_json_bool(struct qs_json *json, const char *key, bool yes);
void qs_json_null(struct qs_json *json, const char *key);
/* Take the member over; a failed one, or NULL, is remembered. */
void qs_json_object(struct qs_json *json, const char *key, struct qs_json member);
void qs_json_value(struct qs_json *json, const char *key, json_t *array);
/* Adds a finished object to an array; a text. */
void qs_json_append(struct qs_json *owner, json_t *array, struct qs_json item);
void qs_json_append_text(struct qs_json *owner, json_t *array, struct qs_span text);

/* Writes the object and a newline, and frees it. QS_NOMEM when it is not complete; QS_IO. */
enum qs_status qs_json_line(FILE *out, struct qs_json *json, struct qs_error *err) QS_MUST_CHECK;

/* The members of a message that every report has: those of `list --json`. */
void qs_json_message(struct qs_json *json, const struct qs_view *view, uint32_t message);

#endif
