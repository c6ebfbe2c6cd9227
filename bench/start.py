# SPDX-License-Identifier: MIT
"""start.py - the time and the memory of a program that says hello and ends, on weft and on libuv; and
the sizes of weft's libraries, stripped.

A result is the median of many starts in a row. The time is from before the fork to after the wait, so
it includes the dynamic linker's; the CPU time is the program's. The memory is the most that was
resident."""
import os
import statistics
import subprocess
import tempfile
import time

STARTS = 100


def start(program, env):
    """Microseconds of time and of CPU time, and KiB."""
    out, into = os.pipe()
    before = time.perf_counter()
    pid = os.posix_spawn(program, [program], env, file_actions=[(os.POSIX_SPAWN_DUP2, into, 1)])
    _, status, usage = os.wait4(pid, 0)
    took = time.perf_counter() - before
    os.close(into)
    with open(out, encoding="ascii") as said:
        hello, most = said.read().split()
    if status != 0 or hello != "hello":
        raise subprocess.SubprocessError(f"{program}: status {status}")
    return took * 1e6, (usage.ru_utime + usage.ru_stime) * 1e6, int(most)


def stripped(library, *options):
    with tempfile.NamedTemporaryFile() as copy:
        subprocess.run(["strip", *options, "-o", copy.name, library], check=True)
        return os.path.getsize(copy.name) / 1024


def run(side, bench, env):
    """The results of bench_hello, or of bench_hello_uv beside it: {name: (value, unit)}."""
    folder = os.path.dirname(os.path.abspath(bench))
    name = "bench_hello_uv" if side == "uv" else "bench_hello"
    starts = zip(*(start(os.path.join(folder, name), env) for _ in range(STARTS)))
    units = {"start_time": "us", "start_cpu": "us", "start_memory": "KiB"}
    results = {what: (statistics.median(values), unit)
               for (what, unit), values in zip(units.items(), starts)}
    if side == "weft":
        results["libweft.so"] = (stripped(os.path.join(folder, "libweft.so")), "KiB")
        results["libweft.a"] = (stripped(os.path.join(folder, "libweft.a"), "-g"), "KiB")
    return results
