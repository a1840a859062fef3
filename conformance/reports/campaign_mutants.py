# SPDX-License-Identifier: GPL-2.0-only
"""The results of a campaign of mutants: the score by layer, operator and function; survivors, ranked.

The score says how much the suite compares. So a survivor is no failure of the kernel, and a function with
survivors is a PASS in JUnit, where they are listed in its output.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from rich.console import Console
from rich.table import Table

from conformance.campaigns.campaign import Campaign
from conformance.campaigns.survivors import Survivor, explained, survivors
from conformance.coverage.compared.mutants import DECIDED, Outcome, wilson
from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.reports.campaign import heading
from conformance.reports.rows import ALL
from conformance.reports.terminal import say
from conformance.reports.text import line

__all__ = ["MutantsOfKernel", "Score", "as_report", "by_kernel", "estimate", "show", "status"]

MOST = 20
"""The number of functions and of survivors that are listed on a terminal."""

_OUT_OF_REACH = (
    "out of reach: these mutants change only in which order accesses are made; they count neither way"
)


@dataclass(frozen=True)
class Score:
    """How many mutants are compared, of how many that are decided."""

    compared: int
    decided: int

    @classmethod
    def of(cls, rows: Sequence[Any]) -> Score:
        """The score of mutants."""
        counts = Counter(row.verdict for row in rows)
        return cls(counts[Outcome.COMPARED.value], sum(counts[outcome.value] for outcome in DECIDED))

    @property
    def share(self) -> float | None:
        """The share of decided mutants that are compared; None if none is decided."""
        return self.compared / self.decided if self.decided else None

    def __str__(self) -> str:
        if self.share is None:
            return "no score: no mutant is decided yet"
        return f"score {self.share:.1%}: {self.compared} of {self.decided} decided mutants are compared"


@dataclass(frozen=True)
class MutantsOfKernel:
    """The mutants of a kernel. ``rows`` are without ``errors``, the mutants that could not be judged."""

    kernel: KernelReport
    rows: tuple[Any, ...]
    errors: tuple[Any, ...]

    @property
    def score(self) -> Score:
        """The score of all of them."""
        return Score.of(self.rows)

    @cached_property
    def functions(self) -> dict[str, list[Any]]:
        """The mutants by function, those with most undetected ones first."""
        groups: dict[str, list[Any]] = defaultdict(list)
        for row in self.rows:
            groups[row.subject].append(row)
        scores = {name: Score.of(group) for name, group in groups.items()}
        worst = sorted(scores, key=lambda name: (scores[name].compared - scores[name].decided, name))
        return {name: groups[name] for name in worst}

    @cached_property
    def detailed(self) -> list[tuple[dict[str, Any], Any]]:
        """The mutants, each with its details before its row."""
        return [(json.loads(row.details), row) for row in self.rows]

    @cached_property
    def survivors(self) -> list[tuple[dict[str, Any], Any]]:
        """The survivors with their details, those first whose line most runs execute.

        Without those that have been looked through.
        """
        return [(mutant, row) for mutant, row, entry in _survivors(self.rows) if entry is None]

    @cached_property
    def explained(self) -> list[tuple[dict[str, Any], Any, Survivor]]:
        """The survivors that have been looked through, with the entry that says why they survive."""
        return [(mutant, row, entry) for mutant, row, entry in _survivors(self.rows) if entry]

    @property
    def looked_through(self) -> str:
        """How many survivors are explained, and the score without them; "" if none is."""
        if not self.explained:
            return ""
        kinds = Counter(entry.kind.value for *_, entry in self.explained)
        rest = Score(self.score.compared, self.score.decided - len(self.explained))
        counts = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
        return f"of the survivors {counts}; without these {rest}"


def by_kernel(campaign: Campaign) -> Iterator[MutantsOfKernel]:
    """The mutants of each kernel."""
    for kernel, rows in campaign.by_kernel():
        judged = tuple(row for row in rows if row.details)
        yield MutantsOfKernel(kernel, judged, tuple(row for row in rows if not row.details))


def status(campaign: Campaign) -> int:
    """The exit status: 0 if anything was judged, else 2."""
    return 0 if campaign.rows else 2


def as_report(campaign: Campaign) -> Report:
    """The mutants as results, one for each function."""
    return Report([_report(one) for one in by_kernel(campaign)], campaign.definition.get("seed"))


def _report(one: MutantsOfKernel) -> KernelReport:
    results = [_result(name, group) for name, group in sorted(one.functions.items())]
    results += [
        Result(ALL, "kvm", "mutants", row.mode or ALL, Verdict.ERROR, reason=row.reason) for row in one.errors
    ]
    return replace(one.kernel, results=results)


def _result(name: str, rows: Sequence[Any]) -> Result:
    score = Score.of(rows)
    said = [str(score)]
    for mutant, _, entry in _survivors(rows):
        why = f"; {entry.kind.value}: {entry.reason}" if entry else ""
        said.append(f"survived {mutant['file']}:{mutant['line']}: {mutant['operator']}{why}")
        said += [f"-{mutant['before']}", f"+{mutant['after']}"]
    verdict = Verdict.PASS if score.decided else Verdict.SKIP
    seconds = sum(row.seconds for row in rows)
    return Result(name, "kvm", "mutants", ALL, verdict, score.decided, seconds, "\n".join(said))


def _survivors(rows: Sequence[Any]) -> list[tuple[dict[str, Any], Any, Survivor | None]]:
    """The survivors with their details, ranked, each with why it survives if that is known."""
    found = [(json.loads(row.details), row) for row in rows if row.verdict == Outcome.SURVIVED.value]
    found.sort(key=lambda one: (-one[0]["runs"], one[0]["file"], one[0]["line"]))
    return [(mutant, row, explained(row.subject, mutant, survivors())) for mutant, row in found]


def show(campaign: Campaign, console: Console) -> None:
    """Print a campaign of mutants."""
    heading(campaign, console)
    for one in by_kernel(campaign):
        console.print()
        say(console, line(f"{one.kernel.title}  {one.kernel.version}"), "bold")
        say(console, estimate(one.score, campaign.finished))
        if one.looked_through:
            say(console, one.looked_through)
        counts = Counter(row.verdict for row in (*one.rows, *one.errors))
        say(console, ", ".join(f"{number} {verdict}" for verdict, number in counts.most_common()))
        if counts[Outcome.OUT_OF_REACH.value]:
            say(console, _OUT_OF_REACH)
        layers = Counter(row.engine for row in one.rows if row.verdict == Outcome.COMPARED.value)
        if layers:
            say(console, "compared by " + ", ".join(f"{name} {number}" for name, number in layers.items()))
        _show_operators(one, console)
        _show_functions(one, console)
        _show_survivors(one, console)
        for reason, number in Counter(row.reason for row in one.errors).most_common():
            say(console, f"ERROR  {number}: {line(reason)}", "magenta")


def estimate(score: Score, finished: bool) -> str:
    """The score in words; unless all mutants are ``finished``, with what it may be for all of them."""
    if finished or not score.decided:
        return str(score)
    low, high = wilson(score.compared, score.decided)
    return f"{score}; of all, {low:.1%} to {high:.1%} with 95 % confidence"


def _show_operators(one: MutantsOfKernel, console: Console) -> None:
    """The score of each operator."""
    groups: dict[str, list[Any]] = defaultdict(list)
    for row in one.rows:
        groups[json.loads(row.details)["operator"]].append(row)
    _show_scores("operator", {name: Score.of(group) for name, group in sorted(groups.items())}, console)


def _show_functions(one: MutantsOfKernel, console: Console) -> None:
    """The functions in which most mutants survive."""
    scores = {name: Score.of(group) for name, group in one.functions.items()}
    left = {name: score for name, score in scores.items() if score.compared < score.decided}
    _show_scores("function", dict([*left.items()][:MOST]), console)
    if len(left) > MOST:
        say(console, f"and {len(left) - MOST} more functions with survivors; --json has all rows")


def _show_scores(title: str, scores: Mapping[str, Score], console: Console) -> None:
    """A table of scores, without those of which nothing is decided."""
    table = Table(box=None, pad_edge=False)
    table.add_column(title)
    for name in ("compared", "of", "score"):
        table.add_column(name, justify="right")
    for name, score in scores.items():
        if score.share is not None:
            table.add_row(line(name), str(score.compared), str(score.decided), f"{score.share:.0%}")
    if table.row_count:
        console.print(table)


def _show_survivors(one: MutantsOfKernel, console: Console) -> None:
    """The first survivors that nothing explains: what the runs that execute their lines do not compare."""
    for mutant, row in one.survivors[:MOST]:
        place = line(f"{mutant['file']}:{mutant['line']}")
        runs = "1 run executes" if mutant["runs"] == 1 else f"{mutant['runs']} runs execute"
        say(console, f"survived  {place}  {line(row.subject)}: {mutant['operator']}; {runs} the line")
        say(console, f"    -{line(mutant['before'])}", "red")
        say(console, f"    +{line(mutant['after'])}", "green")
    if len(one.survivors) > MOST:
        say(console, f"and {len(one.survivors) - MOST} more survivors; --json has all rows")
