# SPDX-License-Identifier: Apache-2.0
# bad-input.sh: hostile and damaged files in private copies of the captured queues.
. "$(dirname "$0")/lib"

unpack() { mkdir -p "$2" && tar -C "$2" --no-same-owner -xzf "$fixtures/$1"; }
unpack postfix/short/spool.tar.gz "$work/pf"
python3 "$live/bad_input.py" postfix "$work/pf/spool"
unpack sendmail/single/mqueue.tar.gz "$work/sm"
python3 "$live/bad_input.py" sendmail "$work/sm/mqueue"

# a user who may not read the queue
if [ "$(id -u)" = 0 ] && command -v setpriv > /dev/null; then
    unpack postfix/short/spool.tar.gz "$work/closed"
    unpack sendmail/single/mqueue.tar.gz "$work/closed"
    cp "$QSURGEON" "$work/qsurgeon"
    chmod 755 "$work" "$work/closed" "$work/closed/spool" "$work/qsurgeon"
    chmod 700 "$work/closed/mqueue"
    for mta in postfix sendmail; do
        [ $mta = postfix ] && queue=$work/closed/spool || queue=$work/closed/mqueue
        status=0
        setpriv --reuid 65534 --regid 65534 --clear-groups "$work/qsurgeon" --mta $mta --queue "$queue" triage \
            > "$work/out" 2> "$work/err" || status=$?
        if [ $status = 77 ]; then ok "$mta: an unreadable queue is exit status 77"; else
            not_ok "$mta: an unreadable queue is exit status 77" "$status: $(head -c 300 "$work/err")"; fi
        if grep -qiE 'permission|root|privilege' "$work/err"; then ok "$mta: and says what is missing"; else
            not_ok "$mta: and says what is missing" "$(head -c 300 "$work/err")"; fi
    done
else
    skip unreadable "needs root to become somebody else"
fi
