"""trace_v2.py - reads execution traces of the formats of Go 1.22 to 1.26.

A generation is a list of batches: its tables, and for each thread a stream of events. The times of
threads are not compared. The sequence numbers of tasks and processors order the events, so that the
reader takes the earliest event that can have happened, given the state of all tasks and processors.
"""
import re

from trace_read import NONE, Broken, Event, Frames, Regions, bytes_at, check_sample, varint

MAX_BATCH, MAX_STRING, MAX_FRAMES = 65536, 1024, 128
MAX_PROC = 65535  # the tool's timeline has a row for each number up to the greatest

# A $ marks a string, an @ a stack.
EVENTS = {number: (name, args.split()) for number, name, args in (
    (9, "ProcsChange", "n @stack"), (10, "ProcStart", "p pseq"), (11, "ProcStop", ""),
    (12, "ProcSteal", "p pseq m"), (13, "ProcStatus", "p status"),
    (14, "GoCreate", "g @entry @stack"), (15, "GoCreateSyscall", "g"), (16, "GoStart", "g gseq"),
    (17, "GoDestroy", ""), (18, "GoDestroySyscall", ""), (19, "GoStop", "$reason @stack"),
    (20, "GoBlock", "$reason @stack"), (21, "GoUnblock", "g gseq @stack"),
    (22, "GoSyscallBegin", "pseq @stack"), (23, "GoSyscallEnd", ""), (24, "GoSyscallEndBlocked", ""),
    (25, "GoStatus", "g m status"), (26, "STWBegin", "$kind @stack"), (27, "STWEnd", ""),
    (28, "GCActive", "seq"), (29, "GCBegin", "seq @stack"), (30, "GCEnd", "seq"),
    (31, "GCSweepActive", "p"), (32, "GCSweepBegin", "@stack"), (33, "GCSweepEnd", "swept reclaimed"),
    (34, "GCMarkAssistActive", "g"), (35, "GCMarkAssistBegin", "@stack"), (36, "GCMarkAssistEnd", ""),
    (37, "HeapAlloc", "bytes"), (38, "HeapGoal", "bytes"), (39, "GoLabel", "$label"),
    (40, "UserTaskBegin", "id parent $name @stack"), (41, "UserTaskEnd", "id @stack"),
    (42, "UserRegionBegin", "id $name @stack"), (43, "UserRegionEnd", "id $name @stack"),
    (44, "UserLog", "id $key $value @stack"), (45, "GoSwitch", "g gseq"),
    (46, "GoSwitchDestroy", "g gseq"), (47, "GoCreateBlocked", "g @entry @stack"),
    (48, "GoStatusStack", "g m status @stack"))}

TASK_STATUS = {1: "runnable", 2: "running", 3: "syscall", 4: "waiting"}
PROC_STATUS = {1: "running", 2: "idle", 3: "syscall", 4: "abandoned"}

# The needs of an event on its thread: T a thread, P a processor, G a task; a small letter: none of it.
# ProcStart and GoStart look at the thread only when the processor or the task is ready for them.
NEEDS = {name: "TPG" for name, _ in EVENTS.values()}
NEEDS.update(ProcStatus="", ProcStart="", ProcStop="TP", ProcSteal="T", GoStatus="",
             GoStatusStack="", GoCreate="TP", GoCreateBlocked="TP", GoStart="", GoUnblock="",
             GoCreateSyscall="Tg", GoDestroySyscall="TG", GoSyscallEndBlocked="TG", HeapAlloc="TP",
             HeapGoal="TP", GCSweepActive="", GCSweepBegin="TP", GCSweepEnd="TP", GCActive="",
             GCMarkAssistActive="")


class Record:
    """A task or a processor: its status and its sequence number in the current generation."""
    __slots__ = ("status", "gen", "seq")

    def __init__(self, status, gen):
        self.status, self.gen, self.seq = status, gen, 0

    def __str__(self):
        return f"{self.status}, seq {self.seq} of generation {self.gen}"


class Thread:
    __slots__ = ("proc", "task")

    def __init__(self):
        self.proc = self.task = None


class State:
    """The tasks, processors and threads. step() makes an event's change, or returns None if the event
    cannot happen yet."""

    def __init__(self):
        self.tasks, self.procs, self.threads = {}, {}, {}
        self.ever = {0}  # all tasks, and none
        self.regions = Regions()
        self.gen = self.first = 0
        self.gc = None

    def step(self, event):
        thread = self.threads.setdefault(event.thread, Thread())
        event.proc, event.task = thread.proc, thread.task
        self.needs(event, thread, NEEDS[event.name])
        rule = getattr(self, event.name, None)
        moves = rule(event, thread) if rule else ()
        if moves is not None:
            event.moves = moves
        return moves

    def needs(self, event, thread, letters):
        has = {"T": event.thread != NONE, "P": thread.proc is not None, "G": thread.task is not None}
        what = {"T": "thread", "P": "processor", "G": "task"}
        for letter in letters:
            if letter.isupper() and not has[letter]:
                raise Broken(event.offset, f"{event.name} needs a {what[letter]}, and thread "
                             f"{event.thread} has none")
            if letter.islower() and has[letter.upper()]:
                raise Broken(event.offset, f"{event.name} on thread {event.thread}, which has a "
                             f"{what[letter.upper()]} already")
        for letter, number, records in (("P", thread.proc, self.procs), ("G", thread.task, self.tasks)):
            if letter in letters and number in records and records[number].gen != self.gen:
                raise Broken(event.offset, f"{what[letter]} {number} has no status in generation "
                             f"{self.gen}")

    def next_of(self, record, seq, *statuses):
        return (record is not None and record.status in statuses and record.gen == self.gen and
                seq == record.seq + 1)

    def running(self, event, thread, status="running"):
        task = self.tasks.get(thread.task)
        if task is None or task.status != status:
            raise Broken(event.offset, f"{event.name} of task {thread.task}, which is "
                         f"{task and task.status}, not {status}")
        return task

    # ---- processors ----
    def ProcStatus(self, event, thread):
        p, status = event.args["p"], PROC_STATUS.get(event.args["status"])
        if status is None:
            raise Broken(event.offset, f"unknown status of processor {p}: {event.args['status']}")
        if p > MAX_PROC:
            raise Broken(event.offset, f"no timeline has room for processor {p}")
        proc = self.procs.get(p)
        taken = proc is not None and proc.status == "syscall" and status == "abandoned"
        if proc is not None and proc.status != status and not taken:
            raise Broken(event.offset, f"processor {p} is {proc.status}, its status says {status}")
        if proc is None:
            self.procs[p] = Record(status, self.gen)
        else:
            proc.gen, proc.seq = self.gen, 0
        if status in ("running", "syscall"):
            thread.proc = p
        return ()

    def ProcStart(self, event, thread):
        proc = self.procs.get(event.args["p"])
        if not self.next_of(proc, event.args["pseq"], "idle") or thread.proc is not None:
            return None
        self.needs(event, thread, "T")
        if thread.task is not None and self.tasks[thread.task].status != "syscall":
            raise Broken(event.offset, f"thread {event.thread} takes a processor while its task runs")
        proc.seq += 1
        proc.status, thread.proc = "running", event.args["p"]
        return ()

    def ProcStop(self, event, thread):
        proc = self.procs[thread.proc]
        if proc.status not in ("running", "syscall"):
            raise Broken(event.offset, f"ProcStop of processor {thread.proc}, which is {proc.status}")
        proc.status, thread.proc = "idle", None
        return ()

    def ProcSteal(self, event, thread):
        p, m = event.args["p"], event.args["m"]
        proc = self.procs.get(p)
        if not self.next_of(proc, event.args["pseq"], "syscall", "abandoned"):
            return None
        if proc.status == "syscall":
            victim = self.threads.get(m)
            if victim is None or victim.proc != p:
                raise Broken(event.offset, f"processor {p} is stolen from thread {m}, which has "
                             f"{victim and victim.proc}")
            victim.proc = None
        proc.seq += 1
        proc.status = "idle"
        return ()

    # ---- tasks ----
    def GoStatus(self, event, thread):
        g, m, status = event.args["g"], event.args["m"], TASK_STATUS.get(event.args["status"])
        if status is None:
            raise Broken(event.offset, f"unknown status of task {g}: {event.args['status']}")
        task = self.tasks.get(g)
        if task is None and self.gen != self.first:
            raise Broken(event.offset, f"task {g} appears by its status after the first generation")
        if task is not None and task.status != status:
            raise Broken(event.offset, f"task {g} is {task.status}, its status says {status}")
        if status == "syscall":
            if m == NONE:
                raise Broken(event.offset, f"task {g} is in a call on no thread")
            thread = self.threads.setdefault(m, Thread())
            if thread.task not in (None, g) or (thread.task is None and self.gen != self.first):
                raise Broken(event.offset, f"task {g} is in a call on thread {m}, which has "
                             f"{thread.task}")
        if status in ("running", "syscall"):
            thread.task = g
        if task is None:
            self.tasks[g] = Record(status, self.gen)
            self.ever.add(g)
            return ((g, status, ""),)
        task.gen, task.seq = self.gen, 0
        return ()

    GoStatusStack = GoStatus

    def create(self, event, status):
        g = event.args["g"]
        if g in self.tasks:
            raise Broken(event.offset, f"{event.name} of task {g}, which exists already")
        self.tasks[g] = Record(status, self.gen)
        self.ever.add(g)
        return ((g, status, ""),)

    def GoCreate(self, event, thread):
        if thread.task is not None:
            self.running(event, thread)
        return self.create(event, "runnable")

    def GoCreateBlocked(self, event, thread):
        if thread.task is not None:
            self.running(event, thread)
        return self.create(event, "waiting")

    def GoCreateSyscall(self, event, thread):
        moves = self.create(event, "syscall")
        thread.task = event.args["g"]
        return moves

    def GoStart(self, event, thread):
        task = self.tasks.get(event.args["g"])
        if not self.next_of(task, event.args["gseq"], "runnable"):
            return None
        self.needs(event, thread, "TPg")
        task.seq += 1
        task.status, thread.task = "running", event.args["g"]
        return ((thread.task, "running", ""),)

    def GoUnblock(self, event, thread):
        task = self.tasks.get(event.args["g"])
        if not self.next_of(task, event.args["gseq"], "waiting"):
            return None
        task.seq += 1
        task.status = "runnable"
        return ((event.args["g"], "runnable", ""),)

    def leave(self, event, thread, status):
        g, thread.task = thread.task, None
        if status is None:
            del self.tasks[g]
            self.regions.open.pop(g, None)
        else:
            self.tasks[g].status = status
        return ((g, status, event.args.get("reason", "")),)

    def GoBlock(self, event, thread):
        self.running(event, thread)
        return self.leave(event, thread, "waiting")

    def GoStop(self, event, thread):
        self.running(event, thread)
        return self.leave(event, thread, "runnable")

    def GoDestroy(self, event, thread):
        self.running(event, thread)
        return self.leave(event, thread, None)

    def switch(self, event, thread, status):
        self.running(event, thread)
        g = event.args["g"]
        task = self.tasks.get(g)
        if not self.next_of(task, event.args["gseq"], "waiting"):
            return None
        left = self.leave(event, thread, status)
        task.seq += 1
        task.status, thread.task = "running", g
        return left + ((g, "running", ""),)

    def GoSwitch(self, event, thread):
        return self.switch(event, thread, "waiting")

    def GoSwitchDestroy(self, event, thread):
        return self.switch(event, thread, None)

    # ---- blocking calls ----
    def GoSyscallBegin(self, event, thread):
        task, proc = self.running(event, thread), self.procs[thread.proc]
        if not self.next_of(proc, event.args["pseq"], proc.status):
            raise Broken(event.offset, f"GoSyscallBegin with pseq {event.args['pseq']}, processor "
                         f"{thread.proc} is {proc}")
        proc.seq += 1
        task.status = proc.status = "syscall"
        return ((thread.task, "syscall", ""),)

    def GoSyscallEnd(self, event, thread):
        task, proc = self.running(event, thread, "syscall"), self.procs[thread.proc]
        if proc.status != "syscall":
            raise Broken(event.offset, f"GoSyscallEnd, but processor {thread.proc} is {proc.status}")
        task.status = proc.status = "running"
        return ((thread.task, "running", ""),)

    def GoSyscallEndBlocked(self, event, thread):
        if thread.proc is not None and self.procs[thread.proc].status == "syscall":
            return None
        self.running(event, thread, "syscall")
        return self.leave(event, thread, "runnable")

    def GoDestroySyscall(self, event, thread):
        self.running(event, thread, "syscall")
        if thread.proc is not None:
            proc = self.procs[thread.proc]
            if proc.status != "syscall":
                raise Broken(event.offset, f"GoDestroySyscall, but processor {thread.proc} is "
                             f"{proc.status}")
            proc.status, thread.proc = "abandoned", None
        return self.leave(event, thread, None)

    # ---- what the program and the collector say ----
    def UserTaskBegin(self, event, thread):
        self.regions.begin_task(event.offset, event.args["id"], event.args["name"])
        return ()

    def UserTaskEnd(self, event, thread):
        event.args["name"] = self.regions.end_task(event.args["id"])
        return ()

    def UserRegionBegin(self, event, thread):
        self.regions.begin(event.offset, thread.task, (event.args["id"], event.args["name"]))
        return ()

    def UserRegionEnd(self, event, thread):
        self.regions.end(event.offset, thread.task, (event.args["id"], event.args["name"]))
        return ()

    def GCBegin(self, event, thread):
        if self.gc is not None and event.args["seq"] != self.gc + 1:
            return None
        self.gc = event.args["seq"]
        return ()

    GCEnd = GCBegin

    def GCActive(self, event, thread):
        return self.GCBegin(event, thread)


class Generation:
    """The batches of one generation, and its tables once they are read."""

    def __init__(self, number, data, version):
        self.number, self.data, self.version = number, data, version
        self.batches = []  # (offset, thread, ticks, end)
        self.strings, self.stacks, self.samples = {0: ""}, {0: ()}, []
        self.frequency = None
        self.frames = Frames()

    def read(self, end_of_file):
        """Reads the tables; returns the streams of events by thread."""
        streams, raw = {}, []
        for at, thread, ticks, end in self.batches:
            kind = self.data[at] if at < end else None
            if kind == 4:
                self.read_strings(at + 1, end)
            elif kind == 2:
                raw += self.read_stacks(at + 1, end)
            elif kind == 6:
                self.read_samples(at + 1, end)
            elif kind in (8, 50):
                self.read_frequency(at, end)
            elif kind is not None:
                streams.setdefault(thread, []).append((at, ticks, end))
        if self.frequency is None:
            raise Broken(end_of_file, f"generation {self.number} has no frequency")
        for at, number, frames in raw:
            self.stacks[number] = tuple(self.frames.add(at, (pc, self.string(at, function),
                                                             self.string(at, file), line))
                                        for pc, function, file, line in frames)
        for at, *_, stack in self.samples:
            self.stack(at, stack)
        return streams

    def read_strings(self, at, end):
        while at < end:
            start = at
            if self.data[at] != 5:
                raise Broken(at, "no string in a batch of strings")
            number, at = varint(self.data, at + 1, end)
            size, at = varint(self.data, at, end)
            if size > MAX_STRING:
                raise Broken(start, f"a string of {size} bytes, {MAX_STRING} at most")
            text, at = bytes_at(self.data, at, end, size)
            if number in self.strings:
                raise Broken(start, f"string {number} is defined twice")
            self.strings[number] = text.decode("utf-8", "replace")

    def read_stacks(self, at, end):
        stacks = []
        while at < end:
            start = at
            if self.data[at] != 3:
                raise Broken(at, "no stack in a batch of stacks")
            number, at = varint(self.data, at + 1, end)
            count, at = varint(self.data, at, end)
            if count > MAX_FRAMES:
                raise Broken(start, f"a stack of {count} frames, {MAX_FRAMES} at most")
            frames = []
            for _ in range(count):
                frame = []
                for _ in range(4):
                    value, at = varint(self.data, at, end)
                    frame.append(value)
                frames.append(frame)
            if number in self.stacks:
                raise Broken(start, f"stack {number} is defined twice")
            self.stacks[number] = None  # known; its strings may stand in a later batch
            stacks.append((start, number, frames))
        return stacks

    def read_samples(self, at, end):
        while at < end:
            start = at
            if self.data[at] != 7:
                raise Broken(at, "no sample in a batch of CPU samples")
            sample, at = [start], at + 1
            for _ in range(5):  # ticks, thread, processor, task, stack
                value, at = varint(self.data, at, end)
                sample.append(value)
            self.samples.append(sample)

    def read_frequency(self, at, end):
        if self.frequency is not None:
            raise Broken(at, f"generation {self.number} has two frequencies")
        if self.data[at] == 50:
            at += 1
        if at >= end or self.data[at] != 8:
            raise Broken(at, "no frequency in its batch")
        self.frequency, at = varint(self.data, at + 1, end)
        if self.frequency == 0:
            raise Broken(at, "a frequency of 0")
        if at < end and self.data[at] == 51:
            at += 1
            for _ in range(4):  # ticks, monotonic ns, seconds and ns of the wall clock
                _, at = varint(self.data, at, end)
        if at != end:
            raise Broken(at, "more than a frequency in its batch")

    def string(self, at, number):
        if number not in self.strings:
            raise Broken(at, f"string {number} is in no table of generation {self.number}")
        return self.strings[number]

    def stack(self, at, number):
        if number not in self.stacks:
            raise Broken(at, f"stack {number} is in no table of generation {self.number}")
        return self.stacks[number]

    def nanoseconds(self, ticks):
        return ticks * 10**9 // self.frequency

    def events(self, thread, batches):
        """Yields the events of a thread."""
        data, last = self.data, 0
        for at, time, end in batches:
            if time < last:
                raise Broken(at, f"a batch of thread {thread} begins before the last one ends")
            while at < end:
                start, kind = at, data[at]
                if kind not in EVENTS:
                    raise Broken(at, f"event {kind} is unknown in a batch of events")
                name, specs = EVENTS[kind]
                delta, at = varint(data, at + 1, end)
                time += delta
                args = {}
                for spec in specs:
                    value, at = varint(data, at, end)
                    if spec[0] == "$":
                        args[spec[1:]] = self.string(start, value)
                    elif spec[0] == "@":
                        args[spec[1:]] = self.stack(start, value)
                    else:
                        args[spec] = value
                yield Event(start, self.nanoseconds(time), name, thread, None, None, args)
            last = time


def in_order(generation, streams, state):
    """Yields the events of all threads: always the earliest one that can happen."""
    waiting = []
    for thread, batches in streams.items():
        source = generation.events(thread, batches)
        first = next(source, None)
        if first is not None:
            waiting.append((first, source))
    while waiting:
        waiting.sort(key=lambda pair: pair[0].time)
        for i, (event, source) in enumerate(waiting):
            if state.step(event) is not None:
                break
        else:
            raise Broken(min(e.offset for e, _ in waiting),
                         "no thread's next event can happen:" + "".join(
                             f"\n    {e}; {wanted(e, state)}" for e, _ in waiting[:20]))
        yield event
        following = next(source, None)
        if following is None:
            del waiting[i]
        else:
            waiting[i] = (following, source)


def wanted(event, state):
    if "pseq" in event.args:
        return f"processor {event.args['p']}: {state.procs.get(event.args['p'])}"
    if "g" in event.args:
        return f"task {event.args['g']}: {state.tasks.get(event.args['g'])}"
    return f"processor {event.proc}: {state.procs.get(event.proc)}"


def generations(data, version):
    """Yields the generations of a file, each when all of its batches have been seen."""
    at, current, numbers, ended = 16, None, set(), False
    while at < len(data):
        start = at
        if data[at] == 52 and version >= 26:
            at, ended = at + 1, True
            continue
        if data[at] not in (1, 49):
            raise Broken(at, f"byte {data[at]} begins no batch")
        try:
            at += 2 if data[at] == 49 else 1
            header = []
            for _ in range(4):
                value, at = varint(data, at, len(data))
                header.append(value)
            number, thread, ticks, size = header
            if size > MAX_BATCH:
                raise Broken(start, f"a batch of {size} bytes, {MAX_BATCH} at most")
            if size > len(data) - at:
                raise Broken(start, "the file ends within a batch")
        except Broken:
            if current is not None and ended:
                yield current
            raise
        if number == 0:
            raise Broken(start, "generation 0")
        if current is None or number != current.number:
            if current is not None:
                if number in numbers or number != current.number + 1:
                    raise Broken(start, f"generation {number} follows generation {current.number}")
                if version >= 26 and not ended:
                    raise Broken(start, f"generation {current.number} has no end")
                yield current
            current, ended = Generation(number, data, version), False
            numbers.add(number)
        if data[start] == 1:
            current.batches.append((at, thread, ticks, at + size))
        at += size
    if current is None:
        raise Broken(at, "the file has no generation")
    yield current


def read(data):
    version = int(re.match(rb"go 1\.(\d+) trace", data)[1])
    if version not in (22, 23, 25, 26):
        raise Broken(0, f"no reader knows the version 1.{version}")
    if data[:16] != (b"go 1.%d trace" % version).ljust(16, b"\0"):
        raise Broken(0, "the header is not padded to 16 bytes with zeros")
    state, last = State(), 0
    for generation in generations(data, version):
        streams = generation.read(len(data))
        state.gen = generation.number
        state.first = state.first or generation.number
        for event in in_order(generation, streams, state):
            last = event.time = max(event.time, last)
            yield event
        for at, ticks, thread, proc, task, stack in generation.samples:
            sample = Event(at, max(0, generation.nanoseconds(ticks)), "CPUSample", thread, proc, task,
                           {"stack": generation.stacks[stack]})
            check_sample(sample, state.ever, state.procs)
            yield sample
        yield Event(len(data), last, "Generation", None, None, None, {"number": generation.number})
