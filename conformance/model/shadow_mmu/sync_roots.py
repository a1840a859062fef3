# SPDX-License-Identifier: GPL-2.0-only
"""Syncing all that is below the current root: for a flush of the guest's TLB, and for a root loaded anew."""

from __future__ import annotations

from conformance.model.shadow_mmu.shadow_walk import PT64_ROOT_4LEVEL, pae_root_page
from conformance.model.shadow_mmu.sync import mmu_sync_children
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["is_unsync_root", "kvm_mmu_sync_roots"]


def kvm_mmu_sync_roots(vm: Vm, vcpu: KvmVcpu) -> None:
    """Sync the unsync pages below the vCPU's root, or below its four PAE roots.

    Whether there are any is looked at without mmu_lock: a page is marked before the guest can write its
    table.
    """
    mmu = vcpu.mmu
    if mmu.root_role.direct or mmu.root is None:
        return
    vcpu.clear_mmio_info()
    if mmu.w.cpu_role.level >= PT64_ROOT_4LEVEL:
        if is_unsync_root(mmu.root):
            with vm.mmu_lock.for_write:
                _sync(vm, vcpu, mmu.root)
        return
    with vm.mmu_lock.for_write:
        for number in range(4):
            _sync(vm, vcpu, pae_root_page(vm, mmu, number))


def _sync(vm: Vm, vcpu: KvmVcpu, root: KvmMmuPage | None) -> None:
    if isinstance(root, ShadowPage):
        mmu_sync_children(vm, vcpu, root, can_yield=True)


def is_unsync_root(root: KvmMmuPage | None) -> bool:
    """Whether the root, or a page below it, is unsync. PAE roots and the dummy root are no shadow pages."""
    return isinstance(root, ShadowPage) and (root.unsync or root.unsync_children > 0)
