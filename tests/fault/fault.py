#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fault.py SHIM WORK [CASE...]: every system call of an operation that changes files fails once, or is the last one of the
process; then `resume`, and in another copy `undo`, must settle it. QSURGEON is the program; QS_FULL=1 tries every kind of
failure with both ways of settling at every point, else the rarer kinds take turns, and the longest cases are sampled.

Prints a result line for each case, with the number of points and of the failures that were tried at them.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "..", "..", "fixtures")
PROGRAM = os.environ["QSURGEON"]
FULL = os.environ.get("QS_FULL") == "1"
POSTFIX_CASES = ("plain", "multi", "milter-body", "held", *(("8bit", "dsn", "many-rcpts", "filter") if FULL else ()))
SENDMAIL_CASES = ("plain", "multi", "many-rcpts", "quarantined", *(("8bit", "dsn") if FULL else ()))
ALL = ["--all", "--include-legit", "--commit"]
NAMED = ["--id", "-", *ALL[1:]]         # all, by their queue IDs: Postfix's are told by their files then, and not read

DROP = ["drop-recipients", "--recipient", "^lines@", *ALL[1:]]
PARK = ["drop-recipients", "--recipient", ".", *ALL[1:]]        # all recipients
DRIP = ["release", "--drip", "60/min", *ALL]
EXPRESS = ["express", "--like-bad", "BAD", "--commit"]
STICKY = ["--sticky", "1s", *ALL]
REPAIR = ["doctor", "--queue", "--commit"]
FORGET = ["forget", "--older", "0s", "--commit"]
RESUBMIT = ["restore", "ARCHIVE", "--resubmit", "--program", "PROGRAM", "--commit"]

# name: queue, preparation (a list of commands), the command that is to fail, least number of points, what is left after it is
# finished: "queue", "quarantine" or "archive"; "restored": the queue, from the archive of a purge;
# "taken back": none of that; "both undone": the queue as it was before two runs on the same messages, of which the first is undone; "removed": nothing; "repaired": the queue, without flaws; "handed over": to another server; "forgotten": the queue,
# and nothing of the run
CASES = {
    "postfix hold": ("postfix", [], ["hold", *ALL], 31, "queue"),
    "postfix release": ("postfix", [], ["release", *ALL], 32, "queue"),
    "postfix release --drip": ("many", [["hold", *ALL]], ["release", "--drip", "600000/min", *ALL], 84, "queue"),
    "postfix purge": ("postfix", [], ["purge", *ALL], 81, "archive"),
    "postfix purge --keep": ("postfix", [], ["purge", "--keep", *ALL], 60, "quarantine"),
    "postfix defer": ("postfix", [], ["defer", "--for", "6h", *ALL], 45, "queue"),
    "postfix expedite": ("postfix", [], ["expedite", *ALL], 52, "queue"),
    "postfix requeue": ("postfix", [], ["requeue", *ALL], 68, "queue"),
    "postfix drop-recipients": ("postfix", [], DROP, 56, "queue"),
    "postfix undo of hold": ("postfix", [["hold", *ALL]], ["undo"], 20, "undo"),
    "postfix undo of purge --keep": ("postfix", [["purge", "--keep", *ALL]], ["undo"], 36, "undo"),
    "postfix undo of purge": ("postfix", [["purge", *ALL]], ["undo"], 72, "undo"),
    "postfix undo of drop-recipients": ("postfix", [DROP], ["undo"], 36, "undo"),
    "postfix undo of expedite": ("postfix", [["expedite", *ALL]], ["undo"], 40, "undo"),
    "postfix resume of hold": ("postfix", [("kill", 0.8, ["hold", *ALL])], ["resume"], 22, "queue"),
    "postfix resume of purge": ("postfix", [("kill", 0.6, ["purge", *ALL])], ["resume"], 65, "archive"),
    "postfix restore": ("postfix", [["purge", *ALL]], ["restore", "ARCHIVE", "--commit"], 123, "restored"),
    "postfix resume of restore": ("postfix", [["purge", *ALL], ("kill", 0.85, ["restore", "ARCHIVE", "--commit"])], ["resume"], 79, "restored"),
    "postfix undo of restore": ("postfix", [["purge", *ALL], ["restore", "ARCHIVE", "--commit"]], ["undo"], 44, "taken back"),
    "sendmail hold": ("sendmail", [], ["hold", *ALL], 49, "queue"),
    "sendmail release": ("sendmail", [], ["release", *ALL], 35, "queue"),
    "sendmail purge": ("sendmail", [], ["purge", *ALL], 51, "archive"),
    "sendmail purge --keep": ("sendmail", [], ["purge", "--keep", *ALL], 35, "quarantine"),
    "sendmail expedite": ("sendmail", [], ["expedite", *ALL], 56, "queue"),
    "sendmail drop-recipients": ("sendmail", [], DROP, 35, "queue"),
    "sendmail undo of hold": ("sendmail", [["hold", *ALL]], ["undo"], 24, "undo"),
    "sendmail undo of purge": ("sendmail", [["purge", *ALL]], ["undo"], 73, "undo"),
    "sendmail resume of expedite": ("sendmail", [("kill", 0.6, ["expedite", *ALL])], ["resume"], 48, "queue"),
    "sendmail restore": ("sendmail", [["purge", *ALL]], ["restore", "ARCHIVE", "--commit"], 121, "restored"),
    "sendmail undo of restore": ("sendmail", [["purge", *ALL], ["restore", "ARCHIVE", "--commit"]], ["undo"], 40, "taken back"),
}
# of these, each fifth point is enough but in the full size
MORE = {
    "postfix drop-recipients, all": ("postfix", [], PARK, 67, "quarantine"),
    "postfix express": ("mixed", [], EXPRESS, 48, "queue"),
    "postfix hold --sticky": ("arriving", [], ["hold", *STICKY], 52, "queue"),
    "postfix purge --sticky": ("arriving", [], ["purge", *STICKY], 125, "archive"),
    "postfix purge --no-archive": ("postfix", [], ["purge", "--no-archive", *ALL], 74, "removed"),
    "postfix archive": ("postfix", [], ["archive", "--output", "OUTPUT", *ALL], 81, "archive"),
    "postfix commit": ("postfix", [["purge", "--keep", *ALL[:2], "--plan", "PLAN"]], ["commit", "PLAN"], 60, "quarantine"),
    "postfix purge --keep, crowd": ("crowd", [], ["purge", "--keep", *ALL], 200, "quarantine"),
    "postfix resume of purge --keep, crowd": ("crowd", [("kill", 0.5, ["purge", "--keep", *ALL])], ["resume"], 80, "quarantine"),
    "sendmail purge --keep, crowd": ("crowd sendmail", [], ["purge", "--keep", *ALL], 200, "quarantine"),
    "postfix hold by ID": ("postfix", [], ["hold", *NAMED], 37, "queue"),
    "postfix purge --keep by ID, crowd": ("crowd", [], ["purge", "--keep", *NAMED], 253, "quarantine"),
    "postfix defer by ID": ("postfix", [], ["defer", "--for", "6h", *NAMED], 49, "queue"),
    "postfix resume of purge --keep by ID": ("postfix", [("kill", 0.5, ["purge", "--keep", *NAMED])], ["resume"], 42, "quarantine"),
    "postfix resume of expedite by ID": ("postfix", [("kill", 0.6, ["expedite", *NAMED])], ["resume"], 53, "queue"),
    "postfix doctor": ("flawed", [], REPAIR, 77, "repaired"),
    "postfix undo of release": ("postfix", [["release", *ALL]], ["undo"], 20, "undo"),
    "postfix undo of release --drip": ("many", [["hold", *ALL], ["release", "--drip", "600000/min", *ALL]], ["undo"], 68, "undo"),
    "postfix undo of defer": ("postfix", [["defer", "--for", "6h", *ALL]], ["undo"], 34, "undo"),
    "postfix undo of requeue": ("postfix", [["requeue", *ALL]], ["undo"], 49, "undo"),
    "postfix undo of drop-recipients, all": ("postfix", [PARK], ["undo"], 36, "undo"),
    "postfix undo of both": ("postfix", [["hold", *ALL], ["release", *ALL], ["undo", "FIRST"]], ["undo"], 48, "both undone"),
    "postfix undo of doctor": ("flawed", [REPAIR], ["undo"], 52, "undo"),
    "postfix resume of release": ("postfix", [("kill", 0.7, ["release", *ALL])], ["resume"], 19, "queue"),
    "postfix resume of purge --keep": ("postfix", [("kill", 0.5, ["purge", "--keep", *ALL])], ["resume"], 42, "quarantine"),
    "postfix resume of defer": ("postfix", [("kill", 0.6, ["defer", "--for", "6h", *ALL])], ["resume"], 37, "queue"),
    "postfix resume of expedite": ("postfix", [("kill", 0.6, ["expedite", *ALL])], ["resume"], 43, "queue"),
    "postfix resume of requeue": ("postfix", [("kill", 0.6, ["requeue", *ALL])], ["resume"], 58, "queue"),
    "postfix resume of drop-recipients": ("postfix", [("kill", 0.6, DROP)], ["resume"], 44, "queue"),
    "postfix resume of doctor": ("flawed", [("kill", 0.6, REPAIR)], ["resume"], 67, "repaired"),
    "postfix forget": ("postfix", [["hold", *ALL]], FORGET, 15, "forgotten"),
    "sendmail forget": ("sendmail", [["hold", *ALL]], FORGET, 17, "forgotten"),
    "postfix restore --resubmit": ("postfix", [["purge", *ALL]], RESUBMIT, 72, "handed over"),
    "sendmail release --drip": ("many sendmail", [["hold", *ALL]], DRIP, 140, "queue"),
    "sendmail release --due": ("sendmail", [["defer", "--for", "1s", *ALL], ("wait", 1.1)], ["release", "--due", "--commit"], 49, "queue"),
    "sendmail defer": ("sendmail", [], ["defer", "--for", "6h", *ALL], 49, "queue"),
    "sendmail drop-recipients, all": ("sendmail", [], PARK, 35, "quarantine"),
    "sendmail express": ("mixed sendmail", [], EXPRESS, 56, "queue"),
    "sendmail hold --sticky": ("arriving sendmail", [], ["hold", *STICKY], 79, "queue"),
    "sendmail purge --sticky": ("arriving sendmail", [], ["purge", *STICKY], 84, "archive"),
    "sendmail purge --no-archive": ("sendmail", [], ["purge", "--no-archive", *ALL], 44, "removed"),
    "sendmail archive": ("sendmail", [], ["archive", "--output", "OUTPUT", *ALL], 51, "archive"),
    "sendmail commit": ("sendmail", [["hold", *ALL[:2], "--plan", "PLAN"]], ["commit", "PLAN"], 49, "queue"),
    "sendmail doctor": ("flawed sendmail", [], REPAIR, 28, "repaired"),
    "sendmail undo of release": ("sendmail", [["release", *ALL]], ["undo"], 19, "undo"),
    "sendmail undo of release --drip": ("many sendmail", [["hold", *ALL], DRIP], ["undo"], 50, "undo"),
    "sendmail undo of defer": ("sendmail", [["defer", "--for", "6h", *ALL]], ["undo"], 24, "undo"),
    "sendmail undo of purge --keep": ("sendmail", [["purge", "--keep", *ALL]], ["undo"], 20, "undo"),
    "sendmail undo of expedite": ("sendmail", [["expedite", *ALL]], ["undo"], 26, "undo"),
    "sendmail undo of drop-recipients": ("sendmail", [DROP], ["undo"], 19, "undo"),
    "sendmail undo of drop-recipients, all": ("sendmail", [PARK], ["undo"], 20, "undo"),
    "sendmail undo of both": ("sendmail", [["hold", *ALL], ["release", *ALL], ["undo", "FIRST"]], ["undo"], 48, "both undone"),
    "sendmail undo of doctor": ("flawed sendmail", [REPAIR], ["undo"], 16, "undo"),
    "sendmail resume of hold": ("sendmail", [("kill", 0.6, ["hold", *ALL])], ["resume"], 40, "queue"),
    "sendmail resume of release": ("sendmail", [("kill", 0.6, ["release", *ALL])], ["resume"], 25, "queue"),
    "sendmail resume of purge": ("sendmail", [("kill", 0.6, ["purge", *ALL])], ["resume"], 48, "archive"),
    "sendmail resume of purge --keep": ("sendmail", [("kill", 0.5, ["purge", "--keep", *ALL])], ["resume"], 25, "quarantine"),
    "sendmail resume of drop-recipients": ("sendmail", [("kill", 0.6, DROP)], ["resume"], 25, "queue"),
    "sendmail resume of doctor": ("flawed sendmail", [("kill", 0.75, REPAIR)], ["resume"], 19, "repaired"),
    "sendmail resume of restore": ("sendmail", [["purge", *ALL], ("kill", 0.85, ["restore", "ARCHIVE", "--commit"])], ["resume"], 74, "restored"),
    "sendmail restore --resubmit": ("sendmail", [["purge", *ALL]], RESUBMIT, 70, "handed over"),
}
CASES |= MORE
# long ones, in which the same calls come once a message: without QS_FULL only so many-th points, but all of the last quarter
SPARSE = {"postfix restore": 4, "sendmail restore": 4, "postfix resume of restore": 2, "postfix purge": 2, "sendmail purge": 2,
          "postfix undo of purge": 2, "sendmail undo of purge": 2, "postfix release --drip": 4, "postfix purge --keep": 2,
          "postfix requeue": 2, "postfix resume of purge": 2, "postfix expedite": 2, "sendmail expedite": 2,
          "postfix undo of restore": 2, "sendmail undo of restore": 2}
QUEUES = {"postfix": "postfix", "sendmail": "sendmail", "many": "postfix", "many sendmail": "sendmail", "mixed": "postfix",
          "mixed sendmail": "sendmail", "arriving": "postfix", "arriving sendmail": "sendmail", "flawed": "postfix", "flawed sendmail": "sendmail",
          "crowd": "postfix", "crowd sendmail": "sendmail"}
CROWD = 70      # more messages than one thread claims before another follows
# what lies about in the flawed ones: files of no message, each with a content of its own
FLAWS = {"postfix": ("defer/A/A1B2CDEADBEEF", "bounce/F00D5DEADBEEF", "trace/0123456789AB", "incoming/123456.789"),
         "sendmail": ("df6AM000000001", "xf6AM000000002", "tf6AM000000003")}
KINDS = ("KILL", "EIO", "LATE", "KILLED", "ENOSPC", "EINTR", "TERM")


class Failed(Exception):
    pass


# --- the queues, read by nothing of the program ------------------------------------------------------------------------

def cases_of(directory):
    with open(os.path.join(FIXTURES, directory, "cases.tsv"), encoding="ascii") as file:
        return dict(line.split() for line in file)


def make_fixture(queue, to):
    """A small queue of files that a real server wrote; "many" are enough for more than one stretch of a drip, of the "mixed" ones
    one is none that anybody wants, and where mail is "arriving" one message lies in a directory of its own until then."""
    mta = QUEUES[queue]
    directory, archive, names = (("postfix/short", "spool", POSTFIX_CASES) if mta == "postfix"
                                 else ("sendmail/single", "mqueue", SENDMAIL_CASES))
    cases = cases_of(directory)
    if queue.startswith("many"):
        names = set(cases) - {"active", "local", "maildrop", "lost"}
    elif queue.startswith("mixed"):
        names = ("plain", "multi", "8bit", "null-sender")
    elif queue.startswith("crowd"):
        names = ("plain",)
    elif queue.startswith("arriving"):
        names = (*POSTFIX_CASES[:4], "dsn") if mta == "postfix" else (*SENDMAIL_CASES[:4], "dsn")
    ids = {cases[name] for name in names}
    with tarfile.open(os.path.join(FIXTURES, directory, f"{archive}.tar.gz")) as tar:
        members = [m for m in tar.getmembers() if not m.isfile() or m.name[-min(map(len, ids)):] in ids or
                   re.sub("^[a-zA-Z]f", "", os.path.basename(m.name)) in ids]
        tar.extractall(to, members)
    os.rename(os.path.join(to, archive), os.path.join(to, "queue"))
    os.mkdir(os.path.join(to, "arrival"))
    for path in sorted(read_tree(os.path.join(to, "queue"))) if queue.startswith("arriving") else []:
        if path.endswith(cases["dsn"]) and is_message(mta, path) or path == "df" + cases["dsn"]:
            os.makedirs(os.path.dirname(os.path.join(to, "arrival", path)), exist_ok=True)
            os.rename(os.path.join(to, "queue", path), os.path.join(to, "arrival", path))
    for path, data in list(read_tree(os.path.join(to, "queue")).items()) if queue.startswith("crowd") else ():
        for n in range(CROWD):
            other = os.path.join(to, "queue", path[:-3] + f"{n:03}")
            with open(other, "xb") as file:
                file.write(data.replace(b"case plain", b"case %05d" % n))
            shutil.copystat(os.path.join(to, "queue", path), other)
    for path in FLAWS[mta] if queue.startswith("flawed") else ():
        full = os.path.join(to, "queue", path)
        os.makedirs(os.path.dirname(full), mode=0o700, exist_ok=True)
        with open(full, "x", encoding="ascii") as file:
            file.write(f"a flaw: {path}\n")
        os.chmod(full, 0o600)
        os.utime(full, (1e9, 1e9))
    if queue.startswith("mixed"):
        os.mkdir(os.path.join(to, "bad"))
        with open(os.path.join(to, "bad", "1"), "w", encoding="ascii") as file:
            file.write("From: x@bad.example\nTo: y@there.example\nSubject: cheap\n\nBuy one, get one, and tell all of your friends.\n")
    if os.geteuid() == 0:
        owner = "postfix" if mta == "postfix" else "root"
        for top in ("queue", "arrival"):
            for path, directories, files in os.walk(os.path.join(to, top)):
                for name in [".", *directories, *files]:
                    shutil.chown(os.path.join(path, name), owner, owner)


def postfix_content(data):
    """The record types and lengths are those of queue files; struck-out recipients count as recipients."""
    out, at, end = [], 0, None
    while at < len(data):
        kind, length, shift, begin = data[at:at + 1], 0, 0, at
        at += 1
        while True:
            byte = data[at]
            length |= (byte & 127) << shift
            shift, at = shift + 7, at + 1
            if byte < 128:
                break
        text = data[at:at + length]
        at += length
        if kind == b"C" and end is None:
            size, offset = text.split()[:2]
            end = int(size) + int(offset)
        out.append((b"R" if kind == b"/" else kind) + text)
        if kind == b"E":
            break
        if kind == b"M":
            out.append(data[at:end])
            at = end
        if begin == at:
            raise Failed("a record that does not end")
    return b"\n".join(out)


def sendmail_content(control, body):
    kept = [line for line in control.split(b"\n") if line[:1] in b"STFH$\t " and line]
    return b"\n".join(kept) + b"\0" + body


def is_message(mta, path):
    name = os.path.basename(path)
    if mta == "postfix":
        return path.split("/")[0] in ("maildrop", "incoming", "active", "deferred", "hold", "corrupt") and "." not in name
    return name[:2] in ("qf", "hf", "Qf")


def messages(mta, files, bodies=None):
    """{content digest: paths} of {relative path: bytes}; sendmail's bodies may lie in another tree."""
    found = {}
    for path, data in files.items():
        if not is_message(mta, path):
            continue
        if mta == "sendmail":
            body = os.path.join(os.path.dirname(path), "df" + os.path.basename(path)[2:])
            data = sendmail_content(data, files.get(body, (bodies or {}).get(body, b"")))
        else:
            data = postfix_content(data)
        found.setdefault(hashlib.sha256(data).hexdigest(), []).append(path)
    return found


def read_tree(top):
    files = {}
    for path, _, names in os.walk(top):
        for name in names:
            full = os.path.join(path, name)
            with open(full, "rb") as file:
                files[os.path.relpath(full, top)] = file.read()
    return files


def read_archive(path):
    packed = subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout
    files = {}
    process = subprocess.run(["tar", "-tf", "-"], input=packed, stdout=subprocess.PIPE, check=True, text=False)
    import io
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        for member in tar.getmembers():
            if "/" in member.name:
                number, name = member.name.split("/", 1)
                files.setdefault(number, {})[name] = tar.extractfile(member).read()
    assert process.returncode == 0
    return list(files.values())


# --- one copy of a queue -----------------------------------------------------------------------------------------------

class Copy:
    def __init__(self, queue, fixture, at):
        self.mta, self.at, self.fixture = QUEUES[queue], at, fixture
        shutil.rmtree(at, ignore_errors=True)
        subprocess.run(["cp", "-a", fixture, at], check=True)
        os.chmod(at, 0o755)
        self.queue, self.state, self.temporary = (os.path.join(at, name) for name in ("queue", "state", "tmp"))
        os.mkdir(self.temporary)
        self.purged = None
        self.kept = {}, {"lock"}        # older control files of sendmail, of the runs that were prepared
        self.arrivals = sorted(read_tree(os.path.join(at, "arrival")))      # a data file stands before its control file
        self.before = {**self.listing(), **self.listing(os.path.join(at, "arrival"))}
        arriving = messages(self.mta, read_tree(os.path.join(at, "arrival")))
        self.known = set(messages(self.mta, self.live())) | set(arriving)
        self.ids = [os.path.basename(path)[0 if self.mta == "postfix" else 2:] for path in self.before
                    if is_message(self.mta, path)]
        self.flaws = [data for data in self.live().values() if data.startswith(b"a flaw: ")]

    def run(self, words, shim=None, point=0, kind=None, log=None):
        environment = dict(os.environ, TMPDIR=self.temporary)
        own = {"ARCHIVE": self.archive, "OUTPUT": lambda: os.path.join(self.state, "output.tar.zst"),
               "PLAN": lambda: os.path.join(self.at, "plan"), "BAD": lambda: os.path.join(self.at, "bad"),
               "PROGRAM": self.program, "FIRST": lambda: min(os.listdir(self.state))}
        words = [own[word]() if word in own else word for word in words]
        if shim:
            environment["QS_FAULT_ARRIVE"] = ":".join(part for path in self.arrivals for part in (
                os.path.join(self.at, "arrival", path), os.path.join(self.queue, path)))
            environment.update(LD_PRELOAD=shim, QS_FAULT_AT=str(point), QS_FAULT_KIND=kind or "EIO",
                               ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0")
            if log:
                environment["QS_FAULT_LOG"] = log
        return subprocess.run([PROGRAM, "--mta", self.mta, "--queue", self.queue, "--state", self.state, *words],
                              env=environment, capture_output=True, text=True, timeout=60, input="\n".join(self.ids))

    def run_of(self, action):
        """The name of the only run of that action; None: none was begun."""
        names = [name for name in os.listdir(self.state) if f"-{action}-" in name and
                 os.path.exists(os.path.join(self.state, name, "plan.jsonl"))]
        assert len(names) < 2
        return names[0] if names else None

    def archive(self):
        return os.path.join(self.state, self.run_of("purge"), "archive.tar.zst")

    def program(self):
        """A submission program that writes down what it has taken."""
        path = os.path.join(self.at, "submit")
        if not os.path.exists(path):
            shutil.copy(os.path.join(HERE, "submit.py"), path)
            os.chmod(path, 0o755)
        return path

    def arrive(self):
        """What has not come to the queue comes now."""
        for path in self.arrivals:
            if os.path.exists(os.path.join(self.at, "arrival", path)):
                os.rename(os.path.join(self.at, "arrival", path), os.path.join(self.queue, path))

    def listing(self, top=None):
        """What must be the same after undo, of every file: inode, mode, owner, time, bytes."""
        found = {}
        top = top or self.queue
        for path, directories, names in os.walk(top):
            if ".qsurgeon" in directories:
                directories.remove(".qsurgeon")
            for name in names:
                full = os.path.join(path, name)
                st = os.lstat(full)
                with open(full, "rb") as file:
                    data = hashlib.sha256(file.read()).hexdigest()
                found[os.path.relpath(full, top)] = (st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns,
                                                            st.st_nlink, data)
        return found

    def live(self):
        return {path: data for path, data in read_tree(self.queue).items() if not path.startswith(".qsurgeon/")}

    def quarantined(self):
        """By run directory; files that were not there before a rename took them are not messages."""
        found, live = {}, self.live()
        base = os.path.join(self.queue, ".qsurgeon")
        for run in os.listdir(base) if os.path.isdir(base) else []:
            if run != "lock":
                tree = {path: data for path, data in read_tree(os.path.join(base, run)).items()
                        if not path.startswith(("new/", "staging/", "staged/", "back/"))}
                for digest, paths in messages(self.mta, tree, live).items():
                    found.setdefault(digest, []).extend(paths)
        return found

    def archived(self):
        found = {}
        for path, _, names in os.walk(self.state):
            for name in {"archive.tar.zst", "output.tar.zst"} & set(names):
                for files in read_archive(os.path.join(path, name)):
                    for digest in messages(self.mta, files):
                        found[digest] = found.get(digest, 0) + 1
        return found

    def places(self):
        return messages(self.mta, self.live()), self.quarantined(), self.archived()

    def submitted(self):
        """The names of what the submission program has taken."""
        try:
            with open(self.program() + ".log", encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def marks(self):
        return set().union(*self.runs())

    def runs(self):
        """Of each run that was begun, the marks in its journal."""
        found = []
        for path, _, names in os.walk(self.state):
            if "plan.jsonl" not in names:
                continue
            marks = set()
            if "journal.jsonl" in names:
                with open(os.path.join(path, "journal.jsonl"), encoding="utf-8") as file:
                    marks = set(re.findall('^{"([a-z]+)":true}$', file.read(), re.M))
            found.append(marks)
        return found

    def check_nothing_lost(self, removed=False):
        live, quarantine, archive = self.places()
        everything = list(read_tree(self.queue).values())
        for flaw in self.flaws:
            if everything.count(flaw) != 1:
                raise Failed(f"{flaw} is there {everything.count(flaw)} times")
        for digest in self.known:
            n = len(live.get(digest, [])), len(quarantine.get(digest, [])), archive.get(digest, 0)
            if n[0] > 1 or n[1] > (1 if self.mta == "postfix" else len(self.runs())) or n[2] > 1:
                raise Failed(f"a message is there more than once: queue, quarantine, archive: {n}")
            if sum(n) == 0 and not removed:
                raise Failed("a message is nowhere")
            if n[0] and n[1] and self.mta == "postfix":
                raise Failed("a message is in the queue and in quarantine")
        unknown = set(live) - self.known
        if unknown:
            raise Failed(f"a message with other content: {[live[u] for u in unknown]}")

    def check_finished(self, left):
        live, quarantine, archive = self.places()
        for digest in self.known:
            n = len(live.get(digest, [])), len(quarantine.get(digest, [])), archive.get(digest, 0)
            # a rewritten control file of sendmail leaves the old one in quarantine, for undo
            wrong = {"queue": n[0] != 1 or n[2], "quarantine": n != (0, 1, 0) and n != (1, 0, 0),
                     "archive": n != (0, 0, 1) and n != (1, 0, 0), "removed": n != (0, 0, 0) and n != (1, 0, 0),
                     "repaired": n != (1, 0, 0)}[left]
            if wrong:
                raise Failed(f"finished: queue, quarantine, archive: {n}, should be {left}")

    def check_undone(self, restored):
        now = self.listing()
        if not restored and now != self.before:
            gone, new = set(self.before) - set(now), set(now) - set(self.before)
            changed = [path for path in now if path in self.before and now[path] != self.before[path]]
            raise Failed(f"undone, but gone {sorted(gone)[:3]}, new {sorted(new)[:3]}, changed {changed[:3]}")
        live, quarantine, _ = self.places()
        if set(live) != self.known or any(len(paths) != 1 for paths in live.values()):
            raise Failed("undone, but not every message is in the queue once")
        if quarantine != self.kept[0]:
            raise Failed("undone, but messages are in quarantine")
        if restored:
            of = [sorted((os.path.dirname(path), *facts[1:5], facts[6]) for path, facts in listing.items())
                  for listing in (self.before, now)]
            if of[0] != of[1]:
                raise Failed("undone from the archive, but a file has another place, mode, owner, time or content")

    def check_leftovers(self, undone):
        base = os.path.join(self.queue, ".qsurgeon")
        for path, directories, names in os.walk(base):
            if path != base and not directories and not names:
                raise Failed(f"an empty directory is left: {os.path.relpath(path, base)}")
            for name in names:
                if name.startswith(".") or "/new" in path or "/stag" in path:
                    raise Failed(f"a temporary file is left: {os.path.relpath(path, base)}/{name}")
        if undone and os.path.isdir(base) and set(os.listdir(base)) - self.kept[1]:
            raise Failed(f"undone, but .qsurgeon holds {os.listdir(base)}")
        for path, _, names in os.walk(self.state):
            # a plan that was never complete is no run
            if any(name.startswith(".") for name in names) and "plan.jsonl" in names:
                raise Failed(f"a temporary file is left in the run's directory: {names}")


# --- a case --------------------------------------------------------------------------------------------------------------

def count_calls(copy, words, shim):
    log = os.path.join(copy.at, "calls")
    open(log, "w", encoding="ascii").close()
    os.chmod(log, 0o666)
    done = copy.run(words, shim, 0, None, log)
    if done.returncode not in (0, 2):
        raise Failed(f"without a fault: status {done.returncode}: {done.stderr.strip()[:300]}")
    with open(log, encoding="ascii") as file:
        calls = file.read().split()
    os.unlink(log)
    return calls


def prepare(copy, steps, shim):
    for step in steps:
        if step[0] == "wait":
            time.sleep(step[1])
        elif step[0] == "kill":
            probe = Copy(copy.mta, copy.fixture, copy.at + "-probe")
            prepare(probe, steps[:steps.index(step)], shim)
            calls = count_calls(probe, step[2], shim)
            shutil.rmtree(probe.at)
            copy.run(step[2], shim, int(len(calls) * step[1]), "KILL")
        else:
            done = copy.run(step)
            if done.returncode not in (0, 2):
                raise Failed(f"preparation: status {done.returncode}: {done.stderr.strip()[:300]}")
        if copy.purged is None:
            copy.purged = copy.listing()


def settled(words, done):
    """The faulted command may have ended well, and then nothing is left to settle."""
    return done.returncode == 64 and ("no run is unfinished" in done.stderr or "no run to undo" in done.stderr or
                                      "undone already" in done.stderr or "this run is " in done.stderr) and words in ("resume", "undo")


def settle_all(copy, way):
    """Settles every run that there is. None of them is older than the command that has failed."""
    for _ in range(9):
        again = copy.run([way])
        copy.check_nothing_lost()
        if settled(way, again):
            return again
        if again.returncode != 0:
            raise Failed(f"{way}: status {again.returncode}: {(again.stderr + again.stdout).strip()[:300]}")
    raise Failed(f"{way}: there is no end of runs")


def settle_removed(copy, way):
    """What was removed without an archive has no way back, all else has."""
    gone = "unlinked" in copy.marks()
    again = copy.run([way])
    copy.check_nothing_lost(True)
    if way == "undo" and again.returncode == 64 and "no way back" in again.stderr and gone:
        return
    if again.returncode not in (0, 2) and not settled(way, again):
        raise Failed(f"{way}: status {again.returncode}: {(again.stderr + again.stdout).strip()[:300]}")
    live, quarantine, _ = copy.places()
    if quarantine:
        raise Failed(f"{way}: messages are left in quarantine: {quarantine}")
    missing = len(copy.known) - len(live)
    if way == "undo" and again.returncode == 0 and missing:
        raise Failed(f"undone, but {missing} messages are nowhere")
    if way == "undo" and again.stdout.count("no way back") != missing:
        raise Failed(f"undone, {missing} messages are nowhere, and it says: {again.stdout}")
    if way == "resume":
        copy.check_finished("removed")
    copy.check_leftovers(way == "undo")


def settle_handed_over(copy):
    """A second try hands over what the first did not. What the other server may or may not have taken comes again only when asked."""
    first = copy.submitted()
    again = copy.run(RESUBMIT)
    second = copy.submitted()
    if again.returncode not in (0, 64) or (again.returncode == 64 and "nothing to do" not in again.stderr):
        raise Failed(f"again: status {again.returncode}: {(again.stderr + again.stdout).strip()[:300]}")
    if any(second.count(name) > 1 for name in second):
        raise Failed(f"handed over twice: {second}")
    if len(second) < len(copy.known) - 1:
        raise Failed(f"not handed over: {len(second)} of {len(copy.known)}; before {first}")
    told = again.stdout + again.stderr
    if len(second) < len(copy.known) and "may have been handed over" not in told:
        raise Failed(f"one was left out, but {told}")
    handed = sorted(name for name in os.listdir(copy.state) if "-restore-" in name and "plan.jsonl" in os.listdir(os.path.join(copy.state, name)))
    undone = copy.run(["undo", handed[0]]) if handed else None
    if undone and (undone.returncode != 64 or "no way back" not in undone.stderr):
        raise Failed(f"undo: status {undone.returncode}: {undone.stderr}")
    if copy.listing() != copy.purged:
        raise Failed("handed over, but the queue is changed")


def settle_forgotten(copy, way):
    """It is forgotten by a second try. Until then undo does what can be done."""
    if way == "undo":
        undone = copy.run(["undo"])
        if undone.returncode not in (0, 2) and not settled(way, undone):
            raise Failed(f"undo: status {undone.returncode}: {(undone.stderr + undone.stdout).strip()[:300]}")
        copy.check_nothing_lost()
    elif copy.listing() != copy.before:
        raise Failed("forgotten, but the queue is changed")
    again = copy.run(FORGET)
    if again.returncode != 0:
        raise Failed(f"again: status {again.returncode}: {(again.stderr + again.stdout).strip()[:300]}")
    copy.check_nothing_lost()
    if os.listdir(copy.state) or os.listdir(os.path.join(copy.queue, ".qsurgeon")) != ["lock"]:
        raise Failed(f"forgotten, but there is {os.listdir(copy.state)} {os.listdir(os.path.join(copy.queue, '.qsurgeon'))} {again.stdout}")


def settle_restore(copy, way, left):
    """Settles a restore, or its undo, after a failure. The purge is an older run, and is none of the matter."""
    run = copy.run_of("restore")
    if run:
        again = copy.run([way, run])
        if left == "taken back" and way == "resume" and settled(way, again):
            again = copy.run(["undo", run])
            way = "undo"
        if again.returncode != 0 and not settled(way, again):
            raise Failed(f"{way}: status {again.returncode}: {(again.stderr + again.stdout).strip()[:300]}")
        copy.check_nothing_lost()
    back = run and way == "resume" and left == "restored"
    if back:
        copy.check_undone(True)
    elif copy.listing() != copy.purged:
        raise Failed(f"nothing is restored, but the queue is changed: {set(copy.listing()) ^ set(copy.purged)}")
    copy.check_leftovers(True)
    # what is there does not come twice, what is not there may come
    again = copy.run(["restore", "ARCHIVE", "--commit"])
    if again.returncode != (64 if back else 0) or (back and "nothing to do" not in again.stderr):
        raise Failed(f"restored again: status {again.returncode}: {(again.stderr + again.stdout).strip()[:300]}")
    copy.check_undone(True)


def one_point(name, fixture, at, shim, point, kind, way):
    queue, steps, words, _, left = CASES[name]
    copy = Copy(queue, fixture, at)
    try:
        original, run = copy.before, None
        if left == "undo" and len(steps) > 1:       # undo leads back to what stood before the last of several runs
            prepare(copy, steps[:-1], shim)
            original = copy.before = copy.listing()
            copy.kept = copy.quarantined(), set(os.listdir(os.path.join(copy.queue, ".qsurgeon")))
            prepare(copy, steps[-1:], shim)
            run = copy.run_of(steps[-1][0])
            words = [*words, run]
        else:
            prepare(copy, steps, shim)
        if left in ("queue", "forgotten") and copy.runs() and words not in (["resume"], ["undo"]):     # undo leads back to what was prepared
            copy.before = copy.listing()
            copy.kept = copy.quarantined(), set(os.listdir(os.path.join(copy.queue, ".qsurgeon")))
        prior = copy.listing()
        done = copy.run(words, shim, point, kind)
        # where threads were killed, what is left to do is not the same each time
        if kind in ("KILL", "KILLED") and done.returncode != -9 and not (queue.startswith("crowd") and steps):
            raise Failed(f"was not killed: status {done.returncode}")
        if kind == "EINTR" and done.returncode not in (0, 2):
            raise Failed(f"an interrupted call is no failure: status {done.returncode}: {done.stderr.strip()[:200]}")
        if kind == "TERM" and done.returncode not in (0, 2):        # before it has begun it may just end
            if done.returncode not in (-15, 75) or copy.listing() != prior:
                raise Failed(f"SIGTERM: status {done.returncode}: {(done.stderr + done.stdout).strip()[:300]}")
        if kind in ("EIO", "ENOSPC", "LATE") and done.returncode < 0 or "Sanitizer" in done.stderr:
            raise Failed(f"died: status {done.returncode}: {done.stderr[-300:]}")
        copy.arrive()
        copy.check_nothing_lost(left == "removed")
        if (done.returncode >= 0 or kind == "TERM") and os.listdir(copy.temporary):
            raise Failed(f"temporary files are left: {os.listdir(copy.temporary)}")
        if left in ("restored", "taken back"):
            settle_restore(copy, way, left)
            return
        if left == "removed":
            settle_removed(copy, way)
            return
        if left == "handed over":
            settle_handed_over(copy)
            return
        if left == "forgotten":
            settle_forgotten(copy, way)
            return
        if left == "both undone":
            settle_all(copy, "undo")
            copy.check_undone(False)
            copy.check_leftovers(True)
            return
        began = bool(copy.runs())
        run = copy.run_of(words[0]) if copy.before is not original else run
        if run is None and copy.before is not original:     # died before it had begun
            if copy.listing() != copy.before:
                raise Failed("nothing was begun, but the queue is changed")
            return
        several = words[0] == "express" or "--sticky" in words
        again = settle_all(copy, way) if several else copy.run([way, run] if run else [way])
        if left == "undo" and way == "resume" and settled(way, again):      # died before it had begun
            again = copy.run(["undo", run] if run else ["undo"])
            way = "undo"
        if again.returncode not in (0, 2) and not settled(way, again):
            raise Failed(f"{way}: status {again.returncode}: {(again.stderr or again.stdout).strip()[:300]}")
        if again.returncode == 2:
            raise Failed(f"{way} left messages out: {again.stdout.strip()[:300]}")
        copy.check_nothing_lost()
        if way == "undo" or left == "undo":
            copy.check_undone("--keep" not in " ".join(map(str, [*words, *steps])) and bool(copy.archived()))
            copy.check_leftovers(True)
        elif began:
            copy.check_finished(left)
            copy.check_leftovers(False)
            if any("end" not in marks for marks in copy.runs()):
                raise Failed(f"resumed, but the run is unfinished: {copy.runs()}")
            if left == "repaired" and '"flaws":[]' not in copy.run(["doctor", "--queue", "--json"]).stdout:
                raise Failed("repaired, but there are flaws")
        elif copy.listing() != copy.before:
            raise Failed("nothing was begun, but the queue is changed")
    finally:
        if not os.environ.get("QS_KEEP"):
            shutil.rmtree(at, ignore_errors=True)


def ways_of(name, kind, point, points):
    if FULL:
        return ("resume", "undo")
    if name in MORE:
        if (point + len(name)) % 5:
            return ()
        point //= 5
    elif point < points * 3 // 4:
        if point % SPARSE.get(name, 1):
            return ()
        point //= SPARSE.get(name, 1)
    # every point is a crash; every third also one of the failures, in turn: all of them are tried on each operation
    if kind == "KILL":
        return (("resume", "undo")[point % 2],)
    others = ("EIO", "LATE", "KILLED", "ENOSPC", "EINTR", "TERM")
    return (("resume", "undo")[point // 3 % 2],) if point % 3 == 0 and others[point // 3 % 6] == kind else ()


def main():
    shim, work, *only = sys.argv[1:]
    fixtures = {queue: os.path.join(work, queue) for queue in QUEUES}
    for queue, path in fixtures.items():
        os.makedirs(path)
        make_fixture(queue, path)
    total = failures = 0
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("QS_JOBS") or os.cpu_count())) as pool:
        for name, (queue, steps, words, least, _) in CASES.items():
            if only and not any(pattern in name for pattern in only):
                continue
            try:
                copy = Copy(queue, fixtures[queue], os.path.join(work, "count"))
                prepare(copy, steps, shim)
                calls = count_calls(copy, words, shim)
            except Failed as why:
                print(f"not ok {name} - {why}", flush=True)
                failures += 1
                continue
            jobs = {}
            for point in range(1, len(calls) + 1):
                for kind in KINDS:
                    for way in ways_of(name, kind, point, len(calls)):
                        at = os.path.join(work, f"{name.replace(' ', '_')}-{point}-{kind}-{way}")
                        jobs[pool.submit(one_point, name, fixtures[queue], at, shim, point, kind, way)] = (point, kind, way)
            wrong = []
            for job in concurrent.futures.as_completed(jobs):
                try:
                    job.result()
                except Exception as why:    # whatever it is, that point has failed
                    wrong.append((*jobs[job], calls[jobs[job][0] - 1], f"{type(why).__name__}: {why}"))
            total += len(jobs)
            if len(calls) < least:
                wrong.append((0, "", "", "", f"only {len(calls)} points, at least {least} expected"))
            if wrong:
                failures += 1
                wrong.sort()
                print(f"not ok {name} - {len(wrong)} of {len(jobs)} runs at {len(calls)} points: {wrong[0]}", flush=True)
                for one in wrong[1:int(os.environ.get('QS_SHOW') or 6)]:
                    print(f"#   {one}", flush=True)
            else:
                print(f"ok {name}: {len(calls)} points, {len(jobs)} runs", flush=True)
    if not only:
        print(f"{'ok' if total >= (60000 if FULL else 2200) else 'not ok'} fault points tested: {total}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
