# SPDX-License-Identifier: GPL-2.0-only
"""Fields that moved: the places of members of structures whose text changed, by the compiler's DWARF."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from conformance.kernels import Kernel
from conformance.kernels.dwarf import WHOLE, Places
from conformance.kernels.headers import places_in
from conformance.review.functions import Source
from conformance.review.review import ConstantReview

__all__ = ["moved_fields"]

_OURS = re.compile(
    r"(struct|union) (kvm_(mmu|page|memory|memslots|gfn|rmap|lpage|arch_memory)|rsvd_bits|tdp_)"
)
"""Structures of the MMU that are defined outside of its own files."""


def moved_fields(
    kernels: tuple[Kernel, Kernel], sources: tuple[Source, Source], names: Iterable[str]
) -> list[ConstantReview]:
    """The members of the structures ``names`` whose place or width changed.

    A member that only one kernel has is listed with None for the other.
    """
    wanted = sorted(name for name in names if any(_concerns_us(name, source) for source in sources))
    layouts = [
        places_in(kernel, [name for name in wanted if name in source.macros])
        for kernel, source in zip(kernels, sources, strict=True)
    ]
    return [one for name in wanted for one in _compared(name, *(each.get(name, {}) for each in layouts))]


def _concerns_us(name: str, source: Source) -> bool:
    text = source.macros.get(name)
    return text is not None and (text.of_mmu or bool(_OURS.match(name)))


def _compared(name: str, before: Places, after: Places) -> Iterator[ConstantReview]:
    """What moved in one structure, and what changed its width."""
    for member in [*before, *(new for new in after if new not in before)]:
        was, now = before.get(member, (None, None)), after.get(member, (None, None))
        if was[0] != now[0]:
            yield ConstantReview(member, was[0], now[0], name, "first bit")
        if was[1] != now[1] and None not in (*was, *now):
            whole = member == WHOLE
            yield ConstantReview(
                name if whole else member, was[1], now[1], name, "size" if whole else "width"
            )
