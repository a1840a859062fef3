# SPDX-License-Identifier: GPL-2.0-only
"""What each step of the interface's table does to the VM. All arguments and outcomes are integers.

The control registers, guest instructions at an address and nested guests are in ``paging_steps``.
"""

from __future__ import annotations

from collections.abc import Callable

from conformance.interface.access import FETCH, READ, WRITE, End
from conformance.model.changes import NO_CHANGE_PTE, SLOTS_WAIT_FOR_INVALIDATIONS
from conformance.model.kvm_main.dirty_log import kvm_clear_dirty_log, kvm_get_dirty_log
from conformance.model.kvm_main.memory_region import kvm_set_memory_region
from conformance.model.kvm_main.vcpu import set_smm
from conformance.model.machine.step_table import address_space, step, vcpu_of
from conformance.model.machine.stepped_vm import SteppedVm
from conformance.model.processor import guest
from conformance.model.shadow_mmu import nx_huge_pages
from conformance.model.shadow_mmu.free_roots import free_mmu_pages, kvm_mmu_unload
from conformance.model.shadow_mmu.zap_all import kvm_mmu_zap_all
from conformance.model.tdp_mmu.reader import Reader
from conformance.model.vm.host import EAGAIN, EINVAL, ENOSYS
from conformance.model.vm.locks import Lock
from conformance.model.vm.mmu_pages import FreedEntries
from conformance.model.vm.scheduler import Scheduler, current, installed
from conformance.model.vm.shadow_page import ShadowPage

__all__: list[str] = []

# The host and its memory.


@step
def mmap(vm: SteppedVm, page: int, npages: int, writable: int, level: int) -> list[int]:
    """Reserve host memory; ``level`` is the largest page size: 1, 2 or 3."""
    return [vm.host.mmap(page, npages, bool(writable), level)]


@step
def touch(vm: SteppedVm, page: int, write: int) -> list[int]:
    """The process that owns the VM reads or writes a page itself."""
    return [vm.host.touch(page, bool(write))]


@step
def madvise_dontneed(vm: SteppedVm, page: int, npages: int) -> list[int]:
    """The process discards pages."""
    return [vm.host.madvise_dontneed(page, npages)]


@step
def wrprotect(vm: SteppedVm, page: int, npages: int) -> list[int]:
    """Make pages read-only, as fork() and mprotect() do."""
    return [vm.host.wrprotect(page, npages)]


@step
def ksm_merge(vm: SteppedVm, page: int) -> list[int]:
    """Replace a page by one that is shared with other processes."""
    return [vm.host.ksm_merge(page)]


@step
def mremap(vm: SteppedVm, page: int, to: int) -> list[int]:
    """Move a page to another address."""
    return [vm.host.mremap(page, to)]


@step
def collapse(vm: SteppedVm, page: int) -> list[int]:
    """Collapse small pages into a huge one."""
    return [vm.host.collapse(page)]


@step
def take_marks(vm: SteppedVm, page: int) -> list[int]:
    """Clear the marks that KVM has left on a page; return 1 if it was marked dirty, plus 2 if accessed."""
    return [vm.host.take_marks(page)]


@step
def notifier_start(vm: SteppedVm, page: int, npages: int) -> list[int]:
    """Call only the MMU notifier's invalidate_range_start()."""
    vm.host.notifier.invalidate_range_start(page, page + npages)
    return [0]


@step
def notifier_end(vm: SteppedVm, page: int, npages: int) -> list[int]:
    """Call only the MMU notifier's invalidate_range_end()."""
    vm.host.notifier.invalidate_range_end(page, page + npages)
    return [0]


@step
def change_pte(vm: SteppedVm, page: int) -> list[int]:
    """Call .change_pte as the host does, between start and end, with the page that is already mapped."""
    if vm.k.has(NO_CHANGE_PTE):
        return [-ENOSYS]
    found = vm.host.lookup(page)
    if found is None:
        return [-EINVAL]
    with vm.host.invalidating(page, page + 1, wrapped=vm.host.wraps_change_pte):
        vm.host.notifier.change_pte(page, vm.host.pfn_of(page), found[0].writable)
    return [0]


@step
def clear_flush_young(vm: SteppedVm, page: int, npages: int) -> list[int]:
    """Age pages, and flush TLBs if the kernel does so; return whether any page was young."""
    return [int(vm.host.notifier.clear_flush_young(page, page + npages))]


@step
def clear_young(vm: SteppedVm, page: int, npages: int) -> list[int]:
    """Age pages without a flush; return whether any page was young."""
    return [int(vm.host.notifier.clear_young(page, page + npages))]


@step
def test_young(vm: SteppedVm, page: int) -> list[int]:
    """Return whether the page is young."""
    return [int(vm.host.notifier.test_young(page))]


# Ioctls of KVM.


@step
def set_memory_region(
    vm: SteppedVm, slot: int, as_id: int, gfn: int, npages: int, page: int, flags: int
) -> list[int]:
    """KVM_SET_USER_MEMORY_REGION; flags 1 log writes, 2 read-only; ``npages`` 0 deletes.

    KVM waits until no invalidation is in progress, so that its start and end see the same memslots. Outside a
    race no other thread can end it, so the outcome is -EAGAIN.
    """
    address_space(as_id)
    waits = vm.mn_active_invalidate_count and vm.k.has(SLOTS_WAIT_FOR_INVALIDATIONS)
    if waits and not current.scheduler.has_others:
        return [-EAGAIN]
    return [kvm_set_memory_region(vm, slot=slot, as_id=as_id, gfn=gfn, npages=npages, page=page, flags=flags)]


@step
def get_dirty_log(vm: SteppedVm, slot: int, as_id: int) -> list[int]:
    """KVM_GET_DIRTY_LOG."""
    return kvm_get_dirty_log(vm, slot, address_space(as_id))


@step
def clear_dirty_log(vm: SteppedVm, slot: int, as_id: int, first: int, npages: int, mask: int) -> list[int]:
    """KVM_CLEAR_DIRTY_LOG of one word."""
    return [kvm_clear_dirty_log(vm, slot, address_space(as_id), first, npages, mask)]


# vCPUs.


@step
def enter(vm: SteppedVm, vcpu: int) -> list[int]:
    """Enter the guest, and leave it before the first instruction."""
    return [guest.enter(vm, vcpu_of(vm, vcpu))]


@step
def access(vm: SteppedVm, vcpu: int, gfn: int, kind: int) -> list[int]:
    """Run one instruction of the guest that reads, writes, or is fetched at ``gfn``.

    With shadow paging a guest has linear addresses only, see ``execute``.
    """
    if kind not in (READ, WRITE, FETCH):
        raise ValueError(f"no such kind of access: {kind}")
    if not vm.mode.tdp:
        return [-EINVAL, int(End.FAILED)]
    return guest.run_access(vm, vcpu_of(vm, vcpu), gfn, kind)


@step
def smm(vm: SteppedVm, vcpu: int, on: int) -> list[int]:
    """Enter or leave system management mode."""
    set_smm(vm, vcpu_of(vm, vcpu), bool(on))
    return []


# Module parameters, the recovery worker, and what only tests do.


@step
def set_nx_huge_pages(vm: SteppedVm, on: int) -> list[int]:
    """Write the module parameter nx_huge_pages."""
    nx_huge_pages.set_nx_huge_pages(vm, bool(on))
    return [0]


@step
def recover_nx_huge_pages(vm: SteppedVm) -> list[int]:
    """Run the worker that recovers NX huge pages once."""
    nx_huge_pages.kvm_recover_nx_huge_pages(vm)
    return [0]


@step
def set_generation(vm: SteppedVm, value: int) -> list[int]:
    """Set the memslots' generation, to test its wrap. The address spaces' generations are never equal."""
    for memslots in vm.memslots:
        memslots.generation = value + memslots.as_id
    return [0]


@step
def walk_begin(vm: SteppedVm, vcpu: int, gfn: int) -> list[int]:
    """A lockless reader enters the tables."""
    root = vcpu_of(vm, vcpu).mmu.root
    if vm.reader is not None or root is None:
        raise ValueError("there is one reader at a time, and only where there is a root")
    vm.reader = Reader(vm.memory, root, gfn)
    return vm.reader.position


@step
def walk_next(vm: SteppedVm) -> list[int]:
    """The reader advances by one entry."""
    if vm.reader is None:
        raise ValueError("no reader is in the tables")
    return vm.reader.next()


@step
def walk_end(vm: SteppedVm) -> list[int]:
    """The reader leaves the tables."""
    if vm.reader is None:
        raise ValueError("no reader is in the tables")
    vm.reader = None
    return []


@step
def grace_period(vm: SteppedVm) -> list[int]:
    """RCU: free the retired tables unless a reader is inside; return how many were freed."""
    return [0 if vm.reader is not None else vm.memory.free_retired()]


@step
def resched(vm: SteppedVm, on: int) -> list[int]:
    """Set what need_resched() returns."""
    vm.need_resched = bool(on)
    return [0]


@step
def delete_while_unmapping(vm: SteppedVm, slot: int, as_id: int, page: int, npages: int) -> list[int]:
    """Delete a memslot; when KVM first yields while it zaps the roots, the host discards pages.

    The outcome adds whether KVM yielded, and how many leaves of each level were left after the unmap: an
    unmap must reach roots that are invalid but not yet zapped, commit d62007edf01f in v5.18.
    """
    at_yield = [0, 0, 0, 0]

    def unmap() -> None:
        vm.host.madvise_dontneed(page, npages)
        at_yield[:] = [1, *map(vm.pages_mapped, (1, 2, 3))]

    need_resched, vm.need_resched = vm.need_resched, True
    with installed(_AtFirstYield(unmap)):
        outcome = set_memory_region(vm, slot, as_id, 0, 0, 0, 0)
    vm.need_resched = need_resched
    return [*outcome, *at_yield]


class _AtFirstYield(Scheduler):
    """Runs ``action`` when the running thread first yields mmu_lock."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def relock(self, lock: Lock) -> bool:
        """Run the action, once."""
        action, self.action = self.action, None
        if action is None:
            return False
        action()
        return True


@step
def destroy(vm: SteppedVm) -> list[int]:
    """Destroy the VM; return the objects, pages and references to host pages that were not freed."""
    vm.reader = None
    for vcpu in vm.vcpus:
        kvm_mmu_unload(vm, vcpu)
        free_mmu_pages(vm, vcpu)
    kvm_mmu_zap_all(vm)
    vm.memory.free_retired()
    for memslots in vm.memslots:
        memslots.slots.clear()
    vm.vcpus.clear()
    vm.destroyed = True
    tables = [one for one in vm.memory.by_serial.values() if not isinstance(one.entries, FreedEntries)]
    translations = [
        one for one in tables if isinstance(one, ShadowPage) and one.shadowed_translation is not None
    ]
    return [len(tables), len(tables) + len(translations), 0]
