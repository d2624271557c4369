# SPDX-License-Identifier: Apache-2.0
# maps.sh: --maps asks Postfix's own tables who exists; what goes to nobody is evidence, and only there.
. "$(dirname "$0")/lib"
need_root maps

mkdir "$work/queue"
tar -C "$work/queue" -xzf "$fixtures/storm/spool.tar.gz" --no-same-owner 2> /dev/null
python3 - "$fixtures/storm/site.json" "$work" <<'PYTHON'
import json
import sys
site, work = json.load(open(sys.argv[1])), sys.argv[2]
with open(f"{work}/users", "w") as users, open(f"{work}/relayed", "w") as relayed:
    for user, _, domain in (r.partition("@") for r in site["valid_recipients"]):
        (users if domain in site["local_domains"] else relayed).write(
            f"{user} x\n" if domain in site["local_domains"] else f"{user}@{domain} x\n")
PYTHON
postfix_start "$work/pf" --site "$fixtures/storm/site.json" \
    --set "local_recipient_maps=texthash:$work/users" --set "relay_recipient_maps=texthash:$work/relayed"
postfix_stop "$work/pf"

count() { # count OPTION...: the messages with the evidence
    "$QSURGEON" --mta postfix --queue "$work/queue/spool" --config "$work/pf/etc" "$@" sql --json \
        "SELECT queue_id FROM evidence WHERE name = 'to-addresses-that-nobody-has'" | wc -l
}
without=$(count)
with=$(count --maps)
if [ "$without" = 0 ]; then ok "nothing is known without --maps"; else not_ok "nothing is known without --maps" "$without"; fi
if [ "$with" -gt 20 ]; then ok "unknown recipients count against a storm"; else
    not_ok "unknown recipients count against a storm" "$with messages"; fi
"$QSURGEON" --mta postfix --queue "$work/queue/spool" --config "$work/pf/etc" --maps list --json > "$work/list"
check "and real mail stays real" python3 - "$fixtures/storm" "$work/list" <<'PYTHON'
import json
import sys
labels = {}
truth = {t["n"]: t["label"] for t in map(json.loads, open(sys.argv[1] + "/truth.jsonl"))}
for line in open(sys.argv[1] + "/queue.tsv"):
    n, ident = line.split()
    labels[ident] = truth[int(n)]
rows = [json.loads(line) for line in open(sys.argv[2])]
wrong = [r["queue_id"] for r in rows if labels[r["queue_id"]] == "legit" and r["verdict"] in ("storm", "backscatter")]
assert len(rows) == len(labels) and not wrong, wrong
PYTHON
