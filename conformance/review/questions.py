# SPDX-License-Identifier: GPL-2.0-only
"""Questions that a kernel has answered once, and that the model answers for any profile.

An answer depends only on the changes that the model asks the profile for. Those are recorded, so that each
path through the model is executed once, whatever other changes a profile has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from conformance.differential.comparison import Comparison, Difference
from conformance.differential.fingerprints import answers
from conformance.differential.inputs import admitted
from conformance.differential.property import Property
from conformance.differential.shrinking import smallest
from conformance.differential.sides import ModelSide, Side
from conformance.model.changes import Change
from conformance.model.modes import Mode
from conformance.model.profiles import Profile
from conformance.oracles.child import KernelDied

__all__ = ["Answer", "Asked", "Behaviour", "Misfit", "Presence", "Question"]

Words = NDArray[np.uint64]

INCOHERENT = (ArithmeticError, LookupError, ValueError)
"""What the model raises for a profile that no kernel can have, such as bits shifted out of a word."""

_UNKNOWN = Profile("unknown", frozenset())
"""The profile of a kernel that is being identified. Its functions are given words as they are."""


class Asked(frozenset[Change]):
    """The changes of a profile; records which changes were asked for, in order."""

    answers: dict[Change, bool]

    def __new__(cls, changes: Iterable[Change]) -> Asked:
        """The same changes, with an empty record."""
        made = super().__new__(cls, changes)
        made.answers = {}
        return made

    def __contains__(self, change: object) -> bool:
        there = super().__contains__(change)
        if isinstance(change, Change):
            self.answers.setdefault(change, there)
        return there


@dataclass(frozen=True)
class Misfit:
    """A disagreement of kernel and profile: in words, and the share of the question (0 < share <= 1)."""

    reason: str
    share: float = 1.0


@dataclass(frozen=True)
class Answer:
    """The answer of a profile: a misfit or None, and the changes that it depends on."""

    misfit: Misfit | None
    asked: frozenset[Change]


@dataclass
class _Node:
    """A node of the tree of paths through the model: the next change asked for, or the answer."""

    change: Change | None = None
    answer: Answer | None = None
    ways: dict[bool, _Node] = field(default_factory=dict)


class Question:
    """One question. ``name`` and ``mode`` say what is asked, ``kind`` how: presence, behaviour, story."""

    kind = ""
    steps = 1
    """How many inputs, or steps of a story, were compared."""

    def __init__(self, name: str, mode: str) -> None:
        self.name = name
        self.mode = mode
        self._root = _Node()

    def answer(self, profile: Profile) -> Answer:
        """The answer of a profile."""
        node = self._root
        while node.answer is None and node.change is not None:
            node = node.ways.setdefault(profile.has(node.change), _Node())
        return node.answer or self._find_out(profile)

    def misfit(self, profile: Profile) -> Misfit | None:
        """Ask the model. Raises one of INCOHERENT for a profile that no kernel can have."""
        raise NotImplementedError

    def _find_out(self, profile: Profile) -> Answer:
        asked = Asked(profile.changes)
        try:
            found = self.misfit(Profile(profile.name, asked))
        except INCOHERENT:
            found = Misfit("no kernel can be like this")
        node = self._root
        for change, there in asked.answers.items():
            node.change = change
            node = node.ways.setdefault(there, _Node())
        node.answer = Answer(found, frozenset(asked.answers))
        return node.answer


class Presence(Question):
    """Whether a function exists; nothing about its behaviour."""

    kind = "presence"

    def __init__(self, prop: Property, there: bool) -> None:
        super().__init__(prop.name, "-")
        self._prop = prop
        self._there = there

    def misfit(self, profile: Profile) -> Misfit | None:
        """A misfit if the profile disagrees about whether the function exists."""
        if (self._prop.absent(profile) == "") == self._there:
            return None
        return Misfit(f"{self.name}() {'can' if self._there else 'cannot'} be called")


class Behaviour(Question):
    """The answers of a function to the published inputs ``cases``, in a mode.

    ``kernel`` gives the kernel as a side whose words are those of a profile.
    """

    kind = "behaviour"

    def __init__(self, prop: Property, mode: Mode, cases: Words, kernel: Callable[[Profile], Side]) -> None:
        super().__init__(prop.name, mode.name)
        self._property = prop
        self._mode = mode
        self._cases = cases
        self._kernel = kernel
        self._died = ""
        self.steps = cases.shape[1]
        try:
            self._observed = answers(kernel(_UNKNOWN), prop, mode.name, cases)
        except KernelDied as died:
            self._died = f"kernel code {died.how} on published input {died.at}"

    def comparison(self, profile: Profile) -> Comparison:
        """The function of the kernel beside that of the model with a profile."""
        return Comparison(self._property, self._mode, self._kernel(profile), ModelSide(profile))

    def difference(self, profile: Profile) -> Difference | None:
        """The smallest input found on which kernel and profile differ."""
        comparison = self.comparison(profile)
        found = comparison.compare(self._allowed(comparison))
        return None if found is None else smallest(comparison, found, np.random.default_rng(0))

    def misfit(self, profile: Profile) -> Misfit | None:
        """The share of the admitted inputs that the model answers differently."""
        if self._property.absent(profile):
            return None
        if self._died:
            return Misfit(self._died)
        model = ModelSide(profile)
        allowed = admitted(self._property, model.semantics(self._mode), self._cases)
        expected = answers(model, self._property, self._mode.name, self._cases)
        differing = (expected != self._observed).any(axis=0) & allowed
        count = int(np.count_nonzero(differing))
        return Misfit(f"{count} of {len(differing)} inputs", count / len(differing)) if count else None

    def _allowed(self, comparison: Comparison) -> Words:
        return self._cases[:, admitted(self._property, comparison.semantics, self._cases)].copy()
