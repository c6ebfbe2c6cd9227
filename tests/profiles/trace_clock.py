#!/usr/bin/env python3
"""trace_clock.py CLOCK_SAMPLE - traces tell the time: for each task of clock_sample.c the waits and
the run times in its traces are within 2 % of those that the task measured itself, and its waits are
within 5 % of those in the block profile; at 1, 2 and 4 processors.

A wait that the task measures includes the time until it runs again, so the time for which the task
was runnable counts as waited, from its first run on. The task reads its clock before the wait begins
and after it ends. Where the kernel takes the CPU away between the clock and the event, the two
differ by a time for which the thread waited for a CPU, which the kernel counts: a busy machine is
allowed as much. But the sum of waits and runs has such a time in both, so that sum must agree in one
of some tries.
"""
import os
import re
import subprocess
import sys
import tempfile

import trace_check

TRIES = 3
SUM = " in all"
REASONS = {"receives": "chan receive", "locks": "sync", "sleeps": "sleep", "reads": "network"}


class Times:
    """The sums of a task: ns that it waited; of these, from a wait's begin on; ns that it ran."""

    def __init__(self):
        self.waited = self.blocked = self.ran = 0
        self.reasons = set()

    def add(self, state, reason, ns, after):
        if state in ("running", "syscall"):
            self.ran += ns
        elif self.ran:
            self.waited += ns
            self.blocked += ns if "waiting" in (state, after) else 0
            self.reasons |= {reason} if state == "waiting" else set()


def times(path):
    """Returns the Times of each task, by its function."""
    with open(path, "rb") as file:
        data = file.read()
    summary, last, result = trace_check.Summary(), {}, {}
    for event in trace_check.events_of(data):
        if event.name in ("CPUSample", "Generation"):
            continue
        summary.name(event)
        for task, state, reason in event.moves:
            begun, was, why, before = last.get(task, (event.time, None, "", None))
            result.setdefault(task, Times()).add(was, why, event.time - begun, before)
            last[task] = event.time, state, reason, was
    return {summary.names.get(task): of for task, of in result.items()}


def blocked(path, function):
    """Returns the ns in the samples of a block profile that have the function."""
    total = of_record = 0
    with open(path) as file:
        for line in file:
            if " @ " in line:
                of_record = int(line.split()[0])
            elif re.search(rf"\t{function}\+", line):
                total += of_record
                of_record = 0
    return total


def run(sample, procs):
    """Runs the sample. Yields what differs: the name, what is said, what is so, the share allowed, and
    the ns for which threads waited for a CPU meanwhile."""
    with tempfile.TemporaryDirectory() as dir:
        done = subprocess.run([sample, dir], env={**os.environ, "WEFT_PROCS": str(procs)},
                              capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            sys.exit(f"{sample}: status {done.returncode}\n{done.stderr}")
        said = {name: times(f"{dir}/{name}") for name in "12"}
        clock = [line.split() for line in done.stdout.splitlines()]
        delay = {trace: int(ns) for trace, name, ns, _ in clock if name == "delay"}
        for trace, function, waited, ran in clock:
            if function in REASONS:
                of = said[trace][function]
                what = f"{procs} processors, format {trace}, {function}"
                if of.reasons != {REASONS[function]}:
                    sys.exit(f"{what} waits for {of.reasons}")
                yield what + " waited", of.waited, int(waited), 0.02, delay[trace]
                yield what + " ran", of.ran, int(ran), 0.02, delay[trace]
                yield what + SUM, of.waited + of.ran, int(waited) + int(ran), 0.02, delay[trace]
        for function in ("receives", "locks"):
            yield (f"{procs} processors, block profile, {function}", blocked(f"{dir}/block", function),
                   said["1"][function].blocked + said["2"][function].blocked, 0.05, sum(delay.values()))


def try_once(sample, procs):
    """Returns what is not near enough; fails if something is off by more than the allowance."""
    off = []
    for what, said, is_so, share, delay in run(sample, procs):
        error = abs(said - is_so)
        if error > share * is_so:
            off.append(what)
            print(f"{what}: {said / 1e6:.3f} ms, not {is_so / 1e6:.3f} ms: {error / max(is_so, 1):.1%}; "
                  f"the kernel's delay: {delay / 1e6:.3f} ms")
        if error > share * is_so + delay:
            sys.exit(1)
    return off


for procs in (1, 2, 4):
    sums = False
    for _ in range(TRIES):
        off = try_once(sys.argv[1], procs)
        sums |= not any(what.endswith(SUM) for what in off)
        if not off:
            break
    if not sums:
        sys.exit(f"{procs} processors: the sums of waits and runs never agreed")
