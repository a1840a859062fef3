# SPDX-License-Identifier: GPL-2.0-only
"""The registry of every process that a command has started, so that none outlives the command.

The registry kills them when the command ends. A watchdog covers the case that the command itself is killed: a
shell that reads a copy of the registry from a pipe, and kills the processes in it when the pipe is closed.
Unlike PR_SET_PDEATHSIG, which is sent when the forking thread ends, this does not depend on threads, and it
reaches whole process groups.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

__all__ = [
    "REAPING",
    "Ended",
    "at_end",
    "check",
    "die_with_parent",
    "end_all",
    "ended",
    "ending",
    "finish",
    "interrupt",
    "kill",
    "run",
    "start",
    "started",
    "uninterrupted",
]

REAPING = 1.0
"""Seconds to wait for a killed process."""

_WATCH = """
trap "" INT TERM HUP QUIT
known=" "
while read -r sign pid; do
    case $sign in
    +) known="$known$pid " ;;
    -) known="${known%% $pid *} ${known#* $pid }" ;;
    esac
done
for pid in $known; do
    kill -s KILL -- "$pid"
done
"""
"""The watchdog. It reads "+ PID" and "- PID"; a negative PID is a process group, as for kill()."""


class Ended(BaseException):
    """The command ends before its work is done; partial results are reported.

    It derives from BaseException, so that no handler of Exception catches it.
    """


class Process(Protocol):
    """The interface that subprocess.Popen and multiprocessing.Process share."""

    @property
    def pid(self) -> int | None:
        """The process id."""


class _Registry:
    """Processes by their id, negated if they lead a process group, and the watchdog."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.finishing = threading.Lock()
        self.known: dict[int, Process] = {}
        self.watch: subprocess.Popen[bytes] | None = None
        self.ending = False
        self.at_end: list[Callable[[], object]] = []

    def notify(self, sign: str, number: int) -> None:
        """Send an entry to the watchdog, and start it if necessary; the user may have killed it."""
        if self.watch is None:
            self.watch = subprocess.Popen(
                ["/bin/sh", "-c", _WATCH],
                cwd="/",
                env={},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        assert self.watch.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            os.write(self.watch.stdin.fileno(), f"{sign} {number}\n".encode())

    def release_watch(self) -> None:
        """Close the watchdog's pipe and wait for its end."""
        watch, self.watch = self.watch, None
        if watch is not None:
            assert watch.stdin is not None
            watch.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                watch.wait(REAPING)


_registry = _Registry()


def _forget() -> None:
    """In a forked process: start with an empty registry, without the parent's processes and watchdog."""
    global _registry
    watch, _registry = _registry.watch, _Registry()
    if watch is not None and watch.stdin is not None:
        os.close(watch.stdin.fileno())
        watch.returncode = 0  # Otherwise Popen warns that the child is still running.


os.register_at_fork(after_in_child=_forget)


def start(argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a program as the leader of a session of its own, known to the registry.

    ``options`` are Popen's. The caller must call ended() after the program's end. Raises Ended if the command
    is ending, and OSError as Popen does.
    """
    with uninterrupted(), _registry.lock:
        check()
        process: subprocess.Popen[Any] = subprocess.Popen(argv, start_new_session=True, **options)
        started(process)
        return process


def run(
    argv: Sequence[str], *, given: bytes | None = None, timeout: float | None = None, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end and return its status and output. ``given`` is its standard input.

    Raises what start() raises, TimeoutExpired after ``timeout`` seconds, and Ended if the command ends
    meanwhile.
    """
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    stdin = nothing if given is None else pipe
    with start(argv, stdin=stdin, stdout=pipe, stderr=pipe, **options) as process:
        try:
            output, complaints = process.communicate(given, timeout)
        except BaseException:
            kill(process)
            raise
    ended(process)
    check()
    return subprocess.CompletedProcess(argv, process.returncode, output, complaints)


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a program that start() started, with its process group."""
    with uninterrupted():
        _kill(-process.pid)
        process.wait()
        ended(process)


def started(process: Process) -> None:
    """Register a process, or the group that it leads. Does nothing if it is registered already.

    A process that is registered after the command began to end is killed at once.
    """
    pid = process.pid
    assert pid is not None, "the process was not started"
    with uninterrupted(), _registry.lock:
        if pid in _registry.known or -pid in _registry.known:
            return
        number = -pid if _leads_group(pid) else pid
        _registry.known[number] = process
        _registry.notify("+", number)
        if _registry.ending:
            _kill(number)


def ended(process: Process) -> None:
    """Remove a process that has ended and has been waited for."""
    pid = process.pid
    assert pid is not None, "the process was not started"
    with uninterrupted(), _registry.lock:
        for number in (pid, -pid):
            if _registry.known.pop(number, None) is not None:
                _registry.notify("-", number)


def end_all() -> None:
    """Kill every registered process, and refuse to start others."""
    with uninterrupted(), _registry.lock:
        _registry.ending = True
        for number in _registry.known:
            _kill(number)


def ending() -> bool:
    """Whether end_all() was called; the status of a process that ended after that is meaningless."""
    return _registry.ending


def check() -> None:
    """Raise Ended if the command is ending."""
    if _registry.ending:
        raise Ended("the command is ending")


def at_end(action: Callable[[], object]) -> None:
    """Register a function to be called when the command ends, after its processes were killed."""
    _registry.at_end.append(action)


def finish() -> None:
    """Kill all processes and wait for them, then call the functions of at_end(). Works once."""
    with uninterrupted():
        end_all()
        # A second thread waits for the first, but with a timeout: it may be the one that ends the process.
        alone = _registry.finishing.acquire(timeout=2 * REAPING)
        try:
            for process in [*_registry.known.values()]:
                _reap(process)
            while _registry.at_end:
                with contextlib.suppress(OSError):
                    _registry.at_end.pop()()
            _registry.release_watch()
        finally:
            if alone:
                _registry.finishing.release()


atexit.register(finish)


def die_with_parent(parent: int) -> None:
    """In a process that ``parent`` started: request SIGKILL for when the thread that started it ends.

    Does not return if ``parent`` is gone already.
    """
    import ctypes

    set_pdeathsig = 1
    ctypes.CDLL(None).prctl(set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class _Interruptions:
    """The nesting depth of uninterrupted() in the main thread, and the pending interruption."""

    depth = 0
    waiting: Ended | None = None


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Defer interrupt() until after the body, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Interruptions.depth += 1
    try:
        yield
    finally:
        _Interruptions.depth -= 1
        if not _Interruptions.depth and (waiting := _Interruptions.waiting) is not None:
            _Interruptions.waiting = None
            raise waiting


def interrupt(why: Ended) -> None:
    """From a signal handler: raise ``why``, or defer it to the end of the uninterrupted() body."""
    if not _Interruptions.depth:
        raise why
    _Interruptions.waiting = why


def _leads_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def _kill(number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(number, signal.SIGKILL)


def _reap(process: Process) -> None:
    """Wait for a killed process of either kind, and remove it."""
    wait = getattr(process, "wait", None) or getattr(process, "join", None)
    with contextlib.suppress(subprocess.TimeoutExpired, ValueError, AssertionError):
        if wait is not None:
            wait(REAPING)
    ended(process)
