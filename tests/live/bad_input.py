# SPDX-License-Identifier: Apache-2.0
"""bad_input.py postfix|sendmail QUEUE: damage a private copy of a queue in many ways and see that each gets one clear
line in the report, that everything else is listed as before, and that the time stays bounded."""
import collections
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from result import QSURGEON, listed

mta, queue = sys.argv[1], Path(sys.argv[2])
place = ["--mta", mta, "--queue", queue]
problems = {}                   # queue ID or file name -> what is wrong with it
unfinished = {"postfix": 2, "sendmail": 1}[mta]         # files below that look as if still being written


def result(name, good, why=""):
    print(f"{'ok' if good else 'not ok'} {mta}: {name}" + ("" if good else f" - {why}"))


def record(kind, data):
    size, length = len(data), b""
    while True:
        size, low = size >> 7, size & 127
        length += bytes([low | 128 if size else low])
        if not size:
            return kind + length + data


def postfix_file(ident, data, what, mode=0o700):
    path = queue / "deferred" / ident[0] / ident
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    if what:
        problems[ident] = what
    return path


def pointer(where):
    return record(b"p", b"%15d" % where)


def damage_postfix():
    sources = sorted(p for p in (queue / "deferred").rglob("*") if p.is_file())
    good = next(p for p in sources if 1200 < p.stat().st_size < 1600 and b"X-Edit" not in p.read_bytes()).read_bytes()
    middle = good.index(b"M\0") + 2                                     # the first record of the content
    for k, cut in enumerate((0, 1, 50, 97, 200, middle, middle + 40, len(good) - 3)):
        postfix_file(f"A{k}000AAAA{k}", good[:cut], f"cut at {cut} of {len(good)}")
    postfix_file("B0000BBBB0", bytes(100000), "zeros")
    postfix_file("B1000BBBB1", os.urandom(5000), "noise")
    postfix_file("B2000BBBB2", good[:97] + b"\xff" * 40 + good[97:], "unknown record types")
    postfix_file("B3000BBBB3", good[:97] + b"T\xff\xff\xff\xff\xff\x7f" + good[97:], "length that overflows")
    postfix_file("B4000BBBB4", good[:97] + b"T\xf0\xff\xff\xff\x07" + good[97:], "length beyond the end")
    # these pointers are only followed at the end of an otherwise good envelope
    loop = good[:middle]
    postfix_file("C0000CCCC0", loop + pointer(len(loop)), "pointer to itself")
    postfix_file("C1000CCCC1", loop + record(b"N", b"line") + pointer(len(loop)), "pointer backwards for ever")
    postfix_file("C2000CCCC2", loop + pointer(10 ** 14), "pointer out of the file")
    postfix_file("C3000CCCC3", loop + record(b"p", b"not a number..."), "pointer that is no number")
    postfix_file("C4000CCCC4", loop + record(b"p", b"-00000000000002"), "negative pointer")
    sparse = postfix_file("D0000DDDD0", good[:middle], "2 GB that are not there")
    os.truncate(sparse, 2 << 30)
    postfix_file("E0000EEEE0", good, None, 0o600)                       # still being written: skipped, and no problem
    deferred = queue / "deferred"
    (queue / "incoming").mkdir(exist_ok=True)
    (queue / "incoming" / "123456.789").write_bytes(good[:200])             # just made, without a queue ID yet
    (deferred / "F0000FFFF0").symlink_to("/etc/passwd")
    problems["F0000FFFF0"] = "symbolic link"
    (deferred / "F1000FFFF1").mkdir()
    problems["F1000FFFF1"] = "directory"
    os.mkfifo(deferred / "F2000FFFF2", 0o700)
    problems["F2000FFFF2"] = "FIFO"
    # long, but a message: the recipients before the content, and the numbers in the size record moved with it
    more = b"".join(record(b"R", b"r%d@far.example" % k) for k in range(100000))
    size = [int(n) for n in good[2:97].split()]
    size[1], size[2] = size[1] + len(more), size[2] + 100000
    head = record(b"C", b" ".join(b"%15d" % n for n in size))
    return [postfix_file("E1000EEEE1", head + good[97:middle - 2] + more + good[middle - 2:], None).name]


def damage_sendmail():
    controls = sorted(p for p in queue.rglob("qf*") if p.is_file())
    good, body = controls[0].read_bytes(), (queue / ("df" + controls[0].name[2:])).read_bytes()

    def message(ident, data, what):
        (queue / f"qf{ident}").write_bytes(data)
        (queue / f"df{ident}").write_bytes(body)
        if what:
            problems[ident] = what
    message("6AM4A0E0000001", b"", None)        # just made: skipped, and no problem
    for k, cut in enumerate((1, 20, len(good) // 2, len(good) - 2)):
        message(f"6AM4A0A{k}000001", good[:cut], f"cut at {cut} of {len(good)}")
    message("6AM4A0B0000001", bytes(100000), "zeros")
    message("6AM4A0B1000001", os.urandom(5000), "noise")
    message("6AM4A0B3000001", b"V99\n" + good.partition(b"\n")[2], "version of the future")
    message("6AM4A0B4000001", good.replace(b"\nS<", b"\n\x01what\nS<", 1), "unknown line")
    os.truncate(queue / "qf6AM4A0B0000001", 2 << 30)
    (queue / "qf6AM4A0F0000001").symlink_to("/etc/passwd")
    problems["6AM4A0F0000001"] = "symbolic link"
    (queue / "qf6AM4A0F1000001").mkdir()
    problems["6AM4A0F1000001"] = "directory"
    os.mkfifo(queue / "qf6AM4A0F2000001", 0o600)
    problems["6AM4A0F2000001"] = "FIFO"
    many = good.replace(b"\nH", b"\n" + b"".join(b"RPFD:<r%d@far.example>\n" % k for k in range(100000)) + b"H", 1)
    message("6AM4A0E1000001", many, None)
    return ["6AM4A0E1000001"]


def triage():
    return json.loads(subprocess.run([QSURGEON, *place, "triage", "--json"], stdout=subprocess.PIPE).stdout)


before, clean = listed(*place), triage()
many = damage_postfix() if mta == "postfix" else damage_sendmail()
began = time.time()
done = subprocess.run([QSURGEON, *place, "list", "--json"], capture_output=True)
took = time.time() - began
result("the scan ends normally", done.returncode in (0, 2), f"status {done.returncode}: {done.stderr[-400:]!r}")
after = {m["queue_id"]: m for m in map(json.loads, done.stdout.splitlines())}
# what a message is taken for may depend on the others
seen = [{k: v for k, v in m.items() if k not in ("cluster", "verdict", "cause", "score", "evidence")}
        for m in before.values()]
changed = [m["queue_id"] for m in seen if {**after.get(m["queue_id"], {}), **m} != after.get(m["queue_id"])]
result(f"the other {len(before)} messages are listed as before", before and not changed, changed[:5])
result("100,000 recipients are listed", all(len(after.get(i, {"recipients": ()})["recipients"]) >= 100000 for i in many))
result("no damaged file is taken for a message", not problems.keys() & after.keys(), sorted(problems.keys() & after.keys()))
result("bounded time", took < 120, f"{took:.0f} s")        # minutes mean that something was read without a bound

report = triage()
lines = collections.Counter()
for problem in report["problems"]:
    text = json.dumps(problem)
    for name in problems:
        lines[name] += bool(re.search(rf"(?<!\w)(qf)?{name}(?!\w)", text))
more = {word: report["scan"][word] - clean["scan"][word] for word in ("unreadable", "skipped")}
result("all of them are counted as unreadable", more["unreadable"] == len(problems), more)
result("what is still being written is counted as that", more["skipped"] == unfinished, more)
wrong = [f"{what} ({name}): {lines[name]} lines" for name, what in problems.items() if lines[name] != 1]
result(f"one line for each of {len(problems)} damaged files", not wrong, "; ".join(wrong))

text = subprocess.run([QSURGEON, *place, "triage", "--problems"], stdout=subprocess.PIPE).stdout.decode()
shown = [name for name in problems if len(re.findall(rf"(?<!\w)(?:qf)?{name}(?!\w)", text)) != 1]
result("--problems shows each once", not shown, shown)
raw = [c for c in text if (ord(c) < 32 and c != "\n") or 0x7f <= ord(c) < 0xa0 or c in "\u202a\u202b\u202c\u202d\u202e"]
result("no control characters in the report", not raw, raw[:10])
