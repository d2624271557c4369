#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# runs.sh PROGRAM SOURCE: what the next day's colleague does with runs: log, undo, archives, restore, from any directory.
. "$(dirname "$0")/lib"
if [ "$(id -u)" != 0 ]; then
    echo "skip runs: needs root"
    finish
fi
cp -a "$cases" "$work/other"
state=$work/made/state
# what the queue holds, and where
where() { (cd "$1" && find . -type f ! -path './.qsurgeon/*' -printf '%p %s\n' | sort); }
before=$(where "$queue") other_before=$(where "$work/other")

# root's umask is no obstacle to the owner of the queue; relative names mean the same from everywhere
(cd "$work" && umask 077 && exec "$program" --queue storm/spool --state made/state purge --verdict storm --commit) > "$work/out" 2> "$work/err"
same "a purge by relative names" "$?" 0
same "directories above the runs can be passed" "$(stat -c %a "$work/made")" 755
same "the runs are the owner's" "$(stat -c %a "$state")" 700
has "the advice is from the root" "$(cat "$work/out")" "--queue $queue --state $state undo"
run --queue "$work/other" --state "$state" log
purge=$(printf '%s\n' "$out" | sed -n 's/^\([0-9]*-[0-9]*-purge-[0-9a-f]*\).*/\1/p')
expect 0 "archives" --state "$state" archives --json
has "the path of an archive is from the root" "$out" "\"$state/$purge/archive.tar.zst\""

# the last run is undone where it was; one on another queue is not meant
expect 0 "a hold on another queue" --queue "$work/other" --state "$state" hold --all --queue deferred --include-legit --commit
held=$(where "$work/other")
expect 64 "nothing to resume" --queue "$queue" --state "$state" resume
exec 9> "$queue/.qsurgeon/lock"
flock 9
for command in undo "hold --verdict backscatter --commit" "forget --older 0s --commit"; do
    # shellcheck disable=SC2086
    expect 75 "another qsurgeon operates: $command" --queue "$queue" --state "$state" $command
    same "and nothing is reported: $command" "$out" ""
    has "but that: $command" "$err" "another qsurgeon is operating"
done
exec 9>&-
expect 0 "undo is for the queue that is named" --queue "$queue" --state "$state" undo
has "undo names the run" "$out" "$purge"
# under new queue IDs, for they came from the archive
same "undo puts back what was there" "$(where "$queue" | sed 's/.* //' | sort)" "$(echo "$before" | sed 's/.* //' | sort)"
same "the other queue is as it was left" "$(where "$work/other")" "$held"
expect 64 "there is nothing more to undo here" --queue "$queue" --state "$state" undo
has "there is elsewhere" "$err" "on others there is"
expect 0 "log in JSON" --state "$state" log --json
has "log counts what was done" "$out" "\"state\":\"undone\""
expect 0 "undo of the other" --queue "$work/other" --state "$state" undo
same "the other queue is as it was" "$(where "$work/other")" "$other_before"
expect 64 "there is nothing more to undo" --queue "$work/other" --state "$state" undo
same "nothing more anywhere" "$err" "qsurgeon: there is no run to undo"
expect 64 "a run that is unknown" --state "$state" undo 20200101-000000-hold-0000

# an archive has its place from the plan on, and that is demanded when the plan is made
expect 64 "archive without its file" --queue "$queue" --state "$state" archive --verdict storm
has "says what is missing" "$err" "archive needs --output FILE"
expect 64 "a plan of it, too" --queue "$queue" --state "$state" archive --verdict storm --plan "$work/no.plan"
same "and no plan is written" "$(ls "$work"/no.plan 2> /dev/null)" ""
expect 64 "an archive and none" --queue "$queue" --state "$state" purge --verdict storm --no-archive --output "$work/x" --commit
mkdir "$work/kept"
chown "$(stat -c %U "$queue/deferred")" "$work/kept"
chmod 755 "$work"
(cd "$work/kept" && exec "$program" --queue "$queue" --state "$state" archive --verdict storm --output one.tar.zst --plan ../a.plan) \
    > "$work/out"
has "the plan says where to" "$(cat "$work/out")" "Archive: $work/kept/one.tar.zst"
expect 0 "commit of it, from elsewhere" --state "$state" commit "$work/a.plan"
has "writes it there" "$out" "in $work/kept/one.tar.zst"
expect 0 "and it is whole" verify "$work/kept/one.tar.zst"
expect 0 "undo of it" --queue "$queue" --state "$state" undo
expect 64 "what is there is not written over" --queue "$queue" --state "$state" archive --verdict storm --output "$work/kept/one.tar.zst" --commit
expect 0 "another plan" --queue "$queue" --state "$state" archive --verdict storm --output "$work/kept/one.tar.zst" --plan "$work/b.plan"
expect 64 "its commit neither" --state "$state" commit "$work/b.plan"
has "and says how" "$err" "--output names a new file"
expect 0 "but to another place" --state "$state" commit "$work/b.plan" --output "$work/kept/two.tar.zst"
has "the archive is there" "$out" "in $work/kept/two.tar.zst"
expect 0 "undo of that" --queue "$queue" --state "$state" undo
expect 0 "a plan without an archive" --queue "$queue" --state "$state" hold --verdict storm --plan "$work/c.plan"
expect 64 "has no place for one" --state "$state" commit "$work/c.plan" --output "$work/kept/three.tar.zst"

# what came back from an archive is another file than the one that was put on hold
expect 0 "a hold before a purge" --queue "$queue" --state "$state" hold --verdict storm --commit
expect 0 "the purge" --queue "$queue" --state "$state" purge --queue hold --verdict storm --commit
expect 0 "its undo" --queue "$queue" --state "$state" undo
expect 2 "undo of the hold" --queue "$queue" --state "$state" undo
has "says where they are" "$out" "as a new file, to where that had found it: if that was hold, \`release\` lets it go"
expect 0 "so be it" --queue "$queue" --state "$state" release --queue hold --verdict storm --commit

# a run that is undone in part is found when what it waited for is not there any more
expect 0 "a hold before a release" --queue "$queue" --state "$state" hold --verdict storm --commit
run_of() { (cd "$state" && echo 2*-"$1"-*) | tr ' ' '\n' | tail -n 1; }
expect 0 "the release" --queue "$queue" --state "$state" release --queue hold --verdict storm --commit
expect 2 "undo of the hold waits" --queue "$queue" --state "$state" undo "$(run_of hold)"
has "and says for what" "$out" "undo $(run_of release)"
expect 0 "log of both" --queue "$queue" --state "$state" log
has "log tells of it" "$out" "$(run_of hold) is undone but for what a later run has acted on"
expect 0 "the release is forgotten" --queue "$queue" --state "$state" forget "$(run_of release)" --commit
expect 0 "undo goes on" --queue "$queue" --state "$state" undo
has "with the hold" "$out" "Run $(run_of hold)"

# what a restore has brought and a hold has moved; and runs that know their messages by queue IDs alone
expect 0 "an archive" --queue "$queue" --state "$state" archive --verdict storm --output "$work/kept/again.tar.zst" --commit
archive=$(run_of purge)
expect 0 "its restore" --queue "$queue" --state "$state" restore "$work/kept/again.tar.zst" --commit
restored=$(where "$queue")
expect 0 "a hold of that" --queue "$queue" --state "$state" hold --verdict storm --commit
"$program" --queue "$queue" list --queue hold --ids > "$work/ids"
"$program" --queue "$queue" --state "$state" release --id - --include-legit --commit < "$work/ids" > "$work/out"
has "a release by queue IDs" "$(cat "$work/out")" "Released: $(wc -l < "$work/ids" | tr -d ' ') messages"
expect 2 "undo of the restore waits" --queue "$queue" --state "$state" undo "$(run_of restore)"
has "for a later one" "$out" "undo $(run_of hold)"
expect 2 "undo of the hold as well" --queue "$queue" --state "$state" undo "$(run_of hold)"
has "for the last" "$out" "undo $(run_of release)"
same "nothing is moved" "$(where "$queue")" "$restored"
expect 0 "undo of the last" --queue "$queue" --state "$state" undo
same "is undo of all" "$(printf '%s\n' "$out" | grep -c '^\(Put back\|Taken out again\) as well: ')" 2
expect 0 "undo of the archive" --queue "$queue" --state "$state" undo "$archive"
same "so all is there" "$(where "$queue" | sed 's/.* //' | sort)" "$(echo "$before" | sed 's/.* //' | sort)"

# a purge of which a restore has brought back some, or all, and undo in the order in which it loses nothing
for part in "--sender ." "--larger 1"; do
    expect 0 "a purge" --queue "$queue" --state "$state" purge --verdict storm --commit
    purge=$(run_of purge)
    expect 0 "a restore of some: $part" --queue "$queue" --state "$state" restore "$state/$purge/archive.tar.zst" $part --commit
    restored=$(printf '%s\n' "$out" | sed -n 's/^[^0-9]*\([0-9]*\) messages* of.*/\1/p')
    expect 2 "undo of the purge waits for what was restored" --queue "$queue" --state "$state" undo "$purge"
    has "and names that" "$out" "undo $(run_of restore)"
    expect 0 "its archive is the only copy of what the undo of that takes out" --queue "$queue" --state "$state" forget --older 0s --commit
    has "and is kept" "$out" "Kept: $purge; its archive may be the only copy"
    expect 0 "undo of the restore" --queue "$queue" --state "$state" undo
    has "takes them out" "$out" "Taken out again: $restored message"
    has "and the purge gives them back" "$out" "Put back as well: $restored message"
    same "so all is there" "$(where "$queue" | sed 's/.* //' | sort)" "$(echo "$before" | sed 's/.* //' | sort)"
    expect 0 "now it can be forgotten" --queue "$queue" --state "$state" forget "$purge" --commit
    has "without a flag" "$out" "Forgotten: $purge"
done

# of a finished list, what is not in the queue is told
"$program" --queue "$queue" list --verdict storm --ids | sed '1s/^/0000000000\nNEVERHERE1\n/' > "$work/ids"
"$program" --queue "$queue" --state "$state" hold --id - --include-legit --commit < "$work/ids" > "$work/out" 2> "$work/err"
has "IDs that are not there" "$(cat "$work/err")" "2 of the $(wc -l < "$work/ids" | tr -d ' ') IDs: no message in the queue"
expect 0 "undo of it" --queue "$queue" --state "$state" undo

# a run that was killed in the midst of its first messages: its journal has their moves, and no outcome
expect 0 "a hold" --queue "$queue" --state "$state" hold --verdict storm --commit
killed=$(printf '%s\n' "$out" | sed -n 's/.* Run \(.*\)$/\1/p')
journal=$state/$killed/journal.jsonl
moves=$(grep -c '"moves"' "$journal")
sed -i '0,/"outcome"/{/"outcome"/d}' "$journal"      # as of one that a stopped run had not come to
expect 0 "log of what has ended" --state "$state" log --json
has "nothing of that is in doubt" "$(printf '%s\n' "$out" | grep "$killed")" "\"done\":$((moves - 1)),\"in_doubt\":0"
sed -i -n '/"moves"/p' "$journal"
expect 0 "log of it" --state "$state" log
has "log says what it may have done" "$(printf '%s\n' "$out" | grep "^$killed .*unfinished")" " 0 to $moves "
has "and in words" "$out" "$killed is unfinished: 0 of $moves messages done, $moves may be as well; unless it still runs"
expect 0 "log in JSON" --state "$state" log --json
has "the same in JSON" "$(printf '%s\n' "$out" | grep "$killed")" "\"planned\":$moves,\"done\":0,\"in_doubt\":$moves"
# two of them had not been moved yet
for id in $(sed -n 's/.*"f":"\([^"]*\)".*/\1/p' "$journal" | head -n 2); do
    mv "$queue/hold/${id##*/}" "$queue/$id"
done
expect 0 "undo of it" --queue "$queue" --state "$state" undo "$killed"
has "undo counts what it has put back" "$out" "Put back: $((moves - 2)) messages of $moves, "
has "and tells the others apart" "$out" "Already in their places: 2 messages"
same "all is as it was" "$(where "$queue" | sed 's/.* //' | sort)" "$(echo "$before" | sed 's/.* //' | sort)"
expect 0 "log of that" --state "$state" log --json
has "nothing is in doubt any more" "$(printf '%s\n' "$out" | grep "$killed")" "\"done\":0,\"in_doubt\":0"

# mail is deferred for no longer than it is kept, and what will be too old then is told of
for time in 1000000d 121h 8w; do
    expect 64 "defer --for $time" --queue "$queue" --state "$state" defer --verdict storm --for "$time" --commit
    has "says why: $time" "$err" "is longer than mail is kept, 5d: each message would be returned when it fails next"
done
expect 0 "defer for as long as it is kept" --queue "$queue" --state "$state" defer --verdict storm --for 5d
has "all of it is too old then" "$out" "$moves of them will be older than mail is kept, 5d: tried once then, and returned if that fails"
expect 0 "the same in JSON" --queue "$queue" --state "$state" defer --verdict storm --for 5d --json
has "has the number" "$out" "\"last_try\":$moves"
expect 0 "and performed" --queue "$queue" --state "$state" defer --verdict storm --for 5d --commit
has "it is told again" "$out" "$moves of them will be older than mail is kept"
expect 0 "undo of it" --queue "$queue" --state "$state" undo

# what cannot be
for command in undo resume log archives "verify x" "commit x" doctor; do
    # shellcheck disable=SC2086
    expect 64 "a saved scan has no runs: $command" --from x.db $command
done
expect 74 "commit: no such file" commit "$work/nowhere"
expect 74 "verify: no such file" verify "$work/nowhere"
expect 74 "restore: no such file" --queue "$queue" restore "$work/nowhere"
expect 64 "no state directory" --queue "$queue" --state "" hold --all --include-legit --commit
finish
