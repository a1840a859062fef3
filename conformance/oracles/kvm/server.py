# SPDX-License-Identifier: GPL-2.0-only
"""Servers, each for one library on one host, which make machines one at a time; kept for reuse."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.oracles.conversing import Broken, Conversation, Ended, Silent, bounds_of, failure_of
from conformance.oracles.hosts import HOST
from conformance.oracles.idle import Idle
from conformance.oracles.kvm import worker
from conformance.oracles.kvm.deaths import KernelDied, death_of, not_initialised
from conformance.oracles.kvm.interface import NR_COVERED, NR_KEPT, NR_WORDS, Death, Exchange, Kept
from conformance.oracles.lacking import Lacking, written
from conformance.sandbox.policy import GIB

__all__ = ["Server", "Wanted", "borrow", "close_idle", "give_back"]

_MASK = (1 << 64) - 1
_WORDS = Exchange.words.offset // 8
_STEP, _END = 1, 0
_MEMORY = 6 * GIB
"""Bytes of address space: the machine's memory, of which little is used, takes more than two."""
_KEPT = (Exchange.kept.offset + Kept.words.offset) // 8


@dataclass(frozen=True)
class Wanted:
    """What is to be copied of what KVM keeps.

    ``places`` are offset and size of variables, ``rings`` the kind of structure and the offset of its lists.
    """

    places: tuple[tuple[int, int], ...]
    rings: tuple[tuple[int, int], ...]


class Server:
    """A conversation about machines, of which there is one at a time. Lacking if there can be none."""

    def __init__(self, library: Path, host: Sequence[int], patience: float, plant: int = 0) -> None:
        self.key = (library, tuple(host), patience, plant)
        self._patience = patience
        self._bounds = bounds_of(patience)
        size = ctypes.sizeof(Exchange)
        self._conversation = Conversation(
            Path(worker.__file__), [str(library)], size=size, read=[library], memory=_MEMORY
        )
        self.exchange = Exchange.from_buffer(self._conversation.memory)
        self._view = memoryview(self._conversation.memory).cast("Q")

    def start(self, options: Sequence[int], wanted: Wanted | None = None) -> None:
        """Make a machine. ``wanted``: what it keeps is copied. Raises KernelDied, Lacking."""
        _, host, patience, plant = self.key
        self.exchange.death = Death.ALIVE
        self._want(wanted)
        self._conversation.begin(int(patience * 1e6), [*host], plant, [*options])
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

    def _want(self, wanted: Wanted | None) -> None:
        """Say what is to be copied after each step of the next machine."""
        kept = self.exchange.kept
        kept.asked = wanted is not None
        if wanted is not None:
            kept.nr_places, kept.nr_rings = len(wanted.places), len(wanted.rings)
            for index, (offset, size) in enumerate(wanted.places):
                kept.places[index][0], kept.places[index][1] = offset, size
            for index, (kind, offset) in enumerate(wanted.rings):
                kept.rings[index][0], kept.rings[index][1] = kind, offset

    def ask(self, step: int, arguments: Sequence[int]) -> None:
        """Let the machine do a step. Raises KernelDied or Lacking if it died of it."""
        view = self._view
        view[0] = step
        for index, argument in enumerate(arguments, 1):
            view[index] = argument & _MASK
        self._conversation.signal(_STEP)
        self._hear()

    def end(self) -> None:
        """End the machine, and wait until there can be another."""
        if self._conversation.alive:
            self._conversation.signal(_END)
            try:
                self._conversation.hear(self._bounds)
            except Ended:
                return
            except (Broken, Silent, Lacking):
                pass
            self.close()

    def words(self) -> list[int]:
        """What the machine said in the last step."""
        return self._view[_WORDS : _WORDS + min(self.exchange.nr_words, NR_WORDS)].tolist()

    def kept(self) -> bytes:
        """What the machine keeps after the last step, as kept.c copies it."""
        start = 8 * _KEPT
        size = 8 * min(self.exchange.kept.nr_words, NR_KEPT)
        return bytes(memoryview(self._conversation.memory)[start : start + size])

    def events(self) -> list[str]:
        """What it complained of in the last step."""
        length = self.exchange.events_length
        if not length:
            return []
        return [written(line) for line in self.exchange.events[:length].splitlines()]

    def covered(self) -> list[int]:
        """Where functions lie that ran since this was last asked, as distances from the one they called."""
        last = slice(_WORDS + NR_WORDS - NR_COVERED, _WORDS + NR_WORDS)
        found = [distance for distance in self._view[last] if distance]
        self._view[last] = memoryview(bytes(8 * NR_COVERED)).cast("Q")
        return found

    @property
    def usable(self) -> bool:
        """Whether another machine can be made."""
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


def borrow(library: Path, host: Mapping[str, int], patience: float, plant: int = 0) -> Server:
    """A server that makes no machine at the moment, idle or new. Raises Lacking if there can be none."""
    numbers = tuple(int(host[name]) for name in HOST)
    return _idle.take((library, numbers, patience, plant)) or Server(library, numbers, patience, plant)


def give_back(server: Server) -> None:
    """Keep a server for reuse, if it can be used again."""
    _idle.put(server)


def close_idle() -> None:
    """End the servers that are kept for reuse."""
    _idle.close()


_idle: Idle[Server] = Idle(6)
"""For two kernels in three modes."""
