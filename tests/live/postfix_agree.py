# SPDX-License-Identifier: Apache-2.0
"""postfix_agree.py PREFIX DIR SAMPLE: DIR/spool, the queue of the stopped or quiet instance with configuration DIR/etc,
as postqueue -j and postcat see it and as the program does. The content of about SAMPLE messages is compared."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from result import QSURGEON, fields_agree, listed, pending, report, run

QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")
prefix, home, sample = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
spool, config = home / "spool", home / "etc"

want = {}
for line in run("postqueue", "-c", config, "-j", stderr=subprocess.DEVNULL).splitlines():
    message = json.loads(line)
    want[message["queue_id"]] = message
got = listed("--mta", "postfix", "--queue", spool, "--config", config)

fields_agree(prefix, want, got, {
    "queue name": lambda m: m["queue_name"],
    "sender": lambda m: "" if m["sender"] == "MAILER-DAEMON" else m["sender"],
    "recipients": lambda m: sorted({address for address, _ in pending(m)}),
    "delay reason": lambda m: sorted(pending(m)),
    "size": lambda m: m["message_size"],
    "arrival time": lambda m: m["arrival_time"],
    "forced expire": lambda m: m["forced_expire"],
})

# content, byte for byte: in small copies of the queue, so that `show` need not scan the large one each time
files = {p.name: p for queue in QUEUES for p in (spool / queue).rglob("*") if p.is_file() and p.name in want}
chosen = sorted(files)[::max(1, len(files) // sample)]
mini, wrong = home / "mini", []
for start in range(0, len(chosen), 50):
    for queue in QUEUES:
        (mini / queue).mkdir(parents=True)
    some = chosen[start:start + 50]
    for ident in some:
        copy = mini / files[ident].relative_to(spool)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(files[ident], copy)
    for ident in some:
        theirs = run("postcat", "-c", config, "-h", "-b", files[ident])
        ours = subprocess.run([QSURGEON, "--mta", "postfix", "--queue", mini, "show", ident, "--raw"],
                              stdout=subprocess.PIPE).stdout
        if ours != theirs:
            at = len(os.path.commonprefix([ours, theirs]))
            wrong.append(f"{ident}: differs at byte {at}: expected {theirs[at:at + 60]!r}, shown {ours[at:at + 60]!r}")
    shutil.rmtree(mini)
report(f"{prefix}: content", wrong, len(chosen))
