# SPDX-License-Identifier: GPL-2.0-only
"""What a shadow page counts for while it exists: a table of the guest that must not be written unseen, and a
table that only the NX mitigation requires."""

from __future__ import annotations

from conformance.model.changes import NX_TAGGED_ALWAYS
from conformance.model.layout import PG_LEVEL_4K
from conformance.model.shadow_mmu.write_protect import kvm_mmu_slot_gfn_write_protect
from conformance.model.shadow_mmu.write_track import update_gfn_disallow_lpage_count, update_gfn_write_track
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import Vm

__all__ = ["account_nx_huge_page", "account_shadowed", "unaccount_nx_huge_page", "unaccount_shadowed"]


def account_shadowed(vm: Vm, sp: ShadowPage) -> None:
    """The page shadows a table of the guest, which is write-protected; an upper one stays so."""
    vm.shadow.indirect_shadow_pages += 1
    slot = _memslot(vm, sp)
    if sp.level > PG_LEVEL_4K:
        update_gfn_write_track(vm, slot, sp.gfn, 1)
    else:
        update_gfn_disallow_lpage_count(vm, slot, sp.gfn, 1)
    if kvm_mmu_slot_gfn_write_protect(vm, slot, sp.gfn, PG_LEVEL_4K):
        kvm_flush_remote_tlbs(vm)


def unaccount_shadowed(vm: Vm, sp: ShadowPage) -> None:
    """The page no longer shadows the table: faults may map it writable again."""
    vm.shadow.indirect_shadow_pages -= 1
    if sp.level > PG_LEVEL_4K:
        update_gfn_write_track(vm, _memslot(vm, sp), sp.gfn, -1)
    else:
        update_gfn_disallow_lpage_count(vm, _memslot(vm, sp), sp.gfn, -1)


def _memslot(vm: Vm, sp: ShadowPage) -> KvmMemorySlot:
    """The memslot of the table: it exists for as long as the page does."""
    slot = vm.memslots[sp.as_id].gfn_to_memslot(sp.gfn)
    assert slot is not None
    return slot


def account_nx_huge_page(vm: Vm, sp: ShadowPage, possible: bool) -> None:
    """The page was made for a fetch, for which the NX mitigation forbids a huge page.

    If a huge page would be ``possible`` without it, the worker may zap the page later. Before
    NX_TAGGED_ALWAYS only such pages were marked.
    """
    if sp.nx_huge_page_disallowed and not vm.k.has(NX_TAGGED_ALWAYS):
        return
    if possible or vm.k.has(NX_TAGGED_ALWAYS):
        sp.nx_huge_page_disallowed = True
    if possible and sp not in vm.possible_nx_huge_pages:
        vm.change_nx_huge_pages()
        vm.possible_nx_huge_pages.append(sp)
        vm.nx_lpage_splits += 1


def unaccount_nx_huge_page(vm: Vm, sp: ShadowPage) -> None:
    """The page is zapped, or a huge page may replace it."""
    sp.nx_huge_page_disallowed = False
    if sp in vm.possible_nx_huge_pages:
        vm.change_nx_huge_pages()
        vm.possible_nx_huge_pages.remove(sp)
        vm.nx_lpage_splits -= 1
