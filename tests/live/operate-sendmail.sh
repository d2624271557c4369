# SPDX-License-Identifier: Apache-2.0
# operate-sendmail.sh: exactly once: a real sendmail delivers while operations and crashes happen to its queue.
. "$(dirname "$0")/lib"
need_root operate-sendmail
if ! root=$("$lab/get-sendmail" 2> "$work/why"); then
    skip operate-sendmail "$(tail -n 1 "$work/why")"
    exit 0
fi

# once NAME COUNT KILLS PER-SECOND: by a server of its own
once() {
    echo "# $1: $2 messages"
    sink=$(free_port)
    background python3 "$live/operate_sink.py" "$sink" "$work/$1.delivered" 0.5
    sendmail_start "$work/$1" --relay "$sink"
    python3 "$live/operate_once.py" sendmail "$work/$1/root/mqueue" '' "$work/$1.state" "$work/$1.delivered" "$2" "$3" \
        "python3 $live/operate_inject.py $port $2 $4" "$lab/mta-sendmail $work/$1 $port run -q"
    "$lab/mta-sendmail" "$work/$1" "$port" stop
}

if [ "${QS_FULL:-}" != 1 ]; then
    once delivering 200 20 20
else
    once delivering 2000 60 20
    # nothing leaves the queue before the last kill
    touch "$work/killed.delivered.closed"
    once killed 2000 300 50
fi
