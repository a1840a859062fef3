# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns of commits: a unit judges one commit of a range, on top of those before it, as `patch` does."""

from __future__ import annotations

import json
import shlex
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from conformance.campaigns.unit import Order, Row, Unit
from conformance.differential.verdict import Verdict
from conformance.errors import ConformanceError, KernelCodeDied
from conformance.kernels import open_kernel
from conformance.kernels.compilers import chosen, using
from conformance.kernels.tools import quiet
from conformance.review.changed_lines import Side
from conformance.review.commits import find_commits
from conformance.review.comparing import comparing
from conformance.review.judging_series import Compare, judge
from conformance.review.outcome import Outcome
from conformance.review.series import Part, Series
from conformance.review.series_review import Judged

__all__ = ["Commits"]


@dataclass(frozen=True)
class Commits:
    """The commits of a range, ``A..B`` of the tree at a path, that touch what KVM is compiled from.

    ``seconds``: the time to compare properties, for each commit.
    """

    order: Order
    tree: str
    range: str
    seconds: float
    name = "commits"
    compiles = True

    @property
    def definition(self) -> dict[str, Any]:
        """What the campaign is about, as plain data; the range by the names of its first and last commit."""
        onto, parts = self._parts
        shared = {name: value for name, value in self.order.definition.items() if name != "kernels"}
        return {**shared, "onto": onto, "last": parts[-1].name, "seconds": self.seconds}

    @property
    def _parts(self) -> tuple[str, Sequence[Part]]:
        return _patches(self.tree, self.range)

    def units(self) -> Sequence[Unit]:
        """The commits in order. Raises ConformanceError if the range has none that may concern KVM."""
        found = [
            Unit.of(
                self.name,
                f"{part.name} {part.mail.subject}",
                **self.definition,
                number=number,
                commit=part.name,
            )
            for number, part in enumerate(self._parts[1])
            if part.may_concern
        ]
        if not found:
            raise ConformanceError(f"No commit of {self.range} touches what KVM is compiled from.")
        return found

    def preparations(self) -> Sequence[str]:
        """The kernel that the commits start from."""
        return [self._parts[0]]

    def prepare(self, what: str) -> None:
        """Prepare that kernel. Raises ConformanceError."""
        with using(self.order.compiler):
            open_kernel(what, progress=quiet)

    def run(self, unit: Unit) -> list[Row]:
        """Judge a commit: one row with the outcome, how each changed function stands, and the seconds."""
        given = unit.defined
        onto, parts = _patches(self.tree, self.range)
        number = given["number"]
        if onto != given["onto"] or len(parts) <= number or parts[number].name != given["commit"]:
            raise ConformanceError(f"{self.tree} has other commits in {self.range} on this machine.")
        with using(self.order.compiler):
            name = given["commit"].rpartition(" ")[2]
            words = ["conformance", "patch", name, "--onto", f"tree:{self.tree}", *chosen().arguments]
            plan = {"modes": self.order.modes, "seed": self.order.seed, "budget": self.seconds}
            compare = comparing(shlex.join(words), quiet, **plan)
            series = Series(tuple(parts[: number + 1]))
            start = time.monotonic()
            found, base, verdict = _judged(series, onto, compare)
            seconds = time.monotonic() - start
        row = _row(found, base, name, number, shlex.join(words))
        return [replace(row, verdict=verdict, seconds=seconds)]


def _judged(series: Series, onto: str, compare: Compare) -> tuple[Judged, str, str]:
    """The review of the last commit, the base, and the verdict, also if it could not be judged."""
    last = series.parts[-1]
    try:
        review = judge(series, onto, compare, quiet, applied=len(series.parts) - 1, jobs=1)
    except ConformanceError as trouble:
        return Judged(last.title, last.claim, reason=str(trouble)), onto, Outcome.UNJUDGED.value
    except KernelCodeDied as died:
        reason = f"kernel code {died}, before it could be compared"
        return Judged(last.title, last.claim, reason=reason), onto, Verdict.FAIL.value
    return review.parts[0], review.base, review.parts[0].outcome.value


@lru_cache(maxsize=2)
def _patches(tree: str, words: str) -> tuple[str, Sequence[Part]]:
    """The kernel that the commits of a range start from, and their patches."""
    found = find_commits([words], f"tree:{tree}")
    if found is None or ".." not in words:
        raise ConformanceError(f"{words} is no range of commits; pass A..B.")
    return found.onto, found.parts[words]


def _row(one: Judged, base: str, commit: str, number: int, again: str) -> Row:
    review = one.review
    standings: dict[str, list[str]] = defaultdict(list)
    lines = executed = 0
    for function in review.changed if review else ():
        standings[function.standing.value].append(function.name)
        if function.lines is not None:
            side = function.lines.side(Side.AFTER)
            lines, executed = lines + side.code, executed + side.executed
    details = {
        "commit": commit,
        "number": number,
        "claim": one.claim.sentence if one.claim else "",
        "functions": standings,
        "proved": bool(review and review.proved),
        "lines": lines,
        "executed": executed,
        "undone": [*review.undone] if review else [],
    }
    differing = [each.difference for each in review.functions if each.difference] if review else []
    return Row(
        subject=one.title,
        verdict=one.outcome.value,
        kernel=base,
        reason=one.reason or " ".join(review.errors if review else ()),
        steps=sum(each.cases for each in review.functions) if review else 0,
        counterexample=json.dumps(asdict(differing[0])) if differing else "",
        again=again,
        details=json.dumps(details),
    )
