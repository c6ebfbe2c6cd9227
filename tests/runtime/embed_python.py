#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""embed_python.py LIBWEFT.SO - Python starts runs beside its interpreter: its callbacks become tasks,
its threads use channels, and the library survives being closed and loaded again."""
import _ctypes
import ctypes
import sys
import threading

TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
MAIN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


def load(path):
    lib = ctypes.CDLL(path)
    lib.weft_chan_new.restype = ctypes.c_void_p
    lib.weft_chan_new.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    for name in ("weft_chan_send_until", "weft_chan_recv_until"):
        getattr(lib, name).argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    lib.weft_chan_close.argtypes = lib.weft_chan_free.argtypes = [ctypes.c_void_p]
    lib.weft_go.argtypes = [TASK, ctypes.c_void_p]
    lib.weft_call.argtypes = [MAIN, ctypes.c_void_p]
    return lib


FOREVER = 2**63 - 1


class Options(ctypes.Structure):
    """weft_run_options. Python keeps a state for each OS thread, so a task that runs Python must stay
    on its thread: without hand-off, and pinned before its first wait."""
    _fields_ = [("procs", ctypes.c_int), ("no_handoff", ctypes.c_bool), ("no_signals", ctypes.c_bool),
                ("stack_size", ctypes.c_size_t), ("max_hogs", ctypes.c_int), ("max_threads", ctypes.c_int),
                ("keep_file_limit", ctypes.c_bool), ("flight", ctypes.c_char_p), ("flight_mb", ctypes.c_int),
                ("flight_signal", ctypes.c_int), ("flight_stall", ctypes.c_int64)]


OPTIONS = Options(no_handoff=True, stack_size=1 << 20)


def use(lib):
    """A callback sums up what threads of Python send."""
    c = lib.weft_chan_new(8, 0)
    got = []

    @MAIN
    def receive(_):
        lib.weft_pin()
        room = ctypes.c_int64()
        while lib.weft_chan_recv_until(c, ctypes.byref(room), FOREVER) == 0:
            got.append(room.value)
        return len(got)

    def send():
        lib.weft_attach()
        for i in range(50):
            lib.weft_chan_send_until(c, ctypes.byref(ctypes.c_int64(i)), FOREVER)
        lib.weft_detach()

    assert lib.weft_start(ctypes.byref(OPTIONS)) == 0
    threads = [threading.Thread(target=send) for _ in range(4)]
    for t in threads:
        t.start()
    closer = threading.Thread(target=lambda: ([t.join() for t in threads], lib.weft_chan_close(c)))
    closer.start()
    assert lib.weft_call(receive, None) == 200, got
    closer.join()
    assert sum(got) == 4 * sum(range(50)), got

    done = threading.Event()
    task = TASK(lambda _: done.set())
    lib.weft_go(task, None)
    assert done.wait(60)
    lib.weft_stop()
    lib.weft_chan_free(c)


def main():
    for _ in range(3):
        lib = load(sys.argv[1])
        use(lib)
        use(lib)
        _ctypes.dlclose(lib._handle)
    print("ok: callbacks are tasks, and threads send to them")


main()
