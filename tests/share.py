#!/usr/bin/env python3
"""share.py [ROOT] - prints FILE:1: TEXT for each file or folder with too few lines of comment.

Concurrent code whose reasons are not written down gets broken by its next change, so BOUNDS asks
for a least share, in percent of the lines that are not blank. A comment behind code on the same
line does not count.
"""
import re
import sys
from pathlib import Path

BOUNDS = {
    "runtime": 16,
    "runtime/io/net.c": 12,
    "runtime/io/sock.c": 12,
    "runtime/base/clock.c": 12,
    "runtime/sync/chan.c": 12,
    "runtime/sync/sema.c": 12,
    "runtime/sync/waitgroup.c": 12,
    "runtime/sched/timer.c": 12,
}


def lines_of(path):
    """Returns the numbers of comment lines and of all lines that are not blank."""
    lines = re.sub(r"^[ \t]*/\*.*?\*/[ \t]*$",
                   lambda comment: re.sub(r"^.*$", "//", comment[0], flags=re.M),
                   re.sub(r"\n\s*(?=\n)", "", path.read_text()), flags=re.M | re.S).splitlines()
    return sum(line.startswith("//") for line in lines), len(lines)


root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
for name, least in BOUNDS.items():
    top = root / name
    paths = [p for p in (top.rglob("*") if top.is_dir() else [top]) if p.suffix in (".c", ".h", ".S")]
    counts = [lines_of(p) for p in paths if p.is_file()]
    comment, total = (sum(c) for c in zip(*counts)) if counts else (0, 0)
    if comment * 100 < least * total:
        print(f"{name}:1: {comment * 100 / total:.1f} % of its lines are comments, {least} at least")
