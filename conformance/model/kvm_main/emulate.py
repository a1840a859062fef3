# SPDX-License-Identifier: GPL-2.0-only
"""Emulation of one instruction of the guest: x86_emulate_instruction(), for those that steps use.

KVM emulates what it does not let the guest do itself: writes to tables that it shadows, MMIO, and writes to
read-only memslots. It translates the address by the guest's tables, as the processor would.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from conformance.interface.access import FETCH, WRITE, Instruction
from conformance.model.changes import UNPROTECT_ON_WRITE_PROTECTION_ONLY, WRITTEN_BEFORE_ZAPPED
from conformance.model.guest_tables.permission_fault import permission_fault
from conformance.model.guest_tables.walker import gva_to_gpa
from conformance.model.layout import PAGE_SHIFT
from conformance.model.page_fault.inject import kvm_inject_emulated_page_fault
from conformance.model.page_fault.mmio_fault import vcpu_match_mmio_gpa, vcpu_match_mmio_gva
from conformance.model.page_fault.write_protect_fault import (
    kvm_mmu_gva_to_gpa_write,
    kvm_mmu_unprotect_gfn_and_retry,
)
from conformance.model.shadow_mmu.pte_write import kvm_mmu_track_write
from conformance.model.shadow_mmu.unprotect import kvm_mmu_unprotect_page
from conformance.model.spte.writability import PFERR_FETCH_MASK, PFERR_USER_MASK, PFERR_WRITE_MASK
from conformance.model.vm.guest_memory import kvm_vcpu_read_guest, kvm_vcpu_write_guest
from conformance.model.vm.kvm_pagewalk import UD_VECTOR, X86Exception
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["Emulated", "Emulation", "Insn", "x86_emulate_instruction"]

APIC_DEFAULT_PHYS_BASE = 0xFEE00000


@dataclass(frozen=True)
class Insn:
    """An instruction that accesses ``size`` bytes at ``address``: MOV from or to memory, or XADD.

    Of one that is fetched there, nothing else matters.
    """

    address: int
    kind: int
    instruction: int
    value: int
    size: int

    @property
    def mask(self) -> int:
        """The bits of the operand."""
        return (1 << 8 * self.size) - 1

    @property
    def reads(self) -> bool:
        """Whether it reads the operand."""
        return self.kind != WRITE or self.instruction == Instruction.XADD

    def result(self, found: int) -> int:
        """What it writes where ``found`` is: XADD the sum."""
        value = self.value + found if self.instruction == Instruction.XADD else self.value
        return value & self.mask

    @property
    def writes_page_tables(self) -> bool:
        """Whether KVM expects that page tables are written by it (x86_page_table_writing_insn())."""
        return self.kind == WRITE and self.instruction == Instruction.MOV


class Emulated(Enum):
    """How the emulation ended."""

    DONE = "the instruction is complete"
    RETRY = "the guest executes the instruction again, as KVM no longer shadows the table that it writes"
    EXCEPTION = "the guest, or L1, gets an exception"
    MMIO = "userspace completes the instruction"
    FAILED = "KVM cannot emulate it: userspace gets an internal error"


@dataclass(frozen=True)
class Emulation:
    """How the emulation ended, and the word that was read or written; of MMIO the address, and what it is."""

    end: Emulated
    value: int = 0
    writes: bool = False


class _Mmio(Exception):
    """Userspace has to access the guest physical address."""

    def __init__(self, gpa: int, writes: bool) -> None:
        super().__init__()
        self.gpa, self.writes = gpa, writes


class _Fault(Exception):
    """The access causes an exception."""

    def __init__(self, exception: X86Exception) -> None:
        super().__init__()
        self.exception = exception


def x86_emulate_instruction(
    vm: Vm, vcpu: KvmVcpu, cr2_or_gpa: int, allow_retry: bool, insn: Insn
) -> Emulation:
    """Emulate ``insn``, which faulted at ``cr2_or_gpa``.

    With ``allow_retry`` an instruction that is unlikely to write page tables is not emulated: its gfn is
    likely no table any more, so the pages that shadow it are zapped. An exception that is pending is lost.
    """
    vcpu.exception = None
    if insn.kind == FETCH:
        return _fetch(vm, vcpu, insn)
    if _retry_instruction(vm, vcpu, cr2_or_gpa, allow_retry, insn):
        return Emulation(Emulated.RETRY)
    # A direct MMU has reported the physical address, whatever the guest's tables say.
    known = cr2_or_gpa if vcpu.mmu.root_role.direct else None
    try:
        if insn.kind != WRITE:
            return Emulation(Emulated.DONE, read_emulated(vm, vcpu, insn, known))
        value = insn.result(_destination(vm, vcpu, insn, known))
        write_emulated(vm, vcpu, insn, known, value)
        return Emulation(Emulated.DONE, value)
    except _Mmio as mmio:
        return Emulation(Emulated.MMIO, mmio.gpa, mmio.writes)
    except _Fault as fault:
        kvm_inject_emulated_page_fault(vm, vcpu, fault.exception)
        return Emulation(Emulated.EXCEPTION)


def _destination(vm: Vm, vcpu: KvmVcpu, insn: Insn, known: int | None) -> int:
    """What is where the instruction writes; only XADD reads it, and a page fault is then that of a write."""
    if not insn.reads:
        return 0
    try:
        return read_emulated(vm, vcpu, insn, known)
    except _Fault as fault:
        code = (fault.exception.error_code or 0) | PFERR_WRITE_MASK
        raise _Fault(replace(fault.exception, error_code=code)) from None


def _fetch(vm: Vm, vcpu: KvmVcpu, insn: Insn) -> Emulation:
    """The instruction itself is where there is no memory: KVM, which has to fetch it, cannot.

    The guest's page fault, if its tables do not translate the address; else #UD, of which the supervisor's is
    reported to userspace as KVM's failure.
    """
    access = _access(vcpu, write=False) | PFERR_FETCH_MASK
    gpa = gva_to_gpa(vm, vcpu, vcpu.gva_walk, insn.address, access)
    if isinstance(gpa, X86Exception):
        kvm_inject_emulated_page_fault(vm, vcpu, gpa)
        return Emulation(Emulated.EXCEPTION)
    if kvm_vcpu_read_guest(vm, vcpu, gpa & -8, 8) is not None:
        raise ValueError("the emulator would execute an instruction that is in memory")
    if not vcpu.guest_mode and vcpu.cpl == 0:
        return Emulation(Emulated.FAILED)
    vcpu.exception = X86Exception(UD_VECTOR)
    return Emulation(Emulated.EXCEPTION)


def _retry_instruction(vm: Vm, vcpu: KvmVcpu, cr2_or_gpa: int, allow_retry: bool, insn: Insn) -> bool:
    """Whether the guest repeats an instruction that does not write page tables, after its gfn is unprotected.

    Until UNPROTECT_ON_WRITE_PROTECTION_ONLY it does so even if nothing is shadowed there, but not twice.
    """
    if vm.k.has(UNPROTECT_ON_WRITE_PROTECTION_ONLY):
        may = allow_retry and not insn.writes_page_tables
        return may and kvm_mmu_unprotect_gfn_and_retry(vm, vcpu, cr2_or_gpa)
    last, vcpu.last_retry_addr = vcpu.last_retry_addr, None
    if not allow_retry or insn.writes_page_tables or last == cr2_or_gpa:
        return False
    vcpu.last_retry_addr = cr2_or_gpa
    gpa: int | X86Exception = cr2_or_gpa
    if not vcpu.mmu.root_role.direct:
        gpa = kvm_mmu_gva_to_gpa_write(vm, vcpu, cr2_or_gpa)
    if not isinstance(gpa, X86Exception):
        kvm_mmu_unprotect_page(vm, gpa >> PAGE_SHIFT)
    return True


def read_emulated(vm: Vm, vcpu: KvmVcpu, insn: Insn, known: int | None) -> int:
    """Read the operand."""
    gpa, is_mmio = _translate(vm, vcpu, insn.address, known, write=False)
    found = None if is_mmio else kvm_vcpu_read_guest(vm, vcpu, gpa, insn.size)
    if found is None:
        raise _Mmio(gpa, writes=False)
    return found[0]


def write_emulated(vm: Vm, vcpu: KvmVcpu, insn: Insn, known: int | None, value: int) -> None:
    """Write the operand, then zap what was made from it if it is a table (emulator_write_phys())."""
    gpa, is_mmio = _translate(vm, vcpu, insn.address, known, write=True)
    if not vm.k.has(WRITTEN_BEFORE_ZAPPED):
        kvm_mmu_track_write(vm, vcpu, gpa, insn.size)
    if is_mmio or not kvm_vcpu_write_guest(vm, vcpu, gpa, insn.size, value):
        raise _Mmio(gpa, writes=True)
    if vm.k.has(WRITTEN_BEFORE_ZAPPED):
        kvm_mmu_track_write(vm, vcpu, gpa, insn.size)


def _access(vcpu: KvmVcpu, write: bool) -> int:
    """The PFERR_* bits of an access by the instruction."""
    return (PFERR_USER_MASK if vcpu.cpl == 3 else 0) | (PFERR_WRITE_MASK if write else 0)


def _translate(vm: Vm, vcpu: KvmVcpu, address: int, known: int | None, write: bool) -> tuple[int, bool]:
    """The physical address of an access, and whether it is known to be MMIO (vcpu_mmio_gva_to_gpa()).

    The last MMIO access is cached with the rights that the guest's tables granted.
    """
    access = _access(vcpu, write)
    if known is None and vcpu_match_mmio_gva(vm, vcpu, address):
        paging = vcpu.gva_walk.cpu_role.level
        if not paging or not permission_fault(vm, vcpu, vcpu.gva_walk, vcpu.mmio_access, 0, access):
            return vcpu.mmio_gfn << PAGE_SHIFT | address & (1 << PAGE_SHIFT) - 1, True
    gpa = gva_to_gpa(vm, vcpu, vcpu.gva_walk, address, access) if known is None else known
    if isinstance(gpa, X86Exception):
        raise _Fault(gpa)
    page = gpa & -1 << PAGE_SHIFT
    return gpa, page == APIC_DEFAULT_PHYS_BASE or vcpu_match_mmio_gpa(vm, vcpu, gpa)
