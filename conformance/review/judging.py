# SPDX-License-Identifier: GPL-2.0-only
"""Judging a series: each patch on top of the one before it, then the whole against the base."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels import Kernel, Progress, open_kernel
from conformance.kernels.selector import parse
from conformance.review.claims import Claim
from conformance.review.review import Review, Standing
from conformance.review.series import Part, Series

__all__ = ["Compare", "Judged", "Outcome", "SeriesReview", "judge"]

Compare = Callable[[Kernel, Kernel], Review]
"""How two kernels are compared: conformance.review.compare() with a plan."""

UNCONCERNED = "nothing here concerns the MMU"


class Outcome(str, Enum):
    """What a patch comes to, the gravest last."""

    UNCONCERNED = UNCONCERNED
    PROVED = "no functional change, proved"
    KEPT = "no functional change found"
    UNCOVERED = "changes functions that nothing here executes"
    UNJUDGED = "could not be judged"
    CHANGES = "behaviour changes"
    BROKEN = "says that nothing changes, and changes behaviour"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Judged:
    """A patch, or a whole series, and what it changes.

    ``claim`` is its promise to change nothing. ``reason`` says why there is no review, or what keeps the
    review from being complete.
    """

    title: str
    claim: Claim | None = None
    review: Review | None = None
    reason: str = ""

    @property
    def outcome(self) -> Outcome:
        """What it comes to; a difference that was seen outweighs all that could not be judged."""
        review = self.review
        if review is None:
            return Outcome.UNCONCERNED if self.reason == UNCONCERNED else Outcome.UNJUDGED
        if any(one.standing is Standing.DIFFERS for one in review.functions):
            return Outcome.BROKEN if self.claim and not self.claim.excepted else Outcome.CHANGES
        if review.errors:
            return Outcome.UNJUDGED
        if not review.changed and not review.constants:
            return Outcome.UNCONCERNED
        if any(one.standing is Standing.UNCOVERED for one in review.functions):
            return Outcome.UNCOVERED
        return Outcome.PROVED if review.proved else Outcome.KEPT


@dataclass(frozen=True)
class SeriesReview:
    """Everything said about a series. ``base`` names the kernel that it was put onto.

    ``whole`` is None where there is one patch only, or where not all of them could be applied.
    """

    base: str
    parts: tuple[Judged, ...]
    whole: Judged | None = None
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> tuple[Judged, ...]:
        """The patches and the whole."""
        return (*self.parts, self.whole) if self.whole else self.parts

    @property
    def status(self) -> int:
        """The exit status: 1 if behaviour changes anywhere, else 2 if anything was not judged, else 0."""
        outcomes = {one.outcome for one in self.judged}
        if outcomes & {Outcome.BROKEN, Outcome.CHANGES}:
            return 1
        return 2 if Outcome.UNJUDGED in outcomes else 0


def judge(
    series: Series, onto: str, compare: Compare, progress: Progress, *, applied: int = 0, jobs: int = 2
) -> SeriesReview:
    """Judge the patches of a series on top of the kernel that ``onto`` names, each alone, then all together.

    The first ``applied`` patches are applied only; ``jobs`` comparisons run at once. A patch that does not
    apply ends the series: those after it cannot be judged. Raises ConformanceError if not even the first
    one could be.
    """
    parse(onto)
    parts = series.parts[applied:]
    if not any(part.may_concern for part in parts):
        notes = (*series.notes, *series.incomplete)
        return SeriesReview(onto, tuple(_unconcerned(part) for part in parts), notes=notes)
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder, ThreadPoolExecutor(jobs) as pool:
        given = [part for part in series.parts[:applied] if part.may_concern]
        files = [_written(part, Path(folder, str(number))) for number, part in enumerate(given)]
        base = before = open_kernel(onto, files, progress=progress, idle=True)
        judged: list[Future[Judged]] = []
        beyond: list[Judged] = []
        for count, part in enumerate(parts, 1):
            try:
                after = before
                if part.may_concern:
                    files.append(_written(part, Path(folder, str(len(files)))))
                    after = open_kernel(onto, files, progress=progress, idle=True)
                    after = replace(after, title=f"{onto} + {part.name}")
            except ConformanceError as trouble:
                if not judged and series.incomplete:
                    raise ConformanceError(
                        ". ".join([str(trouble).rstrip("."), *series.incomplete])
                    ) from None
                if not judged:
                    raise
                beyond.append(Judged(part.title, part.claim, reason=str(trouble)))
                beyond += [_beyond(later, part) for later in parts[count:]]
                break
            judged.append(pool.submit(_judge_part, part, before, after, compare, progress))
            before = after
        whole = None
        if len(judged) == len(parts) > 1:
            whole = pool.submit(_whole, series, base, before, compare, progress).result()
        told = (*(future.result() for future in judged), *beyond)
        notes = (*series.notes, *series.incomplete, *before.notes)
        return SeriesReview(_name(base), told, whole, notes)


def _judge_part(part: Part, before: Kernel, after: Kernel, compare: Compare, progress: Progress) -> Judged:
    """Judge one patch by the kernels without and with it."""
    progress(f"{part.name}: {part.title}" if part.mail.subject else f"{part.name}: comparing")
    if before.fingerprint == after.fingerprint:
        return _unconcerned(part)
    try:
        return Judged(part.title, part.claim, compare(before, after))
    except ConformanceError as trouble:
        return Judged(part.title, part.claim, reason=str(trouble))


def _whole(series: Series, base: Kernel, last: Kernel, compare: Compare, progress: Progress) -> Judged:
    """The series as one change. It promises to change nothing if its cover letter or all patches do."""
    title = f"all {len(series.parts)} patches"
    promises = [part.claim for part in series.parts if part.may_concern]
    kept = [claim for claim in promises if claim is not None]
    claim = series.claim or (kept[0] if kept and len(kept) == len(promises) else None)
    if base.fingerprint == last.fingerprint:
        return Judged(title, claim, reason=UNCONCERNED)
    progress(f"{title}: comparing")
    try:
        return Judged(title, claim, compare(base, replace(last, title=f"{base.selector} + {title}")))
    except ConformanceError as trouble:
        return Judged(title, claim, reason=str(trouble))


def _written(part: Part, folder: Path) -> Path:
    """The diff as a file whose name messages can use."""
    folder.mkdir()
    file = folder / part.name.replace("/", "_")
    file.write_bytes(part.mail.diff)
    return file


def _unconcerned(part: Part) -> Judged:
    return Judged(part.title, part.claim, reason=UNCONCERNED)


def _beyond(part: Part, failed: Part) -> Judged:
    return Judged(part.title, part.claim, reason=f"not applied: {failed.name} before it could not be")


def _name(kernel: Kernel) -> str:
    return f"{kernel.title} ({kernel.version})"
