# SPDX-License-Identifier: GPL-2.0-only
"""What a story has shown of KVM's states, as a set of numbers: small facts that many stories have in common.

A fact is what a kind of step did: its outcome, the counters that grew, the kinds of SPTEs and of shadow pages
that came or went. A kind of SPTE is its level and its bits outside of the address. Each fact is a hash of
16 bits, the same in every process.
"""

from __future__ import annotations

from collections.abc import Sequence

from conformance.interface.observation import Observation, ShadowPageView
from conformance.interface.steps import KINDS
from conformance.model.layout import SPTE_BASE_ADDR_MASK
from conformance.scenarios.steps import Step

__all__ = ["states_of"]

_NUMBER = {kind: number for number, kind in enumerate(KINDS)}
_BITS = ~SPTE_BASE_ADDR_MASK
_LARGE = 8
"""Outcomes from here on, such as gfns and words of memory, are alike."""

Fact = tuple[object, ...]


def states_of(steps: Sequence[Step], seen: Sequence[Observation]) -> frozenset[int]:
    """The facts about the steps of a story, of which ``seen`` are the observations."""
    facts: set[Fact] = set()
    before, entries, pages = Observation([], []), frozenset[Fact](), frozenset[Fact]()
    for step, now in zip(steps, seen, strict=False):
        kind = _NUMBER[step.kind]
        facts.add((kind, *(min(max(word, -_LARGE), _LARGE) for word in now.outcome[:_LARGE])))
        if now.state is not None and before.state is not None:
            facts.add(
                (kind, *(later > earlier for later, earlier in zip(now.state, before.state, strict=True)))
            )
        if now.roots is not before.roots:
            entries = _changed(facts, kind, entries, _entries(now))
        if now.shadow is not None and (before.shadow is None or now.shadow.pages is not before.shadow.pages):
            pages = _changed(
                facts, kind, pages, frozenset(fact for page in now.shadow.pages for fact in _page(page))
            )
        before = now
    return frozenset(hash(fact) & 0xFFFF for fact in facts)


def _changed(facts: set[Fact], kind: int, before: frozenset[Fact], now: frozenset[Fact]) -> frozenset[Fact]:
    """Note what came and what went in a step of a kind; return what there is now."""
    facts.update((kind, True, *fact) for fact in now - before)
    facts.update((kind, False, *fact) for fact in before - now)
    return now


def _entries(now: Observation) -> frozenset[Fact]:
    """The kinds of entries in the roots of the TDP MMU, and of the roots themselves."""
    found: set[Fact] = set()
    for root in now.roots:
        flat = root.flat
        found.add((root.as_id, root.level, root.invalid, min(root.references, 3)))
        found.update(
            (level, spte & _BITS, child > 0)
            for level, spte, child in zip(flat[::4], flat[2::4], flat[3::4], strict=True)
        )
    return frozenset(found)


def _page(page: ShadowPageView) -> list[Fact]:
    """The kind of a shadow page, and those of its entries."""
    level = page.role.level
    state = (page.unsync, min(page.unsync_children, 2), min(page.root_count, 2), min(page.parents, 2))
    kinds = {(level, entry.spte & _BITS, entry.child > 0, entry.unsync) for entry in page.entries}
    return [(*page.role, page.nx_huge_page_disallowed), (level, *state), *kinds]
