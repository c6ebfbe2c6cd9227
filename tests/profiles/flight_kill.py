#!/usr/bin/env python3
"""flight_kill.py WEFT_FLIGHT FLIGHT_SAMPLE TIMES [MILLISECONDS [END,...]] - ends a program that records.

Each time, at a random moment under load, the next END of the list: kill (SIGKILL), abort (SIGABRT,
of which the program makes a report first) or oom (the kernel's OOM killer in a cgroup; left out where
none can be made); by default all three in turn. The record opens. It has an event after the
latest moment of which the program knew that one was recorded; each processor's last event is at
most MILLISECONDS (1000) before the last of all, and trace_check.py accepts the trace made of it. A
shortened copy is read up to the tear, and one with a damaged head is refused.
"""
import atexit
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

import trace_check
from trace_read import Broken

tool, sample, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
most = float(sys.argv[4]) if len(sys.argv) > 4 else 1000
ends = (sys.argv[5] if len(sys.argv) > 5 else "kill,abort,oom").split(",")
folder = tempfile.TemporaryDirectory(dir="/dev/shm", prefix="weft-flight-test-")
unseen = {"sender", "sync.Mutex.Lock", "lock_for_ever", "stamp_for_ever", "chan receive"}
record, stamp = f"{folder.name}/record", f"{folder.name}/stamp"


def fail(text):
    sys.exit(f"flight_kill.py: {text}")


def shown(*args):
    return subprocess.run([tool, *args], capture_output=True, timeout=120)


def read_stamp():
    with open(stamp, "rb") as file:
        return int.from_bytes(file.read(8), "little")


def make_cgroup():
    """Returns a cgroup for programs that use too much memory; None if the machine lets us make none."""
    for root, limit, swap in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.swappiness"),
                              ("/sys/fs/cgroup", "memory.max", "memory.swap.max")):
        path = f"{root}/weft-flight-test-{os.getpid()}"
        try:
            os.mkdir(path)
        except OSError:
            continue
        try:
            for name, value in ((limit, 64 << 20), (swap, 0)):
                with open(f"{path}/{name}", "w") as file:
                    file.write(str(value))
            return path
        except OSError:
            os.rmdir(path)
    return None


def join(cgroup):
    with open(f"{cgroup}/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))


def end_now(program, end):
    """Returns the latest stamp before the end."""
    if end == "abort":
        known = read_stamp()
        program.send_signal(signal.SIGABRT)
    elif end == "kill":
        program.kill()
    text = program.communicate(timeout=120)[1].decode(errors="replace")
    if end == "abort" and not text.endswith(f"the last seconds of all tasks: weft-flight {record}\n"):
        fail(f"the report of an abort does not end with the record: {text[-200:]}")
    if program.returncode != (-signal.SIGABRT if end == "abort" else -signal.SIGKILL):
        fail(f"{end}: the sample ended with {program.returncode}")
    return known if end == "abort" else read_stamp()


def kill_once(procs, end):
    """Returns the latest stamp of a program that ended at a random moment."""
    with open(stamp, "wb") as file:
        file.write(bytes(8))
    environment = dict(os.environ, WEFT_FLIGHT=record, WEFT_FLIGHT_MB="1", WEFT_PROCS=str(procs))
    program = subprocess.Popen([sample, stamp, "eat" if end == "oom" else ""], env=environment,
                               stderr=subprocess.PIPE,
                               preexec_fn=(lambda: join(cgroup)) if end == "oom" else None)
    while True:  # until it is under way
        time.sleep(0.01)
        if read_stamp():
            break
        if program.poll() is not None:
            fail(f"the sample ended with {program.returncode}")
    time.sleep(random.random() * 0.3)
    return end_now(program, end)


def check_summary(text, known, end):
    last = int(re.search(r"the last event at (\d+) ns", text)[1])
    # The clocks of ticks and of nanoseconds were compared up to 50 ms before; their rates differ by
    # less than 1 in 1000.
    if last < known - 100_000:
        fail(f"the last event is {known - last} ns older than one of which the program knew")
    ages = [float(ms) for ms in re.findall(r"processor \d+: its last event ([-\d.]+) ms", text)]
    if not ages or max(ages) > most:
        fail(f"last events of processors, in ms before the end: {ages}")
    if "did not end in order" not in text:
        fail("the summary does not say that the program did not end in order")
    if ("SIGABRT: abort" in text) != (end == "abort"):
        fail(f"the summary of a program that ended by {end} is wrong about it: {text[:300]}")
    # Not each record has them: a program may be killed before these tasks did anything, or before the
    # stacks of their first waits were recorded.
    unseen.difference_update(word for word in list(unseen) if word in text)


def check_trace(data, wanted):
    try:
        kinds = {event.name for event in trace_check.events_of(data)}
    except Broken as broken:
        fail(f"the trace is broken: {broken}")
    if not wanted <= kinds:
        fail(f"the trace has only {kinds}")


def check_damage():
    with open(record, "rb") as file:
        data = file.read()
    copy = f"{folder.name}/copy"
    for change, status, said in ((data[:-random.randrange(1, 1 << 19)], 1, "the file ends after"),
                                 (data[:100], 2, "no record"), (b"", 2, "no record"),
                                 (data[:16] + b"\7" + data[17:], 2, "another version"),
                                 (b"x" + data[1:], 2, "no record")):
        with open(copy, "wb") as file:
            file.write(change)
        got = shown(copy)
        if got.returncode != status or said not in got.stderr.decode() or got.stderr.count(b"\n") != 1:
            fail(f"a damaged record: status {got.returncode}, {got.stderr!r}")


cgroup = make_cgroup() if "oom" in ends else None
if cgroup:
    atexit.register(os.rmdir, cgroup)
elif "oom" in ends:
    print("flight_kill.py: no cgroup can be made here, so the OOM killer is left out")
    ends = [end for end in ends if end != "oom"] or ["kill"]
for i in range(times):
    procs, end = (1, 2, 4)[i // len(ends) % 3], ends[i % len(ends)]
    known = kill_once(procs, end)
    summary, trace = shown(record), shown("--format=perfetto", record)
    if summary.returncode or trace.returncode:
        fail(f"status {summary.returncode}, {trace.returncode}: {summary.stderr + trace.stderr}")
    check_summary(summary.stdout.decode(), known, end)
    check_trace(trace.stdout, {"SliceBegin", "SliceEnd", "Instant", "Counter", "Track"})
    for version in ("1", "2"):
        go = shown(f"--format={version}", record)
        if go.returncode:
            fail(f"format {version}: status {go.returncode}, {go.stderr}")
        # A processor that was busy all the time does not start in the newer format: it has a status.
        check_trace(go.stdout, {"GoStart", "GoUnblock", "ProcStart" if version == "1" else "ProcStatus"})
    if i == 0:
        check_damage()
    os.unlink(record)
if unseen:
    fail(f"no summary says {unseen}")
