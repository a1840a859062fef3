# SPDX-License-Identifier: GPL-2.0-only
"""Transcripts: a line for every step and for everything that it changed, for people and for diff.

Tables and host pages have names that mean the same in every run (see ``naming``). Only what a step
changed is told, the raw SPTE beside its decoded bits; a TLB flush is always a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from conformance.model.decode import describe
from conformance.model.kernel import Kernel
from conformance.model.shape import is_shadow_present_pte, spte_to_pfn
from conformance.scenarios.naming import PageNames, TableNames
from conformance.scenarios.observing import Entry, Observation, Root, root_entries, roots
from conformance.scenarios.steps import Step
from conformance.scenarios.words import outcome, retired_words, root_words, slot_words, tlb_words, vcpu_words

__all__ = ["transcript"]

_EMPTY: Observation = {
    "outcome": [], "events": [], "state": {}, "vcpus": [], "tlb": [], "slots": [], "roots": [], "retired": []
}  # fmt: skip
_FLUSHES = ("flushes", "flush_requests")

_State = dict[str, str]
"""Everything that lasts beyond a step, by name, in words."""


def transcript(k: Kernel, steps: Sequence[Step], observations: Sequence[Observation]) -> list[str]:
    """The lines of a run, one step after the other, as far as there are observations."""
    teller = _Teller(k)
    lines: list[str] = []
    before: Observation = _EMPTY
    for number, (step, observation) in enumerate(zip(steps, observations, strict=False), start=1):
        lines.append(f"{number:3} {step}")
        lines += [f"      {line}" for line in teller.told(step, before, observation)]
        before = observation
    return lines


class _Teller:
    """What is told of one run: it remembers names and what was so before."""

    def __init__(self, k: Kernel) -> None:
        self._k = k
        self._tables = TableNames()
        self._pages = PageNames()
        self._lasting: _State = {}

    def told(self, step: Step, before: Observation, now: Observation) -> Iterator[str]:
        """The lines of one step."""
        self._tables.note(now)
        yield f"outcome  {outcome(step, now['outcome'])}"
        for event in now["events"]:
            yield f"EVENT    {event}"
        lasting = dict(self._state(now))
        for name in [*self._lasting, *(name for name in lasting if name not in self._lasting)]:
            was, is_ = self._lasting.get(name), lasting.get(name)
            if was == is_:
                continue
            if was is None:
                yield f"+ {name}  {is_}"
            elif is_ is None:
                yield f"- {name}  {was}"
            else:
                yield f"~ {name}  {was}"
                yield f"  {' ' * len(name)}  {is_}"
        self._lasting = lasting
        yield from _flushes(before["state"], now["state"])
        changed = _changed(before["state"], now["state"])
        if changed:
            yield f"state    {', '.join(changed)}"

    def _state(self, now: Observation) -> Iterator[tuple[str, str]]:
        for slot in now["slots"]:
            yield f"memslot {slot[0]}/{slot[1]}", slot_words(slot)
        for vcpu, values in enumerate(now["vcpus"]):
            yield f"vCPU {vcpu}", vcpu_words(*values)
        for root in roots(now):
            yield f"root {root.index}", root_words(root)
            yield from self._table(root, now)
        for level, gfn, serial, frozen, present in now["retired"]:
            yield f"retired {self._tables[serial]}", retired_words(level, gfn, frozen, present)
        for vcpu, cached in enumerate(now["tlb"]):
            for entry in cached:
                yield f"TLB {vcpu} gfn {entry[1]:#x} of root {entry[0]}", tlb_words(entry)

    def _table(self, root: Root, now: Observation) -> Iterator[tuple[str, str]]:
        """The entries of a root, by the table that holds them and the gfn that they translate."""
        within: list[str] = [f"root {root.index}"]
        for entry in root_entries(root):
            del within[len(entry.path) :]
            yield f"{within[-1]}[{entry.gfn:#x}]", self._entry(root, entry, now)
            if entry.child:
                within.append(self._tables[entry.child])

    def _entry(self, root: Root, entry: Entry, now: Observation) -> str:
        if entry.child:
            return f"{entry.spte:#018x} -> {self._tables[entry.child]}"
        where = ""
        if is_shadow_present_pte(self._k, entry.spte):
            page = self._pages.name(
                int(spte_to_pfn(self._k, entry.spte)), root.as_id, entry.gfn, now["slots"]
            )
            where = f"{page} "
        return f"{entry.spte:#018x} {where}{describe(self._k, entry.spte)}"


def _flushes(before: Mapping[str, int], now: Mapping[str, int]) -> Iterator[str]:
    requested = now.get("flush_requests", 0) - before.get("flush_requests", 0)
    done = now.get("flushes", 0) - before.get("flushes", 0)
    if requested or done:
        yield f"FLUSH    requested {requested}, remote {done}"


def _changed(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """The counters that changed: name, old and new value. Those that appear begin at 0."""
    return [
        f"{name} {before.get(name, 0)} -> {value}"
        for name, value in now.items()
        if name not in _FLUSHES and value != before.get(name, 0)
    ]
