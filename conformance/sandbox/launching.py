# SPDX-License-Identifier: GPL-2.0-only
"""Starting and running confined programs: with a clean environment, bounded, leaving nothing behind.

Standard input and output are /dev/null or memory; a program talks by descriptors that it is given. What it
starts dies with it, and it dies with this process.
"""

from __future__ import annotations

import contextlib
import os
import queue
import resource
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.sandbox import processes
from conformance.sandbox.confinement import ENVIRONMENT, Confinement, command, confinement
from conformance.sandbox.policy import Policy
from conformance.sandbox.watching import Bounds, Stuck, Watch, kill_tree

__all__ = ["Done", "Process", "run", "start"]

_SAID = 1 << 16
"""How many bytes of what a program last said are kept, where it is only asked when something goes wrong."""

_GRACE = 5
"""Seconds that a process has to kill what it started, before it is killed itself."""


@dataclass(frozen=True)
class Done:
    """How a program ended: its status, negative for a signal; what it wrote; why it was given up, if so."""

    returncode: int
    stdout: bytes
    stderr: bytes
    stuck: Stuck | None = None


class Process:
    """A confined program that runs."""

    def __init__(self, popen: subprocess.Popen[bytes], kind: Confinement, error: int) -> None:
        self._popen = popen
        self._kind = kind
        self._error = error

    @property
    def pid(self) -> int:
        """The process by which it was started, which lives as long as it."""
        return self._popen.pid

    def poll(self) -> int | None:
        """Its status, if it has ended."""
        return self._popen.poll()

    def wait(self) -> int:
        """Its status, when it has ended."""
        return self._popen.wait()

    def said(self) -> str:
        """The last line that it wrote to standard error."""
        size = os.fstat(self._error).st_size
        lines = (
            os.pread(self._error, _SAID, max(size - _SAID, 0)).decode(errors="replace").strip().splitlines()
        )
        return lines[-1].strip() if lines else ""

    def close(self) -> None:
        """End it and all that it started."""
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
    """Start a program that gets `fds`, and `environment` besides the usual. OSError if the system refuses."""
    kind = confinement()
    error = os.memfd_create("conformance-stderr")
    try:
        popen = _spawn(
            command(kind, [*_limited(policy), *program], policy, cwd),
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
    """Run a program to its end, or until it is over `bounds`. OSError if the system refuses."""
    kind = confinement()
    fds = [os.memfd_create(f"conformance-{name}") for name in ("stdin", "stdout", "stderr")]
    try:
        os.write(fds[0], given)
        os.lseek(fds[0], 0, os.SEEK_SET)
        popen = _spawn(
            command(kind, [*_limited(policy), *program], policy, cwd),
            env={**ENVIRONMENT, **(environment or {})},
            cwd="/",
            stdin=fds[0],
            stdout=fds[1],
            stderr=fds[2],
        )
        process = Process(popen, kind, -1)
        stuck = None
        try:
            watch: Watch | None = None
            while stuck is None:
                try:
                    popen.wait(1)
                    break
                except subprocess.TimeoutExpired:
                    watch = watch or Watch(popen.pid, bounds)
                    stuck = watch.stuck()
        finally:
            process.close()
        return Done(popen.returncode, _content(fds[1]), _content(fds[2]), stuck)
    finally:
        for fd in fds:
            os.close(fd)


def _content(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def _limited(policy: Policy) -> list[str]:
    """The beginning of a command that sets limits, none above those of this process."""
    wanted = {
        "as": (resource.RLIMIT_AS, policy.memory),
        "fsize": (resource.RLIMIT_FSIZE, policy.file_size),
        "core": (resource.RLIMIT_CORE, 0),
    }
    words = ["prlimit"]
    for name, (number, most) in wanted.items():
        hard = resource.getrlimit(number)[1]
        words.append(f"--{name}={most if hard == resource.RLIM_INFINITY else min(most, hard)}")
    return [*words, "--"]


class _Starter:
    """A thread that starts processes and lives as long as this one.

    bubblewrap asks for a signal when its parent dies (PR_SET_PDEATHSIG), and gets it when the thread that
    started it ends; threads of pools end early.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._wanted: queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]]] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._work, name="starter", daemon=True).start()

    def _work(self) -> None:
        while True:
            make, answer = self._wanted.get()
            try:
                answer.put(make())
            except BaseException as problem:
                answer.put(problem)

    def call(self, make: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """The process that `make` starts."""
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._wanted.put((make, answer))
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
