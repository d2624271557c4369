# SPDX-License-Identifier: Apache-2.0
# operate-flow.sh: the storm is parked and real mail flows, in a real Postfix and a real sendmail: express, release by drops,
# deferring, and what goes on for a while.
. "$(dirname "$0")/lib"
need_root operate-flow

sink=$(free_port)
touch "$work/delivered.closed"
background python3 "$live/operate_sink.py" "$sink" "$work/delivered"
"$lab/stormlab" gen "$lab/dev/smoke.json" --out "$work/storm"
"$lab/stormlab" gen "$lab/dev/smoke.json" --scale 0.3 --out "$work/more"
"$lab/stormlab" gen "$lab/dev/smoke.json" --scale 0.3 --seed 8 --out "$work/again"

here="smtp:[127.0.0.1]:$sink"
postfix_start "$work/pf" --site "$work/storm/site.json" --set defer_transports= --set "relayhost=[127.0.0.1]:$sink" \
    --set "local_transport=$here" --set "relay_transport=$here" --set minimal_backoff_time=1000s --set queue_run_delay=1000s \
    --set smtp_destination_concurrency_failed_cohort_limit=0 --set notify_classes= --set bounce_queue_lifetime=1d
"$lab/stormlab" inject-postfix "$work/storm" --config "$work/pf/etc" --smtp "127.0.0.1:$port" > "$work/inject.out" 2>&1 ||
    not_ok "the storm is injected" "$(tail -n 1 "$work/inject.out")"
python3 "$live/operate_flow.py" postfix "$work" "$port" "$work/pf/spool" "$work/pf/etc" "postqueue -c $work/pf/etc -f" \
    "$lab/stormlab inject-postfix $work/more --config $work/pf/etc --smtp 127.0.0.1:$port" \
    "$lab/stormlab inject-postfix $work/again --config $work/pf/etc --smtp 127.0.0.1:$port"
postfix_stop "$work/pf" || true
if grep -E ' (fatal|panic|error): |corrupt' "$work/pf/maillog"; then not_ok "the server noticed nothing"; else
    ok "the server noticed nothing"; fi

if ! root=$("$lab/get-sendmail" 2> "$work/why"); then
    skip operate-flow-sendmail "$(tail -n 1 "$work/why")"
    exit 0
fi
: > "$work/delivered"
touch "$work/delivered.closed"
sendmail_start "$work/sm" --site "$work/storm/site.json" --relay "$sink"
rm -f "$work/storm/queue.tsv" "$work/storm/failed.tsv"
"$lab/stormlab" inject-sendmail "$work/storm" --smtp "127.0.0.1:$port" --hosts "$work/sm/root/etc/hosts" \
    > "$work/inject.out" 2>&1 || not_ok "the storm is injected" "$(tail -n 1 "$work/inject.out")"
python3 "$live/operate_flow.py" sendmail "$work" "$port" "$work/sm/root/mqueue" '' "$lab/mta-sendmail $work/sm $port run -q"
