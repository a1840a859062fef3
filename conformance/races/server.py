# SPDX-License-Identifier: GPL-2.0-only
"""Worker processes, each with one library, in which kernel code races; idle ones are kept for reuse.

worker.py is what runs in them. What they send is untrusted, see wire_format.py.
"""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

from conformance.oracles.conversing import Broken, Conversation, Ended, Silent, bounds_of, failure_of
from conformance.oracles.coverage import Counters, read_counters
from conformance.oracles.idle import Idle
from conformance.oracles.kvm.deaths import KernelDied, death_of
from conformance.oracles.kvm.interface import Exchange
from conformance.oracles.kvm.race_interface import Shared
from conformance.races import worker
from conformance.races.tasks import Outcome
from conformance.races.wire_format import MalformedOutcome, Request, read_choices, read_outcome
from conformance.sandbox.policy import GIB
from conformance.sandbox.watching import Bounds

__all__ = ["Server", "borrow", "close_idle", "give_back"]

WORKER = Path(worker.__file__)

_MEMORY = 6 * GIB
"""Bytes of address space of a worker: guest memory, shared memory of the same size, and the explorer."""
_NOT_AN_ANSWER = "wrote what is not an answer"


class Server:
    """A worker process, which performs one task at a time. Raises Lacking if it cannot be started."""

    def __init__(self, library: Path) -> None:
        self.key = library
        self._library = library
        size = ctypes.sizeof(Exchange) + ctypes.sizeof(Shared)
        read = [library, library.with_name("symbols")]
        self._conversation = Conversation(WORKER, [str(library)], size=size, read=read, memory=_MEMORY)
        self._exchange = Exchange.from_buffer(self._conversation.memory)
        self._shared = Shared.from_buffer(self._conversation.memory, ctypes.sizeof(Exchange))

    def perform(self, request: Request) -> Outcome:
        """Have a task performed. Raises KernelDied if kernel code ends or hangs the worker, and Lacking."""
        self._clear()
        self._conversation.begin(request.written())
        bounds = bounds_of(request.patience)
        outcome: Outcome | None = None
        try:
            outcome = self._receive(request, bounds)
            # Nothing may follow the outcome.
            self._conversation.hear(bounds)
            raise self._conversation.broken(_NOT_AN_ANSWER)
        except Ended as ended:
            if outcome is not None and not ended.code:
                return outcome
            raise death_of(self._exchange, self._library, request.patience, ended.code) from None
        except (Broken, Silent) as problem:
            raise KernelDied(*failure_of(problem)) from None

    def choices(self, threads: int) -> tuple[int, ...]:
        """The threads of the last schedule, in order; empty if the shared memory holds no valid schedule."""
        return read_choices(self._shared.choices[: self._shared.nr_choices], threads)

    def coverage(self) -> Counters:
        """What the schedules of the last task executed, in a library that counts it; see build_kvm().

        Raises KernelDied if it cannot be read.
        """
        start = Exchange.words.offset
        (size,) = struct.unpack_from("=Q", self._conversation.memory, start)
        dump = self._conversation.memory[start + 8 : start + min(8 + size, Exchange.words.size)]
        try:
            return read_counters(dump, self._library)
        except ValueError:
            raise KernelDied("broke off: its counters cannot be read") from None

    def _receive(self, request: Request, bounds: Bounds) -> Outcome:
        """The outcome, after any number of heartbeats."""
        started = 0
        while type(heard := self._conversation.hear(bounds)) is int and heard > started:
            started = heard
        try:
            return read_outcome(heard, request)
        except MalformedOutcome:
            raise self._conversation.broken(_NOT_AN_ANSWER) from None

    def _clear(self) -> None:
        """Clear the shared memory before a task."""
        ctypes.memset(ctypes.addressof(self._exchange), 0, Exchange.words.offset)
        self._exchange.raw.asked = 0
        ctypes.memset(ctypes.addressof(self._shared), 0, ctypes.sizeof(Shared))

    @property
    def usable(self) -> bool:
        """Whether the worker can perform another task."""
        return not self._conversation.gone and not self._conversation.alive

    def close(self) -> None:
        """End the worker process."""
        self._conversation.close()


def borrow(library: Path) -> Server:
    """An idle server for ``library``, or a new one. Raises Lacking if it cannot be started."""
    return _idle.take(library) or Server(library)


def give_back(server: Server) -> None:
    """Keep a server for reuse, if it is usable."""
    _idle.put(server)


def close_idle() -> None:
    """End the idle servers."""
    _idle.close()


_idle: Idle[Server] = Idle(2)
"""Two: for the kernel as it is, and for a historic variant."""
