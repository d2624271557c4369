/* SPDX-License-Identifier: Apache-2.0 */
/* Signed lists of recipients: see reciplist.h. Reads and writes no files. */
#include "qsurgeon/reciplist.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MOST = 320, HASH = 16, HASH_TEXT = 2 * HASH + 1, SIGNATURE_TEXT = 2 * crypto_sign_BYTES + 1 };

static const char head[] = "qsurgeon-recipients 1", public_word[] = "qsurgeon-public-key ",
                  secret_word[] = "qsurgeon-secret-key ", signature_word[] = "signature ";

/* --- making -------------------------------------------------------------------------------------------- */

struct qs_list *qs_list_new(TALLOC_CTX *parent, const char *host, int64_t made)
{
    struct qs_list *list = talloc_zero(parent, struct qs_list);
    if (list && !(list->host = talloc_strdup(list, host)))
        TALLOC_FREE(list);
    if (list) {
        list->made = made;
        list->serial = (uint32_t)made;
    }
    return list;
}

/* Lower case in to[]; false when the word cannot stand in the list: too long, or with blanks or control characters. */
static bool lower(char to[LINE_MOST], struct qs_span word)
{
    if (!word.len || word.len >= LINE_MOST)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        unsigned char c = (unsigned char)word.ptr[i];
        if (c <= ' ' || c == 0x7f)
            return false;
        to[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    to[word.len] = '\0';
    return true;
}

static bool is_domain(const char *name)
{
    for (const char *p = name; *p; p++)
        if (*p == '@' || *p == '/' || *p == ':' || *p == '"')
            return false;
    return *name && *name != '.' && strlen(name) < 256;
}

static enum qs_status append(struct qs_list *list, char ***to, size_t *count, const char *text)
{
    if ((*count & (*count - 1)) == 0) {         /* room for twice as many */
        char **grown = talloc_realloc(list, *to, char *, *count ? (unsigned)(*count * 2) : 1);
        if (!grown)
            return QS_NOMEM;
        *to = grown;
    }
    char *copy = *count < QS_LIST_MOST ? talloc_strdup(*to, text) : NULL;
    if (!copy)
        return QS_NOMEM;
    (*to)[(*count)++] = copy;
    return QS_OK;
}

enum qs_status qs_list_add_domain(struct qs_list *list, struct qs_span domain)
{
    char name[LINE_MOST];
    if (domain.len && domain.ptr[domain.len - 1] == '.')
        domain.len--;
    return lower(name, domain) && is_domain(name) ? append(list, &list->domain, &list->domains, name) : QS_SKIP;
}

enum qs_status qs_list_add(struct qs_list *list, struct qs_span address)
{
    char text[LINE_MOST];
    const char *at = lower(text, address) ? strrchr(text, '@') : NULL;
    return at && is_domain(at + 1) ? append(list, &list->address, &list->addresses, text) : QS_SKIP;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t unique(char **text, size_t count)
{
    size_t kept = 0;
    if (count > 1)
        qsort(text, count, sizeof *text, compare);
    for (size_t i = 0; i < count; i++)
        if (!kept || strcmp(text[kept - 1], text[i]) != 0)
            text[kept++] = text[i];
    return kept;
}

static bool has(char *const *text, size_t count, const char *word)
{
    return count && bsearch(&word, text, count, sizeof *text, compare);
}

static void hash_of(char to[HASH_TEXT], const unsigned char salt[QS_LIST_SALT], const char *text, size_t len)
{
    unsigned char hash[HASH];
    crypto_generichash(hash, sizeof hash, (const unsigned char *)text, len, salt, QS_LIST_SALT);
    sodium_bin2hex(to, HASH_TEXT, hash, sizeof hash);
}

enum qs_status qs_list_finish(struct qs_list *list, const unsigned char *salt, struct qs_error *err)
{
    size_t kept = 0;
    list->domains = unique(list->domain, list->domains);
    for (size_t i = 0; i < list->addresses; i++)
        if (has(list->domain, list->domains, strrchr(list->address[i], '@') + 1))
            list->address[kept++] = list->address[i];
    list->addresses = unique(list->address, kept);
    if (!list->addresses)
        return qs_fail(err, QS_DATA, "no recipients: an empty list would refuse everybody");
    if (!salt)
        return QS_OK;
    list->hashed = true;
    memcpy(list->salt, salt, QS_LIST_SALT);
    for (size_t i = 0; i < list->addresses; i++) {
        char hash[HASH_TEXT];
        hash_of(hash, salt, list->address[i], strlen(list->address[i]));
        if (!(list->address[i] = talloc_strdup(list->address, hash)))
            return qs_fail(err, QS_NOMEM, "out of memory");
    }
    list->addresses = unique(list->address, list->addresses);
    return QS_OK;
}

/* --- writing ------------------------------------------------------------------------------------------- */

static char *add_lines(char *text, char *const *line, size_t count)
{
    size_t used = text ? strlen(text) : 0, more = 1;
    for (size_t i = 0; i < count; i++)
        more += strlen(line[i]) + 1;
    char *grown = text ? talloc_realloc(NULL, text, char, (unsigned)(used + more)) : NULL;
    if (!grown)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(line[i]);
        memcpy(grown + used, line[i], len);
        grown[used + len] = '\n';
        used += len + 1;
    }
    grown[used] = '\0';
    return grown;
}

/* Everything that is signed. */
static char *body(TALLOC_CTX *parent, const struct qs_list *list)
{
    char salt[2 * QS_LIST_SALT + 1];
    sodium_bin2hex(salt, sizeof salt, list->salt, sizeof list->salt);
    char delimiter[2] = {list->delimiter, '\0'};
    char *text = talloc_asprintf(parent, "%s\nserial %" PRIu32 "\nmade %" PRId64 "\nhost %s\ndelimiter %s\nform %s%s\n"
                                 "count %zu %zu\n", head, list->serial, list->made, list->host,
                                 list->delimiter ? delimiter : "none", list->hashed ? "hashed " : "plain",
                                 list->hashed ? salt : "", list->domains, list->addresses);
    text = add_lines(text, list->domain, list->domains);
    text = add_lines(text, list->address, list->addresses);
    return text ? talloc_strdup_append_buffer(text, "end\n") : NULL;
}

char *qs_list_text(TALLOC_CTX *parent, const struct qs_list *list, const unsigned char secret[QS_SECRET_KEY])
{
    unsigned char signature[crypto_sign_BYTES];
    char hex[SIGNATURE_TEXT];
    char *text = sodium_init() >= 0 ? body(parent, list) : NULL;
    if (!text)
        return NULL;
    crypto_sign_detached(signature, NULL, (const unsigned char *)text, strlen(text), secret);
    sodium_bin2hex(hex, sizeof hex, signature, sizeof signature);
    return talloc_asprintf_append_buffer(text, "%s%s\n", signature_word, hex);
}

char *qs_list_table(TALLOC_CTX *parent, const struct qs_list *list, bool sendmail)
{
    size_t size = 1;
    for (size_t i = 0; i < list->addresses; i++)
        size += strlen(list->address[i]) + 16;
    for (size_t i = 0; i < list->domains; i++)
        size += strlen(list->domain[i]) + 64;
    char *text = talloc_array(parent, char, (unsigned)size), *p = text;
    if (!text)
        return NULL;
    *p = '\0';
    for (size_t i = 0; i < list->addresses; i++) {
        const char *address = list->address[i];
        size_t left = size - (size_t)(p - text);
        if (sendmail)
            p += snprintf(p, left, "To:%s\tRELAY\n", *address == '@' ? address + 1 : address);
        else
            p += snprintf(p, left, "%s OK\n", address);
    }
    for (size_t i = 0; sendmail && i < list->domains; i++) {
        char all[LINE_MOST + 1];
        snprintf(all, sizeof all, "@%s", list->domain[i]);
        if (!has(list->address, list->addresses, all))
            p += snprintf(p, size - (size_t)(p - text), "To:%s\tERROR:5.1.1:550 User unknown\n", list->domain[i]);
    }
    return text;
}

/* --- reading ------------------------------------------------------------------------------------------- */

/* What stands behind the word that the next line must begin with. */
static bool field(struct qs_span *rest, const char *word, struct qs_span *value)
{
    size_t len = strlen(word);
    if (!qs_span_cut(rest, '\n', value) || !qs_span_starts(*value, word))
        return false;
    value->ptr += len;
    value->len -= len;
    return true;
}

static bool hex_bytes(struct qs_span text, unsigned char *to, size_t size)
{
    size_t got = 0;
    return text.len == 2 * size && sodium_hex2bin(to, size, text.ptr, text.len, NULL, &got, NULL) == 0 && got == size;
}

static bool read_head(struct qs_span *rest, struct qs_list *list, uint64_t *domains, uint64_t *addresses)
{
    struct qs_span line, value;
    uint64_t serial, made;
    char host[LINE_MOST];
    if (!qs_span_cut(rest, '\n', &line) || !qs_span_is(line, head) || !field(rest, "serial ", &value) ||
        !qs_parse_u64(value, &serial) || serial > UINT32_MAX || !field(rest, "made ", &value) ||
        !qs_parse_u64(value, &made) || made > INT64_MAX || !field(rest, "host ", &value) || !lower(host, value))
        return false;
    list->serial = (uint32_t)serial;
    list->made = (int64_t)made;
    list->host = talloc_strndup(list, value.ptr, value.len);
    if (!list->host || !field(rest, "delimiter ", &value) || !(value.len == 1 || qs_span_is(value, "none")))
        return false;
    list->delimiter = value.len == 1 ? *value.ptr : '\0';
    if (!field(rest, "form ", &value))
        return false;
    list->hashed = qs_span_starts(value, "hashed ");
    if (list->hashed ? !hex_bytes((struct qs_span){value.ptr + 7, value.len - 7}, list->salt, sizeof list->salt)
                     : !qs_span_is(value, "plain"))
        return false;
    if (!field(rest, "count ", &value))
        return false;
    const char *blank = memchr(value.ptr, ' ', value.len);
    return blank && qs_parse_u64((struct qs_span){value.ptr, (size_t)(blank - value.ptr)}, domains) &&
           qs_parse_u64((struct qs_span){blank + 1, value.len - (size_t)(blank + 1 - value.ptr)}, addresses) &&
           *domains <= QS_LIST_MOST && *addresses <= QS_LIST_MOST;
}

/* `count` lines that are in order, each good: QS_DATA otherwise. */
static enum qs_status read_lines(struct qs_span *rest, struct qs_list *list, uint64_t count, bool domains)
{
    enum qs_status status = QS_OK;
    char ***to = domains ? &list->domain : &list->address;
    size_t *have = domains ? &list->domains : &list->addresses;
    for (uint64_t i = 0; status == QS_OK && i < count; i++) {
        struct qs_span line;
        char text[LINE_MOST];
        if (!qs_span_cut(rest, '\n', &line) || !lower(text, line) || !qs_span_is(line, text) ||
            (*have && strcmp((*to)[*have - 1], text) >= 0))
            return QS_DATA;
        const char *at = strrchr(text, '@');
        if (domains ? !is_domain(text)
            : list->hashed ? line.len != HASH_TEXT - 1 || strspn(text, "0123456789abcdef") != line.len
                           : !at || !has(list->domain, list->domains, at + 1))
            return QS_DATA;
        status = append(list, to, have, text);
    }
    return status;
}

static enum qs_status read_list(struct qs_span text, const unsigned char *key, struct qs_list *list, struct qs_error *err)
{
    struct qs_span rest = text, value;
    unsigned char signature[crypto_sign_BYTES];
    uint64_t domains, addresses;
    if (!qs_span_starts(text, head))
        return qs_fail(err, QS_DATA, "not a list of recipients");
    if (!read_head(&rest, list, &domains, &addresses))
        return qs_fail(err, QS_DATA, "the head of the list is damaged");
    enum qs_status status = read_lines(&rest, list, domains, true);
    if (status == QS_OK)
        status = read_lines(&rest, list, addresses, false);
    if (status == QS_NOMEM)
        return qs_fail(err, QS_NOMEM, "out of memory");
    if (status != QS_OK || !field(&rest, "end", &value) || value.len)
        return qs_fail(err, QS_DATA, "the list is cut off or damaged");
    size_t signed_size = (size_t)(rest.ptr - text.ptr);
    if (!field(&rest, signature_word, &value) || !hex_bytes(value, signature, sizeof signature) || rest.len)
        return qs_fail(err, QS_DATA, "the list has no whole signature");
    if (key && crypto_sign_verify_detached(signature, (const unsigned char *)text.ptr, signed_size, key) != 0)
        return qs_fail(err, QS_DATA, "the list was changed, or is signed with another key");
    return addresses ? QS_OK : qs_fail(err, QS_DATA, "the list is empty: it would refuse everybody");
}

enum qs_status qs_list_read(TALLOC_CTX *parent, struct qs_span text, const unsigned char key[QS_PUBLIC_KEY],
                            struct qs_list **out, struct qs_error *err)
{
    struct qs_list *list = sodium_init() >= 0 ? talloc_zero(parent, struct qs_list) : NULL;
    if (!list)
        return qs_fail(err, QS_NOMEM, "out of memory");
    enum qs_status status = read_list(text, key, list, err);
    if (status == QS_OK)
        *out = list;
    else
        talloc_free(list);
    return status;
}

/* --- asking -------------------------------------------------------------------------------------------- */

static bool has_address(const struct qs_list *list, const char *text)
{
    char hash[HASH_TEXT];
    if (!list->hashed)
        return has(list->address, list->addresses, text);
    hash_of(hash, list->salt, text, strlen(text));
    return has(list->address, list->addresses, hash);
}

enum qs_list_answer qs_list_has(const struct qs_list *list, struct qs_span address)
{
    char text[LINE_MOST], shorter[LINE_MOST];
    char *at = lower(text, address) ? strrchr(text, '@') : NULL;
    if (!at || at == text || !has(list->domain, list->domains, at + 1))
        return QS_LIST_NOT_COVERED;
    if (has_address(list, text) || has_address(list, at))
        return QS_LIST_EXISTS;
    const char *extension = list->delimiter ? memchr(text, list->delimiter, (size_t)(at - text)) : NULL;
    if (extension && extension > text) {
        snprintf(shorter, sizeof shorter, "%.*s%s", (int)(extension - text), text, at);
        if (has_address(list, shorter))
            return QS_LIST_EXISTS;
    }
    return QS_LIST_UNKNOWN;
}

bool qs_list_takes_all(const struct qs_list *list, const char *domain)
{
    char text[LINE_MOST];
    snprintf(text, sizeof text, "@%s", domain);
    return has_address(list, text);
}

bool qs_serial_newer(uint32_t a, uint32_t b)
{
    return a != b && a - b < UINT32_C(0x80000000);
}

/* --- keys ---------------------------------------------------------------------------------------------- */

enum qs_status qs_keys_new(unsigned char public_key[QS_PUBLIC_KEY], unsigned char secret[QS_SECRET_KEY], struct qs_error *err)
{
    if (sodium_init() < 0 || crypto_sign_keypair(public_key, secret) != 0)
        return qs_fail(err, QS_IO, "no random numbers");
    return QS_OK;
}

enum qs_status qs_salt_new(unsigned char salt[QS_LIST_SALT], struct qs_error *err)
{
    if (sodium_init() < 0)
        return qs_fail(err, QS_IO, "no random numbers");
    randombytes_buf(salt, QS_LIST_SALT);
    return QS_OK;
}

char *qs_key_text(TALLOC_CTX *parent, const unsigned char *key, size_t size)
{
    char hex[2 * QS_SECRET_KEY + 1];
    sodium_bin2hex(hex, sizeof hex, key, size);
    return talloc_asprintf(parent, "%s%s\n", size == QS_PUBLIC_KEY ? public_word : secret_word, hex);
}

enum qs_status qs_key_read(struct qs_span text, unsigned char *key, size_t size, struct qs_error *err)
{
    const char *word = size == QS_PUBLIC_KEY ? public_word : secret_word;
    size_t len = strlen(word);
    text = qs_span_trim(text);
    if (sodium_init() >= 0 && qs_span_starts(text, word) && hex_bytes((struct qs_span){text.ptr + len, text.len - len}, key, size))
        return QS_OK;
    return qs_fail(err, QS_DATA, "not a %s key of `recipients keygen`", size == QS_PUBLIC_KEY ? "public" : "secret");
}
