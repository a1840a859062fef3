# SPDX-License-Identifier: GPL-2.0-only
"""One instruction of the guest: it is tried until it goes through, is emulated, or KVM gives up on it."""

from __future__ import annotations

from conformance.model.machine.fault_state import PFERR_RSVD_MASK, RetPf
from conformance.model.machine.page_fault import kvm_mmu_page_fault
from conformance.model.machine.pml import drain_pml
from conformance.model.machine.processor import guest_access
from conformance.model.machine.vcpu import vcpu_enter_guest
from conformance.model.machine.vm import KvmVcpu, Vm

__all__ = ["run_access"]

EXIT_CODES = {RetPf.RETRY: 10, RetPf.EMULATE: 11, RetPf.INVALID: 12, RetPf.FIXED: 13, RetPf.SPURIOUS: 14}
MMIO_EXIT = 100
WENT_THROUGH, GAVE_UP, EMULATED, ERROR = range(4)
MAX_EXITS = 4


def run_access(vm: Vm, vcpu: KvmVcpu, gfn: int, kind: int) -> list[int]:
    """The exits that the access led to, as codes, and how it ended.

    While the host holds an invalidation open, a retry would only come to the same, so one is enough.
    """
    exits: list[int] = []
    while len(exits) < MAX_EXITS:
        rc = vcpu_enter_guest(vm, vcpu)
        if rc < 0:
            return [*exits, rc, ERROR]
        error_code = guest_access(vm, vcpu, gfn, kind)
        if error_code is None:
            return [*exits, WENT_THROUGH]
        drain_pml(vm, vcpu)
        r = kvm_mmu_page_fault(vm, vcpu, gfn, error_code)
        if isinstance(r, int):
            return [*exits, r, ERROR]
        exits.append(EXIT_CODES[r] + (MMIO_EXIT if error_code & PFERR_RSVD_MASK else 0))
        if r is RetPf.EMULATE:
            return [*exits, EMULATED]
        if r is RetPf.RETRY and vm.mmu_invalidate_in_progress:
            return [*exits, GAVE_UP]
    return [*exits, GAVE_UP]
