# SPDX-License-Identifier: GPL-2.0-only
"""One instruction of the guest at an address: what it reads and writes, and how its exits are handled."""

from __future__ import annotations

from conformance.interface.access import MMIO_EXIT, WRITE, End, Exit, Privilege
from conformance.model.guest_paging.cpu_role import CR4_LA57, EFER_LMA
from conformance.model.kvm_main.emulate import Emulated, Insn, x86_emulate_instruction
from conformance.model.kvm_main.vcpu import vcpu_enter_guest, vcpu_exit_guest
from conformance.model.layout import PAGE_SHIFT
from conformance.model.page_fault.page_fault import kvm_mmu_page_fault
from conformance.model.processor.guest import ERRORS, EXIT_CODES
from conformance.model.processor.linear import linear_access
from conformance.model.processor.processor import guest_access
from conformance.model.vm.host import EINVAL
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.kvm_page_fault import PFERR_RSVD_MASK, RetPf
from conformance.model.vm.pml import drain_pml
from conformance.model.vm.vm import KvmVcpu, TlbEntry, Vm

__all__ = ["execute_instruction"]

MAX_EXITS = 8
KVM_EXIT_MMIO, KVM_EXIT_SHUTDOWN, KVM_EXIT_INTERNAL_ERROR = 6, 8, 17

Ended = tuple[int, int, int, int]
"""How the instruction ended (``End``), and three words about it."""


def execute_instruction(
    vm: Vm, vcpu: KvmVcpu, address: int, kind: int, privilege: int, value: int, instruction: int
) -> list[int]:
    """Run an instruction until it ends; the outcome is as ``ExecuteOutcome`` has it.

    Its operand has 8 bytes in long mode, else 4. An address that the guest cannot have is refused.
    """
    insn = Insn(address, kind, instruction, value, 8 if vcpu.efer & EFER_LMA else 4)
    if not _is_address(vm, vcpu, insn):
        return [int(End.FAILED), -EINVAL, 0, 0]
    vcpu.cpl = 3 if privilege == Privilege.USER else 0
    vcpu.eflags_ac = privilege == Privilege.SUPERVISOR_AC
    with vm.srcu:
        exits, ended = _run(vm, vcpu, insn)
    vcpu.cpl, vcpu.eflags_ac = 0, False
    return [*exits, *ended]


def _is_address(vm: Vm, vcpu: KvmVcpu, insn: Insn) -> bool:
    """Whether the address is aligned, and one that the guest has: canonical in long mode, else of 32 bits."""
    if insn.address % insn.size:
        return False
    if not vcpu.efer & EFER_LMA:
        return not insn.address >> 32
    if vm.k.tdp_enabled:
        return not insn.address >> 48
    high = 56 if vcpu.cr4 & CR4_LA57 else 47
    return insn.address >> high in (0, (1 << 64 - high) - 1)


def _run(vm: Vm, vcpu: KvmVcpu, insn: Insn) -> tuple[list[int], Ended]:
    """Enter the guest until the instruction ends; its exits, each with its error code, and the end."""
    exits: list[int] = []
    for _ in range(MAX_EXITS):
        rc = vcpu_enter_guest(vm, vcpu)
        if rc < 0:
            return exits, (End.FAILED, rc, 0, 0)
        if rc > 0:
            return exits, (End.USERSPACE, KVM_EXIT_SHUTDOWN, 0, 0)
        found = _translate(vm, vcpu, insn)
        done = _move(vm, found, insn) if isinstance(found, TlbEntry) else None
        vcpu_exit_guest(vm, vcpu)
        if isinstance(found, TlbEntry):
            assert done is not None
            return exits, (End.DONE, found.level, *done)
        drain_pml(vm, vcpu)
        code, ended = _handle_exit(vm, vcpu, insn, found)
        exits += (found, code)
        if ended is not None:
            return exits, ended
        if code % MMIO_EXIT == Exit.RETRY and not _may_retry(vm):
            break
    return exits, (End.GAVE_UP, 0, 0, 0)


def _may_retry(vm: Vm) -> bool:
    """Whether the instruction is repeated, after another thread may have ended what it is retried for."""
    vm.srcu.unlock()
    may_retry = vm.may_retry()
    vm.srcu.lock()
    return may_retry


def _translate(vm: Vm, vcpu: KvmVcpu, insn: Insn) -> TlbEntry | int:
    """The translation of the address, or the error code of the exit."""
    if vm.k.tdp_enabled:
        return guest_access(vm, vcpu, insn.address >> PAGE_SHIFT, insn.kind)
    return linear_access(vm, vcpu, insn.address, insn.kind, vcpu.cpl == 3)


def _move(vm: Vm, entry: TlbEntry, insn: Insn) -> tuple[int, int]:
    """Read or write the operand in its frame; the frame, and the word."""
    frames = vm.host.frames
    pfn = entry.pfn + (insn.address >> PAGE_SHIFT & pages_per(entry.level) - 1)
    index, shift = insn.address >> 3 & 511, 8 * (insn.address & 7)
    found = 0
    if insn.reads:
        found = frames.read(pfn, index) >> shift & insn.mask
    if insn.kind != WRITE:
        return pfn, found
    value = insn.result(found)
    frames.write(pfn, index, value << shift, insn.mask << shift)
    return pfn, value


def _handle_exit(vm: Vm, vcpu: KvmVcpu, insn: Insn, error_code: int) -> tuple[int, Ended | None]:
    """Handle a page fault, an EPT violation or misconfiguration.

    Return how it was handled (``Exit``), and the end of the instruction; None if the guest goes on.
    """
    r, allow_retry = kvm_mmu_page_fault(vm, vcpu, insn.address, error_code)
    if r in ERRORS:
        return -ERRORS[r], (End.FAILED, -ERRORS[r], 0, 0)
    code = EXIT_CODES[r] + (MMIO_EXIT if error_code & PFERR_RSVD_MASK else 0)
    if r is not RetPf.EMULATE:
        return code, _exception(vcpu)
    emulation = x86_emulate_instruction(vm, vcpu, insn.address, allow_retry, insn)
    if emulation.end is Emulated.RETRY:
        return code + Exit.UNPROTECTED - Exit.EMULATE, None
    if emulation.end is Emulated.DONE:
        return code, (End.EMULATED, 0, 0, emulation.value)
    if emulation.end is Emulated.MMIO:
        return code, (End.USERSPACE, KVM_EXIT_MMIO, emulation.value, int(emulation.writes))
    if emulation.end is Emulated.FAILED:
        return code, (End.USERSPACE, KVM_EXIT_INTERNAL_ERROR, 0, 0)
    return code, _exception(vcpu)


def _exception(vcpu: KvmVcpu) -> Ended | None:
    """The exception that KVM has prepared for the guest, or for L1."""
    fault, vcpu.exception = vcpu.exception, None
    if fault is None:
        return None
    if fault.nested_page_fault:
        return End.NESTED_EXIT, fault.error_code or 0, fault.address, fault.exit_qualification
    return End.EXCEPTION, fault.vector, fault.error_code or 0, fault.address
