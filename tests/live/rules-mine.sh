# SPDX-License-Identifier: Apache-2.0
# rules-mine.sh: rules mined from the first 30 % of the lab's storms catch the rest and no real mail, as postmap says; a running
# Postfix that has them refuses the storm at the door; and so do the other filters that are here. QS_FULL=1: all scenarios in
# full size.
. "$(dirname "$0")/lib"
need_root rules-mine
postconf -m | grep -qx pcre || { skip rules-mine "postfix-pcre is missing"; exit 0; }

if [ -n "${QS_FULL:-}" ]; then
    set -- compromised-account backup-mx-flood dictionary-attack backscatter-victim-loopback joe-job-in open-relay-probe \
        smoke mixed-100k
    scales="1 1 1 1 1 1 1 1" least=12
else
    set -- compromised-account open-relay-probe smoke
    scales="0.1 0.2 1" least=36
fi
for scenario in "$@"; do
    case=$work/$scenario scale=${scales%% *} scales=${scales#* }
    "$lab/stormlab" gen "$lab/dev/$scenario.json" --out "$case/out" --scale $scale
    # one whom notices of the smoke scenario go to has an alias: what the queue names is not what the door hears
    postfix_start "$case/pf" --clean --site "$case/out/site.json" \
        --set 'virtual_alias_maps=inline:{rachel97@client1.example=rl@client1.example}'
    "$lab/stormlab" inject-postfix "$case/out" --config "$case/pf/etc" --smtp "127.0.0.1:$port"
    postfix_stop "$case/pf"
    "$lab/stormlab" retouch "$case/out" "$case/pf/spool"
    echo "# $scenario"
    python3 "$live/rules_mine.py" "$case/out" "$case/pf/spool" "$case/pf/etc" "$case/tables" $least
    [ "$scenario" = "$1" ] || [ "$scenario" = smoke ] || rm -rf "$case"
done

# at the door, and in other filters
case=$work/$1
python3 "$live/rules_formats.py" write "$case/out" "$case/pf/spool" "$case/pf/etc" "$case/forms"
postfix_start "$work/door" --site "$case/out/site.json" --set mynetworks=127.0.0.0/8 --set local_recipient_maps= \
    --set relay_recipient_maps= --set "header_checks=pcre:$case/tables/pcre/header_checks.pcre" \
    --set "body_checks=pcre:$case/tables/pcre/body_checks.pcre"
python3 "$live/rules_door.py" "$case" "$port"
postfix_stop "$work/door"
tables=$work/smoke/tables/pcre
postfix_start "$work/door" --clean --site "$work/smoke/out/site.json" --set mynetworks=127.0.0.0/8 --set local_recipient_maps= \
    --set relay_recipient_maps= --set "$(sed -n '1s/^# \(.*\) = /\1=/p' "$tables/notices.pcre")" \
    --set "$(sed -n '2s/^# \([^ ]*\) = /\1=/p' "$tables/notices.pcre")" \
    --set "$(sed -n '3s/^# \([^ ]*\) = /\1=/p' "$tables/notices.pcre")" \
    --set "header_checks=pcre:$tables/header_checks.pcre" --set "body_checks=pcre:$tables/body_checks.pcre"
python3 "$live/rules_door.py" "$work/smoke" "$port"
postfix_stop "$work/door"

if ! root=$("$lab/get-sendmail" 2> "$work/why"); then
    skip rules-mine-sendmail "$(tail -n 1 "$work/why")"
    exit 0
fi
sendmail_start "$work/sm" --site "$case/out/site.json" --mc "$case/forms/sendmail"
python3 "$live/rules_formats.py" sendmail "$case/out" "$case/forms" "$port"
"$QSURGEON" --mta postfix --queue "$work/smoke/pf/spool" --config "$work/smoke/pf/etc" rules mine --format sendmail > "$work/notices.mc"
sed -i '/^dnl # To use this,/,$s/^dnl //' "$work/notices.mc"
sendmail_start "$work/sm-notices" --site "$work/smoke/out/site.json" --mc "$work/notices.mc"
python3 "$live/rules_formats.py" notices "$work/smoke/out" "$work/smoke/tables" "$port"
