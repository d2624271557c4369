/* SPDX-License-Identifier: Apache-2.0 */
/* The vocabulary of bounces, automatic replies, challenges and virus notices; and the search for returned
 * messages in plain text, as systems without RFC 3462 send them. */
#include "notice.h"

#include <string.h>

#include "bytes.h"
#include "qsurgeon/mail.h"
#include "words.h"

enum { B = QS_T_BOUNCE_SUBJECT, A = QS_T_AUTOREPLY_SUBJECT, C = QS_T_CHALLENGE, V = QS_T_VIRUS_NOTICE };

/* Normalised words (lower case, no accents, digits as 0), sorted; each stands at the beginning of a
 * word and need not end with one. English, German, French, Spanish, Italian, Dutch, Portuguese. */
#define P(trait, words) { words, sizeof(words) - 1, trait }
static const struct {
    const char *words;
    size_t len;
    uint32_t trait;
} phrases[] = {
    P(A, "absence du bureau"), P(A, "absent du bureau"), P(A, "abwesend"), P(A, "abwesenheit"),
    P(C, "action required to deliver"), P(B, "aflevering mislukt"), P(A, "afwezig"), P(A, "assente"),
    P(V, "attachment blocked"), P(A, "ausencia"), P(A, "ausente"), P(A, "ausser haus"), P(A, "auto reply"),
    P(A, "auto respon"), P(A, "automated reply"), P(A, "automated response"), P(A, "automatic reply"),
    P(A, "automatic response"), P(A, "automatisch antwoord"), P(A, "automatische antwort"), P(A, "autoreply"),
    P(A, "autorespon"), P(B, "avis de non remise"), P(A, "away from"), P(A, "away until"),
    P(V, "banned"), P(B, "benachrichtigung zum ubermittlungsstatus"), P(B, "bericht niet afgeleverd"),
    P(C, "bestatigung erforderlich"), P(C, "bevestig uw bericht"), P(B, "bezorging mislukt"),
    P(C, "bitte bestatigen sie ihre"), P(V, "blocked attachment"), P(B, "bounced"),
    P(C, "challenge response"), P(C, "conferma il tuo messaggio"), P(C, "confirm your e mail to"),
    P(C, "confirm your mail"), P(C, "confirm your message"), P(C, "confirma tu mensaje"),
    P(C, "confirmation required"), P(C, "confirme su mensaje"), P(C, "confirme sua mensagem"),
    P(C, "confirmez votre message"), P(B, "consegna fallita"), P(V, "considered unsolicited"),
    P(V, "content violation"), P(B, "correo no entregado"), P(B, "could not be delivered"),
    P(B, "could not deliver"), P(B, "could not send"), P(B, "courrier non delivre"),
    P(B, "delayed 0 hour"), P(B, "delayed mail"), P(B, "delivery delayed"), P(B, "delivery error"),
    P(B, "delivery fail"), P(B, "delivery has failed"), P(B, "delivery notification"),
    P(B, "delivery problem"), P(B, "delivery report"), P(B, "delivery status"), P(B, "delivery unsuccessful"),
    P(B, "devuelto al remitente"),
    P(B, "echec de distribution"), P(B, "echec de la remise"), P(B, "echec de livraison"),
    P(B, "echec de remise"), P(A, "en conges"), P(B, "entrega fallida"), P(B, "error de entrega"),
    P(B, "error sending your"), P(B, "errore di consegna"),
    P(B, "failed delivery"), P(B, "failed mail"), P(B, "failure delivery"), P(B, "failure notice"),
    P(B, "falha na entrega"), P(B, "fallo en la entrega"), P(B, "fehler bei der zustellung"),
    P(A, "fora do escritorio"), P(A, "fuera de la oficina"), P(A, "fuera de oficina"), P(A, "fuori sede"),
    P(A, "fuori ufficio"),
    P(B, "host unknown"),
    P(A, "i am away"), P(A, "i am out of"), P(A, "im urlaub"), P(B, "impossibile recapitare"),
    P(V, "infected"),
    P(A, "je suis absent"),
    P(B, "kan niet worden bezorgd"), P(B, "konnte nicht zugestellt"),
    P(B, "mail could not"), P(B, "mail delayed"), P(B, "mail delivery"), P(B, "mail fail"),
    P(B, "mail not delivered"), P(B, "mail system error"), P(B, "mail undeliver"), P(V, "malware"),
    P(B, "mancata consegna"), P(B, "mensagem devolvida"), P(B, "mensaje devuelto"),
    P(B, "mensaje no entregado"), P(C, "message awaiting"), P(B, "message could not"),
    P(A, "message d absence"), P(B, "message delayed"), P(B, "message delivery"), P(B, "message non delivre"),
    P(B, "message not delivered"), P(B, "message not sent"), P(B, "message rejected"),
    P(B, "message undeliver"), P(V, "message you sent blocked"), P(C, "must confirm"),
    P(B, "nao entregue"), P(B, "nao foi possivel entregar"), P(B, "nao pode ser entregue"),
    P(A, "nicht im buro"), P(B, "nicht zugestellt"), P(B, "nicht zustellbar"), P(A, "niet aanwezig"),
    P(B, "niet afgeleverd"), P(B, "niet bezorgd"), P(B, "no entregado"), P(B, "no se ha podido entregar"),
    P(B, "no se pudo entregar"), P(B, "no se puede entregar"), P(B, "non deliver"), P(B, "non distribu"),
    P(B, "non recapit"), P(B, "non remis"), P(B, "nondeliver"), P(B, "not deliverable"),
    P(B, "notifica sullo stato del recapito"), P(B, "notificacao de status de entrega"),
    P(B, "notificacion de estado de entrega"), P(B, "notificacion del estado de entrega"),
    P(B, "notification d etat de remise"),
    P(A, "on vacation"), P(B, "onbestelbaar"), P(A, "out of office"), P(A, "out of the office"),
    P(B, "permanent error"), P(C, "please confirm that you"), P(C, "please verify your message"),
    P(B, "posta non recapitata"), P(B, "postmaster notify"), P(V, "potentially executable"),
    P(B, "recipient unknown"), P(B, "rejected mail"), P(B, "remise impossible"), P(A, "reponse automatique"),
    P(A, "resposta automatica"), P(A, "respuesta automatica"), P(B, "returned e mail"), P(B, "returned mail"),
    P(B, "returned message"), P(B, "returned to sender"), P(B, "returning message to sender"),
    P(A, "risposta automatica"),
    P(C, "sender address verification"), P(C, "sender verification"),
    P(B, "ubermittlung fehlgeschlagen"), P(B, "unable to deliver"), P(B, "unable to send"), P(B, "undeliver"),
    P(B, "undelivr"), P(B, "unzustellbar"), P(B, "user unknown"),
    P(A, "vacation message"), P(A, "vacation notice"), P(A, "vacation reply"), P(C, "verify your message"),
    P(V, "violation of"), P(V, "viren"), P(V, "virus"),
    P(B, "warning could not send"), P(V, "worm"),
    P(B, "zustellung fehlgeschlagen"), P(B, "zustellung nicht moglich"), P(B, "zustellungsbenachrichtigung"),
};

enum { PHRASES = sizeof(phrases) / sizeof(phrases[0]) };
_Static_assert(PHRASES < 256, "struct notice_index counts in bytes");

void notice_index_make(struct notice_index *index)
{
    unsigned n = 0;
    for (unsigned letter = 0; letter < 26; letter++) {
        index->from[letter] = (uint8_t)n;
        while (n < PHRASES && phrases[n].words[0] == (char)('a' + letter)) {
            n++;
        }
    }
    index->from[26] = (uint8_t)n;
}

uint32_t notice_subject(const struct notice_index *index, struct qs_span subject)
{
    char words[2 * WORDS_LINE];
    size_t len = words_line(words, subject);
    uint32_t traits = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned letter = (unsigned char)words[i] - (unsigned)'a';
        if (letter < 26) {
            for (unsigned n = index->from[letter]; n < index->from[letter + 1]; n++) {
                /* the second letter rules out most; every phrase has more than one */
                if (phrases[n].words[1] == words[i + 1] && phrases[n].len <= len - i
                    && memcmp(phrases[n].words, words + i, phrases[n].len) == 0) {
                    traits |= phrases[n].trait;
                }
            }
        }
        while (i < len && words[i] != ' ') {
            i++;
        }
    }
    return traits;
}

bool notice_is_daemon(struct qs_span from, struct qs_span address)
{
    static const char *const locals[] = {
        "mailer-daemon", "mailer_daemon", "mailerdaemon", "mail-daemon", "mail_daemon",       "maildaemon",
        "postmaster",    "mdaemon",       "mmdf",         "mail.daemon", "microsoftexchange",
    };
    static const char *const names[] = {
        "mail deliver",  "mail administrator", "mail system",          "delivery subsystem",
        "mailer daemon", "postmaster",         "system administrator", "mailer-daemon",
    };
    if (address.len == 0 && from.len > 0) {
        struct qs_span bare = qs_span_trim(from);
        return bare.len >= 2 && bare.ptr[bare.len - 2] == '<' && bare.ptr[bare.len - 1] == '>';
    }
    for (size_t i = 0; i < sizeof(locals) / sizeof(locals[0]); i++) {
        if (address.len > 0 && byte_lower(address.ptr[0]) == locals[i][0]
            && qs_span_starts_nocase(address, locals[i])) {
            return true;
        }
    }
    struct qs_span name = qs_span_trim(from);
    while (name.len > 0 && (name.ptr[0] == '"' || name.ptr[0] == ' ')) {
        name.ptr++;
        name.len--;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (name.len > 0 && byte_lower(name.ptr[0]) == names[i][0] && qs_span_starts_nocase(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* --- returned messages in text --- */

enum { QUOTE_BYTES = 16, NAME_BYTES = 60, START_BYTES = 4096 };

static const char *const usual[] = {
    "Received", "From", "To", "Subject", "Date", "Message-ID", "Return-Path"
};

/* The field name that the line at p begins with, or an empty span. */
static struct qs_span field_name(const char *p, const char *end)
{
    const char *q = p;
    while (q < end && q - p < NAME_BYTES && *q > ' ' && *q < 0x7f && *q != ':') {
        q++;
    }
    const char *colon = q;
    while (colon < end && (*colon == ' ' || *colon == '\t') && colon - q < 2) {
        colon++;
    }
    if (q == p || colon == end || *colon != ':' || !byte_is_alpha(*p)) {
        return (struct qs_span){ NULL, 0 };
    }
    return (struct qs_span){ p, (size_t)(q - p) };
}

unsigned notice_usual_field(struct qs_span name)
{
    for (unsigned i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        if (byte_lower(name.ptr[0]) == byte_lower(usual[i][0]) && qs_span_is_nocase(name, usual[i])) {
            return 1u << i;
        }
    }
    return 0;
}

/* Where the line's text begins behind the quote marks of the block, or NULL when the line has others. */
static const char *behind_quote(const char *line, const char *stop, struct qs_span quote)
{
    if ((size_t)(stop - line) >= quote.len && (quote.len == 0 || memcmp(line, quote.ptr, quote.len) == 0)) {
        return line + quote.len;
    }
    struct qs_span marks = qs_span_trim(quote),
                   rest = qs_span_trim((struct qs_span){ line, (size_t)(stop - line) });
    if (rest.len == marks.len && (marks.len == 0 || memcmp(rest.ptr, marks.ptr, marks.len) == 0)) {
        return stop;            /* an empty line that lost its blanks */
    }
    return NULL;
}

static const char *line_end(const char *p, const char *end)
{
    const char *q = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    return q == NULL ? end : q;
}

bool notice_find_returned(struct qs_span text, struct notice_returned *out)
{
    const char *p = text.ptr, *end = text.len == 0 ? p : p + text.len;
    while (p < end) {
        const char *stop = line_end(p, end), *q = p;
        while (q < stop && q - p < QUOTE_BYTES && (*q == '>' || *q == '|' || *q == ' ' || *q == '\t')) {
            q++;
        }
        if (field_name(q, stop).len == 0) {
            p = stop < end ? stop + 1 : end;
            continue;
        }
        struct qs_span quote = { p, (size_t)(q - p) };
        unsigned seen = 0;
        const char *line = p;
        while (line < end) {
            stop = line_end(line, end);
            const char *in = behind_quote(line, stop, quote);
            if (in == NULL) {
                break;
            }
            struct qs_span name = field_name(in, stop);
            if (name.len > 0) {
                seen |= notice_usual_field(name);
            } else if (in == stop || (*in != ' ' && *in != '\t')) {
                break;
            }
            line = stop < end ? stop + 1 : end;
        }
        if (__builtin_popcount(seen) >= NOTICE_USUAL) {
            out->at = (size_t)(p - text.ptr);
            out->quote = quote;
            return true;
        }
        p = line;               /* at least one line on */
    }
    return false;
}

bool notice_is_message(struct qs_span text)
{
    struct notice_returned found;
    text.len = text.len < START_BYTES ? text.len : START_BYTES;
    while (text.len > 0 && byte_is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    return notice_find_returned(text, &found) && found.at == 0 && found.quote.len == 0;
}

size_t notice_unquote(char *to, size_t size, struct qs_span text, const struct notice_returned *found)
{
    const char *p = text.ptr + found->at, *end = text.ptr + text.len;
    size_t n = 0;
    while (p < end) {
        const char *stop = line_end(p, end), *in = behind_quote(p, stop, found->quote);
        if (in == NULL) {
            break;
        }
        size_t len = (size_t)(stop - in);
        len = len < size - n ? len : size - n;
        memcpy(to + n, in, len);
        n += len;
        if (n == size) {
            break;
        }
        to[n++] = '\n';
        p = stop < end ? stop + 1 : end;
    }
    return n;
}
