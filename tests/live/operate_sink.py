#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""operate_sink.py PORT LOG [SHARE]: a receiving SMTP server that writes a line "NUMBER RECIPIENT DIGEST" for each recipient of
each message that it has accepted, where NUMBER is the field X-Number, and DIGEST that of the body. It answers 451 to that
share of all recipients. While LOG.closed is there, to all of them."""
import hashlib
import os
import random
import re
import socketserver
import sys
import threading

LOCK = threading.Lock()
LOG = sys.argv[2]
SHARE = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        recipients = []
        try:
            self.wfile.write(b"220 sink.example ESMTP\r\n")
            for line in self.rfile:
                verb = line[:4].upper()
                if verb == b"EHLO":
                    self.wfile.write(b"250-sink.example\r\n250-8BITMIME\r\n250 PIPELINING\r\n")
                elif verb == b"MAIL":
                    recipients = []
                    self.wfile.write(b"250 2.0.0 Ok\r\n")
                elif verb == b"RCPT":
                    if os.path.exists(LOG + ".closed") or random.random() < SHARE:
                        self.wfile.write(b"451 4.7.1 come back later\r\n")
                    else:
                        recipients.append(line[line.find(b"<") + 1:line.rfind(b">")].decode())
                        self.wfile.write(b"250 2.1.5 Ok\r\n")
                elif verb == b"DATA" and recipients:
                    self.wfile.write(b"354 Go on\r\n")
                    text = b""
                    for part in self.rfile:
                        if part == b".\r\n":
                            break
                        text += part
                    head, _, body = text.partition(b"\r\n\r\n")
                    number = re.search(rb"^X-Number: (\d+)", head, re.M | re.I)
                    with LOCK, open(LOG, "a", encoding="ascii") as file:
                        for recipient in recipients:
                            file.write(f"{number.group(1).decode() if number else '-'} {recipient} "
                                       f"{hashlib.sha256(body).hexdigest()[:16]}\n")
                    self.wfile.write(b"250 2.0.0 Ok\r\n")
                elif verb == b"DATA":
                    self.wfile.write(b"554 5.5.1 No valid recipients\r\n")
                elif verb == b"QUIT":
                    self.wfile.write(b"221 2.0.0 Bye\r\n")
                    return
                else:
                    self.wfile.write(b"250 2.0.0 Ok\r\n")
        except (ConnectionError, ValueError):
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 200


if __name__ == "__main__":
    open(LOG, "a", encoding="ascii").close()
    with Server(("127.0.0.1", int(sys.argv[1])), Session) as server:
        server.serve_forever()
