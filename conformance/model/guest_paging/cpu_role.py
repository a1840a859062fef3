# SPDX-License-Identifier: GPL-2.0-only
"""The guest's paging mode, from its control registers: what decides how its page tables are walked.

Intel SDM, volume 3, "Paging modes and control bits". KVM keeps it as union kvm_cpu_role, and compares that to
see whether anything changed.
"""

from __future__ import annotations

from typing import NamedTuple

from conformance.model.changes import BASE_ROLE_SMEP, ROLE_PFERR_FETCH
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, any_set, bit, bits, either, no, when, word

__all__ = [
    "CR0_CD",
    "CR0_ET",
    "CR0_NW",
    "CR0_PE",
    "CR0_PG",
    "CR0_ROLE_BITS",
    "CR0_WP",
    "CR3_PCID_MASK",
    "CR3_PCID_NOFLUSH",
    "CR4_LA57",
    "CR4_PAE",
    "CR4_PCIDE",
    "CR4_PGE",
    "CR4_PKE",
    "CR4_PSE",
    "CR4_ROLE_BITS",
    "CR4_SMAP",
    "CR4_SMEP",
    "EFER_LMA",
    "EFER_LME",
    "EFER_NX",
    "CpuRole",
    "RoleRegs",
    "kvm_calc_cpu_role",
    "vcpu_to_role_regs",
]

CR0_PE, CR0_ET, CR0_WP, CR0_NW, CR0_CD, CR0_PG = (bit(n) for n in (0, 4, 16, 29, 30, 31))
CR3_PCID_MASK, CR3_PCID_NOFLUSH = bits(11, 0), bit(63)
CR4_PSE, CR4_PAE, CR4_PGE, CR4_LA57, CR4_PCIDE = (bit(n) for n in (4, 5, 7, 12, 17))
CR4_SMEP, CR4_SMAP, CR4_PKE = (bit(n) for n in (20, 21, 22))
EFER_LME, EFER_LMA, EFER_NX = bit(8), bit(10), bit(11)

CR0_ROLE_BITS = CR0_PG | CR0_WP
CR4_ROLE_BITS = CR4_PSE | CR4_PAE | CR4_LA57 | CR4_SMEP | CR4_SMAP | CR4_PKE


class RoleRegs(NamedTuple):
    """The control registers that decide about paging (struct kvm_mmu_role_regs)."""

    cr0: Word
    cr4: Word
    efer: Word


class CpuRole(NamedTuple):
    """What decides how the guest's page tables are walked (union kvm_cpu_role); 0 or 1 but for the first two.

    A kernel that does not have a member has 0 there.
    """

    level: Word
    """How many levels the guest's page tables have; 0 without paging."""
    access: Word
    """ACC_* bits, all of them."""
    direct: Word
    """Without paging, addresses are not translated."""
    has_4_byte_gpte: Word
    efer_nx: Word
    cr0_wp: Word
    cr4_smep: Word
    smep_andnot_wp: Word
    smap_andnot_wp: Word
    smm: Word
    guest_mode: Word
    valid: Word
    cr4_pse: Word
    cr4_pke: Word
    cr4_smap: Word
    cr4_la57: Word
    efer_lma: Word
    has_pferr_fetch: Word


def vcpu_to_role_regs(k: Semantics, cr0: Word, cr4: Word, efer: Word) -> RoleRegs:
    """The parts of the control registers that decide about paging; of EFER, all of it."""
    return RoleRegs(cr0 & CR0_ROLE_BITS, cr4 & CR4_ROLE_BITS, efer)


def kvm_calc_cpu_role(
    k: Semantics, regs: RoleRegs, *, smm: Truth | bool, guest_mode: Truth | bool
) -> CpuRole:
    """The role of the vCPU's own page tables. Without CR0.PG, all other bits about paging are 0.

    LA57 and protection keys need long mode, which needs PAE. SMEP and SMAP bind the supervisor also where
    CR0.WP does not: a shadow page that grants a supervisor's writes to a read-only page must know of both.
    """
    paging = any_set(regs.cr0, CR0_PG)

    def active(register: Word, mask: int) -> Truth:
        return paging & any_set(register, mask)

    write_protect, long_mode = active(regs.cr0, CR0_WP), active(regs.efer, EFER_LMA)
    pae, nx = active(regs.cr4, CR4_PAE), active(regs.efer, EFER_NX)
    smep, smap = active(regs.cr4, CR4_SMEP), active(regs.cr4, CR4_SMAP)
    la57 = long_mode & active(regs.cr4, CR4_LA57)
    levels = either(long_mode, either(la57, 5, 4), either(pae, 3, 2))
    return CpuRole(
        level=when(paging, levels),
        access=k.layout.acc_all,
        direct=word(no(paging)),
        has_4_byte_gpte=word(paging & no(pae)),
        efer_nx=word(nx),
        cr0_wp=word(write_protect),
        cr4_smep=word(smep),
        smep_andnot_wp=0 if k.has(BASE_ROLE_SMEP) else word(smep & no(write_protect)),
        smap_andnot_wp=word(smap & no(write_protect)),
        smm=word(smm),
        guest_mode=word(guest_mode),
        valid=1,
        cr4_pse=word(active(regs.cr4, CR4_PSE)),
        cr4_pke=word(long_mode & active(regs.cr4, CR4_PKE)),
        cr4_smap=word(smap),
        cr4_la57=word(la57),
        efer_lma=word(long_mode),
        has_pferr_fetch=word(nx | smep) if k.has(ROLE_PFERR_FETCH) else 0,
    )
