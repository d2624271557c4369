# SPDX-License-Identifier: Apache-2.0
# verdicts-mixed.sh: the lab's largest scenario in a real Postfix, at a tenth of its size. It has more campaigns than the
# lab's samples have texts, so some share one, and no cluster can tell them apart: those bars are left to a larger corpus.
. "$(dirname "$0")/lib"
need_root verdicts-mixed

sh "$live/../quality/run.sh" --tap --scale 0.1 "$lab/dev/mixed-100k.json" > "$work/bars" || true
grep -q legit "$work/bars" || not_ok "no bars"
grep -v B-cubed "$work/bars"
