# SPDX-License-Identifier: GPL-2.0-only
"""What the check of a trace found, for reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from conformance.traces.events import Event
from conformance.traces.host import Host
from conformance.traces.rules.rule import Rule, Standing
from conformance.traces.trace import Trace

__all__ = ["NOT_IN_TRACES", "Finding", "Outcome"]

NOT_IN_TRACES = (
    "dirty pages that were lost: memslot flags, dirty bitmaps and PML have no events",
    "TLB flushes that were forgotten or came late",
    "which VM and which root an SPTE belongs to",
    "Accessed and Dirty, which the processor sets",
    "what became of a frozen entry, and the SPTEs of a new table of a split huge page",
    "changes of shadow paging and the legacy MMU other than kvm_mmu_set_spte",
)
"""What no trace shows, whatever is recorded."""


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
    function: str
    """What makes such entries in the kernel."""
    before: tuple[Event, ...] = ()

    def sptes(self) -> dict[str, int]:
        """The SPTEs of the event by the names of their fields."""
        return self.sptes_of(self.event)

    @staticmethod
    def sptes_of(event: Event) -> dict[str, int]:
        """The SPTEs of any event."""
        names = ("old_spte", "new_spte", "spte")
        return {name: event.values[name] for name in names if name in event.values}


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
    """Why the trace cannot be judged."""
    standings: dict[str, Standing] = field(default_factory=dict)
    """The standing of every rule that applies to the kernel, by its name, in the order of the tables."""

    def count(self, standing: Standing) -> int:
        """How many findings have this standing."""
        return sum(count for (_, at), count in self.counts.items() if at is standing)
