# SPDX-License-Identifier: Apache-2.0
"""roundtrip.py PROGRAM SOURCE WORK: every operation on every message of the fixtures, and `undo`: all files are as they were."""
import collections
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

program, source, work = sys.argv[1:]
failed = False
ALL = ["--all", "--include-legit", "--commit"]
ARCHIVE = ["archive", "--output", "ARCHIVE", *ALL]
# what is done before, and the operation
OPERATIONS = {
    "hold": ([], ["hold", *ALL]),
    "release": (["hold", *ALL], ["release", *ALL]),
    "release --drip": (["hold", *ALL], ["release", "--drip", "600000/min", *ALL]),
    "release --due": (["defer", "--for", "1s", *ALL], ["release", "--due", "--commit"]),
    "purge --keep": ([], ["purge", "--keep", *ALL]),
    "purge": ([], ["purge", *ALL]),
    "archive": ([], ARCHIVE),
    "restore": (ARCHIVE, ["restore", "ARCHIVE", "--commit"]),
    "defer": ([], ["defer", "--for", "6h", *ALL]),
    "expedite": ([], ["expedite", *ALL]),
    "expedite of held ones": (["hold", *ALL], ["expedite", *ALL]),
    "express": ([], ["express", "--like-bad", "BAD", "--commit"]),
    "requeue": ([], ["requeue", *ALL]),
    "drop-recipients": ([], ["drop-recipients", "--recipient", "^l", *ALL[1:]]),
    "drop-recipients, all": ([], ["drop-recipients", "--recipient", ".", *ALL[1:]]),
    "doctor": ([], ["doctor", "--queue", "--commit"]),
}
# the directory, and where an orphan is put
QUEUES = {"postfix/short": ("spool", "defer/A/A1B2CDEADBEEF"), "postfix/long": ("spool", "trace/0123456789AB"),
          "sendmail/single": ("mqueue", "df6AM000000001"), "sendmail/split": ("mqueue", "q1/xf/xf6AM000000002")}
NOT_HERE = {("sendmail", "requeue"), ("postfix", "release --due"), ("sendmail", "defer, hold")}
# operations one after the other on the same messages, undone in the wrong order: the first one first
CHAINS = {
    "hold, release": [["hold", *ALL], ["release", *ALL]],
    "hold, release, hold": [["hold", *ALL], ["release", *ALL], ["hold", *ALL]],
    "defer, hold": [["defer", "--for", "6h", *ALL], ["hold", *ALL]],
    "hold, expedite": [["hold", *ALL], ["expedite", *ALL]],
    "hold, drop-recipients, purge --keep": [["hold", *ALL], ["drop-recipients", "--recipient", "^later1@", *ALL[1:]],
                                            ["purge", "--keep", *ALL]],
    "expedite, hold of some": [["expedite", *ALL], ["hold", "--subject", "plain|8bit", *ALL[1:]]],
}


def check(name, good, why=""):
    global failed
    failed |= not good
    print("ok" if good else "not ok", name, "" if good else str(why)[:600], flush=True)


class Queue:
    def __init__(self, which):
        self.mta, self.at, inner = which.split("/", maxsplit=1)[0], f"{work}/one", QUEUES[which][0]
        self.dir = f"{self.at}/{inner}"
        shutil.rmtree(self.at, ignore_errors=True)
        os.makedirs(f"{self.at}/bad")
        os.mkdir(f"{self.at}/state")
        subprocess.run(["tar", "-C", self.at, "-xzf", f"{source}/fixtures/{which}/{inner}.tar.gz"], check=True,
                       stderr=subprocess.DEVNULL)
        with open(f"{self.at}/bad/1", "w", encoding="ascii") as file:
            file.write("Subject: cheap\n\nHello,\n\nthe second line of a small body.\n.. and one that begins with dots.\n")
        orphan = f"{self.dir}/{QUEUES[which][1]}"
        os.makedirs(os.path.dirname(orphan), exist_ok=True)
        with open(orphan, "w", encoding="ascii") as file:
            file.write("of nobody\n")
        os.utime(orphan, (1e9, 1e9))
        owner = "postfix" if self.mta == "postfix" else "root"
        subprocess.run(["chown", "-R", f"{owner}:{owner}", self.at], check=True)
        self.elsewhere = set()
        files = self.listing(True)
        active = {f[1] for f in files if f[0] == "active"}
        self.elsewhere = {f[-1] for f in files if f[1] in active}
        # in delivery, not yet Postfix's, or set aside by sendmail
        self.others = active | {f[1].removeprefix("Qf") for f in files if f[0] == "maildrop" or f[1].startswith("Qf")}

    def listing(self, exact):
        """Of every file its place, name, inode, mode, owner, times, links, content. Not `exact`: files that come from an archive have
        other inodes, and names made of these. What was in active comes back in another place, for the queue manager has it there."""
        found = []
        for path, directories, names in os.walk(self.dir):
            directories[:] = [d for d in directories if d != ".qsurgeon"]
            for name in names:
                full = os.path.join(path, name)
                st = os.lstat(full)
                with os.fdopen(os.open(full, os.O_RDONLY | os.O_NOATIME), "rb") as file:    # looking is no change
                    data = hashlib.sha256(file.read()).hexdigest()
                place = (os.path.relpath(path, self.dir), *((name, st.st_ino) if exact else ()))
                found.append((*(() if data in self.elsewhere else place), st.st_mode, st.st_uid, st.st_gid,
                              st.st_atime_ns, st.st_mtime_ns, st.st_nlink, data))
        return collections.Counter(found)

    def directories(self):
        found = {path: os.lstat(path) for path, _, _ in os.walk(self.dir) if "/.qsurgeon" not in path}
        return {(path, st.st_ino, st.st_mode, st.st_uid, st.st_gid) for path, st in found.items()}

    def run(self, *words):
        own = {"ARCHIVE": f"{self.at}/state/one.tar.zst", "BAD": f"{self.at}/bad"}
        done = subprocess.run([program, "--mta", self.mta, "--queue", self.dir, "--state", f"{self.at}/state",
                               *(own.get(w, w) for w in words)], capture_output=True, text=True, timeout=100)
        if "Sanitizer" in done.stderr:
            check(" ".join(words), False, done.stderr)
        return done

    def runs(self):
        return {name for name in os.listdir(f"{self.at}/state") if os.path.isdir(f"{self.at}/state/{name}")}


def round_trip(which, name):
    before_it, words = OPERATIONS[name]
    q = Queue(which)
    if before_it:
        done = q.run(*before_it)
        if done.returncode not in (0, 2):
            check(f"{which}: before {name}", False, done.stderr + done.stdout)
            return
    if name == "release --due":
        time.sleep(1.1)
    exact = name not in ("purge", "archive")
    before, directories, runs = q.listing(exact), q.directories(), q.runs()
    done = q.run(*words, "--json")
    results = [json.loads(line) for line in done.stdout.splitlines()] if done.returncode in (0, 2) else []
    count = sum(r["outcomes"]["done"] for r in results)
    left = {m["queue_id"] for r in results for m in r["left_out"]}
    check(f"{which}: {name}", count > 0 and q.listing(exact) != before, f"status {done.returncode}: {done.stderr} {done.stdout}")
    check(f"{which}: {name} leaves out what it must", left <= q.others and (done.returncode == 2) == bool(left), results)
    for run in sorted(q.runs() - runs, reverse=True):
        undone = q.run("undo", run)
        check(f"{which}: undo of {name}", undone.returncode == 0, f"status {undone.returncode}: {undone.stderr} {undone.stdout}")
    now = q.listing(exact)
    check(f"{which}: {name} and undo leave what was", now == before,
          f"gone {sorted((before - now), key=str)[:4]}, new {sorted((now - before), key=str)[:4]}")
    # what was in active comes back under another name, and that may need another hash directory
    there = q.directories()
    check(f"{which}: {name} and undo leave the directories", directories == there or (q.elsewhere and directories < there),
          sorted(directories ^ there))


def chain(which, name):
    q = Queue(which)
    before, runs = q.listing(True), []
    for n, words in enumerate(CHAINS[name], 1):
        done = q.run(*words)
        runs += sorted(q.runs() - set(runs))
        check(f"{which}: {name}: {words[0]}", done.returncode in (0, 2) and len(runs) == n, done.stderr + done.stdout)
    for run in runs[:-1]:
        undone = q.run("undo", run)
        check(f"{which}: {name}: undo of {run} names the one to be undone first", undone.returncode == 2 and
              f"undo {runs[-1]}\n" in undone.stdout, f"status {undone.returncode}: {undone.stderr} {undone.stdout}")
        again = q.run("undo", run)
        check(f"{which}: {name}: again it says the same", again.returncode == 2 and f"undo {runs[-1]}\n" in again.stdout,
              f"status {again.returncode}: {again.stderr} {again.stdout}")
    check(f"{which}: {name}: the log says so", q.run("log").stdout.count("undone in part") == len(runs) - 1, q.run("log").stdout)
    undone = q.run("undo")
    check(f"{which}: {name}: undo of the last undoes all", undone.returncode == 0 and
          undone.stdout.count("Put back as well") == len(runs) - 1, f"status {undone.returncode}: {undone.stderr} {undone.stdout}")
    check(f"{which}: {name}: nothing is left to undo", q.run("undo").returncode == 64 and
          all(q.run("undo", run).returncode == 64 for run in runs), q.run("log").stdout)
    now = q.listing(True)
    check(f"{which}: {name}, undone in the wrong order, leave what was", now == before,
          f"gone {sorted((before - now), key=str)[:4]}, new {sorted((now - before), key=str)[:4]}")


for which in QUEUES:
    for name in CHAINS:
        if (which.split("/", maxsplit=1)[0], name) not in NOT_HERE:
            chain(which, name)
    for name in OPERATIONS:
        if (which.split("/", maxsplit=1)[0], name) not in NOT_HERE:
            round_trip(which, name)
sys.exit(failed)
