"""trace_v1.py - reads execution traces of the formats of Go 1.11 to 1.21.

Each processor has a stream of events. The sequence numbers of tasks order them; after that the times
must not decrease, and each event must fit the state of its task and its processor.
"""
import re

from trace_read import Broken, Event, Frames, Regions, bytes_at, check_sample, varint

MAX_FRAMES, MAX_STRING = 1000, 10**6

# A $ marks a string, an @ a stack.
EVENTS = {number: (name, args.split()) for number, name, args in (
    (4, "Gomaxprocs", "procs @stack"), (5, "ProcStart", "thread"), (6, "ProcStop", ""),
    (7, "GCStart", "seq @stack"), (8, "GCDone", ""), (9, "STWStart", "kind"), (10, "STWDone", ""),
    (11, "SweepStart", "@stack"), (12, "SweepDone", "swept reclaimed"),
    (13, "GoCreate", "g @entry @stack"), (14, "GoStart", "g seq"), (15, "GoEnd", ""),
    (16, "GoStop", "@stack"), (17, "GoSched", "@stack"), (18, "GoPreempt", "@stack"),
    (19, "GoSleep", "@stack"), (20, "GoBlock", "@stack"), (21, "GoUnblock", "g seq @stack"),
    (22, "GoBlockSend", "@stack"), (23, "GoBlockRecv", "@stack"), (24, "GoBlockSelect", "@stack"),
    (25, "GoBlockSync", "@stack"), (26, "GoBlockCond", "@stack"), (27, "GoBlockNet", "@stack"),
    (28, "GoSysCall", "@stack"), (29, "GoSysExit", "g seq ticks"), (30, "GoSysBlock", ""),
    (31, "GoWaiting", "g"), (32, "GoInSyscall", "g"), (33, "HeapAlloc", "bytes"),
    (34, "HeapGoal", "bytes"), (36, "FutileWakeup", ""), (38, "GoStartLocal", "g"),
    (39, "GoUnblockLocal", "g @stack"), (41, "GoStartLabel", "g seq $label"),
    (42, "GoBlockGC", "@stack"), (43, "MarkAssistStart", "@stack"), (44, "MarkAssistDone", ""),
    (45, "UserTaskCreate", "id parent $name @stack"), (46, "UserTaskEnd", "id @stack"),
    (47, "UserRegion", "id mode $name @stack"), (48, "UserLog", "id $key @stack"),
    (49, "CPUSample", "ticks p g @stack"))}

# How a wait is called in the newer formats, so that sums by reason compare.
REASONS = {"GoSleep": "sleep", "GoBlock": "", "GoBlockSend": "chan send", "GoBlockRecv": "chan receive",
           "GoBlockSelect": "select", "GoBlockSync": "sync", "GoBlockCond": "sync.(*Cond).Wait",
           "GoBlockNet": "network", "GoBlockGC": "GC", "GoSched": "runtime.Gosched",
           "GoPreempt": "preempted"}
STARTS = ("GoStart", "GoStartLocal", "GoStartLabel")
UNBLOCKS = ("GoUnblock", "GoUnblockLocal")


class File:
    """The streams and tables of a file."""

    def __init__(self, data):
        self.data = data
        self.strings, self.stacks, self.streams, self.samples = {0: ""}, {0: ()}, {}, []
        self.frequency = None
        self.frames = Frames()
        self.tasks = {}  # processor: the task that runs on it

    def read(self):
        at, proc, time = 16, None, 0
        while at < len(self.data):
            start = at
            kind, args, at = self.event(at)
            if kind == 37:
                at = self.read_string(start)
            elif kind == 1:
                proc, time = self.numbers(start, args, 2)
                if proc in self.streams and self.streams[proc] and self.streams[proc][-1].time > time:
                    raise Broken(start, f"a batch of processor {proc} begins before the last one ends")
            elif kind == 2:
                if self.frequency is not None:
                    raise Broken(start, "two frequencies")
                self.frequency, = self.numbers(start, args, 1)
            elif kind == 3:
                self.read_stack(start, args)
            elif kind in EVENTS:
                if proc is None:
                    raise Broken(start, "an event before the first batch")
                time += args[0]
                at = self.add(start, kind, args[1:], at, proc, time)
            else:
                raise Broken(start, f"event {kind} is unknown")
        if not self.frequency:
            raise Broken(at, "no frequency")
        self.resolve()

    def event(self, at):
        """Returns kind, numbers and end of the event at `at`."""
        end, kind, count = len(self.data), self.data[at] & 63, self.data[at] >> 6
        args, at = [], at + 1
        if kind == 37:
            return kind, args, at
        if count == 3:
            size, at = varint(self.data, at, end)
            end = min(end, at + size)
            _, at_end = bytes_at(self.data, at, len(self.data), size)
            while at < at_end:
                value, at = varint(self.data, at, end)
                args.append(value)
        else:
            for _ in range(count + 1):
                value, at = varint(self.data, at, end)
                args.append(value)
        return kind, args, at

    def numbers(self, at, args, count):
        if len(args) != count:
            raise Broken(at, f"{len(args)} numbers in an event of {count}")
        return args

    def read_string(self, start):
        end = len(self.data)
        number, at = varint(self.data, start + 1, end)
        size, at = varint(self.data, at, end)
        if number == 0 or not 1 <= size <= MAX_STRING:
            raise Broken(start, f"string {number} of {size} bytes")
        text, at = bytes_at(self.data, at, end, size)
        if number in self.strings:
            raise Broken(start, f"string {number} is defined twice")
        self.strings[number] = text.decode("utf-8", "replace")
        return at

    def read_stack(self, start, args):
        if len(args) < 2 or args[1] > MAX_FRAMES or len(args) != 2 + 4 * args[1]:
            raise Broken(start, "a stack whose length is not that of its frames")
        self.stacks[args[0]] = (start, [args[i:i + 4] for i in range(2, len(args), 4)])

    def add(self, start, kind, args, at, proc, time):
        name, specs = EVENTS[kind]
        args = dict(zip(specs, self.numbers(start, args, len(specs))))
        if name == "UserLog":
            size, at = varint(self.data, at, len(self.data))
            args["value"], at = bytes_at(self.data, at, len(self.data), size)
            args["value"] = args["value"].decode("utf-8", "replace")
        if name == "CPUSample":
            self.samples.append(Event(start, args["ticks"], name, None, args["p"], args["g"], args))
            return at
        task = self.tasks.get(proc, 0)
        if name in STARTS:
            task = self.tasks[proc] = args["g"]
        elif name in ("GoSysExit", "GoWaiting", "GoInSyscall"):
            task = args["g"]
        elif name in ("GCStart", "GCDone", "STWStart", "STWDone"):
            task = 0
        elif name in REASONS or name in ("GoEnd", "GoStop", "GoSysBlock"):
            self.tasks[proc] = 0
        self.streams.setdefault(proc, []).append(Event(start, time, name, None, proc, task, args))
        return at

    def resolve(self):
        """Puts strings and stacks into the events: their tables may stand behind them."""
        for number, stack in list(self.stacks.items()):
            if number:
                self.stacks[number] = tuple(
                    self.frames.add(stack[0], (pc, self.string(stack[0], function),
                                               self.string(stack[0], file), line))
                    for pc, function, file, line in stack[1])
        for event in [e for stream in self.streams.values() for e in stream] + self.samples:
            for spec in [spec for spec in event.args if spec[0] in "$@"]:
                value = event.args.pop(spec)
                if spec[0] == "$":
                    event.args[spec[1:]] = self.string(event.offset, value)
                elif value in self.stacks:
                    event.args[spec[1:]] = self.stacks[value]
                else:
                    raise Broken(event.offset, f"stack {value} is defined nowhere")

    def string(self, at, number):
        if number not in self.strings:
            raise Broken(at, f"string {number} is defined nowhere")
        return self.strings[number]


def transition(event):
    """Returns the task whose state orders the event, the (seq, state) it needs and the one it leaves;
    None as seq: any, and +1 means that it counts one up."""
    name, g = event.name, event.args.get("g")
    if name == "GoCreate":
        return g, (0, "dead"), (1, "runnable")
    if name in ("GoWaiting", "GoInSyscall"):
        return g, (1, "runnable"), (2, "waiting")
    if name in ("GoStart", "GoStartLabel"):
        return g, (event.args["seq"], "runnable"), (event.args["seq"] + 1, "running")
    if name == "GoStartLocal":
        return g, (None, "runnable"), ("+1", "running")
    if name in ("GoUnblock", "GoSysExit"):
        return g, (event.args["seq"], "waiting"), (event.args["seq"] + 1, "runnable")
    if name == "GoUnblockLocal":
        return g, (None, "waiting"), ("+1", "runnable")
    if name in ("GoSched", "GoPreempt"):
        return event.task, (None, "running"), (None, "runnable")
    if name in REASONS or name == "GoSysBlock":
        return event.task, (None, "running"), (None, "waiting")
    if name == "GCStart":
        return "collector", (event.args["seq"], "dead"), (event.args["seq"] + 1, "dead")
    return None, None, None


def in_order(streams):
    """Yields the events of all processors: always the earliest one that can happen."""
    states = {}
    positions = {proc: 0 for proc in streams}
    while positions:
        best = None
        for proc, i in positions.items():
            event = streams[proc][i]
            if best is not None and event.time >= best.time:
                continue
            key, needs, _ = transition(event)
            seq, state = states.get(key, (0, "dead"))
            if key is None or (needs[0] in (None, seq) and needs[1] == state):
                best, at = event, proc
        if best is None:
            first = [streams[proc][i] for proc, i in positions.items()]
            raise Broken(min(e.offset for e in first), "no processor's next event can happen:" + "".join(
                f"\n    {e}; {states.get(transition(e)[0])}" for e in first))
        key, _, after = transition(best)
        if key is not None:
            seq = states.get(key, (0, "dead"))[0]
            states[key] = ({None: seq, "+1": seq + 1}.get(after[0], after[0]), after[1])
        yield best
        positions[at] += 1
        if positions[at] == len(streams[at]):
            del positions[at]


def in_time(events):
    """Checks that times do not decrease, and moves each return from a call to its real time."""
    last, blocked = 0, {}
    for event in events:
        if event.time < last:
            raise Broken(event.offset, f"{event.name} at {event.time}, after an event at {last}")
        last = event.time
        if event.name in ("GoSysBlock", "GoInSyscall"):
            blocked[event.task] = event.time
        elif event.name == "GoSysExit" and event.args["ticks"]:
            if event.task not in blocked or event.args["ticks"] < blocked[event.task]:
                raise Broken(event.offset, f"task {event.task} returns from a call at "
                             f"{event.args['ticks']}, before it blocked there")
            event.time = event.args["ticks"]
    return sorted(events, key=lambda event: event.time)


class State:
    """The tasks and processors. step() fails if an event does not fit them."""

    def __init__(self):
        self.tasks, self.procs, self.regions = {0: "running"}, {}, Regions()

    def expect(self, holds, event, text):
        if not holds:
            raise Broken(event.offset, f"{event.name}: {text}")

    def task_is(self, event, g, state):
        self.expect(self.tasks.get(g) == state, event, f"task {g} is {self.tasks.get(g)}, not {state}")

    def runs(self, event, may_be_none=False):
        """The event comes from the task that its processor runs."""
        g, runs = event.task, self.procs.setdefault(event.proc, [False, 0])[1]
        self.task_is(event, g, "running")
        self.expect(runs == g, event, f"processor {event.proc} runs task {runs}, not {g}")
        self.expect(g or may_be_none, event, "no task runs")

    def step(self, event):
        rule = getattr(self, event.name, None)
        if rule is not None:
            event.moves = rule(event, self.procs.setdefault(event.proc, [False, 0])) or ()

    def ProcStart(self, event, proc):
        self.expect(not proc[0], event, f"processor {event.proc} is running")
        proc[0] = True

    def ProcStop(self, event, proc):
        self.expect(proc[0], event, f"processor {event.proc} is not running")
        self.expect(not proc[1], event, f"processor {event.proc} runs task {proc[1]}")
        proc[0] = False

    def GoCreate(self, event, proc):
        self.runs(event, may_be_none=True)
        g = event.args["g"]
        self.expect(g not in self.tasks, event, f"task {g} exists already")
        self.tasks[g] = "runnable"
        return ((g, "runnable", ""),)

    def GoWaiting(self, event, proc):
        self.task_is(event, event.task, "runnable")
        self.tasks[event.task] = "waiting"
        return ((event.task, "waiting" if event.name == "GoWaiting" else "syscall", ""),)

    GoInSyscall = GoWaiting

    def GoStart(self, event, proc):
        self.task_is(event, event.task, "runnable")
        self.expect(not proc[1], event, f"processor {event.proc} runs task {proc[1]}")
        self.tasks[event.task], proc[1] = "running", event.task
        return ((event.task, "running", ""),)

    GoStartLocal = GoStartLabel = GoStart

    def leave(self, event, proc, state, shown=None):
        self.runs(event)
        proc[1] = 0
        self.tasks[event.task] = state
        return ((event.task, shown or state, REASONS.get(event.name, "")),)

    def GoEnd(self, event, proc):
        self.leave(event, proc, "dead")
        self.regions.open.pop(event.task, None)
        return ((event.task, None, ""),)

    GoStop = GoEnd

    def GoSched(self, event, proc):
        return self.leave(event, proc, "runnable")

    GoPreempt = GoSched

    def GoBlock(self, event, proc):
        return self.leave(event, proc, "waiting")

    GoSleep = GoBlockSend = GoBlockRecv = GoBlockSelect = GoBlockSync = GoBlockCond = GoBlockNet = \
        GoBlockGC = GoBlock

    def GoSysCall(self, event, proc):
        self.runs(event)

    def GoSysBlock(self, event, proc):
        return self.leave(event, proc, "waiting", "syscall")

    def GoSysExit(self, event, proc):
        self.task_is(event, event.task, "waiting")
        self.tasks[event.task] = "runnable"
        return ((event.task, "runnable", ""),)

    def GoUnblock(self, event, proc):
        self.task_is(event, event.task, "running")
        self.expect(proc[1] == event.task, event, f"processor {event.proc} runs task {proc[1]}, not "
                    f"{event.task}")
        self.task_is(event, event.args["g"], "waiting")
        self.tasks[event.args["g"]] = "runnable"
        return ((event.args["g"], "runnable", ""),)

    GoUnblockLocal = GoUnblock

    def UserTaskCreate(self, event, proc):
        self.regions.begin_task(event.offset, event.args["id"], event.args["name"])

    def UserTaskEnd(self, event, proc):
        event.args["name"] = self.regions.end_task(event.args["id"])

    def UserRegion(self, event, proc):
        region = (event.args["id"], event.args["name"])
        self.expect(event.args["mode"] in (0, 1), event, "neither begin nor end of a region")
        change = self.regions.end if event.args["mode"] else self.regions.begin
        change(event.offset, event.task, region)


def read(data):
    version = re.match(rb"go 1\.(\d+) trace", data)[1]
    if version not in (b"11", b"19", b"21"):
        raise Broken(0, f"no reader knows the version 1.{version.decode()}")
    if data[:16] != (b"go 1." + version + b" trace").ljust(16, b"\0"):
        raise Broken(0, "the header is not padded to 16 bytes with zeros")
    file = File(data)
    file.read()
    state = State()
    events = in_time(list(in_order(file.streams)))
    first = events[0].time if events else 0
    for event in events:
        state.step(event)
        event.time = event.time * 10**9 // file.frequency
        yield event
    for sample in file.samples:
        check_sample(sample, state.tasks, state.procs)
        if sample.time < first:
            raise Broken(sample.offset, "a CPU sample of a time before the trace begins")
        sample.time = sample.time * 10**9 // file.frequency
        yield sample
