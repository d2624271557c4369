#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rules_formats.py write OUT QUEUE CONFIG DIR: mined rules in the forms of other filters, in DIR, judged by the programs that are here:
sievec and sieve-test, and Perl for what SpamAssassin has. rules_formats.py sendmail OUT DIR PORT: the sendmail on PORT has them."""
import email
import json
import pathlib
import re
import shutil
import smtplib
import subprocess
import sys

from result import QSURGEON, report, run

EACH = 8
PERL = r"""
my ($rules, @files) = @ARGV; my (@body, @header, $bad);
open(my $in, '<', $rules) or die;
while (<$in>) {
    next if /^#/;
    my ($field, $text);
    if (/^full \w+ \/(.*)\/i$/) { $text = $1 } elsif (/^header \w+ (\S+):raw =~ \/(.*)\/i$/) { ($field, $text) = ($1, $2) } else { next }
    my $re = eval { qr/$text/i } or die "does not compile: $text";
    if (defined $field) { push @header, [$field, $re] } else { push @body, $re }
}
print scalar(@body) + scalar(@header), "\n";
for my $file (@files) {
    open(my $m, '<', $file) or die; local $/; my $text = <$m>; my ($head) = split /\n\n/, $text, 2; my $hit = 0;
    $hit ||= $text =~ $_ for @body;
    for my $h (@header) { while ($head =~ /^\Q$h->[0]\E:(.*(?:\n[ \t].*)*)/mig) { $hit = 1 if $1 =~ $h->[1] } }
    print "$file\n" if $hit;
}
"""


def truth(out):
    """Numbers of the storms' messages and of legitimate ones."""
    storm, legit = [], []
    for m in map(json.loads, open(out / "truth.jsonl")):
        {"storm": storm, "legit": legit}.get(m["label"], []).append(m["n"])
    return storm, legit


def some(numbers):
    return numbers[:: max(1, len(numbers) // EACH)]


def file_of(out, n):
    return str(out / "messages" / f"{n:06d}.eml")


def check_sieve(out, directory, storm, legit):
    if not (shutil.which("sievec") and shutil.which("sieve-test")):
        print("skip sieve - sievec and sieve-test (dovecot-sieve) are not here")
        return
    wrong = [a for a in ("reject", "hold", "discard")
             if subprocess.run(["sievec", directory / f"{a}.sieve", directory / f"{a}.svbin"]).returncode]
    report("sieve: sievec compiles the scripts", wrong, 3)
    told = {}
    for n in some(storm) + some(legit):
        words = run("sieve-test", "-o", "mail_uid=nobody", "-o", "mail_gid=nogroup", "-o", "first_valid_uid=1", "-o",
                    "mail_location=mbox:/nonexistent", "-a", "user@site.example", str(directory / "discard.sieve"), file_of(out, n),
                    stderr=subprocess.DEVNULL)
        told[n] = b"* discard" in words
    report("sieve: sieve-test discards the storm", [n for n in some(storm) if not told[n]], len(some(storm)))
    report("sieve: and keeps legitimate mail", [n for n in some(legit) if told[n]], len(some(legit)))


def check_perl(out, directory, storm, legit):
    first, *found = run("perl", "-e", PERL, str(directory / "spamassassin"), *(file_of(out, n) for n in storm + legit)).decode().split("\n")
    found = {int(pathlib.Path(f).stem) for f in found if f}
    caught = len(found.intersection(storm))
    report(f"spamassassin: Perl compiles {first} rules, which match {caught} of {len(storm)} storm messages",
           [] if caught >= 0.95 * len(storm) else [caught], int(first))
    report("spamassassin: and no legitimate one", sorted(found.intersection(legit)), len(legit))


def write(out, queue, config, directory):
    directory.mkdir(parents=True, exist_ok=True)
    base = [QSURGEON, "--mta", "postfix", "--queue", str(queue), "--config", str(config), "rules", "mine"]
    for name, words in {"reject.sieve": ["sieve"], "hold.sieve": ["sieve", "--action", "HOLD"],
                        "discard.sieve": ["sieve", "--action", "discard"], "sendmail": ["sendmail"],
                        "spamassassin": ["spamassassin"], "rspamd": ["rspamd"]}.items():
        run(*base, "--output", str(directory / name), "--format", *words)
    (directory / "json").write_bytes(run(*base, "--json"))
    storm, legit = truth(out)
    check_sieve(out, directory, storm, legit)
    check_perl(out, directory, storm, legit)
    rules = [r for line in (directory / "json").read_text().splitlines() for r in json.loads(line)["rules"]]
    lua = re.findall(r"re = \[==\[(.*)\]==\],", (directory / "rspamd").read_text())
    report("rspamd: its expressions are the same patterns",
           [p for p in lua if not any(f"/{r['pattern']}/i" in p for r in rules)], len(lua))


def check_sendmail(out, directory, port):
    """The message of the storm that a header rule matches is refused after DATA; others are not."""
    written = (directory / "sendmail").read_text()
    rules = [r for line in (directory / "json").read_text().splitlines() for r in json.loads(line)["rules"]
             if r["field"] and f"`KQS_{r['name'][2:].upper().replace('-', '_')} regex" in written]
    storm, legit = truth(out)
    envelopes = {m["n"]: m for m in map(json.loads, open(out / "envelopes.jsonl"))}

    def matched(n):
        message = email.message_from_bytes((out / "messages" / f"{n:06d}.eml").read_bytes())
        return any(re.search(r["pattern"].replace("[[:space:]]", r"\s"), str(value), re.I)
                   for r in rules for value in message.get_all(r["field"], []))

    yes, no = [n for n in storm if matched(n)], [n for n in storm if not matched(n)]
    for name, numbers, want in (("storm messages with the pattern are refused", yes, 550),
                                ("storm messages without it are taken", no, 250), ("legitimate mail is taken", legit, 250)):
        wrong = []
        for n in some(numbers):
            with smtplib.SMTP("127.0.0.1", port) as smtp:
                smtp.ehlo("client.example")
                smtp.mail(envelopes[n]["mail_from"])
                smtp.rcpt("someone@site.example")
                text = (out / "messages" / f"{n:06d}.eml").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                code, words = smtp.data(text)
                if code != want:
                    wrong.append(f"message {n}: {code} {words!r}")
        if numbers or want == 550:
            report(f"sendmail: {name}", wrong, len(some(numbers)))


if sys.argv[1] == "write":
    write(*map(pathlib.Path, sys.argv[2:6]))
else:
    check_sendmail(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4]))
