#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# docs.sh PROGRAM SOURCE [--update]: README.md says what the program says of itself. --update writes the help text into
# README.md instead of comparing it; the rest of the page is for people to write.
. "$(dirname "$0")/lib"
python3 "$tests/docs.py" "$program" "$source" "$queue" ${3:+"$3"} || failed=1
finish
