# SPDX-License-Identifier: GPL-2.0-only
"""Memslots: which host pages back which gfns, and how large their mappings may be.

Each address space (0, and 1 for SMM) has its own set of memslots. A set has a generation, which changes
whenever the set does. MMIO SPTEs hold the generation, so a new memslot makes all of them stale without a
walk.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.interface.memory_access import Access
from conformance.model.layout import PG_LEVEL_4K
from conformance.model.vm.cells import Shared
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.places import BITMAPS, VM, place
from conformance.model.vm.scheduler import current

__all__ = [
    "KVM_ADDRESS_SPACE_NUM",
    "KVM_MEMSLOT_INVALID",
    "KVM_MEM_LOG_DIRTY_PAGES",
    "KVM_MEM_READONLY",
    "KvmMemorySlot",
    "KvmMemslots",
    "mark_page_dirty_in_slot",
]

KVM_ADDRESS_SPACE_NUM = 2
"""Address space 1 is used in system management mode."""

KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY = 1, 2
KVM_MEMSLOT_INVALID = 1 << 16
"""Internal to KVM: the memslot is about to be deleted or moved."""

BITS_PER_LONG = 64


@dataclass
class KvmMemorySlot:
    """``npages`` gfns from ``base_gfn``, backed by host pages from ``page``."""

    as_id: int
    id: int
    base_gfn: int
    npages: int
    page: int
    flags: int
    dirty_bitmap: list[int] | None = None
    """One bit per page, in words of 64 bits; None while writes are not logged."""

    @property
    def end_gfn(self) -> int:
        """The first gfn after the memslot."""
        return self.base_gfn + self.npages

    @property
    def end_page(self) -> int:
        """The first host page after the memslot."""
        return self.page + self.npages

    def contains(self, gfn: int) -> bool:
        """Whether the memslot covers ``gfn``."""
        return self.base_gfn <= gfn < self.base_gfn + self.npages

    def host_page(self, gfn: int) -> int:
        """The host page that backs ``gfn``."""
        return self.page + gfn - self.base_gfn

    def gfn_of(self, page: int) -> int:
        """The gfn that a host page of the memslot backs."""
        return self.base_gfn + page - self.page

    @property
    def invalid(self) -> bool:
        """Whether the memslot is about to be deleted or moved, so that no gfn of it may be mapped."""
        return bool(self.flags & KVM_MEMSLOT_INVALID)

    @property
    def readonly(self) -> bool:
        """Whether writes of the guest are emulated."""
        return bool(self.flags & KVM_MEM_READONLY)

    @property
    def dirty_track_enabled(self) -> bool:
        """Whether writes of the guest are logged, per 4 KiB page."""
        return bool(self.flags & KVM_MEM_LOG_DIRTY_PAGES)

    def disallow_lpage(self, gfn: int, level: int) -> bool:
        """Whether the memslot forbids a mapping of ``gfn`` at ``level``.

        A huge page must lie inside the memslot, and gfns and host pages must have the same offset in it.
        """
        size = pages_per(level)
        if (self.base_gfn ^ self.page) & size - 1:
            return True
        first = gfn & -size
        inside = first >= self.base_gfn and first + size <= self.end_gfn
        return not inside

    def largest_level(self, gfn: int, max_level: int) -> int:
        """The largest level, up to ``max_level``, at which the memslot allows a mapping of ``gfn``."""
        level = max_level
        while level > PG_LEVEL_4K and self.disallow_lpage(gfn, level):
            level -= 1
        return level

    def _access_bitmap(self, kind: int, word: int) -> list[int]:
        """Access one word of the bitmap; return the bitmap."""
        first = self.base_gfn + word * BITS_PER_LONG
        where = place(BITMAPS, self.as_id << 16 | self.id, word)
        current.scheduler.access_of_frames(kind, where, first, first + BITS_PER_LONG)
        assert self.dirty_bitmap is not None
        return self.dirty_bitmap

    def read_dirty(self, word: int) -> int:
        """A word of the dirty bitmap."""
        return self._access_bitmap(Access.READ, word)[word]

    def set_dirty(self, gfn: int) -> None:
        """Set the bit of ``gfn`` (set_bit_le())."""
        word, bit = divmod(gfn - self.base_gfn, BITS_PER_LONG)
        self._access_bitmap(Access.RMW, word)[word] |= 1 << bit

    def clear_dirty(self, word: int, mask: int) -> int:
        """Clear the bits of ``mask`` in a word; return those that were set."""
        bitmap = self._access_bitmap(Access.RMW, word)
        cleared = bitmap[word] & mask
        bitmap[word] &= ~mask
        return cleared

    def exchange_dirty(self, word: int) -> int:
        """Clear a word (xchg()); return its bits before."""
        return self.clear_dirty(word, (1 << BITS_PER_LONG) - 1)

    def zero_dirty(self, word: int) -> None:
        """Clear a word by a plain store."""
        self._access_bitmap(Access.WRITE, word)[word] = 0

    def new_dirty_bitmap(self, all_set: bool) -> None:
        """Allocate the bitmap, with all bits clear or, if ``all_set``, the bits of all pages set."""
        words = (self.npages + BITS_PER_LONG - 1) // BITS_PER_LONG
        self.dirty_bitmap = [(1 << BITS_PER_LONG) - 1 if all_set else 0] * words
        rest = self.npages % BITS_PER_LONG
        if all_set and rest:
            self.dirty_bitmap[-1] = (1 << rest) - 1


def mark_page_dirty_in_slot(slot: KvmMemorySlot | None, gfn: int) -> None:
    """Set the bit of ``gfn`` in the dirty bitmap, if the memslot's writes are logged."""
    if slot is not None and slot.dirty_track_enabled and slot.dirty_bitmap is not None:
        slot.set_dirty(gfn)


@dataclass
class KvmMemslots:
    """The memslots of one address space. A set is never modified; a change installs a new set.

    Generations of the two address spaces are never equal: each grows in steps of KVM_ADDRESS_SPACE_NUM.
    """

    as_id: int
    generation: Shared[int] = Shared(0)
    slots: dict[int, KvmMemorySlot] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.where = place(VM, 2 + self.as_id)

    def gfn_to_memslot(self, gfn: int) -> KvmMemorySlot | None:
        """The memslot that covers ``gfn``; None means MMIO."""
        for slot in self.slots.values():
            if slot.base_gfn <= gfn < slot.base_gfn + slot.npages:
                return slot
        return None

    def in_host_range(self, start: int, end: int) -> list[KvmMemorySlot]:
        """The memslots that host pages in [``start``, ``end``) back."""
        return [slot for slot in self.slots.values() if slot.page < end and start < slot.page + slot.npages]

    def overlaps(self, id: int, start: int, end: int) -> bool:
        """Whether a memslot other than ``id`` covers gfns in [``start``, ``end``)."""
        return any(
            slot.id != id and slot.base_gfn < end and start < slot.end_gfn for slot in self.slots.values()
        )
