# SPDX-License-Identifier: Apache-2.0
# verdicts.sh: the lab's smoke and quiet-day scenarios in a real Postfix: the storm is found, and no real mail is.
. "$(dirname "$0")/lib"
need_root verdicts

for scenario in smoke quiet-day; do
    "$lab/stormlab" gen "$lab/dev/$scenario.json" --out "$work/$scenario"
    postfix_start "$work/pf" --clean --site "$work/$scenario/site.json"
    "$lab/stormlab" inject-postfix "$work/$scenario" --config "$work/pf/etc" --smtp "127.0.0.1:$port"
    postfix_stop "$work/pf"
    "$lab/stormlab" retouch "$work/$scenario" "$work/pf/spool"
    postfix_list "$work/pf" > "$work/verdicts.jsonl"
    "$lab/stormlab" score "$work/$scenario" "$work/verdicts.jsonl"
    "$lab/stormlab" score "$work/$scenario" "$work/verdicts.jsonl" --json > "$work/score.json"
    python3 - "$scenario" "$work/score.json" <<'PYTHON'
import json
import sys
name, s = sys.argv[1], json.load(open(sys.argv[2]))


def bar(what, good, value):
    print(f"{'ok' if good else 'not ok'} {name}: {what} - {value}")


missing = sum(row["missing"] for row in s["confusion"].values())
bar("every message has a verdict", missing == 0 and s["verdicts_for_unknown_ids"] == 0, f"{missing} missing")
for label in ("storm", "backscatter"):
    recall = s[f"{label}_recall"]
    if recall is not None:
        bar(f"{label} recall at least 0.99", recall >= 0.99, recall)
wrong = s["legit_false_positives"]
bar("no legitimate message is called storm or backscatter", wrong["count"] == 0, wrong)
PYTHON
done
