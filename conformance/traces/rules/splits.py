# SPDX-License-Identifier: GPL-2.0-only
"""R2 for huge pages that are split: what is split is a huge page."""

from __future__ import annotations

from conformance.traces.events import Event
from conformance.traces.rules.rule import Rule
from conformance.traces.state import State, gfns_of

__all__ = ["SPLITS"]


def _not_huge(state: State, event: Event) -> str | None:
    spte, level = state.values["spte"], state.values["level"]
    entry = state.entries(spte, level)
    return (
        None
        if entry.present and entry.leaf and level > 1
        else f"{spte:#x} at level {level} maps no huge page"
    )


def _unaligned(state: State, event: Event) -> str | None:
    gfn, level = state.values["gfn"], state.values["level"]
    return f"gfn {gfn:#x} is not the first of a page of level {level}" if gfn & gfns_of(level) - 1 else None


_SPLIT = ("kvm_mmu_split_huge_page",)

SPLITS = (
    Rule(
        "R2 split",
        "only huge pages are split",
        "tdp_mmu_split_huge_pages_root() and shadow_mmu_try_split_huge_pages() skip others",
        "tdp_mmu_split_huge_page()", _SPLIT, _not_huge,
    ),
    Rule(
        "R2 split gfn",
        "the gfn of a huge page is the first that it maps",
        "tdp_mmu_split_huge_page() takes it from the iterator",
        "tdp_mmu_split_huge_page()", _SPLIT, _unaligned,
    ),
)  # fmt: skip
