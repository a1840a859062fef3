# SPDX-License-Identifier: GPL-2.0-only
"""make_spte() for a VM: the leaf that maps a host page, with what the VM's state adds to it."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.model.changes import ACCESSED_IF_SYNCHRONIZING
from conformance.model.layout import VMX_EPT_IPAT_BIT
from conformance.model.spte.writability import is_writable_pte
from conformance.model.vm.cells import peek
from conformance.model.vm.memslots import KvmMemorySlot, mark_page_dirty_in_slot
from conformance.model.vm.vm import Vm

__all__ = ["make_leaf_spte"]

MTRR_TYPE_WRBACK = 6
EPT_WRITE_BACK = MTRR_TYPE_WRBACK << 3 | VMX_EPT_IPAT_BIT
"""The memory type of RAM under EPT: write-back, and the guest's PAT is ignored.

The VM has no device with non-coherent DMA, for which KVM would honour the guest's memory types.
"""


def make_leaf_spte(
    vm: Vm,
    slot: KvmMemorySlot,
    *,
    access: int,
    gfn: int,
    pfn: int,
    old_spte: int,
    level: int,
    ad_disabled: bool,
    host_writable: bool,
    guest_mode: bool = False,
    prefetch: bool = False,
    synchronizing: bool = False,
) -> tuple[int, bool]:
    """The leaf, and whether it is write-protected although ``access`` and the host allow writes.

    That is so for a table of the guest that KVM shadows, and that cannot become unsync. If the leaf is
    writable and the memslot is logged, the page is marked dirty.
    """
    k = vm.k
    arguments = {
        "access": access,
        "gfn": gfn,
        "pfn": pfn,
        "old_spte": old_spte,
        "level": level,
        "prefetch": prefetch,
        "can_unsync": synchronizing if k.has(ACCESSED_IF_SYNCHRONIZING) else not synchronizing,
        "host_writable": host_writable,
        "ad_disabled": ad_disabled,
        "guest_mode": guest_mode,
        "pml": vm.has_pml,
        "pfn_is_ram": True,
        "dirty_log": slot.dirty_track_enabled,
        "nx_huge_pages": vm.nx_huge_pages,
        "mt_mask": EPT_WRITE_BACK if k.get_mt_mask else 0,
        "rsvd_bits": 0,
        "bad_mt_xwr": 0,
    }
    before = len(k.events)
    made = vm.make_spte(k, **arguments, unsync_fails=False)
    happened = k.events[before:]
    if peek(vm.shadow, "indirect_shadow_pages") and _asks_to_unsync(happened):
        # Other threads may run meanwhile, and have events of their own.
        del k.events[before:]
        if vm.mmu_try_to_unsync_pages(vm, slot, gfn, synchronizing=synchronizing, prefetch=prefetch):
            k.events += happened
        else:
            made = vm.make_spte(k, **arguments, unsync_fails=True)
    new_spte = int(made.new_spte)
    if is_writable_pte(new_spte):
        mark_page_dirty_in_slot(slot, gfn)
    return new_spte, bool(made.value)


def _asks_to_unsync(events: Sequence[tuple[str, object]]) -> bool:
    """Whether make_spte() asked whether the gfn may be mapped writable."""
    names = ("call mmu_try_to_unsync_pages", "call mmu_need_write_protect")
    return any(truth for event, truth in events if event in names)
