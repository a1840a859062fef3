# SPDX-License-Identifier: GPL-2.0-only
"""Judges one kernel of the archive: as expected, a finding, or not judged."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from conformance.kernels.archive import Offer, ascending
from conformance.kernels.releases import series_of
from conformance.kernels.selector import Debian
from conformance.model.changes import Change
from conformance.model.profiles import BACKPORTS, Profile

__all__ = ["EXPECTED", "FINDING", "UNJUDGED", "Known", "Outcome", "judged", "offered"]

EXPECTED, FINDING, UNJUDGED = "expected", "FINDING", "not judged"

WITHOUT_TDP_STORIES = "5.10"
"""The series whose TDP MMU is not played: `identify` asks no stories there, as expected."""


@dataclass(frozen=True)
class Known:
    """A known finding: its versions (globs), what shows it (property, story or change), and its cause."""

    versions: tuple[str, ...]
    what: tuple[str, ...]
    commit: str
    sentence: str

    def explains(self, version: str, what: str) -> bool:
        """Whether this finding on this version is the known one."""
        return any(fnmatch.fnmatchcase(version, glob) for glob in self.versions) and what in self.what


@dataclass(frozen=True)
class Outcome:
    """The judgement of a kernel, with a column each for the run, the stories and the identification.

    ``findings`` are sentences about findings with a known cause, such as a fix that came later; ``unknown``
    are those without. ``seconds`` are of wall time.
    """

    version: str
    series: str
    run: str
    stories: str
    identity: str
    findings: tuple[str, ...]
    unknown: tuple[str, ...]
    unjudged: tuple[str, ...]
    seconds: float

    @property
    def verdict(self) -> str:
        """The verdict on the kernel as a whole; "not judged" takes precedence."""
        if self.unjudged:
            return UNJUDGED
        return FINDING if self.unknown else EXPECTED

    def document(self) -> dict[str, Any]:
        """The outcome for JSON."""
        return asdict(self) | {"verdict": self.verdict}


def judged(
    version: str,
    profile: Profile,
    names: dict[str, Any],
    reports: dict[str, dict[str, Any] | None],
    said: dict[str, str],
    known: Sequence[Known],
    seconds: float,
) -> Outcome:
    """The outcome of a kernel.

    profile: the kernel's profile by its version. names: every change by its name. reports: the JSON of `run`,
    `stories` and `identify`, or None; said: the command's message then.
    """
    findings: list[tuple[str, str]] = []
    late: list[str] = []
    unjudged: list[str] = []
    columns = {}
    for part in ("run", "stories"):
        columns[part], failed, trouble = _results(reports[part], said[part])
        if trouble:
            unjudged.append(f"{part}: {trouble}")
        findings += [(name, f"{part}: {name} differs ({', '.join(modes)})") for name, modes in failed.items()]
    found = reports["identify"]
    if found is None:
        columns["identify"] = "-"
        unjudged.append(f"identify: {said['identify']}")
    else:
        columns["identify"] = identity_of(found)
        if found["untold"] and found["fits"] and series_of(version) != WITHOUT_TDP_STORIES:
            unjudged.append(f"identify: no stories were played: {found['untold']}")
        for each in found["misfits"]:
            findings.append((each["property"], f"identify: {each['property']} fits no profile"))
        for each in found["decided"]:
            if each["there"] != profile.has(names[each["name"]]):
                whether = "has" if each["there"] else "lacks"
                what = f"{whether} {names[each['name']]}, which its version does not say"
                findings.append((each["name"], what))
            elif not each["there"]:
                late += _later(version, names[each["name"]])
    told = [(_cause(version, name, known), name, sentence) for name, sentence in findings]
    return Outcome(
        version,
        series_of(version),
        columns["run"],
        columns["stories"],
        columns["identify"],
        (*late, *(f"{sentence}: {cause.commit} {cause.sentence}" for cause, _, sentence in told if cause)),
        tuple(sentence for cause, _, sentence in told if cause is None),
        tuple(unjudged),
        round(seconds, 1),
    )


def _later(version: str, change: Change) -> list[str]:
    """A sentence if a version lacks a change that later ones of its series have; "" if these lack it too."""
    series = series_of(version)
    return [
        f"lacks {change}, which came with {each.since}"
        for each in BACKPORTS
        if each.change == change and series_of(each.since) == series
    ]


def _cause(version: str, name: str, known: Sequence[Known]) -> Known | None:
    return next((one for one in known if one.explains(version, name)), None)


def _results(report: dict[str, Any] | None, said: str) -> tuple[str, dict[str, list[str]], str]:
    """A column of the table; the failures with their modes; why it could not be judged, or ""."""
    if report is None:
        return "-", {}, said
    results = [result for kernel in report["kernels"] for result in kernel["results"]]
    failed: dict[str, list[str]] = {}
    by_name: dict[str, set[str]] = {}
    for result in results:
        by_name.setdefault(result["property"], set()).add(result["verdict"])
        if result["verdict"] == "FAIL" and result["mode"] not in failed.setdefault(result["property"], []):
            failed[result["property"]].append(result["mode"])
    count = {
        verdict: sum(verdict in verdicts for verdicts in by_name.values())
        for verdict in ("PASS", "FAIL", "ERROR", "MISS")
    }
    column = ", ".join(f"{number} {verdict}" for verdict, number in count.items() if number) or "skipped"
    lost = [result for result in results if result["verdict"] in ("ERROR", "MISS")]
    if lost:
        return column, failed, f"{lost[0]['property']}: {lost[0]['reason']}"
    if not count["PASS"] and not failed:
        return column, failed, next((result["reason"] for result in results), "nothing was compared")
    return column, failed, ""


def identity_of(found: dict[str, Any]) -> str:
    """What identify found, in a few words."""
    if not found["fits"]:
        return f"fits none ({len(found['misfits'])} misfits)"
    words = [
        found["nearest"],
        *(f"+{name}" for name in found["plus"]),
        *(f"-{name}" for name in found["without"]),
    ]
    return " ".join(words)


def offered(offers: Sequence[Offer], globs: Sequence[str]) -> list[str]:
    """The versions to judge: those that a glob or prefix selects; the newest of each series first."""
    versions = ascending(offer.version for offer in offers)
    chosen = [
        version
        for version in versions
        if not globs
        or any(fnmatch.fnmatchcase(version, glob) or Debian(glob).covers(version) for glob in globs)
    ]
    series = ascending(series_of(version) for version in chosen)
    return [version for name in series[::-1] for version in chosen[::-1] if series_of(version) == name]
