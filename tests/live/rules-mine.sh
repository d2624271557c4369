# SPDX-License-Identifier: Apache-2.0
# rules-mine.sh: rules mined from the first 30 % of the lab's storms catch the rest and no real mail, as postmap says; and a
# running Postfix that has them refuses the storm at the door. QS_FULL=1: all scenarios in full size.
. "$(dirname "$0")/lib"
need_root rules-mine
postconf -m | grep -qx pcre || { skip rules-mine "postfix-pcre is missing"; exit 0; }

if [ -n "${QS_FULL:-}" ]; then
    set -- backup-mx-flood dictionary-attack compromised-account backscatter-victim-loopback joe-job-in mixed-100k \
        open-relay-probe
    scale=1 least=50
else
    set -- open-relay-probe
    scale=0.3 least=70
fi
for scenario in "$@"; do
    "$lab/stormlab" gen "$lab/dev/$scenario.json" --out "$work/out" --scale $scale
    postfix_start "$work/pf" --clean --site "$work/out/site.json"
    "$lab/stormlab" inject-postfix "$work/out" --config "$work/pf/etc" --smtp "127.0.0.1:$port"
    postfix_stop "$work/pf"
    "$lab/stormlab" retouch "$work/out" "$work/pf/spool"
    echo "# $scenario"
    rm -rf "$work/tables"
    python3 "$live/rules_mine.py" "$work/out" "$work/pf/spool" "$work/pf/etc" "$work/tables" $least
    [ "$scenario" = "$1" ] || rm -rf "$work/out"
    [ ! -d "$work/out" ] || { mv "$work/out" "$work/door"; mv "$work/tables" "$work/door/tables"; }
done

# the last step: at the door
postfix_start "$work/pf2" --clean --site "$work/door/site.json" --set mynetworks=127.0.0.0/8 --set local_recipient_maps= \
    --set relay_recipient_maps= --set "smtpd_sender_restrictions=" --set "smtpd_helo_restrictions=" \
    --set "header_checks=pcre:$work/door/tables/pcre/header_checks.pcre" \
    --set "body_checks=pcre:$work/door/tables/pcre/body_checks.pcre"
python3 "$live/rules_door.py" "$work/door" "$port"
postfix_stop "$work/pf2"
