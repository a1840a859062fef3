# SPDX-License-Identifier: GPL-2.0-only
"""Fixes that no oracle would notice to be missing, by what it would take to detect them."""

from __future__ import annotations

from conformance.history.fix import Layer, Undetected
from conformance.model.changes import Change

__all__ = ["UNDETECTED"]

_SEQUENTIAL = "steps run one after the other: "
_NO_NESTING = "a nested guest always has nested tables, which are shadowed: "

UNDETECTED = (
    Undetected(
        Change(
            commit="47b0c2e4c220",
            title="KVM: x86/mmu: Fix race condition in direct_page_fault",
            since="6.1",
            effect="A fault of the TDP MMU no longer makes room for shadow pages under mmu_lock for read.",
        ),
        "direct_page_fault",
        "shadow pages of a nested guest were zapped by two vCPUs at once (CVE-2022-45869)",
        Layer.INTERLEAVING,
        _SEQUENTIAL + "and there are no shadow pages to zap",
    ),
    Undetected(
        Change(
            commit="526e609f0567",
            title="KVM: x86/mmu: Process only valid TDP MMU roots when aging a gfn range",
            since="6.13",
            effect="Aging leaves invalid roots alone.",
        ),
        "kvm_tdp_mmu_age_gfn_range",
        "a page counted as young because an invalid root still mapped it",
        Layer.INTERLEAVING,
        _SEQUENTIAL + "by the time of the next step an invalid root maps nothing",
    ),
    Undetected(
        Change(
            commit="44187235cbcc",
            title="KVM: x86/mmu: fix potential races when walking host page table",
            since="5.18",
            effect="The host's page tables are walked with interrupts off, each entry read once.",
        ),
        "host_pfn_mapping_level",
        "a host page table could be freed, or an entry change, while KVM read it",
        Layer.INTERLEAVING,
        _SEQUENTIAL + "the host's page tables do not change during a fault",
    ),
    Undetected(
        Change(
            commit="a835429cda91",
            title="KVM: x86/mmu: Ensure TLBs are flushed when yielding during GFN range zap",
            since="5.12",
            effect="A flush that zapping one root made necessary is done before zapping the next one yields.",
        ),
        "kvm_tdp_mmu_unmap_gfn_range",
        "a flush that was pending from another root was lost at a yield",
        Layer.SHADOW,
        _NO_NESTING + "an address space has one root that maps anything",
    ),
    Undetected(
        Change(
            commit="2673dfb591a3",
            title="KVM: x86/mmu: Write-protect L2 SPTEs in TDP MMU when clearing dirty status",
            since="6.9",
            effect="SPTEs of L2 are write-protected for the dirty log even if there are Dirty bits.",
        ),
        "clear_dirty_pt_masked",
        "writes of a nested guest were missing from the dirty log",
        Layer.SHADOW,
        _NO_NESTING + "no root has role.guest_mode",
    ),
)
"""Every such fix; a run lists them as what it cannot detect."""
