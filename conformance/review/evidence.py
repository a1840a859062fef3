# SPDX-License-Identifier: GPL-2.0-only
"""Which properties and stories are evidence about a function: those that detect a mutant of it.

That a function is executed proves nothing if nothing checks its result. So mutants are planted into the
kernel before the change, one at a time, where the change is; what detects one is measured and cached.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from conformance.coverage.compared.pieces import Change
from conformance.differential.properties import PROPERTIES
from conformance.errors import ConformanceError
from conformance.kernels import Cache, Kernel, Progress, key_of
from conformance.oracles.common import digest_of_parts
from conformance.review.pairing import Pair
from conformance.review.planted_file import PlantedFile
from conformance.scenarios.modes import STORY_MODES
from conformance.scenarios.stories import STORIES

__all__ = ["Evidence", "NotMeasured"]

MOST = 8
"""The most mutants that are tried per function."""

SOME = 16
"""The number of stories that are tried first."""

LIMIT = 90.0
"""Seconds of measuring in a review, builds not counted, after which no further function is measured."""

_NOTE = "evidence"
_PARTS = ("coverage", "differential", "model", "oracles", "review", "scenarios")
"""The parts of this package that decide what is detected."""


class NotMeasured(ConformanceError):
    """It could not be measured what detects a mutant of a function; the message says why."""


@dataclass
class Evidence:
    """Measures what detects mutants of a kernel's functions. A context manager."""

    kernel: Kernel
    cache: Cache
    progress: Progress
    limit: float = LIMIT
    _planted: dict[str, PlantedFile] = field(default_factory=dict)
    _spent: float = 0.0

    def __enter__(self) -> Evidence:
        return self

    def __exit__(self, *exc: object) -> None:
        for one in self._planted.values():
            one.close()

    def noticing(self, function: Pair, names: Collection[str]) -> list[str]:
        """The properties and stories among ``names`` that detect a mutant of a function.

        Mutants on the changed lines are tried; if there are none, those of the whole function. Raises
        NotMeasured.
        """
        before = function.before
        if before is None:
            raise NotMeasured(f"{function.text.name}() is new, so no mutant can be planted into it")
        planted = self._planted.setdefault(
            before.file, PlantedFile(self.kernel, before.file, self.cache, self.progress)
        )
        mutants = _chosen(planted.mutants(before.name), _changed_lines(function))
        if not mutants:
            raise NotMeasured(f"no mutant can be planted into {before.name}()")
        noticing = self._measured(planted, before.file, before.name, mutants, names)
        return [name for name in names if name in noticing]

    def _measured(
        self,
        planted: PlantedFile,
        file: str,
        function: str,
        mutants: Sequence[int],
        names: Collection[str],
    ) -> set[str]:
        """The names that detect one of the mutants: from the cache, or by trying."""
        chosen = ",".join(map(str, mutants))
        key = key_of(self.kernel.fingerprint, digest_of_parts(*_PARTS), file, chosen)
        known: dict[str, bool] = self.cache.read_note(_NOTE, key, {str: bool}) or {}
        found = {name for name in names if known.get(name)}
        left = [name for name in names if name not in known]
        if left and not found:
            self.progress(f"{self.kernel.title}: planting mutants into {function}()")
            tried = self._tried(planted, mutants, left, found)
            self.cache.write_note(_NOTE, key, known | {name: name in found for name in tried})
        return found

    def _tried(
        self, planted: PlantedFile, mutants: Sequence[int], names: Sequence[str], found: set[str]
    ) -> list[str]:
        """Add the names that detect a mutant to ``found``; return those for which the outcome is known."""
        properties = [name for name in names if name in PROPERTIES]
        for number in mutants:
            self._try(planted, number, properties, "", found)
        stories = [name for name in names if name in STORIES and name not in PROPERTIES]
        some = stories[:: max(len(stories) // SOME, 1)]
        more = [name for name in stories if name not in some]
        # The remaining stories are tried only while nothing detects a mutant.
        for mode in STORY_MODES:
            for each in (some, more):
                for number in mutants if not found else ():
                    self._try(planted, number, each, mode, found)
        return [*properties, *(found.intersection(stories) or stories)]

    def _try(
        self, planted: PlantedFile, number: int, names: Sequence[str], mode: str, found: set[str]
    ) -> None:
        """Add the properties (no mode), or the stories in a mode, that detect a mutant to ``found``."""
        left = [name for name in names if name not in found]
        if not left:
            return
        if self._spent > self.limit:
            raise NotMeasured(f"{self.limit:g} s were not enough to measure what detects a mutant")
        planted.build(properties=not mode)
        start = time.monotonic()
        if mode:
            found.update(planted.stories_detecting(number, left, mode))
        else:
            found.update(planted.properties_detecting(number, left))
        self._spent += time.monotonic() - start


def _changed_lines(function: Pair) -> set[int]:
    """The lines of the old file that the change removes, or next to which it inserts."""
    before, after = function.before, function.after
    if before is None or after is None:
        return set()
    lines = before.text.split("\n"), after.text.split("\n")
    changed: set[int] = set()
    for tag, start, end, *_ in SequenceMatcher(None, *lines, autojunk=False).get_opcodes():
        if tag == "insert":
            start, end = start - 1, start + 1
        if tag != "equal":
            changed |= {number for file, number in before.places[max(start, 0) : end] if file == before.file}
    return changed


def _chosen(mutants: Mapping[int, Change], changed: set[int]) -> list[int]:
    """The numbers of the mutants to try, the likeliest to be detected first."""
    there = [
        number for number, one in mutants.items() if changed.intersection(range(one.first, one.last + 1))
    ]
    return sorted(there or mutants, key=lambda number: mutants[number].rank)[:MOST]
