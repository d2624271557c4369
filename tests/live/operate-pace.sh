# SPDX-License-Identifier: Apache-2.0
# operate-pace.sh: what an operation does over a time, in a real Postfix and a real sendmail: release by drops, and new arrivals.
. "$(dirname "$0")/lib"
need_root operate-pace

sink=$(free_port)
touch "$work/delivered.closed"
background python3 "$live/operate_sink.py" "$sink" "$work/delivered"
postfix_start "$work/pf" --set defer_transports= --set "relayhost=[127.0.0.1]:$sink" --set mynetworks=127.0.0.0/8 \
    --set minimal_backoff_time=1s --set maximal_backoff_time=1s --set queue_run_delay=1000s --set notify_classes= \
    --set smtp_destination_concurrency_failed_cohort_limit=0
python3 "$live/operate_pace.py" postfix "$work" "$port" "$work/pf/spool" "$work/pf/etc" "postqueue -c $work/pf/etc -f"
postfix_stop "$work/pf" || true
if grep -E ' (fatal|panic|error): |corrupt' "$work/pf/maillog"; then not_ok "the server noticed nothing"; else
    ok "the server noticed nothing"; fi

if ! root=$("$lab/get-sendmail" 2> "$work/why"); then
    skip operate-pace-sendmail "$(tail -n 1 "$work/why")"
    exit 0
fi
: > "$work/delivered"
touch "$work/delivered.closed"
sendmail_start "$work/sm" --relay "$sink"
python3 "$live/operate_pace.py" sendmail "$work" "$port" "$work/sm/root/mqueue" '' "$lab/mta-sendmail $work/sm $port run -q"
