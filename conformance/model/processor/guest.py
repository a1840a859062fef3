# SPDX-License-Identifier: GPL-2.0-only
"""One instruction of the guest: it is repeated until it completes, is emulated, or fails."""

from __future__ import annotations

from conformance.interface.access import MMIO_EXIT, End, Exit
from conformance.model.kvm_main.vcpu import vcpu_enter_guest, vcpu_exit_guest
from conformance.model.layout import PAGE_SHIFT
from conformance.model.page_fault.page_fault import kvm_mmu_page_fault
from conformance.model.processor.processor import guest_access
from conformance.model.vm.host import EFAULT, ENOSPC
from conformance.model.vm.kvm_page_fault import PFERR_RSVD_MASK, RetPf
from conformance.model.vm.pml import drain_pml
from conformance.model.vm.scheduler import current
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["ERRORS", "EXIT_CODES", "enter", "run_access"]

EXIT_CODES = {ret: int(Exit[ret.name]) for ret in RetPf if ret.name in Exit.__members__}
ERRORS = {RetPf.EFAULT: EFAULT, RetPf.ENOSPC: ENOSPC}
DONE, GAVE_UP, EMULATED, FAILED = (int(end) for end in (End.DONE, End.GAVE_UP, End.EMULATED, End.FAILED))
NESTED_EXIT, USERSPACE = int(End.NESTED_EXIT), int(End.USERSPACE)


def run_access(vm: Vm, vcpu: KvmVcpu, gfn: int, kind: int) -> list[int]:
    """Run one access of the guest; return the code of each exit (``Exit``), and last how it ended (``End``).

    An access that failed has the errno before the end. After RETRY the instruction is repeated, up to the
    scheduler's limit of exits. It is not repeated while an invalidation is in progress that no other thread
    can end, since each retry would have the same result.
    """
    exits: list[int] = []
    with vm.srcu:
        while len(exits) < current.scheduler.max_exits:
            rc = vcpu_enter_guest(vm, vcpu)
            if rc:
                return [*exits, rc, FAILED] if rc < 0 else [*exits, USERSPACE]
            found = guest_access(vm, vcpu, gfn, kind)
            vcpu_exit_guest(vm, vcpu)
            if not isinstance(found, int):
                return [*exits, DONE]
            error_code = found
            drain_pml(vm, vcpu)
            r, _ = kvm_mmu_page_fault(vm, vcpu, gfn << PAGE_SHIFT, error_code)
            if r in ERRORS:
                return [*exits, -ERRORS[r], FAILED]
            exits.append(EXIT_CODES[r] + (MMIO_EXIT if error_code & PFERR_RSVD_MASK else 0))
            if r is RetPf.EMULATE:
                return [*exits, EMULATED]
            if vcpu.exception is not None:
                vcpu.exception = None
                return [*exits, NESTED_EXIT]
            if r is RetPf.RETRY:
                vm.srcu.unlock()
                may_retry = vm.may_retry()
                vm.srcu.lock()
                if not may_retry:
                    break
    return [*exits, GAVE_UP]


def enter(vm: Vm, vcpu: KvmVcpu) -> int:
    """Enter the guest and leave it before the first instruction; return 0 or a negative errno."""
    with vm.srcu:
        rc = vcpu_enter_guest(vm, vcpu)
        if rc == 0:
            vcpu_exit_guest(vm, vcpu)
    return rc
