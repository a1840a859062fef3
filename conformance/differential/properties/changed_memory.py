# SPDX-License-Identifier: GPL-2.0-only
"""The outputs of functions that change an SPTE in memory, and how the model's Update becomes these."""

from __future__ import annotations

from collections.abc import Callable

from conformance.differential.outputs import Flag, Number, Spte, Writes
from conformance.model.spte.spte_update import Update
from conformance.model.words import Word

__all__ = ["UPDATED", "WRITTEN", "updated", "written"]

WRITTEN = (Spte("value"), Spte("memory after"), Writes("accesses"))
"""Of the TDP MMU's writes: the value is the SPTE that was replaced."""
UPDATED = (
    Flag("value"),
    Spte("memory after"),
    Writes("accesses"),
    Number("pfn accessed"),
    Number("pfn dirty"),
)
"""Of mmu_spte_update() and its callers: the value says whether to flush."""


def written(function: Callable[..., Update]) -> Callable[..., tuple[Word, ...]]:
    """The model's function, answering WRITTEN."""

    def answer(*arguments: Word) -> tuple[Word, ...]:
        update = function(*arguments)
        return update.value, update.memory, update.accesses

    return answer


def updated(function: Callable[..., Update]) -> Callable[..., tuple[Word, ...]]:
    """The model's function, answering UPDATED."""

    def answer(*arguments: Word) -> tuple[Word, ...]:
        update = function(*arguments)
        return update.value, update.memory, update.accesses, update.pfn_accessed, update.pfn_dirty

    return answer
