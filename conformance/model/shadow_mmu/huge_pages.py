# SPDX-License-Identifier: GPL-2.0-only
"""Splitting huge pages when logging begins, and zapping small ones when it ends so that huge ones are mapped.

The TDP MMU splits and recovers in place, see there. In shadow pages only those of nested guests are split.
"""

from __future__ import annotations

from conformance.model.changes import (
    COLLAPSIBLE_AT_ALL_LEVELS,
    COLLAPSIBLE_BY_MAX_LEVEL,
    FLUSH_BY_RANGE_WITH_HYPERV,
)
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SPTE_ENT_PER_PAGE
from conformance.model.shadow_mmu.limits import KVM_MIN_FREE_MMU_PAGES, kvm_mmu_available_pages
from conformance.model.shadow_mmu.rmap import kvm_zap_one_rmap_spte, rmap_add, walk_slot_rmaps
from conformance.model.shadow_mmu.shadow_pages import (
    kvm_mmu_child_role,
    kvm_mmu_get_shadow_page,
    link_shadow_page,
)
from conformance.model.shadow_mmu.shadowed import kvm_mmu_page_get_access, kvm_mmu_page_get_gfn
from conformance.model.shadow_mmu.sptes import mmu_spte_set
from conformance.model.spte.make_spte import make_huge_page_split_spte
from conformance.model.spte.predicates import is_large_pte, is_last_spte, is_shadow_present_pte, spte_to_pfn
from conformance.model.tdp_mmu.recover import kvm_tdp_mmu_recover_huge_pages
from conformance.model.tdp_mmu.split import kvm_tdp_mmu_try_split_huge_pages
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.mapping_level import kvm_mmu_max_mapping_level
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.pte_list import PteList, Sptep
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import Vm

__all__ = [
    "kvm_mmu_recover_huge_pages",
    "kvm_mmu_slot_try_split_huge_pages",
    "kvm_mmu_try_split_huge_pages",
]


def kvm_mmu_slot_try_split_huge_pages(vm: Vm, slot: KvmMemorySlot, target_level: int) -> None:
    """Split the slot's pages that are larger than ``target_level``; the caller flushes TLBs."""
    if not vm.tdp_mmu_enabled:
        return
    if vm.have_rmaps:
        with vm.mmu_lock.for_write:
            kvm_shadow_mmu_try_split_huge_pages(vm, slot, slot.base_gfn, slot.end_gfn, target_level)
    with vm.mmu_lock.for_read:
        kvm_tdp_mmu_try_split_huge_pages(vm, slot, slot.base_gfn, slot.end_gfn, target_level, shared=True)


def kvm_mmu_try_split_huge_pages(
    vm: Vm, slot: KvmMemorySlot, start: int, end: int, target_level: int
) -> None:
    """The same for gfns in [``start``, ``end``), with mmu_lock held for write."""
    if not vm.tdp_mmu_enabled:
        return
    if vm.have_rmaps:
        kvm_shadow_mmu_try_split_huge_pages(vm, slot, start, end, target_level)
    kvm_tdp_mmu_try_split_huge_pages(vm, slot, start, end, target_level, shared=False)


def kvm_shadow_mmu_try_split_huge_pages(
    vm: Vm, slot: KvmMemorySlot, start: int, end: int, target_level: int
) -> None:
    """Split pages from the largest on, so that what a split leaves is split again."""
    for level in range(PG_LEVEL_1G, target_level, -1):
        walk_slot_rmaps(
            vm, slot, _try_split_huge_pages, start=start, end=end, min_level=level, max_level=level
        )


def _try_split_huge_pages(vm: Vm, slot: KvmMemorySlot, rmap: PteList) -> bool:
    """Split the huge leaves of the rmap. A split changes it, so that the walk begins again."""
    function = "shadow_mmu_try_split_huge_pages"
    split = True
    while split:
        split = False
        for sptep in rmap:
            sp = sptep.sp
            assert isinstance(sp, ShadowPage)
            # The TDP MMU is enabled, so that only pages of nested guests are in rmaps.
            unexpected = not sp.role.guest_mode or not is_large_pte(vm.k, sp.read(sptep.at)) or sp.unsync
            if not vm.k.warn_on(function, unexpected) and not sp.invalid:
                split = _split_if_pages_are_available(vm, slot, sptep)
                break
    return False


def _split_if_pages_are_available(vm: Vm, slot: KvmMemorySlot, sptep: Sptep) -> bool:
    """Split a huge leaf, unless few shadow pages are available; return whether it was split.

    The caches from which pages are taken, and which are filled with mmu_lock dropped, are not modelled.
    """
    if kvm_mmu_available_pages(vm) <= KVM_MIN_FREE_MMU_PAGES:
        return False
    shadow_mmu_split_huge_page(vm, slot, sptep)
    return True


def shadow_mmu_split_huge_page(vm: Vm, slot: KvmMemorySlot, huge_sptep: Sptep) -> None:
    """Map the pages of a huge leaf in a direct page, whose rights are those that the guest grants.

    Another entry may have had that direct page before, so parts of it may be mapped. TLBs need a flush only
    if one of its entries points to a table: that may map fewer pages than the huge leaf did.
    """
    huge_sp, at = huge_sptep
    assert isinstance(huge_sp, ShadowPage)
    huge_spte = huge_sp.read(at)
    role = kvm_mmu_child_role(vm, huge_sptep, True, kvm_mmu_page_get_access(vm, huge_sp, at))
    sp = kvm_mmu_get_shadow_page(vm, None, kvm_mmu_page_get_gfn(vm, huge_sp, at), role)
    flush = False
    for index in range(SPTE_ENT_PER_PAGE):
        present = sp.read(index)
        if is_shadow_present_pte(vm.k, present):
            flush |= not is_last_spte(vm.k, present, sp.level)
            continue
        spte = make_huge_page_split_spte(
            vm.k,
            huge_spte,
            level=sp.level,
            access=role.access,
            index=index,
            nx_huge_pages=vm.nx_huge_pages,
        )
        mmu_spte_set(vm, Sptep(sp, index), int(spte))
        rmap_add(vm, slot, Sptep(sp, index), kvm_mmu_page_get_gfn(vm, sp, index), role.access)
    link_shadow_page(vm, huge_sptep, sp, flush)


def kvm_mmu_recover_huge_pages(vm: Vm, slot: KvmMemorySlot) -> None:
    """Have huge pages mapped again where memslot and host allow them; small leaves are zapped for that.

    The TDP MMU replaces tables by huge leaves since v6.13.
    """
    if vm.have_rmaps:
        with vm.mmu_lock.for_write:
            max_level = PG_LEVEL_2M if vm.k.has(COLLAPSIBLE_AT_ALL_LEVELS) else PG_LEVEL_4K
            if walk_slot_rmaps(
                vm, slot, _zap_collapsible_sptes, start=slot.base_gfn, end=slot.end_gfn, max_level=max_level
            ):
                kvm_flush_remote_tlbs(vm)
    if vm.tdp_mmu_enabled:
        with vm.mmu_lock.for_read:
            kvm_tdp_mmu_recover_huge_pages(vm, slot)


def _zap_collapsible_sptes(vm: Vm, slot: KvmMemorySlot, rmap: PteList) -> bool:
    """Zap the leaves of direct pages that a larger leaf could replace; return whether TLBs must be flushed.

    The guest's own table decides about an indirect page.
    """
    flush = False
    for sptep in rmap:
        sp = sptep.sp
        assert isinstance(sp, ShadowPage)
        if sp.role.direct and _is_collapsible(vm, slot, sptep):
            kvm_zap_one_rmap_spte(vm, rmap, sptep)
            if vm.k.has(FLUSH_BY_RANGE_WITH_HYPERV):
                flush = True
            else:
                kvm_flush_remote_tlbs(vm)
    return flush


def _is_collapsible(vm: Vm, slot: KvmMemorySlot, sptep: Sptep) -> bool:
    """Whether a larger leaf could replace a leaf of a direct page.

    Before COLLAPSIBLE_BY_MAX_LEVEL, whether the host has allocated its page as a part of a huge one.
    """
    sp, at = sptep
    assert isinstance(sp, ShadowPage)
    if vm.k.has(COLLAPSIBLE_BY_MAX_LEVEL):
        return slot.contains(sp.gfn) and sp.level < kvm_mmu_max_mapping_level(vm, slot, sp.gfn)
    return vm.host.is_compound(int(spte_to_pfn(vm.k, sp.read(at))))
