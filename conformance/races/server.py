# SPDX-License-Identifier: GPL-2.0-only
"""Servers, each for one library, in which kernel code races; kept for reuse.

The other end is worker.py. Nothing that comes from there is trusted, see wire.py.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

from conformance.oracles.conversing import Broken, Conversation, Ended, Silent, bounds_of, failure_of
from conformance.oracles.idle import Idle
from conformance.oracles.kvm.deaths import KernelDied, death_of
from conformance.oracles.kvm.interface import Exchange
from conformance.oracles.kvm.race_interface import Shared
from conformance.races import worker
from conformance.races.tasks import Outcome
from conformance.races.wire import NotAnOutcome, Request, read_choices, read_outcome
from conformance.sandbox.policy import GIB
from conformance.sandbox.watching import Bounds

__all__ = ["Server", "borrow", "close_idle", "give_back"]

WORKER = Path(worker.__file__)

_MEMORY = 6 * GIB
"""Bytes of address space: the machine's memory, as much again for what is shared, and the explorer's."""
_NOT_AN_ANSWER = "wrote what is not an answer"


class Server:
    """A conversation about races, of which there is one at a time. Lacking if there can be none."""

    def __init__(self, library: Path) -> None:
        self.key = library
        self._library = library
        size = ctypes.sizeof(Exchange) + ctypes.sizeof(Shared)
        read = [library, library.with_name("symbols")]
        self._conversation = Conversation(WORKER, [str(library)], size=size, read=read, memory=_MEMORY)
        self._exchange = Exchange.from_buffer(self._conversation.memory)
        self._shared = Shared.from_buffer(self._conversation.memory, ctypes.sizeof(Exchange))

    def perform(self, request: Request) -> Outcome:
        """Have a task done. Raises KernelDied if kernel code breaks off, and Lacking."""
        self._clear()
        self._conversation.begin(request.written())
        bounds = bounds_of(request.patience)
        outcome: Outcome | None = None
        try:
            outcome = self._heard(request, bounds)
            # That is the last word.
            self._conversation.hear(bounds)
            raise self._conversation.broken(_NOT_AN_ANSWER)
        except Ended as ended:
            if outcome is not None and not ended.code:
                return outcome
            raise death_of(self._exchange, self._library, request.patience, ended.code) from None
        except (Broken, Silent) as problem:
            raise KernelDied(*failure_of(problem)) from None

    def choices(self, threads: int) -> tuple[int, ...]:
        """The threads that were chosen in the last schedule, in order; none if that cannot be known."""
        return read_choices(self._shared.choices[: self._shared.nr_choices], threads)

    def _heard(self, request: Request, bounds: Bounds) -> Outcome:
        """What is answered, after signs of life."""
        begun = 0
        while type(heard := self._conversation.hear(bounds)) is int and heard > begun:
            begun = heard
        try:
            return read_outcome(heard, request)
        except NotAnOutcome:
            raise self._conversation.broken(_NOT_AN_ANSWER) from None

    def _clear(self) -> None:
        """Forget the last race."""
        ctypes.memset(ctypes.addressof(self._exchange), 0, Exchange.words.offset)
        self._exchange.kept.asked = 0
        ctypes.memset(ctypes.addressof(self._shared), 0, ctypes.sizeof(Shared))

    @property
    def usable(self) -> bool:
        """Whether there can be another race."""
        return not self._conversation.gone and not self._conversation.alive

    def close(self) -> None:
        """End the processes."""
        self._conversation.close()


def borrow(library: Path) -> Server:
    """A server in which nothing races at the moment, idle or new. Raises Lacking if there can be none."""
    return _idle.take(library) or Server(library)


def give_back(server: Server) -> None:
    """Keep a server for reuse, if it can be used again."""
    _idle.put(server)


def close_idle() -> None:
    """End the servers that are kept for reuse."""
    _idle.close()


_idle: Idle[Server] = Idle(2)
"""For today's kernel, and for one without a fix."""
