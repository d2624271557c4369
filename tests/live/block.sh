# SPDX-License-Identifier: Apache-2.0
# block.sh: one address tries hundreds of recipients that do not exist, against a real Postfix; sources names it, block keeps
# it out, and the real programs load what block writes.
. "$(dirname "$0")/lib"
need_root block

tries=60
[ "${QS_FULL:-}" != 1 ] || tries=600
: > "$work/block.cidr"
postfix_start "$work/pf" --set 'mydestination=here.example' --set 'local_recipient_maps=inline:{joe=x}' \
    --set 'smtpd_relay_restrictions=permit_mynetworks, reject_unauth_destination' --set 'mynetworks=127.0.0.0/8, 198.51.100.64/26' \
    --set 'smtpd_hard_error_limit=100000' --set "smtpd_client_restrictions=check_client_access cidr:$work/block.cidr"
# 192.0.2.9 guesses, with a forged name; 203.0.113.1 to 3 share a network; 198.51.100.70 is ours; 192.0.2.200 writes, too
python3 - "$port" "$tries" <<'PYTHON'
import smtplib
import sys
port, tries = int(sys.argv[1]), int(sys.argv[2])


def session(address, users, relay=0, name="[UNAVAILABLE]"):
    s = smtplib.SMTP("127.0.0.1", port)
    s.docmd(f"XCLIENT NAME={name} REVERSE_NAME=mail.google.com ADDR={address}")
    s.ehlo("mail.google.com")
    s.docmd("MAIL FROM:<x@there.example>")
    for user in users:
        s.docmd(f"RCPT TO:<{user}>")
    for i in range(relay):
        s.docmd(f"RCPT TO:<u{i}@there.example>")
    s.close()


bogus = [f"bogus{i}@here.example" for i in range(tries)]
session("192.0.2.9", bogus, relay=3)
session("192.0.2.9", ['"x]: 550 5.1.1 <a>: client y[198.51.100.7]: Relay access denied"@here.example'])
for last in (1, 2, 3):
    session(f"203.0.113.{last}", bogus[:30], name="dsl.isp.co.uk")
session("198.51.100.70", bogus[:30])
s = smtplib.SMTP("127.0.0.1", port)
s.docmd("XCLIENT NAME=mail.partner.example ADDR=192.0.2.200")
s.ehlo("mail.partner.example")
s.sendmail("ann@partner.example", ["joe@here.example"], "Subject: our lunch on Tuesday\r\nFrom: ann@partner.example\r\n"
           "To: joe@here.example\r\nMessage-ID: <1@partner.example>\r\n\r\nHello Joe,\r\nshall we meet at noon?\r\nAnn\r\n")
s.close()
session("192.0.2.200", bogus[:25])
PYTHON
sleep 1
# the instance has no IPv6: what it wrote of one client, of another address
{ cat "$work/pf/maillog"; sed -n 's/from dsl.isp.co.uk\[203.0.113.1\]/from unknown[2001:db8:1:2::5]/p' "$work/pf/maillog"; } > "$work/log"
gzip -c "$work/log" > "$work/log.gz"
zstd -q "$work/log" -o "$work/log.zst"
xz -c "$work/log" > "$work/log.xz"
run() { "$QSURGEON" --mta postfix --queue "$work/pf/spool" --config "$work/pf/etc" "$@"; }
same() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "$2 is not $3"; fi; }
address() { python3 -c 'import json, sys
for line in sys.stdin:
    s = json.loads(line)
    if s["source"] == sys.argv[1]:
        print(s["unknown_recipients"], s["relay_attempts"], s["log"]["unknown"])' "$1"; }

for log in log log.gz log.zst log.xz; do
    run sources --json --log "$work/$log" > "$work/sources"
    same "sources: who guesses, from $log" "$(address 192.0.2.9 < "$work/sources")" "$((tries + 1)) 3 $((tries + 1))"
done
same "sources: a verified name's provider" "$(address isp.co.uk < "$work/sources")" "30 0 90"
same "sources: a forged name is no provider" "$(address google.com < "$work/sources")" ""
if run sources --log "$work/nothing" 2> /dev/null; then not_ok "a missing log is an error"; else ok "a missing log is an error"; fi
head -c 300 "$work/log.xz" > "$work/cut.xz"
same "a damaged log is an error" "$(run sources --log "$work/cut.xz" > /dev/null 2>&1 || echo $?)" 65

python3 "$live/mmdb.py" "$work/asn.mmdb" 192.0.2.0/24=64500=Example\ Networks 2001:db8::/32=64501=Example\ Six
run sources --json --log "$work/log" --mmdb "$work/asn.mmdb" > "$work/sources" 2> "$work/why" && mmdb=yes || mmdb=no
if [ $mmdb = no ] && grep -q 'built without libmaxminddb' "$work/why"; then skip "sources: autonomous systems" "$(cat "$work/why")"; else
    same "sources: autonomous systems" "$(python3 -c 'import json, sys
for s in map(json.loads, sys.stdin):
    if s["kind"] == "asn":
        print(s["source"], s["name"], s["log"]["unknown"], end=";")' < "$work/sources")" \
        "AS64500 Example Networks $((tries + 26));AS64501 Example Six 30;"
    head -c 400 "$work/asn.mmdb" > "$work/cut.mmdb"
    same "a damaged database is an error" "$(run sources --mmdb "$work/cut.mmdb" > /dev/null 2>&1 || echo $?)" 65
fi

block() { run block --over 20 --for 4h --log "$work/log" "$@"; }
block > "$work/plain" 2> "$work/said"
same "blocked are bad strangers alone" "$(grep -v '^#' "$work/plain" | tr '\n' ' ')" "192.0.2.9 203.0.113.0/24 2001:db8:1:2::/64 "
if grep -q 'spared 192.0.2.200: sent real mail' "$work/said" && grep -q '# spared 192.0.2.200' "$work/plain"; then
    ok "who sent real mail is spared, and it is said"; else not_ok "who sent real mail is spared, and it is said"; fi
check "our networks are spared" grep -q 'spared 198.51.100.70: in the networks' "$work/said"

# a log of yesterday; one in another zone; what was delivered then still speaks for its sender
awk -v day="$(date -d '1 day ago' '+%b %e')" '/reject:/ { $1 = $2 = ""; sub(/^ +/, day " ") } 1' "$work/log" > "$work/yesterday"
old() { run block --over 20 --for 4h --log "$work/yesterday" "$@" 2> "$work/said" | grep -v '^#' | tr '\n' ' '; }
same "attempts of yesterday are not blocked for today" "$(old)" ""
check "and that is said" grep -q 'all [0-9]* attempts in the log are older than the time to block for' "$work/said"
same "--younger takes them" "$(old --younger 2d)" "192.0.2.9 203.0.113.0/24 2001:db8:1:2::/64 "
same "a longer time does, too" "$(old --for 2d)" "192.0.2.9 203.0.113.0/24 2001:db8:1:2::/64 "
check "an old delivery spares" grep -q 'spared 192.0.2.200: sent real mail' "$work/said"
same "times without a zone are local" "$(export TZ=UTC-9; old --log "$work/log" --for 1h)" ""
same "sources of the last hour" "$(run sources --json --younger 1h --log "$work/yesterday" | address 192.0.2.9)" ""

printf '[site]\ntrusted_relays = 192.0.2.9\n' > "$work/site.conf"
block --site "$work/site.conf" > "$work/trusting" 2> "$work/said"
check "a trusted relay is spared" grep -q 'spared 192.0.2.9: a trusted relay' "$work/said"
same "and not blocked" "$(grep -c '^192.0.2.9' "$work/trusting" || true)" 0

block --format postfix-cidr --output "$work/cidr" > /dev/null 2>&1
same "postmap finds the address" "$(postmap -q 192.0.2.9 "cidr:$work/cidr" | cut -d ' ' -f 1)" REJECT
same "postmap finds the network" "$(postmap -q 203.0.113.99 "cidr:$work/cidr" | cut -d ' ' -f 1)" REJECT
same "postmap finds IPv6" "$(postmap -q 2001:db8:1:2:ffff::1 "cidr:$work/cidr" | cut -d ' ' -f 1)" REJECT
same "postmap finds nobody else" "$(postmap -q 192.0.2.200 "cidr:$work/cidr" || echo none)" none
block --format postscreen --output "$work/postscreen" > /dev/null 2>&1
same "postscreen's list is a table" "$(postmap -q 192.0.2.9 "cidr:$work/postscreen")" reject
if postmap -q 1.1.1.1 "cidr:$work/cidr" 2>&1 | grep .; then not_ok "postmap has nothing to say"; else ok "postmap has nothing to say"; fi

block --format nft --output "$work/nft" > /dev/null 2>&1
nft -c -f "$work/nft" 2> "$work/why" && loaded=yes || loaded=no
if [ $loaded = yes ]; then ok "nft takes the script"
elif grep -Eq 'Operation not permitted|netlink|Protocol not supported|unable to initialize' "$work/why"; then
    skip "nft takes the script" "$(head -n 1 "$work/why")"
else not_ok "nft takes the script" "$(cat "$work/why")"; fi
check "nft entries expire" grep -q '192.0.2.9 timeout 14[0-9]*s' "$work/nft"

block --format sendmail-access --output "$work/access" > /dev/null 2>&1
if root=$("$lab/get-sendmail" 2> "$work/why"); then
    makemap=$(find "$root" -path '*libexec*' -name makemap -type f | head -n 1)
    LD_LIBRARY_PATH=$root/lib "$makemap" -C /dev/null hash "$work/access.db" < "$work/access" 2> "$work/why" || cat "$work/why"
    LD_LIBRARY_PATH=$root/lib "$makemap" -C /dev/null -u hash "$work/access.db" | sort > "$work/keys"
    for key in connect:192.0.2.9 connect:203.0.113 connect:ipv6:2001:db8:1:2; do
        same "makemap has $key" "$(sed -n "s/^$key[[:space:]]*//p" "$work/keys")" REJECT
    done
else
    skip "makemap has the entries" "$(tail -n 1 "$work/why")"
fi
block --format fail2ban --output "$work/f2b" > /dev/null 2>&1
same "fail2ban: commands only" "$(grep -v '^#' "$work/f2b" |
    grep -Evc '^fail2ban-client set qsurgeon (bantime [0-9]+|banip [0-9a-f.:/]+)$')" 0
if command -v fail2ban-client > "$work/where"; then     # a server of its own, with such a jail
    mkdir -p "$work/jail/filter.d" "$work/jail/action.d" "$work/bin"
    printf '[Definition]\nloglevel = INFO\nlogtarget = %s\nsyslogsocket = auto\nsocket = %s\npidfile = %s\ndbfile = None\ndbpurgeage = 1d\n' \
        "$work/jail/log" "$work/jail/socket" "$work/jail/pid" > "$work/jail/fail2ban.conf"
    printf '[qsurgeon]\nenabled = true\nfilter = none\nbackend = polling\nusedns = no\nlogpath = %s\naction = mark\n' "$work/jail/none" \
        > "$work/jail/jail.conf"
    printf '[Definition]\nfailregex = ^never <HOST>$\n' > "$work/jail/filter.d/none.conf"
    printf '[Definition]\nactionban = echo <ip> <bantime> >> %s\n' "$work/jail/banned" > "$work/jail/action.d/mark.conf"
    : > "$work/jail/none"
    printf '#!/bin/sh\nexec %s -c %s -s %s -p %s "$@"\n' "$(cat "$work/where")" "$work/jail" "$work/jail/socket" "$work/jail/pid" \
        > "$work/bin/fail2ban-client"
    chmod 755 "$work/bin/fail2ban-client"
    at_end="$work/bin/fail2ban-client stop; $at_end"
    "$work/bin/fail2ban-client" start > /dev/null 2>&1
    check "fail2ban takes the commands" env "PATH=$work/bin:$PATH" sh -c 'sh -e "$1" > /dev/null 2>&1' sh "$work/f2b"
    for _ in $(seq 50); do [ "$(wc -l < "$work/jail/banned" 2> /dev/null || echo 0)" -lt 3 ] || break; sleep 0.2; done
    same "fail2ban bans who is named" "$(sed 's/ 14[34][0-9][0-9]$//' "$work/jail/banned" | sort | tr '\n' ' ')" "192.0.2.9 2001:db8:1:2::/64 203.0.113.0/24 "
else
    skip "fail2ban takes the commands" "fail2ban is not installed"
fi
block --format rspamd --output "$work/rspamd" > /dev/null 2>&1
if command -v rspamd > /dev/null && command -v rspamc > /dev/null; then
    python3 "$live/block_rspamd.py" "$work/rspamd" "$work/rspamd.d" 192.0.2.9,203.0.113.99,2001:db8:1:2:ffff::1 \
        192.0.2.200,198.51.100.70,203.0.114.1,2001:db8:1:3::1
else
    skip "rspamd: who is blocked is in its map" "rspamd is not installed"
fi

# expiry: what has passed goes, the rest stays, and what was changed by hand is left alone
run block --over 20 --for 1s --younger 1h --log "$work/log" --format nft --output "$work/short" > /dev/null 2>&1
sleep 2
same "prune drops what has expired" "$(run block --prune "$work/short")" "3 expired, 0 left"
block --format nft --output "$work/short" > /dev/null 2>&1
same "prune keeps what has not" "$(run block --prune "$work/short")" "0 expired, 3 left"
echo 'add element inet qsurgeon_block bad4 { 9.9.9.9 }' >> "$work/short"
cp "$work/short" "$work/before"
same "a file changed by hand is refused" "$(run block --prune "$work/short" 2> /dev/null || echo $?)" 65
same "and by --output, too" "$(block --output "$work/short" > /dev/null 2>&1 || echo $?)" 65
check "and stays as it is" cmp "$work/before" "$work/short"

# at the door of the running server
cp "$work/cidr" "$work/block.cidr"
postfix -c "$work/pf/etc" reload > /dev/null 2>&1
sleep 1
python3 - "$port" <<'PYTHON' > "$work/answers"
import smtplib
import sys
for address in ("192.0.2.9", "192.0.2.200"):
    s = smtplib.SMTP("127.0.0.1", int(sys.argv[1]))
    s.docmd(f"XCLIENT NAME=[UNAVAILABLE] ADDR={address}")
    s.ehlo("x")
    s.docmd("MAIL FROM:<x@there.example>")
    print(address, s.docmd("RCPT TO:<joe@here.example>")[0])
PYTHON
same "Postfix rejects who is blocked" "$(grep '^192.0.2.9 ' "$work/answers")" "192.0.2.9 554"
same "and nobody else" "$(grep '^192.0.2.200 ' "$work/answers")" "192.0.2.200 250"
