#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# forget.sh PROGRAM SOURCE: what runs have left goes when it is told to, but for the only copy of anything.
. "$(dirname "$0")/lib"
if [ "$(id -u)" != 0 ]; then
    echo "skip forget: needs root"
    finish
fi
chmod 755 "$work"
mkdir "$work/sm"
tar -C "$work/sm" -xzf "$source/fixtures/sendmail/single/mqueue.tar.gz" --no-same-owner 2> /dev/null
chown -R postfix:postfix "$cases"
chown -R root:root "$work/sm"

files() { (cd "$1" && find . -type f ! -path './.qsurgeon/*' -printf '%p %i %s %T@\n' | sort); }
# the runs of an action, by what the log says
run_of() { "$program" --state "$state" log --json | sed -n "s/^{\"run\":\"\([^\"]*-$1-[^\"]*\)\".*/\1/p"; }
act() { # act NAME ARGUMENT...: on this queue; what is left out is no failure
    name=$1
    shift
    run --mta "$mta" --queue "$dir" --state "$state" "$@"
    case $status in 0 | 2) ok "$mta: $name" ;; *) not_ok "$mta: $name" "exit $status: $err" ;; esac
}

for mta in postfix sendmail; do
    state=$work/state-$mta dir=$cases
    [ $mta = postfix ] || dir=$work/sm/mqueue
    act hold hold --all --include-legit --commit
    act release release --all --include-legit --commit
    act "purge --keep" purge --keep --subject 8bit --include-legit --commit
    act purge purge --subject plain --include-legit --commit
    act "drop-recipients, all of them" drop-recipients --subject folded --recipient . --include-legit --commit
    act archive archive --subject dsn --output "$state/elsewhere.tar.zst" --include-legit --commit
    act restore restore "$state/elsewhere.tar.zst" --commit
    act expedite expedite --all --include-legit --commit
    sed -i '/^{"end":true}$/d' "$state/$(run_of expedite)/journal.jsonl"
    for looks in triage "hold --all --include-legit" express; do
        # shellcheck disable=SC2086
        run --mta "$mta" --queue "$dir" --state "$state" $looks
        has "$mta: $looks names the run that is unfinished" "$out" "$(run_of expedite) is unfinished"
        lacks "$mta: $looks names no other" "$out" "$(run_of hold) is unfinished"
    done
    before=$(files "$dir") held=$(find "$dir/.qsurgeon" -type f | wc -l) runs=$(find "$state" -type f | wc -l)

    expect 64 "$mta: which runs" --state "$state" forget
    expect 64 "$mta: either names or an age" --state "$state" forget --older 1d "$(run_of hold)"
    expect 64 "$mta: no such run" --state "$state" forget 20200101-000000-hold-0000
    expect 0 "$mta: nothing is that old" --state "$state" forget --older 1h --commit
    same "$mta: and it says so" "$out" "Nothing to forget."
    expect 0 "$mta: a look" --state "$state" forget --older 0s
    same "$mta: removes nothing" "$(find "$dir/.qsurgeon" -type f | wc -l) $(find "$state" -type f | wc -l)" "$held $runs"
    has "$mta: and says how" "$out" "forget --older 0s --commit"
    expect 2 "$mta: a run that is named and kept" --state "$state" forget "$(run_of purge | head -n 1)" --commit
    has "$mta: says why" "$out" "may be the only copies"

    expect 0 "$mta: by age" --state "$state" forget --older 0s --commit --json
    for action in hold release archive; do
        same "$mta: $action is forgotten" "$(run_of $action)" ""
    done
    same "$mta: in JSON" "$(printf '%s\n' "$out" | grep -c '"forgotten":true,.*"kept_because":null}')" 3
    has "$mta: unfinished" "$out" "it is unfinished"
    has "$mta: the only archive" "$out" "its archive may be the only copy"
    has "$mta: what must not come twice" "$out" "must not be restored a second time from $state/elsewhere.tar.zst"
    same "$mta: the only copies" "$(printf '%s\n' "$out" | grep -c 'in its quarantine may be the only copies')" 2
    same "$mta: the queue is as it was" "$(files "$dir")" "$before"
    act "undo of what was kept" undo "$(run_of purge | head -n 1)"
    same "$mta: it is back" "$("$program" --mta "$mta" --queue "$dir" list --ids --subject 8bit | wc -l)" 1
    expect 0 "$mta: then it may go" --state "$state" forget "$(run_of purge | head -n 1)" --commit

    act resume resume
    rm "$state/elsewhere.tar.zst"
    expect 0 "$mta: all of the rest" --mta "$mta" --queue "$dir" --state "$state" forget --older 0s --with-messages --commit
    same "$mta: there is no run" "$(find "$state" -mindepth 1)" ""
    same "$mta: nor anything of one" "$(ls "$dir/.qsurgeon")" "lock"

    # what a crash has left under the other name, and files that somebody else has removed
    act "another hold" hold --all --include-legit --commit
    mv "$state/$(run_of hold)" "$state/$(run_of hold).forgotten"
    expect 0 "$mta: what a crash has left" --state "$state" forget --older 1h --commit
    same "$mta: is gone, too" "$(find "$state" -mindepth 1)" ""
    act "another release" release --all --include-legit --commit
    count=$("$program" --mta "$mta" --queue "$dir" list --ids | wc -l)
    find "$dir/.qsurgeon" -type f ! -name lock -delete
    act "undo without them" undo
    same "$mta: loses nothing" "$("$program" --mta "$mta" --queue "$dir" list --ids | wc -l)" "$count"
done
expect 64 "a saved scan has no runs: forget" --from x.db forget --older 1d
finish
