#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py - runs weft and its Go peers in turn and holds the results against the targets.

The two sides of a case alternate, so a slow minute of the machine hits both; medians with
min..max. Writes out/bench.txt and out/bench.md. Fails when more rows miss than may, one misses
by more than MISS_AT_MOST, or a row misses that must not.
"""
import argparse
import math
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass

ROWS_MAY_MISS = 3
MISS_AT_MOST = 1.5
PATIENCE = 300  # seconds for one run


@dataclass
class Line:
    """One measure at one number of processors. It is met when weft is at most `of_go` times
    Go's figure, or at most `limit`. `minus` is subtracted from weft's figure, run by run."""
    row: str
    case: str
    metric: str
    procs: int
    of_go: float = 0
    limit: float = 0
    minus: str = ""
    must: bool = False

    @property
    def has_peer(self):
        return self.case != "walk1m"

    def target(self):
        if self.limit:
            return f"at most {self.limit:g}" + (f" over {self.minus}" if self.minus else "")
        if self.of_go < 1:
            return f"{1 / self.of_go:.3g}x faster"
        return f"at most {self.of_go:g} of Go"


def faster(row, case, times, procs=(1, 2)):
    return [Line(row, case, case, p, of_go=1 / times) for p in procs]


def late(row, case, p99, worst):
    return [Line(row, case, case + suffix, p, limit=limit)
            for p in (1, 2) for suffix, limit in (("_p99", p99), ("_worst", worst))]


LINES = [
    *faster("yield, 2 tasks", "yield2", 4, [1]),
    *faster("yield, 100,000 tasks", "yield100k", 4, [1]),
    *faster("spawn + finish, batch of 1000", "spawn_batch1000", 3),
    *faster("unbuffered round trip", "unbuffered_roundtrip", 3),
    *faster("buffered(128) per item", "buffered128", 1.5),
    *faster("select of 4", "select4", 2.5),
    Line("lock+unlock uncontended", "lock_uncontended", "lock_uncontended", 1, of_go=1.1),
    *faster("lock held over a yield, 1000 tasks", "lock_over_yield1000", 2),
    Line("1M parked: bytes each", "park1m", "park1m_bytes", 1, limit=4600, must=True),
    Line("1M parked: create / release", "park1m", "park1m_create", 1, of_go=1),
    Line("1M parked: create / release", "park1m", "park1m_release", 1, of_go=1),
    Line("1M timers of 1-2 s", "timers1m", "timers1m_cpu", 1, of_go=0.8),
    Line("1M timers of 1-2 s", "timers1m", "timers1m_late_p50", 1, of_go=1),
    *late("1 ms ticker beside endless hogs", "ticker_hogs", 6, 30),
    *late("1 ms ticker beside 1000 hogs of 20 ms", "ticker_hogs1000", 12, 40),
    Line("dump to a file: wall", "dump10k", "dump10k_wall", 2, of_go=0.1),
    Line("dump to a file: wall", "dump100k", "dump100k_wall", 2, of_go=0.1),
    Line("dump: longest gap of a 1 ms ticker", "dump10k", "dump10k_gap", 2, limit=2,
         minus="dump10k_bare", must=True),
    Line("dump: longest gap of a 1 ms ticker", "dump100k", "dump100k_gap", 2, limit=2,
         minus="dump100k_bare", must=True),
    Line("walk, 1M distinct stacks", "walk1m", "walk1m", 1, limit=0.3),
]


def run(program, case, procs):
    """The results of one run: {name: (value, unit)}; {} if it failed."""
    env = dict(os.environ, GOMAXPROCS=str(procs), WEFT_PROCS=str(procs))
    try:
        done = subprocess.run([program, case], env=env, timeout=PATIENCE, text=True,
                              stdout=subprocess.PIPE, check=True)
    except (subprocess.SubprocessError, OSError) as e:
        print(f"bench: {e}", file=sys.stderr)
        return {}
    words = (line.split() for line in done.stdout.splitlines())
    return {name: (float(value), unit) for name, value, unit in words}


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)


def measure(lines, sides, rounds):
    """{(side, case, procs): [results of each round]}, the sides taking turns."""
    samples = {}
    for case, procs in dict.fromkeys((line.case, line.procs) for line in lines):
        for n in range(rounds):
            order = list(sides.items())
            for side, program in order if n % 2 == 0 else reversed(order):
                if side == "go" and case == "walk1m":
                    continue
                progress(f"{case} P={procs} round {n + 1}/{rounds} {side}")
                samples.setdefault((side, case, procs), []).append(run(program, case, procs))
    progress("")
    return samples


def values(line, samples, side):
    """What this line measured on one side, a value a round; [] if a round failed."""
    results = samples.get((side, line.case, line.procs), [])
    names = [line.metric] + [line.minus] * (side == "weft" and line.minus != "")
    if any(name not in r for r in results for name in names):
        return []
    return [r[names[0]][0] - sum(r[name][0] for name in names[1:]) for r in results]


def unit(line, samples):
    for side in ("weft", "go"):
        for r in samples.get((side, line.case, line.procs), []):
            if line.metric in r:
                return r[line.metric][1]
    return ""


def excess(line, samples):
    """How many times over its target the median is; infinite when there is no figure."""
    weft, go = values(line, samples, "weft"), values(line, samples, "go")
    if not weft or (line.of_go and not go):
        return math.inf
    bound = line.limit or line.of_go * statistics.median(go)
    return statistics.median(weft) / bound


def spread(v):
    return f"{statistics.median(v):.4g} [{min(v):.4g}..{max(v):.4g}]" if v else "failed"


def table(lines, samples):
    yield ("work", "P", "unit", "Go", "weft", "Go / weft", "to reach", "verdict")
    for line in lines:
        weft, go = values(line, samples, "weft"), values(line, samples, "go")
        over = excess(line, samples)
        name = line.row if line.metric == line.case else f"{line.row} ({line.metric})"
        ratio = ""
        if weft and go and statistics.median(weft) > 0:
            ratio = f"{statistics.median(go) / statistics.median(weft):.2f}"
        yield (name, str(line.procs), unit(line, samples), spread(go) if line.has_peer else "-",
               spread(weft), ratio, line.target(), "ok" if over <= 1 else f"miss x{over:.2f}")


def as_text(cells):
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() + "\n"
                   for row in cells)


def as_markdown(cells):
    rows = ["| " + " | ".join(row) + " |\n" for row in cells]
    return rows[0] + "|---" * len(cells[0]) + "|\n" + "".join(rows[1:])


def judge(lines, samples):
    """The closing line, and whether the targets as a whole are met."""
    rows = {}
    for line in lines:
        rows[line.row] = max(rows.get(line.row, 0), excess(line, samples))
    missed = {row: over for row, over in rows.items() if over > 1}
    musts = {line.row for line in lines if line.must}
    good = (len(missed) <= ROWS_MAY_MISS and not musts & missed.keys()
            and all(over <= MISS_AT_MOST for over in missed.values()))
    return f"{len(rows) - len(missed)} rows reached, {len(missed)} missed", good


def machine(go_version):
    model = "unknown processor"
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    return (f"{model}, {len(os.sched_getaffinity(0))} processors, "
            f"{platform.system()} {platform.release()}; {go_version}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weft", required=True, help="the program of bench/*.c")
    parser.add_argument("--go", required=True, help="the program of bench/peers")
    parser.add_argument("--go-version", default="", help="printed in the head")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("row", nargs="*", help="part of a row's or a case's name; default: all")
    args = parser.parse_args()
    lines = [line for line in LINES if not args.row or
             any(part in line.row or part in line.case for part in args.row)]
    if not lines:
        parser.error("no such row; there are: " + ", ".join(dict.fromkeys(x.case for x in LINES)))

    samples = measure(lines, {"go": args.go, "weft": args.weft}, args.rounds)
    cells = list(table(lines, samples))
    closing, good = judge(lines, samples)
    head = f"{machine(args.go_version)}; {args.rounds} rounds, median [min..max]"
    os.makedirs("out", exist_ok=True)
    with open("out/bench.txt", "w") as text:
        text.write(f"{head}\n\n{as_text(cells)}\n{closing}\n")
    with open("out/bench.md", "w") as markdown:
        markdown.write(f"{head}\n\n{as_markdown(cells)}\n{closing}\n")
    print(f"{head}\n\n{as_text(cells)}\n{closing}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
