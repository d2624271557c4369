# SPDX-License-Identifier: Apache-2.0
# doctor.sh: flaws planted in the queues of real servers are found, repaired and brought back by undo.
. "$(dirname "$0")/lib"
need_root doctor

postfix_start "$work/pf"
python3 "$live/operate_inject.py" "$port" 12
python3 "$live/doctor.py" postfix "$work/pf/spool" "$work/pf/etc" "$work/state-pf" 12 || not_ok "postfix" "ended with $?"
postfix_stop "$work/pf"
if grep -E ' (fatal|panic|error): ' "$work/pf/maillog"; then not_ok "postfix: the server noticed nothing"; else
    ok "postfix: the server noticed nothing"; fi

if ! root=$("$lab/get-sendmail" 2> "$work/why"); then
    skip "doctor on sendmail" "$(tail -n 1 "$work/why")"
    exit 0
fi
sendmail_start "$work/sm"
python3 "$live/operate_inject.py" "$port" 8
python3 "$live/doctor.py" sendmail "$work/sm/root/mqueue" '' "$work/state-sm" 8 || not_ok "sendmail" "ended with $?"
