# SPDX-License-Identifier: Apache-2.0
# victim.sh: spam to nobody in the name of a victim whose MX is loopback. The bounces are recognised and purged, and with
# the rules that were printed a real Postfix and a real sendmail refuse the next one at the door.
. "$(dirname "$0")/lib"
need_root victim
command -v unbound > /dev/null || { skip victim "unbound is not installed"; exit 0; }
[ "${QS_PRIVATE_NETWORK:-}" = 1 ] || "$lab/get-sendmail" > /dev/null 2>&1 || true      # while there is a way out
in_private_network victim

ip addr add 203.0.113.77/32 dev lo

spams=40
[ "${QS_FULL:-}" != 1 ] || spams=2000
# shellcheck disable=SC2086
"$lab/mta-dns" "$work/dns" 53 start $name_servers --data 'victim.example. MX 10 mail.victim.example.' \
    --data 'mail.victim.example. A 127.0.0.1' --data 'site.example. MX 10 mx.site.example.' \
    --data 'mx.site.example. A 192.0.2.1' --data 'elsewhere.example. MX 10 mx.good.example.'
at_end="$lab/mta-dns $work/dns 53 stop; $at_end"

cat > "$work/spam.py" <<'PYTHON'
import smtplib
import sys
port, count, victim, nobody, friend = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
with smtplib.SMTP("127.0.0.1", port, timeout=60, source_address=("203.0.113.77", 0)) as s:
    for i in range(count):
        s.sendmail(victim, [f"{nobody}{i}"], f"From: <{victim}>\nTo: {i}\nSubject: Cheap watches for {i}\n"
                   f"Message-ID: <{i}@victim.example>\n\nDear {i}, we sell the finest watches of the whole world at a "
                   "price that nobody else can offer you today. Order now and receive a second watch for free.\n")
with smtplib.SMTP("127.0.0.1", port, timeout=60) as s:
    s.sendmail("ann@site.example", [friend], "From: ann@site.example\nSubject: Museum\nMessage-ID: <m@site.example>\n\n"
               "The paintings came back from the restorer yesterday and look wonderful.\n")
PYTHON

run() { timeout 300 "$QSURGEON" --mta "$mta" --queue "$queue" --config "$config" --state "$work/$mta-state" "$@"; }
ids() { run list --ids "$@" 2> /dev/null | wc -l; }
wait_for() { # wait_for NUMBER OPTION...: until that many messages are there
    want=$1
    shift
    for _ in $(seq 150); do [ "$(ids "$@")" -lt "$want" ] || return 0; sleep 0.2; done
    return 1
}
end_it() { # what holds for both mail servers
    run triage --dns --explain --json > "$work/triage"
    check "$mta: the bounces are backscatter, and DNS is among the reasons" python3 - "$work/triage" "$spams" <<'PYTHON'
import json
import sys
cluster = json.load(open(sys.argv[1]))["clusters"][0]
assert cluster["messages"] == int(sys.argv[2]) and cluster["verdict"] == "backscatter", cluster
assert cluster["cause"] in ("backscatter-out", "mail-loop"), cluster["cause"]
assert any(e["name"] == "recipients'-domain-delivers-to-us" for e in cluster["evidence"]), cluster["evidence"]
PYTHON
    run rules --json > "$work/rules"
    run rules > "$work/rules.txt"
    check "$mta: rules name the victim's domain" grep -q 'victim.example (loopback)' "$work/rules.txt"
    run purge --mx loopback --commit > "$work/purged" 2>&1 || true
    left=$(ids --mx loopback)
    others=$(ids)
    if [ "$left" = 0 ] && [ "$others" = 1 ]; then
        ok "$mta: purge --mx loopback clears it and leaves the real mail"
    else
        not_ok "$mta: purge --mx loopback clears it and leaves the real mail" "$left left, $others in all: $(tail -n 3 "$work/purged")"
    fi
}
answers() { # answers NAME PATTERN SENDER RECIPIENT
    said=$(python3 "$live/say.py" "$port" "$3" "$4" 2>&1 | tail -n 1)
    case $said in
        $2) ok "$mta: $1" ;;
        *) not_ok "$mta: $1" "$said" ;;
    esac
}

mta=postfix queue=$work/pf/spool config=$work/pf/etc
postfix_start "$work/pf" --set 'defer_transports=smtp'
python3 "$work/spam.py" "$port" $spams boss@victim.example nobody friend@elsewhere.example
check "postfix: bounces to the victim are queued" wait_for $spams --mx loopback
end_it
answers "before the rules a new one is taken" '250 *' boss@victim.example nobody@site.example
check "postfix: the rules are understood" install_rules "$work/rules"
check "postfix: also loopback in other words" sh -c 'for a in 127.9.9.9 ::1 0.0.0.0 ::ffff:127.0.0.1; do
    postmap -q "$a" "cidr:$1" || exit 1; done > /dev/null' sh "$work/pf/etc/qsurgeon-mx.cidr"
sleep 1         # reload is not waited for
answers "the next one is refused at the door" '554 5.7.1 *loopback*' boss@victim.example nobody@site.example
answers "mail to the victim is refused, too" '554 5.7.1 *loopback*' ann@site.example boss@victim.example
answers "other mail is taken" '250 *' ann@elsewhere.example friend@site.example
answers "also for localhost" '250 *' ann@elsewhere.example root@localhost
answers "and notices" '250 *' '' ann@site.example
postfix_stop "$work/pf"

if ! root=$("$lab/get-sendmail" 2> "$work/why"); then
    skip victim-sendmail "$(tail -n 1 "$work/why")"
    exit 0
fi
mta=sendmail queue=$work/sm/root/mqueue config=$work/sm/root/sendmail.cf
sink=$(free_port)
background "$lab/sink" "$sink"
sendmail_start "$work/sm" --relay "$sink" --dns 127.0.0.1
python3 "$work/spam.py" "$port" $spams later@victim.example never@backup.example later@elsewhere.example
"$lab/mta-sendmail" "$work/sm" "$port" run -q > /dev/null 2>&1
check "sendmail: bounces to the victim are queued" wait_for $spams --mx loopback
end_it
answers "before the rules a new one is taken" '250 *' later@victim.example never@site.example
"$lab/mta-sendmail" "$work/sm" "$port" stop
# the lines for sendmail.mc as they were printed, in an instance made anew, and in one more the two tables without them
python3 - "$work" <<'PYTHON'
import json
import sys
rules = {r["rule"]: r["content"] for r in map(json.loads, open(sys.argv[1] + "/rules"))}
assert set(rules) == {"sender-mx", "domains", "mailertable"}, rules.keys()
open(sys.argv[1] + "/mc", "w").write(rules["sender-mx"])
open(sys.argv[1] + "/access", "w").write(rules["domains"])
open(sys.argv[1] + "/mailertable", "w").write(rules["mailertable"])
PYTHON
sendmail_start "$work/sm2" --relay "$sink" --dns 127.0.0.1 --mc "$work/mc"
answers "the next one is refused at the door by badmx" '550 5.1.2 *' later@victim.example never@site.example
answers "other mail is taken" '250 *' ann@elsewhere.example friend@site.example
answers "and notices" '250 *' '' ann@site.example
"$lab/mta-sendmail" "$work/sm2" "$port" stop

cat > "$work/mc" <<'TEXT'
FEATURE(`access_db', `hash -T<TMPF> /access')dnl
FEATURE(`blacklist_recipients')dnl
FEATURE(`mailertable', `hash -o /mailertable')dnl
TEXT
table() { # table NAME: as makemap makes it
    LD_LIBRARY_PATH="$root/lib" "$(find "$root" -path '*libexec*' -name makemap -type f | head -n 1)" -C /dev/null \
        hash "$work/sm3/root/$1" < "$work/$1" 2> "$work/why" || cat "$work/why"
}
sendmail_start "$work/sm3" --relay "$sink" --mc "$work/mc"
table access
answers "the access map refuses the victim's name" '550 5.1.8 *comes back to us*' later@victim.example never@site.example
answers "and mail to it" '550 5.4.6 *comes back to us*' ann@elsewhere.example boss@victim.example
answers "and takes other mail" '250 *' ann@elsewhere.example friend@site.example
table mailertable
route() { echo "3,0 $1" | "$lab/mta-sendmail" "$work/sm3" "$port" run -bt > "$work/route" 2>&1 || true; }
route boss@victim.example
check "sendmail: the mailertable ends what is made here" grep -q 'error .* 5 *\. 4 *\. 6 .*550 Mail for that domain' "$work/route"
route ann@elsewhere.example
check "sendmail: and leaves others" grep -q 'returns: $# relay ' "$work/route"
