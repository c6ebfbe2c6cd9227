# SPDX-License-Identifier: MIT
"""rows.py - the measures and their targets: groups of lines, each judged by itself."""
import os
from dataclasses import dataclass

ALL_SIDES = ("go", "nginx", "weft")
RATES = dict.fromkeys(("off", "cpu", "heap", "unheaped", "recorder", "trace"), "0") | {"all": "1"}
# in ns; no other word sets any
RECORDS = "/dev/shm/weft-bench-"  # the flight recorder's files begin so


def environment(side, procs):
    """The environment of a side's program. A side is a name, perhaps with rates: "weft off"."""
    rate = RATES.get(side.partition(" ")[2])
    rates = {f"BENCH_{profile}_RATE": rate for profile in ("BLOCK", "MUTEX") if rate}
    for word in ("cpu", "heap", "trace"):
        if side.endswith(f" {word}"):
            rates[f"BENCH_{word.upper()}"] = "1"
    if side.endswith(" recorder"):
        rates["WEFT_FLIGHT"] = RECORDS + "%p"
    return dict(os.environ, GOMAXPROCS=str(procs), WEFT_PROCS=str(procs), **rates)


def program_of(side, programs):
    """The program of a side. That of a side "unheaped" is built without the component weft_heap."""
    name, _, rates = side.partition(" ")
    return programs[name] + ("_unheaped" if rates == "unheaped" else "")


@dataclass
class Line:
    """One measure at one number of processors. It is met when weft's figure is at most `of_go`
    times Go's, at most `of_nginx` times nginx's, at most `of_uv` times that of a program on libuv,
    and at most `limit`, as far as these are given.
    `minus` is subtracted from weft's figure, run by run."""
    row: str
    case: str
    metric: str
    procs: int
    of_go: float = 0
    of_nginx: float = 0
    of_uv: float = 0
    limit: float = 0
    minus: str = ""
    must: bool = False
    sides: tuple = ("go", "weft")

    def bounds(self):
        """(side, factor) for each peer: weft's figure may be that many times the peer's."""
        of = {"go": self.of_go, "nginx": self.of_nginx, "uv": self.of_uv}
        return [(side, times) for side, times in of.items() if times]

    def target(self):
        if self.limit:
            return f"at most {self.limit:g}" + (f" over {self.minus}" if self.minus else "")
        if 0 < self.of_go < 1 and not self.of_nginx:
            return f"{1 / self.of_go:.3g}x faster"
        names = {"go": "Go", "nginx": "nginx", "uv": "libuv"}
        return "at most " + ", ".join(f"{times:g} of {names[side]}"
                                      for side, times in self.bounds())


@dataclass
class Pair:
    """One measure at one number of processors, with profiles on beside off. It is met when the
    median of on / off is at most `at_most`, or with `or_none` when their difference may be noise;
    and with `of_go` when what they add is at most so many times what Go's add. With `adds` what they
    add to each of the unit's `events` is at most so much instead. Results in `holds` are the shares that the profiles have of waits whose length is known."""
    row: str
    case: str
    procs: int
    rates: str
    unit: str = "ns"
    at_most: float = 0
    or_none: bool = False
    of_go: float = 0
    adds: float = 0
    events: int = 1
    holds: tuple = ("held",)
    off: str = "off"  # the other side's rates

    @property
    def sides(self):
        weft = (f"weft {self.off}", f"weft {self.rates}")
        return weft + ("go off", "go " + self.rates) if self.of_go else weft[::-1]

    def target(self):
        if self.of_go:
            return f"adds at most {self.of_go:g} of Go's"
        if self.adds:
            return f"adds at most {self.adds:g} to an event ({self.events} each)"
        return ("none, or " if self.or_none else "") + f"at most {self.at_most:g}"


@dataclass
class Group:
    """Rows that are judged together: so many may miss, and by so much."""
    title: str
    lines: list
    may_miss: int
    miss_at_most: float


def faster(row, case, times, procs=(1, 2)):
    return [Line(row, case, case, p, of_go=1 / times) for p in procs]


def late(row, case, p99, worst):
    return [Line(row, case, case + suffix, p, limit=limit)
            for p in (1, 2) for suffix, limit in (("_p99", p99), ("_worst", worst))]


RUNTIME = Group("runtime", [
    *faster("yield, 2 tasks", "yield2", 4, [1]),
    *faster("yield, 100,000 tasks", "yield100k", 4, [1]),
    *faster("spawn + finish, batch of 1000", "spawn_batch1000", 3),
    *faster("unbuffered round trip", "unbuffered_roundtrip", 3),
    *faster("buffered(128) per item", "buffered128", 1.5),
    *faster("select of 4", "select4", 2.5),
    Line("lock+unlock uncontended", "lock_uncontended", "lock_uncontended", 1, of_go=1.1),
    *faster("lock held over a yield, 1000 tasks", "lock_over_yield1000", 2),
    Line("1M parked: bytes each", "park1m", "park1m_bytes", 1, limit=4600, must=True),
    Line("1M parked: create / release", "park1m", "park1m_create", 1, of_go=1),
    Line("1M parked: create / release", "park1m", "park1m_release", 1, of_go=1),
    Line("1M timers of 1-2 s", "timers1m", "timers1m_cpu", 1, of_go=0.8),
    Line("1M timers of 1-2 s", "timers1m", "timers1m_late_p50", 1, of_go=1),
    *late("1 ms ticker beside endless hogs", "ticker_hogs", 6, 30),
    *late("1 ms ticker beside 1000 hogs of 20 ms", "ticker_hogs1000", 12, 40),
    *late("1 ms ticker beside 1000 blocking calls", "ticker_blocked1000", 5, 25),
    Line("short declared call", "short_call", "short_call", 1, limit=1000),
    Line("accept storm: longest gap of a 1 ms ticker", "accept_storm", "accept_storm_gap", 1,
         limit=20),
    Line("dump to a file: wall", "dump10k", "dump10k_wall", 2, of_go=0.1),
    Line("dump to a file: wall", "dump100k", "dump100k_wall", 2, of_go=0.1),
    Line("dump beside 100,000 timer tasks, to a dump of them at rest", "dump_busy100k",
         "dump_busy100k_ratio", 2, limit=5, sides=("weft",)),
    Line("dump: longest gap of a 1 ms ticker", "dump10k", "dump10k_gap", 2, limit=2,
         minus="dump10k_bare", must=True),
    Line("dump: longest gap of a 1 ms ticker", "dump100k", "dump100k_gap", 2, limit=2,
         minus="dump100k_bare", must=True),
    *[Line(f"weft_fd_wait(WEFT_NOW), {state}: of poll(2)", "fd_wait", f"fd_wait_{state}_of_poll", 1,
           limit=2, sides=("weft",)) for state in ("empty", "ready")],
    *[Line("hello, from start to end", "start", "start_" + what, 2, of_uv=times,
           sides=("uv", "weft")) for what, times in (("time", 8), ("cpu", 5), ("memory", 3))],
    *[Line("library, stripped", "start", library, 2, limit=kib, sides=("weft",))
      for library, kib in (("libweft.so", 1024), ("libweft.a", 2048))],
    Line("walk, 1M distinct stacks", "walk1m", "walk1m", 1, limit=0.3, sides=("weft",)),
], may_miss=3, miss_at_most=1.5)

HTTP = Group("http", [
    *[Line("hello, keep-alive, wrk -c64: server CPU of 100k", "hello", "hello_cpu", p,
           of_go=0.55, of_nginx=1.05, sides=ALL_SIDES) for p in (1, 2)],
    *[Line("the same: p99 latency", "hello", "hello_p99", p, of_go=1, sides=ALL_SIDES)
      for p in (1, 2)],
    Line("9000 idle connections: bytes each", "idle", "idle_bytes", 2, limit=9216),
    Line("debug=2 over HTTP, 100,000 tasks", "debug2", "debug2_wall", 2, of_go=0.1),
    Line("debug=2 over HTTP, 100,000 tasks", "debug2", "debug2_gap", 2, limit=2,
         minus="debug2_bare"),
], may_miss=1, miss_at_most=1.2)


def costs(row, case, procs=(1, 2), **more):
    return [Pair(row, case, p, "default", at_most=1.02, **more) for p in procs]


def adds(row, case, procs=(1, 2), **more):
    return [Pair(row, case, p, "all", of_go=0.5, **more) for p in procs]


CPU = Group("cpu", [
    *[Pair(row, case, p, "cpu", at_most=1.015, **more)
      for row, case, more in (
          ("compute, a round", "cpu_compute", {}),
          ("unbuffered channel, a wait", "waits_roundtrip", {}),
          ("hello, wrk -c64: server CPU of one", "waits_hello", {"unit": "us"}))
      for p in (1, 2)],
    Line("one sample in the handler, 20 frames, ns", "cpu_sample", "cpu_sample", 1, limit=1500,
         sides=("weft",)),
    *[Line("first debug=2 of the orders service after its start", "first_dump", "first_dump", p,
           limit=50, sides=("weft",)) for p in (1, 2)],
], may_miss=0, miss_at_most=1)

HEAP = Group("heap", [
    Line("free and malloc with the heap profile on", "heap_pair", "heap_on", 1, limit=3,
         sides=("weft",)),
    Line("free and malloc with the heap profile off", "heap_pair", "heap_off", 1, limit=2,
         sides=("weft",)),
    *[Pair(row, case, p, "heap", unit="us", at_most=1.01, off="unheaped", **more)
      for row, case, more in (
          ("hello, wrk -c64: server CPU of one", "waits_hello", {}),
          ("orders in SQLite: server CPU of a request", "orders", {"holds": ()}))
      for p in (1, 2)],
    Line("orders in SQLite: instructions of a request, to those without weft_heap", "orders_instr",
         "orders_instr_ratio", 1, limit=1.01, sides=("weft",)),
], may_miss=0, miss_at_most=1)

# A wait is three events: the park, the wake-up and the run.
TRACE = Group("trace", [
    *[Pair("flight recorder: unbuffered channel, a wait", "waits_roundtrip", p, "recorder", adds=30,
           events=3, holds=()) for p in (1, 2)],
    *[Pair("flight recorder: hello, wrk -c64: server CPU of one", "steady_hello", p, "recorder",
           unit="us", at_most=1.05, holds=()) for p in (1, 2)],
    *[Pair(f"trace on: {row}", case, p, "trace", of_go=0.5, holds=())
      for row, case in (("unbuffered channel, a wait", "waits_roundtrip"),
                        ("lock held over a yield, 1000 tasks", "waits_lock"))
      for p in (1, 2)],
    *[Pair("trace on: hello, wrk -c64: server CPU of one", "steady_hello", p, "trace", unit="us",
           at_most=1.1, holds=()) for p in (1, 2)],
    Line("bytes of an event, Go's format of 1.23", "trace_bytes", "trace_bytes", 1, limit=8,
         sides=("weft",)),
    Line("start of a trace of 1M tasks: longest gap of a 1 ms ticker", "trace_start1m",
         "trace_start1m_gap", 2, limit=2, minus="trace_start1m_bare", sides=("weft",)),
], may_miss=0, miss_at_most=1)

BOTH = ("held", "charged")
CONTENTION = Group("contention", [
    *costs("unbuffered channel, a wait", "waits_roundtrip"),
    *costs("buffered(128), an item", "waits_buffered128"),
    *costs("lock held over a yield, 1000 tasks", "waits_lock", holds=BOTH),
    *costs("hello, wrk -c64: server CPU of one", "waits_hello", unit="us"),
    *adds("unbuffered channel, each wait kept", "waits_roundtrip"),
    *adds("lock over a yield, each wait kept", "waits_lock", holds=BOTH),
    Pair("buffered(128) that never waits, an item", "waits_none", 1, "all", at_most=1.01,
         or_none=True, holds=()),
    Line("a wait that is kept at 4,000 distinct stacks, to one at 10", "waits_kept",
         "waits_kept_ratio", 1, limit=2, sides=("weft",)),
    Line("instructions of the resume path, all off", "resume", "resume", 1, limit=3,
         sides=("weft",)),
    *[line for case, waits in (("scrape10k", "over"), ("scrape10k_live", "not over"))
      for line in (
          Line(f"scrape of 10,000 stacks, waits {waits}", case, case + "_wall", 2, limit=30,
               sides=("weft",)),
          Line(f"scrape of 10,000 stacks, waits {waits}", case, case + "_gap", 2, limit=2,
               minus=case + "_bare", sides=("weft",)))],
], may_miss=0, miss_at_most=1)
