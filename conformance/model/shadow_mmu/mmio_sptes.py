# SPDX-License-Identifier: GPL-2.0-only
"""SPTEs of shadow pages that say that a gfn has no memslot: made by a fault, kept up by a sync."""

from __future__ import annotations

from conformance.model.shadow_mmu.sptes import mmu_spte_clear_no_track, mmu_spte_set
from conformance.model.spte.mmio import get_mmio_spte_gfn, make_mmio_spte
from conformance.model.spte.predicates import is_mmio_spte
from conformance.model.vm.pte_list import Sptep
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["mark_mmio_spte", "sync_mmio_spte"]


def mark_mmio_spte(vm: Vm, vcpu: KvmVcpu, sptep: Sptep, gfn: int, access: int) -> None:
    """Set an SPTE for MMIO, with the generation that the vCPU's memslots have now."""
    mmu_spte_set(vm, sptep, int(make_mmio_spte(vm.k, gfn, access, vm.slots_of(vcpu).generation)))


def sync_mmio_spte(vm: Vm, vcpu: KvmVcpu, sptep: Sptep, gfn: int, access: int) -> bool:
    """Sync an SPTE for MMIO: make it anew, or clear it if the gfn is another now; False for other SPTEs."""
    sp, at = sptep
    spte = sp.read(at)
    if not is_mmio_spte(vm.k, spte):
        return False
    if gfn == get_mmio_spte_gfn(vm.k, spte):
        mark_mmio_spte(vm, vcpu, sptep, gfn, access)
    else:
        mmu_spte_clear_no_track(sptep)
    return True
