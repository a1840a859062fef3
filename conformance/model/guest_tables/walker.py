# SPDX-License-Identifier: GPL-2.0-only
"""The walk of the guest's page tables, as the processor would do it (walk_addr_generic() of paging_tmpl.h).

KVM reads the tables in the guest's memory, and sets Accessed and Dirty in them, by itself. A walk gives the
gfn with the rights that all entries grant, or the exception that the access causes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.model.changes import ACC_READ, FAULT_STAGE, ROLE_PFERR_FETCH, WALK_NX_BY_ROLE
from conformance.model.guest_paging.gptes import GuestFormat, pse36_gfn_delta
from conformance.model.guest_tables.gptes import (
    accessed_mask,
    dirty_mask,
    gpte_access,
    gpte_pkeys,
    gpte_size,
    gpte_to_gfn,
    gpte_to_gfn_lvl,
    index_bits,
    is_last_gpte,
    is_present_gpte,
    is_rsvd_bits_set,
    protect_clean_gpte,
)
from conformance.model.guest_tables.permission_fault import permission_fault
from conformance.model.layout import PAGE_SHIFT, PG_LEVEL_4K, PT64_NX_MASK, PT_USER_MASK, VMX_EPT_RWX_MASK
from conformance.model.spte.writability import PFERR_FETCH_MASK, PFERR_USER_MASK, PFERR_WRITE_MASK
from conformance.model.vm.guest_memory import (
    get_user,
    kvm_vcpu_mark_page_dirty,
    kvm_vcpu_read_guest,
    try_cmpxchg_user,
)
from conformance.model.vm.kvm_page_fault import (
    PFERR_GUEST_FINAL_MASK,
    PFERR_GUEST_PAGE_MASK,
    PFERR_PRESENT_MASK,
    PFERR_RSVD_MASK,
)
from conformance.model.vm.kvm_pagewalk import PF_VECTOR, KvmPagewalk, X86Exception
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["GuestWalker", "get_pdptr", "gva_to_gpa", "kvm_mmu_get_guest_pgd", "walk_addr"]

PT64_ROOT_MAX_LEVEL = 5
PT32E_ROOT_LEVEL = 3
ALL_BITS = (1 << 64) - 1
EPT_VIOLATION_ACC_READ, EPT_VIOLATION_ACC_WRITE, EPT_VIOLATION_ACC_INSTR = 1, 2, 4
EPT_VIOLATION_RWX_SHIFT = 3
EPT_VIOLATION_GVA_IS_VALID, EPT_VIOLATION_GVA_TRANSLATED = 1 << 7, 1 << 8


def _levels() -> list[int]:
    return [0] * PT64_ROOT_MAX_LEVEL


@dataclass
class GuestWalker:
    """struct guest_walker: what a walk found. Lists are indexed by level - 1."""

    level: int = 0
    """The level of the entry that maps the page."""
    max_level: int = 0
    """The level of the first entry; the PDPTEs of PAE paging are no entries of a table."""
    table_gfn: list[int] = field(default_factory=_levels)
    ptes: list[int] = field(default_factory=_levels)
    pte_gpa: list[int] = field(default_factory=_levels)
    pte_page: list[int] = field(default_factory=_levels)
    """The host page of the table: ``ptep_user`` without the offset in the page."""
    pte_writable: list[bool] = field(default_factory=lambda: [False] * PT64_ROOT_MAX_LEVEL)
    pt_access: list[int] = field(default_factory=_levels)
    """The rights (ACC_*) that the entries above the level grant."""
    prefetch_ptes: list[int] = field(default_factory=list)
    """The entries around that of level 1, as they were when the walk was checked under mmu_lock."""
    pte_access: int = 0
    """The rights that all entries grant; without the right to write if a read finds Dirty clear."""
    gfn: int = 0


class _Fault(Exception):
    """The walk ends with a page fault: the error code so far, and the raw rights of the entries so far."""

    def __init__(self, errcode: int = 0, pte_access: int = 0) -> None:
        super().__init__()
        self.errcode, self.pte_access = errcode, pte_access


class _NestedFault(Exception):
    """The walk meets an L2 physical address that L1's tables do not translate."""

    def __init__(self, exception: X86Exception) -> None:
        super().__init__()
        self.exception = exception


def walk_addr(vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, addr: int, access: int) -> GuestWalker | X86Exception:
    """Translate ``addr`` for an access with the PFERR_* bits ``access``.

    A walk that could not set Accessed or Dirty because an entry has changed begins again.
    """
    try:
        while True:
            walker = GuestWalker()
            if _walk(vm, vcpu, w, walker, addr, access):
                return walker
    except _NestedFault as nested:
        return nested.exception
    except _Fault as fault:
        return _exception(vm, vcpu, w, addr, access, fault)


def kvm_mmu_get_guest_pgd(vcpu: KvmVcpu, w: KvmPagewalk) -> int:
    """The register that points to the guest's top table: CR3, or what L1 gave as L2's EPTP or nested CR3."""
    return w.pgd if w.nested else vcpu.cr3


def get_pdptr(vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, index: int) -> int:
    """A PDPTE of PAE paging: as loaded with CR3, or of NPT as it is in memory now."""
    if not w.nested:
        return vcpu.pdptrs[index]
    found = kvm_vcpu_read_guest(vm, vcpu, (w.pgd & -32) + 8 * index, 8)
    return found[0] if found else 0


def _walk(vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, walker: GuestWalker, addr: int, access: int) -> bool:
    """One walk; False if it must be repeated."""
    pte = kvm_mmu_get_guest_pgd(vcpu, w)
    level = int(w.cpu_role.level)
    walk_nx_mask = PT64_NX_MASK if w.format is GuestFormat.PAGING64 else 0
    if w.format is GuestFormat.PAGING64 and level == PT32E_ROOT_LEVEL:
        pte = get_pdptr(vm, vcpu, w, addr >> 30 & 3)
        if not is_present_gpte(w, pte):
            raise _Fault
        level -= 1
    walker.max_level = level
    pte_access = ALL_BITS
    while True:
        pt_access = pte_access
        pte = _read_gpte(vm, vcpu, w, walker, level, pte, addr, pt_access)
        # NX is inverted, so that rights can be combined by a bitwise AND.
        pte_access = pt_access & (pte ^ walk_nx_mask)
        if not is_present_gpte(w, pte):
            raise _Fault(0, pte_access)
        if is_rsvd_bits_set(vm, vcpu, w, pte, level):
            raise _Fault(PFERR_RSVD_MASK | PFERR_PRESENT_MASK, pte_access)
        walker.ptes[level - 1] = pte
        walker.pt_access[level - 1] = gpte_access(vm.k, w, pt_access ^ walk_nx_mask)
        if is_last_gpte(vm.k, w, level, pte):
            break
        level -= 1
    walker.level = level
    walker.pte_access = gpte_access(vm.k, w, pte_access ^ walk_nx_mask)
    errcode = permission_fault(vm, vcpu, w, walker.pte_access, gpte_pkeys(w, pte), access)
    if errcode:
        raise _Fault(errcode, pte_access)
    walker.gfn = _final_gfn(vm, vcpu, w, walker, pte, addr, access)
    if not access & PFERR_WRITE_MASK:
        walker.pte_access = protect_clean_gpte(vm.k, w, walker.pte_access, pte)
    return _update_accessed_dirty_bits(vm, vcpu, w, walker, bool(access & PFERR_WRITE_MASK), pte_access)


def _read_gpte(
    vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, walker: GuestWalker, level: int, pte: int, addr: int, rights: int
) -> int:
    """Read the entry for ``addr`` in the table that ``pte``, an entry of the level above, points to."""
    shift = PAGE_SHIFT + index_bits(w) * (level - 1)
    offset = (addr >> shift & (1 << index_bits(w)) - 1) * gpte_size(w)
    table_gfn = gpte_to_gfn(pte)
    walker.table_gfn[level - 1] = table_gfn
    walker.pte_gpa[level - 1] = (table_gfn << PAGE_SHIFT) + offset
    # The processor reads tables as a user, and writes them if it may set Accessed or Dirty.
    of_table = PFERR_USER_MASK | (PFERR_WRITE_MASK if w.have_accessed_dirty else 0) | PFERR_GUEST_PAGE_MASK
    gfn = _translate_gpa(vm, vcpu, w, table_gfn << PAGE_SHIFT, of_table) >> PAGE_SHIFT
    slot = vm.slot_of(vcpu, gfn)
    if slot is None or slot.invalid:
        raise _Fault(0, rights)
    page = slot.host_page(gfn)
    found = get_user(vm, page, offset, gpte_size(w))
    if found is None:
        raise _Fault(0, rights)
    walker.pte_page[level - 1], walker.pte_writable[level - 1] = page, not slot.readonly
    return found


def _final_gfn(
    vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, walker: GuestWalker, pte: int, addr: int, access: int
) -> int:
    """The gfn of the page that holds ``addr``; of L2's linear addresses, L1's gfn."""
    size = 1 << index_bits(w) * (walker.level - 1)
    gfn = gpte_to_gfn_lvl(w, pte, walker.level) + (addr >> PAGE_SHIFT & size - 1)
    if w.format is GuestFormat.PAGING32 and walker.level > PG_LEVEL_4K:
        gfn += int(pse36_gfn_delta(pte))
    final = access | PFERR_GUEST_FINAL_MASK
    return _translate_gpa(vm, vcpu, w, gfn << PAGE_SHIFT, final, walker.pte_access) >> PAGE_SHIFT


def _translate_gpa(vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, gpa: int, access: int, pte_access: int = 0) -> int:
    """L1's physical address: for L2's own tables, what L1's EPT or NPT translates ``gpa`` to.

    NPT is always walked as a user. EPT was, when that stood for reading; since ACC_READ only for the page of
    a user, by the rights ``pte_access`` of L2's own tables.
    """
    if w.nested or not vcpu.guest_mode:
        return gpa
    of_user = pte_access & PT_USER_MASK and access & PFERR_GUEST_FINAL_MASK
    if vcpu.ngpa_walk.ept and vm.k.has(ACC_READ) and not of_user:
        access &= ~PFERR_USER_MASK
    else:
        access |= PFERR_USER_MASK
    found = gva_to_gpa(vm, vcpu, vcpu.ngpa_walk, gpa, access)
    if isinstance(found, X86Exception):
        raise _NestedFault(found)
    return found


def _update_accessed_dirty_bits(
    vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, walker: GuestWalker, write: bool, pte_access: int
) -> bool:
    """Set Accessed in each entry, and Dirty in the last one on a write; False if an entry has changed.

    Entries in read-only memory stay as they are.
    """
    if not w.have_accessed_dirty:
        return True
    for level in range(walker.max_level, walker.level - 1, -1):
        orig_pte = walker.ptes[level - 1]
        pte = orig_pte | accessed_mask(w)
        if level == walker.level and write:
            pte |= dirty_mask(w)
        if pte == orig_pte or not walker.pte_writable[level - 1]:
            continue
        offset = walker.pte_gpa[level - 1] & (1 << PAGE_SHIFT) - 1
        found = try_cmpxchg_user(vm, walker.pte_page[level - 1], offset, gpte_size(w), orig_pte, pte)
        if found is None:
            raise _Fault(0, pte_access)
        if found != orig_pte:
            return False
        kvm_vcpu_mark_page_dirty(vm, vcpu, walker.table_gfn[level - 1])
        walker.ptes[level - 1] = pte
    return True


def _exception(vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, addr: int, access: int, fault: _Fault) -> X86Exception:
    """The page fault, EPT violation or nested page fault that the guest gets.

    The error code says that a fetch was one only where the guest can forbid fetches: with NX or SMEP.
    """
    errcode = fault.errcode | access & (PFERR_WRITE_MASK | PFERR_USER_MASK)
    role = w.cpu_role
    nx = role.efer_nx
    if not vm.k.has(WALK_NX_BY_ROLE):
        nx = int(w.ept or (nx and w.format is GuestFormat.PAGING64))
    if role.has_pferr_fetch if vm.k.has(ROLE_PFERR_FETCH) else nx | role.cr4_smep:
        errcode |= access & PFERR_FETCH_MASK
    qualification = 0
    if w.ept and not errcode & PFERR_RSVD_MASK:
        qualification = _ept_qualification(vm, access, fault.pte_access)
    if w.nested and not w.ept and vm.k.has(FAULT_STAGE):
        errcode |= access & (PFERR_GUEST_FINAL_MASK | PFERR_GUEST_PAGE_MASK)
    return X86Exception(PF_VECTOR, errcode, addr, w.nested, qualification)


def _ept_qualification(vm: Vm, access: int, pte_access: int) -> int:
    """The exit qualification of an EPT violation for L1: the access, and the rights that the tables grant."""
    rights = (pte_access & VMX_EPT_RWX_MASK) << EPT_VIOLATION_RWX_SHIFT
    write, fetch = access & PFERR_WRITE_MASK, access & PFERR_FETCH_MASK
    kind = (EPT_VIOLATION_ACC_WRITE if write else 0) | (EPT_VIOLATION_ACC_INSTR if fetch else 0)
    if not vm.k.has(FAULT_STAGE):
        return rights | kind | (EPT_VIOLATION_ACC_READ if access & PFERR_USER_MASK else 0)
    of_table = access & PFERR_GUEST_PAGE_MASK
    stage = EPT_VIOLATION_GVA_IS_VALID | (
        EPT_VIOLATION_ACC_READ if of_table else EPT_VIOLATION_GVA_TRANSLATED
    )
    return rights | (kind or EPT_VIOLATION_ACC_READ) | stage


def gva_to_gpa(vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, addr: int, access: int) -> int | X86Exception:
    """The physical address that ``addr`` translates to, or the exception that the access causes.

    Without paging, an address is translated only for L2, by L1's tables.
    """
    if w.format is None:
        try:
            return _translate_gpa(vm, vcpu, w, addr, access | PFERR_GUEST_FINAL_MASK, PT_USER_MASK)
        except _NestedFault as nested:
            return nested.exception
    walker = walk_addr(vm, vcpu, w, addr, access)
    if isinstance(walker, X86Exception):
        return walker
    return walker.gfn << PAGE_SHIFT | addr & (1 << PAGE_SHIFT) - 1
