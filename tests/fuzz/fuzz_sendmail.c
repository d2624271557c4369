/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes as a control file, as a lost one, as a transcript, as a configuration: whatever they are, they
 * are read or refused with one line, and nothing that is said of them points outside of them. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../formats/sendmail/qf.h"
#include "../../formats/sendmail/sendmail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void inside(struct qs_span part, struct qs_span whole)
{
    must(part.len == 0 || (part.ptr >= whole.ptr && part.len <= whole.len &&
                           (size_t)(part.ptr - whole.ptr) <= whole.len - part.len));
}

static void parts(struct qs_span text, char *to)
{
    struct sm_header header;
    struct sm_client client = sm_client_of(text);
    inside(client.user, text);
    inside(client.name, text);
    inside(client.address, text);
    inside(sm_address(text), text);
    inside(sm_controlling_address(text), text);
    inside(sm_received_user(text), text);
    inside(sm_recipient_of(text, 0).address, text);
    inside(sm_recipient_of(text, SM_QF_VERSION).address, text);
    must(sm_unquote(to, text) <= text.len);
    must(sm_quoted(text) || text.len == 0 || memcmp(to, text.ptr, text.len) == 0);
    must(sm_xtext_decode(to, text) <= text.len);
    (void)sm_xtext_valid(text);
    if (sm_header_of(text, &header)) {
        inside(header.condition, text);
        inside(header.name, header.field);
        inside(header.field, text);
        must(sm_field_copy(to, header.field) <= header.field.len);
        (void)sm_header_unfinished(&header);
    }
}

/* Every byte is in some line, and every line is in order. */
static void lines(struct qs_span bytes)
{
    struct sm_lines at = sm_lines_of(bytes);
    struct sm_line line = {0};
    const char *before = bytes.ptr;
    unsigned long number = 0;
    char *to = malloc(bytes.len + 1);
    must(to != NULL);
    while (sm_line_next(&at, &line)) {
        inside(line.text, bytes);
        must(line.text.ptr >= before && line.number > number && at.at > before);
        (void)sm_code_known(line.code, 7);
        parts(line.text, to);
        before = at.at;
        number = line.number;
    }
    must(at.at == at.end);
    free(to);
}

static char dir[] = "/tmp/qsurgeon-fuzz-XXXXXX";
static int top = -1;

/* (To empty the file first would be slow on ext4, which then writes it out.) */
static void put(const char *name, struct qs_span bytes)
{
    int fd = openat(top, name, O_WRONLY | O_CREAT, 0600);
    must(fd >= 0 && write(fd, bytes.ptr, bytes.len) == (ssize_t)bytes.len);
    must(ftruncate(fd, (off_t)bytes.len) == 0 && close(fd) == 0);
}

static void clean_up(void)
{
    static const char *const names[] = {"qfA1", "QfA1", "qfA2", "xfA2", "dfA1", "dfA2", "x.cf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unlinkat(top, names[i], 0);
    (void)rmdir(dir);
}

static struct qs_queue *queue;
static struct qs_reader *reader;

static void start(void)
{
    struct qs_instance instance = {.format = &qs_format_sendmail, .name = "fuzz", .queue_dir = dir};
    if (queue != NULL)
        return;
    must(mkdtemp(dir) != NULL);
    top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(top >= 0 && atexit(clean_up) == 0);
    put("dfA1", QS_SPAN("body\n"));
    put("dfA2", QS_SPAN(""));
    put("qfA2", QS_SPAN("V8\nT1\nS<a@b>\nR:<one@x>\nRPFD:<later@far.example>\nR:three\n.\n"));
    reader = qs_reader_new(NULL);
    must(reader != NULL && sm_open(NULL, &instance, &queue, NULL) == QS_OK);
}

static void message(const char *id, uint32_t kind)
{
    struct qs_error err = {""};
    struct qs_envelope env;
    struct qs_span content;
    bool whole;
    struct qs_entry entry = {.id = id, .kind = kind};
    enum qs_status status = sm_read(queue, &entry, reader, &env, &err);
    must(status == QS_OK || status == QS_DATA || status == QS_SKIP);
    if (status != QS_OK) {
        must(err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
        return;
    }
    must(env.queue_name != NULL && strnlen(env.finding, sizeof env.finding) < sizeof env.finding);
    for (size_t i = 0; i < env.recipient_count; i++) {
        const struct qs_recipient_text *to = &env.recipients[i];
        must(to->address.len == 0 || memchr(to->address.ptr, '\0', to->address.len) == NULL);
        must(to->original.len == 0 || to->original.ptr != NULL);
        must(to->reason.len == 0 || to->reason.ptr[0] != '\n');
    }
    must(sm_content(queue, &entry, reader, 1 << 20, &content, &whole, &err) == QS_OK);
    must(content.len > 0 && memchr(content.ptr, '\n', content.len) != NULL);
}

static void configuration(void)
{
    char path[sizeof dir + 10];
    struct sm_queues queues;
    TALLOC_CTX *scratch = talloc_new(NULL);
    struct qs_site *site = talloc_zero(scratch, struct qs_site);
    struct qs_instance instance = {.name = "fuzz", .queue_dir = dir, .config = path};
    (void)snprintf(path, sizeof path, "%s/x.cf", dir);
    if (sm_config_queues(scratch, path, &queues, NULL) == QS_OK) {
        must(queues.base[0] != '\0');
        for (size_t i = 0; i < queues.group_count; i++)
            must(queues.groups[i].name[0] != '\0' && queues.groups[i].path[0] != '\0');
    }
    must(sm_site(&instance, site, NULL) == QS_OK);
    talloc_free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qs_span bytes = {(const char *)data, size};
    start();
    lines(bytes);
    put("qfA1", bytes);
    message("A1", SM_NORMAL);
    put("QfA1", bytes);
    message("A1", SM_LOST);
    put("xfA2", bytes);
    message("A2", SM_NORMAL);
    put("x.cf", bytes);
    configuration();
    return 0;
}
