#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# forms.sh PROGRAM SOURCE: what programs read: fields, types, counts that agree with each other, exact bytes.
. "$(dirname "$0")/lib"

# header and body byte for byte: fixtures/postfix/short/content is what `postcat -h -b` said
while read -r case id; do
    [ -f "$source/fixtures/postfix/short/content/$case" ] || continue
    "$program" --queue "$cases" show --raw "$id" > "$work/raw" 2> "$work/err" || true
    if cmp -s "$work/raw" "$source/fixtures/postfix/short/content/$case"; then
        ok "show --raw: $case"
    else
        not_ok "show --raw: $case" "$(cmp "$work/raw" "$source/fixtures/postfix/short/content/$case" 2>&1; cat "$work/err")"
    fi
done < "$source/fixtures/postfix/short/cases.tsv"

"$program" --queue "$queue" save "$work/scan.db"
for command in "list --json" "list --ids" "list --csv" "triage --json" "shape --json" "shape --senders --json" \
    "sources --json" "list"; do
    # shellcheck disable=SC2086
    "$program" --queue "$queue" $command > "$work/one"
    # shellcheck disable=SC2086
    "$program" --threads 1 --queue "$queue" $command > "$work/two"
    # the time of the scan is the only thing that may differ
    for file in one two; do sed -i 's/"time":[0-9]*//' "$work/$file"; done
    if cmp -s "$work/one" "$work/two"; then ok "the same twice: $command"; else not_ok "the same twice: $command"; fi
done
"$program" --queue "$queue" list --ids > "$work/ids"
"$program" --from "$work/scan.db" list --ids > "$work/saved-ids"
if cmp -s "$work/ids" "$work/saved-ids"; then ok "a saved scan lists the same"; else not_ok "a saved scan lists the same"; fi
same "--id - reads IDs" "$(sed 's/$/*  1234 Sun/' "$work/ids" | "$program" --queue "$queue" list --ids --id - | wc -l)" \
    "$(wc -l < "$work/ids")"
same "--id - without any selects nothing" "$("$program" --queue "$queue" list --ids --id - < /dev/null)" ""

python3 "$tests/forms.py" "$program" "$queue" "$source/fixtures/storm/queue.tsv" || failed=1
finish
