# SPDX-License-Identifier: GPL-2.0-only
"""The results of a campaign of mutants: the score, by layer and by function, and the survivors, ranked."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from conformance.campaigns.campaign import Campaign
from conformance.coverage.compared.mutants import Outcome, wilson
from conformance.reports.campaign import heading
from conformance.reports.terminal import say
from conformance.reports.text import line

__all__ = ["show"]

MOST = 20
"""The number of functions and of survivors that are listed."""

_DECIDED = (Outcome.COMPARED, Outcome.REVIEWS, Outcome.SURVIVED)
"""The outcomes that the score is a share of."""


def show(campaign: Campaign, console: Console) -> None:
    """Print a campaign of mutants."""
    heading(campaign, console)
    kernels: dict[str, list[Any]] = defaultdict(list)
    for row in campaign.rows:
        kernels[f"{row.kernel}  {row.version}"].append(row)
    for title, rows in kernels.items():
        console.print()
        say(console, line(title), "bold")
        say(console, _score(rows, campaign.finished))
        counts = Counter(row.verdict for row in rows)
        say(console, ", ".join(f"{number} {verdict}" for verdict, number in counts.most_common()))
        layers = Counter(row.engine for row in rows if row.verdict == Outcome.COMPARED.value)
        if layers:
            say(console, "compared by " + ", ".join(f"{name} {number}" for name, number in layers.items()))
        _functions(rows, console)
        _survivors(rows, console)


def _score(rows: Sequence[Any], finished: bool) -> str:
    compared, decided = _compared(rows)
    if not decided:
        return "no score: no mutant is decided yet"
    text = f"score {compared / decided:.1%}: {compared} of {decided} decided mutants are compared"
    low, high = wilson(compared, decided)
    return text if finished else f"{text}; of all, {low:.1%} to {high:.1%} with 95 % confidence"


def _compared(rows: Iterable[Any]) -> tuple[int, int]:
    """How many mutants are compared, of how many that are decided."""
    counts = Counter(row.verdict for row in rows)
    return counts[Outcome.COMPARED.value], sum(counts[outcome.value] for outcome in _DECIDED)


def _functions(rows: Sequence[Any], console: Console) -> None:
    """The functions in which most mutants survive."""
    groups: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        groups[row.subject].append(row)
    scores = {name: _compared(group) for name, group in groups.items()}
    worst = sorted(scores, key=lambda name: (scores[name][0] - scores[name][1], name))
    left = [name for name in worst if scores[name][0] < scores[name][1]]
    if not left:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("function")
    for name in ("compared", "of", "score"):
        table.add_column(name, justify="right")
    for name in left[:MOST]:
        compared, decided = scores[name]
        table.add_row(line(name), str(compared), str(decided), f"{compared / decided:.0%}")
    console.print(table)
    if len(left) > MOST:
        say(console, f"and {len(left) - MOST} more functions with survivors; --json has all rows")


def _survivors(rows: Sequence[Any], console: Console) -> None:
    """The survivors, those first whose line most runs execute: what these do not compare."""
    survivors = [(json.loads(row.details), row) for row in rows if row.verdict == Outcome.SURVIVED.value]
    survivors.sort(key=lambda one: (-one[0]["runs"], one[0]["file"], one[0]["line"]))
    for mutant, row in survivors[:MOST]:
        place = line(f"{mutant['file']}:{mutant['line']}")
        runs = "1 run executes" if mutant["runs"] == 1 else f"{mutant['runs']} runs execute"
        say(console, f"survived  {place}  {line(row.subject)}: {mutant['operator']}; {runs} the line")
        say(console, f"    -{line(mutant['before'])}", "red")
        say(console, f"    +{line(mutant['after'])}", "green")
    if len(survivors) > MOST:
        say(console, f"and {len(survivors) - MOST} more survivors; --json has all rows")
