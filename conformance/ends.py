# SPDX-License-Identifier: GPL-2.0-only
"""How a command ends by a signal from outside: SIGINT, SIGTERM or SIGHUP.

All its processes are killed at once, whatever the main thread is at; there, Interrupted is raised, so that
what is known can be reported and what is half made removed. A thread watches over that: if the main thread
takes too long, for instance in a function of a library, the command ends without it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

from conformance.sandbox import processes

__all__ = ["OUTSIDE", "Interrupted", "leave", "listen", "status_of"]

OUTSIDE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends a command from outside; further ones change nothing."""

PATIENCE = 1.2
"""Seconds that the main thread has to end by itself."""


class Interrupted(processes.Ended):
    """The command was ended by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.status = 128 + number


class _State:
    """What has been heard, and whether it is of use any more."""

    heard: Interrupted | None = None
    leaving = False


def status_of(usual: int) -> int:
    """The exit status: that of the signal if one was heard, otherwise the ``usual`` one."""
    return usual if _State.heard is None else _State.heard.status


def listen() -> None:
    """Let the signals that are not ignored end the command. For the main thread, once in a process."""
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(told,), daemon=True, name="ends").start()
    for number in OUTSIDE:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _hear)


def _hear(number: int, frame: FrameType | None) -> None:
    if _State.heard is None and not _State.leaving:
        _State.heard = Interrupted(number)
        processes.interrupt(_State.heard)


def _watch(told: int) -> None:
    """Read the numbers of signals, as the interpreter notes them, until one ends the command."""
    while (number := os.read(told, 1)[0]) not in OUTSIDE:
        pass
    processes.end_all()
    time.sleep(PATIENCE)
    processes.finish()
    os._exit(128 + number)


def leave(code: int | str | None) -> NoReturn:
    """End the process with this status, or with that of a signal; nothing that it started is left.

    Other threads are not waited for where the command was ended early: what they are at is of no use.
    """
    from conformance.deadline import unfinished

    _State.leaving = True
    status = status_of(code if isinstance(code, int) else 0 if code is None else 2)
    early = _State.heard is not None or unfinished()
    if early:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    processes.finish()
    if early:
        os._exit(status)
    sys.exit(status)
