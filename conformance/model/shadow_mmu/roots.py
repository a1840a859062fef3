# SPDX-License-Identifier: GPL-2.0-only
"""Loading a root: a shadow page, PAE roots that point to four, or a root of the TDP MMU.

A root that is a shadow page counts as one for each MMU that has it, current or cached. A guest, or a nested
guest, with 3 levels has PAE roots: a table of four entries that is no shadow page, each of which may point to
one.
"""

from __future__ import annotations

from itertools import pairwise

from conformance.model.changes import (
    CHILD_ROLE,
    DUMMY_ROOT,
    PAGES_FOR_ALL_ROOTS,
    PDPTRS_CHECKED_FIRST,
    ROOTS_WITHOUT_BUDGET,
)
from conformance.model.guest_tables.gptes import gpte_to_gfn
from conformance.model.guest_tables.walker import get_pdptr, kvm_mmu_get_guest_pgd
from conformance.model.layout import (
    PAGE_SHIFT,
    PT_ACCESSED_MASK,
    PT_PRESENT_MASK,
    PT_USER_MASK,
    PT_WRITABLE_MASK,
)
from conformance.model.shadow_mmu.limits import make_mmu_pages_available
from conformance.model.shadow_mmu.shadow_pages import kvm_mmu_get_shadow_page
from conformance.model.shadow_mmu.sync_roots import kvm_mmu_sync_roots
from conformance.model.tdp_mmu.roots import kvm_tdp_mmu_alloc_root
from conformance.model.vm.flushes import flush_tlb_current
from conformance.model.vm.host import ENOSPC
from conformance.model.vm.scheduler import current
from conformance.model.vm.shadow_page import RootTable, ShadowPage
from conformance.model.vm.vm import KvmVcpu, Request, Vm

__all__ = ["kvm_mmu_load"]

PT32_ROOT_LEVEL, PT32E_ROOT_LEVEL, PT64_ROOT_4LEVEL, PT64_ROOT_5LEVEL = 2, 3, 4, 5


def kvm_mmu_load(vm: Vm, vcpu: KvmVcpu) -> int:
    """Give the vCPU a root and flush its TLB; return 0, a negative errno, or 1 for a shutdown of the guest.

    The flush removes translations through an earlier root at the same address, so dropping a root needs no
    flush.
    """
    mmu_alloc_special_roots(vm, vcpu)
    r = mmu_alloc_direct_roots(vm, vcpu) if vcpu.mmu.root_role.direct else mmu_alloc_shadow_roots(vm, vcpu)
    if r:
        return r
    kvm_mmu_sync_roots(vm, vcpu)
    flush_tlb_current(vcpu)
    return 0


def mmu_alloc_special_roots(vm: Vm, vcpu: KvmVcpu) -> None:
    """Allocate PAE roots when they are first needed, and what leads to them if more levels are walked."""
    mmu = vcpu.mmu
    if mmu.root_role.level == PT32E_ROOT_LEVEL:
        mmu.pae_root = mmu.pae_root or _new_table(vm, PT32E_ROOT_LEVEL)
    if mmu.root_role.direct or mmu.w.cpu_role.level >= PT64_ROOT_4LEVEL:
        return
    if mmu.root_role.level >= PT64_ROOT_4LEVEL:
        mmu.pae_root = mmu.pae_root or _new_table(vm, PT32E_ROOT_LEVEL)
        mmu.pml4_root = mmu.pml4_root or _new_table(vm, PT64_ROOT_4LEVEL)
    if mmu.root_role.level == PT64_ROOT_5LEVEL:
        mmu.pml5_root = mmu.pml5_root or _new_table(vm, PT64_ROOT_5LEVEL)


def _new_table(vm: Vm, level: int) -> RootTable:
    table = RootTable(current.scheduler.new_serial(vm.memory), level, 0, 0, 0)
    vm.memory.add(table)
    return table


def mmu_alloc_direct_roots(vm: Vm, vcpu: KvmVcpu) -> int:
    """Take the root of the TDP MMU, or direct shadow pages; return 0 or -ENOSPC.

    Until v6.9 a root of the TDP MMU counted against the limit of shadow pages, which is 0 before the first
    memslot is created.
    """
    mmu = vcpu.mmu
    if vm.tdp_mmu_enabled:
        if not vm.k.has(ROOTS_WITHOUT_BUDGET) and not make_mmu_pages_available(vm):
            return -ENOSPC
        mmu.root, mmu.pgd = kvm_tdp_mmu_alloc_root(vm, vcpu), 0
        return 0
    with vm.mmu_lock.for_write:
        if not make_mmu_pages_available(vm):
            return -ENOSPC
        if mmu.root_role.level >= PT64_ROOT_4LEVEL:
            mmu.root = mmu_alloc_root(vm, vcpu, 0, 0, mmu.root_role.level)
        else:
            assert mmu.pae_root is not None
            for number in range(4):
                if number and not vm.k.has(PAGES_FOR_ALL_ROOTS) and not make_mmu_pages_available(vm):
                    return -ENOSPC
                root = mmu_alloc_root(vm, vcpu, number << 30 - PAGE_SHIFT, 0, PT32_ROOT_LEVEL)
                mmu.pae_root.write(number, root.address | PT_PRESENT_MASK | int(vm.k.shadow_me_value))
            mmu.root = mmu.pae_root
        mmu.pgd = 0
    return 0


def mmu_alloc_root(vm: Vm, vcpu: KvmVcpu, gfn: int, quadrant: int, level: int) -> ShadowPage:
    """The shadow page for the table at ``gfn``, as one more root.

    Before CHILD_ROLE the entries of a direct page counted as 8 bytes, whatever CR4.PAE is.
    """
    role = vcpu.mmu.root_role._replace(level=level, quadrant=quadrant)
    if role.direct and not vm.k.has(CHILD_ROLE):
        role = role._replace(has_4_byte_gpte=0)
    sp = kvm_mmu_get_shadow_page(vm, vcpu, gfn, role)
    sp.root_count += 1
    return sp


def mmu_alloc_shadow_roots(vm: Vm, vcpu: KvmVcpu) -> int:
    """Shadow the guest's table at the top, or the four that its PDPTEs point to; return as kvm_mmu_load().

    A table outside of the guest's memory cannot be read. Since DUMMY_ROOT the root is empty then, and without
    PDPTEs that point there. Before PDPTRS_CHECKED_FIRST the roots of the PDPTEs before such a one are taken.
    """
    mmu = vcpu.mmu
    pgd = kvm_mmu_get_guest_pgd(vcpu, mmu.w)
    root_gfn = gpte_to_gfn(pgd) if vm.k.has(DUMMY_ROOT) else pgd >> PAGE_SHIFT
    if not kvm_vcpu_is_visible_gfn(vm, vcpu, root_gfn):
        if not vm.k.has(DUMMY_ROOT):
            return _triple_fault(vcpu)
        mmu.root = vm.shadow.dummy_root
        return 0
    pdptrs = [0] * 4
    if mmu.w.cpu_role.level == PT32E_ROOT_LEVEL:
        pdptrs = [get_pdptr(vm, vcpu, mmu.w, number) for number in range(4)]
        for number, pdptr in enumerate(pdptrs):
            visible = kvm_vcpu_is_visible_gfn(vm, vcpu, pdptr >> PAGE_SHIFT)
            if pdptr & PT_PRESENT_MASK and not visible:
                if vm.k.has(DUMMY_ROOT):
                    pdptrs[number] = 0
                elif vm.k.has(PDPTRS_CHECKED_FIRST):
                    return _triple_fault(vcpu)
    mmu_first_shadow_root_alloc(vm)
    one_root = mmu.w.cpu_role.level >= PT64_ROOT_4LEVEL
    with vm.mmu_lock.for_write:
        if (one_root or vm.k.has(PAGES_FOR_ALL_ROOTS)) and not make_mmu_pages_available(vm):
            return -ENOSPC
        if one_root:
            mmu.root = mmu_alloc_root(vm, vcpu, root_gfn, 0, mmu.root_role.level)
        elif r := _alloc_pae_roots(vm, vcpu, root_gfn, pdptrs):
            return r
        mmu.pgd = pgd
    return 0


def _alloc_pae_roots(vm: Vm, vcpu: KvmVcpu, root_gfn: int, pdptrs: list[int]) -> int:
    """Shadow the table of each PDPTE that is present, or each quarter of a 32-bit guest's directory.

    If that fails for one, before PDPTRS_CHECKED_FIRST and PAGES_FOR_ALL_ROOTS, those before it remain taken.
    """
    mmu = vcpu.mmu
    levels = [table for table in (mmu.pae_root, mmu.pml4_root, mmu.pml5_root) if table is not None]
    levels = levels[: mmu.root_role.level - PT32E_ROOT_LEVEL + 1]
    pm_mask = PT_PRESENT_MASK | int(vm.k.shadow_me_value)
    if len(levels) > 1:
        pm_mask |= PT_ACCESSED_MASK | PT_WRITABLE_MASK | PT_USER_MASK
    pae_root = levels[0]
    for number in range(4):
        gfn, quadrant = root_gfn, number
        if mmu.w.cpu_role.level == PT32E_ROOT_LEVEL:
            gfn, quadrant = gpte_to_gfn(pdptrs[number]), 0
            if not pdptrs[number] & PT_PRESENT_MASK:
                pae_root.write(number, 0)
                continue
            if not kvm_vcpu_is_visible_gfn(vm, vcpu, pdptrs[number] >> PAGE_SHIFT):
                return _triple_fault(vcpu)
        elif mmu.w.cpu_role.level != PT32_ROOT_LEVEL:
            quadrant = 0
        if not vm.k.has(PAGES_FOR_ALL_ROOTS) and not make_mmu_pages_available(vm):
            return -ENOSPC
        root = mmu_alloc_root(vm, vcpu, gfn, quadrant, PT32_ROOT_LEVEL)
        pae_root.write(number, root.address | pm_mask)
    for below, above in pairwise(levels):
        above.write(0, below.address | pm_mask)
    mmu.root = levels[-1]
    return 0


def mmu_first_shadow_root_alloc(vm: Vm) -> None:
    """Memslots get rmaps with the first shadow root, if they have none yet: the TDP MMU needs none."""
    vm.shadow.shadow_root_allocated = True


def kvm_vcpu_is_visible_gfn(vm: Vm, vcpu: KvmVcpu, gfn: int) -> bool:
    """Whether ``gfn`` is in a memslot, and not in one that is about to be deleted or moved."""
    slot = vm.slot_of(vcpu, gfn)
    return slot is not None and not slot.invalid


def _triple_fault(vcpu: KvmVcpu) -> int:
    """Shut the guest down."""
    vcpu.make_request(Request.TRIPLE_FAULT)
    return 1
