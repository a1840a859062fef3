# SPDX-License-Identifier: GPL-2.0-only
"""Starts and runs confined programs: with a clean environment, within limits, leaving no processes behind.

Standard input and output are /dev/null or memory; a program communicates through descriptors that it
inherits. Its children die with it, and it dies with this process.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import resource
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from conformance.sandbox import processes
from conformance.sandbox.confinement import ENVIRONMENT, Confinement, command, confinement, not_started
from conformance.sandbox.policy import Policy
from conformance.sandbox.watching import Bounds, Usage, Watch, kill_tree

__all__ = ["Done", "Process", "run", "start"]

_SAID = 1 << 16
"""The number of bytes of standard error, from its end, in which the last line is looked for."""

_GRACE = 5
"""Seconds that enter.py has to kill the program's processes before it is killed itself."""


_LOOKING = 0.25
"""Seconds between two checks of a program's resource usage."""

_READING = 1 << 18


@dataclass(frozen=True)
class Done:
    """How a program ended: its status, negative for a signal, and its output.

    gave_up: why it was killed, as the predicate of a sentence; "" if it was not.
    not_started: why it was not started, in the words of the confinement; "" if it was.
    """

    returncode: int
    stdout: bytes
    stderr: bytes
    gave_up: str = ""
    not_started: str = ""


class Process:
    """A running confined program."""

    def __init__(self, popen: subprocess.Popen[bytes], kind: Confinement, error: int) -> None:
        self._popen = popen
        self._kind = kind
        self._error = error

    @property
    def pid(self) -> int:
        """The process that started it, which lives as long as the program."""
        return self._popen.pid

    def poll(self) -> int | None:
        """Its status, None while it runs."""
        return self._popen.poll()

    def wait(self) -> int:
        """Wait for its end; returns the status."""
        return self._popen.wait()

    def said(self) -> str:
        """The last line of its standard error."""
        size = os.fstat(self._error).st_size
        lines = (
            os.pread(self._error, _SAID, max(size - _SAID, 0)).decode(errors="replace").strip().splitlines()
        )
        return lines[-1].strip() if lines else ""

    def close(self) -> None:
        """Kill it and all its descendants."""
        if self._popen.poll() is None:
            if self._kind in (Confinement.LANDLOCK, Confinement.NONE):
                # enter.py kills what the program started.
                with contextlib.suppress(ProcessLookupError):
                    self._popen.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._popen.wait(_GRACE)
            kill_tree(self._popen.pid)
        self._popen.wait()
        processes.ended(self._popen)
        if self._error >= 0:
            os.close(self._error)
            self._error = -1


def start(
    program: Sequence[str],
    policy: Policy,
    *,
    cwd: Path = Path("/"),
    fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start a program that inherits `fds`, with `environment` added to the clean one.

    Raises OSError if the system refuses.
    """
    kind = confinement()
    error = os.memfd_create("conformance-stderr")
    try:
        popen = _spawn(
            command(kind, [*_limited(policy, kind), *program], policy, cwd),
            env={**ENVIRONMENT, **(environment or {})},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=error,
            pass_fds=fds,
        )
    except BaseException:
        os.close(error)
        raise
    return Process(popen, kind, error)


def run(
    program: Sequence[str],
    policy: Policy,
    bounds: Bounds,
    *,
    cwd: Path = Path("/"),
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> Done:
    """Run a program until it ends or exceeds `bounds` or `policy`.

    Raises OSError if the system refuses.
    """
    kind = confinement()
    with contextlib.ExitStack() as ending:
        ours: list[int] = []
        theirs: list[int] = []
        for _ in ("stdout", "stderr"):
            reading, writing = os.pipe()
            ours.append(reading)
            theirs.append(writing)
            ending.callback(os.close, reading)
        try:
            theirs.append(os.memfd_create("conformance-stdin"))
            with os.fdopen(os.dup(theirs[2]), "wb") as file:
                file.write(given)
            os.lseek(theirs[2], 0, os.SEEK_SET)
            popen = _spawn(
                command(kind, [*_limited(policy, kind), *program], policy, cwd),
                env={**ENVIRONMENT, **(environment or {})},
                cwd="/",
                stdin=theirs[2],
                stdout=theirs[0],
                stderr=theirs[1],
            )
        finally:
            for fd in theirs:
                os.close(fd)
        process = Process(popen, kind, -1)
        reader = _Reader(ours, policy.output)
        try:
            gave_up = _follow(popen, reader, Usage(policy), bounds)
        finally:
            process.close()
        # If the command is ending, its processes were killed: that is no result of the program.
        processes.check()
        said, complained = reader.rest()
    refused = not_started(popen.returncode, complained) if not gave_up else ""
    return Done(popen.returncode, said, complained, gave_up, refused)


def _follow(popen: subprocess.Popen[bytes], reader: _Reader, usage: Usage, bounds: Bounds) -> str:
    """Read a program's output until it ends (returns "") or must be killed (returns the reason)."""
    watch: Watch | None = None
    while True:
        if reader.wait(_LOOKING):
            # Standard output and error are closed, so the program has ended or is about to.
            with contextlib.suppress(subprocess.TimeoutExpired):
                popen.wait(_LOOKING)
        if popen.poll() is not None:
            return ""
        if reader.full:
            return f"wrote more than {reader.most >> 20} MiB of messages"
        watch = watch or Watch(popen.pid, bounds)
        if why := usage.exceeded(popen.pid):
            return why
        if stuck := watch.stuck():
            return f"did not come back {stuck.how}"


class _Reader:
    """Reads what a program writes to pipes, up to ``most`` bytes."""

    def __init__(self, pipes: Sequence[int], most: int) -> None:
        self.most = most
        self.full = False
        self._read: dict[int, list[bytes]] = {one: [] for one in pipes}
        self._open = [*pipes]
        self._size = 0

    def wait(self, seconds: float) -> bool:
        """Read for up to ``seconds``; returns whether all pipes are closed."""
        end = time.monotonic() + seconds
        while self._open and not self.full and (left := end - time.monotonic()) > 0:
            self._read_once(left)
        return not self._open

    def rest(self) -> list[bytes]:
        """The whole output of each pipe, after the program has ended."""
        while self._open and not self.full and self._read_once(0):
            pass
        return [b"".join(pieces) for pieces in self._read.values()]

    def _read_once(self, seconds: float) -> bool:
        ready = select.select(self._open, [], [], seconds)[0]
        for fd in ready:
            piece = os.read(fd, _READING)
            if not piece:
                self._open.remove(fd)
            self._read[fd].append(piece)
            self._size += len(piece)
            self.full = self._size > self.most
        return bool(ready)


def _limited(policy: Policy, kind: Confinement) -> list[str]:
    """The prlimit prefix of a command; no limit is above the one of this process."""
    limits = {
        "as": (resource.RLIMIT_AS, policy.memory),
        "fsize": (resource.RLIMIT_FSIZE, policy.file_size),
        "core": (resource.RLIMIT_CORE, 0),
    }
    if kind in (Confinement.BUBBLEWRAP, Confinement.NAMESPACES) and _counts_apart():
        limits["nproc"] = (resource.RLIMIT_NPROC, policy.processes)
    words = ["prlimit"]
    for name, (number, most) in limits.items():
        hard = resource.getrlimit(number)[1]
        words.append(f"--{name}={most if hard == resource.RLIM_INFINITY else min(most, hard)}")
    return [*words, "--"]


@cache
def _counts_apart() -> bool:
    """Whether RLIMIT_NPROC counts processes per user namespace, as it does since v5.14."""
    numbers = re.findall(r"\d+", os.uname().release)[:2]
    return (*map(int, numbers),) >= (5, 14)


class _Starter:
    """A thread that starts processes and lives as long as this process.

    bubblewrap requests a signal at its parent's death (PR_SET_PDEATHSIG). The kernel sends it when the thread
    that started bubblewrap ends, and threads of pools end early.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._requests: queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]]] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._work, name="starter", daemon=True).start()

    def _work(self) -> None:
        while True:
            make, answer = self._requests.get()
            try:
                answer.put(make())
            except BaseException as problem:
                answer.put(problem)

    def call(self, make: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """Call `make` in the thread; returns the process that it starts."""
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._requests.put((make, answer))
        got = answer.get()
        if isinstance(got, BaseException):
            raise got
        started: subprocess.Popen[bytes] = got
        return started


_starting = threading.Lock()
_starter: _Starter | None = None


def _spawn(words: Sequence[str], **how: Any) -> subprocess.Popen[bytes]:
    global _starter
    with _starting:
        if _starter is None or _starter.pid != os.getpid():
            _starter = _Starter()
    return _starter.call(lambda: processes.start(words, **how))
