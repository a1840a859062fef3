# SPDX-License-Identifier: GPL-2.0-only
"""Ends a command on SIGINT, SIGTERM or SIGHUP.

All its processes are killed at once. Interrupted is raised in the main thread, which reports partial results
and removes unfinished files. A watchdog thread ends the command if the main thread takes too long, for
example in a library's function.
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
"""The signals that end a command; after the first, further ones have no effect."""

PATIENCE = 1.2
"""Seconds that the main thread has to end the command."""


class Interrupted(processes.Ended):
    """The command was ended by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.status = 128 + number


class _State:
    """The signal that was received, and whether the command is leaving, so that signals are ignored."""

    received: Interrupted | None = None
    leaving = False


def status_of(usual: int) -> int:
    """The exit status: that of the signal if one was received, otherwise ``usual``."""
    return usual if _State.received is None else _State.received.status


def listen() -> None:
    """Install the handlers for signals that are not ignored. Called once, in the main thread."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reading,), daemon=True, name="ends").start()
    for number in OUTSIDE:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _receive)


def _receive(number: int, frame: FrameType | None) -> None:
    if _State.received is None and not _State.leaving:
        _State.received = Interrupted(number)
        processes.interrupt(_State.received)


def _watch(wakeup: int) -> None:
    """Read signal numbers from the interpreter's wakeup pipe, until one ends the command; then end it."""
    while (number := os.read(wakeup, 1)[0]) not in OUTSIDE:
        pass
    processes.end_all()
    time.sleep(PATIENCE)
    processes.finish()
    os._exit(128 + number)


def leave(code: int | str | None) -> NoReturn:
    """End the process with this status, or with that of a signal, after killing its processes.

    If the command was ended early, other threads are not waited for.
    """
    from conformance.deadline import unfinished

    _State.leaving = True
    status = status_of(code if isinstance(code, int) else 0 if code is None else 2)
    early = _State.received is not None or unfinished()
    if early:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    processes.finish()
    if early:
        os._exit(status)
    sys.exit(status)
