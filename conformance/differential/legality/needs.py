# SPDX-License-Identifier: GPL-2.0-only
"""Preconditions as data: what the callers of a function guarantee about its inputs.

A Need is a predicate in the model's words, over ints, arrays and z3 terms alike, with what to say where it
does not hold, and how to change a case so that it does. What engines explore is not restricted by it: an
illegal input may crash the kernel, too. It decides which counterexample is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.differential.legality.nearest import (
    nearest_future,
    nearest_leaf,
    nearest_mmio,
    nearest_present,
    nearest_spte,
)
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_4K, PT_PAGE_SIZE_MASK, SPTE_BASE_ADDR_MASK
from conformance.model.semantics import Semantics
from conformance.model.spte.illegal import complaints
from conformance.model.spte.legal import (
    is_legal_leaf,
    is_legal_mmio,
    is_legal_present,
    is_legal_spte,
    is_legal_table,
    is_tracked,
    may_become,
    present_kind,
)
from conformance.model.spte.predicates import is_large_pte, is_shadow_present_pte
from conformance.model.words import Truth, Word, any_set, clear, either, no, when

__all__ = [
    "Callers",
    "Case",
    "Need",
    "becomes",
    "entry",
    "leaf",
    "mmio_spte",
    "need",
    "present",
    "same_page",
    "tracked",
]

Case = Mapping[str, Word]
"""The inputs by the names of their columns."""
Level = Callable[[Semantics, Case], Word]
"""The level of an SPTE, from the other inputs."""


@dataclass(frozen=True)
class Need:
    """One thing that callers guarantee.

    ``why`` gives the text for a case of ints that breaks it; ``mend`` the columns to change, with values for
    which it holds.
    """

    holds: Callable[[Semantics, Case], Truth | bool]
    why: Callable[[Semantics, Mapping[str, int]], str]
    mend: Callable[[Semantics, Case], dict[str, Word]]


@dataclass(frozen=True)
class Callers:
    """What all callers of a function guarantee: in a sentence that names them, and as needs."""

    sentence: str
    needs: tuple[Need, ...] = ()

    def hold(self, k: Semantics, case: Case) -> Truth | bool:
        """Whether the inputs are such that a caller can give."""
        events = list(k.events)
        truth: Truth | bool | None = None
        for each in self.needs:
            holds = each.holds(k, case)
            truth = holds if truth is None else truth & holds
        k.events[:] = events
        return True if truth is None else truth

    def broken(self, k: Semantics, case: Mapping[str, int]) -> str:
        """The first need that a case of ints breaks, as text; "" if it breaks none."""
        events = list(k.events)
        why = next((each.why(k, case) for each in self.needs if not each.holds(k, case)), "")
        k.events[:] = events
        return why

    def mended(self, k: Semantics, case: Case) -> dict[str, Word]:
        """The inputs, changed so that a caller can give them where the needs know how."""
        made = dict(case)
        events = list(k.events)
        for each in self.needs:
            made.update(each.mend(k, made))
        k.events[:] = events
        return made


def need(
    sentence: str,
    holds: Callable[[Semantics, Case], Truth | bool],
    mend: Callable[[Semantics, Case], dict[str, Word]] = lambda k, case: {},
) -> Need:
    """A need with a ``sentence`` that reports a case in which it does not hold."""
    return Need(holds, lambda k, case: sentence, mend)


def leaf(name: str, level: Level | None = None) -> Need:
    """An SPTE that maps a page at a level (any up to 1 GiB without one)."""

    def at(k: Semantics, case: Case) -> Any:
        return None if level is None else level(k, case)

    return Need(
        lambda k, case: is_legal_leaf(k, case[name], at(k, case)),
        lambda k, case: _no_leaf(k, name, case[name], at(k, case)),
        lambda k, case: {name: nearest_leaf(k, case[name], at(k, case))},
    )


def _no_leaf(k: Semantics, name: str, spte: int, level: int | None) -> str:
    if not bool(is_shadow_present_pte(k, spte)):
        return f"{name} is not shadow-present"
    large = bool(is_large_pte(k, spte))
    if level is not None and level > PG_LEVEL_4K and not large:
        return f"{name} is not huge"
    if level == PG_LEVEL_4K and large:
        return f"{name} is huge, at level 1"
    if level is None and bool(is_legal_table(k, spte)):
        return f"{name} is the SPTE of a table, not of a page"
    return _complaint(k, name, spte, level or (2 if large else PG_LEVEL_4K))


def _complaint(k: Semantics, name: str, spte: int, level: int | None) -> str:
    why = complaints(k, spte, level)
    return f"KVM never makes {name}: {why[0]}" if why else f"KVM never makes {name}"


def present(name: str, level: Level | None = None) -> Need:
    """An SPTE that maps a page or a table."""

    def at(k: Semantics, case: Case) -> Any:
        return None if level is None else level(k, case)

    def why(k: Semantics, case: Mapping[str, int]) -> str:
        if not bool(is_shadow_present_pte(k, case[name])):
            return f"{name} is not shadow-present"
        return _complaint(k, name, case[name], at(k, case))

    return Need(
        lambda k, case: is_legal_present(k, case[name], at(k, case)),
        why,
        lambda k, case: {name: nearest_present(k, case[name], at(k, case))},
    )


def entry(name: str, level: Level | None = None) -> Need:
    """What an entry of a table may hold: a page, a table, MMIO, nothing, or that it is frozen."""

    def at(k: Semantics, case: Case) -> Any:
        return None if level is None else level(k, case)

    return Need(
        lambda k, case: is_legal_spte(k, case[name], at(k, case)),
        lambda k, case: _complaint(k, name, case[name], at(k, case)),
        lambda k, case: {name: nearest_spte(k, case[name], at(k, case))},
    )


def tracked(name: str) -> Need:
    """An access-tracked SPTE; there are such only where the processor sets no Accessed."""

    def mend(k: Semantics, case: Case) -> dict[str, Word]:
        if not k.shadow_acc_track_mask:
            return {}
        disabled = clear(case[name], k.layout.spte_tdp_ad_mask | k.shadow_acc_track_mask)
        return {name: nearest_leaf(k, _saving(k, disabled | k.layout.spte_tdp_ad_disabled))}

    return need(
        f"{name} is not access-tracked",
        lambda k, case: is_tracked(k, case[name]) & present_kind(k, case[name]),
        mend,
    )


def _saving(k: Semantics, spte: Word) -> Word:
    """The SPTE with R saved if nothing is."""
    shift, saved = k.layout.acc_track_saved_shift, k.layout.acc_track_saved_mask
    return spte | when(no(any_set(spte, saved << shift)), 1 << shift)


def mmio_spte(name: str) -> Need:
    """An MMIO SPTE."""
    return Need(
        lambda k, case: is_legal_mmio(k, case[name]),
        lambda k, case: f"{name} is no MMIO SPTE that KVM makes",
        lambda k, case: {name: nearest_mmio(k, case[name])},
    )


def becomes(old: str, now: str) -> Need:
    """``now`` is what fast page faults and the processor can make of ``old``."""
    return need(
        f"{old} does not become {now} without mmu_lock",
        lambda k, case: may_become(k, case[old], case[now]),
        lambda k, case: {now: nearest_future(k, case[old], case[now])},
    )


def same_page(old: str, new: str, level: Level | None = None) -> Need:
    """If both map pages they map the same, of the same size; Host-writable lasts until it is zapped."""

    def kept(k: Semantics) -> int:
        return SPTE_BASE_ADDR_MASK | PT_PAGE_SIZE_MASK | k.shadow_host_writable_mask

    def both(k: Semantics, case: Case) -> Truth:
        at = None if level is None else level(k, case)
        leaves = present_kind(k, case[old]) & present_kind(k, case[new])
        if at is None:
            return leaves
        huge = is_large_pte(k, case[old]) & is_large_pte(k, case[new]) & (at <= PG_LEVEL_1G)
        return leaves & ((at == PG_LEVEL_4K) | huge)

    def holds(k: Semantics, case: Case) -> Truth:
        return no(both(k, case)) | no(any_set(case[old] ^ case[new], kept(k)))

    def mend(k: Semantics, case: Case) -> dict[str, Word]:
        same = clear(case[new], kept(k)) | (case[old] & kept(k))
        at = None if level is None else level(k, case)
        return {new: either(both(k, case), nearest_leaf(k, same, at), case[new])}

    return need(f"{old} and {new} map different pages, or Host-writable differs", holds, mend)
