/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes are a queue file in deferred, a submission in maildrop, and the defer log of a sound message
 * in hold. Whatever they are: every span can be read, a cut content is the beginning of the whole one, and
 * a second look sees the same. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../formats/postfix/postfix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ID "7A1B2C3D4E5"

static const char *const dirs[] = {"maildrop", "deferred", "hold", "defer"};
static const char *const files[] = {"maildrop/" ID, "deferred/" ID, "hold/" ID, "defer/" ID};
enum { DIRS = 4, FILES = 4, SOUND = 2 };

/* Its recipients' records stand at 133, 140 and 151. */
static const char sound[] = "C\x5f              6             118               3 "
                            "              0               6               0"
                            "T\x0c" "1700000001 1" "S\3a@b" "M\0" "N\4text" "X\0" "O\5One@x" "R\5one@x"
                            "D\x09" "two t@x.y" "R\3a@b" "E\0";

static char top[] = "/tmp/qsurgeon-fuzz-XXXXXX";
static int fds[FILES];
static struct qs_reader *reader;
static volatile unsigned char sink;

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void tidy(void)
{
    int dir = open(top, O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < FILES; i++)
        (void)unlinkat(dir, files[i], 0);
    for (size_t i = 0; i < DIRS; i++)
        (void)unlinkat(dir, dirs[i], AT_REMOVEDIR);
    (void)close(dir);
    (void)rmdir(top);
    talloc_free(reader);
}

static void prepare(void)
{
    must(mkdtemp(top) != NULL && atexit(tidy) == 0);
    int dir = open(top, O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < DIRS; i++)
        must(mkdirat(dir, dirs[i], 0700) == 0);
    for (size_t i = 0; i < FILES; i++) {
        fds[i] = openat(dir, files[i], O_WRONLY | O_CREAT | O_EXCL, 0700);
        must(fds[i] >= 0);
    }
    must(close(dir) == 0 && write(fds[SOUND], sound, sizeof sound - 1) == (ssize_t)sizeof sound - 1);
    reader = qs_reader_new(NULL);
    must(reader != NULL);
}

static void touch(struct qs_span span)
{
    for (size_t i = 0; i < span.len; i++)
        sink = (unsigned char)(sink ^ (unsigned char)span.ptr[i]);
}

static void look_at(const struct qs_envelope *e)
{
    touch(e->sender);
    touch(e->client_address);
    touch(e->client_name);
    touch(e->helo);
    touch(e->protocol);
    touch(e->sasl_username);
    touch(e->origin_id);
    touch(e->envelope_id);
    touch(e->full_name);
    for (size_t i = 0; i < e->recipient_count; i++) {
        touch(e->recipients[i].address);
        touch(e->recipients[i].original);
        touch(e->recipients[i].reason);
    }
    must(memchr(e->finding, '\0', sizeof e->finding) != NULL);
}

static void read_one(const struct qs_queue *queue, struct qs_entry *e, bool is_sound)
{
    struct qs_envelope envelope;
    struct qs_error err, again;
    struct qs_span content;
    bool whole;
    enum qs_status status = pf_read(queue, e, reader, &envelope, &err);
    must(status == QS_OK || (status == QS_DATA && !is_sound));
    if (status != QS_OK) {
        must(strncmp(err.text, "offset ", 7) == 0 && strchr(err.text, '\n') == NULL);
        must(pf_read(queue, e, reader, &envelope, &again) == status && strcmp(err.text, again.text) == 0);
        return;
    }
    look_at(&envelope);
    status = pf_content(queue, e, reader, SIZE_MAX, &content, &whole, &err);
    must(status == QS_DATA || (status == QS_OK && whole));
    look_at(&envelope);
    if (status != QS_OK)
        return;
    touch(content);
    char *all = malloc(content.len + 1);
    must(all != NULL);
    if (content.len > 0)
        memcpy(all, content.ptr, content.len);
    size_t len = content.len, cap = len / 2;
    must(pf_content(queue, e, reader, cap, &content, &whole, &err) == QS_OK);
    must(content.len == cap && whole == (len == cap) && (cap == 0 || memcmp(content.ptr, all, cap) == 0));
    free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (reader == NULL)
        prepare();
    for (size_t i = 0; i < FILES; i++) {
        if (i == SOUND)
            continue;
        must(pwrite(fds[i], data, size, 0) == (ssize_t)size && ftruncate(fds[i], (off_t)size) == 0);
    }
    struct qs_instance instance = {.format = &qs_format_postfix, .name = "fuzz", .queue_dir = top};
    struct qs_queue *queue = NULL;
    struct qs_error err;
    size_t messages = 0;
    must(pf_open(NULL, &instance, &queue, &err) == QS_OK);
    for (struct qs_entry e; pf_next(queue, &e, &err) == QS_OK; messages++)
        read_one(queue, &e, pf_entry_dir(&e) == PF_HOLD);
    must(messages == DIRS - 1);
    talloc_free(queue);
    return 0;
}
