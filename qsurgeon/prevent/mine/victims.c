/* SPDX-License-Identifier: Apache-2.0 */
/* Mining: whom others' notices go to. What a notice brings back need not show anything of the storm, but all have the empty
 * sender and the forged one as their recipient. That is the envelope's, which no pattern of a line sees; and as it would
 * refuse what is returned to that user for good reason, too, one sign of such mail is enough to drop it. */
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

/* The victim that a message with one recipient is a notice to, by its index; MISSING: none. */
static uint32_t victim_of(const struct miner *m, uint32_t message)
{
    struct qs_span address;
    return m->victims && m->view->scan->messages[message].recipient_count == 1 && is_notice(m, message, 0, &address)
               ? qs_table_get(m->victims, name_hash(address), MISSING) : MISSING;
}

bool qs_miner_to_victim(const struct miner *m, uint32_t message)
{
    const uint32_t victim = victim_of(m, message);
    return victim != MISSING && m->victim[victim].address;
}

/* Addresses that enough notices of the training part go to. */
static enum qs_status gather(struct miner *m, const struct work *w, struct qs_error *err)
{
    struct counts tally;
    struct qs_span address;
    bool good = qs_counts_new(m->scratch, &tally);
    for (uint32_t i = 0; good && i < w->train; i++)
        if (m->view->scan->messages[w->member[i]].recipient_count == 1 && is_notice(m, w->member[i], 0, &address) &&
            is_plain(address))
            good = qs_counts_add(&tally, name_hash(address), i + 1);
    for (uint32_t i = 0; good && i < w->train && m->victim_count < QS_MINE_VICTIMS; i++) {
        if (m->view->scan->messages[w->member[i]].recipient_count != 1 || !is_notice(m, w->member[i], 0, &address))
            continue;
        const uint32_t known = qs_table_get(tally.at, name_hash(address), MISSING);
        if (known == MISSING || tally.count[known] < QS_MINE_LEAST)
            continue;
        uint32_t *index = qs_table_at(m->victims, name_hash(address), MISSING);
        good = index != NULL;
        if (!good || *index != MISSING)
            continue;
        *index = m->victim_count;
        m->victim[m->victim_count++] =
            (struct victim){talloc_strndup(m->out, address.ptr, address.len), (uint32_t)(w - m->work)};
        good = m->victim[*index].address != NULL;
    }
    talloc_free(tally.at);
    return good ? QS_OK : out_of_memory(err);
}

static void drop(struct miner *m, struct qs_span address)
{
    const uint32_t victim = qs_table_get(m->victims, name_hash(address), MISSING);
    if (victim != MISSING)
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
    if (!m->victim || !m->victims)
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
            for (uint32_t n = 0; n < w->count; n++)
                *(n < w->train ? &to->train : &to->later) += victim_of(m, w->member[n]) == v;
            out->victim_count++;
            w->out->victims++;
        }
    }
    return QS_OK;
}
