# SPDX-License-Identifier: GPL-2.0-only
"""What the suite, or the machine that it runs on, has not: never a finding about a kernel."""

from __future__ import annotations

import signal

from conformance.errors import ConformanceError

__all__ = ["KERNELS_OWN", "MEMORY", "Lacking", "no_process", "signal_name"]

MEMORY = "Free memory, or raise the limits of this process (ulimit -a), and try again."
"""What to do where the system did not give what a process needs."""

KERNELS_OWN = {signal.SIGSEGV, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGABRT}
"""Signals that code brings on itself. SIGBUS is none: it comes when the system has no page to give."""


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
        """It all as sentences; ``stopped`` is what could not be judged for it."""
        after = f": {stopped} could not be judged" if stopped else ""
        return f"{self.what}{self.where}{after}" + (f". {self.todo}" if self.todo else "")


def no_process(problem: OSError | int) -> Lacking:
    """Why no kernel code runs: what the system refused, or the status with which the process ended."""
    if isinstance(problem, OSError):
        return Lacking("the system gives kernel code no process", f" ({problem.strerror})", MEMORY)
    how = f"was ended by {signal_name(-problem)}" if problem < 0 else f"ended with status {problem}"
    return Lacking(f"the process for kernel code {how}", "", MEMORY)


def signal_name(number: int) -> str:
    """A signal as people call it."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
