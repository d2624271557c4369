#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""doctor.py MTA QUEUE CONFIG STATE COUNT: the queue of a running server holds COUNT messages. Plants flaws, and files that are
none, lets `doctor --queue` find and repair them, asks the server's own tools, and undoes it."""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

MTA, QUEUE, CONFIG, STATE, COUNT = sys.argv[1:]
COUNT = int(COUNT)
BASE = [os.environ["QSURGEON"], "--mta", MTA, "--queue", QUEUE, *(["--config", CONFIG] if CONFIG else []), "--state", STATE]
# sendmail: two control files without a data file are too young, or incomplete, to be taken away
QUEUED = COUNT if MTA == "postfix" else COUNT + 2
HOUR, DAY = 3600, 86400
NOW = time.time()


def result(name, good, why=""):
    print(f"ok {MTA}: {name}" if good else f"not ok {MTA}: {name} - {why}", flush=True)


def run(*words):
    return subprocess.run([*BASE, *words], capture_output=True, text=True, check=False, timeout=120)


def path(*parts):
    return os.path.join(QUEUE, *parts)


def files(*places):
    return sorted(os.path.relpath(os.path.join(at, name), QUEUE) for place in places or ("",)
                  for at, _, names in os.walk(path(place)) for name in names if ".qsurgeon" not in at)


def listing():
    """What undo must bring back, of every file of messages."""
    found = {}
    for name in files(*(("maildrop", "incoming", "active", "deferred", "hold", "corrupt", "defer", "bounce", "trace")
                        if MTA == "postfix" else ())):
        st = os.lstat(path(name))
        with open(path(name), "rb") as file:
            found[name] = (st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns, hashlib.sha256(file.read()).hexdigest())
    return found


def plant(name, like, age, mode=0o600, data=b"planted\n"):
    st = os.lstat(path(like))
    os.makedirs(os.path.dirname(path(name)), mode=0o700, exist_ok=True)
    if os.lstat(os.path.dirname(path(name))).st_uid != st.st_uid:
        os.chown(os.path.dirname(path(name)), st.st_uid, st.st_gid)
    with open(path(name), "xb") as file:
        file.write(data)
    os.chmod(path(name), mode)
    os.chown(path(name), st.st_uid, st.st_gid)
    os.utime(path(name), (NOW - age, NOW - age))
    return name


def plant_postfix():
    """{path: kind} of what must be found; the rest must not."""
    for _ in range(100):
        deferred, logs = files("deferred"), files("defer")
        if len(deferred) == COUNT and len(logs) == COUNT:
            break
        time.sleep(0.2)
    like = deferred[0]
    flaws = {plant("defer/A/A1B2CDEADBEEF", like, 2 * HOUR): "orphan", plant("bounce/F00D5DEADBEEF", like, 2 * HOUR): "orphan",
             plant("trace/0123456789AB", like, 2 * HOUR): "orphan", plant("incoming/12345BADCAFE", like, 2 * DAY): "stale",
             plant("incoming/123456.789", like, 2 * DAY): "stale", plant("corrupt/54321BADCAFE", like, 0): "lost"}
    plant("defer/B/B1B2CDEADBEEF", like, 0)             # young: its message may be on the way
    written = plant("incoming/A2345BADCAFE", like, HOUR)        # being written, under its right name
    os.rename(path(written), path(f"incoming/A2345{os.lstat(path(written)).st_ino:X}"))
    # a message and its log under the name of another inode, as a copied queue has them
    name = os.path.basename(deferred[1])
    wrong = name[:5] + "FFFFF"
    os.rename(path(deferred[1]), path(os.path.dirname(deferred[1]), wrong))
    os.rename(path("defer", name[0], name), path("defer", wrong[0], wrong))
    flaws[os.path.join(os.path.dirname(deferred[1]), wrong)] = "misnamed"
    # a message and a log in directories of other letters
    for top, at in (("deferred", deferred[2]), ("defer", os.path.join("defer", *deferred[3].split("/")[1:]))):
        letter = "0" if at.split("/")[1] != "0" else "1"
        other = os.path.join(top, letter, os.path.basename(at))
        if not os.path.isdir(path(top, letter)):
            os.mkdir(path(top, letter), 0o700)
            os.chown(path(top, letter), os.lstat(path(like)).st_uid, -1)
        os.rename(path(at), path(other))
        flaws[other] = "misplaced"
    # qmgr would stop at it: put right by hand at the end
    os.chown(path(deferred[4]), 0, 0)
    flaws[deferred[4]] = "access"
    return flaws


def plant_sendmail():
    controls = [name for name in files() if name.startswith("qf")]
    like = controls[0]
    flaws = {plant("df6AM000000001", like, 2 * HOUR): "orphan", plant("xf6AM000000002", like, 2 * DAY): "orphan",
             plant("tf6AM000000003", like, 2 * HOUR): "stale", plant("Qf6AM000000004", like, 0): "lost"}
    plant("df6AM000000005", like, 60)                   # being received
    plant("xf6AM000000006", like, HOUR)
    plant("tf6AM000000007", like, 60)                   # being rewritten
    with open(path(like), "rb") as file:
        control = file.read()
    flaws[plant("qf6AM000000008", like, 2 * HOUR, data=control)] = "orphan"
    plant("qf6AM000000009", like, 60, data=control)     # its data file has just been removed by sendmail
    plant("qf6AM00000000A", like, 2 * HOUR, data=control.replace(b"\n.\n", b"\n"))      # incomplete
    os.chmod(path(controls[1]), 0o666)
    flaws[controls[1]] = "access"
    return flaws


def found():
    out = json.loads(run("doctor", "--queue", "--json").stdout)
    return {flaw["path"]: flaw for flaw in out["flaws"]}


def difference(flaws, seen):
    return {p: (flaws.get(p), seen.get(p)) for p in set(flaws) | set(seen) if flaws.get(p) != seen.get(p)}


def kinds(seen):
    return {p: flaw["kind"] for p, flaw in seen.items()}


def server_agrees():
    if MTA == "sendmail":
        return "" if not [f for f in files() if f[:2] in ("tf", "xf") and f.endswith(("2", "3"))] else "files are left"
    done = subprocess.run(["postsuper", "-c", CONFIG, "-s"], capture_output=True, text=True, check=False)
    check = subprocess.run(["postfix", "-c", CONFIG, "check"], capture_output=True, text=True, check=False)
    words = [line for line in done.stderr.splitlines() if "bogus file name" not in line and line]
    return "" if not words and done.returncode == check.returncode == 0 else f"{words} {check.stderr}"


def queued():
    if MTA == "sendmail":
        return len([f for f in files() if f[:2] == "qf"])
    done = subprocess.run(["postqueue", "-c", CONFIG, "-j"], capture_output=True, text=True, check=False)
    return len(done.stdout.splitlines())


def main():
    clean = run("doctor", "--queue", "--json")
    result("a queue as the server left it has no flaw", clean.returncode == 0 and not json.loads(clean.stdout)["flaws"],
           clean.stdout[:300] + clean.stderr)
    flaws = plant_postfix() if MTA == "postfix" else plant_sendmail()
    before, seen = listing(), found()
    wrong = difference(flaws, kinds(seen))
    result(f"{len(flaws)} planted flaws are found, and nothing else", not wrong, wrong)
    by_hand = {p for p, kind in flaws.items() if kind in ("lost", "access")}
    result("what cannot be repaired comes with advice", {p for p, f in seen.items() if not f["repair"]} == by_hand and
           all(seen[p]["advice"] for p in by_hand if p in seen), seen)
    text = run("doctor", "--queue")
    result("looking changes nothing", listing() == before and "Nothing was changed" in text.stdout, text.stdout + text.stderr)

    done = run("doctor", "--queue", "--commit")
    after = found()
    result("repaired", done.returncode == 0 and set(after) == by_hand, f"{done.stdout}{done.stderr}{sorted(after)}")
    for p in by_hand:           # the rest by hand, as advised
        if flaws[p] == "access" and MTA == "postfix":
            shutil.chown(path(p), "postfix", "postfix")
    result("the server's own tools find nothing to do", not server_agrees(), server_agrees())
    count = queued()
    result("every message is queued", count == QUEUED, count)
    for p in by_hand:
        if flaws[p] == "access" and MTA == "postfix":
            os.chown(path(p), 0, 0)
    undone = run("undo")
    now = listing()
    result("undo brings everything back", undone.returncode == 0 and now == before,
           f"{undone.stdout}{undone.stderr}{ {p: (before.get(p), now.get(p)) for p in set(before) | set(now) if before.get(p) != now.get(p)} }"[:600])

    # a plan of yesterday: what has changed since is left alone
    plan = os.path.join(os.path.dirname(QUEUE), "repair.plan")
    saved = run("doctor", "--queue", "--plan", plan)
    orphan = next(p for p in flaws if flaws[p] == "orphan")
    with open(path(orphan), "ab") as file:
        file.write(b"more\n")
    os.utime(path(orphan), (NOW - 2 * HOUR, NOW - 2 * HOUR))
    done = run("commit", plan)
    result("a saved plan leaves alone what has changed", saved.returncode == 0 and done.returncode == 2 and
           set(found()) == by_hand | {orphan}, f"{saved.stderr}{done.returncode}{done.stdout}{done.stderr}")
    os.unlink(plan)


main()
