# SPDX-License-Identifier: GPL-2.0-only
"""Pools of processes of ours, which end with the command whatever they are at."""

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

__all__ = ["Workers", "begin_worker", "manager", "workers"]

P = ParamSpec("P")
T = TypeVar("T")


class Workers(ProcessPoolExecutor):
    """A pool whose processes are known to the registry, and do not hear the signals meant for the command."""

    def __init__(self, jobs: int, begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
        super().__init__(
            jobs,
            mp_context=get_context("spawn"),
            initializer=begin_worker,
            initargs=(os.getpid(), begin, arguments),
        )
        self._seen: dict[int, BaseProcess] = {}

    def submit(self, task: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a task done, by a new process if there are not all yet."""
        with deaf(), processes.undisturbed():
            processes.check()
            future = super().submit(task, *args, **kwargs)
            for pid, process in [*self._processes.items()]:
                if pid not in self._seen:
                    self._seen[pid] = process
                    processes.started(process)
        return future

    def kill(self) -> None:
        """End the processes, whatever they are at; what they were to do is not done."""
        for process in self._seen.values():
            process.kill()
        self.shutdown(wait=False, cancel_futures=True)

    def forget(self) -> None:
        """Wait for the processes, which have been ended."""
        for process in self._seen.values():
            process.join(processes.REAPING)
            processes.ended(process)


@contextlib.contextmanager
def workers(
    jobs: int, begin: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[Workers]:
    """A pool of processes, each of which does ``begin(*arguments)`` first. An exception ends them at once."""
    pool = Workers(jobs, begin, arguments)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        pool.kill()
        raise
    finally:
        pool.forget()


@contextlib.contextmanager
def manager() -> Iterator[SyncManager]:
    """What shares objects among processes: a process too."""
    # Its socket has no name in the file system, which a killed process would leave there.
    sharing = SyncManager(f"\0conformance-{os.getpid()}-{secrets.token_hex(8)}", ctx=get_context("spawn"))
    with deaf():
        sharing.start(begin_worker, (os.getpid(), None, ()))
    with sharing:
        yield sharing


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """Start processes with the signals blocked that are meant for the command, until begin_worker()."""
    # It is a process too; starting it unblocks signals.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OUTSIDE)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker(parent: int, begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    """What a process does first: it ends with its parent, which alone hears of an end from outside."""
    for number in OUTSIDE:
        # A handler, since what is ignored would be ignored by programs that are started, too.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _unheard)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OUTSIDE)
    processes.die_with_parent(parent)
    if begin is not None:
        begin(*arguments)


def _unheard(number: int, frame: FrameType | None) -> None:
    pass


def _clean_up() -> None:
    """Remove what multiprocessing keeps until the interpreter exits, which it may not do in the usual way."""
    util._run_finalizers()  # type: ignore[attr-defined]
    # It would otherwise end only some time after this process.
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
