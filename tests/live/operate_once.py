#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""operate_once.py MTA QUEUE CONFIG STATE LOG COUNT KILLS INJECT FLUSH: messages 1 to COUNT are being delivered by a real server
while operations on random messages run again and again, KILLS of them killed at a random time and settled by `resume` or
`undo`. At the end each message was delivered once or is archived once. INJECT is a shell command that hands the messages over,
FLUSH one that lets the server try what waits."""
import collections
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tarfile
import time

MTA, QUEUE, CONFIG, STATE, LOG, COUNT, KILLS, INJECT, FLUSH = sys.argv[1:]
COUNT, KILLS = int(COUNT), int(KILLS)
BASE = [os.environ["QSURGEON"], "--mta", MTA, "--queue", QUEUE, *(["--config", CONFIG] if CONFIG else []), "--state", STATE]
LONGEST = 3600 if os.environ.get("QS_FULL") == "1" else 600
# while LOG.closed is there, the server can deliver nothing
SEED = int(os.environ.get("QS_SEED") or random.randrange(1 << 30))
random.seed(SEED)
OPERATIONS = [["hold"], ["hold"], ["release"], ["expedite"], ["purge"], ["purge", "--keep"]] + (
    [["defer", "--for", "1s"]] if MTA == "postfix" else [])
outcomes, wrong = collections.Counter(), []


def run(words, ids=None, kill_after=None):
    process = subprocess.Popen([*BASE, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate("".join(i + "\n" for i in ids or ()), timeout=kill_after or 120)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
    return process.returncode, out, err


def messages():
    _, out, _ = run(["list", "--json"])
    return [json.loads(line) for line in out.splitlines()]


def note(words, done):
    code, _, err = done
    outcomes[f"{words[0]} {code}"] += 1
    # 64: nothing to do, the queue has changed since; 69: an empty directory does not look like a queue of sendmail
    if code not in (0, 2, 64, 69, -signal.SIGKILL):
        wrong.append(f"{words}: status {code}: {err.strip()[:200]}")


def waits(data):
    """Whether a Postfix queue file has a recipient that still waits. The recipients stand before the content here."""
    at = 0
    while data[at:at + 1] != b"M":
        if data[at:at + 1] == b"R":
            return True
        length, shift = 0, 0
        while True:
            at += 1
            length |= (data[at] & 127) << shift
            shift += 7
            if data[at] < 128:
                break
        at += 1 + length
    return False


def ledger():
    """What the journals and archives say: {number: times archived}."""
    found = collections.Counter()
    for path, _, names in os.walk(STATE):
        if "archive.tar.zst" not in names:
            continue
        with open(os.path.join(path, "plan.jsonl"), encoding="utf-8") as file:
            plan = [json.loads(line) for line in file][1:-1]
        back = set()
        with open(os.path.join(path, "journal.jsonl"), encoding="utf-8") as file:
            for line in file:
                match = re.match(r'{"n":(\d+),"back":"(done|gone)"', line)
                if match:
                    back.add(plan[int(match[1])]["id"])
        packed = subprocess.run(["zstd", "-dcq", os.path.join(path, "archive.tar.zst")], stdout=subprocess.PIPE, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            of = {}
            for member in tar.getmembers():
                data = tar.extractfile(member).read()
                number = member.name.split("/")[0].split(".")[0]
                if "/" not in member.name:
                    of[number] = json.loads(data)["id"]
                match = re.search(rb"X-Number: (\d+)", data)
                # out of the active queue, an agent may finish its delivery: then the archive has it as delivered
                if match and of[number] not in back and (MTA != "postfix" or waits(data)):
                    found[int(match[1])] += 1
    return found


def unfinished():
    return subprocess.run([*BASE, "resume"], capture_output=True, text=True, check=False)


def delivered():
    with open(LOG, encoding="ascii") as file:
        return collections.Counter(int(line.split()[0]) for line in file if line[0] != "-")


def orphan_logs():
    """Of messages that were never taken out of active: there the server may write a log after they have gone."""
    active = set()
    for path, _, names in os.walk(STATE):
        if "journal.jsonl" in names:
            with open(os.path.join(path, "journal.jsonl"), encoding="utf-8") as file:
                active.update(re.findall(r'"f":"active/([^"]+)"', file.read()))
    here = {m["queue_id"] for m in messages()}
    return [name for log in ("defer", "bounce", "trace") for _, _, names in os.walk(os.path.join(QUEUE, log))
            for name in names if name not in here and name not in active]


def main():
    injector = subprocess.Popen(["sh", "-c", INJECT])
    began, kills, rounds, duration, flush = time.time(), 0, 0, 0.2, None
    while injector.poll() is None or rounds < 40 or kills < KILLS:
        rounds += 1
        here = messages()
        if not here and injector.poll() is not None:
            if not os.path.exists(LOG + ".closed") or time.time() - began > LONGEST:
                break
            note(["undo"], run(["undo"]))       # all of it lies in quarantine
            continue
        if injector.poll() is not None and kills < KILLS and not os.path.exists(LOG + ".closed"):
            with open(LOG + ".closed", "x", encoding="ascii"):
                pass                    # what is left stays until the last kill
        words = random.choice(OPERATIONS)
        share = 0.01 if os.path.exists(LOG + ".closed") and words == ["purge"] else random.choice((0.05, 0.3, 0.8))      # they must last
        ids = [m["queue_id"] for m in here if random.random() < share]
        command = [*words, "--id", "-", "--include-legit", "--commit"]
        if kills < KILLS and random.random() < 0.75:
            done = run(command, ids, random.uniform(0.3, 1.1) * duration)
            note(words, done)
            if done[0] == -signal.SIGKILL:
                kills += 1
                way = random.choice((["resume"], ["undo"]))
                note(way, run(way))
        else:
            start = time.time()
            note(words, run(command, ids))
            duration = max(0.05, 0.7 * duration + 0.3 * (time.time() - start))
        if random.random() < 0.25:
            note(["undo"], run(["undo"]))
        if flush is None or flush.poll() is not None and rounds % 5 == 0:
            flush = subprocess.Popen(["sh", "-c", FLUSH], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if time.time() - began > LONGEST:
            break
    if os.path.exists(LOG + ".closed"):
        os.unlink(LOG + ".closed")
    print(f"# seed {SEED}: {rounds} rounds in {time.time() - began:.0f} s, {kills} killed: {dict(sorted(outcomes.items()))}")
    injector.wait()
    if flush:
        flush.wait()

    # everything goes on now: what lies in quarantine comes back, what is held is released
    for _ in range(200):
        if unfinished().returncode == 64:
            break
    logged = run(["log", "--json"])[1]
    kept = [json.loads(line) for line in logged.splitlines()]
    for one in sorted(kept, key=lambda r: r["run"], reverse=True):
        if os.path.isdir(os.path.join(QUEUE, ".qsurgeon", one["run"])) and one["action"] == "purge":
            note(["undo"], run(["undo", one["run"]]))
    for _ in range(120):
        run(["release", "--all", "--include-legit", "--commit"])
        subprocess.run(["sh", "-c", FLUSH], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not messages():
            break
        time.sleep(0.5)

    sent, archived, left = delivered(), ledger(), messages()
    twice = [n for n in range(1, COUNT + 1) if sent[n] + archived[n] > 1]
    lost = [n for n in range(1, COUNT + 1) if sent[n] + archived[n] == 0]
    print(f"# delivered {len(sent)}, archived {len(archived)}, left {len(left)}")
    orphans = orphan_logs() if MTA == "postfix" else []
    for name, bad in (("no message twice", twice), ("no log without a message", orphans), ("no message lost", lost), ("the queue is empty at the end", left),
                      ("no command failed", wrong)):
        print(f"not ok {name} - {len(bad)}: {bad[:4]}" if bad else f"ok {name} ({COUNT} messages)")
    total = sum(sent.values()) + sum(archived.values())
    print(f"{'ok' if total == COUNT else 'not ok'} the sum is {total}")
    print(f"{'ok' if kills >= KILLS else 'not ok'} {kills} were killed at a random time")
    for n in (twice + lost)[:5]:
        print(f"#   {n}: delivered {sent[n]}, archived {archived[n]}")


main()
