#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""operate_roundtrip.py MTA WORK PORT QUEUE CONFIG FLUSH SERVER: see operate-roundtrip.sh."""
import collections
import hashlib
import json
import os
import smtplib
import subprocess
import sys
import time

MTA, WORK, PORT, QUEUE, CONFIG, FLUSH, SERVER = sys.argv[1:]
STATE = f"{WORK}/state-{MTA}"
BASE = [os.environ["QSURGEON"], "--mta", MTA, "--queue", QUEUE, *(["--config", CONFIG] if CONFIG else []), "--state", STATE]
EACH = 4
GROUPS = ["nothing", "hold and release", "purge and undo", "purge --keep and undo", "expedite", "drop", "drop and undo",
          "drop, purge and undo", "wrong order"] + (["requeue", "defer and undo"] if MTA == "postfix" else [])
WHO = ("one", "two", "dropped")


def check(name, good, why=""):
    print(f"{MTA} ".join(("ok ", name)) if good else f"not ok {MTA} {name} - {str(why)[:400]}", flush=True)


def run(*words, ids=()):
    done = subprocess.run([*BASE, *words], input="".join(i + "\n" for i in ids), capture_output=True, text=True, timeout=100)
    if words[0] != "list":
        check(" ".join(words[:3]), done.returncode == 0, f"status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def messages():
    return [json.loads(line) for line in run("list", "--json").splitlines()]


def body(n):
    return f"line of message {n}\r\n" * (1 + n % 5)


def submit():
    with smtplib.SMTP("127.0.0.1", int(PORT)) as smtp:
        for n in range(len(GROUPS) * EACH):
            smtp.sendmail("sender@from.example", [f"{who}{n}@there.example" for who in WHO],
                          f"From: sender@from.example\r\nSubject: {GROUPS[n // EACH]} {n}\r\nX-Number: {n}\r\n"
                          f"Message-ID: <{n}@round.example>\r\n\r\n{body(n)}")


def ids_of(group):
    return [m["queue_id"] for m in messages() if m["subject"].rsplit(" ", 1)[0] == group]


def flush():
    subprocess.run(["sh", "-c", FLUSH], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tell(name, *words):
    """A tool of the server that must have nothing to say."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    check(name, done.returncode == 0 and not (done.stdout + done.stderr).strip(), done.stdout + done.stderr)


submit()
flush()
for _ in range(60):         # each was tried once
    time.sleep(0.5)
    if len(messages()) == len(GROUPS) * EACH and (MTA == "sendmail" or all(m["queue_name"] == "deferred" for m in messages())):
        break
def still_running():
    """A queue run of sendmail goes on in the background, and locks what it works on."""
    return MTA == "sendmail" and any(os.readlink(f"/proc/{p}/root") == os.path.dirname(QUEUE) and
                                     b"-q\0" in open(f"/proc/{p}/cmdline", "rb").read() + b"\0"
                                     for p in os.listdir("/proc") if p.isdigit() and os.path.exists(f"/proc/{p}/root"))


for _ in range(60):
    try:
        if not still_running():
            break
    except OSError:
        pass
    time.sleep(0.5)
time.sleep(2 if MTA == "sendmail" else 0)
check("all messages wait", len(messages()) == len(GROUPS) * EACH, len(messages()))

operate = ("--id", "-", "--include-legit", "--commit")


def undo_in_the_wrong_order(ids):
    """A hold and a release of it, of which the hold is undone first: the undo of the release puts back what both have moved."""
    before = {m["queue_id"]: m["queue_name"] for m in messages() if m["queue_id"] in ids}
    run("hold", *operate, ids=ids)
    run("release", *operate, ids=ids)
    hold, release = (json.loads(line)["run"] for line in run("log", "--json").splitlines()[-2:])
    first = subprocess.run([*BASE, "undo", hold], capture_output=True, text=True, timeout=100)
    check("the undo of the hold waits for that of the release", first.returncode == 2 and f"undo {release}" in first.stdout,
          first.stdout + first.stderr)
    check("that undoes both", "Put back as well" in run("undo"))
    check("and they are where they were", before == {m["queue_id"]: m["queue_name"] for m in messages() if m["queue_id"] in ids},
          before)


for group in GROUPS:
    ids = ids_of(group)
    if group == "wrong order":
        undo_in_the_wrong_order(ids)
        continue
    for part in group.split(", "):
        first, _, then = part.partition(" and ")
        if first != "nothing":
            words = ["drop-recipients", "--recipient", "^dropped"] if first == "drop" else first.split()
            words += ["--for", "3h"] if first == "defer" else []
            if len(ids_of(group)) == EACH:
                ids = ids_of(group)
            run(*words, *operate, ids=ids)
        if then:
            run(*([then] if then == "undo" else [then, *operate]), ids=ids)

dropping = {n for n in range(len(GROUPS) * EACH) if GROUPS[n // EACH] in ("drop", "drop, purge and undo")}
time.sleep(2)       # requeued mail is on its way through cleanup
here = {int(m["subject"].rsplit(" ", 1)[1]): m for m in messages()}
check("every message is there again", len(here) == len(GROUPS) * EACH, sorted(here))
if MTA == "postfix":
    listed = [json.loads(line) for line in subprocess.run(["postqueue", "-c", CONFIG, "-j"], capture_output=True, text=True).stdout.splitlines()]
    shown = {m["queue_id"]: sorted(r["address"] for r in m["recipients"]) for m in listed}
    wrong = []
    for n, m in here.items():
        expected = sorted(f"{who}{n}@there.example" for who in WHO if n not in dropping or who != "dropped")
        text = subprocess.run(["postcat", "-c", CONFIG, "-e", "-q", m["queue_id"]], capture_output=True, text=True).stdout
        told = sorted(line.split()[1] for line in text.splitlines() if line.startswith("recipient: "))
        if shown.get(m["queue_id"]) != expected or told != expected:
            wrong.append((n, shown.get(m["queue_id"]), told, expected))
    check("postqueue and postcat agree about recipients", not wrong, wrong[:2])
    tell("postfix check says nothing", "postfix", "-c", CONFIG, "check")
    subprocess.run(f"{SERVER} stop", shell=True, check=True)
    tell("postsuper -s says nothing", "postsuper", "-c", CONFIG, "-s")
    subprocess.run(["postfix", "-c", CONFIG, "start"], check=True, capture_output=True)
else:
    text = subprocess.run(f"{SERVER} run -bp -v", shell=True, capture_output=True, text=True).stdout
    wrong = [n for n in dropping if f"dropped{n}@" in text] + [n for n in here if n not in dropping and f"dropped{n}@" not in text]
    check("mailq agrees about recipients", not wrong, wrong)

run("forget", "--older", "0s", "--commit")
check("nothing is left of the runs", not run("log", "--json") and os.listdir(f"{QUEUE}/.qsurgeon") == ["lock"], run("log"))
os.unlink(f"{WORK}/delivered.closed")
for _ in range(90):
    flush()
    time.sleep(0.5)
    if not messages():
        break
check("everything was delivered", not messages(), messages()[:3])
found = collections.Counter()
digests = set()
with open(f"{WORK}/delivered", encoding="ascii") as file:
    for line in file:
        n, recipient, digest = line.split()
        found[int(n), recipient] += 1
        digests.add((int(n), digest))
expected = collections.Counter((n, f"{who}{n}@there.example") for n in range(len(GROUPS) * EACH) for who in WHO
                               if n not in dropping or who != "dropped")
check("to every recipient once, and to no one else", found == expected, (found - expected, expected - found))
right = {(n, hashlib.sha256(body(n).encode()).hexdigest()[:16]) for n in range(len(GROUPS) * EACH)}
check("with the body that was sent", digests == right, sorted(digests ^ right)[:3])
