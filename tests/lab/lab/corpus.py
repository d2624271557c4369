# SPDX-License-Identifier: Apache-2.0
"""A corpus of raw messages in folders ham/ spam/ bounce/ autoreply/, or the built-in samples instead."""
import email
import functools
import html
import re
from email.header import decode_header, make_header

from .text import DATA, rng

_TAG = re.compile(r"<(style|script)\b.*?</\1>|<!--.*?-->|<[^>]*>", re.S | re.I)


class Corpus:
    def __init__(self, folder):
        self.folder = folder

    @functools.cache
    def files(self, kind):
        """Sorted files of one kind; the samples stand in for a folder that is missing or empty."""
        for base in (self.folder, DATA / "samples"):
            found = sorted(p for p in (base / kind).glob("*") if p.is_file()) if base else []
            if found:
                return found
        raise FileNotFoundError(f"no {kind} messages")

    @functools.cache
    def order(self, kind, seed):
        """Indexes of all files of a kind in an order that depends on the seed."""
        indexes = list(range(len(self.files(kind))))
        rng(seed, "corpus", kind).shuffle(indexes)
        return indexes

    @functools.lru_cache(maxsize=5000)
    def raw(self, kind, index):
        """One message with LF line ends, no NUL, no mbox line."""
        data = self.files(kind)[index].read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\0", b"")
        return re.sub(rb"\AFrom [^\n]*\n", b"", data)

    @functools.lru_cache(maxsize=5000)
    def split(self, kind, index):
        """Header fields as [(name, value with folds)] and the body, both as latin-1 text."""
        head, _, body = self.raw(kind, index).decode("latin-1").partition("\n\n")
        fields = []
        for line in re.split(r"\n(?![ \t])", head):
            name, colon, value = line.partition(":")
            if colon and name and not re.search(r"[^!-9;-~]", name):
                fields.append((name, value.strip(" ")))
        return fields, body

    @functools.lru_cache(maxsize=5000)
    def text(self, kind, index):
        """(subject, plain text, HTML or None) of a message."""
        message = email.message_from_bytes(self.raw(kind, index))
        plain, markup = "", None
        for part in message.walk():
            ctype = part.get_content_type()
            if part.is_multipart() or ctype not in ("text/plain", "text/html") or part.get_filename():
                continue
            data = part.get_payload(decode=True) or b""
            try:
                body = data.decode(part.get_content_charset() or "ascii")
            except (LookupError, UnicodeDecodeError):
                body = data.decode("latin-1")
            body = body.replace("\r\n", "\n").replace("\0", "")
            if ctype == "text/html":
                markup = markup or body
            else:
                plain = plain or body
        if not plain and markup:
            plain = re.sub(r"[ \t]*\n\s*\n+", "\n\n", html.unescape(_TAG.sub(" ", markup))).strip()
        try:
            subject = str(make_header(decode_header(str(message.get("Subject", "")))))
        except (LookupError, ValueError):
            subject = ""
        return re.sub(r"[\s\0]+", " ", subject.encode("utf-8", "replace").decode()), plain, markup

    def prose(self, kind, index):
        """Running text of a message without quotes and signature, possibly empty."""
        lines = self.text(kind, index)[1].partition("\n-- \n")[0].split("\n")
        return "\n".join(x for x in lines if not x.startswith((">", "|")))[:4000].strip()
