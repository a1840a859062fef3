# SPDX-License-Identifier: GPL-2.0-only
"""A fault on an address that tables translate which KVM shadows: the guest's, or L1's nested ones."""

from __future__ import annotations

from conformance.model.changes import (
    FAST_FAULT_DIRECT_ONLY,
    NO_SELF_CHANGE_MAPPING,
    TRACKED_UNLESS_RSVD,
    WRITE_PF_TO_SP_IN_FETCH,
)
from conformance.model.guest_paging import self_mapping
from conformance.model.guest_tables.walker import GuestWalker, walk_addr
from conformance.model.layout import PG_LEVEL_4K
from conformance.model.page_fault.fast_page_fault import fast_page_fault
from conformance.model.page_fault.faultin import kvm_mmu_faultin_pfn
from conformance.model.page_fault.inject import kvm_inject_emulated_page_fault
from conformance.model.page_fault.stale import make_room_unless_stale
from conformance.model.shadow_mmu.fetch import fetch
from conformance.model.shadow_mmu.shadow_walk import for_each_shadow_entry_lockless, walk_shadow_page_lockless
from conformance.model.shadow_mmu.write_track import page_fault_handle_page_track
from conformance.model.vm.host_marks import kvm_release_faultin_page
from conformance.model.vm.kvm_page_fault import PFERR_RSVD_MASK, KvmPageFault, RetPf, write_protected
from conformance.model.vm.kvm_pagewalk import X86Exception
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["paging_page_fault"]


def paging_page_fault(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf:
    """Handle the fault: inject it if it is the guest's, else shadow the tables and map the page.

    RETRY if the guest gets the exception. There is no fast path, unless FAST_FAULT_DIRECT_ONLY is left out:
    under a lockless fault the guest could map another gfn. A reserved bit that the processor met is one of
    KVM's own MMIO SPTEs, not the guest's; before TRACKED_UNLESS_RSVD all forgot it at once.
    """
    if not vm.k.has(TRACKED_UNLESS_RSVD):
        fault.error_code &= ~PFERR_RSVD_MASK
    found = walk_addr(vm, vcpu, vcpu.mmu.w, fault.addr, fault.error_code & ~PFERR_RSVD_MASK)
    if isinstance(found, X86Exception):
        kvm_inject_emulated_page_fault(vm, vcpu, found)
        return RetPf.RETRY
    fault.gfn, fault.slot = found.gfn, vm.slot_of(vcpu, found.gfn)
    if page_fault_handle_page_track(vm, fault):
        shadow_page_table_clear_flood(vm, vcpu, fault.addr)
        return write_protected(vm.k)
    if not vm.k.has(FAST_FAULT_DIRECT_ONLY):
        r = fast_page_fault(vm, vcpu, fault)
        if r is not RetPf.INVALID:
            return r
    fault.max_level = found.level
    if not vm.k.has(NO_SELF_CHANGE_MAPPING) and is_self_change_mapping(vm, vcpu, found, fault):
        fault.max_level = PG_LEVEL_4K
    r = kvm_mmu_faultin_pfn(vm, vcpu, fault, found.pte_access)
    if r is not RetPf.CONTINUE:
        return r
    allow_supervisor_write(vm, vcpu, found, fault)

    faultin_pfn = fault.pfn
    with vm.mmu_lock.for_write:
        r = _shadow(vm, vcpu, fault, found)
        kvm_release_faultin_page(vm, faultin_pfn, fault.map_writable, unused=r is RetPf.RETRY)
    return r


def shadow_page_table_clear_flood(vm: Vm, vcpu: KvmVcpu, address: int) -> None:
    """The pages that translate ``address`` are in use: writes to their tables are counted from 0 again."""
    with walk_shadow_page_lockless(vm, vcpu):
        for (sp, _), _ in for_each_shadow_entry_lockless(vm, vcpu, address):
            assert isinstance(sp, ShadowPage)
            sp.write_flooding_count = 0


def is_self_change_mapping(vm: Vm, vcpu: KvmVcpu, walker: GuestWalker, fault: KvmPageFault) -> bool:
    """Whether the guest's page, if it can be written, contains a table that translates the address itself.

    Until WRITE_PF_TO_SP_IN_FETCH this notes too whether the gfn of the fault is such a table.
    """
    contains, itself = self_mapping.is_self_change_mapping(
        vm.k,
        walker.gfn,
        walker.table_gfn,
        level=walker.level,
        max_level=walker.max_level,
        pte_access=walker.pte_access,
        cr0_wp=bool(vcpu.mmu.w.cpu_role.cr0_wp),
        user=fault.user,
    )
    if itself and not vm.k.has(WRITE_PF_TO_SP_IN_FETCH):
        fault.write_fault_to_shadow_pgtable = True
    return bool(contains)


def allow_supervisor_write(vm: Vm, vcpu: KvmVcpu, walker: GuestWalker, fault: KvmPageFault) -> None:
    """With CR0.WP clear, a write by the supervisor to a read-only page makes it writable, but not for users.

    The processor always runs with CR0.WP, so the page is the supervisor's until a user accesses it. With SMEP
    the supervisor must not execute it. The rights of emulated MMIO stay as the guest's tables have them.
    """
    role, bits = vcpu.mmu.w.cpu_role, vm.k.layout
    read_only = not walker.pte_access & bits.acc_write_mask
    if not (fault.write and read_only and not role.cr0_wp and not fault.user and fault.slot is not None):
        return
    walker.pte_access = (walker.pte_access | bits.acc_write_mask) & ~bits.acc_user_mask
    if role.cr4_smep:
        walker.pte_access &= ~bits.acc_exec_mask


def _shadow(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault, walker: GuestWalker) -> RetPf:
    """Map the page if shadow pages are available and nothing has changed since the page was looked up."""
    r = make_room_unless_stale(vm, vcpu, fault)
    return fetch(vm, vcpu, fault, walker) if r is RetPf.CONTINUE else r
