# SPDX-License-Identifier: GPL-2.0-only
"""KVM's own accesses to the guest's memory: where userspace has mapped it, as copy_from_user() makes them.

They go through the host's page tables. A page that the host has not mapped is faulted in, as if the process
accessed it: a read gets the zero page, a write breaks sharing, with calls to KVM's MMU notifier. Where page
faults are disabled (``atomic``), such an access fails instead. Accesses are of ``size`` bytes at a multiple
of it, 8 or 4, and stay in one page.
"""

from __future__ import annotations

from conformance.model.layout import PAGE_SHIFT
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.memslots import mark_page_dirty_in_slot
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = [
    "get_user",
    "kvm_vcpu_mark_page_dirty",
    "kvm_vcpu_read_guest",
    "kvm_vcpu_read_guest_atomic",
    "kvm_vcpu_write_guest",
    "try_cmpxchg_user",
]

PAGE_SIZE = 1 << PAGE_SHIFT


def get_user(vm: Vm, page: int, offset: int, size: int, *, atomic: bool = False) -> int | None:
    """Read ``size`` bytes at ``offset`` of a page of the process; None for -EFAULT."""
    pfn = _frame(vm, page, write=False, atomic=atomic)
    if pfn is None:
        return None
    return vm.host.frames.read(pfn, offset >> 3) >> 8 * (offset & 7) & (1 << 8 * size) - 1


def put_user(vm: Vm, page: int, offset: int, size: int, value: int) -> bool:
    """Write ``size`` bytes; False for -EFAULT."""
    pfn = _frame(vm, page, write=True)
    if pfn is None:
        return False
    shift, mask = 8 * (offset & 7), (1 << 8 * size) - 1
    vm.host.frames.write(pfn, offset >> 3, (value & mask) << shift, mask << shift)
    return True


def try_cmpxchg_user(vm: Vm, page: int, offset: int, size: int, old: int, new: int) -> int | None:
    """Replace ``old`` by ``new`` atomically if it is still there; gives what was there, None for -EFAULT."""
    pfn = _frame(vm, page, write=True)
    if pfn is None:
        return None
    shift, mask = 8 * (offset & 7), (1 << 8 * size) - 1
    return vm.host.frames.cmpxchg(pfn, offset >> 3, old << shift, new << shift, mask << shift) >> shift


def _frame(vm: Vm, page: int, *, write: bool, atomic: bool = False) -> int | None:
    """The frame behind a page of the process, for an access by the kernel; None if that fails."""
    if not atomic:
        found = vm.host.get_user_page(page, write)
        return None if isinstance(found, int) else found[0]
    present = vm.host.read_pte(page)
    if present is None:
        return None
    entry, level = present
    return entry.pfn + (page & pages_per(level) - 1)


def kvm_vcpu_read_guest(vm: Vm, vcpu: KvmVcpu, gpa: int, size: int, n: int = 1) -> list[int] | None:
    """Read ``n`` elements at a guest physical address, in the vCPU's address space; None for -EFAULT."""
    return _read(vm, vcpu, gpa, size, n, atomic=False)


def kvm_vcpu_read_guest_atomic(vm: Vm, vcpu: KvmVcpu, gpa: int, size: int, n: int = 1) -> list[int] | None:
    """The same with page faults disabled, as under mmu_lock: None too if the host has not mapped the page."""
    return _read(vm, vcpu, gpa, size, n, atomic=True)


def _read(vm: Vm, vcpu: KvmVcpu, gpa: int, size: int, n: int, *, atomic: bool) -> list[int] | None:
    slot = vm.slot_of(vcpu, gpa >> PAGE_SHIFT)
    if slot is None or slot.invalid:
        return None
    page, offset = slot.host_page(gpa >> PAGE_SHIFT), gpa & PAGE_SIZE - 1
    found = []
    for i in range(n):
        element = get_user(vm, page, offset + i * size, size, atomic=atomic)
        if element is None:
            return None
        found.append(element)
    return found


def kvm_vcpu_write_guest(vm: Vm, vcpu: KvmVcpu, gpa: int, size: int, value: int) -> bool:
    """Write at a guest physical address, and mark the page dirty; False for -EFAULT.

    A read-only memslot has no address for writes.
    """
    gfn = gpa >> PAGE_SHIFT
    slot = vm.slot_of(vcpu, gfn)
    if slot is None or slot.invalid or slot.readonly:
        return False
    if not put_user(vm, slot.host_page(gfn), gpa & PAGE_SIZE - 1, size, value):
        return False
    mark_page_dirty_in_slot(slot, gfn)
    return True


def kvm_vcpu_mark_page_dirty(vm: Vm, vcpu: KvmVcpu, gfn: int) -> None:
    """Mark a gfn that KVM itself has written as dirty."""
    mark_page_dirty_in_slot(vm.slot_of(vcpu, gfn), gfn)
