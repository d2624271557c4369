# SPDX-License-Identifier: Apache-2.0
# bad-input.sh: hostile and damaged files in private copies of the captured queues.
. "$(dirname "$0")/lib"

unpack() { mkdir -p "$2" && tar -C "$2" --no-same-owner --warning=no-timestamp -xzf "$fixtures/$1"; }
unpack postfix/short/spool.tar.gz "$work/pf"
python3 "$live/bad_input.py" postfix "$work/pf/spool"
unpack sendmail/single/mqueue.tar.gz "$work/sm"
python3 "$live/bad_input.py" sendmail "$work/sm/mqueue"

# a user who may not read the queue
if [ "$(id -u)" = 0 ] && command -v setpriv > /dev/null; then
    mkdir -p "$work/closed/locked"
    unpack postfix/short/spool.tar.gz "$work/closed"
    unpack sendmail/single/mqueue.tar.gz "$work/closed"
    cp -a "$work/closed/spool" "$work/closed/locked/"
    cp "$QSURGEON" "$work/qsurgeon"
    chmod 755 "$work" "$work/closed" "$work/closed/spool" "$work/qsurgeon"
    chmod 700 "$work/closed/mqueue" "$work/closed/locked"
    for case in 'postfix spool' 'postfix locked/spool' 'sendmail mqueue'; do
        status=0
        setpriv --reuid 65534 --regid 65534 --clear-groups "$work/qsurgeon" --mta "${case% *}" \
            --queue "$work/closed/${case#* }" triage > "$work/out" 2> "$work/err" || status=$?
        if [ $status = 77 ]; then ok "$case: an unreadable queue is exit status 77"; else
            not_ok "$case: an unreadable queue is exit status 77" "$status: $(head -c 300 "$work/err")"; fi
        if grep -qiE 'permission|root|privilege' "$work/err"; then ok "$case: and says what is missing"; else
            not_ok "$case: and says what is missing" "$(head -c 300 "$work/err")"; fi
    done
else
    skip unreadable "needs root to become somebody else"
fi
