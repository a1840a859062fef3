# SPDX-License-Identifier: GPL-2.0-only
"""Dropping roots: those that a vCPU does not need any more, or may not use any more."""

from __future__ import annotations

from conformance.model.changes import MMIO_CACHE_CLEARED_ON_UNLOAD, OBSOLETE_ROOTS_DROPPED, ROOTS_FREED_SHARED
from conformance.model.shadow_mmu.lookup import is_obsolete_sp
from conformance.model.shadow_mmu.shadow_walk import pae_root_page
from conformance.model.shadow_mmu.zap import InvalidList, kvm_mmu_commit_zap_page, kvm_mmu_prepare_zap_page
from conformance.model.tdp_mmu.root_list import kvm_tdp_mmu_put_root
from conformance.model.vm.kvm_mmu import KVM_MMU_NUM_PREV_ROOTS, KvmMmu, RootInfo
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.shadow_page import RootTable, ShadowPage
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = [
    "KVM_MMU_ROOTS_ALL",
    "KVM_MMU_ROOT_CURRENT",
    "free_mmu_pages",
    "is_obsolete_root",
    "kvm_mmu_free_guest_mode_roots",
    "kvm_mmu_free_obsolete_roots",
    "kvm_mmu_free_roots",
    "kvm_mmu_unload",
    "previous_root",
]

KVM_MMU_ROOT_CURRENT = 1
KVM_MMU_ROOTS_ALL = (1 << KVM_MMU_NUM_PREV_ROOTS + 1) - 1


def previous_root(number: int) -> int:
    """The bit of a cached root in a set of roots (KVM_MMU_ROOT_PREVIOUS())."""
    return 2 << number


def kvm_mmu_free_roots(vm: Vm, mmu: KvmMmu, roots_to_free: int) -> None:
    """Drop the roots of a set. A root that was zapped while it was in use is freed with the last vCPU's."""
    current = bool(roots_to_free & KVM_MMU_ROOT_CURRENT) and mmu.root is not None
    previous = [
        number
        for number in range(KVM_MMU_NUM_PREV_ROOTS)
        if roots_to_free & previous_root(number) and mmu.prev_roots[number].root is not None
    ]
    if not current and not previous:
        return
    invalid_list: InvalidList = []
    of_tdp_mmu = vm.tdp_mmu_enabled and bool(mmu.root_role.direct)
    with vm.mmu_lock.held(shared=of_tdp_mmu and vm.k.has(ROOTS_FREED_SHARED)):
        for number in previous:
            _free_root_page(vm, mmu.prev_roots[number].root, invalid_list)
            mmu.prev_roots[number] = RootInfo(None, mmu.prev_roots[number].pgd)
        if current:
            _free_current(vm, mmu, invalid_list)
        kvm_mmu_commit_zap_page(vm, invalid_list)


def _free_current(vm: Vm, mmu: KvmMmu, invalid_list: InvalidList) -> None:
    """Drop the current root; of PAE roots, the pages that they point to."""
    if not isinstance(mmu.root, RootTable):
        _free_root_page(vm, mmu.root, invalid_list)
    elif mmu.pae_root is not None and mmu.root is not vm.shadow.dummy_root:
        for number in range(4):
            _free_root_page(vm, pae_root_page(vm, mmu, number), invalid_list)
            mmu.pae_root.write(number, 0)
    mmu.root, mmu.pgd = None, 0


def _free_root_page(vm: Vm, root: KvmMmuPage | None, invalid_list: InvalidList) -> None:
    """Drop one root; it is zapped for good if it was zapped before, and this is its last use."""
    if root is None:
        return
    if not isinstance(root, ShadowPage):
        kvm_tdp_mmu_put_root(vm, root)
        return
    root.root_count -= 1
    if not root.root_count and root.invalid:
        kvm_mmu_prepare_zap_page(vm, root, invalid_list)


def kvm_mmu_free_guest_mode_roots(vm: Vm, mmu: KvmMmu) -> None:
    """Drop the cached roots of L2, which L1 has invalidated."""
    vm.k.warn_on("kvm_mmu_free_guest_mode_roots", bool(mmu.root_role.guest_mode))
    roots = 0
    for number, (root, _) in enumerate(mmu.prev_roots):
        if isinstance(root, RootTable) or (isinstance(root, ShadowPage) and root.role.guest_mode):
            roots |= previous_root(number)
    kvm_mmu_free_roots(vm, mmu, roots)


def is_obsolete_root(vm: Vm, root: KvmMmuPage | None) -> bool:
    """Whether the root may not be used any more; those that are no shadow pages count as if."""
    if root is None:
        return False
    if isinstance(root, ShadowPage):
        return is_obsolete_sp(vm, root)
    return isinstance(root, RootTable) or root.invalid


def kvm_mmu_free_obsolete_roots(vm: Vm, vcpu: KvmVcpu) -> None:
    """Drop the obsolete roots of both MMUs, current and cached, so that others are loaded.

    Before OBSOLETE_ROOTS_DROPPED all roots were (KVM_REQ_MMU_RELOAD).
    """
    if not vm.k.has(OBSOLETE_ROOTS_DROPPED):
        kvm_mmu_unload(vm, vcpu)
        return
    for mmu in (vcpu.root_mmu, vcpu.guest_mmu):
        roots = KVM_MMU_ROOT_CURRENT if is_obsolete_root(vm, mmu.root) else 0
        for number, (root, _) in enumerate(mmu.prev_roots):
            if is_obsolete_root(vm, root):
                roots |= previous_root(number)
        kvm_mmu_free_roots(vm, mmu, roots)


def kvm_mmu_unload(vm: Vm, vcpu: KvmVcpu) -> None:
    """Drop all roots of both MMUs."""
    for mmu in (vcpu.root_mmu, vcpu.guest_mmu):
        kvm_mmu_free_roots(vm, mmu, KVM_MMU_ROOTS_ALL)
    if vm.k.has(MMIO_CACHE_CLEARED_ON_UNLOAD):
        vcpu.clear_mmio_info()


def free_mmu_pages(vm: Vm, vcpu: KvmVcpu) -> None:
    """Free the tables at the top that are no shadow pages; the vCPU is destroyed."""
    for mmu in (vcpu.root_mmu, vcpu.guest_mmu):
        for table in (mmu.pae_root, mmu.pml4_root, mmu.pml5_root):
            if table is not None:
                vm.memory.free(table)
