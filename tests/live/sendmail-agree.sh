# SPDX-License-Identifier: Apache-2.0
# sendmail-agree.sh: for every message in real sendmail queues, the program agrees with mailq -v and with a reader of the
# qf and df files. Two queues: one directory with a message for each feature of the format, some of them after a failed
# attempt; and three split directories with a storm of 400 messages (QS_FULL=1: 5,000).
. "$(dirname "$0")/lib"
need_root sendmail-agree
if ! root=$("$lab/get-sendmail" 2> "$work/why"); then
    skip sendmail-agree "$(tail -n 1 "$work/why")"
    exit 0
fi

sm() { # sm DIR ARGUMENT...: the sendmail program
    dir=$1
    shift
    "$lab/mta-sendmail" "$dir" "$port" run "$@"
}
mailq() { # mailq DIR: what waits, is lost, is quarantined
    sm "$1" -bp -v > "$work/mailq"
    sm "$1" -bp -v -qL > "$work/mailq-lost"
    sm "$1" -bp -v -qQ > "$work/mailq-quarantined"
}
agree() { # agree PREFIX DIR SAMPLE
    mailq "$2"
    python3 "$live/sendmail_agree.py" "$1" "$2/root/mqueue" "$3" "$work/mailq" "$work/mailq-lost" "$work/mailq-quarantined"
}

sink=$(free_port)
background "$lab/sink" "$sink"
sendmail_start "$work/cases" --relay "$sink"
mkdir "$work/out"
python3 "$fixtures/cases.py" sendmail "$port" "$work/out"
id() { sed -n "s/^$1	//p" "$work/out/cases.tsv"; }
sm "$work/cases" '-Qheld by the lab' "-qI$(id quarantined)"
find "$work/cases/root/mqueue" -name "qf$(id lost)" -exec chmod 666 {} \;
sm "$work/cases" -qf
python3 "$fixtures/cases.py" later "$port" "$work/out"
agree 'every feature' "$work/cases" 1000
"$lab/mta-sendmail" "$work/cases" "$port" stop

count=400 sample=60
[ -z "${QS_FULL:-}" ] || { count=5000; sample=1000; }
"$lab/stormlab" gen "$lab/dev/mixed-100k.json" --scale "$(python3 -c "print($count / 100000)")" --out "$work/storm"
sendmail_start "$work/sm" --site "$work/storm/site.json" --split --dirs 3
"$lab/stormlab" inject-sendmail "$work/storm" --smtp "127.0.0.1:$port" --hosts "$work/sm/root/etc/hosts"
agree storm "$work/sm" "$sample"
