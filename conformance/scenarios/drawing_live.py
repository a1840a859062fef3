# SPDX-License-Identifier: GPL-2.0-only
"""Steps of a real host's memory: only those are drawn after which it is as the model's memory.

A real host differs where KVM is not concerned. System calls fail outside of areas. A huge page that was
discarded in part keeps its page table: once all its pages are discarded, small ones follow. Such a page is
copied by the first write after fork(), the model's is made writable in place. fork() leaves an area alone
that was never written, and splits an area at the ends of the range, which is an invalidation of its own if
that is inside of a huge page. Collapsing what is a huge page already does nothing. KSM merges whatever is
equal among the pages that it was given, but never the zero page, and it splits an area. Discarding pages of
1 GiB is two invalidations up to 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from conformance.interface.live import HOST_STEPS
from conformance.scenarios.steps import Step, step

__all__ = ["UNDRAWN", "RealHost"]

UNDRAWN = frozenset({"clear_young", "wrprotect"})
"""Steps that stories take in a live kernel and lockstep does not.

What an access after aging without a flush does depends on what the processor caches, and DAMON ages the page
behind the sampled one, too. Whether a write after fork() copies the page depends on references that the host
holds for a while, in its batches of pages for the LRU lists.
"""

_X2M = 0x200


class _Area(NamedTuple):
    """Memory of the host, in pages; ``level`` is the largest page size."""

    first: int
    npages: int
    level: int
    writable: bool

    @property
    def end(self) -> int:
        return self.first + self.npages

    def huge(self, unit: int) -> bool:
        """Whether a huge page may be mapped in a unit of 2 MiB."""
        return self.level == 2 and self.first <= unit * _X2M and (unit + 1) * _X2M <= self.end


def _units(page: int, npages: int) -> range:
    """The units of 2 MiB that a range of pages touches."""
    return range(page // _X2M, (page + npages - 1) // _X2M + 1)


@dataclass
class RealHost:
    """The memory of a real host after the steps so far, as far as it forbids steps."""

    _areas: list[_Area] = field(default_factory=list)
    _written: set[int] = field(default_factory=set)
    """First pages of areas that were written."""
    _used: set[int] = field(default_factory=set)
    """Units of 2 MiB that have pages."""
    _kept: dict[int, set[int]] = field(default_factory=dict)
    """Units of 2 MiB that were discarded in part, with the pages that never were."""
    _small: set[int] = field(default_factory=set)
    """Pages of areas of small pages that were written, and neither discarded nor merged since."""
    _merged: int | None = None
    """The page that was merged."""
    _shared: set[int] = field(default_factory=set)
    """Units of 2 MiB that were not written since fork()."""

    def like(self, drawn: Step) -> Step | None:
        """The step if it is none of the host's, or one like it that a real host takes as the model does."""
        if drawn.kind == "mmap" or drawn.kind not in HOST_STEPS:
            return drawn
        page = drawn.arguments["page"]
        area = self._area(page)
        if area is None:
            return None
        npages = min(drawn.arguments.get("npages", 1), self._end_of_part(area, page) - page)
        if drawn.kind == "ksm_merge":
            return drawn if self._merged is None and page in self._small else None
        if drawn.kind == "madvise_dontneed":
            return self._discard(area, page, npages)
        if drawn.kind == "wrprotect":
            return self._protect(area, page, npages)
        if drawn.kind == "collapse":
            return self._collapse(drawn)
        return drawn

    def _area(self, page: int) -> _Area | None:
        return next((area for area in self._areas if area.first <= page < area.end), None)

    def _end_of_part(self, area: _Area, page: int) -> int:
        """Where the part of an area ends that is one to the kernel."""
        if self._merged is None or not page <= self._merged < area.end:
            return area.end
        return self._merged + (page == self._merged)

    def _collapse(self, drawn: Step) -> Step | None:
        """Of the page's unit, or of another one."""
        split = sorted(self._kept.keys() & self._used)
        units = [unit for unit in split if any(area.huge(unit) and area.writable for area in self._areas)]
        if drawn.arguments["page"] // _X2M in units or not units:
            return drawn if units else None
        return step("collapse", page=units[0] * _X2M)

    def _discard(self, area: _Area, page: int, npages: int) -> Step | None:
        if area.level == 3:
            return None
        gone = range(page, page + npages)
        for unit in filter(area.huge, _units(page, npages)):
            whole = unit * _X2M in gone and unit * _X2M + _X2M - 1 in gone
            if whole and unit in self._kept:
                return None
            if not whole and (unit in self._shared or not self._keeps(unit).difference(gone)):
                return None
        return step("madvise_dontneed", page=page, npages=npages)

    def _protect(self, area: _Area, page: int, npages: int) -> Step | None:
        if area.first not in self._written or area.level == 3:
            return None
        if area.level == 2:
            units = _units(page, npages)
            if any(unit in self._kept for unit in units):
                return None
            page = max(units[0] * _X2M, area.first)
            npages = min((units[-1] + 1) * _X2M, area.end) - page
        return step("wrprotect", page=page, npages=npages)

    def _keeps(self, unit: int) -> set[int]:
        return self._kept.get(unit, {*range(unit * _X2M, (unit + 1) * _X2M)})

    # What was done

    def mapped(self, page: int, npages: int, level: int, writable: bool) -> None:
        """An area was mapped."""
        self._areas.append(_Area(page, npages, level, writable))

    def used(self, page: int, write: bool) -> None:
        """A page was read or written."""
        area = self._area(page)
        if area is None:
            return
        self._used.add(page // _X2M)
        if write and area.writable:
            self._written.add(area.first)
            if area.level == 1:
                self._small.add(page)
            self._shared.discard(page // _X2M)

    def note(self, taken: Step) -> None:
        """Take note of a step of the host."""
        given = taken.arguments
        if taken.kind == "touch":
            self.used(given["page"], bool(given["write"]))
        elif taken.kind == "wrprotect":
            self._shared.update(_units(given["page"], given["npages"]))
        elif taken.kind == "ksm_merge":
            self._merged = given["page"]
            self._small.discard(given["page"])
        elif taken.kind == "collapse":
            del self._kept[given["page"] // _X2M]
        elif taken.kind == "madvise_dontneed":
            self._discarded(given["page"], given["npages"])

    def _discarded(self, page: int, npages: int) -> None:
        area = self._area(page)
        assert area is not None
        self._small.difference_update(range(page, page + npages))
        for unit in filter(area.huge, _units(page, npages)):
            left = self._keeps(unit).difference(range(page, page + npages))
            if left:
                self._kept[unit] = left
            else:
                self._used.discard(unit)
                self._shared.discard(unit)
