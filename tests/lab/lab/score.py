# SPDX-License-Identifier: Apache-2.0
"""Compare a classifier's verdicts and clusters with the truth."""
import json
import signal
import sys
from collections import Counter, defaultdict
from pathlib import Path

LABELS = ("storm", "backscatter", "legit")
VERDICTS = ("storm", "backscatter", "legit", "unsure", "missing")


def load(out, verdict_file):
    """One record per queued message: label, campaign, kind, stream, verdict, cluster."""
    truth = {}
    with open(out / "truth.jsonl") as file:
        for t in map(json.loads, file):
            truth[t["n"]] = t
    queued = {}
    for line in (out / "queue.tsv").read_text().splitlines():
        n, ident = line.split("\t")
        queued[ident] = truth[int(n)]
    verdicts, unknown = {}, 0
    with open(verdict_file) as file:
        for v in map(json.loads, file):
            verdicts[v["queue_id"]] = v
            unknown += v["queue_id"] not in queued
    records = []
    for ident, t in queued.items():
        v = verdicts.get(ident, {"verdict": "missing", "cluster": None})
        if v["verdict"] not in VERDICTS:
            raise SystemExit(f"{verdict_file}: unknown verdict {v['verdict']!r} for {ident}")
        records.append({**t, "id": ident, "verdict": v["verdict"], "cluster": v.get("cluster")})
    return records, unknown


def clustering(records, labels):
    """B-cubed scores over the messages of these labels that belong to a campaign.

    Every other message in a cluster counts as a class of its own, so mixing legitimate mail in costs precision;
    a message without a cluster is a cluster of its own.
    """
    size = Counter(r["cluster"] for r in records if r["cluster"] is not None)
    ours = [r for r in records if r["label"] in labels and r["campaign"] is not None]
    classes = Counter(r["campaign"] for r in ours)
    both = Counter((r["campaign"], r["cluster"]) for r in ours if r["cluster"] is not None)
    if not ours:
        return None
    precision = recall = 0.0
    for r in ours:
        same = both[r["campaign"], r["cluster"]] if r["cluster"] is not None else 1
        precision += same / (size[r["cluster"]] if r["cluster"] is not None else 1)
        recall += same / classes[r["campaign"]]

    p, q = precision / len(ours), recall / len(ours)
    return {"messages": len(ours), "campaigns": len(classes),
            "clusters": len({r["cluster"] for r in ours if r["cluster"] is not None}),
            "bcubed": {"precision": p, "recall": q, "f1": 2 * p * q / (p + q) if p + q else 0.0}}


def evaluate(records, unknown):
    matrix = {label: Counter(r["verdict"] for r in records if r["label"] == label) for label in LABELS}
    total = {label: sum(matrix[label].values()) for label in LABELS}

    def rate(label, verdict):
        return matrix[label][verdict] / total[label] if total[label] else None
    wrong = [r for r in records if r["label"] == "legit" and r["verdict"] in ("storm", "backscatter")]
    kinds = Counter(r["kind"] for r in records if r["label"] == "legit")
    streams = defaultdict(Counter)
    for r in records:
        streams[r["stream"], r["kind"], r["label"]][r["verdict"]] += 1
    return {
        "messages": len(records), "verdicts_for_unknown_ids": unknown,
        "confusion": {label: {v: matrix[label][v] for v in VERDICTS} for label in LABELS},
        "storm_recall": rate("storm", "storm"), "backscatter_recall": rate("backscatter", "backscatter"),
        "legit_false_positives": {
            "count": len(wrong), "rate": len(wrong) / total["legit"] if total["legit"] else None,
            "by_kind": {k: {"count": sum(r["kind"] == k for r in wrong), "of": n} for k, n in sorted(kinds.items())},
            "ids": [r["id"] for r in wrong[:50]]},
        "unsure_rate": {label: rate(label, "unsure") for label in LABELS},
        "clusters": {"storm": clustering(records, ("storm",)),
                     "storm+backscatter": clustering(records, ("storm", "backscatter"))},
        "streams": [{"stream": s, "kind": k, "label": label, **{v: c[v] for v in VERDICTS}}
                    for (s, k, label), c in sorted(streams.items())],
    }


def score(args):
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    result = evaluate(*load(Path(args.out), args.verdicts))
    if args.json:
        json.dump(result, sys.stdout, indent=1)
        print()
        return 0

    def percent(x):
        return "-" if x is None else f"{100 * x:.2f}%"

    def row(name, counts, width=14):
        print(f"{name:<{width}}" + "".join(f"{counts[v]:>12}" for v in VERDICTS))
    print(f"{result['messages']} queued messages; {result['verdicts_for_unknown_ids']} verdicts for unknown ids\n")
    print(f"{'truth':<14}" + "".join(f"{v:>12}" for v in VERDICTS))
    for label in LABELS:
        row(label, result["confusion"][label])
    fp = result["legit_false_positives"]
    print()
    for label in ("storm", "backscatter"):
        print(f"{label + ' recall':<20}{percent(result[label + '_recall'])}")
    print(f"legit called storm or backscatter  {fp['count']}, {percent(fp['rate'])}")
    for kind, c in fp["by_kind"].items():
        print(f"    {kind:<18}{c['count']:>7} of {c['of']}")
    print("unsure  " + ", ".join(f"{label} {percent(rate)}" for label, rate in result["unsure_rate"].items()))
    for name, c in result["clusters"].items():
        if c:
            print(f"\nclusters of {name}: {c['messages']} messages, {c['campaigns']} campaigns, {c['clusters']} clusters")
            print("    B-cubed   " + "  ".join(f"{k} {v:.4f}" for k, v in c["bcubed"].items()))
    print(f"\n{'stream':<34}" + "".join(f"{v:>12}" for v in VERDICTS))
    for s in result["streams"]:
        row(f"{s['label'][:6]:<8}{s['stream'][:24]}", s, 34)
    return 0
