# SPDX-License-Identifier: GPL-2.0-only
"""What the check of a trace found, for reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from conformance.traces.events import Event
from conformance.traces.host import Host
from conformance.traces.rules.rule import Rule, Standing
from conformance.traces.trace import Trace

__all__ = ["Finding", "Outcome"]


@dataclass(frozen=True)
class Finding:
    """An event that breaks a rule: what is wrong, and earlier events that lead to it.

    ``standing`` is that of the rule, or a suspicion if the line may be cut; ``innocent`` says what else it
    may be.
    """

    rule: Rule
    event: Event
    detail: str
    standing: Standing
    innocent: str
    before: tuple[Event, ...] = ()

    def sptes(self) -> dict[str, int]:
        """The SPTEs of the event by the names of their fields."""
        names = ("old_spte", "new_spte", "spte")
        return {name: self.event.values[name] for name in names if name in self.event.values}


@dataclass
class Outcome:
    """A trace as it was judged.

    ``checked`` counts the events that each rule was held against, by its name; ``unchecked`` says why a rule
    was not. ``counts`` are all findings by rule and standing, of which ``findings`` has the first ones.
    """

    trace: Trace
    host: Host
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[tuple[str, Standing]] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    unchecked: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unjudged: str = ""

    def count(self, standing: Standing) -> int:
        """How many findings have this standing."""
        return sum(count for (_, at), count in self.counts.items() if at is standing)
