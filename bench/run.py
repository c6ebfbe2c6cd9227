#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py - runs weft and its peers in turn and compares the results with the targets of rows.py.

The sides of a case alternate, so a slow minute of the machine hits all. Writes medians with min..max
to out/bench.txt and out/bench.md, and does so after each row, so that an interrupted run leaves the
rows that it has. Fails if, in one group, more rows miss than may, a row misses by
more than it may, or a row misses that must not.
"""
import argparse
import glob
import math
import os
import platform
import signal
import statistics
import subprocess
import sys

import counted
import heap
import pairs
import resume
import serve
import start
from rows import (CONTENTION, CPU, HEAP, HTTP, RECORDS, RUNTIME, TRACE, Group, Line, Pair,
                  environment, program_of)

GROUPS = (RUNTIME, HTTP, CONTENTION, CPU, HEAP, TRACE)

PATIENCE = 300  # seconds for one run
NEW_MEMORY = ("park1m", "timers1m")  # what their pages cost must not hang on who ran before
NAMES = {"go": "Go", "nginx": "nginx", "uv": "libuv", "weft": "weft"}


def run_program(side, program, case, procs):
    done = subprocess.run([program, case], env=environment(side, procs), timeout=PATIENCE,
                          text=True, stdout=subprocess.PIPE, check=True)
    return serve.results(done.stdout)


def run(side, program, case, procs):
    """The results of one run: {name: (value, unit)}; {} if it failed."""
    try:
        if case in serve.CASES:
            return serve.run(side, program, case, procs)
        if case == "resume":
            return resume.run(program)
        if case == "start":
            return start.run(side, program, environment(side, procs))
        if case == "heap_pair":
            return heap.run(program)
        if case == "orders_instr":
            return counted.run(program)
        return run_program(side, program, case, procs)
    except (subprocess.SubprocessError, OSError) as e:
        print(f"bench: {side} {case}: {e}", file=sys.stderr)
        return {}
    finally:
        for record in glob.glob(RECORDS + "*"):
            os.unlink(record)


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)


def tell(line, samples):
    """A row that was measured, in one line of stderr."""
    make = pairs.table if isinstance(line, Pair) else table
    names, cells = make([line], samples)
    progress("")
    print("; ".join(f"{name} {cell}" for name, cell in zip(names, cells) if cell not in ("", "-")),
          file=sys.stderr, flush=True)


def turn(sides, n):
    """The order of the sides in round n. Three sides take turns at going first; others run to and
    fro, so that the runs to be compared stay close in time."""
    first = n % len(sides)
    return sides[first:] + sides[:first] if len(sides) == 3 else sides[::-1 if n % 2 else 1]


def measure(lines, programs, rounds, samples, measured):
    """Adds {(side, case, procs): [results of each round]} to samples, the sides taking turns. Calls
    measured with the lines of each case that is through."""
    plan = {}
    for line in lines:
        plan.setdefault((line.case, line.procs), {}).update(dict.fromkeys(line.sides))
    for (case, procs), sides in plan.items():
        for n in range(rounds):
            for side in turn(list(sides), n):
                progress(f"{case} P={procs} round {n + 1}/{rounds} {side}")
                if case in NEW_MEMORY:
                    run("weft", programs["weft"], "page_warm", 1)
                result = run(side, program_of(side, programs), case, procs)
                samples.setdefault((side, case, procs), []).append(result)
        measured([line for line in lines if (line.case, line.procs) == (case, procs)])


def values(line, samples, side):
    """The values that this line measured on one side, one a round; [] if a round failed."""
    results = samples.get((side, line.case, line.procs), [])
    names = [line.metric] + [line.minus] * (side == "weft" and line.minus != "")
    if any(name not in r for r in results for name in names):
        return []
    return [r[names[0]][0] - sum(r[name][0] for name in names[1:]) for r in results]


def unit(line, samples):
    for side in line.sides:
        for r in samples.get((side, line.case, line.procs), []):
            if line.metric in r:
                return r[line.metric][1]
    return ""


def excess(line, samples):
    """The median divided by its target; infinite when there is no figure."""
    if isinstance(line, Pair):
        return pairs.excess(line, samples)
    weft = values(line, samples, "weft")
    peers = [(values(line, samples, side), times) for side, times in line.bounds()]
    if not weft or not all(v for v, _ in peers):
        return math.inf
    bounds = [times * statistics.median(v) for v, times in peers]
    return statistics.median(weft) / min(bounds + [line.limit] * (line.limit > 0))


def spread(v):
    return f"{statistics.median(v):.4g} [{min(v):.4g}..{max(v):.4g}]" if v else "failed"


def ratio(line, side, weft):
    """Nothing for a difference: it may be near zero, or below."""
    if side and weft and not line.minus and statistics.median(weft) > 0:
        return f"{statistics.median(side) / statistics.median(weft):.2f}"
    return ""


def table(lines, samples):
    sides = [side for side in NAMES if any(side in line.sides for line in lines)]
    peers = [side for side in sides if side != "weft"]
    yield ("work", "P", "unit", *(NAMES[side] for side in sides),
           *(f"{NAMES[side]} / weft" for side in peers), "to reach", "verdict")
    for line in lines:
        v = {side: values(line, samples, side) for side in sides}
        over = excess(line, samples)
        name = line.row if line.metric == line.case else f"{line.row} ({line.metric})"
        yield (name, str(line.procs), unit(line, samples),
               *(spread(v[side]) if side in line.sides else "-" for side in sides),
               *(ratio(line, v[side], v["weft"]) for side in peers),
               line.target(), "ok" if over <= 1 else f"miss x{over:.2f}")


def as_text(cells):
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() + "\n"
                   for row in cells)


def as_markdown(cells):
    rows = ["| " + " | ".join(row) + " |\n" for row in cells]
    return rows[0] + "|---" * len(cells[0]) + "|\n" + "".join(rows[1:])


def judge(group, samples):
    """The closing line, and whether the group's targets as a whole are met."""
    rows = {}
    for line in group.lines:
        rows[line.row] = max(rows.get(line.row, 0), excess(line, samples))
    missed = {row: over for row, over in rows.items() if over > 1}
    musts = {line.row for line in group.lines if isinstance(line, Line) and line.must}
    good = (len(missed) <= group.may_miss and not musts & missed.keys()
            and all(over <= group.miss_at_most for over in missed.values()))
    return f"{group.title}: {len(rows) - len(missed)} rows reached, {len(missed)} missed", good


def page_touch(program):
    """The time that the machine takes for a page's first touch."""
    ns, _ = run("weft", program, "page_touch", 1).get("page_touch", (math.nan, "ns"))
    return f"{ns / 1000:.2g} us"


def machine(program, versions):
    model = "unknown processor"
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    return (f"{model}, {len(os.sched_getaffinity(0))} processors, "
            f"{platform.system()} {platform.release()}, "
            f"a page's first touch {page_touch(program)}; {versions}")


def chosen(group, parts):
    """The group with the lines whose row or case, or group, has one of these parts in its name."""
    lines = [line for line in group.lines if not parts or any(
        part in name for part in parts for name in (line.row, line.case, group.title))]
    return only(group, lines)


def only(group, lines):
    """The group with those of its lines that are among these."""
    return Group(group.title, [line for line in group.lines if line in lines], group.may_miss,
                 group.miss_at_most)


def report(head, groups, samples):
    """Writes the tables. Their text, and whether all groups are good."""
    text, markdown, all_good = head + "\n", head + "\n", True
    for group in groups:
        for make, kind in ((table, Line), (pairs.table, Pair)):
            of_kind = [line for line in group.lines if isinstance(line, kind)]
            if of_kind:
                cells = list(make(of_kind, samples))
                text += "\n" + as_text(cells)
                markdown += "\n" + as_markdown(cells)
        closing, good = judge(group, samples)
        text += f"\n{closing}\n"
        markdown += f"\n{closing}\n"
        all_good = all_good and good
    os.makedirs("out", exist_ok=True)
    for name, content in (("txt", text), ("md", markdown)):
        with open(f"out/bench.{name}", "w") as file:
            file.write(content)
    return text, all_good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weft", required=True, help="the program of bench/*.c")
    parser.add_argument("--go", required=True, help="the program of bench/peers")
    parser.add_argument("--nginx", required=True)
    parser.add_argument("--versions", default="", help="of the peers, for the head")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pairs", type=int, default=30, help="rounds of on and off")
    parser.add_argument("row", nargs="*", help="part of a row's or a case's name; default: all")
    args = parser.parse_args()
    if args.pairs < pairs.FEWEST:
        parser.error(f"{pairs.FEWEST} pairs at least")
    groups = [group for group in (chosen(g, args.row) for g in GROUPS) if group.lines]
    if not groups:
        cases = dict.fromkeys(x.case for g in GROUPS for x in g.lines)
        parser.error("no such row; there are: " + ", ".join(cases))

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the children on the way out
    programs = {"weft": args.weft, "go": args.go, "nginx": args.nginx, "uv": args.weft}
    lines = [line for group in groups for line in group.lines]
    samples, done = {}, []
    head = (f"{machine(args.weft, args.versions)}; {args.rounds} rounds, median [min..max]; "
            f"{args.pairs} pairs on and off, median [95 %]")

    def measured(new):
        done.extend(new)
        for line in new:
            tell(line, samples)
        so_far = f"{head}; {len(done)} of {len(lines)} rows measured"
        begun = [only(group, done) for group in groups]
        report(so_far, [group for group in begun if group.lines], samples)

    for kind, rounds in ((Line, args.rounds), (Pair, args.pairs)):
        measure([line for line in lines if isinstance(line, kind)], programs, rounds, samples, measured)
    text, good = report(head, groups, samples)
    print(text, end="")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
