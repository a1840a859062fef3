# SPDX-License-Identifier: GPL-2.0-only
"""make_spte() for schedules, which make the same few SPTEs over and over again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.model.semantics import Semantics
from conformance.model.spte.make_spte import make_spte

__all__ = ["remembering_make_spte"]


def remembering_make_spte() -> Callable[..., Any]:
    """A make_spte() that remembers its results, and the complaints about them. For one kernel only."""
    results: dict[tuple[Any, ...], tuple[Any, list[tuple[str, Any]]]] = {}

    def remembered(k: Semantics, **arguments: Any) -> Any:
        key = tuple(arguments.values())
        known = results.get(key)
        if known is not None:
            made, complaints = known
            k.events += complaints
            return made
        before = len(k.events)
        made = make_spte(k, **arguments)
        results[key] = made, [event for event in k.events[before:] if event[1]]
        return made

    return remembered
