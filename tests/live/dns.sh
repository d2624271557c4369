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

run() { timeout 60 "$QSURGEON" --mta postfix --queue "$work/pf/spool" --config "$work/pf/etc" "$@"; }
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
    sh "$QSURGEON" --mta postfix --queue "$work/pf/spool" --config "$work/pf/etc" triage --dns "$server"
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
