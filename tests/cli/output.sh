#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# output.sh PROGRAM SOURCE: what becomes of standard output: full devices, closed pipes, terminals of every size.
. "$(dirname "$0")/lib"

for command in triage list "list --json" "list --csv" "list --ids" shape sources "sql --schema" help version; do
    status=0
    # shellcheck disable=SC2086
    "$program" --queue "$queue" $command > /dev/full 2> "$work/err" || status=$?
    same "/dev/full: $command" "$status" 74
    same "/dev/full, one line: $command" "$(wc -l < "$work/err" | tr -d ' ')" 1
done

# a reader that goes away: no complaint, and an end by SIGPIPE as other programs have it
for command in "list --json" "list --csv" "list" "sources --json"; do
    # shellcheck disable=SC2086
    { status=0; "$program" --queue "$queue" $command 2> "$work/err" || status=$?; echo "$status" > "$work/status"; } | true
    same "closed pipe is quiet: $command" "$(cat "$work/err")" ""
    same "closed pipe ends: $command" "$(cat "$work/status")" 141
done

# width: 80 columns through a pipe, $COLUMNS where it is set
python3 - "$program" "$queue" <<'PYTHON' || failed=1
import os
import subprocess
import sys
import unicodedata

program, queue = sys.argv[1:]
failed = 0


def wide(line):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


for columns in (None, 80, 100, 132, 200):
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    if columns:
        environment["COLUMNS"] = str(columns)
    for command in (["triage"], ["list"], ["shape"], ["sources"]):
        done = subprocess.run([program, "--queue", queue, *command], capture_output=True, env=environment)
        # commands to type are never cut
        lines = [line for line in done.stdout.decode().split("\n") if not line.startswith("  /")]
        limit = columns or 80
        longest = max(lines, key=wide)
        good = done.returncode == 0 and wide(longest) <= limit
        print("ok" if good else "not ok", f"width {columns}: {' '.join(command)}", "" if good else repr(longest))
        failed |= not good
sys.exit(failed)
PYTHON

run --queue "$queue" triage
lacks "no colour through a pipe" "$out" "$(printf '\033')"
same "the report does not hang on the locale's sorting" "$(LC_ALL=C "$program" --queue "$queue" list --ids | sort)" \
    "$("$program" --queue "$queue" list --ids | sort)"
LC_ALL=C "$program" --queue "$queue" triage > "$work/ascii"
LC_ALL=C "$program" --queue "$queue" list >> "$work/ascii"
same "pure ASCII without a UTF-8 locale" "$(LC_ALL=C tr -d '\000-\177' < "$work/ascii" | wc -c | tr -d ' ')" 0

python3 "$tests/terminal.py" "$program" "$queue" || failed=1
finish
