#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""block_rspamd.py MAP DIRECTORY BLOCKED,... FREE,...: an rspamd that has MAP as a multimap of type ip, as its own module reads
it, judges the same message from these addresses."""
import pathlib
import re
import socket
import subprocess
import sys
import time

from result import report, run

CONF = """
options {{ pidfile = "{0}/pid"; temp_dir = "{0}"; cache_file = "{0}/symbols"; hs_cache_dir = "{0}"; control_socket = "{0}/control";
    url_tld = "{0}/tld"; filters = ""; dns {{ nameserver = ["127.0.0.1"]; }} }}
logging {{ type = "file"; filename = "{0}/log"; level = "info"; }}
lua = "{0}/load.lua";
actions {{ reject = 15; }}
multimap {{ QS_BLOCK {{ type = "ip"; map = "{2}"; score = 15.0; }} }}
modules {{ path = "$PLUGINSDIR/multimap.lua"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{1}"; count = 1; }}
"""
MAIL = b"From: a@there.example\r\nTo: b@here.example\r\nSubject: lunch\r\nMessage-ID: <1@there.example>\r\n\r\nAt noon?\r\n"


def main():
    table, place = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    blocked, free = (words.split(",") for words in sys.argv[3:5])
    place.mkdir()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    (place / "tld").write_text("com\nexample\n")
    (place / "load.lua").write_text('require "global_functions" ()\n')      # as rspamd's own rules/rspamd.lua has it
    (place / "conf").write_text(CONF.format(place, port, table))
    (place / "mail").write_bytes(MAIL)
    server = subprocess.Popen(["rspamd", "-f", "-i", "-u", "root", "-g", "root", "-c", place / "conf"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ask = ["rspamc", "-h", f"127.0.0.1:{port}", "symbols", str(place / "mail"), "-i"]
    try:
        for _ in range(240):            # it reads its maps first
            if b"QS_BLOCK" in subprocess.run([*ask, blocked[0]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout:
                break
            time.sleep(0.25)
        hit = {ip: b"Symbol: QS_BLOCK" in run(*ask, ip) for ip in blocked + free}
    finally:
        server.terminate()
        server.wait()
    report("rspamd: who is blocked is in its map", [ip for ip in blocked if not hit[ip]], len(blocked))
    report("rspamd: and nobody else", [ip for ip in free if hit[ip]], len(free))
    wanted = [line for line in table.read_text().splitlines() if line and not line.startswith("#")]
    read = re.findall(r"read radix trie of (\d+) elements", (place / "log").read_text(errors="replace"))
    report("rspamd: it reads each line", [f"{read} of {len(wanted)}"] if set(read) != {str(len(wanted))} else [], len(wanted))


main()
