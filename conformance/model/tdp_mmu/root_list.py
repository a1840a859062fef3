# SPDX-License-Identifier: GPL-2.0-only
"""The list of roots and their references.

The TDP MMU holds a reference to each root until it is invalidated and zapped, each vCPU that uses it another;
with the last one the root is retired.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.vm import Vm

__all__ = ["each_root", "kvm_tdp_mmu_get_root", "kvm_tdp_mmu_put_root"]


def each_root(vm: Vm, as_id: int, only_valid: bool) -> Iterator[KvmMmuPage]:
    """The roots of an address space, newest first.

    Who may drop mmu_lock on the way holds a reference to the root where it is; for others mmu_lock does.
    """
    hold = vm.need_resched
    for root in vm.listed_roots():
        if root.as_id != as_id or (only_valid and root.invalid):
            continue
        if hold and not kvm_tdp_mmu_get_root(vm, root):
            continue
        yield root
        if hold:
            kvm_tdp_mmu_put_root(vm, root)


def kvm_tdp_mmu_get_root(vm: Vm, root: KvmMmuPage) -> bool:
    """Take a reference to a root, if another reference to it exists."""
    vm.change_roots()
    if root.root_count:
        root.root_count += 1
    return bool(root.root_count)


def kvm_tdp_mmu_put_root(vm: Vm, root: KvmMmuPage) -> None:
    """Give up a reference. The last one of a valid root is the TDP MMU's, which never gives it up."""
    vm.change_roots()
    root.root_count -= 1
    if root.root_count:
        return
    vm.k.kvm_bug_on("kvm_tdp_mmu_put_root", not root.invalid)
    vm.roots.remove(root)
    vm.memory.retire(root)
