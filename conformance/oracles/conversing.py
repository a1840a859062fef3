# SPDX-License-Identifier: GPL-2.0-only
"""A conversation with kernel code, which may crash, hang, or write arbitrary answers.

Nothing that comes from the process in which kernel code runs is trusted: answers are bounded, have to repeat
the nonce of their request, and are awaited for a bounded time; how the process ended is reported by its
supervisor, see supervising.py, which kernel code cannot reach.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformance.oracles.lacking import Lacking, no_process
from conformance.oracles.supervising import ENDED, HEADER, STATUS
from conformance.sandbox import processes
from conformance.sandbox.launching import Process, start
from conformance.sandbox.policy import Policy, interpreter, packages
from conformance.sandbox.watching import Bounds, Stuck, Watch

__all__ = ["Broken", "Conversation", "Ended", "Silent", "bounds_of", "failure_of"]

_NONCES = 64
"""Nonces that are drawn at a time."""

_MOST = 1 << 22
"""Bytes of an answer that is JSON."""

_SAID = 1 << 20
"""Bytes that the processes may write to standard error, their only writable file."""

_LATER = 2.0
"""Seconds after which kernel code that does not end on SIGVTALRM is killed."""
_WALL = 12.0
"""The limit of wall time, as a multiple of the limit of processor time."""

_SECOND = 1000
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def bounds_of(patience: float) -> Bounds:
    """How long to wait for kernel code that may take `patience` seconds of processor time.

    It waits for nothing, so without a processor it may be as long only if others have them.
    """
    return Bounds(cpu=patience + _LATER, idle=max(patience, _LATER), wall=_WALL * max(patience, _LATER))


class Ended(Exception):
    """The process for kernel code ended, with this exit code; negative for a signal."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Silent(Exception):
    """Kernel code did not answer in time; the conversation is over."""

    def __init__(self, stuck: Stuck) -> None:
        super().__init__(stuck.how)
        self.stuck = stuck


class Broken(Exception):
    """The answer is malformed; the conversation is over."""


def failure_of(problem: Broken | Silent) -> tuple[str, bool]:
    """How kernel code broke off the conversation, in words that follow "the kernel", and whether it hung.

    Raises Lacking if others had kept the processors from it.
    """
    if isinstance(problem, Broken):
        return f"broke off: it {problem}", False
    if problem.stuck.starved:
        raise Lacking(f"kernel code got too little of a processor to answer {problem}") from None
    return f"did not come back {problem}", True


class Conversation:
    """A supervisor, confined, and the process for kernel code, once it is begun.

    worker: the script, see supervising.py; arguments: its own. size: bytes of shared memory.
    read: what it loads; memory: bytes of address space it may have. All methods may raise Lacking.
    """

    def __init__(
        self, worker: Path, arguments: Sequence[str], *, size: int, read: Sequence[Path], memory: int
    ) -> None:
        self._open: list[int] = []
        self._process: Process | None = None
        self._nonce = 0
        self._nonces: list[int] = []
        self.alive = False
        """Whether the process for kernel code exists."""
        try:
            self._shared = shared = self._kept(os.memfd_create("conformance", os.MFD_ALLOW_SEALING))
            os.ftruncate(shared, size)
            fcntl.fcntl(shared, fcntl.F_ADD_SEALS, _SEALS)
            self.memory = mmap.mmap(shared, size)
            control, self._control = map(self._kept, os.pipe())
            self._unread, self._requests = map(self._kept, os.pipe())
            self._answers, answers = map(self._kept, os.pipe())
            self._status, status = map(self._kept, os.pipe())
            os.set_blocking(self._unread, True)
            theirs = (control, self._unread, answers, status, shared)
            self._process = start(
                [sys.executable, "-s", "-B", str(worker), *map(str, theirs), *arguments],
                Policy(read=(*interpreter(), worker, *read), memory=memory, file_size=_SAID),
                fds=theirs,
                environment={"PYTHONPATH": os.pathsep.join(map(str, packages()))},
            )
        except OSError as problem:
            self.close()
            raise no_process(problem) from problem
        for descriptor in (control, status):
            self._close(descriptor)
        os.set_blocking(self._answers, False)
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        self._poll.register(self._status, select.POLLIN)

    def begin(self, *words: Any) -> None:
        """Start a process for kernel code with these words; hear() returns its answer."""
        assert not self.alive
        self._drain()
        self.alive = True
        self._renew_nonce()
        self._write(self._control, json.dumps([self._nonce, *words]).encode() + b"\n")

    def ask(self, *request: Any) -> None:
        """Send a request, as JSON."""
        content = json.dumps(request).encode()
        self.signal(len(content))
        self._write(self._requests, content)

    def signal(self, word: int) -> None:
        """Send a request that is a word only, where kernel code does not read JSON."""
        self._renew_nonce()
        self._write(self._requests, HEADER.pack(self._nonce, word))

    def hear(self, bounds: Bounds) -> Any:
        """The answer to the last request, whatever JSON it is; None if it has no content.

        Raises Ended, Silent, Broken.
        """
        nonce, length = HEADER.unpack(self._read(HEADER.size, bounds))
        if nonce != self._nonce or length > _MOST:
            raise self.broken("wrote what is not an answer")
        if not length:
            return None
        try:
            return json.loads(self._read(length, bounds))
        except (ValueError, RecursionError):
            raise self.broken("wrote what is not an answer") from None

    def broken(self, how: str) -> Broken:
        """The exception for an answer of the wrong form; the conversation is over."""
        self.close()
        return Broken(how)

    def close(self) -> None:
        """End all processes."""
        self.alive = False
        process, self._process = self._process, None
        # First: at the end of a pipe from which it reads, kernel code would go on, and to another case.
        if process is not None:
            process.close()
        while self._open:
            with contextlib.suppress(OSError):
                os.close(self._open.pop())

    @property
    def closed(self) -> bool:
        """Whether the conversation is over."""
        return self._process is None

    @property
    def gone(self) -> bool:
        """Whether the supervisor has ended."""
        return self._process is None or self._process.poll() is not None

    def _renew_nonce(self) -> None:
        """Another nonce, which nothing predicts."""
        if not self._nonces:
            self._nonces = memoryview(os.urandom(8 * _NONCES)).cast("Q").tolist()
        self._nonce = self._nonces.pop()

    def _read(self, size: int, bounds: Bounds) -> bytes:
        content = b""
        watch: Watch | None = None
        while len(content) < size:
            try:
                content += os.read(self._answers, size - len(content))
                continue
            except BlockingIOError:
                ready = {descriptor for descriptor, _ in self._poll.poll(_SECOND)}
            if self._answers in ready:
                continue
            if self._status in ready:
                raise self._ended()
            if watch is None:
                assert self._process is not None
                watch = Watch(self._process.pid, bounds)
            elif (stuck := watch.stuck()) is not None:
                self.close()
                raise Silent(stuck)
        return content

    def _ended(self) -> Ended | Lacking:
        """How the process for kernel code ended, or why it was not started."""
        self.alive = False
        # Once the command ends, its processes are killed: that is not the kernel's doing.
        processes.check()
        status = os.read(self._status, STATUS.size)
        if len(status) < STATUS.size:
            process = self._process
            assert process is not None
            code, said = process.wait(), process.said()
            self.close()
            return no_process(code, said)
        kind, value = STATUS.unpack(status)
        if kind != ENDED:
            return no_process(OSError(value, os.strerror(value)))
        if not value:
            return Ended(value)
        try:
            # A page of it that the system refuses is the only SIGBUS that kernel code does not cause.
            os.posix_fallocate(self._shared, 0, len(self.memory))
        except OSError as problem:
            return no_process(problem)
        return Ended(value)

    def _drain(self) -> None:
        """Discard requests and answers that the last process has left."""
        for descriptor in (self._unread, self._answers):
            os.set_blocking(descriptor, False)
            with contextlib.suppress(BlockingIOError):
                while os.read(descriptor, 1 << 16):
                    pass
        # Both ends of a pipe share this flag with the process that reads from it.
        os.set_blocking(self._unread, True)

    def _write(self, descriptor: int, content: bytes) -> None:
        # If the reader has ended, the missing answer is reported with the way it ended.
        with contextlib.suppress(BrokenPipeError):
            os.write(descriptor, content)

    def _kept(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor

    def _close(self, descriptor: int) -> None:
        self._open.remove(descriptor)
        os.close(descriptor)
