# SPDX-License-Identifier: GPL-2.0-only
"""Transcripts: a line for every step and for everything that it changed, for people and for diff.

    4 access vcpu=0 gfn=0x100 kind=write
      outcome  fixed, done
    - T(1,0x0,1)[0x100]  0x0600000100200b75 H(0,0x0,1) present, R-X, host-writable, ...
    + T(1,0x0,1)[0x100]  0x0600000100200b77 H(0,0x0,1) present, RWX, host-writable, ...

Tables and host pages have names that are the same in every run (see ``naming``). Only changes are listed:
``-`` as it was, ``+`` as it is. A run of entries that continue one another is listed by its first and last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from conformance.interface.observation import (
    Observation,
    PageEntry,
    RootView,
    ShadowPageView,
    ShadowView,
    State,
    TableEntry,
)
from conformance.model.layout import SPTE_BASE_ADDR_MASK
from conformance.model.semantics import Semantics
from conformance.model.spte.decode.text import describe
from conformance.model.spte.predicates import is_shadow_present_pte, spte_to_pfn
from conformance.scenarios.naming import PageNames, TableNames
from conformance.scenarios.observation_text import (
    outcome,
    retired_text,
    root_text,
    slot_text,
    tlb_text,
    vcpu_text,
)
from conformance.scenarios.shadow_state import translated_gfn
from conformance.scenarios.shadow_text import page_text, rmap_facts, translation_text, vcpu_facts
from conformance.scenarios.steps import Step

__all__ = ["transcript"]

_FLUSHES = ("flushes", "flush_requests")


@dataclass(frozen=True)
class _Fact:
    """Part of the state as text; for a page table entry also the values by which runs are found."""

    text: str
    short: str = ""
    table: str = ""
    gfn: int = 0
    size: int = 0
    bits: tuple[int, ...] = ()
    pfn: int = 0

    def follows(self, other: _Fact | None) -> bool:
        """Whether it is the entry after ``other`` and the same but for mapping the page after that one's."""
        if other is None or not self.table or self.table != other.table or self.bits != other.bits:
            return False
        step = self.gfn - other.gfn
        return step == self.size == other.size and self.pfn - other.pfn in (step, 0)


@dataclass(frozen=True)
class _Change:
    """A fact before and after a step; None where it does not hold."""

    name: str
    was: _Fact | None
    now: _Fact | None

    def follows(self, other: _Change) -> bool:
        """Whether it continues a run."""
        return all(
            mine is None and its is None if mine is None or its is None else mine.follows(its)
            for mine, its in ((self.was, other.was), (self.now, other.now))
        )


def transcript(k: Semantics, steps: Sequence[Step], observations: Sequence[Observation]) -> list[str]:
    """The lines of a run, one step after the other, as far as there are observations."""
    writer = _Writer(k)
    lines: list[str] = []
    for number, (step, observation) in enumerate(zip(steps, observations, strict=False), start=1):
        lines.append(f"{number:3} {step}")
        lines += [f"    {line}" for line in writer.step(step, observation)]
    return lines


class _Writer:
    """Writes the transcript of one run: it remembers names and the state before the step."""

    def __init__(self, k: Semantics) -> None:
        self._k = k
        self._tables = TableNames()
        self._pages = PageNames()
        self._facts: dict[str, _Fact] = {}
        self._before = Observation([], [], State())

    def step(self, step: Step, now: Observation) -> Iterator[str]:
        """The lines of one step."""
        before, self._before = self._before, now
        self._tables.note(now)
        self._name_written(step, before, now)
        yield f"  outcome  {outcome(step, now.outcome)}"
        for event in now.events:
            yield f"! {event}"
        if step.kind == "destroy":
            return  # The rest of the state is gone, which need not be listed.
        facts = dict(self._lasting(now))
        names = [*facts, *(name for name in self._facts if name not in facts)]
        changes = [_Change(name, self._facts.get(name), facts.get(name)) for name in names]
        yield from _runs([change for change in changes if change.was != change.now])
        self._facts = facts
        yield from _counters(before.state or State(), now.state or State())
        if now.shadow is not None:
            counters = now.shadow.counters
            then = before.shadow.counters if before.shadow is not None else (0,) * len(counters)
            yield from _changed("shadow", counters._fields, then, counters)

    def _name_written(self, step: Step, before: Observation, now: Observation) -> None:
        """Name the page that userspace wrote to, by the gfn that it wrote."""
        if step.kind == "store":
            had, gfn = {*before.memory}, step.arguments["gfn"]
            for word in now.memory:
                if word not in had:
                    self._pages.name(word.pfn, 0, gfn, now.slots)

    def _lasting(self, now: Observation) -> Iterator[tuple[str, _Fact]]:
        for slot in now.slots:
            yield f"memslot {slot.as_id}/{slot.id}", _Fact(slot_text(slot))
        for number, vcpu in enumerate(now.vcpus):
            yield f"vCPU {number}", _Fact(vcpu_text(vcpu))
        for index, root in enumerate(now.roots):
            yield f"root {index}", _Fact(root_text(root))
            yield from self._entries(index, root, now)
        for table in now.retired:
            yield f"retired {self._tables[table.serial]}", _Fact(retired_text(table))
        for number, tlb in enumerate(now.tlb):
            for cached in tlb:
                yield f"TLB {number} gfn {cached.gfn:#x} of root {cached.root}", _Fact(tlb_text(cached))
        if now.shadow is not None:
            yield from self._shadow(now.shadow, now)
        for word in now.memory:
            yield f"memory {self._pages.known(word.pfn)}[{word.at:#x}]", _Fact(f"{word.value:#018x}")

    def _shadow(self, shadow: ShadowView, now: Observation) -> Iterator[tuple[str, _Fact]]:
        """The state of shadow paging."""
        for number, vcpu in enumerate(shadow.vcpus):
            for name, text in vcpu_facts(self._k, number, vcpu, self._tables.__getitem__):
                yield name, _Fact(text)
        for page in shadow.pages:
            table = self._tables[page.serial]
            yield table, _Fact(page_text(self._k, page))
            for entry in page.entries:
                yield f"{table}[{entry.at:#x}]", self._page_entry(table, page, entry, now)
        for name, text in rmap_facts(shadow.rmaps):
            yield name, _Fact(text)

    def _page_entry(self, table: str, page: ShadowPageView, entry: PageEntry, now: Observation) -> _Fact:
        raw = f"{entry.spte:#018x}"
        if entry.child:
            return _Fact(f"{raw} -> {self._tables[entry.child]}{', unsync' if entry.unsync else ''}")
        gfn, size = translated_gfn(page, entry), 1 << 9 * (page.role.level - 1)
        fact = self._leaf(table, entry.at * size, size, entry.spte, page.role.smm, gfn, now)
        bits = (*fact.bits, entry.access, gfn - entry.at * size)
        return replace(fact, text=fact.text + translation_text(self._k, entry), bits=bits)

    def _entries(self, index: int, root: RootView, now: Observation) -> Iterator[tuple[str, _Fact]]:
        """The entries of a root, by the table that holds them and the gfn that they translate."""
        within: list[str] = [f"root {index}"]
        for entry in root.entries():
            del within[len(entry.path) :]
            yield f"{within[-1]}[{entry.gfn:#x}]", self._entry(within[-1], root, entry, now)
            if entry.child:
                within.append(self._tables[entry.child])

    def _entry(self, table: str, root: RootView, entry: TableEntry, now: Observation) -> _Fact:
        raw = f"{entry.spte:#018x}"
        if entry.child:
            return _Fact(f"{raw} -> {self._tables[entry.child]}")
        return self._leaf(
            table, entry.gfn, 1 << 9 * (entry.level - 1), entry.spte, root.as_id, entry.gfn, now
        )

    def _leaf(
        self, table: str, at: int, size: int, spte: int, as_id: int, gfn: int, now: Observation
    ) -> _Fact:
        """An entry that is no table's, at a place ``at`` in its table, for ``gfn``."""
        raw, pfn, bits, page = f"{spte:#018x}", 0, spte, ""
        if is_shadow_present_pte(self._k, spte):
            pfn, bits = int(spte_to_pfn(self._k, spte)), spte & ~SPTE_BASE_ADDR_MASK
            page = self._pages.name(pfn, as_id, gfn, now.slots) + " "
        text = f"{raw} {page}{describe(self._k, spte)}"
        return _Fact(text, f"{raw} {page}".strip(), table, at, size, (bits,), pfn)


def _runs(changes: Sequence[_Change]) -> Iterator[str]:
    """The changes, with runs of entries joined."""
    at = 0
    while at < len(changes):
        end = at + 1
        while end < len(changes) and changes[end].follows(changes[end - 1]):
            end += 1
        # Two are shorter one by one.
        if end - at > 2:
            yield from _lines(changes[at], "")
            yield from _lines(changes[end - 1], f", {end - at} entries alike")
        else:
            for change in changes[at:end]:
                yield from _lines(change, "")
        at = end


def _lines(change: _Change, alike: str) -> Iterator[str]:
    for sign, fact in (("-", change.was), ("+", change.now)):
        if fact is not None:
            text = f"to {change.name}  {fact.short}{alike}" if alike else f"{change.name}  {fact.text}"
            yield f"{sign} {text}"


def _counters(before: State, now: State) -> Iterator[str]:
    """The flushes, always in a line of their own, then the other counters that changed."""
    grown = now.since(before)
    if grown.flush_requests or grown.flushes:
        yield f"  FLUSH    requested {grown.flush_requests}, remote {grown.flushes}"
    quiet = dict.fromkeys(_FLUSHES, 0)
    yield from _changed("state", State._fields, before._replace(**quiet), now._replace(**quiet))


def _changed(what: str, names: Sequence[str], before: Sequence[int], now: Sequence[int]) -> Iterator[str]:
    """The counters that changed, in a line."""
    changed = [
        f"{name} {then} -> {value}"
        for name, then, value in zip(names, before, now, strict=True)
        if value != then
    ]
    if changed:
        yield f"  {what:8} {', '.join(changed)}"
