#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring part of run.sh: runs the programs in turns, takes medians, prints the report as Markdown, and
ends with 1 when a bar does not hold. Makes no queue and changes none."""
import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MESSAGES = ("incoming", "active", "deferred", "hold", "corrupt", "maildrop")
LOGS = ("defer", "bounce", "trace")
DROP_CACHES = "/proc/sys/vm/drop_caches"
MIB = 1 << 20

# The bars of the project.
TRIAGE_TO_FLOOR = 2.5
GROWTH = 1.15
PEAK_A_MESSAGE, PEAK_BASE = 400, 64 * MIB


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, metavar="DIR", help="build directory")
    parser.add_argument("--queue", nargs=2, type=Path, required=True, metavar=("DIR", "CONFIG"))
    parser.add_argument("--many", nargs=2, type=Path, metavar=("DIR", "CONFIG"), help="the large queue")
    parser.add_argument("--memory", type=Path, metavar="DIR",
                        help="a memory file system: the two queues that are compared are copied there")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cold", choices=("yes", "no"), default="yes")
    parser.add_argument("--results", type=Path, required=True, metavar="DIR", help="for the programs' output")
    parser.add_argument("--smoke", action="store_true", help="hold nobody to the bars")
    return parser.parse_args()


class Bench:
    def __init__(self, build, results):
        self.floor = build / "tests/bench/floor"
        self.measure = build / "tests/bench/measure"
        self.qsurgeon = build / "qsurgeon/cli/qsurgeon"
        for program in (self.floor, self.measure, self.qsurgeon):
            if not os.access(program, os.X_OK):
                sys.exit(f"bench: there is no {program}")
        self.results = results
        self.cores = len(os.sched_getaffinity(0))

    def commands(self, queue, config):
        """Programs that read a queue, by name."""
        messages = [queue / name for name in MESSAGES if (queue / name).is_dir()]
        logs = [queue / name for name in LOGS if (queue / name).is_dir()]
        triage = [self.qsurgeon, "--mta", "postfix", "--queue", queue, "--config", config, "triage"]
        commands = {
            "floor, one thread": [self.floor, "-j", "1", *messages],
            f"floor, {self.cores} threads": [self.floor, "-j", str(self.cores), *messages],
            "floor with the logs, one thread": [self.floor, "-j", "1", *messages, *logs],
            "qsurgeon triage": triage,
            "qsurgeon triage on one core": ["taskset", "-c", str(min(os.sched_getaffinity(0))), *triage],
            "postqueue -j": ["postqueue", "-c", config, "-j"],
            "qshape deferred": ["qshape", "-c", config, "deferred"],
            # a text that no message has: all is read
            "grep -rlF": ["sh", "-c", 'grep -rlF "$@"; [ $? = 1 ]', "sh", "no message says this", *messages],
            # GNU tar reads no file when it writes to /dev/null itself
            "tar to a pipe": ["sh", "-c", 'tar -cf - "$@" | cat > /dev/null', "sh", *messages],
        }
        for name in [name for name, command in commands.items() if not shutil.which(command[0])]:
            print(f"bench: left out, as it is not installed: {name}", file=sys.stderr)
            del commands[name]
        return {name: [str(word) for word in command] for name, command in commands.items()}

    def run(self, name, command):
        """One run: seconds, processor seconds, peak bytes."""
        figures, errors = self.results / "figures", self.output(name).with_suffix(".err")
        figures.unlink(missing_ok=True)
        with self.output(name).open("wb") as out, errors.open("wb") as err:
            status = subprocess.call([self.measure, figures, *command], stdout=out, stderr=err)
        if status != 0:
            sys.exit(f"bench: {name} ended with {status}: {errors.read_text(errors='replace')[-500:]}")
        _, seconds, processor, peak = figures.read_text().split()
        return float(seconds), float(processor), int(peak) * 1024

    def output(self, name):
        return self.results / (re.sub(r"\W+", "-", name) + ".out")

    def check(self, commands, messages):
        """Each program must have seen the whole queue, or its time means nothing. Also fills the cache."""
        commands = dict(commands)
        commands["json"] = [*commands["qsurgeon triage"], "--json"]
        seen = {"floor, one thread": lambda text: int(text.split()[1]),
                f"floor, {self.cores} threads": lambda text: int(text.split()[1]),
                "postqueue -j": lambda text: text.count("\n"),
                "json": lambda text: json.loads(text)["scanned"]}
        for name, number in seen.items():
            if name in commands:
                self.run(name, commands[name])
                if number(self.output(name).read_text(errors="replace")) != messages:
                    sys.exit(f"bench: {name} did not see {messages} messages")

    def rounds(self, commands, rounds, before=lambda: None):
        """Medians of seconds and of processor seconds, and the largest peak; all take turns in each round."""
        runs = {name: [] for name in commands}
        for number in range(rounds):
            print(f"bench: round {number + 1} of {rounds}", file=sys.stderr)
            for name, command in commands.items():
                before()
                runs[name].append(self.run(name, command))
        return {name: (statistics.median(r[0] for r in each), statistics.median(r[1] for r in each),
                       max(r[2] for r in each)) for name, each in runs.items()}


def contents(queue):
    """Messages, their bytes, all files, their bytes."""
    def count(names):
        files = size = 0
        for name in names:
            for folder, _, inside in os.walk(queue / name):
                files += len(inside)
                size += sum(os.lstat(os.path.join(folder, file)).st_size for file in inside)
        return files, size
    messages, message_bytes = count(MESSAGES)
    logs, log_bytes = count(LOGS)
    return messages, message_bytes, messages + logs, message_bytes + log_bytes


def table(head, rows):
    print("|" + "|".join(f" {cell} " for cell in head) + "|")
    print("|---|" + "---:|" * (len(head) - 1))
    for row in rows:
        print("|" + "|".join(f" {cell} " for cell in row) + "|")
    print()


def warm(bench, queue, config, rounds, bars):
    messages, message_bytes, files, file_bytes = contents(queue)
    print(f"## {messages:,} messages, {message_bytes / 1e6:,.0f} MB; with the logs {files:,} files, "
          f"{file_bytes / 1e6:,.0f} MB; warm cache, medians of {rounds} rounds\n")
    commands = bench.commands(queue, config)
    bench.check(commands, messages)
    took = bench.rounds(commands, rounds)
    floor, floor_logs = took["floor, one thread"][0], took["floor with the logs, one thread"][0]
    table(["program", "seconds", "to the floor with the logs", "processor s", "µs a message", "peak MiB"],
          [[name, f"{seconds:.2f}", f"{seconds / floor_logs:.2f}", f"{processor:.2f}",
            f"{seconds / messages * 1e6:.1f}", f"{peak / MIB:.0f}"]
           for name, (seconds, processor, peak) in took.items()])
    triage = took["qsurgeon triage"]
    bars.append((f"triage is at most {TRIAGE_TO_FLOOR} times the one-thread floor over every file that it reads: "
                 f"{triage[0] / floor_logs:.2f} (over the messages alone, without their logs: {triage[0] / floor:.2f})",
                 triage[0] <= TRIAGE_TO_FLOOR * floor_logs))
    if "postqueue -j" in took:
        other = took["postqueue -j"][0]
        bars.append((f"triage takes {triage[0]:.2f} s, postqueue -j {other:.2f} s", triage[0] < other))
    return messages


@contextlib.contextmanager
def in_memory(folder, *queues):
    """The queues, or copies of them in a memory file system: a page cache may lose what it holds between two runs."""
    if not folder:
        yield queues
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="qsurgeon-bench.") as there:
        copies = [Path(there) / str(number) for number in range(len(queues))]
        for queue, copy in zip(queues, copies):
            print(f"bench: copying {queue} to {copy}", file=sys.stderr)
            copy.mkdir()
            for name in MESSAGES + LOGS:
                if (queue / name).is_dir():
                    subprocess.check_call(["cp", "-a", queue / name, copy])
        yield copies


def grown(bench, queue, config, messages, large, large_config, rounds, bars):
    many = contents(large)[0]
    print(f"## {many:,} messages against {messages:,}\n")
    runs = {}
    for name, where in (("small", (queue, config)), ("large", (large, large_config))):
        commands = bench.commands(*where)
        if name == "large":
            # it has the message files and logs only, which is not enough for Postfix's own programs
            commands.pop("postqueue -j", None)
            bench.check(commands, many)
        runs[f"triage, {name} queue"] = commands["qsurgeon triage"]
        runs[f"floor, {name} queue"] = commands["floor, one thread"]
    took = bench.rounds(runs, rounds)
    counts = {name: {"small": messages, "large": many}[name.split()[1]] for name in took}
    table(["program", "seconds", "µs a message", "processor µs a message", "peak MiB", "peak bytes a message"],
          [[name, f"{seconds:.2f}", f"{seconds / counts[name] * 1e6:.2f}", f"{processor / counts[name] * 1e6:.2f}",
            f"{peak / MIB:.0f}", f"{peak / counts[name]:.0f}"] for name, (seconds, processor, peak) in took.items()])
    small, big = took["triage, small queue"], took["triage, large queue"]
    growth, processor_growth = (big[i] / many / (small[i] / messages) for i in (0, 1))
    floor_growth = took["floor, large queue"][0] / many / (took["floor, small queue"][0] / messages)
    bars.append((f"time for a message grows by less than {GROWTH - 1:.0%}: {growth - 1:+.1%} (processor time "
                 f"{processor_growth - 1:+.1%}; the floor's time: {floor_growth - 1:+.1%})", growth < GROWTH))
    most = PEAK_A_MESSAGE * many + PEAK_BASE
    bars.append((f"peak memory is below {PEAK_A_MESSAGE} B a message and {PEAK_BASE // MIB} MiB, together "
                 f"{most / MIB:.0f} MiB: {big[2] / MIB:.0f} MiB", big[2] < most))


def cold(bench, queue, config, rounds):
    print("## Cold cache\n")
    if not os.access(DROP_CACHES, os.W_OK):
        print("Not measured: dropping the caches is not allowed here.\n")
        return

    def drop():
        os.sync()
        Path(DROP_CACHES).write_text("3\n")
    names = ("floor, one thread", "floor with the logs, one thread", "qsurgeon triage", "postqueue -j")
    commands = bench.commands(queue, config)
    rounds = min(rounds, 3)
    took = bench.rounds({name: commands[name] for name in names if name in commands}, rounds, drop)
    print(f"Medians of {rounds} rounds, caches dropped before each run.\n")
    floor = took["floor with the logs, one thread"][0]
    table(["program", "seconds", "to the floor with the logs"],
          [[name, f"{each[0]:.2f}", f"{each[0] / floor:.2f}"] for name, each in took.items()])


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1]) / MIB
    return (f"{len(os.sched_getaffinity(0))} cores ({model[1] if model else os.uname().machine}), "
            f"{memory:.0f} GiB of memory, Linux {os.uname().release}, "
            f"load {os.getloadavg()[0]:.1f} at the start")


def main():
    args = options()
    bench = Bench(args.bin, args.results)
    bars = []
    print(f"Machine: {machine()}.\n")
    messages = warm(bench, *args.queue, args.rounds, bars)
    if args.many:
        with in_memory(args.memory, args.queue[0], args.many[0]) as (small, large):
            grown(bench, small, args.queue[1], messages, large, args.many[1], min(args.rounds, 3), bars)
    if args.cold == "yes":
        cold(bench, *args.queue, args.rounds)
    print("## Bars\n")
    for text, holds in bars:
        print(f"- {'holds' if holds else 'DOES NOT HOLD'}: {text}")
    return 0 if args.smoke or all(holds for _, holds in bars) else 1


sys.exit(main())
