# SPDX-License-Identifier: GPL-2.0-only
"""The limit of shadow pages: beyond it the oldest are zapped. Tables of the TDP MMU do not count."""

from __future__ import annotations

from conformance.model.shadow_mmu.zap import InvalidList, kvm_mmu_commit_zap_page, kvm_mmu_prepare_zap_page
from conformance.model.vm.host import EINVAL
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import Vm

__all__ = [
    "KVM_MIN_FREE_MMU_PAGES",
    "kvm_mmu_available_pages",
    "kvm_mmu_change_mmu_pages",
    "kvm_mmu_default_limit",
    "kvm_vm_ioctl_set_nr_mmu_pages",
    "make_mmu_pages_available",
]

KVM_MIN_ALLOC_MMU_PAGES = 64
"""The smallest limit."""
KVM_MIN_FREE_MMU_PAGES, KVM_REFILL_PAGES = 5, 25
"""Below the first number of free pages, as many are zapped that the second is free."""
KVM_MEMSLOT_PAGES_TO_MMU_PAGES_RATIO = 50


def kvm_mmu_available_pages(vm: Vm) -> int:
    """How many more pages the limit allows."""
    return max(vm.shadow.n_max_mmu_pages - vm.shadow.n_used_mmu_pages, 0)


def make_mmu_pages_available(vm: Vm) -> bool:
    """Zap the oldest pages if few are available; return False (-ENOSPC) if then there is still not one.

    A caller that allocates several may exceed the limit.
    """
    available = kvm_mmu_available_pages(vm)
    if available >= KVM_MIN_FREE_MMU_PAGES:
        return True
    kvm_mmu_zap_oldest_mmu_pages(vm, KVM_REFILL_PAGES - available)
    return kvm_mmu_available_pages(vm) > 0


def kvm_mmu_zap_oldest_mmu_pages(vm: Vm, nr_to_zap: int) -> None:
    """Zap at least so many pages, oldest first, with what is zapped along with them; roots are kept.

    If other pages were zapped too, the search begins again with the oldest.
    """
    invalid_list: InvalidList = []
    total = 0
    candidates: list[ShadowPage] = [*vm.shadow.active_mmu_pages]
    while candidates:
        sp = candidates.pop(0)
        if sp.root_count:
            continue
        zapped, unstable = kvm_mmu_prepare_zap_page(vm, sp, invalid_list)
        total += zapped
        if total >= nr_to_zap:
            break
        if unstable:
            candidates = [*vm.shadow.active_mmu_pages]
    kvm_mmu_commit_zap_page(vm, invalid_list)
    vm.shadow.mmu_recycled += total


def kvm_mmu_change_mmu_pages(vm: Vm, goal: int) -> None:
    """Set the limit, after zapping what exceeds it. What could not be zapped raises the limit."""
    if not vm.shadow.active_mmu_pages:
        # Without shadow pages there is nothing that mmu_lock would protect.
        vm.shadow.n_max_mmu_pages = goal
        return
    with vm.mmu_lock.for_write:
        if vm.shadow.n_used_mmu_pages > goal:
            kvm_mmu_zap_oldest_mmu_pages(vm, vm.shadow.n_used_mmu_pages - goal)
            goal = vm.shadow.n_used_mmu_pages
        vm.shadow.n_max_mmu_pages = goal


def kvm_mmu_default_limit(vm: Vm) -> int:
    """The limit if userspace has set none, by the size of the memslots of both address spaces."""
    npages = sum(slot.npages for memslots in vm.memslots for slot in memslots.slots.values())
    return max(npages // KVM_MEMSLOT_PAGES_TO_MMU_PAGES_RATIO, KVM_MIN_ALLOC_MMU_PAGES)


def kvm_vm_ioctl_set_nr_mmu_pages(vm: Vm, n: int) -> int:
    """KVM_SET_NR_MMU_PAGES: set the limit for good; return 0 or a negative errno."""
    if n < KVM_MIN_ALLOC_MMU_PAGES:
        return -EINVAL
    with vm.slots_lock.for_write:
        kvm_mmu_change_mmu_pages(vm, n)
        vm.shadow.n_requested_mmu_pages = n
    return 0
