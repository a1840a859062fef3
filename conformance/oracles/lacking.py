# SPDX-License-Identifier: GPL-2.0-only
"""What the suite, or the system that it runs on, lacks: never a finding about a kernel."""

from __future__ import annotations

import signal

from conformance.errors import ConformanceError

__all__ = ["FROM_OUTSIDE", "MEMORY", "Lacking", "broke_off", "no_process", "signal_name", "written"]

MEMORY = "Free memory, or raise the limits of this process (ulimit -a), and try again."
"""What to do if the system refuses what a process needs."""

FROM_OUTSIDE = {
    signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT,
    signal.SIGXCPU,
}  # fmt: skip
"""Signals by which the system or its user ends a process.

All others are raised by the code that runs in it; SIGBUS, for one, by a stack that is not canonical.
"""


class Lacking(ConformanceError):
    """Kernel code could not be run to the end, for a reason that is not the kernel's: status 2.

    what: what is lacking, in words; the same for whatever stops at it.
    where: how kernel code came to it, beginning with a comma or in brackets; may be empty.
    todo: a sentence that says what to do; may be empty.
    """

    def __init__(self, what: str, where: str = "", todo: str = "") -> None:
        super().__init__(what, where, todo)
        self.what = what
        self.where = where
        self.todo = todo

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self, stopped: str = "") -> str:
        """The message; ``stopped`` is what could not be judged."""
        after = f": {stopped} could not be judged" if stopped else ""
        return f"{self.what}{self.where}{after}" + (f". {self.todo}" if self.todo else "")


def no_process(problem: OSError | int, said: str = "") -> Lacking:
    """Why no kernel code runs: what the system refused, or how the process ended and its message."""
    if isinstance(problem, OSError):
        return Lacking("the system gives kernel code no process", f" ({problem.strerror})", MEMORY)
    how = f"was ended by {signal_name(-problem)}" if problem < 0 else f"ended with status {problem}"
    return Lacking(f"the process for kernel code {how}", f" ({said})" if said else "", MEMORY)


def broke_off(code: int) -> str | Lacking:
    """What it means that the process for kernel code ended with an exit code, which it should not by itself.

    In words that follow "the kernel", unless it was ended from outside.
    """
    if code >= 0:
        return f"broke off: it ended its process with status {code}"
    if code == -signal.SIGSYS:
        return "broke off: it made a system call, which kernel code cannot (SIGSYS)"
    if -code in FROM_OUTSIDE:
        return no_process(code)
    return f"died of {signal_name(-code)}"


def written(text: bytes | str) -> str:
    """What kernel code wrote, as text without control characters, which would steer a terminal."""
    whole = text.decode(errors="replace") if isinstance(text, bytes) else text
    return "".join(one if one.isprintable() else "?" for one in whole)


def signal_name(number: int) -> str:
    """The name of a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
