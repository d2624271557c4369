# SPDX-License-Identifier: Apache-2.0
"""sendmail_agree.py PREFIX QUEUE SAMPLE MAILQ...: a sendmail queue as mailq -v (its outputs in files) and a reader of the
qf and df files, below, see it and as the program does. The content of about SAMPLE messages is compared."""
import re
import subprocess
import sys
import time
from pathlib import Path

from result import QSURGEON, fields_agree, listed, pending, report

prefix, queue, sample, listings = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]


def unbracket(address):
    return address[1:-1] if address.startswith("<") and address.endswith(">") else address


def read(control):
    """A qf, hf or Qf file and its df, straight from the description of the format."""
    folder = control.parent.parent / "df" if control.parent.name == "qf" else control.parent
    body = (folder / ("df" + control.name[2:])).read_bytes()
    message = {"size": len(body), "recipients": set(), "quarantined": control.name.startswith("hf"),
               "lost": control.name.startswith("Qf")}
    header, reason = b"", ""
    for line in re.split(rb"\n(?![ \t])", control.read_bytes()):
        code, rest = line[:1], line[1:]
        text = rest.decode("utf-8", "surrogateescape")
        if code == b".":
            break
        if code == b"T":
            message["arrival"] = int(rest)
        elif code == b"S":
            message["sender"], reason = unbracket(text), ""         # an M line before this one is the message's own
        elif code == b"M":
            reason = text
        elif code == b"R":
            message["recipients"].add((unbracket(text.partition(":")[2]), reason))
            reason = ""
        elif code == b"H":
            field = re.sub(rb"^\?[^?]*\?(\$\{[^}]*\})?", b"", rest)
            if b": <\x81g>" not in field:               # a template: Return-Path is made at delivery
                header += field + b"\n"
    message["content"] = header + b"\n" + body
    return message


def mailq(files):
    """id -> {size, day and minute, sender, recipients, quarantined} from the outputs of mailq -v."""
    found, current = {}, None
    for line in "".join(Path(f).read_text(errors="surrogateescape") for f in files).splitlines():
        first = re.match(r"(\w{14,})[*X?-]?\s+(\d+)\s+-?\d+[+ ]\s*(\w{3} +\d+ \d\d:\d\d) (.*)", line)
        if first:
            current = found[first[1]] = {"size": int(first[2]), "time": first[3], "sender": unbracket(first[4].strip()),
                                         "recipients": [], "quarantined": False}
        elif line.startswith("     QUARANTINE:"):
            current["quarantined"] = True
        elif line.startswith("\t\t\t\t\t\t"):
            current["recipients"].append([unbracket(line.strip()), ""])
        elif line.startswith("\t\t (") and current["recipients"]:
            current["recipients"][-1][1] = line.strip()[1:-1]
    return found


want = {p.name[2:]: read(p) for p in queue.rglob("[qhQ]f?*") if p.is_file()}
got = listed("--mta", "sendmail", "--queue", queue)
for message in got.values():
    message["waiting"] = pending(message)

ours = {i: {"size": m["message_size"], "arrival": m["arrival_time"],
            "sender": "" if m["sender"] == "MAILER-DAEMON" else m["sender"],
            "recipients": m["waiting"], "quarantined": m["queue_name"] == "quarantine", "lost": m["queue_name"] == "lost"}
        for i, m in got.items()}
fields_agree(f"{prefix}, by qf and df", want, ours, {
    "size": lambda m: m["size"],
    "arrival time": lambda m: m["arrival"],
    "sender": lambda m: m["sender"],
    "recipients": lambda m: sorted(a for a, _ in m["recipients"]),
    "delay reason": lambda m: sorted(m["recipients"]),
    "quarantined": lambda m: m["quarantined"],
    "lost": lambda m: m["lost"],
})

theirs = mailq(listings)
for ident, message in ours.items():
    message["time"] = time.strftime("%b %e %H:%M", time.gmtime(message["arrival"]))
    # mailq shows the first hundred bytes of a reason or so
    shown = {a: r for a, r in theirs.get(ident, {"recipients": ()})["recipients"]}
    message["shown"] = sorted((a, r[:len(shown.get(a, ""))]) for a, r in message["recipients"])
fields_agree(f"{prefix}, by mailq", theirs, ours, {
    "size": lambda m: m["size"],
    "time": lambda m: m["time"],
    "sender": lambda m: m["sender"],
    "recipients and reasons": lambda m: m.get("shown") or sorted(map(tuple, m["recipients"])),
    "quarantined": lambda m: m["quarantined"],
})

chosen, wrong = sorted(want)[::max(1, len(want) // sample)], []
for ident in chosen:
    shown = subprocess.run([QSURGEON, "--mta", "sendmail", "--queue", queue, "show", ident, "--raw"],
                           stdout=subprocess.PIPE).stdout
    if shown != want[ident]["content"]:
        wrong.append(f"{ident}: expected {want[ident]['content'][:300]!r}, shown {shown[:300]!r}")
report(f"{prefix}: content", wrong, len(chosen))
