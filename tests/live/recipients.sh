# SPDX-License-Identifier: Apache-2.0
# recipients.sh: a primary tells a backup who exists. A real Postfix as backup takes mail for nobody until it knows, then
# rejects strangers at the door; damaged, older and shrunken lists change nothing; what has come in for nobody is taken off.
. "$(dirname "$0")/lib"
need_root recipients
same() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "$2 is not $3"; fi; }

# the primary: local users by a table and aliases, virtual aliases, mailboxes, and a relayed domain that takes everybody
postfix_start "$work/primary" --set 'mydestination=here.example' --set 'recipient_delimiter=+' \
    --set "alias_maps=hash:$work/aliases" --set "local_recipient_maps=hash:$work/users \$alias_maps" \
    --set 'virtual_alias_domains=virt.example' --set "virtual_alias_maps=hash:$work/virtual" \
    --set 'virtual_mailbox_domains=box.example' --set "virtual_mailbox_maps=texthash:$work/boxes" \
    --set 'relay_domains=all.example'
postfix_stop "$work/primary"
printf 'joe x\nann x\nJim x\n' > "$work/users"
printf 'postmaster: joe\nsales: joe, ann\n' > "$work/aliases"
printf 'info@virt.example joe@here.example\nboss@virt.example ann\n' > "$work/virtual"
printf 'box1@box.example a/\nbox2@box.example b/\n' > "$work/boxes"
postmap "hash:$work/users" "hash:$work/virtual"
postalias "hash:$work/aliases"
primary() { "$QSURGEON" --mta postfix --queue "$work/primary/spool" --config "$work/primary/etc" recipients "$@"; }

"$QSURGEON" recipients keygen "$work/key" > /dev/null
"$QSURGEON" recipients keygen "$work/other" > /dev/null
same "the secret key is secret" "$(stat -c %a "$work/key")" 600
cp "$work/key" "$work/key.before"
same "keygen replaces no key" "$("$QSURGEON" recipients keygen "$work/key" > /dev/null 2>&1 || echo $?)" 64
check "and leaves it as it is" cmp "$work/key" "$work/key.before"

primary export --key "$work/key" --output "$work/list1" > /dev/null 2> "$work/notes"
same "every recipient is in the list" "$(grep @ "$work/list1" | sort | tr '\n' ' ')" \
    "@all.example ann@here.example boss@virt.example box1@box.example box2@box.example info@virt.example jim@here.example \
joe@here.example postmaster@here.example sales@here.example "
check "a domain that takes everybody is said" grep -q 'relay_recipient_maps: is empty' "$work/notes"
primary export --key "$work/key" --output "$work/list1" > /dev/null 2>&1
cp "$work/list1" "$work/list2"
primary export --key "$work/key" --output "$work/list2" > /dev/null 2>&1
serial() { sed -n 's/^serial //p' "$1"; }
if [ "$(serial "$work/list2")" -gt "$(serial "$work/list1")" ]; then ok "the serial number grows"; else
    not_ok "the serial number grows" "$(serial "$work/list1") $(serial "$work/list2")"; fi
postconf -c "$work/primary/etc" -e "virtual_alias_maps=pcre:$work/patterns"
echo '/^x/ joe' > "$work/patterns"
primary export --key "$work/key" > "$work/wide" 2> "$work/notes"
if grep -qx '@here.example' "$work/wide" && grep -qx '@virt.example' "$work/wide" && grep -q 'cannot be listed' "$work/notes"; then
    ok "a table that cannot be listed takes the whole domain"; else not_ok "a table that cannot be listed takes the whole domain"; fi
postconf -c "$work/primary/etc" -e "virtual_alias_maps=hash:$work/virtual"

# the backup takes everything, as it knows nobody
postfix_start "$work/backup" --set 'mydestination=' --set 'mynetworks=192.0.2.1' --set 'recipient_delimiter=+' \
    --set 'relay_domains=here.example virt.example box.example all.example' \
    --set 'smtpd_relay_restrictions=reject_unauth_destination'
table=$work/relay_recipients
backup() { "$QSURGEON" --mta postfix --queue "$work/backup/spool" --config "$work/backup/etc" "$@" --state "$work/state"; }
import() { backup recipients import "$@" --public-key "$work/key.pub" --output "$table"; }
cat > "$work/send.py" <<'PYTHON'
import smtplib
import sys
port = int(sys.argv[1])
for spec in sys.argv[2:]:
    s = smtplib.SMTP("127.0.0.1", port)
    s.ehlo("there.example")
    s.docmd("MAIL FROM:<ann@there.example>")
    codes = [s.docmd(f"RCPT TO:<{to}>")[0] for to in spec.split(",")]
    if 250 in codes:
        s.data(f"Subject: {spec}\r\nFrom: ann@there.example\r\n\r\nHello, this is for {spec}.\r\n")
    print(spec, *codes)
    s.close()
PYTHON
python3 "$work/send.py" "$port" joe@here.example nobody@here.example joe@here.example,nobody2@here.example,ann@here.example \
    who@virt.example anyone@all.example joe+list@here.example > "$work/answers"
same "a backup that knows nobody takes all" "$(grep -vc 250 "$work/answers")" 0

printf '# by hand\nlist@here.example OK' > "$table"
import "$work/list1" > "$work/said"
same "lines of one's own stay" "$(postmap -q list@here.example "hash:$table")" OK
same "import makes a table" "$(postmap -q info@virt.example "hash:$table")" OK
same "that has nobody else" "$(postmap -q nobody@here.example "hash:$table" || echo none)" none
same "the same list again is no news" "$(import "$work/list1")" "serial $(serial "$work/list1") is in use already"
postconf -c "$work/backup/etc" -e "relay_recipient_maps=hash:$table"
postfix -c "$work/backup/etc" reload > /dev/null 2>&1
sleep 1
python3 "$work/send.py" "$port" nobody@here.example who@virt.example joe@here.example box2@box.example x@all.example \
    joe+x@here.example > "$work/answers"
same "the door: strangers out, the rest in" "$(tr '\n' ' ' < "$work/answers")" "nobody@here.example 550 who@virt.example 550 \
joe@here.example 250 box2@box.example 250 x@all.example 250 joe+x@here.example 250 "

# nothing that is wrong with a list changes the table in use
import "$work/list2" > /dev/null
cp "$table.db" "$work/table.before"
cp "$work/state-recipients/list" "$work/kept.before"
refused() { # refused NAME STATUS LIST [OPTION...]
    name=$1 wanted=$2
    shift 2
    same "refused: $name" "$(import "$@" > /dev/null 2>> "$work/refusals" || echo $?)" "$wanted"
    if cmp -s "$table.db" "$work/table.before" && cmp -s "$work/state-recipients/list" "$work/kept.before"; then ok "unchanged: $name"; else
        not_ok "unchanged: $name"; fi
}
refused "an older list" 65 "$work/list1"
for cut in 0 1 40 200 400; do head -c "$cut" "$work/list2" > "$work/bad"; refused "cut at $cut" 65 "$work/bad"; done
sed '$d' "$work/list2" > "$work/bad"; refused "without its signature" 65 "$work/bad"
sed 's/^joe@/jof@/' "$work/list2" > "$work/bad"; refused "with an address changed" 65 "$work/bad"
sed "s/^serial .*/serial 4000000000/" "$work/list2" > "$work/bad"; refused "with its serial number changed" 65 "$work/bad"
{ cat "$work/list2"; echo more; } > "$work/bad"; refused "with more behind it" 65 "$work/bad"
primary export --key "$work/other" > "$work/bad" 2> /dev/null; refused "signed by another key" 65 "$work/bad"
printf 'joe x\n' > "$work/users"; postmap "hash:$work/users"
printf 'box1@box.example a/\n' > "$work/boxes"
sleep 1
cp "$work/list2" "$work/small"
primary export --key "$work/key" --output "$work/small" > /dev/null 2>&1
refused "with too few recipients" 65 "$work/small"
refused "where no table can be made" 64 "$work/small" --max-shrink 90 --format nothing
mkdir "$work/fake"
for how in 'exit 1' 'echo half > "${1#*:}.db"; exit 1' 'echo half > "${1#*:}.db"; kill -9 $$' 'exec /usr/sbin/postmap "hash:$EMPTY"'; do
    printf '#!/bin/sh\n[ "$1" != -q ] || exec /usr/sbin/postmap "$@"\n[ "$1" != -c ] || shift 2\n%s\n' "$how" > "$work/fake/postmap"
    chmod 755 "$work/fake/postmap"
    : > "$work/empty"
    name="where postmap does: $how" real=$PATH
    PATH=$work/fake:$PATH EMPTY=$work/empty
    export EMPTY
    refused "$name" 78 "$work/small" --max-shrink 90
    PATH=$real
done
mv "$table" "$work/elsewhere"
ln -s "$work/elsewhere" "$table.qsurgeon"
refused "where a symbolic link lies in the way" 64 "$work/small" --max-shrink 90
rm "$table.qsurgeon"
import "$work/small" --max-shrink 90 > /dev/null
same "--max-shrink takes it" "$(postmap -q ann@here.example "hash:$table" || echo none)" none
refused_left=$(find "$work" -maxdepth 1 -name 'relay_recipients*' | wc -l)
same "nothing is left beside the table" "$refused_left" 2

# the queue: what waits for nobody
backup recipients check > "$work/said"
check "check: the sum" grep -q '^5 recipients of 12 recipients that wait' "$work/said"
backup recipients check --json > "$work/json"
same "check: each recipient" "$(python3 -c 'import json, sys
print(*sorted(r["recipient"] for r in map(json.loads, sys.stdin) if r["listed"] == "unknown"))' < "$work/json")" \
    "ann@here.example box2@box.example nobody2@here.example nobody@here.example who@virt.example"
primary export --key "$work/key" --hashed > "$work/hashed" 2> /dev/null
same "a hashed list shows no address" "$(grep -c @ "$work/hashed" || true)" 0
backup recipients check --json --list "$work/hashed" --public-key "$work/key.pub" > "$work/json2"
check "and says the same of the queue" cmp "$work/json" "$work/json2"
same "a hashed list is no table" "$(import "$work/hashed" --max-shrink 100 > /dev/null 2>&1 || echo $?)" 64
waiting() { postqueue -c "$work/backup/etc" -j | python3 -c 'import json, sys
print(*sorted(r["address"] for line in sys.stdin for r in json.loads(line)["recipients"]))'; }
before=$(waiting)
backup drop-recipients --unknown --include-legit > /dev/null
same "without --commit nothing happens" "$(waiting)" "$before"
same "an unsigned list takes nothing away" "$(backup drop-recipients --unknown --list "$work/small" > /dev/null 2>&1 || echo $?)" 64
backup drop-recipients --unknown --include-legit --commit > "$work/said"
same "drop-recipients --unknown leaves who exists" "$(waiting)" \
    "anyone@all.example joe+list@here.example joe+x@here.example joe@here.example joe@here.example joe@here.example x@all.example"
same "and no bounce is made" "$(find "$work/backup/spool/bounce" -type f | wc -l)" 0

# a hashed list is kept for check alone
backup recipients import "$work/hashed" --max-shrink 100 --public-key "$work/key.pub" > /dev/null 2>&1 || true
sleep 1     # a serial is a time, where no older list is written over
primary export --key "$work/key" --hashed > "$work/hashed2" 2> /dev/null
same "a hashed list is imported without a table" "$(backup recipients import "$work/hashed2" --public-key "$work/key.pub" |
    sed 's/, serial.*//')" "7 recipients of 4 domains"
check "and checked with" grep -q '^0 recipients of 7' <<TEXT
$(backup recipients check)
TEXT
