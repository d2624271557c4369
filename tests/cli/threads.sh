#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# threads.sh: as many threads as you like read the same; in the build with ThreadSanitizer, also without a race.
. "$(dirname "$0")/lib"
export TSAN_OPTIONS="halt_on_error=1 exitcode=66"

one=$("$program" --mta postfix --queue "$queue" --threads 1 list --json | md5sum)
# without what tells of this run: the time, and the commands to type next
untimed() { sed 's/"time":[0-9]*//; s/--threads [0-9]*//g' "$@"; }
report=$("$program" --mta postfix --queue "$queue" --threads 1 triage --json | untimed | md5sum)
for threads in 2 4 16; do
    expect 0 "$threads threads" --mta postfix --queue "$queue" --threads $threads list --json
    same "$threads threads read the same as one" "$(md5sum < "$work/out")" "$one"
    expect 0 "triage by $threads threads" --mta postfix --queue "$queue" --threads $threads triage --json
    same "$threads threads judge the same as one" "$(untimed "$work/out" | md5sum)" "$report"
done
expect 0 "a report by 8 threads" --mta postfix --queue "$queue" --threads 8 triage --explain
expect 0 "malformed messages by 8 threads" --mta postfix --queue "$cases" --threads 8 triage --problems

# surgery: one thread claims, another follows; more than the 64 messages that are handed over at once
listing() { (cd "$queue" && find . -path ./.qsurgeon -prune -o -type f -printf '%P %i %m %s %T@\n' | sort | md5sum); }
before=$(listing)
for verb in hold "purge --keep"; do
    # shellcheck disable=SC2086
    expect 0 "$verb by two threads" --mta postfix --queue "$queue" --state "$work/state" $verb --queue deferred \
        --include-legit --commit
    has "$verb takes many" "$out" " messages of "
    expect 0 "undo of $verb" --mta postfix --queue "$queue" --state "$work/state" undo
    same "undo of $verb leaves nothing changed" "$(listing)" "$before"
done
finish
