#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""operate_pace.py MTA WORK PORT QUEUE CONFIG FLUSH: see operate-pace.sh. Nothing is accepted by the receiving server while
WORK/delivered.closed is there."""
import contextlib
import json
import os
import signal
import smtplib
import subprocess
import sys
import threading
import time

MTA, WORK, PORT, QUEUE, CONFIG, FLUSH = sys.argv[1:]
BASE = [os.environ["QSURGEON"], "--mta", MTA, "--queue", QUEUE, *(["--config", CONFIG] if CONFIG else []),
        "--state", f"{WORK}/state-{MTA}"]
CLOSED = f"{WORK}/delivered.closed"
COUNT = 140 if MTA == "postfix" else 60
OTHER = "Please find the minutes enclosed; the next meeting takes place on the last Monday of March in room seven.\r\n" * 2
TEXT = "The {name} report of this month is ready and waits for you in the usual place.\r\n" * 3


def check(name, good, why=""):
    print(f"ok {MTA}: {name}" if good else f"not ok {MTA}: {name} - {str(why)[:500]}", flush=True)


def start(*words):
    return subprocess.Popen([*BASE, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*words, code=0):
    process = start(*words)
    out, err = process.communicate(timeout=200)
    if process.returncode != code:
        check(" ".join(words), False, f"status {process.returncode}: {out}{err}")
    return out


def lines(*words, **more):
    return [json.loads(line) for line in run(*words, "--json", **more).splitlines()]


def messages():
    return {m["queue_id"]: m for m in lines("list")}


def held(found=None):
    return {i for i, m in (found or messages()).items() if m["queue_name"] in ("hold", "quarantine")}


def flush():
    subprocess.run(["sh", "-c", FLUSH], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_until(condition, turns=120, push=False):
    """The server works at its own pace: looks again and again, at most for a minute."""
    for turn in range(turns):
        if push and turn % 4 == 0:
            flush()
        if condition():
            return True
        time.sleep(0.5)
    return False


@contextlib.contextmanager
def queue_runs():
    """sendmail tries its queue by its own clock only: here, all the time."""
    over = threading.Event()

    def again():
        while not over.wait(1):
            flush()
    thread = threading.Thread(target=again)
    if MTA == "sendmail":
        thread.start()
    try:
        yield
    finally:
        over.set()
        if MTA == "sendmail":
            thread.join()


def submit(name, count, first=0):
    with smtplib.SMTP("127.0.0.1", int(PORT)) as smtp:
        for n in range(first, first + count):
            smtp.sendmail(f"{name}@from.example", [f"{name}{n}@there.example"],
                          f"From: {name}@from.example\r\nTo: {name}{n}@there.example\r\nSubject: {name} {n}\r\n"
                          f"X-Number: {n}\r\nMessage-ID: <{name}{n}@pace.example>\r\n\r\n" + (OTHER if name.startswith("other") else TEXT.format(name=name)))


def resting(name, count):
    found = [m for m in messages().values() if m["sender"] == f"{name}@from.example"]
    return len(found) == count and all(m["queue_name"] not in ("active", "incoming", "maildrop") for m in found)


SELECT = ("--sender", "^parked@", "--include-legit")


def drip():
    submit("parked", COUNT)
    check("messages wait", wait_until(lambda: resting("parked", COUNT)))
    run("hold", *SELECT, "--commit")
    check("and are parked", len(held()) == COUNT, len(held()))
    shown = run("release", *SELECT, "--drip", "120/min")
    check("a plan tells the pace", "Pace: 120 a minute" in shown, shown)
    run("release", *SELECT, "--drip", "5", code=64)

    with queue_runs():
        stopped = lines("release", *SELECT, "--drip", "120/min", "--commit", code=2)[0]
    done, told = stopped["outcomes"]["done"], stopped["drip"]
    check("a drip stops when the server defers them again", stopped["stopped"] and told["stopped_why"] and
          10 <= done < COUNT and told["deferred_again"] == told["tried"] <= done, stopped)
    check("the rest stays parked", len(held()) == COUNT - done, (len(held()), done))
    log = lines("log")[-1]
    check("it is a finished run", (log["action"], log["state"], log["done"]) == ("release", "finished", done), log)
    if MTA == "postfix":
        undone = lines("undo")[0] if wait_until(lambda: resting("parked", COUNT)) else {}
    else:                       # which writes a new control file after each try: undo says so, and hold parks them
        undone = lines("undo", code=2)[0]
        check("undo says that the server has rewritten them", undone["outcomes"]["gone"] == done, undone["outcomes"])
        undone = lines("hold", *SELECT, "--commit")[0]
    check("what came back is parked again", undone["outcomes"]["done"] == done and len(held()) == COUNT, undone["outcomes"])

    os.unlink(CLOSED)
    process = start("release", *SELECT, "--drip", "12/min", "--commit", "--json")
    some = wait_until(lambda: len(held()) < COUNT)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=100)
    report = json.loads(out)
    left = held()
    check("a drip ends by a signal, with a true report", some and process.returncode == 2 and report["stopped"] and
          report["drip"]["stopped_why"] is None and len(left) == COUNT - report["outcomes"]["done"] > 0, (out, err, len(left)))

    process = start("release", *SELECT, "--drip", "12/min", "--commit")
    some = wait_until(lambda: len(held()) < len(left))
    process.kill()
    process.communicate(timeout=100)
    left = held()
    run("resume")
    check("after a crash, resume ends it and lets nothing go at once", some and held() == left and
          lines("log")[-1]["state"] == "finished", lines("log")[-1])

    with queue_runs():
        rest = lines("release", *SELECT, "--drip", "60000/min", "--commit")[0]
    check("a drip goes on to the end when they are delivered", rest["outcomes"]["done"] == len(left) and not rest["stopped"], rest)
    check("and all are", wait_until(lambda: not messages(), push=True), len(messages()))
    with open(f"{WORK}/delivered", encoding="ascii") as file:
        numbers = sorted(int(line.split()[0]) for line in file)
    check("once each", numbers == list(range(COUNT)), len(numbers))


def sticky(operation):
    """The first wave is taken by hand, what follows by itself; other mail is not touched."""
    name = f"wave{operation}"
    select = ("--sender", f"^{name}|^other{operation}", "--include-legit")
    submit(name, 10)
    submit("bystander", 3)
    check("the first wave waits", wait_until(lambda: resting(name, 10)))
    shown = run(operation, *select, "--sticky", "5m")
    check(f"{operation} --sticky says what it would go on to do", "For 5m, new arrivals" in shown, shown)
    run(operation, *select, "--sticky", "5m", "--plan", f"{WORK}/no.plan", code=64)
    process = start(operation, *select, "--sticky", "5m", "--json", "--commit", *(["--keep"] if operation == "purge" else []))

    def gone(count):
        found = messages()
        return not {m["queue_id"] for m in found.values() if m["sender"] == f"{name}@from.example"} - held(found) and (
            operation == "purge" or len({i for i in held(found) if found[i]["sender"] == f"{name}@from.example"}) == count)
    first = wait_until(lambda: gone(10))
    submit(name, 7, first=10)
    submit(f"other{operation}", 2)              # fits the selection, but is another text
    submit("bystander", 2, first=3)
    second = wait_until(lambda: gone(17))
    left = {m["sender"].split("@")[0]: m["queue_name"] for m in messages().values()}
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    reports = [json.loads(line) for line in out.splitlines()]
    check(f"{operation} --sticky takes what arrives later", first and second, (first, second, err))
    check("and nothing else", all(left.get(other) not in (None, "hold", "quarantine") for other in ("bystander", f"other{operation}")), left)
    check("it ends by a signal and has told of each run", process.returncode in (0, 2) and len(reports) >= 2 and
          sum(r["outcomes"]["done"] for r in reports) == 17, (process.returncode, out, err))
    log = {r["run"]: r for r in lines("log")}
    check("the log has them all, and says why", all(log[r["run"]]["state"] == "finished" for r in reports) and
          all(log[r["run"]]["selection"] == f"new arrivals like those of {reports[0]['run']}" for r in reports[1:]), log)
    for r in reversed(reports):
        run("undo", r["run"])
    found = messages()
    check("undo brings them back", len([m for m in found.values() if m["sender"] == f"{name}@from.example"]) == 17 and
          not held(found), len(found))


drip()
open(CLOSED, "w", encoding="ascii").close()
sticky("hold")
sticky("purge")
