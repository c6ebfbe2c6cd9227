# SPDX-License-Identifier: MIT
"""heap.py - the nanoseconds that the component weft_heap adds to a pair of free and malloc.

Three runs are compared: with the component at its usual rate, with the rate 0, and of a program that
is not linked with it. They take turns; the figures are medians of the differences, round by round,
and each run is the best of a few, since noise only ever adds."""
import functools
import os
import statistics
import subprocess

from rows import environment

ROUNDS, BEST_OF, PATIENCE = 30, 3, 300


def once(program, rate):
    env = dict(environment("weft", 1), WEFT_HEAP_RATE=rate)
    done = subprocess.run([program, "heap_pair"], env=env, timeout=PATIENCE, check=True, text=True,
                          stdout=subprocess.PIPE)
    return float(done.stdout.split()[1])


def best(program, rate):
    return min(once(program, rate) for _ in range(BEST_OF))


@functools.cache
def run(program):
    """The results: {name: (value, unit)}."""
    sides = {"on": (program, ""), "off": (program, "0"), "without": (f"{program}_unheaped", "")}
    rounds = []
    for n in range(ROUNDS):
        names = list(sides)[n % 3:] + list(sides)[:n % 3]
        rounds.append({name: best(*sides[name]) for name in names})
    more = {name: statistics.median(r[name] - r["without"] for r in rounds) for name in ("on", "off")}
    return {f"heap_{name}": (round(value, 2), "ns") for name, value in more.items()}


if __name__ == "__main__":
    import sys
    print(run(os.path.abspath(sys.argv[1])))
