# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns of kernels: which versions, by whose profile, and how what differs is explained."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

pytest.importorskip("duckdb")

from conformance.campaigns import kernels as module
from conformance.campaigns.campaign import Campaign
from conformance.campaigns.kernels import Kernels
from conformance.campaigns.unit import Order
from conformance.differential.verdict import Verdict
from conformance.errors import ConformanceError
from conformance.kernels import Kernel
from conformance.kernels.archive import Offer
from conformance.model.changes import (
    CHILD_GFN_COMPARED,
    CHILD_ROLE_COMPARED,
    NESTED_ROOTS_KEPT,
    UNSYNC_SKIP_IFF_LEAF,
    Change,
)
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.kvm.build import CannotBuild
from conformance.reports import campaign_kernels, junit
from conformance.reports.terminal import Screen
from conformance.review.fit_profile import explanation
from conformance.review.questions import Misfit, Question

ORDER = Order((), (), (), 0, "gcc")
VERSIONS = ("6.1.174-1~deb11u1", "6.1.176-1", "6.1.9-1", "5.10.262-1", "7.3~rc7-1~exp1", "7.3.4-1~bpo13+1")


class Asked(Question):
    """A question that depends on changes: it fits a profile that has exactly those of ``there``."""

    kind = "behaviour"

    def __init__(self, name: str, mode: str, changes: tuple[Change, ...], there: tuple[Change, ...]) -> None:
        super().__init__(name, mode)
        self.steps = 5
        self.changes, self.there = changes, there

    def misfit(self, profile: Profile) -> Misfit | None:
        asked = [profile.has(change) == (change in self.there) for change in self.changes]
        return None if all(asked) else Misfit("3 of 5 inputs")


class Never(Question):
    """A question that no profile fits."""

    def misfit(self, profile: Profile) -> Misfit:
        return Misfit("5 of 5 inputs")


def fitting(name: str, *changes: Change, of: tuple[int, ...]) -> Asked:
    """A question about changes that fits the profile of a release."""
    return Asked(name, "npt", changes, tuple(filter(profile_of(of).has, changes)))


@pytest.fixture
def archive(monkeypatch):
    offers = [Offer("linux-source", version, suite) for version in VERSIONS for suite in ("a", "b")]
    monkeypatch.setattr(module, "catalogue", lambda cache, progress: offers)


@pytest.fixture
def judged(monkeypatch):
    """The rows of a version, given its questions by functions and by stories, or why there are no stories."""

    def judge(version: str, before: str, functions, stories=(), lacking: str = "", unbuilt: str = ""):
        release = tuple(map(int, version.split("-")[0].split(".")))
        kernel = Kernel("debian:" + version, "debian:" + version, "6.1", version, release, None, Path(), "")
        monkeypatch.setattr(module, "open_kernel", lambda selector, progress: kernel)
        monkeypatch.setattr(module, "build_shim", lambda *_: None)
        monkeypatch.setattr(module, "ShimOracle", contextlib.nullcontext)
        monkeypatch.setattr(module, "ask_functions", lambda oracle: list(functions))

        def ask_stories(kernel, profile, progress):
            if unbuilt:
                raise CannotBuild(unbuilt)
            return list(stories), lacking

        monkeypatch.setattr(module, "ask_stories", ask_stories)
        kind = Kernels(ORDER)
        unit = module.Unit.of("kernels", "x", compiler="gcc", version=version, before=before)
        return kind.run(unit)

    return judge


def about(row) -> dict:
    return json.loads(row.details)


def test_each_version_after_the_one_before(archive):
    units = Kernels(ORDER).units()
    pairs = [(unit.defined["version"], unit.defined["before"]) for unit in units]
    assert pairs == [
        ("5.10.262-1", ""),
        ("6.1.9-1", ""),
        ("7.3~rc7-1~exp1", ""),
        ("6.1.174-1~deb11u1", "6.1.9-1"),
        ("7.3.4-1~bpo13+1", "7.3~rc7-1~exp1"),
        ("6.1.176-1", "6.1.174-1~deb11u1"),
    ]
    some = Kernels(ORDER, ("6.1",)).units()
    assert {unit.id for unit in some} < {unit.id for unit in units} and len(some) == 3
    (one,) = Kernels(ORDER, ("6.1.176-1",)).units()
    assert one.label == "6.1.176-1 after 6.1.174-1~deb11u1"
    with pytest.raises(ConformanceError, match=r"has no kernel 9\.9\. It has the series 5\.10, 6\.1, 7\.3;"):
        Kernels(ORDER, ("9.9",)).units()
    with pytest.raises(ConformanceError, match="names no Debian kernel version"):
        Kernels(ORDER, ("stable",)).units()


def test_a_version_that_behaves_as_the_one_before(judged):
    of = (6, 1, 174)
    questions = [fitting("p", CHILD_GFN_COMPARED, of=of), fitting("q", of=of)]
    whole, *rows = judged("6.1.174-1", "6.1.172-1", questions)
    assert [row.verdict for row in (whole, *rows)] == ["PASS"] * 3
    assert whole.reason == "as the version before" and whole.again == "" and whole.steps == 10
    assert about(whole)["before"] == "6.1.172-1" and about(whole)["changes"] == []


def test_a_backport_explains_what_differs(judged):
    """6.1.175 brought a change that 6.1.174 lacks; what does not ask for it is as before."""
    of = (6, 1, 176)
    questions = [
        fitting("p", CHILD_GFN_COMPARED, UNSYNC_SKIP_IFF_LEAF, of=of),
        fitting("q", UNSYNC_SKIP_IFF_LEAF, of=of),
    ]
    whole, p, q = judged("6.1.176-1", "6.1.174-1", questions)
    assert [row.verdict for row in (whole, p, q)] == ["PASS"] * 3
    assert about(p)["changes"] == about(whole)["changes"] == ["CHILD_GFN_COMPARED"]
    assert about(p)["standing"] == "differs by changes of its version" and about(q)["changes"] == []
    assert (
        p.reason.startswith("differs by changes of its version: with ")
        and CHILD_GFN_COMPARED.commit in p.reason
    )
    assert whole.again == "conformance identify debian:6.1.176-1"


def test_a_change_that_the_version_does_not_say(judged):
    questions = [Asked("p", "npt", (NESTED_ROOTS_KEPT,), (NESTED_ROOTS_KEPT,))]
    assert not profile_of((6, 1, 176)).has(NESTED_ROOTS_KEPT)
    whole, p = judged("6.1.176-1", "6.1.174-1", questions)
    assert (whole.verdict, p.verdict) == ("FAIL", "FAIL")
    assert about(p)["unexpected"] == ["NESTED_ROOTS_KEPT"]
    assert "differs by changes that its version does not say: with " in p.reason


def test_what_no_profile_explains_is_a_difference(judged):
    of = (6, 1, 176)
    questions = [Never("p", "npt"), fitting("q", CHILD_GFN_COMPARED, of=of)]
    whole, p, q = judged("6.1.176-1", "6.1.174-1", questions)
    assert (whole.verdict, p.verdict, q.verdict) == ("FAIL", "FAIL", "PASS")
    assert p.reason == "differs, and no profile explains it: p npt: 5 of 5 inputs" and p.mode == "npt"
    assert about(whole)["changes"] == ["CHILD_GFN_COMPARED"] and about(whole)["unfit"] == ["p npt"]


def test_stories_that_were_not_played_are_said(judged):
    questions = [fitting("q", of=(6, 1))]
    assert [row.verdict for row in judged("6.1.176-1", "", questions, unbuilt="no TDP MMU")][2:] == ["SKIP"]
    *_, row = judged("6.1.176-1", "", questions, lacking="2 of 3 stories stopped")
    assert (row.subject, row.verdict, row.reason) == ("stories", "ERROR", "2 of 3 stories stopped")


def test_an_explanation_has_no_change_too_many():
    before = profile_of((6, 1, 170))
    after = before.plus(CHILD_GFN_COMPARED, CHILD_ROLE_COMPARED, NESTED_ROOTS_KEPT)
    both = (CHILD_GFN_COMPARED, CHILD_ROLE_COMPARED)
    questions = [Asked("p", "npt", (*both, NESTED_ROOTS_KEPT), both), Asked("q", "npt", both, both)]
    assert set(explanation(questions[1:], before, after)) == set(both)
    assert explanation([Asked("q", "npt", (), ())], before, after) == []


def test_the_report(judged):
    of = (6, 1, 176)
    questions = [fitting("p", CHILD_GFN_COMPARED, of=of), Never("q", "npt"), fitting("r", of=of)]
    rows = judged("6.1.176-1", "6.1.174-1", questions, unbuilt="no TDP MMU")
    rows += judged("6.1.9-1", "", [fitting("r", of=of)])
    found = Campaign("kernels", "s", {"only": []}, 2, (("h", 1.0),) * 2, tuple(rows))
    text = io.StringIO()
    console = Screen(text)
    console.width = 160
    campaign_kernels.show(found, console)
    printed = text.getvalue()
    older, newer = printed.index("\n6.1.9-1 "), printed.index("\n6.1.176-1 ")
    assert older < newer
    assert printed[newer:].splitlines()[1].split()[:5] == ["6.1.176-1", "6.1.174-1", "1", "1", "1"]
    assert "FAIL  6.1.176-1  q: differs, and no profile explains it" in printed
    assert "SKIP  6.1.176-1  no TDP MMU" in printed
    assert found.report().status == 1 and "failure" in junit.render(found.report())
    assert Verdict.PASS.value in {row.verdict for row in rows}
