"""trace_read.py - numbers, strings, events and errors, as the readers of all trace formats use them.

A reader yields Events in an order in which they can have happened. The `moves` of an event say what
it does to tasks: (task, state, reason) with a state of STATES. A task that ends moves to None.
"""

STATES = ("runnable", "running", "syscall", "waiting")
NONE = (1 << 64) - 1  # as thread, processor or task: there is none


class Broken(Exception):
    """The first violation of a trace: where it stands in the file, and what is wrong there."""

    def __init__(self, offset, text):
        super().__init__(f"at byte {offset}: {text}")


class Event:
    """An event of any format. `time` is in nanoseconds, `args` has names, strings and stacks."""
    __slots__ = ("offset", "time", "name", "thread", "proc", "task", "args", "moves")

    def __init__(self, offset, time, name, thread, proc, task, args, moves=()):
        self.offset, self.time, self.name = offset, time, name
        self.thread, self.proc, self.task = thread, proc, task
        self.args, self.moves = args, moves

    def __str__(self):
        context = "".join(f" {letter}={'-' if value in (None, NONE) else value}" for letter, value in
                          (("m", self.thread), ("p", self.proc), ("g", self.task)))
        args = "".join(f" {name}={text_of(value)}" for name, value in self.args.items())
        return f"{self.time}{context} {self.name}{args}"


def text_of(value):
    if isinstance(value, tuple):
        return "[" + " < ".join(f"{function}:{line}" for _, function, _, line in value) + "]"
    return repr(value) if isinstance(value, str) else str(value)


def varint(data, at, end):
    """Returns the unsigned LEB128 number at data[at] and the position behind it."""
    value = shift = 0
    start = at
    while True:
        if at >= end:
            raise Broken(start, "the data ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if value > NONE or shift > 70:
            raise Broken(start, "a number has more than 64 bits")
        if byte < 0x80:
            return value, at


def bytes_at(data, at, end, size):
    if size > end - at:
        raise Broken(at, f"{size} bytes wanted, {end - at} are left")
    return data[at:at + size], at + size


class Regions:
    """Regions nest in each task, and a user task's id is not used twice while it is open."""

    def __init__(self):
        self.open = {}   # task: the names of its open regions, outermost first
        self.tasks = {}  # id of a user task: its name

    def begin(self, offset, task, region):
        self.open.setdefault(task, []).append(region)

    def end(self, offset, task, region):
        regions = self.open.get(task)
        if regions and regions.pop() != region:
            raise Broken(offset, f"misuse of region: {region} of task {task} is not the innermost")

    def begin_task(self, offset, number, name):
        if number in self.tasks:
            raise Broken(offset, f"user task {number} begins while it is open")
        self.tasks[number] = name

    def end_task(self, number):
        return self.tasks.pop(number, "")


def check_sample(sample, tasks, procs):
    """A sample of CPU time has a stack, and the task and the processor it names are in the trace."""
    if not sample.args["stack"]:
        raise Broken(sample.offset, "a CPU sample has no stack")
    if sample.task and sample.task not in tasks:
        raise Broken(sample.offset, f"a CPU sample of task {sample.task}, which is not in the trace")
    if sample.proc != NONE and sample.proc not in procs:
        raise Broken(sample.offset, f"a CPU sample of processor {sample.proc}, which never ran")


class Frames:
    """The tools keep one function, file and line for each pc: two frames with one pc collapse."""

    def __init__(self):
        self.of_pc = {}

    def add(self, offset, frame):
        known = self.of_pc.setdefault(frame[0], frame)
        if known != frame:
            raise Broken(offset, f"pc {frame[0]:#x} is both {known[1:]} and {frame[1:]}")
        return frame
