# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns of kernels: a unit judges one version of the archive by the profile of the one before it.

The version before is that of the same series; the first one of a series is judged by its own profile.
Functions and stories are compared with the model that has the changes of that version, as the registry says.
Where it does not fit, the changes are looked for that explain it, as `identify` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

from conformance.campaigns.unit import Order, Row, Unit
from conformance.differential.counterexamples import command_of_run, counterexample
from conformance.differential.verdict import Counterexample, Verdict, Wording
from conformance.errors import ConformanceError
from conformance.kernels import Cache, Kernel, open_kernel
from conformance.kernels.archive import ascending
from conformance.kernels.catalogue import catalogue
from conformance.kernels.compilers import using
from conformance.kernels.releases import series_of
from conformance.kernels.selector import parse_debian
from conformance.kernels.tools import quiet
from conformance.model.changes import CHANGES, Change
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.kvm.build import CannotBuild
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle
from conformance.review.asking import ask_functions, ask_stories
from conformance.review.fit_profile import explanation, fit, misfits
from conformance.review.questions import Behaviour, Question
from conformance.review.story_questions import StoryQuestion

__all__ = ["PROFILE", "Kernels", "Standing"]

PROFILE = "profile"
"""The subject of the row about the version as a whole; the others are properties and stories."""

_ALL = frozenset(CHANGES.values())
_NAMES = {change: name for name, change in CHANGES.items()}


class Standing(Wording):
    """How a version, or one property or story in all its modes, stands to the one before; gravest last."""

    SAME = "as the version before"
    EXPLAINED = "differs by changes of its version"
    UNEXPECTED = "differs by changes that its version does not say"
    UNEXPLAINED = "differs, and no profile explains it"


@dataclass(frozen=True)
class Kernels:
    """The versions of the archive. ``only``: those with these numbers, which may be incomplete, as 6.1."""

    order: Order
    only: tuple[str, ...] = ()
    name = "kernels"
    compiles = True

    @property
    def definition(self) -> dict[str, Any]:
        """What the campaign is about, as plain data; versions may be added to the archive."""
        return {"compiler": self.order.compiler, "only": [*self.only]}

    def units(self) -> Sequence[Unit]:
        """The versions, a first one of each series, then a second one, and so on. Raises ConformanceError."""
        groups: dict[str, list[Unit]] = {}
        for version, before in self._pairs():
            unit = Unit.of(
                self.name,
                f"{version} after {before}" if before else version,
                compiler=self.order.compiler,
                version=version,
                before=before,
            )
            groups.setdefault(series_of(version), []).append(unit)
        return [unit for row in zip_longest(*groups.values()) for unit in row if unit is not None]

    def preparations(self) -> Sequence[str]:
        """Nothing: each version is prepared by its unit."""
        return ()

    def prepare(self, what: str) -> None:
        """Not called."""

    def run(self, unit: Unit) -> list[Row]:
        """Ask a version everything: a row for its profile, and one for each property and story."""
        given = unit.defined
        with using(self.order.compiler):
            kernel = open_kernel(f"debian:{given['version']}", progress=quiet)
            with ShimOracle(build_shim(kernel, Cache(), quiet)) as oracle:
                questions: list[Question] = [*ask_functions(oracle)]
                registered = profile_of(kernel.release)
                unplayed = []
                try:
                    stories, lacking = ask_stories(kernel, registered, quiet)
                    questions += stories
                    if lacking:
                        unplayed = [(Verdict.ERROR, lacking)]
                except CannotBuild as why:
                    unplayed = [(Verdict.SKIP, str(why))]
                before = given["before"]
                profile = profile_of(_release(before)) if before else registered
                fitted = fit(questions, [profile, registered], _ALL)
                judge = _Judge(kernel, before, profile, registered, fitted)
                return [*judge.rows(questions), *(judge.unplayed(*one) for one in unplayed)]

    def _pairs(self) -> list[tuple[str, str]]:
        """Each version with the one before it; "" for the first one of a series."""
        named = [parse_debian(number, number) for number in self.only]
        groups: dict[str, list[str]] = {}
        for version in ascending(offer.version for offer in catalogue(Cache(), quiet)):
            groups.setdefault(series_of(version), []).append(version)
        pairs = [pair for group in groups.values() for pair in zip(group, ["", *group], strict=False)]
        for one in named:
            if not any(one.covers(version) for version, _ in pairs):
                raise ConformanceError(
                    f"The archive has no kernel {one.version}. It has the series {', '.join(groups)}; "
                    "'conformance kernels list --archive' lists every version."
                )
        return [pair for pair in pairs if not named or any(one.covers(pair[0]) for one in named)]


@dataclass(frozen=True)
class _Judge:
    """Makes rows of the questions that a kernel has answered.

    ``profile`` is that of the version ``before``, ``registered`` the one of its own version, ``fitted`` the
    one that was found to fit best.
    """

    kernel: Kernel
    before: str
    profile: Profile
    registered: Profile
    fitted: Profile

    def rows(self, questions: Sequence[Question]) -> list[Row]:
        """A row for the version as a whole, then one for each property and story."""
        groups: dict[tuple[str, str], list[Question]] = {}
        for one in questions:
            oracle = "kvm" if isinstance(one, StoryQuestion) else "shim"
            groups.setdefault((oracle, one.name), []).append(one)
        rows = [self._row(oracle, name, group) for (oracle, name), group in groups.items()]
        return [self._row("", PROFILE, questions), *rows]

    def unplayed(self, verdict: Verdict, reason: str) -> Row:
        """A row that says why stories were not played."""
        kernel, version = self.kernel.title, self.kernel.version
        return Row("stories", verdict.value, kernel, version, "kvm", PROFILE, reason=reason)

    def _row(self, oracle: str, subject: str, group: Sequence[Question]) -> Row:
        wrong = misfits(group, self.fitted)
        unfit = set(map(id, wrong))
        fitting = [one for one in group if id(one) not in unfit]
        differing = misfits(fitting, self.profile)
        changes = explanation(fitting, self.profile, self.fitted) if differing else []
        unexpected = [one for one in changes if self.registered.has(one) != self.fitted.has(one)]
        standing = _standing(changes, unexpected, wrong)
        shown = self._shown(wrong)
        return Row(
            subject=subject,
            verdict=(Verdict.FAIL if standing in _WRONG else Verdict.PASS).value,
            kernel=self.kernel.title,
            version=self.kernel.version,
            oracle=oracle,
            engine=PROFILE,
            mode=wrong[0].mode if wrong else "",
            reason=self._reason(standing, changes, wrong),
            steps=sum(one.steps for one in group),
            counterexample="" if shown is None else json.dumps(asdict(shown)),
            again=f"conformance identify debian:{self.kernel.version}" if changes or wrong else "",
            details=json.dumps(
                {
                    "before": self.before,
                    "standing": standing.value,
                    "questions": len(group),
                    "differing": [f"{one.name} {one.mode}" for one in differing],
                    "unfit": [f"{one.name} {one.mode}" for one in wrong],
                    "changes": [_NAMES[one] for one in changes],
                    "unexpected": [_NAMES[one] for one in unexpected],
                }
            ),
        )

    def _reason(self, standing: Standing, changes: Iterable[Change], wrong: Sequence[Question]) -> str:
        """The standing, the changes that explain it, and the first misfit that nothing explains."""
        texts = [f"{'with' if self.fitted.has(one) else 'without'} {one}" for one in changes]
        if wrong:
            misfit = wrong[0].answer(self.fitted).misfit
            assert misfit is not None
            texts.append(f"{wrong[0].name} {wrong[0].mode}: {misfit.reason}")
        return f"{standing}: {'; '.join(texts)}" if texts else str(standing)

    def _shown(self, wrong: Sequence[Question]) -> Counterexample | None:
        """The smallest input of the first function that does not fit."""
        for question in wrong:
            if isinstance(question, Behaviour) and (found := question.difference(self.fitted)):
                comparison = question.comparison(self.fitted)
                words = ["--kernel", f"debian:{self.kernel.version}", *self.kernel.compiler.arguments]
                return counterexample(comparison, found, command_of_run(comparison, found, words))
        return None


_WRONG = (Standing.UNEXPECTED, Standing.UNEXPLAINED)
"""What is a difference between a kernel and the model with the profile of its version."""


def _release(version: str) -> tuple[int, int, int]:
    """The release of a version of Debian's; a release candidate's is that which it became."""
    found = re.match(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?", version)
    assert found is not None, version
    return int(found[1]), int(found[2]), int(found[3] or 0)


def _standing(changes: Sequence[Change], unexpected: Sequence[Change], wrong: Sequence[Question]) -> Standing:
    if wrong:
        return Standing.UNEXPLAINED
    if unexpected:
        return Standing.UNEXPECTED
    return Standing.EXPLAINED if changes else Standing.SAME
