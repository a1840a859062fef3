# SPDX-License-Identifier: GPL-2.0-only
"""The level at which a gfn is mapped: what the memslot, the host and the NX mitigation allow."""

from __future__ import annotations

from conformance.model.changes import NX_TAG_DECIDES
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_4K
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.kvm_page_fault import KvmPageFault
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.vm import Vm

__all__ = ["disallowed_hugepage_adjust", "kvm_mmu_hugepage_adjust", "kvm_mmu_max_mapping_level"]


def host_pfn_mapping_level(vm: Vm, slot: KvmMemorySlot, gfn: int) -> int:
    """The level at which the host maps the page of ``gfn``; 4 KiB if the page is not present."""
    found = vm.host.read_pte(slot.host_page(gfn))
    return found[1] if found is not None else PG_LEVEL_4K


def kvm_mmu_max_mapping_level(vm: Vm, slot: KvmMemorySlot, gfn: int, max_level: int = PG_LEVEL_1G) -> int:
    """The largest level at which ``gfn`` can be mapped: what the memslot allows, and the host's own level.

    KVM never maps a larger page than the host does, since the host can invalidate each of its pages
    separately; nor one that contains a table of the guest which is shadowed.
    """
    slot_level = slot.largest_level(gfn, max_level)
    while slot_level > PG_LEVEL_4K and _contains_shadowed(vm, slot, gfn, slot_level):
        slot_level -= 1
    if slot_level == PG_LEVEL_4K:
        return PG_LEVEL_4K
    return min(host_pfn_mapping_level(vm, slot, gfn), slot_level)


def _contains_shadowed(vm: Vm, slot: KvmMemorySlot, gfn: int, level: int) -> bool:
    """Whether shadow paging forbids a page of ``level`` for ``gfn``."""
    disallowed = vm.shadow.disallow_lpage
    return bool(disallowed) and disallowed[slot.as_id, slot.id, level, gfn >> 9 * (level - 1)] > 0


def kvm_mmu_hugepage_adjust(vm: Vm, fault: KvmPageFault) -> None:
    """Set ``goal_level``: 4 KiB while writes are logged, and for a fetch under the NX mitigation.

    ``req_level`` is the level without the mitigation, so that the table that replaces a huge page because of
    the mitigation can be zapped later.
    """
    fault.huge_page_disallowed = fault.exec and vm.nx_huge_pages
    if fault.max_level == PG_LEVEL_4K or fault.slot is None or fault.slot.dirty_track_enabled:
        return
    fault.req_level = kvm_mmu_max_mapping_level(vm, fault.slot, fault.gfn, fault.max_level)
    if fault.req_level == PG_LEVEL_4K or fault.huge_page_disallowed:
        return
    fault.goal_level = fault.req_level
    fault.pfn &= -pages_per(fault.goal_level)


def disallowed_hugepage_adjust(vm: Vm, fault: KvmPageFault, spte: int, level: int) -> None:
    """Lower ``goal_level`` by one if the walk is at it and finds a table that the NX mitigation requires.

    Otherwise a data access would replace that table by a huge page, which the next fetch would split again.
    Until v6.2 any table counted as required by the mitigation.
    """
    child = vm.memory.child(spte, level)
    if level == PG_LEVEL_4K or level != fault.goal_level or child is None:
        return
    if vm.k.has(NX_TAG_DECIDES) and not child.nx_huge_page_disallowed:
        return
    fault.pfn |= fault.gfn & pages_per(level) - pages_per(level - 1)
    fault.goal_level -= 1
