# SPDX-License-Identifier: Apache-2.0
"""Seeded text: random streams, words, names, host names, spin syntax."""
import functools
import json
import random
import re
import time
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"
_LISTS = json.loads((DATA / "words.json").read_text())
WORDS, FIRST, LAST = _LISTS["words"], _LISTS["first"], _LISTS["last"]
PLACES, TRADES = _LISTS["places"], _LISTS["trades"]

_CHOICE = re.compile(r"\{([^{}|]*\|[^{}]*)\}")
_FIELD = re.compile(r"<<(\w+)(?::(\d+))?(?:#\w+)?>>")
_RDNS = ("c-{0}-{1}-{2}-{3}.hsd1.ca.isp.example", "{3}.{2}.{1}.{0}.dyn.telia.example",
         "adsl-{0}-{1}-{2}-{3}.dsl.telco.example", "pool-{0}-{1}-{2}-{3}.east.cable.example",
         "host{3}-{2}.pool{1}{0}.interhost.example", "ip{0:03d}{1:03d}{2:03d}{3:03d}.mobile.example")
_PUBLIC_A = [a for a in range(2, 223) if a not in (10, 100, 127, 169, 172, 192, 198, 203)]


def rng(*key):
    """A random generator that depends on nothing but its key."""
    return random.Random("/".join(map(str, key)))


@functools.cache
def templates(folder):
    """The templates of data/FOLDER: name -> text."""
    return {p.stem: p.read_text() for p in sorted((DATA / folder).glob("*.txt"))}


def split_template(text):
    """A template's header fields, as a list of (name, value), and its body."""
    head, _, body = text.partition("\n\n")
    fields = [line.partition(": ")[::2] for line in re.sub(r"\n(?!\s)", "\0", head).split("\0")]
    return fields, body


def spin(r, text, fields):
    """Resolve {a|b} choices and <<field>>, <<num:4>>, <<hex:8>> places; a #tag makes equal places equal."""
    count = 1
    while count:
        text, count = _CHOICE.subn(lambda m: r.choice(m[1].split("|")), text)
    tagged = {}

    def place(m):
        if "#" in m[0] and m[0] in tagged:
            return tagged[m[0]]
        kind, size = m[1], int(m[2] or 1)
        if kind in fields:
            value = fields[kind]
        elif kind == "num":
            value = str(r.randrange(10 ** (size - 1), 10 ** size))
        elif kind == "hex":
            value = f"{r.getrandbits(4 * size):0{size}x}"
        elif kind in ("first", "last"):
            value = r.choice(FIRST if kind == "first" else LAST).capitalize()
        else:
            raise KeyError(f"template field <<{kind}>>")
        tagged[m[0]] = value
        return value

    return _FIELD.sub(place, text)


def sentence(r, low=6, high=16):
    words = r.choices(WORDS, k=r.randint(low, high))
    if len(words) > 9:
        words[4] += ","
    return " ".join(words).capitalize() + r.choice("...?!")


def paragraph(r, low=3, high=7):
    return " ".join(sentence(r) for _ in range(r.randint(low, high)))


def domain(r):
    return f"{r.choice(PLACES)}{r.choice(['', '-'])}{r.choice(TRADES)}{r.choice(['', '', r.randint(1, 99)])}.example"


def localpart(r):
    first, last = r.choice(FIRST), r.choice(LAST)
    return r.choice([f"{first}.{last}", f"{first[0]}{last}", f"{first}{r.randint(1, 99)}", f"{first}_{last}", last])


def address(r):
    return f"{localpart(r)}@{domain(r)}"


def token(r, low, high):
    return "".join(r.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=r.randint(low, high)))


def public_ip(r):
    return f"{r.choice(_PUBLIC_A)}.{r.randrange(256)}.{r.randrange(256)}.{r.randint(1, 254)}"


def dynamic_name(ip):
    """The reverse DNS name of an access network for this address, always the same."""
    octets = [int(o) for o in ip.split(".")]
    return _RDNS[octets[0] % len(_RDNS)].format(*octets)


def mail_host(dom):
    """The stable outgoing host of a well kept domain: (address, name)."""
    r = rng("host", dom)
    return public_ip(r), f"{r.choice(['mail', 'smtp', 'mx1', 'out', 'relay'])}.{dom}"


def rfc_date(stamp, zone="+0000"):
    offset = int(zone[0] + zone[1:3]) * 3600
    return time.strftime("%a, %d %b %Y %H:%M:%S ", time.gmtime(stamp + offset)) + zone
