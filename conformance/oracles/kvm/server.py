# SPDX-License-Identifier: GPL-2.0-only
"""Server processes, each for one library on one host, which make machines one at a time; kept for reuse."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import mmap
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.oracles.common import HOST, import_path
from conformance.oracles.kvm import worker
from conformance.oracles.kvm.deaths import KernelDied, death_of, not_initialised
from conformance.oracles.kvm.interface import NR_COVERED, NR_WORDS, Death, Exchange, Kept
from conformance.oracles.lacking import KERNELS_OWN, Lacking, no_process

__all__ = ["Server", "Wanted", "borrow", "give_back"]

MAX_IDLE = 6
"""How many servers are kept for reuse: for two kernels in three modes."""

_IDLE: list[Server] = []
_MASK = (1 << 64) - 1
_WORDS = Exchange.words.offset // 8
_KEPT = (Exchange.kept.offset + Kept.words.offset) // 8


@dataclass(frozen=True)
class Wanted:
    """What is to be copied of what KVM keeps.

    ``places`` are offset and size of variables, ``rings`` the kind of structure and the offset of its lists.
    """

    places: tuple[tuple[int, int], ...]
    rings: tuple[tuple[int, int], ...]


class Server:
    """A worker process, and the memory and pipes by which its machine is spoken to.

    Raises OSError if the system has no process, memory or descriptors for it.
    """

    def __init__(self, library: Path, host: Sequence[int], patience: float, plant: int = 0) -> None:
        self.key = (os.getpid(), library, tuple(host), patience, plant)
        self.patience = patience
        size = ctypes.sizeof(Exchange)
        shared = os.memfd_create("conformance-kvm")
        os.ftruncate(shared, size)
        self._memory = mmap.mmap(shared, size)
        self.exchange = Exchange.from_buffer(self._memory)
        self._view = memoryview(self._memory).cast("Q")
        theirs_in, self._requests = os.pipe()
        self._answers, theirs_out = os.pipe()
        environment = {**os.environ, "PYTHONPATH": import_path()}
        words = [sys.executable, worker.__file__, str(library), *map(str, (shared, theirs_in, theirs_out))]
        words += [str(int(patience * 1e6)), ",".join(map(str, host)), str(plant)]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            pass_fds=(shared, theirs_in, theirs_out),
        )
        for descriptor in (shared, theirs_in, theirs_out):
            os.close(descriptor)
        said = self._process.stdout.readline() if self._process.stdout else ""
        failed: dict[str, Any] = {"error": 0 if said else self._process.wait() or 1, "steps": [], "state": []}
        able = json.loads(said) if said else failed
        self.error: int = able["error"]
        """0, or with what initialising KVM failed: see failure()."""
        self._initialised = bool(said)
        self.steps: dict[str, tuple[int, list[str]]] = {}
        """Index and names of the arguments of each step, by name."""
        for index, usage in enumerate(able["steps"]):
            name, *names = usage.split()
            self.steps[name] = (index, names)
        self.state: list[str] = able["state"]
        """Names of the numbers in an observation's state, in order."""

    def failure(self) -> KernelDied | Lacking | None:
        """Why no machine can be made, if none can."""
        if not self.error:
            return None
        if self.exchange.death:
            death = death_of(self.exchange, self.key[1], self.patience)
            return death if isinstance(death, Lacking) else KernelDied(f"initialising KVM: {death.how}")
        return not_initialised(self.error) if self._initialised else no_process(self.error)

    def start(self, options: Sequence[int], wanted: Wanted | None = None) -> bool:
        """Make a machine and wait for it; False if it died at once. ``wanted``: what it keeps is copied."""
        assert self._process.stdin is not None
        self.exchange.death = Death.ALIVE
        self._want(wanted)
        try:
            self._process.stdin.write(",".join(map(str, options)) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return False
        return self._answered()

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

    def ask(self, step: int, arguments: Sequence[int]) -> bool:
        """Let the machine do a step and wait for it; False if it died of it."""
        view = self._view
        view[0] = step
        for index, argument in enumerate(arguments, 1):
            view[index] = argument & _MASK
        return self._requested(b"s") and self._answered()

    def end(self) -> None:
        """End the machine, and wait until the server is ready for another."""
        if self._requested(b"e"):
            os.read(self._answers, 1)

    def words(self) -> list[int]:
        """What the machine said in the last step."""
        return self._view[_WORDS : _WORDS + self.exchange.nr_words].tolist()

    def kept(self) -> bytes:
        """What the machine keeps after the last step, as kept.c copies it."""
        start = 8 * _KEPT
        return bytes(memoryview(self._memory)[start : start + 8 * self.exchange.kept.nr_words])

    def events(self) -> list[str]:
        """What it complained of in the last step."""
        length = self.exchange.events_length
        if not length:
            return []
        return self.exchange.events[:length].decode(errors="replace").splitlines()

    def covered(self) -> list[int]:
        """Where functions lie that ran since this was last asked, as distances from the one they called."""
        last = slice(_WORDS + NR_WORDS - NR_COVERED, _WORDS + NR_WORDS)
        found = [distance for distance in self._view[last] if distance]
        self._view[last] = memoryview(bytes(8 * NR_COVERED)).cast("Q")
        return found

    @property
    def spoilt(self) -> bool:
        """Whether a request may be left over, as if the machine was killed from outside between two steps."""
        number = self.exchange.number
        return self.exchange.death == Death.SIGNAL and number not in KERNELS_OWN

    @property
    def gone(self) -> bool:
        """Whether the server process itself has ended, which it should not."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End the server process."""
        for descriptor in (self._requests, self._answers):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _requested(self, byte: bytes) -> bool:
        """Write to the machine; False if it and its server are gone."""
        with contextlib.suppress(BrokenPipeError):
            return os.write(self._requests, byte) == 1
        return False

    def _answered(self) -> bool:
        return os.read(self._answers, 1) not in {b"X", b""}


def borrow(library: Path, host: Mapping[str, int], patience: float, plant: int = 0) -> Server:
    """A server that makes no machine at the moment, idle or new. Raises Lacking if there can be none."""
    numbers = tuple(int(host[name]) for name in HOST)
    wanted = (os.getpid(), library, numbers, patience, plant)
    for server in _IDLE[::-1]:
        if server.key == wanted:
            _IDLE.remove(server)
            if not server.gone:
                return server
            server.close()
    try:
        return Server(library, numbers, patience, plant)
    except OSError as problem:
        raise no_process(problem) from problem


def give_back(server: Server) -> None:
    """Keep a server for reuse; one that failed, is gone, or is not sure to wait for a machine is ended."""
    if server.error or server.gone or server.spoilt:
        server.close()
        return
    _IDLE.append(server)
    if len(_IDLE) > MAX_IDLE:
        _close(_IDLE.pop(0))


def _close(server: Server) -> None:
    """End a server, unless it is that of a process of which this one is a fork."""
    if server.key[0] == os.getpid():
        server.close()


@atexit.register
def _close_all() -> None:
    while _IDLE:
        _close(_IDLE.pop())
