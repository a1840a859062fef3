# SPDX-License-Identifier: GPL-2.0-only
"""INVPCID: kvm_handle_invpcid()."""

from __future__ import annotations

from conformance.model.changes import INVPCID_FLUSHES_GUEST, PCID_INVALIDATED
from conformance.model.guest_paging.cpu_role import CR4_PCIDE
from conformance.model.guest_tables.walker import gva_to_gpa
from conformance.model.kvm_main.control_registers import kvm_invalidate_pcid
from conformance.model.page_fault.inject import kvm_inject_emulated_page_fault
from conformance.model.shadow_mmu.free_roots import kvm_mmu_free_roots, previous_root
from conformance.model.shadow_mmu.invlpg import is_noncanonical_address, kvm_mmu_invpcid_gva
from conformance.model.shadow_mmu.sync_roots import kvm_mmu_sync_roots
from conformance.model.vm.guest_memory import kvm_vcpu_read_guest
from conformance.model.vm.kvm_pagewalk import X86Exception
from conformance.model.vm.vm import KvmVcpu, Request, Vm

__all__ = ["kvm_handle_invpcid"]

INDIV_ADDR, SINGLE_CTXT, ALL_INCL_GLOBAL, ALL_NON_GLOBAL = range(4)


def kvm_handle_invpcid(vm: Vm, vcpu: KvmVcpu, type: int, address: int) -> int:
    """Invalidate an address, a PCID, or all; its descriptor, of two words, is at ``address``.

    Return 1 to go on in the guest, which may have got an exception, and 0 for an error that userspace gets.
    KVM does not tell global translations from others.
    """
    descriptor = []
    for word in (address, address + 8):
        gpa = gva_to_gpa(vm, vcpu, vcpu.gva_walk, word, 0)
        if isinstance(gpa, X86Exception):
            kvm_inject_emulated_page_fault(vm, vcpu, gpa)
            return 1
        found = kvm_vcpu_read_guest(vm, vcpu, gpa, 8)
        if found is None:
            return 0
        descriptor += found
    pcid, linear = descriptor
    enabled = bool(vcpu.cr4 & CR4_PCIDE)
    if pcid >> 12 or (type in (INDIV_ADDR, SINGLE_CTXT) and pcid and not enabled):
        return 1
    if type == INDIV_ADDR and not is_noncanonical_address(vm, vcpu, linear):
        kvm_mmu_invpcid_gva(vm, vcpu, linear, pcid)
    elif type == SINGLE_CTXT:
        (kvm_invalidate_pcid if vm.k.has(PCID_INVALIDATED) else _invalidate_roots)(vm, vcpu, pcid)
    elif type in (ALL_INCL_GLOBAL, ALL_NON_GLOBAL):
        drops_all = not vm.k.has(INVPCID_FLUSHES_GUEST)
        vcpu.make_request(Request.MMU_FREE_OBSOLETE_ROOTS if drops_all else Request.TLB_FLUSH_GUEST)
    return 1


def _invalidate_roots(vm: Vm, vcpu: KvmVcpu, pcid: int) -> None:
    """Invalidate one PCID before PCID_INVALIDATED: sync the current root at once, drop cached ones."""
    if vcpu.pcid == pcid:
        kvm_mmu_sync_roots(vm, vcpu)
        vcpu.make_request(Request.TLB_FLUSH_CURRENT)
    of_pcid = [root.root is not None and vcpu.pcid_of(root.pgd) == pcid for root in vcpu.mmu.prev_roots]
    kvm_mmu_free_roots(vm, vcpu.mmu, sum(previous_root(n) for n, found in enumerate(of_pcid) if found))
