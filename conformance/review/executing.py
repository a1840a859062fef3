# SPDX-License-Identifier: GPL-2.0-only
"""Run what executes the changed functions: properties first, then stories.

That a property or a story finds no difference in a function counts only if it detects a mutant of it.
Which functions nothing executes is known before the new kernel is built, from measurements of the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from conformance.coverage.measure import measure, pass_on
from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, Kernel
from conformance.oracles.kvm.build import CannotBuild
from conformance.oracles.lacking import Lacking
from conformance.review.apply_evidence import apply_evidence
from conformance.review.behaviour import Seen, explore
from conformance.review.evidence import Evidence
from conformance.review.pairing import Pair
from conformance.review.plan import ReviewPlan
from conformance.review.review import UNKNOWN, FunctionReview
from conformance.review.scope import shown_by_code
from conformance.review.stories import play_stories
from conformance.review.texts import Texts
from conformance.review.verdicts import judge
from conformance.scenarios.stories import STORIES

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
            pass_on(self.before, self.after, Cache())
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

    def _judged(
        self, changed: Sequence[Pair], pairs: Sequence[Pair], seen: Sequence[Seen], evidence: Evidence
    ) -> list[FunctionReview]:
        """The reviews after what was run, limited to what would have detected a difference."""
        found = judge(changed, pairs, seen, self._why, self._moved, self.texts.begun)
        return list(found if self.plan.case else apply_evidence(found, changed, seen, evidence))

    def _idle(self, changed: Sequence[Pair]) -> bool:
        """Whether nothing executes any of the functions, and nothing else can change what runs."""
        if self.plan.case or not self._decided_by_text:
            return False
        try:
            for layer in ("functions", "stories"):
                if _executed(changed, self._reach(layer).values()):
                    return False
        except ConformanceError:
            return False  # The error is reported where the build is needed.
        return True

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
        symbols = {symbol for one in changed for symbol in one.symbols}
        try:
            seen, self._why = explore(
                self.before, self.after, symbols, self.texts.new_names, self.plan, self.progress
            )
        except BuildError as error:
            self._why = "the properties cannot be run"
            self.errors.append(f"{self._why}: {error}")
            return []
        return seen

    def _stories(self, changed: Sequence[Pair]) -> list[Seen]:
        """The results of the stories that execute one of the functions."""
        symbols = {symbol for one in changed for symbol in one.symbols}
        renamed = self.texts.symbols()
        try:
            names = self._executing(symbols)
            return play_stories(self.before, self.after, symbols, self.plan, self.progress, renamed, names)
        except CannotBuild as without:
            self._why = f"there is no whole KVM: {without}"
        except (BuildError, Lacking) as error:
            self._why = "the stories cannot be played"
            self.errors.append(f"{self._why}: {error}")
        return []

    def _executing(self, symbols: set[str]) -> Collection[str]:
        """The stories that execute one of these; all stories where something else can change what runs."""
        if not self._decided_by_text:
            return STORIES
        return [name for name, functions in self._reach("stories").items() if functions & symbols]

    def _reach(self, layer: str) -> dict[str, frozenset[str]]:
        """The functions that each property, or story, executes. Raises ConformanceError."""
        measured = measure(self.before, Cache(), self.progress, [layer]).layers[layer]
        return {name: run.functions for name, run in measured.runs.items()}

    @property
    def _moved(self) -> list[str]:
        """The names of what changed besides functions."""
        return sorted(self.texts.moved) or shown_by_code(self.texts)

    @property
    def _decided_by_text(self) -> bool:
        """Whether only the changed functions can make the kernels behave differently.

        A changed variable without a user in the text may be used through a pointer.
        """
        users = self.texts.users
        return not any(
            one.item.holds_data and one.both and not any(users.get(name) for name in one.item.names)
            for one in self.texts.items
        )


def _executed(functions: Iterable[Pair], reach: Iterable[frozenset[str]]) -> bool:
    """Whether anything executes one of the functions."""
    names = frozenset(name for one in reach for name in one)
    return any(one.symbols & names for one in functions)
