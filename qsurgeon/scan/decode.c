/* SPDX-License-Identifier: Apache-2.0 */
/* Messages for people, through GMime. The only file that knows GMime; its objects hang on talloc
 * destructors. */
#include "qsurgeon/decode.h"

#include <gmime/gmime.h>
#include <string.h>

#include "coding.h"

enum {
    DEPTH = 32,                 /* nested multiparts and messages that are followed */
    PARTS = 1000,               /* leaf parts that are told about */
};

void qs_decode_init(void)
{
    g_mime_init();
}

/* A GObject that lives as long as its talloc parent. */
struct holder {
    GObject *object;
};

static int holder_unref(struct holder *holder)
{
    g_object_unref(holder->object);
    return 0;
}

/* Takes over the reference; NULL when there is no object or no memory (then it is given up). */
static void *hold(TALLOC_CTX *parent, void *object)
{
    if (object == NULL) {
        return NULL;
    }
    struct holder *holder = talloc(parent, struct holder);
    if (holder == NULL) {
        g_object_unref(object);
        return NULL;
    }
    holder->object = object;
    talloc_set_destructor(holder, holder_unref);
    return object;
}

/* Header bytes without a charset are UTF-8 or, failing that, windows-1252, as mail readers take them. */
struct options {
    GMimeParserOptions *options;
};

static int options_free(struct options *options)
{
    g_mime_parser_options_free(options->options);
    return 0;
}

static GMimeParserOptions *options_new(TALLOC_CTX *parent)
{
    const char *fallback[] = { "utf-8", "windows-1252", NULL };
    struct options *options = talloc(parent, struct options);
    if (options == NULL) {
        return NULL;
    }
    options->options = g_mime_parser_options_new();
    talloc_set_destructor(options, options_free);
    g_mime_parser_options_set_fallback_charsets(options->options, fallback);
    return options->options;
}

/* A copy in talloc of text that GLib owns and is freed here. */
static const char *adopt(TALLOC_CTX *parent, char *text)
{
    const char *copy = text == NULL ? NULL : talloc_strdup(parent, text);
    g_free(text);
    return copy;
}

struct collector {
    TALLOC_CTX *scratch;
    struct qs_decoded *out;
    unsigned alternatives;      /* multipart/alternative met so far */
    bool nomem;
};

/* Whether the charset says no more than that the text is ASCII or UTF-8. */
static bool is_universal(const char *charset)
{
    return charset == NULL || g_ascii_strcasecmp(charset, "us-ascii") == 0
        || g_ascii_strcasecmp(charset, "utf-8") == 0;
}

/* The text of a part that is not what its charset says: UTF-8 where it is that, other bytes as
 * windows-1252. NULL: its charset is right, or it cannot be read. */
static const char *undeclared_text(TALLOC_CTX *parent, TALLOC_CTX *scratch, GMimePart *object)
{
    GMimeDataWrapper *content = g_mime_part_get_content(object);
    GMimeStream *bytes = content == NULL ? NULL : hold(scratch, g_mime_stream_mem_new());
    if (bytes == NULL || g_mime_data_wrapper_write_to_stream(content, bytes) < 0) {
        return NULL;
    }
    GByteArray *raw = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(bytes));
    if (raw->len == 0 || g_utf8_validate((const char *)raw->data, raw->len, NULL)) {
        return NULL;
    }
    size_t size = (size_t)raw->len * CHARSET_GROWTH;
    char *text = talloc_size(scratch, size);
    struct charset universal = { CHARSET_UTF8, 0 };
    size_t n = text == NULL
                   ? 0
                   : charset_decode(text, size, (struct qs_span){ (char *)raw->data, raw->len }, universal);
    return text == NULL ? NULL : talloc_strndup(parent, text, n);
}

static void add_leaf(struct collector *c, GMimePart *object, unsigned alternative, bool returned)
{
    struct qs_decoded *out = c->out;
    if (out->part_count == PARTS) {
        return;
    }
    unsigned count = (unsigned)out->part_count + 1;
    struct qs_decoded_part *grown = talloc_realloc(out, out->part, struct qs_decoded_part, count);
    if (grown == NULL) {
        c->nomem = true;
        return;
    }
    out->part = grown;
    struct qs_decoded_part *part = &grown[out->part_count++];
    memset(part, 0, sizeof(*part));
    GMimeContentType *type = g_mime_object_get_content_type(GMIME_OBJECT(object));
    part->type = adopt(out, g_mime_content_type_get_mime_type(type));
    part->charset = talloc_strdup(out,
                                  g_mime_object_get_content_type_parameter(GMIME_OBJECT(object), "charset"));
    part->name = talloc_strdup(out, g_mime_part_get_filename(object));
    const char *disposition = g_mime_object_get_disposition(GMIME_OBJECT(object));
    part->attached = disposition != NULL
                     && g_ascii_strcasecmp(disposition, GMIME_DISPOSITION_ATTACHMENT) == 0;
    part->alternative = alternative;
    part->returned = returned;
    if (part->type == NULL) {
        c->nomem = true;
        return;
    }
    if (GMIME_IS_TEXT_PART(object)) {
        part->text = is_universal(part->charset) ? undeclared_text(out, c->scratch, object) : NULL;
        if (part->text == NULL) {
            char *text = g_mime_text_part_get_text(GMIME_TEXT_PART(object));
            part->text = text == NULL ? NULL : adopt(out, g_utf8_make_valid(text, -1));
            g_free(text);
        }
        part->size = part->text == NULL ? 0 : strlen(part->text);
        return;
    }
    GMimeDataWrapper *content = g_mime_part_get_content(object);
    GMimeStream *sink = content == NULL ? NULL : hold(c->scratch, g_mime_stream_null_new());
    if (sink != NULL) {
        ssize_t size = g_mime_data_wrapper_write_to_stream(content, sink);
        part->size = size > 0 ? (size_t)size : 0;
    }
}

/* Follows the tree with a stack of its own: nesting is the sender's choice. */
static void collect(struct collector *c, GMimeObject *root)
{
    struct {
        GMimeObject *object;
        int next;               /* child to visit; -1 before the object itself */
        unsigned alternative;
        bool returned;
    } stack[DEPTH];
    unsigned depth = 1;
    stack[0].object = root;
    stack[0].next = 0;
    stack[0].alternative = 0;
    stack[0].returned = false;
    while (depth > 0 && !c->nomem) {
        GMimeObject *object = stack[depth - 1].object, *child = NULL;
        unsigned alternative = stack[depth - 1].alternative;
        bool returned = stack[depth - 1].returned;
        int next = stack[depth - 1].next++;
        if (GMIME_IS_MULTIPART(object)) {
            GMimeMultipart *multipart = GMIME_MULTIPART(object);
            if (next == 0 && g_mime_content_type_is_type(g_mime_object_get_content_type(object), "multipart",
                                                         "alternative")) {
                alternative = stack[depth - 1].alternative = ++c->alternatives;
            }
            child = next < g_mime_multipart_get_count(multipart) ? g_mime_multipart_get_part(multipart, next)
                                                                 : NULL;
        } else if (GMIME_IS_MESSAGE_PART(object) && next == 0) {
            GMimeMessage *message = g_mime_message_part_get_message(GMIME_MESSAGE_PART(object));
            child = message == NULL ? NULL : g_mime_message_get_mime_part(message);
            returned = true;
            alternative = 0;
        } else if (GMIME_IS_PART(object)) {
            add_leaf(c, GMIME_PART(object), alternative, returned);
        }
        if (child == NULL) {
            depth--;
        } else if (depth < DEPTH) {
            stack[depth].object = child;
            stack[depth].next = 0;
            stack[depth].alternative = alternative;
            stack[depth].returned = returned;
            depth++;
        }
    }
}

static const char *addresses(TALLOC_CTX *parent, InternetAddressList *list)
{
    if (list == NULL || internet_address_list_length(list) == 0) {
        return NULL;
    }
    return adopt(parent, internet_address_list_to_string(list, NULL, FALSE));
}

enum qs_status qs_decode(TALLOC_CTX *parent, struct qs_span content, struct qs_decoded **out,
                         struct qs_error *err)
{
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_decoded *decoded = talloc_zero(scratch, struct qs_decoded);
    enum qs_status status = QS_OK;
    if (scratch == NULL || decoded == NULL) {
        status = qs_fail(err, QS_NOMEM, "out of memory");
        goto done;
    }
    const char *bytes = content.len == 0 ? "" : content.ptr;
    GMimeStream *stream = hold(scratch, g_mime_stream_mem_new_with_buffer(bytes, content.len));
    GMimeParser *parser = stream == NULL ? NULL : hold(scratch, g_mime_parser_new_with_stream(stream));
    if (parser == NULL) {
        status = qs_fail(err, QS_NOMEM, "out of memory");
        goto done;
    }
    GMimeParserOptions *options = options_new(scratch);
    if (options == NULL) {
        status = qs_fail(err, QS_NOMEM, "out of memory");
        goto done;
    }
    GMimeMessage *message = hold(scratch, g_mime_parser_construct_message(parser, options));
    if (message == NULL) {
        status = qs_fail(err, QS_DATA, "not a mail message");
        goto done;
    }
    decoded->from = addresses(decoded, g_mime_message_get_from(message));
    decoded->to = addresses(decoded, g_mime_message_get_to(message));
    decoded->subject = talloc_strdup(decoded, g_mime_message_get_subject(message));
    GDateTime *date = g_mime_message_get_date(message);
    decoded->date = date == NULL ? NULL : adopt(decoded, g_date_time_format(date, "%Y-%m-%d %H:%M:%S %z"));
    struct collector c = { scratch, decoded, 0, false };
    GMimeObject *root = g_mime_message_get_mime_part(message);
    if (root != NULL) {
        collect(&c, root);
    }
    if (c.nomem) {
        status = qs_fail(err, QS_NOMEM, "out of memory");
        goto done;
    }
    *out = talloc_steal(parent, decoded);
done:
    talloc_free(scratch);
    return status;
}
