/* SPDX-License-Identifier: Apache-2.0 */
/* Mining: whom others' notices go to. What a notice brings back need not show anything of the storm, but all have the empty
 * sender and the forged one as their recipient. That is the envelope's, which no pattern of a line sees; and as it would
 * refuse what is returned to that user for good reason, too, one sign of such mail is enough to drop it.
 *
 * The door hears what the client asks for; the queue has what aliases have made of it. So a victim is an address as it was
 * asked for, which is read again from the message where it is said, and is dropped for its mailbox's sake, too. */
#include "miner.h"

#include <stdlib.h>
#include <string.h>

enum { ADDRESS_MAX = 254 };

/* What a table can name without a doubt. */
static bool is_plain(struct qs_span address)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+=-@";
    if (address.len < 3 || address.len > ADDRESS_MAX || *address.ptr == '@' || address.ptr[address.len - 1] == '@')
        return false;
    for (size_t i = 0; i < address.len; i++)
        if (!memchr(letters, address.ptr[i], sizeof letters - 1))
            return false;
    return memchr(address.ptr, '@', address.len) == memrchr(address.ptr, '@', address.len);
}

static bool is_notice(const struct miner *m, uint32_t message, uint32_t recipient, struct qs_span *address)
{
    const struct qs_message *msg = &m->view->scan->messages[message];
    if (msg->sender != 0 || recipient >= msg->recipient_count)
        return false;
    *address = qs_sym_span(m->view->scan->strings, msg->recipients[recipient].address);
    return true;
}

bool qs_miner_to_victim(const struct miner *m, const struct work *w, uint32_t member)
{
    const uint32_t victim = w->asked ? qs_table_get(m->victims, w->asked[member], MISSING) : MISSING;
    return victim != MISSING && m->victim[victim].address;
}

/* What the client of a notice with one recipient asked for; no text: it is none, or cannot be said. */
static enum qs_status read_asked(struct miner *m, uint32_t message, struct qs_span *asked, struct qs_error *err)
{
    struct qs_envelope envelope = {0};
    struct qs_span content;
    bool got = false;
    *asked = (struct qs_span){NULL, 0};
    if (m->view->scan->messages[message].recipient_count != 1 || !is_notice(m, message, 0, asked))
        return QS_OK;
    const enum qs_status status = qs_miner_read_envelope(m, message, 0, &envelope, &content, &got, err);
    if (!got)
        *asked = (struct qs_span){NULL, 0};
    else if (envelope.recipient_count == 1 && envelope.recipients[0].asked)
        *asked = envelope.recipients[0].original;
    return status;
}

static enum qs_status add(struct miner *m, const struct work *w, uint32_t message, struct qs_span asked, struct qs_error *err)
{
    struct qs_span box = {NULL, 0};
    (void)is_notice(m, message, 0, &box);
    uint32_t *index = qs_table_at(m->victims, name_hash(asked), MISSING);
    uint32_t *first = qs_table_at(m->boxes, name_hash(box), MISSING);
    if (!index || !first)
        return out_of_memory(err);
    *index = m->victim_count;
    m->victim[m->victim_count] = (struct victim){talloc_strndup(m->out, asked.ptr, asked.len), (uint32_t)(w - m->work), *first};
    *first = m->victim_count;
    return m->victim[m->victim_count++].address ? QS_OK : out_of_memory(err);
}

/* Addresses that enough notices of the training part go to. */
static enum qs_status gather(struct miner *m, struct work *w, struct qs_error *err)
{
    const uint32_t kept = at_most(w->count, QS_MINE_MEASURED);
    struct counts tally;
    struct qs_span asked;
    enum qs_status status = QS_OK;
    w->asked = talloc_zero_array(m, uint64_t, w->count + 1u);
    if (!w->asked || !qs_counts_new(m->scratch, &tally))
        return out_of_memory(err);
    for (uint32_t i = 0; status == QS_OK && i < kept; i++) {
        const uint32_t n = spread(i, w->count, kept);
        status = read_asked(m, w->member[n], &asked, err);
        if (status != QS_OK || !is_plain(asked))
            continue;
        w->asked[n] = name_hash(asked);
        if (n >= w->train)
            continue;
        if (!qs_counts_add(&tally, w->asked[n], n + 1))
            status = out_of_memory(err);
        else if (m->victim_count < QS_MINE_VICTIMS && qs_table_get(m->victims, w->asked[n], MISSING) == MISSING &&
                 tally.count[qs_table_get(tally.at, w->asked[n], 0)] >= QS_MINE_LEAST)
            status = add(m, w, w->member[n], asked, err);
    }
    talloc_free(tally.at);
    return status;
}

static void drop(struct miner *m, struct qs_span address)
{
    const uint64_t hash = name_hash(address);
    uint32_t victim = qs_table_get(m->victims, hash, MISSING);
    if (victim != MISSING)
        m->victim[victim].address = NULL;
    for (victim = qs_table_get(m->boxes, hash, MISSING); victim != MISSING; victim = m->victim[victim].next)
        m->victim[victim].address = NULL;
}

/* Who gets notices that are not known for backscatter. */
static void drop_by_queue(struct miner *m)
{
    const struct qs_judgement *judgement = m->view->judgement;
    struct qs_span address;
    for (uint32_t i = 0; i < m->view->scan->count; i++)
        if (judgement->of[i].verdict == QS_LEGIT || judgement->of[i].verdict == QS_UNSURE)
            for (uint32_t r = 0; is_notice(m, i, r, &address); r++)
                drop(m, address);
}

/* Any word of a field that is somebody's address. */
static void drop_named(struct miner *m, struct qs_span text)
{
    static const char ends[] = " \t\r\n,;:<>()\"";
    for (size_t at = 0, end; at < text.len; at = end + 1) {
        for (end = at; end < text.len && !memchr(ends, text.ptr[end], sizeof ends - 1);)
            end++;
        drop(m, (struct qs_span){text.ptr + at, end - at});
    }
}

/* A message of a directory that was delivered with the empty sender: to all that its header names. */
static enum qs_status drop_by_file(struct miner *m, struct qs_span content, uint32_t number, struct qs_error *err)
{
    struct qs_lines lines = {.rest = content};
    struct qs_line line;
    bool notice = false;
    (void)number, (void)err;
    for (unsigned pass = 0; pass < 2 && (pass == 0 || notice); pass++) {
        lines = (struct qs_lines){.rest = content};
        while (qs_lines_next(&lines, &line) && line.kind == QS_LINE_HEADER) {
            if (pass == 1)
                drop_named(m, line.text);
            else if (qs_span_is_nocase(line.name, "Return-Path"))
                notice |= memmem(line.text.ptr, line.text.len, "<>", 2) != NULL;
        }
    }
    return QS_OK;
}

enum qs_status qs_miner_find_victims(struct miner *m, struct qs_error *err)
{
    const struct qs_judgement *judgement = m->view->judgement;
    enum qs_status status = QS_OK;
    m->victim = talloc_zero_array(m, struct victim, QS_MINE_VICTIMS);
    m->victims = qs_table_new(m, QS_MINE_VICTIMS);
    m->boxes = qs_table_new(m, QS_MINE_VICTIMS);
    if (!m->victim || !m->victims || !m->boxes)
        return out_of_memory(err);
    for (size_t i = 0; status == QS_OK && i < m->work_count; i++)
        if (judgement->group[m->work[i].out->group].cause == QS_CAUSE_BACKSCATTER_IN)
            status = gather(m, &m->work[i], err);
    if (status == QS_OK && m->victim_count > 0) {
        drop_by_queue(m);
        status = qs_miner_each_file(m, drop_by_file, err);
    }
    return status;
}

enum qs_status qs_miner_add_victims(struct miner *m, struct qs_error *err)
{
    struct qs_mined *out = m->out;
    out->victim = talloc_zero_array(out, struct qs_mined_victim, m->victim_count + 1u);
    if (!out->victim)
        return out_of_memory(err);
    for (size_t i = 0; i < m->work_count; i++) {
        const struct work *w = &m->work[i];
        w->out->first_victim = (uint32_t)out->victim_count;
        for (uint32_t v = 0; v < m->victim_count; v++) {
            struct qs_mined_victim *to = &out->victim[out->victim_count];
            if (!m->victim[v].address || m->victim[v].work != i)
                continue;
            *to = (struct qs_mined_victim){.group = (uint32_t)i, .address = m->victim[v].address};
            const uint64_t hash = name_hash(qs_span_of(to->address));
            for (uint32_t n = 0; n < w->count; n++)
                *(n < w->train ? &to->train : &to->later) += w->asked[n] == hash;
            out->victim_count++;
            w->out->victims++;
        }
    }
    return QS_OK;
}
