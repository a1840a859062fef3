# SPDX-License-Identifier: GPL-2.0-only
"""The result of identifying a kernel: the changes that it has, and what shows each."""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.differential.verdict import Counterexample, Result
from conformance.model.changes import Change

__all__ = ["Decided", "Identity", "Undecided"]


@dataclass(frozen=True)
class Decided:
    """A change that the kernel has (``there``) or lacks, and what shows it.

    ``by`` is ``behaviour``, ``story`` or ``presence`` (of a function; weaker than the other two). ``shown``
    is the smallest input: its ``kernel`` is this kernel, its ``model`` one that differs in this change only.
    """

    name: str
    change: Change
    there: bool
    by: str
    question: str
    mode: str
    reason: str
    shown: Counterexample | None = None


@dataclass(frozen=True)
class Undecided:
    """A change of which it is not known whether the kernel has it.

    ``along`` is another with which it could be exchanged: only the two together are known. ``proved``: no
    property answers otherwise with it than without, whatever the input and the host.
    """

    name: str
    change: Change
    along: Change | None
    proved: bool = False


@dataclass
class Identity:
    """What a kernel was found to be: ``nearest``, plus and without what ``differing`` lists.

    ``misfits`` are the results that no profile explains: then the registry does not describe the kernel, and
    the rest is about the nearest profile. ``untold`` says why no stories were played. ``lacking`` says why
    some could not be played although they should have been: then it is not known that the profile fits.
    ``proved`` are the properties that answer as the profile does on every input and host, ``unproved`` the
    others, with the reason. ``notes`` say how patches were applied, where that was not exact.
    """

    title: str
    version: str
    nearest: str
    decided: list[Decided]
    undecided: list[Undecided]
    differing: list[Decided]
    misfits: list[Result] = field(default_factory=list)
    untold: str = ""
    lacking: str = ""
    proved: list[str] = field(default_factory=list)
    unproved: dict[str, str] = field(default_factory=dict)
    compiler: str = ""
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """The exit status: 0 if a profile fits, 1 if none does, 2 if stories could not be played."""
        if self.misfits:
            return 1
        return 2 if self.lacking else 0
