# SPDX-License-Identifier: GPL-2.0-only
"""The results of a review: the standing of each function, and the constants and layouts that moved.

What is proved and what was merely tested are different standings, and are never added up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from conformance.differential.verdict import Counterexample, Wording
from conformance.review.changed_lines import ChangedLines

__all__ = ["UNKNOWN", "ConstantReview", "FunctionReview", "Review", "ScopeReview", "Standing"]


class Standing(Wording):
    """How a function after the change compares with the one before it."""

    SAME = "same text"
    """Its text is the same, and so is the text of all macros and constants that it uses."""
    SAME_CODE = "machine code equal"
    """Proved: it compiles to the same instructions, with the same references."""
    EQUIVALENT = "equivalent"
    """Proved: both answer alike on every input."""
    UNSEEN = "no difference found"
    """Not proved: both answered alike on the inputs, or in the stories, that the review names."""
    DIFFERS = "behaviour differs"
    """An input, or a story, was found on which the two behave differently."""
    UNCOVERED = "changed, but covered by no property"
    """Its code changed, and no property or story executes it."""
    UNOBSERVED = "executed, but nothing looks at its result"
    """Its code changed and was run, but nothing that ran it detects a mutant of it."""
    UNMEASURED = "executed, but whether anything looks at its result was not measured"
    """Its code changed and was run alike; whether a mutant of it would be detected is not known."""
    ADDED = "added"
    REMOVED = "removed"


_PROVED = (Standing.SAME, Standing.SAME_CODE, Standing.EQUIVALENT)
UNKNOWN = (Standing.UNCOVERED, Standing.UNOBSERVED, Standing.UNMEASURED)
"""The standings that leave the behaviour of a function unknown."""


@dataclass(frozen=True)
class FunctionReview:
    """One function. ``name`` and ``file`` are those after the change; for a removed one, those before.

    ``was`` is its old name if it was renamed. ``cases`` counts inputs run on both kernels, ``by`` names the
    properties and stories that executed it. ``reason`` explains the standing where necessary.
    ``through`` is what it uses that changed, if its own text did not. In ``difference`` the ``kernel`` texts
    are those before the change, the ``model`` texts those after. ``lines`` are its changed lines, and what
    executed them; None if none changed, or if it is proved equal.
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
    lines: ChangedLines | None = None


def _crashes(found: Counterexample) -> bool:
    """Whether the kernel after the change crashed."""
    return found.model.get("answer", "").startswith("did not come") or found.model.get(
        "machine", ""
    ).startswith("died")


@dataclass(frozen=True)
class ConstantReview:
    """A constant, a mask or a field whose value or place changed; None on the side that lacks it.

    ``where`` is the file, or the structure, that it belongs to. For a field or a structure ``aspect`` names
    the measure that changed, in bits.
    """

    name: str
    before: int | None
    after: int | None
    where: str
    aspect: str = ""

    @property
    def texts(self) -> tuple[str, str]:
        """Both values for people: constants in hex, places in decimal, "-" for a missing one."""
        form = "d" if self.aspect else "#x"
        before, after = ("-" if value is None else f"{value:{form}}" for value in (self.before, self.after))
        return before, after


@dataclass(frozen=True)
class ScopeReview:
    """Something outside of functions that changed: a variable, an export, a trace event, a whole file.

    ``users`` are the functions that use it, and by which it is judged. ``proved`` says why it provably
    changes nothing. Without either, nothing here checks it; ``reason`` may say more.
    """

    name: str
    file: str
    users: tuple[str, ...] = ()
    proved: str = ""
    reason: str = ""

    @property
    def observed(self) -> bool:
        """Whether anything here checks it."""
        return bool(self.users or self.proved)


@dataclass(frozen=True)
class Review:
    """All results about a change. ``before`` and ``after`` are titles with versions.

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
        """The functions whose text, or the text of a macro or constant that they use, differs."""
        return tuple(one for one in self.functions if one.standing is not Standing.SAME)

    @property
    def unlooked(self) -> tuple[ScopeReview, ...]:
        """What changed outside of functions, and nothing here checks."""
        return tuple(one for one in self.scope if not one.observed)

    @property
    def uncovered(self) -> tuple[FunctionReview, ...]:
        """The changed functions that nothing executed, or whose result nothing checked."""
        return tuple(one for one in self.functions if one.standing in UNKNOWN)

    @property
    def covered(self) -> bool:
        """Whether everything that changed was checked."""
        return not self.uncovered and not self.unlooked

    @property
    def broken(self) -> bool:
        """Whether the kernel after the change crashes where the one before did not, or lacks a known fix."""
        found = [one.difference for one in self.functions if one.difference is not None]
        return bool(self.undone) or any(map(_crashes, found))

    @property
    def counts(self) -> dict[Standing, int]:
        """The number of functions per standing; every standing is listed."""
        seen = Counter(one.standing for one in self.functions)
        return {standing: seen[standing] for standing in Standing}

    @property
    def proved(self) -> bool:
        """Whether every function is proved to behave as before, and everything else is checked.

        An added or removed function is not proved.
        """
        known = not self.errors and not self.unlooked
        return known and all(one.standing in _PROVED for one in self.functions)
