#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rules_formats.py write OUT QUEUE CONFIG DIR: mined rules in the forms of other filters, in DIR, judged by those programs:
sievec and sieve-test, SpamAssassin, rspamd. rules_formats.py sendmail OUT DIR PORT: the sendmail on PORT has them.
rules_formats.py notices OUT TABLES PORT: and the lines about notices, which the numbers in TABLES/notices.json shall feel."""
import email
import json
import os
import pathlib
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import time

from result import QSURGEON, report, run

EACH = 8
# lints the rules in DIRECTORY and names the files that any of them matches
SPAMASSASSIN = r"""
use Mail::SpamAssassin;
my ($dir, @files) = @ARGV;
my $sa = Mail::SpamAssassin->new({rules_filename => "$dir/rules", site_rules_filename => "$dir/site", userprefs_filename => "$dir/none",
    userstate_dir => $dir, local_tests_only => 1, dont_copy_prefs => 1});
print $sa->lint_rules(), "\n";
for my $file (@files) {
    open(my $in, '<:raw', $file) or die; local $/;
    my $mail = $sa->parse(scalar <$in>);
    my $status = $sa->check($mail);
    print "$file\n" if $status->get_names_of_tests_hit() =~ /QS_/;
    $status->finish(); $mail->finish();
}
"""
RSPAMD = """
options {{ pidfile = "{0}/pid"; temp_dir = "{0}"; cache_file = "{0}/symbols"; hs_cache_dir = "{0}"; control_socket = "{0}/control";
    url_tld = "{0}/tld"; filters = "regexp"; dns {{ nameserver = ["127.0.0.1"]; }} }}
logging {{ type = "file"; filename = "{0}/log"; level = "warning"; }}
lua = "{0}/load.lua";
actions {{ reject = 15; }}
group "qsurgeon" {{ }}
regexp {{ }}
modules {{ path = "$PLUGINSDIR"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{1}"; count = 1; }}
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


def judged(program, out, found, storm, legit):
    """Result lines for what a filter matched of these messages."""
    caught = len(found.intersection(storm))
    report(f"{program}: {caught} of {len(storm)} storm messages are matched", [] if caught >= 0.95 * len(storm) else [caught], len(storm))
    report(f"{program}: and no legitimate one", sorted(found.intersection(legit)), len(legit))


def check_spamassassin(out, directory, storm, legit):
    got = subprocess.run([pathlib.Path(__file__).parent / "../lab/get-spamassassin"], capture_output=True, text=True)
    os.environ["PERL5LIB"] = got.stdout.strip()
    if got.returncode or subprocess.run(["perl", "-MMail::SpamAssassin", "-e", "1"], stderr=subprocess.DEVNULL).returncode:
        print("skip spamassassin - it cannot be had here, or a Perl module that it needs")
        return
    place = directory / "sa"
    for name, text in {"rules/mined.cf": (directory / "spamassassin").read_text(), "none": "",
                       "site/init.pre": "loadplugin Mail::SpamAssassin::Plugin::Check\nutil_rb_tld com example\n"}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    legit = legit[:: max(1, len(legit) // 100)]
    lint, *files = run("perl", "-e", SPAMASSASSIN, str(place), *(file_of(out, n) for n in storm + legit)).decode().split("\n")
    report("spamassassin: lints without complaint", [] if lint == "0" else [lint], 1)
    judged("spamassassin", out, {int(pathlib.Path(f).stem) for f in files if f}, storm, legit)


def check_rspamd(out, directory, storm, legit):
    if not (shutil.which("rspamd") and shutil.which("rspamc")):
        print("skip rspamd - it is not here")
        return
    place = directory / "rspamd.d"
    place.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (place / "tld").write_text("com\nexample\n")
    # as rspamd's own rules/rspamd.lua has it before it reads rspamd.local.lua
    (place / "load.lua").write_text(f"config['regexp'] = {{}}\ndofile('{directory}/rspamd')\n")
    (place / "conf").write_text(RSPAMD.format(place, port))
    good = subprocess.run(["rspamadm", "configtest", "-c", place / "conf"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    report("rspamd: rspamadm takes the rules", [good.stdout.decode()] if good.returncode else [], 1)
    server = subprocess.Popen(["rspamd", "-f", "-i", "-u", "root", "-g", "root", "-c", place / "conf"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ask = ["rspamc", "-h", f"127.0.0.1:{port}", "-n", "1", "symbols"]
    found, legit = set(), legit[:: max(1, len(legit) // 100)]
    try:
        for _ in range(240):            # it compiles the expressions first
            if b"Metric" in subprocess.run([*ask, file_of(out, legit[0])], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout:
                break
            time.sleep(0.5)
        for told in run(*ask, *(file_of(out, n) for n in storm + legit)).decode().split("Results for file: ")[1:]:
            if "Symbol: QS_" in told:
                found.add(int(pathlib.Path(told.split(" ")[0]).stem))
    finally:
        server.terminate()
        server.wait()
    judged("rspamd", out, found, storm, legit)


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
    check_spamassassin(out, directory, storm, legit)
    check_rspamd(out, directory, storm, legit)


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


def check_notices(out, tables, port):
    """Notices to forged senders are refused behind DATA; other notices, other mail to them, and two recipients at once are not."""
    notices = set(json.load(open(tables / "notices.json")))
    envelopes = {m["n"]: m for m in map(json.loads, open(out / "envelopes.jsonl"))}
    victims = {to for n in notices for to in envelopes[n]["rcpt_to"]}
    _, legit = truth(out)

    def answer(sender, to):
        with smtplib.SMTP("127.0.0.1", port) as smtp:
            smtp.ehlo("client.example")
            smtp.mail(sender)
            codes = {smtp.rcpt(address)[0] for address in to}
            try:
                return codes, *smtp.data(b"Subject: x\r\n\r\nx\r\n")
            except smtplib.SMTPDataError as e:
                return codes, e.smtp_code, e.smtp_error

    told = {n: answer("", envelopes[n]["rcpt_to"]) for n in notices}
    wrong = [f"{n}: {t}" for n, t in told.items() if t != ({250}, 550, b"5.7.1 Message refused, notice to a forged sender")]
    report("sendmail: notices to forged senders are refused behind DATA", wrong, len(told))
    others = [(e["mail_from"], e["rcpt_to"]) for e in (envelopes[n] for n in legit)
              if e["mail_from"] == "" or victims.intersection(e["rcpt_to"])]
    others += [("", sorted(victims))] + [("ann@elsewhere.example", [v]) for v in victims] + [(v, [v]) for v in victims]
    wrong = [f"{o}: {a}" for o, a in ((o, answer(*o)) for o in others) if a[0] != {250} or a[1] != 250]
    report("sendmail: nothing else is", wrong, len(others))


if sys.argv[1] == "write":
    write(*map(pathlib.Path, sys.argv[2:6]))
elif sys.argv[1] == "notices":
    check_notices(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4]))
else:
    check_sendmail(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4]))
