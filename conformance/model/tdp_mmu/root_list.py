# SPDX-License-Identifier: GPL-2.0-only
"""The list of roots and their reference counts.

The TDP MMU holds a reference to each root until the root has been invalidated and zapped. Each vCPU that uses
the root holds another. The root is retired when the last reference is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.vm import Vm

__all__ = ["each_root", "kvm_tdp_mmu_get_root", "kvm_tdp_mmu_put_root"]


def each_root(vm: Vm, as_id: int, only_valid: bool) -> Iterator[KvmMmuPage]:
    """The roots of an address space, newest first.

    A walk that may drop mmu_lock takes a reference to the root that it visits. Otherwise mmu_lock keeps the
    root alive.
    """
    may_yield = vm.need_resched
    for root in vm.listed_roots():
        if root.as_id != as_id or (only_valid and root.invalid):
            continue
        if may_yield and not kvm_tdp_mmu_get_root(vm, root):
            continue
        yield root
        if may_yield:
            kvm_tdp_mmu_put_root(vm, root)


def kvm_tdp_mmu_get_root(vm: Vm, root: KvmMmuPage) -> bool:
    """Take a reference to a root; return False if its last reference has been dropped."""
    vm.change_roots()
    if root.root_count:
        root.root_count += 1
    return bool(root.root_count)


def kvm_tdp_mmu_put_root(vm: Vm, root: KvmMmuPage) -> None:
    """Drop a reference; retire the root with the last one.

    A valid root always has the TDP MMU's reference, so the last one belongs to an invalid root (BUG else).
    """
    vm.change_roots()
    root.root_count -= 1
    if root.root_count:
        return
    vm.k.kvm_bug_on("kvm_tdp_mmu_put_root", not root.invalid)
    vm.roots.remove(root)
    vm.memory.retire(root)
