# SPDX-License-Identifier: GPL-2.0-only
"""The parts of the host's memory: VMAs, page table entries, the MMU notifier, and flags of pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

__all__ = ["Area", "HostPage", "MmuNotifier", "PageFlags", "pages_per"]


def pages_per(level: int) -> int:
    """How many 4 KiB pages a mapping at ``level`` covers: 1, 512 or 262144 (KVM_PAGES_PER_HPAGE)."""
    return 1 << 9 * (level - 1)


class MmuNotifier(Protocol):
    """struct mmu_notifier_ops: what the host calls before and after it changes a mapping.

    Ranges are host pages, [``start``, ``end``).
    """

    def invalidate_range_start(self, start: int, end: int) -> None:
        """The host is about to unmap the range or to remove rights."""

    def invalidate_range_end(self, start: int, end: int) -> None:
        """The host has changed its page tables."""

    def change_pte(self, page: int, pfn: int, writable: bool) -> None:
        """The host is about to map ``page`` to ``pfn``. Does nothing if KVM has no such callback."""

    def clear_flush_young(self, start: int, end: int) -> bool:
        """Age the range, with a flush; return whether it was used since it was last aged."""

    def clear_young(self, start: int, end: int) -> bool:
        """Age the range without a flush; return whether it was used since it was last aged."""

    def test_young(self, page: int) -> bool:
        """Return whether the page was used since it was last aged."""


@dataclass(frozen=True)
class Area:
    """A VMA. ``level`` is the largest page size that a fault maps (3: hugetlb, 1 GiB pages only)."""

    start: int
    end: int
    writable: bool
    level: int


class HostPage(NamedTuple):
    """An entry of the host's page tables. A write to a ``shared`` page copies it first."""

    pfn: int
    writable: bool
    shared: bool = False


@dataclass
class PageFlags:
    """The pfns that KVM has marked dirty (PG_dirty) or accessed (PG_referenced)."""

    dirty: set[int] = field(default_factory=set)
    accessed: set[int] = field(default_factory=set)
