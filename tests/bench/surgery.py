#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring part of surgery.sh: see there. Works on a copy of the queue; ends with 1 when a bar does not hold."""
import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HOLD, DELETE, ARCHIVE = 1.5, 6.0, 1.0       # the bars: at least so many times as fast


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, metavar="DIR", help="build directory")
    parser.add_argument("--queue", nargs=2, type=Path, required=True, metavar=("DIR", "CONFIG"))
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="hold nobody to the bars")
    return parser.parse_args()


class Surgery:
    def __init__(self, args):
        self.source, self.work = args.queue[0].resolve(), args.work
        self.measure, self.floor = args.bin / "tests/bench/measure", args.bin / "tests/bench/floor"
        self.spool, self.etc = self.work / "copy/spool", self.work / "copy/etc"
        (self.work / "copy").mkdir()
        (self.work / "copy").chmod(0o755)
        say(f"copying {self.source}")
        subprocess.run(["cp", "-a", "--reflink=auto", self.source, self.spool], check=True)
        shutil.copytree(args.queue[1], self.etc)
        data = self.work / "copy/data"
        data.mkdir()
        log = self.work / "copy/maillog"
        log.touch()
        for path in (data, log):
            shutil.chown(path, "postfix")
        subprocess.run(["postconf", "-c", self.etc, "-e", f"queue_directory = {self.spool}", f"data_directory = {data}",
                        f"maillog_file = {log}"], check=True)
        self.qsurgeon = [args.bin / "qsurgeon/cli/qsurgeon", "--mta", "postfix", "--queue", self.spool, "--config", self.etc,
                         "--state", self.work / "state"]
        names = sorted(path.name for path in self.spool.glob("deferred/**/*") if path.is_file())
        self.count = len(names)
        chosen = random.Random(1).sample(names, len(names) // 2)
        self.ids = self.work / "ids"
        self.ids.write_text("".join(f"{name}\n" for name in sorted(chosen)))
        self.chosen = len(chosen)
        self.took = {}

    def run(self, name, command, shell=False):
        """Seconds and processor seconds of one run, which must succeed."""
        if name:            # all find the queue's files in memory, as after the triage that chose the messages
            dirs = [self.spool / name for name in ("deferred", "hold", "defer")]
            subprocess.run([self.floor, "-j", str(len(os.sched_getaffinity(0))), *dirs], stdout=subprocess.DEVNULL, check=True)
        figures, errors = self.work / "figures", self.work / "errors"
        figures.unlink(missing_ok=True)
        words = ["bash", "-o", "pipefail", "-c", command] if shell else command
        with self.ids.open("rb") as ids, errors.open("wb") as err:
            done = subprocess.run([self.measure, figures, *words], stdin=ids, stdout=subprocess.DEVNULL, stderr=err, check=False)
        if done.returncode != 0:
            sys.exit(f"bench: {name} ended with {done.returncode}: {errors.read_text(errors='replace')[-500:]}")
        _, seconds, processor, _ = figures.read_text().split()
        if name:
            self.took.setdefault(name, []).append((float(seconds), float(processor)))
            say(f"{name}: {float(seconds):.2f} s, processor {float(processor):.2f} s")

    def held(self):
        return sum(1 for _ in os.scandir(self.spool / "hold"))

    def expect(self, name, number, wanted):
        if number != wanted:
            sys.exit(f"bench: {name}: {number} messages, not {wanted}")

    def restore(self):
        """What a removal took is copied back; the names of the copies are kept, as a Postfix that does not run wants no more."""
        subprocess.run(["cp", "-an", f"{self.source}/.", self.spool], check=True)
        subprocess.run(["sync", "-f", self.spool], check=True)

    def round(self):
        listed = ["--id", "-", "--include-legit", "--commit"]
        self.run("postsuper -h -", ["postsuper", "-c", self.etc, "-h", "-"])
        self.expect("postsuper -h -", self.held(), self.chosen)
        self.run("", ["postsuper", "-c", self.etc, "-H", "ALL"])
        self.run("qsurgeon hold", [*self.qsurgeon, "hold", *listed])
        self.expect("qsurgeon hold", self.held(), self.chosen)
        self.run("qsurgeon undo of hold", [*self.qsurgeon, "undo"])
        self.expect("undo", self.held(), 0)
        self.run("qsurgeon purge --keep", [*self.qsurgeon, "purge", "--keep", *listed])
        self.run("qsurgeon undo of purge --keep", [*self.qsurgeon, "undo"])

        self.run("postsuper -d -", ["postsuper", "-c", self.etc, "-d", "-"])
        self.restore()
        # the archive step: the whole purge, without what purge --keep takes
        self.run("qsurgeon purge", [*self.qsurgeon, "purge", *listed])
        self.restore()
        lists = (f"cd {self.spool} && sed 's,^\\(.\\),deferred/\\1/\\1,' > {self.work}/messages && "
                 f"sed 's,^deferred,defer,' {self.work}/messages > {self.work}/logs && "
                 f"cat {self.work}/messages {self.work}/logs > {self.work}/all")
        subprocess.run(["bash", "-c", lists], stdin=self.ids.open("rb"), check=True)
        self.run("tar | zstd -1, sync, unlink", (
            f"cd {self.spool} && tar -cf - -T {self.work}/all | zstd -1 -q -T0 -f -o {self.work}/bare.tar.zst && "
            f"sync {self.work}/bare.tar.zst && "
            f"python3 -c 'import os, sys; [os.unlink(line[:-1]) for line in open(sys.argv[1])]' {self.work}/all"), shell=True)
        self.restore()
        shutil.rmtree(self.work / "state")

    def median(self, name, which=0):
        return statistics.median(run[which] for run in self.took[name])


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def main():
    args = options()
    bench = Surgery(args)
    for number in range(args.rounds):
        say(f"round {number + 1} of {args.rounds}")
        bench.round()
    print(f"## Surgery on {bench.chosen:,} of {bench.count:,} messages, medians of {args.rounds} rounds, "
          f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| program | seconds | processor s | µs a message |\n|---|---:|---:|---:|")
    for name in bench.took:
        print(f"| {name} | {bench.median(name):.2f} | {bench.median(name, 1):.2f} | "
              f"{bench.median(name) / bench.chosen * 1e6:.1f} |")
    hold, keep = bench.median("qsurgeon hold"), bench.median("qsurgeon purge --keep")
    archive = bench.median("qsurgeon purge") - keep
    other = {name: bench.median(name) for name in ("postsuper -h -", "postsuper -d -", "tar | zstd -1, sync, unlink")}
    bars = [(f"{name} is {other[rival] / ours:.2f} times as fast as {rival} (at least {least})", other[rival] / ours >= least)
            for name, ours, rival, least in (
                ("hold", hold, "postsuper -h -", HOLD), ("purge --keep", keep, "postsuper -h -", HOLD),
                ("hold", hold, "postsuper -d -", DELETE), ("purge --keep", keep, "postsuper -d -", DELETE),
                ("the archive step", archive, "tar | zstd -1, sync, unlink", ARCHIVE))]
    print("\n## Bars\n")
    for text, holds in bars:
        print(f"- {'holds' if holds else 'DOES NOT HOLD'}: {text}")
    return 0 if args.smoke or all(holds for _, holds in bars) else 1


sys.exit(main())
