# SPDX-License-Identifier: GPL-2.0-only
"""Whether two observations agree although the machines number their tables differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.interface.observation import (
    Observation,
    PagingView,
    RetiredTable,
    RootView,
    ShadowPageView,
    ShadowTlbEntry,
    ShadowView,
)

__all__ = ["Pairing"]

_ROOTS = Observation._fields.index("roots")
"""The fields before this one contain no serial numbers of tables."""


class Pairing:
    """A one-to-one relation between the tables of one machine and those of another.

    A table's serial number has no meaning of its own. The first time that two tables appear in the same place
    they are paired; from then on each must appear where the other does.
    """

    def __init__(self) -> None:
        self._there: dict[int, int] = {0: 0}
        self._back: dict[int, int] = {0: 0}
        self._equal: list[Observation] = []
        """Observations that were equal on both sides, not yet paired."""

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
        roots = zip(here.roots, there.roots, strict=True)
        return (
            all(self._pair_root(one, other) for one, other in roots)
            and self._pair_retired(here.retired, there.retired)
            and self._pair_shadow(here.shadow, there.shadow)
        )

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
        if _unnumbered(here) != _unnumbered(there):
            return False
        return all(map(self.matches, _serials(here), _serials(there))) and all(
            self._same_tlb(one.tlb, other.tlb) for one, other in zip(here.vcpus, there.vcpus, strict=True)
        )

    def _same_tlb(self, here: Sequence[ShadowTlbEntry], there: Sequence[ShadowTlbEntry]) -> bool:
        """Whether the translations are the same ones; their order depends on the numbers of roots.

        A root that is no shadow page appears here only.
        """
        fresh = sorted({cached.root for cached in here if cached.root not in self._there})
        other = sorted({cached.root for cached in there if cached.root not in self._back})
        if len(fresh) != len(other) or not all(map(self.matches, fresh, other)):
            return False
        return sorted(cached._replace(root=self._there.get(cached.root, -1)) for cached in here) == [*there]


def _unnumbered(shadow: ShadowView) -> ShadowView:
    """The state of shadow paging without serial numbers and TLBs."""
    return shadow._replace(
        vcpus=[_unnumbered_vcpu(vcpu) for vcpu in shadow.vcpus],
        pages=[_unnumbered_page(page) for page in shadow.pages],
    )


def _unnumbered_vcpu(vcpu: PagingView) -> PagingView:
    return vcpu._replace(
        root=0,
        prev_roots=tuple((0, pgd) for _, pgd in vcpu.prev_roots),
        pae_roots=(0,) * len(vcpu.pae_roots),
        tlb=(),
    )


def _unnumbered_page(page: ShadowPageView) -> ShadowPageView:
    entries = tuple(entry._replace(child=0) for entry in page.entries)
    return page._replace(serial=0, entries=entries)


def _serials(shadow: ShadowView) -> Iterator[int]:
    """The serial numbers, each in a place that depends on nothing but the rest of the state."""
    for page in shadow.pages:
        yield page.serial
        for entry in page.entries:
            yield entry.child
    for vcpu in shadow.vcpus:
        yield vcpu.root
        yield from (root for root, _ in vcpu.prev_roots)
        yield from vcpu.pae_roots
