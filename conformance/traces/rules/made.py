# SPDX-License-Identifier: GPL-2.0-only
"""R1: every SPTE that a trace shows is one that KVM makes."""

from __future__ import annotations

from conformance.model.changes import NONPRESENT_BIT_63
from conformance.model.layout import PAGE_SHIFT, VMX_EPT_RWX_MASK, VMX_EPT_SUPPRESS_VE_BIT
from conformance.traces.entry import Entry
from conformance.traces.events import Event
from conformance.traces.rules.rule import Check, Rule
from conformance.traces.state import State

__all__ = ["MADE", "maker"]


_LOW_GFN = (1 << 32) - 1


def _illegal(field: str) -> Check:
    def check(state: State, event: Event) -> str | None:
        spte = state.values[field]
        level = state.values.get("level", 0)
        entry = state.entries(spte, level)
        if not entry.wrong or (entry.host and not state.host_known):
            return None
        if entry.kind == "stray" and _is_mmio_of_tdx(state, spte):
            return None
        if entry.empty and event.name == "fast_page_fault":
            # A walk that finds nothing leaves 0, whatever is empty in this mode.
            return None
        return f"{field} {spte:#x}: {' '.join(entry.wrong)}"

    return check


def _is_mmio_of_tdx(state: State, spte: int) -> bool:
    """Whether it is the MMIO SPTE of a TDX guest: no access, Suppress #VE clear, and its own gfn.

    The MMIO value of a VM is 0 there, which the model does not know.
    """
    k = state.k
    if not (k.shadow_x_mask and k.has(NONPRESENT_BIT_63)) or spte & (
        VMX_EPT_SUPPRESS_VE_BIT | VMX_EPT_RWX_MASK
    ):
        return False
    same = (spte >> PAGE_SHIFT ^ state.values.get("gfn", 0)) & _LOW_GFN
    return bool(spte >> PAGE_SHIFT & _LOW_GFN) and not same


def _beyond_host(field: str) -> Check:
    def check(state: State, event: Event) -> str | None:
        spte = state.values[field]
        entry = state.entries(spte, state.values.get("level", 0))
        return f"{field} {spte:#x}: {entry.wrong[0]}" if entry.host and not state.host_known else None

    return check


_SOURCE = (
    "the model's rules of legal SPTEs (make_spte(), make_mmio_spte(), make_nonleaf_spte() of the kernel)"
)
_MAKERS = "make_spte(), make_mmio_spte() or make_nonleaf_spte()"


def maker(entry: Entry) -> str:
    """The kernel functions that make entries like this one."""
    if entry.table:
        return "make_nonleaf_spte()"
    if entry.present:
        return "make_spte(), or make_small_spte() (make_huge_page_split_spte()) when a huge page is split"
    return "make_mmio_spte()" if entry.kind == "mmio" else _MAKERS


_PLACES = (
    ("kvm_tdp_mmu_spte_changed", "old_spte"),
    ("kvm_tdp_mmu_spte_changed", "new_spte"),
    ("kvm_mmu_set_spte", "spte"),
    ("fast_page_fault", "old_spte"),
    ("fast_page_fault", "new_spte"),
    ("kvm_mmu_split_huge_page", "spte"),
)

MADE = (
    *(
        Rule(
            f"R1 {event} {field}",
            "every SPTE is one that KVM makes in this mode",
            _SOURCE,
            _MAKERS,
            (event,),
            _illegal(field),
            field=field,
        )
        for event, field in _PLACES
    ),
    *(
        Rule(
            f"R1 {event} {field}, address",
            "no SPTE maps an address that the host does not have",
            _SOURCE,
            "make_spte()",
            (event,),
            _beyond_host(field),
            innocent="the host has more address bits than were inferred; give them with --maxphyaddr",
            field=field,
        )
        for event, field in _PLACES[:3]
    ),
)
