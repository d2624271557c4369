# SPDX-License-Identifier: Apache-2.0
# operate-postfix.sh: exactly once: a real Postfix delivers while operations and crashes happen to its queue.
. "$(dirname "$0")/lib"
need_root operate-postfix

# once NAME COUNT KILLS PER-SECOND: by a server of its own
once() {
    echo "# $1: $2 messages"
    sink=$(free_port)
    background python3 "$live/operate_sink.py" "$sink" "$work/$1.delivered" 0.5
    postfix_start "$work/$1" --set defer_transports= --set "relayhost=[127.0.0.1]:$sink" --set queue_run_delay=1s \
        --set minimal_backoff_time=1s --set maximal_backoff_time=2s \
        --set smtp_destination_concurrency_failed_cohort_limit=0 --set 'mynetworks=127.0.0.0/8' --set smtpd_error_sleep_time=0
    python3 "$live/operate_once.py" postfix "$work/$1/spool" "$work/$1/etc" "$work/$1.state" "$work/$1.delivered" "$2" "$3" \
        "python3 $live/operate_inject.py $port $2 $4" "postqueue -c $work/$1/etc -f"
    postfix_stop "$work/$1"
    if grep -E ' (fatal|panic|error): |corrupt' "$work/$1/maillog"; then not_ok "$1: the server noticed nothing"; else
        ok "$1: the server noticed nothing"; fi
}

if [ "${QS_FULL:-}" != 1 ]; then
    once delivering 2000 20 100
else
    once delivering 20000 60 150
    # nothing leaves the queue before the last kill
    touch "$work/killed.delivered.closed"
    once killed 5000 300 500
fi
