#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pyroscope.py WEFT_ORDERS WEFT_LOAD SECONDS [EVERY] - scrapes.py by the schedule of Pyroscope: each
EVERY seconds (15) all of its profiles at once, CPU time for a second less. One round is enough for
SECONDS below EVERY.
"""
import sys

sys.dont_write_bytecode = True
import scrapes  # noqa: E402

PATHS = ["allocs", "block", "goroutine", "mutex", "heap"]


def main():
    orders, load, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    every = int(sys.argv[4]) if len(sys.argv) > 4 else 15
    paths = [f"/debug/pprof/{path}" for path in PATHS + [f"profile?seconds={every - 1}"]]
    return scrapes.main(orders, load, seconds, every, paths)


if __name__ == "__main__":
    sys.exit(main())
