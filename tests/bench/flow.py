#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring part of flow.sh: see there. All traffic stays on 127.0.0.0/8."""
import argparse
import asyncio
import json
import os
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

LAB = Path(__file__).resolve().parent.parent / "lab"
NEXT_HOPS = 16              # storm destinations; real mail has one of its own
STARTED = 15                # slow answers seen before the command is given: the active queue is full of storm


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--queue", type=Path)
    parser.add_argument("--storm", type=int, default=100000)
    parser.add_argument("--real", type=int, default=300)
    parser.add_argument("--slow", type=float, default=5)
    parser.add_argument("--arriving", type=float, default=10)
    parser.add_argument("--bound", type=float, default=600)
    parser.add_argument("--only", action="append", choices=("express", "hold", "delete", "nothing"))
    parser.add_argument("--smoke", action="store_true")
    return parser.parse_args()


def say(text):
    print(f"flow: {text}", file=sys.stderr, flush=True)


class Sink(threading.Thread):
    """Takes real mail at once, and notes when; answers others after a while, with a deferral."""

    def __init__(self, slow):
        super().__init__(daemon=True)
        self.slow, self.real, self.due, self.delivered, self.answered = slow, frozenset(), frozenset(), {}, 0
        self.loop, self.ready = asyncio.new_event_loop(), threading.Event()
        self.port = None

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.listen())
        self.ready.set()
        self.loop.run_forever()

    async def listen(self):
        server = await asyncio.start_server(self.session, "127.0.1.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        for n in range(2, NEXT_HOPS + 2):
            await asyncio.start_server(self.session, f"127.0.1.{n}", self.port)

    async def session(self, reader, writer):
        accepted = []
        try:
            writer.write(b"220 sink.example ESMTP\r\n")
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"RCPT":
                    address = line[line.find(b"<") + 1:line.rfind(b">")].decode("ascii", "replace").lower()
                    if address in self.real:
                        accepted.append(address)
                        writer.write(b"250 2.1.5 Ok\r\n")
                    else:
                        await asyncio.sleep(self.slow)
                        self.answered += 1
                        writer.write(b"451 4.7.1 try again later\r\n")
                elif verb == b"DATA" and accepted:
                    writer.write(b"354 Go on\r\n")
                    name = None
                    while (line := await reader.readline()) not in (b".\r\n", b""):
                        if name is None and line[:11].lower() == b"message-id:":
                            name = line[11:].strip()
                    for address in accepted:
                        if (name, address) in self.due:
                            self.delivered.setdefault((name, address), time.monotonic())
                    accepted = []
                    writer.write(b"250 2.0.0 Ok\r\n")
                elif verb == b"DATA":
                    writer.write(b"554 5.5.1 No valid recipients\r\n")
                elif verb == b"QUIT":
                    writer.write(b"221 2.0.0 Bye\r\n")
                    break
                else:
                    writer.write(b"250-sink.example\r\n250 8BITMIME\r\n" if verb == b"EHLO" else b"250 2.0.0 Ok\r\n")
        except (ConnectionError, ValueError):
            pass
        finally:
            writer.close()


class Flow:
    def __init__(self, args):
        self.args, self.work = args, args.work
        self.sink = Sink(args.slow)
        self.sink.start()
        self.sink.ready.wait()
        self.kept = args.queue or self.work / "queue"
        self.base, self.out = self.kept / "base", self.kept / "out"

    def mta(self, directory, port, *words):
        subprocess.run([LAB / "mta-postfix", directory, str(port), *map(str, words)], check=True)

    def make(self):
        """A queue of all of it, made by a real Postfix, everything due now."""
        scenario = {
            "about": "a stolen account, and the users' own mail", "seed": 11, "duration": 7200,
            "site": {"hostname": "mx2.seed.example", "local_domains": ["seed.example"], "relay_domains": ["client1.example"],
                     "users": 240},
            "streams": [
                {"name": "stolen", "kind": "compromised", "count": self.args.storm, "mode": "auth", "template": "bank",
                 "clients": 25, "mutators": {"url": 0.8, "subject": 0.4, "html_noise": 0.3}},
                {"name": "ham", "kind": "ham", "count": self.args.real}]}
        self.kept.mkdir(parents=True, exist_ok=True)
        self.kept.chmod(0o755)
        (self.kept / "scenario.json").write_text(json.dumps(scenario))
        port = free_port()
        say(f"making {self.args.storm:,} storm and {self.args.real:,} real messages in a Postfix of its own")
        quiet = {"check": True, "stdout": sys.stderr}
        subprocess.run([LAB / "stormlab", "gen", self.kept / "scenario.json", "--out", self.out], **quiet)
        self.mta(self.base, port, "start", "--site", self.out / "site.json", "--set", "enable_long_queue_ids=yes")
        try:
            subprocess.run([LAB / "stormlab", "inject-postfix", self.out, "--config", self.base / "etc", "--smtp",
                            f"127.0.0.1:{port}"], **quiet)
        finally:
            self.mta(self.base, port, "stop")
        now = time.time()
        subprocess.run([LAB / "stormlab", "retouch", self.out, self.base / "spool"], **quiet)
        for path in (self.base / "spool").glob("deferred/**/*"):
            if path.is_file():
                os.utime(path, (now, now - 60))
        (self.kept / "made").write_text("yes\n")

    def prepare(self):
        """The queue, and what is real in it."""
        if not (self.kept / "made").exists():
            self.make()
        truth = {line["n"]: line["label"] for line in map(json.loads, (self.out / "truth.jsonl").open(encoding="utf-8"))}
        due, self.storm = set(), []
        for line in map(json.loads, (self.out / "envelopes.jsonl").open(encoding="utf-8")):
            legit = truth[line["n"]] in ("legit", "ham")
            if legit:
                text = (self.out / "messages" / f"{line['n']:06}.eml").read_bytes()
                name = re.search(rb"(?mi)^message-id:\s*(\S+)", text)[1]
                due.update((name, address.lower()) for address in line["rcpt_to"])
            else:
                self.storm.append(line)
        self.args.storm, self.args.real = len(self.storm), len(truth) - len(self.storm)
        ids = dict(line.split()[:2] for line in (self.out / "queue.tsv").open(encoding="ascii") if line[0].isdigit())
        self.real_ids = {ids[str(n)] for n, label in truth.items() if label in ("legit", "ham") and str(n) in ids}
        real = {address for _, address in due}
        self.sink.due, self.sink.real = frozenset(due), frozenset(real)
        (self.work / "real").write_text("".join(f"{name}\n" for name in sorted(self.real_ids)))
        (self.work / "transport").write_text("".join(f"{a} smtp:[127.0.1.1]:{self.sink.port}\n" for a in sorted(real)))
        letters = "0123456789abcdefghijklmnopqrstuvwxyz"
        (self.work / "others").write_text("".join(
            f"/{letter}@/ smtp:[127.0.1.{2 + i % NEXT_HOPS}]:{self.sink.port}\n" for i, letter in enumerate(letters)) +
            f"/./ smtp:[127.0.1.2]:{self.sink.port}\n")

    def arrive(self, port, stop):
        """New storm mail, like that which waits."""
        number = 0
        with smtplib.SMTP("127.0.0.1", port) as smtp:
            while not stop.wait(1 / self.args.arriving):
                line = self.storm[number % len(self.storm)]
                text = (self.out / "messages" / f"{line['n']:06}.eml").read_bytes()
                number += 1
                try:
                    smtp.sendmail(line["mail_from"], line["rcpt_to"], text)
                except smtplib.SMTPException:
                    pass

    def commands(self, directory):
        """What an admin would type; the perfect filter knows each real queue ID."""
        etc = directory / "etc"
        chosen = (f"jq -R -n '[inputs | {{(.): 1}}] | add' {self.work}/real > {directory}/keep.json; "
                  f"postqueue -c {etc} -j | jq -r --slurpfile keep {directory}/keep.json "
                  "'select($keep[0][.queue_id] | not) | .queue_id' | ")
        then = f"; postqueue -c {etc} -f"
        return {
            "express": ("qsurgeon express --commit", f"{self.args.program} --mta postfix --queue {directory}/spool "
                        f"--config {etc} --state {directory}/state express --commit"),
            "hold": ("postqueue -j, jq, postsuper -h -", f"{chosen} postsuper -c {etc} -h -{then}"),
            "delete": ("postqueue -j, jq, postsuper -d -", f"{chosen} postsuper -c {etc} -d -{then}"),
            "nothing": ("doing nothing", "true"),
        }

    def measure(self, which):
        """(title, seconds of the command, seconds to the last real message or None, real recipients that have it)"""
        directory, port, stop = self.work / which, free_port(), threading.Event()
        directory.mkdir()
        directory.chmod(0o755)
        subprocess.run(["cp", "-a", "--reflink=auto", self.base / "spool", directory / "spool"], check=True)
        self.sink.delivered, self.sink.answered = {}, 0
        self.mta(directory, port, "start", "--site", self.out / "site.json", "--set", "enable_long_queue_ids=yes",
                 "--set", "maximal_queue_lifetime=100d", "--set", "bounce_queue_lifetime=100d",   # a kept queue may be old
                 "--set", "defer_transports=", "--set", "relayhost=", "--set", "minimal_backoff_time=300s",
                 "--set", "queue_run_delay=300s", "--set", "maximal_backoff_time=4000s",
                 "--set", f"qmgr_message_active_limit={max(20, min(20000, self.args.storm // 5))}",
                 "--set", f"transport_maps=texthash:{self.work}/transport, regexp:{self.work}/others")
        arriving = threading.Thread(target=self.arrive, args=(port, stop), daemon=True)
        arriving.start()
        began = time.monotonic()
        while self.sink.answered < STARTED and time.monotonic() - began < 60:
            time.sleep(0.1)
        title, command = self.commands(directory)[which]
        before = len(self.sink.delivered)
        begin = time.monotonic()
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
        took = time.monotonic() - begin
        if done.returncode not in (0, 2):
            sys.exit(f"flow: {title} ended with {done.returncode}: {done.stderr[-500:]}")
        while len(self.sink.delivered) < len(self.sink.due) and time.monotonic() - begin < self.args.bound:
            time.sleep(0.05)
        all_there = len(self.sink.delivered) >= len(self.sink.due)
        last = max(self.sink.delivered.values(), default=begin) - begin if all_there else None
        stop.set()
        arriving.join()
        self.mta(directory, port, "stop")
        shutil.rmtree(directory)
        say(f"{title}: command {took:.1f} s, last real message {'not within the bound' if last is None else f'{last:.1f} s'}, "
            f"{before} of {len(self.sink.due)} had come before")
        return title, took, last, len(self.sink.delivered)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def main():
    args = options()
    flow = Flow(args)
    flow.prepare()
    rows = [flow.measure(which) for which in args.only or ("express", "hold", "delete", "nothing")]
    print(f"## {args.storm:,} storm messages whose destinations answer after {args.slow:g} s, {args.real:,} real ones between "
          f"them, {args.arriving:g} new storm messages a second\n")
    print("| what is done | seconds of the command | until the last real message has arrived | real deliveries made |")
    print("|---|---:|---:|---:|")
    for title, took, last, served in rows:
        print(f"| {title} | {took:.1f} | {'more than ' + format(args.bound, 'g') if last is None else format(last, '.1f')} | "
              f"{served:,} of {len(flow.sink.due):,} |")
    if args.smoke and any(served == 0 for _, _, _, served in rows[:3]):
        sys.exit("flow: no real message was delivered at all")


main()
