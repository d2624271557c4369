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

# the same at the door of a running sendmail that relays for the domain, beside lines of the access map that were there before
cat > "$work/mc" <<'TEXT'
undefine(`_PROMISCUOUS_RELAY_')dnl
RELAY_DOMAIN(`here.example all.example')dnl
FEATURE(`access_db', `hash -T<TMPF> /access')dnl
TEXT
printf 'From:spam.example\tREJECT' > "$work/own"
cat > "$work/try.py" <<'PYTHON'
import smtplib
import sys
for sender, to in (("a@there.example", "sales@here.example"), ("a@there.example", "stranger@here.example"),
                   ("a@there.example", "x@all.example"), ("a@there.example", "y@other.example"),
                   ("a@spam.example", "sales@here.example")):
    # another address than 127.0.0.1, for which everything is relayed
    with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), source_address=("127.0.0.2", 0), timeout=60) as s:
        s.ehlo("there.example")
        s.docmd(f"MAIL FROM:<{sender}>")
        print(s.docmd(f"RCPT TO:<{to}>")[0], end=" ")
PYTHON
for feature in '' blacklist_recipients; do
    [ -z "$feature" ] || echo "FEATURE(\`$feature')dnl" >> "$work/mc"
    here=$work/sm-$feature
    sendmail_start "$here" --mc "$work/mc"
    cp "$work/own" "$here/root/access"
    chmod 640 "$here/root/access"
    rm -rf "$work/state-recipients"
    sendmail_at "$here/root/sendmail.cf" import "$work/list" --public-key "$work/key.pub" --output "$here/root/access" \
        --state "$work/state" > /dev/null
    answers=$(python3 "$work/try.py" "$port")
    sed "s|/access|$here/root/access|" "$here/root/sendmail.cf" > "$here/read.cf"
    warned=$("$QSURGEON" --mta sendmail --queue "$here/root/mqueue" --config "$here/read.cf" doctor --dns 127.0.0.1:1 --json \
        --state "$work/state" 2> /dev/null | grep -c '"domain":"here.example".*Every recipient is taken' || true)
    "$lab/mta-sendmail" "$here" "$port" stop
    if [ "$feature" ]; then
        same "a running sendmail refuses who does not exist, and obeys the older lines" "$answers" "250 550 250 550 503 "
        same "and doctor knows that it does" "$warned" 0
    else
        same "without blacklist_recipients sendmail does not ask" "$answers" "250 250 250 550 503 "
        same "and doctor says so" "$warned" 1
    fi
    same "owner and mode stay" "$(stat -c %a "$here/root/access")" 640
done
cp "$here/root/access" "$work/before"
rm -rf "$work/state-recipients"
sendmail_at "$here/root/sendmail.cf" import "$work/list" --public-key "$work/key.pub" --output "$here/root/access" \
    --state "$work/state" > /dev/null
check "the next import replaces the last one alone" cmp "$work/before" "$here/root/access"
printf 'To:sales@here.example\tREJECT\n' >> "$here/root/access"
cp "$here/root/access" "$work/before"
cp "$here/root/access.db" "$work/before.db"
rm -rf "$work/state-recipients"
same "what stands there twice is refused" "$(sendmail_at "$here/root/sendmail.cf" import "$work/list" --public-key "$work/key.pub" \
    --output "$here/root/access" --state "$work/state" > /dev/null 2>&1 || echo $?)" 78
check "and the map in use stays" sh -c 'cmp "$1" "$2" && cmp "$1.db" "$2.db"' sh "$work/before" "$here/root/access"
