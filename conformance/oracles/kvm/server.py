# SPDX-License-Identifier: GPL-2.0-only
"""Servers: each runs machines of one library, one at a time, and is reused when idle."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.oracles.conversing import Broken, Conversation, Ended, Silent, bounds_of, failure_of
from conformance.oracles.idle import Idle
from conformance.oracles.kvm import worker
from conformance.oracles.kvm.deaths import KernelDied, death_of, not_initialised
from conformance.oracles.kvm.interface import NR_RAW, NR_WORDS, Death, Exchange, RawState
from conformance.oracles.lacking import Lacking, written
from conformance.sandbox.policy import GIB

__all__ = ["RawStateRequest", "Server", "borrow", "close_idle", "give_back"]

_MASK = (1 << 64) - 1
_WORDS = Exchange.words.offset // 8
_END, _STEP, _COVERAGE = range(3)
"""enum serve of c/machine/serve.c."""
_MEMORY = 6 * GIB
"""Bytes of address space: the machine's memory takes more than two GiB, most of it unused."""
_RAW = (Exchange.raw.offset + RawState.words.offset) // 8


@dataclass(frozen=True)
class RawStateRequest:
    """What to copy of KVM's memory after each step.

    ``places`` are offset and size of each variable, ``rings`` the kind of structure and the offset of each
    list head in it.
    """

    places: tuple[tuple[int, int], ...]
    rings: tuple[tuple[int, int], ...]


class Server:
    """A process that runs one machine after the other. Raises Lacking if it cannot be started."""

    def __init__(self, library: Path, patience: float) -> None:
        self.key = (library, patience)
        self._patience = patience
        self._bounds = bounds_of(patience)
        size = ctypes.sizeof(Exchange)
        self._conversation = Conversation(
            Path(worker.__file__), [str(library)], size=size, read=[library], memory=_MEMORY
        )
        self.exchange = Exchange.from_buffer(self._conversation.memory)
        self._view = memoryview(self._conversation.memory).cast("Q")

    def start(
        self,
        host: Sequence[int],
        options: Sequence[int],
        raw_state: RawStateRequest | None = None,
        plant: int = 0,
    ) -> None:
        """Create a machine on a host. Raises KernelDied, Lacking.

        It copies its raw state if requested. ``plant`` is the number of the planted difference that shows.
        """
        self.exchange.death = Death.ALIVE
        self._request(raw_state)
        self._conversation.begin(int(self._patience * 1e6), [*host], plant, [*options])
        try:
            error = self._error_of(self._hear())
        except KernelDied as died:
            raise KernelDied(f"initialising KVM: {died.how}", died.hung) from None
        if error:
            self.close()
            raise not_initialised(error)
        self._hear()

    def _error_of(self, answer: Any) -> int:
        """The error with which initialising KVM failed, or 0."""
        try:
            return int(answer["error"])
        except (TypeError, ValueError, KeyError):
            raise self._broke_off() from None

    def _request(self, raw_state: RawStateRequest | None) -> None:
        """Request copies after each step of the next machine."""
        raw = self.exchange.raw
        raw.asked = raw_state is not None
        if raw_state is not None:
            raw.nr_places, raw.nr_rings = len(raw_state.places), len(raw_state.rings)
            for index, (offset, size) in enumerate(raw_state.places):
                raw.places[index][0], raw.places[index][1] = offset, size
            for index, (kind, offset) in enumerate(raw_state.rings):
                raw.rings[index][0], raw.rings[index][1] = kind, offset

    def begin(self, step: int, arguments: Sequence[int]) -> None:
        """Begin a step."""
        view = self._view
        view[0] = step
        for index, argument in enumerate(arguments, 1):
            view[index] = argument & _MASK
        self._conversation.signal(_STEP)

    def finish(self) -> None:
        """Wait until the step is taken. Raises KernelDied or Lacking if it ends the machine."""
        self._hear()

    def end(self) -> None:
        """End the machine, and wait until another can be created."""
        if self._conversation.alive:
            self._conversation.signal(_END)
            try:
                self._conversation.hear(self._bounds)
            except Ended:
                return
            except (Broken, Silent, Lacking):
                pass
            self.close()

    def word(self, number: int) -> int:
        """A word of the last observation."""
        return self._view[_WORDS + number]

    def words(self) -> bytes:
        """All words of the last observation."""
        return self._view[_WORDS : _WORDS + min(self.exchange.nr_words, NR_WORDS)].tobytes()

    def raw_state(self) -> bytes:
        """The copy after the last step, as c/machine/raw_state.c writes it."""
        start = 8 * _RAW
        size = 8 * min(self.exchange.raw.nr_words, NR_RAW)
        return bytes(memoryview(self._conversation.memory)[start : start + size])

    def events(self) -> list[str]:
        """The complaints of the last step."""
        length = self.exchange.events_length
        if not length:
            return []
        return [written(line) for line in self.exchange.events[:length].splitlines()]

    def coverage(self) -> bytes:
        """What c/coverage.c wrote, instead of an observation. Raises KernelDied, Lacking."""
        self._conversation.signal(_COVERAGE)
        self._hear()
        start = Exchange.words.offset + 8
        return bytes(self._conversation.memory[start : start + min(self._view[_WORDS], 8 * NR_WORDS - 8)])

    @property
    def usable(self) -> bool:
        """Whether another machine can be created."""
        return not self._conversation.gone and not self._conversation.alive

    def close(self) -> None:
        """End the processes."""
        self._conversation.close()

    def _hear(self) -> Any:
        try:
            return self._conversation.hear(self._bounds)
        except (Broken, Silent) as problem:
            raise KernelDied(*failure_of(problem)) from None
        except Ended as ended:
            raise death_of(self.exchange, self.key[0], self._patience, ended.code) from None

    def _broke_off(self) -> KernelDied:
        return KernelDied(f"broke off: it {self._conversation.broken('wrote what is not an answer')}")


def borrow(library: Path, patience: float) -> Server:
    """An idle server, or a new one. Raises Lacking if it cannot be started."""
    return _idle.take((library, patience)) or Server(library, patience)


def give_back(server: Server) -> None:
    """Return a server for reuse, if it is still usable."""
    _idle.put(server)


def close_idle() -> None:
    """End all idle servers."""
    _idle.close()


_idle: Idle[Server] = Idle(6)
"""Enough for the machines of two kernels that are open at a time."""
