# SPDX-License-Identifier: GPL-2.0-only
"""Decoding the words of the state of shadow paging, which c/machine/shadow_state.c writes."""

from __future__ import annotations

from functools import lru_cache

from conformance.interface.observation import (
    Counters,
    PageEntry,
    PagingView,
    RmapView,
    RoleView,
    ShadowPageView,
    ShadowTlbEntry,
    ShadowView,
    views,
)
from conformance.oracles.kvm.words import Words, rows_of

__all__ = ["read_shadow"]

_ROLE = len(RoleView._fields)
_REGISTERS = PagingView._fields.index("root_role")
"""Words of a vCPU before the role."""
_PREV_ROOTS = 3
_PAE_ROOTS = 4
_VCPU = _REGISTERS + _ROLE + 2 + 2 * _PREV_ROOTS + _PAE_ROOTS + 2 + 1
"""Words of a vCPU before its translations, the last one their number."""
_TRANSLATION = len(ShadowTlbEntry._fields)
_HEADER = len(ShadowPageView._fields) - 2 + _ROLE + 1
"""Words of a shadow page before its entries, the last one their number."""
_ENTRY = len(PageEntry._fields)


def read_shadow(words: Words) -> ShadowView | None:
    """The state of shadow paging; None if the machine has none."""
    if not words.word():
        return None
    counters = Counters._make(words.take(len(Counters._fields)))
    vcpus = [_paging(words) for _ in words.counted()]
    pages = [_page(words) for _ in words.counted()]
    return ShadowView(counters, vcpus, pages, views(RmapView, sorted(words.rows(len(RmapView._fields)))))


def _paging(words: Words) -> PagingView:
    header = words.take(_VCPU)
    return _paging_of(header, words.take(header[-1] * _TRANSLATION))


@lru_cache(maxsize=1 << 8)
def _paging_of(header: tuple[int, ...], translations: tuple[int, ...]) -> PagingView:
    """A vCPU's paging from its words; the same object again while it is unchanged."""
    words = Words(header, 0)
    registers = words.take(_REGISTERS)
    role = _role(words.take(_ROLE))
    root, pgd = words.take(2)
    prev = words.take(2 * _PREV_ROOTS)
    prev_roots = tuple(zip(prev[::2], prev[1::2], strict=True))
    pae_roots = words.take(_PAE_ROOTS)
    pf_guest, invlpg = words.take(2)
    tlb = views(ShadowTlbEntry, sorted(rows_of(translations, _TRANSLATION)))
    return PagingView._make(
        (*registers, role, root, pgd, prev_roots, pae_roots, pf_guest, invlpg, tuple(tlb))
    )


@lru_cache(maxsize=1 << 10)
def _role(fields: tuple[int, ...]) -> RoleView:
    return RoleView._make(fields)


def _page(words: Words) -> ShadowPageView:
    header = words.take(_HEADER)
    return _page_of(header, words.take(header[-1] * _ENTRY))


@lru_cache(maxsize=1 << 12)
def _page_of(header: tuple[int, ...], entries: tuple[int, ...]) -> ShadowPageView:
    """A shadow page from its words; the same object again while the page is unchanged."""
    serial, gfn, *rest = header[:-1]
    found = views(PageEntry, rows_of(entries, _ENTRY))
    return ShadowPageView._make((serial, gfn, _role(tuple(rest[:_ROLE])), *rest[_ROLE:], tuple(found)))
