# SPDX-License-Identifier: Apache-2.0
# door.sh: the back door of a secondary MX. Mail that came around the filter is marked, doctor --dns knows what this host is
# for each domain, and with the rules that were printed a real Postfix takes mail from the filter only.
. "$(dirname "$0")/lib"
need_root door
command -v unbound > /dev/null || { skip door "unbound is not installed"; exit 0; }
[ "${QS_PRIVATE_NETWORK:-}" = 1 ] || "$lab/get-sendmail" > /dev/null 2>&1 || true      # while there is a way out
in_private_network door
ip addr add 192.0.2.40/32 dev lo        # this host's own address

# shellcheck disable=SC2086
"$lab/mta-dns" "$work/dns" 53 start $name_servers \
    --data 'first.example. MX 10 mx.site.example.' --data 'first.example. MX 10 other.good.example.' \
    --data 'backup1.example. MX 10 mx.good.example.' --data 'backup1.example. MX 20 mx.site.example.' \
    --data 'byaddress.example. MX 5 host.byaddress.example.' --data 'host.byaddress.example. A 192.0.2.40' \
    --data 'filtered.example. MX 10 filter.example.' --data 'filter.example. A 198.51.100.7' \
    --data 'gone.example. MX 10 mx.good.example.' --data 'mine.example. MX 10 mx.loop.example.' \
    --data 'other.good.example. A 192.0.2.99' --data 'mx.site.example. A 192.0.2.40'
at_end="$lab/mta-dns $work/dns 53 stop; $at_end"
postfix_start "$work/pf" --set 'relay_domains=backup1.example, silent.example' --set 'inet_interfaces=all' \
    --set 'mydestination=$myhostname, localhost, first.example, byaddress.example, filtered.example, gone.example, mine.example' \
    --set 'mynetworks=127.0.0.0/8'
cat > "$work/site.conf" <<'TEXT'
[site]
trusted_relays = 198.51.100.7
TEXT
run() { timeout 100 "$QSURGEON" --mta postfix --queue "$work/pf/spool" --config "$work/pf/etc" --site "$work/site.conf" --state "$work/state" "$@"; }

# --- doctor --dns
run doctor --dns --json > "$work/roles" 2> "$work/said"
roles=$(python3 -c 'import json, sys
r = {d["domain"].split(".")[0]: d for d in map(json.loads, open(sys.argv[1]))}
print(" ".join(n + "=" + r[n]["role"] for n in ("first", "backup1", "byaddress", "filtered", "gone", "silent")))
assert r["backup1"]["relayed"] and "takes recipients that the primary does not know" in r["backup1"]["warning"]
assert r["mine"]["mx"] == "loopback" and "loopback" in r["mine"]["warning"]
assert "back door" in r["gone"]["warning"]' "$work/roles" 2>&1) || true
want='first=primary backup1=secondary byaddress=primary filtered=behind gone=not listed silent=unknown'
check "doctor --dns tells the roles and what is wrong" [ "$roles" = "$want" ]
run doctor --dns > "$work/text" 2> /dev/null
check "and as a table" grep -q 'backup1.example *relayed *secondary' "$work/text"
check "what is wrong is told whole" sh -c 'run_out=$(tr -s " \n" " " < "$1"); case $run_out in *"set relay_recipient_maps, or sendmail"*) ;; *) exit 1 ;; esac' sh "$work/text"

# which recipients the secondary takes, and which the primary has
same() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "'$2' is not '$3'"; fi; }
says() { # says MAPS: what is said of backup1.example with these tables
    postconf -c "$work/pf/etc" -e "relay_recipient_maps = $1"
    run doctor --dns --json 2> /dev/null | python3 -c 'import json, sys
w = [d["warning"] or "nothing" for d in map(json.loads, sys.stdin) if d["domain"] == "backup1.example"]
print(*w, sep="; ")'
}
all='This secondary takes recipients that the primary does not know*'
secondary() { # secondary NAME PATTERN MAPS
    said=$(says "$3")
    # shellcheck disable=SC2254
    case $said in
        $2) ok "$1" ;;
        *) not_ok "$1" "$said" ;;
    esac
}
printf 'joe@backup1.example x\nann@backup1.example x\n' > "$work/users"
printf '@backup1.example x\n' > "$work/anybody"
postmap "hash:$work/users" "hash:$work/anybody"
echo '/^j/ x' > "$work/some"
echo '/./ x' > "$work/every"
secondary "a secondary that knows the recipients is no danger" nothing "hash:$work/users"
secondary "one whose table has the whole domain is" "$all" "hash:$work/users hash:$work/anybody"
secondary "and one whose table says yes to everything" "$all" static:x
secondary "be it a pattern" "$all" "hash:$work/users regexp:$work/every"
secondary "other patterns may know them" nothing "regexp:$work/some"
postconf -c "$work/pf/etc" -e smtpd_reject_unlisted_recipient=no
secondary "a table that is not looked into does not help" "$all" "hash:$work/users"
postconf -c "$work/pf/etc" -e smtpd_reject_unlisted_recipient=yes
# the primary, and its list
secondary_port=$port
postfix_start "$work/primary" --set 'mydestination=backup1.example' --set 'alias_maps=' --set "local_recipient_maps=hash:$work/local"
postfix_stop "$work/primary"
port=$secondary_port
printf 'joe x\nsue x\nann x\n' > "$work/local"
postmap "hash:$work/local"
"$QSURGEON" recipients keygen "$work/key" > /dev/null
"$QSURGEON" --mta postfix --queue "$work/primary/spool" --config "$work/primary/etc" recipients export --key "$work/key" > "$work/list"
run recipients import "$work/list" --public-key "$work/key.pub" --output "$work/imported" > /dev/null
secondary "with the primary's own list nothing is wrong" nothing "hash:$work/imported"
secondary "one that lacks a recipient refuses it" 'It refuses 1 recipient that the imported list of the primary has, such as sue@backup1.example.' \
    "hash:$work/users"
printf 'gone@backup1.example x\nleft@backup1.example x\n' > "$work/more"
postmap "hash:$work/more"
secondary "one that has more takes what the primary refuses" \
    'It takes 2 recipients that the imported list of the primary does not have, such as gone@backup1.example.' \
    "hash:$work/imported hash:$work/more"
postconf -c "$work/pf/etc" -e "relay_recipient_maps = hash:$work/users"

# --- marks
# the filter, its neighbour, a stranger
for address in 198.51.100.7 198.51.100.8 203.0.113.77; do ip addr add "$address/32" dev lo; done
cat > "$work/send.py" <<'PYTHON'
import smtplib
import sys
# what a host of ours says that it had from outside; behind it whatever a stranger says
line = "Received: from x (%s) by inner.site.example (%s) with %s id 4ABCDEF; Sun, 22 Nov 2026 10:00:00 +0000\n"
inner = "inner.site.example"
stranger = line % ("unknown [203.0.113.77]", "Postfix", "ESMTP")
through = line % ("filter.example [198.51.100.7]", "Postfix", "ESMTPS")
there = {
    "inner": stranger, "inner-through": through + stranger, "inner-twice": line % ("[127.0.0.1]", "amavis", "ESMTP") + stranger,
    "inner-sendmail": line % ("[203.0.113.77]", "8.17.1/8.17.1", "ESMTP") + through,
    "inner-login": line % ("unknown [203.0.113.77]", "Postfix", "ESMTPSA"),
    "inner-sendmail-login": line % ("[203.0.113.77]) (authenticated bits=0", "8.17.1/8.17.1", "ESMTP"),
    "inner-qmail": f"Received: from unknown (HELO x)(198.51.100.7) (203.0.113.77)\n  by {inner} with SMTP; 22 Nov 2026 10:00:00 -0000\n",
    "inner-bare": f"Received: from x (203.0.113.77) by {inner} with ESMTP id 5; Sun, 22 Nov 2026 10:00:00 +0000\n" + through,
    "inner-alone": f"Received: from 203.0.113.77 by {inner} with SMTP; Sun, 22 Nov 2026 10:00:00 +0000\n" + through,
    "inner-filter": f"Received: from x (198.51.100.7) by {inner} with ESMTP id 5; Sun, 22 Nov 2026 10:00:00 +0000\n" + stranger,
    "inner-exchange": f"Received: from x (127.0.0.1) by {inner} (127.0.0.2) with Microsoft SMTP Server id 15.0; Sun, 22 Nov 2026 "
                      "10:00:00 +0000\n" + stranger,
    "inner-ident": f"Received: from x (HELO x) (a@198.51.100.7) by {inner} with SMTP; 22 Nov 2026 10:00:00 -0000\n" + stranger,
    "inner-web": line % ("[203.0.113.77]", "webmail", "HTTP"), "inside": "",
}
domain = sys.argv[2]
for client, name in (("198.51.100.7", "through"), ("203.0.113.77", "around"), ("198.51.100.8", "neighbour"),
                     *(("127.0.0.1", name) for name in there)):
    with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), source_address=(client, 0), timeout=60) as s:
        head = there.get(name, through if name == "around" else "")
        s.sendmail("ann@elsewhere.example", [f"{name}@{domain}"], f"{head}Subject: {name}@\n\nHello.\n")
with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), source_address=("203.0.113.77", 0), timeout=60) as s:
    s.sendmail("ann@elsewhere.example", ["root@mx.site.example"], "Subject: root@\n\nHello.\n")
PYTHON
marked() { python3 -c 'import json, sys
m = {r["subject"].split("@")[0]: "+".join(r["marks"]) for r in map(json.loads, open(sys.argv[1])) if r["marks"]}
print(" ".join(f"{k}={m[k]}" for k in sorted(m)))' "$1"; }
want='around=bypass inner=bypass inner-alone=bypass inner-bare=bypass inner-exchange=bypass inner-ident=bypass'
want="$want inner-qmail=bypass inner-sendmail=bypass inner-twice=bypass neighbour=bypass root=bypass+host-name"
python3 "$work/send.py" "$port" first.example
run list --json > "$work/list"
check "what came around the filter is marked" [ "$(marked "$work/list")" = "$want" ]
count=$(run list --ids --where "marks LIKE '%bypass%'" | wc -l)
check "and can be selected" [ "$count" = 11 ]

# --- rules
status=0
timeout 100 "$QSURGEON" --mta postfix --queue "$work/pf/spool" --config "$work/pf/etc" rules door --no-dns > /dev/null 2>&1 || status=$?
check "without a filter there is no rule for a door" [ $status = 64 ]
run rules --no-dns --json > "$work/rules"
check "the queue calls for the door alone" [ "$(grep -o '"rule":"[a-z-]*"' "$work/rules" | tr '\n' ' ')" = '"rule":"door-postfix" "rule":"door-nft" ' ]
grep door-postfix "$work/rules" > "$work/postfix-rules"
check "Postfix understands it" install_rules "$work/postfix-rules"
sleep 1         # reload is not waited for
answers() { # answers NAME PATTERN CLIENT
    said=$(python3 "$live/say.py" "$port" ann@elsewhere.example bob@first.example "$3" 2>&1 | tail -n 1)
    case $said in
        $2) ok "$1" ;;
        *) not_ok "$1" "$said" ;;
    esac
}
answers "the filter comes in" '250 *' 198.51.100.7
answers "our own network comes in" '250 *' 127.0.0.1
answers "a stranger is told to try elsewhere" '450 4.7.1 *filter only*' 203.0.113.77
answers "and so is the filter's neighbour" '450 4.7.1 *filter only*' 198.51.100.8

python3 -c 'import json, sys
for r in map(json.loads, open(sys.argv[1])):
    if r["rule"] == "door-nft":
        open(sys.argv[2], "w").write(r["content"])' "$work/rules" "$work/door.nft"
if ! command -v nft > /dev/null || ! echo 'table inet qsurgeon_test { }' | nft -c -f - 2> "$work/why"; then
    skip door-nft "nft is not permitted: $(tail -n 1 "$work/why" 2> /dev/null)"
else
    check "nft understands it" nft -c -f "$work/door.nft"
    printf '[site]\ntrusted_relays = 198.51.100.7 2001:db8::/32 198.51.100.0/24 2001:db8:1::9\n' > "$work/site.conf"
    run rules door --no-dns --json | python3 -c 'import json, sys
for r in map(json.loads, sys.stdin):
    if r["rule"] == "door-nft":
        print(r["content"])' > "$work/six.nft"
    check "also ranges within ranges, of both families" nft -c -f "$work/six.nft"
    # only in this network: the rule for port 25 closes the door of 127.0.0.1 to nobody, and loading it twice is no error
    check "it can be loaded, and once more" sh -c 'nft -f "$1" && nft -f "$1"' sh "$work/door.nft"
    printf 'flush ruleset\ninclude "%s"\n' "$work/door.nft" > "$work/nftables.conf"
    check "and from the file that is loaded at boot" sh -c 'nft -f "$1" && nft list table inet qsurgeon_door > /dev/null' sh "$work/nftables.conf"
fi

# --- the marks in a sendmail queue
if ! root=$("$lab/get-sendmail" 2> "$work/why"); then
    skip door-sendmail "$(tail -n 1 "$work/why")"
    exit 0
fi
printf '[site]\ntrusted_relays = 198.51.100.7\nnetworks = 127.0.0.0/8\n' > "$work/site.conf"
sendmail_start "$work/sm"
python3 "$work/send.py" "$port" elsewhere.example
timeout 100 "$QSURGEON" --mta sendmail --queue "$work/sm/root/mqueue" --config "$work/sm/root/sendmail.cf" \
    --site "$work/site.conf" list --json > "$work/list"
check "what came around the filter is marked in sendmail's queue, too" [ "$(marked "$work/list")" = "$want" ]
