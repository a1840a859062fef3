# SPDX-License-Identifier: GPL-2.0-only
"""Every process that a command has started, so that none outlives it.

The registry kills them when the command ends. For the case that the command itself is killed, a watch holds a
copy of the registry: a shell that reads it from a pipe, and at the end of the pipe kills what is in it.
Unlike PR_SET_PDEATHSIG, which is sent when the thread that forked ends, this does not depend on threads, and
it reaches all processes of a group.
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
    "undisturbed",
]

REAPING = 1.0
"""For how many seconds a killed process is waited for."""

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
"""Reads "+ PID" and "- PID"; a PID below 0 is a group, as kill() has it."""


class Ended(BaseException):
    """The command ends before its work is done; what is known by then is reported.

    Not an Exception, so that no handler of errors takes it for one.
    """


class Process(Protocol):
    """What a process must have: subprocess.Popen, multiprocessing.Process."""

    @property
    def pid(self) -> int | None:
        """Its number."""


class _Registry:
    """The processes by their number, below 0 if they lead a group of their own; and the watch over them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.finishing = threading.Lock()
        self.known: dict[int, Process] = {}
        self.watch: subprocess.Popen[bytes] | None = None
        self.ending = False
        self.at_end: list[Callable[[], object]] = []

    def tell(self, sign: str, number: int) -> None:
        """Tell the watch, which is started for it; it may be gone, as if killed by the user."""
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
        """Let the watch end, and wait for it."""
        watch, self.watch = self.watch, None
        if watch is not None:
            assert watch.stdin is not None
            watch.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                watch.wait(REAPING)


_registry = _Registry()


def _forget() -> None:
    """In a process that was forked: the parent's processes are not its own, nor is the watch."""
    global _registry
    watch, _registry = _registry.watch, _Registry()
    if watch is not None and watch.stdin is not None:
        os.close(watch.stdin.fileno())
        watch.returncode = 0  # Or Popen complains of a child that is still running.


os.register_at_fork(after_in_child=_forget)


def start(argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a program as the leader of a session of its own, known to the registry.

    ``options`` are Popen's. The caller tells of its end with ended(). Raises Ended if the command is ending,
    OSError as Popen does.
    """
    with undisturbed(), _registry.lock:
        check()
        process: subprocess.Popen[Any] = subprocess.Popen(argv, start_new_session=True, **options)
        started(process)
        return process


def run(
    argv: Sequence[str], *, given: bytes | None = None, timeout: float | None = None, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end and return it with its output. ``given`` is its standard input.

    Raises as start() does, TimeoutExpired after ``timeout`` seconds, and Ended if the command ends meanwhile.
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
    """End a program that start() began, with all of its group."""
    with undisturbed():
        _kill(-process.pid)
        process.wait()
        ended(process)


def started(process: Process) -> None:
    """Note a process; with its group, if it leads one. Nothing happens if it is known already.

    One that was noted after the command began to end is killed at once.
    """
    pid = process.pid
    assert pid is not None, "the process was not started"
    with undisturbed(), _registry.lock:
        if pid in _registry.known or -pid in _registry.known:
            return
        number = -pid if _leads_group(pid) else pid
        _registry.known[number] = process
        _registry.tell("+", number)
        if _registry.ending:
            _kill(number)


def ended(process: Process) -> None:
    """Forget a process that has ended and has been waited for."""
    pid = process.pid
    assert pid is not None, "the process was not started"
    with undisturbed(), _registry.lock:
        for number in (pid, -pid):
            if _registry.known.pop(number, None) is not None:
                _registry.tell("-", number)


def end_all() -> None:
    """Kill every process that is known, and start no other from now on."""
    with undisturbed(), _registry.lock:
        _registry.ending = True
        for number in _registry.known:
            _kill(number)


def ending() -> bool:
    """Whether end_all() was called. How a process ended afterwards says nothing about the process."""
    return _registry.ending


def check() -> None:
    """Raise Ended if the command is ending."""
    if _registry.ending:
        raise Ended("the command is ending")


def at_end(action: Callable[[], object]) -> None:
    """Do this when the command ends, after its processes."""
    _registry.at_end.append(action)


def finish() -> None:
    """End all processes and wait for them, then do what is to be done at the end; once."""
    with undisturbed():
        end_all()
        # A second thread waits for the first, though not for ever: it may be the one that ends the process.
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
    """In a process that was started by ``parent``: have it killed when the thread that started it ends.

    Does not return if that has happened already.
    """
    import ctypes

    set_pdeathsig = 1
    ctypes.CDLL(None).prctl(set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class _Interruptions:
    """How deeply the main thread is in code that is not to be interrupted, and what waits for its end."""

    depth = 0
    waiting: Ended | None = None


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let no interrupt() break off the body, in the main thread; it is raised afterwards."""
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
    """Raise ``why``, from a signal handler; at the end of the body that is undisturbed, if it is in one."""
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
    """Wait for a killed process, whichever kind it is."""
    wait = getattr(process, "wait", None) or getattr(process, "join", None)
    with contextlib.suppress(subprocess.TimeoutExpired, ValueError, AssertionError):
        if wait is not None:
            wait(REAPING)
    ended(process)
