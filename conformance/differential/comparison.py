# SPDX-License-Identifier: GPL-2.0-only
"""One property in one mode on two sides: both answer the same batches of cases, and are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.differential.columns import SpteColumn
from conformance.differential.drawing import draw
from conformance.differential.outputs import Output
from conformance.differential.property import Property
from conformance.differential.sides import Rows, Side
from conformance.model.modes import Mode
from conformance.model.spte.predicates import is_shadow_present_pte
from conformance.model.words import no
from conformance.oracles.child import KernelDied

__all__ = ["ALIKE", "ILLEGAL", "LOUD", "QUIET", "Comparison", "Difference"]

Words = NDArray[np.uint64]
Answer = Rows | KernelDied

QUIET, LOUD, ILLEGAL, ALIKE = range(4)
"""How well a case shows a difference: callers can give it and neither side complains; a side WARNs, BUGs or
crashes on what callers can give; callers cannot give it; it shows none."""


@dataclass(frozen=True)
class Difference:
    """One case on which the sides differ.

    ``case`` are the input words; ``left`` and ``right`` the observed ones, the word of events last. A side
    that crashed or hung has none, and ``crash`` says how it ended.
    """

    case: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    crash: str | None = None
    hung: bool = False
    """Whether the crash was that kernel code did not come back; each try then costs as long again."""
    unexpected: tuple[str, str] = ("", "")
    """The name of an event that the property does not declare, on either side; "" if there was none."""
    tried: int = 0
    """How many cases that callers can give were tried in its place without showing a difference."""


class Comparison:
    """A property in a mode, answered by two sides.

    ``semantics`` are those of the left side: inputs are drawn, and judged legal, by them. ``cases`` counts
    what was compared so far. In a review neither side is the specification: the left one is a kernel before
    a change, the right one the kernel after it. Outputs of the kind ``ignored`` count as equal.
    """

    def __init__(
        self,
        prop: Property,
        mode: Mode,
        left: Side,
        right: Side,
        *,
        review: bool = False,
        ignored: type[Output] | None = None,
    ) -> None:
        self.property = prop
        self.mode = mode
        self.left = left
        self.right = right
        self.review = review
        self.semantics = left.semantics(mode)
        self.cases = 0
        self._ignored = [
            n for n, output in enumerate(prop.gives) if ignored is not None and isinstance(output, ignored)
        ]

    def ignoring(self, kind: type[Output]) -> Comparison:
        """The same comparison, but for outputs of one kind."""
        return Comparison(self.property, self.mode, self.left, self.right, review=self.review, ignored=kind)

    @property
    def capacity(self) -> int:
        """The most cases that one batch may have."""
        return min(side.capacity(self.property) for side in (self.left, self.right))

    def draw(self, rng: np.random.Generator, n: int) -> Words:
        """``n`` drawn cases: a row a column."""
        return draw(self.property, self.semantics, rng, n)

    def answer(self, side: Side, batch: Words) -> Words:
        """One side's answer to a batch, an array of its own. Raises KernelDied."""
        self._submit(side, batch)
        return np.array(self._seen(side.collect()), np.uint64)

    def compare(self, batch: Words) -> Difference | None:
        """The first case of the batch on which the sides differ, None if they agree.

        Where the mask setters of a side die in this mode, that is the difference, on any case. Where both
        sides die on the same case, they agree on it.
        """
        left, right = self._answers(batch)
        if isinstance(left, KernelDied) or isinstance(right, KernelDied):
            return self._death(batch, left, right)
        self.cases += batch.shape[1]
        if all(map(np.array_equal, left, right)):
            return None
        first = self._clearest(batch, np.flatnonzero(_differing(left, right)))
        return Difference(
            case=_case(batch, first),
            left=_case(left, first),
            right=_case(right, first),
            unexpected=(self.left.unexpected, self.right.unexpected),
        )

    def compare_once(self, case: Sequence[int]) -> Difference | None:
        """compare() for one case."""
        return self.compare(np.array([case], np.uint64).T.copy())

    def ranks(self, batch: Words, *, deaths: int = 8) -> NDArray[np.uint8]:
        """How well each case of the batch shows a difference: QUIET, LOUD, ILLEGAL or ALIKE.

        A crash is a difference. After ``deaths`` crashes the rest of the batch counts as alike, since each
        takes its time.
        """
        found = np.full(batch.shape[1], ALIKE, np.uint8)
        start = 0
        while start < batch.shape[1] and deaths > 0:
            rest = batch[:, start:]
            try:
                found[start:] = self._ranked(rest)
                break
            except KernelDied as died:
                if died.at:
                    found[start : start + died.at] = self._ranked(rest[:, : died.at])
                found[start + died.at] = LOUD
                start += died.at + 1
                deaths -= 1
        legal = self.property.legal(self.semantics, list(batch))
        found[(found != ALIKE) & no(legal)] = ILLEGAL
        return found

    def rank(self, case: Sequence[int]) -> int:
        """ranks() of one case."""
        return int(self.ranks(np.array([case], np.uint64).T.copy())[0])

    def differences(self, batch: Words) -> list[Difference]:
        """Each case of a small batch on which the sides differ; none where either crashes."""
        left, right = self._answers(batch)
        if isinstance(left, KernelDied) or isinstance(right, KernelDied):
            return []
        return [
            Difference(case=_case(batch, n), left=_case(left, n), right=_case(right, n))
            for n in np.flatnonzero(_differing(left, right))
        ]

    def _submit(self, side: Side, batch: Words) -> None:
        side.submit(self.property, self.mode, batch, self.semantics)

    def _seen(self, answer: Rows) -> Rows:
        """An answer without what is ignored."""
        for row in self._ignored:
            answer[row] = np.zeros_like(answer[row])
        return answer

    def _answers(self, batch: Words) -> tuple[Answer, Answer]:
        """Both answers, or how a side died. Each side begins before either is waited for.

        The right one is collected first: the model computes here while a kernel's process works.
        """
        left = self._begin(self.left, batch)
        try:
            right = self._begin(self.right, batch) or self._collected(self.right)
        finally:
            # Also where the other side lacks something: what was submitted must be collected.
            left_answer = left or self._collected(self.left)
        return left_answer, right

    def _begin(self, side: Side, batch: Words) -> KernelDied | None:
        try:
            self._submit(side, batch)
        except KernelDied as died:
            return died
        return None

    def _collected(self, side: Side) -> Answer:
        try:
            return self._seen(side.collect())
        except KernelDied as died:
            return died

    def _death(self, batch: Words, left: Answer, right: Answer) -> Difference | None:
        """The first death of a side as a difference. Where both die on the same case, they agree on it."""
        n = batch.shape[1]
        ends = [answer.at if isinstance(answer, KernelDied) else n for answer in (left, right)]
        at = min(*ends, n - 1)
        if ends[0] == ends[1]:
            found = self.compare(batch[:, :at].copy()) if at else None
            self.cases += found is None
            return found
        self.cases += at + 1
        if ends[0] < ends[1]:
            died, survivor, words = left, self.right, right
        else:
            died, survivor, words = right, self.left, left
        assert isinstance(died, KernelDied)
        case = batch[:, at : at + 1].copy()
        if isinstance(words, KernelDied):
            words = self._begin(survivor, case) or self._collected(survivor)
        else:
            words = [row[at : at + 1] for row in words]
        given = () if isinstance(words, KernelDied) else _case(words, 0)
        return Difference(
            case=_case(case, 0),
            left=given if survivor is self.left else (),
            right=given if survivor is self.right else (),
            crash=died.how,
            hung=died.hung,
        )

    def _ranked(self, batch: Words) -> NDArray[np.uint8]:
        """QUIET, LOUD or ALIKE for each case. Raises KernelDied."""
        left, right = self._answers(batch)
        deaths = [answer for answer in (left, right) if isinstance(answer, KernelDied)]
        if deaths:
            raise min(deaths, key=lambda died: died.at)
        assert not isinstance(left, KernelDied) and not isinstance(right, KernelDied)
        complaints = sum(0xFF << 8 * n for n, event in enumerate(self.property.events) if _complains(event))
        complaints |= 0xFF << 56
        loud = ((left[-1] | right[-1]) & np.uint64(complaints)) != 0
        ranks = np.where(loud, np.uint8(LOUD), np.uint8(QUIET))
        return np.where(_differing(left, right), ranks, np.uint8(ALIKE))

    def _clearest(self, batch: Words, differing: NDArray[np.intp]) -> int:
        """Of the cases that differ the first whose SPTEs are all present, or else the first."""
        columns = [n for n, column in enumerate(self.property.takes) if isinstance(column, SpteColumn)]
        present = np.ones(len(differing), np.bool_)
        for n in columns:
            present &= np.asarray(is_shadow_present_pte(self.semantics, batch[n, differing]))
        return int(differing[np.argmax(present)])


def _differing(left: Rows, right: Rows) -> NDArray[np.bool_]:
    """On which cases two answers differ."""
    return np.logical_or.reduce([one != other for one, other in zip(left, right, strict=True)])


def _case(rows: Words | Rows, n: int | np.integer[Any]) -> tuple[int, ...]:
    """The words of one case."""
    return tuple(int(row[n]) for row in rows)


def _complains(event: str) -> bool:
    return event.startswith(("WARN", "BUG"))
