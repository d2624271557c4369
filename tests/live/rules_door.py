#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rules_door.py CASE PORT: hands later storm messages and legitimate ones to the Postfix on PORT, which has the mined rules, and
says whether it refused what postmap matched, with their text, and took all legitimate mail. No recipient is refused: who only
asks whether an address exists gets his answer."""
import collections
import json
import pathlib
import smtplib
import sys

from result import report

CASE, PORT = pathlib.Path(sys.argv[1]), int(sys.argv[2])
OUT = CASE / "out"
EACH = 15                       # messages of each campaign and of legitimate mail
NOTICE = 554, b"5.7.1 <>: Sender address rejected: Message refused, notice to a forged sender"


def answer(envelope):
    """Code and text of the end of DATA, in a connection of its own: Postfix hangs up after some errors."""
    with smtplib.SMTP("127.0.0.1", PORT) as smtp:
        smtp.ehlo("client.example")
        smtp.mail(envelope["mail_from"])
        for address in envelope["rcpt_to"]:
            code, text = smtp.rcpt(address)
            if code >= 400:
                raise SystemExit(f"not ok at the door - recipient refused: {text}")
        try:
            return smtp.data((OUT / "messages" / f"{envelope['n']:06d}.eml").read_bytes())
        except smtplib.SMTPDataError as e:
            return e.smtp_code, e.smtp_error


def main():
    envelopes = {m["n"]: m for m in map(json.loads, open(OUT / "envelopes.jsonl"))}
    matched = set(json.load(open(CASE / "tables" / "matched.json")))
    notices = set(json.load(open(CASE / "tables" / "notices.json")))
    stopped = {to for n in notices for to in envelopes[n]["rcpt_to"]}
    groups, close = collections.defaultdict(list), []
    for m in map(json.loads, open(OUT / "truth.jsonl")):
        if m["label"] == "legit" or m["n"] in notices or (m["label"] == "storm" and m["n"] in matched):
            groups[m["campaign"]].append(m["n"])
        if m["label"] == "legit" and (envelopes[m["n"]]["mail_from"] == "" or stopped.intersection(envelopes[m["n"]]["rcpt_to"])):
            close.append(m["n"])
    for campaign, numbers in groups.items():
        wrong, some = [], numbers[:: max(1, len(numbers) // EACH)] + ([] if campaign else close)
        for n in some:
            code, text = answer(envelopes[n])
            refused = (code, text) == NOTICE if n in notices else \
                code == 550 and text.startswith(b"5.7.1 Message refused, pattern C-")
            if (campaign is not None and not refused) or (campaign is None and code != 250):
                wrong.append(f"message {n}: {code} {text!r}")
        report("at the door: " + (f"the storm {campaign} is refused" if campaign else "legitimate mail is taken"), wrong, len(some))


main()
