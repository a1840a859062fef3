# SPDX-License-Identifier: GPL-2.0-only
"""What is known of a WARN or BUG of KVM: where it is, what it checks, and what it means when it fires."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from conformance.model.changes import Change

__all__ = ["SERIES", "Check", "adds", "plain", "within"]

SERIES = ("5.10", "6.1", "6.12", "7.2", "7.3")
"""The series whose sources the table was written from."""


@dataclass(frozen=True, eq=False)
class Check:
    """A WARN or BUG of KVM.

    ``function`` has it, in ``file`` of the kernels from ``since`` to ``until``; ``also`` are the function's
    names in some of them. ``FNAME(x)`` is a function of paging_tmpl.h.

    ``names`` is a regular expression for names in the condition: it finds the check among those of its
    function; "" if the function has no other. ``says`` is a part of the message that is printed with it, ""
    if there is no message. ``added`` is the change that brought it, None if that is not known; ``fixes`` are
    commits of the catalogue of fixes that concern it, beside those to its function.
    """

    file: str
    function: str
    what: str
    means: str
    since: str = SERIES[0]
    until: str = SERIES[-1]
    names: str = ""
    says: str = ""
    also: tuple[str, ...] = ()
    added: Change | None = None
    fixes: tuple[str, ...] = ()
    bug: bool = False
    """Whether some of these kernels have a BUG there, which ends the thread and may end the host."""
    ends_vm: bool = False
    """Whether some of these kernels end the virtual machine there (KVM_BUG_ON())."""
    debug: bool = False
    """Whether some of these kernels have it only if they are built with checks for developers."""

    @property
    def kernels(self) -> tuple[str, ...]:
        """The series that have it."""
        return SERIES[SERIES.index(self.since) : SERIES.index(self.until) + 1]

    @property
    def functions(self) -> tuple[str, ...]:
        """Its function, by all of its names."""
        return self.function, *self.also

    def tests(self, condition: str) -> bool:
        """Whether this is the check with that condition, among those of its function."""
        return re.search(self.names, condition) is not None


def within(file: str) -> partial[Check]:
    """Makes checks of one file."""
    return partial(Check, file)


def adds(commit: str, title: str, since: str) -> Change:
    """A change that added checks, but is not one that the model knows."""
    return Change(commit, title, since, "It adds the check, or the code that it checks.")


def plain(function: str) -> str:
    """The name of a function without what the compiler appends: .cold.160, .isra.0, .part.3, .constprop.0."""
    return re.sub(r"\.(?:cold|isra|part|constprop|llvm)\b.*", "", function)
