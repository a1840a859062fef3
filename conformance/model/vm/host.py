# SPDX-License-Identifier: GPL-2.0-only
"""The host's memory: VMAs, page tables, page faults, and the calls to KVM's MMU notifier.

It is deliberately simple: physical pages are never reused, nothing is swapped, and every change of a mapping
lies between two notifier calls. The page table entries of each 2 MiB are one place (see ``places``), which
includes their lock. All addresses are page numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from conformance.interface.memory_access import Access
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K
from conformance.model.vm.frames import Frames
from conformance.model.vm.host_pages import Area, HostPage, MmuNotifier, PageFlags, pages_per
from conformance.model.vm.places import HOST_PTES, place
from conformance.model.vm.scheduler import current

__all__ = [
    "EAGAIN",
    "EFAULT",
    "EINVAL",
    "ENOMEM",
    "ENOSPC",
    "ENOSYS",
    "HostMemory",
]

EAGAIN, ENOMEM, EFAULT, EINVAL, ENOSPC, ENOSYS = 11, 12, 14, 22, 28, 38

PAGES = 1 << 24
"""The number of virtual pages, which are numbered from 0."""

ZERO_PFN = 0x100000
"""The zero page, which the host maps read-only on a read of memory that was never written."""

FIRST_PFN, END_PFN = 0x100200, 0x1100000
"""The pfns that are allocated, in ascending order."""


@dataclass
class HostMemory:
    """The address space of the process that owns the VM. System calls return 0 or a negative errno."""

    notifier: MmuNotifier = field(init=False)
    """The notifier to call; set when a VM is created."""
    areas: list[Area] = field(default_factory=list)
    mapped: dict[int, dict[int, HostPage]] = field(default_factory=lambda: {1: {}, 2: {}, 3: {}})
    """Present entries by level, then by the number of the 4 KiB, 2 MiB or 1 GiB unit."""
    frames: Frames = field(default_factory=Frames)
    next_pfn: int = FIRST_PFN
    compound: dict[int, int] = field(default_factory=dict)
    """The first frame of the huge page that was allocated here, by 2 MiB."""
    flags: PageFlags = field(default_factory=PageFlags)
    wraps_change_pte: bool = True
    """Whether .change_pte is called between start and end of an invalidation."""

    def mmap(self, page: int, npages: int, writable: bool, level: int) -> int:
        """Create a VMA without populating it; ``level`` is the largest page size."""
        if page < 0 or npages <= 0 or page + npages > PAGES or not PG_LEVEL_4K <= level <= PG_LEVEL_1G:
            return -EINVAL
        if level == PG_LEVEL_1G and (page | npages) % pages_per(level):
            return -EINVAL
        if any(area.start < page + npages and page < area.end for area in self.areas):
            return -EINVAL
        self.areas.append(Area(page, page + npages, writable, level))
        return 0

    def area_of(self, page: int) -> Area | None:
        """The area that contains ``page``."""
        return next((area for area in self.areas if area.start <= page < area.end), None)

    def lookup(self, page: int) -> tuple[HostPage, int] | None:
        """The entry that maps ``page``, and its level; None if the page is not present."""
        for level in (PG_LEVEL_4K, PG_LEVEL_2M, PG_LEVEL_1G):
            entry = self.mapped[level].get(page >> 9 * (level - 1))
            if entry is not None:
                return entry, level
        return None

    def pfn_of(self, page: int) -> int:
        """The pfn of a page that is present."""
        found = self.lookup(page)
        assert found is not None
        entry, level = found
        return entry.pfn + (page & pages_per(level) - 1)

    def take_marks(self, page: int) -> int:
        """Clear KVM's marks on a page: 1 if it is marked dirty, plus 2 if accessed; -EINVAL if not present.

        Those of a part of a huge page are the huge page's. The zero page is reserved and never marked.
        """
        if self.lookup(page) is None:
            return -EINVAL
        pfn = self.pfn_of(page)
        if pfn == ZERO_PFN:
            return 0
        dirty, accessed = (
            {one for one in marked if self._head_of(one) == self._head_of(pfn)}
            for marked in (self.flags.dirty, self.flags.accessed)
        )
        self.flags.dirty -= dirty
        self.flags.accessed -= accessed
        return int(bool(dirty)) | int(bool(accessed)) << 1

    def _head_of(self, pfn: int) -> int:
        """The first frame of the huge page that a frame is part of; else the frame."""
        return self.compound.get(pfn >> 9, pfn)

    def has_mapped(self, pfn: int) -> bool:
        """Whether the process has a page in a frame."""
        return any(
            entry.pfn <= pfn < entry.pfn + pages_per(level)
            for level, entries in self.mapped.items()
            for entry in entries.values()
        )

    def touch(self, page: int, write: bool) -> int:
        """Read or write ``page`` from the process, which may fault."""
        found = self.get_user_page(page, write)
        return found if isinstance(found, int) else 0

    def store(self, page: int, index: int, value: int) -> int:
        """Write a word of ``page`` from the process, which may fault."""
        found = self.get_user_page(page, write=True)
        if isinstance(found, int):
            return found
        self.frames.write(found[0], index, value)
        return 0

    def get_user_page(self, page: int, write: bool) -> tuple[int, bool] | int:
        """The pfn of ``page`` and whether it is writable, or a negative errno; handles a page fault."""
        area = self.area_of(page)
        if area is None or (write and not area.writable):
            return -EFAULT
        while True:
            found = self.read_pte(page)
            if found is not None and (found[0].writable or not write):
                entry, level = found
                return entry.pfn + (page & pages_per(level) - 1), entry.writable
            error = self._handle_fault(area, page, write, found)
            if error:
                return error

    def get_user_pages_fast_only(self, page: int, npages: int) -> list[int]:
        """The pfns of pages from ``page`` on, up to the first that is not present or not writable."""
        pfns: list[int] = []
        for at in range(page, page + npages):
            found = self.read_pte(at)
            if found is None or not found[0].writable:
                break
            entry, level = found
            pfns.append(entry.pfn + (at & pages_per(level) - 1))
        return pfns

    def read_pte(self, page: int) -> tuple[HostPage, int] | None:
        """lookup(), as an access to memory that other threads may change."""
        current.scheduler.access(Access.READ, _place(page))
        return self.lookup(page)

    def _handle_fault(self, area: Area, page: int, write: bool, found: tuple[HostPage, int] | None) -> int:
        """Handle a page fault, unless the entry changed since it was read; return 0 or a negative errno."""
        if found is not None and found[0].shared:
            return self._copy_on_write(page, found[0])
        current.scheduler.access(Access.RMW, _place(page))
        if self.lookup(page) != found:
            return 0
        if found is None:
            return self._populate(area, page, write)
        entry, level = found
        self.mapped[level][page >> 9 * (level - 1)] = entry._replace(writable=True)
        pfn = entry.pfn + (page & pages_per(level) - 1)
        current.scheduler.note(("writable", pfn), if_still=lambda _: self._can_write(page))
        return 0

    def _populate(self, area: Area, page: int, write: bool) -> int:
        """Map a page that was not present, at the largest level that the VMA allows."""
        level = area.level
        if level == PG_LEVEL_2M:
            first = page & -512
            fits = area.start <= first and first + 512 <= area.end
            if not fits or any(first <= other < first + 512 for other in self.mapped[PG_LEVEL_4K]):
                level = PG_LEVEL_4K
        if level == PG_LEVEL_4K and not write:
            self.mapped[PG_LEVEL_4K][page] = HostPage(ZERO_PFN, writable=False, shared=True)
            return 0
        pfn = self._allocate(level)
        if pfn is None:
            return -ENOMEM
        self.mapped[level][page >> 9 * (level - 1)] = HostPage(pfn, area.writable)
        return 0

    def _copy_on_write(self, page: int, shared: HostPage) -> int:
        """Replace a shared page by a private copy.

        The old page is unmapped before .change_pte is called with the new pfn. The old pfn is still mapped
        elsewhere, so it is not freed.
        """
        pfn = None
        with self.invalidating(page, page + 1, self.wraps_change_pte):
            current.scheduler.access(Access.RMW, _place(page))
            if self.mapped[PG_LEVEL_4K].get(page) is not shared:
                return 0
            del self.mapped[PG_LEVEL_4K][page]
            pfn = self._allocate(PG_LEVEL_4K)
            if pfn is not None:
                self.frames.copy([(shared.pfn, pfn)])
                self.notifier.change_pte(page, pfn, True)
                self._set_entry(PG_LEVEL_4K, page, HostPage(pfn, writable=True))
        return 0 if pfn is not None else -ENOMEM

    @contextmanager
    def invalidating(self, start: int, end: int, wrapped: bool = True) -> Iterator[list[tuple[str, int]]]:
        """Call the notifier's invalidate_range_start() and _end() around the block, if ``wrapped``.

        The block appends events to the list; they are noted before the end, except for pages that the process
        has written meanwhile, so that they are writable again.
        """
        events: list[tuple[str, int]] = []
        if wrapped:
            self.notifier.invalidate_range_start(start, end)
        yield events
        current.scheduler.note(
            *events, if_still=lambda event: event[1] not in self._writable_frames(start, end)
        )
        if wrapped:
            self.notifier.invalidate_range_end(start, end)

    def _writable_frames(self, start: int, end: int) -> set[int]:
        return {self.pfn_of(page) for page in range(start, end) if self._can_write(page)}

    def _can_write(self, page: int) -> bool:
        found = self.lookup(page)
        return found is not None and found[0].writable

    def _set_entry(self, level: int, unit: int, entry: HostPage | None) -> None:
        """Write an entry of the page tables, which other threads may read; None unmaps it."""
        current.scheduler.access(Access.WRITE, _place(unit << 9 * (level - 1)))
        if entry is None:
            del self.mapped[level][unit]
        else:
            self.mapped[level][unit] = entry

    def _allocate(self, level: int) -> int | None:
        """Allocate a page of ``level``; return its first pfn, None if memory is exhausted."""
        size = pages_per(level)
        pfn = (self.next_pfn + size - 1) & -size
        if pfn + size > END_PFN:
            return None
        self.next_pfn = pfn + size
        if level > PG_LEVEL_4K:
            self.compound.update(dict.fromkeys(range(pfn >> 9, pfn + size >> 9), pfn))
        return pfn

    def is_compound(self, pfn: int) -> bool:
        """Whether the frame was allocated as a part of a huge page, which it remains when that is split."""
        return pfn >> 9 in self.compound

    def madvise_dontneed(self, page: int, npages: int) -> int:
        """Discard the range's pages; the next access allocates new ones."""
        return self._unmap_or_protect(page, npages, unmap=True)

    def wrprotect(self, page: int, npages: int) -> int:
        """Make the pages of the range read-only, as fork() and mprotect() do; they stay private."""
        return self._unmap_or_protect(page, npages, unmap=False)

    def _unmap_or_protect(self, page: int, npages: int, unmap: bool) -> int:
        """Unmap the range or make it read-only, after splitting 2 MiB pages that it covers only partly."""
        end = page + npages
        if page < 0 or npages <= 0 or end > PAGES:
            return -EINVAL
        for unit in self._partly_covered(page, end, PG_LEVEL_1G):
            if unit in self.mapped[PG_LEVEL_1G]:
                return -EINVAL
        for unit in self._partly_covered(page, end, PG_LEVEL_2M):
            if unit in self.mapped[PG_LEVEL_2M]:
                self._split_huge_page(unit)
        with self.invalidating(page, end) as events:
            for level, entries in self.mapped.items():
                size = pages_per(level)
                for unit in [unit for unit in entries if page <= unit * size < end]:
                    entry = entries[unit]
                    self._set_entry(level, unit, None if unmap else entry._replace(writable=False))
                    if not entry.shared:
                        what = "released" if unmap else "protected"
                        events += ((what, pfn) for pfn in range(entry.pfn, entry.pfn + size))
        return 0

    @staticmethod
    def _partly_covered(page: int, end: int, level: int) -> list[int]:
        """The units of ``level`` that the range covers only partly, in order."""
        size = pages_per(level)
        return sorted({bound // size for bound in (page, end) if bound % size})

    def _split_huge_page(self, unit: int) -> None:
        """Replace a 2 MiB entry by 512 entries for the same pfns, as __split_huge_pmd() does."""
        first = unit * 512
        with self.invalidating(first, first + 512):
            current.scheduler.access(Access.WRITE, _place(first))
            huge = self.mapped[PG_LEVEL_2M].pop(unit)
            for n in range(512):
                self.mapped[PG_LEVEL_4K][first + n] = HostPage(huge.pfn + n, huge.writable)

    def ksm_merge(self, page: int) -> int:
        """Replace a 4 KiB page by a shared, read-only one, as KSM does."""
        if page not in self.mapped[PG_LEVEL_4K]:
            return -EINVAL
        pfn = self._allocate(PG_LEVEL_4K)
        if pfn is None:
            return -ENOMEM
        with self.invalidating(page, page + 1, self.wraps_change_pte) as events:
            old = self.mapped[PG_LEVEL_4K][page]
            self._set_entry(PG_LEVEL_4K, page, None)
            self.frames.copy([(old.pfn, pfn)])
            self.notifier.change_pte(page, pfn, False)
            self._set_entry(PG_LEVEL_4K, page, HostPage(pfn, writable=False, shared=True))
            if not old.shared:
                events.append(("released", old.pfn))
        return 0

    def mremap(self, page: int, to: int) -> int:
        """Move a 4 KiB page to an address at which nothing is mapped."""
        area = self.area_of(to)
        if page not in self.mapped[PG_LEVEL_4K] or area is None or area.level != PG_LEVEL_4K:
            return -EINVAL
        if self.lookup(to) is not None:
            return -EINVAL
        with self.invalidating(page, page + 1):
            entry = self.mapped[PG_LEVEL_4K][page]
            self._set_entry(PG_LEVEL_4K, page, None)
            self._set_entry(PG_LEVEL_4K, to, entry)
            current.scheduler.note(("moved", entry.pfn, to))
        return 0

    def collapse(self, page: int) -> int:
        """Replace the small pages of the 2 MiB around ``page`` by a huge page, as khugepaged does."""
        first = page & -512
        area = self.area_of(page)
        if area is None or not area.writable or area.level == PG_LEVEL_1G:
            return -EINVAL
        if first < area.start or first + 512 > area.end:
            return -EINVAL
        pfn = self._allocate(PG_LEVEL_2M)
        if pfn is None:
            return -ENOMEM
        with self.invalidating(first, first + 512) as events:
            current.scheduler.access(Access.WRITE, _place(first))
            present = [n for n in range(512) if self.lookup(first + n) is not None]
            self.frames.copy([(self.pfn_of(first + n), pfn + n) for n in present])
            small = [self.mapped[PG_LEVEL_4K].pop(first + n, None) for n in range(512)]
            events += (("released", entry.pfn) for entry in small if entry is not None and not entry.shared)
            self.mapped[PG_LEVEL_2M][first >> 9] = HostPage(pfn, writable=True)
        return 0


def _place(page: int) -> int:
    """The place of the page table entry for ``page``."""
    return place(HOST_PTES, page >> 9)
