# SPDX-License-Identifier: GPL-2.0-only
"""Whether two observations agree although the machines number their tables differently."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import starmap
from typing import TypeVar

from conformance.interface.observation import (
    Observation,
    PageEntry,
    PagingView,
    RetiredTable,
    RootView,
    ShadowPageView,
    ShadowTlbEntry,
    ShadowView,
)

__all__ = ["Pairing"]

_ROOTS = Observation._fields.index("roots")
_ROOT = PagingView._fields.index("root")
"""The fields before these contain no serial numbers of tables."""
_NEVER = None, None
_View = TypeVar("_View", RootView, ShadowPageView, PagingView)
_LINEAR = {0}
"""The root of all translations of linear addresses."""


class Pairing:
    """A one-to-one relation between the tables of one machine and those of another.

    A table's serial number has no meaning of its own. The first time that two tables appear in the same place
    they are paired; from then on each must appear where the other does.

    Each side shows the same object again while a root, a shadow page or a vCPU is unchanged. What agreed once
    agrees for ever, as tables are paired for ever.
    """

    def __init__(self) -> None:
        self._there: dict[int, int] = {0: 0}
        self._back: dict[int, int] = {0: 0}
        self._equal: list[Observation] = []
        """Observations that were equal on both sides, not yet paired."""
        self._agreed: dict[int, tuple[object, object]] = {}
        """Views that agree, by the id() of the first, which is kept: no other has that id()."""

    def same(self, here: Observation, there: Observation) -> bool:
        """Whether the two observations agree, except in the serial numbers of tables."""
        if here[:_ROOTS] != there[:_ROOTS] or here.memory != there.memory or here.kept != there.kept:
            return False
        if here.roots == there.roots and here.retired == there.retired and here.shadow == there.shadow:
            # The numbers are equal too, as long as both machines count alike; paired once they are not.
            self._equal.append(here)
            return True
        for observation in self._equal:
            self._pair(observation, observation)
        self._equal.clear()
        return self._pair(here, there)

    def matches(self, one: int, other: int) -> bool:
        """Whether the two serial numbers are paired, or can be: then they are from now on."""
        if one not in self._there and other not in self._back:
            self._there[one], self._back[other] = other, one
        return self._there.get(one) == other and self._back.get(other) == one

    def _pair(self, here: Observation, there: Observation) -> bool:
        if len(here.roots) != len(there.roots) or len(here.retired) != len(there.retired):
            return False
        roots = self._unknown(here.roots, there.roots)
        if not all(starmap(self._pair_root, roots)):
            return False
        if not self._known(here.retired, there.retired):
            if not self._pair_retired(here.retired, there.retired):
                return False
            self._agreed[id(here.retired)] = here.retired, there.retired
        self._agreed.update({id(one): (one, other) for one, other in roots})
        return self._pair_shadow(here.shadow, there.shadow)

    def _pair_root(self, one: RootView, other: RootView) -> bool:
        flat, flat_other = one.flat, other.flat
        if one[:4] != other[:4] or len(flat) != len(flat_other):
            return False
        if any(flat[field::4] != flat_other[field::4] for field in range(3)):
            return False
        children = zip(flat[3::4], flat_other[3::4], strict=True)
        return all(
            self.matches(child, other_child) for child, other_child in children if child or other_child
        )

    def _pair_retired(self, here: Sequence[RetiredTable], there: Sequence[RetiredTable]) -> bool:
        """Whether the same tables wait for their grace period; several may have been of one place."""
        left = list(there)
        fresh = []
        for table in here:
            if table.serial not in self._there:
                fresh.append(table)
                continue
            known = table._replace(serial=self._there[table.serial])
            if known not in left:
                return False
            left.remove(known)
        # A table that was made and retired in one step was never seen in place.
        return all(
            one._replace(serial=other.serial) == other and self.matches(one.serial, other.serial)
            for one, other in zip(fresh, left, strict=True)
        )

    def _pair_shadow(self, here: ShadowView | None, there: ShadowView | None) -> bool:
        """Whether the shadow pages are the same ones, in the same order, and what refers to them agrees."""
        if here is None or there is None:
            return here is there
        if self._known(here, there):
            return True
        if here.counters != there.counters or here.rmaps != there.rmaps:
            return False
        if len(here.pages) != len(there.pages) or len(here.vcpus) != len(there.vcpus):
            return False
        pages, vcpus = self._unknown(here.pages, there.pages), self._unknown(here.vcpus, there.vcpus)
        if not all(starmap(self._pair_page, pages)) or not all(starmap(self._pair_roots, vcpus)):
            return False
        if not all(self._same_tlb(one.tlb, other.tlb) for one, other in vcpus):
            return False
        self._agreed.update({id(one): (one, other) for one, other in (*pages, *vcpus, (here, there))})
        return True

    def _unknown(self, here: Sequence[_View], there: Sequence[_View]) -> list[tuple[_View, _View]]:
        """The pairs of views that are not known to agree."""
        return [(one, other) for one, other in zip(here, there, strict=True) if not self._known(one, other)]

    def _known(self, one: object, other: object) -> bool:
        """Whether the two views have agreed before."""
        return self._agreed.get(id(one), _NEVER)[1] is other

    def _pair_page(self, one: ShadowPageView, other: ShadowPageView) -> bool:
        """Whether two shadow pages agree."""
        return (
            one[1:-1] == other[1:-1]
            and self.matches(one.serial, other.serial)
            and len(one.entries) == len(other.entries)
            and all(map(self._pair_entry, one.entries, other.entries))
        )

    def _pair_entry(self, one: PageEntry, other: PageEntry) -> bool:
        if one.child or other.child:
            return self.matches(one.child, other.child) and one == other._replace(child=one.child)
        return one == other

    def _pair_roots(self, one: PagingView, other: PagingView) -> bool:
        return _unnumbered(one) == _unnumbered(other) and all(map(self.matches, _roots(one), _roots(other)))

    def _same_tlb(self, here: Sequence[ShadowTlbEntry], there: Sequence[ShadowTlbEntry]) -> bool:
        """Whether the translations are the same ones; their order depends on the numbers of roots.

        A root that is no shadow page appears here only.
        """
        roots = {cached.root for cached in here}
        if roots <= _LINEAR:
            return here == there
        fresh = sorted(roots - self._there.keys())
        other = sorted({cached.root for cached in there} - self._back.keys())
        if len(fresh) != len(other) or not all(map(self.matches, fresh, other)):
            return False
        return sorted(cached._replace(root=self._there.get(cached.root, -1)) for cached in here) == [*there]


def _unnumbered(vcpu: PagingView) -> tuple[object, ...]:
    """A vCPU's paging without serial numbers and TLB."""
    return (*vcpu[:_ROOT], vcpu.pgd, [pgd for _, pgd in vcpu.prev_roots], vcpu.pf_guest, vcpu.invlpg)


def _roots(vcpu: PagingView) -> list[int]:
    """The serial numbers of a vCPU's roots."""
    return [vcpu.root, *[root for root, _ in vcpu.prev_roots], *vcpu.pae_roots]
