# SPDX-License-Identifier: GPL-2.0-only
"""What units of guided lockstep are given: stories that earlier units of their kernel and mode have found.

The first unit of a mode plays the scenarios that are written for it, and the stories of a corpus from an
earlier campaign. Unit number n, counted from 0, is given what the units before number m have found, where m
is the largest power of two up to n: rounds of 1, 1, 2, 4, 8, ... units, which depend on earlier rounds alone.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from conformance.campaigns.lockstep import FOUND, Lockstep
from conformance.campaigns.unit import Row, Unit
from conformance.errors import ConformanceError
from conformance.scenarios import saved
from conformance.scenarios.corpus import Corpus
from conformance.scenarios.packed import pack, unpack
from conformance.scenarios.story import Script
from conformance.scenarios.walks import WALKS, Walk, walks

__all__ = ["LockstepGuide", "earlier"]

CORPUS = "corpus"
"""The folder of the corpus in the directory of a campaign: a folder for each mode, a file for each story."""


def earlier(number: int) -> range:
    """The numbers of the units on whose findings unit ``number`` depends."""
    return range(1 << number.bit_length() - 1) if number else range(0)


Series = tuple[str, str]
"""The units of one kernel and mode, which are numbered from 0."""


class LockstepGuide:
    """The guide of a campaign.

    ``corpus`` is the directory of a corpus, which is read now and written at the end; without one it is only
    written, into the directory of the campaign. Raises ConformanceError if it cannot be read.
    """

    def __init__(self, kind: Lockstep, corpus: Path | None) -> None:
        self._kind = kind
        self._place = kind.folder / CORPUS if corpus is None else corpus
        self._files = {} if corpus is None else _files(corpus, walks(kind.order.modes))
        self._scripts = {
            mode: [saved.read(str(path)).script for path in files] for mode, files in self._files.items()
        }
        units = kind.units()
        self._numbers = {unit.definition: _number(unit.defined) for unit in units}
        self._by_id = {unit.id: self._numbers[unit.definition] for unit in units}
        self._found: dict[Series, dict[int, dict[str, Any]]] = {}
        """The details of the rows of finished units, by their number; empty for those that walked nothing."""
        self._through: dict[Series, int] = {}
        """All units before this number are finished."""
        self._packed: dict[tuple[Series, int], bytes] = {}

    def learn(self, unit: str, rows: Sequence[Row]) -> None:
        """Take note of what a unit has found; a story that shows a difference is written to a file."""
        if unit not in self._by_id:
            return  # Of a larger budget.
        series, number = self._by_id[unit]
        details: dict[str, Any] = next((json.loads(row.details) for row in rows if row.details), {})
        found = self._found.setdefault(series, {})
        found[number] = details
        through = self._through.get(series, 0)
        while through in found:
            through += 1
        self._through[series] = through
        if "found" in details:
            _, (script,) = unpack(b64decode(details["found"]))
            place = self._kind.folder / FOUND
            _make(place)
            saved.write(place / f"{unit}.scenario", script, WALKS[series[1]].mode, f"lockstep, {series[0]}")

    def supplied(self, unit: Unit) -> Unit | None:
        """The unit with the stories that it is given; None as long as units it depends on are missing."""
        series, number = self._numbers[unit.definition]
        before = earlier(number)
        if self._through.get(series, 0) < len(before):
            return None
        if not before:
            return replace(unit, given=pack((), self._scripts.get(series[1], ())))
        key = series, len(before)
        if key not in self._packed:
            self._packed[key] = pack(self._corpus(series, before).entries)
        return replace(unit, given=self._packed[key])

    def close(self) -> None:
        """Write the corpus: what all units have found, minimised for each kernel."""
        for kind in walks(self._kind.order.modes):
            corpora = [
                self._corpus(series, sorted(self._found.get(series, ())))
                for series in ((kernel, kind.name) for kernel in self._kind.order.kernels)
            ]
            scripts = [entry.script for corpus in corpora for entry in corpus.entries]
            if scripts:
                self._write(kind, scripts, complete=all(corpus.entries for corpus in corpora))

    def _corpus(self, series: Series, numbers: Iterable[int]) -> Corpus:
        """What units have found, as far as their edges have the same numbers as those of the first one."""
        found = [self._found[series][number] for number in numbers]
        found = [details for details in found if details.get("layout")]
        return Corpus.of(
            entry
            for details in found
            if details["layout"] == found[0]["layout"]
            for entry in unpack(b64decode(details["stories"]))[0]
        )

    def _write(self, kind: Walk, scripts: Sequence[Script], *, complete: bool) -> None:
        """Write the stories of a mode; with ``complete``, those that were read and are not needed go."""
        place = self._place / kind.name
        _make(place)
        written = set()
        for script in scripts:
            text = json.dumps([script.options, [str(step) for step in script.steps]])
            path = place / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.scenario"
            saved.write(path, script, kind.mode, f"corpus of guided lockstep, {kind.name}")
            written.add(path.name)
        for path in self._files.get(kind.name, ()):
            if complete and path.name not in written:
                path.unlink(missing_ok=True)


def _number(given: Mapping[str, Any]) -> tuple[Series, int]:
    """The kernel and mode of a unit, and its number among those."""
    return (given["kernel"], given["mode"]), given["seed"] - given["first"]


def _files(corpus: Path, kinds: Sequence[Walk]) -> dict[str, list[Path]]:
    """The files of a corpus by mode; a corpus that does not exist yet has none."""
    if corpus.exists() and not corpus.is_dir():
        raise ConformanceError(f"--corpus {corpus} is a file; name a directory.")
    return {kind.name: sorted((corpus / kind.name).glob("*.scenario")) for kind in kinds}


def _make(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConformanceError(f"{place}: cannot be made: {problem.strerror}.") from problem
