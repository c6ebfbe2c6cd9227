# SPDX-License-Identifier: MIT
"""weft_lldb.py - shows the tasks of a program that uses weft, in lldb.

    tasks [-s STATE] [-r REASON] [-f FUNCTION]   lists tasks; these are regular expressions
    task ID [COMMAND]        selects a task, or does COMMAND, such as bt, in it

Each task that rests, which means that no worker runs it, is also a thread of lldb, after those of
the process: `thread backtrace all`, `bt`, `up` and `frame variable` work on it. Only the first MOST
are, so that stops stay fast; `task ID` adds any other one. Steps are for tasks that run.

`command script import FILE` loads it; ~/.lldbinit may have that line. It works on live programs and
on cores, stripped or not: a note in the program's file says where the table of runtime/run/layout.c
is, which says where all else is.
"""

import itertools
import re
import shlex
import struct
import time

import lldb

MOST = 1000
FIRST = 10**9  # ids of threads from here on are the plug-in's: no thread of the kernel has one


class Missing(Exception):
    """Says why there is no such thing."""


class Program(dict):
    """A stopped program: the names and numbers of the table, and its memory."""

    def __init__(self, process):
        self.process, self.target, self.texts, self.functions = process, process.target, {}, {}
        head = self.read(self.find_table(), 32)
        magic, version, count, size, _, entries = struct.unpack("<8sIIIIQ", head)
        if magic != b"weftlay\0" or version != 1:
            raise Missing(f"this script does not know the layout of this weft ({version})")
        data = self.read(entries, count * size)
        for name, value in struct.iter_unpack(f"<24sQ{size - 32}x", data):
            self[name.split(b"\0")[0].decode()] = value
        if not self["slabs"]:
            raise Missing("no weft_run has begun")

    def __missing__(self, name):
        raise Missing(f"the layout of this weft has no {name}")

    def read(self, at, size):
        """Reads from the process or, what a core lacks, from the program's file."""
        data = self.target.ReadMemory(lldb.SBAddress(at, self.target), size, lldb.SBError())
        if not data or len(data) != size:
            raise Missing(f"no memory at {at:#x}")
        return data

    def number(self, at, size=8):
        return int.from_bytes(self.read(at, size), "little")

    def find_table(self):
        for module in self.target.modules:
            section = module.FindSection(".note.weft")
            at = section.GetLoadAddress(self.target) if section else lldb.LLDB_INVALID_ADDRESS
            if at != lldb.LLDB_INVALID_ADDRESS:
                at += 12 + 8  # the head and the name
                return at + struct.unpack("<q", self.read(at, 8))[0]
        raise Missing("no weft in this program")

    def reason(self, number):
        """Returns the text and the flags of a reason to wait."""
        if number not in self.texts:
            kind = self["reasons"] + number * self["reason.size"]
            text = self.read(self.number(kind + self["reason.text"]), 64).split(b"\0")[0]
            text = text.decode(errors="replace")
            self.texts[number] = text, self.number(kind + self["reason.flags"], 4)
        return self.texts[number]

    def function(self, at):
        if at not in self.functions:
            symbol = self.target.ResolveLoadAddress(at).symbol
            self.functions[at] = symbol.name if symbol and not symbol.synthetic else f"{at:#x}"
        return self.functions[at]

    def tasks(self):
        """Yields every task, slab by slab."""
        slots, per, size = self.number(self["slots"], 4), self["slab.tasks"], self["task.size"]
        for first in range(0, slots, per):
            slab = self.number(self.number(self["slabs"]) + first // per * 8)
            records = self.read(slab, per * size)
            for i in range(0, min(per, slots - first) * size, size):
                task = Task(self, slab + i, records[i:i + size])
                if task.state not in (self["state.idle"], self["state.dead"]):
                    yield task

    def task(self, id):
        for task in self.tasks():
            if task.id == id:
                return task
        raise Missing(f"no task {id}")


class Task:
    SIZES = {"state": "<I", "on_cpu": "<I", "flags": "<H", "reason": "<B"}

    def __init__(self, program, address, record):
        self.program, self.address, self.record = program, address, record

    def __getattr__(self, name):
        form = self.SIZES.get(name, "<Q")
        return struct.unpack_from(form, self.record, self.program["task." + name])[0]

    def describe(self):
        """Returns the state and the reason of the wait."""
        program, known = self.program, self.reason < self.program["reason.count"]
        text, flags = program.reason(self.reason) if known else ("?", 0)
        if self.state == program["state.parked"]:
            return "waiting", text
        if self.state == program["state.runnable"]:
            return ("waiting", text) if flags & program["reason.sched"] else ("runnable", "")
        calling = self.state == program["state.lost"] and self.flags & program["flag.calling"]
        return "running", "in a call" if calling else ""

    def function(self):
        if self.fn:
            return self.program.function(self.fn)
        return "(another thread)" if self.flags & self.program["flag.foreign"] else "main"

    def rests(self):
        """Returns whether its registers lie on its stack."""
        return not self.on_cpu and self.lo <= self.sp <= self.hi - self.program["ctx.size"]

    def registers(self):
        at, size = self.sp, self.program["ctx.size"]
        saved, names = self.program.read(at, size), ("rbx", "rbp", "r12", "r13", "r14", "r15", "pc")
        values = (saved[self.program["ctx." + name]:][:8] for name in names)
        return b"".join(values) + struct.pack("<Q", at + size)

    def thread(self):
        """Returns lldb's thread that has its frames."""
        process, program, at = self.program.process, self.program, self.worker
        if self.rests():
            shown = (t for t in process if (t.name or "").startswith(f"task {self.id}:"))
            return next(shown, None) or process.CreateOSPluginThread(FIRST, self.id)
        if not at or program.number(at + program["worker.task"]) != self.address:
            raise Missing(f"task {self.id} has no saved registers")
        return process.GetThreadByID(program.number(at + program["worker.tid"], 4))


class OperatingSystemPlugIn:
    """lldb asks it at each stop which threads there are beyond those of the process."""

    NUMBERS = {"rbx": 3, "rbp": 6, "r12": 12, "r13": 13, "r14": 14, "r15": 15, "rip": 16, "rsp": 7}
    GENERIC = {"rbp": "fp", "rip": "pc", "rsp": "sp"}

    def __init__(self, process):
        self.process, self.shown, self.ids = process, {}, itertools.count(FIRST + 1)

    def get_register_info(self):
        """Describes the bytes that Task.registers returns."""
        registers = [{"name": name, "bitsize": 64, "offset": 8 * i, "set": 0, "encoding": "uint",
                      "format": "hex", "ehframe": dwarf, "dwarf": dwarf}
                     for i, (name, dwarf) in enumerate(self.NUMBERS.items())]
        for register in registers:
            if register["name"] in self.GENERIC:
                register["generic"] = self.GENERIC[register["name"]]
        return {"sets": ["General Purpose Registers"], "registers": registers}

    def get_thread_info(self):
        before, self.shown = {name: tid for tid, (_, name) in self.shown.items()}, {}
        try:
            resting = (task for task in Program(self.process).tasks() if task.rests())
            return [self.show(task, before) for task in itertools.islice(resting, MOST)]
        except Missing:
            return []  # a program without weft, or before weft_run

    def show(self, task, before):
        """lldb keeps the name that a thread id had first. So a task that waits for something else
        than at the last stop gets another id."""
        state, reason = task.describe()
        name = f"task {task.id}: {reason or state}"
        tid = before.get(name) or next(self.ids)
        self.shown[tid] = task, name
        return {"tid": tid, "name": name, "queue": task.function(), "state": "stopped",
                "stop_reason": "none"}

    def create_thread(self, _, id):
        return self.show(Program(self.process).task(id), {})

    def get_register_data(self, tid):
        return self.shown[tid][0].registers()


def clock(program):
    """Returns a function that tells a wait's time by its stamp: until now, or until the core."""
    def at(name, size=8):
        return program.number(program["clock." + name], size)

    def nanos(stamp):
        return base_nanos + (stamp - base) * rate if ticks else stamp

    def since(stamp):
        passed = max(0, now - nanos(stamp))
        for unit, size in (("h", 3600e9), ("m", 60e9), ("s", 1e9), ("ms", 1e6)):
            if passed >= size:
                return f"{passed / size:.1f}{unit}"
        return f"{passed / 1e3:.0f}us"

    ticks, base, base_nanos = at("tsc", 1), at("base_ticks"), at("base_nanos")
    seen = at("seen_ticks")
    rate = (at("seen_nanos") - base_nanos) / (seen - base) if seen > base and ticks else 1
    now = nanos(max(at("died"), seen))
    if at("virtual", 1):
        now = at("now")
    elif program.process.GetPluginName() != "elf-core":
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return since


def lines(program, wanted):
    since = clock(program)
    yield f"{'Id':<9} {'State':<9} {'Reason':<24} {'Time':>8}  Function"
    for task in program.tasks():
        state, reason = task.describe()
        cells = {"-s": state, "-r": reason, "-f": task.function()}
        if all(pattern.search(cells[key]) for key, pattern in wanted.items()):
            waited = since(task.since) if state == "waiting" and task.since else ""
            yield f"{task.id:<9} {state:<9} {reason:<24} {waited:>8}  {cells['-f']}"


def list_tasks(debugger, command, context, result, _):
    """Lists tasks of weft: tasks [-s STATE] [-r REASON] [-f FUNCTION], all regular expressions"""
    words = shlex.split(command)
    try:
        if len(words) % 2 or not {"-s", "-r", "-f"}.issuperset(words[::2]):
            raise Missing("usage: tasks [-s STATE] [-r REASON] [-f FUNCTION]")
        wanted = dict(zip(words[::2], map(re.compile, words[1::2])))
        result.AppendMessage("\n".join(lines(Program(context.process), wanted)))
    except (Missing, re.error) as e:
        result.SetError(str(e))


def in_task(debugger, command, context, result, _):
    """Selects a task of weft, or does a command, such as bt, in it: task ID [COMMAND]"""
    id, _, rest = command.strip().partition(" ")
    try:
        if not id.isdigit():
            raise Missing("usage: task ID [COMMAND]")
        thread = Program(context.process).task(int(id)).thread()
        context = lldb.SBExecutionContext(thread.GetSelectedFrame())
        rest = rest or f"thread select {thread.GetIndexID()}"
        debugger.GetCommandInterpreter().HandleCommand(rest, context, result)
    except Missing as e:
        result.SetError(str(e))


def __lldb_init_module(debugger, _):
    setting, shown = "target.process.python-os-plugin-path", lldb.SBCommandReturnObject()
    debugger.GetCommandInterpreter().HandleCommand(f"settings show {setting}", shown)
    if __file__ not in shown.GetOutput():  # lldb calls this again for the plug-in
        debugger.HandleCommand(f"settings set {setting} '{__file__}'")
    for name, does in (("tasks", list_tasks), ("task", in_task)):
        debugger.HandleCommand(
            f"command script add -o -h '{does.__doc__}' -f {__name__}.{does.__name__} {name}")
