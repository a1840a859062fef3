# SPDX-License-Identifier: GPL-2.0-only
"""How large a page may be mapped: what slot, host and the NX mitigation allow."""

from __future__ import annotations

from conformance.model.changes import NX_TAG_DECIDES
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_4K
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.kvm_page_fault import KvmPageFault
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.vm import Vm

__all__ = ["disallowed_hugepage_adjust", "kvm_mmu_hugepage_adjust", "kvm_mmu_max_mapping_level"]


def host_pfn_mapping_level(vm: Vm, slot: KvmMemorySlot, gfn: int) -> int:
    """The level at which the host maps the page behind ``gfn`` now; 4 KiB if it does not."""
    found = vm.host.read_pte(slot.host_page(gfn))
    return found[1] if found is not None else PG_LEVEL_4K


def kvm_mmu_max_mapping_level(vm: Vm, slot: KvmMemorySlot, gfn: int) -> int:
    """The largest level at which ``gfn`` can be mapped: in the slot, and in one piece in the host too.

    KVM never makes a page larger than the host has it, for the host says by notifiers what becomes of its
    pages as it has them.
    """
    level = slot.largest_level(gfn, PG_LEVEL_1G)
    return level if level == PG_LEVEL_4K else min(host_pfn_mapping_level(vm, slot, gfn), level)


def kvm_mmu_hugepage_adjust(vm: Vm, fault: KvmPageFault) -> None:
    """Choose the level to map at: 4 KiB while writes are logged, and for a fetch under the NX mitigation.

    Under the mitigation ``req_level`` keeps what could have been, to know later whether a small page stands
    where a huge one could.
    """
    fault.huge_page_disallowed = fault.exec and vm.nx_huge_pages
    if fault.slot is None or fault.slot.dirty_track_enabled:
        return
    fault.req_level = kvm_mmu_max_mapping_level(vm, fault.slot, fault.gfn)
    if fault.req_level == PG_LEVEL_4K or fault.huge_page_disallowed:
        return
    fault.goal_level = fault.req_level
    fault.pfn &= -pages_per(fault.goal_level)


def disallowed_hugepage_adjust(vm: Vm, fault: KvmPageFault, spte: int, level: int) -> None:
    """Do not replace a table that the NX mitigation made by a huge page: go down into it, a level at a time.

    Until v6.2 any table that was there counted as such.
    """
    child = vm.memory.child(spte, level)
    if level == PG_LEVEL_4K or level != fault.goal_level or child is None:
        return
    if vm.k.has(NX_TAG_DECIDES) and not child.nx_huge_page_disallowed:
        return
    fault.pfn |= fault.gfn & pages_per(level) - pages_per(level - 1)
    fault.goal_level -= 1
