# SPDX-License-Identifier: MIT
"""weft-gdb.py - shows the tasks of a program that uses weft, in gdb.

    info tasks [-state S] [-reason R] [-function F]   lists tasks; S, R and F are regular expressions
    task ID bt [N]           shows the stack of a task, or its N innermost frames
    task ID frame [K]        selects frame K of its stack (0): info locals and print work there
    task ID up [N]           selects the frame N (1) outwards from the one selected
    task apply ID...|all COMMAND    does COMMAND, such as bt, in each of these tasks
    task none                leaves the task: bt shows the thread again
    task                     names the selected task

They work on live programs and on cores, stripped or not. The library holds this text, so that gdb
loads it with the program, if the program lies in gdb's auto-load safe-path; else `source` it.

The table of runtime/run/layout.c says where everything is. A task that waits has its registers on
its stack. Since gdb cannot set the registers of a core, an unwinder says that the selected thread's
innermost frame was called from there: while a task is selected, frame 0 of `bt` is the thread's,
and frame 1 the task's innermost.
"""

import re
import struct
import time

import gdb
import gdb.unwinder

WORD = struct.Struct("<Q")


def read(at, size):
    return gdb.selected_inferior().read_memory(at, size).tobytes()


def word(at):
    return WORD.unpack(read(at, 8))[0]


def half(at):
    return struct.unpack("<I", read(at, 4))[0]


def text(at):
    """Returns the string at an address."""
    found = b""
    while b"\0" not in found and len(found) < 4096:
        size = 64 - (at + len(found)) % 64
        found += read(at + len(found), size)
    return found.split(b"\0")[0].decode(errors="replace")


# ---- the table ----

PT_DYNAMIC, PT_NOTE, PT_PHDR, DT_DEBUG = 2, 4, 6, 21


def headers(at, count):
    """Yields type, address and size of each program header at an address."""
    for i in range(count):
        kind, _, _, address, _, _, size = struct.unpack("<IIQQQQQ", read(at + i * 56, 48))
        yield kind, address, size


def table_in_notes(at, size):
    data = read(at, size)
    place = 0
    while place + 12 < size:
        names, described, kind = struct.unpack_from("<III", data, place)
        name, desc = place + 12, place + 12 + (names + 3 & ~3)
        if kind == 1 and data[name:name + names] == b"weft\0":
            return at + desc + struct.unpack_from("<q", data, desc)[0]
        place = desc + (described + 3 & ~3)
    return None


def table_in_file(parts, bias):
    for kind, address, size in parts:
        if kind == PT_NOTE:
            table = table_in_notes(bias + address, size)
            if table:
                return table
    return None


def loaded_files(dynamic):
    """Yields the load address of each library that the loader lists."""
    debug = 0
    while True:
        tag, value = struct.unpack("<QQ", read(dynamic, 16))
        if tag in (0, DT_DEBUG):
            debug = value if tag else 0
            break
        dynamic += 16
    entry = word(debug + 8) if debug else 0
    while entry:
        yield word(entry)
        entry = word(entry + 24)


def find_without_symbols():
    auxv = gdb.execute("info auxv", to_string=True)
    at, count = (int(re.search(rf"\b{name}\s.*\s(0x[0-9a-f]+|[0-9]+)$", auxv, re.M)[1], 0)
                 for name in ("AT_PHDR", "AT_PHNUM"))
    parts = list(headers(at, count))
    bias = next((at - address for kind, address, _ in parts if kind == PT_PHDR), 0)
    table = table_in_file(parts, bias)
    dynamic = next((bias + address for kind, address, _ in parts if kind == PT_DYNAMIC), None)
    for base in loaded_files(dynamic) if not table and dynamic else ():
        try:
            if base and read(base, 4) == b"\x7fELF":
                elf = read(base, 64)
                phoff, phnum = struct.unpack_from("<Q", elf, 32)[0], elf[56] | elf[57] << 8
                table = table_in_file(list(headers(base + phoff, phnum)), base)
        except gdb.MemoryError:
            continue
        if table:
            break
    return table


def find_table():
    try:
        return int(gdb.parse_and_eval("(long)&weft__layout"))
    except gdb.error:
        return find_without_symbols()


def layout():
    """Returns the names and numbers of the table. It is read at each command, since another
    program may have taken the place of the last one."""
    at = find_table()
    if not at:
        raise gdb.GdbError("no weft in this program")
    magic, version, count, size, _, entries = struct.unpack("<8sIIIIQ", read(at, 32))
    if magic != b"weftlay\0" or version != 1:
        raise gdb.GdbError(f"this script does not know the layout of this weft ({version})")
    data = read(entries, count * size)
    table = {}
    for i in range(count):
        name, value = struct.unpack_from("<24sQ", data, i * size)
        table[name.split(b"\0")[0].decode()] = value
    if not table["slabs"]:
        raise gdb.GdbError("no weft_run has begun")
    return table


# ---- tasks ----

class Clock:
    """Converts the stamps of waits to nanoseconds until now, or until the core was made."""

    def __init__(self, table):
        self.ticks = bool(read(table["clock.tsc"], 1)[0])
        self.base, self.base_nanos = word(table["clock.base_ticks"]), word(table["clock.base_nanos"])
        self.seen, seen_nanos = word(table["clock.seen_ticks"]), word(table["clock.seen_nanos"])
        passed = self.seen - self.base
        self.rate = (seen_nanos - self.base_nanos) / passed if passed > 0 and self.ticks else 1.0
        if read(table["clock.virtual"], 1)[0]:
            self.now = word(table["clock.now"])
        elif gdb.selected_inferior().threads() and is_live():
            self.now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        else:
            self.now = self.nanos(max(word(table["clock.died"]), self.seen))

    def nanos(self, stamp):
        return self.base_nanos + (stamp - self.base) * self.rate if self.ticks else stamp

    def since(self, stamp):
        return max(0, self.now - self.nanos(stamp)) if stamp else None


def is_live():
    connection = getattr(gdb.selected_inferior(), "connection", None)
    return connection is not None and connection.type == "native"


class Task:
    SIZES = {"state": "<I", "on_cpu": "<I", "flags": "<H", "reason": "<B"}

    def __init__(self, table, record, at):
        self.table, self.record, self.at = table, record, at

    def __getattr__(self, name):
        form = self.SIZES.get(name, "<Q")
        return struct.unpack_from(form, self.record, self.at + self.table["task." + name])[0]

    def reason_kind(self):
        table = self.table
        if self.reason >= table["reason.count"]:
            return "?", 0
        kind = table["reasons"] + self.reason * table["reason.size"]
        return text(word(kind + table["reason.text"])), half(kind + table["reason.flags"])

    def describe(self):
        """Returns the state and the reason of the wait."""
        names = {self.table["state." + name]: name for name in ("runnable", "running", "lost")}
        if self.state == self.table["state.parked"]:
            return "waiting", self.reason_kind()[0]
        name = names.get(self.state, "?")
        if name == "runnable" and self.reason_kind()[1] & self.table["reason.sched"]:
            return "waiting", self.reason_kind()[0]
        if name == "lost":
            return "running", "in a call" if self.flags & self.table["flag.calling"] else ""
        return name, ""

    def thread(self):
        """Returns gdb's thread that runs the task; None if it rests."""
        if not self.on_cpu or not self.worker:
            return None
        if word(self.worker + self.table["worker.task"]) != self.address:
            return None
        tid = half(self.worker + self.table["worker.tid"])
        for thread in gdb.selected_inferior().threads():
            if tid in thread.ptid[1:]:
                return thread
        return None

    def registers(self):
        """Returns the saved registers by name."""
        table, at = self.table, self.sp
        if not self.lo <= at <= self.hi - table["ctx.size"]:
            raise gdb.GdbError(f"task {self.id} has no saved registers")
        names = ("rbx", "rbp", "r12", "r13", "r14", "r15")
        saved = {name: word(at + table["ctx." + name]) for name in names}
        saved["rip"] = word(at + table["ctx.pc"])
        saved["rsp"] = at + table["ctx.size"]
        return saved

    def function(self):
        return symbol(self.fn) if self.fn else "(another thread)" if self.is_foreign() else "main"

    def is_foreign(self):
        return bool(self.flags & self.table["flag.foreign"])


def symbol(address):
    found = gdb.execute(f"info symbol {address:#x}", to_string=True)
    match = re.match(r"(.*?)(?: \+ \d+)? in section", found)
    return match[1] if match else f"{address:#x}"


def tasks():
    """Yields every task, slab by slab."""
    table = layout()
    slots, per, size = half(table["slots"]), table["slab.tasks"], table["task.size"]
    none = (table["state.idle"], table["state.dead"])
    slabs = word(table["slabs"])
    for first in range(0, slots, per):
        slab = word(slabs + first // per * 8)
        records = read(slab, per * size)
        for i in range(min(per, slots - first)):
            task = Task(table, records, i * size)
            task.address = slab + i * size
            if task.state not in none:
                yield task


def find(id):
    for task in tasks():
        if task.id == id:
            return task
    raise gdb.GdbError(f"no task {id}")


# ---- frames ----

class Unwinder(gdb.unwinder.Unwinder):
    """Says that the innermost frame of a thread was called from a task that waits."""

    class Id:
        def __init__(self, sp, pc):
            self.sp, self.pc = sp, pc

    def __init__(self):
        super().__init__("weft")
        self.saved = None

    def choose(self, saved):
        frame = gdb.newest_frame()
        self.innermost = int(frame.read_register("rsp")), int(frame.read_register("rip"))
        self.saved = saved
        gdb.invalidate_cached_frames()

    def drop(self):
        if self.saved:
            self.saved = None
            gdb.invalidate_cached_frames()

    def __call__(self, frame):
        if not self.saved:
            return None
        rsp, rip = frame.read_register("rsp"), frame.read_register("rip")
        if (int(rsp), int(rip)) != self.innermost:
            return None
        # gdb takes a caller whose stack is below for an error.
        below = gdb.Value(self.saved["rsp"] - 8).cast(rsp.type)
        info = frame.create_unwind_info(self.Id(below, rip))
        for name, value in self.saved.items():
            info.add_saved_register(name, gdb.Value(value).cast(frame.read_register(name).type))
        return info


unwinder = Unwinder()
gdb.unwinder.register_unwinder(None, unwinder, replace=True)
selected = None  # the id of the selected task


def leave(event=None):
    global selected
    unwinder.drop()
    selected = None


gdb.events.cont.connect(leave)
gdb.events.exited.connect(leave)


def innermost(task):
    """Makes gdb see the stack of a task. Returns its innermost frame."""
    global selected
    thread = task.thread()
    leave()
    if thread:
        thread.switch()
        frame = gdb.newest_frame()
    else:
        saved = task.registers()
        unwinder.choose(saved)
        frame = gdb.newest_frame().older()
        while frame is not None and frame.pc() != saved["rip"]:
            frame = frame.older()  # inlined functions of the thread's frame
        if frame is None:
            unwinder.drop()
            raise gdb.GdbError(f"gdb cannot unwind task {task.id}")
    selected = task.id
    return frame


class Kept:
    """Restores the selection of the user at the end of a command."""

    def __enter__(self):
        self.thread, self.task, self.level = gdb.selected_thread(), selected, None
        if self.thread is None:
            raise gdb.GdbError("the program does not run")
        if self.thread.is_valid() and gdb.selected_frame():
            self.level = gdb.selected_frame().level()

    def __exit__(self, *_):
        leave()
        self.thread.switch()
        if self.task is not None:
            innermost(find(self.task))
        frame = gdb.newest_frame()
        while frame is not None and frame.level() < self.level:
            frame = frame.older()
        if frame is not None:
            frame.select()


def arguments(frame):
    try:
        block = frame.block()
        while block.function is None:
            block = block.superblock
        return ", ".join(f"{s.print_name}={s.value(frame)}" for s in block if s.is_argument)
    except (RuntimeError, gdb.error, AttributeError):
        return "" if frame.find_sal().symtab else "..."


def show(frame, number):
    """Prints a frame as bt does."""
    sal, inlined = frame.find_sal(), frame.type() == gdb.INLINE_FRAME
    place = "" if inlined else f"{frame.pc():#018x} in "
    line = f"#{number:<3} {place}{frame.name() or '??'} ({arguments(frame)})"
    if sal.symtab:
        line += f" at {sal.symtab.filename}:{sal.line}"
    print(line)


def backtrace(frame, most):
    number = 0
    while frame is not None and number < most:
        show(frame, number)
        frame = frame.older()
        number += 1
    if frame is not None:
        print("(More stack frames follow...)")


def select(task, frame, number):
    for _ in range(number):
        if frame.older() is None:
            raise gdb.GdbError("Initial frame selected; you can't go up.")
        frame = frame.older()
    frame.select()
    gdb.execute("frame")


# ---- commands ----

def options(argument, known):
    """Returns a compiled expression for each option that is given."""
    words = gdb.string_to_argv(argument or "")
    if len(words) % 2 or any(word not in known for word in words[::2]):
        raise gdb.GdbError("usage: info tasks [-state S] [-reason R] [-function F]")
    try:
        return {key: re.compile(value) for key, value in zip(words[::2], words[1::2])}
    except re.error as e:
        raise gdb.GdbError(f"not a regular expression: {e}")


def duration(nanos):
    if nanos is None:
        return ""
    for unit, size in (("h", 3600e9), ("m", 60e9), ("s", 1e9), ("ms", 1e6)):
        if nanos >= size:
            return f"{nanos / size:.1f}{unit}"
    return f"{nanos / 1e3:.0f}us"


class InfoTasks(gdb.Command):
    """List the tasks of weft: info tasks [-state S] [-reason R] [-function F].
Shows the id, state, reason and time of the wait, and the function that each began with.
S, R and F are regular expressions."""

    def __init__(self):
        super().__init__("info tasks", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        wanted = options(argument, ("-state", "-reason", "-function"))
        table = layout()
        clock, names, shown = Clock(table), {}, 0
        for task in tasks():
            state, reason = task.describe()
            function = names.get(task.fn) or names.setdefault(task.fn, task.function())
            cells = {"-state": state, "-reason": reason, "-function": function}
            if not all(pattern.search(cells[key]) for key, pattern in wanted.items()):
                continue
            if shown == 0:
                print(f"  {'Id':<9} {'State':<9} {'Reason':<24} {'Time':>8}  Function")
            waited = duration(clock.since(task.since)) if state == "waiting" else ""
            mark = "*" if task.id == selected else " "
            print(f"{mark} {task.id:<9} {state:<9} {reason:<24} {waited:>8}  {function}")
            shown += 1
        if shown == 0:
            print("No such task." if wanted else "No tasks.")


class TaskCommand(gdb.Command):
    """Look at a task of weft.
task ID bt [N], task ID frame [K], task ID up [N], task apply ID...|all COMMAND, task none."""

    def __init__(self):
        super().__init__("task", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if not words:
            print("No task is selected." if selected is None else f"Task {selected} is selected.")
        elif words == ["none"]:
            leave()
        elif words[0] == "apply":
            self.apply(words[1:])
        elif words[0].isdigit():
            self.act(find(int(words[0])), words[1] if words[1:] else "frame", words[2:])
        else:
            raise gdb.GdbError(self.__doc__.splitlines()[1])

    @staticmethod
    def act(task, verb, rest):
        if verb not in ("bt", "frame", "up") or len(rest) > 1 or not all(w.isdigit() for w in rest):
            raise gdb.GdbError(TaskCommand.__doc__.splitlines()[1])
        number = int(rest[0]) if rest else None
        if verb == "bt":
            with Kept():
                backtrace(innermost(task), number or 1 << 20)
        elif verb == "up" and selected == task.id:
            select(task, gdb.selected_frame(), 1 if number is None else number)
        else:
            select(task, innermost(task), number if number is not None else int(verb == "up"))

    @staticmethod
    def apply(words):
        ids = []
        while words and (words[0] == "all" or words[0].isdigit()):
            ids.append(words.pop(0))
        if not ids or not words:
            raise gdb.GdbError("usage: task apply ID...|all COMMAND")
        chosen = list(tasks()) if "all" in ids else [find(int(id)) for id in ids]
        with Kept():
            for task in chosen:
                TaskCommand.apply_to(task, words)

    @staticmethod
    def apply_to(task, words):
        state, reason = task.describe()
        print(f"\nTask {task.id} ({state}{', ' + reason if reason else ''}):")
        try:
            frame = innermost(task)
            if words[0] in ("bt", "backtrace") and not words[2:]:
                backtrace(frame, int(words[1]) if words[1:] else 1 << 20)
            else:
                frame.select()
                gdb.execute(" ".join(words))
        except (gdb.error, gdb.GdbError, ValueError) as e:
            print(e)


InfoTasks()
TaskCommand()
