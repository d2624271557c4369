# SPDX-License-Identifier: Apache-2.0
# sendmail-door.sh: who guesses, by the log of a real sendmail; who exists, by its aliases and virtual users; and the access
# map that import makes of that with the real makemap.
. "$(dirname "$0")/lib"
need_root sendmail-door
if ! root=$("$lab/get-sendmail" 2> "$work/why"); then
    skip sendmail-door "$(tail -n 1 "$work/why")"
    exit 0
fi
same() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "$2 is not $3"; fi; }
sendmail_start "$work/sm"
"$lab/mta-sendmail" "$work/sm" "$port" stop

# the same server, but it asks whether local users exist; an access map; and somebody who reads what it logs
cf=$work/sm/root/sendmail.cf
printf 'root:x:0:0::/root:/bin/sh\njoe:x:1000:1000::/:/bin/sh\n' > "$work/sm/root/etc/passwd"
sed -i '/^Mlocal,/s/F=/F=w/' "$cf"
printf 'passwd\tfiles\n' >> "$work/sm/root/service.switch"
printf 'passwd: files\nhosts: files\n' > "$work/sm/root/etc/nsswitch.conf"
mkdir -p "$work/sm/root/dev"
cat > "$work/syslog.py" <<'PYTHON'
import socket
import sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
with open(sys.argv[2], "wb", 0) as out:
    while True:
        line = s.recv(65536).rstrip(b"\0\n").partition(b">")[2]
        out.write(line[:16] + b"mx " + line[16:] + b"\n")       # "Nov 22 07:13:42 ", then the host as syslogd puts it
PYTHON
background python3 "$work/syslog.py" "$work/sm/root/dev/log" "$work/log"
sleep 1
"$lab/mta-sendmail" "$work/sm" "$port" run -bd -odq
sleep 1
python3 - "$port" <<'PYTHON' > "$work/answers"
import smtplib
import sys
s = smtplib.SMTP("127.0.0.1", int(sys.argv[1]))
s.ehlo("mail.google.com")
for r in range(3):
    s.docmd("MAIL FROM:<a@there.example>")
    for i in range(10):
        print(s.docmd(f"RCPT TO:<bogus{r}{i}@localhost>")[0])
    s.rset()
s.docmd("MAIL FROM:<a@there.example>")
print("joe", s.docmd("RCPT TO:<joe@localhost>")[0])
print(s.data("Subject: x\r\n\r\nHello.\r\n")[0])
s.close()
PYTHON
sleep 1
same "sendmail refuses users that do not exist" "$(grep -c 550 "$work/answers")" 30
run() { "$QSURGEON" --mta sendmail --queue "$work/sm/root/mqueue" --config "$cf" "$@"; }
same "its log says who guessed" "$(run sources --json --log "$work/log" | python3 -c 'import json, sys
for s in map(json.loads, sys.stdin):
    if s["source"] == "127.0.0.1":
        print(s["log"]["unknown"], s["unknown_recipients"])')" "30 0"

# the primary's list: its users, aliases and virtual users; makemap is run from the unpacked package
bin=$(dirname "$(find "$root" -path '*libexec*' -name makemap -type f | head -n 1)")
PATH=$bin:$PATH
export PATH LD_LIBRARY_PATH="$root/lib"
cp "$cf" "$work/primary.cf"
printf 'sales: joe\n# no: x\npostmaster:\n\tjoe\n' > "$work/aliases"
printf 'info@virt.example\tjoe\n@all.example\tjoe\n' | makemap -C "$cf" hash "$work/virtuser.db" 2> /dev/null
{ echo "O AliasFile=$work/aliases"; echo "Kvirtuser hash -o $work/virtuser"; echo 'Cwhere.example'; } >> "$work/primary.cf"
sendmail_at() { config=$1; shift; "$QSURGEON" --mta sendmail --queue "$work/sm/root/mqueue" --config "$config" recipients "$@"; }
"$QSURGEON" recipients keygen "$work/key" > /dev/null
sendmail_at "$work/primary.cf" export --key "$work/key" > "$work/list" 2> "$work/notes" || cat "$work/notes"
for address in sales@here.example postmaster@here.example root@here.example info@virt.example @all.example; do
    check "the list has $address" grep -qx "$address" "$work/list"
done
check "and no comment" test "$(grep -c no@ "$work/list")" = 0
sendmail_at "$cf" import "$work/list" --public-key "$work/key.pub" --output "$work/access" --state "$work/state" > /dev/null
makemap -C "$cf" -u hash "$work/access.db" 2> /dev/null > "$work/keys"
value() { sed -n "s/^$1[[:space:]]*//p" "$work/keys"; }
same "the access map takes who exists" "$(value to:sales@here.example)" RELAY
same "and the whole of a domain that takes everybody" "$(value to:all.example)" RELAY
same "and nobody else" "$(value to:here.example)" "ERROR:5.1.1:550 User unknown"
