# SPDX-License-Identifier: GPL-2.0-only
"""From the outcome of an exploration to its result in a report, and to a finding with its diagram.

The current variant of a race must violate no invariant, a historic variant the one that is named with it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from conformance.differential.unjudged import unjudged
from conformance.differential.verdict import Counterexample, Result, Verdict
from conformance.races.diagram import as_html, as_text
from conformance.races.invariants import NO_CRASH
from conformance.races.race import Historic, label_of
from conformance.races.race_file import RaceFile
from conformance.races.run_exploration import Exploration, Outcome

__all__ = ["SCHEDULES", "Finding", "RaceTask", "judged", "variant_name"]

SCHEDULES = 20_000
"""The default number of schedules of a race."""


@dataclass(frozen=True)
class Finding:
    """A schedule that was found or replayed, with its diagram. ``series`` is the kernel's."""

    race_file: RaceFile
    outcome: Outcome
    title: str
    series: str | None = None

    def diagram(self) -> list[str]:
        """The lines of the diagram."""
        return as_text(self.outcome.threads, self.outcome.interactions, dict(self.outcome.sptes), self._end)

    def page(self) -> str:
        """The diagram as an HTML page."""
        return as_html(
            self.title, self.outcome.threads, self.outcome.interactions, dict(self.outcome.sptes), self._end
        )

    def lines(self) -> list[str]:
        """The lines of the race file, the diagram after the schedule."""
        return self.race_file.lines(self.diagram())

    def text(self) -> str:
        """The text of the race file."""
        return "\n".join(self.lines()) + "\n"

    @property
    def _end(self) -> str:
        violation = self.outcome.violation
        if violation is None:
            return "no invariant is violated"
        # "broken" stands in golden race files.
        return f"broken: {violation.invariant}: {violation.how}"


def variant_name(race: str, historic: Historic | None) -> str:
    """The name of a variant of a race in reports."""
    return f"{race} without {historic.label}" if historic is not None else race


@dataclass(frozen=True)
class RaceTask:
    """An exploration; with a ``historic`` variant the invariant of that must be violated, else none."""

    exploration: Exploration
    side: str
    historic: Historic | None
    series: str | None
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of this variant in reports."""
        return variant_name(self.exploration.race, self.historic)


def _found(task: RaceTask, outcome: Outcome) -> Finding:
    """A violation with all that is needed to replay it."""
    exploration = task.exploration
    violation = outcome.violation
    assert violation is not None
    without = task.historic.label if task.historic else " ".join(map(label_of, exploration.without))
    race_file = RaceFile(
        race=exploration.race,
        on=task.side,
        mode=exploration.mode,
        without=without,
        breaks=violation.invariant,
        segments=outcome.segments,
    )
    return Finding(race_file, outcome, f"{task.name}, {exploration.mode}, on {task.side}", task.series)


def judged(task: RaceTask, outcome: Outcome) -> tuple[Result, Finding | None]:
    """The result of a task, and the violation that was found, expected or not.

    PASS if a historic variant violated its invariant, and if the current variant violated none; else FAIL.
    """
    finding = _found(task, outcome) if outcome.violation is not None and outcome.segments else None
    return _result(task, outcome, finding), finding


def _result(task: RaceTask, outcome: Outcome, finding: Finding | None) -> Result:
    exploration, explored, violation = task.exploration, outcome.explored, outcome.violation

    def result(verdict: Verdict, reason: str, found: Counterexample | None = None) -> Result:
        return Result(
            task.name,
            task.side,
            task.side,
            exploration.mode,
            verdict,
            explored.schedules,
            explored.seconds,
            reason,
            found,
            explored.numbers if violation is None and not outcome.trouble and not outcome.lacking else None,
        )

    if outcome.lacking is not None:
        return unjudged(result(Verdict.ERROR, ""), outcome.lacking)
    if outcome.trouble:
        return result(Verdict.ERROR, outcome.trouble)
    expected = task.historic.invariant.name if task.historic is not None else None
    if violation is None and expected is not None:
        return result(Verdict.FAIL, f"no schedule violates '{expected}': {explored.bounds}")
    if violation is None:
        return result(Verdict.PASS, f"no invariant is violated: {explored.bounds}")
    if violation.invariant == expected:
        return result(Verdict.PASS, f"violates '{expected}', as it must: {violation.how}")
    words = ["explore", "run", exploration.race, "--on", task.side]
    words += ["--mode", exploration.mode, *task.arguments]
    words += [word for one in exploration.without for word in ("--without", label_of(one))]
    limit = exploration.limit if exploration.seconds is None else max(SCHEDULES, 2 * explored.schedules)
    words += ["--schedules", str(limit)] if limit != SCHEDULES else []
    words += ["--seed", str(exploration.seed)] if exploration.seed is not None else []
    again = shlex.join(["conformance", *words])
    return result(
        Verdict.FAIL,
        f"'{violation.invariant}' is violated, after {explored.schedules} schedules",
        Counterexample(
            inputs={},
            decoded={},
            kernel={violation.invariant: violation.how},
            model={violation.invariant: "holds under every schedule"},
            again=again,
            crash=violation.how if violation.invariant == NO_CRASH.name else None,
            steps=tuple(map(str, outcome.segments)),
            details=tuple(finding.diagram()) if finding is not None else (),
            sides=("kernel" if task.side == "kvm" else "model", "invariant"),
        ),
    )
