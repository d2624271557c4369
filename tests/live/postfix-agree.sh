# SPDX-License-Identifier: Apache-2.0
# postfix-agree.sh: for every message in real Postfix queues, the program agrees with postqueue -j and postcat.
# Two queues: one with a message for each feature of the format, and a storm of 1,500 messages (QS_FULL=1: 20,000).
. "$(dirname "$0")/lib"
need_root postfix-agree

# what the format has, edited by a real milter, with real replies of a real server in the logs
milter=$(free_port)
background "$lab/milter" "$milter"
sink=$(free_port)
background "$lab/sink" "$sink"
sleep 0.5
for ids in no yes; do
    postfix_start "$work/cases" --clean --set defer_transports= --set "relayhost=[127.0.0.1]:$sink" \
        --set smtp_destination_recipient_limit=1 --set "smtpd_milters=inet:127.0.0.1:$milter" \
        --set milter_default_action=tempfail --set "enable_long_queue_ids=$ids" --set hash_queue_depth=2
    mkdir -p "$work/out"
    rm -f "$work/out/ready"
    python3 "$fixtures/cases.py" postfix "$port" "$work/out" &
    client=$!
    n=0
    until [ -e "$work/out/ready" ] || [ $n = 100 ]; do n=$((n + 1)); sleep 0.1; done
    printf 'Subject: case local\n\nFrom a local program.\n.\nNot the end.\n' |
        sendmail -C "$work/cases/etc" -i -f author@seed.example -N delay -V local-1 later@far.example
    sleep 4
    postsuper -c "$work/cases/etc" -e "$(sed -n 's/^forced	//p' "$work/out/cases.tsv" | tail -n 1)"
    # as it stands in the middle of a delivery, without the server
    cp -a "$work/cases/spool" "$work/frozen"
    postfix_stop "$work/cases"
    wait "$client" || true
    rm -rf "$work/cases/spool"
    mv "$work/frozen" "$work/cases/spool"
    python3 "$live/postfix_agree.py" "every feature, long ids $ids" "$work/cases" 1000
done

count=1500 sample=150
[ -z "${QS_FULL:-}" ] || { count=20000; sample=20000; }
"$lab/stormlab" gen "$lab/dev/mixed-100k.json" --scale "$(python3 -c "print($count / 100000)")" --out "$work/storm"
postfix_start "$work/pf" --site "$work/storm/site.json"
"$lab/stormlab" inject-postfix "$work/storm" --config "$work/pf/etc" --smtp "127.0.0.1:$port"
postfix_stop "$work/pf"
"$lab/stormlab" retouch "$work/storm" "$work/pf/spool"
python3 "$live/postfix_agree.py" storm "$work/pf" "$sample"

# several instances, as the default one names them, make one report; one whose queue is not there is told and left out
if unshare -m true 2> /dev/null; then
    mkdir "$work/several"
    for one in cases pf; do postconf -c "$work/$one/etc" -e "multi_instance_name=postfix-$one"; done
    {
        echo 'compatibility_level = 3.6'
        echo "queue_directory = $work/nowhere"
        echo 'multi_instance_enable = yes'
        echo "multi_instance_directories = $work/cases/etc $work/pf/etc"
    } > "$work/several/main.cf"
    : > "$work/several/master.cf"
    cat > "$work/look" <<'EOF'
mount --bind "$1" /etc/postfix
"$QSURGEON" --mta postfix sql 'SELECT instance, count(*) FROM messages GROUP BY 1'
EOF
    unshare -m sh "$work/look" "$work/several" > "$work/counts" 2> "$work/err" || true
    counted() { "$QSURGEON" --mta postfix --queue "$work/$1/spool" list --ids | wc -l; }
    check 'several instances' [ "$(awk 'NR > 1 { print $1, $2 }' "$work/counts" | tr '\n' ' ')" = \
        "postfix-cases $(counted cases) postfix-pf $(counted pf) " ]
    check 'an instance without a queue is left out and told' grep -q 'nowhere.*left out' "$work/err"
else
    skip 'several instances' 'no mount namespace here'
fi
