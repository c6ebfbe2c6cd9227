#!/usr/bin/env python3
"""trace_selftest.py - shows that trace_check.py accepts what Go wrote, and refuses each broken rule.

golden/trace_go* are traces of readers/trace.go, written by the Go of that version. The traces V2
and V1 below keep every rule; each mutant of them breaks one, and must be refused with the text that is
given. A line is THREAD (V1: PROCESSOR) TIME EVENT ARGUMENTS. A word is a string, a,b a stack.
"""
import io
import sys
from pathlib import Path

import trace_check
import trace_v1
import trace_v2
from trace_read import NONE, Broken

V2 = """
gen 1
7 10 ProcStatus 0 1
7 10 GoStatus 1 7 2
- 10 ProcStatus 1 2
- 10 GoStatusStack 2 - 4 recv,worker
7 20 GoCreate 3 reader main
7 30 UserTaskBegin 1 0 request main
7 31 UserRegionBegin 1 outer main
7 32 UserRegionBegin 1 inner main
7 33 UserLog 1 key value main
7 34 UserRegionEnd 1 inner main
7 35 UserRegionEnd 1 outer main
7 36 GoUnblock 2 1 send,main
8 37 ProcStart 1 1
8 38 GoStart 2 2
8 50 GoBlock recv recv,worker
7 60 GoStop yield main
7 61 GoStart 3 1
7 62 GoSyscallBegin 1 call,reader
9 70 ProcSteal 0 2 7
8 71 ProcStop
8 72 ProcStart 0 3
8 73 GoStart 1 1
7 80 GoSyscallEndBlocked
7 81 ProcStart 1 2
7 82 GoStart 3 2
7 83 GoSyscallBegin 3 call,reader
7 84 GoSyscallEnd
7 85 GoDestroy
7 86 ProcStop
6 87 GoCreateSyscall 4
6 88 GoDestroySyscall
8 89 UserTaskEnd 1 main
sample 45 8 1 2 recv,worker
gen 2
8 100 ProcStatus 0 1
8 100 GoStatus 1 8 2
- 100 ProcStatus 1 2
- 100 GoStatus 2 - 4
8 110 GoUnblock 2 1 send,main
8 120 GoBlock sleep main
8 130 GoStart 2 2
8 140 GoSwitch 1 1
"""

# For each rule of the readers: a part of V2, its replacement, and a part of what the checker says.
V2_MUTANTS = (
    ("36 GoUnblock 2 1", "36 GoUnblock 2 2", "no thread's next event can happen"),
    ("36 GoUnblock 2 1", "36 GoUnblock 9 1", "no thread's next event can happen"),
    ("61 GoStart 3 1", "61 GoStart 3 2", "no thread's next event can happen"),
    ("61 GoStart 3 1", "61 GoStart 2 3", "no thread's next event can happen"),
    ("37 ProcStart 1 1", "37 ProcStart 1 2", "no thread's next event can happen"),
    ("37 ProcStart 1 1", "37 ProcStart 0 1", "no thread's next event can happen"),
    ("81 ProcStart 1 2\n", "81 ProcStart 1 2\n7 81 ProcStart 1 3\n", "no thread's next event can happen"),
    ("70 ProcSteal 0 2 7", "70 ProcSteal 0 3 7", "no thread's next event can happen"),
    ("70 ProcSteal 0 2 7", "70 ProcSteal 1 2 8", "no thread's next event can happen"),
    ("70 ProcSteal 0 2 7", "70 ProcSteal 0 2 8", "is stolen from thread 8"),
    ("9 70 ProcSteal 0 2 7\n", "", "no thread's next event can happen"),
    ("140 GoSwitch 1 1", "140 GoSwitch 1 2", "no thread's next event can happen"),
    ("\n8 100 ProcStatus 0 1", "", "processor 0 has no status in generation 2"),
    ("\n8 100 GoStatus 1 8 2", "", "task 1 has no status in generation 2"),
    ("\n8 50 GoBlock recv recv,worker", "\n8 50 GoStart 3 1", "which has a task already"),
    ("\n7 60 GoStop yield main", "", "which has a task already"),
    ("\n8 38 GoStart 2 2", "", "GoBlock needs a task"),
    ("8 50 GoBlock recv", "9 50 GoBlock recv", "GoBlock needs a processor"),
    ("7 20 GoCreate 3", "9 20 GoCreate 3", "GoCreate needs a processor"),
    ("7 20 GoCreate 3", "7 20 GoCreate 2", "exists already"),
    ("6 87 GoCreateSyscall 4", "6 87 GoCreateSyscall 2", "exists already"),
    ("7 84 GoSyscallEnd", "7 84 GoCreate 9 reader main", "not running"),
    ("7 60 GoStop yield main", "7 60 GoSyscallEnd", "not syscall"),
    ("7 84 GoSyscallEnd\n", "", "not running"),
    ("7 83 GoSyscallBegin 3", "7 83 GoSyscallBegin 4", "GoSyscallBegin with pseq 4"),
    ("7 80 GoSyscallEndBlocked\n7 81 ProcStart 1 2\n7 82 GoStart 3 2", "7 80 GoSyscallEnd",
     "GoSyscallEnd needs a processor"),
    ("8 71 ProcStop", "9 71 ProcStop", "ProcStop needs a processor"),
    ("8 50 GoBlock recv recv,worker\n", "", "takes a processor while its task runs"),
    ("6 87 GoCreateSyscall 4\n", "", "GoDestroySyscall needs a task"),
    ("8 89 UserTaskEnd", "9 89 UserTaskEnd", "UserTaskEnd needs a processor"),
    ("7 33 UserLog", "9 33 UserLog", "UserLog needs a processor"),
    ("7 34 UserRegionEnd 1 inner", "7 34 UserRegionEnd 1 outer", "misuse of region"),
    ("7 34 UserRegionEnd 1 inner", "7 34 UserTaskBegin 1 0 again", "begins while it is open"),
    ("10 GoStatus 1 7 2", "10 GoStatus 1 7 9", "unknown status of task"),
    ("10 ProcStatus 1 2", "10 ProcStatus 1 9", "unknown status of processor"),
    ("10 ProcStatus 1 2", "10 ProcStatus 4294967295 2", "no timeline has room for processor"),
    ("\n7 10 ProcStatus 0 1", "", "needs a processor"),
    ("10 GoStatus 1 7 2", "10 GoStatus 1 - 3", "in a call on no thread"),
    ("100 GoStatus 2 - 4", "100 GoStatus 2 - 1", "its status says runnable"),
    ("100 ProcStatus 1 2", "100 ProcStatus 1 1", "its status says running"),
    ("100 GoStatus 2 - 4", "100 GoStatus 5 - 4", "after the first generation"),
    ("\n- 100 GoStatus 2 - 4", "", "no thread's next event can happen"),
    ("100 GoStatus 1 8 2", "100 GoStatus 1 8 3", "its status says syscall"),
    ("sample 45 8 1 2", "sample 45 8 1 9", "a CPU sample of task 9"),
    ("sample 45 8 1 2", "sample 45 8 9 2", "a CPU sample of processor 9"),
    ("8 1 2 recv,worker\ngen", "8 1 2 <0>\ngen", "a CPU sample has no stack"),
    ("gen 2", "gen 3", "generation 3 follows generation 1"),
    ("gen 1", "gen 0", "generation 0"),
    ("recv,worker\n7 60", "<77>\n7 60", "stack 77 is in no table"),
    ("GoBlock recv", "GoBlock <77>", "string 77 is in no table"),
    ("GoBlock recv", "GoBlock " + "x" * 1025, "a string of 1025 bytes"),
    ("recv,worker\n7 60", ",".join(["f"] * 129) + "\n7 60", "a stack of 129 frames"),
)
# The same for the bytes of V2.
V2_BYTES = (
    (lambda data: data[:-1], "the file ends within a batch"),
    (lambda data: data + b"\1\3", "within a number"),
    (lambda data: data[:-7], "within a number"),
    (lambda data: data + b"\7", "begins no batch"),
    (lambda data: data + batch(2, NONE, 200, b"\x08\x01"), "two frequencies"),
    (lambda data: data + batch(3, 7, 200, b""), "generation 3 has no frequency"),
    (lambda data: data + batch(3, NONE, 200, b"\x08\0"), "a frequency of 0"),
    (lambda data: data + batch(2, 8, 1, b"\x17\0"), "before the last one ends"),
    (lambda data: data + batch(2, 8, 200, b"\x63\0"), "event 99 is unknown"),
    (lambda data: data + batch(2, NONE, 200, b"\4\5\1\1x"), "string 1 is defined twice"),
    (lambda data: data + batch(2, NONE, 200, b"\2\3\1\0"), "stack 1 is defined twice"),
    (lambda data: data + batch(2, NONE, 200, b"\2\3\x63\1\1\1\1\1"), "is both"),
    (lambda data: data + batch(2, NONE, 200, b"\6\7\0\0\0\0\x63"), "stack 99 is in no table"),
    (lambda data: data + batch(2, 7, 200, b"\0" * 65537), "a batch of 65537 bytes"),
    (lambda data: data + batch(2, 7, 200, b"\x17" + b"\xff" * 11), "more than 64 bits"),
    (lambda data: data.replace(b"1.23", b"1.24"), "no reader knows the version 1.24"),
    (lambda data: data[:13] + b"xyz" + data[16:], "not padded"),
    (lambda data: data.replace(b"1.23", b"1.26"), "has no end"),
    (lambda data: data[:16], "no generation"),
    (lambda data: data[:3], "no execution trace"),
)

V1 = """
0 10 Gomaxprocs 2 main
0 11 ProcStart 7
0 12 GoCreate 1 main start
0 13 GoCreate 2 worker start
0 14 GoWaiting 2
0 15 GoStart 1 1
0 20 GoCreate 3 reader main
0 30 UserTaskCreate 1 0 request main
0 31 UserRegion 1 0 outer main
0 32 UserLog 1 key main
0 33 UserRegion 1 1 outer main
0 36 GoUnblock 2 2 send,main
1 37 ProcStart 8
1 38 GoStart 2 3
1 50 GoBlockRecv recv,worker
0 60 GoSched main
0 61 GoStartLocal 3
0 62 GoSysCall call,reader
0 63 GoSysBlock
0 64 ProcStop
1 70 GoSysExit 3 2 66
1 71 GoStart 3 3
1 72 GoUnblock 2 4 send,reader
1 80 GoEnd
1 81 GoStartLocal 2
1 82 UserTaskEnd 1 main
0 83 CPUSample 45 1 2 recv,worker
"""
V1_MUTANTS = (
    ("CPUSample 45 1 2", "CPUSample 45 1 9", "a CPU sample of task 9"),
    ("CPUSample 45 1 2", "CPUSample 45 9 2", "a CPU sample of processor 9"),
    ("CPUSample 45 1 2", "CPUSample 9 1 2", "before the trace begins"),
    ("CPUSample 45 1 2 recv,worker", "CPUSample 45 1 2 <0>", "a CPU sample has no stack"),
    ("CPUSample 45 1 2 recv,worker", "CPUSample 45 1 2 <77>", "stack 77 is defined nowhere"),
    ("36 GoUnblock 2 2", "36 GoUnblock 2 3", "no processor's next event can happen"),
    ("38 GoStart 2 3", "38 GoStart 2 4", "no processor's next event can happen"),
    ("61 GoStartLocal 3", "61 GoStartLocal 2", "no processor's next event can happen"),
    ("12 GoCreate 1", "12 GoCreate 2", "no processor's next event can happen"),
    ("70 GoSysExit 3 2 66", "70 GoSysExit 3 3 66", "no processor's next event can happen"),
    ("1 70 GoSysExit 3 2", "1 61 GoSysExit 3 2", "after an event at"),
    ("70 GoSysExit 3 2 66", "70 GoSysExit 3 2 62", "before it blocked there"),
    ("1 38 GoStart 2 3", "1 35 GoStart 2 3", "before the last one ends"),
    ("1 37 ProcStart 8", "1 37 ProcStart 8\n1 37 ProcStart 8", "is running"),
    ("0 64 ProcStop", "0 64 ProcStop\n0 64 ProcStop", "is not running"),
    ("0 63 GoSysBlock\n0 64 ProcStop", "0 63 ProcStop\n0 64 GoSysBlock", "runs task 3"),
    ("0 60 GoSched main\n", "", "runs task 1"),
    ("1 80 GoEnd", "0 80 GoEnd", "no task"),
    ("0 62 GoSysCall", "1 62 GoSysCall", "no task runs"),
    ("0 60 GoSched main", "1 60 GoSched main", "no processor's next event can happen"),
    ("0 33 UserRegion 1 1 outer", "0 33 UserRegion 1 1 other", "misuse of region"),
    ("0 33 UserRegion 1 1 outer", "0 33 UserRegion 1 2 outer", "neither begin nor end"),
    ("1 82 UserTaskEnd 1 main", "1 82 UserTaskCreate 1 0 again main", "begins while it is open"),
    ("GoSched main", "GoSched <77>", "stack 77 is defined nowhere"),
    ("1 0 outer", "1 0 <77>", "string 77 is defined nowhere"),
)
V1_BYTES = (
    (lambda data: data[:-1], "the data ends within a number"),
    (lambda data: data + b"\x02\1", "two frequencies"),
    (lambda data: data[:-6], "no frequency"),
    (lambda data: data + b"\x3f\0", "event 63 is unknown"),
    (lambda data: data[:16] + b"\x06\1" + data[16:], "before the first batch"),
    (lambda data: data + b"\x46\1\1", "numbers in an event"),
    (lambda data: data + b"\x25\1\1x", "string 1 is defined twice"),
    (lambda data: data + b"\x25\0\1x", "string 0"),
    (lambda data: data + b"\xc3\3\x63\2\1", "whose length is not that of its frames"),
    (lambda data: data + b"\xc3\6\x63\1\1\1\1\1", "is both"),
    (lambda data: data.replace(b"1.19", b"1.20"), "no reader knows the version 1.20"),
    (lambda data: data[:13] + b"xyz" + data[16:], "not padded"),
)


def number(value):
    data = bytearray()
    while value >= 0x80:
        data.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(data) + bytes([value])


def batch(gen, thread, time, body):
    return b"\1" + number(gen) + number(thread) + number(time) + number(len(body)) + body


class Tables:
    """Strings and stacks of a trace, numbered as they come. A frame's pc is the number of its name."""

    def __init__(self):
        self.strings, self.stacks = {}, {}

    def string(self, text):
        if text[0] == "<":
            return int(text[1:-1])
        return self.strings.setdefault(text, len(self.strings) + 1)

    def stack(self, text):
        if text[0] == "<":
            return int(text[1:-1])
        frames = tuple((self.string(f), self.string(f), self.string("a.c"), 1) for f in text.split(","))
        return self.stacks.setdefault(frames, len(self.stacks) + 1)

    def argument(self, spec, text):
        if spec[0] in "$@":
            return self.string(text) if spec[0] == "$" else self.stack(text)
        return NONE if text == "-" else int(text)


def parsed(line, events, tables):
    """Returns thread or processor, time, number of the event and its arguments."""
    where, time, name, *args = line.split(" ")
    kind = next(kind for kind, (known, _) in events.items() if known == name)
    specs = events[kind][1]
    args += ["<0>"] * (len(specs) - len(args))
    return (NONE if where == "-" else int(where), int(time), kind,
            [tables.argument(spec, arg) for spec, arg in zip(specs, args)])


def v2_generation(gen, lines):
    tables, threads, data, samples = Tables(), {}, b"", b""
    for line in lines:
        if line.startswith("sample "):
            *numbers, stack = line.split(" ")[1:]
            samples += b"\7" + b"".join(number(int(n)) for n in numbers) + number(tables.stack(stack))
            continue
        thread, time, kind, args = parsed(line, trace_v2.EVENTS, tables)
        body, last = threads.get(thread, (b"", 0))
        body += bytes([kind]) + number(time - last) + b"".join(map(number, args))
        threads[thread] = body, time
    for thread, (body, _) in threads.items():
        data += batch(gen, thread, 0, body)
    stacks = b"".join(b"\3" + number(i) + number(len(frames)) +
                      b"".join(number(n) for frame in frames for n in frame)
                      for frames, i in tables.stacks.items())
    strings = b"".join(b"\5" + number(i) + number(len(s)) + s.encode()
                       for s, i in tables.strings.items())
    if samples:
        data += batch(gen, NONE, 0, b"\6" + samples)
    return data + batch(gen, NONE, 0, b"\2" + stacks) + batch(gen, NONE, 0, b"\4" + strings) + \
        batch(gen, NONE, 0, b"\x08" + number(10**9))


def v2(text):
    data = b"go 1.23 trace\0\0\0"
    for part in text.strip().split("gen ")[1:]:
        gen, *lines = part.strip().split("\n")
        data += v2_generation(int(gen), lines)
    return data


def v1(text):
    """A batch for each event, so that any mutant of time or processor can be written."""
    tables, data = Tables(), b"go 1.19 trace\0\0\0"
    for line in text.strip().split("\n"):
        proc, time, kind, args = parsed(line, trace_v1.EVENTS, tables)
        args = [0] + args
        body = b"".join(map(number, args))
        if len(args) > 3:
            body = number(len(body)) + body
        data += b"\x41" + number(proc) + number(time) + bytes([kind | min(len(args) - 1, 3) << 6]) + body
        if line.split(" ")[2] == "UserLog":
            data += b"\5value"
    for frames, i in tables.stacks.items():
        body = number(i) + number(len(frames)) + b"".join(number(n) for f in frames for n in f)
        data += b"\xc3" + number(len(body)) + body
    for text, i in tables.strings.items():
        data += b"\x25" + number(i) + number(len(text)) + text.encode()
    return data + b"\x02" + number(10**9)


def verdict(data):
    """Returns what is wrong with a trace, or None."""
    try:
        for _ in trace_check.events_of(data):
            pass
    except Broken as broken:
        return str(broken)
    return None


failures = 0


def expect(what, said, wanted):
    """wanted: a part of what the checker is to say, or None if it is to accept."""
    global failures
    if (said is None) != (wanted is None) or (wanted is not None and wanted not in said):
        failures += 1
        print(f"{what}: the checker says {said!r}, not {wanted!r}")


def expect_mutants(text, encode, mutants, changes):
    whole = encode(text)
    expect("unchanged", verdict(whole), None)
    for old, new, wanted in mutants:
        assert text.count(old) == 1, old
        expect(f"{old!r} -> {new[:60]!r}", verdict(encode(text.replace(old, new))), wanted)
    for i, (change, wanted) in enumerate(changes):
        expect(f"change {i} of the bytes", verdict(change(whole)), wanted)


def field(number_of, value):
    """Encodes a protobuf field: a number, or text or a message as bytes."""
    if isinstance(value, int):
        return number(number_of << 3) + number(value)
    return number(number_of << 3 | 2) + number(len(value)) + value


def fixed(number_of, value):
    return number(number_of << 3 | 1) + value.to_bytes(8, "little")


def track(uuid, name, parent=0, more=b""):
    parent = field(5, parent) if parent else b""
    return field(1, field(60, field(1, uuid) + field(2, name) + parent + more))


def track_event(time, kind, uuid, more=b""):
    return field(1, field(8, time) + field(11, field(9, kind) + field(11, uuid) + more))


def name_at(number_of, iid, text):
    return field(1, field(12, field(number_of, field(1, iid) + field(2, text))))


TASK = (5 << 56) + 7
PERFETTO = (  # the packets of a trace
    track(1, b"tasks"), track(TASK, b"worker 7", 1), track(2, b"runnable", 1, field(8, b"")),
    track_event(10, 1, TASK, field(23, b"chan receive")),
    track_event(20, 3, 1, field(23, b"wakes") + fixed(47, 1)),
    name_at(2, 1, b"running"), name_at(29, 5, b"main a.c:1"),
    track_event(30, 2, TASK), track_event(30, 1, TASK, field(10, 1) + fixed(48, 1) + field(
        4, field(10, b"stack") + field(12, field(17, 5)))),
    track_event(40, 2, TASK), track_event(40, 4, 2, field(30, 1)),
    track_event(35, 3, 1, field(23, b"CPU sample") + field(4, field(10, b"stack") + field(
        12, field(17, 5)))),
)
PERFETTO_MUTANTS = (  # the index of the packet that is replaced, by what, and the checker's words
    (1, b"", "an event of type"), (1, track(TASK, b"worker 7", 9), "is not described"),
    (4, b"", "ends before it begins"), (5, b"", "not interned"), (6, b"", "not interned"),
    (7, b"", "whose open slice is"), (3, b"", "whose open slice is"),
    (7, track_event(5, 2, TASK), "is at 10 already"),
    (7, track_event(30, 2, TASK) + track_event(30, 3, 1, fixed(47, 1)), "begins twice"),
    (10, track_event(40, 4, 1, field(30, 1)), "Counter on track"),
    (10, track_event(40, 9, 2), "an event of type"),
    (10, track_event(40, 3, 1, field(23, b"\xff")), "not UTF-8"),
    (11, track_event(35, 3, 1, field(23, b"CPU sample")), "a CPU sample has no stack"),
    (10, b"\x0a\x7f", "bytes wanted"), (10, b"\x0b", "wire type"), (10, b"\x10\1", "no packet"),
)


def expect_perfetto():
    expect("Perfetto", verdict(b"".join(PERFETTO)), None)
    for at, new, wanted in PERFETTO_MUTANTS:
        changed = PERFETTO[:at] + (new,) + PERFETTO[at + 1:]
        expect(f"Perfetto, packet {at} -> {new}", verdict(b"".join(changed)), wanted)
    summary = trace_check.Summary()
    for event in trace_check.events_of(b"".join(PERFETTO)):
        summary.add(event)
    expect("the waits of Perfetto's", None if summary.spent == {
        (7, "waiting", "chan receive"): [20, 1], (7, "running", ""): [10, 1]} else
        str(summary.spent), None)


def cut_off(data):
    """Each generation before the one in which the file ends is read."""
    kinds = [event.name for event in until_broken(data[:-1])]
    expect("cut", None if kinds.count("Generation") == 1 and "GoSwitch" not in kinds else kinds, None)


def until_broken(data):
    try:
        yield from trace_check.events_of(data)
    except Broken:
        pass


def golden():
    for path in sorted((Path(__file__).parent / "golden").glob("trace_go*")):
        data = path.read_bytes()
        expect(path.name, verdict(data), None)
        summary = trace_check.Summary()
        for event in trace_check.events_of(data):
            summary.add(event)
        spent = {(name, state, reason) for task, state, reason in summary.spent
                 for name in [summary.names.get(task, "")]}
        for waits in (("main.contend", "waiting", "sleep"),
                      ("main.network", "waiting", "network"), ("main.call", "running", "")):
            expect(f"{path.name}: {waits}", None if waits in spent else str(sorted(spent)), None)
        expect(f"{path.name}: the user task", None if "request" in summary.user_spent else "none", None)
        for cut in range(100, len(data), len(data) // 50):
            expect(f"{path.name}, {cut} bytes", verdict(data[:cut]) and "", "")


expect_mutants(V2, v2, V2_MUTANTS, V2_BYTES)
expect_mutants(V1, v1, V1_MUTANTS, V1_BYTES)
expect_perfetto()
cut_off(v2(V2))
golden()
sys.exit(failures != 0)
