# SPDX-License-Identifier: GPL-2.0-only
"""Limit "no difference found" to the properties and stories that would have detected a difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from conformance.errors import ConformanceError
from conformance.review.behaviour import Seen
from conformance.review.evidence import Evidence
from conformance.review.pairing import Pair, property_of
from conformance.review.review import FunctionReview, Standing

__all__ = ["apply_evidence"]


def apply_evidence(
    found: Iterable[FunctionReview], changed: Sequence[Pair], seen: Sequence[Seen], evidence: Evidence
) -> Iterator[FunctionReview]:
    """The reviews, where "no difference found" names only what would have detected one.

    A property of the function itself checks its result; for anything else that is measured.
    """
    pairs = {one.text.name: one for one in changed}
    for one in found:
        pair = pairs.get(one.name)
        if one.standing is not Standing.UNSEEN or pair is None:
            yield one
            continue
        own = {name for known in (one.name, one.was) if known for name in property_of(known)}
        try:
            names = [name for name in one.by if name in own] or evidence.noticing(pair, one.by)
        except ConformanceError as why:
            yield replace(one, standing=Standing.UNMEASURED, reason=str(why))
            continue
        if names:
            cases = sum(each.cases for each in seen if each.name in names)
            yield replace(one, by=tuple(names), cases=cases)
        else:
            where = f"{one.by[0]}" if len(one.by) == 1 else f"the {len(one.by)} properties and stories"
            reason = f"a difference planted where it changed is noticed by nothing in {where} that execute it"
            yield replace(one, standing=Standing.UNOBSERVED, reason=reason)
