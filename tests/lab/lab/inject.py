# SPDX-License-Identifier: Apache-2.0
"""Submit a generated storm to a real Postfix or sendmail and record the queue ids it answers with."""
import json
import multiprocessing
import os
import pwd
import random
import re
import socket
import subprocess
import time
from pathlib import Path

from .text import rfc_date

_postfix_id = re.compile(rb"queued as (\w+)")
_sendmail_id = re.compile(rb"2\.0\.0 (\w+) Message accepted")
_state = {}


class Refused(Exception):
    """The server did not take a message."""


class Session:
    """One SMTP connection."""

    def __init__(self, server, source=None):
        self.socket = socket.create_connection(server, timeout=120, source_address=source and (source, 0))
        self.file = self.socket.makefile("rb")
        self.client = None
        self.reply(b"2")

    def send(self, data):
        self.socket.sendall(data)

    def reply(self, expected):
        """Read one reply; its last line must begin with `expected`."""
        line = self.file.readline()
        while line[3:4] == b"-":
            line = self.file.readline()
        if not line:
            raise ConnectionError("the server closed the connection")
        if not line.startswith(expected):
            raise Refused(line.decode("latin-1").strip())
        return line

    def envelope_and_data(self, before, expected, envelope, auth, raw, queue_id):
        """Pipeline commands up to DATA, check every reply, send the message and return its queue id."""
        commands = [*before, f"MAIL FROM:<{envelope['mail_from']}>{auth}",
                    *(f"RCPT TO:<{rcpt}>" for rcpt in envelope["rcpt_to"]), "DATA"]
        self.send("".join(c + "\r\n" for c in commands).encode())
        bad = None
        for want in [*expected, *[b"2"] * (len(commands) - len(before) - 1), b"3"]:
            try:
                self.reply(want)
            except Refused as why:
                bad = bad or why
        if bad:
            raise bad
        self.send(re.sub(rb"(?m)^\.", b"..", raw).replace(b"\n", b"\r\n") + b".\r\n")
        return queue_id.search(self.reply(b"2"))[1].decode()

    def close(self):
        self.socket.close()


# --- Postfix ---------------------------------------------------------------------------------------------------------

def _xtext(value):
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in value)


def _postfix_message(envelope, raw):
    """By SMTP; XCLIENT only where the client differs from the one before. Connections are kept."""
    session = _state.get("session")
    if session is None:
        session = _state["session"] = Session(_state["server"])
    name = envelope["client_name"]
    client = (f"XCLIENT NAME={'[UNAVAILABLE]' if name == 'unknown' else _xtext(name)} ADDR={envelope['client_addr']}"
              f" LOGIN={_xtext(envelope['sasl_username'] or '') or '[UNAVAILABLE]'}", f"EHLO {envelope['helo']}")
    before = [] if client == session.client else client
    session.client = client
    return session.envelope_and_data(before, [b"2"] * len(before), envelope, "", raw, _postfix_id)


def _record(kind, data):
    size, length = len(data), b""
    while True:
        size, low = size >> 7, size & 127
        length += bytes([low | 128 if size else low])
        if not size:
            return kind + length + data


def _postfix_local(envelope, raw):
    """As postdrop leaves it in maildrop/ for a program of that user; pickup and cleanup do the rest."""
    now = time.time()
    name = pwd.getpwuid(envelope["uid"]).pw_name
    records = [_record(b"T", b"%d %d" % (now, now % 1 * 1e6)), _record(b"A", b"rewrite_context=local"),
               _record(b"F", name.encode()), _record(b"S", envelope["mail_from"].encode()),
               *(_record(b"R", rcpt.encode()) for rcpt in envelope["rcpt_to"]), _record(b"M", b""),
               *(_record(b"N", line) for line in raw.rstrip(b"\n").split(b"\n")), _record(b"X", b""), _record(b"E", b"")]
    spool = _state["spool"]
    path = spool / "maildrop" / f"{envelope['n']:06X}{os.getpid():05X}"
    path.touch(mode=0o600)
    os.chown(path, envelope["uid"], path.stat().st_gid)
    path.write_bytes(b"".join(records))
    path.chmod(0o744)                                   # the x bit says: complete
    with socket.socket(socket.AF_UNIX) as trigger:
        trigger.connect(str(spool / "public" / "pickup"))
        trigger.send(b"W")


def _message_id(raw):
    found = re.search(rb"(?mi)^message-id:\s*(\S+)", raw.partition(b"\n\n")[0])
    return found and found[1].decode("latin-1")


def _wait_until_idle(spool):
    """Until nothing is left in maildrop, incoming and active; gives up when the number stops falling."""
    least, since = None, time.time()
    while time.time() - since < 5:
        left = sum(len(files) for queue in ("maildrop", "incoming", "active") for _, _, files in os.walk(spool / queue))
        if not left:
            return
        if least is None or left < least:
            least, since = left, time.time()
        time.sleep(0.3)


def into_postfix(args):
    def setting(name):
        return subprocess.check_output(["postconf", "-c", args.config, "-hx", name], text=True).strip()
    spool, log = Path(setting("queue_directory")), Path(setting("maillog_file"))
    start = log.stat().st_size
    failed, waiting = _run(args, _postfix_message, _postfix_local, {"spool": spool})
    _wait_until_idle(spool)
    _read_log(Path(args.out), log, start, waiting)
    return failed


def _read_log(out, log, start, waiting):
    """Learn from the log which ids local messages (Message-ID -> n) got, and which messages have left the queue."""
    queue = _ids(out / "queue.tsv")
    with open(log, encoding="latin-1") as file:
        file.seek(start)
        for line in file:
            event = re.search(r" postfix/(?:cleanup|qmgr)\[\d+\]: (\w+): (?:message-id=(\S+)|removed$)", line)
            if event and event[2] in waiting:
                queue[event[1]] = waiting.pop(event[2])
            elif event and not event[2]:
                queue.pop(event[1], None)
    (out / "queue.tsv").write_text("".join(f"{n}\t{ident}\n" for ident, n in queue.items()))
    if waiting:
        raise SystemExit(f"{len(waiting)} local messages are not in the log")


# --- sendmail --------------------------------------------------------------------------------------------------------

def loopback(addr):
    """The address in 127.0.0.0/8 that stands for a client; 127.0.0.1 is itself."""
    if addr.startswith("127."):
        return addr
    r = random.Random(addr)
    return f"127.{r.randint(1, 254)}.{r.randrange(256)}.{r.randint(1, 254)}"


def _sendmail_message(envelope, raw):
    """One connection per message, from the client's stand-in address."""
    session = Session(_state["server"], loopback(envelope["client_addr"]))
    try:
        session.send(f"EHLO {envelope['helo']}\r\n".encode())
        session.reply(b"2")
        auth = f" AUTH={_xtext(envelope['sasl_username'])}" if envelope["sasl_username"] else ""
        return session.envelope_and_data([], [], envelope, auth, raw, _sendmail_id)
    finally:
        session.close()


def _sendmail_local(envelope, raw):
    """As the mail submission program hands it on."""
    user, r = pwd.getpwuid(envelope["uid"]).pw_name, random.Random(envelope["n"])
    day = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
    trace = (f"Received: (from {user}@localhost)\n\tby {_state['hostname']} (8.17.1.9/8.17.1.9/Submit) id "
             f"6AK{r.randrange(10**5):05d}{r.randrange(10**6):06d};\n\t{day}\n")
    return _sendmail_message(envelope, trace.encode() + raw)


def into_sendmail(args):
    out = Path(args.out)
    if args.hosts:
        names = {(loopback(e["client_addr"]), e["client_name"]) for e in _envelopes(out) if e["client_name"] != "unknown"}
        lines = {ip: f"{ip}\t{name}\n" for ip, name in sorted(names)}
        lines["127.0.0.1"] = "127.0.0.1\tlocalhost\n"
        with open(args.hosts, "r+") as file:            # in place, as the daemon has it open
            file.truncate()
            file.writelines(lines.values())
    hostname = json.loads((out / "site.json").read_text())["hostname"]
    return _run(args, _sendmail_message, _sendmail_local, {"hostname": hostname})[0]


# --- common ----------------------------------------------------------------------------------------------------------

def common_options(parser):
    parser.add_argument("out", metavar="OUT")
    parser.add_argument("--smtp", required=True, metavar="HOST:PORT")
    parser.add_argument("--jobs", type=int, default=8)


def _ids(table):
    """queue.tsv: queue id -> n."""
    rows = (line.split("\t") for line in table.read_text().splitlines())
    return {ident: int(n) for n, ident in rows}


def _envelopes(out):
    with open(out / "envelopes.jsonl") as file:
        return [json.loads(line) for line in file]


def _submit_some(envelopes):
    """Worker: submit some messages; return (n, queue id or None, error or None, Message-ID of a local one)."""
    results = []
    for e in envelopes:
        raw = (_state["messages"] / f"{e['n']:06d}.eml").read_bytes()
        try:
            ident = (_state["by_smtp"] if e["uid"] is None else _state["local"])(e, raw)
            results.append((e["n"], ident, None, None if ident else _message_id(raw)))
        except (Refused, OSError) as why:
            results.append((e["n"], None, str(why), None))
            if _state.get("session"):
                _state.pop("session").close()
    return results


def _run(args, by_smtp, local, state):
    """Submit all messages of OUT by some processes; write queue.tsv, failed.tsv and the rate.

    Returns the exit status and the messages that got no id yet: Message-ID -> n.
    """
    out, (host, _, port) = Path(args.out), args.smtp.rpartition(":")
    _state.update(state, server=(host, int(port)), messages=out / "messages", by_smtp=by_smtp, local=local)
    envelopes = _envelopes(out)
    chunks = [envelopes[k:k + 40] for k in range(0, len(envelopes), 40)]
    began, done, failed, waiting = time.time(), 0, 0, {}
    with (multiprocessing.get_context("fork").Pool(args.jobs) as pool, open(out / "queue.tsv", "w") as ids,
          open(out / "failed.tsv", "w") as failures):
        for results in pool.imap_unordered(_submit_some, chunks):
            for n, ident, error, msgid in results:
                done, failed = done + 1, failed + bool(error)
                if error:
                    failures.write(f"{n}\t{error}\n")
                elif ident:
                    ids.write(f"{n}\t{ident}\n")
                else:
                    waiting[msgid] = n
    took = time.time() - began
    print(f"{done} messages in {took:.1f} s, {done / took:.0f}/s, {failed} refused")
    return (1 if failed else 0), waiting


def retouch(args):
    """Edit a stopped queue: arrival times as in the scenario, the last one now; sendmail: the clients' own addresses."""
    out, queue = Path(args.out), Path(args.queue)
    envelopes = {e["n"]: e for e in _envelopes(out)}
    latest = max(e["arrival"] for e in envelopes.values())
    ids, count = _ids(out / "queue.tsv"), 0
    for folder, _, names in os.walk(queue):
        is_log = Path(folder).relative_to(queue).parts[:1] == ("defer",)
        for name in names:
            ident = name[2:] if name.startswith("qf") else name
            if ident not in ids or is_log:
                continue
            path, e = Path(folder, name), envelopes[ids[ident]]
            data, stat = path.read_bytes(), path.stat()
            found = re.search(rb"\nT(\d+)\n|T[\x0c-\x11](\d{10}) \d", data)
            then = int(found[1] or found[2])
            new = int(args.now - latest + e["arrival"])
            data = data.replace(b"%d" % then, b"%d" % new, 2)
            for k in range(3):                          # the time in Received may be a little later
                data = data.replace(rfc_date(then + k)[:25].encode(), rfc_date(new + k)[:25].encode())
            if name.startswith("qf"):
                data = data.replace(f"[{loopback(e['client_addr'])}]".encode(), f"[{e['client_addr']}]".encode())
            path.write_bytes(data)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            count += 1
    print(f"{count} files changed")
