# SPDX-License-Identifier: GPL-2.0-only
"""What a fix is: a commit that made the MMU right, how to take it out, and what must then notice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import partial

from conformance.model.changes import Change

__all__ = [
    "ITER_C",
    "ITER_H",
    "MMU_C",
    "SPTE_C",
    "SPTE_H",
    "TDP_C",
    "Fix",
    "Layer",
    "Revert",
    "Substitution",
    "Undetected",
    "roughly",
    "without",
]

_MMU = "arch/x86/kvm/mmu"
SPTE_C, SPTE_H = f"{_MMU}/spte.c", f"{_MMU}/spte.h"
TDP_C, ITER_C, ITER_H = f"{_MMU}/tdp_mmu.c", f"{_MMU}/tdp_iter.c", f"{_MMU}/tdp_iter.h"
MMU_C = f"{_MMU}/mmu.c"


class Layer(str, Enum):
    """How much of a kernel must run for a missing fix to show."""

    FUNCTION = "single functions"
    """One call of a pure function: a property."""
    STORY = "a whole VM"
    """Steps one after the other, with page tables and a ledger of flushes: a story."""
    INTERLEAVING = "interleavings"
    """Two threads, one of which acts in the middle of what the other does."""
    SHADOW = "shadow paging, nested guests"
    """Tables of a guest that KVM shadows, or of a nested guest."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Substitution:
    """A few words of a kernel's file: ``old``, which must stand there exactly once, becomes ``new``."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Revert:
    """A kernel without the fix.

    ``by`` is the property or story that must notice, in ``mode``. ``exact`` says that the model without
    the change describes what is left, so that the two must agree again.
    """

    kernel: str
    substitutions: tuple[Substitution, ...]
    by: str
    mode: str
    exact: bool


@dataclass(frozen=True)
class Fix:
    """A commit, what was wrong without it and in which function, and the kernels it can be taken out of.

    ``change`` is one of the registry where the model knows both sides of it.
    """

    change: Change
    function: str
    wrong: str
    reverts: tuple[Revert, ...]

    @property
    def commit(self) -> str:
        """The abbreviated id."""
        return self.change.commit


@dataclass(frozen=True)
class Undetected:
    """A fix that could be missing from a kernel without any oracle of today noticing, and why.

    ``layer`` is what it would take to see it.
    """

    change: Change
    function: str
    wrong: str
    layer: Layer
    reason: str


def without(
    kernel: str, *texts: tuple[str, str, str], by: str, mode: str = "ept-ad", exact: bool = True
) -> Revert:
    """A revert from (file, old, new) triples; exact unless said otherwise."""
    return Revert(kernel, tuple(Substitution(*text) for text in texts), by, mode, exact)


roughly = partial(without, exact=False)
"""A revert that leaves what the model cannot describe, or not quite what there was before the fix."""
