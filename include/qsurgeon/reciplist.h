/* SPDX-License-Identifier: Apache-2.0 */
/* A signed list of the recipients that exist, for hosts that take mail for domains whose users they do not know.
 *
 * The file is text: a head line, "serial", "made", "host", "delimiter", "form" and "count" lines, a line a domain, a line an
 * address in order, "end", and the Ed25519 signature (libsodium, crypto_sign_detached) of every byte before its own line. A line
 * "@domain" says that each address of the domain is taken. Addresses are in lower case. In the hashed form each line is the
 * BLAKE2b hash (16 bytes, crypto_generichash) of an address under a salt of the list's own: who has the list can still
 * try addresses, millions a second, but cannot read them off. Domains stay readable, or nobody could say what the list
 * covers. Serial numbers are compared as those of DNS zones (RFC 1982). */
#ifndef QSURGEON_RECIPLIST_H
#define QSURGEON_RECIPLIST_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "qsurgeon/status.h"
#include "qsurgeon/text.h"

enum { QS_PUBLIC_KEY = 32, QS_SECRET_KEY = 64, QS_LIST_SALT = 32, QS_LIST_MOST = 20000000 };

struct qs_list {
    uint32_t serial;
    int64_t made;                   /* seconds since 1970 */
    const char *host;
    char delimiter;                 /* of address extensions; 0: none */
    bool hashed;
    unsigned char salt[QS_LIST_SALT];
    char **domain;                  /* in order */
    size_t domains;
    char **address;                 /* in order; hexadecimal hashes in the hashed form */
    size_t addresses;
    /* of a list that was collected here, not written */
    char **vague;                   /* domains whose "@domain" stands there only because nobody can list their recipients */
    size_t vague_count;
};

/* An empty list of this host. NULL: out of memory. */
struct qs_list *qs_list_new(TALLOC_CTX *parent, const char *host, int64_t made);
/* Adds a domain; an address ("user@domain", "@domain") in one of the domains. What is no such thing, or has characters
 * that no line can hold, gives QS_SKIP. QS_NOMEM. */
enum qs_status qs_list_add_domain(struct qs_list *list, struct qs_span domain) QS_MUST_CHECK;
enum qs_status qs_list_add(struct qs_list *list, struct qs_span address) QS_MUST_CHECK;
/* Sorts, drops doubles and addresses of other domains; with `salt`, hashes. QS_DATA: nothing is left. QS_NOMEM. */
enum qs_status qs_list_finish(struct qs_list *list, const unsigned char *salt, struct qs_error *err) QS_MUST_CHECK;

/* The signed file: a talloc string under parent. NULL: out of memory. */
char *qs_list_text(TALLOC_CTX *parent, const struct qs_list *list, const unsigned char secret[QS_SECRET_KEY]);
/* Reads it. QS_DATA: not such a list, cut off, changed, empty, or not signed by that key; key NULL: the signature is not
 * checked, for a copy that was when it came. QS_NOMEM. */
enum qs_status qs_list_read(TALLOC_CTX *parent, struct qs_span text, const unsigned char key[QS_PUBLIC_KEY],
                            struct qs_list **out, struct qs_error *err) QS_MUST_CHECK;

enum qs_list_answer { QS_LIST_EXISTS, QS_LIST_UNKNOWN, QS_LIST_NOT_COVERED };
/* Does the list have the address, as it is, without its extension, or by its whole domain? */
enum qs_list_answer qs_list_has(const struct qs_list *list, struct qs_span address);

/* Does it say that every address of the domain, in lower case, is taken? */
bool qs_list_takes_all(const struct qs_list *list, const char *domain);

/* Is serial number a newer than b? */
bool qs_serial_newer(uint32_t a, uint32_t b);

/* Keys: hexadecimal, behind a word that says which it is. QS_DATA: not such a key. */
enum qs_status qs_keys_new(unsigned char public_key[QS_PUBLIC_KEY], unsigned char secret[QS_SECRET_KEY],
                           struct qs_error *err) QS_MUST_CHECK;
char *qs_key_text(TALLOC_CTX *parent, const unsigned char *key, size_t size);
enum qs_status qs_key_read(struct qs_span text, unsigned char *key, size_t size, struct qs_error *err) QS_MUST_CHECK;
/* Fills a salt from the system. */
enum qs_status qs_salt_new(unsigned char salt[QS_LIST_SALT], struct qs_error *err) QS_MUST_CHECK;

/* The list as the source of a table: Postfix's relay_recipient_maps ("address OK"), or sendmail's access map ("To:address
 * RELAY", and a refusal for the rest of each domain). Not for hashed lists. A talloc string under parent; NULL: out of
 * memory. */
char *qs_list_table(TALLOC_CTX *parent, const struct qs_list *list, bool sendmail);

#endif
