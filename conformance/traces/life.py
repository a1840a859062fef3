# SPDX-License-Identifier: GPL-2.0-only
"""The life of one gfn or one SPTE: the events of a trace that concern it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from conformance.traces.events import PAGES, Event
from conformance.traces.outcome import Finding, Outcome
from conformance.traces.state import gfns_of

__all__ = ["Life", "life_of"]

_ADDRESSES = {"fast_page_fault": "cr2_or_gpa", "kvm_page_fault": "fault_address"}


@dataclass(frozen=True)
class Life:
    """The events that concern a gfn, or the SPTE at an address, in their order.

    ``wrong`` are the findings about them, by line.
    """

    title: str
    events: tuple[Event, ...]
    wrong: dict[int, tuple[Finding, ...]]


def life_of(outcome: Outcome, gfn: int | None = None, sptep: int | None = None) -> Life:
    """The life of ``gfn``, of the SPTE at ``sptep``, or else of the gfn that a trace says most of.

    Without either it is the gfn of the first finding, or the one with the most events.
    """
    events = outcome.trace.events
    if sptep is not None:
        places = {
            (event.values["gfn"], event.values.get("level", 1))
            for event in events
            if event.values.get("sptep") == sptep and "gfn" in event.values
        }
        chosen = [
            event
            for event in events
            if event.values.get("sptep") == sptep
            or (event.values.get("gfn"), event.values.get("level", 1)) in places
        ]
        title = f"SPTE at {sptep:#x}"
    else:
        gfn = _busiest(outcome) if gfn is None else gfn
        chosen = [event for event in events if _concerns(event, gfn)]
        title = f"gfn {gfn:#x}"
    lines = {event.line for event in chosen}
    wrong: dict[int, tuple[Finding, ...]] = {}
    for finding in outcome.findings:
        if finding.event.line in lines:
            wrong[finding.event.line] = (*wrong.get(finding.event.line, ()), finding)
    return Life(title, tuple(chosen), wrong)


def _busiest(outcome: Outcome) -> int:
    for finding in outcome.findings:
        found = _gfn(finding.event)
        if found is not None:
            return found
    counts = Counter(event.values["gfn"] for event in outcome.trace.events if "gfn" in event.values)
    return counts.most_common(1)[0][0] if counts else 0


def _gfn(event: Event) -> int | None:
    address = event.values.get(_ADDRESSES.get(event.name, ""))
    if address is not None:
        return int(address) >> 12
    found = event.values.get("gfn")
    return None if found is None else int(found)


def _concerns(event: Event, gfn: int) -> bool:
    """Whether the event is about an entry that maps the gfn, or a fault at it."""
    first = _gfn(event)
    if first is None:
        return False
    level = event.values.get("level", 1) if event.name not in PAGES else event.values.get("level", 0) + 1
    return 0 <= gfn - first < gfns_of(level)
