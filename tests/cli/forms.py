# SPDX-License-Identifier: Apache-2.0
"""forms.py PROGRAM QUEUE QUEUE.TSV: the JSON and CSV contract on the bundled queue; the IDs of queue.tsv are the truth."""
import collections
import csv
import io
import json
import subprocess
import sys

program, queue, truth = sys.argv[1:]
failed = False


def check(name, good, why=""):
    global failed
    failed |= not good
    print("ok" if good else "not ok", name, "" if good else why)


def output(*arguments):
    return subprocess.run([program, "--queue", queue, *arguments], check=True, capture_output=True).stdout.decode()


def lines(*arguments):
    return [json.loads(line) for line in output(*arguments, "--json").splitlines()]


ids = sorted(line.split("\t")[1] for line in open(truth).read().splitlines() if line.split("\t")[1].isalnum())
messages = lines("list")
check("list has every message once", sorted(m["queue_id"] for m in messages) == ids)
types = {
    "instance": str, "queue_name": str, "queue_id": str, "arrival_time": int, "message_size": int, "forced_expire": bool,
    "sender": str, "recipients": list, "client_address": (str, type(None)), "client_name": (str, type(None)),
    "helo": (str, type(None)), "sasl_username": (str, type(None)), "subject": (str, type(None)),
    "message_id": (str, type(None)), "cluster": (str, type(None)), "verdict": str, "cause": str, "score": (int, float),
    "body_hash": (str, type(None)), "local_uid": (int, type(None)), "hold_reason": (str, type(None)),
}
wrong = [(m["queue_id"], key) for m in messages for key, kind in types.items() if not isinstance(m.get(key, ...), kind)]
check("list has the fields with their types", not wrong, wrong[:5])
check("no evidence without --explain", not any("evidence" in m for m in messages))
check("ordered by arrival", [m["arrival_time"] for m in messages] == sorted(m["arrival_time"] for m in messages))
check("recipients have address and state", all(r["address"] and r["state"] in ("todo", "done", "cancelled")
                                                for m in messages for r in m["recipients"]))
explained = lines("list", "--explain")
check("--explain: the weights sum to the score",
      all(abs(sum(e["weight"] for e in m["evidence"]) - m["score"]) < 0.02 for m in explained),
      [(m["queue_id"], m["score"]) for m in explained
       if abs(sum(e["weight"] for e in m["evidence"]) - m["score"]) >= 0.02][:5])
check("--explain: evidence has its members", all(set(e) == {"family", "name", "weight", "detail"}
                                                 for m in explained for e in m["evidence"]))

picture, = lines("triage")
by_verdict = collections.Counter(m["verdict"] for m in messages)
check("triage counts what list lists", {v: t["messages"] for v, t in picture["totals"].items()}
      == {v: by_verdict[v] for v in ("storm", "backscatter", "legit", "unsure")}, picture["totals"])
check("triage: bytes", sum(t["bytes"] for t in picture["totals"].values()) == sum(m["message_size"] for m in messages))
check("triage: scanned", picture["scanned"] == len(ids) and picture["partial"] is False)
check("triage: problems and advice", picture["problems"] == [] and picture["advice"])
check("triage: instance", picture["instance"][0]["mta"] == "postfix")
clusters = collections.Counter(m["cluster"] for m in messages if m["cluster"])
check("triage has list's clusters", {c["name"]: c["messages"] for c in picture["clusters"]} == dict(clusters))
check("clusters: largest first", [c["messages"] for c in picture["clusters"]]
      == sorted((c["messages"] for c in picture["clusters"]), reverse=True))
some, = lines("triage", "--verdict", "storm")
check("a selection narrows triage", some["totals"]["legit"]["messages"] == 0
      and some["totals"]["storm"]["messages"] == by_verdict["storm"] and some["scanned"] == len(ids))
explained, = lines("triage", "--explain")
check("triage --explain has evidence", all(c["evidence"] for c in explained["clusters"]))
check("advice leaves real mail alone", not any(word in a["command"] for a in picture["advice"]
                                               for word in ("--verdict legit", "unsure")))

first = messages[0]
shown, = lines("show", first["queue_id"])
check("show has what list has", all(shown[key] == first[key] for key in types))
check("show has evidence and text", shown["evidence"] is not None and shown["parts"] and shown["header"]["from"])
name = picture["clusters"][0]["name"]
shown, = lines("show", name)
check("show of a cluster", sorted(shown["queue_ids"]) == sorted(m["queue_id"] for m in messages if m["cluster"] == name))
named, = lines("triage", "--explain", name)
check("triage of one cluster is the same", named == shown)
check("list --cluster", len(lines("list", "--cluster", name)) == clusters[name])

shape = lines("shape")
waiting = collections.Counter(r["address"].rpartition("@")[2].lower() for m in messages for r in m["recipients"]
                              if r["state"] == "todo")
check("shape counts recipients that wait", {s["domain"]: s["recipients"] for s in shape} == dict(waiting))
check("shape: ages sum", all(sum(s["minutes"].values()) == s["recipients"] for s in shape))
check("shape: bucket names", list(shape[0]["minutes"]) == "5 10 20 40 80 160 320 640 1280 1280+".split())
senders = lines("shape", "--senders")
check("shape --senders counts messages", sum(s["senders"] for s in senders) == len(messages))
check("shape --senders: the null sender", any(s["domain"] == "MAILER-DAEMON" for s in senders)
      == any(m["sender"] == "MAILER-DAEMON" for m in messages))

sources = lines("sources")
clients = collections.Counter(m["client_address"] for m in messages if m["client_address"])
check("sources counts clients", {s["source"]: s["messages"] for s in sources if s["kind"] == "address"} == dict(clients))
users = collections.Counter(m["sasl_username"] for m in messages if m["sasl_username"])
check("sources counts users", {s["source"]: s["messages"] for s in sources if s["kind"] == "user"} == dict(users))
check("sources: networks", sum(s["messages"] for s in sources if s["kind"] == "network") == sum(clients.values())
      and all(s["source"].endswith(("/24", "/64")) for s in sources if s["kind"] == "network"))
check("sources: verdicts sum", all(sum(s["verdicts"].values()) == s["messages"] for s in sources))
top = max(clients, key=lambda c: (clients[c], c))
row = next(s for s in sources if s["source"] == top)
check("sources: distinct recipients", row["recipients"]
      == len({r["address"] for m in messages if m["client_address"] == top for r in m["recipients"]}))

rows = list(csv.DictReader(io.StringIO(output("list", "--csv"), newline="")))
check("CSV has every message", [r["queue_id"] for r in rows] == [m["queue_id"] for m in messages])
check("CSV agrees with JSON", all(r["verdict"] == m["verdict"] and int(r["message_size"]) == m["message_size"]
                                  and (r["sasl_username"] or None) == m["sasl_username"]
                                  and int(r["recipient_count"]) == len(m["recipients"]) for r, m in zip(rows, messages)))
check("CSV has line ends of RFC 4180", output("list", "--csv").count("\r\n") == len(messages) + 1)
check("IDs", output("list", "--ids").split() == [m["queue_id"] for m in messages])

count, = lines("sql", "SELECT verdict, count(*) AS n, NULL AS none, 0.5 AS half FROM messages"
               " WHERE verdict = 'storm' GROUP BY verdict")
check("sql has types", count == {"verdict": "storm", "n": by_verdict["storm"], "none": None, "half": 0.5}, count)
table = output("sql", "SELECT queue_id FROM messages ORDER BY queue_id").splitlines()
check("sql as text", table[0] == "queue_id" and table[1:] == ids)
long = output("sql", "SELECT printf('%0300d', 7) AS long, 1 AS n").splitlines()
check("sql is not cut through a pipe", "7" in long[1], long)
columns = output("sql", "--schema").splitlines()
check("sql --schema", columns[0].split()[:2] == ["table", "column"] and len(columns) > 40)
sys.exit(failed)
