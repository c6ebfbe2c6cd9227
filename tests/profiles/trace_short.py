#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trace_short.py TORTURE_TRACE TRACES TASKS [PROCS...] - short traces that begin and end at random
moments of a program with so many tasks, equally many at each number of processors (1, 2 and 4).
trace_check.py accepts each, and so does the go tool trace of every Go here, whose pages trace_pages.py
reads. Each of the tool's four profiles has samples if the trace has such a wait. Traces that are
refused are kept. Status 77: there is no go.
"""
import glob
import gzip
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile

import trace_check
import trace_pages
from trace_perfetto import fields
from trace_read import Broken

A_SECOND = 4  # as many traces torture_trace takes
KINDS = ("net", "sync", "syscall", "sched")


def tools():
    """Pairs of a tool's path and whether it is of Go 1.22 or later."""
    found = {}
    for go in ["/usr/bin/go"] + sorted(glob.glob("/usr/lib/go-*/bin/go")):
        if os.path.exists(go):
            version, folder = subprocess.run([go, "env", "GOVERSION", "GOTOOLDIR"], check=True,
                                             capture_output=True, text=True).stdout.split()
            if os.path.exists(folder + "/trace"):
                found[folder + "/trace"] = int(version.split(".")[1]) >= 22
    return sorted(found.items())


def kind_of(event, state, reason, newer):
    """Returns the profile that a tool counts the wait to which an event begins."""
    if state == "waiting":
        sync = any(word in reason for word in ("chan", "sync", "select"))
        return "net" if reason == "network" else "sync" if sync else None
    if state == "runnable":
        return "sched" if newer or event.name.startswith(("GoUnblock", "GoCreate")) else None
    return "syscall" if state == "syscall" else None


def waits(events, newer):
    """Returns the profiles that a tool shows something in. A newer tool looks at those events only
    which have a stack."""
    begun, lost, kinds = {}, set(), set()
    for event in events:
        stack = event.args.get("stack")
        calls = ((event.task, "syscall", ""),) if event.name == "GoSysCall" else ()
        for task, state, reason in calls or event.moves:
            at, was, kind = begun.get(task, (None, None, None))
            if event.name == "GoSysBlock":
                lost.add(task)
            elif kind == "syscall" and not newer and task not in lost:
                was = begun.pop(task) and None  # the tool sees no end of a call that did not block
            if was and state != was and (stack or not newer):
                if event.time > at:
                    kinds.add(kind)
                was = begun.pop(task) and None
                lost.discard(task)
            kind = kind_of(event, state, reason, newer)
            if not was and kind and stack:
                begun[task] = event.time, state, kind
    return kinds


def samples(profile):
    return sum(field == 2 for _, field, _ in fields(profile, 0, len(profile)))


def run(tool, option, path):
    p = subprocess.run([tool, option, path], capture_output=True, check=False)
    return p.stdout if p.returncode == 0 else None


def judge(path):
    """Returns what is wrong with a trace, its number of events and of tasks, and which profiles show
    something, by tool."""
    wrong, shown = [], []
    with open(path, "rb") as file:
        data = file.read()
    try:
        events = list(trace_check.events_of(data))
    except Broken as error:
        return [f"{path}: {error}"], 0, 0, []
    for event in events:
        if event.name in ("GoSysCall", "GoSyscallBegin") and not event.args["stack"]:
            wrong.append(f"{path}: at byte {event.offset}: a call without a stack")
    for tool, newer in tools():
        if data.startswith(b"go 1.23") and not newer:
            continue
        if not run(tool, "-d=1", path):
            wrong.append(f"{path}: refused by {tool} -d")
        wanted = waits(events, newer)
        for kind in KINDS:
            profile = run(tool, "-pprof=" + kind, path)
            if profile is None:
                wrong.append(f"{path}: refused by {tool} -pprof={kind}")
            elif samples(gzip.decompress(profile)):
                shown.append((tool, kind))
            elif kind in wanted:
                wrong.append(f"{path}: {tool} -pprof={kind} is empty")
        wrong += [f"{path}: {tool} {text}" for text in trace_pages.check(tool, path)]
    return wrong, len(events), len({task for e in events for task, _, _ in e.moves}), shown


def take(program, count, tasks, procs, folder):
    """Runs the program until it has taken so many traces. Returns their paths."""
    paths, runs = [], 0
    while len(paths) < count:
        runs += 1
        into = f"{folder}/p{procs}_{runs}"
        os.mkdir(into)
        subprocess.run([program, str(max(1, (count - len(paths)) / A_SECOND)), str(runs)], check=True,
                       stdout=subprocess.DEVNULL,
                       env=os.environ | {"WEFT_PROCS": procs, "TORTURE_TASKS": str(tasks),
                                         "TORTURE_TRACES": into})
        paths += [f"{into}/{name}" for name in os.listdir(into)]
    return paths


class Sums:
    """Sums over the traces that were read."""

    def __init__(self):
        self.traces = self.bytes = self.events = self.tasks = 0
        self.wrong, self.shown = [], {}

    def add(self, path, wrong, events, tasks, shown):
        self.traces += 1
        self.bytes += os.path.getsize(path)
        self.events += events
        self.tasks = max(self.tasks, tasks)
        self.wrong += wrong
        for profile in shown:
            self.shown[profile] = self.shown.get(profile, 0) + 1
        if not wrong:
            os.remove(path)
        if self.traces % 50 == 0:
            print(f"trace_short: {self.traces} are read", file=sys.stderr, flush=True)

    def print(self):
        for text in self.wrong:
            print("trace_short: " + text)
        print(f"trace_short: {self.traces} traces, {self.bytes} bytes, {self.events} events, up to "
              f"{self.tasks} tasks")
        for (tool, kind), count in sorted(self.shown.items()):
            print(f"trace_short: {tool} -pprof={kind} has samples in {count}")


def main():
    program, count, tasks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    list_of_procs = sys.argv[4:] or ["1", "2", "4"]
    folder, sums = tempfile.mkdtemp(prefix="trace_short_"), Sums()
    for procs in list_of_procs:
        paths = take(program, -(-count // len(list_of_procs)), tasks, procs, folder)
        with multiprocessing.Pool() as pool:
            for path, judgement in zip(paths, pool.imap(judge, paths)):
                sums.add(path, *judgement)
    sums.print()
    if not sums.wrong:
        shutil.rmtree(folder)
    return 1 if sums.wrong else 0 if tools() else 77


if __name__ == "__main__":
    sys.exit(main())
