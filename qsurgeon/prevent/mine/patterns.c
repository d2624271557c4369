/* SPDX-License-Identifier: Apache-2.0 */
/* Mining: from a chosen window to the text of its pattern, with the other places where the same text may come. */
#include "miner.h"

#include <string.h>
#include <strings.h>

bool qs_miner_shape_window(struct miner *m, const struct window *w, void *data)
{
    struct shaping *s = data;
    const uint32_t index = w->whole ? qs_table_get(s->at, w->key, MISSING) : MISSING;
    if (index == MISSING)
        return true;
    struct choice *c = &s->work->choice[index];
    const bool first = c->pieces == 0;
    if (w->line->decoded) {
        const struct qs_token *from = &m->token[w->from], *last = &m->token[w->end - 1];
        if (!c->phrase)
            c->phrase = talloc_strndup(s->work->choice, w->line->text.ptr + from->at, last->at + last->len - from->at);
        s->failed = !c->phrase;
        return !s->failed;
    }
    if (first) {
        c->pieces = w->end - w->from;
        if (w->line->kind != QS_LINE_BODY)
            c->field = talloc_strndup(s->work->choice, w->line->name.ptr, w->line->name.len);
        s->failed = w->line->kind != QS_LINE_BODY && !c->field;
    }
    for (unsigned i = 0; i < c->pieces && i < w->end - w->from; i++) {
        const struct qs_token *t = &m->token[w->from + i];
        const struct qs_span text = {w->line->text.ptr + t->at, t->len};
        struct piece *piece = &c->piece[i];
        if (first)
            *piece = (struct piece){.kind = t->kind, .text = text,
                                    .varies = t->kind == QS_TOKEN_HIGH || (qs_token_counts(t) && !t->fixed)};
        piece->wide |= t->kind == QS_TOKEN_SPACE && (!qs_span_is(text, " ") || c->field);
        if (piece->varies)
            qs_range_add(&piece->range, text);
    }
    return !s->failed;
}

static bool quote_piece(struct qs_buffer *to, const struct piece *p)
{
    if (p->kind == QS_TOKEN_HIGH)
        return qs_quote_high(to, &p->range);
    if (p->varies)
        return qs_quote_range(to, &p->range);
    return p->kind == QS_TOKEN_SPACE && p->wide ? qs_quote_space(to) : qs_quote(to, p->text);
}

/* The longest run of the window's bytes that every match has, lowered. */
static bool find_literal(TALLOC_CTX *parent, struct choice *c)
{
    struct qs_buffer run, best;
    bool good = true;
    qs_buffer_init(&run, parent);
    qs_buffer_init(&best, parent);
    for (unsigned i = 0; good && i <= c->pieces; i++) {
        const struct piece *p = i < c->pieces ? &c->piece[i] : NULL;
        if (p && !p->varies && !p->wide) {
            for (size_t k = 0; good && k < p->text.len; k++)
                good = qs_buffer_add_char(&run, lower(p->text.ptr[k]));
            continue;
        }
        if (run.len > best.len) {
            best.len = 0;
            good = good && qs_buffer_add(&best, (struct qs_span){run.data, run.len});
        }
        run.len = 0;
    }
    c->literal = (struct qs_span){best.data, best.len};
    return good;
}

enum qs_status qs_miner_make_pattern(struct work *w, struct choice *c, struct qs_error *err)
{
    struct qs_buffer text, whole;
    qs_buffer_init(&text, w->choice);
    qs_buffer_init(&whole, w->choice);
    bool good = find_literal(w->choice, c);
    for (unsigned i = 0; good && i < c->pieces; i++)
        good = quote_piece(&text, &c->piece[i]);
    if (good && c->phrase)
        good = qs_quote_phrase(&text, qs_span_of(c->phrase));
    good = good && qs_buffer_add_char(&text, '\0');
    if (good && c->field)
        good = qs_buffer_add_char(&whole, '^') && qs_quote(&whole, qs_span_of(c->field)) &&
               qs_buffer_add(&whole, QS_SPAN(":.*"));
    good = good && qs_buffer_add(&whole, (struct qs_span){text.data, text.len});
    if (!good)
        return out_of_memory(err);
    c->text = text.data;
    c->whole = whole.data;
    return qs_pattern_new_raw(w->choice, whole.data, &c->pattern, err);
}

static struct choice *twin_of(struct work *w, uint32_t of)
{
    struct choice *c = &w->choice[of], *twin = &w->choice[w->choice_count];
    *twin = *c;
    twin->field = NULL;
    twin->key ^= 1;
    twin->is_twin = true;
    c->twin = w->choice_count++;
    return twin;
}

/* The text of a pattern in which nothing varies; empty: there is none. */
static bool fixed_text(struct qs_buffer *out, const struct choice *c)
{
    if (c->phrase)
        return qs_buffer_add(out, qs_span_of(c->phrase));
    for (unsigned i = 0; i < c->pieces; i++) {
        const struct piece *p = &c->piece[i];
        if (p->varies || p->wide || p->kind == QS_TOKEN_BASE64 || p->kind == QS_TOKEN_CODED ||
            (p->kind == QS_TOKEN_MARK && p->text.len > 1)) {
            out->len = 0;
            return true;
        }
        if (!qs_buffer_add(out, p->text))
            return false;
    }
    return true;
}

/* Notices return a storm's Subject in a header that filters see as one, or as text in the body. A small storm shows
 * its text in some of its encodings: what stood there as it is may come in base64, and the other way about. A pattern
 * for the one is tried for the other. */
enum qs_status qs_miner_add_twin(const struct miner *m, struct work *w, uint32_t of, struct qs_error *err)
{
    struct choice *c = &w->choice[of];
    if (c->field) {
        if (m->view->judgement->group[w->out->group].verdict == QS_BACKSCATTER && strcasecmp(c->field, "Subject") == 0) {
            struct choice *twin = twin_of(w, of);
            twin->text = c->whole;
        }
        return QS_OK;
    }
    struct qs_buffer text;
    qs_buffer_init(&text, w->choice);
    if (w->train >= FEW)
        return QS_OK;
    if (!fixed_text(&text, c))
        return out_of_memory(err);
    if (text.len < QS_PHRASE_LEAST)
        return QS_OK;
    if (!qs_buffer_add_char(&text, '\0'))
        return out_of_memory(err);
    struct choice *twin = twin_of(w, of);
    twin->phrase = c->phrase ? NULL : text.data;
    twin->pieces = 0;
    if (c->phrase) {
        twin->pieces = 1;
        twin->piece[0] = (struct piece){.kind = QS_TOKEN_WORD, .text = {text.data, text.len - 1}};
    }
    return qs_miner_make_pattern(w, twin, err);
}
