# SPDX-License-Identifier: GPL-2.0-only
"""Emulated writes to a table of the guest: the SPTEs made from the written entries are zapped.

KVM emulates a write to a gfn that it keeps read-only, and calls this after it has written. A gfn that the
guest keeps writing, or writes in odd sizes, is probably no table any more: its pages are zapped, after which
the guest may write it without exits.
"""

from __future__ import annotations

from conformance.model.changes import ORPHANS_ZAPPED_ON_WRITE
from conformance.model.guest_paging import written_gptes
from conformance.model.guest_paging.cpu_role import CR4_PAE
from conformance.model.layout import PAGE_SHIFT, PG_LEVEL_4K
from conformance.model.shadow_mmu.lookup import for_each_gfn_valid_sp_with_gptes
from conformance.model.shadow_mmu.zap import (
    kvm_mmu_flush_or_zap,
    kvm_mmu_prepare_zap_page,
    mmu_page_zap_pte,
)
from conformance.model.spte.predicates import is_shadow_present_pte
from conformance.model.vm.guest_memory import kvm_vcpu_read_guest_atomic
from conformance.model.vm.pte_list import Sptep
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["kvm_mmu_track_write"]

PAGE_SIZE = 1 << PAGE_SHIFT


def kvm_mmu_track_write(vm: Vm, vcpu: KvmVcpu, gpa: int, size: int) -> None:
    """Zap what was made from the entries at ``gpa``, of which ``size`` bytes were written.

    Called kvm_mmu_pte_write() until commit 932844462ae3 ("KVM: x86/mmu: Don't bounce through page-track
    mechanism for guest PTEs") in v6.6.
    """
    if not vm.shadow.indirect_shadow_pages:
        return
    with vm.mmu_lock.for_write:
        gfn = gpa >> PAGE_SHIFT
        gpa, size, gentry = mmu_pte_write_fetch_gpte(vm, vcpu, gpa, size)
        vm.shadow.mmu_pte_write += 1
        invalid_list: list[ShadowPage] = []
        flush = touched = False
        for sp in for_each_gfn_valid_sp_with_gptes(vm, gfn):
            if detect_write_misaligned(sp, gpa, size) or detect_write_flooding(sp):
                kvm_mmu_prepare_zap_page(vm, sp, invalid_list)
                vm.shadow.mmu_flooded += 1
                continue
            for sptep in get_written_sptes(sp, gpa):
                touched = True
                flush |= bool(is_shadow_present_pte(vm.k, sp.read(sptep.at)))
                mmu_page_zap_pte(vm, sptep, invalid_list if vm.k.has(ORPHANS_ZAPPED_ON_WRITE) else None)
                if gentry and sp.level != PG_LEVEL_4K:
                    vm.shadow.mmu_pde_zapped += 1
        kvm_mmu_flush_or_zap(vm, vcpu, invalid_list, remote_flush=flush, local_flush=touched)


def mmu_pte_write_fetch_gpte(vm: Vm, vcpu: KvmVcpu, gpa: int, size: int) -> tuple[int, int, int]:
    """Where and how much was written, as whole entries, and the new entry; 0 if it cannot be read.

    A guest may write the halves of an entry of 8 bytes one after the other. Whether its entries have 8 bytes
    is taken from CR4.PAE as it is now, whatever it was when the page was shadowed.
    """
    if vcpu.cr4 & CR4_PAE and size == 4:
        gpa, size = gpa & ~7, 8
    if size not in (4, 8):
        return gpa, size, 0
    found = kvm_vcpu_read_guest_atomic(vm, vcpu, gpa, size)
    return gpa, size, found[0] if found is not None else 0


def detect_write_misaligned(sp: ShadowPage, gpa: int, size: int) -> bool:
    """Whether the write is not to one entry."""
    short = bool(sp.role.has_4_byte_gpte)
    return bool(
        written_gptes.detect_write_misaligned(has_4_byte_gpte=short, offset=gpa % PAGE_SIZE, size=size)
    )


def detect_write_flooding(sp: ShadowPage) -> bool:
    """Count a write; whether it is the third since a fault last walked through the page."""
    if sp.level == PG_LEVEL_4K:
        return False
    flooded, count = written_gptes.detect_write_flooding(sp.level, sp.write_flooding_count)
    sp.write_flooding_count = int(count)
    return bool(flooded)


def get_written_sptes(sp: ShadowPage, gpa: int) -> list[Sptep]:
    """The SPTEs that were made from the entry at ``gpa``."""
    count, first = written_gptes.get_written_sptes(
        sp.level,
        has_4_byte_gpte=bool(sp.role.has_4_byte_gpte),
        quadrant=sp.role.quadrant,
        offset=gpa % PAGE_SIZE,
    )
    return [Sptep(sp, int(first) + n) for n in range(int(count))]
