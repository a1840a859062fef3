# SPDX-License-Identifier: GPL-2.0-only
"""Roots: the trees of the TDP MMU, their references, and how all of them are dropped at once.

vCPUs with the same role share a root. A root is never emptied under those who use it: it is made
*invalid*, so that vCPUs let go of it and get a new, empty one, and zapped beside them: so since edbdb43fc96b
in v6.4, and in v6.1's stable tree.
"""

from __future__ import annotations

from conformance.model.changes import ROOTS_WITHOUT_BUDGET
from conformance.model.tdp_mmu.root_list import kvm_tdp_mmu_get_root, kvm_tdp_mmu_put_root
from conformance.model.tdp_mmu.zap import tdp_mmu_zap_root
from conformance.model.vm.cells import peek
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.vm import KvmVcpu, Request, Vm

__all__ = [
    "kvm_mmu_zap_all_fast",
    "kvm_tdp_mmu_alloc_root",
    "kvm_tdp_mmu_invalidate_roots",
    "kvm_tdp_mmu_put_root",
    "kvm_tdp_mmu_zap_invalidated_roots",
]


def kvm_tdp_mmu_alloc_root(vm: Vm, vcpu: KvmVcpu) -> KvmMmuPage:
    """A reference to the valid root for the vCPU's address space, which is created if it does not exist.

    Its role has nothing else that could differ between vCPUs here. Since v6.9 under mmu_lock for read, with a
    second look before a root is made.
    """
    shared = vm.k.has(ROOTS_WITHOUT_BUDGET)
    with vm.mmu_lock.held(shared):
        root = _usable_root(vm, vcpu)
        if root is None:
            vm.change_roots()
            root = _usable_root(vm, vcpu, listed=vm.roots)
        if root is None:
            root = vm.memory.new_root(vcpu.as_id)
            root.root_count = 2
            vm.roots.append(root)
    return root


def _usable_root(vm: Vm, vcpu: KvmVcpu, listed: list[KvmMmuPage] | None = None) -> KvmMmuPage | None:
    """A reference to a root that is there."""
    for root in vm.listed_roots() if listed is None else listed:
        usable = root.as_id == vcpu.as_id and not peek(root, "invalid")
        if usable and kvm_tdp_mmu_get_root(vm, root):
            return root
    return None


def kvm_tdp_mmu_invalidate_roots(vm: Vm) -> None:
    """Mark all roots invalid; the caller must have them zapped."""
    for root in vm.listed_roots():
        if not root.invalid:
            root.scheduled_to_zap = True
            root.invalid = True


def kvm_tdp_mmu_zap_invalidated_roots(vm: Vm, shared: bool = True) -> None:
    """Empty the roots that were invalidated and give up the TDP MMU's references to them.

    No flush is needed: a vCPU flushes when it is given a new root.
    """
    with vm.mmu_lock.held(shared):
        for root in vm.listed_roots():
            if root.scheduled_to_zap:
                root.scheduled_to_zap = False
                tdp_mmu_zap_root(vm, root, shared)
                kvm_tdp_mmu_put_root(vm, root)


def kvm_mmu_zap_all_fast(vm: Vm) -> None:
    """Drop all translations: new roots for everyone, and nothing of the old ones is left on return.

    "Fast" because vCPUs need not wait for the zapping, only for the invalidation.
    """
    with vm.mmu_lock.for_write:
        kvm_tdp_mmu_invalidate_roots(vm)
        vm.make_all_cpus_request(Request.MMU_FREE_OBSOLETE_ROOTS)
    kvm_tdp_mmu_zap_invalidated_roots(vm)
