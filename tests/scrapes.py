#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scrapes.py WEFT_ORDERS WEFT_LOAD SECONDS - scrapes the service under load as Pyroscope and Parca
do, all profiles at once, again and again: no scrape fails, and memory does not grow.

After a few rounds to warm up, the service's memory is read after each round. It does not grow if the
most of the second half is at most a tenth, or 4 MiB, above the most of the first half.
"""
import gzip
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

EVERY = 5  # seconds, between the beginnings of two rounds
PATHS = ["/debug/pprof/block", "/debug/pprof/goroutine", "/debug/pprof/mutex",
         "/debug/pprof/contention", "/debug/pprof/threadcreate", "/debug/pprof/delta_block",
         "/debug/pprof/delta_mutex", "/debug/pprof/block?seconds=2",
         "/debug/pprof/goroutine?seconds=2", "/debug/fgprof?seconds=4"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def resident(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def get(port, path):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    c.request("GET", path)
    answer = c.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise OSError(f"{path}: {answer.status} {body!r}")
    return body


def scrape(port, path, wrong):
    try:
        if not gzip.decompress(get(port, path)):
            wrong.append(f"{path}: an empty profile")
    except (OSError, EOFError, http.client.HTTPException) as e:
        wrong.append(f"{path}: {e}")


def scrape_all(port, paths, wrong):
    threads = [threading.Thread(target=scrape, args=(port, path, wrong)) for path in paths]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def wait_until_served(port):
    for _ in range(200):
        try:
            return get(port, "/debug/vars")
        except OSError:
            time.sleep(0.1)
    raise SystemExit("scrapes: the service does not answer")


def run(service, port, seconds, every, paths):
    """The faults, and the service's memory after each round."""
    wrong, sizes, end = [], [], time.monotonic() + seconds
    while time.monotonic() < end and not wrong:
        begun = time.monotonic()
        scrape_all(port, paths, wrong)
        sizes.append(resident(service.pid))
        time.sleep(max(0, begun + every - time.monotonic()))
    return wrong, sizes


def growth(sizes):
    """How much more the second half had at most than the first, without a quarter to begin with."""
    settled = sizes[len(sizes) // 4:]
    half = (len(settled) + 1) // 2
    return max(settled[half:], default=0) - max(settled[:half])


def main(orders, load, seconds, every=EVERY, paths=PATHS):
    """Scrapes these paths at once, again and again. The exit status."""
    api, debug = free_port(), free_port()
    with tempfile.TemporaryDirectory() as dir:
        service = subprocess.Popen([orders, f"127.0.0.1:{api}", f"127.0.0.1:{debug}",
                                    f"{dir}/orders.db"], stderr=subprocess.DEVNULL)
        try:
            wait_until_served(debug)
            customers = subprocess.Popen([load, f"127.0.0.1:{api}", "50", str(seconds + 5)],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wrong, sizes = run(service, debug, seconds, every, paths)
            if customers.wait() != 0:
                wrong.append("the service gave wrong answers meanwhile")
        finally:
            service.terminate()
            service.wait()
    more = growth(sizes)
    print(f"scrapes: {len(sizes)} rounds of {len(paths)}; memory "
          + " ".join(f"{s / 2**20:.1f}" for s in sizes) + " MiB")
    if more > max(max(sizes) / 10, 4 << 20):
        wrong.append(f"memory grew by {more} bytes")
    for text in wrong:
        print(f"scrapes: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
