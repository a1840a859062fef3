# SPDX-License-Identifier: GPL-2.0-only
"""Roots: allocating them, and dropping all translations by invalidating every root at once.

vCPUs with the same role share a root. To drop all translations KVM marks each root *invalid*, so that every
vCPU drops its root and gets a new, empty one, and then zaps the invalid roots while vCPUs run. This is how it
works since commit edbdb43fc96b in v6.4, which is in v6.1's stable tree too.
"""

from __future__ import annotations

from conformance.model.changes import ROOTS_WITHOUT_BUDGET
from conformance.model.tdp_mmu.root_list import kvm_tdp_mmu_get_root, kvm_tdp_mmu_put_root
from conformance.model.tdp_mmu.zap import tdp_mmu_zap_root
from conformance.model.vm.cells import peek
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = [
    "kvm_tdp_mmu_alloc_root",
    "kvm_tdp_mmu_invalidate_roots",
    "kvm_tdp_mmu_put_root",
    "kvm_tdp_mmu_zap_invalidated_roots",
]


def kvm_tdp_mmu_alloc_root(vm: Vm, vcpu: KvmVcpu) -> KvmMmuPage:
    """Take a reference to the valid root of the vCPU's address space; create the root if it does not exist.

    Nothing else in the role differs between the vCPUs of the model. Since v6.9 mmu_lock is held for read, so
    the list is searched again, under tdp_mmu_pages_lock, before a root is created.
    """
    shared = vm.k.has(ROOTS_WITHOUT_BUDGET)
    with vm.mmu_lock.held(shared):
        root = _get_valid_root(vm, vcpu)
        if root is None:
            vm.change_roots()
            root = _get_valid_root(vm, vcpu, listed=vm.roots)
        if root is None:
            root = vm.memory.new_root(vcpu.as_id)
            root.root_count = 2
            vm.roots.append(root)
    return root


def _get_valid_root(vm: Vm, vcpu: KvmVcpu, listed: list[KvmMmuPage] | None = None) -> KvmMmuPage | None:
    """Take a reference to the valid root of the vCPU's address space; None if it does not exist."""
    for root in vm.listed_roots() if listed is None else listed:
        matches = root.as_id == vcpu.as_id and not peek(root, "invalid")
        if matches and kvm_tdp_mmu_get_root(vm, root):
            return root
    return None


def kvm_tdp_mmu_invalidate_roots(vm: Vm) -> None:
    """Mark all roots invalid; the caller must zap them afterwards."""
    for root in vm.listed_roots():
        if not root.invalid:
            root.scheduled_to_zap = True
            root.invalid = True


def kvm_tdp_mmu_zap_invalidated_roots(vm: Vm, shared: bool = True) -> None:
    """Zap the roots that were invalidated, and drop the TDP MMU's references to them.

    No flush is needed here: a vCPU flushes its TLB when it loads a new root.
    """
    with vm.mmu_lock.held(shared):
        for root in vm.listed_roots():
            if root.scheduled_to_zap:
                root.scheduled_to_zap = False
                tdp_mmu_zap_root(vm, root, shared)
                kvm_tdp_mmu_put_root(vm, root)
