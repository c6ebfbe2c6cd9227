#!/usr/bin/env python3
"""trace_check.py [--summary | --dump] [--cut] FILE... - checks execution traces as Go's tools do.

Replays the state that the readers of a trace keep, and prints the first violation with its position.
Knows the formats of Go 1.11 to 1.21 (trace_v1.py) and of 1.22 to 1.26 (trace_v2.py), and Perfetto's
(trace_perfetto.py). It is stricter than Go's tools in three things: a pc has one function, file and
line, and each generation has a status of what runs in it; and a CPU sample has a stack, and a task and a processor
of the trace.

--summary prints lines whose fields are separated by tabs: the number of events of each kind, and for
each task and each state, with the reason of waits, the nanoseconds spent there and how often. The
labels of tasks. For CPU samples: the task, its state at that time, the stack from the innermost function on, and how many.
--dump prints each event. --cut accepts a file that ends within its last generation.
"""
import bisect
import re
import sys

import trace_perfetto
import trace_v1
import trace_v2
from trace_read import STATES, Broken


def events_of(data):
    version = re.match(rb"go 1\.(\d+) trace", data)
    if version:
        yield from (trace_v1 if int(version[1]) < 22 else trace_v2).read(data)
    elif data[:1] == b"\n":
        yield from trace_perfetto.read(data)
    else:
        raise Broken(0, "no execution trace")


class Summary:
    """Sums of a trace: events by kind, the times of tasks by state, the times of user tasks by name."""

    def __init__(self):
        self.kinds, self.names, self.spent = {}, {}, {}
        self.since = {}  # task: (time, state, reason)
        self.user, self.user_spent = {}, {}
        self.labels = set()  # (task, label)
        self.past, self.samples = {}, []  # task: its states, each as (from, state)
        self.first, self.last, self.blind = None, 0, 0

    def add(self, event):
        self.kinds[event.name] = self.kinds.get(event.name, 0) + 1
        if event.name == "Track" and event.task is not None:
            self.names[event.task] = event.args["name"].rsplit(" ", 1)[0]
        if event.name == "CPUSample":
            self.samples.append(event)
        if event.name in ("CPUSample", "Generation", "Track"):
            return
        self.first = event.time if self.first is None else self.first
        self.last = event.time
        self.name(event)
        if "label" in event.args and event.task is not None:
            self.labels.add((event.task, event.args["label"]))
        for task, state, reason in event.moves:
            self.close(task)
            self.past.setdefault(task, []).append((event.time, state))
            if state in STATES:
                self.since[task] = (event.time, state, reason)
        if event.name.startswith("GoUnblock") and not event.args["stack"]:
            self.blind += 1
        if event.name in ("UserTaskBegin", "UserTaskCreate"):
            self.user[event.args["id"]] = event.time
        elif event.name == "UserTaskEnd" and event.args["id"] in self.user:
            spent = self.user_spent.setdefault(event.args["name"], [0, 0])
            spent[0] += event.time - self.user.pop(event.args["id"])
            spent[1] += 1

    def name(self, event):
        """Names a task as the tools do: by the outermost frame of its entry or its first stack."""
        created = event.name.startswith("GoCreate") or event.name.startswith("GoStatus")
        task = event.args.get("g") if created else event.task
        stack = event.args.get("entry") or event.args.get("stack")
        if task is not None and stack and (created or event.name.startswith("GoBlock")):
            self.names.setdefault(task, stack[-1][1])

    def close(self, task):
        if task in self.since:
            time, state, reason = self.since.pop(task)
            spent = self.spent.setdefault((task, state, reason), [0, 0])
            spent[0] += self.last - time
            spent[1] += 1

    def state_at(self, task, time):
        past = self.past.get(task, [])
        at = bisect.bisect_right(past, time, key=lambda step: step[0])
        return past[at - 1][1] if at else None

    def sampled(self):
        """Counts the CPU samples by task, its state then, and stack."""
        counts = {}
        for sample in self.samples:
            stack = " < ".join(function for _, function, _, _ in sample.args["stack"])
            key = sample.task, self.state_at(sample.task, sample.time) or "", stack
            counts[key] = counts.get(key, 0) + 1
        return counts

    def print(self):
        for task in list(self.since):
            self.close(task)
        print(f"time\t{self.first}\t{self.last}")
        for kind, count in sorted(self.kinds.items()):
            print(f"event\t{kind}\t{count}")
        print(f"unblocks without a stack\t{self.blind}")
        for (task, state, reason), (ns, count) in sorted(self.spent.items()):
            print(f"task\t{task}\t{self.names.get(task, '')}\t{state}\t{reason}\t{ns}\t{count}")
        for name, (ns, count) in sorted(self.user_spent.items()):
            print(f"usertask\t{name}\t{ns}\t{count}")
        for task, label in sorted(self.labels):
            print(f"label\t{task}\t{label}")
        for (task, state, stack), count in sorted(self.sampled().items()):
            print(f"sample\t{task}\t{state}\t{stack}\t{count}")


def check(path, options):
    """Returns whether the trace is whole and breaks no rule, after printing what the options want."""
    summary = Summary()
    broken = None
    try:
        with open(path, "rb") as file:
            for event in events_of(file.read()):
                summary.add(event)
                if "--dump" in options:
                    print(event)
    except Broken as error:
        if not ("--cut" in options and summary.kinds.get("Generation")):
            broken = error
    if "--summary" in options:
        summary.print()
    if broken:
        print(f"{path}: {broken}", file=sys.stderr)
    return broken is None


if __name__ == "__main__":
    options = [arg for arg in sys.argv[1:] if arg.startswith("--")]
    paths = [arg for arg in sys.argv[1:] if not arg.startswith("--")]
    if not paths or set(options) - {"--summary", "--dump", "--cut"}:
        sys.exit(__doc__)
    sys.exit(not all([check(path, options) for path in paths]))
