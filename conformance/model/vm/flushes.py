# SPDX-License-Identifier: GPL-2.0-only
"""TLB flushes: requesting them, and performing them.

A processor may have cached an SPTE that KVM changes. A thread that removes a mapping or a right must
*request* a flush before anything relies on the removal. Each vCPU *performs* the flush when it next enters
the guest. An unnecessary flush costs time; a missing one lets the guest access memory that it no longer owns.
"""

from __future__ import annotations

from typing import Any

from conformance.model.changes import FLUSH_REQUEST_STATISTICS
from conformance.model.layout import PAGE_SHIFT
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.vm import KvmVcpu, Request, TlbEntry, Vm

__all__ = ["flush_tlb_all", "flush_tlb_current", "flush_tlb_gva", "kvm_flush_remote_tlbs"]


def kvm_flush_remote_tlbs(vm: Vm) -> None:
    """Request a flush from every vCPU; those in the guest have left it on return.

    remote_tlb_flush_requests counts every request, also if one is pending already. remote_tlb_flush counts
    only requests for which a vCPU was in the guest and had to be interrupted. A flush of a range of gfns is
    the same, since neither VMX nor SVM can flush less.
    """
    if vm.k.has(FLUSH_REQUEST_STATISTICS):
        vm.remote_tlb_flush_requests += 1
    vm.shadow.tlbs_dirty = False
    if vm.make_all_cpus_request(Request.TLB_FLUSH):
        vm.remote_tlb_flush += 1


def flush_tlb_all(vcpu: KvmVcpu) -> None:
    """Flush all translations of the vCPU, of every root."""
    vcpu.flushes += 1
    vcpu.tlb.clear()
    vcpu.linear_tlb.clear()
    vcpu.upper_levels.clear()


def flush_tlb_gva(vcpu: KvmVcpu, address: int) -> None:
    """Flush what translates an address, whatever its PCID; with two-dimensional paging, a physical one."""
    page = address >> PAGE_SHIFT
    tlbs: list[dict[Any, TlbEntry]] = [vcpu.linear_tlb, vcpu.tlb]
    for tlb in tlbs:
        for key in [key for key in tlb if key[2] == page & -pages_per(key[1])]:
            del tlb[key]


def flush_tlb_current(vcpu: KvmVcpu) -> None:
    """Flush the translations of the current root. A processor may flush more; this one flushes all."""
    flush_tlb_all(vcpu)
