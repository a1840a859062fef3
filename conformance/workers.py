# SPDX-License-Identifier: GPL-2.0-only
"""Pools of worker processes, which are killed when the command ends."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, resource_tracker, util
from multiprocessing.managers import SyncManager
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from conformance.ends import OUTSIDE
from conformance.sandbox import processes

__all__ = ["Workers", "begin_worker", "manager", "signals_blocked", "workers"]

P = ParamSpec("P")
T = TypeVar("T")


class Workers(ProcessPoolExecutor):
    """A pool whose processes are registered, and ignore the signals that are meant for the command."""

    def __init__(self, jobs: int, begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
        super().__init__(
            jobs,
            mp_context=get_context("spawn"),
            initializer=begin_worker,
            initargs=(os.getpid(), begin, arguments),
        )
        self._registered: dict[int, BaseProcess] = {}

    def submit(self, task: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit a task, and register the process that the pool may have started for it."""
        with signals_blocked(), processes.uninterrupted():
            processes.check()
            future = super().submit(task, *args, **kwargs)
            for pid, process in [*self._processes.items()]:
                if pid not in self._registered:
                    self._registered[pid] = process
                    processes.started(process)
        return future

    def kill(self) -> None:
        """Kill the processes and cancel their tasks."""
        for process in self._registered.values():
            process.kill()
        self.shutdown(wait=False, cancel_futures=True)

    def reap(self) -> None:
        """Wait for the processes, after they were shut down or killed, and remove them from the registry."""
        for process in self._registered.values():
            process.join(processes.REAPING)
            processes.ended(process)


@contextlib.contextmanager
def workers(
    jobs: int, begin: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[Workers]:
    """A pool of processes, each of which first calls ``begin(*arguments)``. An exception kills them."""
    pool = Workers(jobs, begin, arguments)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        pool.kill()
        raise
    finally:
        pool.reap()


@contextlib.contextmanager
def manager() -> Iterator[SyncManager]:
    """A manager process, which shares objects among processes."""
    # An abstract socket, since a killed process would leave a file behind.
    sharing = SyncManager(f"\0conformance-{os.getpid()}-{secrets.token_hex(8)}", ctx=get_context("spawn"))
    with signals_blocked():
        sharing.start(begin_worker, (os.getpid(), None, ()))
    with sharing:
        yield sharing


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Start processes in which the signals for the command are blocked until begin_worker()."""
    # Starting the resource tracker, a process too, unblocks signals: start it before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OUTSIDE)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker(parent: int, begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    """Initialise a worker: it dies with its parent and ignores signals that are meant for the command."""
    for number in OUTSIDE:
        # An empty handler: SIG_IGN would be inherited by programs that the worker starts.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _ignored)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OUTSIDE)
    processes.die_with_parent(parent)
    if begin is not None:
        begin(*arguments)


def _ignored(number: int, frame: FrameType | None) -> None:
    pass


def _clean_up() -> None:
    """Release the resources of multiprocessing: os._exit() would skip its exit handlers."""
    util._run_finalizers()  # type: ignore[attr-defined]
    # Without this, the tracker would end some time after this process.
    tracker: Any = resource_tracker._resource_tracker
    pid, tracker._pid = getattr(tracker, "_pid", None), None
    if pid is None:
        return
    os.close(tracker._fd)
    tracker._fd = None
    end = time.monotonic() + processes.REAPING
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            break
        time.sleep(0.01)


processes.at_end(_clean_up)
