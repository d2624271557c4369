/* SPDX-License-Identifier: Apache-2.0 */
/* What the stages of mining share: see mine.c for their order. Private to prevent/mine/.
 *
 * A window is a run of tokens of one line that begins and ends with a fixed one; its key says the field, or the body, and
 * the tokens, with one value for all texts of a place that varies. Which texts are fixed is one set for all groups: those
 * that stand in enough messages of any group; so that a window of real mail has the same key as the same window of a
 * storm, and one walk over real mail is a test of all candidates. */
#ifndef QSURGEON_PREVENT_MINER_H
#define QSURGEON_PREVENT_MINER_H

#include "../../select/pattern.h"
#include "../tokens.h"
#include "qsurgeon/mine.h"
#include "qsurgeon/table.h"

enum {
    WINDOW_TOKENS = 24,             /* of one window */
    ENOUGH_BITS = 16,               /* that a window must say */
    FEW = 100,                      /* a group of fewer to learn from shows less of what is to come */
    BEYOND = 5,                     /* times as many rules as asked for, where some messages need their own */
};
#define MISSING UINT32_MAX

/* A place of a window as a pattern will have it. */
struct piece {
    uint8_t kind;                   /* enum qs_token_kind */
    bool varies, wide;              /* wide: other space than one blank was met */
    struct qs_span text;            /* in the sample's content */
    struct qs_range range;
};

struct sample {
    struct qs_span content;
    uint32_t message;
};

/* A window that was chosen, later a rule. */
struct choice {
    uint64_t key;
    double bits;
    uint64_t mask, place;
    const char *field;              /* NULL: body */
    struct piece piece[WINDOW_TOKENS];
    unsigned pieces;
    const char *phrase;             /* of base64, decoded, instead of pieces; else NULL */
    const char *text;               /* the pattern */
    const char *whole;              /* the same for the line with the field's name */
    uint32_t twin;                  /* the choice that looks for its text elsewhere; MISSING: none */
    bool is_twin;
    struct qs_pattern *pattern;     /* of the whole line */
    struct qs_span literal;         /* lowered; stands in every line that matches; may be empty */
    uint32_t group, next;           /* next: with the same field or the same first bytes */
    uint32_t *caught, caught_count; /* samples */
    uint32_t seen, seen_top;        /* the last message caught, by number */
    bool dead;
};

struct work {                       /* of one group */
    struct qs_mined_group *out;
    uint32_t *member;               /* messages that are meant, by arrival */
    uint32_t count, train;
    uint64_t *asked;                /* of each member: whom it is a notice to, hashed, or 0; NULL: no backscatter */
    struct sample *sample;
    uint32_t sample_count;
    struct choice *choice;          /* of the round in hand */
    uint32_t choice_count;
    struct choice **kept;           /* of all rounds: the rules */
    uint32_t kept_count;
};

struct victim {
    const char *address;            /* NULL: dropped */
    uint32_t work;                  /* index of its group's */
    uint32_t next;                  /* of the same mailbox; MISSING: none */
};

struct miner {
    TALLOC_CTX *scratch;            /* of the round in hand */
    unsigned round;
    const struct qs_view *view;
    const struct qs_mine_how *how;
    struct qs_mined *out;
    struct qs_reader *reader;
    struct qs_file *file;
    struct qs_buffer content, lowered;
    struct work *work;
    size_t work_count;
    /* real mail */
    uint32_t *good;
    uint32_t good_count;
    char **good_file;
    size_t good_file_count;
    uint32_t good_read;             /* by the last walk */
    /* whom notices go to */
    struct victim *victim;
    uint32_t victim_count;
    struct qs_table *victims;       /* hash of the lowered address to its index */
    struct qs_table *boxes;         /* the same of what the queue has for it, to the last of them */
    /* words */
    struct qs_table *words;         /* hash of a fixed token to its index */
    uint32_t *word_good, *word_seen;
    float *word_bits;
    uint32_t word_count;
    double enough;
    struct qs_span *taboo;
    uint32_t taboo_count;
    struct qs_table *taboo_at;      /* hash of the first token to the first of them, sorted */
    /* windows */
    struct qs_table *windows;       /* key to index */
    uint8_t *window_dead;
    uint32_t window_count;
    uint64_t *prefix;
    /* rules under test */
    struct choice **rule;
    uint32_t rule_count;
    struct qs_table *by_field;      /* hash of the lowered name to the first rule */
    struct qs_table *by_gram;       /* GRAM lowered bytes to the first rule */
    uint32_t always;                /* first of the body rules without a literal */
    char decoded[QS_DECODED];       /* of the line in hand */
    struct qs_token token[QS_TOKENS + 1];           /* one more, a BREAK, behind a line's last */
};

static inline enum qs_status out_of_memory(struct qs_error *err)
{
    return qs_fail(err, QS_NOMEM, "out of memory");
}

static inline char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

static inline uint64_t name_hash(struct qs_span name)
{
    uint64_t h = 1;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)lower(name.ptr[i])) * UINT64_C(0x100000001b3);
    return qs_mix64(h);
}

/* Every how-manieth of `count` so that at most `cap` are left: the index of the i-th. */
static inline uint32_t spread(uint32_t i, uint32_t count, uint32_t kept)
{
    return (uint32_t)((uint64_t)i * count / kept);
}

static inline uint32_t at_most(uint32_t count, uint32_t cap)
{
    return count < cap ? count : cap;
}

static inline bool is_few(const struct miner *m, const struct work *w)
{
    return m->round == 0 && w->sample_count < FEW;
}

/* --- mail.c ------------------------------------------------------------------------------------ */

typedef enum qs_status (*on_good)(struct miner *m, struct qs_span content, uint32_t number, struct qs_error *err);

/* A message again, with at most `cap` bytes of content; *got is false when it is no longer there. */
enum qs_status qs_miner_read_envelope(struct miner *m, uint32_t message, size_t cap, struct qs_envelope *envelope,
                                      struct qs_span *content, bool *got, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_miner_read_message(struct miner *m, uint32_t message, size_t cap, struct qs_span *content,
                                     bool *got, struct qs_error *err) QS_MUST_CHECK;
/* All real mail once. Numbers begin with 1. */
enum qs_status qs_miner_each_good(struct miner *m, on_good fn, struct qs_error *err) QS_MUST_CHECK;
/* The real mail of directories alone, in the same way. */
enum qs_status qs_miner_each_file(struct miner *m, on_good fn, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_miner_list_good(struct miner *m, struct qs_error *err) QS_MUST_CHECK;
/* The messages that candidates come from, kept in memory. */
enum qs_status qs_miner_read_samples(struct miner *m, struct work *w, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_miner_keep_sample(struct work *w, uint32_t message, struct qs_span content,
                                    struct qs_error *err) QS_MUST_CHECK;

/* --- words.c ----------------------------------------------------------------------------------- */

/* The lines of a message and, behind each line of base64, what it encodes. */
struct walk {
    struct qs_lines lines;
    struct qs_line last;            /* whose text may have to be decoded */
    bool decode;
};

/* Counts in how many messages something stands: a key's index, its count and the last message that had it. */
struct counts {
    struct qs_table *at;
    uint32_t *count, *seen;
    uint32_t used, size;
};

/* What this host serves and is called: no pattern may name it. */
enum qs_status qs_miner_learn_taboo(struct miner *m, struct qs_error *err) QS_MUST_CHECK;
/* The tokens of a line in m->token, with `fixed` set once the words are known. message: UINT32_MAX for real mail. */
unsigned qs_miner_tokens(struct miner *m, const struct qs_line *line, uint32_t message);
double qs_miner_token_bits(const struct miner *m, const struct qs_token *t);
bool qs_miner_next_line(struct miner *m, struct walk *walk, struct qs_line *line);
bool qs_miner_disguises(const struct miner *m, const struct qs_line *line, const struct qs_token *t);
/* "$" and a number behind it: what it is sold for. */
bool qs_miner_is_price(const struct qs_line *line, const struct qs_token *t);
bool qs_counts_new(TALLOC_CTX *parent, struct counts *t);
/* stamp: number of the message, not 0. */
bool qs_counts_add(struct counts *t, uint64_t key, uint32_t stamp);
enum qs_status qs_miner_learn_words(struct miner *m, struct qs_error *err) QS_MUST_CHECK;
/* In so many messages of a group something must stand to be more than chance. */
uint32_t qs_miner_enough_messages(const struct miner *m, const struct work *w);

/* --- windows.c --------------------------------------------------------------------------------- */

struct window {
    const struct qs_line *line;     /* of m->token */
    uint64_t key, mask, place;
    unsigned from, end;             /* tokens [from, end) */
    unsigned words;
    double bits;
    bool whole;                     /* ends with a fixed token; not only the beginning of one */
    bool telling;                   /* has a word that few real messages have */
};

/* False: go on at the next beginning. */
typedef bool (*visit)(struct miner *m, const struct window *w, void *data);

void qs_miner_windows(struct miner *m, struct qs_span content, uint32_t message, visit fn, void *data);
/* A window that says less is taken when it is common in the storm: then many real messages without it say the rest. */
bool qs_miner_may_say_enough(const struct miner *m, const struct window *w);
enum qs_status qs_miner_learn_windows(struct miner *m, struct qs_error *err) QS_MUST_CHECK;

/* --- choose.c ---------------------------------------------------------------------------------- */

/* Chooses twice as many windows as there may be rules, for the last test may drop some, and makes patterns of them. */
enum qs_status qs_miner_choose_windows(struct miner *m, struct work *w, uint32_t soft,
                                       struct qs_error *err) QS_MUST_CHECK;
/* The rules that this round found. */
enum qs_status qs_miner_keep_rules(struct miner *m, struct work *w, uint32_t soft, struct qs_error *err) QS_MUST_CHECK;

/* --- patterns.c -------------------------------------------------------------------------------- */

struct shaping {
    struct work *work;
    struct qs_table *at;            /* key to choice */
    bool failed;
};

bool qs_miner_shape_window(struct miner *m, const struct window *w, void *data);
enum qs_status qs_miner_make_pattern(struct work *w, struct choice *c, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_miner_add_twin(const struct miner *m, struct work *w, uint32_t of,
                                 struct qs_error *err) QS_MUST_CHECK;

/* --- victims.c --------------------------------------------------------------------------------- */

enum qs_status qs_miner_find_victims(struct miner *m, struct qs_error *err) QS_MUST_CHECK;
/* Has the member, by number, the empty sender and one recipient, who is among them? */
bool qs_miner_to_victim(const struct miner *m, const struct work *w, uint32_t member);
/* Into the result, with what they catch. */
enum qs_status qs_miner_add_victims(struct miner *m, struct qs_error *err) QS_MUST_CHECK;

/* --- judge.c ----------------------------------------------------------------------------------- */

/* The rules that are alive, so that a line finds those that may match it. */
enum qs_status qs_miner_index_rules(struct miner *m, struct qs_error *err) QS_MUST_CHECK;
/* All lines of a message against the rules. strict: also the header's rules against lines of the body that look like fields,
 * and the body's against the header. */
enum qs_status qs_miner_test(struct miner *m, struct qs_span content, uint32_t stamp, int64_t group, bool strict,
                             struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_miner_test_good(struct miner *m, struct qs_span content, uint32_t number,
                                  struct qs_error *err) QS_MUST_CHECK;
/* Runs the group's rules over the messages [from, to) of its members. */
enum qs_status qs_miner_measure(struct miner *m, struct work *w, uint32_t from, uint32_t to, bool later,
                                struct qs_error *err) QS_MUST_CHECK;

#endif
