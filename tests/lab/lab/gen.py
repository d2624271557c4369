# SPDX-License-Identifier: Apache-2.0
"""Make a scenario's messages, envelopes, truth and site description."""
import calendar
import json
import multiprocessing
import shutil
import time
from pathlib import Path

from .corpus import Corpus
from .streams import KINDS
from .text import FIRST, LAST, rng

START = "2026-11-20T06:00:00"
_world = None


class World:
    """What all streams of a scenario share."""

    def __init__(self, scenario, corpus, seed, scale, start):
        self.seed, self.scale, self.corpus = seed, scale, Corpus(corpus)
        self.duration = scenario.get("duration", 14400)
        self.start = calendar.timegm(time.strptime(start, "%Y-%m-%dT%H:%M:%S"))
        self.site = make_site(seed, scenario.get("site", {}))
        self._specs = {s["name"]: s for s in scenario["streams"]}
        if len(self._specs) < len(scenario["streams"]):
            raise ValueError("two streams have the same name")
        self._streams = {}
        self.spam_texts = []            # word sets of the corpus messages that campaigns use
        self.spam_names = {c.get("template") for s in scenario["streams"] for c in (s, s.get("campaign", {}))}

    def stream(self, name):
        if name not in self._streams:
            spec = self._specs[name]
            self._streams[name] = KINDS[spec["kind"]](self, spec)
        return self._streams[name]

    def streams(self):
        return [self.stream(name) for name in self._specs]


def make_site(seed, spec):
    r = rng(seed, "site")
    local = spec.get("local_domains", ["seed.example"])
    relay = spec.get("relay_domains", [])
    names = {}
    while len(names) < spec.get("users", 120):
        first, last = r.choice(FIRST), r.choice(LAST)
        names[r.choice([f"{first}.{last}", f"{first[0]}{last}", first + str(len(names))])] = None
    system = ["root", "postmaster", "abuse", "operator"]
    people = [f"{name}@{(local + relay)[k % len(local + relay)]}" for k, name in enumerate(names)]
    return {"hostname": spec.get("hostname", "mx2.seed.example"), "address": spec.get("address", "192.0.2.25"),
            "local_domains": local, "relay_domains": relay,
            "mynetworks": spec.get("mynetworks", ["10.0.0.0/24"]), "valid_recipients": people,
            "system_recipients": [f"{s}@{d}" for d in local for s in system],
            "local_users": system + ["www-data"] + [p.partition("@")[0] for p in people if p.partition("@")[2] in local]}


def _write(job):
    """Make and write some messages; return their envelope and truth lines."""
    out, jobs = job
    lines = []
    for n, offset, name, i in jobs:
        stream = _world.stream(name)
        item = stream.make(i)
        raw = item.raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n") + b"\n"
        (out / "messages" / f"{n:06d}.eml").write_bytes(raw)
        envelope = {"n": n, "mail_from": item.mail_from, "rcpt_to": item.rcpt_to, "client_addr": item.client[0],
                    "client_name": item.client[1], "helo": item.helo, "sasl_username": item.sasl_username,
                    "uid": item.uid, "arrival": offset}
        truth = {"n": n, "label": stream.label, "campaign": item.campaign, "kind": stream.kind, "stream": name,
                 "note": item.note}
        lines.append((json.dumps(envelope), json.dumps(truth), len(raw)))
    return lines


def generate(args):
    global _world
    scenario = json.loads(Path(args.scenario).read_text())
    seed = scenario.get("seed", 1) if args.seed is None else args.seed
    out = Path(args.out)
    if (out / "messages").exists():
        shutil.rmtree(out / "messages")
    (out / "messages").mkdir(parents=True)
    for stale in ("queue.tsv", "failed.tsv"):
        (out / stale).unlink(missing_ok=True)
    _world = World(scenario, args.corpus and Path(args.corpus), seed, args.scale, args.start or scenario.get("start", START))
    order = sorted((s.arrival(i), s.name, i) for s in _world.streams() for i in range(s.count))
    jobs = [(n, *entry) for n, entry in enumerate(order, 1)]
    chunks = [(out, jobs[k:k + 200]) for k in range(0, len(jobs), 200)]
    total = 0
    with (multiprocessing.get_context("fork").Pool(args.jobs) as pool, open(out / "envelopes.jsonl", "w") as envelopes,
          open(out / "truth.jsonl", "w") as truths):
        for lines in pool.imap(_write, chunks):
            for envelope, truth, size in lines:
                envelopes.write(envelope + "\n")
                truths.write(truth + "\n")
                total += size
    (out / "site.json").write_text(json.dumps(_world.site, indent=1) + "\n")
    print(f"{len(jobs)} messages, {total / 1e6:.1f} MB, seed {seed}, in {out}")
