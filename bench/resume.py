# SPDX-License-Identifier: MIT
"""resume.py - the instructions that a wait takes longer because profiles exist, while all are off.

callgrind counts the instructions of weft__park in two programs, with and without the line that
reports a wait's end (bench.cmake makes the program without it). The difference needs no clock and
is the same in each run."""
import functools
import os
import subprocess
import tempfile

from rows import environment

PATIENCE = 300  # seconds
FUNCTION = "weft__park"


def extent(program):
    """The addresses of FUNCTION in the program's file."""
    text = subprocess.run(["nm", "-S", program], check=True, text=True, stdout=subprocess.PIPE)
    for words in map(str.split, text.stdout.splitlines()):
        if words[-1] == FUNCTION and len(words) == 4:
            start = int(words[0], 16)
            return range(start, start + int(words[1], 16))
    raise OSError(f"{program} has no {FUNCTION}")


def count(out, program, addresses):
    """How often these instructions of the program were executed, and the first of them."""
    executed, entered, ours, is_call = 0, 0, False, False
    for line in out:
        if line.startswith("ob="):
            ours = line.rstrip().endswith("/" + os.path.basename(program))
        elif line.startswith("calls="):
            is_call = True  # the next line has what the callee executed
        elif line.startswith("0x"):
            address, _, n = line.split()
            if ours and not is_call and int(address, 16) in addresses:
                executed += int(n)
                entered += int(n) if int(address, 16) == addresses.start else 0
            is_call = False
    return executed, entered


def per_wait(program, case):
    with tempfile.NamedTemporaryFile("r") as out:
        subprocess.run(["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out.name}",
                        "--dump-instr=yes", "--compress-pos=no", "--compress-strings=no",
                        program, case], env=environment("weft off", 1), timeout=PATIENCE,
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        executed, waits = count(out, program, extent(program))
    if not waits:
        raise OSError(f"{program} never waited")
    return executed / waits


@functools.cache
def run(program):
    """The results of one run: {name: (value, unit)}."""
    case = "waits_resume"
    more = per_wait(program, case) - per_wait(f"{program}_unwatched", case)
    if more < 0.5:
        raise OSError(f"{program}_unwatched takes no less: is the line still in it?")
    return {"resume": (round(more, 2), "instr.")}
