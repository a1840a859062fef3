# SPDX-License-Identifier: GPL-2.0-only
"""Accesses to gfns without a memslot: MMIO, which userspace emulates.

The first access installs an MMIO SPTE, on which the processor faults with a reserved bit (NPT) or an EPT
misconfiguration. KVM recognises the next access by that, and emulates it without a lookup if the memslots
have not changed since.
"""

from __future__ import annotations

from conformance.model.changes import MMIO_CACHE_OF_ADDRESS_SPACE
from conformance.model.spte.mmio import KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS, check_mmio_spte
from conformance.model.spte.predicates import is_mmio_spte
from conformance.model.vm.kvm_page_fault import KvmPageFault, RetPf
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["handle_mmio_page_fault", "kvm_handle_noslot_fault"]


def kvm_handle_noslot_fault(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf:
    """Cache the MMIO access; return CONTINUE if an MMIO SPTE is to be installed, else EMULATE.

    KVM installs MMIO SPTEs if MMIO caching is enabled and the gfn is within the guest's MAXPHYADDR.
    """
    vcpu_cache_mmio_info(vm, vcpu, fault.gfn)
    fault.map_writable = False
    installs_mmio_spte = vm.k.enable_mmio_caching and fault.gfn < vm.end_gfn
    return RetPf.CONTINUE if installs_mmio_spte else RetPf.EMULATE


def vcpu_cache_mmio_info(vm: Vm, vcpu: KvmVcpu, gfn: int) -> None:
    """Cache ``gfn`` as the vCPU's last MMIO access, valid until the memslots' generation changes."""
    generation = _cache_generation(vm, vcpu)
    if not generation & KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS:
        vcpu.mmio_gfn, vcpu.mmio_gen = gfn, generation


def mmio_info_in_cache(vm: Vm, vcpu: KvmVcpu, gfn: int) -> bool:
    """Whether the cached MMIO access is to ``gfn`` and still valid; gfn 0 is never found in the cache."""
    return vcpu.mmio_gen == _cache_generation(vm, vcpu) and vcpu.mmio_gfn == gfn != 0


def _cache_generation(vm: Vm, vcpu: KvmVcpu) -> int:
    """The generation of the vCPU's memslots; before MMIO_CACHE_OF_ADDRESS_SPACE, of address space 0."""
    memslots = vm.active_memslots(vcpu.as_id if vm.k.has(MMIO_CACHE_OF_ADDRESS_SPACE) else 0)
    return memslots.generation


def handle_mmio_page_fault(vm: Vm, vcpu: KvmVcpu, gfn: int) -> RetPf:
    """Handle a fault on a reserved bit or an EPT misconfiguration, the sign of an MMIO SPTE.

    EMULATE the access if the SPTE has the memslots' current generation; INVALID if it has another, so that
    the fault is handled from the start; RETRY if the SPTE was zapped concurrently.
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
    """The lowest SPTE on the path to ``gfn``, present or not."""
    table = vcpu.mmu.root
    assert table is not None
    while True:
        spte = table.read(table.index_of(gfn))
        child = vm.memory.child(spte, table.level)
        if child is None:
            return spte
        table = child
