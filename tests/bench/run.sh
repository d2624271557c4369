#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh: how fast qsurgeon reads a queue, as ratios to a floor program and to others that read the same queue
# in the same run. Prints a Markdown report, and ends with 1 when a bar does not hold. Needs root and Postfix.
#   --build DIR        a Release build with its tests (default: makes one in $QS_CACHE)
#   --work DIR         keeps the queues it makes there, for the next run (default: a temporary directory)
#   --queue DIR --config DIR   use this Postfix queue and its configuration instead; both are only read
#   --rounds N         rounds of each measurement, in which the programs take turns (default 7)
#   --many N           messages of the large queue (default 1000000; 0: none)
#   --memory DIR       copies the large queue and the other to this memory file system to compare them; a million messages
#                      need 11 GB and 2 million inodes there (mount -t tmpfs -o size=14g,nr_inodes=0 tmpfs DIR)
#   --no-cold          no run with a cold cache
#   --smoke            300 messages, two rounds, no bars: shows that all of this works
set -euo pipefail
export LC_ALL=C.UTF-8 TZ=UTC PYTHONDONTWRITEBYTECODE=1
top=$(cd "$(dirname "$0")/../.." && pwd)
lab=$top/tests/lab
build='' work='' queue='' config='' rounds=7 many=1000000 memory='' cold=yes smoke=no scenario=$lab/dev/mixed-100k.json

usage() { sed -n 's/^#   --/--/p' "$0" >&2; exit 64; }
while [ $# -gt 0 ]; do
    case $1 in
        --build) build=${2:?} && shift ;;
        --work) work=${2:?} && shift ;;
        --queue) queue=${2:?} && shift ;;
        --config) config=${2:?} && shift ;;
        --rounds) rounds=${2:?} && shift ;;
        --many) many=${2:?} && shift ;;
        --memory) memory=${2:?} && shift ;;
        --no-cold) cold=no ;;
        --smoke) smoke=yes rounds=2 many=900 cold=no scenario=$lab/dev/smoke.json ;;
        *) usage ;;
    esac
    shift
done
[[ (-z $queue && -z $config) || (-n $queue && -n $config) ]] || usage
say() { echo "bench: $*" >&2; }

temporary=''
cleanup() {
    [ ! -e "$work/pf/spool/pid/master.pid" ] || "$lab/mta-postfix" "$work/pf" 1 stop > /dev/null 2>&1 || true
    [ -z "$temporary" ] || rm -rf "$temporary"
}
if [ -z "$work" ]; then
    temporary=$(mktemp -d "${TMPDIR:-/var/tmp}/qsurgeon-bench.XXXXXX")
    work=$temporary
fi
trap cleanup EXIT
trap 'exit 130' INT TERM
mkdir -p "$work"
work=$(cd "$work" && pwd)
chmod 755 "$work"           # Postfix leaves root behind
results=$work/results
rm -rf "$results"
mkdir "$results"

if [ -z "$build" ]; then
    build=${QS_CACHE:-/var/tmp/qsurgeon-test-cache}/build-bench
    say "building in $build"
    { cmake -G Ninja -S "$top" -B "$build" -DCMAKE_BUILD_TYPE=Release &&
        cmake --build "$build" --target qsurgeon floor measure; } > "$results/build.log" 2>&1 ||
        { tail -n 30 "$results/build.log" >&2; exit 1; }
fi

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

make_queue() {
    local port
    port=$(free_port)
    say "making the scenario ${scenario##*/}"
    "$lab/stormlab" gen "$scenario" --out "$work/storm"
    say "submitting it to a Postfix of its own"
    "$lab/mta-postfix" "$work/pf" "$port" start --site "$work/storm/site.json" --clean
    "$lab/stormlab" inject-postfix "$work/storm" --config "$work/pf/etc" --smtp "127.0.0.1:$port"
    "$lab/mta-postfix" "$work/pf" "$port" stop
    "$lab/stormlab" retouch "$work/storm" "$work/pf/spool"
    touch "$work/pf/complete"
}

make_many() {
    say "multiplying the queue to $many messages"
    rm -rf "${work:?}/many"
    mkdir "$work/many"
    "$lab/stormlab" multiply "$queue" "$many" "$work/many/spool"
    cp -r "$config" "$work/many/etc"
    postconf -c "$work/many/etc" -e "queue_directory = $work/many/spool"
    echo "$many" > "$work/many/complete"
}

{
    if [ -z "$queue" ]; then
        queue=$work/pf/spool config=$work/pf/etc
        [ -e "$work/pf/complete" ] || make_queue
    fi
    [ "$many" = 0 ] || [ "$(cat "$work/many/complete" 2> /dev/null)" = "$many" ] || make_many
} >&2

smoke_option=() many_option=() memory_option=()
[ "$smoke" = no ] || smoke_option=(--smoke)
[ -z "$memory" ] || memory_option=(--memory "$memory")
[ "$many" = 0 ] || many_option=(--many "$work/many/spool" "$work/many/etc")
python3 "$top/tests/bench/bench.py" --bin "$build" --queue "$queue" "$config" "${many_option[@]}" "${memory_option[@]}" \
    --rounds "$rounds" --cold "$cold" --results "$results" "${smoke_option[@]}"
