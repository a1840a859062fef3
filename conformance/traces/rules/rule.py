# SPDX-License-Identifier: GPL-2.0-only
"""What a rule is: what it says, where that is written, which events show it, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from conformance.model.semantics import Semantics
from conformance.traces.events import Event
from conformance.traces.state import State

__all__ = ["Rule", "Standing", "always"]

Check = Callable[[State, Event], "str | None"]


class Standing(str, Enum):
    """How much an event that breaks a rule proves."""

    VIOLATION = "violation"
    """The kernel did what it must not do: that event alone proves it, whatever else is missing."""
    SUSPICION = "suspicion"
    """It may have: there are innocent explanations, which the rule names."""

    def __str__(self) -> str:
        return self.value


def always(_: Semantics) -> bool:
    """A rule that holds in every kernel."""
    return True


@dataclass(frozen=True)
class Rule:
    """One thing that a trace may not show.

    ``check`` returns what is wrong with an event of ``events``, or None. ``sentence`` is the rule,
    ``source`` where it is written or follows from, ``function`` what makes such entries in the kernel.
    ``innocent`` names other explanations; a rule with any is a suspicion. ``needs`` are further events
    without which it cannot be checked, and ``field`` is the one that its answer rests on. ``applies`` says
    in which kernels it holds.
    """

    name: str
    sentence: str
    source: str
    function: str
    events: tuple[str, ...]
    check: Check
    innocent: str = ""
    needs: tuple[str, ...] = ()
    field: str = ""
    applies: Callable[[Semantics], bool] = always
    one_vm: bool = False
    """Whether it follows SPTEs or pages through time, and several VMs in the trace would confuse it."""

    @property
    def standing(self) -> Standing:
        """What an event that breaks the rule proves."""
        return Standing.SUSPICION if self.innocent else Standing.VIOLATION

    def missing(self, seen: Iterable[str]) -> list[str]:
        """The events without which it cannot be checked, and that the trace does not have."""
        have = set(seen)
        lacking = [name for name in self.needs if name not in have]
        if not have & set(self.events):
            lacking = [*self.events, *lacking]
        return lacking
