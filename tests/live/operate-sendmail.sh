# SPDX-License-Identifier: Apache-2.0
# operate-sendmail.sh: exactly once: a real sendmail delivers while operations and crashes happen to its queue.
. "$(dirname "$0")/lib"
need_root operate-sendmail
if ! root=$("$lab/get-sendmail" 2> "$work/why"); then
    skip operate-sendmail "$(tail -n 1 "$work/why")"
    exit 0
fi

count=200 kills=20 rate=20
[ "${QS_FULL:-}" != 1 ] || count=2000 kills=300 rate=20
sink=$(free_port)
background python3 "$live/operate_sink.py" "$sink" "$work/delivered" 0.5
port=$(free_port)
at_end="$lab/mta-sendmail $work/sm $port stop; $at_end"
"$lab/mta-sendmail" "$work/sm" "$port" start --root "$root" --relay "$sink"
python3 "$live/operate_once.py" sendmail "$work/sm/root/mqueue" '' "$work/state" "$work/delivered" "$count" "$kills" \
    "python3 $live/operate_inject.py $port $count $rate" "$lab/mta-sendmail $work/sm $port run -q"
