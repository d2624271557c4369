# SPDX-License-Identifier: Apache-2.0
"""say.py PORT SENDER RECIPIENT [CLIENT]: what a mail server answers to an envelope; the last reply's code and text.
With CLIENT, an address of 127.0.0.0/8, the connection comes from there. Nothing is sent when all is accepted."""
import smtplib
import sys

port, sender, recipient = int(sys.argv[1]), sys.argv[2], sys.argv[3]
source = (sys.argv[4], 0) if len(sys.argv) > 4 else None
with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=60, source_address=source) as s:
    s.ehlo()
    code, text = s.mail(sender)
    if code == 250:
        code, text = s.rcpt(recipient)
    print(code, text.decode("utf-8", "replace").replace("\n", " "))
