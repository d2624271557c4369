# SPDX-License-Identifier: Apache-2.0
# operate-fault.sh: every system call that changes files fails once, or is the last of the process: tests/fault/fault.py.
. "$(dirname "$0")/lib"
need_root operate-fault
if [ -d /dev/shm ] && [ "$(df --output=avail /dev/shm | tail -n 1)" -gt 200000 ]; then
    fast=$(mktemp -d /dev/shm/qsurgeon-fault.XXXXXX)
    at_end="rm -rf $fast; $at_end"
else
    fast=$(mktemp -d "$work/fault.XXXXXX")
fi
chmod 755 "$fast"
# thousands of short runs: by the program without sanitizers, where there is one
[ ! -x "${QSURGEON_PLAIN:-}" ] || export QSURGEON="$QSURGEON_PLAIN"
cc -O1 -Wall -Wextra -Werror -D_GNU_SOURCE -shared -fPIC -o "$work/shim.so" "$live/../fault/shim.c" -ldl
chmod 755 "$work/shim.so"
python3 "$live/../fault/fault.py" "$work/shim.so" "$fast" || true
