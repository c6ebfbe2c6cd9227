# SPDX-License-Identifier: MIT
"""counted.py - the instructions of a request to the orders service, with the heap profile on, to those
of the service without the component weft_heap.

The service's CPU time differs by a tenth from run to run, so it takes very many runs to see a
hundredth of it. callgrind's count differs by some thousandths. One client asks one question after
another. The count of a short run is subtracted from that of a long one, so the service's start is left out."""
import functools
import http.client
import os
import subprocess
import tempfile

from rows import environment
from serve import await_listener, process, unused_address

SHORT, LONG = 400, 2400  # requests
PATIENCE = 300  # seconds
ITEMS = ("tea", "cofee", "bread", "buter", "jam")


def request(i):
    """Of four requests one stores an order, two read one, and one lists a customer's."""
    customer = f"c{i // 4 % 50}"
    if i % 4 == 0:
        item = ITEMS[i // 4 % len(ITEMS)]
        return "POST", "/orders", f'{{"customer":"{customer}","item":"{item}","quantity":2}}'
    if i % 4 == 3:
        return "GET", f"/orders?customer={customer}", None
    return "GET", f"/orders/{1 + i * 7 % (i // 4 + 1)}", None


def ask(address, n):
    link = http.client.HTTPConnection(address, timeout=PATIENCE)
    for i in range(n):
        link.request(*request(i))
        answer = link.getresponse()
        answer.read()
        if answer.status not in (200, 201):
            raise OSError(f"{request(i)} is answered by {answer.status}")
    link.close()


def count(service, n):
    """The instructions of the service, from its start to its end, with n requests."""
    api, debug = unused_address(), unused_address()
    with tempfile.TemporaryDirectory() as folder:
        tool = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        with process([*tool, service, api, debug, f"{folder}/orders.db"], stderr=subprocess.DEVNULL,
                     env=environment("weft", 1)) as child:
            await_listener(api, child)
            ask(api, n)
            child.terminate()
            child.wait(PATIENCE)
        with open(f"{folder}/out") as out:
            return next(int(line.split()[1]) for line in out if line.startswith("summary:"))


def of_request(service):
    return (count(service, LONG) - count(service, SHORT)) / (LONG - SHORT)


@functools.cache
def run(program):
    """The results of one run: {name: (value, unit)}."""
    service = os.path.join(os.path.dirname(program), "weft_orders")
    on, without = of_request(service), of_request(f"{service}_unheaped")
    return {"orders_instr": (round(on), "instr."), "orders_instr_ratio": (round(on / without, 4), "x")}
