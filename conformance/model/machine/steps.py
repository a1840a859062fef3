# SPDX-License-Identifier: GPL-2.0-only
"""The steps: what can be done to the machine, by name. All arguments and outcomes are ints."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature

from conformance.model.changes import NO_CHANGE_PTE
from conformance.model.kvm_main.dirty_log import kvm_clear_dirty_log, kvm_get_dirty_log
from conformance.model.kvm_main.memory_region import kvm_set_memory_region
from conformance.model.kvm_main.vcpu import kvm_mmu_unload, set_smm
from conformance.model.processor import guest
from conformance.model.processor.processor import FETCH, READ, WRITE
from conformance.model.tdp_mmu import nx_huge_pages
from conformance.model.tdp_mmu.reader import Reader
from conformance.model.tdp_mmu.roots import kvm_tdp_mmu_invalidate_roots, kvm_tdp_mmu_zap_invalidated_roots
from conformance.model.vm.host import EAGAIN, EINVAL, ENOSYS
from conformance.model.vm.memslots import KVM_ADDRESS_SPACE_NUM
from conformance.model.vm.mmu_pages import FreedEntries
from conformance.model.vm.points import points
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["STEPS", "take_step"]


def take_step(vm: Vm, name: str, arguments: dict[str, int]) -> list[int]:
    """Do the step ``name``; ValueError if there is none, or it takes other arguments."""
    if name not in STEPS:
        raise ValueError(f"no such step: {name}")
    step, parameters = STEPS[name]
    if arguments.keys() != parameters:
        raise ValueError(f"{name} takes {', '.join(sorted(parameters)) or 'no arguments'}")
    return step(vm, **arguments)


def _vcpu(vm: Vm, number: int) -> KvmVcpu:
    if not 0 <= number < len(vm.vcpus):
        raise ValueError(f"no vCPU {number}")
    return vm.vcpus[number]


def _address_space(as_id: int) -> int:
    if not 0 <= as_id < KVM_ADDRESS_SPACE_NUM:
        raise ValueError(f"no address space {as_id}")
    return as_id


# What the host does with its memory.


def mmap(vm: Vm, page: int, npages: int, writable: int, level: int) -> list[int]:
    """Reserve host memory; ``level`` is the largest page size: 1, 2 or 3."""
    return [vm.host.mmap(page, npages, bool(writable), level)]


def touch(vm: Vm, page: int, write: int) -> list[int]:
    """The process that owns the VM reads or writes a page itself."""
    return [vm.host.touch(page, bool(write))]


def madvise_dontneed(vm: Vm, page: int, npages: int) -> list[int]:
    """It gives pages back."""
    return [vm.host.madvise_dontneed(page, npages)]


def wrprotect(vm: Vm, page: int, npages: int) -> list[int]:
    """Pages are made read-only, as by fork() or mprotect()."""
    return [vm.host.wrprotect(page, npages)]


def ksm_merge(vm: Vm, page: int) -> list[int]:
    """A page is replaced by one shared with other processes."""
    return [vm.host.ksm_merge(page)]


def collapse(vm: Vm, page: int) -> list[int]:
    """Small pages become a huge one."""
    return [vm.host.collapse(page)]


def notifier_start(vm: Vm, page: int, npages: int) -> list[int]:
    """Only the notifier: an invalidation begins."""
    vm.host.notifier.invalidate_range_start(page, page + npages)
    return [0]


def notifier_end(vm: Vm, page: int, npages: int) -> list[int]:
    """Only the notifier: it ends."""
    vm.host.notifier.invalidate_range_end(page, page + npages)
    return [0]


def change_pte(vm: Vm, page: int) -> list[int]:
    """.change_pte as the host wraps it, in start and end, with the page that is mapped already."""
    if vm.k.has(NO_CHANGE_PTE):
        return [-ENOSYS]
    found = vm.host.lookup(page)
    if found is None:
        return [-EINVAL]
    with vm.host.invalidating(page, page + 1, wrapped=vm.host.wraps_change_pte):
        vm.host.notifier.change_pte(page, vm.host.pfn_of(page), found[0].writable)
    return [0]


def clear_flush_young(vm: Vm, page: int, npages: int) -> list[int]:
    """Were these pages used? Age them, and make sure that the next use shows."""
    return [int(vm.host.notifier.clear_flush_young(page, page + npages))]


def clear_young(vm: Vm, page: int, npages: int) -> list[int]:
    """Were these pages used? Age them."""
    return [int(vm.host.notifier.clear_young(page, page + npages))]


def test_young(vm: Vm, page: int) -> list[int]:
    """Was this page used?"""
    return [int(vm.host.notifier.test_young(page))]


# What userspace asks of KVM.


def set_memory_region(
    vm: Vm, slot: int, as_id: int, gfn: int, npages: int, page: int, flags: int
) -> list[int]:
    """KVM_SET_USER_MEMORY_REGION; flags 1 log writes, 2 read-only; ``npages`` 0 deletes.

    KVM would wait until no invalidation is in progress, lest its start and end see different slots; where
    nobody else runs who could end it, that is -EAGAIN.
    """
    _address_space(as_id)
    if not points.on and vm.mn_active_invalidate_count:
        return [-EAGAIN]
    return [kvm_set_memory_region(vm, slot=slot, as_id=as_id, gfn=gfn, npages=npages, page=page, flags=flags)]


def get_dirty_log(vm: Vm, slot: int, as_id: int) -> list[int]:
    """KVM_GET_DIRTY_LOG."""
    return kvm_get_dirty_log(vm, slot, _address_space(as_id))


def clear_dirty_log(vm: Vm, slot: int, as_id: int, first: int, npages: int, mask: int) -> list[int]:
    """KVM_CLEAR_DIRTY_LOG of one word."""
    return [kvm_clear_dirty_log(vm, slot, _address_space(as_id), first, npages, mask)]


# What vCPUs do.


def enter(vm: Vm, vcpu: int) -> list[int]:
    """Get ready to run the guest."""
    return [guest.enter(vm, _vcpu(vm, vcpu))]


def access(vm: Vm, vcpu: int, gfn: int, kind: int) -> list[int]:
    """Run one instruction that reads (1), writes (2) or is fetched (4)."""
    if kind not in (READ, WRITE, FETCH):
        raise ValueError(f"no such kind of access: {kind}")
    return guest.run_access(vm, _vcpu(vm, vcpu), gfn, kind)


def smm(vm: Vm, vcpu: int, on: int) -> list[int]:
    """Enter or leave system management mode."""
    set_smm(vm, _vcpu(vm, vcpu), bool(on))
    return []


# What the administrator, the worker and the tests do.


def set_nx_huge_pages(vm: Vm, on: int) -> list[int]:
    """The module parameter that forbids to execute huge pages."""
    nx_huge_pages.set_nx_huge_pages(vm, bool(on))
    return [0]


def recover_nx_huge_pages(vm: Vm) -> list[int]:
    """One run of the worker that lets huge pages come back."""
    nx_huge_pages.kvm_recover_nx_huge_pages(vm)
    return [0]


def set_generation(vm: Vm, value: int) -> list[int]:
    """Write the memslots' generation, to come near its wrap. Those of two address spaces are never equal."""
    for memslots in vm.memslots:
        memslots.generation = value + memslots.as_id
    return [0]


def walk_begin(vm: Vm, vcpu: int, gfn: int) -> list[int]:
    """A reader enters the tables without a lock."""
    root = _vcpu(vm, vcpu).root
    if vm.reader is not None or root is None:
        raise ValueError("one reader at a time, and only where there is a root")
    vm.reader = Reader(vm.memory, root, gfn)
    return vm.reader.position


def walk_next(vm: Vm) -> list[int]:
    """It goes on by one entry."""
    if vm.reader is None:
        raise ValueError("no reader is in the tables")
    return vm.reader.next()


def walk_end(vm: Vm) -> list[int]:
    """It leaves."""
    if vm.reader is None:
        raise ValueError("no reader is in the tables")
    vm.reader = None
    return []


def grace_period(vm: Vm) -> list[int]:
    """RCU: what was retired is freed, unless a reader is still inside; gives how many tables."""
    return [0 if vm.reader is not None else vm.memory.free_retired()]


def resched(vm: Vm, on: int) -> list[int]:
    """Whether the scheduler wants the CPU from whoever works long."""
    vm.need_resched = bool(on)
    return [0]


def delete_while_unmapping(vm: Vm, slot: int, as_id: int, page: int, npages: int) -> list[int]:
    """Delete a slot; when KVM first gives way while it zaps the roots, the host gives pages back.

    The outcome goes on with whether it came to that, and how many leaves of each level there were right
    after: an unmap must reach roots that are invalid but not yet empty, commit d62007edf01f in v5.18.
    """
    seen = [0, 0, 0, 0]

    def give_back() -> None:
        vm.host.madvise_dontneed(page, npages)
        seen[:] = [1, *(vm.pages[level] for level in (1, 2, 3))]

    asked, vm.need_resched, vm.while_away = vm.need_resched, True, give_back
    outcome = set_memory_region(vm, slot, as_id, 0, 0, 0, 0)
    vm.need_resched, vm.while_away = asked, None
    return [*outcome, *seen]


def destroy(vm: Vm) -> list[int]:
    """The end: [objects, pages, references to host pages] that were not given back."""
    vm.reader = None
    for vcpu in vm.vcpus:
        kvm_mmu_unload(vm, vcpu)
    kvm_tdp_mmu_invalidate_roots(vm)
    kvm_tdp_mmu_zap_invalidated_roots(vm)
    vm.memory.free_retired()
    for memslots in vm.memslots:
        memslots.slots.clear()
    vm.vcpus.clear()
    vm.destroyed = True
    left = sum(not isinstance(table.entries, FreedEntries) for table in vm.memory.by_serial.values())
    return [left, left, 0]


def _parameters(step: Callable[..., list[int]]) -> frozenset[str]:
    return frozenset(signature(step).parameters) - {"vm"}


STEPS: dict[str, tuple[Callable[..., list[int]], frozenset[str]]] = {
    step.__name__: (step, _parameters(step))
    for step in (
        mmap, touch, madvise_dontneed, wrprotect, ksm_merge, collapse,
        notifier_start, notifier_end, change_pte, clear_flush_young, clear_young, test_young,
        set_memory_region, get_dirty_log, clear_dirty_log,
        enter, access, smm,
        set_nx_huge_pages, recover_nx_huge_pages, set_generation,
        walk_begin, walk_next, walk_end, grace_period, resched, delete_while_unmapping, destroy,
    )
}  # fmt: skip
"""Every step by name, with the names of its arguments."""
