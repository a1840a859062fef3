# SPDX-License-Identifier: GPL-2.0-only
"""Accesses to frames without a slot: MMIO, which userspace emulates.

The first leaves an MMIO SPTE, which makes the processor fault in a way that nothing else does; the next is
known by that and emulated at once, if the memslots have not changed since.
"""

from __future__ import annotations

from conformance.model.changes import MMIO_CACHE_OF_ADDRESS_SPACE
from conformance.model.spte.mmio import KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS, check_mmio_spte
from conformance.model.spte.predicates import is_mmio_spte
from conformance.model.vm.kvm_page_fault import KvmPageFault, RetPf
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["handle_mmio_page_fault", "kvm_handle_noslot_fault"]


def kvm_handle_noslot_fault(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf:
    """Remember the MMIO access, and make an MMIO SPTE if the kernel uses them and the frame can exist."""
    vcpu_cache_mmio_info(vm, vcpu, fault.gfn)
    fault.map_writable = False
    cached = vm.k.enable_mmio_caching and fault.gfn < vm.end_gfn
    return RetPf.CONTINUE if cached else RetPf.EMULATE


def vcpu_cache_mmio_info(vm: Vm, vcpu: KvmVcpu, gfn: int) -> None:
    """Remember the vCPU's last MMIO access for as long as the memslots stay as they are."""
    generation = _cache_generation(vm, vcpu)
    if not generation & KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS:
        vcpu.mmio_gfn, vcpu.mmio_gen = gfn, generation


def mmio_info_in_cache(vm: Vm, vcpu: KvmVcpu, gfn: int) -> bool:
    """Whether that was ``gfn``; frame 0 looks like none at all."""
    return vcpu.mmio_gen == _cache_generation(vm, vcpu) and vcpu.mmio_gfn == gfn != 0


def _cache_generation(vm: Vm, vcpu: KvmVcpu) -> int:
    """The generation that must not change: of the vCPU's memslots, once always those of address space 0."""
    memslots = vm.active_memslots(vcpu.as_id if vm.k.has(MMIO_CACHE_OF_ADDRESS_SPACE) else 0)
    return memslots.generation


def handle_mmio_page_fault(vm: Vm, vcpu: KvmVcpu, gfn: int) -> RetPf:
    """A fault that says MMIO: emulate it, or say that the SPTE is from another generation.

    If the SPTE is no MMIO SPTE, it was zapped meanwhile, and the guest retries.
    """
    if mmio_info_in_cache(vm, vcpu, gfn):
        return RetPf.EMULATE
    with vm.memory.rcu:
        spte = last_spte(vm, vcpu, gfn)
    if not is_mmio_spte(vm.k, spte):
        return RetPf.RETRY
    if not check_mmio_spte(vm.k, spte, vm.slots_of(vcpu).generation):
        return RetPf.INVALID
    vcpu_cache_mmio_info(vm, vcpu, gfn)
    return RetPf.EMULATE


def last_spte(vm: Vm, vcpu: KvmVcpu, gfn: int) -> int:
    """The lowest SPTE on the way to ``gfn``, present or not."""
    table = vcpu.root
    assert table is not None
    while True:
        spte = table.read(table.index_of(gfn))
        child = vm.memory.child(spte, table.level)
        if child is None:
            return spte
        table = child
