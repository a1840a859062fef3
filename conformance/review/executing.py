# SPDX-License-Identifier: GPL-2.0-only
"""Run what executes the changed functions: properties first, then stories.

That a property or a story finds no difference in a function counts only if it detects a mutant of it.
Which functions nothing executes is known before the new kernel is built, from measurements of the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from conformance.differential.properties import PROPERTIES
from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, Kernel
from conformance.oracles.kvm.build import CannotBuild
from conformance.oracles.lacking import Lacking
from conformance.review.apply_evidence import apply_evidence
from conformance.review.base_coverage import FUNCTIONS, STORIES, BaseCoverage
from conformance.review.behaviour import explore
from conformance.review.evidence import Evidence
from conformance.review.executed_lines import ExecutedLines
from conformance.review.pairing import Pair
from conformance.review.plan import ReviewPlan
from conformance.review.ran import Ran, Seen
from conformance.review.review import UNKNOWN, FunctionReview
from conformance.review.scope import shown_by_code
from conformance.review.stories import play_stories
from conformance.review.texts import Texts
from conformance.review.verdicts import judge
from conformance.scenarios import stories

__all__ = ["Running"]

Progress = Callable[[str], None]


@dataclass
class Running:
    """Runs properties and stories on two kernels.

    ``errors`` are sentences about what could not be run, ``differing`` are what differed, by name.
    """

    before: Kernel
    after: Kernel
    texts: Texts
    plan: ReviewPlan
    progress: Progress
    errors: list[str] = field(default_factory=list)
    differing: set[str] = field(default_factory=set)
    _ran: dict[str, Ran] = field(default_factory=dict)
    _why: str = ""

    def judge(
        self,
        changed: Sequence[Pair],
        pairs: Iterable[Pair],
        unproved: Callable[[list[Pair]], list[Pair]],
    ) -> list[FunctionReview]:
        """The reviews of the ``changed`` functions, and of those of ``pairs`` that differ without a change.

        ``unproved`` returns the functions that cannot be proved equal in the code as built.
        """
        pairs = list(pairs)
        if self._idle(changed):
            return list(judge(self._left_idle(changed, pairs, unproved), pairs, [], ""))
        seen = self._properties(changed)
        # A function that differs is not compiled again to prove it equal.
        different = {one.name for one in judge(changed, pairs, seen, self._why) if one.difference}
        left = unproved([one for one in changed if one.text.name not in different])
        changed = [one for one in changed if one.text.name in different or one in left]
        with Evidence(self.before, Cache(), self.progress) as evidence:
            judged = self._judged(left, pairs, seen, evidence)
            looked_at = {one.name for one in judged if one.standing not in UNKNOWN}
            looked_at -= {*self.plan.suspects}
            open_ones = [one for one in left if one.text.name not in looked_at]
            if open_ones and not self.plan.only:
                seen += self._stories(open_ones)
            self.differing = {one.name for one in seen if one.difference is not None}
            return self._judged(changed, pairs, seen, evidence)

    def with_lines(self, reviews: Iterable[FunctionReview], pairs: Iterable[Pair]) -> list[FunctionReview]:
        """The reviews with the changed lines of each function, and what executed them.

        If that cannot be read, the reason is among the errors.
        """
        functions = {one.text.name: one for one in pairs}
        changed = {symbol for one in functions.values() if not one.same for symbol in one.symbols}
        reader = ExecutedLines((self.before, self.after), self._base, self._ran, changed, self.plan)
        reviews = list(reviews)
        try:
            return [replace(one, lines=reader.of(functions[one.name])) for one in reviews]
        except ConformanceError as error:
            self.errors.append(str(error))
            return reviews

    def _judged(
        self, changed: Sequence[Pair], pairs: Sequence[Pair], seen: Sequence[Seen], evidence: Evidence
    ) -> list[FunctionReview]:
        """The reviews after what was run, limited to what would have detected a difference."""
        found = judge(changed, pairs, seen, self._why, self._moved, self.texts.begun)
        return list(found if self.plan.case else apply_evidence(found, changed, seen, evidence))

    def _idle(self, changed: Sequence[Pair]) -> bool:
        """Whether nothing executes any of the functions, and nothing else can change what runs."""
        if self.plan.case or not self.texts.decided:
            return False
        try:
            return not self._base.executes(_symbols(changed))
        except ConformanceError:
            return False  # The error is reported where the build is needed.

    def _left_idle(
        self, changed: Sequence[Pair], pairs: Iterable[Pair], unproved: Callable[[list[Pair]], list[Pair]]
    ) -> list[Pair]:
        """The functions that are not proved equal as part of others.

        A single function whose own code changed is not compiled again to show that.
        """
        alone = len(changed) == 1 and not any(one.before is None or one.after is None for one in pairs)
        return list(changed) if alone else unproved(list(changed))

    def _properties(self, changed: Sequence[Pair]) -> list[Seen]:
        """The results of the properties that execute one of the functions."""
        symbols = _symbols(changed)
        reach = self._reach(FUNCTIONS, symbols, PROPERTIES)
        if not reach:
            return []
        renamed, files = self.texts.new_names, _files(changed)
        kernels = self.before, self.after
        try:
            ran = explore(*kernels, symbols, renamed, self.plan, self.progress, reach, files)
        except BuildError as error:
            self._why = "the properties cannot be run"
            self.errors.append(f"{self._why}: {error}")
            return []
        self._ran[FUNCTIONS], self._why = ran, ran.why
        return ran.concerning(symbols)

    def _stories(self, changed: Sequence[Pair]) -> list[Seen]:
        """The results of the stories that execute one of the functions."""
        symbols = _symbols(changed)
        reach = self._reach(STORIES, symbols, stories.STORIES)
        if not reach:
            return []
        renamed, files = self.texts.symbols(), _files(changed)
        kernels = self.before, self.after
        try:
            ran = play_stories(*kernels, symbols, self.plan, self.progress, renamed, reach, files)
        except CannotBuild as without:
            self._why = f"there is no whole KVM: {without}"
        except (BuildError, Lacking) as error:
            self._why = "the stories cannot be played"
            self.errors.append(f"{self._why}: {error}")
        else:
            self._ran[STORIES] = ran
            return ran.concerning(symbols)
        return []

    def _reach(self, layer: str, symbols: set[str], known: Mapping[str, object]) -> dict[str, frozenset[str]]:
        """What to run, with the functions that each is known to execute.

        That is everything where something else than the functions can change what runs, or where it was not
        measured.
        """
        everything = dict.fromkeys(known, frozenset[str]())
        if self.plan.case:
            return everything
        try:
            if self.texts.decided:
                return self._base.reach(layer, symbols)
            return everything | self._base.every(layer)
        except ConformanceError:
            return everything

    def read_ahead(self) -> None:
        """Read what the base executes if it is cached."""
        self._base.read_ahead()

    @cached_property
    def _base(self) -> BaseCoverage:
        return BaseCoverage(self.before, Cache(), self.progress, self.plan.origin)

    @property
    def _moved(self) -> list[str]:
        """The names of what changed besides functions."""
        return sorted(self.texts.moved) or shown_by_code(self.texts)


def _symbols(functions: Iterable[Pair]) -> set[str]:
    """The symbols of functions, in both kernels."""
    return {symbol for one in functions for symbol in one.symbols}


def _files(functions: Iterable[Pair]) -> set[str]:
    """The files of functions, in both kernels."""
    return {file for one in functions for text in (one.before, one.after) if text for file, _ in text.places}
