#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""soak.py WEFT_ORDERS WEFT_LOAD SECONDS - puts the service under load with 3,000 idle connections, asks
all debug endpoints every 2 s and reads dumps slowly: its memory does not grow in the second half.

The smallest value of the last quarter must be at most 1 MiB above that of the quarter before; the
smallest, since a scrape that is under way has memory of its own. A release takes an hour; 12 minutes
show a growth of 0.4 MiB a minute. SOAK_SMAPS=FILE keeps the service's mappings at the end.
"""
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

import scrapes

IDLE = 3000
EVERY = 2  # seconds
PATHS = ["/debug/pprof/", "/debug/vars", "/debug/pprof/goroutine", "/debug/pprof/goroutine?debug=1",
         "/debug/pprof/goroutine?debug=2", "/debug/pprof/goroutine?per_task=1", "/debug/pprof/block",
         "/debug/pprof/mutex", "/debug/pprof/contention", "/debug/pprof/threadcreate",
         "/debug/pprof/delta_block", "/debug/pprof/delta_mutex", "/debug/fgprof?seconds=1"]


def stay_idle(port, stop, wrong):
    """Connections that ask for something now and then, before they are closed for being idle."""
    conns = [socket.create_connection(("127.0.0.1", port)) for _ in range(IDLE)]
    try:
        while not stop.is_set():
            for s in conns:
                s.sendall(b"GET /products HTTP/1.1\r\nHost: a\r\n\r\n")
            for s in conns:  # all at once: in turn they take longer than a connection may idle
                s.recv(65536)
            stop.wait(30)
    except OSError as e:
        wrong.append(f"an idle connection: {e}")
    for s in conns:
        s.close()


def read_slowly(port, stop):
    while not stop.is_set():
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(b"GET /debug/pprof/goroutine?debug=2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while s.recv(65536) and not stop.is_set():
                time.sleep(0.02)


def ask_all(port, wrong):
    for path in PATHS:
        try:
            scrapes.get(port, path)
        except (OSError, http.client.HTTPException) as e:
            wrong.append(f"{path}: {e}")


def soak(pid, api, debug, seconds):
    """The faults, and the memory after each round."""
    wrong, sizes, stop = [], [], threading.Event()
    others = [threading.Thread(target=read_slowly, args=(debug, stop)) for _ in range(2)]
    others.append(threading.Thread(target=stay_idle, args=(api, stop, wrong)))
    for t in others:
        t.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not wrong:
        begun = time.monotonic()
        ask_all(debug, wrong)
        sizes.append(scrapes.resident(pid))
        if len(sizes) % 15 == 0:
            print(f"{seconds - (end - begun):.0f} s: {sizes[-1] / 2**20:.2f} MiB", flush=True)
        time.sleep(max(0, begun + EVERY - time.monotonic()))
    stop.set()
    for t in others:
        t.join()
    return wrong, sizes


def main():
    orders, load, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    api, debug = scrapes.free_port(), scrapes.free_port()
    with tempfile.TemporaryDirectory() as folder:
        service = subprocess.Popen([orders, f"127.0.0.1:{api}", f"127.0.0.1:{debug}",
                                    f"{folder}/orders.db"], stderr=subprocess.DEVNULL)
        try:
            scrapes.wait_until_served(debug)
            customers = subprocess.Popen([load, f"127.0.0.1:{api}", "50", str(seconds + 5)],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wrong, sizes = soak(service.pid, api, debug, seconds)
            if os.environ.get("SOAK_SMAPS"):
                with open(f"/proc/{service.pid}/smaps") as f, open(os.environ["SOAK_SMAPS"], "w") as to:
                    to.write(f.read())
            customers.wait()
        finally:
            service.terminate()
            service.wait()
    quarter = len(sizes) // 4
    more = min(sizes[-quarter:]) - min(sizes[-2 * quarter:-quarter])
    print(f"soak: {len(sizes)} rounds; the last quarter has {more / 2**20:.2f} MiB more than the one before")
    if more > 1 << 20:
        wrong.append(f"memory grew by {more} bytes")
    for text in wrong:
        print(f"soak: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
