# SPDX-License-Identifier: GPL-2.0-only
"""What a review comes to: how each function stands, and the constants and layouts that moved.

What was proved and what was merely looked at are different standings, and are never added up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from conformance.differential.verdict import Counterexample

__all__ = ["ConstantReview", "FunctionReview", "Review", "Standing"]


class Standing(str, Enum):
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
    ADDED = "added"
    REMOVED = "removed"

    def __str__(self) -> str:
        return self.value


_PROVED = (Standing.SAME, Standing.SAME_CODE, Standing.EQUIVALENT)


@dataclass(frozen=True)
class FunctionReview:
    """One function. ``name`` and ``file`` are those after the change; for a removed one, those before.

    ``was`` is its old name if it was renamed. ``cases`` counts inputs run on both kernels, ``by`` names the
    properties and stories that executed it. ``reason`` says why it stands so where that needs saying. In
    ``difference`` the ``kernel`` texts are those before the change, the ``model`` texts those after.
    """

    name: str
    file: str
    standing: Standing
    was: str = ""
    cases: int = 0
    by: tuple[str, ...] = ()
    reason: str = ""
    difference: Counterexample | None = None


@dataclass(frozen=True)
class ConstantReview:
    """A constant, a mask or a field whose value or place moved; None where there is none.

    ``where`` is the file, or the structure, that it belongs to. Fields are in bits from the start.
    """

    name: str
    before: int | None
    after: int | None
    where: str

    @property
    def texts(self) -> tuple[str, str]:
        """Both values for people: constants in hex, places in decimal, - where there is none."""
        form = "d" if self.where.startswith(("struct ", "union ")) else "#x"
        before, after = ("-" if value is None else f"{value:{form}}" for value in (self.before, self.after))
        return before, after


@dataclass(frozen=True)
class Review:
    """Everything said about a change. ``before`` and ``after`` are titles with versions.

    ``errors`` are sentences about what could not be judged.
    """

    before: str
    after: str
    functions: tuple[FunctionReview, ...]
    constants: tuple[ConstantReview, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def changed(self) -> tuple[FunctionReview, ...]:
        """The functions whose text, or the text of what they are made of, is not the same."""
        return tuple(one for one in self.functions if one.standing is not Standing.SAME)

    @property
    def counts(self) -> dict[Standing, int]:
        """How many functions stand how; every standing is named."""
        seen = Counter(one.standing for one in self.functions)
        return {standing: seen[standing] for standing in Standing}

    @property
    def proved(self) -> bool:
        """Whether every function is proved to behave as before. An addition or a removal is no such proof."""
        return not self.errors and all(one.standing in _PROVED for one in self.functions)

    @property
    def status(self) -> int:
        """The exit status: 1 a difference in behaviour, else 2 if something could not be judged, else 0."""
        if any(one.standing is Standing.DIFFERS for one in self.functions):
            return 1
        return 2 if self.errors else 0
