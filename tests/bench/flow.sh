#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# flow.sh: how soon does real mail flow again? A real Postfix is full of a storm whose destinations answer slowly, real messages
# are mixed in, new storm mail keeps arriving. Time from the command to the delivery of the last real message, for
# `qsurgeon express`, for postqueue, jq and postsuper with a perfect filter, and for doing nothing. Wants root, Postfix and jq.
#   --build DIR    a build with the program; otherwise a Release build is made below $QS_CACHE
#   --work DIR     where queues are made (default: a temporary directory)
#   --queue DIR    the queue that an earlier call has made and left there; if there is none, it is made there and left
#   --storm N      storm messages (default 100000)       --real N     real ones between them (default 300)
#   --slow S       seconds until a storm destination answers, with a deferral (default 5)
#   --arriving N   new storm messages a second (default 10)
#   --bound S      seconds after which doing nothing, and everything else, is given up (default 600)
#   --only NAME    one of express, hold, delete, nothing; repeatable
#   --smoke        400 messages, seconds: shows that all of this works
set -euo pipefail
export LC_ALL=C.UTF-8 TZ=UTC PYTHONDONTWRITEBYTECODE=1
top=$(cd "$(dirname "$0")/../.." && pwd)
build='' work='' pass=()

usage() { sed -n 's/^#   --/--/p' "$0" >&2; exit 64; }
while [ $# -gt 0 ]; do
    case $1 in
        --build) build=${2:?} && shift ;;
        --work) work=${2:?} && shift ;;
        --queue | --storm | --real | --slow | --arriving | --bound | --only) pass+=("$1" "${2:?}") && shift ;;
        --smoke) pass+=(--storm 360 --real 40 --slow 1 --arriving 3 --bound 25 --smoke) ;;
        *) usage ;;
    esac
    shift
done
for program in postqueue jq; do
    command -v $program > /dev/null || { echo "flow: skipped, $program is not installed" >&2; exit 0; }
done
mkdir -p "${work:-${TMPDIR:-/var/tmp}}"
work=$(mktemp -d "${work:-${TMPDIR:-/var/tmp}}/qsurgeon-flow.XXXXXX")
chmod 755 "$work"           # Postfix leaves root behind
cleanup() {
    for dir in "$work"/*/; do
        [ ! -e "$dir/spool/pid/master.pid" ] || "$top/tests/lab/mta-postfix" "$dir" 1 stop > /dev/null 2>&1 || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
if [ -z "$build" ]; then
    build=${QS_CACHE:-/var/tmp/qsurgeon-test-cache}/build-bench
    { cmake -G Ninja -S "$top" -B "$build" -DCMAKE_BUILD_TYPE=Release && cmake --build "$build" --target qsurgeon; } \
        > "$work/build.log" 2>&1 || { tail -n 30 "$work/build.log" >&2; exit 1; }
fi
python3 "$top/tests/bench/flow.py" --program "$build/qsurgeon/cli/qsurgeon" --work "$work" "${pass[@]}"
