# SPDX-License-Identifier: GPL-2.0-only
"""Walks in shadow pages: the entries that translate an address, from the root down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from conformance.model.changes import DUMMY_ROOT_NOT_WALKED, WALK_HOLDS_OFF_FREEING
from conformance.model.layout import PAGE_SHIFT, SPTE_BASE_ADDR_MASK
from conformance.model.vm.kvm_mmu import KvmMmu
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.pte_list import Sptep
from conformance.model.vm.vm import OUTSIDE_GUEST_MODE, READING_SHADOW_PAGE_TABLES, KvmVcpu, Vm

__all__ = [
    "PT64_ROOT_4LEVEL",
    "for_each_shadow_entry",
    "for_each_shadow_entry_lockless",
    "for_each_shadow_entry_using_root",
    "pae_root_page",
    "walk_shadow_page_lockless",
]

PT32E_ROOT_LEVEL, PT64_ROOT_4LEVEL = 3, 4


def for_each_shadow_entry(vm: Vm, vcpu: KvmVcpu, address: int) -> Iterator[Sptep]:
    """The entries for ``address`` of the current root."""
    return for_each_shadow_entry_using_root(vm, vcpu, vcpu.mmu.root, address)


def for_each_shadow_entry_using_root(
    vm: Vm, vcpu: KvmVcpu, root: KvmMmuPage | None, address: int
) -> Iterator[Sptep]:
    """The entries for ``address`` of ``root``, which the current role describes.

    An entry is read when the caller goes on to the next, so that a table that it has linked meanwhile is
    walked. The walk ends with the entry that points to no table.
    """
    table = _first_table(vm, vcpu, root, address)
    while table is not None:
        at = table.index_of(address >> PAGE_SHIFT)
        yield Sptep(table, at)
        table = vm.memory.child(table.read(at), table.level)


def for_each_shadow_entry_lockless(vm: Vm, vcpu: KvmVcpu, address: int) -> Iterator[tuple[Sptep, int]]:
    """The entries for ``address`` of the current root with their SPTEs, each of which is read once."""
    table = _first_table(vm, vcpu, vcpu.mmu.root, address)
    while table is not None:
        at = table.index_of(address >> PAGE_SHIFT)
        spte = table.read(at)
        yield Sptep(table, at), spte
        table = vm.memory.child(spte, table.level)


@contextmanager
def walk_shadow_page_lockless(vm: Vm, vcpu: KvmVcpu) -> Iterator[None]:
    """A walk without mmu_lock: who frees shadow pages flushes before, and waits until the vCPU has ended it.

    Tables of the TDP MMU are freed after an RCU grace period instead.
    """
    if vm.is_tdp_mmu_active(vcpu):
        with vm.memory.rcu:
            yield
        return
    if vm.k.has(WALK_HOLDS_OFF_FREEING):
        vcpu.mode = READING_SHADOW_PAGE_TABLES
    yield
    vcpu.mode = OUTSIDE_GUEST_MODE


def _first_table(vm: Vm, vcpu: KvmVcpu, root: KvmMmuPage | None, address: int) -> KvmMmuPage | None:
    """The root, or the page of level 2 that a PAE root points to: PAE roots are no pages of entries.

    A nested guest with PAE paging on a processor that walks 4 levels or more has PAE roots below others that
    lead there.
    """
    if root is vm.shadow.dummy_root and vm.k.has(DUMMY_ROOT_NOT_WALKED):
        return None
    mmu = vcpu.mmu
    role = mmu.root_role
    of_pae = role.level >= PT64_ROOT_4LEVEL and mmu.w.cpu_role.level < PT64_ROOT_4LEVEL and not role.direct
    if role.level != PT32E_ROOT_LEVEL and not of_pae:
        return root
    return pae_root_page(vm, mmu, address >> 30 & 3)


def pae_root_page(vm: Vm, mmu: KvmMmu, number: int) -> KvmMmuPage | None:
    """The page that one of the four PAE roots points to; None if the guest has no PDPTE there."""
    assert mmu.pae_root is not None
    pae_root = mmu.pae_root.read(number)
    return vm.memory.by_serial.get((pae_root & SPTE_BASE_ADDR_MASK) >> PAGE_SHIFT)
