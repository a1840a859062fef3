# SPDX-License-Identifier: GPL-2.0-only
"""Watches a mailbox: judges each series that has arrived whole, once, and remembers what it judged."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from conformance.errors import ConformanceError, DoesNotApply, KernelCodeDied
from conformance.kernels.cache import key_of
from conformance.review.arrivals import Arrived, Box, Damaged
from conformance.review.gathering import Gathered, gather
from conformance.review.outcome import Gate, Outcome
from conformance.review.reply import reply
from conformance.review.series import Series
from conformance.review.series_review import SeriesReview, cut_short
from conformance.review.watched import NOT_APPLIED, Entry, Unjudged, Watched, Why

__all__ = ["Task", "Watcher"]


@dataclass(frozen=True)
class Task:
    """How series are judged, and on top of what.

    ``plan`` is a text with everything else that results depend on. ``judge`` judges a series whose report
    will have the given name; ``write`` writes the report, and ``keep`` the summary.
    """

    base: str
    suite: str
    plan: str
    gate: Gate
    judge: Callable[[Series, str], SeriesReview]
    write: Callable[[Gathered, Entry, SeriesReview], None]
    keep: Callable[[Watched], None]


class Watcher:
    """Judges what arrives in a mailbox. ``entries`` are the series that were judged before, by digest."""

    def __init__(self, box: Box, task: Task, entries: dict[str, Entry]) -> None:
        self._box = box
        self._task = task
        self._entries = entries
        self._failed: dict[str, str] = {}
        self._kept: object = None

    def look(self, *, last: bool) -> Watched:
        """Judge the series that are there and were not judged yet. ``last``: it is not called again.

        Raises ConformanceError if the mailbox cannot be read or a report not be written.
        """
        found = self._box.read(last=last)
        watched = Watched(self._task.base, self._task.suite, self._entries)
        watched.others = sum(one is None for one in found)
        for mail in found:
            if isinstance(mail, Damaged):
                watched.unjudged.append(Unjudged(Why.DAMAGED, mail.name, mail.reason))
        fresh = []
        for one in gather(mail for mail in found if isinstance(mail, Arrived)):
            key = key_of(one.digest, self._task.suite, self._task.base, self._task.plan)
            known = self._entries.get(one.digest)
            if known is not None and known.key == key:
                watched.here.add(one.digest)
                self._entries[one.digest] = replace(known, newer=one.newer)
            elif (why := self._not_now(one, key)) is not None:
                watched.unjudged.append(why)
            else:
                fresh.append((key, one))
        self._keep(watched)
        for key, one in fresh:
            entry = self._judge(key, one)
            if entry is None:
                watched.unjudged.append(Unjudged(Why.FAILED, one.title, self._failed[key]))
            else:
                self._entries[one.digest] = entry
                watched.here.add(one.digest)
            self._keep(watched)
        return watched

    def _not_now(self, one: Gathered, key: str) -> Unjudged | None:
        """Why a series is not judged; None if it is to be."""
        if one.newer:
            return Unjudged(Why.REPLACED, one.title, f"v{one.newer} has arrived, and is judged instead")
        if one.missing:
            listed = ", ".join(one.missing[:5])
            more = f" and {len(one.missing) - 5} more" if len(one.missing) > 5 else ""
            return Unjudged(Why.INCOMPLETE, one.title, f"waits for {listed}{more}")
        if key in self._failed:
            return Unjudged(Why.FAILED, one.title, self._failed[key])
        return None

    def _judge(self, key: str, one: Gathered) -> Entry | None:
        """Judge a series and write its report; None if that failed for a reason that may not last."""
        start = time.monotonic()
        name = f"{_slug(one.title)}-{one.digest[:8]}"
        series, died = one.series, ""
        try:
            review = self._task.judge(series, name)
        except KernelCodeDied as how:
            died = f"kernel code {how}, before it could be compared"
            review = cut_short(series, self._task.base, (), died)
        except ConformanceError as trouble:
            applies = not isinstance(trouble, DoesNotApply)
            if applies and all(part.touched is not None for part in series.parts):
                self._failed[key] = str(trouble)
                return None
            review = cut_short(series, self._task.base, (), str(trouble))
            first = replace(review.parts[0], applies=applies)
            review = replace(review, parts=(first, *review.parts[1:]))
        except Exception as problem:
            # A defect that one series shows must not end the watching of all others.
            self._failed[key] = f"internal error: {type(problem).__name__}: {problem}"
            return None
        worst = max(review.judged, key=lambda each: [*Outcome].index(each.outcome))
        applies = all(each.applies for each in review.parts)
        changes = worst.outcome in (Outcome.CHANGES, Outcome.BROKEN)
        entry = Entry(
            digest=one.digest,
            key=key,
            title=one.title,
            sender=one.sender,
            date=one.date,
            patches=len(series.parts),
            base=self._task.base,
            suite=self._task.suite,
            outcome=died or (str(worst.outcome) if applies or changes else NOT_APPLIED),
            status=1 if died else review.status(self._task.gate),
            reply=reply(worst),
            report=name,
            seconds=round(time.monotonic() - start, 3),
            message_id=one.mails[0].mail.message_id,
        )
        self._task.write(one, entry, review)
        return entry

    def _keep(self, watched: Watched) -> None:
        """Write the summary if it has changed."""
        document = watched.document()
        if document != self._kept:
            self._task.keep(watched)
            self._kept = document


def _slug(title: str) -> str:
    """A title as part of a file's name."""
    words = re.sub(r"[^A-Za-z0-9._]+", "-", title).strip("-.")
    return words[:60].strip("-.") or "series"
