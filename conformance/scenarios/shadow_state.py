# SPDX-License-Identifier: GPL-2.0-only
"""Shadow paging as claims see it: shadow pages by gfn, what translates an address, what maps a gfn."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from conformance.interface.observation import (
    Counters,
    PageEntry,
    PagingView,
    RmapView,
    RootView,
    ShadowPageView,
    ShadowTlbEntry,
    ShadowView,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.predicates import is_mmio_spte, is_shadow_present_pte
from conformance.scenarios.leaf import Leaf

__all__ = ["ShadowState", "translated_gfn"]

_PAE_ENTRIES = 4


def translated_gfn(page: ShadowPageView, entry: PageEntry) -> int:
    """The first gfn that a leaf of a shadow page maps."""
    if page.role.passthrough:
        return page.gfn
    if page.role.direct:
        return page.gfn + (entry.at << 9 * (page.role.level - 1))
    return entry.gfn


class ShadowState:
    """Shadow paging after a step; ``before`` is its state a step earlier, if it had one."""

    def __init__(self, k: Semantics, view: ShadowView, before: ShadowView | None) -> None:
        self.k = k
        self.view = view
        self._before = before

    # Shadow pages.

    def pages(self, gfn: int | None = None, level: int | None = None, **role: int) -> list[ShadowPageView]:
        """The shadow pages of this gfn and level, and with these fields in their role, oldest first."""
        return [
            page
            for page in self.view.pages
            if gfn in (None, page.gfn)
            and level in (None, page.role.level)
            and all(getattr(page.role, name) == value for name, value in role.items())
        ]

    def page(self, gfn: int, level: int = 1, **role: int) -> ShadowPageView:
        """The shadow page of this gfn and level. Raises ValueError unless there is exactly one."""
        found = self.pages(gfn, level, **role)
        if len(found) != 1:
            raise ValueError(f"there are {len(found)} shadow pages of gfn {gfn:#x} at level {level}")
        return found[0]

    @property
    def unsync(self) -> set[int]:
        """The gfns of unsync shadow pages."""
        return {page.gfn for page in self.view.pages if page.unsync}

    def leaf_at(self, page: ShadowPageView, at: int) -> Leaf | None:
        """The leaf in entry ``at`` of a shadow page, None if it has none."""
        for entry in page.entries:
            if entry.at == at and not entry.child and is_shadow_present_pte(self.k, entry.spte):
                return Leaf(self.k, page.role.level, translated_gfn(page, entry), entry.spte)
        return None

    def leaves(self, page: ShadowPageView) -> list[Leaf]:
        """The leaves of a shadow page."""
        found = [self.leaf_at(page, entry.at) for entry in page.entries]
        return [leaf for leaf in found if leaf is not None]

    def mapping(self, gfn: int) -> list[Leaf]:
        """The leaves of all shadow pages that map ``gfn``."""
        leaves = [leaf for page in self.view.pages for leaf in self.leaves(page)]
        return [leaf for leaf in leaves if leaf.gfn <= gfn < leaf.gfn + (1 << 9 * (leaf.level - 1))]

    # Translations.

    def walk(self, address: int, vcpu: int = 0) -> Iterator[tuple[ShadowPageView, PageEntry]]:
        """The entries that translate an address in the vCPU's tables, from the root down."""
        paging = self.view.vcpus[vcpu]
        pages = {page.serial: page for page in self.view.pages}
        serial = paging.root or paging.pae_roots[address >> 30 & _PAE_ENTRIES - 1]
        while serial in pages:
            page = pages[serial]
            index = address >> 12 + 9 * (page.role.level - 1) & 511
            entry = next((entry for entry in page.entries if entry.at == index), None)
            if entry is None:
                return
            yield page, entry
            serial = entry.child

    def leaf(self, address: int, vcpu: int = 0) -> Leaf | None:
        """The leaf that translates an address, None if nothing does."""
        for page, entry in self.walk(address, vcpu):
            if not entry.child:
                return self.leaf_at(page, entry.at)
        return None

    def mapped(self, address: int, vcpu: int = 0) -> Leaf:
        """The leaf that translates an address. Raises ValueError if nothing does."""
        found = self.leaf(address, vcpu)
        if found is None:
            raise ValueError(f"nothing translates {address:#x}")
        return found

    def is_mmio(self, address: int, vcpu: int = 0) -> bool:
        """Whether an MMIO SPTE stands where an address would be translated."""
        return any(
            is_mmio_spte(self.k, entry.spte) for _, entry in self.walk(address, vcpu) if not entry.child
        )

    def cached(self, address: int, vcpu: int = 0, pcid: int = 0) -> ShadowTlbEntry | None:
        """The vCPU's TLB entry for an address, None if it has none."""
        for entry in self.view.vcpus[vcpu].tlb:
            shift = 9 * (entry.level - 1)
            if entry.page >> shift == address >> 12 + shift and entry.pcid == pcid:
                return entry
        return None

    def direct_roots(self) -> list[RootView]:
        """The roots of the direct MMU that vCPUs use, in the form of those of the TDP MMU, oldest first."""
        pages = {page.serial: page for page in self.view.pages}
        return [
            RootView(
                page.role.smm, page.role.level, page.role.invalid, page.root_count, [*_flat(page, pages)]
            )
            for page in self.view.pages
            if page.role.direct and page.root_count and not page.role.guest_mode
        ]  # fmt: skip

    # Everything else.

    def rmap(self, gfn: int, level: int = 1, as_id: int = 0) -> RmapView:
        """What KVM keeps for a gfn."""
        for rmap in self.view.rmaps:
            if (rmap.as_id, rmap.level, rmap.gfn) == (as_id, level, gfn):
                return rmap
        return RmapView(as_id, level, gfn, 0, 0, 0)

    def vcpu(self, number: int = 0) -> PagingView:
        """A vCPU's registers and roots."""
        return self.view.vcpus[number]

    @property
    def counters(self) -> Counters:
        """The counters of shadow paging."""
        return self.view.counters

    @cached_property
    def grown(self) -> Counters:
        """By how much each counter grew in this step."""
        then = self._before.counters if self._before is not None else (0,) * len(self.counters)
        return Counters(*(now - was for now, was in zip(self.counters, then, strict=True)))


def _flat(page: ShadowPageView, pages: dict[int, ShadowPageView]) -> Iterator[int]:
    """The entries of a direct shadow page and of the tables below it, depth first, as RootView has them."""
    for entry in page.entries:
        yield from (page.role.level, translated_gfn(page, entry), entry.spte, entry.child)
        if entry.child in pages:
            yield from _flat(pages[entry.child], pages)
