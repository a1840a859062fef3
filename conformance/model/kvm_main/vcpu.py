# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU between two stays in the guest: it serves requests, and sees to it that it has a valid root."""

from __future__ import annotations

from conformance.model.changes import ROOTS_FREED_SHARED, ROOTS_WITHOUT_BUDGET
from conformance.model.tdp_mmu.root_list import kvm_tdp_mmu_put_root
from conformance.model.tdp_mmu.roots import kvm_tdp_mmu_alloc_root
from conformance.model.vm.flushes import flush_tlb_all, flush_tlb_current
from conformance.model.vm.pml import drain_pml
from conformance.model.vm.vm import IN_GUEST_MODE, OUTSIDE_GUEST_MODE, KvmVcpu, Request, Vm

__all__ = ["EIO", "ENOSPC", "kvm_mmu_unload", "set_smm", "vcpu_enter_guest", "vcpu_exit_guest"]

EIO, ENOSPC = 5, 28


def vcpu_enter_guest(vm: Vm, vcpu: KvmVcpu) -> int:
    """Serve requests and run the guest: 0, or a negative errno, -EIO for ever once the VM was found broken.

    An obsolete root is let go first, so that a new one is loaded; the flush comes before any use of it. Who
    requests something looks at the mode afterwards, so requests are looked at again after it was set.
    """
    drain_pml(vm, vcpu)
    while True:
        if vm.dead:
            return -EIO
        r = _reload(vm, vcpu)
        if r < 0:
            return r
        vcpu.mode = IN_GUEST_MODE
        vcpu.stays += 1
        vm.srcu.unlock()
        if vcpu.mode == IN_GUEST_MODE and not vcpu.pending_requests():
            return 0
        vcpu_exit_guest(vm, vcpu)


def vcpu_exit_guest(vm: Vm, vcpu: KvmVcpu) -> None:
    """Leave the guest. Where others run too, each instruction is followed by that."""
    vcpu.mode = OUTSIDE_GUEST_MODE
    vm.srcu.lock()
    if vm.exits_after_each_instruction:
        drain_pml(vm, vcpu)


def _reload(vm: Vm, vcpu: KvmVcpu) -> int:
    """Serve the requests that are there, and see to it that there is a root."""
    requests = vcpu.pending_requests()
    if Request.MMU_FREE_OBSOLETE_ROOTS in requests:
        vcpu.clear_request(Request.MMU_FREE_OBSOLETE_ROOTS)
        if vcpu.root is not None and vcpu.root.invalid:
            kvm_mmu_unload(vm, vcpu)
    if Request.TLB_FLUSH in requests:
        vcpu.clear_request(Request.TLB_FLUSH)
        flush_tlb_all(vcpu)
    if Request.UPDATE_CPU_DIRTY_LOGGING in requests:
        vcpu.clear_request(Request.UPDATE_CPU_DIRTY_LOGGING)
        vcpu.pml_enabled = vm.cpu_dirty_logging_count > 0
    return kvm_mmu_load(vm, vcpu) if vcpu.root is None else 0


def kvm_mmu_load(vm: Vm, vcpu: KvmVcpu) -> int:
    """Give the vCPU a root, and flush what its processor may still know of one at the same place.

    For that reason dropping a root needs no flush. Until v6.9 a root counted as a shadow page against the
    budget of these, and without any memslot there is no budget: -ENOSPC.
    """
    if not vm.had_memslot and not vm.k.has(ROOTS_WITHOUT_BUDGET):
        return -ENOSPC
    vcpu.root = kvm_tdp_mmu_alloc_root(vm, vcpu)
    flush_tlb_current(vcpu)
    return 0


def kvm_mmu_unload(vm: Vm, vcpu: KvmVcpu) -> None:
    """Drop the reference to the root; a valid root stays for its next user."""
    if vcpu.root is not None:
        with vm.mmu_lock.held(shared=vm.k.has(ROOTS_FREED_SHARED)):
            kvm_tdp_mmu_put_root(vm, vcpu.root)
            vcpu.root = None


def set_smm(vm: Vm, vcpu: KvmVcpu, on: bool) -> None:
    """Enter or leave system management mode, which has an address space, and so a root, of its own."""
    vcpu.smm = on
    kvm_mmu_unload(vm, vcpu)
