# SPDX-License-Identifier: GPL-2.0-only
"""The child side of calling single functions: it loads them, runs them, and answers.

Requests are a word and its arguments. The first answer, to no request, says which functions there are, or
``{"refused": why}`` if the system does not let them run; see supervising.py for how they travel. Inputs,
outputs and the index of the case that runs are in shared memory: ``AT`` first, then ``INPUTS`` and
``OUTPUTS``.

A request may take some seconds of processor time, not of wall time, which says nothing on a busy machine:
SIGVTALRM ends the process.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from ctypes import addressof, c_char
from typing import Any, NoReturn, Protocol

from conformance.errors import ConformanceError
from conformance.oracles.supervising import Channel, supervise

__all__ = ["AT", "CELLS", "INPUTS", "OUTPUTS", "SHARED_BYTES", "Functions", "keep_serving"]

CELLS = 1 << 22
"""Words of input, and of output, that fit at once."""

AT = 0
INPUTS = 4096
OUTPUTS = INPUTS + 8 * CELLS
SHARED_BYTES = OUTPUTS + 8 * CELLS


class Functions(Protocol):
    """What a worker loads. Memory is given by its addresses.

    Behind the index of the case, at ``at``, it may say where code died, for the oracle that knows it.
    """

    def load(self, *more: Any) -> None:
        """Load the code, in the process that is to serve. ConformanceError if the system does not let it."""

    def entries(self) -> list[list[Any]]:
        """Name, words in and words out besides events of each function, by index."""

    def configure(self, host: Sequence[int]) -> None:
        """Set the masks."""

    def expect(self, names: Sequence[str]) -> None:
        """Count the events so named, each in its byte."""

    def run(self, entry: int, inputs: int, outputs: int, n: int, at: int) -> str:
        """Run an entry on n cases; the last unexpected event, or ""."""

    def coverage(self, to: int, size: int) -> int:
        """Write the execution counters to an address; their size, 0 if there are none."""


def keep_serving(prepare: Callable[[str], Functions]) -> NoReturn:
    """Serve as the command line says, however often kernel code ends the serving process.

    ``prepare`` makes functions that are not loaded yet, from the first argument of the worker's own.
    """
    functions = prepare(sys.argv[6])
    supervise(lambda channel, words: _serve(functions, channel, *words))


def _serve(functions: Functions, channel: Channel, patience: float, *more: Any) -> None:
    """Answer requests until there are no more."""
    base = addressof(c_char.from_buffer(channel.memory))
    signal.setitimer(signal.ITIMER_VIRTUAL, patience)
    try:
        functions.load(*more)
    except ConformanceError as problem:
        channel.answer({"refused": str(problem)})
        return
    for request, *arguments in _after(channel, functions.entries()):
        answer: Any = None
        signal.setitimer(signal.ITIMER_VIRTUAL, patience)
        if request == "configure":
            functions.configure(arguments[0])
        elif request == "expect":
            functions.expect(arguments[0])
        elif request == "run":
            entry, n = arguments
            answer = functions.run(entry, base + INPUTS, base + OUTPUTS, n, base + AT)
        elif request == "coverage":
            answer = functions.coverage(base + OUTPUTS, 8 * CELLS)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        channel.answer(answer)


def _after(channel: Channel, first: Any) -> Iterator[list[Any]]:
    """The requests, after the first answer, which says what there is."""
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    channel.answer(first)
    yield from channel.asked()
