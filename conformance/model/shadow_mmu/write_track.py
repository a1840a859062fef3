# SPDX-License-Identifier: GPL-2.0-only
"""Write tracking: which gfns hold tables of the guest that KVM shadows, so that writes must be intercepted.

Upper tables (level 2 and above) are write-tracked: all SPTEs for them are read-only, always. A table of
level 1 may become unsync (see ``unsync``), but neither may be part of a huge page.
"""

from __future__ import annotations

from conformance.model.changes import WRITE_TRACKED_IN_ALL_ADDRESS_SPACES
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_2M
from conformance.model.vm.kvm_page_fault import KvmPageFault
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.vm import Vm

__all__ = [
    "kvm_gfn_is_write_tracked",
    "page_fault_handle_page_track",
    "update_gfn_disallow_lpage_count",
    "update_gfn_write_track",
]


def kvm_gfn_is_write_tracked(vm: Vm, slot: KvmMemorySlot | None, gfn: int) -> bool:
    """Whether a table is shadowed at ``gfn`` that must stay read-only. Without a memslot it is not.

    Both address spaces may map the same host page, so since v7.2 both are looked at.
    """
    if slot is None:
        return False
    if vm.shadow.write_track(slot.as_id, gfn):
        return True
    in_all = vm.k.has(WRITE_TRACKED_IN_ALL_ADDRESS_SPACES)
    return in_all and bool(vm.shadow.write_track(slot.as_id ^ 1, gfn))


def page_fault_handle_page_track(vm: Vm, fault: KvmPageFault) -> bool:
    """Whether the guest writes a table that is read-only as long as KVM shadows it: no SPTE can allow it."""
    if fault.rsvd or not fault.present or not fault.write:
        return False
    return kvm_gfn_is_write_tracked(vm, fault.slot, fault.gfn)


def update_gfn_write_track(vm: Vm, slot: KvmMemorySlot, gfn: int, count: int) -> None:
    """One more reason, or one less, to keep ``gfn`` read-only; none of its huge pages may be mapped then."""
    tracked = vm.shadow.write_track(slot.as_id, gfn, count)
    vm.k.warn_on("update_gfn_write_track", tracked < 0)
    update_gfn_disallow_lpage_count(vm, slot, gfn, count)


def update_gfn_disallow_lpage_count(vm: Vm, slot: KvmMemorySlot, gfn: int, count: int) -> None:
    """One more reason, or one less, not to map ``gfn`` by a page of 2 MiB or 1 GiB.

    Each memslot counts by itself, also where two of them lie in the same page.
    """
    for level in (PG_LEVEL_2M, PG_LEVEL_1G):
        unit = slot.as_id, slot.id, level, gfn >> 9 * (level - 1)
        vm.shadow.disallow_lpage[unit] += count
        vm.k.warn_on("update_gfn_disallow_lpage_count", vm.shadow.disallow_lpage[unit] < 0)
