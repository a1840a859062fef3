# SPDX-License-Identifier: GPL-2.0-only
"""What the rules know when they judge an event: the kernel, its SPTEs, and what came before."""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.model.changes import ACC_READ
from conformance.model.layout import PG_LEVEL_2M, PG_LEVEL_4K
from conformance.model.semantics import Semantics
from conformance.traces.entry import Entries, Entry
from conformance.traces.events import PAGES, Event, Values
from conformance.traces.trace import Trace

__all__ = ["Fault", "State", "gfns_of"]


@dataclass
class Fault:
    """A page fault of a vCPU that was not followed by an entry yet: its first event, and what answered it."""

    event: Event
    answered: bool = False
    spurious: bool = False


@dataclass
class State:
    """The state of the checker, before an event is judged.

    ``old`` and ``new`` are the SPTEs of the event, if it has two. ``host_known`` is whether the number of the
    host's address bits was given.
    """

    k: Semantics
    trace: Trace
    host_known: bool = False
    entries: Entries = field(init=False)
    old: Entry = field(init=False)
    new: Entry = field(init=False)
    values: Values = field(default_factory=dict)
    """The fields of the event; those of a page's role among them."""
    faults: dict[str, Fault] = field(default_factory=dict)
    """The open fault of each thread."""
    idle: dict[tuple[str, int, int], int] = field(default_factory=dict)
    """How often in a row a thread faulted at an address, with an error code, and nothing was changed."""
    chain: dict[tuple[int, int, int], set[int]] = field(default_factory=dict)
    """The values that SPTEs may have, by address space, gfn and level: one for each root that has it."""
    pages: dict[tuple[object, ...], str] = field(default_factory=dict)
    """Whether a shadow page was last seen "live" or "zapped", by its gfn and role."""
    previous: dict[str, Event] = field(default_factory=dict)
    """The last event of each thread that the trace names."""
    generation: int | None = None

    def __post_init__(self) -> None:
        self.entries = Entries(self.k)
        self.old = self.new = self.entries(0, PG_LEVEL_4K)

    def thread(self, event: Event) -> str:
        """The thread of an event; its vCPU if the trace has no threads, "" if it has neither."""
        vcpu = event.values.get("vcpu_id")
        return event.pid or ("" if vcpu is None else f"vCPU {vcpu}")

    def in_fault(self, event: Event) -> bool:
        """Whether the thread of the event handles a page fault, as far as the trace shows."""
        thread = self.thread(event)
        return not thread or thread in self.faults

    def before(self, event: Event) -> None:
        """Prepare for the rules to judge ``event``."""
        values = self.values = event.values
        if event.name in ("kvm_tdp_mmu_spte_changed", "fast_page_fault"):
            level = values.get("level", 0)
            self.old = self.entries(values["old_spte"], level)
            self.new = self.entries(values["new_spte"], level)
        elif event.name in PAGES:
            self.values = self.page(event)

    def page(self, event: Event) -> Values:
        """The fields of an event about a shadow page; those that are in its role are decoded."""
        values = event.values
        role = values.get("role")
        if role is None:
            return values
        invalid = 12 if self.k.has(ACC_READ) else 11
        return {
            **values,
            "level": role & 0xF,
            "bytes": None,
            "quadrant": role >> 5 & 3,
            "direct": bool(role >> 7 & 1),
            "invalid": bool(role >> invalid & 1),
            "unsync": bool(values["unsync"]),
            "created": bool(values["created"]) if "created" in values else None,
            "role": role & ~(1 << invalid),
        }

    def lose(self) -> None:
        """Forget what came before: events were lost."""
        self.chain.clear()
        self.pages.clear()
        self.faults.clear()
        self.idle.clear()
        self.previous.clear()
        self.generation = None

    def after(self, event: Event) -> None:
        """Remember what ``event`` changed."""
        if event.pid:
            self.previous[event.pid] = event
        follow = _AFTER.get(event.name)
        if follow is not None:
            follow(self, event)
        elif event.name in PAGES:
            self._follow_page(event)

    def _changed(self, event: Event) -> None:
        values = event.values
        level, gfn, space = values["level"], values["gfn"], values["as_id"]
        known = self.chain.setdefault((space, gfn, level), set())
        before = next((value for value in known if self.same(value, values["old_spte"], level)), None)
        if before is not None:
            known.discard(before)
        # The 0 that follows a frozen SPTE is not traced.
        known.add(0 if self.new.kind == "frozen" else values["new_spte"])
        if level >= PG_LEVEL_2M and self.new.table and self.old.leaf:
            # The SPTEs of the new table were written before it was linked, which is not traced.
            step = 1 << 9 * (level - 2)
            for child in range(gfn, gfn + gfns_of(level), step):
                self.chain.pop((space, child, level - 1), None)
        self._answer(event, values["gfn"], level)

    def same(self, one: int, other: int, level: int) -> bool:
        """Whether a later value of an SPTE may be ``other`` though only ``one`` was traced.

        The processor sets Accessed and Dirty, fast_page_fault() sets W and restores access-tracked SPTEs.
        """
        if one == other:
            return True
        first, second = self.entries(one, level), self.entries(other, level)
        if first.present and second.present:
            return not self.pfn(one) ^ self.pfn(other) and first.leaf == second.leaf
        return first.kind in _NOTHING and second.kind in _NOTHING

    def pfn(self, spte: int) -> int:
        """The address in an SPTE, without memory encryption bits."""
        return int(spte & ((1 << 52) - (1 << 12)) & ~self.k.shadow_me_mask)

    def _set(self, event: Event) -> None:
        self._answer(event, event.values["gfn"], event.values["level"])

    def _fast(self, event: Event) -> None:
        fault = self.faults.get(self.thread(event))
        if fault is not None:
            fault.answered |= bool(event.values.get("fixed"))
            fault.spurious |= bool(event.values.get("spurious"))
        if event.values.get("fixed"):
            self._something_changed(event.values["cr2_or_gpa"] >> 12, 3)

    def _answer(self, event: Event, gfn: int, level: int) -> None:
        fault = self.faults.get(self.thread(event))
        if fault is not None:
            fault.answered = True
        self._something_changed(gfn, level)

    def _something_changed(self, gfn: int, level: int) -> None:
        if self.idle:
            size = gfns_of(level)
            self.idle = {
                key: count for key, count in self.idle.items() if not 0 <= (key[1] >> 12) - gfn < size
            }

    def _emulated(self, event: Event) -> None:
        fault = self.faults.get(self.thread(event))
        if fault is not None:
            fault.answered = True

    def _mmio(self, event: Event) -> None:
        self._emulated(event)
        self.generation = event.values["gen"]

    def _fault(self, event: Event) -> None:
        thread = self.thread(event)
        if thread:
            self.faults[thread] = Fault(event)

    def _entry(self, event: Event) -> None:
        thread = self.thread(event)
        fault = self.faults.pop(thread, None)
        if fault is None:
            return
        key = thread, fault.event.values["fault_address"] or 0, fault.event.values["error_code"] or 0
        if fault.answered:
            self.idle.pop(key, None)
        else:
            self.idle[key] = self.idle.get(key, 0) + 1

    def _follow_page(self, event: Event) -> None:
        self.pages[self.identity()] = "zapped" if event.name == "kvm_mmu_prepare_zap_page" else "live"

    def identity(self) -> tuple[object, ...]:
        """What makes the shadow page of the event the same as another: its gfn and role."""
        values = self.values
        if "role" in values:
            return values["gfn"], values["role"]
        return values["gfn"], *map(values.get, _ROLE)


_ROLE = ("level", "bytes", "quadrant", "direct", "access", "nx", "ad")
_NOTHING = ("zero", "zapped", "frozen")


def gfns_of(level: int) -> int:
    """How many gfns an entry of ``level`` covers."""
    return 1 << 9 * max(level - 1, 0)


_AFTER = {
    "kvm_tdp_mmu_spte_changed": State._changed,
    "kvm_mmu_set_spte": State._set,
    "fast_page_fault": State._fast,
    "mark_mmio_spte": State._mmio,
    "kvm_page_fault": State._fault,
    "kvm_entry": State._entry,
    **dict.fromkeys(
        ("handle_mmio_page_fault", "kvm_mmio", "vcpu_match_mmio", "kvm_emulate_insn", "kvm_inj_exception"),
        State._emulated,
    ),
}
