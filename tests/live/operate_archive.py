#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""operate_archive.py WORK SINK PORT-A PORT-B PORT-S LAB: see operate-archive.sh. Postfix in WORK/a and WORK/b, sendmail in WORK/s
and WORK/t (PORT-S 0: none)."""
import collections
import glob
import json
import os
import re
import shutil
import smtplib
import socketserver
import subprocess
import sys
import threading
import time

WORK, LAB = sys.argv[1], sys.argv[6]
SINK, PORT_A, PORT_B, PORT_S = map(int, sys.argv[2:6])
PROGRAM = os.environ["QSURGEON"]
COUNT = 40 if os.environ.get("QS_FULL") == "1" else 8
LOCK = threading.Lock()
closed, taken = True, []
late = False            # do those to "done" wait, too? A queue run of sendmail may give up before it comes to them


class Session(socketserver.StreamRequestHandler):
    """Takes mail for recipients that begin with "done" always, for the others when it is open."""

    def handle(self):
        sender, recipients = "", []
        try:
            self.wfile.write(b"220 sink.example ESMTP\r\n")
            for raw in self.rfile:
                line = raw.decode("utf-8", "surrogateescape").strip()
                verb = line[:4].upper()
                if verb == "EHLO":
                    self.wfile.write(b"250-sink.example\r\n250-8BITMIME\r\n250-DSN\r\n250 PIPELINING\r\n")
                elif verb == "MAIL":
                    sender, recipients = line[5:], []
                    self.wfile.write(b"250 2.0.0 Ok\r\n")
                elif verb == "RCPT":
                    if closed and not line.startswith("RCPT TO:<done"):
                        self.wfile.write(b"451 4.7.1 come back later\r\n")
                    else:
                        recipients.append(line[5:])
                        self.wfile.write(b"250 2.1.5 Ok\r\n")
                elif verb == "DATA" and recipients:
                    self.wfile.write(b"354 Go on\r\n")
                    text = b""
                    for part in self.rfile:
                        if part == b".\r\n":
                            break
                        text += part[1:] if part.startswith(b".") else part
                    with LOCK:
                        taken.append((sender, recipients, text))
                    self.wfile.write(b"250 2.0.0 Ok\r\n")
                elif verb == "DATA":
                    self.wfile.write(b"554 5.5.1 No valid recipients\r\n")
                elif verb == "QUIT":
                    self.wfile.write(b"221 2.0.0 Bye\r\n")
                    return
                else:
                    self.wfile.write(b"250 2.0.0 Ok\r\n")
        except (ConnectionError, ValueError):
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 200


def check(name, good, why=""):
    print(f"ok {name}" if good else f"not ok {name} - {str(why)[:500]}", flush=True)


def where(name):
    mta = "postfix" if name in "ab" else "sendmail"
    place = ["--queue", f"{WORK}/{name}/spool", "--config", f"{WORK}/{name}/etc"] if mta == "postfix" else \
        ["--queue", f"{WORK}/{name}/root/mqueue"]
    return ["--mta", mta, *place, "--state", f"{WORK}/state-{name}"]


def run(name, *words, codes=(0,)):
    done = subprocess.run([PROGRAM, *where(name), *words], capture_output=True, text=True, timeout=120)
    check(f"{name}: {' '.join(w for w in words if not w.startswith('/'))}", done.returncode in codes and
          "Sanitizer" not in done.stderr, f"status {done.returncode}: {done.stdout}{done.stderr}")
    return done


def messages(name):
    done = subprocess.run([PROGRAM, *where(name), "list", "--json"], capture_output=True, text=True, timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]


def flush(name):
    words = ["postqueue", "-c", f"{WORK}/{name}/etc", "-f"] if name in "ab" else [f"{LAB}/mta-sendmail", f"{WORK}/{name}", "1", "run", "-q"]
    subprocess.run(words, check=False, capture_output=True, timeout=120)


def wait(what, seconds=60):
    for _ in range(seconds * 4):
        if what():
            return True
        time.sleep(0.25)
    return False


HEAD = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
# sender, recipients, option of MAIL, option of RCPT, body; the body's lines have what SMTP, mbox and tar could stumble over
CASES = [
    ("sender@from.example", ["one@there.example", "done@there.example", "two@there.example"], "", "", "plain\r\n"),
    ("", ["null@there.example"], "", "", "to the null sender\r\n"),
    ("dsn@from.example", ["dsn@there.example"], " RET=HDRS ENVID=a+2Bb", " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@elsewhere.example", "dsn\r\n"),
    ("-oQ@from.example", ["-bd@there.example", "-f@there.example"], "", "", "addresses like options\r\n"),
    ("\"a b\"@from.example", ["\"c\\\"d\"@there.example"], "", " NOTIFY=NEVER", "quoted addresses\r\n"),
    ("eight@from.example", ["eight@there.example"], " BODY=8BITMIME", "", "gr\u00fc\u00dfe \u4f60\u597d\r\n"),
    ("dots@from.example", ["dots@there.example"], "", "", ".\r\n..\r\n.x\r\nFrom here\r\n>From there\r\n\r\n\r\nend\r\n"),
    ("long@from.example", ["long@there.example"], "", "", "x" * 900 + "\r\n" + "line\r\n" * 2000),
]


def submit(port, only=None):
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as smtp:
        smtp.ehlo()
        for n in range(COUNT):
            sender, recipients, mail, rcpt, body = CASES[n % len(CASES)]
            for command in [f"MAIL FROM:<{sender}>{mail}"] + [f"RCPT TO:<{r}>{rcpt}" for r in recipients]:
                code, words = smtp.docmd(command)
                if code != 250:
                    check(f"submission: {command}", False, words)
            text = (f"From: someone@from.example\r\nTo: somebody@there.example\r\nSubject: case {n}\r\nX-Number: {n}\r\n"
                    f"Date: Sun, 22 Nov 2026 01:02:03 +0000\r\nMessage-ID: <{n}@archive.example>\r\n{HEAD}\r\n{body}")
            code, words = smtp.data(text.encode())
            check(f"submission of {n}", code == 250, words) if code != 250 else None


def normal(text):
    """Header without what each hop adds, unfolded; and the body."""
    head, _, body = text.partition(b"\r\n\r\n")
    fields = re.sub(rb"\r\n[ \t]+", b" ", head).split(b"\r\n")
    return b"\n".join(f for f in fields if not f.lower().startswith((b"received:", b"return-path:", b"x-"))), body


def expected(envelope_id):
    wanted = collections.Counter()
    for n in range(COUNT):
        sender, recipients, mail, rcpt, body = CASES[n % len(CASES)]
        notify, envid = re.search(r"NOTIFY=(\S+)", rcpt), " ".join(sorted(re.findall(r"(?:RET|ENVID)=\S+", mail)))
        for r in recipients:
            if late or not r.startswith("done"):
                wanted[n, sender, r, ",".join(sorted(notify[1].split(","))) if notify else "", envid if envelope_id else "", body.encode()] += 1
    return wanted


def found():
    have, heads = collections.Counter(), set()
    with LOCK:
        for sender, recipients, text in taken:
            head, body = normal(text)
            number = re.search(rb"^X-Number: (\d+)", text, re.M)
            heads.add((int(number[1]), head))
            envid = " ".join(sorted(re.findall(r"(?:RET|ENVID)=\S+", sender)))
            for r in recipients:
                notify = re.search(r"NOTIFY=(\S+)", r)
                have[int(number[1]), sender[sender.find("<") + 1:sender.rfind(">", 0, (sender + " ").find("> ") + 1)],
                     r[r.find("<") + 1:(r + " ").find("> ")], ",".join(sorted(notify[1].split(","))) if notify else "",
                     envid, body] += 1
    return have, heads


def delivers(name, title, envelope_id=True):
    """Opens the sink; everything in the queue is delivered to whom it should be, once."""
    global closed
    closed = False
    emptied = wait(lambda: (flush(name), time.sleep(0.5), not messages(name))[2], 45)
    closed = True
    have, heads = found()
    with LOCK:
        taken.clear()
    wanted = expected(envelope_id)
    check(f"{title}: delivered", emptied, messages(name)[:2])
    check(f"{title}: envelopes, DSN options and bodies, each once", have == wanted,
          f"missing {list((wanted - have).items())[:2]} too many {list((have - wanted).items())[:2]}")
    check(f"{title}: headers", len(heads) == COUNT and all(b"Subject: case %d" % n in h for n, h in heads), heads)


def deferred(name):
    """Each was tried once: those to "done" are delivered."""
    flush(name)
    good = wait(lambda: len(messages(name)) == COUNT and all(
        m["queue_name"] in ("deferred", "mqueue") and any(r.get("delay_reason") for r in m["recipients"]) for m in messages(name)))
    time.sleep(2)               # a queue run of sendmail ends
    check(f"{name}: all messages wait", good, messages(name)[:2])


def archive_of(name):
    global late
    late = any(r["address"].startswith("done") and r["state"] == "todo" for m in messages(name) for r in m["recipients"])
    with LOCK:
        taken.clear()       # from here on it counts, also what a server tries at once
    path = f"{WORK}/archives/{name}.tar.zst"
    run(name, "archive", "--all", "--include-legit", "--commit", "--output", path)
    check(f"{name}: nothing is left in the queue", not messages(name))
    return path


def restored_elsewhere(archive, target, title):
    run(target, "restore", archive)
    check(f"{title}: a dry run changes nothing", not messages(target))
    run(target, "restore", archive, "--commit")
    check(f"{title}: all are there", len(messages(target)) == COUNT, len(messages(target)))
    again = run(target, "restore", archive, "--commit", codes=(64,))
    check(f"{title}: no second time", "--again" in again.stderr and len(again.stderr.splitlines()) == 1, again.stderr)
    run(target, "undo")
    check(f"{title}: undo", not messages(target), messages(target)[:1])
    left = [p for p in glob.glob(f"{WORK}/{target}/**/.qsurgeon/**", recursive=True) if os.path.isfile(p) and not p.endswith("/lock")]
    check(f"{title}: undo leaves nothing", not left, left[:3])
    run(target, "restore", archive, "--commit")


os.mkdir(f"{WORK}/archives")
shutil.chown(f"{WORK}/archives", "postfix")     # archives are written by the queue's owner
server = Server(("127.0.0.1", SINK), Session)
threading.Thread(target=server.serve_forever, daemon=True).start()

submit(PORT_A)
deferred("a")
a = archive_of("a")
run("a", "archives")
restored_elsewhere(a, "b", "Postfix to Postfix")
for tool in (["postfix", "-c", f"{WORK}/b/etc", "check"], ["postsuper", "-c", f"{WORK}/b/etc", "-s"]):
    done = subprocess.run(tool, capture_output=True, text=True, timeout=100)
    check(f"{tool[0]} finds nothing", done.returncode == 0 and not (done.stdout + done.stderr).strip(), done.stdout + done.stderr)
delivers("b", "Postfix to Postfix")

if PORT_S:
    os.mkdir(f"{WORK}/s/root/mqueue/.qsurgeon")     # an empty directory that no configuration names would be no queue
    done = run("s", "restore", a, "--commit", codes=(64,))
    check("another mail server: refused with a hint", "--resubmit" in done.stderr, done.stderr)
    run("s", "restore", a, "--resubmit", "--program", f"{WORK}/submit-s")
    check("resubmit: a dry run changes nothing", not messages("s"))
    run("s", "restore", a, "--resubmit", "--program", f"{WORK}/submit-s", "--commit")
    run("s", "restore", a, "--resubmit", "--program", f"{WORK}/submit-s", "--commit", codes=(64,))
    run("s", "undo", codes=(64,))
    check("Postfix to sendmail: all are there", len(messages("s")) == COUNT, len(messages("s")))
    delivers("s", "Postfix to sendmail")

    submit(PORT_S)
    deferred("s")
    s = archive_of("s")
    restored_elsewhere(s, "t", "sendmail to another layout")
    delivers("t", "sendmail to another layout")
    run("b", "restore", s, "--resubmit", "--commit")
    delivers("b", "sendmail to Postfix", False)      # Postfix's own submission drops RET and ENVID
    run("b", "restore", s, "--resubmit", "--again", "--program", f"127.0.0.1:{PORT_B}", "--commit")
    delivers("b", "sendmail to Postfix by SMTP")
