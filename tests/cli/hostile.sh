#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# hostile.sh PROGRAM SOURCE: nothing of a hostile message reaches the output raw, in any form.
. "$(dirname "$0")/lib"
id=$(awk '$1 == "plain" { print $2 }' "$source/fixtures/postfix/short/cases.tsv")
file=$(find "$cases" -name "$id" -path '*deferred*')
python3 "$tests/hostile.py" "$file"

expect 0 "the message is read" --queue "$cases" list --ids --id "$id"
same "the message is read" "$out" "$id"

# raw NAME: the last output has only line ends of the controls, and no bidi, zero-width or invalid bytes
raw() {
    python3 - "$1" "$work/out" <<'PYTHON' || failed=1
import sys
import unicodedata
name, path = sys.argv[1:]
data = open(path, "rb").read()
try:
    text = data.decode("utf-8")
    bad = sorted({hex(ord(c)) for c in text if c not in "\n" and unicodedata.category(c) in ("Cc", "Cf", "Co", "Cn", "Zl", "Zp")})
except UnicodeDecodeError as error:
    bad = [str(error)]
if name.startswith("csv") and bad == ["0xd"] and data.count(b"\r") == data.count(b"\r\n"):
    bad = []
print("not ok" if bad else "ok", "nothing raw:", name, bad or "")
sys.exit(bool(bad))
PYTHON
}
for command in triage "triage --explain" "triage --json" "triage --problems" list "list --json" "list --json --explain" \
    "list --csv" "list --ids" "show $id" "show $id --json" shape "shape --senders" "shape --json" \
    sources "sources --json" ; do
    # shellcheck disable=SC2086
    expect 0 "$command" --queue "$cases" $command
    case $command in *csv*) raw "csv $command" ;; *) raw "$command" ;; esac
done
for form in "" --json --csv; do
    # shellcheck disable=SC2086
    expect 0 "sql $form" --queue "$cases" sql $form 'SELECT * FROM messages'
    raw "csv sql $form"
    # shellcheck disable=SC2086
    expect 0 "sql, recipients $form" --queue "$cases" sql $form 'SELECT * FROM recipients'
    raw "csv sql, recipients $form"
done
expect 0 "save" --queue "$cases" save "$work/evil.db"
expect 0 "--from" --from "$work/evil.db" list
raw "--from list"
run --queue "$cases" show "$(printf '\033[31mred')"
lacks "an argument is not echoed raw" "$err" "$(printf '\033')"
run --queue "$work/$(printf 'no\033where')" triage
lacks "a file name is not echoed raw" "$err" "$(printf '\033')"

# what programs read must be whole: every line is an object, every cell is what it was, formulas do not run
"$program" --queue "$cases" list --json --id "$id" > "$work/evil.json"
"$program" --queue "$cases" list --csv --id "$id" > "$work/evil.csv"
python3 - "$work/evil.json" "$work/evil.csv" <<'PYTHON' || failed=1
import csv
import json
import sys
failed = 0


def check(name, good, why):
    global failed
    failed |= not good
    print("ok" if good else "not ok", name, "" if good else why)


lines = open(sys.argv[1], "rb").read().split(b"\n")
message = json.loads(lines[0])
evil = "\x1b[2J\x07\u202etxt\u200b\u009b31m\ufffd\x7f\x08\r\t\"',\\"
check("JSON is one line", len(lines) == 2 and lines[1] == b"", lines)
check("JSON is ASCII", lines[0].isascii(), lines)
check("JSON has the sender", message["sender"] == "=cmd|" + evil + "@evil.example", message["sender"])
check("JSON has the recipient", message["recipients"][0]["address"].startswith("+" + evil), message["recipients"])
check("JSON has the line end in the subject", "\n" in message["subject"] or "=1+1" in message["subject"], message["subject"])
rows = list(csv.DictReader(open(sys.argv[2], newline="")))
check("CSV has one row", len(rows) == 1, rows)
check("CSV does not run a sender", rows[0]["sender"].startswith("'=cmd|"), rows[0]["sender"])
check("CSV does not run a recipient", rows[0]["first_recipient"].startswith("'+"), rows[0]["first_recipient"])
check("CSV does not run a name", rows[0]["client_name"].startswith("'@"), rows[0]["client_name"])
check("CSV does not run a subject", rows[0]["subject"].startswith("'="), rows[0]["subject"])
check("CSV keeps the quote", '"' in rows[0]["sender"], rows[0]["sender"])
sys.exit(failed)
PYTHON

# on a terminal not even --raw sends escapes
python3 - "$program" "$cases" "$id" <<'PYTHON' || failed=1
import os
import pty
import sys
program, queue, name = sys.argv[1:]
child, fd = pty.fork()
if child == 0:
    os.dup2(os.open("/dev/null", os.O_WRONLY), 2)   # a slow machine shows its progress there
    os.execv(program, [program, "--queue", queue, "show", "--raw", name])
data = b""
while True:
    try:
        more = os.read(fd, 65536)
    except OSError:
        break
    if not more:
        break
    data += more
os.waitpid(child, 0)
good = b"second line" in data and b"\x1b" not in data and b"\x07" not in data
print("ok" if good else "not ok", "--raw on a terminal is made safe", "" if good else data)
sys.exit(not good)
PYTHON
finish
