# SPDX-License-Identifier: Apache-2.0
"""docs.py PROGRAM SOURCE QUEUE [--update]: compare README.md with the program; see docs.sh."""
import json
import re
import subprocess
import sys
from pathlib import Path

program, source, queue = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
failed = False


def check(name, good, why=""):
    global failed
    failed |= not good
    print("ok" if good else "not ok", "docs:", name, "" if good else why)


def output(*arguments):
    return subprocess.run([program, *arguments], check=True, capture_output=True).stdout.decode()


readme = (source / "README.md").read_text()
overview = output("help")
block = re.compile(r"(<!-- qsurgeon help -->\n```text\n).*?(```\n)", re.S)
if "--update" in sys.argv:
    (source / "README.md").write_text(block.sub(lambda m: m[1] + overview + m[2], readme))
    sys.exit(0)
check("the help text stands in the README", (block.search(readme) or [""])[0].split("\n", 2)[-1] == overview + "```\n",
      "`sh tests/cli/docs.sh PROGRAM SOURCE --update` writes it")

commands = re.findall(r"^  ([a-z-]+) ", overview.split("\nCommands\n")[1].split("\n\n")[0], re.M)
headings = re.findall(r"^### `([a-z-]+)", readme, re.M)
check("commands are found", "triage" in commands and len(commands) >= 9, commands)
check("each command has its section, and no other", sorted(commands) == sorted(headings),
      set(commands) ^ set(headings))

sections = dict(zip(headings, re.split(r"^### `.*\n", readme, flags=re.M)[1:]))
known = set()
for command in commands:
    words = output("help", command)
    own = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", words.partition("\nOptions\n")[2].partition("\n\n")[0], re.M))
    known |= set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", words, re.M))
    check(f"{command}: usage", words.startswith(f"usage: qsurgeon [WHERE] {command}"), words)
    table = re.search(r"Options: (.*?)(?:\n\n|\Z)", sections.get(command, ""), re.S)
    told = set(re.findall(r"`(--[a-z-]+)", table[1])) if table else set()
    check(f"{command}: its options stand in its section", told == own, told ^ own)
prose = re.sub(r"^cmake .*$", "", readme, flags=re.M)
told = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", prose))
check("the README has no option that the program lacks", told <= known, told - known)

codes = {int(n) for n in re.findall(r"= (\d+),", (source / "qsurgeon/cli/exit.h").read_text())}
check("exit codes of the README", codes == {int(n) for n in re.findall(r"^\| (\d+) \|", readme, re.M)})
said = output("help", "list").partition("Exit codes:")[2]
check("exit codes of the help text", codes == {int(n) for n in re.findall(r"(?:^|;|\n)\s*(\d+) ", said)}, said)

names = set(re.findall(r'QS_CAUSE_\w+,\s+/\* "([a-z-]+)"', (source / "include/qsurgeon/verdict.h").read_text()))
told = set(re.findall(r"^\| `([a-z-]+)` \|", readme.partition("## Verdicts")[2].partition("\n## ")[0], re.M))
check("causes", len(names) > 10 and names <= told, names - told)

members = set()


def collect(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if re.fullmatch(r"[a-z_]+", key):
                members.add(key)
            collect(inner)
    elif isinstance(value, list):
        for inner in value:
            collect(inner)


first = json.loads(output("--queue", queue, "list", "--json").split("\n")[0])
picture = json.loads(output("--queue", queue, "triage", "--explain", "--json"))
for arguments in (["list", "--explain"], ["show", first["queue_id"]], ["show", picture["clusters"][0]["name"]], ["shape"],
                  ["sources"]):
    for line in output("--queue", queue, *arguments, "--json").splitlines():
        collect(json.loads(line))
collect(picture)
contract = readme.partition("## JSON")[2].partition("\n## ")[0]
missing = {m for m in members if not re.search(rf"`[^`]*\b{m}\b[^`]*`", contract)}
check("JSON members", len(members) > 60 and not missing, missing)
sys.exit(failed)
