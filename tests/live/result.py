# SPDX-License-Identifier: Apache-2.0
"""Result lines of the live tests' Python parts, and what they share."""
import json
import os
import subprocess

QSURGEON = os.environ.get("QSURGEON", "")
PENDING = "todo"                # the state of a recipient who still waits


def report(name, wrong, total):
    """One result line: `wrong` is a list of differences among `total` comparisons; comparing nothing is a failure."""
    if wrong or not total:
        print(f"not ok {name} - {len(wrong)} of {total} differ" + "".join(f"\n    {w}" for w in wrong[:5]))
    else:
        print(f"ok {name} ({total})")


def run(*command, **more):
    """Standard output of a command that must succeed, as bytes."""
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, **more).stdout


def listed(*options):
    """queue_id -> object, of `qsurgeon ... list --json`; an id that comes twice is an error."""
    found = {}
    for line in run(QSURGEON, *options, "list", "--json").splitlines():
        message = json.loads(line)
        if message["queue_id"] in found:
            raise SystemExit(f"not ok list - {message['queue_id']} is listed twice")
        found[message["queue_id"]] = message
    return found


def pending(message):
    """What waits of a message: {(address, reason)}."""
    return {(r["address"], r.get("delay_reason") or "") for r in message["recipients"] if r.get("state", PENDING) == PENDING}


def fields_agree(prefix, want, got, fields):
    """Compare two dictionaries by id: the ids, then each named field by its own function of a message."""
    odd = [f"only expected: {i}" for i in want.keys() - got.keys()] + [f"only listed: {i}" for i in got.keys() - want.keys()]
    report(f"{prefix}: the same messages", odd, len(want))
    both = sorted(want.keys() & got.keys())
    for name, value in fields.items():
        wrong = []
        for i in both:
            a, b = value(want[i]), value(got[i])
            if a != b:
                wrong.append(f"{i}: expected {a!r}, listed {b!r}"[:600])
        report(f"{prefix}: {name}", wrong, len(both))
