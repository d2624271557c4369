/* SPDX-License-Identifier: Apache-2.0 */
/* What a run did, as JSON Lines that grow: {"n":3,"moves":[...]} before a message is touched, {"n":3,"outcome":"done"} after it,
 * {"archive":PATH}, {"archived":true}, {"unlinked":true}, {"end":true} for the run; and of its undo {"undoing":true},
 * {"n":3,"back":"done"}, {"undone":true}, before which {"waits":true} says that some messages were left for the undo of a later run
 * to come first. A cut-off last line is what a crash leaves: it is
 * passed over, and the disk tells the rest. */
#ifndef QSURGEON_JOURNAL_H
#define QSURGEON_JOURNAL_H

#include <talloc.h>

#include "perform.h"
#include "qsurgeon/apply.h"
#include "qsurgeon/reader.h"

struct qs_journal;

/* Opens <dir>/journal.jsonl for appending; made when it is missing. */
enum qs_status qs_journal_open(TALLOC_CTX *parent, const char *dir, struct qs_journal **out, struct qs_error *err) QS_MUST_CHECK;
/* Lines go to a buffer; qs_journal_sync writes and syncs it. */
enum qs_status qs_journal_moves(struct qs_journal *journal, uint32_t n, const struct qs_move *moves, size_t count,
                                struct qs_error *err) QS_MUST_CHECK;
/* The same in two parts: the line itself, which threads may make, and any number of lines. The first is false when memory is out. */
bool qs_journal_line(struct qs_buffer *to, uint32_t n, const struct qs_move *moves, size_t count) QS_MUST_CHECK;
enum qs_status qs_journal_lines(struct qs_journal *journal, struct qs_span lines, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_journal_outcome(struct qs_journal *journal, uint32_t n, bool undone, enum qs_outcome outcome, const char *why,
                                  struct qs_error *err) QS_MUST_CHECK;
/* Where the archive will be, synced before it is begun. */
enum qs_status qs_journal_archive(struct qs_journal *journal, const char *path, struct qs_error *err) QS_MUST_CHECK;
/* A mark of the whole run, synced: "archived", "unlinked", "undoing", "waits", "undone", "end". */
enum qs_status qs_journal_mark(struct qs_journal *journal, const char *mark, struct qs_error *err) QS_MUST_CHECK;
enum qs_status qs_journal_sync(struct qs_journal *journal, struct qs_error *err) QS_MUST_CHECK;

/* A journal read back. */
struct qs_record {
    struct qs_move *moves;          /* NULL: never prepared */
    size_t count;
    bool has_outcome;
    enum qs_outcome outcome;        /* the last one */
    bool reversed;                  /* undo has put it back */
    bool settled;                   /* undo has put it back, or found that the MTA has acted on it */
};
struct qs_past {
    struct qs_record *of;           /* one for each message of the plan */
    uint32_t count;
    bool archived, unlinked, undoing, waits, undone, end;
    char *archive;                  /* its path, once it was decided; or NULL */
    uint32_t done, in_doubt;        /* by qs_journal_skim alone: messages that were done in the end; that have moves and no outcome */
};
/* Reads <dir>/journal.jsonl of a run of `count` messages; a missing file is an empty journal. Paths are checked as those of a
 * plan are: the file is input. QS_DATA: damaged before its last line. */
enum qs_status qs_journal_read(TALLOC_CTX *parent, const char *dir, uint32_t count, struct qs_past **out,
                               struct qs_error *err) QS_MUST_CHECK;
/* The same for a list of runs: the marks and the two counts, out->of is NULL. No moves are read, and damage among them is not
 * seen. */
enum qs_status qs_journal_skim(TALLOC_CTX *parent, const char *dir, uint32_t count, struct qs_past **out,
                               struct qs_error *err) QS_MUST_CHECK;

#endif
