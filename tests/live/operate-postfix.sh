# SPDX-License-Identifier: Apache-2.0
# operate-postfix.sh: exactly once: a real Postfix delivers while operations and crashes happen to its queue.
. "$(dirname "$0")/lib"
need_root operate-postfix

count=2000 kills=20 rate=100
[ "${QS_FULL:-}" != 1 ] || count=20000 kills=300 rate=150
sink=$(free_port)
background python3 "$live/operate_sink.py" "$sink" "$work/delivered" 0.5
postfix_start "$work/pf" --set defer_transports= --set "relayhost=[127.0.0.1]:$sink" --set queue_run_delay=1s \
    --set minimal_backoff_time=1s --set maximal_backoff_time=2s --set smtp_destination_concurrency_failed_cohort_limit=0 \
    --set 'mynetworks=127.0.0.0/8' --set smtpd_error_sleep_time=0
python3 "$live/operate_once.py" postfix "$work/pf/spool" "$work/pf/etc" "$work/state" "$work/delivered" "$count" "$kills" \
    "python3 $live/operate_inject.py $port $count $rate" "postqueue -c $work/pf/etc -f"
postfix_stop "$work/pf"
if grep -E ' (fatal|panic|error): |corrupt' "$work/pf/maillog"; then not_ok "the server noticed nothing"; else
    ok "the server noticed nothing"; fi
