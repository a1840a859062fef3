# SPDX-License-Identifier: GPL-2.0-only
"""The child's side of asking single functions: does as it is told, in a process that may die of it.

A worker is started as ``python worker.py WHAT FD PATIENCE``: WHAT it loads, FD is the shared memory,
PATIENCE how many seconds of processor time a batch may take (not of wall time, which on a busy machine
says nothing). One request a line on stdin, a JSON list of a word and its arguments; one JSON answer a
line on stdout. Inputs, outputs and the index of the case being run are in memory shared with the parent:
``AT`` first, then ``INPUTS`` and ``OUTPUTS``.

The process that serves is a fork of one that only waits: should kernel code end it, the answer is
``{"died": "died of SIGSEGV", "code": -11}``, and a new fork serves in its place, its masks not yet set.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
from collections.abc import Callable, Sequence
from ctypes import addressof, c_char
from typing import Any, Protocol

from conformance.errors import ConformanceError

__all__ = ["AT", "CELLS", "INPUTS", "OUTPUTS", "SHARED_BYTES", "Functions", "keep_serving"]

CELLS = 1 << 22
"""How many words of input, and as many of output, fit at once."""

AT = 0
INPUTS = 4096
OUTPUTS = INPUTS + 8 * CELLS
SHARED_BYTES = OUTPUTS + 8 * CELLS


class Functions(Protocol):
    """What a worker has loaded. Memory is given by its addresses.

    Behind the index of the case, at ``at``, it may say where code died, for the oracle that knows it.
    """

    def begin(self) -> None:
        """Before all else in the process that is to serve."""

    def entries(self) -> list[list[Any]]:
        """Name, words in and words out besides events of each function, by index."""

    def configure(self, host: Sequence[int]) -> None:
        """Set the masks."""

    def expect(self, names: Sequence[str]) -> None:
        """Count the events so named, each in its byte."""

    def run(self, entry: int, inputs: int, outputs: int, n: int, at: int) -> str:
        """Run an entry on n cases; the last event that nobody expected, or ""."""

    def covered(self) -> list[int]:
        """The offsets of the kernel's functions that ran since this was last asked."""


def keep_serving(load: Callable[[str], Functions]) -> None:
    """Serve as the command line says until stdin ends, however often kernel code ends the serving process."""
    what, fd, patience = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    # Loaded before forking, so that a new fork costs little; no kernel code runs in this process.
    try:
        functions = load(what)
    except ConformanceError as problem:
        print(json.dumps({"refused": str(problem)}), flush=True)
        return
    while True:
        try:
            pid = os.fork()
        except OSError as problem:
            print(json.dumps({"refused": f"No process can be started ({problem.strerror})."}), flush=True)
            return
        if pid == 0:
            try:
                _serve(functions, fd, patience)
            except ConformanceError as problem:
                print(json.dumps({"refused": str(problem)}), flush=True)
            except BrokenPipeError:
                os._exit(0)  # Who asked has ended.
            sys.stdout.flush()
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == 0:
            return
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        if code == -signal.SIGVTALRM:
            how = f"did not come back within {patience:g} s of processor time"
        try:
            print(json.dumps({"died": how, "code": code}), flush=True)
        except BrokenPipeError:
            os._exit(0)


def _serve(functions: Functions, fd: int, patience: float) -> None:
    """Answer requests until stdin ends."""
    shared = mmap.mmap(fd, SHARED_BYTES)
    base = addressof(c_char.from_buffer(shared))
    functions.begin()
    for line in sys.stdin:
        request, *arguments = json.loads(line)
        answer: Any = None
        # Ends the process when it is over; that is told by the one that waits.
        signal.setitimer(signal.ITIMER_VIRTUAL, patience)
        if request == "entries":
            answer = functions.entries()
        elif request == "configure":
            functions.configure(arguments[0])
        elif request == "expect":
            functions.expect(arguments[0])
        elif request == "run":
            entry, n = arguments
            answer = functions.run(entry, base + INPUTS, base + OUTPUTS, n, base + AT)
        elif request == "covered":
            answer = functions.covered()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        print(json.dumps(answer), flush=True)
