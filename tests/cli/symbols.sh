#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# symbols.sh BUILD: what the compiled code calls. Fails when any of it calls a function that the house rules forbid, or
# when a layer below report and cli prints, ends the program, looks at the clock or the environment, or keeps mutable
# data of its own. Reads symbol tables only; what the compiler inlined is not seen.
#
# symbols.sh --can-fail CC: compiles one offence of each kind and fails unless this script finds it.
set -eu
export LC_ALL=C
NM=${NM:-nm} OBJDUMP=${OBJDUMP:-objdump}

everywhere='ato[fil] atoll strto(d|f|ld|l|ll|ul|ull|imax|umax|q|uq) v?f?scanf v?sscanf strn?cpy strn?cat
    stpn?cpy v?sprintf gets system popen strtok tmpnam mktemp rand srand random localtime gmtime ctime asctime'
below_report='_?exit _Exit quick_exit abort printf vprintf puts putchar putc fputc fputs fwrite v?fprintf v?dprintf perror
    syslog vsyslog errx? verrx? warnx? vwarnx? stdout stderr time gettimeofday clock clock_gettime ftime localtime_r
    getenv secure_getenv setenv putenv unsetenv'

pattern() { # pattern NAMES: matches them also as the C library's checked and standard-dependent variants
    printf '^(__isoc[0-9]+_|__)?(%s)(_chk)?$' "$(echo "$1" | tr -s ' \n' '||' | sed 's/^|//; s/|$//')"
}

check() { # check PATTERN FILE: the calls in FILE that match, one a line; undefined symbols only
    "$NM" -A -u "$2" | sed 's/@.*//' | awk -v pattern="$1" '$NF ~ pattern { print $1 " " $NF }' | sed 's/.*\///'
}

mutable() { # mutable FILE: objects in writable sections; those of the sanitizers are their own affair
    "$OBJDUMP" -t "$1" | awk -v file="${1##*/}" '
        $0 ~ /file format/ { member = $1 }
        match($0, / O /) {
            split(substr($0, RSTART + 3), field, /[ \t]+/)
            if (field[1] ~ /^(\.data|\.bss|\.tdata|\.tbss|\*COM\*)/ && field[1] !~ /^\.data\.rel\.ro/ \
                && $NF !~ /^\.?L?_*(asan|odr_asan|ubsan|sancov|tsan|gcov|unnamed_)/ && $NF !~ /^\.L/)
                print file ":" member " mutable " $NF
        }'
}

can_fail() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/qsurgeon/cli/CMakeFiles/qsurgeon.dir"
    cat > "$work/low.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
int low(char *s, const char *t);
int low(char *s, const char *t)
{
    static int calls;
    int n = calls++;
    sscanf(t, "%d", &n);
    strcpy(s, t);
    printf("%s %d\n", s, n);
    fprintf(stderr, "%d\n", n);
    if (getenv(t) != NULL)
        exit((int)time(NULL));
    return (int)strtol(t, NULL, 10);
}
C
    cat > "$work/high.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
int high(const char *t);
int high(const char *t)
{
    static int calls;
    printf("%s %d\n", t, calls++);
    return atoi(t) + system(t);
}
C
    "$1" -w -O0 -c "$work/low.c" -o "$work/low.o"
    "$1" -w -O0 -c "$work/high.c" -o "$work/qsurgeon/cli/CMakeFiles/qsurgeon.dir/high.o"
    ar rc "$work/libqs_base.a" "$work/low.o"
    if sh "$0" "$work" > "$work/found" 2>&1; then
        echo "nothing was found" >&2
        exit 1
    fi
    missing=''
    for name in sscanf strcpy printf stderr getenv exit time strtol 'mutable (low\.)?calls'; do
        grep -Eq "low\.o.* (__isoc[0-9]+_)?$name(\.[0-9]+)?\$" "$work/found" || missing="$missing low:$name"
    done
    for name in atoi system; do
        grep -q "high\.o.* $name\$" "$work/found" || missing="$missing high:$name"
    done
    ! grep -Eq 'high\.o.*(printf|calls)' "$work/found" || missing="$missing too-much"
    [ -z "$missing" ] || { cat "$work/found"; echo "not as expected:$missing" >&2; exit 1; }
    rm -r "$work/libqs_base.a"
    ! sh "$0" "$work" > /dev/null 2>&1 || { echo "passes without a library" >&2; exit 1; }
}

[ $# -ge 1 ] || { echo "usage: ${0##*/} BUILD | --can-fail CC" >&2; exit 64; }
if [ "$1" = --can-fail ]; then
    can_fail "${2:-cc}"
    exit 0
fi

libraries=$(find "$1" -name 'libqs_*.a' | sort)
program=$(find "$1" -path '*/qsurgeon.dir/*.o' | sort)
[ -n "$libraries" ] && [ -n "$program" ] || { echo "$1: no libraries or no program objects" >&2; exit 1; }
found=$(
    for file in $libraries $program; do
        check "$(pattern "$everywhere")" "$file"
        case $file in
            */libqs_report.a | *.o) ;;
            *)
                check "$(pattern "$below_report")" "$file"
                mutable "$file" ;;
        esac
    done
)
[ -z "$found" ] || { echo "$found"; exit 1; }
echo "$(echo "$libraries" | wc -l) libraries, $(echo "$program" | wc -l) program objects: nothing forbidden"
