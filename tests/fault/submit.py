#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""submit.py -bs ...: a submission program that speaks SMTP on its standard input and output, and appends the subject of each
message to its own name with ".log" before it says that it has taken it."""
import re
import sys


def say(text):
    sys.stdout.write(text + "\r\n")
    sys.stdout.flush()


say("220 submit.example ESMTP")
for line in sys.stdin.buffer:
    verb = line[:4].upper()
    if verb == b"EHLO":
        say("250-submit.example")
        say("250 8BITMIME")
    elif verb == b"DATA":
        say("354 Go on")
        head, _, _ = b"".join(iter(sys.stdin.buffer.readline, b".\r\n")).partition(b"\r\n\r\n")
        with open(sys.argv[0] + ".log", "ab") as file:
            file.write(re.search(rb"(?mi)^Subject: (.*?)\r?$", head).group(1) + b"\n")
        say("250 2.0.0 Ok")
    else:
        say("221 2.0.0 Bye" if verb == b"QUIT" else "250 2.0.0 Ok")
