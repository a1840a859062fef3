# SPDX-License-Identifier: GPL-2.0-only
"""Decoding the words of the state of shadow paging, which c/machine/shadow_state.c writes."""

from __future__ import annotations

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
from conformance.oracles.kvm.words import Words

__all__ = ["read_shadow"]

_ROLE = len(RoleView._fields)
_REGISTERS = PagingView._fields.index("root_role")
"""Words of a vCPU before the role."""
_PREV_ROOTS = 3
_PAE_ROOTS = 4


def read_shadow(words: Words) -> ShadowView | None:
    """The state of shadow paging; None if the machine has none."""
    if not words.word():
        return None
    counters = Counters._make(words.take(len(Counters._fields)))
    vcpus = [_paging(words) for _ in words.counted()]
    pages = [_page(words) for _ in words.counted()]
    return ShadowView(counters, vcpus, pages, views(RmapView, sorted(words.rows(len(RmapView._fields)))))


def _paging(words: Words) -> PagingView:
    registers = words.take(_REGISTERS)
    role = RoleView._make(words.take(_ROLE))
    root, pgd = words.take(2)
    prev = words.take(2 * _PREV_ROOTS)
    pae_roots = tuple(words.take(_PAE_ROOTS))
    pf_guest, invlpg = words.take(2)
    tlb = views(ShadowTlbEntry, sorted(words.rows(len(ShadowTlbEntry._fields))))
    prev_roots = tuple(zip(prev[::2], prev[1::2], strict=True))
    return PagingView._make(
        (*registers, role, root, pgd, prev_roots, pae_roots, pf_guest, invlpg, tuple(tlb))
    )


def _page(words: Words) -> ShadowPageView:
    serial, gfn = words.take(2)
    role = RoleView._make(words.take(_ROLE))
    state = words.take(7)
    entries = views(PageEntry, words.rows(len(PageEntry._fields)))
    return ShadowPageView._make((serial, gfn, role, *state, tuple(entries)))
