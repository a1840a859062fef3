"""Campaigns of commits: which units there are, what is judged on top of what, and the report."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("duckdb")

from conformance.campaigns import commits as module
from conformance.campaigns.campaign import Campaign
from conformance.campaigns.commits import Commits
from conformance.campaigns.unit import Order
from conformance.differential.verdict import Counterexample
from conformance.errors import ConformanceError, KernelCodeDied
from conformance.reports.campaign_commits import show, status
from conformance.reports.terminal import Screen
from conformance.review.review import FunctionReview, Review, Standing
from conformance.review.series_review import Judged, SeriesReview

ORDER = Order(("6.1",), (), (), 0, "gcc")
FILE = "arch/x86/kvm/mmu/spte.h"


def git(where: Path, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", where, *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path) -> Path:
    """A tree with tags zero to three; the second commit touches no file that is compiled."""
    place = tmp_path / "linux"
    place.mkdir()
    git(place, "init", "-q", "-b", "master")
    for number, tag in enumerate(("zero", "one", "two", "three")):
        file = place / ("README" if tag == "two" else FILE)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{number}\n")
        git(place, "add", "-A")
        git(place, "commit", "-qm", f"{tag}\n\nNo functional change intended.")
        git(place, "tag", tag)
    return place


@pytest.fixture
def judged(monkeypatch):
    """What judge() was called with; it finds a difference in the commit three."""
    calls = []

    def judge(series, onto, compare, progress, *, applied, jobs):
        calls.append((onto, [part.mail.subject for part in series.parts], applied))
        part = series.parts[-1]
        found = Counterexample({}, {}, {"a": "1"}, {"a": "2"}, "again this")
        broken = part.mail.subject == "three"
        standing = Standing.DIFFERS if broken else Standing.SAME_CODE
        function = FunctionReview("make_spte", FILE, standing, difference=found if broken else None)
        review = Review("before", "after", (function,))
        return SeriesReview("the base", (Judged(part.title, part.claim, review),))

    monkeypatch.setattr(module, "judge", judge)
    return calls


def test_commits_are_judged_on_top_of_those_before(tree, judged):
    kind = Commits(ORDER, str(tree), "zero..three", 1.0)
    units = kind.units()
    base = git(tree, "rev-parse", "zero")[:12]
    assert [unit.label.rpartition(" ")[2] for unit in units] == ["one", "three"]
    rows = [row for unit in units for row in kind.run(unit)]
    assert judged == [
        (f"tree:{tree}@{base}", ["one"], 0),
        (f"tree:{tree}@{base}", ["one", "two", "three"], 2),
    ]
    assert [row.verdict for row in rows] == [
        "no functional change, proved",
        "says that nothing changes, and changes behaviour",
    ]
    last = git(tree, "rev-parse", "three")[:12]
    assert rows[1].again == f"conformance patch {last} --onto tree:{tree}"
    assert json.loads(rows[1].details)["functions"] == {"behaviour differs": ["make_spte"]}
    assert json.loads(rows[1].counterexample)["again"] == "again this"
    found = Campaign("commits", "s", kind.definition, 2, (("h", 1.0),) * 2, tuple(rows[::-1]))
    text = io.StringIO()
    console = Screen(text)
    console.width = 160
    show(found, console)
    printed = text.getvalue()
    assert printed.index("no functional change, proved") < printed.index("says that nothing changes")
    assert rows[1].again in printed and status(found) == 1
    assert all(row.seconds > 0 for row in rows) and "0.0 s" in printed
    assert " proved " in printed and " shown " in printed
    assert status(Campaign("commits", "s", {}, 2, (("h", 1.0),), (rows[0],))) == 2
    assert status(Campaign("commits", "s", {}, 1, (("h", 1.0),), (rows[0],))) == 0


@pytest.mark.parametrize(
    ("trouble", "verdict", "expected"),
    [
        (ConformanceError("it does not apply"), "could not be judged", 2),
        (KernelCodeDied("crashes"), "FAIL", 1),
    ],
)
def test_a_commit_that_cannot_be_judged_has_its_name(tree, monkeypatch, trouble, verdict, expected):
    def judge(*_, **given):
        raise trouble

    monkeypatch.setattr(module, "judge", judge)
    kind = Commits(ORDER, str(tree), "zero..one", 1.0)
    rows = tuple(row for unit in kind.units() for row in kind.run(unit))
    assert [row.verdict for row in rows] == [verdict] and str(trouble) in rows[0].reason
    assert json.loads(rows[0].details)["commit"] == git(tree, "rev-parse", "one")[:12]
    assert status(Campaign("commits", "s", kind.definition, 1, (("h", 1.0),), rows)) == expected


def test_what_is_no_range_is_said(tree):
    with pytest.raises(ConformanceError, match="is no range of commits"):
        Commits(ORDER, str(tree), "three", 1.0).units()
    with pytest.raises(ConformanceError, match="neither a file nor commits"):
        Commits(ORDER, str(tree), "zero..nothing", 1.0).units()
    with pytest.raises(ConformanceError, match=r"No commit of one\.\.two touches"):
        Commits(ORDER, str(tree), "one..two", 1.0).units()


def test_a_worker_whose_tree_differs_judges_nothing(tree, judged):
    kind = Commits(ORDER, str(tree), "zero..three", 1.0)
    unit = kind.units()[-1]
    module._patches.cache_clear()
    git(tree, "tag", "-f", "three", "two")
    with pytest.raises(ConformanceError, match="has other commits"):
        kind.run(unit)
