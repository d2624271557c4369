#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rules_mine.py OUT QUEUE CONFIG TABLES LEAST: what rules made of the first 30 % of each campaign are worth, as postmap says.

OUT is what `stormlab gen` wrote (truth.jsonl, envelopes.jsonl, queue.tsv, messages), QUEUE and CONFIG the Postfix that has it.
The program is told the queue IDs of the first 30 % of each campaign by arrival (`--id - --train 100`): it sees the later ones
only as the clusters they are in. The judge is `postmap -hmq -` and `-bmq -`, for pcre and regexp, over the later messages and all
legitimate ones as their senders submitted them; and `postmap -q RECIPIENT` for what has the empty sender and one recipient.
Tables are left in TABLES. LEAST: the bar holds for campaigns that have so many messages to learn from, and for notices with the
table of their recipients as well wherever that names somebody; the others are told as comments."""
import collections
import json
import math
import os
import pathlib
import subprocess
import sys

from result import QSURGEON, report, run

OUT, QUEUE, CONFIG, TABLES = map(pathlib.Path, sys.argv[1:5])
LEAST = int(sys.argv[5])
BAR, SHARE = 0.95, 0.3


def load():
    """Queue IDs to learn from; numbers of each campaign's later messages; numbers of legitimate messages."""
    arrival = {m["n"]: m["arrival"] for m in map(json.loads, open(OUT / "envelopes.jsonl"))}
    ids = {int(n): i for n, i in (line.split() for line in open(OUT / "queue.tsv"))}
    campaigns, legit = collections.defaultdict(list), []
    for m in map(json.loads, open(OUT / "truth.jsonl")):
        if m["n"] not in ids:
            continue
        if m["label"] == "legit":
            legit.append(m["n"])
        else:
            campaigns[m["label"], m["campaign"]].append(m["n"])
    learn, later = [], {}
    for name, numbers in campaigns.items():
        numbers.sort(key=lambda n: (arrival[n], ids[n]))
        first = math.ceil(len(numbers) * SHARE)
        learn += [ids[n] for n in numbers[:first]]
        later[name] = first, numbers[first:]
    return learn, later, legit


def bundle(numbers):
    """The messages as parts of one; in front of each a part whose body tells its number."""
    edge = "qs-5d1c3f0b9a7e4c2d"
    parts = [f'Content-Type: multipart/mixed; boundary="{edge}"\n\n'.encode()]
    for n in numbers:
        text = (OUT / "messages" / f"{n:06d}.eml").read_bytes().replace(b"\r\n", b"\n")
        parts.append(f"--{edge}\nX-Qs-Number: {n}\n\nqs-number: {n}\n--{edge}\nContent-Type: message/rfc822\n\n".encode())
        parts.append(text + b"\n")
    return b"".join(parts) + f"--{edge}--\n".encode()


def hits(kind, numbers):
    """The numbers of the messages that the tables of this kind match."""
    found, message = set(), bundle(numbers)
    for part, mode, mark in (("header", "-hmq", "X-Qs-Number: "), ("body", "-bmq", "qs-number: ")):
        table = TABLES / f"marked-{part}.{kind}"
        table.write_text(f"/^{mark}[0-9]+$/ NUMBER\n" + (TABLES / kind / f"{part}_checks.{kind}").read_text())
        at, marks = None, 0
        for line in run("postmap", "-c", str(CONFIG), mode, "-", f"{kind}:{table}", input=message).split(b"\n"):
            key, _, value = line.rpartition(b"\t")
            if value == b"NUMBER":
                at, marks = int(key.decode().removeprefix(mark)), marks + 1
            elif value:
                found.add(at)
        if marks != len(numbers):
            raise SystemExit(f"not ok rules mine: postmap saw {marks} of {len(numbers)} messages")
    return found


def alone(kind, n):
    """Does a table match this message, by itself?"""
    text = (OUT / "messages" / f"{n:06d}.eml").read_bytes()
    return any(subprocess.run(["postmap", "-c", CONFIG, mode, "-", f"{kind}:{TABLES}/{kind}/{part}_checks.{kind}"],
                              input=text, stdout=subprocess.PIPE).stdout
               for part, mode in (("header", "-hmq"), ("body", "-bmq")))


def notices(kind, numbers):
    """Those with the empty sender and one recipient whom the table names."""
    to = {m["n"]: m["rcpt_to"][0] for m in map(json.loads, open(OUT / "envelopes.jsonl"))
          if m["mail_from"] == "" and len(m["rcpt_to"]) == 1}
    asked = sorted({to[n] for n in numbers if n in to})
    answer = subprocess.run(["postmap", "-c", CONFIG, "-q", "-", f"{kind}:{TABLES}/{kind}/notices.{kind}"],
                            input="".join(a + "\n" for a in asked).encode(), stdout=subprocess.PIPE).stdout
    named = dict(line.split("\t") for line in answer.decode().splitlines())
    if set(named.values()) - {"qsurgeon_notices"}:
        raise SystemExit(f"not ok rules mine: the table of notices says {named}")
    return {n for n in numbers if to.get(n) in named}


def main():
    learn, later, legit = load()
    all_later = sorted(n for _, numbers in later.values() for n in numbers)
    TABLES.mkdir(parents=True, exist_ok=True)
    for kind in ("pcre", "regexp"):
        run(QSURGEON, "--mta", "postfix", "--queue", str(QUEUE), "--config", str(CONFIG), "rules", "mine", "--train", "100",
            "--id", "-", "--format", f"postfix-{kind}", "--output", str(TABLES / kind), "--replace",
            input="".join(i + "\n" for i in learn).encode())
        found = hits(kind, sorted(all_later + legit))
        refused = notices(kind, sorted(all_later + legit))
        (TABLES / "matched.json").write_text(json.dumps(sorted(found)))
        (TABLES / "notices.json").write_text(json.dumps(sorted(refused)))
        report(f"{kind}: no legitimate message is matched", [f"message {n}" for n in sorted((found | refused).intersection(legit))], len(legit))
        sample = all_later[:: max(1, len(all_later) // 20)] + legit[:: max(1, len(legit) // 10)]
        report(f"{kind}: the same message by message", [n for n in sample if alone(kind, n) != (n in found)], len(sample))
        for (label, campaign), (first, numbers) in sorted(later.items()):
            caught = len(found.intersection(numbers))
            words = f"{kind}: {label} {campaign}: {caught} of {len(numbers)} later ones are matched, by rules made of {first}"
            if first >= LEAST:
                report(words, [] if caught >= BAR * len(numbers) else [f"fewer than {BAR:.0%}"], 1)
            else:
                print(f"# {words} ({caught / max(1, len(numbers)):.1%})")
            if refused.intersection(numbers):
                caught = len((found | refused).intersection(numbers))
                words = f"{kind}: {label} {campaign}: {caught} of {len(numbers)} later ones with the table of notices"
                report(words, [] if caught >= BAR * len(numbers) else [f"fewer than {BAR:.0%}"], 1)


main()
