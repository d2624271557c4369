/* SPDX-License-Identifier: Apache-2.0 */
/* The vocabulary of bounces, automatic replies, challenges and virus notices; and the search for returned messages in
 * plain text, as systems without RFC 3462 send them. */
#include "notice.h"

#include <string.h>

#include "bytes.h"
#include "qsurgeon/mail.h"
#include "words.h"

enum { B = QS_T_BOUNCE_SUBJECT, A = QS_T_AUTOREPLY_SUBJECT, C = QS_T_CHALLENGE, V = QS_T_VIRUS_NOTICE };

/* Normalised words (lower case, no accents, digits as 0), sorted by first letter; each stands at the beginning of a
 * word and need not end with one. English, German, French, Spanish, Italian, Dutch, Portuguese. */
static const struct {
    const char *words;
    uint32_t trait;
} phrases[] = {
    { "abwesend", A }, { "abwesenheit", A }, { "action required to deliver", C }, { "aflevering mislukt", B },
    { "afwezig", A }, { "ausencia", A }, { "ausente", A }, { "ausser haus", A }, { "auto reply", A },
    { "auto respon", A }, { "automatic reply", A }, { "automatic response", A }, { "automatisch antwoord", A },
    { "automatische antwort", A }, { "automated re", A }, { "autoreply", A }, { "autorespon", A },
    { "absence du bureau", A }, { "absent du bureau", A }, { "avis de non remise", B }, { "assente", A },
    { "away from", A }, { "attachment blocked", V },
    { "banned", V }, { "benachrichtigung zum ubermittlungsstatus", B }, { "bericht niet afgeleverd", B },
    { "bestatigung erforderlich", C }, { "bevestig uw bericht", C }, { "bezorging mislukt", B },
    { "bitte bestatigen sie ihre", C }, { "blocked attachment", V }, { "bounced", B },
    { "challenge response", C }, { "confirm your message", C }, { "confirm your mail", C }, { "confirm your e mail to", C },
    { "confirma tu mensaje", C }, { "confirmation required", C }, { "confirme su mensaje", C },
    { "confirme sua mensagem", C }, { "confirmez votre message", C }, { "conferma il tuo messaggio", C },
    { "consegna fallita", B }, { "content violation", V }, { "correo no entregado", B }, { "could not be delivered", B },
    { "could not deliver", B }, { "could not send", B }, { "courrier non delivre", B },
    { "delayed mail", B }, { "delivery delayed", B }, { "delivery error", B }, { "delivery fail", B },
    { "delivery has failed", B }, { "delivery notification", B }, { "delivery problem", B }, { "delivery report", B },
    { "delivery status", B }, { "delivery unsuccessful", B }, { "devuelto al remitente", B },
    { "echec de distribution", B }, { "echec de livraison", B }, { "echec de la remise", B }, { "echec de remise", B },
    { "en conges", A }, { "entrega fallida", B }, { "error de entrega", B }, { "errore di consegna", B },
    { "failed delivery", B }, { "failed mail", B }, { "failure notice", B }, { "falha na entrega", B },
    { "fallo en la entrega", B }, { "fehler bei der zustellung", B }, { "fora do escritorio", A },
    { "fuera de la oficina", A }, { "fuera de oficina", A }, { "fuori sede", A }, { "fuori ufficio", A },
    { "host unknown", B },
    { "i am away", A }, { "i am out of", A }, { "im urlaub", A }, { "impossibile recapitare", B }, { "infected", V },
    { "je suis absent", A },
    { "kan niet worden bezorgd", B }, { "konnte nicht zugestellt", B },
    { "mail could not", B }, { "mail delivery", B }, { "mail not delivered", B }, { "mail system error", B },
    { "mail undeliver", B }, { "malware", V }, { "mancata consegna", B }, { "mensagem devolvida", B },
    { "mensaje devuelto", B }, { "mensaje no entregado", B }, { "message awaiting", C }, { "message could not", B },
    { "message d absence", A }, { "message delayed", B }, { "message delivery", B }, { "message non delivre", B },
    { "message not delivered", B }, { "message not sent", B }, { "message rejected", B }, { "message undeliver", B },
    { "must confirm", C },
    { "nao entregue", B }, { "nao foi possivel entregar", B }, { "nao pode ser entregue", B },
    { "nicht im buro", A }, { "nicht zugestellt", B }, { "nicht zustellbar", B }, { "niet aanwezig", A },
    { "niet afgeleverd", B }, { "niet bezorgd", B }, { "no entregado", B }, { "no se ha podido entregar", B },
    { "no se puede entregar", B }, { "no se pudo entregar", B }, { "non deliver", B }, { "non distribu", B },
    { "non recapit", B }, { "non remis", B }, { "nondeliver", B }, { "not deliverable", B },
    { "notificacao de status de entrega", B }, { "notificacion de estado de entrega", B },
    { "notificacion del estado de entrega", B }, { "notifica sullo stato del recapito", B },
    { "notification d etat de remise", B },
    { "on vacation", A }, { "onbestelbaar", B }, { "out of office", A }, { "out of the office", A },
    { "permanent error", B }, { "please confirm", C }, { "please verify your message", C }, { "posta non recapitata", B },
    { "potentially executable", V },
    { "recipient unknown", B }, { "rejected mail", B }, { "remise impossible", B }, { "reponse automatique", A },
    { "resposta automatica", A }, { "respuesta automatica", A }, { "returned e mail", B }, { "returned mail", B },
    { "returned message", B }, { "returned to sender", B }, { "returning message to sender", B },
    { "risposta automatica", A },
    { "sender address verification", C }, { "sender verification", C },
    { "ubermittlung fehlgeschlagen", B }, { "unable to deliver", B }, { "unable to send", B }, { "unconfirmed", C },
    { "undeliver", B }, { "undelivr", B }, { "unzustellbar", B }, { "user unknown", B },
    { "vacation", A }, { "verification required", C }, { "verify your message", C }, { "violation of", V },
    { "viren", V }, { "virus", V },
    { "warning could not send", B }, { "worm", V },
    { "zustellung fehlgeschlagen", B }, { "zustellung nicht moglich", B }, { "zustellungsbenachrichtigung", B },
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
                size_t size = strlen(phrases[n].words);
                if (size <= len - i && memcmp(phrases[n].words, words + i, size) == 0) {
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
        "mailer-daemon", "mailer_daemon", "mailerdaemon", "mail-daemon", "mail_daemon", "maildaemon", "postmaster",
        "mdaemon", "mmdf", "mail.daemon", "microsoftexchange",
    };
    static const char *const names[] = {
        "mail deliver", "mail administrator", "mail system", "delivery subsystem", "mailer daemon", "postmaster",
        "system administrator", "mailer-daemon",
    };
    if (address.len == 0 && from.len > 0) {
        struct qs_span bare = qs_span_trim(from);
        return bare.len >= 2 && bare.ptr[bare.len - 2] == '<' && bare.ptr[bare.len - 1] == '>';
    }
    for (size_t i = 0; i < sizeof(locals) / sizeof(locals[0]); i++) {
        if (address.len > 0 && byte_lower(address.ptr[0]) == locals[i][0] && qs_span_starts_nocase(address, locals[i])) {
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

enum { QUOTE_BYTES = 16, NAME_BYTES = 60 };

static const char *const usual[] = { "Received", "From", "To", "Subject", "Date", "Message-ID", "Return-Path" };

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

static unsigned usual_bit(struct qs_span name)
{
    for (unsigned i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        if (qs_span_is_nocase(name, usual[i])) {
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
    struct qs_span marks = qs_span_trim(quote), rest = qs_span_trim((struct qs_span){ line, (size_t)(stop - line) });
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
                seen |= usual_bit(name);
            } else if (in == stop || (*in != ' ' && *in != '\t')) {
                break;
            }
            line = stop < end ? stop + 1 : end;
        }
        if (__builtin_popcount(seen) >= 3) {
            out->at = (size_t)(p - text.ptr);
            out->quote = quote;
            return true;
        }
        p = line;               /* at least one line on */
    }
    return false;
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
