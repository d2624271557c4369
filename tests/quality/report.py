# SPDX-License-Identifier: Apache-2.0
"""What run.sh prints about the verdicts: the confusion matrix of each scenario and of each kind of mail, the bars, a
reliability table (score against truth), and how each weight compares with what the queues show.

Usage: report.py DIR [--tap], with DIR/<name>/ for each scenario: out/ (the lab's), list.jsonl, evidence.jsonl and, where the
MTA bounced, out/bounces.tsv. With --tap only a result line for each bar. Exit status 1: a bar does not hold.
"""
import json
import math
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

LAB = Path(__file__).resolve().parent.parent / "lab"
VERDICTS = ("storm", "backscatter", "legit", "unsure", "missing")
BINS = (-math.inf, -8, -4, -2, 0, 1.75, 3.5, 5, 7, 9, math.inf)
SMALL = 20      # messages of a label below which a share says nothing


def score(case):
    command = [LAB / "stormlab", "score", case / "out", case / "list.jsonl", "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def truth(case):
    """Queue ID -> (label, kind)."""
    rows = {}
    for line in (case / "out/truth.jsonl").open():
        t = json.loads(line)
        rows[t["n"]] = t
    labels = {}
    for name, bounced in (("queue.tsv", False), ("bounces.tsv", True)):
        path = case / "out" / name
        for line in path.open() if path.exists() else ():
            n, ident = line.split()
            t = rows[int(n)]
            label = "backscatter" if bounced and t["label"] == "storm" else t["label"]
            labels[ident] = label, t["kind"] + (" bounced" if bounced else "")
    return labels


def percent(x):
    return "-" if x is None else f"{100 * x:.2f} %"


def bars(s):
    """The figures of a scenario that have a bar: what, value, sign, bar, of how many messages."""
    confusion = s["confusion"]
    total = {label: sum(confusion[label].values()) for label in confusion}
    bad = total["storm"] + total["backscatter"]
    f1 = {k: c["bcubed"]["f1"] for k, c in s["clusters"].items() if c}
    figures = [("storm recall", s["storm_recall"], ">=", 0.99, total["storm"]),
               ("backscatter recall", s["backscatter_recall"], ">=", 0.99, total["backscatter"]),
               ("unsure of storm", s["unsure_rate"]["storm"], "<=", 0.02, total["storm"]),
               ("unsure of legit", s["unsure_rate"]["legit"], "<=", 0.05, total["legit"]),
               ("B-cubed F1, storm", f1.get("storm"), ">=", 0.97, total["storm"]),
               ("B-cubed F1, all", f1.get("storm+backscatter"), ">=", 0.97, bad),
               ("legit called bad", s["legit_false_positives"]["count"], "<=", 0, SMALL),
               ("no verdict", sum(row["missing"] for row in confusion.values()), "<=", 0, SMALL)]
    return [f for f in figures if f[1] is not None]


def holds(figure):
    _, value, sign, bar, of = figure
    return of < SMALL or (value >= bar if sign == ">=" else value <= bar)


def show_bars(name, s):
    """Prints them, and gives those that do not hold."""
    failed = []
    for figure in bars(s):
        what, value, sign, bar, of = figure
        small = f"  (only {of} messages: does not count)" if of < SMALL else ""
        print(f"    {what:<20}{value:>8.4f}  bar {sign} {bar}{small}{'' if holds(figure) else '  FAILS'}")
        if not holds(figure):
            failed.append(f"{name}: {what} is {value:.4f}")
    return failed


def tap(directory):
    status = 0
    for case in cases(directory):
        for figure in bars(score(case)):
            what, value, sign, bar, of = figure
            if of >= SMALL:
                print(f"{'ok' if holds(figure) else 'not ok'} {case.name}: {what} {sign} {bar} - {value:.4f}")
                status |= not holds(figure)
    return status


def cases(directory):
    return sorted(p for p in Path(directory).iterdir() if (p / "list.jsonl").exists())


def table(title, rows):
    print(f"\n{title:<38}" + "".join(f"{v:>12}" for v in VERDICTS))
    for name, counts in sorted(rows.items()):
        print(f"  {name:<36}" + "".join(f"{counts[v]:>12}" for v in VERDICTS))


def reliability(points):
    """How often a score means storm or backscatter, and how often it should by the log-odds that it claims."""
    print(f"\n{'score':<18}{'messages':>10}{'bad':>10}{'share':>10}{'claimed':>10}")
    for low, high in zip(BINS, BINS[1:]):
        inside = [(s, bad) for s, bad in points if low < s <= high]
        if inside:
            share = sum(bad for _, bad in inside) / len(inside)
            claimed = sum(1 / (1 + math.exp(-max(-30, min(30, s)))) for s, _ in inside) / len(inside)
            print(f"  {f'{low:g} to {high:g}':<16}{len(inside):>10}{sum(b for _, b in inside):>10}"
                  f"{100 * share:>9.2f}%{100 * claimed:>9.2f}%")


def weights(evidence, totals):
    """For each kind of evidence: the mean weight given, and the log-odds that its presence has in truth."""
    print(f"\n{'evidence':<42}{'bad':>9}{'legit':>9}{'weight':>9}{'seen':>9}")
    for name, (bad, legit, weight) in sorted(evidence.items(), key=lambda item: -item[1][2] / (item[1][0] + item[1][1])):
        seen = math.log(((bad + 0.5) / (totals[True] + 1)) / ((legit + 0.5) / (totals[False] + 1)))
        print(f"  {name:<40}{bad:>9}{legit:>9}{weight / (bad + legit):>9.2f}{seen:>9.2f}")


def main():
    if "--tap" in sys.argv:
        return tap(sys.argv[1])
    failed, kinds, points = [], defaultdict(Counter), []
    evidence, totals = defaultdict(lambda: [0, 0, 0.0]), Counter()
    for case in cases(sys.argv[1]):
        s, labels = score(case), truth(case)
        print(f"{case.name}: {s['messages']} messages")
        table("truth", s["confusion"])
        failed += show_bars(case.name, s)
        print()
        for line in (case / "list.jsonl").open():
            v = json.loads(line)
            if v["queue_id"] in labels:
                label, kind = labels[v["queue_id"]]
                kinds[f"{label:<12}{kind}"][v["verdict"]] += 1
                points.append((v["score"], label != "legit"))
        for line in (case / "evidence.jsonl").open():
            e = json.loads(line)
            if e["queue_id"] in labels:
                bad = labels[e["queue_id"]][0] != "legit"
                evidence[f"{e['family']}: {e['name']}"][0 if bad else 1] += 1
                evidence[f"{e['family']}: {e['name']}"][2] += e["weight"]
        for label, _ in labels.values():
            totals[label != "legit"] += 1
    if not points:
        raise SystemExit("report.py: no scenario was run")
    table("kind of mail, all scenarios", kinds)
    reliability(points)
    weights(evidence, totals)
    print()
    for line in failed:
        print(f"FAILS {line}")
    print(f"{len(failed)} bars fail" if failed else "all bars hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
