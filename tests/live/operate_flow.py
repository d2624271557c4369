#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""operate_flow.py MTA WORK PORT QUEUE CONFIG FLUSH [MORE MORE]: see operate-flow.sh; MORE are commands that hand over more mail. A storm and real
mail lie in the queue; nothing is accepted by the receiving server while WORK/delivered.closed is there."""
import json
import os
import signal
import smtplib
import subprocess
import sys
import time

MTA, WORK, PORT, QUEUE, CONFIG, FLUSH, *MORE = sys.argv[1:]
BASE = [os.environ["QSURGEON"], "--mta", MTA, "--queue", QUEUE, *(["--config", CONFIG] if CONFIG else []),
        "--state", f"{WORK}/state-{MTA}"]
CLOSED = f"{WORK}/delivered.closed"
with open(f"{WORK}/storm/site.json", encoding="utf-8") as file:
    LOCAL = json.load(file)["local_domains"]
TEXT = "The {name} report of this month is ready and waits for you in the usual place.\r\n" * 3
GUILTY = ("storm", "backscatter")


def check(name, good, why=""):
    print(f"ok {MTA}: {name}" if good else f"not ok {MTA}: {name} - {str(why)[:500]}", flush=True)


def run(*words, code=0, ids=()):
    done = subprocess.run([*BASE, *words], input="".join(i + "\n" for i in ids), capture_output=True, text=True, timeout=200)
    if done.returncode != code:
        check(" ".join(words), False, f"status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def lines(*words, **more):
    return [json.loads(line) for line in run(*words, "--json", **more).splitlines()]


def messages():
    return {m["queue_id"]: m for m in lines("list")}


def held(found):
    return {i for i, m in found.items() if m["queue_name"] in ("hold", "quarantine")}


def flush():
    subprocess.run(["sh", "-c", FLUSH], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_until(condition, turns=120, push=False):
    """The server works at its own pace: looks again and again, at most for a minute; gives the last answer."""
    for turn in range(turns):
        if push and turn % 8 == 0:
            flush()
        if condition():
            return True
        time.sleep(0.5)
    return False


def of(found, *verdicts):
    return {i for i, m in found.items() if m["verdict"] in verdicts}


def express():
    before = messages()
    guilty, legit, unsure = of(before, *GUILTY), of(before, "legit"), of(before, "unsure")
    check("the queue has storm, real mail and unsure mail", len(guilty) > 50 and len(legit) > 50,
          [len(guilty), len(legit), len(unsure)])
    planned = lines("express")
    check("express plans both in one report", [(p["action"], p["messages"], p["committed"]) for p in planned] ==
          [("hold", len(guilty), False), ("expedite", len(legit), False)], planned)
    shown = run("express")
    check("and says so in words", f"Would put on hold {len(guilty)} messages" in shown and
          f"Would expedite {len(legit)} messages" in shown and "express --commit" in shown, shown)
    check("express without --commit changes nothing", held(messages()) == held(before))
    check("express refuses what --max forbids", "--max" in subprocess.run(
        [*BASE, "express", "--max", "3", "--commit"], capture_output=True, text=True).stderr and not held(messages()))
    run("express", "--verdict", "storm", code=64)
    if CONFIG:
        advice = [a["command"] for p in lines("triage") for a in p["advice"]]
        check("triage advises it", f"{' '.join(BASE)} express --commit" in advice, advice)

    os.unlink(CLOSED)
    done = lines("express", "--commit")
    check("express does both, parking first", [(r["action"], r["outcomes"]["done"]) for r in done] ==
          [("Put on hold", len(guilty)), ("Expedited", len(legit))], [(r["action"], r["outcomes"], r["left_out"][:3]) for r in done])
    check("storm and backscatter are parked, nothing else", held(messages()) == guilty, held(messages()) ^ guilty)
    # sendmail's local mailer is not there in its root directory
    away = {i for i in legit if MTA == "postfix" or not any(r["address"].split("@")[-1] in LOCAL for r in before[i]["recipients"])}
    gone = wait_until(lambda: not away & set(messages()), push=MTA == "sendmail")
    check("real mail is delivered", gone and away, len(away & set(messages())))
    left = messages()
    check("parked mail is not", guilty <= set(left) and held(left) == guilty, len(guilty - set(left)))
    open(CLOSED, "w", encoding="ascii").close()
    log = lines("log")
    check("log shows two runs", [r["action"] for r in log] == ["hold", "expedite"], log)
    undone = lines("undo", log[0]["run"])[0]
    check("undo lets the parked mail go", undone["outcomes"]["done"] == len(guilty) and not held(messages()), undone["outcomes"])
    undone = lines("undo", log[1]["run"], code=2)[0]
    gone = {m["queue_id"] for m in undone["left_out"] if m["outcome"] == "gone"}
    check("undo says what it could not reverse", away <= gone <= legit, undone["outcomes"])


def submit(name, count):
    """Hands over messages of one text; their queue IDs, once each of them waits in the queue."""
    with smtplib.SMTP("127.0.0.1", int(PORT)) as smtp:
        for n in range(count):
            smtp.sendmail(f"{name}@from.example", [f"{name}{n}@there.example"],
                          f"From: {name}@from.example\r\nTo: {name}{n}@there.example\r\nSubject: {name} {n}\r\n"
                          f"X-Number: {n}\r\nMessage-ID: <{name}{n}@flow.example>\r\n\r\n" + TEXT.format(name=name))

    def all_wait():
        found = named(name)
        return len(found) == count and all(m["queue_name"] not in ("active", "incoming", "maildrop") for m in found.values())
    check(f"{count} messages named {name} wait", wait_until(all_wait), len(named(name)))
    return sorted(named(name))


def named(name):
    return {i: m for i, m in messages().items() if m["sender"] == f"{name}@from.example"}


def defer():
    ids = submit("later", 6)
    soon, late = ids[:3], ids[3:]
    run("defer", "--for", "5h", "--include-legit", "--id", "-", "--reason", "not now", "--commit", ids=late)
    run("defer", "--for", "1s", "--include-legit", "--id", "-", "--commit", ids=soon)
    if MTA == "postfix":
        check("defer needs no hold", not held(named("later")))
        shown = run("release", "--due", "--commit")
        check("release --due has nothing to do", shown == "Nothing is due.\n", shown)
        return
    check("deferred messages are in quarantine", held(named("later")) == set(ids), held(named("later")))
    shown = subprocess.run(FLUSH.rsplit(" ", 1)[0] + " -bp -qQ -v", shell=True, capture_output=True, text=True).stdout
    check("mailq says until when, and why", shown.count("qsurgeon: deferred until 20") == 6 and shown.count("): not now") == 3, shown)

    def soon_released():
        run("release", "--due", "--commit")
        return not set(soon) & held(named("later"))
    check("release --due ends what is due", wait_until(soon_released))
    found = named("later")
    check("and nothing else", held(found) == set(late) and set(found) == set(ids), held(found))
    shown = run("release", "--due", "--commit")
    check("release --due says when the next is", "the next in 4h" in shown, shown)
    log = lines("log")[-1]
    check("and is a run", (log["action"], log["selection"]) == ("release", "what is due"), log)
    run("undo")
    check("which undo reverses", set(soon) & held(named("later")), held(named("later")))


def sticky(wave, *command):
    """A second wave of the storm, and of real mail, arrives after the first was parked."""
    name = command[0]
    before = messages()
    process = subprocess.Popen([*BASE, *command, "--sticky", "10m", "--json", "--commit"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = wait_until(lambda: held(messages()))
    subprocess.run(wave, shell=True, check=True, capture_output=True)

    def arrived_and_parked():
        found = messages()
        new = {i: m for i, m in found.items() if i not in before}
        return len(held(new)) > 10 and len(held(new)) >= 0.8 * len(of(new, "storm"))
    second = wait_until(arrived_and_parked)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=100)
    found = messages()
    new = {i: m for i, m in found.items() if i not in before}
    done = [json.loads(line) for line in out.splitlines()]
    parked = [r for r in done if r["action"] == "Put on hold"]
    check(f"{name}, sticky, parks the second wave", first and second and len(parked) >= 2, (
        first, len(held(new)), len(of(new, "storm")), len(parked), err))
    check(f"{name}, sticky: but no real mail of it", len(of(new, "legit")) > 10 and not of(found, "legit") & held(found) and
          sum(r["outcomes"]["done"] for r in parked) == len(held(found)), [found[i] for i in of(found, "legit") & held(found)][:1])
    for r in reversed(parked):
        run("undo", r["run"])


express()
if MTA == "postfix":
    sticky(MORE[0], "hold", "--verdict", "storm")
    sticky(MORE[1], "express")
defer()
