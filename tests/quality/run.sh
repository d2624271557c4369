# SPDX-License-Identifier: Apache-2.0
# run.sh: how good the verdicts are, on scenarios in a real Postfix or sendmail. See README.md.
#   sh run.sh [OPTION]... [SCENARIO.json]...        default: the lab's scenarios
#   --scale S        factor for every count (default 0.1)         --seed N      instead of each scenario's own
#   --corpus DIR     mail to make it of (default: samples)        --habits      the other habits of ./habits
#   --bounce         Postfix bounces what is for unknown users    --sendmail    sendmail instead of Postfix
#   --no-config      the program sees the queue alone             --keep DIR    leave everything there
#   --tap            print only a line for each bar, as the live tests do; leave the weights out
# The program is $QSURGEON; $QS_LAB is another lab than tests/lab, which has no --bounce of its own. Exit status 1: a bar does not hold.
. "$(dirname "$0")/../live/lib"
[ "$(id -u)" = 0 ] || { echo "run.sh: needs root to run mail servers" >&2; exit 77; }
: "${QSURGEON:?the program to measure}"
lab=${QS_LAB:-$lab}

scale=0.1 gen=$lab/stormlab seed='' corpus='' mta=postfix unknown='' config=yes keep='' tap=''
while [ $# -gt 0 ]; do
    case $1 in
        --scale) scale=$2; shift ;;
        --seed) seed=$2; shift ;;
        --corpus) corpus=$2; shift ;;
        --habits) gen=$live/habits ;;
        --bounce) unknown=bounce ;;
        --sendmail) mta=sendmail ;;
        --no-config) config=no ;;
        --keep) keep=$2; shift ;;
        --tap) tap=--tap ;;
        -*) sed -n '2,/^\./s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
        *) break ;;
    esac
    shift
done
[ $# -gt 0 ] || set -- "$lab"/dev/*.json
dest=${keep:-$work/cases}
mkdir -p "$dest"

for scenario in "$@"; do
    case=$dest/$(basename "$scenario" .json)
    echo "# $scenario" >&2
    rm -rf "$case" "$work/mta"
    mkdir -p "$case"
    "$gen" gen "$scenario" --out "$case/out" --scale "$scale" ${seed:+--seed "$seed"} ${corpus:+--corpus "$corpus"} >&2
    if [ $mta = postfix ]; then
        postfix_start "$work/mta" --site "$case/out/site.json" ${unknown:+--unknown $unknown} >&2
        "$lab/stormlab" inject-postfix "$case/out" --config "$work/mta/etc" --smtp "127.0.0.1:$port" >&2
        postfix_stop "$work/mta" >&2
        queue=$work/mta/spool settings=$work/mta/etc
    else
        port=$(free_port) root=$("$lab/get-sendmail")
        "$lab/mta-sendmail" "$work/mta" "$port" start --root "$root" --site "$case/out/site.json" --split >&2
        at_end="$lab/mta-sendmail $work/mta $port stop; $at_end"
        "$lab/stormlab" inject-sendmail "$case/out" --smtp "127.0.0.1:$port" --hosts "$work/mta/root/etc/hosts" >&2
        "$lab/mta-sendmail" "$work/mta" "$port" stop >&2
        queue=$work/mta/root/mqueue settings=$work/mta/root/sendmail.cf
    fi
    "$lab/stormlab" retouch "$case/out" "$queue" >&2
    [ $config = yes ] || settings=
    "$QSURGEON" --mta $mta --queue "$queue" ${settings:+--config "$settings"} list --json > "$case/list.jsonl"
    [ -n "$tap" ] || "$QSURGEON" --mta $mta --queue "$queue" ${settings:+--config "$settings"} sql --json \
        'SELECT queue_id, family, name, weight FROM evidence' > "$case/evidence.jsonl"
done
python3 "$live/report.py" "$dest" $tap
