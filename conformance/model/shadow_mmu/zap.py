# SPDX-License-Identifier: GPL-2.0-only
"""Zapping shadow pages: first they are prepared, which takes them out of use, and after a flush freed.

Between the two steps they are in a list of invalid pages. A page that is a root is not freed before the last
vCPU has dropped it, but it is invalid, so that each vCPU loads another root.
"""

from __future__ import annotations

from conformance.model.changes import LOCAL_FLUSHES_GONE, NESTED_ROOTS_KEPT
from conformance.model.layout import PG_LEVEL_4K
from conformance.model.shadow_mmu.accounting import unaccount_nx_huge_page, unaccount_shadowed
from conformance.model.shadow_mmu.lookup import is_obsolete_sp, sp_has_gptes
from conformance.model.shadow_mmu.rmap import drop_spte
from conformance.model.shadow_mmu.sptes import mmu_spte_clear_no_track
from conformance.model.shadow_mmu.unsync import (
    kvm_unlink_unsync_page,
    mmu_pages_clear_parents,
    mmu_unsync_walk,
)
from conformance.model.spte.predicates import is_last_spte, is_mmio_spte, is_shadow_present_pte
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.pte_list import Sptep
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import KvmVcpu, Request, Vm

__all__ = [
    "InvalidList",
    "drop_parent_pte",
    "kvm_mmu_commit_zap_page",
    "kvm_mmu_flush_or_zap",
    "kvm_mmu_prepare_zap_page",
    "kvm_mmu_remote_flush_or_zap",
    "mmu_page_zap_pte",
    "spte_to_child_sp",
]

InvalidList = list[ShadowPage]
"""Pages that were prepared, in the order in which they are freed: the last one first."""


def spte_to_child_sp(vm: Vm, spte: int, level: int) -> ShadowPage | None:
    """The shadow page that an SPTE at ``level`` points to; None for a leaf and what is not present."""
    child = vm.memory.child(spte, level)
    assert child is None or isinstance(child, ShadowPage)
    return child


def drop_parent_pte(child: ShadowPage, sptep: Sptep) -> None:
    """Clear an SPTE that points to ``child``."""
    child.parent_ptes.remove(sptep)
    mmu_spte_clear_no_track(sptep)


def mmu_page_zap_pte(vm: Vm, sptep: Sptep, invalid_list: InvalidList | None) -> int:
    """Clear an SPTE, whatever it is; return how many tables were zapped with it.

    A nested table to which no other SPTE points is unlikely to be used again, and is zapped too. If it is a
    root, it is in use; kernels without NESTED_ROOTS_KEPT zap it all the same.
    """
    sp, at = sptep
    spte = sp.read(at)
    if not is_shadow_present_pte(vm.k, spte):
        if is_mmio_spte(vm.k, spte):
            mmu_spte_clear_no_track(sptep)
        return 0
    if is_last_spte(vm.k, spte, sp.level):
        drop_spte(vm, sptep)
        return 0
    child = spte_to_child_sp(vm, spte, sp.level)
    assert child is not None
    drop_parent_pte(child, sptep)
    kept = child.root_count and vm.k.has(NESTED_ROOTS_KEPT)
    orphan = vm.mode.tdp and child.role.guest_mode and not child.parent_ptes and not kept
    if orphan and invalid_list is not None:
        # However many pages go with the child, it counts as one.
        return int(kvm_mmu_prepare_zap_page(vm, child, invalid_list)[0] > 0)
    return 0


def kvm_mmu_prepare_zap_page(vm: Vm, sp: ShadowPage, invalid_list: InvalidList) -> tuple[int, bool]:
    """Take a page out of use: clear its SPTEs, unlink it everywhere, and put it into ``invalid_list``.

    Return how many pages were zapped, unsync ones below and orphaned nested ones included, and whether the
    list of active pages has become unstable: others than ``sp`` were removed from it.
    """
    shadow = vm.shadow
    shadow.mmu_shadow_zapped += 1
    zapped = _zap_unsync_children(vm, sp, invalid_list)
    zapped += _unlink_children(vm, sp, invalid_list)
    for parent in sp.parent_ptes:
        drop_parent_pte(sp, parent)
    unstable = zapped > 0
    if not sp.invalid and sp_has_gptes(sp):
        unaccount_shadowed(vm, sp)
    if sp.unsync:
        kvm_unlink_unsync_page(vm, sp)
    zapped_root = False
    if not sp.invalid:
        shadow.active_mmu_pages.remove(sp)
    if not sp.root_count:
        zapped += 1
        invalid_list.append(sp)
        shadow.n_used_mmu_pages -= 1
    else:
        # Obsolete pages cannot be used on any vCPU.
        zapped_root = not is_obsolete_sp(vm, sp)
    if sp.nx_huge_page_disallowed:
        unaccount_nx_huge_page(vm, sp)
    sp.invalid = True
    if zapped_root:
        vm.make_all_cpus_request(Request.MMU_FREE_OBSOLETE_ROOTS)
    return zapped, unstable


def _zap_unsync_children(vm: Vm, parent: ShadowPage, invalid_list: InvalidList) -> int:
    """Zap the unsync pages below, which no sync would find any more; return how many pages were zapped."""
    zapped = 0
    while parent.level > PG_LEVEL_4K and (found := mmu_unsync_walk(vm, parent)) is not None:
        for page in found:
            kvm_mmu_prepare_zap_page(vm, page.sp, invalid_list)
            mmu_pages_clear_parents(vm, page)
            zapped += 1
    return zapped


def _unlink_children(vm: Vm, sp: ShadowPage, invalid_list: InvalidList) -> int:
    """Clear all SPTEs of the page; return how many tables were zapped with them."""
    return sum(mmu_page_zap_pte(vm, Sptep(sp, at), invalid_list) for at in [*sp.indexes()])


def kvm_mmu_commit_zap_page(vm: Vm, invalid_list: InvalidList) -> None:
    """Free the pages that were prepared, after a flush: it makes vCPUs leave them, walks included."""
    if not invalid_list:
        return
    kvm_flush_remote_tlbs(vm)
    for sp in reversed(invalid_list):
        vm.k.warn_on("kvm_mmu_commit_zap_page", not sp.invalid or sp.root_count > 0)
        kvm_mmu_free_shadow_page(vm, sp)
    invalid_list.clear()


def kvm_mmu_free_shadow_page(vm: Vm, sp: ShadowPage) -> None:
    """Free the page."""
    pages = vm.shadow.mmu_page_hash[sp.gfn]
    pages.remove(sp)
    if not pages:
        del vm.shadow.mmu_page_hash[sp.gfn]
    vm.memory.free(sp)


def kvm_mmu_remote_flush_or_zap(vm: Vm, invalid_list: InvalidList, flush: bool) -> bool:
    """Free what was prepared, or else flush if needed; return whether TLBs were flushed."""
    if invalid_list:
        kvm_mmu_commit_zap_page(vm, invalid_list)
        return True
    if flush:
        kvm_flush_remote_tlbs(vm)
    return flush


def kvm_mmu_flush_or_zap(
    vm: Vm, vcpu: KvmVcpu, invalid_list: InvalidList, remote_flush: bool, local_flush: bool
) -> None:
    """The same; before LOCAL_FLUSHES_GONE the vCPU flushes its own TLB if that flushed nothing."""
    flushed = kvm_mmu_remote_flush_or_zap(vm, invalid_list, remote_flush)
    if local_flush and not flushed and not vm.k.has(LOCAL_FLUSHES_GONE):
        vcpu.make_request(Request.TLB_FLUSH_CURRENT)
