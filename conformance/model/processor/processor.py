# SPDX-License-Identifier: GPL-2.0-only
"""The processor: it walks KVM's page tables, caches translations, and sets Accessed and Dirty.

Source: Intel SDM vol. 3, 29.3 for EPT; AMD APM vol. 2, 15.25 for nested paging. The processor ignores the
bits in which KVM keeps its own state.
"""

from __future__ import annotations

from conformance.interface.access import FETCH, READ, WRITE
from conformance.model.layout import (
    PAGE_SHIFT,
    PT64_NX_MASK,
    PT_ACCESSED_MASK,
    PT_DIRTY_MASK,
    PT_PRESENT_MASK,
    PT_USER_MASK,
    PT_WRITABLE_MASK,
    SPTE_BASE_ADDR_MASK,
    VMX_EPT_ACCESS_BIT,
    VMX_EPT_DIRTY_BIT,
    VMX_EPT_READABLE_MASK,
    VMX_EPT_RWX_MASK,
    VMX_EPT_WRITABLE_MASK,
)
from conformance.model.spte.predicates import is_large_pte, spte_to_pfn
from conformance.model.spte.writability import PFERR_FETCH_MASK, PFERR_USER_MASK, PFERR_WRITE_MASK
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.kvm_page_fault import PFERR_GUEST_FINAL_MASK, PFERR_PRESENT_MASK, PFERR_RSVD_MASK
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.pml import drain_pml
from conformance.model.vm.scheduler import current
from conformance.model.vm.vm import KvmVcpu, TlbEntry, Vm

__all__ = ["guest_access"]

PML_ENTRIES = 512
"""The size of the PML buffer, in entries."""
Path = list[tuple[KvmMmuPage, int, int]]
"""The entries that a walk used, from the top, as (table, index, SPTE that was read)."""

RESERVED_BIT = 1 << 51
"""The reserved address bit that is set in MMIO SPTEs under NPT."""


def guest_access(vm: Vm, vcpu: KvmVcpu, gfn: int, kind: int) -> TlbEntry | int:
    """Perform one access of the guest: its translation if it completes, else the error code of the exit.

    A cached translation is used if it allows the access. A write through a translation whose Dirty is not set
    walks the tables again, to set it.
    """
    entry = _tlb_hit(vm, vcpu, gfn, kind)
    while entry is None:
        path, granted, stopped = _walk(vm, vcpu, gfn)
        if stopped is not None or not granted & kind:
            _invalidate_upper_levels(vcpu, gfn)
            return _error_code(vm, kind, granted, stopped)
        entry = _complete_walk(vm, vcpu, path, granted, gfn, kind)
    current.scheduler.note(("access", vcpu.id, gfn, kind, entry.pfn + (gfn & pages_per(entry.level) - 1)))
    return entry


def _complete_walk(vm: Vm, vcpu: KvmVcpu, path: Path, granted: int, gfn: int, kind: int) -> TlbEntry | None:
    """Set Accessed and Dirty, and cache the translation; None if an entry changed, so that the walk restarts.

    The bits are set by compare-and-exchange with the SPTE that the walk read.
    """
    table, _, leaf = path[-1]
    if _hardware_ad(vm, vcpu):
        for at, (walked, index, spte) in enumerate(path):
            new_spte = spte | _accessed_bit(vm)
            if at == len(path) - 1 and kind == WRITE:
                new_spte |= _dirty_bit(vm)
            if new_spte != spte and walked.cmpxchg(index, spte, new_spte) != spte:
                return None
            leaf = new_spte
        if kind == WRITE and not path[-1][2] & _dirty_bit(vm):
            _log_page_modification(vm, vcpu, gfn)
    pfn = int(spte_to_pfn(vm.k, leaf)) & -pages_per(table.level)
    dirty = bool(leaf & _dirty_bit(vm)) if _hardware_ad(vm, vcpu) else kind == WRITE
    entry = TlbEntry(pfn, granted, dirty, table.level)
    vcpu.tlb[_tlb_key(vcpu, table.level, gfn)] = entry
    return entry


def _tlb_key(vcpu: KvmVcpu, level: int, gfn: int) -> tuple[KvmMmuPage, int, int]:
    assert vcpu.mmu.root is not None
    return vcpu.mmu.root, level, gfn & -pages_per(level)


def _tlb_hit(vm: Vm, vcpu: KvmVcpu, gfn: int, kind: int) -> TlbEntry | None:
    """The TLB entry if it allows the access; an entry that forbids it is removed."""
    for level in (1, 2, 3):
        key = _tlb_key(vcpu, level, gfn)
        entry = vcpu.tlb.get(key)
        if entry is None:
            continue
        if not entry.rights & kind:
            del vcpu.tlb[key]
            return None
        return entry if kind != WRITE or entry.dirty else None
    return None


def _walk(vm: Vm, vcpu: KvmVcpu, gfn: int) -> tuple[Path, int, str | None]:
    """Walk the tables; return the path, the rights that all its entries grant, and why the walk failed.

    The reason is "not present", "reserved", or None. The walk begins at the lowest table in the
    paging-structure caches, even if that table has been unlinked.
    """
    table, granted = _lowest_cached_table(vm, vcpu, gfn)
    path: Path = []
    while True:
        index = table.index_of(gfn)
        spte = table.read(index)
        if vm.mode.ept:
            present, rights, reserved = _ept_entry(spte)
        else:
            present, rights, reserved = _npt_entry(spte)
        if not present:
            return path, 0, "not present"
        if reserved:
            return path, 0, "reserved"
        granted &= rights
        path.append((table, index, spte))
        if table.level == 1 or is_large_pte(vm.k, spte):
            return path, granted, None
        table = vm.memory.by_serial[(spte & SPTE_BASE_ADDR_MASK) >> PAGE_SHIFT]
        if vcpu.caches_upper_levels:
            vcpu.upper_levels[_tlb_key(vcpu, table.level + 1, gfn)] = table, granted


def _lowest_cached_table(vm: Vm, vcpu: KvmVcpu, gfn: int) -> tuple[KvmMmuPage, int]:
    """The table where a walk begins, and the rights that the entries above it grant."""
    assert vcpu.mmu.root is not None
    if vcpu.caches_upper_levels:
        for level in (2, 3, 4):
            cached = vcpu.upper_levels.get(_tlb_key(vcpu, level, gfn))
            if cached is not None:
                return cached
    return vcpu.mmu.root, READ | WRITE | FETCH


def _invalidate_upper_levels(vcpu: KvmVcpu, gfn: int) -> None:
    """A fault invalidates the entries of the paging-structure caches for the address."""
    if vcpu.upper_levels:
        for level in (2, 3, 4):
            vcpu.upper_levels.pop(_tlb_key(vcpu, level, gfn), None)


def _ept_entry(spte: int) -> tuple[bool, int, bool]:
    """Whether an EPT entry is present (R, W or X), its rights, and whether it is misconfigured (W, not R)."""
    misconfigured = bool(spte & VMX_EPT_WRITABLE_MASK) and not spte & VMX_EPT_READABLE_MASK
    return bool(spte & VMX_EPT_RWX_MASK), spte & VMX_EPT_RWX_MASK, misconfigured


def _npt_entry(spte: int) -> tuple[bool, int, bool]:
    """Whether an NPT entry is present, its rights for user mode, and whether a reserved bit is set."""
    rights = READ if spte & PT_USER_MASK else 0
    if rights and spte & PT_WRITABLE_MASK:
        rights |= WRITE
    if rights and not spte & PT64_NX_MASK:
        rights |= FETCH
    return bool(spte & PT_PRESENT_MASK), rights, bool(spte & RESERVED_BIT)


def _error_code(vm: Vm, kind: int, granted: int, stopped: str | None) -> int:
    """The error code (PFERR_*) that KVM derives from the exit.

    An EPT misconfiguration has PFERR_RSVD_MASK only. NPT treats every access as a user-mode access.
    """
    if vm.mode.ept and stopped == "reserved":
        return PFERR_RSVD_MASK
    code = PFERR_GUEST_FINAL_MASK | {READ: 0, WRITE: PFERR_WRITE_MASK, FETCH: PFERR_FETCH_MASK}[kind]
    if vm.mode.ept:
        if kind == READ:
            code |= PFERR_USER_MASK
        return code | (PFERR_PRESENT_MASK if granted else 0)
    code |= PFERR_USER_MASK
    if stopped == "reserved":
        return code | PFERR_PRESENT_MASK | PFERR_RSVD_MASK
    return code if stopped else code | PFERR_PRESENT_MASK


def _hardware_ad(vm: Vm, vcpu: KvmVcpu) -> bool:
    """Whether the processor sets Accessed and Dirty: with NPT always, with EPT if KVM enables it.

    For L2, KVM enables it if L1 has.
    """
    if vcpu.guest_mode and vcpu.ngpa_walk.ad_disabled:
        return False
    return not vm.mode.ept or bool(vm.mode.ad_bits)


def _dirty_bit(vm: Vm) -> int:
    return VMX_EPT_DIRTY_BIT if vm.mode.ept else PT_DIRTY_MASK


def _accessed_bit(vm: Vm) -> int:
    return VMX_EPT_ACCESS_BIT if vm.mode.ept else PT_ACCESSED_MASK


def _log_page_modification(vm: Vm, vcpu: KvmVcpu, gfn: int) -> None:
    """Dirty was newly set: with PML enabled, append the gfn to the buffer; a full buffer causes an exit.

    PML is off while L2 runs, whose addresses are not L1's.
    """
    if vcpu.pml_enabled and not vcpu.guest_mode:
        vcpu.pml_buffer.append(gfn)
        if len(vcpu.pml_buffer) == PML_ENTRIES:
            drain_pml(vm, vcpu)
