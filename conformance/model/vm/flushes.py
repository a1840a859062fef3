# SPDX-License-Identifier: GPL-2.0-only
"""TLB flushes: who asks for one, and when it is really done.

KVM may change an SPTE that a processor has cached. Whoever takes something away must *request* a flush
before others rely on it; each vCPU *performs* it when it next enters the guest. A flush that is
requested once too often costs time, one too few is a hole in the guest's isolation.
"""

from __future__ import annotations

from conformance.model.vm.vm import KvmVcpu, Request, Vm

__all__ = ["flush_tlb_all", "flush_tlb_current", "kvm_flush_remote_tlbs"]


def kvm_flush_remote_tlbs(vm: Vm) -> None:
    """Request a flush from every vCPU.

    Counted even if one is pending already. The statistic of flushes done counts only requests for which a
    vCPU had to be interrupted in the guest, which it has left on return. Flushes of a range of gfns are these
    too: neither vendor has anything finer.
    """
    vm.remote_tlb_flush_requests += 1
    if vm.make_all_cpus_request(Request.TLB_FLUSH):
        vm.remote_tlb_flush += 1


def flush_tlb_all(vcpu: KvmVcpu) -> None:
    """The vCPU's processor forgets everything, for whichever root."""
    vcpu.flushes += 1
    vcpu.tlb.clear()
    vcpu.upper_levels.clear()


def flush_tlb_current(vcpu: KvmVcpu) -> None:
    """It forgets what it knows through the current root; a processor may well forget more, and here does."""
    flush_tlb_all(vcpu)
