# SPDX-License-Identifier: Apache-2.0
"""terminal.py PROGRAM QUEUE: what the program shows on a terminal of 80 by 24, a pseudo-terminal here."""
import fcntl
import os
import pty
import re
import struct
import sys
import termios

program, queue = sys.argv[1:]
failed = False


def check(name, good, why=""):
    global failed
    failed |= not good
    print("ok" if good else "not ok", "terminal:", name, "" if good else why)


def show(arguments, environment=None, rows=24, columns=80):
    child, fd = pty.fork()
    if child == 0:
        os.environ.update(environment or {})
        os.dup2(os.open("/dev/null", os.O_WRONLY), 2)   # a slow machine shows its progress there
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.execv(program, [program, "--queue", queue, *arguments])
    data = b""
    while True:
        try:
            more = os.read(fd, 65536)
        except OSError:
            more = b""
        if not more:
            break
        data += more
    os.close(fd)
    _, status = os.waitpid(child, 0)
    # what stays on the screen: a slow machine shows a partial picture first and draws over it
    data = re.sub(rb"(?s)^.*\x1b\[[0-9]+A\x1b\[J", b"", data)
    return data, os.waitstatus_to_exitcode(status)


data, status = show(["triage"])
plain = re.sub(rb"\x1b\[[0-9;]*m", b"", data)
lines = plain.decode().rstrip().split("\r\n")
commands = [line for line in lines if line.startswith("  /")]
check("triage succeeds", status == 0, status)
check("colour", b"\x1b[" in data)
check("only colours are escapes", b"\x1b" not in plain, plain)
check("fits 24 rows with the prompt", len(lines) <= 23, len(lines))
check("fits 80 columns", max(len(line) for line in lines if line not in commands) <= 80, lines)
check("says what to type, at last", len(commands) >= 1 and lines[-1] in commands, lines)
check("more than one cluster", sum(line.startswith("C-") for line in lines) > 1, lines)

data, _ = show(["triage"], {"NO_COLOR": "1"})
check("NO_COLOR", b"\x1b" not in data)
data, _ = show(["triage"], {"TERM": "dumb"})
check("a dumb terminal", b"\x1b" not in data)
data, _ = show(["triage", "--json"])
check("JSON has no colour", b"\x1b" not in data)
data, _ = show(["triage"], rows=50)
check("more rows, more clusters", len(data.split(b"\n")) > len(lines), len(data.split(b"\n")))
data, _ = show(["list"], columns=132)
check("a wide list has recipients", b"RECIPIENT" in data)
sys.exit(failed)
