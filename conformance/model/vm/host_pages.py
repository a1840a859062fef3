# SPDX-License-Identifier: GPL-2.0-only
"""The host's memory: areas, page table entries, and the notifier that is called when these change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Area", "HostPage", "MmuNotifier", "PageFlags", "pages_per"]


def pages_per(level: int) -> int:
    """How many 4 KiB pages a mapping at ``level`` covers: 1, 512 or 262144 (KVM_PAGES_PER_HPAGE)."""
    return 1 << 9 * (level - 1)


class MmuNotifier(Protocol):
    """What the host calls before and after it changes a mapping: struct mmu_notifier_ops.

    Ranges are [first, last + 1) in pages.
    """

    def invalidate_range_start(self, start: int, end: int) -> None:
        """The range is about to be unmapped or to lose rights."""

    def invalidate_range_end(self, start: int, end: int) -> None:
        """The change is done."""

    def change_pte(self, page: int, pfn: int, writable: bool) -> None:
        """The page is going to be mapped to ``pfn`` instead; does nothing where KVM has no such callback."""

    def clear_flush_young(self, start: int, end: int) -> bool:
        """Whether the range was used of late; ages it, so that the next use shows."""

    def clear_young(self, start: int, end: int) -> bool:
        """The same, but the next use may go unseen."""

    def test_young(self, page: int) -> bool:
        """Whether the page was used of late."""


@dataclass(frozen=True)
class Area:
    """A VMA: ``level`` is the largest mapping that faults in it make (3: hugetlb, nothing smaller)."""

    start: int
    end: int
    writable: bool
    level: int


@dataclass(frozen=True)
class HostPage:
    """One entry of the host's page tables. A shared page must be copied before it may be written."""

    pfn: int
    writable: bool
    shared: bool = False


@dataclass
class PageFlags:
    """The frames that KVM has marked as written (PG_dirty) or as used (PG_referenced)."""

    dirty: set[int] = field(default_factory=set)
    accessed: set[int] = field(default_factory=set)
