#!/usr/bin/env python3
"""flight_kill.py WEFT_FLIGHT FLIGHT_SAMPLE TIMES [MILLISECONDS] - kills a program that records.

Each time: SIGKILL at a random moment under load. The record opens. It has an event after the
latest moment of which the program knew that one was recorded; each processor's last event is at
most MILLISECONDS (1000) before the last of all, and trace_check.py accepts the trace made of it. A
shortened copy is read up to the tear, and one with a damaged head is refused.
"""
import os
import random
import re
import subprocess
import sys
import tempfile
import time

import trace_check
from trace_read import Broken

tool, sample, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
most = float(sys.argv[4]) if len(sys.argv) > 4 else 1000
folder = tempfile.TemporaryDirectory(dir="/dev/shm", prefix="weft-flight-test-")
unseen = {"sender", "sync.Mutex.Lock", "lock_for_ever", "stamp_for_ever", "chan receive"}
record, stamp = f"{folder.name}/record", f"{folder.name}/stamp"


def fail(text):
    sys.exit(f"flight_kill.py: {text}")


def shown(*args):
    return subprocess.run([tool, *args], capture_output=True, timeout=120)


def kill_once(procs):
    """Returns the latest stamp of a program that was killed at a random moment."""
    with open(stamp, "wb") as file:
        file.write(bytes(8))
    environment = dict(os.environ, WEFT_FLIGHT=record, WEFT_FLIGHT_MB="1", WEFT_PROCS=str(procs))
    program = subprocess.Popen([sample, stamp], env=environment)
    while True:  # until it is under way
        time.sleep(0.01)
        with open(stamp, "rb") as file:
            if any(file.read(8)):
                break
        if program.poll() is not None:
            fail(f"the sample ended with {program.returncode}")
    time.sleep(random.random() * 0.3)
    program.kill()
    program.wait()
    with open(stamp, "rb") as file:
        return int.from_bytes(file.read(8), "little")


def check_summary(text, known):
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


for i in range(times):
    procs = (1, 2, 4)[i % 3]
    known = kill_once(procs)
    summary, trace = shown(record), shown("--format=perfetto", record)
    if summary.returncode or trace.returncode:
        fail(f"status {summary.returncode}, {trace.returncode}: {summary.stderr + trace.stderr}")
    check_summary(summary.stdout.decode(), known)
    check_trace(trace.stdout, {"SliceBegin", "SliceEnd", "Instant", "Counter", "Track"})
    for version in ("1", "2"):
        go = shown(f"--format={version}", record)
        if go.returncode:
            fail(f"format {version}: status {go.returncode}, {go.stderr}")
        check_trace(go.stdout, {"GoStart", "GoUnblock", "ProcStart"})
    if i == 0:
        check_damage()
    os.unlink(record)
if unseen:
    fail(f"no summary says {unseen}")
