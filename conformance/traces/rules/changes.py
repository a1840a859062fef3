# SPDX-License-Identifier: GPL-2.0-only
"""R2 and R4: what the TDP MMU may replace an SPTE with, and that it replaces what was there."""

from __future__ import annotations

from conformance.model.changes import EPT_AD_MASKS_ALWAYS, SPURIOUS_IF_ALLOWED
from conformance.model.layout import PG_LEVEL_4K, PT_PRESENT_MASK
from conformance.model.semantics import Semantics
from conformance.traces.events import Event
from conformance.traces.rules.rule import Rule
from conformance.traces.state import State, gfns_of

__all__ = ["CHANGES"]

_CHANGED = ("kvm_tdp_mmu_spte_changed",)
_IN_FAULTS = ("kvm_page_fault", "kvm_entry")
_HANDLE = "handle_changed_spte() (__handle_changed_spte() up to v6.2 and since v7.2)"


def _leaves(state: State) -> bool:
    return state.old.present and state.new.present and state.old.leaf and state.new.leaf


def _other_page(state: State, event: Event) -> str | None:
    old, new = state.values["old_spte"], state.values["new_spte"]
    if not _leaves(state) or state.pfn(old) == state.pfn(new):
        return None
    pages = f"the page at {state.pfn(old):#x} is replaced by the one at {state.pfn(new):#x}"
    return f"{pages}, without a zap between"


def _other_table(state: State, event: Event) -> str | None:
    old, new = state.values["old_spte"], state.values["new_spte"]
    if not (state.old.table and state.new.table) or state.pfn(old) == state.pfn(new):
        return None
    return f"the table at {state.pfn(old):#x} is replaced by the one at {state.pfn(new):#x}"


def _nothing_by_nothing(state: State, event: Event) -> str | None:
    if not (state.old.empty and state.new.empty) or state.values["old_spte"] == state.values["new_spte"]:
        return None
    return "an entry that maps nothing is replaced by another that maps nothing, neither MMIO nor frozen"


def _equal(state: State, event: Event) -> str | None:
    same = state.values["old_spte"] == state.values["new_spte"]
    return f"old and new are both {state.values['old_spte']:#x}" if same else None


def _unaligned(state: State, event: Event) -> str | None:
    gfn, level = state.values["gfn"], state.values["level"]
    return f"gfn {gfn:#x} is not the first of an entry of level {level}" if gfn & gfns_of(level) - 1 else None


def _no_level(state: State, event: Event) -> str | None:
    level = state.values["level"]
    return None if 1 <= level <= 5 else f"there is no level {level}"


def _host_writable_taken(state: State, event: Event) -> bool:
    return _leaves(state) and state.old.host_writable and not state.new.host_writable


def _host_writable_lost(state: State, event: Event) -> str | None:
    readable = state.values["level"] == PG_LEVEL_4K and state.values["old_spte"] & PT_PRESENT_MASK
    if not (readable and _host_writable_taken(state, event)):
        return None
    return "Host-writable is taken from a present SPTE that allowed reads, without a zap between"


def _host_writable_lost_early(state: State, event: Event) -> str | None:
    return "Host-writable is taken from a present SPTE" if _host_writable_taken(state, event) else None


def _host_writable_given(state: State, event: Event) -> str | None:
    given = _leaves(state) and not state.old.host_writable and state.new.host_writable
    return "Host-writable is given to a present SPTE" if given and not state.in_fault(event) else None


def _mmu_writable_lost(state: State, event: Event) -> str | None:
    lost = _leaves(state) and state.old.mmu_writable and not state.new.mmu_writable
    # A huge page loses it when dirty logging write-protects it, so that it is split.
    return (
        "MMU-writable is taken from a present SPTE" if lost and state.values["level"] == PG_LEVEL_4K else None
    )


def _writable_given(state: State, event: Event) -> str | None:
    given = _leaves(state) and not state.old.writable and state.new.writable
    return "W is given to a present SPTE" if given and not state.in_fault(event) else None


def _mmio_over_present(state: State, event: Event) -> str | None:
    replaced = state.old.present and state.new.kind == "mmio"
    return "a present SPTE is replaced by an MMIO SPTE, without a zap between" if replaced else None


def _frozen(state: State, event: Event) -> str | None:
    if state.old.kind != "frozen":
        return None
    return f"a frozen entry is replaced by {state.values['new_spte']:#x}"


def _broken_chain(state: State, event: Event) -> str | None:
    values = state.values
    known = state.chain.get((values["as_id"], values["gfn"], values["level"]))
    if (
        not known
        or not state.old.present
        or any(state.same(one, values["old_spte"], values["level"]) for one in known)
    ):
        return None
    last = ", ".join(f"{one:#x}" for one in sorted(known))
    return f"old is {values['old_spte']:#x}, but the last known there: {last}"


def _never_made_again(k: Semantics) -> bool:
    """Whether a fault leaves an SPTE as it is that allows the access, and none is access-tracked."""
    hardware = k.kvm_ad_enabled if k.has(EPT_AD_MASKS_ALWAYS) else k.shadow_accessed_mask
    return bool(k.has(SPURIOUS_IF_ALLOWED) and hardware)


CHANGES = (
    Rule(
        "R2 page",
        "a present leaf SPTE is zapped before the entry maps another page",
        "BUG() in handle_changed_spte(): a missing notifier, or a race with one",
        _HANDLE, _CHANGED, _other_page, field="new_spte",
    ),
    Rule(
        "R2 table",
        "an entry that points to a table is zapped before it points to another",
        "WARN_ON_ONCE(pfn_changed) in handle_changed_spte()",
        _HANDLE, _CHANGED, _other_table, field="new_spte",
    ),
    Rule(
        "R2 empty",
        "an empty entry is replaced by a present, an MMIO or a frozen one only",
        "WARN_ON() in handle_changed_spte(): unexpected SPTE change",
        _HANDLE, _CHANGED, _nothing_by_nothing, field="new_spte",
    ),
    Rule(
        "R2 equal",
        "a change changes something",
        "handle_changed_spte() returns before the event if old and new are equal",
        _HANDLE, _CHANGED, _equal, field="new_spte",
    ),
    Rule(
        "R2 gfn",
        "the gfn of a change is the first that its entry covers",
        "WARN_ON() in handle_changed_spte()",
        _HANDLE, _CHANGED, _unaligned,
    ),
    Rule(
        "R2 level",
        "the level of a change is 1 to 5",
        "WARN_ON() in handle_changed_spte()",
        _HANDLE, _CHANGED, _no_level,
    ),
    Rule(
        "R2 host-writable lost",
        "Host-writable is taken from an SPTE by zapping it only",
        f"{SPURIOUS_IF_ALLOWED}; invalidations zap",
        "make_spte()", _CHANGED, _host_writable_lost, field="new_spte",
        applies=_never_made_again,
    ),
    Rule(
        "R2 host-writable lost",
        "Host-writable is taken from an SPTE by zapping it only",
        "invalidations zap",
        "make_spte()", _CHANGED, _host_writable_lost_early, field="new_spte",
        innocent="a read fault that raced with a write fault made the SPTE again, until "
        f"{SPURIOUS_IF_ALLOWED}; or an access-tracked SPTE was made again",
        applies=lambda k: not _never_made_again(k),
    ),
    Rule(
        "R2 host-writable given",
        "Host-writable is given to a present SPTE by a page fault only",
        "make_spte() is called by page faults",
        "make_spte()", _CHANGED, _host_writable_given, field="new_spte", needs=_IN_FAULTS,
        innocent="an async page fault or KVM_PRE_FAULT_MEMORY, which have no kvm_page_fault event",
    ),
    Rule(
        "R2 MMU-writable lost",
        "MMU-writable is taken from a 4 KiB SPTE by zapping it, or for write tracking",
        "rmap_write_protect() and kvm_tdp_mmu_write_protect_gfn(); TLBs must be flushed, which has no event",
        "make_spte() or write_protect_gfn()", _CHANGED, _mmu_writable_lost, field="new_spte",
        innocent="a nested guest uses the page as a page table, or another user tracks writes to it; until "
        f"{SPURIOUS_IF_ALLOWED} also two racing faults",
    ),
    Rule(
        "R2 W given",
        "W is given to a present SPTE by a page fault only",
        "make_spte() and fast_page_fault() are called by page faults",
        "make_spte()", _CHANGED, _writable_given, field="new_spte", needs=_IN_FAULTS,
        innocent="an async page fault or KVM_PRE_FAULT_MEMORY, which have no kvm_page_fault event",
    ),
    Rule(
        "R6 MMIO over present",
        "a present SPTE is zapped before its gfn becomes MMIO",
        "deleting a memslot zaps its SPTEs",
        "kvm_tdp_mmu_map()", _CHANGED, _mmio_over_present, field="new_spte",
        innocent="a fault that began before the memslot was deleted",
    ),
    Rule(
        "R3 frozen",
        "only the thread that froze an entry changes it, and that is not traced",
        "tdp_mmu_set_spte_atomic() and __tdp_mmu_set_spte() WARN about a frozen old SPTE",
        "tdp_mmu_set_spte_atomic()", _CHANGED, _frozen,
    ),
    Rule(
        "R4 chain",
        "an SPTE is replaced as the last change left it",
        "every change of the TDP MMU has an event, but for the end of a freeze and the SPTEs of a split",
        _HANDLE, _CHANGED, _broken_chain, one_vm=True,
        innocent="another root or VM, lost or reordered events, a huge page that was split before the trace",
    ),
)  # fmt: skip
