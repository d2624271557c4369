#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""operate_inject.py PORT COUNT [PER-SECOND]: hands over messages numbered 1 to COUNT by SMTP, a recipient each."""
import smtplib
import sys
import time

port, count = int(sys.argv[1]), int(sys.argv[2])
rate = float(sys.argv[3]) if len(sys.argv) > 3 else 0
began = time.time()
with smtplib.SMTP("127.0.0.1", port) as smtp:
    for n in range(1, count + 1):
        smtp.sendmail(f"sender{n % 7}@from.example", [f"to{n}@there.example"],
                      f"From: sender{n % 7}@from.example\r\nTo: to{n}@there.example\r\nSubject: number {n}\r\nX-Number: {n}\r\n"
                      f"Message-ID: <{n}@once.example>\r\n\r\n" + f"line of message {n}\r\n" * (1 + n % 20))
        if rate:
            time.sleep(max(0, began + n / rate - time.time()))
