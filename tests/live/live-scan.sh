# SPDX-License-Identifier: Apache-2.0
# live-scan.sh: the program reads a queue again and again while a real Postfix receives, retries and delivers: no run
# fails, no message comes twice, messages on hold are always there, and the server notices nothing.
. "$(dirname "$0")/lib"
need_root live-scan

sink=$(free_port)
background "$lab/sink" "$sink"
"$lab/stormlab" gen "$lab/dev/smoke.json" --scale 8 --out "$work/storm"
# half of the mail goes, the other half is retried all the time
postfix_start "$work/pf" --site "$work/storm/site.json" --queue hold
"$lab/stormlab" gen "$lab/dev/smoke.json" --scale 0.3 --out "$work/held"
"$lab/stormlab" inject-postfix "$work/held" --config "$work/pf/etc" --smtp "127.0.0.1:$port"
postfix_stop "$work/pf"
find "$work/pf/spool/hold" -type f -printf '%f\n' > "$work/ids"
postfix_start "$work/pf" --site "$work/storm/site.json" --set defer_transports= --set "relayhost=[127.0.0.1]:$sink" \
    --set queue_run_delay=1s --set minimal_backoff_time=1s --set maximal_backoff_time=1s \
    --set 'transport_maps=regexp:{{/^[a-m]/ smtp:[127.0.0.1]:9}}'
"$lab/stormlab" inject-postfix "$work/storm" --config "$work/pf/etc" --smtp "127.0.0.1:$port" --jobs 2 &
injector=$!
python3 - "$work/pf" "$work/ids" "$injector" <<'PYTHON'
import collections
import json
import os
import subprocess
import sys
import time
home, held, injector = sys.argv[1], set(open(sys.argv[2]).read().split()), int(sys.argv[3])
command = [os.environ["QSURGEON"], "--mta", "postfix", "--queue", f"{home}/spool", "--config", f"{home}/etc", "list", "--json"]
began, runs, failed, twice, lost, states = time.time(), 0, [], [], [], collections.Counter()
while time.time() - began < 25 or runs < 20:
    done = subprocess.run(command, capture_output=True, text=True)
    runs += 1
    if done.returncode:
        failed.append(f"status {done.returncode}: {done.stderr[-300:]}")
        if len(failed) > 3:
            break
        continue
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    times = collections.Counter(m["queue_id"] for m in messages)
    twice += [i for i, n in times.items() if n > 1]
    lost += held - times.keys()
    states.update(m["queue_name"] for m in messages)
for name, wrong in (("every run succeeds", failed), ("no message twice", twice), ("no message on hold is missed", lost)):
    print(f"not ok {name} - {len(wrong)}: {wrong[:3]}" if wrong else f"ok {name} ({runs} runs)")
moving = len([q for q in ("active", "deferred", "incoming") if states[q]])
print(f"{'ok' if moving >= 2 else 'not ok'} messages were seen moving - {dict(states)}")
PYTHON
check "the server takes all mail" wait "$injector"
if grep -E ' (fatal|panic|error): |corrupt' "$work/pf/maillog"; then not_ok "the server noticed nothing"; else
    ok "the server noticed nothing"; fi
