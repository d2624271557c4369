# SPDX-License-Identifier: Apache-2.0
# operate-bad.sh: bad days and hostile input: full disks, lost archives, damaged plans, signals, missing privileges.
. "$(dirname "$0")/lib"
need_root operate-bad
mkdir "$work/fixture"
tar -C "$work/fixture" --no-same-owner --warning=no-timestamp -xzf "$fixtures/postfix/short/spool.tar.gz"
chown -R postfix:postfix "$work/fixture/spool"
python3 "$live/operate_bad.py" "$work"
