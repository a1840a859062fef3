# SPDX-License-Identifier: GPL-2.0-only
"""What changed functions do when they are run: by the properties, then by the stories that execute them.

A property or a story that finds no difference in a function counts only if it notices one planted there.
What no property and no story executes is known before either kernel is built, from what the one before was
measured to execute.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from conformance.kernels import BuildError, Cache, Kernel
from conformance.oracles.kvm.build import CannotBuild
from conformance.oracles.lacking import Lacking
from conformance.review.apply_evidence import weigh
from conformance.review.behaviour import Seen, explore
from conformance.review.evidence import Evidence
from conformance.review.pairing import Pair
from conformance.review.plan import ReviewPlan
from conformance.review.reach import executed_by_properties, executed_by_stories, pass_on
from conformance.review.review import UNKNOWN, FunctionReview
from conformance.review.scope import told_by_code
from conformance.review.stories import tell_stories
from conformance.review.texts import Texts
from conformance.review.verdicts import judge
from conformance.scenarios.stories import STORIES

__all__ = ["Running"]

Progress = Callable[[str], None]


@dataclass
class Running:
    """Two kernels to be run.

    ``errors`` are sentences about what could not be, ``differing`` the properties and stories that differ.
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
        """How each of the ``changed`` functions stands, and those of ``pairs`` that differ without a change.

        ``unproved`` are those of some functions that cannot be proved equal after all.
        """
        pairs = list(pairs)
        if self._idle(changed):
            pass_on(self.before, self.after, Cache())
            return list(judge(self._left_idle(changed, pairs, unproved), pairs, [], ""))
        seen = self._properties(changed)
        # What is seen to differ need not be compiled once more to find that it is not equal.
        different = {one.name for one in judge(changed, pairs, seen, self._why) if one.difference}
        left = unproved([one for one in changed if one.text.name not in different])
        changed = [one for one in changed if one.text.name in different or one in left]
        with Evidence(self.before, Cache(), self.progress) as evidence:
            weighed = self._weighed(left, pairs, seen, evidence)
            looked_at = {one.name for one in weighed if one.standing not in UNKNOWN}
            looked_at -= {*self.plan.suspects}
            unseen = [one for one in left if one.text.name not in looked_at]
            if unseen and not self.plan.only:
                seen += self._stories(unseen)
            self.differing = {one.name for one in seen if one.difference is not None}
            return self._weighed(changed, pairs, seen, evidence)

    def _weighed(
        self, changed: Sequence[Pair], pairs: Sequence[Pair], seen: Sequence[Seen], evidence: Evidence
    ) -> list[FunctionReview]:
        """How functions stand after what was run, by what would have noticed a difference."""
        found = judge(changed, pairs, seen, self._why, self._moved, self.texts.begun)
        return list(found if self.plan.case else weigh(found, changed, seen, evidence))

    def _idle(self, changed: Sequence[Pair]) -> bool:
        """Whether nothing here executes any of the functions, and nothing else changed what runs."""
        if self.plan.case or not self._decided_by_text:
            return False
        try:
            for measured in (executed_by_properties, executed_by_stories):
                reach = measured(self.before, Cache(), self.progress)
                if _executed(changed, reach.values()):
                    return False
        except (CannotBuild, BuildError, Lacking):
            return False  # What cannot be built is said by what needs it.
        return True

    def _left_idle(
        self, changed: Sequence[Pair], pairs: Iterable[Pair], unproved: Callable[[list[Pair]], list[Pair]]
    ) -> list[Pair]:
        """Those of the functions that are not proved equal as part of others.

        One whose own code changed, and nothing around it, is not compiled once more to see that.
        """
        alone = len(changed) == 1 and not any(one.before is None or one.after is None for one in pairs)
        return list(changed) if alone else unproved(list(changed))

    def _properties(self, changed: Sequence[Pair]) -> list[Seen]:
        """What came of the properties that execute one of the functions."""
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

    def _stories(self, unseen: Sequence[Pair]) -> list[Seen]:
        """What came of the stories that execute one of the functions."""
        symbols = {symbol for one in unseen for symbol in one.symbols}
        renamed = self.texts.symbols()
        try:
            names = self._executing(symbols)
            return tell_stories(self.before, self.after, symbols, self.plan, self.progress, renamed, names)
        except CannotBuild as without:
            self._why = f"there is no whole KVM: {without}"
        except (BuildError, Lacking) as error:
            self._why = "the stories cannot be told"
            self.errors.append(f"{self._why}: {error}")
        return []

    def _executing(self, symbols: set[str]) -> Collection[str]:
        """The stories that execute one of these; all where something else changed what runs."""
        if not self._decided_by_text:
            return STORIES
        reach = executed_by_stories(self.before, Cache(), self.progress)
        return [name for name, functions in reach.items() if functions & symbols]

    @property
    def _moved(self) -> list[str]:
        """What changed besides functions, by its names."""
        return sorted(self.texts.moved) or told_by_code(self.texts)

    @property
    def _decided_by_text(self) -> bool:
        """Whether all that can make the kernels behave differently lies in the functions that changed.

        A variable of which the text names no user may be used through a pointer, a table of functions say.
        """
        users = self.texts.users
        return not any(
            one.item.holds_data and one.both and not any(users.get(name) for name in one.item.names)
            for one in self.texts.items
        )


def _executed(functions: Iterable[Pair], reach: Iterable[frozenset[str]]) -> bool:
    """Whether any of the functions is executed."""
    names = frozenset(name for one in reach for name in one)
    return any(one.symbols & names for one in functions)
