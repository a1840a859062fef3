# SPDX-License-Identifier: GPL-2.0-only
"""Accesses to gfns without a memslot: MMIO, which userspace emulates.

The first access installs an MMIO SPTE, on which the processor faults with a reserved bit (NPT) or an EPT
misconfiguration. KVM recognises the next access by that, and emulates it without a lookup if the memslots
have not changed since.
"""

from __future__ import annotations

from conformance.model.changes import MMIO_CACHE_OF_ADDRESS_SPACE, NO_MMIO_VALUE_WARNS
from conformance.model.layout import PAGE_SHIFT
from conformance.model.shadow_mmu.shadow_walk import (
    for_each_shadow_entry_lockless,
    walk_shadow_page_lockless,
)
from conformance.model.spte.mmio import (
    KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS,
    check_mmio_spte,
    get_mmio_spte_access,
    get_mmio_spte_gfn,
)
from conformance.model.spte.predicates import is_mmio_spte
from conformance.model.vm.kvm_page_fault import KvmPageFault, RetPf
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = [
    "handle_mmio_page_fault",
    "kvm_handle_noslot_fault",
    "mmio_info_in_cache",
    "vcpu_cache_mmio_info",
    "vcpu_match_mmio_gpa",
    "vcpu_match_mmio_gva",
]


def kvm_handle_noslot_fault(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault, access: int) -> RetPf:
    """Cache the MMIO access; return CONTINUE if an MMIO SPTE is to be installed, else EMULATE.

    ``access`` are the rights that the guest's tables grant. KVM installs MMIO SPTEs if MMIO caching is
    enabled and the gfn is within the host's MAXPHYADDR; before NO_MMIO_VALUE_WARNS, always.
    """
    gva = 0 if fault.is_tdp else fault.addr
    vcpu_cache_mmio_info(vm, vcpu, gva, fault.gfn, access & int(vm.k.shadow_mmio_access_mask))
    fault.map_writable = False
    installs_mmio_spte = vm.k.enable_mmio_caching and fault.gfn < vm.end_gfn
    if not vm.k.has(NO_MMIO_VALUE_WARNS):
        installs_mmio_spte = True
    return RetPf.CONTINUE if installs_mmio_spte else RetPf.EMULATE


def vcpu_cache_mmio_info(vm: Vm, vcpu: KvmVcpu, gva: int, gfn: int, access: int) -> None:
    """Cache the vCPU's last MMIO access, valid until the memslots' generation changes.

    While L2 runs, ``gva`` is its physical address, and is not cached.
    """
    generation = _cache_generation(vm, vcpu)
    if not generation & KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS:
        vcpu.mmio_gva = 0 if vcpu.guest_mode else gva & -1 << PAGE_SHIFT
        vcpu.mmio_gfn, vcpu.mmio_access, vcpu.mmio_gen = gfn, access, generation


def mmio_info_in_cache(vm: Vm, vcpu: KvmVcpu, addr: int) -> bool:
    """Whether the cached MMIO access is to the page of ``addr`` and still valid.

    A direct MMU looks for the guest physical address, another for the linear one.
    """
    if vcpu.mmu.root_role.direct:
        return vcpu_match_mmio_gpa(vm, vcpu, addr)
    return vcpu_match_mmio_gva(vm, vcpu, addr)


def vcpu_match_mmio_gpa(vm: Vm, vcpu: KvmVcpu, gpa: int) -> bool:
    """Whether the cached MMIO access is to this page; gfn 0 is never found."""
    return vcpu.mmio_gen == _cache_generation(vm, vcpu) and vcpu.mmio_gfn == gpa >> PAGE_SHIFT != 0


def vcpu_match_mmio_gva(vm: Vm, vcpu: KvmVcpu, gva: int) -> bool:
    """Whether the cached MMIO access was to this page of linear addresses; page 0 is never found."""
    return vcpu.mmio_gen == _cache_generation(vm, vcpu) and vcpu.mmio_gva == gva & -1 << PAGE_SHIFT != 0


def _cache_generation(vm: Vm, vcpu: KvmVcpu) -> int:
    """The generation of the vCPU's memslots; before MMIO_CACHE_OF_ADDRESS_SPACE, of address space 0."""
    memslots = vm.active_memslots(vcpu.as_id if vm.k.has(MMIO_CACHE_OF_ADDRESS_SPACE) else 0)
    return memslots.generation


def handle_mmio_page_fault(vm: Vm, vcpu: KvmVcpu, addr: int) -> RetPf:
    """Handle a fault on a reserved bit or an EPT misconfiguration, the sign of an MMIO SPTE.

    EMULATE the access if the SPTE has the memslots' current generation; INVALID if it has another, so that
    the fault is handled from the start; RETRY if the SPTE, the lowest one for the address, was zapped
    concurrently.
    """
    if mmio_info_in_cache(vm, vcpu, addr):
        return RetPf.EMULATE
    with walk_shadow_page_lockless(vm, vcpu):
        sptes = [spte for _, spte in for_each_shadow_entry_lockless(vm, vcpu, addr)]
    if not sptes or not is_mmio_spte(vm.k, spte := sptes[-1]):
        return RetPf.RETRY
    if not check_mmio_spte(vm.k, spte, vm.slots_of(vcpu).generation):
        return RetPf.INVALID
    gva = 0 if vcpu.mmu.root_role.direct else addr
    gfn, access = int(get_mmio_spte_gfn(vm.k, spte)), int(get_mmio_spte_access(vm.k, spte))
    vcpu_cache_mmio_info(vm, vcpu, gva, gfn, access)
    return RetPf.EMULATE
