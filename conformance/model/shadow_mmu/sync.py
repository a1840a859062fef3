# SPDX-License-Identifier: GPL-2.0-only
"""Synchronising unsync pages: their SPTEs become what the guest's table says now.

This is what KVM does when the guest flushes its TLB, or when it uses an unsync page for another address.
Between the guest's writes and its flush KVM may use either, as a TLB may.
"""

from __future__ import annotations

from enum import IntEnum

from conformance.model.changes import (
    EQUAL_SPTE_SYNCED,
    FLUSHED_BEFORE_SYNC,
    NO_ACCESS_WARNS,
    SYNC_CHECKS_ROLE,
    SYNC_FLUSHES_AT_ONCE,
    SYNC_SAYS_WHETHER_TO_FLUSH,
    SYNC_SPTE,
    UNCHANGED_ACCESS_NOT_SYNCED,
    ZAPPED_WITH_FLUSH,
)
from conformance.model.guest_paging import page_role
from conformance.model.guest_paging.cpu_role import CR4_PAE
from conformance.model.guest_paging.page_role import PageRole
from conformance.model.layout import PG_LEVEL_4K
from conformance.model.shadow_mmu.gptes import drop_prefetch_invalid_gpte, gpte_translation, read_level1_gpte
from conformance.model.shadow_mmu.mmio_sptes import sync_mmio_spte
from conformance.model.shadow_mmu.rmap import drop_spte
from conformance.model.shadow_mmu.shadowed import (
    kvm_mmu_page_get_access,
    kvm_mmu_page_get_gfn,
    kvm_mmu_page_set_access,
)
from conformance.model.shadow_mmu.sptes import mmu_spte_update
from conformance.model.shadow_mmu.unsync import (
    kvm_unlink_unsync_page,
    mmu_pages_clear_parents,
    mmu_unsync_walk,
)
from conformance.model.shadow_mmu.write_protect import kvm_mmu_slot_gfn_write_protect
from conformance.model.shadow_mmu.zap import (
    kvm_mmu_flush_or_zap,
    kvm_mmu_prepare_zap_page,
    kvm_mmu_remote_flush_or_zap,
)
from conformance.model.spte.predicates import spte_to_pfn
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.kvm_vcpu import Request
from conformance.model.vm.leaf_spte import make_leaf_spte
from conformance.model.vm.pte_list import Sptep
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import KvmVcpu, Vm
from conformance.model.words import any_set

__all__ = ["Synced", "kvm_sync_page", "kvm_sync_spte", "mmu_sync_children"]


class Synced(IntEnum):
    """What became of an SPTE, or of the SPTEs of a page, in a sync."""

    FAILED = -1
    """The guest's table cannot be read: what was made from it must be zapped."""
    CLEAN = 0
    FLUSH = 1
    """TLBs must be flushed, for KVM's own sake: an SPTE was dropped or has lost a bit that KVM relies on."""


def kvm_sync_page(vm: Vm, vcpu: KvmVcpu, sp: ShadowPage, invalid_list: list[ShadowPage]) -> Synced:
    """Sync all SPTEs of a page; a page that cannot be synced is zapped."""
    synced = _sync_page(vm, vcpu, sp)
    if synced is Synced.FAILED:
        kvm_mmu_prepare_zap_page(vm, sp, invalid_list)
    return synced


def _sync_page(vm: Vm, vcpu: KvmVcpu, sp: ShadowPage) -> Synced:
    """FLUSH if any SPTE requires it, FAILED if any did; before SYNC_SPTE the first that fails ends it."""
    if not kvm_sync_page_check(vm, vcpu, sp):
        return Synced.FAILED
    if not vm.k.has(SYNC_SAYS_WHETHER_TO_FLUSH):
        return _sync_page_that_maps(vm, vcpu, sp)
    found = {Synced.CLEAN}
    for at in sp.indexes():
        found.add(kvm_sync_spte(vm, vcpu, sp, at))
        if Synced.FAILED in found and not vm.k.has(SYNC_SPTE):
            break
    return Synced.FAILED if Synced.FAILED in found else max(found)


def _sync_page_that_maps(vm: Vm, vcpu: KvmVcpu, sp: ShadowPage) -> Synced:
    """The same before SYNC_SAYS_WHETHER_TO_FLUSH: FAILED also if no SPTE is left, CLEAN after a flush.

    Before SYNC_FLUSHES_AT_ONCE the flush for SPTEs that were dropped is left to the next one.
    """
    flush = maps = False
    for at in [*sp.indexes()]:
        synced = kvm_sync_spte(vm, vcpu, sp, at)
        if synced is Synced.FAILED:
            return Synced.FAILED
        dropped = sp.read(at) == sp.initial
        if dropped and synced is Synced.FLUSH and not vm.k.has(SYNC_FLUSHES_AT_ONCE):
            vm.shadow.tlbs_dirty = True
        else:
            flush |= synced is Synced.FLUSH
        maps |= not dropped
    if flush:
        kvm_flush_remote_tlbs(vm)
    return Synced.CLEAN if maps else Synced.FAILED


def kvm_sync_page_check(vm: Vm, vcpu: KvmVcpu, sp: ShadowPage) -> bool:
    """Whether the vCPU's MMU walks the guest's tables as the page's role says; it should (WARN).

    Before SYNC_CHECKS_ROLE only the size of entries had to be the guest's; entries of EPT always have it.
    """
    if not vm.k.has(SYNC_CHECKS_ROLE):
        of_ept = bool(sp.role.cr0_wp and sp.role.smap_andnot_wp)
        return of_ept or sp.role.has_4_byte_gpte != bool(vcpu.cr4 & CR4_PAE)
    assert vcpu.mmu.root_role is not None
    return bool(page_role.kvm_sync_page_check(vm.k, PageRole(*sp.role), PageRole(*vcpu.mmu.root_role)))


def kvm_sync_spte(vm: Vm, vcpu: KvmVcpu, sp: ShadowPage, at: int) -> Synced:
    """Sync one SPTE with its entry of the guest's table; nothing is to be done for one that is empty.

    What the guest has unmapped, or has not accessed yet, is dropped, and so is what maps another gfn now. New
    rights are taken over, though not W, for which the next write faults. Entries that the guest has added are
    left to faults.
    """
    sptep = Sptep(sp, at)
    spte = sp.read(at)
    if spte == sp.initial:
        return Synced.CLEAN
    gpte = read_level1_gpte(vm, vcpu, sp, at)
    if gpte is None:
        return Synced.FAILED
    if drop_prefetch_invalid_gpte(vm, vcpu, sptep, gpte):
        return Synced.FLUSH
    gfn, access = gpte_translation(vm, vcpu, sp, gpte)
    if sync_mmio_spte(vm, vcpu, sptep, gfn, access):
        return Synced.CLEAN
    no_access = (
        vm.k.has(NO_ACCESS_WARNS) and access | vm.k.shadow_present_mask == vm.k.layout.nonpresent_value
    )
    if no_access or gfn != kvm_mmu_page_get_gfn(vm, sp, at):
        drop_spte(vm, sptep)
        return Synced.FLUSH
    if vm.k.has(UNCHANGED_ACCESS_NOT_SYNCED) and access == kvm_mmu_page_get_access(vm, sp, at):
        return Synced.CLEAN
    kvm_mmu_page_set_access(vm, sp, at, access)
    slot = vm.slot_of(vcpu, gfn)
    assert slot is not None
    new_spte, _ = make_leaf_spte(
        vm,
        slot,
        access=access,
        gfn=gfn,
        pfn=int(spte_to_pfn(vm.k, spte)),
        old_spte=spte,
        level=PG_LEVEL_4K,
        ad_disabled=bool(sp.role.ad_disabled),
        host_writable=bool(any_set(spte, vm.k.shadow_host_writable_mask)),
        guest_mode=bool(sp.role.guest_mode),
        prefetch=True,
        synchronizing=True,
    )
    if new_spte == spte and not vm.k.has(EQUAL_SPTE_SYNCED):
        return Synced.CLEAN
    return Synced.FLUSH if mmu_spte_update(vm, sptep, new_spte) else Synced.CLEAN


def mmu_sync_children(vm: Vm, vcpu: KvmVcpu, parent: ShadowPage, *, can_yield: bool) -> bool:
    """Sync all unsync pages below ``parent``, and write-protect their tables; True when all are.

    Tables are protected, and TLBs flushed, before the pages are read: the guest may write until then. If
    rescheduling is needed after a round, mmu_lock is dropped, or without ``can_yield`` False is returned, and
    the vCPU will sync its roots before it enters the guest. Before SYNC_SAYS_WHETHER_TO_FLUSH each page
    was flushed for by itself, and the vCPU flushed its own TLB at the end.
    """
    remote = vm.k.has(SYNC_SAYS_WHETHER_TO_FLUSH)
    invalid_list: list[ShadowPage] = []
    flush = False
    while (pages := mmu_unsync_walk(vm, parent)) is not None:
        protected = [_write_protect_gfn(vm, vcpu, page.sp.gfn) for page in pages]
        if any(protected) and vm.k.has(FLUSHED_BEFORE_SYNC):
            kvm_mmu_remote_flush_or_zap(vm, invalid_list if vm.k.has(ZAPPED_WITH_FLUSH) else [], True)
            flush = False
        else:
            flush |= any(protected)
        for page in pages:
            kvm_unlink_unsync_page(vm, page.sp)
            synced = kvm_sync_page(vm, vcpu, page.sp, invalid_list)
            flush |= synced is Synced.FLUSH if remote else synced is not Synced.FAILED
            mmu_pages_clear_parents(vm, page)
        if vm.need_resched:
            kvm_mmu_flush_or_zap(vm, vcpu, invalid_list, flush and remote, flush)
            if not can_yield:
                vcpu.make_request(Request.MMU_SYNC)
                return False
            vm.mmu_lock.let_others_run()
            flush = False
    kvm_mmu_flush_or_zap(vm, vcpu, invalid_list, flush and remote, flush)
    return True


def _write_protect_gfn(vm: Vm, vcpu: KvmVcpu, gfn: int) -> bool:
    """Clear W of all SPTEs for ``gfn``; return whether to flush (kvm_vcpu_write_protect_gfn())."""
    slot = vm.slot_of(vcpu, gfn)
    assert slot is not None
    return kvm_mmu_slot_gfn_write_protect(vm, slot, gfn, PG_LEVEL_4K)
