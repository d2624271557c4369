# SPDX-License-Identifier: Apache-2.0
"""hostile.py QUEUE-FILE: rewrite a Postfix queue file so that its sender, recipients, client, subject and body hold what a
terminal, a spreadsheet or a JSON reader could choke on. The records are those of the file, by a writer that shares no
code with the program."""
import sys

EVIL = b"\x1b[2J\x07\xe2\x80\xaetxt\xe2\x80\x8b\xc2\x9b31m\xff\x7f\x08\r\t\"',\\"


def records(data):
    at = 0
    while at < len(data):
        kind, at, length, shift = data[at : at + 1], at + 1, 0, 0
        while True:
            byte, at = data[at], at + 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield kind, data[at : at + length]
        at += length


def record(kind, text):
    out, length = b"", len(text)
    while True:
        out += bytes([length & 0x7F | (0x80 if length > 0x7F else 0)])
        length >>= 7
        if not length:
            return kind + out + text


def main():
    with open(sys.argv[1], "rb") as file:
        old = list(records(file.read()))
    new = []
    for kind, text in old:
        if kind == b"S":
            text = b"=cmd|" + EVIL + b"@evil.example"
        elif kind in (b"O", b"R"):
            text = b"+" + EVIL + text
        elif kind == b"A" and text.startswith((b"log_client_name=", b"client_name=", b"log_helo_name=", b"helo_name=")):
            text = text.split(b"=")[0] + b"=@" + EVIL
        elif kind == b"N" and text.startswith(b"Subject:"):
            text = b"Subject: =?utf-8?q?=3D1+1=0A=1B=5B31m=E2=80=AE?= " + EVIL
        elif kind == b"N" and text.startswith(b"From:"):
            text = b"From: \"" + EVIL.replace(b'"', b"") + b"\" <" + EVIL.replace(b'"', b"") + b"@evil.example>"
        elif kind == b"N" and text.startswith(b"Hello"):
            text = EVIL
        new.append((kind, text))
    first = next(i for i, (kind, _) in enumerate(new) if kind == b"M")
    content = next(i for i, (kind, _) in enumerate(new) if kind == b"X")
    offset = sum(len(record(*r)) for r in new[: first + 1])
    size = sum(len(record(*r)) for r in new[first + 1 : content])
    field = new[0][1]
    new[0] = (b"C", b"%15d %15d" % (size, offset) + field[31:])
    with open(sys.argv[1], "r+b") as file:
        file.write(b"".join(record(*r) for r in new))
        file.truncate()


main()
