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
from pathlib import Path
from typing import Any

from conformance.oracles.common import HOST, import_path
from conformance.oracles.kvm import worker
from conformance.oracles.kvm.interface import NR_COVERED, NR_WORDS, Exchange

__all__ = ["Server", "borrow", "give_back"]

MAX_IDLE = 6
"""How many servers are kept for reuse: for two kernels in three modes."""

_IDLE: list[Server] = []
_MASK = (1 << 64) - 1
_WORDS = Exchange.words.offset // 8


class Server:
    """A worker process, and the memory and pipes by which its machine is spoken to."""

    def __init__(self, library: Path, host: Sequence[int], patience: float) -> None:
        self.key = (os.getpid(), library, tuple(host), patience)
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
        words += [str(int(patience * 1e6)), ",".join(map(str, host))]
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
        failed: dict[str, Any] = {"error": 0 if said else self._process.wait(), "steps": [], "state": []}
        able = json.loads(said) if said else failed
        self.error: int = able["error"]
        """0, or with what initialising KVM failed: a negative errno, a signal's negative number."""
        self.steps: dict[str, tuple[int, list[str]]] = {}
        """Index and names of the arguments of each step, by name."""
        for index, usage in enumerate(able["steps"]):
            name, *names = usage.split()
            self.steps[name] = (index, names)
        self.state: list[str] = able["state"]
        """Names of the numbers in an observation's state, in order."""

    def start(self, options: Sequence[int]) -> bool:
        """Make a machine and wait for it; False if it died at once."""
        assert self._process.stdin is not None
        self._process.stdin.write(",".join(map(str, options)) + "\n")
        self._process.stdin.flush()
        return self._answered()

    def ask(self, step: int, arguments: Sequence[int]) -> bool:
        """Let the machine do a step and wait for it; False if it died of it."""
        view = self._view
        view[0] = step
        for index, argument in enumerate(arguments, 1):
            view[index] = argument & _MASK
        os.write(self._requests, b"s")
        return self._answered()

    def end(self) -> None:
        """End the machine, and wait until the server is ready for another."""
        os.write(self._requests, b"e")
        os.read(self._answers, 1)

    def words(self) -> list[int]:
        """What the machine said in the last step."""
        return self._view[_WORDS : _WORDS + self.exchange.nr_words].tolist()

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

    def _answered(self) -> bool:
        return os.read(self._answers, 1) not in {b"X", b""}


def borrow(library: Path, host: Mapping[str, int], patience: float) -> Server:
    """A server that makes no machine at the moment, an idle one or a new one."""
    numbers = tuple(int(host[name]) for name in HOST)
    wanted = (os.getpid(), library, numbers, patience)
    for server in _IDLE[::-1]:
        if server.key == wanted:
            _IDLE.remove(server)
            if not server.gone:
                return server
            server.close()
    return Server(library, numbers, patience)


def give_back(server: Server) -> None:
    """Keep a server for the next who wants one like it; one that failed or is gone is ended."""
    if server.error or server.gone:
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
