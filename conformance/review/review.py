# SPDX-License-Identifier: GPL-2.0-only
"""What a review comes to: how each function stands, and the constants and layouts that moved.

What was proved and what was merely looked at are different standings, and are never added up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from conformance.differential.verdict import Counterexample, Wording

__all__ = ["UNKNOWN", "ConstantReview", "FunctionReview", "Review", "ScopeReview", "Standing"]


class Standing(Wording):
    """How a function after the change compares with the one before it."""

    SAME = "same text"
    """Its text is the same, and so is the text of all that it is made of."""
    SAME_CODE = "machine code equal"
    """Proved: the compiler makes the same instructions of it, with the same references."""
    EQUIVALENT = "equivalent"
    """Proved: it answered alike on every input that there is."""
    UNSEEN = "no difference found"
    """Not proved: it answered alike on as many inputs, or in the stories, that the review names."""
    DIFFERS = "behaviour differs"
    """Seen: an input, or a story, on which the two behave differently."""
    UNCOVERED = "changed, but covered by no property"
    """Its code changed, and nothing that could be run executes it."""
    UNOBSERVED = "executed, but nothing looks at its result"
    """Its code changed and was run, but a fault planted in it is noticed by nothing that ran it."""
    UNMEASURED = "executed, but whether anything looks at its result was not measured"
    """Its code changed and was run alike; that a fault in it would have been noticed is not known."""
    ADDED = "added"
    REMOVED = "removed"


_PROVED = (Standing.SAME, Standing.SAME_CODE, Standing.EQUIVALENT)
UNKNOWN = (Standing.UNCOVERED, Standing.UNOBSERVED, Standing.UNMEASURED)
"""The standings of functions about whose behaviour nothing is known."""


@dataclass(frozen=True)
class FunctionReview:
    """One function. ``name`` and ``file`` are those after the change; for a removed one, those before.

    ``was`` is its old name if it was renamed. ``cases`` counts inputs run on both kernels, ``by`` names the
    properties and stories that executed it. ``reason`` says why it stands so where that needs saying.
    ``through`` is what it uses that changed, if its own text did not. In ``difference`` the ``kernel`` texts
    are those before the change, the ``model`` texts those after.
    """

    name: str
    file: str
    standing: Standing
    was: str = ""
    cases: int = 0
    by: tuple[str, ...] = ()
    reason: str = ""
    difference: Counterexample | None = None
    through: tuple[str, ...] = ()


def _crashes(found: Counterexample) -> bool:
    """Whether the kernel after the change did not live to answer."""
    return found.model.get("answer", "").startswith("did not come") or found.model.get(
        "machine", ""
    ).startswith("died")


@dataclass(frozen=True)
class ConstantReview:
    """A constant, a mask or a field whose value or place moved; None where there is none.

    ``where`` is the file, or the structure, that it belongs to. Of a field, or of the structure, ``aspect``
    says which of its measures moved, in bits.
    """

    name: str
    before: int | None
    after: int | None
    where: str
    aspect: str = ""

    @property
    def texts(self) -> tuple[str, str]:
        """Both values for people: constants in hex, places in decimal, - where there is none."""
        form = "d" if self.aspect else "#x"
        before, after = ("-" if value is None else f"{value:{form}}" for value in (self.before, self.after))
        return before, after


@dataclass(frozen=True)
class ScopeReview:
    """Something outside of functions that changed: a variable, an export, a trace event, a whole file.

    ``users`` are the functions that it is judged by, since they use it. ``proved`` says why it changes
    nothing, where that is proved. Without either, nothing here looks at it; ``reason`` may say more.
    """

    name: str
    file: str
    users: tuple[str, ...] = ()
    proved: str = ""
    reason: str = ""

    @property
    def observed(self) -> bool:
        """Whether anything here looks at it."""
        return bool(self.users or self.proved)


@dataclass(frozen=True)
class Review:
    """Everything said about a change. ``before`` and ``after`` are titles with versions.

    ``scope`` is what changed outside of functions, ``undone`` are the known fixes that the kernel after the
    change lacks and the one before has. ``errors`` are sentences about what could not be judged, ``notes``
    about how patches were applied.
    """

    before: str
    after: str
    functions: tuple[FunctionReview, ...]
    constants: tuple[ConstantReview, ...] = ()
    errors: tuple[str, ...] = ()
    scope: tuple[ScopeReview, ...] = ()
    undone: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> tuple[FunctionReview, ...]:
        """The functions whose text, or the text of what they are made of, is not the same."""
        return tuple(one for one in self.functions if one.standing is not Standing.SAME)

    @property
    def unlooked(self) -> tuple[ScopeReview, ...]:
        """What changed outside of functions, and nothing here looks at."""
        return tuple(one for one in self.scope if not one.observed)

    @property
    def uncovered(self) -> tuple[FunctionReview, ...]:
        """The changed functions that nothing executed, or whose result nothing looked at."""
        return tuple(one for one in self.functions if one.standing in UNKNOWN)

    @property
    def covered(self) -> bool:
        """Whether everything that changed was looked at."""
        return not self.uncovered and not self.unlooked

    @property
    def broken(self) -> bool:
        """Whether the kernel after the change crashes where the one before did not, or lacks a known fix."""
        found = [one.difference for one in self.functions if one.difference is not None]
        return bool(self.undone) or any(map(_crashes, found))

    @property
    def counts(self) -> dict[Standing, int]:
        """How many functions stand how; every standing is named."""
        seen = Counter(one.standing for one in self.functions)
        return {standing: seen[standing] for standing in Standing}

    @property
    def proved(self) -> bool:
        """Whether every function is proved to behave as before, and nothing else changed unnoticed.

        An addition or a removal is no such proof.
        """
        known = not self.errors and not self.unlooked
        return known and all(one.standing in _PROVED for one in self.functions)
