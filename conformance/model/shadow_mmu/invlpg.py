# SPDX-License-Identifier: GPL-2.0-only
"""INVLPG and INVPCID of one address: the SPTE for it must be what the guest's tables say from now on.

All cached roots are looked at, since an address may be mapped globally, whatever its PCID. Others are synced
when the guest loads them. Only unsync pages can differ from their tables.
"""

from __future__ import annotations

from collections.abc import Iterable

from conformance.model.changes import INVLPG_CANONICAL_BY_HOST, INVLPG_SYNCS_SPTE
from conformance.model.guest_paging.cpu_role import CR4_LA57
from conformance.model.shadow_mmu.gptes import read_level1_gpte
from conformance.model.shadow_mmu.prefetch import prefetch_gpte
from conformance.model.shadow_mmu.shadow_walk import for_each_shadow_entry_using_root
from conformance.model.shadow_mmu.sync import Synced, kvm_sync_spte
from conformance.model.shadow_mmu.zap import mmu_page_zap_pte
from conformance.model.spte.predicates import is_last_spte, is_shadow_present_pte
from conformance.model.vm.flushes import flush_tlb_gva, kvm_flush_remote_tlbs
from conformance.model.vm.kvm_mmu import KVM_MMU_NUM_PREV_ROOTS
from conformance.model.vm.kvm_pagewalk import KvmPagewalk
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.pte_list import Sptep
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = [
    "ROOT_CURRENT",
    "is_noncanonical_address",
    "kvm_mmu_invalidate_addr",
    "kvm_mmu_invlpg",
    "kvm_mmu_invpcid_gva",
]

ROOT_CURRENT = 0
"""The current root; the cached ones follow, the most recent first."""
ALL_ROOTS = range(1 + KVM_MMU_NUM_PREV_ROOTS)


def kvm_mmu_invlpg(vm: Vm, vcpu: KvmVcpu, gva: int) -> None:
    """INVLPG."""
    kvm_mmu_invalidate_addr(vm, vcpu, vcpu.gva_walk, gva, ALL_ROOTS)
    vcpu.invlpg += 1


def kvm_mmu_invpcid_gva(vm: Vm, vcpu: KvmVcpu, gva: int, pcid: int) -> None:
    """INVPCID of one address: of the roots with this PCID. Without any the TLB has nothing either."""
    roots = [ROOT_CURRENT] if vcpu.pcid_of(vcpu.cr3) == pcid else []
    for number, previous in enumerate(vcpu.mmu.prev_roots, 1):
        if previous.root is not None and vcpu.pcid_of(previous.pgd) == pcid:
            roots.append(number)
    if roots:
        kvm_mmu_invalidate_addr(vm, vcpu, vcpu.gva_walk, gva, roots)
    vcpu.invlpg += 1


def kvm_mmu_invalidate_addr(
    vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, address: int, roots: Iterable[int]
) -> None:
    """Invalidate an address in the processor, and in ``roots`` of the MMU that shadows the tables of ``w``.

    Nothing is done for a linear address that is not canonical. With two-dimensional paging KVM shadows no
    tables that translate linear addresses.
    """
    if w is vcpu.gva_walk:
        if is_noncanonical_address(vm, vcpu, address):
            return
        flush_tlb_gva(vcpu, address)
    mmu = vcpu.root_mmu if w is vcpu.gva_walk else vcpu.guest_mmu
    if mmu.root_role.direct:
        return
    for number in roots:
        root = mmu.root if number == ROOT_CURRENT else mmu.prev_roots[number - 1].root
        vcpu.clear_mmio_info(address)
        if root is not None:
            with vm.mmu_lock.for_write:
                _sync_address(vm, vcpu, address, root)
        elif number == ROOT_CURRENT and not vm.k.has(INVLPG_SYNCS_SPTE):
            vm.k.warn_on("paging64_invlpg", True)


def is_noncanonical_address(vm: Vm, vcpu: KvmVcpu, address: int) -> bool:
    """Whether the upper bits are no copies of the highest that is translated: bit 47, or 56 with LA57.

    Since INVLPG_CANONICAL_BY_HOST the host decides, not CR4 of the guest: this one has LA57.
    """
    highest = 56 if vm.k.has(INVLPG_CANONICAL_BY_HOST) or vcpu.cr4 & CR4_LA57 else 47
    return address >> highest not in (0, (1 << 64 - highest) - 1)


def _sync_address(vm: Vm, vcpu: KvmVcpu, address: int, root: KvmMmuPage) -> None:
    """Go down as long as something below is unsync, and sync the SPTE in a page that is."""
    for sptep in for_each_shadow_entry_using_root(vm, vcpu, root, address):
        sp = sptep.sp
        if not isinstance(sp, ShadowPage):
            vm.k.bug_on("__kvm_mmu_invalidate_addr", True)  # The dummy root is no shadow page.
            return
        if vm.k.has(INVLPG_SYNCS_SPTE):
            if sp.unsync:
                _sync(vm, vcpu, sp, sptep)
        elif is_last_spte(vm.k, sp.read(sptep.at), sp.level) and sp.unsync:
            _zap_and_prefetch(vm, vcpu, sp, sptep)
        if not sp.unsync_children:
            return


def _sync(vm: Vm, vcpu: KvmVcpu, sp: ShadowPage, sptep: Sptep) -> None:
    """Sync the SPTE; it is zapped if its table cannot be read."""
    synced = kvm_sync_spte(vm, vcpu, sp, sptep.at)
    if synced is Synced.FAILED:
        mmu_page_zap_pte(vm, sptep, None)
    if synced is not Synced.CLEAN:
        kvm_flush_remote_tlbs(vm)


def _zap_and_prefetch(vm: Vm, vcpu: KvmVcpu, sp: ShadowPage, sptep: Sptep) -> None:
    """Zap the SPTE, and map what the guest's entry says now, if it can be read."""
    present = is_shadow_present_pte(vm.k, sp.read(sptep.at))
    mmu_page_zap_pte(vm, sptep, None)
    if present:
        kvm_flush_remote_tlbs(vm)
    gpte = read_level1_gpte(vm, vcpu, sp, sptep.at)
    if gpte is not None:
        prefetch_gpte(vm, vcpu, sptep, gpte, no_dirty_log=False)
