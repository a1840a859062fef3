# SPDX-License-Identifier: GPL-2.0-only
"""Decoding the words of the state of shadow paging, which c/machine/shadow_state.c writes.

A part whose words are unchanged is the same object again.
"""

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
from conformance.oracles.kvm.words import Words, numbers, rows

__all__ = ["read_shadow"]

_ROLE = len(RoleView._fields)
_REGISTERS = PagingView._fields.index("root_role")
"""Words of a vCPU before the role."""
_PREV_ROOTS = 3
_PAE_ROOTS = 4
_VCPU = _REGISTERS + _ROLE + 2 + 2 * _PREV_ROOTS + _PAE_ROOTS + 2 + 1
"""Words of a vCPU before its translations, the last one their number."""
_TRANSLATION = len(ShadowTlbEntry._fields)
_STATE = len(ShadowPageView._fields) - ShadowPageView._fields.index("unsync") - 1
"""Words of a shadow page between its role and its entries."""
_HEADER = 2 + _ROLE + _STATE + 1
"""Words of a shadow page before its entries, the last one their number."""
_ENTRY = len(PageEntry._fields)
_RMAP = len(RmapView._fields)


@lru_cache(maxsize=16)
def read_shadow(raw: bytes) -> ShadowView | None:
    """The state of shadow paging, read from the words with which an observation ends; None without one."""
    words = Words(raw)
    view = _shadow(words) if words.word() else None
    words.end()
    return view


def _shadow(words: Words) -> ShadowView:
    counters = Counters._make(words.take(len(Counters._fields)))
    vcpus = [_paging(words.record(_VCPU, _TRANSLATION)) for _ in words.counted()]
    pages = [_page(words.record(_HEADER, _ENTRY)) for _ in words.counted()]
    return ShadowView(counters, vcpus, pages, _rmaps(words.rows(_RMAP)))


@lru_cache(maxsize=1 << 8)
def _paging(record: bytes) -> PagingView:
    """A vCPU's paging."""
    words = Words(record)
    registers = words.take(_REGISTERS)
    role = _role(tuple(words.take(_ROLE)))
    root, pgd = words.take(2)
    prev = words.take(2 * _PREV_ROOTS)
    prev_roots = tuple(zip(prev[::2], prev[1::2], strict=True))
    pae_roots = tuple(words.take(_PAE_ROOTS))
    pf_guest, invlpg = words.take(2)
    tlb = views(ShadowTlbEntry, sorted(rows(numbers(words.rows(_TRANSLATION)), _TRANSLATION)))
    return PagingView._make(
        (*registers, role, root, pgd, prev_roots, pae_roots, pf_guest, invlpg, tuple(tlb))
    )


@lru_cache(maxsize=1 << 12)
def _page(record: bytes) -> ShadowPageView:
    """A shadow page."""
    words = Words(record)
    serial, gfn = words.take(2)
    role = _role(tuple(words.take(_ROLE)))
    state = words.take(_STATE)
    entries = views(PageEntry, rows(numbers(words.rows(_ENTRY)), _ENTRY))
    return ShadowPageView._make((serial, gfn, role, *state, tuple(entries)))


@lru_cache(maxsize=16)
def _rmaps(raw: bytes) -> list[RmapView]:
    """What is kept per gfn."""
    return views(RmapView, sorted(rows(numbers(raw), _RMAP)))


@lru_cache(maxsize=1 << 10)
def _role(fields: tuple[int, ...]) -> RoleView:
    return RoleView._make(fields)
