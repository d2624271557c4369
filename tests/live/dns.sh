# SPDX-License-Identifier: Apache-2.0
# dns.sh: what --mx takes and leaves, against a real DNS server with hostile zones, on the queue of a real Postfix.
. "$(dirname "$0")/lib"
need_root dns
command -v unbound > /dev/null || { skip dns "unbound is not installed"; exit 0; }

domains="loop loop6 zero literal localhost-mx private cgnat null good implicit implicit-loop textonly backup dangling
    us thousands nx"
postfix_start "$work/pf"
dns_start "$work/dns"
cat > "$work/send.py" <<'PYTHON'
import smtplib
import sys
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as s:
    for domain in sys.argv[2:]:
        s.sendmail("", [f"someone@{domain}.example"], f"Subject: to {domain}\n\nHello {domain}.\n")
    if "loop" not in sys.argv:
        sys.exit()
    s.sendmail("a@site.example", ["x@loop.example", "y@good.example"], "Subject: two\n\nTo two.\n")
    if "loop" not in sys.argv:
        sys.exit()
    s.sendmail("a@site.example", ["x@loop.example", "y@null.example"], "Subject: hopeless\n\nTo two.\n")
    s.sendmail("a@site.example", ["x@[127.0.0.1]"], "Subject: address\n\nTo an address.\n")
PYTHON
# shellcheck disable=SC2086
python3 "$work/send.py" "$port" $domains

run() { timeout 60 "$QSURGEON" --mta postfix --queue "$work/pf/spool" --config "$work/pf/etc" --state "$work/state" "$@"; }
subjects() { run list --json "$@" 2>> "$work/said" | python3 -c 'import json, sys
print(" ".join(sorted(json.loads(line)["subject"].removeprefix("to ") for line in sys.stdin)))'; }
expect() { # expect NAME WANTED OPTION...
    name=$1 wanted=$2
    shift 2
    got=$(subjects "$@")
    if [ "$got" = "$wanted" ]; then ok "$name"; else not_ok "$name" "got '$got', not '$wanted'"; fi
}

server=127.0.0.1:$dns_port
expect "loopback by name, address, IPv6, alias of the domain itself, 1,501 exchangers" \
    "address dangling implicit-loop literal localhost-mx loop loop6 thousands zero" --mx loopback --dns "$server"
expect "private addresses" "cgnat private" --mx private --dns "$server"
expect "null MX, no domain, no address" "null nx textonly" --mx none --dns "$server"
expect "this host by its name" "us" --mx self --dns "$server"
expect "all recipients must be of the kinds" \
    "address dangling hopeless implicit-loop literal localhost-mx loop loop6 null nx textonly thousands zero" --mx loopback,none --dns "$server"
expect "narrowed by another selection" "hopeless" --mx loopback,none --sender '^a@' --recipient loop --dns "$server"
status=0
run list --mx loopback --no-dns > /dev/null 2>&1 || status=$?
check "--no-dns forbids it" [ $status = 64 ]
status=0
run list --mx ok > /dev/null 2>&1 || status=$?
check "only what is bad can be selected" [ $status = 64 ]
dead=$(run triage --json --dns "$server" 2> /dev/null | python3 -c 'import json, sys
h = json.load(sys.stdin)["hopeless"]; print(h["messages"], h["dead"], h["dns"])')
check "what can never be delivered is counted" [ "$dead" = "14 14 True" ]
check "and is told at the end" sh -c 'timeout 60 "$@" | tail -n 3 | tr "\n" " " | grep -q "14 messages .* can never be delivered: 14 to domains that lead nowhere"' \
    sh "$QSURGEON" --mta postfix --queue "$work/pf/spool" --config "$work/pf/etc" --state "$work/state" triage --dns "$server"
closed=$(free_port)
expect "a server that is not there is no evidence" "address" --mx loopback,none,private,self --dns "127.0.0.1:$closed"

python3 "$work/send.py" "$port" alias circle endless refused silent     # an alias that the server leads nowhere
run list --json --dns "$server" 2> "$work/complaint" > "$work/list"
check "what failed is told" grep -q 'not answered' "$work/complaint"
mx=$(python3 -c 'import json, sys
kinds = {}
for line in open(sys.argv[1]):
    for r in json.loads(line)["recipients"]:
        kinds[r["address"].split("@")[1].split(".")[0]] = r["mx"]
print(" ".join(kinds[k] for k in ("silent", "refused", "circle", "alias", "endless", "loop", "good", "backup", "implicit")))' "$work/list")
case $mx in
    "unknown unknown unknown unknown unknown loopback ok ok ok") ok "what is not known is unknown, and one good exchanger is enough" ;;
    *) not_ok "what is not known is unknown, and one good exchanger is enough" "$mx" ;;
esac
sql=$(run --dns "$server" sql "SELECT count(*) FROM recipients WHERE mx = 'private'" 2> /dev/null | tail -n 1)
check "the mx column" [ "$(echo $sql)" = 2 ]

# --- from one run to the next: with a server that is gone, only what is remembered is known
answers=$work/state-dns/answers
loops() { subjects --mx loopback --dns "${1:-$server}" --recipient '^someone@loop\.'; }
same() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "'$2' is not '$3'"; fi; }
same "answers are kept for this user alone" "$(stat -c %a "$answers" "$work/state-dns" | tr '\n' ' ')" "600 700 "
check "failures for two minutes, others for fifteen at most" python3 - "$answers" <<'PYTHON'
import sys
import time
lines = [line.split() for line in open(sys.argv[1])][1:]
now = time.time()
assert len(lines) > 20
for kind, until, first, second, name, *rest in lines:
    failed = "3" in ((first, second) if kind == "h" else (first,))
    assert now < int(until) + 30 and int(until) <= now + (120 if failed else 300 if first == "2" else 900), (now, kind, until, first, name)
assert not any(line[4].startswith("short.") for line in lines)
PYTHON
python3 "$work/send.py" "$port" short never     # its TTL is 0
same "what holds no second is not kept" "$(subjects --mx loopback --dns "$server" --recipient short)" short
mkdir "$work/cache" "$work/home"
cp -r "$work/pf/spool" "$work/copy"
chown -R nobody "$work/copy" "$work/cache" "$work/home"
of_user() { (cd / && setpriv --reuid nobody --regid nogroup --clear-groups env "$@" "$QSURGEON" --mta postfix --queue "$work/copy" list --ids \
    --mx loopback --dns "$server" --recipient '^someone@loop\.' 2> /dev/null | wc -l); }
same "a user's answers are in his cache directory" "$(of_user "XDG_CACHE_HOME=$work/cache") $(find "$work/cache" -type f -perm 600)" \
    "1 $work/cache/qsurgeon/answers"
same "and where there is none, nowhere" "$(of_user -u XDG_CACHE_HOME "HOME=$work/home") $(find "$work/home" -type f)" "1 "
"$lab/mta-dns" "$work/dns" "$dns_port" stop
same "a user's next run knows them" "$(of_user "XDG_CACHE_HOME=$work/cache") $(of_user -u XDG_CACHE_HOME "HOME=$work/home")" "1 0"
same "the next run knows what was answered" "$(loops)" loop
same "but not what holds no second" "$(subjects --mx loopback --dns "$server" --recipient short)" ""
same "nor of another server" "$(loops "127.0.0.1:$closed")" ""
same "silence takes nothing away" "$(loops)" loop
cp "$answers" "$work/kept"
no_harm() { # no_harm NAME WANTED: what --mx takes with that file
    same "$1" "$(loops)" "$2"
    cp "$work/kept" "$work/state-dns/new"
    mv "$work/state-dns/new" "$answers"
}
chown 12345 "$answers"
no_harm "a file of somebody else is not believed" ""
chmod 666 "$answers"
no_harm "nor one that others may write" ""
ln -sf "$work/kept" "$answers"
no_harm "nor a link" ""
sed 's/^qsurgeon-dns 1/qsurgeon-dns 2/' "$work/kept" > "$answers"
no_harm "nor another form" ""
sed -E 's/^([dh]) [0-9]+/\1 9999999999/' "$work/kept" > "$answers"
no_harm "nor one that would hold for ever" ""
sed -E 's/^([dh]) [0-9]+/\1 1000000000/' "$work/kept" > "$answers"
no_harm "nor one that has ended" ""
head -c 100 /dev/urandom > "$answers"
no_harm "rubbish is passed over" ""
{ head -n 1 "$work/kept"; head -c 3000 /dev/urandom; echo; tail -n +2 "$work/kept"; echo 'd 1 1 1'; printf 'd'; } > "$answers"
no_harm "rubbish between answers, too" loop
head -c 60 "$work/kept" > "$answers"
no_harm "and what is cut off" ""
truncate -s 20M "$answers"
no_harm "and what is too large" ""
rm -r "$work/state-dns"
: > "$work/state-dns"
same "where nothing can be kept, nothing is" "$(loops)" ""
