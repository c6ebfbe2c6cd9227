#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trace_pages.py TOOL FILE - asks the server of a go tool trace for its pages of a trace. Each is
there; the graphs of the profiles, which need graphviz, are not empty; the slices and arrows of each
timeline lie on rows of processors, or of threads, that have names. (A thread that only has samples
gets no name from the tool, nor do wake-ups by the network where the older format tells no thread.)
"""
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request

LISTS = ("/", "/goroutines", "/usertasks", "/userregions", "/mmu")
GRAPHS = ("/io", "/block", "/syscall", "/sched")
ROWS = 0  # the section of processors or of threads in the timeline's data


def start(tool, path):
    """Starts the tool's server. Returns its process and its address; None if it has ended."""
    server = subprocess.Popen([tool, "-http=127.0.0.1:0", path], stderr=subprocess.PIPE, text=True,
                              env=dict(os.environ, BROWSER="true"))
    for line in server.stderr:
        address = re.search(r"http://\S+", line)
        if address:
            return server, address[0].rstrip("/")
    server.wait()
    return None, None


def get(address, page):
    with urllib.request.urlopen(address + page, timeout=60) as answer:
        return answer.read().decode()


def links(text, page):
    """Returns the pages of single tasks or regions that a list leads to."""
    return [link.replace("&amp;", "&") for link in re.findall(r'href="(/%s\?[^"]*)"' % page, text)]


def check_timeline(address, page):
    """Returns what is wrong with the rows of a timeline."""
    events = json.loads(get(address, page))["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events
             if e["ph"] == "M" and e["name"] == "thread_name" and e.get("pid", 0) == ROWS}
    used = {e.get("tid", 0): e for e in events if e["ph"] in "XIst" and e.get("pid", 0) == ROWS}
    return [f"{page}: {used[row]['name']!r} on row {row}, which has no name"
            for row in sorted(set(used) - set(names)) if used[row]["name"] != "CPU profile sample"]


def check_pages(address, knows_threads):
    wrong = []
    for page in LISTS:
        text = get(address, page)
        for kind in ("goroutine", "usertask", "userregion"):
            for link in links(text, kind)[:3]:
                get(address, link)
    for page in GRAPHS if shutil.which("dot") else ():
        if "<svg" not in get(address, page):
            wrong.append(f"{page}: no graph")
    wrong += check_timeline(address, "/jsontrace")
    by_thread = check_timeline(address, "/jsontrace?view=thread")
    return wrong + (by_thread if knows_threads else [])


def check(tool, path):
    """Returns what is wrong with the pages of a trace."""
    server, address = start(tool, path)
    if not server:
        return ["no page at all"]
    try:
        with open(path, "rb") as file:
            knows_threads = file.read(13) != b"go 1.19 trace"
        return check_pages(address, knows_threads)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return [f"a page ends too early: {error}"]
    finally:
        server.terminate()
        server.stderr.close()
        server.wait()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    problems = check(*sys.argv[1:])
    print(*problems, sep="\n", end="\n" if problems else "")
    sys.exit(1 if problems else 0)
