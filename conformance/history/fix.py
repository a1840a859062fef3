# SPDX-License-Identifier: GPL-2.0-only
"""What a fix is: a commit that made the MMU right, how to take it out, and what must then notice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import partial

from conformance.kernels.substitutions import Substitution
from conformance.model.changes import Change

__all__ = ["Fix", "Layer", "Revert", "Undetected", "roughly", "without"]


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
class Revert:
    """A kernel without the fix: the substitutions that take it out, all of them of one kernel.

    ``by`` is the property or story that must notice, in ``mode``. ``exact`` says that the model without
    the change describes what is left, so that the two must agree again.
    """

    substitutions: tuple[Substitution, ...]
    by: str
    mode: str
    exact: bool

    @property
    def kernel(self) -> str:
        """The series that the fix is taken out of."""
        return self.substitutions[0].kernel


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


def without(*substitutions: Substitution, by: str, mode: str = "ept-ad", exact: bool = True) -> Revert:
    """A revert made of substitutions in one kernel; exact unless said otherwise."""
    if len({one.kernel for one in substitutions}) != 1:
        raise ValueError(f"{by}: a revert is made of substitutions in one kernel")
    return Revert(substitutions, by, mode, exact)


roughly = partial(without, exact=False)
"""A revert that leaves what the model cannot describe, or not quite what there was before the fix."""
