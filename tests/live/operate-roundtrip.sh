# SPDX-License-Identifier: Apache-2.0
# operate-roundtrip.sh: what went through an operation is delivered by the real server with the same body to the recipients
# that it should have; and the server's own tools find nothing wrong with the queue.
. "$(dirname "$0")/lib"
need_root operate-roundtrip

sink=$(free_port)
touch "$work/delivered.closed"
background python3 "$live/operate_sink.py" "$sink" "$work/delivered"
postfix_start "$work/pf" --set defer_transports= --set "relayhost=[127.0.0.1]:$sink" --set mynetworks=127.0.0.0/8 \
    --set minimal_backoff_time=1000s --set smtp_destination_concurrency_failed_cohort_limit=0
python3 "$live/operate_roundtrip.py" postfix "$work" "$port" "$work/pf/spool" "$work/pf/etc" \
    "postqueue -c $work/pf/etc -f" "$lab/mta-postfix $work/pf $port"
postfix_stop "$work/pf" || true
if grep -E ' (fatal|panic|error): |corrupt' "$work/pf/maillog"; then not_ok "the server noticed nothing"; else
    ok "the server noticed nothing"; fi

if ! root=$("$lab/get-sendmail" 2> "$work/why"); then
    skip operate-roundtrip-sendmail "$(tail -n 1 "$work/why")"
    exit 0
fi
: > "$work/delivered"
touch "$work/delivered.closed"
sendmail_start "$work/sm" --relay "$sink"
python3 "$live/operate_roundtrip.py" sendmail "$work" "$port" "$work/sm/root/mqueue" '' \
    "$lab/mta-sendmail $work/sm $port run -q" "$lab/mta-sendmail $work/sm $port"
