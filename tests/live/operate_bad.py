#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""operate_bad.py WORK: see operate-bad.sh; WORK/fixture/spool is a queue of Postfix."""
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time

WORK = sys.argv[1]
PROGRAM = os.environ["QSURGEON"]
ALL = ["--all", "--include-legit"]
number = 0


def check(name, good, why=""):
    print(f"ok {name}" if good else f"not ok {name} - {str(why)[:300]}", flush=True)


def queue():
    global number
    number += 1
    to = f"{WORK}/q{number}"
    os.mkdir(to)
    subprocess.run(["cp", "-a", f"{WORK}/fixture/spool", to], check=True)
    return f"{to}/spool"


def run(spool, *words, state=None, prefix=()):
    return subprocess.run([*prefix, PROGRAM, "--mta", "postfix", "--queue", spool, "--state", state or spool + "-state", *words],
                          capture_output=True, text=True, timeout=100)


def listing(spool):
    found = {}
    for path, directories, names in os.walk(spool):
        if ".qsurgeon" in directories:
            directories.remove(".qsurgeon")
        for name in names:
            full = os.path.join(path, name)
            st = os.lstat(full)
            with open(full, "rb") as file:
                found[os.path.relpath(full, spool)] = (st.st_ino, st.st_mode, st.st_uid, st.st_mtime_ns,
                                                       hashlib.sha256(file.read()).hexdigest())
    return found


ACTIVE = "EE49EE66423"      # the fixture's message in active


def is_back(before, now):
    """All is as before, but that what was taken out of active may be deferred, under another queue ID together with its logs."""
    before, now, fresh = dict(before), dict(now), set()
    for path in [p for p in before if p.endswith("/" + ACTIVE)]:
        stat = before.pop(path)
        here = next((p for p, s in now.items() if s == stat), "")
        now.pop(here, None)
        kind = "deferred" if path.startswith("active/") else path.split("/")[0]
        if here != path and (here.split("/")[0] != kind or here.endswith(ACTIVE)):
            return False
        fresh.add(os.path.basename(here))
    return len(fresh) == 1 and before == now


def one_line(done):
    return len(done.stderr.strip().splitlines()) == 1


def refused(name, spool, before, done, codes):
    check(name, done.returncode in codes and one_line(done) and listing(spool) == before and "Sanitizer" not in done.stderr,
          f"status {done.returncode}: {done.stderr}")


# --- plans
spool = queue()
before = listing(spool)
plan = f"{WORK}/plan"
done = run(spool, "hold", *ALL, "--plan", plan)
check("a plan is written and nothing done", done.returncode == 0 and listing(spool) == before, done.stderr)
data = open(plan, "rb").read()
wrong = []
step = 1 if os.environ.get("QS_FULL") == "1" else 37
cut = f"{WORK}/cut"
for size in [*range(0, len(data), step), len(data) - 1, len(data) - 2]:
    with open(cut, "wb") as file:
        file.write(data[:size])
    done = run(spool, "commit", cut)
    if done.returncode not in (64, 65) or not one_line(done):
        wrong.append((size, done.returncode, done.stderr[:200]))
check(f"a plan that is cut off is refused ({len(data) // step + 3} cuts)", not wrong and listing(spool) == before, wrong[:2])
for name, old, new in (("other host", b'"host":"', b'"host":"x'), ("edited", b'"inode":', b'"inode":1'),
                       ("a path that leads out", b'"path":"deferred', b'"path":"../deferred'),
                       ("an absolute path", b'"path":"deferred', b'"path":"/deferred'),
                       ("an unknown action", b'"action":"hold"', b'"action":"burn"'),
                       ("another version", b'"qsurgeon_plan":1', b'"qsurgeon_plan":9')):
    with open(cut, "wb") as file:
        file.write(data.replace(old, new, 1))
    for words in ([], ["--edited"]):
        if name == "edited" and words:
            continue
        refused(f"plan: {name}{' with --edited' if words else ''}", spool, before, run(spool, "commit", cut, *words), (64, 65))

# --- who may
os.chmod(WORK, 0o755)
plain = run(spool, "hold", *ALL, "--commit", prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
refused("neither root nor the owner: 77", spool, before, plain, (77,))
done = run(spool, "hold", *ALL, "--commit")
check("hold works", done.returncode in (0, 2) and listing(spool) != before, done.stderr)
done = run(spool, "undo")
check("undo after hold: the same listing but for what was active", done.returncode == 0 and
      is_back(before, listing(spool)), done.stderr)

spool = queue()
before = listing(spool)
run(spool, "hold", *ALL, "--commit")
run(spool, "undo")
before = listing(spool)
with open(f"{spool}/.qsurgeon/lock", "rb+") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    refused("two operating: 75", spool, before, run(spool, "hold", *ALL, "--commit"), (75,))
    refused("two operating, undo: 75", spool, before, run(spool, "undo", sorted(os.listdir(spool + "-state"))[-1]), (64, 75))

# --- archives
spool = queue()
before = listing(spool)
done = run(spool, "purge", *ALL, "--commit", "--output", f"{WORK}/nowhere/archive.tar.zst")
refused("an archive in no directory", spool, before, done, (74,))
os.mkdir(f"{WORK}/of-root", 0o755)
done = run(spool, "archive", *ALL, "--commit", "--output", f"{WORK}/of-root/archive.tar.zst")
refused("an archive where the owner of the queue may not write", spool, before, done, (77,))
done = run(spool, "archive", *ALL, "--commit", "--output", __file__)
refused("an archive in a file that exists", spool, before, done, (64,))
done = run(spool, "purge", *ALL, "--commit", "--output", f"/tmp/{'n' * 300}")
check("an archive that cannot be written: the report says so", done.returncode not in (0, 2) and one_line(done), done.stderr)
lost = subprocess.run(["find", f"{spool}/.qsurgeon", "-type", "f"], capture_output=True, text=True, check=True).stdout.count("\n")
check("and how to go on", " resume 20" in done.stdout and " undo 20" in done.stdout, done.stdout)
check("and the messages are in quarantine", lost > 25, lost)
done = run(spool, "undo")
check("and undo brings them back", done.returncode == 0 and
      is_back(before, listing(spool)), done.stderr + done.stdout)

spool = queue()
before = listing(spool)
done = run(spool, "purge", *ALL, "--commit")
state = spool + "-state"
archive = f"{state}/{sorted(os.listdir(state))[-1]}/archive.tar.zst"
check("purge and verify", done.returncode in (0, 2) and run(spool, "verify", archive).returncode == 0, done.stderr)
after = listing(spool)
data = open(archive, "rb").read()
wrong = []
step = max(1, len(data) // (2000 if os.environ.get("QS_FULL") == "1" else 60))
for size in range(0, len(data), step):
    with open(archive, "wb") as file:
        file.write(data[:size])
    done = run(spool, "verify", archive)
    if done.returncode != 65 or not one_line(done):
        wrong.append((size, done.returncode, done.stderr[:200]))
check("an archive that is cut off is damaged", not wrong, wrong[:2])
wrong = []
for at in range(0, len(data), step):
    with open(archive, "wb") as file:
        file.write(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1:])
    done = run(spool, "undo")
    if done.returncode == 0 or listing(spool) != after or "Sanitizer" in done.stderr:
        wrong.append((at, done.returncode, done.stderr[:200]))
        break
check("undo from a damaged archive changes nothing", not wrong, wrong)
with open(archive, "wb") as file:
    file.write(data)
done = run(spool, "undo")
contents = [sorted((os.path.dirname(p).replace("active", "incoming"), *s[1:]) for p, s in x.items()) for x in (before, listing(spool))]
check("undo from the whole archive brings everything back", done.returncode in (0, 2) and contents[0] == contents[1],
      done.stdout + done.stderr)


def hostile(name, change):
    """An archive in which one member is something else."""
    packed = subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(packed)) as old, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new:
        for n, member in enumerate(old.getmembers()):
            body = old.extractfile(member).read()
            if n < 2:
                member, body = change(n, member, body)
            member.size = len(body) if member.isreg() else 0
            new.addfile(member, io.BytesIO(body) if member.isreg() else None)
    path = f"{WORK}/hostile.tar.zst"
    with open(path, "wb") as file:
        file.write(subprocess.run(["zstd", "-cq"], input=out.getvalue(), stdout=subprocess.PIPE, check=True).stdout)
    done = run(spool, "verify", path)
    check(f"archive: {name}", done.returncode == 65 and one_line(done) and "Sanitizer" not in done.stderr,
          f"status {done.returncode}: {done.stderr}")


def rename(to):
    def change(n, member, body):
        if n == 0:
            meta = json.loads(body)
            old, meta["files"][0]["name"] = meta["files"][0]["name"], to
            body = json.dumps(meta).encode()
        else:
            member.name = f"00000001/{to}"
        return member, body
    return change


def kind(type_, link=""):
    def change(n, member, body):
        if n == 1:
            member.type, member.linkname = type_, link
        return member, body
    return change


def spoil(n, member, body):
    return member, body if n == 0 else body[:-1] + b"X"


for name, change in (("..", rename("../../etc/x")), ("an absolute name", rename("/etc/x")), ("a control character", rename("a\nb")),
                     ("a symbolic link", kind(tarfile.SYMTYPE, "/etc/passwd")), ("a hard link", kind(tarfile.LNKTYPE, "/etc/passwd")),
                     ("a device", kind(tarfile.CHRTYPE)), ("a FIFO", kind(tarfile.FIFOTYPE)), ("a directory", kind(tarfile.DIRTYPE)),
                     ("a wrong digest", spoil)):
    hostile(name, change)
with open(f"{WORK}/bomb", "wb") as file:        # a gigabyte of zeros in a few kilobytes
    subprocess.run("head -c 1G /dev/zero | zstd -q -c", shell=True, stdout=file, check=True)
began = time.time()
done = run(spool, "verify", f"{WORK}/bomb")
check("a bomb is no archive", done.returncode == 65 and one_line(done), f"{done.returncode} {done.stderr}")

# --- signals
for sign in (signal.SIGINT, signal.SIGTERM):
    spool = queue()
    for n in range(300):    # enough to be met in the middle
        shutil.copy2(f"{spool}/deferred/4/40B03E6610A", f"{spool}/deferred/4/4{n:04X}{os.urandom(4).hex().upper()}")
    subprocess.run(["chown", "-R", "postfix", f"{spool}/deferred"], check=True)
    before = listing(spool)
    process = subprocess.Popen([PROGRAM, "--mta", "postfix", "--queue", spool, "--state", spool + "-state", "purge", *ALL, "--commit"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not os.path.isdir(f"{spool}/.qsurgeon"):
        time.sleep(0.001)
    process.send_signal(sign)
    out, err = process.communicate()
    check(f"{sign.name}: ends with a report", process.returncode in (0, 2) and "message" in out or process.returncode == -sign, f"{process.returncode} {out[-200:]} {err}")
    check(f"{sign.name}: and says what is in quarantine", "Stopped before" not in out or
          re.match("Purged: (0|([0-9]+)) .*\nIn quarantine: \\2 ", out) or out.startswith("Purged: 0 "), out[:300])
    done = run(spool, "resume")
    left = run(spool, "list", "--ids").stdout.split()
    check(f"{sign.name}: resume finishes the run", done.returncode in (0, 2, 64) and (done.returncode == 64 or not left), done.stderr + done.stdout[:300])

# --- other file systems and full disks
mounted = []


def mount(at, size):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "none", at], capture_output=True).returncode:
        return False
    mounted.append(at)
    return True


try:
    spool = queue()
    os.mkdir(f"{spool}/.qsurgeon")
    before = listing(spool)
    if mount(f"{spool}/.qsurgeon", "1m"):
        os.chown(f"{spool}/.qsurgeon", os.stat(f"{spool}/hold").st_uid, -1)
        refused("quarantine on another file system is refused with a hint", spool, before, run(spool, "hold", *ALL, "--commit"), (64,))
        spool = queue()
        before = listing(spool)
        os.mkdir(f"{WORK}/full")
        mount(f"{WORK}/full", "64k")
        os.chmod(f"{WORK}/full", 0o777)
        for free in range(0, 60, 6):
            with open(f"{WORK}/full/fill", "wb") as file:
                try:
                    file.write(b"x" * ((60 - free) << 10))
                except OSError:
                    pass
            done = run(spool, "purge", *ALL, "--commit", state=f"{WORK}/full/s{free}")
            if done.returncode in (0, 2):
                break
            ok = "Sanitizer" not in done.stderr and one_line(done)
            os.truncate(f"{WORK}/full/fill", 0)
            undone = run(spool, "undo", state=f"{WORK}/full/s{free}")
            now = listing(spool)
            check(f"state on a full disk, {free} KiB free: told in a line, undone",
                  ok and undone.returncode in (0, 64) and is_back(before, now),
                  f"{done.returncode} {done.stderr} / {undone.returncode} {undone.stderr}")
            subprocess.run(["rm", "-rf", f"{WORK}/full/s{free}"], check=True)
        check("with room enough it works", done.returncode in (0, 2), done.stderr)

        # the queue itself, and its archives, on a file system that is full
        os.mkdir(f"{WORK}/small")
        mount(f"{WORK}/small", "2m")
        subprocess.run(["cp", "-a", f"{WORK}/fixture/spool", f"{WORK}/small"], check=True)
        spool, state = f"{WORK}/small/spool", f"{WORK}/small/state"
        digests = sorted(facts[4] for facts in listing(spool).values())

        def fill(free):
            """Leaves so many KiB of it free; None: all that is not used."""
            with open(f"{WORK}/small/fill", "wb") as file:
                now = os.statvfs(f"{WORK}/small")
                file.write(b"x" * max(0, now.f_bavail * now.f_frsize - (free << 10)) if free is not None else b"")

        def settle(way):
            """Settles the newest run with room enough. Returns what was said, and whether each file is in the queue once."""
            fill(None)
            runs = sorted(os.listdir(state)) if os.path.isdir(state) else []
            settled = run(spool, way, *runs[-1:], state=state)
            return settled, sorted(facts[4] for facts in listing(spool).values()) == digests

        failed = {"purge": 0, "restore": 0}
        for free in range(0, 240, 12):
            fill(free)
            done = run(spool, "purge", *ALL, "--commit", state=state)
            failed["purge"] += done.returncode not in (0, 2)
            told = done.returncode in (0, 2) or one_line(done) and "Sanitizer" not in done.stderr
            undone, whole = settle("undo")
            check(f"purge, {free} KiB free: told in a line, undone", told and whole and undone.returncode in (0, 64),
                  f"{done.returncode} {done.stderr} / {undone.returncode} {undone.stderr}{undone.stdout}")
            subprocess.run(["rm", "-rf", state], check=True)
            if done.returncode in (0, 2):
                break
        run(spool, "purge", *ALL, "--commit", state=state)
        archive = f"{state}/{sorted(os.listdir(state))[-1]}/archive.tar.zst"
        for free in range(0, 1000, 100):
            fill(free)
            done = run(spool, "restore", archive, "--commit", state=state)
            failed["restore"] += done.returncode not in (0, 2)
            told = done.returncode in (0, 2) or one_line(done) and "Sanitizer" not in done.stderr
            resumed, whole = settle("resume")
            if not whole:           # not begun, or ended by the failure: the rest is in the archive
                run(spool, "restore", archive, "--commit", state=state)
                whole = sorted(facts[4] for facts in listing(spool).values()) == digests
            check(f"restore, {free} KiB free: told in a line, the rest comes later", told and whole,
                  f"{done.returncode} {done.stderr} / {resumed.returncode} {resumed.stderr}{resumed.stdout}")
            if done.returncode in (0, 2):
                break
            subprocess.run(["rm", "-rf", spool + "/.qsurgeon", state], check=True)
            run(spool, "purge", *ALL, "--commit", state=state)
            archive = f"{state}/{sorted(os.listdir(state))[-1]}/archive.tar.zst"
        check("the disk was full for purge and for restore, and each worked with room enough",
              min(failed.values()) >= 3 and done.returncode in (0, 2), failed)
    else:
        print("skip other file systems - no mount here")
finally:
    for at in reversed(mounted):
        subprocess.run(["umount", at], check=False)
