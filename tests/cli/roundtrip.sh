#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# roundtrip.sh PROGRAM SOURCE: undo of every operation leaves every fixture as it was.
. "$(dirname "$0")/lib"
if [ "$(id -u)" != 0 ]; then
    echo "skip roundtrip: needs root"
    finish
fi
chmod 755 "$work"           # the queue's owner passes
python3 "$tests/roundtrip.py" "$program" "$source" "$work" || failed=1
finish
