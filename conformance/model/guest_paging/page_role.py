# SPDX-License-Identifier: GPL-2.0-only
"""The roles of shadow pages: which of the guest's paging mode a page depends on, from the root downwards.

A shadow page can be used for the same table of the guest as long as its role is equal (union
kvm_mmu_page_role). Here the fields are words; ``vm.role`` has them as numbers.
"""

from __future__ import annotations

from typing import NamedTuple

from conformance.model.changes import (
    BASE_ROLE_SMEP,
    CHILD_ROLE,
    CPU_ROLE,
    GPTE_SIZE_BY_ROLE,
    SHADOW_ROLE_HAS_NX,
    SYNC_SPTE,
)
from conformance.model.guest_paging.cpu_role import (
    CR0_PG,
    CR0_WP,
    CR4_LA57,
    CR4_PAE,
    CR4_SMAP,
    CR4_SMEP,
    EFER_LMA,
    EFER_NX,
    CpuRole,
    RoleRegs,
    kvm_calc_cpu_role,
)
from conformance.model.layout import PG_LEVEL_4K
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, any_set, either, no, word

__all__ = [
    "PageRole",
    "kvm_calc_shadow_ept_root_page_role",
    "kvm_calc_shadow_mmu_root_page_role",
    "kvm_calc_shadow_npt_root_page_role",
    "kvm_mmu_child_role",
    "kvm_sync_page_check",
    "sp_has_gptes",
]

PT32E_ROOT_LEVEL, PT64_ROOT_4LEVEL, PT64_ROOT_5LEVEL = 3, 4, 5


class PageRole(NamedTuple):
    """The fields of KvmMmuPageRole, which says what they are."""

    level: Word
    has_4_byte_gpte: Word
    quadrant: Word
    direct: Word
    access: Word
    invalid: Word
    efer_nx: Word
    cr0_wp: Word
    smep: Word
    smap_andnot_wp: Word
    ad_disabled: Word
    guest_mode: Word
    passthrough: Word
    smm: Word


def _base_role(k: Semantics, cpu_role: CpuRole) -> PageRole:
    """The part of the guest's role that the roles of shadow pages have as well (cpu_role.base)."""
    return PageRole(
        level=cpu_role.level,
        has_4_byte_gpte=cpu_role.has_4_byte_gpte,
        quadrant=0,
        direct=cpu_role.direct,
        access=cpu_role.access,
        invalid=0,
        efer_nx=cpu_role.efer_nx,
        cr0_wp=cpu_role.cr0_wp,
        smep=cpu_role.cr4_smep if k.has(BASE_ROLE_SMEP) else cpu_role.smep_andnot_wp,
        smap_andnot_wp=cpu_role.smap_andnot_wp,
        ad_disabled=0,
        guest_mode=cpu_role.guest_mode,
        passthrough=0,
        smm=cpu_role.smm,
    )


def kvm_calc_shadow_mmu_root_page_role(
    k: Semantics, regs: RoleRegs, *, smm: Truth | bool, guest_mode: Truth | bool
) -> PageRole:
    """The role of a root that shadows the guest's own tables.

    The processor walks at least PAE tables, and always with EFER.NX: also where the guest has neither, and
    where it has no paging, so that the root is direct. Before CPU_ROLE the role has the registers' bits as
    they are, without paging too, and before SHADOW_ROLE_HAS_NX EFER.NX is the guest's.
    """
    if not k.has(CPU_ROLE):
        return _role_of_registers(k, regs, smm=smm, guest_mode=guest_mode)
    base = _base_role(k, kvm_calc_cpu_role(k, regs, smm=smm, guest_mode=guest_mode))
    return base._replace(
        level=either(base.level < PT32E_ROOT_LEVEL, PT32E_ROOT_LEVEL, base.level),
        efer_nx=1 if k.has(SHADOW_ROLE_HAS_NX) else base.efer_nx,
    )


def _role_of_registers(
    k: Semantics, regs: RoleRegs, *, smm: Truth | bool, guest_mode: Truth | bool
) -> PageRole:
    """The root's role before CPU_ROLE."""
    write_protect = any_set(regs.cr0, CR0_WP)
    of_long_mode = either(any_set(regs.cr4, CR4_LA57), PT64_ROOT_5LEVEL, PT64_ROOT_4LEVEL)
    return PageRole(
        level=either(any_set(regs.efer, EFER_LMA), of_long_mode, PT32E_ROOT_LEVEL),
        has_4_byte_gpte=word(no(any_set(regs.cr4, CR4_PAE))),
        quadrant=0,
        direct=word(no(any_set(regs.cr0, CR0_PG))),
        access=k.layout.acc_all,
        invalid=0,
        efer_nx=word(any_set(regs.efer, EFER_NX)),
        cr0_wp=word(write_protect),
        smep=word(any_set(regs.cr4, CR4_SMEP) & no(write_protect)),
        smap_andnot_wp=word(any_set(regs.cr4, CR4_SMAP) & no(write_protect)),
        ad_disabled=0,
        guest_mode=word(guest_mode),
        passthrough=0,
        smm=word(smm),
    )


def kvm_calc_shadow_npt_root_page_role(k: Semantics, cpu_role: CpuRole, *, tdp_level: Word) -> PageRole:
    """The role of a root that shadows the nested host's NPT, whose format ``cpu_role`` is.

    The root has the level of the host's tables; one of 5 levels passes each index through to the 4 of L1.
    """
    passes = (tdp_level == PT64_ROOT_5LEVEL) & (cpu_role.level == PT64_ROOT_4LEVEL)
    return _base_role(k, cpu_role)._replace(level=tdp_level, passthrough=word(passes))


def kvm_calc_shadow_ept_root_page_role(
    k: Semantics, level: Word, *, accessed_dirty: Truth | bool, mbec: Truth | bool, smm: Truth | bool
) -> PageRole:
    """The role of a root that shadows the nested host's EPT: no control register matters.

    ``mbec``: mode-based execute control, which stands where SMEP does. SMM has no EPT of its own. Before
    GPTE_SIZE_BY_ROLE two bits that exclude each other mark the role.
    """
    marks = 0 if k.has(GPTE_SIZE_BY_ROLE) else 1
    k.warn_on("kvm_calc_shadow_ept_root_page_role", smm)
    return PageRole(
        level=level,
        has_4_byte_gpte=0,
        quadrant=0,
        direct=0,
        access=k.layout.acc_all,
        invalid=0,
        efer_nx=0,
        cr0_wp=marks,
        smep=word(mbec) if k.has(BASE_ROLE_SMEP) else 0,
        smap_andnot_wp=marks,
        ad_disabled=word(no(accessed_dirty)),
        guest_mode=1,
        passthrough=0,
        smm=0,
    )


def kvm_mmu_child_role(
    k: Semantics, parent: PageRole, index: Word, *, direct: Truth | bool, access: Word
) -> PageRole:
    """The role of the page below entry ``index``, for which the guest's tables so far allow ``access``.

    A page holds half as many entries as a table of 32-bit paging, so that two pages shadow a table of level
    1: bit 0 of the entry's index says which half. Roots, of which four shadow a directory, have their
    quadrant from where they are allocated. Before CHILD_ROLE the entries of a direct page counted as 8 bytes.
    """
    function = "kvm_mmu_child_role"
    k.warn_on(function, parent.invalid != 0)
    level = parent.level - 1
    short = parent.has_4_byte_gpte
    halves = short != 0
    k.warn_on(function, halves & (level != PG_LEVEL_4K))
    return parent._replace(
        level=level,
        has_4_byte_gpte=short if k.has(CHILD_ROLE) else either(direct, 0, short),
        quadrant=either(halves, index & 1, parent.quadrant),
        direct=word(direct),
        access=access,
        invalid=0,
        passthrough=0,
    )


def sp_has_gptes(*, direct: Truth | bool, passthrough: Truth | bool) -> Truth | bool:
    """Whether the page's entries shadow entries of a table of the guest.

    A direct page maps a range of gfns. A passthrough page adds a level that the guest's tables do not have.
    """
    return no(direct) & no(passthrough)


def kvm_sync_page_check(k: Semantics, role: PageRole, root: PageRole) -> Truth:
    """Whether a page of ``role`` is indirect, and the MMU with this root walks the guest's tables as it says.

    It should (WARN): memslots, reserved bits and format would be the wrong ones otherwise. Level, access and
    quadrant are the page's own. Until c3c6c9fc5d24 in v6.4 FNAME(sync_page) checked it.
    """
    own = {"level": 0, "access": 0, "quadrant": 0, "passthrough": 0}
    same: Truth = role.direct == 0
    for ours, theirs in zip(role._replace(**own), root._replace(**own), strict=True):
        same = same & (ours == theirs)
    k.warn_on("kvm_sync_page_check" if k.has(SYNC_SPTE) else "paging64_sync_page", no(same))
    return same
