# SPDX-License-Identifier: GPL-2.0-only
"""The processor with shadow paging: it translates linear addresses by the tables that KVM has made.

Source: Intel SDM vol. 3, "Paging". The processor runs as VMX runs a guest without EPT: CR0.WP and EFER.NX are
set whatever the guest has set; SMEP and SMAP are the guest's, while its paging is on. Translations are tagged
by PCID, not by root.
"""

from __future__ import annotations

from conformance.interface.access import FETCH, READ, WRITE
from conformance.model.guest_paging.cpu_role import CR0_PG, CR4_SMAP, CR4_SMEP
from conformance.model.layout import (
    PAGE_SHIFT,
    PT64_NX_MASK,
    PT_ACCESSED_MASK,
    PT_DIRTY_MASK,
    PT_PAGE_SIZE_MASK,
    PT_PRESENT_MASK,
    PT_USER_MASK,
    PT_WRITABLE_MASK,
    SPTE_BASE_ADDR_MASK,
)
from conformance.model.spte.writability import PFERR_FETCH_MASK, PFERR_USER_MASK, PFERR_WRITE_MASK
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.kvm_page_fault import PFERR_PRESENT_MASK, PFERR_RSVD_MASK
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.scheduler import current
from conformance.model.vm.vm import KvmVcpu, TlbEntry, Vm
from conformance.model.words import bits

__all__ = ["linear_access"]

USER = 8
"""The right of users, beside READ, WRITE and FETCH."""
PT32E_ROOT_LEVEL = 3
KIND_IN_CODE = {READ: 0, WRITE: PFERR_WRITE_MASK, FETCH: PFERR_FETCH_MASK}

Path = list[tuple[KvmMmuPage, int, int]]
"""The entries that a walk used, from the top, as (table, index, SPTE that was read)."""


def linear_access(vm: Vm, vcpu: KvmVcpu, address: int, kind: int, user: bool) -> TlbEntry | int:
    """Translate an address for an access; the translation, or the error code of the page fault.

    A cached translation is used if it allows the access. A write through a translation whose Dirty is not set
    walks the tables again, to set it.
    """
    page = address >> PAGE_SHIFT
    entry = _tlb_hit(vcpu, page, kind, user)
    while entry is None:
        path, rights, fault = _walk(vm, vcpu, page)
        if fault is None and not _allowed(vcpu, rights, kind, user):
            fault = PFERR_PRESENT_MASK
        if fault is not None:
            return fault | KIND_IN_CODE[kind] | (PFERR_USER_MASK if user else 0)
        entry = _complete_walk(vcpu, path, rights, page, kind)
    pfn = entry.pfn + (page & pages_per(entry.level) - 1)
    current.scheduler.note(("access", vcpu.id, page, kind, pfn))
    return entry


def _allowed(vcpu: KvmVcpu, rights: int, kind: int, user: bool) -> bool:
    """Whether the rights that a translation grants allow an access."""
    if user:
        return bool(rights & USER and rights & kind)
    if rights & USER and vcpu.cr0 & CR0_PG:
        if kind == FETCH and vcpu.cr4 & CR4_SMEP:
            return False
        if kind != FETCH and vcpu.cr4 & CR4_SMAP and not vcpu.eflags_ac:
            return False
    return bool(rights & kind)


def _tlb_hit(vcpu: KvmVcpu, page: int, kind: int, user: bool) -> TlbEntry | None:
    """The TLB entry if it allows the access; an entry that forbids it is removed."""
    for level in (1, 2, 3):
        key = vcpu.pcid, level, page & -pages_per(level)
        entry = vcpu.linear_tlb.get(key)
        if entry is None:
            continue
        if not _allowed(vcpu, entry.rights, kind, user):
            del vcpu.linear_tlb[key]
            return None
        return entry if kind != WRITE or entry.dirty else None
    return None


def _walk(vm: Vm, vcpu: KvmVcpu, page: int) -> tuple[Path, int, int | None]:
    """Walk the tables; the path, the rights that all its entries grant, and the error code if it failed."""
    table = vcpu.mmu.root
    assert table is not None
    rights = READ | WRITE | FETCH | USER
    path: Path = []
    while True:
        of_pae = table.level == PT32E_ROOT_LEVEL and vcpu.mmu.root_role.level == PT32E_ROOT_LEVEL
        index = table.index_of(page) & 3 if of_pae else table.index_of(page)
        entry = table.read(index)
        if not entry & PT_PRESENT_MASK:
            return path, 0, 0
        if entry & bits(51, int(vm.mode.phys_bits)):
            return path, 0, PFERR_PRESENT_MASK | PFERR_RSVD_MASK
        if not of_pae:
            path.append((table, index, entry))
            rights &= _rights(entry)
        if table.level == 1 or (not of_pae and entry & PT_PAGE_SIZE_MASK):
            return path, rights, None
        table = vm.memory.by_serial[(entry & SPTE_BASE_ADDR_MASK) >> PAGE_SHIFT]


def _rights(entry: int) -> int:
    """The rights that an entry grants. A PDPTE of PAE paging has no bits for rights, nor Accessed."""
    rights = READ | (WRITE if entry & PT_WRITABLE_MASK else 0)
    rights |= USER if entry & PT_USER_MASK else 0
    return rights if entry & PT64_NX_MASK else rights | FETCH


def _complete_walk(vcpu: KvmVcpu, path: Path, rights: int, page: int, kind: int) -> TlbEntry | None:
    """Set Accessed and Dirty, and cache the translation; None if an entry changed, so that the walk restarts.

    The bits are set by compare-and-exchange with the SPTE that the walk read.
    """
    table, _, leaf = path[-1]
    for at, (walked, index, entry) in enumerate(path):
        leaf = entry | PT_ACCESSED_MASK
        if at == len(path) - 1 and kind == WRITE:
            leaf |= PT_DIRTY_MASK
        if leaf != entry and walked.cmpxchg(index, entry, leaf) != entry:
            return None
    pfn = (leaf & SPTE_BASE_ADDR_MASK) >> PAGE_SHIFT & -pages_per(table.level)
    found = TlbEntry(pfn, rights, bool(leaf & PT_DIRTY_MASK), table.level)
    vcpu.linear_tlb[vcpu.pcid, table.level, page & -pages_per(table.level)] = found
    return found
