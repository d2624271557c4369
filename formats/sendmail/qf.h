/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in a sendmail control file (qf, hf, Qf): bytes to lines, and lines to their parts. Works on
 * bytes in memory alone; allocates nothing and knows no directory. Facts: sendmail/queue.c readqf() and
 * queueup(), util.c fgetfolded(), headers.c dochompheader(), libsm/util.c quote_internal_chars(), versions
 * 8.12 to 8.18. */
#ifndef QSURGEON_SENDMAIL_QF_H
#define QSURGEON_SENDMAIL_QF_H

#include "qsurgeon/text.h"

enum { SM_QF_VERSION = 8 };     /* the newest there is: 8.13 and later */

/* A place in a control file. */
struct sm_lines {
    const char *at, *end;
    unsigned long number;       /* of the physical line that comes next, from 1 */
};
struct sm_lines sm_lines_of(struct qs_span file);

/* A logical line: it goes on where the next one begins with a blank or a tab. */
struct sm_line {
    char code;                  /* first byte; '\0' for an empty line */
    struct qs_span text;        /* what follows, with the inner line ends, without the last LF or CR LF */
    unsigned long number;
};
/* False at the end. The last line need not end in LF. */
bool sm_line_next(struct sm_lines *lines, struct sm_line *line);

/* Whether readqf() of some version takes a line of that code in a file of format `version`. */
bool sm_code_known(char code, unsigned version);

/* An R line, "PFD:<user@host>"; before version 1 it has no flags. notify as in qs_recipient_text. */
struct sm_recipient {
    struct qs_span address;
    unsigned notify;
};
struct sm_recipient sm_recipient_of(struct qs_span text, unsigned version);

/* The address in a C line, "user:uid:gid:address" or ":address"; empty when the line ends the control. */
struct qs_span sm_controlling_address(struct qs_span text);

/* The address in what a user or client wrote: without brackets, phrase, comment and route. "<>" gives the
 * empty span. */
struct qs_span sm_address(struct qs_span text);

/* Copies an address to its internal form, without quotes, and returns its length, at most from.len. */
size_t sm_unquote(char *to, struct qs_span from);
bool sm_quoted(struct qs_span text);                    /* whether sm_unquote() would change it */

/* xtext of RFC 3461: whether it is, and what it stands for, at most from.len bytes. */
bool sm_xtext_valid(struct qs_span text);
size_t sm_xtext_decode(char *to, struct qs_span from);

/* An H line: "?condition?Name: value". False: not a header field; sendmail leaves it out. */
struct sm_header {
    struct qs_span condition;   /* mailer flags or ${macro}; empty: always sent */
    struct qs_span name;
    struct qs_span field;       /* from the name to the end of the line */
};
bool sm_header_of(struct qs_span text, struct sm_header *header);

/* Whether sendmail has yet to write the field's text: a field of its own making that names a macro by the
 * byte 0x81, in practice "Return-Path: <\x81g>". The user's fields can hold that byte too (UTF-8), but
 * have no condition, or have it quoted by 0xFF. */
bool sm_header_unfinished(const struct sm_header *header);

/* Copies a field as it is sent: without the 0xFF by which sendmail quotes bytes 0x80 to 0x9F and 0xFF,
 * with LF line ends. Returns its length, at most field.len. */
size_t sm_field_copy(char *to, struct qs_span field);

/* The value of $_, as getauthinfo() in daemon.c makes it: "user@localhost" for a local program; else
 * "[ident@]name [address]", "[address]" when the address has no name, and " (may be forged)" behind it
 * when the name has another address. */
struct sm_client {
    struct qs_span user;        /* of a local program */
    struct qs_span name;        /* empty: none that can be believed */
    struct qs_span address;     /* without "IPv6:" */
};
struct sm_client sm_client_of(struct qs_span text);
struct qs_span sm_bare_address(struct qs_span address);     /* without "IPv6:" */

/* The user in the value of a Received field "(from user@localhost) by ...", which a local submission has;
 * or empty. */
struct qs_span sm_received_user(struct qs_span value);

#endif
