# SPDX-License-Identifier: Apache-2.0
# verdicts.sh: the lab's scenarios in a real Postfix, at a tenth of their size: storms and backscatter are found, and no real
# mail is taken for either. smoke is small enough to run whole. The largest has a test of its own.
. "$(dirname "$0")/lib"
need_root verdicts

quality() { # quality NAME OPTION...: the bars of some scenarios; says so when there are none
    name=$1
    shift
    sh "$live/../quality/run.sh" --tap "$@" > "$work/bars" || [ -s "$work/bars" ] || not_ok "$name: no bars"
    sed "s/^\(ok\|not ok\) /&$name, /" "$work/bars"
}

small=
for scenario in "$lab"/dev/*.json; do
    case $scenario in */smoke.json | */mixed-100k.json) ;; *) small="$small $scenario" ;; esac
done
quality whole --scale 1 "$lab/dev/smoke.json"
if "$lab/get-sendmail" > "$work/root"; then
    quality 'whole, sendmail' --sendmail --scale 1 "$lab/dev/smoke.json"
else
    skip 'sendmail' "its packages cannot be had"
fi
# shellcheck disable=SC2086
quality tenth --scale 0.1 $small
