# SPDX-License-Identifier: GPL-2.0-only
"""R1: every SPTE that a trace shows is one that KVM makes."""

from __future__ import annotations

from conformance.model.changes import EPT_AD_MASKS_ALWAYS, NONPRESENT_BIT_63
from conformance.model.layout import PAGE_SHIFT, VMX_EPT_RWX_MASK, VMX_EPT_SUPPRESS_VE_BIT
from conformance.model.semantics import Semantics
from conformance.model.spte.access import spte_ad_enabled
from conformance.traces.entry import Entry
from conformance.traces.events import Event
from conformance.traces.rules.rule import Check, Rule
from conformance.traces.state import State

__all__ = ["MADE", "maker", "may_be_mmio_of_tdx"]


_LOW_GFN = (1 << 32) - 1


def _illegal(field: str) -> Check:
    def check(state: State, event: Event) -> str | None:
        spte = state.values[field]
        level = state.values.get("level", 0)
        entry = state.entries(spte, level)
        if not entry.wrong or (entry.host and not state.host_known):
            return None
        if entry.kind == "stray" and may_be_mmio_of_tdx(state.k, spte, state.values.get("gfn", 0)):
            return None
        if entry.empty and event.name == "fast_page_fault":
            # A walk that finds nothing leaves 0, whatever is empty in this mode.
            return None
        return f"{field} {spte:#x}: {' '.join(entry.wrong)}"

    return check


def may_be_mmio_of_tdx(k: Semantics, spte: int, gfn: int) -> bool:
    """Whether it may be the MMIO SPTE of a TDX guest: no access, Suppress #VE clear, and its own gfn.

    The MMIO value of a VM is 0 there, which the model does not know.
    """
    if not (k.shadow_x_mask and k.has(NONPRESENT_BIT_63)) or spte & (
        VMX_EPT_SUPPRESS_VE_BIT | VMX_EPT_RWX_MASK
    ):
        return False
    same = (spte >> PAGE_SHIFT ^ gfn) & _LOW_GFN
    return bool(spte >> PAGE_SHIFT & _LOW_GFN) and not same


def _beyond_host(field: str) -> Check:
    def check(state: State, event: Event) -> str | None:
        spte = state.values[field]
        entry = state.entries(spte, state.values.get("level", 0))
        return f"{field} {spte:#x}: {entry.wrong[0]}" if entry.host and not state.host_known else None

    return check


def _disabled(field: str) -> Check:
    def check(state: State, event: Event) -> str | None:
        k, spte = state.k, state.values[field]
        if not state.entries(spte, state.values["level"]).present or bool(spte_ad_enabled(k, spte)):
            return None
        return f"{field} {spte:#x} is A/D-disabled"

    return check


def _has_ad(k: Semantics) -> bool:
    """Whether the processor of the mode sets Accessed and Dirty in EPT entries."""
    hardware = k.kvm_ad_enabled if k.has(EPT_AD_MASKS_ALWAYS) else k.shadow_accessed_mask
    return bool(k.shadow_x_mask and hardware)


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
    *(
        Rule(
            f"R1 A/D {field}",
            "with A/D bits, only SPTEs for nested guests are A/D-disabled, and these are not the TDP MMU's",
            "kvm_calc_tdp_mmu_root_page_role() sets role.ad_disabled if the processor has no A/D bits",
            "make_spte() or make_nonleaf_spte()",
            ("kvm_tdp_mmu_spte_changed",),
            _disabled(field),
            field=field,
            applies=_has_ad,
        )
        for field in ("old_spte", "new_spte")
    ),
)
