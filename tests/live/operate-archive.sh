# SPDX-License-Identifier: Apache-2.0
# operate-archive.sh: mail comes back from archives: into another queue of the same mail server, and by resubmission from Postfix
# to sendmail and back; the real servers deliver it to those who still wait for it, with the same envelope and content.
. "$(dirname "$0")/lib"
need_root operate-archive

sink=$(free_port)
settings="--set defer_transports= --set relayhost=[127.0.0.1]:$sink --set mynetworks=127.0.0.0/8 --set allow_min_user=yes
    --set minimal_backoff_time=1000s --set smtp_destination_concurrency_failed_cohort_limit=0"
# shellcheck disable=SC2086
postfix_start "$work/a" $settings
first=$port
at_end="$lab/mta-postfix $work/a $first stop; $at_end"
# shellcheck disable=SC2086
postfix_start "$work/b" $settings
second=$port
at_end="$lab/mta-postfix $work/b $second stop; $at_end"
if root=$("$lab/get-sendmail" 2> "$work/why"); then
    third=$(free_port)
    fourth=$(free_port)
    at_end="$lab/mta-sendmail $work/s $third stop; $lab/mta-sendmail $work/t $fourth stop; $at_end"
    "$lab/mta-sendmail" "$work/s" "$third" start --root "$root" --relay "$sink"
    "$lab/mta-sendmail" "$work/t" "$fourth" start --root "$root" --relay "$sink" --split --dirs 2
    for name in s t; do
        printf '#!/bin/sh\nexec %s %s 1 run -bs -odq -Am\n' "$lab/mta-sendmail" "$work/$name" > "$work/submit-$name"
        chmod 755 "$work/submit-$name"
    done
else
    skip operate-archive-sendmail "$(tail -n 1 "$work/why")"
    third=0
fi
python3 "$live/operate_archive.py" "$work" "$sink" "$first" "$second" "$third" "$lab"
if grep -E ' (fatal|panic|error): |corrupt' "$work/a/maillog" "$work/b/maillog"; then not_ok "the servers noticed nothing"; else
    ok "the servers noticed nothing"; fi
