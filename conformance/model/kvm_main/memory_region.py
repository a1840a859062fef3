# SPDX-License-Identifier: GPL-2.0-only
"""KVM_SET_USER_MEMORY_REGION: creating, moving and deleting memslots, and enabling dirty logging.

No translation may remain for a memslot that is deleted or moved. KVM first marks the memslot invalid, so that
faults on it retry, then zaps all mappings, and then installs the new set of memslots. Each installation of a
set increases the memslots' generation.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from conformance.model.changes import (
    DIRTY_NOT_SET_AFTER_LOGGING,
    FLUSHED_WHEN_LOGGING_BEGINS,
    HUGE_PAGES_PROTECTED_LAZILY,
    LIMIT_ONLY_IF_SIZE_CHANGES,
    MMIO_WRAP_IFF_CACHING,
    PML_BY_VM,
    SLOTS_WAIT_FOR_INVALIDATIONS,
)
from conformance.model.layout import PG_LEVEL_2M, PG_LEVEL_4K
from conformance.model.shadow_mmu.huge_pages import (
    kvm_mmu_recover_huge_pages,
    kvm_mmu_slot_try_split_huge_pages,
)
from conformance.model.shadow_mmu.limits import kvm_mmu_change_mmu_pages, kvm_mmu_default_limit
from conformance.model.shadow_mmu.write_protect import (
    kvm_mmu_slot_leaf_clear_dirty,
    kvm_mmu_slot_remove_write_access,
    kvm_mmu_slot_set_dirty,
)
from conformance.model.shadow_mmu.zap_all import kvm_mmu_zap_all_fast
from conformance.model.spte.mmio import KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.host import EINVAL
from conformance.model.vm.memslots import (
    KVM_ADDRESS_SPACE_NUM,
    KVM_MEM_LOG_DIRTY_PAGES,
    KVM_MEM_READONLY,
    KVM_MEMSLOT_INVALID,
    KvmMemorySlot,
    KvmMemslots,
)
from conformance.model.vm.pml import kick_vcpus
from conformance.model.vm.scheduler import current
from conformance.model.vm.vm import Request, Vm

__all__ = ["EEXIST", "kvm_set_memory_region"]

EEXIST = 17

KVM_USER_MEM_SLOTS = 32764
"""The number of memslots that userspace may use; KVM uses those above itself."""


class KvmMrChange(Enum):
    """How a memslot changes: KVM_MR_*."""

    CREATE = "create"
    DELETE = "delete"
    MOVE = "move"
    FLAGS_ONLY = "flags only"


def kvm_set_memory_region(
    vm: Vm, *, slot: int, as_id: int, gfn: int, npages: int, page: int, flags: int
) -> int:
    """Create, change or (``npages`` 0) delete the memslot; return 0 or a negative errno.

    Only ``gfn`` and the flag for dirty logging of an existing memslot can change.
    """
    with vm.slots_lock.for_write:
        r, removed = _set_memory_region(vm, slot, as_id, gfn, npages, page, flags)
    if removed is not None:
        current.scheduler.note(("slot gone", slot), frames=(removed.base_gfn, removed.end_gfn))
    return r


def _set_memory_region(
    vm: Vm, slot: int, as_id: int, gfn: int, npages: int, page: int, flags: int
) -> tuple[int, KvmMemorySlot | None]:
    """The part under slots_lock (__kvm_set_memory_region()); return also the memslot deleted or moved."""
    if flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY):
        return -EINVAL, None
    if not 0 <= as_id < KVM_ADDRESS_SPACE_NUM or not 0 <= slot < KVM_USER_MEM_SLOTS:
        return -EINVAL, None
    memslots = vm.memslots[as_id]
    old = memslots.slots.get(slot)
    if not npages:
        if old is None:
            return -EINVAL, None
        return kvm_set_memslot(vm, old, None, KvmMrChange.DELETE), old

    new = KvmMemorySlot(as_id, slot, gfn, npages, page, flags)
    change = KvmMrChange.CREATE
    if old is not None:
        if page != old.page or npages != old.npages or (flags ^ old.flags) & KVM_MEM_READONLY:
            return -EINVAL, None
        if gfn == old.base_gfn and flags == old.flags:
            return 0, None
        change = KvmMrChange.MOVE if gfn != old.base_gfn else KvmMrChange.FLAGS_ONLY
    if change is not KvmMrChange.FLAGS_ONLY and memslots.overlaps(slot, new.base_gfn, new.end_gfn):
        return -EEXIST, None
    r = kvm_set_memslot(vm, old, new, change)
    moved = r == 0 and change is KvmMrChange.MOVE
    return r, old if moved else None


def kvm_set_memslot(vm: Vm, old: KvmMemorySlot | None, new: KvmMemorySlot | None, change: KvmMrChange) -> int:
    """Install the changed set of memslots; return 0 or a negative errno.

    If a move fails, the old memslot is reinstalled, and its mappings have been zapped.
    """
    slot = new if new is not None else old
    assert slot is not None
    as_id, slots = slot.as_id, vm.memslots[slot.as_id].slots
    if old is not None and change in (KvmMrChange.DELETE, KvmMrChange.MOVE):
        invalid = replace(old, flags=old.flags | KVM_MEMSLOT_INVALID)
        kvm_swap_active_memslots(vm, as_id, slots | {old.id: invalid})
        kvm_mmu_zap_all_fast(vm)
    if new is not None:
        _prepare_dirty_bitmap(vm, old, new)
        if change is not KvmMrChange.FLAGS_ONLY and new.end_gfn > vm.end_gfn:
            if change is KvmMrChange.MOVE:
                kvm_swap_active_memslots(vm, as_id, slots)
            return -EINVAL
        slots = slots | {new.id: new}
    else:
        slots = {n: other for n, other in slots.items() if other is not old}
    kvm_swap_active_memslots(vm, as_id, slots)
    resized = change in (KvmMrChange.CREATE, KvmMrChange.DELETE) or not vm.k.has(LIMIT_ONLY_IF_SIZE_CHANGES)
    if resized and not vm.shadow.n_requested_mmu_pages:
        kvm_mmu_change_mmu_pages(vm, kvm_mmu_default_limit(vm))
    kvm_mmu_slot_apply_flags(vm, old, new, change)
    return 0


def _prepare_dirty_bitmap(vm: Vm, old: KvmMemorySlot | None, new: KvmMemorySlot) -> None:
    """Allocate the dirty bitmap of a logged memslot; one that was logged before keeps its bitmap."""
    if not new.dirty_track_enabled:
        return
    if old is not None and old.dirty_bitmap is not None:
        new.dirty_bitmap = old.dirty_bitmap
    else:
        new.new_dirty_bitmap(vm.dirty_log_initially_set)


def kvm_swap_active_memslots(vm: Vm, as_id: int, slots: dict[int, KvmMemorySlot]) -> None:
    """Install the memslots of an address space, and wait for readers of the old set (SRCU).

    KVM waits until no invalidation is in progress, so that its start and end see the same memslots. The
    generation has the in-progress flag until readers are gone. vCPUs are kicked so that they use the new
    memslots.
    """
    generation = vm.memslots[as_id].generation
    memslots = KvmMemslots(as_id, generation | KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS, slots)
    vm.set_active_memslots(as_id, memslots, waits=vm.k.has(SLOTS_WAIT_FOR_INVALIDATIONS))
    vm.srcu.synchronize()
    generation += KVM_ADDRESS_SPACE_NUM
    kvm_mmu_invalidate_mmio_sptes(vm, generation)
    kick_vcpus(vm)
    memslots.generation = generation


def kvm_mmu_invalidate_mmio_sptes(vm: Vm, generation: int) -> None:
    """MMIO SPTEs are stale with the new generation of memslots, of which they hold only the low bits.

    When these wrap, an old MMIO SPTE would look current, so all mappings are zapped.
    """
    if vm.k.has(MMIO_WRAP_IFF_CACHING) and not vm.k.enable_mmio_caching:
        return
    mmio_generation = generation & vm.k.layout.mmio_gen_mask
    if mmio_generation & ~(KVM_ADDRESS_SPACE_NUM - 1) == 0:
        kvm_mmu_zap_all_fast(vm)


def kvm_mmu_slot_apply_flags(
    vm: Vm, old: KvmMemorySlot | None, new: KvmMemorySlot | None, change: KvmMrChange
) -> None:
    """Prepare the memslot's SPTEs after dirty logging was enabled or disabled.

    A memslot that was created, moved or deleted has no SPTEs, and a read-only one has no writable SPTEs.
    """
    was_logged = old is not None and old.dirty_track_enabled
    is_logged = new is not None and new.dirty_track_enabled
    if was_logged != is_logged:
        kvm_mmu_update_cpu_dirty_logging(vm, is_logged)
    if change is not KvmMrChange.FLAGS_ONLY or new is None or new.readonly:
        return
    if is_logged:
        (_enable_logging if vm.k.has(FLUSHED_WHEN_LOGGING_BEGINS) else _enable_logging_and_flush)(vm, new)
        return
    kvm_mmu_recover_huge_pages(vm, new)
    if vm.has_pml and not vm.k.has(DIRTY_NOT_SET_AFTER_LOGGING):
        kvm_mmu_slot_set_dirty(vm, new)


def _enable_logging(vm: Vm, slot: KvmMemorySlot) -> None:
    """Prepare SPTEs so that the next write to each page is recorded: split huge pages, then write-protect.

    If all pages are dirty when logging begins, nothing is done: pages are write-protected when their bits are
    cleared. With PML, Dirty is cleared instead of W of 4 KiB leaves. TLBs are always flushed once at the end,
    since a TLB may hold a writable translation even if W is clear in the SPTE.
    """
    if vm.dirty_log_initially_set:
        return
    if vm.options.eager_page_split:
        kvm_mmu_slot_try_split_huge_pages(vm, slot, PG_LEVEL_4K)
    if vm.has_pml:
        kvm_mmu_slot_leaf_clear_dirty(vm, slot)
    kvm_mmu_slot_remove_write_access(vm, slot, PG_LEVEL_2M if vm.has_pml else PG_LEVEL_4K)
    kvm_flush_remote_tlbs(vm)


def _enable_logging_and_flush(vm: Vm, slot: KvmMemorySlot) -> None:
    """The same before FLUSHED_WHEN_LOGGING_BEGINS, with a flush after each pass that needs one.

    Before HUGE_PAGES_PROTECTED_LAZILY huge leaves were protected also if all pages are dirty.
    """
    if vm.dirty_log_initially_set and vm.k.has(HUGE_PAGES_PROTECTED_LAZILY):
        return
    if vm.has_pml and not vm.dirty_log_initially_set and kvm_mmu_slot_leaf_clear_dirty(vm, slot):
        kvm_flush_remote_tlbs(vm)
    huge_only = vm.has_pml or vm.dirty_log_initially_set
    if kvm_mmu_slot_remove_write_access(vm, slot, PG_LEVEL_2M if huge_only else PG_LEVEL_4K):
        kvm_flush_remote_tlbs(vm)


def kvm_mmu_update_cpu_dirty_logging(vm: Vm, enable: bool) -> None:
    """Request that vCPUs enable PML when the first memslot is logged, and disable it after the last.

    Before PML_BY_VM it is always enabled.
    """
    if not vm.has_pml or not vm.k.has(PML_BY_VM):
        return
    vm.cpu_dirty_logging_count += 1 if enable else -1
    if vm.cpu_dirty_logging_count == (1 if enable else 0):
        vm.make_all_cpus_request(Request.UPDATE_CPU_DIRTY_LOGGING)
