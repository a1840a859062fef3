# SPDX-License-Identifier: GPL-2.0-only
"""What a fix is: the commit, the substitutions that take it out of a kernel, and what must then notice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from conformance.differential.verdict import Wording
from conformance.kernels.substitutions import Substitution
from conformance.model.changes import Change

__all__ = ["Fix", "Layer", "Means", "Revert", "Undetected", "fix", "roughly", "without"]


class Layer(Wording):
    """How much of a kernel must run to detect that a fix is missing."""

    FUNCTION = "single functions"
    """One call of a pure function; a property detects it."""
    STORY = "a whole VM"
    """A sequence of steps, with page tables and a record of flushes; a story detects it."""
    INTERLEAVING = "interleavings"
    """Two threads whose accesses interleave."""
    SHADOW = "shadow paging, nested guests"
    """Page tables of a guest that KVM shadows, or of a nested guest."""


class Means(Wording):
    """What notices that a fix is missing."""

    PROPERTY = "property"
    STORY = "story"
    RACE = "race"


@dataclass(frozen=True)
class Revert:
    """A kernel without the fix: the substitutions that take it out, all of them in one kernel.

    ``by`` is the property, story or race that must notice, in ``mode``. ``exact``: the model without the
    change describes the result, so that the two must agree.
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
    """A commit, what was wrong without it and in which function, and how to take it out of kernels.

    ``change`` is one of the registry where the model describes kernels with and without it.
    """

    change: Change
    function: str
    wrong: str
    reverts: tuple[Revert, ...]

    @property
    def commit(self) -> str:
        """The abbreviated commit ID."""
        return self.change.commit


@dataclass(frozen=True)
class Undetected:
    """A fix that no oracle would notice to be missing, and the reason.

    ``layer`` is what it would take to detect it.
    """

    change: Change
    function: str
    wrong: str
    layer: Layer
    reason: str


def fix(change: Change, function: str, wrong: str, *reverts: Revert) -> Fix:
    """A fix and the kernels that it can be taken out of; see Fix."""
    return Fix(change, function, wrong, reverts)


def without(*substitutions: Substitution, by: str, mode: str = "ept-ad", exact: bool = True) -> Revert:
    """A revert made of substitutions in one kernel; exact unless said otherwise."""
    if len({one.kernel for one in substitutions}) != 1:
        raise ValueError(f"{by}: a revert is made of substitutions in one kernel")
    return Revert(substitutions, by, mode, exact)


roughly = partial(without, exact=False)
"""A revert whose result the model cannot describe, or which differs from the code before the fix."""
