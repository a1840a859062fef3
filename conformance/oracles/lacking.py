# SPDX-License-Identifier: GPL-2.0-only
"""What the suite, or the machine that it runs on, has not: never a finding about a kernel."""

from __future__ import annotations

from conformance.errors import ConformanceError

__all__ = ["Lacking"]


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
