#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""torture_inject.py BUILD CASES SEED - runs programs in which allocations, mappings or system calls fail.

Each case runs a program with inject.c preloaded, which fails one kind of call from some number on:
once, a few times, or always. The numbers below 100 are all tried, larger ones at random. A program
may end with status 0; with status 1 and a line that says why; with status 2, one message, and the
tasks if there were any; or by SIGABRT if libuv gave up and said so, and the tasks are shown. It may not
hang, end by another signal, or end without a message.
"""
import collections
import concurrent.futures
import os
import random
import subprocess
import sys
import tempfile
import time

PATIENCE = 60  # seconds
CUSTOMER = 20  # seconds that the customer of orders asks: some services can answer nothing any more
SAMPLES = ["", "s", "n", "d", "w", "sndw"]


def programs(build, folder):
    for what in SAMPLES:
        yield "sample " + (what or "hello"), [f"{build}/inject_sample", what]
    if os.path.exists(f"{build}/weft_index"):
        yield "index", [f"{build}/weft_index", folder]


def orders(build, folder, env):
    """The service with a customer that asks both of its servers, and then ends it."""
    api, debug = f"{folder}/api", f"{folder}/debug"
    for path in (api, debug, f"{folder}/db"):
        if os.path.exists(path):
            os.unlink(path)
    with open(f"{folder}/err", "wb") as err:
        p = subprocess.Popen([f"{build}/weft_orders", f"unix:{api}", f"unix:{debug}", f"{folder}/db"],
                             stdout=err, stderr=err, env=env)
    until = time.monotonic() + CUSTOMER
    try:
        for socket, path in [(api, "/products"), (debug, "/debug/pprof/goroutine?debug=2"),
                             (debug, "/debug/vars"), (debug, "/debug/pprof/mutex"), (api, "/orders")]:
            for _ in range(20):
                if p.poll() is not None or time.monotonic() > until or subprocess.run(
                        ["curl", "-s", "-m", "10", "-o", "/dev/null", "--unix-socket", socket,
                         "http://localhost" + path]).returncode == 0:
                    break
        p.terminate()
        p.wait(PATIENCE)
        status = p.returncode
    except subprocess.TimeoutExpired:
        p.send_signal(3)
        status = "hangs"
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
    with open(f"{folder}/err", errors="replace") as err:
        return status, err.read()


def run(argv, env):
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
    try:
        return (lambda out: (p.returncode, out))(p.communicate(timeout=PATIENCE)[0].decode(errors="replace"))
    except subprocess.TimeoutExpired:
        p.send_signal(3)
        try:
            out = p.communicate(timeout=10)[0]
        except subprocess.TimeoutExpired:
            p.kill()
            out = p.communicate()[0]
        return "hangs", out.decode(errors="replace")


def verdict(status, text):
    """The fault of a run; None if it has none."""
    messages = text.count("fatal error: ") + text.count("panic: ")
    if status == "hangs":
        return "hangs"
    if status == 0:
        return None
    if status == 127 and "error while loading shared libraries" in text:
        return None  # the loader's memory was refused
    if "libdw: " in text:
        return "ended by libdw"
    if status == 1:
        return None if text.strip() else "status 1 without words"
    if status == 2:
        return None if messages == 1 else f"status 2 with {messages} messages"
    if status == -6 and "of libuv gives up" in text:
        return None
    return f"status {status}"


def draw(rng, case):
    """KIND, FIRST, COUNT of one case."""
    kind = rng.choice(["memory"] * 3 + ["map", "call", "call"])
    top = {"memory": 4000, "map": 60, "call": 120}[kind]
    first = rng.randrange(100) if rng.random() < 0.4 else int(top ** rng.random())
    return kind, first, rng.choice([1, 1, 3, 10, 100, 10 ** 9])


def one(build, seed, case):
    rng = random.Random(f"{seed} {case}")
    with tempfile.TemporaryDirectory(prefix="weft-inject-") as folder:
        kind, first, count = draw(rng, case)
        env = dict(os.environ, INJECT=f"{kind}:{first}:{count}", WEFT_PROCS=str(rng.choice([1, 2, 4])),
                   LD_PRELOAD=f"{build}/libinject.so")
        if rng.random() < 0.08 and os.path.exists(f"{build}/weft_orders"):
            name = "orders"
            status, text = orders(build, folder, env)
        else:
            name, argv = rng.choice(list(programs(build, os.path.dirname(os.path.abspath(__file__)))))
            status, text = run(argv, env)
    wrong = verdict(status, text)
    what = f"case {case}: INJECT={env['INJECT']} WEFT_PROCS={env['WEFT_PROCS']} {name}"
    return status, f"{what}: {wrong}\n{text[-3000:]}" if wrong else None


def main():
    build, cases, seed = os.path.abspath(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    ends = collections.Counter()
    bad = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for status, report in pool.map(lambda c: one(build, seed, c), range(cases)):
            ends[str(status)] += 1
            if report:
                bad.append(report)
                print(report, flush=True)
    print(f"{cases} cases, seed {seed}: " + ", ".join(f"{n} ended with {s}" for s, n in ends.most_common()))
    if bad:
        print(f"{len(bad)} of them wrong")
        sys.exit(1)


main()
