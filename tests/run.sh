#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh: install what is missing (Debian, as root), build with sanitizers, run every test. The last line is the sum:
# "N passed, N failed, N skipped". Builds and downloads are kept in $QS_CACHE, outside of the checkout.
#   QS_FULL=1   full-size scenarios in tests/live     QS_JOBS=N   jobs at a time (default: one a processor)
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/tests/lab/packages.sh"
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
export QS_CACHE="${QS_CACHE:-/var/tmp/qsurgeon-test-cache}"
jobs=${QS_JOBS:-$(nproc)}

listing() { (cd "$top" && find . -path ./.git -prune -o -path ./build -prune -o -print | sort); }
before=$(listing)

# shellcheck disable=SC2086
install_packages $build_packages $test_packages

builds=$QS_CACHE/build-$(printf %s "$top" | cksum | cut -d ' ' -f 1)
work=$(mktemp -d /var/tmp/qsurgeon-tests.XXXXXX)
mode=$(stat -c %a /)
trap 'rm -rf "$work"; chmod "$mode" /' EXIT
trap 'exit 130' INT TERM
# mail servers leave root behind, and must still be able to reach their files, even below a root directory that was made
# for root alone, as a fresh chroot may have; it gets its mode back
chmod 755 "$work"
[ "$((0$mode & 055))" = "$((055))" ] || chmod go+rx /
: > "$work/results"

build() { # build NAME CMAKE-OPTION...
    name=$1
    shift
    echo "# build: $name"
    if { cmake -G Ninja -S "$top" -B "$builds/$name" "$@" && cmake --build "$builds/$name" -j "$jobs"; } \
        > "$work/$name.log" 2>&1; then
        echo "ok build $name" >> "$work/results"
    else
        grep -A 20 -E 'error|FAILED|Error' "$work/$name.log" | head -n 60
        echo "not ok build $name" | tee -a "$work/results"
        return 1
    fi
}

run_ctest() { # run_ctest BUILD OPTION...: a result line for each test
    name=$1
    shift
    # a fixed address space, or ThreadSanitizer may not find room for itself
    setarch -R ctest --test-dir "$builds/$name" -j "$jobs" --timeout 600 --output-on-failure --output-junit "$work/$name.xml" "$@" \
        > "$work/$name.ctest" 2>&1 || sed -n '/Failed\|\*\*\*/,$p' "$work/$name.ctest" | tail -n 150
    python3 - "$work/$name.xml" "$name" >> "$work/results" <<'PYTHON' || echo "not ok $name tests" >> "$work/results"
import sys
import xml.etree.ElementTree
for case in xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
    word = {"run": "ok", "fail": "not ok"}.get(case.get("status"), "skip")
    print(word, sys.argv[2], case.get("name"))
PYTHON
    echo "# $(grep -c "^ok $name " "$work/results") ok"
}

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
asserts='-DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_FLAGS_RELWITHDEBINFO=-O1'      # and no -DNDEBUG
# shellcheck disable=SC2086
build gcc-asan -DCMAKE_C_COMPILER=gcc -DQS_SANITIZE=ON $asserts && sanitized=yes || sanitized=no
build clang -DCMAKE_C_COMPILER=clang || true
# shellcheck disable=SC2086
build gcc-tsan -DCMAKE_C_COMPILER=gcc -DQS_SANITIZE=thread $asserts && threads=yes || threads=no

if [ "$sanitized" = yes ]; then
    echo "# unit tests"
    run_ctest gcc-asan
    QSURGEON=$builds/gcc-asan/qsurgeon/cli/qsurgeon
    export QSURGEON QSURGEON_PLAIN="$builds/clang/qsurgeon/cli/qsurgeon"
    if [ -x "$QSURGEON" ]; then
        echo "# live tests"
        # two at a time: they wait for mail servers as much as they compute
        find "$top/tests/live" -name '*.sh' | sort |
            TMPDIR=$work xargs -P 2 -n 1 sh "$top/tests/live/one" "$work" || true
        cat "$work"/*.tap >> "$work/results"
    else
        echo "not ok live tests - there is no program" | tee -a "$work/results"
    fi
fi
if [ "$threads" = yes ]; then
    echo "# tests with threads, under ThreadSanitizer"
    run_ctest gcc-tsan -R '(thread|intern)'
fi

if [ "$before" = "$(listing)" ]; then
    echo "ok clean checkout" >> "$work/results"
else
    echo "not ok clean checkout - files were added or removed" | tee -a "$work/results"
fi
count() { grep -c "^$1" "$work/results" || true; }
passed=$(count 'ok ') failed=$(count 'not ok ') skipped=$(count 'skip ')
grep '^skip ' "$work/results" || true
grep '^not ok ' "$work/results" || true
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
