# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU before it enters the guest and after it leaves: serving requests, and loading a root."""

from __future__ import annotations

from conformance.model.kvm_main.mmu_context import kvm_init_mmu
from conformance.model.shadow_mmu.free_roots import (
    kvm_mmu_free_obsolete_roots,
    kvm_mmu_free_roots,
    kvm_mmu_unload,
    previous_root,
)
from conformance.model.shadow_mmu.roots import kvm_mmu_load
from conformance.model.shadow_mmu.sync_roots import is_unsync_root, kvm_mmu_sync_roots
from conformance.model.vm.flushes import flush_tlb_all, flush_tlb_current
from conformance.model.vm.pml import drain_pml
from conformance.model.vm.vm import IN_GUEST_MODE, OUTSIDE_GUEST_MODE, KvmVcpu, Request, Vm

__all__ = ["EIO", "set_smm", "vcpu_enter_guest", "vcpu_exit_guest"]

EIO = 5


def vcpu_enter_guest(vm: Vm, vcpu: KvmVcpu) -> int:
    """Serve requests, load a root if the vCPU has none, and enter the guest; return 0 or a negative errno.

    Once a VM is dead (KVM_BUG_ON()), the result is -EIO. A thread that makes a request reads the vCPU's mode
    after that, so the vCPU checks for requests once more after it has set its mode: one of the two sees the
    other.
    """
    drain_pml(vm, vcpu)
    while True:
        if vm.dead:
            return -EIO
        r = _serve_requests(vm, vcpu)
        if r:
            vcpu.requests.discard(Request.TRIPLE_FAULT)
            return r
        vcpu.mode = IN_GUEST_MODE
        vcpu.stays += 1
        vm.srcu.unlock()
        if vcpu.mode == IN_GUEST_MODE and not vcpu.pending_requests():
            return 0
        vcpu_exit_guest(vm, vcpu)


def vcpu_exit_guest(vm: Vm, vcpu: KvmVcpu) -> None:
    """Leave the guest. If an exit follows each instruction, the exit drains the PML buffer."""
    vcpu.mode = OUTSIDE_GUEST_MODE
    vm.srcu.lock()
    if vm.exits_after_each_instruction:
        drain_pml(vm, vcpu)


def _serve_requests(vm: Vm, vcpu: KvmVcpu) -> int:
    """Serve pending requests, and load a root if the vCPU has none; return 0 or a negative errno.

    Obsolete roots are dropped first, so that new ones are loaded. TLBs are flushed before the root is used.
    """
    requests = vcpu.pending_requests()
    if Request.MMU_FREE_OBSOLETE_ROOTS in requests:
        vcpu.clear_request(Request.MMU_FREE_OBSOLETE_ROOTS)
        kvm_mmu_free_obsolete_roots(vm, vcpu)
        requests = vcpu.pending_requests()
    if Request.MMU_SYNC in requests:
        vcpu.clear_request(Request.MMU_SYNC)
        kvm_mmu_sync_roots(vm, vcpu)
        requests = vcpu.pending_requests()
    if Request.LOAD_MMU_PGD in requests:
        # The processor gets the current root; here it looks for itself.
        vcpu.clear_request(Request.LOAD_MMU_PGD)
    if Request.TLB_FLUSH in requests:
        vcpu.clear_request(Request.TLB_FLUSH)
        flush_tlb_all(vcpu)
        requests.discard(Request.TLB_FLUSH_CURRENT)
        vcpu.requests.discard(Request.TLB_FLUSH_CURRENT)
    if Request.TLB_FLUSH_CURRENT in requests:
        vcpu.clear_request(Request.TLB_FLUSH_CURRENT)
        flush_tlb_current(vcpu)
    if Request.TLB_FLUSH_GUEST in requests:
        vcpu.clear_request(Request.TLB_FLUSH_GUEST)
        kvm_vcpu_flush_tlb_guest(vm, vcpu)
    if Request.UPDATE_CPU_DIRTY_LOGGING in requests:
        vcpu.clear_request(Request.UPDATE_CPU_DIRTY_LOGGING)
        vcpu.pml_enabled = vm.cpu_dirty_logging_count > 0
    return kvm_mmu_load(vm, vcpu) if vcpu.mmu.root is None else 0


def kvm_vcpu_flush_tlb_guest(vm: Vm, vcpu: KvmVcpu) -> None:
    """Flush what the guest may rely on being flushed: with shadow paging, also what KVM has shadowed.

    The cached roots are dropped if they are unsync.
    """
    if not vm.k.tdp_enabled:
        kvm_mmu_sync_roots(vm, vcpu)
        kvm_mmu_sync_prev_roots(vm, vcpu)
    flush_tlb_all(vcpu)


def kvm_mmu_sync_prev_roots(vm: Vm, vcpu: KvmVcpu) -> None:
    """Drop the cached roots that are unsync: that is as good as to sync them."""
    unsync = [is_unsync_root(root) for root, _ in vcpu.mmu.prev_roots]
    kvm_mmu_free_roots(vm, vcpu.mmu, sum(previous_root(n) for n, found in enumerate(unsync) if found))


def set_smm(vm: Vm, vcpu: KvmVcpu, on: bool) -> None:
    """Enter or leave system management mode, which has its own address space and therefore its own root."""
    vcpu.smm = on
    kvm_mmu_unload(vm, vcpu)
    kvm_init_mmu(vm, vcpu)
