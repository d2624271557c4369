#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage.sh PROGRAM SOURCE: a wrong command line gives one line that helps, and the exit codes are those promised.
. "$(dirname "$0")/lib"

wrong() { # wrong TEXT ARGUMENT...: exit code 64, nothing on standard output, one line that has TEXT
    text=$1
    shift
    expect 64 "usage: $*" "$@"
    same "usage, output: $*" "$out" ""
    same "usage, one line: $*" "$(wc -l < "$work/err" | tr -d ' ')" 1
    has "usage, text: $*" "$err" "$text"
}
wrong "unknown command lits; did you mean list?" lits
wrong "unknown command zzzzz" zzzzz
wrong "unknown option --verdcit; did you mean --verdict?" list --verdcit storm
wrong "unknown option --jsn; did you mean --json?" list --jsn=x
wrong "unknown option -x" -x
wrong "--verdict needs a value" list --verdict
wrong "unknown verdict strom; did you mean storm?" list --verdict strom
wrong "unknown cause mail-lop; did you mean mail-loop?" list --cause mail-lop
wrong "--older tomorrow is no time" list --older tomorrow
wrong "--larger -1 is no size" list --larger -1
wrong "--top 0 is no number" triage --top 0
wrong "--json takes no value" list --json=yes
wrong "--csv is no option of triage" triage --csv
wrong "--sender is no option of save" save --sender x file
wrong "only one of" list --json --ids
wrong "show needs ID" show
wrong "one word too many: more" save file more
wrong "--mta was given twice" --mta postfix --mta sendmail
wrong "leave --queue" --queue "$queue" --from x.db
wrong "no cluster is called C-nobody" --queue "$queue" triage C-nobody
wrong "sql needs a QUERY" --queue "$queue" sql
wrong "" --queue "$queue" list --sender '('
wrong "" --queue "$queue" list --cluster C-nobody
wrong "" --queue "$queue" list --where 'nonsense ('
wrong "" --queue "$queue" sql 'DROP TABLE messages'
wrong "" --mta exim --queue "$queue" triage
wrong "--queue takes no value" doctor --queue=deferred
wrong "doctor: one word too many" doctor --queue deferred
wrong "--queue needs a value" list --queue

expect 0 "help" help
has "help lists the commands" "$out" "sources"
expect 0 "--help" --help
expect 0 "-h" -h
expect 0 "COMMAND -h" list -h
has "COMMAND -h" "$out" "usage: qsurgeon [WHERE] list"
expect 0 "help COMMAND" help list
for command in '' triage express rules doctor recipients; do
    # shellcheck disable=SC2086
    expect 0 "help $command" help $command
    same "help $command fits 80 columns" "$(printf '%s\n' "$out" | awk 'length($0) > 80')" ""
done
expect 64 "help of an unknown command" help lits
expect 0 "-V" -V
has "-V says the version" "$out" "qsurgeon "
expect 0 "version" version

printf '[site]\nhostname = mx.example.org\n' > "$work/site"
expect 0 "a site file" --queue "$queue" --site "$work/site" triage
printf 'nonsense = 1\n' >> "$work/site"
expect 78 "a wrong site file" --queue "$queue" --site "$work/site" triage
has "a wrong site file, text" "$err" "site:3: unknown setting nonsense"
expect 78 "no site file" --queue "$queue" --site "$work/nowhere" triage

mkdir "$work/none"
expect 64 "no directory of samples" --queue "$queue" --like-bad "$work/nowhere" triage
has "no directory of samples, text" "$err" "--like-bad $work/nowhere"
expect 64 "no samples" --queue "$queue" --like-good "$work/none" triage
has "no samples, text" "$err" "no message with text"

expect 69 "no queue" --queue "$work/nowhere" triage
same "no queue, one line" "$(wc -l < "$work/err" | tr -d ' ')" 1
mkdir "$work/empty"
expect 69 "an empty directory is no queue" --queue "$work/empty" triage
expect 0 "options before the command" --queue "$queue" --verdict storm list --ids
before=$out
expect 0 "options behind the command" list --ids --queue "$queue" --verdict=storm
same "their place makes no difference" "$before" "$out"
expect 0 "a queue's name behind the command" --queue "$queue" list --ids --queue hold
same "a queue's name selects" "$out" ""
expect 0 "--queue is a check behind doctor" --queue "$queue" --state "$work/state" doctor --queue
has "--queue is a check behind doctor" "$out" "$queue"
expect 0 "doctor without an option" --queue "$queue" --state "$work/state" doctor
expect 0 "no command is triage" --queue "$queue"
has "no command is triage" "$out" "messages are storm"
expect 2 "an unknown message is named" --queue "$queue" show 0000000
has "an unknown message is named" "$err" "0000000: no such message"
expect 0 "-- ends the options" --queue "$queue" sql -- 'SELECT 1 AS one'
has "-- ends the options" "$out" "one"

expect 0 "save" --queue "$queue" save "$work/scan.db"
expect 64 "save does not replace a file" --queue "$queue" save "$work/scan.db"
expect 0 "save --replace" --queue "$queue" save --replace "$work/scan.db"
expect 0 "--from" --from "$work/scan.db" list --ids
expect 0 "--from twice" --from "$work/scan.db" --from "$work/scan.db" list --ids
has "a host that is there twice is told" "$err" "count twice"
head -c 3000 "$work/scan.db" > "$work/cut.db"
expect 65 "a damaged file" --from "$work/cut.db" list
same "a damaged file, one line" "$(wc -l < "$work/err" | tr -d ' ')" 1
run --from "$work/missing.db" list
if [ "$status" != 0 ]; then ok "a missing file"; else not_ok "a missing file" "exit $status"; fi

# as somebody else
if [ "$(id -u)" = 0 ] && command -v setpriv > /dev/null; then
    chmod 755 "$work" "$work/storm"
    status=0
    setpriv --reuid 65534 --regid 65534 --clear-groups "$program" --queue "$queue" triage > "$work/out" 2> "$work/err" ||
        status=$?
    same "no permission" "$status" 77
    same "no permission, one line" "$(wc -l < "$work/err" | tr -d ' ')" 1
    has "no permission names the privilege" "$(cat "$work/err")" "root"
else
    echo "skip no permission: needs root and setpriv"
fi
finish
