# SPDX-License-Identifier: GPL-2.0-only
"""Getting a shadow page: it is found by gfn and role, or created; and linking it under another.

Several vCPUs, and several entries, may use one page.
"""

from __future__ import annotations

from conformance.model.changes import (
    CHILD_GFN_COMPARED,
    CHILD_ROLE_COMPARED,
    FLUSH_IF_LINKED,
    LARGE_SPTE_DROPPED_BY_LINK,
    TRANSLATION_BY_POINTER,
    UNSYNC_ZAPPED_BELOW_UPPER,
)
from conformance.model.guest_paging import page_role
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_4K
from conformance.model.shadow_mmu.accounting import account_shadowed
from conformance.model.shadow_mmu.lookup import (
    for_each_gfn_valid_sp_with_gptes,
    for_each_valid_sp,
    sp_has_gptes,
)
from conformance.model.shadow_mmu.rmap import drop_spte
from conformance.model.shadow_mmu.sptes import mmu_spte_set
from conformance.model.shadow_mmu.sync import Synced, kvm_sync_page
from conformance.model.shadow_mmu.unsync import kvm_unlink_unsync_page, mark_unsync
from conformance.model.shadow_mmu.zap import (
    InvalidList,
    kvm_mmu_commit_zap_page,
    kvm_mmu_flush_or_zap,
    kvm_mmu_prepare_zap_page,
    kvm_mmu_remote_flush_or_zap,
    mmu_page_zap_pte,
    spte_to_child_sp,
)
from conformance.model.spte.make_spte import make_nonleaf_spte
from conformance.model.spte.predicates import is_large_pte, is_shadow_present_pte
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.pte_list import PteList, Sptep
from conformance.model.vm.role import KvmMmuPageRole, kvm_mmu_role_as_id
from conformance.model.vm.scheduler import current
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import KvmVcpu, Request, Vm

__all__ = [
    "kvm_mmu_child_role",
    "kvm_mmu_get_child_sp",
    "kvm_mmu_get_shadow_page",
    "link_shadow_page",
]


def kvm_mmu_get_shadow_page(vm: Vm, vcpu: KvmVcpu | None, gfn: int, role: KvmMmuPageRole) -> ShadowPage:
    """The page for ``gfn`` with this role. ``vcpu`` syncs it if it is unsync; a direct page needs none."""
    if not vm.k.has(UNSYNC_ZAPPED_BELOW_UPPER):
        assert vcpu is not None
        return kvm_mmu_get_page(vm, vcpu, gfn, role)
    return kvm_mmu_find_shadow_page(vm, vcpu, gfn, role) or kvm_mmu_alloc_shadow_page(vm, gfn, role)


def kvm_mmu_find_shadow_page(
    vm: Vm, vcpu: KvmVcpu | None, gfn: int, role: KvmMmuPageRole
) -> ShadowPage | None:
    """The page with this role among those of ``gfn``; None, and a cache miss is counted, if it is missing.

    If an upper page is wanted, unsync pages for the gfn are zapped on the way: the gfn will be
    write-protected, and the guest has probably stopped using it as a table of level 1.
    """
    invalid_list: InvalidList = []
    found = None
    for sp in for_each_valid_sp(vm, gfn):
        if sp.role != role:
            if role.level > PG_LEVEL_4K and sp.unsync:
                kvm_mmu_prepare_zap_page(vm, sp, invalid_list)
            continue
        found = sp
        if not role.direct:
            found = _refreshed(vm, vcpu, sp, invalid_list)
        break
    if found is None:
        vm.shadow.mmu_cache_miss += 1
    kvm_mmu_commit_zap_page(vm, invalid_list)
    return found


def kvm_mmu_get_page(vm: Vm, vcpu: KvmVcpu, gfn: int, role: KvmMmuPageRole) -> ShadowPage:
    """The same before UNSYNC_ZAPPED_BELOW_UPPER: an upper page has the unsync pages of its gfn synced.

    A direct MMU, which has no unsync pages, takes the page as it is.
    """
    invalid_list: InvalidList = []
    unsync = False
    for sp in for_each_valid_sp(vm, gfn):
        unsync |= sp.unsync
        if sp.role != role:
            continue
        if vcpu.mmu.root_role.direct:
            return sp
        if sp.unsync:
            if kvm_sync_page(vm, vcpu, sp, invalid_list) is Synced.FAILED:
                break
            vcpu.make_request(Request.TLB_FLUSH_CURRENT)
        if sp.unsync_children:
            vcpu.make_request(Request.MMU_SYNC)
        sp.write_flooding_count = 0
        return sp
    vm.shadow.mmu_cache_miss += 1
    made = kvm_mmu_alloc_shadow_page(vm, gfn, role)
    flush = False
    if unsync and sp_has_gptes(made) and role.level > PG_LEVEL_4K:
        for sp in for_each_gfn_valid_sp_with_gptes(vm, gfn):
            if sp.unsync:
                kvm_unlink_unsync_page(vm, sp)
                flush |= kvm_sync_page(vm, vcpu, sp, invalid_list) is not Synced.FAILED
    kvm_mmu_flush_or_zap(vm, vcpu, invalid_list, remote_flush=False, local_flush=flush)
    return made


def _refreshed(vm: Vm, vcpu: KvmVcpu | None, sp: ShadowPage, invalid_list: InvalidList) -> ShadowPage | None:
    """The page, after its entries were synced if it is unsync, which it remains; None if that zapped it."""
    if sp.unsync:
        assert vcpu is not None
        synced = kvm_sync_page(vm, vcpu, sp, invalid_list)
        if synced is Synced.FAILED:
            return None
        if synced is Synced.FLUSH:
            kvm_flush_remote_tlbs(vm)
    sp.write_flooding_count = 0
    return sp


def kvm_mmu_alloc_shadow_page(vm: Vm, gfn: int, role: KvmMmuPageRole) -> ShadowPage:
    """A new page, the newest of all. A table of the guest that it shadows is write-protected."""
    shadow = vm.shadow
    serial = current.scheduler.new_serial(vm.memory)
    translates = not role.direct and (role.level <= PG_LEVEL_1G or not vm.k.has(TRANSLATION_BY_POINTER))
    sp = ShadowPage(
        serial,
        role.level,
        gfn,
        kvm_mmu_role_as_id(role),
        vm.k.layout.nonpresent_value,
        role=role,
        parent_ptes=PteList(vm.k),
        shadowed_translation={} if translates else None,
        mmu_valid_gen=shadow.mmu_valid_gen,
    )
    vm.memory.add(sp)
    shadow.active_mmu_pages.append(sp)
    shadow.n_used_mmu_pages += 1
    shadow.mmu_page_hash.setdefault(gfn, []).insert(0, sp)
    if sp_has_gptes(sp):
        account_shadowed(vm, sp)
    return sp


def kvm_mmu_child_role(vm: Vm, sptep: Sptep, direct: bool, access: int) -> KvmMmuPageRole:
    """The role of the page below an entry, for which the guest's tables so far allow ``access``."""
    parent = sptep.sp
    assert isinstance(parent, ShadowPage)
    role = page_role.PageRole(*parent.role._replace(invalid=int(parent.invalid)))
    child = page_role.kvm_mmu_child_role(vm.k, role, sptep.at, direct=direct, access=access)
    return KvmMmuPageRole.of(child)


def kvm_mmu_get_child_sp(
    vm: Vm, vcpu: KvmVcpu, sptep: Sptep, gfn: int, direct: bool, access: int
) -> ShadowPage | None:
    """The page for ``gfn`` to be linked at the entry; None if the entry points to it already (-EEXIST).

    The guest may have changed its upper table in a way that KVM did not see, so what is linked is compared.
    """
    role = kvm_mmu_child_role(vm, sptep, direct, access)
    if not vm.k.has(LARGE_SPTE_DROPPED_BY_LINK):
        drop_large_spte(vm, sptep)
    linked = spte_to_child_sp(vm, sptep.sp.read(sptep.at), sptep.sp.level)
    if linked is not None:
        same_gfn = linked.gfn == gfn or not vm.k.has(CHILD_GFN_COMPARED)
        same_role = (linked.role == role and not linked.invalid) or not vm.k.has(CHILD_ROLE_COMPARED)
        if same_gfn and same_role:
            return None
    return kvm_mmu_get_shadow_page(vm, vcpu, gfn, role)


def drop_large_spte(vm: Vm, sptep: Sptep) -> None:
    """Drop a huge leaf, which a page is going to replace."""
    sp, at = sptep
    spte = sp.read(at)
    if is_shadow_present_pte(vm.k, spte) and is_large_pte(vm.k, spte):
        drop_spte(vm, sptep)
        kvm_flush_remote_tlbs(vm)


def link_shadow_page(vm: Vm, sptep: Sptep, sp: ShadowPage, flush: bool = True) -> None:
    """Have the entry point to the page. What it mapped, or pointed to, is zapped, and TLBs are flushed.

    ``flush``: what is lost must not be used any more. Splitting a huge page loses nothing.
    """
    if is_shadow_present_pte(vm.k, sptep.sp.read(sptep.at)):
        invalid_list: InvalidList = []
        vm.k.warn_on("__link_shadow_page", sptep.sp.level == PG_LEVEL_4K)
        zapped = mmu_page_zap_pte(vm, sptep, invalid_list)
        if not vm.k.has(FLUSH_IF_LINKED):
            kvm_mmu_remote_flush_or_zap(vm, invalid_list, True)
        elif zapped:
            kvm_mmu_commit_zap_page(vm, invalid_list)
        elif flush:
            kvm_flush_remote_tlbs(vm)
    mmu_spte_set(vm, sptep, int(make_nonleaf_spte(vm.k, sp.address, bool(sp.role.ad_disabled))))
    sp.parent_ptes.add(sptep)
    if sp.unsync_children or sp.unsync:
        mark_unsync(sptep)
