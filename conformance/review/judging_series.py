# SPDX-License-Identifier: GPL-2.0-only
"""Judge a series: each patch on top of the one before it, then the whole against the base."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path

from conformance.deadline import threads
from conformance.errors import ConformanceError, DoesNotApply
from conformance.kernels import Kernel, Progress, open_kernel
from conformance.kernels.cache import temporary
from conformance.kernels.opening import kept_whole
from conformance.kernels.selector import parse
from conformance.review.claims import Claim
from conformance.review.review import FunctionReview, Review, Standing
from conformance.review.scope import concerns, is_prepared, unprepared
from conformance.review.series import Part, Series, sources
from conformance.review.series_review import UNCONCERNED, Judged, SeriesReview
from conformance.sandbox import processes

__all__ = ["Compare", "Listener", "judge"]

Compare = Callable[[Kernel, Kernel, Sequence[str], Kernel], Review]
"""Compares two kernels; for the functions named, stories are played even if properties execute them.

The last argument is the kernel that the series starts from, whose coverage is cached.
"""


class Listener:
    """Receives results while a series is judged; this one ignores them."""

    def begin(self, count: int, base: str, notes: Sequence[str]) -> None:
        """Called before ``count`` patches are judged on top of ``base``."""

    def receive(self, one: Judged) -> Judged:
        """A patch, or the whole, is judged; returns it."""
        return one


def judge(
    series: Series,
    onto: str,
    compare: Compare,
    progress: Progress,
    *,
    applied: int = 0,
    jobs: int = 2,
    listener: Listener | None = None,
) -> SeriesReview:
    """Judge the patches of a series on top of the kernel that ``onto`` names, each alone, then all together.

    The first ``applied`` patches are applied but not judged; ``jobs`` comparisons run at once. ``listener``
    receives the patches in order, each as soon as it and those before it are judged, and then the whole. A
    patch that does not apply ends the series: those after it cannot be judged. Raises ConformanceError if
    the first one does not apply.
    """
    parse(onto)
    hear = listener or Listener()
    parts = series.parts[applied:]
    notes = (*series.notes, *series.incomplete)
    if not any(part.may_concern for part in parts):
        hear.begin(len(parts), onto, notes)
        skipped = tuple(hear.receive(_unconcerned(part)) for part in parts)
        return SeriesReview(onto, skipped, notes=notes, sources=sources(series, applied, ""))
    with temporary("patches") as folder, threads(jobs) as pool:
        given = [part for part in series.parts[:applied] if part.may_concern]
        files = [_written(part, Path(folder, str(number))) for number, part in enumerate(given)]
        origin = open_kernel(onto, progress=progress)
        base = before = open_kernel(onto, files, progress=progress, idle=True) if files else origin

        def compare_patch(before: Kernel, after: Kernel, suspects: Sequence[str]) -> Review:
            return compare(before, after, suspects, origin)

        notes = (*notes, *base.notes)
        queue = _InOrder(hear)
        judged: list[Future[Judged]] = []
        for count, part in enumerate(parts, 1):
            try:
                after = before
                if part.may_concern:
                    files.append(_written(part, Path(folder, str(len(files)))))
                    after = open_kernel(onto, files, progress=progress, idle=True)
                    after = replace(after, title=f"{onto} + {part.name}")
            except ConformanceError as trouble:
                applies = not isinstance(trouble, DoesNotApply)
                if not judged and series.incomplete:
                    text = ". ".join([str(trouble).rstrip("."), *series.incomplete])
                    raise (ConformanceError(text) if applies else DoesNotApply(text)) from None
                if not judged:
                    raise
                queue.put(count, Judged(part.title, part.claim, reason=str(trouble), applies=applies))
                for number, later in enumerate(parts[count:], count + 1):
                    queue.put(number, _beyond(later, part))
                break
            if count == 1:
                hear.begin(len(parts), _name(base), notes)
            job = partial(_judge_part, part, before, after, compare_patch, progress)
            judged.append(pool.submit(queue.work, count, job))
            before = after
        found = [future.result() for future in judged]
        whole = None
        if len(judged) == len(parts) > 1:
            whole = hear.receive(_whole(series, found, base, before, compare_patch, progress))
        origins = sources(series, applied, origin.commit)
        return SeriesReview(_name(base), tuple(queue.passed_on), whole, notes, origins)


class _InOrder:
    """Passes results on in the order of the patches, whatever order they arrive in."""

    def __init__(self, listener: Listener) -> None:
        self.passed_on: list[Judged] = []
        self._listener = listener
        self._waiting: dict[int, Judged] = {}
        self._lock = threading.Lock()

    def work(self, number: int, job: Callable[[], Judged]) -> Judged:
        """Judge patch ``number`` and pass the result on."""
        found = job()
        self.put(number, found)
        return found

    def put(self, number: int, one: Judged) -> None:
        """Pass on the result of patch ``number``, counted from 1, once all before it have been."""
        # Results of comparisons whose processes were being killed are discarded.
        processes.check()
        with self._lock:
            self._waiting[number] = one
            while (following := self._waiting.pop(len(self.passed_on) + 1, None)) is not None:
                self.passed_on.append(self._listener.receive(following))


_ComparePatch = Callable[[Kernel, Kernel, Sequence[str]], Review]


def _judge_part(
    part: Part, before: Kernel, after: Kernel, compare: _ComparePatch, progress: Progress
) -> Judged:
    """Judge one patch by comparing the kernels without and with it."""
    progress(f"{part.name}: {part.title}" if part.mail.subject else f"{part.name}: comparing")
    found = _judged(part.title, part.claim, part.paths, before, after, lambda: compare(before, after, ()))
    return replace(found, remarks=tuple(note for note in after.notes if note not in before.notes))


def _judged(
    title: str,
    claim: Claim | None,
    paths: Iterable[str],
    before: Kernel,
    after: Kernel,
    compare: Callable[[], Review],
) -> Judged:
    """Judge a change that touches ``paths``; UNCONCERNED only if the MMU is built from none of them."""
    concerning = [path for path in paths if concerns(path, (before.root, after.root))]
    if before.fingerprint == after.fingerprint and not concerning:
        return Judged(title, claim, reason=UNCONCERNED)
    beyond = [path for path in concerning if not is_prepared(path, (before.root, after.root))]
    if before.fingerprint == after.fingerprint:
        return Judged(title, claim, Review(_name(before), _name(after), (), scope=unprepared(concerning)))
    try:
        review = compare()
    except ConformanceError as trouble:
        return Judged(title, claim, reason=str(trouble))
    noted = (*review.scope, *unprepared(path for path in beyond if not kept_whole(path)))
    if not (noted or review.changed or review.constants or review.errors):
        noted = unprepared(concerning)
    return Judged(title, claim, replace(review, scope=noted))


def _whole(
    series: Series,
    judged: Sequence[Judged],
    base: Kernel,
    last: Kernel,
    compare: _ComparePatch,
    progress: Progress,
) -> Judged:
    """Judge the series as one change. It claims to change nothing if its cover letter or all patches do."""
    title = f"all {len(series.parts)} patches"
    promises = [part.claim for part in series.parts if part.may_concern]
    kept = [claim for claim in promises if claim is not None]
    claim = series.claim or (kept[0] if kept and len(kept) == len(promises) else None)
    progress(f"{title}: comparing")
    after = replace(last, title=f"{base.selector} + {title}")
    paths = {path for part in series.parts for path in part.paths}
    suspects = sorted({name for one in judged for name in _differing(one)})
    found = _judged(title, claim, paths, base, after, lambda: compare(base, after, suspects))
    return replace(found, remarks=tuple(_undone_later(judged, found)))


def _differing(one: Judged) -> dict[str, FunctionReview]:
    """The functions of a patch whose behaviour was seen to differ."""
    functions = one.review.functions if one.review else ()
    return {each.name: each for each in functions if each.standing is Standing.DIFFERS}


def _undone_later(judged: Sequence[Judged], whole: Judged) -> Iterator[str]:
    """A sentence for each patch with differences that the whole series does not have."""
    if whole.review is None:
        return
    remaining = _differing(whole)
    for one in judged:
        lost = [f"{name}()" for name in _differing(one) if name not in remaining]
        if lost:
            more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
            where = ", ".join(lost[:3]) + more
            yield f"What {one.title!r} changes in {where} is not seen to change once all patches are applied."


def _written(part: Part, folder: Path) -> Path:
    """Write the diff to a file whose name is fit for messages."""
    folder.mkdir()
    file = folder / part.name.replace("/", "_")
    file.write_bytes(part.mail.diff)
    return file


def _unconcerned(part: Part) -> Judged:
    return Judged(part.title, part.claim, reason=UNCONCERNED)


def _beyond(part: Part, failed: Part) -> Judged:
    return Judged(part.title, part.claim, reason=f"not applied: {failed.name} before it could not be")


def _name(kernel: Kernel) -> str:
    return f"{kernel.title} ({kernel.version}, {kernel.compiler.short})"
