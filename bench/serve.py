# SPDX-License-Identifier: MIT
"""serve.py - the cases that need a server: starts it on loopback, asks, measures, ends it.

Servers run in process groups of their own. So /proc has the CPU time of all processes of a server,
as of nginx's workers, and a server that does not end when asked is killed as a group."""
import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import tempfile
import time

from rows import environment

CONNECTIONS, WARM_SECONDS, SECONDS = 64, 1, 3
IDLE = 9000
PARKED = 100000
PATIENCE = 60  # seconds for one request or one start

NGINX_CONF = """\
daemon off;
user {user};
worker_processes {workers};
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
    default_type "text/plain; charset=utf-8";
    server {{
        listen {address};
        location /hello {{ return 200 "hello, world\\n"; }}
    }}
}}
"""


# ---- servers ----

@contextlib.contextmanager
def process(command, **options):
    child = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@contextlib.contextmanager
def program(side, path, case, procs):
    """A server of bench or peer: its process and address."""
    env = environment(side, procs)
    with process([path, case], env=env, stdout=subprocess.PIPE, text=True) as child:
        address = child.stdout.readline().strip()
        if not address:
            raise OSError(f"{path} {case} does not listen")
        yield child, address


def unused_address():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return "%s:%d" % s.getsockname()


def await_listener(address, child):
    end = time.monotonic() + PATIENCE
    while child.poll() is None and time.monotonic() < end:
        with contextlib.suppress(ConnectionRefusedError):
            connect(address).close()
            return
        time.sleep(0.01)
    raise OSError(f"nothing listens at {address}")


@contextlib.contextmanager
def nginx(path, procs):
    with tempfile.TemporaryDirectory() as folder:
        address, user = unused_address(), subprocess.getoutput("id -un")
        with open(f"{folder}/nginx.conf", "w") as conf:
            conf.write(NGINX_CONF.format(user=user, workers=procs, address=address))
        with process([path, "-p", folder, "-c", "nginx.conf", "-e", "stderr"]) as child:
            await_listener(address, child)
            yield child, address


def server(side, path, case, procs):
    return nginx(path, procs) if side == "nginx" else program(side, path, case, procs)


# ---- what a server used ----

def cpu_seconds(group):
    """User and system time of a process group."""
    ticks = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()  # from the state on
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pid):
    """Bytes resident and of page tables."""
    with open(f"/proc/{pid}/status") as status:
        return sum(int(line.split()[1]) * 1024 for line in status
                   if line.startswith(("VmRSS:", "VmPTE:")))


# ---- clients ----

def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), PATIENCE)


def ask(address, sock):
    """One request on a connection that stays open."""
    sock.sendall(f"GET /hello HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"hello, world\n"):
        more = sock.recv(4096)
        if not more:
            raise OSError(f"no hello but {answer!r}")
        answer += more


def curl(address, path, *options):
    command = ["curl", "-sSf", "--max-time", str(PATIENCE), *options, f"http://{address}{path}"]
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True).stdout


def wrk(address, seconds):
    """Requests answered, and their latencies' 99th percentile in ms."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency",
               f"http://{address}/hello"]
    text = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True,
                          timeout=PATIENCE).stdout
    requests = re.search(r"(\d+) requests in", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", text)
    if not requests or not p99 or "Non-2xx" in text or "Socket errors" in text:
        raise OSError(f"wrk: {text}")
    return int(requests[1]), float(p99[1]) * {"us": 1e-3, "ms": 1, "s": 1e3}[p99[2]]


# ---- cases ----

def results(text):
    """{name: (value, unit)} of "name value unit" lines."""
    return {name: (float(value), unit)
            for name, value, unit in (line.split() for line in text.splitlines())}


def hello(side, path, procs):
    with server(side, path, "serve_hello", procs) as (child, address):
        wrk(address, WARM_SECONDS)
        before = cpu_seconds(child.pid)
        requests, p99 = wrk(address, SECONDS)
        used = cpu_seconds(child.pid) - before
    return {"hello_cpu": (used / requests * 1e5, "s"), "hello_p99": (p99, "ms"),
            "hello_rate": (requests / SECONDS, "/s")}


def waits_hello(side, path, procs):
    """A second is enough: both sides of a pair have the cost of its beginning."""
    with server(side, path, "serve_hello", procs) as (child, address):
        requests, _ = wrk(address, 1)
        result = {"waits_hello": (cpu_seconds(child.pid) / requests * 1e6, "us")}
        if side not in ("weft off", "weft unheaped"):
            result.update(results(curl(address, "/held")))
    return result


def steady_hello(side, path, procs):
    """Without the cost of the beginning: a recorder's file is allocated there."""
    seconds, _ = hello(side, path, procs)["hello_cpu"]
    return {"steady_hello": (seconds * 10, "us")}


def idle(side, path, procs):
    with server(side, path, "serve_hello", procs) as (child, address), \
            contextlib.ExitStack() as sockets:
        ask(address, sockets.enter_context(connect(address)))
        before = memory(child.pid)
        for _ in range(IDLE):
            ask(address, sockets.enter_context(connect(address)))
        grown = memory(child.pid) - before
    return {"idle_bytes": (grown / IDLE, "B")}


def debug2(side, path, procs):
    with server(side, path, "serve_parked100k", procs) as (_, address), \
            tempfile.NamedTemporaryFile() as dump:
        curl(address, "/gap/start")
        wall = curl(address, "/debug/pprof/goroutine?debug=2", "-o", dump.name, "-w",
                    "%{time_total}")
        gaps = results(curl(address, "/gap/stop"))
        told = dump.read().count(b"\n\ngoroutine ")
        if side == "weft" and told < PARKED:
            raise OSError(f"the dump has {told} tasks")
    return {"debug2_wall": (float(wall), "s"), "debug2_told": (told, "tasks"), **gaps}


@contextlib.contextmanager
def orders(side, path, procs):
    """The orders service, which is built beside bench: its process, and its two addresses."""
    service = os.path.join(os.path.dirname(path), os.path.basename(path).replace("bench", "weft_orders"))
    api, debug = unused_address(), unused_address()
    with tempfile.TemporaryDirectory() as folder, \
            process([service, api, debug, f"{folder}/orders.db"], env=environment(side, procs),
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        await_listener(debug, child)
        yield child, api, debug


def first_dump(side, path, procs):
    with orders(side, path, procs) as (_, _, debug), tempfile.NamedTemporaryFile() as dump:
        wall = curl(debug, "/debug/pprof/goroutine?debug=2", "-o", dump.name, "-w", "%{time_total}")
        if dump.read().count(b"goroutine ") < 5:
            raise OSError("the dump has not the service's tasks")
    return {"first_dump": (float(wall) * 1000, "ms")}


def orders_load(side, path, procs):
    """The customers' requests store orders, and read them, in SQLite."""
    load = os.path.join(os.path.dirname(path), "weft_load")

    def requests(seconds):
        text = subprocess.run([load, api, "50", str(seconds)], text=True, stdout=subprocess.PIPE,
                              check=True, stderr=subprocess.DEVNULL, timeout=PATIENCE).stdout
        return int(text.split()[0])

    with orders(side, path, procs) as (child, api, _):
        requests(WARM_SECONDS)
        before = cpu_seconds(child.pid)
        n = requests(2)
        used = cpu_seconds(child.pid) - before
    return {"orders": (used / n * 1e6, "us")}


CASES = {"hello": hello, "steady_hello": steady_hello, "waits_hello": waits_hello, "idle": idle, "debug2": debug2,
         "first_dump": first_dump, "orders": orders_load}


def run(side, path, case, procs):
    """The results of one run: {name: (value, unit)}. OSError or SubprocessError if it fails."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return CASES[case](side, path, procs)
