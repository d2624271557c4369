#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# surgery.sh [--build DIR] [--queue DIR CONFIG] [--rounds N] [--smoke]: qsurgeon's hold, purge and archive against
# postsuper, tar, zstd and a loop that unlinks, on half of a Postfix queue. All take turns; medians, and ratios in one run.
# Wants root and Postfix.
#   --build DIR           a Release build; otherwise one is made below $QS_CACHE
#   --queue DIR CONFIG    this queue of a Postfix that does not run, and its configuration: copied, not changed. Otherwise one is
#                         made as run.sh makes it
#   --work DIR            where the copy goes, on the file system that is to be measured (default: a temporary directory)
#   --rounds N            of each measurement (default 5)
#   --smoke               300 messages, one round, no bars: shows that all of this works
set -euo pipefail
export LC_ALL=C.UTF-8 TZ=UTC PYTHONDONTWRITEBYTECODE=1
top=$(cd "$(dirname "$0")/../.." && pwd)
lab=$top/tests/lab
build='' queue='' config='' work='' rounds=5 smoke=no

usage() { sed -n 's/^#   --/--/p' "$0" >&2; exit 64; }
while [ $# -gt 0 ]; do
    case $1 in
        --build) build=${2:?} && shift ;;
        --queue) queue=${2:?} config=${3:?} && shift 2 ;;
        --work) work=${2:?} && shift ;;
        --rounds) rounds=${2:?} && shift ;;
        --smoke) smoke=yes rounds=1 ;;
        *) usage ;;
    esac
    shift
done
say() { echo "bench: $*" >&2; }

mkdir -p "${work:-${TMPDIR:-/var/tmp}}"
work=$(mktemp -d "${work:-${TMPDIR:-/var/tmp}}/qsurgeon-surgery.XXXXXX")
chmod 755 "$work"           # Postfix leaves root behind
cleanup() {
    [ ! -e "$work/pf/spool/pid/master.pid" ] || "$lab/mta-postfix" "$work/pf" 1 stop > /dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

if [ -z "$build" ]; then
    build=${QS_CACHE:-/var/tmp/qsurgeon-test-cache}/build-bench
    say "building in $build"
    { cmake -G Ninja -S "$top" -B "$build" -DCMAKE_BUILD_TYPE=Release &&
        cmake --build "$build" --target qsurgeon measure floor; } > "$work/build.log" 2>&1 ||
        { tail -n 30 "$work/build.log" >&2; exit 1; }
fi

if [ -z "$queue" ]; then
    scenario=$lab/dev/mixed-100k.json
    [ "$smoke" = no ] || scenario=$lab/dev/smoke.json
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    {
        say "making the scenario ${scenario##*/} in a Postfix of its own"
        "$lab/stormlab" gen "$scenario" --out "$work/storm"
        "$lab/mta-postfix" "$work/pf" "$port" start --site "$work/storm/site.json"
        "$lab/stormlab" inject-postfix "$work/storm" --config "$work/pf/etc" --smtp "127.0.0.1:$port"
        "$lab/mta-postfix" "$work/pf" "$port" stop
        "$lab/stormlab" retouch "$work/storm" "$work/pf/spool"
    } >&2
    queue=$work/pf/spool config=$work/pf/etc
fi
python3 "$top/tests/bench/surgery.py" --bin "$build" --queue "$queue" "$config" --work "$work" --rounds "$rounds" \
    $([ "$smoke" = no ] || echo --smoke)
